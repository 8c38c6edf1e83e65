//! What the kernel lists, decoded from its netlink messages (`ip_set_dump_do` in
//! `net/netfilter/ipset/ip_set_core.c`, Linux 6.12; attributes in
//! `include/uapi/linux/netfilter/ipset/ip_set.h`).
//!
//! libipset has no typed listing, only a printed one, for which it reads /etc/protocols once an entry. This
//! one is read past it, so that what is listed has nothing in common with what encoded the commands.

use std::net::{IpAddr, Ipv4Addr};

use netlink::{Attribute, Attributes, Error};

use crate::bindings as c;
use crate::command::{Entry, Mark};

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

/// What cannot be of a listing.
const TORN: Error = Error::Torn { listing: "sets" };

/// Takes in one message of a listing: a set's header, some of its entries, or both.
///
/// # Errors
/// A message that is torn, or an entry that an [`Entry`] cannot express.
pub(crate) fn take_in(sets: &mut Vec<Set>, mut message: Attributes<'_>) -> Result<(), Error> {
    let all = message;
    if message.any(|attribute| attribute.is_err()) {
        return Err(TORN);
    }
    let name = all.text(c::IPSET_ATTR_SETNAME as u16).ok_or(TORN)?;
    if let Some(header) = all.nested(c::IPSET_ATTR_DATA as u16) {
        sets.push(Set {
            name: name.to_owned(),
            type_name: all
                .text(c::IPSET_ATTR_TYPENAME as u16)
                .ok_or(TORN)?
                .to_owned(),
            max_elements: header.be32(c::IPSET_ATTR_MAXELEM as u16).unwrap_or(0),
            memory_bytes: header
                .be32(c::IPSET_ATTR_MEMSIZE as u16)
                .ok_or(TORN)?
                .into(),
            entries: Vec::new(),
        });
    }
    let set = sets.last_mut().filter(|set| set.name == name);
    let set = set.ok_or(TORN)?; // entries follow their set's header
    for attribute in all.nested(c::IPSET_ATTR_ADT as u16).into_iter().flatten() {
        let entry = entry(attribute.map_err(|_| TORN)?.nested());
        set.entries.push(entry.ok_or_else(|| Error::Foreign {
            what: format!("entry of set {} ({})", set.name, set.type_name),
        })?);
    }
    Ok(())
}

/// An entry; `None` if it holds anything that would change its meaning.
fn entry(attributes: Attributes<'_>) -> Option<Entry> {
    let mut address = None;
    let mut entry = Entry {
        address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        protocol: 0,
        port: 0,
        second: None,
        prefix: None,
        mark: None,
    };
    for attribute in attributes {
        let attribute = attribute.ok()?;
        let value = attribute.value;
        match u32::from(attribute.kind) {
            c::IPSET_ATTR_IP => address = Some(address_in(attribute)?),
            c::IPSET_ATTR_IP2 => entry.second = Some(address_in(attribute)?),
            c::IPSET_ATTR_CIDR2 => entry.prefix = Some(*value.first()?),
            c::IPSET_ATTR_PROTO => entry.protocol = *value.first()?,
            c::IPSET_ATTR_PORT => entry.port = u16::from_be_bytes(value.try_into().ok()?),
            c::IPSET_ATTR_SKBMARK => {
                let both = u64::from_be_bytes(value.try_into().ok()?);
                entry.mark = Some(Mark {
                    value: (both >> 32) as u32,
                    mask: both as u32,
                });
            }
            number if IGNORED.contains(&number) => {}
            _ => return None,
        }
    }
    match address {
        Some(address) => entry.address = address,
        // Of a bitmap.
        None if entry.protocol == 0 && entry.port != 0 => {}
        None => return None,
    }
    Some(entry)
}

/// An address, in a nest of its own.
fn address_in(attribute: Attribute<'_>) -> Option<IpAddr> {
    let nest = attribute.nested();
    match nest.exact::<4>(c::IPSET_ATTR_IPADDR_IPV4 as u16) {
        Some(octets) => Some(IpAddr::from(octets)),
        None => nest
            .exact::<16>(c::IPSET_ATTR_IPADDR_IPV6 as u16)
            .map(IpAddr::from),
    }
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
        take_in(
            &mut sets,
            Attributes(&message(b"a\0", true, &[element(&[])])),
        )
        .unwrap();
        take_in(
            &mut sets,
            Attributes(&message(b"a\0", false, &[element(&second)])),
        )
        .unwrap();
        take_in(&mut sets, Attributes(&message(b"b\0", true, &[]))).unwrap();
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
            ..
        } = sets[0];
        assert_eq!((max_elements, memory_bytes), (100, 456));
        assert_eq!((sets.len(), sets[1].name.as_str()), (2, "b"));
    }

    #[test]
    fn an_entry_with_more_than_we_know_is_an_error() {
        let comment = attribute(c::IPSET_ATTR_COMMENT, b"said\0");
        let mut sets = Vec::new();
        take_in(
            &mut sets,
            Attributes(&message(b"a\0", true, &[element(&comment)])),
        )
        .unwrap();
        for number in [
            c::IPSET_ATTR_CIDR,
            c::IPSET_ATTR_CADT_FLAGS,
            c::IPSET_ATTR_NAME,
            c::IPSET_ATTR_ETHER,
        ] {
            let other = element(&attribute(number, &[1]));
            let error =
                take_in(&mut sets, Attributes(&message(b"a\0", false, &[other]))).unwrap_err();
            assert!(matches!(error, Error::Foreign { .. }), "{number}: {error}");
        }
    }

    #[test]
    fn a_message_cut_anywhere_is_an_error_and_never_a_panic() {
        let whole = message(b"a\0", true, &[element(&[])]);
        take_in(&mut Vec::new(), Attributes(&whole)).unwrap();
        let boundaries: Vec<usize> = (0..whole.len())
            .filter(|&cut| take_in(&mut Vec::new(), Attributes(&whole[..cut])).is_ok())
            .collect();
        // Without its entries, cut at the attribute's start, it is a message still.
        assert_eq!(boundaries.len(), 1, "{boundaries:?} of {}", whole.len());
        assert!(take_in(&mut Vec::new(), Attributes(&message(b"a\0", false, &[]))).is_err());
    }
}
