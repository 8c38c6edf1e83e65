//! What the kernel lists, decoded from its netlink messages (`ip_set_dump_do` in
//! `net/netfilter/ipset/ip_set_core.c`, Linux 6.12; attributes in
//! `include/uapi/linux/netfilter/ipset/ip_set.h`).
//!
//! libipset has no typed listing, only a printed one, for which it reads /etc/protocols once an entry. This
//! one is read past it, so that what is listed has nothing in common with what encoded the commands.

use std::net::Ipv4Addr;

use crate::bindings as c;
use crate::command::{Entry, Mark};
use crate::error::Error;

/// A set as the kernel lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// Its name.
    pub name: String,
    /// Its type, for example `hash:ip,port`.
    pub type_name: String,
    /// `maxelem`; 0 where the type has none.
    pub max_elements: u32,
    /// The kernel's own account of its memory ("Size in memory" of `ipset list`), bytes.
    pub memory_bytes: u64,
    /// Rules and sets that refer to it.
    pub references: u32,
    /// All entries, in the order of the listing (that of the hash buckets).
    pub entries: Vec<Entry>,
}

/// Attributes of an entry that an [`Entry`] has no room for and that leave its meaning as it is.
const IGNORED: [u32; 7] = [
    c::IPSET_ATTR_TIMEOUT,
    c::IPSET_ATTR_BYTES,
    c::IPSET_ATTR_PACKETS,
    c::IPSET_ATTR_COMMENT,
    c::IPSET_ATTR_SKBPRIO,
    c::IPSET_ATTR_SKBQUEUE,
    c::IPSET_ATTR_PAD,
];

/// A netlink attribute: its number without flags, its bytes.
#[derive(Clone, Copy)]
struct Attribute<'a> {
    number: u32,
    bytes: &'a [u8],
    /// Integers are in network order (`NLA_F_NET_BYTEORDER`).
    network_order: bool,
}

/// The attributes in `bytes`; `None` in place of one that does not fit.
fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = Option<Attribute<'_>>> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let torn = &[][..];
        let Some((length, kind)) = half(bytes, 0).zip(half(bytes, 2)) else {
            bytes = torn;
            return Some(None);
        };
        let Some(content) = bytes.get(4..usize::from(length)) else {
            bytes = torn;
            return Some(None);
        };
        let next = usize::from(length).next_multiple_of(4);
        bytes = bytes.get(next..).unwrap_or(torn);
        Some(Some(Attribute {
            number: u32::from(kind & 0x3fff),
            bytes: content,
            network_order: kind & 0x4000 != 0,
        }))
    })
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

impl<'a> Attribute<'a> {
    fn byte(self) -> Option<u8> {
        self.bytes.first().copied()
    }

    fn half(self) -> Option<u16> {
        let bytes = *self.bytes.first_chunk()?;
        Some(match self.network_order {
            true => u16::from_be_bytes(bytes),
            false => u16::from_ne_bytes(bytes),
        })
    }

    fn word(self) -> Option<u32> {
        let bytes = *self.bytes.first_chunk()?;
        Some(match self.network_order {
            true => u32::from_be_bytes(bytes),
            false => u32::from_ne_bytes(bytes),
        })
    }

    fn long(self) -> Option<u64> {
        let bytes = *self.bytes.first_chunk()?;
        Some(match self.network_order {
            true => u64::from_be_bytes(bytes),
            false => u64::from_ne_bytes(bytes),
        })
    }

    fn text(self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes.strip_suffix(b"\0")?).ok()
    }

    /// An IPv4 address, in a nest of its own; not one of IPv6.
    fn address(self) -> Option<Ipv4Addr> {
        let inner = attributes(self.bytes).next()??;
        match inner.number {
            c::IPSET_ATTR_IPADDR_IPV4 => Some(Ipv4Addr::from(*inner.bytes.first_chunk::<4>()?)),
            _ => None,
        }
    }
}

