//! `summary.json`: stable, for jq and dashboards.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::vocabulary::vocabulary;
use crate::{CellKey, Environment, Histogram, Metric, OutcomeKind, Unit};

/// The whole file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Summary {
    /// [`crate::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// As in the header of the results.
    pub environments: BTreeMap<String, Environment>,
    /// One row per cell × metric; an unmeasured cell has one row with `metric: null`.
    pub cells: Vec<Row>,
    /// Cost against N, and against endpoints.
    pub fits: Vec<Fit>,
    /// What the data say, in sentences.
    pub findings: Vec<Finding>,
    /// Noise of the run: the ratio of two interleaved series of the same thing.
    pub noise: Option<Noise>,
    /// How far the values of what was asked are known, each scenario's and metric's own.
    #[serde(default)]
    pub spreads: Vec<Spread>,
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
    pub outcome: OutcomeKind,
    /// Stays that have no number, by what became of them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub without: BTreeMap<OutcomeKind, u32>,
    /// Why there are no numbers, the most severe reason first; for a measured cell, the reasons of stays
    /// that have none.
    pub reason: Option<String>,
    /// A command that would bring what an unsupported cell lacks, or a comment that starts with `#`, where one is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// Samples.
    pub n: u64,
    /// Stays that measured it: with those that timed out the units of replication.
    pub stays: u32,
    /// Stays whose timed act did not end within its limit: they count as longer than all others.
    #[serde(default)]
    pub censored: u32,
    /// The value: the median of the stays' medians. `None` also when half of them timed out.
    pub median: Option<f64>,
    /// Its 95 % interval, between interpolated order statistics of the stays' medians; from six stays on. The upper
    /// end is null (here infinite) where it rests on stays that timed out.
    #[serde(default, with = "ends")]
    #[schemars(with = "Option<[Option<f64>; 2]>")]
    pub ci95: Option<[f64; 2]>,
    /// Where there is no interval, of two stays or more: their smallest and largest median. It is no interval of the
    /// value. Of executed instructions it is over the seeds, however many.
    #[serde(default, with = "ends")]
    #[schemars(with = "Option<[Option<f64>; 2]>")]
    pub range: Option<[f64; 2]>,
    /// Of executed instructions: the value of each seed. Modes are told apart when all seeds agree.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub by_seed: BTreeMap<String, f64>,
    /// Where stays timed out: the value (of updating, in nanoseconds) of a cell without a median is longer than this,
    /// and so is an upper end that is null. `None` when the limit passed outside of a timed act.
    #[serde(default)]
    pub lower_bound_ns: Option<u64>,
    /// `p50`, `p90`, `p99`, `p99.9`, `min`, `max`; a quantile is given only where n supports it.
    pub quantiles: BTreeMap<String, f64>,
    /// The tail as stays have it, where each has enough samples for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99_of_stays: Option<Tail>,
    /// All samples as one histogram, where the cells have theirs so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub histogram: Option<Histogram>,
    /// Whether something outside of the measurement moves the value: true of `kernel_memory`,
    /// `kernel_memory_peak` and `cgroup_memory` where the lab shares the host's kernel (sandbox `netns`:
    /// other processes allocate from the same counters, and cgroups charge in batches per CPU), and of
    /// those of a cell with a fact `noisy`. The interval covers what was seen of it, not what may come.
    #[serde(default)]
    pub noisy: bool,
    /// Stays that were disturbed from outside ([`crate::Disturbance`]) and, measured again, still were.
    #[serde(default)]
    pub disturbed: u32,
    /// Stays before which memory of the kernel was still being freed.
    #[serde(default)]
    pub unsettled: u32,
    /// Of `kernel_memory`: what of it is held for each possible CPU.
    #[serde(default)]
    pub per_cpu: Option<PerCpu>,
    /// Of `update_time` of what releases something after its answer: both together, act by act, as a tool's time is.
    /// Modes are ranked by it.
    #[serde(default)]
    pub whole: Option<Whole>,
}

