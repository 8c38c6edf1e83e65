//! Paired differences: is their middle zero, and how large is it?

use super::normal::{LOWEST_FORTIETH, two_sided};
use super::permutation::crossing;
use super::ranks::twice_ranks;
use super::two_sample::{Shift, ends, last_within};
use super::{extremes, quantile};

/// Up to this many differences the distribution is counted; beyond, the normal one is as good.
const EXACT_PAIRS: usize = 50;

/// Up to this many differences the means of all their pairs are kept; beyond, the same is found by asking the
/// test.
const MEANS: usize = 1_000;

/// Two-sided p of Wilcoxon's signed-rank test (*Biometrics Bulletin* 1(6), 1945) for the hypothesis that
/// differences are as likely to be d as −d. Up to 50 differences every assignment of signs is counted,
/// ties in size included (so it is a permutation test of the ranks); beyond, the normal distribution with
/// corrections for ties and for continuity. Differences of zero are left out.
///
/// `None` without differences; 1 when all are zero.
#[must_use]
pub fn signed_rank(differences: &[f64]) -> Option<f64> {
    if differences.is_empty() {
        return None;
    }
    let kept: Vec<f64> = differences.iter().copied().filter(|d| *d != 0.0).collect();
    if kept.is_empty() {
        return Some(1.0);
    }
    let (ranks, positive, ties) = signed_ranks(&kept);
    if kept.len() <= EXACT_PAIRS {
        let larger = positive.max(ranks.iter().sum::<u64>() - positive) as usize;
        let counts = sums_of_subsets(&ranks);
        let total: f64 = counts.iter().sum();
        return Some((2.0 * counts[larger..].iter().sum::<f64>() / total).min(1.0));
    }
    let n = kept.len() as f64;
    let variance = n * (n + 1.0) * (2.0 * n + 1.0) / 24.0 - ties / 48.0;
    let distance = (positive as f64 / 2.0 - n * (n + 1.0) / 4.0).abs() - 0.5;
    Some(two_sided(distance.max(0.0) / variance.sqrt()))
}

/// Twice the ranks of differences by size, the sum of those of the positive ones, and the term of ties.
fn signed_ranks(differences: &[f64]) -> (Vec<u64>, u64, f64) {
    let (ranks, ties) = twice_ranks(&differences.iter().map(|d| d.abs()).collect::<Vec<_>>());
    let signed = differences.iter().zip(&ranks);
    let positive = signed
        .filter(|(d, _)| **d > 0.0)
        .map(|(_, rank)| rank)
        .sum();
    (ranks, positive, ties)
}

/// How many subsets have each sum.
fn sums_of_subsets(weights: &[u64]) -> Vec<f64> {
    let whole: u64 = weights.iter().sum();
    let mut counts = vec![0.0; whole as usize + 1];
    counts[0] = 1.0;
    let mut reached = 0;
    for &weight in weights {
        let weight = weight as usize;
        for sum in (0..=reached).rev() {
            counts[sum + weight] += counts[sum];
        }
        reached += weight;
    }
    counts
}

/// The middle of differences: the median of the means of all pairs of them, each with itself included
/// (Hodges and Lehmann), with the values that the signed-rank test at 5 % does not refuse as its
/// interval (Tukey's).
///
/// `None` without differences.
#[must_use]
pub fn middle_of_differences(differences: &[f64]) -> Option<Shift> {
    let n = differences.len();
    if n > MEANS {
        return by_inversion(differences);
    }
    let mut means = Vec::with_capacity(n * (n + 1) / 2);
    for (place, a) in differences.iter().enumerate() {
        means.extend(differences[place..].iter().map(|b| 0.5 * (a + b)));
    }
    means.sort_by(f64::total_cmp);
    let estimate = quantile(&means, 0.5)?;
    let cut = if n <= EXACT_PAIRS {
        let ranks: Vec<u64> = (1..=n as u64).collect();
        last_within(&sums_of_subsets(&ranks), 0.025)
    } else {
        let n = n as f64;
        let deviation = (n * (n + 1.0) * (2.0 * n + 1.0) / 24.0).sqrt();
        Some((n * (n + 1.0) / 4.0 + LOWEST_FORTIETH * deviation - 0.5).floor() as usize)
    };
    Some(Shift {
        estimate,
        ci95: ends(&means, cut),
    })
}

/// The same from many differences: where the deviate of their signed ranks, less a shift, passes 0, 1.96 and
/// −1.96.
fn by_inversion(differences: &[f64]) -> Option<Shift> {
    let [low, high] = extremes(differences)?;
    let passes = |at: f64| crossing(low, high, |by| Some(deviate(differences, by) - at));
    Some(Shift {
        estimate: passes(0.0)?,
        ci95: Some([passes(1.96)?, passes(-1.96)?]),
    })
}

/// The sum of positive ranks, less its expectation, over its deviation.
fn deviate(differences: &[f64], by: f64) -> f64 {
    let moved: Vec<f64> = differences.iter().map(|d| d - by).collect();
    let (_, positive, _) = signed_ranks(&moved);
    let n = moved.len() as f64;
    let variance = n * (n + 1.0) * (2.0 * n + 1.0) / 24.0;
    (positive as f64 / 2.0 - n * (n + 1.0) / 4.0) / variance.sqrt()
}
