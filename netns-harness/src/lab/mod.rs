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
mod server;
mod sysctls;

use std::collections::BTreeMap;

use netns_sys::netns::NetNs;
use schema::Family;

use crate::HarnessError;

pub use crate::pinning::Pinning;
pub use server::{ENDPOINT_PORT, Server};
pub(crate) use server::{MOST_ANSWER_BYTES, answer_bytes, named};
pub use sysctls::{IPV6_SYSCTLS, Place, SYSCTLS};

/// A built lab. Dropping it ends the servers and, with the last descriptor, the namespaces.
#[derive(Debug)]
pub struct Lab {
    /// Family of every address in it.
    pub family: Family,
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
    /// Builds namespaces, links, addresses, routes, sysctls and servers, of IPv4.
    ///
    /// # Errors
    /// The first step that failed; what was made goes with the returned error.
    pub fn build(pinning: Pinning) -> Result<Self, HarnessError> {
        Self::pinned(pinning, &BTreeMap::new())
    }

    /// As [`Lab::build`], of a family.
    ///
    /// # Errors
    /// As [`Lab::build`].
    pub fn of(family: Family, pinning: Pinning) -> Result<Self, HarnessError> {
        Self::made(family, pinning, &BTreeMap::new())
    }

    /// As [`Lab::build`], with further sysctls pinned in each of its namespaces and read back.
    ///
    /// # Errors
    /// As [`Lab::build`].
    pub fn pinned(
        pinning: Pinning,
        wanted: &BTreeMap<String, String>,
    ) -> Result<Self, HarnessError> {
        Self::made(Family::Ipv4, pinning, wanted)
    }

    fn made(
        family: Family,
        pinning: Pinning,
        wanted: &BTreeMap<String, String>,
    ) -> Result<Self, HarnessError> {
        let make = |name: &str| {
            NetNs::new().map_err(|e| HarnessError::system(format!("make the {name} namespace"), e))
        };
        let (client, node, backends) = (make("client")?, make("node")?, make("backends")?);
        for (place, ns) in Place::ALL.into_iter().zip([&client, &node, &backends]) {
            sysctls::apply(family, place, ns)?;
            sysctls::pin(place, ns, wanted)?;
        }
        links::connect(family, &client, &node, &backends)?;
        let server = Server::start(&backends, family, ENDPOINT_PORT, pinning)?;
        Ok(Self {
            family,
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

    /// Sets sysctls of the node, but for those that were pinned to something.
    ///
    /// # Errors
    /// A value was refused. A sysctl that this kernel does not have is no error.
    pub fn set_on_node(&self, sysctls: &[(&str, &str)]) -> Result<(), HarnessError> {
        let free = sysctls.iter().copied();
        let free = free.filter(|(name, _)| !self.pinned.contains_key(*name));
        self.on_node(|| sysctls::set(Place::Node, free))
    }

    /// Pinned and observed sysctls, by `namespace:name`.
    #[must_use]
    pub fn sysctls(&self) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        for (place, ns) in Place::ALL
            .into_iter()
            .zip([&self.client, &self.node, &self.backends])
        {
            found.extend(sysctls::read(self.family, place, ns, &self.pinned));
        }
        found
    }
}
