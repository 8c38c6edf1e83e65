//! A population as objects of Kubernetes: a service with one named port, and one endpoint slice with its endpoints.

use kube_api::{Change, EndpointPort, EndpointSlice, Kind, Node, Object, ServicePort};
use schema::{Family, Protocol};

use super::NODE;
use crate::service::{Plan, Service};

/// The namespace of every service; [`Service::name`] has it too.
const NAMESPACE: &str = "bench";

/// The lab's node. Its first address tells kube-proxy its primary family (`detectNodeIPs` of
/// cmd/kube-proxy/app/server.go).
pub(super) fn node(family: Family) -> Node {
    Node::named(NODE, &[Plan::of(family).node()])
}

/// The range of the services' addresses.
pub(super) fn service_range(family: Family) -> Change {
    Change::Put(Object::ServiceCidr(kube_api::ServiceCidr::of(vec![
        Plan::of(family).services.to_string(),
    ])))
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

/// The service is there.
pub(super) fn service(service: &Service) -> Change {
    let frontend = service.frontend;
    let port = ServicePort {
        name: port_name(service),
        protocol: protocol(frontend.protocol),
        port: frontend.port,
        target_port: service.endpoints.first().map_or(frontend.port, |e| e.port),
        node_port: None,
    };
    let name = name(service);
    let object = kube_api::Service::cluster_ip(NAMESPACE, &name, frontend.vip, vec![port]);
    Change::Put(Object::Service(object))
}

/// Its endpoints are there, on other nodes.
pub(super) fn slice(service: &Service) -> Change {
    let endpoints = service.endpoints.iter();
    let ready = endpoints.map(|e| kube_api::Endpoint::ready(e.address, Some("elsewhere")));
    let port = EndpointPort {
        name: port_name(service),
        protocol: protocol(service.frontend.protocol),
        port: service
            .endpoints
            .first()
            .map_or(service.frontend.port, |e| e.port),
    };
    let object = EndpointSlice::of(NAMESPACE, &name(service), ready.collect(), vec![port]);
    Change::Put(Object::EndpointSlice(object))
}

/// The service is gone.
pub(super) fn without_service(service: &Service) -> Change {
    Change::Delete(Kind::Service, Some(NAMESPACE.to_owned()), name(service))
}

/// Its endpoints are gone.
pub(super) fn without_slice(service: &Service) -> Change {
    let slice = format!("{}-slice", name(service));
    Change::Delete(Kind::EndpointSlice, Some(NAMESPACE.to_owned()), slice)
}

fn port_name(service: &Service) -> String {
    format!("p{}", service.frontend.port)
}
