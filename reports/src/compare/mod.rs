//! Two runs, or the two sides of one: what changed, and how sure that is.
//!
//! ```text
//! Digest::load(path) -> compare(base, new, options) -> Comparison -> format::render
//! ```
//!
//! What is tested, in which unit, and why these thresholds: docs/compare-and-gate.md.

mod across;
mod digest;
mod drift;
mod environment;
pub mod format;
mod found;
mod judge;
pub mod looks;
mod pair;
mod pool;
mod trial;

pub use across::Across;
pub use digest::Digest;
pub(crate) use digest::{CellDigest, SeriesDigest};
pub(crate) use environment::differences;

use std::collections::{BTreeMap, BTreeSet};

use schema::comparison::{Compared, Comparison, Conclusion, Difference, Pooled, Side, Verdict};
use schema::{Metric, OutcomeKind, SCHEMA_VERSION};

use crate::gate::Gate;
use drift::Drifts;
use judge::Judge;
use pair::{Half, Matched};
use trial::Tried;

/// What is asked of a comparison.
#[derive(Debug, Clone)]
pub struct Question {
    /// When a change counts.
    pub gate: Gate,
    /// What may differ.
    pub across: Vec<Across>,
}

/// Why nothing can be compared. One line each.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// What was asked does not fit what was given: exit 2.
    #[error("{0}")]
    Usage(String),
    /// The environments differ in what was not asked: exit 4.
    #[error("BASE and NEW are of different environments: {}", refusal(.0))]
    Environments(Vec<Difference>),
    /// No cell was measured on both sides: exit 4.
    #[error("{0}")]
    NothingComparable(String),
}

/// How many facts a refusal names.
const NAMED: usize = 12;

fn refusal(differences: &[Difference]) -> String {
    let named = differences.iter().take(NAMED);
    let mut said: Vec<String> = named
        .map(|d| format!("{} was \"{}\", is \"{}\"", d.fact, d.base, d.new))
        .collect();
    if differences.len() > NAMED {
        said.push(format!("and {} more", differences.len() - NAMED));
    }
    let keys: BTreeSet<&str> = differences.iter().map(|d| d.key.as_str()).collect();
    format!(
        "{}; if that is the question, add --across {}",
        said.join(", "),
        keys.into_iter().collect::<Vec<_>>().join(",")
    )
}

/// Compares two runs, or the two sides of one.
///
/// # Errors
/// [`CompareError`]: what was asked does not fit, environments differ, or nothing was measured on both sides.
pub fn compare(
    base: &Digest,
    new: Option<&Digest>,
    question: &Question,
) -> Result<Comparison, CompareError> {
    let matched = Matched::of(base, new, &question.across)?;
    let gate = if matched.is_counted() {
        question.gate.counted()
    } else {
        question.gate.clone()
    };
    // Two runs are looked at once.
    let look = matched.one_run.then(|| {
        let arguments = &matched.base.run.header.arguments;
        looks::of_run(arguments, matched.base.run.cells.iter())
    });
    let look = look.flatten();
    let gate = look.map_or(gate.clone(), |look| looks::gate_at(&gate, look));
    let measured = |side: &[&CellDigest]| side.iter().any(|cell| cell.measured());
    let mut pairs = matched.pairs.values();
    if !pairs.any(|pair| measured(&pair.base) && measured(&pair.new)) {
        return Err(CompareError::NothingComparable(nothing(&matched)));
    }
    let drifts = match !matched.one_run && matched.across.is_empty() {
        true => Drifts::of(&matched.pairs, &gate),
        false => Drifts::default(),
    };
    let judge = Judge {
        gate: &gate,
        drifts: &drifts,
    };
    let pairs = matched.pairs.values();
    let mut tried: Vec<Tried<'_>> = pairs
        .flat_map(|pair| trial::rows(pair, &gate, &matched))
        .collect();
    judge.cells(&mut tried);
    let trials = tried.iter().filter_map(|tried| tried.trial.as_ref());
    let mut pooled = pool::pools(trials, matched.one_run);
    judge.pooled(&mut pooled);
    let pooled: Vec<Pooled> = pooled.into_iter().map(|pool| pool.row).collect();
    let rows: Vec<Compared> = tried.into_iter().map(|tried| tried.row).collect();
    let identical = is_identical(&rows);
    let mut notes = notes(&matched, &gate, &drifts, identical);
    notes.extend(look.map(|look| {
        format!(
            "Measured until it was decided: this is look {look}, which has 1 ÷ {} of the gate's p, so that all looks together have no more than p.",
            look * (look + 1)
        )
    }));
    Ok(Comparison {
        schema_version: SCHEMA_VERSION,
        base: side(&matched.base),
        new: side(&matched.new),
        one_run: matched.one_run,
        identical,
        across: matched
            .across
            .iter()
            .map(|key| key.name().to_owned())
            .collect(),
        differences: matched.differences.clone(),
        drift: drifts.packets,
        update_drifts: drifts.updates,
        gate: gate.name.clone(),
        thresholds: gate.thresholds.clone(),
        scenario_thresholds: gate.of_scenarios.clone(),
        conclusion: conclusion(&rows, &pooled, &matched.new),
        decision: looks::decision(&rows, &pooled),
        verdicts: verdicts(&rows, &pooled),
        pooled,
        cells: rows,
        notes,
    })
}

