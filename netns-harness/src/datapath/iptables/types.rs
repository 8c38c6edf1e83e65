//! Services of every type: kube-proxy's own test population (`TestOverallIPTablesRules` in
//! pkg/proxy/iptables/proxier_test.go of kubernetes 1.37.2), laws of size by type, and what packets meet.

use std::net::{IpAddr, Ipv4Addr};

use schema::{Family, Mode, Protocol};

use super::golden::{lines, named, written};
use super::meaning::interpreted;
use super::{Iptables, layout_check};
use crate::datapath::{Batch, Datapath as _, Engine, RenderOptions, Transport};
use crate::service::{Endpoint, Frontend, Plan, Population, Service};
use crate::treatment;
use crate::xtables::tables::Tables;
use crate::xtables::way::{self, Answer};

const RESTORE: RenderOptions = RenderOptions::by(Transport::Restore);
const EXEC: RenderOptions = RenderOptions::by(Transport::Exec);

/// What kube-proxy's test expects of services, and of packets that connection tracking takes for invalid.
const GOLDEN: &str = r#"
-A KUBE-FORWARD -m conntrack --ctstate INVALID -m nfacct --nfacct-name ct_state_invalid_dropped_pkts -j DROP
-A KUBE-NODEPORTS -m comment --comment "ns2/svc2:p80 health check node port" -m tcp -p tcp --dport 30000 -j ACCEPT
-A KUBE-SERVICES -m comment --comment "ns6/svc6:p80 has no endpoints" -m tcp -p tcp -d 172.30.0.46 --dport 80 -j REJECT
-A KUBE-EXTERNAL-SERVICES -m comment --comment "ns2/svc2:p80 has no local endpoints" -m tcp -p tcp -d 192.168.99.22 --dport 80 -j DROP
-A KUBE-EXTERNAL-SERVICES -m comment --comment "ns2/svc2:p80 has no local endpoints" -m tcp -p tcp -d 1.2.3.4 --dport 80 -j DROP
-A KUBE-EXTERNAL-SERVICES -m comment --comment "ns2/svc2:p80 has no local endpoints" -m addrtype --dst-type LOCAL -m tcp -p tcp --dport 3001 -j DROP
-A KUBE-PROXY-FIREWALL -m comment --comment "ns5/svc5:p80 traffic not accepted by KUBE-FW-NUKIZ6OKUXPJNT4C" -m tcp -p tcp -d 5.6.7.8 --dport 80 -j DROP
:KUBE-EXT-4SW47YFZTEDKD3PK - [0:0]
:KUBE-EXT-GNZBNJ2PO5MGZ6GT - [0:0]
:KUBE-EXT-NUKIZ6OKUXPJNT4C - [0:0]
:KUBE-EXT-X27LE4BHSL4DOUIK - [0:0]
:KUBE-FW-NUKIZ6OKUXPJNT4C - [0:0]
:KUBE-SEP-C6EBXVWJJZMIWKLZ - [0:0]
:KUBE-SEP-I77PXRDZVX7PMWMN - [0:0]
:KUBE-SEP-OYPFS5VJICHGATKP - [0:0]
:KUBE-SEP-RS4RBKLTHTF2IUXJ - [0:0]
:KUBE-SEP-SXIVWICOYRO3J4NJ - [0:0]
:KUBE-SEP-UKSFD7AGPMPPLUHC - [0:0]
:KUBE-SVC-4SW47YFZTEDKD3PK - [0:0]
:KUBE-SVC-GNZBNJ2PO5MGZ6GT - [0:0]
:KUBE-SVC-NUKIZ6OKUXPJNT4C - [0:0]
:KUBE-SVC-X27LE4BHSL4DOUIK - [0:0]
:KUBE-SVC-XPGD46QRK7WJZT7O - [0:0]
-A KUBE-NODEPORTS -m comment --comment ns2/svc2:p80 -m tcp -p tcp -d 127.0.0.0/8 --dport 3001 -m nfacct --nfacct-name localhost_nps_accepted_pkts -j KUBE-EXT-GNZBNJ2PO5MGZ6GT
-A KUBE-NODEPORTS -m comment --comment ns2/svc2:p80 -m tcp -p tcp --dport 3001 -j KUBE-EXT-GNZBNJ2PO5MGZ6GT
-A KUBE-NODEPORTS -m comment --comment ns3/svc3:p80 -m tcp -p tcp -d 127.0.0.0/8 --dport 3003 -m nfacct --nfacct-name localhost_nps_accepted_pkts -j KUBE-EXT-X27LE4BHSL4DOUIK
-A KUBE-NODEPORTS -m comment --comment ns3/svc3:p80 -m tcp -p tcp --dport 3003 -j KUBE-EXT-X27LE4BHSL4DOUIK
-A KUBE-NODEPORTS -m comment --comment ns5/svc5:p80 -m tcp -p tcp -d 127.0.0.0/8 --dport 3002 -m nfacct --nfacct-name localhost_nps_accepted_pkts -j KUBE-EXT-NUKIZ6OKUXPJNT4C
-A KUBE-NODEPORTS -m comment --comment ns5/svc5:p80 -m tcp -p tcp --dport 3002 -j KUBE-EXT-NUKIZ6OKUXPJNT4C
-A KUBE-SERVICES -m comment --comment "ns1/svc1:p80 cluster IP" -m tcp -p tcp -d 172.30.0.41 --dport 80 -j KUBE-SVC-XPGD46QRK7WJZT7O
-A KUBE-SERVICES -m comment --comment "ns2/svc2:p80 cluster IP" -m tcp -p tcp -d 172.30.0.42 --dport 80 -j KUBE-SVC-GNZBNJ2PO5MGZ6GT
-A KUBE-SERVICES -m comment --comment "ns2/svc2:p80 external IP" -m tcp -p tcp -d 192.168.99.22 --dport 80 -j KUBE-EXT-GNZBNJ2PO5MGZ6GT
-A KUBE-SERVICES -m comment --comment "ns2/svc2:p80 loadbalancer IP" -m tcp -p tcp -d 1.2.3.4 --dport 80 -j KUBE-EXT-GNZBNJ2PO5MGZ6GT
-A KUBE-SERVICES -m comment --comment "ns3/svc3:p80 cluster IP" -m tcp -p tcp -d 172.30.0.43 --dport 80 -j KUBE-SVC-X27LE4BHSL4DOUIK
-A KUBE-SERVICES -m comment --comment "ns4/svc4:p80 cluster IP" -m tcp -p tcp -d 172.30.0.44 --dport 80 -j KUBE-SVC-4SW47YFZTEDKD3PK
-A KUBE-SERVICES -m comment --comment "ns4/svc4:p80 external IP" -m tcp -p tcp -d 192.168.99.33 --dport 80 -j KUBE-EXT-4SW47YFZTEDKD3PK
-A KUBE-SERVICES -m comment --comment "ns5/svc5:p80 cluster IP" -m tcp -p tcp -d 172.30.0.45 --dport 80 -j KUBE-SVC-NUKIZ6OKUXPJNT4C
-A KUBE-SERVICES -m comment --comment "ns5/svc5:p80 loadbalancer IP" -m tcp -p tcp -d 5.6.7.8 --dport 80 -j KUBE-FW-NUKIZ6OKUXPJNT4C
-A KUBE-EXT-4SW47YFZTEDKD3PK -m comment --comment "masquerade traffic for ns4/svc4:p80 external destinations" -j KUBE-MARK-MASQ
-A KUBE-EXT-4SW47YFZTEDKD3PK -j KUBE-SVC-4SW47YFZTEDKD3PK
-A KUBE-EXT-GNZBNJ2PO5MGZ6GT -m comment --comment "pod traffic for ns2/svc2:p80 external destinations" -s 10.0.0.0/8 -j KUBE-SVC-GNZBNJ2PO5MGZ6GT
-A KUBE-EXT-GNZBNJ2PO5MGZ6GT -m comment --comment "masquerade LOCAL traffic for ns2/svc2:p80 external destinations" -m addrtype --src-type LOCAL -j KUBE-MARK-MASQ
-A KUBE-EXT-GNZBNJ2PO5MGZ6GT -m comment --comment "route LOCAL traffic for ns2/svc2:p80 external destinations" -m addrtype --src-type LOCAL -j KUBE-SVC-GNZBNJ2PO5MGZ6GT
-A KUBE-EXT-NUKIZ6OKUXPJNT4C -m comment --comment "masquerade traffic for ns5/svc5:p80 external destinations" -j KUBE-MARK-MASQ
-A KUBE-EXT-NUKIZ6OKUXPJNT4C -j KUBE-SVC-NUKIZ6OKUXPJNT4C
-A KUBE-EXT-X27LE4BHSL4DOUIK -m comment --comment "masquerade traffic for ns3/svc3:p80 external destinations" -j KUBE-MARK-MASQ
-A KUBE-EXT-X27LE4BHSL4DOUIK -j KUBE-SVC-X27LE4BHSL4DOUIK
-A KUBE-FW-NUKIZ6OKUXPJNT4C -m comment --comment "ns5/svc5:p80 loadbalancer IP" -s 203.0.113.0/25 -j KUBE-EXT-NUKIZ6OKUXPJNT4C
-A KUBE-FW-NUKIZ6OKUXPJNT4C -m comment --comment "other traffic to ns5/svc5:p80 will be dropped by KUBE-PROXY-FIREWALL"
-A KUBE-SEP-C6EBXVWJJZMIWKLZ -m comment --comment ns4/svc4:p80 -s 10.180.0.5 -j KUBE-MARK-MASQ
-A KUBE-SEP-C6EBXVWJJZMIWKLZ -m comment --comment ns4/svc4:p80 -m tcp -p tcp -j DNAT --to-destination 10.180.0.5:80
-A KUBE-SEP-I77PXRDZVX7PMWMN -m comment --comment ns5/svc5:p80 -s 10.180.0.3 -j KUBE-MARK-MASQ
-A KUBE-SEP-I77PXRDZVX7PMWMN -m comment --comment ns5/svc5:p80 -m recent --name KUBE-SEP-I77PXRDZVX7PMWMN --set -m tcp -p tcp -j DNAT --to-destination 10.180.0.3:80
-A KUBE-SEP-OYPFS5VJICHGATKP -m comment --comment ns3/svc3:p80 -s 10.180.0.3 -j KUBE-MARK-MASQ
-A KUBE-SEP-OYPFS5VJICHGATKP -m comment --comment ns3/svc3:p80 -m tcp -p tcp -j DNAT --to-destination 10.180.0.3:80
-A KUBE-SEP-RS4RBKLTHTF2IUXJ -m comment --comment ns2/svc2:p80 -s 10.180.0.2 -j KUBE-MARK-MASQ
-A KUBE-SEP-RS4RBKLTHTF2IUXJ -m comment --comment ns2/svc2:p80 -m tcp -p tcp -j DNAT --to-destination 10.180.0.2:80
-A KUBE-SEP-SXIVWICOYRO3J4NJ -m comment --comment ns1/svc1:p80 -s 10.180.0.1 -j KUBE-MARK-MASQ
-A KUBE-SEP-SXIVWICOYRO3J4NJ -m comment --comment ns1/svc1:p80 -m tcp -p tcp -j DNAT --to-destination 10.180.0.1:80
-A KUBE-SEP-UKSFD7AGPMPPLUHC -m comment --comment ns4/svc4:p80 -s 10.180.0.4 -j KUBE-MARK-MASQ
-A KUBE-SEP-UKSFD7AGPMPPLUHC -m comment --comment ns4/svc4:p80 -m tcp -p tcp -j DNAT --to-destination 10.180.0.4:80
-A KUBE-SVC-4SW47YFZTEDKD3PK -m comment --comment "ns4/svc4:p80 cluster IP" -m tcp -p tcp -d 172.30.0.44 --dport 80 ! -s 10.0.0.0/8 -j KUBE-MARK-MASQ
-A KUBE-SVC-4SW47YFZTEDKD3PK -m comment --comment "ns4/svc4:p80 -> 10.180.0.4:80" -m statistic --mode random --probability 0.5000000000 -j KUBE-SEP-UKSFD7AGPMPPLUHC
-A KUBE-SVC-4SW47YFZTEDKD3PK -m comment --comment "ns4/svc4:p80 -> 10.180.0.5:80" -j KUBE-SEP-C6EBXVWJJZMIWKLZ
-A KUBE-SVC-GNZBNJ2PO5MGZ6GT -m comment --comment "ns2/svc2:p80 cluster IP" -m tcp -p tcp -d 172.30.0.42 --dport 80 ! -s 10.0.0.0/8 -j KUBE-MARK-MASQ
-A KUBE-SVC-GNZBNJ2PO5MGZ6GT -m comment --comment "ns2/svc2:p80 -> 10.180.0.2:80" -j KUBE-SEP-RS4RBKLTHTF2IUXJ
-A KUBE-SVC-NUKIZ6OKUXPJNT4C -m comment --comment "ns5/svc5:p80 cluster IP" -m tcp -p tcp -d 172.30.0.45 --dport 80 ! -s 10.0.0.0/8 -j KUBE-MARK-MASQ
-A KUBE-SVC-NUKIZ6OKUXPJNT4C -m comment --comment "ns5/svc5:p80 -> 10.180.0.3:80" -m recent --name KUBE-SEP-I77PXRDZVX7PMWMN --rcheck --seconds 10800 --reap -j KUBE-SEP-I77PXRDZVX7PMWMN
-A KUBE-SVC-NUKIZ6OKUXPJNT4C -m comment --comment "ns5/svc5:p80 -> 10.180.0.3:80" -j KUBE-SEP-I77PXRDZVX7PMWMN
-A KUBE-SVC-X27LE4BHSL4DOUIK -m comment --comment "ns3/svc3:p80 cluster IP" -m tcp -p tcp -d 172.30.0.43 --dport 80 ! -s 10.0.0.0/8 -j KUBE-MARK-MASQ
-A KUBE-SVC-X27LE4BHSL4DOUIK -m comment --comment "ns3/svc3:p80 -> 10.180.0.3:80" -j KUBE-SEP-OYPFS5VJICHGATKP
-A KUBE-SVC-XPGD46QRK7WJZT7O -m comment --comment "ns1/svc1:p80 cluster IP" -m tcp -p tcp -d 172.30.0.41 --dport 80 ! -s 10.0.0.0/8 -j KUBE-MARK-MASQ
-A KUBE-SVC-XPGD46QRK7WJZT7O -m comment --comment "ns1/svc1:p80 -> 10.180.0.1:80" -j KUBE-SEP-SXIVWICOYRO3J4NJ
"#;

