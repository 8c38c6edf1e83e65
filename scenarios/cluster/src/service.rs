//! What a service of a cluster is: a VIP, a port and a protocol with what stands behind them. `None` inside of a field is
//! what no dump says: an address that is not in the text, a node port without its number.

use std::collections::HashSet;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A family of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

impl Family {
    /// That of an address.
    #[must_use]
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::Ipv4,
            IpAddr::V6(_) => Self::Ipv6,
        }
    }

    const fn bits(self) -> u8 {
        match self {
            Self::Ipv4 => 32,
            Self::Ipv6 => 128,
        }
    }
}

/// A protocol of services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// By its name in any case, or by its number in an IP header.
    pub(crate) fn from_word(word: &str) -> Option<Self> {
        let known = [
            (Self::Tcp, "tcp", "6"),
            (Self::Udp, "udp", "17"),
            (Self::Sctp, "sctp", "132"),
        ];
        let mut known = known.into_iter();
        let found =
            known.find(|(_, name, number)| word.eq_ignore_ascii_case(name) || word == *number);
        found.map(|(protocol, _, _)| protocol)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}

/// A network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Net {
    /// Its first address.
    pub network: IpAddr,
    /// Length of its prefix, bits.
    pub prefix: u8,
}

impl Net {
    /// The network of so long a prefix that an address is in; `None` where the family has no such prefix.
    pub(crate) fn of(address: IpAddr, prefix: u8) -> Option<Self> {
        let host = Family::of(address).bits().checked_sub(prefix)?;
        let network = match address {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(u32::from(host)).unwrap_or(0);
                IpAddr::from((u32::from(address) & mask).to_be_bytes())
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(u32::from(host)).unwrap_or(0);
                IpAddr::from((u128::from(address) & mask).to_be_bytes())
            }
        };
        Some(Self { network, prefix })
    }

    /// Whether an address is in it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        Family::of(address) == Family::of(self.network)
            && Self::of(address, self.prefix) == Some(*self)
    }

    /// The one address of a network that holds one.
    pub(crate) fn host(&self) -> Option<IpAddr> {
        (self.prefix == Family::of(self.network).bits()).then_some(self.network)
    }
}

impl FromStr for Net {
    type Err = ();

    /// `10.0.0.0/8`, or an address alone: the network of just that one.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, prefix) = match text.trim().split_once('/') {
            Some((address, prefix)) => (address, Some(prefix.parse::<u8>().map_err(drop)?)),
            None => (text.trim(), None),
        };
        let address: IpAddr = address.parse().map_err(drop)?;
        let prefix = prefix.unwrap_or_else(|| Family::of(address).bits());
        Self::of(address, prefix).ok_or(())
    }
}

impl fmt::Display for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix)
    }
}

/// What Kubernetes calls a port of a service: `namespace/service:port`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    /// Namespace.
    pub namespace: String,
    /// Name of the service.
    pub service: String,
    /// Name of the port; empty where it has none.
    pub port: String,
}

impl Name {
    /// As kube-proxy writes it: `namespace/service`, and `:port` where the port has a name.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (namespace, rest) = text.trim().split_once('/')?;
        let (service, port) = rest.split_once(':').unwrap_or((rest, ""));
        let plain = |word: &str| !word.contains(|c: char| c.is_whitespace() || c == '/');
        let whole = !namespace.is_empty() && !service.is_empty();
        (whole && plain(namespace) && plain(service) && plain(port)).then(|| Self {
            namespace: namespace.to_owned(),
            service: service.to_owned(),
            port: port.to_owned(),
        })
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.service)?;
        match self.port.as_str() {
            "" => Ok(()),
            port => write!(f, ":{port}"),
        }
    }
}

/// The virtual address of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Vip {
    /// As the cluster gave it.
    Known(IpAddr),
    /// Not given yet (a manifest), or left out (a shape).
    Unknown {
        /// Its family.
        family: Family,
        /// Services with the same number stand on the same address.
        number: u32,
    },
}

