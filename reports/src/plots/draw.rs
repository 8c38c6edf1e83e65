//! Drawing a [`Figure`]: title, panels, legend, notes, from top to bottom.

use plotters::coord::cartesian::Cartesian2d;
use plotters::coord::ranged1d::Ranged;
use plotters::prelude::*;

use super::PlotError;
use super::axis::Axis;
use super::draw_rows;
use super::figure::{Body, Figure, Key, Line, Point, Seen};
use super::room::{MARGIN, NOTE, WIDTH, width_of, wrapped};
use super::style::{GRID, INK, MUTED, Style};
use super::svg::{Sheet, letter_height};
use crate::quantity::shortened;

const TITLE: i32 = 17;
const TEXT: i32 = 13;
const HEADING_HEIGHT: i32 = 24;
const LEGEND_LINE: i32 = 20;
/// Pixels from the margin to the text of a line of the legend.
const KEY: i32 = 42;
/// Room on the left of a panel for the title of its axis, beside the longest of its labels; and the least for both.
const AXIS_TITLE: i32 = 34;
const LEAST_LEFT: i32 = 78;
/// Room on the right of a panel whose lines are named at their ends.
const LABEL_WIDTH: i32 = 108;
/// Letters of a note, a title and a name.
const LONGEST_NOTE: usize = 600;
const LONGEST_NAME: usize = 60;
/// Letters of a key of the legend, which may take several lines.
const LONGEST_KEY: usize = 160;

impl Figure {
    /// The chart as a file of its own: with its title and notes, in the reader's colour scheme.
    ///
    /// # Errors
    /// [`PlotError::Plot`] when plotters refuses.
    pub fn standalone_svg(&self) -> Result<String, PlotError> {
        self.svg(true)
    }

    /// The chart for a page that shows title and notes, and has the style of its classes.
    ///
    /// # Errors
    /// As [`Figure::standalone_svg`].
    pub fn inline_svg(&self) -> Result<String, PlotError> {
        self.svg(false)
    }

    fn svg(&self, standalone: bool) -> Result<String, PlotError> {
        let sheet = Sheet::default();
        let mut y = MARGIN;
        let write = |text: &str, size: i32, gap: i32, color: RGBColor, y: &mut i32| {
            for line in wrapped(text, LONGEST_NOTE, size, WIDTH - 2 * MARGIN) {
                sheet.text(&line, (MARGIN, *y), size, color);
                *y += size + gap;
            }
        };
        if standalone {
            write(&self.title, TITLE, 6, INK, &mut y);
        }
        let left = self.room_on_the_left();
        for panel in &self.panels {
            let mut top = y;
            if self.panels.len() > 1 {
                let heading = shortened(&panel.heading, LONGEST_NAME + 10);
                sheet.text(&heading, (MARGIN, y + 6), TEXT + 1, INK);
                top += HEADING_HEIGHT;
            }
            y = match &panel.body {
                Body::Rows { x, rows, labelled } => {
                    draw_rows::draw(&sheet, x, rows, top, *labelled)
                }
                Body::Lines { x, y: up, lines } => {
                    let bottom = top + lines_height(self.panels.len());
                    draw_lines(&sheet, (y, top, bottom), left, (x, up), lines)?;
                    bottom
                }
            };
        }
        y += 6;
        for key in &self.legend {
            y = sheet.of(key.mode, || draw_key(&sheet, key, y));
        }
        if standalone && !self.notes.is_empty() {
            y += 8;
            for note in &self.notes {
                write(note, NOTE, 5, MUTED, &mut y);
            }
        }
        let name = format!("{} {}", self.title, shortened(&self.alt, 4 * LONGEST_NOTE));
        Ok(sheet.document((WIDTH, y + MARGIN), &name, standalone))
    }
}

impl Figure {
    /// Room for the upright axes of all panels, which begin below each other.
    fn room_on_the_left(&self) -> i32 {
        let ticks = self.panels.iter().flat_map(|panel| match &panel.body {
            Body::Lines { y, .. } => y.ticks.as_slice(),
            Body::Rows { .. } => &[],
        });
        let letters = ticks.map(|(_, label)| label.chars().count()).max();
        let labels = width_of(letters.unwrap_or(0), TEXT) as i32;
        LEAST_LEFT.max(labels + AXIS_TITLE)
    }
}

