//! Quantiles, intervals, ratios and fits. The *stay* is the unit of replication: samples of one stay
//! share its lab, so they say less than their number promises.
//!
//! Every interval is a percentile bootstrap in two stages (Davison and Hinkley, *Bootstrap Methods and
//! their Application*, 1997, §3.8): draw as many stays as there are, with replacement; from each drawn
//! stay draw as many samples as it has, with replacement; compute the statistic; repeat
//! [`RESAMPLES`] times; the interval runs from the 2.5 % to the 97.5 % quantile of what came out. With
//! one stay only the second stage varies, and the interval is too narrow by what differs between stays:
//! the number of stays is therefore always shown beside it. Fewer than two samples give no interval.
//!
//! Drawing is by Xoshiro256++ seeded from the data's identity ([`seed_of`]), so that a report of the
//! same results is the same report.

mod fit;
mod ratio;
mod sample;

pub use fit::{Fitted, LINEAR_SIZES, Size, linear, power};
pub use ratio::{Ratio, Stratum, ratio_of_independent, ratio_of_medians};
pub use sample::{Sample, Scratch, median_interval, resampled_medians};

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

/// The middle 95 % of what the resamples gave. `None` when fewer than half of the wanted resamples
/// could be computed.
pub(crate) fn percentile_interval(mut estimates: Vec<f64>) -> Option<[f64; 2]> {
    estimates.retain(|estimate| estimate.is_finite());
    if estimates.len() < RESAMPLES / 2 {
        return None;
    }
    estimates.sort_by(f64::total_cmp);
    Some([quantile(&estimates, 0.025)?, quantile(&estimates, 0.975)?])
}
