//! Line 1 of a run: what was asked, of what, by which program, on what.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::time::Duration;

use schema::{Header, SCHEMA_VERSION};
use serde_json::{Value, json};

use crate::cli::RunArgs;
use crate::plan::{Plan, Settings};
use crate::run_dir;
use crate::sandbox::environments::Environments;

/// The header of a run that starts now.
pub(crate) fn header(
    args: &RunArgs,
    settings: &Settings,
    plan: &Plan,
    choice: String,
    environments: &Environments,
) -> Header {
    let facts = environments
        .iter()
        .map(|open| (open.name.clone(), open.facts.clone()));
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
        environments: facts.collect(),
    }
}

/// "crc32 XXXXXXXX, N bytes" of this program's file: tells builds apart, not attackers.
fn binary() -> String {
    let mut crc = flate2::Crc::new();
    let mut piece = vec![0; 1 << 20];
    let mut sum = || -> std::io::Result<(u32, u64)> {
        // The file that runs, even when another has taken its name since.
        let mut file = File::open("/proc/self/exe")?;
        let mut bytes = 0;
        loop {
            match file.read(&mut piece)? {
                0 => return Ok((crc.sum(), bytes)),
                n => crc.update(&piece[..n]),
            }
            bytes = file.metadata()?.len();
        }
    };
    match sum() {
        Ok((sum, bytes)) => format!("crc32 {sum:08x}, {bytes} bytes"),
        Err(_) => String::new(),
    }
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
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}
