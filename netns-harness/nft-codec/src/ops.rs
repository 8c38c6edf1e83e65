//! The vocabulary: operations on a table of the ip or the ip6 family and the statements of its rules;
//! exactly what kube-proxy's layout needs.
//!
//! Addresses are of either family in the types; in a table one of the other family is refused
//! ([`crate::EncodeError::OtherFamily`]). Statements say nothing of the family, which is the table's: where
//! they are described below as those of family ip, read `ip6` for the other.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::family::TableFamily;
use crate::intervals;
use crate::names::{Comment, Name};
pub use crate::network::Network;

/// One operation: one command line of a script, one or more netlink messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Op {
    /// Family of the table on which it acts.
    pub family: TableFamily,
    /// Name of that table.
    pub table: Name,
    /// What is done.
    pub act: Act,
}

/// What an operation does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Adds the table unless it is there, with a comment for listings.
    AddTable(Option<Comment>),
    /// Deletes the table with everything in it.
    DeleteTable,
    /// Adds a chain unless it is there: where it hangs (`None`: reached by jumps only), and its comment.
    AddChain(Name, Option<BaseChain>, Option<Comment>),
    /// Deletes every rule of a chain.
    FlushChain(Name),
    /// Deletes a chain that nothing refers to.
    DeleteChain(Name),
    /// Adds a named set or verdict map unless it is there. No size is declared: a size would let the
    /// kernel choose another backend (`nft_set_hash.c`: fixed size, `nft_hash_fast`).
    AddSet(SetSpec),
    /// Deletes every element of a set or map; whether it is a verdict map, scripts say.
    FlushSet(Name, bool),
    /// Deletes a set or map that nothing refers to; whether it is a verdict map, scripts say.
    DeleteSet(Name, bool),
    /// Adds a named counter unless it is there.
    AddCounter(Name),
    /// Deletes a named counter that no rule uses.
    DeleteCounter(Name),
    /// Adds elements, at least one, to a set or map.
    AddElements(Name, Vec<Element>),
    /// Deletes elements of a set or map by their keys, at least one.
    DeleteElements(Name, Vec<Key>),
    /// Adds intervals, at least one, to a set that was made for them, each by its first and its last key.
    AddIntervals(Name, Vec<[Key; 2]>),
    /// Deletes intervals of such a set, at least one.
    DeleteIntervals(Name, Vec<[Key; 2]>),
    /// Appends a rule to a chain.
    AddRule(Name, Rule),
}

/// Where a base chain hangs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BaseChain {
    /// Its type.
    pub kind: ChainKind,
    /// The hook that calls it.
    pub hook: Hook,
    /// Smaller runs earlier; -100 is `dstnat`, 100 is `srcnat` (enum nf_ip_hook_priorities).
    pub priority: i32,
    /// What happens to a packet that falls off its end.
    pub policy: Policy,
}

/// Type of a base chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display, strum::EnumString)]
#[strum(serialize_all = "lowercase")]
pub enum ChainKind {
    /// Sees every packet.
    Filter,
    /// Sees the first packet of each connection.
    Nat,
    /// Reroutes when it changed the packet.
    Route,
}

/// A netfilter hook of the IPv4 and the IPv6 stack, in the order of their numbers (enum nf_inet_hooks).
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display, strum::EnumString, strum::FromRepr)]
#[strum(serialize_all = "lowercase")]
#[repr(u32)]
pub enum Hook {
    /// Before the routing decision.
    Prerouting,
    /// To this host.
    Input,
    /// Through this host.
    Forward,
    /// From this host.
    Output,
    /// After the routing decision.
    Postrouting,
}

/// What happens to a packet that falls off the end of a base chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    /// It goes on.
    #[default]
    Accept,
    /// It is dropped.
    Drop,
}

/// A named set or verdict map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetSpec {
    /// Its name.
    pub name: Name,
    /// What its keys are made of.
    pub key: KeyType,
    /// Whether each element carries a verdict.
    pub verdicts: bool,
    /// How long an element stays in a set that rules fill (flags `dynamic,timeout`), whole seconds; `None`: elements are
    /// added by operations, and stay.
    pub timeout: Option<Duration>,
    /// Shown in listings.
    pub comment: Option<Comment>,
}

/// What the keys of a set are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, strum::VariantArray)]
pub enum KeyType {
    /// An address.
    Address,
    /// Address, protocol and port.
    AddressProtoPort,
    /// Two addresses, protocol and port.
    AddressesProtoPort,
    /// Protocol and port.
    ProtoPort,
}

