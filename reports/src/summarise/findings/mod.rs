//! What the data say. Every finding is computed from rows and fits, names its interval,
//! and is left out or weakened when the interval does not support it: intervals that overlap are "not
//! distinguished", a cell that timed out is a lower bound. Its text is written last, by [`crate::view::finding`].

mod crossings;
mod datapath;
mod growth;
mod leaving;
mod ranking;
mod update_parts;
mod updates;

use std::collections::{BTreeMap, BTreeSet};

use schema::summary::{Finding, FindingKind, Fit, Row, Summary};
use schema::{CellKey, Metric, Mode, OptionKey, Options, Position, ScenarioKind, Unit};

use super::cells::Cells;
use crate::quantity::{counted, value, whole};
use crate::statistics::{Known, LEAST, SEEDS};
use crate::view::{
    Scope, are_named, finding, has_bounds, known, lower_bound, marks, scopes, series_names, spread,
    spread_of_fit,
};

/// Facts of an update cell that name the kube-proxy whose sync was imitated.
const VERSION: &str = "kube_proxy_version";
const TRANSPORT: &str = "kube_proxy_transport";

/// Which cells a finding is about: of a scenario, with the options that are asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Subject {
    scenario: ScenarioKind,
    options: Options,
}

impl From<ScenarioKind> for Subject {
    fn from(scenario: ScenarioKind) -> Self {
        let options = Options::new();
        Self { scenario, options }
    }
}

impl Subject {
    fn asks(&self, key: &CellKey) -> bool {
        key.scenario == self.scenario && self.agrees(&key.options)
    }

    /// Whether options hold nothing else than what is asked for.
    fn agrees(&self, options: &Options) -> bool {
        let wanted = |key: OptionKey| self.options.get(key);
        let mut all = options.iter();
        all.all(|(key, value)| wanted(key).is_none_or(|own| own == value))
    }

    /// The same packets to another service.
    fn to(&self, position: Position) -> Self {
        let options = self.options.clone().with(OptionKey::Position, position);
        Self { options, ..*self }
    }

    /// Which service of all is asked.
    fn which(&self) -> &'static str {
        which(&self.options)
    }

    /// A question with its places filled: options by their names, {which} service, {N} services.
    fn asked(&self, question: &str, services: u32) -> String {
        let text = question.replace("{N}", &whole(services.into()));
        let options = self.options.iter();
        options.fold(
            text.replace("{which}", self.which()),
            |text, (key, value)| text.replace(&format!("{{{key}}}"), &key.words(value)),
        )
    }
}

/// Which service of all is asked: "any", "the last".
fn which(options: &Options) -> &'static str {
    options.position().map_or("", |own| own.row().which)
}

/// The clauses of a verdict, and what they rest on.
#[derive(Debug, Default)]
struct Said {
    clauses: Vec<String>,
    evidence: Vec<String>,
}

impl Said {
    fn add<const N: usize>(&mut self, clause: String, evidence: [String; N]) {
        self.clauses.push(clause);
        self.evidence.extend(evidence);
    }
}

/// What a sentence is computed from.
struct Context<'a, 'r> {
    cells: &'a Cells<'r>,
    summary: &'a Summary,
    /// The rows of the summary, to look up.
    rows: &'a BTreeMap<(&'a CellKey, Option<Metric>), &'a Row>,
    scope: Scope,
    /// Largest N of the scope.
    largest: u32,
    /// Modes that would be left.
    leaving: &'a [Mode],
}

pub(super) fn findings(cells: &Cells<'_>, summary: &Summary, leaving: &[Mode]) -> Vec<Finding> {
    let rows = summary.cells.iter();
    let rows = rows.map(|row| ((&row.key, row.metric), row)).collect();
    let scopes = scopes(summary);
    let named = are_named(&scopes);
    let of = |scope: Scope| {
        let context = Context {
            cells,
            summary,
            rows: &rows,
            largest: scope.largest(summary),
            leaving,
            scope,
        };
        context.all()
    };
    let mut all: Vec<Finding> = scopes.into_iter().flat_map(of).collect();
    for found in &mut all {
        let place = finding::place(named, found);
        found.text = finding::text(place.as_deref(), found);
    }
    all
}

