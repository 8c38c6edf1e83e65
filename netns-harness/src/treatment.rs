//! What becomes of new flows to a service, by where they come from and by which of its addresses: what a population means
//! where its services have more than ClusterIPs. Derived from the fields of a service as kube-proxy's proxiers derive
//! their rules from them (1.37.2, pkg/proxy/{iptables,ipvs,nftables}/proxier.go, lines 820–1215, 780–1060 and 1310–1700),
//! and from no rule.
//!
//! The proxiers do not do the same. Where they differ:
//! - *IPVS has one list of destinations for all sources.* Policy Local is that of a virtual server, so pods and the node
//!   reach local endpoints alone; where there are none, all endpoints serve everybody (`syncEndpoint`).
//! - *IPVS itself refuses* what is for a virtual server without destinations (`ip_vs_leave` of
//!   net/netfilter/ipvs/ip_vs_core.c: port unreachable); no rule of kube-proxy's does.
//! - *iptables does not look at what the node sends to external addresses without endpoints*: KUBE-EXTERNAL-SERVICES is
//!   walked from INPUT and FORWARD alone. nftables looks from its output chain too.
//! - *nftables of 1.32* looks at what the node sends before it translates it, so that policy Local drops the node's own flows
//!   to external addresses as it does those from outside (chain filter-output had priority -110).
//! - *Source ranges* are checked in nftables and ipvs whether a service has endpoints or not, in iptables only where it has
//!   (`usesFWChain`).

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use schema::{KubeProxyVersion, Mode, Proxier, ReachedBy};

use crate::relation::even;
use crate::service::{Endpoint, Frontend, Plan, Population, Service};

/// Where a flow comes from, as rules tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// A client inside the cluster.
    Pod,
    /// The node itself.
    Node,
    /// A client outside of the cluster and of every source range.
    Outside,
    /// A client outside of the cluster that is in the source ranges of load balancers.
    OutsideInRange,
}

impl Source {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Pod, Self::Node, Self::Outside, Self::OutsideInRange];

    /// Its address, or one of its addresses, in a plan.
    #[must_use]
    pub const fn address(self, plan: &Plan) -> IpAddr {
        match self {
            Self::Pod => plan.client(),
            Self::Node => plan.node(),
            Self::Outside => plan.stranger(),
            Self::OutsideInRange => plan.admitted(),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pod => "a pod",
            Self::Node => "the node",
            Self::Outside => "a client outside",
            Self::OutsideInRange => "a client outside in the source ranges",
        })
    }
}

/// What becomes of new flows.
#[derive(Debug, Clone, PartialEq)]
pub enum Treatment {
    /// They go to endpoints.
    Served {
        /// Shares of them.
        shares: BTreeMap<Endpoint, f64>,
        /// Whether their source address is replaced.
        masqueraded: bool,
    },
    /// Their source is told that nobody is there.
    Refused,
    /// They vanish.
    Dropped,
    /// They go on as they are.
    Untouched,
}

impl Treatment {
    fn served(endpoints: &[Endpoint], masqueraded: bool) -> Self {
        Self::Served {
            shares: even(endpoints),
            masqueraded,
        }
    }
}

/// What is to become of a flow: "served by one of 2 endpoints, masqueraded".
impl fmt::Display for Treatment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Served {
                shares,
                masqueraded,
            } => {
                let how = if *masqueraded {
                    "masqueraded"
                } else {
                    "as it is"
                };
                match shares.len() {
                    1 => write!(f, "served by its one endpoint, {how}"),
                    n => write!(f, "served by one of {n} endpoints, {how}"),
                }
            }
            Self::Refused => f.write_str("refused"),
            Self::Dropped => f.write_str("dropped"),
            Self::Untouched => f.write_str("left as it is"),
        }
    }
}

/// What becomes of new flows of every source to every address of a service, as the newest kube-proxy treats them; nothing of
/// a floor, which has no services.
#[must_use]
pub fn wanted(service: &Service, mode: Mode) -> BTreeMap<(Source, Frontend), Treatment> {
    wanted_by(KubeProxyVersion::default(), service, mode)
}

/// The same as a version of kube-proxy treats them.
#[must_use]
pub fn wanted_by(
    version: KubeProxyVersion,
    service: &Service,
    mode: Mode,
) -> BTreeMap<(Source, Frontend), Treatment> {
    let mut wanted = BTreeMap::new();
    for (by, to) in service.frontends() {
        for source in Source::ALL {
            if let Some(treatment) = treatment(version, service, mode, source, by) {
                wanted.insert((source, to), treatment);
            }
        }
    }
    wanted
}

