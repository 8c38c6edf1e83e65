//! The samples of one cell and metric, grouped by stay.

use std::collections::BTreeMap;

use data_encoding::BASE64;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use schema::Samples;

use super::quantile_by;

/// Samples of one cell and metric, grouped by stay. Never empty.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Distinct values, ascending.
    values: Vec<f64>,
    /// `below[r]`: samples under `values[r]`; one entry more than `values`.
    below: Vec<u64>,
    /// Number and median of each stay, by number: the order in which lines were written does not matter.
    stays: Vec<(u32, f64)>,
}

impl Sample {
    /// Groups samples by stay; entries with the same stay are one. `None` without samples.
    ///
    /// Values that are not finite cannot come out of JSON and are left out.
    #[must_use]
    pub fn new<'a>(stays: impl IntoIterator<Item = (u32, &'a Samples)>) -> Option<Self> {
        let mut grouped: BTreeMap<u32, Vec<(f64, u64)>> = BTreeMap::new();
        for (stay, samples) in stays {
            let mut counted = counted(samples).ok()?;
            counted.retain(|(value, _)| value.is_finite());
            grouped.entry(stay).or_default().append(&mut counted);
        }
        let mut medians = Vec::new();
        for (stay, values) in &mut grouped {
            values.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
            let own = Self::pooled(values.iter().copied());
            medians.extend((!values.is_empty()).then(|| (*stay, own.median())));
        }
        let mut all: Vec<(f64, u64)> = grouped.into_values().flatten().collect();
        all.sort_by(|a, b| a.0.total_cmp(&b.0));
        (!all.is_empty()).then(|| Self {
            stays: medians,
            ..Self::pooled(all.into_iter())
        })
    }

    /// Ascending values with how often each was seen, of no stay.
    fn pooled(ascending: impl Iterator<Item = (f64, u64)>) -> Self {
        let (mut values, mut below) = (Vec::new(), vec![0]);
        for (value, count) in ascending {
            let so_far = below.last().copied().unwrap_or(0) + count;
            if values.last() == Some(&value) {
                below.pop();
            } else {
                values.push(value);
            }
            below.push(so_far);
        }
        Self {
            values,
            below,
            stays: Vec::new(),
        }
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

    /// Number in the run and median of each stay, by number.
    #[must_use]
    pub fn stays(&self) -> &[(u32, f64)] {
        &self.stays
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
