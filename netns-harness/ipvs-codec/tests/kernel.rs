//! Addresses on a device of the running kernel, and IPVS where it has it. Without it, or without the right
//! to make a namespace, a test says so and is skipped, unless `BENCH_REQUIRE` names the capability;
//! scripts/verify/ipvs-in-guest runs it where there is IPVS.
#![allow(missing_docs, reason = "tests are sentences")]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::net::{IpAddr, Ipv4Addr};

use ipvs_codec::{
    Connection, Destination, Forward, LinkOp, Links, Op, Protocol, Scheduler, Server, Service,
    ServiceId,
};
use netlink::{Batch, Error};
use nix::errno::Errno;
use nix::sys::socket::AddressFamily;
use testing::{in_namespace, skip_ipvs};

const DEVICE: &str = "trial0";

/// With a dummy device that has an address: destinations are routable then.
fn with_device(links: &mut Links) -> Result<(), Error> {
    links.send(&Batch::encode(vec![LinkOp::AddDummy(DEVICE)]))?;
    let address = LinkOp::AddAddress(DEVICE, Ipv4Addr::new(10, 96, 0, 1).into());
    links.send(&Batch::encode(vec![address]))
}

#[test]
fn addresses_of_a_device_that_is_not_there_are_refused_and_there_are_none() {
    in_namespace(|| {
        let mut links = Links::open().unwrap();
        assert_eq!(links.device(DEVICE), Ok(None));
        assert_eq!(links.addresses(DEVICE, AddressFamily::Inet), Ok(Vec::new()));
        let add = LinkOp::AddAddress(DEVICE, Ipv4Addr::new(10, 96, 0, 1).into());
        let refused = links.send(&Batch::encode(vec![add])).unwrap_err();
        assert!(refused.is_not_found(), "{refused}");
        let gone = links.send(&Batch::encode(vec![LinkOp::DeleteDevice(DEVICE)]));
        assert!(gone.unwrap_err().is_not_found());
    });
}

#[test]
fn thousands_of_addresses_are_added_in_few_sends_listed_and_removed_and_each_refusal_is_named() {
    in_namespace(|| {
        let mut links = Links::open().unwrap();
        // The loopback device is in every namespace; a dummy is not in every kernel.
        let address = |n: u32| IpAddr::V4(Ipv4Addr::from_bits(0x0a60_0001 + n));
        let op = |n| LinkOp::AddAddress("lo", address(n));
        let adds: Vec<LinkOp> = (0..3_000).map(op).collect();
        links.send(&Batch::encode(adds)).unwrap();
        let mut listed = links.addresses("lo", AddressFamily::Inet).unwrap();
        listed.sort_unstable();
        let wanted: Vec<_> = (0..3_000).map(|n| (address(n), 32)).collect();
        assert_eq!(listed, wanted);

        let twice = links.send(&Batch::encode(vec![op(3_000), op(7), op(8), op(3_001)]));
        let Err(Error::Refused {
            sequence,
            errno,
            further,
            ..
        }) = twice
        else {
            panic!("{twice:?}")
        };
        assert_eq!((sequence, errno, further), (2, Errno::EEXIST, 1));
        // The rest of the send was carried out.
        assert_eq!(
            links.addresses("lo", AddressFamily::Inet).unwrap().len(),
            3_002
        );

        let delete = |n| LinkOp::DeleteAddress("lo", address(n));
        let deletes = (0..3_002).map(delete).collect();
        links.send(&Batch::encode_one_by_one(deletes)).unwrap();
        assert_eq!(links.addresses("lo", AddressFamily::Inet), Ok(Vec::new()));
        let gone = links.send(&Batch::encode(vec![delete(0)])).unwrap_err();
        assert_eq!(gone.errno(), Some(Errno::EADDRNOTAVAIL));
    });
}

