//! Environments and variants side by side: the same mode at the same size, on each kernel of the run and in
//! each of its variants. The only place where two of them stand beside each other: as figures, never as a
//! ratio, a rank or a verdict, because what differs between two kernels is more than one thing (variants
//! are judged by `compare`).

use std::collections::{BTreeMap, BTreeSet};

use schema::summary::{Row, Summary};
use schema::{Metric, Mode, Options, ScenarioKind};

use crate::quantity::whole;
use crate::scope::{CONTROL, chunk_order, option, place, varying, way};
use crate::update_table::{UPDATES, update_text};

/// One number of endpoints at its largest size.
#[derive(Debug, Clone)]
pub struct SideBySide<'a> {
    /// N.
    pub services: u32,
    /// Endpoints of each service.
    pub endpoints: u32,
    /// Columns, in the summary's order.
    pub columns: Vec<Column>,
    /// Rows.
    pub lines: Vec<Line<'a>>,
}

/// An environment, or one variant of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Column {
    /// Name of the environment.
    pub environment: String,
    /// Variant; "" in a run without variants.
    pub variant: String,
}

impl Column {
    /// "guest-6.1", "host, head".
    #[must_use]
    pub fn name(&self) -> String {
        match self.variant.as_str() {
            "" => self.environment.clone(),
            variant => format!("{}, {variant}", self.environment),
        }
    }
}

/// One mode, asked one thing, in every column.
#[derive(Debug, Clone)]
pub struct Line<'a> {
    /// The question as words.
    pub question: String,
    /// What is asked.
    pub scenario: ScenarioKind,
    /// What is shown of it.
    pub metric: Metric,
    /// Mode.
    pub mode: Mode,
    /// All options of the cell, the way in which the mode is programmed among them.
    pub options: Options,
    /// One cell a column; `None`: it was not planned there.
    pub cells: Vec<Option<&'a Row>>,
}

impl Line<'_> {
    /// The mode, and how it is programmed.
    #[must_use]
    pub fn series(&self) -> String {
        match way(&self.options) {
            through if through.is_empty() => self.mode.to_string(),
            through => format!("{} ({through})", self.mode),
        }
    }
}

/// The metric by which environments are seen side by side in a scenario: what is asked first.
const fn shown(scenario: ScenarioKind) -> Option<Metric> {
    match scenario {
        ScenarioKind::ColdInstall
        | ScenarioKind::Resync
        | ScenarioKind::ServiceAdd
        | ScenarioKind::ServiceRemove
        | ScenarioKind::EndpointChurn
        | ScenarioKind::Teardown => Some(Metric::UpdateTime),
        ScenarioKind::FirstPacket => Some(Metric::Latency),
        ScenarioKind::Memory => Some(Metric::KernelMemory),
        // What is listed is the same everywhere.
        ScenarioKind::RuleCount => None,
    }
}

/// The tables of a summary, one for each number of endpoints; none with a single column.
#[must_use]
pub fn side_by_side(summary: &Summary) -> Vec<SideBySide<'_>> {
    let ordinary = summary.cells.iter().filter(|r| r.key.variant != CONTROL);
    let columns: BTreeSet<Column> = ordinary
        .map(|row| Column {
            environment: row.key.environment.clone(),
            variant: row.key.variant.clone(),
        })
        .collect();
    let columns: Vec<Column> = columns.into_iter().collect();
    if columns.len() < 2 {
        return Vec::new();
    }
    let mut largest: BTreeMap<u32, u32> = BTreeMap::new();
    for row in &summary.cells {
        let most = largest.entry(row.key.endpoints).or_default();
        *most = row.key.services.max(*most);
    }
    let tables = largest.into_iter().map(|(endpoints, services)| SideBySide {
        services,
        endpoints,
        lines: lines(summary, &columns, services, endpoints),
        columns: columns.clone(),
    });
    tables.filter(|table| !table.lines.is_empty()).collect()
}

fn lines<'a>(
    summary: &'a Summary,
    columns: &[Column],
    services: u32,
    endpoints: u32,
) -> Vec<Line<'a>> {
    let here = || {
        summary.cells.iter().filter(|row| {
            row.key.services == services
                && row.key.endpoints == endpoints
                && row.key.variant != CONTROL
        })
    };
    let varying = varying(here());
    let mut lines: Vec<Line<'a>> = Vec::new();
    for row in here() {
        let key = &row.key;
        let Some(metric) = shown(key.scenario).filter(|m| row.metric.is_none_or(|r| r == *m))
        else {
            continue;
        };
        let mine = |c: &Column| (&c.environment, &c.variant) == (&key.environment, &key.variant);
        let Some(column) = columns.iter().position(mine) else {
            continue;
        };
        let same = |line: &Line<'_>| {
            (line.scenario, line.mode, &line.options) == (key.scenario, key.mode, &key.options)
        };
        let at = lines.iter().position(same).unwrap_or_else(|| {
            let mut asked = key.options.clone();
            asked.retain(|name, _| {
                name == "churn" || varying.contains(&(key.scenario, name.clone()))
            });
            lines.push(Line {
                question: question(key.scenario, services, &asked),
                scenario: key.scenario,
                metric,
                mode: key.mode,
                options: key.options.clone(),
                cells: vec![None; columns.len()],
            });
            lines.len() - 1
        });
        lines[at].cells[column] = Some(row);
    }
    lines.sort_by_key(order);
    lines
}

fn question(scenario: ScenarioKind, services: u32, asked: &Options) -> String {
    let mut asked = asked.clone();
    asked.retain(|name, _| !matches!(name.as_str(), "transport" | "engine"));
    if UPDATES.contains(&scenario) {
        return update_text(scenario, &asked);
    }
    let words: Vec<String> = asked.iter().map(|(k, v)| option(k, v)).collect();
    let what = match scenario {
        ScenarioKind::FirstPacket => "First packet".to_owned(),
        ScenarioKind::Memory => format!("Kernel memory of {} services", whole(services.into())),
        other => other.to_string(),
    };
    match words.is_empty() {
        true => what,
        false => format!("{what}, {}", words.join(", ")),
    }
}

/// Updates before packets before memory; modes of one question together, in their fixed order.
fn order(line: &Line<'_>) -> impl Ord + use<> {
    let of = |name: &str| line.options.get(name).map(String::as_str);
    let asks = (
        of("protocol").map(str::to_owned),
        place(of("position")),
        chunk_order(of("chunk")),
        of("churn").map(str::to_owned),
    );
    (line.scenario, asks, line.mode, line.options.clone())
}
