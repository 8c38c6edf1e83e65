//! What a table or chart is about: one environment, one number of endpoints, one variant, one family of a node, one kind of
//! services reached in one way, and the questions that its cells ask. Cells of different environments are never put side by
//! side.

pub(crate) mod asked;
pub mod brief;
mod cpus;
pub(crate) mod finding;
pub(crate) mod lists;
mod order;
mod question;
mod service_types;
mod side_by_side;
pub mod table;
pub(crate) mod trust;
pub(crate) mod words;

use std::collections::{BTreeMap, BTreeSet};

use schema::summary::{Finding, Fit, Over, Row, Summary};
use schema::{
    Accelerator, CONTROL, Cache, CellKey, Metric, Mode, NodeKind, ONE_TRANSACTION, OptionKey,
    Options, PacketPath, Place, Position, Reach, ReachedBy, ScenarioKind, Topic,
};

use crate::quantity::counted;

pub(crate) use cpus::by_cpus;
pub use lists::lists;
pub use order::{Standing, are_apart, as_ranked, is_lowest, known, lower_bound, order, ranked};
pub(crate) use order::{bar, has_bounds, known_of_fit, standing};
pub use question::Question;
pub use service_types::service_types;
pub use side_by_side::side_by_side;
pub use words::missing;
pub(crate) use words::{marks, series_names, spread, spread_of_fit};

use question::{asking, varying};

/// Whether anything is a time, in which chance has a part, and not a number of instructions.
pub(crate) fn is_timed(summary: &Summary) -> bool {
    executed_by(summary, Accelerator::TcgIcount).len() < summary.environments.len()
}

/// Names of the environments that it executes.
pub(crate) fn executed_by(summary: &Summary, accelerator: Accelerator) -> Vec<&str> {
    let all = summary.environments.iter();
    let of = all.filter(|(_, facts)| facts.accel == accelerator);
    of.map(|(name, _)| name.as_str()).collect()
}

/// One environment, one number of endpoints, one variant, one family of a node, and services of one kind reached in one way.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scope {
    /// Name of the environment.
    pub environment: String,
    /// Endpoints of each service.
    pub endpoints: u32,
    /// Name of the variant; "" in a run without any.
    pub variant: String,
    /// What the node serves, and which family of that is asked; `None` in a run whose nodes all serve IPv4 alone.
    pub node: Option<NodeKind>,
    /// What services are, and how packets reach them; `None` in a run whose services are all reached as ClusterIPs by a client.
    pub reach: Option<Reach>,
}

/// Whether scopes are named wherever they stand: there are several, or what the only one is of does not go without saying.
#[must_use]
pub fn are_named(scopes: &[Scope]) -> bool {
    let is_told = |scope: &Scope| scope.node.is_some() || scope.reach.is_some();
    scopes.len() > 1 || scopes.iter().any(is_told)
}

/// Whether any node of a summary serves something else than IPv4 alone.
fn tells_nodes(summary: &Summary) -> bool {
    let mut rows = summary.cells.iter();
    rows.any(|row| !row.key.options.node().is_ordinary())
}

/// Whether any services of a summary are, or are reached, otherwise than as ClusterIPs by a client.
fn tells_reach(summary: &Summary) -> bool {
    let mut rows = summary.cells.iter();
    rows.any(|row| {
        let options = &row.key.options;
        let said = |key: OptionKey| options.get(key).is_some();
        let ordinary = options.path() == PacketPath::default();
        !ordinary || said(OptionKey::ServiceType) || said(OptionKey::Reached)
    })
}

