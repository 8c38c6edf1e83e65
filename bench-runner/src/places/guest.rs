//! A guest that serves many stays. One that crashes, or that cannot end a stay, is replaced by a new boot;
//! after two boots in a row that failed there is no guest any more.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use guest::kernel::Kernel;
use guest::machine::{self, Boot, Hardware, Machine, Next as FromGuest};
use guest::protocol::{Ask as OfGuest, Line, Said};
use guest::unnamed::path_of;
use netns_harness::meters::KernelMemory;
use netns_sys::clock;
use scenarios::spec::StaySpec;
use schema::{Accelerator, Stage};
use tokio::sync::Mutex;
use tracing::info;

use super::initramfs::{initramfs, inside};
use super::listen::{Talking, listen};
use super::{Act, Heard, Place};
use crate::interrupt::Interrupt;
use crate::isolate::ask::{Answer, Ask, Rested, SETTLE, no_event};
use crate::isolate::child::Next;
use crate::verbose;
use crate::verdict::End;

/// Boots in a row that may fail.
const BOOTS: u32 = 2;
/// How long a boot may take: about three seconds, ten times that on a busy machine.
const BOOT: Duration = Duration::from_secs(60);
/// How long a stay may take to end after it was killed. A transaction in the kernel cannot be interrupted,
/// but the kernel can be replaced.
const GONE: Duration = Duration::from_secs(10);
/// How long a guest may take to power off.
const OFF: Duration = Duration::from_secs(5);
/// Virtual CPUs: as many as client and server spin on.
const CPUS: u32 = 2;
/// Memory of a guest, MiB. More than 1 GiB gives a connection table of 65,536 buckets and as many connections, a
/// quarter of what machines of more than 4 GiB have (`nf_conntrack_init_start`, Linux 6.1); what is not touched
/// costs the host nothing.
pub(crate) const MEMORY_MIB: u32 = 3072;

/// A guest, running or not.
#[derive(Debug)]
pub(crate) struct Guest {
    kernel: Kernel,
    /// Without a name, so nothing is left when this process is killed.
    initramfs: File,
    hardware: Hardware,
    console: PathBuf,
    given_up: OnceLock<String>,
    state: Mutex<State>,
}

/// What there is of it now.
#[derive(Debug, Default)]
struct State {
    machine: Option<Machine>,
    /// Guests that came up.
    boots: u32,
    /// What its kernel held when it last stood still.
    held: Option<KernelMemory>,
}

impl Guest {
    /// A guest of that kernel, whose console is kept in the file `console`, with `tools` in a place of their own; not
    /// booted yet. With KVM where that is to be tried and really boots; why not with KVM.
    ///
    /// # Errors
    /// Its initramfs cannot be built.
    pub(crate) async fn new(
        kernel: Kernel,
        console: &Path,
        tools: &BTreeSet<PathBuf>,
        try_kvm: bool,
    ) -> anyhow::Result<(Self, Option<String>)> {
        let initramfs = initramfs(&kernel, tools)?;
        let (accelerator, why_not) = match try_kvm {
            true => machine::Accelerator::prove(&kernel.image, &path_of(&initramfs)).await,
            false => (machine::Accelerator::Tcg, None),
        };
        let guest = Self {
            kernel,
            initramfs,
            hardware: Hardware {
                accelerator,
                cpus: CPUS,
                possible_cpus: None,
                memory_mib: MEMORY_MIB,
            },
            console: console.to_path_buf(),
            given_up: OnceLock::new(),
            state: Mutex::default(),
        };
        Ok((guest, why_not))
    }

    /// Boots a guest of that kernel with KVM; if it does not come up, why.
    ///
    /// # Errors
    /// Its initramfs cannot be built.
    pub(crate) async fn try_kvm(kernel: &Kernel) -> anyhow::Result<Result<(), String>> {
        if let Err(why) = machine::Accelerator::has_kvm() {
            return Ok(Err(why));
        }
        let initramfs = initramfs(kernel, &BTreeSet::new())?;
        let (_, why_not) = machine::Accelerator::prove(&kernel.image, &path_of(&initramfs)).await;
        Ok(why_not.map_or(Ok(()), Err))
    }

