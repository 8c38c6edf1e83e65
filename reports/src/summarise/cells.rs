//! The lines of a run, grouped by cell.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use schema::{CellKey, CellRecord, Metric, Outcome, Samples, Unit};

use crate::load::Run;
use crate::statistics::{RESAMPLES, Sample, resampled_medians, seed_of};

/// Resampled medians of a cell's metric.
type Medians<'a> = BTreeMap<(&'a CellKey, Metric), Rc<Vec<f64>>>;

/// The lines of a run by cell, in key order. Samples are gathered when asked for: all of them at once
/// would be the run's largest piece of memory twice over.
pub(super) struct Cells<'a> {
    records: BTreeMap<&'a CellKey, Vec<&'a CellRecord>>,
    /// Resampled medians that ratios asked for. Those of all rows would be a run's largest piece of memory.
    medians: RefCell<Medians<'a>>,
}

impl<'a> Cells<'a> {
    pub(super) fn of(run: &'a Run) -> Self {
        Self::within(run, |_| true)
    }

    /// Some of the cells of a run.
    pub(super) fn within(run: &'a Run, asked: impl Fn(&CellKey) -> bool) -> Self {
        let mut cells: BTreeMap<&CellKey, Vec<&CellRecord>> = BTreeMap::new();
        for cell in run.cells.iter().filter(|cell| asked(&cell.key)) {
            cells.entry(&cell.key).or_default().push(cell);
        }
        for records in cells.values_mut() {
            records.sort_by_key(|record| record.stay);
        }
        Self {
            records: cells,
            medians: RefCell::default(),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&'a CellKey, &[&'a CellRecord])> {
        self.records
            .iter()
            .map(|(key, records)| (*key, records.as_slice()))
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &'a CellKey> {
        self.records.keys().copied()
    }

    /// The records of a cell that hold numbers.
    fn measured(&self, key: &CellKey) -> impl Iterator<Item = &'a CellRecord> {
        let records = self.records.get(key).map_or(&[][..], Vec::as_slice);
        records
            .iter()
            .copied()
            .filter(|record| record.outcome == Outcome::Measured)
    }

    /// Metrics of a cell, with their units, in the fixed order.
    pub(super) fn metrics(&self, key: &CellKey) -> BTreeMap<Metric, Unit> {
        self.measured(key)
            .flat_map(|record| &record.series)
            .map(|series| (series.metric, series.unit))
            .collect()
    }

    /// What the cell's measured stays noted under a name, each value once.
    pub(super) fn facts(&self, key: &CellKey, name: &str) -> BTreeSet<String> {
        self.measured(key)
            .filter_map(|record| record.facts.get(name).cloned())
            .collect()
    }

    /// All samples of a cell's metric. `None` when no stay measured it.
    pub(super) fn sample(&self, key: &CellKey, metric: Metric) -> Option<Sample> {
        Sample::new(self.measured(key).flat_map(|record| {
            record
                .series
                .iter()
                .filter(move |series| series.metric == metric)
                .map(|series| (record.stay, &series.samples))
        }))
    }

    /// One metric ÷ another, sample by sample: of metrics that were taken of the same acts. `None` when no
    /// stay lists both.
    pub(super) fn quotients(&self, key: &CellKey, over: Metric, under: Metric) -> Option<Sample> {
        let values = |record: &'a CellRecord, metric: Metric| {
            record
                .series
                .iter()
                .find_map(|series| match &series.samples {
                    Samples::Values(values) if series.metric == metric => Some(values),
                    _ => None,
                })
        };
        let quotients: Vec<(u32, Samples)> = self
            .measured(key)
            .filter_map(|record| Some((record.stay, values(record, over)?, values(record, under)?)))
            .filter(|(_, a, b)| a.len() == b.len())
            .map(|(stay, a, b)| {
                let pairs = a.iter().zip(b).filter(|(_, b)| **b > 0.0);
                (stay, Samples::Values(pairs.map(|(a, b)| a / b).collect()))
            })
            .collect();
        Sample::new(quotients.iter().map(|(stay, samples)| (*stay, samples)))
    }

    /// The medians of a sample's resamples, which depend on the cell and the metric and nothing else.
    pub(super) fn medians(key: &CellKey, metric: Metric, sample: &Sample) -> Vec<f64> {
        // Whatever is drawn from equal samples is the same.
        if sample.min() == sample.max() {
            return vec![sample.min(); RESAMPLES];
        }
        let seed = seed_of(&format!("{key} {} {metric}", key.environment));
        resampled_medians(sample, seed)
    }

    /// The cell's sample with those medians, kept: a ratio is asked for with many others.
    pub(super) fn resampled(
        &self,
        key: &CellKey,
        metric: Metric,
    ) -> Option<(Sample, Rc<Vec<f64>>)> {
        let sample = self.sample(key, metric)?;
        let (key, _) = self.records.get_key_value(key)?;
        let mut known = self.medians.borrow_mut();
        let medians = known
            .entry((key, metric))
            .or_insert_with(|| Rc::new(Self::medians(key, metric, &sample)));
        let medians = Rc::clone(medians);
        Some((sample, medians))
    }

    /// Cells that differ in nothing but N, one list of ascending N each.
    pub(super) fn by_size(&self) -> Vec<Vec<&'a CellKey>> {
        let shape = |key: &CellKey| CellKey {
            services: 0,
            ..key.clone()
        };
        let mut families: BTreeMap<CellKey, BTreeSet<&'a CellKey>> = BTreeMap::new();
        for key in self.keys() {
            families.entry(shape(key)).or_default().insert(key);
        }
        families
            .into_values()
            .map(|family| family.into_iter().collect())
            .collect()
    }
}
