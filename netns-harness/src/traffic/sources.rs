//! From where the flows of a lab's clients are: an address and port of each kind of client, each once.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use schema::{Family, Protocol};

use super::Flows;
use super::flows::second;
use crate::HarnessError;
use crate::lab::Peers;
use crate::treatment::Source;

/// What every kind of client has used so far.
#[derive(Debug)]
pub(super) struct Sources {
    pods: Flows,
    /// Of the node, which has one address: each protocol has its ports for itself.
    node: BTreeMap<Protocol, Flows>,
    outside: Flows,
    in_range: Flows,
    /// Of packets that no socket sends.
    without_sockets: Flows,
    /// Of endpoints that ask, by their addresses.
    endpoints: BTreeMap<IpAddr, Flows>,
    /// Whether pods are newcomers.
    newcomers: bool,
    /// Second flows of newcomers.
    seconds: u32,
}

impl Sources {
    pub(super) fn of(family: Family, peers: Peers) -> Self {
        Self {
            pods: match peers.newcomers {
                true => Flows::of_newcomers(family),
                false => Flows::of(Source::Pod, family),
            },
            node: Protocol::ALL
                .iter()
                .map(|protocol| (*protocol, Flows::of(Source::Node, family)))
                .collect(),
            outside: Flows::of(Source::Outside, family),
            in_range: Flows::of(Source::OutsideInRange, family),
            without_sockets: Flows::without_sockets(family),
            endpoints: BTreeMap::new(),
            newcomers: peers.newcomers,
            seconds: 0,
        }
    }

    /// How many were handed out to sockets, of all kinds.
    pub(super) fn used(&self) -> u32 {
        let kinds = [&self.pods, &self.outside, &self.in_range];
        let all = kinds.into_iter().chain(self.node.values());
        let all = all.chain(self.endpoints.values());
        self.seconds + all.map(Flows::used).sum::<u32>()
    }

    /// One of a kind that was never used in this lab, by the node not for that protocol.
    pub(super) fn next(
        &mut self,
        from: Source,
        protocol: Protocol,
    ) -> Result<SocketAddr, HarnessError> {
        fresh(match from {
            Source::Pod => &mut self.pods,
            Source::Node => self
                .node
                .get_mut(&protocol)
                .expect("every protocol is there"),
            Source::Outside => &mut self.outside,
            Source::OutsideInRange => &mut self.in_range,
        })
    }

    /// One of a packet that no socket sends.
    pub(super) fn next_without_socket(&mut self) -> Result<SocketAddr, HarnessError> {
        fresh(&mut self.without_sockets)
    }

    /// How many of those are left.
    pub(super) const fn left_without_socket(&self) -> u32 {
        self.without_sockets.left()
    }

    /// One of an endpoint.
    pub(super) fn next_of(&mut self, endpoint: IpAddr) -> Result<SocketAddr, HarnessError> {
        let flows = self.endpoints.entry(endpoint);
        fresh(flows.or_insert_with(|| Flows::of_one(endpoint)))
    }

    /// Two of one pod that has not asked before.
    pub(super) fn next_pair(&mut self) -> Result<[SocketAddr; 2], HarnessError> {
        if !self.newcomers {
            let why = "pods of this lab have asked every service: there is none that is new to one";
            return Err(HarnessError::Traffic(why.to_owned()));
        }
        let first = fresh(&mut self.pods)?;
        self.seconds += 1;
        Ok([first, second(first)])
    }
}

fn fresh(flows: &mut Flows) -> Result<SocketAddr, HarnessError> {
    flows.next().ok_or_else(|| {
        HarnessError::Traffic("every client address and port of this lab has been used".to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_node_has_a_port_once_for_each_protocol_and_who_has_used_all_is_told() {
        let mut sources = Sources::of(Family::Ipv4, Peers::default());
        let ports = Flows::of(Source::Node, Family::Ipv4).left();
        for protocol in Protocol::ALL {
            let next = |_| sources.next(Source::Node, *protocol).unwrap();
            let seen: HashSet<SocketAddr> = (0..ports).map(next).collect();
            assert_eq!(seen.len() as u32, ports);
            assert!(sources.next(Source::Node, *protocol).is_err());
        }
        assert_eq!(sources.used(), ports * Protocol::ALL.len() as u32);
        assert!(sources.next(Source::Pod, Protocol::Tcp).is_ok());
    }
}
