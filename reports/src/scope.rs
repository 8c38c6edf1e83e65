//! What a table or chart is about: one environment, one number of endpoints, one variant, and the questions
//! that its cells ask. Cells of different environments are never put side by side.

use std::collections::{BTreeMap, BTreeSet};

use schema::summary::{Row, Summary};
use schema::{CONTROL, CellKey, Metric, Mode, Options, ScenarioKind};

use crate::quantity::whole;
use crate::update_table::UPDATES;

/// One environment, one number of endpoints and one variant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scope {
    /// Name of the environment.
    pub environment: String,
    /// Endpoints of each service.
    pub endpoints: u32,
    /// Name of the variant; "" in a run without any.
    pub variant: String,
}

/// The scopes of a summary, the one with the most numbers first.
#[must_use]
pub fn scopes(summary: &Summary) -> Vec<Scope> {
    let mut measured: BTreeMap<Scope, usize> = BTreeMap::new();
    // The A/A control series is for the noise alone.
    let ordinary = |row: &&Row| row.key.variant != CONTROL;
    for row in summary.cells.iter().filter(ordinary) {
        let scope = Scope {
            environment: row.key.environment.clone(),
            endpoints: row.key.endpoints,
            variant: row.key.variant.clone(),
        };
        *measured.entry(scope).or_default() += usize::from(row.metric.is_some());
    }
    let mut scopes: Vec<_> = measured.into_iter().collect();
    scopes.sort_by_key(|(_, measured)| std::cmp::Reverse(*measured));
    scopes.into_iter().map(|(scope, _)| scope).collect()
}

impl Scope {
    /// Whether a cell belongs here.
    #[must_use]
    pub fn holds(&self, key: &CellKey) -> bool {
        key.environment == self.environment
            && key.endpoints == self.endpoints
            && key.variant == self.variant
    }

    /// The ordinary rows that belong here: not the A/A control series.
    pub fn rows<'a>(&'a self, summary: &'a Summary) -> impl Iterator<Item = &'a Row> {
        summary.cells.iter().filter(|row| self.holds(&row.key))
    }

    /// The largest N that was planned.
    #[must_use]
    pub fn largest(&self, summary: &Summary) -> u32 {
        self.rows(summary)
            .map(|row| row.key.services)
            .max()
            .unwrap_or(0)
    }

    /// The smallest N that was planned.
    #[must_use]
    pub fn smallest(&self, summary: &Summary) -> u32 {
        self.rows(summary)
            .map(|row| row.key.services)
            .min()
            .unwrap_or(0)
    }

    /// Where this is, as a phrase, when there is more than one scope.
    #[must_use]
    pub fn describe(&self) -> String {
        let place = format!(
            "{}, {} endpoints a service",
            self.environment,
            whole(self.endpoints.into())
        );
        match self.variant.as_str() {
            "" => place,
            name => format!("{place}, variant {name}"),
        }
    }

    /// Modes with cells here, in the fixed order.
    #[must_use]
    pub fn modes(&self, summary: &Summary) -> Vec<Mode> {
        let seen: BTreeSet<Mode> = self.rows(summary).map(|row| row.key.mode).collect();
        seen.into_iter().collect()
    }

    /// The scenario whose cells say most of kernel memory here: `memory`, with its pairs of installs and
    /// removals, else the readings around a `cold-install`.
    #[must_use]
    pub(crate) fn weighing(&self, summary: &Summary) -> ScenarioKind {
        let measured = |row: &Row| {
            row.key.scenario == ScenarioKind::Memory && row.metric == Some(Metric::KernelMemory)
        };
        if self.rows(summary).any(measured) {
            ScenarioKind::Memory
        } else {
            ScenarioKind::ColdInstall
        }
    }

    /// Whether the kernel memory of a mode with these options is the one to show: after an install in
    /// chunks where the mode was installed in both ways. What is held then is the same, and chunks leave
    /// more samples.
    #[must_use]
    pub(crate) fn shows_memory(&self, summary: &Summary, mode: Mode, options: &Options) -> bool {
        let whole = options.get(CHUNK).is_some_and(|chunk| chunk == "all");
        let without = |options: &Options| {
            let mut options = options.clone();
            options.remove(CHUNK);
            options
        };
        let in_chunks = |row: &Row| {
            row.key.mode == mode
                && row.metric == Some(Metric::KernelMemory)
                && row
                    .key
                    .options
                    .get(CHUNK)
                    .is_some_and(|chunk| chunk != "all")
                && without(&row.key.options) == without(options)
        };
        !whole || !self.rows(summary).any(in_chunks)
    }

