//! Mode ipset on the running kernel, with both engines and transports, each test in namespaces that end
//! with its thread.
#![allow(missing_docs, reason = "tests are sentences")]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod kernel;

use std::collections::BTreeMap;

use kernel::{carry_out, isolated, population, population_of, tool};
use netns_harness::datapath::ipset::Ipset;
use netns_harness::datapath::{
    Breakable, Damage, Datapath, Engine, Inspect, RenderOptions, Transport,
};
use netns_harness::lab::{Lab, Pinning};
use netns_harness::relation::Relation;
use netns_harness::service::{Endpoint, Population};
use netns_harness::traffic::{Ask, Client};
use netns_harness::treatment::Source;
use schema::{Family, Stack};

const TRANSPORTS: [Transport; 2] = [Transport::Netlink, Transport::IpsetRestore];

/// Applies and lets the kernel's listing be that of `to`.
fn goes_to(ipset: Ipset, from: Option<&Population>, to: &Population, options: &RenderOptions) {
    kernel::applies(&ipset, &ipset.render(from, to, options));
    let listed = ipset.census().unwrap();
    assert_eq!(listed.differences(&Relation::of(to)), None);
}

#[test]
fn both_engines_and_transports_install_update_resync_and_leave_nothing() {
    // 27 + N·(2 + 3·E) + R, for IPv6 26, where R(40) = 5.
    let families = [(Family::Ipv4, 352), (Family::Ipv6, 351)];
    let engines = Engine::ALL.iter().copied();
    for (engine, (family, rules)) in engines.flat_map(|e| families.map(|family| (e, family))) {
        for transport in TRANSPORTS {
            isolated(move || {
                let ipset = Ipset::new(engine, family);
                assert_eq!(ipset.probe(transport), Ok(()));
                let options = RenderOptions::by(transport);
                let mut changed = population_of(family, 40, 2);
                goes_to(ipset, None, &changed, &options);
                let counted = ipset.inventory().unwrap();
                // 12 + N·(1 + E) + R.
                assert_eq!((counted.rules, counted.chains), (rules, 137));
                assert_eq!((counted.sets, counted.elements), (1, 40));

                let before = changed.clone();
                changed.services.remove(15);
                changed.services[0].endpoints[1].port = 9090;
                changed.services[1].endpoints.truncate(1);
                let last = population_of(family, 49, 2).services.remove(48);
                changed.services.push(last);
                goes_to(ipset, Some(&before), &changed, &options);
                let resync = RenderOptions {
                    resync: true,
                    ..options
                };
                goes_to(ipset, Some(&changed), &changed, &resync);
                goes_to(ipset, Some(&changed), &before, &resync);

                assert_eq!(ipset.nat_counters().unwrap(), Some(0));
                let stated = ipset.stated_memory().unwrap();
                assert!(stated[0].1 > 40 * 12, "{stated:?}");
                for _ in 0..2 {
                    let errors = ipset.remove();
                    assert!(errors.is_empty(), "{errors:?}");
                    assert_eq!(ipset.leftovers().unwrap(), None);
                }
                assert_eq!(ipset.census().unwrap(), Relation::default());
            });
        }
    }
}

#[test]
fn chunks_leave_what_one_transaction_leaves() {
    let chunked = RenderOptions {
        chunk: Some(10),
        ..RenderOptions::by(Transport::Netlink)
    };
    for engine in Engine::ALL.iter().copied() {
        isolated(|| {
            goes_to(
                Ipset::new(engine, Family::Ipv4),
                None,
                &population(45, 2),
                &chunked,
            )
        });
    }
}

#[test]
fn every_damage_is_seen_in_the_listing() {
    let families = Family::ALL.iter().copied();
    let each = families.flat_map(|family| Engine::ALL.iter().map(move |e| (*e, family)));
    for (engine, family) in each {
        let population = population_of(family, 4, 2);
        let wanted = Relation::of(&population);
        for damage in Damage::ALL.iter().copied() {
            isolated(|| {
                let ipset = Ipset::new(engine, family);
                goes_to(
                    ipset,
                    None,
                    &population,
                    &RenderOptions::by(Transport::Netlink),
                );
                let (a, b) = (&population.services[0], &population.services[2]);
                for words in ipset.damage(damage, a, b) {
                    carry_out(&words);
                }
                let seen = ipset.census().map(|listed| listed.differences(&wanted));
                assert!(!matches!(seen, Ok(None)), "{engine:?} {damage:?}");
            });
        }
    }
}

