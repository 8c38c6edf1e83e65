//! What charts are made of: series of a summary, their lines, rows and keys, and what an axis must hold.

use std::collections::{BTreeMap, HashMap};

use schema::summary::{Fit, FitModel, Over, Row, Summary};
use schema::{CellKey, Metric, Mode, Options, Unit};

use super::axis::Axis;
use super::figure::{Key, Line, Mark, NamedRow, Panel, Point, Seen};
use super::style::Style;
use crate::load::Run;
use crate::quantity::{value, whole};
use crate::view::{Scope, bar, lower_bound, marks, series_names, spread};

/// What a chart is made from.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    /// The lines of the run: samples and facts.
    pub(super) run: &'a Run,
    /// What was computed from them.
    pub(super) summary: &'a Summary,
    /// What of that the chart shows.
    pub(super) scope: &'a Scope,
}

/// Series that a chart draws one by one; of more it draws one a mode.
pub(super) const MOST: usize = 24;

/// Rows that differ in nothing but N, or but their endpoints.
pub(super) struct Series<'a> {
    pub(super) name: String,
    pub(super) mode: Mode,
    pub(super) options: &'a Options,
    pub(super) metric: Metric,
    pub(super) style: Style,
    /// In what the rows differ.
    pub(super) over: Over,
    /// In that order: measured rows of the metric, and rows without numbers.
    pub(super) rows: Vec<&'a Row>,
}

impl<'a> Series<'a> {
    /// The measured rows.
    pub(super) fn measured(&self) -> impl Iterator<Item = &'a Row> + Clone {
        self.rows.iter().copied().filter(|row| row.median.is_some())
    }

    /// The series as a line of a chart.
    pub(super) fn line(&self, curve: Vec<(f64, f64)>) -> Line {
        let medians = self.measured().filter_map(|row| {
            let (y, ci95) = (row.median?, bar(row));
            Some(self.at(row, stated(row), Seen::Median { y, ci95 }))
        });
        self.line_of(medians, curve)
    }

    /// The same through points of its measured rows: these, then what timed out as a lower bound,
    /// then the sizes without a number.
    pub(super) fn line_of(
        &self,
        points: impl Iterator<Item = Point>,
        curve: Vec<(f64, f64)>,
    ) -> Line {
        let bounds = self.rows.iter().filter_map(|row| {
            let bound = lower_bound(row)?;
            let longer = value(bound, Unit::Nanoseconds);
            let text = format!("timed out: longer than {longer}");
            Some(self.at(row, text, Seen::Above(bound)))
        });
        let without = |row: &&&Row| row.median.is_none() && lower_bound(row).is_none();
        let gaps = self.rows.iter().filter(without).map(|row| {
            let reason = row.reason.clone().unwrap_or_default();
            self.at(row, row.outcome.name().to_owned(), Seen::Nothing { reason })
        });
        Line {
            mode: self.mode,
            name: self.name.clone(),
            style: self.style,
            points: points.chain(bounds).chain(gaps).collect(),
            curve,
            labelled: false,
        }
    }

    /// What the series has at the size of a row.
    pub(super) fn at(&self, row: &Row, text: String, seen: Seen) -> Point {
        let size = self.over.of(&row.key);
        Point {
            x: f64::from(size),
            at: whole(size.into()),
            text,
            seen,
        }
    }

    /// The line of an amount, named at its end: what is not above zero has no place on its axis, and a limit of time
    /// says nothing of it.
    pub(super) fn line_of_amounts(&self, curve: Vec<(f64, f64)>) -> Line {
        let mut line = self.line(curve);
        line.points.retain(|point| match point.seen {
            Seen::Median { y, .. } => y > 0.0,
            Seen::Above(_) => false,
            Seen::Nothing { .. } => true,
        });
        line.labelled = true;
        line
    }

    /// A line of the legend.
    pub(super) fn key(&self, text: String) -> Key {
        Key {
            mode: self.mode,
            style: self.style,
            text,
        }
    }

    /// The same where there may be nothing to say of it: "ipvs: no numbers".
    pub(super) fn key_of(&self, text: Option<String>) -> Key {
        self.key(text.unwrap_or_else(|| format!("{}: no numbers", self.name)))
    }
}

