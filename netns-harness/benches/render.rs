//! How long our own part of an update takes: rendering and encoding, which no timed apply contains.
#![allow(
    missing_docs,
    reason = "criterion's macros make undocumented functions"
)]

use std::net::Ipv4Addr;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use netns_harness::datapath::{RenderOptions, registry};
use netns_harness::service::{Endpoint, Frontend, Population, Service};
use schema::{Mode, Protocol};

fn population(services: u32) -> Population {
    let service = |index: u32| {
        Service::cluster_ip(
            index,
            Frontend {
                vip: Ipv4Addr::from_bits(0x0a60_0001 + index).into(),
                port: 80,
                protocol: Protocol::Tcp,
            },
            (0..2)
                .map(|e| Endpoint {
                    address: Ipv4Addr::from_bits(0x0a80_0000 + 2 * index + e).into(),
                    port: 8080,
                })
                .collect(),
        )
    };
    Population {
        services: (0..services).map(service).collect(),
    }
}

fn render(c: &mut Criterion) {
    let (before, after) = (population(1_000), population(1_001));
    for mode in Mode::ALL.iter().filter(|mode| !mode.is_floor()) {
        let datapath = registry(*mode);
        for transport in datapath.facts().transports() {
            let options = RenderOptions::by(transport);
            c.bench_function(
                &format!("{mode} {transport}: cold install of 1,000 services"),
                |b| {
                    b.iter_batched(
                        || (),
                        |()| datapath.render(None, &before, &options),
                        BatchSize::LargeInput,
                    );
                },
            );
            c.bench_function(
                &format!("{mode} {transport}: service-add at 1,000 services"),
                |b| {
                    b.iter_batched(
                        || (),
                        |()| datapath.render(Some(&before), &after, &options),
                        BatchSize::LargeInput,
                    );
                },
            );
        }
    }
}

/// What grows with N: an update's shared chains, and everything in a resync.
fn iptables(c: &mut Criterion) {
    let (before, after) = (population(10_000), population(10_001));
    let datapath = registry(Mode::IptablesNft);
    for (name, from, to, resync) in [
        ("service-add", &before, &after, false),
        ("resync", &before, &before, true),
    ] {
        for transport in datapath.facts().transports() {
            let options = RenderOptions {
                resync,
                ..RenderOptions::by(transport)
            };
            c.bench_function(
                &format!("iptables {transport}: {name} at 10,000 services"),
                |b| {
                    b.iter_batched(
                        || (),
                        |()| datapath.render(Some(from), to, &options),
                        BatchSize::LargeInput,
                    );
                },
            );
        }
    }
}

criterion_group!(benches, render, iptables);
criterion_main!(benches);
