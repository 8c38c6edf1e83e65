//! Line 1 of a run: what was asked, of what, by which program, on what.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use schema::{Environment, Header, SCHEMA_VERSION, Variant};
use serde_json::{Value, json};

use crate::cli::RunArgs;
use crate::environment;
use crate::environments::{Environments, Open};
use crate::plan::{Plan, Settings, Side};
use crate::run_dir;

/// The header of a run that starts now.
pub(crate) fn header(
    args: &RunArgs,
    settings: &Settings,
    plan: &Plan,
    choice: String,
    environments: &Environments,
) -> Header {
    let all = environments
        .iter()
        .map(|open| (open.name.clone(), facts(open, settings)));
    Header {
        schema_version: SCHEMA_VERSION,
        started: run_dir::now(),
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        revision: env!("BENCH_RUNNER_REVISION").to_owned(),
        binary: binary(),
        command_line: std::env::args().collect(),
        arguments: arguments(args, settings, plan),
        seed: settings.seed,
        planned_cells: plan.cells_per_block() * u64::from(plan.blocks),
        planned_blocks: plan.blocks,
        planned_time_ns: plan.block_ns() * u64::from(plan.blocks),
        choice,
        variants: variants(settings, environments),
        environments: all.collect(),
    }
}

/// Checksum of this program's file: the one that runs, even when another has taken its name since.
fn binary() -> String {
    environment::checksum(Path::new("/proc/self/exe")).unwrap_or_default()
}

/// An environment's facts, with the tools that were named for all variants.
fn facts(open: &Open, settings: &Settings) -> Environment {
    let mut facts = open.facts.clone();
    for (name, file) in &settings.setup.tools {
        let said = environment::replaced(name, file);
        facts.tools.insert(name.clone(), said);
    }
    facts
}

/// The sides of the comparison, where each is measured, and with which tools in place of others.
fn variants(settings: &Settings, environments: &Environments) -> Vec<Variant> {
    let of_side = |side: &Side| {
        let name = &side.given.name;
        let there = environments.planned().into_iter();
        let tools = side.settings.setup.tools.iter();
        Variant {
            name: name.clone(),
            options: side.given.options.clone(),
            environments: there.filter(|e| e.measures(name)).map(|e| e.name).collect(),
            tools: tools
                .map(|(tool, file)| (tool.clone(), environment::replaced(tool, file)))
                .collect(),
        }
    };
    settings.variants.iter().map(of_side).collect()
}

/// The variants' options as given, by name; the order counts, too.
fn options_of(settings: &Settings) -> Value {
    let given = settings.variants.iter().map(|side| &side.given);
    let named = given.map(|given| (given.name.clone(), json!(given.options)));
    Value::Object(named.collect())
}

/// Resolved arguments by option name: everything that decides the plan or what a stay does.
pub(crate) fn arguments(
    args: &RunArgs,
    settings: &Settings,
    plan: &Plan,
) -> BTreeMap<String, Value> {
    let request = &settings.request;
    let names = |list: Vec<&str>| json!(list);
    let time = |time: Duration| json!(humantime::format_duration(time).to_string());
    let on_off = |on: bool| json!(if on { "on" } else { "off" });
    let modes = settings.modes.iter().map(|m| m.name()).collect();
    let scenarios = settings.scenarios.iter().map(|s| s.name()).collect();
    let transports = request.transports.iter().map(|t| t.name()).collect();
    let engines = request.engines.iter().map(|e| e.name()).collect();
    let positions = request.positions.iter().map(|p| p.name()).collect();
    let protocols = request.protocols.iter().map(|p| p.name()).collect();
    [
        ("services", json!(settings.sizes)),
        ("endpoints", json!(settings.endpoints)),
        ("modes", names(modes)),
        ("scenarios", names(scenarios)),
        ("transports", names(transports)),
        ("engines", names(engines)),
        ("churn", json!(request.churn)),
        ("positions", names(positions)),
        ("cache", json!(request.cache.name())),
        ("protocols", names(protocols)),
        ("families", json!(args.families)),
        ("large-cluster", on_off(request.large_cluster)),
        ("sandbox", json!(args.sandbox.name())),
        ("kernel", json!(args.kernel)),
        ("deterministic", json!(settings.deterministic)),
        ("repetitions", json!(settings.repetitions)),
        ("budget", time(plan.budget)),
        ("cell-timeout", time(settings.cell_timeout)),
        ("flows", json!(settings.flows)),
        ("vip-stride", json!(settings.vip_stride)),
        ("control", json!(settings.control)),
        ("damage", json!(settings.damage)),
        ("plant", json!(settings.plant)),
        ("sysctl", json!(settings.setup.sysctls)),
        ("tool", json!(settings.setup.tools)),
        ("variant", options_of(settings)),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}
