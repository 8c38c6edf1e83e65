//! Mode × question at the largest N: one row a mode through its ordinary way, with ratios to the lowest and
//! to the floors.

use std::cmp::Ordering::Less;
use std::collections::BTreeMap;

use schema::summary::{Row, Summary};
use schema::{CellKey, Metric, Mode, Options, ScenarioKind};

use super::cells::Cells;
use super::ratios::{Ratio, floor_of, ratio};
use crate::load::Run;
use crate::scope::{Question, Scope, chunk_order, is_lowest, option, order, ranked};
use crate::update_table::{UPDATES, update_text};

/// One question at the largest N, with the answer of each mode.
#[derive(Debug, Clone)]
pub struct Measure<'a> {
    /// What is asked.
    pub scenario: ScenarioKind,
    /// What is shown of it.
    pub metric: Metric,
    /// The options that tell it from others of its scenario.
    pub options: Options,
    /// N.
    pub services: u32,
    rows: BTreeMap<Mode, &'a Row>,
}

impl<'a> Measure<'a> {
    /// A mode's row, through its ordinary way; `None`: not planned.
    #[must_use]
    pub fn of(&self, mode: Mode) -> Option<&'a Row> {
        self.rows.get(&mode).copied()
    }

    /// The row of the lowest value (of an update, of its whole) among the modes that serve services.
    #[must_use]
    pub fn lowest(&self) -> Option<&'a Row> {
        let serving = self.rows.values().filter(|row| !row.key.mode.is_floor());
        let measured = serving.filter(|row| row.median.is_some());
        let by = |row: &&&Row| ranked(row).unwrap_or(f64::INFINITY);
        measured.min_by(|a, b| by(a).total_cmp(&by(b))).copied()
    }

    /// The question in a few words.
    #[must_use]
    pub fn short(&self) -> String {
        let of = |key: &str| self.options.get(key).map_or("", String::as_str);
        match (self.scenario, self.metric) {
            (ScenarioKind::FirstPacket, _) => {
                format!(
                    "First {} packet, {}",
                    of("protocol").to_uppercase(),
                    option("position", of("position"))
                )
            }
            (ScenarioKind::RuleCount, metric) => format!("Listed: {metric}"),
            (ScenarioKind::Memory | ScenarioKind::ColdInstall, Metric::KernelMemory) => {
                let chunk = self.options.get("chunk");
                let chunk = chunk.map_or_else(String::new, |c| format!(", {}", option("chunk", c)));
                format!("Kernel memory{chunk}")
            }
            (scenario, Metric::UpdateTime) => update_text(scenario, &self.options),
            (scenario, metric) => {
                format!("{}: {}", update_text(scenario, &self.options), noun(metric))
            }
        }
    }

    /// Name of the chart that shows it against N.
    #[must_use]
    pub fn chart(&self) -> &'static str {
        match (self.scenario, self.metric) {
            (ScenarioKind::FirstPacket, _) => {
                match self.options.get("protocol").map(String::as_str) {
                    Some("udp") => "first-packet-udp",
                    _ => "first-packet-tcp",
                }
            }
            (_, Metric::KernelMemory) => "kernel-memory",
            (scenario, _) => scenario.name(),
        }
    }
}

fn noun(metric: Metric) -> &'static str {
    match metric {
        Metric::SyncTime => "kube-proxy's sync",
        Metric::CpuTime => "processor time",
        Metric::Messages => "messages",
        Metric::BytesSent => "bytes handed over",
        other => other.name(),
    }
}

/// Whether a cell is programmed in the ordinary way of its mode.
pub(super) fn is_ordinary(key: &CellKey) -> bool {
    let is = |name: &str, usual: &[&str]| {
        let value = key.options.get(name);
        value.is_none_or(|value| usual.contains(&value.as_str()))
    };
    is("transport", &["restore", "netlink"]) && is("engine", &["legacy"])
}

/// What is asked of a scenario's metrics; every one a line of the heat map.
const fn asked(scenario: ScenarioKind) -> &'static [Metric] {
    match scenario {
        ScenarioKind::FirstPacket => &[Metric::Latency],
        ScenarioKind::ServiceAdd => &[
            Metric::UpdateTime,
            Metric::SyncTime,
            Metric::CpuTime,
            Metric::BytesSent,
        ],
        ScenarioKind::ColdInstall
        | ScenarioKind::Resync
        | ScenarioKind::ServiceRemove
        | ScenarioKind::EndpointChurn
        | ScenarioKind::Teardown => &[Metric::UpdateTime],
        ScenarioKind::Memory => &[Metric::KernelMemory],
        ScenarioKind::RuleCount => &[Metric::Rules],
    }
}

/// Where a question stands among the others: packets first; scenario, metric, chunk, what else tells it apart.
type Place = (u8, ScenarioKind, Metric, u64, Options);

