//! Rules of many kinds, loaded by `nft` and run: each test in a network namespace that ends with its thread.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nft_codec::{Connection, Flow, L4Proto, Program, TableFamily, Treatment};
use testing::{in_namespace, tool};

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 192, 0, 2));

/// A table with these sets and maps, with these rules for what is forwarded and sent, and an `else` chain.
fn program(sets: &str, rules: &str) -> Program {
    let script = format!(
        "table ip t {{\n{sets}\n chain a {{ meta l4proto tcp dnat to 10.128.0.1:80; }}\n chain b {{ meta l4proto tcp dnat to 10.128.0.2:80; }}\n\
         chain services {{ {rules}; }}\n\
         chain prerouting {{ type nat hook prerouting priority -100; jump services; }}\n\
         chain output {{ type nat hook output priority -100; jump services; }}\n}}\n"
    );
    tool("nft", &["-f", "-"], &script);
    listed(TableFamily::Ip)
}

fn listed(family: TableFamily) -> Program {
    Connection::open().unwrap().program(family, "t").unwrap()
}

fn flow(to: &str, input: Option<&'static str>) -> Flow<'static> {
    Flow {
        source: CLIENT,
        destination: to.parse().unwrap(),
        protocol: L4Proto::TCP,
        input,
        output: "backends0",
    }
}

fn run(program: &Program, to: &str) -> Vec<Treatment> {
    program.run(&flow(to, Some("client0"))).unwrap()
}

/// Shares of 10.128.0.1 and 10.128.0.2, and of what goes on as it is.
fn shares(program: &Program, to: &str) -> [f64; 3] {
    let mut shares = [0.0; 3];
    for part in run(program, to) {
        let place = part.to.map(|to| match to.ip() {
            IpAddr::V4(to) if to.octets()[..3] == [10, 128, 0] => usize::from(to.octets()[3]) - 1,
            _ => 2,
        });
        if let Some(place) = place {
            shares[place] += part.share;
        }
    }
    shares
}

const TO_A: [f64; 3] = [1.0, 0.0, 0.0];
const TO_B: [f64; 3] = [0.0, 1.0, 0.0];
const ALONE: [f64; 3] = [0.0, 0.0, 1.0];
const REFUSED: [f64; 3] = [0.0; 3];

/// For each of these sets and rules, the shares of flows to 10.96.0.1:80.
#[test]
fn expressions_do_to_a_packet_what_the_kernel_does() {
    for (sets, rules, wanted) in [
        ("", "goto a", TO_A),
        ("", "ip daddr 10.96.0.0/12 tcp dport 80 goto a", TO_A),
        ("", "ip daddr 10.96.0.0/32 goto a", ALONE),
        (
            "",
            "ip saddr != { 10.0.0.0/16, 10.192.0.0/16 } goto a",
            ALONE,
        ),
        (
            "",
            "ip saddr != { 10.0.0.0/16, 10.193.0.0/16 } goto a; goto b",
            TO_A,
        ),
        (
            "",
            "tcp dport 81-90 goto a; tcp dport != 81-90 goto b",
            TO_B,
        ),
        ("", "tcp dport >= 80 goto a", TO_A),
        ("", "tcp dport > 80 goto a; tcp dport < 81 goto b", TO_B),
        ("", "tcp dport { 1-79, 80-99 } goto b", TO_B),
        (
            "",
            "ip daddr . tcp dport vmap { 10.96.0.1 . 80 : goto a, * : drop }",
            TO_A,
        ),
        (
            "",
            "ip daddr . tcp dport vmap { 10.96.0.1 . 81 : goto a, 10.96.0.0/24 . 70-80 : goto b }",
            TO_B,
        ),
        (
            "",
            "ip daddr vmap { 10.96.0.0/31 : goto a, 10.96.0.2 : goto b }",
            TO_A,
        ),
        (
            "",
            "meta l4proto tcp dnat ip to ip daddr . th dport map { 10.96.0.1 . 80 : 10.128.0.2 . 80 }",
            TO_B,
        ),
        (
            "",
            "numgen random mod 4 vmap { 0 : goto a, 1-3 : goto b }",
            [0.25, 0.75, 0.0],
        ),
        (
            "",
            "numgen inc mod 4 vmap { 0 : goto a, 1 : goto b }",
            [0.25, 0.25, 0.5],
        ),
        (
            "",
            "numgen random mod 2 offset 7 vmap { 7 : goto a, 8 : goto b }",
            [0.5, 0.5, 0.0],
        ),
        (
            "",
            "numgen random mod 2 vmap { 0 : jump a, 1 : return }; goto b",
            [0.5, 0.0, 0.5],
        ),
        (
            "",
            "meta mark set 0x4000; meta mark and 0x4000 == 0x4000 goto b",
            TO_B,
        ),
        (
            "",
            "meta mark set meta mark or 0x8000; meta mark and 0x4000 == 0x4000 goto b",
            ALONE,
        ),
        (
            "",
            "ct state new ct status dnat goto a; ct state established goto a; goto b",
            TO_B,
        ),
        ("", "ct original ip daddr 10.96.0.1 goto a", TO_A),
        ("", "iifname \"client*\" goto a", TO_A),
        ("", "iifname \"veth*\" goto a; goto b", TO_B),
        (
            "",
            "fib daddr type local goto a; fib saddr type local goto a; goto b",
            TO_B,
        ),
        ("", "counter log goto a", TO_A),
        ("counter c { }", "counter name c goto a", TO_A),
        (
            "set s { type ipv4_addr; flags dynamic,timeout; timeout 3h; }",
            "ip saddr @s goto b; update @s { ip saddr } goto a",
            TO_A,
        ),
        (
            "set s { type ipv4_addr; elements = { 10.192.0.2 } }",
            "ip saddr @s goto b; goto a",
            TO_B,
        ),
        (
            "set s { type ipv4_addr . inet_proto . inet_service; flags interval; elements = { 10.96.0.0-10.96.0.3 . tcp . 80 } }",
            "ip daddr . meta l4proto . th dport @s goto b; goto a",
            TO_B,
        ),
        (
            "map m { type ipv4_addr : verdict; flags interval; elements = { 10.96.0.0/31 : drop } }",
            "ip daddr vmap @m; goto a",
            REFUSED,
        ),
        ("", "reject", REFUSED),
        ("", "jump b; goto a", TO_B),
    ] {
        in_namespace(|| {
            let program = program(sets, rules);
            assert_eq!(shares(&program, "10.96.0.1:80"), wanted, "{sets} {rules}");
        });
    }
}

#[test]
fn hooks_run_in_the_order_of_their_priorities_and_see_the_destination_of_their_time() {
    in_namespace(|| {
        let program = program(
            "chain late { type filter hook prerouting priority 0; ip daddr 10.96.0.1 drop; }\n\
             chain early { type filter hook prerouting priority -150; tcp dport 81 drop; }\n\
             chain forward { type filter hook forward priority 0; policy drop; ip daddr 10.128.0.1 ct status dnat accept; }\n\
             chain other { type nat hook prerouting priority 10; goto b; }\n\
             chain post { type nat hook postrouting priority 100; oifname \"backends0\" masquerade; }",
            "goto a",
        );
        assert_eq!(shares(&program, "10.96.0.1:80"), TO_A);
        assert!(run(&program, "10.96.0.1:80")[0].masqueraded);
        assert_eq!(shares(&program, "10.96.0.1:81"), REFUSED);
        let sent = program.run(&flow("10.96.0.1:81", None)).unwrap();
        assert_eq!(sent[0].to, Some("10.128.0.1:80".parse().unwrap()));
    });
}

#[test]
fn what_is_not_known_is_named_with_its_chain_when_a_flow_comes_to_it() {
    for (rules, named) in [
        ("limit rate 5/second goto a", "limit"),
        ("ip ttl 64 goto a", "Payload(1, 8"),
        ("meta skuid 0 goto a", "meta 10"),
        ("tcp sport 80 goto a", "Payload(2, 0"),
        (
            "jhash ip saddr mod 2 vmap { 0 : goto a, 1 : goto b }",
            "hash",
        ),
        (
            "numgen random mod 100000 vmap { 0 : goto a }",
            "numgen mod 100000",
        ),
    ] {
        in_namespace(|| {
            let program = program("", &format!("ip daddr 10.96.0.1 {rules}"));
            let error = program
                .run(&flow("10.96.0.1:80", None))
                .unwrap_err()
                .to_string();
            assert!(error.starts_with("chain services: '"), "{error}");
            assert!(error.contains(named), "{error}");
            assert!(program.run(&flow("10.96.0.2:80", None)).is_ok());
        });
    }
}

#[test]
fn destinations_are_what_rules_and_the_sets_that_they_look_into_name() {
    in_namespace(|| {
        let program = program(
            "map m { type ipv4_addr . inet_proto . inet_service : verdict; elements = { 10.96.0.1 . tcp . 80 : goto a, 10.96.0.2 . udp . 53 : drop } }\n\
             set vips { type ipv4_addr; elements = { 10.96.0.9 } }",
            "ip daddr . meta l4proto . th dport vmap @m; ip daddr @vips reject; ip daddr 10.96.0.3 tcp dport 443 goto a;\n\
             ip daddr . th dport vmap { 10.96.0.4 . 8080 : goto b }; tcp dport . ip daddr { 90 . 10.96.0.5 } goto b; ip daddr @vips udp dport 7 drop",
        );
        let found: Vec<String> = program
            .destinations()
            .into_iter()
            .map(|(protocol, to)| format!("{} {to}", protocol.0))
            .collect();
        let wanted = [
            "6 10.96.0.1:80",
            "6 10.96.0.3:443",
            "6 10.96.0.4:8080",
            "6 10.96.0.5:90",
            "17 10.96.0.2:53",
            "17 10.96.0.4:8080",
            "17 10.96.0.9:7",
        ];
        assert_eq!(found, wanted);
    });
}

/// The same of IPv6: a table with these sets, maps and rules.
fn program_of_ipv6(sets: &str, rules: &str) -> Program {
    let script = format!(
        "table ip6 t {{\n{sets}\n\
         set hairpin {{ type ipv6_addr . ipv6_addr . inet_proto . inet_service; elements = {{ fd00:192::2 . fd00:128::3 . tcp . 8080 }} }}\n\
         chain a {{ meta l4proto tcp dnat to [fd00:128::1]:8080; }}\n\
         chain services {{ {rules}; }}\n\
         chain prerouting {{ type nat hook prerouting priority -100; jump services; }}\n\
         chain postrouting {{ type nat hook postrouting priority 100; ct status dnat ip6 saddr . ip6 daddr . meta l4proto . th dport @hairpin masquerade; }}\n}}\n"
    );
    tool("nft", &["-f", "-"], &script);
    listed(TableFamily::Ip6)
}

fn flow_of_ipv6(to: &str) -> Flow<'static> {
    Flow {
        source: IpAddr::V6(Ipv6Addr::new(0xfd00, 0x192, 0, 0, 0, 0, 0, 2)),
        ..flow(to, Some("client0"))
    }
}

