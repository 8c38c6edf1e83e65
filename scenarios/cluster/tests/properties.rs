//! Random populations, printed as an API server would and read back; and their shapes, in which nobody is to be found.
#![allow(missing_docs, reason = "tests are sentences")]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use cluster::{Endpoint, Name, Protocol, Service, ServiceType, Shape, Vip};
use proptest::prelude::*;
use serde_json::{Value, json};

/// An address that shows in a text: no port and no count has as many digits in a row as its last part.
fn address(six: bool, number: u32) -> IpAddr {
    match six {
        false => IpAddr::V4(Ipv4Addr::from(0x0a00_0000 | number & 0x00ff_ffff)),
        true => IpAddr::V6(Ipv6Addr::from(
            0xfd00_0000_0000_0000_0000_0000_0000_0000_u128 | u128::from(number),
        )),
    }
}

fn protocol() -> impl Strategy<Value = Protocol> {
    prop_oneof![
        Just(Protocol::Tcp),
        Just(Protocol::Udp),
        Just(Protocol::Sctp)
    ]
}

/// What a service is but for its name and its VIP.
fn service() -> impl Strategy<Value = (Service, bool)> {
    let kind = (protocol(), 1..=65_535_u16, 0..3_u8, any::<bool>());
    let outside = (0..3_usize, 0..3_usize, 0..2_usize, 1..=65_535_u16);
    let policies = (
        any::<bool>(),
        any::<bool>(),
        proptest::option::of(1..100_000_u32),
    );
    let endpoints = proptest::collection::vec((0..1_u32 << 24, 1..=65_535_u16), 0..5);
    (kind, outside, policies, endpoints).prop_map(|(kind, outside, policies, endpoints)| {
        let (protocol, port, service_type, six) = kind;
        let (externals, balanced, ranges, node_port) = outside;
        let service_type = [
            ServiceType::ClusterIp,
            ServiceType::NodePort,
            ServiceType::LoadBalancer,
        ][usize::from(service_type)];
        let is_balanced = service_type == ServiceType::LoadBalancer;
        let is_outside = service_type != ServiceType::ClusterIp;
        let some = |from: u32, many: usize| {
            (0..many as u32)
                .map(|i| Some(address(six, from + i)))
                .collect::<Vec<_>>()
        };
        let mut endpoints: Vec<Endpoint> = endpoints
            .into_iter()
            .map(|(number, port)| Endpoint {
                addr: Some(address(six, number)),
                port: Some(port),
                weight: None,
                local: None,
            })
            .collect();
        endpoints.sort_unstable();
        endpoints.dedup();
        let vip = Vip::Known(address(six, 0));
        let service = Service {
            service_type,
            node_port: is_outside.then_some(Some(node_port)),
            external_ips: some(0x00e0_0000, externals),
            load_balancer_ips: if is_balanced {
                some(0x00d0_0000, balanced)
            } else {
                Vec::new()
            },
            source_ranges: if is_balanced {
                (0..ranges)
                    .map(|_| {
                        Some(
                            if six { "fd00:77::/64" } else { "10.77.0.0/16" }
                                .parse()
                                .unwrap(),
                        )
                    })
                    .collect()
            } else {
                Vec::new()
            },
            external_local: policies.0 && (is_outside || externals > 0),
            internal_local: policies.1,
            affinity_seconds: policies.2.map(Some),
            endpoints: Some(endpoints),
            ..Service::new(vip, port, protocol)
        };
        (service, six)
    })
}

/// A population: each service on a VIP of its own, or on that of the one before if that has room for it.
fn population() -> impl Strategy<Value = Vec<Service>> {
    proptest::collection::vec((service(), any::<bool>()), 1..12).prop_map(|drawn| {
        let mut services: Vec<Service> = Vec::new();
        for (number, ((mut service, six), joins)) in drawn.into_iter().enumerate() {
            service.vip = Vip::Known(address(six, 0x0050_0000 + number as u32));
            let last = services.last().map(|s| s.vip);
            if let Some(vip) = last.filter(|vip| joins && vip.family() == service.vip.family()) {
                let taken = |s: &Service| {
                    s.vip == vip && s.port == service.port && s.protocol == service.protocol
                };
                if !services.iter().any(taken) {
                    service.vip = vip;
                }
            }
            service.name = Some(Name {
                namespace: format!("namespace-{}", number % 3),
                service: format!("service-{number}"),
                port: if number % 2 == 0 {
                    String::new()
                } else {
                    format!("port-{number}")
                },
            });
            services.push(service);
        }
        services
    })
}

