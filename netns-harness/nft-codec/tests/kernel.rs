//! On the running kernel, each test in a network namespace that ends with its thread.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use model::Ruleset;
use nft_codec::{Comparison, Connection, EncodedBatch, Statement, TableFamily, parse_script};
use nix::errno::Errno;
use testing::{in_namespace, tool};

/// The same operations in a table of each family.
const SCRIPTS: [(TableFamily, &str); 2] = [
    (TableFamily::Ip, include_str!("kube-proxy.nft")),
    (TableFamily::Ip6, include_str!("kube-proxy-ip6.nft")),
];
const IP: TableFamily = TableFamily::Ip;

fn nft(arguments: &[&str], input: &str) -> String {
    tool("nft", arguments, input)
}

fn send(connection: &mut Connection, script: &str) {
    let batch = EncodedBatch::encode(parse_script(script).unwrap()).unwrap();
    connection.send(&batch).unwrap();
}

#[test]
fn our_batch_and_nft_with_the_same_script_leave_the_same_rules() {
    for (family, script) in SCRIPTS {
        let listed = |install: fn(&mut Connection, &str)| {
            in_namespace(move || {
                let mut connection = Connection::open().unwrap();
                install(&mut connection, script);
                (
                    nft(&["-s", "list", "ruleset"], ""),
                    connection.table(family, "kube-proxy").unwrap(),
                )
            })
        };
        let Some(ours) = listed(send) else {
            return;
        };
        let theirs = listed(|_, script| drop(nft(&["-f", "-"], script))).unwrap();
        assert_eq!(ours.0, theirs.0);
        assert_eq!(ours.1, theirs.1);
        assert!(!ours.0.contains("size "), "{}", ours.0);
    }
}

#[test]
fn the_kernel_lists_what_the_fake_makes_of_the_same_operations() {
    in_namespace(|| {
        let mut connection = Connection::open().unwrap();
        assert_eq!(connection.tables().unwrap(), []);
        let mut fake = Ruleset::default();
        // The one beside the other: neither is in the other's listing.
        for (family, script) in SCRIPTS {
            assert_eq!(connection.table(family, "kube-proxy").unwrap(), None);
            let ops = parse_script(script).unwrap();
            connection
                .send(&EncodedBatch::encode(ops.clone()).unwrap())
                .unwrap();
            fake.apply(&ops).unwrap();
        }
        for family in TableFamily::ALL {
            assert_eq!(
                connection.table(family, "kube-proxy").unwrap().as_ref(),
                fake.table(family, "kube-proxy")
            );
            let counted: Vec<_> = connection
                .chain_rules(family, "kube-proxy", "nat-prerouting")
                .unwrap()
                .iter()
                .map(|rule| rule.packets())
                .collect();
            assert_eq!(counted, [Some(0), Some(3), None]);
        }
    });
}

#[test]
fn choices_with_gaps_with_many_numbers_and_by_the_hundred_are_listed() {
    in_namespace(|| {
        let mut connection = Connection::open().unwrap();
        let mut script =
            "add table ip t\nadd chain ip t c\nadd chain ip t d\nadd chain ip t e\n".to_owned();
        script.push_str("add rule ip t c numgen random mod 3 vmap { 0 : goto d , 2 : drop }\n");
        let many: Vec<_> = (0..900)
            .map(|i| format!("{i} : goto {}", if i % 7 == 0 { "d" } else { "e" }))
            .collect();
        script.push_str(&format!(
            "add rule ip t c numgen random mod 900 vmap {{ {} }}\n",
            many.join(" , ")
        ));
        script.extend((0..700).map(|i| {
            format!(
                "add rule ip t d numgen random mod {} vmap {{ 0 : goto e }}\n",
                1 + i % 2
            )
        }));
        script.push_str("add rule ip t c numgen random mod 5000 vmap { 4999 : accept }\n");
        let ops = parse_script(&script).unwrap();
        connection
            .send(&EncodedBatch::encode(ops.clone()).unwrap())
            .unwrap();
        let mut fake = Ruleset::default();
        fake.apply(&ops).unwrap();
        assert!(connection.table(IP, "t").unwrap().as_ref() == fake.table(IP, "t"));
    });
}

