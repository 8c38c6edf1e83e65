//! What is sent to go from one population to another: steps, rendered, printable and counted before any clock
//! starts. A mode brings steps of its own and takes those that it shares ([`super::steps`]).
//!
//! A step is a trait object: carrying one out is one call through a table, before the system call or the process
//! that it is.

use std::any::Any;
use std::collections::BTreeSet;
use std::fmt;

use crate::HarnessError;
use crate::sockets::{Socket, Sockets};

/// One step of a batch, atomic in the kernel or its tool. Shown as what it says.
pub trait Step: Any + fmt::Debug + fmt::Display + Send + Sync {
    /// Rules, chains, sets and elements named.
    fn operations(&self) -> u64;

    /// Netlink messages of our own; 0 for tools.
    fn messages(&self) -> u64 {
        0
    }

    /// Bytes handed over.
    fn bytes(&self) -> u64;

    /// Sockets that carry it; none when a tool does.
    fn sockets(&self) -> &'static [Socket] {
        &[]
    }

    /// Sends it and waits for the kernel's or the tool's answer. Part of the timed act.
    ///
    /// # Errors
    /// What was refused.
    fn carry_out(&self, sockets: &mut Sockets) -> Result<(), HarnessError>;
}

#[cfg(test)]
impl dyn Step {
    /// The step itself, where it is of that type: for those who interpret or spoil it.
    pub(super) fn as_a<S: Step>(&self) -> Option<&S> {
        (self as &dyn Any).downcast_ref()
    }

    /// The same, to be spoiled.
    pub(super) fn as_a_mut<S: Step>(&mut self) -> Option<&mut S> {
        (self as &mut dyn Any).downcast_mut()
    }
}

/// What will be sent.
#[derive(Debug, Default)]
pub struct Batch {
    /// Carried out in order.
    pub steps: Vec<Box<dyn Step>>,
}

impl Batch {
    /// One step, or none.
    pub(crate) fn of(step: Option<impl Step>) -> Self {
        let steps = step.map(|step| Box::new(step) as Box<dyn Step>);
        Self {
            steps: steps.into_iter().collect(),
        }
    }

    /// Steps of one kind.
    pub(crate) fn of_all(steps: impl IntoIterator<Item = impl Step>) -> Self {
        let mut batch = Self::default();
        steps.into_iter().for_each(|step| batch.push(step));
        batch
    }

    pub(super) fn push(&mut self, step: impl Step) {
        self.steps.push(Box::new(step));
    }

    /// Rules, chains, sets and elements named, over all steps.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.steps.iter().map(|step| step.operations()).sum()
    }

    /// Netlink messages of our own, over all steps.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.steps.iter().map(|step| step.messages()).sum()
    }

    /// Bytes handed over, over all steps.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.steps.iter().map(|step| step.bytes()).sum()
    }

    /// Bytes of the largest step.
    #[must_use]
    pub fn largest_step(&self) -> u64 {
        let bytes = self.steps.iter().map(|step| step.bytes());
        bytes.max().unwrap_or(0)
    }

    /// The sockets that carry it; none when tools do.
    #[must_use]
    pub fn sockets(&self) -> BTreeSet<Socket> {
        let all = self.steps.iter().flat_map(|step| step.sockets());
        all.copied().collect()
    }

    /// Bytes of the largest step that a kind of socket carries.
    fn largest_by(&self, socket: Socket) -> u64 {
        let carried = self.steps.iter().filter(|s| s.sockets().contains(&socket));
        carried.map(|step| step.bytes()).max().unwrap_or(0)
    }

    /// Carries out the steps in order.
    ///
    /// # Errors
    /// The first step that was refused; earlier ones stay applied.
    pub(super) fn carry_out(&self, sockets: &mut Sockets) -> Result<(), HarnessError> {
        self.steps
            .iter()
            .try_for_each(|step| step.carry_out(sockets))
    }
}

impl Sockets {
    /// Those that carry `batch`, with room for its largest transaction.
    ///
    /// # Errors
    /// The kernel has no such protocol, or does not let this process speak it.
    pub fn of(batch: &Batch) -> Result<Self, HarnessError> {
        let room = batch.largest_by(Socket::NfTables) as usize;
        Self::with_room(batch.sockets(), room)
    }
}

impl fmt::Display for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.steps.iter().try_for_each(|step| write!(f, "{step}"))
    }
}
