//! Datapaths: the code that installs a mode. A folder a mode, with its facts ([`ModeFacts`]) and what it can do
//! ([`Implementation`]); one line in [`facts`].
//!
//! `render` is pure and gives a printable [`Batch`]; `apply` is the timed act and nothing else. Memory,
//! CPU and latency are not methods here: the meters are shared, so that modes cannot weigh themselves
//! differently.

use schema::{Family, KubeProxyVersion, Mode, NodeKind};

use crate::HarnessError;
use crate::relation::Relation;
use crate::remedy::Lack;
use crate::service::{Frontend, Population, Service};
use crate::xtables::{Hook, tool};

mod empty_update;
mod facts;
pub mod ipset;
pub mod iptables;
pub mod ipvs;
pub mod kube_proxy;
#[cfg(test)]
pub(crate) mod meaning;
pub mod nftables;
pub mod none;
mod reach;
pub mod read_back;
#[cfg(test)]
mod same_relation;
mod set_swaps;
mod step;
pub(crate) mod steps;
mod transport;
mod trial;

pub use crate::relation::Inventory;
pub use crate::sockets::{Socket, Sockets};
pub use empty_update::empty_update;
pub use iptables::LARGE_CLUSTER;
use kube_proxy::{Driven, Programmer};
pub use set_swaps::SetSwaps;

pub use facts::{
    Cost, Counted, Expected, KUBE_PROXY, Law, Layout, ModeFacts, PROCESS, Tool, TransportFacts,
};
pub use schema::{Damage, Engine, Transport};
pub use step::{Batch, Step};
pub use transport::{RenderOptions, Stale};

/// How a named kube-proxy version makes an update: what it reads back and which processes it starts, and
/// how the change itself reaches the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubeProxySync {
    /// The version.
    pub version: KubeProxyVersion,
    /// How it sends the change.
    pub transport: Transport,
    /// Command lines that it runs before the change, in order, and whose output it reads.
    pub read_back: Vec<Vec<String>>,
    /// Netlink sockets that it has open from its start on and asks by, besides those that carry the change.
    pub sockets: &'static [Socket],
}

/// How full a set is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filled {
    /// Its name.
    pub set: String,
    /// Its entries.
    pub entries: usize,
    /// The most that kube-proxy lets it hold.
    pub most: usize,
}

/// What kube-proxy does again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Periodic {
    /// Seconds from one time to the next.
    pub every_s: u32,
    /// What.
    pub work: Work,
}

/// What is done each time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// Command lines whose answers it looks at.
    Asks(Vec<Vec<String>>),
    /// A sync, although nothing has changed.
    Syncs(SyncKind),
}

/// One of kube-proxy's syncs (`syncProxyRules`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncKind {
    /// Of what has changed, soon after another.
    Partial,
    /// Of what has changed, long after another: stale chains are looked for.
    Late,
    /// Of everything: at the start, after a failure, and in some versions once an hour.
    Full,
}

impl SyncKind {
    /// Whether it writes everything.
    #[must_use]
    pub fn is_full(self) -> bool {
        self == Self::Full
    }
}

/// How long kube-proxy lets pass without a sync: `FullSyncPeriod` of pkg/proxy/util/utils.go, in 1.32 a literal hour in
/// `NewProxier`; seconds.
const LONGEST_INTERVAL_S: u32 = 3_600;
/// `syncPeriod` by default, seconds (pkg/proxy/apis/config/v1alpha1/defaults.go).
const SYNC_PERIOD_S: u32 = 30;

/// First packets that have entered NAT rules at a hook, whose chain's first rule leads to them; 0 while there is none.
fn first_rule_packets(
    engine: Engine,
    family: Family,
    hook: Hook,
) -> Result<Option<u64>, HarnessError> {
    let (_, first) = tool::nat_counters(engine, family, hook)?;
    Ok(Some(first.unwrap_or(0)))
}

/// A mode's rules: rendered, applied, listed, removed. Every method but `facts` and `render` acts on the
/// network namespace of the calling thread.
pub trait Datapath: Send + Sync {
    /// What is known of its mode.
    fn facts(&self) -> &'static ModeFacts;

    /// Tries the mode in a throwaway namespace, which the caller provides.
    ///
    /// # Errors
    /// What is missing, with its remedy where what failed tells it.
    fn probe(&self, transport: Transport) -> Result<(), Lack>;

    /// Finds out what of its layout the running kernel decides: before rules are made for this kernel. By default nothing is.
    fn fit(&mut self) {}

    /// What must be sent to go from serving `from` (`None`: an untouched kernel) to serving `to`.
    /// Updates follow kube-proxy: only what changed, plus what it always rewrites.
    fn render(&self, from: Option<&Population>, to: &Population, options: &RenderOptions) -> Batch;

    /// The set that a population would fill most, as kube-proxy makes them; `None` where the layout has no set with a limit.
    fn fullest(&self, _population: &Population) -> Option<Filled> {
        None
    }

