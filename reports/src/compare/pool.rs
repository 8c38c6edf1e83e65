//! One test over all cells that ask the same. A cell has few stays, and two labs of the same thing differ by a
//! tenth; a change of a tenth shows only where many stays are looked at together.
//!
//! A stay's value is the mean over its cells, so that positions and protocols that share a lab count once.

use std::collections::{BTreeMap, BTreeSet};

use schema::comparison::{Pooled, Verdict};
use schema::{CellKey, Metric, Mode, OptionKey, ScenarioKind, Transport};

use super::found::{ALIGNED_RANKS, Found, MANN_WHITNEY, SIGNED_RANK, Unitary, paired, values};
use super::trial::Trial;
use crate::statistics::{Exchangeable, aligned_ranks, aligned_shift, median, seed_of};

/// What a pool is of; of no mode: of all.
type Of = (ScenarioKind, Metric, Option<Mode>);

/// A pool, with what its updates go through.
pub(super) struct Pool {
    pub(super) row: Pooled,
    pub(super) transports: BTreeSet<Transport>,
}

/// Every pool of two cells or more, not judged yet: of each mode, and of all modes where there are two.
pub(super) fn pools<'a>(trials: impl Iterator<Item = &'a Trial<'a>>, one_run: bool) -> Vec<Pool> {
    let mut groups: BTreeMap<Of, Vec<&Trial<'_>>> = BTreeMap::new();
    let tests = [MANN_WHITNEY, SIGNED_RANK];
    for trial in trials.filter(|trial| trial.factors && tests.contains(&trial.found.test)) {
        for mode in [None, Some(trial.key.mode)] {
            let of = (trial.key.scenario, trial.metric, mode);
            groups.entry(of).or_default().push(trial);
        }
    }
    groups.retain(|(_, _, mode), trials| match mode {
        None => trials
            .iter()
            .any(|trial| trial.key.mode != trials[0].key.mode),
        Some(_) => trials.len() > 1,
    });
    let groups = groups.into_iter();
    groups
        .filter_map(|(of, trials)| pool(of, &trials, one_run))
        .collect()
}

fn pool((scenario, metric, mode): Of, trials: &[&Trial<'_>], one_run: bool) -> Option<Pool> {
    let pairs = if one_run { pairs(trials) } else { Vec::new() };
    let (found, units) = match Found::by_pairs(&pairs) {
        Some(found) => (found, [pairs.len(); 2]),
        None => {
            let cells = trials.iter();
            let lanes = lanes(cells.map(|trial| (trial.key, &trial.base[..], &trial.new[..])));
            let seed = seed_of(&format!("{scenario} {metric} {mode:?}"));
            let (p, shift) = (aligned_ranks(&lanes, seed), aligned_shift(&lanes)?);
            let units = |of: fn(&Exchangeable) -> usize| lanes.iter().map(of).sum();
            let units = [units(|lane| lane.a.len()), units(|lane| lane.b.len())];
            (Found::tested(ALIGNED_RANKS, p, shift), units)
        }
    };
    // Median of the cells' medians of BASE.
    let base_median = median(trials.iter().map(|trial| middle(&trial.base).exp()))?;
    let row = Pooled {
        scenario,
        metric,
        mode,
        cells: trials.len() as u32,
        base_units: units[0] as u32,
        new_units: units[1] as u32,
        verdict: Verdict::Inconclusive,
        reason: None,
        change: found.change(base_median, true),
    };
    let transports = trials.iter().filter_map(|trial| transport_of(trial.key));
    Some(Pool {
        row,
        transports: transports.collect(),
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
        for (base, new) in paired(&trial.base, &trial.new) {
            sums.entry((lane(trial.key), base.block))
                .or_default()
                .add(new.value - base.value);
        }
    }
    sums.values().map(Sum::mean).collect()
}

/// Stays of the same mode, size and way, whose labels may be exchanged; each with the mean over its cells of
/// how far it is from their middle.
pub(super) fn lanes<'a>(
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

/// What cells of one stay have in common; a floor has one whatever its updates go through.
fn lane(key: &CellKey) -> CellKey {
    let of_a_cell = |option: OptionKey| {
        let row = option.row();
        row.in_a_stay || row.of_rules && key.mode.is_floor()
    };
    CellKey {
        options: key.options.only(|option| !of_a_cell(option)),
        ..key.clone()
    }
}

fn middle(units: &[Unitary]) -> f64 {
    median(values(units)).unwrap_or(f64::NAN)
}

/// What the updates of a cell go through.
pub(super) fn transport_of(key: &CellKey) -> Option<Transport> {
    key.options.get(OptionKey::Transport)?.parse().ok()
}
