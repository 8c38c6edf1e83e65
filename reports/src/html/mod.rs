//! `report.html`: one self-contained page without scripts. First what the data say, then the numbers at
//! the largest size, the charts, every number, and why to believe them.

pub(crate) mod headline;
pub(crate) mod kernels;
mod tables;
pub(crate) mod trust;
pub(crate) mod updates;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use schema::summary::Summary;

use crate::load::Run;
use crate::plots::{self, Figure};
use crate::quantity::whole;
use crate::scope::scopes;
use crate::summarise::floor_ratios;

const STYLE: &str = include_str!("style.css");

/// The page of one or more runs, each with its own part: runs are put beside each other here, never
/// compared.
#[must_use]
pub fn render_html(runs: &[(&Run, &Summary)]) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "Linux service datapaths: " (subject(runs)) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    @for (run, summary) in runs { (article(run, summary)) }
                }
            }
        }
    }
    .into_string()
}

fn subject(runs: &[(&Run, &Summary)]) -> String {
    match runs {
        [(run, summary)] => format!(
            "{} services, {}",
            whole(largest(summary).into()),
            run.header.started
        ),
        _ => format!("{} runs", runs.len()),
    }
}

fn largest(summary: &Summary) -> u32 {
    summary
        .cells
        .iter()
        .map(|row| row.key.services)
        .max()
        .unwrap_or(0)
}

fn article(run: &Run, summary: &Summary) -> Markup {
    let scopes = scopes(summary);
    html! {
        article {
            header {
                h1 { "Which Linux service datapath, and what does it cost?" }
                p.lead { (lead(run, summary)) }
            }
            (banners(run, summary))
            (headline::findings(summary))
            @for scope in &scopes {
                (updates::tables(summary, scope, scopes.len() > 1))
                (headline::table(summary, scope, scopes.len() > 1))
                (headline::floors(&floor_ratios(run, scope.largest(summary)), scope))
            }
            (kernels::tables(summary))
            (charts(summary))
            (tables::without_numbers(summary))
            (tables::everything(summary))
            (trust::section(run, summary))
        }
    }
}

fn lead(run: &Run, summary: &Summary) -> String {
    let mut sizes: Vec<u32> = summary.cells.iter().map(|row| row.key.services).collect();
    sizes.sort_unstable();
    sizes.dedup();
    let sizes: Vec<String> = sizes.into_iter().map(|size| whole(size.into())).collect();
    let kernels: Vec<String> = summary
        .environments
        .values()
        .map(|environment| format!("Linux {} on {}", environment.kernel, environment.cpu))
        .collect();
    format!(
        "{} services. {}. Measured {}.",
        sizes.join(", "),
        kernels.join("; "),
        run.header.started
    )
}

/// What a reader must know before believing anything below.
fn banners(run: &Run, summary: &Summary) -> Markup {
    let coverage = &summary.coverage;
    let failed = coverage.outcomes.get("failed").copied().unwrap_or(0);
    html! {
        @if let Some(noise) = summary.noise.as_ref().filter(|noise| noise.noisy) {
            p.banner { strong { "Noisy run. " } (noise.text) }
        }
        @if summary.noise.is_none() {
            p.banner { strong { "Noise unknown. " } "This run has no A/A pair (mode none measured twice), so differences have nothing to be held against." }
        }
        @if coverage.ended != "complete" {
            p.banner { strong { "Not the whole plan. " } (trust::coverage_text(summary)) }
        }
        @if failed > 0 {
            p.banner { strong { (whole(failed)) " failed. " } "Cells whose checks failed give no number; they are listed below with their reasons." }
        }
        @for warning in &run.warnings {
            p.banner { strong { "Results file. " } (warning) }
        }
    }
}

fn charts(summary: &Summary) -> Markup {
    let figures = plots::figures(summary);
    html! {
        @if !figures.is_empty() {
            section {
                h2 { "Charts" }
                div.charts { @for figure in &figures { (chart(figure)) } }
            }
        }
    }
}

fn chart(figure: &Figure) -> Markup {
    html! {
        figure {
            figcaption { strong { (figure.title) } }
            @match figure.inline_svg() {
                Ok(svg) => (PreEscaped(svg)),
                Err(error) => p.bad { "This chart could not be drawn: " (error) },
            }
            @for note in &figure.notes { p.small { (note) } }
        }
    }
}
