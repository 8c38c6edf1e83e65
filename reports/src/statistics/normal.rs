//! The normal distribution.

use std::f64::consts::FRAC_1_SQRT_2;

/// The point that has 2.5 % of the standard normal distribution below it.
pub const LOWEST_FORTIETH: f64 = -1.959_963_984_540_054;

/// The share of the standard normal distribution below `x`.
#[must_use]
pub fn normal_below(x: f64) -> f64 {
    0.5 * libm::erfc(-x * FRAC_1_SQRT_2)
}

/// Two-sided p of a standard normal deviate.
pub(super) fn two_sided(z: f64) -> f64 {
    (2.0 * normal_below(-z.abs())).min(1.0)
}
