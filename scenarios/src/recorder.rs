//! What a cell saw: samples by metric, and facts. The clock's check is here, so no scenario can skip it.

use std::collections::{BTreeMap, BTreeSet};

use schema::{Metric, Series, Stage};

use crate::error::{CellError, Result};

/// Takes samples and facts of one cell.
#[derive(Debug, Default)]
pub struct Recorder {
    samples: BTreeMap<Metric, Vec<f64>>,
    facts: BTreeMap<String, String>,
    /// Metrics of so many samples that they are kept as histograms.
    many: BTreeSet<Metric>,
}

impl Recorder {
    /// Adds a sample, in the metric's unit.
    pub fn sample(&mut self, metric: Metric, value: u64) {
        self.samples.entry(metric).or_default().push(value as f64);
    }

    /// Says that a metric has so many samples that they are kept as a histogram.
    pub(crate) fn keep_as_histogram(&mut self, metric: Metric) {
        self.many.insert(metric);
    }

    /// Adds a sample that is a difference, in the metric's unit: a negative one is kept, since dropping it
    /// would leave only those that noise has made larger.
    pub fn difference(&mut self, metric: Metric, value: i64) {
        self.samples.entry(metric).or_default().push(value as f64);
    }

    /// Notes what was checked or seen.
    pub fn fact(&mut self, name: &str, value: impl ToString) {
        self.facts.insert(name.to_owned(), value.to_string());
    }

    /// Notes the same of another sample of the cell: as a list, in the order of samples.
    pub(crate) fn add_to_fact(&mut self, name: &str, value: impl ToString) {
        let value = value.to_string();
        let list = self.facts.entry(name.to_owned()).or_default();
        match list.is_empty() {
            true => *list = value,
            false => *list += &format!("; {value}"),
        }
    }

    /// Hands over the facts alone: of a preparation, which has no samples.
    pub(crate) fn into_facts(self) -> BTreeMap<String, String> {
        self.facts
    }

    /// Hands over what was recorded.
    ///
    /// # Errors
    /// Nothing was recorded, or the clock's step exceeds 2 % of the median of a measured time.
    pub fn finish(self, clock_step_ns: u64) -> Result<(Vec<Series>, BTreeMap<String, String>)> {
        if self.samples.is_empty() {
            return Err(CellError::at(Stage::Measure, "no sample was taken"));
        }
        for (metric, values) in self.samples.iter().filter(|(m, _)| m.row().clocked) {
            let median = median(values);
            if clock_step_ns as f64 > 0.02 * median {
                let why = format!(
                    "{metric}: the clock's step of {clock_step_ns} ns exceeds 2 % of the median {median} ns"
                );
                return Err(CellError::at(Stage::Clock, why));
            }
        }
        let series = self.samples.into_iter().map(|(metric, values)| Series {
            metric,
            unit: metric.unit(),
            values,
            as_histogram: self.many.contains(&metric),
        });
        Ok((series.collect(), self.facts))
    }
}

/// The middle value (the mean of the two middle ones); 0 for none.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_near_the_clocks_step_is_not_reported() {
        let mut recorder = Recorder::default();
        recorder.sample(Metric::Latency, 1_000);
        assert_eq!(recorder.finish(21).unwrap_err().stage, Stage::Clock);
    }

    #[test]
    fn a_count_has_nothing_to_do_with_the_clock() {
        let mut recorder = Recorder::default();
        recorder.sample(Metric::Messages, 1);
        assert!(recorder.finish(1_000_000).is_ok());
    }

    #[test]
    fn a_cell_without_samples_is_not_measured() {
        assert!(Recorder::default().finish(1).is_err());
    }
}
