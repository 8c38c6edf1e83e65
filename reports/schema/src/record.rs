//! The lines of `results.jsonl`: a header, then one line a cell, then an end line.
//!
//! The file is only ever appended to. A run that is carried on (`--resume`) writes a line that says so and
//! measures what has no outcome yet, and what is `not-run(interrupted)`; a cell that was disturbed is measured again:
//! of two lines with the same block and the same key **the later one counts**, and an end line that is followed by others ends nothing. Every planned cell
//! (a key in a block) so has exactly one outcome.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

use crate::histogram::Histogram;
use crate::vocabulary::vocabulary;
use crate::{CellKey, Disturbance, Metric, Mode, Outcome, Unit};

/// One line of `results.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "record", rename_all = "kebab-case")]
#[allow(
    clippy::large_enum_variant,
    reason = "one header a file; cells are read one at a time"
)]
pub enum Record {
    /// Line 1.
    Header(Header),
    /// One cell of one stay.
    Cell(CellRecord),
    /// The run was carried on by another process, from here on.
    Resumed(ResumedRecord),
    /// Last line of a run that ended by itself or by an interrupt.
    End(EndRecord),
}

/// Line 1: what was asked, of what, on what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Header {
    /// [`crate::SCHEMA_VERSION`] of the writer.
    pub schema_version: u32,
    /// Start of the run, UTC, RFC 3339.
    pub started: String,
    /// Version of bench-runner.
    pub tool_version: String,
    /// Source revision the binary was built from, or "unknown".
    pub revision: String,
    /// Checksum and length of the executable file, "" when unknown: a revision does not tell two builds apart.
    #[serde(default)]
    pub binary: String,
    /// The command line as given.
    pub command_line: Vec<String>,
    /// Resolved arguments of the run, by option name without dashes.
    pub arguments: BTreeMap<String, serde_json::Value>,
    /// Seed of populations, shuffles and probes.
    pub seed: u64,
    /// Cells planned, over all repetition blocks: how many cell lines a complete file holds.
    pub planned_cells: u64,
    /// Planned repetition blocks.
    pub planned_blocks: u32,
    /// Time that the plan was expected to take, nanoseconds.
    pub planned_time_ns: u64,
    /// Why it was measured in these environments, as a sentence; "" in results of before guests.
    #[serde(default)]
    pub choice: String,
    /// What is measured side by side, in the order given; empty when nothing is. A cell of the first has the
    /// first one's name as [`CellKey::variant`].
    #[serde(default)]
    pub variants: Vec<Variant>,
    /// Environments by name.
    pub environments: BTreeMap<String, Environment>,
}

/// The argument of a run that names the modes that would be left.
pub const LEAVING: &str = "leaving";

impl Header {
    /// The modes that would be left, as they were asked: what other modes take is said beside them.
    #[must_use]
    pub fn leaving(&self) -> Vec<Mode> {
        let named = self
            .arguments
            .get(LEAVING)
            .and_then(|named| named.as_array());
        let modes = named.into_iter().flatten();
        modes
            .filter_map(|mode| mode.as_str()?.parse().ok())
            .collect()
    }
}

/// One side of a comparison that is measured in one run: its stays lie in the same shuffled blocks as the
/// other sides' stays.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Variant {
    /// Its name, "base" and "head" by custom.
    pub name: String,
    /// What sets it apart from the run's other arguments, as given.
    pub options: String,
    /// Environments that it is measured in, by name; empty: in all.
    #[serde(default)]
    pub environments: Vec<String>,
    /// Files that it starts in place of tools, by the tool's name: version, checksum, path.
    #[serde(default)]
    pub tools: BTreeMap<String, String>,
}

vocabulary! {
    /// Where a lab lives.
    SandboxKind, "sandbox", {
        /// Namespaces of the host's kernel.
        Netns = "netns",
        /// A microVM with a kernel of its own.
        Guest = "guest",
    }
}

vocabulary! {
    /// What executes a guest's instructions.
    Accelerator, "accelerator", {
        /// No guest.
        None = "none",
        /// Hardware virtualisation.
        Kvm = "kvm",
        /// QEMU's translator.
        Tcg = "tcg",
        /// QEMU's translator, time tied to executed instructions.
        TcgIcount = "tcg-icount",
    }
}

/// Sandbox + kernel + accelerator + tools. Cells of different environments are never compared unless
/// the user says that this is the question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Environment {
    /// Where labs live.
    pub sandbox: SandboxKind,
    /// What executes them.
    pub accel: Accelerator,
    /// `uname -r`.
    pub kernel: String,
    /// `uname -v`.
    pub kernel_build: String,
    /// `uname -m`.
    pub machine: String,
    /// CPU model name.
    pub cpu: String,
    /// CPUs online.
    pub cores: u32,
    /// Memory, bytes; 0 in results of before guests, when it was not recorded.
    #[serde(default)]
    pub memory_bytes: u64,
    /// Clock source of the kernel.
    pub clocksource: String,
    /// Smallest difference of two successive readings of the clock that was not zero, nanoseconds.
    pub clock_step_ns: u64,
    /// CPUs of the client's and of the servers' threads.
    pub pinning: String,
    /// Where those threads run: whether their CPUs share a core, their governor, whether the runner sits in a memory
    /// cgroup, which charges it for each object of nf_tables. Empty in results of version 1.
    #[serde(default)]
    pub placement: BTreeMap<String, String>,
    /// Mitigations, by vulnerability, as the kernel lists them.
    pub mitigations: BTreeMap<String, String>,
    /// Kernel configuration facts that move results, by name.
    pub config: BTreeMap<String, String>,
    /// Pinned and observed sysctls of a lab, by `namespace:name`.
    pub sysctls: BTreeMap<String, String>,
    /// Tools and libraries with versions.
    pub tools: BTreeMap<String, String>,
}

