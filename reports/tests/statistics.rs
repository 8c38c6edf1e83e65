//! Statistics against reference values, and properties that hold for all data. Reference values come
//! from NumPy 2.4.6 and SciPy 1.17.1; each test names the expression.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use proptest::prelude::*;
use rand::SeedableRng;
use rand_distr::{Distribution, Normal};
use rand_xoshiro::Xoshiro256PlusPlus;
use reports::statistics::{
    FEW_STAYS, LINEAR_SIZES, Sample, Size, Stratum, interval_of_medians, linear, median_interval,
    power, quantile, ratio_of_independent, ratio_of_medians, resampled_medians, seed_of,
};
use schema::Samples;

fn sample(stays: &[Vec<f64>]) -> Sample {
    let stays: Vec<(u32, Samples)> = stays
        .iter()
        .enumerate()
        .map(|(stay, values)| (stay as u32, Samples::Values(values.clone())))
        .collect();
    Sample::new(stays.iter().map(|(stay, samples)| (*stay, samples))).expect("samples")
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
fn with_fifteen_stays_of_one_sample_the_interval_is_the_exact_one() {
    // The tail for 15 stays: scipy.stats.norm.cdf(-(15/14)**.5 * scipy.stats.t.ppf(.975, 14)) = 0.01321.
    // P(median* <= k-th of 15) = 1 - binom.cdf(7, 15, k/15): 0.00424 for k = 3, 0.02545 for k = 4: the
    // lower end is the fourth smallest stay, the upper end the fourth largest.
    let stays: Vec<Vec<f64>> = (1..=15).map(|v| vec![f64::from(v * 7 % 16)]).collect();
    for seed in 0..20 {
        assert_eq!(median_interval(&sample(&stays), seed), Some([4.0, 12.0]));
    }
}

#[test]
fn two_stages_give_what_drawing_every_value_gives() {
    // stays = [np.round(1000*(1+0.04*i)) + np.arange(40)*3.0 for i in range(6)]; 200,000 times
    // np.median(np.concatenate([g.choice(stays[i], 40) for i in g.integers(0, 6, 6)])):
    // quantiles 2.5, 50 and 97.5 %: 1094, 1158.5, 1222; standard deviation 34.906
    let stays: Vec<Vec<f64>> = (0..6)
        .map(|i| {
            (0..40)
                .map(|j| 1000.0 + 40.0 * f64::from(i) + 3.0 * f64::from(j))
                .collect()
        })
        .collect();
    let sample = sample(&stays);
    assert_eq!(sample.median(), 1158.5);
    let mut all: Vec<f64> = (0..10)
        .flat_map(|seed| resampled_medians(&sample, seed))
        .collect();
    all.sort_by(f64::total_cmp);
    close(quantile(&all, 0.025).unwrap(), 1094.0, 3.0);
    close(quantile(&all, 0.5).unwrap(), 1158.5, 2.0);
    close(quantile(&all, 0.975).unwrap(), 1222.0, 3.0);
    let mean = all.iter().sum::<f64>() / all.len() as f64;
    let deviation = (all.iter().map(|m| (m - mean).powi(2)).sum::<f64>() / all.len() as f64).sqrt();
    close(deviation, 34.906, 0.9);
}

/// Samples of labs that differ by 5 %, inside a lab by 2 %; the true median is 1000. Seeds are fixed:
/// what holds of them once always holds.
fn labs(seed: u64) -> impl FnMut(usize) -> Sample {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let (lab, inside) = (
        Normal::new(0.0, 0.05).unwrap(),
        Normal::new(0.0, 0.02).unwrap(),
    );
    move |stays| {
        let stays: Vec<Vec<f64>> = (0..stays)
            .map(|_| {
                let lab: f64 = lab.sample(&mut rng);
                (0..5)
                    .map(|_| 1_000.0 * (lab + inside.sample(&mut rng)).exp())
                    .collect()
            })
            .collect();
        sample(&stays)
    }
}

fn holds(ci95: Option<[f64; 2]>, truth: f64) -> bool {
    ci95.is_some_and(|[low, high]| low <= truth && truth <= high)
}

#[test]
fn ninety_five_in_a_hundred_intervals_hold_the_true_median() {
    // A binomial count of 200 at 95 % lies above 180 with p > 0.998.
    let mut drawn = labs(11);
    for stays in [5, 12] {
        let held = (0..200u64)
            .filter(|&seed| holds(median_interval(&drawn(stays), seed), 1_000.0))
            .count();
        assert!((181..=200).contains(&held), "{stays} stays: {held} of 200");
    }
}

#[test]
fn ninety_three_in_a_hundred_intervals_of_two_three_and_four_stays_hold_what_is_true() {
    // Of the median, and of the ratio of two such samples, which is 1, with different and with the same
    // stays; medians and ratios in the same stays are not so wide that they always hold. With different
    // stays the smaller degrees of freedom make it 99.4, 98.8 and 98.1 in a hundred (simulated, equal
    // scatter). Of medians, by resampling alone it is 58, 83 and 92.
    const TRIALS: u64 = 600;
    let mut drawn = labs(12);
    for stays in [2, 3, 4] {
        let (mut medians, mut ratios, mut paired) = (0, 0, 0);
        for seed in 0..TRIALS {
            let (a, b) = (drawn(stays), drawn(stays));
            let (of_a, of_b) = (resampled_medians(&a, seed), resampled_medians(&b, !seed));
            medians += u32::from(holds(interval_of_medians(&a, &of_a), 1_000.0));
            let ratio = ratio_of_independent((&a, &of_a), (&b, &of_b)).unwrap();
            ratios += u32::from(holds(ratio.ci95, 1.0));
            let strata = [Stratum {
                pairs: vec![(&a, &b)],
                same_stays: true,
            }];
            let ratio = ratio_of_medians(&strata, seed).unwrap();
            paired += u32::from(holds(ratio.ci95, 1.0));
        }
        let all = format!("{stays} stays: {medians}, {ratios}, {paired} of {TRIALS}");
        println!("{all}");
        for held in [medians, ratios, paired] {
            assert!(u64::from(held) * 100 >= TRIALS * 93, "{all}");
        }
        assert!(u64::from(medians.max(paired)) < TRIALS, "{all}");
    }
}

#[test]
fn few_stays_give_students_interval_of_their_medians() {
    // m, h = np.mean(x), t.ppf(.975, 2)*np.std(x, ddof=1)/3**.5 for x = ln[90, 100, 120]:
    // np.exp([m - h, m + h])
    let few = sample(&[vec![90.0; 9], vec![100.0; 9], vec![120.0; 9]]);
    let x = [90.0_f64, 100.0, 120.0].map(f64::ln);
    let mean = x.iter().sum::<f64>() / 3.0;
    let deviation = (x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 2.0).sqrt();
    let half = 4.302_653 * deviation / 3.0_f64.sqrt();
    let [low, high] = median_interval(&few, 1).unwrap();
    close(low, (mean - half).exp(), 1e-3);
    close(high, (mean + half).exp(), 1e-3);
    assert!(low < few.min() && few.max() < high && low > 0.0);
}

#[test]
fn an_exact_count_is_its_own_interval_however_few_stays() {
    for stays in 2..8 {
        let count = sample(&vec![vec![4_917.0, 4_917.0]; stays]);
        assert_eq!(median_interval(&count, 1), Some([4_917.0, 4_917.0]));
    }
}

#[test]
fn stays_widen_an_interval_that_pooled_samples_would_make_narrow() {
    let shifted: Vec<Vec<f64>> = (0..6)
        .map(|i| {
            (0..100)
                .map(|j| 1000.0 + 50.0 * f64::from(i) + f64::from(j))
                .collect()
        })
        .collect();
    let pooled = vec![shifted.concat()];
    let width = |stays: &[Vec<f64>]| {
        median_interval(&sample(stays), 1)
            .map(|[low, high]| high - low)
            .unwrap()
    };
    assert!(
        width(&shifted) > 2.0 * width(&pooled),
        "{} {}",
        width(&shifted),
        width(&pooled)
    );
}

#[test]
fn one_sample_has_no_interval() {
    assert_eq!(median_interval(&sample(&[vec![3.0]]), 1), None);
    assert!(Sample::new(std::iter::empty::<(u32, &Samples)>()).is_none());
    let nothing = Samples::Values(Vec::new());
    assert!(Sample::new([(0, &nothing)]).is_none());
}

#[test]
fn a_histogram_counts_as_its_samples() {
    use hdrhistogram::Histogram;
    use hdrhistogram::serialization::{Serializer, V2Serializer};
    let mut histogram = Histogram::<u64>::new(3).unwrap();
    for value in 1..=1_000u64 {
        histogram.record(value).unwrap();
    }
    let mut bytes = Vec::new();
    V2Serializer::new()
        .serialize(&histogram, &mut bytes)
        .unwrap();
    let hdr = Samples::Hdr(data_encoding::BASE64.encode(&bytes));
    let sample = Sample::new([(0, &hdr)]).unwrap();
    assert_eq!(sample.n(), 1_000);
    close(sample.median(), 500.5, 1.0);
    assert!(Sample::check(&Samples::Hdr("not base64!".to_owned())).is_err());
    assert!(Sample::check(&Samples::Hdr("AAAA".to_owned())).is_err());
}

fn grown(cost: impl Fn(f64) -> f64) -> Vec<(u32, Sample)> {
    [100, 300, 1_000, 3_000, 10_000]
        .into_iter()
        .map(|n: u32| {
            let stays: Vec<Vec<f64>> = [0.97, 1.0, 1.03]
                .map(|lab| vec![lab * cost(f64::from(n)); 3])
                .to_vec();
            (n, sample(&stays))
        })
        .collect()
}

fn sizes(samples: &[(u32, Sample)]) -> Vec<Size> {
    samples
        .iter()
        .map(|(services, sample)| Size::of(*services, sample, 1))
        .collect()
}

#[test]
fn a_line_agrees_with_numpy() {
    // np.polyfit([100,300,1000,3000,10000], [34100,35900,40200,51300,93400], 1)
    let costs = [34_100.0, 35_900.0, 40_200.0, 51_300.0, 93_400.0];
    let at = |n: f64| {
        costs[[100.0, 300.0, 1_000.0, 3_000.0, 10_000.0]
            .iter()
            .position(|x| *x == n)
            .unwrap()]
    };
    let samples = grown(at);
    let fit = linear(&sizes(&samples)).unwrap();
    close(fit.estimate, 5.947543276796644, 1e-9);
    close(fit.intercept, 33_851.075362825664, 1e-6);
    assert!(fit.ci95[0] < fit.estimate && fit.estimate < fit.ci95[1]);
    assert!(
        fit.ci95[0] > 0.0,
        "a slope of 6 ns is seen through labs that differ by 3 %"
    );
}

#[test]
fn with_one_stay_a_size_the_interval_is_students() {
    // r = scipy.stats.linregress(x, y); q = scipy.stats.t.ppf(.975, 3); r.slope ± q*r.stderr,
    // r.intercept ± q*r.intercept_stderr
    let costs = [
        (100, 34_100.0),
        (300, 35_900.0),
        (1_000, 40_200.0),
        (3_000, 51_300.0),
        (10_000, 93_400.0),
    ];
    let samples: Vec<(u32, Sample)> = costs
        .iter()
        .map(|(n, cost)| (*n, sample(&[vec![*cost; 50]])))
        .collect();
    let fit = linear(&sizes(&samples)).unwrap();
    close(fit.ci95[0], 5.788_971_303_280_65, 1e-6);
    close(fit.ci95[1], 6.106_115_250_312_636, 1e-6);
    close(fit.intercept_ci95[0], 33_106.968_879_397_15, 1e-2);
    close(fit.intercept_ci95[1], 34_595.181_846_254_18, 1e-2);
}

#[test]
fn one_stay_a_size_lets_the_sizes_speak_for_the_noise() {
    // Five sizes, one lab each side, labs off by up to 10 %: no spread is seen inside a lab.
    let labs = [0.95, 1.05, 1.0, 0.97, 1.04];
    let pairs: Vec<(Sample, Sample)> = labs
        .iter()
        .map(|lab| (sample(&[vec![100.0 * lab; 50]]), sample(&[vec![100.0; 50]])))
        .collect();
    let strata: Vec<Stratum<'_>> = pairs
        .iter()
        .map(|(a, b)| Stratum {
            pairs: vec![(a, b)],
            same_stays: false,
        })
        .collect();
    let [low, high] = ratio_of_medians(&strata, 1).unwrap().ci95.unwrap();
    assert!(low < 0.97 && high > 1.03, "{low} {high}");
}

#[test]
fn a_power_agrees_with_numpy() {
    // k, c = np.polyfit(np.log([100,300,1000,3000,10000]), np.log([.05,.11,.31,.9,3.3]), 1); np.exp(c), k
    let costs = [0.05, 0.11, 0.31, 0.9, 3.3];
    let at = |n: f64| {
        costs[[100.0, 300.0, 1_000.0, 3_000.0, 10_000.0]
            .iter()
            .position(|x| *x == n)
            .unwrap()]
    };
    let fit = power(&sizes(&grown(at))).unwrap();
    close(fit.estimate, 0.9109471307212664, 1e-9);
    close(fit.intercept, 0.0006552262760855353, 1e-9);
}

#[test]
fn a_fit_needs_sizes_and_samples() {
    let samples = grown(|n| 30_000.0 + 6.0 * n);
    let all = sizes(&samples);
    assert!(linear(&all[..LINEAR_SIZES - 1]).is_none());
    assert!(power(&all[..1]).is_none());
    let single = sample(&[vec![1.0, 2.0, 3.0]]);
    let with_single = [all[0].clone(), Size::of(300, &single, 1)];
    assert!(
        power(&with_single).is_none(),
        "two sizes, one of them a single stay: nothing to judge by"
    );
    let zero = sample(&[vec![0.0, 0.0]]);
    assert!(power(&[all[0].clone(), Size::of(300, &zero, 1)]).is_none());
}

#[test]
fn the_same_data_give_the_same_report_and_another_name_another_stream() {
    let data = sample(&[
        vec![1.0, 2.0, 9.0],
        vec![4.0, 3.0, 7.0],
        vec![2.5, 6.0, 5.0],
    ]);
    assert_eq!(
        resampled_medians(&data, seed_of("a")),
        resampled_medians(&data, seed_of("a"))
    );
    assert_ne!(
        resampled_medians(&data, seed_of("a")),
        resampled_medians(&data, seed_of("b"))
    );
}

#[test]
fn a_ratio_of_two_positions_in_the_same_labs_does_not_carry_the_labs_noise() {
    let labs = [0.8, 0.9, 1.0, 1.1, 1.2, 1.3];
    let at = |cost: f64| {
        sample(&labs.map(|lab| {
            (0..50)
                .map(|i| lab * (cost + f64::from(i) * 0.01))
                .collect::<Vec<_>>()
        }))
    };
    let (last, first) = (at(90.0), at(30.0));
    let paired = ratio_of_medians(
        &[Stratum {
            pairs: vec![(&last, &first)],
            same_stays: true,
        }],
        1,
    )
    .unwrap();
    let apart = ratio_of_medians(
        &[Stratum {
            pairs: vec![(&last, &first)],
            same_stays: false,
        }],
        1,
    )
    .unwrap();
    close(paired.ratio, 3.0, 0.02);
    let width = |ci95: Option<[f64; 2]>| ci95.map(|[low, high]| high - low).unwrap();
    assert!(width(paired.ci95) * 5.0 < width(apart.ci95));
}

#[test]
fn both_ways_to_a_ratio_agree() {
    let stays = |cost: f64| -> Vec<Vec<f64>> {
        (0..8)
            .map(|i| {
                (0..30)
                    .map(|j| cost * (1.0 + 0.02 * f64::from(i)) + f64::from(j))
                    .collect()
            })
            .collect()
    };
    let (a, b) = (sample(&stays(900.0)), sample(&stays(300.0)));
    let one = ratio_of_medians(
        &[Stratum {
            pairs: vec![(&a, &b)],
            same_stays: false,
        }],
        1,
    )
    .unwrap();
    let other = ratio_of_independent(
        (&a, &resampled_medians(&a, 1)),
        (&b, &resampled_medians(&b, 2)),
    )
    .unwrap();
    close(one.ratio, other.ratio, 1e-12);
    for (x, y) in one.ci95.unwrap().into_iter().zip(other.ci95.unwrap()) {
        close(x, y, 0.02);
    }
}

fn stays() -> impl Strategy<Value = Vec<Vec<f64>>> {
    prop::collection::vec(
        prop::collection::vec((1u32..5_000).prop_map(f64::from), 1..30),
        1..8,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn an_interval_holds_the_median_and_only_few_stays_lead_outside_of_the_samples(stays in stays(), seed: u64) {
        let sample = sample(&stays);
        if let Some([low, high]) = median_interval(&sample, seed) {
            prop_assert!(low <= sample.median() && sample.median() <= high && low > 0.0);
            if !(2..FEW_STAYS as usize).contains(&stays.len()) {
                prop_assert!(sample.min() <= low && high <= sample.max());
            }
        } else {
            prop_assert!(sample.n() < 2);
        }
    }

    #[test]
    fn the_order_of_samples_and_of_lines_does_not_matter(stays in stays(), seed: u64) {
        let forward: Vec<(u32, Samples)> =
            stays.iter().enumerate().map(|(i, v)| (i as u32, Samples::Values(v.clone()))).collect();
        let backward: Vec<(u32, Samples)> = forward
            .iter()
            .rev()
            .map(|(i, s)| match s {
                Samples::Values(v) => (*i, Samples::Values(v.iter().rev().copied().collect())),
                Samples::Hdr(text) => (*i, Samples::Hdr(text.clone())),
            })
            .collect();
        let of = |lines: &[(u32, Samples)]| Sample::new(lines.iter().map(|(i, s)| (*i, s))).unwrap();
        prop_assert_eq!(resampled_medians(&of(&forward), seed), resampled_medians(&of(&backward), seed));
    }

    #[test]
    fn scaling_the_samples_scales_the_interval(stays in stays(), seed: u64) {
        let doubled: Vec<Vec<f64>> = stays.iter().map(|stay| stay.iter().map(|v| v * 2.0).collect()).collect();
        let plain = median_interval(&sample(&stays), seed).map(|ci95| ci95.map(|end| end * 2.0));
        let doubled = median_interval(&sample(&doubled), seed);
        prop_assert_eq!(plain.is_some(), doubled.is_some());
        for (a, b) in plain.into_iter().flatten().zip(doubled.into_iter().flatten()) {
            // Logarithms round.
            prop_assert!((a / b - 1.0).abs() < 1e-9, "{} {}", a, b);
        }
    }

    #[test]
    fn every_resampled_median_lies_between_two_samples(stays in stays(), seed: u64) {
        let sample = sample(&stays);
        let mut all: Vec<f64> = stays.concat();
        all.sort_by(f64::total_cmp);
        for median in resampled_medians(&sample, seed).into_iter().take(50) {
            let is_sample = all.contains(&median);
            let is_between = all.iter().any(|a| all.contains(&(2.0 * median - a)));
            prop_assert!(is_sample || is_between, "{}", median);
        }
    }
}
