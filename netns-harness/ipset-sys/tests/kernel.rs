//! On the running kernel, each test in a network namespace that ends with its thread.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod write;

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};

use ipset_sys::{
    Command, Create, Entry, Error, Family, Mark, Session, Set, SetType, restore_script,
};
use nix::sched::{CloneFlags, unshare};
use testing::in_namespace;
use write::{add, create, tcp};

/// The tool's answer, in the calling thread's namespace.
fn ipset(arguments: &[&str], input: &str) -> String {
    testing::tool("ipset", arguments, input)
}

fn sets_of(session: &mut Session, commands: &[Command]) -> Vec<Set> {
    session.send(commands).unwrap();
    session.sets().unwrap()
}

#[test]
fn sets_are_made_filled_swapped_flushed_and_destroyed() {
    in_namespace(|| {
        let mut session = Session::open().unwrap();
        assert_eq!(session.sets().unwrap(), []);

        let mark = Some(Mark {
            value: 0x0001_0000,
            mask: 0xffff_0000,
        });
        let whole = Some(Mark {
            value: 7,
            mask: u32::MAX,
        });
        let mut commands = vec![
            create("a", SetType::HashIpPort, 100),
            create("b", SetType::HashIpPort, 200),
            create("addresses", SetType::HashIp, 1000),
            create("loops", SetType::HashIpPortIp, 1000),
            add(
                "a",
                Entry {
                    mark,
                    ..tcp([10, 96, 0, 1], 80)
                },
            ),
            add(
                "a",
                Entry {
                    mark: whole,
                    protocol: 17,
                    ..tcp([10, 96, 0, 2], 53)
                },
            ),
            add("b", tcp([10, 96, 0, 3], 443)),
            add(
                "addresses",
                Entry {
                    protocol: 0,
                    port: 0,
                    ..tcp([192, 0, 2, 9], 0)
                },
            ),
            add(
                "loops",
                Entry {
                    second: Some(Ipv4Addr::new(10, 128, 0, 9).into()),
                    prefix: None,
                    mark,
                    ..tcp([10, 128, 0, 9], 8080)
                },
            ),
        ];
        let sets = sets_of(&mut session, &commands);
        let named =
            |sets: &[Set], name: &str| sets.iter().find(|s| s.name == name).unwrap().clone();
        for (name, set_type, max) in [
            ("a", "hash:ip,port", 100),
            ("b", "hash:ip,port", 200),
            ("addresses", "hash:ip", 1000),
            ("loops", "hash:ip,port,ip", 1000),
        ] {
            let set = named(&sets, name);
            assert_eq!((set.type_name.as_str(), set.max_elements), (set_type, max));
            assert!(set.memory_bytes > 100, "{set:?}");
            let sent: BTreeSet<Entry> = commands
                .iter()
                .filter_map(|c| match c {
                    Command::Add(to, entry) if to == name => Some(*entry),
                    _ => None,
                })
                .collect();
            assert_eq!(BTreeSet::from_iter(set.entries), sent, "{name}");
        }

        commands.clear();
        commands.push(Command::Swap("a".to_owned(), "b".to_owned()));
        let swapped = sets_of(&mut session, &commands);
        assert_eq!(named(&swapped, "a").entries, named(&sets, "b").entries);
        assert_eq!(named(&swapped, "b").entries.len(), 2);

        // A mark plays no part in a deletion.
        let gone = sets_of(
            &mut session,
            &[Command::Delete(
                "b".to_owned(),
                Entry {
                    mark: whole,
                    ..tcp([10, 96, 0, 1], 80)
                },
            )],
        );
        assert_eq!(named(&gone, "b").entries.len(), 1);

        let names = ["a", "b", "addresses", "loops"];
        let flushed = sets_of(&mut session, &names.map(|n| Command::Flush(n.to_owned())));
        assert!(flushed.iter().all(|set| set.entries.is_empty()) && flushed.len() == 4);
        let destroyed = sets_of(&mut session, &names.map(|n| Command::Destroy(n.to_owned())));
        assert_eq!(destroyed, []);
        assert_eq!(ipset(&["list", "-n"], ""), "");
    });
}

