//! Datapaths: the code that installs a mode. One file a mode, one line in [`registry`].
//!
//! `render` is pure and gives a printable [`Batch`]; `apply` is the timed act and nothing else. Memory,
//! CPU and latency are not methods here: the meters are shared, so that modes cannot weigh themselves
//! differently.

use std::fmt;

use schema::Mode;

use crate::HarnessError;
use crate::relation::Relation;
use crate::service::{Frontend, Population, Service};

pub mod ipset;
pub mod iptables;
pub mod ipvs;
pub mod nftables;
pub mod none;
mod step;
mod steps;
mod trial;

pub use crate::sockets::{Socket, Sockets};
pub use crate::xtables::Engine;
pub use step::{Batch, Step};

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

/// How a named kube-proxy version makes an update: what it reads back and which processes it starts, and
/// how the change itself reaches the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubeProxySync {
    /// The version whose source was read, for example "1.34".
    pub version: &'static str,
    /// How it sends the change.
    pub transport: Transport,
    /// Command lines that it runs before the change, in order, and whose output it reads.
    pub read_back: Vec<Vec<String>>,
    /// Netlink sockets that it has open from its start on and asks by, besides those that carry the change.
    pub sockets: &'static [Socket],
}

/// What the kernel lists, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Inventory {
    /// Rules.
    pub rules: u64,
    /// Chains, built-in ones aside.
    pub chains: u64,
    /// Sets and maps, anonymous ones included.
    pub sets: u64,
    /// Elements of those sets and maps.
    pub elements: u64,
}

/// First packets that rules have seen, from the kernel's own counters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NatCounters {
    /// Packets that entered the mode's NAT rules; `None` where the mode has none.
    pub entered: Option<u64>,
}

/// A way of breaking a datapath by hand, to see that no number comes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// One rule or element of a service is deleted.
    Delete,
    /// One endpoint's packets go elsewhere.
    Elsewhere,
    /// One service's shares are no longer even.
    Skew,
    /// Two services' endpoints are exchanged.
    Swap,
}

impl Damage {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Delete, Self::Elsewhere, Self::Skew, Self::Swap];

    /// The name in options.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Delete => "delete",
            Self::Elsewhere => "elsewhere",
            Self::Skew => "skew",
            Self::Swap => "swap",
        }
    }
}

/// A mode's rules: rendered, applied, listed, removed. Every method but `render`, `meaning` and
/// `damage` acts on the network namespace of the calling thread.
pub trait Datapath: Send + Sync {
    /// Which mode this installs.
    fn mode(&self) -> Mode;

    /// How it can be programmed; the first is the ordinary one.
    fn transports(&self) -> &'static [Transport];

    /// The most services that its layout can serve at one time; `None`: no limit of its own. A scenario
    /// that adds services needs room for them.
    fn most_services(&self) -> Option<u32> {
        None
    }

    /// Services a transaction for untimed preparation; `None`: one transaction is fastest.
    fn preparation_chunk(&self) -> Option<usize> {
        None
    }

    /// Bytes of the largest transaction that this process may send; `None`: no limit is known.
    fn largest_transaction(&self, _transport: Transport) -> Option<u64> {
        None
    }

