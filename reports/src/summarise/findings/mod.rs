//! What the data say, in sentences. Every sentence is computed from rows and fits, names its interval,
//! and is left out or weakened when the interval does not support it: intervals that overlap are "not
//! distinguished", a cell that timed out is a lower bound.

mod crossings;
mod datapath;
mod growth;
mod ranking;
mod update_parts;

use std::collections::BTreeMap;

use schema::summary::{Finding, Fit, Row, Summary};
use schema::{CellKey, Metric, Mode, ScenarioKind, Unit};

use super::cells::Cells;
use crate::quantity::{interval, value, whole};
use crate::scope::{Scope, lower_bound, option, scopes};

/// What a sentence is computed from.
struct Context<'a, 'r> {
    cells: &'a Cells<'r>,
    summary: &'a Summary,
    /// The rows of the summary, to look up.
    rows: &'a BTreeMap<(&'a CellKey, Option<Metric>), &'a Row>,
    scope: Scope,
    /// Largest N of the scope.
    largest: u32,
}

pub(super) fn findings(cells: &Cells<'_>, summary: &Summary) -> Vec<Finding> {
    let scopes = scopes(summary);
    let several = scopes.len() > 1;
    let rows = summary
        .cells
        .iter()
        .map(|row| ((&row.key, row.metric), row));
    let rows = rows.collect();
    let mut all = Vec::new();
    for scope in scopes {
        let largest = scope.largest(summary);
        let context = Context {
            cells,
            summary,
            rows: &rows,
            scope,
            largest,
        };
        let mut found = context.all();
        if several {
            for finding in &mut found {
                finding.text = format!("{}: {}", context.scope.describe(), finding.text);
            }
        }
        all.append(&mut found);
    }
    all
}

impl Context<'_, '_> {
    /// The sentences of a scope: those that answer what is asked first, then the others.
    fn all(&self) -> Vec<Finding> {
        let crossings = self.crossings().into_iter();
        // That no crossing is known answers nobody's question: it stands with the rest.
        let (known, unknown): (Vec<_>, Vec<_>) = crossings.partition(|(known, _)| *known);
        let text_of = |(_, finding): (bool, Finding)| finding;
        let mut found = self.rankings();
        found.extend(known.into_iter().map(text_of));
        found.extend(self.exponents());
        found.extend(self.memory());
        for finding in &mut found {
            finding.headline = true;
        }
        let protocols = self.protocols();
        if let Some(protocol) = protocols.first() {
            found.extend(self.slopes(protocol));
            found.extend(self.flatness(protocol));
            found.extend(self.engines(protocol));
            found.extend(self.positions(protocol));
        }
        found.extend(unknown.into_iter().map(text_of));
        found.extend(self.handed_over());
        found.extend(self.set_messages());
        found.extend(self.syncs());
        found.extend(self.chunks());
        found.extend(self.tool_share());
        found
    }

    /// Who is fastest at what is asked first.
    fn rankings(&self) -> Vec<Finding> {
        let services = whole(self.largest.into());
        let mut found = Vec::new();
        for protocol in &self.protocols() {
            found.extend(self.ranking(
                &format!(
                    "First packet of a new {} flow to the last of {services} services",
                    protocol.to_uppercase()
                ),
                |key| first_packet(key, protocol, "last"),
                Metric::Latency,
            ));
        }
        found.extend(self.ranking(
            &format!("Adding one service to {services}"),
            |key| key.scenario == ScenarioKind::ServiceAdd,
            Metric::UpdateTime,
        ));
        found.extend(self.ranking(
            &format!("Installing {services} services from nothing"),
            |key| key.scenario == ScenarioKind::ColdInstall,
            Metric::UpdateTime,
        ));
        found
    }

    /// Protocols of first-packet cells, TCP first.
    fn protocols(&self) -> Vec<String> {
        let mut seen: Vec<String> = self
            .scope
            .rows(self.summary)
            .filter_map(|row| row.key.options.get("protocol").cloned())
            .collect();
        seen.sort();
        seen.dedup();
        seen
    }

