//! Drawing named rows along one axis: the name on the left, the mark in the middle, the value in words
//! on the right. Rows need no legend and no colour to be read.

use plotters::coord::ranged1d::Ranged;
use plotters::style::Color;

use super::axis::Axis;
use super::figure::{Mark, NamedRow};
use super::room::{MARGIN, NOTE, WIDTH, width_of, wrapped};
use super::style::{GRID, INK, MUTED, Style};
use super::svg::Sheet;
use crate::quantity::shortened;

/// Room for names, for values, and the height of a line of text.
const NAMES: i32 = 130;
const VALUES: i32 = 122;
const LINE: i32 = NOTE + 4;
/// Where the axis begins and ends.
const ACROSS: (i32, i32) = (MARGIN + NAMES, WIDTH - MARGIN - VALUES);
/// Height of the axis' labels and title.
const AXIS: i32 = 42;
const BAR: i32 = 10;

/// Draws rows from `top` on; returns where they end.
pub(super) fn draw(sheet: &Sheet, axis: &Axis, rows: &[NamedRow], top: i32, labelled: bool) -> i32 {
    let texts: Vec<[Vec<String>; 2]> = rows
        .iter()
        .map(|row| {
            [(&row.name, NAMES - 6), (&row.text, VALUES - 4)]
                .map(|(text, room)| wrapped(text, 80, NOTE, room))
        })
        .collect();
    let height = |[names, values]: &[Vec<String>; 2]| names.len().max(values.len()) as i32 * LINE;
    let bottom = top + 10 + texts.iter().map(|text| height(text) + 6).sum::<i32>();
    grid(sheet, axis, (top + 2, bottom), labelled);
    let mut y = top + 6;
    for (row, text) in rows.iter().zip(&texts) {
        let title = shortened(&format!("{}: {}", row.name, row.text), 200);
        let draw = || {
            for (x, lines) in [MARGIN, ACROSS.1 + 8].into_iter().zip(text) {
                let spare = height(text) - lines.len() as i32 * LINE;
                for (index, line) in lines.iter().enumerate() {
                    let at = (x, y + spare / 2 + index as i32 * LINE);
                    sheet.text(line, at, NOTE, INK);
                }
            }
            let middle = y + (height(text) + 6) / 2 - 4;
            mark(sheet, row, middle, |value| axis.map(&value, ACROSS));
        };
        sheet.of(row.mode, || sheet.point(&title, draw));
        y += height(text) + 6;
    }
    bottom + if labelled { AXIS } else { 0 }
}

/// Vertical lines at the ticks, and where the axis is labelled their labels, as many as have room.
fn grid(sheet: &Sheet, axis: &Axis, (top, bottom): (i32, i32), labelled: bool) {
    let ticks: Vec<(i32, i32, &str)> = axis
        .ticks
        .iter()
        .map(|(tick, label)| {
            let width = width_of(label.chars().count(), NOTE);
            (axis.map(tick, ACROSS), width as i32 / 2, label.as_str())
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
        sheet.path([(x, top), (x, bottom)], GRID, 1);
        if labelled && index % stride == 0 {
            sheet.text(label, (x - half, bottom + 5), NOTE, INK);
        }
    }
    sheet.path([(ACROSS.0, bottom), (ACROSS.1, bottom)], MUTED, 1);
    if labelled {
        let at = (ACROSS.0, bottom + 5 + LINE);
        sheet.text(&axis.title, at, NOTE, MUTED);
    }
}

fn mark(sheet: &Sheet, row: &NamedRow, y: i32, x: impl Fn(f64) -> i32) {
    let path = |points: &[(i32, i32)]| sheet.path(points.iter().copied(), row.style.color, 2);
    match &row.mark {
        &Mark::Dot { at, ci95 } => {
            if let Some(ends) = ci95 {
                let [low, high] = ends.map(&x);
                path(&[(low, y), (high, y)]);
                for end in [low, high] {
                    path(&[(end, y - 4), (end, y + 4)]);
                }
            }
            sheet.marker(row.style, (x(at), y));
        }
        Mark::Beyond(bound) => {
            let at = x(*bound);
            path(&[(at, y - 5), (at, y + 5)]);
            path(&[(at, y), (at + 15, y)]);
            path(&[(at + 10, y - 5), (at + 16, y), (at + 10, y + 5)]);
        }
        Mark::Stack(parts) => {
            let mut sum = 0.0;
            let mut ends = vec![x(0.0)];
            for part in parts {
                sum += part.max(0.0);
                ends.push(x(sum));
            }
            stack(sheet, row.style, y, &ends);
        }
        Mark::Nothing => {}
    }
}

/// Opacity of the parts of a stack: told apart without colour.
const SHADES: [f64; 4] = [1.0, 0.25, 0.6, 0.1];

/// The first part filled, the others paler; all outlined.
fn stack(sheet: &Sheet, style: Style, y: i32, ends: &[i32]) {
    let (top, bottom) = (y - BAR / 2, y + BAR / 2);
    for (pair, shade) in ends.windows(2).zip(SHADES.iter().cycle()) {
        if pair[1] > pair[0] {
            let corners = [(pair[0], top), (pair[1], bottom)];
            sheet.rect(corners, "fill", style.color.mix(*shade));
        }
    }
    // What is too short for its scale is still a line.
    if let (Some(from), Some(to)) = (ends.first(), ends.last()) {
        let outline = [(*from, top), ((*to).max(from + 1), bottom)];
        sheet.rect(outline, "stroke", style.color);
    }
}
