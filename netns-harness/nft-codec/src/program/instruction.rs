//! One expression of a rule, decoded: what it does to registers and packet. Attribute numbers and
//! constants: linux/netfilter/nf_tables.h.

use netlink::Attributes;

use crate::decode;
use crate::ops::Verdict;

/// Place of a register among the data registers, bytes.
pub(super) type Register = usize;
/// Bytes of all data registers.
pub(super) const REGISTERS: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Instruction {
    /// Bytes of a header: base, offset, length.
    Payload(u32, usize, usize, Register),
    /// The packet's metadata, by key.
    Meta(u32, Register),
    SetMark(Register),
    /// The connection, by key.
    Conntrack(u32, Register),
    /// Type of the source's address, or of the destination's.
    AddressType {
        source: bool,
        to: Register,
    },
    /// A number below the modulus, drawn or counted, plus an offset.
    Number {
        modulus: u32,
        offset: u32,
        to: Register,
    },
    Compare(Register, Comparison, Box<[u8]>),
    /// Whether a value must be outside of its bounds, which belong to the range.
    Range(Register, bool, Box<[u8]>, Box<[u8]>),
    /// Mask, then exclusive or.
    Bitwise {
        from: Register,
        to: Register,
        mask: Box<[u8]>,
        xor: Box<[u8]>,
    },
    /// Between the host's and network order, in pieces of `size` bytes.
    Swap {
        from: Register,
        to: Register,
        len: usize,
        size: usize,
    },
    Immediate(Register, Box<[u8]>),
    Verdict(Verdict),
    /// A set's name, the register of the key, where its data goes, and whether the key must be missing.
    Lookup {
        set: String,
        key: Register,
        data: Data,
        negated: bool,
    },
    /// Registers of the new destination's address and port.
    Dnat(Option<Register>, Option<Register>),
    /// The source is replaced.
    Masquerade,
    Refuse,
    Untrack,
    /// Nothing that decides where a packet goes: counters, logs, additions to sets.
    Nothing,
    /// The rule does not match the first packet of a flow.
    Break,
    /// What is not known.
    Unknown(String),
}

impl Instruction {
    /// The register that it computes, payload and the protocol aside, and how many bytes it writes, at least.
    pub(super) fn writes(&self) -> Option<(Register, usize)> {
        match self {
            Self::Meta(_, to)
            | Self::Conntrack(_, to)
            | Self::AddressType { to, .. }
            | Self::Number { to, .. } => Some((*to, 4)),
            Self::Bitwise { to, mask, .. } => Some((*to, mask.len())),
            Self::Swap { to, len, .. } => Some((*to, *len)),
            Self::Immediate(to, value) => Some((*to, value.len())),
            _ => None,
        }
    }
}

/// Where a lookup puts what a map has for the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Data {
    None,
    Verdict,
    To(Register),
}

