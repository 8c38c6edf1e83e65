//! Rules that real kube-proxies installed (`tests/kube-proxy/`), loaded into a namespace and traced: they mean the
//! population that they were made for, and damaged they mean another.
#![allow(missing_docs, reason = "tests are sentences")]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod kernel;

use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use netns_harness::HarnessError;
use netns_harness::datapath::{RenderOptions, registry};
use netns_harness::relation::Relation;
use netns_harness::service::{Endpoint, Frontend};
use schema::{Mode, Protocol};

/// The minors whose listings are recorded.
fn minors() -> Vec<PathBuf> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kube-proxy");
    let mut found: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    found.sort();
    assert!(!found.is_empty());
    found
}

/// The population of the recorded listings: see their README.
fn population() -> Relation {
    let service = |host, protocol, port, endpoints: std::ops::Range<u8>| {
        let to = Frontend {
            vip: Ipv4Addr::new(10, 96, 0, host),
            port,
            protocol,
        };
        let share = 1.0 / endpoints.len() as f64;
        let at = |host| Endpoint {
            address: Ipv4Addr::new(10, 128, 0, host),
            port: 8080,
        };
        (to, endpoints.map(|host| (at(host), share)).collect())
    };
    Relation(BTreeMap::from([
        service(10, Protocol::Tcp, 80, 0..0),
        service(11, Protocol::Tcp, 80, 1..2),
        service(12, Protocol::Udp, 53, 2..4),
        service(13, Protocol::Tcp, 443, 4..14),
    ]))
}

/// What rules mean that a tool loads into a new namespace; `None`, said aloud, without the right to make one.
fn traced(mode: Mode, load: &str, rules: &str) -> Option<Result<Relation, HarnessError>> {
    let mut meaning = None;
    kernel::isolated(|| {
        match load {
            "nft" => testing::tool(load, &["-f", "-"], rules),
            _ => testing::tool(load, &[] as &[&str], rules),
        };
        let wanted: Vec<Frontend> = population().0.keys().copied().collect();
        meaning = registry(mode).traced(&wanted);
    });
    meaning
}

/// Whether rules mean the population; `Err` with what else they mean.
fn as_wanted(meaning: Result<Relation, HarnessError>) -> Result<(), String> {
    let relation = meaning.map_err(|error| error.to_string())?;
    match relation.differences(&population()) {
        None => Ok(()),
        Some(differences) => Err(differences.to_string()),
    }
}

/// Calls `each` for the recorded rules of every minor as they are loaded.
fn recorded(file: &str, each: impl Fn(&str, String)) {
    for minor in minors() {
        let listed = fs::read_to_string(minor.join(file)).unwrap();
        // A match that counts, of an object that kube-proxy makes over netlink before.
        let rules = listed.replace(
            "-m nfacct --nfacct-name  ct_state_invalid_dropped_pkts ",
            "",
        );
        each(&minor.display().to_string(), rules);
    }
}

#[test]
fn recorded_rules_mean_their_population_in_the_kernel() {
    for (mode, load, file) in [
        (Mode::Nftables, "nft", "nftables.nft"),
        (
            Mode::IptablesLegacy,
            "iptables-legacy-restore",
            "iptables-legacy.save",
        ),
        (
            Mode::IptablesNft,
            "iptables-nft-restore",
            "iptables-nft.save",
        ),
    ] {
        recorded(file, |minor, rules| {
            if let Some(meaning) = traced(mode, load, &rules) {
                assert_eq!(as_wanted(meaning), Ok(()), "{minor} {mode}");
            }
        });
    }
}

