//! The layout as operations: what is the same in every cluster, and what each service adds.

use std::net::SocketAddrV4;
use std::sync::LazyLock;

use data_encoding::BASE32;
use nft_codec::{
    Act, BaseChain, ChainKind, Comment, Comparison, CtState, Element, EncodedBatch, Hook, Key,
    KeyType, L4Proto, Name, Network, Op, Policy, Rule, SetSpec, Statement, Verdict,
};
use schema::Protocol;
use sha2::{Digest as _, Sha256};

use super::ENCODABLE;
use crate::service::{CLUSTER_CIDR, Cidr, Endpoint, Frontend, SERVICE_CIDR, Service};

/// kube-proxy's table, of the ip family.
pub(super) const TABLE: &str = "kube-proxy";
/// Where packets from other hosts enter the NAT rules.
pub(super) const NAT_PREROUTING: &str = "nat-prerouting";
/// Set of the VIPs in use.
pub(super) const CLUSTER_IPS: &str = "cluster-ips";
/// Map from frontend to service chain.
pub(super) const SERVICE_IPS: &str = "service-ips";
/// Map from frontends without endpoints to what happens to their packets.
pub(super) const NO_ENDPOINT_SERVICES: &str = "no-endpoint-services";
/// Rejects.
pub(super) const REJECT_CHAIN: &str = "reject-chain";

const SERVICES: &str = "services";
const MARK_FOR_MASQUERADE: &str = "mark-for-masquerade";
const MASQUERADING: &str = "masquerading";
const CLUSTER_IPS_CHECK: &str = "cluster-ips-check";
const FIREWALL_CHECK: &str = "firewall-check";
const SERVICE_ENDPOINTS_CHECK: &str = "service-endpoints-check";
const NODEPORT_ENDPOINTS_CHECK: &str = "nodeport-endpoints-check";
const NODEPORT_IPS: &str = "nodeport-ips";
const NO_ENDPOINT_NODEPORTS: &str = "no-endpoint-nodeports";
const FIREWALL_IPS: &str = "firewall-ips";
const SERVICE_NODEPORTS: &str = "service-nodeports";

/// kube-proxy's `--iptables-masquerade-bit` (and its nftables twin) is 14.
const MASQUERADE_MARK: u32 = 1 << 14;
/// NF_IP_PRI_NAT_DST and NF_IP_PRI_NAT_SRC.
const DSTNAT: i32 = -100;
const SRCNAT: i32 = 100;

/// Name, type, hook, priority. The filters before DNAT see the packet's VIP, the one after it sees
/// where the packet goes.
const BASE_CHAINS: [(&str, ChainKind, Hook, i32); 8] = [
    (
        "filter-prerouting",
        ChainKind::Filter,
        Hook::Prerouting,
        DSTNAT - 10,
    ),
    ("filter-input", ChainKind::Filter, Hook::Input, DSTNAT - 10),
    (
        "filter-forward",
        ChainKind::Filter,
        Hook::Forward,
        DSTNAT - 10,
    ),
    (
        "filter-output",
        ChainKind::Filter,
        Hook::Output,
        DSTNAT - 10,
    ),
    (
        "filter-output-post-dnat",
        ChainKind::Filter,
        Hook::Output,
        DSTNAT + 10,
    ),
    (NAT_PREROUTING, ChainKind::Nat, Hook::Prerouting, DSTNAT),
    ("nat-output", ChainKind::Nat, Hook::Output, DSTNAT),
    ("nat-postrouting", ChainKind::Nat, Hook::Postrouting, SRCNAT),
];

/// Which full sync of a kube-proxy's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FullSync {
    /// At its start.
    First,
    /// Any later one: once an hour (`FullSyncPeriod`), or after a failure.
    Later,
}

/// From, to, and whether only for new connections; in kube-proxy's order.
const JUMPS: [(&str, &str, bool); 11] = [
    ("filter-input", NODEPORT_ENDPOINTS_CHECK, true),
    ("filter-input", SERVICE_ENDPOINTS_CHECK, true),
    ("filter-forward", SERVICE_ENDPOINTS_CHECK, true),
    ("filter-output", SERVICE_ENDPOINTS_CHECK, true),
    ("filter-prerouting", FIREWALL_CHECK, true),
    ("filter-output", FIREWALL_CHECK, true),
    ("nat-output", SERVICES, false),
    (NAT_PREROUTING, SERVICES, false),
    ("nat-postrouting", MASQUERADING, false),
    ("filter-forward", CLUSTER_IPS_CHECK, true),
    ("filter-output-post-dnat", CLUSTER_IPS_CHECK, true),
];

