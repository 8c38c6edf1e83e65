//! From the lines of a run to `summary.json` (docs/results-format.md): pure, and the same for the same lines.

mod beside;
mod cells;
mod findings;
mod fits;
mod measures;
mod noise;
mod ratios;

use std::collections::BTreeMap;
use std::num::NonZero;
use std::panic::resume_unwind;
use std::thread;

use schema::summary::{Coverage, Fit, Over, PerCpu, Row, Summary, Tail, Whole};
use schema::{
    CellKey, CellRecord, Metric, Outcome, OutcomeKind, SCHEMA_VERSION, SandboxKind, Unit,
};

use crate::load::Run;
use crate::statistics::Known;
use crate::view::grouped;

pub use beside::{Apart, Beside, BesideLine, beside};
pub(crate) use cells::is_censored;
use cells::{Cells, Stay, by_seed, known};
pub(crate) use measures::is_ordinary;
pub use measures::{Answer, Asked, matrix};
pub(crate) use noise::of_spreads;
pub use ratios::{FloorRatios, Ratio, floor_ratios};

/// A quantile is given from this many samples on: the rarest tenth, hundredth or thousandth must have
/// been seen at least once.
const QUANTILES: &[(&str, f64, u64)] = &[
    ("p50", 0.5, 1),
    ("p90", 0.9, 10),
    ("p99", 0.99, 100),
    ("p99.9", 0.999, 1_000),
];

/// Computes the summary of a run.
#[must_use]
pub fn summarise(run: &Run) -> Summary {
    let cells = Cells::of(run);
    let all: Vec<_> = cells.iter().collect();
    let rows = in_parallel(&all, |(key, records)| rows_of(&cells, run, key, records));
    let mut fits: Vec<Fit> = Vec::new();
    for over in Over::ALL {
        let families = cells.families(*over);
        fits.extend(in_parallel(&families, |family| {
            fits::fits(&cells, *over, family)
        }));
    }
    fits::mark_noisy(&mut fits, &rows);
    let mut summary = Summary {
        schema_version: SCHEMA_VERSION,
        environments: run.header.environments.clone(),
        cells: rows,
        fits,
        findings: Vec::new(),
        spreads: Vec::new(),
        noise: noise::noise(&cells, &run.header.variants),
        coverage: coverage(run),
    };
    summary.spreads = noise::spreads(&summary.cells);
    summary.findings = findings::findings(&cells, &summary, &run.header.leaving());
    summary
}

/// More would not be kept busy.
const MOST_THREADS: usize = 16;

/// What is made of each item, in their order.
fn in_parallel<T: Sync, R: Send>(items: &[T], make: impl Fn(&T) -> Vec<R> + Sync) -> Vec<R> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let threads = threads.min(MOST_THREADS);
    thread::scope(|scope| {
        // Each thread takes every so manieth: neighbours cost alike.
        let mine = |part: usize| items.iter().skip(part).step_by(threads);
        let make = &make;
        let part = |part| scope.spawn(move || mine(part).map(make).collect::<Vec<_>>());
        let parts: Vec<_> = (0..threads).map(part).collect();
        let made = parts.into_iter().map(|part| part.join());
        let made = made.map(|part| {
            part.unwrap_or_else(|panic| resume_unwind(panic))
                .into_iter()
        });
        let mut made: Vec<_> = made.collect();
        let in_turn = (0..items.len()).filter_map(|index| made[index % threads].next());
        in_turn.flatten().collect()
    })
}

fn rows_of(cells: &Cells<'_>, run: &Run, key: &CellKey, records: &[&CellRecord]) -> Vec<Row> {
    let metrics = cells.metrics(key);
    if metrics.is_empty() {
        return vec![unmeasured(key, records)];
    }
    metrics
        .into_iter()
        .filter_map(|(metric, unit)| {
            Some(Row {
                noisy: is_noisy(run, key, metric, records),
                ..measured(cells, key, records, (metric, unit))?
            })
        })
        .collect()
}

/// Name of the fact by which a cell says that something else moved its memory figures.
const NOISY: &str = "noisy";

