//! Runs in a real guest, small. QEMU and a kernel are fetched by scripts/bootstrap and the cache; without
//! them these tests fail, with the remedy: nothing else shows that a guest works.
#![allow(missing_docs, reason = "tests are sentences")]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod runner;

use std::fs;
use std::process::{Child, Command, Stdio};

use runner::{
    RUNNER, RunDir, alive, alone, descendants, installed, refused, signal, text, until, words,
};
use serde_json::Value;

const QEMU: &str = "qemu-system-x86_64";

/// QEMUs below that process.
fn guests_of(runner: u32) -> Vec<u32> {
    let is_guest = |pid: &u32| {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        // comm holds fifteen letters.
        QEMU.starts_with(name.trim()) && !name.trim().is_empty()
    };
    let mut all = descendants(runner);
    all.retain(is_guest);
    all
}

/// A run of one-cell stays, long enough to be disturbed.
fn long_run(run: &RunDir) -> Child {
    run.start(
        "--services 10 --sandbox guest --kernel 6.1 --modes nftables,ipset --scenarios cold-install --repetitions 4 --budget 10m",
    )
}

#[test]
fn a_small_run_in_a_guest_measures_every_cell_and_describes_the_guest() {
    let _alone = alone();
    let run = RunDir::new();
    let done = run.run(
        "--services 10 --kernel 6.1 --modes none,nftables,iptables-legacy --scenarios cold-install,service-add,first-packet --positions last --protocols tcp --no-control --flows 100 --repetitions 1",
    );
    let said = text(&done.stderr);
    assert!(done.status.success(), "{said}");
    let header = run.header();
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
    let cells = run.cells();
    // One of the floor, three of each mode that serves services.
    assert_eq!(cells.len(), 7);
    for cell in &cells {
        assert_eq!(cell["outcome"], "measured", "{cell}");
        assert_eq!(cell["environment"], "guest-6.1");
        assert_eq!(cell["facts"]["guest_boot"], "1");
        assert!(cell["facts"]["settled_before"].is_string());
    }
    assert!(run.file("console.log").exists());
    assert!(said.contains("guest 6.1: repetition 1"), "{said}");
    assert!(run.file("report.html").is_file());
}

#[test]
fn a_guest_that_is_killed_costs_its_current_cell_and_is_replaced() {
    let _alone = alone();
    let run = RunDir::new();
    let mut runner = long_run(&run);
    until("two cells are measured", || run.measured() >= 2);
    let guests = guests_of(runner.id());
    assert_eq!(guests.len(), 1);
    signal(guests[0], "KILL");
    let status = runner.wait().unwrap();
    let cells = run.cells();
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
    assert!(run.file("console.1.log").exists() || run.file("console.log").exists());
}

#[test]
fn an_interrupted_run_and_a_killed_runner_leave_no_guest() {
    let _alone = alone();
    for (name, code) in [("INT", Some(130)), ("KILL", None)] {
        let run = RunDir::new();
        let mut runner = long_run(&run);
        until("a cell is measured", || run.measured() > 0);
        let guests = guests_of(runner.id());
        assert_eq!(guests.len(), 1, "{name}");
        signal(runner.id(), name);
        assert_eq!(runner.wait().unwrap().code(), code, "{name}");
        until("the guest is gone", || !alive(guests[0]));
    }
}

