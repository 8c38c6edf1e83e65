//! What is rendered: golden text, the law of size, what each transaction leaves, and what is refused.

use std::collections::BTreeSet;
use std::net::IpAddr;

use proptest::prelude::*;
use schema::{Family, Protocol};

use super::ids::{Id, LEVELS, Prefix};
use super::kernel::Kernel;
use super::*;
use crate::datapath::meaning::Meaning as _;
use crate::datapath::{Breakable as _, Damage};

use crate::datapath::steps::{IpsetRestore, Restore, SetScript};
use crate::service::{Frontend, Service};

const OPTIONS: RenderOptions = RenderOptions::by(Transport::Netlink);
const RESYNC: RenderOptions = RenderOptions {
    resync: true,
    ..OPTIONS
};
const IPSET: Ipset = Ipset::new(Engine::Legacy, Family::Ipv4);
const IPSET_IPV6: Ipset = Ipset::new(Engine::Legacy, Family::Ipv6);
/// Of both families, with what the rules that do not depend on services come to: how many they are, and operations of an
/// install.
const MODES: [(Ipset, [usize; 2]); 2] = [(IPSET, [27, 40]), (IPSET_IPV6, [26, 39])];

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

#[test]
fn a_cold_install_fills_the_set_and_opens_the_way_to_it_last() {
    let commented = RenderOptions {
        large_cluster: false,
        ..OPTIONS
    };
    insta::assert_snapshot!(IPSET.render(None, &population(2, 2), &commented));
}

#[test]
fn of_ipv6_the_set_is_of_its_addresses_and_rules_are_through_its_tools() {
    let batch = IPSET_IPV6.render(None, &population_of(Family::Ipv6, 2, 2), &OPTIONS);
    let text = batch.to_string();
    for line in [
        "create KUBE-6-SERVICE-IPS hash:ip,port family inet6 maxelem 65536 skbinfo",
        "add KUBE-6-SERVICE-IPS fd00:10:96::1,tcp:80 skbmark 0x10000/0xffff0000",
        "add KUBE-6-SERVICE-IPS fd00:10:96::2,udp:80 skbmark 0x20000/0xffff0000",
        "-A KUBE-SERVICES -j SET --map-set KUBE-6-SERVICE-IPS dst,dst --map-mark",
        "-A KUBE-SEP-36K7P7KUOZZIOXYQ -m tcp -p tcp -j DNAT --to-destination [fd00:10:128::]:8080",
    ] {
        assert!(text.lines().any(|there| there == line), "{line}: {text}");
    }
    assert!(!text.contains("10.96.0."), "{text}");
    assert_eq!(IPSET_IPV6.tool(), "ip6tables-legacy");
    assert_eq!(IPSET_IPV6.facts().listings(), [["ip6tables-legacy-save"]]);
}

#[test]
fn a_set_of_one_family_takes_no_service_of_the_other() {
    let other = population_of(Family::Ipv6, 2, 2);
    let why = IPSET.meaning(&[IPSET.render(None, &other, &OPTIONS)]);
    assert!(why.unwrap_err().contains("of the other family"));
}

#[test]
fn an_update_touches_one_element_of_a_service_its_chains_and_those_on_its_way() {
    let (before, mut after) = (population(17, 2), population(18, 2));
    after.services.remove(14);
    after.services[3].endpoints.truncate(1);
    insta::assert_snapshot!(IPSET.render(Some(&before), &after, &OPTIONS));
}

#[test]
fn both_transports_mean_the_same() {
    for options in [OPTIONS, RESYNC] {
        let (from, mut to) = (population(20, 2), population(22, 3));
        to.services.remove(5);
        let means = |transport| {
            let options = RenderOptions {
                transport,
                ..options
            };
            let install = IPSET.render(None, &from, &options);
            let update = IPSET.render(Some(&from), &to, &options);
            let messages = update.messages();
            (kernel(&[&install, &update]).sets, messages)
        };
        let (netlink, messages) = means(Transport::Netlink);
        let (script, none) = means(Transport::IpsetRestore);
        assert_eq!(netlink, script);
        assert!(messages > 0 && none == 0);
    }
}

/// Dispatch chains below the first, for ids 1 to n.
fn dispatch_chains(n: usize) -> usize {
    n / 16 + n / 256 + n / 4096 + 3
}

