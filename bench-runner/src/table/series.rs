//! The rows: modes, each as often as it is programmed in another way.

use std::collections::BTreeSet;

use schema::summary::Row;
use schema::{CellKey, Engine, Mode, Transport};

/// A mode, programmed in one way.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Series {
    mode: Mode,
    engine: Option<Engine>,
    transport: Option<Transport>,
    /// Whether cells that do not say a transport are shown here: in the first series of their engine.
    first: bool,
}

/// Every mode and way of programming it that these rows have.
pub(super) fn series(rows: &[&Row]) -> Vec<Series> {
    let mut found: BTreeSet<(Mode, Option<Engine>, Option<Transport>)> = BTreeSet::new();
    for row in rows {
        let options = &row.key.options;
        found.insert((row.key.mode, options.engine(), options.transport()));
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
            engine: *engine,
            transport: *transport,
            first: !series
                .iter()
                .any(|s| s.mode == *mode && s.engine == *engine),
        });
    }
    series
}

impl Series {
    pub(super) fn holds(&self, key: &CellKey) -> bool {
        let transport = key.options.transport();
        key.mode == self.mode
            && key.options.engine() == self.engine
            && (transport == self.transport || (transport.is_none() && self.first))
    }

    /// The mode, and how it is programmed where it is so in several ways.
    pub(super) fn name(&self, all: &[Self]) -> String {
        let mine = || all.iter().filter(|other| other.mode == self.mode);
        let transport = mine().any(|other| other.transport != self.transport);
        let engine = mine().any(|other| other.engine != self.engine);
        let words = [
            self.transport.map(Transport::name).filter(|_| transport),
            self.engine.map(Engine::name).filter(|_| engine),
        ];
        let words = [Some(self.mode.name())].into_iter().chain(words).flatten();
        words.collect::<Vec<_>>().join("/")
    }
}
