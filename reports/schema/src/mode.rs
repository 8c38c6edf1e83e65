//! Modes: what answers a packet that is sent to a service.

use crate::Engine;
use crate::vocabulary::vocabulary;

/// What is known of a mode wherever it is named or drawn.
#[derive(Debug)]
pub struct ModeRow {
    /// One line of meaning.
    pub about: &'static str,
    /// Whether it serves no services and has no control plane.
    pub floor: bool,
    /// What the last service of a population is to it: its place decides in some modes, and not in the same way.
    pub last: &'static str,
    /// What a packet that is forwarded passes in it whatever N is, and in the floor `conntrack` does not.
    pub beyond_floor: &'static str,
    /// The engine that kube-proxy's iptables rules go through in it.
    pub iptables: Option<Engine>,
    /// The proxier of kube-proxy that treats flows as it does; a floor treats none.
    pub proxier: Option<Proxier>,
    /// Whether the netlink messages of its updates are those of its sets.
    pub sets: bool,
    /// Whether it is nobody's but this project's: kube-proxy has no such mode, and no sync of it.
    pub constructed: bool,
    /// The kube-proxy whose layout its rules had before results named one.
    pub layout: Option<&'static str>,
    /// Red, green, blue: one colour a mode, everywhere.
    pub color: [u8; 3],
    /// The shape of its points.
    pub marker: Marker,
}

/// A proxier of kube-proxy (`pkg/proxy/{iptables,ipvs,nftables}`). They do not treat all flows alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proxier {
    /// Chains of rules.
    Iptables,
    /// Virtual servers.
    Ipvs,
    /// Verdict maps.
    Nftables,
}

/// Shape of a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marker {
    /// Round.
    Circle,
    /// On its side.
    Square,
    /// On its base.
    Triangle,
    /// A triangle on its tip.
    Inverted,
    /// A square on its tip.
    Diamond,
    /// Four tips: free, for the next mode.
    Star,
    /// Upright and narrow: free.
    Bar,
}

const SERVING: ModeRow = ModeRow {
    about: "",
    floor: false,
    last: "",
    beyond_floor: "",
    iptables: None,
    proxier: Some(Proxier::Iptables),
    sets: false,
    constructed: false,
    layout: None,
    color: [0; 3],
    marker: Marker::Circle,
};
const FLOOR: ModeRow = ModeRow {
    floor: true,
    proxier: None,
    last: "a place like any other, since nothing is looked up",
    ..SERVING
};
const IPTABLES: ModeRow = ModeRow {
    last: "the end of the list: every rule is passed",
    ..SERVING
};

// Colours are Okabe and Ito's (*Color Universal Design*, 2008), told apart by all common kinds of colour vision, with
// orange and sky blue darkened until each has a contrast of at least 3 to the light and to the dark page (WCAG 2.2,
// 1.4.11).
vocabulary! {
    /// What answers a packet that is sent to a service (docs/modes.md). The order is the order of tables and charts: the two floors
    /// first.
    Mode, "mode", of ModeRow, {
        /// Client straight to the endpoint, no connection tracking: the bare floor.
        None = "none" {
            about: "floor: client straight to the endpoint, no connection tracking",
            color: [0x80, 0x80, 0x80],
            ..FLOOR
        },
        /// NAT hooks and connection tracking registered, no service: the floor of every mode that tracks.
        Conntrack = "conntrack" {
            about: "floor: nat hooks and connection tracking, no service",
            color: [0x2f, 0x96, 0xd0],
            marker: Marker::Square,
            ..FLOOR
        },
        /// kube-proxy's iptables rules through the legacy x_tables engine.
        IptablesLegacy = "iptables-legacy" {
            about: "kube-proxy's iptables rules, legacy engine",
            beyond_floor: "table mangle in three hooks and filter in one",
            iptables: Some(Engine::Legacy),
            color: [0xd5, 0x5e, 0x00],
            marker: Marker::Triangle,
            ..IPTABLES
        },
        /// The same rules through iptables' nf_tables engine.
        IptablesNft = "iptables-nft" {
            about: "the same rules, nf_tables engine",
            beyond_floor: "table filter in one hook, and the nat chains of nf_tables in place of legacy's",
            iptables: Some(Engine::Nft),
            color: [0xbd, 0x80, 0x00],
            marker: Marker::Inverted,
            ..IPTABLES
        },
        /// One hash lookup gives a mark, the mark leads to the service's chain. Constructed: no
        /// kube-proxy mode.
        Ipset = "ipset" {
            about: "constructed: one hash lookup gives a mark that leads to the service's chain",
            last: "as many rules as the digits of its number ask for",
            beyond_floor: "table mangle in three hooks, in one of which it is looked up, and filter in one",
            sets: true,
            constructed: true,
            color: [0x00, 0x9e, 0x73],
            marker: Marker::Square,
            ..SERVING
        },
        /// kube-proxy's virtual servers in the kernel, with sets and a constant number of rules.
        Ipvs = "ipvs" {
            about: "kube-proxy's virtual servers, with sets and a constant number of rules; deprecated since 1.35",
            last: "found first in its bucket before Linux 7.1, where the newest stand in front",
            beyond_floor: "IPVS' own hooks, and table filter in input and output, by which it goes",
            proxier: Some(Proxier::Ipvs),
            color: [0xcc, 0x79, 0xa7],
            ..SERVING
        },
        /// kube-proxy's nftables rules: one verdict map.
        Nftables = "nftables" {
            about: "kube-proxy's nftables rules",
            last: "a place like any other in one map",
            beyond_floor: "filter chains in two hooks, and the nat chains of nf_tables in place of legacy's",
            proxier: Some(Proxier::Nftables),
            layout: Some("1.32"),
            color: [0x00, 0x72, 0xb2],
            marker: Marker::Diamond,
            ..SERVING
        },
    }
}

impl Mode {
    /// The two floors, the bare one first: they serve no services and have no control plane.
    pub const FLOORS: [Self; 2] = [Self::None, Self::Conntrack];

    /// The floor below everything, without connection tracking: the control is a second series of it.
    pub const BARE: Self = Self::None;

    /// Whether it is one of [`Mode::FLOORS`].
    #[must_use]
    pub const fn is_floor(self) -> bool {
        self.row().floor
    }
}
