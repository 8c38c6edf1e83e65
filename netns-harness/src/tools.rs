//! Tools run to their end.

use std::io;
use std::process::Command;

use netns_sys::process::{self, Finished};

use crate::HarnessError;

/// Runs a tool on its standard input, to its end, which must be a good one.
///
/// # Errors
/// It cannot be started; or it refused, with the first lines of what it said.
pub(crate) fn run(command: &mut Command, input: &str) -> Result<Finished, HarnessError> {
    run_to(command, input, &[0])
}

/// The same where several exit codes are good ends.
///
/// # Errors
/// As [`run`].
pub(crate) fn run_to(
    command: &mut Command,
    input: &str,
    good: &[i32],
) -> Result<Finished, HarnessError> {
    let done = process::run(command, input.as_bytes());
    let name = || command.get_program().to_string_lossy();
    let done = done.map_err(|error| HarnessError::system(format!("start {}", name()), error))?;
    if done.status.code().is_some_and(|code| good.contains(&code)) {
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

/// What would help where a tool could not be started because it is not there; `None` for any other error.
pub(crate) fn missing(tool: &str, package: &str, error: &HarnessError) -> Option<String> {
    match error {
        HarnessError::System { source, .. } if source.kind() == io::ErrorKind::NotFound => Some(
            format!("{tool} is not installed: apt-get install {package}"),
        ),
        _ => None,
    }
}
