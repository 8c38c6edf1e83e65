//! Runs in a real guest, small. QEMU and a kernel are fetched by scripts/bootstrap and the cache; without
//! them these tests fail, with the remedy: nothing else shows that a guest works.
#![allow(missing_docs, reason = "tests are sentences")]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

const RUNNER: &str = env!("CARGO_BIN_EXE_bench-runner");
const QEMU: &str = "qemu-system-x86_64";
/// Steps of waiting for another process; each test gives up after [`STEPS`] of them.
const STEP: Duration = Duration::from_millis(20);
const STEPS: u32 = 9_000;

/// One guest at a time: each translates on both CPUs.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    // A test that failed has poisoned nothing that the next one uses.
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn command(out: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(RUNNER);
    command
        .arg("run")
        .args(words)
        .arg("--out")
        .arg(out)
        .stdin(Stdio::null());
    command
}

fn run(out: &Path, words: &[&str]) -> Output {
    command(out, words).output().unwrap()
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

/// QEMUs whose parent is that process.
fn guests_of(runner: u32) -> Vec<u32> {
    let children = format!("/proc/{runner}/task/{runner}/children");
    let all = fs::read_to_string(children).unwrap_or_default();
    all.split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .filter(|pid: &u32| {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            // comm holds fifteen letters.
            QEMU.starts_with(name.trim()) && !name.trim().is_empty()
        })
        .collect()
}

/// Whether the process is there and is no zombie.
fn alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')')
        .next()
        .is_some_and(|rest| !rest.trim().is_empty() && !rest.trim_start().starts_with('Z'))
}

fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill")
        .args([&format!("-{name}"), &pid.to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
}

/// A run of one-cell stays, long enough to be disturbed.
fn long_run(out: &Path) -> Child {
    let words = [
        "--services",
        "10",
        "--sandbox",
        "guest",
        "--kernel",
        "6.1",
        "--modes",
        "nftables,ipset",
        "--scenarios",
        "cold-install",
        "--repetitions",
        "4",
        "--budget",
        "10m",
    ];
    let mut command = command(out, &words);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

fn measured(out: &Path) -> usize {
    let text = fs::read_to_string(out.join("results.jsonl")).unwrap_or_default();
    text.lines()
        .filter(|line| line.contains("\"outcome\":\"measured\""))
        .count()
}

#[test]
fn a_small_run_in_a_guest_measures_every_cell_and_describes_the_guest() {
    let _alone = alone();
    let scratch = TempDir::new().unwrap();
    let out = scratch.path().join("run");
    let done = run(
        &out,
        &[
            "--services",
            "10",
            "--kernel",
            "6.1",
            "--modes",
            "none,nftables,iptables-legacy",
            "--scenarios",
            "cold-install,service-add,first-packet",
            "--positions",
            "last",
            "--protocols",
            "tcp",
            "--no-control",
            "--flows",
            "100",
            "--repetitions",
            "1",
        ],
    );
    let said = text(&done.stderr);
    assert!(done.status.success(), "{said}");
    let header = lines(&out).remove(0);
    let facts = &header["environments"]["guest-6.1"];
    assert_eq!(facts["sandbox"], "guest", "{header}");
    assert!(facts["kernel"].as_str().unwrap().starts_with("6.1."));
    assert_eq!(facts["cores"], 2);
    assert!(facts["memory_bytes"].as_u64().unwrap() > 1 << 30);
    assert_eq!(facts["config"]["CONFIG_IP_VS"], "m");
    assert!(facts["sysctls"]["node:net.ipv4.ip_forward"] == "1");
    assert!(
        facts["tools"]["libnftnl"]
            .as_str()
            .unwrap()
            .contains("package")
    );
    assert!(header["choice"].as_str().unwrap().contains("--kernel"));
    let cells = cells(&out);
    // One of the floor, three of each mode that serves services.
    assert_eq!(cells.len(), 7);
    for cell in &cells {
        assert_eq!(cell["outcome"], "measured", "{cell}");
        assert_eq!(cell["environment"], "guest-6.1");
        assert_eq!(cell["facts"]["guest_boot"], "1");
        assert!(cell["facts"]["settled_before"].is_string());
    }
    assert!(fs::metadata(out.join("console.log")).is_ok());
    assert!(said.contains("guest 6.1: repetition 1"), "{said}");
    assert!(out.join("report.html").is_file());
}

#[test]
fn a_guest_that_is_killed_costs_its_current_cell_and_is_replaced() {
    let _alone = alone();
    let scratch = TempDir::new().unwrap();
    let out = scratch.path().join("run");
    let mut runner = long_run(&out);
    until("two cells are measured", || measured(&out) >= 2);
    let guests = guests_of(runner.id());
    assert_eq!(guests.len(), 1);
    signal(guests[0], "KILL");
    let status = runner.wait().unwrap();
    let cells = cells(&out);
    let failed: Vec<&Value> = cells.iter().filter(|c| c["outcome"] == "failed").collect();
    // Between two stays there is no current cell.
    assert!(failed.len() <= 1, "{failed:?}");
    for cell in &failed {
        assert_eq!(cell["stage"], "guest");
        assert!(
            cell["reason"].as_str().unwrap().contains("console"),
            "{cell}"
        );
    }
    assert_eq!(status.code(), Some(failed.len() as i32));
    let replaced = cells
        .iter()
        .filter(|c| c["facts"]["guest_boot"] == "2")
        .count();
    assert!(replaced > 0);
    let rest = cells.iter().filter(|c| c["outcome"] == "measured").count();
    assert_eq!(rest + failed.len(), cells.len());
    assert!(
        fs::metadata(out.join("console.1.log")).is_ok()
            || fs::metadata(out.join("console.log")).is_ok()
    );
}

#[test]
fn an_interrupted_run_and_a_killed_runner_leave_no_guest() {
    let _alone = alone();
    for (name, code) in [("INT", Some(130)), ("KILL", None)] {
        let scratch = TempDir::new().unwrap();
        let out = scratch.path().join("run");
        let mut runner = long_run(&out);
        until("a cell is measured", || measured(&out) >= 1);
        let guests = guests_of(runner.id());
        assert_eq!(guests.len(), 1, "{name}");
        signal(runner.id(), name);
        assert_eq!(runner.wait().unwrap().code(), code, "{name}");
        until("the guest is gone", || !alive(guests[0]));
    }
}

#[test]
fn a_mode_that_the_host_cannot_run_takes_every_mode_into_the_guest_and_says_why() {
    let _alone = alone();
    let scratch = TempDir::new().unwrap();
    let out = scratch.path().join("run");
    // Root of a user namespace may not exceed a socket's buffer, without which iptables-nft installs nothing.
    let done = Command::new("unshare")
        .args(["--user", "--map-root-user", RUNNER, "run", "--out"])
        .arg(&out)
        .args(["--services", "10", "--modes", "none,iptables-nft"])
        .args([
            "--scenarios",
            "cold-install,first-packet",
            "--positions",
            "last",
        ])
        .args(["--protocols", "tcp", "--flows", "100", "--repetitions", "1"])
        .args(["--no-control", "--no-sweep"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = text(&done.stderr);
    assert!(done.status.success(), "{said}");
    let header = lines(&out).remove(0);
    let environments: Vec<&String> = header["environments"].as_object().unwrap().keys().collect();
    assert_eq!(environments.len(), 1);
    assert!(environments[0].starts_with("guest-"), "{environments:?}");
    let choice = header["choice"].as_str().unwrap();
    assert!(choice.contains("cannot run iptables-nft"), "{choice}");
    assert!(said.contains(choice), "{said}");
    let cells = cells(&out);
    assert!(cells.iter().any(|c| c["mode"] == "none"));
    for cell in &cells {
        assert_eq!(cell["outcome"], "measured", "{cell} {said}");
        assert_eq!(
            (&cell["outcome"], &cell["environment"]),
            (&"measured".into(), &environments[0].as_str().into())
        );
    }
}

/// The samples of a run, and what its cells saw, but for what is of the host's clock.
fn counted(run: &Path) -> Vec<String> {
    let mut cells = cells(run);
    for cell in &mut cells {
        for of_the_host in ["started_ns", "stay"] {
            cell.as_object_mut().unwrap().remove(of_the_host);
        }
        let facts = cell["facts"].as_object_mut().unwrap();
        assert!(facts.remove("stay_ms").is_some());
    }
    let mut lines: Vec<String> = cells.iter().map(Value::to_string).collect();
    lines.sort_unstable();
    lines
}

#[test]
fn a_stay_whose_instructions_are_counted_gives_the_same_bytes_again_and_others_with_another_seed() {
    let _alone = alone();
    let scratch = TempDir::new().unwrap();
    let measured = |name: &str, seed: &str| {
        let out = scratch.path().join(name);
        let words = [
            "--deterministic",
            "--services",
            "10",
            "--kernel",
            "6.1",
            "--modes",
            "nftables",
        ];
        let rest = [
            "--positions",
            "last",
            "--protocols",
            "tcp",
            "--repetitions",
            "1",
            "--seed",
            seed,
        ];
        let done = run(&out, &[&words[..], &rest[..]].concat());
        let said = text(&done.stderr);
        assert!(done.status.success(), "{said}");
        let header = lines(&out).remove(0);
        let facts = &header["environments"]["guest-6.1"];
        assert_eq!(
            (&facts["accel"], &facts["cores"]),
            (&"tcg-icount".into(), &1.into())
        );
        assert!(
            facts["tools"][QEMU].as_str().unwrap().contains("QEMU"),
            "{facts}"
        );
        for cell in cells(&out) {
            assert_eq!(cell["outcome"], "measured", "{cell}");
            assert_eq!(cell["facts"]["seed"], seed);
            let series = cell["series"].as_array().unwrap();
            let timed =
                |s: &&Value| matches!(s["metric"].as_str(), Some("latency" | "update_time"));
            let mut times = series.iter().filter(timed);
            assert!(times.all(|s| s["unit"] == "instructions"), "{cell}");
        }
        counted(&out)
    };
    let first = measured("first", "3");
    // An install, an update, first packets.
    assert_eq!(first.len(), 3);
    assert_eq!(first, measured("again", "3"));
    assert_ne!(first, measured("other", "4"));
}

#[test]
fn counting_instructions_and_the_hosts_namespaces_exclude_each_other() {
    let scratch = TempDir::new().unwrap();
    let out = scratch.path().join("run");
    for words in [["--sandbox", "netns"], ["--budget", "5m"]] {
        let refused = run(
            &out,
            &[&["--deterministic", "--services", "10"], &words[..]].concat(),
        );
        assert_eq!(refused.status.code(), Some(2));
        let said = text(&refused.stderr);
        assert!(
            said.contains("--deterministic") && said.contains(words[0]),
            "{said}"
        );
        assert!(!out.exists());
    }
}

#[test]
fn a_guest_holds_the_program_that_stands_in_for_a_tool_and_no_script() {
    let _alone = alone();
    let scratch = TempDir::new().unwrap();
    let path = std::env::var("PATH").unwrap();
    let installed = std::env::split_paths(&path)
        .map(|folder| folder.join("nft"))
        .find(|file| file.is_file())
        .unwrap();
    // Below /tmp, over which a guest mounts its own.
    let copy = scratch.path().join("another-nft");
    fs::copy(installed, &copy).unwrap();
    let go = |out: &Path, head: &str| {
        let variant = format!("head:--tool nft={head}");
        let words = "--services 10 --no-sweep --sandbox guest --kernel 6.1 --modes nftables --transports nft --scenarios service-add --repetitions 1 --variant base: --variant";
        let mut words: Vec<&str> = words.split_whitespace().collect();
        words.push(&variant);
        run(out, &words)
    };
    let out = scratch.path().join("run");
    let done = go(&out, &copy.display().to_string());
    assert!(done.status.success(), "{}", text(&done.stderr));
    let variants: Vec<Value> = cells(&out).iter().map(|c| c["variant"].clone()).collect();
    assert!(variants.contains(&"base".into()) && variants.contains(&"head".into()));
    for cell in cells(&out) {
        assert_eq!(cell["outcome"], "measured", "{cell}");
    }
    let head = &lines(&out)[0]["variants"][1];
    assert_eq!(head["environments"], serde_json::json!(["guest-6.1"]));
    assert!(
        head["tools"]["nft"]
            .as_str()
            .unwrap()
            .contains("another-nft")
    );
    // One that does nothing is found out inside, so it is what was started there.
    for (file, why) in [
        (
            "/bin/true",
            "works with the installed program and not with this one",
        ),
        ("/usr/bin/ldd", "no ELF program"),
    ] {
        let out = scratch.path().join("refused");
        let refused = go(&out, file);
        let said = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{said}");
        assert!(said.contains(why) && said.contains("--tool nft="), "{said}");
        assert!(!out.exists());
    }
}

#[test]
fn a_kernel_and_the_hosts_namespaces_exclude_each_other() {
    let scratch = TempDir::new().unwrap();
    let out = scratch.path().join("run");
    let refused = run(
        &out,
        &["--services", "10", "--sandbox", "netns", "--kernel", "6.1"],
    );
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("--kernel"));
    assert!(!out.exists());
}

#[test]
fn without_qemu_a_guest_is_refused_with_the_command_that_installs_it() {
    let scratch = TempDir::new().unwrap();
    let out = scratch.path().join("run");
    let empty = scratch.path().join("bin");
    fs::create_dir(&empty).unwrap();
    let refused = command(&out, &["--services", "10", "--sandbox", "guest"])
        .env("PATH", &empty)
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(2));
    let said = text(&refused.stderr);
    assert!(said.contains("apt-get install qemu-system-x86"), "{said}");
    assert!(!out.exists());
}