impl Context<'_, '_> {
    /// The sentences of a scope: those that answer what is asked first, then the others.
    fn all(&self) -> Vec<Finding> {
        // That nothing is known of who is fastest, or of a crossing, answers nobody's question: it stands with the rest.
        let of = |all: Vec<Finding>| all.into_iter().partition::<Vec<_>, _>(|f| f.headline);
        let packets = self.packets_asked();
        let ranked = packets.iter().filter_map(|packet| self.packets(packet));
        let ranked = ranked.chain(self.updates(true)).collect();
        let ((mut found, level), (crossings, unknown)) = (of(ranked), of(self.crossings(&packets)));
        found.extend(crossings);
        found.extend(self.exponents());
        found.extend(self.memory());
        found.extend(self.memory_by_cpus());
        found.extend(level);
        found.extend(self.updates(false));
        if let Some(packet) = packets.first() {
            found.extend(self.slopes(packet));
            found.extend(self.flatness(packet));
            found.extend(self.engines(packet));
            found.extend(self.positions(packet));
        }
        found.extend(unknown);
        found.extend(self.handed_over());
        found.extend(self.set_messages());
        found.extend(self.syncs());
        found.extend(self.chunks());
        found.extend(self.tool_share());
        found.extend(self.leaving());
        found
    }

    /// The same of a smaller size.
    fn at(&self, services: u32) -> Self {
        Self {
            scope: self.scope.clone(),
            largest: services,
            ..*self
        }
    }

    /// What first packets are asked for: each protocol by the headline's position, caches warm before cold.
    fn packets_asked(&self) -> Vec<Subject> {
        let position = self.scope.position(self.summary);
        let rows = self.scope.rows(self.summary);
        let rows = rows.filter(|row| row.key.scenario == ScenarioKind::FirstPacket);
        let asked: BTreeSet<_> = rows
            .filter_map(|row| {
                let options = &row.key.options;
                Some((options.cache().unwrap_or_default(), options.protocol()?))
            })
            .collect();
        let packet = |(cache, protocol)| {
            let options = Options::from([
                (OptionKey::Cache, schema::Cache::name(cache)),
                (OptionKey::Position, position?.name()),
                (OptionKey::Protocol, schema::Protocol::name(protocol)),
            ]);
            let scenario = ScenarioKind::FirstPacket;
            Some(Subject { scenario, options })
        };
        asked.into_iter().filter_map(packet).collect()
    }

    /// Cells of the modes that serve services, at the largest N, in the fixed order.
    fn keys_at_largest(&self, asks: impl Fn(&CellKey) -> bool) -> Vec<&CellKey> {
        self.cells
            .keys()
            .filter(|key| self.scope.holds(key) && key.services == self.largest)
            .filter(|key| !key.mode.is_floor() && asks(key))
            .collect()
    }

    /// The same, each after its name.
    fn named_at_largest(
        &self,
        asks: impl Fn(&CellKey) -> bool,
    ) -> impl Iterator<Item = (String, &CellKey)> {
        let keys = self.keys_at_largest(asks);
        let series: Vec<_> = keys.iter().map(|key| (key.mode, &key.options)).collect();
        series_names(&series).into_iter().zip(keys)
    }

    /// The names of the same without the kube-proxy whose rules they are, by the whole names; none unless all differ.
    fn short_names(&self, asks: impl Fn(&CellKey) -> bool) -> BTreeMap<String, String> {
        let (names, keys): (Vec<String>, Vec<&CellKey>) = self.named_at_largest(asks).unzip();
        let without = |key: &&CellKey| (key.mode, key.options.without(&[OptionKey::KubeProxy]));
        let series: Vec<(Mode, Options)> = keys.iter().map(without).collect();
        let series: Vec<_> = series.iter().map(|(mode, own)| (*mode, own)).collect();
        let short = series_names(&series);
        let each: BTreeSet<&String> = short.iter().collect();
        match each.len() == short.len() {
            true => names.into_iter().zip(short).collect(),
            false => BTreeMap::new(),
        }
    }