    /// The running guest; boots one when there is none.
    async fn up<'s>(&self, state: &'s mut State) -> Result<&'s mut Machine, String> {
        let machine = match state.machine.take() {
            Some(machine) => machine,
            None => {
                let machine = self.boot_again().await?;
                state.boots += 1;
                state.held = None;
                machine
            }
        };
        Ok(state.machine.insert(machine))
    }

    async fn boot_again(&self) -> Result<Machine, String> {
        if let Some(why) = self.given_up.get() {
            return Err(why.clone());
        }
        let mut why = String::new();
        let boot = Boot {
            kernel: self.kernel.image.clone(),
            initramfs: path_of(&self.initramfs),
            hardware: self.hardware,
            console: self.console.clone(),
            deadline: BOOT,
        };
        for _ in 0..BOOTS {
            keep(&self.console);
            info!(?boot, "boot a guest");
            match Machine::boot(&boot).await {
                Ok(machine) => return Ok(machine),
                Err(error) => why = error.to_string(),
            }
        }
        let why = format!("{BOOTS} boots in a row failed: {why}");
        Err(self.given_up.get_or_init(|| why).clone())
    }

    /// Starts a process of `cell`.
    ///
    /// # Errors
    /// There is no guest any more.
    async fn start<'s>(&self, state: &'s mut State, ask: Ask) -> Result<Job<'s>, String> {
        // One that died while it had nothing to do has closed its port.
        if let Some(machine) = &mut state.machine
            && machine.next(Duration::ZERO).await.is_err()
        {
            state.machine = None;
        }
        let ask = OfGuest::Run {
            arguments: [vec!["cell".to_owned()], verbose::words()].concat(),
            input: inside(ask).line(),
        };
        let asked = self.up(state).await?.ask(&ask).await;
        let over = asked.err().map(|error| error.to_string());
        Ok(Job { state, over })
    }

    async fn answer(&self, state: &mut State, ask: Ask, limit: Duration) -> Answer {
        let mut job = match self.start(state, ask).await {
            Ok(job) => job,
            Err(why) => return Answer::Failed(why),
        };
        let since = clock::now();
        let mut said = String::new();
        loop {
            let left = limit.saturating_sub(Duration::from_nanos(since.elapsed_ns()));
            match job.line(left).await {
                FromJob::Output(line) => said.push_str(&line),
                FromJob::Ended {
                    well,
                    status,
                    stderr,
                } => return Answer::of(well, &status, said, &stderr),
                FromJob::Gone(why) => return Answer::Failed(why),
                FromJob::Late => {
                    let _ = job.kill().await;
                    return Answer::Late(limit);
                }
            }
        }
    }

    /// Waits until its kernel has given back what the last stay held. Returns the name of how that ended.
    async fn rest(&self, state: &mut State) -> String {
        let ask = Ask::Settle {
            baseline: state.held,
        };
        if let Answer::Said(text) = self.answer(state, ask, SETTLE + GONE).await
            && let Ok(rested) = serde_json::from_str::<Rested>(&text)
        {
            state.held = Some(rested.memory);
            return rested.settled;
        }
        // Whatever it was, the next stay must not begin in it.
        state.off().await;
        "new guest".to_owned()
    }
}

impl State {
    /// Powers it off.
    async fn off(&mut self) {
        if let Some(machine) = self.machine.take() {
            machine.off(OFF).await;
        }
    }
}

impl Place for Guest {
    fn accelerator(&self) -> Accelerator {
        match self.hardware.accelerator {
            machine::Accelerator::Kvm => Accelerator::Kvm,
            machine::Accelerator::Tcg => Accelerator::Tcg,
            machine::Accelerator::Icount { .. } => Accelerator::TcgIcount,
        }
    }

    fn given_up(&self) -> Option<&str> {
        self.given_up.get().map(String::as_str)
    }

    fn ask(&self, asks: Vec<(Ask, Duration)>) -> Act<'_, anyhow::Result<Vec<Answer>>> {
        Box::pin(async move {
            let mut state = self.state.lock().await;
            let mut answers = Vec::new();
            for (ask, limit) in asks {
                answers.push(self.answer(&mut state, ask, limit).await);
            }
            Ok(answers)
        })
    }

    fn settle(&self, fresh: bool) -> Act<'_, anyhow::Result<Option<String>>> {
        Box::pin(async move {
            let mut state = self.state.lock().await;
            if fresh {
                state.off().await;
            }
            Ok(Some(self.rest(&mut state).await))
        })
    }

    fn carry_out(
        &self,
        stay: StaySpec,
        limit: Duration,
        mut interrupt: Interrupt,
    ) -> Act<'_, anyhow::Result<Heard>> {
        Box::pin(async move {
            let mut state = self.state.lock().await;
            let starting = self.start(&mut state, Ask::Stay(Box::new(stay)));
            let mut job = match interrupt.unless_seen(starting).await {
                Some(Ok(job)) => job,
                Some(Err(why)) => return Ok(Heard::nothing(End::Failed(Stage::Guest, why))),
                None => return Ok(Heard::nothing(End::Interrupted)),
            };
            let mut heard = listen(&mut job, limit, &mut interrupt).await;
            heard.note = job.kill().await;
            heard.facts.push(("guest_boot", state.boots.to_string()));
            if self.accelerator() != Accelerator::Kvm {
                // A translated guest has no clock of what its hypervisor took.
                heard.ended.iter_mut().for_each(|o| o.steal_ns = None);
            }
            Ok(heard)
        })
    }

    fn close(&self) -> Act<'_, ()> {
        Box::pin(async { self.state.lock().await.off().await })
    }
}

