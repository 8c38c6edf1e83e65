//! SVG as this report needs it: classes instead of the colours that belong to the page, and groups with a title around
//! what belongs to one series or one point. A dark page, the page's script and a pointer that rests on a point all work
//! on those. Whatever is drawn is written on a [`Sheet`], what plotters draws (axes, lines over them) as well.

use std::cell::RefCell;
use std::convert::Infallible;
use std::fmt::{Arguments, Write};
use std::rc::Rc;

use plotters::style::{Color, RGBColor};
use plotters_backend::text_anchor::{HPos, VPos};
use plotters_backend::{
    BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingBackend, DrawingErrorKind,
    FontTransform,
};
use schema::{Marker, Mode};

use super::style::{GRID, INK, MUTED, PAPER, Style};
use crate::xml::escaped;

type Drawn = Result<(), DrawingErrorKind<Infallible>>;

/// What was written so far; clones write to the same sheet. It has no end: a picture has the size that it needed.
#[derive(Debug, Clone, Default)]
pub(super) struct Sheet(Rc<RefCell<String>>);

impl Sheet {
    /// Draws what belongs to a mode: the page's script shows and hides it.
    pub(super) fn of<T>(&self, mode: Mode, draw: impl FnOnce() -> T) -> T {
        self.group(format_args!("<g class=\"s s-{mode}\">"), draw)
    }

    /// Draws a point that says `title` when a pointer rests on it.
    pub(super) fn point<T>(&self, title: &str, draw: impl FnOnce() -> T) -> T {
        let title = escaped(title);
        self.group(format_args!("<g class=\"p\"><title>{title}</title>"), draw)
    }

    fn group<T>(&self, head: Arguments<'_>, draw: impl FnOnce() -> T) -> T {
        self.write(head);
        let drawn = draw();
        self.write(format_args!("</g>\n"));
        drawn
    }

    /// A line from place to place.
    pub(super) fn path(
        &self,
        points: impl IntoIterator<Item = BackendCoord>,
        color: RGBColor,
        width: u32,
    ) {
        self.stroke(points, color.to_backend_color(), width);
    }

    fn stroke(
        &self,
        points: impl IntoIterator<Item = BackendCoord>,
        color: BackendColor,
        width: u32,
    ) {
        let paint = paint("stroke", color) + &stroke_width(width);
        self.write(format_args!(
            "<polyline points=\"{}\"{paint}/>\n",
            listed(points)
        ));
    }

    /// A rectangle between two corners; `attribute`: whether to "fill" it or to "stroke" its edge.
    pub(super) fn rect(
        &self,
        [(left, top), (right, bottom)]: [BackendCoord; 2],
        attribute: &str,
        color: impl Color,
    ) {
        self.write(format_args!(
            "<rect x=\"{left}\" y=\"{top}\" width=\"{}\" height=\"{}\"{}/>\n",
            right - left,
            bottom - top,
            paint(attribute, color.to_backend_color())
        ));
    }

    /// The marker of a series around a place.
    pub(super) fn marker(&self, style: Style, (x, y): BackendCoord) {
        let corners: &[BackendCoord] = match style.marker {
            Marker::Circle => &[
                (-2, -5),
                (2, -5),
                (5, -2),
                (5, 2),
                (2, 5),
                (-2, 5),
                (-5, 2),
                (-5, -2),
            ],
            Marker::Square => &[(-4, -4), (4, -4), (4, 4), (-4, 4)],
            Marker::Triangle => &[(0, -6), (5, 4), (-5, 4)],
            Marker::Inverted => &[(-5, -4), (5, -4), (0, 6)],
            Marker::Diamond => &[(0, -6), (5, 0), (0, 6), (-5, 0)],
            Marker::Star => &[
                (0, -6),
                (2, -2),
                (6, 0),
                (2, 2),
                (0, 6),
                (-2, 2),
                (-6, 0),
                (-2, -2),
            ],
            Marker::Bar => &[(-2, -6), (2, -6), (2, 6), (-2, 6)],
        };
        let around = corners.iter().map(|(right, down)| (x + right, y + down));
        let fill = if style.hollow { PAPER } else { style.color };
        self.write(format_args!(
            "<polygon points=\"{}\"{}/>\n",
            listed(around.clone()),
            paint("fill", fill.to_backend_color())
        ));
        let closed = around.clone().chain(around.take(1));
        self.path(closed, style.color, 2);
    }

    /// Text to the right of and below a place.
    pub(super) fn text(&self, text: &str, at: BackendCoord, size: i32, color: RGBColor) {
        let color = color.to_backend_color();
        // Whole pixels, as plotters has them.
        let height = letter_height(size).trunc();
        self.words(text, at, "dy=\"0.76em\"", (height, color), "");
    }

    fn words(
        &self,
        text: &str,
        (x, y): BackendCoord,
        anchor: &str,
        (height, color): (f64, BackendColor),
        turn: &str,
    ) {
        let size = (height / WITH_MARGINS * 10.0).round() / 10.0;
        self.write(format_args!(
            "<text x=\"{x}\" y=\"{y}\" {anchor} font-size=\"{size}\"{}{turn}>{}</text>\n",
            paint("fill", color),
            escaped(text)
        ));
    }

    fn write(&self, arguments: Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = self.0.borrow_mut().write_fmt(arguments);
    }

