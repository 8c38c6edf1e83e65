//! `run`: the pipeline. Resolve, check the machine, plan, measure, report.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use anyhow::Context as _;
use schema::{EndRecord, Environment, Header, Record, SCHEMA_VERSION};

use crate::cli::RunArgs;
use crate::environment;
use crate::execute::{Executor, Tally};
use crate::exit::{Ended, Usage};
use crate::plan::{ENVIRONMENT, Plan, Settings};
use crate::progress::rough;
use crate::readiness::{self, Case};
use crate::run_dir::{self, RunDir};
use crate::stdout::say;

pub(crate) fn run(args: &RunArgs) -> anyhow::Result<Ended> {
    let settings = Settings::resolve(args)?;
    let plan = Plan::new(&settings);
    // One thread: a stay's process dies with the thread that started it, and that is this one.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the runtime")?;
    runtime.block_on(measure(args, &settings, &plan))
}

async fn measure(args: &RunArgs, settings: &Settings, plan: &Plan) -> anyhow::Result<Ended> {
    check_conntrack(settings, plan)?;
    let cases = plan.cases();
    readiness::check_tools(&cases, &args.modes)?;
    let tried = readiness::attempt_all(&cases).await?;
    let unsupported: HashMap<Case, String> = tried
        .iter()
        .filter_map(|(case, trial)| Some((*case, trial.unsupported.clone()?)))
        .collect();
    let mut run_dir = RunDir::create(args.out.as_deref())?;
    announce(settings, plan, &unsupported);
    let begun = netns_sys::clock::now();
    let sysctls = tried
        .into_values()
        .map(|trial| trial.sysctls)
        .find(|s| !s.is_empty())
        .unwrap_or_default();
    run_dir.append(&Record::Header(header(args, settings, plan, sysctls)))?;
    let executed = Executor::new(settings, plan, &mut run_dir, unsupported)?
        .run()
        .await;
    let tally = match executed {
        Ok(tally) => tally,
        Err(error) => {
            run_dir.give_to_invoker();
            return Err(error);
        }
    };
    run_dir.append(&Record::End(EndRecord {
        ended: tally.ended().to_owned(),
        elapsed_ns: begun.elapsed_ns(),
        runner_rss_bytes: peak_rss_bytes(),
    }))?;
    report(&run_dir)?;
    run_dir.give_to_invoker();
    Ok(conclude(&tally, &run_dir))
}

/// Tracked connections of the longest stay must fit into half of the kernel's table.
fn check_conntrack(settings: &Settings, plan: &Plan) -> Result<(), Usage> {
    let Some(max) = std::fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_max")
        .ok()
        .and_then(|text| text.trim().parse::<u64>().ok())
    else {
        return Ok(());
    };
    // Warm-up is at most 500 flows; a proof opens a few thousand.
    let cells = plan
        .stays
        .iter()
        .map(|s| s.spec.cells.len() as u64)
        .max()
        .unwrap_or(0);
    let flows = cells * u64::from(settings.request.flows + 500) + 5_000;
    if 2 * flows <= max {
        return Ok(());
    }
    Err(Usage(format!(
        "--flows {} in {cells} cells of a stay needs {} tracked connections, more than half of nf_conntrack_max ({max}): lower --flows",
        settings.request.flows, flows
    )))
}

fn announce(settings: &Settings, plan: &Plan, unsupported: &HashMap<Case, String>) {
    if unsupported.is_empty() {
        eprintln!("sandbox netns: the host's kernel has every requested mode");
    }
    for (case, reason) in unsupported {
        eprintln!("unsupported: {case}: {reason}");
    }
    if netns_sys::isolation::needs_user_namespace() {
        eprintln!(
            "without root: labs live in user namespaces of their own; `doctor` says what that leaves out"
        );
    }
    let block = Duration::from_nanos(plan.block_ns());
    let all = Duration::from_nanos(plan.block_ns() * u64::from(plan.blocks))
        .min(settings.budget.max(block));
    eprintln!(
        "{} cells in {} stays a block; one block takes about {}, {} blocks within the budget of {} about {}; seed {}",
        plan.cells_per_block(),
        plan.stays.len(),
        rough(block),
        plan.blocks,
        rough(settings.budget),
        rough(all),
        plan.seed,
    );
}