/// Whether all that was measured on both sides is the same measurement, and nothing is missing: what cannot be compared
/// is not known to be the same.
fn is_identical(rows: &[Compared]) -> bool {
    let mut changes = rows.iter().filter_map(|row| row.change.as_ref()).peekable();
    changes.peek().is_some()
        && changes.all(|change| change.test == found::IDENTICAL)
        && rows.iter().all(|row| match row.verdict {
            Verdict::Missing => false,
            Verdict::Incomparable => row.base.is_none() || row.new.is_none(),
            _ => true,
        })
}

fn nothing(matched: &Matched<'_>) -> String {
    let count = |half: &Half<'_>| half.cells.iter().filter(|cell| cell.measured()).count();
    format!(
        "no cell was measured on both sides (BASE measured {}, NEW {}): compare runs of the same modes, scenarios, sizes and options",
        count(&matched.base),
        count(&matched.new)
    )
}

fn side(half: &Half<'_>) -> Side {
    let mut others: BTreeMap<String, u64> = BTreeMap::new();
    for cell in half.cells.iter().filter(|cell| !cell.measured()) {
        *others.entry(cell.outcome.name().to_owned()).or_default() += 1;
    }
    Side {
        run: half.run.path.display().to_string(),
        part: half.part.clone(),
        started: half.run.header.started.clone(),
        revision: half.run.header.revision.clone(),
        measured: half.cells.iter().filter(|cell| cell.measured()).count() as u64,
        others,
    }
}

fn conclusion(rows: &[Compared], pooled: &[Pooled], new: &Half<'_>) -> Conclusion {
    let held_back = rows.iter().any(|row| match row.verdict {
        Verdict::Regressed => true,
        Verdict::Missing => row.allowed.is_none(),
        _ => false,
    }) || pooled.iter().any(|pool| pool.verdict == Verdict::Regressed);
    let has_failed = |cell: &&CellDigest| cell.outcome.kind() == OutcomeKind::Failed;
    match held_back {
        true => Conclusion::Regressed,
        false if new.cells.iter().any(has_failed) => Conclusion::Failed,
        false => Conclusion::Passed,
    }
}

fn verdicts(rows: &[Compared], pooled: &[Pooled]) -> BTreeMap<Verdict, u64> {
    let mut verdicts = BTreeMap::new();
    let rows = rows.iter().map(|row| row.verdict);
    for verdict in rows.chain(pooled.iter().map(|pool| pool.verdict)) {
        *verdicts.entry(verdict).or_default() += 1;
    }
    verdicts
}