#[test]
fn law_of_size_of_an_install() {
    let cases = [(1, 1), (15, 2), (16, 1), (100, 3), (300, 2), (4100, 1)];
    let each = cases
        .into_iter()
        .flat_map(|case| MODES.map(|mode| (case, mode)));
    for ((n, e), (ipset, [rules, operations])) in each {
        let batch = ipset.render(None, &population_of(ipset.family, n, e), &OPTIONS);
        let kernel = kernel_of(ipset.family, &[&batch]);
        let (n, e) = (n as usize, e as usize);
        let r = dispatch_chains(n);
        assert_eq!(
            kernel.tables.rules(),
            rules + n * (2 + 3 * e) + r,
            "N={n} E={e}"
        );
        assert_eq!(
            kernel.tables.own_chains(),
            12 + n * (1 + e) + r,
            "N={n} E={e}"
        );
        assert_eq!(
            (
                kernel.sets.0.len(),
                kernel.sets.0[layout::set(ipset.family)].elements.len()
            ),
            (1, n)
        );
        let wanted = operations + n * (4 + 4 * e) + 2 * r;
        assert_eq!(batch.operations() as usize, wanted);
    }
}

#[test]
fn law_of_size_of_a_service_add() {
    for e in [1, 3] {
        for n in [1, 14, 15, 16, 100, 254, 255, 1000, 4094, 4095] {
            let batch = IPSET.render(Some(&population(n, e)), &population(n + 1, e), &OPTIONS);
            let id = n + 1;
            // Id 0 is nobody's: the first leaf chain lacks a rule for it.
            let leaf = id % 16 + u32::from(id > 15);
            let mut wanted = 4 + 4 * e + leaf;
            for size in [16, 256, 4096] {
                if id.is_multiple_of(size) {
                    wanted += 1 + (id / size) % 16 + 1;
                }
            }
            assert_eq!(batch.operations(), u64::from(wanted), "N={n} E={e}");
            assert_eq!(batch.messages(), 1, "N={n} E={e}");
        }
    }
}

#[test]
fn law_of_size_of_set_messages_does_not_know_n() {
    for n in [20, 100, 3000] {
        let (small, large) = (population(n, 2), population(n + 1, 2));
        let mut churned = small.clone();
        churned.services[7].endpoints[1] = large.services[n as usize].endpoints[0];
        let messages =
            |from: &Population, to: &Population| IPSET.render(Some(from), to, &OPTIONS).messages();
        assert_eq!(
            (
                messages(&small, &large),
                messages(&large, &small),
                messages(&small, &churned)
            ),
            (1, 1, 0)
        );
    }
}

/// Rules of the dispatch that a first packet of an id passes, the guard in KUBE-SERVICES included.
fn passed(kernel: &Kernel, id: Id) -> usize {
    let nat = &kernel.tables.0["nat"];
    let to = Frontend {
        vip: IpAddr::from([192, 0, 2, 1]),
        port: 80,
        protocol: Protocol::Tcp,
    };
    let levels = (0..LEVELS).map(|nibbles| {
        let rules = &nat.chains[&id.prefix(nibbles).to_string()];
        let at = rules
            .iter()
            .position(|r| r.matches(to.vip, to, id.mark().value, false));
        at.unwrap() + 1
    });
    1 + levels.sum::<usize>()
}

#[test]
fn law_of_size_of_the_rules_that_a_first_packet_passes() {
    let population = population(4500, 1);
    let kernel = kernel(&[&IPSET.render(None, &population, &OPTIONS)]);
    let counts: BTreeSet<usize> = population
        .services
        .iter()
        .map(|s| passed(&kernel, Id::of(s)))
        .collect();
    assert_eq!(counts.first(), Some(&5));
    // Ids up to 0x1194: 2 + 16 + 16 + 16 would be the deepest, and 0x0fff is 1 + 16 + 16 + 16.
    assert_eq!(counts.last(), Some(&50));
}

#[test]
fn chunks_together_install_what_one_transaction_installs() {
    let population = population(70, 3);
    let whole = IPSET.render(None, &population, &OPTIONS);
    let chunked = IPSET.render(
        None,
        &population,
        &RenderOptions {
            chunk: Some(9),
            ..OPTIONS
        },
    );
    assert_eq!((whole.steps.len(), chunked.steps.len()), (2, 9));
    let (whole, chunked) = (kernel(&[&whole]), kernel(&[&chunked]));
    assert_eq!(whole.tables, chunked.tables);
    assert_eq!(whole.sets, chunked.sets);
}

