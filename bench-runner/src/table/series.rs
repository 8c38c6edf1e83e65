//! The rows: modes, each as often as it is laid out or programmed in another way.

use std::collections::BTreeSet;

use schema::summary::Row;
use schema::{CellKey, Engine, Mode, OptionKey, Options, Transport};

/// A mode, laid out and programmed in one way.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Series {
    rules: Rules,
    transport: Option<Transport>,
    /// Whether cells that do not say a transport are shown here: in the first series of their rules.
    first: bool,
}

/// What is installed, however it gets there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Rules {
    mode: Mode,
    engine: Option<Engine>,
    /// Versions of kube-proxy that have them.
    kube_proxy: Option<String>,
}

impl Rules {
    fn of(mode: Mode, options: &Options) -> Self {
        Self {
            mode,
            engine: options.engine(),
            kube_proxy: options.get(OptionKey::KubeProxy).map(str::to_owned),
        }
    }
}

/// Every mode and way of programming it that these rows have.
pub(super) fn series(rows: &[&Row]) -> Vec<Series> {
    let mut found: BTreeSet<(Rules, Option<Transport>)> = BTreeSet::new();
    for row in rows {
        let options = &row.key.options;
        found.insert((Rules::of(row.key.mode, options), options.transport()));
    }
    let mut series: Vec<Series> = Vec::new();
    for (rules, transport) in &found {
        let programmed = found.iter().any(|(r, t)| r == rules && t.is_some());
        if transport.is_none() && programmed {
            continue;
        }
        series.push(Series {
            rules: rules.clone(),
            transport: *transport,
            first: !series.iter().any(|s| s.rules == *rules),
        });
    }
    series
}

impl Series {
    pub(super) fn holds(&self, key: &CellKey) -> bool {
        let transport = key.options.transport();
        Rules::of(key.mode, &key.options) == self.rules
            && (transport == self.transport || (transport.is_none() && self.first))
    }

    /// The mode, and how it is laid out and programmed where it is so in several ways.
    pub(super) fn name(&self, all: &[Self]) -> String {
        let Rules {
            mode,
            engine,
            kube_proxy,
        } = &self.rules;
        let mine = || all.iter().filter(|other| other.rules.mode == *mode);
        let layouts = mine().any(|other| other.rules.kube_proxy != *kube_proxy);
        let transports = mine().any(|other| other.transport != self.transport);
        let engines = mine().any(|other| other.rules.engine != *engine);
        let words = [
            kube_proxy.as_deref().filter(|_| layouts),
            self.transport.map(Transport::name).filter(|_| transports),
            engine.map(Engine::name).filter(|_| engines),
        ];
        let words = [Some(mode.name())].into_iter().chain(words).flatten();
        words.collect::<Vec<_>>().join("/")
    }
}
