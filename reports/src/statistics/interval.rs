//! What is known of a value from its stays: the one estimator of rows, ratios, fits, findings and compare.
//!
//! The value is the median of the stays' medians. From [`LEAST`] stays on its 95 % interval runs between interpolated
//! order statistics (Hettmansperger and Sheather, *Statistics & Probability Letters* 4(2), 1986): nothing is assumed
//! of how stays scatter, nothing is drawn, equal stays give themselves back. Five stays cannot give one: their whole
//! range holds the median in 94 % of cases. Of two to five there is the range, which is no interval, and of one
//! nothing. A stay that timed out is above all others: it is infinite, and so is an end that rests on it.
//!
//! Of executed instructions nothing scatters but what the seeds choose: there the range over seeds is what is known,
//! however many they are, and says something from [`SEEDS`] on.

use super::quantile;

/// Stays from which their order gives a 95 % interval of their median: 1 − 2·0.5⁶ = 96.9 %, 1 − 2·0.5⁵ = 93.8 %.
pub const LEAST: usize = 6;

/// Seeds from which counted figures that all agree are a verdict.
pub const SEEDS: usize = 3;

/// A value with what is known of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Known {
    /// Median of the stays; infinite when half of them timed out.
    pub value: f64,
    /// Its 95 % interval.
    pub ci95: Option<[f64; 2]>,
    /// Smallest and largest stay; `None` with one, and where there is an interval.
    pub range: Option<[f64; 2]>,
    /// Stays, blocks or seeds that it rests on.
    pub of: usize,
    /// Whether these are seeds of counted runs.
    pub counted: bool,
}

impl Known {
    /// From the values of stays (or blocks), in any order. `None` without any.
    #[must_use]
    pub fn of_stays(values: &[f64]) -> Option<Self> {
        Self::of(values, false)
    }

    /// From the values of seeds of counted runs, in any order. `None` without any.
    #[must_use]
    pub fn of_seeds(values: &[f64]) -> Option<Self> {
        Self::of(values, true)
    }

    /// Either of the two.
    #[must_use]
    pub fn of(values: &[f64], counted: bool) -> Option<Self> {
        let mut ascending = values.to_vec();
        ascending.sort_unstable_by(f64::total_cmp);
        let ci95 = median_interval(&ascending).filter(|_| !counted);
        let ends = ascending.first().zip(ascending.last());
        let range = ends.filter(|_| ci95.is_none() && ascending.len() > 1);
        Some(Self {
            value: quantile(&ascending, 0.5)?,
            ci95,
            range: range.map(|(low, high)| [*low, *high]),
            of: ascending.len(),
            counted,
        })
    }

    /// The ends that a verdict may rest on: of the interval, of counted runs the range over enough seeds.
    #[must_use]
    pub fn bounds(&self) -> Option<[f64; 2]> {
        let seeds = self.range.filter(|_| self.counted && self.of >= SEEDS);
        self.ci95.or(seeds)
    }

    /// Whether the value is told apart from another.
    #[must_use]
    pub fn leaves_out(&self, other: f64) -> bool {
        self.bounds()
            .is_some_and(|[low, high]| low > other || high < other)
    }

    /// The same of what a rising function makes of each value.
    #[must_use]
    pub fn map(self, rising: impl Fn(f64) -> f64) -> Self {
        Self {
            value: rising(self.value),
            ci95: self.ci95.map(|ends| ends.map(&rising)),
            range: self.range.map(|ends| ends.map(&rising)),
            ..self
        }
    }
}

/// The 95 % interval of the median of ascending values: between those two pairs of order statistics whose exact
/// confidences lie around 95 %, as far from one to the other as its authors show to be right for most
/// distributions. `None` with fewer than [`LEAST`].
#[must_use]
pub fn median_interval(ascending: &[f64]) -> Option<[f64; 2]> {
    const WANTED: f64 = 0.95;
    let n = ascending.len();
    if n < LEAST {
        return None;
    }
    let (n_, mut outside, mut term) = (n as f64, 0.0, 0.5_f64.powi(n as i32));
    // Confidence of the k-th smallest to the k-th largest: 1 − 2·P(fewer than k of n are below the median).
    let mut here = 1.0;
    for k in 1..=n / 2 {
        outside += term;
        let (before, now) = (here, 1.0 - 2.0 * outside);
        here = now;
        if now < WANTED {
            // Between k − 1, which holds more often, and k, which holds less often.
            let share = (before - WANTED) / (before - now);
            let inner = (k - 1) as f64;
            let weight = (n_ - inner) * share / (inner + (n_ - 2.0 * inner) * share);
            let between = |outer: f64, inner: f64| match outer == inner || weight >= 1.0 {
                true => inner,
                false => (1.0 - weight) * outer + weight * inner,
            };
            return Some([
                between(ascending[k - 2], ascending[k - 1]),
                between(ascending[n - k + 1], ascending[n - k]),
            ]);
        }
        term *= (n - k + 1) as f64 / k as f64;
    }
    None
}

