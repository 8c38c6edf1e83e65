//! What libipset or the kernel refused, in libipset's words, with the command.

use nix::errno::Errno;

use crate::bindings as c;
use crate::command::{Command, SetType};

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
        /// The command itself, shown in the error's text.
        command: Box<Command>,
        /// libipset's text.
        reason: String,
        /// Why, as far as it is known.
        cause: Cause,
    },
    /// The kernel did not list its sets, or one has entries that an [`crate::Entry`] cannot express.
    #[error(transparent)]
    List(#[from] netlink::Error),
}

/// Reason of a refusal, as a value: nothing needs to match on text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The kernel's answer: an errno, or above 4096 one of ip_set's own (`enum ipset_errno` in
    /// `include/uapi/linux/netfilter/ipset/ip_set.h`).
    Kernel(u32),
    /// A system call failed before the kernel's ip_set was reached.
    System(Errno),
    /// This kernel or libipset lacks something.
    Missing(Facility),
    /// libipset refused by itself; its text says why.
    Library,
}

/// What can be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display)]
pub enum Facility {
    /// The kernel's netfilter netlink.
    #[strum(to_string = "nfnetlink")]
    Nfnetlink,
    /// The kernel's sets.
    #[strum(to_string = "ip_set")]
    IpSet,
    /// The privilege to change them.
    #[strum(to_string = "CAP_NET_ADMIN")]
    Privilege,
    /// A set type, in the kernel.
    #[strum(to_string = "{0}")]
    Type(SetType),
    /// A common revision of it.
    #[strum(to_string = "a revision of {0} that libipset and the kernel both know")]
    Revision(SetType),
    /// Marks of its entries.
    #[strum(to_string = "skbinfo of {0}")]
    Skbinfo(SetType),
}

impl Error {
    /// Why it was refused; `None` for a listing that came and was not understood.
    #[must_use]
    pub fn cause(&self) -> Option<Cause> {
        match self {
            Self::Open { cause, .. } | Self::Refused { cause, .. } => Some(*cause),
            Self::List(source) => Some(Cause::Kernel(source.errno()? as u32).or_unprivileged()),
        }
    }

    /// The facility that is missing here, if that is the reason: a kernel without ip_set, without a set
    /// type or without `skbinfo` for it, or a process without the privilege.
    #[must_use]
    pub fn missing_facility(&self) -> Option<Facility> {
        match self.cause() {
            Some(Cause::Missing(facility)) => Some(facility),
            _ => None,
        }
    }

    /// A set is referred to: by a rule, or by what is left of one for a moment after its removal was answered.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        matches!(self.answer(), Some((c::IPSET_ERR_BUSY, _)))
    }

    /// A set or entry that should be there is not.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        match self.answer() {
            // ip_set says IPSET_ERR_EXIST both of an entry that is there and of one that is not, and
            // IPSET_ERR_EXIST_SETNAME2 of a second set that is not.
            Some((c::IPSET_ERR_EXIST, Command::Delete(..)))
            | Some((c::IPSET_ERR_EXIST_SETNAME2, Command::Swap(..))) => true,
            Some((code, _)) => code == Errno::ENOENT as u32,
            None => false,
        }
    }

    /// The kernel's answer to a command.
    fn answer(&self) -> Option<(u32, &Command)> {
        match self {
            Self::Refused {
                command,
                cause: Cause::Kernel(code),
                ..
            } => Some((*code, command)),
            _ => None,
        }
    }
}

impl Cause {
    /// nfnetlink answers EPERM to whoever lacks `CAP_NET_ADMIN` in the namespace's owner.
    pub(crate) const fn or_unprivileged(self) -> Self {
        match self {
            Self::Kernel(code) if code == Errno::EPERM as u32 => Self::Missing(Facility::Privilege),
            other => other,
        }
    }
}
