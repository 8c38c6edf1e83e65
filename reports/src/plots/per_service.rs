//! What one service is made of at the largest N: rules, chains, elements, and the messages and bytes of its
//! installation.

use schema::summary::Row;
use schema::{CellKey, Metric, Mode, ScenarioKind, Unit};

use super::axis::Axis;
use super::chart::{Series, Source, gaps, series};
use super::figure::{Body, Figure, Mark, NamedRow, Panel};
use crate::quantity::{value, whole};
use crate::view::Scope;

/// Panels: what is counted, in which scenario.
const PANELS: &[(ScenarioKind, Metric, &str)] = &[
    (ScenarioKind::RuleCount, Metric::Rules, "Rules a service"),
    (ScenarioKind::RuleCount, Metric::Chains, "Chains a service"),
    (
        ScenarioKind::RuleCount,
        Metric::Elements,
        "Elements of sets and maps a service",
    ),
    (
        ScenarioKind::ColdInstall,
        Metric::Messages,
        "Netlink messages of our own to install a service",
    ),
    (
        ScenarioKind::ColdInstall,
        Metric::BytesSent,
        "Bytes handed over to install a service",
    ),
];

pub(super) fn figure(source: &Source<'_>, scope: &Scope) -> Option<Figure> {
    let largest = scope.largest(source.summary);
    let at = |scenario| move |key: &CellKey| key.scenario == scenario && key.services == largest;
    let mut panels = Vec::new();
    let mut missing = Vec::new();
    for (scenario, metric, heading) in PANELS {
        let all = series(source.summary, scope, *metric, at(*scenario));
        if *metric == Metric::Rules || *metric == Metric::Messages {
            missing.extend(gaps(&all));
        }
        panels.extend(panel(&all, *metric, heading));
    }
    if panels.is_empty() {
        return None;
    }
    let mut notes = vec![
        "What was counted, divided by N. Counts have no spread where all stays agree; else the median is shown.".to_owned(),
        "Messages are 0 where a tool sends its own, which are not counted.".to_owned(),
    ];
    // Both scenarios lack what the mode lacks.
    let mut seen = std::collections::BTreeSet::new();
    missing.retain(|text: &String| seen.insert(text.clone()));
    notes.append(&mut missing);
    Some(Figure {
        name: String::new(),
        title: format!(
            "What is one service made of, when there are {}?",
            whole(largest.into())
        ),
        notes,
        alt: "Rules, chains, elements, messages and bytes a service by mode.".to_owned(),
        panels,
        legend: Vec::new(),
    })
}

fn panel(all: &[Series<'_>], metric: Metric, heading: &str) -> Option<Panel> {
    let each = |row: &Row| Some(row.median? / f64::from(row.key.services.max(1)));
    let rows = || {
        all.iter()
            .flat_map(|s| s.measured().map(move |row| (s, row)))
    };
    let x = Axis::linear(
        metric.name(),
        rows().filter_map(|(_, row)| each(row)).filter(|v| *v > 0.0),
        metric.unit(),
    )?;
    let row = |(series, row): (&Series<'_>, &Row)| -> Option<NamedRow> {
        let at = each(row)?;
        Some(NamedRow {
            mode: series.mode,
            name: series.name.clone(),
            style: series.style,
            mark: Mark::Stack(vec![at]),
            text: stated(series.mode, metric, at),
        })
    };
    Some(Panel {
        heading: heading.to_owned(),
        body: Body::Rows {
            x,
            rows: rows().filter_map(row).collect(),
            labelled: false,
        },
    })
}

fn stated(mode: Mode, metric: Metric, each: f64) -> String {
    match (metric, mode) {
        (Metric::Messages, _) if each == 0.0 => "none of our own".to_owned(),
        (Metric::BytesSent, _) => value(each, Unit::Bytes),
        _ => value(each, Unit::Count),
    }
}
