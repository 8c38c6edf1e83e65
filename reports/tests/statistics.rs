//! Statistics against reference values, and properties that hold for all data. Reference values come
//! from NumPy 2.4.6 and SciPy 1.17.1; each test names the expression.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use proptest::prelude::*;
use rand::SeedableRng;
use rand_distr::{Distribution, Normal};
use rand_xoshiro::Xoshiro256PlusPlus;
use reports::statistics::{
    LINEAR_SIZES, Sample, Size, Stratum, linear, median_interval, power, quantile,
    ratio_of_independent, ratio_of_medians, resampled_medians, seed_of,
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

#[test]
fn ninety_five_in_a_hundred_intervals_hold_the_true_median() {
    // Labs differ by 5 %, samples inside a lab by 2 %; the true median is 1000. Seeds are fixed: this
    // either always holds or never does. A binomial count of 200 at 95 % lies above 180 with p > 0.998.
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(11);
    let (lab, inside) = (
        Normal::new(0.0, 0.05).unwrap(),
        Normal::new(0.0, 0.02).unwrap(),
    );
    for stays in [5, 12] {
        let held = (0..200u64)
            .filter(|&seed| {
                let stays: Vec<Vec<f64>> = (0..stays)
                    .map(|_| {
                        let lab: f64 = lab.sample(&mut rng);
                        (0..5)
                            .map(|_| 1_000.0 * (lab + inside.sample(&mut rng)).exp())
                            .collect()
                    })
                    .collect();
                median_interval(&sample(&stays), seed)
                    .is_some_and(|[low, high]| low <= 1_000.0 && 1_000.0 <= high)
            })
            .count();
        assert!((181..=200).contains(&held), "{stays} stays: {held} of 200");
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

fn sizes(samples: &[(u32, Sample)]) -> Vec<Size<'_>> {
    samples
        .iter()
        .map(|(services, sample)| Size {
            services: *services,
            sample,
        })
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
    let fit = linear(&sizes(&samples), 1).unwrap();
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
    let fit = linear(&sizes(&samples), 1).unwrap();
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
    let fit = power(&sizes(&grown(at)), 1).unwrap();
    close(fit.estimate, 0.9109471307212664, 1e-9);
    close(fit.intercept, 0.0006552262760855353, 1e-9);
}

#[test]
fn a_fit_needs_sizes_and_samples() {
    let samples = grown(|n| 30_000.0 + 6.0 * n);
    let all = sizes(&samples);
    assert!(linear(&all[..LINEAR_SIZES - 1], 1).is_none());
    assert!(power(&all[..1], 1).is_none());
    let single = sample(&[vec![1.0, 2.0, 3.0]]);
    let with_single = [
        all[0],
        Size {
            services: 300,
            sample: &single,
        },
    ];
    assert!(
        power(&with_single, 1).is_none(),
        "two sizes, one of them a single stay: nothing to judge by"
    );
    let zero = sample(&[vec![0.0, 0.0]]);
    assert!(
        power(
            &[
                all[0],
                Size {
                    services: 300,
                    sample: &zero
                }
            ],
            1
        )
        .is_none()
    );
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
    fn an_interval_lies_inside_the_samples_and_is_in_order(stays in stays(), seed: u64) {
        let sample = sample(&stays);
        if let Some([low, high]) = median_interval(&sample, seed) {
            prop_assert!(sample.min() <= low && low <= high && high <= sample.max());
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
        prop_assert_eq!(plain, median_interval(&sample(&doubled), seed));
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
