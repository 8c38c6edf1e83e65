//! Serves N services of two endpoints each (`serve N`) and is driven by lines on standard input: `add NAME`,
//! `change NAME` (another endpoint), `delete NAME`, `drop` (all connections), `requests`, `cpu`. The first line that it
//! prints is a kubeconfig; then each command is answered by a line that begins with its first word. Service `svc-0` and
//! the like are there from the beginning, all in namespace `bench`.
//!
//! What looks at it from outside must be able to fail: `SERVE_FAULT=skip` answers the second `change` without making it.

use std::error::Error;
use std::io::{BufRead, Write, stdin, stdout};
use std::net::{IpAddr, Ipv4Addr};

use kube_api::{
    Api, Change, Endpoint, EndpointPort, EndpointSlice, Kind, Node, Object, Protocol, Service,
    ServiceCidr, ServicePort,
};

const NAMESPACE: &str = "bench";

/// Address `nth` of a /16.
fn address(first: [u8; 2], nth: u32) -> IpAddr {
    let base = u32::from(Ipv4Addr::new(first[0], first[1], 0, 0));
    Ipv4Addr::from(base + nth).into()
}

/// A service and its slice. Its number gives the addresses, its turn the second endpoint.
fn service(name: &str, nth: u32, turn: u32) -> [Change; 2] {
    let port = ServicePort {
        name: "p80".to_owned(),
        protocol: Protocol::Tcp,
        port: 80,
        target_port: 8080,
        node_port: None,
    };
    let service = Service::cluster_ip(NAMESPACE, name, address([10, 96], nth + 1), vec![port]);
    let endpoints = [2 * nth + 1, 2 * (nth + turn) + 2]
        .map(|endpoint| Endpoint::ready(address([10, 180], endpoint), Some("node")));
    let port = EndpointPort {
        name: "p80".to_owned(),
        protocol: Protocol::Tcp,
        port: 8080,
    };
    let slice = EndpointSlice::of(NAMESPACE, name, endpoints.to_vec(), vec![port]);
    [Object::Service(service), Object::EndpointSlice(slice)].map(Change::Put)
}

/// The slice alone, as it is after so many turns.
fn slice(name: &str, nth: u32, turn: u32) -> Change {
    let [_, slice] = service(name, nth, turn);
    slice
}

fn gone(name: &str) -> Vec<Change> {
    let delete = |kind, name: String| Change::Delete(kind, Some(NAMESPACE.to_owned()), name);
    vec![
        delete(Kind::EndpointSlice, format!("{name}-slice")),
        delete(Kind::Service, name.to_owned()),
    ]
}

fn main() -> Result<(), Box<dyn Error>> {
    let services: u32 = std::env::args()
        .nth(1)
        .map_or(Ok(10), |count| count.parse())?;
    let skip = std::env::var("SERVE_FAULT").is_ok_and(|fault| fault == "skip");
    let api = Api::start(Node::named("node", &["192.0.2.1".parse()?]))?;
    let mut first = vec![Change::Put(Object::ServiceCidr(ServiceCidr::of(vec![
        "10.96.0.0/16".to_owned(),
    ])))];
    first.extend((0..services).flat_map(|nth| service(&format!("svc-{nth}"), nth, 0)));
    api.apply(first)?;
    println!("{}", api.kubeconfig());

    let mut turn = 0;
    for line in stdin().lock().lines() {
        let line = line?;
        let (command, name) = line.split_once(' ').unwrap_or((&line, ""));
        let nth = name.strip_prefix("svc-").map_or(Ok(0), str::parse)?;
        let said = match command {
            "add" => api.apply(service(name, nth, 0).to_vec())?.to_string(),
            "change" => {
                turn += 1;
                match turn {
                    2 if skip => "made".to_owned(),
                    _ => api.apply(vec![slice(name, nth, turn)])?.to_string(),
                }
            }
            "delete" => api.apply(gone(name))?.to_string(),
            "drop" => {
                api.drop_connections();
                String::new()
            }
            "requests" => format!("{:?}", api.requests()),
            "cpu" => format!("{} ns", api.cpu_ns()?),
            _ => "no such command".to_owned(),
        };
        println!("{command} {said}");
        stdout().flush()?;
    }
    Ok(())
}
