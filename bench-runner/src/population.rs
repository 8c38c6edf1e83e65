//! Dumps of a cluster as services that can be measured (`--population`).

use std::fs::File;
use std::io::BufReader;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use cluster::{Cluster, EndpointShape, Origin, PortShape, Shape};
use netns_harness::service::{AFFINITY_S, MAX_ENDPOINTS};
use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_xoshiro::Xoshiro256PlusPlus;
use scenarios::imported::{Imported, Kind};
use schema::{Family, Mode, NodeKind, Protocol, Proxier, Stack};

use crate::cli::RunArgs;
use crate::exit::{Usage, refused};

/// A run's own copy of the shape, in its directory.
pub(crate) const FILE: &str = "population.json";
/// The services of the dumps with their names, where a run keeps them.
pub(crate) const NAMES: &str = "services.tsv";
/// How much of a file is read at a time, bytes.
const BLOCK: usize = 1 << 16;

/// What files that are parts of one cluster say of it.
///
/// # Errors
/// One cannot be read, is none, or contradicts another: one line with the remedy.
pub(crate) fn read(files: &[PathBuf]) -> Result<Cluster, Usage> {
    let labels: Vec<String> = files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    let mut readers = Vec::new();
    for (label, path) in labels.iter().zip(files) {
        let file = File::open(path).map_err(|e| Usage(format!("read {label}: {e}")))?;
        readers.push((label.as_str(), BufReader::with_capacity(BLOCK, file)));
    }
    cluster::read(readers).map_err(|why| Usage(why.to_string()))
}

/// What a run keeps of dumps.
pub(crate) struct Resolved {
    /// Their shape.
    pub(crate) shape: Shape,
    /// Their services with their names and addresses, where that was asked.
    pub(crate) names: Option<String>,
}

/// Reads what `--population` names, if it names anything.
///
/// # Errors
/// As [`read`]; nothing in it can be measured on the nodes that are asked for.
pub(crate) fn resolve(args: &mut RunArgs) -> Result<Option<Resolved>, Usage> {
    if args.population.is_empty() {
        return Ok(None);
    }
    let option = |Usage(why): Usage| Usage(format!("--population: {why}"));
    let read = read(&args.population).map_err(option)?;
    let shape = Shape::of(&read);
    let nodes = args.families.nodes();
    let [node] = nodes.as_slice() else {
        return refused(
            "--population: its services are measured on one kind of node: --families ipv4, ipv6 or ipv4,ipv6",
        );
    };
    let imported = services(&shape, family_of(*node)).map_err(option)?;
    args.imported = Some(Arc::new(imported));
    if args.leaving.is_empty() {
        args.leaving = shape.mode.map_or_else(Vec::new, modes_of);
        args.leaving
            .retain(|mode| args.modes.is_empty() || args.modes.contains(mode));
    }
    Ok(Some(Resolved {
        shape,
        names: args.keep_names.then(|| named(&read)),
    }))
}

/// Every service as the dumps have it, a line each.
fn named(read: &Cluster) -> String {
    let mut lines = "namespace/name\tservice\tendpoints\n".to_owned();
    for service in &read.services {
        let name = service.name.as_ref();
        let name = name.map_or_else(|| "-".to_owned(), ToString::to_string);
        let endpoints = service.endpoints.iter().flatten();
        let endpoints = endpoints.map(|endpoint| match (endpoint.addr, endpoint.port) {
            (Some(address), Some(port)) => SocketAddr::new(address, port).to_string(),
            _ => "?".to_owned(),
        });
        let endpoints = endpoints.collect::<Vec<_>>().join(", ");
        lines.push_str(&format!("{name}\t{service}\t{endpoints}\n"));
    }
    lines
}

/// The family whose services are measured: on a dual-stack node, whose services have an address of each, those of IPv4.
const fn family_of(node: NodeKind) -> Family {
    match node.stack {
        Stack::Single => node.family,
        Stack::Dual => Family::Ipv4,
    }
}

