//! Exit codes (README.md) and the errors that carry them.

use std::process::ExitCode;

use netns_harness::remedy::Lack;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Done.
    Done,
    /// A cell failed, nothing was measured, or results could not be written.
    Failed,
    /// A comparison found a regression, or something missing.
    Regressed,
    /// Interrupted; what was measured is saved.
    Interrupted,
    /// A process inside has said what this machine lacks.
    Unable,
}

impl Ended {
    /// Done if all is well, else failed.
    pub(crate) const fn done_if(well: bool) -> Self {
        if well { Self::Done } else { Self::Failed }
    }
}

impl From<Ended> for ExitCode {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Done => Self::SUCCESS,
            Ended::Failed => Self::from(1),
            Ended::Unable => Self::from(2),
            Ended::Regressed => Self::from(3),
            Ended::Interrupted => Self::from(130),
        }
    }
}

/// A mistake of the user's, or something missing on the machine: exit code 2, one line with the remedy.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// A mistake of the user's, as what comes of a check.
pub(crate) fn refused<T, E: From<Usage>>(why: impl Into<String>) -> Result<T, E> {
    Err(Usage(why.into()).into())
}

/// What was asked to go together does not: exit code 4, one line that says what differs.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Differs(pub(crate) String);

/// What this machine lacks for anything at all to be measured: exit code 2, one line with the remedy.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}", .0.line())]
pub(crate) struct Unable(pub(crate) Lack);

/// The exit code of an error.
pub(crate) fn code(error: &anyhow::Error) -> ExitCode {
    let usage = |e: &(dyn std::error::Error + 'static)| {
        e.is::<Usage>() || e.is::<Unable>() || e.is::<reports::LoadError>()
    };
    ExitCode::from(if error.chain().any(usage) {
        2
    } else if error.chain().any(|e| e.is::<Differs>()) {
        4
    } else {
        1
    })
}

/// How a line that says why this program ends begins.
const ERROR: &str = "error: ";

/// The line of an error, on standard error.
pub(crate) fn line(error: &anyhow::Error) -> String {
    format!("{ERROR}{error:#}")
}

/// Why a process of this program ended, from its last words.
pub(crate) fn why(said: &str) -> &str {
    said.strip_prefix(ERROR).unwrap_or(said)
}