/// kube-proxy's six services, numbered from 1.
fn six() -> Vec<Service> {
    Service::six().map(|(service, _)| service).to_vec()
}

fn endpoint(last: u8) -> Endpoint {
    Endpoint {
        address: Ipv4Addr::new(10, 180, 0, last).into(),
        port: 80,
    }
}

fn at(vip: impl Into<IpAddr>, port: u16) -> Frontend {
    Frontend {
        vip: vip.into(),
        port,
        protocol: Protocol::Tcp,
    }
}

#[test]
fn services_of_all_types_are_written_as_kube_proxy_s_own_tests_have_them() {
    let mut text = written(six());
    for (service, name) in Service::six() {
        text = named(&text, &service, name);
    }
    let own = |line: &&str| {
        let marks = ["/svc", " --ctstate INVALID "].into_iter();
        marks
            .chain(super::services::OWN)
            .any(|own| line.contains(own))
    };
    let expected = GOLDEN.lines().filter(|line| !line.is_empty());
    assert_eq!(lines(text.lines().filter(own)), lines(expected));
}

/// What becomes of packets of a source in the tables of the six.
fn answered(source: impl Into<IpAddr>, to: Frontend) -> Answer {
    let mut tables = Tables::default();
    tables.restore(&written(six())).unwrap();
    way::answer(&tables, source.into(), to).unwrap()
}

