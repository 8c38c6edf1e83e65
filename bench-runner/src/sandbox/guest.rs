//! A guest that serves many stays. One that crashes, or that cannot end a stay, is replaced by a new boot;
//! after two boots in a row that failed there is no guest any more.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use guest::kernel::Kernel;
use guest::machine::{Accelerator, Boot, Hardware, Machine, Next as FromGuest};
use guest::protocol::{Ask, Line, Said};
use netns_sys::clock;

use super::{Answer, Next, SETTLE, no_event};
use crate::cmd::cell::{Input, Memory, Rested};

/// Boots in a row that may fail.
const BOOTS: u32 = 2;
/// How long a boot may take: about three seconds, ten times that on a busy machine.
const BOOT: Duration = Duration::from_secs(60);
/// How long a stay may take to end after it was killed. A transaction in the kernel cannot be interrupted,
/// but the kernel can be replaced.
const GONE: Duration = Duration::from_secs(10);
/// How long a guest may take to power off.
const OFF: Duration = Duration::from_secs(5);
/// Virtual CPUs: as many as client and server spin on.
const CPUS: u32 = 2;
/// Memory of a guest, MiB. More than 1 GiB gives a connection table of 65,536 buckets and as many connections, a
/// quarter of what machines of more than 4 GiB have (`nf_conntrack_init_start`, Linux 6.1); what is not touched
/// costs the host nothing.
pub(crate) const MEMORY_MIB: u32 = 3072;

/// A guest, running or not.
#[derive(Debug)]
pub(crate) struct Guest {
    kernel: Kernel,
    /// Without a name, so nothing is left when this process is killed.
    initramfs: File,
    hardware: Hardware,
    console: PathBuf,
    machine: Option<Machine>,
    /// Guests that came up.
    boots: u32,
    given_up: Option<String>,
    /// What its kernel held when it last stood still.
    baseline: Option<Memory>,
}

impl Guest {
    /// A guest of that kernel, whose console is kept in the file `console`, with `tools` in a place of their own
    /// ([`inside`]); not booted yet.
    ///
    /// # Errors
    /// Its initramfs cannot be built.
    pub(crate) fn new(kernel: Kernel, console: &Path, tools: &[PathBuf]) -> anyhow::Result<Self> {
        let initramfs = initramfs(&kernel, tools)?;
        Ok(Self {
            kernel,
            initramfs,
            hardware: Hardware {
                accelerator: Accelerator::Tcg,
                cpus: CPUS,
                memory_mib: MEMORY_MIB,
            },
            console: console.to_path_buf(),
            machine: None,
            boots: 0,
            given_up: None,
            baseline: None,
        })
    }

    /// Boots it for the first time, with KVM where that really boots. Returns why not with KVM.
    ///
    /// # Errors
    /// Two boots failed; with the console's last lines.
    pub(crate) async fn first_boot(&mut self, try_kvm: bool) -> Result<Option<String>, String> {
        let mut why_not = None;
        if try_kvm {
            let initramfs = path_of(&self.initramfs);
            let proved = Accelerator::prove(&self.kernel.image, &initramfs).await;
            (self.hardware.accelerator, why_not) = proved;
        }
        self.up().await.map(|_| why_not)
    }

    /// What executes it.
    pub(crate) fn accelerator(&self) -> Accelerator {
        self.hardware.accelerator
    }

    /// Why there will be no guest any more.
    pub(crate) fn given_up(&self) -> Option<&str> {
        self.given_up.as_deref()
    }

    /// How many guests there have been.
    pub(crate) fn boots(&self) -> u32 {
        self.boots
    }

    fn boot(&self) -> Boot {
        Boot {
            kernel: self.kernel.image.clone(),
            initramfs: path_of(&self.initramfs),
            hardware: self.hardware,
            console: self.console.clone(),
            deadline: BOOT,
        }
    }

    fn came_up(&mut self, machine: Machine) {
        self.machine = Some(machine);
        self.boots += 1;
        self.baseline = None;
    }

    /// The running guest; boots one when there is none.
    async fn up(&mut self) -> Result<&mut Machine, String> {
        if self.machine.is_none() {
            self.boot_again().await?;
        }
        Ok(self.machine.as_mut().expect("it was just booted"))
    }

