//! One cell's metric on both sides: what is estimated, by which test.
//!
//! The unit is the stay, with the median of its samples. Values are compared as logarithms where all are
//! positive: labs differ by factors.

use std::borrow::Cow;

use schema::comparison::{Change, Compared, Measured, Verdict};
use schema::{CellKey, Metric, OptionKey, Outcome, OutcomeKind, ScenarioKind, Transport, Unit};

use super::Place;
use super::digest::{CellDigest, SeriesDigest};
use super::pair::Pair;
use crate::gate::Gate;
use crate::statistics::{
    Known, Shift, cliffs_delta, mann_whitney, middle_of_differences, shift, signed_rank,
};

/// Pairs of stays from which the signs of their differences can say enough: with fewer, the least p that they
/// can give (2 to the power of 1 − n) drowns in the correction for a matrix, and the stays count by themselves.
/// Decided by their number alone, so that it is no choice between results.
pub(super) const PAIRS: usize = 16;
/// Seeds below which a deterministic change may be one population's.
pub(super) const SEEDS: usize = 3;

pub(super) const IDENTICAL: &str = "identical";
pub(super) const EXACT: &str = "exact";
pub(super) const SEEDS_TEST: &str = "seeds";
pub(super) const SIGNED_RANK: &str = "signed-rank";
pub(super) const MANN_WHITNEY: &str = "mann-whitney";
pub(super) const ALIGNED_RANKS: &str = "aligned-ranks";
pub(super) const NO_TEST: &str = "none";

/// A stay's value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unitary {
    pub(super) block: u32,
    pub(super) value: f64,
}

/// A cell's metric, measured on both sides.
#[derive(Debug)]
pub(super) struct Trial<'a> {
    /// Its row.
    pub(super) place: Place,
    pub(super) key: &'a CellKey,
    pub(super) metric: Metric,
    pub(super) base: Vec<Unitary>,
    pub(super) new: Vec<Unitary>,
    /// Whether values are compared as factors.
    pub(super) factors: bool,
    /// NEW less BASE: of logarithms where they are factors.
    pub(super) shift: Shift,
    pub(super) test: &'static str,
    pub(super) p: Option<f64>,
    pub(super) delta: Option<f64>,
    /// Of a deterministic pair: whether every seed moved the same way.
    pub(super) agreed: bool,
    /// Seeds of it.
    pub(super) seeds: usize,
    /// Stays of NEW that have no value because they failed or timed out.
    pub(super) lost: Vec<String>,
}

/// Appends the rows of a pair, and a trial for each that has numbers; `versions`: the schemas of the two sides.
pub(super) fn rows<'a>(
    pair: &Pair<'a>,
    gate: &Gate,
    (one_run, versions): (bool, [u32; 2]),
    rows: &mut Vec<Compared>,
    trials: &mut Vec<Trial<'a>>,
) {
    let has = |side: &[&CellDigest]| side.iter().any(|cell| cell.measured());
    match (has(&pair.base), has(&pair.new)) {
        (true, true) => {
            for metric in gate.thresholds.keys().copied() {
                measured(pair, metric, gate, (one_run, versions), rows, trials);
            }
        }
        (true, false) => rows.push(without(pair, Verdict::Missing, gate)),
        (false, _) => rows.push(without(pair, Verdict::Incomparable, gate)),
    }
}

/// A row of a cell that has numbers on one side at most.
fn without(pair: &Pair<'_>, verdict: Verdict, gate: &Gate) -> Compared {
    let why = |name: &str, side: &[&CellDigest]| match side.first() {
        None => format!("{name} does not have it"),
        Some(_) => {
            let worst = side
                .iter()
                .map(|cell| &cell.outcome)
                .max_by_key(|outcome| outcome.kind());
            let reason = worst.and_then(|o| Some(format!("{}: {}", o.name(), o.reason()?)));
            format!(
                "{name}: {}",
                reason.unwrap_or_else(|| "measured".to_owned())
            )
        }
    };
    let reason = if verdict == Verdict::Missing {
        why("NEW", &pair.new)
    } else if pair.new.iter().any(|cell| cell.measured()) {
        why("BASE", &pair.base)
    } else {
        format!("{}; {}", why("BASE", &pair.base), why("NEW", &pair.new))
    };
    let row = empty(pair, None, verdict, Some(reason));
    Compared {
        allowed: (verdict == Verdict::Missing)
            .then(|| gate.allows(&row.key, None).map(str::to_owned))
            .flatten(),
        ..row
    }
}

