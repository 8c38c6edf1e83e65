//! `report.html`: one self-contained page. First what the data say and which mode stands where, then the
//! numbers at the largest size, the charts, every number, and why to believe them. It is whole without
//! scripts; its own small one adds hover values, toggles and linear axes.

mod beside;
mod charts;
mod data;
mod headline;
mod matrix;
mod overview;
mod table;
mod tables;
mod trend;
mod trust;

use std::collections::BTreeSet;

use data_encoding::BASE64;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use schema::summary::{Row, Summary};
use schema::{Accelerator, OutcomeKind};
use sha2::{Digest, Sha256};

use crate::load::Run;
use crate::plots;
use crate::quantity::{shortened, whole};
use crate::summarise::floor_ratios;
use crate::view::table::{of_questions, of_updates};
use crate::view::trust::{Disturbed, coverage_text, older};
use crate::view::{
    Scope, are_named, executed_by, grouped, is_timed, kinds, lists, scopes, service_types,
};

pub use trend::render_trend;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// Scopes that have tables and charts on a page: those with the most numbers. A page of more would be read by nobody.
const DRAWN: usize = 6;

/// Identifiers of one run's part of the page.
struct Ids(String);

impl Ids {
    /// Of the run number `index` of `runs`.
    fn new(index: usize, runs: usize) -> Self {
        Self(if runs > 1 {
            format!("run-{}-", index + 1)
        } else {
            String::new()
        })
    }

    fn of(&self, name: &str) -> String {
        format!("{}{name}", self.0)
    }

    fn chart(&self, name: &str) -> String {
        format!("{}chart-{name}", self.0)
    }
}

/// The page of one or more runs, each with its own part: runs are put beside each other here, never
/// compared.
#[must_use]
pub fn render_html(runs: &[(&Run, &Summary)]) -> String {
    let nowhere = vec![None; runs.len()];
    render_html_beside(runs, &nowhere)
}

/// As [`render_html`], with where the results of each run lie, as a path from the page.
#[must_use]
pub fn render_html_beside(runs: &[(&Run, &Summary)], results: &[Option<String>]) -> String {
    let results = results
        .iter()
        .map(Option::as_deref)
        .chain(std::iter::repeat(None));
    let title = format!("Linux service datapaths: {}", subject(runs));
    document(
        &title,
        html! {
            (overview::section(runs))
            @for (index, ((run, summary), results)) in runs.iter().zip(results).enumerate() {
                (article(run, summary, results, (index, runs.len())))
            }
        },
    )
}

/// A page that needs nothing but itself. Nothing is fetched, and no script runs but the page's own, whatever a label in the
/// data says.
fn document(title: &str, main: Markup) -> String {
    let script = BASE64.encode(&Sha256::digest(SCRIPT.as_bytes()));
    let policy = format!(
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; script-src 'sha256-{script}'"
    );
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                a.skip href="#start" { "Skip to what the data say" }
                main { (main) }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    }
    .into_string()
}

fn subject(runs: &[(&Run, &Summary)]) -> String {
    match runs {
        [(run, summary)] => {
            let asked = match sizes(summary).last() {
                Some(largest) => format!("{} services", whole((*largest).into())),
                None => "lists of addresses".to_owned(),
            };
            format!("{asked}, {}", run.header.started)
        }
        _ => format!("{} runs", runs.len()),
    }
}

/// Numbers of services; beside lists there are none.
fn sizes(summary: &Summary) -> BTreeSet<u32> {
    let sizes = summary.cells.iter().map(|row| row.key.services);
    sizes.filter(|services| *services > 0).collect()
}