    async fn boot_again(&mut self) -> Result<(), String> {
        if let Some(why) = &self.given_up {
            return Err(why.clone());
        }
        let mut why = String::new();
        for _ in 0..BOOTS {
            keep(&self.console);
            match Machine::boot(&self.boot()).await {
                Ok(machine) => {
                    self.came_up(machine);
                    return Ok(());
                }
                Err(error) => why = error.to_string(),
            }
        }
        let why = format!("{BOOTS} boots in a row failed: {why}");
        self.given_up = Some(why.clone());
        Err(why)
    }

    /// Starts a stay.
    ///
    /// # Errors
    /// There is no guest any more.
    pub(crate) async fn start(&mut self, input: &str) -> Result<Job<'_>, String> {
        // One that died while it had nothing to do has closed its port.
        if let Some(machine) = &mut self.machine
            && machine.next(Duration::ZERO).await.is_err()
        {
            self.machine = None;
        }
        let ask = Ask::Run {
            arguments: vec!["cell".to_owned()],
            input: input.to_owned(),
        };
        let asked = self.up().await?.ask(&ask).await;
        let over = asked.err().map(|error| error.to_string());
        Ok(Job { guest: self, over })
    }

    /// Asks `cell` for one answer.
    pub(crate) async fn ask(&mut self, input: &str, limit: Duration) -> Answer {
        let mut job = match self.start(input).await {
            Ok(job) => job,
            Err(why) => return Answer::Failed(why),
        };
        let since = clock::now();
        let mut said = String::new();
        loop {
            let left = limit.saturating_sub(Duration::from_nanos(since.elapsed_ns()));
            match job.line(left).await {
                Heard::Output(line) => said.push_str(&line),
                Heard::Ended(status, _) if status == SUCCESS => return Answer::Said(said),
                Heard::Ended(status, stderr) => {
                    let why = stderr.trim_start_matches("error: ");
                    return Answer::Failed(if why.is_empty() {
                        format!("it ended with {status}")
                    } else {
                        why.to_owned()
                    });
                }
                Heard::Gone(why) => return Answer::Failed(why),
                Heard::Late => {
                    let _ = job.kill().await;
                    return Answer::Late;
                }
            }
        }
    }

    /// Waits until its kernel has given back what the last stay held. Returns the name of how that ended.
    pub(crate) async fn settle(&mut self) -> String {
        let input = Input::Settle {
            settle: true,
            baseline: self.baseline,
        };
        let input = serde_json::to_string(&input).expect("a question is plain data");
        if let Answer::Said(text) = self.ask(&input, SETTLE + GONE).await
            && let Ok(rested) = serde_json::from_str::<Rested>(&text)
        {
            self.baseline = Some(rested.memory);
            return rested.settled;
        }
        // Whatever it was, the next stay must not begin in it.
        self.close().await;
        "new guest".to_owned()
    }

    /// Powers it off.
    pub(crate) async fn close(&mut self) {
        if let Some(machine) = self.machine.take() {
            machine.off(OFF).await;
        }
    }
}

/// How the status of a job that ended well reads (`std::process::ExitStatus`).
const SUCCESS: &str = "exit status: 0";

/// A job of a guest.
pub(crate) struct Job<'a> {
    guest: &'a mut Guest,
    /// Set when nothing more can come; the guest's last words if it is gone.
    over: Option<String>,
}

/// What came from a guest.
enum Heard {
    /// A line of the job's output.
    Output(String),
    /// The job ended: status, last words.
    Ended(String, String),
    /// The guest is gone.
    Gone(String),
    /// Nothing, within the limit.
    Late,
}

