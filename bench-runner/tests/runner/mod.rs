//! The program as tests start it: its command lines, the directories of its runs, what it says when it refuses;
//! and the machine, for one test at a time.
#![allow(dead_code, reason = "each test uses a part")]

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

pub(crate) const RUNNER: &str = env!("CARGO_BIN_EXE_bench-runner");
/// Steps of waiting for another process; a test gives up after [`STEPS`] of them, three minutes.
const STEP: Duration = Duration::from_millis(20);
const STEPS: u32 = 9_000;

/// The words of a command line, as a shell splits it.
pub(crate) fn words(line: &str) -> Vec<String> {
    shlex::split(line).unwrap()
}

/// The program with these words, without a terminal and without what a CI system adds.
pub(crate) fn command(words: impl IntoIterator<Item: AsRef<OsStr>>) -> Command {
    let mut command = Command::new(RUNNER);
    command
        .args(words)
        .env_remove("GITHUB_STEP_SUMMARY")
        .stdin(Stdio::null());
    command
}

/// What it says with these words, and how it ends.
pub(crate) fn output(words: impl IntoIterator<Item: AsRef<OsStr>>) -> Output {
    command(words).output().unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Refused: that exit code, nothing on standard output, and one line that says why, the last one on standard
/// error. It is handed back.
#[track_caller]
pub(crate) fn refused(output: &Output, code: i32) -> String {
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(output.stdout.is_empty(), "{}", text(&output.stdout));
    let errors: Vec<&str> = said.lines().filter(|l| l.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 1, "{said}");
    assert_eq!(said.lines().last(), Some(errors[0]), "{said}");
    errors[0].to_owned()
}

/// Every instance keeps the schema of that name, as the program prints it.
#[track_caller]
pub(crate) fn valid(schema: &str, instances: &[Value]) {
    let schema = serde_json::from_slice(&output(["schema", schema]).stdout).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    for instance in instances {
        let errors: Vec<String> = validator
            .iter_errors(instance)
            .map(|e| e.to_string())
            .collect();
        assert!(errors.is_empty(), "{errors:?} in {instance}");
    }
}

/// The directory of a run, not made yet; it ends with the test.
pub(crate) struct RunDir {
    scratch: TempDir,
}

impl RunDir {
    pub(crate) fn new() -> Self {
        Self {
            scratch: TempDir::new().unwrap(),
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.beside("run")
    }

    /// A file that is none of the run's.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// `run` with the words of this line, into it.
    pub(crate) fn command(&self, line: &str) -> Command {
        let mut command = command(["run"]);
        command.args(words(line)).arg("--out").arg(self.path());
        command
    }

    pub(crate) fn run(&self, line: &str) -> Output {
        self.command(line).output().unwrap()
    }

    /// Starts a run that is going to be disturbed.
    pub(crate) fn start(&self, line: &str) -> Child {
        let mut command = self.command(line);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().unwrap()
    }

    pub(crate) fn resume(&self, line: &str) -> Output {
        let mut command = command(["--resume"]);
        command.arg(self.path()).args(words(line)).output().unwrap()
    }

    /// [`refused`] with exit code 2, and nothing is left of a run that did not begin.
    #[track_caller]
    pub(crate) fn refused(&self, line: &str) -> String {
        let why = refused(&self.run(line), 2);
        assert!(!self.path().exists(), "{line}: {why}");
        why
    }

    /// The lines of `results.jsonl`.
    pub(crate) fn lines(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.file("results.jsonl")).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    pub(crate) fn header(&self) -> Value {
        self.lines().remove(0)
    }

    /// Cell lines, in their order; of a cell that was disturbed and measured again the later one.
    pub(crate) fn cells(&self) -> Vec<Value> {
        self.cells_of(true)
    }

    /// The same as they were measured first.
    pub(crate) fn first_cells(&self) -> Vec<Value> {
        self.cells_of(false)
    }

    fn cells_of(&self, later: bool) -> Vec<Value> {
        const IDENTITY: [&str; 8] = [
            "mode",
            "scenario",
            "services",
            "endpoints",
            "environment",
            "variant",
            "options",
            "block",
        ];
        let mut cells: Vec<Value> = Vec::new();
        for line in self.lines() {
            let same = |cell: &Value| IDENTITY.iter().all(|name| cell[name] == line[name]);
            if line["record"] != "cell" {
                continue;
            }
            match cells.iter().position(same) {
                Some(first) if cells[first]["disturbed"].is_array() => {
                    if later {
                        cells[first] = line;
                    }
                }
                _ => cells.push(line),
            }
        }
        cells
    }

    pub(crate) fn summary(&self) -> Value {
        serde_json::from_slice(&fs::read(self.file("summary.json")).unwrap()).unwrap()
    }

    /// Cells that are measured so far.
    pub(crate) fn measured(&self) -> usize {
        let text = fs::read_to_string(self.file("results.jsonl")).unwrap_or_default();
        text.matches("\"outcome\":\"measured\"").count()
    }
}

/// The machine, for one test at a time: each spins, or translates, on the same two CPUs.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    // A test that failed has poisoned nothing that the next one uses.
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The machine, if modes can be programmed in these ways (mode, transport; "-" for a floor) in namespaces of its
/// kernel; says so when not, where scripts/test counts it.
pub(crate) fn netns(needed: &[(&str, &str)]) -> Option<MutexGuard<'static, ()>> {
    let alone = alone();
    let found: Value = serde_json::from_slice(&output(["doctor", "--json"]).stdout).unwrap();
    for (mode, transport) in needed {
        let ways = found["modes"].as_array().unwrap();
        let way = ways
            .iter()
            .find(|way| way["mode"] == *mode && way["transport"] == *transport)
            .unwrap();
        if way["ready"] == false {
            testing::skip(
                "netns",
                format_args!("{mode} ({transport}): {}", way["reason"]),
            );
            return None;
        }
    }
    Some(alone)
}

/// Where the program that is found by that name is.
pub(crate) fn installed(tool: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    std::env::split_paths(&path)
        .map(|folder| folder.join(tool))
        .find(|file| file.is_file())
        .unwrap()
}

/// Steps until `done`, or gives up.
#[track_caller]
pub(crate) fn until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..STEPS {
        if done() {
            return;
        }
        std::thread::sleep(STEP);
    }
    panic!("gave up waiting until {what}");
}

/// Sends a process the signal of that name.
pub(crate) fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill")
        .args([&format!("-{name}"), &pid.to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
}

/// Whether the process is there: a zombie that nobody has reaped yet holds nothing.
pub(crate) fn alive(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        let state = stat.rsplit_once(") ").map(|(_, rest)| &rest[..1]);
        !matches!(state, Some("Z" | "X"))
    })
}

/// Processes below `root`, itself excluded.
pub(crate) fn descendants(root: u32) -> Vec<u32> {
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
