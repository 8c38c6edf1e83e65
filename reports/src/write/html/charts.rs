//! The charts of the page, each with its notes, the same on linear axes for the page's script to show, and its
//! numbers as tables.

use maud::{Markup, PreEscaped, html};
use schema::Mode;
use schema::summary::Summary;

use super::Ids;
use super::table::figures;
use crate::plots::{self, Figure, Numbers};

/// The section of charts.
pub(super) fn section<'a>(
    summary: &Summary,
    figures: impl Iterator<Item = &'a Figure>,
    ids: &Ids,
) -> Markup {
    let mut figures = figures.peekable();
    let mut modes: Vec<Mode> = summary.cells.iter().map(|row| row.key.mode).collect();
    modes.sort_unstable();
    modes.dedup();
    html! {
        @if figures.peek().is_some() {
            section {
                h2 id=(ids.of("charts")) { "Charts" }
                (tools(&modes))
                div.charts { @for figure in figures { (chart(figure, ids, false)) } }
            }
        }
    }
}

/// What the script turns on and off; without it everything is shown, and these are not.
fn tools(modes: &[Mode]) -> Markup {
    html! {
        div.tools role="group" aria-label="What the charts show" hidden {
            @for mode in modes {
                label { input type="checkbox" value=(mode) checked autocomplete="off"; span.dot style={ "background:" (plots::color_of(*mode)) } {} (mode) }
            }
            label { "Axes " select autocomplete="off" { option value="log" selected { "logarithmic" } option value="linear" { "linear" } } }
            span.small { "Point at a chart, or move to it with Tab and use the arrow keys, to read its values." }
        }
    }
}

/// A chart with its notes and its numbers, below the title of a section or, at the `top`, of the page.
pub(super) fn chart(figure: &Figure, ids: &Ids, top: bool) -> Markup {
    let linear = figure.linear().map(|figure| figure.inline_svg());
    html! {
        figure id=(ids.chart(&figure.name)) {
            figcaption { @if top { h2 { (figure.title) } } @else { h3 { (figure.title) } } }
            @match figure.inline_svg() {
                Ok(svg) => div.view data-scale="log" { (PreEscaped(svg)) },
                Err(error) => p.bad { "This chart could not be drawn: " (error) },
            }
            @if let Some(Ok(svg)) = linear {
                div.view data-scale="linear" hidden { (PreEscaped(svg)) }
            }
            @for note in &figure.notes { p.small { (note) } }
            (numbers(figure))
        }
    }
}

fn numbers(figure: &Figure) -> Markup {
    let tables = figure.numbers();
    html! {
        details {
            summary { "Numbers of this chart" span.hidden { ": " (figure.title) } }
            @for table in &tables { (one(table, &figure.title)) }
        }
    }
}

fn one(table: &Numbers, title: &str) -> Markup {
    let caption = match table.heading.as_str() {
        "" => title,
        heading => heading,
    };
    let names = table.columns.iter().map(String::as_str);
    let columns: Vec<_> = ["Series"]
        .into_iter()
        .chain(names)
        .map(|name| (name, None, None))
        .collect();
    let lines = table.rows.iter();
    let lines = lines.map(|(name, cells)| [std::slice::from_ref(name), cells].concat());
    let label = format!("{title} {}", table.heading);
    figures(label, "full", caption, &columns, lines, None)
}
