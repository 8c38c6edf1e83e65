//! Statements as expressions: the nftnl crate's own where it has them, [`RawExpr`] where not.

use std::ffi::CStr;
use std::net::IpAddr;
use std::ptr::NonNull;

use nftnl::Rule as NlRule;
use nftnl::expr::{
    Bitwise, Cmp, CmpOp, Conntrack, Counter, Expression, Immediate, Meta, Payload, Register,
    TcpHeaderField, TransportHeaderField, Verdict as NlVerdict,
};
use nftnl::nftnl_sys as sys;

use super::alive;
use super::sets::put_address;
use crate::family::TableFamily;
use crate::names::Name;
use crate::ops::{Comparison, CtState, L4Proto, Network, Statement, Verdict};

/// A value of an expression's field.
enum Value<'a> {
    U8(u8),
    U32(u32),
    U64(u64),
    Text(&'a CStr),
    Word([u8; 4]),
}

use Value::{Text, U8, U32, U64, Word};

/// An expression that the nftnl crate does not have, or has with fewer fields: its fields by libnftnl's numbers.
struct RawExpr<'a>(&'static CStr, Vec<(u32, Value<'a>)>);

impl Expression for RawExpr<'_> {
    fn to_expr(&self, _rule: &NlRule) -> NonNull<sys::nftnl_expr> {
        let Self(kind, fields) = self;
        // SAFETY: a fresh object of a kind that libnftnl knows (NULL, hence abort, if it does not);
        // each field has the type of its attribute; texts and words are copied.
        unsafe {
            let expr = alive(sys::nftnl_expr_alloc(kind.as_ptr()));
            for (attribute, value) in fields {
                let attribute = *attribute as u16;
                match value {
                    U8(value) => sys::nftnl_expr_set_u8(expr, attribute, *value),
                    U32(value) => sys::nftnl_expr_set_u32(expr, attribute, *value),
                    U64(value) => sys::nftnl_expr_set_u64(expr, attribute, *value),
                    Text(text) => {
                        sys::nftnl_expr_set_str(expr, attribute, text.as_ptr());
                    }
                    Word(word) => {
                        sys::nftnl_expr_set(expr, attribute, word.as_ptr().cast(), 4);
                    }
                }
            }
            NonNull::new_unchecked(expr)
        }
    }
}

const REGISTER: u32 = libc::NFT_REG_1 as u32;
/// NFTA_FIB_F_SADDR, NFTA_FIB_F_DADDR and NFT_FIB_RESULT_ADDRTYPE (nf_tables.h).
const FIB_SADDR: u32 = 1;
const FIB_DADDR: u32 = 1 << 1;
const FIB_RESULT_ADDRTYPE: u32 = 3;
/// NF_NAT_RANGE_PROTO_SPECIFIED and NF_NAT_RANGE_PROTO_RANDOM_FULLY (nf_nat.h).
const NAT_RANGE_PROTO_SPECIFIED: u32 = 1 << 1;
const NAT_RANGE_PROTO_RANDOM_FULLY: u32 = 1 << 4;
/// IPS_DST_NAT (nf_conntrack_common.h).
const IPS_DST_NAT: u32 = 1 << 5;
/// NFT_LOOKUP_F_INV and NFT_DYNSET_OP_UPDATE (nf_tables.h).
const LOOKUP_INVERTED: u32 = 1;
const DYNSET_UPDATE: u32 = 1;
/// Where a lookup puts a verdict.
const TO_VERDICT: Option<u32> = Some(libc::NFT_REG_VERDICT as u32);

/// A set or map: its name, and the id with which it was added in the same batch.
pub(super) type Set<'a> = (&'a CStr, Option<u32>);