fn article(
    run: &Run,
    summary: &Summary,
    results: Option<&str>,
    (index, runs): (usize, usize),
) -> Markup {
    let mut scopes = scopes(summary);
    let (all, named, kinds) = (scopes.len(), are_named(&scopes), kinds(&scopes));
    // What has no number at all is said, not shown as tables of nothing.
    let empty: Vec<Scope> = match scopes.iter().any(|scope| has_numbers(scope, summary)) {
        true => scopes
            .extract_if(.., |scope| !has_numbers(scope, summary))
            .collect(),
        false => Vec::new(),
    };
    let drawn = scopes.len().min(DRAWN);
    let left_out: Vec<String> = scopes.drain(drawn..).map(|s| s.describe()).collect();
    let ids = Ids::new(index, runs);
    let figures = plots::figures_of(run, summary, drawn);
    let shown = (&ids, figures.as_slice());
    html! {
        article id=(ids.of("run")) {
            header {
                @if runs > 1 {
                    h2.title { "Run " (index + 1) ": " (shortened(&run.header.started, 40)) }
                } @else {
                    h1 { "Which Linux service datapath, and what does it cost?" }
                }
                p.lead { (lead(run, summary)) }
                (contents(&ids))
            }
            @let picture = headline::picture(&figures);
            (headline::brief(summary, picture, if index == 0 { "start" } else { "" }, &ids))
            (headline::yours(run, summary, &ids))
            (banners(run, summary))
            @for scope in &empty {
                p.banner { strong { "Nothing was measured on " (shortened(&scope.describe(), 300)) ". " } (why_nothing(scope.rows(summary))) }
            }
            @if !left_out.is_empty() {
                p.banner {
                    strong { (whole(drawn as u64)) " of " (whole(all as u64)) " " (kinds) " have tables and charts here. " }
                    "The others stand in tables that put several side by side, in the table of every number and in summary.json; report --format svg draws them all: "
                    (shortened(&left_out.join("; "), 1_000)) "."
                }
            }
            (headline::findings(summary, &ids))
            @for scope in &scopes { (matrix::table(run, summary, scope, named, shown)) }
            (matrix::multiples(&figures, &ids))
            (headline::more(summary))
            div id=(ids.of("tables")) {
                @for scope in &scopes {
                    @let place = named.then_some(scope);
                    @for table in of_updates(summary, scope) { (table::answers(&table, place)) }
                    @if let Some(table) = of_questions(summary, scope) { (table::answers(&table, place)) }
                    (headline::floors(floor_ratios(run, scope, scope.largest(summary)), scope))
                }
                (beside::tables(run, summary))
                @for (scope, table) in &service_types(summary) { (table::answers(table, Some(scope))) }
                @for table in &lists(summary) { (table::answers(table, None)) }
                (table::places(summary))
            }
            (charts::section(summary, figures.iter().filter(|figure| picture.is_none_or(|top| top.name != figure.name)), &ids))
            (tables::without_numbers(summary, &ids))
            (tables::everything(summary))
            (trust::section(run, summary, &ids, &data::section(summary, results)))
        }
    }
}

fn has_numbers(scope: &Scope, summary: &Summary) -> bool {
    scope.rows(summary).any(|row| row.metric.is_some())
}

fn contents(ids: &Ids) -> Markup {
    html! {
        nav aria-label={ "Contents" @if !ids.0.is_empty() { " of " (ids.of("run")) } } {
            ul.contents {
                @for (name, text) in [
                    ("findings", "What the data say"),
                    ("tables", "Tables"),
                    ("charts", "Charts"),
                    ("gaps", "Without numbers"),
                    ("trust", "Why believe this"),
                ] {
                    li { a href={ "#" (ids.of(name)) } { (text) } }
                }
            }
        }
    }
}

fn lead(run: &Run, summary: &Summary) -> String {
    let sizes: Vec<String> = sizes(summary)
        .iter()
        .map(|size| whole((*size).into()))
        .collect();
    let facts = summary.environments.values();
    let kernels = facts.map(|of| format!("Linux {} on {}", of.kernel, of.cpu));
    let asked = match sizes.is_empty() {
        true => "Lists of addresses".to_owned(),
        false => format!("{} services", sizes.join(", ")),
    };
    format!(
        "{asked}. {}. Measured {}.",
        kernels.collect::<Vec<_>>().join("; "),
        run.header.started
    )
}

