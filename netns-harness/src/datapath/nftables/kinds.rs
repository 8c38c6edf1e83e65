//! Every kind of service, in every layout: what it costs, and what it means.

use std::net::{IpAddr, SocketAddr};

use nft_codec::{Connection, Flow, L4Proto, Table, Treatment, parse_script};
use schema::{Family, KubeProxyVersion, Protocol};
use testing::in_namespace;

use super::{Nftables, layout};
use crate::datapath::meaning::Meaning as _;
use crate::datapath::{
    Breakable as _, Damage, Datapath as _, Inspect as _, KubeProxy as _, RenderOptions, Sockets,
    Transport,
};
use crate::relation::Relation;
use crate::service::{
    BACKENDS_INTERFACE, CLIENT_INTERFACE, Cidr, Endpoint, Exposure, Frontend, Plan, Population,
    Service,
};

const NETLINK: RenderOptions = RenderOptions::by(Transport::Netlink);
const NFT: RenderOptions = RenderOptions::by(Transport::Nft);

fn every_layout() -> impl Iterator<Item = Nftables> {
    let families = Family::ALL.iter().copied();
    families.flat_map(|family| {
        let versions = KubeProxyVersion::ALL.iter();
        versions.map(move |version| Nftables::of(*version, family))
    })
}

fn address(family: Family, last: u8) -> IpAddr {
    match family {
        Family::Ipv4 => IpAddr::from([203, 0, 113, last]),
        Family::Ipv6 => format!("2001:db8::{last:x}").parse().unwrap(),
    }
}

/// A service of type ClusterIP with two endpoints on other nodes.
fn plain(family: Family, index: u32) -> Service {
    let plan = Plan::of(family);
    let frontend = Frontend {
        vip: plan.services.host(1 + index),
        port: 80,
        protocol: Protocol::Tcp,
    };
    let endpoint = |number| Endpoint {
        address: plan.endpoints.host(1 + index * 2 + number),
        port: 8080,
    };
    Service::cluster_ip(index, frontend, vec![endpoint(0), endpoint(1)])
}

/// What a service is that is not of type ClusterIP alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    NodePort,
    Addresses,
    Ranges,
    Local,
    LocalWithout,
    InternalLocal,
    InternalLocalWithout,
    Affinity,
}

const KINDS: [Kind; 8] = [
    Kind::NodePort,
    Kind::Addresses,
    Kind::Ranges,
    Kind::Local,
    Kind::LocalWithout,
    Kind::InternalLocal,
    Kind::InternalLocalWithout,
    Kind::Affinity,
];

fn of_kind(kind: Kind, family: Family, index: u32) -> Service {
    let mut service = plain(family, index);
    let port = Some(30_000 + index as u16);
    let own = |number: u8| address(family, 10 + 4 * index as u8 + number);
    let here = vec![service.endpoints[1]];
    let (exposure, local) = match kind {
        Kind::NodePort => (
            Exposure {
                node_port: port,
                ..Exposure::default()
            },
            Vec::new(),
        ),
        Kind::Addresses => (
            Exposure {
                external: vec![own(0)],
                load_balancer: vec![own(1), own(2)],
                ..Exposure::default()
            },
            Vec::new(),
        ),
        Kind::Ranges => (
            Exposure {
                load_balancer: vec![own(0)],
                source_ranges: vec![Cidr {
                    network: address(family, 0),
                    prefix: match family {
                        Family::Ipv4 => 25,
                        Family::Ipv6 => 33,
                    },
                }],
                ..Exposure::default()
            },
            Vec::new(),
        ),
        Kind::Local | Kind::LocalWithout => (
            Exposure {
                node_port: port,
                external_local: true,
                ..Exposure::default()
            },
            if kind == Kind::Local {
                here
            } else {
                Vec::new()
            },
        ),
        Kind::InternalLocal | Kind::InternalLocalWithout => (
            Exposure {
                internal_local: true,
                ..Exposure::default()
            },
            if kind == Kind::InternalLocal {
                here
            } else {
                Vec::new()
            },
        ),
        Kind::Affinity => (
            Exposure {
                affinity_s: Some(10_800),
                ..Exposure::default()
            },
            Vec::new(),
        ),
    };
    (service.exposure, service.local) = (exposure, local);
    service
}

