//! Statistics against reference values, and properties that hold for all data. Reference values come
//! from NumPy 2.4.6 and SciPy 1.17.1; each test names the expression.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use proptest::prelude::*;
use reports::statistics::{
    Curve, Fitted, Known, LEAST, Sample, fit, median_interval, quantile, quotient_interval,
};

fn sample(stays: &[Vec<f64>]) -> Sample {
    let stays = stays.iter().enumerate();
    Sample::new(stays.map(|(stay, values)| (stay as u32, values.as_slice()))).expect("samples")
}

fn medians(stays: &[Vec<f64>]) -> Vec<f64> {
    let sample = sample(stays);
    sample.stays().iter().map(|(_, median)| *median).collect()
}

fn close(seen: f64, expected: f64, tolerance: f64) {
    assert!(
        (seen - expected).abs() <= tolerance,
        "{seen} is not {expected} ± {tolerance}"
    );
}

#[test]
fn quantiles_agree_with_numpy() {
    // np.quantile([31,29,34,29.5,40,33,28,30.5,35,90], [0, .1, .25, .5, .9, .99, 1])
    let values = vec![31.0, 29.0, 34.0, 29.5, 40.0, 33.0, 28.0, 30.5, 35.0, 90.0];
    let expected = [28.0, 28.9, 29.75, 32.0, 45.0, 85.5, 90.0];
    let sample = sample(std::slice::from_ref(&values));
    let mut sorted = values;
    sorted.sort_by(f64::total_cmp);
    for (p, expected) in [0.0, 0.1, 0.25, 0.5, 0.9, 0.99, 1.0]
        .into_iter()
        .zip(expected)
    {
        close(sample.quantile(p), expected, 1e-9);
        close(quantile(&sorted, p).unwrap(), expected, 1e-9);
    }
    assert_eq!(quantile(&[], 0.5), None);
}

#[test]
fn a_stay_counts_once_however_many_samples_it_has() {
    // np.median([np.median([1, 2, 9]), 5, np.median([7] * 1000)])
    let stays = [vec![9.0, 1.0, 2.0], vec![5.0], vec![7.0; 1_000]];
    assert_eq!(medians(&stays), [2.0, 5.0, 7.0]);
    assert_eq!(Known::of_stays(&medians(&stays)).unwrap().value, 5.0);
    assert_eq!(sample(&stays).median(), 7.0, "quantiles are of all samples");
}

#[test]
fn an_exact_count_is_its_own_interval_from_six_stays_on_and_its_own_range_before() {
    for stays in 2..10 {
        let known = Known::of_stays(&vec![4_917.0; stays]).unwrap();
        let exact = Some([4_917.0; 2]);
        let (ci95, range) = if stays >= LEAST {
            (exact, None)
        } else {
            (None, exact)
        };
        assert_eq!((known.ci95, known.range), (ci95, range), "{stays} stays");
    }
}

#[test]
fn samples_of_one_stay_never_give_an_interval_however_many_they_are() {
    assert!(Sample::new(std::iter::empty::<(u32, &[f64])>()).is_none());
    assert!(Sample::new([(0, &[][..])]).is_none());
    let one = Known::of_stays(&medians(&[(0..1_000).map(f64::from).collect()])).unwrap();
    assert_eq!(
        (one.value, one.ci95, one.range, one.of),
        (499.5, None, None, 1)
    );
}

const SIZES: [u32; 5] = [100, 300, 1_000, 3_000, 10_000];

/// What six blocks show that differ by up to 5 %.
fn blocks(cost: impl Fn(f64) -> f64) -> Vec<Vec<f64>> {
    [0.95, 0.97, 0.99, 1.01, 1.03, 1.05]
        .iter()
        .map(|lab| SIZES.iter().map(|n| lab * cost(f64::from(*n))).collect())
        .collect()
}

fn fitted(curve: Curve, cost: impl Fn(f64) -> f64) -> Fitted {
    fit(curve, &SIZES, &blocks(cost), false).unwrap()
}

/// Costs listed by size.
fn listed(costs: [f64; 5]) -> impl Fn(f64) -> f64 {
    move |n| costs[SIZES.iter().position(|size| f64::from(*size) == n).unwrap()]
}

