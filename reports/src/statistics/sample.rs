//! The samples of one cell and metric, grouped by stay.

use std::collections::BTreeMap;

use super::quantile;

/// Samples of one cell and metric, grouped by stay. Never empty.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Ascending.
    values: Vec<f64>,
    /// Number and median of each stay, by number: the order in which lines were written does not matter.
    stays: Vec<(u32, f64)>,
}

impl Sample {
    /// Groups samples by stay; entries with the same stay are one. `None` without samples.
    ///
    /// Values that are not finite cannot come out of JSON and are left out.
    #[must_use]
    pub fn new<'a>(stays: impl IntoIterator<Item = (u32, &'a [f64])>) -> Option<Self> {
        let mut grouped: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
        for (stay, values) in stays {
            let finite = values.iter().copied().filter(|value| value.is_finite());
            grouped.entry(stay).or_default().extend(finite);
        }
        let mut medians = Vec::new();
        for (stay, values) in &mut grouped {
            values.sort_unstable_by(f64::total_cmp);
            medians.extend(quantile(values, 0.5).map(|median| (*stay, median)));
        }
        let mut values: Vec<f64> = grouped.into_values().flatten().collect();
        values.sort_by(f64::total_cmp);
        (!values.is_empty()).then_some(Self {
            values,
            stays: medians,
        })
    }

    /// Samples in all.
    #[must_use]
    pub fn n(&self) -> u64 {
        self.values.len() as u64
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
        quantile(&self.values, p).unwrap_or(f64::NAN)
    }

    /// Median of all samples together.
    #[must_use]
    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }
}

/// What is left of a stay's samples where only their middle is asked for: how many there are, their type 7
/// median, and whether they are all equal. Values that are not finite are left out, as in [`Sample::new`]; `None`
/// without others.
pub(crate) fn middle_of(samples: &[f64]) -> Option<(u64, f64, bool)> {
    let finite = samples.iter().copied().filter(|value| value.is_finite());
    let mut values: Vec<f64> = finite.collect();
    let n = values.len();
    let first = *values.first()?;
    let constant = values.iter().all(|value| *value == first);
    // The middle is found without sorting.
    let (below, upper, _) = values.select_nth_unstable_by(n / 2, f64::total_cmp);
    let lower = match n % 2 {
        1 => *upper,
        _ => below.iter().copied().fold(f64::MIN, f64::max),
    };
    Some((n as u64, lower + 0.5 * (*upper - lower), constant))
}
