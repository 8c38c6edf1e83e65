//! Where stays live: in processes of this machine, or as jobs of a guest's. Both are started on a line of
//! input, listened to under a limit, and ended; what they say is the same.

pub(crate) mod choice;
pub(crate) mod counted;
pub(crate) mod environments;
pub(crate) mod guest;
pub(crate) mod local;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use netns_harness::meters;
use scenarios::spec::{Event, Setup};

use ::guest::machine::Accelerator;
use counted::Counted;
use guest::{Guest, Job};
use local::StayProcess;

/// How long to wait between stays for the kernel to give memory back.
pub(crate) const SETTLE: Duration = Duration::from_secs(5);

/// What came next from a stay.
#[derive(Debug)]
pub(crate) enum Next {
    /// An event.
    Event(Event),
    /// Its process ended; its last words.
    Ended(String),
    /// The guest that it was in is gone; what was seen, and the console's last lines.
    Gone(String),
    /// Nothing came in time.
    Late,
}

/// What an isolated process answered.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Its standard output.
    Said(String),
    /// It ended badly; its last words.
    Failed(String),
    /// It did not end in time.
    Late,
}

/// The words of a stay that said something which is no event.
fn no_event(error: &serde_json::Error, said: &str) -> String {
    format!("it said something that is no event ({error}); {said}")
}

/// Where the stays of an environment are carried out.
#[derive(Debug)]
pub(crate) enum Sandbox {
    /// In namespaces of this machine's kernel, which held this much memory when it last stood still.
    Host(Option<meters::KernelMemory>),
    /// In a guest.
    Guest(Box<Guest>),
    /// Each in a guest of its own, which has the stay with it.
    Counted(Arc<Counted>),
}

/// A stay that runs.
pub(crate) enum Running<'a> {
    /// As a process of this machine.
    Local(Box<StayProcess>),
    /// As a job of a guest.
    Guest(Job<'a>),
}

impl Running<'_> {
    /// The next event, within `limit`.
    pub(crate) async fn next(&mut self, limit: Duration) -> Next {
        match self {
            Self::Local(process) => process.next(limit).await,
            Self::Guest(job) => job.next(limit).await,
        }
    }

    /// Whether a guest's kernel is below it.
    pub(crate) const fn is_in_guest(&self) -> bool {
        matches!(self, Self::Guest(_))
    }

    /// How long each virtual CPU below the stay has waited for one of this machine's so far, nanoseconds; none on the
    /// host's kernel, where a stay knows of its threads itself, and where it is not known.
    pub(crate) fn run_delays_ns(&self) -> Option<Vec<u64>> {
        match self {
            Self::Local(_) => None,
            Self::Guest(job) => job.run_delays_ns(),
        }
    }

    /// Ends the stay and waits until nothing of it is left. Returns what the user should know of how that
    /// went.
    pub(crate) async fn kill(&mut self) -> Option<String> {
        match self {
            Self::Local(process) => (!process.kill().await).then(|| {
                "warning: a killed stay is still inside the kernel; what follows may be slowed by it"
                    .to_owned()
            }),
            Self::Guest(job) => job.kill().await,
        }
    }
}

impl Sandbox {
    /// Starts a stay. The second error is for the environment: it can run no further stay, and why.
    ///
    /// # Errors
    /// No process can be started on this machine.
    pub(crate) async fn start(
        &mut self,
        input: &str,
    ) -> anyhow::Result<Result<Running<'_>, String>> {
        Ok(match self {
            Self::Host(_) => Ok(Running::Local(Box::new(StayProcess::start(input).await?))),
            Self::Guest(guest) => guest.start(input).await.map(Running::Guest),
            Self::Counted(_) => {
                Err("a stay cannot be sent into a guest whose instructions are counted".to_owned())
            }
        })
    }

    /// Asks `cell` for one answer, isolated as a stay is.
    ///
    /// # Errors
    /// No process can be started on this machine, or it could not isolate itself.
    pub(crate) async fn ask(&mut self, input: &str, limit: Duration) -> anyhow::Result<Answer> {
        match self {
            Self::Host(_) => local::ask(input, limit).await,
            Self::Guest(guest) => Ok(guest.ask(input, limit).await),
            Self::Counted(guests) => Ok(guests.ask(input, limit).await),
        }
    }

    /// A setup as it is named inside: a guest has its tools in a place of its own.
    pub(crate) fn setup(&self, named: &Setup) -> Setup {
        let tools = named.tools.iter();
        let inside = |(name, file): (&String, &PathBuf)| (name.clone(), guest::inside(file));
        match self {
            Self::Host(_) => named.clone(),
            Self::Guest(_) | Self::Counted(_) => Setup {
                tools: tools.map(inside).collect(),
                ..named.clone()
            },
        }
    }

    /// The number of the guest that stays run in, from 1; none on the host's kernel.
    pub(crate) fn boot(&self) -> Option<u32> {
        match self {
            Self::Host(_) | Self::Counted(_) => None,
            Self::Guest(guest) => Some(guest.boots()),
        }
    }

    /// Whether a stay there sees what its hypervisor took: a translated guest has no clock of that.
    pub(crate) fn knows_steal(&self) -> bool {
        match self {
            Self::Host(_) => true,
            Self::Guest(guest) => guest.accelerator() == Accelerator::Kvm,
            Self::Counted(_) => false,
        }
    }

    /// Makes the next stay's kernel a new one, where it is a guest's: what a kernel keeps of stays before (pages of the
    /// per-CPU allocator) would be missing from what the next one is seen to take.
    pub(crate) async fn renew(&mut self) {
        self.close().await;
    }

    /// Waits until the kernel that the next stay will run on has given back what the last one held.
    /// Returns the name of how that ended.
    ///
    /// # Errors
    /// The kernel's memory figures cannot be read.
    pub(crate) async fn settle(&mut self) -> anyhow::Result<String> {
        match self {
            Self::Host(baseline) => {
                let settled = match *baseline {
                    Some(baseline) => meters::settle(baseline, SETTLE)?,
                    None => meters::Settled::Back,
                };
                // Other processes move these figures over the minutes of a run.
                *baseline = Some(meters::kernel_memory()?);
                Ok(settled.name().to_owned())
            }
            Self::Guest(guest) => Ok(guest.settle().await),
            Self::Counted(_) => Ok("new guest".to_owned()),
        }
    }

    /// Ends what runs for it.
    pub(crate) async fn close(&mut self) {
        if let Self::Guest(guest) = self {
            guest.close().await;
        }
    }
}
