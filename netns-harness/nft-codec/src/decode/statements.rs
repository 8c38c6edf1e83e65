//! Runs of expressions as statements: the reverse of what `nft` and the encoder make of them.

use std::net::{Ipv4Addr, SocketAddrV4};

use super::expressions::Expr::{self, *};
use super::{Choice, Sets};
use crate::names::Name;
use crate::ops::{Comparison, CtState, L4Proto, Network, Statement};

/// enum nft_payload_bases.
const NETWORK: u32 = 1;
const TRANSPORT: u32 = 2;
/// enum nft_meta_keys.
const MARK: u32 = 3;
const L4PROTO: u32 = 16;
/// enum nft_registers: 0 is the verdict, 1 the first data register, 9 and 10 the second and third of
/// its 4-byte parts.
const VERDICT_REGISTER: u32 = 0;
/// enum nft_cmp_ops.
const EQUAL: u32 = 0;
const UNEQUAL: u32 = 1;
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
        let (statement, used) = with_lookup(rest, sets)
            .or_else(|| choice(rest, sets, choices))
            .or_else(|| address(rest))
            .or_else(|| transport(rest))
            .or_else(|| state(rest))
            .or_else(|| action(rest))
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

type Found = Option<(Statement, usize)>;

/// Statements that end in a set or map.
fn with_lookup(rest: &[Expr<'_>], sets: &Sets) -> Found {
    const DREG: Option<u32> = Some(VERDICT_REGISTER);
    let named = |set: &str| sets.named.contains(set).then(|| Name::new(set));
    match rest {
        [
            Payload {
                base: NETWORK,
                offset: 16,
                len: 4,
                dreg: 1,
            },
            MetaLoad {
                key: L4PROTO,
                dreg: 9,
            },
            Payload {
                base: TRANSPORT,
                offset: 2,
                len: 2,
                dreg: 10,
            },
            Lookup {
                set,
                sreg: 1,
                dreg: DREG,
            },
            ..,
        ] => Some((Statement::ServiceVmap(named(set)?), 4)),
        [
            MetaLoad {
                key: L4PROTO,
                dreg: 1,
            },
            Payload {
                base: TRANSPORT,
                offset: 2,
                len: 2,
                dreg: 9,
            },
            Lookup {
                set,
                sreg: 1,
                dreg: DREG,
            },
            ..,
        ] => Some((Statement::NodePortVmap(named(set)?), 3)),
        [
            Payload {
                base: NETWORK,
                offset: 16,
                len: 4,
                dreg: 1,
            },
            Lookup {
                set,
                sreg: 1,
                dreg: None,
            },
            ..,
        ] => Some((Statement::DestinationInSet(named(set)?), 2)),
        _ => None,
    }
}

/// A random choice, whose entries are still to be read.
fn choice(rest: &[Expr<'_>], sets: &Sets, choices: &mut Vec<Choice>) -> Found {
    let [
        Random { dreg: 1, modulus },
        Lookup {
            set,
            sreg: 1,
            dreg: Some(VERDICT_REGISTER),
        },
        ..,
    ] = rest
    else {
        return None;
    };
    let set = sets.anonymous.get(*set)?.clone();
    choices.push(Choice {
        set,
        modulus: *modulus,
    });
    Some((
        Statement::RandomVmap {
            modulus: *modulus,
            entries: Vec::new(),
        },
        2,
    ))
}

fn comparison(op: u32) -> Option<Comparison> {
    match op {
        EQUAL => Some(Comparison::Equal),
        UNEQUAL => Some(Comparison::Unequal),
        _ => None,
    }
}

/// `ip saddr` and `ip daddr`: whole, by masked bits or by leading bytes.
fn address(rest: &[Expr<'_>]) -> Found {
    let [
        Payload {
            base: NETWORK,
            offset: offset @ (12 | 16),
            len: len @ 1..=4,
            dreg: 1,
        },
        rest @ ..,
    ] = rest
    else {
        return None;
    };
    let (op, data, prefix, used) = match rest {
        [
            Bitwise {
                sreg: 1,
                dreg: 1,
                mask,
                xor: [0, 0, 0, 0],
            },
            Cmp { op, sreg: 1, data },
            ..,
        ] if *len == 4 => {
            let mask = word(mask)?;
            let prefix = mask.leading_ones();
            if mask.count_ones() != prefix {
                return None;
            }
            (op, data, prefix, 3)
        }
        [Cmp { op, sreg: 1, data }, ..] => (op, data, len * 8, 2),
        _ => return None,
    };
    if data.len() != *len as usize {
        return None;
    }
    let mut octets = [0; 4];
    octets[..data.len()].copy_from_slice(data);
    let network = Network {
        address: Ipv4Addr::from(octets),
        prefix: prefix as u8,
    };
    let comparison = comparison(*op)?;
    let statement = match offset {
        12 => Statement::SourceAddress(comparison, network),
        _ => Statement::DestinationAddress(comparison, network),
    };
    Some((statement, used))
}

/// Four bytes in network order.
fn word(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

/// Four bytes in the host's order.
fn host_word(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}

fn transport(rest: &[Expr<'_>]) -> Found {
    match rest {
        [
            MetaLoad {
                key: L4PROTO,
                dreg: 1,
            },
            Cmp {
                op: EQUAL,
                sreg: 1,
                data: [proto],
            },
            Payload {
                base: TRANSPORT,
                offset: 2,
                len: 2,
                dreg: 1,
            },
            Cmp {
                op: EQUAL,
                sreg: 1,
                data: [a, b],
            },
            ..,
        ] => Some((
            Statement::DestinationPort(L4Proto(*proto), u16::from_be_bytes([*a, *b])),
            4,
        )),
        [
            MetaLoad {
                key: L4PROTO,
                dreg: 1,
            },
            Cmp {
                op: EQUAL,
                sreg: 1,
                data: [proto],
            },
            ..,
        ] => Some((Statement::L4Proto(L4Proto(*proto)), 2)),
        [
            Payload {
                base: TRANSPORT,
                offset: 2,
                len: 2,
                dreg: 1,
            },
            Cmp {
                op: EQUAL,
                sreg: 1,
                data: [a, b],
            },
            ..,
        ] => Some((Statement::TransportPort(u16::from_be_bytes([*a, *b])), 2)),
        _ => None,
    }
}

/// Connection tracking state, mark, kind of destination.
fn state(rest: &[Expr<'_>]) -> Found {
    match rest {
        [
            ConntrackState { dreg: 1 },
            Bitwise {
                sreg: 1,
                dreg: 1,
                mask,
                xor: [0, 0, 0, 0],
            },
            Cmp {
                op: UNEQUAL,
                sreg: 1,
                data: [0, 0, 0, 0],
            },
            ..,
        ] => {
            let state = match host_word(mask)? {
                1 => CtState::Invalid,
                8 => CtState::New,
                _ => return None,
            };
            Some((Statement::CtState(state), 3))
        }
        [
            MetaLoad { key: MARK, dreg: 1 },
            Bitwise {
                sreg: 1,
                dreg: 1,
                mask,
                xor,
            },
            MetaSet { key: MARK, sreg: 1 },
            ..,
        ] => match (host_word(mask)?, host_word(xor)?) {
            (mask, xor) if mask == !xor => Some((Statement::MarkOr(xor), 3)),
            (u32::MAX, xor) => Some((Statement::MarkXor(xor), 3)),
            _ => None,
        },
        [
            MetaLoad { key: MARK, dreg: 1 },
            Bitwise {
                sreg: 1,
                dreg: 1,
                mask,
                xor: [0, 0, 0, 0],
            },
            Cmp { op, sreg: 1, data },
            ..,
        ] => {
            let (mask, value) = (host_word(mask)?, host_word(data)?);
            Some((
                Statement::MarkAnd {
                    mask,
                    comparison: comparison(*op)?,
                    value,
                },
                3,
            ))
        }
        [
            FibDestinationType { dreg: 1 },
            Cmp {
                op: EQUAL,
                sreg: 1,
                data,
            },
            ..,
        ] if **data == RTN_LOCAL => Some((Statement::DestinationIsLocal, 2)),
        _ => None,
    }
}

/// What is done with the packet.
fn action(rest: &[Expr<'_>]) -> Found {
    match rest {
        [
            Immediate {
                dreg: 1,
                data: [a, b, c, d],
            },
            Immediate {
                dreg: 2,
                data: [p, q],
            },
            Dnat {
                address: 1,
                port: 2,
                flags: PORT | ADDRESS_AND_PORT,
            },
            ..,
        ] => {
            let to = SocketAddrV4::new(Ipv4Addr::new(*a, *b, *c, *d), u16::from_be_bytes([*p, *q]));
            Some((Statement::Dnat(to), 3))
        }
        [
            Masquerade {
                flags: RANDOM_FULLY,
            },
            ..,
        ] => Some((Statement::MasqueradeFullyRandom, 1)),
        // NFT_REJECT_ICMP_UNREACH, ICMP_PORT_UNREACH.
        [Reject { kind: 0, code: 3 }, ..] => Some((Statement::Reject, 1)),
        [Verdict(verdict), ..] => Some((Statement::Verdict(verdict.clone()), 1)),
        [Counter { packets, bytes }, ..] => Some((
            Statement::Counter {
                packets: *packets,
                bytes: *bytes,
            },
            1,
        )),
        _ => None,
    }
}
