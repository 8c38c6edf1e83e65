//! What libipset or the kernel refused, in libipset's words, with the command.

use nix::errno::Errno;

/// A session, a command or a listing that did not come through.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no session with the kernel.
    #[error("open a session with ip_set: {reason}")]
    Open {
        /// libipset's text.
        reason: String,
        /// Why, as far as it is known.
        cause: Cause,
    },
    /// A command was refused. Commands before it were carried out, and sets made by them are there;
    /// none after it was sent.
    #[error("{command}: {reason}")]
    Refused {
        /// Its place in the commands, from 0.
        index: usize,
        /// Its text.
        command: String,
        /// libipset's text.
        reason: String,
        /// Why, as far as it is known.
        cause: Cause,
    },
    /// The kernel did not list its sets.
    #[error("list sets: {reason}")]
    List {
        /// libipset's text.
        reason: String,
        /// Why, as far as it is known.
        cause: Cause,
    },
    /// A line of the listing that is none of the set types of this crate.
    #[error("list sets: this line was not understood: {line}")]
    Listing {
        /// The line.
        line: String,
    },
}

/// Reason of a refusal, as a value: nothing needs to match on text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The kernel's answer: an errno, or above 4096 one of ip_set's own (`enum ipset_errno` in
    /// `include/uapi/linux/netfilter/ipset/ip_set.h`).
    Kernel(u32),
    /// A system call failed before the kernel's ip_set was reached.
    System(Errno),
    /// This kernel or libipset lacks the named facility.
    Missing(&'static str),
    /// libipset refused by itself; its text says why.
    Library,
}

impl Error {
    /// Why it was refused; `None` for a listing that was not understood.
    #[must_use]
    pub const fn cause(&self) -> Option<Cause> {
        match self {
            Self::Open { cause, .. } | Self::Refused { cause, .. } | Self::List { cause, .. } => {
                Some(*cause)
            }
            Self::Listing { .. } => None,
        }
    }

    /// The facility that is missing here, if that is the reason: a kernel without ip_set, without a set
    /// type or without `skbinfo` for it, or a process without the privilege.
    #[must_use]
    pub const fn missing_facility(&self) -> Option<&'static str> {
        match self.cause() {
            Some(Cause::Missing(facility)) => Some(facility),
            _ => None,
        }
    }
}
