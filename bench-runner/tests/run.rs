//! The binary on a real kernel, small: every mode measured, every promise about files and exit codes.
#![allow(missing_docs, reason = "tests are sentences")]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]
#![allow(
    clippy::explicit_write,
    reason = "eprintln! is captured by the test harness"
)]

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

const RUNNER: &str = env!("CARGO_BIN_EXE_bench-runner");
/// Steps of waiting for another process; each test gives up after [`STEPS`] of them.
const STEP: Duration = Duration::from_millis(20);
const STEPS: u32 = 3_000;

/// Whether labs can be made here; says so when not, where scripts/test counts it.
/// Tests that make labs have the machine to themselves: each pins and spins on the same two CPUs.
fn netns() -> Option<MutexGuard<'static, ()>> {
    static ALONE: Mutex<()> = Mutex::new(());
    // A test that failed has poisoned nothing that the next one uses.
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let output = Command::new(RUNNER)
        .args(["doctor", "--json"])
        .output()
        .unwrap();
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    // What these tests measure; without root other modes are not ready.
    let needed = ["none", "conntrack", "iptables-legacy", "nftables"];
    let broken = found["modes"].as_array().unwrap().iter().find(|way| {
        needed.iter().any(|mode| way["mode"] == *mode)
            && way["transport"] != "nft"
            && way["ready"] == false
    });
    if let Some(line) = broken {
        let reason = format!(
            "{} ({}): {}",
            line["mode"], line["transport"], line["reason"]
        );
        writeln!(std::io::stderr(), "SKIP netns: {reason}").unwrap();
    }
    broken.is_none().then_some(alone)
}

