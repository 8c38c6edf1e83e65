//! What identifies a cell: mode × scenario × services × endpoints × environment × variant × options.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A name that is not in a closed vocabulary.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown {kind} '{name}'; known: {known}")]
pub struct UnknownName {
    /// Which vocabulary: "mode", "scenario", …
    pub kind: &'static str,
    /// What was given.
    pub name: String,
    /// Every name of the vocabulary, comma-separated.
    pub known: String,
}

macro_rules! vocabulary {
    ($(#[$meta:meta])* $name:ident, $kind:literal, { $($(#[$vmeta:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum $name {
            $($(#[$vmeta])* #[serde(rename = $text)] $variant),+
        }
        impl $name {
            /// Every value, in the fixed order that tables and charts use.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name used in options, JSON and charts.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.pad(self.name()) }
        }
        impl FromStr for $name {
            type Err = UnknownName;
            fn from_str(text: &str) -> Result<Self, UnknownName> {
                Self::ALL.iter().copied().find(|v| v.name() == text).ok_or_else(|| UnknownName {
                    kind: $kind,
                    name: text.to_owned(),
                    known: Self::ALL.iter().map(|v| v.name()).collect::<Vec<_>>().join(", "),
                })
            }
        }
    };
}
pub(crate) use vocabulary;

vocabulary! {
    /// What answers a packet that is sent to a service (docs/modes.md). The order is the order of tables
    /// and charts: the two floors first.
    Mode, "mode", {
        /// Client straight to the endpoint, no connection tracking: the bare floor.
        None = "none",
        /// NAT hooks and connection tracking registered, no service: the floor of every mode that tracks.
        Conntrack = "conntrack",
        /// kube-proxy's iptables rules through the legacy x_tables engine.
        IptablesLegacy = "iptables-legacy",
        /// The same rules through iptables' nf_tables engine.
        IptablesNft = "iptables-nft",
        /// One hash lookup gives a mark, the mark leads to the service's chain. Constructed: no
        /// kube-proxy mode.
        Ipset = "ipset",
        /// kube-proxy's virtual servers in the kernel, with sets and a constant number of rules.
        Ipvs = "ipvs",
        /// kube-proxy's nftables rules: one verdict map.
        Nftables = "nftables",
    }
}

impl Mode {
    /// The two floors serve no services and have no control plane.
    #[must_use]
    pub const fn is_floor(self) -> bool {
        matches!(self, Self::None | Self::Conntrack)
    }
}

vocabulary! {
    /// What is asked.
    ScenarioKind, "scenario", {
        /// 0 → N services on an empty table.
        ColdInstall = "cold-install",
        /// N → N services, unchanged, everything rewritten.
        Resync = "resync",
        /// N → N + 1 services at size N.
        ServiceAdd = "service-add",
        /// N → N - 1 services at size N.
        ServiceRemove = "service-remove",
        /// Endpoints of random services replaced at size N.
        EndpointChurn = "endpoint-churn",
        /// N → 0 services.
        Teardown = "teardown",
        /// First packet of a new flow to the first reply.
        FirstPacket = "first-packet",
        /// What N services hold of the kernel's memory.
        Memory = "memory",
        /// What the kernel lists for N services: rules, chains, sets, elements.
        RuleCount = "rule-count",
    }
}

vocabulary! {
    /// Transport protocol of a service.
    Protocol, "protocol", {
        /// TCP (RFC 9293).
        Tcp = "tcp",
        /// UDP (RFC 768).
        Udp = "udp",
    }
}

/// Options of a cell: string to string, sorted, so that equal cells have equal text.
///
/// Keys in use: `position` first|middle|last|uniform, `protocol` tcp|udp, `family` ipv4, `path`
/// client, `transport` restore|netlink|exec|nft|ipset-restore|ipvsadm, `chunk` all|N (services a
/// transaction), `large_cluster` on|off, `engine` legacy|nft (of mode ipset), `churn` K (endpoints replaced
/// at once), `cache` warm|cold (of first-packet: whether caches are evicted between flows), `vip_stride` STRIDE (VIPs so far apart; absent: drawn by the seed).
pub type Options = BTreeMap<String, String>;

/// Variant of the second `none` series.
pub const CONTROL: &str = "control";

/// Identity of a cell. Two records with equal keys measure the same thing.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct CellKey {
    /// What answers the packets.
    pub mode: Mode,
    /// What is asked.
    pub scenario: ScenarioKind,
    /// Services in the population, N.
    pub services: u32,
    /// Endpoints of each service, E.
    pub endpoints: u32,
    /// Name of the environment; a key of the header's `environments`.
    pub environment: String,
    /// `""` for the ordinary series of a run without variants, else the variant's name; `"control"` for the
    /// second `none` series whose ratio to the first states the run's noise.
    #[serde(default)]
    pub variant: String,
    /// See [`Options`].
    #[serde(default)]
    pub options: Options,
}

impl fmt::Display for CellKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} N={} E={}",
            self.mode, self.scenario, self.services, self.endpoints
        )?;
        for (key, value) in &self.options {
            write!(f, " {key}={value}")?;
        }
        if !self.variant.is_empty() {
            write!(f, " variant={}", self.variant)?;
        }
        // A run on the host's kernel has no other.
        if self.environment.starts_with("guest") {
            write!(f, " on {}", self.environment)?;
        }
        Ok(())
    }
}