const POD: [u8; 4] = [10, 192, 0, 7];
const OUTSIDER: [u8; 4] = [198, 51, 100, 7];

fn goes(answer: &Answer, to: &[u8]) -> bool {
    let wanted = to.iter().copied().map(endpoint);
    answer.shares.keys().copied().eq(wanted) && answer.alone < 1e-9
}

/// Where packets of each source go.
#[test]
fn packets_meet_what_the_types_of_services_promise() {
    let node = Plan::of(Family::Ipv4).node();
    let vip = |last: u8| at([172, 30, 0, last], 80);
    let pod = answered(POD, vip(41));
    assert!(goes(&pod, &[1]) && pod.masqueraded.is_none(), "{pod:?}");
    let outsider = answered(OUTSIDER, vip(41));
    assert!(goes(&outsider, &[1]) && outsider.masqueraded.is_some());
    // Policy Local without an endpoint here: only pods and the node itself are served.
    for to in [
        at(node, 3001),
        at([1, 2, 3, 4], 80),
        at([192, 168, 99, 22], 80),
    ] {
        assert!(goes(&answered(OUTSIDER, to), &[]), "{to}");
        let pod = answered(POD, to);
        assert!(
            goes(&pod, &[2]) && pod.masqueraded.is_none(),
            "{to}: {pod:?}"
        );
        let own = answered(node, to);
        assert!(
            goes(&own, &[2]) && own.masqueraded.is_some(),
            "{to}: {own:?}"
        );
    }
    // Source ranges hold for the load balancer's address and not for the node port.
    let (inside, aside): ([u8; 4], [u8; 4]) = ([203, 0, 113, 5], [203, 0, 113, 130]);
    assert!(goes(&answered(inside, at([5, 6, 7, 8], 80)), &[3]));
    assert!(goes(&answered(aside, at([5, 6, 7, 8], 80)), &[]));
    assert!(goes(&answered(aside, at(node, 3002)), &[3]));
    // Policy Cluster replaces every source of external packets.
    let external = answered(POD, at([192, 168, 99, 33], 80));
    assert!(goes(&external, &[4, 5]) && external.masqueraded.is_some());
    assert!(goes(&answered(POD, vip(46)), &[]));
    assert!((answered(POD, vip(99)).alone - 1.0).abs() < 1e-9);
}

