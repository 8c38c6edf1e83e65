//! Who was reached and who asked, over a lab's links.
#![allow(missing_docs, reason = "tests are sentences")]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod kernel;

use std::net::IpAddr;

use kernel::{isolated, tool};
use netns_harness::lab::{Lab, Pinning};
use netns_harness::service::{Frontend, Plan};
use netns_harness::traffic::{Ask, Client, ENDPOINT_PORT};
use schema::{Family, Protocol};

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