/// The scopes of a summary, the one with the most numbers first.
#[must_use]
pub fn scopes(summary: &Summary) -> Vec<Scope> {
    let mut measured: BTreeMap<Scope, usize> = BTreeMap::new();
    let (tells_nodes, tells_reach) = (tells_nodes(summary), tells_reach(summary));
    // The A/A control series is for the noise alone.
    let ordinary = |row: &&Row| row.key.variant != CONTROL && !lists::is_of_list(row);
    let rows = summary.cells.iter().filter(ordinary);
    let (floors, serving): (Vec<&Row>, Vec<&Row>) = rows.partition(|row| row.key.mode.is_floor());
    let of = |key: &CellKey| Scope {
        environment: key.environment.clone(),
        endpoints: key.endpoints,
        variant: key.variant.clone(),
        node: tells_nodes.then(|| key.options.node()),
        reach: tells_reach.then(|| key.options.reach()),
    };
    let numbers = |row: &Row| usize::from(row.metric.is_some());
    for row in serving {
        *measured.entry(of(&row.key)).or_default() += numbers(row);
    }
    // A floor has no services: it stands beside those of every kind, and alone where there are none.
    for row in floors {
        let own = of(&row.key);
        if !measured.keys().any(|scope| scope.holds(&row.key)) {
            measured.insert(own, 0);
        }
        let beside = measured
            .iter_mut()
            .filter(|(scope, _)| scope.holds(&row.key));
        beside.for_each(|(_, count)| *count += numbers(row));
    }
    let mut scopes: Vec<_> = measured.into_iter().collect();
    scopes.sort_by_key(|(_, measured)| std::cmp::Reverse(*measured));
    scopes.into_iter().map(|(scope, _)| scope).collect()
}

/// Items by what they have in common, in the order in which that was first seen.
pub(crate) fn grouped<K: PartialEq, V>(
    items: impl IntoIterator<Item = (K, V)>,
) -> Vec<(K, Vec<V>)> {
    let mut groups: Vec<(K, Vec<V>)> = Vec::new();
    for (key, item) in items {
        match groups.iter_mut().find(|(known, _)| *known == key) {
            Some((_, group)) => group.push(item),
            None => groups.push((key, vec![item])),
        }
    }
    groups
}

/// What sets scopes apart, as words for several of them: "environments", "combinations of environments and families of nodes".
#[must_use]
pub(crate) fn kinds(scopes: &[Scope]) -> String {
    let differ = |alike: fn(&Scope, &Scope) -> bool| {
        let mut pairs = scopes.windows(2);
        pairs.any(|pair| !alike(&pair[0], &pair[1]))
    };
    let all = [
        (
            differ(|a, b| a.environment == b.environment),
            "environments",
        ),
        (
            differ(|a, b| a.endpoints == b.endpoints),
            "numbers of endpoints",
        ),
        (differ(|a, b| a.variant == b.variant), "variants"),
        (differ(|a, b| a.node == b.node), "families of nodes"),
        (
            differ(|a, b| a.reach == b.reach),
            "kinds of services and ways to reach them",
        ),
    ];
    let apart = all.into_iter().filter(|(differs, _)| *differs);
    let apart: Vec<&str> = apart.map(|(_, words)| words).collect();
    match apart.as_slice() {
        [one] => (*one).to_owned(),
        several => format!("combinations of {}", several.join(" and ")),
    }
}

impl Scope {
    /// Whether a cell belongs here.
    #[must_use]
    pub fn holds(&self, key: &CellKey) -> bool {
        key.endpoints == self.endpoints && self.holds_but_for_endpoints(key)
    }

    /// The same of a cell of any number of endpoints.
    pub(crate) fn holds_but_for_endpoints(&self, key: &CellKey) -> bool {
        key.environment == self.environment
            && key.variant == self.variant
            && match key.mode.is_floor() {
                true => self.is_beside(key),
                false => self.is_of(&key.options),
            }
    }

    /// Whether options are those of a cell, or of a fit, of its family of its node and of its services, reached in its way.
    #[must_use]
    pub fn is_of(&self, options: &Options) -> bool {
        // What is quickly told first: a mix is read from its text.
        let is_here = |reach: &Reach| {
            (options.reached(), options.path()) == (reach.by, reach.from)
                && options.mix() == reach.mix
        };
        self.is_on(options) && self.reach.as_ref().is_none_or(is_here)
    }