/// Takes in one message of a listing (what follows `nfgenmsg`): a set's header, some of its entries, or both.
///
/// # Errors
/// A message that is torn, or an entry that an [`Entry`] cannot express.
pub(crate) fn take_in(sets: &mut Vec<Set>, message: &[u8]) -> Result<(), Error> {
    let mut name = None;
    let mut type_name = None;
    let mut header = None;
    let mut entries = None;
    for attribute in attributes(message) {
        let attribute = attribute.ok_or(Error::Torn)?;
        match attribute.number {
            c::IPSET_ATTR_SETNAME => name = attribute.text(),
            c::IPSET_ATTR_TYPENAME => type_name = attribute.text(),
            c::IPSET_ATTR_DATA => header = Some(attribute.bytes),
            c::IPSET_ATTR_ADT => entries = Some(attribute.bytes),
            _ => {}
        }
    }
    let name = name.ok_or(Error::Torn)?;
    if let Some(header) = header {
        let type_name = type_name.ok_or(Error::Torn)?;
        sets.push(described(name, type_name, header).ok_or(Error::Torn)?);
    }
    let set = sets.last_mut().filter(|set| set.name == name);
    let set = set.ok_or(Error::Torn)?; // entries follow their set's header
    for attribute in attributes(entries.unwrap_or_default()) {
        let bytes = attribute.ok_or(Error::Torn)?.bytes;
        let entry = entry(bytes).ok_or_else(|| Error::Foreign {
            set: set.name.clone(),
            type_name: set.type_name.clone(),
        })?;
        set.entries.push(entry);
    }
    Ok(())
}

/// A set of that header, without entries yet.
fn described(name: &str, type_name: &str, header: &[u8]) -> Option<Set> {
    let mut set = Set {
        name: name.to_owned(),
        type_name: type_name.to_owned(),
        max_elements: 0,
        memory_bytes: 0,
        references: 0,
        entries: Vec::new(),
    };
    for attribute in attributes(header) {
        let attribute = attribute?;
        match attribute.number {
            c::IPSET_ATTR_MAXELEM => set.max_elements = attribute.word()?,
            c::IPSET_ATTR_MEMSIZE => set.memory_bytes = u64::from(attribute.word()?),
            c::IPSET_ATTR_REFERENCES => set.references = attribute.word()?,
            _ => {}
        }
    }
    Some(set)
}

