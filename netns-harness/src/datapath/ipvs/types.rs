//! Services of every type: the rules that kube-proxy writes by its sets (`writeIptablesRules` in
//! pkg/proxy/ipvs/proxier.go of kubernetes 1.37.2), and what updates between types leave.

use super::kernel::Kernel;
use super::*;
use crate::service::{Cidr, Plan, Service};

/// One service of each of so many types, by turns.
fn service(family: Family, turn: u32, index: u32) -> Service {
    let (vip, first) = (0x0a60_0001 + 7 * index, 0x0a80_0000 + 2 * index);
    let mut service = Service::of_test(index, vip, first, 2).in_family(family);
    let host = |number| {
        Plan::of(family)
            .services
            .host(0x8_0000 + 8 * index + number)
    };
    let exposure = &mut service.exposure;
    match (index + turn) % 6 {
        0 => {}
        1 => exposure.node_port = Some(30_000 + index as u16),
        2 => exposure.external = vec![host(1)],
        3 => {
            exposure.load_balancer = vec![host(2)];
            exposure.source_ranges = vec![Plan::of(family).clients];
        }
        4 => {
            exposure.load_balancer = vec![host(2)];
            exposure.external = vec![host(1)];
            exposure.external_local = true;
            exposure.node_port = Some(30_000 + index as u16);
            exposure.health_check_port = Some(20_000 + index as u16);
        }
        _ => exposure.affinity_s = Some(10_800),
    }
    if (index + turn).is_multiple_of(4) {
        service.local = vec![service.endpoints[0]];
    }
    service
}

fn population(family: Family, turn: u32) -> Population {
    let indices = (0..12).filter(|index| !(index + turn).is_multiple_of(5));
    Population {
        services: indices.map(|index| service(family, turn, index)).collect(),
    }
}

/// What batches leave.
fn left(family: Family, batches: &[Batch]) -> State {
    let mut kernel = Kernel::of(family);
    for step in batches.iter().flat_map(|batch| &batch.steps) {
        kernel.run(&**step).unwrap();
    }
    kernel.state()
}

fn one(kind: u32) -> Vec<String> {
    let services = vec![service(Family::Ipv4, 0, kind)];
    let batch = Ipvs::of(Family::Ipv4).render(
        None,
        &Population { services },
        &RenderOptions::by(Transport::Netlink),
    );
    let bare = vec![service(Family::Ipv4, 0, 0)];
    let base = Ipvs::of(Family::Ipv4).render(
        None,
        &Population { services: bare },
        &RenderOptions::by(Transport::Netlink),
    );
    let base = base.to_string();
    let text = batch.to_string();
    let rules = text.lines().filter(|line| line.starts_with("-A "));
    let own = rules.filter(|line| !base.lines().any(|known| known == *line));
    own.map(str::to_owned).collect()
}

#[test]
fn rules_of_a_type_are_there_with_the_entries_of_its_sets() {
    assert_eq!(
        one(1),
        [
            "-A KUBE-NODE-PORT -p udp -m comment --comment \"Kubernetes nodeport UDP port for masquerade purpose\" -m set --match-set KUBE-NODE-PORT-UDP dst -j KUBE-MARK-MASQ"
        ]
    );
    let external = "-A KUBE-SERVICES -m comment --comment \"Kubernetes service external ip + port for masquerade and filter purpose\" -m set --match-set KUBE-EXTERNAL-IP dst,dst";
    assert_eq!(
        one(2),
        [
            format!("{external} -j KUBE-MARK-MASQ"),
            format!(
                "{external} -m physdev ! --physdev-is-in -m addrtype ! --src-type LOCAL -j ACCEPT"
            ),
            format!("{external} -m addrtype --dst-type LOCAL -j ACCEPT"),
        ]
    );
    assert_eq!(
        one(3),
        [
            "-A KUBE-SERVICES -m comment --comment \"Kubernetes service lb portal\" -m set --match-set KUBE-LOAD-BALANCER dst,dst -j KUBE-LOAD-BALANCER",
            "-A KUBE-SERVICES -m set --match-set KUBE-LOAD-BALANCER dst,dst -j ACCEPT",
            "-A KUBE-PROXY-FIREWALL -m comment --comment \"Kubernetes service load balancer ip + port for load balancer with sourceRange\" -m set --match-set KUBE-LOAD-BALANCER-FW dst,dst -j KUBE-SOURCE-RANGES-FIREWALL",
            "-A KUBE-SOURCE-RANGES-FIREWALL -m comment --comment \"Kubernetes service load balancer ip + port + source cidr for packet filter purpose\" -m set --match-set KUBE-LOAD-BALANCER-SOURCE-CIDR dst,dst,src -j RETURN",
            "-A KUBE-IPVS-OUT-FILTER -s 10.104.0.26 -m ipvs --vaddr 10.104.0.26 --vproto udp --vport 80 -j DROP",
        ]
    );
}

#[test]
fn updates_between_types_leave_what_an_install_makes() {
    for family in Family::ALL.iter().copied() {
        for transport in [Transport::Netlink, Transport::Exec] {
            let options = RenderOptions::by(transport);
            let ipvs = Ipvs::of(family);
            let mut batches = vec![ipvs.render(None, &population(family, 0), &options)];
            for turn in 1..6 {
                let (from, to) = (population(family, turn - 1), population(family, turn));
                batches.push(ipvs.render(Some(&from), &to, &options));
                let (updated, anew) = (
                    left(family, &batches),
                    left(family, &[ipvs.render(None, &to, &options)]),
                );
                assert_eq!(updated.tables, anew.tables, "{family} {turn}");
                let relation = updated.relation().unwrap();
                assert_eq!(relation.differences(&Relation::of(&to)), None);
                assert_eq!(anew.relation().unwrap().differences(&relation), None);
                for (name, set) in &anew.sets {
                    let entries = |set: &Set| set.entries.iter().copied().collect::<BTreeSet<_>>();
                    assert_eq!(entries(&updated.sets[name]), entries(set), "{name}");
                }
            }
        }
    }
}

#[test]
fn a_source_range_with_the_node_leaves_it_its_way_to_the_load_balancer() {
    let mut ranged = service(Family::Ipv4, 0, 3);
    ranged.exposure.source_ranges = vec![Cidr::one(Plan::of(Family::Ipv4).node())];
    let services = vec![ranged];
    let options = RenderOptions::by(Transport::Netlink);
    let batch = Ipvs::of(Family::Ipv4).render(None, &Population { services }, &options);
    let text = batch.to_string();
    assert!(!text.contains("-A KUBE-IPVS-OUT-FILTER"), "{text}");
    assert!(text.contains("--match-set KUBE-LOAD-BALANCER-SOURCE-IP dst,dst,src -j RETURN"));
    assert!(left(Family::Ipv4, &[batch]).relation().is_ok());
}