#[test]
fn the_layout_of_all_types_passes_its_check_and_a_damaged_one_does_not() {
    let text = written(six());
    let checked = |text: &str| {
        let mut tables = Tables::default();
        tables.restore(text)?;
        layout_check::complete(&tables, Iptables::legacy().with_accounts())
    };
    assert_eq!(checked(&text), Ok(()));
    let localhost =
        "-d 127.0.0.0/8 --dport 3003 -m nfacct --nfacct-name localhost_nps_accepted_pkts";
    for (from, to) in [
        (localhost, "--dport 3003"),
        (localhost, "-d 127.0.0.0/8 --dport 3003"),
        (
            localhost,
            &localhost.replace("localhost_nps_accepted", "ct_state_invalid_dropped"),
        ),
        (localhost, &localhost.replace("3003", "3001")),
        (" -m nfacct --nfacct-name ct_state_invalid_dropped_pkts", ""),
        (
            "-d 5.6.7.8 --dport 80 -j DROP",
            "-d 5.6.7.9 --dport 80 -j DROP",
        ),
        ("--dport 3001 -j DROP", "--dport 3001 -j REJECT"),
        ("--dport 30000 -j ACCEPT", "--dport 30000 -j DROP"),
        (" -s 203.0.113.0/25 -j", " -j"),
        (
            " -m addrtype --src-type LOCAL -j KUBE-MARK-MASQ",
            " -j KUBE-MARK-MASQ",
        ),
        (" --seconds 10800 --reap", " --seconds 10800"),
        (" -m recent --name", " -m recent --name X"),
        ("-m tcp -p tcp --dport 3003 -j", "-m tcp -p tcp -j"),
    ] {
        let damaged = text.replacen(from, to, 1);
        assert_ne!(damaged, text, "{from}");
        assert!(checked(&damaged).is_err(), "{from} => {to}");
    }
}

