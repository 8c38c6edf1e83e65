//! What of a plan is begun within its budget: whole answers. Pure.
//!
//! The budget is first for what a run is for, the largest size of every mode: as many stays as an interval needs, or, where
//! those of a mode would take too large a share, as many as a range. Of what that leaves, and of a third whatever that
//! takes, every other stay has one, a point of a curve, the cheapest first. What does not fit is not begun.

use std::collections::BTreeMap;
use std::time::Duration;

use reports::quantity::counted;
use schema::NotRun;

use super::{Plan, PlannedStay, mode_of};
use crate::budget::HEADLINE_STAYS;
use crate::progress::rough;

/// Stays that a range needs.
const RANGE: u32 = 3;
/// Of the budget, what the interval of one mode may take.
const SHARE: u64 = 4;

/// Stays that are begun together or not at all.
struct Pair {
    places: Vec<usize>,
    /// Each of them once, nanoseconds.
    cost_ns: u64,
    headline: bool,
}

impl Plan {
    /// Leaves out what would leave other questions without an answer. `at_least`: blocks that every question has before it
    /// says anything, where whole blocks are made.
    pub(super) fn fit(&mut self, at_least: Option<u32>) {
        let budget_ns = self.budget.as_nanos() as u64;
        let (first, mut others): (Vec<Pair>, Vec<Pair>) =
            self.timed_pairs().partition(|pair| pair.headline);
        let needed = |pair: &Pair| {
            let stays = |most| self.times_ns(pair, most);
            match at_least {
                Some(blocks) => stays(blocks),
                None if stays(HEADLINE_STAYS) > budget_ns / SHARE => stays(RANGE),
                None => stays(HEADLINE_STAYS),
            }
        };
        let needed_ns: u64 = first.iter().map(needed).sum();
        let mut left_ns = budget_ns.saturating_sub(needed_ns).max(budget_ns / 3);
        others.sort_by_key(|pair| pair.cost_ns);
        let mut cut = Vec::new();
        for pair in others {
            match self.times_ns(&pair, at_least.unwrap_or(1)) {
                fits if fits <= left_ns => left_ns -= fits,
                _ => cut.extend(pair.places),
            }
        }
        for place in cut {
            self.stays[place].left_out = Some(NotRun::Budget);
        }
    }

    /// What takes time of the budget, or was cut from it.
    fn timed_pairs(&self) -> impl Iterator<Item = Pair> + use<> {
        let mut pairs: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (place, stay) in self.stays.iter().enumerate() {
            let asked = stay.left_out.is_none() || stay.left_out == Some(NotRun::Budget);
            if !stay.spec.counted && asked && stay.expected_ns > 0 {
                pairs.entry(stay.pair).or_default().push(place);
            }
        }
        let pair = |places: Vec<usize>| Pair {
            cost_ns: places.iter().map(|at| self.stays[*at].expected_ns).sum(),
            headline: places.iter().any(|at| self.is_headline(*at)),
            places,
        };
        let pairs: Vec<Pair> = pairs.into_values().map(pair).collect();
        pairs.into_iter()
    }

    /// A pair so many times, or as often as the plan has it.
    fn times_ns(&self, pair: &Pair, most: u32) -> u64 {
        let blocks = pair.places.iter().map(|at| self.stays[*at].blocks);
        u64::from(blocks.max().unwrap_or(1).min(most)) * pair.cost_ns
    }

    /// Whether a stay is what a run is for: it answers most at the largest size.
    pub(crate) fn is_headline(&self, place: usize) -> bool {
        let largest = self.stays.iter().map(|stay| stay.spec.services).max();
        Some(self.stays[place].spec.services) == largest
            && (self.stays[place].serves() || !self.stays.iter().any(PlannedStay::serves))
    }

    /// Why nothing is begun, if the budget leaves nothing that is timed.
    pub(crate) fn fits_nothing(&self) -> Option<String> {
        let least = self.timed_pairs().map(|pair| pair.cost_ns).min()?;
        let least = Duration::from_nanos(least);
        (least > self.budget).then(|| {
            format!(
                "the cheapest of what is timed takes about {}, longer than the budget of {}: {}",
                rough(least),
                rough(self.budget),
                self.remedy()
            )
        })
    }

    /// A budget that makes all that is asked, with intervals of what comes first; or what to ask less of.
    fn remedy(&self) -> String {
        let whole = self.timed_pairs().map(|pair| match pair.headline {
            true => self.times_ns(&pair, HEADLINE_STAYS),
            false => pair.cost_ns,
        });
        let minutes = whole.sum::<u64>().div_ceil(60_000_000_000);
        format!("--budget {minutes}m makes all of it; or a smaller --services, or fewer --modes")
    }

    /// What does not fit into the budget, and what would make it, as a sentence.
    pub(super) fn what_does_not_fit(&self) -> Option<String> {
        let is_cut = |stay: &&PlannedStay| stay.left_out == Some(NotRun::Budget);
        let cut = self.stays.iter().filter(is_cut);
        let dearest = cut.clone().max_by_key(|stay| stay.expected_ns);
        let cut = dearest.map(|dearest| {
            format!(
                "{} a block without room, not begun (not-run: budget), the dearest of {} at {}, {}",
                counted(cut.count() as u64, "stay"),
                mode_of(&dearest.spec),
                dearest.spec.services,
                rough(Duration::from_nanos(dearest.expected_ns)),
            )
        });
        let long = (self.block_time() > self.budget).then(|| {
            format!(
                "what is begun is made once, which is longer than the budget of {}",
                rough(self.budget)
            )
        });
        let said: Vec<String> = cut.into_iter().chain(long).collect();
        (!said.is_empty()).then(|| format!("budget: {}; {}", said.join("; "), self.remedy()))
    }
}
