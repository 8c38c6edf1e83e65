//! Permutation tests whose units are stays, in strata inside which alone they may be exchanged.
//!
//! Stays of different modes and sizes are not alike; two stays of the same mode and size, one of either
//! side, are when nothing has changed. So labels are exchanged inside strata only (Hodges and Lehmann, *The
//! Annals of Mathematical Statistics* 33(2), 1962, for the aligned ranks).

use rand::RngExt;

use super::normal::two_sided;
use super::ranks::twice_ranks;
use super::two_sample::{Shift, differences, orders};
use super::{extremes, generator, median};

/// Up to this many arrangements all of them are looked at.
const EXACT: f64 = 20_000.0;
/// Else so many are drawn.
const DRAWN: u32 = 19_999;
/// From this many units on, the sum of ranks is normal for all that matters.
const MANY: usize = 60;

/// Up to this many differences their median is looked up; beyond, it is where the test has its middle.
const DIFFERENCES: usize = 1_000_000;

/// Units that may be exchanged for each other: one value a stay.
#[derive(Debug, Clone, Default)]
pub struct Exchangeable {
    /// Values of one side.
    pub a: Vec<f64>,
    /// Values of the other.
    pub b: Vec<f64>,
}

impl Exchangeable {
    fn says_something(&self) -> bool {
        !self.a.is_empty() && !self.b.is_empty()
    }

    fn len(&self) -> usize {
        self.a.len() + self.b.len()
    }

    fn all(&self) -> impl Iterator<Item = f64> {
        self.a.iter().chain(&self.b).copied()
    }
}

/// Two-sided p of the sum of `b`'s values over all strata: the share of arrangements of the labels, inside
/// strata, whose sum is as far from its expectation or farther. All arrangements up to 20,000, else
/// 19,999 drawn ones and the one that was seen (Phipson and Smyth, *Statistical Applications in Genetics and
/// Molecular Biology* 9(1), 2010).
///
/// `None` when no stratum has units of both sides.
#[must_use]
pub fn permutation(strata: &[Exchangeable], seed: u64) -> Option<f64> {
    let strata: Vec<&Exchangeable> = strata.iter().filter(|s| s.says_something()).collect();
    if strata.is_empty() {
        return None;
    }
    let expected: f64 = strata
        .iter()
        .map(|s| s.all().sum::<f64>() * s.b.len() as f64 / s.len() as f64)
        .sum();
    let seen: f64 = strata.iter().flat_map(|s| &s.b).sum::<f64>() - expected;
    let scale: f64 = strata.iter().flat_map(|s| s.all().map(f64::abs)).sum();
    // Sums that are equal but for the order of addition count as equal.
    let as_far = seen.abs() - 1e-12 * scale;
    let arrangements: f64 = strata
        .iter()
        .map(|s| orders(s.a.len(), s.b.len()))
        .product();
    if arrangements <= EXACT {
        let sums = strata.iter().fold(vec![-expected], |sums, stratum| {
            let parts = sums_of_choices(stratum);
            sums.iter()
                .flat_map(|sum| parts.iter().map(move |part| sum + part))
                .collect()
        });
        let far = sums.iter().filter(|sum| sum.abs() >= as_far).count();
        return Some(far as f64 / sums.len() as f64);
    }
    let mut rng = generator(seed);
    let mut pools: Vec<(Vec<f64>, usize)> = strata
        .iter()
        .map(|s| (s.all().collect(), s.b.len()))
        .collect();
    let mut far = 1;
    for _ in 0..DRAWN {
        let mut sum = -expected;
        for (pool, chosen) in &mut pools {
            for place in 0..*chosen {
                let with = rng.random_range(place..pool.len());
                pool.swap(place, with);
                sum += pool[place];
            }
        }
        far += u32::from(sum.abs() >= as_far);
    }
    Some(f64::from(far) / f64::from(DRAWN + 1))
}

/// The sums of every choice of as many units as `b` has.
fn sums_of_choices(stratum: &Exchangeable) -> Vec<f64> {
    let all: Vec<f64> = stratum.all().collect();
    let mut sums = Vec::new();
    choose(&all, stratum.b.len(), 0.0, &mut sums);
    sums
}

fn choose(rest: &[f64], wanted: usize, sum: f64, sums: &mut Vec<f64>) {
    if wanted == 0 {
        sums.push(sum);
        return;
    }
    for place in 0..=rest.len().saturating_sub(wanted) {
        if let Some(value) = rest.get(place) {
            choose(&rest[place + 1..], wanted - 1, sum + value, sums);
        }
    }
}

