//! New flows are new: every 5-tuple is used once in a lab. Kernel-chosen UDP ports repeat, and a
//! repeated one never reaches NAT.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use schema::Family;

use crate::service::{Cidr, Plan};
use crate::treatment::Source;

/// Client addresses in use; the port advances when all have had a turn.
const ADDRESSES: u32 = 64;
/// The same where each flow is to have an address of its own: the largest prime below the 2^16 addresses of pods. The turns
/// of services are no divisor of it, so that none meets a client again that it remembers before most have asked.
const NEWCOMERS: u32 = 65_521;
const PORTS: Range<u32> = 10_000..61_000;
/// Ports of the node's own flows, of one protocol: above node ports, at which it serves others.
const PORTS_OF_NODE: Range<u32> = 33_000..65_000;
/// Addresses and ports of packets that no socket sends: ports of no flow above.
const ADDRESSES_WITHOUT_SOCKETS: u32 = 256;
const PORTS_WITHOUT_SOCKETS: Range<u32> = 1_024..10_000;
/// Ports of the first flows of newcomers; as many behind them are those of second ones.
const FIRST: Range<u32> = 10_000..35_500;

/// Hands out source addresses and ports, each pair once.
#[derive(Debug)]
pub struct Flows {
    range: Cidr,
    /// Number of the first address in its range.
    first: u32,
    addresses: u32,
    ports: Range<u32>,
    used: u32,
}

impl Flows {
    /// Of a family's clients of a kind, none handed out yet; of the node those of one protocol.
    #[must_use]
    pub fn of(source: Source, family: Family) -> Self {
        let plan = Plan::of(family);
        let (range, addresses, ports) = match source {
            Source::Pod => (plan.clients, ADDRESSES, PORTS),
            Source::Node => (plan.backends_link, 1, PORTS_OF_NODE),
            Source::Outside => (plan.outside, ADDRESSES, PORTS),
            Source::OutsideInRange => (plan.ranged, ADDRESSES, PORTS),
        };
        Self {
            range,
            first: range.number(source.address(plan)),
            addresses,
            ports,
            used: 0,
        }
    }

    /// Of a family's pods, each of which asks once until all have.
    #[must_use]
    pub fn of_newcomers(family: Family) -> Self {
        Self {
            addresses: NEWCOMERS,
            ports: FIRST,
            ..Self::of(Source::Pod, family)
        }
    }

    /// Of packets that no socket sends: from the last addresses of pods.
    #[must_use]
    pub(super) fn without_sockets(family: Family) -> Self {
        let range = Plan::of(family).clients;
        let addresses = ADDRESSES_WITHOUT_SOCKETS;
        Self {
            range,
            first: (1 << range.host_bits().min(16)) - addresses,
            addresses,
            ports: PORTS_WITHOUT_SOCKETS,
            used: 0,
        }
    }

    /// Of one address.
    #[must_use]
    pub(super) const fn of_one(address: IpAddr) -> Self {
        Self {
            range: Cidr::one(address),
            first: 0,
            addresses: 1,
            ports: PORTS,
            used: 0,
        }
    }

    /// How many are left.
    #[must_use]
    pub const fn left(&self) -> u32 {
        self.addresses * (self.ports.end - self.ports.start) - self.used
    }

    /// How many were handed out.
    #[must_use]
    pub const fn used(&self) -> u32 {
        self.used
    }
}

/// The second flow of a newcomer whose first is `source`: handed out in no other way.
pub(super) fn second(source: SocketAddr) -> SocketAddr {
    let distance = (FIRST.end - FIRST.start) as u16;
    SocketAddr::new(source.ip(), source.port() + distance)
}

impl Iterator for Flows {
    type Item = SocketAddr;

    fn next(&mut self) -> Option<SocketAddr> {
        if self.left() == 0 {
            return None;
        }
        let address = self.range.host(self.first + self.used % self.addresses);
        let port = self.ports.start + self.used / self.addresses;
        self.used += 1;
        Some(SocketAddr::new(address, port as u16))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::NODE_PORTS;
    use std::collections::HashSet;

    #[test]
    fn no_source_is_handed_out_twice_and_all_are_clients() {
        for family in [Family::Ipv4, Family::Ipv6] {
            let clients = Plan::of(family).clients;
            let sources: Vec<_> = Flows::of(Source::Pod, family).take(200_000).collect();
            assert!(sources.iter().all(|s| clients.contains(s.ip())));
            assert_eq!(sources.iter().collect::<HashSet<_>>().len(), sources.len());
            assert_eq!(sources[0], SocketAddr::new(clients.host(2), 10_000));
            assert_eq!(sources[64], SocketAddr::new(clients.host(2), 10_001));
        }
    }

    #[test]
    fn flows_are_from_where_their_kind_of_clients_is_and_never_from_a_node_port() {
        for family in [Family::Ipv4, Family::Ipv6] {
            let plan = Plan::of(family);
            let all = |source| Flows::of(source, family).take(100_000);
            for (source, range) in [
                (Source::Outside, plan.outside),
                (Source::OutsideInRange, plan.ranged),
            ] {
                assert!(all(source).all(|from| range.contains(from.ip())));
            }
            assert!(all(Source::Outside).all(|from| !plan.ranged.contains(from.ip())));
            assert!(all(Source::Node).all(|from| from.ip() == plan.node()));
            assert!(all(Source::Node).all(|from| !NODE_PORTS.contains(&from.port())));
        }
    }

    #[test]
    fn newcomers_are_new_until_all_have_asked_and_ask_again_from_another_port() {
        let clients = Plan::of(Family::Ipv4).clients;
        let mut flows = Flows::of_newcomers(Family::Ipv4);
        let firsts: Vec<_> = flows.by_ref().take(NEWCOMERS as usize).collect();
        let addresses: HashSet<_> = firsts.iter().map(SocketAddr::ip).collect();
        assert_eq!(addresses.len(), firsts.len());
        assert!(addresses.iter().all(|address| clients.contains(*address)));
        let last = Flows {
            used: flows.used() + flows.left() - 1,
            ..Flows::of_newcomers(Family::Ipv4)
        };
        for first in firsts.into_iter().take(1).chain(last) {
            assert_eq!(second(first).ip(), first.ip());
            let ports = [first, second(first)].map(|flow| u32::from(flow.port()));
            assert_eq!(ports.map(|port| FIRST.contains(&port)), [true, false]);
            assert!(PORTS.contains(&ports[1]));
        }
    }

    #[test]
    fn packets_without_a_socket_are_of_no_flow_that_has_one() {
        for family in [Family::Ipv4, Family::Ipv6] {
            let flows: Vec<_> = Flows::without_sockets(family).take(10_000).collect();
            assert_eq!(flows.iter().collect::<HashSet<_>>().len(), flows.len());
            for flow in &flows {
                assert!(Plan::of(family).clients.contains(flow.ip()), "{flow}");
                assert!(!PORTS.contains(&flow.port().into()), "{flow}");
                assert!(!FIRST.contains(&flow.port().into()), "{flow}");
            }
        }
    }

    #[test]
    fn they_end_when_the_last_is_gone() {
        let fresh = || Flows::of(Source::Pod, Family::Ipv4);
        let mut flows = Flows {
            used: fresh().left() - 1,
            ..fresh()
        };
        assert!(flows.next().is_some());
        assert!(flows.next().is_none());
    }
}
