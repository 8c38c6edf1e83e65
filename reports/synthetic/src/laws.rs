//! What things cost in the synthetic world, as functions of N. Sizes are of the order that one real host
//! showed; nobody measured them.

use schema::{Engine, Metric, Mode, ScenarioKind, Transport};

/// How a mode is programmed: transport, and engine where the mode has one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Way {
    pub(crate) transport: Transport,
    pub(crate) engine: Option<Engine>,
}

/// Orders of the modes by the two times of an update, each drawn by itself: what sentences must bear.
#[derive(Debug, Clone, Copy, Default)]
pub struct Turned(Option<u64>);

impl Turned {
    /// Both orders from one seed.
    #[must_use]
    pub const fn by(seed: u64) -> Self {
        Self(Some(seed))
    }

    pub(crate) fn update(self, mode: Mode, usual: f64) -> f64 {
        self.drawn(mode, "update", usual)
    }

    pub(crate) fn sync(self, mode: Mode, usual: f64) -> f64 {
        self.drawn(mode, "sync", usual)
    }

    /// One of eight times that lie a fifth apart, so that some modes share theirs.
    fn drawn(self, mode: Mode, what: &str, usual: f64) -> f64 {
        self.0.map_or(usual, |seed| {
            let step = reports::statistics::seed_of(&format!("{seed} {mode} {what}")) >> 13;
            1.0e7 * 1.2_f64.powi((step % 8) as i32)
        })
    }
}

/// From the answer of a netlink update until its sockets are closed, nanoseconds.
pub(crate) const RELEASE_NS: f64 = 1.1e6;

/// The ways of a mode, the ordinary one first; none for the floors.
pub(crate) fn ways(mode: Mode, engines: &[Engine]) -> Vec<Way> {
    let way = |transport, engine| Way { transport, engine };
    match mode {
        Mode::None | Mode::Conntrack => Vec::new(),
        Mode::IptablesLegacy | Mode::IptablesNft => vec![way(Transport::Restore, None)],
        Mode::Ipset => engines
            .iter()
            .map(|e| way(Transport::Netlink, Some(*e)))
            .collect(),
        Mode::Ipvs => vec![way(Transport::Netlink, None), way(Transport::Ipvsadm, None)],
        // Of a mode that nothing is imagined of, what is imagined of nftables.
        _ => vec![way(Transport::Netlink, None), way(Transport::Nft, None)],
    }
}

/// Chunks that a cold install measures.
pub(crate) const fn chunks(mode: Mode) -> &'static [&'static str] {
    match mode {
        Mode::IptablesNft | Mode::Nftables => &["all", "500"],
        _ => &["all"],
    }
}

/// First packet over TCP after passing a share of the services, nanoseconds.
pub(crate) fn first_packet_ns(mode: Mode, passed: f64, n: f64) -> f64 {
    match mode {
        Mode::None => 23_000.0,
        Mode::Conntrack => 33_000.0,
        Mode::IptablesLegacy => 34_000.0 + 5.9 * passed * n,
        Mode::IptablesNft => 35_000.0 + 21.0 * passed * n,
        Mode::Ipset => 36_500.0,
        Mode::Ipvs => 37_500.0,
        _ => 35_500.0,
    }
}

/// Time of a cold install, nanoseconds.
pub(crate) fn install_ns(mode: Mode, way: Way, chunk: &str, n: f64) -> f64 {
    let tool = if way.transport == Transport::Nft {
        1.6
    } else {
        1.0
    };
    tool * match (mode, chunk) {
        (Mode::Nftables, "all") => 1.5e5 * n + 620.0 * n * n,
        (Mode::Nftables, _) => 1.7e5 * n + 60.0 * n * n,
        (Mode::IptablesNft, "all") => 2.0e7 + 2.0e5 * n + 190.0 * n * n,
        (Mode::IptablesNft, _) => 2.0e7 + 2.7e5 * n,
        (Mode::Ipvs, _) => 3.0e7 + 1.8e4 * n,
        (Mode::Ipset, _) => 6.2e7 + 6.5e4 * n,
        _ => 6.0e7 + 7.0e4 * n,
    }
}

/// What an update costs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Update {
    /// Nanoseconds.
    pub(crate) time: f64,
    /// Share of the processor time in user mode.
    pub(crate) user: f64,
    pub(crate) operations: f64,
    pub(crate) messages: f64,
    pub(crate) bytes: f64,
    /// Nanoseconds that kube-proxy's read-back adds; `None` where kube-proxy has no such mode.
    pub(crate) read_back: Option<f64>,
}

