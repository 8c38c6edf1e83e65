//! A small picture of a chart: the lines of its first panel, without words. Small multiples of the top of the
//! page; each leads to its chart.

use plotters::coord::ranged1d::Ranged;
use plotters::prelude::*;

use super::PlotError;
use super::figure::{Body, Figure};
use super::pen::{refused, series_class};
use super::style::{GRID, PAPER};
use super::svg::{Sheet, Svg, document};

const WIDTH: i32 = 200;
const HEIGHT: i32 = 120;
const MARGIN: i32 = 8;

impl Figure {
    /// The small picture; `None` when the chart has no lines.
    ///
    /// # Errors
    /// [`PlotError::Plot`] when plotters refuses.
    pub fn thumbnail_svg(&self) -> Result<Option<String>, PlotError> {
        let lines = self.panels.iter().find_map(|panel| match &panel.body {
            Body::Lines { x, y, lines } => Some((x, y, lines)),
            _ => None,
        });
        let Some((x, y, lines)) = lines else {
            return Ok(None);
        };
        let sheet = Sheet::default();
        let size = (WIDTH as u32, HEIGHT as u32);
        let root = Svg::new(&sheet, size).into_drawing_area();
        root.fill(&PAPER).map_err(refused)?;
        let across = (MARGIN, WIDTH - MARGIN);
        let up = (HEIGHT - MARGIN, MARGIN);
        for (tick, _) in &y.ticks {
            let at = y.map(tick, up);
            let line = [(across.0, at), (across.1, at)];
            root.draw(&PathElement::new(line, GRID)).map_err(refused)?;
        }
        for line in lines {
            sheet.open(&series_class(line.mode), None);
            let mut path: Vec<(i32, i32)> = line
                .points
                .iter()
                .map(|point| (point.x, point.y))
                .filter(|(at, value)| x.holds(*at) && y.holds(*value))
                .map(|(at, value)| (x.map(&at, across), y.map(&value, up)))
                .collect();
            if let [(x, y)] = path.as_slice() {
                path = vec![(x - 3, *y), (x + 3, *y)];
            }
            root.draw(&PathElement::new(path, line.style.color.stroke_width(2)))
                .map_err(refused)?;
            sheet.close();
        }
        let name = format!("Small picture of: {}", self.title);
        Ok(Some(document(&sheet, size, &name, false)))
    }
}
