//! What tests of a datapath on the running kernel share.
#![allow(dead_code, reason = "each test uses a part")]

use netns_harness::datapath::{Batch, Datapath, Sockets};
use netns_harness::service::{
    AFFINITY_S, Endpoint, Exposure, Frontend, LAST_HEALTH_CHECK_PORT, NODE_PORTS, Plan, Population,
    Service,
};
use netns_harness::traffic::ENDPOINT_PORT;
use nix::sched::CloneFlags;
use schema::{Family, Protocol};

/// Runs `test` in network and mount namespaces of its own: its /run holds the tools' lock.
pub(crate) fn isolated(test: impl FnOnce() + Send) {
    let kinds = CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS;
    let mount = || Ok(netns_sys::isolation::mount_private(&[]).map(drop)?);
    testing::isolated(kinds, mount, test);
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

/// How the services of [`kinds`] are reached, and how many of their two endpoints are on the node; of the last there are
/// no endpoints at all.
fn exposures(plan: &Plan, index: u32) -> [(Exposure, usize); 9] {
    let none = Exposure::default;
    let port = Exposure {
        node_port: Some(*NODE_PORTS.start() + index as u16),
        ..none()
    };
    let balanced = Exposure {
        load_balancer: vec![plan.load_balancers.host(1 + index)],
        ..port.clone()
    };
    let external = Exposure {
        external: vec![plan.externals.host(1 + index)],
        ..none()
    };
    let ranged = Exposure {
        source_ranges: vec![plan.ranged],
        affinity_s: Some(AFFINITY_S),
        ..balanced.clone()
    };
    let local = Exposure {
        external: external.external.clone(),
        external_local: true,
        health_check_port: Some(LAST_HEALTH_CHECK_PORT - index as u16),
        ..balanced
    };
    let internal = Exposure {
        internal_local: true,
        ..none()
    };
    [
        (none(), 0),
        (port, 0),
        (external, 1),
        (ranged, 0),
        (local.clone(), 0),
        (local, 1),
        (internal.clone(), 0),
        (internal, 1),
        (none(), 0),
    ]
}

/// Services of every kind that kube-proxy treats otherwise than others, of both protocols: with two endpoints each, the last
/// of a protocol with none.
pub(crate) fn kinds(family: Family) -> Population {
    let plan = Plan::of(family);
    let mut services = Vec::new();
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        for kind in 0..9 {
            let index = services.len() as u32;
            let [first, second] = [2 * index, 2 * index + 1].map(|number| 1 + number);
            let (exposure, here) = exposures(plan, index)[kind].clone();
            let at = |address| Endpoint {
                address,
                port: ENDPOINT_PORT,
            };
            let local: Vec<Endpoint> = [plan.local_endpoints.host(first)].map(at)[..here].to_vec();
            let remote = [first, second].map(|number| at(plan.endpoints.host(number)));
            let remote = &remote[..2 - here];
            let frontend = Frontend {
                vip: plan.services.host(1 + index),
                port: 80,
                protocol,
            };
            let endpoints = match kind {
                8 => Vec::new(),
                _ => [&local[..], remote].concat(),
            };
            let mut service = Service {
                local,
                exposure,
                ..Service::cluster_ip(index, frontend, endpoints)
            };
            service.sort_endpoints();
            services.push(service);
        }
    }
    Population { services }
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
