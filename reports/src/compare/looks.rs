//! Looking at a comparison while it is still being measured (`run --until-decided`): after which blocks, how much of the
//! gate's p a look may use, and whether one more block is wanted.
//!
//! Who looks again and again with the same p finds in the end what is not there. So the k-th look has p ÷ (k·(k + 1)) of
//! it: over however many looks that is p in all (the sum of 1 ÷ (k·(k + 1)) is 1), and nobody need know beforehand how
//! many there will be. By Bonferroni's inequality that holds whatever the looks have in common (Demets and Lan,
//! Statistics in Medicine 13, 1994, on spending what may be spent).

use schema::Mode;
use schema::comparison::{Compared, Decision, Pooled, Verdict};

use super::digest::CellDigest;
use crate::gate::Gate;

/// The key of a run's arguments.
const ARGUMENT: &str = "until-decided";

/// Blocks after which there is a look: as many as an interval needs, then about a third more each time.
pub const LOOKS: [u32; 11] = [6, 8, 11, 15, 20, 27, 36, 48, 64, 85, 114];

/// Whether the questions are answered: by the pool over all modes; where there is none by that of each mode; and where that
/// has a single cell, by the cell. What single cells are too noisy to show, pools are for.
pub(super) fn decision(cells: &[Compared], pooled: &[Pooled]) -> Decision {
    let verdicts = cells.iter().map(|row| row.verdict);
    let mut verdicts = verdicts.chain(pooled.iter().map(|pool| pool.verdict));
    if verdicts.any(|verdict| verdict == Verdict::Regressed) {
        return Decision::Regressed;
    }
    let judged = |row: &&Compared| {
        let judged = [Verdict::Improved, Verdict::Unchanged, Verdict::Inconclusive];
        row.metric.is_some_and(|m| m.row().answers) && judged.contains(&row.verdict)
    };
    let mut asked = cells.iter().filter(judged).peekable();
    if asked.peek().is_none() {
        return Decision::Open;
    }
    let of = |row: &Compared, mode: Option<Mode>| {
        let mut pools = pooled.iter();
        let asks = |pool: &&Pooled| {
            pool.scenario == row.key.scenario
                && Some(pool.metric) == row.metric
                && pool.mode == mode
        };
        pools.find(asks).map(|pool| pool.verdict)
    };
    let verdict = |row: &Compared| {
        let widest = of(row, None).or_else(|| of(row, Some(row.key.mode)));
        widest.unwrap_or(row.verdict)
    };
    match asked.any(|row| verdict(row) == Verdict::Inconclusive) {
        true => Decision::Open,
        false => Decision::Ruled,
    }
}

/// Which look it is after so many blocks, from 1: of a run that its limit ended between two looks, one more.
#[must_use]
pub fn look(blocks: u32) -> u32 {
    let before = LOOKS.iter().filter(|look| **look < blocks).count();
    before as u32 + 1
}

/// The gate as the k-th look has it.
#[must_use]
pub fn gate_at(gate: &Gate, look: u32) -> Gate {
    let share = 1.0 / f64::from(look * (look + 1));
    let mut gate = gate.clone();
    let own = gate
        .of_scenarios
        .values_mut()
        .flat_map(|own| own.values_mut());
    for thresholds in gate.thresholds.values_mut().chain(own) {
        thresholds.p *= share;
    }
    gate
}

/// The look that a run is at which was to go on until it was decided; `None` of any other.
pub(super) fn of_run<'a>(
    arguments: &std::collections::BTreeMap<String, serde_json::Value>,
    cells: impl Iterator<Item = &'a CellDigest>,
) -> Option<u32> {
    let asked = arguments.get(ARGUMENT)?.as_bool()?;
    let measured = cells
        .filter(|cell| cell.measured())
        .map(|cell| cell.block + 1);
    let blocks = measured.max().unwrap_or(0);
    asked.then(|| look(blocks))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_looks_together_use_no_more_than_p() {
        let gate = Gate::shipped();
        let p = |gate: &Gate| gate.thresholds[&schema::Metric::Latency].p;
        let all: f64 = (1..=LOOKS.len() as u32 + 1)
            .map(|k| p(&gate_at(&gate, k)))
            .sum();
        assert!(all <= p(&gate) && all > 0.9 * p(&gate), "{all}");
    }

    #[test]
    fn a_look_is_told_by_the_blocks_and_a_limit_between_two_is_one_more() {
        assert_eq!([1, 6, 7, 8, 9, 11].map(look), [1, 1, 2, 2, 3, 3]);
    }
}
