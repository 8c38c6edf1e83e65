//! What more endpoints of each service cost at one N: first packet, update and kernel memory, a panel each over E, on
//! logarithmic axes. Medians are joined; where kube-proxy writes other rules one line ends and another begins.

use std::collections::{BTreeMap, BTreeSet};

use schema::summary::{Over, Row};
use schema::{CellKey, Metric, OptionKey, Protocol, ScenarioKind};

use super::axis::Axis;
use super::chart::{Series, Source, extents, first_of_many, measured, series_of, unit_of_times};
use super::figure::{Figure, Key, Panel};
use super::notes::{behind_points, crosses, described, gaps, left_out, noisy};
use crate::quantity::whole;
use crate::summarise::is_ordinary;
use crate::view::{grouped, lower_bound};

/// What a panel shows.
struct Part<'a> {
    /// What it is in a note.
    name: &'static str,
    heading: String,
    metric: Metric,
    /// Each mode through its ordinary way.
    series: Vec<Series<'a>>,
    /// What is said of further series.
    left_out: Option<String>,
}

/// The costs over the endpoints of all scopes that differ in nothing else; `None` with a single number of them.
pub(super) fn figure(source: &Source<'_>) -> Option<Figure> {
    let (scope, summary) = (source.scope, source.summary);
    let rows = summary.cells.iter();
    let mut rows: Vec<&Row> = rows
        .filter(|row| scope.holds_but_for_endpoints(&row.key) && is_ordinary(&row.key))
        .collect();
    let (services, numbers) = asked(&rows)?;
    rows.retain(|row| row.key.services == services);
    let parts = parts(source, &rows);
    let panels = parts.iter().filter_map(|part| panel(part, &numbers));
    let title = format!(
        "What do more endpoints of each service cost, at {} services{}?",
        whole(services.into()),
        scope.shown(summary).caches()
    );
    let said = |part: &Part<'_>| format!("{}: {}", part.heading, described(&part.series));
    let alt: Vec<String> = parts.iter().map(said).collect();
    Some(Figure {
        notes: notes(&parts),
        alt: alt.join(" "),
        legend: legend(&parts),
        ..Figure::of(title, panels.collect())?
    })
}

/// The N of which most numbers of endpoints were asked, the largest such, with these numbers; `None` with a single number.
fn asked(rows: &[&Row]) -> Option<(u32, Vec<u32>)> {
    let mut asked: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
    for key in rows.iter().map(|row| &row.key) {
        let numbers = asked.entry(key.services).or_default();
        numbers.insert(key.endpoints);
    }
    let most = asked.into_iter().max_by_key(|(_, numbers)| numbers.len());
    let (services, numbers) = most.filter(|(_, numbers)| numbers.len() > 1)?;
    Some((services, numbers.into_iter().collect()))
}