/// For each of these sets and rules, where flows to [fd00:96::1]:80 go; `None`: nowhere.
#[test]
fn packets_of_ipv6_are_treated_as_the_kernel_does() {
    const TO_A: Option<&str> = Some("[fd00:128::1]:8080");
    const ALONE: Option<&str> = Some("[fd00:96::1]:80");
    for (sets, rules, wanted) in [
        ("", "ip6 daddr fd00:96::1 tcp dport 80 goto a", TO_A),
        ("", "ip6 daddr fd00:96::/108 goto a", TO_A),
        ("", "ip6 daddr fd00:97::/32 goto a", ALONE),
        ("", "ip6 saddr != fd00:192::/105 goto a", ALONE),
        ("", "meta protocol ip6 goto a", TO_A),
        ("", "ip6 daddr fd00:96::1 reject", None),
        (
            "map m { type ipv6_addr . inet_proto . inet_service : verdict; elements = { fd00:96::1 . tcp . 80 : goto a, fd00:96::2 . tcp . 80 : drop } }",
            "ip6 daddr . meta l4proto . th dport vmap @m; drop",
            TO_A,
        ),
        (
            "set s { type ipv6_addr; elements = { fd00:96::2 } }",
            "ip6 daddr @s drop",
            ALONE,
        ),
        (
            "",
            "meta l4proto tcp dnat ip6 addr . port to numgen random mod 1 map { 0 : fd00:128::2 . 53 }",
            Some("[fd00:128::2]:53"),
        ),
    ] {
        in_namespace(|| {
            let program = program_of_ipv6(sets, rules);
            let treated = program.run(&flow_of_ipv6("[fd00:96::1]:80")).unwrap();
            let [treatment] = &treated[..] else {
                panic!("{treated:?}")
            };
            let to = treatment.to.map(|to| to.to_string());
            assert_eq!(to.as_deref(), wanted, "{sets} {rules}");
            assert!(!treatment.masqueraded);
        });
    }
}

