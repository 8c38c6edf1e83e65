//! Bias-corrected and accelerated intervals (Efron, *Journal of the American Statistical Association* 82(397),
//! 1987; Davison and Hinkley, *Bootstrap Methods and their Application*, 1997, §5.3).

use super::normal::{normal_below, normal_point};
use super::{Replication, quantile};

/// The 95 % interval from what resamples gave, what the data gave, and what they give without each of
/// their units (stays) in turn. `None` where nothing varies or too little could be computed.
#[must_use]
pub fn bca_interval(resampled: &[f64], seen: f64, without_each: &[f64]) -> Option<[f64; 2]> {
    at_tail(resampled, seen, without_each, 0.025)
}

/// The same with the tails taken further out, as everywhere here when few stays are resampled.
pub(super) fn bca_of_stays(resampled: &[f64], seen: f64, without_each: &[f64]) -> Option<[f64; 2]> {
    let tail = Replication::of(without_each.len() as u64).tail()?;
    at_tail(resampled, seen, without_each, tail)
}

fn at_tail(resampled: &[f64], seen: f64, without_each: &[f64], tail: f64) -> Option<[f64; 2]> {
    let mut sorted: Vec<f64> = resampled
        .iter()
        .copied()
        .filter(|v| v.is_finite())
        .collect();
    sorted.sort_by(f64::total_cmp);
    if sorted.len() < 2 || 2 * sorted.len() < resampled.len() || !seen.is_finite() {
        return None;
    }
    if sorted[0] == sorted[sorted.len() - 1] {
        return Some([sorted[0]; 2]);
    }
    let count = sorted.len() as f64;
    let below = sorted.partition_point(|v| *v < seen) as f64;
    let up_to = sorted.partition_point(|v| *v <= seen) as f64;
    // Of a median many resamples are equal to what was seen: they count half.
    let bias = normal_point(0.5 * (below + up_to) / count);
    let acceleration = acceleration(without_each)?;
    let end = |z: f64| {
        let from = bias + z;
        let p = normal_below(bias + from / (1.0 - acceleration * from));
        quantile(&sorted, p.clamp(0.0, 1.0))
    };
    let z = normal_point(tail);
    let ends = [end(z)?, end(-z)?];
    ends.iter().all(|end| end.is_finite()).then_some(ends)
}

/// From the jackknife; 0 where leaving a unit out changes nothing.
fn acceleration(without_each: &[f64]) -> Option<f64> {
    if without_each.len() < 2 || !without_each.iter().all(|v| v.is_finite()) {
        return None;
    }
    let mean = without_each.iter().sum::<f64>() / without_each.len() as f64;
    let cubes: f64 = without_each.iter().map(|v| (mean - v).powi(3)).sum();
    let squares: f64 = without_each.iter().map(|v| (mean - v).powi(2)).sum();
    Some(if squares > 0.0 {
        cubes / (6.0 * squares.powf(1.5))
    } else {
        0.0
    })
}
