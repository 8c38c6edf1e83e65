//! The rows: modes, each as often as it is programmed in another way.

use std::collections::BTreeSet;

use schema::summary::Row;
use schema::{CellKey, Mode};

/// A mode, programmed in one way.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Series {
    mode: Mode,
    engine: Option<String>,
    transport: Option<String>,
    /// Whether cells that do not say a transport are shown here: in the first series of their engine.
    first: bool,
}

/// Every mode and way of programming it that these rows have.
pub(super) fn series(rows: &[&Row]) -> Vec<Series> {
    let mut found: BTreeSet<(Mode, Option<String>, Option<String>)> = BTreeSet::new();
    for row in rows {
        let of = |name: &str| row.key.options.get(name).cloned();
        found.insert((row.key.mode, of("engine"), of("transport")));
    }
    let mut series: Vec<Series> = Vec::new();
    for (mode, engine, transport) in &found {
        let programmed = found
            .iter()
            .any(|(m, e, t)| m == mode && e == engine && t.is_some());
        if transport.is_none() && programmed {
            continue;
        }
        series.push(Series {
            mode: *mode,
            engine: engine.clone(),
            transport: transport.clone(),
            first: !series
                .iter()
                .any(|s| s.mode == *mode && s.engine == *engine),
        });
    }
    series
}

impl Series {
    pub(super) fn holds(&self, key: &CellKey) -> bool {
        let transport = key.options.get("transport");
        key.mode == self.mode
            && key.options.get("engine") == self.engine.as_ref()
            && (transport == self.transport.as_ref() || (transport.is_none() && self.first))
    }

    /// The mode, and how it is programmed where it is so in several ways.
    pub(super) fn name(&self, all: &[Self]) -> String {
        let mine = || all.iter().filter(|other| other.mode == self.mode);
        let mut name = self.mode.to_string();
        for (differs, word) in [
            (
                mine().any(|o| o.transport != self.transport),
                &self.transport,
            ),
            (mine().any(|o| o.engine != self.engine), &self.engine),
        ] {
            if let Some(word) = word.as_ref().filter(|_| differs) {
                name.push('/');
                name.push_str(word);
            }
        }
        name
    }
}
