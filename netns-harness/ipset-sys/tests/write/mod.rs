//! Short ways to write commands.
#![allow(dead_code, reason = "each test uses a part")]

use ipset_sys::{Command, Create, Entry, Family, SetType};

pub(crate) fn create(name: &str, set_type: SetType, max_elements: u32) -> Command {
    Command::Create(Create {
        name: name.to_owned(),
        set_type,
        family: Family::Inet,
        max_elements,
        hash_size: None,
        skbinfo: true,
    })
}

pub(crate) fn tcp(address: [u8; 4], port: u16) -> Entry {
    Entry {
        address: address.into(),
        protocol: 6,
        port,
        second: None,
        prefix: None,
        mark: None,
    }
}

pub(crate) fn add(name: &str, entry: Entry) -> Command {
    Command::Add(name.to_owned(), entry)
}
