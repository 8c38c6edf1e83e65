//! A small picture of a chart: the lines of its first panel, without words. Small multiples of the top of the
//! page; each leads to its chart.

use plotters::coord::ranged1d::Ranged;

use super::figure::{Body, Figure};
use super::style::GRID;
use super::svg::Sheet;

const WIDTH: i32 = 200;
const HEIGHT: i32 = 120;
const MARGIN: i32 = 8;

impl Figure {
    /// The small picture; `None` when the chart has no lines.
    #[must_use]
    pub fn thumbnail_svg(&self) -> Option<String> {
        let (x, y, lines) = self.panels.iter().find_map(|panel| match &panel.body {
            Body::Lines { x, y, lines } => Some((x, y, lines)),
            Body::Rows { .. } => None,
        })?;
        let sheet = Sheet::default();
        let across = (MARGIN, WIDTH - MARGIN);
        let up = (HEIGHT - MARGIN, MARGIN);
        for (tick, _) in &y.ticks {
            let at = y.map(tick, up);
            sheet.path([(across.0, at), (across.1, at)], GRID, 1);
        }
        for line in lines {
            let placed = line.medians().filter(|at| x.holds(at.0) && y.holds(at.1));
            let mut path: Vec<(i32, i32)> = placed
                .map(|(at, value)| (x.map(&at, across), y.map(&value, up)))
                .collect();
            if let [(x, y)] = path[..] {
                path = vec![(x - 3, y), (x + 3, y)];
            }
            sheet.of(line.mode, || sheet.path(path, line.style.color, 2));
        }
        let name = format!("Small picture of: {}", self.title);
        Some(sheet.document((WIDTH, HEIGHT), &name, false))
    }
}
