//! Carries out a plan: one stay's process after the other, every planned cell with exactly one line in
//! the results.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use netns_harness::meters::{self, KernelMemory};
use netns_sys::clock;
use scenarios::Needs;
use scenarios::spec::{CellOutcome, CellSpec, Event, StaySpec};
use schema::{CellRecord, Outcome, Record, Stage};
use tokio::signal::unix::Signal;

use crate::cmd::cell::Input;
use crate::plan::{Plan, PlannedStay, Settings, key};
use crate::progress::{Progress, rough};
use crate::readiness::Case;
use crate::run_dir::RunDir;
use crate::stay_process::{Next, StayProcess};

/// How long to wait between stays for the kernel to give memory back.
const SETTLE: Duration = Duration::from_secs(5);

/// What became of a run.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Cell lines by outcome.
    pub(crate) outcomes: BTreeMap<&'static str, u64>,
    /// Ctrl-C.
    pub(crate) interrupted: bool,
    /// The budget ended before the last block.
    pub(crate) budget: bool,
    /// Reasons of failed cells, each once.
    pub(crate) failures: Vec<String>,
}

impl Tally {
    /// "complete", "budget" or "interrupted".
    pub(crate) fn ended(&self) -> &'static str {
        match (self.interrupted, self.budget) {
            (true, _) => "interrupted",
            (_, true) => "budget",
            _ => "complete",
        }
    }

    /// Cells with that outcome.
    pub(crate) fn count(&self, outcome: &str) -> u64 {
        self.outcomes.get(outcome).copied().unwrap_or(0)
    }
}

/// Carries out plans.
pub(crate) struct Executor<'a> {
    settings: &'a Settings,
    plan: &'a Plan,
    run_dir: &'a mut RunDir,
    progress: Progress,
    interrupt: Signal,
    terminate: Signal,
    start: clock::Reading,
    baseline: KernelMemory,
    /// Why a mode cannot be measured here, by how it is programmed.
    unsupported: HashMap<Case, String>,
    /// How long a stay of the plan took last, nanoseconds.
    took: HashMap<StayShape, u64>,
    /// Preparations and cells that timed out: not tried again.
    hopeless: HashSet<String>,
    /// Further stays start after those of the plan.
    next_stay: u32,
    /// Stays of later blocks that wait until the others have had their turns.
    deferred: Vec<(u32, PlannedStay)>,
    /// What the stays so far were expected to take, nanoseconds.
    expected_so_far: u64,
    tally: Tally,
}

/// A stay without its numbers: the same in every block.
type StayShape = String;

fn shape(spec: &StaySpec) -> StayShape {
    let mut cells: Vec<String> = spec
        .cells
        .iter()
        .map(|c| key(spec, c).to_string())
        .collect();
    cells.sort_unstable();
    format!(
        "{} {} {} {:?}",
        spec.mode, spec.services, spec.variant, cells
    )
}

fn preparation_name(spec: &StaySpec) -> String {
    format!("prepare {} {} {}", spec.mode, spec.services, spec.endpoints)
}

/// Whether the stay installs its population before its cells; the others start from nothing.
fn prepares(spec: &StaySpec) -> bool {
    !spec
        .cells
        .iter()
        .any(|c| scenarios::scenario(c.scenario).needs() == Needs::Empty)
}

/// How listening to a stay's process ended.
enum Heard {
    /// Everything was said and done.
    Closed,
    /// The stay cannot go on.
    Failed(Stage, String),
    /// A cell (`cell`) or the preparation (no cell) passed its limit; `act_ns` is how long the timed act
    /// that was running had run.
    Late {
        cell: Option<u64>,
        after: Duration,
        act_ns: Option<u64>,
    },
    /// The process ended without a word.
    Died(Option<u64>, String),
    /// The user wants to stop.
    Interrupted,
}

