//! The population of a cell: N services with E endpoints each, from a seed.
//!
//! Addresses come from keyed permutations of the address ranges, so they are distinct without a table,
//! population(N) is a prefix of population(N + 1), and the VIPs' low octet is uniform: IPVS before 2026
//! hashes services into 256 buckets by the low bits of the VIP, and one VIP per /24 would put them all
//! into one.

use std::net::IpAddr;

use netns_harness::lab::Peers;
use netns_harness::service::{
    AFFINITY_S, Cidr, Endpoint, Exposure, Frontend, LAST_HEALTH_CHECK_PORT, MAX_ENDPOINTS,
    MAX_LOCAL_ENDPOINTS, MAX_NODE_PORTS, MAX_SERVICES, NODE_PORTS, Plan, Population, Service,
};
use netns_harness::traffic::ENDPOINT_PORT;
use schema::{Family, Protocol, ReachedBy, ServiceType};

pub use crate::drawn::{ADDED_SERVICES, SPARE_SERVICES};
use crate::drawn::{address, drawn_of, remote};
use crate::imported::{Before, Imported, Kind};

/// How a population is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recipe<'a> {
    /// Family of all addresses. Those of one family have the host numbers of those of the other.
    pub family: Family,
    /// Seed of the address permutations.
    pub seed: u64,
    /// Endpoints of each service, 1 to [`MAX_ENDPOINTS`].
    pub endpoints: u32,
    /// Protocols, taken in turn: service i has `protocols[i % len]`.
    pub protocols: &'a [Protocol],
    /// VIPs so far apart, in order, instead of drawn by the seed. With 256 all have the same low octet:
    /// IPVS before 2026 keeps the services of a protocol in one of its 256 buckets then
    /// (`ip_vs_svc_hashkey` in `net/netfilter/ipvs/ip_vs_ctl.c`).
    pub vip_stride: Option<u32>,
    /// Types of the services of each protocol, taken in turn (`Mix::cycle`): of the i-th service of a protocol
    /// `types[i % len]`.
    pub types: &'a [ServiceType],
    /// Services as those of a cluster, in place of what endpoints, protocols and types say.
    pub imported: Option<&'a Imported>,
}

/// A type whose services have endpoints on the node.
const LOCAL: &[ServiceType] = &[ServiceType::InternalLocal];
/// Keys of the permutations of endpoints on the node, and on others.
const LOCAL_KEY: u64 = 0x6c6f_6361;
const ENDPOINTS_KEY: u64 = 0x656e_6473;
/// Where nobody says another.
pub const CLUSTER_IPS: &[ServiceType] = &[ServiceType::ClusterIp];

/// The most services that leave a node port for each that has one, and for those of [`ADDED_SERVICES`] more; `None` where none
/// has. The protocols have their ports each for itself.
#[must_use]
pub fn most_with_node_ports(types: &[ServiceType], protocols: usize) -> Option<u32> {
    let in_a_turn = types.iter().filter(|t| t.has_node_port()).count() as u32;
    if in_a_turn == 0 {
        return None;
    }
    let turns = MAX_NODE_PORTS / in_a_turn;
    let mut left = MAX_NODE_PORTS % in_a_turn;
    let fits = |service_type: &&ServiceType| match (service_type.has_node_port(), left) {
        (false, _) => true,
        (true, 0) => false,
        (true, _) => {
            left -= 1;
            true
        }
    };
    let more = types.iter().take_while(fits).count();
    let most = (turns * types.len() as u32 + more as u32) * protocols as u32;
    Some(most.saturating_sub(ADDED_SERVICES))
}

/// The most services of a family, spare ones included, that VIPs with a stride leave room for.
#[must_use]
pub const fn most_with_stride(family: Family, stride: u32) -> u32 {
    ((1 << Plan::of(family).services.host_bits()) - 2) / stride
}

/// The most services of so many endpoints each that the address plan has room for, beside those whose addresses updates
/// take.
#[must_use]
pub fn most_with_endpoints(endpoints: u32) -> u32 {
    // As many in either family.
    let ranges = Plan::of(Family::Ipv4).remote_endpoints().into_iter();
    let addresses: u32 = ranges.map(drawn_of).sum();
    (addresses / endpoints.max(1)).saturating_sub(SPARE_SERVICES)
}

