//! The matrix of the top of the page: mode × question at the largest N, each answer beside the lowest and
//! beside the floors, each question leading to its chart. Then the same questions over N as small multiples.

use std::collections::BTreeSet;

use maud::{Markup, PreEscaped, html};
use schema::summary::{Over, Summary};
use schema::{Metric, Mode, OptionKey};

use crate::load::Run;
use crate::plots::{self, Figure};
use crate::quantity::{digits, shortened, value, whole};
use crate::summarise::{Answer, Asked, Ratio, matrix};
use crate::view::words::{marks, mishap, missing, spread};
use crate::view::{Scope, Standing, as_ranked};

use super::table::{heads, scrolling};
use super::{Ids, worded};

/// Lines of the matrix: what is asked beyond them is in the tables below.
const LINES: usize = 40;

const CAPTION: &str = "The median of the stays' medians, with its 95 % interval from six stays on, else their range; then how many times the lowest of the row that is. \
    An update is shown and ranked with what is released after its answer, as a tool's time is. “Lowest”: told apart from every other mode. “Not told apart”: from the lowest, by this run. “Too few stays to say”: six would give an interval. \
    The darker the further from it. ÷: beside the floors of the same packets. \
    Each mode through its ordinary way (iptables-restore, netlink), as the newest kube-proxy that was asked for lays it out, by the installed tools where those of other suites were asked too; all are in the tables below.";

/// The matrix of a scope.
pub(super) fn table(
    run: &Run,
    summary: &Summary,
    scope: &Scope,
    named: bool,
    (ids, figures): (&Ids, &[Figure]),
) -> Markup {
    let lines = matrix(run, summary, scope);
    let modes = scope.modes(summary);
    let numbers = |line: &Asked<'_>| {
        let mut answers = line.answers.values();
        answers.any(|answer| answer.row.median.is_some())
    };
    let left_out = lines.len().saturating_sub(LINES);
    let shown =
        html! { @for line in lines.iter().take(LINES) { (row(line, &modes, ids, figures)) } };
    html! {
        @if !lines.is_empty() {
            section {
                h2 { "Which mode, at " (whole(scope.largest(summary).into())) " services?" @if named { " " (scope.describe()) } }
                @if lines.iter().any(numbers) {
                    (scrolling(
                        "Mode by question",
                        ("cards matrix", Some(modes.len())),
                        CAPTION,
                        html! { (heads(["Question"])) @for mode in &modes { (head(*mode, &lines)) } },
                        shown,
                    ))
                    @if left_out > 0 { p.hint { (whole(left_out as u64)) " more questions are in the tables below." } }
                } @else {
                    p { "No mode has a number at this size; why not stands under “Without numbers”." }
                }
            }
        }
    }
}

