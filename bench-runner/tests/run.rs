//! The binary on a real kernel, small: every mode measured, every promise about files and exit codes.
#![allow(missing_docs, reason = "tests are sentences")]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod runner;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::MutexGuard;

use runner::{RunDir, alive, command, descendants, signal, text, until, valid, words};
use serde_json::Value;

/// The machine, if what these tests measure can be measured here; without root other modes are not ready.
fn netns() -> Option<MutexGuard<'static, ()>> {
    runner::netns(&[
        ("none", "-"),
        ("conntrack", "-"),
        ("iptables-legacy", "restore"),
        ("nftables", "netlink"),
    ])
}

#[test]
fn a_small_run_measures_every_mode_and_writes_every_file() {
    let Some(_alone) = netns() else {
        return;
    };
    let run = RunDir::new();
    // All that an ordinary run asks but memory, whose settling takes minutes.
    let scenarios =
        "cold-install,service-add,service-remove,endpoint-churn,first-packet,rule-count";
    let done = run.run(&format!(
        "--sandbox netns --services 10,20 --repetitions 2 --flows 100 --transports restore,netlink,nft --scenarios {scenarios}"
    ));
    assert!(done.status.success(), "{}", text(&done.stderr));
    let last = text(&done.stdout).lines().last().unwrap().to_owned();
    assert_eq!(PathBuf::from(last), run.file("report.html"));
    for file in [
        "results.jsonl",
        "summary.json",
        "summary.md",
        "report.html",
        "plots/first-packet-tcp.svg",
        "plots/first-packet-tcp.png",
    ] {
        assert!(run.file(file).metadata().unwrap().len() > 0, "{file}");
    }
    let all = run.lines();
    valid("results", &all);
    valid("summary", &[run.summary()]);
    let cells = run.cells();
    assert_eq!(all[0]["planned_cells"], cells.len());
    // A kernel without IPVS is said to be one; where it has it, the mode is measured as the others are.
    let lacks_ipvs = |cell: &&Value| {
        cell["mode"] == "ipvs"
            && cell["outcome"] == "unsupported"
            && cell["remedy"]
                .as_str()
                .is_some_and(|remedy| remedy.contains("--sandbox guest"))
    };
    let (without, cells): (Vec<&Value>, Vec<&Value>) = cells.iter().partition(lacks_ipvs);
    assert!(
        cells.iter().all(|cell| cell["outcome"] == "measured"),
        "{cells:?}"
    );
    let modes: BTreeSet<&str> = cells
        .iter()
        .chain(without.first())
        .map(|cell| cell["mode"].as_str().unwrap())
        .collect();
    assert_eq!(
        modes,
        BTreeSet::from([
            "none",
            "conntrack",
            "iptables-legacy",
            "iptables-nft",
            "ipset",
            "ipvs",
            "nftables"
        ])
    );
    for cell in cells
        .iter()
        .filter(|cell| cell["scenario"] == "first-packet" && cell["mode"] != "none")
    {
        assert_eq!(
            cell["facts"]["probes"], cell["facts"]["nat_packets"],
            "{cell}"
        );
    }
    assert!(
        cells
            .iter()
            .all(|cell| cell["facts"]["teardown"] == "census empty")
    );
}

#[test]
fn what_the_node_sends_is_counted_where_it_enters_the_rules() {
    let Some(_alone) = netns() else {
        return;
    };
    let run = RunDir::new();
    let done = run.run(
        "--sandbox netns --services 10 --no-sweep --repetitions 1 --flows 100 --scenarios first-packet --positions uniform --paths node --families ipv4,ipv6",
    );
    assert!(done.status.success(), "{}", text(&done.stderr));
    let cells = run.cells();
    let mut counted = BTreeSet::new();
    for cell in cells.iter().filter(|cell| cell["outcome"] == "measured") {
        let fact = |name: &str| cell["facts"][name].as_str()?.parse::<u64>().ok();
        if let Some(sent) = fact("nat_packets_sent") {
            counted.insert(cell["mode"].as_str().unwrap());
            let all = fact("nat_packets").map(|clients| clients + sent);
            assert!(sent >= 100 && all == fact("probes"), "{cell}");
        }
    }
    let counting = ["conntrack", "iptables-legacy", "iptables-nft", "ipset"];
    counted.remove("ipvs");
    assert_eq!(counted, BTreeSet::from(counting));
}