#[test]
fn a_flow_of_ipv6_to_itself_is_masqueraded_and_one_of_ipv4_is_not_seen() {
    in_namespace(|| {
        let rule = "meta l4proto tcp dnat to [fd00:128::3]:8080";
        let program = program_of_ipv6("", rule);
        let treated = program.run(&flow_of_ipv6("[fd00:96::1]:80")).unwrap();
        assert!(treated[0].translated && treated[0].masqueraded);
        let seen = run(&program, "10.96.0.1:80");
        let alone = Treatment {
            share: 1.0,
            to: Some("10.96.0.1:80".parse().unwrap()),
            translated: false,
            masqueraded: false,
        };
        assert_eq!(seen, [alone]);
    });
}

#[test]
fn destinations_of_ipv6_are_those_of_which_rules_name_all_bytes() {
    in_namespace(|| {
        let program = program_of_ipv6(
            "map m { type ipv6_addr . inet_proto . inet_service : verdict; elements = { fd00:96::1 . tcp . 80 : goto a } }\n\
             set vips { type ipv6_addr; elements = { fd00:96::9 } }",
            "ip6 daddr . meta l4proto . th dport vmap @m; ip6 daddr fd00:96::3 tcp dport 443 goto a;\n\
             ip6 daddr @vips udp dport 7 drop; ip6 daddr fd00:96::/64 tcp dport 1 drop; ip6 daddr fd00:96::/108 tcp dport 2 drop",
        );
        let found: Vec<String> = program
            .destinations()
            .into_iter()
            .map(|(protocol, to)| format!("{} {to}", protocol.0))
            .collect();
        let wanted = [
            "6 [fd00:96::1]:80",
            "6 [fd00:96::3]:443",
            "6 [fd00:128::3]:8080",
            "17 [fd00:96::9]:7",
        ];
        assert_eq!(found, wanted);
    });
}