/// The questions of a scope at its largest N, packets first, each with one row a mode.
#[must_use]
pub fn measures<'a>(summary: &'a Summary, scope: &'a Scope) -> Vec<Measure<'a>> {
    let services = scope.largest(summary);
    let weighing = scope.weighing(summary);
    let shown = scope.shown(summary);
    let mut found: BTreeMap<Place, BTreeMap<Mode, &Row>> = BTreeMap::new();
    let rows = scope.rows(summary);
    for row in rows.filter(|row| row.key.services == services && is_ordinary(&row.key)) {
        let key = &row.key;
        if !shown.holds(&key.options) {
            continue;
        }
        let memory = (key.scenario == weighing && weighing == ScenarioKind::ColdInstall)
            .then_some(Metric::KernelMemory);
        for metric in asked(key.scenario).iter().copied().chain(memory) {
            let counts = match row.metric {
                Some(own) => own == metric,
                // A cell without numbers answers for all it was to measure; not every mode has a sync.
                None => metric != Metric::SyncTime,
            };
            if !counts {
                continue;
            }
            let mut options = key.options.clone();
            options.retain(|name, _| {
                matches!(name.as_str(), "protocol" | "position" | "chunk" | "churn")
            });
            let chunk = chunk_order(options.get("chunk").map(String::as_str));
            let packets = u8::from(key.scenario != ScenarioKind::FirstPacket);
            let place = (packets, key.scenario, metric, chunk, options);
            // Of cells that differ in other options the first counts.
            found
                .entry(place)
                .or_default()
                .entry(key.mode)
                .or_insert(row);
        }
    }
    found
        .into_iter()
        .map(|((_, scenario, metric, _, options), rows)| Measure {
            scenario,
            metric,
            options,
            services,
            rows,
        })
        .filter(|measure| !measure.rows.is_empty())
        .collect()
}

/// How a mode stands beside the lowest of its question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Told apart from every other mode, below all of them.
    Lowest,
    /// The lowest median or one that is not told apart from it.
    Level,
    /// Told apart from the lowest median, above it.
    Higher,
}

/// A mode's answer in the matrix.
#[derive(Debug, Clone)]
pub struct Answer<'a> {
    /// The row.
    pub row: &'a Row,
    /// Value ÷ the lowest value, with its interval (of an update, with what is released after it); `None` for the lowest itself and for floors.
    pub times: Option<Ratio>,
    /// How it stands; `None` without a number, without another number beside it, and for floors.
    pub standing: Option<Standing>,
    /// Latency ÷ that of the floors `none` and `conntrack`.
    pub floors: [Option<Ratio>; 2],
}

/// A line of the matrix.
#[derive(Debug, Clone)]
pub struct Asked<'a> {
    /// The question.
    pub measure: Measure<'a>,
    /// Answers by mode; a mode without a planned cell is not there.
    pub answers: BTreeMap<Mode, Answer<'a>>,
}

/// The matrix of a scope: times that people wait for, and memory.
#[must_use]
pub fn matrix<'a>(run: &Run, summary: &'a Summary, scope: &'a Scope) -> Vec<Asked<'a>> {
    let largest = scope.largest(summary);
    let here = |key: &CellKey| key.services == largest && scope.holds(key);
    let cells = Cells::within(run, here);
    measures(summary, scope)
        .into_iter()
        .filter(|measure| {
            matches!(
                measure.metric,
                Metric::Latency | Metric::UpdateTime | Metric::SyncTime | Metric::KernelMemory
            )
        })
        .map(|measure| Asked {
            answers: answers(&cells, &measure),
            measure,
        })
        .collect()
}

fn answers<'a>(cells: &Cells<'_>, measure: &Measure<'a>) -> BTreeMap<Mode, Answer<'a>> {
    let all: Vec<&Row> = measure.rows.values().copied().collect();
    let lowest = measure.lowest();
    let numbers = all
        .iter()
        .filter(|row| !row.key.mode.is_floor() && row.median.is_some());
    let rivals = numbers.count() > 1;
    let answer = |row: &'a Row| {
        let serving = !row.key.mode.is_floor() && row.median.is_some();
        let times = lowest
            .filter(|lowest| serving && lowest.key.mode != row.key.mode)
            .and_then(|lowest| ratio(cells, &row.key, &lowest.key, measure.metric));
        let standing = lowest.filter(|_| serving).and_then(|lowest| {
            Some(if is_lowest(row, &all) {
                Standing::Lowest
            } else if !rivals {
                return None;
            } else if order(lowest, row) == Some(Less) {
                Standing::Higher
            } else {
                Standing::Level
            })
        });
        let floor = |floor: Mode| {
            let wanted = measure.metric == Metric::Latency && row.key.mode > floor;
            let base = floor_of(cells, &row.key, floor).filter(|_| wanted && row.median.is_some());
            ratio(cells, &row.key, base?, Metric::Latency)
        };
        Answer {
            row,
            times,
            standing,
            floors: [floor(Mode::None), floor(Mode::Conntrack)],
        }
    };
    measure
        .rows
        .iter()
        .map(|(mode, row)| (*mode, answer(row)))
        .collect()
}

/// The long form of a question, as the tables have it.
#[must_use]
pub(crate) fn in_full(measure: &Measure<'_>) -> String {
    if UPDATES.contains(&measure.scenario) && measure.metric != Metric::KernelMemory {
        return measure.short();
    }
    let question = Question {
        scenario: measure.scenario,
        metric: measure.metric,
        options: measure.options.clone(),
    };
    question.text(measure.services)
}
