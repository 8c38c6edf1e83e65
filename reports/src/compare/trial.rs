//! One cell's metric on both sides: the row that says so, and what is tested of it.
//!
//! The unit is the stay, with the median of its samples. Values are compared as logarithms where all are
//! positive: labs differ by factors.

use std::borrow::Cow;

use schema::comparison::{Compared, Measured, Verdict};
use schema::migrate::measured_otherwise;
use schema::{CellKey, Metric, OptionKey, OutcomeKind};

use super::digest::{CellDigest, SeriesDigest};
use super::found::{EXACT, Found, IDENTICAL, Unitary};
use super::pair::{Matched, Pair};
use crate::gate::Gate;
use crate::statistics::{Known, median};

/// A row, with what is tested of one that has numbers on both sides.
#[derive(Debug)]
pub(super) struct Tried<'a> {
    pub(super) row: Compared,
    pub(super) trial: Option<Trial<'a>>,
}

/// A cell's metric, measured on both sides.
#[derive(Debug)]
pub(super) struct Trial<'a> {
    pub(super) key: &'a CellKey,
    pub(super) metric: Metric,
    pub(super) base: Vec<Unitary>,
    pub(super) new: Vec<Unitary>,
    /// Whether values are compared as factors.
    pub(super) factors: bool,
    pub(super) found: Found,
    /// Stays of NEW that have no value because they failed or timed out.
    pub(super) lost: Vec<String>,
}

/// The rows of a pair.
pub(super) fn rows<'a>(pair: &Pair<'a>, gate: &Gate, matched: &Matched<'_>) -> Vec<Tried<'a>> {
    let has = |side: &[&CellDigest]| side.iter().any(|cell| cell.measured());
    let verdict = match (has(&pair.base), has(&pair.new)) {
        (true, true) => {
            let metrics = gate.thresholds.keys();
            let rows = metrics.filter_map(|metric| measured(pair, *metric, gate, matched));
            return rows.collect();
        }
        (true, false) => Verdict::Missing,
        (false, _) => Verdict::Incomparable,
    };
    let why = |name: &str, side: &[&CellDigest]| {
        let outcomes = side.iter().map(|cell| &cell.outcome);
        match outcomes.max_by_key(|outcome| outcome.kind()) {
            None => format!("{name} does not have it"),
            Some(worst) => match worst.reason() {
                Some(reason) => format!("{name}: {}: {reason}", worst.name()),
                None => format!("{name}: measured"),
            },
        }
    };
    let (base, new) = (why("BASE", &pair.base), why("NEW", &pair.new));
    let reason = match (verdict, has(&pair.new)) {
        (Verdict::Missing, _) => new,
        (_, true) => base,
        _ => format!("{base}; {new}"),
    };
    let row = row(pair, None, gate, (verdict, Some(reason)));
    vec![Tried { row, trial: None }]
}

/// A row without numbers.
fn row(
    pair: &Pair<'_>,
    metric: Option<Metric>,
    gate: &Gate,
    (verdict, reason): (Verdict, Option<String>),
) -> Compared {
    let key = |side: &[&CellDigest]| side.first().map(|cell| cell.key.clone());
    let (base, new) = (key(&pair.base), key(&pair.new));
    let noisy = pair.base.iter().chain(&pair.new).any(|cell| cell.noisy);
    let failed = pair.new.iter().map(|cell| cell.outcome.kind());
    let renamed = base.is_some() && base != new;
    let key = base.or(new.clone()).expect("a pair has a cell");
    Compared {
        allowed: gate
            .allows(&key, metric)
            .filter(|_| verdict == Verdict::Missing)
            .map(str::to_owned),
        new_key: new.filter(|_| renamed),
        key,
        metric,
        unit: metric.map(Metric::unit),
        verdict,
        reason,
        base: None,
        new: None,
        change: None,
        noisy: noisy && metric.is_some_and(|metric| metric.row().of_the_kernel),
        failed: failed.filter(|kind| *kind == OutcomeKind::Failed).count() as u32,
    }
}

/// A stay of a cell, with its samples of the metric.
type Of<'a> = (&'a CellDigest, Cow<'a, SeriesDigest>);

/// The row of one metric; `None` where neither side has values.
fn measured<'a>(
    pair: &Pair<'a>,
    metric: Metric,
    gate: &Gate,
    matched: &Matched<'_>,
) -> Option<Tried<'a>> {
    let top = longest(pair, metric);
    let (base, new) = (
        series(&pair.base, metric, top),
        series(&pair.new, metric, top),
    );
    let lacks = |name: &str| Some(format!("{name} measured the cell without it"));
    let said = match (base.is_empty(), new.is_empty()) {
        (true, true) => return None,
        (false, true) => (Verdict::Missing, lacks("NEW")),
        (true, false) => (Verdict::Incomparable, lacks("BASE")),
        (false, false) => (Verdict::Inconclusive, None),
    };
    let mut row = Compared {
        base: summary(&base),
        new: summary(&new),
        ..row(pair, Some(metric), gate, said)
    };
    let (Some((_, one)), Some((_, other))) = (base.first(), new.first()) else {
        return Some(Tried { row, trial: None });
    };
    row.unit = Some(one.unit);
    if one.unit == other.unit {
        row.reason = counted_otherwise(metric, &row);
        if matched.crosses_schema_two() {
            let changed = || measured_otherwise(metric, &row.key, one.unit).map(str::to_owned);
            row.reason = row.reason.take().or_else(changed);
        }
    } else {
        row.reason = Some(format!("BASE is in {}, NEW in {}", one.unit, other.unit));
    }
    if row.reason.is_some() {
        row.verdict = Verdict::Incomparable;
        return Some(Tried { row, trial: None });
    }
    let trial = Trial {
        lost: lost(pair),
        ..Trial::of(metric, &base, &new, matched.one_run)?
    };
    let median = row.base.as_ref().map_or(f64::NAN, |base| base.median);
    row.change = Some(trial.found.change(median, trial.factors));
    Some(Tried {
        row,
        trial: Some(trial),
    })
}

