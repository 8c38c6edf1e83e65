//! Why a cell has no numbers.

use netns_harness::HarnessError;
use schema::{Outcome, Stage};

/// What came of a part of a stay: it, or why its cell has no numbers.
pub type Result<T = (), E = CellError> = std::result::Result<T, E>;

/// Why a cell has no numbers.
#[derive(Debug, thiserror::Error)]
#[error("{stage}: {reason}")]
pub struct CellError {
    /// Where it failed.
    pub stage: Stage,
    /// What was seen.
    pub reason: String,
    /// Whether this environment cannot do it at all: then nothing has failed.
    pub unsupported: bool,
}

impl CellError {
    /// A failure at `stage`.
    pub fn at(stage: Stage, reason: impl ToString) -> Self {
        Self {
            stage,
            reason: reason.to_string(),
            unsupported: false,
        }
    }

    /// Something that this environment cannot do, with the remedy.
    pub fn unsupported(reason: impl ToString) -> Self {
        Self {
            unsupported: true,
            ..Self::at(Stage::Measure, reason)
        }
    }

    /// The outcome of the cell.
    #[must_use]
    pub fn into_outcome(self) -> Outcome {
        let (stage, reason) = (self.stage, self.reason);
        match self.unsupported {
            true => Outcome::Unsupported {
                reason,
                remedy: None,
            },
            false => Outcome::Failed { stage, reason },
        }
    }
}

/// Says at which stage something has failed.
pub(crate) trait At<T> {
    /// The same; as a failure at `stage`.
    fn at(self, stage: Stage) -> Result<T>;
}

impl<T, E: ToString> At<T> for Result<T, E> {
    fn at(self, stage: Stage) -> Result<T> {
        self.map_err(|error| CellError::at(stage, error))
    }
}

/// The remedy of a transaction that is larger than the socket's send buffer may become.
const TOO_BIG: &str = "a transaction of this size needs a send buffer beyond net.core.wmem_max (SO_SNDBUFFORCE): run as root, or raise net.core.wmem_max";

impl From<HarnessError> for CellError {
    fn from(error: HarnessError) -> Self {
        if error.is_too_big() {
            return Self::unsupported(format!("{error}; {TOO_BIG}"));
        }
        let stage = match error {
            HarnessError::KubeProxy(_) => Stage::Tool,
            _ => Stage::Measure,
        };
        Self::at(stage, error)
    }
}
