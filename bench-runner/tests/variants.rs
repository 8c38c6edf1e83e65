//! Two variants in one run, on a real kernel, small: each is measured in its own way, side by side with the other.
#![allow(missing_docs, reason = "tests are sentences")]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod runner;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::MutexGuard;

use runner::{RunDir, installed, refused, signal, text, until, words};
use serde_json::Value;

/// The machine, if nftables can be programmed in these ways here.
fn netns(transports: &[&str]) -> Option<MutexGuard<'static, ()>> {
    let needed: Vec<_> = transports.iter().map(|t| ("nftables", *t)).collect();
    runner::netns(&needed)
}

/// What every run here is asked, with the modes; smaller than this is none.
fn small(modes: &str, line: &str) -> String {
    format!(
        "--sandbox netns --services 4 --no-sweep --modes {modes} --flows 100 --positions last --protocols tcp {line}"
    )
}

fn of<'a>(cells: &'a [Value], variant: &str) -> Vec<&'a Value> {
    cells.iter().filter(|c| c["variant"] == variant).collect()
}

/// A program that notes each call in `log` and then does what the installed one does.
fn wrapper(run: &RunDir, name: &str, tool: &str) -> (PathBuf, PathBuf) {
    let (file, log) = (run.beside(name), run.beside(&format!("{name}.log")));
    let script = format!(
        "#!/bin/sh\necho call >>'{}'\nexec '{}' \"$@\"\n",
        log.display(),
        installed(tool).display()
    );
    fs::write(&file, script).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    (file, log)
}

#[test]
fn two_variants_are_measured_side_by_side_and_each_in_its_own_way() {
    let Some(_alone) = netns(&["netlink"]) else {
        return;
    };
    let run = RunDir::new();
    let head = "--plant 40 --sysctl net.ipv4.ip_default_ttl=77";
    let done = run.run(&small(
        "none,conntrack,nftables",
        &format!(
            "--scenarios first-packet,service-add --repetitions 3 --budget 1h --variant base: --variant 'head:{head}'"
        ),
    ));
    assert!(done.status.success(), "{}", text(&done.stderr));
    let all = run.lines();
    assert_eq!(all[0]["variants"][0]["name"], "base");
    assert_eq!(all[0]["variants"][1]["name"], "head");
    assert_eq!(all[0]["variants"][1]["options"], head);
    let cells = run.cells();
    assert!(
        cells.iter().all(|c| c["outcome"] == "measured"),
        "{cells:?}"
    );
    let (base, head) = (of(&cells, "base"), of(&cells, "head"));
    assert_eq!((base.len(), head.len()), (12, 12), "4 cells, 3 blocks");
    assert_eq!(
        of(&cells, "control").len(),
        3,
        "and the second series of none"
    );
    for cell in &cells {
        let is_head = cell["variant"] == "head";
        let planted = is_head && cell["scenario"] == "first-packet" && cell["mode"] != "none";
        let facts = &cell["facts"];
        let rules = planted.then_some("40");
        assert_eq!(facts["planted_rules"].as_str(), rules, "{cell}");
        let ttl = is_head.then_some("77");
        assert_eq!(facts["node:net.ipv4.ip_default_ttl"].as_str(), ttl);
        assert_eq!(facts["teardown"], "census empty");
    }
    // Stay numbers count the order within a block.
    let mut stays: BTreeMap<(u64, String), BTreeSet<u64>> = BTreeMap::new();
    let first = run.first_cells();
    let (base, head) = (of(&first, "base"), of(&first, "head"));
    for cell in base.iter().chain(&head) {
        let at = (cell["block"].as_u64().unwrap(), cell["mode"].to_string());
        stays
            .entry(at)
            .or_default()
            .insert(cell["stay"].as_u64().unwrap());
    }
    for (at, numbers) in stays {
        let numbers = Vec::from_iter(numbers);
        assert_eq!(numbers.len(), 2, "{at:?}");
        assert_eq!(numbers[1] - numbers[0], 1, "{at:?} lie side by side");
    }
    for part in ["variant base", "variant head"] {
        assert!(text(&done.stdout).contains(part), "{}", text(&done.stdout));
    }
    let page = fs::read_to_string(run.file("report.html")).unwrap();
    assert!(page.contains("Variants side by side"));
    let summary = run.summary();
    assert_eq!(summary["noise"]["stays_a"], 3, "{}", summary["noise"]);
}

