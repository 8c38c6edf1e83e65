//! Looking at a comparison while it is still being measured (`run --until-decided`): after which blocks, how much of the
//! gate's p a look may use, and whether one more block is wanted.
//!
//! Who looks again and again with the same p finds in the end what is not there. So the k-th look has p ÷ (k·(k + 1)) of
//! it: over however many looks that is p in all (the sum of 1 ÷ (k·(k + 1)) is 1), and nobody need know beforehand how
//! many there will be. By Bonferroni's inequality that holds whatever the looks have in common (Demets and Lan,
//! Statistics in Medicine 13, 1994, on spending what may be spent).

use schema::Metric;
use schema::comparison::{Comparison, Conclusion, Pooled, Verdict};

use super::digest::CellDigest;
use crate::gate::Gate;

/// The key of a run's arguments.
const ARGUMENT: &str = "until-decided";

/// Blocks after which there is a look: as many as an interval needs, then about a third more each time.
pub const LOOKS: [u32; 11] = [6, 8, 11, 15, 20, 27, 36, 48, 64, 85, 114];

/// What a look came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Something regressed.
    Regressed,
    /// A change that counts is ruled out, of each question over all modes.
    Unchanged,
    /// More blocks may tell.
    Open,
}

impl Decision {
    /// Of a comparison.
    #[must_use]
    pub fn of(comparison: &Comparison) -> Self {
        let open = |verdict: Verdict| verdict == Verdict::Inconclusive;
        let answers = |metric: Metric| metric.row().answers;
        let pools = comparison.pooled.iter();
        let pools: Vec<&Pooled> = pools.filter(|pool| answers(pool.metric)).collect();
        let of_all = |pool: &Pooled| pool.mode.is_none();
        // What single cells are too noisy to show, pools are for; and what those of a mode are, those of all modes.
        let is_open = if pools.iter().any(|pool| of_all(pool)) {
            pools.iter().any(|pool| of_all(pool) && open(pool.verdict))
        } else if pools.is_empty() {
            let cells = comparison.cells.iter();
            let mut cells = cells.filter(|row| row.metric.is_some_and(answers));
            cells.any(|row| open(row.verdict))
        } else {
            pools.iter().any(|pool| open(pool.verdict))
        };
        match comparison.conclusion {
            Conclusion::Regressed => Self::Regressed,
            _ if is_open => Self::Open,
            _ => Self::Unchanged,
        }
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
        let p = |gate: &Gate| gate.thresholds[&Metric::Latency].p;
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
