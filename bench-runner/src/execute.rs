//! Carries out a plan: one stay's process after the other, every planned cell with exactly one outcome in
//! the results.

use std::collections::HashMap;
use std::time::Duration;

use netns_sys::clock;
use scenarios::spec::{CellOutcome, CellSpec, StaySpec};
use schema::{CellRecord, NotRun, Outcome, Record, ScenarioKind};

use crate::cmd::cell::Input;
use crate::disturbance::disturbances;
use crate::ledger::{AGAIN, Ledger, STAY_MS, Tally};
use crate::listen::{Heard, Listener};
use crate::pace::Pace;
use crate::plan::{Plan, PlannedStay, Settings, key};
use crate::progress::Progress;
use crate::readiness::Case;
use crate::run_dir::RunDir;
use crate::sandbox::environments::Environments;
use crate::verdict::{End, judge, no_guest, not_run, without_numbers};

mod counted;
mod repeat;

/// Share of a run that may go into measuring disturbed cells again, and what a short run may take for it, nanoseconds.
const AGAIN_SHARE: f64 = 0.25;
const AGAIN_NS: u64 = 5_000_000_000;
/// The fact that says which population a stay had, and where instructions are counted which guest.
const SEED: &str = "seed";

/// Carries out plans.
pub(crate) struct Executor<'a> {
    settings: &'a Settings,
    plan: &'a Plan,
    run_dir: &'a mut RunDir,
    ledger: Ledger,
    progress: Progress,
    listener: Listener,
    start: clock::Reading,
    /// Time that the run had spent before this process, nanoseconds.
    spent_before_ns: u64,
    environments: &'a mut Environments,
    interrupted: bool,
    /// Time spent on measuring disturbed cells again, nanoseconds.
    again_ns: u64,
    /// What the stays that this process made took and were expected to take, by environment.
    paces: HashMap<String, Pace>,
}