impl Recipe<'_> {
    /// The first `services` services.
    #[must_use]
    pub fn population(&self, services: u32) -> Population {
        Population {
            services: (0..services).map(|i| self.service(i)).collect(),
        }
    }

    /// Who a lab must have for its services, however many: those of the first turn of all types need what all do.
    pub(crate) fn peers(&self) -> Peers {
        let (turn, most) = match self.imported {
            Some(imported) => (
                imported.kinds().len(),
                imported.spare(SPARE_SERVICES).endpoints,
            ),
            None => (
                self.types.len() * self.protocols.len(),
                (MAX_SERVICES + SPARE_SERVICES).saturating_mul(self.endpoints),
            ),
        };
        Peers {
            many_endpoints: most > drawn_of(Plan::of(self.family).endpoints),
            ..Peers::of(&self.population(turn as u32))
        }
    }

    /// Service number `index`, whatever the population's size.
    #[must_use]
    pub fn service(&self, index: u32) -> Service {
        if let Some(imported) = self.imported {
            let kind = imported.kind(index, self.seed);
            return self.made(index, kind, imported.before(index, kind.protocol));
        }
        let service_type = self.service_type(index);
        self.service_of(service_type, index, self.node_ports_before(index))
    }

    /// The `n`-th service that an update adds to so many: of the first protocol and of that type, whatever is its number's. To
    /// services of a cluster one is added that is like one of theirs.
    pub(crate) fn added(&self, services: u32, n: u32, service_type: ServiceType) -> Service {
        if self.imported.is_some() {
            return self.service(services + n);
        }
        let protocols = self.protocols.len() as u32;
        let first = services.next_multiple_of(protocols);
        let place = self.node_ports_before(first) + n;
        self.service_of(service_type, first + n * protocols, place)
    }

    /// The `nth` endpoint, below [`SPARE_SERVICES`], that none of so many services has, on the node itself or on another.
    pub(crate) fn spare_endpoint(&self, services: u32, nth: u32, is_local: bool) -> Endpoint {
        let Some(imported) = self.imported else {
            let like: &[ServiceType] = if is_local { LOCAL } else { CLUSTER_IPS };
            let spare = Recipe {
                types: like,
                ..*self
            }
            .service(services + nth);
            return if is_local {
                spare.local[0]
            } else {
                spare.endpoints[0]
            };
        };
        let (plan, before) = (Plan::of(self.family), imported.spare(nth));
        Endpoint {
            address: match is_local {
                true => address(plan.local_endpoints, before.local, self.seed ^ LOCAL_KEY),
                false => remote(plan, before.endpoints, self.seed ^ ENDPOINTS_KEY),
            },
            port: ENDPOINT_PORT,
        }
    }

    /// Service number `index` as one of a type, which is told from others here and nowhere below, with the `place`-th node port of its protocol where it has one.
    fn service_of(&self, service_type: ServiceType, index: u32, place: u32) -> Service {
        debug_assert!(self.endpoints <= MAX_ENDPOINTS);
        let protocol = self.protocols[index as usize % self.protocols.len()];
        let has = |by: ReachedBy| service_type.addresses().contains(&by);
        let one = |by: ReachedBy| u32::from(has(by));
        let kind = Kind {
            port: port(protocol),
            protocol,
            endpoints: match service_type {
                ServiceType::NoEndpoints => 0,
                _ => self.endpoints,
            },
            local: match service_type.has_local_endpoints() {
                true => local_endpoints(self.endpoints),
                false => 0,
            },
            node_port: has(ReachedBy::NodePort),
            load_balancers: one(ReachedBy::LoadBalancer),
            externals: one(ReachedBy::ExternalIp),
            ranged: service_type == ServiceType::SourceRanges,
            external_local: matches!(
                service_type,
                ServiceType::ExternalLocal | ServiceType::ExternalLocalNone
            ),
            internal_local: matches!(
                service_type,
                ServiceType::InternalLocal | ServiceType::InternalLocalNone
            ),
            affinity_s: (service_type == ServiceType::Affinity).then_some(AFFINITY_S),
        };
        // Beyond the plan's limit, which is checked before a run, ports are those of others.
        let place = place % MAX_NODE_PORTS;
        let protocols = self.protocols.len() as u32;
        let before = Before {
            // Those on the node leave their numbers among the others out.
            endpoints: index * self.endpoints + kind.local,
            local: index * MAX_LOCAL_ENDPOINTS,
            node_ports: place,
            // Health checks are of TCP whatever the service's protocol.
            health_checks: place * protocols + index % protocols,
            load_balancers: index,
            externals: index,
        };
        self.made(index, kind, before)
    }

    /// Service number `index`: what it is, and which numbers of the ranges are its own.
    fn made(&self, index: u32, kind: Kind, before: Before) -> Service {
        debug_assert!(index < MAX_SERVICES + SPARE_SERVICES);
        let plan = Plan::of(self.family);
        let vip = match self.vip_stride {
            None => address(plan.services, index, self.seed ^ 0x5649_5073),
            Some(stride) => plan.services.host(stride * (index + 1)),
        };
        let local = kind.local.min(kind.endpoints);
        let endpoint = |e: u32| Endpoint {
            address: match e.checked_sub(local) {
                None => address(
                    plan.local_endpoints,
                    before.local + e,
                    self.seed ^ LOCAL_KEY,
                ),
                Some(e) => remote(plan, before.endpoints + e, self.seed ^ ENDPOINTS_KEY),
            },
            port: ENDPOINT_PORT,
        };
        let drawn = |number: u32, first: u32, range: Cidr, key: u64| -> Vec<IpAddr> {
            let each = (first..first + number).map(|at| address(range, at, self.seed ^ key));
            each.collect()
        };
        let frontend = Frontend {
            vip,
            port: kind.port,
            protocol: kind.protocol,
        };
        let exposure = Exposure {
            node_port: kind
                .node_port
                .then(|| *NODE_PORTS.start() + before.node_ports as u16),
            load_balancer: drawn(
                kind.load_balancers,
                before.load_balancers,
                plan.load_balancers,
                0x6c62_6970,
            ),
            external: drawn(
                kind.externals,
                before.externals,
                plan.externals,
                0x6578_6970,
            ),
            source_ranges: kind.ranged.then_some(plan.ranged).into_iter().collect(),
            external_local: kind.external_local,
            internal_local: kind.internal_local,
            affinity_s: kind.affinity_s,
            health_check_port: kind
                .has_health_check()
                .then(|| LAST_HEALTH_CHECK_PORT - before.health_checks as u16),
        };
        let mut service = Service {
            local: (0..local).map(endpoint).collect(),
            exposure,
            ..Service::cluster_ip(index, frontend, (0..kind.endpoints).map(endpoint).collect())
        };
        service.sort_endpoints();
        service
    }

    /// How many services of the same protocol come before a service.
    const fn turn(&self, index: u32) -> u32 {
        index / self.protocols.len() as u32
    }

    /// Type of a service.
    #[must_use]
    pub fn service_type(&self, index: u32) -> ServiceType {
        self.types[self.turn(index) as usize % self.types.len()]
    }

    /// How many services of the same protocol that have a node port come before a service.
    fn node_ports_before(&self, index: u32) -> u32 {
        let (turn, length) = (self.turn(index), self.types.len() as u32);
        let with_port = |types: &[ServiceType]| {
            let with_port = types.iter().filter(|t| t.has_node_port());
            with_port.count() as u32
        };
        let begun = &self.types[..(turn % length) as usize];
        turn / length * with_port(self.types) + with_port(begun)
    }
}

