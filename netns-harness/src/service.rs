//! What a population is made of: services and endpoints. The generator lives in `scenarios`; the
//! datapaths only need the words.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;

use schema::{Family, Protocol, ReachedBy};
use serde::{Deserialize, Serialize};

/// The address plan of one family. Ranges of the two families hold equally many addresses, of which an equal number is
/// the same place: what is drawn for one is drawn for the other.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    /// VIPs come from here: 2^20 addresses.
    pub services: Cidr,
    /// Endpoints and clients (pods) come from here; sources outside it are masqueraded, as kube-proxy
    /// does with `--cluster-cidr`.
    pub cluster: Cidr,
    /// Endpoints: 2^22 addresses, a part of [`Plan::cluster`], served by one namespace.
    pub endpoints: Cidr,
    /// Endpoints that are too many for that: twice 2^20 addresses more, served by the same namespace.
    pub more_endpoints: [Cidr; 2],
    /// Client addresses, a part of [`Plan::cluster`]: pods, so that kube-proxy's rules do not masquerade them.
    pub clients: Cidr,
    /// Endpoints on the node itself: 2^20 addresses, a part of [`Plan::cluster`].
    pub local_endpoints: Cidr,
    /// Addresses of load balancers: as many as [`Plan::services`].
    pub load_balancers: Cidr,
    /// External addresses: as many as [`Plan::services`].
    pub externals: Cidr,
    /// Clients outside of the cluster.
    pub outside: Cidr,
    /// Those of them that may use a load balancer with source ranges: the first half of [`Plan::outside`].
    pub ranged: Cidr,
    /// The link between clients and node; the node has its first address, the clients' namespace its second.
    pub client_link: Cidr,
    /// The link between node and endpoints; the node has its first address, the endpoints' namespace its second.
    pub backends_link: Cidr,
}

static IPV4: Plan = Plan {
    services: Cidr::v4([10, 96, 0, 0], 12),
    cluster: Cidr::v4([10, 128, 0, 0], 9),
    endpoints: Cidr::v4([10, 128, 0, 0], 10),
    more_endpoints: [Cidr::v4([10, 224, 0, 0], 12), Cidr::v4([10, 240, 0, 0], 12)],
    clients: Cidr::v4([10, 192, 0, 0], 16),
    local_endpoints: Cidr::v4([10, 208, 0, 0], 12),
    load_balancers: Cidr::v4([10, 112, 0, 0], 12),
    externals: Cidr::v4([10, 80, 0, 0], 12),
    // TEST-NET-3 (RFC 5737).
    outside: Cidr::v4([203, 0, 113, 0], 24),
    ranged: Cidr::v4([203, 0, 113, 0], 25),
    client_link: Cidr::v4([192, 168, 99, 0], 30),
    backends_link: Cidr::v4([192, 168, 100, 0], 30),
};

/// Unique local addresses (RFC 4193) that read like those of IPv4. A prefix is one of whole bytes where IPv4's is, for
/// `nft` compares such a one without a mask.
static IPV6: Plan = Plan {
    services: Cidr::v6([0xfd00, 0x10, 0x96, 0, 0, 0, 0, 0], 108),
    cluster: Cidr::v6([0xfd00, 0x10, 0x128, 0, 0, 0, 0, 0], 105),
    endpoints: Cidr::v6([0xfd00, 0x10, 0x128, 0, 0, 0, 0, 0], 106),
    more_endpoints: [
        Cidr::v6([0xfd00, 0x10, 0x128, 0, 0, 0, 0x60, 0], 108),
        Cidr::v6([0xfd00, 0x10, 0x128, 0, 0, 0, 0x70, 0], 108),
    ],
    clients: Cidr::v6([0xfd00, 0x10, 0x128, 0, 0, 0, 0x40, 0], 112),
    local_endpoints: Cidr::v6([0xfd00, 0x10, 0x128, 0, 0, 0, 0x50, 0], 108),
    load_balancers: Cidr::v6([0xfd00, 0x10, 0x112, 0, 0, 0, 0, 0], 108),
    externals: Cidr::v6([0xfd00, 0x10, 0x80, 0, 0, 0, 0, 0], 108),
    // For documentation (RFC 3849).
    outside: Cidr::v6([0x2001, 0xdb8, 0x113, 0, 0, 0, 0, 0], 120),
    ranged: Cidr::v6([0x2001, 0xdb8, 0x113, 0, 0, 0, 0, 0], 121),
    client_link: Cidr::v6([0xfd00, 0x192, 0x168, 0x99, 0, 0, 0, 0], 126),
    backends_link: Cidr::v6([0xfd00, 0x192, 0x168, 0x100, 0, 0, 0, 0], 126),
};

