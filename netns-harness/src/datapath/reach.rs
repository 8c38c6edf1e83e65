//! Which endpoints a service's packets may go to, as kube-proxy decides it on every node (`CategorizeEndpoints` in
//! pkg/proxy/topology.go and `BaseServicePortInfo` in serviceport.go of 1.37.2): all endpoints here are ready, and no topology
//! is hinted at.

use crate::service::{Endpoint, Plan, Service};

/// A service, seen from this node.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reach<'a>(pub(super) &'a Service);

impl<'a> Reach<'a> {
    /// Whether it is reached by anything but its ClusterIP.
    pub(super) fn exposed(self) -> bool {
        self.0.exposure.is_external()
    }

    /// Whether it has endpoints on any node (`hasAnyEndpoints`).
    pub(super) fn served(self) -> bool {
        !self.0.endpoints.is_empty()
    }

    /// Whether its ClusterIP leads anywhere on this node (`hasInternalEndpoints`).
    pub(super) fn served_internally(self) -> bool {
        self.served() && !(self.0.exposure.internal_local && self.0.local.is_empty())
    }

    /// Whether packets from outside of the cluster go anywhere on this node (`hasExternalEndpoints`).
    pub(super) fn served_externally(self) -> bool {
        self.served() && !(self.0.exposure.external_local && self.0.local.is_empty())
    }

    /// Endpoints under policy Cluster; none where nothing is under it. With policy Local they still serve pods of
    /// this node that use external addresses.
    pub(super) fn cluster(self) -> &'a [Endpoint] {
        match !self.0.exposure.internal_local || self.exposed() {
            true => &self.0.endpoints,
            false => &[],
        }
    }

    /// Endpoints under policy Local; none where nothing is under it.
    pub(super) fn local(self) -> &'a [Endpoint] {
        let exposure = &self.0.exposure;
        match exposure.internal_local || exposure.external_local && self.exposed() {
            true => &self.0.local,
            false => &[],
        }
    }

    /// All of both: those of this node are among those of the cluster.
    pub(super) fn all(self) -> &'a [Endpoint] {
        match self.cluster() {
            [] => self.local(),
            cluster => cluster,
        }
    }

    /// Whether only some may use its load balancer's addresses.
    pub(super) fn ranged(self) -> bool {
        let exposure = &self.0.exposure;
        !exposure.load_balancer.is_empty() && !exposure.source_ranges.is_empty()
    }

    /// Whether this node is among those who may (`allowFromNode`).
    pub(super) fn ranges_have_the_node(self) -> bool {
        let node = Plan::of(self.0.family()).node();
        let mut ranges = self.0.exposure.source_ranges.iter();
        ranges.any(|range| range.contains(node))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A service of two endpoints, the second on this node where `local`.
    fn service(local: bool) -> Service {
        let mut service = Service::of_test(0, 0x0a60_0001, 0x0a80_0000, 2);
        if local {
            service.local = vec![service.endpoints[1]];
        }
        service
    }

    #[test]
    fn a_clusterip_has_all_of_its_endpoints_and_uses_none_of_this_node_s_alone() {
        let service = service(true);
        let reach = Reach(&service);
        assert!(!reach.exposed() && reach.served_internally());
        assert_eq!((reach.cluster().len(), reach.local().len()), (2, 0));
        assert_eq!(reach.all(), service.endpoints);
    }

    #[test]
    fn an_internal_policy_of_local_leaves_what_other_nodes_have_to_external_addresses() {
        let mut inner = service(true);
        inner.exposure.internal_local = true;
        let reach = Reach(&inner);
        assert_eq!((reach.cluster().len(), reach.local().len()), (0, 1));
        assert_eq!(reach.all(), inner.local);
        let mut both = inner.clone();
        both.exposure.node_port = Some(30_001);
        let reach = Reach(&both);
        assert_eq!((reach.cluster().len(), reach.local().len()), (2, 1));
        assert_eq!(reach.all(), both.endpoints);
    }

    #[test]
    fn an_external_policy_of_local_says_nothing_of_the_clusterip() {
        let mut outer = service(false);
        outer.exposure.external_local = true;
        assert!(Reach(&outer).local().is_empty());
        outer.exposure.node_port = Some(30_001);
        let reach = Reach(&outer);
        assert!(reach.served_internally() && !reach.served_externally());
        outer.local = vec![outer.endpoints[0]];
        assert!(Reach(&outer).served_externally());
        assert_eq!(Reach(&outer).local().len(), 1);
    }

    #[test]
    fn without_endpoints_nothing_is_served_whatever_the_policy() {
        let mut none = service(false);
        none.endpoints.clear();
        for local in [false, true] {
            none.exposure.internal_local = local;
            none.exposure.external_local = local;
            let reach = Reach(&none);
            assert!(!reach.served() && !reach.served_internally() && !reach.served_externally());
        }
    }
}
