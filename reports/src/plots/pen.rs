//! What every picture is drawn with: room, text, marks.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use schema::{Marker, Mode};

use super::PlotError;
use super::svg::Svg;

pub(super) const WIDTH: i32 = 480;
pub(super) const MARGIN: i32 = 12;
pub(super) const NOTE: i32 = 12;
/// Width of a letter of the widest font in use, as a share of its size.
pub(super) const LETTER: f64 = 0.57;

/// Pixels to the right and down.
pub(super) type Offset = (i32, i32);
pub(super) type Area = DrawingArea<Svg, Shift>;

/// Class of what belongs to a mode: the page's script shows and hides it.
pub(super) fn series_class(mode: Mode) -> String {
    format!("s s-{mode}")
}

/// Corners of a marker, and its closed outline.
pub(super) fn marker(marker: Marker) -> (Vec<Offset>, Vec<Offset>) {
    let corners: Vec<Offset> = match marker {
        Marker::Circle => vec![
            (-2, -5),
            (2, -5),
            (5, -2),
            (5, 2),
            (2, 5),
            (-2, 5),
            (-5, 2),
            (-5, -2),
        ],
        Marker::Square => vec![(-4, -4), (4, -4), (4, 4), (-4, 4)],
        Marker::Triangle => vec![(0, -6), (5, 4), (-5, 4)],
        Marker::Inverted => vec![(-5, -4), (5, -4), (0, 6)],
        Marker::Diamond => vec![(0, -6), (5, 0), (0, 6), (-5, 0)],
    };
    let mut closed = corners.clone();
    closed.extend(corners.first());
    (corners, closed)
}

pub(super) fn text(
    area: &Area,
    text: &str,
    at: (i32, i32),
    size: i32,
    color: RGBColor,
) -> Result<(), PlotError> {
    // plotters divides the size by 1.24 when it writes SVG.
    let style = ("sans-serif", f64::from(size) * 1.24)
        .into_text_style(area)
        .color(&color)
        .pos(Pos::new(HPos::Left, VPos::Top));
    area.draw(&Text::new(text.to_owned(), at, style))
        .map_err(refused)
}

/// Lines that fit the figure's width.
pub(super) fn wrapped(text: &str, size: i32) -> Vec<String> {
    wrapped_to(text, size, WIDTH - 2 * MARGIN)
}

/// Lines that fit a width.
pub(super) fn wrapped_to(text: &str, size: i32, width: i32) -> Vec<String> {
    let room = (f64::from(width) / (f64::from(size) * LETTER)) as usize;
    let mut lines = vec![String::new()];
    for word in text.split_whitespace().flat_map(|word| pieces(word, room)) {
        let used = lines.last().map_or(0, |line| line.chars().count());
        if used > 0 && used + 1 + word.chars().count() > room {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(&word);
        }
    }
    lines
}

/// A word that no line has room for, in pieces that one has.
fn pieces(word: &str, room: usize) -> Vec<String> {
    let letters: Vec<char> = word.chars().collect();
    let pieces = letters.chunks(room.max(1));
    pieces.map(|piece| piece.iter().collect()).collect()
}

pub(super) fn refused(error: impl std::fmt::Display) -> PlotError {
    PlotError::Plot(error.to_string())
}