    /// "1–2; 6 needed: a longer --budget makes more": why nothing is known of the rows without an interval.
    fn few<'a>(&self, rows: impl Iterator<Item = &'a Row>) -> String {
        let without = rows.filter(|row| !has_bounds(row)).filter_map(known);
        self.too_few(&without.collect::<Vec<_>>())
    }

    /// The same of any values.
    fn too_few(&self, known: &[Known]) -> String {
        let of = || known.iter().map(|known| known.of);
        let (least, most) = (of().min().unwrap_or(0), of().max().unwrap_or(0));
        let needed = match known.iter().any(|known| known.counted) {
            true => SEEDS,
            false => LEAST,
        };
        let remedy = match self.summary.coverage.ended.as_str() {
            "budget" => "a longer --budget makes more",
            "complete" | "decided" => "more --repetitions make more",
            _ => "run --resume makes more",
        };
        match least == most {
            true => format!("{least}; {needed} needed: {remedy}"),
            false => format!("{least}–{most}; {needed} needed: {remedy}"),
        }
    }

    fn row(&self, key: &CellKey, metric: Metric) -> Option<&Row> {
        self.rows.get(&(key, Some(metric))).copied()
    }

    /// The rows of two metrics of a cell, or of one metric of two.
    fn both(&self, a: (&CellKey, Metric), b: (&CellKey, Metric)) -> Option<[&Row; 2]> {
        Some([self.row(a.0, a.1)?, self.row(b.0, b.1)?])
    }

    /// A cell at the smallest N of the scope; `None` where that is its own.
    fn at_smallest(&self, key: &CellKey) -> Option<CellKey> {
        let services = self.scope.smallest(self.summary);
        let other = key.clone();
        (services != key.services).then_some(CellKey { services, ..other })
    }

    /// Lower bound of a cell that timed out, nanoseconds, where the metric is the time that it bounds.
    fn lower_bound(&self, key: &CellKey, metric: Metric) -> Option<f64> {
        let row = match self.row(key, metric) {
            Some(row) => Some(row).filter(|row| row.median.is_none()),
            None => self.rows.get(&(key, None)).copied(),
        };
        row.filter(|_| metric == Metric::UpdateTime)
            .and_then(lower_bound)
    }

    /// A finding about the largest N; of its question the places are filled.
    fn finding(
        &self,
        kind: FindingKind,
        subject: &Subject,
        question: &str,
        (verdict, evidence): (String, Vec<String>),
    ) -> Finding {
        let Scope {
            environment,
            endpoints,
            variant,
            node: _,
            reach: _,
        } = self.scope.clone();
        Finding {
            text: String::new(),
            evidence,
            headline: false,
            kind,
            environment,
            endpoints,
            variant,
            scenario: subject.scenario,
            options: self.scope.noted(&subject.options),
            services: vec![self.largest],
            question: subject.asked(question, self.largest),
            verdict,
            brief: String::new(),
            values: Vec::new(),
        }
    }

    /// The same of clauses, put together as a sentence; `None` without any.
    fn clauses(
        &self,
        kind: FindingKind,
        subject: &Subject,
        question: &str,
        said: Said,
        together: impl Fn(&[String]) -> String,
    ) -> Option<Finding> {
        let verdict = format!("{}.", together(&said.clauses));
        let said = (!said.clauses.is_empty()).then_some((verdict, said.evidence))?;
        Some(self.finding(kind, subject, question, said))
    }

    /// The same about the smallest size and the largest.
    fn at_both(&self, found: Option<Finding>) -> Option<Finding> {
        let smallest = self.scope.smallest(self.summary);
        found.map(|found| Finding {
            services: vec![smallest, self.largest],
            question: found.question.replace("{from}", &whole(smallest.into())),
            ..found
        })
    }

    /// Fits of the modes that serve services.
    fn fits(&self, scenario: ScenarioKind, metric: Metric) -> impl Iterator<Item = &Fit> {
        self.scope.fits(&self.summary.fits).filter(move |fit| {
            fit.scenario == scenario
                && fit.metric == metric
                && self.scope.is_of(&fit.options)
                && !fit.mode.is_floor()
        })
    }
}

/// Fits, each after the name of its series.
fn named(fits: Vec<&Fit>) -> impl Iterator<Item = (String, &Fit)> {
    let series: Vec<(Mode, &Options)> = fits.iter().map(|fit| (fit.mode, &fit.options)).collect();
    series_names(&series).into_iter().zip(fits)
}

/// "29.1 µs (28.5–29.9 µs; n = 15,000 in 15 stays)", and what marks it.
fn stated(row: &Row) -> String {
    let Some(unit) = row.unit else {
        return "no number".to_owned();
    };
    let marks = marks(row).map_or_else(String::new, |marks| format!("; {marks}"));
    let stays = counted(row.stays.into(), "stay");
    let value = match row.median {
        Some(median) => value(median, unit),
        None => format!(
            "longer than {}",
            value(row.lower_bound_ns.unwrap_or(0) as f64, unit)
        ),
    };
    let (spread, n) = (spread(row), whole(row.n));
    format!("{value} ({spread}; n = {n} in {stays}{marks})")
}

fn evidence(row: &Row) -> String {
    let metric = row.metric.map_or("", Metric::name);
    format!("row {} {metric}: {}", row.key, stated(row))
}

fn evidence_of_fit(fit: &Fit) -> String {
    let options = fit.options.iter();
    let options: Vec<String> = options
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let ends = spread_of_fit(fit, |[low, high]| format!("[{low}, {high}]"));
    format!(
        "fit {} {} {} {} {}–{}: {} {} {ends}",
        fit.mode,
        fit.scenario,
        options.join(" "),
        fit.metric,
        fit.from,
        fit.to,
        fit.estimate,
        fit.unit,
    )
}

/// The unit of what a fit says a service adds: nanoseconds, or executed instructions.
fn unit_of(fit: &Fit) -> Unit {
    fit.unit.row().of.unwrap_or(fit.metric.unit())
}

/// Clauses that stand apart.
fn apart(parts: &[String]) -> String {
    parts.join("; ")
}

/// Sentences joined as a list: "a, b and c".
fn listed(parts: &[String]) -> String {
    match parts {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}
