//! How a cost grows with N: least squares through one value a size.
//!
//! The value of a size is the median of its stays' medians, so that one disturbed stay moves nothing
//! and a size with more stays weighs no more than another. Intervals draw stays inside each size and
//! samples inside each stay. Where a size has a single stay nothing tells how far another stay would
//! have been off; then the interval is Student's, from the distances of all sizes to the curve.
//!
//! What is drawn of a size depends on nothing but that size, so it is drawn once ([`Size::of`]) and every fit
//! that the size is part of, over the whole range or between two sizes, takes the same draws.

use super::{
    RESAMPLES, Replication, Sample, percentile_interval, quantile, resampled_middles, student,
};

/// A line through fewer sizes than this cannot show that it is none.
pub const LINEAR_SIZES: usize = 4;

/// Sizes behind a line of what is in proportion to N by construction (memory, rules): it is not asked
/// whether it is a line but how steep it is (DESIGN §7).
pub const PROPORTIONAL_SIZES: usize = 3;

/// One population size, with what resampling made of it.
#[derive(Debug, Clone)]
pub struct Size {
    services: u32,
    stays: u64,
    /// Median of the medians of its stays.
    middle: f64,
    /// The same in each resample; empty where all of them are the middle itself.
    drawn: Vec<f64>,
}

impl Size {
    /// The size with N = `services`. Sizes of one curve are drawn from independently, with one seed.
    #[must_use]
    pub fn of(services: u32, sample: &Sample, seed: u64) -> Self {
        let stays = sample.stays().len();
        let drawn = if stays < 2 || sample.min() == sample.max() {
            Vec::new()
        } else {
            let own = u64::from(services).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            resampled_middles(sample, seed ^ own)
        };
        let mut medians = sample.stay_medians();
        medians.sort_unstable_by(f64::total_cmp);
        Self {
            services,
            stays: stays as u64,
            middle: quantile(&medians, 0.5).unwrap_or(f64::NAN),
            drawn,
        }
    }

    /// N.
    #[must_use]
    pub const fn services(&self) -> u32 {
        self.services
    }
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
pub fn linear(sizes: &[Size]) -> Option<Fitted> {
    (sizes.len() >= LINEAR_SIZES)
        .then(|| fit(sizes, |value| value, |value| value))
        .flatten()
}

/// Fits a + b·N to what is in proportion to N by construction.
///
/// `None` with fewer than [`PROPORTIONAL_SIZES`] sizes.
#[must_use]
pub fn proportional(sizes: &[Size]) -> Option<Fitted> {
    (sizes.len() >= PROPORTIONAL_SIZES)
        .then(|| fit(sizes, |value| value, |value| value))
        .flatten()
}

/// Fits c·N^k: a line through the logarithms.
///
/// `None` with fewer than two sizes, with two sizes of which one has a single stay (no distance is left
/// to judge by), or when a value is not positive.
#[must_use]
pub fn power(sizes: &[Size]) -> Option<Fitted> {
    (sizes.len() >= 2)
        .then(|| fit(sizes, f64::ln, f64::exp))
        .flatten()
}

fn fit(sizes: &[Size], scale: impl Fn(f64) -> f64, unscale: impl Fn(f64) -> f64) -> Option<Fitted> {
    let services = sizes.iter().map(|size| f64::from(size.services));
    let xs = Places::of(services.map(&scale).collect());
    let seen: Vec<f64> = sizes.iter().map(|size| scale(size.middle)).collect();
    let (intercept, estimate) = xs.line(&seen)?;
    let behind = Replication {
        freedom: sizes.iter().map(|size| size.stays - 1).sum(),
        group: sizes.iter().map(|size| size.stays).min()?,
    };
    let [intercepts, estimates] = if behind.group < 2 {
        xs.textbook_intervals(&seen, (intercept, estimate))?
    } else if sizes.iter().all(|size| size.drawn.is_empty()) {
        // Counts are the same in all stays: so is whatever is drawn.
        [[intercept; 2], [estimate; 2]]
    } else {
        resampled(sizes, &xs, scale, behind)?
    };
    Some(Fitted {
        intercept: unscale(intercept),
        intercept_ci95: intercepts.map(&unscale),
        estimate,
        ci95: estimates,
    })
}

/// Intervals of intercept and slope from what was drawn of each size.
fn resampled(
    sizes: &[Size],
    xs: &Places,
    scale: impl Fn(f64) -> f64,
    behind: Replication,
) -> Option<[[f64; 2]; 2]> {
    let (mut intercepts, mut estimates) =
        (Vec::with_capacity(RESAMPLES), Vec::with_capacity(RESAMPLES));
    let mut ys = vec![0.0; sizes.len()];
    for resample in 0..RESAMPLES {
        for (y, size) in ys.iter_mut().zip(sizes) {
            *y = scale(size.drawn.get(resample).copied().unwrap_or(size.middle));
        }
        if let Some((a, b)) = xs.line(&ys) {
            intercepts.push(a);
            estimates.push(b);
        }
    }
    Some([
        percentile_interval(intercepts, behind)?,
        percentile_interval(estimates, behind)?,
    ])
}

/// Where the values of a line stand, with what all lines through values there share.
struct Places {
    xs: Vec<f64>,
    mean: f64,
    /// Sum of the squared distances from the mean.
    squares: f64,
}

impl Places {
    fn of(xs: Vec<f64>) -> Self {
        let mean = xs.iter().sum::<f64>() / xs.len() as f64;
        let squares = xs.iter().map(|x| (x - mean).powi(2)).sum();
        Self { xs, mean, squares }
    }

    /// (intercept, slope) of the line with the least squared distance; `None` when it is not determined.
    fn line(&self, ys: &[f64]) -> Option<(f64, f64)> {
        let mean = ys.iter().sum::<f64>() / ys.len() as f64;
        let pairs = self.xs.iter().zip(ys);
        let products: f64 = pairs.map(|(x, y)| (x - self.mean) * (y - mean)).sum();
        let slope = products / self.squares;
        let intercept = mean - slope * self.mean;
        (slope.is_finite() && intercept.is_finite()).then_some((intercept, slope))
    }

    /// The textbook intervals of a line: residual standard error with as many degrees of freedom as there
    /// are points beyond two.
    fn textbook_intervals(&self, ys: &[f64], (a, b): (f64, f64)) -> Option<[[f64; 2]; 2]> {
        let freedom = self.xs.len().checked_sub(2)?;
        let t = student(freedom as u64)?;
        let pairs = self.xs.iter().zip(ys);
        let left: f64 = pairs.map(|(x, y)| (y - a - b * x).powi(2)).sum();
        let error = (left / freedom as f64).sqrt();
        let slope = t * error / self.squares.sqrt();
        let share = 1.0 / self.xs.len() as f64 + self.mean.powi(2) / self.squares;
        let intercept = t * error * share.sqrt();
        Some([[a - intercept, a + intercept], [b - slope, b + slope]])
    }
}
