//! Drawing a heat map: a question a row, a mode a column, darker the further from the lowest of the row.
//! Every tile says its number: no colour has to be read.

use plotters::prelude::*;
use schema::Mode;

use super::PlotError;
use super::draw::{Area, MARGIN, NOTE, WIDTH, refused, series_class, text, wrapped_to};
use super::figure::Tile;
use super::style::{GRID, INK, MUTED, Style};
use super::svg::Sheet;
use crate::quantity::shortened;

const NAMES: i32 = 132;
const LINE: i32 = NOTE + 3;
const HEAD: i32 = 34;
/// Times the lowest at which a tile is as dark as it gets.
const DARKEST: f64 = 100.0;
/// Opacity of the darkest tile: text on it keeps its contrast on the light and on the dark page.
const OPAQUE: f64 = 0.5;
/// Size of the letters in a tile.
const SMALL: i32 = 11;

fn name(name: &str) -> Vec<String> {
    wrapped_to(&shortened(name, 90), NOTE, NAMES - 8)
}

fn row_height(row: &(String, Vec<Tile>)) -> i32 {
    (name(&row.0).len() as i32 * LINE + 8).max(28)
}

/// Pixels that the rows need.
pub(super) fn height(rows: &[(String, Vec<Tile>)]) -> i32 {
    HEAD + rows.iter().map(row_height).sum::<i32>() + 8
}

/// Draws the tiles from `top` pixels below the area's upper edge.
///
/// # Errors
/// [`PlotError::Plot`] when plotters refuses.
pub(super) fn draw(
    area: &Area,
    sheet: &Sheet,
    columns: &[Mode],
    rows: &[(String, Vec<Tile>)],
    top: i32,
) -> Result<(), PlotError> {
    let left = MARGIN + NAMES;
    let column = (WIDTH - MARGIN - left) / columns.len().max(1) as i32;
    for (index, mode) in columns.iter().enumerate() {
        let lines = wrapped_to(&mode.name().replace('-', "- "), SMALL, column - 2);
        for (line, words) in lines.iter().enumerate() {
            let at = (
                left + index as i32 * column + 2,
                top + 4 + line as i32 * (SMALL + 2),
            );
            text(area, words, at, SMALL, MUTED)?;
        }
    }
    let mut y = top + HEAD;
    for row in rows {
        let tall = row_height(row);
        for (index, line) in name(&row.0).iter().enumerate() {
            text(area, line, (MARGIN, y + 3 + index as i32 * LINE), NOTE, INK)?;
        }
        for (index, (mode, tile)) in columns.iter().zip(&row.1).enumerate() {
            let x = left + index as i32 * column;
            sheet.open(&series_class(*mode), None);
            sheet.open("p", Some(&shortened(&tile.hover, 200)));
            draw_tile(area, tile, [(x, y), (x + column - 2, y + tall - 2)])?;
            sheet.close();
            sheet.close();
        }
        y += tall;
    }
    Ok(())
}

fn draw_tile(area: &Area, tile: &Tile, corners: [(i32, i32); 2]) -> Result<(), PlotError> {
    let [(left, top), (right, bottom)] = corners;
    let shade = tile.times.map_or(0.0, |times| {
        OPAQUE * (times.max(1.0).ln() / DARKEST.ln()).min(1.0)
    });
    if shade > 0.0 {
        let color = Style::of(Mode::IptablesLegacy, 0).color.mix(shade);
        area.draw(&Rectangle::new(corners, color.filled()))
            .map_err(refused)?;
    }
    area.draw(&Rectangle::new(corners, GRID.stroke_width(1)))
        .map_err(refused)?;
    if tile.times.is_none() {
        // A gap is crossed out, whatever it says.
        let stroke = PathElement::new([(left, bottom), (right, top)], GRID);
        area.draw(&stroke).map_err(refused)?;
    }
    // Outcomes are longer words than ratios.
    let (color, size) = match tile.times {
        Some(_) => (INK, SMALL),
        None => (MUTED, SMALL - 1),
    };
    let lines = wrapped_to(&tile.text, size, right - left - 2);
    let mut y = top + ((bottom - top) - lines.len() as i32 * (size + 2)) / 2;
    for line in lines {
        text(area, &line, (left + 3, y), size, color)?;
        y += size + 2;
    }
    Ok(())
}
