//! First-packet latency against N for the service that headlines are about: a panel for each percentile.

use schema::summary::Row;
use schema::{CellKey, Metric, Protocol, ScenarioKind};

use super::axis::Axis;
use super::chart::{
    Series, Source, behind_points, crosses, curve, described, extents, fit_of, gaps, left_out,
    series, sizes, stated, unit_of_times,
};
use super::figure::{Body, Figure, Line, Panel, Point};
use crate::quantity::{interval, value, whole};
use crate::view::{Scope, bar, spread_of_fit};

const PERCENTILES: &[(&str, &str)] = &[
    ("p50", "p50: half of the first packets are faster"),
    ("p90", "p90: nine in ten are faster"),
    ("p99", "p99: ninety-nine in a hundred are faster"),
];

/// TCP: SYN to SYN-ACK.
pub(super) fn tcp(source: &Source<'_>, scope: &Scope) -> Option<Figure> {
    figure(source, scope, Protocol::Tcp)
}

/// UDP: request to reply.
pub(super) fn udp(source: &Source<'_>, scope: &Scope) -> Option<Figure> {
    figure(source, scope, Protocol::Udp)
}

fn figure(source: &Source<'_>, scope: &Scope, protocol: Protocol) -> Option<Figure> {
    let summary = source.summary;
    let shown = scope.shown(summary);
    let asks = |key: &CellKey| {
        key.scenario == ScenarioKind::FirstPacket
            && shown.holds(&key.options)
            && key.options.protocol() == Some(protocol)
    };
    let series = series(summary, scope, Metric::Latency, asks);
    let rows = || series.iter().flat_map(Series::measured);
    let panels: Vec<Panel> = PERCENTILES
        .iter()
        .filter_map(|(name, heading)| {
            // Each percentile has an axis of its own: a p99 of milliseconds would flatten the medians.
            let shown = rows().filter_map(|row| row.quantiles.get(*name).copied());
            Some(Panel {
                heading: (*heading).to_owned(),
                body: Body::Lines {
                    x: Axis::sizes(&sizes(&series)),
                    y: Axis::log("latency", shown, unit_of_times(rows()))?,
                    lines: series
                        .iter()
                        .map(|series| line(source, scope, series, name))
                        .collect(),
                },
            })
        })
        .collect();
    if panels.is_empty() {
        return None;
    }
    let mut notes = vec![behind_points(rows())];
    let medians = rows().filter_map(|row| row.median);
    let axis = Axis::log("latency", medians, unit_of_times(rows()));
    let reaches = |end: f64| axis.as_ref().is_some_and(|axis| !axis.holds(end));
    if extents(rows()).any(reaches) {
        notes.push("A bar without a cap goes on beyond the panel: few stays say little. Its ends are in the numbers.".to_owned());
    }
    notes.push(
        "Lines of p50 are fits a + b·N where there are enough sizes; the legend gives b, what a further service adds, with its 95 % interval, of fewer than six blocks their range. \
         p90 and p99 are quantiles of all samples, without an interval. Axes differ between panels."
            .to_owned(),
    );
    notes.extend(crosses(&series));
    notes.extend(left_out(summary, scope, Metric::Latency, asks));
    notes.extend(gaps(&series));
    Some(Figure {
        name: String::new(),
        title: format!(
            "How long does the first {} packet of a new flow take to {} of N services{}?",
            protocol.name().to_uppercase(),
            scope
                .position(summary)
                .map_or("", |position| position.row().which),
            shown.caches()
        ),
        notes,
        alt: described(&series),
        panels,
        legend: series
            .iter()
            .map(|series| {
                let fit = fit_of(
                    summary,
                    scope,
                    ScenarioKind::FirstPacket,
                    Metric::Latency,
                    series,
                );
                let price = fit.map_or_else(String::new, |fit| {
                    let unit = unit_of_times(rows());
                    format!(
                        ": {} a service ({})",
                        value(fit.estimate, unit),
                        spread_of_fit(fit, |ends| interval(ends, unit))
                    )
                });
                series.key(format!("{}{price}", series.name))
            })
            .collect(),
    })
}

fn line(source: &Source<'_>, scope: &Scope, series: &Series<'_>, percentile: &str) -> Line {
    let middle = percentile == "p50";
    let point = |row: &Row| {
        let y = match middle {
            true => row.median?,
            false => *row.quantiles.get(percentile)?,
        };
        Some(Point {
            x: f64::from(row.key.services),
            y,
            ci95: bar(row).filter(|_| middle),
            at: whole(row.key.services.into()),
            text: if middle {
                stated(row)
            } else {
                value(y, row.unit?)
            },
        })
    };
    let fit = fit_of(
        source.summary,
        scope,
        ScenarioKind::FirstPacket,
        Metric::Latency,
        series,
    );
    let curve = fit.filter(|_| middle).map_or_else(Vec::new, curve);
    Line {
        points: series.measured().filter_map(point).collect(),
        ..series.line(curve)
    }
}
