//! A whole report of a plausible run.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use reports::{plots, render_html, summarise};
use synthetic::Shape;

fn report(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("report");
    group.sample_size(10);
    let run = synthetic::run(&Shape {
        blocks: 10,
        samples: 100,
        ..Shape::default()
    });
    let summary = summarise(&run);
    group.bench_function("summarise", |b| b.iter(|| summarise(black_box(&run))));
    group.bench_function("render_html", |b| {
        b.iter(|| render_html(&[(black_box(&run), &summary)]))
    });
    let figures = plots::figures(&run, &summary);
    group.bench_function("one chart as SVG", |b| {
        b.iter(|| figures[0].standalone_svg())
    });
    let svg = figures[0].standalone_svg().expect("a chart");
    group.bench_function("one chart as PNG", |b| {
        b.iter(|| plots::png(black_box(&svg)))
    });
    group.finish();
}

criterion_group!(benches, report);
criterion_main!(benches);
