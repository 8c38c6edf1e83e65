//! One property over all modes: for random populations of a family and deltas, what the pure batches mean is the
//! population, whatever the mode, transport, layout and chunk, and whether an update writes what changed
//! or everything.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use proptest::prelude::*;
use schema::{Family, KubeProxyVersion, Mode, NodeKind, Protocol};

use super::{Engine, RenderOptions, facts_of, laid_out};
use crate::relation::Relation;
use crate::service::{Endpoint, Frontend, Population, Service};

/// Services by index, each with the number of its endpoints and where they start.
type Shape = BTreeMap<u32, (u8, u16)>;

fn population(shape: &Shape) -> Population {
    let service = |(&index, &(endpoints, start)): (&u32, &(u8, u16))| Service {
        index,
        frontend: Frontend {
            vip: Ipv4Addr::from_bits(0x0a60_0000 + index / 2 + 1).into(),
            port: 80,
            protocol: if index % 2 == 0 {
                Protocol::Tcp
            } else {
                Protocol::Udp
            },
        },
        endpoints: (0..u32::from(endpoints))
            .map(|e| Endpoint {
                address: Ipv4Addr::from_bits(0x0a80_0000 + u32::from(start) + e).into(),
                port: 8080,
            })
            .collect(),
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
                let options = RenderOptions { transport, large_cluster, chunk, untimed, resync };
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
