//! Percentile ladders: first-packet latency from the fastest to the slowest, at the largest N. The places are evenly apart: what is rare has as much room as what is common.

use schema::{CellKey, Metric, Position, Protocol, ScenarioKind};

use super::axis::Axis;
use super::chart::{Series, Source, measured, unit_of_times};
use super::figure::{Figure, Line, Panel, Point, Seen};
use super::notes::{gaps, left_out, samples_in_stays};
use crate::quantity::{value, whole};

/// Steps of the ladder: names of quantiles in a summary.
const STEPS: &[&str] = &["min", "p50", "p90", "p99", "p99.9", "max"];

/// What the tails of a closed loop leave out.
const CLOSED_LOOP: &str = "Closed loop: the next packet waits for the reply, so a stall counts once, however many packets it would have held up; real tails are longer.";

pub(super) fn figure(source: &Source<'_>) -> Option<Figure> {
    let (scope, largest) = (source.scope, source.largest());
    let shown = scope.shown(source.summary);
    // At the largest N, by the position of the headlines.
    let asks = |key: &CellKey| {
        key.scenario == ScenarioKind::FirstPacket
            && key.services == largest
            && shown.holds(&key.options)
    };
    let (mut panels, mut legend) = (Vec::new(), Vec::new());
    for protocol in Protocol::ALL {
        let series = source.series(Metric::Latency, |key| {
            asks(key) && key.options.protocol() == Some(*protocol)
        });
        // A key a series of the first protocol that was asked.
        if legend.is_empty() {
            legend.extend(series.iter().map(|one| one.key(one.name.clone())));
        }
        panels.extend(panel(&series, *protocol));
    }
    // "any", "the last": which service of all.
    let position = scope.position(source.summary).unwrap_or(Position::Uniform);
    let title = format!(
        "How slow are the slow ones? First packets to {} of {} services{}",
        position.row().which,
        whole(largest.into()),
        shown.caches()
    );
    let figure = Figure::of(title, panels)?;
    let all = source.series(Metric::Latency, asks);
    let mut notes = vec![
        format!(
            "Quantiles of all samples, without intervals; {} behind each line. A step is drawn only where enough samples were taken to see it.",
            samples_in_stays(measured(&all))
        ),
        CLOSED_LOOP.to_owned(),
    ];
    notes.extend(left_out(&source.every_series(Metric::Latency, asks)));
    notes.extend(gaps(&all));
    Some(Figure {
        notes,
        alt: "Quantiles of first-packet latency by mode.".to_owned(),
        legend,
        ..figure
    })
}

fn panel(series: &[Series<'_>], protocol: Protocol) -> Option<Panel> {
    let lines: Vec<Line> = series.iter().map(line).collect();
    let shown = lines.iter().flat_map(Line::medians).map(|(_, y)| y);
    let x = Axis::places("share of first packets that are faster", STEPS);
    let y = Axis::log("latency", shown, unit_of_times(measured(series)))?;
    let heading = protocol.name().to_uppercase();
    Some(Panel::lines(&heading, x, y, lines))
}

fn line(series: &Series<'_>) -> Line {
    let points = series.measured().flat_map(|row| {
        STEPS.iter().enumerate().filter_map(|(place, step)| {
            let y = *row.quantiles.get(*step)?;
            Some(Point {
                x: place as f64,
                at: (*step).to_owned(),
                text: value(y, row.unit?),
                seen: Seen::Median { y, ci95: None },
            })
        })
    });
    Line {
        points: points.collect(),
        ..series.line(Vec::new())
    }
}
