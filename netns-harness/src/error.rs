//! One error type for the crate: what was attempted, on what, and what the system said.

use std::io;

use nix::errno::Errno;

/// What can go wrong in a lab.
#[derive(Debug, thiserror::Error)]
pub enum HarnessError {
    /// A system call or file operation.
    #[error("{act}: {source}")]
    System {
        /// What was attempted, with its subject: "mount /sys".
        act: String,
        /// The system's answer.
        source: io::Error,
    },
    /// A tool that ran and refused.
    #[error("{tool} ended with {status}: {stderr}")]
    Tool {
        /// Its name and arguments.
        tool: String,
        /// Exit status.
        status: String,
        /// What it said, first lines.
        stderr: String,
    },
    /// A netlink request that the kernel refused: rules, virtual servers or their addresses.
    #[error("{act}: {source}")]
    Netlink {
        /// What was attempted.
        act: String,
        /// With the operation and the errno.
        source: netlink::Error,
    },
    /// A command on sets that libipset or the kernel refused.
    #[error("{act}: {source}")]
    Ipset {
        /// What was attempted.
        act: String,
        /// The layer's error, with the command.
        source: ipset_sys::Error,
    },
    /// A link, address, route or neighbour request.
    #[error("{act}: {source}")]
    Route {
        /// What was attempted: "add veth client–node".
        act: String,
        /// The kernel's answer.
        source: Box<rtnetlink::Error>,
    },
    /// A node is to serve IPv6 on a kernel without it.
    #[error(
        "this kernel has no IPv6 ({0}): it was booted with ipv6.disable=1, or lacks the module; --families ipv4 needs none"
    )]
    NoIpv6(io::Error),
    /// A listing that could not be understood.
    #[error("{what}: cannot read '{text}'")]
    Listing {
        /// Which listing.
        what: &'static str,
        /// The part that is not understood.
        text: String,
    },
    /// A kube-proxy that ended, fell silent, or is none.
    #[error("{0}")]
    KubeProxy(String),
    /// A peer that did not answer in time or answered wrongly.
    #[error("{0}")]
    Traffic(String),
}

impl HarnessError {
    /// Wraps an I/O error with what was attempted.
    pub fn system(act: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::System {
            act: act.into(),
            source: source.into(),
        }
    }

    /// What could not be understood of a listing.
    pub fn listing<T: Into<String>>(what: &'static str) -> impl Fn(T) -> Self + Copy {
        move |text| Self::Listing {
            what,
            text: text.into(),
        }
    }

    /// Wraps libipset's refusal with what was attempted.
    pub fn ipset(act: &str) -> impl Fn(ipset_sys::Error) -> Self + Copy {
        move |source| Self::Ipset {
            act: act.to_owned(),
            source,
        }
    }

    /// Wraps the kernel's refusal with what was attempted.
    pub fn netlink(act: &str) -> impl Fn(netlink::Error) -> Self + Copy {
        move |source| Self::Netlink {
            act: act.to_owned(),
            source,
        }
    }

    /// Whether what was to be changed or removed is not there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        match self {
            Self::Netlink { source, .. } => source.is_not_found(),
            Self::Ipset { source, .. } => source.is_not_found(),
            _ => false,
        }
    }

    /// Whether a tool is not installed, or the kernel does not know what was asked (`nfnetlink_rcv_batch` in
    /// `net/netfilter/nfnetlink.c`, without the subsystem: EOPNOTSUPP; socket(2): EPROTONOSUPPORT).
    #[must_use]
    pub fn is_missing(&self) -> bool {
        match self {
            Self::System { source, .. } => source.kind() == io::ErrorKind::NotFound,
            Self::Netlink { source, .. } => matches!(
                source.errno(),
                Some(Errno::EOPNOTSUPP | Errno::EPROTONOSUPPORT)
            ),
            Self::Tool { stderr, .. } => stderr.contains("Protocol not supported"),
            _ => false,
        }
    }

    /// Whether a transaction did not fit into a socket's send buffer (EMSGSIZE), which only root of the
    /// initial user namespace may enlarge beyond `net.core.wmem_max`.
    #[must_use]
    pub fn is_too_big(&self) -> bool {
        matches!(self, Self::Netlink { source, .. } if source.is_too_big())
    }
}