/// A type of `nft`'s: its name, and its number (nft, datatype.h, enum datatypes).
type DataType = (&'static str, u32);
const PROTO: DataType = ("inet_proto", 12);
const SERVICE: DataType = ("inet_service", 13);

const fn address_type(family: TableFamily) -> DataType {
    match family {
        TableFamily::Ip => ("ipv4_addr", 7),
        TableFamily::Ip6 => ("ipv6_addr", 8),
    }
}

/// The number of a concatenation: 6 bits a field, first field highest (nft, datatype.h).
fn concatenation(fields: &[DataType]) -> u32 {
    fields
        .iter()
        .fold(0, |number, (_, field)| number << 6 | field)
}

/// The number of `ipv4_addr . inet_service`, or that of IPv6, and its length in bytes: data of a map that `dnat` takes
/// from.
pub(crate) fn address_and_port(family: TableFamily) -> (u32, u32) {
    let number = concatenation(&[address_type(family), SERVICE]);
    (number, family.address_len() as u32 + 4)
}

impl KeyType {
    fn fields(self, family: TableFamily) -> Vec<DataType> {
        let address = address_type(family);
        match self {
            Self::Address => vec![address],
            Self::AddressProtoPort => vec![address, PROTO, SERVICE],
            Self::AddressesProtoPort => vec![address, address, PROTO, SERVICE],
            Self::ProtoPort => vec![PROTO, SERVICE],
        }
    }

    /// As scripts name it in a table of that family: `ipv4_addr . inet_proto . inet_service`.
    #[must_use]
    pub fn name(self, family: TableFamily) -> String {
        let fields = self.fields(family);
        let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
        names.join(" . ")
    }

    /// The type's number for `nft`'s listing.
    pub(crate) fn number(self, family: TableFamily) -> u32 {
        concatenation(&self.fields(family))
    }

    /// How many addresses a key begins with.
    pub(crate) const fn addresses(self) -> usize {
        match self {
            Self::Address | Self::AddressProtoPort => 1,
            Self::AddressesProtoPort => 2,
            Self::ProtoPort => 0,
        }
    }
}

/// A key of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// Of type [`KeyType::Address`].
    Address(IpAddr),
    /// Of type [`KeyType::AddressProtoPort`].
    AddressProtoPort(IpAddr, L4Proto, u16),
    /// Of type [`KeyType::AddressesProtoPort`].
    AddressesProtoPort([IpAddr; 2], L4Proto, u16),
    /// Of type [`KeyType::ProtoPort`].
    ProtoPort(L4Proto, u16),
}

impl Op {
    /// Whether it names an address that is not of its table's family: the kernel would refuse it.
    #[must_use]
    pub fn names_other_family(&self) -> bool {
        let other = |address: IpAddr| !self.family.holds(address);
        match &self.act {
            Act::AddElements(_, elements) => elements.iter().any(|e| e.key.names(other)),
            Act::DeleteElements(_, keys) => keys.iter().any(|key| key.names(other)),
            Act::AddIntervals(_, intervals) | Act::DeleteIntervals(_, intervals) => {
                intervals.as_flattened().iter().any(|key| key.names(other))
            }
            Act::AddRule(_, rule) => rule.statements.iter().any(|s| s.names(other)),
            _ => false,
        }
    }
}

impl Statement {
    /// Whether it names such an address.
    fn names(&self, such: impl Fn(IpAddr) -> bool) -> bool {
        match self {
            Self::SourceAddress(_, network) | Self::DestinationAddress(_, network) => {
                such(network.address)
            }
            Self::SourceOutside(networks) => networks.iter().any(|n| such(n.address)),
            Self::RandomDnat(_, entries) => entries.iter().any(|(_, to)| such(to.ip())),
            Self::Dnat(to) => such(to.ip()),
            _ => false,
        }
    }
}

impl Key {
    /// Whether it names such an address.
    fn names(self, such: impl Fn(IpAddr) -> bool) -> bool {
        match self {
            Self::Address(address) | Self::AddressProtoPort(address, ..) => such(address),
            Self::AddressesProtoPort(both, ..) => both.into_iter().any(such),
            Self::ProtoPort(..) => false,
        }
    }

    /// The type whose key this is.
    #[must_use]
    pub const fn key_type(self) -> KeyType {
        match self {
            Self::Address(_) => KeyType::Address,
            Self::AddressProtoPort(..) => KeyType::AddressProtoPort,
            Self::AddressesProtoPort(..) => KeyType::AddressesProtoPort,
            Self::ProtoPort(..) => KeyType::ProtoPort,
        }
    }
}

/// An element of a set or verdict map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    /// Its key.
    pub key: Key,
    /// Its verdict; `None` in a plain set.
    pub verdict: Option<Verdict>,
    /// Shown in listings.
    pub comment: Option<Comment>,
}

impl Element {
    /// An element without a comment.
    #[must_use]
    pub const fn new(key: Key, verdict: Option<Verdict>) -> Self {
        Self {
            key,
            verdict,
            comment: None,
        }
    }
}

/// An IP protocol number (IANA).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct L4Proto(pub u8);

impl L4Proto {
    /// Transmission Control Protocol.
    pub const TCP: Self = Self(6);
    /// User Datagram Protocol.
    pub const UDP: Self = Self(17);
}

/// A rule: statements from left to right.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rule {
    /// Matches and what is done.
    pub statements: Vec<Statement>,
    /// Shown in listings.
    pub comment: Option<Comment>,
}