/// A job of a guest.
struct Job<'a> {
    state: &'a mut State,
    /// Set when nothing more can come; the guest's last words if it is gone.
    over: Option<String>,
}

/// What came from a job.
enum FromJob {
    /// A line of its output.
    Output(String),
    /// It ended: whether well, how, and its last words.
    Ended {
        well: bool,
        status: String,
        stderr: String,
    },
    /// The guest is gone.
    Gone(String),
    /// Nothing, within the limit.
    Late,
}

impl Talking for Job<'_> {
    const IN_GUEST: bool = true;

    async fn next(&mut self, limit: Duration) -> Next {
        match self.line(limit).await {
            FromJob::Output(line) => match serde_json::from_str(&line) {
                Ok(event) => Next::Event(event),
                Err(error) => {
                    let _ = self.kill().await;
                    Next::Ended(no_event(&error, &line))
                }
            },
            FromJob::Ended { status, stderr, .. } if stderr.is_empty() => Next::Ended(status),
            FromJob::Ended { stderr, .. } => Next::Ended(stderr),
            FromJob::Gone(why) => Next::Gone(why),
            FromJob::Late => Next::Late,
        }
    }

    fn run_delays_ns(&self) -> Option<Vec<u64>> {
        self.state.machine.as_ref()?.run_delays_ns()
    }
}

impl Job<'_> {
    async fn line(&mut self, limit: Duration) -> FromJob {
        if let Some(why) = &self.over {
            return FromJob::Gone(why.clone());
        }
        let Some(machine) = &mut self.state.machine else {
            return FromJob::Gone("there is no guest".to_owned());
        };
        let why = match machine.next(limit).await {
            Ok(FromGuest::Late) => return FromJob::Late,
            Ok(FromGuest::Line(Line::Output(text))) => return FromJob::Output(text),
            Ok(FromGuest::Line(Line::Said(Said::Ended {
                success: well,
                status,
                stderr,
            }))) => {
                self.over = Some(stderr.clone());
                return FromJob::Ended {
                    well,
                    status,
                    stderr,
                };
            }
            Ok(FromGuest::Line(Line::Said(said))) => {
                format!("the guest spoke out of turn: {said:?}")
            }
            Err(error) => error.to_string(),
        };
        self.over = Some(why.clone());
        self.state.machine = None;
        FromJob::Gone(why)
    }

    /// Ends the job, or the guest when that cannot be done. Returns what the user should know of it.
    async fn kill(&mut self) -> Option<String> {
        if self.over.is_some() {
            return None;
        }
        let since = clock::now();
        if let Some(machine) = &mut self.state.machine {
            // One that is gone is noticed below.
            let _ = machine.ask(&OfGuest::Kill).await;
        }
        loop {
            let left = GONE.saturating_sub(Duration::from_nanos(since.elapsed_ns()));
            match self.line(left).await {
                FromJob::Output(_) => {}
                FromJob::Ended { .. } => return None,
                FromJob::Gone(_) => return Some("the guest is gone and is replaced".to_owned()),
                FromJob::Late => break,
            }
        }
        if let Some(machine) = self.state.machine.take() {
            machine.kill().await;
        }
        Some(format!(
            "a killed stay was still inside the guest's kernel after {} s: the guest is replaced",
            GONE.as_secs()
        ))
    }
}

/// Puts the console's log of the guest before aside: `console.log` becomes `console.1.log`, and so on.
fn keep(console: &Path) {
    if std::fs::metadata(console).map_or(0, |m| m.len()) == 0 {
        return;
    }
    let free = (1..)
        .map(|n| console.with_extension(format!("{n}.log")))
        .find(|p| !p.exists());
    if let Some(free) = free {
        // The log is for people: a run does not end for want of an old one.
        let _ = std::fs::rename(console, free);
    }
}
