//! What the chart files share: series of a summary, the notes under a chart, and its gaps.

use schema::summary::{Fit, Row, Summary};
use schema::{CellKey, Metric, Mode, Options, ScenarioKind, Unit};

use super::figure::Point;
use super::style::Style;
use crate::quantity::{counted, whole};
use crate::scope::{Scope, series_names};

/// Rows that differ in nothing but N.
pub(super) struct Series<'a> {
    pub(super) name: String,
    pub(super) mode: Mode,
    pub(super) options: Options,
    pub(super) style: Style,
    /// By N: measured rows of the metric, and rows without numbers.
    pub(super) rows: Vec<&'a Row>,
}

impl Series<'_> {
    /// The measured points: (N, row).
    pub(super) fn measured(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().copied().filter(|row| row.median.is_some())
    }

    /// Medians against N.
    pub(super) fn points(&self) -> Vec<Point> {
        self.measured()
            .filter_map(|row| {
                Some(Point {
                    x: f64::from(row.key.services),
                    y: row.median?,
                    ci95: row.ci95,
                })
            })
            .collect()
    }
}

/// The series of a scope that answer a question, in the order of modes, with their looks.
pub(super) fn series<'a>(
    summary: &'a Summary,
    scope: &'a Scope,
    metric: Metric,
    asks: impl Fn(&CellKey) -> bool,
) -> Vec<Series<'a>> {
    let mut found: Vec<(Mode, Options, Vec<&Row>)> = Vec::new();
    for row in scope
        .rows(summary)
        .filter(|row| asks(&row.key) && row.metric.is_none_or(|m| m == metric))
    {
        match found
            .iter_mut()
            .find(|(mode, options, _)| *mode == row.key.mode && *options == row.key.options)
        {
            Some((_, _, rows)) => rows.push(row),
            None => found.push((row.key.mode, row.key.options.clone(), vec![row])),
        }
    }
    let names = series_names(
        &found
            .iter()
            .map(|(mode, options, _)| (*mode, options))
            .collect::<Vec<_>>(),
    );
    let modes: Vec<Mode> = found.iter().map(|(mode, ..)| *mode).collect();
    found
        .into_iter()
        .zip(names)
        .enumerate()
        .map(|(index, ((mode, options, mut rows), name))| {
            rows.sort_by_key(|row| row.key.services);
            let variant = modes[..index]
                .iter()
                .filter(|other| **other == mode)
                .count();
            Series {
                name,
                mode,
                options,
                style: Style::of(mode, variant),
                rows,
            }
        })
        .collect()
}

/// The fit over the most sizes of a series.
pub(super) fn fit_of<'a>(
    summary: &'a Summary,
    scope: &Scope,
    scenario: ScenarioKind,
    metric: Metric,
    series: &Series<'_>,
) -> Option<&'a Fit> {
    summary
        .fits
        .iter()
        .filter(|fit| {
            fit.scenario == scenario
                && fit.metric == metric
                && fit.environment == scope.environment
                && fit.variant == scope.variant
                && fit.mode == series.mode
                && fit.options == series.options
        })
        .max_by_key(|fit| fit.sizes)
}

/// The unit of times in these rows: nanoseconds, or executed instructions.
pub(super) fn unit_of_times<'a>(mut rows: impl Iterator<Item = &'a Row>) -> Unit {
    rows.find_map(|row| row.unit).unwrap_or(Unit::Nanoseconds)
}

/// Every N of some series, ascending.
pub(super) fn sizes(series: &[Series<'_>]) -> Vec<u32> {
    let mut sizes: Vec<u32> = series
        .iter()
        .flat_map(|series| &series.rows)
        .map(|row| row.key.services)
        .collect();
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

/// "Points are medians, bars their 95 % intervals; 24–36 samples in 12 stays behind each point."
pub(super) fn behind_points<'a>(rows: impl Iterator<Item = &'a Row>) -> String {
    format!(
        "Points are medians, bars their 95 % intervals over stays (often smaller than the point); {} behind each point.",
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

/// One sentence for each series with gaps: where, and why.
pub(super) fn gaps(series: &[Series<'_>]) -> Vec<String> {
    series
        .iter()
        .filter_map(|series| {
            let mut reasons: Vec<(String, Vec<String>)> = Vec::new();
            for row in series.rows.iter().filter(|row| row.median.is_none()) {
                let reason = row.reason.clone().unwrap_or_else(|| row.outcome.clone());
                let at = whole(row.key.services.into());
                match reasons.iter_mut().find(|(seen, _)| *seen == reason) {
                    Some((_, sizes)) => sizes.push(at),
                    None => reasons.push((reason, vec![at])),
                }
            }
            let parts: Vec<String> = reasons
                .into_iter()
                .map(|(reason, sizes)| format!("at {} ({reason})", sizes.join(", ")))
                .collect();
            (!parts.is_empty())
                .then(|| format!("No point for {} {}.", series.name, parts.join("; ")))
        })
        .collect()
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
                    crate::quantity::value(row.median?, row.unit?),
                    whole(row.key.services.into())
                ))
            };
            Some(format!("{}: {} to {}", series.name, at(first)?, at(last)?))
        })
        .collect();
    format!("Medians by number of services. {}.", ends.join("; "))
}
