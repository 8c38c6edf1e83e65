//! What became of a planned cell. Every planned cell has exactly one outcome.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::identity::{UnknownName, vocabulary};
use std::fmt;
use std::str::FromStr;

vocabulary! {
    /// Where a failed cell failed.
    Stage, "stage", {
        /// Building the namespaces, links and servers.
        Lab = "lab",
        /// Installing the population before the timed part.
        Preparation = "preparation",
        /// Census, probes, spread or emptiness after teardown.
        Proof = "proof",
        /// The timed part.
        Measure = "measure",
        /// Packets that crossed the rules differ from the probes sent, or connection tracking dropped some.
        Counters = "counters",
        /// The clock's step exceeds 2 % of the median.
        Clock = "clock",
        /// Removing the rules.
        Teardown = "teardown",
        /// The stay's process ended without an outcome.
        Process = "process",
        /// The guest that the stay ran in crashed, fell silent or did not come up.
        Guest = "guest",
    }
}

vocabulary! {
    /// What a cell shows of a disturbance from outside (docs/noise.md#what-disturbs-a-cell).
    Disturbance, "disturbance", {
        /// A thread that measures waited for a CPU for more than a tenth of the cell and more than 20 ms.
        RunDelay = "run-delay",
        /// Medians of batches of flows lie 1.5 times apart.
        BatchMedians = "batch-medians",
    }
}

/// What became of a planned cell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// Numbers were obtained and every check held.
    Measured,
    /// This environment cannot do it.
    Unsupported {
        /// The missing facility and the remedy.
        reason: String,
    },
    /// A check or an operation failed; there are no numbers.
    Failed {
        /// Where.
        stage: Stage,
        /// What was seen.
        reason: String,
    },
    /// The cell's time limit passed.
    TimedOut {
        /// Lower bound of the true time, nanoseconds: how long the timed act had been running when the limit
        /// passed. `None` when it passed outside of a timed act: then nothing is known of the true time.
        after_ns: Option<u64>,
    },
    /// It was planned and not tried.
    NotRun {
        /// "budget", "interrupted" or "preparation: …".
        reason: String,
    },
}

impl Outcome {
    /// The outcome's name as in JSON.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Measured => "measured",
            Self::Unsupported { .. } => "unsupported",
            Self::Failed { .. } => "failed",
            Self::TimedOut { .. } => "timed-out",
            Self::NotRun { .. } => "not-run",
        }
    }

    /// Why there are no numbers, as a sentence; `None` when measured.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        match self {
            Self::Measured => None,
            Self::Unsupported { reason } | Self::NotRun { reason } => Some(reason.clone()),
            Self::Failed { stage, reason } => Some(format!("{stage}: {reason}")),
            Self::TimedOut {
                after_ns: Some(bound),
            } => Some(format!("longer than {:.1} s", *bound as f64 / 1e9)),
            Self::TimedOut { after_ns: None } => {
                Some("its time limit passed outside of a timed act".to_owned())
            }
        }
    }
}
