//! The layout as operations: what is the same in every cluster, and what each service adds.

use std::net::SocketAddrV4;
use std::sync::LazyLock;

use data_encoding::BASE32;
use nft_codec::{
    Act, Comment, Comparison, Element, EncodedBatch, Key, L4Proto, Name, Network, Op, Rule,
    Statement, Verdict, parse_script,
};
use schema::Protocol;
use sha2::{Digest as _, Sha256};

use super::ENCODABLE;
use crate::service::{CLUSTER_CIDR, Endpoint, Frontend, Service};

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

/// What a full sync writes whatever the services, as kube-proxy writes it (`setupNFTables`): table, chains,
/// sets, maps and rules; what was in the chains, sets and maps is flushed. The filters before DNAT see the
/// packet's VIP, the one after it sees where the packet goes. kube-proxy's `--nftables-masquerade-bit` is 14.
static BASE: LazyLock<Vec<Op>> =
    LazyLock::new(|| parse_script(include_str!("base.nft")).expect("a script of our own"));

/// Which full sync of a kube-proxy's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FullSync {
    /// At its start.
    First,
    /// Any later one: once an hour (`FullSyncPeriod`), or after a failure.
    Later,
}

/// Names that nearly every operation holds: shared, not copied.
static TABLE_NAME: LazyLock<Name> = LazyLock::new(|| Name::new(TABLE));
static MARK_CHAIN: LazyLock<Name> = LazyLock::new(|| Name::new("mark-for-masquerade"));
static CLUSTER_IPS_NAME: LazyLock<Name> = LazyLock::new(|| Name::new(CLUSTER_IPS));
static SERVICE_IPS_NAME: LazyLock<Name> = LazyLock::new(|| Name::new(SERVICE_IPS));

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
    ops.push(op(Act::AddChain(chain.clone(), None, None)));
    ops.push(op(Act::FlushChain(chain.clone())));
}

/// Chains that hang on a hook, in kube-proxy's order.
pub(super) fn base_chains() -> impl Iterator<Item = &'static Name> {
    BASE.iter().filter_map(|op| match &op.act {
        Act::AddChain(chain, Some(_), ..) => Some(chain),
        _ => None,
    })
}

/// Everything but the services.
pub(super) fn base(sync: FullSync) -> Vec<Op> {
    let Some((table, rest)) = BASE.split_first() else {
        return Vec::new();
    };
    let mut ops = Vec::with_capacity(128);
    ops.push(table.clone());
    if sync == FullSync::First {
        // A base chain's priority cannot be changed, so chains of another kube-proxy are removed first; once
        // in the life of a process (`proxier.flushed`).
        ops.extend(base_chains().cloned().flat_map(|chain| {
            let add = op(Act::AddChain(chain.clone(), None, None));
            [add, op(Act::DeleteChain(chain))]
        }));
    }
    ops.extend_from_slice(rest);
    ops
}

/// Reads the base before anything asks for it.
pub(super) fn ready() {
    LazyLock::force(&BASE);
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
        let reject = Some(Verdict::Goto(Name::new(REJECT_CHAIN)));
        let element = Element {
            comment: Some(Comment::new(&service.port_name())),
            ..Element::new(key, reject)
        };
        return (Name::new(NO_ENDPOINT_SERVICES), element);
    }
    let verdict = Some(Verdict::Goto(service_chain(service)));
    (SERVICE_IPS_NAME.clone(), Element::new(key, verdict))
}

/// The element of a VIP in `cluster-ips`.
pub(super) fn cluster_ip(frontend: Frontend) -> (Name, Element) {
    let element = Element::new(Key::Address(frontend.vip), None);
    (CLUSTER_IPS_NAME.clone(), element)
}

/// Masquerades what comes from outside the cluster, so that answers come back through this node.
pub(super) fn off_cluster_rule(frontend: Frontend) -> Rule {
    Rule::new([
        Statement::DestinationAddress(Comparison::Equal, Network::host(frontend.vip)),
        Statement::DestinationPort(l4proto(frontend.protocol), frontend.port),
        Statement::SourceAddress(
            Comparison::Unequal,
            Network::new(CLUSTER_CIDR.network, CLUSTER_CIDR.prefix),
        ),
        Statement::Verdict(Verdict::Jump(MARK_CHAIN.clone())),
    ])
}

/// Chooses one of `chains` evenly.
pub(super) fn choice_rule(chains: &[Name]) -> Rule {
    let entries = (0u32..)
        .zip(chains)
        .map(|(number, chain)| (number, Verdict::Goto(chain.clone())))
        .collect();
    Rule::new([Statement::RandomVmap(chains.len() as u32, entries)])
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