/// Two-sided p of the aligned rank test: values less the median of their stratum, ranked all together,
/// then [`permutation`] of the ranks; with many units by the normal distribution with the exact variance of
/// that permutation.
///
/// `None` when no stratum has units of both sides.
#[must_use]
pub fn aligned_ranks(strata: &[Exchangeable], seed: u64) -> Option<f64> {
    let strata: Vec<&Exchangeable> = strata.iter().filter(|s| s.says_something()).collect();
    let ranked = rank(&strata)?;
    let units: usize = ranked.iter().map(Exchangeable::len).sum();
    if units < MANY {
        return permutation(&ranked, seed);
    }
    Some(two_sided(deviate(&ranked)))
}

/// How far `b` lies above `a` over all strata: the median of all differences inside strata, with the values
/// that the aligned rank test at 5 % does not refuse as its interval.
#[must_use]
pub fn aligned_shift(strata: &[Exchangeable]) -> Option<Shift> {
    let strata: Vec<&Exchangeable> = strata.iter().filter(|s| s.says_something()).collect();
    let shifted = |by: f64| -> Option<f64> {
        let moved: Vec<Exchangeable> = strata
            .iter()
            .map(|s| Exchangeable {
                a: s.a.clone(),
                b: s.b.iter().map(|v| v - by).collect(),
            })
            .collect();
        Some(deviate(&rank(&moved.iter().collect::<Vec<_>>())?))
    };
    let (low, high) = range_of_differences(&strata)?;
    let passes = |at: f64| crossing(low, high, |by| Some(shifted(by)? - at));
    let pairs: usize = strata.iter().map(|s| s.a.len() * s.b.len()).sum();
    let estimate = if pairs > DIFFERENCES {
        passes(0.0)?
    } else {
        median(strata.iter().flat_map(|s| differences(&s.a, &s.b)))?
    };
    let units: usize = strata.iter().map(|s| s.len()).sum();
    let ends = (units >= 8).then(|| Some([passes(1.96)?, passes(-1.96)?]));
    Some(Shift {
        estimate,
        ci95: ends.flatten(),
    })
}

/// The smallest and the largest difference inside strata.
fn range_of_differences(strata: &[&Exchangeable]) -> Option<(f64, f64)> {
    let ranges = strata.iter().filter_map(|s| {
        let ([a_low, a_high], [b_low, b_high]) = (extremes(&s.a)?, extremes(&s.b)?);
        Some((b_low - a_high, b_high - a_low))
    });
    ranges.reduce(|x, y| (x.0.min(y.0), x.1.max(y.1)))
}

/// Where a falling function passes zero, between `low` and `high`; the end beyond which it would.
pub(super) fn crossing(
    mut low: f64,
    mut high: f64,
    of: impl Fn(f64) -> Option<f64>,
) -> Option<f64> {
    for _ in 0..40 {
        let middle = 0.5 * (low + high);
        if of(middle)? > 0.0 {
            low = middle;
        } else {
            high = middle;
        }
    }
    Some(0.5 * (low + high))
}

/// Twice the ranks of aligned values.
fn rank(strata: &[&Exchangeable]) -> Option<Vec<Exchangeable>> {
    let mut aligned = Vec::new();
    for stratum in strata {
        let middle = median(stratum.all())?;
        aligned.extend(stratum.all().map(|value| value - middle));
    }
    let (ranks, _) = twice_ranks(&aligned);
    let mut from = 0;
    let mut take = |count: usize| -> Vec<f64> {
        let part = ranks[from..from + count]
            .iter()
            .map(|r| *r as f64)
            .collect();
        from += count;
        part
    };
    let ranked = strata.iter().map(|s| Exchangeable {
        a: take(s.a.len()),
        b: take(s.b.len()),
    });
    Some(ranked.collect()).filter(|ranked: &Vec<_>| !ranked.is_empty())
}

/// The sum of `b`'s values, less its expectation, over its deviation under exchange inside strata; pulled
/// to zero by half a step of the ranks (their doubles move by two). 0 when nothing varies.
fn deviate(strata: &[Exchangeable]) -> f64 {
    let (mut distance, mut variance) = (0.0, 0.0);
    for stratum in strata {
        let (n, k) = (stratum.len() as f64, stratum.b.len() as f64);
        let mean = stratum.all().sum::<f64>() / n;
        distance += stratum.b.iter().sum::<f64>() - k * mean;
        let squares: f64 = stratum.all().map(|v| (v - mean).powi(2)).sum();
        if n > 1.0 {
            variance += k * (n - k) / (n * (n - 1.0)) * squares;
        }
    }
    if variance <= 0.0 {
        return 0.0;
    }
    distance.signum() * (distance.abs() - 1.0).max(0.0) / variance.sqrt()
}
