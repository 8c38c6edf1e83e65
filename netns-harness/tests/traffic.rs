//! Who was reached and who asked, over a lab's links.
#![allow(missing_docs, reason = "tests are sentences")]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod kernel;

use std::collections::BTreeMap;
use std::net::IpAddr;

use kernel::{isolated, tool};
use netns_harness::lab::{Lab, Peers, Pinning};
use netns_harness::service::{Frontend, Plan};
use netns_harness::traffic::{Ask, Client, ENDPOINT_PORT, Seen};
use netns_harness::treatment::Source;
use schema::{Family, NodeKind, Protocol};

#[test]
fn a_lab_of_ipv6_is_one_of_ipv6_alone_and_its_endpoints_answer() {
    isolated(|| {
        let lab = Lab::of(Family::Ipv6, Pinning::choose().unwrap()).unwrap();
        let mut client = Client::new(&lab);
        let to = [Protocol::Tcp, Protocol::Udp].map(|protocol| Frontend {
            vip: Plan::of(Family::Ipv6).endpoints.host(0x1_0001),
            port: ENDPOINT_PORT,
            protocol,
        });
        for reached in client.probe_all(&to.map(Ask::from)).unwrap() {
            assert_eq!(reached.endpoint.address, to[0].vip);
            assert_eq!(reached.seen, reached.source);
        }
        let answered = client.leave_flows(&to[1..], 3).unwrap();
        assert!(answered.iter().all(|e| e.address == to[0].vip));
        let list = ["-4", "address", "show", "dev", "client0"];
        let listed = lab.node.run(|| testing::tool("ip", &list, ""));
        assert_eq!(listed.unwrap(), "");
        let outside = Frontend {
            vip: Plan::of(Family::Ipv6).services.host(1),
            ..to[0]
        };
        assert!(client.is_silent(outside).unwrap());
    });
}

#[test]
fn an_endpoint_says_who_asked_so_a_masquerade_on_the_way_is_seen() {
    isolated(|| {
        let lab = Lab::build(Pinning::choose().unwrap()).unwrap();
        let mut client = Client::new(&lab);
        let to = [Protocol::Tcp, Protocol::Udp].map(|protocol| Frontend {
            vip: IpAddr::from([10, 128, 0, 1]),
            port: ENDPOINT_PORT,
            protocol,
        });
        for reached in client.probe_all(&to.map(Ask::from)).unwrap() {
            assert_eq!(reached.endpoint.address, to[0].vip);
            assert_eq!(reached.seen, reached.source);
        }
        let masquerade = "iptables-legacy -t nat -A POSTROUTING -j MASQUERADE";
        lab.node.run(|| tool(masquerade)).unwrap();
        for reached in client.probe_all(&to.map(Ask::from)).unwrap() {
            assert_eq!(reached.endpoint.address, to[0].vip);
            assert_ne!(reached.seen.ip(), reached.source.ip());
        }
        assert!(lab.server.run_delay_ns().is_some() || netns_sys::thread::run_delay_ns().is_none());
    });
}

#[test]
fn clients_outside_and_endpoints_of_the_node_are_there_where_they_are_needed_and_nowhere_else() {
    let peers = Peers {
        local_endpoints: true,
        many_endpoints: true,
        outside: true,
        newcomers: true,
    };
    for family in Family::ALL.iter().copied() {
        isolated(|| {
            let (plan, pinning) = (Plan::of(family), || Pinning::choose().unwrap());
            let to = |vip, protocol| Frontend {
                vip,
                port: ENDPOINT_PORT,
                protocol,
            };
            let (here, there) = (plan.local_endpoints.host(3), plan.endpoints.host(3));
            let far = plan.more_endpoints[1].host(3);
            let node = NodeKind::single(family);
            let lab = Lab::peopled(node, pinning(), &BTreeMap::new(), peers).unwrap();
            let mut client = Client::new(&lab);
            let mut asks = Vec::new();
            for from in Source::ALL {
                assert!(client.has(from));
                for vip in [here, there, far] {
                    let both = [Protocol::Tcp, Protocol::Udp].map(|protocol| to(vip, protocol));
                    asks.extend(both.map(|to| Ask { from, to }));
                }
            }
            // Namespaces take turns, and answers stay in order.
            asks.rotate_left(5);
            for (ask, reached) in asks.iter().zip(client.probe_all(&asks).unwrap()) {
                assert_eq!(reached.endpoint.address, ask.to.vip);
                assert_eq!(reached.seen, reached.source);
                let range = match ask.from {
                    Source::Pod => plan.clients,
                    Source::Node => plan.backends_link,
                    Source::Outside | Source::OutsideInRange => plan.outside,
                };
                assert!(range.contains(reached.source.ip()), "{}", ask.from);
            }
            assert_eq!(client.opened(), asks.len() as u32);
            // Nobody translates here, so that the endpoint asks itself past the node.
            let own = to(here, Protocol::Tcp);
            let endpoint = netns_harness::service::Endpoint::from(own.socket());
            let seen = client.ask_from(endpoint, own).unwrap();
            let Seen::Answered(reached) = seen else {
                panic!("{own} was {seen}");
            };
            assert_eq!((reached.source.ip(), reached.seen), (here, reached.source));
            let routes = |lab: &Lab| {
                let version = match family {
                    Family::Ipv4 => "-4",
                    Family::Ipv6 => "-6",
                };
                let list = || testing::tool("ip", &[version, "route", "show", "table", "all"], "");
                [&lab.client, &lab.node, &lab.backends]
                    .map(|ns| ns.run(list).unwrap())
                    .concat()
            };
            let ranges = [plan.outside, plan.local_endpoints].map(|range| range.to_string());
            let with = routes(&lab);
            assert!(ranges.iter().all(|range| with.contains(range)), "{with}");
            let ordinary = Lab::of(family, pinning()).unwrap();
            let without = routes(&ordinary);
            assert!(
                !ranges.iter().any(|range| without.contains(range)),
                "{without}"
            );
            assert!(!Client::new(&ordinary).has(Source::Outside));
        });
    }
}