impl Plan {
    /// That of a family.
    #[must_use]
    pub const fn of(family: Family) -> &'static Self {
        match family {
            Family::Ipv4 => &IPV4,
            Family::Ipv6 => &IPV6,
        }
    }

    /// Where endpoints on other nodes are, in the order in which their addresses are taken.
    #[must_use]
    pub const fn remote_endpoints(&self) -> [Cidr; 3] {
        let [first, second] = self.more_endpoints;
        [self.endpoints, first, second]
    }

    /// A client inside the cluster: none of its packets may be masqueraded.
    pub(crate) const fn client(&self) -> IpAddr {
        self.clients.host(2)
    }

    /// The address of the other family with the same number in the same range; `None` outside of the plan.
    pub(crate) fn twin(address: IpAddr) -> Option<IpAddr> {
        let [own, other] = [family(address), family(address).other()].map(Self::of);
        let ranges = [
            (own.services, other.services),
            (own.endpoints, other.endpoints),
            (own.more_endpoints[0], other.more_endpoints[0]),
            (own.more_endpoints[1], other.more_endpoints[1]),
            (own.clients, other.clients),
            (own.local_endpoints, other.local_endpoints),
            (own.load_balancers, other.load_balancers),
            (own.externals, other.externals),
        ];
        let mut ranges = ranges.into_iter();
        let (own, other) = ranges.find(|(range, _)| range.contains(address))?;
        Some(other.host(own.number(address)))
    }

    /// The node's address on its link to endpoints.
    pub(crate) const fn node(&self) -> IpAddr {
        self.backends_link.host(1)
    }

    /// A client outside of the cluster and of every source range.
    pub(crate) const fn stranger(&self) -> IpAddr {
        self.outside.host(130)
    }

    /// A client outside of the cluster that the source ranges of load balancers let through.
    pub(crate) const fn admitted(&self) -> IpAddr {
        self.ranged.host(2)
    }
}

/// The node's interface to clients.
pub(crate) const CLIENT_INTERFACE: &str = "client0";
/// The node's interface to endpoints.
pub(crate) const BACKENDS_INTERFACE: &str = "backends0";
/// The most services that the address plan holds.
pub const MAX_SERVICES: u32 = 100_000;
/// Node ports, `--service-node-port-range` of an API server by default.
pub const NODE_PORTS: RangeInclusive<u16> = 30_000..=32_767;
/// The highest port of health checks, from which they go down. An API server takes them from [`NODE_PORTS`]; here they
/// have ports of their own, so that they leave a node port to every service.
pub const LAST_HEALTH_CHECK_PORT: u16 = *NODE_PORTS.start() - 1;
/// The most services with node ports of one protocol: one a port.
pub const MAX_NODE_PORTS: u32 = (*NODE_PORTS.end() - *NODE_PORTS.start() + 1) as u32;
/// The most endpoints of one service on the node itself.
pub const MAX_LOCAL_ENDPOINTS: u32 = 2;
/// How long a client of a service with ClientIP affinity is remembered by default, seconds
/// (`DefaultClientIPServiceAffinitySeconds` of core/v1).
pub const AFFINITY_S: u32 = 10_800;
/// The most endpoints of one service. How many services may have as many is the address plan's to say: it has room for
/// the addresses of [`Plan::remote_endpoints`].
pub const MAX_ENDPOINTS: u32 = 1_000;