    /// The questions asked here, in table order.
    #[must_use]
    pub fn questions(&self, summary: &Summary) -> Vec<Question> {
        let varying: BTreeSet<String> = varying(self.rows(summary))
            .into_iter()
            .map(|(_, key)| key)
            .collect();
        let mut questions: BTreeSet<Question> = BTreeSet::new();
        for row in self.rows(summary) {
            let metrics = headline_metrics(row.key.scenario);
            // What an install holds is asked in passing, at some sizes.
            let in_passing = row.key.scenario == ScenarioKind::ColdInstall;
            for &metric in metrics
                .iter()
                .filter(|metric| !in_passing || row.metric == Some(**metric))
            {
                let mut options = row.key.options.clone();
                options.retain(|key, _| {
                    let key = key.as_str();
                    !WAY.contains(&key)
                        && (varying.contains(key) || matches!(key, "position" | "protocol"))
                });
                questions.insert(Question {
                    scenario: row.key.scenario,
                    metric,
                    options,
                });
            }
        }
        let mut questions: Vec<_> = questions.into_iter().collect();
        questions.sort_by_key(|question| {
            let option = |key: &str| question.options.get(key).map(String::as_str);
            (
                question.scenario,
                question.metric,
                option("protocol").map(str::to_owned),
                place(option("position")),
                chunk_order(option(CHUNK)),
            )
        });
        questions
    }
}

/// Options that take more than one value in a scenario, with the scenario: the only ones worth naming.
pub(crate) fn varying<'a>(rows: impl Iterator<Item = &'a Row>) -> BTreeSet<(ScenarioKind, String)> {
    let mut values: BTreeMap<(ScenarioKind, &str), BTreeSet<&str>> = BTreeMap::new();
    for row in rows {
        for (key, value) in &row.key.options {
            values
                .entry((row.key.scenario, key))
                .or_default()
                .insert(value);
        }
    }
    values
        .into_iter()
        .filter(|(_, seen)| seen.len() > 1)
        .map(|((scenario, key), _)| (scenario, key.to_owned()))
        .collect()
}

/// Option: services a transaction.
const CHUNK: &str = "chunk";

/// Options that say how a mode is programmed. They never ask a question of their own: modes have
/// different ways, and an answer names its own.
pub(crate) const WAY: &[&str] = &["transport", "engine"];

/// How a cell's mode is programmed, as words: "netlink, nft engine". Empty for cells that say nothing
/// of it.
#[must_use]
pub fn way(options: &Options) -> String {
    let words: Vec<String> = WAY
        .iter()
        .filter_map(|key| Some(option(key, options.get(*key)?)))
        .collect();
    words.join(", ")
}

/// The same after an answer: "through netlink, legacy engine", "with the legacy engine".
#[must_use]
pub(crate) fn through(options: &Options) -> Option<String> {
    let way = way(options);
    let programmed = options.contains_key("transport");
    (!way.is_empty()).then(|| match programmed {
        true => format!("through {way}"),
        false => format!("with the {way}"),
    })
}

/// What the headline table asks in a scenario. Rule updates have a table of their own
/// ([`crate::update_table`]).
const fn headline_metrics(scenario: ScenarioKind) -> &'static [Metric] {
    match scenario {
        ScenarioKind::FirstPacket => &[Metric::Latency],
        ScenarioKind::Memory => &[
            Metric::KernelMemory,
            Metric::KernelMemoryPeak,
            Metric::CgroupMemory,
        ],
        ScenarioKind::RuleCount => &[
            Metric::Rules,
            Metric::Chains,
            Metric::Sets,
            Metric::Elements,
        ],
        ScenarioKind::ColdInstall => &[Metric::KernelMemory],
        ScenarioKind::Resync
        | ScenarioKind::ServiceAdd
        | ScenarioKind::ServiceRemove
        | ScenarioKind::EndpointChurn
        | ScenarioKind::Teardown => &[],
    }
}

