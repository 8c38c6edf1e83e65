//! First-packet latency against N for the service that headlines are about: a panel for each percentile.

use schema::{CellKey, Metric, Protocol, ScenarioKind};

use super::axis::Axis;
use super::chart::{Series, Source, extents, measured, over_n, unit_of_times};
use super::figure::{Figure, Key, Line, Seen};
use super::notes::{behind_points, crosses, described, gaps, left_out};
use crate::quantity::{interval, value};
use crate::view::spread_of_fit;

const PERCENTILES: &[(&str, &str)] = &[
    ("p50", "p50: half of the first packets are faster"),
    ("p90", "p90: nine in ten are faster"),
    ("p99", "p99: ninety-nine in a hundred are faster"),
];

/// TCP: SYN to SYN-ACK. UDP: request to reply.
pub(super) fn figure(source: &Source<'_>, protocol: Protocol) -> Option<Figure> {
    let (scope, summary) = (source.scope, source.summary);
    let shown = scope.shown(summary);
    let asks = |key: &CellKey| {
        key.scenario == ScenarioKind::FirstPacket
            && shown.holds(&key.options)
            && key.options.protocol() == Some(protocol)
    };
    let series = source.series(Metric::Latency, asks);
    let rows = || measured(&series);
    let panels = PERCENTILES.iter().filter_map(|(name, heading)| {
        // Each percentile has an axis of its own: a p99 of milliseconds would flatten the medians.
        let shown = rows().filter_map(|row| row.quantiles.get(*name).copied());
        let y = Axis::log("latency", shown, unit_of_times(rows()))?;
        Some(over_n(heading, &series, y, |series| {
            line(source, series, name)
        }))
    });
    let title = format!(
        "How long does the first {} packet of a new flow take to {} of N services{}?",
        protocol.name().to_uppercase(),
        scope.position(summary).map_or("", |at| at.row().which),
        shown.caches()
    );
    let figure = Figure::of(title, panels.collect())?;
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
    notes.extend(left_out(&source.every_series(Metric::Latency, asks)));
    notes.extend(gaps(&series));
    Some(Figure {
        notes,
        alt: described(&series),
        legend: series.iter().map(|one| key(source, one)).collect(),
        ..figure
    })
}

fn key(source: &Source<'_>, series: &Series<'_>) -> Key {
    let unit = unit_of_times(series.measured());
    let price = source.fit(series).map_or_else(String::new, |fit| {
        format!(
            ": {} a service ({})",
            value(fit.estimate, unit),
            spread_of_fit(fit, |ends| interval(ends, unit))
        )
    });
    series.key(format!("{}{price}", series.name))
}

fn line(source: &Source<'_>, series: &Series<'_>, percentile: &str) -> Line {
    if percentile == "p50" {
        return series.line(source.curve(series));
    }
    let points = series.measured().filter_map(|row| {
        let y = *row.quantiles.get(percentile)?;
        let seen = Seen::Median { y, ci95: None };
        Some(series.at(row, value(y, row.unit?), seen))
    });
    series.line_of(points, Vec::new())
}
