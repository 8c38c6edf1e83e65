//! What of kube-proxy's own test population (`TestOverallNFTablesRules` in pkg/proxy/nftables/proxier_test.go of
//! kubernetes 1.32.13, 1.35.4, 1.36.3 and 1.37.2) is a ClusterIP, in every version.

use schema::{Family, KubeProxyVersion};

use super::layout::{endpoint_chains, hashed, service_chain};
use crate::datapath::nftables::Nftables;
use crate::datapath::{Datapath as _, RenderOptions, Transport};
use crate::service::{Plan, Population, Service};

/// What is in kube-proxy's dump whatever the version.
const ELEMENTS: &str = "
add element ip kube-proxy cluster-ips { 172.30.0.41 }
add element ip kube-proxy cluster-ips { 172.30.0.43 }
add element ip kube-proxy cluster-ips { 172.30.0.44 }
add element ip kube-proxy cluster-ips { 172.30.0.46 }
add element ip kube-proxy no-endpoint-services { 172.30.0.46 . tcp . 80 comment \"ns6/svc6:p80\" : goto reject-chain }
add element ip kube-proxy service-ips { 172.30.0.41 . tcp . 80 : goto service-ULMVA6XW-ns1/svc1/tcp/p80 }
add element ip kube-proxy service-ips { 172.30.0.43 . tcp . 80 : goto service-4AT6LBPK-ns3/svc3/tcp/p80 }
add element ip kube-proxy service-ips { 172.30.0.44 . tcp . 80 : goto service-LAUZTJTB-ns4/svc4/tcp/p80 }
add chain ip kube-proxy service-ULMVA6XW-ns1/svc1/tcp/p80
add chain ip kube-proxy service-4AT6LBPK-ns3/svc3/tcp/p80
add chain ip kube-proxy service-LAUZTJTB-ns4/svc4/tcp/p80
";

/// Chains of endpoints and their rules, before 1.36.
const ENDPOINTS: &str = "
add chain ip kube-proxy endpoint-5OJB2KTY-ns1/svc1/tcp/p80__10.180.0.1/80
add chain ip kube-proxy endpoint-UEIP74TE-ns3/svc3/tcp/p80__10.180.0.3/80
add chain ip kube-proxy endpoint-UNZV3OEC-ns4/svc4/tcp/p80__10.180.0.4/80
add chain ip kube-proxy endpoint-5RFCDDV7-ns4/svc4/tcp/p80__10.180.0.5/80
add rule ip kube-proxy service-ULMVA6XW-ns1/svc1/tcp/p80 numgen random mod 1 vmap { 0 : goto endpoint-5OJB2KTY-ns1/svc1/tcp/p80__10.180.0.1/80 }
add rule ip kube-proxy service-4AT6LBPK-ns3/svc3/tcp/p80 numgen random mod 1 vmap { 0 : goto endpoint-UEIP74TE-ns3/svc3/tcp/p80__10.180.0.3/80 }
add rule ip kube-proxy service-LAUZTJTB-ns4/svc4/tcp/p80 numgen random mod 2 vmap { 0 : goto endpoint-UNZV3OEC-ns4/svc4/tcp/p80__10.180.0.4/80 , 1 : goto endpoint-5RFCDDV7-ns4/svc4/tcp/p80__10.180.0.5/80 }
add rule ip kube-proxy endpoint-5OJB2KTY-ns1/svc1/tcp/p80__10.180.0.1/80 ip saddr 10.180.0.1 jump mark-for-masquerade
add rule ip kube-proxy endpoint-5OJB2KTY-ns1/svc1/tcp/p80__10.180.0.1/80 meta l4proto tcp dnat to 10.180.0.1:80
add rule ip kube-proxy endpoint-UEIP74TE-ns3/svc3/tcp/p80__10.180.0.3/80 ip saddr 10.180.0.3 jump mark-for-masquerade
add rule ip kube-proxy endpoint-UEIP74TE-ns3/svc3/tcp/p80__10.180.0.3/80 meta l4proto tcp dnat to 10.180.0.3:80
add rule ip kube-proxy endpoint-UNZV3OEC-ns4/svc4/tcp/p80__10.180.0.4/80 ip saddr 10.180.0.4 jump mark-for-masquerade
add rule ip kube-proxy endpoint-UNZV3OEC-ns4/svc4/tcp/p80__10.180.0.4/80 meta l4proto tcp dnat to 10.180.0.4:80
add rule ip kube-proxy endpoint-5RFCDDV7-ns4/svc4/tcp/p80__10.180.0.5/80 ip saddr 10.180.0.5 jump mark-for-masquerade
add rule ip kube-proxy endpoint-5RFCDDV7-ns4/svc4/tcp/p80__10.180.0.5/80 meta l4proto tcp dnat to 10.180.0.5:80
";

const WITH_PORT: &str = "
add rule ip kube-proxy service-ULMVA6XW-ns1/svc1/tcp/p80 ip daddr 172.30.0.41 tcp dport 80 ip saddr != 10.0.0.0/8 jump mark-for-masquerade
add rule ip kube-proxy service-4AT6LBPK-ns3/svc3/tcp/p80 ip daddr 172.30.0.43 tcp dport 80 ip saddr != 10.0.0.0/8 jump mark-for-masquerade
add rule ip kube-proxy service-LAUZTJTB-ns4/svc4/tcp/p80 ip daddr 172.30.0.44 tcp dport 80 ip saddr != 10.0.0.0/8 jump mark-for-masquerade
";

const WITHOUT_PORT: &str = "
add rule ip kube-proxy service-ULMVA6XW-ns1/svc1/tcp/p80 ip daddr 172.30.0.41 ip saddr != 10.0.0.0/8 jump mark-for-masquerade
add rule ip kube-proxy service-4AT6LBPK-ns3/svc3/tcp/p80 ip daddr 172.30.0.43 ip saddr != 10.0.0.0/8 jump mark-for-masquerade
add rule ip kube-proxy service-LAUZTJTB-ns4/svc4/tcp/p80 ip daddr 172.30.0.44 ip saddr != 10.0.0.0/8 jump mark-for-masquerade
";

const MAPS_ALL: &str = "
add rule ip kube-proxy service-ULMVA6XW-ns1/svc1/tcp/p80 meta l4proto tcp dnat ip addr . port to numgen random mod 1 map { 0 : 10.180.0.1 . 80 }
add rule ip kube-proxy service-4AT6LBPK-ns3/svc3/tcp/p80 meta l4proto tcp dnat ip addr . port to numgen random mod 1 map { 0 : 10.180.0.3 . 80 }
add rule ip kube-proxy service-LAUZTJTB-ns4/svc4/tcp/p80 meta l4proto tcp dnat ip addr . port to numgen random mod 2 map { 0 : 10.180.0.4 . 80 , 1 : 10.180.0.5 . 80 }
";

const MAPS_SOME: &str = "
add rule ip kube-proxy service-ULMVA6XW-ns1/svc1/tcp/p80 meta l4proto tcp dnat to 10.180.0.1:80
add rule ip kube-proxy service-4AT6LBPK-ns3/svc3/tcp/p80 meta l4proto tcp dnat to 10.180.0.3:80
add rule ip kube-proxy service-LAUZTJTB-ns4/svc4/tcp/p80 meta l4proto tcp dnat ip addr . port to numgen random mod 2 map { 0 : 10.180.0.4 . 80 , 1 : 10.180.0.5 . 80 }
";

#[test]
fn names_are_those_of_the_golden_services() {
    for (hash, name, endpoint_hash, endpoint) in [
        ("ULMVA6XW", "ns1/svc1", "5OJB2KTY", "10.180.0.1/80"),
        ("4AT6LBPK", "ns3/svc3", "UEIP74TE", "10.180.0.3/80"),
        ("LAUZTJTB", "ns4/svc4", "UNZV3OEC", "10.180.0.4/80"),
        ("LAUZTJTB", "ns4/svc4", "5RFCDDV7", "10.180.0.5/80"),
    ] {
        let own = format!("{name}/tcp/p80");
        let of = |kind, name: &str| hashed(kind, name).as_str().to_owned();
        assert_eq!(of("service", &own), format!("service-{hash}-{own}"));
        let endpoint = format!("{own}__{endpoint}");
        let expected = format!("endpoint-{endpoint_hash}-{endpoint}");
        assert_eq!(of("endpoint", &endpoint), expected);
    }
}

/// What the golden services add, with their names and range in place of ours.
fn added(version: KubeProxyVersion) -> Vec<String> {
    let golden = Service::golden();
    let services = golden.iter().map(|(service, _)| service.clone()).collect();
    let batch = Nftables::of(version, Family::Ipv4).render(
        Some(&Population::default()),
        &Population { services },
        &RenderOptions::by(Transport::Nft),
    );
    let mut text = batch.to_string();
    for (service, name) in &golden {
        let golden_name = |kind, rest: &str| hashed(kind, &format!("{name}/tcp/p80{rest}"));
        let own = golden_name("service", "");
        text = text.replace(service_chain(service).as_str(), own.as_str());
        for (chain, endpoint) in endpoint_chains(service).iter().zip(&service.endpoints) {
            let rest = format!("__{}/{}", endpoint.address, endpoint.port);
            text = text.replace(chain.as_str(), golden_name("endpoint", &rest).as_str());
        }
        text = text.replace(&service.name(), name);
    }
    text = text.replace(&Plan::of(Family::Ipv4).cluster.to_string(), "10.0.0.0/8");
    lines(&[&text])
}

/// Sorted, as the order of kube-proxy's dump is not that of its transaction; which flushes what it adds.
fn lines(texts: &[&str]) -> Vec<String> {
    let all = texts.iter().flat_map(|text| text.lines());
    let told = all.filter(|line| !line.is_empty() && !line.starts_with("flush "));
    let mut lines: Vec<String> = told.map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}

#[test]
fn the_golden_services_are_laid_out_as_kube_proxy_s_own_tests_have_them() {
    use KubeProxyVersion::{V1_32, V1_33, V1_34, V1_35, V1_36, V1_37};
    for (version, services) in [
        (V1_32, &[ENDPOINTS, WITH_PORT][..]),
        (V1_33, &[ENDPOINTS, WITH_PORT]),
        (V1_34, &[ENDPOINTS, WITHOUT_PORT]),
        (V1_35, &[ENDPOINTS, WITHOUT_PORT]),
        (V1_36, &[MAPS_ALL]),
        (V1_37, &[MAPS_SOME]),
    ] {
        let expected = lines(&[&[ELEMENTS], services].concat());
        assert_eq!(added(version), expected, "{version}");
    }
}