impl Rule {
    /// A rule without a comment.
    #[must_use]
    pub fn new(statements: impl Into<Vec<Statement>>) -> Self {
        Self {
            statements: statements.into(),
            comment: None,
        }
    }

    /// It as it is listed: of networks that a source must be outside of, the fewest that hold the same addresses, and
    /// a single one as a comparison (nft, `optimize_singleton_set` in evaluate.c).
    #[must_use]
    pub fn listed(&self) -> Self {
        let statements = self.statements.iter().map(|statement| match statement {
            Statement::SourceOutside(networks) => match intervals::fewest(networks)[..] {
                [one] => Statement::SourceAddress(Comparison::Unequal, one),
                ref fewest => Statement::SourceOutside(fewest.to_vec()),
            },
            other => other.clone(),
        });
        Self {
            statements: statements.collect(),
            comment: self.comment.clone(),
        }
    }
}

/// Whether a match wants equality.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `==`, written as nothing.
    Equal,
    /// `!=`.
    Unequal,
}

/// A connection tracking state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display, strum::EnumString)]
#[strum(serialize_all = "lowercase")]
pub enum CtState {
    /// Belongs to no connection.
    Invalid,
    /// Begins a connection.
    New,
}

/// One statement of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statement {
    /// `ip saddr [!=] NETWORK`.
    SourceAddress(Comparison, Network),
    /// `ip daddr [!=] NETWORK`.
    DestinationAddress(Comparison, Network),
    /// `ip saddr != { NETWORK, NETWORK }`: the source is in none of them, at least one. Of several the kernel has an
    /// anonymous set of intervals, which says nothing of how they were written ([`Rule::listed`]).
    SourceOutside(Vec<Network>),
    /// `meta l4proto PROTO`.
    L4Proto(L4Proto),
    /// `th dport PORT`: whatever the protocol.
    TransportPort(u16),
    /// `tcp dport PORT` or `udp dport PORT`: protocol and port. Equal bytecode to `meta l4proto PROTO
    /// th dport PORT`; that pair is always read back as this.
    DestinationPort(L4Proto, u16),
    /// `ct state STATE`.
    CtState(CtState),
    /// `ct status dnat`: the packet is of a connection whose destination was replaced.
    IsDnatted,
    /// `meta mark & MASK == VALUE`, or `!=`.
    MarkAnd(u32, Comparison, u32),
    /// `fib daddr type local`: the destination is an address of this host.
    DestinationIsLocal,
    /// `fib saddr type local`: the source is an address of this host.
    SourceIsLocal,
    /// `ip saddr @SET`.
    SourceInSet(Name),
    /// `update @SET { ip saddr }`: the source is put into a set with a timeout, which begins anew.
    UpdateWithSource(Name),
    /// `ip daddr @SET`.
    DestinationInSet(Name),
    /// `ip saddr . ip daddr . meta l4proto . th dport @SET`.
    ConnectionInSet(Name),
    /// `ip daddr . meta l4proto . th dport vmap @MAP`.
    ServiceVmap(Name),
    /// `meta l4proto . th dport vmap @MAP`.
    NodePortVmap(Name),
    /// `numgen random mod N vmap { 0 : goto a, 1 : goto b }`: an anonymous constant map. A number
    /// without an entry falls through to the next rule.
    /// N is at least 1, numbers ascend, and there is at least one.
    RandomVmap(u32, Vec<(u32, Verdict)>),
    /// `dnat ip addr . port to numgen random mod N map { 0 : ADDRESS . PORT }`: as [`Statement::RandomVmap`], to
    /// addresses.
    RandomDnat(u32, Vec<(u32, SocketAddr)>),
    /// `meta mark set meta mark | BITS`.
    MarkOr(u32),
    /// `meta mark set meta mark ^ BITS`.
    MarkXor(u32),
    /// `counter`: counts what reaches it; packets and bytes counted so far.
    Counter(u64, u64),
    /// `dnat to ADDRESS:PORT`, `dnat to [ADDRESS]:PORT`.
    Dnat(SocketAddr),
    /// `masquerade fully-random`.
    MasqueradeFullyRandom,
    /// `reject`: ICMP or ICMPv6 port unreachable.
    Reject,
    /// An absolute verdict.
    Verdict(Verdict),
    /// An expression of the kernel's listing that is none of the above. Can be neither encoded nor
    /// put in a script.
    Unknown(String),
}

/// What becomes of the packet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It leaves this base chain's hook accepted.
    Accept,
    /// It is dropped.
    Drop,
    /// Back to the calling chain.
    Return,
    /// To a chain, and back at its end.
    Jump(Name),
    /// To a chain, not back.
    Goto(Name),
}

impl Verdict {
    /// The chain it leads to.
    #[must_use]
    pub const fn chain(&self) -> Option<&Name> {
        match self {
            Self::Jump(chain) | Self::Goto(chain) => Some(chain),
            Self::Accept | Self::Drop | Self::Return => None,
        }
    }
}
