//! `summary.json`: stable, for jq and dashboards.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{CellKey, Environment, Metric, Unit};

/// The whole file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Summary {
    /// [`crate::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// As in the header of the results.
    pub environments: BTreeMap<String, Environment>,
    /// One row per cell × metric; an unmeasured cell has one row with `metric: null`.
    pub cells: Vec<Row>,
    /// Cost against N.
    pub fits: Vec<Fit>,
    /// What the data say, in sentences.
    pub findings: Vec<Finding>,
    /// Noise of the run: the ratio of two interleaved series of the same thing.
    pub noise: Option<Noise>,
    /// What became of the plan.
    pub coverage: Coverage,
}

/// One cell × metric, over all its stays.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Row {
    /// Identity.
    #[serde(flatten)]
    pub key: CellKey,
    /// `None` when the cell has no numbers.
    pub metric: Option<Metric>,
    /// Unit of `median`, `ci95` and `quantiles`.
    pub unit: Option<Unit>,
    /// "measured" if any stay measured it, else the most severe outcome of its stays: "failed" before
    /// "timed-out" before "unsupported" before "not-run".
    pub outcome: String,
    /// Why there are no numbers, the most severe reason first; for a measured cell, the reasons of stays
    /// that have none.
    pub reason: Option<String>,
    /// Samples.
    pub n: u64,
    /// Stays that measured it: the units of replication.
    pub stays: u32,
    /// Median of all samples.
    pub median: Option<f64>,
    /// 95 % interval of the median: bootstrap over stays first and samples second; with two to four stays
    /// Student's, of the stays' medians, and at least as wide. `None` with fewer than two samples.
    pub ci95: Option<[f64; 2]>,
    /// Of a cell that timed out: its true time (of updating, in nanoseconds) is longer than this, the
    /// largest bound of its stays. `None` when the limit passed outside of a timed act, and for all others.
    #[serde(default)]
    pub lower_bound_ns: Option<u64>,
    /// `p50`, `p90`, `p99`, `p99.9`, `min`, `max`; a quantile is given only where n supports it.
    pub quantiles: BTreeMap<String, f64>,
    /// Whether something outside of the measurement moves the value: true of `kernel_memory`,
    /// `kernel_memory_peak` and `cgroup_memory` where the lab shares the host's kernel (sandbox `netns`:
    /// other processes allocate from the same counters, and cgroups charge in batches per CPU), and of
    /// those of a cell with a fact `noisy`. The interval covers what was seen of it, not what may come.
    #[serde(default)]
    pub noisy: bool,
}

/// How a cost grows with N.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Fit {
    /// Mode.
    pub mode: crate::Mode,
    /// Scenario.
    pub scenario: crate::ScenarioKind,
    /// Metric.
    pub metric: Metric,
    /// Environment.
    pub environment: String,
    /// As in the cells.
    pub variant: String,
    /// As in the cells.
    pub options: crate::Options,
    /// "linear": a + b·N, estimate = b; "power": c·N^k, estimate = k.
    pub model: String,
    /// a of the linear model, c of the power model.
    pub intercept: f64,
    /// 95 % interval of the intercept.
    pub intercept_ci95: [f64; 2],
    /// b or k.
    pub estimate: f64,
    /// Unit of the estimate: "ns/service", "bytes/service", "count/service", "exponent".
    pub unit: String,
    /// 95 % interval of the estimate.
    pub ci95: [f64; 2],
    /// Smallest N used.
    pub from: u32,
    /// Largest N used.
    pub to: u32,
    /// Number of sizes used.
    pub sizes: u32,
    /// Whether any row it was computed from is [`Row::noisy`].
    #[serde(default)]
    pub noisy: bool,
}

/// A sentence, with what it rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// The sentence.
    pub text: String,
    /// Rows or fits it was computed from, as text.
    pub evidence: Vec<String>,
    /// Whether it answers what is asked first: who is fastest, who overtakes whom, what grows, what a service holds.
    #[serde(default)]
    pub headline: bool,
}

/// The A/A pair of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Noise {
    /// Which cells were paired.
    pub of: String,
    /// Stays of the ordinary series.
    pub stays_a: u32,
    /// Stays of the control series.
    pub stays_b: u32,
    /// Ratio of the medians, control ÷ ordinary.
    pub ratio: f64,
    /// Its 95 % interval.
    pub ci95: [f64; 2],
    /// True when the interval is wider than ±5 %, when it leaves 1 out, or when there are fewer than
    /// 10 stays of each.
    pub noisy: bool,
    /// Why, as a sentence.
    pub text: String,
}

/// What became of the plan: every planned cell is counted once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Coverage {
    /// Planned cell lines.
    pub planned: u64,
    /// Cell lines by outcome.
    pub outcomes: BTreeMap<String, u64>,
    /// Planned cells without a line: the run was killed before they ended.
    pub missing: u64,
    /// As in the end line; "killed" when there is none.
    pub ended: String,
}