impl<'a> Executor<'a> {
    /// Goes on from what the ledger knows.
    ///
    /// # Errors
    /// Signals or the kernel's memory figures cannot be had.
    pub(crate) fn new(
        settings: &'a Settings,
        plan: &'a Plan,
        run_dir: &'a mut RunDir,
        ledger: Ledger,
        environments: &'a mut Environments,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            settings,
            plan,
            run_dir,
            progress: Progress::new(ledger.planned()),
            listener: Listener::new(settings.cell_timeout)?,
            start: clock::now(),
            spent_before_ns: ledger.spent_ns(),
            ledger,
            environments,
            interrupted: false,
            again_ns: 0,
            paces: HashMap::new(),
        })
    }

    /// Makes every stay once, in the plan's order, then repeats stays while the budget lasts; what is left
    /// is accounted for. Returns what became of the cells, and the length of the run in nanoseconds.
    ///
    /// # Errors
    /// Results could not be written, or a process could not be started.
    pub(crate) async fn run(mut self) -> anyhow::Result<(Tally, u64)> {
        if self.plan.counted {
            self.run_counted().await?;
        } else {
            self.run_timed().await?;
        }
        self.close_rest()?;
        self.progress.finish();
        let elapsed_ns = self.elapsed_ns();
        Ok((self.ledger.tally(self.interrupted), elapsed_ns))
    }

    /// Every stay once, then again where it helps most.
    async fn run_timed(&mut self) -> anyhow::Result<()> {
        let first = self.plan.block(0);
        for stay in &first {
            self.visit(stay).await?;
        }
        self.measure_again(first).await?;
        if self.spent_before_ns > 0 {
            // A run that is carried on: what was disturbed before it was killed.
            let later = (1..self.plan.blocks).flat_map(|block| self.plan.block(block));
            let later: Vec<PlannedStay> = later.collect();
            self.measure_again(later).await?;
        }
        loop {
            let round = self.round();
            if round.is_empty() {
                return Ok(());
            }
            let mut made = Vec::new();
            for place in round {
                made.extend(self.turn(place).await?);
            }
            self.measure_again(made).await?;
        }
    }

    /// Measures what was disturbed in these stays once more, in new ones, while the budget lasts and no more than
    /// [`AGAIN_SHARE`] of the run went there: a machine that is always busy is not waited for. A cell that is disturbed
    /// again keeps its mark, and one that no time is left for its first numbers with theirs.
    async fn measure_again(&mut self, stays: Vec<PlannedStay>) -> anyhow::Result<()> {
        for mut stay in stays {
            stay.spec.cells = self.ledger.disturbed_cells(&stay);
            let most_ns = ((AGAIN_SHARE * self.elapsed_ns() as f64) as u64).max(AGAIN_NS);
            let fits = self.expected_ns(&stay) <= self.left_ns() && self.again_ns < most_ns;
            if stay.spec.cells.is_empty() || !fits || self.interrupted {
                continue;
            }
            stay.spec.stay = self.ledger.new_stay();
            let begun = clock::now();
            self.carry_out(&stay, stay.spec.cells.clone()).await?;
            self.again_ns += begun.elapsed_ns();
        }
        Ok(())
    }

    fn elapsed_ns(&self) -> u64 {
        self.spent_before_ns + self.start.elapsed_ns()
    }

    fn left_ns(&self) -> u64 {
        (self.plan.budget.as_nanos() as u64).saturating_sub(self.elapsed_ns())
    }

    /// The outcome of cells that cannot be tried, if these cannot.
    fn impossible(&self, spec: &StaySpec) -> Option<Outcome> {
        let open = self.environments.of(&spec.environment)?;
        let reason = open.unsupported.get(&Case::of(spec));
        if let Some(reason) = reason {
            return Some(Outcome::Unsupported {
                reason: reason.clone(),
            });
        }
        open.down().map(no_guest)
    }

    /// What a stay is expected to take at the pace of its environment, nanoseconds.
    fn expected_ns(&self, stay: &PlannedStay) -> u64 {
        let pace = self.paces.get(&stay.spec.environment);
        (pace.map_or(1.0, Pace::factor) * stay.expected_ns as f64) as u64
    }

    fn cost_ns(&self, place: usize) -> u64 {
        let planned = || self.expected_ns(&self.plan.stays[place]);
        self.ledger.took_ns(place).unwrap_or_else(planned)
    }

    /// Makes a stay with the cells that have no outcome yet.
    async fn visit(&mut self, stay: &PlannedStay) -> anyhow::Result<()> {
        let cells = self.admitted(stay)?;
        if cells.is_empty() {
            return Ok(());
        }
        let number = self.ledger.stay_number(stay.spec.stay);
        let numbered = PlannedStay {
            spec: StaySpec {
                stay: number,
                ..stay.spec.clone()
            },
            ..stay.clone()
        };
        self.carry_out(&numbered, cells).await
    }

    /// Measures these cells of a stay, in as many processes as it takes.
    async fn carry_out(
        &mut self,
        stay: &PlannedStay,
        mut rest: Vec<CellSpec>,
    ) -> anyhow::Result<()> {
        let begun = clock::now();
        let spec = &stay.spec;
        let whole = self.ledger.disturbed_cells(stay).is_empty();
        self.announce(spec, &rest);
        let Some(environment) = self.environments.of_mut(&spec.environment) else {
            anyhow::bail!(
                "the plan names the environment {}, which is not open",
                spec.environment
            );
        };
        if rest
            .iter()
            .any(|cell| cell.scenario == ScenarioKind::Memory)
        {
            environment.sandbox.renew().await;
        }
        let settling = environment.sandbox.settle();
        let Some(settled) = self.listener.unless_interrupted(settling).await else {
            self.interrupted = true;
            return Ok(());
        };
        let settled = settled?;
        let mut number = spec.stay;
        let mut since = begun;
        while !rest.is_empty() && !self.interrupted {
            let attempt = StaySpec {
                stay: number,
                cells: rest,
                ..spec.clone()
            };
            rest = self.attempt(&attempt, &settled, since).await?;
            number = self.ledger.new_stay();
            since = clock::now();
        }
        if whole {
            let pace = self.paces.entry(spec.environment.clone()).or_default();
            pace.add(begun.elapsed_ns(), stay.expected_ns);
        }
        Ok(())
    }

    /// The cells of a stay that are to be measured now. Those that cannot be get their outcome.
    fn admitted(&mut self, stay: &PlannedStay) -> anyhow::Result<Vec<CellSpec>> {
        let spec = &stay.spec;
        let open = self.ledger.open_cells(stay);
        if open.is_empty() || self.interrupted {
            return Ok(Vec::new());
        }
        let instead = self
            .impossible(spec)
            .or_else(|| stay.left_out.clone().map(not_run));
        if let Some(outcome) = instead {
            self.close(spec, &open, &outcome)?;
            return Ok(Vec::new());
        }
        let (hopeless, rest): (Vec<CellSpec>, Vec<CellSpec>) = open
            .into_iter()
            .partition(|c| self.ledger.is_hopeless(spec, c));
        self.close(spec, &hopeless, &not_run(NotRun::TimedOutBefore))?;
        Ok(rest)
    }

    fn announce(&self, spec: &StaySpec, cells: &[CellSpec]) {
        let mut asked: Vec<&str> = cells.iter().map(|c| c.scenario.name()).collect();
        asked.sort_unstable();
        asked.dedup();
        let place = match spec.environment.strip_prefix("guest-") {
            Some(kernel) => format!("guest {kernel}: "),
            None => String::new(),
        };
        let variant = match spec.variant.as_str() {
            "" => String::new(),
            name => format!(" ({name})"),
        };
        let again = match self.ledger.what_disturbed(spec, &cells[0]) {
            Some(what) => format!(" again (disturbed: {what})"),
            None => String::new(),
        };
        let what = format!(
            "{place}repetition {} of {}: {}{variant} at {} services, {}{again}",
            spec.block + 1,
            self.plan.blocks,
            spec.mode,
            spec.services,
            asked.join(" + ")
        );
        self.progress.stay(
            self.ledger.closed(),
            self.ledger.planned(),
            &what,
            self.left(),
        );
    }

    /// Time left: the first block is completed, then stays are repeated while the budget lasts.
    fn left(&self) -> Duration {
        let of_blocks = |from: u32, to: u32| -> u64 {
            let stays = self.plan.stays.iter().enumerate();
            let open = stays.map(|(place, stay)| {
                let next = self.ledger.next_block(place).unwrap_or(to);
                u64::from(to.saturating_sub(next.max(from))) * self.expected_ns(stay)
            });
            open.sum()
        };
        let first = of_blocks(0, 1);
        let later = of_blocks(1, self.plan.blocks);
        Duration::from_nanos(first + later.min(self.left_ns().saturating_sub(first)))
    }

    /// Runs one process; writes the outcomes of its cells; returns the cells that another process must run.
    async fn attempt(
        &mut self,
        spec: &StaySpec,
        settled: &str,
        since: clock::Reading,
    ) -> anyhow::Result<Vec<CellSpec>> {
        let Some(environment) = self.environments.of_mut(&spec.environment) else {
            anyhow::bail!("the environment {} is not open", spec.environment);
        };
        let inside = StaySpec {
            setup: environment.sandbox.setup(&spec.setup),
            ..spec.clone()
        };
        let input = serde_json::to_string(&Input::Stay(Box::new(inside)))?;
        let starting = environment.sandbox.start(&input);
        let mut running = match self.listener.unless_interrupted(starting).await {
            Some(started) => match started? {
                Ok(running) => running,
                Err(why) => {
                    self.close(spec, &spec.cells, &no_guest(&why))?;
                    return Ok(Vec::new());
                }
            },
            None => {
                self.interrupted = true;
                return Ok(spec.cells.clone());
            }
        };
        let Heard {
            ended,
            started,
            end,
        } = self.listener.listen(&mut running).await;
        // A stay that has said its last word ends by itself at once.
        if let Some(said) = running.kill().await {
            self.progress.note(&said);
        }
        let boot = environment.sandbox.boot();
        let knows_steal = environment.sandbox.knows_steal();
        self.interrupted |= end == End::Interrupted;
        let verdict = judge(&spec.cells, ended, &end);
        let stay_ms = since.elapsed_ns() / 1_000_000;
        for mut outcome in verdict.outcomes {
            let facts = [
                ("settled_before", settled.to_owned()),
                (STAY_MS, stay_ms.to_string()),
                (SEED, spec.seed.to_string()),
            ];
            let facts = facts.map(|(name, value)| (name.to_owned(), value));
            outcome.facts.extend(facts);
            outcome.steal_ns = outcome.steal_ns.filter(|_| knows_steal);
            let boot = boot.map(|number| ("guest_boot".to_owned(), number.to_string()));
            outcome.facts.extend(boot);
            let started_ns = match started.get(&outcome.cell) {
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
        Ok(verdict.again)
    }

    /// Every cell that still has no outcome was not run; says why.
    fn close_rest(&mut self) -> anyhow::Result<()> {
        for block in 0..self.plan.blocks {
            for stay in self.plan.block(block) {
                let spec = &stay.spec;
                let open = self.ledger.open_cells(&stay);
                let impossible = self.impossible(spec);
                let (hopeless, open): (Vec<CellSpec>, Vec<CellSpec>) = open
                    .into_iter()
                    .partition(|c| self.ledger.is_hopeless(spec, c));
                let rest = match (impossible, &stay.left_out) {
                    (Some(outcome), _) => outcome,
                    (None, Some(why)) => not_run(why.clone()),
                    (None, None) if self.interrupted => not_run(NotRun::Interrupted),
                    (None, None) => not_run(NotRun::Budget),
                };
                self.close(spec, &hopeless, &not_run(NotRun::TimedOutBefore))?;
                self.close(spec, &open, &rest)?;
            }
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