/// Names that nearly every operation holds: shared, not copied.
static TABLE_NAME: LazyLock<Name> = LazyLock::new(|| Name::new(TABLE));
static MARK_CHAIN: LazyLock<Name> = LazyLock::new(|| Name::new(MARK_FOR_MASQUERADE));
static CLUSTER_IPS_NAME: LazyLock<Name> = LazyLock::new(|| Name::new(CLUSTER_IPS));
static SERVICE_IPS_NAME: LazyLock<Name> = LazyLock::new(|| Name::new(SERVICE_IPS));

/// Whether kube-proxy hangs a chain of that name on a hook.
#[cfg(test)]
pub(super) fn is_base_chain(name: &str) -> bool {
    BASE_CHAINS.iter().any(|(base, ..)| *base == name)
}

/// An operation on kube-proxy's table.
pub(super) fn op(act: Act) -> Op {
    Op {
        table: TABLE_NAME.clone(),
        act,
    }
}

/// The transaction that removes everything.
pub(super) fn delete_table() -> EncodedBatch {
    EncodedBatch::encode(vec![op(Act::DeleteTable)]).expect(ENCODABLE)
}

/// `chain`, existing and empty.
pub(super) fn ensure_chain(ops: &mut Vec<Op>, chain: &Name) {
    ops.push(op(Act::AddChain {
        chain: chain.clone(),
        base: None,
        comment: None,
    }));
    ops.push(op(Act::FlushChain {
        chain: chain.clone(),
    }));
}

fn add_rule(ops: &mut Vec<Op>, chain: &str, statements: impl Into<Vec<Statement>>) {
    ops.push(op(Act::AddRule {
        chain: Name::new(chain),
        rule: Rule::new(statements),
    }));
}

fn add_commented_rule(
    ops: &mut Vec<Op>,
    chain: &str,
    statements: impl Into<Vec<Statement>>,
    comment: &str,
) {
    let rule = Rule {
        statements: statements.into(),
        comment: Some(Comment::new(comment)),
    };
    ops.push(op(Act::AddRule {
        chain: Name::new(chain),
        rule,
    }));
}

fn add_set(ops: &mut Vec<Op>, name: &str, key: KeyType, verdicts: bool, comment: &str) {
    ops.push(op(Act::AddSet(SetSpec {
        name: Name::new(name),
        key,
        verdicts,
        comment: Some(Comment::new(comment)),
    })));
}

fn jump(chain: &str) -> Statement {
    Statement::Verdict(Verdict::Jump(Name::new(chain)))
}

fn network(cidr: Cidr) -> Network {
    Network::new(cidr.network, cidr.prefix)
}

/// Everything but the services, as a full sync writes it (`setupNFTables`): table, chains, sets, maps
/// and rules; what was in the chains, sets and maps is flushed.
pub(super) fn base(sync: FullSync) -> Vec<Op> {
    let mut ops = Vec::with_capacity(128);
    ops.push(op(Act::AddTable {
        comment: Some(Comment::new("rules for kube-proxy")),
    }));
    // A base chain's priority cannot be changed, so chains of another kube-proxy are removed first; once
    // in the life of a process (`proxier.flushed`).
    for (name, ..) in BASE_CHAINS.iter().filter(|_| sync == FullSync::First) {
        ops.push(op(Act::AddChain {
            chain: Name::new(name),
            base: None,
            comment: None,
        }));
        ops.push(op(Act::DeleteChain {
            chain: Name::new(name),
        }));
    }
    for (name, kind, hook, priority) in BASE_CHAINS {
        let chain = Name::new(name);
        let base = Some(BaseChain {
            kind,
            hook,
            priority,
            policy: Policy::Accept,
        });
        ops.push(op(Act::AddChain {
            chain: chain.clone(),
            base,
            comment: None,
        }));
        ops.push(op(Act::FlushChain { chain }));
    }
    add_rule(
        &mut ops,
        NAT_PREROUTING,
        [Statement::Counter {
            packets: 0,
            bytes: 0,
        }],
    );
    jumps(&mut ops);
    masquerading(&mut ops);
    checks(&mut ops);
    dispatch(&mut ops);
    ops
}

fn jumps(ops: &mut Vec<Op>) {
    let mut ensured = Vec::new();
    for (from, to, new_only) in JUMPS {
        if !ensured.contains(&to) {
            ensure_chain(ops, &Name::new(to));
            ensured.push(to);
        }
        if new_only {
            add_rule(ops, from, [Statement::CtState(CtState::New), jump(to)]);
        } else {
            add_rule(ops, from, [jump(to)]);
        }
    }
    ensure_chain(ops, &MARK_CHAIN);
}

