//! Reading the results of a run of 10,000 cells.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use reports::load;
use synthetic::Shape;

const CELLS: usize = 10_000;

fn loading(criterion: &mut Criterion) {
    let mut run = synthetic::run(&Shape {
        blocks: 25,
        samples: 100,
        ..Shape::default()
    });
    assert!(run.cells.len() >= CELLS, "{} cells", run.cells.len());
    run.cells.truncate(CELLS);
    let text = synthetic::lines(&run).expect("what was made can be written");
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("results.jsonl");
    std::fs::write(&path, &text).expect("room for the results");
    let mut group = criterion.benchmark_group("load");
    group.sample_size(10);
    group.throughput(Throughput::Bytes(text.len() as u64));
    group.bench_function("results.jsonl of 10,000 cells", |b| {
        b.iter(|| load(black_box(&path)).expect("a run"))
    });
    group.finish();
}

criterion_group!(benches, loading);
criterion_main!(benches);