/// An entry; `None` if it holds anything that would change its meaning.
fn entry(bytes: &[u8]) -> Option<Entry> {
    let mut address = None;
    let mut entry = Entry {
        address: Ipv4Addr::UNSPECIFIED,
        protocol: 0,
        port: 0,
        second: None,
        mark: None,
    };
    for attribute in attributes(bytes) {
        let attribute = attribute?;
        match attribute.number {
            c::IPSET_ATTR_IP => address = Some(attribute.address()?),
            c::IPSET_ATTR_IP2 => entry.second = Some(attribute.address()?),
            c::IPSET_ATTR_PROTO => entry.protocol = attribute.byte()?,
            c::IPSET_ATTR_PORT => entry.port = attribute.half()?,
            c::IPSET_ATTR_SKBMARK => {
                let both = attribute.long()?;
                entry.mark = Some(Mark {
                    value: (both >> 32) as u32,
                    mask: both as u32,
                });
            }
            number if IGNORED.contains(&number) => {}
            _ => return None,
        }
    }
    entry.address = address?;
    Some(entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(number: u32, bytes: &[u8]) -> Vec<u8> {
        let mut out = (4 + bytes.len() as u16).to_ne_bytes().to_vec();
        out.extend((number as u16 | 0x4000).to_ne_bytes());
        out.extend(bytes);
        out.resize(out.len().next_multiple_of(4), 0);
        out
    }

    fn address(number: u32, address: [u8; 4]) -> Vec<u8> {
        attribute(number, &attribute(c::IPSET_ATTR_IPADDR_IPV4, &address))
    }

    fn element(extra: &[u8]) -> Vec<u8> {
        let parts = [
            address(c::IPSET_ATTR_IP, [10, 96, 0, 1]),
            attribute(c::IPSET_ATTR_PORT, &80_u16.to_be_bytes()),
            attribute(c::IPSET_ATTR_PROTO, &[6]),
            attribute(c::IPSET_ATTR_SKBMARK, &[0, 1, 0, 0, 255, 255, 0, 0]),
            extra.to_vec(),
        ];
        attribute(c::IPSET_ATTR_DATA, &parts.concat())
    }

    fn message(name: &[u8], header: bool, elements: &[Vec<u8>]) -> Vec<u8> {
        let mut out = attribute(c::IPSET_ATTR_SETNAME, name);
        if header {
            out.extend(attribute(c::IPSET_ATTR_TYPENAME, b"hash:ip,port\0"));
            let numbers = [
                attribute(c::IPSET_ATTR_MAXELEM, &100_u32.to_be_bytes()),
                attribute(c::IPSET_ATTR_MEMSIZE, &456_u32.to_be_bytes()),
                attribute(c::IPSET_ATTR_REFERENCES, &2_u32.to_be_bytes()),
            ];
            out.extend(attribute(c::IPSET_ATTR_DATA, &numbers.concat()));
        }
        out.extend(attribute(c::IPSET_ATTR_ADT, &elements.concat()));
        out
    }

    #[test]
    fn a_set_is_put_together_from_its_messages() {
        let mut sets = Vec::new();
        let second = address(c::IPSET_ATTR_IP2, [10, 0, 0, 9]);
        take_in(&mut sets, &message(b"a\0", true, &[element(&[])])).unwrap();
        take_in(&mut sets, &message(b"a\0", false, &[element(&second)])).unwrap();
        take_in(&mut sets, &message(b"b\0", true, &[])).unwrap();
        let texts: Vec<String> = sets[0].entries.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "10.96.0.1,tcp:80 skbmark 0x10000/0xffff0000",
                "10.96.0.1,tcp:80,10.0.0.9 skbmark 0x10000/0xffff0000"
            ]
        );
        let Set {
            max_elements,
            memory_bytes,
            references,
            ..
        } = sets[0];
        assert_eq!((max_elements, memory_bytes, references), (100, 456, 2));
        assert_eq!((sets.len(), sets[1].name.as_str()), (2, "b"));
    }

    #[test]
    fn an_entry_with_more_than_we_know_is_an_error() {
        let comment = attribute(c::IPSET_ATTR_COMMENT, b"said\0");
        let mut sets = Vec::new();
        take_in(&mut sets, &message(b"a\0", true, &[element(&comment)])).unwrap();
        for number in [
            c::IPSET_ATTR_CIDR,
            c::IPSET_ATTR_CADT_FLAGS,
            c::IPSET_ATTR_NAME,
            c::IPSET_ATTR_ETHER,
        ] {
            let other = element(&attribute(number, &[1]));
            let error = take_in(&mut sets, &message(b"a\0", false, &[other])).unwrap_err();
            assert!(matches!(error, Error::Foreign { .. }), "{number}: {error}");
        }
    }

    #[test]
    fn a_message_cut_anywhere_is_an_error_and_never_a_panic() {
        let whole = message(b"a\0", true, &[element(&[])]);
        take_in(&mut Vec::new(), &whole).unwrap();
        let boundaries: Vec<usize> = (0..whole.len())
            .filter(|&cut| take_in(&mut Vec::new(), &whole[..cut]).is_ok())
            .collect();
        // Without its entries, cut at the attribute's start, it is a message still.
        assert_eq!(boundaries.len(), 1, "{boundaries:?} of {}", whole.len());
        assert!(take_in(&mut Vec::new(), &message(b"a\0", false, &[])).is_err());
    }
}