/// What becomes of new flows of a source to one of the addresses that a service has, as a version of kube-proxy treats them;
/// `None` of a floor.
#[must_use]
pub fn treatment(
    version: KubeProxyVersion,
    service: &Service,
    mode: Mode,
    source: Source,
    by: ReachedBy,
) -> Option<Treatment> {
    let looks_first = version == KubeProxyVersion::V1_32;
    Some(match mode.row().proxier? {
        Proxier::Ipvs => by_virtual_server(service, source, by),
        Proxier::Nftables if looks_first && is_unserved_here(service, source, by) => {
            Treatment::Dropped
        }
        proxier @ (Proxier::Iptables | Proxier::Nftables) => by_rules(proxier, service, source, by),
    })
}

/// Who answers a pod that asks a service by its ClusterIP; on a floor whoever is asked.
#[must_use]
pub fn answering(service: &Service, mode: Mode) -> &[Endpoint] {
    match mode.row().proxier {
        None => &service.endpoints,
        Some(Proxier::Ipvs) => destinations(service, service.exposure.internal_local),
        Some(Proxier::Iptables | Proxier::Nftables) => within(service),
    }
}

/// Addresses of services that lead somewhere, in the order of lists that rules make of a population: its own, node ports behind
/// all others, for these have a list of their own.
#[must_use]
pub fn walked(population: &Population, mode: Mode) -> Vec<Frontend> {
    let (mut addresses, mut ports) = (Vec::new(), Vec::new());
    for service in &population.services {
        for (by, to) in service.frontends() {
            match by {
                // One that leads nowhere, for want of endpoints or by its policy, is in no list.
                ReachedBy::ClusterIp if answering(service, mode).is_empty() => {}
                ReachedBy::ClusterIp => addresses.push(to),
                _ if service.endpoints.is_empty() => {}
                ReachedBy::NodePort => ports.push(to),
                ReachedBy::LoadBalancer | ReachedBy::ExternalIp => addresses.push(to),
            }
        }
    }
    addresses.append(&mut ports);
    addresses
}

/// Whether source ranges let a source through. The node's own address counts, whatever it sends from (`allowFromNode`).
fn admits(service: &Service, source: Source) -> bool {
    let ranges = &service.exposure.source_ranges;
    let address = source.address(Plan::of(service.family()));
    ranges.is_empty() || ranges.iter().any(|range| range.contains(address))
}

/// Endpoints of a ClusterIP, where rules choose them.
fn within(service: &Service) -> &[Endpoint] {
    match service.exposure.internal_local {
        true => &service.local,
        false => &service.endpoints,
    }
}

/// Destinations of a virtual server that is to have local ones alone, or all.
fn destinations(service: &Service, local_alone: bool) -> &[Endpoint] {
    // `UsesClusterEndpoints` of pkg/proxy/serviceport.go.
    let uses_all = !service.exposure.internal_local || service.exposure.is_external();
    match () {
        () if local_alone && !service.local.is_empty() => &service.local,
        () if uses_all => &service.endpoints,
        () => &[],
    }
}

/// Whether the node itself sends to an external address for which it has no endpoint of its own, as policy Local asks.
fn is_unserved_here(service: &Service, source: Source, by: ReachedBy) -> bool {
    let external = matches!(by, ReachedBy::LoadBalancer | ReachedBy::ExternalIp);
    let without = service.exposure.external_local && service.local.is_empty();
    source == Source::Node && external && without && !service.endpoints.is_empty()
}

fn by_rules(proxier: Proxier, service: &Service, source: Source, by: ReachedBy) -> Treatment {
    let (all, local, exposure) = (&service.endpoints, &service.local, &service.exposure);
    let screened = proxier == Proxier::Nftables || !all.is_empty();
    if by == ReachedBy::LoadBalancer && screened && !admits(service, source) {
        return Treatment::Dropped;
    }
    if by == ReachedBy::ClusterIp {
        let endpoints = within(service);
        return match (all.is_empty(), endpoints.is_empty()) {
            (true, _) => Treatment::Refused,
            (false, true) => Treatment::Dropped,
            (false, false) => Treatment::served(endpoints, source != Source::Pod),
        };
    }
    if all.is_empty() {
        // What the node sends to its own node port comes in again.
        let sent = source == Source::Node && by != ReachedBy::NodePort;
        return match proxier == Proxier::Iptables && sent {
            true => Treatment::Untouched,
            false => Treatment::Refused,
        };
    }
    match source {
        _ if !exposure.external_local => Treatment::served(all, true),
        // As if they had gone out to the load balancer and come in elsewhere.
        Source::Pod => Treatment::served(all, false),
        Source::Node => Treatment::served(all, true),
        Source::Outside | Source::OutsideInRange => match local.is_empty() {
            true => Treatment::Dropped,
            false => Treatment::served(local, false),
        },
    }
}

