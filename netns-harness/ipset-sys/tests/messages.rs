//! What `messages` and `bytes` say, against what leaves the process.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod wire;
mod write;

use std::net::Ipv4Addr;

use ipset_sys::{Command, Create, Entry, Family, Mark, Session, SetType, bytes, messages};

const SHAPES: [(SetType, &str); 3] = [
    (SetType::HashIp, "short"),
    (SetType::HashIpPort, "a-name-of-twenty-six-bytes"),
    (SetType::HashIpPortIp, "a-name-that-has-all-31-bytes-..."),
];

/// Distinct entries of a shape; `n` of them, each second one marked.
fn entries(of: SetType, n: u32) -> impl Iterator<Item = Entry> {
    (0..n).map(move |i| Entry {
        address: Ipv4Addr::from_bits(0x0a00_0000 + i).into(),
        protocol: if of == SetType::HashIp { 0 } else { 17 },
        port: if of == SetType::HashIp { 0 } else { 53 },
        second: (of == SetType::HashIpPortIp).then(|| Ipv4Addr::from_bits(0x0b00_0000 + i).into()),
        prefix: None,
        mark: (i % 2 == 0).then_some(Mark {
            value: i << 16,
            mask: 0xffff_0000,
        }),
    })
}

#[test]
fn as_many_messages_and_bytes_are_sent_as_were_counted() {
    testing::in_namespace(|| {
        let mut session = Session::open().unwrap();
        let mut send = |commands: &[Command]| {
            wire::sent();
            session.send(commands).unwrap();
            let counted = (messages(commands), bytes(commands));
            assert_eq!(wire::sent(), counted, "{} commands", commands.len());
            counted.0
        };
        assert_eq!(send(&[]), 0);
        for (set_type, name) in SHAPES {
            let name: String = name.chars().take(31).collect();
            for (skbinfo, set) in [(true, name.clone()), (false, "x".to_owned())] {
                let create = Create {
                    name: set,
                    set_type,
                    family: Family::Inet,
                    max_elements: 70_000,
                    hash_size: skbinfo.then_some(4_096),
                    skbinfo,
                };
                assert_eq!(send(&[Command::Create(create)]), 1);
            }
            for n in [
                1, 2, 59, 60, 61, 75, 76, 77, 99, 100, 101, 111, 112, 113, 3000,
            ] {
                let add = |entry| Command::Add(name.clone(), entry);
                let delete = |entry| Command::Delete(name.clone(), entry);
                let adds: Vec<Command> = entries(set_type, n).map(add).collect();
                let deletes: Vec<Command> = entries(set_type, n).map(delete).collect();
                let run = send(&adds);
                assert!(
                    run <= 1 + u64::from(n) / 55,
                    "{n} entries in {run} messages"
                );
                assert!(send(&deletes) <= run);
                // In turns nothing can be shared.
                let pairs: Vec<Command> = adds
                    .iter()
                    .zip(&deletes)
                    .flat_map(|(a, d)| [a.clone(), d.clone()])
                    .collect();
                assert_eq!(send(&pairs), 2 * u64::from(n));
                assert_eq!(
                    send(&[adds, vec![Command::Flush(name.clone())]].concat()),
                    run + 1
                );
            }
            assert_eq!(send(&[Command::Swap(name.clone(), name.clone())]), 1);
            assert_eq!(
                send(&[Command::Destroy(name), Command::Destroy("x".to_owned())]),
                2
            );
        }
    });
}

#[test]
fn sets_of_ports_and_of_networks_are_made_as_counted_and_listed_empty() {
    testing::in_namespace(|| {
        let mut session = Session::open().unwrap();
        for (set_type, max_elements) in [(SetType::BitmapPort, 0), (SetType::HashIpPortNet, 65_536)]
        {
            let name = format!("empty-{set_type}");
            let create = Command::Create(Create {
                name: name.clone(),
                set_type,
                family: Family::Inet,
                max_elements,
                hash_size: None,
                skbinfo: false,
            });
            wire::sent();
            session.send(std::slice::from_ref(&create)).unwrap();
            assert_eq!(wire::sent(), (1, bytes(&[create])), "{set_type}");
            let listed = session.sets().unwrap();
            let [set] = &listed[..] else {
                panic!("{listed:?}")
            };
            assert_eq!(
                (
                    &*set.name,
                    &*set.type_name,
                    set.max_elements,
                    set.entries.len()
                ),
                (&*name, set_type.name(), max_elements, 0)
            );
            session.send(&[Command::Destroy(name)]).unwrap();
        }
    });
}

#[test]
fn an_update_of_one_service_is_one_message_whatever_is_in_the_set() {
    testing::in_namespace(|| {
        let mut session = Session::open().unwrap();
        let set_type = SetType::HashIpPort;
        for n in [100, 10_000] {
            let set = format!("of-{n}");
            let create = Create {
                name: set.clone(),
                set_type,
                family: Family::Inet,
                max_elements: 70_000,
                hash_size: None,
                skbinfo: true,
            };
            session.send(&[Command::Create(create)]).unwrap();
            let adds: Vec<Command> = entries(set_type, n + 1)
                .map(|entry| Command::Add(set.clone(), entry))
                .collect();
            let (one, rest) = adds.split_last().unwrap();
            session.send(rest).unwrap();
            wire::sent();
            session.send(std::slice::from_ref(one)).unwrap();
            assert_eq!(wire::sent().0, 1);
        }
    });
}
