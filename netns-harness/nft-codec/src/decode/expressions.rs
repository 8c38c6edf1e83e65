//! Expressions, typed: one each, registers and all.

use netlink::Attributes;

use crate::family::TableFamily;
use crate::ops::{Comparison, Verdict};

/// One expression of a rule. Numbers are the kernel's (linux/netfilter/nf_tables.h).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Expr<'a> {
    /// Where from, and the register that it goes to.
    Load(Source, u32),
    /// Register and value.
    Cmp(u32, Comparison, &'a [u8]),
    /// Mask and then xor of register 1.
    Bitwise(&'a [u8], &'a [u8]),
    /// Register and value.
    Immediate(u32, &'a [u8]),
    Verdict(Verdict),
    /// Set, register of the key, register of what the set has for it.
    Lookup(&'a str, u32, Option<u32>),
    /// Set that must not have the key, and its register.
    Outside(&'a str, u32),
    /// Set into which the key is put, or in which its time begins anew, and its register.
    Update(&'a str, u32),
    /// Key of the packet's metadata that is set, and the register.
    Set(u32, u32),
    /// Packets and bytes.
    Counter(u64, u64),
    /// Registers of address and port, flags.
    Dnat(u32, u32, u32),
    /// Flags.
    Masquerade(u32),
    /// Type and code.
    Reject(u32, u8),
    /// Anything else, as text.
    Other(String),
}

/// What a register is loaded with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// Base, offset and length.
    Payload(u32, u32, u32),
    /// Key of the packet's metadata.
    Meta(u32),
    ConntrackState,
    ConntrackStatus,
    FibDaddr,
    FibSaddr,
    /// A random number below.
    Random(u32),
}

/// The expressions of a rule of a table of that family: NFTA_RULE_EXPRESSIONS.
pub(super) fn expressions(family: TableFamily, list: Attributes<'_>) -> Vec<Expr<'_>> {
    list.map(|item| match item {
        Ok(item) => {
            let item = item.nested();
            let name = item.text(1).unwrap_or("?");
            let data = item.nested(2);
            data.and_then(|data| expression(family, name, data))
                .unwrap_or_else(|| Expr::Other(other(name, item.bytes(2))))
        }
        Err(_) => Expr::Other("torn".to_owned()),
    })
    .collect()
}

/// Name and raw attributes of what is not known.
fn other(name: &str, data: Option<&[u8]>) -> String {
    let bytes = data.unwrap_or_default().iter();
    let digits: String = bytes.map(|byte| format!("{byte:02x}")).collect();
    format!("{name} {digits}")
}

/// `None`: an expression, or a form of it, that is not in the vocabulary.
fn expression<'a>(family: TableFamily, name: &str, data: Attributes<'a>) -> Option<Expr<'a>> {
    let number = |kind| data.be32(kind);
    let lacks = |kinds: &[u16]| kinds.iter().all(|kind| data.find(*kind).is_none());
    let value = |kind| data.nested(kind)?.bytes(1); // NFTA_DATA_VALUE
    Some(match name {
        "payload" if lacks(&[5]) => {
            let source = Source::Payload(number(2)?, number(3)?, number(4)?);
            Expr::Load(source, number(1)?)
        }
        "meta" => match (number(1), number(3)) {
            (Some(dreg), None) => Expr::Load(Source::Meta(number(2)?), dreg),
            (None, Some(sreg)) => Expr::Set(number(2)?, sreg),
            _ => return None,
        },
        // 0 is NFT_CT_STATE, 2 is NFT_CT_STATUS.
        "ct" if lacks(&[3, 4]) => match number(2)? {
            0 => Expr::Load(Source::ConntrackState, number(1)?),
            2 => Expr::Load(Source::ConntrackStatus, number(1)?),
            _ => return None,
        },
        // 3 is NFT_FIB_RESULT_ADDRTYPE; NFTA_FIB_F_SADDR or _DADDR alone.
        "fib" if number(2) == Some(3) => match number(3)? {
            1 => Expr::Load(Source::FibSaddr, number(1)?),
            2 => Expr::Load(Source::FibDaddr, number(1)?),
            _ => return None,
        },
        // 1 is NFT_NG_RANDOM.
        "numgen" if number(3) == Some(1) && number(4).unwrap_or(0) == 0 => {
            Expr::Load(Source::Random(number(2)?), number(1)?)
        }
        "cmp" => {
            // enum nft_cmp_ops.
            let comparison = match number(2)? {
                0 => Comparison::Equal,
                1 => Comparison::Unequal,
                _ => return None,
            };
            Expr::Cmp(number(1)?, comparison, value(3)?)
        }
        // 0 is NFT_BITWISE_MASK_XOR; kernels before 5.6 know no other and do not say it.
        "bitwise" if number(6).unwrap_or(0) == 0 && (number(1)?, number(2)?) == (1, 1) => {
            Expr::Bitwise(value(4)?, value(5)?)
        }
        _ => return act(family, name, data),
    })
}

/// What is looked up, counted or done with the packet.
fn act<'a>(family: TableFamily, name: &str, data: Attributes<'a>) -> Option<Expr<'a>> {
    let number = |kind| data.be32(kind);
    // The end of a range, which must be its beginning.
    let one = |first, last| (number(last).is_none() || number(last) == number(first)).then_some(());
    Some(match name {
        "immediate" => match number(1)? {
            0 => Expr::Verdict(super::verdict(data.nested(2)?)?),
            dreg => Expr::Immediate(dreg, data.nested(2)?.bytes(1)?),
        },
        "lookup" if number(5).unwrap_or(0) == 0 => {
            Expr::Lookup(data.text(1)?, number(2)?, number(3))
        }
        // 1 is NFT_LOOKUP_F_INV.
        "lookup" if number(5) == Some(1) && number(3).is_none() => {
            Expr::Outside(data.text(1)?, number(2)?)
        }
        // 1 is NFT_DYNSET_OP_UPDATE; no data, no expressions, no flags, and no time but the set's own.
        "dynset"
            if number(3) == Some(1)
                && [5, 7, 10].iter().all(|kind| data.find(*kind).is_none())
                && number(9).unwrap_or(0) == 0
                && data.be64(6).unwrap_or(0) == 0 =>
        {
            Expr::Update(data.text(1)?, number(4)?)
        }
        "counter" => Expr::Counter(data.be64(2)?, data.be64(1)?),
        // 1 is NFT_NAT_DNAT; one address and one port, not ranges.
        "nat" if number(1) == Some(1) && number(2) == Some(family.number().into()) => {
            one(3, 4).and(one(5, 6))?;
            Expr::Dnat(number(3)?, number(5)?, number(7).unwrap_or(0))
        }
        "masq" if data.find(2).is_none() && data.find(3).is_none() => {
            Expr::Masquerade(number(1).unwrap_or(0))
        }
        "reject" => Expr::Reject(number(1)?, *data.bytes(2)?.first()?),
        _ => return None,
    })
}
