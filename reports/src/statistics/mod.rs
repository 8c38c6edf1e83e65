//! Quantiles, intervals, ratios and fits. The *stay* is the unit of replication: samples of one stay
//! share its lab, so they say less than their number promises.
//!
//! An interval is a percentile bootstrap in two stages (Davison and Hinkley, *Bootstrap Methods and
//! their Application*, 1997, §3.8): draw as many stays as there are, with replacement; from each drawn
//! stay draw as many samples as it has, with replacement; compute the statistic; repeat
//! [`RESAMPLES`] times. With infinitely many stays the interval would run from the 2.5 % to the 97.5 %
//! quantile of what came out; with fewer, resampling understates the spread, and the tails are taken
//! further out: at Φ(−√(S/(S−1))·t) for S stays, t being the 97.5 % point of Student's distribution with
//! S − 1 degrees of freedom (the expanded percentile interval of Hesterberg, *The American Statistician*
//! 69(4), 2015, §3.3; over several sizes S is the smallest number of stays and the degrees of freedom add
//! up). With two to four stays ([`FEW_STAYS`]) no tail is far enough out, because a resample cannot leave
//! the range of the stays: the intervals of medians and of ratios are then Student's, from the medians of
//! the stays (module `few`), and at least as wide as the bootstrap's. With one stay only the second stage varies, S is its number of samples, and the interval is too
//! narrow by what differs between stays: the number of stays is therefore always shown beside it. Where
//! several sizes have one stay each, ratios draw sizes instead and fits take their residuals. Fewer than
//! two samples give no interval.
//!
//! Comparisons ([`mann_whitney`], [`signed_rank`], [`permutation`], [`aligned_ranks`]) draw nothing but
//! exchanges of labels: their units are stays throughout.
//! `reports/tests/reference.rs` holds all of these against SciPy.
//!
//! Drawing is by Xoshiro256++ seeded from the data's identity ([`seed_of`]), so that a report of the
//! same results is the same report.

mod correction;
mod few;
mod fit;
mod middle;
mod normal;
mod paired;
mod permutation;
mod ranks;
mod ratio;
mod resample;
mod sample;
mod two_sample;

pub use correction::benjamini_hochberg;
pub use few::{FEW_STAYS, interval_of_few, student_shift};
pub use fit::{Fitted, LINEAR_SIZES, PROPORTIONAL_SIZES, Size, linear, power, proportional};
pub use normal::{normal_below, normal_point};
pub use paired::{least_signed_rank, middle_of_differences, signed_rank};
pub use permutation::{Exchangeable, aligned_ranks, aligned_shift, permutation};
pub use ratio::{Ratio, Stratum, ratio_of_independent, ratio_of_medians};
pub use resample::{
    Scratch, interval_of_medians, median_interval, resampled_medians, resampled_middles,
};
pub use sample::Sample;
pub(crate) use sample::middle_of;
pub use two_sample::{Shift, cliffs_delta, least_mann_whitney, mann_whitney, shift};

use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;

/// Resamples behind every interval. The 2.5 % quantile of 2,000 lies between their 50th and 51st: its
/// own sampling error is about a tenth of the interval's half width.
pub const RESAMPLES: usize = 2_000;

