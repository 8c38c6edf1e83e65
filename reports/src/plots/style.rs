//! How a series looks: one colour and one marker a mode everywhere, one dash pattern an option; marker and dash say
//! the same without colour.

use plotters::style::RGBColor;
use schema::{Marker, Mode};

/// Text. `svg` recognises this and the next three by value and writes a class instead, which the page's
/// colour scheme fills.
pub(super) const INK: RGBColor = RGBColor(0x1a, 0x1b, 0x1e);
/// Secondary text.
pub(super) const MUTED: RGBColor = RGBColor(0x5a, 0x5d, 0x63);
/// Grid lines.
pub(super) const GRID: RGBColor = RGBColor(0xdd, 0xdf, 0xe3);
/// Background.
pub(super) const PAPER: RGBColor = RGBColor(0xff, 0xff, 0xfe);

/// How a series looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Style {
    pub(super) color: RGBColor,
    pub(super) marker: Marker,
    /// Floors are drawn hollow: they serve no service.
    pub(super) hollow: bool,
    /// Length and gap of dashes, pixels; `None`: solid.
    pub(super) dash: Option<(i32, i32)>,
}

impl Style {
    /// The look of a mode's series number `variant` (0: the ordinary one).
    #[must_use]
    pub(super) fn of(mode: Mode, variant: usize) -> Self {
        let row = mode.row();
        let [red, green, blue] = row.color;
        let dash = [None, Some((7, 4)), Some((2, 4)), Some((12, 3))][variant % 4];
        Self {
            color: RGBColor(red, green, blue),
            marker: row.marker,
            hollow: mode.is_floor() || variant % 2 == 1,
            dash,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance and contrast as in WCAG 2.2.
    fn luminance(color: RGBColor) -> f64 {
        let linear = |part: u8| {
            let share = f64::from(part) / 255.0;
            if share <= 0.040_45 {
                share / 12.92
            } else {
                ((share + 0.055) / 1.055).powf(2.4)
            }
        };
        0.2126 * linear(color.0) + 0.7152 * linear(color.1) + 0.0722 * linear(color.2)
    }

    fn contrast(a: RGBColor, b: RGBColor) -> f64 {
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn every_mode_is_seen_on_the_light_and_on_the_dark_page() {
        let dark = RGBColor(0x1c, 0x1e, 0x22);
        for mode in Mode::ALL {
            let color = Style::of(*mode, 0).color;
            for paper in [PAPER, dark] {
                let seen = contrast(color, paper);
                assert!(seen >= 3.0, "{mode}: {seen:.2} on {paper:?}");
            }
        }
    }

    #[test]
    fn modes_are_told_apart_by_more_than_colour() {
        for (index, a) in Mode::ALL.iter().enumerate() {
            for b in &Mode::ALL[index + 1..] {
                let (x, y) = (Style::of(*a, 0), Style::of(*b, 0));
                assert!(x.marker != y.marker || x.hollow != y.hollow, "{a} and {b}");
            }
        }
    }
}
