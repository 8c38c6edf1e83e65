//! Several runs on one page: what each is, and their figures beside each other. Each run then has its own part.

use maud::{Markup, PreEscaped, html};
use schema::summary::Summary;

use super::Ids;
use super::table::{heads, places, scrolling};
use crate::load::Run;
use crate::plots;
use crate::quantity::{shortened, whole};

/// The first section of a page of several runs; nothing for a single one.
pub(super) fn section(runs: &[(&Run, &Summary)]) -> Markup {
    if runs.len() < 2 {
        return html! {};
    }
    let all = together(runs);
    let lines = html! {
        @for (index, (run, summary)) in runs.iter().enumerate() {
            tr {
                th scope="row" { a href={ "#" (Ids::new(index, runs.len()).of("run")) } { "Run " (index + 1) } }
                td { (shortened(&run.header.started, 40)) }
                td { (shortened(&run.header.tool_version, 20)) ", " (shortened(&run.header.revision, 20)) }
                td.note { (shortened(&environments(summary), 200)) }
                td.num { (whole(summary.coverage.outcomes.get("measured").copied().unwrap_or(0))) " of " (whole(summary.coverage.planned)) }
                td { (noise(summary)) }
            }
        }
    };
    html! {
        section {
            h1 { "Linux service datapaths: " (runs.len()) " runs" }
            (scrolling(
                "Runs",
                ("full", None),
                "The runs of this page. Figures stand beside each other; nothing is judged between runs here: that is what compare is for.",
                heads(["Run", "Started", "Program", "Environments", "Cells", "Noise"]),
                lines,
            ))
        }
        (places(&all))
        @if let Some(figure) = plots::side_by_side(&all) {
            div.charts {
                figure {
                    figcaption { h2 { (figure.title) } }
                    @match figure.inline_svg() {
                        Ok(svg) => div.view { (PreEscaped(svg)) },
                        Err(error) => p.bad { "This chart could not be drawn: " (error) },
                    }
                    @for note in &figure.notes { p.small { (note) } }
                }
            }
        }
    }
}

fn environments(summary: &Summary) -> String {
    let facts = summary.environments.iter();
    let texts = facts.map(|(name, of)| format!("{name}: Linux {}, {}", of.kernel, of.cpu));
    texts.collect::<Vec<_>>().join("; ")
}

fn noise(summary: &Summary) -> &'static str {
    match &summary.noise {
        Some(noise) if noise.noisy => "noisy",
        Some(_) => "quiet",
        None => "unknown",
    }
}

/// One summary of all runs, in which every environment of every run has a name of its own.
fn together(runs: &[(&Run, &Summary)]) -> Summary {
    // Ten runs and more stay in their order.
    let width = runs.len().to_string().len();
    let mut all = Summary::default();
    for (number, (_, summary)) in (1..).zip(runs) {
        let named = |name: &str| format!("run {number:0width$}, {}", shortened(name, 30));
        for (name, facts) in &summary.environments {
            all.environments.insert(named(name), facts.clone());
        }
        all.cells
            .extend(summary.cells.iter().cloned().map(|mut row| {
                row.key.environment = named(&row.key.environment);
                row
            }));
    }
    all
}
