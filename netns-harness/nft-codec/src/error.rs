//! What the kernel refused, with the operation that it refused.

use nix::errno::Errno;

/// A transaction or listing that did not come through.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NftError {
    /// The kernel refused an operation; the whole transaction was undone.
    #[error("{operation}: {} ({errno:?}){}", errno.desc(), also(*further))]
    Refused {
        /// The refused operation as a script line.
        operation: String,
        /// Netlink sequence number of the refused message.
        sequence: u32,
        /// Why.
        errno: Errno,
        /// How many more messages of the transaction were refused.
        further: usize,
    },
    /// A system call on the socket.
    #[error("{act}: {} ({errno:?})", errno.desc())]
    System {
        /// What was attempted, with its subject.
        act: String,
        /// The system's answer.
        errno: Errno,
    },
    /// The kernel gave no acknowledgement in time.
    #[error("no answer from nf_tables within {seconds} s")]
    Silent {
        /// How long was waited.
        seconds: u64,
    },
    /// An answer that is not well-formed netlink.
    #[error("{listing}: torn netlink message")]
    Torn {
        /// What was read.
        listing: &'static str,
    },
    /// Somebody kept changing the rules while they were read.
    #[error("the rules changed during each of {attempts} attempts to list them")]
    Unstable {
        /// How often it was tried.
        attempts: u32,
    },
}

fn also(further: usize) -> String {
    if further == 0 {
        String::new()
    } else {
        format!(", and {further} more of its messages refused")
    }
}

impl NftError {
    /// The error number, where there is one.
    #[must_use]
    pub const fn errno(&self) -> Option<Errno> {
        match self {
            Self::Refused { errno, .. } | Self::System { errno, .. } => Some(*errno),
            Self::Silent { .. } | Self::Torn { .. } | Self::Unstable { .. } => None,
        }
    }

    /// Netlink sequence number of the refused message.
    #[must_use]
    pub const fn sequence(&self) -> Option<u32> {
        match self {
            Self::Refused { sequence, .. } => Some(*sequence),
            _ => None,
        }
    }

    /// ENOENT: a table, chain, set or element that is not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.errno() == Some(Errno::ENOENT)
    }

    /// EEXIST: it is there already, and different.
    #[must_use]
    pub fn is_exists(&self) -> bool {
        self.errno() == Some(Errno::EEXIST)
    }

    /// EMSGSIZE: the transaction is larger than the socket's send buffer may become (without
    /// CAP_NET_ADMIN in the initial user namespace, `net.core.wmem_max` bounds it). Send smaller ones.
    #[must_use]
    pub fn is_too_big(&self) -> bool {
        self.errno() == Some(Errno::EMSGSIZE)
    }
}
