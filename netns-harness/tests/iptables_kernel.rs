//! Both iptables engines on the running kernel, each test in namespaces that end with its thread.
#![allow(missing_docs, reason = "tests are sentences")]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod kernel;

use kernel::{carry_out, isolated, population_of, tool};
use netns_harness::accounts;
use netns_harness::datapath::iptables::{Conntrack, Iptables};
use netns_harness::datapath::{
    Breakable, Damage, Datapath, Engine, Inspect, KubeProxy, RenderOptions, Sockets, SyncKind,
    Transport,
};
use netns_harness::relation::Relation;
use netns_harness::service::{Endpoint, Frontend, Plan, Population};
use netns_sys::x_tables::{self, Hook};
use schema::{Family, Stack};

/// Both, for services of each family.
const ENGINES: [Iptables; 4] = [
    Iptables::of(Engine::Legacy, Family::Ipv4),
    Iptables::of(Engine::Nft, Family::Ipv4),
    Iptables::of(Engine::Legacy, Family::Ipv6),
    Iptables::of(Engine::Nft, Family::Ipv6),
];
/// The legacy engine for each family, as the kernel has it, and the prefix of its tools.
const LEGACY: [(Iptables, x_tables::Family, &str); 2] = [
    (ENGINES[0], x_tables::Family::Ipv4, "iptables-legacy"),
    (ENGINES[2], x_tables::Family::Ipv6, "ip6tables-legacy"),
];

/// Services of the family for which it is.
fn population(iptables: Iptables, services: u32, endpoints: u32) -> Population {
    population_of(iptables.facts().family, services, endpoints)
}

/// Applies and lets the kernel's listing, its order and its counts be those of `to`.
fn goes_to(
    iptables: Iptables,
    from: Option<&Population>,
    to: &Population,
    options: &RenderOptions,
) {
    iptables
        .carry_out(&iptables.render(from, to, options))
        .unwrap();
    let wanted = Relation::of(to);
    let (listed, walked) = iptables.census_in_order().unwrap();
    assert_eq!(listed.differences(&wanted), None);
    let order: Vec<Frontend> = to.services.iter().map(|s| s.frontend).collect();
    assert_eq!(walked, Some(order));
}

#[test]
fn both_engines_and_transports_install_update_resync_and_leave_nothing() {
    for iptables in ENGINES {
        for transport in [Transport::Restore, Transport::Exec] {
            isolated(move || {
                let options = RenderOptions::by(transport);
                let family = iptables.facts().family;
                let mut changed = population(iptables, 6, 2);
                goes_to(iptables, None, &changed, &options);
                let counted = iptables.inventory().unwrap();
                // 23 + N·(2 + 3·E), for IPv6 22, and 13 + N·(1 + E).
                let shared = match family {
                    Family::Ipv4 => 23,
                    Family::Ipv6 => 22,
                };
                let law = (shared + 6 * (2 + 3 * 2), 13 + 6 * (1 + 2));
                assert_eq!((counted.rules, counted.chains), law);

                let before = changed.clone();
                changed.services.remove(3);
                changed.services[0].endpoints[1].port = 9090;
                changed.services[1].endpoints.truncate(1);
                changed.services[2].endpoints.push(Endpoint {
                    address: Plan::of(family).endpoints.host(0x0707),
                    port: 8080,
                });
                let eighth = population(iptables, 8, 2).services.remove(7);
                changed.services.push(eighth);
                goes_to(iptables, Some(&before), &changed, &options);
                let resync = RenderOptions {
                    resync: true,
                    ..options
                };
                goes_to(iptables, Some(&changed), &changed, &resync);

                assert_eq!(iptables.nat_counters().unwrap(), Some(0));
                for _ in 0..2 {
                    let errors = iptables.remove();
                    assert!(errors.is_empty(), "{errors:?}");
                    assert_eq!(iptables.leftovers().unwrap(), None);
                }
                assert_eq!(iptables.census().unwrap(), Relation::default());
            });
        }
    }
}

