//! Runs of expressions as statements: the reverse of what `nft` and the encoder make of them.

use std::net::SocketAddr;

use super::expressions::{Expr, Expr::*, Source, Source::*};
use super::{Choice, Sets};
use crate::family::TableFamily;
use crate::names::Name;
use crate::ops::Comparison::{Equal, Unequal};
use crate::ops::{CtState, L4Proto, Network, Statement};

/// enum nft_payload_bases.
const NETWORK: u32 = 1;
const TRANSPORT: u32 = 2;
/// enum nft_meta_keys.
const MARK: u32 = 3;
const PROTO: Source = Meta(16);
const DPORT: Source = Payload(TRANSPORT, 2, 2);
/// enum nft_registers: 0 is the verdict, 1 the first data register; those of a concatenation's further fields depend
/// on the family.
const TO_VERDICT: Option<u32> = Some(0);
/// nf_conntrack_common.h.
const IPS_DST_NAT: u32 = 1 << 5;
/// include/uapi/linux/in.h: RTN_LOCAL, in the host's order.
const RTN_LOCAL: [u8; 4] = 2u32.to_ne_bytes();
/// nf_nat.h: NF_NAT_RANGE_PROTO_SPECIFIED, which `nft` sends, and with _MAP_IPS, which newer kernels add.
const PORT: u32 = 1 << 1;
const ADDRESS_AND_PORT: u32 = PORT | 1;
const RANDOM_FULLY: u32 = 1 << 4;

