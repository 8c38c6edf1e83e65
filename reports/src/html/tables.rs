//! Every number, and every cell without one.

use std::collections::BTreeMap;

use maud::{Markup, html};
use schema::summary::{Fit, FitUnit, Row, Summary};
use schema::{Metric, Mode, ScenarioKind};

use super::{Ids, worded};
use crate::quantity::{digits, interval, shortened, span, value, whole};
use crate::scope::{by_reason, marks, spread, spread_of_fit};

/// Rows of a table that are listed one by one; of more, what they have in common is.
const LISTED: usize = 400;
/// Letters of a reason or an option: a file may hold longer ones.
const LONGEST: usize = 400;

/// Quantile columns.
const QUANTILES: &[&str] = &["min", "p50", "p90", "p99", "p99.9", "max"];

/// Cells that have no number in any stay, and stays without one, each with its reason.
pub(super) fn without_numbers(summary: &Summary, ids: &Ids) -> Markup {
    let rows: Vec<&Row> = summary
        .cells
        .iter()
        .filter(|row| row.metric.is_none())
        .collect();
    let mut partly: Vec<&Row> = summary
        .cells
        .iter()
        .filter(|row| row.metric.is_some() && row.reason.is_some())
        .collect();
    partly.dedup_by(|a, b| a.key == b.key);
    html! {
        section {
            h2 id=(ids.of("gaps")) { "Without numbers" }
            @if rows.is_empty() && partly.is_empty() && summary.coverage.missing == 0 {
                p { "Every planned cell was measured." }
            }
            @if summary.coverage.missing > 0 {
                p { (whole(summary.coverage.missing)) " planned cells have no line at all: the run ended before they did." }
            }
            @if !rows.is_empty() {
                (listing("Cells without a number in any stay. A time limit is a lower bound of the true time.", &rows))
            }
            @if !partly.is_empty() {
                details {
                    summary { (whole(partly.len() as u64)) " measured cells lack some of their stays" }
                    (listing("Measured cells, with what became of the stays that gave no number.", &partly))
                }
            }
        }
    }
}

fn listing(caption: &str, rows: &[&Row]) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label=(caption) {
            table.full {
                caption { (caption) }
                thead { tr { th scope="col" { "Mode" } th scope="col" { "Scenario" } th scope="col" { "Options" } th.num scope="col" { "N" } th scope="col" { "Why" } } }
                tbody {
                    @let groups = by_reason(rows);
                    @for group in groups.iter().take(LISTED) {
                        @let row = group[0];
                        tr {
                            th scope="row" { (row.key.mode) (variant(&row.key.variant)) }
                            @if group.len() == 1 {
                                td { (row.key.scenario) }
                                td { (options(&row.key.options)) }
                                td.num { (whole(row.key.services.into())) }
                            } @else {
                                td colspan="3" { (whole(group.len() as u64)) " cells: " (asked(group)) }
                            }
                            td.note { (worded(&shortened(row.reason.as_deref().unwrap_or(row.outcome.name()), LONGEST))) }
                        }
                    }
                    @if groups.len() > LISTED {
                        @let rest: usize = groups[LISTED..].iter().map(Vec::len).sum();
                        tr { td colspan="5" { "… and " (whole(rest as u64)) " more cells: summary.json lists each with its reason." } }
                    }
                }
            }
        }
    }
}

/// "cold-install, service-add; 100–10,000 services".
fn asked(group: &[&Row]) -> String {
    let mut scenarios: Vec<ScenarioKind> = group.iter().map(|row| row.key.scenario).collect();
    scenarios.sort_unstable();
    scenarios.dedup();
    let names: Vec<&str> = scenarios.iter().map(|s| s.name()).collect();
    let sizes = || group.iter().map(|row| row.key.services);
    let (least, most) = (sizes().min().unwrap_or(0), sizes().max().unwrap_or(0));
    let sizes = if least == most {
        whole(most.into())
    } else {
        format!("{}–{}", whole(least.into()), whole(most.into()))
    };
    format!("{}; {sizes} services", names.join(", "))
}

/// A folded table for each scenario and metric, then the fits.
pub(super) fn everything(summary: &Summary) -> Markup {
    html! {
        section {
            h2 { "Every number" }
            p.hint { "The same as summary.json, which programs should read. A quantile is given only where n supports it." }
            @for scenario in ScenarioKind::ALL {
                @for metric in Metric::ALL {
                    @let rows: Vec<&Row> = summary.cells.iter().filter(|row| row.key.scenario == *scenario && row.metric == Some(*metric)).collect();
                    @if !rows.is_empty() { (numbers(*scenario, *metric, &rows)) }
                }
            }
            @if !summary.fits.is_empty() { (fits(&summary.fits)) }
        }
    }
}

fn numbers(scenario: ScenarioKind, metric: Metric, rows: &[&Row]) -> Markup {
    let environments = rows
        .iter()
        .any(|row| row.key.environment != rows[0].key.environment);
    if rows.len() > LISTED {
        return together(scenario, metric, rows);
    }
    html! {
        details {
            summary { (scenario) ": " (metric) " (" (rows.len()) " cells)" }
            div.scroll tabindex="0" role="region" aria-label={ (scenario) " " (metric) } {
                table.full.figures {
                    caption { (scenario) ": " (metric.row().meaning) "." }
                    thead { tr {
                        th scope="col" { "Mode" }
                        @if environments { th scope="col" { "Environment" } }
                        th scope="col" { "Options" }
                        @for name in ["N", "E", "n", "stays", "median"] { th.num scope="col" { (name) } }
                        th.num scope="col" { "95 % interval" }
                        @for name in QUANTILES { th.num scope="col" { (name) } }
                    } }
                    tbody { @for row in rows { (number(row, environments)) } }
                }
            }
        }
    }
}

