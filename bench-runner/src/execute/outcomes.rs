//! What becomes of cells: those that cannot be measured, those that were, those that the run did not come to. Each gets
//! exactly one outcome, in the ledger and in the results.

use netns_harness::remedy::{Lack, Machine};
use scenarios::spec::{CellOutcome, CellSpec, StaySpec};
use schema::{Accelerator, CellRecord, NotRun, Outcome, Record};
use tracing::info;

use super::{Attempt, Executor, Finished, Turn};
use crate::case::Case;
use crate::disturbance::disturbances;
use crate::ledger::{AGAIN, STAY_MS};
use crate::plan::{PlannedStay, key};
use crate::verdict::{Verdict, judge, no_guest, not_run, without_numbers};

/// The fact that says which population a stay had, and where instructions are counted which guest.
const SEED: &str = "seed";
/// The fact that says how the kernel came to rest before a stay.
const SETTLED: &str = "settled_before";

impl Executor<'_> {
    /// The outcome of cells that cannot be tried, if these cannot.
    pub(super) fn impossible(&self, spec: &StaySpec) -> Option<Outcome> {
        let open = self.environments.of(&spec.environment)?;
        match open.unsupported.get(&Case::of(spec)).cloned() {
            Some(Lack { reason, remedy }) => {
                let guest = open.place.accelerator() != Accelerator::None;
                let remedy = remedy.filter(|remedy| !guest || remedy.reaches_guests());
                let remedy = remedy.map(|remedy| remedy.line(&Machine::here()));
                Some(Outcome::Unsupported { reason, remedy })
            }
            None => open.place.given_up().map(no_guest),
        }
    }

    /// The outcome of the cells of a stay that is not tried, if it is not.
    pub(super) fn instead(&self, stay: &PlannedStay) -> Option<Outcome> {
        let left_out = || stay.left_out.clone().map(not_run);
        self.impossible(&stay.spec).or_else(left_out)
    }

    /// Of these cells those that may give numbers; the others get their outcome.
    fn hopeful(&mut self, spec: &StaySpec, cells: Vec<CellSpec>) -> anyhow::Result<Vec<CellSpec>> {
        let is_hopeless = |cell: &CellSpec| self.ledger.is_hopeless(spec, cell);
        let (hopeless, rest): (Vec<_>, Vec<_>) = cells.into_iter().partition(is_hopeless);
        self.close(spec, &hopeless, &not_run(NotRun::TimedOutBefore))?;
        Ok(rest)
    }

    /// The cells of a stay that are to be measured now. Those that cannot be get their outcome.
    pub(super) fn admitted(&mut self, stay: &PlannedStay) -> anyhow::Result<Vec<CellSpec>> {
        let open = self.ledger.open_cells(stay);
        if open.is_empty() || self.is_interrupted() {
            return Ok(Vec::new());
        }
        if let Some(outcome) = self.instead(stay) {
            self.close(&stay.spec, &open, &outcome)?;
            return Ok(Vec::new());
        }
        self.hopeful(&stay.spec, open)
    }

    /// Writes what became of a stay. Returns what another process must measure.
    pub(super) fn conclude(&mut self, finished: Finished) -> anyhow::Result<Option<Attempt>> {
        let Finished {
            mut attempt,
            since,
            heard,
        } = finished;
        heard.note.iter().for_each(|said| self.progress.note(said));
        let spec = &attempt.stay.spec;
        let mut facts = heard.facts;
        facts.push((SEED, spec.seed.to_string()));
        facts.push((STAY_MS, (since.elapsed_ns() / 1_000_000).to_string()));
        facts.extend(attempt.settled.clone().map(|how| (SETTLED, how)));
        info!(stay = spec.stay, end = ?heard.end, "ended");
        let Verdict { outcomes, again } = judge(&spec.cells, heard.ended, &heard.end);
        for mut outcome in outcomes {
            let named = facts
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone()));
            outcome.facts.extend(named);
            let started_ns = match heard.started.get(&outcome.cell) {
                Some(at) => {
                    if outcome.elapsed_ns == 0 {
                        outcome.elapsed_ns = at.elapsed_ns();
                    }
                    self.spent_before_ns + self.start.ns_until(*at)
                }
                None => self.elapsed_ns(),
            };
            self.record(spec, outcome, started_ns)?;
        }
        if again.is_empty() {
            self.learn_pace(&attempt);
            return Ok(None);
        }
        attempt.turn = Turn::Rest;
        attempt.stay.spec.cells = again;
        Ok(Some(attempt))
    }

    /// How long a stay took: where several run at a time its share of that.
    fn learn_pace(&mut self, attempt: &Attempt) {
        let PlannedStay {
            spec, expected_ns, ..
        } = &attempt.stay;
        if attempt.whole {
            let at_a_time = if spec.counted { self.plan.at_a_time } else { 1 };
            let took_ns = attempt.begun.elapsed_ns() / at_a_time as u64;
            let pace = self.paces.entry(spec.environment.clone()).or_default();
            pace.add(took_ns, *expected_ns);
        }
    }

    /// Every cell that still has no outcome was not run; says why.
    pub(super) fn close_rest(&mut self) -> anyhow::Result<()> {
        let why = match () {
            () if self.is_interrupted() => NotRun::Interrupted,
            () if self.decided => NotRun::Decided,
            () => NotRun::Budget,
        };
        for stay in (0..self.plan.blocks).flat_map(|block| self.plan.block(block)) {
            let outcome = self.instead(&stay).unwrap_or_else(|| not_run(why.clone()));
            let open = self.ledger.open_cells(&stay);
            let open = self.hopeful(&stay.spec, open)?;
            self.close(&stay.spec, &open, &outcome)?;
        }
        Ok(())
    }

    fn close(
        &mut self,
        spec: &StaySpec,
        cells: &[CellSpec],
        outcome: &Outcome,
    ) -> anyhow::Result<()> {
        for cell in cells {
            info!(?outcome, "skip {}", key(spec, cell));
            let now = self.elapsed_ns();
            self.record(spec, without_numbers(cell.id, outcome.clone()), now)?;
        }
        Ok(())
    }

    fn record(
        &mut self,
        spec: &StaySpec,
        outcome: CellOutcome,
        started_ns: u64,
    ) -> anyhow::Result<()> {
        let Some(cell) = spec.cells.iter().find(|c| c.id == outcome.cell) else {
            anyhow::bail!(
                "a stay spoke of cell {}, which is not its own",
                outcome.cell
            );
        };
        let mut facts = outcome.facts.clone();
        let what = self.ledger.what_disturbed(spec, cell);
        if what.is_some() && outcome.outcome != Outcome::Measured {
            // Its first numbers stand, with their mark.
            self.ledger.keep_disturbed(spec, cell);
            return Ok(());
        }
        facts.extend(what.map(|what| (AGAIN.to_owned(), what.to_owned())));
        let record = CellRecord {
            key: key(spec, cell),
            block: spec.block,
            stay: spec.stay,
            started_ns,
            elapsed_ns: outcome.elapsed_ns,
            steal_ns: outcome.steal_ns,
            run_delay_ns: outcome.run_delay_ns,
            // Load moves nothing that is counted.
            disturbed: match spec.counted {
                true => Vec::new(),
                false => disturbances(&outcome),
            },
            outcome: outcome.outcome,
            series: outcome.series,
            facts,
        };
        self.ledger.note(&record).map_err(anyhow::Error::msg)?;
        if let Outcome::Failed { stage, reason } = &record.outcome {
            let line = format!("{}: failed ({stage}): {reason}", record.key);
            self.progress.note(&line);
        }
        self.run_dir.append(&Record::Cell(record))
    }
}