pub(crate) fn place(position: Option<&str>) -> usize {
    ["first", "middle", "last", "uniform"]
        .iter()
        .position(|p| Some(*p) == position)
        .unwrap_or(usize::MAX)
}

pub(crate) fn chunk_order(chunk: Option<&str>) -> u64 {
    chunk.and_then(|c| c.parse().ok()).unwrap_or(0)
}

/// One line of the headline table: the same thing asked of every mode.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Question {
    /// Scenario.
    pub scenario: ScenarioKind,
    /// Metric.
    pub metric: Metric,
    /// The options that matter, without transport and engine.
    pub options: Options,
}

impl Question {
    /// Whether a cell answers it.
    #[must_use]
    pub fn asks(&self, key: &CellKey) -> bool {
        key.scenario == self.scenario
            && self
                .options
                .iter()
                .all(|(name, value)| key.options.get(name) == Some(value))
    }

    /// The question as a phrase, at a size.
    #[must_use]
    pub fn text(&self, services: u32) -> String {
        let services = whole(services.into());
        let rest = |known: &[&str]| {
            let rest: Vec<String> = self
                .options
                .iter()
                .filter(|(k, _)| !known.contains(&k.as_str()))
                .map(|(k, v)| option(k, v))
                .collect();
            if rest.is_empty() {
                String::new()
            } else {
                format!(", {}", rest.join(", "))
            }
        };
        match (self.scenario, self.metric) {
            (ScenarioKind::Memory, Metric::KernelMemoryPeak) => format!(
                "Peak of kernel memory while {services} services are installed{}",
                rest(&[])
            ),
            (ScenarioKind::Memory, Metric::CgroupMemory) => format!(
                "The part of it that a cgroup sees (incomplete by design){}",
                rest(&[])
            ),
            (ScenarioKind::Memory, _) => {
                format!("Kernel memory of {services} services{}", rest(&[]))
            }
            (ScenarioKind::ColdInstall, Metric::KernelMemory) => format!(
                "Kernel memory after a first install of {services} services{}",
                rest(&[])
            ),
            (ScenarioKind::RuleCount, metric) => {
                let noun = uppercase_first(metric.name());
                format!("{noun} listed for {services} services{}", rest(&[]))
            }
            (ScenarioKind::FirstPacket, _) => {
                let of = |key: &str| self.options.get(key).map_or("", String::as_str);
                let protocol = of("protocol").to_uppercase();
                let to = option("position", of("position"));
                format!(
                    "First packet of a new {protocol} flow to {to} of {services}{}",
                    rest(&["position", "protocol"])
                )
            }
            (scenario, metric) => {
                format!("{scenario}, {metric}, {services} services{}", rest(&[]))
            }
        }
    }
}

fn uppercase_first(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

/// What stands in a table where there is no number. Why something is unsupported is long and the same for
/// a whole mode: it stands once, in the list of cells without numbers.
#[must_use]
pub(crate) fn instead(row: &Row) -> &str {
    match row.outcome.as_str() {
        "unsupported" => &row.outcome,
        outcome => row.reason.as_deref().unwrap_or(outcome),
    }
}

/// Rows without numbers; what is unsupported in a mode for one reason is together, in the place of the first:
/// one line says it for all.
#[must_use]
pub(crate) fn by_reason<'a>(rows: &[&'a Row]) -> Vec<Vec<&'a Row>> {
    let why = |row: &'a Row| {
        let key = &row.key;
        (key.mode, &key.variant, &key.environment, &row.reason)
    };
    let mut groups: Vec<Vec<&Row>> = Vec::new();
    for &row in rows {
        let shared = row.outcome == "unsupported";
        match groups
            .iter_mut()
            .find(|group| shared && why(group[0]) == why(row))
        {
            Some(group) => group.push(row),
            None => groups.push(vec![row]),
        }
    }
    groups
}