/// Pixels of a panel of lines, of one of so many.
fn lines_height(panels: usize) -> i32 {
    match panels {
        0 | 1 => 340,
        2 => 264,
        _ => 216,
    }
}

/// A panel while lines are drawn into it.
struct Plot<'a> {
    sheet: &'a Sheet,
    axes: ChartContext<'a, Sheet, Cartesian2d<Axis, Axis>>,
    x: &'a Axis,
    y: &'a Axis,
}

fn refused(error: impl std::fmt::Display) -> PlotError {
    PlotError::Plot(error.to_string())
}

/// Draws a panel of lines, from its upper edge and that of its content to its lower edge.
fn draw_lines(
    sheet: &Sheet,
    (edge, top, bottom): (i32, i32, i32),
    left: i32,
    (x, y): (&Axis, &Axis),
    lines: &[Line],
) -> Result<(), PlotError> {
    let size = (WIDTH as u32, (bottom - edge) as u32);
    let area = sheet.clone().into_drawing_area().shrink((0, edge), size);
    let labelled = lines.iter().any(|line| line.labelled);
    let right = if labelled { LABEL_WIDTH } else { 6 };
    let label = ("sans-serif", letter_height(TEXT)).into_text_style(&area);
    let mut axes = ChartBuilder::on(&area)
        .margin_top(top - edge + 6)
        .margin_right(MARGIN + right)
        .margin_left(4)
        .x_label_area_size(44)
        .y_label_area_size(left)
        .build_cartesian_2d(x.clone(), y.clone())
        .map_err(refused)?;
    axes.configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(MUTED)
        .label_style(label.color(&INK))
        .axis_desc_style(label.color(&MUTED))
        .x_desc(x.title.as_str())
        .y_desc(y.title.as_str())
        .x_labels(x.ticks.len().max(1))
        .y_labels(y.ticks.len().max(1))
        .draw()
        .map_err(refused)?;
    let mut plot = Plot { sheet, axes, x, y };
    let mut with_gaps = 0;
    for line in lines {
        sheet.of(line.mode, || plot.draw(line, with_gaps))?;
        let is_gap = |point: &Point| matches!(point.seen, Seen::Nothing { .. });
        with_gaps += i32::from(line.points.iter().any(is_gap));
    }
    plot.name(lines, (edge, bottom));
    Ok(())
}

