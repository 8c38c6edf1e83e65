//! What the services of a population are, and by which of their addresses they are reached. A type is a name for a set of
//! fields of a Kubernetes Service; layouts follow the fields, never the name.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::vocabulary::vocabulary;
use crate::{PacketPath, UnknownName};

vocabulary! {
    /// By which of its addresses a service is reached.
    ReachedBy, "address of a service", {
        /// Its ClusterIP (`spec.clusterIP`).
        ClusterIp = "cluster-ip",
        /// A port of the node's own address (`spec.ports[].nodePort`).
        NodePort = "node-port",
        /// The address of its load balancer (`status.loadBalancer.ingress[].ip`).
        LoadBalancer = "load-balancer",
        /// An external address (`spec.externalIPs`).
        ExternalIp = "external-ip",
    }
}

impl Default for ReachedBy {
    fn default() -> Self {
        Self::ALL[0]
    }
}

impl ReachedBy {
    /// As words: "reached by load-balancer".
    #[must_use]
    pub fn words(self) -> String {
        format!("reached by {self}")
    }
}

/// What is known of a type of services.
#[derive(Debug)]
pub struct ServiceTypeRow {
    /// The addresses of such a service. The last is the one that makes the type.
    pub addresses: &'static [ReachedBy],
}

const WITHIN: &[ReachedBy] = &[ReachedBy::ClusterIp];
const BALANCED: &[ReachedBy] = &[
    ReachedBy::ClusterIp,
    ReachedBy::NodePort,
    ReachedBy::LoadBalancer,
];

vocabulary! {
    /// What the services of a population are. The first is the ordinary one.
    ServiceType, "service type", of ServiceTypeRow, {
        /// A ClusterIP, and endpoints on other nodes.
        ClusterIp = "cluster-ip" { addresses: WITHIN },
        /// Type NodePort: a port of every node too.
        NodePort = "node-port" { addresses: &[ReachedBy::ClusterIp, ReachedBy::NodePort] },
        /// Type LoadBalancer: the address of a load balancer, and a node port.
        LoadBalancer = "load-balancer" { addresses: BALANCED },
        /// Type LoadBalancer, which one range of sources alone may use (`loadBalancerSourceRanges`).
        SourceRanges = "source-ranges" { addresses: BALANCED },
        /// Type ClusterIP with an external address (`externalIPs`).
        ExternalIp = "external-ip" { addresses: &[ReachedBy::ClusterIp, ReachedBy::ExternalIp] },
        /// Type LoadBalancer with `externalTrafficPolicy: Local`, and endpoints on this node as on others.
        ExternalLocal = "external-local" { addresses: BALANCED },
        /// The same with endpoints on other nodes alone: what comes from outside is dropped.
        ExternalLocalNone = "external-local-none" { addresses: BALANCED },
        /// Type ClusterIP with `internalTrafficPolicy: Local`, and endpoints on this node as on others.
        InternalLocal = "internal-local" { addresses: WITHIN },
        /// The same with endpoints on other nodes alone: what is sent to it is dropped.
        InternalLocalNone = "internal-local-none" { addresses: WITHIN },
        /// Type ClusterIP with `sessionAffinity: ClientIP`, remembered for three hours, the default.
        Affinity = "affinity" { addresses: WITHIN },
        /// Type ClusterIP without endpoints: what is sent to it is refused.
        NoEndpoints = "no-endpoints" { addresses: WITHIN },
    }
}

impl Default for ServiceType {
    fn default() -> Self {
        Self::ALL[0]
    }
}

impl ServiceType {
    /// The addresses of such a service.
    #[must_use]
    pub const fn addresses(self) -> &'static [ReachedBy] {
        self.row().addresses
    }

    /// Whether such a service has a node port.
    #[must_use]
    pub fn has_node_port(self) -> bool {
        self.addresses().contains(&ReachedBy::NodePort)
    }

    /// Whether such a service has endpoints.
    #[must_use]
    pub const fn has_endpoints(self) -> bool {
        !matches!(self, Self::NoEndpoints)
    }

    /// Whether a pod that asks such a service by its ClusterIP is answered.
    #[must_use]
    pub const fn answers(self) -> bool {
        !matches!(self, Self::NoEndpoints | Self::InternalLocalNone)
    }

    /// Whether a pod, or the node, that asks such a service by that address is answered: of a source range neither is.
    #[must_use]
    pub fn answers_by(self, by: ReachedBy) -> bool {
        let ranged = self == Self::SourceRanges && by == ReachedBy::LoadBalancer;
        self.answers() && self.addresses().contains(&by) && !ranged
    }

    /// Whether such a service has endpoints on this node.
    #[must_use]
    pub const fn has_local_endpoints(self) -> bool {
        matches!(self, Self::ExternalLocal | Self::InternalLocal)
    }
}