    /// The law of size: (what, formula in N services and E endpoints), for `list formulas`. Tests hold
    /// the rendered batches to the same formulas.
    fn law_of_size(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    /// Tries the mode in a throwaway namespace, which the caller provides.
    ///
    /// # Errors
    /// The missing facility with its remedy, as a sentence.
    fn probe(&self, transport: Transport) -> Result<(), String>;

    /// What must be sent to go from serving `from` (`None`: an untouched kernel) to serving `to`.
    /// Updates follow kube-proxy: only what changed, plus what it always rewrites.
    fn render(&self, from: Option<&Population>, to: &Population, options: &RenderOptions) -> Batch;

    /// Sends the batch and waits for the kernel's answer: the timed act. What it needs of sockets was opened
    /// before ([`Sockets::of`]) and is closed after.
    ///
    /// # Errors
    /// The first transaction that was refused; earlier ones stay applied.
    fn apply(&self, batch: &Batch, sockets: &mut Sockets) -> Result<(), HarnessError> {
        batch.carry_out(sockets)
    }

    /// The same where nothing is timed: sockets are opened and closed as well.
    ///
    /// # Errors
    /// As [`Datapath::apply`], or a socket cannot be opened.
    fn carry_out(&self, batch: &Batch) -> Result<(), HarnessError> {
        self.apply(batch, &mut Sockets::of(batch)?)
    }

    /// What the batches would mean if the kernel took them in order, by interpretation; refuses what
    /// the kernel would refuse. Pure.
    ///
    /// # Errors
    /// The refused line or operation.
    fn meaning(&self, batches: &[Batch]) -> Result<Relation, String>;

    /// What the kernel lists now, parsed from its own listing. Whatever is not part of the mode's layout
    /// is an error.
    ///
    /// # Errors
    /// The listing failed or could not be understood.
    fn census(&self) -> Result<Relation, HarnessError>;

    /// Services in the order in which the kernel walks them; `None` where a lookup has no order.
    ///
    /// # Errors
    /// The listing failed.
    fn order(&self) -> Result<Option<Vec<Frontend>>, HarnessError> {
        Ok(None)
    }

    /// What is left after a teardown: `None` when there is neither a rule nor a chain nor a table of this
    /// mode.
    ///
    /// # Errors
    /// The listing failed.
    fn leftovers(&self) -> Result<Option<String>, HarnessError>;

    /// How kube-proxy would make an update that ends with `to`; `None` where it has no such mode.
    fn kube_proxy_sync(&self, _to: &Population) -> Option<KubeProxySync> {
        None
    }

    /// Asks what kube-proxy asks in the course of such an update besides [`KubeProxySync::read_back`]: over
    /// netlink, and by processes whose refusal is an answer. `from` is what is installed. Part of the timed
    /// act.
    ///
    /// # Errors
    /// The kernel or a tool did not answer.
    fn ask_as_kube_proxy(
        &self,
        _from: &Population,
        _sockets: &mut Sockets,
    ) -> Result<(), HarnessError> {
        Ok(())
    }

    /// What the kernel lists now, counted: for `rule-count`.
    ///
    /// # Errors
    /// The listing failed.
    fn inventory(&self) -> Result<Inventory, HarnessError>;

    /// What the mode's own interface says of its memory, bytes, each with its source: a figure to hold
    /// beside the meter's.
    ///
    /// # Errors
    /// The listing failed.
    fn stated_memory(&self) -> Result<Vec<(String, u64)>, HarnessError> {
        Ok(Vec::new())
    }

    /// First packets that the mode's NAT rules have seen.
    ///
    /// # Errors
    /// The listing failed.
    fn nat_counters(&self) -> Result<NatCounters, HarnessError>;

    /// Sockets that a removal needs: opened before it is timed.
    fn teardown_sockets(&self) -> &'static [Socket] {
        &[]
    }

    /// Removes everything. Idempotent; goes on past errors and returns all of them.
    fn teardown(&self, sockets: &mut Sockets) -> Vec<HarnessError>;

    /// The same where nothing is timed.
    fn remove(&self) -> Vec<HarnessError> {
        self.teardown(&mut Sockets::available(self.teardown_sockets()))
    }

    /// Command lines of the reference tools that break two installed services by hand. `a` and `b`
    /// have at least two endpoints each.
    fn damage(&self, damage: Damage, a: &Service, b: &Service) -> Vec<Vec<String>>;
}

/// The datapath of a mode, with the ordinary engine.
#[must_use]
pub fn registry(mode: Mode) -> Box<dyn Datapath> {
    with_engine(mode, Engine::default())
}

/// The datapath of a mode: the only place that matches on it. `engine` is for modes whose rules go
/// through either.
#[must_use]
pub fn with_engine(mode: Mode, engine: Engine) -> Box<dyn Datapath> {
    match mode {
        Mode::None => Box::new(none::NoDatapath),
        Mode::Conntrack => Box::new(iptables::Conntrack),
        Mode::IptablesLegacy => Box::new(iptables::Iptables::legacy()),
        Mode::IptablesNft => Box::new(iptables::Iptables::nft()),
        Mode::Ipset => Box::new(ipset::Ipset::new(engine)),
        Mode::Ipvs => Box::new(ipvs::Ipvs::default()),
        Mode::Nftables => Box::new(nftables::Nftables),
    }
}

/// Why a mode cannot be programmed that way without SO_SNDBUFFORCE, that is without root of the initial
/// user namespace; `None` when it can.
///
/// iptables-nft (`mnl_set_sndbuffer` of iptables/nft.c) and nft (src/mnl.c) send a transaction as one
/// netlink message and enlarge its socket's buffer by SO_SNDBUFFORCE only, so that with the default
/// `net.core.wmem_default` about 60 services fit. Sizes below are refused as well: whether a mode is
/// measured must not depend on N, and its updates grow with N.
#[must_use]
pub fn needs_forced_buffers(
    mode: Mode,
    transport: Transport,
    engine: Engine,
) -> Option<&'static str> {
    match (mode, transport) {
        (Mode::IptablesNft, _) => Some(
            "iptables-nft needs root: its transactions outgrow the socket buffer that a user namespace may have (SO_SNDBUFFORCE is refused, EMSGSIZE follows)",
        ),
        (Mode::Ipset, _) if engine == Engine::Nft => Some(
            "engine nft needs root: iptables-nft's transactions outgrow the socket buffer that a user namespace may have (SO_SNDBUFFORCE is refused, EMSGSIZE follows)",
        ),
        (Mode::Ipvs, _) => Some(
            "ipvs needs root: the commands of generic netlink's family IPVS are for CAP_NET_ADMIN of the initial user namespace (GENL_ADMIN_PERM)",
        ),
        (_, Transport::Nft) => Some(
            "transport nft needs root: the transactions of `nft -f` outgrow the socket buffer that a user namespace may have (SO_SNDBUFFORCE is refused, EMSGSIZE follows)",
        ),
        _ => None,
    }
}