impl Plot<'_> {
    /// Where values lie in the picture; `None` beside the axes.
    fn at(&self, (x, y): (f64, f64)) -> Option<(i32, i32)> {
        let holds = self.x.holds(x) && self.y.holds(y);
        holds.then(|| self.axes.backend_coord(&(x, y)))
    }

    /// A line with its points; crosses stand beside those of so many lines before.
    fn draw(&mut self, line: &Line, with_gaps: i32) -> Result<(), PlotError> {
        let joined = line.medians().filter(|_| line.curve.is_empty());
        for mut path in [joined.collect(), line.curve.clone()] {
            path.retain(|place| self.at(*place).is_some());
            self.path(path, line.style)?;
        }
        for point in &line.points {
            let name = shortened(&line.name, LONGEST_NAME);
            let text = shortened(&point.said(), 2 * LONGEST_NAME);
            let title = format!("{name}, {}: {text}", point.at);
            self.point(line.style, point, &title, with_gaps);
        }
        Ok(())
    }

    fn path(&mut self, path: Vec<(f64, f64)>, style: Style) -> Result<(), PlotError> {
        if path.len() < 2 {
            return Ok(());
        }
        let stroke = style.color.stroke_width(2);
        let drawn = match style.dash {
            None => self
                .axes
                .draw_series(LineSeries::new(path, stroke))
                .map(drop),
            Some((length, gap)) => {
                let dashed = DashedLineSeries::new(path, length, gap, stroke);
                self.axes.draw_series(dashed).map(drop)
            }
        };
        drawn.map_err(refused)
    }

    /// What has no place on an axis (a time of 0 on a logarithmic one) is in the notes and the numbers.
    fn point(&self, style: Style, point: &Point, title: &str, with_gaps: i32) {
        let (lowest, highest) = (self.y.range().start, self.y.range().end);
        let stroke = |points: Vec<(i32, i32)>| self.sheet.path(points, style.color, 2);
        match &point.seen {
            Seen::Median { y, ci95 } => {
                let Some(at) = self.at((point.x, *y)) else {
                    return;
                };
                let place = |end: f64| self.axes.backend_coord(&(point.x, end));
                self.sheet.point(title, || {
                    // A bar from end to end of the interval, capped where it ends on the axis.
                    if let Some(ends) = ci95 {
                        stroke(ends.map(|end| place(end.clamp(lowest, highest))).to_vec());
                        for end in ends.iter().filter(|end| self.y.holds(**end)) {
                            let (x, y) = place(*end);
                            stroke(vec![(x - 4, y), (x + 4, y)]);
                        }
                    }
                    self.sheet.marker(style, at);
                });
            }
            // An arrow upwards: the true value is above.
            Seen::Above(bound) => {
                let (x, y) = self.axes.backend_coord(&(point.x, *bound));
                self.sheet.point(title, || {
                    stroke(vec![(x - 6, y), (x + 6, y)]);
                    stroke(vec![(x, y), (x, y - 16)]);
                    stroke(vec![(x - 5, y - 11), (x, y - 17), (x + 5, y - 11)]);
                });
            }
            // A cross on the lower edge, beside those of others.
            Seen::Nothing { .. } if self.x.holds(point.x) => {
                let (x, y) = self.axes.backend_coord(&(point.x, lowest));
                let (x, y) = (x + (with_gaps % 3) * 8 - 8, y - (with_gaps / 3) * 9);
                self.sheet.point(title, || {
                    stroke(vec![(x - 3, y - 3), (x + 3, y + 3)]);
                    stroke(vec![(x - 3, y + 3), (x + 3, y - 3)]);
                });
            }
            Seen::Nothing { .. } => {}
        }
    }

    /// Names at the ends of lines, as near to their last points as they can stand below each other.
    fn name(&self, lines: &[Line], (edge, bottom): (i32, i32)) {
        let labelled = lines.iter().filter(|line| line.labelled);
        let mut ends: Vec<(i32, i32, &Line)> = labelled
            .filter_map(|line| {
                let placed = |(_, y): &(f64, f64)| y.is_finite() && *y > 0.0;
                let (x, y) = self
                    .axes
                    .backend_coord(&line.medians().filter(placed).last()?);
                Some((x, y, line))
            })
            .collect();
        ends.sort_by_key(|(_, y, ..)| *y);
        // From the lowest up, so that names stay above the axis; then pushed down where they would overlap.
        let step = NOTE + 2;
        let mut at: Vec<i32> = ends.iter().map(|(_, y, ..)| *y).collect();
        for index in (0..at.len()).rev() {
            let below = at.get(index + 1).map_or(bottom - 50, |next| next - step);
            at[index] = at[index].min(below);
        }
        for index in 0..at.len() {
            let above = index.checked_sub(1).map_or(edge + NOTE, |i| at[i] + step);
            at[index] = at[index].max(above);
        }
        let names = WIDTH - LABEL_WIDTH + 2;
        for ((x, y, line), at) in ends.into_iter().zip(at) {
            self.sheet.of(line.mode, || {
                let leader = [(x + 7, y), (names - 10, at), (names - 3, at)];
                self.sheet.path(leader, line.style.color, 1);
                let name = shortened(&line.name, 16);
                self.sheet
                    .text(&name, (names, at - NOTE / 2 - 1), NOTE, INK);
            });
        }
    }
}

/// A line of the legend, in as many lines of text as it takes; returns where it ends.
fn draw_key(sheet: &Sheet, key: &Key, y: i32) -> i32 {
    let middle = y + LEGEND_LINE / 2;
    let (length, gap) = key.style.dash.unwrap_or((34, 0));
    let mut x = MARGIN;
    while x < MARGIN + 34 {
        let end = (x + length).min(MARGIN + 34);
        sheet.path([(x, middle), (end, middle)], key.style.color, 2);
        x = end + gap.max(1);
    }
    sheet.marker(key.style, (MARGIN + 17, middle));
    let mut top = y;
    for line in wrapped(&key.text, LONGEST_KEY, TEXT, WIDTH - 2 * MARGIN - KEY) {
        let at = (MARGIN + KEY, top + (LEGEND_LINE - TEXT) / 2 - 1);
        sheet.text(&line, at, TEXT, INK);
        top += LEGEND_LINE;
    }
    top
}
