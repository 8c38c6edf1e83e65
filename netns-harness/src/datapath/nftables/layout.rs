//! Layouts as operations: what is the same in every cluster, and what each service adds, by kube-proxy's version and the
//! family of the services.
//!
//! kube-proxy runs once for each family, with the same code: the rules of IPv6 are those of IPv4 in a table of family ip6,
//! with its addresses (`ipX`, `ipvX_addr` in `setupNFTables` and `syncProxyRules`; `TestOverallNFTablesRulesIPv6`).

use std::net::IpAddr;
use std::sync::LazyLock;

use data_encoding::BASE32;
use nft_codec::{
    Act, Comparison, Element, EncodedBatch, Key, L4Proto, Name, Network, Op, Rule, Statement,
    TableFamily, Verdict, parse_script,
};
use schema::{Family, KubeProxyVersion, Protocol};
use sha2::{Digest as _, Sha256};

use super::ENCODABLE;
use crate::service::{Cidr, Endpoint, Frontend, Plan, Service};

/// kube-proxy's table, of family ip or ip6.
pub(in crate::datapath) const TABLE: &str = "kube-proxy";
/// Where packets from other hosts enter the NAT rules.
pub(super) const NAT_PREROUTING: &str = "nat-prerouting";
/// Set of the addresses of this node that take node ports, which is filled anew in each full sync.
const NODEPORT_IPS: &str = "nodeport-ips";
/// Map from node port to the chain of what comes from outside.
pub(super) const SERVICE_NODEPORTS: &str = "service-nodeports";
/// Map from node ports without endpoints to what happens to their packets.
pub(super) const NO_ENDPOINT_NODEPORTS: &str = "no-endpoint-nodeports";
/// Map from load balancer addresses that not everybody may use to the chain that says who may.
pub(super) const FIREWALL_IPS: &str = "firewall-ips";
/// Set of the connections of this node's endpoints with themselves, from 1.36 on.
pub(super) const HAIRPIN_CONNECTIONS: &str = "hairpin-connections";
/// Set of the VIPs in use.
pub(super) const CLUSTER_IPS: &str = "cluster-ips";
/// Map from frontend to service chain.
pub(super) const SERVICE_IPS: &str = "service-ips";
/// Map from frontends without endpoints to what happens to their packets.
pub(super) const NO_ENDPOINT_SERVICES: &str = "no-endpoint-services";
/// Rejects.
pub(super) const REJECT_CHAIN: &str = "reject-chain";

/// How one version of kube-proxy lays out and syncs services of a family (`pkg/proxy/nftables/proxier.go`).
#[derive(Debug)]
pub(super) struct Layout {
    /// The version.
    pub(super) version: KubeProxyVersion,
    /// That of its table.
    pub(super) family: TableFamily,
    /// What a full sync writes whatever the services, as kube-proxy writes it (`setupNFTables`): table, chains,
    /// sets, maps and rules; what was in the chains is flushed. kube-proxy's `--nftables-masquerade-bit` is 14.
    base: Vec<Op>,
    services: Services,
    /// Whether a full sync asks for what is in its sets and maps and writes what differs (`readOrReset`); before
    /// 1.33 it empties and fills them.
    pub(super) reads_sets: bool,
    /// How it learns, in every sync, which chains and sets there are.
    pub(super) listing: Listing,
}

/// What leads from a service's chain to its endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Services {
    /// A chain for each endpoint, and first in the service's own a rule for what comes from outside of the cluster,
    /// which names the port or does not.
    Chains { names_port: bool },
    /// One rule that draws an endpoint; a single one is in a map too, or is not.
    Rule { maps_one: bool },
}

/// A listing of kube-proxy's, by the library through which it asks (sigs.k8s.io/knftables).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Listing {
    /// 0.0.17: `nft --json list chains FAMILY` and `nft --json list sets FAMILY`.
    ChainsAndSets,
    /// 0.0.21: `nft --json --terse list table FAMILY kube-proxy` (kubernetes PR 137501).
    Table,
    /// 0.0.22, gate NFTablesNetlink: dumps of chains and of sets, over netlink.
    Netlink,
}

