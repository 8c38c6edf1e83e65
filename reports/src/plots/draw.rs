//! Drawing a [`Figure`]: title, panels, legend, notes, from top to bottom.
//!
//! Figures are narrow (480 units) so that their text stays readable on a telephone, and two fit side
//! by side on a screen.

use plotters::coord::Shift;
use plotters::coord::cartesian::Cartesian2d;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::PlotError;
use super::axis::Axis;
use super::figure::{Figure, Key, Line, Panel, Point};
use super::style::{GRID, INK, MUTED, Marker, PAPER, Style};

const WIDTH: i32 = 480;
const MARGIN: i32 = 12;
const TITLE: i32 = 17;
const TEXT: i32 = 13;
const NOTE: i32 = 12;
const HEADING_HEIGHT: i32 = 24;
const LEGEND_LINE: i32 = 20;
/// Width of a letter of the widest font in use, as a share of its size.
const LETTER: f64 = 0.57;

/// Pixels to the right and down.
type Offset = (i32, i32);
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Axes<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<Axis, Axis>>;

impl Figure {
    /// The chart as a file of its own: with its title and notes, in the reader's colour scheme.
    ///
    /// # Errors
    /// [`PlotError::Plot`] when plotters refuses.
    pub fn standalone_svg(&self) -> Result<String, PlotError> {
        Ok(themed(&self.svg(true)?, &self.title, &self.alt))
    }

    /// The chart for a page that shows title and notes itself.
    ///
    /// # Errors
    /// As [`Figure::standalone_svg`].
    pub fn inline_svg(&self) -> Result<String, PlotError> {
        Ok(themed(&self.svg(false)?, &self.title, &self.alt))
    }

    fn svg(&self, standalone: bool) -> Result<String, PlotError> {
        let title = if standalone {
            wrapped(&self.title, TITLE)
        } else {
            Vec::new()
        };
        let notes: Vec<String> = if standalone {
            self.notes
                .iter()
                .flat_map(|note| wrapped(note, NOTE))
                .collect()
        } else {
            Vec::new()
        };
        let heading = if self.panels.len() > 1 {
            HEADING_HEIGHT
        } else {
            0
        };
        let panel = heading
            + if self.panels.len() > 2 {
                216
            } else if self.panels.len() == 2 {
                264
            } else {
                340
            };
        let title_height = title.len() as i32 * (TITLE + 6);
        let legend_height = self.legend.len() as i32 * LEGEND_LINE + 6;
        let notes_height = notes.len() as i32 * (NOTE + 5) + if notes.is_empty() { 0 } else { 8 };
        let panels_height = panel * self.panels.len() as i32;
        let height = MARGIN + title_height + panels_height + legend_height + notes_height + MARGIN;
        let mut svg = String::new();
        {
            let root = SVGBackend::with_string(&mut svg, (WIDTH as u32, height as u32))
                .into_drawing_area();
            root.fill(&PAPER).map_err(refused)?;
            let mut y = MARGIN;
            for line in &title {
                text(&root, line, (MARGIN, y), TITLE, INK)?;
                y += TITLE + 6;
            }
            for part in &self.panels {
                let area = root.clone().shrink((0, y), (WIDTH as u32, panel as u32));
                draw_panel(&area, part, heading)?;
                y += panel;
            }
            y += 6;
            for key in &self.legend {
                draw_key(&root, key, y)?;
                y += LEGEND_LINE;
            }
            y += 8;
            for line in &notes {
                text(&root, line, (MARGIN, y), NOTE, MUTED)?;
                y += NOTE + 5;
            }
            root.present().map_err(refused)?;
        }
        Ok(svg)
    }
}

