//! Rules that real kube-proxies installed (`tests/kube-proxy/`), loaded into a namespace and traced: they mean the
//! population that they were made for, and damaged they mean another.
#![allow(missing_docs, reason = "tests are sentences")]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod kernel;

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use netns_harness::accounts;
use netns_harness::datapath::{Engine, RenderOptions, laid_out, registry};
use netns_harness::relation::Relation;
use netns_harness::service::{Endpoint, Frontend};
use schema::{Family, KubeProxyVersion, Mode, NodeKind};

/// What lists rules of nftables.
const NFT: &str = "nft list ruleset";

/// What a kube-proxy installed and for which population, as recorded.
struct Recorded {
    minor: String,
    rules: String,
    population: Relation,
}

/// The recorded listings of a mode on nodes of a family by that command, each once: a file may say that it is as another
/// minor's.
fn recorded_of(family: Family, mode: Mode, command: &str) -> Vec<Recorded> {
    let folder = format!("{}/tests/kube-proxy/{family}", env!("CARGO_MANIFEST_DIR"));
    let mut minors: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    minors.sort();
    let listed = minors.iter().filter_map(|minor| {
        let text = fs::read_to_string(minor.join(format!("{mode}.txt"))).unwrap();
        let section = |name: &str| {
            let (_, rest) = text.split_once(&format!("\n=== {name}\n"))?;
            Some(rest.split("\n=== ").next()?.to_owned() + "\n")
        };
        let (rules, services) = (section(command)?, section("population")?);
        Some(Recorded {
            minor: minor.display().to_string(),
            rules,
            population: Relation(services.lines().map(service).collect()),
        })
    });
    let listed: Vec<Recorded> = listed.collect();
    assert!(!listed.is_empty());
    listed
}

fn recorded(mode: Mode, command: &str) -> Vec<Recorded> {
    recorded_of(Family::Ipv4, mode, command)
}

/// A service as "namespace/name VIP:port/protocol: endpoint endpoint".
fn service(line: &str) -> (Frontend, BTreeMap<Endpoint, f64>) {
    let (_, line) = line.split_once(' ').unwrap();
    let (at, rest) = line.split_once('/').unwrap();
    let (protocol, endpoints) = rest.split_once(':').unwrap();
    let at: SocketAddr = at.parse().unwrap();
    let endpoints: Vec<SocketAddr> = endpoints
        .split_whitespace()
        .map(|endpoint| endpoint.parse().unwrap())
        .collect();
    let share = 1.0 / endpoints.len() as f64;
    let to = |at: &SocketAddr| Endpoint::from(*at);
    let frontend = Frontend {
        vip: at.ip(),
        port: at.port(),
        protocol: protocol.parse().unwrap(),
    };
    (
        frontend,
        endpoints.iter().map(|at| (to(at), share)).collect(),
    )
}

/// Whether rules that a tool loads into a new namespace mean the population; `Err` with what else they mean, `None`, said
/// aloud, without the right to make a namespace, or where rules name counters of nfnetlink_acct and the kernel has none.
fn as_wanted(
    family: Family,
    mode: Mode,
    load: &[&str],
    rules: &str,
    population: &Relation,
) -> Option<Result<(), String>> {
    let mut meaning = None;
    kernel::isolated(|| {
        // What rules name must be there before.
        if rules.contains("--nfacct-name")
            && let Err(why) = accounts::make()
        {
            return testing::skip("nfacct", why);
        }
        testing::tool(load[0], &load[1..], rules);
        let wanted: Vec<Frontend> = population.0.keys().copied().collect();
        let node = NodeKind::single(family);
        let datapath = laid_out(mode, Engine::default(), KubeProxyVersion::default(), node);
        meaning = datapath.traced(&wanted);
    });
    let differences = match meaning? {
        Ok(relation) => relation.differences(population),
        Err(error) => return Some(Err(error.to_string())),
    };
    Some(differences.map_or(Ok(()), |differences| Err(differences.to_string())))
}

