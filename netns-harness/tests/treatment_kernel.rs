//! What becomes of flows from everywhere to every address of services of every kind, on the running kernel: each mode against
//! the same table.
#![allow(missing_docs, reason = "tests are sentences")]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod kernel;

use std::collections::BTreeMap;

use kernel::{isolated, kinds};
use netns_harness::HarnessError;
use netns_harness::datapath::{Engine, RenderOptions, laid_out};
use netns_harness::lab::{Lab, Peers, Pinning};
use netns_harness::service::Population;
use netns_harness::traffic::{Ask, Client, Seen};
use netns_harness::treatment::{Source, Treatment, wanted_by};
use schema::{Family, KubeProxyVersion, Mode, NodeKind};

/// Flows within which one of two endpoints answers but for a chance of 10^-12.
const FLOWS: usize = 40;

/// Runs `test` in a lab in which a mode serves services of every kind.
fn serving(
    mode: Mode,
    version: KubeProxyVersion,
    family: Family,
    test: impl FnOnce(&Lab, &Population) + Send,
) {
    isolated(|| {
        let population = kinds(family);
        let (node, peers) = (NodeKind::single(family), Peers::of(&population));
        let pinning = Pinning::choose().unwrap();
        let lab = Lab::peopled(node, pinning, &BTreeMap::new(), peers).unwrap();
        let mut datapath = laid_out(mode, Engine::default(), version, NodeKind::single(family));
        datapath.fit();
        let facts = datapath.facts();
        lab.set_on_node(facts.node_sysctls).unwrap();
        let options = RenderOptions::by(facts.ordinary());
        let install = datapath.render(None, &population, &options);
        lab.on_node(|| datapath.carry_out(&install)).unwrap();
        test(&lab, &population);
        let errors = lab.on_node(|| Ok::<_, HarnessError>(datapath.remove()));
        assert!(errors.unwrap().is_empty());
    });
}

/// Runs `test` in a lab of each mode that this kernel has, layout and family.
fn in_every_mode(test: impl Fn(&Lab, &Population, Mode, KubeProxyVersion) + Send + Sync) {
    let newest = KubeProxyVersion::default();
    let own = [Mode::IptablesLegacy, Mode::IptablesNft, Mode::Ipvs].map(|mode| (mode, newest));
    let versions = KubeProxyVersion::ALL.iter();
    let nftables = versions.map(|version| (Mode::Nftables, *version));
    let has_ipvs = has_ipvs();
    let all = own.into_iter().chain(nftables);
    for (mode, version) in all.filter(|(mode, _)| *mode != Mode::Ipvs || has_ipvs) {
        for family in Family::ALL.iter().copied() {
            let test = |lab: &Lab, population: &Population| test(lab, population, mode, version);
            serving(mode, version, family, test);
        }
    }
}

/// Whether the kernel has IPVS, which is said where it has not.
fn has_ipvs() -> bool {
    let mut has = false;
    isolated(|| match ipvs_codec::Connection::open() {
        Ok(_) => has = true,
        Err(missing @ netlink::Error::Missing { .. }) => testing::skip_ipvs(missing),
        Err(other) => panic!("{other}"),
    });
    has
}

fn agrees(from: Source, wanted: &Treatment, seen: Seen) -> bool {
    match (wanted, seen) {
        (
            Treatment::Served {
                shares,
                masqueraded,
            },
            Seen::Answered(reached),
        ) => {
            // What the node sends has its address either way, and a random port.
            let kept = reached.seen == reached.source;
            shares.contains_key(&reached.endpoint) && (from == Source::Node || kept != *masqueraded)
        }
        (Treatment::Refused, seen) => seen == Seen::Refused,
        (Treatment::Dropped | Treatment::Untouched, seen) => seen == Seen::Silent,
        _ => false,
    }
}

#[test]
fn flows_from_everywhere_to_every_address_are_treated_as_kube_proxy_treats_them() {
    in_every_mode(|lab, population, mode, version| {
        let mut client = Client::new(lab);
        let mut wrong = Vec::new();
        for service in &population.services {
            for ((from, to), wanted) in wanted_by(version, service, mode) {
                let ask = Ask { from, to };
                let seen = match wanted {
                    Treatment::Dropped | Treatment::Untouched => client.ask_once(ask),
                    Treatment::Served { .. } | Treatment::Refused => client.ask_patiently(ask),
                };
                let seen = seen.unwrap();
                if !agrees(from, &wanted, seen) {
                    let name = service.name();
                    wrong.push(format!("{name}: {from} to {to}: {wanted}, but {seen}"));
                }
            }
        }
        let wrong = wrong.join("\n");
        assert_eq!(wrong, "", "{mode} {version} {}", lab.family());
    });
}

#[test]
fn an_endpoint_of_the_node_reaches_itself_by_its_service_and_only_masqueraded() {
    in_every_mode(|lab, population, mode, version| {
        let mut client = Client::new(lab);
        let with_local = population.services.iter().filter(|s| !s.local.is_empty());
        for service in with_local {
            let own = service.local[0];
            let mut ask = || client.ask_from(own, service.frontend).unwrap();
            // Other endpoints are where it is, so that a flow to them does not come back through the node.
            let to_itself = (0..FLOWS).map(|_| ask()).find(|seen| *seen != Seen::Silent);
            let name = format!("{mode} {version} {}", service.name());
            let Some(Seen::Answered(reached)) = to_itself else {
                panic!("{name}: {to_itself:?}");
            };
            assert_eq!(reached.endpoint, own, "{name}");
            assert_ne!(reached.seen.ip(), own.address, "{name}");
        }
    });
}

#[test]
fn a_client_that_is_remembered_comes_back_to_its_endpoint_and_others_to_each() {
    in_every_mode(|lab, population, mode, version| {
        let mut client = Client::new(lab);
        let mut services = population.services.iter();
        let remembering = services.find(|s| s.exposure.affinity_s.is_some());
        let to = remembering.unwrap().frontend;
        let mut reached = std::collections::BTreeSet::new();
        for _ in 0..FLOWS {
            let [first, second] = client.probe_twice(to).unwrap();
            assert_eq!(first.endpoint, second.endpoint, "{mode} {version}");
            assert_eq!(first.source.ip(), second.source.ip());
            reached.insert(first.endpoint);
        }
        assert_eq!(reached.len(), 2, "{mode} {version}");
    });
}