/// The population as objects of the API: a Service and its slices for each, some endpoints not ready.
fn objects(services: &[Service]) -> Vec<Value> {
    let mut objects = Vec::new();
    for service in services {
        let name = service.name.as_ref().unwrap();
        let protocol = service.protocol.to_string().to_uppercase();
        let all = |ips: &[Option<IpAddr>]| {
            ips.iter()
                .map(|ip| ip.unwrap().to_string())
                .collect::<Vec<_>>()
        };
        let mut port = json!({"port": service.port, "protocol": protocol, "targetPort": "named"});
        let mut slice_port = json!({"protocol": protocol});
        if !name.port.is_empty() {
            port["name"] = json!(name.port);
            slice_port["name"] = json!(name.port);
        }
        if let Some(Some(node_port)) = service.node_port {
            port["nodePort"] = json!(node_port);
        }
        let vip = service.vip.address().unwrap().to_string();
        let ingress: Vec<Value> = all(&service.load_balancer_ips)
            .iter()
            .map(|ip| json!({"ip": ip}))
            .collect();
        let policy = |local: bool| if local { "Local" } else { "Cluster" };
        let mut spec = json!({
            "clusterIP": vip, "clusterIPs": [vip], "ports": [port], "selector": {"app": name.service},
            "type": match service.service_type {
                ServiceType::ClusterIp => "ClusterIP",
                ServiceType::NodePort => "NodePort",
                ServiceType::LoadBalancer => "LoadBalancer",
            },
            "externalIPs": all(&service.external_ips),
            "loadBalancerSourceRanges": service.source_ranges.iter().map(|net| net.unwrap().to_string()).collect::<Vec<_>>(),
            "externalTrafficPolicy": policy(service.external_local), "internalTrafficPolicy": policy(service.internal_local),
        });
        if let Some(Some(seconds)) = service.affinity_seconds {
            spec["sessionAffinity"] = json!("ClientIP");
            spec["sessionAffinityConfig"] = json!({"clientIP": {"timeoutSeconds": seconds}});
        }
        let metadata = json!({"name": name.service, "namespace": name.namespace, "uid": "1"});
        let status = json!({"loadBalancer": {"ingress": ingress}});
        objects.push(
            json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec, "status": status}),
        );
        let mut by_port: BTreeMap<u16, Vec<Value>> = BTreeMap::from([(
            1,
            vec![json!({"addresses": [vip], "conditions": {"ready": false}})],
        )]);
        for endpoint in service.endpoints.iter().flatten() {
            let ready = json!({"addresses": [endpoint.addr.unwrap().to_string()], "conditions": {"ready": true}});
            by_port
                .entry(endpoint.port.unwrap())
                .or_default()
                .push(ready);
        }
        for (port, endpoints) in by_port {
            let mut slice_port = slice_port.clone();
            slice_port["port"] = json!(port);
            objects.push(json!({
                "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
                "addressType": if vip.contains(':') { "IPv6" } else { "IPv4" },
                "metadata": {
                    "name": format!("{}-{port}", name.service),
                    "namespace": name.namespace,
                    "labels": {"kubernetes.io/service-name": name.service},
                },
                "ports": [slice_port], "endpoints": endpoints,
            }));
        }
    }
    objects
}

fn sorted(mut services: Vec<Service>) -> Vec<Service> {
    for service in &mut services {
        service
            .endpoints
            .iter_mut()
            .for_each(|endpoints| endpoints.sort_unstable());
    }
    services.sort_by_key(|service| (service.vip, service.port, service.protocol));
    services
}

fn read(text: &str) -> Vec<Service> {
    let cluster = cluster::read([("the-file-of-somebody", text.as_bytes())]).unwrap();
    assert_eq!(cluster.notes.not_understood, 0, "{:?}", cluster.notes);
    sorted(cluster.services)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn objects_are_read_back_as_the_services_that_they_are_of(services in population(), turn in 0..100_usize) {
        let mut objects = objects(&services);
        // In whatever order.
        let turn = turn % objects.len();
        objects.rotate_left(turn);
        let services = sorted(services);
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        prop_assert_eq!(&read(&list.to_string()), &services);
        prop_assert_eq!(&read(&serde_json::to_string_pretty(&list).unwrap()), &services);
        let lines: Vec<String> = objects.iter().map(Value::to_string).collect();
        prop_assert_eq!(&read(&lines.join("\n")), &services);
        // JSON is YAML, a document each.
        prop_assert_eq!(&read(&format!("---\n{}\n", lines.join("\n---\n"))), &services);
        // Parts of one cluster.
        let (one, other) = lines.split_at(turn);
        if !one.is_empty() {
            let (one, other) = (one.join("\n"), other.join("\n"));
            let both = [("one", one.as_bytes()), ("other", other.as_bytes())];
            prop_assert_eq!(&sorted(cluster::read(both).unwrap().services), &services);
        }
    }

    #[test]
    fn nobody_is_to_be_found_in_a_shape(services in population()) {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects(&services)});
        let text = list.to_string();
        let cluster = cluster::read([("the-file-of-somebody", text.as_bytes())]).unwrap();
        let shape = Shape::of(&cluster);
        let said = shape.text();
        for word in ["somebody", "service-", "namespace-", "port-"] {
            prop_assert!(!said.contains(word), "{word} in {said}");
        }
        for service in &services {
            let addresses = service.external_ips.iter().chain(&service.load_balancer_ips).flatten().copied();
            let addresses = addresses.chain(service.vip.address());
            let addresses = addresses.chain(service.endpoints.iter().flatten().filter_map(|e| e.addr));
            for address in addresses {
                prop_assert!(!said.contains(&address.to_string()), "{address} in {said}");
            }
        }
        // And it is the population all the same, in whatever order it came.
        let again = cluster::read([("shape", said.as_bytes())]).unwrap();
        prop_assert_eq!(&Shape::of(&again), &shape);
        prop_assert_eq!(Shape::of(&again).text(), said);
        prop_assert_eq!(again.services.len(), services.len());
        let mut turned = cluster;
        turned.services.reverse();
        turned.services.iter_mut().for_each(|s| s.endpoints.iter_mut().for_each(|e| e.reverse()));
        prop_assert_eq!(Shape::of(&turned).hash(), shape.hash());
    }
}
