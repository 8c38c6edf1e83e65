//! Expressions, typed: one each, registers and all.

use netlink::Attributes;

use crate::ops::Verdict;

/// One expression of a rule. Numbers are the kernel's (linux/netfilter/nf_tables.h).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Expr<'a> {
    Payload {
        base: u32,
        offset: u32,
        len: u32,
        dreg: u32,
    },
    MetaLoad {
        key: u32,
        dreg: u32,
    },
    MetaSet {
        key: u32,
        sreg: u32,
    },
    Cmp {
        op: u32,
        sreg: u32,
        data: &'a [u8],
    },
    Bitwise {
        sreg: u32,
        dreg: u32,
        mask: &'a [u8],
        xor: &'a [u8],
    },
    Immediate {
        dreg: u32,
        data: &'a [u8],
    },
    Verdict(Verdict),
    Lookup {
        set: &'a str,
        sreg: u32,
        dreg: Option<u32>,
    },
    Counter {
        packets: u64,
        bytes: u64,
    },
    ConntrackState {
        dreg: u32,
    },
    Dnat {
        address: u32,
        port: u32,
        flags: u32,
    },
    Masquerade {
        flags: u32,
    },
    Reject {
        kind: u32,
        code: u8,
    },
    Random {
        dreg: u32,
        modulus: u32,
    },
    FibDestinationType {
        dreg: u32,
    },
    /// Anything else, as text.
    Other(String),
}

/// The expressions of a rule: NFTA_RULE_EXPRESSIONS.
pub(super) fn expressions(list: Attributes<'_>) -> Vec<Expr<'_>> {
    list.map(|item| match item {
        Ok(item) => {
            let item = item.nested();
            let name = item.text(1).unwrap_or("?");
            let data = item.nested(2);
            data.and_then(|data| expression(name, data))
                .unwrap_or_else(|| Expr::Other(other(name, item.bytes(2))))
        }
        Err(_) => Expr::Other("torn".to_owned()),
    })
    .collect()
}

/// Name and raw attributes of what is not known.
fn other(name: &str, data: Option<&[u8]>) -> String {
    use std::fmt::Write as _;
    let mut text = name.to_owned();
    if let Some(data) = data {
        text.push(' ');
        for byte in data {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
    }
    text
}

/// `None`: an expression, or a form of it, that is not in the vocabulary.
fn expression<'a>(name: &str, data: Attributes<'a>) -> Option<Expr<'a>> {
    let value = |kind| data.nested(kind)?.bytes(1); // NFTA_DATA_VALUE
    Some(match name {
        "payload" if data.find(5).is_none() => Expr::Payload {
            dreg: data.be32(1)?,
            base: data.be32(2)?,
            offset: data.be32(3)?,
            len: data.be32(4)?,
        },
        "meta" => match (data.be32(1), data.be32(3)) {
            (Some(dreg), None) => Expr::MetaLoad {
                key: data.be32(2)?,
                dreg,
            },
            (None, Some(sreg)) => Expr::MetaSet {
                key: data.be32(2)?,
                sreg,
            },
            _ => return None,
        },
        "cmp" => Expr::Cmp {
            sreg: data.be32(1)?,
            op: data.be32(2)?,
            data: value(3)?,
        },
        // 0 is NFT_BITWISE_MASK_XOR; kernels before 5.6 know no other and do not say it.
        "bitwise" if data.be32(6).unwrap_or(0) == 0 => Expr::Bitwise {
            sreg: data.be32(1)?,
            dreg: data.be32(2)?,
            mask: value(4)?,
            xor: value(5)?,
        },
        "immediate" => match data.be32(1)? {
            0 => Expr::Verdict(super::verdict(data.nested(2)?)?),
            dreg => Expr::Immediate {
                dreg,
                data: value(2)?,
            },
        },
        "lookup" if data.be32(5).unwrap_or(0) == 0 => Expr::Lookup {
            set: data.text(1)?,
            sreg: data.be32(2)?,
            dreg: data.be32(3),
        },
        "counter" => Expr::Counter {
            bytes: data.be64(1)?,
            packets: data.be64(2)?,
        },
        // 0 is NFT_CT_STATE.
        "ct" if data.be32(2) == Some(0) && data.find(3).is_none() && data.find(4).is_none() => {
            Expr::ConntrackState {
                dreg: data.be32(1)?,
            }
        }
        // 1 is NFT_NAT_DNAT, family 2 is IPv4; one address and one port, not ranges.
        "nat"
            if data.be32(1) == Some(1)
                && data.be32(2) == Some(2)
                && data.be32(3) == data.be32(4).or(data.be32(3))
                && data.be32(5) == data.be32(6).or(data.be32(5)) =>
        {
            Expr::Dnat {
                address: data.be32(3)?,
                port: data.be32(5)?,
                flags: data.be32(7).unwrap_or(0),
            }
        }
        "masq" if data.find(2).is_none() && data.find(3).is_none() => Expr::Masquerade {
            flags: data.be32(1).unwrap_or(0),
        },
        "reject" => Expr::Reject {
            kind: data.be32(1)?,
            code: *data.bytes(2)?.first()?,
        },
        // 1 is NFT_NG_RANDOM.
        "numgen" if data.be32(3) == Some(1) && data.be32(4).unwrap_or(0) == 0 => Expr::Random {
            dreg: data.be32(1)?,
            modulus: data.be32(2)?,
        },
        // 3 is NFT_FIB_RESULT_ADDRTYPE, 2 is NFTA_FIB_F_DADDR alone.
        "fib" if data.be32(2) == Some(3) && data.be32(3) == Some(2) => Expr::FibDestinationType {
            dreg: data.be32(1)?,
        },
        _ => return None,
    })
}
