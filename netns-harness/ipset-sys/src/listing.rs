//! What the kernel lists, read from libipset's plain print of it (`ipset list`): the only one that
//! names memory and references as well as entries without being a document to parse.

use std::net::Ipv4Addr;

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
    /// The kernel's own account of its memory ("Size in memory"), bytes.
    pub memory_bytes: u64,
    /// Rules and sets that refer to it.
    pub references: u32,
    /// All entries, in the order of the listing (that of the hash buckets).
    pub entries: Vec<Entry>,
}

/// All sets of a print. An entry needs a line of its own after "Members:", an empty line ends a set.
///
/// # Errors
/// The first line that is neither.
pub(crate) fn parse(printed: &str) -> Result<Vec<Set>, Error> {
    let mut sets: Vec<Set> = Vec::new();
    let mut members = false;
    for line in printed.lines() {
        let not_understood = || Error::Listing {
            line: line.to_owned(),
        };
        if members {
            match sets.last_mut() {
                Some(_) if line.is_empty() => members = false,
                Some(set) => set.entries.push(entry(line).ok_or_else(not_understood)?),
                None => return Err(not_understood()),
            }
            continue;
        }
        let (key, value) = line.split_once(':').ok_or_else(not_understood)?;
        let value = value.trim();
        if key == "Name" {
            sets.push(empty(value));
            continue;
        }
        let set = sets.last_mut().ok_or_else(not_understood)?;
        match key {
            "Members" => members = true,
            _ => header(set, key, value).ok_or_else(not_understood)?,
        }
    }
    Ok(sets)
}

fn empty(name: &str) -> Set {
    Set {
        name: name.to_owned(),
        type_name: String::new(),
        max_elements: 0,
        memory_bytes: 0,
        references: 0,
        entries: Vec::new(),
    }
}

fn header(set: &mut Set, key: &str, value: &str) -> Option<()> {
    match key {
        "Type" => set.type_name = value.to_owned(),
        "Header" => {
            let mut words = value.split_ascii_whitespace();
            if words.any(|word| word == "maxelem") {
                set.max_elements = words.next()?.parse().ok()?;
            }
        }
        "Size in memory" => set.memory_bytes = value.parse().ok()?,
        "References" => set.references = value.parse().ok()?,
        "Number of entries" => set.entries.reserve(value.parse().ok()?),
        "Revision" => {}
        _ => return None,
    }
    Some(())
}

/// `10.0.0.1,tcp:80,10.0.0.2 skbmark 0x10000/0xffff0000`, the parts after the address optional.
fn entry(line: &str) -> Option<Entry> {
    let mut words = line.split_ascii_whitespace();
    let mut parts = words.next()?.split(',');
    let address: Ipv4Addr = parts.next()?.parse().ok()?;
    let (protocol, port) = match parts.next() {
        None => (0, 0),
        Some(part) => {
            let (name, port) = part.split_once(':')?;
            (protocol(name)?, port.parse().ok()?)
        }
    };
    let second = match parts.next() {
        None => None,
        Some(part) => Some(part.parse().ok()?),
    };
    if parts.next().is_some() {
        return None;
    }
    let mark = if words.any(|word| word == "skbmark") {
        Some(mark(words.next()?)?)
    } else {
        None
    };
    Some(Entry {
        address,
        protocol,
        port,
        second,
        mark,
    })
}

/// libipset prints the name that /etc/protocols has, and the number where there is no such file.
fn protocol(name: &str) -> Option<u8> {
    match name {
        "tcp" => Some(6),
        "udp" => Some(17),
        "sctp" => Some(132),
        "udplite" => Some(136),
        number => number.parse().ok(),
    }
}

/// `0x10000/0xffff0000`; a full mask is not printed.
fn mark(text: &str) -> Option<Mark> {
    let hexadecimal = |text: &str| u32::from_str_radix(text.strip_prefix("0x")?, 16).ok();
    let (value, mask) = match text.split_once('/') {
        Some((value, mask)) => (hexadecimal(value)?, hexadecimal(mask)?),
        None => (hexadecimal(text)?, u32::MAX),
    };
    Some(Mark { value, mask })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTED: &str = "\
Name: a
Type: hash:ip,port
Revision: 6
Header: family inet hashsize 1024 maxelem 100 skbinfo bucketsize 12 initval 0x9ad5d58b
Size in memory: 456
References: 2
Number of entries: 3
Members:
10.96.0.2,udp:53 skbmark 0x7
10.96.0.1,tcp:80 skbmark 0x10000/0xffff0000
10.96.0.3,6:443

Name: b
Type: hash:ip,port,ip
Revision: 6
Header: family inet hashsize 1024 maxelem 65536 bucketsize 12 initval 0x1
Size in memory: 280
References: 0
Number of entries: 1
Members:
10.96.0.1,tcp:80,10.96.0.9 packets 3 bytes 180
";

    #[test]
    fn a_print_of_two_sets_is_read_with_marks_and_numbers() {
        let sets = parse(PRINTED).unwrap();
        assert_eq!(sets.len(), 2);
        let a = &sets[0];
        assert_eq!(
            (
                a.name.as_str(),
                a.type_name.as_str(),
                a.max_elements,
                a.memory_bytes,
                a.references
            ),
            ("a", "hash:ip,port", 100, 456, 2)
        );
        let texts: Vec<String> = a.entries.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "10.96.0.2,udp:53 skbmark 0x7/0xffffffff",
                "10.96.0.1,tcp:80 skbmark 0x10000/0xffff0000",
                "10.96.0.3,tcp:443"
            ]
        );
        assert_eq!(sets[1].entries[0].to_string(), "10.96.0.1,tcp:80,10.96.0.9");
        assert_eq!(parse("").unwrap(), []);
    }

    #[test]
    fn no_line_is_passed_over() {
        for (good, bad) in [
            ("10.96.0.3,6:443", "10.96.0.3,nonsense:443"),
            ("10.96.0.3,6:443", "10.96.0.3,6:443,10.0.0.1,10.0.0.2"),
            ("0x10000/0xffff0000", "65536"),
            ("Size in memory: 456", "Size in memory: much"),
            ("References: 2", "Sisters: 2"),
            ("maxelem 100 ", "maxelem "),
            ("Name: a\n", ""),
        ] {
            let damaged = PRINTED.replacen(good, bad, 1);
            assert_ne!(damaged, PRINTED);
            assert!(
                matches!(parse(&damaged), Err(Error::Listing { .. })),
                "{bad}"
            );
        }
    }
}
