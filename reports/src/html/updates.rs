//! The table of rule updates: scenario × mode, with time, messages, bytes and operations.

use maud::{Markup, html};
use schema::summary::{Row, Summary};

use super::headline::{LINES, behind};
use super::worded;
use crate::quantity::{noun, value, whole};
use crate::scope::{Scope, as_ranked, is_lowest, mishap};
use crate::update_table::{Answer, COUNTED, UpdateTable, update_tables, without_time};

/// The tables of a scope: one, or two where some mode has no cells at the largest size.
pub(super) fn tables(summary: &Summary, scope: &Scope, named: bool) -> Markup {
    html! { @for table in update_tables(summary, scope) { (one(&table, scope, named)) } }
}

fn one(table: &UpdateTable<'_>, scope: &Scope, named: bool) -> Markup {
    html! {
        section {
            h2 { "Rule updates at " (whole(table.services.into())) " services" @if named { ": " (scope.describe()) } }
            div.scroll tabindex="0" role="region" aria-label="Rule updates by mode" {
                table.cards style={ "--modes:" (table.modes.len()) } {
                    caption { (caption(table)) }
                    thead { tr { th scope="col" { "Update" } @for mode in &table.modes { th scope="col" { (mode) } } } }
                    tbody {
                        @for line in table.lines.iter().take(LINES) {
                            @let times = line.times();
                            tr {
                                th scope="row" { (line.text()) span.small { (line.scenario) } }
                                @for (mode, answers) in table.modes.iter().zip(&line.cells) {
                                    td data-label=(mode) {
                                        div {
                                            @if answers.is_empty() { span.none { "not planned" } }
                                            @for found in answers { div.answer { (answer(found, &times)) } }
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
            }
            @if table.lines.len() > LINES {
                p.hint { (whole((table.lines.len() - LINES) as u64)) " more kinds of update differ in their options only: they are in summary.json." }
            }
        }
    }
}

/// What a reader must know of the table.
pub(crate) fn caption(table: &UpdateTable<'_>) -> String {
    let beyond: Vec<String> = table.beyond.iter().map(|n| whole((*n).into())).collect();
    let size = if beyond.is_empty() {
        String::new()
    } else {
        format!(
            " The largest size that all modes have; some have no cells at {}.",
            beyond.join(", ")
        )
    };
    format!(
        "Time: what the kernel and the tool must do (update_time), the median of its stays with its 95 % interval, of fewer than six stays their range; sync: the same update as kube-proxy makes it, \
         with its read-back (sync_time); released: after its answer, until its sockets are closed (release_time; a tool's is inside its time). Messages are netlink messages of our own: 0 where a tool sends its own. “Lowest”: of both together, told apart from every other mode.{size}"
    )
}

fn answer(answer: &Answer<'_>, times: &[&Row]) -> Markup {
    let row = answer.time;
    let Some((median, unit)) = row.median.zip(row.unit) else {
        return html! {
            span.bad { (worded(&without_time(row))) }
            @if !answer.way().is_empty() { span.small { "through " (answer.way()) } }
        };
    };
    html! {
        span.value { (value(median, unit)) }
        @if is_lowest(row, times) { span.badge { "lowest" } }
        span.small { (behind(row)) }
        span.small { (counted(answer)) }
        @if let Some((median, unit)) = answer.sync.and_then(|sync| sync.median.zip(sync.unit)) {
            span.small { "sync " (value(median, unit)) }
        }
        @if let Some((median, unit)) = answer.release.and_then(|release| release.median.zip(release.unit)) {
            span.small { "then released in " (value(median, unit)) (together(row)) }
        }
        @if !answer.way().is_empty() { span.small { "through " (answer.way()) } }
        @if let Some(reason) = mishap(row) { span.small.bad { (reason) } }
    }
}

/// ", together 26.0 ms": an update with its release, by which it is ranked, where that is another number.
pub(crate) fn together(row: &Row) -> String {
    let shown = |median: Option<f64>| Some(value(median?, row.unit?));
    match shown(as_ranked(row).median) {
        Some(whole) if shown(row.median).as_ref() != Some(&whole) => format!(", together {whole}"),
        _ => String::new(),
    }
}

/// "12 messages, 3.10 kB, 9 operations"; what the scenario does not count is named as such.
pub(crate) fn counted(answer: &Answer<'_>) -> String {
    let (mut parts, mut missing) = (Vec::new(), Vec::new());
    for ((_, plural), row) in COUNTED.iter().zip(answer.counted) {
        match row.and_then(|row| row.median.zip(row.unit)) {
            Some((median, unit)) => {
                parts.push(format!("{} {}", value(median, unit), noun(median, plural)));
            }
            None => missing.push(*plural),
        }
    }
    if !missing.is_empty() {
        parts.push(format!("not counted: {}", missing.join(", ")));
    }
    parts.join(", ")
}
