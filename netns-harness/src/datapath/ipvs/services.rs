//! What a service has in IPVS, in sets and on the device, whatever its type: the loop over services of `syncProxyRules`
//! (pkg/proxy/ipvs/proxier.go of kubernetes 1.37.2).
//!
//! Two things are unlike the other modes, in kube-proxy too: a service without endpoints is a virtual server without
//! destinations, and nothing refuses its packets; and policy Local falls back to the endpoints of all nodes where this node
//! has none (`syncEndpoint`).

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipset_sys::Entry;
use ipvs_codec::ServiceId;

use super::layout::{self, BOUND_IPS, CLUSTER_IPS, Rules};
use crate::datapath::reach::Reach;
use crate::service::{Endpoint, Frontend, Plan, Population, Service};

/// A virtual server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) frontend: Frontend,
    /// For how long a client stays with its destination, seconds.
    pub(super) persistence_s: Option<u32>,
    /// Each once, in their order.
    pub(super) endpoints: Vec<Endpoint>,
    /// Whether its address is one of the device's: one of the node is not.
    pub(super) bound: bool,
}

impl Server {
    /// As IPVS is told of it.
    pub(super) fn service(&self) -> ipvs_codec::Service {
        ipvs_codec::Service {
            persistence_s: self.persistence_s,
            ..layout::service(self.frontend)
        }
    }
}

/// Addresses of the node at which its node ports are served: all but those of the device and of loopback.
fn of_node(service: &Service) -> [IpAddr; 2] {
    let plan = Plan::of(service.family());
    [plan.client_link.host(1), plan.node()]
}

/// Where its virtual servers are, each with whether policy Local is theirs: its ClusterIP, its external addresses, those
/// of its load balancer, and its node port at each address of the node. Nothing is allocated: kube-proxy's questions are
/// timed.
fn frontends(service: &Service) -> impl Iterator<Item = (Frontend, bool)> {
    let (exposure, frontend) = (&service.exposure, service.frontend);
    let external = exposure.external_local;
    let addresses = exposure.external.iter().chain(&exposure.load_balancer);
    let addresses = addresses.map(move |vip| {
        (
            Frontend {
                vip: *vip,
                ..frontend
            },
            external,
        )
    });
    let port = exposure.node_port;
    let own = port.map(|_| of_node(service)).into_iter().flatten();
    let own = own.zip(port.into_iter().cycle());
    let own = own.map(move |(vip, port)| {
        let at = Frontend {
            vip,
            port,
            ..frontend
        };
        (at, external)
    });
    let first = std::iter::once((frontend, exposure.internal_local));
    first.chain(addresses).chain(own)
}

/// The virtual servers of a population, in its order.
pub(super) fn ids(population: &Population) -> Vec<ServiceId> {
    let frontends = population.services.iter().flat_map(frontends);
    frontends
        .map(|(frontend, _)| layout::id(frontend))
        .collect()
}

/// Its virtual servers.
pub(super) fn servers(service: &Service) -> Vec<Server> {
    let own = of_node(service);
    let server = |(frontend, local): (Frontend, bool)| Server {
        frontend,
        persistence_s: service.exposure.affinity_s,
        endpoints: endpoints(service, local),
        bound: !own.contains(&frontend.vip),
    };
    frontends(service).map(server).collect()
}

/// The destinations of a server; `local`: those of this node where it has any.
fn endpoints(service: &Service, local: bool) -> Vec<Endpoint> {
    let reach = Reach(service);
    let chosen = match reach.local() {
        here @ [_, ..] if local => here,
        _ => reach.cluster(),
    };
    let mut seen = BTreeSet::new();
    let mut endpoints = chosen.to_vec();
    endpoints.retain(|endpoint| seen.insert(*endpoint));
    endpoints
}

