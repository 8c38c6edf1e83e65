//! A service as one reader found it, before what several say of it is brought together.

use crate::service::Service;

/// What kind of thing said so. In the order in which they are believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Source {
    /// Objects of the Kubernetes API.
    Api,
    /// A table of kube-proxy's in nftables mode.
    Nftables,
    /// Chains of kube-proxy's in iptables mode.
    Iptables,
    /// Virtual servers.
    Ipvs,
    /// Sets of kube-proxy's in ipvs mode, which have no endpoints.
    Ipset,
    /// A shape.
    Shape,
}

/// A service that was found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) service: Service,
    pub(crate) source: Source,
    /// Which file, and in which line of it.
    pub(crate) file: usize,
    pub(crate) line: Option<u64>,
}