fn empty(
    pair: &Pair<'_>,
    metric: Option<Metric>,
    verdict: Verdict,
    reason: Option<String>,
) -> Compared {
    let key = |side: &[&CellDigest]| side.first().map(|cell| cell.key.clone());
    let (base, new) = (key(&pair.base), key(&pair.new));
    let noisy = pair.base.iter().chain(&pair.new).any(|cell| cell.noisy);
    let of_the_kernel = metric.is_some_and(|metric| metric.row().of_the_kernel);
    Compared {
        new_key: new
            .clone()
            .filter(|new| base.as_ref().is_some_and(|base| base != new)),
        key: base.or(new).expect("a pair has a cell"),
        metric,
        unit: metric.map(Metric::unit),
        verdict,
        reason,
        base: None,
        new: None,
        change: None,
        noisy: noisy && of_the_kernel,
        allowed: None,
        failed: pair
            .new
            .iter()
            .filter(|cell| matches!(cell.outcome, Outcome::Failed { .. }))
            .count() as u32,
    }
}

/// The row of one metric, and its trial where both sides have values.
fn measured<'a>(
    pair: &Pair<'a>,
    metric: Metric,
    gate: &Gate,
    (one_run, versions): (bool, [u32; 2]),
    rows: &mut Vec<Compared>,
    trials: &mut Vec<Trial<'a>>,
) {
    let top = longest(pair, metric);
    let series = |side: &[&'a CellDigest]| -> Vec<Of<'a>> {
        let mut found: Vec<Of<'a>> = side
            .iter()
            .filter_map(|cell| Some((*cell, Cow::Borrowed(cell.get(metric)?))))
            .collect();
        // What timed out everywhere has no number to be above of.
        if let Some(one) = found.first().map(|(_, one)| one.as_ref().clone()) {
            let timed_out = side.iter().filter(|cell| cell.bound(metric).is_some());
            found.extend(timed_out.map(|cell| (*cell, Cow::Owned(one.timed_out(top)))));
            found.sort_by_key(|(cell, _)| (cell.block, cell.stay));
        }
        found
    };
    let (base, new) = (series(&pair.base), series(&pair.new));
    let (Some((first, one)), Some((_, other))) = (base.first(), new.first()) else {
        if !base.is_empty() {
            let reason = Some("NEW measured the cell without it".to_owned());
            let row = empty(pair, Some(metric), Verdict::Missing, reason);
            let allowed = gate.allows(&row.key, Some(metric)).map(str::to_owned);
            rows.push(Compared {
                base: Some(summary(&base)),
                allowed,
                ..row
            });
        } else if !new.is_empty() {
            let reason = Some("BASE measured the cell without it".to_owned());
            let row = empty(pair, Some(metric), Verdict::Incomparable, reason);
            rows.push(Compared {
                new: Some(summary(&new)),
                ..row
            });
        }
        return;
    };
    let mut row = empty(pair, Some(metric), Verdict::Inconclusive, None);
    row.base = Some(summary(&base));
    row.new = Some(summary(&new));
    row.unit = Some(one.unit);
    if one.unit != other.unit {
        row.verdict = Verdict::Incomparable;
        row.reason = Some(format!("BASE is in {}, NEW in {}", one.unit, other.unit));
        rows.push(row);
        return;
    }
    if let Some(why) = counted_otherwise(metric, &row) {
        row.verdict = Verdict::Incomparable;
        row.reason = Some(why);
        rows.push(row);
        return;
    }
    if let Some(why) = measured_otherwise(metric, &row, versions) {
        row.verdict = Verdict::Incomparable;
        row.reason = Some(why.to_owned());
        rows.push(row);
        return;
    }
    let mut trial = Trial::of(&first.key, metric, &base, &new, one_run);
    trial.place = rows.len();
    trial.lost = lost(pair);
    rows.push(row);
    trials.push(trial);
}

/// A stay of a cell, with its samples of the metric.
type Of<'a> = (&'a CellDigest, Cow<'a, SeriesDigest>);

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

/// Why a figure of schema 1 is no measure of what later ones measure.
fn measured_otherwise(metric: Metric, row: &Compared, versions: [u32; 2]) -> Option<&'static str> {
    const CHANGED: u32 = 2;
    if versions.iter().all(|v| *v < CHANGED) || versions.iter().all(|v| *v >= CHANGED) {
        return None;
    }
    let key = &row.key;
    let netlink = key.options.transport() == Some(Transport::Netlink);
    match metric {
        Metric::KernelMemory if key.scenario == ScenarioKind::Memory => Some(
            "schema 1 installed and removed in one lab, where what a mode keeps after a removal was left out",
        ),
        Metric::CpuTime | Metric::UserTime | Metric::SystemTime if netlink => {
            Some("schema 1 read the processor time of netlink from ticks")
        }
        Metric::SyncTime if key.mode == schema::Mode::Ipvs => {
            Some("schema 1 opened kube-proxy's sockets inside sync_time")
        }
        Metric::Latency if row.unit == Some(Unit::Instructions) => {
            Some("schema 1 warmed up otherwise, and its servers did not say who asked")
        }
        Metric::Latency => Some(
            "schema 1 warmed up for less, and not for every protocol before a stay's first cell",
        ),
        Metric::UpdateTime if key.scenario == ScenarioKind::Teardown => {
            Some("schema 1 closed the sockets of a teardown inside its update_time")
        }
        Metric::UpdateTime if netlink => Some("schema 1 opened sockets inside update_time"),
        _ => None,
    }
}