    /// Whether a floor's cell stands beside those of services: it has none, and where its packets come from is all that
    /// matters, where packets are asked for. Its updates stand where those of services do.
    fn is_beside(&self, key: &CellKey) -> bool {
        let packets = key.scenario.row().topic == Topic::Packets;
        let is_here = |reach: &Reach| {
            let asked = match packets {
                true => reach.mix.asked_by().contains(&reach.by),
                false => reach.by == ReachedBy::default(),
            };
            asked && key.options.path() == reach.from
        };
        self.is_on(&key.options) && self.reach.as_ref().is_none_or(is_here)
    }

    fn is_on(&self, options: &Options) -> bool {
        self.node.is_none_or(|node| options.node() == node)
    }

    /// The scope of a finding.
    #[must_use]
    pub(crate) fn of(finding: &Finding) -> Self {
        let told = |key: OptionKey| finding.options.get(key).is_some();
        Self {
            environment: finding.environment.clone(),
            endpoints: finding.endpoints,
            variant: finding.variant.clone(),
            node: told(OptionKey::Family).then(|| finding.options.node()),
            reach: told(OptionKey::Path).then(|| finding.options.reach()),
        }
    }

    /// Options of a finding, which say what its scope is of where that does not go without saying.
    #[must_use]
    pub(crate) fn noted(&self, options: &Options) -> Options {
        let mut noted = options.clone();
        if let Some(node) = self.node {
            noted.set(OptionKey::Family, node.family);
            noted.set_node(node);
        }
        if let Some(reach) = &self.reach {
            noted.set_reach(reach);
        }
        noted
    }

    /// The ordinary rows that belong here: not the A/A control series.
    pub fn rows<'a>(&'a self, summary: &'a Summary) -> impl Iterator<Item = &'a Row> {
        summary.cells.iter().filter(|row| self.holds(&row.key))
    }