#[test]
fn an_address_of_ipv6_is_added_with_its_whole_length_and_removed() {
    in_namespace(|| {
        let mut links = Links::open().unwrap();
        let address = IpAddr::from([0xfd00, 0x10, 0x96, 0, 0, 0, 0, 1]);
        // Address, index, prefix length in hexadecimal (`if6_seq_show` in net/ipv6/addrconf.c).
        let listed = || std::fs::read_to_string("/proc/thread-self/net/if_inet6").unwrap();
        let add = vec![LinkOp::AddAddress("lo", address)];
        links.send(&Batch::encode(add.clone())).unwrap();
        let said = listed();
        assert!(
            said.starts_with("fd000010009600000000000000000001 01 80 "),
            "{said}"
        );
        let of = |links: &mut Links, family| links.addresses("lo", family);
        let own = Ok(vec![(address, 128)]);
        assert_eq!(of(&mut links, AddressFamily::Inet6), own);
        assert_eq!(of(&mut links, AddressFamily::Inet), Ok(Vec::new()));
        let again = links.send(&Batch::encode(add)).unwrap_err();
        assert_eq!(again.errno(), Some(Errno::EEXIST));
        let delete = vec![LinkOp::DeleteAddress("lo", address)];
        links.send(&Batch::encode(delete)).unwrap();
        assert_eq!(listed(), "");
    });
}

#[test]
fn servers_are_made_listed_changed_and_refused_as_the_fake_says() {
    in_namespace(|| {
        let mut connection = match Connection::open() {
            Ok(connection) => connection,
            Err(missing @ Error::Missing { .. }) => return skip_ipvs(missing),
            Err(other) => panic!("{other}"),
        };
        with_device(&mut Links::open().unwrap()).unwrap();
        let id = |n: u32| ServiceId {
            protocol: Protocol::Tcp,
            address: Ipv4Addr::from_bits(0x0a60_0001 + n).into(),
            port: 80,
        };
        let service = |n| Service {
            id: id(n),
            scheduler: Scheduler::RoundRobin,
            persistence_s: None,
        };
        let destination = |n: u32| Destination {
            server: Server {
                address: Ipv4Addr::from_bits(0x0a80_0001 + n).into(),
                port: 8080,
            },
            forward: Forward::Masquerade,
            weight: 1,
        };
        let ops: Vec<Op> = (0..2_000)
            .flat_map(|n| {
                [
                    Op::AddService(service(n)),
                    Op::AddDestination(id(n), destination(n)),
                ]
            })
            .collect();
        let mut fake = model::Servers::default();
        fake.carry_out_all(&ops).unwrap();
        connection.send(&Batch::encode(ops)).unwrap();
        let more = [
            Op::AddService(service(0)),
            Op::SetDestination(
                id(1),
                Destination {
                    weight: 0,
                    ..destination(1)
                },
            ),
            Op::SetService(Service {
                persistence_s: Some(300),
                ..service(2)
            }),
            Op::DeleteDestination(id(3), destination(4).server),
            Op::DeleteService(id(5)),
            Op::AddDestination(id(5), destination(6)),
        ];
        let said = fake.carry_out_all(&more).unwrap_err();
        let refused = connection.send(&Batch::encode(more.to_vec())).unwrap_err();
        let Error::Refused {
            sequence,
            errno,
            further,
            ..
        } = refused
        else {
            panic!("{refused}")
        };
        assert_eq!(((sequence as usize - 1, errno), further), (said, 2));
        let mut listed = model::Servers::default();
        for server in connection.services().unwrap() {
            let all = connection.destinations(server.service.id).unwrap();
            let all = all
                .into_iter()
                .map(|d| (d.destination.server, d.destination));
            let all = (server.service, all.collect());
            listed.0.insert(server.service.id, all);
        }
        assert_eq!(listed, fake);
        assert_eq!(connection.service(id(5)), Ok(None));
        connection.send(&Batch::encode(vec![Op::Flush])).unwrap();
        assert_eq!(connection.services(), Ok(Vec::new()));
    });
}
