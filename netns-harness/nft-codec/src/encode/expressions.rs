//! Statements as expressions, one function each: the nftnl crate's own where it has them, [`RawExpr`] where not.

use std::ffi::CStr;
use std::net::SocketAddrV4;
use std::ptr::NonNull;

use nftnl::Rule as NlRule;
use nftnl::expr::{
    Bitwise, Cmp, CmpOp, Conntrack, Counter, Expression, Immediate, Ipv4HeaderField, Meta,
    NetworkHeaderField, Payload, Register, TcpHeaderField, TransportHeaderField,
    Verdict as NlVerdict,
};
use nftnl::nftnl_sys as sys;

use super::alive;
use crate::names::Name;
use crate::ops::{Comparison, CtState, L4Proto, Network, Verdict};

/// A field of an expression, by libnftnl's number.
enum Field<'a> {
    U32(u32, u32),
    U8(u32, u8),
    Text(u32, &'a CStr),
    Word(u32, [u8; 4]),
}

/// An expression that the nftnl crate does not have, or has with fewer fields.
struct RawExpr<'a> {
    kind: &'static CStr,
    fields: Vec<Field<'a>>,
}

impl Expression for RawExpr<'_> {
    fn to_expr(&self, _rule: &NlRule) -> NonNull<sys::nftnl_expr> {
        // SAFETY: a fresh object of a kind that libnftnl knows (NULL, hence abort, if it does not);
        // each field has the type of its attribute; texts and words are copied.
        unsafe {
            let expr = alive(sys::nftnl_expr_alloc(self.kind.as_ptr()));
            for field in &self.fields {
                match *field {
                    Field::U32(attribute, value) => {
                        sys::nftnl_expr_set_u32(expr, attribute as u16, value)
                    }
                    Field::U8(attribute, value) => {
                        sys::nftnl_expr_set_u8(expr, attribute as u16, value)
                    }
                    Field::Text(attribute, text) => {
                        sys::nftnl_expr_set_str(expr, attribute as u16, text.as_ptr());
                    }
                    Field::Word(attribute, word) => {
                        sys::nftnl_expr_set(expr, attribute as u16, word.as_ptr().cast(), 4);
                    }
                }
            }
            NonNull::new_unchecked(expr)
        }
    }
}

impl<'a> RawExpr<'a> {
    /// `numgen reg 1 = random mod MODULUS`.
    fn random(modulus: u32) -> Self {
        Self {
            kind: c"numgen",
            fields: vec![
                Field::U32(sys::NFTNL_EXPR_NG_DREG, libc::NFT_REG_1 as u32),
                Field::U32(sys::NFTNL_EXPR_NG_MODULUS, modulus),
                Field::U32(sys::NFTNL_EXPR_NG_TYPE, libc::NFT_NG_RANDOM as u32),
                Field::U32(sys::NFTNL_EXPR_NG_OFFSET, 0),
            ],
        }
    }

    /// `lookup reg 1 set SET`, with the verdict register as destination in a verdict map.
    fn lookup(set: &'a CStr, id: Option<u32>, verdicts: bool) -> Self {
        let mut fields = vec![
            Field::U32(sys::NFTNL_EXPR_LOOKUP_SREG, libc::NFT_REG_1 as u32),
            Field::Text(sys::NFTNL_EXPR_LOOKUP_SET, set),
        ];
        if verdicts {
            fields.push(Field::U32(
                sys::NFTNL_EXPR_LOOKUP_DREG,
                libc::NFT_REG_VERDICT as u32,
            ));
        }
        if let Some(id) = id {
            fields.push(Field::U32(sys::NFTNL_EXPR_LOOKUP_SET_ID, id));
        }
        Self {
            kind: c"lookup",
            fields,
        }
    }

    /// `payload load LENb @ BASE header + OFFSET => reg REGISTER`.
    fn payload(base: u32, offset: u32, len: u32, register: u32) -> Self {
        Self {
            kind: c"payload",
            fields: vec![
                Field::U32(sys::NFTNL_EXPR_PAYLOAD_BASE, base),
                Field::U32(sys::NFTNL_EXPR_PAYLOAD_OFFSET, offset),
                Field::U32(sys::NFTNL_EXPR_PAYLOAD_LEN, len),
                Field::U32(sys::NFTNL_EXPR_PAYLOAD_DREG, register),
            ],
        }
    }

