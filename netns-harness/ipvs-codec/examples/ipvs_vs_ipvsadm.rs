//! The same virtual servers made twice, by this crate and by `ipvsadm -R`: in random order, each in a
//! network namespace of its own, read back each time. Prints each pair as a line of JSON. Where the kernel
//! has no IPVS, a guest has: the program can be a guest's first process.
//!
//!     boot 6.1 ipvs_vs_ipvsadm PAIRS [SERVERS [SEED]]
//!
//! `encode_ns`: operations → messages. `send_ns`: socket opened, family asked for, messages sent → every
//! acknowledgement read. `ipvsadm_ns`: starting the tool → it has ended; it parses, and makes a socket for
//! each command. `list_ns`: reading everything back. `library_cpu_ns`, `ipvsadm_cpu_ns`: processor time, user
//! and system. Ends with 1 when the kernel lists other servers than were asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, ExitCode};

use ipvs_codec::{
    Connection, Destination, Forward, LinkOp, Links, Op, Protocol, Scheduler, Server, Service,
    ServiceId, script,
};
use netlink::Batch;
use netns_sys::netns::NetNs;
use netns_sys::{clock, process};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

type Outcome<T> = Result<T, Box<dyn Error>>;
type Relation = BTreeMap<Service, BTreeSet<Destination>>;

const DESTINATIONS: u32 = 2;
const DEVICE: &str = "servers0";

/// Servers on addresses of their own, spread evenly over the low octet: older kernels hash by it.
fn operations(servers: u32, rng: &mut Xoshiro256PlusPlus) -> Vec<Op> {
    let mut addresses = BTreeSet::new();
    while addresses.len() < servers as usize {
        addresses.insert(0x0a60_0000 | rng.next_u32() >> 12);
    }
    let mut ops = Vec::new();
    for (n, address) in (0..).zip(addresses) {
        let id = ServiceId {
            protocol: if n % 2 == 0 {
                Protocol::Tcp
            } else {
                Protocol::Udp
            },
            address: Ipv4Addr::from_bits(address).into(),
            port: 80,
        };
        ops.push(Op::AddService(Service {
            id,
            scheduler: Scheduler::RoundRobin,
            persistence_s: None,
        }));
        for e in 0..DESTINATIONS {
            let server = Server {
                address: Ipv4Addr::from_bits(0x0a80_0000 + n * DESTINATIONS + e).into(),
                port: 8080,
            };
            ops.push(Op::AddDestination(
                id,
                Destination {
                    server,
                    forward: Forward::Masquerade,
                    weight: 1,
                },
            ));
        }
    }
    ops
}

fn asked_for(ops: &[Op]) -> Relation {
    let mut relation = Relation::new();
    let mut services = BTreeMap::new();
    for op in ops {
        match op {
            Op::AddService(service) => {
                services.insert(service.id, *service);
                relation.insert(*service, BTreeSet::new());
            }
            Op::AddDestination(id, destination) => {
                relation
                    .entry(services[id])
                    .or_default()
                    .insert(*destination);
            }
            _ => {}
        }
    }
    relation
}

fn listed() -> Outcome<Relation> {
    let mut connection = Connection::open()?;
    let mut relation = Relation::new();
    for listed in connection.services()? {
        let destinations = connection.destinations(listed.service.id)?;
        let destinations = destinations.into_iter().map(|d| d.destination).collect();
        relation.insert(listed.service, destinations);
    }
    Ok(relation)
}

/// Destinations must be routable: one address makes the namespace's tables.
fn prepare() -> Outcome<()> {
    let mut links = Links::open()?;
    links.send(&Batch::encode(vec![LinkOp::AddDummy(DEVICE)]))?;
    let address = LinkOp::AddAddress(DEVICE, Ipv4Addr::new(192, 0, 2, 1).into());
    Ok(links.send(&Batch::encode(vec![address]))?)
}

/// Nanoseconds of one arm.
#[derive(Default)]
struct Cost {
    encode: u64,
    apply: u64,
    cpu: u64,
}

fn ours(ops: &[Op]) -> Outcome<Cost> {
    let ops = ops.to_vec();
    let cpu_before = clock::thread_cpu_ns();
    let start = clock::now();
    let batch = Batch::encode(ops);
    let encoded = clock::now();
    Connection::open()?.send(&batch)?;
    Ok(Cost {
        encode: start.ns_until(encoded),
        apply: encoded.elapsed_ns(),
        cpu: clock::thread_cpu_ns() - cpu_before,
    })
}

fn tool(script: &str) -> Outcome<Cost> {
    let used_before = process::tools_usage().cpu_ns();
    let start = clock::now();
    let done = process::run(Command::new("ipvsadm").arg("-R"), script.as_bytes())?;
    let cost = Cost {
        encode: 0,
        apply: start.elapsed_ns(),
        cpu: process::tools_usage().cpu_ns() - used_before,
    };
    match done.status.success() {
        true => Ok(cost),
        false => Err(String::from_utf8_lossy(&done.stderr).into()),
    }
}

/// Whether ours comes first, pair by pair: as often as not, in random order.
fn orders(pairs: u32, rng: &mut Xoshiro256PlusPlus) -> Vec<bool> {
    let mut orders: Vec<bool> = (0..pairs).map(|pair| pair % 2 == 0).collect();
    for last in (1..orders.len()).rev() {
        orders.swap(last, rng.next_u32() as usize % (last + 1));
    }
    orders
}

fn pairs() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let pairs: u32 = arguments.next().ok_or("PAIRS [SERVERS [SEED]]")?.parse()?;
    let servers: u32 = arguments.next().map_or(Ok(10_000), |a| a.parse())?;
    let seed: u64 = arguments.next().map_or(Ok(1), |a| a.parse())?;
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let ops = operations(servers, &mut rng);
    let (wanted, script) = (asked_for(&ops), script(&ops));
    for (pair, ours_first) in (1..).zip(orders(pairs, &mut rng)) {
        let (mut library, mut other, mut list) = (Cost::default(), Cost::default(), 0);
        for arm in [ours_first, !ours_first] {
            NetNs::new()?.run(|| -> Outcome<()> {
                prepare()?;
                match arm {
                    true => library = ours(&ops)?,
                    false => other = tool(&script)?,
                }
                let start = clock::now();
                let there = listed()?;
                list = start.elapsed_ns();
                match there == wanted {
                    true => Ok(()),
                    false => Err("the kernel lists other servers than were asked for".into()),
                }
            })??;
        }
        let first = if ours_first { "library" } else { "ipvsadm" };
        println!(
            r#"{{"pair":{pair},"first":"{first}","servers":{servers},"destinations":{DESTINATIONS},"messages":{},"encode_ns":{},"send_ns":{},"library_cpu_ns":{},"ipvsadm_ns":{},"ipvsadm_cpu_ns":{},"list_ns":{list}}}"#,
            ops.len(),
            library.encode,
            library.apply,
            library.cpu,
            other.apply,
            other.cpu,
        );
    }
    Ok(())
}

fn main() -> ExitCode {
    // As a guest's first process it serves, and starts itself for the job.
    if std::process::id() == 1 && std::env::args().any(|word| word == "guest-init") {
        guest::pid1::run(Path::new("/init"));
    }
    match pairs() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
