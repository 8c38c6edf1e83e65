//! The median of values that are drawn with replacement, without drawing them.
//!
//! Drawing a value is taking the quantile of a uniform number, and quantiles keep order: the k-th smallest of n
//! draws is the quantile of the k-th smallest of n uniform numbers, which is Beta(k, n + 1 − k) (David and
//! Nagaraja, *Order Statistics*, 2003, §2.1). One number is drawn instead of n, with the same distribution.

use rand::{Rng, RngExt};
use rand_distr::{Beta, Distribution};

use super::Sample;

/// The middle of n draws.
#[derive(Debug, Clone, Copy)]
pub(super) struct Middle {
    /// The middle uniform number, of an even n the lower of the two.
    lower: Beta<f64>,
    /// Of an even n: 1 ÷ how many uniform numbers lie above it.
    above: Option<f64>,
}

impl Middle {
    /// `None` without draws.
    pub(super) fn of(n: u64) -> Option<Self> {
        let k = n.div_ceil(2);
        Some(Self {
            lower: Beta::new(k as f64, (n + 1 - k) as f64).ok()?,
            above: n.is_multiple_of(2).then(|| 1.0 / (n - k) as f64),
        })
    }

    /// The median of n draws from what has these quantiles.
    pub(super) fn median(self, rng: &mut impl Rng, quantile: impl Fn(f64) -> f64) -> f64 {
        let lower = self.lower.sample(rng);
        match self.above {
            None => quantile(lower),
            Some(exponent) => {
                // The smallest of as many uniform numbers between the lower one and 1.
                let step = 1.0 - rng.random::<f64>().powf(exponent);
                0.5 * (quantile(lower) + quantile(lower + (1.0 - lower) * step))
            }
        }
    }
}

/// Samples of a stay up to which everything that its resampled median can be is listed.
const LISTED: u64 = 16;

/// Everything that the resampled median of a stay, drawn at random among its like, can be.
#[derive(Debug)]
pub(super) struct StayMedians {
    /// Ascending.
    values: Vec<f64>,
    /// `up_to[i]`: how likely it is one of `values[..=i]`.
    up_to: Vec<f64>,
}

impl StayMedians {
    /// `None` when a stay has more than [`LISTED`] samples.
    pub(super) fn of(sample: &Sample) -> Option<Self> {
        let mut likely: Vec<(f64, f64)> = Vec::new();
        let mut known: Vec<(u64, Vec<Outcome>)> = Vec::new();
        let each = 1.0 / sample.stays.len() as f64;
        for stay in &sample.stays {
            let n = stay.n();
            if n > LISTED {
                return None;
            }
            let at = known.iter().position(|(size, _)| *size == n);
            let at = at.unwrap_or_else(|| {
                known.push((n, outcomes(n as u32)));
                known.len() - 1
            });
            let value = |order: u32| sample.values[stay.listed()[order as usize] as usize];
            likely.extend(known[at].1.iter().map(|outcome| {
                let value = 0.5 * (value(outcome.lower) + value(outcome.upper));
                (value, each * outcome.likely)
            }));
        }
        likely.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let mut sum = 0.0;
        let up_to = likely.iter().map(|(_, likely)| {
            sum += likely;
            sum
        });
        Some(Self {
            up_to: up_to.collect(),
            values: likely.iter().map(|(value, _)| *value).collect(),
        })
    }

    /// The quantile of a uniform number.
    pub(super) fn at(&self, uniform: f64) -> f64 {
        let place = self.up_to.partition_point(|up_to| *up_to <= uniform);
        // Rounded, the last sum may lie below 1.
        self.values[place.min(self.values.len() - 1)]
    }
}

/// Between which of n samples (0-based, ascending; the same twice when n is odd) the median of n draws lies,
/// and how likely that is.
#[derive(Debug, Clone, Copy)]
struct Outcome {
    lower: u32,
    upper: u32,
    likely: f64,
}

fn outcomes(n: u32) -> Vec<Outcome> {
    let k = n.div_ceil(2);
    let share = |samples: u32| f64::from(samples) / f64::from(n);
    let ways = |m: u32| (0..m).fold(1.0, |ways, i| ways * f64::from(n - i) / f64::from(i + 1));
    // The k-th smallest draw is among the lowest `samples`: k draws or more fell there.
    let low_within = |samples: u32| -> f64 {
        let p = share(samples);
        (k..=n)
            .map(|m| ways(m) * p.powi(m as i32) * (1.0 - p).powi((n - m) as i32))
            .sum()
    };
    // k draws fell among the lowest `low`, all others beyond the lowest `high`.
    let parted = |low: u32, high: u32| {
        let above = 1.0 - share(high);
        ways(k) * share(low).powi(k as i32) * above.powi((n - k) as i32)
    };
    let mut found = Vec::new();
    for lower in 0..n {
        let mut rest = low_within(lower + 1) - low_within(lower);
        if n.is_multiple_of(2) {
            let beyond = |high: u32| parted(lower + 1, high) - parted(lower, high);
            for upper in lower + 1..n {
                let likely = beyond(upper) - beyond(upper + 1);
                rest -= likely;
                found.push(Outcome {
                    lower,
                    upper,
                    likely,
                });
            }
        }
        found.push(Outcome {
            lower,
            upper: lower,
            likely: rest,
        });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same by going through every resample of n samples.
    fn counted(n: u32) -> Vec<((u32, u32), f64)> {
        let all = u64::from(n).pow(n);
        let mut seen = std::collections::BTreeMap::new();
        for number in 0..all {
            let mut left = number;
            let mut draws: Vec<u32> = (0..n)
                .map(|_| {
                    let draw = (left % u64::from(n)) as u32;
                    left /= u64::from(n);
                    draw
                })
                .collect();
            draws.sort_unstable();
            let middle = (draws[(n as usize - 1) / 2], draws[n as usize / 2]);
            *seen.entry(middle).or_insert(0.0) += 1.0 / all as f64;
        }
        seen.into_iter().collect()
    }

    #[test]
    fn what_a_median_can_be_is_as_likely_as_going_through_every_resample_shows() {
        for n in 1..=6 {
            let found = outcomes(n);
            let likely = |middle: (u32, u32)| -> f64 {
                let same = |o: &&Outcome| (o.lower, o.upper) == middle;
                found.iter().filter(same).map(|o| o.likely).sum()
            };
            for (middle, wanted) in counted(n) {
                let seen = likely(middle);
                assert!(
                    (seen - wanted).abs() < 1e-12,
                    "{n} {middle:?}: {seen} {wanted}"
                );
            }
        }
        for n in 1..=LISTED as u32 {
            let sum: f64 = outcomes(n).iter().map(|o| o.likely).sum();
            assert!((sum - 1.0).abs() < 1e-12, "{n}: {sum}");
        }
    }
}