    /// `payload load 2b @ transport header + 2 => reg REGISTER`: the destination port.
    fn port(register: u32) -> Self {
        Self::payload(libc::NFT_PAYLOAD_TRANSPORT_HEADER as u32, 2, 2, register)
    }

    /// `meta load l4proto => reg REGISTER`.
    fn l4proto(register: u32) -> Self {
        Self {
            kind: c"meta",
            fields: vec![
                Field::U32(sys::NFTNL_EXPR_META_KEY, libc::NFT_META_L4PROTO as u32),
                Field::U32(sys::NFTNL_EXPR_META_DREG, register),
            ],
        }
    }
}

/// The second field of a concatenation goes to the next 4-byte register, the third behind it.
const NEXT_REGISTER: u32 = libc::NFT_REG32_00 as u32 + 1;

const DESTINATION_OFFSET: u32 = 16;
const SOURCE_OFFSET: u32 = 12;

/// `ip daddr @SET`. `id` of a set or map is that with which it was added in the same batch.
pub(super) fn destination_in(rule: &mut NlRule<'_>, set: &Name, id: Option<u32>) {
    rule.add_expr(&load_address(DESTINATION_OFFSET));
    rule.add_expr(&RawExpr::lookup(set.as_c_str(), id, false));
}

/// `ip daddr . meta l4proto . th dport vmap @MAP`.
pub(super) fn service_vmap(rule: &mut NlRule<'_>, map: &Name, id: Option<u32>) {
    rule.add_expr(&load_address(DESTINATION_OFFSET));
    rule.add_expr(&RawExpr::l4proto(NEXT_REGISTER));
    rule.add_expr(&RawExpr::port(NEXT_REGISTER + 1));
    rule.add_expr(&RawExpr::lookup(map.as_c_str(), id, true));
}

/// `meta l4proto . th dport vmap @MAP`.
pub(super) fn node_port_vmap(rule: &mut NlRule<'_>, map: &Name, id: Option<u32>) {
    rule.add_expr(&Meta::L4Proto);
    rule.add_expr(&RawExpr::port(NEXT_REGISTER));
    rule.add_expr(&RawExpr::lookup(map.as_c_str(), id, true));
}

/// `numgen random mod MODULUS vmap` with an anonymous map of the same batch.
pub(super) fn random_vmap(rule: &mut NlRule<'_>, modulus: u32, map: &CStr, id: u32) {
    rule.add_expr(&RawExpr::random(modulus));
    rule.add_expr(&RawExpr::lookup(map, Some(id), true));
}

pub(super) fn source(rule: &mut NlRule<'_>, comparison: Comparison, network: Network) {
    address(rule, SOURCE_OFFSET, comparison, network);
}

pub(super) fn destination(rule: &mut NlRule<'_>, comparison: Comparison, network: Network) {
    address(rule, DESTINATION_OFFSET, comparison, network);
}

pub(super) fn ct_state(rule: &mut NlRule<'_>, state: CtState) {
    let bit: u32 = match state {
        CtState::Invalid => 1,
        CtState::New => 8,
    };
    rule.add_expr(&Conntrack::State);
    rule.add_expr(&Bitwise::new(bit, 0u32));
    rule.add_expr(&Cmp::new(CmpOp::Neq, 0u32));
}

pub(super) fn mark_and(rule: &mut NlRule<'_>, mask: u32, comparison: Comparison, value: u32) {
    load_mark(rule, mask, 0);
    rule.add_expr(&Cmp::new(operator(comparison), value));
}

pub(super) fn destination_is_local(rule: &mut NlRule<'_>) {
    rule.add_expr(&RawExpr {
        kind: c"fib",
        fields: vec![
            Field::U32(sys::NFTNL_EXPR_FIB_FLAGS, FIB_DADDR),
            Field::U32(sys::NFTNL_EXPR_FIB_RESULT, FIB_RESULT_ADDRTYPE),
            Field::U32(sys::NFTNL_EXPR_FIB_DREG, libc::NFT_REG_1 as u32),
        ],
    });
    rule.add_expr(&Cmp::new(CmpOp::Eq, u32::from(libc::RTN_LOCAL)));
}

