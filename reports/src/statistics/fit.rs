//! How a cost grows with N: least squares through one value a size.
//!
//! The value of a size is the median of its stays' medians, so that one disturbed stay moves nothing
//! and a size with more stays weighs no more than another. Intervals draw stays inside each size and
//! samples inside each stay. Where a size has a single stay nothing tells how far another stay would
//! have been off; then the interval is Student's, from the distances of all sizes to the curve.

use rand::RngExt;

use super::{RESAMPLES, Replication, Sample, generator, percentile_interval, quantile, student};

/// A line through fewer sizes than this cannot show that it is none.
pub const LINEAR_SIZES: usize = 4;

/// Sizes behind a line of what is in proportion to N by construction (memory, rules): it is not asked
/// whether it is a line but how steep it is (DESIGN §7).
pub const PROPORTIONAL_SIZES: usize = 3;

/// One population size.
#[derive(Debug, Clone, Copy)]
pub struct Size<'a> {
    /// N.
    pub services: u32,
    /// Its samples.
    pub sample: &'a Sample,
}

/// A fitted curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fitted {
    /// a of a + b·N, c of c·N^k.
    pub intercept: f64,
    /// Its 95 % interval.
    pub intercept_ci95: [f64; 2],
    /// b or k.
    pub estimate: f64,
    /// Its 95 % interval.
    pub ci95: [f64; 2],
}

/// Fits a + b·N.
///
/// `None` with fewer than [`LINEAR_SIZES`] sizes.
#[must_use]
pub fn linear(sizes: &[Size<'_>], seed: u64) -> Option<Fitted> {
    (sizes.len() >= LINEAR_SIZES)
        .then(|| fit(sizes, seed, |value| value, |value| value))
        .flatten()
}

/// Fits a + b·N to what is in proportion to N by construction.
///
/// `None` with fewer than [`PROPORTIONAL_SIZES`] sizes.
#[must_use]
pub fn proportional(sizes: &[Size<'_>], seed: u64) -> Option<Fitted> {
    (sizes.len() >= PROPORTIONAL_SIZES)
        .then(|| fit(sizes, seed, |value| value, |value| value))
        .flatten()
}

/// Fits c·N^k: a line through the logarithms.
///
/// `None` with fewer than two sizes, with two sizes of which one has a single stay (no distance is left
/// to judge by), or when a value is not positive.
#[must_use]
pub fn power(sizes: &[Size<'_>], seed: u64) -> Option<Fitted> {
    (sizes.len() >= 2)
        .then(|| fit(sizes, seed, f64::ln, f64::exp))
        .flatten()
}

fn fit(
    sizes: &[Size<'_>],
    seed: u64,
    scale: fn(f64) -> f64,
    unscale: fn(f64) -> f64,
) -> Option<Fitted> {
    let xs: Vec<f64> = sizes
        .iter()
        .map(|size| scale(f64::from(size.services)))
        .collect();
    let seen: Vec<f64> = sizes
        .iter()
        .map(|Size { sample, .. }| {
            let places = 0..sample.stays().len();
            scale(middle(
                places.map(|place| sample.stay_median(place)).collect(),
            ))
        })
        .collect();
    let (intercept, estimate) = least_squares(&xs, &seen)?;
    let stays = || sizes.iter().map(|size| size.sample.stays().len() as u64);
    let behind = Replication {
        freedom: stays().map(|stays| stays - 1).sum(),
        group: stays().min()?,
    };
    let [intercepts, estimates] = if behind.group > 1 {
        resampled(sizes, &xs, seed, scale, behind)?
    } else {
        from_residuals(&xs, &seen, (intercept, estimate))?
    };
    Some(Fitted {
        intercept: unscale(intercept),
        intercept_ci95: intercepts.map(unscale),
        estimate,
        ci95: estimates,
    })
}

/// Intervals of intercept and slope by drawing stays inside sizes and samples inside stays.
fn resampled(
    sizes: &[Size<'_>],
    xs: &[f64],
    seed: u64,
    scale: fn(f64) -> f64,
    behind: Replication,
) -> Option<[[f64; 2]; 2]> {
    let mut rng = generator(seed);
    let (mut intercepts, mut estimates) =
        (Vec::with_capacity(RESAMPLES), Vec::with_capacity(RESAMPLES));
    for _ in 0..RESAMPLES {
        let drawn: Vec<f64> = sizes
            .iter()
            .map(|Size { sample, .. }| {
                let stays = sample.stays().len();
                let medians = (0..stays)
                    .map(|_| sample.resampled_stay_median(rng.random_range(0..stays), &mut rng));
                scale(middle(medians.collect()))
            })
            .collect();
        if let Some((a, b)) = least_squares(xs, &drawn) {
            intercepts.push(a);
            estimates.push(b);
        }
    }
    Some([
        percentile_interval(intercepts, behind)?,
        percentile_interval(estimates, behind)?,
    ])
}

/// The textbook intervals of a line: residual standard error with as many degrees of freedom as there
/// are points beyond two.
fn from_residuals(xs: &[f64], ys: &[f64], (a, b): (f64, f64)) -> Option<[[f64; 2]; 2]> {
    let freedom = xs.len().checked_sub(2)?;
    let t = student(freedom as u64)?;
    let n = xs.len() as f64;
    let mean = xs.iter().sum::<f64>() / n;
    let sxx: f64 = xs.iter().map(|x| (x - mean).powi(2)).sum();
    let squares: f64 = xs
        .iter()
        .zip(ys)
        .map(|(x, y)| (y - a - b * x).powi(2))
        .sum();
    let error = (squares / freedom as f64).sqrt();
    let slope = t * error / sxx.sqrt();
    let intercept = t * error * (1.0 / n + mean.powi(2) / sxx).sqrt();
    Some([[a - intercept, a + intercept], [b - slope, b + slope]])
}

fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    quantile(&values, 0.5).unwrap_or(f64::NAN)
}

/// (intercept, slope) of the line with the least squared distance; `None` when it is not determined.
fn least_squares(xs: &[f64], ys: &[f64]) -> Option<(f64, f64)> {
    let n = xs.len() as f64;
    let (mean_x, mean_y) = (xs.iter().sum::<f64>() / n, ys.iter().sum::<f64>() / n);
    let sxx: f64 = xs.iter().map(|x| (x - mean_x).powi(2)).sum();
    let sxy: f64 = xs
        .iter()
        .zip(ys)
        .map(|(x, y)| (x - mean_x) * (y - mean_y))
        .sum();
    let slope = sxy / sxx;
    let intercept = mean_y - slope * mean_x;
    (slope.is_finite() && intercept.is_finite()).then_some((intercept, slope))
}