/// Endpoints on the node itself of a service that has such, of all of its endpoints: half of them, rounded up, where that
/// is not more than the plan has room for.
fn local_endpoints(endpoints: u32) -> u32 {
    endpoints.div_ceil(2).min(MAX_LOCAL_ENDPOINTS)
}

/// Service port of a protocol: two digits each, so that rules have the same length.
#[must_use]
pub const fn port(protocol: Protocol) -> u16 {
    match protocol {
        Protocol::Tcp => 80,
        Protocol::Udp => 53,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::Mix;
    use std::collections::HashSet;

    const BOTH: &[Protocol] = &[Protocol::Tcp, Protocol::Udp];

    fn recipe(seed: u64) -> Recipe<'static> {
        Recipe {
            family: Family::Ipv4,
            seed,
            endpoints: 10,
            protocols: BOTH,
            vip_stride: None,
            types: CLUSTER_IPS,
            imported: None,
        }
    }

    fn of_type(recipe: Recipe<'static>, service_type: ServiceType) -> Recipe<'static> {
        let at = ServiceType::ALL.iter().position(|t| *t == service_type);
        Recipe {
            types: &ServiceType::ALL[at.unwrap()..][..1],
            ..recipe
        }
    }

    fn both(seed: u64) -> [Recipe<'static>; 2] {
        [Family::Ipv4, Family::Ipv6].map(|family| Recipe {
            family,
            ..recipe(seed)
        })
    }

    /// The last four bytes of an address.
    fn low_bits(address: IpAddr) -> u32 {
        match address {
            IpAddr::V4(address) => address.to_bits(),
            IpAddr::V6(address) => address.to_bits() as u32,
        }
    }

    /// The number of an address in its range.
    fn host(range: Cidr, address: IpAddr) -> u32 {
        low_bits(address) & ((1 << range.host_bits()) - 1)
    }

    #[test]
    fn a_service_has_the_same_host_numbers_in_both_families() {
        let numbers = |recipe: Recipe<'_>| {
            let plan = Plan::of(recipe.family);
            let services = recipe.population(2_000).services.into_iter();
            let numbers = services.map(|service| {
                // Endpoints are in the order of their text, which is not that of their numbers.
                let endpoints = service.endpoints.iter();
                let mut endpoints: Vec<u32> =
                    endpoints.map(|e| host(plan.endpoints, e.address)).collect();
                endpoints.sort_unstable();
                (host(plan.services, service.frontend.vip), endpoints)
            });
            numbers.collect::<Vec<_>>()
        };
        for vip_stride in [None, Some(256)] {
            let [ipv4, ipv6] = both(3).map(|recipe| {
                numbers(Recipe {
                    vip_stride,
                    ..recipe
                })
            });
            assert_eq!(ipv4, ipv6);
        }
    }

    #[test]
    fn a_type_changes_nothing_but_what_it_says_and_each_has_what_it_says() {
        for recipe in both(5) {
            let plan = Plan::of(recipe.family);
            for service_type in ServiceType::ALL {
                let services = of_type(recipe, *service_type).population(200).services;
                for (service, plain) in services.iter().zip(recipe.population(200).services) {
                    assert_eq!(service.frontend, plain.frontend, "{service_type}");
                    let addresses: Vec<ReachedBy> = service.frontends().map(|(by, _)| by).collect();
                    for by in service_type.addresses() {
                        assert!(addresses.contains(by), "{service_type} {by}");
                    }
                    assert_eq!(addresses.len(), service_type.addresses().len());
                    let remote = service
                        .endpoints
                        .iter()
                        .filter(|e| !service.local.contains(e));
                    assert!(remote.clone().all(|e| plain.endpoints.contains(e)));
                    assert!(remote.count() + service.local.len() == service.endpoints.len());
                    let here = |e: &Endpoint| plan.local_endpoints.contains(e.address);
                    assert!(service.local.iter().all(here));
                    assert_eq!(
                        !service.local.is_empty(),
                        service_type.has_local_endpoints()
                    );
                }
            }
            let plain = of_type(recipe, ServiceType::ClusterIp).population(200);
            assert!(plain.services.iter().all(|s| s.exposure.is_none()));
            let none = of_type(recipe, ServiceType::NoEndpoints).service(3);
            assert!(none.endpoints.is_empty());
            let ranged = of_type(recipe, ServiceType::SourceRanges).service(3);
            assert_eq!(ranged.exposure.source_ranges, [plan.ranged]);
        }
    }

    #[test]
    fn a_lab_of_cluster_ips_has_nobody_besides_and_that_of_a_mix_who_any_of_its_types_needs() {
        assert_eq!(recipe(1).peers(), Peers::default());
        let few = Recipe {
            endpoints: 41,
            ..recipe(1)
        };
        assert_eq!(few.peers(), Peers::default());
        let all = Recipe {
            types: ServiceType::ALL,
            endpoints: 42,
            ..recipe(1)
        };
        let everybody = Peers {
            local_endpoints: true,
            many_endpoints: true,
            outside: true,
            newcomers: true,
        };
        assert_eq!(all.peers(), everybody);
    }

    #[test]
    fn addresses_of_every_kind_are_distinct_and_of_their_ranges() {
        for recipe in both(2) {
            let plan = Plan::of(recipe.family);
            for (service_type, by, range) in [
                (
                    ServiceType::LoadBalancer,
                    ReachedBy::LoadBalancer,
                    plan.load_balancers,
                ),
                (
                    ServiceType::ExternalIp,
                    ReachedBy::ExternalIp,
                    plan.externals,
                ),
            ] {
                let population = of_type(recipe, service_type).population(MAX_SERVICES);
                let frontends = population.services.iter().flat_map(Service::frontends);
                let vips: HashSet<IpAddr> = frontends
                    .filter(|(kind, _)| *kind == by)
                    .map(|(_, frontend)| frontend.vip)
                    .collect();
                assert_eq!(vips.len(), MAX_SERVICES as usize);
                assert!(vips.iter().all(|vip| range.contains(*vip)));
            }
            let local = of_type(recipe, ServiceType::InternalLocal).population(MAX_SERVICES);
            let local: Vec<Endpoint> = local.services.into_iter().flat_map(|s| s.local).collect();
            let each: HashSet<&Endpoint> = local.iter().collect();
            assert_eq!(each.len(), local.len());
        }
    }

    #[test]
    fn a_service_has_a_node_port_of_its_protocol_alone_and_a_health_check_port_of_its_own() {
        let recipe = of_type(recipe(1), ServiceType::ExternalLocal);
        let most = most_with_node_ports(recipe.types, BOTH.len()).unwrap() + ADDED_SERVICES;
        assert_eq!(most, 2 * 2_768);
        let services = recipe.population(most).services;
        let ports = services
            .iter()
            .map(|s| (s.frontend.protocol, s.exposure.node_port));
        assert_eq!(ports.clone().collect::<HashSet<_>>().len(), most as usize);
        assert!(
            ports
                .clone()
                .all(|(_, port)| NODE_PORTS.contains(&port.unwrap()))
        );
        let checks = services
            .iter()
            .map(|s| s.exposure.health_check_port.unwrap());
        let checks: HashSet<u16> = checks.collect();
        assert_eq!(checks.len(), most as usize);
        assert!(
            checks
                .iter()
                .all(|port| !NODE_PORTS.contains(port) && *port > 9_999)
        );
    }

    #[test]
    fn a_mix_has_its_shares_in_each_protocol_and_its_node_ports_follow_each_other() {
        use ServiceType::{ClusterIp, NodePort};
        const TYPES: &[ServiceType] = &[ClusterIp, NodePort, ClusterIp, NodePort, ClusterIp];
        let recipe = Recipe {
            types: TYPES,
            ..recipe(1)
        };
        let services = recipe.population(100).services;
        for protocol in BOTH {
            let own = services.iter().filter(|s| s.frontend.protocol == *protocol);
            let ports: Vec<u16> = own.filter_map(|s| s.exposure.node_port).collect();
            assert_eq!(ports, (30_000..30_020).collect::<Vec<u16>>());
        }
        // 1,384 turns of five services with two node ports each, and one service before the next.
        let most = most_with_node_ports(TYPES, 1);
        assert_eq!(most, Some(5 * 1_384 + 1 - ADDED_SERVICES));
        assert_eq!(most_with_node_ports(CLUSTER_IPS, 2), None);
    }

    #[test]
    fn what_is_added_is_of_the_type_that_is_asked_for_and_has_nothing_that_another_has() {
        // As many as a cell adds at most.
        const CHANGES: u32 = 7;
        for text in [
            "cluster-ip=60,node-port=40",
            "external-local=55,affinity=45",
        ] {
            let mix: Mix = text.parse().unwrap();
            let recipe = Recipe {
                types: mix.cycle(),
                ..recipe(3)
            };
            let most = most_with_node_ports(mix.cycle(), BOTH.len()).unwrap();
            for (services, of) in [
                (10, mix.largest()),
                (11, mix.largest()),
                (most, mix.largest()),
            ]
            .into_iter()
            .chain(mix.types().map(|of| (100, of)))
            {
                let mut all = recipe.population(services).services;
                let added = (0..CHANGES).map(|n| recipe.added(services, n, of));
                let added: Vec<Service> = added.collect();
                for service in &added {
                    assert_eq!(service.frontend.protocol, Protocol::Tcp);
                    assert_eq!(service.exposure.node_port.is_some(), of.has_node_port());
                    assert_eq!(
                        service.exposure.affinity_s.is_some(),
                        of == ServiceType::Affinity
                    );
                }
                all.extend(added);
                let ports = all.iter().filter_map(|service| {
                    Some((service.frontend.protocol, service.exposure.node_port?))
                });
                let checks = all.iter().filter_map(|s| s.exposure.health_check_port);
                let vips = all.iter().map(|service| service.frontend.vip);
                let endpoints = all.iter().flat_map(|service| &service.endpoints);
                let alone = [
                    (ports.clone().count(), ports.collect::<HashSet<_>>().len()),
                    (checks.clone().count(), checks.collect::<HashSet<_>>().len()),
                    (vips.clone().count(), vips.collect::<HashSet<_>>().len()),
                    (
                        endpoints.clone().count(),
                        endpoints.collect::<HashSet<_>>().len(),
                    ),
                ];
                for (seen, each) in alone {
                    assert_eq!(seen, each, "{text}, {services} services, {of} added");
                }
            }
        }
    }

    #[test]
    fn the_rarest_largest_share_has_a_node_port_for_each_that_is_added() {
        let mix: Mix = "cluster-ip=14,node-port=16,external-ip=14,internal-local=14,internal-local-none=14,affinity=14,no-endpoints=14".parse().unwrap();
        let recipe = Recipe {
            types: mix.cycle(),
            ..recipe(1)
        };
        let most = most_with_node_ports(mix.cycle(), BOTH.len()).unwrap();
        let last = recipe.added(most, 6, mix.largest());
        assert!(recipe.node_ports_before(most.next_multiple_of(2)) + 6 < MAX_NODE_PORTS);
        assert!(NODE_PORTS.contains(&last.exposure.node_port.unwrap()));
    }

    #[test]
    fn of_one_type_the_added_are_those_with_the_next_numbers() {
        for service_type in ServiceType::ALL {
            let recipe = of_type(recipe(2), *service_type);
            for n in 0..7 {
                assert_eq!(
                    recipe.added(11, n, *service_type),
                    recipe.service(12 + 2 * n)
                );
            }
        }
    }

    #[test]
    fn with_a_stride_the_vips_have_one_low_octet_and_stay_in_their_range() {
        for recipe in both(1) {
            let plan = Plan::of(recipe.family);
            let strided = Recipe {
                vip_stride: Some(256),
                ..recipe
            };
            let population = strided.population(most_with_stride(recipe.family, 256));
            let vips: HashSet<_> = population.services.iter().map(|s| s.frontend.vip).collect();
            assert_eq!(vips.len(), 4_095);
            assert!(
                vips.iter()
                    .all(|v| plan.services.contains(*v) && low_bits(*v) & 0xff == 0)
            );
        }
    }

    #[test]
    fn a_hundred_thousand_services_with_ten_endpoints_have_distinct_addresses() {
        for recipe in both(1) {
            let plan = Plan::of(recipe.family);
            let population = recipe.population(MAX_SERVICES);
            let vips: HashSet<_> = population.services.iter().map(|s| s.frontend.vip).collect();
            assert_eq!(vips.len(), MAX_SERVICES as usize);
            assert!(vips.iter().all(|v| plan.services.contains(*v)));
            let endpoints: HashSet<_> = population
                .services
                .iter()
                .flat_map(|s| &s.endpoints)
                .collect();
            assert_eq!(endpoints.len(), MAX_SERVICES as usize * 10);
            assert!(endpoints.iter().all(|e| plan.endpoints.contains(e.address)));
        }
    }

    #[test]
    fn addresses_are_those_that_they_were_before_a_service_could_have_more_endpoints() {
        // Seed, endpoints, service; its VIP, the endpoints with its first and its last number.
        for (seed, endpoints, index, vip, first, last) in [
            (
                1,
                1,
                999,
                "10.105.40.17",
                "10.161.194.110",
                "10.161.194.110",
            ),
            (
                1,
                2,
                0,
                "10.102.191.194",
                "10.144.115.250",
                "10.157.203.149",
            ),
            (
                1,
                2,
                9_999,
                "10.109.151.242",
                "10.137.236.243",
                "10.156.12.4",
            ),
            (
                2,
                10,
                999,
                "10.107.31.217",
                "10.155.133.56",
                "10.141.210.136",
            ),
            (7, 40, 999, "10.97.149.30", "10.161.55.100", "10.169.152.34"),
            (7, 40, 9_999, "10.106.25.7", "10.133.26.79", "10.151.7.218"),
        ] {
            let recipe = Recipe {
                endpoints,
                ..recipe(seed)
            };
            let service = recipe.service(index);
            assert_eq!(service.frontend.vip.to_string(), vip);
            let own: Vec<String> = service
                .endpoints
                .iter()
                .map(|e| e.address.to_string())
                .collect();
            assert_eq!(own.len(), endpoints as usize);
            assert!(
                own.iter().any(|e| e == first) && own.iter().any(|e| e == last),
                "{own:?}"
            );
        }
    }

    #[test]
    fn every_number_of_a_range_has_an_address_of_its_own() {
        let range = Cidr {
            network: IpAddr::from([10, 0, 0, 0]),
            prefix: 24,
        };
        for key in 0..1_000 {
            let all: HashSet<IpAddr> = (0..drawn_of(range))
                .map(|n| address(range, n, key))
                .collect();
            assert_eq!(all.len(), 254, "key {key}");
            assert!(!all.contains(&range.host(0)) && !all.contains(&range.host(255)));
        }
    }

    #[test]
    fn five_thousand_services_have_room_for_a_thousand_endpoints_each() {
        for endpoints in [1, 10, 40] {
            assert!(
                most_with_endpoints(endpoints) >= MAX_SERVICES,
                "{endpoints}"
            );
        }
        let most = most_with_endpoints(MAX_ENDPOINTS);
        assert!((5_000..5_500).contains(&most), "{most}");
        for recipe in both(3) {
            let recipe = Recipe {
                endpoints: MAX_ENDPOINTS,
                ..recipe
            };
            let plan = Plan::of(recipe.family);
            let ranges = plan.remote_endpoints();
            let mut seen = HashSet::new();
            // The first, those around the end of each range, and the last that updates may take.
            for index in [
                0,
                1,
                4_193,
                4_194,
                4_195,
                5_241,
                5_242,
                5_243,
                most + SPARE_SERVICES - 1,
            ] {
                let service = recipe.service(index);
                assert_eq!(service.endpoints.len(), 1_000);
                for endpoint in service.endpoints {
                    assert!(ranges.iter().any(|range| range.contains(endpoint.address)));
                    assert!(seen.insert(endpoint), "{endpoint} twice");
                }
            }
        }
    }

    #[test]
    fn the_low_octet_of_the_vips_is_uniform() {
        for seed in 0..8 {
            let mut counts = [0u32; 256];
            for i in 0..10_240 {
                counts[low_bits(recipe(seed).service(i).frontend.vip) as usize & 0xff] += 1;
            }
            let statistic: f64 = counts
                .iter()
                .map(|&c| (f64::from(c) - 40.0).powi(2) / 40.0)
                .sum();
            let p = crate::proof::chi_square_p(statistic, 255);
            assert!(p > 1e-6, "seed {seed}: chi-square {statistic}, p {p}");
        }
    }

    #[test]
    fn a_smaller_population_is_a_prefix_of_a_larger_one() {
        assert_eq!(
            recipe(7).population(100).services,
            recipe(7).population(200).services[..100]
        );
    }

    #[test]
    fn another_seed_gives_another_population() {
        assert_ne!(recipe(1).population(10), recipe(2).population(10));
    }
}
