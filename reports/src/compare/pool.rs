//! One test over all cells that ask the same. A cell has few stays, and two labs of the same thing differ by a
//! tenth; a change of a tenth shows only where many stays are looked at together.
//!
//! A stay's value is the mean over its cells, so that positions and protocols that share a lab count once.

use std::collections::{BTreeMap, BTreeSet};

use schema::comparison::{Change, Drift};
use schema::{CellKey, Metric, Mode, ScenarioKind};

use super::pair::Pair;
use super::trial::{ALIGNED_RANKS, MANN_WHITNEY, PAIRS, SIGNED_RANK, Trial, Unitary};
use crate::gate::Gate;
use crate::statistics::{
    Exchangeable, Shift, aligned_ranks, aligned_shift, middle_of_differences, quantile, seed_of,
    signed_rank,
};

/// Without thresholds for latency the machine counts as changed from this on.
const DRIFT: f64 = 0.025;

/// Cells that ask the same, taken together.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) scenario: ScenarioKind,
    pub(super) metric: Metric,
    pub(super) mode: Option<Mode>,
    pub(super) cells: u32,
    pub(super) base_units: u32,
    pub(super) new_units: u32,
    pub(super) p: Option<f64>,
    shift: Shift,
    test: &'static str,
    /// Median of the cells' medians of BASE.
    base_median: f64,
}

impl Pool {
    pub(super) fn change(&self, p_adjusted: Option<f64>) -> Change {
        let absolute = |by: f64| self.base_median * by.exp_m1();
        Change {
            relative: Some(self.shift.estimate.exp_m1()),
            relative_ci95: self.shift.ci95.map(|ends| ends.map(f64::exp_m1)),
            absolute: absolute(self.shift.estimate),
            absolute_ci95: self.shift.ci95.map(|ends| ends.map(absolute)),
            cliffs_delta: None,
            test: self.test.to_owned(),
            p: self.p,
            p_adjusted,
        }
    }
}