impl Listing {
    /// Its command lines for tables of a family.
    pub(super) fn commands(self, family: TableFamily) -> Vec<Vec<String>> {
        let family = family.to_string();
        let family = family.as_str();
        match self {
            Self::ChainsAndSets => vec![
                words(&["nft", "--json", "list", "chains", family]),
                words(&["nft", "--json", "list", "sets", family]),
            ],
            Self::Table => vec![words(&[
                "nft", "--json", "--terse", "list", "table", family, TABLE,
            ])],
            Self::Netlink => Vec::new(),
        }
    }
}

/// A command line.
pub(super) fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

/// Reads the base and says what else is of a version: for both families, IPv4 first.
fn layout(
    version: KubeProxyVersion,
    base: &str,
    services: Services,
    reads_sets: bool,
    listing: Listing,
) -> [Layout; 2] {
    let base = parse_script(base).expect("a script of our own");
    [Family::Ipv4, Family::Ipv6].map(|family| Layout {
        version,
        family: table_family(family),
        base: base.iter().map(|op| of_family(op, family)).collect(),
        services,
        reads_sets,
        listing,
    })
}

/// What does in the table of a family what `op` does in that of IPv4: its addresses are those of the same places.
fn of_family(op: &Op, family: Family) -> Op {
    let (from, to) = (Plan::of(Family::Ipv4), Plan::of(family));
    let network = |network: &mut Network| {
        let places = [(from.services, to.services), (from.cluster, to.cluster)];
        let place = places.iter().find(|(from, _)| whole(*from) == *network);
        *network = whole(place.expect("a range of the address plan").1);
    };
    let mut op = Op {
        family: table_family(family),
        ..op.clone()
    };
    match &mut op.act {
        Act::AddRule(_, rule) => {
            for statement in &mut rule.statements {
                if let Statement::SourceAddress(_, there)
                | Statement::DestinationAddress(_, there) = statement
                {
                    network(there);
                }
            }
        }
        Act::AddElements(_, elements) => {
            for element in elements {
                if element.key == Key::Address(from.node()) {
                    element.key = Key::Address(to.node());
                }
            }
        }
        _ => {}
    }
    op
}

/// A range as rules name it.
pub(super) fn whole(range: Cidr) -> Network {
    Network::new(range.network, range.prefix)
}

/// The family of the table that services of a family are in.
pub(in crate::datapath) const fn table_family(family: Family) -> TableFamily {
    match family {
        Family::Ipv4 => TableFamily::Ip,
        Family::Ipv6 => TableFamily::Ip6,
    }
}

/// In the order of the versions, each for both families.
static LAYOUTS: LazyLock<[[Layout; 2]; KubeProxyVersion::ALL.len()]> = LazyLock::new(|| {
    use KubeProxyVersion::{V1_32, V1_33, V1_34, V1_35, V1_36, V1_37};
    use Services::{Chains, Rule};
    let bases = [
        include_str!("base/1.32.nft"),
        include_str!("base/1.33.nft"),
        include_str!("base/1.36.nft"),
        include_str!("base/1.37.nft"),
    ];
    let (with_port, without) = (Chains { names_port: true }, Chains { names_port: false });
    let (maps_all, maps_some) = (Rule { maps_one: true }, Rule { maps_one: false });
    [
        layout(V1_32, bases[0], with_port, false, Listing::ChainsAndSets),
        layout(V1_33, bases[1], with_port, true, Listing::Table),
        layout(V1_34, bases[1], without, true, Listing::ChainsAndSets),
        layout(V1_35, bases[1], without, true, Listing::Table),
        layout(V1_36, bases[2], maps_all, true, Listing::Table),
        layout(V1_37, bases[3], maps_some, true, Listing::Netlink),
    ]
});

/// Which full sync of a kube-proxy's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FullSync {
    /// At its start.
    First,
    /// Any later one: once an hour (`FullSyncPeriod`), or after a failure.
    Later,
}

/// kube-proxy's `--nftables-masquerade-bit` of 14.
const MARK: u32 = 1 << 14;

