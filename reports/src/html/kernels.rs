//! Environments or variants side by side: mode × kernel at the largest size.

use maud::{Markup, html};
use schema::summary::{Row, Summary};
use schema::{Environment, Metric};

use super::headline::behind;
use super::worded;
use crate::quantity::{value, whole};
use crate::scope::instead;
use crate::side_by_side::{Line, SideBySide, side_by_side};
use crate::update_table::without_time;

/// One table for each number of endpoints; nothing with a single environment.
pub(super) fn tables(summary: &Summary) -> Markup {
    html! { @for table in side_by_side(summary) { (one(&table, summary)) } }
}

fn one(table: &SideBySide<'_>, summary: &Summary) -> Markup {
    let columns = table.columns.len();
    html! {
        @let left_out = columns.saturating_sub(COLUMNS);
        section {
            h2 { (table.of.title()) " side by side at " (whole(table.services.into())) " services, " (whole(table.endpoints.into())) " endpoints each" }
            div.scroll tabindex="0" role="region" aria-label={ "Modes by " (table.of.one()) } {
                table.cards style={ "--modes:" (columns.min(COLUMNS)) } {
                    caption { (table.of.caption()) }
                    thead { tr {
                        th scope="col" { "Question and mode" }
                        @for name in table.columns.iter().take(COLUMNS) { th scope="col" { (heading(summary, name)) } }
                    } }
                    tbody { @for (index, line) in table.lines.iter().enumerate() { (row(table, line, index)) } }
                }
            }
            @if left_out > 0 { p.hint { (whole(left_out as u64)) " more columns are in summary.json." } }
        }
    }
}

/// Columns that a screen has room for.
const COLUMNS: usize = 24;

/// "Linux 6.1.0-56-cloud-amd64 (guest-6.1, tcg)".
pub(crate) fn heading(summary: &Summary, name: &str) -> String {
    match summary.environments.get(name) {
        Some(facts) => format!("Linux {} ({name}{})", facts.kernel, accelerator(facts)),
        None => name.to_owned(),
    }
}

fn accelerator(facts: &Environment) -> &'static str {
    match facts.accel {
        schema::Accelerator::None => "",
        schema::Accelerator::Kvm => ", kvm",
        schema::Accelerator::Tcg => ", tcg",
        schema::Accelerator::TcgIcount => ", tcg with icount",
    }
}

fn row(table: &SideBySide<'_>, line: &Line<'_>, index: usize) -> Markup {
    // The question stands at the first of its modes only.
    let first = index == 0 || table.lines[index - 1].question != line.question;
    html! {
        tr {
            th scope="row" {
                @if first { (line.question) }
                span.small { (line.series()) }
            }
            @for (name, cell) in table.columns.iter().zip(&line.cells).take(COLUMNS) {
                td data-label=(name) { div.answer { (answer(*cell, line.metric)) } }
            }
        }
    }
}

fn answer(row: Option<&Row>, metric: Metric) -> Markup {
    html! {
        @match row.map(|row| (row, row.median.zip(row.unit))) {
            None => span.none { "not planned" },
            Some((row, Some((median, unit)))) => {
                span.value { (value(median, unit)) }
                span.small { (behind(row)) }
            },
            Some((row, None)) => span.bad { (worded(&why(row, metric))) },
        }
    }
}

/// Why there is no number.
pub(crate) fn why(row: &Row, metric: Metric) -> String {
    match metric {
        Metric::UpdateTime => without_time(row),
        _ => instead(row).to_owned(),
    }
}