/// What is done to rules, as texts and what stands there instead: the first that a listing has.
const DAMAGE: &[(&str, &[(&str, &str)])] = &[
    (
        "no jump for clients",
        &[(
            "priority dstnat; policy accept;\n\t\tjump services",
            "priority dstnat;",
        )],
    ),
    (
        "no jump for the node",
        &[(
            "priority -100; policy accept;\n\t\tjump services",
            "priority -100;",
        )],
    ),
    (
        "another service's chain",
        &[(
            "goto service-LCUKUZXY-bench/svc-2/udp/p53",
            "goto service-5NVGJ2CF-bench/svc-1/tcp/p80",
        )],
    ),
    (
        "no element",
        &[
            (
                "10.96.0.12 . udp . 53 : goto service-LCUKUZXY-bench/svc-2/udp/p53,",
                "",
            ),
            (
                "10.96.0.12 . udp . 53 : goto service-LCUKUZXY-bench/svc-2/udp/p53 }",
                "}",
            ),
        ],
    ),
    (
        "another VIP",
        &[(
            "10.96.0.11 . tcp . 80 : goto",
            "10.96.0.21 . tcp . 80 : goto",
        )],
    ),
    (
        "another protocol",
        &[(
            "10.96.0.11 . tcp . 80 : goto",
            "10.96.0.11 . udp . 80 : goto",
        )],
    ),
    (
        "a service refused",
        &[(
            "10.96.0.10 . tcp . 80 comment",
            "10.96.0.10 . tcp . 81 comment",
        )],
    ),
    (
        "a larger modulus",
        &[("numgen random mod 10 ", "numgen random mod 11 ")],
    ),
    (
        "a smaller modulus",
        &[("numgen random mod 10 ", "numgen random mod 9 ")],
    ),
    (
        "another port",
        &[
            ("10.128.0.3 . 8080", "10.128.0.3 . 8081"),
            ("dnat to 10.128.0.3:8080", "dnat to 10.128.0.3:8081"),
        ],
    ),
    (
        "another endpoint",
        &[
            ("0 : 10.128.0.2 .", "0 : 10.128.0.3 ."),
            ("dnat to 10.128.0.2:", "dnat to 10.128.0.3:"),
        ],
    ),
    (
        "a drop on the way",
        &[(
            "chain services {\n",
            "chain services {\n ip daddr 10.96.0.13 drop\n",
        )],
    ),
    (
        "a drop behind it",
        &[(
            "chain cluster-ips-check {\n",
            "chain cluster-ips-check {\n ip daddr 10.128.0.8 drop\n",
        )],
    ),
    (
        "a condition",
        &[
            (
                "tcp dnat to 10.128.0.1:8080",
                "tcp limit rate 5/second dnat to 10.128.0.1:8080",
            ),
            (
                "tcp dnat ip to numgen random mod 1 ",
                "tcp limit rate 5/second dnat ip to numgen random mod 1 ",
            ),
        ],
    ),
    (
        "a policy",
        &[
            (
                "hook forward priority filter; policy accept;",
                "hook forward priority filter; policy drop;",
            ),
            (
                "hook forward priority -110; policy accept;",
                "hook forward priority -110; policy drop;",
            ),
        ],
    ),
    ("all masqueraded", &[("jump masquerading", "masquerade")]),
];

#[test]
fn damaged_nftables_rules_mean_something_else_or_are_refused() {
    for (damage, texts) in DAMAGE {
        recorded("nftables.nft", |minor, rules| {
            let there = texts.iter().find(|(from, _)| rules.contains(from));
            let (from, to) = there.unwrap_or_else(|| panic!("{damage}: {minor}"));
            let damaged = rules.replacen(from, to, 1);
            if let Some(meaning) = traced(Mode::Nftables, "nft", &damaged) {
                assert!(as_wanted(meaning).is_err(), "{damage}: {minor}");
            }
        });
    }
}

#[test]
fn what_the_tracer_does_not_know_is_named_with_its_chain() {
    recorded("nftables.nft", |minor, rules| {
        let limited = rules.replacen("jump services", "limit rate 5/second jump services", 1);
        if let Some(meaning) = traced(Mode::Nftables, "nft", &limited) {
            let error = as_wanted(meaning).unwrap_err();
            let named = error.contains("chain nat-prerouting: 'limit ");
            assert!(named, "{minor}: {error}");
        }
    });
}

#[test]
fn our_own_layouts_are_traced_to_what_their_censuses_say() {
    for mode in [Mode::Nftables, Mode::IptablesLegacy, Mode::IptablesNft] {
        kernel::isolated(|| {
            let datapath = registry(mode);
            let population = kernel::population(12, 3);
            let options = RenderOptions::by(datapath.facts().ordinary());
            datapath
                .carry_out(&datapath.render(None, &population, &options))
                .unwrap();
            let census = datapath.census().unwrap();
            assert_eq!(census.differences(&Relation::of(&population)), None);
            let traced = datapath.traced(&[]).unwrap().unwrap();
            assert_eq!(traced.differences(&census), None, "{mode}");
        });
    }
}