#[test]
fn a_line_agrees_with_numpy() {
    // np.polyfit([100,300,1000,3000,10000], [34100,35900,40200,51300,93400], 1), of which the blocks are multiples
    let fit = fitted(
        Curve::Line,
        listed([34_100.0, 35_900.0, 40_200.0, 51_300.0, 93_400.0]),
    );
    close(fit.estimate.value, 5.947_543_276_796_644, 1e-9);
    close(fit.intercept.value, 33_851.075_362_825_664, 1e-6);
    let [low, high] = fit.estimate.ci95.unwrap();
    assert!(0.0 < low && low < fit.estimate.value && fit.estimate.value < high);
    assert_eq!(fit.estimate.of, 6);
}

#[test]
fn a_power_agrees_with_numpy() {
    // k, c = np.polyfit(np.log([100,300,1000,3000,10000]), np.log([.05,.11,.31,.9,3.3]), 1); np.exp(c), k
    let fit = fitted(Curve::Power, listed([0.05, 0.11, 0.31, 0.9, 3.3]));
    close(fit.estimate.value, 0.910_947_130_721_266_4, 1e-9);
    close(fit.intercept.value, 0.000_655_226_276_085_535_3, 1e-9);
}

#[test]
fn a_fixed_part_and_a_power_are_told_from_each_other() {
    let fit = fitted(Curve::OffsetPower, |n| 30.0 + 0.002 * n.powf(1.2));
    close(fit.estimate.value, 1.2, 1e-3);
    close(fit.intercept.value, 30.0, 0.05);
    assert!(fit.misfit.unwrap().1.abs() < 1e-3);
    // Through the same values a power alone is off, and says by how much.
    let power = fitted(Curve::Power, |n| 30.0 + 0.002 * n.powf(1.2));
    assert!(power.estimate.value < 0.4 && power.misfit.unwrap().1.abs() > 0.2);
    assert_eq!(power.misfit.unwrap().2, Some(true));
    let flat = fitted(Curve::OffsetPower, |_| 4.0);
    close(flat.intercept.value + flat.coefficient.unwrap(), 4.0, 0.01);
    close(flat.estimate.value, 0.0, 1e-9);
}

#[test]
fn five_blocks_give_a_slopes_range_and_one_gives_neither() {
    let all = blocks(|n| 30_000.0 + 6.0 * n);
    let of = |blocks| fit(Curve::Line, &SIZES, blocks, false).unwrap().estimate;
    assert!(of(&all).ci95.is_some() && of(&all).range.is_none());
    assert!(of(&all[..5]).ci95.is_none() && of(&all[..5]).range.is_some());
    assert_eq!((of(&all[..1]).ci95, of(&all[..1]).range), (None, None));
    assert_eq!(fit(Curve::Line, &SIZES, &[], false), None);
    let zero = [vec![0.0; 5]];
    assert_eq!(fit(Curve::OffsetPower, &SIZES, &zero, false), None);
    assert_eq!(fit(Curve::Power, &SIZES, &zero, false), None);
}

#[test]
fn what_all_sizes_of_a_block_share_takes_nothing_from_its_slope() {
    // Blocks that are off by up to 50 µs at all sizes alike: between them their lines are parallel.
    let shifted: Vec<Vec<f64>> = (0..6)
        .map(|block| {
            SIZES
                .iter()
                .map(|n| 30_000.0 + 1e4 * f64::from(block) + 6.0 * f64::from(*n))
                .collect()
        })
        .collect();
    let [low, high] = fit(Curve::Line, &SIZES, &shifted, false)
        .unwrap()
        .estimate
        .ci95
        .unwrap();
    assert!(high - low < 1e-6, "{low} {high}");
}

fn stays() -> impl Strategy<Value = Vec<Vec<f64>>> {
    prop::collection::vec(
        prop::collection::vec((1u32..5_000).prop_map(f64::from), 1..12),
        1..24,
    )
}

