//! The top of the page: findings, and mode × question at the largest size.

use maud::{Markup, html};
use schema::summary::{Finding, Row, Summary};
use schema::{Metric, Mode, OptionKey, Position};

use super::{Ids, worded};
use crate::quantity::{counted, digits, shortened, value, whole};
use crate::scope::{
    Question, Scope, instead, is_lowest, marks, mishap, scopes, spread, through, way,
};
use crate::sentence;
use crate::summarise::FloorRatio;

/// Lines of a table: a file may hold any number of options.
pub(super) const LINES: usize = 60;

/// What the data say: the answers to what is asked first.
pub(super) fn findings(summary: &Summary, start: &str, ids: &Ids) -> Markup {
    html! {
        section id=[(!start.is_empty()).then_some(start)] {
            h2 id=(ids.of("findings")) { "What the data say" }
            @if summary.findings.is_empty() {
                p { "Nothing: no cell has a number that supports a sentence." }
            }
            (sentences(summary, true))
            p.hint {
                "In brackets the 95 % interval of the median of stays, of fewer than six stays their range. The stay (one fresh lab) is the unit of replication; "
                "two are told apart only when both have an interval and these do not overlap."
            }
        }
    }
}

/// What else the data say.
pub(super) fn more(summary: &Summary) -> Markup {
    html! {
        @if summary.findings.iter().any(|finding| !finding.headline) {
            section {
                h2 { "What else the data say" }
                (sentences(summary, false))
            }
        }
    }
}

/// Sentences of a page: of more environments than it draws, the others are in the summary.
const SENTENCES: usize = 80;

fn sentences(summary: &Summary, headline: bool) -> Markup {
    let all: Vec<&Finding> = summary
        .findings
        .iter()
        .filter(|f| f.headline == headline)
        .collect();
    html! {
        @for (scope, findings) in by_scope(summary, &all[..all.len().min(SENTENCES)]) {
            @if let Some(scope) = scope { h3 { (shortened(&scope, LONGEST)) } }
            ul.findings { @for finding in findings { (sentence(finding)) } }
        }
        @if all.len() > SENTENCES {
            p.hint { (whole((all.len() - SENTENCES) as u64)) " more sentences, of other environments, are in summary.json." }
        }
    }
}

/// Findings by what they are of, as a phrase where there is more than one such thing.
fn by_scope<'a>(
    summary: &Summary,
    findings: &[&'a Finding],
) -> Vec<(Option<String>, Vec<&'a Finding>)> {
    let several = scopes(summary).len() > 1;
    let mut groups: Vec<(Option<String>, Vec<&Finding>)> = Vec::new();
    for finding in findings {
        let place = sentence::place(several, finding);
        match groups.last_mut() {
            Some((last, group)) if *last == place => group.push(finding),
            _ => groups.push((place, vec![finding])),
        }
    }
    groups
}

