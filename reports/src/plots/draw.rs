//! Drawing a [`Figure`]: title, panels, legend, notes, from top to bottom.
//!
//! Figures are narrow (480 units) so that their text stays readable on a telephone, and two fit side
//! by side on a screen.

use plotters::coord::cartesian::Cartesian2d;
use plotters::coord::ranged1d::Ranged;
use plotters::prelude::*;

use super::PlotError;
use super::axis::Axis;
use super::draw_rows;
use super::figure::{Body, Figure, Key, Line, Point};
use super::pen::{
    Area, MARGIN, NOTE, WIDTH, marker, refused, series_class, text, wrapped, wrapped_to,
};
use super::style::{GRID, INK, MUTED, PAPER, Style};
use super::svg::{Sheet, Svg, document};
use crate::quantity::shortened;

const TITLE: i32 = 17;
const TEXT: i32 = 13;
const HEADING_HEIGHT: i32 = 24;
const LEGEND_LINE: i32 = 20;
/// Room on the right of a panel whose lines are named at their ends.
const LABEL_WIDTH: i32 = 108;
/// Letters of a note, a title and a name: nobody reads more in a picture, and a file may hold names of any length.
const LONGEST_NOTE: usize = 600;
const LONGEST_NAME: usize = 60;
/// Letters of a key of the legend, which may take several lines.
const LONGEST_KEY: usize = 160;

type Axes<'a> = ChartContext<'a, Svg, Cartesian2d<Axis, Axis>>;

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
        let title = if standalone {
            wrapped(&shortened(&self.title, LONGEST_NOTE), TITLE)
        } else {
            Vec::new()
        };
        let notes: Vec<String> = if standalone {
            self.notes
                .iter()
                .flat_map(|note| wrapped(&shortened(note, LONGEST_NOTE), NOTE))
                .collect()
        } else {
            Vec::new()
        };
        let heading = if self.panels.len() > 1 {
            HEADING_HEIGHT
        } else {
            0
        };
        let heights: Vec<i32> = self
            .panels
            .iter()
            .map(|panel| heading + body_height(&panel.body, self.panels.len()))
            .collect();
        let title_height = title.len() as i32 * (TITLE + 6);
        let keys: Vec<(&Key, Vec<String>)> = self
            .legend
            .iter()
            .map(|key| (key, key_lines(key)))
            .collect();
        let key_lines: usize = keys.iter().map(|(_, lines)| lines.len()).sum();
        let legend_height = key_lines as i32 * LEGEND_LINE + 6;
        let notes_height = notes.len() as i32 * (NOTE + 5) + if notes.is_empty() { 0 } else { 8 };
        let panels_height: i32 = heights.iter().sum();
        let height = MARGIN + title_height + panels_height + legend_height + notes_height + MARGIN;
        let size = (WIDTH as u32, height as u32);
        let sheet = Sheet::default();
        let root = Svg::new(&sheet, size).into_drawing_area();
        root.fill(&PAPER).map_err(refused)?;
        let mut y = MARGIN;
        for line in &title {
            text(&root, line, (MARGIN, y), TITLE, INK)?;
            y += TITLE + 6;
        }
        for (panel, height) in self.panels.iter().zip(heights) {
            if heading > 0 {
                let heading = shortened(&panel.heading, LONGEST_NAME + 10);
                text(&root, &heading, (MARGIN, y + 6), TEXT + 1, INK)?;
            }
            let area = root.clone().shrink((0, y), (WIDTH as u32, height as u32));
            match &panel.body {
                Body::Lines { x, y, lines } => draw_lines(&area, &sheet, (x, y), lines, heading)?,
                Body::Rows { x, rows, labelled } => {
                    draw_rows::draw(&area, &sheet, x, rows, heading, *labelled)?;
                }
            }
            y += height;
        }
        y += 6;
        for (key, lines) in keys {
            sheet.open(&series_class(key.mode), None);
            draw_key(&root, key, &lines, y)?;
            sheet.close();
            y += lines.len() as i32 * LEGEND_LINE;
        }
        y += 8;
        for line in &notes {
            text(&root, line, (MARGIN, y), NOTE, MUTED)?;
            y += NOTE + 5;
        }
        let name = format!("{} {}", self.title, shortened(&self.alt, 4 * LONGEST_NOTE));
        Ok(document(&sheet, size, &name, standalone))
    }
}

/// Pixels from the top of a panel's content to its end.
fn body_height(body: &Body, panels: usize) -> i32 {
    match (body, panels) {
        (Body::Rows { rows, labelled, .. }, _) => draw_rows::height(rows, *labelled),
        (Body::Lines { .. }, 0 | 1) => 340,
        (Body::Lines { .. }, 2) => 264,
        (Body::Lines { .. }, _) => 216,
    }
}

