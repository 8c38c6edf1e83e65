//! What is asked of every mode alike.

use std::collections::{BTreeMap, BTreeSet};

use schema::summary::Row;
use schema::{CellKey, Metric, OptionKey, Options, Role, ScenarioKind, filled};

use crate::quantity::whole;

/// Options that take more than one value in a scenario, with the scenario: the only ones worth naming.
pub(crate) fn varying<'a>(
    rows: impl Iterator<Item = &'a Row>,
) -> BTreeSet<(ScenarioKind, OptionKey)> {
    let mut values: BTreeMap<(ScenarioKind, OptionKey), BTreeSet<&str>> = BTreeMap::new();
    for row in rows {
        for (key, value) in row.key.options.iter() {
            let seen = values.entry((row.key.scenario, key)).or_default();
            seen.insert(value);
        }
    }
    let several = values.into_iter().filter(|(_, seen)| seen.len() > 1);
    several.map(|(place, _)| place).collect()
}

/// The options by which a cell asks another question than others: those that always do, and of the others those that
/// differ. Never those that say how its mode is programmed.
pub(crate) fn asking(key: &CellKey, varying: &BTreeSet<(ScenarioKind, OptionKey)>) -> Options {
    key.options.only(|option| match option.role() {
        Role::Way => false,
        Role::Asks => true,
        Role::Cuts | Role::Around => {
            varying.contains(&(key.scenario, option)) || key.options.is_unusual(option)
        }
    })
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
        let same = |(option, value): (OptionKey, &str)| key.options.is(option, value);
        key.scenario == self.scenario && self.options.iter().all(same)
    }

    /// The question as a phrase, at a size.
    #[must_use]
    pub fn text(&self, services: u32) -> String {
        let ask = self.scenario.ask(self.metric);
        let words = ask.map_or(self.scenario.row().words, |ask| ask.text);
        filled(words, &whole(services.into()), &self.options)
    }
}
