//! For a terminal.

use std::fmt::Write as _;

use schema::comparison::Verdict;
use schema::trend::{ChangePoint, Trend, TrendSeries};

use super::{name, said};
use crate::quantity::counted;

/// Changes of a verdict that are listed; the rest is counted.
const LISTED: usize = 40;

pub(super) fn render(trend: &Trend) -> String {
    let mut out = String::new();
    let runs = counted(trend.runs.len() as u64, "run");
    if let (Some(first), Some(last)) = (trend.runs.first(), trend.runs.last()) {
        let _ = writeln!(
            out,
            "{runs}, {} to {}; gate {}",
            first.started, last.started, trend.gate
        );
    }
    let when = |at: u32| {
        let started = trend.runs.get(at as usize).map_or("", |run| &run.started);
        format!("run {} ({started})", at + 1)
    };
    for change in &trend.environments {
        for difference in &change.differences {
            let _ = writeln!(
                out,
                "  {} on {}: {} was \"{}\", is \"{}\"",
                when(change.at),
                change.environment,
                difference.fact,
                difference.base,
                difference.new
            );
        }
    }
    for verdict in [
        Verdict::Regressed,
        Verdict::Improved,
        Verdict::Inconclusive,
        Verdict::Unchanged,
    ] {
        let mut found: Vec<(&TrendSeries, &ChangePoint)> = trend
            .series
            .iter()
            .flat_map(|series| series.points.iter().map(move |point| (series, point)))
            .filter(|(_, point)| point.verdict == verdict)
            .collect();
        if found.is_empty() {
            continue;
        }
        found.sort_by_key(|(_, point)| (!point.new, std::cmp::Reverse(point.at)));
        let meaning = match verdict {
            Verdict::Unchanged => "below the gate's thresholds",
            other => other.name(),
        };
        let _ = writeln!(out, "\n{meaning} ({}):", found.len());
        for (series, point) in found.iter().take(LISTED) {
            let new = if point.new { " (new)" } else { "" };
            let (name, said) = (name(series), said(series, point));
            let _ = writeln!(out, "  {}{new} {name}: {said}", when(point.at));
        }
        if let Some(rest) = found.len().checked_sub(LISTED).filter(|rest| *rest > 0) {
            let _ = writeln!(out, "  and {rest} more (--format json has all)");
        }
    }
    let series = match trend.series.len() {
        1 => "1 series".to_owned(),
        many => format!("{many} series"),
    };
    let _ = match trend.since {
        Some(since) => writeln!(
            out,
            "\n{} since {}, of {series}",
            counted(trend.regressions.into(), "new regression"),
            when(since)
        ),
        None => writeln!(
            out,
            "\n{series}; --since RUN says from when on a regression fails"
        ),
    };
    out
}