fn masquerading(ops: &mut Vec<Op>) {
    add_rule(
        ops,
        MARK_FOR_MASQUERADE,
        [Statement::MarkOr(MASQUERADE_MARK)],
    );
    let unmarked = Statement::MarkAnd {
        mask: MASQUERADE_MARK,
        comparison: Comparison::Equal,
        value: 0,
    };
    add_rule(
        ops,
        MASQUERADING,
        [unmarked, Statement::Verdict(Verdict::Return)],
    );
    add_rule(ops, MASQUERADING, [Statement::MarkXor(MASQUERADE_MARK)]);
    add_rule(ops, MASQUERADING, [Statement::MasqueradeFullyRandom]);
}

/// Rejects, drops and firewalling of what is addressed to services.
fn checks(ops: &mut Vec<Op>) {
    add_set(
        ops,
        CLUSTER_IPS,
        KeyType::Address,
        false,
        "Active ClusterIPs",
    );
    let active = Statement::DestinationInSet(Name::new(CLUSTER_IPS));
    add_commented_rule(
        ops,
        CLUSTER_IPS_CHECK,
        [active, Statement::Reject],
        "Reject traffic to invalid ports of ClusterIPs",
    );
    let unallocated = Statement::DestinationAddress(Comparison::Equal, network(SERVICE_CIDR));
    add_commented_rule(
        ops,
        CLUSTER_IPS_CHECK,
        [unallocated, Statement::Verdict(Verdict::Drop)],
        "Drop traffic to unallocated ClusterIPs",
    );
    add_set(
        ops,
        NODEPORT_IPS,
        KeyType::Address,
        false,
        "IPs that accept NodePort traffic",
    );
    ops.push(op(Act::FlushSet {
        set: Name::new(NODEPORT_IPS),
        verdicts: false,
    }));

    let to_services = "vmap to drop or reject packets to services with no endpoints";
    let to_nodeports = "vmap to drop or reject packets to service nodeports with no endpoints";
    add_set(
        ops,
        NO_ENDPOINT_SERVICES,
        KeyType::AddressProtoPort,
        true,
        to_services,
    );
    add_set(
        ops,
        NO_ENDPOINT_NODEPORTS,
        KeyType::ProtoPort,
        true,
        to_nodeports,
    );
    let comment = Some(Comment::new(
        "helper for @no-endpoint-services / @no-endpoint-nodeports",
    ));
    ops.push(op(Act::AddChain {
        chain: Name::new(REJECT_CHAIN),
        base: None,
        comment,
    }));
    ops.push(op(Act::FlushChain {
        chain: Name::new(REJECT_CHAIN),
    }));
    add_rule(ops, REJECT_CHAIN, [Statement::Reject]);
    add_rule(
        ops,
        SERVICE_ENDPOINTS_CHECK,
        [Statement::ServiceVmap(Name::new(NO_ENDPOINT_SERVICES))],
    );
    add_rule(
        ops,
        NODEPORT_ENDPOINTS_CHECK,
        [
            Statement::DestinationInSet(Name::new(NODEPORT_IPS)),
            Statement::NodePortVmap(Name::new(NO_ENDPOINT_NODEPORTS)),
        ],
    );
    let firewalled = "destinations that are subject to LoadBalancerSourceRanges";
    add_set(
        ops,
        FIREWALL_IPS,
        KeyType::AddressProtoPort,
        true,
        firewalled,
    );
    add_rule(
        ops,
        FIREWALL_CHECK,
        [Statement::ServiceVmap(Name::new(FIREWALL_IPS))],
    );
}

/// The maps that lead to services, empty.
fn dispatch(ops: &mut Vec<Op>) {
    add_set(
        ops,
        SERVICE_IPS,
        KeyType::AddressProtoPort,
        true,
        "ClusterIP, ExternalIP and LoadBalancer IP traffic",
    );
    add_set(
        ops,
        SERVICE_NODEPORTS,
        KeyType::ProtoPort,
        true,
        "NodePort traffic",
    );
    add_rule(
        ops,
        SERVICES,
        [Statement::ServiceVmap(Name::new(SERVICE_IPS))],
    );
    add_rule(
        ops,
        SERVICES,
        [
            Statement::DestinationInSet(Name::new(NODEPORT_IPS)),
            Statement::NodePortVmap(Name::new(SERVICE_NODEPORTS)),
        ],
    );
    ops.push(op(Act::FlushSet {
        set: Name::new(CLUSTER_IPS),
        verdicts: false,
    }));
    for map in [
        SERVICE_IPS,
        FIREWALL_IPS,
        NO_ENDPOINT_SERVICES,
        NO_ENDPOINT_NODEPORTS,
        SERVICE_NODEPORTS,
    ] {
        ops.push(op(Act::FlushSet {
            set: Name::new(map),
            verdicts: true,
        }));
    }
}

