//! What is rendered: golden text, the law of size, what each step leaves, and what is refused.

use std::net::IpAddr;

use ipvs_codec::{Destination, ListedDestination, Op};

use super::kernel::Kernel;
use super::part::{Part, Request};
use super::*;
use crate::datapath::Breakable as _;
use crate::datapath::meaning::Meaning as _;
use crate::datapath::steps::{Commands, Restore};
use crate::datapath::{Damage, Step};
use crate::service::Service;
use crate::xtables::rule::Target;

const OPTIONS: RenderOptions = RenderOptions::by(Transport::Netlink);

fn service(index: u32, endpoints: u32) -> Service {
    Service::of_test(
        index,
        0x0a60_0001 + index,
        0x0a80_0000 + index * endpoints,
        endpoints,
    )
}

fn population(services: u32, endpoints: u32) -> Population {
    Population {
        services: (0..services).map(|i| service(i, endpoints)).collect(),
    }
}

fn render(from: Option<&Population>, to: &Population, options: &RenderOptions) -> Batch {
    Ipvs::of(Family::Ipv4).render(from, to, options)
}

/// The namespace after batches.
fn kernel(batches: &[&Batch]) -> Kernel {
    let mut kernel = Kernel::default();
    for step in batches.iter().flat_map(|batch| &batch.steps) {
        kernel.run(&**step).unwrap();
    }
    kernel
}

/// The two services of a kernel, listed; for spoiling.
fn listed(services: u32) -> State {
    kernel(&[&render(None, &population(services, 2), &OPTIONS)]).state()
}

#[test]
fn a_cold_install_makes_device_servers_sets_and_rules() {
    insta::assert_snapshot!(render(None, &population(2, 2), &OPTIONS));
}

#[test]
fn an_update_names_only_what_changed_and_what_leaves_goes_address_first_and_server_last() {
    let (before, mut after) = (population(4, 2), population(5, 2));
    after.services.remove(1);
    after.services[0].endpoints[0].address = IpAddr::from([10, 130, 0, 1]);
    insta::assert_snapshot!(render(Some(&before), &after, &OPTIONS));
}

#[test]
fn the_tools_are_told_the_same_a_process_for_each_set_entry_or_a_script() {
    let (before, after) = (population(2, 2), population(3, 1));
    let said = |transport| render(Some(&before), &after, &RenderOptions::by(transport)).to_string();
    insta::assert_snapshot!(format!(
        "{}---\n{}",
        said(Transport::Ipvsadm),
        said(Transport::Exec)
    ));
}

#[test]
fn law_of_size_of_an_install() {
    let mut rules = std::collections::BTreeSet::new();
    for (n, e) in [(1, 1), (2, 3), (10, 2), (100, 1), (1_000, 3), (10_000, 2)] {
        let batch = render(None, &population(n, e), &OPTIONS);
        let kernel = kernel(&[&batch]);
        let state = kernel.state();
        let (n, e) = (n as usize, e as usize);
        rules.insert((kernel.tables.rules(), kernel.tables.own_chains()));
        let entries: usize = kernel.sets.values().map(|set| set.entries.len()).sum();
        let destinations: usize = state.servers.iter().map(|(_, all)| all.len()).sum();
        let addresses = state.addresses.as_ref().map_or(0, Vec::len);
        assert_eq!((kernel.sets.len(), entries), (17, 2 * n), "N={n}");
        assert_eq!(
            (state.servers.len(), destinations, addresses),
            (n, n * e, n)
        );
        assert_eq!(batch.operations() as usize, 60 + n * (4 + e), "N={n} E={e}");
    }
    assert_eq!(Vec::from_iter(rules), [(28, 11)]);
    assert_eq!(layout::SETS.len(), 17);
}