#[test]
fn a_cell_past_its_limit_is_timed_out_with_a_lower_bound_and_costs_only_itself() {
    let Some(_alone) = netns() else {
        return;
    };
    let run = RunDir::new();
    let done = run.run(
        "--sandbox netns --services 500 --no-sweep --modes nftables --scenarios cold-install,first-packet --repetitions 2 --cell-timeout 1ms",
    );
    assert_eq!(done.status.code(), Some(1), "{}", text(&done.stderr));
    let cells = run.cells();
    let of = |scenario: &str, block: u64| {
        let found = cells
            .iter()
            .filter(|c| c["scenario"] == scenario && c["block"] == block);
        found
            .map(|c| c["outcome"].as_str().unwrap())
            .collect::<BTreeSet<_>>()
    };
    // Building the lab already passes the limit of preparation, so no cell of either stay has begun.
    assert_eq!(of("first-packet", 0), BTreeSet::from(["not-run"]));
    assert!(
        cells
            .iter()
            .all(|c| c["outcome"] != "failed" && c["series"] == Value::Array(Vec::new()))
    );
    assert_eq!(of("first-packet", 1), BTreeSet::from(["not-run"]));
    assert_eq!(cells.len(), 18);
}

/// A run that would go on for long; ended by the test.
fn long_run(run: &RunDir) -> Child {
    run.start("--sandbox netns --services 300 --no-sweep --repetitions 100")
}

