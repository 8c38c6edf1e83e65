//! Where stays are carried out: as processes on this machine's kernel ([`host`]), as jobs of a guest that serves many
//! ([`guest`]), or each in a guest of its own whose time is executed instructions ([`icount`]). What is seen of a stay
//! is the same.

pub(crate) mod guest;
pub(crate) mod host;
pub(crate) mod icount;
mod initramfs;
mod listen;

use std::collections::HashMap;
use std::fmt::Debug;
use std::pin::Pin;
use std::time::Duration;

use netns_sys::clock;
use scenarios::spec::{CellOutcome, StaySpec};
use schema::Accelerator;

use crate::interrupt::Interrupt;
use crate::isolate::ask::{Answer, Ask};
use crate::verdict::End;

/// Something that a place does; on the runtime's main thread, because processes die with the thread that started them.
pub(crate) type Act<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// How many times as long as on the host's kernel anything may take in a guest.
const IN_A_GUEST: u32 = 6;

/// What was heard of a stay.
#[derive(Debug)]
pub(crate) struct Heard {
    /// Cells that ended, in order.
    pub(crate) ended: Vec<CellOutcome>,
    /// When each cell started, as far as that was heard.
    pub(crate) started: HashMap<u64, clock::Reading>,
    /// How it ended.
    pub(crate) end: End,
    /// Facts of all its cells.
    pub(crate) facts: Vec<(&'static str, String)>,
    /// What the user should know of how it ended.
    pub(crate) note: Option<String>,
}

impl Heard {
    /// Nothing but its end.
    fn nothing(end: End) -> Self {
        Self {
            ended: Vec::new(),
            started: HashMap::new(),
            end,
            facts: Vec::new(),
            note: None,
        }
    }
}

/// Where the stays of an environment are carried out.
pub(crate) trait Place: Debug + Send + Sync {
    /// What executes it.
    fn accelerator(&self) -> Accelerator;

    /// Why nothing can be carried out there any more.
    fn given_up(&self) -> Option<&str> {
        None
    }

    /// How many times as long as on the host's kernel anything may take: "did not end" must not mean "was translated on
    /// a busy machine".
    fn patience(&self) -> u32 {
        match self.accelerator() {
            Accelerator::None => 1,
            Accelerator::Kvm | Accelerator::Tcg | Accelerator::TcgIcount => IN_A_GUEST,
        }
    }

    /// Asks isolated processes, one after the other, each with its limit. An answer each.
    ///
    /// # Errors
    /// No process can be started on this machine, or it could not isolate itself.
    fn ask(&self, asks: Vec<(Ask, Duration)>) -> Act<'_, anyhow::Result<Vec<Answer>>>;

    /// Waits until the kernel that the next stay will run on has given back what the last one held; with `fresh` it is
    /// a new one, where it is a guest's. Returns the name of how that ended; none where each stay has a kernel of its
    /// own.
    ///
    /// # Errors
    /// The kernel's memory figures cannot be read.
    fn settle(&self, _fresh: bool) -> Act<'_, anyhow::Result<Option<String>>> {
        Box::pin(async { Ok(None) })
    }

    /// Carries out a stay, each cell of it (and what is before and after them) within `limit`.
    ///
    /// # Errors
    /// This machine refuses a process or a file.
    fn carry_out(
        &self,
        stay: StaySpec,
        limit: Duration,
        interrupt: Interrupt,
    ) -> Act<'_, anyhow::Result<Heard>>;

    /// Ends what runs for it.
    fn close(&self) -> Act<'_, ()> {
        Box::pin(async {})
    }
}
