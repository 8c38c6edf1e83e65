//! What `compare --format json` prints: stable, for jq and for bots.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::vocabulary::vocabulary;
use crate::{CellKey, Metric, Mode, ScenarioKind, Transport, Unit};

vocabulary! {
    /// What is said of a cell's metric, the most urgent first.
    Verdict, "verdict", {
        /// Worse, by more than every threshold of the gate.
        Regressed = "regressed",
        /// BASE has it and NEW has not.
        Missing = "missing",
        /// Better, by more than every threshold of the gate. Never fails anything.
        Improved = "improved",
        /// Neither a change nor its absence is shown.
        Inconclusive = "inconclusive",
        /// There is nothing to hold it against.
        Incomparable = "incomparable",
        /// A change beyond the thresholds is ruled out.
        Unchanged = "unchanged",
    }
}

vocabulary! {
    /// What the whole comparison comes to.
    Conclusion, "conclusion", {
        /// No regression, nothing missing, nothing failed.
        Passed = "passed",
        /// A cell of NEW failed.
        Failed = "failed",
        /// A regression, or a cell that NEW lacks and the gate does not allow to be missing.
        Regressed = "regressed",
    }
}

vocabulary! {
    /// Whether the questions that a comparison asks are answered.
    Decision, "decision", {
        /// A change for the worse counts.
        Regressed = "regressed",
        /// One is ruled out, of each question over all modes.
        Ruled = "ruled-out",
        /// More stays may tell.
        Open = "open",
    }
}

/// The whole output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Comparison {
    /// [`crate::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// What NEW is held against.
    pub base: Side,
    /// What is judged.
    pub new: Side,
    /// Whether both were measured side by side in the blocks of one run.
    pub one_run: bool,
    /// Whether every sample of both sides is the same: they are one measurement.
    pub identical: bool,
    /// What may differ between the two because it is the question.
    pub across: Vec<String>,
    /// Facts of the environments that differ; allowed by `across`.
    pub differences: Vec<Difference>,
    /// Ratio NEW ÷ BASE of mode `none`, in which nothing is installed that could have changed: what the
    /// machine did between two runs. `None` for one run, across environments, and without the floor.
    pub drift: Option<Drift>,
    /// The same of updates that change nothing ([`crate::ScenarioKind::EmptyUpdate`]), by transport: what the machine did to
    /// updates.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub update_drifts: BTreeMap<Transport, Drift>,
    /// Where the thresholds come from: "default" or a path.
    pub gate: String,
    /// Thresholds by metric. Metrics that are not here are not compared.
    pub thresholds: BTreeMap<Metric, Thresholds>,
    /// Those of a metric in one scenario, in place of the former.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub scenario_thresholds: BTreeMap<ScenarioKind, BTreeMap<Metric, Thresholds>>,
    /// What the comparison comes to.
    pub conclusion: Conclusion,
    /// Whether its questions are answered, each by the widest pool there is of it: over all modes, else of a mode, else by
    /// the cell.
    pub decision: Decision,
    /// Rows of `pooled` and `cells` by verdict.
    pub verdicts: BTreeMap<Verdict, u64>,
    /// Tests over all cells that ask the same: what single cells are too noisy to show.
    pub pooled: Vec<Pooled>,
    /// One row a cell and metric; one row with `metric: null` for a cell that cannot be compared.
    pub cells: Vec<Compared>,
    /// What a reader must know besides, as sentences.
    pub notes: Vec<String>,
}

/// One side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Side {
    /// The run as it was named.
    pub run: String,
    /// Which variant of it, or which value of what is compared across; "" for a whole run.
    pub part: String,
    /// As in the header.
    pub started: String,
    /// As in the header.
    pub revision: String,
    /// Measured cells, each once a stay.
    pub measured: u64,
    /// Cells without numbers, by outcome.
    pub others: BTreeMap<String, u64>,
}

/// A fact of the environment that is not the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Difference {
    /// The KEY of `--across` that allows it.
    pub key: String,
    /// Its name.
    pub fact: String,
    /// In BASE; "absent" where it has none.
    pub base: String,
    /// In NEW.
    pub new: String,
}

