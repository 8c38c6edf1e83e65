//! Drawing named rows along one axis: the name on the left, the mark in the middle, the value in words
//! on the right. Rows need no legend and no colour to be read.

use plotters::coord::ranged1d::Ranged;
use plotters::prelude::*;

use super::PlotError;
use super::axis::Axis;
use super::figure::{Mark, NamedRow};
use super::pen::{
    Area, LETTER, MARGIN, NOTE, WIDTH, marker, refused, series_class, text, wrapped_to,
};
use super::style::{GRID, INK, MUTED, PAPER, Style};
use super::svg::Sheet;
use crate::quantity::shortened;

/// Room for names, for values, and the height of a line of text.
const NAMES: i32 = 130;
const VALUES: i32 = 122;
const LINE: i32 = NOTE + 4;
/// Height of the axis' labels and title.
const AXIS: i32 = 42;
const BAR: i32 = 10;

/// Pixels that the rows need.
pub(super) fn height(rows: &[NamedRow], labelled: bool) -> i32 {
    let rows: i32 = rows.iter().map(row_height).sum();
    rows + 10 + if labelled { AXIS } else { 0 }
}

fn row_height(row: &NamedRow) -> i32 {
    let lines = name(row).len().max(value(row).len());
    lines as i32 * LINE + 6
}

fn name(row: &NamedRow) -> Vec<String> {
    wrapped_to(&shortened(&row.name, 80), NOTE, NAMES - 6)
}

fn value(row: &NamedRow) -> Vec<String> {
    wrapped_to(&shortened(&row.text, 80), NOTE, VALUES - 4)
}

/// Draws rows from `top` pixels below the area's upper edge.
///
/// # Errors
/// [`PlotError::Plot`] when plotters refuses.
pub(super) fn draw(
    area: &Area,
    sheet: &Sheet,
    axis: &Axis,
    rows: &[NamedRow],
    top: i32,
    labelled: bool,
) -> Result<(), PlotError> {
    let bottom = top + height(rows, false);
    let across = (MARGIN + NAMES, WIDTH - MARGIN - VALUES);
    grid(area, axis, across, (top + 2, bottom), labelled)?;
    let mut y = top + 6;
    for row in rows {
        let (names, values) = (name(row), value(row));
        sheet.open(&series_class(row.mode), None);
        sheet.open(
            "p",
            Some(&shortened(&format!("{}: {}", row.name, row.text), 200)),
        );
        for (x, lines) in [(MARGIN, &names), (across.1 + 8, &values)] {
            let spare = row_height(row) - 6 - lines.len() as i32 * LINE;
            for (index, line) in lines.iter().enumerate() {
                let at = (x, y + spare / 2 + index as i32 * LINE);
                text(area, line, at, NOTE, INK)?;
            }
        }
        draw_mark(area, row, y + row_height(row) / 2 - 4, |value| {
            axis.map(&value, across)
        })?;
        sheet.close();
        sheet.close();
        y += row_height(row);
    }
    Ok(())
}

/// Vertical lines at the ticks, and where the axis is labelled their labels, as many as have room.
fn grid(
    area: &Area,
    axis: &Axis,
    across: (i32, i32),
    (top, bottom): (i32, i32),
    labelled: bool,
) -> Result<(), PlotError> {
    let ticks: Vec<(i32, i32, &str)> = axis
        .ticks
        .iter()
        .map(|(tick, label)| {
            let width = label.chars().count() as f64 * f64::from(NOTE) * LETTER;
            (axis.map(tick, across), width as i32 / 2, label.as_str())
        })
        .collect();
    // Every tick, or every second or third of them, until their labels stand apart.
    let apart = |stride: usize| {
        let shown: Vec<_> = ticks.iter().step_by(stride).collect();
        let clear = |pair: &[&(i32, i32, &str)]| pair[0].0 + pair[0].1 + 4 < pair[1].0 - pair[1].1;
        shown.windows(2).all(clear)
    };
    let stride = (1..=ticks.len()).find(|stride| apart(*stride)).unwrap_or(1);
    for (index, &(x, half, label)) in ticks.iter().enumerate() {
        area.draw(&PathElement::new([(x, top), (x, bottom)], GRID))
            .map_err(refused)?;
        if labelled && index % stride == 0 {
            text(area, label, (x - half, bottom + 5), NOTE, INK)?;
        }
    }
    let line = [(across.0, bottom), (across.1, bottom)];
    area.draw(&PathElement::new(line, MUTED)).map_err(refused)?;
    if labelled {
        let at = (across.0, bottom + 5 + LINE);
        text(area, &axis.title, at, NOTE, MUTED)?;
    }
    Ok(())
}