/// Names that nearly every operation holds: shared, not copied.
static TABLE_NAME: LazyLock<Name> = LazyLock::new(|| Name::new(TABLE));
static MARK_CHAIN: LazyLock<Name> = LazyLock::new(|| Name::new("mark-for-masquerade"));
static CLUSTER_IPS_NAME: LazyLock<Name> = LazyLock::new(|| Name::new(CLUSTER_IPS));
static SERVICE_IPS_NAME: LazyLock<Name> = LazyLock::new(|| Name::new(SERVICE_IPS));

impl Layout {
    /// That of a version, for services of a family.
    pub(super) fn of(version: KubeProxyVersion, family: Family) -> &'static Self {
        &LAYOUTS[version as usize][family as usize]
    }

    /// An operation on kube-proxy's table.
    pub(super) fn op(&self, act: Act) -> Op {
        Op {
            family: self.family,
            table: TABLE_NAME.clone(),
            act,
        }
    }

    /// The transaction that removes everything.
    pub(super) fn delete_table(&self) -> EncodedBatch {
        EncodedBatch::encode(vec![self.op(Act::DeleteTable)]).expect(ENCODABLE)
    }

    /// `chain`, existing and empty.
    pub(super) fn ensure_chain(&self, ops: &mut Vec<Op>, chain: &Name) {
        ops.push(self.op(Act::AddChain(chain.clone(), None, None)));
        ops.push(self.op(Act::FlushChain(chain.clone())));
    }

    /// Chains that hang on a hook, in kube-proxy's order.
    pub(super) fn base_chains(&self) -> impl Iterator<Item = &Name> {
        self.base.iter().filter_map(|op| match &op.act {
            Act::AddChain(chain, Some(_), ..) => Some(chain),
            _ => None,
        })
    }

    /// Everything but the services.
    pub(super) fn base(&self, sync: FullSync) -> Vec<Op> {
        let Some((table, rest)) = self.base.split_first() else {
            return Vec::new();
        };
        let mut ops = Vec::with_capacity(128);
        ops.push(table.clone());
        if sync == FullSync::First {
            // A base chain's priority cannot be changed, so chains of another kube-proxy are removed first; once
            // in the life of a process (`proxier.flushed`).
            ops.extend(self.base_chains().cloned().flat_map(|chain| {
                let add = self.op(Act::AddChain(chain.clone(), None, None));
                [add, self.op(Act::DeleteChain(chain))]
            }));
        }
        ops.extend_from_slice(rest);
        ops
    }

    /// Sets and maps of services, which a full sync reads: name, and whether it is a map.
    pub(super) fn filled(&self) -> impl Iterator<Item = (&Name, bool)> {
        let stays = |name: &Name| {
            let mut acts = self.base.iter().map(|op| &op.act);
            name.as_str() != NODEPORT_IPS
                && !acts.any(|act| matches!(act, Act::DeleteSet(gone, _) if gone == name))
        };
        self.base.iter().filter_map(move |op| match &op.act {
            Act::AddSet(set) if stays(&set.name) => Some((&set.name, set.verdicts)),
            _ => None,
        })
    }

    /// Whether every endpoint has a chain of its own; otherwise only those of services with session affinity have.
    pub(super) fn has_endpoint_chains(&self) -> bool {
        matches!(self.services, Services::Chains { .. })
    }

    /// Whether endpoints of a service have chains of their own.
    pub(super) fn has_chains_of(&self, service: &Service) -> bool {
        self.has_endpoint_chains() || service.exposure.affinity_s.is_some()
    }

    /// Marks a packet for masquerading.
    pub(super) fn mark(&self) -> Statement {
        match self.has_endpoint_chains() {
            true => Statement::Verdict(Verdict::Jump(MARK_CHAIN.clone())),
            false => Statement::MarkOr(MARK),
        }
    }

    /// Masquerades what comes from outside the cluster, so that answers come back through this node: where endpoints
    /// have chains, each service's first rule.
    pub(super) fn off_cluster_rule(&self, frontend: Frontend) -> Rule {
        let vip = Statement::DestinationAddress(Comparison::Equal, Network::host(frontend.vip));
        let port = Statement::DestinationPort(l4proto(frontend.protocol), frontend.port);
        let outside = whole(Plan::of(frontend.family()).cluster);
        let mut statements = vec![vip];
        statements.extend((self.services == Services::Chains { names_port: true }).then_some(port));
        statements.push(Statement::SourceAddress(Comparison::Unequal, outside));
        statements.push(self.mark());
        Rule::new(statements)
    }

    /// Draws one of `endpoints` evenly and translates to it.
    pub(super) fn draw_rule(&self, protocol: Protocol, endpoints: &[Endpoint]) -> Rule {
        let maps_one = self.services == Services::Rule { maps_one: true };
        let translate = match endpoints {
            [endpoint] if !maps_one => Statement::Dnat(endpoint.socket()),
            _ => {
                let entries = (0u32..)
                    .zip(endpoints.iter().map(Endpoint::socket))
                    .collect();
                Statement::RandomDnat(endpoints.len() as u32, entries)
            }
        };
        Rule::new([Statement::L4Proto(l4proto(protocol)), translate])
    }
}

