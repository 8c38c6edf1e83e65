//! Bootstrap and fits at the sizes of a real run: 15 stays of 1,000 first packets, or of four updates.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use reports::statistics::{Sample, Size, linear, median_interval};
use schema::Samples;

/// 15 stays of so many samples.
fn sample(samples: u32, shift: f64) -> Sample {
    let stays: Vec<(u32, Samples)> = (0..15u32)
        .map(|stay| {
            let value = |i: u32| {
                (shift + f64::from(stay) * 150.0 + f64::from(i.wrapping_mul(7919) % 5_003)).round()
            };
            (stay, Samples::Values((0..samples).map(value).collect()))
        })
        .collect();
    Sample::new(stays.iter().map(|(stay, samples)| (*stay, samples))).expect("samples")
}

fn statistics(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("statistics");
    group.sample_size(10);
    let one = sample(1_000, 30_000.0);
    group.bench_function("median interval, 15 stays x 1,000 samples", |b| {
        b.iter(|| median_interval(black_box(&one), 1))
    });
    let small = sample(4, 30_000.0);
    group.bench_function("median interval, 15 stays x 4 samples", |b| {
        b.iter(|| median_interval(black_box(&small), 1))
    });
    let samples: Vec<(u32, Sample)> = [100u32, 300, 1_000, 3_000, 10_000]
        .map(|n| (n, sample(1_000, 30_000.0 + 6.0 * f64::from(n))))
        .into();
    group.bench_function("linear fit, 5 sizes x 15 stays x 1,000 samples", |b| {
        b.iter(|| {
            let sizes: Vec<Size> = samples
                .iter()
                .map(|(services, sample)| Size::of(*services, black_box(sample), 1))
                .collect();
            linear(&sizes)
        })
    });
    group.finish();
}

criterion_group!(benches, statistics);
criterion_main!(benches);