/// The 99th percentile of each stay's samples; fields as in [`Row`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Tail {
    /// The median of the stays'. `p99` of [`Row::quantiles`] is that of all samples together.
    pub median: f64,
    /// See [`Row::ci95`].
    #[serde(default, with = "ends")]
    #[schemars(with = "Option<[Option<f64>; 2]>")]
    pub ci95: Option<[f64; 2]>,
    /// See [`Row::range`].
    #[serde(default, with = "ends")]
    #[schemars(with = "Option<[Option<f64>; 2]>")]
    pub range: Option<[f64; 2]>,
}

/// An update with its `release_time`; fields as in [`Row`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Whole {
    /// See [`Row::median`].
    pub median: Option<f64>,
    /// See [`Row::ci95`].
    #[serde(default, with = "ends")]
    #[schemars(with = "Option<[Option<f64>; 2]>")]
    pub ci95: Option<[f64; 2]>,
    /// See [`Row::range`].
    #[serde(default, with = "ends")]
    #[schemars(with = "Option<[Option<f64>; 2]>")]
    pub range: Option<[f64; 2]>,
    /// See [`Row::by_seed`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub by_seed: BTreeMap<String, f64>,
}

/// The part of kernel memory that grows with the number of possible CPUs: counters and jump stacks.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PerCpu {
    /// Possible CPUs of the kernel that was measured.
    pub cpus: u32,
    /// Bytes a service and CPU.
    pub bytes: f64,
}

vocabulary! {
    /// What a cost is held against.
    Over, "what a cost is held against", {
        /// N, the services of a population.
        Services = "services",
        /// E, the endpoints of each service.
        Endpoints = "endpoints",
        /// The entries of a list.
        Entries = "entries",
    }
}

impl Over {
    /// How many of them a cell has.
    #[must_use]
    pub fn of(self, key: &CellKey) -> u32 {
        match self {
            Self::Services => key.services,
            Self::Endpoints => key.endpoints,
            Self::Entries => key.options.entries().unwrap_or(0),
        }
    }
}

vocabulary! {
    /// The curve of a fit; over endpoints E, over entries their number stands for N.
    FitModel, "model", {
        /// a + b·N; the estimate is b.
        Linear = "linear",
        /// a + c·N^k; the estimate is k.
        OffsetPower = "offset-power",
        /// Of two sizes: c·N^k; the estimate is k.
        Power = "power",
    }
}

/// What is known of the unit of a fit's estimate.
#[derive(Debug)]
pub struct FitUnitRow {
    /// What each service, or each endpoint more of every service, adds is in this; `None` for a power.
    pub of: Option<Unit>,
}

vocabulary! {
    /// Unit of a fit's estimate.
    FitUnit, "unit of a fit", of FitUnitRow, {
        /// Nanoseconds a service.
        Nanoseconds = "ns/service" { of: Some(Unit::Nanoseconds) },
        /// Executed instructions a service.
        Instructions = "instructions/service" { of: Some(Unit::Instructions) },
        /// Things a service.
        Count = "count/service" { of: Some(Unit::Count) },
        /// Bytes a service.
        Bytes = "bytes/service" { of: Some(Unit::Bytes) },
        /// Nanoseconds an endpoint more of every service.
        NanosecondsOfEndpoints = "ns/E" { of: Some(Unit::Nanoseconds) },
        /// Executed instructions an endpoint more of every service.
        InstructionsOfEndpoints = "instructions/E" { of: Some(Unit::Instructions) },
        /// Things an endpoint more of every service.
        CountOfEndpoints = "count/E" { of: Some(Unit::Count) },
        /// Bytes an endpoint more of every service.
        BytesOfEndpoints = "bytes/E" { of: Some(Unit::Bytes) },
        /// Nanoseconds an entry.
        NanosecondsOfEntries = "ns/entry" { of: Some(Unit::Nanoseconds) },
        /// Executed instructions an entry.
        InstructionsOfEntries = "instructions/entry" { of: Some(Unit::Instructions) },
        /// Things an entry.
        CountOfEntries = "count/entry" { of: Some(Unit::Count) },
        /// Bytes an entry.
        BytesOfEntries = "bytes/entry" { of: Some(Unit::Bytes) },
        /// A power.
        Exponent = "exponent" { of: None },
    }
}

