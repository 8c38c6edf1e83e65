//! Objects of the kernel's listing, from attributes. Attribute numbers: linux/netfilter/nf_tables.h.

mod expressions;
mod statements;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::time::Duration;

use netlink::{Attribute, Attributes};
use strum::VariantArray as _;

use crate::family::TableFamily;
use crate::intervals::{self, Interval};
use crate::names::{Comment, Name};
use crate::ops::{
    BaseChain, ChainKind, Element, Hook, Key, KeyType, L4Proto, Network, Policy, Rule, Statement,
    Verdict, address_and_port,
};
use crate::ruleset::Set;

use statements::statements;

/// What rules of a table may refer to.
#[derive(Debug, Default)]
pub(crate) struct Sets {
    /// The table's family.
    pub(crate) family: TableFamily,
    /// Sets and maps that have a name of their own.
    pub(crate) named: HashSet<String>,
    /// Anonymous maps of numbers, to verdicts or to addresses and ports.
    pub(crate) anonymous: HashSet<String>,
    /// Anonymous sets of networks.
    pub(crate) networks: HashMap<String, Vec<Network>>,
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
        .map(|list| expressions::expressions(sets.family, list))
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
        Some(bytes) => Drawn::Address(address_with_port(bytes)?),
    };
    Some((number, drawn))
}

