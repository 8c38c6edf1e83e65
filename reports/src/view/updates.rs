//! Scenario × mode: what each kind of rule update takes at one size. The model of the table that
//! `summary.md` and the page show: every cell has a figure or says why it has none.

use std::collections::{BTreeMap, BTreeSet};

use schema::summary::{Row, Summary};
use schema::{Metric, Mode, OptionKey, Options, ScenarioKind, filled};

use super::Scope;
use super::question::{asking, varying};
use super::words::way;

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
    let rows = scope.rows(summary);
    let rows: Vec<&Row> = rows.filter(|row| row.key.scenario.is_update()).collect();
    let varying = varying(scope.rows(summary));
    let had: BTreeSet<(Mode, u32)> = (rows.iter())
        .map(|row| (row.key.mode, row.key.services))
        .collect();
    let modes: BTreeSet<Mode> = had.iter().map(|(mode, _)| *mode).collect();
    let sizes: BTreeSet<u32> = had.iter().map(|(_, size)| *size).collect();
    let by_all = |size: &&u32| modes.iter().all(|mode| had.contains(&(*mode, **size)));
    let mut shown: Vec<u32> = sizes
        .iter()
        .rev()
        .find(by_all)
        .copied()
        .into_iter()
        .collect();
    shown.extend(sizes.last());
    shown.dedup();
    let table = |services: u32| UpdateTable {
        services,
        beyond: sizes.range(services + 1..).copied().collect(),
        modes: modes.iter().copied().collect(),
        lines: lines(&rows, &modes, services, &varying),
    };
    shown.into_iter().map(table).collect()
}

fn lines<'a>(
    rows: &[&'a Row],
    modes: &BTreeSet<Mode>,
    services: u32,
    varying: &BTreeSet<(ScenarioKind, OptionKey)>,
) -> Vec<Line<'a>> {
    let mut found: BTreeMap<_, BTreeMap<Mode, Vec<&'a Row>>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.key.services == services) {
        let options = asking(&row.key, varying);
        let line = found.entry((row.key.scenario, options.chunk(), options));
        let cells = line.or_default().entry(row.key.mode).or_default();
        cells.push(row);
    }
    let line = |((scenario, _, options), cells): (_, BTreeMap<Mode, Vec<&'a Row>>)| Line {
        scenario,
        options,
        cells: (modes.iter())
            .map(|mode| cells.get(mode).map_or_else(Vec::new, |rows| answers(rows)))
            .collect(),
    };
    found.into_iter().map(line).collect()
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
