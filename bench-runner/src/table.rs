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

use questions::{Column, TOPICS, asked, columns};
use series::{Series, series};

/// Width of a terminal.
const WIDTH: usize = 100;
/// Between columns.
const GAP: &str = "  ";

/// Renders the table; empty when nothing was planned.
pub(crate) fn render(summary: &Summary) -> String {
    let scopes = scopes(summary);
    let several = scopes.len() > 1;
    let parts: Vec<String> = scopes
        .iter()
        .map(|scope| of_scope(summary, scope, several))
        .filter(|text| !text.is_empty())
        .collect();
    parts.join("\n\n")
}

fn of_scope(summary: &Summary, scope: &Scope, named: bool) -> String {
    let services = scope.largest(summary);
    let rows: Vec<&Row> = scope
        .rows(summary)
        .filter(|row| row.key.services == services)
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    let place = if named {
        format!(", {}", scope.describe())
    } else {
        String::new()
    };
    let mut text = format!("medians at {services} services{place} (samples/stays)");
    let signs = [
        (
            "± half of the 95 % interval",
            rows.iter().any(|row| row.ci95.is_some()),
        ),
        (
            "! stays disturbed",
            rows.iter().any(|row| row.disturbed > 0),
        ),
        (
            "~ moved by other users of the kernel",
            rows.iter().any(|row| row.noisy),
        ),
    ];
    let signs: Vec<&str> = signs
        .iter()
        .filter_map(|(what, any)| any.then_some(*what))
        .collect();
    if !signs.is_empty() {
        text.push('\n');
        text.push_str(&signs.join("; "));
    }
    let series = series(&rows);
    for topic in TOPICS {
        for grid in grids(&rows, &series, &columns(&rows, topic)) {
            text.push_str("\n\n");
            text.push_str(&grid);
        }
    }
    text
}

/// A topic as grids of at most [`WIDTH`] columns; series that were asked nothing of it are left out.
fn grids(rows: &[&Row], all: &[Series], columns: &[Column]) -> Vec<String> {
    let cell = |series: &Series, column: &Column| {
        rows.iter().find(|row| {
            series.holds(&row.key)
                && row.key.scenario == column.scenario
                && asked(&row.key) == column.asked
                && row.metric.is_none_or(|metric| metric == column.ask.metric)
        })
    };
    let shown: Vec<&Series> = all
        .iter()
        .filter(|series| columns.iter().any(|column| cell(series, column).is_some()))
        .collect();
    let names: Vec<String> = shown.iter().map(|series| series.name(all)).collect();
    let first = names
        .iter()
        .map(|name| name.chars().count())
        .max()
        .unwrap_or(0);
    let mut grids: Vec<Vec<String>> = Vec::new();
    let mut used = usize::MAX;
    for column in columns {
        let mut lines: Vec<String> = column.heading().to_vec();
        lines.extend(shown.iter().map(|series| match cell(series, column) {
            Some(row) => describe(row),
            None => absent(series, column, rows).to_owned(),
        }));
        let width = lines
            .iter()
            .map(|line| line.chars().count())
            .max()
            .unwrap_or(0);
        if used.saturating_add(GAP.len() + width) > WIDTH {
            let blank = ["", ""].into_iter();
            let labels = blank.chain(names.iter().map(String::as_str));
            grids.push(labels.map(|name| format!("{name:<first$}")).collect());
            used = first;
        }
        used += GAP.len() + width;
        if let Some(grid) = grids.last_mut() {
            for (line, text) in grid.iter_mut().zip(lines) {
                line.push_str(&format!("{GAP}{text:>width$}"));
            }
        }
    }
    grids.into_iter().map(|lines| lines.join("\n")).collect()
}

/// Why a measured scenario has no such number in a series, or that it was not asked.
fn absent(series: &Series, column: &Column, rows: &[&Row]) -> &'static str {
    let asked_here = rows.iter().any(|row| {
        series.holds(&row.key)
            && row.key.scenario == column.scenario
            && asked(&row.key) == column.asked
    });
    match (asked_here, column.ask.metric) {
        (true, Metric::SyncTime) => "no such mode",
        (true, _) => "not counted",
        (false, _) => "not planned",
    }
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