/// Its entries, each with the set that it is in, by the name that this has for IPv4.
pub(super) fn entries(service: &Service) -> Vec<(&'static str, Entry)> {
    let (exposure, frontend) = (&service.exposure, service.frontend);
    let at = |vip: IpAddr| layout::cluster_entry(Frontend { vip, ..frontend });
    let local = exposure.external_local;
    let mut entries = Vec::new();
    for endpoint in &service.local {
        let itself = layout::cluster_entry(endpoint.as_frontend(frontend.protocol));
        let second = Some(endpoint.address);
        entries.push(("KUBE-LOOP-BACK", Entry { second, ..itself }));
    }
    entries.push((CLUSTER_IPS, at(frontend.vip)));
    let externals = match local {
        true => "KUBE-EXTERNAL-IP-LOCAL",
        false => "KUBE-EXTERNAL-IP",
    };
    entries.extend(exposure.external.iter().map(|vip| (externals, at(*vip))));
    for vip in &exposure.load_balancer {
        let entry = at(*vip);
        entries.push(("KUBE-LOAD-BALANCER", entry));
        if local {
            entries.push(("KUBE-LOAD-BALANCER-LOCAL", entry));
        }
        if exposure.source_ranges.is_empty() {
            continue;
        }
        entries.push(("KUBE-LOAD-BALANCER-FW", entry));
        entries.extend(exposure.source_ranges.iter().map(|range| {
            let from = Entry {
                second: Some(range.network),
                prefix: Some(range.prefix),
                ..entry
            };
            ("KUBE-LOAD-BALANCER-SOURCE-CIDR", from)
        }));
        if Reach(service).ranges_have_the_node() {
            let second = Some(*vip);
            entries.push(("KUBE-LOAD-BALANCER-SOURCE-IP", Entry { second, ..entry }));
        }
    }
    if let Some(port) = exposure.node_port {
        let [all, locals] = match frontend.protocol {
            schema::Protocol::Tcp => ["KUBE-NODE-PORT-TCP", "KUBE-NODE-PORT-LOCAL-TCP"],
            schema::Protocol::Udp => ["KUBE-NODE-PORT-UDP", "KUBE-NODE-PORT-LOCAL-UDP"],
        };
        let sets = std::iter::once(all).chain(local.then_some(locals));
        entries.extend(sets.map(|set| (set, layout::port_entry(port))));
    }
    if let Some(port) = exposure.health_check_port {
        entries.push(("KUBE-HEALTH-CHECK-NODE-PORT", layout::port_entry(port)));
    }
    entries
}

/// Everything that a population has, each once, in the order of its services.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub(super) servers: Vec<Server>,
    /// Of the device.
    pub(super) addresses: Vec<IpAddr>,
    /// In the order of kube-proxy's sets.
    pub(super) entries: Vec<(&'static str, Entry)>,
    /// Load balancers' addresses that the node itself may not use.
    pub(super) closed: Vec<Frontend>,
}

impl Wanted {
    pub(super) fn by(population: &Population) -> Self {
        let services = &population.services;
        let servers: Vec<Server> = services.iter().flat_map(servers).collect();
        let bound = servers.iter().filter(|server| server.bound);
        let addresses = once(bound.map(|server| server.frontend.vip));
        let own = services.iter().flat_map(entries);
        let device = addresses
            .iter()
            .map(|vip| (BOUND_IPS, layout::bound_entry(*vip)));
        let mut entries = once(own.chain(device));
        entries.sort_by_key(|(set, _)| layout::SETS.iter().position(|(name, _)| name == set));
        let closed = services.iter().filter(|service| {
            let reach = Reach(service);
            reach.ranged() && !reach.ranges_have_the_node()
        });
        let closed = closed.flat_map(|service| {
            let vips = service.exposure.load_balancer.iter();
            vips.map(|vip| Frontend {
                vip: *vip,
                ..service.frontend
            })
        });
        Self {
            closed: closed.collect(),
            servers,
            addresses,
            entries,
        }
    }

    /// What its rules depend on.
    pub(super) fn rules(&self) -> Rules<'_> {
        Rules {
            filled: self.entries.iter().map(|(set, _)| *set).collect(),
            closed: &self.closed,
        }
    }
}

/// The set that would have the most entries, by the name that it has for IPv4, and how many.
pub(super) fn fullest(population: &Population) -> Option<(&'static str, usize)> {
    let wanted = Wanted::by(population);
    let sets = wanted.entries.chunk_by(|(a, _), (b, _)| a == b);
    let counts = sets.map(|entries| (entries[0].0, entries.len()));
    counts.max_by_key(|(_, entries)| *entries)
}

