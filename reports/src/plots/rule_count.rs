//! What the kernel lists for N services: a panel each for rules, chains, sets and elements.

use schema::{CellKey, Metric, ScenarioKind, Unit};

use super::axis::Axis;
use super::chart::{Series, Source, measured, over_n};
use super::figure::{Figure, Key};
use super::notes::{behind_points, described, gaps};
use crate::quantity::value;

const PANELS: &[(Metric, &str)] = &[
    (Metric::Rules, "rules"),
    (Metric::Chains, "chains"),
    (Metric::Sets, "sets and maps"),
    (Metric::Elements, "elements of sets and maps"),
];

pub(super) fn figure(source: &Source<'_>) -> Option<Figure> {
    let asks = |key: &CellKey| key.scenario == ScenarioKind::RuleCount;
    let (mut panels, mut none) = (Vec::new(), Vec::new());
    for (metric, heading) in PANELS {
        let series = source.series(*metric, asks);
        // What is nowhere above zero has no place on a logarithmic axis: a note says so.
        for series in series.iter().filter(|s| s.measured().next().is_some()) {
            if series.measured().all(|row| row.median <= Some(0.0)) {
                none.push(format!("{heading} in {}", series.name));
            }
        }
        let medians = measured(&series).filter_map(|row| row.median);
        panels.extend(
            Axis::log(metric.name(), medians, Unit::Count)
                .map(|y| over_n(heading, &series, y, |s| s.line_of_amounts(Vec::new()))),
        );
    }
    let title = "How many rules, chains, sets and elements does the kernel hold for N services?";
    let figure = Figure::of(title.to_owned(), panels)?;
    let series = source.series(Metric::Rules, asks);
    let mut notes = vec![behind_points(measured(&series))];
    if !none.is_empty() {
        notes.push(format!("None at any N: {}.", none.join(", ")));
    }
    notes.extend(gaps(&series));
    Some(Figure {
        notes,
        alt: described(&series),
        legend: series.iter().map(key).collect(),
        ..figure
    })
}

fn key(series: &Series<'_>) -> Key {
    let each = series.measured().last().and_then(|row| {
        let each = value(
            row.median? / f64::from(row.key.services.max(1)),
            Unit::Count,
        );
        Some(format!(
            "{}: {each} rules a service at its largest N",
            series.name
        ))
    });
    series.key_of(each)
}