/// What a reader must know besides.
fn notes(matched: &Matched<'_>, gate: &Gate, drifts: &Drifts, identical: bool) -> Vec<String> {
    let mut notes = Vec::new();
    if identical {
        notes.push("BASE and NEW are identical: every sample of both is the same, they are one measurement.".to_owned());
    }
    let runs = if matched.one_run { 1 } else { 2 };
    let halves = [("BASE", &matched.base), ("NEW", &matched.new)];
    for (name, half) in halves.into_iter().take(runs) {
        let warnings = half.run.warnings.iter();
        notes.extend(warnings.map(|warning| format!("{name}: {warning}.")));
        if !half.run.ended {
            notes.push(format!(
                "{name} was killed before its end: what it lacks was not measured."
            ));
        }
    }
    if !matched.one_run {
        notes.extend(headers(matched));
    }
    let counts = |side: &[&CellDigest]| side.iter().any(|cell| cell.measured() && cell.accounts);
    let pairs = matched.pairs.values();
    let counting = pairs.map(|pair| (counts(&pair.base), counts(&pair.new)));
    if let Some((base, _)) = counting.into_iter().find(|(base, new)| base != new) {
        let [with, without] = if base {
            ["BASE", "NEW"]
        } else {
            ["NEW", "BASE"]
        };
        notes.push(format!(
            "Rules of iptables name counters of nfnetlink_acct in {with}, not in {without}: of IPv4 each node port has one rule more there, which packets to it pass, and every update more bytes."
        ));
    }
    for (drift, what) in drifts.told() {
        if drift.counts {
            notes.push(format!(
                "The machine changed between the runs: {what} by {}. Verdicts on times need what goes beyond that; measure both sides in one run (run --variant) to be rid of it.",
                format::percent(drift.ratio - 1.0)
            ));
        }
    }
    if drifts.told().is_empty() && !matched.one_run && !identical {
        notes.push(if matched.across.is_empty() {
            "Mode none was not measured in both runs by enough stays: whether the machine changed between them is not known.".to_owned()
        } else {
            "The sides differ by what was asked and were measured in two runs: whether the machine changed between them as well is not known.".to_owned()
        });
    }
    let left_out = left_out(matched, gate);
    if !left_out.is_empty() {
        notes.push(format!(
            "Not compared, because the gate has no thresholds for them: {}.",
            left_out.join(", ")
        ));
    }
    notes
}

/// Arguments that change what is measured and are in no cell's identity.
fn headers(matched: &Matched<'_>) -> Vec<String> {
    let (base, new) = (&matched.base.run.header, &matched.new.run.header);
    let mut notes = Vec::new();
    if base.seed != new.seed {
        notes.push(format!(
            "Seeds differ ({} and {}): the populations are not the same.",
            base.seed, new.seed
        ));
    }
    if (&base.revision, &base.tool_version) != (&new.revision, &new.tool_version) {
        notes.push(format!(
            "bench-runner itself differs ({} {} and {} {}): a change may be its own.",
            base.tool_version, base.revision, new.tool_version, new.revision
        ));
    }
    if matched.crosses_schema_two() {
        notes.push("Schema 1 measured one population in every repetition, later ones draw another for each: what populations differ by is in every change.".to_owned());
    }
    for name in ["flows", "cell-timeout"] {
        if base.arguments.get(name) != new.arguments.get(name) {
            notes.push(format!("--{name} is not the same in both runs."));
        }
    }
    notes
}

/// Metrics that both sides have and the gate does not name.
fn left_out(matched: &Matched<'_>, gate: &Gate) -> Vec<String> {
    let is_left_out = |metric: &&Metric| {
        let has = |half: &Half<'_>| half.cells.iter().any(|cell| cell.get(**metric).is_some());
        !gate.thresholds.contains_key(metric) && has(&matched.base) && has(&matched.new)
    };
    let left_out = Metric::ALL.iter().filter(is_left_out);
    left_out.map(ToString::to_string).collect()
}