#[test]
fn each_variant_starts_its_own_file_in_place_of_a_tool() {
    let Some(_alone) = netns(&["nft"]) else {
        return;
    };
    let run = RunDir::new();
    let (first, first_log) = wrapper(&run, "first", "nft");
    let (second, second_log) = wrapper(&run, "second", "nft");
    let done = run.run(&small(
        "nftables",
        &format!(
            "--scenarios service-add --transports nft --repetitions 1 --variant 'base:--tool nft={}' --variant 'head:--tool nft={}'",
            first.display(),
            second.display()
        ),
    ));
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert!(run.cells().iter().all(|c| c["outcome"] == "measured"));
    let calls = |log: &Path| fs::read_to_string(log).unwrap().lines().count();
    // The version that is noted, the trial, the updates.
    assert!(calls(&first_log) > 5, "{}", calls(&first_log));
    // A variant's cell that other work disturbed is measured once more, by further calls, and has a line more.
    let lines = |variant: &str| {
        let lines = run.lines();
        let cells = lines.iter().filter(|line| line["record"] == "cell");
        cells.filter(|line| line["variant"] == variant).count()
    };
    assert_eq!(
        calls(&first_log).cmp(&calls(&second_log)),
        lines("base").cmp(&lines("head")),
    );
    let header = run.header();
    let noted = header["variants"][1]["tools"]["nft"].as_str().unwrap();
    assert!(noted.starts_with("nftables v"), "{noted}");
    assert!(
        noted.contains("crc32 ") && noted.contains("second)"),
        "{noted}"
    );
}

#[test]
fn two_transports_of_a_mode_are_measured_side_by_side_and_compared_cell_with_cell() {
    let needed = [
        ("nftables", "nft"),
        ("nftables", "netlink"),
        ("iptables-legacy", "restore"),
    ];
    let Some(_alone) = runner::netns(&needed) else {
        return;
    };
    let run = RunDir::new();
    // A mode that each variant programs otherwise, and one that both program in the same way.
    let variants =
        "--variant 'base:--transports restore,nft' --variant 'head:--transports restore,netlink'";
    let done = run.run(&small(
        "nftables,iptables-legacy",
        &format!("--scenarios cold-install,first-packet --repetitions 1 {variants}"),
    ));
    assert!(done.status.success(), "{}", text(&done.stderr));
    let path = run.path().display().to_string();
    for across in ["", "--across variant", "--across transport"] {
        let line = format!("compare {path} --format json {across}");
        let output = runner::output(words(&line));
        // Which of the two is faster is the machine's to say.
        let said = text(&output.stderr);
        assert!(matches!(output.status.code(), Some(0 | 3)), "{said}");
        let compared: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(compared["base"]["part"], "base", "{across}");
        assert_eq!(compared["new"]["part"], "head", "{across}");
        let cells = compared["cells"].as_array().unwrap();
        let of = |mode: &str, scenario: &str, metric: &str| {
            let asked = |c: &&Value| {
                c["mode"] == mode && c["scenario"] == scenario && c["metric"] == metric
            };
            let found: Vec<&Value> = cells.iter().filter(asked).collect();
            assert_eq!(found.len(), 1, "{across}: {mode} {scenario} in {cells:?}");
            assert_eq!(found[0]["base"]["stays"], 1, "{}", found[0]);
            assert_eq!(found[0]["new"]["stays"], 1, "{}", found[0]);
            let options = |key: &Value| key["options"].clone();
            // What is handed to a tool is not what is handed to the kernel.
            let other_thing = mode == "nftables" && metric == "bytes_sent";
            assert_eq!(found[0]["verdict"] == "incomparable", other_thing);
            (options(found[0]), options(&found[0]["new_key"]))
        };
        for mode in ["nftables", "iptables-legacy"] {
            let (base, new) = of(mode, "first-packet", "latency");
            assert_eq!(
                base, new,
                "a packet does not know by what its rules were sent"
            );
        }
        for metric in ["update_time", "bytes_sent"] {
            let (base, new) = of("nftables", "cold-install", metric);
            assert_eq!(
                (&base["transport"], &new["transport"]),
                (&"nft".into(), &"netlink".into())
            );
        }
        let (base, new) = of("iptables-legacy", "cold-install", "update_time");
        assert_eq!(base, new);
    }
}