/// What services of a population are: types and their shares, which make up the whole, in the order of their vocabulary; or
/// those of a cluster that was read, which are of any.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Mix {
    shares: Vec<(ServiceType, u32)>,
    /// The types of the services of one protocol, taken in turn.
    cycle: Vec<ServiceType>,
    /// Hash of the cluster's shape.
    population: Option<String>,
}

/// How a population of a cluster is written, before its hash.
const POPULATION: &str = "population:";

/// Why a text is no mix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MixError {
    /// It names no type.
    #[error(transparent)]
    Unknown(#[from] UnknownName),
    /// A share is missing, or is no number from 1 to 100.
    #[error(
        "'{0}' is no TYPE=SHARE with a share of 1 to 100 per cent, as in cluster-ip=60,node-port=40"
    )]
    Share(String),
    /// A type has two shares.
    #[error("{0} has two shares: give it one")]
    Twice(ServiceType),
    /// The shares are not the whole.
    #[error("the shares come to {0} per cent, not 100")]
    Sum(u32),
}

impl Mix {
    /// Services of one type.
    #[must_use]
    pub fn of(service_type: ServiceType) -> Self {
        Self {
            shares: vec![(service_type, 100)],
            cycle: vec![service_type],
            population: None,
        }
    }

    /// Services as those of a cluster, by the hash of its shape.
    #[must_use]
    pub fn of_population(hash: &str) -> Self {
        Self {
            population: Some(hash.to_owned()),
            ..Self::default()
        }
    }

    /// The hash of the cluster's shape, where they are those of one.
    #[must_use]
    pub fn population(&self) -> Option<&str> {
        self.population.as_deref()
    }

    /// Types with their shares, per cent.
    ///
    /// # Errors
    /// Shares that do not come to 100, or two of one type.
    pub fn new(mut shares: Vec<(ServiceType, u32)>) -> Result<Self, MixError> {
        shares.sort_unstable();
        if let Some(pair) = shares.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(MixError::Twice(pair[0].0));
        }
        match shares.iter().map(|(_, share)| *share).sum::<u32>() {
            100 => Ok(Self {
                cycle: interleaved(&shares),
                shares,
                population: None,
            }),
            sum => Err(MixError::Sum(sum)),
        }
    }

    /// The types of the services of one protocol, taken in turn: as many of each as its share says, spread evenly.
    #[must_use]
    pub fn cycle(&self) -> &[ServiceType] {
        &self.cycle
    }

    /// Its types.
    pub fn types(&self) -> impl Iterator<Item = ServiceType> + '_ {
        self.shares.iter().map(|(service_type, _)| *service_type)
    }

    /// The type of the largest share, the first of several.
    #[must_use]
    pub fn largest(&self) -> ServiceType {
        let shares = self.shares.iter().rev();
        let largest = shares.max_by_key(|(_, share)| *share);
        largest.expect("a mix has a type").0
    }

    /// By which addresses its services are asked: the ClusterIP, and of each type the address that makes it, where somebody
    /// answers there; those of a cluster by any that one of them has.
    #[must_use]
    pub fn asked_by(&self) -> BTreeSet<ReachedBy> {
        if self.population.is_some() {
            return ReachedBy::ALL.iter().copied().collect();
        }
        let own = |service_type: ServiceType| {
            let addresses = service_type.addresses();
            let asked = addresses.first().into_iter().chain(addresses.last());
            asked
                .copied()
                .filter(move |by| service_type.answers_by(*by))
        };
        self.types().flat_map(own).collect()
    }

    /// The one type, where there is no other.
    #[must_use]
    pub fn single(&self) -> Option<ServiceType> {
        match self.shares[..] {
            _ if self.population.is_some() => None,
            [(service_type, _)] => Some(service_type),
            _ => None,
        }
    }

    /// Whether its services are what they are where nobody says it.
    #[must_use]
    pub fn is_ordinary(&self) -> bool {
        self.single() == Some(ServiceType::default())
    }

    /// As words: "node-port services", "60 % cluster-ip and 40 % node-port services".
    #[must_use]
    pub fn words(&self) -> String {
        if let Some(service_type) = self.single() {
            return format!("{service_type} services");
        }
        if let Some(hash) = &self.population {
            return format!("services of population {}", hash.get(..8).unwrap_or(hash));
        }
        let shares = self.shares.iter();
        let shares: Vec<String> = shares
            .map(|(service_type, share)| format!("{share} % {service_type}"))
            .collect();
        format!("{} services", shares.join(" and "))
    }
}

