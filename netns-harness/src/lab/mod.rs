//! The lab: three namespaces joined by two veth pairs, never linked to anything else.
//!
//! ```text
//! client 10.192.0.0/16 ──192.168.99.0/30── node (the rules) ──192.168.100.0/30── backends 10.128.0.0/10
//! ```
//!
//! Clients and endpoints are address ranges, not interfaces: a `local` route for the range on `lo`
//! (AnyIP) lets one namespace own all of them. Neighbour entries are permanent, so no ARP runs while
//! anything is timed. The node has a default route in every mode; what no rule redirects ends in the
//! backends namespace, which does not forward.

pub mod facility;
mod links;
mod questions;
mod sysctls;

use std::collections::BTreeMap;

use netns_sys::netns::NetNs;

use crate::HarnessError;
use crate::meters;
use crate::traffic::{ENDPOINT_PORT, Server};

pub use sysctls::{Place, SYSCTLS};

/// CPUs of the lab's threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pinning {
    /// The client's thread; veth delivers in the sender's softirq, so the path is walked here.
    pub client: usize,
    /// The servers' thread.
    pub server: usize,
}

impl Pinning {
    /// Two allowed CPUs that do not share a core, and from four on neither of them CPU 0, which has the timers,
    /// interrupts and callbacks of the whole machine; a server that spins takes a third of its sibling. Where there
    /// is no such pair the first two, and where there is one CPU, that.
    ///
    /// # Errors
    /// `sched_getaffinity(2)`.
    pub fn choose() -> Result<Self, HarnessError> {
        let cpus = netns_sys::thread::allowed_cpus()
            .map_err(|e| HarnessError::system("read the CPUs that this process may use", e))?;
        Ok(Self::among(&cpus, |cpu| {
            meters::siblings(cpu).unwrap_or_default()
        }))
    }

    fn among(cpus: &[usize], siblings: impl Fn(usize) -> Vec<usize>) -> Self {
        const ENOUGH: usize = 4;
        let spared = cpus.len() >= ENOUGH;
        let mut left = cpus.iter().copied().filter(|&cpu| cpu != 0 || !spared);
        let client = left.next().unwrap_or(0);
        let others: Vec<usize> = left.collect();
        let same_core = siblings(client);
        let apart = others.iter().find(|cpu| !same_core.contains(cpu));
        Self {
            client,
            server: apart.or(others.first()).copied().unwrap_or(client),
        }
    }

    /// Whether client and server run apart, so that both may spin instead of sleeping.
    #[must_use]
    pub const fn apart(self) -> bool {
        self.client != self.server
    }
}

/// A built lab. Dropping it ends the servers and, with the last descriptor, the namespaces.
#[derive(Debug)]
pub struct Lab {
    /// Where flows start.
    pub client: NetNs,
    /// Where the rules are.
    pub node: NetNs,
    /// Where every endpoint address is.
    pub backends: NetNs,
    /// CPUs in use.
    pub pinning: Pinning,
    /// Answers for every endpoint.
    pub server: Server,
    /// Sysctls pinned beside [`SYSCTLS`], by name.
    pinned: BTreeMap<String, String>,
}

impl Lab {
    /// Builds namespaces, links, addresses, routes, sysctls and servers.
    ///
    /// # Errors
    /// The first step that failed; what was made goes with the returned error.
    pub fn build(pinning: Pinning) -> Result<Self, HarnessError> {
        Self::pinned(pinning, &BTreeMap::new())
    }

    /// As [`Lab::build`], with further sysctls pinned in each of its namespaces and read back.
    ///
    /// # Errors
    /// As [`Lab::build`].
    pub fn pinned(
        pinning: Pinning,
        wanted: &BTreeMap<String, String>,
    ) -> Result<Self, HarnessError> {
        let make = |name: &str| {
            NetNs::new().map_err(|e| HarnessError::system(format!("make the {name} namespace"), e))
        };
        let (client, node, backends) = (make("client")?, make("node")?, make("backends")?);
        for (place, ns) in Place::ALL.into_iter().zip([&client, &node, &backends]) {
            sysctls::apply(place, ns)?;
            sysctls::pin(place, ns, wanted)?;
        }
        links::connect(&client, &node, &backends)?;
        let server = Server::start(&backends, ENDPOINT_PORT, pinning)?;
        Ok(Self {
            client,
            node,
            backends,
            pinning,
            server,
            pinned: wanted.clone(),
        })
    }

    /// Runs `act` on the calling thread, in the node's namespace.
    ///
    /// # Errors
    /// `setns(2)`, or the act's own error.
    pub fn on_node<T>(
        &self,
        act: impl FnOnce() -> Result<T, HarnessError>,
    ) -> Result<T, HarnessError> {
        self.node
            .run(act)
            .map_err(|e| HarnessError::system("enter the node's namespace", e))?
    }

    /// Pinned and observed sysctls, by `namespace:name`.
    #[must_use]
    pub fn sysctls(&self) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        for (place, ns) in Place::ALL
            .into_iter()
            .zip([&self.client, &self.node, &self.backends])
        {
            found.extend(sysctls::read(place, ns, &self.pinned));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pinned(cpus: &[usize], siblings: impl Fn(usize) -> Vec<usize>) -> (usize, usize) {
        let Pinning { client, server } = Pinning::among(cpus, siblings);
        (client, server)
    }

    #[test]
    fn the_two_cpus_share_no_core_and_spare_cpu_0_where_there_are_enough() {
        let neighbours = |cpu: usize| vec![cpu / 2 * 2, cpu / 2 * 2 + 1];
        let halves = |cpu: usize| vec![cpu % 4, cpu % 4 + 4];
        let single = |cpu: usize| vec![cpu];
        assert_eq!(pinned(&[0, 1, 2, 3], neighbours), (1, 2));
        assert_eq!(pinned(&[0, 1, 2, 3, 4, 5, 6, 7], halves), (1, 2));
        assert_eq!(pinned(&[0, 1, 2, 3], single), (1, 2));
        // What a machine lacks is done without.
        assert_eq!(pinned(&[0, 1], neighbours), (0, 1));
        assert_eq!(pinned(&[0, 1, 2], neighbours), (0, 2));
        assert_eq!(pinned(&[5], single), (5, 5));
        assert_eq!(pinned(&[2, 3, 6, 7], |_| Vec::new()), (2, 3));
    }
}
