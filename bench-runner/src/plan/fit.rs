//! What of a plan is begun within its budget: whole answers. Pure.
//!
//! The budget is first for what a run is for, the largest size of every mode: as many stays as an interval needs, or, where
//! those of a mode would take too large a share, as many as a range. Of what that leaves, and of a third whatever that
//! takes, every other stay has one, a point of a curve, the cheapest first. What does not fit is not begun.

use std::collections::BTreeMap;
use std::time::Duration;

use schema::NotRun;

use super::{Plan, PlannedStay, mode_of};
use crate::budget::HEADLINE_STAYS;
use crate::progress::rough;

/// Stays that a range needs.
const RANGE: u32 = 3;
/// Of the budget, what the interval of one mode may take.
const SHARE: u64 = 4;

impl Plan {
    /// Leaves out what would leave other questions without an answer.
    pub(super) fn fit(&mut self) {
        let budget_ns = self.budget.as_nanos() as u64;
        let mut pairs: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (place, stay) in self.stays.iter().enumerate() {
            if !stay.spec.counted && stay.begun_ns() > 0 {
                pairs.entry(stay.pair).or_default().push(place);
            }
        }
        let (mut needed_ns, mut others) = (0, Vec::new());
        for places in pairs.into_values() {
            let cost_ns: u64 = places.iter().map(|at| self.stays[*at].expected_ns).sum();
            let blocks = places.iter().map(|at| self.stays[*at].blocks).max();
            let stays = |most: u32| u64::from(blocks.unwrap_or(1).min(most)) * cost_ns;
            if !places.iter().any(|at| self.is_headline(*at)) {
                others.push((cost_ns, places));
            } else if stays(HEADLINE_STAYS) > budget_ns / SHARE {
                needed_ns += stays(RANGE);
            } else {
                needed_ns += stays(HEADLINE_STAYS);
            }
        }
        let mut left_ns = budget_ns.saturating_sub(needed_ns).max(budget_ns / 3);
        others.sort_by_key(|(cost_ns, _)| *cost_ns);
        for (cost_ns, places) in others {
            if cost_ns <= left_ns {
                left_ns -= cost_ns;
            } else {
                for place in places {
                    self.stays[place].left_out = Some(NotRun::Budget);
                }
            }
        }
    }

    /// Whether the budget leaves nothing that is timed to begin.
    pub(crate) fn fits_nothing(&self) -> Option<String> {
        let nothing = self.part(false).next().is_some()
            && self.part(false).all(|stay| stay.left_out.is_some());
        let said = self.what_does_not_fit().filter(|_| nothing)?;
        Some(format!(
            "nothing of what is asked fits into the budget of {}: {said}",
            rough(self.budget)
        ))
    }

    /// Whether a stay is what a run is for: it answers most at the largest size.
    pub(crate) fn is_headline(&self, place: usize) -> bool {
        let largest = self.stays.iter().map(|stay| stay.spec.services).max();
        let spec = &self.stays[place].spec;
        Some(spec.services) == largest
            && spec
                .cells
                .iter()
                .all(|cell| scenarios::scenario(cell.scenario).needs() == scenarios::Needs::Served)
    }

    /// What does not fit into the budget, and what would make it, as a sentence.
    pub(super) fn what_does_not_fit(&self) -> Option<String> {
        let is_cut = |stay: &&PlannedStay| stay.left_out == Some(NotRun::Budget);
        let mut cut: Vec<&PlannedStay> = self.stays.iter().filter(is_cut).collect();
        cut.sort_by_key(|stay| std::cmp::Reverse(stay.expected_ns));
        let (block, budget) = (self.block_time(), self.budget);
        // With intervals of what comes first.
        let stays = self.stays.iter().enumerate();
        let whole = stays
            .filter(|(_, stay)| !stay.spec.counted)
            .map(|(at, stay)| match (self.is_headline(at), &stay.left_out) {
                (true, None) => stay.expected_ns * u64::from(stay.blocks.min(HEADLINE_STAYS)),
                (_, None | Some(NotRun::Budget)) => stay.expected_ns,
                _ => 0,
            });
        let whole = Duration::from_nanos(whole.sum());
        let remedy = |least: Duration| {
            format!(
                "--budget {}m, a smaller --services or fewer --modes",
                least.as_secs().div_ceil(60)
            )
        };
        match cut.first() {
            None if block > budget => Some(format!(
                "one block is longer than the budget of {}, and is made whole: {} makes more",
                rough(budget),
                remedy(block)
            )),
            None => None,
            Some(dearest) => {
                let cell = &dearest.spec.cells[0];
                Some(format!(
                    "{} stays a block are not begun (not-run: budget), so that the largest size is answered: the dearest is {} of {} at {}, {}; {} makes them",
                    cut.len(),
                    cell.scenario,
                    mode_of(&dearest.spec),
                    dearest.spec.services,
                    rough(Duration::from_nanos(dearest.expected_ns)),
                    remedy(whole)
                ))
            }
        }
    }
}
