//! kube-proxy's own test population of six services, every kind among them (`TestOverallNFTablesRules` in
//! pkg/proxy/nftables/proxier_test.go of kubernetes 1.37.2 and, before endpoints lost their chains, of 1.34), in every
//! version. That of 1.36 is inferred from 1.37.2, whose single endpoints alone are other rules.

use std::net::IpAddr;

use schema::{Family, KubeProxyVersion};

use super::layout::{chain_of, hashed, names_of};
use crate::datapath::nftables::Nftables;
use crate::datapath::{Datapath as _, RenderOptions, Transport};
use crate::service::{Plan, Population, Service};

/// What is in every version's dump.
const COMMON: &str = r#"
add chain ip kube-proxy service-ULMVA6XW-ns1/svc1/tcp/p80
add element ip kube-proxy cluster-ips { 172.30.0.41 }
add element ip kube-proxy service-ips { 172.30.0.41 . tcp . 80 : goto service-ULMVA6XW-ns1/svc1/tcp/p80 }
add chain ip kube-proxy service-42NFTM6N-ns2/svc2/tcp/p80
add chain ip kube-proxy external-42NFTM6N-ns2/svc2/tcp/p80
add rule ip kube-proxy external-42NFTM6N-ns2/svc2/tcp/p80 ip saddr 10.0.0.0/8 goto service-42NFTM6N-ns2/svc2/tcp/p80 comment "short-circuit pod traffic"
add rule ip kube-proxy external-42NFTM6N-ns2/svc2/tcp/p80 fib saddr type local MARK comment "masquerade local traffic"
add rule ip kube-proxy external-42NFTM6N-ns2/svc2/tcp/p80 fib saddr type local goto service-42NFTM6N-ns2/svc2/tcp/p80 comment "short-circuit local traffic"
add element ip kube-proxy cluster-ips { 172.30.0.42 }
add element ip kube-proxy service-ips { 172.30.0.42 . tcp . 80 : goto service-42NFTM6N-ns2/svc2/tcp/p80 }
add element ip kube-proxy service-ips { 192.168.99.22 . tcp . 80 : goto external-42NFTM6N-ns2/svc2/tcp/p80 }
add element ip kube-proxy service-ips { 1.2.3.4 . tcp . 80 : goto external-42NFTM6N-ns2/svc2/tcp/p80 }
add element ip kube-proxy service-nodeports { tcp . 3001 : goto external-42NFTM6N-ns2/svc2/tcp/p80 }
add element ip kube-proxy no-endpoint-nodeports { tcp . 3001 comment "ns2/svc2:p80" : drop }
add element ip kube-proxy no-endpoint-services { 1.2.3.4 . tcp . 80 comment "ns2/svc2:p80" : drop }
add element ip kube-proxy no-endpoint-services { 192.168.99.22 . tcp . 80 comment "ns2/svc2:p80" : drop }
add chain ip kube-proxy service-4AT6LBPK-ns3/svc3/tcp/p80
add chain ip kube-proxy external-4AT6LBPK-ns3/svc3/tcp/p80
add rule ip kube-proxy external-4AT6LBPK-ns3/svc3/tcp/p80 MASQUERADE
add rule ip kube-proxy external-4AT6LBPK-ns3/svc3/tcp/p80 goto service-4AT6LBPK-ns3/svc3/tcp/p80
add element ip kube-proxy cluster-ips { 172.30.0.43 }
add element ip kube-proxy service-ips { 172.30.0.43 . tcp . 80 : goto service-4AT6LBPK-ns3/svc3/tcp/p80 }
add element ip kube-proxy service-nodeports { tcp . 3003 : goto external-4AT6LBPK-ns3/svc3/tcp/p80 }
add chain ip kube-proxy service-LAUZTJTB-ns4/svc4/tcp/p80
add chain ip kube-proxy external-LAUZTJTB-ns4/svc4/tcp/p80
add rule ip kube-proxy external-LAUZTJTB-ns4/svc4/tcp/p80 MASQUERADE
add rule ip kube-proxy external-LAUZTJTB-ns4/svc4/tcp/p80 goto service-LAUZTJTB-ns4/svc4/tcp/p80
add element ip kube-proxy cluster-ips { 172.30.0.44 }
add element ip kube-proxy service-ips { 172.30.0.44 . tcp . 80 : goto service-LAUZTJTB-ns4/svc4/tcp/p80 }
add element ip kube-proxy service-ips { 192.168.99.33 . tcp . 80 : goto external-LAUZTJTB-ns4/svc4/tcp/p80 }
add set ip kube-proxy affinity-GTK6MW7G-ns5/svc5/tcp/p80__10.180.0.3/80 { type ipv4_addr ; flags dynamic,timeout ; timeout 10800s ; }
add chain ip kube-proxy service-HVFWP5L3-ns5/svc5/tcp/p80
add rule ip kube-proxy service-HVFWP5L3-ns5/svc5/tcp/p80 ip saddr @affinity-GTK6MW7G-ns5/svc5/tcp/p80__10.180.0.3/80 goto endpoint-GTK6MW7G-ns5/svc5/tcp/p80__10.180.0.3/80
add rule ip kube-proxy service-HVFWP5L3-ns5/svc5/tcp/p80 numgen random mod 1 vmap { 0 : goto endpoint-GTK6MW7G-ns5/svc5/tcp/p80__10.180.0.3/80 }
add chain ip kube-proxy external-HVFWP5L3-ns5/svc5/tcp/p80
add rule ip kube-proxy external-HVFWP5L3-ns5/svc5/tcp/p80 MASQUERADE
add rule ip kube-proxy external-HVFWP5L3-ns5/svc5/tcp/p80 goto service-HVFWP5L3-ns5/svc5/tcp/p80
add chain ip kube-proxy endpoint-GTK6MW7G-ns5/svc5/tcp/p80__10.180.0.3/80
add rule ip kube-proxy endpoint-GTK6MW7G-ns5/svc5/tcp/p80__10.180.0.3/80 update @affinity-GTK6MW7G-ns5/svc5/tcp/p80__10.180.0.3/80 { ip saddr }
add rule ip kube-proxy endpoint-GTK6MW7G-ns5/svc5/tcp/p80__10.180.0.3/80 meta l4proto tcp dnat to 10.180.0.3:80
add chain ip kube-proxy firewall-HVFWP5L3-ns5/svc5/tcp/p80
add rule ip kube-proxy firewall-HVFWP5L3-ns5/svc5/tcp/p80 ip saddr != { 203.0.113.0/25 } drop
add element ip kube-proxy cluster-ips { 172.30.0.45 }
add element ip kube-proxy service-ips { 172.30.0.45 . tcp . 80 : goto service-HVFWP5L3-ns5/svc5/tcp/p80 }
add element ip kube-proxy service-ips { 5.6.7.8 . tcp . 80 : goto external-HVFWP5L3-ns5/svc5/tcp/p80 }
add element ip kube-proxy service-nodeports { tcp . 3002 : goto external-HVFWP5L3-ns5/svc5/tcp/p80 }
add element ip kube-proxy firewall-ips { 5.6.7.8 . tcp . 80 : goto firewall-HVFWP5L3-ns5/svc5/tcp/p80 }
add element ip kube-proxy cluster-ips { 172.30.0.46 }
add element ip kube-proxy no-endpoint-services { 172.30.0.46 . tcp . 80 comment "ns6/svc6:p80" : goto reject-chain }
"#;