/// The family of an address.
#[must_use]
pub const fn family(address: IpAddr) -> Family {
    match address {
        IpAddr::V4(_) => Family::Ipv4,
        IpAddr::V6(_) => Family::Ipv6,
    }
}

/// Length of a family's addresses, bits.
pub(crate) const fn address_bits(family: Family) -> u8 {
    match family {
        Family::Ipv4 => 32,
        Family::Ipv6 => 128,
    }
}

/// A network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Cidr {
    /// Network address.
    pub network: IpAddr,
    /// Prefix length: 0–32, of IPv6 0–128.
    pub prefix: u8,
}

impl Cidr {
    const fn v4([a, b, c, d]: [u8; 4], prefix: u8) -> Self {
        Self {
            network: IpAddr::V4(Ipv4Addr::new(a, b, c, d)),
            prefix,
        }
    }

    const fn v6([a, b, c, d, e, f, g, h]: [u16; 8], prefix: u8) -> Self {
        Self {
            network: IpAddr::V6(Ipv6Addr::new(a, b, c, d, e, f, g, h)),
            prefix,
        }
    }

    /// Every address of a family: where a default route leads.
    pub(crate) const fn everything(family: Family) -> Self {
        match family {
            Family::Ipv4 => Self::v4([0; 4], 0),
            Family::Ipv6 => Self::v6([0; 8], 0),
        }
    }

    /// The network of one address.
    pub(crate) const fn one(address: IpAddr) -> Self {
        Self {
            network: address,
            prefix: address_bits(family(address)),
        }
    }

    /// Its family.
    #[must_use]
    pub const fn family(self) -> Family {
        family(self.network)
    }

    /// How many bits number its addresses.
    #[must_use]
    pub const fn host_bits(self) -> u32 {
        (address_bits(self.family()) - self.prefix) as u32
    }

    /// Its address with that number, counted from the network address. The number must be below 2^[`Self::host_bits`].
    #[must_use]
    pub const fn host(self, number: u32) -> IpAddr {
        match self.network {
            IpAddr::V4(network) => IpAddr::V4(Ipv4Addr::from_bits(network.to_bits() | number)),
            IpAddr::V6(network) => {
                IpAddr::V6(Ipv6Addr::from_bits(network.to_bits() | number as u128))
            }
        }
    }

    /// The number of one of its addresses, counted from the network address.
    pub(crate) fn number(self, address: IpAddr) -> u32 {
        match (self.network, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => network.to_bits() ^ address.to_bits(),
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                (network.to_bits() ^ address.to_bits()) as u32
            }
            _ => 0,
        }
    }

    /// Whether `address` is in the network; one of the other family is in none.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        let bits = self.host_bits();
        match (self.network, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let differing = network.to_bits() ^ address.to_bits();
                differing.checked_shr(bits).unwrap_or(0) == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let differing = network.to_bits() ^ address.to_bits();
                differing.checked_shr(bits).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix)
    }
}

/// Where a service's packets go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Endpoint {
    /// Address of the pod.
    pub address: IpAddr,
    /// Target port.
    pub port: u16,
}

impl Endpoint {
    /// It as a destination.
    #[must_use]
    pub const fn as_frontend(self, protocol: Protocol) -> Frontend {
        Frontend {
            vip: self.address,
            port: self.port,
            protocol,
        }
    }

    /// The family of its address.
    #[must_use]
    pub const fn family(&self) -> Family {
        family(self.address)
    }

    /// Its address and port.
    #[must_use]
    pub const fn socket(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(at: SocketAddr) -> Self {
        Self {
            address: at.ip(),
            port: at.port(),
        }
    }
}

/// `10.128.0.1:8080`, `[fd00:10:128::1]:8080`: as kube-proxy writes it (Go's `net.JoinHostPort`).
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.socket())
    }
}

