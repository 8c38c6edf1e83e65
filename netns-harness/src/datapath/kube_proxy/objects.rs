//! A population as objects of Kubernetes: a service with one named port, and one endpoint slice with its endpoints. What an
//! object says follows from the service's fields, not from what type of services was asked for.

use std::net::IpAddr;

use kube_api::{
    Change, ClientIpConfig, EndpointPort, EndpointSlice, Ingress, Kind, LoadBalancerStatus, Node,
    Object, ServicePort, SessionAffinityConfig,
};
use schema::{Family, NodeKind, Protocol};

use super::NODE;
use crate::service::{Cidr, Exposure, Plan, Service, family};

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

/// The service is there; on a dual-stack node with an address of the other family too wherever it has one.
pub(super) fn service(service: &Service, node: NodeKind) -> Change {
    Change::Put(Object::Service(object(service, node)))
}

fn object(service: &Service, node: NodeKind) -> kube_api::Service {
    let (frontend, exposure) = (service.frontend, &service.exposure);
    let port = ServicePort {
        name: port_name(service),
        protocol: protocol(frontend.protocol),
        port: frontend.port,
        target_port: target_port(service),
        node_port: exposure.node_port,
    };
    let name = name(service);
    let mut object = kube_api::Service::cluster_ip(NAMESPACE, &name, frontend.vip, vec![port]);
    if let Some(twin) = twin(frontend.vip, node) {
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
    expose(&mut object, exposure, node);
    object
}

/// The address of the other family, where the node serves both.
fn twin(address: IpAddr, node: NodeKind) -> Option<IpAddr> {
    node.beside().and_then(|_| Plan::twin(address))
}

/// The same addresses, and on a dual-stack node those of the other family.
fn of_node(addresses: &[IpAddr], node: NodeKind) -> Vec<IpAddr> {
    let each = addresses.iter();
    each.flat_map(|address| [Some(*address), twin(*address, node)].into_iter().flatten())
        .collect()
}

/// The same ranges, and on a dual-stack node those of the other family.
fn ranges_of_node(ranges: &[Cidr], node: NodeKind) -> Vec<String> {
    let beside = node.beside().filter(|_| !ranges.is_empty());
    let beside = beside.map(|family| Plan::of(family).ranged);
    let all = ranges.iter().copied().chain(beside);
    all.map(|range| range.to_string()).collect()
}

/// What an API server holds of a service that has more than a ClusterIP. Fields that it fills in by default are there too:
/// policies, where the service is reached from outside.
fn expose(object: &mut kube_api::Service, exposure: &Exposure, node: NodeKind) {
    let spec = &mut object.spec;
    let service_type = match (exposure.load_balancer.is_empty(), exposure.node_port) {
        (false, _) => "LoadBalancer",
        (true, Some(_)) => "NodePort",
        (true, None) => "ClusterIP",
    };
    service_type.clone_into(&mut spec.service_type);
    if exposure.internal_local {
        spec.internal_traffic_policy = Some("Local");
    }
    if exposure.is_external() {
        spec.external_traffic_policy = Some(match exposure.external_local {
            true => "Local",
            false => "Cluster",
        });
    }
    spec.external_ips = of_node(&exposure.external, node);
    spec.load_balancer_source_ranges = ranges_of_node(&exposure.source_ranges, node);
    spec.health_check_node_port = exposure.health_check_port;
    if let Some(timeout_seconds) = exposure.affinity_s {
        spec.session_affinity = Some("ClientIP");
        spec.session_affinity_config = Some(SessionAffinityConfig {
            client_ip: ClientIpConfig { timeout_seconds },
        });
    }
    let addresses = of_node(&exposure.load_balancer, node).into_iter();
    object.status.load_balancer = LoadBalancerStatus {
        ingress: addresses
            .map(|ip| Ingress {
                ip,
                ip_mode: Some("VIP"),
            })
            .collect(),
    };
}

/// Its endpoints are there, on this node or on others: a slice for each family.
pub(super) fn slices(service: &Service, node: NodeKind) -> Vec<Change> {
    let own = slice(service, node.family, Some);
    let beside = node.beside();
    let beside = beside.map(|family| slice(service, family, Plan::twin));
    [own].into_iter().chain(beside).collect()
}

fn slice(service: &Service, family: Family, address: fn(IpAddr) -> Option<IpAddr>) -> Change {
    let ready = service.endpoints.iter().filter_map(|endpoint| {
        let on = match service.local.contains(endpoint) {
            true => NODE,
            false => "elsewhere",
        };
        let address = address(endpoint.address)?;
        Some(kube_api::Endpoint::ready(address, Some(on)))
    });
    let port = EndpointPort {
        name: port_name(service),
        protocol: protocol(service.frontend.protocol),
        port: target_port(service),
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

fn target_port(service: &Service) -> u16 {
    let first = service.endpoints.first();
    first.map_or(service.frontend.port, |endpoint| endpoint.port)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::service::{AFFINITY_S, Endpoint};

    const IPV4: NodeKind = NodeKind::single(Family::Ipv4);

    fn plain() -> Service {
        Service::of_test(2, 0x0a60_0001, 0x0a80_0001, 2)
    }

    fn with(exposure: Exposure) -> Service {
        Service {
            exposure,
            ..plain()
        }
    }

    fn json_of(service: &Service, node: NodeKind) -> Value {
        serde_json::to_value(object(service, node)).unwrap()
    }

    #[test]
    fn a_service_of_type_cluster_ip_says_what_it_said_before_there_were_others() {
        let wanted = json!({
            "spec": {
                "type": "ClusterIP",
                "clusterIP": "10.96.0.1",
                "clusterIPs": ["10.96.0.1"],
                "ipFamilies": ["IPv4"],
                "ipFamilyPolicy": "SingleStack",
                "ports": [{"name": "p80", "protocol": "TCP", "port": 80, "targetPort": 8080}],
                "sessionAffinity": "None",
                "internalTrafficPolicy": "Cluster",
            },
            "status": {"loadBalancer": {}},
        });
        assert_eq!(json_of(&plain(), IPV4), wanted);
    }

    #[test]
    fn a_load_balancer_has_its_address_ranges_policy_and_ports() {
        let plan = Plan::of(Family::Ipv4);
        let service = with(Exposure {
            node_port: Some(30_002),
            load_balancer: vec![plan.load_balancers.host(7)],
            source_ranges: vec![plan.ranged],
            external_local: true,
            health_check_port: Some(29_997),
            ..Exposure::default()
        });
        let json = json_of(&service, IPV4);
        let spec = &json["spec"];
        assert_eq!(spec["type"], "LoadBalancer");
        assert_eq!(spec["ports"][0]["nodePort"], 30_002);
        assert_eq!(spec["loadBalancerSourceRanges"], json!(["203.0.113.0/25"]));
        assert_eq!(spec["externalTrafficPolicy"], "Local");
        assert_eq!(spec["internalTrafficPolicy"], "Cluster");
        assert_eq!(spec["healthCheckNodePort"], 29_997);
        let ingress = json!([{"ip": "10.112.0.7", "ipMode": "VIP"}]);
        assert_eq!(json["status"]["loadBalancer"]["ingress"], ingress);
        // A dual-stack node has each of both families.
        let json = json_of(&service, NodeKind::dual(Family::Ipv4));
        let ranges = json!(["203.0.113.0/25", "2001:db8:113::/121"]);
        assert_eq!(json["spec"]["loadBalancerSourceRanges"], ranges);
        let ingress = &json["status"]["loadBalancer"]["ingress"];
        assert_eq!(ingress[1]["ip"], "fd00:10:112::7");
    }

    #[test]
    fn node_ports_external_addresses_and_affinity_are_said_where_kube_proxy_reads_them() {
        let node_port = json_of(
            &with(Exposure {
                node_port: Some(30_000),
                ..Exposure::default()
            }),
            IPV4,
        );
        assert_eq!(node_port["spec"]["type"], "NodePort");
        assert_eq!(node_port["spec"]["externalTrafficPolicy"], "Cluster");
        let external = json_of(
            &with(Exposure {
                external: vec![Plan::of(Family::Ipv4).externals.host(9)],
                ..Exposure::default()
            }),
            IPV4,
        );
        assert_eq!(external["spec"]["type"], "ClusterIP");
        assert_eq!(external["spec"]["externalIPs"], json!(["10.80.0.9"]));
        let affinity = json_of(
            &with(Exposure {
                affinity_s: Some(AFFINITY_S),
                internal_local: true,
                ..Exposure::default()
            }),
            IPV4,
        );
        let spec = &affinity["spec"];
        assert_eq!(spec["sessionAffinity"], "ClientIP");
        let timeout = json!({"clientIP": {"timeoutSeconds": 10_800}});
        assert_eq!(spec["sessionAffinityConfig"], timeout);
        assert_eq!(spec["internalTrafficPolicy"], "Local");
        assert!(spec.get("externalTrafficPolicy").is_none());
    }

    #[test]
    fn an_endpoint_says_which_node_it_is_on() {
        let plan = Plan::of(Family::Ipv4);
        let mut service = plain();
        let here = Endpoint {
            address: plan.local_endpoints.host(5),
            port: 8080,
        };
        service.exchange(1, here);
        service.local = vec![here];
        for node in [IPV4, NodeKind::dual(Family::Ipv4)] {
            for change in slices(&service, node) {
                let Change::Put(Object::EndpointSlice(slice)) = change else {
                    panic!("{change:?}");
                };
                let here = |e: &&kube_api::Endpoint| e.node_name.as_deref() == Some(NODE);
                let own: Vec<_> = slice.endpoints.iter().filter(here).collect();
                assert_eq!(slice.endpoints.len(), 2);
                let [own] = own[..] else {
                    panic!("{own:?}");
                };
                let wanted = Plan::of(family(own.addresses[0])).local_endpoints.host(5);
                assert_eq!(own.addresses, [wanted]);
            }
        }
    }
}
