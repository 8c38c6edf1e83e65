//! What is known of a mode before anything of it is installed: a row of each, in its own folder. Whoever
//! needs a property of a mode reads it here; the registry alone matches on modes.

use std::fmt;

use schema::{Family, KubeProxyVersion, Mode, NodeKind, Reader};

use super::{Engine, Implementation, Socket, Transport};
use crate::datapath::kube_proxy::KubeProxyFacts;
use crate::xtables::{save, tools};

/// A program that must be installed, and the Debian package that brings it.
pub type Tool = (&'static str, &'static str);

/// What every kube-proxy sets of connection tracking, by its defaults (`conntrack.tcpEstablishedTimeout`,
/// `.tcpCloseWaitTimeout` in pkg/proxy/apis/config/v1alpha1/defaults.go).
pub(super) const TIMEOUTS: [(&str, &str); 2] = [
    (
        "net.netfilter.nf_conntrack_tcp_timeout_established",
        "86400",
    ),
    ("net.netfilter.nf_conntrack_tcp_timeout_close_wait", "3600"),
];

/// Versions of kube-proxy that lay a mode out alike and sync it alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Layout {
    /// The first of them.
    pub first: KubeProxyVersion,
    /// The last of them.
    pub last: KubeProxyVersion,
}

impl Layout {
    pub(super) const fn of(first: KubeProxyVersion, last: KubeProxyVersion) -> Self {
        Self { first, last }
    }

    /// That of a version, of some.
    #[must_use]
    pub fn in_which(version: KubeProxyVersion, layouts: &[Self]) -> Option<Self> {
        let has = |layout: &&Self| layout.first <= version && version <= layout.last;
        layouts.iter().find(has).copied()
    }

    /// One layout for all versions.
    pub(super) const ALL: &'static [Self] =
        &[Self::of(KubeProxyVersion::V1_32, KubeProxyVersion::V1_37)];
}

/// "1.36" or "1.32-1.37".
impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.first == self.last {
            true => write!(f, "{}", self.first),
            false => write!(f, "{}-{}", self.first, self.last),
        }
    }
}

/// What, and a formula in N services and E endpoints.
pub type Law = (&'static str, &'static str);

/// A mode, as it stands over one engine where it can stand over either, for services of one family.
#[derive(Debug)]
pub struct ModeFacts {
    /// Which.
    pub mode: Mode,
    /// Of which family the services are. A row of IPv6 says what is other there, and is else IPv4's.
    pub family: Family,
    /// How it can be programmed; the first is the ordinary one.
    pub transports: &'static [TransportFacts],
    /// Whether first packets of flows are tracked, and counted by its rules.
    pub tracks: bool,
    /// Engine below its iptables rules; `None` where it has none.
    pub rules: Option<Engine>,
    /// Engines to choose from, where either would do.
    pub engines: &'static [Engine],
    /// Whether its rules are as few whatever N, so that no engine is asked after: they go through the legacy one, and where
    /// that is not to be had through the other ([`Datapath::fit`](super::Datapath::fit)).
    pub either: bool,
    /// Tools that it starts however it is programmed, besides those of its engine.
    pub tools: &'static [Tool],
    /// Layouts of kube-proxy's versions, in their order; none where it has no such mode.
    pub layouts: &'static [Layout],
    /// Versions in which an hour without changes is alike, where those are others.
    pub hours: &'static [Layout],
    /// What is particular of a real kube-proxy in this mode; `None` where it has no such mode.
    pub kube_proxy: Option<&'static KubeProxyFacts>,
    /// Sysctls that kube-proxy sets of a node once, at its start, besides those that a datapath sets itself.
    pub node_sysctls: &'static [(&'static str, &'static str)],
    /// Programs of other packages that kube-proxy starts in an update.
    pub sync_tools: &'static [&'static str],
    /// What it needs of the kernel besides its engine, by the names of [`crate::lab::facility::facilities`].
    pub facilities: &'static [&'static str],
    /// Whether its rules name counters of nfnetlink_acct where the kernel has them ([`crate::accounts`]).
    pub accounts: bool,
    /// Whether rules of endpoints have comments in small clusters, as kube-proxy's iptables rules.
    pub comments: bool,
    /// What its rules do without of that which rules through an engine need.
    pub without: &'static [&'static str],
    /// Why it needs root of the initial user namespace, as a sentence; `None` where it does not.
    pub needs_root: Option<&'static str>,
    /// The most services that its layout can serve at one time; `None`: no limit of its own. A scenario that
    /// adds services needs room for them.
    pub most_services: Option<u32>,
    /// The most entries of each set that kube-proxy makes, unless they are raised; `None`: it makes no such set.
    pub most_entries: Option<u32>,
    /// Services a transaction for untimed preparation; `None`: one transaction is fastest.
    pub preparation_chunk: Option<usize>,
    /// Whether one transaction costs the square of what it holds, so that installs in chunks are measured too.
    pub chunked: bool,
    /// Commands that list what it installs, or files of /proc/net that say it, besides that of its engine.
    pub listings: &'static [&'static [&'static str]],
    /// What can read back what it installs.
    pub readers: &'static [Reader],
    /// Sockets that a removal needs: opened before it is timed.
    pub teardown_sockets: &'static [Socket],
    /// The law of size, for `list formulas`. Tests hold the rendered batches to the same formulas.
    pub law_of_size: &'static [Law],
    /// Services up to which kube-proxy's syncs are counted where instructions are: what they read grows with N, and so does
    /// how long a guest takes for it. No size that is asked often: beside one that syncs another would not.
    pub counted_syncs: u32,
    /// What untimed work is expected to take.
    pub cost: Cost,
    /// Makes its datapath, as a version of kube-proxy lays it out, for services of a family of such a node.
    pub make: fn(KubeProxyVersion, NodeKind) -> Box<dyn Implementation>,
}