/// The address on which a service is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Frontend {
    /// Virtual IP address (ClusterIP).
    pub vip: IpAddr,
    /// Port.
    pub port: u16,
    /// Transport protocol.
    pub protocol: Protocol,
}

impl Frontend {
    /// The family of its address.
    #[must_use]
    pub const fn family(&self) -> Family {
        family(self.vip)
    }

    /// Its address and port.
    #[must_use]
    pub const fn socket(&self) -> SocketAddr {
        SocketAddr::new(self.vip, self.port)
    }
}

impl fmt::Display for Frontend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.socket(), self.protocol)
    }
}

/// A service: VIP:port/proto and its endpoints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Place in population order, 0-based; also the number in its name.
    pub index: u32,
    /// Where it is reached.
    pub frontend: Frontend,
    /// Where its packets go, evenly.
    pub endpoints: Vec<Endpoint>,
    /// Those of its endpoints that are on this node, in the same order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub local: Vec<Endpoint>,
    /// How else it is reached, and by whom.
    #[serde(default, skip_serializing_if = "Exposure::is_none")]
    pub exposure: Exposure,
}

/// What a service has besides its ClusterIP (`ServicePortInfo` of pkg/proxy/serviceport.go). Layouts follow these fields.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Exposure {
    /// Its node port (`spec.ports[].nodePort`).
    pub node_port: Option<u16>,
    /// Addresses of its load balancer (`status.loadBalancer.ingress[].ip`, mode VIP).
    pub load_balancer: Vec<IpAddr>,
    /// External addresses (`spec.externalIPs`).
    pub external: Vec<IpAddr>,
    /// Who may use the load balancer (`spec.loadBalancerSourceRanges`); empty: everybody.
    pub source_ranges: Vec<Cidr>,
    /// `spec.externalTrafficPolicy: Local`.
    pub external_local: bool,
    /// `spec.internalTrafficPolicy: Local`.
    pub internal_local: bool,
    /// `spec.sessionAffinity: ClientIP` and its timeout, seconds.
    pub affinity_s: Option<u32>,
    /// `spec.healthCheckNodePort`, of a load balancer with policy Local.
    pub health_check_port: Option<u16>,
}

impl Exposure {
    /// Whether it has a ClusterIP alone.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it is reached by anything but its ClusterIP (`ExternallyAccessible` of pkg/proxy/serviceport.go).
    #[must_use]
    pub fn is_external(&self) -> bool {
        self.node_port.is_some() || !self.load_balancer.is_empty() || !self.external.is_empty()
    }
}

impl Service {
    /// One of type ClusterIP, whose endpoints are on other nodes.
    #[must_use]
    pub fn cluster_ip(index: u32, frontend: Frontend, endpoints: Vec<Endpoint>) -> Self {
        Self {
            index,
            frontend,
            endpoints,
            local: Vec::new(),
            exposure: Exposure::default(),
        }
    }

