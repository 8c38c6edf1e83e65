//! What is known of mode ipset, over either engine.

use schema::{Family, Mode, NodeKind, Reader};

use super::{Ipset, MOST_SERVICES};
use crate::datapath::facts::{Cost, Counted, Expected, Law, ModeFacts, PROCESS, TransportFacts};
use crate::datapath::iptables::{self, facts::COUNTERS};
use crate::datapath::{Engine, Implementation, Socket, Transport};
use crate::xtables::NFT_PREPARATION_CHUNK;

/// The law of size: N services with indices 0 to N - 1, E endpoints each; R(N) = ⌊N/16⌋ + ⌊N/256⌋ +
/// ⌊N/4096⌋ + 3 is the number of dispatch chains below the first.
const LAW: &[Law] = &[
    (
        "rules",
        "27 + N·(2 + 3·E) + R, R = ⌊N/16⌋ + ⌊N/256⌋ + ⌊N/4096⌋ + 3",
    ),
    ("chains", "12 + N·(1 + E) + R"),
    ("elements", "N in one set"),
    (
        "dispatch rules passed by a first packet",
        "5 to 65, whatever N",
    ),
    ("operations of a cold install", "40 + N·(4 + 4·E) + 2·R"),
    (
        "operations of a service-add",
        "4 + 4·E + (N + 1) mod 16 (one more above 15 services), and at most 17 more for each dispatch chain that the service is the first to need",
    ),
    (
        "set messages of a service-add or service-remove (netlink)",
        "1",
    ),
    ("set messages of an endpoint-churn (netlink)", "0"),
];

/// The same for IPv6, in which one rule of those that do not depend on services is missing.
const LAW_IPV6: &[Law] = &[
    (
        "rules",
        "26 + N·(2 + 3·E) + R, R = ⌊N/16⌋ + ⌊N/256⌋ + ⌊N/4096⌋ + 3",
    ),
    LAW[1],
    LAW[2],
    LAW[3],
    ("operations of a cold install", "39 + N·(4 + 4·E) + 2·R"),
    LAW[5],
    LAW[6],
    LAW[7],
];

/// What is known of it over an engine, for services of a family.
pub(in crate::datapath) fn over(engine: Engine, family: Family) -> &'static ModeFacts {
    match (engine, family) {
        (Engine::Legacy, Family::Ipv4) => &LEGACY,
        (Engine::Legacy, Family::Ipv6) => &LEGACY_IPV6,
        (Engine::Nft, Family::Ipv4) => &NFT,
        (Engine::Nft, Family::Ipv6) => &NFT_IPV6,
    }
}

const fn transport(transport: Transport) -> TransportFacts {
    TransportFacts {
        install: Expected::fixed(10_000_000).weight(140_000),
        update: Expected::fixed(5_000_000).rule(5_500),
        ..TransportFacts::of(transport)
    }
}

fn ready(engine: Engine, node: NodeKind) -> Box<dyn Implementation> {
    iptables::layout::ready();
    Box::new(Ipset::new(engine, node.family).on(node.stack))
}

const LEGACY: ModeFacts = ModeFacts {
    rules: Some(Engine::Legacy),
    engines: Engine::ALL,
    comments: true,
    facilities: &[
        "ip_tables mangle",
        "SET",
        "ip_set hash:ip,port",
        "ip_set skbinfo",
    ],
    readers: &[
        Reader::IptablesSave,
        Reader::IpsetSave,
        Reader::IpsetTerse,
        Reader::NetlinkSets,
    ],
    most_services: Some(MOST_SERVICES),
    teardown_sockets: &[Socket::Sets],
    law_of_size: LAW,
    cost: Cost {
        preparation: Expected::ZERO.weight(300_000),
        read_back: Expected::fixed(PROCESS),
        listing: Expected::fixed(PROCESS).rule(8_000),
        counters: COUNTERS,
        counted: Counted {
            install: Expected::ZERO.weight(358_000),
            one_squared: 0,
            update: Expected::fixed(6_000_000).weight(53_000),
            sync: Expected::ZERO,
            listing: Expected::fixed(80_000_000).weight(375_000),
        },
    },
    ..ModeFacts::of(
        Mode::Ipset,
        &[
            transport(Transport::Netlink),
            TransportFacts {
                tools: &[("ipset", "ipset")],
                ..transport(Transport::IpsetRestore)
            },
        ],
        |_, node| ready(Engine::Legacy, node),
    )
};

const LEGACY_IPV6: ModeFacts = ModeFacts {
    family: Family::Ipv6,
    facilities: &[
        "ip6_tables mangle",
        "SET",
        "ip_set hash:ip,port",
        "ip_set skbinfo",
    ],
    law_of_size: LAW_IPV6,
    ..LEGACY
};

/// There is no ip_tables table then.
const NFT: ModeFacts = ModeFacts {
    rules: Some(Engine::Nft),
    facilities: &["SET", "ip_set hash:ip,port", "ip_set skbinfo"],
    needs_root: Some(
        "engine nft needs root: iptables-nft's transactions outgrow the socket buffer that a user namespace may have (SO_SNDBUFFORCE is refused, EMSGSIZE follows)",
    ),
    preparation_chunk: Some(NFT_PREPARATION_CHUNK),
    teardown_sockets: &[Socket::Sets, Socket::NfTables],
    make: |_, node| ready(Engine::Nft, node),
    ..LEGACY
};

const NFT_IPV6: ModeFacts = ModeFacts {
    family: Family::Ipv6,
    law_of_size: LAW_IPV6,
    ..NFT
};