/// One way of programming a mode.
#[derive(Debug, Clone, Copy)]
pub struct TransportFacts {
    /// How a batch reaches the kernel.
    pub transport: Transport,
    /// Tools that carry it, besides those of the mode.
    pub tools: &'static [Tool],
    /// Asks the kernel for the bytes of the largest transaction that this process may send.
    pub(super) ask_largest: Option<fn() -> Option<u64>>,
    /// One install from nothing, in one transaction.
    pub install: Expected,
    /// The same in chunks, where that differs.
    pub in_chunks: Option<Expected>,
    /// One update of a few services.
    pub update: Expected,
}

/// Expected times of what goes round the timed acts.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// Installing and proving a population the fastest way, besides what every proof takes.
    pub preparation: Expected,
    /// What kube-proxy reads back before an update.
    pub read_back: Expected,
    /// One listing of everything, parsed.
    pub listing: Expected,
    /// Reading the counters of its rules before and after flows.
    pub counters: Expected,
    /// What its acts take where instructions are counted.
    pub counted: Counted,
}

/// What acts of a mode through its ordinary transport take, instructions in a counted guest (Linux 6.1, tools of Debian
/// 12), from runs at 1,000 and at 10,000 services of two endpoints: for plans alone.
#[derive(Debug, Clone, Copy)]
pub struct Counted {
    /// Installing the population, in transactions of 500 where one is quadratic.
    pub install: Expected,
    /// What one transaction takes beyond that, for the square of the services beyond 1,000: counted in nftables,
    /// in iptables-nft by how many times longer it took on a host.
    pub one_squared: u64,
    /// One update of a few services.
    pub update: Expected,
    /// kube-proxy's sync of such an update, where those are counted.
    pub sync: Expected,
    /// One listing of everything, parsed.
    pub listing: Expected,
}

impl Counted {
    /// Nothing.
    pub const ZERO: Self = Self {
        install: Expected::ZERO,
        one_squared: 0,
        update: Expected::ZERO,
        sync: Expected::ZERO,
        listing: Expected::ZERO,
    };
}

/// An expected time as a sum, nanoseconds, or instructions. Coefficients are from trials on a machine of 2 CPUs; a result never
/// depends on them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Expected {
    /// Whatever N.
    pub fixed: u64,
    /// For each service.
    pub service: u64,
    /// For each rule of kube-proxy's iptables layout.
    pub rule: u64,
    /// For the square of their number.
    pub rule_squared: u64,
    /// For each service of two endpoints that weighs the same as the population.
    pub weight: u64,
    /// For the square of their number: where the kernel or the tool walks a list of what a transaction holds.
    pub weight_squared: u64,
    /// For its cube, in thousandths: where such a list has outgrown the caches.
    pub weight_cubed: u64,
}

impl Expected {
    /// Nothing.
    pub const ZERO: Self = Self {
        fixed: 0,
        service: 0,
        rule: 0,
        rule_squared: 0,
        weight: 0,
        weight_squared: 0,
        weight_cubed: 0,
    };

    /// So many nanoseconds whatever N.
    #[must_use]
    pub const fn fixed(fixed: u64) -> Self {
        Self {
            fixed,
            ..Self::ZERO
        }
    }

    pub(super) const fn service(mut self, service: u64) -> Self {
        self.service = service;
        self
    }

    pub(super) const fn rule(mut self, rule: u64) -> Self {
        self.rule = rule;
        self
    }

    pub(super) const fn rule_squared(mut self, rule_squared: u64) -> Self {
        self.rule_squared = rule_squared;
        self
    }

    pub(super) const fn weight(mut self, weight: u64) -> Self {
        self.weight = weight;
        self
    }

