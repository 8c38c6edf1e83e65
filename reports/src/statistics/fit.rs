//! How a cost grows with N: a curve through each block, and the median of the blocks' curves.
//!
//! The stays of a block share a population, so that a block is the unit of replication: what a population adds at all
//! sizes alike is seen between blocks only. A block that lacks a size has no curve. Of an estimate is known what
//! [`Known`] says of its blocks.

use super::{Known, median};

/// A line through fewer sizes than this cannot show that it is none.
pub const LINEAR_SIZES: usize = 4;

/// Sizes behind a line of what is in proportion to N by construction (memory, rules): it is not asked
/// whether it is a line but how steep it is.
pub const PROPORTIONAL_SIZES: usize = 3;

/// Sizes from which a curve of three parameters can be told from its last stretch.
pub const POWER_SIZES: usize = 5;

/// What is fitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Curve {
    /// a + b·N.
    Line,
    /// c·N^k.
    Power,
    /// a + c·N^k with a ≥ 0, c ≥ 0: least squares of relative distances.
    OffsetPower,
}

/// A curve's three parameters: a + c·N^k.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Parameters {
    a: f64,
    c: f64,
    k: f64,
}

/// One of them.
type Of = fn(&Parameters) -> f64;

impl Parameters {
    fn at(self, n: f64) -> f64 {
        self.a + self.c * n.powf(self.k)
    }
}

/// A fitted curve.
#[derive(Debug, Clone, PartialEq)]
pub struct Fitted {
    /// a, of a power without it c.
    pub intercept: Known,
    /// c of a + c·N^k.
    pub coefficient: Option<f64>,
    /// b or k.
    pub estimate: Known,
    /// How far the value of the farthest size is from the curve, as a share of it; which size; and whether the curve
    /// leaves that size's interval. `None` where there are no more sizes than parameters.
    pub misfit: Option<(usize, f64, Option<bool>)>,
}

/// Fits a curve to each block's values at these N. `None` without a block, or where a curve is not determined.
#[must_use]
pub fn fit(curve: Curve, sizes: &[u32], blocks: &[Vec<f64>], counted: bool) -> Option<Fitted> {
    let ns: Vec<f64> = sizes.iter().map(|n| f64::from(*n)).collect();
    let found: Option<Vec<Parameters>> = blocks
        .iter()
        .map(|values| match curve {
            Curve::Line => line(&ns, values).map(|(a, c)| Parameters { a, c, k: 1.0 }),
            Curve::Power => power(&ns, values),
            Curve::OffsetPower => offset_power(&ns, values),
        })
        .collect();
    let found = found.filter(|found| !found.is_empty())?;
    let known = |of: Of| Known::of(&found.iter().map(of).collect::<Vec<_>>(), counted);
    let (intercept, estimate, parameters): (Of, Of, usize) = match curve {
        Curve::Line => (|p| p.a, |p| p.c, 2),
        Curve::Power => (|p| p.c, |p| p.k, 2),
        Curve::OffsetPower => (|p| p.a, |p| p.k, 3),
    };
    let coefficient = known(|p| p.c).filter(|_| curve == Curve::OffsetPower);
    Some(Fitted {
        intercept: known(intercept)?,
        coefficient: coefficient.map(|known| known.value),
        estimate: known(estimate)?,
        misfit: (ns.len() > parameters)
            .then(|| misfit(&ns, blocks, &found))
            .flatten(),
    })
}

/// The slope of the line through values at these N, with its intercept first.
#[must_use]
pub fn line(ns: &[f64], values: &[f64]) -> Option<(f64, f64)> {
    let mean = |of: &[f64]| of.iter().sum::<f64>() / of.len() as f64;
    let (x, y) = (mean(ns), mean(values));
    let squares: f64 = ns.iter().map(|n| (n - x).powi(2)).sum();
    let products: f64 = ns.iter().zip(values).map(|(n, v)| (n - x) * (v - y)).sum();
    let slope = products / squares;
    slope.is_finite().then_some((y - slope * x, slope))
}