impl<'a> Executor<'a> {
    pub(crate) fn new(
        settings: &'a Settings,
        plan: &'a Plan,
        run_dir: &'a mut RunDir,
        unsupported: HashMap<Case, String>,
    ) -> anyhow::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            settings,
            plan,
            run_dir,
            progress: Progress::new(plan.cells_per_block() * u64::from(plan.blocks)),
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            start: clock::now(),
            baseline: meters::kernel_memory()?,
            unsupported,
            took: HashMap::new(),
            hopeless: HashSet::new(),
            next_stay: plan.blocks * plan.stays.len() as u32,
            deferred: Vec::new(),
            expected_so_far: 0,
            tally: Tally::default(),
        })
    }

    /// Runs every block.
    ///
    /// # Errors
    /// Results could not be written, or a process could not be started.
    pub(crate) async fn run(mut self) -> anyhow::Result<Tally> {
        for block in 0..self.plan.blocks {
            for stay in self.plan.block(block) {
                if block > 0 && self.waits(&stay) {
                    self.deferred.push((block, stay));
                } else {
                    self.stay(block, &stay).await?;
                }
            }
        }
        for (block, stay) in std::mem::take(&mut self.deferred) {
            self.stay(block, &stay).await?;
        }
        self.progress.finish();
        Ok(self.tally)
    }

    /// A stay that asks one question and took more than a sixtieth of the budget is repeated only after
    /// everything else: one install of a minute would cost every other cell a repetition.
    fn waits(&self, stay: &PlannedStay) -> bool {
        let took = self.took.get(&shape(&stay.spec)).copied().unwrap_or(0);
        stay.spec.cells.len() == 1 && Duration::from_nanos(took) > self.settings.budget / 60
    }

    fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.start.elapsed_ns())
    }

    async fn stay(&mut self, block: u32, stay: &PlannedStay) -> anyhow::Result<()> {
        let done = self.carry_out(block, stay).await;
        self.expected_so_far += stay.expected_ns;
        done
    }

    async fn carry_out(&mut self, block: u32, stay: &PlannedStay) -> anyhow::Result<()> {
        let spec = &stay.spec;
        if self.tally.interrupted {
            return self.skip(spec, &spec.cells, "interrupted");
        }
        if let Some(why) = Case::of(spec).and_then(|case| self.unsupported.get(&case).cloned()) {
            return self.close_all(spec, &spec.cells, &Outcome::Unsupported { reason: why });
        }
        let expected = self
            .took
            .get(&shape(spec))
            .copied()
            .unwrap_or(stay.expected_ns);
        if block > 0 && self.elapsed() + Duration::from_nanos(expected) > self.settings.budget {
            self.tally.budget = true;
            return self.skip(spec, &spec.cells, "budget");
        }
        let settled = meters::settle(self.baseline, SETTLE)?;
        // Other processes move these figures over the minutes of a run.
        self.baseline = meters::kernel_memory()?;
        self.announce(block, spec);
        let begun = clock::now();
        let mut rest: Vec<CellSpec> = Vec::new();
        for cell in &spec.cells {
            let name = key(spec, cell).to_string();
            let unprepared = prepares(spec) && self.hopeless.contains(&preparation_name(spec));
            if self.hopeless.contains(&name) || unprepared {
                self.skip(spec, std::slice::from_ref(cell), "it timed out before")?;
            } else {
                rest.push(cell.clone());
            }
        }
        let mut number = spec.stay;
        while !rest.is_empty() && !self.tally.interrupted {
            let attempt = StaySpec {
                stay: number,
                cells: rest,
                ..spec.clone()
            };
            rest = self.attempt(&attempt, settled).await?;
            number = self.next_stay;
            self.next_stay += 1;
        }
        self.skip(spec, &rest, "interrupted")?;
        self.took.insert(shape(spec), begun.elapsed_ns());
        Ok(())
    }

    fn announce(&self, block: u32, spec: &StaySpec) {
        let done: u64 = self.tally.outcomes.values().sum();
        let total = self.plan.cells_per_block() * u64::from(self.plan.blocks);
        let mut asked: Vec<&str> = spec.cells.iter().map(|c| c.scenario.name()).collect();
        asked.sort_unstable();
        asked.dedup();
        let what = format!(
            "block {} of {}: {} at {} services, {}",
            block + 1,
            self.plan.blocks,
            spec.mode,
            spec.services,
            asked.join(" + ")
        );
        self.progress.stay(done, total, &what, self.left(block));
    }

    /// Time left, from the plan and from how the stays so far compared with it.
    fn left(&self, block: u32) -> Duration {
        let block_ns = self.plan.block_ns() as f64;
        let pace = if self.expected_so_far == 0 {
            1.0
        } else {
            self.start.elapsed_ns() as f64 / self.expected_so_far as f64
        };
        let in_block =
            pace * (block_ns * f64::from(block + 1) - self.expected_so_far as f64).max(0.0);
        let later = pace * block_ns * f64::from(self.plan.blocks - block - 1);
        let budget = self.settings.budget.as_nanos() as f64 - self.start.elapsed_ns() as f64;
        let first_is_complete = if block == 0 {
            in_block
        } else {
            in_block.min(budget.max(0.0))
        };
        Duration::from_nanos(
            (first_is_complete + later.min((budget - first_is_complete).max(0.0))) as u64,
        )
    }

    /// Runs one process; writes the outcomes of its cells; returns the cells that another process must run.
    async fn attempt(
        &mut self,
        spec: &StaySpec,
        settled: meters::Settled,
    ) -> anyhow::Result<Vec<CellSpec>> {
        let began = self.start.elapsed_ns();
        let input = serde_json::to_string(&Input::Stay(Box::new(spec.clone())))?;
        let mut process = StayProcess::start(&input).await?;
        let mut ended: Vec<CellOutcome> = Vec::new();
        let heard = self.listen(&mut process, &mut ended).await?;
        if matches!(heard, Heard::Late { .. } | Heard::Interrupted) && !process.kill().await {
            self.progress.note("warning: a killed stay is still inside the kernel; what follows may be slowed by it");
        }
        let finished: HashSet<u64> = ended.iter().map(|c| c.cell).collect();
        let open: Vec<CellSpec> = spec
            .cells
            .iter()
            .filter(|c| !finished.contains(&c.id))
            .cloned()
            .collect();
        let teardown = match &heard {
            Heard::Closed => Ok("census empty"),
            Heard::Failed(stage, reason) if open.is_empty() => Err((*stage, reason.clone())),
            Heard::Late { .. } if open.is_empty() => Err((
                Stage::Teardown,
                "it did not end within the time limit".to_owned(),
            )),
            Heard::Died(_, said) if open.is_empty() => Err((
                Stage::Teardown,
                format!("the stay's process ended in it: {said}"),
            )),
            _ => Ok("not reached: the stay was ended in a later cell"),
        };
        for mut outcome in ended {
            outcome
                .facts
                .insert("settled_before".to_owned(), settled.name().to_owned());
            match &teardown {
                Ok(fact) => {
                    outcome
                        .facts
                        .insert("teardown".to_owned(), (*fact).to_owned());
                }
                Err((stage, reason)) => {
                    outcome.outcome = Outcome::Failed {
                        stage: *stage,
                        reason: reason.clone(),
                    };
                    outcome.series.clear();
                }
            }
            self.record(spec, outcome, began)?;
        }
        self.settle_open(spec, heard, open)
    }

    /// Gives the cells that have no outcome theirs, or hands them back to be run.
    fn settle_open(
        &mut self,
        spec: &StaySpec,
        heard: Heard,
        open: Vec<CellSpec>,
    ) -> anyhow::Result<Vec<CellSpec>> {
        match heard {
            Heard::Closed => {
                let outcome = Outcome::Failed {
                    stage: Stage::Process,
                    reason: "the stay closed without this cell".to_owned(),
                };
                self.close_all(spec, &open, &outcome)?;
                Ok(Vec::new())
            }
            Heard::Failed(stage, reason) => {
                self.close_all(spec, &open, &Outcome::Failed { stage, reason })?;
                Ok(Vec::new())
            }
            Heard::Late {
                cell: None, after, ..
            } => {
                if !open.is_empty() && prepares(spec) {
                    self.hopeless.insert(preparation_name(spec));
                }
                self.skip(
                    spec,
                    &open,
                    &format!("preparation: longer than {}", rough(after)),
                )?;
                Ok(Vec::new())
            }
            Heard::Late {
                cell: Some(id),
                act_ns,
                ..
            } => self.close_one(spec, open, id, &Outcome::TimedOut { after_ns: act_ns }),
            Heard::Died(None, said) => {
                let reason = format!("the stay's process ended before its first cell: {said}");
                self.close_all(
                    spec,
                    &open,
                    &Outcome::Failed {
                        stage: Stage::Process,
                        reason,
                    },
                )?;
                Ok(Vec::new())
            }
            Heard::Died(Some(id), said) => {
                let reason = format!("the stay's process ended: {said}");
                self.close_one(
                    spec,
                    open,
                    id,
                    &Outcome::Failed {
                        stage: Stage::Process,
                        reason,
                    },
                )
            }
            Heard::Interrupted => Ok(open),
        }
    }

    /// Only the cell that was running gets the outcome; the others are for another process.
    fn close_one(
        &mut self,
        spec: &StaySpec,
        open: Vec<CellSpec>,
        id: u64,
        outcome: &Outcome,
    ) -> anyhow::Result<Vec<CellSpec>> {
        let (this, others): (Vec<CellSpec>, Vec<CellSpec>) =
            open.into_iter().partition(|c| c.id == id);
        if matches!(outcome, Outcome::TimedOut { .. }) {
            self.hopeless
                .extend(this.iter().map(|c| key(spec, c).to_string()));
        }
        self.close_all(spec, &this, outcome)?;
        Ok(others)
    }

    async fn listen(
        &mut self,
        process: &mut StayProcess,
        ended: &mut Vec<CellOutcome>,
    ) -> anyhow::Result<Heard> {
        let limit = self.settings.cell_timeout;
        let mut running: Option<u64> = None;
        let mut since = clock::now();
        let mut acting: Option<clock::Reading> = None;
        loop {
            let left = limit.saturating_sub(Duration::from_nanos(since.elapsed_ns()));
            let next = tokio::select! {
                next = process.next(left) => next?,
                _ = self.interrupt.recv() => { self.tally.interrupted = true; return Ok(Heard::Interrupted) }
                _ = self.terminate.recv() => { self.tally.interrupted = true; return Ok(Heard::Interrupted) }
            };
            match next {
                Next::Late => {
                    return Ok(Heard::Late {
                        cell: running,
                        after: Duration::from_nanos(since.elapsed_ns()),
                        act_ns: acting.map(clock::Reading::elapsed_ns),
                    });
                }
                Next::Ended(said) => return Ok(Heard::Died(running, said)),
                Next::Event(Event::Phase { .. }) => {}
                Next::Event(Event::Act { begins }) => acting = begins.then(clock::now),
                Next::Event(Event::Started { cell }) => {
                    running = Some(cell);
                    since = clock::now();
                }
                Next::Event(Event::Ended(outcome)) => {
                    running = None;
                    since = clock::now();
                    ended.push(outcome);
                }
                Next::Event(Event::Failed { stage, reason }) => {
                    // Its process ends by itself now.
                    process.kill().await;
                    return Ok(Heard::Failed(stage, reason));
                }
                Next::Event(Event::Closed) => {
                    process.kill().await;
                    return Ok(Heard::Closed);
                }
            }
        }
    }

    fn skip(&mut self, spec: &StaySpec, cells: &[CellSpec], why: &str) -> anyhow::Result<()> {
        self.close_all(
            spec,
            cells,
            &Outcome::NotRun {
                reason: why.to_owned(),
            },
        )
    }

    fn close_all(
        &mut self,
        spec: &StaySpec,
        cells: &[CellSpec],
        outcome: &Outcome,
    ) -> anyhow::Result<()> {
        for cell in cells {
            let outcome = CellOutcome {
                cell: cell.id,
                outcome: outcome.clone(),
                series: Vec::new(),
                facts: BTreeMap::new(),
                elapsed_ns: 0,
                steal_ns: 0,
            };
            let now = self.start.elapsed_ns();
            self.record(spec, outcome, now)?;
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
        let record = CellRecord {
            key: key(spec, cell),
            block: spec.block,
            stay: spec.stay,
            started_ns,
            elapsed_ns: outcome.elapsed_ns,
            steal_ns: outcome.steal_ns,
            outcome: outcome.outcome,
            series: outcome.series,
            facts: outcome.facts,
        };
        *self
            .tally
            .outcomes
            .entry(record.outcome.name())
            .or_default() += 1;
        if let Outcome::Failed { stage, reason } = &record.outcome {
            let line = format!("{}: failed ({stage}): {reason}", record.key);
            self.progress.note(&line);
            self.tally.failures.push(line);
        }
        self.run_dir.append(&Record::Cell(record))
    }
}
