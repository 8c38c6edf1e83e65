//! First-packet latency against N for the last service: a panel for each percentile.

use schema::summary::{Row, Summary};
use schema::{CellKey, Metric, Protocol, ScenarioKind};

use super::axis::Axis;
use super::chart::{Series, behind_points, described, gaps, series, sizes, unit_of_times};
use super::figure::{Body, Figure, Key, Line, Panel, Point};
use crate::scope::Scope;

const PERCENTILES: &[(&str, &str)] = &[
    ("p50", "p50: half of the first packets are faster"),
    ("p90", "p90: nine in ten are faster"),
    ("p99", "p99: ninety-nine in a hundred are faster"),
];

/// TCP: SYN to SYN-ACK.
pub(super) fn tcp(summary: &Summary, scope: &Scope) -> Option<Figure> {
    figure(summary, scope, Protocol::Tcp)
}

/// UDP: request to reply.
pub(super) fn udp(summary: &Summary, scope: &Scope) -> Option<Figure> {
    figure(summary, scope, Protocol::Udp)
}

fn figure(summary: &Summary, scope: &Scope, protocol: Protocol) -> Option<Figure> {
    let asks = |key: &CellKey| {
        let is =
            |name: &str, wanted: &str| key.options.get(name).is_some_and(|value| value == wanted);
        key.scenario == ScenarioKind::FirstPacket
            && is("position", "last")
            && is("protocol", protocol.name())
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
                    lines: series.iter().map(|series| line(series, name)).collect(),
                },
            })
        })
        .collect();
    if panels.is_empty() {
        return None;
    }
    let mut notes = vec![behind_points(rows())];
    notes.push(
        "p90 and p99 are quantiles of all samples, without an interval. Axes differ between panels."
            .to_owned(),
    );
    notes.extend(gaps(&series));
    Some(Figure {
        name: String::new(),
        title: format!(
            "How long does the first {} packet of a new flow take to the last of N services?",
            protocol.name().to_uppercase()
        ),
        notes,
        alt: described(&series),
        panels,
        legend: series
            .iter()
            .map(|series| Key {
                style: series.style,
                text: series.name.clone(),
            })
            .collect(),
    })
}

fn line(series: &Series<'_>, percentile: &str) -> Line {
    let point = |row: &Row| {
        let ci95 = if percentile == "p50" { row.ci95 } else { None };
        Some(Point {
            x: f64::from(row.key.services),
            y: *row.quantiles.get(percentile)?,
            ci95,
        })
    };
    Line {
        style: series.style,
        points: series.measured().filter_map(point).collect(),
        joined: true,
        curve: Vec::new(),
        bounds: Vec::new(),
        label: None,
    }
}
