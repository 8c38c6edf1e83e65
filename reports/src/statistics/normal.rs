//! The normal distribution, both ways.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

/// The share of the standard normal distribution below `x`.
#[must_use]
pub fn normal_below(x: f64) -> f64 {
    0.5 * libm::erfc(-x * FRAC_1_SQRT_2)
}

/// The point that has the share `p` of the standard normal distribution below it; infinite at 0 and 1.
///
/// From Abramowitz and Stegun, 26.2.23 (an error below 0.00045), by two of Halley's steps, which leave
/// nothing that a double can hold.
#[must_use]
pub fn normal_point(p: f64) -> f64 {
    if p <= 0.0 {
        return f64::NEG_INFINITY;
    }
    if p >= 1.0 {
        return f64::INFINITY;
    }
    let tail = p.min(1.0 - p);
    let t = (-2.0 * tail.ln()).sqrt();
    let above = 2.515_517 + t * (0.802_853 + t * 0.010_328);
    let below = 1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308));
    let mut x = above / below - t;
    for _ in 0..2 {
        let error = normal_below(x) - tail;
        let step = error * (2.0 * PI).sqrt() * (0.5 * x * x).exp();
        x -= step / (1.0 + 0.5 * x * step);
    }
    if p <= 0.5 { x } else { -x }
}

/// Two-sided p of a standard normal deviate.
pub(super) fn two_sided(z: f64) -> f64 {
    (2.0 * normal_below(-z.abs())).min(1.0)
}