/// Before 1.36: PORT is what a service's first rule names of it.
const CHAINS: &str = r#"
add rule ip kube-proxy service-ULMVA6XW-ns1/svc1/tcp/p80 ip daddr 172.30.0.41PORT ip saddr != 10.0.0.0/8 jump mark-for-masquerade
add rule ip kube-proxy service-ULMVA6XW-ns1/svc1/tcp/p80 numgen random mod 1 vmap { 0 : goto endpoint-5OJB2KTY-ns1/svc1/tcp/p80__10.180.0.1/80 }
add chain ip kube-proxy endpoint-5OJB2KTY-ns1/svc1/tcp/p80__10.180.0.1/80
add rule ip kube-proxy endpoint-5OJB2KTY-ns1/svc1/tcp/p80__10.180.0.1/80 ip saddr 10.180.0.1 jump mark-for-masquerade
add rule ip kube-proxy endpoint-5OJB2KTY-ns1/svc1/tcp/p80__10.180.0.1/80 meta l4proto tcp dnat to 10.180.0.1:80
add rule ip kube-proxy service-42NFTM6N-ns2/svc2/tcp/p80 ip daddr 172.30.0.42PORT ip saddr != 10.0.0.0/8 jump mark-for-masquerade
add rule ip kube-proxy service-42NFTM6N-ns2/svc2/tcp/p80 numgen random mod 1 vmap { 0 : goto endpoint-SGOXE6O3-ns2/svc2/tcp/p80__10.180.0.2/80 }
add chain ip kube-proxy endpoint-SGOXE6O3-ns2/svc2/tcp/p80__10.180.0.2/80
add rule ip kube-proxy endpoint-SGOXE6O3-ns2/svc2/tcp/p80__10.180.0.2/80 ip saddr 10.180.0.2 jump mark-for-masquerade
add rule ip kube-proxy endpoint-SGOXE6O3-ns2/svc2/tcp/p80__10.180.0.2/80 meta l4proto tcp dnat to 10.180.0.2:80
add rule ip kube-proxy service-4AT6LBPK-ns3/svc3/tcp/p80 ip daddr 172.30.0.43PORT ip saddr != 10.0.0.0/8 jump mark-for-masquerade
add rule ip kube-proxy service-4AT6LBPK-ns3/svc3/tcp/p80 numgen random mod 1 vmap { 0 : goto endpoint-UEIP74TE-ns3/svc3/tcp/p80__10.180.0.3/80 }
add chain ip kube-proxy endpoint-UEIP74TE-ns3/svc3/tcp/p80__10.180.0.3/80
add rule ip kube-proxy endpoint-UEIP74TE-ns3/svc3/tcp/p80__10.180.0.3/80 ip saddr 10.180.0.3 jump mark-for-masquerade
add rule ip kube-proxy endpoint-UEIP74TE-ns3/svc3/tcp/p80__10.180.0.3/80 meta l4proto tcp dnat to 10.180.0.3:80
add rule ip kube-proxy service-LAUZTJTB-ns4/svc4/tcp/p80 ip daddr 172.30.0.44PORT ip saddr != 10.0.0.0/8 jump mark-for-masquerade
add rule ip kube-proxy service-LAUZTJTB-ns4/svc4/tcp/p80 numgen random mod 2 vmap { 0 : goto endpoint-UNZV3OEC-ns4/svc4/tcp/p80__10.180.0.4/80 , 1 : goto endpoint-5RFCDDV7-ns4/svc4/tcp/p80__10.180.0.5/80 }
add chain ip kube-proxy endpoint-5RFCDDV7-ns4/svc4/tcp/p80__10.180.0.5/80
add rule ip kube-proxy endpoint-5RFCDDV7-ns4/svc4/tcp/p80__10.180.0.5/80 ip saddr 10.180.0.5 jump mark-for-masquerade
add rule ip kube-proxy endpoint-5RFCDDV7-ns4/svc4/tcp/p80__10.180.0.5/80 meta l4proto tcp dnat to 10.180.0.5:80
add chain ip kube-proxy endpoint-UNZV3OEC-ns4/svc4/tcp/p80__10.180.0.4/80
add rule ip kube-proxy endpoint-UNZV3OEC-ns4/svc4/tcp/p80__10.180.0.4/80 ip saddr 10.180.0.4 jump mark-for-masquerade
add rule ip kube-proxy endpoint-UNZV3OEC-ns4/svc4/tcp/p80__10.180.0.4/80 meta l4proto tcp dnat to 10.180.0.4:80
add rule ip kube-proxy service-HVFWP5L3-ns5/svc5/tcp/p80 ip daddr 172.30.0.45PORT ip saddr != 10.0.0.0/8 jump mark-for-masquerade
add rule ip kube-proxy endpoint-GTK6MW7G-ns5/svc5/tcp/p80__10.180.0.3/80 ip saddr 10.180.0.3 jump mark-for-masquerade
"#;