/// 95 % interval of the quotient of two independent values, from their own: the distances of the ends, as logarithms,
/// add up as squares (MOVER: Zou and Donner, *Statistics in Medicine* 27(10), 2008). Two intervals that do not overlap
/// give one that leaves 1 out. `None` unless all ends are positive.
#[must_use]
pub fn quotient_interval(above: (f64, [f64; 2]), below: (f64, [f64; 2])) -> Option<[f64; 2]> {
    let log = |(value, ends): (f64, [f64; 2])| (value.ln(), ends.map(f64::ln));
    let ((a, [a_low, a_high]), (b, [b_low, b_high])) = (log(above), log(below));
    let ends = [
        (a - b - (a - a_low).hypot(b_high - b)).exp(),
        (a - b + (a_high - a).hypot(b - b_low)).exp(),
    ];
    let sound = a.is_finite() && b.is_finite() && a_low.is_finite() && b_low.is_finite();
    sound.then_some(ends)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn ascending(n: usize) -> Vec<f64> {
        (1..=n).map(|v| v as f64).collect()
    }

    #[test]
    fn ends_agree_with_those_by_hand() {
        // n = 6, k = 1: 0.96875 and 0.78125 (k = 2); share 0.1, weight 5*0.1/(1 + 4*0.1) = 0.357143.
        let [low, high] = median_interval(&ascending(6)).unwrap();
        assert!((low - 1.357_143).abs() < 1e-6, "{low}");
        assert!((high - 5.642_857).abs() < 1e-6, "{high}");
        // n = 12, k = 3: 0.961426 and 0.854004 (k = 4); share 0.106364, weight 9*0.106364/(3 + 6*0.106364) = 0.263118.
        let [low, high] = median_interval(&ascending(12)).unwrap();
        assert!((low - 3.263_118).abs() < 1e-5, "{low}");
        assert!((high - 9.736_882).abs() < 1e-5, "{high}");
        assert_eq!(median_interval(&ascending(5)), None);
    }

    #[test]
    fn equal_stays_give_themselves_back_and_what_timed_out_is_above_all() {
        assert_eq!(median_interval(&[4_917.0; 8]), Some([4_917.0; 2]));
        let mut eight = ascending(8);
        eight[7] = f64::INFINITY;
        let known = Known::of_stays(&eight).unwrap();
        assert_eq!((known.value, known.ci95.unwrap()[1]), (4.5, f64::INFINITY));
        eight[4..].fill(f64::INFINITY);
        assert_eq!(Known::of_stays(&eight).unwrap().value, f64::INFINITY);
        let odd = [1.0, 2.0, 3.0, f64::INFINITY, f64::INFINITY];
        assert_eq!(Known::of_stays(&odd).unwrap().value, 3.0);
        assert_eq!(Known::of_stays(&odd[3..]).unwrap().value, f64::INFINITY);
        assert!(median_interval(&[f64::INFINITY; 7]).is_some_and(|e| e == [f64::INFINITY; 2]));
    }

    #[test]
    fn few_stays_have_a_range_one_has_nothing_and_seeds_have_no_interval() {
        let few = Known::of_stays(&[3.0, 1.0, 2.0]).unwrap();
        assert_eq!(
            (few.value, few.ci95, few.range, few.bounds()),
            (2.0, None, Some([1.0, 3.0]), None)
        );
        let one = Known::of_stays(&[3.0]).unwrap();
        assert_eq!((one.ci95, one.range), (None, None));
        let seeds = Known::of_seeds(&ascending(9)).unwrap();
        assert_eq!((seeds.ci95, seeds.bounds()), (None, Some([1.0, 9.0])));
        assert_eq!(Known::of_seeds(&[1.0, 2.0]).unwrap().bounds(), None);
    }

    #[test]
    fn intervals_apart_give_a_quotient_that_leaves_one_out() {
        let [low, high] = quotient_interval((12.0, [11.0, 13.0]), (10.0, [9.0, 10.9])).unwrap();
        assert!(1.0 < low && low < 1.2 && 1.2 < high, "{low} {high}");
        let exact = quotient_interval((12.0, [12.0; 2]), (10.0, [10.0; 2])).unwrap();
        assert!(exact.iter().all(|end| (end - 1.2).abs() < 1e-12));
        assert_eq!(
            quotient_interval((1.0, [0.0, 2.0]), (1.0, [0.5, 2.0])),
            None
        );
        let open = quotient_interval((2.0, [1.5, f64::INFINITY]), (1.0, [0.9, 1.1])).unwrap();
        assert_eq!(open[1], f64::INFINITY);
    }
}