/// The modes whose rules a dump may be of: of iptables' it does not tell the engine.
fn modes_of(origin: Origin) -> Vec<Mode> {
    let proxier = match origin {
        Origin::Iptables => Proxier::Iptables,
        Origin::Ipvs => Proxier::Ipvs,
        Origin::Nftables => Proxier::Nftables,
    };
    let of = |mode: &&Mode| mode.row().proxier == Some(proxier) && !mode.row().constructed;
    Mode::ALL.iter().filter(of).copied().collect()
}

/// The services of a shape that can be measured, of one family.
///
/// # Errors
/// There is none, or the lab has no room for them.
pub(crate) fn services(shape: &Shape, family: Family) -> Result<Imported, Usage> {
    let of_family = shape
        .groups
        .iter()
        .filter(|group| is_of(group.family, family));
    let each = of_family.flat_map(|group| {
        let once = group.ports.iter().filter_map(kind);
        let once: Vec<Kind> = once.collect();
        (0..group.vips).flat_map(move |_| once.clone())
    });
    let mut kinds: Vec<Kind> = each.collect();
    if kinds.is_empty() {
        return refused(format!(
            "no service of {} over TCP or UDP, of at most 1,000 endpoints, is in it whose endpoints it says: add the endpointslices (`kubectl get services,endpointslices -A -o json`), or name the other family with --families",
            family.words()
        ));
    }
    scatter(&mut kinds);
    Imported::new(shape.hash(), kinds).map_err(|why| Usage(why.to_string()))
}

/// How many of the services of a shape can be measured, each family by itself.
pub(crate) fn usable(shape: &Shape) -> u64 {
    let of = |family| services(shape, family).map_or(0, |imported| imported.kinds().len() as u64);
    of(Family::Ipv4) + of(Family::Ipv6)
}

/// How many have more endpoints than one may have in a lab.
pub(crate) fn too_large(shape: &Shape) -> u64 {
    let of = |port: &PortShape| port.endpoints.as_ref().is_some_and(|all| is_too_large(all));
    let groups = shape.groups.iter();
    let too_large = |ports: &[PortShape]| ports.iter().filter(|port| of(port)).count() as u64;
    groups
        .map(|group| group.vips * too_large(&group.ports))
        .sum()
}

fn is_too_large(endpoints: &[EndpointShape]) -> bool {
    let serving = endpoints.iter().filter(|alike| alike.weight != Some(0));
    serving.map(|alike| alike.n).sum::<u64>() > u64::from(MAX_ENDPOINTS)
}

const fn is_of(of: cluster::Family, family: Family) -> bool {
    matches!(
        (of, family),
        (cluster::Family::Ipv4, Family::Ipv4) | (cluster::Family::Ipv6, Family::Ipv6)
    )
}

/// What a service is; `None` where it cannot be measured: its protocol is no lab's, its endpoints are not known, or more than a
/// lab has.
fn kind(port: &PortShape) -> Option<Kind> {
    let protocol = match port.protocol {
        cluster::Protocol::Tcp => Protocol::Tcp,
        cluster::Protocol::Udp => Protocol::Udp,
        cluster::Protocol::Sctp => return None,
    };
    let endpoints = port.endpoints.as_deref().filter(|all| !is_too_large(all))?;
    // What no longer gets a connection is none for a new one.
    let serving = endpoints.iter().filter(|alike| alike.weight != Some(0));
    let count = |is: &dyn Fn(Option<bool>) -> bool| -> u32 {
        let alike = serving.clone().filter(|alike| is(alike.local));
        let all: u64 = alike.map(|alike| alike.n).sum();
        u32::try_from(all).unwrap_or(u32::MAX)
    };
    let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    Some(Kind {
        port: port.port,
        protocol,
        endpoints: count(&|_| true),
        local: count(&|local| local == Some(true)),
        node_port: port.node_port,
        load_balancers: small(port.load_balancer_ips),
        externals: small(port.external_ips),
        ranged: port.source_ranges > 0 && port.load_balancer_ips > 0,
        external_local: port.external_local,
        internal_local: port.internal_local,
        // Where the dump does not say for how long: the API's default.
        affinity_s: port
            .affinity
            .map(|affinity| affinity.seconds.unwrap_or(AFFINITY_S)),
    })
}

