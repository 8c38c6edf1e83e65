//! Carries out a plan: stays in their places, one after the other or several at a time, every planned cell with exactly
//! one outcome in the results.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use netns_sys::clock;
use scenarios::spec::{CellSpec, StaySpec};
use schema::ScenarioKind;
use tokio::task::JoinSet;
use tracing::info;

use crate::environments::Environments;
use crate::interrupt::Interrupt;
use crate::ledger::Ledger;
use crate::pace::Pace;
use crate::places::{Heard, Place};
use crate::plan::{Plan, PlannedStay, Settings, mode_of};
use crate::progress::Progress;
use crate::run_dir::RunDir;

mod decide;
mod outcomes;
mod repeat;

/// Share of a run that may go into measuring disturbed cells again, and what a short run may take for it, nanoseconds.
const AGAIN_SHARE: f64 = 0.25;
const AGAIN_NS: u64 = 5_000_000_000;

/// Carries out plans.
pub(crate) struct Executor<'a> {
    settings: &'a Settings,
    plan: &'a Plan,
    run_dir: &'a mut RunDir,
    ledger: Ledger,
    progress: Progress,
    interrupt: Interrupt,
    start: clock::Reading,
    /// Time that the run had spent before this process, nanoseconds.
    spent_before_ns: u64,
    /// Time of the run that went into what is counted, which is no part of the budget, nanoseconds.
    counted_ns: u64,
    environments: &'a Environments,
    /// Time spent on measuring disturbed cells again, nanoseconds.
    again_ns: u64,
    /// Whether the comparison is decided.
    decided: bool,
    /// What the stays that this process made took and were expected to take, by environment.
    paces: HashMap<String, Pace>,
}

/// How a run ended.
pub(crate) struct Executed {
    /// By Ctrl-C.
    pub(crate) interrupted: bool,
    /// How long it took in all, nanoseconds.
    pub(crate) elapsed_ns: u64,
}

/// Why a stay is carried out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// It is due: the cells that have no outcome yet are measured.
    Due,
    /// Its cells were disturbed.
    Again,
    /// It was cut short: its cells are what another process must measure.
    Rest,
}

/// A stay that is to be carried out.
struct Attempt {
    stay: PlannedStay,
    turn: Turn,
    /// Whether the whole stay is made: then the time that it takes says how long such a stay takes.
    whole: bool,
    /// How the kernel came to rest before it.
    settled: Option<String>,
    /// When the first process began.
    begun: clock::Reading,
}

impl Attempt {
    fn new(stay: PlannedStay, turn: Turn) -> Self {
        Self {
            stay,
            turn,
            whole: false,
            settled: None,
            begun: clock::now(),
        }
    }
}

/// A stay that has ended.
struct Finished {
    attempt: Attempt,
    /// When its last process began.
    since: clock::Reading,
    heard: Heard,
}