#[test]
fn law_of_size_of_updates() {
    for (n, e) in [(1, 1), (10, 2), (1_000, 3)] {
        let (small, large) = (population(n, e), population(n + 1, e));
        let add = render(Some(&small), &large, &OPTIONS);
        let remove = render(Some(&large), &small, &OPTIONS);
        for (batch, wanted) in [(add, 4 + u64::from(e)), (remove, 4)] {
            assert_eq!(
                (batch.operations(), batch.messages()),
                (wanted, wanted),
                "N={n} E={e}"
            );
        }
        let add = render(Some(&small), &large, &RenderOptions::by(Transport::Exec));
        let processes = |step: &dyn Step| match step.as_a() {
            Some(Commands(lines)) => lines.len(),
            None => usize::from(step.as_a::<Restore>().is_some()),
        };
        assert_eq!(add.steps.iter().map(|s| processes(&**s)).sum::<usize>(), 3);
    }
}

#[test]
fn law_of_size_of_a_resync_it_asks_three_questions_a_service_and_writes_the_rules() {
    let to = population(100, 2);
    let options = RenderOptions {
        resync: true,
        ..OPTIONS
    };
    let batch = render(Some(&to), &to, &options);
    assert_eq!(batch.messages(), 5 + 3 * 100);
    assert!(batch.steps.last().unwrap().as_a::<Restore>().is_some());
    assert_eq!(batch.steps.len(), 2);
}

#[test]
fn nothing_changes_without_a_change() {
    let same = population(3, 2);
    assert!(render(Some(&same), &same, &OPTIONS).steps.is_empty());
}

#[test]
fn the_first_and_the_last_service_of_a_vip_bring_and_take_its_address() {
    let mut both = population(2, 1);
    both.services[1].frontend.vip = both.services[0].frontend.vip;
    let mut one = both.clone();
    one.services.pop();
    let kernel = kernel(&[
        &render(None, &both, &OPTIONS),
        &render(Some(&both), &one, &OPTIONS),
        &render(Some(&one), &both, &OPTIONS),
        &render(Some(&both), &Population::default(), &OPTIONS),
    ]);
    let state = kernel.state();
    assert_eq!(state.addresses, Some(Vec::new()));
    assert_eq!(state.relation(), Ok(Relation::default()));
}