/// From 1.36 on, with the single endpoints of 1.37.
const RULES: &str = r#"
add rule ip kube-proxy service-ULMVA6XW-ns1/svc1/tcp/p80 meta l4proto tcp dnat to 10.180.0.1:80
add element ip kube-proxy hairpin-connections { 10.180.0.1 . 10.180.0.1 . tcp . 80 }
add rule ip kube-proxy service-42NFTM6N-ns2/svc2/tcp/p80 meta l4proto tcp dnat to 10.180.0.2:80
add rule ip kube-proxy service-4AT6LBPK-ns3/svc3/tcp/p80 meta l4proto tcp dnat to 10.180.0.3:80
add element ip kube-proxy hairpin-connections { 10.180.0.3 . 10.180.0.3 . tcp . 80 }
add rule ip kube-proxy service-LAUZTJTB-ns4/svc4/tcp/p80 meta l4proto tcp dnat ip addr . port to numgen random mod 2 map { 0 : 10.180.0.4 . 80 , 1 : 10.180.0.5 . 80 }
add element ip kube-proxy hairpin-connections { 10.180.0.5 . 10.180.0.5 . tcp . 80 }
"#;

/// The six services, with their names. In these tests of kube-proxy's what serves the first, third and fifth is on this node.
fn six() -> [(Service, &'static str); 6] {
    let mut six = Service::six();
    for service in [0, 2, 4] {
        let (service, _) = &mut six[service];
        service.local.clone_from(&service.endpoints);
    }
    six
}

/// What services add, with the golden names and range in place of ours.
fn added(version: KubeProxyVersion, family: Family, named: &[(Service, &str)]) -> String {
    let services = named.iter().map(|(service, _)| service.clone()).collect();
    let nothing = Population::default();
    let options = RenderOptions::by(Transport::Nft);
    let batch =
        Nftables::of(version, family).render(Some(&nothing), &Population { services }, &options);
    let mut text = batch.to_string();
    for (service, name) in named {
        for kind in ["service", "local", "external", "firewall"] {
            let theirs = hashed(kind, &format!("{name}/tcp/p80"));
            text = text.replace(chain_of(kind, service).as_str(), theirs.as_str());
        }
        for kind in ["endpoint", "affinity"] {
            let ours = names_of(kind, service, &service.endpoints);
            for (ours, endpoint) in ours.iter().zip(&service.endpoints) {
                let address = endpoint.address.to_string().replace(':', ".");
                let theirs = format!("{name}/tcp/p80__{address}/{}", endpoint.port);
                text = text.replace(ours.as_str(), hashed(kind, &theirs).as_str());
            }
        }
        text = text.replace(&service.name(), name);
    }
    text
}

/// Sorted, without what is flushed: a dump has no order.
fn lines(text: &str) -> Vec<String> {
    let told = text.lines();
    let told = told.filter(|line| !line.is_empty() && !line.starts_with("flush "));
    let mut lines: Vec<String> = told.map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}

#[test]
fn six_services_are_laid_out_as_kube_proxy_s_own_tests_have_them() {
    let cluster = Plan::of(Family::Ipv4).cluster.to_string();
    for version in KubeProxyVersion::ALL.iter().copied() {
        let mut wanted = match version >= KubeProxyVersion::V1_36 {
            true => {
                let common = COMMON
                    .replace(
                        "MASQUERADE",
                        "mark set mark or 0x4000 comment \"masquerade\"",
                    )
                    .replace("MARK", "mark set mark or 0x4000");
                format!("{common}{RULES}")
            }
            false => {
                let mark = "jump mark-for-masquerade";
                let common = COMMON.replace("MASQUERADE", mark).replace("MARK", mark);
                let names_port = version < KubeProxyVersion::V1_34;
                let port = if names_port { " tcp dport 80" } else { "" };
                format!("{common}{}", CHAINS.replace("PORT", port))
            }
        };
        if version == KubeProxyVersion::V1_36 {
            for (service, last) in [
                ("ULMVA6XW-ns1", 1),
                ("42NFTM6N-ns2", 2),
                ("4AT6LBPK-ns3", 3),
            ] {
                let chain = format!("service-{service}/svc{last}/tcp/p80 meta l4proto tcp dnat");
                let one = format!("{chain} to 10.180.0.{last}:80");
                assert!(wanted.contains(&one));
                let map = format!("numgen random mod 1 map {{ 0 : 10.180.0.{last} . 80 }}");
                wanted = wanted.replace(&one, &format!("{chain} ip addr . port to {map}"));
            }
        }
        let found = added(version, Family::Ipv4, &six()).replace(&cluster, "10.0.0.0/8");
        assert_eq!(lines(&found), lines(&wanted), "{version}");
    }
}

/// A chain's name without its hash, which is of the whole name; other words as they are.
fn unhashed(word: &str) -> String {
    match word.split_once('-') {
        Some((kind, rest)) if rest.contains("/svc") => format!("{kind}{}", &rest[8..]),
        _ => word.to_owned(),
    }
}

/// What IPv4 is told is what IPv6 is told in its words, in the same order.
#[test]
fn six_services_of_ipv6_are_laid_out_line_by_line_as_those_of_ipv4() {
    let moved = |address: &mut IpAddr| {
        if let IpAddr::V4(ipv4) = *address {
            let [a, b, c, d] = ipv4.octets();
            *address = format!("fd00:{a}:{b}:{c}::{d}").parse().unwrap();
        }
    };
    let ipv4 = six();
    let mut ipv6 = six();
    let mut places = Vec::new();
    for (service, _) in &mut ipv6 {
        let endpoints = service.endpoints.iter_mut().chain(&mut service.local);
        let exposure = &mut service.exposure;
        let outside = exposure.load_balancer.iter_mut();
        let outside = outside.chain(&mut exposure.external);
        let ranges = exposure
            .source_ranges
            .iter_mut()
            .map(|range| &mut range.network);
        let pods = endpoints.map(|endpoint| &mut endpoint.address);
        let all = pods.chain(outside).chain(ranges);
        for address in all.chain([&mut service.frontend.vip]) {
            let before = *address;
            moved(address);
            places.push((before, *address));
        }
        // The range of 203.0.113.0 becomes one of whole fields.
        for range in &mut service.exposure.source_ranges {
            range.prefix = 64;
        }
    }
    let plans = [Family::Ipv4, Family::Ipv6].map(|family| Plan::of(family).cluster.to_string());
    let words = |text: &str| -> Vec<Vec<String>> {
        let line = |line: &str| line.split(' ').map(unhashed).collect();
        text.lines().map(line).collect()
    };
    for version in KubeProxyVersion::ALL.iter().copied() {
        let said = added(version, Family::Ipv6, &ipv6)
            .replace(" ip6 ", " ip ")
            .replace("ipv6_addr", "ipv4_addr")
            .replace(&plans[1], &plans[0])
            .replace("/64 }", "/25 }");
        let said = places.iter().fold(said, |said, (ipv4, ipv6)| {
            let (ipv4, ipv6) = (ipv4.to_string(), ipv6.to_string());
            said.replace(&format!("[{ipv6}]"), &ipv4)
                .replace(
                    &format!("{}/80", ipv6.replace(':', ".")),
                    &format!("{ipv4}/80"),
                )
                .replace(&ipv6, &ipv4)
        });
        let wanted = added(version, Family::Ipv4, &ipv4);
        assert_eq!(words(&said), words(&wanted), "{version}");
    }
}
