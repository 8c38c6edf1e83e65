//! What `trend --format json` prints, and the history that `trend --append` keeps.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::comparison::{Difference, Verdict};
use crate::{CellKey, Environment, Metric, Unit};

/// Version of the layout of a history's file. Newer ones are refused.
pub const HISTORY_VERSION: u32 = 1;

/// A line of a history's file: the first describes its runs, each other one is a series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "kebab-case")]
pub enum HistoryRecord {
    /// Line 1.
    History(HistoryHead),
    /// Every other line.
    Series(HistorySeries),
}

/// Line 1: the runs, oldest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HistoryHead {
    /// [`HISTORY_VERSION`] of the writer.
    pub history_version: u32,
    /// The runs.
    pub runs: Vec<PastRun>,
    /// Every environment once; runs name theirs by its place.
    pub environments: Vec<Environment>,
}

/// A run of a history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastRun {
    /// As it was named when it was read.
    pub run: String,
    /// As in its header.
    pub started: String,
    /// As in its header.
    pub tool_version: String,
    /// As in its header.
    pub revision: String,
    /// As in its header.
    #[serde(default)]
    pub binary: String,
    /// As in its header.
    pub seed: u64,
    /// As in its header.
    pub schema_version: u32,
    /// Its environments: what they are called in series, and which of the history's they are.
    pub environments: BTreeMap<String, u32>,
}

/// The values of a series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HistorySeries {
    /// The cell in every run, without its version of kube-proxy; `environment` is the kind of its sandbox where a run has
    /// one of it.
    #[serde(flatten)]
    pub key: CellKey,
    /// Metric.
    pub metric: Metric,
    /// Unit.
    pub unit: Unit,
    /// The median of the stays' medians in each run; null where a run has none.
    pub values: Vec<Option<f64>>,
    /// Versions of kube-proxy, each from a run on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kube_proxy: Vec<(u32, String)>,
}

/// A history with its changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Trend {
    /// [`crate::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The runs, oldest first.
    pub runs: Vec<TrendRun>,
    /// The place in `runs` of the run since which a regression is new.
    pub since: Option<u32>,
    /// Where the thresholds come from: "default" or a path.
    pub gate: String,
    /// What may change because it is the question.
    pub across: Vec<String>,
    /// Where kernel, tools, machine, bench-runner or kube-proxy changed.
    pub environments: Vec<EnvironmentChange>,
    /// Regressions since `since`.
    pub regressions: u32,
    /// The histories of every cell and metric that the gate has thresholds for.
    pub series: Vec<TrendSeries>,
}

/// A run of a history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TrendRun {
    /// As it was named.
    pub run: String,
    /// As in its header.
    pub started: String,
    /// As in its header.
    pub revision: String,
}

/// What changed around the measurement before a run: no regression of anybody's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EnvironmentChange {
    /// The place in `runs` of the first run after it.
    pub at: u32,
    /// Which environment, as series name it.
    pub environment: String,
    /// What differs; `base` is before.
    pub differences: Vec<Difference>,
}

/// A cell's metric over the runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TrendSeries {
    /// The cell.
    #[serde(flatten)]
    pub key: CellKey,
    /// Metric.
    pub metric: Metric,
    /// Unit.
    pub unit: Unit,
    /// By run.
    pub values: Vec<Option<f64>>,
    /// How it was judged: "e-divisive", or "exact", where any change beyond the thresholds is one.
    pub test: String,
    /// Where stretches begin in which nothing around the measurement changed; the first at the first value.
    pub stretches: Vec<u32>,
    /// Its changes inside of these.
    pub points: Vec<ChangePoint>,
}

/// A change of a series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ChangePoint {
    /// The place in `runs` of the first run after it.
    pub at: u32,
    /// The median between the change before (or the stretch's beginning) and this.
    pub before: f64,
    /// The median from here to the next change, or the stretch's end.
    pub after: f64,
    /// after ÷ before − 1; `None` where that is zero.
    pub relative: Option<f64>,
    /// after − before.
    pub absolute: f64,
    /// Of Mann and Whitney's test of both sides, times the places at which it could have been; `None` of "exact".
    pub p: Option<f64>,
    /// The same after Benjamini and Hochberg's correction over all series.
    pub p_adjusted: Option<f64>,
    /// "regressed" and "improved" beyond the gate's thresholds, "unchanged" within them, "inconclusive" where the series are
    /// too many for its p.
    pub verdict: Verdict,
    /// Whether it is a regression after `since`.
    pub new: bool,
}
