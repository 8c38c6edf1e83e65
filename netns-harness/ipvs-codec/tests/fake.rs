//! What is encoded is what was asked, whatever it is, and the fake refuses what the kernel refuses.
#![allow(missing_docs, reason = "tests are sentences")]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipvs_codec::{
    Destination, Forward, Op, Protocol, Scheduler, Server, Service, ServiceId, script,
};
use model::{Servers, parse_ipvsadm, requests};
use netlink::Batch;
use nix::errno::Errno;
use proptest::prelude::*;

fn id() -> impl Strategy<Value = ServiceId> {
    (any::<bool>(), 0u32..4, 80u16..82).prop_map(|(tcp, address, port)| ServiceId {
        protocol: if tcp { Protocol::Tcp } else { Protocol::Udp },
        address: Ipv4Addr::from_bits(0x0a60_0001 + address).into(),
        port,
    })
}

fn service() -> impl Strategy<Value = Service> {
    let scheduler = prop::sample::select(Scheduler::ALL);
    (id(), scheduler, prop::option::of(1u32..100_000)).prop_map(|(id, scheduler, persistence_s)| {
        Service {
            id,
            scheduler,
            persistence_s,
        }
    })
}

fn server() -> impl Strategy<Value = Server> {
    (0u32..3, any::<u16>()).prop_map(|(address, port)| Server {
        address: Ipv4Addr::from_bits(0x0a80_0001 + address).into(),
        port: 8080 + port % 2,
    })
}

fn destination() -> impl Strategy<Value = Destination> {
    let forward = prop::sample::select(&[Forward::Masquerade, Forward::Tunnel, Forward::Route][..]);
    (server(), forward, 0u32..65_536).prop_map(|(server, forward, weight)| Destination {
        server,
        forward,
        weight,
    })
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => service().prop_map(Op::AddService),
        1 => service().prop_map(Op::SetService),
        1 => id().prop_map(Op::DeleteService),
        8 => (id(), destination()).prop_map(|(id, d)| Op::AddDestination(id, d)),
        2 => (id(), destination()).prop_map(|(id, d)| Op::SetDestination(id, d)),
        2 => (id(), server()).prop_map(|(id, s)| Op::DeleteDestination(id, s)),
        1 => Just(Op::Flush),
    ]
}

/// What the kernel answers, from the names of what is there alone.
fn answer(there: &BTreeMap<ServiceId, BTreeSet<Server>>, op: &Op) -> Result<(), Errno> {
    let found = |yes: bool, errno| if yes { Ok(()) } else { Err(errno) };
    let servers = |id: &ServiceId| there.get(id).ok_or(Errno::ESRCH);
    match op {
        Op::AddService(s) => found(!there.contains_key(&s.id), Errno::EEXIST),
        Op::SetService(s) => servers(&s.id).map(drop),
        Op::DeleteService(id) => servers(id).map(drop),
        Op::AddDestination(id, d) => found(!servers(id)?.contains(&d.server), Errno::EEXIST),
        Op::SetDestination(id, d) => found(servers(id)?.contains(&d.server), Errno::ENOENT),
        Op::DeleteDestination(id, s) => found(servers(id)?.contains(s), Errno::ENOENT),
        Op::Flush => Ok(()),
    }
}

proptest! {
    #[test]
    fn messages_and_scripts_are_read_back_as_what_was_asked(ops in prop::collection::vec(op(), 0..60)) {
        let batch = Batch::encode(ops.clone());
        let read = requests(batch.bytes()).unwrap();
        let numbered: Vec<(u32, Op)> = (1..).zip(ops.iter().copied()).collect();
        prop_assert_eq!(read, numbered);
        prop_assert_eq!(batch.messages(), ops.len() as u64);
        let single = Batch::encode_one_by_one(ops.clone());
        prop_assert_eq!(single.bytes(), batch.bytes());
        prop_assert_eq!(parse_ipvsadm(&script(&ops)).unwrap(), ops);
    }

    #[test]
    fn the_fake_refuses_what_names_forbid_and_leaves_everything_else_as_it_was(
        ops in prop::collection::vec(op(), 0..80),
    ) {
        let mut fake = Servers::default();
        for op in &ops {
            let names = fake.0.iter().map(|(id, (_, d))| (*id, d.keys().copied().collect())).collect();
            let before = fake.clone();
            let done = fake.carry_out(op);
            prop_assert_eq!(done, answer(&names, op), "{}", op);
            if done.is_err() {
                prop_assert_eq!(&before, &fake);
            }
        }
    }

    #[test]
    fn a_batch_goes_on_past_a_refusal_and_names_the_first(ops in prop::collection::vec(op(), 1..60)) {
        let (mut whole, mut single) = (Servers::default(), Servers::default());
        let mut first = None;
        for (index, op) in ops.iter().enumerate() {
            if let Err(errno) = single.carry_out(op) {
                first.get_or_insert((index, errno));
            }
        }
        prop_assert_eq!(whole.carry_out_all(&ops).err(), first);
        prop_assert_eq!(whole, single);
    }
}

#[test]
fn a_cut_request_is_no_request() {
    let (id, server) = (
        id_of_test(),
        Server {
            address: [10, 128, 0, 1].into(),
            port: 8080,
        },
    );
    let forward = Forward::Masquerade;
    let batch = Batch::encode(vec![
        Op::AddService(Service {
            id,
            scheduler: Scheduler::Maglev,
            persistence_s: Some(10_800),
        }),
        Op::AddDestination(
            id,
            Destination {
                server,
                forward,
                weight: 1,
            },
        ),
    ]);
    for cut in 1..batch.bytes().len() {
        let read = requests(&batch.bytes()[..cut]);
        assert!(cut == batch.start(1) || read.is_none(), "{cut}: {read:?}");
    }
}

fn id_of_test() -> ServiceId {
    ServiceId {
        protocol: Protocol::Tcp,
        address: [10, 96, 0, 1].into(),
        port: 80,
    }
}

#[test]
fn a_duplicate_a_server_without_a_service_and_what_is_not_there_are_refused_each_with_its_errno() {
    let id = id_of_test();
    let service = Service {
        id,
        scheduler: Scheduler::RoundRobin,
        persistence_s: None,
    };
    let destination = Destination {
        server: Server {
            address: [10, 128, 0, 1].into(),
            port: 8080,
        },
        forward: Forward::Masquerade,
        weight: 1,
    };
    let mut fake = Servers::default();
    assert_eq!(
        fake.carry_out(&Op::AddDestination(id, destination)),
        Err(Errno::ESRCH)
    );
    assert_eq!(fake.carry_out(&Op::AddService(service)), Ok(()));
    assert_eq!(fake.carry_out(&Op::AddService(service)), Err(Errno::EEXIST));
    assert_eq!(
        fake.carry_out(&Op::DeleteDestination(id, destination.server)),
        Err(Errno::ENOENT)
    );
}