/// Operations, rules, chains and elements that a service adds.
fn costs(nftables: Nftables, service: Service) -> [i64; 4] {
    let services = vec![service];
    let (none, one) = (Population::default(), Population { services });
    let batch = nftables.render(Some(&none), &one, &NFT);
    let ops = parse_script(&batch.to_string()).unwrap();
    let base = nftables.layout().base(layout::FullSync::Later);
    let whole = Table::of(&[base.as_slice(), ops.as_slice()].concat());
    let base = Table::of(&base);
    let rules = |table: &Table| table.chains.values().map(|c| c.rules.len()).sum::<usize>() as i64;
    let elements =
        |table: &Table| table.sets.values().map(|s| s.elements.len()).sum::<usize>() as i64;
    let chains = |table: &Table| table.chains.len() as i64;
    [
        batch.operations() as i64,
        rules(&whole) - rules(&base),
        chains(&whole) - chains(&base),
        elements(&whole) - elements(&base),
    ]
}

#[test]
fn law_of_size_of_every_kind() {
    for nftables in every_layout() {
        let Nftables {
            version, family, ..
        } = nftables;
        let chains_each = version < KubeProxyVersion::V1_36;
        let plain = costs(nftables, plain(family, 0));
        for kind in KINDS {
            let more = match (kind, chains_each) {
                (Kind::NodePort, _) => [5, 2, 1, 1],
                (Kind::Addresses, _) => [7, 2, 1, 3],
                (Kind::Ranges, _) => [9, 3, 2, 2],
                (Kind::Local, true) => [10, 5, 2, 1],
                (Kind::Local, false) => [11, 5, 2, 2],
                (Kind::LocalWithout, _) => [7, 3, 1, 2],
                (Kind::InternalLocal, true) => [-4, -2, -1, 0],
                (Kind::InternalLocal, false) => [1, 0, 0, 1],
                (Kind::InternalLocalWithout, true) => [-12, -6, -3, 0],
                (Kind::InternalLocalWithout, false) => [-3, -1, -1, 0],
                (Kind::Affinity, true) => [6, 4, 0, 0],
                (Kind::Affinity, false) => [12, 6, 2, 0],
            };
            let found = costs(nftables, of_kind(kind, family, 0));
            let added: Vec<i64> = found.iter().zip(plain).map(|(a, b)| a - b).collect();
            assert_eq!(added, more, "{version} {family} {kind:?}");
        }
        let mut without = of_kind(Kind::Ranges, family, 0);
        without.exposure.node_port = Some(30_000);
        without.endpoints.clear();
        assert_eq!(costs(nftables, without), [8, 1, 1, 5], "{version} {family}");
    }
}

/// Populations in which each service becomes one of another kind, and at last of none.
fn generations(family: Family) -> Vec<Population> {
    let turned = |by: usize| Population {
        services: (0..KINDS.len())
            .map(|i| of_kind(KINDS[(i + by) % KINDS.len()], family, i as u32))
            .collect(),
    };
    let mut fewer = turned(3);
    fewer.services.truncate(3);
    fewer.services[0].endpoints.clear();
    fewer.services[0].local.clear();
    let plain = Population {
        services: (0..2).map(|index| plain(family, index)).collect(),
    };
    vec![turned(0), turned(1), turned(4), fewer, plain]
}

#[test]
fn changes_of_kind_mean_the_population_and_leave_neither_chain_nor_set() {
    for nftables in every_layout() {
        let resync = RenderOptions {
            resync: true,
            ..NFT
        };
        let chunks = RenderOptions {
            chunk: Some(3),
            ..NETLINK
        };
        for options in [NFT, NETLINK, resync, chunks] {
            let (mut batches, mut from) = (Vec::new(), None);
            for to in generations(nftables.family) {
                batches.push(nftables.render(from.as_ref(), &to, &options));
                let meaning = nftables.meaning(&batches).unwrap();
                assert_eq!(meaning.differences(&Relation::of(&to)), None);
                let mut kernel = model::Ruleset::default();
                let script: String = batches.iter().map(ToString::to_string).collect();
                kernel.interpret(&parse_script(&script).unwrap()).unwrap();
                let table = kernel
                    .table(nftables.table_family(), layout::TABLE)
                    .unwrap();
                let layout = nftables.layout();
                let count = |names: fn(&layout::Layout, &Service) -> Vec<nft_codec::Name>| {
                    let each = to.services.iter().map(|s| names(layout, s).len());
                    each.sum::<usize>()
                };
                let chains = table.chains.keys().filter(|n| n.as_str().contains('/'));
                assert_eq!(chains.count(), count(layout::Layout::chains));
                let sets = table.sets.keys().filter(|n| n.as_str().contains('/'));
                assert_eq!(sets.count(), count(layout::Layout::affinity_sets));
                from = Some(to);
            }
        }
    }
}

