//! The samples of one cell and metric, grouped by stay.

use data_encoding::BASE64;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use schema::Samples;

use super::few::FEW_STAYS;
use super::quantile_by;

/// One stay's samples as ranks into [`Sample::values`].
#[derive(Debug, Clone)]
pub(super) struct Stay {
    number: u32,
    /// Distinct ranks, ascending.
    pub(super) ranks: Vec<u32>,
    /// `below[j]`: samples at `ranks[..j]`; one entry more than `ranks`.
    pub(super) below: Vec<u64>,
    /// The rank of each sample, ascending, where there are few and not all of them differ.
    each: Vec<u32>,
}

impl Stay {
    pub(super) fn n(&self) -> u64 {
        self.below.last().copied().unwrap_or(0)
    }

    /// Rank of the stay's sample number `order`, 0-based, ascending.
    pub(super) fn rank_at(&self, order: u64) -> usize {
        self.ranks[self.below.partition_point(|&below| below <= order) - 1] as usize
    }

    /// The rank of each sample, ascending; only where there are no more than [`LISTED`].
    pub(super) fn listed(&self) -> &[u32] {
        if self.each.is_empty() {
            &self.ranks
        } else {
            &self.each
        }
    }

    fn list(&mut self) {
        if self.n() > self.ranks.len() as u64 && self.n() <= LISTED {
            let counts = self.below.windows(2).map(|ends| ends[1] - ends[0]);
            let each = self.ranks.iter().zip(counts);
            self.each = each
                .flat_map(|(rank, count)| std::iter::repeat_n(*rank, count as usize))
                .collect();
        }
    }
}

/// Samples of a stay up to which their ranks are listed one by one.
pub(super) const LISTED: u64 = 1_000;

/// Samples of one cell and metric, grouped by stay. Never empty.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Distinct values, ascending.
    pub(super) values: Vec<f64>,
    /// By stay number, ascending: the order in which lines were written does not matter.
    pub(super) stays: Vec<Stay>,
    /// `below[r]`: samples under `values[r]`; one entry more than `values`.
    below: Vec<u64>,
}

impl Sample {
    /// Groups samples by stay; entries with the same stay are one. `None` without samples.
    ///
    /// Values that are not finite cannot come out of JSON and are left out.
    #[must_use]
    pub fn new<'a>(stays: impl IntoIterator<Item = (u32, &'a Samples)>) -> Option<Self> {
        let mut weighted: Vec<(u32, f64, u64)> = Vec::new();
        for (stay, samples) in stays {
            let counted = counted(samples).ok()?;
            weighted.extend(
                counted
                    .into_iter()
                    .filter(|(v, _)| v.is_finite())
                    .map(|(v, c)| (stay, v, c)),
            );
        }
        let mut values: Vec<f64> = weighted.iter().map(|&(_, value, _)| value).collect();
        values.sort_by(f64::total_cmp);
        values.dedup();
        weighted.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        let mut pooled = vec![0; values.len() + 1];
        let mut grouped: Vec<Stay> = Vec::new();
        for (number, value, count) in weighted {
            let rank = values.partition_point(|&v| v < value);
            pooled[rank + 1] += count;
            if grouped.last().is_none_or(|stay| stay.number != number) {
                grouped.push(Stay {
                    number,
                    ranks: Vec::new(),
                    below: vec![0],
                    each: Vec::new(),
                });
            }
            let stay = grouped.last_mut()?;
            if stay.ranks.last() == Some(&(rank as u32)) {
                *stay.below.last_mut()? += count;
            } else {
                stay.ranks.push(rank as u32);
                stay.below.push(stay.n() + count);
            }
        }
        for rank in 1..pooled.len() {
            pooled[rank] += pooled[rank - 1];
        }
        grouped.iter_mut().for_each(Stay::list);
        (!values.is_empty()).then_some(Self {
            values,
            stays: grouped,
            below: pooled,
        })
    }

    /// Whether samples can be read.
    ///
    /// # Errors
    /// A histogram that is not base64 or not an HDR V2 encoding, as a sentence.
    pub fn check(samples: &Samples) -> Result<(), String> {
        counted(samples).map(drop)
    }

    /// Samples in all.
    #[must_use]
    pub fn n(&self) -> u64 {
        self.below.last().copied().unwrap_or(0)
    }

    /// The stays' numbers in the run, ascending.
    pub fn stays(&self) -> impl ExactSizeIterator<Item = u32> + '_ {
        self.stays.iter().map(|stay| stay.number)
    }

    /// Independent units of replication: the stays, or of a single stay its samples.
    #[must_use]
    pub fn units(&self) -> u64 {
        if self.stays.len() > 1 {
            self.stays.len() as u64
        } else {
            self.n()
        }
    }

    /// Place of a stay among [`Sample::stays`], by its number in the run.
    #[must_use]
    pub fn place_of(&self, stay: u32) -> Option<usize> {
        self.stays.binary_search_by_key(&stay, |s| s.number).ok()
    }

    /// Smallest sample.
    #[must_use]
    pub fn min(&self) -> f64 {
        self.values[0]
    }

    /// Largest sample.
    #[must_use]
    pub fn max(&self) -> f64 {
        self.values[self.values.len() - 1]
    }

    /// Type 7 quantile of all samples together; `p` between 0 and 1.
    #[must_use]
    pub fn quantile(&self, p: f64) -> f64 {
        let at = |order| self.values[self.below.partition_point(|&below| below <= order) - 1];
        quantile_by(self.n(), p, at).unwrap_or(f64::NAN)
    }

    /// Median of all samples together.
    #[must_use]
    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// Median of the samples of one stay, by its place.
    #[must_use]
    pub fn stay_median(&self, place: usize) -> f64 {
        let stay = &self.stays[place];
        quantile_by(stay.n(), 0.5, |order| self.values[stay.rank_at(order)]).unwrap_or(f64::NAN)
    }

    /// Whether there are two stays or more, but too few to resample them.
    pub(super) fn has_few_stays(&self) -> bool {
        (2..FEW_STAYS as usize).contains(&self.stays.len())
    }

    /// Medians of the stays, in their order.
    pub(super) fn stay_medians(&self) -> Vec<f64> {
        (0..self.stays.len())
            .map(|place| self.stay_median(place))
            .collect()
    }
}