    /// A picture with its name for who cannot see it. A page has the style itself. Nothing is filled that does not
    /// say so: most of what is drawn are lines.
    pub(super) fn document(
        &self,
        (width, height): BackendCoord,
        name: &str,
        standalone: bool,
    ) -> String {
        let name = escaped(name);
        let (style, about) = if standalone {
            (STYLE, format!("<title>{name}</title>"))
        } else {
            ("", String::new())
        };
        let paper = Self::default();
        paper.rect([(0, 0), (width, height)], "fill", PAPER);
        format!(
            "<svg role=\"img\" aria-label=\"{name}\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" xmlns=\"http://www.w3.org/2000/svg\" class=\"bp\" fill=\"none\" font-family=\"sans-serif\">{about}{style}\n{}{}</svg>\n",
            paper.0.borrow(),
            self.0.borrow()
        )
    }
}

/// Height of a letter with its margins, which plotters counts, in parts of what SVG calls its size.
const WITH_MARGINS: f64 = 1.24;

/// The height of letters of a size.
pub(super) fn letter_height(size: i32) -> f64 {
    f64::from(size) * WITH_MARGINS
}

/// Places as SVG lists them.
fn listed(points: impl IntoIterator<Item = BackendCoord>) -> String {
    let points = points.into_iter().map(|(x, y)| format!("{x},{y}"));
    points.collect::<Vec<_>>().join(" ")
}

/// What belongs to the page rather than to the data: the classes that its colour scheme fills or strokes.
const OF_THE_PAGE: &[(&str, RGBColor, &str)] = &[
    ("fill", INK, "bp-ink"),
    ("fill", MUTED, "bp-muted"),
    ("fill", PAPER, "bp-paper"),
    ("stroke", GRID, "bp-grid"),
    ("stroke", MUTED, "bp-axis"),
    ("stroke", INK, "bp-line"),
];

/// ` stroke="#D55E00"`, or the class of a colour that the page replaces in the dark.
fn paint(attribute: &str, color: BackendColor) -> String {
    let is = |(of, own, _): &&(&str, RGBColor, &str)| {
        *of == attribute && own.to_backend_color().rgb == color.rgb
    };
    let (r, g, b) = color.rgb;
    let mut text = match OF_THE_PAGE.iter().find(is) {
        Some((.., class)) => format!(" class=\"{class}\""),
        None => format!(" {attribute}=\"#{r:02X}{g:02X}{b:02X}\""),
    };
    if color.alpha < 1.0 {
        text.push_str(&format!(" opacity=\"{}\"", color.alpha));
    }
    text
}

fn stroke_width(width: u32) -> String {
    match width {
        1 => String::new(),
        width => format!(" stroke-width=\"{width}\""),
    }
}

/// What plotters draws of a chart: the lines of a mesh and of series, and text. What it makes transparent is left out.
impl DrawingBackend for Sheet {
    type ErrorType = Infallible;

    /// Panels are cut out of it.
    fn get_size(&self) -> (u32, u32) {
        (i32::MAX as u32, i32::MAX as u32)
    }

    fn ensure_prepared(&mut self) -> Drawn {
        Ok(())
    }

    fn present(&mut self) -> Drawn {
        Ok(())
    }

    fn draw_pixel(&mut self, (x, y): BackendCoord, color: BackendColor) -> Drawn {
        self.stroke([(x, y), (x + 1, y)], color, 1);
        Ok(())
    }

    fn draw_line<S: BackendStyle>(
        &mut self,
        from: BackendCoord,
        to: BackendCoord,
        style: &S,
    ) -> Drawn {
        if style.color().alpha > 0.0 {
            self.write(format_args!(
                "<line x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\"{}{}/>\n",
                from.0,
                from.1,
                to.0,
                to.1,
                paint("stroke", style.color()),
                stroke_width(style.stroke_width())
            ));
        }
        Ok(())
    }

    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        path: I,
        style: &S,
    ) -> Drawn {
        if style.color().alpha > 0.0 {
            self.stroke(path, style.color(), style.stroke_width());
        }
        Ok(())
    }

    fn draw_text<S: BackendTextStyle>(
        &mut self,
        text: &str,
        style: &S,
        (x, y): BackendCoord,
    ) -> Drawn {
        let shift = match style.anchor().v_pos {
            VPos::Top => "0.76em",
            VPos::Center => "0.5ex",
            VPos::Bottom => "-0.5ex",
        };
        let anchor = match style.anchor().h_pos {
            HPos::Left => "",
            HPos::Right => " text-anchor=\"end\"",
            HPos::Center => " text-anchor=\"middle\"",
        };
        let degrees = match style.transform() {
            FontTransform::None => 0,
            FontTransform::Rotate90 => 90,
            FontTransform::Rotate180 => 180,
            FontTransform::Rotate270 => 270,
        };
        let turn = format!(" transform=\"rotate({degrees},{x},{y})\"");
        self.words(
            text,
            (x, y),
            &format!("dy=\"{shift}\"{anchor}"),
            (style.size(), style.color()),
            if degrees == 0 { "" } else { &turn },
        );
        Ok(())
    }
}

/// The colours that belong to the page rather than to the data, and the look of all text.
const STYLE: &str = "<style>\
.bp{font-family:system-ui,\"DejaVu Sans\",sans-serif}\
.bp-paper{fill:#fff}.bp-ink{fill:#1a1b1e}.bp-muted{fill:#5a5d63}.bp-grid{stroke:#dddfe3}.bp-axis{stroke:#5a5d63}.bp-line{stroke:#1a1b1e}\
@media(prefers-color-scheme:dark){.bp-paper{fill:#1c1e22}.bp-ink{fill:#eceef1}.bp-muted{fill:#b0b4bb}\
.bp-grid{stroke:#3a3d44}.bp-axis{stroke:#8f949c}.bp-line{stroke:#eceef1}}</style>";
