//! A population in numbers.

use std::collections::HashSet;

use serde::Serialize;

use crate::api::Objects;
use crate::cluster::{Cluster, Format, Origin};
use crate::ipset::Fill;
use crate::service::{Family, Protocol, Service, ServiceType};

/// Services by a property.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Types {
    /// Type ClusterIP.
    pub cluster_ip: u64,
    /// Type NodePort.
    pub node_port: u64,
    /// Type LoadBalancer.
    pub load_balancer: u64,
}

/// Services by family and protocol.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Kinds {
    /// IPv4.
    pub ipv4: u64,
    /// IPv6.
    pub ipv6: u64,
    /// TCP.
    pub tcp: u64,
    /// UDP.
    pub udp: u64,
    /// SCTP.
    pub sctp: u64,
}

/// Endpoints a service: of those services whose endpoints are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Endpoints {
    /// The fewest.
    pub min: u64,
    /// The median, by the nearest rank.
    pub median: u64,
    /// The 95th percentile, by the nearest rank.
    pub p95: u64,
    /// The most.
    pub max: u64,
}

/// A population in numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Services, VIP:port pairs, that were understood.
    pub understood: u64,
    /// Those of them that are of use to whoever asks.
    pub usable: u64,
    /// Things that were left out: [`crate::NoteKind::LeftOut`].
    pub left_out: u64,
    /// Parts of files that were not understood.
    pub not_understood: u64,
    /// The node's mode.
    pub mode: Option<Origin>,
    /// What was read.
    pub formats: Vec<Format>,
    /// Kubernetes objects.
    pub objects: Objects,
    /// Distinct VIPs.
    pub vips: u64,
    /// Services by type.
    pub types: Types,
    /// Services by family, and by protocol.
    pub kinds: Kinds,
    /// Addresses of load balancers and external ones, each with a port.
    pub external_pairs: u64,
    /// Services that have a node port.
    pub with_node_port: u64,
    /// Virtual servers that are node ports.
    pub node_port_vips: u64,
    /// Services with source ranges.
    pub with_source_ranges: u64,
    /// Services with `externalTrafficPolicy: Local`.
    pub external_local: u64,
    /// Services with `internalTrafficPolicy: Local`.
    pub internal_local: u64,
    /// Services with session affinity.
    pub with_affinity: u64,
    /// Services that are known to have no endpoints.
    pub without_endpoints: u64,
    /// Services of whose endpoints nothing is known.
    pub endpoints_unknown: u64,
    /// Endpoints of all services.
    pub endpoints: u64,
    /// Those of them whose address is not known.
    pub addresses_unknown: u64,
    /// Those of them that are in none of the pods' ranges; `None` where no range is known.
    pub outside_pod_ranges: Option<u64>,
    /// Endpoints a service; `None` where no service's are known.
    pub endpoints_a_service: Option<Endpoints>,
    /// Chains to which nothing leads.
    pub stale_chains: u64,
    /// Sets, and how full they are.
    pub sets: Vec<Fill>,
}

/// A population in numbers; `usable` says which services whoever asks can use.
#[must_use]
pub fn summary(cluster: &Cluster, usable: impl Fn(&Service) -> bool) -> Summary {
    let services = &cluster.services;
    let count = |has: &dyn Fn(&Service) -> bool| {
        services.iter().filter(|service| has(service)).count() as u64
    };
    let of_type = |wanted| count(&|service| service.service_type == wanted);
    let of_family = |wanted| count(&|service| service.vip.family() == wanted);
    let of_protocol = |wanted| count(&|service| service.protocol == wanted);
    let vips: HashSet<_> = services.iter().map(|service| service.vip).collect();
    let outside = |service: &Service| service.external_ips.len() + service.load_balancer_ips.len();
    let known = services
        .iter()
        .filter_map(|service| service.endpoints.as_deref());
    let all = || known.clone().flatten();
    let mut many: Vec<u64> = known
        .clone()
        .map(|endpoints| endpoints.len() as u64)
        .collect();
    many.sort_unstable();
    let ranges = &cluster.pod_ranges;
    let foreign = || {
        let addresses = all().filter_map(|endpoint| endpoint.addr);
        let foreign = addresses.filter(|addr| {
            let own = ranges
                .iter()
                .filter(|net| Family::of(net.network) == Family::of(*addr));
            let mut own = own.peekable();
            own.peek().is_some() && !own.any(|net| net.contains(*addr))
        });
        foreign.count() as u64
    };
    Summary {
        understood: services.len() as u64,
        usable: count(&usable),
        left_out: cluster.notes.left_out,
        not_understood: cluster.notes.not_understood,
        mode: cluster.mode,
        formats: cluster.formats.clone(),
        objects: cluster.objects,
        vips: vips.len() as u64,
        types: Types {
            cluster_ip: of_type(ServiceType::ClusterIp),
            node_port: of_type(ServiceType::NodePort),
            load_balancer: of_type(ServiceType::LoadBalancer),
        },
        kinds: Kinds {
            ipv4: of_family(Family::Ipv4),
            ipv6: of_family(Family::Ipv6),
            tcp: of_protocol(Protocol::Tcp),
            udp: of_protocol(Protocol::Udp),
            sctp: of_protocol(Protocol::Sctp),
        },
        external_pairs: services.iter().map(outside).sum::<usize>() as u64,
        with_node_port: count(&|service| service.node_port.is_some()),
        node_port_vips: cluster.node_port_vips,
        with_source_ranges: count(&|service| !service.source_ranges.is_empty()),
        external_local: count(&|service| service.external_local),
        internal_local: count(&|service| service.internal_local),
        with_affinity: count(&|service| service.affinity_seconds.is_some()),
        without_endpoints: many.iter().filter(|many| **many == 0).count() as u64,
        endpoints_unknown: services.len() as u64 - many.len() as u64,
        endpoints: many.iter().sum(),
        addresses_unknown: all().filter(|endpoint| endpoint.addr.is_none()).count() as u64,
        outside_pod_ranges: (!ranges.is_empty()).then(foreign),
        endpoints_a_service: quantiles(&many),
        stale_chains: cluster.stale_chains,
        sets: cluster.sets.clone(),
    }
}

/// Of numbers in order.
fn quantiles(sorted: &[u64]) -> Option<Endpoints> {
    // The nearest rank: the smallest that no fewer than so many percent are at most.
    let rank = |percent: usize| {
        sorted
            .get((sorted.len() * percent).div_ceil(100).max(1) - 1)
            .copied()
    };
    Some(Endpoints {
        min: *sorted.first()?,
        median: rank(50)?,
        p95: rank(95)?,
        max: *sorted.last()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        assert_eq!(quantiles(&[]), None);
        let of = |many: &[u64]| {
            let is = quantiles(many).unwrap();
            [is.min, is.median, is.p95, is.max]
        };
        assert_eq!(of(&[7]), [7, 7, 7, 7]);
        assert_eq!(of(&[1, 2, 3, 4]), [1, 2, 4, 4]);
        let hundred: Vec<u64> = (1..=100).collect();
        assert_eq!(of(&hundred), [1, 50, 95, 100]);
    }
}