/// Mixes them, always in the same way: a shape lists those of a kind together, and a node does not.
fn scatter(kinds: &mut [Kind]) {
    kinds.shuffle(&mut Xoshiro256PlusPlus::seed_from_u64(0));
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLICES: &str = r#"{"kind":"List","apiVersion":"v1","items":[
        {"kind":"Service","apiVersion":"v1","metadata":{"namespace":"shop","name":"till"},"spec":{"clusterIP":"10.96.7.7","clusterIPs":["10.96.7.7"],
         "ports":[{"name":"pay","port":443,"protocol":"TCP","targetPort":8443},{"name":"sig","port":36412,"protocol":"SCTP"}]}},
        {"kind":"EndpointSlice","apiVersion":"discovery.k8s.io/v1","addressType":"IPv4","metadata":{"namespace":"shop","name":"till-x",
         "labels":{"kubernetes.io/service-name":"till"}},"ports":[{"name":"pay","port":8443,"protocol":"TCP"},{"name":"sig","port":36412,"protocol":"SCTP"}],
         "endpoints":[{"addresses":["10.72.0.1"]},{"addresses":["10.72.0.2"]},{"addresses":["10.72.0.3"]}]}]}"#;

    fn shape(text: &str) -> Shape {
        Shape::of(&cluster::read([("a dump", text.as_bytes())]).unwrap())
    }

    #[test]
    fn a_dump_and_its_shape_are_the_same_services_without_a_name_of_it() {
        let dump = shape(SLICES);
        let text = dump.text();
        for word in ["shop", "till", "pay", "10.96", "10.72"] {
            assert!(!text.contains(word), "{text}");
        }
        let again = shape(&text);
        let [of_dump, of_shape] =
            [dump, again].map(|shape| services(&shape, Family::Ipv4).unwrap());
        assert_eq!(of_dump, of_shape);
        assert_eq!((of_dump.kinds().len(), of_dump.endpoints()), (1, 3));
        assert_eq!(of_dump.kinds()[0].port, 443);
    }

    #[test]
    fn what_no_lab_has_is_not_measured_and_nothing_else_is_one_line() {
        assert_eq!(usable(&shape(SLICES)), 1);
        let Usage(why) = services(&shape(SLICES), Family::Ipv6).unwrap_err();
        assert!(
            why.starts_with("no service of IPv6 ") && !why.contains('\n'),
            "{why}"
        );
    }

    #[test]
    fn a_service_of_more_endpoints_than_a_lab_has_is_left_out_alone() {
        let one = |n: u32| {
            format!(
                r#"{{"vips":1,"family":"ipv4","ports":[{{"protocol":"tcp","port":{n},"type":"cluster-ip","endpoints":[{{"n":{n},"port":80}}]}}]}}"#
            )
        };
        let head = r#"{"format":"cluster-shape","version":1,"services":2}"#;
        let both = shape(&[head, &one(1_000), &one(1_001)].join("\n"));
        assert_eq!(services(&both, Family::Ipv4).unwrap().endpoints(), 1_000);
        assert_eq!((usable(&both), too_large(&both)), (1, 1));
    }

    #[test]
    fn the_mode_that_would_be_left_is_the_one_that_a_dump_is_of() {
        assert_eq!(modes_of(Origin::Ipvs), [Mode::Ipvs]);
        let engines = [Mode::IptablesLegacy, Mode::IptablesNft];
        assert_eq!(modes_of(Origin::Iptables), engines);
        assert_eq!(modes_of(Origin::Nftables), [Mode::Nftables]);
    }

    #[test]
    fn a_destination_without_weight_is_none() {
        let virtual_server = "-A -t 10.96.0.1:443 -s rr\n-a -t 10.96.0.1:443 -r 192.0.2.1:6443 -m -w 1\n-a -t 10.96.0.1:443 -r 192.0.2.2:6443 -m -w 0\n";
        let imported = services(&shape(virtual_server), Family::Ipv4).unwrap();
        assert_eq!(imported.endpoints(), 1);
    }
}