#[test]
fn an_update_of_nothing_sends_nothing_and_a_resync_of_nothing_everything() {
    // All but the five jumps of nat and mangle and the eleven of filter, for IPv6 the kubelet's chain; create, swap and
    // destroy for create.
    for (ipset, once_only) in [(IPSET, 16), (IPSET_IPV6, 17)] {
        let family = ipset.family;
        let population = population_of(family, 30, 2);
        let install = ipset.render(None, &population, &OPTIONS);
        let same = ipset.render(Some(&population), &population, &OPTIONS);
        assert!(same.steps.is_empty());
        let resync = ipset.render(Some(&population), &population, &RESYNC);
        let once = kernel_of(family, &[&install]);
        let again = kernel_of(family, &[&install, &resync]);
        assert_eq!(once.tables, again.tables);
        assert_eq!(once.sets, again.sets);
        assert_eq!(resync.operations(), install.operations() - once_only + 2);
    }
}

#[test]
fn ids_are_used_again_and_do_not_depend_on_who_else_is_there() {
    let id = |index| Id::of(&service(index, 1));
    assert_eq!(id(0), id(65_535));
    assert_eq!(id(100_999), id(100_999 - 65_535));
    // A window of populations with the highest indices, over the seam.
    let window = |from: u32, to: u32| Population {
        services: (from..to).map(|i| service(i, 1)).collect(),
    };
    let (old, new) = (window(65_520, 65_545), window(65_530, 65_560));
    let batches = [
        IPSET.render(None, &old, &OPTIONS),
        IPSET.render(Some(&old), &new, &OPTIONS),
    ];
    assert_eq!(IPSET.meaning(&batches).unwrap(), Relation::of(&new));
}

#[test]
fn two_services_of_one_id_are_refused() {
    let population = Population {
        services: vec![service(3, 1), service(3 + MOST_SERVICES, 1)],
    };
    let error = IPSET.meaning(&[IPSET.render(None, &population, &OPTIONS)]);
    assert!(error.unwrap_err().contains("same mark"));
}

/// A namespace with 20 services in which text of the rules was replaced.
fn with(replace: &str, by: &str) -> Result<Relation, String> {
    let mut batch = IPSET.render(None, &population(20, 2), &OPTIONS);
    let mut found = false;
    for step in &mut batch.steps {
        if let Some(Restore { text, .. }) = step.as_a_mut() {
            found |= text.contains(replace);
            *text = text.replacen(replace, by, 1);
        }
    }
    assert!(found, "{replace}");
    IPSET.meaning(&[batch])
}

#[test]
fn whatever_is_not_the_layout_is_refused() {
    for (replace, by) in [
        // The lookup, its condition, the guard, a shared rule.
        (
            "-A KUBE-SERVICES -j SET --map-set KUBE-SERVICE-IPS dst,dst --map-mark\n",
            "",
        ),
        (
            "-A OUTPUT -m conntrack --ctstate NEW -m comment",
            "-A OUTPUT -m comment",
        ),
        ("-m mark ! --mark 0x0/0xffff0000 -g KUBE-ID", "-g KUBE-ID"),
        ("-A KUBE-POSTROUTING -j MARK --xor-mark 0x4000\n", ""),
        // A dispatch rule twice, out of place, without its chain, under another mask, with another match.
        (
            "-A KUBE-ID-00 -m mark --mark 0x100000/0xf00000 -g KUBE-ID-001\n",
            "",
        ),
        (
            "-A KUBE-ID-00 -m mark --mark 0x100000/0xf00000",
            "-A KUBE-ID-00 -m mark --mark 0x200000/0xf00000",
        ),
        (
            "-A KUBE-ID-00 -m mark --mark 0x100000/0xf00000",
            "-A KUBE-ID-00 -m mark --mark 0x100000/0x100000",
        ),
        (
            "-A KUBE-ID-00 -m mark --mark 0x100000/0xf00000",
            "-A KUBE-ID-00 -p tcp -m mark --mark 0x100000/0xf00000",
        ),
        // The conditions of masquerading: the endpoint's own address, the cluster's network.
        (" -s 10.128.0.0 -j KUBE-MARK-MASQ", " -j KUBE-MARK-MASQ"),
        (" ! -s 10.128.0.0/9", ""),
        (" ! -s 10.128.0.0/9", " ! -s 10.128.0.0/10"),
        (
            "-A KUBE-MARK-MASQ",
            "-A KUBE-SERVICES -j KUBE-MARK-MASQ\n-A KUBE-MARK-MASQ",
        ),
        // A foreign rule and a foreign chain.
        (
            "-A KUBE-MARK-MASQ",
            "-A KUBE-ID-001 -j RETURN\n-A KUBE-MARK-MASQ",
        ),
        (
            ":KUBE-ID - [0:0]\n",
            ":KUBE-ID - [0:0]\n:KUBE-ID-F - [0:0]\n",
        ),
        (
            ":KUBE-ID - [0:0]\n",
            ":KUBE-ID - [0:0]\n:KUBE-SVC-STRAY - [0:0]\n",
        ),
    ] {
        assert!(with(replace, by).is_err(), "{replace} => {by}");
    }
    assert!(with(":KUBE-ID - [0:0]\n", ":KUBE-ID - [0:0]\n").is_ok());
}

