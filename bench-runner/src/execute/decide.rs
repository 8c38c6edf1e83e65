//! Going on until a comparison is decided (`--until-decided`): something regressed, or that is ruled out.

use reports::compare::looks::{LOOKS, look};
use reports::compare::{CompareError, Digest, Question, compare};
use reports::gate::Gate;
use schema::comparison::Decision;

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
        let mut all = self.candidates();
        // After an interrupt some are a block ahead.
        let least = all.iter().map(|candidate| candidate.done).min();
        all.retain(|candidate| Some(candidate.done) == least);
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
        self.decided |= self.ledger.is_decided();
        if self.decided {
            return Ok(true);
        }
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
            Ok(comparison) => comparison.decision,
            // More blocks are wanted.
            Err(CompareError::NothingComparable(_)) => Decision::Open,
            Err(error) => return Err(error.into()),
        };
        let said = match decision {
            Decision::Regressed => "decided: something regressed",
            Decision::Ruled => "decided: a change for the worse that counts is ruled out",
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