fn draw_lines(
    area: &Area,
    sheet: &Sheet,
    (x, y): (&Axis, &Axis),
    lines: &[Line],
    heading: i32,
) -> Result<(), PlotError> {
    let labelled = lines.iter().any(|line| line.labelled);
    let right = if labelled { LABEL_WIDTH } else { 6 };
    let label = ("sans-serif", f64::from(TEXT) * 1.24).into_text_style(area);
    let mut axes = ChartBuilder::on(area)
        .margin_top(heading + 6)
        .margin_right(MARGIN + right)
        .margin_left(4)
        .x_label_area_size(44)
        .y_label_area_size(78)
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
        .x_label_formatter(&|value| label_of(x, *value))
        .y_label_formatter(&|value| label_of(y, *value))
        .draw()
        .map_err(refused)?;
    let mut with_gaps = 0;
    for line in lines {
        sheet.open(&series_class(line.mode), None);
        draw_line(&mut axes, sheet, (x, y), line)?;
        draw_gaps(area, &axes, sheet, (x, y), line, with_gaps)?;
        sheet.close();
        with_gaps += usize::from(!line.gaps.is_empty());
    }
    name_lines(area, sheet, &axes, lines)
}

/// Names at the ends of lines, as near to their last points as they can stand below each other.
fn name_lines(
    area: &Area,
    sheet: &Sheet,
    axes: &Axes<'_>,
    lines: &[Line],
) -> Result<(), PlotError> {
    let (left, top) = area.get_base_pixel();
    let mut ends: Vec<(i32, i32, &Line)> = lines
        .iter()
        .filter(|line| line.labelled)
        .filter_map(|line| {
            let placed = |point: &&Point| point.y.is_finite() && point.y > 0.0;
            let last = line.points.iter().rfind(placed)?;
            let (x, y) = axes.backend_coord(&(last.x, last.y));
            Some((x - left, y - top, line))
        })
        .collect();
    ends.sort_by_key(|(_, y, ..)| *y);
    let (_, bottom) = area.dim_in_pixel();
    let step = NOTE + 2;
    // From the lowest up, so that names stay above the axis; then pushed down where they would overlap.
    let mut at: Vec<i32> = ends.iter().map(|(_, y, ..)| *y).collect();
    let floor = bottom as i32 - 50;
    for index in (0..at.len()).rev() {
        let below = at.get(index + 1).map_or(floor, |next| next - step);
        at[index] = at[index].min(below);
    }
    for index in 0..at.len() {
        let above = index.checked_sub(1).map_or(NOTE, |i| at[i] + step);
        at[index] = at[index].max(above);
    }
    let names = WIDTH - LABEL_WIDTH + 2;
    for ((x, y, line), at) in ends.into_iter().zip(at) {
        let leader = PathElement::new(
            [(x + 7, y), (names - 10, at), (names - 3, at)],
            line.style.color.stroke_width(1),
        );
        sheet.open(&series_class(line.mode), None);
        area.draw(&leader).map_err(refused)?;
        let name = shortened(&line.name, 16);
        text(area, &name, (names, at - NOTE / 2 - 1), NOTE, INK)?;
        sheet.close();
    }
    Ok(())
}

fn label_of(axis: &Axis, value: f64) -> String {
    axis.ticks
        .iter()
        .find(|(tick, _)| *tick == value)
        .map(|(_, text)| text.clone())
        .unwrap_or_default()
}

fn draw_line(
    axes: &mut Axes<'_>,
    sheet: &Sheet,
    (x, y): (&Axis, &Axis),
    line: &Line,
) -> Result<(), PlotError> {
    let joined = if line.joined {
        line.points.iter().map(|point| (point.x, point.y)).collect()
    } else {
        Vec::new()
    };
    for mut path in [joined, line.curve.clone()] {
        path.retain(|(at, value)| x.holds(*at) && y.holds(*value));
        if path.len() < 2 {
            continue;
        }
        let style = line.style.color.stroke_width(2);
        match line.style.dash {
            None => axes
                .draw_series(LineSeries::new(path, style))
                .map(drop)
                .map_err(refused)?,
            Some((length, gap)) => {
                axes.draw_series(DashedLineSeries::new(path, length, gap, style))
                    .map(drop)
                    .map_err(refused)?;
            }
        }
    }
    // What has no place on an axis (a time of 0 on a logarithmic one) is in the notes and the numbers.
    let placed = |point: &&Point| x.holds(point.x) && y.holds(point.y);
    for point in line.points.iter().filter(placed) {
        sheet.open("p", Some(&hover(line, &point.at, &point.text)));
        draw_point(axes, y, line.style, point)?;
        sheet.close();
    }
    for bound in &line.bounds {
        sheet.open("p", Some(&hover(line, &bound.at, &bound.text)));
        draw_bound(axes, line.style, (bound.x, bound.y))?;
        sheet.close();
    }
    Ok(())
}

