//! What each fault is tried on: a kernel, an initramfs with the fault runner, and one guest at a time.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use guest::fetch::Cache;
use guest::kernel::Kernel;
use guest::machine::{Accelerator, Boot, Hardware, Machine, Next, QEMU};
use guest::protocol::{Ask, Line, Said};
use tempfile::TempDir;

pub(crate) const RUNNER: &str = env!("CARGO_BIN_EXE_guest-fault-runner");
/// The newest Linux 6 that is here or can be had.
const KERNEL: &str = "6";
/// A guest of these tests boots in three seconds on an idle machine.
const BOOT: Duration = Duration::from_secs(120);
pub(crate) const ANSWER: Duration = Duration::from_secs(60);

/// One guest at a time. When it is over, no QEMU may be left, running or dead.
pub(crate) struct Alone {
    _turn: MutexGuard<'static, ()>,
    pub(crate) scratch: TempDir,
}

impl Alone {
    pub(crate) fn new() -> Self {
        static TURN: Mutex<()> = Mutex::new(());
        Self {
            // A test that failed has poisoned nothing that the next one uses.
            _turn: TURN.lock().unwrap_or_else(PoisonError::into_inner),
            scratch: TempDir::new().unwrap(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    pub(crate) fn boot_of(&self, initramfs: &Path) -> Boot {
        Boot {
            kernel: kernel().image.clone(),
            initramfs: initramfs.to_owned(),
            hardware: Hardware {
                accelerator: Accelerator::Tcg,
                cpus: 1,
                possible_cpus: None,
                memory_mib: 256,
            },
            console: self.path("console.log"),
            deadline: BOOT,
        }
    }

    pub(crate) async fn boot(&self) -> Machine {
        Machine::boot(&self.boot_of(initramfs())).await.unwrap()
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        let left = children();
        if !std::thread::panicking() {
            assert_eq!(left, Vec::<String>::new(), "a QEMU is left");
        }
    }
}

/// QEMU processes that this one started, zombies included, by their line in /proc.
pub(crate) fn children() -> Vec<String> {
    let own = std::process::id().to_string();
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let stats = entries.filter_map(|e| fs::read_to_string(e.path().join("stat")).ok());
    // "PID (name) state parent …": proc_pid_stat(5). Names are cut to 15 bytes.
    let of_ours = |line: &String| {
        let (name, rest) = line.rsplit_once(')').unwrap();
        name.contains(&QEMU[..15]) && rest.split_whitespace().nth(1) == Some(&*own)
    };
    stats.filter(of_ours).collect()
}

pub(crate) fn kernel() -> &'static Kernel {
    static KERNEL_HERE: OnceLock<Kernel> = OnceLock::new();
    KERNEL_HERE.get_or_init(|| {
        Cache::of_user().resolve(KERNEL).unwrap_or_else(|error| {
            panic!(
                "these tests need a kernel: {error}; `bench-runner kernel fetch 6.1` fetches one"
            )
        })
    })
}

/// An initramfs with the fault runner, built once; its folder lives as long as the tests.
pub(crate) fn initramfs() -> &'static Path {
    static BUILT: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = BUILT.get_or_init(|| {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("initramfs");
        let contents = guest::image::build(Path::new(RUNNER), kernel(), &path).unwrap();
        assert!(contents.modules.iter().any(|m| m == "veth"), "{contents:?}");
        (folder, path)
    });
    path
}

pub(crate) fn run(future: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(future);
}

pub(crate) async fn ask(machine: &mut Machine, words: &[&str]) {
    let arguments = words.iter().map(|w| (*w).to_owned()).collect();
    let input = String::new();
    machine.ask(&Ask::Run { arguments, input }).await.unwrap();
}

/// The job's output and how it ended.
pub(crate) async fn end_of_job(machine: &mut Machine) -> (Vec<String>, String) {
    let mut output = Vec::new();
    loop {
        match machine.next(ANSWER).await.unwrap() {
            Next::Line(Line::Output(line)) => output.push(line),
            Next::Line(Line::Said(Said::Ended { status, .. })) => return (output, status),
            other => panic!("{other:?} after {output:?}"),
        }
    }
}