/// Position is a question of ours: no list may have two of its rules the other way round.
#[test]
fn rules_are_walked_in_population_order_and_not_where_two_of_a_list_have_changed_places() {
    let text = written(six());
    let walked = |text: &str| {
        let mut tables = Tables::default();
        tables.restore(text).unwrap();
        let iptables = Iptables::legacy().with_accounts();
        assert_eq!(layout_check::complete(&tables, iptables), Ok(()));
        layout_check::walked(&tables, Family::Ipv4)
    };
    let services = six();
    let wanted = treatment::walked(&Population { services }, Mode::IptablesLegacy);
    assert_eq!(walked(&text), wanted);
    assert_eq!(wanted.len(), 5 + 4 + 3);
    for (first, second) in [
        // Node ports with their counters, external IPs, load balancers; a service's external IP and its ClusterIP.
        ("--dport 3001 ", "--dport 3003 "),
        (
            "-d 192.168.99.22 --dport 80 -j KUBE-EXT",
            "-d 192.168.99.33 --dport 80 -j KUBE-EXT",
        ),
        (
            "-d 1.2.3.4 --dport 80 -j KUBE-EXT",
            "-d 5.6.7.8 --dport 80 -j KUBE-FW",
        ),
        (
            "-d 172.30.0.44 --dport 80 -j KUBE-SVC",
            "-d 192.168.99.33 --dport 80 -j KUBE-EXT",
        ),
    ] {
        let mut lines: Vec<&str> = text.lines().collect();
        let places = |part| -> Vec<usize> {
            let all = lines.iter().enumerate();
            all.filter(|(_, line)| line.contains(part) && !line.ends_with("DROP"))
                .map(|(at, _)| at)
                .collect()
        };
        let (firsts, seconds) = (places(first), places(second));
        assert!(
            !firsts.is_empty() && firsts.len() == seconds.len(),
            "{first}"
        );
        for (first, second) in firsts.iter().zip(&seconds) {
            lines.swap(*first, *second);
        }
        assert_ne!(walked(&lines.join("\n")), wanted, "{}", lines[firsts[0]]);
    }
}

