//! A guest whose time is executed instructions. One boots, and stops before its first job; its state is kept, and each
//! further one begins there. Those have their jobs with them, are told nothing while they run, and say
//! nothing before the last job has ended: no moment of the host's clock reaches what is counted.

use std::fs::File;
use std::io::Write as _;
use std::time::Duration;

use netns_sys::clock;
use tokio::net::UnixStream;

use crate::GuestError;
use crate::boot::Begin;
use crate::console::last_lines;
use crate::jobs::{Job, encode};
use crate::machine::{Boot, Machine, Next, Qemu, start};
use crate::monitor::Monitor;
use crate::protocol::{Line, Said};
use crate::unnamed::{self, path_of};

/// How long the guest may take to say everything, once it has begun to.
const TELLING: Duration = Duration::from_secs(60);

/// A job that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// Lines of its standard output.
    pub output: Vec<String>,
    /// Whether it ended well: with exit code 0.
    pub success: bool,
    /// How it ended.
    pub status: String,
    /// The last lines of its standard error.
    pub stderr: String,
}

/// What became of the guest.
#[derive(Debug)]
pub enum Ran {
    /// It did its jobs; one entry each.
    Done(Vec<Done>),
    /// It had not by the deadline, and was ended.
    Late,
}

/// What is kept of a guest that stopped before its first job: a file without a name, so that nothing is left when this
/// process is killed.
#[derive(Debug)]
pub struct Kept {
    state: File,
    /// By how many steps it stopped later than it could: 0, but where none stopped as it is to.
    pub later: u32,
}

/// How often a guest is booted until one stopped as each does that is to be kept: so often each that stops a step later than the one before.
const TRIES: u32 = 6;
const STEPS: u32 = 4;

/// Boots a guest and keeps its state where it stops. Call on a thread that lives as long as that takes.
///
/// # Errors
/// QEMU is not installed, ended or could not write the file, or no guest had stopped as it is to be by the deadline; with the
/// console's last lines.
pub async fn keep(boot: &Boot) -> Result<Kept, GuestError> {
    let (state, since) = (unnamed::file()?, clock::now());
    for attempt in 0..STEPS * TRIES {
        let later = attempt / TRIES;
        let left = boot
            .deadline
            .saturating_sub(Duration::from_nanos(since.elapsed_ns()));
        let (_port, monitor, mut qemu) = start(boot, Begin::ToBeKept { later })?;
        let kept = keep_by(monitor, boot, &state, &mut qemu);
        let reason = match tokio::time::timeout(left, kept).await {
            Ok(Ok(true)) => return Ok(Kept { state, later }),
            Ok(Ok(false)) => {
                qemu.end().await;
                continue;
            }
            Ok(Err(reason)) => reason,
            Err(_) => format!("not up within {} s", boot.deadline.as_secs_f32()),
        };
        return Err(GuestError::Boot {
            reason: qemu.last_words(reason).await,
            console: last_lines(&boot.console),
        });
    }
    Err(GuestError::Boot {
        reason: format!(
            "of {} none stopped at the end of its timer: this machine is too busy",
            STEPS * TRIES
        ),
        console: last_lines(&boot.console),
    })
}

/// Whether the guest's clock had jumped when it stopped, as it mostly does, and its state was kept.
async fn keep_by(
    monitor: Option<UnixStream>,
    boot: &Boot,
    state: &File,
    qemu: &mut Qemu,
) -> Result<bool, String> {
    let mut monitor = Monitor::greet(monitor.ok_or("it has no monitor")?).await?;
    // Its CPU lets the clock jump once it is idle, the first thread stops everything: who wakes up on the CPU of the other and
    // takes its place decides.
    qemu.puts_its_cpu_first()?;
    monitor.stopped().await?;
    // A kernel with a driver of that device stops by it when it dies.
    if last_lines(&boot.console).contains("Kernel panic") {
        return Err("its kernel died".to_owned());
    }
    if !monitor.has_jumped().await? {
        return Ok(false);
    }
    monitor.keep(&path_of(state)).await?;
    qemu.end_with_its_writer().await.map(|()| true)
}

/// Begins a guest where another one, of the same hardware but for the seed, was kept, with jobs, and hears what they said
/// when all are done. Call on a thread that lives as long as the guest: QEMU dies with it.
///
/// # Errors
/// QEMU is not installed or ended, or the guest did; with the console's last lines.
pub async fn carry_out(boot: &Boot, kept: &Kept, jobs: &[Job]) -> Result<Ran, GuestError> {
    let mut given = unnamed::file()?;
    let written = given.write_all(encode(jobs).as_bytes());
    written.map_err(GuestError::file(
        "write jobs to a file in",
        &std::env::temp_dir(),
    ))?;
    let begin = Begin::Kept {
        state: &path_of(&kept.state),
        jobs: &path_of(&given),
    };
    let since = clock::now();
    let mut machine = match Machine::begin(boot, begin).await {
        Ok(machine) => machine,
        Err(_) if Duration::from_nanos(since.elapsed_ns()) >= boot.deadline => {
            return Ok(Ran::Late);
        }
        Err(error) => return Err(error),
    };
    let (mut done, mut output) = (Vec::new(), Vec::new());
    while done.len() < jobs.len() {
        match machine.next(TELLING).await? {
            Next::Late => {
                let silent = format!("it fell silent for {} s", TELLING.as_secs());
                return Err(machine.give_up(silent).await);
            }
            Next::Line(Line::Output(line)) => output.push(line),
            Next::Line(Line::Said(Said::Ended {
                success,
                status,
                stderr,
            })) => done.push(Done {
                output: std::mem::take(&mut output),
                success,
                status,
                stderr,
            }),
            Next::Line(Line::Said(said)) => {
                return Err(machine
                    .give_up(format!("it spoke out of turn: {said:?}"))
                    .await);
            }
        }
    }
    machine.kill().await;
    Ok(Ran::Done(done))
}
