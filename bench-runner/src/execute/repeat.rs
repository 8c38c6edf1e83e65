//! Repeating stays while the budget lasts. In an A/B run a turn makes the stays of all variants that are compared
//! with each other, so that each has as many as the others.

use scenarios::spec::StaySpec;

use super::Executor;
use crate::budget::{self, Candidate};
use crate::plan::PlannedStay;

impl Executor<'_> {
    /// Places of the stays to repeat next; of a pair its first.
    pub(super) fn round(&self) -> Vec<usize> {
        if self.is_interrupted() {
            return Vec::new();
        }
        budget::round(&self.candidates(), self.left_ns(), self.settings.args.seed)
    }

    /// The pairs that can be repeated, by their first stays.
    pub(super) fn candidates(&self) -> Vec<Candidate> {
        let first = |place: &usize| self.plan.pair_of(*place).next() == Some(*place);
        let firsts = (0..self.plan.stays.len()).filter(first);
        firsts.filter_map(|place| self.candidate(place)).collect()
    }

    /// Whether repeating a stay could give anything, if there are blocks left.
    pub(super) fn can_be_repeated(&self, place: usize) -> bool {
        let stay = &self.plan.stays[place];
        let spec = &stay.spec;
        let hopeless = spec.cells.iter().all(|c| self.ledger.is_hopeless(spec, c));
        !hopeless && self.instead(stay).is_none()
    }

    /// The stays of a pair, if repeating them could give anything.
    fn candidate(&self, place: usize) -> Option<Candidate> {
        let pair = self.plan.pair_of(place);
        let all: Vec<Candidate> = pair
            .filter_map(|place| self.candidate_alone(place))
            .collect();
        let widths: Option<Vec<f64>> = all.iter().map(|c| c.width).collect();
        let first = all.first()?;
        Some(Candidate {
            place,
            headline: all.iter().any(|c| c.headline),
            done: all.iter().map(|c| c.done).min().unwrap_or(first.done),
            cost_ns: all.iter().map(|c| c.cost_ns).sum(),
            width: widths.map(|all| all.into_iter().fold(0.0, f64::max)),
            ..first.clone()
        })
    }

    /// A stay, if repeating it could give anything.
    fn candidate_alone(&self, place: usize) -> Option<Candidate> {
        let spec = &self.plan.stays[place].spec;
        if !self.can_be_repeated(place) {
            return None;
        }
        let mut stays = self.plan.stays.iter().map(|stay| &stay.spec);
        let lane = stays.position(|other| same_lane(other, spec));
        Some(Candidate {
            place,
            lane: lane.unwrap_or(place),
            headline: self.plan.is_headline(place),
            done: self.ledger.next_block(place)?,
            cost_ns: self.cost_ns(place),
            width: self.ledger.width(place),
        })
    }

    /// Repeats the stays of a pair, side by side, if they still fit. One that is behind, because the run was
    /// interrupted between the two, catches up. Returns the stays that were made.
    pub(super) async fn turn(&mut self, place: usize) -> anyhow::Result<Vec<PlannedStay>> {
        let Some(candidate) = self.candidate(place) else {
            return Ok(Vec::new());
        };
        if self.is_interrupted() || candidate.cost_ns > self.left_ns() {
            return Ok(Vec::new());
        }
        let pair = self.plan.stays[place].pair;
        let mut stays = self.plan.block(candidate.done);
        stays.retain(|stay| stay.pair == pair);
        self.make(stays.clone()).await?;
        Ok(stays)
    }
}

/// Whether two stays take turns: the same mode in the same environment on the same kind of node, programmed in the same way.
fn same_lane(a: &StaySpec, b: &StaySpec) -> bool {
    (&a.environment, &a.variant) == (&b.environment, &b.variant)
        && (a.mode, a.node(), a.transport, a.engine) == (b.mode, b.node(), b.transport, b.engine)
}
