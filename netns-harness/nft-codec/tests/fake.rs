//! The fake against the kernel: random operations are taken or refused by both alike, and leave the
//! same rules.
//!
//! Chain `a` is the base chain and the only one that looks into maps; jumps lead from a letter to a
//! later one. So no loop arises, which the kernel would refuse and the fake does not know.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use model::Ruleset;
use nft_codec::{Connection, EncodedBatch, TableFamily, parse_script};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

fn word(words: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    prop::sample::select(words)
}

/// One script line over a few names, most of them possible in some state.
fn line() -> impl Strategy<Value = String> {
    let chain = || word(&["b", "c", "d"]);
    let map = || word(&["m", "n"]);
    let key = || word(&["tcp . 80", "udp . 53"]);
    prop_oneof![
        8 => word(&["add chain ip t a { type filter hook output priority 0 ; }", "add chain ip t a { type filter hook input priority 0 ; }", "add chain ip t a"]).prop_map(str::to_owned),
        16 => chain().prop_map(|c| format!("add chain ip t {c}")),
        2 => chain().prop_map(|c| format!("flush chain ip t {c}")),
        4 => word(&["a", "b", "c", "d"]).prop_map(|c| format!("delete chain ip t {c}")),
        8 => map().prop_map(|m| format!("add map ip t {m} {{ type inet_proto . inet_service : verdict ; }}")),
        4 => word(&["m", "s"]).prop_map(|s| format!("add set ip t {s} {{ type ipv4_addr ; comment \"x\" ; }}")),
        2 => word(&["add set ip t h { type ipv4_addr . ipv4_addr . inet_proto . inet_service ; }", "delete set ip t h", "add element ip t h { 10.0.0.1 . 10.0.0.1 . tcp . 80 }", "add rule ip t b ct status dnat ip saddr . ip daddr . meta l4proto . th dport @h return"]).prop_map(str::to_owned),
        2 => word(&["add counter ip t o", "delete counter ip t o"]).prop_map(str::to_owned),
        2 => map().prop_map(|m| format!("flush map ip t {m}")),
        2 => map().prop_map(|m| format!("delete map ip t {m}")),
        2 => Just("delete set ip t s".to_owned()),
        8 => (map(), key(), chain()).prop_map(|(m, k, c)| format!("add element ip t {m} {{ {k} : goto {c} }}")),
        2 => (map(), key(), chain()).prop_map(|(m, k, c)| format!("add element ip t {m} {{ tcp . 1 : drop , {k} : jump {c} }}")),
        4 => (map(), key()).prop_map(|(m, k)| format!("delete element ip t {m} {{ {k} }}")),
        4 => word(&["add", "delete"]).prop_map(|verb| format!("{verb} element ip t s {{ 10.0.0.1 }}")),
        6 => map().prop_map(|m| format!("add rule ip t a meta l4proto . th dport vmap @{m}")),
        4 => chain().prop_map(|c| format!("add rule ip t {c} ip daddr @s counter return")),
        4 => chain().prop_map(|c| format!("add rule ip t a ip saddr != 10.0.0.0/9 jump {c}")),
        4 => word(&["b jump c", "b goto d", "c jump d", "d jump a"]).prop_map(|jump| format!("add rule ip t {jump}")),
        4 => (chain(), 1..4u32).prop_map(|(c, n)| format!("add rule ip t a numgen random mod {n} vmap {{ 0 : goto {c} }}")),
        1 => Just("delete table ip t".to_owned()),
        2 => Just("add table ip t".to_owned()),
    ]
}

/// A line about a table of family ip, said about one of that family.
fn said_of(family: TableFamily, line: &str) -> String {
    match family {
        TableFamily::Ip => line.to_owned(),
        TableFamily::Ip6 => line
            .replace(" ip t", " ip6 t")
            .replace("ip saddr", "ip6 saddr")
            .replace("ip daddr", "ip6 daddr")
            .replace("ipv4_addr", "ipv6_addr")
            .replace("10.0.0.1", "fd00::1")
            .replace("10.0.0.0/9", "fd00::/105"),
    }
}

fn agree(family: TableFamily, lines: &[String]) -> Result<(), TestCaseError> {
    let mut connection = Connection::open().unwrap();
    let parsed = |line: &str| parse_script(&said_of(family, line)).unwrap();
    let clear = |connection: &mut Connection| {
        let delete = EncodedBatch::encode(parsed("delete table ip t")).unwrap();
        drop(connection.send(&delete));
    };
    clear(&mut connection);
    let mut fake = Ruleset::default();
    for line in std::iter::once("add table ip t").chain(lines.iter().map(String::as_str)) {
        let ops = parsed(line);
        let kernel = connection.send(&EncodedBatch::encode(ops.clone()).unwrap());
        let pretended = fake.apply(&ops);
        prop_assert_eq!(
            kernel.is_ok(),
            pretended.is_ok(),
            "kernel: {:?}; fake: {:?}",
            kernel,
            pretended
        );
    }
    let listed = connection.table(family, "t").unwrap();
    prop_assert_eq!(listed.as_ref(), fake.table(family, "t"));
    clear(&mut connection);
    Ok(())
}

#[test]
fn the_fake_takes_and_refuses_what_the_kernel_does() {
    testing::in_namespace(|| {
        let mut runner = TestRunner::new(Config {
            cases: 24,
            max_shrink_iters: 200,
            failure_persistence: None,
            ..Config::default()
        });
        let family = prop::sample::select(TableFamily::ALL.to_vec());
        let cases = (family, prop::collection::vec(line(), 1..40));
        runner
            .run(&cases, |(family, lines)| agree(family, &lines))
            .unwrap();
    });
}
