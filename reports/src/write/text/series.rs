//! The rows: modes, each as often as it is laid out or programmed in another way.

use std::collections::BTreeSet;

use schema::summary::Row;
use schema::{CellKey, Engine, Mode, OptionKey, Options, Place, Transport};

/// A mode, laid out and programmed in one way.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Series {
    rules: Rules,
    transport: Option<Transport>,
    /// The period of a real kube-proxy.
    period: Option<String>,
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
    /// Whose tools put them there.
    tools: Option<String>,
}

fn period(options: &Options) -> Option<String> {
    options.get(OptionKey::MinSyncPeriod).map(str::to_owned)
}

impl Rules {
    fn of(mode: Mode, options: &Options) -> Self {
        Self {
            mode,
            engine: options.engine(),
            kube_proxy: options.get(OptionKey::KubeProxy).map(str::to_owned),
            tools: options.get(OptionKey::Suite).map(str::to_owned),
        }
    }
}

/// Every mode and way of programming it that these rows have.
pub(super) fn series(rows: &[&Row]) -> Vec<Series> {
    let mut found: BTreeSet<(Rules, Option<Transport>, Option<String>)> = BTreeSet::new();
    let asked = |row: &&&Row| row.key.scenario.asked_at(Place::Terminal).next().is_some();
    for row in rows.iter().filter(asked) {
        let options = &row.key.options;
        let rules = Rules::of(row.key.mode, options);
        found.insert((rules, options.transport(), period(options)));
    }
    let mut series: Vec<Series> = Vec::new();
    for (rules, transport, period) in &found {
        let programmed = found.iter().any(|(r, t, _)| r == rules && t.is_some());
        if transport.is_none() && programmed {
            continue;
        }
        series.push(Series {
            rules: rules.clone(),
            transport: *transport,
            period: period.clone(),
            first: !series.iter().any(|s| s.rules == *rules),
        });
    }
    series
}

impl Series {
    /// Whether a kube-proxy has a sync of it.
    pub(super) fn has_kube_proxy(&self) -> bool {
        !self.rules.mode.row().constructed
    }

    pub(super) fn holds(&self, key: &CellKey) -> bool {
        let transport = key.options.transport();
        Rules::of(key.mode, &key.options) == self.rules
            && (transport == self.transport && period(&key.options) == self.period
                || (transport.is_none() && self.first))
    }

    /// The mode, and how it is laid out and programmed where it is so in several ways.
    pub(super) fn name(&self, all: &[Self]) -> String {
        let Rules {
            mode,
            engine,
            kube_proxy,
            tools,
        } = &self.rules;
        let mine = || all.iter().filter(|other| other.rules.mode == *mode);
        let layouts = mine().any(|other| other.rules.kube_proxy != *kube_proxy);
        let suites = mine().any(|other| other.rules.tools != *tools);
        let other_way = |other: &&Self| other.transport.is_some_and(|t| Some(t) != self.transport);
        let transports = mine().any(|other| other_way(&other));
        let periods =
            mine().any(|other| other.transport == self.transport && other.period != self.period);
        let engines = mine().any(|other| other.rules.engine != *engine);
        let words = [
            kube_proxy.as_deref().filter(|_| layouts),
            tools.as_deref().filter(|_| suites),
            self.transport.map(Transport::name).filter(|_| transports),
            self.period.as_deref().filter(|_| periods),
            engine.map(Engine::name).filter(|_| engines),
        ];
        let words = [Some(mode.name())].into_iter().chain(words).flatten();
        words.collect::<Vec<_>>().join("/")
    }
}