/// A run on the host's kernel: guests have tests of their own.
fn run(out: &Path, words: &[&str]) -> Output {
    Command::new(RUNNER)
        .args(["run", "--sandbox", "netns"])
        .args(words)
        .arg("--out")
        .arg(out)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn lines(run: &Path) -> Vec<Value> {
    let text = fs::read_to_string(run.join("results.jsonl")).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn cells(run: &Path) -> Vec<Value> {
    lines(run)
        .into_iter()
        .filter(|line| line["record"] == "cell")
        .collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Steps until `done`, or gives up.
fn until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..STEPS {
        if done() {
            return;
        }
        std::thread::sleep(STEP);
    }
    panic!("gave up waiting until {what}");
}

fn valid(schema: &str, instances: &[Value]) {
    let output = Command::new(RUNNER)
        .args(["schema", schema])
        .output()
        .unwrap();
    let schema: Value = serde_json::from_slice(&output.stdout).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    for instance in instances {
        let errors: Vec<String> = validator
            .iter_errors(instance)
            .map(|e| e.to_string())
            .collect();
        assert!(errors.is_empty(), "{errors:?} in {instance}");
    }
}

#[test]
fn a_small_run_measures_every_mode_and_writes_every_file() {
    let Some(_alone) = netns() else {
        return;
    };
    let scratch = TempDir::new().unwrap();
    let out = scratch.path().join("run");
    let done = run(
        &out,
        &[
            "--services",
            "10,20",
            "--repetitions",
            "2",
            "--flows",
            "100",
            "--transports",
            "restore,netlink,nft",
            // All that an ordinary run asks but memory, whose settling takes minutes.
            "--scenarios",
            "cold-install,service-add,service-remove,endpoint-churn,first-packet,rule-count",
        ],
    );
    assert!(done.status.success(), "{}", text(&done.stderr));
    let last = text(&done.stdout).lines().last().unwrap().to_owned();
    assert_eq!(PathBuf::from(last), out.join("report.html"));
    for file in [
        "results.jsonl",
        "summary.json",
        "summary.md",
        "report.html",
        "plots/first-packet-tcp.svg",
        "plots/first-packet-tcp.png",
    ] {
        assert!(out.join(file).metadata().unwrap().len() > 0, "{file}");
    }
    let all = lines(&out);
    valid("results", &all);
    valid(
        "summary",
        &[serde_json::from_str(&fs::read_to_string(out.join("summary.json")).unwrap()).unwrap()],
    );
    let cells = cells(&out);
    assert_eq!(all[0]["planned_cells"], cells.len());
    // A kernel without IPVS is said to be one; where it has it, the mode is measured as the others are.
    let lacks_ipvs = |cell: &&Value| {
        cell["mode"] == "ipvs"
            && cell["outcome"] == "unsupported"
            && cell["reason"]
                .as_str()
                .is_some_and(|why| why.contains("--sandbox guest"))
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
fn a_cell_past_its_limit_is_timed_out_with_a_lower_bound_and_costs_only_itself() {
    let Some(_alone) = netns() else {
        return;
    };
    let scratch = TempDir::new().unwrap();
    let out = scratch.path().join("run");
    let words = [
        "--services",
        "500",
        "--no-sweep",
        "--modes",
        "nftables",
        "--scenarios",
        "cold-install,first-packet",
    ];
    let done = run(
        &out,
        &[&words[..], &["--repetitions", "2", "--cell-timeout", "1ms"]].concat(),
    );
    assert_eq!(done.status.code(), Some(1), "{}", text(&done.stderr));
    let cells = cells(&out);
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
fn long_run(out: &Path) -> Child {
    Command::new(RUNNER)
        .args([
            "run",
            "--services",
            "300",
            "--no-sweep",
            "--repetitions",
            "100",
            "--sandbox",
            "netns",
            "--out",
        ])
        .arg(out)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn measured_so_far(out: &Path) -> bool {
    fs::read_to_string(out.join("results.jsonl"))
        .is_ok_and(|text| text.contains("\"outcome\":\"measured\""))
}

fn signal(child: &Child, name: &str) {
    assert!(
        Command::new("kill")
            .args([name, &child.id().to_string()])
            .status()
            .unwrap()
            .success()
    );
}

#[test]
fn an_interrupted_run_keeps_what_was_measured_accounts_for_the_rest_and_ends_with_130() {
    let Some(_alone) = netns() else {
        return;
    };
    let scratch = TempDir::new().unwrap();
    let out = scratch.path().join("run");
    let mut child = long_run(&out);
    until("a cell has been measured", || measured_so_far(&out));
    signal(&child, "-INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let all = lines(&out);
    assert_eq!(all.last().unwrap()["ended"], "interrupted");
    let cells = cells(&out);
    assert_eq!(all[0]["planned_cells"], cells.len());
    assert!(cells.iter().any(|c| c["outcome"] == "measured"));
    assert!(
        cells
            .iter()
            .any(|c| c["outcome"] == "not-run" && c["reason"] == "interrupted")
    );
    assert!(out.join("report.html").exists());
}

/// The last outcome of every cell of every block.
fn outcomes(run: &Path) -> std::collections::BTreeMap<String, String> {
    let identity = |cell: &Value| {
        let of = [
            "block", "mode", "scenario", "services", "variant", "options",
        ];
        of.map(|name| cell[name].to_string()).join(" ")
    };
    let outcome = |cell: &Value| cell["outcome"].as_str().unwrap().to_owned();
    let cells = cells(run);
    cells.iter().map(|c| (identity(c), outcome(c))).collect()
}

#[test]
fn an_interrupted_run_is_carried_on_and_what_was_there_stays() {
    let scratch = TempDir::new().unwrap();
    let out = scratch.path().join("run");
    let Some(_alone) = netns() else {
        return;
    };
    let words = "run --services 4 --no-sweep --modes none,conntrack --scenarios first-packet --positions last --flows 100 --repetitions 2 --budget 1h --out";
    let mut child = Command::new(RUNNER)
        .args(words.split_whitespace())
        .arg(&out)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    until("a cell has been measured", || measured_so_far(&out));
    signal(&child, "-INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let file = out.join("results.jsonl");
    let before = fs::read_to_string(&file).unwrap();
    let resume = |more: &[&str]| {
        let mut command = Command::new(RUNNER);
        command.arg("--resume").arg(&out).args(more);
        command.stdin(Stdio::null()).output().unwrap()
    };
    assert_eq!(resume(&["--flows", "200"]).status.code(), Some(4));
    assert_eq!(fs::read_to_string(&file).unwrap(), before);
    // What a kill leaves behind an end that was said: half a line.
    let mut torn = fs::OpenOptions::new().append(true).open(&file).unwrap();
    torn.write_all(b"{\"record\":\"ce").unwrap();
    drop(torn);
    let done = resume(&[]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert!(text(&done.stderr).contains("cut off"));
    assert!(fs::read_to_string(&file).unwrap().starts_with(&before));
    let all = lines(&out);
    valid("results", &all);
    assert_eq!(all.last().unwrap()["ended"], "complete");
    let outcomes = outcomes(&out);
    assert_eq!(all[0]["planned_cells"], outcomes.len());
    assert!(
        outcomes.values().all(|outcome| outcome == "measured"),
        "{outcomes:?}"
    );
    let summary: Value =
        serde_json::from_str(&fs::read_to_string(out.join("summary.json")).unwrap()).unwrap();
    assert_eq!(summary["coverage"]["missing"], 0);
    let length = fs::metadata(&file).unwrap().len();
    assert!(text(&resume(&[]).stderr).contains("is finished"));
    assert_eq!(
        fs::metadata(&file).unwrap().len(),
        length,
        "nothing is changed"
    );
}

/// Processes below `root`, itself excluded.
fn descendants(root: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| {
            let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let parent = stat
                .rsplit_once(')')?
                .1
                .split_whitespace()
                .nth(1)?
                .parse()
                .ok()?;
            Some((pid, parent))
        })
        .collect();
    let mut found = vec![root];
    let mut next = 0;
    while next < found.len() {
        let parent = found[next];
        found.extend(
            parents
                .iter()
                .filter(|(_, p)| *p == parent)
                .map(|(pid, _)| *pid),
        );
        next += 1;
    }
    found.split_off(1)
}

fn alive(pid: u32) -> bool {
    // A zombie that nobody has reaped yet holds nothing.
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        !matches!(
            stat.rsplit_once(") ").map(|(_, rest)| &rest[..1]),
            Some("Z" | "X")
        )
    })
}

#[test]
fn a_run_killed_with_sigkill_leaves_no_process() {
    let Some(_alone) = netns() else {
        return;
    };
    for _ in 0..3 {
        let scratch = TempDir::new().unwrap();
        let mut child = long_run(&scratch.path().join("run"));
        let mut below = Vec::new();
        until("a stay has two processes", || {
            below = descendants(child.id());
            below.len() >= 2
        });
        signal(&child, "-KILL");
        child.wait().unwrap();
        until("the stay's processes are gone", || {
            !below.iter().any(|pid| alive(*pid))
        });
    }
}

#[test]
fn the_same_options_print_the_same_plan_and_its_stays_can_be_run_by_hand() {
    let plan = || {
        let words = [
            "plan",
            "--services",
            "20",
            "--modes",
            "none",
            "--flows",
            "100",
            "--positions",
            "last",
            "--json",
        ];
        text(&Command::new(RUNNER).args(words).output().unwrap().stdout)
    };
    assert_eq!(plan(), plan());
    let Some(_alone) = netns() else {
        return;
    };
    let first = plan().lines().next().unwrap().to_owned();
    let mut child = Command::new(RUNNER)
        .arg("cell")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(first.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let events: Vec<Value> = text(&output.stdout)
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    assert_eq!(events.last().unwrap()["event"], "closed");
    assert_eq!(
        events.iter().filter(|e| e["outcome"] == "measured").count(),
        2
    );
}