/// `(mark & ~bits) ^ bits`: what `or` is to the kernel.
pub(super) fn mark_or(rule: &mut NlRule<'_>, bits: u32) {
    load_mark(rule, !bits, bits);
    rule.add_expr(&Meta::Mark { set: true });
}

pub(super) fn mark_xor(rule: &mut NlRule<'_>, bits: u32) {
    load_mark(rule, u32::MAX, bits);
    rule.add_expr(&Meta::Mark { set: true });
}

pub(super) fn counter(rule: &mut NlRule<'_>, packets: u64, bytes: u64) {
    match (packets, bytes) {
        (0, 0) => rule.add_expr(&Counter),
        _ => rule.add_expr(&CountedFrom { packets, bytes }),
    }
}

pub(super) fn dnat(rule: &mut NlRule<'_>, to: SocketAddrV4) {
    rule.add_expr(&Immediate::new(to.ip().octets(), Register::Reg1));
    rule.add_expr(&Immediate::new(to.port().to_be_bytes(), Register::Reg2));
    rule.add_expr(&RawExpr {
        kind: c"nat",
        fields: vec![
            Field::U32(sys::NFTNL_EXPR_NAT_TYPE, libc::NFT_NAT_DNAT as u32),
            Field::U32(sys::NFTNL_EXPR_NAT_FAMILY, libc::NFPROTO_IPV4 as u32),
            Field::U32(sys::NFTNL_EXPR_NAT_REG_ADDR_MIN, libc::NFT_REG_1 as u32),
            Field::U32(sys::NFTNL_EXPR_NAT_REG_PROTO_MIN, libc::NFT_REG_2 as u32),
            Field::U32(sys::NFTNL_EXPR_NAT_FLAGS, NAT_RANGE_PROTO_SPECIFIED),
        ],
    });
}

pub(super) fn masquerade_fully_random(rule: &mut NlRule<'_>) {
    rule.add_expr(&RawExpr {
        kind: c"masq",
        fields: vec![Field::U32(
            sys::NFTNL_EXPR_MASQ_FLAGS,
            NAT_RANGE_PROTO_RANDOM_FULLY,
        )],
    });
}

pub(super) fn reject(rule: &mut NlRule<'_>) {
    rule.add_expr(&RawExpr {
        kind: c"reject",
        fields: vec![
            Field::U32(
                sys::NFTNL_EXPR_REJECT_TYPE,
                libc::NFT_REJECT_ICMP_UNREACH as u32,
            ),
            Field::U8(sys::NFTNL_EXPR_REJECT_CODE, ICMP_PORT_UNREACHABLE),
        ],
    });
}

/// NFTA_FIB_F_DADDR and NFT_FIB_RESULT_ADDRTYPE (nf_tables.h).
const FIB_DADDR: u32 = 1 << 1;
const FIB_RESULT_ADDRTYPE: u32 = 3;
/// NF_NAT_RANGE_PROTO_SPECIFIED and NF_NAT_RANGE_PROTO_RANDOM_FULLY (nf_nat.h).
const NAT_RANGE_PROTO_SPECIFIED: u32 = 1 << 1;
const NAT_RANGE_PROTO_RANDOM_FULLY: u32 = 1 << 4;
/// ICMP_PORT_UNREACH (RFC 792).
const ICMP_PORT_UNREACHABLE: u8 = 3;

const fn operator(comparison: Comparison) -> CmpOp {
    match comparison {
        Comparison::Equal => CmpOp::Eq,
        Comparison::Unequal => CmpOp::Neq,
    }
}

fn load_address(offset: u32) -> Payload {
    let field = if offset == SOURCE_OFFSET {
        Ipv4HeaderField::Saddr
    } else {
        Ipv4HeaderField::Daddr
    };
    Payload::Network(NetworkHeaderField::Ipv4(field))
}

