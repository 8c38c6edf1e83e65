//! What is known of values ([`Known`]), quantiles and fits. The *stay* is the unit of replication: samples of one stay
//! share its lab, so they say less than their number promises. Nothing is drawn for an interval.
//!
//! Comparisons ([`mann_whitney`], [`signed_rank`], [`permutation`], [`aligned_ranks`]) draw nothing but
//! exchanges of labels: their units are stays throughout.
//! `reports/tests/reference.rs` holds all of these against SciPy.
//!
//! Labels are exchanged by Xoshiro256++ seeded from the data's identity ([`seed_of`]), so that a comparison of the
//! same results is the same comparison.

mod change_points;
mod correction;
mod fit;
mod interval;
mod normal;
mod paired;
mod permutation;
mod ranks;
mod sample;
mod two_sample;

pub use change_points::{ChangePoints, change_points};
pub use correction::benjamini_hochberg;
pub use fit::{Curve, Fitted, LINEAR_SIZES, POWER_SIZES, PROPORTIONAL_SIZES, fit, line};
pub use interval::{Known, LEAST, SEEDS, median_interval, quotient_interval};
pub use normal::{LOWEST_FORTIETH, normal_below};
pub use paired::{middle_of_differences, signed_rank};
pub use permutation::{Exchangeable, aligned_ranks, aligned_shift, permutation};
pub use sample::Sample;
pub(crate) use sample::middle_of;
pub use two_sample::{Shift, cliffs_delta, least_mann_whitney, mann_whitney, shift, stays_to_tell};

use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;

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
    let last = ascending.len().checked_sub(1)?;
    let h = last as f64 * p;
    let below = (h.floor() as usize).min(last);
    let (low, high) = (ascending[below], ascending[(below + 1).min(last)]);
    let share = h - below as f64;
    // Between what is infinite there is no step, and no share of an infinite one.
    Some(if share == 0.0 || low == high {
        low
    } else {
        low + share * (high - low)
    })
}

/// The same of values in any order, in their middle.
#[must_use]
pub fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut ascending: Vec<f64> = values.into_iter().collect();
    ascending.sort_unstable_by(f64::total_cmp);
    quantile(&ascending, 0.5)
}

/// The smallest and the largest value; `None` without values.
pub(crate) fn extremes(values: &[f64]) -> Option<[f64; 2]> {
    let least = values.iter().copied().min_by(f64::total_cmp)?;
    Some([least, values.iter().copied().max_by(f64::total_cmp)?])
}
