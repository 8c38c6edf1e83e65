//! What of kube-proxy's own test population (`TestOverallNFTablesRules` in pkg/proxy/nftables/proxier_test.go of
//! kubernetes 1.32.13, 1.35.4, 1.36.3 and 1.37.2, for IPv6 `TestOverallNFTablesRulesIPv6` of 1.37.2) is a ClusterIP, in
//! every version.

use std::net::IpAddr;

use schema::{Family, KubeProxyVersion};

use super::layout::{FullSync, Layout, endpoint_chains, hashed, service_chain};
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
        // In 1.37 only a service with session affinity has a chain of an endpoint; before 1.36 every one had.
        ("HVFWP5L3", "ns5/svc5", "5HFFSBBM", "fd00.10.180..3/80"),
        ("ULMVA6XW", "ns1/svc1", "ZVRFLKHO", "fd00.10.180..1/80"),
        ("ULMVA6XW", "ns1/svc1", "2CRNCTTE", "fd00.10.180..2.1/80"),
    ] {
        let own = format!("{name}/tcp/p80");
        let of = |kind, name: &str| hashed(kind, name).as_str().to_owned();
        assert_eq!(of("service", &own), format!("service-{hash}-{own}"));
        let endpoint = format!("{own}__{endpoint}");
        let expected = format!("endpoint-{endpoint_hash}-{endpoint}");
        assert_eq!(of("endpoint", &endpoint), expected);
    }
}

/// The golden services of a family. That of IPv6 has fd00:172:30::41 for 172.30.0.41.
fn golden(family: Family) -> Vec<(Service, &'static str)> {
    let moved = |address: &mut IpAddr| {
        if let (Family::Ipv6, IpAddr::V4(ipv4)) = (family, *address) {
            let [a, b, _, last] = ipv4.octets();
            *address = format!("fd00:{a}:{b}::{last}").parse().unwrap();
        }
    };
    let of_family = |(mut service, name): (Service, _)| {
        moved(&mut service.frontend.vip);
        let endpoints = service.endpoints.iter_mut();
        endpoints.for_each(|endpoint| moved(&mut endpoint.address));
        (service, name)
    };
    Service::golden().into_iter().map(of_family).collect()
}

/// What the golden services add, with their names and range in place of ours.
fn added(version: KubeProxyVersion, family: Family) -> Vec<String> {
    let golden = golden(family);
    let services = golden.iter().map(|(service, _)| service.clone()).collect();
    let batch = Nftables::of(version, family).render(
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
            let address = endpoint.address.to_string().replace(':', ".");
            let rest = format!("__{address}/{}", endpoint.port);
            text = text.replace(chain.as_str(), golden_name("endpoint", &rest).as_str());
        }
        text = text.replace(&service.name(), name);
    }
    let cluster = match family {
        Family::Ipv4 => "10.0.0.0/8",
        Family::Ipv6 => "fd00:10::/64",
    };
    text = text.replace(&Plan::of(family).cluster.to_string(), cluster);
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
        assert_eq!(added(version, Family::Ipv4), expected, "{version}");
    }
}