    /// Every address and port by which it is reached, its ClusterIP first; its node port at the node's own address.
    pub fn frontends(&self) -> impl Iterator<Item = (ReachedBy, Frontend)> + '_ {
        let (frontend, exposure) = (self.frontend, &self.exposure);
        let at = move |by| {
            move |vip: &IpAddr| {
                (
                    by,
                    Frontend {
                        vip: *vip,
                        ..frontend
                    },
                )
            }
        };
        let node_port = exposure.node_port.map(|port| Frontend {
            vip: Plan::of(self.family()).node(),
            port,
            ..frontend
        });
        let external = exposure.external.iter().map(at(ReachedBy::ExternalIp));
        let balanced = exposure
            .load_balancer
            .iter()
            .map(at(ReachedBy::LoadBalancer));
        std::iter::once((ReachedBy::ClusterIp, frontend))
            .chain(external)
            .chain(balanced)
            .chain(node_port.map(|frontend| (ReachedBy::NodePort, frontend)))
    }

    /// The family of its addresses.
    #[must_use]
    pub const fn family(&self) -> Family {
        self.frontend.family()
    }

    /// Kubernetes namespace/name of the service.
    #[must_use]
    pub fn name(&self) -> String {
        format!("bench/svc-{}", self.index)
    }

    /// kube-proxy's ServicePortName: `namespace/name:port-name`.
    #[must_use]
    pub fn port_name(&self) -> String {
        format!("bench/svc-{}:p{}", self.index, self.frontend.port)
    }

    /// The same with addresses of a family: those with the same numbers in the same ranges, in the same order.
    ///
    /// # Panics
    /// An address is not of the plan.
    #[must_use]
    pub fn in_family(mut self, family: Family) -> Self {
        if self.family() == family {
            return self;
        }
        let exposure = &mut self.exposure;
        let outside = exposure
            .load_balancer
            .iter_mut()
            .chain(&mut exposure.external);
        let pods = self.endpoints.iter_mut().chain(&mut self.local);
        let pods = pods.map(|endpoint| &mut endpoint.address);
        for address in pods.chain(outside).chain([&mut self.frontend.vip]) {
            *address = Plan::twin(*address).expect("addresses of services are of the plan");
        }
        for range in &mut exposure.source_ranges {
            *range = Plan::of(family).ranged;
        }
        self
    }

    /// Puts another endpoint in the place of one, on this node if that was.
    pub fn exchange(&mut self, at: usize, fresh: Endpoint) {
        let old = std::mem::replace(&mut self.endpoints[at], fresh);
        for local in self.local.iter_mut().filter(|local| **local == old) {
            *local = fresh;
        }
        self.sort_endpoints();
    }

    /// Keeps the first so many of its endpoints.
    pub fn keep_endpoints(&mut self, most: usize) {
        self.endpoints.truncate(most);
        let endpoints = &self.endpoints;
        self.local.retain(|local| endpoints.contains(local));
    }

    /// Puts its endpoints into the order in which kube-proxy writes them, that of their text (`byEndpoint` in
    /// pkg/proxy/endpointslicecache.go).
    pub fn sort_endpoints(&mut self) {
        self.endpoints.sort_by_cached_key(ToString::to_string);
        self.local.sort_by_cached_key(ToString::to_string);
    }
}

