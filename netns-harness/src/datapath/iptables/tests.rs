//! What is rendered: golden text, the law of size, and what the text means.

use super::meaning::interpreted;
use super::*;
use crate::datapath::meaning::Meaning as _;
use crate::datapath::steps::Restore;
use crate::datapath::{Breakable as _, Damage};
use crate::relation::SHARE_TOLERANCE;
use crate::service::Service;
use crate::xtables::RestoreText;
use crate::xtables::tool::parse_counters;

const OPTIONS: RenderOptions = RenderOptions::by(Transport::Restore);

pub(super) fn population(services: u32, endpoints: u32) -> Population {
    let service = |index| {
        let (vip, first) = (0x0a60_0001 + 7 * index, 0x0a80_0000 + index * endpoints);
        Service::of_test(index, vip, first, endpoints)
    };
    Population {
        services: (0..services).map(service).collect(),
    }
}

/// The same for services of a family.
pub(super) fn population_of(family: Family, services: u32, endpoints: u32) -> Population {
    population(services, endpoints).in_family(family)
}

/// Both, each with what its rules that do not depend on services come to: rules, operations of an install, of an update,
/// and its bytes.
const FAMILIES: [(Family, [u64; 4]); 2] = [
    (Family::Ipv4, [23, 36, 19, 1161]),
    (Family::Ipv6, [22, 35, 17, 985]),
];

/// As laid out on kernels without nfnetlink_acct and with it.
fn on_kernels(family: Family) -> [Iptables; 2] {
    let without = Iptables::of(Engine::Legacy, family);
    [without, without.with_accounts()]
}

/// Bytes of a service's line in KUBE-SERVICES in large-cluster layout, newline included.
fn portal_bytes(service: &Service) -> usize {
    // With the names of the service, the VIP and the port between.
    const FIXED: usize = "-A KUBE-SERVICES -m comment --comment \" cluster IP\" -m tcp -p tcp -d  --dport  -j KUBE-SVC-0123456789ABCDEF\n".len();
    FIXED
        + service.port_name().len()
        + service.frontend.vip.to_string().len()
        + service.frontend.port.to_string().len()
}

#[test]
fn a_cold_install_reads_as_kube_proxy_writes_it() {
    let commented = RenderOptions {
        large_cluster: false,
        ..OPTIONS
    };
    insta::assert_snapshot!(Iptables::legacy().render(None, &population(1, 2), &commented));
}

/// As [`a_cold_install_reads_as_kube_proxy_writes_it`], but for what IPv6 has otherwise. Names of chains are by Go's
/// `net.JoinHostPort` of an endpoint (`newBaseEndpointInfo` in pkg/proxy/endpoint.go), here by sha256sum and base32.
#[test]
fn services_of_ipv6_are_written_with_their_addresses_and_the_rest_as_for_ipv4() {
    let commented = RenderOptions {
        large_cluster: false,
        ..OPTIONS
    };
    let written = |family| {
        let iptables = Iptables::of(Engine::Legacy, family);
        let batch = iptables.render(None, &population_of(family, 1, 2), &commented);
        batch.to_string()
    };
    let mut ipv4 = written(Family::Ipv4);
    for (old, new) in [
        (" -d 127.0.0.0/8 ", " -d none "),
        (
            " LOCAL -j KUBE-NODEPORTS",
            " LOCAL ! -d ::1/128 -j KUBE-NODEPORTS",
        ),
        ("10.96.0.1 ", "fd00:10:96::1 "),
        ("10.128.0.0/9", "fd00:10:128::/105"),
        ("10.128.0.0:8080", "[fd00:10:128::]:8080"),
        ("10.128.0.1:8080", "[fd00:10:128::1]:8080"),
        ("-s 10.128.0.0 ", "-s fd00:10:128:: "),
        ("-s 10.128.0.1 ", "-s fd00:10:128::1 "),
        ("KUBE-SEP-656QYLZFNPVW2FVJ", "KUBE-SEP-36K7P7KUOZZIOXYQ"),
        ("KUBE-SEP-CVTC7THCHNHKZLQN", "KUBE-SEP-EGKD3U5MIFSCE4XR"),
    ] {
        assert!(ipv4.contains(old), "{old}");
        ipv4 = ipv4.replace(old, new);
    }
    let lines = ipv4.lines().filter(|line| !line.contains(" -d none "));
    let ipv6 = written(Family::Ipv6);
    assert!(lines.eq(ipv6.lines()), "{ipv4}\n{ipv6}");
}