/// What services are, by which of their addresses first packets are sent to them, and from where.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Reach {
    /// What they are.
    pub mix: Mix,
    /// By which address they are reached.
    pub by: ReachedBy,
    /// Where packets come from.
    pub from: PacketPath,
}

impl Reach {
    /// Whether it is the one of a run in which nobody says another.
    #[must_use]
    pub fn is_ordinary(&self) -> bool {
        *self == Self::default()
    }

    /// What they are, by which address where they have several, and from where unless from a client: as words.
    #[must_use]
    pub fn parts(&self) -> [Option<String>; 3] {
        let any = self.mix.population().is_some();
        let several = any || self.mix.types().any(|of| of.addresses().len() > 1);
        let by = several.then(|| self.by.words());
        let from = (self.from != PacketPath::default()).then(|| self.from.words());
        [Some(self.mix.words()), by, from]
    }

    /// The same together: "node-port services, reached by node-port, from the node itself".
    #[must_use]
    pub fn words(&self) -> String {
        let parts: Vec<String> = self.parts().into_iter().flatten().collect();
        parts.join(", ")
    }
}

/// In short: "node-port by node-port, from the node itself".
impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [_, by, from] = self.parts();
        let by = by.map_or_else(String::new, |_| format!(" by {}", self.by));
        let from = from.map_or_else(String::new, |from| format!(", {from}"));
        f.pad(&format!("{}{by}{from}", self.mix))
    }
}

/// Each place goes to the type that is furthest behind its share, the first of them where several are: the smooth weighted
/// round robin of load balancers. It repeats after 100 places at most.
fn interleaved(shares: &[(ServiceType, u32)]) -> Vec<ServiceType> {
    let common = shares
        .iter()
        .fold(100, |common, (_, share)| gcd(common, *share));
    let places = i64::from(100 / common);
    let mut behind = vec![0; shares.len()];
    let place = |_| {
        for (behind, (_, share)) in behind.iter_mut().zip(shares) {
            *behind += i64::from(share / common);
        }
        let types = 0..behind.len();
        let next = types.max_by_key(|at| (behind[*at], Reverse(*at)));
        let next = next.expect("a mix has a type");
        behind[next] -= places;
        shares[next].0
    };
    (0..places).map(place).collect()
}

const fn gcd(a: u32, b: u32) -> u32 {
    match b {
        0 => a,
        b => gcd(b, a % b),
    }
}

impl Default for Mix {
    /// ClusterIPs.
    fn default() -> Self {
        Self::of(ServiceType::default())
    }
}

/// A type alone, or each with its share: `cluster-ip=60,node-port=40`.
impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(service_type) = self.single() {
            return service_type.fmt(f);
        }
        if let Some(hash) = &self.population {
            return write!(f, "{POPULATION}{hash}");
        }
        for (at, (service_type, share)) in self.shares.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{service_type}={share}")?;
        }
        Ok(())
    }
}

impl FromStr for Mix {
    type Err = MixError;

    fn from_str(text: &str) -> Result<Self, MixError> {
        if let Some(hash) = text.strip_prefix(POPULATION) {
            return Ok(Self::of_population(hash));
        }
        if !text.contains(['=', ',']) {
            return Ok(Self::of(text.parse()?));
        }
        let share = |part: &str| -> Result<(ServiceType, u32), MixError> {
            let wrong = || MixError::Share(part.to_owned());
            let (name, share) = part.split_once('=').ok_or_else(wrong)?;
            let service_type: ServiceType = name.trim().parse()?;
            let share = share.trim().trim_end_matches('%').trim_end();
            let share = share
                .parse::<u32>()
                .ok()
                .filter(|share| (1..=100).contains(share));
            Ok((service_type, share.ok_or_else(wrong)?))
        };
        let shares: Result<Vec<_>, _> = text.split(',').map(share).collect();
        Self::new(shares?)
    }
}

impl From<Mix> for String {
    fn from(mix: Mix) -> Self {
        mix.to_string()
    }
}

impl TryFrom<String> for Mix {
    type Error = MixError;

    fn try_from(text: String) -> Result<Self, MixError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mix(text: &str) -> Mix {
        text.parse().unwrap()
    }

