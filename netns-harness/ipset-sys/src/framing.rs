//! How commands become netlink messages: sizes, and where one message ends. Pure, and what
//! [`crate::Session::send`] goes by, so that a count is known before anything is sent.

use std::net::IpAddr;
use std::ops::Range;

use crate::command::{Command, Create, Entry};

/// libipset's buffer is a page (lib/session.c, `ipset_session_init`), and of that it keeps room for
/// `struct nlmsgerr`. The smallest page of Linux is taken, so that messages are the same everywhere.
const MESSAGE_LIMIT: usize = 4096 - 20;
/// `nlmsghdr`, `nfgenmsg`, and the protocol version that opens every message.
const HEADER: usize = 16 + 4 + attribute(1);
/// Each command of a run, and the run, names its line for errors.
const LINE: usize = attribute(4);

const fn attribute(payload: usize) -> usize {
    4 + payload.next_multiple_of(4)
}

const fn nested(content: usize) -> usize {
    4 + content
}

/// Bytes of an address: in a nest of its own.
const fn address(address: IpAddr) -> usize {
    nested(attribute(match address {
        IpAddr::V4(_) => 4,
        IpAddr::V6(_) => 16,
    }))
}

fn string(text: &str) -> usize {
    attribute(text.len() + 1)
}

/// Bytes of one entry within a message: a nest of its own.
fn entry(entry: &Entry, with_mark: bool) -> usize {
    if entry.set_type().is_bitmap() {
        return nested(attribute(2) + LINE);
    }
    let port = match entry.protocol {
        0 => 0,
        _ => attribute(2) + attribute(1),
    };
    let prefix = entry.prefix.map_or(0, |_| attribute(1));
    let second = entry.second.map_or(0, address);
    let mark = entry.mark.filter(|_| with_mark).map_or(0, |_| attribute(8));
    nested(address(entry.address) + port + second + prefix + mark + LINE)
}

/// Set and entry of a command that can travel with others of its kind: (is it an add, set, bytes).
fn aggregated(command: &Command) -> Option<(bool, &str, usize)> {
    match command {
        Command::Add(set, added) => Some((true, set, entry(added, true))),
        Command::Delete(set, deleted) => Some((false, set, entry(deleted, false))),
        _ => None,
    }
}

/// Bytes of the message of a command that travels alone, and of the one that opens a run.
fn opening(command: &Command) -> usize {
    HEADER
        + match command {
            Command::Create(Create {
                name,
                set_type,
                hash_size,
                skbinfo,
                ..
            }) => {
                let flags = if *skbinfo { attribute(4) } else { 0 };
                let options = match set_type.is_bitmap() {
                    true => 2 * attribute(2),
                    false => attribute(4) + hash_size.map_or(0, |_| attribute(4)),
                };
                // name, type, revision, family, then maxelem and hashsize or the range, and flags
                string(name) + string(set_type.name()) + 2 * attribute(1) + nested(options + flags)
            }
            Command::Destroy(name) | Command::Flush(name) => string(name),
            Command::Swap(from, to) => string(from) + string(to),
            Command::Add(name, _) | Command::Delete(name, _) => string(name) + LINE + nested(0),
        }
}

/// A netlink message: which commands it carries, and its length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) commands: Range<usize>,
    pub(crate) bytes: usize,
}

/// The messages that carry `commands`, in order.
pub(crate) fn frame(commands: &[Command]) -> impl Iterator<Item = Message> {
    let mut next = 0;
    std::iter::from_fn(move || {
        let start = next;
        let first = commands.get(start)?;
        next += 1;
        let mut bytes = opening(first);
        if let Some((add, set, size)) = aggregated(first) {
            bytes += size;
            while let Some((_, _, size)) = commands
                .get(next)
                .and_then(aggregated)
                .filter(|&(a, s, size)| a == add && s == set && bytes + size <= MESSAGE_LIMIT)
            {
                bytes += size;
                next += 1;
            }
        }
        Some(Message {
            commands: start..next,
            bytes,
        })
    })
}

/// Netlink messages that [`crate::Session::send`] sends for `commands`, one system call each. Consecutive
/// adds (or deletes) to one set share messages of up to 4,076 bytes; everything else travels alone.
#[must_use]
pub fn messages(commands: &[Command]) -> u64 {
    frame(commands).count() as u64
}

/// Bytes of those messages, netlink headers included.
#[must_use]
pub fn bytes(commands: &[Command]) -> u64 {
    frame(commands).map(|message| message.bytes as u64).sum()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;
    use crate::command::{Mark, SetType};

    fn any_command() -> impl Strategy<Value = Command> {
        (0..12_u8, 0..2_u8, any::<(u32, u16, bool, bool)>()).prop_map(
            |(kind, set, (address, port, marked, second))| {
                let name = ["s", "a-longer-name"][usize::from(set)].to_owned();
                let entry = Entry {
                    address: Ipv4Addr::from_bits(address).into(),
                    protocol: if port == 0 { 0 } else { 6 },
                    port,
                    second: second.then(|| Ipv4Addr::from_bits(!address).into()),
                    prefix: None,
                    mark: marked.then_some(Mark { value: 1, mask: 1 }),
                };
                match kind {
                    0 => Command::Flush(name),
                    1 => Command::Swap(name, "t".to_owned()),
                    2..4 => Command::Delete(name, entry),
                    _ => Command::Add(name, entry),
                }
            },
        )
    }

    proptest! {
        #[test]
        fn messages_carry_all_commands_in_order_and_end_only_where_they_must(
            commands in prop::collection::vec(any_command(), 0..40),
            repeated in 0..300_usize,
        ) {
            let mut commands = commands;
            if let Some(last) = commands.last().cloned() {
                commands.extend(std::iter::repeat_n(last, repeated));
            }
            let messages: Vec<Message> = frame(&commands).collect();
            let order: Vec<usize> = messages.iter().flat_map(|m| m.commands.clone()).collect();
            prop_assert_eq!(order, (0..commands.len()).collect::<Vec<_>>());
            for pair in messages.windows(2) {
                let (last, next) = (&commands[pair[0].commands.end - 1], &commands[pair[1].commands.start]);
                let alike = |(a, s, _): (bool, &str, usize)| (a, s.to_owned());
                if aggregated(last).is_some() && aggregated(last).map(alike) == aggregated(next).map(alike) {
                    let size = aggregated(next).map_or(0, |(_, _, size)| size);
                    prop_assert!(pair[0].bytes + size > MESSAGE_LIMIT);
                }
            }
            prop_assert!(messages.iter().all(|m| m.bytes <= MESSAGE_LIMIT));
        }
    }

    #[test]
    fn law_of_size_of_a_run_of_marked_entries() {
        let entry = Entry {
            address: [10, 0, 0, 1].into(),
            protocol: 6,
            port: 80,
            second: None,
            prefix: None,
            mark: Some(Mark { value: 1, mask: 1 }),
        };
        let run = |n| vec![Command::Add("services".to_owned(), entry); n];
        // opening 28 + name 16 + line 8 + nest 4, 52 an entry: 77 a message
        for n in [1, 77, 78, 100, 1_000, 10_000] {
            assert_eq!(messages(&run(n)), n.div_ceil(77) as u64);
            assert_eq!(bytes(&run(n)), (56 * n.div_ceil(77) + 52 * n) as u64);
        }
        assert_eq!(SetType::HashIpPort.to_string(), "hash:ip,port");
    }
}