#[test]
fn an_update_rewrites_the_shared_chains_and_the_changed_services_only() {
    let (before, mut after) = (population(3, 2), population(3, 2));
    after.services.remove(1);
    after.services[0].endpoints.truncate(1);
    insta::assert_snapshot!(Iptables::legacy().render(Some(&before), &after, &OPTIONS));
}

/// Restore inputs of a batch.
fn texts(batch: &Batch) -> Vec<&str> {
    let restores = batch.steps.iter().filter_map(|step| step.as_a::<Restore>());
    restores.map(|restore| &*restore.text).collect()
}

/// Rules and chains that a batch leaves in the nat and filter tables.
fn installed(batch: &Batch) -> (usize, usize) {
    let mut tables = Tables::default();
    for text in texts(batch) {
        tables.restore(text).unwrap();
    }
    let chains = tables
        .0
        .values()
        .flat_map(|t| t.chains.keys())
        .filter(|c| c.starts_with("KUBE-"))
        .count();
    (tables.rules(), chains)
}

#[test]
fn law_of_size_of_an_install() {
    let kernels = FAMILIES.map(|(family, law)| on_kernels(family).map(|on| (on, law)));
    for (iptables, [rules, operations, ..]) in kernels.into_iter().flatten() {
        let family = iptables.family;
        for (n, e) in [(1, 1), (10, 2), (100, 3), (40, 10)] {
            let batch = iptables.render(None, &population_of(family, n, e), &OPTIONS);
            let (n, e) = (n as usize, e as usize);
            assert_eq!(
                installed(&batch),
                (rules as usize + n * (2 + 3 * e), 13 + n * (1 + e)),
                "{family} N={n} E={e}"
            );
            let wanted = operations as usize + n * (3 + 4 * e);
            assert_eq!(batch.operations() as usize, wanted);
            assert_eq!(batch.messages(), 0);
        }
    }
}

#[test]
fn law_of_size_of_a_service_add() {
    // The part that does not depend on N, from the smallest case of all.
    let kernels = FAMILIES.map(|(family, law)| on_kernels(family).map(|on| (on, law)));
    for (iptables, [_, _, operations, bytes]) in kernels.into_iter().flatten() {
        let family = iptables.family;
        let counter = u64::from(iptables.accounts) * 54;
        for (n, e) in [1, 2, 5]
            .into_iter()
            .flat_map(|e| [1, 10, 100, 1000].map(|n| (n, e)))
        {
            let to = population_of(family, n + 1, e);
            let from = population_of(family, n, e);
            let batch = iptables.render(Some(&from), &to, &OPTIONS);
            assert_eq!(
                batch.operations(),
                operations + u64::from(n + 1) + 2 + 4 * u64::from(e),
                "{family} N={n} E={e}"
            );
            let added = &to.services[n as usize];
            let mut chains = RestoreText::new(family, true);
            chains.declare_service(added);
            chains.service_rules(added);
            let chains = chains.finish().0.len();
            let portals: usize = to.services.iter().map(portal_bytes).sum();
            assert_eq!(
                batch.bytes() as usize,
                (bytes + counter) as usize + portals + chains,
                "{family} N={n} E={e}"
            );
        }
    }
}

#[test]
fn chunks_together_install_what_one_transaction_installs() {
    let population = population(25, 3);
    let whole = Iptables::legacy().render(None, &population, &OPTIONS);
    let chunked = Iptables::legacy().render(
        None,
        &population,
        &RenderOptions {
            chunk: Some(10),
            ..OPTIONS
        },
    );
    assert_eq!((whole.steps.len(), chunked.steps.len()), (1, 3));
    assert_eq!(installed(&whole), installed(&chunked));
}