fn draw_panel(area: &Area<'_>, panel: &Panel, heading: i32) -> Result<(), PlotError> {
    if heading > 0 {
        text(area, &panel.heading, (MARGIN, 6), TEXT + 1, INK)?;
    }
    let label = ("sans-serif", f64::from(TEXT) * 1.24).into_text_style(area);
    let mut axes = ChartBuilder::on(area)
        .margin_top(heading + 6)
        .margin_right(MARGIN + 6)
        .margin_left(4)
        .x_label_area_size(44)
        .y_label_area_size(78)
        .build_cartesian_2d(panel.x.clone(), panel.y.clone())
        .map_err(refused)?;
    axes.configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(MUTED)
        .label_style(label.color(&INK))
        .axis_desc_style(label.color(&MUTED))
        .x_desc(panel.x.title.as_str())
        .y_desc(panel.y.title.as_str())
        .x_labels(panel.x.ticks.len().max(1))
        .y_labels(panel.y.ticks.len().max(1))
        .x_label_formatter(&|value| label_of(&panel.x, *value))
        .y_label_formatter(&|value| label_of(&panel.y, *value))
        .draw()
        .map_err(refused)?;
    for line in &panel.lines {
        draw_line(&mut axes, line)?;
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

fn draw_line(axes: &mut Axes<'_, '_>, line: &Line) -> Result<(), PlotError> {
    let joined = if line.joined {
        line.points.iter().map(|point| (point.x, point.y)).collect()
    } else {
        Vec::new()
    };
    for path in [joined, line.curve.clone()] {
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
    for point in &line.points {
        draw_point(axes, line.style, point)?;
    }
    for &bound in &line.bounds {
        draw_bound(axes, line.style, bound)?;
    }
    Ok(())
}

/// A bar from end to end of the interval, capped, and the median's marker on it.
fn draw_point(axes: &mut Axes<'_, '_>, style: Style, point: &Point) -> Result<(), PlotError> {
    let stroke = style.color.stroke_width(2);
    if let Some([low, high]) = point.ci95 {
        let bar = PathElement::new([(point.x, low), (point.x, high)], stroke);
        axes.draw_series([bar]).map_err(refused)?;
        for end in [low, high] {
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
fn draw_bound(axes: &mut Axes<'_, '_>, style: Style, at: (f64, f64)) -> Result<(), PlotError> {
    let stroke = style.color.stroke_width(2);
    let arrow = EmptyElement::at(at)
        + PathElement::new([(-6, 0), (6, 0)], stroke)
        + PathElement::new([(0, 0), (0, -16)], stroke)
        + PathElement::new([(-5, -11), (0, -17), (5, -11)], stroke);
    axes.draw_series([arrow]).map(drop).map_err(refused)
}

/// Corners of a marker, and its closed outline.
fn marker(marker: Marker) -> (Vec<Offset>, Vec<Offset>) {
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
        Marker::Diamond => vec![(0, -6), (5, 0), (0, 6), (-5, 0)],
    };
    let mut closed = corners.clone();
    closed.extend(corners.first());
    (corners, closed)
}

fn draw_key(root: &Area<'_>, key: &Key, y: i32) -> Result<(), PlotError> {
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
    text(
        root,
        &key.text,
        (MARGIN + 42, y + (LEGEND_LINE - TEXT) / 2 - 1),
        TEXT,
        INK,
    )
}

fn text(
    area: &Area<'_>,
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
    area.draw(&Text::new(printable(text), at, style))
        .map_err(refused)
}

/// Control characters are not allowed in XML, escaped or not.
fn printable(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).collect()
}

/// Lines that fit the figure's width.
fn wrapped(text: &str, size: i32) -> Vec<String> {
    let room = (f64::from(WIDTH - 2 * MARGIN) / (f64::from(size) * LETTER)) as usize;
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let used = lines.last().map_or(0, |line| line.chars().count());
        if used > 0 && used + 1 + word.chars().count() > room {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

fn refused(error: impl std::fmt::Display) -> PlotError {
    PlotError::Plot(error.to_string())
}

/// Names the colours that belong to the page rather than to the data, so that a dark page can replace
/// them, and says what the picture shows.
fn themed(svg: &str, title: &str, alt: &str) -> String {
    const STYLE: &str = "<style>\
        .bp-paper{fill:#fff}.bp-ink{fill:#1a1b1e}.bp-muted{fill:#5a5d63}.bp-grid{stroke:#dddfe3}.bp-axis{stroke:#5a5d63}\
        @media(prefers-color-scheme:dark){.bp-paper{fill:#1c1e22}.bp-ink{fill:#eceef1}.bp-muted{fill:#b0b4bb}\
        .bp-grid{stroke:#3a3d44}.bp-axis{stroke:#8f949c}}</style>";
    let mut themed = svg.to_owned();
    for (attribute, color, class) in [
        ("fill", PAPER, "bp-paper"),
        ("fill", INK, "bp-ink"),
        ("fill", MUTED, "bp-muted"),
        ("stroke", GRID, "bp-grid"),
        ("stroke", MUTED, "bp-axis"),
    ] {
        let RGBColor(r, g, b) = color;
        let plain = format!("{attribute}=\"#{r:02X}{g:02X}{b:02X}\"");
        themed = themed.replace(&plain, &format!("{plain} class=\"{class}\""));
    }
    let label = escaped(&printable(&format!("{title} {alt}")));
    let open = format!("<svg role=\"img\" aria-label=\"{label}\" ");
    themed = themed.replacen("<svg ", &open, 1);
    match themed.find('>') {
        Some(end) => themed.insert_str(
            end + 1,
            &format!("<title>{}</title>{STYLE}", escaped(&printable(title))),
        ),
        None => debug_assert!(false, "plotters writes an svg element"),
    }
    themed
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