#[test]
fn sets_that_are_not_the_layout_are_refused() {
    let install = IPSET.render(None, &population(20, 2), &OPTIONS);
    let after = |script: &str| {
        let mut kernel = kernel(&[&install]);
        let run = kernel.run(&SetScript::of(IpsetRestore, (script.to_owned(), 0)));
        run.and_then(|()| kernel.relation())
    };
    for script in [
        "create other hash:ip,port\n",
        "add KUBE-SERVICE-IPS 192.0.2.1,tcp:80 skbmark 0x7f0000/0xffff0000\n",
        "add KUBE-SERVICE-IPS 192.0.2.1,tcp:80 skbmark 0x10000/0xffff0000\n",
        "add KUBE-SERVICE-IPS 192.0.2.1,tcp:80 skbmark 0x14000/0xffffffff\n",
        "add KUBE-SERVICE-IPS 192.0.2.1,tcp:80\n",
        "del KUBE-SERVICE-IPS 10.96.0.1,tcp:80\n",
        "destroy KUBE-SERVICE-IPS\n",
    ] {
        assert!(after(script).is_err(), "{script}");
    }
    assert!(after("").is_ok());
}

#[test]
fn exchanged_marks_are_seen() {
    let install = IPSET.render(None, &population(4, 2), &OPTIONS);
    let mut kernel = kernel(&[&install]);
    let set = kernel.sets.0.get_mut(layout::set(Family::Ipv4)).unwrap();
    let keys: Vec<_> = set.elements.keys().copied().collect();
    let (a, b) = (set.elements[&keys[0]], set.elements[&keys[2]]);
    set.elements.insert(keys[0], b);
    set.elements.insert(keys[2], a);
    assert!(
        kernel
            .relation()
            .unwrap_err()
            .contains("another service's chain")
    );
}

#[test]
fn damage_is_done_with_the_tools_of_the_engine() {
    for (engine, family, tool) in [
        (Engine::Legacy, Family::Ipv4, "iptables-legacy"),
        (Engine::Nft, Family::Ipv4, "iptables-nft"),
        (Engine::Legacy, Family::Ipv6, "ip6tables-legacy"),
        (Engine::Nft, Family::Ipv6, "ip6tables-nft"),
    ] {
        let population = population_of(family, 4, 2);
        for damage in Damage::ALL.iter().copied() {
            let lines = Ipset::new(engine, family).damage(
                damage,
                &population.services[0],
                &population.services[2],
            );
            assert!(!lines.is_empty());
            for line in lines {
                let wanted = match damage {
                    Damage::Delete | Damage::Swap => "ipset",
                    Damage::Elsewhere | Damage::Skew => tool,
                };
                assert_eq!(line[0], wanted);
            }
        }
    }
}

/// Populations with holes, whose services have one to three endpoints from a pool.
fn populations() -> impl Strategy<Value = Vec<Population>> {
    let shape = prop::collection::btree_map(0_u32..300, (1_u32..4, 0_u32..40), 0..25);
    prop::collection::vec(shape, 2..4).prop_map(|shapes| {
        let population = |shape: std::collections::BTreeMap<u32, (u32, u32)>| Population {
            services: shape
                .into_iter()
                .map(|(index, (endpoints, first))| Service {
                    endpoints: service(first, endpoints).endpoints,
                    ..service(index, 1)
                })
                .collect(),
        };
        shapes.into_iter().map(population).collect()
    })
}