const ELEMENTS_IPV6: &str = "
add element ip6 kube-proxy cluster-ips { fd00:172:30::41 }
add element ip6 kube-proxy cluster-ips { fd00:172:30::43 }
add element ip6 kube-proxy cluster-ips { fd00:172:30::44 }
add element ip6 kube-proxy cluster-ips { fd00:172:30::46 }
add element ip6 kube-proxy no-endpoint-services { fd00:172:30::46 . tcp . 80 comment \"ns6/svc6:p80\" : goto reject-chain }
add element ip6 kube-proxy service-ips { fd00:172:30::41 . tcp . 80 : goto service-ULMVA6XW-ns1/svc1/tcp/p80 }
add element ip6 kube-proxy service-ips { fd00:172:30::43 . tcp . 80 : goto service-4AT6LBPK-ns3/svc3/tcp/p80 }
add element ip6 kube-proxy service-ips { fd00:172:30::44 . tcp . 80 : goto service-LAUZTJTB-ns4/svc4/tcp/p80 }
add chain ip6 kube-proxy service-ULMVA6XW-ns1/svc1/tcp/p80
add chain ip6 kube-proxy service-4AT6LBPK-ns3/svc3/tcp/p80
add chain ip6 kube-proxy service-LAUZTJTB-ns4/svc4/tcp/p80
";

const MAPS_ALL_IPV6: &str = "
add rule ip6 kube-proxy service-ULMVA6XW-ns1/svc1/tcp/p80 meta l4proto tcp dnat ip6 addr . port to numgen random mod 1 map { 0 : fd00:10:180::1 . 80 }
add rule ip6 kube-proxy service-4AT6LBPK-ns3/svc3/tcp/p80 meta l4proto tcp dnat ip6 addr . port to numgen random mod 1 map { 0 : fd00:10:180::3 . 80 }
add rule ip6 kube-proxy service-LAUZTJTB-ns4/svc4/tcp/p80 meta l4proto tcp dnat ip6 addr . port to numgen random mod 2 map { 0 : fd00:10:180::4 . 80 , 1 : fd00:10:180::5 . 80 }
";

const MAPS_SOME_IPV6: &str = "
add rule ip6 kube-proxy service-ULMVA6XW-ns1/svc1/tcp/p80 meta l4proto tcp dnat to [fd00:10:180::1]:80
add rule ip6 kube-proxy service-4AT6LBPK-ns3/svc3/tcp/p80 meta l4proto tcp dnat to [fd00:10:180::3]:80
add rule ip6 kube-proxy service-LAUZTJTB-ns4/svc4/tcp/p80 meta l4proto tcp dnat ip6 addr . port to numgen random mod 2 map { 0 : fd00:10:180::4 . 80 , 1 : fd00:10:180::5 . 80 }
";

/// Services with the numbers of their endpoints, by which their addresses end.
const SERVED: [(&str, &str, &[u8]); 3] = [
    ("ns1/svc1", "fd00:172:30::41", &[1]),
    ("ns3/svc3", "fd00:172:30::43", &[3]),
    ("ns4/svc4", "fd00:172:30::44", &[4, 5]),
];

/// Chains and rules before 1.36, in the words of the dump of a kube-proxy like 1.32 that knftables tests with
/// (`TestFakeParseDump` in fake_test.go of 0.0.22).
fn chains_ipv6(port: &str) -> String {
    let mut text = String::new();
    for (name, vip, endpoints) in SERVED {
        let base = format!("{name}/tcp/p80");
        let service = hashed("service", &base);
        let chain = |n: &u8| hashed("endpoint", &format!("{base}__fd00.10.180..{n}/80"));
        text += &format!(
            "add rule ip6 kube-proxy {service} ip6 daddr {vip}{port} ip6 saddr != fd00:10::/64 jump mark-for-masquerade\n"
        );
        let drawn: Vec<String> = (0..)
            .zip(endpoints)
            .map(|(i, n): (u8, _)| format!("{i} : goto {}", chain(n)))
            .collect();
        text += &format!(
            "add rule ip6 kube-proxy {service} numgen random mod {} vmap {{ {} }}\n",
            endpoints.len(),
            drawn.join(" , ")
        );
        for n in endpoints {
            let endpoint = chain(n);
            text += &format!(
                "add chain ip6 kube-proxy {endpoint}\n\
                 add rule ip6 kube-proxy {endpoint} ip6 saddr fd00:10:180::{n} jump mark-for-masquerade\n\
                 add rule ip6 kube-proxy {endpoint} meta l4proto tcp dnat to [fd00:10:180::{n}]:80\n"
            );
        }
    }
    text
}

#[test]
fn the_golden_services_of_ipv6_are_laid_out_as_kube_proxy_s_own_tests_have_them() {
    use KubeProxyVersion::{V1_32, V1_33, V1_34, V1_35, V1_36, V1_37};
    let (with_port, without) = (chains_ipv6(" tcp dport 80"), chains_ipv6(""));
    for (version, services) in [
        (V1_32, with_port.as_str()),
        (V1_33, with_port.as_str()),
        (V1_34, without.as_str()),
        (V1_35, without.as_str()),
        (V1_36, MAPS_ALL_IPV6),
        (V1_37, MAPS_SOME_IPV6),
    ] {
        let expected = lines(&[ELEMENTS_IPV6, services]);
        assert_eq!(added(version, Family::Ipv6), expected, "{version}");
    }
}

/// What a kube-proxy of 1.37 writes whatever the services (`baseRulesV6`), with our node and ranges.
#[test]
fn the_base_of_ipv6_is_that_of_kube_proxy_s_own_tests() {
    let base = Layout::of(KubeProxyVersion::V1_37, Family::Ipv6).base(FullSync::Later);
    let script = nft_codec::script(&base);
    for line in [
        "add table ip6 kube-proxy { comment \"rules for kube-proxy\" ; }",
        "add set ip6 kube-proxy cluster-ips { type ipv6_addr ; comment \"Active ClusterIPs\" ; }",
        "add set ip6 kube-proxy nodeport-ips { type ipv6_addr ; comment \"IPs that accept NodePort traffic\" ; }",
        "add set ip6 kube-proxy hairpin-connections { type ipv6_addr . ipv6_addr . inet_proto . inet_service ; comment \"service hairpin connections\" ; }",
        "add map ip6 kube-proxy no-endpoint-nodeports { type inet_proto . inet_service : verdict ; comment \"vmap to drop or reject packets to service nodeports with no endpoints\" ; }",
        "add map ip6 kube-proxy service-ips { type ipv6_addr . inet_proto . inet_service : verdict ; comment \"ClusterIP, ExternalIP and LoadBalancer IP traffic\" ; }",
        "add rule ip6 kube-proxy cluster-ips-check ip6 daddr @cluster-ips reject comment \"Reject traffic to invalid ports of ClusterIPs\"",
        "add rule ip6 kube-proxy cluster-ips-check ip6 daddr fd00:10:96::/108 drop comment \"Drop traffic to unallocated ClusterIPs\"",
        "add rule ip6 kube-proxy firewall-check ip6 daddr . meta l4proto . th dport vmap @firewall-ips",
        "add rule ip6 kube-proxy masquerading ct status dnat ip6 saddr . ip6 daddr . meta l4proto . th dport @hairpin-connections masquerade fully-random",
        "add rule ip6 kube-proxy nodeport-endpoints-check ip6 daddr @nodeport-ips meta l4proto . th dport vmap @no-endpoint-nodeports",
        "add rule ip6 kube-proxy reject-chain reject",
        "add rule ip6 kube-proxy services ip6 daddr @cluster-ips ip6 saddr != fd00:10:128::/105 mark set mark or 0x4000 comment \"masquerade clusterIP traffic from outside cluster\"",
        "add rule ip6 kube-proxy services ip6 daddr . meta l4proto . th dport vmap @service-ips",
        "add rule ip6 kube-proxy services ip6 daddr @nodeport-ips meta l4proto . th dport vmap @service-nodeports",
        "add element ip6 kube-proxy nodeport-ips { fd00:192:168:100::1 }",
        "add rule ip6 kube-proxy service-endpoints-check ip6 daddr . meta l4proto . th dport vmap @no-endpoint-services",
    ] {
        assert!(script.lines().any(|there| there == line), "{line}");
    }
}