    /// Why the layout has no room for a population, in sets as kube-proxy makes them; `None` where it has.
    fn no_room(&self, population: &Population) -> Option<String> {
        let Filled { set, entries, most } = self.fullest(population)?;
        let (thousands, rest) = (most / 1_000, most % 1_000);
        (entries > most).then(|| {
            format!("kube-proxy's sets hold {thousands},{rest:03} entries, and {set} would have {entries}")
        })
    }

    /// Why the mode has no layout for such services; `None` where it has.
    fn no_layout(&self, _population: &Population) -> Option<&'static str> {
        None
    }

    /// Sends the batch and waits for the kernel's answer: the timed act. What it needs of sockets was opened
    /// before ([`Sockets::of`]) and is closed after.
    ///
    /// # Errors
    /// The first step that was refused; earlier ones stay applied.
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

    /// What the kernel lists now, parsed from its own listing. Whatever is not part of the mode's layout
    /// is an error.
    ///
    /// # Errors
    /// The listing failed or could not be understood.
    fn census(&self) -> Result<Relation, HarnessError>;

    /// The same, and addresses of services in the order in which the kernel walks them, as [`walked`] has them, of one
    /// listing; `None` where a lookup has no order.
    ///
    /// [`walked`]: crate::treatment::walked
    ///
    /// # Errors
    /// As [`Self::census`].
    fn census_in_order(&self) -> Result<(Relation, Option<Vec<Frontend>>), HarnessError> {
        Ok((self.census()?, None))
    }

    /// Removes everything. Idempotent; goes on past errors and returns all of them.
    fn teardown(&self, sockets: &mut Sockets) -> Vec<HarnessError>;

    /// The same where nothing is timed.
    fn remove(&self) -> Vec<HarnessError> {
        self.teardown(&mut Sockets::default())
    }
}

/// A mode as kube-proxy drives it; by default it has no such mode.
pub trait KubeProxy: Send + Sync {
    /// How kube-proxy would make a sync, in a cluster that is large or not; `None` where it has no such mode.
    fn kube_proxy_sync(&self, _sync: SyncKind, _large_cluster: bool) -> Option<KubeProxySync> {
        None
    }

    /// The real kube-proxy that writes the rules; `None` where they are ours.
    fn programmer(&self) -> Option<&Programmer> {
        None
    }

    /// Asks what kube-proxy asks in the course of such an update besides [`KubeProxySync::read_back`]: over
    /// netlink, in so many messages, and by processes whose refusal is an answer. `from` is what is installed, as
    /// `options` say. Part of the timed act.
    ///
    /// # Errors
    /// The kernel or a tool did not answer.
    fn ask_as_kube_proxy(
        &self,
        _from: &Population,
        _sync: SyncKind,
        _options: &RenderOptions,
        _sockets: &mut Sockets,
    ) -> Result<u64, HarnessError> {
        Ok(0)
    }

    /// What a version does again and again on a node on which nothing changes.
    fn periodic(&self, _version: KubeProxyVersion, _large_cluster: bool) -> Vec<Periodic> {
        Vec::new()
    }

    /// What the kernel's own listing means, whatever layout it has, for rules that a real kube-proxy made: the way
    /// of new flows from inside of the cluster to every destination that a rule names and to those `wanted`. A
    /// destination whose flows are refused has no endpoints; one that the rules leave alone is not in the
    /// relation. `None` where kube-proxy has no such mode.
    ///
    /// # Errors
    /// The listing failed, or something on a flow's way is not understood, which the error names.
    fn traced(&self, _wanted: &[Frontend]) -> Option<Result<Relation, HarnessError>> {
        None
    }
}

/// What the kernel and the tools say of a mode, beside the census.
pub trait Inspect: Send + Sync {
    /// What is left after a teardown: `None` when there is neither a rule nor a chain nor a table of this
    /// mode.
    ///
    /// # Errors
    /// The listing failed.
    fn leftovers(&self) -> Result<Option<String>, HarnessError>;

    /// What the kernel lists now, counted: for `rule-count`.
    ///
    /// # Errors
    /// The listing failed.
    fn inventory(&self) -> Result<Inventory, HarnessError>;

    /// First packets that entered the mode's NAT rules from elsewhere, from the kernel's own counters; `None` where it has
    /// none.
    ///
    /// # Errors
    /// The listing failed.
    fn nat_counters(&self) -> Result<Option<u64>, HarnessError>;

    /// The same of first packets that the node itself sends; `None` where none counts them, or others besides.
    ///
    /// # Errors
    /// The listing failed.
    fn output_counters(&self) -> Result<Option<u64>, HarnessError> {
        Ok(None)
    }

    /// What the mode's own interface says of its memory, bytes, each with its source: a figure to hold
    /// beside the meter's.
    ///
    /// # Errors
    /// The listing failed.
    fn stated_memory(&self) -> Result<Vec<(String, u64)>, HarnessError> {
        Ok(Vec::new())
    }
}