/// Every pool of two cells or more: of each mode, and of all modes where there are two.
pub(super) fn pools(trials: &[Trial<'_>], one_run: bool) -> Vec<Pool> {
    let mut groups: BTreeMap<(ScenarioKind, Metric, Option<Mode>), Vec<&Trial<'_>>> =
        BTreeMap::new();
    let tested =
        |trial: &&Trial<'_>| trial.factors && [MANN_WHITNEY, SIGNED_RANK].contains(&trial.test);
    for trial in trials.iter().filter(tested) {
        for mode in [None, Some(trial.key.mode)] {
            groups
                .entry((trial.key.scenario, trial.metric, mode))
                .or_default()
                .push(trial);
        }
    }
    groups
        .into_iter()
        .filter(|((_, _, mode), trials)| {
            let modes: BTreeSet<Mode> = trials.iter().map(|trial| trial.key.mode).collect();
            if mode.is_none() {
                modes.len() > 1
            } else {
                trials.len() > 1
            }
        })
        .filter_map(|(of, trials)| pool(of, &trials, one_run))
        .collect()
}

fn pool(
    (scenario, metric, mode): (ScenarioKind, Metric, Option<Mode>),
    trials: &[&Trial<'_>],
    one_run: bool,
) -> Option<Pool> {
    let mut medians: Vec<f64> = trials
        .iter()
        .map(|trial| middle(&trial.base).exp())
        .collect();
    medians.sort_by(f64::total_cmp);
    let pool = Pool {
        scenario,
        metric,
        mode,
        cells: trials.len() as u32,
        base_units: 0,
        new_units: 0,
        p: None,
        shift: Shift {
            estimate: 0.0,
            ci95: None,
        },
        test: SIGNED_RANK,
        base_median: quantile(&medians, 0.5)?,
    };
    let pairs = if one_run { pairs(trials) } else { Vec::new() };
    if pairs.len() >= PAIRS {
        return Some(Pool {
            base_units: pairs.len() as u32,
            new_units: pairs.len() as u32,
            p: signed_rank(&pairs),
            shift: middle_of_differences(&pairs)?,
            ..pool
        });
    }
    let lanes = lanes(
        trials
            .iter()
            .map(|trial| (trial.key, &trial.base[..], &trial.new[..])),
    );
    let seed = seed_of(&format!("{scenario} {metric} {mode:?}"));
    Some(Pool {
        base_units: lanes.iter().map(|lane| lane.a.len() as u32).sum(),
        new_units: lanes.iter().map(|lane| lane.b.len() as u32).sum(),
        p: aligned_ranks(&lanes, seed),
        shift: aligned_shift(&lanes)?,
        test: ALIGNED_RANKS,
        ..pool
    })
}

/// A sum with its count.
#[derive(Default)]
struct Sum(f64, u32);

impl Sum {
    fn add(&mut self, value: f64) {
        self.0 += value;
        self.1 += 1;
    }

    fn mean(&self) -> f64 {
        self.0 / f64::from(self.1)
    }
}

/// Differences between the two stays of a block, one for each two stays; a cell that was measured again, in another
/// stay, belongs to its block's.
fn pairs(trials: &[&Trial<'_>]) -> Vec<f64> {
    let mut sums: BTreeMap<(CellKey, u32), Sum> = BTreeMap::new();
    for trial in trials {
        for (base, new) in trial.paired() {
            sums.entry((lane(trial.key), base.block))
                .or_default()
                .add(new.value - base.value);
        }
    }
    sums.values().map(Sum::mean).collect()
}

/// Stays of the same mode, size and way, whose labels may be exchanged; each with the mean over its cells of
/// how far it is from their middle.
fn lanes<'a>(
    cells: impl Iterator<Item = (&'a CellKey, &'a [Unitary], &'a [Unitary])>,
) -> Vec<Exchangeable> {
    let mut sums: BTreeMap<CellKey, [BTreeMap<u32, Sum>; 2]> = BTreeMap::new();
    for (key, base, new) in cells {
        let both: Vec<Unitary> = base.iter().chain(new).copied().collect();
        let center = middle(&both);
        let lane = sums.entry(lane(key)).or_default();
        for (side, units) in [base, new].into_iter().enumerate() {
            for unit in units {
                lane[side]
                    .entry(unit.block)
                    .or_default()
                    .add(unit.value - center);
            }
        }
    }
    let values = |side: &BTreeMap<u32, Sum>| side.values().map(Sum::mean).collect();
    sums.values()
        .map(|[base, new]| Exchangeable {
            a: values(base),
            b: values(new),
        })
        .collect()
}

/// What cells of one stay have in common.
fn lane(key: &CellKey) -> CellKey {
    CellKey {
        options: key.options.only(|option| !option.row().in_a_stay),
        ..key.clone()
    }
}

fn middle(units: &[Unitary]) -> f64 {
    let mut values: Vec<f64> = units.iter().map(|unit| unit.value).collect();
    values.sort_by(f64::total_cmp);
    quantile(&values, 0.5).unwrap_or(f64::NAN)
}

/// What the machine did between two runs: the latency of mode none, the control series included.
pub(super) fn drift(pairs: &BTreeMap<CellKey, Pair<'_>>, gate: &Gate) -> Option<Drift> {
    let units = |side: &[&super::digest::CellDigest]| -> Vec<Unitary> {
        side.iter()
            // Executed instructions are the same on any machine.
            .filter(|cell| !cell.deterministic)
            .filter_map(|cell| {
                let median = cell.get(Metric::Latency)?.median;
                (median > 0.0).then(|| Unitary {
                    block: cell.block,
                    value: median.ln(),
                })
            })
            .collect()
    };
    let cells: Vec<(CellKey, Vec<Unitary>, Vec<Unitary>)> = pairs
        .iter()
        .filter(|(key, _)| key.mode == Mode::BARE && key.scenario == ScenarioKind::FirstPacket)
        .map(|(key, pair)| (key.clone(), units(&pair.base), units(&pair.new)))
        .filter(|(_, base, new)| !base.is_empty() && !new.is_empty())
        .collect();
    let lanes = lanes(
        cells
            .iter()
            .map(|(key, base, new)| (key, &base[..], &new[..])),
    );
    let shift = aligned_shift(&lanes)?;
    let least = gate
        .thresholds
        .get(&Metric::Latency)
        .map_or(DRIFT, |t| t.relative / 2.0);
    let told = shift
        .ci95
        .is_some_and(|[low, high]| low > 0.0 || high < 0.0);
    Some(Drift {
        ratio: shift.estimate.exp(),
        ci95: shift.ci95.map(|ends| ends.map(f64::exp)),
        counts: told && shift.estimate.exp_m1().abs() > least,
    })
}
