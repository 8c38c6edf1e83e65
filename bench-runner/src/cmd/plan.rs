//! `plan`: what a run would do, without doing it.

use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use netns_harness::datapath::{RenderOptions, with_engine};
use scenarios::population::Recipe;

use crate::choice;
use crate::cli::RunArgs;
use crate::exit::{Ended, Usage};
use crate::machine::Machine;
use crate::plan::{ENVIRONMENT, Plan, PlannedStay, Settings};
use crate::progress::rough;
use crate::stdout::say;

/// Options of `plan`.
#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub(crate) run: RunArgs,

    /// Print the stays' specifications, one JSON object a line: each can be given to `cell`.
    #[arg(long, conflicts_with = "rules")]
    pub(crate) json: bool,

    /// Print the rules that a cold install at the largest size would send, by mode, transport and engine.
    #[arg(long)]
    pub(crate) rules: bool,
}

pub(crate) fn run(args: &PlanArgs) -> anyhow::Result<Ended> {
    if args.run.resume.is_some() {
        return Err(Usage("--resume is for `run`; a plan carries nothing on".to_owned()).into());
    }
    let settings = Settings::resolve(&args.run)?;
    let environments = choice::foreseen(&settings)?;
    let plan = Plan::new(&settings, &environments, &Machine::now());
    if args.rules {
        for side in settings.sides() {
            if !side.variant.is_empty() {
                say!("# variant {}", side.variant);
            }
            print_rules(side);
        }
    } else if args.json {
        for stay in plan.block(0) {
            say!(
                "{}",
                serde_json::to_string(&stay.spec).context("encode a stay")?
            );
        }
    } else {
        print_table(&plan);
    }
    Ok(Ended::Done)
}

fn print_table(plan: &Plan) {
    let several = plan
        .stays
        .iter()
        .any(|stay| stay.spec.environment != ENVIRONMENT);
    let names = plan.stays.iter().map(|stay| stay.spec.environment.len());
    let environment = if several {
        names.max().unwrap_or(0) + 1
    } else {
        0
    };
    let place = if several { "environment" } else { "" };
    let modes = plan.stays.iter().map(|stay| mode_of(stay).len());
    let width = modes.max().unwrap_or(0).max(16);
    say!(
        "{:<4} {place:<environment$}{:<width$} {:>8} {:>9}  {:<9} {:>9}  cells",
        "stay",
        "mode",
        "services",
        "endpoints",
        "transport",
        "expected"
    );
    for (i, stay) in plan.block(0).iter().enumerate() {
        let mut asked: Vec<&str> = stay.spec.cells.iter().map(|c| c.scenario.name()).collect();
        asked.sort_unstable();
        let mut counted: Vec<(usize, &str)> = Vec::new();
        for name in asked {
            match counted.last_mut() {
                Some((count, last)) if *last == name => *count += 1,
                _ => counted.push((1, name)),
            }
        }
        let cells: Vec<String> = counted
            .iter()
            .map(|(count, name)| format!("{count} {name}"))
            .collect();
        let mode = mode_of(stay);
        let place = if several {
            stay.spec.environment.as_str()
        } else {
            ""
        };
        say!(
            "{i:<4} {place:<environment$}{mode:<width$} {:>8} {:>9}  {:<9} {:>9}  {}",
            stay.spec.services,
            stay.spec.endpoints,
            if stay.spec.mode.is_floor() {
                "-"
            } else {
                stay.spec.transport.name()
            },
            rough(Duration::from_nanos(stay.expected_ns)),
            cells.join(", "),
        );
    }
    if plan.counted {
        say!(
            "{} stays and {} cells a block, {} blocks with seeds {} to {}; {} stays at a time: about {}",
            plan.stays.len(),
            plan.cells_per_block(),
            plan.blocks,
            plan.seed,
            plan.seed_of(plan.blocks - 1),
            plan.at_a_time,
            rough(plan.whole_time()),
        );
        return;
    }
    say!(
        "{} stays and {} cells a block, about {} each; {} blocks, fewer when the budget of {} is used up; seed {}",
        plan.stays.len(),
        plan.cells_per_block(),
        rough(Duration::from_nanos(plan.block_ns())),
        plan.blocks,
        rough(plan.budget),
        plan.seed,
    );
}

/// The mode, and which variant's.
fn mode_of(stay: &PlannedStay) -> String {
    match stay.spec.variant.as_str() {
        "" => stay.spec.mode.to_string(),
        variant => format!("{} ({variant})", stay.spec.mode),
    }
}

fn print_rules(settings: &Settings) {
    let services = *settings.sizes.last().expect("there is at least one size");
    let recipe = Recipe {
        seed: settings.seed,
        endpoints: settings.endpoints,
        protocols: &settings.request.protocols,
        vip_stride: settings.vip_stride,
    };
    let population = recipe.population(services);
    let cases = settings.cases();
    for case in cases.iter().filter(|case| !case.mode.is_floor()) {
        let datapath = with_engine(case.mode, case.engine.unwrap_or_default());
        let options = RenderOptions {
            large_cluster: settings.request.large_cluster,
            ..RenderOptions::by(case.transport)
        };
        let batch = datapath.render(None, &population, &options);
        say!(
            "# {case}, {services} services: {} operations, {} messages, {} bytes",
            batch.operations(),
            batch.messages(),
            batch.bytes()
        );
        say!("{}", batch.to_string().trim_end());
    }
}