/// A sentence: its question, its verdict, and folded what it rests on.
fn sentence(finding: &Finding) -> Markup {
    let values = sentence::values(finding);
    html! {
        li {
            strong { (shortened(&finding.question, LONGEST)) ": " }
            (shortened(&finding.verdict, LONGEST))
            @if !values.is_empty() || !finding.evidence.is_empty() {
                details {
                    summary { @if values.is_empty() { "Computed from" } @else { "Values" } span.hidden { ": " (shortened(&finding.question, 200)) } }
                    @if !values.is_empty() { p { (shortened(&values, LONGEST)) } }
                    @if !finding.evidence.is_empty() {
                        ul {
                            @for line in finding.evidence.iter().take(EVIDENCE) { li { (shortened(line, LONGEST)) } }
                            @if finding.evidence.len() > EVIDENCE {
                                li { "… and " (whole((finding.evidence.len() - EVIDENCE) as u64)) " more, in summary.json" }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Letters of a part of a sentence, and rows it rests on, that are shown: the summary has all.
const LONGEST: usize = 4_000;
const EVIDENCE: usize = 60;

/// Mode × question at the largest size.
pub(super) fn table(summary: &Summary, scope: &Scope, named: bool) -> Markup {
    let largest = scope.largest(summary);
    let modes = scope.modes(summary);
    let questions = scope.questions(summary);
    if questions.is_empty() {
        return html! {};
    }
    html! {
        section {
            h2 { "Packets, memory and rules at " (whole(largest.into())) " services" @if named { ": " (scope.describe()) } }
            div.scroll tabindex="0" role="region" aria-label="Modes by question" {
                table.cards style={ "--modes:" (modes.len()) } {
                    caption {
                        "The median of the stays' medians, its 95 % interval from six stays on, else their range; number of samples n. “Lowest”: told apart from every other mode. "
                        "The floors none and conntrack serve no services, so they hold no memory for them. Figures marked noisy are moved by whatever else runs on the host's kernel."
                    }
                    thead { tr { th scope="col" { "Question" } @for mode in &modes { th scope="col" { (mode) } } } }
                    tbody {
                        @for question in questions.iter().take(LINES) {
                            @let answers = answers(summary, scope, question, largest);
                            tr {
                                th scope="row" { (question.text(largest)) }
                                @for mode in &modes { (cell(&answers, *mode, question)) }
                            }
                        }
                    }
                }
            }
            @if questions.len() > LINES {
                p.hint { (whole((questions.len() - LINES) as u64)) " more questions differ in their options only: they are in summary.json." }
            }
            @for hint in hints(&questions, &modes, scope, summary) { p.hint { (hint) } }
        }
    }
}

/// What a reader must know of what is asked.
fn hints(questions: &[Question], modes: &[Mode], scope: &Scope, summary: &Summary) -> Vec<String> {
    let asks = |metric: Metric| questions.iter().any(|question| question.metric == metric);
    let is_last = |q: &Question| q.options.position() == Some(Position::Last);
    let mut hints = Vec::new();
    if questions.iter().any(is_last) {
        let of: Vec<String> = modes
            .iter()
            .filter(|mode| !mode.is_floor())
            .map(|mode| format!("in {mode} it is {}", mode.row().last))
            .collect();
        hints.push(format!("The last service is not the same case in every mode: {}. A random connection pays what “any service” says.", of.join("; ")));
    }
    if asks(Metric::Latency) {
        hints.push("Quantiles of first packets come from a closed loop: the next packet waits for the reply, so a stall counts once, however many packets it would have held up.".to_owned());
    }
    if asks(Metric::KernelMemoryPeak) {
        hints.push(
            "The peak misses what each CPU keeps of freed slab objects, up to 0.5 MB a CPU."
                .to_owned(),
        );
    }
    let cpus = scope
        .rows(summary)
        .filter_map(|row| row.per_cpu)
        .map(|of| of.cpus)
        .max();
    if let Some(cpus) = cpus.filter(|_| asks(Metric::KernelMemory)) {
        hints.push(format!("Kernel memory is that of {}: counters are held for each, and more of them on a larger machine.", counted(cpus.into(), "possible CPU")));
    }
    hints
}

/// Rows that answer a question at a size; a cell without numbers answers every question of its scenario.
pub(crate) fn answers<'a>(
    summary: &'a Summary,
    scope: &'a Scope,
    question: &Question,
    services: u32,
) -> Vec<&'a Row> {
    scope
        .rows(summary)
        .filter(|row| row.key.services == services && question.asks(&row.key))
        .filter(|row| row.metric.is_none_or(|metric| metric == question.metric))
        .collect()
}

fn cell(answers: &[&Row], mode: Mode, question: &Question) -> Markup {
    let mine: Vec<&&Row> = answers.iter().filter(|row| row.key.mode == mode).collect();
    // The floors have no control plane: nothing is missing there.
    let applies = !mode.is_floor() || question.metric == Metric::Latency;
    html! {
        td.na[!applies] data-label=(mode) {
            div {
                @if mine.is_empty() {
                    span.none { @if applies { "not planned" } @else { "serves no services" } }
                }
                @for row in &mine {
                    div.answer { (answer(row, answers)) }
                }
            }
        }
    }
}

fn answer(row: &Row, answers: &[&Row]) -> Markup {
    html! {
        @match (row.median, row.unit) {
            (Some(median), Some(unit)) => {
                span.value { (value(median, unit)) }
                @if is_lowest(row, answers) { span.badge { "lowest" } }
                @if row.noisy { span.badge.warn { "noisy" } }
                span.small { (behind(row)) }
            },
            _ => span.bad { (worded(instead(row))) },
        }
        @if let Some(through) = through(&row.key.options) { span.small { (through) } }
        @if let (Some(_), Some(reason)) = (row.median, mishap(row)) {
            span.small.bad { (reason) }
        }
    }
}

/// "28.5–29.9 µs, n = 3,300 in 11 stays".
pub(crate) fn behind(row: &Row) -> String {
    let ends = |name: &str| row.quantiles.get(name);
    let interval = match row.stays > 1 && ends("min").is_some() && ends("min") == ends("max") {
        true => "the same in every sample".to_owned(),
        false => spread(row),
    };
    let stays = counted(row.stays.into(), "stay");
    let marks = marks(row).map_or_else(String::new, |marks| format!("; {marks}"));
    format!("{interval}, n = {} in {stays}{marks}", whole(row.n))
}

/// First packets against both floors at the largest size.
pub(super) fn floors(ratios: &[FloorRatio], scope: &Scope) -> Markup {
    let mine: Vec<&FloorRatio> = ratios
        .iter()
        .filter(|ratio| scope.holds(&ratio.key))
        .collect();
    let mut keys: Vec<_> = mine
        .iter()
        .map(|ratio| &ratio.key)
        .filter(|key| !key.mode.is_floor())
        .collect();
    keys.dedup();
    keys.sort_by_cached_key(|key| (key.mode, key.options.place()));
    let against = |key: &schema::CellKey, floor| {
        mine.iter()
            .find(|ratio| ratio.key == *key && ratio.floor == floor)
    };
    html! {
        @if !keys.is_empty() {
            details {
                summary { "First packets against both floors, at every position" @if !scope.variant.is_empty() { ": " (scope.variant) } }
                div.scroll tabindex="0" role="region" aria-label="Ratios to the floors" {
                    table.cards.ratios {
                        caption {
                            "Latency ÷ that of a floor at the same size, position and protocol, with its 95 % interval. "
                            "none: no connection tracking; conntrack: tracking without a service, the floor of every mode that tracks."
                        }
                        thead { tr {
                            th scope="col" { "First packet to" }
                            th scope="col" { "÷ none" }
                            th scope="col" { "÷ conntrack" }
                        } }
                        tbody {
                            @for key in keys {
                                tr {
                                    th scope="row" { (programmed(key)) ", " (described(&key.options)) }
                                    @for floor in Mode::FLOORS {
                                        td data-label={ "÷ " (floor) } {
                                            @match against(key, floor) {
                                                Some(ratio) => div {
                                                    span.value { (digits(ratio.ratio.known.value)) }
                                                    span.small { " " (ratio.ratio.spread()) }
                                                },
                                                None => span.none { "floor not measured" },
                                            }
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The mode, and how it is programmed where the cell says so.
pub(crate) fn programmed(key: &schema::CellKey) -> String {
    match way(&key.options) {
        way if way.is_empty() => key.mode.to_string(),
        way => format!("{} ({way})", key.mode),
    }
}

fn described(options: &schema::Options) -> String {
    let asked = [OptionKey::Position, OptionKey::Protocol].into_iter();
    let unusual = [OptionKey::Cache]
        .into_iter()
        .filter(|key| options.is_unusual(*key));
    let words: Vec<String> = asked
        .chain(unusual)
        .filter_map(|key| options.words_of(key))
        .collect();
    words.join(", ")
}
