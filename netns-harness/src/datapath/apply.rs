//! What applying a batch has in common in all modes: tools are run, this thread's messages are sent, and the
//! processor time of either is accounted.

use std::process::Command;

use netns_sys::process::{self, Finished};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::{TimeVal, TimeValLike as _};

use crate::HarnessError;

/// What an apply used besides time: filled in from the operating system's accounting.
#[derive(Debug, Default)]
pub struct Applied {
    /// Processor time in user mode, nanoseconds: of the tool's process, or of the applying thread.
    pub user_ns: u64,
    /// Processor time in kernel mode, nanoseconds.
    pub system_ns: u64,
    /// What must not be released while the clock runs: closing an nfnetlink socket waits for the kernel's
    /// deferred destruction of what was replaced (`nft_rcv_nl_event`), which is no part of the answer.
    pub held: Option<nft_codec::Connection>,
}

impl Applied {
    /// Adds the processor time of another step.
    pub(super) const fn add(&mut self, step: &Self) {
        self.user_ns += step.user_ns;
        self.system_ns += step.system_ns;
    }

    /// Carries out `act`, which uses the calling thread's processor time and nobody else's.
    pub(super) fn on_this_thread(
        act: impl FnOnce() -> Result<(), HarnessError>,
    ) -> Result<Self, HarnessError> {
        let before = thread_time()?;
        act()?;
        let after = thread_time()?;
        Ok(Self {
            user_ns: after.0 - before.0,
            system_ns: after.1 - before.1,
            held: None,
        })
    }

    /// Runs a tool on its standard input, to its end.
    pub(super) fn by_tool(command: &mut Command, input: &str) -> Result<Self, HarnessError> {
        let done = run_tool(command, input)?;
        Ok(Self {
            user_ns: done.user_ns,
            system_ns: done.system_ns,
            held: None,
        })
    }
}

/// Runs a tool on its standard input, to its end, which must be a good one.
///
/// # Errors
/// It cannot be started; or it refused, with the first lines of what it said.
pub(super) fn run_tool(command: &mut Command, input: &str) -> Result<Finished, HarnessError> {
    let done = process::run(command, input.as_bytes());
    let name = || command.get_program().to_string_lossy();
    let done = done.map_err(|error| HarnessError::system(format!("start {}", name()), error))?;
    if done.status.success() {
        return Ok(done);
    }
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    let stderr = String::from_utf8_lossy(&done.stderr);
    Err(HarnessError::Tool {
        tool: words.join(" "),
        status: done.status.to_string(),
        stderr: stderr.lines().take(3).collect::<Vec<_>>().join("; "),
    })
}

/// The error of a mode that is handed what another one renders.
pub(super) fn foreign_payload(what: &'static str) -> HarnessError {
    HarnessError::Listing {
        what,
        text: "a payload of another mode".to_owned(),
    }
}

/// User and system time of the calling thread, nanoseconds.
fn thread_time() -> Result<(u64, u64), HarnessError> {
    let usage = getrusage(UsageWho::RUSAGE_THREAD)
        .map_err(|errno| HarnessError::system("getrusage", errno))?;
    let ns = |time: TimeVal| time.num_nanoseconds().cast_unsigned();
    Ok((ns(usage.user_time()), ns(usage.system_time())))
}