/// The mode of a family, and populations of it.
fn of_a_family() -> impl Strategy<Value = (Ipset, Vec<Population>)> {
    let modes = prop::sample::select(vec![IPSET, IPSET_IPV6]);
    (modes, populations()).prop_map(|(ipset, populations)| {
        let moved = |population: Population| population.in_family(ipset.family);
        (ipset, populations.into_iter().map(moved).collect())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// After every transaction, a service of both populations is served as before or as afterwards, one
    /// of only one of them as in that one or not at all, and no mark leads to nothing.
    #[test]
    fn no_transaction_of_an_update_leaves_a_mark_that_leads_astray(
        (ipset, populations) in of_a_family(),
        resync in any::<bool>(),
    ) {
        let options = if resync { RESYNC } else { OPTIONS };
        let install = ipset.render(None, &populations[0], &options);
        let mut kernel = kernel_of(ipset.family, &[&install]);
        for pair in populations.windows(2) {
            let (before, after) = (Relation::of(&pair[0]), Relation::of(&pair[1]));
            let all: BTreeSet<Frontend> = before.0.keys().chain(after.0.keys()).copied().collect();
            for step in ipset.render(Some(&pair[0]), &pair[1], &options).steps {
                kernel.run(&*step).map_err(TestCaseError::fail)?;
                for frontend in &all {
                    let served = trace::served(&kernel.tables, &kernel.sets.listed(), *frontend);
                    let served = served.map_err(TestCaseError::fail)?;
                    let (was, is) = (before.0.get(frontend), after.0.get(frontend));
                    let known = [was, is].into_iter().flatten().any(|shares| {
                        let one = |shares: &std::collections::BTreeMap<_, _>| {
                            Relation([(*frontend, shares.clone())].into())
                        };
                        one(&served).differences(&one(shares)).is_none()
                    });
                    let gap = served.is_empty() && (was.is_none() || is.is_none());
                    prop_assert!(known || gap, "{}: {:?} is neither {:?} nor {:?}", frontend, served, was, is);
                    let marked = trace::is_marked(&kernel.sets.listed(), *frontend);
                    prop_assert!(!marked || known, "the mark of {} leads nowhere", frontend);
                }
            }
            prop_assert_eq!(kernel.relation().map_err(TestCaseError::fail)?.differences(&after), None);
        }
    }

    /// What is installed depends on the population alone, not on how it came about.
    #[test]
    fn updates_end_where_an_install_ends(
        (ipset, populations) in of_a_family(),
        resync in any::<bool>(),
    ) {
        let options = if resync { RESYNC } else { OPTIONS };
        let mut batches = vec![ipset.render(None, &populations[0], &options)];
        batches.extend(populations.windows(2).map(|p| ipset.render(Some(&p[0]), &p[1], &options)));
        let updated = kernel_of(ipset.family, &batches.iter().collect::<Vec<_>>());
        let install = ipset.render(None, populations.last().unwrap(), &options);
        let installed = kernel_of(ipset.family, &[&install]);
        prop_assert_eq!(updated.tables, installed.tables);
        prop_assert_eq!(updated.sets, installed.sets);
    }

    /// Of the dispatch, an update names only chains on the ways of the services that changed.
    #[test]
    fn an_update_names_only_dispatch_chains_on_the_way(populations in populations()) {
        let (from, to) = (&populations[0], &populations[1]);
        let changed = |s: &&Service| !(from.services.contains(s) && to.services.contains(s));
        let ways: BTreeSet<String> = from.services.iter().chain(&to.services)
            .filter(changed)
            .flat_map(|s| (0..LEVELS).map(|n| Id::of(s).prefix(n).to_string()))
            .collect();
        for step in IPSET.render(Some(from), to, &OPTIONS).steps {
            let Some(Restore { text, .. }) = step.as_a() else { continue };
            prop_assert!(text.starts_with("*nat\n"));
            let declared = text.lines().filter_map(|l| l.strip_prefix(':')?.split(' ').next());
            for chain in declared.filter(|c| c.starts_with(&Prefix::ROOT.to_string())) {
                prop_assert!(ways.contains(chain), "{} is on no changed service's way", chain);
            }
        }
    }
}
