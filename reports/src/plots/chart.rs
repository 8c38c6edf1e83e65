//! What the chart files share: series of a summary, the notes under a chart, and its gaps.

use schema::summary::{Fit, FitModel, Row, Summary};
use schema::{CellKey, Metric, Mode, Options, ScenarioKind, Unit};

use super::figure::{Gap, Key, Line, Point};
use super::style::Style;
use crate::load::Run;
use crate::quantity::{counted, interval, value, whole};
use crate::view::{Scope, bar, lower_bound, marks, series_names, spread};

/// What a chart is made from.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// The lines of the run: samples and facts.
    pub run: &'a Run,
    /// What was computed from them.
    pub summary: &'a Summary,
}

/// Series that a chart draws one by one; of more it draws one a mode.
pub(super) const MOST: usize = 24;

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
                    ci95: bar(row),
                    at: whole(row.key.services.into()),
                    text: stated(row),
                })
            })
            .collect()
    }

    /// Sizes without a number.
    pub(super) fn gaps(&self) -> Vec<Gap> {
        self.rows
            .iter()
            .filter(|row| row.median.is_none())
            .map(|row| Gap {
                x: f64::from(row.key.services),
                at: whole(row.key.services.into()),
                outcome: row.outcome.name(),
                reason: row.reason.clone().unwrap_or_default(),
            })
            .collect()
    }

    /// Sizes that timed out, as the lower bounds that they are.
    pub(super) fn bounds(&self) -> Vec<Point> {
        let bounds = self.rows.iter().filter_map(|row| {
            let bound = lower_bound(row)?;
            Some(Point {
                x: f64::from(row.key.services),
                y: bound,
                ci95: None,
                at: whole(row.key.services.into()),
                text: format!(
                    "timed out: longer than {}",
                    value(bound, schema::Unit::Nanoseconds)
                ),
            })
        });
        bounds.collect()
    }

    /// The series as a line of a chart over N: its points, gaps and bounds, and the curve if there is one.
    pub(super) fn line(&self, curve: Vec<(f64, f64)>) -> Line {
        let bounds = self.bounds();
        let mut gaps = self.gaps();
        gaps.retain(|gap| !bounds.iter().any(|bound| bound.at == gap.at));
        Line {
            mode: self.mode,
            name: self.name.clone(),
            style: self.style,
            points: self.points(),
            joined: curve.is_empty(),
            curve,
            bounds,
            gaps,
            labelled: false,
        }
    }

    /// A line of the legend.
    pub(super) fn key(&self, text: String) -> Key {
        Key {
            mode: self.mode,
            style: self.style,
            text,
        }
    }
}

/// "482 µs (461–503 µs), n 40/10": samples, and stays.
pub(super) fn stated(row: &Row) -> String {
    let (Some(median), Some(unit)) = (row.median, row.unit) else {
        return row.outcome.to_string();
    };
    let noisy = if row.noisy { ", noisy" } else { "" };
    let marks = marks(row).map_or_else(String::new, |marks| format!(", {marks}"));
    format!(
        "{} ({}), n {}/{}{noisy}{marks}",
        value(median, unit),
        spread(row),
        whole(row.n),
        row.stays
    )
}

/// Points of a fitted curve from its smallest to its largest N, evenly on a logarithmic axis.
pub(super) fn curve(fit: &Fit) -> Vec<(f64, f64)> {
    const STEPS: u32 = 16;
    let (from, to) = (f64::from(fit.from), f64::from(fit.to));
    let value = |n: f64| match fit.model {
        FitModel::Power => fit.intercept * n.powf(fit.estimate),
        FitModel::OffsetPower => {
            fit.intercept + fit.coefficient.unwrap_or(0.0) * n.powf(fit.estimate)
        }
        FitModel::Linear => fit.intercept + fit.estimate * n,
    };
    (0..=STEPS)
        .map(|step| from * (to / from).powf(f64::from(step) / f64::from(STEPS)))
        .map(|n| (n, value(n)))
        .filter(|(_, value)| *value > 0.0)
        .collect()
}

/// The series of a scope that answer a question, in the order of modes, with their looks. Of more than a
/// chart can hold, the first of each mode, and how many were left out ([`left_out`]).
pub(super) fn series<'a>(
    summary: &'a Summary,
    scope: &'a Scope,
    metric: Metric,
    asks: impl Fn(&CellKey) -> bool,
) -> Vec<Series<'a>> {
    let mut all = every_series(summary, scope, metric, asks);
    if all.len() > MOST {
        let mut seen: Vec<Mode> = Vec::new();
        all.retain(|series| {
            let first = !seen.contains(&series.mode);
            seen.push(series.mode);
            first
        });
    }
    all
}

