//! What a population is made of: services and endpoints. The generator lives in `scenarios`; the
//! datapaths only need the words.

use std::fmt;
use std::net::Ipv4Addr;

use schema::Protocol;
use serde::{Deserialize, Serialize};

/// VIPs come from here: 2^20 addresses.
pub const SERVICE_CIDR: Cidr = Cidr {
    network: Ipv4Addr::new(10, 96, 0, 0),
    prefix: 12,
};
/// Endpoints and clients (pods) come from here; sources outside it are masqueraded, as kube-proxy
/// does with `--cluster-cidr`.
pub const CLUSTER_CIDR: Cidr = Cidr {
    network: Ipv4Addr::new(10, 128, 0, 0),
    prefix: 9,
};
/// Endpoints: 2^22 addresses, a part of [`CLUSTER_CIDR`], served by one namespace.
pub const ENDPOINT_CIDR: Cidr = Cidr {
    network: Ipv4Addr::new(10, 128, 0, 0),
    prefix: 10,
};
/// Client addresses: pods, so that kube-proxy's rules do not masquerade them.
pub const CLIENT_CIDR: Cidr = Cidr {
    network: Ipv4Addr::new(10, 192, 0, 0),
    prefix: 16,
};
/// A client inside the cluster: none of its packets may be masqueraded.
pub(crate) const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 192, 0, 2);
/// The node's address on its link to endpoints.
pub(crate) const NODE_ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 168, 100, 1);
/// The node's interface to clients.
pub(crate) const CLIENT_INTERFACE: &str = "client0";
/// The node's interface to endpoints.
pub(crate) const BACKENDS_INTERFACE: &str = "backends0";
/// The most services that the address plan holds.
pub const MAX_SERVICES: u32 = 100_000;
/// The most endpoints of one service that the address plan holds.
pub const MAX_ENDPOINTS: u32 = 40;

/// An IPv4 network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    /// Network address.
    pub network: Ipv4Addr,
    /// Prefix length, 0–32.
    pub prefix: u8,
}

impl Cidr {
    /// The netmask in host byte order.
    #[must_use]
    pub const fn mask(self) -> u32 {
        if self.prefix == 0 {
            0
        } else {
            u32::MAX << (32 - self.prefix)
        }
    }

    /// Whether `address` is in the network.
    #[must_use]
    pub fn contains(self, address: Ipv4Addr) -> bool {
        address.to_bits() & self.mask() == self.network.to_bits() & self.mask()
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
    pub address: Ipv4Addr,
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
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.address, self.port)
    }
}

/// The address on which a service is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Frontend {
    /// Virtual IP address (ClusterIP).
    pub vip: Ipv4Addr,
    /// Port.
    pub port: u16,
    /// Transport protocol.
    pub protocol: Protocol,
}

impl fmt::Display for Frontend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}/{}", self.vip, self.port, self.protocol)
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
}

impl Service {
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

    /// Puts its endpoints into the order in which kube-proxy writes them, that of their text (`byEndpoint` in
    /// pkg/proxy/endpointslicecache.go).
    pub fn sort_endpoints(&mut self) {
        self.endpoints.sort_by_cached_key(ToString::to_string);
    }
}

#[cfg(test)]
impl Service {
    /// svc1, svc3, svc4 and svc6 of kube-proxy's own tests (`TestOverall…Rules`), each as a ClusterIP, with its name.
    pub(crate) fn golden() -> [(Self, &'static str); 4] {
        let service = |index: u8, endpoints: &[u8]| Self {
            index: index.into(),
            frontend: Frontend {
                vip: Ipv4Addr::new(172, 30, 0, 40 + index),
                port: 80,
                protocol: Protocol::Tcp,
            },
            endpoints: endpoints
                .iter()
                .map(|last| Endpoint {
                    address: Ipv4Addr::new(10, 180, 0, *last),
                    port: 80,
                })
                .collect(),
        };
        [
            (service(1, &[1]), "ns1/svc1"),
            (service(3, &[3]), "ns3/svc3"),
            (service(4, &[4, 5]), "ns4/svc4"),
            (service(6, &[]), "ns6/svc6"),
        ]
    }

    /// A service of tests, at port 80: the protocols take turns, and the addresses of its endpoints follow each
    /// other from `first_endpoint` on.
    pub(crate) fn of_test(index: u32, vip: u32, first_endpoint: u32, endpoints: u32) -> Self {
        Self {
            index,
            frontend: Frontend {
                vip: Ipv4Addr::from_bits(vip),
                port: 80,
                protocol: [Protocol::Tcp, Protocol::Udp][index as usize % 2],
            },
            endpoints: (first_endpoint..first_endpoint + endpoints)
                .map(|address| Endpoint {
                    address: Ipv4Addr::from_bits(address),
                    port: 8080,
                })
                .collect(),
        }
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
}