#[test]
fn where_the_host_lacks_a_mode_it_is_timed_and_every_mode_is_counted_beside_it_and_it_is_said_why()
{
    let _alone = alone();
    let run = RunDir::new();
    // Root of a user namespace may not exceed a socket's buffer, without which iptables-nft installs nothing.
    let line = "--services 10 --modes none,iptables-nft --scenarios cold-install,first-packet --positions last --protocols tcp --flows 100 --repetitions 1 --no-control --no-sweep --out";
    let done = Command::new("unshare")
        .args(["--user", "--map-root-user", RUNNER, "run"])
        .args(words(line))
        .arg(run.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = text(&done.stderr);
    assert!(done.status.success(), "{said}");
    let header = run.header();
    let environments: Vec<&String> = header["environments"].as_object().unwrap().keys().collect();
    // Whether KVM boots a guest is the machine's; where none does, both are measured.
    let [guest, host] = environments[..] else {
        assert!(said.contains("under KVM"), "{environments:?} {said}");
        return;
    };
    assert!(
        guest.starts_with("guest-") && host == "netns",
        "{environments:?}"
    );
    assert_eq!(header["environments"][guest]["accel"], "tcg-icount");
    let choice = header["choice"].as_str().unwrap();
    assert!(choice.contains("cannot run iptables-nft"), "{choice}");
    assert!(said.contains(choice), "{said}");
    for (environment, mode, outcome, unit) in [
        (guest, "none", "measured", "instructions"),
        (guest, "iptables-nft", "measured", "instructions"),
        (host, "none", "measured", "ns"),
        (host, "iptables-nft", "unsupported", ""),
    ] {
        let cells: Vec<Value> = run
            .cells()
            .into_iter()
            .filter(|c| c["environment"] == environment.as_str() && c["mode"] == mode)
            .collect();
        assert!(!cells.is_empty(), "{environment} {mode}");
        for cell in &cells {
            assert_eq!(cell["outcome"], outcome, "{cell} {said}");
            let series = cell["series"].as_array();
            let times = series.into_iter().flatten();
            let mut times =
                times.filter(|s| s["metric"] == "latency" || s["metric"] == "update_time");
            assert!(times.all(|series| series["unit"] == unit), "{cell}");
        }
    }
}

/// The samples of a run, and what its cells saw, but for what is of the host's clock.
fn counted(run: &RunDir) -> Vec<String> {
    let mut cells = run.cells();
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
    let measured = |seed: &str| {
        let run = RunDir::new();
        let done = run.run(&format!(
            "--deterministic --services 10 --kernel 6.1 --modes nftables --positions last --protocols tcp --repetitions 1 --seed {seed}"
        ));
        let said = text(&done.stderr);
        assert!(done.status.success(), "{said}");
        let header = run.header();
        let facts = &header["environments"]["guest-6.1"];
        assert_eq!(
            (&facts["accel"], &facts["cores"]),
            (&"tcg-icount".into(), &1.into())
        );
        assert!(
            facts["tools"][QEMU].as_str().unwrap().contains("QEMU"),
            "{facts}"
        );
        for cell in run.cells() {
            assert_eq!(cell["outcome"], "measured", "{cell}");
            assert_eq!(cell["facts"]["seed"], seed);
            let series = cell["series"].as_array().unwrap();
            let timed =
                |s: &&Value| matches!(s["metric"].as_str(), Some("latency" | "update_time"));
            let mut times = series.iter().filter(timed);
            assert!(times.all(|s| s["unit"] == "instructions"), "{cell}");
        }
        counted(&run)
    };
    let first = measured("3");
    // An install, an update, first packets.
    assert_eq!(first.len(), 3);
    assert_eq!(first, measured("3"));
    assert_ne!(first, measured("4"));
}

#[test]
fn counting_instructions_and_the_hosts_namespaces_exclude_each_other() {
    let run = RunDir::new();
    for [option, value] in [["--sandbox", "netns"], ["--budget", "5m"]] {
        let why = run.refused(&format!("--deterministic --services 10 {option} {value}"));
        assert!(
            why.contains("--deterministic") && why.contains(option),
            "{why}"
        );
    }
}

#[test]
fn a_guest_holds_the_program_that_stands_in_for_a_tool_and_no_script() {
    let _alone = alone();
    let run = RunDir::new();
    // Below /tmp, over which a guest mounts its own.
    let copy = run.beside("another-nft");
    fs::copy(installed("nft"), &copy).unwrap();
    let line = |head: &str| {
        format!(
            "--services 10 --no-sweep --sandbox guest --kernel 6.1 --modes nftables --transports nft --scenarios service-add --repetitions 1 --variant base: --variant 'head:--tool nft={head}'"
        )
    };
    let done = run.run(&line(copy.to_str().unwrap()));
    assert!(done.status.success(), "{}", text(&done.stderr));
    let variants: Vec<Value> = run.cells().iter().map(|c| c["variant"].clone()).collect();
    assert!(variants.contains(&"base".into()) && variants.contains(&"head".into()));
    for cell in run.cells() {
        assert_eq!(cell["outcome"], "measured", "{cell}");
    }
    let head = &run.header()["variants"][1];
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
        let said = RunDir::new().refused(&line(file));
        assert!(said.contains(why) && said.contains("--tool nft="), "{said}");
    }
}

#[test]
fn a_kernel_and_the_hosts_namespaces_exclude_each_other() {
    let why = RunDir::new().refused("--services 10 --sandbox netns --kernel 6.1");
    assert!(why.contains("--kernel"), "{why}");
}

#[test]
fn without_qemu_a_guest_is_refused_with_the_command_that_installs_it() {
    let run = RunDir::new();
    let empty = run.beside("bin");
    fs::create_dir(&empty).unwrap();
    let mut command = run.command("--services 10 --sandbox guest");
    let why = refused(&command.env("PATH", &empty).output().unwrap(), 2);
    assert!(why.contains("apt-get install -y qemu-system-x86"), "{why}");
    assert!(!run.path().exists());
}