#[cfg(test)]
impl Service {
    /// svc1, svc3, svc4 and svc6 of kube-proxy's own tests (`TestOverall…Rules`), each as a ClusterIP, with its name.
    pub(crate) fn golden() -> [(Self, &'static str); 4] {
        let service = |index: u8, endpoints: &[u8]| {
            Self::cluster_ip(
                index.into(),
                Frontend {
                    vip: Ipv4Addr::new(172, 30, 0, 40 + index).into(),
                    port: 80,
                    protocol: Protocol::Tcp,
                },
                endpoints
                    .iter()
                    .map(|last| Endpoint {
                        address: Ipv4Addr::new(10, 180, 0, *last).into(),
                        port: 80,
                    })
                    .collect(),
            )
        };
        [
            (service(1, &[1]), "ns1/svc1"),
            (service(3, &[3]), "ns3/svc3"),
            (service(4, &[4, 5]), "ns4/svc4"),
            (service(6, &[]), "ns6/svc6"),
        ]
    }

    /// All six of kube-proxy's own tests: NodePort, LoadBalancer with policy Local and with affinity and source ranges,
    /// external IPs, and none of it; each with its name.
    pub(crate) fn six() -> [(Self, &'static str); 6] {
        let [svc1, svc3, svc4, svc6] = Self::golden();
        let at = |a: u8, b: u8, c: u8, d: u8| IpAddr::from([a, b, c, d]);
        let endpoint = |last: u8| Endpoint {
            address: at(10, 180, 0, last),
            port: 80,
        };
        let service = |index: u8, endpoint: Endpoint, exposure| Self {
            exposure,
            ..Self::cluster_ip(
                index.into(),
                Frontend {
                    vip: at(172, 30, 0, 40 + index),
                    port: 80,
                    protocol: Protocol::Tcp,
                },
                vec![endpoint],
            )
        };
        let svc2 = Exposure {
            node_port: Some(3001),
            load_balancer: vec![at(1, 2, 3, 4)],
            external: vec![at(192, 168, 99, 22)],
            external_local: true,
            health_check_port: Some(30_000),
            ..Exposure::default()
        };
        let svc5 = Exposure {
            node_port: Some(3002),
            load_balancer: vec![at(5, 6, 7, 8)],
            source_ranges: vec![Cidr::v4([203, 0, 113, 0], 25)],
            affinity_s: Some(AFFINITY_S),
            ..Exposure::default()
        };
        let with = |(service, name): (Self, &'static str), exposure, local| {
            let service = Self {
                exposure,
                local,
                ..service
            };
            (service, name)
        };
        let svc3_exposure = Exposure {
            node_port: Some(3003),
            ..Exposure::default()
        };
        let svc4_exposure = Exposure {
            external: vec![at(192, 168, 99, 33)],
            ..Exposure::default()
        };
        [
            svc1,
            (service(2, endpoint(2), svc2), "ns2/svc2"),
            with(svc3, svc3_exposure, Vec::new()),
            with(svc4, svc4_exposure, vec![endpoint(5)]),
            (service(5, endpoint(3), svc5), "ns5/svc5"),
            svc6,
        ]
    }

    /// A service of tests, at port 80: the protocols take turns, and the addresses of its endpoints follow each
    /// other from `first_endpoint` on.
    pub(crate) fn of_test(index: u32, vip: u32, first_endpoint: u32, endpoints: u32) -> Self {
        Self::cluster_ip(
            index,
            Frontend {
                vip: Ipv4Addr::from_bits(vip).into(),
                port: 80,
                protocol: [Protocol::Tcp, Protocol::Udp][index as usize % 2],
            },
            (first_endpoint..first_endpoint + endpoints)
                .map(|address| Endpoint {
                    address: Ipv4Addr::from_bits(address).into(),
                    port: 8080,
                })
                .collect(),
        )
    }
}

/// All services of a cell, in order. Order is position: the first is installed, and listed, first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Population {
    /// The services; frontends are distinct.
    pub services: Vec<Service>,
}

impl Population {
    /// How many services, N.
    #[must_use]
    pub fn len(&self) -> usize {
        self.services.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.services.is_empty()
    }

