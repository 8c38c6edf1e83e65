//! Every number, and every cell without one.

use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};
use schema::summary::{Fit, FitUnit, Over, Row, Summary};
use schema::{CellKey, Metric, Options, ScenarioKind};

use super::table::{columns, figures, heads, scrolling};
use super::{Ids, worded};
use crate::quantity::{counted, digits, interval, shortened, span, value, whole};
use crate::view::words::{by_reason, marks, spread, spread_of_fit, why};

/// Rows of a table that are listed one by one; of more, what they have in common is.
const LISTED: usize = 400;
/// Letters of a reason or an option: a file may hold longer ones.
const LONGEST: usize = 400;

/// Classes of the columns of figures (head, cell): texts among them, and numbers.
const TEXT: (Option<&str>, Option<&str>) = (None, Some("t"));
const FIGURE: (Option<&str>, Option<&str>) = (Some("num"), None);

/// Quantiles, and their columns.
const QUANTILES: &str = "min|p50|p90|p99|p99.9|max";

/// Cells that have no number in any stay, and stays without one, each with its reason.
pub(super) fn without_numbers(summary: &Summary, ids: &Ids) -> Markup {
    let (rows, mut partly): (Vec<&Row>, Vec<&Row>) =
        (summary.cells.iter()).partition(|row| row.metric.is_none());
    partly.retain(|row| row.reason.is_some());
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
    let groups = by_reason(rows);
    let across = html! {
        (heads(["Mode", "Scenario", "Options"]))
        th.num scope="col" { "N" }
        (heads(["Why"]))
    };
    let lines = html! {
        @for group in groups.iter().take(LISTED) {
            @let row = group[0];
            tr {
                th scope="row" { (of(&row.key)) }
                @if group.len() == 1 {
                    td { (row.key.scenario) }
                    td { (options(&row.key.options)) }
                    td.num { (whole(row.key.services.into())) }
                } @else {
                    td colspan="3" { (whole(group.len() as u64)) " cells: " (asked(group)) }
                }
                td.note { (worded(&shortened(&why(row), LONGEST))) }
            }
        }
        @if groups.len() > LISTED {
            @let rest: usize = groups[LISTED..].iter().map(Vec::len).sum();
            tr { td colspan="5" { "… and " (whole(rest as u64)) " more cells: summary.json lists each with its reason." } }
        }
    };
    scrolling(caption, ("full", None), caption, across, lines)
}

/// "cold-install, service-add; 100–10,000 services".
fn asked(group: &[&Row]) -> String {
    let scenarios: BTreeSet<ScenarioKind> = group.iter().map(|row| row.key.scenario).collect();
    let sizes: BTreeSet<u32> = group.iter().map(|row| row.key.services).collect();
    let ends: BTreeSet<_> = sizes.first().into_iter().chain(sizes.last()).collect();
    let sizes: Vec<String> = ends.into_iter().map(|size| whole((*size).into())).collect();
    let names: Vec<&str> = scenarios.iter().map(|scenario| scenario.name()).collect();
    format!("{}; {} services", names.join(", "), sizes.join("–"))
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
    if rows.len() > LISTED {
        return together(scenario, metric, rows);
    }
    let several = rows
        .iter()
        .any(|row| row.key.environment != rows[0].key.environment);
    let texts = if several {
        "Mode|Environment|Options"
    } else {
        "Mode|Options"
    };
    let numbers = columns("N|E|n|stays|median|95 % interval", FIGURE);
    let all = columns(texts, TEXT).chain(numbers);
    let tails = rows.iter().any(|row| row.p99_of_stays.is_some());
    let quantiles = columns(QUANTILES, FIGURE);
    let tail = columns("p99 of stays, 95 % interval", FIGURE).filter(|_| tails);
    let columns: Vec<_> = all.chain(quantiles).chain(tail).collect();
    let lines = rows.iter().map(|row| number(row, several, tails));
    let label = format!("{scenario} {metric}");
    let caption = format!("{scenario}: {}.", metric.row().meaning);
    html! {
        details {
            summary { (scenario) ": " (metric) " (" (rows.len()) " cells)" }
            (figures(label, "full figures", caption, &columns, lines, None))
        }
    }
}

/// Too many rows to list: how many cells a mode has at each size, and between what their medians lie.
fn together(scenario: ScenarioKind, metric: Metric, rows: &[&Row]) -> Markup {
    let mut groups: BTreeMap<_, Vec<&Row>> = BTreeMap::new();
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
    let lines = groups.values().take(LISTED).map(|rows| {
        let key = &rows[0].key;
        vec![
            of(key),
            shortened(&key.environment, 80),
            whole(key.services.into()),
            whole(rows.len() as u64),
            whole(rows.iter().map(|row| row.n).sum()),
            range(rows).unwrap_or_else(none),
        ]
    });
    let texts = columns("Mode|Environment", (None, None));
    let numbers = columns("N|cells|n|medians from–to", (Some("num"), Some("num")));
    let columns: Vec<_> = texts.chain(numbers).collect();
    let caption = format!(
        "{scenario}: {}. Too many cells to list: each line is all cells of a mode at a size, over all their options; summary.json has each.",
        metric.row().meaning
    );
    html! {
        details {
            summary { (scenario) ": " (metric) " (" (whole(rows.len() as u64)) " cells, together)" }
            (figures(format!("{scenario} {metric}"), "full", caption, &columns, lines, more(groups.len(), "lines")))
        }
    }
}