fn ascending(of: &[f64]) -> Vec<f64> {
    let mut sorted = of.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn fewer_than_six_stays_never_have_an_interval_and_six_always_have(stays in stays()) {
        let medians = medians(&stays);
        let known = Known::of_stays(&medians).unwrap();
        prop_assert_eq!(known.ci95.is_some(), medians.len() >= LEAST);
        prop_assert_eq!(known.range.is_some(), (2..LEAST).contains(&medians.len()));
        let sorted = ascending(&medians);
        for [low, high] in known.ci95.into_iter().chain(known.range) {
            prop_assert!(sorted[0] <= low && low <= known.value);
            prop_assert!(known.value <= high && high <= sorted[sorted.len() - 1]);
        }
    }

    /// An end lies between two stays. A stay beyond both of these, towards the middle, is one that the end does not
    /// rest on: without it less is known, and never more.
    #[test]
    fn removing_a_stay_inside_of_the_interval_never_narrows_it(
        values in prop::collection::vec((1u32..5_000).prop_map(f64::from), 7..40),
        which: prop::sample::Index,
    ) {
        let sorted = ascending(&values);
        let [low, high] = median_interval(&sorted).unwrap();
        let low_end = sorted.partition_point(|v| *v <= low);
        let high_end = sorted.partition_point(|v| *v < high);
        // The inner stays that the ends rest on are the first beyond each.
        let inside: Vec<usize> = (low_end + 1..high_end.saturating_sub(1)).collect();
        if !inside.is_empty() {
            let mut fewer = sorted.clone();
            fewer.remove(inside[which.index(inside.len())]);
            match median_interval(&fewer) {
                Some([lower, higher]) => prop_assert!(lower <= low && high <= higher),
                None => prop_assert!(fewer.len() < LEAST),
            }
        }
    }

    #[test]
    fn a_stay_that_timed_out_only_raises_what_is_known(
        values in prop::collection::vec((1u32..5_000).prop_map(f64::from), 6..20),
        which: prop::sample::Index,
    ) {
        let plain = Known::of_stays(&values).unwrap();
        let mut censored = values.clone();
        censored[which.index(values.len())] = f64::INFINITY;
        let known = Known::of_stays(&censored).unwrap();
        prop_assert!(known.value >= plain.value);
        let (a, b) = (known.ci95.unwrap(), plain.ci95.unwrap());
        prop_assert!(a[0] >= b[0] && a[1] >= b[1]);
    }

    #[test]
    fn intervals_apart_give_a_ratio_that_leaves_one_out(
        a in prop::collection::vec(1.0..1_000.0, 6..20),
        b in prop::collection::vec(1.0..1_000.0, 6..20),
        factor in 1.0..9.0,
    ) {
        let b: Vec<f64> = b.iter().map(|v| v * factor).collect();
        let (a, b) = (Known::of_stays(&a).unwrap(), Known::of_stays(&b).unwrap());
        let (x, y) = (a.ci95.unwrap(), b.ci95.unwrap());
        let [low, high] = quotient_interval((b.value, y), (a.value, x)).unwrap();
        prop_assert!(low <= b.value / a.value && b.value / a.value <= high);
        if x[1] < y[0] {
            prop_assert!(low > 1.0, "{x:?} {y:?} {low}");
        }
    }

    #[test]
    fn the_order_of_samples_and_of_lines_does_not_matter(stays in stays()) {
        let forward: Vec<(u32, Vec<f64>)> =
            stays.iter().enumerate().map(|(i, v)| (i as u32, v.clone())).collect();
        let backward: Vec<(u32, Vec<f64>)> =
            forward.iter().rev().map(|(i, v)| (*i, v.iter().rev().copied().collect())).collect();
        let of = |lines: &[(u32, Vec<f64>)]| Sample::new(lines.iter().map(|(i, v)| (*i, v.as_slice()))).unwrap();
        let (forward, backward) = (of(&forward), of(&backward));
        prop_assert_eq!(forward.stays(), backward.stays());
        prop_assert_eq!(forward.quantile(0.9), backward.quantile(0.9));
    }

    #[test]
    fn scaling_the_samples_scales_what_is_known(stays in stays()) {
        let plain = Known::of_stays(&medians(&stays)).unwrap().map(|v| 2.0 * v);
        let doubled: Vec<Vec<f64>> = stays.iter().map(|s| s.iter().map(|v| v * 2.0).collect()).collect();
        prop_assert_eq!(Known::of_stays(&medians(&doubled)).unwrap(), plain);
    }
}
