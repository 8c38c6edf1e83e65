//! Two variants in one run, on a real kernel, small: each is measured in its own way, side by side with the other.
#![allow(missing_docs, reason = "tests are sentences")]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]
#![allow(
    clippy::explicit_write,
    reason = "eprintln! is captured by the test harness"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

const RUNNER: &str = env!("CARGO_BIN_EXE_bench-runner");
/// Steps of waiting for another process; a test gives up after [`STEPS`] of them.
const STEP: Duration = Duration::from_millis(20);
const STEPS: u32 = 3_000;

/// The machine, for one test at a time, if these ways of programming nftables work here; says so when not,
/// where scripts/test counts it.
fn netns(transports: &[&str]) -> Option<MutexGuard<'static, ()>> {
    static ALONE: Mutex<()> = Mutex::new(());
    // A test that failed has poisoned nothing that the next one uses.
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let output = Command::new(RUNNER)
        .args(["doctor", "--json"])
        .output()
        .unwrap();
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let broken = found["modes"].as_array().unwrap().iter().find(|way| {
        way["mode"] == "nftables"
            && transports.iter().any(|name| way["transport"] == *name)
            && way["ready"] == false
    });
    if let Some(line) = broken {
        let reason = format!("nftables ({}): {}", line["transport"], line["reason"]);
        writeln!(std::io::stderr(), "SKIP netns: {reason}").unwrap();
    }
    broken.is_none().then_some(alone)
}

fn command(modes: &str, words: &[&str]) -> Command {
    let mut command = Command::new(RUNNER);
    command
        .args(["run", "--sandbox", "netns", "--services", "4", "--no-sweep"])
        .args(["--modes", modes, "--flows", "100"])
        .args(["--positions", "last", "--protocols", "tcp"])
        .args(words)
        .stdin(Stdio::null());
    command
}

fn run(out: &Path, modes: &str, words: &[&str]) -> Output {
    command(modes, words)
        .arg("--out")
        .arg(out)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn lines(run: &Path) -> Vec<Value> {
    let text = fs::read_to_string(run.join("results.jsonl")).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn cells(run: &Path) -> Vec<Value> {
    let mut lines = lines(run);
    lines.retain(|line| line["record"] == "cell");
    lines
}

fn of<'a>(cells: &'a [Value], variant: &str) -> Vec<&'a Value> {
    cells.iter().filter(|c| c["variant"] == variant).collect()
}

/// Ends with exit code 2 and one line on standard error, which it returns.
fn refused(words: &[&str]) -> String {
    let scratch = TempDir::new().unwrap();
    let out = scratch.path().join("run");
    let done = run(&out, "nftables", words);
    let said = text(&done.stderr);
    assert_eq!(done.status.code(), Some(2), "{said}");
    let errors: Vec<&str> = said.lines().filter(|l| l.starts_with("error")).collect();
    assert_eq!(errors.len(), 1, "{said}");
    assert!(!out.exists(), "nothing is left of a run that did not begin");
    errors[0].to_owned()
}

