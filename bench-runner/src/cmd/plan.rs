//! `plan`: what a run would do, without doing it.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use netns_harness::datapath::{RenderOptions, with_engine};
use scenarios::population::Recipe;
use scenarios::spec::StaySpec;

use crate::choice;
use crate::cli::RunArgs;
use crate::exit::{Ended, refused};
use crate::machine::Machine;
use crate::plan::{ENVIRONMENT, Plan, Settings};
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
        return refused("--resume is for `run`; a plan carries nothing on");
    }
    let settings = Settings::resolve(&args.run)?;
    let environments = choice::foreseen(&settings)?;
    let plan = Plan::new(&settings, &environments, &Machine::now());
    if args.rules {
        for side in settings.sides() {
            if !side.variant().is_empty() {
                say!("# variant {}", side.variant());
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
    let block = plan.block(0);
    let specs = || block.iter().map(|stay| &stay.spec);
    // On this machine's kernel alone there is nothing to say of where.
    let several = specs().any(|spec| spec.environment != ENVIRONMENT);
    let places = specs().map(|spec| spec.environment.len() + 1).max();
    let place_width = places.filter(|_| several).unwrap_or(0);
    let modes: Vec<String> = specs().map(mode_of).collect();
    let mode_width = modes.iter().map(String::len).max().unwrap_or(0).max(16);
    let row = |[
        stay,
        place,
        mode,
        services,
        endpoints,
        transport,
        expected,
        cells,
    ]: [&str; 8]| {
        let place = if several { place } else { "" };
        say!(
            "{stay:<4} {place:<place_width$}{mode:<mode_width$} {services:>8} {endpoints:>9}  {transport:<9} {expected:>9}  {cells}"
        );
    };
    row([
        "stay",
        "environment",
        "mode",
        "services",
        "endpoints",
        "transport",
        "expected",
        "cells",
    ]);
    for (i, (stay, mode)) in block.iter().zip(&modes).enumerate() {
        let spec = &stay.spec;
        let mut asked: BTreeMap<&str, usize> = BTreeMap::new();
        for cell in &spec.cells {
            *asked.entry(cell.scenario.name()).or_default() += 1;
        }
        let asked = asked.iter().map(|(name, count)| format!("{count} {name}"));
        let transport = match spec.mode.is_floor() {
            true => "-",
            false => spec.transport.name(),
        };
        row([
            &i.to_string(),
            &spec.environment,
            mode,
            &spec.services.to_string(),
            &spec.endpoints.to_string(),
            transport,
            &rough(Duration::from_nanos(stay.expected_ns)),
            &asked.collect::<Vec<_>>().join(", "),
        ]);
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
fn mode_of(spec: &StaySpec) -> String {
    match spec.variant.as_str() {
        "" => spec.mode.to_string(),
        variant => format!("{} ({variant})", spec.mode),
    }
}

fn print_rules(settings: &Settings) {
    let services = settings.request.largest;
    let recipe = Recipe {
        seed: settings.args.seed,
        endpoints: settings.args.endpoints,
        protocols: &settings.request.protocols,
        vip_stride: settings.args.vip_stride,
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