/// Too many rows to list: how many cells a mode has at each size, and between what their medians lie.
fn together(scenario: ScenarioKind, metric: Metric, rows: &[&Row]) -> Markup {
    let mut groups: BTreeMap<(Mode, &str, &str, u32), Vec<&Row>> = BTreeMap::new();
    for row in rows {
        let key = &row.key;
        let group = (
            key.mode,
            key.environment.as_str(),
            key.variant.as_str(),
            key.services,
        );
        groups.entry(group).or_default().push(row);
    }
    let range = |rows: &[&Row]| {
        let medians = || rows.iter().filter_map(|row| row.median);
        let (low, high) = (medians().reduce(f64::min)?, medians().reduce(f64::max)?);
        Some(interval([low, high], rows.first()?.unit?))
    };
    html! {
        details {
            summary { (scenario) ": " (metric) " (" (whole(rows.len() as u64)) " cells, together)" }
            div.scroll tabindex="0" role="region" aria-label={ (scenario) " " (metric) } {
                table.full {
                    caption { (scenario) ": " (metric.row().meaning) ". Too many cells to list: each line is all cells of a mode at a size, over all their options; summary.json has each." }
                    thead { tr {
                        @for name in ["Mode", "Environment"] { th scope="col" { (name) } }
                        @for name in ["N", "cells", "n", "medians from–to"] { th.num scope="col" { (name) } }
                    } }
                    tbody {
                        @for ((mode, environment, variant_of, services), rows) in groups.iter().take(LISTED) {
                            tr {
                                th scope="row" { (mode) (variant(variant_of)) }
                                td { (shortened(environment, 80)) }
                                td.num { (whole((*services).into())) }
                                td.num { (whole(rows.len() as u64)) }
                                td.num { (whole(rows.iter().map(|row| row.n).sum())) }
                                td.num { (range(rows).unwrap_or_else(|| "–".to_owned())) }
                            }
                        }
                        @if groups.len() > LISTED {
                            tr { td colspan="6" { "… and " (whole((groups.len() - LISTED) as u64)) " more lines, in summary.json." } }
                        }
                    }
                }
            }
        }
    }
}

fn number(row: &Row, environments: bool) -> Markup {
    let shown = |number: Option<f64>| match (number, row.unit) {
        (Some(number), Some(unit)) => value(number, unit),
        _ => "–".to_owned(),
    };
    let marks = marks(row).map_or_else(String::new, |marks| format!(" ({marks})"));
    html! {
        tr {
            th scope="row" { (row.key.mode) (variant(&row.key.variant)) }
            @if environments { td.t { (row.key.environment) } }
            td.t { (options(&row.key.options)) }
            td { (whole(row.key.services.into())) }
            td { (row.key.endpoints) }
            td { (whole(row.n)) }
            td { (row.stays) }
            td { (shown(row.median)) @if row.noisy { " (noisy)" } }
            td { (spread(row)) (marks) }
            @for name in QUANTILES { td { (shown(row.quantiles.get(*name).copied())) } }
        }
    }
}

fn fits(fits: &[Fit]) -> Markup {
    html! {
        details {
            summary { "Growth with N (" (fits.len()) " fits)" }
            div.scroll tabindex="0" role="region" aria-label="Fits" {
                table.full.figures {
                    caption {
                        "linear: a + b·N, estimate b; offset-power: a + c·N^k, estimate k; power, between two sizes: c·N^k, estimate k. A curve a block, through its stays, and the median of the blocks; "
                        "its interval from six blocks on, else their range. Off the curve: the size that lies farthest from it."
                    }
                    thead { tr {
                        @for name in ["Mode", "Scenario", "Metric", "Options", "Model"] { th scope="col" { (name) } }
                        @for name in ["N", "sizes", "estimate", "95 % interval or range", "a (of power c)", "c", "off the curve"] { th.num scope="col" { (name) } }
                    } }
                    tbody {
                        @for fit in fits.iter().take(LISTED) {
                            tr {
                                th scope="row" { (fit.mode) (variant(&fit.variant)) }
                                td.t { (fit.scenario) }
                                td.t { (fit.metric) }
                                td.t { (options(&fit.options)) }
                                td.t { (fit.model) }
                                td { (whole(fit.from.into())) "–" (whole(fit.to.into())) }
                                td { (fit.sizes) }
                                td { (digits(fit.estimate)) @if fit.unit != FitUnit::Exponent { " " (fit.unit) } @if fit.noisy { " (noisy)" } }
                                td { (spread_of_fit(fit, span)) }
                                td { (digits(fit.intercept)) }
                                td { (fit.coefficient.map_or_else(|| "–".to_owned(), digits)) }
                                td { (off(fit)) }
                            }
                        }
                        @if fits.len() > LISTED {
                            tr { td colspan="12" { "… and " (whole((fits.len() - LISTED) as u64)) " more fits, in summary.json." } }
                        }
                    }
                }
            }
        }
    }
}

/// "−4.1 % at 300, beyond its interval".
fn off(fit: &Fit) -> String {
    fit.misfit.map_or_else(
        || "–".to_owned(),
        |misfit| {
            format!(
                "{} % at {}{}",
                digits(100.0 * misfit.relative),
                whole(misfit.services.into()),
                if misfit.beyond == Some(true) {
                    ", beyond its interval"
                } else {
                    ""
                }
            )
        },
    )
}

fn variant(variant: &str) -> String {
    if variant.is_empty() {
        String::new()
    } else {
        format!(" ({variant})")
    }
}

fn options(options: &schema::Options) -> String {
    shortened(&options.words().join(", "), LONGEST)
}