/// A program that notes each call in `log` and then does what the installed one does.
fn wrapper(folder: &Path, name: &str, tool: &str) -> (PathBuf, PathBuf) {
    let (file, log) = (folder.join(name), folder.join(format!("{name}.log")));
    let path = std::env::var("PATH").unwrap();
    let installed = std::env::split_paths(&path)
        .map(|folder| folder.join(tool))
        .find(|file| file.is_file())
        .unwrap();
    let script = format!(
        "#!/bin/sh\necho call >>'{}'\nexec '{}' \"$@\"\n",
        log.display(),
        installed.display()
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
    let scratch = TempDir::new().unwrap();
    let out = scratch.path().join("run");
    let done = run(
        &out,
        "none,conntrack,nftables",
        &[
            "--scenarios",
            "first-packet,service-add",
            "--repetitions",
            "3",
            "--budget",
            "1h",
            "--variant",
            "base:",
            "--variant",
            "head:--plant 40 --sysctl net.ipv4.ip_default_ttl=77",
        ],
    );
    assert!(done.status.success(), "{}", text(&done.stderr));
    let all = lines(&out);
    assert_eq!(all[0]["variants"][0]["name"], "base");
    assert_eq!(all[0]["variants"][1]["name"], "head");
    assert_eq!(
        all[0]["variants"][1]["options"],
        "--plant 40 --sysctl net.ipv4.ip_default_ttl=77"
    );
    let cells = cells(&out);
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
    let page = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(page.contains("Variants side by side"));
    let summary = fs::read_to_string(out.join("summary.json")).unwrap();
    let summary: Value = serde_json::from_str(&summary).unwrap();
    assert_eq!(summary["noise"]["stays_a"], 3, "{}", summary["noise"]);
}

#[test]
fn each_variant_starts_its_own_file_in_place_of_a_tool() {
    let Some(_alone) = netns(&["nft"]) else {
        return;
    };
    let scratch = TempDir::new().unwrap();
    let out = scratch.path().join("run");
    let (first, first_log) = wrapper(scratch.path(), "first", "nft");
    let (second, second_log) = wrapper(scratch.path(), "second", "nft");
    let variant = |name: &str, file: &Path| format!("{name}:--tool nft={}", file.display());
    let done = run(
        &out,
        "nftables",
        &[
            "--scenarios",
            "service-add",
            "--transports",
            "nft",
            "--repetitions",
            "1",
            "--variant",
            &variant("base", &first),
            "--variant",
            &variant("head", &second),
        ],
    );
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert!(cells(&out).iter().all(|c| c["outcome"] == "measured"));
    let calls = |log: &Path| fs::read_to_string(log).unwrap().lines().count();
    // The version that is noted, the trial, the updates.
    assert!(calls(&first_log) > 5, "{}", calls(&first_log));
    assert_eq!(calls(&first_log), calls(&second_log));
    let header = &lines(&out)[0];
    let noted = header["variants"][1]["tools"]["nft"].as_str().unwrap();
    assert!(noted.starts_with("nftables v"), "{noted}");
    assert!(
        noted.contains("crc32 ") && noted.contains("second)"),
        "{noted}"
    );
}

#[test]
fn a_sysctl_for_all_variants_is_a_fact_of_the_environment() {
    let Some(_alone) = netns(&["netlink"]) else {
        return;
    };
    let scratch = TempDir::new().unwrap();
    let out = scratch.path().join("run");
    let words = "--scenarios first-packet --repetitions 1 --sysctl net.ipv4.ip_default_ttl=65";
    let words: Vec<&str> = words.split_whitespace().collect();
    let done = run(&out, "nftables", &words);
    assert!(done.status.success(), "{}", text(&done.stderr));
    let sysctls = &lines(&out)[0]["environments"]["netns"]["sysctls"];
    for place in ["client", "node", "backends"] {
        assert_eq!(sysctls[format!("{place}:net.ipv4.ip_default_ttl")], "65");
    }
}

#[test]
fn what_cannot_be_set_is_refused_in_one_line_before_anything_is_measured() {
    let Some(_alone) = netns(&["netlink"]) else {
        return;
    };
    let unknown = refused(&["--sysctl", "net.ipv4.no_such_thing=1"]);
    assert!(
        unknown.contains("net.ipv4.no_such_thing=1") && unknown.contains("none of that name"),
        "{unknown}"
    );
    let fixed = refused(&["--sysctl", "net.netfilter.nf_conntrack_max=1000"]);
    assert!(fixed.contains("cannot be written"), "{fixed}");
    let clamped = refused(&["--sysctl", "net.ipv4.ip_default_ttl=0x50"]);
    assert!(clamped.contains("ip_default_ttl=0x50"), "{clamped}");
    let side = ["--variant", "a:", "--variant", "b:--sysctl net.nothing=1"];
    assert!(refused(&side).contains("net.nothing"));
    let broken = ["--transports", "nft", "--tool", "nft=/bin/true"];
    let broken = refused(&broken);
    assert!(
        broken.contains("--tool nft=") && broken.contains("works with the installed program"),
        "{broken}"
    );
    let alone = refused(&["--variant", "base:"]);
    assert!(alone.contains("--variant base: "), "{alone}");
    let own_seed = refused(&["--variant", "a:", "--variant", "b:--seed 3"]);
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
    let scratch = TempDir::new().unwrap();
    let out = scratch.path().join("run");
    let words = [
        "--scenarios",
        "first-packet",
        "--repetitions",
        "4",
        "--budget",
        "1h",
        "--variant",
        "base:",
        "--variant",
        "head:--endpoints 3",
    ];
    let mut child = command("nftables", &words)
        .arg("--out")
        .arg(&out)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let file = out.join("results.jsonl");
    let measured =
        || fs::read_to_string(&file).is_ok_and(|text| text.contains("\"outcome\":\"measured\""));
    let waited = (0..STEPS).any(|_| {
        std::thread::sleep(STEP);
        measured()
    });
    assert!(waited, "gave up waiting until a cell has been measured");
    let pid = child.id().to_string();
    let sent = Command::new("kill").args(["-INT", &pid]).status().unwrap();
    assert!(sent.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let resume = |more: &[&str]| {
        let mut command = Command::new(RUNNER);
        command.arg("--resume").arg(&out).args(more);
        command.stdin(Stdio::null()).output().unwrap()
    };
    let other = ["--variant", "base:", "--variant", "head:--endpoints 4"];
    let refused = resume(&other);
    assert_eq!(refused.status.code(), Some(4), "{}", text(&refused.stderr));
    assert!(text(&refused.stderr).contains("--variant head was"));
    let same = ["--variant", "base:", "--variant", "head:--endpoints 3"];
    let done = resume(&same);
    assert!(done.status.success(), "{}", text(&done.stderr));
    let mut outcomes: BTreeMap<(String, u64), String> = BTreeMap::new();
    for cell in cells(&out) {
        let at = (cell["variant"].to_string(), cell["block"].as_u64().unwrap());
        outcomes.insert(at, cell["outcome"].to_string());
    }
    assert_eq!(outcomes.len(), 8, "2 variants, 4 blocks: {outcomes:?}");
    assert!(outcomes.values().all(|outcome| outcome == "\"measured\""));
}