#[test]
fn an_update_of_nothing_leaves_the_meaning() {
    for family in Family::ALL.iter().copied() {
        let population = population_of(family, 5, 2);
        let iptables = Iptables::of(Engine::Legacy, family);
        let install = iptables.render(None, &population, &OPTIONS);
        let again = iptables.render(Some(&population), &population, &OPTIONS);
        assert_eq!(
            iptables.meaning(&[install, again]).unwrap(),
            Relation::of(&population)
        );
    }
}

#[test]
fn counters_are_read_from_the_first_rule_and_from_the_policy() {
    let text = "Chain PREROUTING (policy ACCEPT 12 packets, 720 bytes)\n    pkts      bytes target     prot opt in     out     source               destination         \n      34     2040 KUBE-SERVICES  all  --  *      *       0.0.0.0/0            0.0.0.0/0            /* kubernetes service portals */\n";
    assert_eq!(parse_counters(text), Some((12, Some(34))));
}

#[test]
fn a_relation_that_differs_between_prerouting_and_output_is_refused() {
    let mut tables = Tables::default();
    tables
        .restore("*nat\n-A PREROUTING -d 10.96.0.1/32 -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.128.0.1:80\nCOMMIT\n")
        .unwrap();
    assert!(trace::relation(&tables).unwrap_err().contains("OUTPUT"));
}

/// The layout check's answer after `line` was carried out on two installed services.
fn checked(line: &str) -> Result<(), String> {
    let batch = Iptables::legacy().render(None, &population(2, 2), &OPTIONS);
    let mut tables = Tables::default();
    for text in texts(&batch) {
        tables
            .restore(&text.replace(
                line.split(" => ").next().unwrap(),
                line.split(" => ").nth(1).unwrap_or(""),
            ))
            .unwrap();
    }
    layout_check::complete(&tables, Iptables::legacy())
}

#[test]
fn the_whole_layout_passes_its_check_and_so_does_nothing_at_all() {
    assert_eq!(checked("no such text => "), Ok(()));
    for iptables in Family::ALL.iter().flat_map(|family| on_kernels(*family)) {
        assert_eq!(layout_check::complete(&Tables::default(), iptables), Ok(()));
    }
}

#[test]
fn the_layout_of_a_family_and_a_kernel_is_no_other_s() {
    let all: Vec<Iptables> = Family::ALL
        .iter()
        .flat_map(|family| on_kernels(*family))
        .collect();
    for (nth, iptables) in all.iter().enumerate() {
        let population = population_of(iptables.family, 2, 2);
        let batch = iptables.render(None, &population, &OPTIONS);
        let tables = interpreted(&[batch]).unwrap();
        for (other, of) in all.iter().enumerate() {
            let complete = layout_check::complete(&tables, *of);
            let same = nth == other;
            assert_eq!(
                complete.is_ok(),
                same,
                "{iptables:?} as {of:?}: {complete:?}"
            );
        }
    }
}

#[test]
fn a_rule_whose_counter_was_not_made_is_refused() {
    let mut batch = Iptables::legacy()
        .with_accounts()
        .render(None, &population(2, 2), &OPTIONS);
    let made = batch.steps.remove(0);
    assert_eq!(
        made.to_string(),
        "nfacct add ct_state_invalid_dropped_pkts\nnfacct add localhost_nps_accepted_pkts\n"
    );
    let why = interpreted(&[batch]).unwrap_err();
    assert!(why.contains("nfnetlink_acct"), "{why}");
}

#[test]
fn rules_that_do_not_decide_where_a_flow_goes_are_checked_too() {
    // The shared masquerade rule, the filter table's, a service's masquerade, a rule that matches nothing.
    for change in [
        "-A KUBE-POSTROUTING -j MARK --xor-mark 0x4000\n => ",
        "-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP\n => ",
        "! -s 10.128.0.0/9 => ",
        "-A KUBE-MARK-MASQ -j MARK --or-mark 0x4000\n => -A KUBE-MARK-MASQ -j MARK --or-mark 0x4000\n-A KUBE-SERVICES -s 192.0.2.1 -j KUBE-MARK-MASQ\n",
    ] {
        assert!(checked(change).is_err(), "{change}");
    }
}