#[test]
fn a_refused_operation_is_named_and_nothing_is_left() {
    in_namespace(|| {
        let mut connection = Connection::open().unwrap();
        for (line, errno) in [
            ("add rule ip t c jump nowhere", Errno::ENOENT),
            ("add element ip t s { 10.0.0.1 : goto c }", Errno::ENOENT),
            ("add element ip t m { 10.0.0.1 : goto d }", Errno::EEXIST),
            ("delete chain ip t d", Errno::EBUSY),
        ] {
            let script = format!(
                "add table ip t\nadd chain ip t c\nadd chain ip t d\nadd map ip t m {{ type ipv4_addr : verdict ; }}\n\
                 add element ip t m {{ 10.0.0.1 : goto c }}\nadd element ip t m {{ 10.0.0.2 : goto d }}\n{line}\nadd chain ip t e\n"
            );
            let error = connection
                .send(&EncodedBatch::encode(parse_script(&script).unwrap()).unwrap())
                .unwrap_err();
            let netlink::Error::Refused { sequence, .. } = error else {
                panic!("{error}");
            };
            assert_eq!((error.errno(), sequence), (Some(errno), 7), "{error}");
            assert!(error.to_string().starts_with(line), "{error}");
            assert_eq!(connection.tables().unwrap(), []);
        }
        let error = connection
            .send(&EncodedBatch::encode(parse_script("delete table ip t").unwrap()).unwrap())
            .unwrap_err();
        assert!(error.is_not_found(), "{error}");
        send(&mut connection, "add table ip t\n"); // no answer of the batches before is mistaken for its own
    });
}

#[test]
fn thousands_of_refusals_still_name_the_first() {
    in_namespace(|| {
        let mut connection = Connection::open().unwrap();
        let mut script =
            "add table ip t\nadd chain ip t c\nadd rule ip t c jump first\n".to_owned();
        script.extend((0..20_000).map(|i| format!("add rule ip t c jump x{i}\n")));
        let error = connection
            .send(&EncodedBatch::encode(parse_script(&script).unwrap()).unwrap())
            .unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("add rule ip t c jump first: "),
            "{error}"
        );
        assert!(error.is_not_found());
        send(&mut connection, "add table ip t\n");
    });
}

#[test]
fn what_the_vocabulary_does_not_have_is_listed_as_unknown() {
    in_namespace(|| {
        let mut connection = Connection::open().unwrap();
        let script = "add table ip t\nadd chain ip t c\nadd counter ip t hits\nadd quota ip t q { 1 mbytes ; }\n\
            add set ip t ports { type inet_service ; flags interval ; }\n\
            add map ip t timed { type ipv4_addr : verdict ; flags timeout ; }\n\
            add rule ip t c ip daddr != 10.0.0.0/9 limit rate 5/second tcp sport 7 drop\n\
            add rule ip t c ip daddr { 10.0.0.1 , 10.0.0.2 } drop\nadd rule ip t c reject with tcp reset\n";
        nft(&["-f", "-"], script);
        let table = connection.table(IP, "t").unwrap().unwrap();
        assert_eq!(table.unknown.len(), 4, "{:?}", table.unknown);
        let rules = &table.chains["c"].rules;
        assert!(
            matches!(rules[0].statements[0], Statement::DestinationAddress(Comparison::Unequal, network) if network.prefix == 9)
        );
        assert!(
            matches!(&rules[0].statements[1], Statement::Unknown(text) if text.starts_with("limit ")),
            "{:?}",
            rules[0]
        );
        for rule in rules {
            assert!(
                rule.statements
                    .iter()
                    .any(|statement| matches!(statement, Statement::Unknown(_))),
                "{}",
                rule.text(IP)
            );
        }
    });
}
