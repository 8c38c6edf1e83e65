//! What a chart shows, before anything is drawn.

use schema::Mode;

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
    pub(super) mode: Mode,
    pub(super) name: String,
    pub(super) style: Style,
    pub(super) mark: Mark,
    pub(super) text: String,
}

impl NamedRow {
    /// A row without a number.
    pub(super) fn of(mode: Mode, name: String, style: Style) -> Self {
        Self {
            mode,
            name,
            style,
            mark: Mark::Nothing,
            text: String::new(),
        }
    }
}

/// What stands in a row.
#[derive(Debug, Clone)]
pub(super) enum Mark {
    /// A median with its interval.
    Dot { at: f64, ci95: Option<[f64; 2]> },
    /// A lower bound.
    Beyond(f64),
    /// Parts of a whole, from zero on.
    Stack(Vec<f64>),
    /// No number.
    Nothing,
}

/// One series.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) mode: Mode,
    pub(super) name: String,
    pub(super) style: Style,
    /// What was measured, then what timed out, then what has no number. Medians are joined where there is no curve.
    pub(super) points: Vec<Point>,
    /// A fitted curve, as points of its own.
    pub(super) curve: Vec<(f64, f64)>,
    /// Whether its name is written at its last point.
    pub(super) labelled: bool,
}

/// What a series has at one place.
#[derive(Debug, Clone)]
pub(super) struct Point {
    pub(super) x: f64,
    /// Where it is, in words: "10,000".
    pub(super) at: String,
    /// What it says, in words: "482 µs (461–503 µs), n 40/10", "unsupported".
    pub(super) text: String,
    pub(super) seen: Seen,
}

/// What was seen there.
#[derive(Debug, Clone)]
pub(super) enum Seen {
    /// A median with its interval.
    Median { y: f64, ci95: Option<[f64; 2]> },
    /// The lower bound of a cell that timed out.
    Above(f64),
    /// No number.
    Nothing { reason: String },
}

/// A line of the legend.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) mode: Mode,
    pub(super) style: Style,
    pub(super) text: String,
}

/// The numbers of a panel, for a table beside the picture.
#[derive(Debug, Clone)]
pub struct Numbers {
    /// Which part of the chart; empty for the only panel.
    pub heading: String,
    /// Names of the columns after the first.
    pub columns: Vec<String>,
    /// Rows: a name, and one text a column.
    pub rows: Vec<(String, Vec<String>)>,
}

impl Line {
    /// Its medians with their places.
    pub(super) fn medians(&self) -> impl Iterator<Item = (f64, f64)> {
        self.points.iter().filter_map(|point| match point.seen {
            Seen::Median { y, .. } => Some((point.x, y)),
            _ => None,
        })
    }
}

impl Point {
    /// What it says to who points at it.
    pub(super) fn said(&self) -> String {
        match &self.seen {
            Seen::Nothing { reason } => format!("{}: {reason}", self.text),
            _ => self.text.clone(),
        }
    }
}

impl Figure {
    /// A chart without notes and legend; `None` without a panel: nothing was planned that it could show.
    pub(super) fn of(title: String, panels: Vec<Panel>) -> Option<Self> {
        (!panels.is_empty()).then(|| Self {
            name: String::new(),
            title,
            notes: Vec::new(),
            alt: String::new(),
            panels,
            legend: Vec::new(),
        })
    }

    /// The numbers that the chart shows, panel by panel.
    #[must_use]
    pub fn numbers(&self) -> Vec<Numbers> {
        self.panels.iter().map(Panel::numbers).collect()
    }

    /// Rows that have a mark: in the panel that has most of them, and in all.
    #[must_use]
    pub fn marked_rows(&self) -> [usize; 2] {
        let rows = self.panels.iter().map(|panel| match &panel.body {
            Body::Rows { rows, .. } => {
                let marked = |row: &&NamedRow| !matches!(row.mark, Mark::Nothing);
                rows.iter().filter(marked).count()
            }
            Body::Lines { .. } => 0,
        });
        let rows: Vec<usize> = rows.collect();
        [rows.iter().copied().max().unwrap_or(0), rows.iter().sum()]
    }

    /// The same on linear axes; `None` when no axis is logarithmic.
    #[must_use]
    pub fn linear(&self) -> Option<Self> {
        let mut figure = self.clone();
        let mut changed = false;
        let mut flatten = |axis: &mut Axis| {
            if let Some(linear) = axis.as_linear() {
                *axis = linear;
                changed = true;
            }
        };
        for panel in &mut figure.panels {
            match &mut panel.body {
                Body::Lines { x, y, .. } => {
                    flatten(x);
                    flatten(y);
                }
                Body::Rows { x, .. } => flatten(x),
            }
        }
        changed.then_some(figure)
    }
}

impl Panel {
    pub(super) fn lines(heading: &str, x: Axis, y: Axis, lines: Vec<Line>) -> Self {
        Self {
            heading: heading.to_owned(),
            body: Body::Lines { x, y, lines },
        }
    }

    pub(super) fn rows(heading: &str, x: Axis, rows: Vec<NamedRow>, labelled: bool) -> Self {
        Self {
            heading: heading.to_owned(),
            body: Body::Rows { x, rows, labelled },
        }
    }

    pub(super) fn numbers(&self) -> Numbers {
        let (columns, rows) = match &self.body {
            Body::Lines { lines, .. } => of_lines(lines),
            Body::Rows { rows, .. } => (
                vec!["value".to_owned()],
                rows.iter()
                    .map(|row| (row.name.clone(), vec![row.text.clone()]))
                    .collect(),
            ),
        };
        Numbers {
            heading: self.heading.clone(),
            columns,
            rows,
        }
    }
}

/// Series × place. A series may have several lines (points that are not joined with the others).
fn of_lines(lines: &[Line]) -> (Vec<String>, Vec<(String, Vec<String>)>) {
    let mut places: Vec<(f64, &str)> = Vec::new();
    for point in lines.iter().flat_map(|line| &line.points) {
        if !places.iter().any(|(_, at)| *at == point.at) {
            places.push((point.x, &point.at));
        }
    }
    places.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut names: Vec<&str> = lines.iter().map(|line| line.name.as_str()).collect();
    names.dedup();
    let text = |name: &str, at: &str| {
        let mine = lines.iter().filter(|line| line.name == name);
        let mut points = mine.flat_map(|line| &line.points);
        let point = points.find(|point| point.at == at);
        point.map_or_else(|| "–".to_owned(), |point| point.text.clone())
    };
    let rows = names
        .iter()
        .map(|name| {
            let cells = places.iter().map(|(_, at)| text(name, at)).collect();
            ((*name).to_owned(), cells)
        })
        .collect();
    let columns = places.iter().map(|(_, at)| (*at).to_owned()).collect();
    (columns, rows)
}
