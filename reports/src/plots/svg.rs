//! SVG as this report needs it: a backend for plotters that writes classes instead of the colours that
//! belong to the page, and groups with a title around what belongs to one series or one point. A dark
//! page, the page's script and a pointer that rests on a point all work on those.

use std::cell::RefCell;
use std::convert::Infallible;
use std::fmt::Write;
use std::rc::Rc;

use plotters_backend::text_anchor::{HPos, VPos};
use plotters_backend::{
    BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingBackend, DrawingErrorKind,
    FontTransform,
};

use super::style::{GRID, INK, MUTED, PAPER};

type Drawn = Result<(), DrawingErrorKind<Infallible>>;

/// What was written so far; clones write to the same sheet.
#[derive(Debug, Clone, Default)]
pub(super) struct Sheet(Rc<RefCell<String>>);

impl Sheet {
    /// Opens a group: what is drawn until [`Sheet::close`] belongs to it.
    pub(super) fn open(&self, class: &str, title: Option<&str>) {
        self.write(format_args!("<g class=\"{}\">", escaped(class)));
        if let Some(title) = title {
            self.write(format_args!("<title>{}</title>", escaped(title)));
        }
    }

    /// Closes the group that was opened last.
    pub(super) fn close(&self) {
        self.write(format_args!("</g>\n"));
    }

    /// The elements.
    pub(super) fn text(&self) -> String {
        self.0.borrow().clone()
    }

    fn write(&self, arguments: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = self.0.borrow_mut().write_fmt(arguments);
    }
}

/// The backend.
pub(super) struct Svg {
    sheet: Sheet,
    size: (u32, u32),
}

impl Svg {
    pub(super) fn new(sheet: &Sheet, size: (u32, u32)) -> Self {
        Self {
            sheet: sheet.clone(),
            size,
        }
    }

    fn path(
        &self,
        element: &str,
        points: impl IntoIterator<Item = BackendCoord>,
        attributes: &str,
    ) {
        let mut text = String::new();
        for (x, y) in points {
            let _ = write!(text, "{x},{y} ");
        }
        let text = text.trim_end();
        self.sheet
            .write(format_args!("<{element} points=\"{text}\"{attributes}/>\n"));
    }
}

/// ` stroke="#D55E00"`, or the class of a colour that the page replaces in the dark.
fn paint(attribute: &str, color: BackendColor) -> String {
    let (r, g, b) = color.rgb;
    let is = |own: plotters::style::RGBColor| (own.0, own.1, own.2) == color.rgb;
    let class = match attribute {
        "fill" if is(INK) => Some("bp-ink"),
        "fill" if is(MUTED) => Some("bp-muted"),
        "fill" if is(PAPER) => Some("bp-paper"),
        "stroke" if is(GRID) => Some("bp-grid"),
        "stroke" if is(MUTED) => Some("bp-axis"),
        "stroke" if is(INK) => Some("bp-line"),
        _ => None,
    };
    let opacity = if color.alpha < 1.0 {
        format!(" opacity=\"{}\"", color.alpha)
    } else {
        String::new()
    };
    match class {
        Some(class) => format!(" class=\"{class}\"{opacity}"),
        None => format!(" {attribute}=\"#{r:02X}{g:02X}{b:02X}\"{opacity}"),
    }
}

fn width(stroke: u32) -> String {
    if stroke == 1 {
        String::new()
    } else {
        format!(" stroke-width=\"{stroke}\"")
    }
}

