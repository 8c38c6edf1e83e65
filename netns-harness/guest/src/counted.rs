//! A guest whose time is executed instructions. It has its jobs with it, is told nothing while it runs, and says
//! nothing before the last job has ended: no moment of the host's clock reaches what is counted.

use std::time::Duration;

use netns_sys::clock;

use crate::GuestError;
use crate::machine::{Boot, Machine, Next};
use crate::protocol::{Line, Said};

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

/// Boots a guest that has `jobs` jobs with it, and hears what they said when all are done. Call on a thread that
/// lives as long as the guest: QEMU dies with it.
///
/// # Errors
/// QEMU is not installed or ended, or the guest did; with the console's last lines.
pub async fn carry_out(boot: &Boot, jobs: usize) -> Result<Ran, GuestError> {
    let since = clock::now();
    let mut machine = match Machine::boot(boot).await {
        Ok(machine) => machine,
        Err(_) if Duration::from_nanos(since.elapsed_ns()) >= boot.deadline => {
            return Ok(Ran::Late);
        }
        Err(error) => return Err(error),
    };
    let (mut done, mut output) = (Vec::new(), Vec::new());
    while done.len() < jobs {
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