#[test]
fn the_conditions_of_masquerading_are_those_that_were_rendered() {
    for change in [
        // A hairpin rule without its source, with a wider one, of another endpoint; its masquerading refined.
        " -s 10.128.0.0 -j KUBE-MARK-MASQ =>  -j KUBE-MARK-MASQ",
        " -s 10.128.0.0 -j KUBE-MARK-MASQ =>  -s 10.128.0.0/31 -j KUBE-MARK-MASQ",
        " -s 10.128.0.0 -j KUBE-MARK-MASQ =>  -s 10.128.0.1 -j KUBE-MARK-MASQ",
        " -s 10.128.0.0 -j KUBE-MARK-MASQ =>  -p tcp -s 10.128.0.0 -j KUBE-MARK-MASQ",
        // A masquerade rule without its network, of another, the other way round, for another port or VIP.
        " ! -s 10.128.0.0/9 => ",
        " ! -s 10.128.0.0/9 =>  ! -s 10.128.0.0/10",
        " ! -s 10.128.0.0/9 =>  -s 10.128.0.0/9",
        " --dport 80 ! -s =>  --dport 81 ! -s",
        " -d 10.96.0.1 --dport 80 ! -s =>  --dport 80 ! -s",
        // Another mark, and the choice of an endpoint under a condition.
        "--or-mark 0x4000 => --or-mark 0x8000",
        " -m statistic =>  -s 10.192.0.0/16 -m statistic",
        " -j DNAT =>  -s 10.192.0.0/16 -j DNAT",
        " --random-fully => ",
    ] {
        assert!(checked(change).is_err(), "{change}");
    }
}

#[test]
fn a_flow_of_a_client_that_would_be_masqueraded_has_no_meaning() {
    let meaning = |replace: &str, by: &str| {
        let mut batch = Iptables::legacy().render(None, &population(2, 2), &OPTIONS);
        for step in &mut batch.steps {
            if let Some(Restore { text, .. }) = step.as_a_mut() {
                assert!(text.contains(replace), "{replace}");
                *text = text.replace(replace, by);
            }
        }
        Iptables::legacy().meaning(&[batch])
    };
    let masquerade = "-A KUBE-POSTROUTING -m mark";
    assert!(meaning(masquerade, masquerade).is_ok());
    for (replace, by) in [
        (" -s 10.128.0.0 -j KUBE-MARK-MASQ", " -j KUBE-MARK-MASQ"),
        (" ! -s 10.128.0.0/9", ""),
        (
            "-m mark ! --mark 0x4000/0x4000 -j RETURN",
            "-m mark --mark 0x4000/0x4000 -j RETURN",
        ),
        (
            "-A POSTROUTING ",
            "-A POSTROUTING -j MASQUERADE\n-A POSTROUTING ",
        ),
    ] {
        let said = meaning(replace, by).unwrap_err();
        assert!(said.contains("masqueraded"), "{replace}: {said}");
    }
}

#[test]
fn a_second_rule_for_a_service_is_seen_and_the_order_is_the_lists() {
    let population = population(2, 2);
    let batch = Iptables::legacy().render(None, &population, &OPTIONS);
    let text = texts(&batch)[0];
    let portal = text
        .lines()
        .find(|l| l.starts_with("-A KUBE-SERVICES") && l.contains("bench/svc-0"))
        .unwrap()
        .to_owned();
    let mut tables = Tables::default();
    tables
        .restore(&text.replace(&portal, &format!("{portal}\n{portal}")))
        .unwrap();
    assert!(
        layout_check::complete(&tables, Iptables::legacy())
            .unwrap_err()
            .contains("two rules")
    );
    let mut tables = Tables::default();
    tables.restore(text).unwrap();
    let wanted: Vec<Frontend> = population.services.iter().map(|s| s.frontend).collect();
    assert_eq!(layout_check::walked(&tables, Family::Ipv4), wanted);
}

#[test]
fn law_of_size_of_a_resync() {
    let resync = RenderOptions {
        resync: true,
        ..OPTIONS
    };
    for (family, [_, _, operations, _]) in FAMILIES {
        for (n, e) in [(1, 1), (10, 2), (40, 10)] {
            let population = population_of(family, n, e);
            let iptables = Iptables::of(Engine::Nft, family);
            let batch = iptables.render(Some(&population), &population, &resync);
            assert_eq!(batch.steps.len(), 1);
            assert_eq!(
                batch.operations(),
                operations + u64::from(n) * (3 + 4 * u64::from(e)),
                "{family} N={n} E={e}"
            );
        }
    }
}