impl Vip {
    /// Its family.
    #[must_use]
    pub const fn family(self) -> Family {
        match self {
            Self::Known(address) => Family::of(address),
            Self::Unknown { family, .. } => family,
        }
    }

    /// The address, where it is known.
    #[must_use]
    pub const fn address(self) -> Option<IpAddr> {
        match self {
            Self::Known(address) => Some(address),
            Self::Unknown { .. } => None,
        }
    }
}

/// `spec.type` of a Kubernetes Service; of a dump of rules what its addresses make of it.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum ServiceType {
    /// Reached by its ClusterIP, and by external addresses if it has any.
    #[default]
    ClusterIp,
    /// Reached by a port of every node too.
    NodePort,
    /// Reached by the address of a load balancer too.
    LoadBalancer,
}

/// Where packets to a service go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// Its address, where the dump has it.
    pub addr: Option<IpAddr>,
    /// Its port, where the dump has it.
    pub port: Option<u16>,
    /// Its share of new connections beside the other endpoints' of the service. `None` where all have the same; 0 is one
    /// that gets none any more.
    pub weight: Option<u32>,
    /// Whether it is on the node that the dump is of, where that can be told.
    pub local: Option<bool>,
}

impl Endpoint {
    /// One of which no more than the place is known.
    pub(crate) const fn at(addr: Option<IpAddr>, port: Option<u16>) -> Self {
        Self {
            addr,
            port,
            weight: None,
            local: None,
        }
    }
}

/// One VIP:port of a protocol with what is behind it: what kube-proxy would program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its name, where the dump has it.
    pub name: Option<Name>,
    /// Its ClusterIP.
    pub vip: Vip,
    /// Its port.
    pub port: u16,
    /// Its protocol.
    pub protocol: Protocol,
    /// Its type.
    pub service_type: ServiceType,
    /// Its node port. `Some(None)`: it has one, whose number is not known.
    pub node_port: Option<Option<u16>>,
    /// External addresses of its family (`spec.externalIPs`).
    pub external_ips: Vec<Option<IpAddr>>,
    /// Addresses of its load balancer, of its family, that kube-proxy serves (`status.loadBalancer.ingress[].ip`).
    pub load_balancer_ips: Vec<Option<IpAddr>>,
    /// Sources that its load balancer is for (`spec.loadBalancerSourceRanges`); all where there are none.
    pub source_ranges: Vec<Option<Net>>,
    /// `externalTrafficPolicy: Local`.
    pub external_local: bool,
    /// `internalTrafficPolicy: Local`.
    pub internal_local: bool,
    /// For how long a client keeps its endpoint, seconds; `None` where it does not. `Some(None)`: it does, for a time that is
    /// not known (`/proc/net/ip_vs` has it in ticks of the kernel's).
    pub affinity_seconds: Option<Option<u32>>,
    /// Its endpoints; `None` where the dump does not say which, nor how many. Of a service with
    /// [`Service::internal_local`] a dump of rules has those of its node alone.
    pub endpoints: Option<Vec<Endpoint>>,
}

impl Service {
    /// A ClusterIP of whose endpoints nothing is known.
    #[must_use]
    pub const fn new(vip: Vip, port: u16, protocol: Protocol) -> Self {
        Self {
            name: None,
            vip,
            port,
            protocol,
            service_type: ServiceType::ClusterIp,
            node_port: None,
            external_ips: Vec::new(),
            load_balancer_ips: Vec::new(),
            source_ranges: Vec::new(),
            external_local: false,
            internal_local: false,
            affinity_seconds: None,
            endpoints: None,
        }
    }

    /// What its addresses make of it, once all are known: sources without its load balancer's own address, which may come
    /// in from the node itself, and its type.
    pub(crate) fn settle(&mut self) {
        let own: HashSet<IpAddr> = self.load_balancer_ips.iter().flatten().copied().collect();
        let is_own = |net: Net| net.host().is_some_and(|address| own.contains(&address));
        self.source_ranges.retain(|net| !net.is_some_and(is_own));
        self.set_type();
    }

