//! What the data say. Every finding is computed from rows and fits, names its interval,
//! and is left out or weakened when the interval does not support it: intervals that overlap are "not
//! distinguished", a cell that timed out is a lower bound. Its text is written last, by [`crate::view::finding`].

mod crossings;
mod datapath;
mod growth;
mod ranking;
mod update_parts;
mod updates;

use std::collections::BTreeMap;

use schema::summary::{Finding, FindingKind, Fit, Row, Summary};
use schema::{
    Cache, CellKey, Metric, Mode, OptionKey, Options, Position, Protocol, ScenarioKind, Unit,
};

use super::cells::Cells;
use crate::quantity::{value, whole};
use crate::statistics::{Known, LEAST, SEEDS};
use crate::view::finding;
use crate::view::{Scope, has_bounds, known, lower_bound, marks, scopes, spread, spread_of_fit};

/// Facts of an update cell that name the kube-proxy whose sync was imitated.
const VERSION: &str = "kube_proxy_version";
const TRANSPORT: &str = "kube_proxy_transport";

/// What is asked of first packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Packet {
    cache: Cache,
    protocol: Protocol,
    position: Position,
}

impl Packet {
    fn asks(&self, key: &CellKey) -> bool {
        self.asks_options(&key.options) && key.scenario == ScenarioKind::FirstPacket
    }

    fn asks_options(&self, options: &Options) -> bool {
        let wanted = self.options();
        let agrees =
            |(key, value): (OptionKey, &str)| wanted.get(key).is_none_or(|own| own == value);
        options.iter().all(agrees)
    }

    /// The options that are asked for.
    fn options(&self) -> Options {
        Options::from([
            (OptionKey::Cache, self.cache.name()),
            (OptionKey::Position, self.position.name()),
            (OptionKey::Protocol, self.protocol.name()),
        ])
    }

    /// The same to another service.
    fn to(self, position: Position) -> Self {
        Self { position, ..self }
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
}

pub(super) fn findings(cells: &Cells<'_>, summary: &Summary) -> Vec<Finding> {
    let rows = summary
        .cells
        .iter()
        .map(|row| ((&row.key, row.metric), row));
    let rows = rows.collect();
    let mut all = Vec::new();
    let scopes = scopes(summary);
    let several = scopes.len() > 1;
    for scope in scopes {
        let largest = scope.largest(summary);
        let context = Context {
            cells,
            summary,
            rows: &rows,
            scope,
            largest,
        };
        all.append(&mut context.all());
    }
    for found in &mut all {
        let place = finding::place(several, found);
        found.text = finding::text(place.as_deref(), found);
    }
    all
}

impl Context<'_, '_> {
    /// The sentences of a scope: those that answer what is asked first, then the others.
    fn all(&self) -> Vec<Finding> {
        // That nothing is known of who is fastest, or of a crossing, answers nobody's question: it stands with the rest.
        let of = |all: Vec<Finding>| all.into_iter().partition::<Vec<_>, _>(|f| f.headline);
        let ((mut found, level), (crossings, unknown)) =
            (of(self.rankings()), of(self.crossings()));
        found.extend(crossings);
        found.extend(self.exponents());
        found.extend(self.memory());
        found.extend(level);
        found.extend(self.further_updates());
        if let Some(packet) = self.packets_asked().first() {
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
        found
    }

    /// Who is fastest at what is asked first.
    fn rankings(&self) -> Vec<Finding> {
        let services = whole(self.largest.into());
        let mut found: Vec<Finding> = self
            .packets_asked()
            .iter()
            .filter_map(|packet| self.packets(packet))
            .collect();
        for (scenario, question) in [
            (
                ScenarioKind::ServiceAdd,
                format!("Adding one service to {services}"),
            ),
            (
                ScenarioKind::ColdInstall,
                format!("Installing {services} services from nothing"),
            ),
        ] {
            found.extend(self.updates(&question, scenario, true));
        }
        found
    }

    /// The other updates that kube-proxy's sync was measured of.
    fn further_updates(&self) -> Vec<Finding> {
        let services = whole(self.largest.into());
        [
            (
                ScenarioKind::ServiceRemove,
                format!("Removing one service of {services}"),
            ),
            (
                ScenarioKind::EndpointChurn,
                format!("Replacing endpoints of {services} services"),
            ),
        ]
        .into_iter()
        .filter_map(|(scenario, question)| self.updates(&question, scenario, false))
        .map(|finding| Finding {
            headline: false,
            ..finding
        })
        .collect()
    }

    /// What first packets are asked for: each protocol by the headline's position, caches warm before cold.
    fn packets_asked(&self) -> Vec<Packet> {
        let Some(position) = self.scope.position(self.summary) else {
            return Vec::new();
        };
        let mut seen: Vec<Packet> = self
            .scope
            .rows(self.summary)
            .filter(|row| row.key.scenario == ScenarioKind::FirstPacket)
            .filter_map(|row| {
                Some(Packet {
                    cache: row.key.options.cache().unwrap_or_default(),
                    protocol: row.key.options.protocol()?,
                    position,
                })
            })
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
            "complete" => "more --repetitions make more",
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

    /// Lower bound of a cell that timed out, nanoseconds, where the metric is the time that it bounds.
    fn lower_bound(&self, key: &CellKey, metric: Metric) -> Option<f64> {
        let row = match self.row(key, metric) {
            Some(row) => Some(row).filter(|row| row.median.is_none()),
            None => self.rows.get(&(key, None)).copied(),
        };
        row.filter(|_| metric == Metric::UpdateTime)
            .and_then(lower_bound)
    }

    /// A finding about the largest N, without its evidence.
    fn finding(
        &self,
        kind: FindingKind,
        scenario: ScenarioKind,
        question: String,
        verdict: String,
    ) -> Finding {
        let scope = self.scope.clone();
        Finding {
            text: String::new(),
            evidence: Vec::new(),
            headline: false,
            kind,
            environment: scope.environment,
            endpoints: scope.endpoints,
            variant: scope.variant,
            scenario,
            options: Options::new(),
            services: vec![self.largest],
            question,
            verdict,
            values: Vec::new(),
        }
    }

    /// The same about first packets.
    fn of_packets(
        &self,
        kind: FindingKind,
        packet: &Packet,
        question: String,
        verdict: String,
    ) -> Finding {
        Finding {
            options: packet.options(),
            ..self.finding(kind, ScenarioKind::FirstPacket, question, verdict)
        }
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

/// "29.1 µs (28.5–29.9 µs; n = 15,000 in 15 stays)", and what marks it.
fn stated(row: &Row) -> String {
    let Some(unit) = row.unit else {
        return "no number".to_owned();
    };
    let marks = marks(row).map_or_else(String::new, |marks| format!("; {marks}"));
    let stays = crate::quantity::counted(row.stays.into(), "stay");
    let value = row.median.map_or_else(
        || {
            format!(
                "longer than {}",
                value(row.lower_bound_ns.unwrap_or(0) as f64, unit)
            )
        },
        |median| value(median, unit),
    );
    format!(
        "{value} ({}; n = {} in {stays}{marks})",
        spread(row),
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
    let series: Vec<(Mode, &Options)> = keys.iter().map(|key| (key.mode, &key.options)).collect();
    crate::view::series_names(&series)
}

/// Options as words, without the named ones.
fn words(options: &Options, without: &[OptionKey]) -> String {
    options.without(without).words().join(", ")
}
