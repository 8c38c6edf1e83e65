//! Environments and variants side by side: the same mode at the same size, on each kernel and in each variant of
//! the run. The only place where two environments stand beside each other: as figures, never as a ratio, a
//! rank or a verdict, because what differs between two kernels is more than one thing. Variants are compared
//! by `compare`, which knows how far apart they must be.

use std::collections::{BTreeMap, BTreeSet};

use schema::summary::{Row, Summary};
use schema::{CONTROL, Metric, Mode, Options, ScenarioKind, filled};

use super::question::{asking, varying};
use super::words::programmed;
use crate::quantity::whole;

/// One number of endpoints at its largest size.
#[derive(Debug, Clone)]
pub struct SideBySide<'a> {
    /// N.
    pub services: u32,
    /// Endpoints of each service.
    pub endpoints: u32,
    /// What the columns are.
    pub of: Columns,
    /// Names of the columns: of environments in the summary's order, of variants in that of their names.
    pub columns: Vec<String>,
    /// Rows.
    pub lines: Vec<Line<'a>>,
}

/// What stands side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Columns {
    /// Environments, with kernels of their own.
    Kernels,
    /// Environments of several runs on one kernel.
    Runs,
    /// Variants, of which each may have environments of its own.
    Variants,
}

impl Columns {
    /// A heading, the name of one, where its figures are, and why nothing is judged.
    const fn words(self) -> [&'static str; 4] {
        match self {
            Self::Kernels => [
                "Kernels",
                "kernel",
                "on each kernel",
                "kernels differ by more than one thing, so no ratio is drawn and nothing is ranked between them.",
            ],
            Self::Runs => [
                "Runs",
                "run",
                "in each run",
                "whether runs differ is what `bench-runner compare` says of two.",
            ],
            Self::Variants => [
                "Variants",
                "variant",
                "in each variant",
                "whether variants differ is what `bench-runner compare` says of the run.",
            ],
        }
    }

    /// As a heading: "Kernels".
    #[must_use]
    pub const fn title(self) -> &'static str {
        self.words()[0]
    }

    /// One of them: "kernel".
    #[must_use]
    pub const fn one(self) -> &'static str {
        self.words()[1]
    }

    /// What a reader must know of the table.
    pub(crate) fn caption(self) -> String {
        let [_, _, place, alone] = self.words();
        format!(
            "Medians of stays with 95 % intervals, of fewer than six stays their range, each mode {place}. Figures only: {alone}"
        )
    }
}

/// One mode, asked one thing, in every environment.
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
    /// One cell a column, in their order; `None`: it was not planned there.
    pub cells: Vec<Option<&'a Row>>,
}

impl Line<'_> {
    /// The mode, and how it is programmed.
    #[must_use]
    pub fn series(&self) -> String {
        programmed(self.mode, &self.options)
    }
}

/// A column: variant and environment of its cells.
type Place = (String, String);

/// The columns of a summary, and what they are.
fn places(summary: &Summary) -> (Columns, Vec<Place>) {
    let keys = summary.cells.iter().map(|row| &row.key);
    let variants: BTreeSet<Place> = keys
        .filter(|key| !key.variant.is_empty() && key.variant != CONTROL)
        .map(|key| (key.variant.clone(), key.environment.clone()))
        .collect();
    if !variants.is_empty() {
        return (Columns::Variants, variants.into_iter().collect());
    }
    let environments = &summary.environments;
    let kernels: BTreeSet<&str> = environments.values().map(|of| of.kernel.as_str()).collect();
    let of = match kernels.len() {
        1 => Columns::Runs,
        _ => Columns::Kernels,
    };
    let places = environments.keys();
    (
        of,
        places.map(|name| (String::new(), name.clone())).collect(),
    )
}

/// The tables of a summary, one for each number of endpoints; none with a single environment and variant.
#[must_use]
pub fn side_by_side(summary: &Summary) -> Vec<SideBySide<'_>> {
    let (of, places) = places(summary);
    if places.len() < 2 {
        return Vec::new();
    }
    let one_environment = places.iter().all(|(_, name)| *name == places[0].1);
    let name = |(variant, environment): &Place| match of {
        Columns::Kernels | Columns::Runs => environment.clone(),
        Columns::Variants if one_environment => variant.clone(),
        Columns::Variants => format!("{variant} on {environment}"),
    };
    let mut largest: BTreeMap<u32, u32> = BTreeMap::new();
    for row in &summary.cells {
        let most = largest.entry(row.key.endpoints).or_default();
        *most = row.key.services.max(*most);
    }
    let tables = largest.into_iter().map(|(endpoints, services)| SideBySide {
        services,
        endpoints,
        of,
        lines: lines(summary, &places, services, endpoints),
        columns: places.iter().map(name).collect(),
    });
    // Variants with sizes or endpoints of their own have nothing beside them.
    let several = |table: &SideBySide<'_>| {
        let in_column = |at: usize| table.lines.iter().any(|line| line.cells[at].is_some());
        of != Columns::Variants || (0..places.len()).filter(|at| in_column(*at)).count() > 1
    };
    tables
        .filter(|table| !table.lines.is_empty() && several(table))
        .collect()
}

fn lines<'a>(
    summary: &'a Summary,
    places: &[Place],
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
        let mut asked = key.scenario.asked_at(schema::Place::SideBySide);
        let asked = asked.find(|ask| row.metric.is_none_or(|own| own == ask.metric));
        let place = (&key.variant, &key.environment);
        let column = places.iter().position(|(v, e)| (v, e) == place);
        let (Some(metric), Some(column)) = (asked.map(|ask| ask.metric), column) else {
            continue;
        };
        let same = |line: &Line<'_>| {
            (line.scenario, line.mode, &line.options) == (key.scenario, key.mode, &key.options)
        };
        let at = lines.iter().position(same).unwrap_or_else(|| {
            let words = key.scenario.row().words;
            lines.push(Line {
                question: filled(words, &whole(services.into()), &asking(key, &varying)),
                scenario: key.scenario,
                metric,
                mode: key.mode,
                options: key.options.clone(),
                cells: vec![None; places.len()],
            });
            lines.len() - 1
        });
        lines[at].cells[column] = Some(row);
    }
    // Updates before packets before memory; modes of one question together, in their fixed order.
    lines.sort_by_cached_key(|line| {
        (
            line.scenario,
            line.options.place(),
            line.mode,
            line.options.clone(),
        )
    });
    lines
}