/// Adds the expressions of a statement in a table of that family; `set` is what it looks into, where it does. False
/// when it cannot be sent.
#[must_use]
pub(super) fn add(
    family: TableFamily,
    rule: &mut NlRule<'_>,
    statement: &Statement,
    set: Set<'_>,
) -> bool {
    let (source, destination) = (family.header().source, family.header().destination);
    let load = |offset, register| whole_address(family, offset, register);
    let behind = |addresses, fields| family.register_behind(addresses, fields);
    match statement {
        Statement::SourceAddress(comparison, network) => {
            address(rule, source, *comparison, *network);
        }
        Statement::DestinationAddress(comparison, network) => {
            address(rule, destination, *comparison, *network);
        }
        Statement::SourceOutside(networks) => match networks[..] {
            // No set for a single one.
            [network] => address(rule, source, Comparison::Unequal, network),
            _ => {
                rule.add_expr(&load(source, REGISTER));
                let mut outside = lookup(set, None);
                let inverted = (sys::NFTNL_EXPR_LOOKUP_FLAGS, U32(LOOKUP_INVERTED));
                outside.1.push(inverted);
                rule.add_expr(&outside);
            }
        },
        Statement::L4Proto(proto) => l4proto(rule, *proto),
        Statement::TransportPort(number) => port(rule, *number),
        Statement::DestinationPort(proto, number) => {
            l4proto(rule, *proto);
            port(rule, *number);
        }
        Statement::CtState(state) => ct_state(rule, *state),
        Statement::IsDnatted => {
            let fields = vec![
                (sys::NFTNL_EXPR_CT_KEY, U32(libc::NFT_CT_STATUS as u32)),
                (sys::NFTNL_EXPR_CT_DREG, U32(REGISTER)),
            ];
            rule.add_expr(&RawExpr(c"ct", fields));
            rule.add_expr(&Bitwise::new(IPS_DST_NAT, 0u32));
            rule.add_expr(&Cmp::new(CmpOp::Neq, 0u32));
        }
        Statement::MarkAnd(mask, comparison, value) => {
            load_mark(rule, *mask, 0);
            rule.add_expr(&Cmp::new(operator(*comparison), *value));
        }
        // `(mark & ~bits) ^ bits`: what `or` is to the kernel.
        Statement::MarkOr(bits) => set_mark(rule, !bits, *bits),
        Statement::MarkXor(bits) => set_mark(rule, u32::MAX, *bits),
        Statement::DestinationIsLocal => is_local(rule, FIB_DADDR),
        Statement::SourceIsLocal => is_local(rule, FIB_SADDR),
        Statement::SourceInSet(_) => {
            rule.add_expr(&load(source, REGISTER));
            rule.add_expr(&lookup(set, None));
        }
        Statement::UpdateWithSource(_) => {
            rule.add_expr(&load(source, REGISTER));
            rule.add_expr(&update(set));
        }
        Statement::DestinationInSet(_) => {
            rule.add_expr(&load(destination, REGISTER));
            rule.add_expr(&lookup(set, None));
        }
        Statement::ConnectionInSet(_) => {
            rule.add_expr(&load(source, REGISTER));
            rule.add_expr(&load(destination, behind(1, 0)));
            concatenated(rule, [behind(2, 0), behind(2, 1)]);
            rule.add_expr(&lookup(set, None));
        }
        Statement::ServiceVmap(_) => {
            rule.add_expr(&load(destination, REGISTER));
            concatenated(rule, [behind(1, 0), behind(1, 1)]);
            rule.add_expr(&lookup(set, TO_VERDICT));
        }
        Statement::NodePortVmap(_) => {
            concatenated(rule, [REGISTER, behind(0, 1)]);
            rule.add_expr(&lookup(set, TO_VERDICT));
        }
        Statement::RandomVmap(modulus, ..) => {
            random(rule, *modulus);
            rule.add_expr(&lookup(set, TO_VERDICT));
        }
        Statement::RandomDnat(modulus, ..) => {
            random(rule, *modulus);
            rule.add_expr(&lookup(set, Some(REGISTER)));
            dnat(family, rule, behind(1, 0), None);
        }
        Statement::Counter(packets, bytes) => counter(rule, *packets, *bytes),
        Statement::Dnat(to) => {
            match to.ip() {
                IpAddr::V4(to) => rule.add_expr(&Immediate::new(to.octets(), Register::Reg1)),
                IpAddr::V6(to) => rule.add_expr(&Immediate::new(to.octets(), Register::Reg1)),
            }
            rule.add_expr(&Immediate::new(to.port().to_be_bytes(), Register::Reg2));
            dnat(
                family,
                rule,
                libc::NFT_REG_2 as u32,
                Some(NAT_RANGE_PROTO_SPECIFIED),
            );
        }
        Statement::MasqueradeFullyRandom => {
            let flags = (
                sys::NFTNL_EXPR_MASQ_FLAGS,
                U32(NAT_RANGE_PROTO_RANDOM_FULLY),
            );
            rule.add_expr(&RawExpr(c"masq", vec![flags]));
        }
        Statement::Reject => reject(family, rule),
        Statement::Verdict(to) => verdict(rule, to),
        Statement::Unknown(_) => return false,
    }
    true
}

/// `numgen random mod MODULUS`.
fn random(rule: &mut NlRule<'_>, modulus: u32) {
    let fields = vec![
        (sys::NFTNL_EXPR_NG_DREG, U32(REGISTER)),
        (sys::NFTNL_EXPR_NG_MODULUS, U32(modulus)),
        (sys::NFTNL_EXPR_NG_TYPE, U32(libc::NFT_NG_RANDOM as u32)),
        (sys::NFTNL_EXPR_NG_OFFSET, U32(0)),
    ];
    rule.add_expr(&RawExpr(c"numgen", fields));
}