fn header(
    args: &RunArgs,
    settings: &Settings,
    plan: &Plan,
    sysctls: BTreeMap<String, String>,
) -> Header {
    let host = Environment {
        sysctls,
        ..environment::host(&plan.cases())
    };
    Header {
        schema_version: SCHEMA_VERSION,
        started: run_dir::now(),
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        revision: env!("BENCH_RUNNER_REVISION").to_owned(),
        command_line: std::env::args().collect(),
        arguments: arguments(args, settings),
        seed: settings.seed,
        planned_cells: plan.cells_per_block() * u64::from(plan.blocks),
        planned_blocks: plan.blocks,
        planned_time_ns: plan.block_ns() * u64::from(plan.blocks),
        environments: [(ENVIRONMENT.to_owned(), host)].into(),
    }
}

fn arguments(args: &RunArgs, settings: &Settings) -> BTreeMap<String, serde_json::Value> {
    use serde_json::json;
    let names = |list: Vec<&str>| json!(list);
    [
        ("services", json!(settings.sizes)),
        ("endpoints", json!(settings.endpoints)),
        (
            "modes",
            names(settings.modes.iter().map(|m| m.name()).collect()),
        ),
        (
            "scenarios",
            names(settings.scenarios.iter().map(|s| s.name()).collect()),
        ),
        (
            "transports",
            names(
                settings
                    .request
                    .transports
                    .iter()
                    .map(|t| t.name())
                    .collect(),
            ),
        ),
        (
            "positions",
            names(
                settings
                    .request
                    .positions
                    .iter()
                    .map(|p| p.name())
                    .collect(),
            ),
        ),
        (
            "protocols",
            names(
                settings
                    .request
                    .protocols
                    .iter()
                    .map(|p| p.name())
                    .collect(),
            ),
        ),
        ("families", json!(args.families)),
        (
            "large-cluster",
            json!(if settings.request.large_cluster {
                "on"
            } else {
                "off"
            }),
        ),
        ("sandbox", json!(args.sandbox)),
        ("repetitions", json!(settings.repetitions)),
        (
            "budget",
            json!(humantime::format_duration(settings.budget).to_string()),
        ),
        (
            "cell-timeout",
            json!(humantime::format_duration(settings.cell_timeout).to_string()),
        ),
        ("flows", json!(settings.request.flows)),
        ("control", json!(settings.control)),
        ("damage", json!(settings.damage)),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

/// Peak resident memory of this process and of the largest stay, bytes.
fn peak_rss_bytes() -> u64 {
    use nix::sys::resource::{UsageWho, getrusage};
    let peak = |who| getrusage(who).map_or(0, |u| u.max_rss() as u64 * 1024);
    peak(UsageWho::RUSAGE_SELF).max(peak(UsageWho::RUSAGE_CHILDREN))
}

/// Summary, plots and page, from the file that was written.
fn report(run_dir: &RunDir) -> anyhow::Result<()> {
    let run = reports::load(run_dir.path()).context("read the results back")?;
    let summary = reports::summarise(&run);
    reports::write_all(run_dir.path(), &run, &summary).context("write the report")?;
    say!("{}", crate::table::render(&summary));
    Ok(())
}

fn conclude(tally: &Tally, run_dir: &RunDir) -> Ended {
    let counted: Vec<String> = tally
        .outcomes
        .iter()
        .map(|(name, count)| format!("{count} {name}"))
        .collect();
    eprintln!("{}: {}", tally.ended(), counted.join(", "));
    for failure in tally.failures.iter().take(5) {
        eprintln!("failed: {failure}");
    }
    say!("{}", run_dir.path().join("report.html").display());
    if tally.interrupted {
        Ended::Interrupted
    } else if tally.count("failed") > 0 || tally.count("measured") == 0 {
        Ended::Failed
    } else {
        Ended::Done
    }
}
