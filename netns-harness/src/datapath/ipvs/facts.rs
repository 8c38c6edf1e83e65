//! What is known of mode ipvs.

use schema::{Family, Mode, Reader};

use super::{Ipvs, layout};
use crate::datapath::facts::{
    Cost, Counted, Expected, KUBE_PROXY, Law, Layout, ModeFacts, PROCESS, REAL, TIMEOUTS, Tool,
    TransportFacts,
};
use crate::datapath::kube_proxy::KubeProxyFacts;
use crate::datapath::{Engine, Socket, Transport};

/// The law of size: N services on N distinct VIPs, E distinct endpoints each.
const LAW: &[Law] = &[
    ("rules", "28, whatever N ≥ 1"),
    ("chains", "11, whatever N"),
    ("sets", "17, whatever N"),
    (
        "elements: set entries, addresses, virtual servers and destinations",
        "N·(4 + E)",
    ),
    ("operations of a cold install", "60 + N·(4 + E)"),
    ("operations of a service-add or service-remove", "4 + E; 4"),
    (
        "netlink messages of a service-add or service-remove",
        "4 + E; 4",
    ),
    (
        "processes of a service-add, transport exec",
        "3: two set entries, one iptables-restore",
    ),
];

const IPSET: Tool = ("ipset", "ipset");

/// What is known of it over an engine, for services of a family.
pub(in crate::datapath) fn over(engine: Engine, family: Family) -> &'static ModeFacts {
    match (engine, family) {
        (Engine::Legacy, Family::Ipv4) => &FACTS,
        (Engine::Legacy, Family::Ipv6) => &FACTS_IPV6,
        (Engine::Nft, Family::Ipv4) => &NFT,
        (Engine::Nft, Family::Ipv6) => &NFT_IPV6,
    }
}

/// Its constant rules through iptables-nft.
const NFT: ModeFacts = ModeFacts {
    rules: Some(Engine::Nft),
    teardown_sockets: &[
        Socket::Servers,
        Socket::Links,
        Socket::Sets,
        Socket::NfTables,
    ],
    ..FACTS
};

const NFT_IPV6: ModeFacts = ModeFacts {
    family: Family::Ipv6,
    ..NFT
};

const FACTS_IPV6: ModeFacts = ModeFacts {
    family: Family::Ipv6,
    ..FACTS
};

const FACTS: ModeFacts = ModeFacts {
    rules: Some(Engine::Legacy),
    either: true,
    layouts: Layout::ALL,
    node_sysctls: &TIMEOUTS,
    kube_proxy: Some(&KubeProxyFacts {
        mode: "ipvs",
        tools: &[
            ("ipset", "ipset"),
            ("iptables", "iptables-legacy"),
            ("iptables-save", "iptables-legacy-save"),
            ("iptables-restore", "iptables-legacy-restore"),
        ],
        cleanup: &[],
        // pkg/proxy/ipvs/proxier.go says at 4 that a sync has ended.
        arguments: &["--v=2", "--vmodule=proxier=4"],
    }),
    sync_tools: &["ipset"],
    listings: &[
        &["ipvsadm", "-S", "-n"],
        &["ipvsadm", "-L", "-n"],
        &["/proc/net/ip_vs"],
        &["ipset", "save"],
    ],
    readers: &[
        Reader::IpsetSave,
        Reader::IpsetTerse,
        Reader::NetlinkSets,
        Reader::IpvsadmSave,
        Reader::NetlinkServers,
        Reader::IpAddress,
        Reader::NetlinkAddresses,
        Reader::FibTrie,
    ],
    facilities: &[
        "ip_set hash:ip,port",
        "set",
        "ip_set hash:ip",
        "ip_set hash:ip,port,ip",
        "ip_set hash:ip,port,net",
        "ip_set bitmap:port",
        "ip_vs",
        "dummy",
    ],
    // Its rules neither look for a service nor choose an endpoint.
    without: &["statistic", "tcp", "udp", "DNAT"],
    most_entries: Some(layout::MAX_ELEMENTS),
    needs_root: Some(
        "ipvs needs root: the commands of generic netlink's family IPVS are for CAP_NET_ADMIN of the initial user namespace (GENL_ADMIN_PERM)",
    ),
    teardown_sockets: &[Socket::Servers, Socket::Links, Socket::Sets],
    law_of_size: LAW,
    // What grows with N in them are questions over netlink.
    counted_syncs: 20_000,
    cost: Cost {
        preparation: Expected::ZERO.weight(200_000),
        // A process for each set, chain and jump; a set is listed and three questions asked a service.
        read_back: Expected::fixed(54 * PROCESS).service(60_000),
        listing: Expected::fixed(PROCESS).service(30_000),
        counters: Expected::fixed(5_000_000),
        counted: Counted {
            install: Expected::ZERO.weight(98_000).weight_squared(17),
            one_squared: 0,
            update: Expected::fixed(170_000).weight(33),
            sync: Expected::fixed(119_000_000).weight(107_000),
            listing: Expected::ZERO.weight(66_000),
        },
    },
    ..ModeFacts::of(
        Mode::Ipvs,
        &[
            TransportFacts {
                install: Expected::fixed(40_000_000).weight(30_000),
                update: Expected::fixed(1_000_000),
                ..TransportFacts::of(Transport::Netlink)
            },
            TransportFacts {
                tools: &[("ipvsadm", "ipvsadm"), IPSET],
                install: Expected::fixed(60_000_000).weight(60_000),
                update: Expected::fixed(4 * PROCESS),
                ..TransportFacts::of(Transport::Ipvsadm)
            },
            TransportFacts {
                tools: &[IPSET],
                // Two set entries a service, a process each.
                install: Expected::fixed(20 * PROCESS).service(2 * PROCESS),
                update: Expected::fixed(4 * PROCESS),
                ..TransportFacts::of(Transport::Exec)
            },
            TransportFacts {
                tools: &[KUBE_PROXY, IPSET],
                install: Expected::fixed(3_000_000_000).service(3 * PROCESS),
                update: Expected::fixed(60 * PROCESS).service(100_000),
                ..REAL
            },
        ],
        |_, node| {
            layout::ready();
            Box::new(Ipvs::of(node.family).on(node.stack))
        },
    )
};