/// A mode, and whose rules it has.
fn head(mode: Mode, lines: &[Asked<'_>]) -> Markup {
    let answers = lines.iter().filter_map(|line| line.answers.get(&mode));
    let layouts =
        answers.filter_map(|answer| answer.row.key.options.words_of(OptionKey::KubeProxy));
    let layouts: BTreeSet<String> = layouts.collect();
    html! { th scope="col" { (mode) @for layout in layouts { span.small { (layout) } } } }
}

fn row(line: &Asked<'_>, modes: &[Mode], ids: &Ids, figures: &[Figure]) -> Markup {
    let question = shortened(&line.text(), 120);
    let question = match line.question.metric {
        metric @ (Metric::SyncTime | Metric::UpdateTime) => format!("{question} ({metric})"),
        _ => question,
    };
    // A chart of another scope has another name: only what is there is linked.
    let chart = line.chart();
    let there = figures.iter().any(|figure| figure.name == chart);
    html! {
        tr {
            th scope="row" {
                @if there { a href={ "#" (ids.chart(chart)) } { (question) } } @else { (question) }
            }
            @for mode in modes { (cell(line, *mode)) }
        }
    }
}

fn cell(line: &Asked<'_>, mode: Mode) -> Markup {
    let applies = !mode.is_floor() || line.question.metric == Metric::Latency;
    let Some(answer) = line.answers.get(&mode) else {
        return html! {
            td class=[(!applies).then_some("na")] data-label=(mode) { div { span.none { @if applies { "not planned" } @else { "serves no services" } } } }
        };
    };
    html! {
        td class=[heat(answer)] data-label=(mode) { div { (shown(answer, line.question.metric)) } }
    }
}

/// Class of a cell's background, by how far from the lowest it is.
fn heat(answer: &Answer<'_>) -> Option<&'static str> {
    let times = answer.times.map(|times| times.known.value)?;
    Some(match times {
        t if t < 1.5 => "h0",
        t if t < 3.0 => "h1",
        t if t < 10.0 => "h2",
        t if t < 30.0 => "h3",
        _ => "h4",
    })
}

fn shown(answer: &Answer<'_>, metric: Metric) -> Markup {
    let row = answer.row;
    let Some((median, unit)) = row.median.zip(row.unit) else {
        return html! { span.bad { (worded(&shortened(&missing(row, metric), 160))) } };
    };
    let ranked = as_ranked(row);
    let whole = value(ranked.median.unwrap_or(median), unit);
    let own = value(median, unit);
    html! {
        span.value { (whole) }
        @if answer.standing == Some(Standing::Lowest) { span.badge { "lowest" } }
        @if row.noisy { span.badge.warn { "noisy" } }
        span.small { (spread(&ranked)) }
        @if own != whole { span.small { (own) " until its answer" } }
        @if let Some(marks) = marks(row) { span.small.bad { (marks) } }
        @if let Some(times) = &answer.times { span.times { "× " (ratio(times)) } }
        @match (answer.standing, answer.times.is_some()) {
            (Some(Standing::Level), true) => span.small { "not told apart" },
            (Some(Standing::Level), false) => span.small { "lowest value, not told apart" },
            (Some(Standing::Unknown), true) => span.small { "too few stays to say" },
            (Some(Standing::Unknown), false) => span.small { "lowest value, too few stays to say" },
            _ => {}
        }
        @for (floor, against) in Mode::FLOORS.iter().zip(&answer.floors) {
            @if let Some(against) = against { span.small { "÷ " (floor) " " (ratio(against)) } }
        }
        @if mishap(row).is_some() { span.small.bad { "some stays have no number" } }
    }
}

/// "1.99 (1.78–2.23)"; where nothing is known of it, which is said beside the value, the ratio alone.
fn ratio(ratio: &Ratio) -> String {
    let known = ratio.known;
    match (known.ci95, known.range) {
        (None, None) => digits(known.value),
        _ => format!("{} ({})", digits(known.value), ratio.spread()),
    }
}

/// Whether that is the name of a chart whose first panel is a cost over N.
fn over_n(name: &str) -> bool {
    let mut charts = plots::registry().iter();
    charts.any(|chart| chart.over == Some(Over::Services) && chart.name == name)
}

/// The charts over N, small: what grows shows at a glance.
pub(super) fn multiples(figures: &[Figure], ids: &Ids) -> Markup {
    let small: Vec<(&Figure, String)> = figures
        .iter()
        .filter(|figure| over_n(&figure.name))
        .filter_map(|figure| Some((figure, figure.thumbnail_svg()?)))
        .collect();
    html! {
        @if !small.is_empty() {
            section {
                h2 { "What grows with the number of services?" }
                p.hint { "Cost upwards, services to the right, both logarithmic; each picture leads to its chart." }
                ul.multiples {
                    @for (figure, svg) in small {
                        li { a href={ "#" (ids.chart(&figure.name)) } { span { (figure.title) } (PreEscaped(svg)) } }
                    }
                }
            }
        }
    }
}
