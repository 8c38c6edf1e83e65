//! What is rendered: golden text, the law of size, what each step leaves, and what is refused.

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

/// The same for services of a family.
fn population_of(family: Family, services: u32, endpoints: u32) -> Population {
    population(services, endpoints).in_family(family)
}

fn render(from: Option<&Population>, to: &Population, options: &RenderOptions) -> Batch {
    Ipvs::of(Family::Ipv4).render(from, to, options)
}

/// The namespace after batches.
fn kernel(batches: &[&Batch]) -> Kernel {
    kernel_of(Family::Ipv4, batches)
}

/// The same for services of a family.
fn kernel_of(family: Family, batches: &[&Batch]) -> Kernel {
    let mut kernel = Kernel::of(family);
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
fn of_ipv6_everything_has_its_addresses_and_the_names_that_kube_proxy_gives_it() {
    let ipvs = Ipvs::of(Family::Ipv6);
    let batch = ipvs.render(None, &population_of(Family::Ipv6, 2, 2), &OPTIONS);
    let text = batch.to_string();
    for line in [
        "sysctl -w net.ipv4.vs.conntrack=1",
        "ip link add kube-ipvs0 type dummy",
        "ip address add fd00:10:96::1/128 dev kube-ipvs0",
        "ipvsadm -A -u [fd00:10:96::2]:80 -s rr",
        "ipvsadm -a -t [fd00:10:96::1]:80 -r [fd00:10:128::1]:8080 -m -w 1",
        "create KUBE-6-CLUSTER-IP hash:ip,port family inet6 maxelem 65536",
        "create KUBE-6-NODE-PORT-TCP bitmap:port range 0-65535",
        "create KUBE-6-LOAD-BALANCER-SOURCE-CID hash:ip,port,net family inet6 maxelem 65536",
        "create KUBE-6-IPVS-IPS hash:ip family inet6 maxelem 65536",
        "add KUBE-6-CLUSTER-IP fd00:10:96::1,tcp:80",
        "add KUBE-6-IPVS-IPS fd00:10:96::2",
        ":KUBE-SERVICES - [0:0]",
        "-A KUBE-SERVICES -s ::1/128 -j RETURN",
        "-A KUBE-SERVICES -m set --match-set KUBE-6-CLUSTER-IP dst,dst -j ACCEPT",
        "-A KUBE-IPVS-FILTER -m conntrack --ctstate NEW -m set --match-set KUBE-6-IPVS-IPS dst -j REJECT",
    ] {
        assert!(text.lines().any(|there| there == line), "{line}: {text}");
    }
    assert!(
        !text.contains("10.96.0.") && !text.contains(" family inet "),
        "{text}"
    );
    let sync = ipvs.kube_proxy_sync(SyncKind::Full, true).unwrap();
    assert_eq!(sync.read_back[1], ["ipset", "list", "KUBE-6-CLUSTER-IP"]);
    let tools = ipvs.facts().tools(Transport::Netlink);
    assert!(
        tools.contains(&("ip6tables-legacy", "iptables")),
        "{tools:?}"
    );
}

#[test]
fn every_transport_leaves_the_relation_of_either_family_and_takes_it_back() {
    for family in Family::ALL.iter().copied() {
        for transport in [Transport::Netlink, Transport::Ipvsadm, Transport::Exec] {
            let options = RenderOptions::by(transport);
            let ipvs = Ipvs::of(family);
            let [before, mut after] = [4, 5].map(|n| population_of(family, n, 2));
            after.services.remove(1);
            after.services[0].endpoints.pop();
            let batches = [
                ipvs.render(None, &before, &options),
                ipvs.render(Some(&before), &after, &options),
            ];
            let state = kernel_of(family, &[&batches[0], &batches[1]]).state();
            let wanted = Relation::of(&after);
            assert_eq!(state.relation().unwrap().differences(&wanted), None);
            // The sets, the addresses and the rules are those of the family, and would be odd in the other.
            for of in Family::ALL.iter().copied().filter(|of| *of != family) {
                let other = State {
                    family: of,
                    ..state.clone()
                };
                assert!(other.relation().is_err(), "{family} as {of}");
            }
        }
    }
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
    let cases = [(1, 1), (2, 3), (10, 2), (100, 1), (1_000, 3), (10_000, 2)];
    let each = cases
        .into_iter()
        .flat_map(|case| [Family::Ipv4, Family::Ipv6].map(|f| (case, f)));
    for ((n, e), family) in each {
        let batch = Ipvs::of(family).render(None, &population_of(family, n, e), &OPTIONS);
        let kernel = kernel_of(family, &[&batch]);
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
    let cases = [(1, 1), (10, 2), (1_000, 3)];
    let each = cases
        .into_iter()
        .flat_map(|case| [Family::Ipv4, Family::Ipv6].map(|f| (case, f)));
    for ((n, e), family) in each {
        let [small, large] = [n, n + 1].map(|services| population_of(family, services, e));
        let ipvs = Ipvs::of(family);
        let add = ipvs.render(Some(&small), &large, &OPTIONS);
        let remove = ipvs.render(Some(&large), &small, &OPTIONS);
        for (batch, wanted) in [(add, 4 + u64::from(e)), (remove, 4)] {
            assert_eq!(
                (batch.operations(), batch.messages()),
                (wanted, wanted),
                "N={n} E={e}"
            );
        }
        let add = ipvs.render(Some(&small), &large, &RenderOptions::by(Transport::Exec));
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
    let families = Family::ALL.iter().copied();
    for (family, damage) in families.flat_map(|f| Damage::ALL.iter().map(move |d| (f, *d))) {
        let before = population_of(family, 4, 2);
        let (a, b) = (&before.services[0], &before.services[2]);
        let wanted = Relation::of(&before);
        let ipvs = Ipvs::of(family);
        let mut kernel = kernel_of(family, &[&ipvs.render(None, &before, &OPTIONS)]);
        for words in ipvs.damage(damage, a, b) {
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
        assert!(seen, "{family} {}", damage.name());
    }
}

#[test]
fn the_kernel_refuses_what_is_there_and_a_destination_that_no_address_makes_routable() {
    let to = population(2, 1);
    let install = render(None, &to, &OPTIONS);
    let mut kernel = Kernel::of(Family::Ipv4);
    let servers = |step: &&dyn Step| {
        let request = step.as_a::<Request>();
        request.is_some_and(|r| matches!(r.part, Part::Servers(_)))
    };
    let step = install.steps.iter().map(|s| &**s).find(servers);
    assert!(kernel.run(step.unwrap()).unwrap_err().contains("EINVAL"));
    let again = render(None, &to, &OPTIONS);
    assert!(Ipvs::of(Family::Ipv4).meaning(&[install, again]).is_err());
}