/// A service of every type there is, by number.
fn typed(family: Family, kind: u32, index: u32, endpoints: u32) -> Service {
    let (vip, first) = (0x0a60_0001 + 7 * index, 0x0a80_0000 + index * endpoints);
    let mut service = Service::of_test(index, vip, first, endpoints).in_family(family);
    let host = |number| {
        Plan::of(family)
            .services
            .host(0x8_0000 + 8 * index + number)
    };
    let exposure = &mut service.exposure;
    let node_port = Some(30_000 + index as u16);
    match kind {
        0 => {}
        1 => exposure.node_port = node_port,
        2 => exposure.external = vec![host(1), host(2)],
        3 => exposure.load_balancer = vec![host(3)],
        4 | 5 => {
            exposure.load_balancer = vec![host(3)];
            exposure.node_port = node_port;
            exposure.external_local = true;
            exposure.health_check_port = Some(20_000 + index as u16);
        }
        6 => {
            exposure.load_balancer = vec![host(3)];
            exposure.source_ranges = vec![Plan::of(family).clients];
        }
        7 => exposure.affinity_s = Some(10_800),
        8 | 9 => exposure.internal_local = true,
        10 => {
            exposure.node_port = node_port;
            exposure.internal_local = true;
        }
        _ => {
            // The case that kube-proxy's own tests count.
            exposure.load_balancer = vec![host(3)];
            exposure.external = vec![host(1)];
            exposure.source_ranges = vec![Plan::of(family).clients];
            exposure.node_port = node_port;
        }
    }
    if matches!(kind, 5 | 8 | 10) {
        service.local = service.endpoints.iter().take(1).copied().collect();
    }
    service
}

