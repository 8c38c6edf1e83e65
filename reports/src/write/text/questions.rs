//! The columns: what was asked, one question a column, in topics.

use schema::summary::Row;
use schema::{Ask, CellKey, ONE_TRANSACTION, OptionKey, Options, Place, ScenarioKind, Topic};

/// Scenarios whose questions stand beside each other.
pub(super) const TOPICS: [Topic; 3] = [Topic::Updates, Topic::Packets, Topic::Holdings];

/// A question.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) scenario: ScenarioKind,
    pub(super) ask: &'static Ask,
    /// The options that ask: not how the mode is programmed.
    pub(super) asked: Options,
}

/// The questions of a topic that anyone was asked, as they lie.
pub(super) fn columns(rows: &[&Row], topic: Topic) -> Vec<Column> {
    let mut columns: Vec<Column> = Vec::new();
    let scenarios = ScenarioKind::ALL.iter().copied();
    for scenario in scenarios.filter(|kind| kind.row().topic == topic) {
        let mine = || rows.iter().filter(|row| row.key.scenario == scenario);
        let mut shapes: Vec<Options> = mine().map(|row| row.key.options.told()).collect();
        shapes.sort_by_cached_key(Options::place);
        shapes.dedup();
        for shape in shapes {
            let so = || mine().filter(|row| row.key.options.told() == shape);
            let mut asks = scenario.asked_at(Place::Terminal);
            let first = asks.find(|ask| (ask.of)(&shape));
            for ask in scenario.asked_at(Place::Terminal) {
                // What no mode has is no question of this run; where nothing was measured cells stand for the first.
                let anyone = so().any(|row| row.metric == Some(ask.metric));
                let is_first = first.is_some_and(|first| first.metric == ask.metric);
                if anyone || is_first && so().all(|row| row.metric.is_none()) {
                    columns.push(Column {
                        scenario,
                        ask,
                        asked: shape.clone(),
                    });
                }
            }
        }
    }
    columns
}

impl Column {
    /// Whether a cell is asked this scenario's questions with these options.
    pub(super) fn holds(&self, key: &CellKey) -> bool {
        key.scenario == self.scenario && key.options.told() == self.asked
    }

    /// The two lines above it.
    pub(super) fn heading(&self) -> [String; 2] {
        let keys = [
            OptionKey::Protocol,
            OptionKey::Position,
            OptionKey::Chunk,
            OptionKey::Churn,
            OptionKey::Scaled,
            OptionKey::ScaledTo,
            OptionKey::TrackedFlows,
            OptionKey::OpenFlows,
            OptionKey::Rate,
            OptionKey::PossibleCpus,
            OptionKey::Cache,
            OptionKey::Maxelem,
            OptionKey::Reader,
            OptionKey::Sets,
        ];
        let values = keys.iter().filter_map(|key| {
            let value = self.asked.get(*key)?;
            Some(match key {
                OptionKey::Chunk if value == ONE_TRANSACTION => "all at once".to_owned(),
                OptionKey::Chunk => format!("by {value}"),
                OptionKey::PossibleCpus => format!("{value} CPUs"),
                OptionKey::Churn
                | OptionKey::Scaled
                | OptionKey::ScaledTo
                | OptionKey::TrackedFlows
                | OptionKey::OpenFlows
                | OptionKey::Rate
                | OptionKey::Sets
                | OptionKey::Maxelem => key.words(value),
                _ => value.to_owned(),
            })
        });
        let words = [self.ask.column.to_owned()].into_iter().chain(values);
        let words: Vec<String> = words.filter(|word| !word.is_empty()).collect();
        [self.scenario.to_string(), words.join(" ")]
    }
}