    /// The same services with addresses of a family ([`Service::in_family`]).
    #[must_use]
    pub fn in_family(self, family: Family) -> Self {
        let services = self.services.into_iter();
        Self {
            services: services.map(|service| service.in_family(family)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAMILIES: [&Plan; 2] = [Plan::of(Family::Ipv4), Plan::of(Family::Ipv6)];

    #[test]
    fn the_ranges_of_a_plan_are_disjoint_and_pods_are_in_the_cluster() {
        for plan in FAMILIES {
            let ranges = [
                plan.services,
                plan.endpoints,
                plan.more_endpoints[0],
                plan.more_endpoints[1],
                plan.clients,
                plan.local_endpoints,
                plan.load_balancers,
                plan.externals,
                plan.outside,
                plan.client_link,
                plan.backends_link,
            ];
            for (i, range) in ranges.iter().enumerate() {
                let last = range.host(((1_u64 << range.host_bits()) - 1) as u32);
                assert!(range.contains(last), "{range} and {last}");
                for other in ranges[..i].iter().chain(&ranges[i + 1..]) {
                    assert!(!range.contains(other.network), "{range} and {other}");
                }
                let others = [plan.clients, plan.local_endpoints];
                for pods in plan.remote_endpoints().into_iter().chain(others) {
                    let own = pods == *range;
                    let inside = plan.cluster.contains(last);
                    assert!(!own || inside && plan.cluster.contains(range.network));
                }
            }
            assert!(!plan.cluster.contains(plan.services.network));
            assert!(!plan.cluster.contains(plan.node()));
            assert!(plan.clients.contains(plan.client()));
            for elsewhere in [plan.load_balancers, plan.externals, plan.outside] {
                assert!(!plan.cluster.contains(elsewhere.network), "{elsewhere}");
            }
            assert!(
                plan.outside.contains(plan.stranger()) && !plan.ranged.contains(plan.stranger())
            );
            assert!(
                plan.outside.contains(plan.admitted()) && plan.ranged.contains(plan.admitted())
            );
        }
    }

    #[test]
    fn both_families_have_ranges_of_one_size() {
        let [ipv4, ipv6] = FAMILIES.map(|plan| {
            let pods = [plan.cluster, plan.clients, plan.local_endpoints];
            let pods = pods.into_iter().chain(plan.remote_endpoints());
            let addresses = [plan.services, plan.load_balancers, plan.externals];
            let others = [
                plan.outside,
                plan.ranged,
                plan.client_link,
                plan.backends_link,
            ];
            let ranges = pods.chain(addresses).chain(others);
            ranges.map(Cidr::host_bits)
        });
        assert!(ipv4.eq(ipv6));
    }

    #[test]
    fn an_address_has_a_twin_of_the_same_number_and_is_its_twin_s() {
        let [ipv4, ipv6] = FAMILIES;
        for number in [2, 0x0001_0002, 0x000f_ffff] {
            for (own, other) in [
                (ipv4.services, ipv6.services),
                (ipv4.endpoints, ipv6.endpoints),
            ] {
                assert_eq!(Plan::twin(own.host(number)), Some(other.host(number)));
                assert_eq!(Plan::twin(other.host(number)), Some(own.host(number)));
            }
        }
        assert_eq!(Plan::twin(ipv4.node()), None);
    }

    #[test]
    fn services_of_tests_are_moved_to_the_same_places_of_the_other_family_and_back() {
        let service = Service::of_test(3, 0x0a60_0001, 0x0a80_0100, 2);
        let moved = service.clone().in_family(Family::Ipv6);
        assert_eq!(moved.frontend.to_string(), "[fd00:10:96::1]:80/udp");
        assert_eq!(moved.endpoints[1].to_string(), "[fd00:10:128::101]:8080");
        assert_eq!(moved.clone().in_family(Family::Ipv6), moved);
        assert_eq!(moved.in_family(Family::Ipv4), service);
    }

    #[test]
    fn an_address_is_of_no_network_of_the_other_family() {
        let everything = Cidr::everything(Family::Ipv6);
        assert!(everything.contains(FAMILIES[1].node()));
        assert!(!everything.contains(FAMILIES[0].node()));
        assert!(Cidr::everything(Family::Ipv4).contains(FAMILIES[0].node()));
        assert!(!Cidr::one(FAMILIES[0].node()).contains(FAMILIES[0].client()));
    }

    #[test]
    fn an_address_of_ipv6_stands_in_brackets_before_its_port() {
        let [ipv4, ipv6] = FAMILIES.map(|plan| Endpoint {
            address: plan.endpoints.host(0x0001_0002),
            port: 8080,
        });
        assert_eq!(ipv4.to_string(), "10.129.0.2:8080");
        assert_eq!(ipv6.to_string(), "[fd00:10:128::1:2]:8080");
        let frontend = ipv6.as_frontend(Protocol::Udp);
        assert_eq!(frontend.to_string(), "[fd00:10:128::1:2]:8080/udp");
        assert_eq!(frontend.family(), Family::Ipv6);
        let plan = FAMILIES[1];
        assert_eq!(plan.services.to_string(), "fd00:10:96::/108");
        assert_eq!(plan.client().to_string(), "fd00:10:128::40:2");
        assert_eq!(plan.node().to_string(), "fd00:192:168:100::1");
    }
}
