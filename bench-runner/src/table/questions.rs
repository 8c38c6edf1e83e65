//! The columns: what was asked, one question a column, in topics.

use reports::update_table::UPDATES;
use schema::summary::Row;
use schema::{CellKey, Metric, Options, ScenarioKind};

/// What is asked of a scenario.
pub(super) const fn metrics(scenario: ScenarioKind) -> &'static [Metric] {
    match scenario {
        ScenarioKind::ServiceAdd => &[
            Metric::UpdateTime,
            Metric::SyncTime,
            Metric::Messages,
            Metric::BytesSent,
        ],
        ScenarioKind::ColdInstall => &[Metric::UpdateTime, Metric::KernelMemory],
        ScenarioKind::Resync
        | ScenarioKind::ServiceRemove
        | ScenarioKind::EndpointChurn
        | ScenarioKind::Teardown => &[Metric::UpdateTime],
        ScenarioKind::FirstPacket => &[Metric::Latency],
        ScenarioKind::Memory => &[Metric::KernelMemory, Metric::KernelMemoryPeak],
        ScenarioKind::RuleCount => &[
            Metric::Rules,
            Metric::Chains,
            Metric::Sets,
            Metric::Elements,
        ],
    }
}

/// Scenarios whose questions stand beside each other.
pub(super) const TOPICS: &[&[ScenarioKind]] = &[
    UPDATES,
    &[ScenarioKind::FirstPacket],
    &[ScenarioKind::Memory, ScenarioKind::RuleCount],
];

/// A question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) scenario: ScenarioKind,
    pub(super) metric: Metric,
    /// The options that ask: not how the mode is programmed.
    pub(super) asked: Options,
}

/// The questions of a topic that anyone was asked, as they lie.
pub(super) fn columns(rows: &[&Row], topic: &[ScenarioKind]) -> Vec<Column> {
    let mut columns: Vec<Column> = Vec::new();
    for scenario in topic {
        let mine = || rows.iter().filter(|row| row.key.scenario == *scenario);
        let mut shapes: Vec<Options> = mine().map(|row| asked(&row.key)).collect();
        shapes.sort_by_key(order);
        shapes.dedup();
        for shape in shapes {
            for metric in metrics(*scenario) {
                // What no mode has is no question of this run; cells without numbers stand for the first.
                let anyone =
                    mine().any(|row| row.metric == Some(*metric) && asked(&row.key) == shape);
                if anyone || *metric == metrics(*scenario)[0] {
                    columns.push(Column {
                        scenario: *scenario,
                        metric: *metric,
                        asked: shape.clone(),
                    });
                }
            }
        }
    }
    columns
}

/// The options of a cell that ask something.
pub(super) fn asked(key: &CellKey) -> Options {
    let mut options = key.options.clone();
    options.retain(|name, _| matches!(name.as_str(), "chunk" | "churn" | "position" | "protocol"));
    options
}

/// Protocols, then positions as they lie; one transaction before chunks.
fn order(options: &Options) -> (Option<String>, usize, u64, Option<String>) {
    let of = |name: &str| options.get(name).cloned();
    let places = ["first", "middle", "last", "uniform"];
    let place = of("position").and_then(|p| places.iter().position(|place| *place == p));
    let chunk = of("chunk").and_then(|chunk| chunk.parse().ok());
    (
        of("protocol"),
        place.unwrap_or(places.len()),
        chunk.unwrap_or(0),
        of("churn"),
    )
}

impl Column {
    /// The two lines above it.
    pub(super) fn heading(&self) -> [String; 2] {
        let words: Vec<String> = ["protocol", "position", "chunk", "churn"]
            .iter()
            .filter_map(|name| {
                let value = self.asked.get(*name)?;
                Some(match (*name, value.as_str()) {
                    ("chunk", "all") => "all at once".to_owned(),
                    ("chunk", chunk) => format!("by {chunk}"),
                    ("churn", churn) => format!("{churn} endpoints"),
                    _ => value.clone(),
                })
            })
            .collect();
        let second = match self.scenario {
            ScenarioKind::Memory => match self.metric {
                Metric::KernelMemoryPeak => "peak".to_owned(),
                _ => "kernel".to_owned(),
            },
            ScenarioKind::RuleCount => self.metric.to_string(),
            ScenarioKind::ColdInstall if self.metric == Metric::KernelMemory => {
                format!("memory {}", words.join(" "))
            }
            ScenarioKind::ServiceAdd => match self.metric {
                Metric::UpdateTime => "time".to_owned(),
                Metric::SyncTime => "kube-proxy's".to_owned(),
                Metric::BytesSent => "bytes".to_owned(),
                other => other.to_string(),
            },
            _ => words.join(" "),
        };
        [self.scenario.to_string(), second]
    }
}
