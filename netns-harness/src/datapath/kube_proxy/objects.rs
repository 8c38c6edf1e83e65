//! A population as objects of Kubernetes: a service with one named port, and one endpoint slice with its endpoints.

use std::net::IpAddr;

use kube_api::{Change, EndpointPort, EndpointSlice, Kind, Node, Object, ServicePort};
use schema::{Family, NodeKind, Protocol};

use super::NODE;
use crate::service::{Plan, Service, family};

/// The namespace of every service; [`Service::name`] has it too.
const NAMESPACE: &str = "bench";

/// The plans of what a node serves, IPv4 first where it serves both.
pub(super) fn plans(node: NodeKind) -> impl Iterator<Item = &'static Plan> {
    let families = Family::ALL.iter().copied();
    let served = families.filter(move |family| node.families().contains(family));
    served.map(Plan::of)
}

/// The lab's node. Its first address tells kube-proxy its primary family (`detectNodeIPs` of
/// cmd/kube-proxy/app/server.go).
pub(super) fn node(node: NodeKind) -> Node {
    let addresses: Vec<_> = plans(node).map(Plan::node).collect();
    Node::named(NODE, &addresses)
}

/// The ranges of the services' addresses.
pub(super) fn service_range(node: NodeKind) -> Change {
    let ranges = plans(node).map(|plan| plan.services.to_string());
    Change::Put(Object::ServiceCidr(kube_api::ServiceCidr::of(
        ranges.collect(),
    )))
}

fn name(service: &Service) -> String {
    format!("svc-{}", service.index)
}

const fn protocol(protocol: Protocol) -> kube_api::Protocol {
    match protocol {
        Protocol::Tcp => kube_api::Protocol::Tcp,
        Protocol::Udp => kube_api::Protocol::Udp,
    }
}

/// The service is there; on a dual-stack node with an address of the other family too.
pub(super) fn service(service: &Service, node: NodeKind) -> Change {
    let frontend = service.frontend;
    let port = ServicePort {
        name: port_name(service),
        protocol: protocol(frontend.protocol),
        port: frontend.port,
        target_port: service.endpoints.first().map_or(frontend.port, |e| e.port),
        node_port: None,
    };
    let name = name(service);
    let mut object = kube_api::Service::cluster_ip(NAMESPACE, &name, frontend.vip, vec![port]);
    if let Some(twin) = node.beside().and_then(|_| Plan::twin(frontend.vip)) {
        // IPv4 sorts before IPv6.
        let mut addresses = vec![frontend.vip, twin];
        addresses.sort_unstable();
        let spec = &mut object.spec;
        spec.cluster_ip = addresses.first().copied();
        let families = addresses.iter();
        spec.ip_families = families.map(|address| family(*address).words()).collect();
        spec.cluster_ips = addresses;
        spec.ip_family_policy = Some("RequireDualStack");
    }
    Change::Put(Object::Service(object))
}

/// Its endpoints are there, on other nodes: a slice for each family.
pub(super) fn slices(service: &Service, node: NodeKind) -> Vec<Change> {
    let own = slice(service, node.family, Some);
    let beside = node.beside();
    let beside = beside.map(|family| slice(service, family, Plan::twin));
    [own].into_iter().chain(beside).collect()
}

fn slice(service: &Service, family: Family, address: fn(IpAddr) -> Option<IpAddr>) -> Change {
    let endpoints = service.endpoints.iter().filter_map(|e| address(e.address));
    let ready = endpoints.map(|address| kube_api::Endpoint::ready(address, Some("elsewhere")));
    let port = EndpointPort {
        name: port_name(service),
        protocol: protocol(service.frontend.protocol),
        port: service
            .endpoints
            .first()
            .map_or(service.frontend.port, |e| e.port),
    };
    let mut object = EndpointSlice::of(NAMESPACE, &name(service), ready.collect(), vec![port]);
    object.metadata.name = slice_name(service, family);
    // One without endpoints is of a family, too.
    object.address_type = family.words();
    Change::Put(Object::EndpointSlice(object))
}

/// The service is gone.
pub(super) fn without_service(service: &Service) -> Change {
    Change::Delete(Kind::Service, Some(NAMESPACE.to_owned()), name(service))
}

/// Its endpoints are gone.
pub(super) fn without_slices(service: &Service, node: NodeKind) -> Vec<Change> {
    let families = node.families().iter();
    let gone = families.map(|family| {
        let slice = slice_name(service, *family);
        Change::Delete(Kind::EndpointSlice, Some(NAMESPACE.to_owned()), slice)
    });
    gone.collect()
}

fn slice_name(service: &Service, family: Family) -> String {
    let suffix = match family == service.family() {
        true => "",
        false => "-beside",
    };
    format!("{}-slice{suffix}", name(service))
}

fn port_name(service: &Service) -> String {
    format!("p{}", service.frontend.port)
}