#[test]
fn an_endpoint_of_two_services_stays_a_hairpin_until_both_are_gone() {
    let nftables = Nftables::of(KubeProxyVersion::V1_37, Family::Ipv4);
    let [mut a, mut b] = [0, 1].map(|index| plain(Family::Ipv4, index));
    b.endpoints.clone_from(&a.endpoints);
    a.local.clone_from(&a.endpoints);
    b.local.clone_from(&a.endpoints);
    let of = |services: &[&Service]| Population {
        services: services.iter().map(|service| (*service).clone()).collect(),
    };
    let texts = [
        (of(&[]), of(&[&a, &b]), "add element", 2),
        (of(&[&a, &b]), of(&[&b]), "delete element", 0),
        (of(&[&b]), of(&[]), "delete element", 2),
    ];
    for (from, to, begins, count) in texts {
        let text = nftables.render(Some(&from), &to, &NFT).to_string();
        let hairpins = text
            .lines()
            .filter(|line| line.starts_with(begins) && line.contains(layout::HAIRPIN_CONNECTIONS));
        assert_eq!(hairpins.count(), count, "{text}");
    }
}

#[test]
fn ranges_that_hold_the_node_let_the_load_balancer_s_addresses_pass() {
    let nftables = Nftables::of(KubeProxyVersion::V1_37, Family::Ipv4);
    let mut service = of_kind(Kind::Ranges, Family::Ipv4, 0);
    let rule = |service: &Service| {
        let services = vec![service.clone()];
        let (none, one) = (Population::default(), Population { services });
        let text = nftables.render(Some(&none), &one, &NFT).to_string();
        let mut lines = text.lines();
        let rule = lines.find(|line| line.ends_with(" drop")).unwrap();
        rule.split_once("tcp/p80 ").unwrap().1.to_owned()
    };
    assert_eq!(rule(&service), "ip saddr != { 203.0.113.0/25 } drop");
    service.exposure.source_ranges.push(Cidr {
        network: IpAddr::from([192, 168, 0, 0]),
        prefix: 16,
    });
    assert_eq!(
        rule(&service),
        "ip saddr != { 203.0.113.0/25 , 192.168.0.0/16 , 203.0.113.10 } drop"
    );
}

fn apply(nftables: Nftables, from: Option<&Population>, to: &Population, options: &RenderOptions) {
    let batch = nftables.render(from, to, options);
    let mut sockets = Sockets::of(&batch).unwrap();
    nftables.apply(&batch, &mut sockets).unwrap();
}

#[test]
fn the_kernel_takes_changes_of_kind_and_lists_what_they_mean() {
    for nftables in every_layout() {
        for options in [NFT, NETLINK] {
            in_namespace(|| {
                let mut from = None;
                for to in generations(nftables.family) {
                    apply(nftables, from.as_ref(), &to, &options);
                    let census = nftables.census().unwrap();
                    assert_eq!(census.differences(&Relation::of(&to)), None);
                    let traced = nftables.traced(&[]).unwrap().unwrap();
                    assert_eq!(traced.differences(&Relation::of(&to)), None);
                    nftables.inventory().unwrap();
                    from = Some(to);
                }
            });
        }
    }
}

/// All that `nft` lists.
fn listed() -> String {
    let mut command = std::process::Command::new("nft");
    let listed = command.args(["list", "ruleset"]).output().unwrap();
    String::from_utf8(listed.stdout).unwrap()
}

#[test]
fn our_messages_leave_what_the_tool_leaves_of_every_kind() {
    for nftables in every_layout() {
        let mut wanted = generations(nftables.family).swap_remove(0);
        // Several ranges, which touch.
        let ranges = &mut wanted.services[2].exposure.source_ranges;
        ranges.push(Cidr {
            network: address(nftables.family, 128),
            prefix: match nftables.family {
                Family::Ipv4 => 25,
                Family::Ipv6 => 121,
            },
        });
        ranges.push(Plan::of(nftables.family).clients);
        let [ours, theirs] = [NETLINK, NFT].map(|way| {
            in_namespace(|| {
                apply(nftables, None, &wanted, &way);
                let census = nftables.census().unwrap();
                assert_eq!(census.differences(&Relation::of(&wanted)), None);
                listed()
            })
        });
        assert_eq!(ours, theirs, "{}", nftables.version);
    }
}