fn by_virtual_server(service: &Service, source: Source, by: ReachedBy) -> Treatment {
    let (exposure, internal) = (&service.exposure, by == ReachedBy::ClusterIp);
    let local_alone = match internal {
        true => exposure.internal_local,
        false => exposure.external_local,
    };
    let destinations = destinations(service, local_alone);
    // Of the node's own packets KUBE-IPVS-OUT-FILTER drops those from the load balancer's address, which a socket has that is
    // bound to none; these are from the node's.
    let screened = by == ReachedBy::LoadBalancer && source != Source::Node;
    if screened && !admits(service, source) {
        return Treatment::Dropped;
    }
    if destinations.is_empty() {
        return Treatment::Refused;
    }
    let masqueraded = match internal {
        true => source != Source::Pod,
        false => !exposure.external_local,
    };
    Treatment::served(destinations, masqueraded)
}

#[cfg(test)]
mod tests {
    use super::Source::{Node, Outside, OutsideInRange, Pod};
    use super::*;

    const MODES: [Mode; 3] = [Mode::IptablesLegacy, Mode::Nftables, Mode::Ipvs];

    /// "served", "masqueraded", "refused", "dropped" or "untouched" of flows to one of kube-proxy's own services.
    fn seen(mode: Mode, service: usize, by: ReachedBy, source: Source) -> &'static str {
        let (service, _) = &Service::six()[service - 1];
        of(mode, service, by, source)
    }

    fn of(mode: Mode, service: &Service, by: ReachedBy, source: Source) -> &'static str {
        let mut frontends = service.frontends();
        let (_, to) = frontends.find(|(kind, _)| *kind == by).unwrap();
        match &wanted(service, mode)[&(source, to)] {
            Treatment::Served {
                masqueraded: true, ..
            } => "masqueraded",
            Treatment::Served { .. } => "served",
            Treatment::Refused => "refused",
            Treatment::Dropped => "dropped",
            Treatment::Untouched => "untouched",
        }
    }

    /// Of one address, by source: a pod, the node, a client outside, one in the source ranges.
    fn all(mode: Mode, service: usize, by: ReachedBy) -> [&'static str; 4] {
        Source::ALL.map(|source| seen(mode, service, by, source))
    }

    #[test]
    fn a_cluster_ip_is_served_to_all_and_keeps_the_source_of_pods_alone() {
        for mode in MODES {
            for service in 1..=5 {
                let wanted = ["served", "masqueraded", "masqueraded", "masqueraded"];
                assert_eq!(all(mode, service, ReachedBy::ClusterIp), wanted, "{mode}");
            }
            assert_eq!(all(mode, 6, ReachedBy::ClusterIp), ["refused"; 4], "{mode}");
        }
    }

    #[test]
    fn every_flow_to_a_node_port_or_an_external_ip_of_policy_cluster_is_masqueraded() {
        for mode in MODES {
            let of = |service, by| all(mode, service, by);
            assert_eq!(of(3, ReachedBy::NodePort), ["masqueraded"; 4], "{mode}");
            assert_eq!(of(4, ReachedBy::ExternalIp), ["masqueraded"; 4], "{mode}");
        }
    }

    #[test]
    fn without_local_endpoints_policy_local_drops_what_comes_from_outside_and_ipvs_does_not() {
        for by in [
            ReachedBy::NodePort,
            ReachedBy::LoadBalancer,
            ReachedBy::ExternalIp,
        ] {
            for mode in [Mode::IptablesNft, Mode::Nftables] {
                let wanted = ["served", "masqueraded", "dropped", "dropped"];
                assert_eq!(all(mode, 2, by), wanted, "{mode} {by}");
            }
            assert_eq!(all(Mode::Ipvs, 2, by), ["served"; 4], "{by}");
        }
    }

    #[test]
    fn nftables_of_1_32_drops_what_the_node_sends_there_as_well() {
        let [_, (service, _), ..] = Service::six();
        let by = |version| {
            let wanted = wanted_by(version, &service, Mode::Nftables);
            let of_node = wanted
                .into_iter()
                .filter(|((source, _), _)| *source == Node);
            let dropped = of_node.filter(|(_, treatment)| *treatment == Treatment::Dropped);
            dropped.map(|((_, to), _)| to.vip).collect::<Vec<IpAddr>>()
        };
        let external = [
            service.exposure.load_balancer[0],
            service.exposure.external[0],
        ];
        assert_eq!(by(KubeProxyVersion::V1_32), external);
        assert!(by(KubeProxyVersion::V1_33).is_empty());
    }

    #[test]
    fn source_ranges_are_of_the_load_balancer_s_address_and_of_no_node_port() {
        for mode in MODES {
            let node = match mode {
                Mode::Ipvs => "masqueraded",
                _ => "dropped",
            };
            let wanted = ["dropped", node, "dropped", "masqueraded"];
            assert_eq!(all(mode, 5, ReachedBy::LoadBalancer), wanted, "{mode}");
            assert_eq!(
                all(mode, 5, ReachedBy::NodePort),
                ["masqueraded"; 4],
                "{mode}"
            );
        }
    }

    #[test]
    fn with_local_endpoints_those_outside_reach_these_alone_and_pods_all_but_in_ipvs() {
        let [_, (mut service, _), ..] = Service::six();
        service.endpoints.push(Endpoint {
            address: [10, 180, 0, 9].into(),
            port: 80,
        });
        service.local = vec![service.endpoints[1]];
        let mut frontends = service.frontends();
        let balanced = frontends.find(|(by, _)| *by == ReachedBy::LoadBalancer);
        let (_, to) = balanced.unwrap();
        for mode in MODES {
            let wanted = wanted(&service, mode);
            let outside = Treatment::served(&service.local, false);
            assert_eq!(wanted[&(Outside, to)], outside, "{mode}");
            assert_eq!(wanted[&(OutsideInRange, to)], outside, "{mode}");
            let (pod, node) = match mode {
                Mode::Ipvs => (outside.clone(), outside),
                _ => (
                    Treatment::served(&service.endpoints, false),
                    Treatment::served(&service.endpoints, true),
                ),
            };
            assert_eq!(wanted[&(Pod, to)], pod, "{mode}");
            assert_eq!(wanted[&(Node, to)], node, "{mode}");
        }
    }

    #[test]
    fn an_internal_policy_local_drops_where_no_endpoint_is_local_and_ipvs_refuses() {
        let [(mut service, _), ..] = Service::six();
        service.exposure.internal_local = true;
        let none =
            |mode| Source::ALL.map(|source| of(mode, &service, ReachedBy::ClusterIp, source));
        assert_eq!(none(Mode::IptablesLegacy), ["dropped"; 4]);
        assert_eq!(none(Mode::Nftables), ["dropped"; 4]);
        assert_eq!(none(Mode::Ipvs), ["refused"; 4]);
        let mut local = service.clone();
        local.local = local.endpoints.clone();
        for mode in MODES {
            assert_eq!(
                of(mode, &local, ReachedBy::ClusterIp, Pod),
                "served",
                "{mode}"
            );
        }
        // One that is reached from outside, too, has destinations of its ClusterIP in IPVS.
        let mut reached = service.clone();
        reached.exposure.node_port = Some(3000);
        assert_eq!(
            of(Mode::Ipvs, &reached, ReachedBy::ClusterIp, Pod),
            "served"
        );
        assert_eq!(
            of(Mode::Nftables, &reached, ReachedBy::ClusterIp, Pod),
            "dropped"
        );
    }

    #[test]
    fn without_endpoints_all_is_refused_but_for_what_a_proxier_does_not_look_at() {
        let [.., (mut service, _), _] = Service::six();
        service.endpoints.clear();
        let by_source = |mode, by| Source::ALL.map(|source| of(mode, &service, by, source));
        for mode in MODES {
            assert_eq!(
                by_source(mode, ReachedBy::NodePort),
                ["refused"; 4],
                "{mode}"
            );
        }
        for (mode, wanted) in [
            (
                Mode::IptablesNft,
                ["refused", "untouched", "refused", "refused"],
            ),
            (Mode::Nftables, ["dropped", "dropped", "dropped", "refused"]),
            (Mode::Ipvs, ["dropped", "refused", "dropped", "refused"]),
        ] {
            assert_eq!(by_source(mode, ReachedBy::LoadBalancer), wanted, "{mode}");
        }
    }

    #[test]
    fn who_answers_a_pod_are_those_that_it_is_served_by() {
        let services = Service::six().into_iter().flat_map(|(service, _)| {
            let mut within = service.clone();
            within.exposure.internal_local = true;
            [service, within]
        });
        for service in services {
            for mode in MODES {
                let shares = match &wanted(&service, mode)[&(Pod, service.frontend)] {
                    Treatment::Served { shares, .. } => shares.clone(),
                    _ => BTreeMap::new(),
                };
                let answering = answering(&service, mode);
                assert!(shares.keys().eq(answering.iter()), "{mode}: {answering:?}");
            }
        }
    }

    #[test]
    fn a_floor_has_no_services() {
        let [(service, _), ..] = Service::six();
        assert!(wanted(&service, Mode::None).is_empty());
        assert!(wanted(&service, Mode::Conntrack).is_empty());
    }
}
