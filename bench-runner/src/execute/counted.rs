//! Stays whose time is executed instructions. Each has a guest of its own, and load changes nothing that is counted,
//! so as many run at a time as there are processors. Every stay of every block is made: what a run gives does not
//! depend on how fast it went.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use netns_sys::clock;
use scenarios::spec::{CellOutcome, StaySpec};
use schema::{Outcome, Stage};
use tokio::task::JoinSet;

use super::{Executor, SEED};
use crate::ledger::STAY_MS;
use crate::plan::PlannedStay;
use crate::sandbox::Sandbox;
use crate::sandbox::counted::{Counted, Heard, at_a_time, heard, inside};
use crate::verdict::{End, Verdict, judge, without_numbers};

/// A stay whose guest has ended.
struct Finished {
    stay: PlannedStay,
    begun: clock::Reading,
    took: Duration,
    heard: Heard,
}

impl Executor<'_> {
    /// Makes every stay of every block.
    ///
    /// # Errors
    /// Results could not be written, or this machine refuses a file.
    pub(super) async fn run_counted(&mut self) -> anyhow::Result<()> {
        let mut waiting: VecDeque<PlannedStay> = self.all_stays();
        let mut running: JoinSet<anyhow::Result<Finished>> = JoinSet::new();
        loop {
            while running.len() < at_a_time() && !self.interrupted {
                let Some(stay) = waiting.pop_front() else {
                    break;
                };
                if let Some(stay) = self.ready(stay)? {
                    let guests = self.guests(&stay.spec)?;
                    let limit = self.limit(&stay);
                    running.spawn(carry_out(stay, guests, limit));
                }
            }
            let ended = self.listener.unless_interrupted(running.join_next());
            let Some(next) = ended.await else {
                // The guests end with their tasks.
                self.interrupted = true;
                return Ok(());
            };
            let Some(finished) = next else { return Ok(()) };
            let again = self.conclude(finished??)?;
            waiting.extend(again);
        }
    }

    /// The stays of all blocks in their order, the longest of a block first: then none is left to run alone at the
    /// end.
    fn all_stays(&self) -> VecDeque<PlannedStay> {
        let block = |block| {
            let mut stays = self.plan.block(block);
            stays.sort_by_key(|stay| std::cmp::Reverse(stay.expected_ns));
            stays
        };
        (0..self.plan.blocks).flat_map(block).collect()
    }

    /// A stay with the cells that are to be measured now, and its number; none when there is nothing to do.
    fn ready(&mut self, mut stay: PlannedStay) -> anyhow::Result<Option<PlannedStay>> {
        stay.spec.cells = self.admitted(&stay)?;
        if stay.spec.cells.is_empty() {
            return Ok(None);
        }
        stay.spec.stay = self.ledger.stay_number(stay.spec.stay);
        self.announce(&stay.spec, &stay.spec.cells);
        Ok(Some(stay))
    }

    fn guests(&self, spec: &StaySpec) -> anyhow::Result<Arc<Counted>> {
        match self
            .environments
            .of(&spec.environment)
            .map(|open| &open.sandbox)
        {
            Some(Sandbox::Counted(guests)) => Ok(Arc::clone(guests)),
            _ => anyhow::bail!("in the environment {} nothing is counted", spec.environment),
        }
    }

    /// A guest says nothing before its end, so the limit is that of its cells, and of what is before and after
    /// them, together.
    fn limit(&self, stay: &PlannedStay) -> Duration {
        self.settings.cell_timeout * (stay.spec.cells.len() as u32 + 1)
    }

    /// Writes what became of a stay; a stay of what must be measured again.
    fn conclude(&mut self, finished: Finished) -> anyhow::Result<Option<PlannedStay>> {
        let Finished {
            stay,
            begun,
            took,
            heard,
        } = finished;
        let spec = &stay.spec;
        let pace = self.paces.entry(spec.environment.clone()).or_default();
        pace.add(
            took.as_nanos() as u64 / at_a_time() as u64,
            stay.expected_ns,
        );
        let Verdict { outcomes, again } = verdict(spec, heard);
        let started_ns = self.spent_before_ns + self.start.ns_until(begun);
        for mut outcome in outcomes {
            let facts = [
                (SEED, spec.seed.to_string()),
                (STAY_MS, took.as_millis().to_string()),
            ];
            let facts = facts.map(|(name, value)| (name.to_owned(), value));
            outcome.facts.extend(facts);
            self.record(spec, outcome, started_ns)?;
        }
        if again.is_empty() {
            return Ok(None);
        }
        let mut rest = stay.clone();
        rest.spec.cells = again;
        Ok(Some(rest))
    }
}

async fn carry_out(
    stay: PlannedStay,
    guests: Arc<Counted>,
    limit: Duration,
) -> anyhow::Result<Finished> {
    let begun = clock::now();
    let input = serde_json::to_string(&inside(&stay.spec))?;
    let heard = guests.carry_out(stay.spec.seed, vec![input], limit).await?;
    Ok(Finished {
        took: Duration::from_nanos(begun.elapsed_ns()),
        stay,
        begun,
        heard,
    })
}

fn verdict(spec: &StaySpec, from: Heard) -> Verdict {
    match from {
        Heard::Done(done) => match done.into_iter().next() {
            Some(done) => {
                let (ended, end) = heard(spec, done);
                judge(&spec.cells, ended, &end)
            }
            None => gone(spec, "it said nothing".to_owned()),
        },
        Heard::Gone(why) => gone(spec, why),
        // Which of its cells is slow is not known.
        Heard::Late => {
            let late = |cell: u64| without_numbers(cell, Outcome::TimedOut { after_ns: None });
            let outcomes: Vec<CellOutcome> = spec.cells.iter().map(|cell| late(cell.id)).collect();
            Verdict {
                outcomes,
                again: Vec::new(),
            }
        }
    }
}

fn gone(spec: &StaySpec, why: String) -> Verdict {
    let end = End::Died(Stage::Guest, None, why);
    judge(&spec.cells, Vec::new(), &end)
}