/// What becomes of forwarded flows from one address to another.
fn treated(nftables: Nftables, source: IpAddr, to: SocketAddr) -> Vec<Treatment> {
    let mut connection = Connection::open().unwrap();
    let program = connection.program(nftables.table_family(), layout::TABLE);
    let flow = Flow {
        source,
        destination: to,
        protocol: L4Proto::TCP,
        input: Some(CLIENT_INTERFACE),
        output: BACKENDS_INTERFACE,
    };
    program.unwrap().run(&flow).unwrap()
}

#[test]
fn flows_from_outside_are_treated_by_policy_and_range() {
    for nftables in every_layout() {
        let plan = Plan::of(nftables.family);
        let all = generations(nftables.family).swap_remove(0);
        let place = |kind| KINDS.iter().position(|k| *k == kind).unwrap();
        let port = |kind| SocketAddr::new(plan.node(), 30_000 + place(kind) as u16);
        let here = all.services[place(Kind::Local)].local[0].socket();
        let restricted = &all.services[place(Kind::Ranges)].exposure.load_balancer;
        let restricted = SocketAddr::new(restricted[0], 80);
        let (outside, pod) = (plan.client_link.host(2), plan.client());
        let allowed = address(nftables.family, 5);
        in_namespace(|| {
            apply(nftables, None, &all, &NETLINK);
            // Endpoints, all of whose flows are masqueraded, or none.
            for (source, to, endpoints, masqueraded) in [
                (outside, port(Kind::NodePort), 2, true),
                (pod, port(Kind::NodePort), 2, true),
                (outside, port(Kind::Local), 1, false),
                (pod, port(Kind::Local), 2, false),
                (pod, port(Kind::LocalWithout), 2, false),
                (allowed, restricted, 2, true),
            ] {
                let parts = treated(nftables, source, to);
                let case = format!("{} {source} to {to}: {parts:?}", nftables.version);
                assert_eq!(parts.len(), endpoints, "{case}");
                let all_so = parts.iter().all(|part| {
                    part.translated && part.to.is_some() && part.masqueraded == masqueraded
                });
                assert!(all_so, "{case}");
                if endpoints == 1 {
                    assert_eq!(parts[0].to, Some(here), "{case}");
                }
            }
            // Who is not in the range is dropped before anything is chosen.
            let dropped = treated(nftables, outside, restricted);
            assert!(
                dropped
                    .iter()
                    .all(|part| part.to.is_none() && !part.translated)
            );
            // Without endpoints on this node nothing is chosen; INPUT drops what is left.
            let left = treated(nftables, outside, port(Kind::LocalWithout));
            assert!(left.iter().all(|part| !part.translated));
        });
    }
}

#[test]
fn every_damage_to_every_kind_is_seen_by_what_it_means() {
    for nftables in every_layout() {
        let all = generations(nftables.family).swap_remove(0);
        for damage in Damage::ALL.iter().copied() {
            // Without endpoints for its VIP there is nothing to break, and one alone has no share to skew.
            let services = all.services.iter().filter(|service| {
                let answering = match service.exposure.internal_local {
                    true => service.local.len(),
                    false => service.endpoints.len(),
                };
                answering >= if damage == Damage::Skew { 2 } else { 1 }
            });
            let other = plain(nftables.family, 20);
            for service in services {
                let wanted = Population {
                    services: vec![service.clone(), other.clone()],
                };
                let batch = nftables.render(None, &wanted, &NFT);
                let mut script = batch.to_string();
                for command in nftables.damage(damage, service, &other) {
                    script.push_str(&command[1]);
                    script.push('\n');
                }
                let mut kernel = model::Ruleset::default();
                kernel.interpret(&parse_script(&script).unwrap()).unwrap();
                let table = kernel.table(nftables.table_family(), layout::TABLE);
                let found = super::trace::relation(nftables.layout(), table);
                let whole = Relation::of(&wanted);
                assert!(
                    found.is_err() || found.is_ok_and(|f| f.differences(&whole).is_some()),
                    "{damage:?} of {service:?}"
                );
            }
        }
    }
}