#[test]
fn a_sysctl_for_all_variants_is_a_fact_of_the_environment() {
    let Some(_alone) = netns(&["netlink"]) else {
        return;
    };
    let run = RunDir::new();
    let line = "--scenarios first-packet --repetitions 1 --sysctl net.ipv4.ip_default_ttl=65";
    let done = run.run(&small("nftables", line));
    assert!(done.status.success(), "{}", text(&done.stderr));
    let sysctls = &run.header()["environments"]["netns"]["sysctls"];
    for place in ["client", "node", "backends"] {
        assert_eq!(sysctls[format!("{place}:net.ipv4.ip_default_ttl")], "65");
    }
}

#[test]
fn what_cannot_be_set_is_refused_in_one_line_before_anything_is_measured() {
    let Some(_alone) = netns(&["netlink"]) else {
        return;
    };
    let run = RunDir::new();
    let refused = |line: &str| run.refused(&small("nftables", line));
    let unknown = refused("--sysctl net.ipv4.no_such_thing=1");
    assert!(
        unknown.contains("net.ipv4.no_such_thing=1") && unknown.contains("none of that name"),
        "{unknown}"
    );
    let fixed = refused("--sysctl net.netfilter.nf_conntrack_max=1000");
    assert!(fixed.contains("cannot be written"), "{fixed}");
    let clamped = refused("--sysctl net.ipv4.ip_default_ttl=0x50");
    assert!(clamped.contains("ip_default_ttl=0x50"), "{clamped}");
    let side = refused("--variant a: --variant 'b:--sysctl net.nothing=1'");
    assert!(side.contains("net.nothing"), "{side}");
    let broken = refused("--transports nft --tool nft=/bin/true");
    assert!(
        broken.contains("--tool nft=") && broken.contains("works with the installed program"),
        "{broken}"
    );
    let alone = refused("--variant base:");
    assert!(alone.contains("--variant base: "), "{alone}");
    let own_seed = refused("--variant a: --variant 'b:--seed 3'");
    assert!(
        own_seed.contains("a variant may set --services"),
        "{own_seed}"
    );
}

#[test]
fn an_interrupted_run_of_variants_is_carried_on_with_the_same_variants_alone() {
    let Some(_alone) = netns(&["netlink"]) else {
        return;
    };
    let run = RunDir::new();
    let variants = "--variant base: --variant 'head:--endpoints 3'";
    let line = format!("--scenarios first-packet --repetitions 4 --budget 1h {variants}");
    let mut child = run.start(&small("nftables", &line));
    until("a cell has been measured", || run.measured() > 0);
    signal(child.id(), "INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let other = run.resume("--variant base: --variant 'head:--endpoints 4'");
    let why = refused(&other, 4);
    assert!(why.contains("--variant head was"), "{why}");
    let done = run.resume(variants);
    assert!(done.status.success(), "{}", text(&done.stderr));
    let mut outcomes: BTreeMap<(String, u64), String> = BTreeMap::new();
    for cell in run.cells() {
        let at = (cell["variant"].to_string(), cell["block"].as_u64().unwrap());
        outcomes.insert(at, cell["outcome"].to_string());
    }
    assert_eq!(outcomes.len(), 8, "2 variants, 4 blocks: {outcomes:?}");
    assert!(outcomes.values().all(|outcome| outcome == "\"measured\""));
}