/// See [`Row::noisy`].
fn is_noisy(run: &Run, key: &CellKey, metric: Metric, records: &[&CellRecord]) -> bool {
    let environment = run.header.environments.get(&key.environment);
    let shared = environment.is_some_and(|facts| facts.sandbox == SandboxKind::Netns);
    metric.row().of_the_kernel && (shared || records.iter().any(|r| r.facts.contains_key(NOISY)))
}

fn tail(cells: &Cells<'_>, key: &CellKey, metric: Metric) -> Option<Tail> {
    let (_, p, least) = QUANTILES.iter().find(|(name, _, _)| *name == "p99")?;
    let tails = cells.tails(key, metric, (*p, *least as usize))?;
    let known = Known::of_stays(&tails)?;
    Some(Tail {
        median: known.value,
        ci95: known.ci95,
        range: known.range,
    })
}

fn measured(
    cells: &Cells<'_>,
    key: &CellKey,
    records: &[&CellRecord],
    (metric, unit): (Metric, Unit),
) -> Option<Row> {
    let sample = cells.sample(key, metric)?;
    let stays = cells.stays(key, metric);
    let known = known(&stays, unit)?;
    let mut quantiles: BTreeMap<String, f64> = QUANTILES
        .iter()
        .filter(|(_, _, needed)| sample.n() >= *needed)
        .map(|(name, p, _)| ((*name).to_owned(), sample.quantile(*p)))
        .collect();
    quantiles.insert("min".to_owned(), sample.min());
    quantiles.insert("max".to_owned(), sample.max());
    let (disturbed, unsettled) = cells.marked(key);
    let finite = |value: &f64| value.is_finite();
    let values: Vec<f64> = stays.iter().map(|stay| stay.value).filter(finite).collect();
    let bounds = cells.bounds(key);
    let censored = stays.len() - values.len();
    let median = Some(known.value).filter(finite);
    let bound = match median {
        Some(_) => bounds.first().copied(),
        // With its bound in the place of each stay that timed out the median is below the true one.
        None => {
            let mut least = [values, bounds].concat();
            least.sort_unstable_by(f64::total_cmp);
            crate::statistics::quantile(&least, 0.5)
        }
    };
    Some(Row {
        outcome: match median {
            Some(_) => OutcomeKind::Measured,
            None => OutcomeKind::TimedOut,
        },
        without: without(records),
        reason: reasons(records),
        n: sample.n(),
        stays: sample.stays().len() as u32,
        censored: censored as u32,
        median,
        ci95: known.ci95,
        range: known.range,
        by_seed: seeds(&stays, unit),
        lower_bound_ns: bound.filter(|_| censored > 0).map(|bound| bound as u64),
        quantiles,
        p99_of_stays: tail(cells, key, metric).filter(|_| unit != Unit::Instructions),
        histogram: cells.histogram(key, metric),
        disturbed,
        unsettled,
        per_cpu: match metric {
            Metric::KernelMemory => per_cpu(cells, key),
            _ => None,
        },
        whole: match metric {
            Metric::UpdateTime => whole(cells, key, unit),
            _ => None,
        },
        ..blank(key, metric, unit)
    })
}

/// A row of a cell without anything in it.
fn blank(key: &CellKey, metric: Metric, unit: Unit) -> Row {
    Row {
        key: key.clone(),
        metric: Some(metric),
        unit: Some(unit),
        outcome: OutcomeKind::NotRun,
        without: BTreeMap::new(),
        reason: None,
        remedy: None,
        n: 0,
        stays: 0,
        censored: 0,
        median: None,
        ci95: None,
        range: None,
        by_seed: BTreeMap::new(),
        lower_bound_ns: None,
        quantiles: BTreeMap::new(),
        p99_of_stays: None,
        histogram: None,
        noisy: false,
        disturbed: 0,
        unsettled: 0,
        per_cpu: None,
        whole: None,
    }
}

