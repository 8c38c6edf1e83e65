//! What tests of a datapath on the running kernel share.
#![allow(dead_code, reason = "each test uses a part")]

use netns_harness::datapath::{Batch, Datapath, Sockets};
use netns_harness::service::{Endpoint, Frontend, Plan, Population, Service};
use netns_harness::traffic::ENDPOINT_PORT;
use nix::sched::CloneFlags;
use schema::{Family, Protocol};

/// Runs `test` in network and mount namespaces of its own: its /run holds the tools' lock.
pub(crate) fn isolated(test: impl FnOnce() + Send) {
    let kinds = CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS;
    testing::isolated(kinds, netns_sys::isolation::mount_private, test);
}

/// Services of IPv4 that take turns with the protocols.
pub(crate) fn population(services: u32, endpoints: u32) -> Population {
    population_of(Family::Ipv4, services, endpoints)
}

/// The same of a family.
pub(crate) fn population_of(family: Family, services: u32, endpoints: u32) -> Population {
    let plan = Plan::of(family);
    let service = |index: u32| {
        Service::cluster_ip(
            index,
            Frontend {
                vip: plan.services.host(1 + index),
                port: 80,
                protocol: [Protocol::Tcp, Protocol::Udp][index as usize % 2],
            },
            (0..endpoints)
                .map(|e| Endpoint {
                    address: plan.endpoints.host(1 + index * endpoints + e),
                    port: ENDPOINT_PORT,
                })
                .collect(),
        )
    };
    Population {
        services: (0..services).map(service).collect(),
    }
}

/// Applies a batch, and sees that every socket that it needed was open before: what is opened in between is
/// timed.
pub(crate) fn applies(datapath: &dyn Datapath, batch: &Batch) {
    let mut sockets = Sockets::of(batch).unwrap();
    datapath.apply(batch, &mut sockets).unwrap();
    assert_eq!(sockets.kinds(), batch.sockets());
}

/// Carries out a tool's command line.
pub(crate) fn tool(line: &str) {
    let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    carry_out(&words);
}

pub(crate) fn carry_out(words: &[String]) {
    testing::tool(&words[0], &words[1..], "");
}
