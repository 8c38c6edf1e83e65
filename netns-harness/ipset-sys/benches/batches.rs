//! 10,000 `hash:ip,port` entries: what is pure, and, where a network namespace can be had, what the
//! kernel and libipset take for them.

use std::hint::black_box;
use std::net::Ipv4Addr;

use criterion::{Criterion, criterion_group, criterion_main};
use ipset_sys::{Command, Create, Entry, Family, Mark, Session, SetType, messages, restore_script};
use netns_sys::netns::NetNs;

const ENTRIES: u32 = 10_000;

fn create() -> Command {
    Command::Create(Create {
        name: "services".to_owned(),
        set_type: SetType::HashIpPort,
        family: Family::Inet,
        max_elements: 65_536,
        hash_size: None,
        skbinfo: true,
    })
}

fn adds() -> Vec<Command> {
    (0..ENTRIES)
        .map(|i| {
            let entry = Entry {
                address: Ipv4Addr::from_bits(0x0a60_0000 + i).into(),
                protocol: 6,
                port: 80,
                second: None,
                prefix: None,
                mark: Some(Mark {
                    value: i << 16,
                    mask: 0xffff_0000,
                }),
            };
            Command::Add("services".to_owned(), entry)
        })
        .collect()
}

fn pure(c: &mut Criterion) {
    let commands = adds();
    c.bench_function("frame 10000 entries", |b| {
        b.iter(|| messages(black_box(&commands)))
    });
    c.bench_function("print 10000 entries for ipset restore", |b| {
        b.iter(|| restore_script(black_box(&commands)))
    });
}

fn kernel(c: &mut Criterion) {
    let entered = NetNs::new().and_then(|namespace| namespace.enter());
    let Ok(_entered) = entered.inspect_err(|error| eprintln!("SKIP netns: {error}")) else {
        return;
    };
    let opened = Session::open();
    let Ok(mut session) = opened.inspect_err(|error| eprintln!("SKIP ipset: {error}")) else {
        return;
    };
    let flush = Command::Flush("services".to_owned());
    let refill: Vec<Command> = std::iter::once(flush).chain(adds()).collect();
    session
        .send(&[create()])
        .expect("a set in an empty namespace");
    c.bench_function("flush and send 10000 entries", |b| {
        b.iter(|| session.send(&refill).expect("the set takes them"))
    });
    c.bench_function("list 10000 entries", |b| {
        b.iter(|| session.sets().expect("the set is listed"))
    });
}

criterion_group!(all, pure, kernel);
criterion_main!(all);