/// Why two transports cannot be held against each other by what they send: messages are those of our own, of which a
/// tool's input has none, and bytes are a tool's input or the kernel's.
fn counted_otherwise(metric: Metric, row: &Compared) -> Option<String> {
    let transport = |key: &CellKey| key.options.get(OptionKey::Transport).map(str::to_owned);
    let (base, new) = (transport(&row.key)?, transport(row.new_key.as_ref()?)?);
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
    kinds
        .iter()
        .filter_map(|(kind, said)| {
            let count =
                |side: &[&CellDigest]| side.iter().filter(|c| c.outcome.kind() == *kind).count();
            let (base, new) = (count(&pair.base), count(&pair.new));
            (new > base).then(|| format!("{said} in {new} of {} stays", pair.new.len()))
        })
        .collect()
}

fn summary(series: &[Of<'_>]) -> Measured {
    let known = |timed_out: fn(&SeriesDigest) -> f64| {
        let values: Vec<f64> = series
            .iter()
            .map(|(_, one)| {
                if one.n == 0 {
                    timed_out(one)
                } else {
                    one.median
                }
            })
            .collect();
        Known::of(&values, series.iter().all(|(cell, _)| cell.deterministic))
    };
    let open = known(|_| f64::INFINITY);
    Measured {
        stays: series.len() as u32,
        censored: series.iter().filter(|(_, one)| one.n == 0).count() as u32,
        n: series.iter().map(|(_, one)| one.n).sum(),
        // Where half of them timed out: the least that it can be.
        median: known(|one| one.median).map_or(f64::NAN, |known| known.value),
        ci95: open.and_then(|known| known.ci95),
        range: open.and_then(|known| known.range),
    }
}

impl<'a> Trial<'a> {
    fn of(
        key: &'a CellKey,
        metric: Metric,
        base: &[Of<'_>],
        new: &[Of<'_>],
        one_run: bool,
    ) -> Self {
        let all = || base.iter().chain(new).map(|(_, one)| one);
        let factors = all().all(|one| one.median > 0.0);
        let units = |side: &[Of<'_>]| -> Vec<Unitary> {
            side.iter()
                .map(|(cell, one)| Unitary {
                    block: cell.block,
                    value: if factors { one.median.ln() } else { one.median },
                })
                .collect()
        };
        let mut trial = Self {
            place: 0,
            key,
            metric,
            base: units(base),
            new: units(new),
            factors,
            shift: Shift {
                estimate: 0.0,
                ci95: None,
            },
            test: NO_TEST,
            p: None,
            delta: None,
            agreed: false,
            seeds: 0,
            lost: Vec::new(),
        };
        let hashes = |side: &[Of<'_>]| -> Vec<(u64, u64)> {
            side.iter().map(|(_, one)| (one.n, one.hash)).collect()
        };
        let constant = |side: &[Of<'_>]| {
            side.iter()
                .all(|(_, one)| one.constant && one.median == side[0].1.median)
        };
        let deterministic = |side: &[Of<'_>]| side.iter().all(|(cell, _)| cell.deterministic);
        if !one_run && hashes(base) == hashes(new) {
            trial.test = IDENTICAL;
            trial.shift.ci95 = Some([0.0; 2]);
        } else if metric.row().exact && constant(base) && constant(new) {
            trial.test = EXACT;
            let by = trial.new[0].value - trial.base[0].value;
            trial.shift = Shift {
                estimate: by,
                ci95: Some([by; 2]),
            };
        } else if deterministic(base) && deterministic(new) {
            trial.by_seed(base, new);
        } else {
            trial.by_stay(one_run);
        }
        trial
    }

    /// Differences of the same seed, which leave nothing to chance but the choice of seeds.
    fn by_seed(&mut self, base: &[Of<'_>], new: &[Of<'_>]) {
        let of = |side: &[Of<'_>], units: &[Unitary], seed: u64| {
            let mut values: Vec<f64> = side
                .iter()
                .zip(units)
                .filter(|((cell, _), _)| cell.seed == seed)
                .map(|(_, unit)| unit.value)
                .collect();
            values.sort_by(f64::total_cmp);
            crate::statistics::quantile(&values, 0.5)
        };
        let mut seeds: Vec<u64> = base.iter().map(|(cell, _)| cell.seed).collect();
        seeds.sort_unstable();
        seeds.dedup();
        let mut differences: Vec<f64> = seeds
            .into_iter()
            .filter_map(|seed| Some(of(new, &self.new, seed)? - of(base, &self.base, seed)?))
            .collect();
        differences.sort_by(f64::total_cmp);
        self.test = SEEDS_TEST;
        if differences.is_empty() {
            self.by_other_seeds();
            return;
        }
        self.seeds = differences.len();
        self.agreed = differences.iter().all(|d| *d > 0.0) || differences.iter().all(|d| *d < 0.0);
        let ends = differences
            .first()
            .zip(differences.last())
            .map(|(low, high)| [*low, *high]);
        self.shift = Shift {
            estimate: crate::statistics::quantile(&differences, 0.5).unwrap_or(0.0),
            ci95: ends,
        };
    }

    /// Without a seed that both sides have, every one of the one side must lie beyond every one of the other.
    fn by_other_seeds(&mut self) {
        let sorted = |side: &[Unitary]| {
            let mut values: Vec<f64> = side.iter().map(|unit| unit.value).collect();
            values.sort_by(f64::total_cmp);
            values
        };
        let (base, new) = (sorted(&self.base), sorted(&self.new));
        let ends = |side: &[f64]| Some((*side.first()?, *side.last()?));
        let (Some(base_ends), Some(new_ends)) = (ends(&base), ends(&new)) else {
            return;
        };
        let middle = |side: &[f64]| crate::statistics::quantile(side, 0.5).unwrap_or(0.0);
        let by = [new_ends.0 - base_ends.1, new_ends.1 - base_ends.0];
        self.seeds = base.len().min(new.len());
        self.agreed = by[0] > 0.0 || by[1] < 0.0;
        self.shift = Shift {
            estimate: middle(&new) - middle(&base),
            ci95: Some(by),
        };
    }

    fn by_stay(&mut self, one_run: bool) {
        let values =
            |side: &[Unitary]| -> Vec<f64> { side.iter().map(|unit| unit.value).collect() };
        let (base, new) = (values(&self.base), values(&self.new));
        self.delta = cliffs_delta(&base, &new);
        let pairs = if one_run { self.pairs() } else { Vec::new() };
        if pairs.len() >= PAIRS {
            self.test = SIGNED_RANK;
            self.p = signed_rank(&pairs);
            self.shift = middle_of_differences(&pairs).unwrap_or(self.shift);
        } else {
            self.test = MANN_WHITNEY;
            self.p = mann_whitney(&base, &new);
            self.shift = shift(&base, &new).unwrap_or(self.shift);
        }
    }

    /// Differences between the two stays of each block.
    fn pairs(&self) -> Vec<f64> {
        self.paired()
            .map(|(base, new)| new.value - base.value)
            .collect()
    }

    /// The two stays of each block that has both.
    pub(super) fn paired(&self) -> impl Iterator<Item = (&Unitary, &Unitary)> {
        self.base.iter().filter_map(|base| {
            let new = self.new.iter().find(|new| new.block == base.block)?;
            Some((base, new))
        })
    }

    /// What the shift means at BASE's median.
    pub(super) fn change(&self, base_median: f64, p_adjusted: Option<f64>) -> Change {
        let to_relative = |by: f64| {
            if self.factors {
                Some(by.exp_m1())
            } else {
                (base_median != 0.0).then(|| by / base_median.abs())
            }
        };
        let to_absolute = |by: f64| {
            if self.factors {
                base_median * by.exp_m1()
            } else {
                by
            }
        };
        let both = |ends: [f64; 2]| Some([to_relative(ends[0])?, to_relative(ends[1])?]);
        Change {
            relative: to_relative(self.shift.estimate),
            relative_ci95: self.shift.ci95.and_then(both),
            absolute: to_absolute(self.shift.estimate),
            absolute_ci95: self.shift.ci95.map(|ends| ends.map(to_absolute)),
            cliffs_delta: self.delta,
            test: self.test.to_owned(),
            p: self.p,
            p_adjusted,
        }
    }
}

/// Whether a metric is a time, which the machine's pace moves.
pub(super) fn is_time(metric: Metric) -> bool {
    metric.unit() == Unit::Nanoseconds
}