    #[test]
    fn a_mix_reads_as_it_is_written_whatever_the_order() {
        for text in [
            "affinity",
            "cluster-ip=60,node-port=40",
            "population:90c4ab8331cfc9ea",
        ] {
            assert_eq!(mix(text).to_string(), text);
            let json = serde_json::to_string(&mix(text)).unwrap();
            assert_eq!(json, format!("\"{text}\""));
            assert_eq!(serde_json::from_str::<Mix>(&json).unwrap(), mix(text));
        }
        assert_eq!(
            mix("node-port=40%, cluster-ip = 60"),
            mix("cluster-ip=60,node-port=40")
        );
        assert_eq!(mix("cluster-ip=100"), Mix::default());
    }

    #[test]
    fn what_is_wrong_with_a_mix_is_told_in_a_line() {
        let wrong = |text: &str| text.parse::<Mix>().unwrap_err().to_string();
        for (text, why) in [
            ("headless", "no service type 'headless'"),
            ("cluster-ip=60,node-prot=40", "did you mean 'node-port'"),
            ("cluster-ip=60,node-port", "'node-port' is no TYPE=SHARE"),
            (
                "cluster-ip=60,node-port=0",
                "'node-port=0' is no TYPE=SHARE",
            ),
            ("cluster-ip=60,node-port=30", "come to 90 per cent"),
            ("node-port=50,node-port=50", "node-port has two shares"),
        ] {
            let said = wrong(text);
            assert!(said.contains(why) && !said.contains('\n'), "{text}: {said}");
        }
    }

    #[test]
    fn types_are_spread_evenly_and_as_many_as_their_shares() {
        use ServiceType::{ClusterIp, LoadBalancer, NodePort};
        let three = [ClusterIp, NodePort, ClusterIp, NodePort, ClusterIp];
        assert_eq!(mix("cluster-ip=60,node-port=40").cycle(), three);
        assert_eq!(mix("node-port").cycle(), [NodePort]);
        let many = mix("cluster-ip=89,node-port=7,load-balancer=4");
        let of = |wanted| many.cycle().iter().filter(|t| **t == wanted).count();
        assert_eq!([ClusterIp, NodePort, LoadBalancer].map(of), [89, 7, 4]);
    }

    #[test]
    fn the_largest_share_is_of_the_first_service_and_of_equal_ones_of_the_first_type() {
        use ServiceType::{Affinity, ClusterIp, NodePort};
        for (text, largest) in [
            ("affinity", Affinity),
            ("cluster-ip=40,node-port=60", NodePort),
            ("node-port=50,cluster-ip=50", ClusterIp),
            ("cluster-ip=33,node-port=34,affinity=33", NodePort),
        ] {
            let mix = mix(text);
            assert_eq!(
                (mix.largest(), mix.cycle()[0]),
                (largest, largest),
                "{text}"
            );
        }
    }

    #[test]
    fn every_type_is_reached_by_its_cluster_ip() {
        for service_type in ServiceType::ALL {
            assert_eq!(service_type.addresses()[0], ReachedBy::ClusterIp);
        }
        assert!(ServiceType::ExternalLocal.has_node_port());
        assert!(!ServiceType::ExternalIp.has_node_port());
    }

    #[test]
    fn services_are_asked_by_their_cluster_ips_and_by_the_addresses_that_make_their_types() {
        use ReachedBy::{ClusterIp, ExternalIp, LoadBalancer, NodePort};
        for (text, asked) in [
            ("affinity", vec![ClusterIp]),
            ("node-port", vec![ClusterIp, NodePort]),
            ("external-local", vec![ClusterIp, LoadBalancer]),
            // Pods are in no source range.
            ("source-ranges", vec![ClusterIp]),
            ("no-endpoints", vec![]),
            (
                "node-port=20,external-ip=80",
                vec![ClusterIp, NodePort, ExternalIp],
            ),
        ] {
            assert!(mix(text).asked_by().into_iter().eq(asked), "{text}");
        }
    }

    #[test]
    fn how_services_are_reached_is_said_where_it_does_not_go_without_saying() {
        let of = |text: &str, by, from| {
            let mix = mix(text);
            let reach = Reach { mix, by, from };
            [reach.words(), reach.to_string()]
        };
        let (by, from) = (ReachedBy::default(), PacketPath::default());
        assert_eq!(of("affinity", by, from), ["affinity services", "affinity"]);
        assert_eq!(
            of("node-port", by, from),
            [
                "node-port services, reached by cluster-ip",
                "node-port by cluster-ip"
            ]
        );
        assert_eq!(
            of("cluster-ip", by, PacketPath::Node),
            [
                "cluster-ip services, from the node itself",
                "cluster-ip, from the node itself"
            ]
        );
    }
}
