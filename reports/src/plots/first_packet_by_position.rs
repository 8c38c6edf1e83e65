//! First-packet latency by position of the service, at the largest N: a panel for each protocol.

use schema::{CellKey, Metric, Mode, OptionKey, Options, Position, Protocol, ScenarioKind};

use super::axis::Axis;
use super::chart::{MOST, Series, Source, extents, measured, stated, unit_of_times};
use super::figure::{Figure, Key, Line, Panel, Point, Seen};
use super::notes::{behind_points, gaps};
use super::style::Style;
use crate::quantity::{value, whole};
use crate::view::{bar, grouped, series_names};

/// Modes stand beside each other by this share of the distance of two positions.
const STEP: f64 = 0.09;

pub(super) fn figure(source: &Source<'_>) -> Option<Figure> {
    let largest = source.largest();
    let series = source.every_series(Metric::Latency, |key: &CellKey| {
        key.scenario == ScenarioKind::FirstPacket
            && key.services == largest
            && key.options.position().is_some()
    });
    let rows = || measured(&series);
    let y = Axis::log("median latency", extents(rows()), unit_of_times(rows()))?;
    let is_asked = |asks: &dyn Fn(&Options) -> bool| series.iter().any(|one| asks(one.options));
    let mut positions = Position::ALL.to_vec();
    positions.retain(|one| is_asked(&|options| options.position() == Some(*one)));
    let names: Vec<&str> = positions.iter().map(|position| position.name()).collect();
    let mut protocols = Protocol::ALL.to_vec();
    protocols.retain(|one| is_asked(&|options| options.protocol() == Some(*one)));
    let (shapes, all) = shapes(&series);
    let panels = protocols.into_iter().map(|protocol| {
        let middle = (shapes.len() as f64 - 1.0) / 2.0;
        let lines = shapes.iter().enumerate().flat_map(|(index, shape)| {
            let shift = (index as f64 - middle) * STEP;
            // "uniform" is no place between others: its points stand alone.
            [true, false].map(|placed| {
                let places = positions.iter().enumerate();
                let places = places.filter(|(_, one)| (**one != Position::Uniform) == placed);
                let points = places.filter_map(|(place, position)| {
                    shape.point(protocol, *position, place as f64 + shift)
                });
                shape.line(points.collect())
            })
        });
        let x = Axis::places("position of the service", &names);
        let lines = lines.collect();
        Panel::lines(&protocol.name().to_uppercase(), x, y.clone(), lines)
    });
    let title = format!(
        "Does the position of a service matter? First packets at {} services{}",
        whole(largest.into()),
        source.scope.shown(source.summary).caches()
    );
    let figure = Figure::of(title, panels.collect())?;
    let mut notes = vec![behind_points(rows())];
    if shapes.len() < all {
        notes.push(format!(
            "{all} lines differ in their options; the first {} are drawn, the others are in summary.json.",
            shapes.len()
        ));
    }
    notes.extend(gaps(&series));
    Some(Figure {
        notes,
        alt: described(&series),
        legend: shapes.iter().map(Shape::key).collect(),
        ..figure
    })
}

/// Series that differ in nothing but position and protocol: one line of each panel.
struct Shape<'a> {
    mode: Mode,
    style: Style,
    name: String,
    series: Vec<&'a Series<'a>>,
}

/// As many shapes as a chart can hold, and how many there are.
fn shapes<'a>(series: &'a [Series<'a>]) -> (Vec<Shape<'a>>, usize) {
    // The options that are not what this chart asks about.
    let rest = |one: &Series<'_>| {
        let options = one.options;
        options.without(&[OptionKey::Position, OptionKey::Protocol])
    };
    let mut groups = grouped(series.iter().map(|one| ((one.mode, rest(one)), one)));
    let all = groups.len();
    groups.truncate(MOST);
    let named = groups.iter().map(|((mode, rest), _)| (*mode, rest));
    let names = series_names(&named.collect::<Vec<_>>());
    let mut shapes: Vec<Shape<'a>> = Vec::new();
    for (((mode, _), series), name) in groups.into_iter().zip(names) {
        let variant = shapes.iter().filter(|shape| shape.mode == mode).count();
        shapes.push(Shape {
            mode,
            style: Style::of(mode, variant),
            name,
            series,
        });
    }
    (shapes, all)
}

impl Shape<'_> {
    fn point(&self, protocol: Protocol, position: Position, x: f64) -> Option<Point> {
        let mut series = self.series.iter();
        let asked = (Some(position), Some(protocol));
        let of = series.find(|one| (one.options.position(), one.options.protocol()) == asked)?;
        let row = of.measured().next()?;
        let (y, ci95) = (row.median?, bar(row));
        Some(Point {
            x,
            at: position.to_string(),
            text: stated(row),
            seen: Seen::Median { y, ci95 },
        })
    }

    fn line(&self, points: Vec<Point>) -> Line {
        Line {
            mode: self.mode,
            name: self.name.clone(),
            style: self.style,
            points,
            curve: Vec::new(),
            labelled: false,
        }
    }

    fn key(&self) -> Key {
        Key {
            mode: self.mode,
            style: self.style,
            text: self.name.clone(),
        }
    }
}

fn described(series: &[Series<'_>]) -> String {
    let parts: Vec<String> = series
        .iter()
        .filter_map(|series| {
            let row = series.measured().next()?;
            let median = value(row.median?, row.unit?);
            Some(format!("{}: {median}", series.name))
        })
        .collect();
    format!("Medians. {}.", parts.join("; "))
}
