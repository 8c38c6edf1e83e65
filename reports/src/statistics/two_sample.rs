//! Two independent samples: does one tend to be larger, and by how much?

use super::normal::{LOWEST_FORTIETH, two_sided};
use super::quantile;
use super::ranks::twice_ranks;

/// Up to this many pairs the distribution of U is counted; beyond, the normal one is as good.
const EXACT_PAIRS: usize = 900;

/// Two-sided p of the Mann–Whitney test (Mann and Whitney, *The Annals of Mathematical Statistics* 18(1),
/// 1947), for the hypothesis that both come from one distribution: exact without ties up to 900
/// pairs of values, else by the normal distribution with corrections for ties and for continuity.
///
/// `None` when a side has no values. 1 when all values are equal.
#[must_use]
pub fn mann_whitney(a: &[f64], b: &[f64]) -> Option<f64> {
    let (n, m) = (a.len(), b.len());
    if n == 0 || m == 0 {
        return None;
    }
    let all: Vec<f64> = a.iter().chain(b).copied().collect();
    let (ranks, ties) = twice_ranks(&all);
    let twice: u64 = ranks[..n].iter().sum();
    let u = twice as f64 / 2.0 - (n * (n + 1)) as f64 / 2.0;
    if ties == 0.0 && n * m <= EXACT_PAIRS {
        let larger = u.max((n * m) as f64 - u) as usize;
        let counts = distribution_of_u(n, m);
        let total: f64 = counts.iter().sum();
        let above: f64 = counts[larger..].iter().sum();
        return Some((2.0 * above / total).min(1.0));
    }
    let (n, m) = (n as f64, m as f64);
    let all = n + m;
    let variance = n * m / 12.0 * (all + 1.0 - ties / (all * (all - 1.0)));
    if variance <= 0.0 {
        return Some(1.0);
    }
    let distance = ((u - n * m / 2.0).abs() - 0.5).max(0.0);
    Some(two_sided(distance / variance.sqrt()))
}

/// The least two-sided p that the exact test can give with so many values.
#[must_use]
pub fn least_mann_whitney(n: usize, m: usize) -> f64 {
    (2.0 / orders(n, m)).min(1.0)
}

/// In how many orders n values of one side and m of another may stand: n + m over n.
pub(super) fn orders(n: usize, m: usize) -> f64 {
    (1..=n).fold(1.0, |ways, i| ways * (m + i) as f64 / i as f64)
}

/// Stays a side with which [`least_mann_whitney`] is at most `p`: fewer cannot tell anything apart so surely. 1,000 where
/// that many do not.
#[must_use]
pub fn stays_to_tell(p: f64) -> usize {
    (2..1_000)
        .find(|n| least_mann_whitney(*n, *n) <= p)
        .unwrap_or(1_000)
}

/// How many of the orders of n and m values give each U from 0 to n·m: the coefficients of the Gaussian
/// binomial, each factor (1 − q^(m+i)) ÷ (1 − q^i) in turn.
fn distribution_of_u(n: usize, m: usize) -> Vec<f64> {
    let mut counts = vec![0.0; n * m + 1];
    counts[0] = 1.0;
    for i in 1..=n {
        for u in (m + i..counts.len()).rev() {
            counts[u] -= counts[u - m - i];
        }
        for u in i..counts.len() {
            counts[u] += counts[u - i];
        }
    }
    counts
}

/// A difference with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shift {
    /// The estimate.
    pub estimate: f64,
    /// Its interval; `None` when there are too few values for one of 95 %.
    pub ci95: Option<[f64; 2]>,
}

/// How far `b` lies above `a`: the median of all differences (Hodges and Lehmann, *The Annals of
/// Mathematical Statistics* 34(2), 1963), with the differences that the Mann–Whitney test at 5 % does not refuse
/// as its interval (Moses's).
///
/// `None` when a side has no values.
#[must_use]
pub fn shift(a: &[f64], b: &[f64]) -> Option<Shift> {
    let mut differences: Vec<f64> = differences(a, b).collect();
    differences.sort_by(f64::total_cmp);
    let estimate = quantile(&differences, 0.5)?;
    let cut = cut_of_u(a.len(), b.len());
    Some(Shift {
        estimate,
        ci95: ends(&differences, cut),
    })
}

/// How far each of `b` lies above each of `a`.
pub(super) fn differences(a: &[f64], b: &[f64]) -> impl Iterator<Item = f64> {
    a.iter().flat_map(move |x| b.iter().map(move |y| y - x))
}

/// The interval that leaves out `cut` differences at either end; `None` when none may be.
pub(super) fn ends(ascending: &[f64], cut: Option<usize>) -> Option<[f64; 2]> {
    let cut = cut?;
    Some([
        *ascending.get(cut)?,
        *ascending.get(ascending.len().checked_sub(cut + 1)?)?,
    ])
}

/// The largest c with P(U ≤ c) ≤ 2.5 %.
fn cut_of_u(n: usize, m: usize) -> Option<usize> {
    if n * m <= EXACT_PAIRS {
        return last_within(&distribution_of_u(n, m), 0.025);
    }
    let (n, m) = (n as f64, m as f64);
    let deviation = (n * m * (n + m + 1.0) / 12.0).sqrt();
    Some((n * m / 2.0 + LOWEST_FORTIETH * deviation - 0.5).floor() as usize)
}

/// The largest index up to which counts add up to no more than `share` of all.
pub(super) fn last_within(counts: &[f64], share: f64) -> Option<usize> {
    let total: f64 = counts.iter().sum();
    let mut below = 0.0;
    let over = counts.iter().position(|count| {
        below += count;
        below > share * total
    })?;
    over.checked_sub(1)
}

/// Cliff's delta (*Psychological Bulletin* 114(3), 1993): the share of pairs in which `b` is larger, less
/// the share in which it is smaller; from −1 to 1.
///
/// `None` when a side has no values.
#[must_use]
pub fn cliffs_delta(a: &[f64], b: &[f64]) -> Option<f64> {
    let pairs = (a.len() * b.len()) as f64;
    let mut below = b.to_vec();
    below.sort_by(f64::total_cmp);
    let sum: f64 = a
        .iter()
        .map(|x| {
            let smaller = below.partition_point(|y| y < x);
            let larger = below.len() - below.partition_point(|y| y <= x);
            larger as f64 - smaller as f64
        })
        .sum();
    (pairs > 0.0).then(|| sum / pairs)
}
