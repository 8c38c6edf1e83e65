//! The lines of a run, grouped by cell.

use std::collections::{BTreeMap, BTreeSet};

use schema::summary::Over;
use schema::{CellKey, CellRecord, Histogram, Metric, OptionKey, Outcome, Unit};

use crate::load::Run;
use crate::statistics::{Known, Sample};

/// Fact that names the seed of a cell's population; without it the block does.
const SEED: &str = "seed";

/// The value of one stay.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Stay {
    pub(super) number: u32,
    pub(super) block: u32,
    pub(super) seed: String,
    /// Median of its samples; infinite when its timed act did not end.
    pub(super) value: f64,
}

/// The lines of a run by cell, in key order. Samples are gathered when asked for: all of them at once
/// would be the run's largest piece of memory twice over.
pub(super) struct Cells<'a> {
    records: BTreeMap<&'a CellKey, Vec<&'a CellRecord>>,
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
        Self { records: cells }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&'a CellKey, &[&'a CellRecord])> {
        self.records
            .iter()
            .map(|(key, records)| (*key, records.as_slice()))
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &'a CellKey> {
        self.records.keys().copied()
    }

    fn of_key(&self, key: &CellKey) -> &[&'a CellRecord] {
        self.records.get(key).map_or(&[], Vec::as_slice)
    }

    /// The records of a cell that hold numbers.
    pub(super) fn measured(&self, key: &CellKey) -> impl Iterator<Item = &'a CellRecord> {
        self.of_key(key)
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

    /// Measured stays that are still marked as disturbed, and those before or in which memory was still being freed.
    pub(super) fn marked(&self, key: &CellKey) -> (u32, u32) {
        let falls = |record: &CellRecord, name: &str| {
            let how = record.facts.get(name);
            how.is_some_and(|how| how == "falling")
        };
        let disturbed = |record: &&CellRecord| !record.disturbed.is_empty();
        let unsettled =
            |record: &&CellRecord| falls(record, "settled_before") || falls(record, "settled");
        let disturbed = self.measured(key).filter(disturbed).count();
        let unsettled = self.measured(key).filter(unsettled).count();
        (disturbed as u32, unsettled as u32)
    }

    /// All samples of a cell's metric. `None` when no stay measured it.
    pub(super) fn sample(&self, key: &CellKey, metric: Metric) -> Option<Sample> {
        Sample::new(self.measured(key).flat_map(|record| {
            record
                .series
                .iter()
                .filter(move |series| series.metric == metric)
                .map(|series| (record.stay, series.values.as_slice()))
        }))
    }

    /// A quantile of each stay's samples, where each has at least so many.
    pub(super) fn tails(
        &self,
        key: &CellKey,
        metric: Metric,
        (p, least): (f64, usize),
    ) -> Option<Vec<f64>> {
        let of_record = |record: &'a CellRecord| {
            let series = record.series.iter().find(|series| series.metric == metric);
            series.map(|series| {
                let mut values = series.values.clone();
                values.retain(|value| value.is_finite());
                values.sort_unstable_by(f64::total_cmp);
                let enough = values.len() >= least;
                crate::statistics::quantile(&values, p).filter(|_| enough)
            })
        };
        self.measured(key).filter_map(of_record).collect()
    }

    /// All samples of a cell's metric as one histogram, where every stay has it so.
    pub(super) fn histogram(&self, key: &CellKey, metric: Metric) -> Option<Histogram> {
        let all = self.measured(key).flat_map(|record| &record.series);
        let mine: Vec<_> = all.filter(|series| series.metric == metric).collect();
        let so = !mine.is_empty() && mine.iter().all(|series| series.as_histogram);
        let values: Vec<f64> = match so {
            true => mine
                .iter()
                .flat_map(|series| &series.values)
                .copied()
                .collect(),
            false => return None,
        };
        Some(Histogram::of(&values))
    }

    /// The value of each stay of a cell's metric, by number: those whose timed act did not end are above all others.
    /// Empty when none measured it.
    pub(super) fn stays(&self, key: &CellKey, metric: Metric) -> Vec<Stay> {
        let sample = self.sample(key, metric);
        let medians: BTreeMap<u32, f64> = sample
            .iter()
            .flat_map(|sample| sample.stays().iter().copied())
            .collect();
        if medians.is_empty() {
            return Vec::new();
        }
        let value = |record: &CellRecord| match record.outcome {
            Outcome::TimedOut { after_ns: Some(_) } if is_censored(key, metric) => {
                Some(f64::INFINITY)
            }
            _ => medians.get(&record.stay).copied(),
        };
        self.valued(key, value)
    }

    fn valued(&self, key: &CellKey, value: impl Fn(&CellRecord) -> Option<f64>) -> Vec<Stay> {
        let stay = |record: &&CellRecord| {
            Some(Stay {
                number: record.stay,
                block: record.block,
                seed: record
                    .facts
                    .get(SEED)
                    .map_or_else(|| record.block.to_string(), String::clone),
                value: value(record)?,
            })
        };
        self.of_key(key).iter().filter_map(stay).collect()
    }

    /// As [`Cells::stays`], of the whole of an update: `update_time`, with the `release_time` of the same act where
    /// the sockets are closed after it, as a tool's are before it ends.
    pub(super) fn sums(&self, key: &CellKey) -> Vec<Stay> {
        let mut stays = self.stays(key, Metric::UpdateTime);
        if !self.metrics(key).contains_key(&Metric::ReleaseTime) {
            return stays;
        }
        let sums = self.together(key, [Metric::UpdateTime, Metric::ReleaseTime], |a, b| a + b);
        stays.retain_mut(|stay| {
            let sum = sums.iter().find(|sum| sum.number == stay.number);
            stay.value = sum.map_or(stay.value, |sum| sum.value);
            sum.is_some() || stay.value.is_infinite()
        });
        stays
    }

    /// The value of each stay of what two metrics of the same acts make together, act by act.
    pub(super) fn together(
        &self,
        key: &CellKey,
        of: [Metric; 2],
        make: impl Fn(f64, f64) -> f64,
    ) -> Vec<Stay> {
        let values = |record: &'a CellRecord, metric: Metric| {
            let mut series = record.series.iter();
            Some(&series.find(|series| series.metric == metric)?.values)
        };
        let made: BTreeMap<u32, f64> = self
            .measured(key)
            .filter_map(|record| {
                let (a, b) = (values(record, of[0])?, values(record, of[1])?);
                let pairs = a.iter().zip(b).filter(|_| a.len() == b.len());
                let mut made: Vec<f64> = pairs.map(|(a, b)| make(*a, *b)).collect();
                made.retain(|value| value.is_finite());
                made.sort_unstable_by(f64::total_cmp);
                Some((record.stay, crate::statistics::quantile(&made, 0.5)?))
            })
            .collect();
        self.valued(key, |record| made.get(&record.stay).copied())
    }

    /// The longest that is known of each stay that timed out, ascending.
    pub(super) fn bounds(&self, key: &CellKey) -> Vec<f64> {
        let bound = |record: &&CellRecord| match record.outcome {
            Outcome::TimedOut { after_ns } => after_ns.map(|bound| bound as f64),
            _ => None,
        };
        let mut bounds: Vec<f64> = self.of_key(key).iter().filter_map(bound).collect();
        bounds.sort_unstable_by(f64::total_cmp);
        bounds
    }

    /// Cells that differ in nothing but N, or but their endpoints, or the entries of a list, one ascending list each.
    pub(super) fn families(&self, over: Over) -> Vec<Vec<&'a CellKey>> {
        let mut families: BTreeMap<CellKey, Vec<&'a CellKey>> = BTreeMap::new();
        for key in self.keys() {
            let mut shape = key.clone();
            match over {
                Over::Services => shape.services = 0,
                Over::Endpoints => shape.endpoints = 0,
                Over::Entries if shape.options.entries().is_none() => continue,
                Over::Entries => shape.options.remove(OptionKey::Entries),
            }
            families.entry(shape).or_default().push(key);
        }
        let mut families: Vec<Vec<&CellKey>> = families.into_values().collect();
        if over == Over::Entries {
            families
                .iter_mut()
                .for_each(|keys| keys.sort_by_key(|key| over.of(key)));
        }
        families
    }
}

/// Whether a stay that timed out says something of a metric: its time is longer than that of the others.
pub(crate) fn is_censored(key: &CellKey, metric: Metric) -> bool {
    key.scenario.is_update() && metric.row().bounded
}

/// What is known of a cell from its stays; of executed instructions the seeds are the units.
pub(super) fn known(stays: &[Stay], unit: Unit) -> Option<Known> {
    if unit == Unit::Instructions {
        let seeds: Vec<f64> = by_seed(stays).into_values().collect();
        return Known::of_seeds(&seeds);
    }
    let values: Vec<f64> = stays.iter().map(|stay| stay.value).collect();
    Known::of_stays(&values)
}

/// The value of each seed: the median of its stays.
pub(super) fn by_seed(stays: &[Stay]) -> BTreeMap<String, f64> {
    let mut seeds: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for stay in stays {
        seeds.entry(stay.seed.clone()).or_default().push(stay.value);
    }
    seeds
        .into_iter()
        .filter_map(|(seed, values)| Some((seed, Known::of_seeds(&values)?.value)))
        .collect()
}