#[test]
fn a_resync_writes_everything_again_and_repeats_no_jump() {
    let resync = RenderOptions {
        resync: true,
        ..OPTIONS
    };
    for family in Family::ALL.iter().copied() {
        let population = population_of(family, 9, 2);
        let iptables = Iptables::of(Engine::Legacy, family);
        let install = iptables.render(None, &population, &OPTIONS);
        let again = iptables.render(Some(&population), &population, &resync);
        let once = interpreted(std::slice::from_ref(&install)).unwrap();
        assert_eq!(interpreted(&[install, again]).unwrap(), once);
    }
}

#[test]
fn kube_proxy_lists_stale_chains_in_large_clusters_only_long_after_the_last_time() {
    for (engine, family, save) in [
        (Engine::Legacy, Family::Ipv4, "iptables-legacy-save"),
        (Engine::Nft, Family::Ipv4, "iptables-nft-save"),
        (Engine::Legacy, Family::Ipv6, "ip6tables-legacy-save"),
        (Engine::Nft, Family::Ipv6, "ip6tables-nft-save"),
    ] {
        let iptables = Iptables::of(engine, family);
        let small = iptables.kube_proxy_sync(SyncKind::Partial, false).unwrap();
        assert_eq!(small.read_back, [[save, "-t", "nat"]]);
        let large = iptables.kube_proxy_sync(SyncKind::Partial, true).unwrap();
        assert!(large.read_back.is_empty());
        for kind in [SyncKind::Late, SyncKind::Full] {
            let rare = iptables.kube_proxy_sync(kind, true).unwrap();
            assert_eq!(rare.read_back, small.read_back);
        }
        assert_eq!(small.transport, Transport::Restore);
    }
}

#[test]
fn what_is_counted_is_what_was_installed() {
    let batch = Iptables::legacy().render(None, &population(10, 3), &OPTIONS);
    let inventory = interpreted(&[batch]).unwrap().inventory();
    assert_eq!((inventory.rules, inventory.chains), (23 + 110, 13 + 40));
}

#[test]
fn the_floor_names_as_many_operations_as_it_has_chains_and_rules() {
    let nothing = population(0, 1);
    for family in Family::ALL.iter().copied() {
        let batch = super::Conntrack::of(family).render(None, &nothing, &OPTIONS);
        let text = batch.to_string();
        let named = |line: &&str| line.starts_with(':') || line.starts_with("-A");
        assert_eq!(
            batch.operations() as usize,
            text.lines().filter(named).count(),
            "{text}"
        );
    }
}

