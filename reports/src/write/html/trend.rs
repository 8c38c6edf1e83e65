//! The page of a history: what changed, what changed around it, and a chart of each series that did.

use maud::{Markup, html};
use schema::comparison::Verdict;
use schema::trend::{ChangePoint, Trend, TrendSeries};

use super::table::{Column, figures};
use super::{Ids, charts, document};
use crate::compare::format::percent;
use crate::plots::trend_of;
use crate::quantity::{counted, digits, value, whole};

/// Charts of a page, and lines of its table: those with changes first.
const CHARTS: usize = 24;
const LINES: usize = 400;

/// Captions of its tables.
const BEFORE: &str = "Nothing is held against what was measured before such a change.";
const SIDES: &str = "Medians before and after each change, up to the next one.";

/// The page.
#[must_use]
pub fn render_trend(trend: &Trend) -> String {
    let mut series: Vec<&TrendSeries> = trend.series.iter().collect();
    series.sort_by_key(|one| std::cmp::Reverse(urgency(one)));
    let drawn = series
        .iter()
        .take(CHARTS)
        .filter_map(|one| trend_of(trend, one));
    let ids = Ids::new(0, 1);
    let drawn: Vec<_> = (1..)
        .zip(drawn)
        .map(|(number, mut figure)| {
            figure.name = format!("trend-{number}");
            figure
        })
        .collect();
    let runs = counted(trend.runs.len() as u64, "run");
    let span = match (trend.runs.first(), trend.runs.last()) {
        (Some(first), Some(last)) => format!("{runs}, {} to {}", first.started, last.started),
        _ => runs,
    };
    document(
        &format!("Linux service datapaths: {span}"),
        html! {
            h1 id="start" { "What changed over " (span) }
            p.lead { (lead(trend)) }
            (around(trend))
            (changes(trend, &series))
            section {
                h2 { "Charts" }
                div.charts { @for figure in &drawn { (charts::chart(figure, &ids, false)) } }
                @if series.len() > drawn.len() {
                    p.small { (whole(drawn.len() as u64)) " of " (whole(series.len() as u64)) " series are drawn, "
                        "those that changed first; JSON has all." }
                }
            }
        },
    )
}

/// New regressions first, then others, then whatever else changed.
fn urgency(series: &TrendSeries) -> (bool, bool, usize) {
    let has = |of: fn(&ChangePoint) -> bool| series.points.iter().any(of);
    (
        has(|point| point.new),
        has(|point| point.verdict == Verdict::Regressed),
        series.points.len(),
    )
}

fn lead(trend: &Trend) -> String {
    let count = |verdict| {
        let points = trend.series.iter().flat_map(|one| &one.points);
        points.filter(|point| point.verdict == verdict).count()
    };
    let regressed = counted(count(Verdict::Regressed) as u64, "regression");
    let improved = counted(count(Verdict::Improved) as u64, "improvement");
    let since = trend.since.and_then(|place| trend.runs.get(place as usize));
    let new = since.map_or_else(String::new, |run| {
        format!(
            " {} since {}.",
            counted(trend.regressions.into(), "new regression"),
            run.started
        )
    });
    format!(
        "{regressed} and {improved} in {} series.{new}",
        whole(trend.series.len() as u64)
    )
}

fn started(trend: &Trend, at: u32) -> String {
    let started = trend.runs.get(at as usize).map_or("", |run| &run.started);
    format!("{} ({started})", at + 1)
}

const fn text(name: &str) -> Column<'_> {
    (name, None, Some("t"))
}

fn around(trend: &Trend) -> Markup {
    let lines = trend.environments.iter().flat_map(|change| {
        change.differences.iter().map(|of| {
            vec![
                started(trend, change.at),
                change.environment.clone(),
                of.fact.clone(),
                of.base.clone(),
                of.new.clone(),
            ]
        })
    });
    let columns = [
        ("Run", None, None),
        text("Environment"),
        text("What"),
        text("Before"),
        text("From then on"),
    ];
    let many = trend
        .environments
        .iter()
        .map(|change| change.differences.len())
        .sum::<usize>();
    let rest = many.checked_sub(LINES).filter(|rest| *rest > 0);
    html! {
        @if many > 0 {
            section {
                h2 { "What changed around the measurements" }
                (figures("Changes of the environment", "full figures", BEFORE,
                    &columns, lines.take(LINES), rest.map(|rest| format!("{} more in the JSON.", whole(rest as u64)))))
            }
        }
    }
}

fn changes(trend: &Trend, series: &[&TrendSeries]) -> Markup {
    let columns = [
        ("Series", None, None),
        text("Run"),
        text("Verdict"),
        text("Before"),
        text("After"),
        text("Change"),
        text("p among all series"),
    ];
    let lines = series
        .iter()
        .flat_map(|one| one.points.iter().map(move |point| (one, point)));
    let many = lines.clone().count();
    let lines = lines.map(|(one, point)| {
        let by = match point.relative {
            Some(relative) => percent(relative),
            None => value(point.absolute, one.unit),
        };
        let verdict = match (point.verdict, point.new) {
            (Verdict::Unchanged, _) => "below the thresholds".to_owned(),
            (verdict, true) => format!("{verdict}, new"),
            (verdict, false) => verdict.to_string(),
        };
        vec![
            format!("{} {}", one.key, one.metric),
            started(trend, point.at),
            verdict,
            value(point.before, one.unit),
            value(point.after, one.unit),
            by,
            point.p_adjusted.map_or_else(
                || "exact".to_owned(),
                |p| {
                    if p < 0.0001 {
                        format!("{p:.0e}")
                    } else {
                        digits(p)
                    }
                },
            ),
        ]
    });
    let rest = many.checked_sub(LINES).filter(|rest| *rest > 0);
    html! {
        section {
            h2 { "Changes" }
            @if many == 0 { p { "No series changed." } } @else {
                (figures("Changes of series", "full figures", SIDES, &columns,
                    lines.take(LINES), rest.map(|rest| format!("{} more in the JSON.", whole(rest as u64)))))
            }
        }
    }
}
