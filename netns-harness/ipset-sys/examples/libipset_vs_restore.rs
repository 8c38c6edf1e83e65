//! The same set made twice, through a session of this crate and by starting `ipset restore`: in random
//! order, each in a network namespace of its own. Prints each pair as a line of JSON. Pairs take turns:
//!
//! - *sized*: a new set that is made with `hashsize` for its entries, by both;
//! - *grown*: a set that was filled and flushed before;
//! - *small*: a new set with the default of 1,024 buckets. It has to grow while it is filled, twice in 10,000 entries, and
//!   waits for an RCU grace period each time (`synchronize_rcu` in `mtype_resize`,
//!   `net/netfilter/ipset/ip_set_hash_gen.h`), for the tool as for us: 10 ms or more that no sender has a part in.
//!
//!     libipset_vs_restore PAIRS [ENTRIES [SEED]]
//!
//! `send_ns`: all commands handed over → the kernel has answered for all. `open_ns`: making the session.
//! `restore_ns`: starting the tool → it has ended; it parses, opens its own session and sends. `list_ns`:
//! reading the set back through a session. `library_cpu_ns`, `restore_cpu_ns`: processor time, user and
//! system, of opening and sending, and of the tool: on a busy machine they say more. Ends with 1 when a set is not what it should be.

use std::collections::BTreeSet;
use std::error::Error;
use std::net::Ipv4Addr;
use std::process::Command as Process;

use ipset_sys::{Command, Create, Entry, Family, Mark, Session, SetType, messages, restore_script};
use netns_sys::netns::NetNs;
use netns_sys::{clock, process};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

type Outcome<T> = Result<T, Box<dyn Error>>;

const SET: &str = "services";

/// What makes the set, and what fills it.
fn commands(entries: u32, rng: &mut Xoshiro256PlusPlus) -> Vec<Command> {
    let mut addresses = BTreeSet::new();
    while addresses.len() < entries as usize {
        addresses.insert(0x0a60_0000 | rng.next_u32() >> 12);
    }
    let adds = (1..).zip(addresses).map(|(id, address)| {
        let entry = Entry {
            address: Ipv4Addr::from_bits(address).into(),
            protocol: if id % 4 == 0 { 17 } else { 6 },
            port: 80 + (id % 8) as u16,
            second: None,
            prefix: None,
            mark: Some(Mark {
                value: id << 16,
                mask: 0xffff_0000,
            }),
        };
        Command::Add(SET.to_owned(), entry)
    });
    adds.collect()
}

/// A kind of set, by its name, and with how many buckets it is made.
const KINDS: [(&str, Buckets); 3] = [
    ("sized", Buckets::OfEntries),
    ("grown", Buckets::There),
    ("small", Buckets::Default),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Buckets {
    OfEntries,
    Default,
    /// The set is there, and has grown.
    There,
}

fn create(hash_size: Option<u32>) -> Command {
    Command::Create(Create {
        name: SET.to_owned(),
        set_type: SetType::HashIpPort,
        family: Family::Inet,
        max_elements: 65_536,
        hash_size,
        skbinfo: true,
    })
}

/// Leaves the set empty, with room for all entries.
fn grow(new: &[Command]) -> Outcome<()> {
    let mut session = Session::open()?;
    session.send(new)?;
    Ok(session.send(&[Command::Flush(SET.to_owned())])?)
}

/// Nanoseconds of one arm.
#[derive(Default)]
struct Cost {
    /// Making the session; 0 of the tool, which does so inside.
    open: u64,
    /// The rest.
    apply: u64,
    /// Processor time of both.
    cpu: u64,
}

/// Through the library.
fn ours(commands: &[Command]) -> Outcome<Cost> {
    let cpu_before = clock::thread_cpu_ns();
    let start = clock::now();
    let mut session = Session::open()?;
    let opened = clock::now();
    session.send(commands)?;
    let sent = clock::now();
    Ok(Cost {
        open: start.ns_until(opened),
        apply: opened.ns_until(sent),
        cpu: clock::thread_cpu_ns() - cpu_before,
    })
}

/// By the tool.
fn restore(script: &str) -> Outcome<Cost> {
    let used_before = process::tools_usage().cpu_ns();
    let start = clock::now();
    let done = process::run(Process::new("ipset").arg("restore"), script.as_bytes())?;
    let cost = Cost {
        open: 0,
        apply: start.elapsed_ns(),
        cpu: process::tools_usage().cpu_ns() - used_before,
    };
    match done.status.success() {
        true => Ok(cost),
        false => Err(String::from_utf8_lossy(&done.stderr).into()),
    }
}

/// Holds what the kernel lists against what was asked for; the time that listing takes, nanoseconds.
fn prove(commands: &[Command]) -> Outcome<u64> {
    let mut session = Session::open()?;
    let start = clock::now();
    let sets = session.sets()?;
    let ns = start.elapsed_ns();
    let wanted: BTreeSet<Entry> = commands
        .iter()
        .filter_map(|command| match command {
            Command::Add(_, entry) => Some(*entry),
            _ => None,
        })
        .collect();
    let listed: BTreeSet<Entry> = sets.into_iter().flat_map(|set| set.entries).collect();
    match listed == wanted {
        true => Ok(ns),
        false => Err("the kernel lists other entries than were added".into()),
    }
}

fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let pairs: u32 = arguments.next().ok_or("PAIRS [ENTRIES [SEED]]")?.parse()?;
    let entries: u32 = arguments.next().map_or(Ok(10_000), |a| a.parse())?;
    let seed: u64 = arguments.next().map_or(Ok(1), |a| a.parse())?;
    if !(1..=65_535).contains(&entries) {
        return Err("ENTRIES is 1 to 65535: a mark's upper half is an entry's number".into());
    }

    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let adds = commands(entries, &mut rng);
    let new = |hash_size| -> Vec<Command> { [&[create(hash_size)], &adds[..]].concat() };
    for pair in 0..3 * pairs {
        let (set, buckets) = KINDS[pair as usize % KINDS.len()];
        let commands = match buckets {
            Buckets::OfEntries => new(Some(entries)),
            Buckets::Default => new(None),
            Buckets::There => adds.clone(),
        };
        let script = restore_script(&commands);
        let ours_first = rng.next_u32() & 1 == 0;
        let (mut library, mut tool, mut listing) = (Cost::default(), Cost::default(), 0);
        for arm in [ours_first, !ours_first] {
            NetNs::new()?.run(|| -> Outcome<()> {
                if buckets == Buckets::There {
                    grow(&new(None))?;
                }
                match arm {
                    true => library = ours(&commands)?,
                    false => tool = restore(&script)?,
                }
                listing = prove(&commands)?;
                Ok(())
            })??;
        }
        let first = if ours_first { "libipset" } else { "restore" };
        let messages = messages(&commands);
        println!(
            r#"{{"pair":{},"set":"{set}","first":"{first}","entries":{entries},"messages":{messages},"open_ns":{},"send_ns":{},"library_cpu_ns":{},"restore_ns":{},"restore_cpu_ns":{},"list_ns":{listing}}}"#,
            pair / 3 + 1,
            library.open,
            library.apply,
            library.cpu,
            tool.apply,
            tool.cpu,
        );
    }
    Ok(())
}
