//! What is known of the iptables modes and of the floor below them.

use schema::{Family, KubeProxyVersion, Mode, Reader};

use super::{Conntrack, Iptables, layout};
use crate::datapath::facts::{
    Cost, Counted, Expected, Law, Layout, ModeFacts, PROCESS, REAL, TIMEOUTS, TransportFacts,
};
use crate::datapath::kube_proxy::{KubeProxyFacts, SYNC_AT_2};
use crate::datapath::{Engine, Socket, Transport};
use crate::xtables::NFT_PREPARATION_CHUNK;

/// When all is written again although nothing has changed.
const HOURS: &[Layout] = {
    use KubeProxyVersion::{V1_32, V1_33, V1_35, V1_36, V1_37};
    &[
        Layout::of(V1_32, V1_32),
        Layout::of(V1_33, V1_35),
        Layout::of(V1_36, V1_37),
    ]
};

/// The law of size, in large-cluster layout: N services, E endpoints.
const LAW: &[Law] = &[
    ("rules", "23 + N·(2 + 3·E)"),
    ("chains", "13 + N·(1 + E)"),
    ("operations of a cold install", "36 + N·(3 + 4·E)"),
    ("operations of a resync", "19 + N·(3 + 4·E)"),
    ("operations of a service-add", "19 + (N + 1) + 2 + 4·E"),
    (
        "bytes of a service-add",
        "1161 (1215 where the kernel has nfnetlink_acct) + Σ over N + 1 services of (108 + characters of name, VIP and port) + bytes of the new service's chains, which do not depend on N",
    ),
    (
        "processes of a cold install, transport exec",
        "36 + N·(3 + 4·E)",
    ),
    (
        "processes of a service-add, transport exec",
        "3 + 4·E: E + 1 chains, 2 + 3·E rules",
    ),
    (
        "processes of a service-remove, transport exec",
        "1 + 2·(1 + E): its portal, then each chain emptied and deleted",
    ),
];

/// The same for IPv6: two rules differ of those that do not depend on services.
const LAW_IPV6: &[Law] = &[
    ("rules", "22 + N·(2 + 3·E)"),
    LAW[1],
    ("operations of a cold install", "35 + N·(3 + 4·E)"),
    ("operations of a resync", "17 + N·(3 + 4·E)"),
    ("operations of a service-add", "17 + (N + 1) + 2 + 4·E"),
    (
        "bytes of a service-add",
        "985 (1039 where the kernel has nfnetlink_acct) + Σ over N + 1 services of (108 + characters of name, VIP and port) + bytes of the new service's chains, which do not depend on N",
    ),
    (
        "processes of a cold install, transport exec",
        "35 + N·(3 + 4·E)",
    ),
    LAW[7],
    LAW[8],
];

/// What is known of mode iptables-legacy or iptables-nft.
pub(in crate::datapath) fn over(engine: Engine, family: Family) -> &'static ModeFacts {
    match (engine, family) {
        (Engine::Legacy, Family::Ipv4) => &LEGACY,
        (Engine::Legacy, Family::Ipv6) => &LEGACY_IPV6,
        (Engine::Nft, Family::Ipv4) => &NFT,
        (Engine::Nft, Family::Ipv6) => &NFT_IPV6,
    }
}

/// What is known of mode conntrack over an engine.
pub(in crate::datapath) fn floor(engine: Engine, family: Family) -> &'static ModeFacts {
    match (engine, family) {
        (Engine::Legacy, Family::Ipv4) => &CONNTRACK,
        (Engine::Legacy, Family::Ipv6) => &CONNTRACK_IPV6,
        (Engine::Nft, Family::Ipv4) => &CONNTRACK_NFT,
        (Engine::Nft, Family::Ipv6) => &CONNTRACK_NFT_IPV6,
    }
}

/// route_localnet is for node ports on localhost (`--iptables-localhost-nodeports`).
const NODE_SYSCTLS: &[(&str, &str)] = &[
    TIMEOUTS[0],
    TIMEOUTS[1],
    ("net.ipv4.conf.all.route_localnet", "1"),
];

/// One process a rule; the tool reads the table anew for each.
const EXEC: TransportFacts = TransportFacts {
    install: Expected::ZERO.rule(PROCESS).rule_squared(2_000),
    ..TransportFacts::of(Transport::Exec)
};

/// kube-proxy over an engine, by the tools that it then finds.
const fn kube_proxy(tools: &'static [(&'static str, &'static str)]) -> KubeProxyFacts {
    KubeProxyFacts {
        mode: "iptables",
        tools,
        cleanup: &[],
        arguments: SYNC_AT_2,
    }
}