/// The protocol's number.
pub(super) const fn l4proto(protocol: Protocol) -> L4Proto {
    match protocol {
        Protocol::Tcp => L4Proto::TCP,
        Protocol::Udp => L4Proto::UDP,
    }
}

/// Hash and name: eight characters of base32 of SHA-256, so that neighbours differ at a glance.
pub(super) fn hashed(prefix: &str, name: &str) -> Name {
    let digest = BASE32.encode(&Sha256::digest(name.as_bytes()));
    Name::from(format!("{prefix}-{}-{name}", &digest[..8]))
}

/// `namespace/name/protocol/port-name`.
fn base_name(service: &Service) -> String {
    format!(
        "{}/{}/p{}",
        service.name(),
        service.frontend.protocol,
        service.frontend.port
    )
}

/// Chain of a service: `service-HASH-namespace/name/protocol/port-name`.
pub(super) fn service_chain(service: &Service) -> Name {
    hashed("service", &base_name(service))
}

/// Chains of a service's endpoints, in their order; an endpoint listed twice has one chain.
pub(super) fn endpoint_chains(service: &Service) -> Vec<Name> {
    let base = base_name(service);
    let chain = |endpoint: &Endpoint| {
        hashed(
            "endpoint",
            &format!("{base}__{}/{}", endpoint.address, endpoint.port),
        )
    };
    service.endpoints.iter().map(chain).collect()
}

/// A frontend's key in the service maps.
pub(super) const fn key(frontend: Frontend) -> Key {
    Key::AddressProtoPort(frontend.vip, l4proto(frontend.protocol), frontend.port)
}

/// The element of a service: its map, and what stands in it.
pub(super) fn service_element(service: &Service) -> (Name, Element) {
    let key = key(service.frontend);
    if service.endpoints.is_empty() {
        let verdict = Some(Verdict::Goto(Name::new(REJECT_CHAIN)));
        (
            Name::new(NO_ENDPOINT_SERVICES),
            Element {
                key,
                verdict,
                comment: Some(Comment::new(&service.port_name())),
            },
        )
    } else {
        (
            SERVICE_IPS_NAME.clone(),
            Element {
                key,
                verdict: Some(Verdict::Goto(service_chain(service))),
                comment: None,
            },
        )
    }
}

/// The element of a VIP in `cluster-ips`.
pub(super) fn cluster_ip(frontend: Frontend) -> (Name, Element) {
    (
        CLUSTER_IPS_NAME.clone(),
        Element {
            key: Key::Address(frontend.vip),
            verdict: None,
            comment: None,
        },
    )
}

/// Masquerades what comes from outside the cluster, so that answers come back through this node.
pub(super) fn off_cluster_rule(frontend: Frontend) -> Rule {
    Rule::new([
        Statement::DestinationAddress(Comparison::Equal, Network::host(frontend.vip)),
        Statement::DestinationPort(l4proto(frontend.protocol), frontend.port),
        Statement::SourceAddress(Comparison::Unequal, network(CLUSTER_CIDR)),
        Statement::Verdict(Verdict::Jump(MARK_CHAIN.clone())),
    ])
}

/// Chooses one of `chains` evenly.
pub(super) fn choice_rule(chains: &[Name]) -> Rule {
    let entries = (0u32..)
        .zip(chains)
        .map(|(number, chain)| (number, Verdict::Goto(chain.clone())))
        .collect();
    Rule::new([Statement::RandomVmap {
        modulus: chains.len() as u32,
        entries,
    }])
}

/// The two rules of an endpoint chain: masquerade what an endpoint sends to itself, and translate.
pub(super) fn endpoint_rules(protocol: Protocol, endpoint: Endpoint) -> [Rule; 2] {
    [
        Rule::new([
            Statement::SourceAddress(Comparison::Equal, Network::host(endpoint.address)),
            Statement::Verdict(Verdict::Jump(MARK_CHAIN.clone())),
        ]),
        Rule::new([
            Statement::L4Proto(l4proto(protocol)),
            Statement::Dnat(SocketAddrV4::new(endpoint.address, endpoint.port)),
        ]),
    ]
}
