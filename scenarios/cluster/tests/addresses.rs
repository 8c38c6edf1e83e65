//! Services of every type, policy and number of endpoints as kube-proxy lays them out: which address is which.
#![allow(missing_docs, reason = "tests are sentences")]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::net::IpAddr;

use cluster::{Cluster, Service, ServiceType};

/// Service `gate/post:knock`, 172.30.0.42:80: an external address, one of a load balancer, a node port, Local, endpoints
/// elsewhere alone. `gate/shut:knock`, 172.30.0.43:80: the same without any. `gate/plain`, 172.30.0.44:80: an external
/// address and no node port, without endpoints.
const IPTABLES: &str = include_str!("data/addresses-iptables.txt");

/// The same, as nftables has it since 1.36: external addresses and those of load balancers are told by nothing there.
const NFTABLES: &str = include_str!("data/addresses-nft.txt");

fn read(text: &str) -> Cluster {
    let cluster = cluster::read([("dump", text.as_bytes())]).unwrap();
    assert_eq!(
        (cluster.notes.not_understood, cluster.notes.left_out),
        (0, 0),
        "{:?}",
        cluster.notes
    );
    cluster
}

fn named<'a>(cluster: &'a Cluster, name: &str) -> &'a Service {
    let is = |service: &&Service| service.name.as_ref().is_some_and(|n| n.to_string() == name);
    cluster.services.iter().find(is).unwrap()
}

fn addresses(of: &[Option<IpAddr>]) -> Vec<String> {
    let mut all: Vec<String> = of.iter().map(|ip| ip.unwrap().to_string()).collect();
    all.sort_unstable();
    all
}

#[test]
fn an_address_that_is_refused_is_known_by_where_it_is_served() {
    let cluster = read(IPTABLES);
    let post = named(&cluster, "gate/post:knock");
    assert_eq!(post.to_string(), "172.30.0.42:80/tcp");
    assert_eq!(addresses(&post.external_ips), ["192.168.99.22"]);
    assert_eq!(addresses(&post.load_balancer_ips), ["1.2.3.4"]);
    assert_eq!(
        (post.node_port, post.external_local, post.internal_local),
        (Some(Some(3001)), true, false)
    );
    let endpoint = post.endpoints.as_ref().unwrap()[0];
    assert_eq!((endpoint.port, endpoint.local), (Some(8080), Some(false)));
}

#[test]
fn nftables_has_all_addresses_though_not_which_is_which() {
    let cluster = read(NFTABLES);
    let post = named(&cluster, "gate/post:knock");
    // With a node port they are taken for a load balancer's.
    assert_eq!(addresses(&post.external_ips), [""; 0]);
    assert_eq!(
        addresses(&post.load_balancer_ips),
        ["1.2.3.4", "192.168.99.22"]
    );
    assert_eq!(
        (post.node_port, post.external_local, post.internal_local),
        (Some(Some(3001)), true, false)
    );
}

#[test]
fn a_service_without_endpoints_has_its_addresses_and_its_type_all_the_same() {
    for text in [IPTABLES, NFTABLES] {
        let cluster = read(text);
        assert_eq!(cluster.services.len(), 3);
        let shut = named(&cluster, "gate/shut:knock");
        assert_eq!(shut.to_string(), "172.30.0.43:80/tcp");
        assert_eq!(
            (shut.service_type, shut.node_port),
            (ServiceType::LoadBalancer, Some(Some(3002)))
        );
        assert_eq!(addresses(&shut.load_balancer_ips), ["1.2.3.5"]);
        assert_eq!(
            (shut.endpoints.as_deref(), shut.external_local),
            (Some(&[][..]), false)
        );
        let plain = named(&cluster, "gate/plain");
        assert_eq!(plain.to_string(), "172.30.0.44:80/tcp");
        assert_eq!(
            (plain.service_type, plain.node_port),
            (ServiceType::ClusterIp, None)
        );
        assert_eq!(addresses(&plain.external_ips), ["192.168.99.33"]);
    }
}

#[test]
fn an_address_whose_service_is_not_there_is_left_out_and_said() {
    let line = |text: &str, with: &str| {
        text.lines()
            .filter(|line| !line.contains(with))
            .collect::<Vec<_>>()
            .join("\n")
    };
    for (text, with) in [
        (line(IPTABLES, "172.30.0.42"), "192.168.99.22:80/tcp"),
        (line(NFTABLES, "172.30.0.42 . tcp"), "192.168.99.22:80/tcp"),
    ] {
        let cluster = cluster::read([("dump", text.as_bytes())]).unwrap();
        let said = cluster
            .notes
            .listed
            .iter()
            .any(|note| note.what.contains(with));
        assert!(said, "{:?} {:?}", cluster.notes, cluster.services);
    }
}

#[test]
fn a_chain_of_the_oldest_layout_says_that_only_local_endpoints_answer() {
    let cluster = read(include_str!("data/oldest-iptables.txt"));
    let service = &cluster.services[0];
    assert_eq!(addresses(&service.load_balancer_ips), ["203.0.113.9"]);
    assert!(service.external_local);
    let local: Vec<_> = service
        .endpoints
        .iter()
        .flatten()
        .map(|e| e.local)
        .collect();
    assert_eq!(local, [Some(true), Some(false)]);
}
