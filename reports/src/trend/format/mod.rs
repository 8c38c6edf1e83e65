//! One file a format, and a row in [`FORMATS`].

mod csv;
mod text;

use schema::trend::{ChangePoint, Trend, TrendSeries};

use crate::compare::format::percent;
use crate::quantity::{digits, value};
use crate::write::html::render_trend;

/// A format of a trend.
#[derive(Debug, Clone, Copy)]
pub struct Format {
    /// Its word on the command line.
    pub name: &'static str,
    /// What reads it.
    pub about: &'static str,
    write: fn(&Trend) -> serde_json::Result<String>,
}

/// Every format.
pub const FORMATS: &[Format] = &[
    Format {
        name: "text",
        about: "a terminal",
        write: |trend| Ok(text::render(trend)),
    },
    Format {
        name: "html",
        about: "one page with a chart of each series that changed",
        write: |trend| Ok(render_trend(trend)),
    },
    Format {
        name: "json",
        about: "everything, by `schema trend`",
        write: |trend| Ok(serde_json::to_string_pretty(trend)? + "\n"),
    },
    Format {
        name: "csv",
        about: "Apache Otava, or a spreadsheet: a line a run, a column a series",
        write: |trend| Ok(csv::render(trend)),
    },
];

impl Format {
    /// The format of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        FORMATS.iter().copied().find(|format| format.name == name)
    }

    /// The trend, with a newline at its end.
    ///
    /// # Errors
    /// A value that JSON cannot hold; a trend has none.
    pub fn render(&self, trend: &Trend) -> serde_json::Result<String> {
        (self.write)(trend)
    }
}

/// "nftables first-packet N=1000 E=2 position=last latency".
fn name(series: &TrendSeries) -> String {
    format!("{} {}", series.key, series.metric)
}

/// "18.1 µs → 19.9 µs, +9.80 %; p 1e-12 among all series".
fn said(series: &TrendSeries, point: &ChangePoint) -> String {
    let (before, after) = (
        value(point.before, series.unit),
        value(point.after, series.unit),
    );
    let by = match point.relative {
        Some(relative) => percent(relative),
        None => value(point.absolute, series.unit),
    };
    let sure = match point.p_adjusted {
        Some(p) if p < 0.0001 => format!("p {p:.0e} among all series"),
        Some(p) => format!("p {} among all series", digits(p)),
        None => "exact".to_owned(),
    };
    format!("{before} → {after}, {by}; {sure}")
}