/// The stays of a side that have values of a metric. What timed out everywhere has no number to be above of.
fn series<'a>(side: &[&'a CellDigest], metric: Metric, top: f64) -> Vec<Of<'a>> {
    let measured = side.iter();
    let mut found: Vec<Of<'a>> = measured
        .filter_map(|cell| Some((*cell, Cow::Borrowed(cell.get(metric)?))))
        .collect();
    if let Some(one) = found.first().map(|(_, one)| one.as_ref().clone()) {
        let timed_out = side.iter().filter(|cell| cell.bound(metric).is_some());
        found.extend(timed_out.map(|cell| (*cell, Cow::Owned(one.timed_out(top)))));
        found.sort_by_key(|(cell, _)| (cell.block, cell.stay));
    }
    found
}

/// What stays that timed out are set to: just above all that was measured on either side, and no less than the bounds
/// that are known of them. So they have the highest ranks, and what is estimated of how much longer they take is the
/// least that it can be.
fn longest(pair: &Pair<'_>, metric: Metric) -> f64 {
    let cells = pair.base.iter().chain(&pair.new);
    let values = cells.flat_map(|cell| {
        let measured = cell.get(metric).map(|one| one.median);
        measured.into_iter().chain(cell.bound(metric))
    });
    (1.0 + 1e-9) * values.fold(0.0, f64::max)
}

/// Why two transports cannot be held against each other by what they send: messages are those of our own, of which a
/// tool's input has none, and bytes are a tool's input or the kernel's.
fn counted_otherwise(metric: Metric, row: &Compared) -> Option<String> {
    let new_key = row.new_key.as_ref()?;
    let [base, new] = [&row.key, new_key].map(|key| key.options.get(OptionKey::Transport));
    let (base, new) = (base?, new?);
    let is_of_the_transport = matches!(metric, Metric::Messages | Metric::BytesSent);
    (is_of_the_transport && base != new).then(|| {
        format!("{base} and {new} hand over different things: a tool's input, or messages of the kernel's")
    })
}

/// What became of stays of NEW that have no numbers, budget aside.
fn lost(pair: &Pair<'_>) -> Vec<String> {
    let kinds = [
        (OutcomeKind::Failed, "failed"),
        (OutcomeKind::TimedOut, "timed out"),
    ];
    let lost = kinds.iter().filter_map(|(kind, said)| {
        let of = |side: &[&CellDigest]| side.iter().filter(|c| c.outcome.kind() == *kind).count();
        let (base, new) = (of(&pair.base), of(&pair.new));
        (new > base).then(|| format!("{said} in {new} of {} stays", pair.new.len()))
    });
    lost.collect()
}

/// What is known of a side; `None` without values.
fn summary(series: &[Of<'_>]) -> Option<Measured> {
    let counted = series.iter().all(|(cell, _)| cell.deterministic);
    let censored = |one: &SeriesDigest| one.n == 0;
    let least: Vec<f64> = series.iter().map(|(_, one)| one.median).collect();
    let open = series.iter().map(|(_, one)| match censored(one) {
        true => f64::INFINITY,
        false => one.median,
    });
    let open = Known::of(&open.collect::<Vec<_>>(), counted)?;
    Some(Measured {
        stays: series.len() as u32,
        censored: series.iter().filter(|(_, one)| censored(one)).count() as u32,
        n: series.iter().map(|(_, one)| one.n).sum(),
        // Where half of them timed out: the least that it can be.
        median: median(least)?,
        ci95: open.ci95,
        range: open.range,
        values: series
            .iter()
            .filter(|(_, one)| !censored(one))
            .map(|(_, one)| one.median)
            .collect(),
    })
}

impl<'a> Trial<'a> {
    fn of(metric: Metric, base: &[Of<'a>], new: &[Of<'a>], one_run: bool) -> Option<Self> {
        let all = || base.iter().chain(new);
        let factors = all().all(|(_, one)| one.median > 0.0);
        let units = |side: &[Of<'_>]| -> Vec<Unitary> {
            side.iter()
                .map(|(cell, one)| Unitary {
                    block: cell.block,
                    seed: cell.seed,
                    value: if factors { one.median.ln() } else { one.median },
                })
                .collect()
        };
        let (units_base, units_new) = (units(base), units(new));
        let samples = |side: &[Of<'_>]| -> Vec<(u64, u64)> {
            side.iter().map(|(_, one)| (one.n, one.hash)).collect()
        };
        let constant = |side: &[Of<'_>]| {
            let mut side = side.iter().map(|(_, one)| one);
            let first = side.clone().next().map(|one| one.median);
            side.all(|one| one.constant && Some(one.median) == first)
        };
        let found = if !one_run && samples(base) == samples(new) {
            Found::certain(IDENTICAL, 0.0, [0.0; 2])
        } else if metric.row().exact && constant(base) && constant(new) {
            let by = units_new.first()?.value - units_base.first()?.value;
            Found::certain(EXACT, by, [by; 2])
        } else if all().all(|(cell, _)| cell.deterministic) {
            Found::by_seed(&units_base, &units_new)?
        } else {
            Found::by_stay(&units_base, &units_new, one_run)?
        };
        Some(Self {
            key: &base.first()?.0.key,
            metric,
            base: units_base,
            new: units_new,
            factors,
            found,
            lost: Vec::new(),
        })
    }
}
