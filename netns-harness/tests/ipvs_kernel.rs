//! Mode ipvs on the running kernel, each test in namespaces that end with its thread. A kernel without
//! IPVS must be named as such; the rest is then skipped, and said so: scripts/verify/ipvs-in-guest runs it.
#![allow(missing_docs, reason = "tests are sentences")]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod kernel;

use std::net::TcpStream;
use std::process::Command;

use ipvs_codec::Connection;
use kernel::{isolated, population, population_of};
use netlink::Error;
use netns_harness::datapath::ipvs::Ipvs;
use netns_harness::datapath::{
    Breakable, Damage, Datapath, Inspect, KubeProxy, RenderOptions, Sockets, SyncKind, Transport,
};
use netns_harness::lab::{Lab, Pinning};
use netns_harness::relation::Relation;
use netns_harness::remedy::Remedy;
use netns_harness::service::Population;
use netns_harness::traffic::{Ask, Client};
use schema::{Family, Stack};

const TRANSPORTS: [Transport; 3] = [Transport::Netlink, Transport::Ipvsadm, Transport::Exec];

/// Runs `test` where the kernel has IPVS.
fn with_ipvs(test: impl FnOnce() + Send) {
    isolated(|| match Connection::open() {
        Ok(_) => test(),
        Err(missing @ Error::Missing { .. }) => testing::skip_ipvs(missing),
        Err(other) => panic!("{other}"),
    });
}

/// Applies and lets the kernel's listing be that of `to`.
fn goes_to(ipvs: &Ipvs, from: Option<&Population>, to: &Population, options: &RenderOptions) {
    kernel::applies(ipvs, &ipvs.render(from, to, options));
    let listed = ipvs.census().unwrap();
    assert_eq!(listed.differences(&Relation::of(to)), None);
}

#[test]
fn a_kernel_without_ipvs_is_named_with_its_remedy_and_has_nothing_left() {
    isolated(|| {
        let ipvs = Ipvs::of(Family::Ipv4);
        let probed = ipvs.probe(Transport::Netlink);
        match Connection::open() {
            Ok(_) => assert_eq!(probed, Ok(())),
            Err(_) => {
                let said = probed.unwrap_err();
                assert!(said.reason.contains("CONFIG_IP_VS"), "{said:?}");
                assert_eq!(said.remedy, Some(Remedy::modules(["ip_vs", "ip_vs_rr"])));
            }
        }
        assert!(ipvs.remove().is_empty());
        assert_eq!(ipvs.leftovers().unwrap(), None);
    });
}

#[test]
fn every_transport_installs_updates_resyncs_and_leaves_nothing() {
    let families = Family::ALL.iter().copied();
    for (family, transport) in families.flat_map(|f| TRANSPORTS.map(|transport| (f, transport))) {
        with_ipvs(move || {
            let ipvs = Ipvs::of(family);
            assert_eq!(ipvs.probe(transport), Ok(()));
            let options = RenderOptions::by(transport);
            let mut changed = population_of(family, 40, 2);
            goes_to(&ipvs, None, &changed, &options);
            let counted = ipvs.inventory().unwrap();
            assert_eq!(
                (
                    counted.rules,
                    counted.chains,
                    counted.sets,
                    counted.elements
                ),
                (28, 11, 17, 40 * 6)
            );
            let before = changed.clone();
            changed.services.remove(15);
            changed.services[0].endpoints[1].port = 9090;
            changed.services[1].endpoints.truncate(1);
            let last = population_of(family, 49, 2).services.remove(48);
            changed.services.push(last);
            goes_to(&ipvs, Some(&before), &changed, &options);
            let resync = RenderOptions {
                resync: true,
                ..options
            };
            goes_to(&ipvs, Some(&changed), &changed, &resync);
            goes_to(&ipvs, Some(&changed), &before, &options);
            let mut sockets = Sockets::default();
            ipvs.ask_as_kube_proxy(&before, SyncKind::Partial, &options, &mut sockets)
                .unwrap();
            let sync = ipvs.kube_proxy_sync(SyncKind::Partial, false).unwrap();
            assert_eq!(sockets.kinds(), sync.sockets.iter().copied().collect());
            for _ in 0..2 {
                let errors = ipvs.remove();
                assert!(errors.is_empty(), "{errors:?}");
                assert_eq!(ipvs.leftovers().unwrap(), None);
            }
            assert_eq!(ipvs.census().unwrap(), Relation::default());
        });
    }
}

