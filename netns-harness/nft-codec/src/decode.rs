//! Objects of the kernel's listing, from attributes. Attribute numbers: linux/netfilter/nf_tables.h.

mod expressions;
mod statements;

use std::collections::{BTreeMap, HashSet};
use std::net::{IpAddr, SocketAddr};

use netlink::{Attribute, Attributes};
use strum::VariantArray as _;

use crate::names::{Comment, Name};
use crate::ops::{
    ADDRESS_AND_PORT, BaseChain, ChainKind, Element, Hook, Key, KeyType, L4Proto, Policy, Rule,
    Statement, Verdict,
};
use crate::ruleset::Set;

use statements::statements;

/// The sets that rules of a table may refer to.
#[derive(Debug, Default)]
pub(crate) struct Sets {
    /// Sets and maps that have a name of their own.
    pub(crate) named: HashSet<String>,
    /// Anonymous maps of numbers, to verdicts or to addresses and ports.
    pub(crate) anonymous: HashSet<String>,
}

/// An anonymous map that a rule draws numbers for.
#[derive(Debug)]
pub(crate) struct Choice {
    /// The kernel's name for it.
    pub(crate) set: String,
    /// Numbers below this are drawn.
    pub(crate) modulus: u32,
}

/// A comment among user data: type, length, value, one after the other.
pub(crate) fn comment(udata: Option<&[u8]>, wanted: u8) -> Option<Comment> {
    let mut rest = udata?;
    while let [kind, len, tail @ ..] = rest {
        let value = tail.get(..usize::from(*len))?;
        if *kind == wanted {
            let text = value.strip_suffix(&[0]).unwrap_or(value);
            return Some(Comment::new(&String::from_utf8_lossy(text)));
        }
        rest = &tail[usize::from(*len)..];
    }
    None
}

/// NFTA_CHAIN_HOOK, _POLICY and _TYPE of a base chain. An unknown type or hook is an `Err` with its
/// description.
pub(crate) fn base_chain(attributes: Attributes<'_>) -> Result<Option<BaseChain>, String> {
    let Some(nested) = attributes.nested(4) else {
        return Ok(None);
    };
    let (kind, hook) = (attributes.text(7), nested.be32(1));
    let known = kind.and_then(|name| name.parse::<ChainKind>().ok());
    let (kind, hook) = known
        .zip(hook.and_then(Hook::from_repr))
        .ok_or_else(|| format!("type {kind:?} hook {hook:?}"))?;
    let priority = nested.be32(2).unwrap_or(0).cast_signed();
    let policy = if attributes.be32(5) == Some(0) {
        Policy::Drop
    } else {
        Policy::Accept
    };
    Ok(Some(BaseChain {
        kind,
        hook,
        priority,
        policy,
    }))
}

/// A rule: its expressions as statements, and its comment. Random choices are left without entries;
/// their maps are added to `choices`, in order.
pub(crate) fn rule(attributes: Attributes<'_>, sets: &Sets, choices: &mut Vec<Choice>) -> Rule {
    let expressions = attributes
        .nested(4)
        .map(expressions::expressions)
        .unwrap_or_default();
    Rule {
        statements: statements(&expressions, sets, choices),
        comment: comment(attributes.bytes(7), 0),
    }
}

/// What an anonymous map has for a number.
pub(crate) enum Drawn {
    Verdict(Verdict),
    Address(SocketAddr),
}

/// An element of an anonymous map: number, and verdict or address and port.
pub(crate) fn entry(element: Attributes<'_>) -> Option<(u32, Drawn)> {
    let number = u32::from_ne_bytes(raw_key(element)?.try_into().ok()?); // numgen's result is in host order
    let data = element.nested(2)?;
    let drawn = match data.bytes(1) {
        None => Drawn::Verdict(verdict(data)?),
        Some(&[a, b, c, d, p, q, ..]) => Drawn::Address(SocketAddr::new(
            IpAddr::from([a, b, c, d]),
            u16::from_be_bytes([p, q]),
        )),
        Some(_) => return None,
    };
    Some((number, drawn))
}

impl Statement {
    /// A random choice with its entries; `None` where they are not what it chooses from.
    pub(crate) fn chosen(&self, modulus: u32, entries: Vec<(u32, Drawn)>) -> Option<Self> {
        let entries = entries.into_iter();
        Some(match self {
            Self::RandomVmap(..) => {
                let verdicts = entries.map(|(number, drawn)| match drawn {
                    Drawn::Verdict(verdict) => Some((number, verdict)),
                    Drawn::Address(_) => None,
                });
                Self::RandomVmap(modulus, verdicts.collect::<Option<_>>()?)
            }
            Self::RandomDnat(..) => {
                let addresses = entries.map(|(number, drawn)| match drawn {
                    Drawn::Address(to) => Some((number, to)),
                    Drawn::Verdict(_) => None,
                });
                Self::RandomDnat(modulus, addresses.collect::<Option<_>>()?)
            }
            _ => return None,
        })
    }
}