fn ten_thousand() -> Vec<Command> {
    let entries = (0..10_000_u32).map(|i| {
        let mark = Some(Mark {
            value: (i + 1) << 16,
            mask: 0xffff_0000,
        });
        let address = Ipv4Addr::from_bits(0x0a60_0000 + i * 7).into();
        let protocol = if i % 3 == 0 { 17 } else { 6 };
        let port = (i % 1000) as u16 + 1;
        add(
            "services",
            Entry {
                address,
                protocol,
                port,
                second: None,
                prefix: None,
                mark,
            },
        )
    });
    [create("services", SetType::HashIpPort, 65_535)]
        .into_iter()
        .chain(entries)
        .collect()
}

fn saved_adds() -> BTreeSet<String> {
    ipset(&["save"], "")
        .lines()
        .filter(|line| line.starts_with("add "))
        .map(str::to_owned)
        .collect()
}

#[test]
fn ten_thousand_entries_are_what_the_tool_saves_and_what_we_list() {
    in_namespace(|| {
        let commands = ten_thousand();
        let mut session = Session::open().unwrap();
        session.send(&commands).unwrap();
        let sent: BTreeSet<String> = commands[1..].iter().map(ToString::to_string).collect();
        assert_eq!(sent.len(), 10_000);
        assert!(saved_adds() == sent, "ipset save lists other entries");
        let sets = session.sets().unwrap();
        let listed: BTreeSet<String> = sets[0]
            .entries
            .iter()
            .map(|entry| format!("add services {entry}"))
            .collect();
        assert!(listed == sent, "our listing has other entries");
        assert_eq!(sets[0].entries.len(), 10_000);
        assert!(
            sets[0].memory_bytes > 10_000 * 8,
            "{}",
            sets[0].memory_bytes
        );
    });
}

#[test]
fn the_script_given_to_the_tool_makes_the_same_sets() {
    let mut commands = ten_thousand();
    let other = Entry {
        second: Some([10, 9, 9, 9].into()),
        prefix: None,
        ..tcp([10, 1, 1, 1], 99)
    };
    commands.extend([
        create("pairs", SetType::HashIpPortIp, 9),
        add("pairs", other),
        create("spare", SetType::HashIpPortIp, 9),
        Command::Swap("pairs".to_owned(), "spare".to_owned()),
        create("gone", SetType::HashIp, 9),
        Command::Destroy("gone".to_owned()),
        create("void", SetType::HashIp, 9),
        add(
            "void",
            Entry {
                protocol: 0,
                port: 0,
                ..tcp([10, 1, 1, 1], 0)
            },
        ),
        Command::Flush("void".to_owned()),
    ]);
    let Command::Add(name, first) = commands[1].clone() else {
        panic!("the first entry");
    };
    commands.push(Command::Delete(name, first));
    let listed = |install: &(dyn Fn(&mut Session) + Sync)| {
        in_namespace(|| {
            let mut session = Session::open().unwrap();
            install(&mut session);
            let mut sets = session.sets().unwrap();
            sets.sort_by(|a, b| a.name.cmp(&b.name));
            for set in &mut sets {
                set.entries.sort();
                set.memory_bytes = 0; // depends on the hash's seed
            }
            sets
        })
    };
    let Some(ours) = listed(&|session| session.send(&commands).unwrap()) else {
        return;
    };
    let theirs = listed(&|_| drop(ipset(&["restore"], &restore_script(&commands)))).unwrap();
    assert!(ours == theirs, "the tool's sets differ");
    let names: Vec<&str> = ours.iter().map(|set| set.name.as_str()).collect();
    assert_eq!(names, ["pairs", "services", "spare", "void"]);
    assert_eq!(ours[1].entries.len(), 9_999);
    assert_eq!(ours[2].entries, [other]);
}