#[test]
fn a_namespace_that_lost_any_part_of_a_service_has_no_relation() {
    let whole = listed(2);
    assert!(whole.relation().is_ok());
    let vip = IpAddr::from([10, 96, 0, 1]);
    type Spoil = (&'static str, fn(&mut State));
    let spoil: [Spoil; 12] = [
        ("network of the masquerade rule", |s| {
            let nat = s.tables.0.get_mut("nat").unwrap();
            let rules = nat.chains.get_mut("KUBE-SERVICES").unwrap();
            rules.iter_mut().for_each(|rule| rule.source = None);
        }),
        ("mark of what is masqueraded", |s| {
            let nat = s.tables.0.get_mut("nat").unwrap();
            nat.chains.get_mut("KUBE-MARK-MASQ").unwrap()[0].target = Target::Mark {
                value: 0x8000,
                mask: 0x8000,
            };
        }),
        ("emptiness of the set for hairpins", |s| {
            let entry = *s.sets[layout::CLUSTER_IPS].entries.first().unwrap();
            s.sets
                .get_mut("KUBE-LOOP-BACK")
                .unwrap()
                .entries
                .push(entry);
        }),
        ("virtual server", |s| s.servers.truncate(1)),
        ("address", |s| s.addresses.as_mut().unwrap().truncate(1)),
        ("device", |s| s.addresses = None),
        ("entry", |s| {
            let entries = &mut s.sets.get_mut(layout::CLUSTER_IPS).unwrap().entries;
            entries.truncate(1);
        }),
        ("bound entry", |s| {
            s.sets.get_mut(layout::BOUND_IPS).unwrap().entries.clear();
        }),
        ("set", |s| {
            s.sets.retain(|name, _| name != "KUBE-LOAD-BALANCER")
        }),
        ("rule", |s| {
            let nat = s.tables.0.get_mut("nat").unwrap();
            nat.chains.get_mut("KUBE-POSTROUTING").unwrap().truncate(2);
        }),
        ("order of rules", |s| {
            let filter = s.tables.0.get_mut("filter").unwrap();
            filter.chains.get_mut("KUBE-IPVS-FILTER").unwrap().reverse();
        }),
        ("sysctl", |s| {
            s.other_sysctls = vec![("net.ipv4.vs.conntrack", "0".to_owned())];
        }),
    ];
    for (what, spoil) in spoil {
        let mut state = whole.clone();
        spoil(&mut state);
        let relation = state.relation();
        assert!(relation.is_err(), "{what}: {relation:?}");
    }
    let mut more = whole.clone();
    more.addresses.as_mut().unwrap().push((vip, 24));
    assert!(more.relation().is_err());
}

#[test]
fn what_is_on_its_way_out_takes_no_share_and_weights_count_only_where_the_scheduler_looks() {
    let endpoint = |host| ipvs_codec::Server {
        address: IpAddr::from([10, 128, 0, host]),
        port: 8080,
    };
    let destination = |host, weight| ListedDestination {
        destination: Destination {
            server: endpoint(host),
            forward: ipvs_codec::Forward::Masquerade,
            weight,
        },
        thresholds: (0, 0),
        active: 3,
        inactive: 1,
    };
    let mut state = listed(1);
    state.servers[0].1 = vec![destination(1, 0), destination(2, 3), destination(3, 1)];
    let shares = |state: &State| {
        let relation = state.relation().unwrap();
        relation
            .0
            .values()
            .next()
            .unwrap()
            .values()
            .copied()
            .collect::<Vec<_>>()
    };
    assert_eq!(shares(&state), [0.5, 0.5]);
    state.servers[0].0.service.scheduler = ipvs_codec::Scheduler::WeightedRoundRobin;
    assert_eq!(shares(&state), [0.75, 0.25]);
    state.servers[0].0.service.scheduler = ipvs_codec::Scheduler::SourceHash;
    assert!(state.relation().is_err());
    state.servers[0].0.service.scheduler = ipvs_codec::Scheduler::RoundRobin;
    state.servers[0].1[1].destination.forward = ipvs_codec::Forward::Route;
    assert!(state.relation().is_err());
}

#[test]
fn servers_are_traced_whatever_sets_and_rules_stand_beside_them_and_want_their_addresses() {
    let mut state = listed(2);
    let wanted = Relation::of(&population(2, 2));
    state.sets.clear();
    state.tables = crate::xtables::tables::Tables::default();
    assert_eq!(state.traced().unwrap().differences(&wanted), None);
    let mut spoilt = state.clone();
    spoilt.servers[0].1.pop();
    assert!(spoilt.traced().unwrap().differences(&wanted).is_some());
    state.addresses.as_mut().unwrap().pop();
    assert!(state.traced().unwrap_err().contains("lacks"));
    state.addresses = None;
    assert!(state.traced().is_err());
}

#[test]
fn every_damage_is_seen() {
    let before = population(4, 2);
    let (a, b) = (&before.services[0], &before.services[2]);
    let wanted = Relation::of(&before);
    for damage in Damage::ALL.iter().copied() {
        let mut kernel = kernel(&[&render(None, &before, &OPTIONS)]);
        for words in Ipvs::of(Family::Ipv4).damage(damage, a, b) {
            assert_eq!(words[0], "ipvsadm");
            let ops: Vec<Op> = model::parse_ipvsadm(&words[1..].join(" ")).unwrap();
            let part = Part::script(ops);
            let leaving = Arc::default();
            kernel.run(&Request { part, leaving }).unwrap();
        }
        let seen = match kernel.state().relation() {
            Ok(relation) => relation.differences(&wanted).is_some(),
            Err(_) => true,
        };
        assert!(seen, "{}", damage.name());
    }
}

#[test]
fn the_kernel_refuses_what_is_there_and_a_destination_that_no_address_makes_routable() {
    let to = population(2, 1);
    let install = render(None, &to, &OPTIONS);
    let mut kernel = Kernel::default();
    let servers = |step: &&dyn Step| {
        let request = step.as_a::<Request>();
        request.is_some_and(|r| matches!(r.part, Part::Servers(_)))
    };
    let step = install.steps.iter().map(|s| &**s).find(servers);
    assert!(kernel.run(step.unwrap()).unwrap_err().contains("EINVAL"));
    let again = render(None, &to, &OPTIONS);
    assert!(Ipvs::of(Family::Ipv4).meaning(&[install, again]).is_err());
}