/// `NFTA_DATA_VERDICT`: code and chain.
pub(crate) fn verdict(data: Attributes<'_>) -> Option<Verdict> {
    let verdict = data.nested(2)?;
    let chain = || verdict.text(2).map(Name::new);
    match verdict.be32(1)?.cast_signed() {
        libc::NF_DROP => Some(Verdict::Drop),
        libc::NF_ACCEPT => Some(Verdict::Accept),
        libc::NFT_RETURN => Some(Verdict::Return),
        libc::NFT_JUMP => Some(Verdict::Jump(chain()?)),
        libc::NFT_GOTO => Some(Verdict::Goto(chain()?)),
        _ => None,
    }
}

/// NFT_SET_ANONYMOUS and NFT_SET_MAP.
const ANONYMOUS: u32 = 0x1;
const MAP: u32 = 0x8;
/// NFT_DATA_VERDICT.
const DATA_VERDICT: Option<u32> = Some(0xffff_ff00);
/// `nft`'s number of the type `integer`.
const TYPE_INTEGER: Option<u32> = Some(4);

/// Whether a set has no name but the kernel's.
pub(crate) fn is_anonymous(attributes: Attributes<'_>) -> bool {
    attributes.be32(3).unwrap_or(0) & ANONYMOUS != 0
}

/// Whether it is a map of numbers, to verdicts or to addresses and ports.
pub(crate) fn is_choice(attributes: Attributes<'_>) -> bool {
    let is_map = attributes.be32(3).unwrap_or(0) & MAP != 0;
    let data = attributes.be32(6);
    let known = data == DATA_VERDICT || data == Some(ADDRESS_AND_PORT.0);
    is_map && attributes.be32(4) == TYPE_INTEGER && known
}

/// A named set or map, without its elements; `None` when the model has no place for it.
pub(crate) fn set(attributes: Attributes<'_>) -> Option<Set> {
    let verdicts = match (attributes.be32(3).unwrap_or(0), attributes.be32(6)) {
        (0, None) => false,
        (MAP, DATA_VERDICT) => true,
        _ => return None,
    };
    let number = attributes.be32(4)?;
    Some(Set {
        key: *KeyType::VARIANTS.iter().find(|k| k.number() == number)?,
        verdicts,
        comment: comment(attributes.bytes(13), 7),
        elements: BTreeMap::new(),
    })
}

/// A key of that type; fields are padded to 4 bytes.
fn key(kind: KeyType, bytes: &[u8]) -> Option<Key> {
    let address = |b: &[u8; 4]| IpAddr::from(*b);
    match (kind, bytes.as_chunks::<4>()) {
        (KeyType::Address, ([a], [])) => Some(Key::Address(address(a))),
        (KeyType::AddressProtoPort, ([a, [proto, ..], [p, q, ..]], [])) => Some(
            Key::AddressProtoPort(address(a), L4Proto(*proto), u16::from_be_bytes([*p, *q])),
        ),
        (KeyType::AddressesProtoPort, ([a, b, [proto, ..], [p, q, ..]], [])) => {
            Some(Key::AddressesProtoPort(
                [address(a), address(b)],
                L4Proto(*proto),
                u16::from_be_bytes([*p, *q]),
            ))
        }
        (KeyType::ProtoPort, ([[proto, ..], [p, q, ..]], [])) => Some(Key::ProtoPort(
            L4Proto(*proto),
            u16::from_be_bytes([*p, *q]),
        )),
        _ => None,
    }
}

/// The raw key of an element: NFTA_SET_ELEM_KEY, NFTA_DATA_VALUE.
pub(crate) fn raw_key(element: Attributes<'_>) -> Option<&[u8]> {
    element.nested(1)?.bytes(1)
}

/// An element of a named set; `None` when the model has no place for it (flags, timeouts, foreign
/// keys or data).
pub(crate) fn element(
    kind: KeyType,
    verdicts: bool,
    attributes: Attributes<'_>,
) -> Option<Element> {
    // 1 key, 2 data, 3 flags, 6 user data, 7 padding; anything else makes the element mean more.
    let only_known = attributes
        .filter_map(Result::ok)
        .all(|a: Attribute<'_>| match a.kind {
            3 => a.value == [0; 4],
            kind => matches!(kind, 1 | 2 | 6),
        });
    if !only_known {
        return None;
    }
    Some(Element {
        key: key(kind, raw_key(attributes)?)?,
        verdict: match verdicts {
            true => Some(verdict(attributes.nested(2)?)?),
            false => None,
        },
        comment: comment(attributes.bytes(6), 0),
    })
}
