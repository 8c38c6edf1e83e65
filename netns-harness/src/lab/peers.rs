//! Who a lab has besides pods that ask and endpoints on other nodes: what a population needs and no more, so that a lab of
//! ordinary services is the same whether others have more or not.

use crate::service::{Endpoint, Plan, Population, Service};

/// Who there is besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Peers {
    /// Endpoints on the node itself ([`Plan::local_endpoints`]).
    ///
    /// [`Plan::local_endpoints`]: crate::service::Plan::local_endpoints
    pub local_endpoints: bool,
    /// Endpoints beyond those of [`Plan::endpoints`] ([`Plan::more_endpoints`]).
    ///
    /// [`Plan::endpoints`]: crate::service::Plan::endpoints
    /// [`Plan::more_endpoints`]: crate::service::Plan::more_endpoints
    pub many_endpoints: bool,
    /// Clients outside of the cluster ([`Plan::outside`]).
    ///
    /// [`Plan::outside`]: crate::service::Plan::outside
    pub outside: bool,
    /// As many pods as the plan has addresses for: services remember their clients, and only one that they do not know is
    /// sent to a random endpoint.
    pub newcomers: bool,
}

impl Peers {
    /// Those that a population needs.
    #[must_use]
    pub fn of(population: &Population) -> Self {
        let any = |has: fn(&Service) -> bool| population.services.iter().any(has);
        let beyond = |endpoint: &Endpoint| {
            let ranges = Plan::of(endpoint.family()).more_endpoints;
            ranges.iter().any(|range| range.contains(endpoint.address))
        };
        let mut endpoints = population.services.iter().flat_map(|s| &s.endpoints);
        Self {
            many_endpoints: endpoints.any(beyond),
            local_endpoints: any(|service| !service.local.is_empty()),
            outside: any(|service| service.exposure.is_external()),
            newcomers: any(|service| service.exposure.affinity_s.is_some()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_with_a_cluster_ip_alone_need_nobody_besides_and_others_what_their_fields_say() {
        let needed = |services: Vec<Service>| Peers::of(&Population { services });
        let plain = vec![Service::of_test(0, 0x0a60_0001, 0x0a80_0001, 2)];
        assert_eq!(needed(plain), Peers::default());
        let [_, (local, _), (port, _), (external, _), (affinity, _), _] = Service::six();
        let outside = Peers {
            outside: true,
            ..Peers::default()
        };
        assert_eq!(needed(vec![local]), outside);
        assert_eq!(needed(vec![port]), outside);
        let here = Peers {
            local_endpoints: true,
            ..outside
        };
        assert_eq!(needed(vec![external]), here);
        let remembered = Peers {
            newcomers: true,
            ..outside
        };
        assert_eq!(needed(vec![affinity]), remembered);
    }
}
