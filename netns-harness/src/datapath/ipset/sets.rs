//! Sets as the kernel lists them.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipset_sys::{Entry, Mark, Set};

/// Type of the mode's set.
pub(super) const TYPE: &str = "hash:ip,port";

/// Address, IP protocol number, port.
pub(super) type Key = (Ipv4Addr, u8, u16);

/// One set.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Held {
    pub(super) type_name: String,
    /// Whether elements can have marks; of a listed set unknown, and taken as true.
    pub(super) skbinfo: bool,
    pub(super) max_elements: u32,
    pub(super) elements: BTreeMap<Key, Option<Mark>>,
}

/// Sets by name.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Sets(pub(super) BTreeMap<String, Held>);

pub(super) fn key(entry: &Entry) -> Key {
    (entry.address, entry.protocol, entry.port)
}

impl Sets {
    /// Sets from a listing.
    pub(super) fn listed(sets: Vec<Set>) -> Self {
        let held = |set: Set| {
            let held = Held {
                type_name: set.type_name,
                skbinfo: true,
                max_elements: set.max_elements,
                elements: set.entries.iter().map(|e| (key(e), e.mark)).collect(),
            };
            (set.name, held)
        };
        Self(sets.into_iter().map(held).collect())
    }

    /// Elements in all sets.
    pub(super) fn elements(&self) -> usize {
        self.0.values().map(|set| set.elements.len()).sum()
    }
}
