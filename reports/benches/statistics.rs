//! What a report of a real run computes a thousand times: values from 15 stays of 1,000 first packets, and the curves
//! of updates through eight blocks.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use reports::statistics::{Curve, Known, Sample, fit};

/// 15 stays of so many samples.
fn stays(samples: u32) -> Vec<(u32, Vec<f64>)> {
    let value = |stay: u32, i: u32| {
        (30_000.0 + f64::from(stay) * 150.0 + f64::from(i.wrapping_mul(7919) % 5_003)).round()
    };
    (0..15)
        .map(|stay| {
            let values = (0..samples).map(|i| value(stay, i)).collect();
            (stay, values)
        })
        .collect()
}

fn statistics(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("statistics");
    group.sample_size(10);
    let stays = stays(1_000);
    group.bench_function("value and interval, 15 stays x 1,000 samples", |b| {
        b.iter(|| {
            let sample = Sample::new(
                black_box(&stays)
                    .iter()
                    .map(|(stay, s)| (*stay, s.as_slice())),
            )?;
            let medians: Vec<f64> = sample.stays().iter().map(|(_, median)| *median).collect();
            Known::of_stays(&medians)
        })
    });
    let sizes = [100u32, 300, 1_000, 3_000, 10_000];
    let cost =
        |block: u32, n: u32| (1.0 + 0.01 * f64::from(block)) * (30.0 + f64::from(n).powf(1.1));
    let blocks: Vec<Vec<f64>> = (0..8)
        .map(|block| sizes.iter().map(|n| cost(block, *n)).collect())
        .collect();
    group.bench_function("fixed part and power, 5 sizes x 8 blocks", |b| {
        b.iter(|| fit(Curve::OffsetPower, &sizes, black_box(&blocks), false))
    });
    group.finish();
}

criterion_group!(benches, statistics);
criterion_main!(benches);
