//! `plan`: what a run would do, without doing it.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use netns_harness::datapath::{RenderOptions, Transport, facts};
use scenarios::population::Recipe;
use scenarios::spec::StaySpec;
use schema::OptionKey;

use crate::choice;
use crate::cli::RunArgs;
use crate::exit::{Ended, refused};
use crate::machine::Machine;
use crate::plan::{ENVIRONMENT, Plan, PlannedStay, Settings, mode_of};
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
            let spec = serde_json::to_string(&stay.spec).context("encode a stay")?;
            say!("{spec}");
        }
    } else {
        print_table(&plan);
    }
    Ok(Ended::Done)
}

fn print_table(plan: &Plan) {
    let titles = [
        "stay",
        "environment",
        "mode",
        "services",
        "endpoints",
        "expected",
        "programmed",
        "cells",
    ];
    let rows: Vec<[String; 8]> = plan.block(0).iter().enumerate().map(row).collect();
    // On this machine's kernel alone there is nothing to say of where.
    let several = rows.iter().any(|row| row[1] != ENVIRONMENT);
    let lines = [titles.map(str::to_owned)].into_iter().chain(rows);
    let lines: Vec<[String; 8]> = lines.collect();
    let widths: [usize; 8] =
        std::array::from_fn(|at| lines.iter().map(|line| line[at].len()).max().unwrap_or(0));
    for line in &lines {
        let columns = line.iter().zip(widths).enumerate();
        let shown = columns.filter(|(at, _)| *at != 1 || several);
        // Numbers stand to the right.
        let aligned = shown.map(|(at, (text, width))| match at {
            3..=5 => format!("{text:>width$}"),
            7 => text.clone(),
            _ => format!("{text:<width$}"),
        });
        say!("{}", aligned.collect::<Vec<_>>().join("  "));
    }
    plan.sentences().iter().for_each(|line| say!("{line}"));
}

/// The columns of a stay.
fn row((number, stay): (usize, &PlannedStay)) -> [String; 8] {
    let spec = &stay.spec;
    let mut asked: BTreeMap<String, usize> = BTreeMap::new();
    for cell in &spec.cells {
        let word = |key, before: &str| {
            let words = cell.options.words_of(key);
            words.map_or_else(String::new, |words| format!(" {before} {words}"))
        };
        let cut = word(OptionKey::Chunk, "in")
            + &word(OptionKey::TrackedFlows, "with")
            + &word(OptionKey::ScaledTo, "down");
        *asked.entry(format!("{}{cut}", cell.scenario)).or_default() += 1;
    }
    let asked = asked.iter().map(|(name, count)| format!("{count} {name}"));
    [
        number.to_string(),
        spec.environment.clone(),
        mode_of(spec),
        spec.services.to_string(),
        spec.endpoints.to_string(),
        match stay.left_out {
            Some(_) => "not begun".to_owned(),
            None => rough(Duration::from_nanos(stay.expected_ns)),
        },
        programmed(spec),
        asked.collect::<Vec<_>>().join(", "),
    ]
}

/// How a stay's rules are written: "netlink, kube-proxy 1.36, tools of trixie".
fn programmed(spec: &StaySpec) -> String {
    if spec.mode.is_floor() {
        return "-".to_owned();
    }
    let cells = spec.cells.iter().map(|cell| &cell.options);
    let word = |key: OptionKey| cells.clone().find_map(|options| options.words_of(key));
    // Hours of idling are of other versions than the rules.
    let layout = spec.kube_proxy.and_then(|v| facts(spec.mode).layout(v));
    let layout = layout.map(|layout| OptionKey::KubeProxy.words(&layout.to_string()));
    let keys = [
        OptionKey::MinSyncPeriod,
        OptionKey::LargeCluster,
        OptionKey::Maxelem,
        OptionKey::Engine,
        OptionKey::Suite,
    ];
    let words = layout.into_iter().chain(keys.into_iter().filter_map(word));
    let all = [spec.transport.name().to_owned()].into_iter().chain(words);
    all.collect::<Vec<_>>().join(", ")
}

fn print_rules(settings: &Settings) {
    let services = settings.request.largest;
    let endpoints = *settings.endpoints.last().expect("there is one number");
    let cases = settings.cases();
    for case in cases.iter().filter(|case| !case.mode.is_floor()) {
        if case.transport == Transport::KubeProxy {
            say!("# {case}: what a real kube-proxy installs is seen when it has");
            continue;
        }
        let recipe = Recipe {
            family: case.family,
            seed: settings.args.seed,
            endpoints,
            protocols: &settings.request.protocols,
            vip_stride: settings.args.vip_stride,
            types: settings.mixes[0].cycle(),
        };
        let population = recipe.population(services);
        let datapath = case.datapath();
        let options = RenderOptions {
            large_cluster: settings.request.large_cluster.at(services, endpoints),
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
