//! First-packet latency by position of the service, at the largest N: a panel for each protocol.

use schema::{CellKey, Metric, Mode, OptionKey, Options, Position, Protocol, ScenarioKind};

use super::axis::Axis;
use super::chart::MOST;
use super::chart::{
    Series, Source, behind_points, every_series, extents, gaps, stated, unit_of_times,
};
use super::figure::{Body, Figure, Key, Line, Panel, Point};
use super::style::Style;
use crate::quantity::{value, whole};
use crate::view::{Scope, series_names};

/// Modes stand beside each other by this share of the distance of two positions.
const STEP: f64 = 0.09;

pub(super) fn figure(source: &Source<'_>, scope: &Scope) -> Option<Figure> {
    let summary = source.summary;
    let largest = scope.largest(summary);
    let asks = |key: &CellKey| {
        key.scenario == ScenarioKind::FirstPacket
            && key.services == largest
            && key.options.position().is_some()
    };
    let series = every_series(summary, scope, Metric::Latency, asks);
    let rows = || series.iter().flat_map(Series::measured);
    let y = Axis::log("median latency", extents(rows()), unit_of_times(rows()))?;
    let asked = |position: &Position| {
        series
            .iter()
            .any(|s| s.options.position() == Some(*position))
    };
    let used: Vec<Position> = Position::ALL.iter().copied().filter(asked).collect();
    let names_used: Vec<&str> = used.iter().map(|position| position.name()).collect();
    let mut shapes = shapes(&series);
    let all = shapes.len();
    shapes.truncate(MOST);
    let names = series_names(
        &shapes
            .iter()
            .map(|s| (s.mode, &s.options))
            .collect::<Vec<_>>(),
    );
    let panels = Protocol::ALL
        .iter()
        .filter(|protocol| {
            series
                .iter()
                .any(|s| s.options.protocol() == Some(**protocol))
        })
        .map(|protocol| Panel {
            heading: protocol.name().to_uppercase(),
            body: Body::Lines {
                x: Axis::places("position of the service", &names_used),
                y: y.clone(),
                lines: shapes
                    .iter()
                    .enumerate()
                    .zip(&names)
                    .flat_map(|((index, shape), name)| {
                        let shift = (index as f64 - (shapes.len() as f64 - 1.0) / 2.0) * STEP;
                        // "uniform" is no place between others: its points stand alone.
                        [true, false].map(|placed| {
                            let used = used.iter().copied().enumerate();
                            let used: Vec<_> = used
                                .filter(|(_, p)| (*p != Position::Uniform) == placed)
                                .collect();
                            line(&series, (shape, name), *protocol, &used, shift)
                        })
                    })
                    .collect(),
            },
        })
        .collect();
    let mut notes = vec![behind_points(rows())];
    if shapes.len() < all {
        notes.push(format!(
            "{all} lines differ in their options; the first {} are drawn, the others are in summary.json.",
            shapes.len()
        ));
    }
    notes.extend(gaps(&series));
    Some(Figure {
        name: String::new(),
        title: format!(
            "Does the position of a service matter? First packets at {} services{}",
            whole(largest.into()),
            scope.shown(source.summary).caches()
        ),
        notes,
        alt: described(&series),
        panels,
        legend: shapes
            .iter()
            .zip(names)
            .map(|(shape, text)| Key {
                mode: shape.mode,
                style: shape.style,
                text,
            })
            .collect(),
    })
}

/// Series that differ in nothing but position and protocol: one line of each panel.
struct Shape {
    mode: Mode,
    options: Options,
    style: Style,
}

fn shapes(series: &[Series<'_>]) -> Vec<Shape> {
    let mut shapes: Vec<Shape> = Vec::new();
    for one in series {
        let (mode, options) = (one.mode, rest_of(one));
        if shapes
            .iter()
            .any(|s| s.mode == mode && s.options == options)
        {
            continue;
        }
        let variant = shapes.iter().filter(|s| s.mode == mode).count();
        shapes.push(Shape {
            mode,
            options,
            style: Style::of(mode, variant),
        });
    }
    shapes
}

/// The options that are not what this chart asks about.
fn rest_of(series: &Series<'_>) -> Options {
    series
        .options
        .without(&[OptionKey::Position, OptionKey::Protocol])
}

fn line(
    series: &[Series<'_>],
    (shape, name): (&Shape, &str),
    protocol: Protocol,
    positions: &[(usize, Position)],
    shift: f64,
) -> Line {
    let points = positions
        .iter()
        .filter_map(|&(place, position)| {
            let series = series.iter().find(|series| {
                series.mode == shape.mode
                    && rest_of(series) == shape.options
                    && series.options.position() == Some(position)
                    && series.options.protocol() == Some(protocol)
            })?;
            let row = series.measured().next()?;
            Some(Point {
                x: place as f64 + shift,
                y: row.median?,
                ci95: crate::view::bar(row),
                at: position.to_string(),
                text: stated(row),
            })
        })
        .collect();
    Line {
        mode: shape.mode,
        name: name.to_owned(),
        style: shape.style,
        points,
        joined: true,
        curve: Vec::new(),
        bounds: Vec::new(),
        gaps: Vec::new(),
        labelled: false,
    }
}

fn described(series: &[Series<'_>]) -> String {
    let parts: Vec<String> = series
        .iter()
        .filter_map(|series| {
            let row = series.measured().next()?;
            Some(format!(
                "{}: {}",
                series.name,
                value(row.median?, row.unit?)
            ))
        })
        .collect();
    format!("Medians. {}.", parts.join("; "))
}