fn draw_mark(area: &Area, row: &NamedRow, y: i32, x: impl Fn(f64) -> i32) -> Result<(), PlotError> {
    let stroke = row.style.color.stroke_width(2);
    let path = |points: Vec<(i32, i32)>| area.draw(&PathElement::new(points, stroke));
    match &row.mark {
        &Mark::Dot { at, ci95 } => {
            if let Some(ends) = ci95 {
                let [low, high] = ends.map(&x);
                path(vec![(low, y), (high, y)]).map_err(refused)?;
                for end in [low, high] {
                    path(vec![(end, y - 4), (end, y + 4)]).map_err(refused)?;
                }
            }
            dot(area, row.style, (x(at), y))
        }
        Mark::Beyond(bound) => {
            let at = x(*bound);
            path(vec![(at, y - 5), (at, y + 5)]).map_err(refused)?;
            path(vec![(at, y), (at + 15, y)]).map_err(refused)?;
            path(vec![(at + 10, y - 5), (at + 16, y), (at + 10, y + 5)]).map_err(refused)
        }
        Mark::Stack(parts) => {
            let mut sum = 0.0;
            let mut ends = vec![x(0.0)];
            for part in parts {
                sum += part.max(0.0);
                ends.push(x(sum));
            }
            stack(area, row.style, y, &ends)
        }
        Mark::Nothing => Ok(()),
    }
}

fn dot(area: &Area, style: Style, (x, y): (i32, i32)) -> Result<(), PlotError> {
    let moved = |points: Vec<(i32, i32)>| -> Vec<(i32, i32)> {
        points
            .into_iter()
            .map(|(dx, dy)| (x + dx, y + dy))
            .collect()
    };
    let (corners, outline) = marker(style.marker);
    let fill = if style.hollow { PAPER } else { style.color };
    area.draw(&Polygon::new(moved(corners), fill.filled()))
        .map_err(refused)?;
    area.draw(&PathElement::new(
        moved(outline),
        style.color.stroke_width(2),
    ))
    .map_err(refused)
}

/// Opacity of the parts of a stack: told apart without colour.
const SHADES: [f64; 4] = [1.0, 0.25, 0.6, 0.1];

/// The first part filled, the others paler; all outlined.
fn stack(area: &Area, style: Style, y: i32, ends: &[i32]) -> Result<(), PlotError> {
    let (top, bottom) = (y - BAR / 2, y + BAR / 2);
    for (pair, shade) in ends.windows(2).zip(SHADES.iter().cycle()) {
        if pair[1] > pair[0] {
            let corners = [(pair[0], top), (pair[1], bottom)];
            area.draw(&Rectangle::new(corners, style.color.mix(*shade).filled()))
                .map_err(refused)?;
        }
    }
    // What is too short for its scale is still a line.
    let (Some(from), Some(to)) = (ends.first(), ends.last()) else {
        return Ok(());
    };
    let outline = [(*from, top), ((*to).max(from + 1), bottom)];
    area.draw(&Rectangle::new(outline, style.color.stroke_width(1)))
        .map_err(refused)
}