fn number(row: &Row, environment: bool, tails: bool) -> Vec<String> {
    let shown = |number: Option<f64>| {
        let known = number.zip(row.unit);
        known.map_or_else(none, |(number, unit)| value(number, unit))
    };
    let marks = marks(row).map_or_else(String::new, |marks| format!(" ({marks})"));
    let mut line = vec![of(&row.key)];
    line.extend(environment.then(|| row.key.environment.clone()));
    line.extend([
        options(&row.key.options),
        whole(row.key.services.into()),
        row.key.endpoints.to_string(),
        whole(row.n),
        row.stays.to_string(),
        shown(row.median) + noisy(row.noisy),
        spread(row) + &marks,
    ]);
    let quantiles = QUANTILES.split('|').map(|name| row.quantiles.get(name));
    line.extend(quantiles.map(|number| shown(number.copied())));
    let tail = row.p99_of_stays.as_ref().zip(row.unit);
    let tail = tail.map_or_else(none, |(tail, unit)| {
        let ends = match (tail.ci95, tail.range) {
            (Some(ends), _) => format!(", {}", interval(ends, unit)),
            (None, Some(ends)) => format!(", range {}", interval(ends, unit)),
            (None, None) => String::new(),
        };
        value(tail.median, unit) + &ends
    });
    line.extend(tails.then_some(tail));
    line
}

fn fits(fits: &[Fit]) -> Markup {
    let line = |fit: &Fit| {
        let unit = match fit.unit {
            FitUnit::Exponent => String::new(),
            unit => format!(" {unit}"),
        };
        vec![
            format!("{}{}", fit.mode, variant(&fit.variant)),
            fit.scenario.to_string(),
            fit.metric.to_string(),
            options(&fit.options),
            fit.model.to_string(),
            over(fit),
            format!("{}–{}", whole(fit.from.into()), whole(fit.to.into())),
            fit.sizes.to_string(),
            digits(fit.estimate) + &unit + noisy(fit.noisy),
            spread_of_fit(fit, span),
            digits(fit.intercept),
            fit.coefficient.map_or_else(none, digits),
            off(fit),
        ]
    };
    let texts = columns("Mode|Scenario|Metric|Options|Model|over", TEXT);
    let numbers = "from–to|sizes|estimate|95 % interval or range|a (of power c)|c|off the curve";
    let columns: Vec<_> = texts.chain(columns(numbers, FIGURE)).collect();
    html! {
        details {
            summary { "Growth with N, and with E (" (fits.len()) " fits)" }
            (figures(
                "Fits",
                "full figures",
                "linear: a + b·N, estimate b; offset-power: a + c·N^k, estimate k; power, between two sizes: c·N^k, estimate k; over E, the endpoints of each service, the same with E in the place of N. \
                 A curve a block, through its stays, and the median of the blocks; its interval from six blocks on, else their range. Off the curve: the size that lies farthest from it.",
                &columns,
                fits.iter().take(LISTED).map(line),
                more(fits.len(), "fits"),
            ))
        }
    }
}

/// What a table of that many does not list.
fn more(all: usize, what: &str) -> Option<String> {
    let rest = all.checked_sub(LISTED).filter(|rest| *rest > 0)?;
    Some(format!(
        "… and {} more {what}, in summary.json.",
        whole(rest as u64)
    ))
}

fn none() -> String {
    "–".to_owned()
}

const fn noisy(noisy: bool) -> &'static str {
    if noisy { " (noisy)" } else { "" }
}

/// "N, of 2 endpoints", "E, of 100 services": what it is over, and how many it has of the other.
fn over(fit: &Fit) -> String {
    let (what, other) = match fit.over {
        Over::Services => ("N", counted(fit.endpoints.unwrap_or(0).into(), "endpoint")),
        Over::Endpoints => ("E", counted(fit.services.unwrap_or(0).into(), "service")),
        Over::Entries => return "entries".to_owned(),
    };
    format!("{what}, of {other}")
}

/// "−4.1 % at 300, beyond its interval".
fn off(fit: &Fit) -> String {
    fit.misfit.map_or_else(none, |misfit| {
        let beyond = match misfit.beyond {
            Some(true) => ", beyond its interval",
            _ => "",
        };
        let size = whole(misfit.at.into());
        format!("{} % at {size}{beyond}", digits(100.0 * misfit.relative))
    })
}

fn variant(variant: &str) -> String {
    match variant {
        "" => String::new(),
        name => format!(" ({name})"),
    }
}

/// The mode of a cell, and its variant.
fn of(key: &CellKey) -> String {
    format!("{}{}", key.mode, variant(&key.variant))
}

fn options(options: &Options) -> String {
    shortened(&options.words().join(", "), LONGEST)
}