impl DrawingBackend for Svg {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        self.size
    }

    fn ensure_prepared(&mut self) -> Drawn {
        Ok(())
    }

    fn present(&mut self) -> Drawn {
        Ok(())
    }

    fn draw_pixel(&mut self, (x, y): BackendCoord, color: BackendColor) -> Drawn {
        self.draw_rect((x, y), (x + 1, y + 1), &color, true)
    }

    fn draw_line<S: BackendStyle>(
        &mut self,
        from: BackendCoord,
        to: BackendCoord,
        style: &S,
    ) -> Drawn {
        if style.color().alpha > 0.0 {
            self.sheet.write(format_args!(
                "<line x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\"{}{}/>\n",
                from.0,
                from.1,
                to.0,
                to.1,
                paint("stroke", style.color()),
                width(style.stroke_width())
            ));
        }
        Ok(())
    }

    fn draw_rect<S: BackendStyle>(
        &mut self,
        (left, top): BackendCoord,
        (right, bottom): BackendCoord,
        style: &S,
        fill: bool,
    ) -> Drawn {
        if style.color().alpha > 0.0 {
            let painted = if fill {
                paint("fill", style.color())
            } else {
                paint("stroke", style.color())
            };
            self.sheet.write(format_args!(
                "<rect x=\"{left}\" y=\"{top}\" width=\"{}\" height=\"{}\"{painted}/>\n",
                right - left,
                bottom - top
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
            let stroke = paint("stroke", style.color());
            let attributes = format!("{stroke}{}", width(style.stroke_width()));
            self.path("polyline", path, &attributes);
        }
        Ok(())
    }

    fn draw_circle<S: BackendStyle>(
        &mut self,
        (x, y): BackendCoord,
        radius: u32,
        style: &S,
        fill: bool,
    ) -> Drawn {
        if style.color().alpha > 0.0 {
            let painted = if fill {
                paint("fill", style.color())
            } else {
                paint("stroke", style.color())
            };
            self.sheet.write(format_args!(
                "<circle cx=\"{x}\" cy=\"{y}\" r=\"{radius}\"{painted}/>\n"
            ));
        }
        Ok(())
    }

    fn fill_polygon<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        corners: I,
        style: &S,
    ) -> Drawn {
        if style.color().alpha > 0.0 {
            self.path("polygon", corners, &paint("fill", style.color()));
        }
        Ok(())
    }

    fn draw_text<S: BackendTextStyle>(
        &mut self,
        text: &str,
        style: &S,
        (x, y): BackendCoord,
    ) -> Drawn {
        let anchor = match style.anchor().h_pos {
            HPos::Left => "",
            HPos::Right => " text-anchor=\"end\"",
            HPos::Center => " text-anchor=\"middle\"",
        };
        let shift = match style.anchor().v_pos {
            VPos::Top => "0.76em",
            VPos::Center => "0.5ex",
            VPos::Bottom => "-0.5ex",
        };
        let turn = match style.transform() {
            FontTransform::None => String::new(),
            FontTransform::Rotate90 => format!(" transform=\"rotate(90,{x},{y})\""),
            FontTransform::Rotate180 => format!(" transform=\"rotate(180,{x},{y})\""),
            FontTransform::Rotate270 => format!(" transform=\"rotate(270,{x},{y})\""),
        };
        // plotters counts a letter's height with its margins: 1.24 times what SVG calls its size.
        let size = (style.size() / 1.24 * 10.0).round() / 10.0;
        self.sheet.write(format_args!(
            "<text x=\"{x}\" y=\"{y}\" dy=\"{shift}\"{anchor} font-size=\"{size}\"{}{turn}>{}</text>\n",
            paint("fill", style.color()),
            escaped(text)
        ));
        Ok(())
    }
}

/// Text as XML holds it: control characters are not allowed there, escaped or not.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            letter if letter.is_control() || matches!(letter, '\u{fffe}' | '\u{ffff}') => {
                safe.push(' ');
            }
            letter => safe.push(letter),
        }
    }
    safe
}

/// The colours that belong to the page rather than to the data, and the look of all text.
const STYLE: &str = "<style>\
.bp{font-family:system-ui,\"DejaVu Sans\",sans-serif}\
.bp-paper{fill:#fff}.bp-ink{fill:#1a1b1e}.bp-muted{fill:#5a5d63}.bp-grid{stroke:#dddfe3}.bp-axis{stroke:#5a5d63}.bp-line{stroke:#1a1b1e}\
@media(prefers-color-scheme:dark){.bp-paper{fill:#1c1e22}.bp-ink{fill:#eceef1}.bp-muted{fill:#b0b4bb}\
.bp-grid{stroke:#3a3d44}.bp-axis{stroke:#8f949c}.bp-line{stroke:#eceef1}}</style>";

/// A picture with its name for who cannot see it. A page has the style itself. Nothing is filled that does not
/// say so: most of what is drawn are lines.
pub(super) fn document(
    sheet: &Sheet,
    (width, height): (u32, u32),
    name: &str,
    standalone: bool,
) -> String {
    let (style, about) = if standalone {
        (STYLE, format!("<title>{}</title>", escaped(name)))
    } else {
        ("", String::new())
    };
    format!(
        "<svg role=\"img\" aria-label=\"{}\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" xmlns=\"http://www.w3.org/2000/svg\" class=\"bp\" fill=\"none\" font-family=\"sans-serif\">{about}{style}\n{}</svg>\n",
        escaped(name),
        sheet.text()
    )
}
