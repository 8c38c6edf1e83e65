//! What the kernel lists for N services: a panel each for rules, chains, sets and elements.

use schema::{Metric, ScenarioKind, Unit};

use super::axis::Axis;
use super::chart::{Series, Source, behind_points, described, gaps, series, sizes};
use super::figure::{Body, Figure, Key, Line, Panel};
use crate::quantity::value;
use crate::view::Scope;

const PANELS: &[(Metric, &str)] = &[
    (Metric::Rules, "rules"),
    (Metric::Chains, "chains"),
    (Metric::Sets, "sets and maps"),
    (Metric::Elements, "elements of sets and maps"),
];

pub(super) fn figure(source: &Source<'_>, scope: &Scope) -> Option<Figure> {
    let summary = source.summary;
    let of = |metric| {
        series(summary, scope, metric, |key| {
            key.scenario == ScenarioKind::RuleCount
        })
    };
    let (mut panels, mut none) = (Vec::new(), Vec::new());
    for (metric, heading) in PANELS {
        let series = of(*metric);
        // What is nowhere above zero has no place on a logarithmic axis: a note says so.
        none.extend(
            series
                .iter()
                .filter(|s| s.measured().next().is_some())
                .filter(|s| s.points().iter().all(|point| point.y <= 0.0))
                .map(|s| format!("{} in {}", heading, s.name)),
        );
        let shown = series.iter().flat_map(Series::points).map(|point| point.y);
        let Some(y) = Axis::log(metric.name(), shown, Unit::Count) else {
            continue;
        };
        panels.push(Panel {
            heading: (*heading).to_owned(),
            body: Body::Lines {
                x: Axis::sizes(&sizes(&series)),
                y,
                lines: series.iter().map(line).collect(),
            },
        });
    }
    if panels.is_empty() {
        return None;
    }
    let series = of(Metric::Rules);
    let mut notes = vec![behind_points(series.iter().flat_map(Series::measured))];
    if !none.is_empty() {
        notes.push(format!("None at any N: {}.", none.join(", ")));
    }
    notes.extend(gaps(&series));
    Some(Figure {
        name: String::new(),
        title: "How many rules, chains, sets and elements does the kernel hold for N services?"
            .to_owned(),
        notes,
        alt: described(&series),
        panels,
        legend: series.iter().map(key).collect(),
    })
}

fn key(series: &Series<'_>) -> Key {
    let last = series.measured().last();
    let rules = last.and_then(|row| Some((row.median?, row.key.services)));
    let text = rules.map_or_else(
        || format!("{}: no numbers", series.name),
        |(rules, services)| {
            let each = value(rules / f64::from(services.max(1)), Unit::Count);
            format!("{}: {each} rules a service at its largest N", series.name)
        },
    );
    series.key(text)
}

fn line(series: &Series<'_>) -> Line {
    let mut points = series.points();
    points.retain(|point| point.y > 0.0);
    Line {
        points,
        labelled: true,
        ..series.line(Vec::new())
    }
}
