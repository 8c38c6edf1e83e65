//! What real kube-proxies of every version installed for one population, in every mode: whichever it is read from, the
//! services are those that the API had.
#![allow(missing_docs, reason = "tests are sentences")]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use cluster::{Cluster, Origin, Service};

const MINORS: [&str; 6] = ["1.32", "1.33", "1.34", "1.35", "1.36", "1.37"];
const MODES: [(&str, Origin); 4] = [
    ("iptables-legacy", Origin::Iptables),
    ("iptables-nft", Origin::Iptables),
    ("ipvs", Origin::Ipvs),
    ("nftables", Origin::Nftables),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../netns-harness/tests/kube-proxy")
}

/// A recording, of the minor that it is the same as where it says so.
fn recording(folder: &Path, minor: &str, mode: &str) -> String {
    let text = std::fs::read_to_string(folder.join(minor).join(format!("{mode}.txt"))).unwrap();
    let same = text.lines().find_map(|line| line.strip_prefix("as "));
    same.map_or_else(
        || text.clone(),
        |minor| recording(folder, minor.trim(), mode),
    )
}

/// Services by their names, with their endpoints, as the recording says they were.
fn population(text: &str) -> BTreeMap<String, (String, BTreeSet<String>)> {
    let (_, rest) = text.split_once("=== population\n").unwrap();
    let lines = rest.lines().take_while(|line| !line.starts_with("==="));
    let service = |line: &str| {
        let (service, endpoints) = line
            .split_once(": ")
            .unwrap_or((line.trim_end_matches(':'), ""));
        let (name, vip) = service.split_once(' ').unwrap();
        let endpoints = endpoints.split_whitespace().map(str::to_owned);
        (vip.to_owned(), (name.to_owned(), endpoints.collect()))
    };
    lines.map(service).collect()
}

fn places(service: &Service) -> BTreeSet<String> {
    let endpoints = service.endpoints.iter().flatten();
    let place = |e: &cluster::Endpoint| std::net::SocketAddr::new(e.addr.unwrap(), e.port.unwrap());
    endpoints
        .map(|endpoint| place(endpoint).to_string())
        .collect()
}

/// The dump without the population, which no operator's has.
fn read(text: &str) -> Cluster {
    let (before, rest) = text.split_once("=== population\n").unwrap();
    let after = rest.find("\n===").map_or("", |at| &rest[at..]);
    let dump = format!("{before}{after}");
    cluster::read([("recording", dump.as_bytes())]).unwrap()
}

#[test]
fn every_recording_is_the_population_that_it_was_made_of() {
    let mut read_ = 0;
    for of in ["ipv4", "ipv6", "ipv4-types", "ipv6-types"] {
        for minor in MINORS {
            for (name, mode) in MODES {
                let text = recording(&folder().join(of), minor, name);
                let cluster = read(&text);
                assert_eq!(cluster.mode, Some(mode), "{of} {minor} {name}");
                let expected = population(&text);
                let found: BTreeSet<String> =
                    cluster.services.iter().map(ToString::to_string).collect();
                let wanted: BTreeSet<String> = expected.keys().cloned().collect();
                assert_eq!(found, wanted, "{of} {minor} {name}");
                for service in &cluster.services {
                    let (named, endpoints) = &expected[&service.to_string()];
                    let at = format!("{of} {minor} {name}: {named} {service:?}");
                    if let Some(name) = &service.name {
                        assert_eq!(
                            format!("{}/{}", name.namespace, name.service),
                            *named,
                            "{at}"
                        );
                    }
                    match &service.endpoints {
                        // Of a service that is for this node's pods no other node's endpoint is programmed.
                        None => assert!(service.internal_local, "{at}"),
                        Some(_) if service.internal_local || mode == Origin::Ipvs => {
                            assert!(places(service).is_subset(endpoints), "{at}");
                        }
                        Some(_) => assert_eq!(places(service), *endpoints, "{at}"),
                    }
                }
                read_ += 1;
            }
        }
    }
    assert_eq!(read_, 96);
}

/// What two modes must agree in.
fn told(service: &Service, mode: Origin) -> String {
    let mut outside = (
        service.external_ips.clone(),
        service.load_balancer_ips.clone(),
    );
    outside.0.sort_unstable();
    outside.1.sort_unstable();
    let endpoints = service.endpoints.as_ref().map(|_| places(service));
    // Sets and virtual servers do not tell what is for pods of the node alone, and have its endpoints all the same.
    let within = match mode {
        Origin::Ipvs => None,
        _ => Some((service.internal_local, endpoints)),
    };
    format!(
        "{service} {:?} {:?} {outside:?} {:?} {} {:?} {within:?}",
        service.service_type,
        service.node_port,
        service.source_ranges,
        service.external_local,
        service.affinity_seconds,
    )
}

#[test]
fn services_of_every_type_are_the_same_whatever_the_mode() {
    for of in ["ipv4-types", "ipv6-types"] {
        for minor in MINORS {
            let all = MODES.map(|(name, _)| read(&recording(&folder().join(of), minor, name)));
            for (cluster, (name, mode)) in all.iter().zip(MODES) {
                let told_by = |cluster: &Cluster| -> BTreeSet<String> {
                    cluster
                        .services
                        .iter()
                        .map(|service| told(service, mode))
                        .collect()
                };
                assert_eq!(told_by(cluster), told_by(&all[0]), "{of} {minor} {name}");
            }
            let count =
                |has: fn(&Service) -> bool| all[0].services.iter().filter(|s| has(s)).count();
            assert_eq!(count(|s| s.external_local), 8, "{of} {minor}");
            assert_eq!(count(|s| !s.source_ranges.is_empty()), 4, "{of} {minor}");
            assert_eq!(count(|s| s.affinity_seconds.is_some()), 4, "{of} {minor}");
            assert_eq!(count(|s| !s.external_ips.is_empty()), 4, "{of} {minor}");
        }
    }
}