/// What a reader must know before believing anything below.
fn banners(run: &Run, summary: &Summary) -> Markup {
    let coverage = &summary.coverage;
    let failed = coverage.outcomes.get("failed").copied().unwrap_or(0);
    let measured = summary.cells.iter().any(|row| row.metric.is_some());
    html! {
        @if !measured {
            p.banner { strong { "Nothing was measured. " } "No cell of this run has a number: " (why_nothing(summary.cells.iter())) }
        }
        @if let Some(noise) = summary.noise.as_ref().filter(|noise| noise.noisy) {
            p.banner { strong { "Noisy run. " } (noise.text) }
        }
        @if summary.noise.is_none() && measured && is_timed(summary) {
            p.banner { strong { "Noise unknown. " } "This run has no A/A pair (mode none measured twice), so differences have nothing to be held against." }
        }
        @if let Some(older) = older(run) {
            p.banner { strong { "Older results. " } (older) }
        }
        @let disturbed = Disturbed::of(run);
        @if disturbed.is_much() {
            p.banner { strong { "Disturbed run. " } (disturbed) }
        }
        @for (accelerator, what, meaning) in CLOCKS {
            @let of = executed_by(summary, *accelerator);
            @if !of.is_empty() {
                p.banner {
                    strong { (what) @if of.len() < summary.environments.len() { " in " (of.join(" and ")) } ". " }
                    (meaning)
                }
            }
        }
        @if coverage.ended != "complete" {
            @let unanswered = summary.cells.iter().any(|row| row.metric.is_none() && row.outcome == OutcomeKind::NotRun);
            p.banner {
                strong { @if unanswered { "Not every question was asked. " } @else { "Fewer repetitions than planned. " } }
                (coverage_text(summary))
            }
        }
        @if failed > 0 {
            p.banner { strong { (whole(failed)) " failed. " } "Cells whose checks failed give no number; they are listed below with their reasons." }
        }
        @for warning in &run.warnings {
            p.banner { strong { "Results file. " } (warning) }
        }
    }
}

/// Where a second is not what a reader takes it for.
const CLOCKS: &[(Accelerator, &str, &str)] = &[
    (
        Accelerator::Tcg,
        "Translated processor",
        "QEMU translates every instruction of the guest (TCG, no KVM): times are many times those of hardware, and not by one factor. \
         Starting a process and walking objects that lie on many pages cost far more beside the rest than on a processor: between updates through processes and through netlink ratios are off by up to five times, \
         and how a list or a hash grows (ipvs' slope) is QEMU's. Orders hold here; do not carry factors over.",
    ),
    (
        Accelerator::TcgIcount,
        "Instructions, not time",
        "Times are executed instructions of the guest (QEMU's TCG with -icount), the same on every machine. They rank work done; \
         cache misses, and waiting for other processors, cost nothing here.",
    ),
];

/// A reason as text whose options ("--sandbox guest") are not broken at their hyphens.
fn worded(text: &str) -> Markup {
    html! {
        @for (index, word) in text.split(' ').enumerate() {
            @if index > 0 { " " }
            @if word.starts_with("--") && word.len() < 40 { span.option { (word) } } @else { (word) }
        }
    }
}

/// The reasons of rows without a number, the most frequent first.
fn why_nothing<'a>(rows: impl Iterator<Item = &'a Row>) -> String {
    let reason = |row: &'a Row| row.reason.as_deref().unwrap_or(row.outcome.name());
    let mut reasons = grouped(rows.map(|row| (reason(row), ())));
    reasons.sort_by_key(|(_, cells)| std::cmp::Reverse(cells.len()));
    if reasons.is_empty() {
        return "the results hold no cell at all; the run ended before its first.".to_owned();
    }
    let of = |(reason, cells): &(&str, Vec<()>)| {
        let cells = whole(cells.len() as u64);
        format!("{} ({cells} cells)", shortened(reason, 300))
    };
    let mut texts: Vec<String> = reasons.iter().take(5).map(of).collect();
    if let Some(rest) = reasons.len().checked_sub(5).filter(|rest| *rest > 0) {
        texts.push(format!("and {} more reasons, below", whole(rest as u64)));
    }
    format!("{}.", texts.join("; "))
}