#[test]
fn a_set_of_ipv6_is_listed_as_it_was_sent_and_takes_no_address_of_ipv4() {
    let entry = |host: u32| Entry {
        address: Ipv6Addr::from_bits(0xfd00 << 112 | u128::from(host)).into(),
        mark: host.is_multiple_of(2).then_some(Mark {
            value: 0x1_0000,
            mask: 0xffff_0000,
        }),
        ..tcp([0; 4], 80)
    };
    let name = "six".to_owned();
    let mut commands = vec![Command::Create(Create {
        name: name.clone(),
        set_type: SetType::HashIpPort,
        family: Family::Inet6,
        max_elements: 1_000,
        hash_size: None,
        skbinfo: true,
    })];
    commands.extend((1..=500).map(|host| Command::Add(name.clone(), entry(host))));
    commands.push(Command::Delete(name.clone(), entry(500)));
    let wanted: Vec<Entry> = (1..500).map(entry).collect();
    let sorted = |session: &mut Session| {
        let mut entries = session.sets().unwrap().remove(0).entries;
        entries.sort();
        entries
    };
    in_namespace(|| {
        let mut session = Session::open().unwrap();
        session.send(&commands).unwrap();
        assert_eq!(sorted(&mut session), wanted);
        let other = Command::Add(name.clone(), tcp([10, 96, 0, 1], 80));
        assert!(session.send(&[other]).is_err());
    });
    in_namespace(|| {
        ipset(&["restore"], &restore_script(&commands));
        assert_eq!(sorted(&mut Session::open().unwrap()), wanted);
    });
}

#[test]
fn sets_of_other_kinds_are_an_error_of_the_listing_not_an_empty_set() {
    in_namespace(|| {
        ipset(&["create", "m", "list:set"], "");
        ipset(&["create", "a", "hash:ip"], "");
        let mut session = Session::open().unwrap();
        assert_eq!(session.sets().unwrap().len(), 2, "empty ones are listed");
        ipset(&["add", "m", "a"], "");
        let error = session.sets().unwrap_err();
        assert!(
            matches!(&error, Error::List(netlink::Error::Foreign { what }) if what.contains("set m ")),
            "{error}"
        );
    });
}

#[test]
fn sessions_leave_no_file_descriptor() {
    in_namespace(|| {
        let count = || std::fs::read_dir("/proc/thread-self/fd").unwrap().count();
        // Other tests open files meanwhile: a leak of ours would be 200.
        let before = count();
        for _ in 0..200 {
            let mut session = Session::open().unwrap();
            let _ = session
                .send(&[Command::Flush("absent".to_owned())])
                .unwrap_err();
        }
        assert!(
            count() < before + 100,
            "{before} file descriptors became {}",
            count()
        );
    });
}

#[test]
fn threads_in_namespaces_of_their_own_do_not_see_each_other() {
    in_namespace(|| {
        let sizes: Vec<usize> = std::thread::scope(|scope| {
            let threads: Vec<_> = (1..=4_u16)
                .map(|n| {
                    scope.spawn(move || {
                        unshare(CloneFlags::CLONE_NEWNET).unwrap();
                        let mut session = Session::open().unwrap();
                        // The same name is another type of set in each second one.
                        let of = [SetType::HashIpPort, SetType::HashIp][usize::from(n % 2)];
                        session.send(&[create("s", of, 10_000)]).unwrap();
                        for port in 1..=100 * n {
                            let entry = match of {
                                SetType::HashIp => Entry {
                                    protocol: 0,
                                    port: 0,
                                    ..tcp([10, 0, (port >> 8) as u8, port as u8], 0)
                                },
                                _ => tcp([10, 0, 0, 1], port),
                            };
                            session.send(&[add("s", entry)]).unwrap();
                        }
                        session.sets().unwrap()[0].entries.len()
                    })
                })
                .collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        assert_eq!(sizes, [100, 200, 300, 400]);
    });
}