#[test]
fn an_interrupted_run_keeps_what_was_measured_accounts_for_the_rest_and_ends_with_130() {
    let Some(_alone) = netns() else {
        return;
    };
    let run = RunDir::new();
    let mut child = long_run(&run);
    until("a cell has been measured", || run.measured() > 0);
    signal(child.id(), "INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let all = run.lines();
    assert_eq!(all.last().unwrap()["ended"], "interrupted");
    let cells = run.cells();
    assert_eq!(all[0]["planned_cells"], cells.len());
    assert!(cells.iter().any(|c| c["outcome"] == "measured"));
    assert!(
        cells
            .iter()
            .any(|c| c["outcome"] == "not-run" && c["reason"] == "interrupted")
    );
    assert!(run.file("report.html").exists());
}

/// The last outcome of every cell of every block.
fn outcomes(run: &RunDir) -> BTreeMap<String, String> {
    let identity = |cell: &Value| {
        let of = [
            "block", "mode", "scenario", "services", "variant", "options",
        ];
        of.map(|name| cell[name].to_string()).join(" ")
    };
    let outcome = |cell: &Value| cell["outcome"].as_str().unwrap().to_owned();
    let cells = run.cells();
    cells.iter().map(|c| (identity(c), outcome(c))).collect()
}

#[test]
fn an_interrupted_run_is_carried_on_and_what_was_there_stays() {
    let Some(_alone) = netns() else {
        return;
    };
    let run = RunDir::new();
    let mut child = run.start(
        "--services 4 --no-sweep --modes none,conntrack --scenarios first-packet --positions last --flows 100 --repetitions 2 --budget 1h",
    );
    until("a cell has been measured", || run.measured() > 0);
    signal(child.id(), "INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let file = run.file("results.jsonl");
    let before = fs::read_to_string(&file).unwrap();
    assert_eq!(run.resume("--flows 200").status.code(), Some(4));
    assert_eq!(fs::read_to_string(&file).unwrap(), before);
    // What a kill leaves behind an end that was said: half a line.
    let mut torn = fs::OpenOptions::new().append(true).open(&file).unwrap();
    torn.write_all(b"{\"record\":\"ce").unwrap();
    drop(torn);
    let done = run.resume("");
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert!(text(&done.stderr).contains("cut off"));
    assert!(fs::read_to_string(&file).unwrap().starts_with(&before));
    let all = run.lines();
    valid("results", &all);
    assert_eq!(all.last().unwrap()["ended"], "complete");
    let outcomes = outcomes(&run);
    assert_eq!(all[0]["planned_cells"], outcomes.len());
    assert!(
        outcomes.values().all(|outcome| outcome == "measured"),
        "{outcomes:?}"
    );
    assert_eq!(run.summary()["coverage"]["missing"], 0);
    let length = fs::metadata(&file).unwrap().len();
    assert!(text(&run.resume("").stderr).contains("is finished"));
    assert_eq!(
        fs::metadata(&file).unwrap().len(),
        length,
        "nothing is changed"
    );
}

#[test]
fn a_run_killed_with_sigkill_leaves_no_process() {
    let Some(_alone) = netns() else {
        return;
    };
    for _ in 0..3 {
        let run = RunDir::new();
        let mut child = long_run(&run);
        let mut below = Vec::new();
        until("a stay has two processes", || {
            below = descendants(child.id());
            below.len() >= 2
        });
        signal(child.id(), "KILL");
        child.wait().unwrap();
        until("the stay's processes are gone", || {
            !below.iter().any(|pid| alive(*pid))
        });
    }
}

/// The events of a stay that is carried out by hand.
fn cell(start: &[&str], stay: &str) -> Vec<Value> {
    let mut child = command(start)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(stay.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    text(&output.stdout)
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect()
}

#[test]
fn the_same_options_print_the_same_plan_and_its_stays_can_be_run_by_hand() {
    let plan = || {
        let line = "plan --services 20 --modes none --scenarios first-packet --flows 100 --positions last --json";
        text(&runner::output(words(line)).stdout)
    };
    assert_eq!(plan(), plan());
    let Some(_alone) = netns() else {
        return;
    };
    let first = plan().lines().next().unwrap().to_owned();
    let events = cell(&["cell"], &first);
    assert_eq!(events.last().unwrap()["event"], "closed");
    assert_eq!(
        events.iter().filter(|e| e["outcome"] == "measured").count(),
        2
    );
}

#[test]
fn a_stay_tells_what_it_sends_while_no_clock_runs() {
    let line = "plan --services 20 --modes nftables --scenarios cold-install,service-add --json";
    let stays = text(&runner::output(words(line)).stdout);
    let Some(_alone) = netns() else {
        return;
    };
    for stay in stays.lines() {
        let mut told = 0;
        let mut timed = false;
        for event in cell(&["cell", "-vv"], stay) {
            match event["event"].as_str().unwrap() {
                "act" | "other-act" => timed = event["begins"] == true,
                "told" => {
                    assert!(!timed, "{event}");
                    told += usize::from(event["line"].as_str().unwrap().contains("add "));
                }
                _ => {}
            }
        }
        assert!(told > 0, "{stay}");
        let silent = cell(&["cell"], stay);
        assert!(silent.iter().all(|event| event["event"] != "told"));
    }
}

#[test]
fn a_run_tells_its_decisions_where_it_was_asked_to() {
    let Some(_alone) = netns() else {
        return;
    };
    let line = "--sandbox netns --services 20 --modes nftables --scenarios service-add --repetitions 1 --no-control";
    let said = |further: &str| {
        let done = RunDir::new().run(&format!("{line} {further}"));
        assert!(done.status.success(), "{}", text(&done.stderr));
        text(&done.stderr)
    };
    let told = said("-vv");
    for (what, about) in [
        ("start ", " cell"),
        ("begin", "nftables"),
        ("transaction", "add "),
        ("ended", "Closed"),
    ] {
        let line = told.lines().find(|line| line.contains(what));
        assert!(line.is_some_and(|line| line.contains(about)), "{told}");
    }
    let silent = said("");
    assert!(
        ["transaction", "begin", "Closed"]
            .iter()
            .all(|word| !silent.contains(word)),
        "{silent}"
    );
}

#[test]
fn every_reader_lists_all_that_is_there_and_one_that_leaves_a_line_out_has_no_number() {
    let Some(_alone) = netns() else {
        return;
    };
    let run = RunDir::new();
    let wanted = "--sandbox netns --services 20 --no-sweep --repetitions 1 --scenarios listing";
    let done = run.run(&format!("{wanted} --families ipv4,ipv6"));
    assert!(done.status.success(), "{}", text(&done.stderr));
    let measured: Vec<Value> = run.cells();
    let measured = measured.iter().filter(|cell| cell["outcome"] == "measured");
    let mut readers = BTreeSet::new();
    for cell in measured {
        let reader = cell["options"]["reader"].as_str().unwrap();
        readers.insert(reader);
        let metric = |name: &str| {
            let all = cell["series"].as_array().unwrap().iter();
            let mut found = all.filter(|series| series["metric"] == name);
            found.next().map(|series| series["values"].clone())
        };
        let listings = metric("listing_time").unwrap();
        assert_eq!(listings.as_array().unwrap().len(), 5, "{cell}");
        let torn = cell["facts"]["torn_listings"].is_string();
        assert!(torn || metric("listing_time_updating").is_some(), "{cell}");
        assert_eq!(cell["facts"]["census_after_listing"], "20", "{cell}");
        // What we read ourselves has no tool.
        let has_text = cell["facts"]["listed_bytes"].is_string();
        assert_eq!(metric("tool_rss").is_some(), has_text, "{cell}");
    }
    for reader in ["iptables-save", "nft-list", "netlink-decoded", "ipset-save"] {
        assert!(readers.contains(reader), "{readers:?}");
    }

    let short = run.file("short");
    fs::write(
        &short,
        "#!/bin/sh\n\"$(PATH=/usr/sbin:/sbin command -v ipset)\" \"$@\" | sed '$d'\n",
    )
    .unwrap();
    fs::set_permissions(&short, fs::Permissions::from_mode(0o755)).unwrap();
    let spoilt = RunDir::new();
    let short = short.display();
    let done = spoilt.run(&format!("{wanted} --modes ipset --tool ipset={short}"));
    assert_eq!(done.status.code(), Some(1), "{}", text(&done.stderr));
    for cell in spoilt.cells() {
        let started = ["ipset-save", "ipset-terse"]
            .iter()
            .any(|reader| cell["options"]["reader"] == *reader);
        let failed = cell["outcome"] == "failed" && cell["stage"] == "proof";
        assert_eq!(failed, started, "{cell}");
        assert_eq!(
            cell["series"].as_array().unwrap().is_empty(),
            started,
            "{cell}"
        );
    }
}

#[test]
fn every_swap_is_seen_in_both_sets_and_one_that_was_left_out_has_no_number() {
    let Some(_alone) = netns() else {
        return;
    };
    let run = RunDir::new();
    let wanted = "--sandbox netns --services 10,20 --repetitions 1 --engines legacy --scenarios set-swap --sets 1,20";
    let done = run.run(&format!(
        "{wanted} --modes ipset,nftables --transports netlink,ipset-restore"
    ));
    assert!(done.status.success(), "{}", text(&done.stderr));
    let cells = run.cells();
    // Each number of sets both ways, at one size, since no service has a part in it.
    assert_eq!(cells.len(), 4, "{cells:?}");
    for cell in &cells {
        assert_eq!(
            (&cell["mode"], &cell["services"]),
            (&"ipset".into(), &20.into())
        );
        assert_eq!(cell["outcome"], "measured", "{cell}");
        let all = cell["series"].as_array().unwrap().iter();
        let swaps = all.filter(|series| series["metric"] == "swap_time");
        let values: Vec<&Value> = swaps.map(|series| &series["values"]).collect();
        assert_eq!(values[0].as_array().unwrap().len(), 3, "{cell}");
    }

    let short = run.file("short");
    fs::write(
        &short,
        "#!/bin/sh\nsed '${/^swap/d}' | PATH=/usr/sbin:/sbin:/usr/bin:/bin exec ipset \"$@\"\n",
    )
    .unwrap();
    fs::set_permissions(&short, fs::Permissions::from_mode(0o755)).unwrap();
    let (spoilt, short) = (RunDir::new(), short.display());
    let done = spoilt.run(&format!(
        "{wanted} --modes ipset --transports ipset-restore --tool ipset={short}"
    ));
    assert_eq!(done.status.code(), Some(1), "{}", text(&done.stderr));
    for cell in spoilt.cells() {
        let failed = cell["outcome"] == "failed" && cell["stage"] == "proof";
        assert!(failed && cell["series"] == serde_json::json!([]), "{cell}");
    }
}
