//! The table on the terminal at the end of a run: mode × question at the largest size. Modes are rows,
//! so that seven of them fit a terminal; questions are columns, in as many bands as the width asks for.

mod questions;
mod series;
#[cfg(test)]
mod tests;

use reports::quantity::value;
use reports::view::{Scope, lower_bound, scopes};
use schema::summary::{Row, Summary};
use schema::{Metric, Unit};

use questions::{Column, TOPICS, columns};
use series::{Series, series};

/// Width of a terminal.
const WIDTH: usize = 100;
/// Between columns.
const GAP: &str = "  ";

/// Renders the table; empty when nothing was planned.
pub(crate) fn render(summary: &Summary) -> String {
    let scopes = scopes(summary);
    let several = scopes.len() > 1;
    let parts = scopes
        .iter()
        .flat_map(|scope| of_scope(summary, scope, several));
    parts.collect::<Vec<_>>().join("\n\n")
}

/// The parts of a scope's table: what it is, and its grids.
fn of_scope(summary: &Summary, scope: &Scope, named: bool) -> Vec<String> {
    let services = scope.largest(summary);
    let rows = scope.rows(summary);
    let rows: Vec<&Row> = rows.filter(|row| row.key.services == services).collect();
    if rows.is_empty() {
        return Vec::new();
    }
    let place = match named {
        true => format!(", {}", scope.describe()),
        false => String::new(),
    };
    let any = |of: fn(&Row) -> bool| rows.iter().any(|row| of(row));
    let signs = [
        ("± half of the 95 % interval", any(|row| row.ci95.is_some())),
        ("! stays disturbed", any(|row| row.disturbed > 0)),
        ("~ moved by other users of the kernel", any(|row| row.noisy)),
    ];
    let signs = signs.iter().filter_map(|(what, any)| any.then_some(*what));
    let mut head = vec![format!(
        "medians at {services} services{place} (samples/stays)"
    )];
    head.push(signs.collect::<Vec<_>>().join("; "));
    head.retain(|line| !line.is_empty());
    let series = series(&rows);
    let topics = TOPICS.iter().map(|topic| columns(&rows, *topic));
    let grids = topics.flat_map(|columns| grids(&rows, &series, &columns));
    [head.join("\n")].into_iter().chain(grids).collect()
}

/// A topic as grids of at most [`WIDTH`] columns; series that were asked nothing of it are left out.
fn grids(rows: &[&Row], all: &[Series], columns: &[Column]) -> Vec<String> {
    let of = |series: &Series, column: &Column| -> Vec<&Row> {
        let mine = rows
            .iter()
            .filter(|row| series.holds(&row.key) && column.holds(&row.key));
        mine.copied().collect()
    };
    let cell = |series: &Series, column: &Column| {
        let mine = of(series, column);
        mine.into_iter()
            .find(|row| row.metric.is_none_or(|metric| metric == column.ask.metric))
    };
    let is_asked = |series: &&Series| columns.iter().any(|column| cell(series, column).is_some());
    let shown: Vec<&Series> = all.iter().filter(is_asked).collect();
    let names: Vec<String> = shown.iter().map(|series| series.name(all)).collect();
    let widest = |lines: &[String]| {
        lines
            .iter()
            .map(|line| line.chars().count())
            .max()
            .unwrap_or(0)
    };
    let first = widest(&names);
    let mut grids: Vec<Vec<String>> = Vec::new();
    let mut used = usize::MAX;
    for column in columns {
        let mut lines: Vec<String> = column.heading().to_vec();
        lines.extend(shown.iter().map(|series| match cell(series, column) {
            Some(row) => describe(row),
            // Why a measured scenario has no such number in a series, or that it was not asked.
            None if of(series, column).is_empty() => "not planned".to_owned(),
            None if column.ask.metric == Metric::SyncTime => "no such mode".to_owned(),
            None => "not counted".to_owned(),
        }));
        let width = widest(&lines);
        if used.saturating_add(GAP.len() + width) > WIDTH {
            let blank = ["", ""].into_iter();
            let labels = blank.chain(names.iter().map(String::as_str));
            grids.push(labels.map(|name| format!("{name:<first$}")).collect());
            used = first;
        }
        used += GAP.len() + width;
        for (line, text) in grids.iter_mut().rev().take(1).flatten().zip(lines) {
            line.push_str(&format!("{GAP}{text:>width$}"));
        }
    }
    grids.into_iter().map(|lines| lines.join("\n")).collect()
}

/// " ±4%": how far a value is known, where that is.
fn half_width(row: &Row) -> Option<String> {
    let (median, [low, high]) = (row.median?, row.ci95?);
    let half = 50.0 * (high - low) / median;
    (median > 0.0 && half.is_finite() && half > 0.0).then(|| match half {
        less if less < 0.95 => " ±<1%".to_owned(),
        half => format!(" ±{half:.0}%"),
    })
}

/// "29.1 µs ±4% 3000/15", "> 60 s", "unsupported".
fn describe(row: &Row) -> String {
    match (row.median, row.unit) {
        (Some(median), Some(unit)) => format!(
            "{}{}{}{} {}/{}",
            value(median, unit),
            if row.noisy { "~" } else { "" },
            if row.disturbed > 0 { "!" } else { "" },
            half_width(row).unwrap_or_default(),
            row.n,
            row.stays
        ),
        _ => match lower_bound(row) {
            Some(bound) => format!("> {}", value(bound, Unit::Nanoseconds)),
            None => row.outcome.to_string(),
        },
    }
}
