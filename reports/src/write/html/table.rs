//! The two kinds of table that the page has: of answers, and of plain figures.

use maud::{Markup, Render, html};
use schema::summary::Summary;

use super::worded;
use crate::quantity::{value, whole};
use crate::view::table::{Answer, Line, Table};
use crate::view::words::{behind, mishap, missing, through};
use crate::view::{Scope, side_by_side};

/// Lines of a table: a file may hold any number of options.
const LINES: usize = 120;
/// Columns that a screen has room for.
const COLUMNS: usize = 24;

/// A table in a region of its own, which scrolls. `class` and `modes` (how many columns of equal width) are its style's.
pub(super) fn scrolling(
    label: impl Render,
    (class, modes): (&str, Option<usize>),
    caption: impl Render,
    heads: impl Render,
    body: impl Render,
) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label=(label) {
            table class=(class) style=[modes.map(|modes| format!("--modes:{modes}"))] {
                caption { (caption) }
                thead { tr { (heads) } }
                tbody { (body) }
            }
        }
    }
}

/// Heads of columns.
pub(super) fn heads<T: Render>(names: impl IntoIterator<Item = T>) -> Markup {
    html! { @for name in names { th scope="col" { (name) } } }
}

/// A column of plain figures: its name, and the classes of its head and of its cells.
pub(super) type Column<'a> = (&'a str, Option<&'static str>, Option<&'static str>);

/// Columns of the same kind: "Mode|Scenario".
pub(super) fn columns(
    names: &'static str,
    (head, cell): (Option<&'static str>, Option<&'static str>),
) -> impl Iterator<Item = Column<'static>> {
    names.split('|').map(move |name| (name, head, cell))
}

/// A table of plain figures, whose first column says what each line is of; `rest`: what it leaves out.
pub(super) fn figures(
    label: impl Render,
    class: &str,
    caption: impl Render,
    columns: &[Column<'_>],
    lines: impl Iterator<Item = Vec<String>>,
    rest: Option<String>,
) -> Markup {
    let heads =
        html! { @for (name, class, _) in columns { th class=[*class] scope="col" { (name) } } };
    let body = html! {
        @for line in lines {
            tr {
                @for (index, (text, (.., class))) in line.iter().zip(columns).enumerate() {
                    @if index == 0 { th scope="row" { (text) } } @else { td class=[*class] { (text) } }
                }
            }
        }
        @if let Some(rest) = rest { tr { td colspan=(columns.len()) { (rest) } } }
    };
    scrolling(label, (class, None), caption, heads, body)
}

/// A table of answers; `place`: of what, where the page has several.
pub(super) fn answers(table: &Table<'_>, place: Option<&Scope>) -> Markup {
    let columns = &table.columns[..table.columns.len().min(COLUMNS)];
    // Of places every line stands: each is one mode alone.
    let most = if table.places.is_some() {
        usize::MAX
    } else {
        LINES
    };
    let rest = |all: usize, most: usize| all.checked_sub(most).filter(|rest| *rest > 0);
    let lines = table.lines.iter().take(most);
    let asked = [None].into_iter().chain(table.lines.iter().map(Some));
    html! {
        section {
            h2 { (table.title) @if let Some(place) = place { ": " (place.describe()) } }
            (scrolling(
                &table.label,
                ("cards", Some(columns.len())),
                &table.caption,
                heads([table.first[0]].into_iter().chain(columns.iter().map(|(_, heading)| heading.as_str()))),
                html! { @for (line, before) in lines.zip(asked) { (self::line(table, line, before)) } },
            ))
            @if let Some(rest) = rest(table.lines.len(), most) { p.hint { (whole(rest as u64)) " more " (table.first[1]) " differ in their options only: they are in summary.json." } }
            @if let Some(rest) = rest(table.columns.len(), COLUMNS) { p.hint { (whole(rest as u64)) " more columns are in summary.json." } }
            @for hint in &table.hints { p.hint { (hint) } }
        }
    }
}

/// Environments or variants side by side: nothing with one of them.
pub(super) fn places(summary: &Summary) -> Markup {
    html! { @for table in side_by_side(summary) { (answers(&table, None)) } }
}

/// A line; its question stands at the first of its modes only.
fn line(table: &Table<'_>, line: &Line<'_>, before: Option<&Line<'_>>) -> Markup {
    let asked = before.is_none_or(|before| before.asked != line.asked);
    html! {
        tr {
            th scope="row" {
                @if asked { (line.asked) }
                @if !line.of.is_empty() { span.small { (line.of) } }
            }
            @for ((name, _), cell) in table.columns.iter().zip(&line.cells).take(COLUMNS) {
                td class=[cell.is_none().then_some("na")] data-label=(name) {
                    div class=[table.places.map(|_| "answer")] {
                        @match cell {
                            None => span.none { "serves no services" },
                            Some(answers) if answers.is_empty() => span.none { "not planned" },
                            Some(answers) => @for found in answers {
                                @if table.places.is_some() { (figure(found)) } @else { div.answer { (answer(found)) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A figure, or why there is none.
fn figure(answer: &Answer<'_>) -> Markup {
    html! {
        @match answer.row.median.zip(answer.row.unit) {
            None => span.bad { (worded(&missing(answer.row, answer.metric))) },
            Some((median, unit)) => {
                span.value { (value(median, unit)) }
                @if answer.lowest { span.badge { "lowest" } }
                @if answer.noisy { span.badge.warn { "noisy" } }
                span.small { (behind(answer.row)) }
                @for also in &answer.also { span.small { (also) } }
            },
        }
    }
}

/// The same, with how the mode was programmed, and what became of stays without a number.
fn answer(answer: &Answer<'_>) -> Markup {
    let row = answer.row;
    html! {
        (figure(answer))
        @if let Some(through) = through(&row.key.options) { span.small { (through) } }
        @if let Some(reason) = mishap(row).filter(|_| row.median.is_some()) { span.small.bad { (reason) } }
    }
}