/// The same of rules of nftables.
fn nftables_as_wanted(rules: &str, population: &Relation) -> Option<Result<(), String>> {
    as_wanted(
        Family::Ipv4,
        Mode::Nftables,
        &["nft", "-f", "-"],
        rules,
        population,
    )
}

#[test]
fn recorded_rules_mean_their_population_in_the_kernel() {
    for (family, tool) in [(Family::Ipv4, "iptables"), (Family::Ipv6, "ip6tables")] {
        let by = |engine| {
            [
                format!("{tool}-{engine}-save"),
                format!("{tool}-{engine}-restore"),
            ]
        };
        let nft = [NFT.to_owned(), "nft -f -".to_owned()];
        for (mode, [command, load]) in [
            (Mode::Nftables, nft),
            (Mode::IptablesLegacy, by("legacy")),
            (Mode::IptablesNft, by("nft")),
        ] {
            let load: Vec<&str> = load.split(' ').collect();
            for each in recorded_of(family, mode, &command) {
                let meaning = as_wanted(family, mode, &load, &each.rules, &each.population);
                let meaning = meaning.unwrap_or(Ok(()));
                assert_eq!(meaning, Ok(()), "{} {mode}", each.minor);
            }
        }
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
            "goto service-2ROX3HU7-bench/svc-5/udp/p53",
            "goto service-TMCKK2OY-bench/svc-2/tcp/p80",
        )],
    ),
    (
        "no element",
        &[(
            "10.100.234.160 . udp . 53 : goto service-2ROX3HU7-bench/svc-5/udp/p53,\n\t\t\t",
            "",
        )],
    ),
    (
        "another VIP",
        &[(
            "10.105.111.240 . tcp . 80 : goto",
            "10.105.111.241 . tcp . 80 : goto",
        )],
    ),
    (
        "another protocol",
        &[(
            "10.105.111.240 . tcp . 80 : goto",
            "10.105.111.240 . udp . 80 : goto",
        )],
    ),
    (
        "a service refused",
        &[(
            "10.99.229.84 . tcp . 80 comment",
            "10.99.229.84 . tcp . 81 comment",
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
            ("10.135.222.236 . 8080", "10.135.222.236 . 8081"),
            ("dnat to 10.135.222.236:8080", "dnat to 10.135.222.236:8081"),
        ],
    ),
    (
        "another endpoint",
        &[
            ("0 : 10.134.74.91 .", "0 : 10.135.222.236 ."),
            ("dnat to 10.134.74.91:", "dnat to 10.135.222.236:"),
        ],
    ),
    (
        "a drop on the way",
        &[(
            "chain services {\n",
            "chain services {\n ip daddr 10.110.118.108 drop\n",
        )],
    ),
    (
        "a drop behind it",
        &[(
            "chain cluster-ips-check {\n",
            "chain cluster-ips-check {\n ip daddr 10.150.252.220 drop\n",
        )],
    ),
    (
        "a condition",
        &[
            (
                "tcp dnat to 10.131.72.5:8080",
                "tcp limit rate 5/second dnat to 10.131.72.5:8080",
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
        for each in recorded(Mode::Nftables, NFT) {
            let there = texts.iter().find(|(from, _)| each.rules.contains(from));
            let (from, to) = there.unwrap_or_else(|| panic!("{damage}: {}", each.minor));
            let damaged = each.rules.replacen(from, to, 1);
            if let Some(meaning) = nftables_as_wanted(&damaged, &each.population) {
                assert!(meaning.is_err(), "{damage}: {}", each.minor);
            }
        }
    }
}

#[test]
fn what_the_tracer_does_not_know_is_named_with_its_chain() {
    for each in recorded(Mode::Nftables, NFT) {
        let limit = "priority dstnat; policy accept;\n\t\tlimit rate 5/second jump services";
        let jump = "priority dstnat; policy accept;\n\t\tjump services";
        let limited = each.rules.replacen(jump, limit, 1);
        if let Some(meaning) = nftables_as_wanted(&limited, &each.population) {
            let error = meaning.unwrap_err();
            let named = error.contains("chain nat-prerouting: 'limit ");
            assert!(named, "{}: {error}", each.minor);
        }
    }
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
