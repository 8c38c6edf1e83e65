//! The sentences under a chart, and what it shows for who cannot see it.

use schema::summary::{Over, Row};

use super::chart::{MOST, Series, measured, unit_of_times};
use crate::quantity::{counted, interval, value, whole};
use crate::statistics::extremes;
use crate::view::grouped;

/// "Points are medians, bars their 95 % intervals; 24–36 samples in 12 stays behind each point."
pub(super) fn behind_points<'a>(rows: impl Iterator<Item = &'a Row>) -> String {
    format!(
        "Points are medians of stays, bars their 95 % intervals, of fewer than six stays their range (often smaller than the point); {} behind each point.",
        samples_in_stays(rows)
    )
}

/// "24–36 samples in 12 stays".
pub(super) fn samples_in_stays<'a>(rows: impl Iterator<Item = &'a Row>) -> String {
    let (samples, stays): (Vec<u64>, Vec<u64>) =
        rows.map(|row| (row.n, u64::from(row.stays))).unzip();
    let range = |mut values: Vec<u64>, noun: &str| {
        values.sort_unstable();
        match (values.first(), values.last()) {
            (Some(low), Some(high)) if low != high => {
                format!("{}–{}", whole(*low), counted(*high, noun))
            }
            (Some(only), _) => counted(*only, noun),
            _ => format!("no {noun}s"),
        }
    };
    format!("{} in {}", range(samples, "sample"), range(stays, "stay"))
}

/// What [`first_of_many`](super::chart::first_of_many) leaves out of the series that answer a question.
pub(super) fn left_out(all: &[Series<'_>]) -> Option<String> {
    if all.len() <= MOST {
        return None;
    }
    let ranges = all.chunk_by(|a, b| a.mode == b.mode).filter_map(|series| {
        let rows = measured(series);
        let medians: Vec<f64> = rows.clone().filter_map(|row| row.median).collect();
        let range = interval(extremes(&medians)?, unit_of_times(rows));
        Some(format!("{} {range}", series[0].mode))
    });
    let ranges: Vec<String> = ranges.collect();
    Some(format!(
        "{} series differ in their options; the first of each mode is drawn. All medians together: {}. The others are in summary.json.",
        whole(all.len() as u64),
        ranges.join("; ")
    ))
}

/// Where series have gaps, and why: one sentence for all series of a mode that lack the same for the same reason.
pub(super) fn gaps(series: &[Series<'_>]) -> Vec<String> {
    let lacking = series.iter().filter_map(|series| {
        let without = series.rows.iter().filter(|row| row.median.is_none());
        let reasons = grouped(without.map(|row| {
            let reason = row.reason.clone();
            let reason = reason.unwrap_or_else(|| row.outcome.to_string());
            (reason, whole(series.over.of(&row.key).into()))
        }));
        let parts: Vec<String> = reasons
            .into_iter()
            .map(|(reason, sizes)| format!("at {} ({reason})", sizes.join(", ")))
            .collect();
        (!parts.is_empty()).then(|| ((series.mode, parts.join("; ")), &series.name))
    });
    grouped(lacking)
        .into_iter()
        .map(|((mode, text), names)| match names[..] {
            [name] => format!("No point for {name} {text}."),
            _ => format!("No point for {mode} ({} series) {text}.", names.len()),
        })
        .collect()
}

/// What the crosses of a chart over N are; `None` where it has none.
pub(super) fn crosses(series: &[Series<'_>]) -> Option<String> {
    let mut rows = series.iter().flat_map(|series| &series.rows);
    rows.any(|row| row.median.is_none())
        .then(|| "Crosses along the lower edge stand at sizes without a number.".to_owned())
}

/// What a chart shows, in words: each series at its ends.
pub(super) fn described(series: &[Series<'_>]) -> String {
    let ends: Vec<String> = series
        .iter()
        .filter_map(|series| {
            let (first, last) = (series.measured().next()?, series.measured().last()?);
            let at = |row: &Row| {
                Some(format!(
                    "{} at {}",
                    value(row.median?, row.unit?),
                    whole(series.over.of(&row.key).into())
                ))
            };
            Some(format!("{}: {} to {}", series.name, at(first)?, at(last)?))
        })
        .collect();
    let over = series.first().map_or(Over::Services, |series| series.over);
    format!("Medians by number of {over}. {}.", ends.join("; "))
}

/// What must be said of memory that was measured on the host's kernel.
pub(super) fn noisy<'a>(mut rows: impl Iterator<Item = &'a Row>) -> Option<String> {
    let noisy =
        "Noisy: measured on the host's kernel, where whatever else runs moves the same counters.";
    rows.any(|row| row.noisy).then(|| noisy.to_owned())
}
