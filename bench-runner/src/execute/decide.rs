//! Going on until the two sides of a comparison are told apart, or known to be alike (`--until-decided`).

use reports::compare::looks::{Decision, LOOKS, look};
use reports::compare::{Digest, Question, compare};
use reports::gate::Gate;

use super::Executor;

impl Executor<'_> {
    /// Blocks that are whole.
    fn whole_blocks(&self) -> u32 {
        let stays = (0..self.plan.stays.len()).filter(|place| self.can_be_repeated(*place));
        let next = stays.map(|place| self.ledger.next_block(place).unwrap_or(self.plan.blocks));
        next.min().unwrap_or(0)
    }

    /// Places of the pairs of which the next block is made; none when it does not fit any more.
    pub(super) fn next_block(&self) -> Vec<usize> {
        let all = self.candidates();
        let cost_ns: u64 = all.iter().map(|candidate| candidate.cost_ns).sum();
        match self.is_interrupted() || cost_ns > self.left_ns() {
            true => Vec::new(),
            false => all.into_iter().map(|candidate| candidate.place).collect(),
        }
    }

    /// Looks, where there is to be a look, by the gate's own comparison of what is written so far.
    ///
    /// # Errors
    /// The results cannot be read back.
    pub(super) fn is_decided(&mut self) -> anyhow::Result<bool> {
        let blocks = self.whole_blocks();
        if !LOOKS.contains(&blocks) || self.is_interrupted() {
            return Ok(false);
        }
        let run = Digest::load(self.run_dir.path())?;
        let question = Question {
            gate: Gate::shipped(),
            across: Vec::new(),
        };
        let decision = match compare(&run, None, &question) {
            Ok(comparison) => Decision::of(&comparison),
            // Nothing was measured on both sides: more blocks are wanted.
            Err(_) => Decision::Open,
        };
        let said = match decision {
            Decision::Regressed => "decided: something regressed",
            Decision::Unchanged => "decided: a change that counts is ruled out",
            Decision::Open => "not decided yet",
        };
        self.progress.note(&format!(
            "look {} after {blocks} blocks: {said}",
            look(blocks)
        ));
        self.decided = decision != Decision::Open;
        Ok(self.decided)
    }
}
