//! How long it takes to make a population.
#![allow(
    missing_docs,
    reason = "criterion's macros make undocumented functions"
)]

use criterion::{Criterion, criterion_group, criterion_main};
use scenarios::population::{CLUSTER_IPS, Recipe};
use schema::{Family, Protocol};

fn population(c: &mut Criterion) {
    let recipe = Recipe {
        family: Family::Ipv4,
        seed: 1,
        endpoints: 2,
        vip_stride: None,
        types: CLUSTER_IPS,
        imported: None,
        protocols: &[Protocol::Tcp, Protocol::Udp],
    };
    c.bench_function("population of 10,000 services with 2 endpoints", |b| {
        b.iter(|| recipe.population(10_000))
    });
}

criterion_group!(benches, population);
criterion_main!(benches);