const KINDS: u32 = 12;

/// Of both families, on kernels without nfnetlink_acct and with it.
fn layouts() -> impl Iterator<Item = Iptables> {
    let families = Family::ALL.iter();
    families.flat_map(|family| {
        let without = Iptables::of(Engine::Legacy, *family);
        [without, without.with_accounts()]
    })
}

/// Rules of nat, rules of filter, and chains that N services of a type add to the base's, with E endpoints of which one
/// is on this node where any is; without that which counts packets to a node port of 127.0.0.0/8.
fn law(kind: u32, e: usize) -> [usize; 3] {
    let choice = 1 + 3 * e;
    match kind {
        0 => [1 + choice, 0, 1 + e],
        // A portal, and two rules of KUBE-EXT.
        1 | 3 => [1 + choice + 3, 0, 2 + e],
        2 => [1 + choice + 4, 0, 2 + e],
        // Two portals, three rules; two drops and a health check.
        4 => [1 + choice + 5, 3, 2 + e],
        // The last rule of KUBE-EXT, and KUBE-SVL with its one choice.
        5 => [1 + choice + 7, 1, 3 + e],
        6 => [1 + choice + 5, 1, 3 + e],
        7 => [1 + choice + e, 0, 1 + e],
        // KUBE-SVL and one endpoint instead of KUBE-SVC; or a drop alone.
        8 => [2 + 3, 0, 2],
        9 => [0, 1, 0],
        10 => [1 + choice + 4, 0, 3 + e],
        _ => [9 + 3 * e, 1, 3 + e],
    }
}

#[test]
fn law_of_size_of_every_type() {
    for iptables in layouts() {
        let family = iptables.family;
        let counted = |services: Vec<Service>| {
            let batch = iptables.render(None, &Population { services }, &RESTORE);
            let tables = interpreted(&[batch]).unwrap();
            assert_eq!(layout_check::complete(&tables, iptables), Ok(()));
            let rules = |table: &str| tables.0[table].chains.values().map(Vec::len).sum::<usize>();
            [rules("nat"), rules("filter"), tables.own_chains()]
        };
        let base = counted(Vec::new());
        for kind in 0..KINDS {
            for (n, e) in [(1, 1), (3, 2), (10, 5)] {
                let services = (0..n).map(|index| typed(family, kind, index, e));
                let all = counted(services.collect());
                let mut each = law(kind, e as usize);
                let has_port = matches!(kind, 1 | 4 | 5 | 10 | 11);
                each[0] += usize::from(iptables.accounts && family == Family::Ipv4 && has_port);
                let wanted = [0, 1, 2].map(|i| base[i] + n as usize * each[i]);
                assert_eq!(all, wanted, "{family}, type {kind}, N={n} E={e}");
            }
        }
    }
}

