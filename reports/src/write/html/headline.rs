//! The top of the page: what the data say, and first packets against both floors.

use std::collections::BTreeSet;

use maud::{Markup, html};
use schema::summary::{Finding, FindingKind, Summary};
use schema::{Mode, OptionKey, Options};

use super::table::{heads, scrolling};
use super::{Ids, charts};
use crate::load::Run;
use crate::plots::{Figure, IN_BRIEF};
use crate::quantity::{digits, shortened, whole};
use crate::summarise::FloorRatios;
use crate::view::brief::{self, Brief};
use crate::view::words::programmed;
use crate::view::{Scope, are_named, finding, grouped, scopes};

/// The picture of the top: of several environments' that of the one that answers a question in most modes, as the sentences
/// beside it have that one first.
pub(super) fn picture(figures: &[Figure]) -> Option<&Figure> {
    let named = |figure: &&Figure| figure.name.starts_with(IN_BRIEF);
    figures
        .iter()
        .filter(named)
        .min_by_key(|figure| std::cmp::Reverse(figure.marked_rows()))
}

/// The run in one picture and five sentences.
pub(super) fn brief(summary: &Summary, picture: Option<&Figure>, start: &str, ids: &Ids) -> Markup {
    html! {
        section.brief id=[(!start.is_empty()).then_some(start)] {
            p.hint { (brief::subject(summary)) }
            @if let Some(picture) = picture { (charts::chart(picture, ids, true)) }
            ul {
                @for Brief { question, answers } in brief::briefs(summary) {
                    li {
                        strong { (question) ". " }
                        @for (place, answer) in &answers {
                            @if let Some(place) = place { span.small { "(" (shortened(place, 200)) ") " } }
                            (shortened(answer, LONGEST)) " "
                        }
                    }
                }
            }
        }
    }
}

/// What the data say: the answers to what is asked first.
pub(super) fn findings(summary: &Summary, ids: &Ids) -> Markup {
    html! {
        section {
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

/// Sentences of a page; further ones are in the summary.
const SENTENCES: usize = 80;

fn sentences(summary: &Summary, headline: bool) -> Markup {
    let all = summary.findings.iter();
    let all = all.filter(|f| f.headline == headline && f.kind != FindingKind::Leaving);
    listed(summary, &all.collect::<Vec<_>>())
}

/// What leaving a mode changes, and whose services these are; nothing of a run in which neither was asked.
pub(super) fn yours(run: &Run, summary: &Summary, ids: &Ids) -> Markup {
    let found = summary.findings.iter();
    let found = found.filter(|f| f.kind == FindingKind::Leaving);
    let (found, left): (Vec<&Finding>, Vec<Mode>) = (found.collect(), run.header.leaving());
    let left: Vec<String> = left.iter().map(Mode::to_string).collect();
    let hash = run.header.arguments.get(OptionKey::Population.name());
    let hash = hash.and_then(|hash| hash.as_str());
    html! {
        @if hash.is_some() || !left.is_empty() {
            section {
                h2 id=(ids.of("yours")) { "Your services" }
                @if let Some(hash) = hash {
                    p { "The services of this page are those of your cluster that can be measured (population " (shortened(hash, 80)) "; the command population says which are left out): "
                        "with their ports, protocols, endpoints, types and affinity, at addresses of the lab. Endpoints a service are their mean." }
                }
                @if left.is_empty() {
                    p.hint { "No dump says which mode they are served by today; with --leaving MODE this section says what changes for whoever leaves it." }
                } @else {
                    h3 { "What changes when leaving " (left.join(" or ")) }
                    @if found.is_empty() { p { (why_nothing_is_left(summary, &run.header.leaving())) } }
                }
                (listed(summary, &found))
            }
        }
    }
}

/// Why nothing can be said of leaving these modes.
fn why_nothing_is_left(summary: &Summary, left: &[Mode]) -> String {
    let mut rows = summary
        .cells
        .iter()
        .filter(|row| left.contains(&row.key.mode));
    if rows.clone().any(|row| row.median.is_some()) {
        return "Nothing can be said: no other mode has a figure beside it.".to_owned();
    }
    let why = rows.find_map(|row| row.reason.clone());
    let why = why.map_or_else(String::new, |why| format!(" ({})", shortened(&why, 300)));
    format!("Nothing can be said: it has no figure here{why}.")
}

/// Sentences by what they are of.
fn listed(summary: &Summary, all: &[&Finding]) -> Markup {
    // By what they are of, as a phrase where there is more than one such thing.
    let named = are_named(&scopes(summary));
    let shown = all.iter().take(SENTENCES);
    html! {
        @for (scope, findings) in grouped(shown.map(|found| (finding::place(named, found), *found))) {
            @if let Some(scope) = scope { h3 { (shortened(&scope, LONGEST)) } }
            ul.findings { @for finding in findings { (sentence(finding)) } }
        }
        @if all.len() > SENTENCES {
            p.hint { (whole((all.len() - SENTENCES) as u64)) " more sentences are in summary.json." }
        }
    }
}

/// A sentence: its question, its verdict, and folded what it rests on.
fn sentence(finding: &Finding) -> Markup {
    let values = finding::values(finding);
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

/// First packets against both floors at the largest size.
pub(super) fn floors(mut ratios: Vec<FloorRatios>, scope: &Scope) -> Markup {
    ratios.retain(|of| !of.key.mode.is_floor());
    ratios.sort_by_cached_key(|of| (of.key.mode, of.key.options.place()));
    let modes: BTreeSet<Mode> = ratios.iter().map(|of| of.key.mode).collect();
    let beyond = modes
        .iter()
        .map(|mode| format!("{mode}: {}", mode.row().beyond_floor));
    let caption = format!(
        "Latency ÷ that of a floor at the same size, position and protocol, with its 95 % interval. none: no connection tracking; \
         conntrack: tracking and legacy nat hooks without a service. What a mode passes whatever its services and that floor does not is in \
         its ratio: {}.",
        beyond.collect::<Vec<_>>().join("; ")
    );
    let lines = html! {
        @for FloorRatios { key, floors } in &ratios {
            tr {
                th scope="row" { (programmed(key.mode, &key.options)) ", " (described(&key.options)) }
                @for (floor, ratio) in Mode::FLOORS.iter().zip(floors) {
                    td data-label={ "÷ " (floor) } {
                        @match ratio {
                            Some(ratio) => div {
                                span.value { (digits(ratio.known.value)) }
                                span.small { " " (ratio.spread()) }
                            },
                            None => span.none { "floor not measured" },
                        }
                    }
                }
            }
        }
    };
    html! {
        @if !ratios.is_empty() {
            details {
                summary { "First packets against both floors, at every position" @if !scope.variant.is_empty() { ": " (scope.variant) } @for words in scope.told() { ": " (words) } }
                (scrolling(
                    "Ratios to the floors",
                    ("cards ratios", None),
                    &caption,
                    heads(["First packet to", "÷ none", "÷ conntrack"]),
                    lines,
                ))
            }
        }
    }
}

fn described(options: &Options) -> String {
    let asked = [OptionKey::Position, OptionKey::Protocol].into_iter();
    let unusual = options
        .is_unusual(OptionKey::Cache)
        .then_some(OptionKey::Cache);
    let words = asked.chain(unusual).filter_map(|key| options.words_of(key));
    words.collect::<Vec<_>>().join(", ")
}