impl<'a> Executor<'a> {
    /// Goes on from what the ledger knows.
    ///
    /// # Errors
    /// Signals cannot be had.
    pub(crate) fn new(
        settings: &'a Settings,
        plan: &'a Plan,
        run_dir: &'a mut RunDir,
        ledger: Ledger,
        environments: &'a Environments,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            settings,
            plan,
            run_dir,
            progress: Progress::new(ledger.planned()),
            interrupt: Interrupt::new()?,
            start: clock::now(),
            spent_before_ns: ledger.spent_ns(),
            counted_ns: ledger.counted_ns(),
            ledger,
            environments,
            again_ns: 0,
            decided: false,
            paces: HashMap::new(),
        })
    }

    /// Makes every stay that is counted, then every other once, in the plan's order, then repeats those while the budget
    /// lasts; what is left is accounted for. Returns what became of the cells, and how the run ended.
    ///
    /// # Errors
    /// Results could not be written, or a process could not be started.
    pub(crate) async fn run(mut self) -> anyhow::Result<(Ledger, Executed)> {
        let closed = self.ledger.closed();
        self.make(self.plan.counted_stays()).await?;
        if self.ledger.closed() > closed {
            self.counted_ns = self.elapsed_ns();
        }
        let first = self.plan.first_timed();
        self.make(first.clone()).await?;
        self.measure_again(first).await?;
        if self.spent_before_ns > 0 {
            // A run that is carried on: what was disturbed before it was killed.
            let later = (1..self.plan.blocks).flat_map(|block| self.plan.block(block));
            self.measure_again(later.collect()).await?;
        }
        loop {
            let until_decided = self.settings.args.until_decided;
            if until_decided && self.is_decided()? {
                break;
            }
            let round = match until_decided {
                true => self.next_block(),
                false => self.round(),
            };
            if round.is_empty() {
                break;
            }
            let mut made = Vec::new();
            for place in round {
                made.extend(self.turn(place).await?);
            }
            self.measure_again(made).await?;
        }
        self.close_rest()?;
        self.progress.finish();
        let executed = Executed {
            interrupted: self.is_interrupted(),
            elapsed_ns: self.elapsed_ns(),
        };
        Ok((self.ledger, executed))
    }

    fn is_interrupted(&self) -> bool {
        self.interrupt.is_seen()
    }

    /// Makes these stays, with the cells that have no outcome yet.
    async fn make(&mut self, stays: Vec<PlannedStay>) -> anyhow::Result<()> {
        let due = |stay| Attempt::new(stay, Turn::Due);
        self.carry_out(stays.into_iter().map(due).collect()).await
    }

    /// Carries out stays in their order: those whose time is executed instructions as many at a time as there are
    /// processors, others alone.
    async fn carry_out(&mut self, mut waiting: VecDeque<Attempt>) -> anyhow::Result<()> {
        let mut running: JoinSet<anyhow::Result<Finished>> = JoinSet::new();
        let mut alone = false;
        loop {
            while let Some(next) = waiting.front()
                && !self.is_interrupted()
            {
                let counted = next.stay.spec.counted;
                let beside = counted && !alone && running.len() < self.plan.at_a_time;
                if !running.is_empty() && !beside {
                    break;
                }
                alone = !counted;
                if let Some(next) = waiting.pop_front()
                    && let Some(attempt) = self.ready(next)?
                {
                    let place = self.place(&attempt.stay.spec)?;
                    let limit = self.settings.args.cell_timeout;
                    running.spawn(attend(place, attempt, limit, self.interrupt.clone()));
                }
            }
            let Some(finished) = running.join_next().await else {
                return Ok(());
            };
            // What is left of a stay comes before anything else.
            if let Some(rest) = self.conclude(finished??)? {
                waiting.push_front(rest);
            }
        }
    }

    fn place(&self, spec: &StaySpec) -> anyhow::Result<Arc<dyn Place>> {
        let name = &spec.environment;
        let open = self.environments.of(name);
        let open = open.with_context(|| format!("the environment {name} is not open"))?;
        Ok(Arc::clone(&open.place))
    }

    /// A stay with its number and the cells that are to be measured now; none when there are none.
    fn ready(&mut self, mut attempt: Attempt) -> anyhow::Result<Option<Attempt>> {
        let planned = attempt.stay.spec.cells.len();
        if attempt.turn == Turn::Due {
            attempt.stay.spec.cells = self.admitted(&attempt.stay)?;
            attempt.whole = attempt.stay.spec.cells.len() == planned;
        }
        if attempt.stay.spec.cells.is_empty() {
            return Ok(None);
        }
        attempt.stay.spec.stay = match attempt.turn {
            Turn::Due => self.ledger.stay_number(attempt.stay.spec.stay),
            Turn::Again | Turn::Rest => self.ledger.new_stay(),
        };
        let spec = &attempt.stay.spec;
        info!(
            stay = spec.stay,
            block = spec.block,
            environment = %spec.environment,
            mode = %spec.mode,
            services = spec.services,
            variant = %spec.variant,
            cells = spec.cells.len(),
            "begin"
        );
        if attempt.turn != Turn::Rest {
            self.announce(&attempt.stay);
            attempt.begun = clock::now();
        }
        Ok(Some(attempt))
    }

    /// Measures what was disturbed in these stays once more, in new ones, while the budget lasts and no more than
    /// [`AGAIN_SHARE`] of the run went there: a machine that is always busy is not waited for. A cell that is disturbed
    /// again keeps its mark, and one that no time is left for its first numbers with theirs.
    async fn measure_again(&mut self, stays: Vec<PlannedStay>) -> anyhow::Result<()> {
        for mut stay in stays {
            stay.spec.cells = self.ledger.disturbed_cells(&stay);
            let most_ns = ((AGAIN_SHARE * self.elapsed_ns() as f64) as u64).max(AGAIN_NS);
            let fits = self.expected_ns(&stay) <= self.left_ns() && self.again_ns < most_ns;
            if stay.spec.cells.is_empty() || !fits || self.is_interrupted() {
                continue;
            }
            let begun = clock::now();
            let attempt = Attempt::new(stay, Turn::Again);
            info!(
                cells = attempt.stay.spec.cells.len(),
                "measure disturbed cells again"
            );
            self.carry_out(VecDeque::from([attempt])).await?;
            self.again_ns += begun.elapsed_ns();
        }
        Ok(())
    }

    fn elapsed_ns(&self) -> u64 {
        self.spent_before_ns + self.start.elapsed_ns()
    }

    fn left_ns(&self) -> u64 {
        let timed_ns = self.elapsed_ns().saturating_sub(self.counted_ns);
        (self.plan.budget.as_nanos() as u64).saturating_sub(timed_ns)
    }

    /// What a stay is expected to add to the run at the pace of its environment, nanoseconds: of several at a time its share.
    fn expected_ns(&self, stay: &PlannedStay) -> u64 {
        let alone = || match stay.spec.counted {
            true => 1.0 / self.plan.at_a_time as f64,
            false => 1.0,
        };
        let pace = self.paces.get(&stay.spec.environment);
        (pace.map_or_else(alone, Pace::factor) * stay.begun_ns() as f64) as u64
    }

    fn cost_ns(&self, place: usize) -> u64 {
        let planned = || self.expected_ns(&self.plan.stays[place]);
        self.ledger.took_ns(place).unwrap_or_else(planned)
    }

    fn announce(&self, stay: &PlannedStay) {
        let spec = &stay.spec;
        let asked: BTreeSet<&str> = spec.cells.iter().map(|c| c.scenario.name()).collect();
        let asked = asked.into_iter().collect::<Vec<_>>().join(" + ");
        let guest = spec.environment.strip_prefix("guest-");
        let place = guest.map(|kernel| format!("guest {kernel}: "));
        let again = self.ledger.what_disturbed(spec, &spec.cells[0]);
        let again = again.map(|what| format!(" again (disturbed: {what})"));
        let what = format!(
            "{}repetition {} of {}: {} at {} services, {asked}{}",
            place.unwrap_or_default(),
            spec.block + 1,
            stay.blocks,
            mode_of(spec),
            spec.services,
            again.unwrap_or_default()
        );
        let (closed, planned) = (self.ledger.closed(), self.ledger.planned());
        self.progress.stay(closed, planned, &what, self.left());
    }

    /// Time left: what is counted and the first block of what is timed are completed, then stays are repeated while the
    /// budget lasts.
    fn left(&self) -> Duration {
        let of_blocks = |counted: bool, from: u32, to: u32| -> u64 {
            let stays = self.plan.stays.iter().enumerate();
            let stays = stays.filter(|(_, stay)| stay.spec.counted == counted);
            let open = stays.map(|(place, stay)| {
                let to = to.min(stay.blocks);
                let next = self.ledger.next_block(place).unwrap_or(to);
                u64::from(to.saturating_sub(next.max(from))) * self.expected_ns(stay)
            });
            open.sum()
        };
        let counted = of_blocks(true, 0, self.plan.blocks);
        let first = of_blocks(false, 0, 1);
        let later = of_blocks(false, 1, self.plan.blocks);
        Duration::from_nanos(counted + first + later.min(self.left_ns().saturating_sub(first)))
    }
}

/// Carries out a stay, once its kernel has come to rest.
async fn attend(
    place: Arc<dyn Place>,
    mut attempt: Attempt,
    limit: Duration,
    mut interrupt: Interrupt,
) -> anyhow::Result<Finished> {
    let spec = &attempt.stay.spec;
    let mut since = attempt.begun;
    if attempt.turn == Turn::Rest {
        since = clock::now();
    } else {
        // What a kernel keeps of stays before (pages of the per-CPU allocator) would be missing from what one of these
        // is seen to take.
        let of_memory = |cell: &CellSpec| cell.scenario == ScenarioKind::Memory;
        let settling = place.settle(spec.cells.iter().any(of_memory));
        if let Some(settled) = interrupt.unless_seen(settling).await {
            attempt.settled = settled?;
        }
    }
    let heard = place.carry_out(spec.clone(), limit, interrupt).await?;
    Ok(Finished {
        attempt,
        since,
        heard,
    })
}
