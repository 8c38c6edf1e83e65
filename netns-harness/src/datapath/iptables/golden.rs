//! What of kube-proxy's own test population (`TestOverallIPTablesRules` in pkg/proxy/iptables/proxier_test.go of
//! kubernetes 1.35.4; the same from 1.32 to 1.37) is a ClusterIP; and its counts of rules.

use schema::Family;

use super::Iptables;
use super::layout::hash;
use super::services::{endpoint_chain, service_chain};
use super::tests::population;
use crate::datapath::steps::Restore;
use crate::datapath::{Datapath as _, RenderOptions, Transport};
use crate::service::{Plan, Population, Service};

const COMMENTED: RenderOptions = RenderOptions {
    large_cluster: false,
    ..RenderOptions::by(Transport::Restore)
};

const GOLDEN: &str = r#"
-A KUBE-SERVICES -m comment --comment "ns6/svc6:p80 has no endpoints" -m tcp -p tcp -d 172.30.0.46 --dport 80 -j REJECT
-A KUBE-SERVICES -m comment --comment "ns1/svc1:p80 cluster IP" -m tcp -p tcp -d 172.30.0.41 --dport 80 -j KUBE-SVC-XPGD46QRK7WJZT7O
-A KUBE-SERVICES -m comment --comment "ns3/svc3:p80 cluster IP" -m tcp -p tcp -d 172.30.0.43 --dport 80 -j KUBE-SVC-X27LE4BHSL4DOUIK
-A KUBE-SERVICES -m comment --comment "ns4/svc4:p80 cluster IP" -m tcp -p tcp -d 172.30.0.44 --dport 80 -j KUBE-SVC-4SW47YFZTEDKD3PK
-A KUBE-SVC-XPGD46QRK7WJZT7O -m comment --comment "ns1/svc1:p80 cluster IP" -m tcp -p tcp -d 172.30.0.41 --dport 80 ! -s 10.0.0.0/8 -j KUBE-MARK-MASQ
-A KUBE-SVC-XPGD46QRK7WJZT7O -m comment --comment "ns1/svc1:p80 -> 10.180.0.1:80" -j KUBE-SEP-SXIVWICOYRO3J4NJ
-A KUBE-SEP-SXIVWICOYRO3J4NJ -m comment --comment ns1/svc1:p80 -s 10.180.0.1 -j KUBE-MARK-MASQ
-A KUBE-SEP-SXIVWICOYRO3J4NJ -m comment --comment ns1/svc1:p80 -m tcp -p tcp -j DNAT --to-destination 10.180.0.1:80
-A KUBE-SVC-X27LE4BHSL4DOUIK -m comment --comment "ns3/svc3:p80 cluster IP" -m tcp -p tcp -d 172.30.0.43 --dport 80 ! -s 10.0.0.0/8 -j KUBE-MARK-MASQ
-A KUBE-SVC-X27LE4BHSL4DOUIK -m comment --comment "ns3/svc3:p80 -> 10.180.0.3:80" -j KUBE-SEP-OYPFS5VJICHGATKP
-A KUBE-SEP-OYPFS5VJICHGATKP -m comment --comment ns3/svc3:p80 -s 10.180.0.3 -j KUBE-MARK-MASQ
-A KUBE-SEP-OYPFS5VJICHGATKP -m comment --comment ns3/svc3:p80 -m tcp -p tcp -j DNAT --to-destination 10.180.0.3:80
-A KUBE-SVC-4SW47YFZTEDKD3PK -m comment --comment "ns4/svc4:p80 cluster IP" -m tcp -p tcp -d 172.30.0.44 --dport 80 ! -s 10.0.0.0/8 -j KUBE-MARK-MASQ
-A KUBE-SVC-4SW47YFZTEDKD3PK -m comment --comment "ns4/svc4:p80 -> 10.180.0.4:80" -m statistic --mode random --probability 0.5000000000 -j KUBE-SEP-UKSFD7AGPMPPLUHC
-A KUBE-SVC-4SW47YFZTEDKD3PK -m comment --comment "ns4/svc4:p80 -> 10.180.0.5:80" -j KUBE-SEP-C6EBXVWJJZMIWKLZ
-A KUBE-SEP-UKSFD7AGPMPPLUHC -m comment --comment ns4/svc4:p80 -s 10.180.0.4 -j KUBE-MARK-MASQ
-A KUBE-SEP-UKSFD7AGPMPPLUHC -m comment --comment ns4/svc4:p80 -m tcp -p tcp -j DNAT --to-destination 10.180.0.4:80
-A KUBE-SEP-C6EBXVWJJZMIWKLZ -m comment --comment ns4/svc4:p80 -s 10.180.0.5 -j KUBE-MARK-MASQ
-A KUBE-SEP-C6EBXVWJJZMIWKLZ -m comment --comment ns4/svc4:p80 -m tcp -p tcp -j DNAT --to-destination 10.180.0.5:80
"#;