/// A panel of series over N.
pub(super) fn over_n<'a>(
    heading: &str,
    series: &'a [Series<'a>],
    y: Axis,
    line: impl Fn(&'a Series<'a>) -> Line,
) -> Panel {
    let rows = series.iter().flat_map(|series| &series.rows);
    let mut sizes: Vec<u32> = rows.map(|row| row.key.services).collect();
    sizes.sort_unstable();
    sizes.dedup();
    let lines = series.iter().map(line).collect();
    Panel::lines(heading, Axis::sizes(&sizes), y, lines)
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
fn curve(fit: &Fit) -> Vec<(f64, f64)> {
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

impl<'a> Source<'a> {
    /// The largest N that was planned.
    pub(super) fn largest(&self) -> u32 {
        self.scope.largest(self.summary)
    }

    /// The series that answer a question, in the order of modes, with their looks. Of more than a chart can hold, the
    /// first of each mode, and a note of the others (`notes::left_out`).
    pub(super) fn series(
        &self,
        metric: Metric,
        asks: impl Fn(&CellKey) -> bool,
    ) -> Vec<Series<'a>> {
        first_of_many(self.every_series(metric, asks))
    }

    /// As [`Source::series`], however many there are.
    pub(super) fn every_series(
        &self,
        metric: Metric,
        asks: impl Fn(&CellKey) -> bool,
    ) -> Vec<Series<'a>> {
        let rows = self.scope.rows(self.summary);
        let rows = rows.filter(|row| asks(&row.key) && row.metric.is_none_or(|m| m == metric));
        series_of(rows, metric, Over::Services)
    }

    /// The fitted curve of a series, where there is one.
    pub(super) fn curve(&self, series: &Series<'_>) -> Vec<(f64, f64)> {
        self.fit(series).map_or_else(Vec::new, curve)
    }

    /// The fit of a series over all of its sizes.
    pub(super) fn fit(&self, series: &Series<'_>) -> Option<&'a Fit> {
        let scenario = series.rows.first()?.key.scenario;
        self.scope
            .fits(&self.summary.fits)
            .filter(|fit| {
                fit.scenario == scenario
                    && fit.metric == series.metric
                    && fit.mode == series.mode
                    && fit.options == *series.options
            })
            .find(|fit| fit.model != FitModel::Power)
    }
}

/// Of more series than a chart can hold the first of each mode.
pub(super) fn first_of_many(mut all: Vec<Series<'_>>) -> Vec<Series<'_>> {
    if all.len() > MOST {
        // In the order of modes, so that equal ones are neighbours.
        all.dedup_by_key(|series| series.mode);
    }
    all
}

/// Rows of a metric as series, in the order of modes, with their looks.
pub(super) fn series_of<'a>(
    all: impl Iterator<Item = &'a Row>,
    metric: Metric,
    over: Over,
) -> Vec<Series<'a>> {
    let mut places: HashMap<(Mode, &Options), usize> = HashMap::new();
    let mut found: Vec<(Mode, &'a Options, Vec<&'a Row>)> = Vec::new();
    for row in all {
        let (mode, options) = (row.key.mode, &row.key.options);
        let place = *places.entry((mode, options)).or_insert(found.len());
        if place == found.len() {
            found.push((mode, options, Vec::new()));
        }
        found[place].2.push(row);
    }
    // Equal modes stay in the order in which they were found: that of the summary's cells.
    found.sort_by_key(|(mode, ..)| *mode);
    // Naming looks at every pair.
    let named = found.iter().map(|(mode, options, _)| (*mode, *options));
    let names = if found.len() > 20 * MOST {
        named.map(|(mode, _)| mode.to_string()).collect()
    } else {
        series_names(&named.collect::<Vec<_>>())
    };
    let mut variants: BTreeMap<Mode, usize> = BTreeMap::new();
    let series = found.into_iter().zip(names);
    series
        .map(|((mode, options, mut rows), name)| {
            rows.sort_by_key(|row| over.of(&row.key));
            let variant = variants.entry(mode).or_default();
            let style = Style::of(mode, *variant);
            *variant += 1;
            Series {
                name,
                mode,
                options,
                metric,
                style,
                over,
                rows,
            }
        })
        .collect()
}

/// The unit of times in these rows: nanoseconds, or executed instructions.
pub(super) fn unit_of_times<'a>(mut rows: impl Iterator<Item = &'a Row>) -> Unit {
    let unit = rows.find_map(|row| row.unit);
    unit.unwrap_or(Unit::Nanoseconds)
}

/// The rows of series that have a number.
pub(super) fn measured<'a>(series: &[Series<'a>]) -> impl Iterator<Item = &'a Row> + Clone {
    series.iter().flat_map(Series::measured)
}

/// Medians and the ends of their intervals: what an axis must hold.
pub(super) fn extents<'a>(rows: impl Iterator<Item = &'a Row>) -> impl Iterator<Item = f64> {
    rows.flat_map(|row| row.median.into_iter().chain(bar(row).into_iter().flatten()))
}

/// The same of named rows, and room for the arrows of what timed out.
pub(super) fn extents_of_rows<'a>(rows: impl Iterator<Item = &'a Row>) -> Vec<f64> {
    let of = |row| {
        let bound = lower_bound(row).map(|bound| bound * 3.0);
        extents([row].into_iter()).chain(bound)
    };
    rows.flat_map(of).collect()
}

/// What stands in a named row, and what is said of it: the median; else, of times of updates, how long it took at least;
/// else what became of it.
pub(super) fn mark_of(row: &Row, metric: Metric) -> (Mark, String) {
    let (mark, text) = mark_alone(row, metric);
    match mark {
        Mark::Dot { .. } => (mark, format!("{text}, n {}/{}", whole(row.n), row.stays)),
        _ => (mark, text),
    }
}

/// The same without how many samples and stays it is of.
pub(super) fn mark_alone(row: &Row, metric: Metric) -> (Mark, String) {
    let bound = lower_bound(row).filter(|_| metric == Metric::UpdateTime);
    match (row.median, row.unit, bound) {
        (Some(at), Some(unit), _) => {
            let ci95 = bar(row);
            (Mark::Dot { at, ci95 }, value(at, unit))
        }
        (_, _, Some(bound)) => {
            let longer = value(bound, Unit::Nanoseconds);
            (Mark::Beyond(bound), format!("> {longer}"))
        }
        _ => (Mark::Nothing, row.outcome.to_string()),
    }
}

/// A named row for each cell of series that has a number, with what stands in it and is said of it.
pub(super) fn named<'a>(
    series: &[Series<'a>],
    said: impl Fn(&'a Row) -> Option<(Mark, String)>,
) -> Vec<NamedRow> {
    let rows = series
        .iter()
        .flat_map(|one| one.measured().map(move |row| (one, row)));
    let named = rows.filter_map(|(one, row)| {
        let (mark, text) = said(row)?;
        let row = NamedRow::of(one.mode, one.name.clone(), one.style);
        Some(NamedRow { mark, text, ..row })
    });
    named.collect()
}