#[test]
fn without_endpoints_every_address_is_refused_and_no_chain_is_there() {
    for family in Family::ALL.iter().copied() {
        let iptables = Iptables::of(Engine::Legacy, family);
        for (kind, refusals) in [(1, 2), (2, 3), (5, 3), (6, 2), (11, 4)] {
            let services = vec![typed(family, kind, 0, 0)];
            let batch = iptables.render(None, &Population { services }, &RESTORE);
            let text = batch.to_string();
            // All of its lines are refusals, but for what lets health checks in.
            let health = usize::from(kind == 5);
            let of_service = text.lines().filter(|line| line.contains("bench/svc-0"));
            assert_eq!(of_service.count(), refusals + health, "{text}");
            assert_eq!(text.matches("-j REJECT").count(), refusals, "{text}");
            assert!(
                !text.contains("KUBE-EXT-") && !text.contains("KUBE-FW-"),
                "{text}"
            );
        }
    }
}

/// Populations that follow each other: each service is of the next type, has endpoints or none, and some are gone.
fn turns(family: Family) -> Vec<Population> {
    let population = |turn: u32| {
        let indices = (0..KINDS + 3).filter(|index| !(index + turn).is_multiple_of(5));
        let services = indices.map(|index| {
            let mut service = typed(family, (index + turn) % KINDS, index, 3);
            if (index + turn).is_multiple_of(7) {
                service.endpoints.clear();
                service.local.clear();
            }
            service
        });
        Population {
            services: services.collect(),
        }
    };
    (0..KINDS).map(population).collect()
}

#[test]
fn updates_between_types_leave_what_an_install_makes_by_either_transport() {
    for iptables in layouts() {
        let family = iptables.family;
        for options in [RESTORE, EXEC] {
            let mut batches: Vec<Batch> = Vec::new();
            let mut before: Option<Population> = None;
            for population in turns(family) {
                batches.push(iptables.render(before.as_ref(), &population, &options));
                let updated = interpreted(&batches).unwrap();
                let anew = iptables.render(None, &population, &RESTORE);
                assert_eq!(updated, interpreted(&[anew]).unwrap(), "{family}");
                assert_eq!(layout_check::complete(&updated, iptables), Ok(()));
                before = Some(population);
            }
        }
    }
}

#[test]
fn chunks_and_resyncs_write_all_types_as_one_install_does() {
    for iptables in layouts() {
        let population = turns(iptables.family).remove(0);
        let whole = interpreted(&[iptables.render(None, &population, &RESTORE)]).unwrap();
        let chunked = RenderOptions {
            chunk: Some(4),
            ..RESTORE
        };
        let chunks = iptables.render(None, &population, &chunked);
        assert!(chunks.steps.len() > 1);
        assert_eq!(interpreted(&[chunks]).unwrap(), whole);
        for options in [RESTORE, EXEC] {
            let resync = RenderOptions {
                resync: true,
                ..options
            };
            let first = iptables.render(None, &population, &RESTORE);
            let again = iptables.render(Some(&population), &population, &resync);
            assert_eq!(interpreted(&[first, again]).unwrap(), whole);
        }
    }
}

/// `TestNumberIptablesRules`: load balancers with an external address, a source range and a node port.
#[test]
fn load_balancers_have_as_many_rules_as_kube_proxy_counts() {
    for (e, [filter, nat]) in [(0, [8, 5]), (1, [5, 18]), (2, [5, 21]), (10, [5, 45])] {
        let text = written(vec![typed(Family::Ipv4, 11, 0, e)]);
        let count = |table: &str| {
            let begin = format!("*{table}\n");
            let own = |section: &str| {
                let rules = section.split("COMMIT").next().unwrap_or_default().lines();
                rules.filter(|line| line.starts_with("-A KUBE-")).count()
            };
            text.split(begin.as_str()).skip(1).map(own).sum::<usize>()
        };
        // That of the kubelet's chain is among kube-proxy's four of filter.
        assert_eq!([count("filter"), count("nat")], [filter, nat], "E={e}");
    }
}