/// One cell of one stay.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CellRecord {
    /// Identity.
    #[serde(flatten)]
    pub key: CellKey,
    /// Repetition of its stay, 0-based. Block 0 holds every stay once; later ones are reached in an order of
    /// their own by each stay.
    pub block: u32,
    /// Number of the stay in the run, 0-based, unique: the unit of replication.
    pub stay: u32,
    /// When the cell started, nanoseconds after the run's start; when that was decided, if it was not run.
    pub started_ns: u64,
    /// How long it took in all, nanoseconds.
    pub elapsed_ns: u64,
    /// Time that the hypervisor took from this machine's CPUs during the cell, nanoseconds, summed over CPUs; null
    /// where that is not known: a guest without a paravirtual steal clock sees none, whatever it lost.
    pub steal_ns: Option<u64>,
    /// How long the threads that measure waited for a CPU that somebody else had, nanoseconds, of the one that waited
    /// longest (`run_delay` of `/proc/PID/task/TID/schedstat`, `Documentation/scheduler/sched-stats.rst`): in `netns`
    /// the pinned threads and the tools, in a guest QEMU's vCPU threads as well, seen from the host; null where the
    /// kernel does not say.
    #[serde(default)]
    pub run_delay_ns: Option<u64>,
    /// What disturbed it from outside; empty: nothing that was seen. A disturbed cell is measured again once, in
    /// another stay: then this line is followed by another of the same block and key, which counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disturbed: Vec<Disturbance>,
    /// What became of it.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// Samples; empty unless measured.
    #[serde(default)]
    pub series: Vec<Series>,
    /// What was checked and seen: proof counts, counters, settling, by name.
    #[serde(default)]
    pub facts: BTreeMap<String, String>,
}

/// Samples of one metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "SeriesLine", into = "SeriesLine")]
#[schemars(with = "SeriesLine")]
pub struct Series {
    /// Which metric.
    pub metric: Metric,
    /// Unit of the values.
    pub unit: Unit,
    /// Every sample, in the order taken; ascending where they come from a histogram.
    pub values: Vec<f64>,
    /// Whether they are written as a histogram: of so many samples the order says nothing.
    pub as_histogram: bool,
}

/// The same in a file: one of `values` and `histogram`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
struct SeriesLine {
    metric: Metric,
    unit: Unit,
    /// Every sample, in the order taken.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        serialize_with = "compact_floats"
    )]
    values: Option<Vec<f64>>,
    /// All of them as an HdrHistogram (`Histogram`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    histogram: Option<Histogram>,
}

/// # Errors
/// It has both, or neither.
impl TryFrom<SeriesLine> for Series {
    type Error = String;

    fn try_from(line: SeriesLine) -> Result<Self, String> {
        let SeriesLine {
            metric,
            unit,
            values,
            histogram,
        } = line;
        let (values, as_histogram) = match (values, histogram) {
            (Some(values), None) => (values, false),
            (None, Some(histogram)) => (histogram.values(), true),
            _ => {
                return Err(format!(
                    "a series of {metric} has one of values and histogram"
                ));
            }
        };
        Ok(Self {
            metric,
            unit,
            values,
            as_histogram,
        })
    }
}

impl From<Series> for SeriesLine {
    fn from(series: Series) -> Self {
        let Series {
            metric,
            unit,
            values,
            as_histogram,
        } = series;
        let (values, histogram) = match as_histogram {
            true => (None, Some(Histogram::of(&values))),
            false => (Some(values), None),
        };
        Self {
            metric,
            unit,
            values,
            histogram,
        }
    }
}

/// Where another process carried the run on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ResumedRecord {
    /// When, UTC, RFC 3339.
    pub resumed: String,
    /// Time of the run that counts as spent, nanoseconds: up to the end of the last cell recorded. Later lines
    /// count on from here.
    pub spent_ns: u64,
}

/// Last line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EndRecord {
    /// "complete", "budget" or "interrupted".
    pub ended: String,
    /// Length of the run, nanoseconds; what passed between its processes is not counted.
    pub elapsed_ns: u64,
    /// Peak resident memory of the runner's own process, bytes.
    pub runner_rss_bytes: u64,
}

/// Whole numbers without a fraction: a third shorter, and exact in every reader.
fn compact_floats<S: Serializer>(
    values: &Option<Vec<f64>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    use serde::ser::SerializeSeq;
    let values = values.as_deref().unwrap_or_default();
    let mut seq = serializer.serialize_seq(Some(values.len()))?;
    for &value in values {
        if value.fract() == 0.0 && value.abs() < 9.0e15 {
            seq.serialize_element(&(value as i64))?;
        } else {
            seq.serialize_element(&value)?;
        }
    }
    seq.end()
}