/// Lower bound of a row without numbers that timed out, nanoseconds of update time. `None` where the
/// scenario does not measure that: a bound of a batch says nothing of the latency of a packet.
#[must_use]
pub fn lower_bound(row: &Row) -> Option<f64> {
    let bounded = row.outcome == "timed-out" && UPDATES.contains(&row.key.scenario);
    row.lower_bound_ns
        .filter(|_| bounded)
        .map(|bound| bound as f64)
}

/// Whether a row is lower than those of every other mode that serves services, and told apart from them
/// ([`are_apart`]); of update times, what timed out must have done so above its interval.
#[must_use]
pub fn is_lowest(row: &Row, answers: &[&Row]) -> bool {
    // A cgroup accounts for a part that differs between modes: the lowest there is the least seen.
    let ranked = !row.key.mode.is_floor() && row.metric != Some(Metric::CgroupMemory);
    let Some([_, top]) = row.ci95.filter(|_| ranked) else {
        return false;
    };
    let mut others = answers
        .iter()
        .filter(|other| other.key.mode != row.key.mode && !other.key.mode.is_floor())
        .filter_map(|other| match other.median {
            Some(median) => Some(are_apart(row, other) && row.median < Some(median)),
            None => lower_bound(other)
                .filter(|_| row.metric == Some(Metric::UpdateTime))
                .map(|bound| bound > top),
        })
        .peekable();
    others.peek().is_some() && others.all(|higher| higher)
}

/// With a single stay on a side the interval leaves out what differs between labs: then only medians
/// that differ by this factor are told apart. It is far beyond labs of the same thing: eight fresh ones in
/// a row differed by 14 %.
const FAR: f64 = 3.0;

/// Whether two rows are told apart: their intervals do not overlap, and each has at least two stays (an
/// interval of few stays is as wide as they are few) or the medians lie far apart.
#[must_use]
pub fn are_apart(a: &Row, b: &Row) -> bool {
    let (Some([low_a, high_a]), Some([low_b, high_b])) = (a.ci95, b.ci95) else {
        return false;
    };
    let (Some(x), Some(y)) = (a.median, b.median) else {
        return false;
    };
    let replicated = a.stays.min(b.stays) >= 2;
    let far = x.max(y) >= FAR * x.min(y);
    (replicated || far) && (high_a < low_b || high_b < low_a)
}

/// Why stays of a measured row have no number, unless they were just not run: that takes nothing away
/// from the others.
#[must_use]
pub fn mishap(row: &Row) -> Option<&str> {
    row.reason
        .as_deref()
        .filter(|reason| !reason.starts_with("not-run"))
}

/// An option as words.
#[must_use]
pub fn option(key: &str, value: &str) -> String {
    match (key, value) {
        ("chunk", "all") => "one transaction".to_owned(),
        ("chunk", n) => format!("transactions of {n}"),
        ("transport", "restore") => "iptables-restore".to_owned(),
        ("transport", "netlink") => "netlink".to_owned(),
        ("transport", "nft") => "nft -f".to_owned(),
        ("transport", "exec") => "a process a rule".to_owned(),
        ("transport", "ipset-restore") => "ipset restore".to_owned(),
        ("engine", engine) => format!("{engine} engine"),
        ("churn", k) => format!("{k} endpoints"),
        ("large_cluster", "on") => "without endpoint comments".to_owned(),
        ("large_cluster", "off") => "with endpoint comments".to_owned(),
        ("position", "uniform") => "any service".to_owned(),
        ("position", position) => format!("the {position} service"),
        ("protocol", protocol) => protocol.to_uppercase(),
        (key, value) => format!("{key} {value}"),
    }
}

/// Names of series that are drawn or listed together: the mode, and of the options only those in which
/// series of the same mode differ.
#[must_use]
pub fn series_names(series: &[(Mode, &Options)]) -> Vec<String> {
    series
        .iter()
        .map(|(mode, options)| {
            let differs = |key: &str, value: &str| {
                series.iter().any(|(other, o)| {
                    other == mode && o.get(key).map(String::as_str) != Some(value)
                })
            };
            let words: Vec<String> = options
                .iter()
                .filter(|(key, value)| differs(key, value))
                .map(|(key, value)| option(key, value))
                .collect();
            if words.is_empty() {
                mode.to_string()
            } else {
                format!("{mode} ({})", words.join(", "))
            }
        })
        .collect()
}
