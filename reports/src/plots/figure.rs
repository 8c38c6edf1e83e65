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
    pub(super) points: Vec<Point>,
    /// Whether its points are joined.
    pub(super) joined: bool,
    /// A fitted curve instead of joined points, as points of its own.
    pub(super) curve: Vec<(f64, f64)>,
    /// Lower bounds: cells that timed out.
    pub(super) bounds: Vec<Point>,
    /// Places without a number, each with what became of it.
    pub(super) gaps: Vec<Gap>,
    /// Whether its name is written at its last point.
    pub(super) labelled: bool,
}

/// A median with its interval.
#[derive(Debug, Clone)]
pub(super) struct Point {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) ci95: Option<[f64; 2]>,
    /// Where it is, in words: "10,000".
    pub(super) at: String,
    /// What it says, in words: "482 µs (461–503 µs), n 40/10".
    pub(super) text: String,
}

/// A place where a series has no number.
#[derive(Debug, Clone)]
pub(super) struct Gap {
    pub(super) x: f64,
    pub(super) at: String,
    /// "timed-out", "unsupported", …
    pub(super) outcome: &'static str,
    pub(super) reason: String,
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

impl Figure {
    /// The numbers that the chart shows, panel by panel.
    #[must_use]
    pub fn numbers(&self) -> Vec<Numbers> {
        self.panels.iter().map(Panel::numbers).collect()
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
    fn numbers(&self) -> Numbers {
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
    for line in lines {
        let points = line.points.iter().chain(&line.bounds);
        let points = points.map(|point| (point.x, point.at.as_str()));
        for place in points.chain(line.gaps.iter().map(|gap| (gap.x, gap.at.as_str()))) {
            if !places.iter().any(|(_, at)| *at == place.1) {
                places.push(place);
            }
        }
    }
    places.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut names: Vec<&str> = lines.iter().map(|line| line.name.as_str()).collect();
    names.dedup();
    let text = |name: &str, at: &str| {
        let mine = || lines.iter().filter(|line| line.name == name);
        let point = mine().flat_map(|l| &l.points).find(|point| point.at == at);
        let bound = mine().flat_map(|l| &l.bounds).find(|point| point.at == at);
        let gap = mine().flat_map(|l| &l.gaps).find(|gap| gap.at == at);
        match (point.or(bound), gap) {
            (Some(point), _) => point.text.clone(),
            (None, Some(gap)) => gap.outcome.to_owned(),
            (None, None) => "–".to_owned(),
        }
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
