//! What became of a planned cell. Every planned cell has exactly one outcome.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::vocabulary::vocabulary;

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
        /// A program that the user named ended, fell silent, or is another than it was said to be.
        Tool = "tool",
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
        /// The generator was the limit: of flows at a rate more than 1 % were sent more than 100 µs after their time, or of the longest pauses
        /// between two of them, one a second, the 99th percentile is above 2 ms.
        Generator = "generator",
    }
}

/// What is known of an outcome.
#[derive(Debug)]
pub struct OutcomeRow {
    /// As the beginning of a sentence.
    pub words: &'static str,
}

vocabulary! {
    /// What became of a planned cell, without its reason. The later one says more of a cell without numbers: what a
    /// stay ran into stands above what keeps the environment from trying, and that above what was not tried (often
    /// because of the former).
    OutcomeKind, "outcome", of OutcomeRow, {
        /// Numbers were obtained and every check held.
        Measured = "measured" { words: "Measured" },
        /// It was planned and not tried.
        NotRun = "not-run" { words: "Not run" },
        /// This environment cannot do it.
        Unsupported = "unsupported" { words: "Unsupported" },
        /// The cell's time limit passed.
        TimedOut = "timed-out" { words: "Timed out" },
        /// A check or an operation failed.
        Failed = "failed" { words: "Failed" },
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
        /// What is missing.
        reason: String,
        /// A command that would bring it, or a comment that starts with `#`, where one is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        remedy: Option<String>,
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
        /// "budget", "decided", "interrupted", "it timed out before", "preparation: …", or why the plan left it out.
        #[serde(rename = "reason")]
        #[schemars(with = "String")]
        why: NotRun,
    },
}

/// Why a cell was not tried. On the wire a sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum NotRun {
    /// The run's time was spent.
    Budget,
    /// The question was answered before it (`--until-decided`).
    Decided,
    /// The user's interrupt kept it from being run: a run that is carried on runs it.
    Interrupted,
    /// It passed its limit in an earlier repetition.
    TimedOutBefore,
    /// Preparing took too long: how long.
    Preparation(String),
    /// The plan left it out: why, with the remedy.
    LeftOut(String),
}

const BUDGET: &str = "budget";
const DECIDED: &str = "decided";
const INTERRUPTED: &str = "interrupted";
const BEFORE: &str = "it timed out before";
const PREPARATION: &str = "preparation";

impl NotRun {
    /// Which kind of reason it is, in a word or a few.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Budget => BUDGET,
            Self::Decided => DECIDED,
            Self::Interrupted => INTERRUPTED,
            Self::TimedOutBefore => BEFORE,
            Self::Preparation(_) => PREPARATION,
            Self::LeftOut(_) => "expected to take too long",
        }
    }
}

impl fmt::Display for NotRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Preparation(why) => write!(f, "{PREPARATION}: {why}"),
            Self::LeftOut(why) => f.write_str(why),
            plain => f.write_str(plain.kind()),
        }
    }
}

impl From<NotRun> for String {
    fn from(why: NotRun) -> Self {
        why.to_string()
    }
}

impl From<String> for NotRun {
    fn from(text: String) -> Self {
        match text.as_str() {
            BUDGET => Self::Budget,
            DECIDED => Self::Decided,
            INTERRUPTED => Self::Interrupted,
            BEFORE => Self::TimedOutBefore,
            other => match other.strip_prefix(PREPARATION) {
                Some(why) => Self::Preparation(why.trim_start_matches([':', ' ']).to_owned()),
                None => Self::LeftOut(text),
            },
        }
    }
}

impl Outcome {
    /// Which it is.
    #[must_use]
    pub const fn kind(&self) -> OutcomeKind {
        match self {
            Self::Measured => OutcomeKind::Measured,
            Self::Unsupported { .. } => OutcomeKind::Unsupported,
            Self::Failed { .. } => OutcomeKind::Failed,
            Self::TimedOut { .. } => OutcomeKind::TimedOut,
            Self::NotRun { .. } => OutcomeKind::NotRun,
        }
    }

    /// The outcome's name as in JSON.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.kind().name()
    }

    /// What would bring what is missing; `None` where nothing is missing, or nothing is known to bring it.
    #[must_use]
    pub fn remedy(&self) -> Option<&str> {
        match self {
            Self::Unsupported { remedy, .. } => remedy.as_deref(),
            _ => None,
        }
    }

    /// Why there are no numbers, as a sentence; `None` when measured.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        match self {
            Self::Measured => None,
            Self::Unsupported { reason, .. } => Some(reason.clone()),
            Self::NotRun { why } => Some(why.to_string()),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_for_not_running_is_on_the_wire_what_it_was() {
        for text in [
            "budget",
            "interrupted",
            "it timed out before",
            "preparation: longer than 2 m",
            "expected to take 300 s, longer than its limit of 120 s: ask for it with --scenarios memory",
        ] {
            let why = NotRun::from(text.to_owned());
            assert_eq!(why.to_string(), text);
            let line = serde_json::to_value(Outcome::NotRun { why }).unwrap();
            assert_eq!(line["reason"], text);
        }
        let late = NotRun::from("preparation: longer than 2 m".to_owned());
        assert_eq!(late, NotRun::Preparation("longer than 2 m".to_owned()));
    }
}