/// Mode iptables-legacy.
const LEGACY: ModeFacts = ModeFacts {
    rules: Some(Engine::Legacy),
    facilities: &["ip_tables mangle"],
    readers: &[Reader::IptablesSave],
    accounts: true,
    comments: true,
    layouts: Layout::ALL,
    hours: HOURS,
    node_sysctls: NODE_SYSCTLS,
    kube_proxy: Some(&kube_proxy(LEGACY_TOOLS)),
    law_of_size: LAW,
    cost: Cost {
        preparation: Expected::ZERO.weight(280_000),
        read_back: Expected::fixed(PROCESS),
        listing: Expected::fixed(PROCESS).rule(8_000),
        counters: COUNTERS,
        counted: Counted {
            install: Expected::ZERO.weight(365_000),
            one_squared: 0,
            update: Expected::ZERO.weight(137_000),
            sync: Expected::fixed(40_000_000).weight(137_000),
            listing: Expected::ZERO.weight(650_000),
        },
    },
    ..ModeFacts::of(
        Mode::IptablesLegacy,
        &[
            TransportFacts {
                install: Expected::fixed(10_000_000).weight(150_000),
                update: Expected::fixed(5_000_000).rule(8_000),
                ..TransportFacts::of(Transport::Restore)
            },
            TransportFacts {
                update: Expected::fixed(10 * PROCESS).rule(40_000),
                ..EXEC
            },
            TransportFacts {
                install: Expected::fixed(2_000_000_000).weight(150_000),
                update: Expected::fixed(50_000_000).rule(9_000),
                ..REAL
            },
        ],
        |_, node| {
            layout::ready();
            Box::new(Iptables::of(Engine::Legacy, node.family).on(node.stack))
        },
    )
};

/// kube-proxy for services of IPv6 sets no route_localnet (`NewProxier`).
const LEGACY_IPV6: ModeFacts = ModeFacts {
    family: Family::Ipv6,
    facilities: &["ip6_tables mangle"],
    node_sysctls: &TIMEOUTS,
    law_of_size: LAW_IPV6,
    ..LEGACY
};

/// Mode iptables-nft. One large transaction is quadratic in the tool.
const NFT: ModeFacts = ModeFacts {
    rules: Some(Engine::Nft),
    readers: &[Reader::IptablesSave],
    accounts: true,
    comments: true,
    layouts: Layout::ALL,
    hours: HOURS,
    node_sysctls: NODE_SYSCTLS,
    kube_proxy: Some(&kube_proxy(NFT_TOOLS)),
    needs_root: Some(
        "iptables-nft needs root: its transactions outgrow the socket buffer that a user namespace may have (SO_SNDBUFFORCE is refused, EMSGSIZE follows)",
    ),
    preparation_chunk: Some(NFT_PREPARATION_CHUNK),
    chunked: true,
    teardown_sockets: &[Socket::NfTables],
    law_of_size: LAW,
    cost: Cost {
        preparation: Expected::ZERO.weight(650_000),
        read_back: Expected::fixed(PROCESS),
        listing: Expected::fixed(PROCESS).rule(18_000),
        counters: COUNTERS,
        counted: Counted {
            install: Expected::fixed(200_000_000).weight(1_105_000),
            one_squared: 1_200,
            update: Expected::ZERO.weight(183_000).weight_squared(8),
            sync: Expected::fixed(190_000_000),
            listing: Expected::ZERO.weight(1_250_000),
        },
    },
    ..ModeFacts::of(
        Mode::IptablesNft,
        &[
            TransportFacts {
                install: Expected::fixed(20_000_000)
                    .weight(400_000)
                    .weight_cubed(135),
                in_chunks: Some(Expected::fixed(20_000_000).weight(460_000)),
                update: Expected::fixed(20_000_000).rule(11_000),
                ..TransportFacts::of(Transport::Restore)
            },
            TransportFacts {
                update: Expected::fixed(10 * PROCESS).rule(80_000),
                ..EXEC
            },
            TransportFacts {
                install: Expected::fixed(2_000_000_000)
                    .weight(150_000)
                    .weight_squared(2_500),
                update: Expected::fixed(50_000_000).rule(25_000),
                ..REAL
            },
        ],
        |_, node| {
            layout::ready();
            Box::new(Iptables::of(Engine::Nft, node.family).on(node.stack))
        },
    )
};

const NFT_IPV6: ModeFacts = ModeFacts {
    family: Family::Ipv6,
    node_sysctls: &TIMEOUTS,
    law_of_size: LAW_IPV6,
    ..NFT
};

/// Mode conntrack, the floor.
const CONNTRACK: ModeFacts = ModeFacts {
    rules: Some(Engine::Legacy),
    either: true,
    ..ModeFacts::of(
        Mode::Conntrack,
        &[TransportFacts::of(Transport::Restore)],
        |_, node| Box::new(Conntrack::of(node.family)),
    )
};

const CONNTRACK_IPV6: ModeFacts = ModeFacts {
    family: Family::Ipv6,
    ..CONNTRACK
};

const CONNTRACK_NFT: ModeFacts = ModeFacts {
    rules: Some(Engine::Nft),
    teardown_sockets: &[Socket::NfTables],
    ..CONNTRACK
};

const CONNTRACK_NFT_IPV6: ModeFacts = ModeFacts {
    family: Family::Ipv6,
    ..CONNTRACK_NFT
};

/// Names by which iptables' programs are started, and the engine's programs.
pub(in crate::datapath) const LEGACY_TOOLS: &[(&str, &str)] = &[
    ("iptables", "iptables-legacy"),
    ("iptables-save", "iptables-legacy-save"),
    ("iptables-restore", "iptables-legacy-restore"),
];
pub(in crate::datapath) const NFT_TOOLS: &[(&str, &str)] = &[
    ("iptables", "iptables-nft"),
    ("iptables-save", "iptables-nft-save"),
    ("iptables-restore", "iptables-nft-restore"),
];

/// A listing of table nat.
pub(in crate::datapath) const COUNTERS: Expected = Expected::ZERO.service(33_000);