fn hover(line: &Line, at: &str, text: &str) -> String {
    format!(
        "{}, {at}: {}",
        shortened(&line.name, LONGEST_NAME),
        shortened(text, 2 * LONGEST_NAME)
    )
}

/// Crosses on the lower edge where a series has no number, beside those of others.
fn draw_gaps(
    area: &Area,
    axes: &Axes<'_>,
    sheet: &Sheet,
    (x, y): (&Axis, &Axis),
    line: &Line,
    index: usize,
) -> Result<(), PlotError> {
    let (left, top) = area.get_base_pixel();
    let stroke = line.style.color.stroke_width(2);
    for gap in line.gaps.iter().filter(|gap| x.holds(gap.x)) {
        let (x, y) = axes.backend_coord(&(gap.x, y.range().start));
        let (x, y) = (
            x - left + (index as i32 % 3) * 8 - 8,
            y - top - (index as i32 / 3) * 9,
        );
        let why = format!("{}: {}", gap.outcome, gap.reason);
        sheet.open("p", Some(&hover(line, &gap.at, &why)));
        for (from, to) in [((-3, -3), (3, 3)), ((-3, 3), (3, -3))] {
            let ends = [(x + from.0, y + from.1), (x + to.0, y + to.1)];
            area.draw(&PathElement::new(ends, stroke))
                .map_err(refused)?;
        }
        sheet.close();
    }
    Ok(())
}

/// A bar from end to end of the interval, capped where it ends on the axis, and the median's marker on it.
fn draw_point(axes: &mut Axes<'_>, y: &Axis, style: Style, point: &Point) -> Result<(), PlotError> {
    let stroke = style.color.stroke_width(2);
    if let Some(ends) = point.ci95 {
        let range = y.range();
        let [low, high] = ends.map(|end| end.clamp(range.start, range.end));
        let bar = PathElement::new([(point.x, low), (point.x, high)], stroke);
        axes.draw_series([bar]).map_err(refused)?;
        for end in ends.into_iter().filter(|end| y.holds(*end)) {
            let cap =
                EmptyElement::at((point.x, end)) + PathElement::new([(-4, 0), (4, 0)], stroke);
            axes.draw_series([cap]).map_err(refused)?;
        }
    }
    let (outline, inside) = marker(style.marker);
    let fill = if style.hollow { PAPER } else { style.color };
    let shape = EmptyElement::at((point.x, point.y))
        + Polygon::new(outline.clone(), fill.filled())
        + PathElement::new(inside, stroke);
    axes.draw_series([shape]).map(drop).map_err(refused)
}

/// An arrow upwards: the true value is above.
fn draw_bound(axes: &mut Axes<'_>, style: Style, at: (f64, f64)) -> Result<(), PlotError> {
    let stroke = style.color.stroke_width(2);
    let arrow = EmptyElement::at(at)
        + PathElement::new([(-6, 0), (6, 0)], stroke)
        + PathElement::new([(0, 0), (0, -16)], stroke)
        + PathElement::new([(-5, -11), (0, -17), (5, -11)], stroke);
    axes.draw_series([arrow]).map(drop).map_err(refused)
}

/// Pixels from the margin to the text of a line of the legend.
const KEY: i32 = 42;

/// What a line of the legend says, in as many lines as that takes.
fn key_lines(key: &Key) -> Vec<String> {
    wrapped_to(
        &shortened(&key.text, LONGEST_KEY),
        TEXT,
        WIDTH - 2 * MARGIN - KEY,
    )
}

fn draw_key(root: &Area, key: &Key, lines: &[String], y: i32) -> Result<(), PlotError> {
    let middle = y + LEGEND_LINE / 2;
    let stroke = key.style.color.stroke_width(2);
    let (length, gap) = key.style.dash.unwrap_or((34, 0));
    let mut x = MARGIN;
    while x < MARGIN + 34 {
        let end = (x + length).min(MARGIN + 34);
        root.draw(&PathElement::new([(x, middle), (end, middle)], stroke))
            .map_err(refused)?;
        x = end + gap.max(1);
    }
    let (corners, closed) = marker(key.style.marker);
    let moved = |points: Vec<(i32, i32)>| -> Vec<(i32, i32)> {
        points
            .into_iter()
            .map(|(x, y)| (x + MARGIN + 17, y + middle))
            .collect()
    };
    let fill = if key.style.hollow {
        PAPER
    } else {
        key.style.color
    };
    root.draw(&Polygon::new(moved(corners), fill.filled()))
        .map_err(refused)?;
    root.draw(&PathElement::new(moved(closed), stroke))
        .map_err(refused)?;
    for (index, line) in lines.iter().enumerate() {
        let top = y + index as i32 * LEGEND_LINE;
        let at = (MARGIN + KEY, top + (LEGEND_LINE - TEXT) / 2 - 1);
        text(root, line, at, TEXT, INK)?;
    }
    Ok(())
}