impl FitUnit {
    /// That of what each of them adds.
    #[must_use]
    pub const fn each(over: Over, unit: Unit) -> Self {
        match (over, unit) {
            (Over::Services, Unit::Nanoseconds) => Self::Nanoseconds,
            (Over::Services, Unit::Instructions) => Self::Instructions,
            (Over::Services, Unit::Count) => Self::Count,
            (Over::Services, Unit::Bytes) => Self::Bytes,
            (Over::Endpoints, Unit::Nanoseconds) => Self::NanosecondsOfEndpoints,
            (Over::Endpoints, Unit::Instructions) => Self::InstructionsOfEndpoints,
            (Over::Endpoints, Unit::Count) => Self::CountOfEndpoints,
            (Over::Endpoints, Unit::Bytes) => Self::BytesOfEndpoints,
            (Over::Entries, Unit::Nanoseconds) => Self::NanosecondsOfEntries,
            (Over::Entries, Unit::Instructions) => Self::InstructionsOfEntries,
            (Over::Entries, Unit::Count) => Self::CountOfEntries,
            (Over::Entries, Unit::Bytes) => Self::BytesOfEntries,
        }
    }
}

/// How a cost grows with N, or with E.
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
    /// What it is over.
    pub over: Over,
    /// N of all its cells; `None` over services.
    pub services: Option<u32>,
    /// E of all its cells; `None` over endpoints.
    pub endpoints: Option<u32>,
    /// Which curve.
    pub model: FitModel,
    /// a; of a power c.
    pub intercept: f64,
    /// 95 % interval of the intercept.
    #[serde(default)]
    pub intercept_ci95: Option<[f64; 2]>,
    /// c of "offset-power".
    #[serde(default)]
    pub coefficient: Option<f64>,
    /// b or k: the median of those of the blocks.
    pub estimate: f64,
    /// Unit of the estimate.
    pub unit: FitUnit,
    /// 95 % interval of the estimate: order statistics of the blocks, from six on.
    #[serde(default)]
    pub ci95: Option<[f64; 2]>,
    /// Where there is no interval, of two blocks or more: the smallest and the largest of theirs.
    #[serde(default)]
    pub range: Option<[f64; 2]>,
    /// Blocks that measured every size, each with a curve of its own: the units of replication, since the stays of a
    /// block share a population.
    #[serde(default)]
    pub blocks: u32,
    /// How far the curve is from what it was drawn through; of more sizes than it has parameters.
    #[serde(default)]
    pub misfit: Option<Misfit>,
    /// Of a first packet: how much steeper it is than the floor of the same blocks.
    #[serde(default)]
    pub above_floor: Option<AboveFloor>,
    /// Smallest N (over endpoints E, over entries their number) used.
    pub from: u32,
    /// Largest of them.
    pub to: u32,
    /// How many of them.
    pub sizes: u32,
    /// Whether any row it was computed from is [`Row::noisy`].
    #[serde(default)]
    pub noisy: bool,
}

/// Lack of fit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Misfit {
    /// The N (over endpoints E, over entries their number) whose value lies farthest from the curve.
    pub at: u32,
    /// Its value ÷ the curve there, less 1.
    pub relative: f64,
    /// Whether the curve leaves the interval of that size's value; `None` when it has none.
    pub beyond: Option<bool>,
}

/// A slope less that of the floor, block by block.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AboveFloor {
    /// `conntrack`, or `none` where that was not measured.
    pub floor: crate::Mode,
    /// Of b: the median over blocks.
    pub estimate: f64,
    /// Its 95 % interval.
    pub ci95: Option<[f64; 2]>,
    /// As in the fit.
    pub range: Option<[f64; 2]>,
    /// What it makes at the largest of them ÷ the fixed part of the mode's own cost: the median over blocks.
    pub share: f64,
    /// Its 95 % interval.
    pub share_ci95: Option<[f64; 2]>,
    /// As in the fit.
    pub share_range: Option<[f64; 2]>,
    /// Blocks that measured both at every size.
    pub blocks: u32,
}

