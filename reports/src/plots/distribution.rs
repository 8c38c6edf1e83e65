//! Distributions: which share of first packets takes at most so long, at the largest N.

use schema::summary::Row;
use schema::{Metric, Protocol};

use super::axis::Axis;
use super::chart::{Series, Source, gaps, samples_in_stays, series, unit_of_times};
use super::figure::{Body, Figure, Line, Panel, Point};
use super::percentile_ladder::{CLOSED_LOOP, asked, legend, of_protocol, whom};
use crate::quantity::{digits, value, whole};
use crate::scope::Scope;

/// Shares whose latency is marked.
const MARKED: &[f64] = &[0.1, 0.25, 0.5, 0.75, 0.9];
/// Points of a curve.
const STEPS: u32 = 100;
/// The axis ends where all but this share of the slowest mode's packets have been served: the rest is on
/// the percentile ladder.
const REST: f64 = 0.005;

pub(super) fn figure(source: &Source<'_>, scope: &Scope) -> Option<Figure> {
    let panels: Vec<Panel> = Protocol::ALL
        .iter()
        .filter_map(|protocol| panel(source, scope, *protocol))
        .collect();
    if panels.is_empty() {
        return None;
    }
    let all = series(source.summary, scope, Metric::Latency, asked(scope, source));
    let mut notes = vec![format!(
        "All samples of all stays together, without intervals; {} behind each curve. Marks at 10, 25, 50, 75 and 90 %; the slowest 0.5 % are on the percentile ladder.",
        samples_in_stays(all.iter().flat_map(Series::measured))
    )];
    notes.push(CLOSED_LOOP.to_owned());
    notes.extend(gaps(&all));
    Some(Figure {
        name: String::new(),
        title: format!(
            "What share of first packets is served in time? To {} of {} services",
            whom(source, scope),
            whole(scope.largest(source.summary).into())
        ),
        notes,
        alt: "Cumulative distributions of first-packet latency by mode.".to_owned(),
        legend: legend(source, scope),
        panels,
    })
}

fn panel(source: &Source<'_>, scope: &Scope, protocol: Protocol) -> Option<Panel> {
    let all = of_protocol(source, scope, protocol);
    let lines: Vec<Line> = all
        .iter()
        .flat_map(|series| {
            let rows: Vec<&Row> = series.measured().collect();
            rows.into_iter().filter_map(|row| line(source, series, row))
        })
        .collect();
    let shown = lines.iter().flat_map(|line| &line.curve).map(|(x, _)| *x);
    let rows = all.iter().flat_map(Series::measured);
    let x = Axis::log("latency", shown, unit_of_times(rows))?;
    Some(Panel {
        heading: protocol.name().to_uppercase(),
        body: Body::Lines {
            x,
            y: Axis::shares(),
            lines,
        },
    })
}

fn line(source: &Source<'_>, series: &Series<'_>, row: &Row) -> Option<Line> {
    let sample = source.sample(&row.key, Metric::Latency)?;
    let curve = (0..=STEPS)
        .map(|step| f64::from(step) / f64::from(STEPS) * (1.0 - REST))
        .map(|share| (sample.quantile(share), 100.0 * share));
    let points = MARKED.iter().map(|share| {
        let x = sample.quantile(*share);
        Point {
            x,
            y: 100.0 * share,
            ci95: None,
            at: format!("{} %", digits(100.0 * share)),
            text: value(x, row.unit.unwrap_or(Metric::Latency.unit())),
        }
    });
    Some(Line {
        points: points.collect(),
        gaps: Vec::new(),
        bounds: Vec::new(),
        ..series.line(curve.collect())
    })
}
