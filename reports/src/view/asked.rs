//! What is asked of scopes that stand beside each other: nodes of two families, services of several types.

use schema::summary::{Row, Summary};
use schema::{Metric, ScenarioKind};

use super::Scope;
use crate::quantity::whole;

/// The questions, in the order of the tables; memory is that of [`Scope::weighing`].
const ASKED: [(ScenarioKind, Metric); 7] = [
    (ScenarioKind::FirstPacket, Metric::Latency),
    (ScenarioKind::ServiceAdd, Metric::UpdateTime),
    (ScenarioKind::ServiceAdd, Metric::SyncTime),
    (ScenarioKind::ColdInstall, Metric::UpdateTime),
    (ScenarioKind::ColdInstall, Metric::KernelMemory),
    (ScenarioKind::Memory, Metric::KernelMemory),
    (ScenarioKind::RuleCount, Metric::Rules),
];

/// A row that answers one of them, or says why a cell has no numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AskedRow<'a> {
    /// Where the question stands.
    pub(crate) place: usize,
    /// What is asked.
    pub(crate) metric: Metric,
    /// The answer.
    pub(crate) row: &'a Row,
}

/// The answers of a scope at a size.
pub(crate) fn asked<'a>(scope: &Scope, summary: &'a Summary, services: u32) -> Vec<AskedRow<'a>> {
    let (shown, weighing) = (scope.shown(summary), scope.weighing(summary));
    let mut found = Vec::new();
    let rows = summary.cells.iter();
    for row in rows.filter(|row| row.key.services == services && scope.holds(&row.key)) {
        let (key, options) = (&row.key, &row.key.options);
        for (place, (scenario, metric)) in ASKED.into_iter().enumerate() {
            let weighed = metric == Metric::KernelMemory;
            let asked = scenario == key.scenario
                && shown.holds(options)
                && (!weighed || scenario == weighing)
                && (!weighed || scope.shows_memory(summary, key.mode, options));
            // A cell without numbers stands once, for what is asked of it first.
            let first = ASKED.iter().position(|(own, _)| *own == scenario);
            let answers = match row.metric {
                Some(own) => own == metric,
                None => first == Some(place) && !weighed,
            };
            if asked && answers {
                found.push(AskedRow { place, metric, row });
            }
        }
    }
    found
}

/// The question of a row as words, at its size.
pub(crate) fn text(asked: &AskedRow<'_>) -> String {
    let key = &asked.row.key;
    let ask = key.scenario.ask(asked.metric);
    let words = ask.map_or(key.scenario.row().words, |ask| ask.text);
    schema::filled(words, &whole(key.services.into()), &key.options.told())
}