fn parts<'a>(source: &Source<'a>, rows: &[&'a Row]) -> Vec<Part<'a>> {
    let (scope, summary) = (source.scope, source.summary);
    let shown = scope.shown(summary);
    let which = scope.position(summary).map_or("", |at| at.row().which);
    let weighs = |row: &&&Row| {
        row.key.scenario == ScenarioKind::Memory && row.metric == Some(Metric::KernelMemory)
    };
    let weighing = match rows.iter().find(weighs) {
        Some(_) => ScenarioKind::Memory,
        None => ScenarioKind::ColdInstall,
    };
    let part = |name, heading: String, metric: Metric, asks: &dyn Fn(&CellKey) -> bool| {
        let of_it = |row: &&Row| asks(&row.key) && row.metric.is_none_or(|m| m == metric);
        let rows = rows.iter().copied().filter(of_it);
        let series = series_of(rows, metric, Over::Endpoints);
        Part {
            name,
            heading,
            metric,
            left_out: left_out(&series),
            series: first_of_many(series),
        }
    };
    vec![
        part(
            "First packet",
            format!("First TCP packet to {which} of the services: latency"),
            Metric::Latency,
            &|key| {
                key.scenario == ScenarioKind::FirstPacket
                    && shown.holds(&key.options)
                    && key.options.protocol() == Some(Protocol::Tcp)
            },
        ),
        part(
            "Update",
            "One service added: update_time".to_owned(),
            Metric::UpdateTime,
            &|key| key.scenario == ScenarioKind::ServiceAdd,
        ),
        part(
            "Memory",
            "What the rules of all services hold: kernel_memory".to_owned(),
            Metric::KernelMemory,
            &|key| key.scenario == weighing && scope.shows_memory(summary, key.mode, &key.options),
        ),
    ]
}

/// A panel, over all numbers of endpoints: those of a chart stand below each other.
fn panel(part: &Part<'_>, numbers: &[u32]) -> Option<Panel> {
    let rows = || measured(&part.series);
    let all = part.series.iter().flat_map(|series| &series.rows);
    let bounds = all.filter_map(|row| lower_bound(row).map(|bound| bound * 1.6));
    let bounds = bounds.filter(|_| part.metric == Metric::UpdateTime);
    let shown = extents(rows()).chain(bounds);
    let y = Axis::log(part.metric.name(), shown, unit_of_times(rows()))?;
    let lines = part.series.iter().map(|series| match part.metric {
        Metric::KernelMemory => series.line_of_amounts(Vec::new()),
        _ => series.line(Vec::new()),
    });
    let mut lines: Vec<_> = lines.collect();
    // The legend names them, of all panels at once.
    lines.iter_mut().for_each(|line| line.labelled = false);
    let x = Axis::endpoints(numbers);
    Some(Panel::lines(&part.heading, x, y, lines))
}

/// A key for each series of any panel: the same one looks the same in all.
fn legend(parts: &[Part<'_>]) -> Vec<Key> {
    let all = parts.iter().flat_map(|part| &part.series);
    let mut series = grouped(all.map(|series| ((series.mode, &series.name), series)));
    series.sort_by_key(|((mode, _), _)| *mode);
    let key = |(_, same): &(_, Vec<&Series<'_>>)| {
        let any = same.iter().any(|series| series.measured().next().is_some());
        let first = same.first()?;
        Some(first.key_of(any.then(|| first.name.clone())))
    };
    series.iter().filter_map(key).collect()
}

fn notes(parts: &[Part<'_>]) -> Vec<String> {
    let all = || parts.iter().flat_map(|part| &part.series);
    let rows = || all().flat_map(Series::measured);
    let mut notes = vec![
        behind_points(rows()),
        "Lines join medians, of each mode through its ordinary way. Axes differ between panels."
            .to_owned(),
    ];
    let is = |value: &str| all().any(|series| series.options.is(OptionKey::LargeCluster, value));
    if is("on") && is("off") {
        notes.push(
            "Above 1,000 endpoints in all (services times endpoints) kube-proxy writes no comments into the rules of endpoints: other rules, with a line of their own that is joined with no other."
                .to_owned(),
        );
    }
    if all().any(|series| series.rows.iter().any(|row| lower_bound(row).is_some())) {
        notes.push("Arrows are lower bounds: the cell timed out there.".to_owned());
    }
    notes.extend(parts.iter().find_map(|part| crosses(&part.series)));
    notes.extend(noisy(rows()).map(|text| format!("Memory: {text}")));
    if rows().any(|row| row.median <= Some(0.0)) {
        notes.push("Medians at or below zero are not drawn; they are in the tables.".to_owned());
    }
    notes.extend(parts.iter().filter_map(|part| part.left_out.clone()));
    // What several panels lack for one reason is said once.
    let lacking = parts.iter().flat_map(|part| {
        let gaps = gaps(&part.series).into_iter();
        gaps.map(|text| (text, part.name))
    });
    let lacking = grouped(lacking).into_iter();
    notes.extend(lacking.map(|(text, names)| format!("{}: {text}", names.join(", "))));
    notes
}