/// A seed that depends on what is estimated and nothing else: FNV-1a, 64 bits, of its name.
#[must_use]
pub fn seed_of(identity: &str) -> u64 {
    identity.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

fn generator(seed: u64) -> Xoshiro256PlusPlus {
    Xoshiro256PlusPlus::seed_from_u64(seed)
}

/// Type 7 quantile (Hyndman and Fan, *The American Statistician* 50(4), 1996; the default of R and
/// NumPy) of ascending values: linear between the order statistics around `(n − 1)·p`.
///
/// `None` when there are no values. `p` is between 0 and 1.
#[must_use]
pub fn quantile(ascending: &[f64], p: f64) -> Option<f64> {
    quantile_by(ascending.len() as u64, p, |rank| ascending[rank as usize])
}

/// The same where only "the value at 0-based rank r" is known.
fn quantile_by(n: u64, p: f64, value: impl Fn(u64) -> f64) -> Option<f64> {
    let last = n.checked_sub(1)?;
    let h = last as f64 * p;
    let below = (h.floor() as u64).min(last);
    let above = (below + 1).min(last);
    let (low, high) = (value(below), value(above));
    Some(low + (h - below as f64) * (high - low))
}

/// What stands behind the spread of resamples.
#[derive(Debug, Clone, Copy)]
struct Replication {
    /// Degrees of freedom of the spread.
    freedom: u64,
    /// How many units are drawn with replacement from as many; of several groups, the smallest.
    group: u64,
}

impl Replication {
    /// One group of independent units.
    fn of(units: u64) -> Self {
        Self {
            freedom: units.saturating_sub(1),
            group: units,
        }
    }

    /// What is cut off at either end of the resamples. `None` where nothing is replicated.
    fn tail(self) -> Option<f64> {
        if self.group < 2 {
            return None;
        }
        let group = self.group as f64;
        let widened = student(self.freedom)? * (group / (group - 1.0)).sqrt();
        Some(normal_below(-widened))
    }
}

/// 97.5 % points of Student's distribution with 1 to 30 degrees of freedom
/// (`scipy.stats.t.ppf(.975, range(1, 31))`, SciPy 1.17.1).
const STUDENT: [f64; 30] = [
    12.706205, 4.302653, 3.182446, 2.776445, 2.570582, 2.446912, 2.364624, 2.306004, 2.262157,
    2.228139, 2.200985, 2.178813, 2.160369, 2.144787, 2.131450, 2.119905, 2.109816, 2.100922,
    2.093024, 2.085963, 2.079614, 2.073873, 2.068658, 2.063899, 2.059539, 2.055529, 2.051831,
    2.048407, 2.045230, 2.042272,
];

/// The 97.5 % point of Student's distribution. `None` without a degree of freedom. Beyond the table by
/// expansion around the normal distribution (Abramowitz and Stegun, 26.7.5, three terms).
fn student(freedom: u64) -> Option<f64> {
    if let Some(point) = STUDENT.get(freedom.checked_sub(1)? as usize) {
        return Some(*point);
    }
    let (v, z) = (freedom as f64, 1.959_963_984_540_054_f64);
    let first = (z.powi(3) + z) / 4.0;
    let second = (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / 96.0;
    Some(z + first / v + second / v.powi(2))
}

/// The interval of what the resamples gave. `None` where nothing is replicated, or when fewer than half
/// of the wanted resamples could be computed.
fn percentile_interval(mut estimates: Vec<f64>, behind: Replication) -> Option<[f64; 2]> {
    let tail = behind.tail()?;
    estimates.retain(|estimate| estimate.is_finite());
    if estimates.len() < RESAMPLES / 2 {
        return None;
    }
    let first = estimates[0];
    if estimates.iter().all(|estimate| *estimate == first) {
        return Some([first; 2]);
    }
    Some([
        quantile_of_unsorted(&mut estimates, tail)?,
        quantile_of_unsorted(&mut estimates, 1.0 - tail)?,
    ])
}

/// [`quantile`] of values in any order, which it changes: two of 2,000 are found without sorting all.
fn quantile_of_unsorted(values: &mut [f64], p: f64) -> Option<f64> {
    let last = values.len().checked_sub(1)?;
    let h = last as f64 * p;
    let below = (h.floor() as usize).min(last);
    let (_, low, above) = values.select_nth_unstable_by(below, f64::total_cmp);
    let low = *low;
    let high = above.iter().copied().min_by(f64::total_cmp).unwrap_or(low);
    Some(low + (h - below as f64) * (high - low))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn students_points_agree_with_scipy_inside_and_beyond_the_table() {
        // t.ppf(.975, [3, 31, 100])
        for (freedom, expected) in [(3, 3.182_446), (31, 2.039_513_4), (100, 1.983_971_5)] {
            assert!(
                (student(freedom).unwrap() - expected).abs() < 1e-4,
                "{freedom}"
            );
        }
        assert_eq!(student(0), None);
    }

    #[test]
    fn quantiles_of_unsorted_values_are_those_of_sorted_ones() {
        let mut values: Vec<f64> = (0..101).map(|v| f64::from(v * 37 % 101)).collect();
        values.extend([5.0, 5.0, 70.0]);
        let mut sorted = values.clone();
        sorted.sort_by(f64::total_cmp);
        for p in [0.0, 0.001, 0.025, 0.5, 0.7431, 0.975, 1.0] {
            assert_eq!(
                quantile_of_unsorted(&mut values, p),
                quantile(&sorted, p),
                "{p}"
            );
        }
        assert_eq!(quantile_of_unsorted(&mut [], 0.5), None);
    }

    #[test]
    fn tails_agree_with_scipy() {
        // norm.cdf(-(S/(S-1))**.5 * t.ppf(.975, S-1)) for S = 5, 15, 30, SciPy 1.17.1
        for (units, expected) in [(5, 0.000_954_10), (15, 0.013_207_17), (30, 0.018_753_90)] {
            let seen = Replication::of(units).tail().unwrap();
            assert!((seen - expected).abs() < 1e-7, "{units}: {seen}");
        }
        assert_eq!(Replication::of(1).tail(), None);
        let many = Replication::of(100_000).tail().unwrap();
        assert!((many - 0.025).abs() < 1e-5, "{many}");
    }
}