/// Values with how often each was seen.
fn counted(samples: &Samples) -> Result<Vec<(f64, u64)>, String> {
    match samples {
        Samples::Values(values) => Ok(values.iter().map(|&value| (value, 1)).collect()),
        Samples::Hdr(text) => {
            let bytes = BASE64
                .decode(text.as_bytes())
                .map_err(|error| format!("histogram: {error}"))?;
            let histogram: Histogram<u64> = Deserializer::new()
                .deserialize(&mut bytes.as_slice())
                .map_err(|error| format!("histogram: {error:?}"))?;
            Ok(histogram
                .iter_recorded()
                .map(|step| {
                    (
                        histogram.median_equivalent(step.value_iterated_to()) as f64,
                        step.count_at_value(),
                    )
                })
                .collect())
        }
    }
}

/// What is left of a stay's samples where only their middle is asked for: how many there are, their type 7
/// median, and whether they are all equal. Values that are not finite are left out, as in [`Sample::new`].
///
/// # Errors
/// As [`Sample::check`].
pub(crate) fn middle_of(samples: &Samples) -> Result<Option<(u64, f64, bool)>, String> {
    let mut pairs: Vec<(f64, u64)> = counted(samples)?;
    pairs.retain(|(value, _)| value.is_finite());
    if let Samples::Values(_) = samples {
        // One of each: the middle is found without sorting.
        let n = pairs.len();
        if n == 0 {
            return Ok(None);
        }
        let order = |a: &(f64, u64), b: &(f64, u64)| a.0.total_cmp(&b.0);
        let constant = pairs.iter().all(|(value, _)| *value == pairs[0].0);
        let (below, middle, _) = pairs.select_nth_unstable_by(n / 2, order);
        let upper = middle.0;
        let lower = if n % 2 == 1 {
            upper
        } else {
            below
                .iter()
                .map(|(value, _)| *value)
                .fold(f64::MIN, f64::max)
        };
        return Ok(Some((n as u64, lower + 0.5 * (upper - lower), constant)));
    }
    Ok(Sample::new([(0, samples)])
        .map(|sample| (sample.n(), sample.median(), sample.min() == sample.max())))
}
