//! What a chart shows, before anything is drawn.

use super::axis::Axis;
use super::style::Style;

/// A chart: panels above each other, a legend, and what must be said beside it.
#[derive(Debug, Clone)]
pub struct Figure {
    /// Name of its files, without extension.
    pub name: String,
    /// The question that it answers.
    pub title: String,
    /// What bars and lines are, how many samples stand behind a point, and what is missing and why.
    pub notes: Vec<String>,
    /// What it shows, for who cannot see it.
    pub alt: String,
    pub(super) panels: Vec<Panel>,
    pub(super) legend: Vec<Key>,
}

/// A part of a chart.
#[derive(Debug, Clone)]
pub(super) struct Panel {
    /// Which part of the question; empty for the only panel.
    pub(super) heading: String,
    pub(super) body: Body,
}

/// What a panel holds.
#[derive(Debug, Clone)]
pub(super) enum Body {
    /// Lines over a pair of axes.
    Lines { x: Axis, y: Axis, lines: Vec<Line> },
    /// Named rows along one axis.
    Rows {
        x: Axis,
        rows: Vec<NamedRow>,
        /// Whether the axis is labelled here: panels that share one label it once.
        labelled: bool,
    },
}

/// A row with its name on the left and its value in words on the right.
#[derive(Debug, Clone)]
pub(super) struct NamedRow {
    pub(super) name: String,
    pub(super) style: Style,
    pub(super) mark: Mark,
    pub(super) text: String,
}

/// What stands in a row.
#[derive(Debug, Clone, Copy)]
pub(super) enum Mark {
    /// A median with its interval.
    Dot { at: f64, ci95: Option<[f64; 2]> },
    /// A lower bound.
    Beyond(f64),
    /// Two parts of a whole, from zero on.
    Stack([f64; 2]),
    /// No number.
    Nothing,
}

/// One series.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) style: Style,
    pub(super) points: Vec<Point>,
    /// Whether its points are joined.
    pub(super) joined: bool,
    /// A fitted curve instead of joined points, as points of its own.
    pub(super) curve: Vec<(f64, f64)>,
    /// Lower bounds: cells that timed out.
    pub(super) bounds: Vec<(f64, f64)>,
    /// Its name, written at its last point.
    pub(super) label: Option<String>,
}

/// A median with its interval.
#[derive(Debug, Clone, Copy)]
pub(super) struct Point {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) ci95: Option<[f64; 2]>,
}

/// A line of the legend.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) style: Style,
    pub(super) text: String,
}