/// `lookup reg 1 set SET`, with the register to which a map's data go.
fn lookup((set, id): Set<'_>, to: Option<u32>) -> RawExpr<'_> {
    let mut fields = vec![
        (sys::NFTNL_EXPR_LOOKUP_SREG, U32(REGISTER)),
        (sys::NFTNL_EXPR_LOOKUP_SET, Text(set)),
    ];
    fields.extend(to.map(|to| (sys::NFTNL_EXPR_LOOKUP_DREG, U32(to))));
    fields.extend(id.map(|id| (sys::NFTNL_EXPR_LOOKUP_SET_ID, U32(id))));
    RawExpr(c"lookup", fields)
}

/// `dynset update reg_key 1 set SET`.
fn update((set, id): Set<'_>) -> RawExpr<'_> {
    let mut fields = vec![
        (sys::NFTNL_EXPR_DYNSET_SREG_KEY, U32(REGISTER)),
        (sys::NFTNL_EXPR_DYNSET_OP, U32(DYNSET_UPDATE)),
        (sys::NFTNL_EXPR_DYNSET_SET_NAME, Text(set)),
    ];
    fields.extend(id.map(|id| (sys::NFTNL_EXPR_DYNSET_SET_ID, U32(id))));
    RawExpr(c"dynset", fields)
}

/// `meta l4proto . th dport`: protocol and port each into its register.
fn concatenated(rule: &mut NlRule<'_>, registers: [u32; 2]) {
    let fields = vec![
        (sys::NFTNL_EXPR_META_KEY, U32(libc::NFT_META_L4PROTO as u32)),
        (sys::NFTNL_EXPR_META_DREG, U32(registers[0])),
    ];
    rule.add_expr(&RawExpr(c"meta", fields));
    let base = libc::NFT_PAYLOAD_TRANSPORT_HEADER as u32;
    rule.add_expr(&payload(base, 2, 2, registers[1]));
}

/// `payload load LENb @ BASE header + OFFSET => reg REGISTER`.
fn payload(base: u32, offset: u32, len: u32, register: u32) -> RawExpr<'static> {
    let fields = vec![
        (sys::NFTNL_EXPR_PAYLOAD_BASE, U32(base)),
        (sys::NFTNL_EXPR_PAYLOAD_OFFSET, U32(offset)),
        (sys::NFTNL_EXPR_PAYLOAD_LEN, U32(len)),
        (sys::NFTNL_EXPR_PAYLOAD_DREG, U32(register)),
    ];
    RawExpr(c"payload", fields)
}

fn whole_address(family: TableFamily, offset: u32, register: u32) -> RawExpr<'static> {
    let base = libc::NFT_PAYLOAD_NETWORK_HEADER as u32;
    payload(base, offset, family.address_len() as u32, register)
}

fn ct_state(rule: &mut NlRule<'_>, state: CtState) {
    let bit: u32 = match state {
        CtState::Invalid => 1,
        CtState::New => 8,
    };
    rule.add_expr(&Conntrack::State);
    rule.add_expr(&Bitwise::new(bit, 0u32));
    rule.add_expr(&Cmp::new(CmpOp::Neq, 0u32));
}

/// `fib saddr type local` or `fib daddr type local`.
fn is_local(rule: &mut NlRule<'_>, which: u32) {
    let fields = vec![
        (sys::NFTNL_EXPR_FIB_FLAGS, U32(which)),
        (sys::NFTNL_EXPR_FIB_RESULT, U32(FIB_RESULT_ADDRTYPE)),
        (sys::NFTNL_EXPR_FIB_DREG, U32(REGISTER)),
    ];
    rule.add_expr(&RawExpr(c"fib", fields));
    rule.add_expr(&Cmp::new(CmpOp::Eq, u32::from(libc::RTN_LOCAL)));
}

fn counter(rule: &mut NlRule<'_>, packets: u64, bytes: u64) {
    if (packets, bytes) == (0, 0) {
        return rule.add_expr(&Counter);
    }
    let fields = vec![
        (sys::NFTNL_EXPR_CTR_PACKETS, U64(packets)),
        (sys::NFTNL_EXPR_CTR_BYTES, U64(bytes)),
    ];
    rule.add_expr(&RawExpr(c"counter", fields));
}

