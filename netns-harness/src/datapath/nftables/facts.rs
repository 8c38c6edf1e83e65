//! What is known of mode nftables.

use nft_codec::Connection;
use schema::{Family, KubeProxyVersion, Mode, Reader};

use super::{Nftables, layout};
use crate::datapath::facts::{
    Cost, Counted, Expected, KUBE_PROXY, Law, Layout, ModeFacts, PROCESS, REAL, TIMEOUTS,
    TransportFacts,
};
use crate::datapath::kube_proxy::{KubeProxyFacts, SYNC_AT_2};
use crate::datapath::{Socket, Transport};

/// Services a transaction that load fastest: every anonymous map is looked for in the list of the
/// whole transaction (`__nft_set_trans_bind`), so a transaction's cost grows with its square.
const PREPARATION_CHUNK: usize = 500;

/// Each version its own: 1.33 to 1.35 differ in a service's first rule or in how they list.
const LAYOUTS: &[Layout] = {
    use KubeProxyVersion::{V1_32, V1_33, V1_34, V1_35, V1_36, V1_37};
    &[
        Layout::of(V1_32, V1_32),
        Layout::of(V1_33, V1_33),
        Layout::of(V1_34, V1_34),
        Layout::of(V1_35, V1_35),
        Layout::of(V1_36, V1_36),
        Layout::of(V1_37, V1_37),
    ]
};

/// The law of size: N services on N distinct VIPs, E distinct endpoints each.
const LAW: &[Law] = &[
    ("rules, 1.32", "23 + N·(2 + 2·E)"),
    ("rules, 1.33 to 1.35", "24 + N·(2 + 2·E)"),
    ("rules, from 1.36", "23 + N"),
    ("chains, until 1.35", "16 + N·(1 + E)"),
    ("chains, from 1.36", "15 + N"),
    (
        "sets and maps, until 1.35; 1.36; 1.37",
        "7 + N; 8 + N; 8 + the services of two endpoints and more",
    ),
    ("operations of a cold install, 1.32", "87 + N·(6 + 4·E)"),
    (
        "operations of a cold install, 1.33 to 1.35",
        "82 + N·(6 + 4·E)",
    ),
    ("operations of a cold install, 1.36", "80 + N·5"),
    ("operations of a cold install, 1.37", "94 + N·5"),
    ("operations of a resync, 1.32", "71 + N·(6 + 4·E)"),
    ("operations of a resync, 1.33 to 1.35", "66 + N·(4 + 4·E)"),
    ("operations of a resync, 1.36", "64 + N·3"),
    ("operations of a resync, 1.37", "78 + N·3"),
    ("operations of a service-add, until 1.35", "6 + 4·E"),
    ("operations of a service-add, from 1.36", "5"),
    (
        "messages",
        "two more than operations for each map of a random choice",
    ),
];

/// Both ways write the same; a transaction's cost grows with its square.
const fn transport(transport: Transport, update: Expected) -> TransportFacts {
    TransportFacts {
        install: Expected::fixed(10_000_000).weight(100_000).weight_cubed(53),
        in_chunks: Some(
            Expected::fixed(10_000_000)
                .weight(10_000)
                .weight_squared(140),
        ),
        update,
        ..TransportFacts::of(transport)
    }
}

/// What cannot be found out is found out by the send.
fn largest_batch() -> Option<u64> {
    let known = Connection::largest_batch().ok().flatten();
    known.map(|bytes| bytes as u64)
}

const fn kube_proxy(cleanup: &'static [&'static [&'static str]]) -> KubeProxyFacts {
    KubeProxyFacts {
        mode: "nftables",
        tools: &[("nft", "nft")],
        cleanup,
        arguments: SYNC_AT_2,
    }
}

/// As it serves IPv4, beside which versions before 1.34 program IPv6 as well; and the other way round.
const KUBE_PROXY_IPV4: KubeProxyFacts =
    kube_proxy(&[&["nft", "delete", "table", "ip6", "kube-proxy"]]);
const KUBE_PROXY_IPV6: KubeProxyFacts =
    kube_proxy(&[&["nft", "delete", "table", "ip", "kube-proxy"]]);

/// What is known of it for services of a family.
pub(in crate::datapath) fn of(family: Family) -> &'static ModeFacts {
    match family {
        Family::Ipv4 => &FACTS,
        Family::Ipv6 => &FACTS_IPV6,
    }
}

const FACTS_IPV6: ModeFacts = ModeFacts {
    family: Family::Ipv6,
    kube_proxy: Some(&KUBE_PROXY_IPV6),
    ..FACTS
};

/// For services of IPv4.
pub(in crate::datapath) const FACTS: ModeFacts = ModeFacts {
    kube_proxy: Some(&KUBE_PROXY_IPV4),
    layouts: LAYOUTS,
    node_sysctls: &TIMEOUTS,
    sync_tools: &["nft"],
    listings: &[&["nft", "list", "ruleset"]],
    readers: &[
        Reader::NftList,
        Reader::NftTerse,
        Reader::NftJson,
        Reader::NftJsonTerse,
        Reader::NftJsonChains,
        Reader::NetlinkChains,
        Reader::NetlinkRaw,
        Reader::NetlinkDecoded,
    ],
    facilities: &["nf_tables", "nf_conntrack"],
    preparation_chunk: Some(PREPARATION_CHUNK),
    chunked: true,
    teardown_sockets: &[Socket::NfTables],
    law_of_size: LAW,
    cost: Cost {
        preparation: Expected::ZERO.weight(30_000).weight_squared(75),
        read_back: Expected::fixed(PROCESS).weight(17_000),
        listing: Expected::fixed(PROCESS).weight(22_000).weight_squared(11),
        counters: Expected::fixed(5_000_000),
        counted: Counted {
            install: Expected::ZERO.weight(136_000).weight_squared(346),
            one_squared: 100,
            update: Expected::fixed(150_000).weight(1_300),
            sync: Expected::fixed(6_000_000).weight(30_000),
            listing: Expected::ZERO.weight(308_000).weight_squared(42),
        },
    },
    ..ModeFacts::of(
        Mode::Nftables,
        &[
            TransportFacts {
                ask_largest: Some(largest_batch),
                ..transport(
                    Transport::Netlink,
                    Expected::fixed(2_000_000).service(6_000),
                )
            },
            TransportFacts {
                tools: &[("nft", "nftables")],
                ..transport(Transport::Nft, Expected::fixed(20_000_000).service(17_000))
            },
            TransportFacts {
                tools: &[KUBE_PROXY, ("nft", "nftables")],
                install: Expected::fixed(2_000_000_000)
                    .weight(200_000)
                    .weight_squared(700),
                update: Expected::fixed(50_000_000).service(600_000),
                ..REAL
            },
        ],
        |version, node| {
            layout::ready();
            Box::new(Nftables::of(version, node.family).on(node.stack))
        },
    )
};
