//! KCIDB: what KernelCI's common database of results takes (schema 5.3, `kcidb-io`). A test for each cell and metric: its
//! number where it was measured, else what became of it. The kernel is named by its release and build, since a checkout's
//! commit is nowhere to be read.

use schema::summary::{Row, Summary};
use schema::{Environment, OutcomeKind, Unit};
use serde_json::{Map, Value, json};

use crate::load::Run;
use crate::statistics::seed_of;

/// Who sends; the beginning of every name.
const ORIGIN: &str = "bench_runner";
/// Root of our part of the tree of tests.
const TREE: &str = "bench-runner";

/// The runs' cells as one report.
#[must_use]
pub fn render_kcidb(runs: &[(&Run, &Summary)]) -> Value {
    let (mut checkouts, mut builds, mut tests) = (Map::new(), Map::new(), Vec::new());
    for (run, summary) in runs {
        for facts in run.header.environments.values() {
            let (checkout, build) = (checkout_of(facts), build_of(facts));
            builds.insert(
                build.clone(),
                json!({
                    "id": build,
                    "origin": ORIGIN,
                    "checkout_id": checkout,
                    "architecture": without(&facts.machine.to_lowercase(), '_'),
                    "comment": plain(&format!("Linux {} {}", facts.kernel, facts.kernel_build)),
                }),
            );
            let comment = plain(&format!("Linux {}", facts.kernel));
            checkouts.insert(
                checkout.clone(),
                json!({ "id": checkout, "origin": ORIGIN, "comment": comment }),
            );
        }
        let identity = identity_of(run);
        // A cell without an environment that the header describes has no build.
        let of_a_build = summary.cells.iter().filter_map(|row| {
            let facts = run.header.environments.get(&row.key.environment)?;
            Some(test(run, &identity, facts, row))
        });
        tests.extend(of_a_build);
    }
    let all = |of: Map<String, Value>| of.into_iter().map(|(_, one)| one).collect::<Vec<_>>();
    json!({
        "version": { "major": 5, "minor": 3 },
        "checkouts": all(checkouts),
        "builds": all(builds),
        "tests": tests,
    })
}

fn test(run: &Run, identity: &str, facts: &Environment, row: &Row) -> Value {
    let (header, path) = (&run.header, path(row));
    let mut misc = json!({
        "cell": row.key,
        "metric": row.metric,
        "samples": row.n,
        "stays": row.stays,
        "revision": header.revision,
    });
    if let Some(ends) = row
        .ci95
        .filter(|ends| ends.iter().all(|end| end.is_finite()))
    {
        misc["ci95"] = json!(ends.map(|end| row.unit.map_or(end, |unit| in_base(end, unit))));
    }
    let mut test = json!({
        "id": format!("{ORIGIN}:{:016x}", seed_of(&format!("{path} {identity}"))),
        "origin": ORIGIN,
        "build_id": build_of(facts),
        "path": path,
        "status": status(row.outcome),
        "start_time": header.started,
        "environment": {
            "comment": plain(&format!("{}, {} CPUs, sandbox {}", facts.cpu, facts.cores, facts.sandbox)),
            "misc": facts,
        },
        "misc": misc,
    });
    if let (Some(median), Some(unit)) = (row.median, row.unit) {
        test["number"] = number(median, unit);
    }
    if let Some(reason) = &row.reason {
        test["comment"] = plain(reason).into();
    }
    test
}

/// What tells a run from every other, and is the same whenever it is reported: how long its cells took.
fn identity_of(run: &Run) -> String {
    let cells = run.cells.iter();
    let took: Vec<String> = cells.map(|cell| cell.elapsed_ns.to_string()).collect();
    format!("{} {}", run.header.started, took.join(" "))
}

/// What KCIDB says of it: `DONE` has a number, `MISS` was not tried, and of what failed nobody knows who is to blame.
const fn status(outcome: OutcomeKind) -> &'static str {
    match outcome {
        OutcomeKind::Measured => "DONE",
        OutcomeKind::Unsupported => "SKIP",
        OutcomeKind::NotRun => "MISS",
        OutcomeKind::Failed | OutcomeKind::TimedOut => "ERROR",
    }
}

/// A number in the base of its unit, and which prefixes it may be shown with.
fn number(value: f64, unit: Unit) -> Value {
    let value = in_base(value, unit);
    match unit {
        Unit::Nanoseconds => json!({ "value": value, "unit": "s", "prefix": "metric" }),
        Unit::Bytes => json!({ "value": value, "unit": "B", "prefix": "binary" }),
        Unit::Instructions => json!({ "value": value, "unit": "instructions" }),
        Unit::Count => json!({ "value": value }),
    }
}

fn in_base(value: f64, unit: Unit) -> f64 {
    match unit {
        Unit::Nanoseconds => value / 1e9,
        Unit::Bytes | Unit::Instructions | Unit::Count => value,
    }
}

/// "bench-runner.first-packet.nftables.latency.services-1000.endpoints-2.position-last": what the same cell and metric has in
/// every run.
fn path(row: &Row) -> String {
    let key = &row.key;
    let mut parts = vec![
        TREE.to_owned(),
        key.scenario.to_string(),
        key.mode.to_string(),
    ];
    parts.extend(row.metric.map(|metric| metric.to_string()));
    parts.push(format!("services-{}", key.services));
    parts.push(format!("endpoints-{}", key.endpoints));
    parts.extend(key.options.iter().map(|(k, v)| format!("{k}-{v}")));
    parts.push(key.environment.clone());
    parts.push(key.variant.clone());
    parts.retain(|part| !part.is_empty());
    let parts: Vec<String> = parts.iter().map(|part| without(part, '-')).collect();
    parts.join(".")
}

fn checkout_of(facts: &Environment) -> String {
    format!("{ORIGIN}:{}", without(&facts.kernel, '-'))
}

fn build_of(facts: &Environment) -> String {
    let build = format!("{} {}", facts.kernel, facts.kernel_build);
    format!("{}-{:016x}", checkout_of(facts), seed_of(&build))
}

/// Without what neither a path nor an architecture may have.
fn without(text: &str, instead: char) -> String {
    let other = |letter: char| !letter.is_ascii_alphanumeric() && !"_-".contains(letter);
    let text = text.replace(other, &instead.to_string());
    match instead {
        '_' => text.replace('-', "_"),
        _ => text,
    }
}

fn plain(text: &str) -> String {
    text.replace('\0', "")
}