/// enum nft_cmp_ops, in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::FromRepr)]
#[repr(u32)]
pub(super) enum Comparison {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// The expressions of a rule: NFTA_RULE_EXPRESSIONS.
pub(super) fn instructions(rule: Attributes<'_>) -> Vec<Instruction> {
    let list = rule.nested(4).into_iter().flatten();
    list.map(|item| {
        let Ok(item) = item else {
            return Instruction::Unknown("a torn expression".to_owned());
        };
        let item = item.nested();
        let (name, data) = (item.text(1).unwrap_or("?"), item.nested(2));
        let data = data.unwrap_or(Attributes(&[]));
        instruction(name, data).unwrap_or_else(|| Instruction::Unknown(described(name, data)))
    })
    .collect()
}

/// An expression's name, with the extension's for those of x_tables, and its numbers.
fn described(name: &str, data: Attributes<'_>) -> String {
    let mut text = name.to_owned();
    for attribute in data.filter_map(Result::ok) {
        match <[u8; 4]>::try_from(attribute.value) {
            Ok(number) => text.push_str(&format!(" {}", u32::from_be_bytes(number))),
            Err(_) if matches!(name, "match" | "target") && attribute.kind == 1 => {
                text.push_str(&format!(" {}", data.text(1).unwrap_or_default()));
            }
            Err(_) => {}
        }
    }
    text
}

/// enum nft_registers: four of 16 bytes, or sixteen of 4 in the same place.
fn register(number: Option<u32>) -> Option<Register> {
    match number? {
        number @ 1..=4 => Some((number as usize - 1) * 16),
        number @ 8..=23 => Some((number as usize - 8) * 4),
        _ => None,
    }
}

/// Whether `len` bytes fit behind a register.
fn fits(register: Register, len: usize) -> Option<()> {
    (len > 0 && register + len <= REGISTERS).then_some(())
}

fn instruction(name: &str, data: Attributes<'_>) -> Option<Instruction> {
    let number = |kind| data.be32(kind);
    let lacks = |kinds: &[u16]| kinds.iter().all(|kind| data.find(*kind).is_none());
    Some(match name {
        "payload" if lacks(&[5]) => {
            let (to, len) = (register(number(1))?, number(4)? as usize);
            fits(to, len)?;
            Instruction::Payload(number(2)?, number(3)? as usize, len, to)
        }
        "meta" => match (number(2)?, number(1), number(3)) {
            (key, dreg @ Some(_), None) => Instruction::Meta(key, register(dreg)?),
            // NFT_META_MARK; NFT_META_NFTRACE changes nothing.
            (3, None, sreg) => Instruction::SetMark(register(sreg)?),
            (12, None, Some(_)) => Instruction::Nothing,
            _ => return None,
        },
        // NFTA_CT_DIRECTION 0 is the original direction, the only one of a first packet.
        "ct" if lacks(&[4]) && data.bytes(3).is_none_or(|d| d == [0]) => {
            Instruction::Conntrack(number(2)?, register(number(1))?)
        }
        // 3 is NFT_FIB_RESULT_ADDRTYPE; the flags are NFTA_FIB_F_SADDR and _DADDR, one of them alone.
        "fib" if number(2) == Some(3) && matches!(number(3), Some(1 | 2)) => {
            Instruction::AddressType {
                source: number(3) == Some(1),
                to: register(number(1))?,
            }
        }
        "numgen" => Instruction::Number {
            modulus: number(2).filter(|modulus| *modulus > 0)?,
            offset: number(4).unwrap_or(0),
            to: register(number(1))?,
        },
        _ => return compared(name, data).or_else(|| act(name, data)),
    })
}

/// What is compared and computed.
fn compared(name: &str, data: Attributes<'_>) -> Option<Instruction> {
    let number = |kind| data.be32(kind);
    let value = |kind| Some(Box::from(data.nested(kind)?.bytes(1)?)); // NFTA_DATA_VALUE
    let from = register(number(1))?;
    let (instruction, len) = match name {
        "cmp" => {
            let value: Box<[u8]> = value(3)?;
            let (comparison, len) = (Comparison::from_repr(number(2)?)?, value.len());
            (Instruction::Compare(from, comparison, value), len)
        }
        "range" => {
            let (low, high): (Box<[u8]>, Box<[u8]>) = (value(3)?, value(4)?);
            let len = low.len();
            (Instruction::Range(from, number(2)? == 1, low, high), len)
        }
        // 0 is NFT_BITWISE_MASK_XOR; kernels before 5.6 know no other and do not say it.
        "bitwise" if number(6).unwrap_or(0) == 0 => {
            let (to, mask, xor): (_, Box<[u8]>, Box<[u8]>) =
                (register(number(2))?, value(4)?, value(5)?);
            fits(to, mask.len())?;
            let len = mask.len();
            (
                Instruction::Bitwise {
                    from,
                    to,
                    mask,
                    xor,
                },
                len,
            )
        }
        "byteorder" => {
            let (to, len) = (register(number(2))?, number(4)? as usize);
            let size = number(5).filter(|size| matches!(size, 2 | 4 | 8))? as usize;
            fits(to, len)?;
            (
                Instruction::Swap {
                    from,
                    to,
                    len,
                    size,
                },
                len,
            )
        }
        _ => return None,
    };
    fits(from, len)?;
    Some(instruction)
}

/// What is looked up, counted or done with the packet.
fn act(name: &str, data: Attributes<'_>) -> Option<Instruction> {
    let number = |kind| data.be32(kind);
    // The end of a range, which must be its beginning.
    let one = |first, last| (number(last).is_none() || number(last) == number(first)).then_some(());
    let optional = |kind| number(kind).map_or(Some(None), |n| register(Some(n)).map(Some));
    Some(match name {
        "immediate" => match number(1)? {
            0 => Instruction::Verdict(decode::verdict(data.nested(2)?)?),
            _ => {
                let (to, value) = (register(number(1))?, data.nested(2)?.bytes(1)?);
                fits(to, value.len())?;
                Instruction::Immediate(to, value.into())
            }
        },
        "lookup" => Instruction::Lookup {
            set: data.text(1)?.to_owned(),
            key: register(number(2))?,
            data: match number(3) {
                None => Data::None,
                Some(0) => Data::Verdict,
                dreg => Data::To(register(dreg)?),
            },
            negated: number(5).unwrap_or(0) & 1 == 1, // NFT_LOOKUP_F_INV
        },
        // 1 is NFT_NAT_DNAT; no ranges, and of the flags not NF_NAT_RANGE_NETMAP.
        "nat" if number(1) == Some(1) && number(7).unwrap_or(0) & (1 << 6) == 0 => {
            one(3, 4).and(one(5, 6))?;
            Instruction::Dnat(optional(3)?, optional(5)?)
        }
        "nat" if number(1) == Some(0) => Instruction::Masquerade,
        "masq" => Instruction::Masquerade,
        "reject" => Instruction::Refuse,
        "notrack" => Instruction::Untrack,
        "counter" | "log" | "last" => Instruction::Nothing,
        // Of a set's own expressions (NFTA_DYNSET_EXPR, _EXPRESSIONS) some match no longer once they were counted.
        "dynset" if data.find(7).is_none() && data.find(10).is_none() => Instruction::Nothing,
        "objref" if number(1) == Some(1) => Instruction::Nothing, // NFT_OBJECT_COUNTER
        "flow_offload" => Instruction::Break, // only established connections are offloaded
        _ => return None,
    })
}
