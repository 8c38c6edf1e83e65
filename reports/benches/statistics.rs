//! Bootstrap and fits at the size of a real run: 15 stays of 1,000 samples.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use reports::statistics::{Sample, Size, linear, median_interval};
use schema::Samples;

fn sample(shift: f64) -> Sample {
    let stays: Vec<(u32, Samples)> = (0..15u32)
        .map(|stay| {
            let value = |i: u32| {
                (shift + f64::from(stay) * 150.0 + f64::from(i.wrapping_mul(7919) % 5_003)).round()
            };
            (stay, Samples::Values((0..1_000).map(value).collect()))
        })
        .collect();
    Sample::new(stays.iter().map(|(stay, samples)| (*stay, samples))).expect("15,000 samples")
}

fn statistics(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("statistics");
    group.sample_size(10);
    let one = sample(30_000.0);
    group.bench_function("median interval, 15 stays x 1,000 samples", |b| {
        b.iter(|| median_interval(black_box(&one), 1))
    });
    let samples: Vec<(u32, Sample)> = [100u32, 300, 1_000, 3_000, 10_000]
        .map(|n| (n, sample(30_000.0 + 6.0 * f64::from(n))))
        .into();
    let sizes: Vec<Size<'_>> = samples
        .iter()
        .map(|(services, sample)| Size {
            services: *services,
            sample,
        })
        .collect();
    group.bench_function("linear fit, 5 sizes x 15 stays x 1,000 samples", |b| {
        b.iter(|| linear(black_box(&sizes), 1))
    });
    group.finish();
}

criterion_group!(benches, statistics);
criterion_main!(benches);