/// See [`Row::whole`].
fn whole(cells: &Cells<'_>, key: &CellKey, unit: Unit) -> Option<Whole> {
    let released = cells.metrics(key).contains_key(&Metric::ReleaseTime);
    let stays = released.then(|| cells.sums(key))?;
    let known = known(&stays, unit)?;
    Some(Whole {
        median: Some(known.value).filter(|value| value.is_finite()),
        ci95: known.ci95,
        range: known.range,
        by_seed: seeds(&stays, unit),
    })
}

/// See [`Row::by_seed`].
fn seeds(stays: &[Stay], unit: Unit) -> BTreeMap<String, f64> {
    let seeds = (unit == Unit::Instructions).then(|| by_seed(stays));
    let finite = |(_, value): &(String, f64)| value.is_finite();
    seeds.into_iter().flatten().filter(finite).collect()
}

/// Facts of what is held for each CPU, and of how many those are.
const PER_CPU: &str = "kernel_memory_percpu";
const CPUS: &str = "percpu_cpus";

fn per_cpu(cells: &Cells<'_>, key: &CellKey) -> Option<PerCpu> {
    let of = |name: &str| -> Vec<f64> {
        cells
            .measured(key)
            .filter_map(|record| record.facts.get(name)?.parse().ok())
            .collect()
    };
    let cpus = of(CPUS)
        .into_iter()
        .reduce(f64::max)
        .filter(|cpus| *cpus >= 1.0)?;
    let held = Known::of_stays(&of(PER_CPU))?.value;
    Some(PerCpu {
        cpus: cpus as u32,
        bytes: held / cpus / f64::from(key.services.max(1)),
    })
}

fn unmeasured(key: &CellKey, records: &[&CellRecord]) -> Row {
    let outcomes = records.iter().map(|record| record.outcome.kind());
    let worst = outcomes.max().unwrap_or(OutcomeKind::NotRun);
    let bounds = records.iter().filter_map(|record| match record.outcome {
        Outcome::TimedOut { after_ns } if worst == OutcomeKind::TimedOut => after_ns,
        _ => None,
    });
    let mut remedies = records.iter().filter_map(|record| record.outcome.remedy());
    Row {
        metric: None,
        unit: None,
        outcome: worst,
        without: without(records),
        reason: reasons(records).or_else(|| Some("measured, but without a sample".to_owned())),
        remedy: remedies.next().map(str::to_owned),
        lower_bound_ns: bounds.max(),
        ..blank(key, Metric::UpdateTime, Unit::Nanoseconds)
    }
}

/// See [`Row::without`].
fn without(records: &[&CellRecord]) -> BTreeMap<OutcomeKind, u32> {
    let mut counts = BTreeMap::new();
    for record in records {
        *counts.entry(record.outcome.kind()).or_default() += 1;
    }
    counts.remove(&OutcomeKind::Measured);
    counts
}

/// Why stays have no numbers, the most severe first, each reason once with how many stays gave it when it was not the only one.
fn reasons(records: &[&CellRecord]) -> Option<String> {
    let mut severe = records.to_vec();
    severe.sort_by_key(|record| std::cmp::Reverse(record.outcome.kind()));
    let reason = |record: &&CellRecord| {
        let outcome = &record.outcome;
        Some((format!("{}: {}", outcome.name(), outcome.reason()?), ()))
    };
    let counted = grouped(severe.iter().filter_map(reason));
    let single = counted.len() == 1 && counted[0].1.len() == records.len();
    let text = |(reason, of): (String, Vec<()>)| match single {
        true => reason,
        false => format!("{reason} ({} of {} stays)", of.len(), records.len()),
    };
    let texts: Vec<String> = counted.into_iter().map(text).collect();
    (!texts.is_empty()).then(|| texts.join("; "))
}

fn coverage(run: &Run) -> Coverage {
    let mut outcomes: BTreeMap<String, u64> = BTreeMap::new();
    for cell in &run.cells {
        *outcomes.entry(cell.outcome.name().to_owned()).or_default() += 1;
    }
    Coverage {
        planned: run.header.planned_cells,
        missing: run
            .header
            .planned_cells
            .saturating_sub(run.cells.len() as u64),
        outcomes,
        ended: run
            .end
            .as_ref()
            .map_or_else(|| "killed".to_owned(), |end| end.ended.clone()),
    }
}