/// What [`series`] left out, as a sentence for the notes.
pub(super) fn left_out(
    summary: &Summary,
    scope: &Scope,
    metric: Metric,
    asks: impl Fn(&CellKey) -> bool,
) -> Option<String> {
    let all = every_series(summary, scope, metric, asks);
    if all.len() <= MOST {
        return None;
    }
    let mut modes: Vec<Mode> = all.iter().map(|series| series.mode).collect();
    modes.dedup();
    let medians = |mode: Mode| {
        let rows = all.iter().filter(move |s| s.mode == mode);
        rows.flat_map(Series::measured)
            .filter_map(|row| Some((row.median?, row.unit?)))
    };
    let ranges: Vec<String> = modes
        .iter()
        .filter_map(|mode| {
            let (low, unit) = medians(*mode).min_by(|a, b| a.0.total_cmp(&b.0))?;
            let (high, _) = medians(*mode).max_by(|a, b| a.0.total_cmp(&b.0))?;
            Some(format!("{mode} {}", interval([low, high], unit)))
        })
        .collect();
    Some(format!(
        "{} series differ in their options; the first of each mode is drawn. All medians together: {}. The others are in summary.json.",
        whole(all.len() as u64),
        ranges.join("; ")
    ))
}

/// As [`series`], however many there are.
pub(super) fn every_series<'a>(
    summary: &'a Summary,
    scope: &'a Scope,
    metric: Metric,
    asks: impl Fn(&CellKey) -> bool,
) -> Vec<Series<'a>> {
    let mut places: std::collections::HashMap<(Mode, &Options), usize> = Default::default();
    let mut found: Vec<(Mode, &Options, Vec<&Row>)> = Vec::new();
    for row in scope
        .rows(summary)
        .filter(|row| asks(&row.key) && row.metric.is_none_or(|m| m == metric))
    {
        let place = *places
            .entry((row.key.mode, &row.key.options))
            .or_insert(found.len());
        if place == found.len() {
            found.push((row.key.mode, &row.key.options, Vec::new()));
        }
        found[place].2.push(row);
    }
    found.sort_by_key(|(mode, ..)| *mode);
    // Naming looks at every pair.
    let names = if found.len() > 20 * MOST {
        found.iter().map(|(mode, ..)| mode.to_string()).collect()
    } else {
        let named: Vec<_> = found
            .iter()
            .map(|(mode, options, _)| (*mode, *options))
            .collect();
        series_names(&named)
    };
    let mut variants: std::collections::BTreeMap<Mode, usize> = Default::default();
    found
        .into_iter()
        .zip(names)
        .map(|((mode, options, mut rows), name)| {
            rows.sort_by_key(|row| row.key.services);
            let variant = variants.entry(mode).or_default();
            let style = Style::of(mode, *variant);
            *variant += 1;
            Series {
                name,
                mode,
                options: options.clone(),
                style,
                rows,
            }
        })
        .collect()
}

/// The fit of a series over all of its sizes.
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
        .find(|fit| fit.model != FitModel::Power)
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

/// Where series have gaps, and why: one sentence for all series of a mode that lack the same for the same reason.
pub(super) fn gaps(series: &[Series<'_>]) -> Vec<String> {
    let mut found: Vec<(Mode, String, Vec<&str>)> = Vec::new();
    for series in series {
        let mut reasons: Vec<(String, Vec<String>)> = Vec::new();
        for row in series.rows.iter().filter(|row| row.median.is_none()) {
            let reason = row
                .reason
                .clone()
                .unwrap_or_else(|| row.outcome.to_string());
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
        if parts.is_empty() {
            continue;
        }
        let text = parts.join("; ");
        let same = |(mode, seen, _): &&mut (Mode, String, Vec<&str>)| {
            *mode == series.mode && *seen == text
        };
        match found.iter_mut().find(same) {
            Some((.., names)) => names.push(&series.name),
            None => found.push((series.mode, text, vec![&series.name])),
        }
    }
    found
        .into_iter()
        .map(|(mode, text, names)| match names.as_slice() {
            [name] => format!("No point for {name} {text}."),
            _ => format!("No point for {mode} ({} series) {text}.", names.len()),
        })
        .collect()
}

/// What the crosses of a chart over N are; `None` where it has none.
pub(super) fn crosses(series: &[Series<'_>]) -> Option<String> {
    let any = series.iter().any(|series| !series.gaps().is_empty());
    any.then(|| "Crosses along the lower edge stand at sizes without a number.".to_owned())
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
                    whole(row.key.services.into())
                ))
            };
            Some(format!("{}: {} to {}", series.name, at(first)?, at(last)?))
        })
        .collect();
    format!("Medians by number of services. {}.", ends.join("; "))
}

/// Medians and the ends of their intervals: what an axis must hold.
pub(super) fn extents<'a>(rows: impl Iterator<Item = &'a Row>) -> impl Iterator<Item = f64> {
    rows.flat_map(|row| row.median.into_iter().chain(bar(row).into_iter().flatten()))
}