/// One service added; the other updates are of its order.
fn add(mode: Mode, way: Way, n: f64) -> Update {
    let (time, user, operations, messages, bytes) = match (mode, way.transport) {
        (Mode::Nftables, Transport::Netlink) => (4.0e5 + 8.0 * n, 0.02, 9.0, 12.0, 3_104.0),
        (Mode::Nftables, _) => (9.0e6 + 1.6e4 * n, 0.81, 9.0, 0.0, 910.0),
        (Mode::Ipvs, Transport::Netlink) => (7.0e5, 0.2, 6.0, 6.0, 620.0),
        (Mode::Ipvs, _) => (9.0e6, 0.6, 6.0, 2.0, 410.0),
        (Mode::Ipset, _) if way.engine == Some(Engine::Nft) => {
            (1.9e7 + 5.2e4 * n, 0.90, 14.0, 2.0, 1_480.0)
        }
        (Mode::Ipset, _) => (1.4e7 + 2.9e4 * n, 0.55, 14.0, 2.0, 1_480.0),
        (Mode::IptablesNft, _) => (2.0e7 + 7.0e4 * n, 0.94, n + 9.0, 0.0, 540.0 + 131.0 * n),
        _ => (1.5e7 + 4.6e4 * n, 0.52, n + 9.0, 0.0, 540.0 + 131.0 * n),
    };
    let read_back = match mode {
        Mode::Nftables => Some(2.0e7 + 5.6e5 * n),
        Mode::Ipvs => Some(1.7e8 + 4.0e4 * n),
        Mode::Ipset => None,
        _ => Some(3.0e6),
    };
    Update {
        time,
        user,
        operations,
        messages,
        bytes,
        read_back,
    }
}

/// An update at size N.
pub(crate) fn update(scenario: ScenarioKind, mode: Mode, way: Way, n: f64) -> Update {
    let one = add(mode, way, n);
    match scenario {
        ScenarioKind::ServiceRemove => Update {
            time: 0.97 * one.time,
            ..one
        },
        ScenarioKind::EndpointChurn => Update {
            time: 1.2 * one.time,
            operations: one.operations + 50.0,
            messages: 6.0 * one.messages,
            bytes: one.bytes + 9_000.0,
            ..one
        },
        ScenarioKind::Resync => Update {
            time: 1.3 * install_ns(mode, way, "500", n),
            operations: 7.0 * n + 2.0,
            messages: if way.transport == Transport::Netlink {
                10.0 * n
            } else {
                0.0
            },
            bytes: 900.0 * n,
            read_back: None,
            ..one
        },
        _ => one,
    }
}

/// What removing everything takes, nanoseconds.
pub(crate) fn teardown_ns(mode: Mode, n: f64) -> f64 {
    match mode {
        Mode::Nftables => 3.0e6 + 900.0 * n,
        Mode::IptablesNft => 3.5e7 + 1.1e4 * n,
        _ => 3.0e7 + 900.0 * n,
    }
}

/// Kernel memory: what the services hold, the peak of it while they are installed, and the part that a
/// cgroup sees; bytes.
pub(crate) fn memory(mode: Mode, n: f64) -> (f64, f64, f64) {
    let (held, peak, seen) = match mode {
        Mode::IptablesLegacy => (3.0e4 + 3_640.0 * n, 1.9, 0.81),
        Mode::IptablesNft => (9.0e4 + 5_900.0 * n, 1.2, 0.99),
        Mode::Ipvs => (2.5e5 + 2_300.0 * n, 1.1, 0.02),
        Mode::Ipset => (6.0e4 + 3_200.0 * n, 1.8, 0.72),
        _ => (9.0e4 + 3_390.0 * n, 1.1, 0.99),
    };
    (held, peak * held, seen * held)
}

/// Rules, chains, sets and elements that the kernel lists, for two endpoints a service.
pub(crate) fn counts(mode: Mode, n: f64) -> [f64; 4] {
    match mode {
        Mode::IptablesLegacy | Mode::IptablesNft => [7.0 * n + 11.0, 3.0 * n + 8.0, 0.0, 0.0],
        Mode::Ipvs => [28.0, 11.0, 17.0, 6.0 * n],
        Mode::Ipset => [6.2 * n + 30.0, 3.1 * n + 20.0, 1.0, n],
        _ => [5.0 * n + 9.0, 3.0 * n + 12.0, n + 3.0, 3.0 * n],
    }
    .map(f64::round)
}

/// Whether rules of a mode have comments, which kube-proxy leaves out of large clusters.
pub(crate) const fn has_comments(mode: Mode) -> bool {
    matches!(mode, Mode::IptablesLegacy | Mode::IptablesNft | Mode::Ipset)
}

/// What a metric of so many endpoints a service is beside that of two, as a factor.
pub(crate) fn by_endpoints(mode: Mode, metric: Metric, endpoints: u32) -> f64 {
    let each = match metric {
        _ if mode.is_floor() => 0.0,
        Metric::Latency if has_comments(mode) => 4.0e-4,
        Metric::Latency => 0.0,
        Metric::KernelMemory if has_comments(mode) => 0.6,
        Metric::KernelMemory => 0.15,
        _ => 2.0e-3,
    };
    (1.0 + each * f64::from(endpoints)) / (1.0 + 2.0 * each)
}

/// Largest resident set of the tool, bytes; `None` where no tool is started.
pub(crate) fn tool_rss(way: Way, n: f64) -> Option<f64> {
    match way.transport {
        Transport::Netlink if way.engine.is_none() => None,
        Transport::Nft => Some(9.0e6 + 4_200.0 * n),
        _ => Some(4.0e6 + 1_900.0 * n),
    }
}