/// `dnat` to the address in register 1 and the port in another.
fn dnat(family: TableFamily, rule: &mut NlRule<'_>, port: u32, flags: Option<u32>) {
    let mut fields = vec![
        (sys::NFTNL_EXPR_NAT_TYPE, U32(libc::NFT_NAT_DNAT as u32)),
        (sys::NFTNL_EXPR_NAT_FAMILY, U32(family.number().into())),
        (sys::NFTNL_EXPR_NAT_REG_ADDR_MIN, U32(REGISTER)),
        (sys::NFTNL_EXPR_NAT_REG_PROTO_MIN, U32(port)),
    ];
    fields.extend(flags.map(|flags| (sys::NFTNL_EXPR_NAT_FLAGS, U32(flags))));
    rule.add_expr(&RawExpr(c"nat", fields));
}

fn reject(family: TableFamily, rule: &mut NlRule<'_>) {
    let unreachable = U32(libc::NFT_REJECT_ICMP_UNREACH as u32);
    let fields = vec![
        (sys::NFTNL_EXPR_REJECT_TYPE, unreachable),
        (sys::NFTNL_EXPR_REJECT_CODE, U8(family.port_unreachable())),
    ];
    rule.add_expr(&RawExpr(c"reject", fields));
}

const fn operator(comparison: Comparison) -> CmpOp {
    match comparison {
        Comparison::Equal => CmpOp::Eq,
        Comparison::Unequal => CmpOp::Neq,
    }
}

/// As `nft` does: a prefix of whole bytes loads only those, any other is masked.
fn address(rule: &mut NlRule<'_>, offset: u32, comparison: Comparison, network: Network) {
    let (mut octets, mut mask) = ([0; 16], [0; 16]);
    let len = put_address(&mut octets, network.address);
    put_address(&mut mask, network.mask());
    let base = libc::NFT_PAYLOAD_NETWORK_HEADER as u32;
    let mut compared = &octets[..len];
    match network.prefix {
        _ if network.is_host() => rule.add_expr(&payload(base, offset, len as u32, REGISTER)),
        prefix if prefix > 0 && prefix % 8 == 0 => {
            let bytes = u32::from(prefix) / 8;
            rule.add_expr(&payload(base, offset, bytes, REGISTER));
            compared = &octets[..bytes as usize];
        }
        _ => {
            rule.add_expr(&payload(base, offset, len as u32, REGISTER));
            rule.add_expr(&Bitwise::new(&mask[..len], &[0u8; 16][..len]));
        }
    }
    rule.add_expr(&Cmp::new(operator(comparison), compared));
}

fn l4proto(rule: &mut NlRule<'_>, proto: L4Proto) {
    rule.add_expr(&Meta::L4Proto);
    rule.add_expr(&Cmp::new(CmpOp::Eq, proto.0));
}

fn port(rule: &mut NlRule<'_>, port: u16) {
    // TCP and UDP have their destination port in the same place.
    let field = TransportHeaderField::Tcp(TcpHeaderField::Dport);
    rule.add_expr(&Payload::Transport(field));
    rule.add_expr(&Cmp::new(CmpOp::Eq, &port.to_be_bytes()[..]));
}

/// Loads `(mark & mask) ^ xor`.
fn load_mark(rule: &mut NlRule<'_>, mask: u32, xor: u32) {
    rule.add_expr(&Meta::Mark { set: false });
    // The nftnl crate's Bitwise leaves out the operation, which `nft` states for binary operators.
    let fields = vec![
        (sys::NFTNL_EXPR_BITWISE_SREG, U32(REGISTER)),
        (sys::NFTNL_EXPR_BITWISE_DREG, U32(REGISTER)),
        (sys::NFTNL_EXPR_BITWISE_OP, U32(0)), // NFT_BITWISE_BOOL: mask, then xor
        (sys::NFTNL_EXPR_BITWISE_LEN, U32(4)),
        (sys::NFTNL_EXPR_BITWISE_MASK, Word(mask.to_ne_bytes())),
        (sys::NFTNL_EXPR_BITWISE_XOR, Word(xor.to_ne_bytes())),
    ];
    rule.add_expr(&RawExpr(c"bitwise", fields));
}

fn set_mark(rule: &mut NlRule<'_>, mask: u32, xor: u32) {
    load_mark(rule, mask, xor);
    rule.add_expr(&Meta::Mark { set: true });
}

fn verdict(rule: &mut NlRule<'_>, verdict: &Verdict) {
    let chain = |name: &Name| name.as_c_str().to_owned();
    rule.add_expr(&match verdict {
        Verdict::Accept => NlVerdict::Accept,
        Verdict::Drop => NlVerdict::Drop,
        Verdict::Return => NlVerdict::Return,
        Verdict::Jump(to) => NlVerdict::Jump { chain: chain(to) },
        Verdict::Goto(to) => NlVerdict::Goto { chain: chain(to) },
    });
}
