//! Intervals from two, three or four stays: Student's, on the medians of the stays.
//!
//! Drawing so few with replacement cannot leave their range, however far the tails are taken out: the
//! range of two medians holds the true one in one case of two, that of three in three of four. Student's
//! interval is exact for any number of normally distributed medians (Student, *Biometrika* 6(1), 1908).
//! Labs differ by factors rather than by amounts, so that it is taken of the logarithms where all
//! medians are positive; then it is positive, too. It is wide with two stays (half its width is 9 times
//! their standard deviation): that is what two stays say.

use super::student;

/// From this many stays on, the stays are resampled instead.
pub const FEW_STAYS: u32 = 5;

/// A mean of independent values, with what is known of its error.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mean {
    value: f64,
    /// Estimated variance of the mean, not of its values.
    variance: f64,
    /// Degrees of freedom of the variance.
    freedom: u64,
}

impl Mean {
    /// `None` with fewer than two values, or when one is not finite.
    pub(super) fn of(values: &[f64]) -> Option<Self> {
        if values.len() < 2 || !values.iter().all(|value| value.is_finite()) {
            return None;
        }
        let n = values.len() as f64;
        let value = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|v| (v - value).powi(2)).sum();
        Some(Self {
            value,
            variance: squares / (n - 1.0) / n,
            freedom: values.len() as u64 - 1,
        })
    }

    /// The difference of independent means: the variances add up, the degrees of freedom are the smaller
    /// ones, so that the interval is rather too wide than too narrow whichever side scatters more (Mickey
    /// and Brown, *The Annals of Mathematical Statistics* 37(3), 1966).
    pub(super) fn minus(self, other: Self) -> Self {
        Self {
            value: self.value - other.value,
            variance: self.variance + other.variance,
            freedom: self.freedom.min(other.freedom),
        }
    }

    /// The weighted sum of independent means of like scatter; the weights add up to 1.
    pub(super) fn weighted(means: &[(f64, Self)]) -> Self {
        Self {
            value: means.iter().map(|(weight, mean)| weight * mean.value).sum(),
            variance: means
                .iter()
                .map(|(weight, mean)| weight.powi(2) * mean.variance)
                .sum(),
            freedom: means.iter().map(|(_, mean)| mean.freedom).sum(),
        }
    }

    /// Student's 95 % interval.
    pub(super) fn interval(self) -> Option<[f64; 2]> {
        let half = student(self.freedom)? * self.variance.sqrt();
        Some([self.value - half, self.value + half])
    }
}

/// Student's 95 % interval of the median of as many stays as there are medians: of their logarithms when
/// all are positive. `None` with fewer than two.
#[must_use]
pub fn interval_of_few(medians: &[f64]) -> Option<[f64; 2]> {
    let (first, rest) = medians.split_first()?;
    if !rest.is_empty() && rest.iter().all(|median| median == first) {
        // An exact count: it must not come back from a logarithm as another number.
        return Some([*first; 2]);
    }
    if medians.iter().all(|median| *median > 0.0) {
        let logs: Vec<f64> = medians.iter().map(|median| median.ln()).collect();
        return Some(Mean::of(&logs)?.interval()?.map(f64::exp));
    }
    Mean::of(medians)?.interval()
}

/// Student's 95 % interval of how far the mean of `b` lies above that of `a`. `None` with fewer than two
/// values on a side.
#[must_use]
pub fn student_shift(a: &[f64], b: &[f64]) -> Option<[f64; 2]> {
    Mean::of(b)?.minus(Mean::of(a)?).interval()
}

/// The smallest interval that holds both. `None` when an end is not a number that can be written down.
pub(super) fn hull(a: [f64; 2], b: [f64; 2]) -> Option<[f64; 2]> {
    let both = [a[0].min(b[0]), a[1].max(b[1])];
    both.iter().all(|end| end.is_finite()).then_some(both)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_of_few_agree_with_those_by_hand() {
        // By hand for 100 and 110: the logarithms' middle is ln(11000)/2, their deviation ln(1.1)/√2, so that
        // the half width is 12.706205·ln(1.1)/2, as a factor 1.832196; √11000 = 104.880885.
        let [low, high] = interval_of_few(&[100.0, 110.0]).unwrap();
        assert!((low - 57.243262).abs() < 1e-5, "{low}");
        assert!((high - 192.162356).abs() < 1e-5, "{high}");
        // x = [-1, 0, 1]: ± 4.302653/3**.5
        let [low, high] = interval_of_few(&[1.0, -1.0, 0.0]).unwrap();
        assert!((low + 2.484_138).abs() < 1e-6 && (high - 2.484_138).abs() < 1e-6);
    }

    #[test]
    fn equal_medians_come_back_as_they_are_and_one_has_no_interval() {
        assert_eq!(interval_of_few(&[4_917.0; 3]), Some([4_917.0; 2]));
        assert_eq!(interval_of_few(&[0.0; 2]), Some([0.0; 2]));
        assert_eq!(interval_of_few(&[5.0]), None);
        assert_eq!(interval_of_few(&[]), None);
    }
}