    /// Cells of the modes that serve services, at the largest N, in the fixed order.
    fn keys_at_largest(&self, asks: impl Fn(&CellKey) -> bool) -> Vec<&CellKey> {
        self.cells
            .keys()
            .filter(|key| self.scope.holds(key) && key.services == self.largest)
            .filter(|key| !key.mode.is_floor() && asks(key))
            .collect()
    }

    fn row(&self, key: &CellKey, metric: Metric) -> Option<&Row> {
        self.rows.get(&(key, Some(metric))).copied()
    }

    /// Lower bound of a cell without numbers, nanoseconds, where the metric is the time that it bounds.
    fn lower_bound(&self, key: &CellKey, metric: Metric) -> Option<f64> {
        let row = self.rows.get(&(key, None));
        row.filter(|_| metric == Metric::UpdateTime)
            .and_then(|row| lower_bound(row))
    }

    /// Fits of the modes that serve services.
    fn fits(&self, scenario: ScenarioKind, metric: Metric) -> impl Iterator<Item = &Fit> {
        self.summary.fits.iter().filter(move |fit| {
            fit.scenario == scenario
                && fit.metric == metric
                && fit.environment == self.scope.environment
                && fit.variant == self.scope.variant
                && !fit.mode.is_floor()
        })
    }
}

fn first_packet(key: &CellKey, protocol: &str, position: &str) -> bool {
    let is = |name: &str, wanted: &str| key.options.get(name).is_some_and(|value| value == wanted);
    key.scenario == ScenarioKind::FirstPacket
        && is("protocol", protocol)
        && is("position", position)
}

/// "29.1 µs (28.5–29.9 µs; n = 15,000 in 15 stays)", and what the median leaves out.
fn stated(row: &Row) -> String {
    let (Some(median), Some(unit)) = (row.median, row.unit) else {
        return "no number".to_owned();
    };
    let interval = row
        .ci95
        .map_or_else(|| "no interval".to_owned(), |ci95| interval(ci95, unit));
    let stays = if row.stays == 1 {
        "1 stay".to_owned()
    } else {
        format!("{} stays", row.stays)
    };
    let censored = row.metric == Some(Metric::UpdateTime)
        && row
            .reason
            .as_deref()
            .is_some_and(|reason| reason.contains("timed-out: longer than"));
    let but = if censored {
        "; others timed out, so the true median is higher"
    } else {
        ""
    };
    format!(
        "{} ({interval}; n = {} in {stays}{but})",
        value(median, unit),
        whole(row.n)
    )
}

fn evidence(row: &Row) -> String {
    let metric = row.metric.map_or("", Metric::name);
    format!("row {} {metric}: {}", row.key, stated(row))
}

fn evidence_of_fit(fit: &Fit) -> String {
    let options: Vec<String> = fit
        .options
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    format!(
        "fit {} {} {} {} {}–{}: {} {} [{}, {}]",
        fit.mode,
        fit.scenario,
        options.join(" "),
        fit.metric,
        fit.from,
        fit.to,
        fit.estimate,
        fit.unit,
        fit.ci95[0],
        fit.ci95[1]
    )
}

/// The unit of what a fit says a service adds: nanoseconds, or executed instructions.
fn unit_of(fit: &Fit) -> Unit {
    let unit = fit
        .unit
        .strip_suffix("/service")
        .and_then(|unit| unit.parse().ok());
    unit.unwrap_or(fit.metric.unit())
}

/// "longer than 120 s (timed out: a lower bound)".
fn bounded(after_ns: f64) -> String {
    format!(
        "longer than {} (timed out: a lower bound)",
        value(after_ns, Unit::Nanoseconds)
    )
}

/// Sentences joined as a list: "a, b and c".
fn listed(parts: &[String]) -> String {
    match parts {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// Mode and the options that tell its series apart.
fn names(keys: &[&CellKey]) -> Vec<String> {
    let series: Vec<(Mode, &schema::Options)> =
        keys.iter().map(|key| (key.mode, &key.options)).collect();
    crate::scope::series_names(&series)
}

/// Options as words, without the named ones.
fn words(options: &schema::Options, without: &[&str]) -> String {
    let words: Vec<String> = options
        .iter()
        .filter(|(key, _)| !without.contains(&key.as_str()))
        .map(|(key, value)| option(key, value))
        .collect();
    words.join(", ")
}
