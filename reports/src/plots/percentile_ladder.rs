//! Percentile ladders: first-packet latency from the fastest to the slowest, at the largest N. The places are evenly apart: what is rare has as much room as what is common.

use schema::{CellKey, Metric, Position, Protocol, ScenarioKind};

use super::axis::Axis;
use super::chart::{Series, Source, gaps, left_out, samples_in_stays, series, unit_of_times};
use super::figure::{Body, Figure, Line, Panel, Point};
use crate::quantity::{value, whole};
use crate::view::Scope;

/// Steps of the ladder: names of quantiles in a summary.
const STEPS: &[&str] = &["min", "p50", "p90", "p99", "p99.9", "max"];

/// What the tails of a closed loop leave out.
const CLOSED_LOOP: &str = "Closed loop: the next packet waits for the reply, so a stall counts once, however many packets it would have held up; real tails are longer.";

/// "any", "the last": which service of all.
fn whom(source: &Source<'_>, scope: &Scope) -> &'static str {
    let position = scope.position(source.summary).unwrap_or(Position::Uniform);
    position.row().which
}

/// Whether a cell is asked: at the largest N, by the position of the headlines.
fn asked(scope: &Scope, source: &Source<'_>) -> impl Fn(&CellKey) -> bool + use<> {
    let largest = scope.largest(source.summary);
    let shown = scope.shown(source.summary);
    move |key| {
        key.scenario == ScenarioKind::FirstPacket
            && key.services == largest
            && shown.holds(&key.options)
    }
}

pub(super) fn figure(source: &Source<'_>, scope: &Scope) -> Option<Figure> {
    let asks = asked(scope, source);
    let panels: Vec<Panel> = Protocol::ALL
        .iter()
        .filter_map(|protocol| panel(source, scope, *protocol))
        .collect();
    if panels.is_empty() {
        return None;
    }
    let all = series(source.summary, scope, Metric::Latency, &asks);
    let mut notes = vec![
        format!(
            "Quantiles of all samples, without intervals; {} behind each line. A step is drawn only where enough samples were taken to see it.",
            samples_in_stays(all.iter().flat_map(Series::measured))
        ),
        CLOSED_LOOP.to_owned(),
    ];
    notes.extend(left_out(source.summary, scope, Metric::Latency, &asks));
    notes.extend(gaps(&all));
    Some(Figure {
        name: String::new(),
        title: format!(
            "How slow are the slow ones? First packets to {} of {} services{}",
            whom(source, scope),
            whole(scope.largest(source.summary).into()),
            scope.shown(source.summary).caches()
        ),
        notes,
        alt: "Quantiles of first-packet latency by mode.".to_owned(),
        legend: legend(source, scope),
        panels,
    })
}

/// A key a series of the first protocol that was asked.
fn legend(source: &Source<'_>, scope: &Scope) -> Vec<super::figure::Key> {
    let of = |protocol: &Protocol| of_protocol(source, scope, *protocol);
    let first = Protocol::ALL.iter().map(of).find(|all| !all.is_empty());
    let keys = first.iter().flatten().map(|s| s.key(s.name.clone()));
    keys.collect()
}

/// The series of one protocol.
fn of_protocol<'a>(source: &Source<'a>, scope: &'a Scope, protocol: Protocol) -> Vec<Series<'a>> {
    let asks = asked(scope, source);
    series(source.summary, scope, Metric::Latency, |key| {
        asks(key) && key.options.protocol() == Some(protocol)
    })
}

fn panel(source: &Source<'_>, scope: &Scope, protocol: Protocol) -> Option<Panel> {
    let all = of_protocol(source, scope, protocol);
    let lines: Vec<Line> = all.iter().map(line).collect();
    let shown = lines.iter().flat_map(|line| &line.points).map(|p| p.y);
    let rows = all.iter().flat_map(Series::measured);
    let y = Axis::log("latency", shown, unit_of_times(rows))?;
    Some(Panel {
        heading: protocol.name().to_uppercase(),
        body: Body::Lines {
            x: Axis::places("share of first packets that are faster", STEPS),
            y,
            lines,
        },
    })
}

fn line(series: &Series<'_>) -> Line {
    let rows = series.measured();
    let points = rows.flat_map(|row| {
        STEPS.iter().enumerate().filter_map(|(place, step)| {
            let y = *row.quantiles.get(*step)?;
            Some(Point {
                x: place as f64,
                y,
                ci95: None,
                at: (*step).to_owned(),
                text: value(y, row.unit?),
            })
        })
    });
    Line {
        points: points.collect(),
        gaps: Vec::new(),
        bounds: Vec::new(),
        ..series.line(Vec::new())
    }
}