/// All statements of a rule. An expression that begins none becomes [`Statement::Unknown`].
pub(super) fn statements(
    mut rest: &[Expr<'_>],
    sets: &Sets,
    choices: &mut Vec<Choice>,
) -> Vec<Statement> {
    let mut found = Vec::with_capacity(4);
    while let [first, ..] = rest {
        let (statement, used) = with_lookup(rest, sets, choices)
            .or_else(|| address(rest, sets.family))
            .or_else(|| comparison(rest))
            .or_else(|| action(rest, sets.family))
            .unwrap_or_else(|| (unknown(first), 1));
        found.push(statement);
        rest = &rest[used..];
    }
    found
}

fn unknown(expression: &Expr<'_>) -> Statement {
    Statement::Unknown(match expression {
        Other(text) => text.clone(),
        known => format!("{known:?}"),
    })
}

/// A statement, and how many expressions it is.
type Found = Option<(Statement, usize)>;

/// Statements that end in a set or map. The entries of a random choice are still to be read.
fn with_lookup(rest: &[Expr<'_>], sets: &Sets, choices: &mut Vec<Choice>) -> Found {
    let named = |set: &str| sets.named.contains(set).then(|| Name::new(set));
    let (header, len) = (sets.family.header(), sets.family.address_len() as u32);
    let source = Payload(NETWORK, header.source, len);
    let destination = Payload(NETWORK, header.destination, len);
    let behind = |addresses, fields| sets.family.register_behind(addresses, fields);
    Some(match *rest {
        [
            Load(to, 1),
            Load(PROTO, proto),
            Load(DPORT, port),
            Lookup(map, 1, TO_VERDICT),
            ..,
        ] if (to, proto, port) == (destination, behind(1, 0), behind(1, 1)) => {
            (Statement::ServiceVmap(named(map)?), 4)
        }
        [
            Load(PROTO, 1),
            Load(DPORT, port),
            Lookup(map, 1, TO_VERDICT),
            ..,
        ] if port == behind(0, 1) => (Statement::NodePortVmap(named(map)?), 3),
        [
            Load(from, 1),
            Load(to, second),
            Load(PROTO, proto),
            Load(DPORT, port),
            Lookup(set, 1, None),
            ..,
        ] if (from, to) == (source, destination)
            && (second, proto, port) == (behind(1, 0), behind(2, 0), behind(2, 1)) =>
        {
            (Statement::ConnectionInSet(named(set)?), 5)
        }
        [Load(to, 1), Lookup(set, 1, None), ..] if to == destination => {
            (Statement::DestinationInSet(named(set)?), 2)
        }
        [Load(from, 1), Lookup(set, 1, None), ..] if from == source => {
            (Statement::SourceInSet(named(set)?), 2)
        }
        [Load(from, 1), Outside(set, 1), ..] if from == source => {
            let networks = sets.networks.get(set)?.clone();
            (Statement::SourceOutside(networks), 2)
        }
        [Load(from, 1), Update(set, 1), ..] if from == source => {
            (Statement::UpdateWithSource(named(set)?), 2)
        }
        [Load(Random(modulus), 1), Lookup(map, 1, TO_VERDICT), ..] => {
            let set = sets.anonymous.get(map)?.clone();
            choices.push(Choice { set, modulus });
            (Statement::RandomVmap(modulus, Vec::new()), 2)
        }
        [
            Load(Random(modulus), 1),
            Lookup(map, 1, Some(1)),
            Dnat(1, port, PORT | ADDRESS_AND_PORT),
            ..,
        ] if port == behind(1, 0) => {
            let set = sets.anonymous.get(map)?.clone();
            choices.push(Choice { set, modulus });
            (Statement::RandomDnat(modulus, Vec::new()), 3)
        }
        _ => return None,
    })
}

/// `ip saddr` and `ip daddr`: whole, by masked bits or by leading bytes.
fn address(rest: &[Expr<'_>], family: TableFamily) -> Found {
    let (header, whole) = (family.header(), family.address_len());
    let [Load(Payload(NETWORK, offset, len), 1), rest @ ..] = rest else {
        return None;
    };
    let (offset, len) = (*offset, *len as usize);
    let is_address = offset == header.source || offset == header.destination;
    if !is_address || len == 0 || len > whole {
        return None;
    }
    let (comparison, data, prefix, used) = match rest {
        [Bitwise(mask, xor), Cmp(1, comparison, data), ..] if len == whole => {
            if mask.len() != whole || xor.iter().any(|byte| *byte != 0) {
                return None;
            }
            (comparison, data, prefix(mask)?, 3)
        }
        [Cmp(1, comparison, data), ..] => (comparison, data, len as u32 * 8, 2),
        _ => return None,
    };
    if data.len() != len {
        return None;
    }
    let mut octets = [0; 16];
    octets[..data.len()].copy_from_slice(data);
    let network = Network {
        address: family.address(&octets[..whole])?,
        prefix: prefix as u8,
    };
    let statement = match offset == header.source {
        true => Statement::SourceAddress(*comparison, network),
        false => Statement::DestinationAddress(*comparison, network),
    };
    Some((statement, used))
}

/// Length of the prefix that a mask selects; `None` where it has ones behind a zero.
fn prefix(mask: &[u8]) -> Option<u32> {
    let ones: u32 = mask.iter().map(|byte| byte.count_ones()).sum();
    let mut rest = mask.iter().skip_while(|byte| **byte == 0xff);
    let leading = rest.next().map_or(0, |byte| byte.leading_ones());
    let full = mask.iter().take_while(|byte| **byte == 0xff).count() as u32 * 8;
    (full + leading == ones).then_some(ones)
}

/// Protocol, port, connection tracking state, mark, kind of destination.
fn comparison(rest: &[Expr<'_>]) -> Found {
    // Four bytes in the host's order.
    let word = |bytes: &[u8]| Some(u32::from_ne_bytes(bytes.try_into().ok()?));
    Some(match *rest {
        [
            Load(PROTO, 1),
            Cmp(1, Equal, &[proto]),
            Load(DPORT, 1),
            Cmp(1, Equal, &[a, b]),
            ..,
        ] => {
            let port = u16::from_be_bytes([a, b]);
            (Statement::DestinationPort(L4Proto(proto), port), 4)
        }
        [Load(PROTO, 1), Cmp(1, Equal, &[proto]), ..] => (Statement::L4Proto(L4Proto(proto)), 2),
        [Load(DPORT, 1), Cmp(1, Equal, &[a, b]), ..] => {
            (Statement::TransportPort(u16::from_be_bytes([a, b])), 2)
        }
        [
            Load(ConntrackState, 1),
            Bitwise(mask, [0, 0, 0, 0]),
            Cmp(1, Unequal, [0, 0, 0, 0]),
            ..,
        ] => match word(mask)? {
            1 => (Statement::CtState(CtState::Invalid), 3),
            8 => (Statement::CtState(CtState::New), 3),
            _ => return None,
        },
        [
            Load(ConntrackStatus, 1),
            Bitwise(mask, [0, 0, 0, 0]),
            Cmp(1, Unequal, [0, 0, 0, 0]),
            ..,
        ] if word(mask) == Some(IPS_DST_NAT) => (Statement::IsDnatted, 3),
        [Load(Meta(MARK), 1), Bitwise(mask, xor), Set(MARK, 1), ..] => {
            match (word(mask)?, word(xor)?) {
                (mask, xor) if mask == !xor => (Statement::MarkOr(xor), 3),
                (u32::MAX, xor) => (Statement::MarkXor(xor), 3),
                _ => return None,
            }
        }
        [
            Load(Meta(MARK), 1),
            Bitwise(mask, [0, 0, 0, 0]),
            Cmp(1, comparison, value),
            ..,
        ] => {
            let (mask, value) = (word(mask)?, word(value)?);
            let statement = Statement::MarkAnd(mask, comparison, value);
            (statement, 3)
        }
        [Load(FibDaddr, 1), Cmp(1, Equal, data), ..] if *data == RTN_LOCAL => {
            (Statement::DestinationIsLocal, 2)
        }
        [Load(FibSaddr, 1), Cmp(1, Equal, data), ..] if *data == RTN_LOCAL => {
            (Statement::SourceIsLocal, 2)
        }
        _ => return None,
    })
}

/// What is done with the packet.
fn action(rest: &[Expr<'_>], family: TableFamily) -> Found {
    Some(match rest {
        [
            Immediate(1, address),
            Immediate(2, [p, q]),
            Dnat(1, 2, PORT | ADDRESS_AND_PORT),
            ..,
        ] => {
            let to = SocketAddr::new(family.address(address)?, u16::from_be_bytes([*p, *q]));
            (Statement::Dnat(to), 3)
        }
        [Masquerade(RANDOM_FULLY), ..] => (Statement::MasqueradeFullyRandom, 1),
        // NFT_REJECT_ICMP_UNREACH.
        [Reject(0, code), ..] if *code == family.port_unreachable() => (Statement::Reject, 1),
        [Verdict(verdict), ..] => (Statement::Verdict(verdict.clone()), 1),
        [Counter(packets, bytes), ..] => {
            let (packets, bytes) = (*packets, *bytes);
            (Statement::Counter(packets, bytes), 1)
        }
        _ => return None,
    })
}