/// What the machine did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Drift {
    /// NEW ÷ BASE.
    pub ratio: f64,
    /// Its 95 % interval.
    pub ci95: Option<[f64; 2]>,
    /// Whether it is too much to be ignored: then verdicts on times need what goes beyond it.
    pub counts: bool,
}

/// When a change counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Thresholds {
    /// It is more than this share of BASE.
    pub relative: f64,
    /// It is more than this.
    pub absolute: f64,
    /// Unit of `absolute`.
    pub unit: Unit,
    /// Its adjusted p is no more than this.
    pub p: f64,
    /// Why these.
    pub reason: String,
}

/// One side of a cell's metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Measured {
    /// Stays, those that timed out with them: the units of replication.
    pub stays: u32,
    /// Stays that timed out: the highest ranks.
    #[serde(default)]
    pub censored: u32,
    /// Samples.
    pub n: u64,
    /// Median of the stays' medians; where half of them timed out, the least that it can be.
    pub median: f64,
    /// Its 95 % interval, as [`crate::summary::Row::ci95`]. `None` with fewer than six stays.
    #[serde(default, with = "crate::summary::ends")]
    #[schemars(with = "Option<[Option<f64>; 2]>")]
    pub ci95: Option<[f64; 2]>,
    /// Where there is none, of two stays or more: the smallest and the largest of their medians.
    #[serde(default, with = "crate::summary::ends")]
    #[schemars(with = "Option<[Option<f64>; 2]>")]
    pub range: Option<[f64; 2]>,
    /// The value of each stay that has one, by block.
    #[serde(default)]
    pub values: Vec<f64>,
}

/// How sure, and of how much.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// NEW ÷ BASE − 1; `None` where BASE is zero.
    pub relative: Option<f64>,
    /// Its 95 % interval.
    pub relative_ci95: Option<[f64; 2]>,
    /// NEW − BASE, in the metric's unit.
    pub absolute: f64,
    /// Its 95 % interval.
    pub absolute_ci95: Option<[f64; 2]>,
    /// Share of pairs of stays in which NEW is larger, less the share in which it is smaller (Cliff's delta).
    pub cliffs_delta: Option<f64>,
    /// Which test: "mann-whitney", "signed-rank", "aligned-ranks", "seeds", "exact", "identical", "none".
    pub test: String,
    /// Its two-sided p; `None` for the last four.
    pub p: Option<f64>,
    /// The same after Benjamini and Hochberg's correction over all tests of its kind.
    pub p_adjusted: Option<f64>,
}

/// A cell's metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Compared {
    /// The cell in BASE, or in NEW where only that has it.
    #[serde(flatten)]
    pub key: CellKey,
    /// The cell in NEW where it is named otherwise.
    pub new_key: Option<CellKey>,
    /// `None` where the whole cell is missing or incomparable.
    pub metric: Option<Metric>,
    /// Unit of its values.
    pub unit: Option<Unit>,
    /// What is said.
    pub verdict: Verdict,
    /// Why, as a sentence; `None` where the numbers say it.
    pub reason: Option<String>,
    /// In BASE.
    pub base: Option<Measured>,
    /// In NEW.
    pub new: Option<Measured>,
    /// The change.
    pub change: Option<Change>,
    /// Whether something outside of the measurement moves the value, as in `summary.json`.
    pub noisy: bool,
    /// Why the gate allows it to be missing.
    pub allowed: Option<String>,
    /// Stays of NEW that failed: whatever is said of the others, the comparison then does not pass.
    pub failed: u32,
}

/// All cells that ask the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Pooled {
    /// Scenario.
    pub scenario: ScenarioKind,
    /// Metric.
    pub metric: Metric,
    /// Of one mode; `None`: of all.
    pub mode: Option<Mode>,
    /// Cells in it.
    pub cells: u32,
    /// Stays of BASE, or pairs of stays.
    pub base_units: u32,
    /// Stays of NEW, or pairs of stays.
    pub new_units: u32,
    /// What is said.
    pub verdict: Verdict,
    /// Why, as a sentence; `None` where the numbers say it.
    pub reason: Option<String>,
    /// The change; `absolute` is at the median of the cells' medians of BASE.
    pub change: Change,
}