/// An address and a port, padded to 4 bytes. Its length says of which family it is.
fn address_with_port(bytes: &[u8]) -> Option<SocketAddr> {
    let (address, port) = bytes.split_last_chunk::<4>()?;
    let address = TableFamily::ALL
        .into_iter()
        .find_map(|family| family.address(address))?;
    let port = u16::from_be_bytes([port[0], port[1]]);
    Some(SocketAddr::new(address, port))
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
/// NFT_SET_CONSTANT and NFT_SET_INTERVAL.
const CONSTANT: u32 = 0x2;
const INTERVAL: u32 = 0x4;
/// NFT_SET_TIMEOUT; with NFT_SET_EVAL: `flags dynamic,timeout`.
const TIMEOUT: u32 = 0x10;
const FILLED_BY_RULES: u32 = TIMEOUT | 0x20;
/// NFT_DATA_VERDICT.
const DATA_VERDICT: Option<u32> = Some(0xffff_ff00);
/// `nft`'s number of the type `integer`.
const TYPE_INTEGER: Option<u32> = Some(4);

/// Whether a set has no name but the kernel's.
pub(crate) fn is_anonymous(attributes: Attributes<'_>) -> bool {
    attributes.be32(3).unwrap_or(0) & ANONYMOUS != 0
}

/// Whether its elements have a time after which they are gone: then rules put them there.
pub(crate) fn has_timeout(attributes: Attributes<'_>) -> bool {
    attributes.be32(3).unwrap_or(0) & TIMEOUT != 0
}

/// Whether it is a map of numbers, to verdicts or to addresses of that family and ports.
pub(crate) fn is_choice(family: TableFamily, attributes: Attributes<'_>) -> bool {
    let is_map = attributes.be32(3).unwrap_or(0) & MAP != 0;
    let data = attributes.be32(6);
    let known = data == DATA_VERDICT || data == Some(address_and_port(family).0);
    is_map && attributes.be32(4) == TYPE_INTEGER && known
}

/// Whether it is an anonymous set of intervals of addresses of that family.
pub(crate) fn is_of_networks(family: TableFamily, attributes: Attributes<'_>) -> bool {
    attributes.be32(3) == Some(ANONYMOUS | CONSTANT | INTERVAL)
        && attributes.be32(4) == Some(KeyType::Address.number(family))
        && attributes.be32(6).is_none()
}

/// An element of such a set: an address, and whether an interval begins there; otherwise one has ended before it.
pub(crate) fn bound(family: TableFamily, element: Attributes<'_>) -> Option<(u128, bool)> {
    let address = family.address(raw_key(element)?)?;
    // NFT_SET_ELEM_INTERVAL_END.
    let ends = element.be32(3).unwrap_or(0) & 1 != 0;
    Some((intervals::number(address), !ends))
}

/// The networks between bounds in any order.
pub(crate) fn between(family: TableFamily, mut bounds: Vec<(u128, bool)>) -> Vec<Network> {
    // Where one interval ends and the next begins, the end is first.
    bounds.sort_unstable();
    let mut found: Vec<Interval> = Vec::new();
    let mut open = None;
    for (at, begins) in bounds {
        if let Some(first) = open.take() {
            found.push((first, at.saturating_sub(1)));
        }
        open = begins.then_some(at);
    }
    found.extend(open.map(|first| (first, intervals::last(family))));
    intervals::networks(family, &found)
}

/// A named set or map of a table of that family, without its elements; `None` when the model has no place for it.
pub(crate) fn set(family: TableFamily, attributes: Attributes<'_>) -> Option<Set> {
    let (verdicts, fades) = match (attributes.be32(3).unwrap_or(0), attributes.be32(6)) {
        (0, None) => (false, false),
        (FILLED_BY_RULES, None) => (false, true),
        (MAP, DATA_VERDICT) => (true, false),
        _ => return None,
    };
    let timeout = match fades {
        true => Some(Duration::from_millis(attributes.be64(11)?)),
        false => None,
    };
    let number = attributes.be32(4)?;
    let mut keys = KeyType::VARIANTS.iter();
    Some(Set {
        key: *keys.find(|key| key.number(family) == number)?,
        verdicts,
        timeout,
        comment: comment(attributes.bytes(13), 7),
        elements: BTreeMap::new(),
    })
}

/// A key of that type in a table of that family; fields are padded to 4 bytes.
fn key(family: TableFamily, kind: KeyType, bytes: &[u8]) -> Option<Key> {
    let len = family.address_len();
    let (addresses, rest) = bytes.split_at_checked(kind.addresses() * len)?;
    let address = |place: usize| family.address(&addresses[place * len..][..len]);
    let proto_and_port = match rest.as_chunks::<4>() {
        ([], []) => None,
        ([[proto, ..], [p, q, ..]], []) => Some((L4Proto(*proto), u16::from_be_bytes([*p, *q]))),
        _ => return None,
    };
    Some(match (kind, proto_and_port) {
        (KeyType::Address, None) => Key::Address(address(0)?),
        (KeyType::AddressProtoPort, Some((proto, port))) => {
            Key::AddressProtoPort(address(0)?, proto, port)
        }
        (KeyType::AddressesProtoPort, Some((proto, port))) => {
            Key::AddressesProtoPort([address(0)?, address(1)?], proto, port)
        }
        (KeyType::ProtoPort, Some((proto, port))) => Key::ProtoPort(proto, port),
        _ => return None,
    })
}

/// The raw key of an element: NFTA_SET_ELEM_KEY, NFTA_DATA_VALUE.
pub(crate) fn raw_key(element: Attributes<'_>) -> Option<&[u8]> {
    element.nested(1)?.bytes(1)
}

/// An element of a named set; `None` when the model has no place for it (flags, timeouts, foreign
/// keys or data).
pub(crate) fn element(
    family: TableFamily,
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
        key: key(family, kind, raw_key(attributes)?)?,
        verdict: match verdicts {
            true => Some(verdict(attributes.nested(2)?)?),
            false => None,
        },
        comment: comment(attributes.bytes(6), 0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_the_fields_of_its_type_and_an_address_the_length_of_its_family() {
        let (four, sixteen) = ([10, 0, 0, 1], [0xfd; 16]);
        let rest = &[6, 0, 0, 0, 0, 80, 0, 0][..];
        for (family, address) in [
            (TableFamily::Ip, &four[..]),
            (TableFamily::Ip6, &sixteen[..]),
        ] {
            let at = family.address(address).unwrap();
            let tcp = L4Proto::TCP;
            let whole = [address, address, rest].concat();
            let len = address.len();
            for (kind, bytes, wanted) in [
                (KeyType::Address, address, Key::Address(at)),
                (KeyType::ProtoPort, rest, Key::ProtoPort(tcp, 80)),
                (
                    KeyType::AddressProtoPort,
                    &whole[len..],
                    Key::AddressProtoPort(at, tcp, 80),
                ),
                (
                    KeyType::AddressesProtoPort,
                    &whole[..],
                    Key::AddressesProtoPort([at, at], tcp, 80),
                ),
            ] {
                assert_eq!(key(family, kind, bytes), Some(wanted));
                assert_eq!(key(family, kind, &bytes[1..]), None);
                assert_eq!(key(family, kind, &[bytes, &[0; 4][..]].concat()), None);
            }
        }
    }

    #[test]
    fn bounds_are_the_networks_between_them() {
        let ip = TableFamily::Ip;
        let network = |a, b, c, d, prefix| {
            let address = std::net::IpAddr::from([a, b, c, d]);
            Network { address, prefix }
        };
        let at = |network: Network| intervals::number(network.address);
        let (low, high) = (network(10, 0, 0, 0, 8), network(203, 0, 113, 0, 25));
        // As rbtree lists them: descending, with the end before everything.
        let bounds = vec![
            (at(high) + 128, false),
            (at(high), true),
            (at(low) + (1 << 24), false),
            (at(low), true),
            (0, false),
        ];
        assert_eq!(between(ip, bounds), [low, high]);
        assert_eq!(between(ip, vec![(0, true)]), [network(0, 0, 0, 0, 0)]);
        assert_eq!(between(ip, vec![(0, false)]), []);
    }

    #[test]
    fn data_of_a_choice_tell_their_family_by_their_length() {
        let port = &[0x1f, 0x90, 0, 0][..];
        let read = |address: &[u8]| address_with_port(&[address, port].concat());
        assert_eq!(read(&[10, 0, 0, 1]), "10.0.0.1:8080".parse().ok());
        let last = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        assert_eq!(read(&last), "[fd00::1]:8080".parse().ok());
        assert_eq!((read(&last[..8]), address_with_port(&[1])), (None, None));
    }
}
