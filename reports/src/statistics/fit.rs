//! How a cost grows with N: least squares through one value a size.
//!
//! The value of a size is the median of its stays' medians, so that one disturbed stay moves nothing
//! and a size with more stays weighs no more than another. Intervals draw stays inside each size and
//! samples inside each stay.

use rand::RngExt;

use super::{RESAMPLES, Sample, generator, percentile_interval, quantile};

/// A line through fewer sizes than this cannot show that it is none.
pub const LINEAR_SIZES: usize = 4;

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
/// `None` with fewer than [`LINEAR_SIZES`] sizes, or when a size has fewer than two samples: what
/// cannot vary would make the interval a lie.
#[must_use]
pub fn linear(sizes: &[Size<'_>], seed: u64) -> Option<Fitted> {
    (sizes.len() >= LINEAR_SIZES).then(|| fit(sizes, seed, |value| value, |value| value)).flatten()
}

/// Fits c·N^k: a line through the logarithms.
///
/// `None` with fewer than two sizes, when a size has fewer than two samples, or when a value is not
/// positive.
#[must_use]
pub fn power(sizes: &[Size<'_>], seed: u64) -> Option<Fitted> {
    (sizes.len() >= 2).then(|| fit(sizes, seed, f64::ln, f64::exp)).flatten()
}

fn fit(sizes: &[Size<'_>], seed: u64, scale: fn(f64) -> f64, unscale: fn(f64) -> f64) -> Option<Fitted> {
    if sizes.iter().any(|size| size.sample.n() < 2) {
        return None;
    }
    let xs: Vec<f64> = sizes.iter().map(|size| scale(f64::from(size.services))).collect();
    let seen: Vec<f64> = sizes
        .iter()
        .map(|size| scale(middle((0..size.sample.stays().len()).map(|place| size.sample.stay_median(place)).collect())))
        .collect();
    let (intercept, estimate) = least_squares(&xs, &seen)?;
    let mut rng = generator(seed);
    let (mut intercepts, mut estimates) = (Vec::with_capacity(RESAMPLES), Vec::with_capacity(RESAMPLES));
    for _ in 0..RESAMPLES {
        let drawn: Vec<f64> = sizes
            .iter()
            .map(|Size { sample, .. }| {
                let stays = sample.stays().len();
                let medians = (0..stays).map(|_| sample.resampled_stay_median(rng.random_range(0..stays), &mut rng));
                scale(middle(medians.collect()))
            })
            .collect();
        if let Some((a, b)) = least_squares(&xs, &drawn) {
            intercepts.push(unscale(a));
            estimates.push(b);
        }
    }
    Some(Fitted {
        intercept: unscale(intercept),
        intercept_ci95: percentile_interval(intercepts)?,
        estimate,
        ci95: percentile_interval(estimates)?,
    })
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
    let sxy: f64 = xs.iter().zip(ys).map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let slope = sxy / sxx;
    let intercept = mean_y - slope * mean_x;
    (slope.is_finite() && intercept.is_finite()).then_some((intercept, slope))
}
