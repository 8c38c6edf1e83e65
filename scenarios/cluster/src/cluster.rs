//! What all files together say of a cluster.

use serde::{Deserialize, Serialize};

use crate::api::Objects;
use crate::ipset::Fill;
use crate::note::Notes;
use crate::service::{Net, Service};

/// A mode of kube-proxy, which a dump of rules is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Mode iptables, of whichever engine.
    Iptables,
    /// Mode ipvs.
    Ipvs,
    /// Mode nftables.
    Nftables,
}

/// A format that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Objects of the Kubernetes API, as JSON or YAML.
    Kubernetes,
    /// `iptables-save` or `ip6tables-save`.
    IptablesSave,
    /// `nft list ruleset`, as text or JSON.
    NftRuleset,
    /// `ipvsadm -Sn`, `ipvsadm -Ln` or `/proc/net/ip_vs`.
    VirtualServers,
    /// `ipset save`.
    IpsetSave,
    /// A shape.
    Shape,
}

/// A cluster, as far as its dumps say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cluster {
    /// Its services: one for each VIP:port of a protocol that kube-proxy serves.
    pub services: Vec<Service>,
    /// Kubernetes objects that were read.
    pub objects: Objects,
    /// Virtual servers that are node ports, one for each address of the node.
    pub node_port_vips: u64,
    /// Every set that was read, and how full it is.
    pub sets: Vec<Fill>,
    /// Chains of kube-proxy's to which nothing leads any more.
    pub stale_chains: u64,
    /// Where pods are, by the rules that masquerade everybody else.
    pub pod_ranges: Vec<Net>,
    /// What was read, in order.
    pub formats: Vec<Format>,
    /// The mode of the node; `None` where no dump of rules tells, or several tell several.
    pub mode: Option<Origin>,
    /// What was not understood, and what was left out and why.
    pub notes: Notes,
}
