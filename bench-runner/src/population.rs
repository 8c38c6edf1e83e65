//! Dumps of a cluster as services that can be measured (`--population`).

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;
use std::sync::Arc;

use cluster::{Cluster, PortShape, Shape};
use netns_harness::service::AFFINITY_S;
use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_xoshiro::Xoshiro256PlusPlus;
use scenarios::imported::{Imported, Kind};
use schema::{Family, NodeKind, Protocol, Stack};

use crate::cli::RunArgs;
use crate::exit::{Usage, refused};

/// A run's own copy of the shape, in its directory.
pub(crate) const FILE: &str = "population.json";
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

/// Reads what `--population` names, if it names anything.
///
/// # Errors
/// As [`read`]; nothing in it can be measured on the nodes that are asked for.
pub(crate) fn resolve(args: &mut RunArgs) -> Result<Option<Shape>, Usage> {
    if args.population.is_empty() {
        return Ok(None);
    }
    let option = |Usage(why): Usage| Usage(format!("--population: {why}"));
    let shape = Shape::of(&read(&args.population).map_err(option)?);
    let nodes = args.families.nodes();
    let [node] = nodes.as_slice() else {
        return refused(
            "--population: its services are measured on one kind of node: --families ipv4, ipv6 or ipv4,ipv6",
        );
    };
    let imported = services(&shape, family_of(*node)).map_err(option)?;
    args.imported = Some(Arc::new(imported));
    Ok(Some(shape))
}

/// The family whose services are measured: on a dual-stack node, whose services have an address of each, those of IPv4.
const fn family_of(node: NodeKind) -> Family {
    match node.stack {
        Stack::Single => node.family,
        Stack::Dual => Family::Ipv4,
    }
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
            "no service of {} over TCP or UDP is in it whose endpoints it says: add the endpointslices (`kubectl get services,endpointslices -A -o json`), or name the other family with --families",
            family.words()
        ));
    }
    scatter(&mut kinds);
    Imported::new(shape.hash(), kinds).map_err(|why| Usage(why.to_string()))
}

/// How many of the services of a shape can be measured, of both families.
pub(crate) fn usable(shape: &Shape) -> u64 {
    let groups = shape.groups.iter();
    let of = |ports: &[PortShape]| ports.iter().filter_map(kind).count() as u64;
    groups.map(|group| group.vips * of(&group.ports)).sum()
}

const fn is_of(of: cluster::Family, family: Family) -> bool {
    matches!(
        (of, family),
        (cluster::Family::Ipv4, Family::Ipv4) | (cluster::Family::Ipv6, Family::Ipv6)
    )
}

/// What a service is; `None` where it cannot be measured: its protocol is no lab's, or its endpoints are not known.
fn kind(port: &PortShape) -> Option<Kind> {
    let protocol = match port.protocol {
        cluster::Protocol::Tcp => Protocol::Tcp,
        cluster::Protocol::Udp => Protocol::Udp,
        cluster::Protocol::Sctp => return None,
    };
    let endpoints = port.endpoints.as_deref()?;
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