/// Reads the bases before anything asks for them.
pub(super) fn ready() {
    LazyLock::force(&LAYOUTS);
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
    chain_of("service", service)
}

/// Chain of a service of that kind.
pub(super) fn chain_of(kind: &str, service: &Service) -> Name {
    hashed(kind, &base_name(service))
}

/// Chains of a service's endpoints, in their order; an endpoint listed twice has one chain.
#[cfg(test)]
pub(super) fn endpoint_chains(service: &Service) -> Vec<Name> {
    names_of("endpoint", service, &service.endpoints)
}

/// Names of that kind of some endpoints of a service, in their order. No name holds a colon: points stand in place of
/// those of IPv6 (`servicePortEndpointChainNameBase`).
pub(super) fn names_of(kind: &str, service: &Service, endpoints: &[Endpoint]) -> Vec<Name> {
    let base = base_name(service);
    let name = |endpoint: &Endpoint| {
        let name = match endpoint.address {
            IpAddr::V4(address) => format!("{base}__{address}/{}", endpoint.port),
            IpAddr::V6(address) => {
                let address = address.to_string().replace(':', ".");
                format!("{base}__{address}/{}", endpoint.port)
            }
        };
        hashed(kind, &name)
    };
    endpoints.iter().map(name).collect()
}

/// A frontend's key in the service maps.
pub(super) const fn key(frontend: Frontend) -> Key {
    Key::AddressProtoPort(frontend.vip, l4proto(frontend.protocol), frontend.port)
}

/// The element that sends what comes to a frontend to a chain.
pub(super) fn service_element(frontend: Frontend, chain: Name) -> (Name, Element) {
    let verdict = Some(Verdict::Goto(chain));
    (
        SERVICE_IPS_NAME.clone(),
        Element::new(key(frontend), verdict),
    )
}

/// The element of a VIP in `cluster-ips`.
pub(super) fn cluster_ip(frontend: Frontend) -> (Name, Element) {
    let element = Element::new(Key::Address(frontend.vip), None);
    (CLUSTER_IPS_NAME.clone(), element)
}

/// Chooses one of `chains` evenly.
pub(super) fn choice_rule(chains: &[Name]) -> Rule {
    let entries = (0u32..)
        .zip(chains)
        .map(|(number, chain)| (number, Verdict::Goto(chain.clone())))
        .collect();
    Rule::new([Statement::RandomVmap(chains.len() as u32, entries)])
}

impl Layout {
    /// The rules of an endpoint's chain: masquerade what it sends to itself, before 1.36; remember the client in the set
    /// of an affinity; translate.
    pub(super) fn endpoint_rules(
        &self,
        protocol: Protocol,
        endpoint: Endpoint,
        affinity: Option<Name>,
    ) -> Vec<Rule> {
        let mut rules = Vec::with_capacity(3);
        if self.has_endpoint_chains() {
            rules.push(Rule::new([
                Statement::SourceAddress(Comparison::Equal, Network::host(endpoint.address)),
                self.mark(),
            ]));
        }
        rules.extend(affinity.map(|set| Rule::new([Statement::UpdateWithSource(set)])));
        rules.push(Rule::new([
            Statement::L4Proto(l4proto(protocol)),
            Statement::Dnat(endpoint.socket()),
        ]));
        rules
    }
}