/// Two services, of which the second has no endpoints, in the form in which iptables-save lists those of IPv4
/// (netns-harness/tests/kube-proxy/ipv4/1.32/iptables-legacy.txt), with what ip6tables-save prints otherwise: a prefix of 128 and
/// the answer of ICMPv6.
const SAVED_IPV6: &str = r#"# Generated by ip6tables-save v1.8.9
*mangle
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:KUBE-PROXY-CANARY - [0:0]
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:KUBE-EXTERNAL-SERVICES - [0:0]
:KUBE-FIREWALL - [0:0]
:KUBE-FORWARD - [0:0]
:KUBE-NODEPORTS - [0:0]
:KUBE-PROXY-CANARY - [0:0]
:KUBE-PROXY-FIREWALL - [0:0]
:KUBE-SERVICES - [0:0]
-A INPUT -j KUBE-FIREWALL
-A INPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL
-A INPUT -m comment --comment "kubernetes health check service ports" -j KUBE-NODEPORTS
-A INPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes externally-visible service portals" -j KUBE-EXTERNAL-SERVICES
-A FORWARD -m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL
-A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD
-A FORWARD -m conntrack --ctstate NEW -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A FORWARD -m conntrack --ctstate NEW -m comment --comment "kubernetes externally-visible service portals" -j KUBE-EXTERNAL-SERVICES
-A OUTPUT -j KUBE-FIREWALL
-A OUTPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL
-A OUTPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
-A KUBE-FORWARD -m comment --comment "kubernetes forwarding rules" -m mark --mark 0x4000/0x4000 -j ACCEPT
-A KUBE-FORWARD -m comment --comment "kubernetes forwarding conntrack rule" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A KUBE-SERVICES -d fd00:10:96::8/128 -p udp -m comment --comment "bench/svc-1:p80 has no endpoints" -m udp --dport 80 -j REJECT --reject-with icmp6-port-unreachable
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:KUBE-MARK-MASQ - [0:0]
:KUBE-NODEPORTS - [0:0]
:KUBE-POSTROUTING - [0:0]
:KUBE-PROXY-CANARY - [0:0]
:KUBE-SEP-36K7P7KUOZZIOXYQ - [0:0]
:KUBE-SEP-EGKD3U5MIFSCE4XR - [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-SVC-NUZSQCQRZDK3VYZT - [0:0]
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING
-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0
-A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully
-A KUBE-SEP-36K7P7KUOZZIOXYQ -s fd00:10:128::/128 -j KUBE-MARK-MASQ
-A KUBE-SEP-36K7P7KUOZZIOXYQ -p tcp -m tcp -j DNAT --to-destination [fd00:10:128::]:8080
-A KUBE-SEP-EGKD3U5MIFSCE4XR -s fd00:10:128::1/128 -j KUBE-MARK-MASQ
-A KUBE-SEP-EGKD3U5MIFSCE4XR -p tcp -m tcp -j DNAT --to-destination [fd00:10:128::1]:8080
-A KUBE-SERVICES -d fd00:10:96::1/128 -p tcp -m comment --comment "bench/svc-0:p80 cluster IP" -m tcp --dport 80 -j KUBE-SVC-NUZSQCQRZDK3VYZT
-A KUBE-SERVICES ! -d ::1/128 -m comment --comment "kubernetes service nodeports; NOTE: this must be the last rule in this chain" -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS
-A KUBE-SVC-NUZSQCQRZDK3VYZT ! -s fd00:10:128::/105 -d fd00:10:96::1/128 -p tcp -m comment --comment "bench/svc-0:p80 cluster IP" -m tcp --dport 80 -j KUBE-MARK-MASQ
-A KUBE-SVC-NUZSQCQRZDK3VYZT -m statistic --mode random --probability 0.50000000000 -j KUBE-SEP-36K7P7KUOZZIOXYQ
-A KUBE-SVC-NUZSQCQRZDK3VYZT -j KUBE-SEP-EGKD3U5MIFSCE4XR
COMMIT
"#;

#[test]
fn what_is_written_for_ipv6_is_what_ip6tables_save_lists() {
    let mut population = population_of(Family::Ipv6, 2, 2);
    population.services[1].endpoints.clear();
    let iptables = Iptables::of(Engine::Legacy, Family::Ipv6);
    let written = interpreted(&[iptables.render(None, &population, &OPTIONS)]).unwrap();
    let mut saved = Tables::default();
    saved.restore(SAVED_IPV6).unwrap();
    assert_eq!(saved, written);
    assert_eq!(layout_check::complete(&saved, iptables), Ok(()));
    let means = way::relation(&saved, &[]).unwrap();
    assert_eq!(means.differences(&Relation::of(&population)), None);
}

/// All flows, as an integer of which parts are exact but for one in each step.
const ALL_FLOWS: u128 = 1 << 96;

/// The shares of a chain of choices, of [`ALL_FLOWS`], whose probabilities are written as that, as the kernel keeps them:
/// of 2^31, rounded (`lround` in libxt_statistic.c).
fn shares_in_the_kernel(probabilities: &[&str]) -> Vec<u128> {
    let mut left = ALL_FLOWS;
    let taken = probabilities.iter().map(|text| {
        let written: f64 = text.parse().unwrap();
        let kept = (written * f64::from(1_u32 << 31)).round() as u128;
        let taken = (left * kept) >> 31;
        left -= taken;
        taken
    });
    let mut shares: Vec<u128> = taken.collect();
    shares.push(left);
    shares
}

#[test]
fn shares_are_even_as_far_as_ten_decimals_and_31_bits_can_say_them() {
    for endpoints in [1, 2, 3, 10, 40, 319, 320, 1_000] {
        let population = population(1, endpoints);
        let batch = Iptables::legacy().render(None, &population, &OPTIONS);
        let text = batch.to_string();
        let written = text
            .lines()
            .filter_map(|line| line.split_once("--probability "));
        let written: Vec<&str> = written
            .filter_map(|(_, rest)| rest.split(' ').next())
            .collect();
        let shares = shares_in_the_kernel(&written);
        assert_eq!(shares.len(), endpoints as usize);
        let even = ALL_FLOWS / u128::from(endpoints);
        for (at, share) in shares.iter().enumerate() {
            let off = share.abs_diff(even) as f64 / ALL_FLOWS as f64;
            assert!(off < SHARE_TOLERANCE, "{at} of {endpoints}: {off:e}");
        }
        // What the tracer makes of the text.
        let means = way::relation(&interpreted(&[batch]).unwrap(), &[]).unwrap();
        assert_eq!(
            means.differences(&Relation::of(&population)),
            None,
            "{endpoints}"
        );
    }
}

#[test]
fn five_decimals_would_not_tell_319_endpoints_from_320() {
    let chain = |decimals: usize| -> Vec<String> {
        let left = (2..=320).rev().map(|left| 1.0 / f64::from(left));
        left.map(|probability| format!("{probability:.decimals$}"))
            .collect()
    };
    assert_eq!(chain(5)[..2], ["0.00313", "0.00313"]);
    assert_eq!(chain(10)[..2], ["0.0031250000", "0.0031347962"]);
    let farthest = |decimals| {
        let texts = chain(decimals);
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let shares = shares_in_the_kernel(&texts).into_iter();
        let off = shares.map(|share| share.abs_diff(ALL_FLOWS / 320) as f64 / ALL_FLOWS as f64);
        off.fold(0.0, f64::max)
    };
    assert!(farthest(5) > 1e-6 && farthest(10) < SHARE_TOLERANCE);
}

#[test]
fn a_family_is_broken_polled_and_listed_by_its_own_tools() {
    for (family, tool) in [
        (Family::Ipv4, "iptables-legacy"),
        (Family::Ipv6, "ip6tables-legacy"),
    ] {
        let iptables = Iptables::of(Engine::Legacy, family);
        let population = population_of(family, 4, 2);
        let (a, b) = (&population.services[0], &population.services[2]);
        for damage in Damage::ALL.iter().copied() {
            let lines = iptables.damage(damage, a, b);
            let floor = super::Conntrack::of(family).damage(damage, a, b);
            assert!(lines.iter().chain(&floor).all(|words| words[0] == tool));
        }
        let periodic = iptables.periodic(KubeProxyVersion::default(), true);
        let canary = "-w 5 -S KUBE-PROXY-CANARY -t mangle".split(' ');
        let poll = std::iter::once(tool).chain(canary).map(str::to_owned);
        assert_eq!(periodic[0].work, Work::Asks(vec![poll.collect()]));
        let facts = iptables.facts();
        assert_eq!(facts.family, family);
        assert_eq!(facts.listings(), [[format!("{tool}-save")]]);
        let tools = facts.tools(Transport::Exec);
        assert!(
            tools
                .iter()
                .any(|(name, package)| (*name, *package) == (tool, "iptables"))
        );
    }
}

#[test]
fn every_damage_is_seen_in_tables_of_both_families() {
    for family in Family::ALL.iter().copied() {
        let iptables = Iptables::of(Engine::Legacy, family);
        let population = population_of(family, 4, 2);
        let wanted = Relation::of(&population);
        for damage in Damage::ALL.iter().copied() {
            let batch = iptables.render(None, &population, &OPTIONS);
            let mut tables = interpreted(&[batch]).unwrap();
            for words in iptables.damage(damage, &population.services[0], &population.services[2]) {
                tables.command(&words).unwrap();
            }
            let seen = way::relation(&tables, &[]).map(|means| means.differences(&wanted));
            assert!(!matches!(seen, Ok(None)), "{family} {damage:?}");
        }
    }
}
