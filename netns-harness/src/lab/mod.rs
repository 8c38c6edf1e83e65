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
//!
//! Where a population needs them ([`Peers`]) clients outside of the cluster are in the client namespace too, and endpoints on
//! the node itself in that of the backends. Which endpoints are local is told by a layout's rules, never by an interface; and
//! in the client namespace they would answer clients past the node, whose translation would then not be undone. For the same
//! reason an endpoint that asks a service reaches none but itself, and itself only where it is masqueraded.

pub mod facility;
mod held;
mod links;
mod peers;
mod questions;
mod server;
mod sysctls;

use std::collections::BTreeMap;

use netns_sys::netns::NetNs;
use schema::{Family, NodeKind};

use crate::HarnessError;
use crate::remedy::{Lack, Remedy};

pub use crate::pinning::Pinning;
pub(crate) use links::{CLIENT_MAC, NODE_MAC, idle};
pub use peers::Peers;
pub use server::{ENDPOINT_PORT, Holding, Server};
pub(crate) use server::{MOST_ANSWER_BYTES, answer_bytes, named};
pub use sysctls::{IPV6_SYSCTLS, Place, SYSCTLS};

/// The interface of clients, and that of endpoints.
pub(crate) const OUTER_INTERFACE: &str = "eth0";

/// Why no lab of such a node can be built on this kernel, whatever is installed in it; `None` where one can. What can be
/// loaded is loaded by asking.
#[must_use]
pub fn refused(kind: NodeKind) -> Option<Lack> {
    let needs_ipv6 = kind.families().contains(&Family::Ipv6);
    let lacks = needs_ipv6.then(|| facility::has_ipv6().err()).flatten();
    lacks.map(|error| Lack::from(error.to_string()).with(Remedy::modules(["ipv6"])))
}

/// A built lab. Dropping it ends the servers and, with the last descriptor, the namespaces.
#[derive(Debug)]
pub struct Lab {
    /// What the node serves; clients ask services of its family.
    pub kind: NodeKind,
    /// Who is there besides pods that ask and endpoints on other nodes.
    pub peers: Peers,
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
        Self::of(Family::default(), pinning)
    }

    /// As [`Lab::build`], of a family.
    ///
    /// # Errors
    /// As [`Lab::build`].
    pub fn of(family: Family, pinning: Pinning) -> Result<Self, HarnessError> {
        Self::of_node(NodeKind::single(family), pinning, &BTreeMap::new())
    }

    /// As [`Lab::build`], with a node that serves that, and with further sysctls pinned in each of its namespaces and
    /// read back. Where the node serves two families links have addresses of both, and the server answers for the one
    /// that is asked.
    ///
    /// # Errors
    /// As [`Lab::build`]; [`HarnessError::NoIpv6`] where the node is to serve IPv6 and this kernel has none.
    pub fn of_node(
        kind: NodeKind,
        pinning: Pinning,
        wanted: &BTreeMap<String, String>,
    ) -> Result<Self, HarnessError> {
        Self::peopled(kind, pinning, wanted, Peers::default())
    }

    /// As [`Lab::of_node`], with peers.
    ///
    /// # Errors
    /// As [`Lab::of_node`].
    pub fn peopled(
        kind: NodeKind,
        pinning: Pinning,
        wanted: &BTreeMap<String, String>,
        peers: Peers,
    ) -> Result<Self, HarnessError> {
        let make = |name: &str| {
            NetNs::new().map_err(|e| HarnessError::system(format!("make the {name} namespace"), e))
        };
        let (client, node, backends) = (make("client")?, make("node")?, make("backends")?);
        if kind.families().contains(&Family::Ipv6) {
            node.run(facility::has_ipv6)
                .map_err(|e| HarnessError::system("enter the node's namespace", e))??;
        }
        for (place, ns) in Place::ALL.into_iter().zip([&client, &node, &backends]) {
            sysctls::apply(kind, place, ns)?;
            sysctls::pin(place, ns, wanted)?;
        }
        links::connect(kind.families(), peers, &client, &node, &backends)?;
        let server = Server::start(&backends, kind.family, ENDPOINT_PORT, pinning)?;
        Ok(Self {
            kind,
            peers,
            client,
            node,
            backends,
            pinning,
            server,
            pinned: wanted.clone(),
        })
    }

    /// The family of the services that clients ask.
    #[must_use]
    pub const fn family(&self) -> Family {
        self.kind.family
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
            found.extend(sysctls::read(self.kind, place, ns, &self.pinned));
        }
        found
    }
}