/// As `nft` does: a prefix of whole bytes loads only those, any other is masked.
fn address(rule: &mut NlRule<'_>, offset: u32, comparison: Comparison, network: Network) {
    let octets = network.address.octets();
    match network.prefix {
        32 => {
            rule.add_expr(&load_address(offset));
            rule.add_expr(&Cmp::new(operator(comparison), &octets[..]));
        }
        prefix @ (8 | 16 | 24) => {
            let bytes = u32::from(prefix) / 8;
            rule.add_expr(&RawExpr::payload(
                libc::NFT_PAYLOAD_NETWORK_HEADER as u32,
                offset,
                bytes,
                libc::NFT_REG_1 as u32,
            ));
            rule.add_expr(&Cmp::new(operator(comparison), &octets[..bytes as usize]));
        }
        _ => {
            rule.add_expr(&load_address(offset));
            rule.add_expr(&Bitwise::new(
                &network.mask().to_be_bytes()[..],
                &[0u8; 4][..],
            ));
            rule.add_expr(&Cmp::new(operator(comparison), &octets[..]));
        }
    }
}

pub(super) fn l4proto(rule: &mut NlRule<'_>, proto: L4Proto) {
    rule.add_expr(&Meta::L4Proto);
    rule.add_expr(&Cmp::new(CmpOp::Eq, proto.0));
}

pub(super) fn port(rule: &mut NlRule<'_>, port: u16) {
    // TCP and UDP have their destination port in the same place.
    rule.add_expr(&Payload::Transport(TransportHeaderField::Tcp(
        TcpHeaderField::Dport,
    )));
    rule.add_expr(&Cmp::new(CmpOp::Eq, &port.to_be_bytes()[..]));
}

/// Loads `(mark & mask) ^ xor`.
fn load_mark(rule: &mut NlRule<'_>, mask: u32, xor: u32) {
    rule.add_expr(&Meta::Mark { set: false });
    // The nftnl crate's Bitwise leaves out the operation, which `nft` states for binary operators.
    rule.add_expr(&RawExpr {
        kind: c"bitwise",
        fields: vec![
            Field::U32(sys::NFTNL_EXPR_BITWISE_SREG, libc::NFT_REG_1 as u32),
            Field::U32(sys::NFTNL_EXPR_BITWISE_DREG, libc::NFT_REG_1 as u32),
            Field::U32(sys::NFTNL_EXPR_BITWISE_OP, 0), // NFT_BITWISE_BOOL: mask, then xor
            Field::U32(sys::NFTNL_EXPR_BITWISE_LEN, 4),
            Field::Word(sys::NFTNL_EXPR_BITWISE_MASK, mask.to_ne_bytes()),
            Field::Word(sys::NFTNL_EXPR_BITWISE_XOR, xor.to_ne_bytes()),
        ],
    });
}

pub(super) fn verdict(rule: &mut NlRule<'_>, verdict: &Verdict) {
    rule.add_expr(&match verdict {
        Verdict::Accept => NlVerdict::Accept,
        Verdict::Drop => NlVerdict::Drop,
        Verdict::Return => NlVerdict::Return,
        Verdict::Jump(chain) => NlVerdict::Jump {
            chain: chain.as_c_str().to_owned(),
        },
        Verdict::Goto(chain) => NlVerdict::Goto {
            chain: chain.as_c_str().to_owned(),
        },
    });
}

/// A counter that does not start at zero.
struct CountedFrom {
    packets: u64,
    bytes: u64,
}

impl Expression for CountedFrom {
    fn to_expr(&self, _rule: &NlRule) -> NonNull<sys::nftnl_expr> {
        // SAFETY: as in `RawExpr`; both attributes are u64.
        unsafe {
            let expr = alive(sys::nftnl_expr_alloc(c"counter".as_ptr()));
            sys::nftnl_expr_set_u64(expr, sys::NFTNL_EXPR_CTR_PACKETS as u16, self.packets);
            sys::nftnl_expr_set_u64(expr, sys::NFTNL_EXPR_CTR_BYTES as u16, self.bytes);
            NonNull::new_unchecked(expr)
        }
    }
}
