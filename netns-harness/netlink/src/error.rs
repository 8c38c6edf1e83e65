//! What the kernel refused, with what it refused.

use std::io;

use nix::errno::Errno;

/// A batch, question or listing that did not come through.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The kernel has no such family of generic netlink, or may not load it.
    #[error("this kernel has no {family} ({errno:?})")]
    Missing {
        /// The family's name.
        family: &'static str,
        /// The answer of generic netlink's controller.
        errno: Errno,
    },
    /// The kernel refused an operation. Of a transaction nothing was carried out; else the others of its
    /// send were, and those of later sends were not sent.
    #[error("{operation}: {} ({errno:?}){}", errno.desc(), also(*further))]
    Refused {
        /// The first refused operation as a script line.
        operation: String,
        /// Sequence number of the refused message; those of a batch count from 1.
        sequence: u32,
        /// Why.
        errno: Errno,
        /// How many more messages of the transaction or the send were refused.
        further: usize,
    },
    /// A system call, or a request that is no operation of a batch.
    #[error("{act}: {} ({errno:?})", errno.desc())]
    System {
        /// What was attempted, with its subject.
        act: String,
        /// The answer.
        errno: Errno,
    },
    /// The kernel did not answer in time.
    #[error("no answer from the kernel within {seconds} s")]
    Silent {
        /// How long was waited.
        seconds: u64,
    },
    /// An answer that is not well-formed netlink, or says what no answer of its kind can.
    #[error("{listing}: torn netlink message")]
    Torn {
        /// What was read.
        listing: &'static str,
    },
    /// Something listed that no type of ours can express.
    #[error("foreign {what}")]
    Foreign {
        /// For example "virtual server by firewall mark".
        what: String,
    },
    /// Somebody kept changing what was listed.
    #[error("{listing} changed during each of {attempts} attempts to list them")]
    Unstable {
        /// What was read: "the rules".
        listing: &'static str,
        /// How often it was tried.
        attempts: u32,
    },
}

fn also(further: usize) -> String {
    match further {
        0 => String::new(),
        _ => format!(", and {further} more refused"),
    }
}

impl Error {
    /// The error number, where there is one.
    #[must_use]
    pub const fn errno(&self) -> Option<Errno> {
        match self {
            Self::Missing { errno, .. }
            | Self::Refused { errno, .. }
            | Self::System { errno, .. } => Some(*errno),
            Self::Silent { .. }
            | Self::Torn { .. }
            | Self::Foreign { .. }
            | Self::Unstable { .. } => None,
        }
    }

    /// What was to be there is not: a table, chain, set, element or destination (ENOENT), a virtual server
    /// (ESRCH), a device (ENODEV) or its address (EADDRNOTAVAIL).
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(
            self.errno(),
            Some(Errno::ENOENT | Errno::ESRCH | Errno::ENODEV | Errno::EADDRNOTAVAIL)
        )
    }

    /// EMSGSIZE: the transaction is larger than the socket's send buffer may become (without
    /// CAP_NET_ADMIN in the initial user namespace, `net.core.wmem_max` bounds it). Send smaller ones.
    #[must_use]
    pub fn is_too_big(&self) -> bool {
        self.errno() == Some(Errno::EMSGSIZE)
    }
}

impl From<Error> for io::Error {
    /// By its error number; what has none is `EPROTO`.
    fn from(error: Error) -> Self {
        error.errno().unwrap_or(Errno::EPROTO).into()
    }
}