fn power(ns: &[f64], values: &[f64]) -> Option<Parameters> {
    let logs = |of: &[f64]| of.iter().map(|v| v.ln()).collect::<Vec<_>>();
    let (c, k) = line(&logs(ns), &logs(values))?;
    Some(Parameters {
        a: 0.0,
        c: c.exp(),
        k,
    })
}

/// Exponents that are tried: from a curve that is all but flat to a cube.
const EXPONENTS: std::ops::RangeInclusive<u32> = 1..=60;
const STEP: f64 = 0.05;

fn offset_power(ns: &[f64], values: &[f64]) -> Option<Parameters> {
    if !values.iter().all(|value| *value > 0.0 && value.is_finite()) {
        return None;
    }
    let largest = ns.iter().copied().fold(1.0, f64::max);
    let at = |k: f64| given(k, largest, ns, values);
    let loss = |k: f64| at(k).1;
    let best = EXPONENTS
        .min_by(|a, b| loss(STEP * f64::from(*a)).total_cmp(&loss(STEP * f64::from(*b))))?;
    // Golden section between the neighbours of the best.
    let ratio = 0.5 * (5.0_f64.sqrt() - 1.0);
    let (mut low, mut high) = (STEP * f64::from(best - 1), STEP * f64::from(best + 1));
    while high - low > 1e-6 {
        let (left, right) = (high - ratio * (high - low), low + ratio * (high - low));
        if loss(left) <= loss(right) {
            high = right;
        } else {
            low = left;
        }
    }
    let (parameters, _) = at(0.5 * (low + high));
    // Of a constant there is nothing but the fixed part: N to the power of nothing.
    let grown = parameters.c * largest.powf(parameters.k);
    Some(if grown <= 1e-9 * parameters.a {
        Parameters {
            c: 0.0,
            k: 0.0,
            ..parameters
        }
    } else {
        parameters
    })
}

/// The best a and c for an exponent, and the sum of squared relative distances.
fn given(k: f64, largest: f64, ns: &[f64], values: &[f64]) -> (Parameters, f64) {
    // In parts of the value: the line 1 = a·(1/y) + c·(u/y).
    let rows = || {
        ns.iter()
            .zip(values)
            .map(|(n, y)| (1.0 / y, (n / largest).powf(k) / y))
    };
    let sum = |of: fn((f64, f64)) -> f64| rows().map(of).sum::<f64>();
    let (pp, pq, qq) = (
        sum(|(p, _)| p * p),
        sum(|(p, q)| p * q),
        sum(|(_, q)| q * q),
    );
    let (p, q) = (sum(|(p, _)| p), sum(|(_, q)| q));
    let determinant = pp * qq - pq * pq;
    let (mut a, mut c) = (
        (p * qq - q * pq) / determinant,
        (q * pp - p * pq) / determinant,
    );
    if !(a >= 0.0 && c >= 0.0) {
        let loss_of = |a: f64, c: f64| {
            rows()
                .map(|(p, q)| (1.0 - a * p - c * q).powi(2))
                .sum::<f64>()
        };
        let (flat, steep) = (p / pp, q / qq);
        (a, c) = if loss_of(flat, 0.0) <= loss_of(0.0, steep) {
            (flat, 0.0)
        } else {
            (0.0, steep)
        };
    }
    let loss = rows().map(|(p, q)| (1.0 - a * p - c * q).powi(2)).sum();
    (
        Parameters {
            a,
            c: c / largest.powf(k),
            k,
        },
        loss,
    )
}

fn misfit(
    ns: &[f64],
    blocks: &[Vec<f64>],
    curves: &[Parameters],
) -> Option<(usize, f64, Option<bool>)> {
    let places = ns.iter().enumerate();
    let misfits = places.filter_map(|(place, n)| {
        let curve = median(curves.iter().map(|curve| curve.at(*n)))?;
        let values: Vec<f64> = blocks.iter().map(|block| block[place]).collect();
        let known = Known::of_stays(&values)?;
        let relative = known.value / curve - 1.0;
        let beyond = known.ci95.map(|[low, high]| curve < low || high < curve);
        relative.is_finite().then_some((place, relative, beyond))
    });
    misfits.max_by(|a, b| a.1.abs().total_cmp(&b.1.abs()))
}