    /// Gives it the type that its addresses make.
    pub(crate) fn set_type(&mut self) {
        let balanced = !self.load_balancer_ips.is_empty() || !self.source_ranges.is_empty();
        self.service_type = match (balanced, self.node_port) {
            (true, _) => ServiceType::LoadBalancer,
            (false, Some(_)) => ServiceType::NodePort,
            (false, None) => ServiceType::ClusterIp,
        };
    }

    /// Every address that it is reached by at its own port: the ClusterIP, external ones, those of a load balancer.
    pub(crate) fn frontends(&self) -> impl Iterator<Item = IpAddr> {
        let outside = self.external_ips.iter().chain(&self.load_balancer_ips);
        let outside = outside.filter_map(|address| *address);
        self.vip.address().into_iter().chain(outside)
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.vip, &self.name) {
            (Vip::Known(IpAddr::V6(vip)), _) => write!(f, "[{vip}]:{}", self.port)?,
            (Vip::Known(vip), _) => write!(f, "{vip}:{}", self.port)?,
            (Vip::Unknown { .. }, Some(name)) => write!(f, "{name}, port {}", self.port)?,
            (Vip::Unknown { .. }, None) => write!(f, "port {}", self.port)?,
        }
        write!(f, "/{}", self.protocol)
    }
}

/// `10.0.0.1:80` or `[2001:db8::1]:80`.
pub(crate) fn address_and_port(text: &str) -> Option<(IpAddr, u16)> {
    let (address, port) = text.rsplit_once(':')?;
    let bracketed = address.strip_prefix('[').and_then(|a| a.strip_suffix(']'));
    let address = match bracketed {
        Some(address) => IpAddr::V6(address.parse().ok()?),
        None => IpAddr::V4(address.parse().ok()?),
    };
    Some((address, port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_read_with_blanks_and_without_a_prefix() {
        let net = |text: &str| text.parse::<Net>().map(|net| net.to_string());
        assert_eq!(net(" 192.0.2.77/24").unwrap(), "192.0.2.0/24");
        assert_eq!(net("192.0.2.7").unwrap(), "192.0.2.7/32");
        assert_eq!(net("2001:db8:72::15/56").unwrap(), "2001:db8:72::/56");
        assert_eq!(net("0.0.0.0/0").unwrap(), "0.0.0.0/0");
        for wrong in ["", "/", "10.0.0.0/33", "10.0.0.0/-1", "::/129", "a/8"] {
            assert!(net(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_network_holds_its_own_addresses_and_no_other_familys() {
        let net: Net = "10.72.0.0/16".parse().unwrap();
        assert!(net.contains("10.72.255.1".parse().unwrap()));
        assert!(!net.contains("10.73.0.1".parse().unwrap()));
        let all: Net = "::/0".parse().unwrap();
        assert!(!all.contains("10.72.0.1".parse().unwrap()));
    }

    #[test]
    fn names_are_those_of_services() {
        let name = |text: &str| Name::parse(text).map(|name| name.to_string());
        assert_eq!(name("shop/till:pay").unwrap(), "shop/till:pay");
        assert_eq!(name("shop/till").unwrap(), "shop/till");
        assert_eq!(name("shop/till:").unwrap(), "shop/till");
        for wrong in ["till", "/till", "shop/", "shop/till/x", "a word shop/till"] {
            assert_eq!(name(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_address_with_a_port_has_brackets_exactly_where_it_is_ipv6() {
        let read = |text: &str| address_and_port(text).map(|(a, p)| format!("{a} {p}"));
        assert_eq!(read("10.0.0.1:80").unwrap(), "10.0.0.1 80");
        assert_eq!(read("[2001:db8::1]:80").unwrap(), "2001:db8::1 80");
        for wrong in ["2001:db8::1", "10.0.0.1", "[10.0.0.1]:80", "10.0.0.1:65536"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