vocabulary! {
    /// What a finding is about.
    FindingKind, "finding", {
        /// Which mode's first packet is fastest.
        Packets = "packets",
        /// Which mode's update is fastest.
        Updates = "updates",
        /// Which mode overtakes which as N grows.
        Crossings = "crossings",
        /// With which power of N an install grows.
        Exponents = "exponents",
        /// What each further service holds of the kernel's memory.
        Memory = "memory",
        /// What a service holds of it for itself and for each possible CPU.
        MemoryByCpus = "memory-by-cpus",
        /// What each further service adds to a first packet.
        Slopes = "slopes",
        /// Whether that is nothing beside its fixed part.
        Flatness = "flatness",
        /// The two iptables engines beside each other.
        Engines = "engines",
        /// The last service beside the first.
        Positions = "positions",
        /// What an update hands over at the smallest and the largest size.
        HandedOver = "handed-over",
        /// Set messages of an update at both.
        SetMessages = "set-messages",
        /// kube-proxy's whole sync beside the apply.
        Syncs = "syncs",
        /// One transaction beside several.
        Chunks = "chunks",
        /// The tool's part of the processor's time.
        ToolShare = "tool-share",
        /// What other modes take beside the one that would be left.
        Leaving = "leaving",
    }
}

/// Something that the data say, with what it rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// The whole as a sentence, written from its parts.
    pub text: String,
    /// Rows or fits it was computed from, as text.
    pub evidence: Vec<String>,
    /// Whether it answers what is asked first: who is fastest, who overtakes whom, what grows, what a service holds.
    #[serde(default)]
    pub headline: bool,
    /// What it is about.
    pub kind: FindingKind,
    /// Of which environment it speaks, by name.
    pub environment: String,
    /// Of how many endpoints a service.
    pub endpoints: u32,
    /// Of which variant; as in the cells.
    pub variant: String,
    /// Of which scenario.
    pub scenario: crate::ScenarioKind,
    /// Which cells of it: the options that they have in common because they were asked for.
    pub options: crate::Options,
    /// The sizes that it is about: the largest; or the smallest and the largest.
    pub services: Vec<u32>,
    /// What is asked.
    pub question: String,
    /// The answer, as sentences.
    pub verdict: String,
    /// The same in one or two sentences, without its intervals; empty where it tells nothing apart.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub brief: String,
    /// The values of each mode that it ranks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<Values>,
}

/// The values of each mode, as words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Values {
    /// Of which metric.
    pub metric: Metric,
    /// Mode by mode.
    pub text: String,
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
    /// Ratio of the values, control ÷ ordinary.
    pub ratio: f64,
    /// Its 95 % interval; `None` with fewer than six stays of each.
    #[serde(default)]
    pub ci95: Option<[f64; 2]>,
    /// True when there is no interval, when it is wider than ±10 %, or when it leaves 1 out.
    pub noisy: bool,
    /// Why, as a sentence.
    pub text: String,
}

/// How far the values of a scenario's metric are known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Spread {
    /// Scenario.
    pub scenario: crate::ScenarioKind,
    /// Metric.
    pub metric: Metric,
    /// Half the width of the interval of a cell ÷ its value: the median over cells.
    pub half_width: f64,
    /// Cells with an interval.
    pub cells: u32,
}

/// What became of the plan: every planned cell is counted once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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

/// Ends that may be infinite, since they rest on what timed out: null in JSON.
pub(crate) mod ends {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[allow(clippy::ref_option, reason = "serde's signature")]
    pub(crate) fn serialize<S: Serializer>(
        ends: &Option<[f64; 2]>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        ends.map(|ends| ends.map(|end| Some(end).filter(|end| end.is_finite())))
            .serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<[f64; 2]>, D::Error> {
        let ends = Option::<[Option<f64>; 2]>::deserialize(deserializer)?;
        Ok(ends.map(|[low, high]| [low.unwrap_or(f64::INFINITY), high.unwrap_or(f64::INFINITY)]))
    }
}