#[test]
fn rules_name_counters_where_the_kernel_has_them() {
    for mut iptables in ENGINES {
        isolated(move || {
            iptables.fit();
            let options = RenderOptions::by(Transport::Restore);
            let family = iptables.facts().family;
            let kinds = kernel::kinds(family);
            let install = iptables.render(None, &kinds, &options);
            if !accounts::available() {
                testing::skip("nfacct", "this kernel has no nfnetlink_acct");
                return;
            }
            assert_eq!(accounts::listed().unwrap(), [""; 0]);
            iptables.carry_out(&install).unwrap();
            let made = [
                "ct_state_invalid_dropped_pkts",
                "localhost_nps_accepted_pkts",
            ];
            assert_eq!(accounts::listed().unwrap(), made);
            let wanted = Relation::of(&kinds);
            assert_eq!(iptables.census().unwrap().differences(&wanted), None);

            // With the same rules but for the counters.
            let counted = iptables.inventory().unwrap().rules;
            let plain = Iptables::of(iptables.facts().rules.unwrap(), family);
            assert!(plain.census().is_err());
            assert!(iptables.remove().is_empty());
            assert_eq!(iptables.leftovers().unwrap(), None);
            plain
                .carry_out(&plain.render(None, &kinds, &options))
                .unwrap();
            assert!(iptables.census().is_err());
            let ports = kinds.services.iter().filter(|service| {
                service.exposure.node_port.is_some() && !service.endpoints.is_empty()
            });
            let more = match family {
                Family::Ipv4 => ports.count() as u64,
                Family::Ipv6 => 0,
            };
            assert_eq!(counted, plain.inventory().unwrap().rules + more);
            assert!(plain.remove().is_empty());

            // They are there already, and a full sync looks for them.
            iptables.carry_out(&install).unwrap();
            let sync = |kind| {
                let mut sockets = Sockets::default();
                iptables.ask_as_kube_proxy(&kinds, kind, &options, &mut sockets)
            };
            assert_eq!(sync(SyncKind::Full).unwrap(), 2);
            assert_eq!(sync(SyncKind::Partial).unwrap(), 0);
        });
    }
}

#[test]
fn chunks_leave_what_one_transaction_leaves() {
    let chunked = RenderOptions {
        chunk: Some(10),
        ..RenderOptions::by(Transport::Restore)
    };
    for iptables in ENGINES {
        let population = population(iptables, 25, 2);
        isolated(|| goes_to(iptables, None, &population, &chunked));
    }
}

#[test]
fn the_kernel_s_own_counters_are_those_of_a_chain_s_policy_and_first_rule() {
    for (_, family, program) in LEGACY {
        isolated(|| {
            let of = |hook| x_tables::chain_packets(family, "nat", hook).unwrap();
            let counted = || of(Hook::Prerouting);
            let nat = |rest: &str| tool(&format!("{program} -w 5 -t nat {rest}"));
            nat("-P PREROUTING ACCEPT -c 5 500");
            assert_eq!((counted().policy, counted().first_rule), (5, None));
            nat("-A PREROUTING -c 7 700 -p tcp -j ACCEPT");
            nat("-A PREROUTING -c 9 900 -j ACCEPT");
            nat("-A OUTPUT -c 11 1100 -j ACCEPT");
            assert_eq!(counted().first_rule, Some(7));
            assert_eq!(of(Hook::Output).first_rule, Some(11));
            // Adding a rule does not keep what the policy had counted: the tool's word is taken.
            let listed = testing::tool(program, &["-t", "nat", "-nvxL", "PREROUTING"], "");
            let policy = format!("policy ACCEPT {} packets", counted().policy);
            assert!(listed.contains(&policy), "{listed}");
        });
    }
}

#[test]
fn every_damage_is_seen_in_the_listing() {
    for iptables in ENGINES {
        let population = population(iptables, 4, 2);
        let wanted = Relation::of(&population);
        for damage in Damage::ALL.iter().copied() {
            isolated(|| {
                goes_to(
                    iptables,
                    None,
                    &population,
                    &RenderOptions::by(Transport::Restore),
                );
                let (a, b) = (&population.services[0], &population.services[2]);
                for words in iptables.damage(damage, a, b) {
                    carry_out(&words);
                }
                let seen = iptables.census().map(|listed| listed.differences(&wanted));
                assert!(
                    !matches!(seen, Ok(None)),
                    "{} {damage:?}",
                    iptables.facts().mode
                );
            });
        }
    }
}

#[test]
fn neither_engine_suffers_anything_beside_its_own_rules() {
    let [legacy, nft, legacy_ipv6, nft_ipv6] = ENGINES;
    for (iptables, foreign) in [
        (legacy, "ip6tables-nft -w 5 -A INPUT -j ACCEPT"),
        (nft, "ip6tables-legacy -w 5 -A INPUT -j ACCEPT"),
        (legacy_ipv6, "ip6tables-legacy -w 5 -A INPUT -j ACCEPT"),
        (legacy_ipv6, "iptables-nft -w 5 -A INPUT -j ACCEPT"),
        (nft_ipv6, "iptables-legacy -w 5 -A INPUT -j ACCEPT"),
        (nft_ipv6, "nft add table ip6 foreign"),
        (legacy, "iptables-nft -w 5 -A INPUT -j ACCEPT"),
        (legacy, "nft add table inet foreign"),
        (nft, "iptables-legacy -w 5 -A INPUT -j ACCEPT"),
        (nft, "nft add table inet foreign"),
        (nft, "nft add table ip foreign"),
        // Native rules and chains inside a table of iptables-nft, which its own listing cannot show.
        (
            nft,
            "nft add rule ip nat KUBE-MARK-MASQ ip daddr vmap { 10.96.0.1 : drop }",
        ),
        (
            nft,
            "nft add chain ip nat foreign { type filter hook prerouting priority -150 ; }",
        ),
    ] {
        isolated(|| {
            let population = population(iptables, 2, 2);
            goes_to(
                iptables,
                None,
                &population,
                &RenderOptions::by(Transport::Restore),
            );
            tool(foreign);
            let listed = iptables.census();
            assert!(
                listed.is_err(),
                "{}: {foreign}: {listed:?}",
                iptables.facts().mode
            );
        });
    }
}