/// Breaking a mode by hand, for `--damage`: in each mode's `damage.rs`.
pub trait Breakable: Send + Sync {
    /// Command lines of the reference tools that break two installed services by hand. `a` and `b`
    /// have at least two endpoints each. Pure.
    fn damage(&self, damage: Damage, a: &Service, b: &Service) -> Vec<Vec<String>>;
}

/// All that a mode's code can do.
#[cfg(not(test))]
pub trait Implementation: Datapath + KubeProxy + Inspect + Breakable {}

#[cfg(not(test))]
impl<T: Datapath + KubeProxy + Inspect + Breakable> Implementation for T {}

/// All that a mode's code can do, and in tests what its batches mean.
#[cfg(test)]
pub trait Implementation: Datapath + KubeProxy + Inspect + Breakable + meaning::Meaning {}

#[cfg(test)]
impl<T: Datapath + KubeProxy + Inspect + Breakable + meaning::Meaning> Implementation for T {}

/// What is known of a mode for services of a family: the only place that matches on it. `engine` is for modes whose
/// rules go through either; what is [`ModeFacts::either`] is made for the legacy one until it is fitted.
#[must_use]
pub fn facts_of(mode: Mode, engine: Engine, family: Family) -> &'static ModeFacts {
    match mode {
        Mode::None => &none::FACTS,
        Mode::Conntrack => iptables::facts::floor(engine, family),
        Mode::IptablesLegacy => iptables::facts::over(Engine::Legacy, family),
        Mode::IptablesNft => iptables::facts::over(Engine::Nft, family),
        Mode::Ipset => ipset::facts::over(engine, family),
        Mode::Ipvs => ipvs::facts::over(engine, family),
        Mode::Nftables => nftables::facts::of(family),
    }
}

/// The same for services of IPv4.
#[must_use]
pub fn facts_over(mode: Mode, engine: Engine) -> &'static ModeFacts {
    facts_of(mode, engine, Family::Ipv4)
}

/// What is known of a mode, with the ordinary engine.
#[must_use]
pub fn facts(mode: Mode) -> &'static ModeFacts {
    facts_over(mode, Engine::Legacy)
}

/// The datapath of a mode, with the ordinary engine, as the newest kube-proxy lays it out for services of IPv4.
#[must_use]
pub fn registry(mode: Mode) -> Box<dyn Implementation> {
    laid_out(
        mode,
        Engine::default(),
        KubeProxyVersion::default(),
        NodeKind::default(),
    )
}

/// The datapath of a mode as that version of kube-proxy lays it out for services of a family of such a node. `engine` is for
/// modes whose rules go through either.
#[must_use]
pub fn laid_out(
    mode: Mode,
    engine: Engine,
    version: KubeProxyVersion,
    node: NodeKind,
) -> Box<dyn Implementation> {
    (facts_over(mode, engine).make)(version, node)
}

/// The datapath of a mode that is programmed that way: by us, as that version of kube-proxy lays it out, or by a real
/// kube-proxy that is started as `kube-proxy` with that minSyncPeriod, milliseconds. `None` where kube-proxy has no such
/// mode. On a node of that family alone, of the running kernel.
#[must_use]
pub fn programmed(
    mode: Mode,
    engine: Engine,
    transport: Transport,
    version: KubeProxyVersion,
    family: Family,
    min_sync_period_ms: u32,
) -> Option<Box<dyn Implementation>> {
    let node = NodeKind::single(family);
    programmed_on(node, mode, engine, transport, version, min_sync_period_ms)
}

/// The same on a node that serves that: ours programs one family of it, a real kube-proxy all.
#[must_use]
pub fn programmed_on(
    node: NodeKind,
    mode: Mode,
    engine: Engine,
    transport: Transport,
    version: KubeProxyVersion,
    min_sync_period_ms: u32,
) -> Option<Box<dyn Implementation>> {
    let mut ours = laid_out(mode, engine, version, node);
    match transport {
        Transport::KubeProxy => {
            let beside = node.beside().map(NodeKind::dual);
            let beside = beside.map(|node| laid_out(mode, engine, version, node));
            Some(Box::new(Driven::of(
                ours,
                beside,
                node,
                min_sync_period_ms,
            )?))
        }
        _ => {
            ours.fit();
            Some(ours)
        }
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
    const BY_NFT: &str = "transport nft needs root: the transactions of `nft -f` outgrow the socket buffer that a user namespace may have (SO_SNDBUFFORCE is refused, EMSGSIZE follows)";
    const BY_KUBE_PROXY: &str = "transport kube-proxy needs root: kube-proxy mounts, and its tools' transactions outgrow the socket buffer that a user namespace may have";
    let by_transport = match transport {
        Transport::Nft => Some(BY_NFT),
        Transport::KubeProxy => Some(BY_KUBE_PROXY),
        _ => None,
    };
    facts_over(mode, engine).needs_root.or(by_transport)
}