fn once<T: Ord + Copy>(all: impl Iterator<Item = T>) -> Vec<T> {
    let mut seen = BTreeSet::new();
    all.filter(|one| seen.insert(*one)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::Cidr;
    use schema::Family;

    fn service() -> Service {
        Service::of_test(0, 0x0a60_0001, 0x0a80_0000, 2)
    }

    fn texts(service: &Service) -> Vec<String> {
        let entries = entries(service).into_iter();
        entries
            .map(|(set, entry)| format!("{set} {entry}"))
            .collect()
    }

    #[test]
    fn a_node_port_is_a_server_at_each_address_of_the_node_and_none_of_the_device_s() {
        let mut service = service();
        service.exposure.node_port = Some(30_001);
        let servers = servers(&service);
        let shown: Vec<String> = servers.iter().map(|s| s.frontend.to_string()).collect();
        let node = ["192.168.99.1:30001/tcp", "192.168.100.1:30001/tcp"];
        assert_eq!(shown, ["10.96.0.1:80/tcp", node[0], node[1]]);
        let bound: Vec<bool> = servers.iter().map(|server| server.bound).collect();
        assert_eq!(bound, [true, false, false]);
        let wanted = [
            "KUBE-CLUSTER-IP 10.96.0.1,tcp:80",
            "KUBE-NODE-PORT-TCP 30001",
        ];
        assert_eq!(texts(&service), wanted);
    }

    #[test]
    fn a_load_balancer_with_source_ranges_is_in_four_sets_and_closed_to_the_node() {
        let mut service = service();
        service.exposure.load_balancer = vec![[5, 6, 7, 8].into()];
        service.exposure.source_ranges = vec![Cidr {
            network: [203, 0, 113, 0].into(),
            prefix: 25,
        }];
        assert_eq!(
            texts(&service)[1..],
            [
                "KUBE-LOAD-BALANCER 5.6.7.8,tcp:80",
                "KUBE-LOAD-BALANCER-FW 5.6.7.8,tcp:80",
                "KUBE-LOAD-BALANCER-SOURCE-CIDR 5.6.7.8,tcp:80,203.0.113.0/25",
            ]
        );
        let closed = |service: &Service| {
            let services = vec![service.clone()];
            Wanted::by(&Population { services }).closed.len()
        };
        assert_eq!(closed(&service), 1);
        service.exposure.source_ranges = vec![Cidr::one(Plan::of(Family::Ipv4).node())];
        assert_eq!(closed(&service), 0);
        let last = texts(&service).pop().unwrap();
        assert_eq!(last, "KUBE-LOAD-BALANCER-SOURCE-IP 5.6.7.8,tcp:80,5.6.7.8");
    }

    #[test]
    fn policy_local_keeps_to_this_node_where_it_has_endpoints_and_else_takes_all() {
        let mut service = service();
        service.exposure.external = vec![[192, 0, 2, 1].into()];
        service.exposure.external_local = true;
        let counts = |service: &Service| -> Vec<usize> {
            servers(service)
                .iter()
                .map(|server| server.endpoints.len())
                .collect()
        };
        assert_eq!(counts(&service), [2, 2]);
        service.local = vec![service.endpoints[1]];
        assert_eq!(counts(&service), [2, 1]);
        assert_eq!(
            texts(&service),
            [
                "KUBE-LOOP-BACK 10.128.0.1,tcp:8080,10.128.0.1",
                "KUBE-CLUSTER-IP 10.96.0.1,tcp:80",
                "KUBE-EXTERNAL-IP-LOCAL 192.0.2.1,tcp:80",
            ]
        );
    }

    #[test]
    fn each_set_is_counted_by_itself_and_the_fullest_decides_whether_there_is_room() {
        let of = |services: u32| {
            let services =
                (0..services).map(|i| Service::of_test(i, 0x0a60_0001 + i, 0x0a80_0000 + i, 1));
            Population {
                services: services.collect(),
            }
        };
        assert_eq!(fullest(&of(0)), None);
        assert_eq!(fullest(&of(3)).map(|(_, entries)| entries), Some(3));
        let mut population = of(3);
        for service in &mut population.services[..2] {
            service.exposure.load_balancer = vec![[5, 6, 7, service.index as u8].into()];
        }
        // The device has the addresses of load balancers too.
        assert_eq!(fullest(&population), Some((BOUND_IPS, 5)));
        let room = |services| {
            let ipvs = super::super::Ipvs::of(Family::Ipv4);
            crate::datapath::Datapath::no_room(&ipvs, &of(services))
        };
        assert_eq!(room(65_536), None);
        let why = room(65_537).unwrap();
        assert!(
            why.starts_with("kube-proxy's sets hold 65,536 ") && why.contains("65537"),
            "{why}"
        );
    }

    #[test]
    fn without_endpoints_servers_addresses_and_entries_are_there_all_the_same() {
        let mut service = service();
        service.exposure.affinity_s = Some(10_800);
        service.endpoints.clear();
        let services = vec![service];
        let wanted = Wanted::by(&Population { services });
        assert!(wanted.servers[0].endpoints.is_empty());
        assert_eq!(wanted.servers[0].service().persistence_s, Some(10_800));
        assert_eq!((wanted.addresses.len(), wanted.entries.len()), (1, 2));
    }
}