#[test]
fn every_damage_is_seen() {
    with_ipvs(|| {
        let families = Family::ALL.iter().copied();
        for (family, damage) in families.flat_map(|f| Damage::ALL.iter().map(move |d| (f, *d))) {
            let whole = population_of(family, 4, 2);
            let ipvs = Ipvs::of(family);
            goes_to(&ipvs, None, &whole, &RenderOptions::by(Transport::Netlink));
            for words in ipvs.damage(damage, &whole.services[0], &whole.services[2]) {
                let status = Command::new(&words[0]).args(&words[1..]).status();
                assert!(status.unwrap().success(), "{words:?}");
            }
            let seen = match ipvs.census() {
                Ok(listed) => listed.differences(&Relation::of(&whole)).is_some(),
                Err(_) => true,
            };
            assert!(seen, "{}", damage.name());
            assert!(ipvs.remove().is_empty());
        }
    });
}

#[test]
fn both_families_stand_beside_each_other_and_one_leaves_the_other() {
    with_ipvs(|| {
        for family in Family::ALL.iter().copied() {
            let another = family.other();
            let [one, other] = [family, another].map(|of| Ipvs::of(of).on(Stack::Dual));
            let options = RenderOptions::by(Transport::Netlink);
            let first = population_of(family, 3, 2);
            let second = population_of(another, 3, 2);
            goes_to(&one, None, &first, &options);
            goes_to(&other, None, &second, &options);
            goes_to(&one, Some(&first), &population_of(family, 4, 1), &options);
            let errors = one.remove();
            assert!(errors.is_empty(), "{errors:?}");
            assert_eq!(one.leftovers().unwrap(), None);
            let listed = other.census().unwrap();
            assert_eq!(listed.differences(&Relation::of(&second)), None);
            assert!(other.remove().is_empty());
            assert_eq!(other.leftovers().unwrap(), None);
        }
    });
}

#[test]
fn an_endpoint_that_leaves_keeps_its_connections_takes_no_new_ones_and_can_come_back() {
    with_ipvs(|| {
        let lab = Lab::build(Pinning::choose().unwrap()).unwrap();
        let ipvs = Ipvs::of(Family::Ipv4);
        let options = RenderOptions::by(Transport::Netlink);
        let (both, mut one) = (population(1, 2), population(1, 2));
        let leaving = one.services[0].endpoints.pop().unwrap();
        let frontend = both.services[0].frontend;
        let mut client = Client::new(&lab);
        let reached = |client: &mut Client<'_>| {
            let answers = client.probe_all(&[Ask::from(frontend); 8]).unwrap();
            let endpoints = answers.into_iter().map(|answer| answer.endpoint);
            endpoints.collect::<std::collections::BTreeSet<_>>()
        };
        lab.on_node(|| {
            goes_to(&ipvs, None, &both, &options);
            Ok(())
        })
        .unwrap();
        // Round robin: of two connections one is the leaving endpoint's, and both are held open.
        let held = lab
            .client
            .run(|| [(); 2].map(|()| TcpStream::connect((frontend.vip, frontend.port)).unwrap()));
        assert!(reached(&mut client).contains(&leaving));
        lab.on_node(|| {
            goes_to(&ipvs, Some(&both), &one, &options);
            let id = ipvs_codec::ServiceId {
                protocol: ipvs_codec::Protocol::Tcp,
                address: frontend.vip,
                port: frontend.port,
            };
            let listed = Connection::open().unwrap().destinations(id).unwrap();
            let quiescent = listed.iter().find(|d| d.destination.weight == 0).unwrap();
            assert_eq!(quiescent.destination.server.address, leaving.address);
            assert!(quiescent.active + quiescent.inactive >= 1, "{quiescent:?}");
            Ok(())
        })
        .unwrap();
        assert!(!reached(&mut client).contains(&leaving));
        drop(held);
        lab.on_node(|| {
            goes_to(&ipvs, Some(&one), &both, &options);
            Ok(())
        })
        .unwrap();
        assert!(reached(&mut client).contains(&leaving));
    });
}
