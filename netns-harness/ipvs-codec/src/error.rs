//! What the kernel refused, with the operation that it refused.

use nix::errno::Errno;

/// A batch or listing that did not come through.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IpvsError {
    /// The kernel has no IPVS, or may not load it.
    #[error("this kernel has no IPVS ({errno:?})")]
    Missing {
        /// The answer of generic netlink's controller.
        errno: Errno,
    },
    /// The kernel refused an operation. The others of its send were carried out, those of later sends were
    /// not sent.
    #[error("{operation}: {} ({errno:?}){}", errno.desc(), also(*further))]
    Refused {
        /// The first refused operation as a command line.
        operation: String,
        /// Its place in the batch, from 0.
        index: usize,
        /// Why.
        errno: Errno,
        /// How many more of the same send were refused.
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
    /// The kernel did not acknowledge in time.
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
    /// Something listed that none of this crate's types can express.
    #[error("foreign {what}")]
    Foreign {
        /// For example "virtual server by firewall mark".
        what: String,
    },
}

fn also(further: usize) -> String {
    match further {
        0 => String::new(),
        _ => format!(", and {further} more refused"),
    }
}

impl IpvsError {
    /// The error number, where there is one.
    #[must_use]
    pub const fn errno(&self) -> Option<Errno> {
        match self {
            Self::Missing { errno } | Self::Refused { errno, .. } | Self::System { errno, .. } => {
                Some(*errno)
            }
            Self::Silent { .. } | Self::Torn { .. } | Self::Foreign { .. } => None,
        }
    }

    /// A server (ESRCH), destination (ENOENT), device (ENODEV) or address (EADDRNOTAVAIL) that should be
    /// there is not.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(
            self.errno(),
            Some(Errno::ESRCH | Errno::ENOENT | Errno::ENODEV | Errno::EADDRNOTAVAIL)
        )
    }

    /// EEXIST: it is there already.
    #[must_use]
    pub fn is_exists(&self) -> bool {
        self.errno() == Some(Errno::EEXIST)
    }
}