/// What a first transaction writes of `services` where the kernel has nfnetlink_acct, as it has in kube-proxy's own tests.
pub(super) fn written(services: Vec<Service>) -> String {
    let iptables = Iptables::legacy().with_accounts();
    let batch = iptables.render(None, &Population { services }, &COMMENTED);
    let restores = batch.steps.iter().filter_map(|step| step.as_a::<Restore>());
    restores.map(|restore| &*restore.text).collect()
}

/// A text with a service named otherwise, chains included, and the network of pods that kube-proxy's own tests have.
pub(super) fn named(text: &str, service: &Service, name: &str) -> String {
    let port_name = format!("{name}:p80");
    let chain = |parts: &[&str]| hash(&[&[port_name.as_str(), "tcp"], parts].concat());
    // What follows the prefix is the same in all of its chains but those of endpoints.
    let own = service_chain(service).replacen("KUBE-SVC-", "", 1);
    let mut text = text.replace(&own, &chain(&[]));
    for endpoint in &service.endpoints {
        let own = format!("KUBE-SEP-{}", chain(&[&endpoint.to_string()]));
        text = text.replace(&endpoint_chain(service, *endpoint), &own);
    }
    text.replace(&service.name(), name)
        .replace(&Plan::of(Family::Ipv4).cluster.to_string(), "10.0.0.0/8")
}

/// Sorted. kube-proxy quotes what it need not, and the same both ways is the same.
pub(super) fn lines<'a>(text: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut lines: Vec<String> = text.map(|line| line.replace('"', "")).collect();
    lines.sort_unstable();
    lines
}

#[test]
fn the_golden_services_are_written_as_kube_proxy_s_own_tests_have_them() {
    let golden = Service::golden();
    let mut text = written(golden.iter().map(|(service, _)| service.clone()).collect());
    for (service, name) in &golden {
        text = named(&text, service, name);
    }
    let of_services = text.lines().filter(|line| line.contains("/svc"));
    let expected = GOLDEN.lines().filter(|line| !line.is_empty());
    assert_eq!(lines(of_services), lines(expected));
}

/// What kube-proxy's own tests count in table nat: all but the jumps from built-in chains.
#[test]
fn table_nat_has_as_many_rules_as_kube_proxy_counts() {
    for ((n, e), rules) in [
        ((1, 1), 10),
        ((1, 2), 13),
        ((1, 10), 37),
        ((10, 1), 55),
        ((10, 2), 85),
        ((10, 10), 325),
    ] {
        let text = written(population(n, e).services);
        // The canary's table comes first, and has none.
        let sections = text.split("*nat\n").skip(1);
        let nat = sections.flat_map(|section| section.split("COMMIT").next().unwrap().lines());
        let own = nat.filter(|line| line.starts_with("-A KUBE-"));
        assert_eq!(own.count(), rules, "N={n} E={e}");
    }
}
