//! One property over all modes: for random populations of a family and deltas, what the pure batches mean is the
//! population, whatever the mode, transport, layout and chunk, and whether an update writes what changed
//! or everything.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use proptest::prelude::*;
use schema::{Family, KubeProxyVersion, Mode, NodeKind, Protocol};

use super::{Engine, Implementation, RenderOptions, Stale, facts_of, laid_out};
use crate::relation::Relation;
use crate::service::{Endpoint, Frontend, Population, Service};

/// Services by index, each with the number of its endpoints and where they start.
type Shape = BTreeMap<u32, (u8, u16)>;

fn population(shape: &Shape) -> Population {
    let service = |(&index, &(endpoints, start)): (&u32, &(u8, u16))| {
        Service::cluster_ip(
            index,
            Frontend {
                vip: Ipv4Addr::from_bits(0x0a60_0000 + index / 2 + 1).into(),
                port: 80,
                protocol: if index % 2 == 0 {
                    Protocol::Tcp
                } else {
                    Protocol::Udp
                },
            },
            (0..u32::from(endpoints))
                .map(|e| Endpoint {
                    address: Ipv4Addr::from_bits(0x0a80_0000 + u32::from(start) + e).into(),
                    port: 8080,
                })
                .collect(),
        )
    };
    Population {
        services: shape.iter().map(service).collect(),
    }
}

fn shape() -> impl Strategy<Value = Shape> {
    prop::collection::btree_map(0u32..24, (1u8..6, 0u16..50), 0..16)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn same_relation_in_all_modes(
        shapes in prop::collection::vec(shape(), 1..5),
        large_cluster in any::<bool>(),
        chunk in prop::option::of(1usize..8),
        untimed in any::<bool>(),
        resync in any::<bool>(),
        family in prop::sample::select(Family::ALL),
    ) {
        let populations = shapes.iter().map(|shape| population(shape).in_family(family));
        let populations: Vec<Population> = populations.collect();
        let wanted = Relation::of(populations.last().unwrap());
        let engines = |mode| if mode == Mode::Ipset { Engine::ALL } else { &[Engine::Legacy] };
        let modes = Mode::ALL.iter().copied().filter(|m| !m.is_floor());
        let each = modes.flat_map(|m| engines(m).iter().map(move |e| (m, *e)));
        let layouts = |mode, engine| match facts_of(mode, engine, family).layouts {
            [] => vec![KubeProxyVersion::default()],
            layouts => layouts.iter().map(|layout| layout.last).collect(),
        };
        let each = each.flat_map(|(m, e)| layouts(m, e).into_iter().map(move |v| (m, e, v)));
        for (mode, engine, version) in each {
            let datapath = laid_out(mode, engine, version, NodeKind::single(family));
            for transport in datapath.facts().transports() {
                let options = RenderOptions { large_cluster, chunk, untimed, resync, ..RenderOptions::by(transport) };
                let mut batches = vec![datapath.render(None, &populations[0], &options)];
                batches.extend(populations.windows(2).map(|w| datapath.render(Some(&w[0]), &w[1], &options)));
                if resync {
                    let again = populations.last().unwrap();
                    let options = RenderOptions { resync, ..options };
                    batches.push(datapath.render(Some(again), again, &options));
                }
                let meant = datapath.meaning(&batches);
                let meant = meant.map_err(|why| TestCaseError::fail(format!("{mode} {family} {version} {transport}: {why}")))?;
                prop_assert_eq!(meant.differences(&wanted), None, "{} {} {} {}", mode, family, version, transport);
            }
        }
    }
}

/// Each mode that has services, over each engine, in each layout, for services of IPv4.
fn every_datapath() -> Vec<(String, Box<dyn Implementation>)> {
    let modes = Mode::ALL.iter().copied().filter(|mode| !mode.is_floor());
    let engines = |mode| {
        if mode == Mode::Ipset {
            Engine::ALL
        } else {
            &[Engine::Legacy]
        }
    };
    let each = modes.flat_map(|mode| engines(mode).iter().map(move |engine| (mode, *engine)));
    let mut all = Vec::new();
    for (mode, engine) in each {
        let versions = match facts_of(mode, engine, Family::Ipv4).layouts {
            [] => vec![KubeProxyVersion::default()],
            layouts => layouts.iter().map(|layout| layout.last).collect(),
        };
        for version in versions {
            let datapath = laid_out(mode, engine, version, NodeKind::default());
            all.push((format!("{mode} {engine} {version}"), datapath));
        }
    }
    all
}

#[test]
fn a_thousand_endpoints_of_a_service_have_even_shares_in_every_mode() {
    let services = [319, 320, 1_000].into_iter().zip(0_u32..);
    let services = services.map(|(endpoints, i)| {
        Service::of_test(i, 0x0a60_0001 + i, 0x0a80_0000 + 0x1000 * i, endpoints)
    });
    let population = Population {
        services: services.collect(),
    };
    let wanted = Relation::of(&population);
    for (what, datapath) in every_datapath() {
        let options = RenderOptions::by(datapath.facts().ordinary());
        let batch = datapath.render(None, &population, &options);
        let meant = datapath
            .meaning(&[batch])
            .unwrap_or_else(|why| panic!("{what}: {why}"));
        assert_eq!(meant.differences(&wanted), None, "{what}");
    }
}

#[test]
fn what_is_left_to_a_later_sync_is_gone_after_it_and_nothing_else() {
    let population = |kept: usize| {
        let services =
            (0..6).map(|i| Service::of_test(i, 0x0a60_0001 + i, 0x0a80_0000 + 16 * i, 5));
        let mut population = Population {
            services: services.collect(),
        };
        for service in &mut population.services[1..5] {
            service.keep_endpoints(kept);
        }
        population
    };
    let before = population(5);
    for (what, datapath) in every_datapath() {
        for (transport, kept) in datapath.facts().transports().flat_map(|t| [(t, 1), (t, 0)]) {
            let after = population(kept);
            let by = |stale| RenderOptions {
                stale,
                ..RenderOptions::by(transport)
            };
            let [at_once, left, collected] = [Stale::Deleted, Stale::Left, Stale::Collected]
                .map(|stale| datapath.render(Some(&before), &after, &by(stale)));
            let separate = left.operations() + collected.operations();
            assert!(
                separate >= at_once.operations(),
                "{what} {transport} {kept}"
            );
            let install = datapath.render(None, &before, &by(Stale::Deleted));
            let split = datapath.meaning(&[install, left, collected]);
            let install = datapath.render(None, &before, &by(Stale::Deleted));
            let whole = datapath.meaning(&[install, at_once]);
            assert_eq!(split, whole, "{what} {transport} {kept}");
            // Mode ipset has no layout for a service without endpoints, which both find.
            let wanted = Relation::of(&after);
            if kept > 0 {
                assert_eq!(
                    split.unwrap().differences(&wanted),
                    None,
                    "{what} {transport}"
                );
            }
        }
    }
}