    /// The fits over N in its environment and variant, of as many endpoints.
    pub(crate) fn fits<'a>(&self, fits: &'a [Fit]) -> impl Iterator<Item = &'a Fit> {
        fits.iter().filter(|fit| {
            fit.over == Over::Services
                && fit.endpoints == Some(self.endpoints)
                && (&fit.environment, &fit.variant) == (&self.environment, &self.variant)
        })
    }

    /// Every N that was planned, ascending.
    #[must_use]
    pub fn sizes(&self, summary: &Summary) -> BTreeSet<u32> {
        self.rows(summary).map(|row| row.key.services).collect()
    }

    /// The largest N that was planned.
    #[must_use]
    pub fn largest(&self, summary: &Summary) -> u32 {
        self.sizes(summary).last().copied().unwrap_or(0)
    }

    /// The smallest N that was planned.
    #[must_use]
    pub fn smallest(&self, summary: &Summary) -> u32 {
        self.sizes(summary).first().copied().unwrap_or(0)
    }

    /// Whether another one is the same but for its endpoints.
    #[must_use]
    pub(crate) fn is_but_for_endpoints(&self, other: &Self) -> bool {
        let endpoints = self.endpoints;
        let other = other.clone();
        *self == Self { endpoints, ..other }
    }

    /// Where this is, as a phrase, where scopes are named.
    #[must_use]
    pub fn describe(&self) -> String {
        let endpoints = format!(", {} a service", counted(self.endpoints.into(), "endpoint"));
        self.described(&endpoints)
    }

    /// The same of all scopes that differ from it in their endpoints alone.
    pub(crate) fn describe_all(&self) -> String {
        self.described("")
    }

    fn described(&self, endpoints: &str) -> String {
        let mut place = format!("{}{endpoints}", self.environment);
        if !self.variant.is_empty() {
            place.push_str(&format!(", variant {}", self.variant));
        }
        for words in self.told() {
            place.push_str(&format!(", {words}"));
        }
        place
    }

    /// What its node serves, and what services are and how they are reached, as words: what of that does not go without
    /// saying in its run.
    pub(crate) fn told(&self) -> impl Iterator<Item = String> {
        let reach = self.reach.as_ref().map(Reach::words);
        self.node.map(NodeKind::words).into_iter().chain(reach)
    }

    /// Modes with cells here, in the fixed order.
    #[must_use]
    pub fn modes(&self, summary: &Summary) -> Vec<Mode> {
        let seen: BTreeSet<Mode> = self.rows(summary).map(|row| row.key.mode).collect();
        seen.into_iter().collect()
    }

    /// The position by which first packets are ranked and drawn: the most telling that was asked.
    #[must_use]
    pub fn position(&self, summary: &Summary) -> Option<Position> {
        let asked = self.rows(summary);
        asked.filter_map(|row| row.key.options.position()).max()
    }

    /// Which first packets headlines and charts show: to [`Scope::position`], caches warm unless nothing else was
    /// measured.
    #[must_use]
    pub fn shown(&self, summary: &Summary) -> Shown {
        let caches = self.rows(summary).filter_map(|row| row.key.options.cache());
        Shown {
            position: self.position(summary),
            cache: caches.min().unwrap_or(Cache::Cold),
        }
    }

    /// The scenario whose cells say most of kernel memory here: `memory`, with its pairs of installs and
    /// removals, else the readings around a `cold-install`.
    #[must_use]
    pub(crate) fn weighing(&self, summary: &Summary) -> ScenarioKind {
        let measured = |row: &Row| {
            row.key.scenario == ScenarioKind::Memory && row.metric == Some(Metric::KernelMemory)
        };
        if self.rows(summary).any(measured) {
            ScenarioKind::Memory
        } else {
            ScenarioKind::ColdInstall
        }
    }

    /// Whether the kernel memory of a mode with these options is the one to show: after an install in
    /// chunks where the mode was installed in both ways. What is held then is the same, and chunks leave
    /// more samples.
    #[must_use]
    pub(crate) fn shows_memory(&self, summary: &Summary, mode: Mode, options: &Options) -> bool {
        let without = |options: &Options| options.without(&[OptionKey::Chunk]);
        let in_chunks = |row: &Row| {
            row.key.mode == mode
                && row.metric == Some(Metric::KernelMemory)
                && row.key.options.chunk().is_some()
                && without(&row.key.options) == without(options)
        };
        let whole = options.is(OptionKey::Chunk, ONE_TRANSACTION);
        !whole || !self.rows(summary).any(in_chunks)
    }

    /// The questions asked here, in table order.
    #[must_use]
    pub fn questions(&self, summary: &Summary) -> Vec<Question> {
        let varying = varying(self.rows(summary));
        let mut questions: BTreeSet<Question> = BTreeSet::new();
        for row in self.rows(summary) {
            let scenario = row.key.scenario;
            // What an install holds is asked in passing, at some sizes.
            let in_passing = scenario.row().topic == Topic::Updates;
            let mut asks = scenario.asked_at(Place::Table);
            let first = asks.find(|ask| (ask.of)(&row.key.options));
            for ask in scenario.asked_at(Place::Table) {
                // A cell without numbers stands for what is asked of it first.
                let is_first = first.is_some_and(|first| first.metric == ask.metric);
                let stands = row.metric.is_none() && is_first && !in_passing;
                if row.metric != Some(ask.metric) && !stands {
                    continue;
                }
                questions.insert(Question {
                    scenario,
                    metric: ask.metric,
                    options: asking(&row.key, &varying),
                });
            }
        }
        let mut questions: Vec<_> = questions.into_iter().collect();
        questions.sort_by_cached_key(|q| (q.scenario, q.metric, q.options.place()));
        questions
    }
}

/// Which first packets are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    position: Option<Position>,
    cache: Cache,
}

impl Shown {
    /// " with cold caches": what is not as usual of them, for the end of a title.
    #[must_use]
    pub(crate) fn caches(&self) -> &'static str {
        match self.cache {
            Cache::Cold => " with cold caches",
            Cache::Warm => "",
        }
    }

    /// Whether a cell with these options is; true of all that are no first packets.
    #[must_use]
    pub fn holds(&self, options: &Options) -> bool {
        let is = |key: OptionKey, wanted: Option<&'static str>| {
            let own = options.get(key);
            own.is_none() || own == wanted
        };
        is(OptionKey::Position, self.position.map(Position::name))
            && is(OptionKey::Cache, Some(self.cache.name()))
    }
}