    pub(super) const fn weight_squared(mut self, weight_squared: u64) -> Self {
        self.weight_squared = weight_squared;
        self
    }

    pub(super) const fn weight_cubed(mut self, weight_cubed: u64) -> Self {
        self.weight_cubed = weight_cubed;
        self
    }

    /// The sum for N services of E endpoints each, nanoseconds.
    #[must_use]
    pub fn at(&self, services: u32, endpoints: u32) -> u64 {
        let (n, e) = (u64::from(services), u64::from(endpoints));
        let (rules, weight) = (n * (2 + 3 * e), (1 + e) * n / 3);
        self.fixed
            + self.service * n
            + self.rule * rules
            + self.rule_squared * rules * rules
            + self.weight * weight
            + self.weight_squared * weight * weight
            + self.weight_cubed * (weight * weight / 1_000) * weight
    }
}

/// A process that is started and does nothing, nanoseconds.
pub const PROCESS: u64 = 4_000_000;

impl TransportFacts {
    /// One of that transport: with no tools, no known limit, nothing that takes time.
    pub(super) const fn of(transport: Transport) -> Self {
        Self {
            transport,
            tools: &[],
            ask_largest: None,
            install: Expected::ZERO,
            in_chunks: None,
            update: Expected::ZERO,
        }
    }

    /// Bytes of the largest transaction that this process may send; `None`: no limit is known.
    #[must_use]
    pub fn largest(&self) -> Option<u64> {
        self.ask_largest.and_then(|ask| ask())
    }
}

/// By a real kube-proxy, whose binary the user names.
pub(super) const REAL: TransportFacts = TransportFacts {
    tools: &[KUBE_PROXY],
    ..TransportFacts::of(Transport::KubeProxy)
};

/// The program: no package of a distribution brings it.
pub const KUBE_PROXY: Tool = ("kube-proxy", "");

impl ModeFacts {
    /// A mode of these transports that has no rules, needs nothing, and is listed by one process.
    pub(super) const fn of(
        mode: Mode,
        transports: &'static [TransportFacts],
        make: fn(KubeProxyVersion, NodeKind) -> Box<dyn Implementation>,
    ) -> Self {
        Self {
            mode,
            family: Family::Ipv4,
            transports,
            tracks: true,
            rules: None,
            engines: &[],
            either: false,
            tools: &[],
            layouts: &[],
            hours: &[],
            node_sysctls: &[],
            kube_proxy: None,
            sync_tools: &[],
            facilities: &[],
            accounts: false,
            comments: false,
            without: &[],
            needs_root: None,
            most_services: None,
            most_entries: None,
            preparation_chunk: None,
            chunked: false,
            listings: &[],
            readers: &[],
            teardown_sockets: &[],
            law_of_size: &[],
            counted_syncs: 2_000,
            cost: Cost {
                preparation: Expected::ZERO,
                read_back: Expected::fixed(PROCESS),
                listing: Expected::fixed(PROCESS),
                counters: Expected::fixed(5_000_000),
                counted: Counted::ZERO,
            },
            make,
        }
    }

    /// The layout of a version; `None` where kube-proxy has no such mode.
    #[must_use]
    pub fn layout(&self, version: KubeProxyVersion) -> Option<Layout> {
        Layout::in_which(version, self.layouts)
    }

    /// How it can be programmed.
    pub fn transports(&self) -> impl Iterator<Item = Transport> + Clone + use<> {
        self.transports.iter().map(|facts| facts.transport)
    }

    /// The ordinary way.
    #[must_use]
    pub const fn ordinary(&self) -> Transport {
        self.transports[0].transport
    }

    /// Whether it can be programmed that way.
    #[must_use]
    pub fn has(&self, transport: Transport) -> bool {
        self.transports().any(|t| t == transport)
    }

    /// One way of programming it; the ordinary one where it has no such way.
    #[must_use]
    pub fn by(&self, transport: Transport) -> &'static TransportFacts {
        let mut all = self.transports.iter();
        let facts = all.find(|facts| facts.transport == transport);
        facts.unwrap_or(&self.transports[0])
    }

    /// Commands whose output is what is installed.
    #[must_use]
    pub fn listings(&self) -> Vec<Vec<&'static str>> {
        let engine = self.rules.map(|engine| vec![save(engine, self.family)]);
        let own = self.listings.iter().map(|words| words.to_vec());
        engine.into_iter().chain(own).collect()
    }

    /// Every tool that it starts, programmed that way.
    #[must_use]
    pub fn tools(&self, transport: Transport) -> Vec<Tool> {
        let engine = self
            .rules
            .map_or(&[][..], |engine| tools(engine, self.family));
        [self.tools, engine, self.by(transport).tools].concat()
    }
}
