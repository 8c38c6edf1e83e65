//! New flows are new: every 5-tuple is used once in a lab. Kernel-chosen UDP ports repeat, and a
//! repeated one never reaches NAT.

use std::net::SocketAddr;

use schema::Family;

use crate::service::Plan;

/// Client addresses in use; the port advances when all have had a turn.
const ADDRESSES: u32 = 64;
const PORTS: std::ops::Range<u32> = 10_000..61_000;

/// Hands out source addresses and ports, each pair once.
#[derive(Debug)]
pub struct Flows {
    family: Family,
    used: u32,
}

impl Flows {
    /// Of a family, none handed out yet.
    #[must_use]
    pub const fn of(family: Family) -> Self {
        Self { family, used: 0 }
    }

    /// How many are left.
    #[must_use]
    pub const fn left(&self) -> u32 {
        ADDRESSES * (PORTS.end - PORTS.start) - self.used
    }

    /// How many were handed out.
    #[must_use]
    pub const fn used(&self) -> u32 {
        self.used
    }
}

impl Iterator for Flows {
    type Item = SocketAddr;

    fn next(&mut self) -> Option<SocketAddr> {
        if self.left() == 0 {
            return None;
        }
        let address = Plan::of(self.family)
            .clients
            .host(2 + self.used % ADDRESSES);
        let port = PORTS.start + self.used / ADDRESSES;
        self.used += 1;
        Some(SocketAddr::new(address, port as u16))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_source_is_handed_out_twice_and_all_are_clients() {
        for family in [Family::Ipv4, Family::Ipv6] {
            let clients = Plan::of(family).clients;
            let sources: Vec<_> = Flows::of(family).take(200_000).collect();
            assert!(sources.iter().all(|s| clients.contains(s.ip())));
            assert_eq!(sources.iter().collect::<HashSet<_>>().len(), sources.len());
        }
    }

    #[test]
    fn they_end_when_the_last_is_gone() {
        let mut flows = Flows {
            family: Family::Ipv4,
            used: ADDRESSES * (PORTS.end - PORTS.start) - 1,
        };
        assert!(flows.next().is_some());
        assert!(flows.next().is_none());
    }
}