#[test]
fn both_families_stand_beside_each_other_and_one_leaves_the_other() {
    for engine in Engine::ALL.iter().copied() {
        for (family, another) in [(Family::Ipv4, Family::Ipv6), (Family::Ipv6, Family::Ipv4)] {
            isolated(|| {
                let both = [family, another].map(|of| Ipset::new(engine, of).on(Stack::Dual));
                let [one, other] = both;
                let options = RenderOptions::by(Transport::Netlink);
                let (first, second) = (population_of(family, 3, 2), population_of(another, 3, 2));
                goes_to(one, None, &first, &options);
                goes_to(other, None, &second, &options);
                goes_to(one, Some(&first), &population_of(family, 4, 2), &options);
                assert_eq!(one.inventory().unwrap().elements, 4);
                assert!(one.remove().is_empty());
                assert_eq!(one.leftovers().unwrap(), None);
                let listed = other.census().unwrap();
                assert_eq!(listed.differences(&Relation::of(&second)), None);
            });
        }
    }
}

#[test]
fn nothing_foreign_is_suffered_beside_the_mode() {
    for (engine, foreign) in [
        (Engine::Legacy, "ipset create foreign hash:ip"),
        (
            Engine::Legacy,
            "iptables-legacy -w 5 -t mangle -A OUTPUT -j MARK --set-mark 1",
        ),
        (Engine::Legacy, "nft add table inet foreign"),
        (Engine::Nft, "iptables-legacy -w 5 -A INPUT -j ACCEPT"),
        (
            Engine::Nft,
            "iptables-nft -w 5 -t nat -I KUBE-ID 1 -j RETURN",
        ),
        (Engine::Nft, "nft add table ip foreign"),
    ] {
        isolated(|| {
            let ipset = Ipset::new(engine, Family::Ipv4);
            goes_to(
                ipset,
                None,
                &population(2, 2),
                &RenderOptions::by(Transport::Netlink),
            );
            tool(foreign);
            let listed = ipset.census();
            assert!(listed.is_err(), "{engine:?}: {foreign}: {listed:?}");
        });
    }
}

#[test]
fn what_is_left_after_a_teardown_is_named() {
    isolated(|| {
        let ipset = Ipset::new(Engine::Legacy, Family::Ipv4);
        assert_eq!(ipset.leftovers().unwrap(), None);
        tool("ipset create foreign hash:ip");
        assert_eq!(ipset.leftovers().unwrap().as_deref(), Some("set foreign"));
    });
}

#[test]
fn tcp_and_udp_from_the_client_and_from_the_node_reach_all_endpoints_evenly() {
    const FLOWS: usize = 400;
    for engine in Engine::ALL.iter().copied() {
        isolated(|| {
            let lab = Lab::build(Pinning::choose().unwrap()).unwrap();
            let population = population(34, 2);
            let ipset = Ipset::new(engine, Family::Ipv4);
            let install = ipset.render(None, &population, &RenderOptions::by(Transport::Netlink));
            lab.on_node(|| ipset.carry_out(&install).map(|_| ()))
                .unwrap();
            let mut client = Client::new(&lab);
            // The first ids, and those behind a second chain of the last level.
            for service in [0, 1, 32, 33].map(|i| &population.services[i]) {
                for from in [Source::Pod, Source::Node] {
                    let to = service.frontend;
                    let answers = client.probe_all(&vec![Ask { from, to }; FLOWS]).unwrap();
                    let mut counts: BTreeMap<Endpoint, usize> = BTreeMap::new();
                    for reached in answers {
                        *counts.entry(reached.endpoint).or_default() += 1;
                    }
                    assert!(counts.keys().eq(&service.endpoints), "{counts:?}");
                    // Six standard deviations of a fair coin's 400 throws.
                    assert!(
                        counts.values().all(|n| n.abs_diff(FLOWS / 2) <= 60),
                        "{counts:?}"
                    );
                }
            }
            lab.on_node(|| {
                // The first rule of each hook's chain counts nothing else than the flows that enter there.
                let flows = Some(4 * FLOWS as u64);
                assert_eq!(ipset.nat_counters()?, flows);
                assert_eq!(ipset.output_counters()?, flows);
                Ok(())
            })
            .unwrap();
        });
    }
}
