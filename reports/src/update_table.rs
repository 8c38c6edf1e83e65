//! Scenario × mode: what each kind of rule update takes at one size. The model of the table that
//! `summary.md` and the page show: every cell has a figure or says why it has none.

use schema::summary::{Row, Summary};
use schema::{Metric, Mode, Options, ScenarioKind, Unit, filled};

use crate::quantity::value;
use crate::scope::{Scope, asking, instead, lower_bound, varying, way};

/// What is counted beside the time of an update, each with what it is called in a cell.
pub const COUNTED: &[(Metric, &str)] = &[
    (Metric::Messages, "messages"),
    (Metric::BytesSent, "handed over"),
    (Metric::Operations, "operations"),
];

/// The table at one size.
#[derive(Debug, Clone)]
pub struct UpdateTable<'a> {
    /// N.
    pub services: u32,
    /// Larger sizes that some mode does not have; empty when every mode has the largest.
    pub beyond: Vec<u32>,
    /// Columns: the modes that have rule updates.
    pub modes: Vec<Mode>,
    /// Rows.
    pub lines: Vec<Line<'a>>,
}

/// One row: the same update in every mode.
#[derive(Debug, Clone)]
pub struct Line<'a> {
    /// Scenario.
    pub scenario: ScenarioKind,
    /// Options in which rows of the scenario differ.
    pub options: Options,
    /// One cell a mode, in the order of the columns: one answer for each way in which the mode was
    /// programmed. Empty: no such cell was planned.
    pub cells: Vec<Vec<Answer<'a>>>,
}

/// What one way of programming a mode took.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// Its update time, or the row that says why it has none.
    pub time: &'a Row,
    /// Its sync time, where kube-proxy has such a mode.
    pub sync: Option<&'a Row>,
    /// What was released after its answer, where that is not inside its update time.
    pub release: Option<&'a Row>,
    /// What was counted, in the order of [`COUNTED`]; `None` where the scenario does not count it.
    pub counted: [Option<&'a Row>; 3],
}

impl Answer<'_> {
    /// How the mode was programmed, as words.
    #[must_use]
    pub fn way(&self) -> String {
        way(&self.time.key.options)
    }
}

/// The tables of a scope: at the largest size that all its modes have, and at the largest of all where
/// some mode has no cells there. A mode *has* a size when an update was planned there: what timed out
/// or is unsupported there stays in the table. Empty without updates.
#[must_use]
pub fn update_tables<'a>(summary: &'a Summary, scope: &'a Scope) -> Vec<UpdateTable<'a>> {
    let rows: Vec<&Row> = scope
        .rows(summary)
        .filter(|row| row.key.scenario.is_update())
        .collect();
    let mut modes: Vec<Mode> = rows.iter().map(|row| row.key.mode).collect();
    modes.sort_unstable();
    modes.dedup();
    let mut sizes: Vec<u32> = rows.iter().map(|row| row.key.services).collect();
    sizes.sort_unstable();
    sizes.dedup();
    let has = |mode: &Mode, size: u32| {
        rows.iter()
            .any(|row| row.key.mode == *mode && row.key.services == size)
    };
    let shared = sizes
        .iter()
        .rev()
        .find(|size| modes.iter().all(|mode| has(mode, **size)));
    let mut shown: Vec<u32> = shared.into_iter().chain(sizes.last()).copied().collect();
    shown.dedup();
    shown
        .into_iter()
        .map(|services| UpdateTable {
            services,
            beyond: sizes.iter().copied().filter(|s| *s > services).collect(),
            lines: lines(&rows, &modes, services, summary, scope),
            modes: modes.clone(),
        })
        .collect()
}

fn lines<'a>(
    rows: &[&'a Row],
    modes: &[Mode],
    services: u32,
    summary: &'a Summary,
    scope: &'a Scope,
) -> Vec<Line<'a>> {
    let varying = varying(scope.rows(summary));
    let here: Vec<&Row> = rows
        .iter()
        .copied()
        .filter(|row| row.key.services == services)
        .collect();
    let shape = |row: &Row| (row.key.scenario, asking(&row.key, &varying));
    let mut shapes: Vec<(ScenarioKind, Options)> = here.iter().map(|row| shape(row)).collect();
    shapes.sort_by_key(|(scenario, options)| (*scenario, options.chunk(), options.clone()));
    shapes.dedup();
    shapes
        .into_iter()
        .map(|(scenario, options)| {
            let of_mode = |mode: &Mode| {
                let mine: Vec<&Row> = here
                    .iter()
                    .copied()
                    .filter(|row| {
                        row.key.mode == *mode && shape(row) == (scenario, options.clone())
                    })
                    .collect();
                answers(&mine)
            };
            Line {
                scenario,
                cells: modes.iter().map(of_mode).collect(),
                options,
            }
        })
        .collect()
}

/// Rows of one mode in one line: one answer a cell.
fn answers<'a>(rows: &[&'a Row]) -> Vec<Answer<'a>> {
    rows.iter()
        .filter(|row| row.metric.is_none_or(|m| m == Metric::UpdateTime))
        .map(|time| {
            let of = |metric: Metric| {
                rows.iter()
                    .copied()
                    .find(|row| row.key == time.key && row.metric == Some(metric))
            };
            Answer {
                time,
                sync: of(Metric::SyncTime),
                release: of(Metric::ReleaseTime),
                counted: [of(COUNTED[0].0), of(COUNTED[1].0), of(COUNTED[2].0)],
            }
        })
        .collect()
}

impl Line<'_> {
    /// The update as words: "Add one service", "Install everything, transactions of 500".
    #[must_use]
    pub fn text(&self) -> String {
        filled(self.scenario.row().words, "", &self.options)
    }

    /// The rows of the update times, for telling the lowest.
    #[must_use]
    pub fn times(&self) -> Vec<&Row> {
        let answers = self.cells.iter().flatten();
        answers.map(|answer| answer.time).collect()
    }
}

/// Why an answer has no update time: outcome and reason, a time limit as the bound that it is.
#[must_use]
pub fn without_time(row: &Row) -> String {
    match lower_bound(row) {
        Some(bound) => format!("timed out: longer than {}", value(bound, Unit::Nanoseconds)),
        None => instead(row).to_owned(),
    }
}