impl Job<'_> {
    /// How long each of the guest's virtual CPUs has waited for one of the host's, nanoseconds.
    pub(crate) fn run_delays_ns(&self) -> Option<Vec<u64>> {
        self.guest.machine.as_ref()?.run_delays_ns()
    }

    /// The next event, within `limit`.
    pub(crate) async fn next(&mut self, limit: Duration) -> Next {
        match self.line(limit).await {
            Heard::Output(line) => match serde_json::from_str(&line) {
                Ok(event) => Next::Event(event),
                Err(error) => {
                    let _ = self.kill().await;
                    Next::Ended(no_event(&error, &line))
                }
            },
            Heard::Ended(status, said) if said.is_empty() => Next::Ended(status),
            Heard::Ended(_, said) => Next::Ended(said),
            Heard::Gone(why) => Next::Gone(why),
            Heard::Late => Next::Late,
        }
    }

    async fn line(&mut self, limit: Duration) -> Heard {
        if let Some(why) = &self.over {
            return Heard::Gone(why.clone());
        }
        let Some(machine) = &mut self.guest.machine else {
            return Heard::Gone("there is no guest".to_owned());
        };
        let why = match machine.next(limit).await {
            Ok(FromGuest::Late) => return Heard::Late,
            Ok(FromGuest::Line(Line::Output(text))) => return Heard::Output(text),
            Ok(FromGuest::Line(Line::Said(Said::Ended { status, stderr }))) => {
                self.over = Some(stderr.clone());
                return Heard::Ended(status, stderr);
            }
            Ok(FromGuest::Line(Line::Said(said))) => {
                format!("the guest spoke out of turn: {said:?}")
            }
            Err(error) => error.to_string(),
        };
        self.over = Some(why.clone());
        self.guest.machine = None;
        Heard::Gone(why)
    }

    /// Ends the job, or the guest when that cannot be done. Returns what the user should know of it.
    pub(crate) async fn kill(&mut self) -> Option<String> {
        if self.over.is_some() {
            return None;
        }
        let since = clock::now();
        if let Some(machine) = &mut self.guest.machine {
            // One that is gone is noticed below.
            let _ = machine.ask(&Ask::Kill).await;
        }
        loop {
            let left = GONE.saturating_sub(Duration::from_nanos(since.elapsed_ns()));
            match self.line(left).await {
                Heard::Output(_) => {}
                Heard::Ended(..) => return None,
                Heard::Gone(_) => return Some("the guest is gone and is replaced".to_owned()),
                Heard::Late => break,
            }
        }
        if let Some(machine) = self.guest.machine.take() {
            machine.kill().await;
        }
        Some(format!(
            "a killed stay was still inside the guest's kernel after {} s: the guest is replaced",
            GONE.as_secs()
        ))
    }
}

/// Where a guest has a file of this machine that is started in place of a tool: not under its own path, over which
/// a guest may have mounted something.
pub(crate) fn inside(file: &Path) -> PathBuf {
    let below = file.strip_prefix("/").unwrap_or(file);
    Path::new("/tools").join(below)
}

/// An initramfs for that kernel with this program, and with `tools` in a place of their own ([`inside`]). It has no
/// name, so nothing is left when this process is killed.
///
/// # Errors
/// It cannot be built.
pub(super) fn initramfs(kernel: &Kernel, tools: &[PathBuf]) -> anyhow::Result<File> {
    let runner = std::env::current_exe().context("find this program's file")?;
    let file = tempfile::tempfile().context("make a file for the guest's initramfs")?;
    let tools: Vec<(PathBuf, &PathBuf)> = tools.iter().map(|t| (inside(t), t)).collect();
    let further: Vec<(&Path, &Path)> = tools
        .iter()
        .map(|(at, from)| (at.as_path(), from.as_path()))
        .collect();
    guest::image::build_with(&runner, &further, kernel, &path_of(&file))?;
    Ok(file)
}

/// By which QEMU and the builder find a file without a name.
pub(super) fn path_of(file: &File) -> PathBuf {
    format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()).into()
}

/// Puts the console's log of the guest before aside: `console.log` becomes `console.1.log`, and so on.
fn keep(console: &Path) {
    if std::fs::metadata(console).map_or(0, |m| m.len()) == 0 {
        return;
    }
    let free = (1..)
        .map(|n| console.with_extension(format!("{n}.log")))
        .find(|p| !p.exists());
    if let Some(free) = free {
        // The log is for people: a run does not end for want of an old one.
        let _ = std::fs::rename(console, free);
    }
}
