//! How batches are made and sent.

use std::fmt;

/// How a batch reaches the kernel. Part of a cell's identity: the price of starting a process is never
/// silently compared with a netlink message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// `iptables-{legacy,nft}-restore -w 5 --noflush --counters`.
    Restore,
    /// Netlink messages of our own.
    Netlink,
    /// One process a rule: `iptables -A …`.
    Exec,
    /// `nft -f -`.
    Nft,
    /// `ipset restore` for sets, `iptables-restore` for rules.
    IpsetRestore,
    /// `ipvsadm -R` for virtual servers, `ipset restore` for sets.
    Ipvsadm,
}

impl Transport {
    /// Every transport.
    pub const ALL: [Self; 6] = [
        Self::Restore,
        Self::Netlink,
        Self::Exec,
        Self::Nft,
        Self::IpsetRestore,
        Self::Ipvsadm,
    ];

    /// The name in options and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Restore => "restore",
            Self::Netlink => "netlink",
            Self::Exec => "exec",
            Self::Nft => "nft",
            Self::IpsetRestore => "ipset-restore",
            Self::Ipvsadm => "ipvsadm",
        }
    }

    /// The transport of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|t| t.name() == name)
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// How rules are laid out and sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RenderOptions {
    /// How the batch reaches the kernel.
    pub transport: Transport,
    /// kube-proxy's large-cluster mode: no comments in the rules of endpoints.
    pub large_cluster: bool,
    /// Services a transaction; `None`: all in one.
    pub chunk: Option<usize>,
    /// Whether this is an install that is not timed: a mode may then take a shorter way to the same
    /// rules, which the census sees.
    pub untimed: bool,
    /// Whether everything is written again, as kube-proxy's periodic full sync does; with `from: Some`.
    pub resync: bool,
}

impl RenderOptions {
    /// An ordinary timed change by that transport: large-cluster layout, all in one transaction.
    #[must_use]
    pub const fn by(transport: Transport) -> Self {
        Self {
            transport,
            large_cluster: true,
            chunk: None,
            untimed: false,
            resync: false,
        }
    }
}