#[test]
fn the_legacy_engine_states_what_its_tables_weigh_and_the_nft_engine_does_not() {
    for ((legacy, ..), (blob, entry)) in LEGACY
        .into_iter()
        .zip([("ip_tables nat blob", 112), ("ip6_tables nat blob", 168)])
    {
        isolated(|| {
            assert_eq!(legacy.stated_memory().unwrap(), []);
            let bytes = |n| {
                goes_to(
                    legacy,
                    None,
                    &population(legacy, n, 2),
                    &RenderOptions::by(Transport::Restore),
                );
                let stated = legacy.stated_memory().unwrap();
                assert!(legacy.remove().is_empty());
                let nat = stated.iter().find(|(name, _)| *name == blob);
                nat.unwrap().1
            };
            let (one, two, three) = (bytes(10), bytes(20), bytes(30));
            assert_eq!(two - one, three - two);
            // Rules of at least an entry and a standard target: eight a service.
            assert!(two - one >= 10 * 8 * (entry + 40), "{one} {two}");
        });
    }
    isolated(|| {
        let nft = Iptables::nft();
        goes_to(
            nft,
            None,
            &population(nft, 2, 2),
            &RenderOptions::by(Transport::Restore),
        );
        assert_eq!(nft.stated_memory().unwrap(), []);
    });
}

#[test]
fn the_kernel_s_own_copy_of_a_table_has_the_chains_and_the_matches_that_are_listed() {
    for (legacy, family, program) in LEGACY {
        isolated(|| {
            let to = population(legacy, 5, 3);
            legacy
                .carry_out(&legacy.render(None, &to, &RenderOptions::by(Transport::Restore)))
                .unwrap();
            let info = x_tables::table_info(family, "nat").unwrap();
            // Of five services of three endpoints: 4 chains each, two jumps of three by chance. The table's end is
            // taken for a chain, and kube-proxy's shared ones are there too.
            assert_eq!(info.statistics, 5 * 2);
            let saved = testing::tool(&format!("{program}-save"), &["-t", "nat"], "");
            let chains = saved.lines().filter(|l| l.starts_with(":KUBE")).count();
            assert_eq!(info.chains as usize, chains + 1);
            let stated = legacy.stated_memory().unwrap();
            let blob = stated.iter().find(|(what, _)| what.ends_with(" nat blob"));
            assert_eq!(blob.unwrap().1, u64::from(info.size_bytes));
        });
    }
}

#[test]
fn both_families_stand_beside_each_other_through_one_engine_and_one_leaves_the_other() {
    let [legacy, nft, legacy_ipv6, nft_ipv6] = ENGINES;
    for (one, other) in [
        (legacy, legacy_ipv6),
        (legacy_ipv6, legacy),
        (nft, nft_ipv6),
        (nft_ipv6, nft),
    ] {
        let [one, other] = [one, other].map(|of| of.on(Stack::Dual));
        isolated(|| {
            let options = RenderOptions::by(Transport::Restore);
            let [first, second] = [one, other].map(|of| population(of, 3, 2));
            goes_to(one, None, &first, &options);
            goes_to(other, None, &second, &options);
            goes_to(one, Some(&first), &population(one, 4, 2), &options);
            assert!(one.remove().is_empty());
            assert_eq!(one.leftovers().unwrap(), None);
            assert!(other.leftovers().unwrap().is_some());
            let listed = other.census().unwrap();
            assert_eq!(listed.differences(&Relation::of(&second)), None);
        });
    }
}

#[test]
fn the_floor_of_either_family_and_engine_tracks_serves_nothing_and_leaves_nothing() {
    let families = Family::ALL.iter().copied();
    let both = |family| Engine::ALL.iter().map(move |engine| (family, *engine));
    for (family, engine) in families.flat_map(both) {
        isolated(move || {
            let floor = Conntrack::of(family).through(engine);
            assert_eq!(floor.probe(Transport::Restore), Ok(()));
            assert_eq!(floor.census().unwrap(), Relation::default());
            assert_eq!(floor.nat_counters().unwrap(), Some(0));
            assert_eq!(floor.inventory().unwrap().rules, 1);
            let population = population_of(family, 2, 2);
            for words in floor.damage(
                Damage::Delete,
                &population.services[0],
                &population.services[1],
            ) {
                carry_out(&words);
            }
            assert!(floor.census().is_err());
            assert!(floor.remove().is_empty());
            assert_eq!(floor.leftovers().unwrap(), None);
        });
    }
}
