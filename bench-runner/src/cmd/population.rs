//! `population`: what dumps of a cluster say of its services, and what these weigh in each mode; measures nothing.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use cluster::{Cluster, NoteKind, Shape, Summary, summary};
use netns_harness::datapath::{
    Filled, Implementation, LARGE_CLUSTER, RenderOptions, facts, laid_out,
};
use netns_harness::service::Population;
use reports::quantity::{counted, digits, whole};
use scenarios::LargeCluster;
use scenarios::imported::Imported;
use scenarios::population::{CLUSTER_IPS, Recipe};
use schema::{Engine, Family, Mode, NodeKind};

use crate::exit::{Ended, Usage, refused};
use crate::population;
use crate::stdout::say;

/// Options of `population`.
#[derive(Debug, Args)]
pub(crate) struct PopulationArgs {
    /// Dumps, parts of one cluster: `kubectl get services,endpointslices -A -o json` (or yaml), iptables-save, ip6tables-save,
    /// `nft list ruleset` (or its JSON), `ipvsadm -Sn`, /proc/net/ip_vs, `ipset save`, a shape.
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,

    /// Write its shape, without a name or an address, for a bug report or for another machine: `--population` reads it.
    #[arg(long, value_name = "FILE")]
    pub(crate) shape_out: Option<PathBuf>,

    /// Print numbers as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

pub(crate) fn run(args: &PopulationArgs) -> anyhow::Result<Ended> {
    let read = population::read(&args.files)?;
    let shape = Shape::of(&read);
    if let Some(path) = &args.shape_out {
        if path.exists() {
            return refused(format!(
                "--shape-out {}: it is there already; name another file",
                path.display()
            ));
        }
        std::fs::write(path, shape.text()).with_context(|| format!("write {}", path.display()))?;
    }
    let numbers = Summary {
        usable: population::usable(&shape),
        ..summary(&read, |_| true)
    };
    if args.json {
        let said = Said {
            population: shape.hash(),
            numbers,
        };
        let text = serde_json::to_string_pretty(&said).context("encode the summary")?;
        say!("{text}");
        return Ok(Ended::Done);
    }
    say!("population {}", shape.hash());
    for line in understood(&numbers, population::too_large(&shape)) {
        say!("{line}");
    }
    for family in [Family::Ipv4, Family::Ipv6] {
        match population::services(&shape, family) {
            Ok(imported) => weigh(&imported, family),
            Err(Usage(why)) => say!("\n{}: not to be measured: {}", family.words(), why),
        }
    }
    if numbers.usable > 0 {
        say!(
            "\nmemory, by possible CPUs, is measured: bench-runner run --population FILE --deterministic --scenarios memory --possible-cpus 2,8,64"
        );
    }
    notes(&read, &args.files);
    Ok(Ended::Done)
}

/// What `--json` prints.
#[derive(serde::Serialize)]
struct Said {
    /// Hash of the shape, as the cells of a run have it.
    population: String,
    #[serde(flatten)]
    numbers: Summary,
}

/// What was understood, a line each.
fn understood(numbers: &Summary, too_large: u64) -> Vec<String> {
    let pairs = [
        (numbers.kinds.ipv4, "of IPv4"),
        (numbers.kinds.ipv6, "of IPv6"),
        (numbers.kinds.tcp, "over TCP"),
        (numbers.kinds.udp, "over UDP"),
        (numbers.kinds.sctp, "over SCTP, which no lab has"),
        (numbers.types.node_port, "of type NodePort"),
        (numbers.node_port_vips, "virtual servers of node ports"),
        (numbers.types.load_balancer, "of type LoadBalancer"),
        (numbers.external_pairs, "external addresses and ports"),
        (numbers.with_source_ranges, "with source ranges"),
        (numbers.external_local, "with externalTrafficPolicy Local"),
        (numbers.internal_local, "with internalTrafficPolicy Local"),
        (numbers.with_affinity, "with ClientIP affinity"),
        (numbers.without_endpoints, "without endpoints"),
        (numbers.endpoints_unknown, "whose endpoints are not said"),
        (
            too_large,
            "with more than 1,000 endpoints, which no lab has",
        ),
    ];
    let some = pairs.into_iter().filter(|(number, _)| *number > 0);
    let some: Vec<String> = some
        .map(|(number, what)| format!("{} {what}", whole(number)))
        .collect();
    let mut lines = vec![format!(
        "{} (VIP:port pairs) on {}, {} of them to be measured: {}",
        counted(numbers.understood, "service"),
        counted(numbers.vips, "VIP"),
        whole(numbers.usable),
        some.join(", ")
    )];
    if let Some(each) = numbers.endpoints_a_service {
        lines.push(format!(
            "{}: a service has {} to {}, half of them {} or fewer, 95 % {} or fewer",
            counted(numbers.endpoints, "endpoint"),
            each.min,
            each.max,
            each.median,
            each.p95
        ));
    }
    if numbers.addresses_unknown > 0 {
        lines.push(format!(
            "the addresses of {} are not said",
            counted(numbers.addresses_unknown, "endpoint")
        ));
    }
    if let Some(outside) = numbers.outside_pod_ranges.filter(|outside| *outside > 0) {
        lines.push(format!(
            "{} in none of the ranges of pods",
            counted(outside, "endpoint")
        ));
    }
    if numbers.stale_chains > 0 {
        lines.push(format!(
            "{} to which nothing leads any more",
            counted(numbers.stale_chains, "chain")
        ));
    }
    for set in &numbers.sets {
        let limit = set
            .maxelem
            .map_or_else(String::new, |most| format!(" of {}", whole(most)));
        lines.push(format!(
            "set {}: {} entries{limit}",
            set.name,
            whole(set.entries)
        ));
    }
    lines
}

/// What the services of a family weigh in each mode and layout: what an install and an addition name and send.
fn weigh(imported: &Imported, family: Family) {
    let all = imported.kinds().len() as u32;
    say!(
        "\n{}: {} that can be measured, {}",
        family.words(),
        counted(u64::from(all), "service"),
        counted(u64::from(imported.endpoints()), "endpoint")
    );
    let recipe = Recipe {
        family,
        seed: 1,
        endpoints: 1,
        protocols: &imported.protocols(),
        vip_stride: None,
        types: CLUSTER_IPS,
        imported: Some(imported),
    };
    let population = recipe.population(all);
    let mut more = population.clone();
    more.services.push(recipe.service(all));
    say!(
        "{:<16} {:<12} {:>12} {:>12} {:>12} {:>12}",
        "mode",
        "kube-proxy",
        "install",
        "bytes",
        "one more",
        "bytes"
    );
    for mode in Mode::ALL.iter().filter(|mode| !mode.is_floor()) {
        for (layout, datapath) in layouts(*mode, family) {
            let why = datapath.no_layout(&population).map(str::to_owned);
            if let Some(why) = why.or_else(|| datapath.no_room(&population)) {
                say!("{mode:<16} {layout:<12} {why}");
                continue;
            }
            let [install, add] = sent(*mode, &*datapath, imported, [&population, &more]);
            say!(
                "{mode:<16} {layout:<12} {:>12} {:>12} {:>12} {:>12}",
                whole(install.0),
                whole(install.1),
                whole(add.0),
                whole(add.1)
            );
        }
    }
    for line in limits(imported, &population, family) {
        say!("{line}");
    }
    say!(
        "install and one more: rules, chains, sets, elements, servers and addresses that are named; bytes are what is handed to the kernel or the tool"
    );
}

/// What kube-proxy's table of connections holds at the least (`--conntrack-min`), and for each CPU (`--conntrack-max-per-core`;
/// pkg/proxy/apis/config/v1alpha1/defaults.go).
const CONNECTIONS: [u64; 2] = [131_072, 32_768];

/// How near a population is to the limits that operators meet.
fn limits(imported: &Imported, population: &Population, family: Family) -> Vec<String> {
    let share = |part: u64, of: u64| digits(100.0 * part as f64 / of as f64);
    let modes = Mode::ALL.iter().filter(|mode| !mode.is_floor());
    let fullest = modes.filter_map(|mode| {
        let (_, newest) = layouts(*mode, family).pop()?;
        let Filled { set, entries, most } = newest.fullest(population)?;
        let (entries, most) = (entries as u64, most as u64);
        Some(format!(
            "limit, {mode}: {set} has {} of {} entries, {} %",
            whole(entries),
            whole(most),
            share(entries, most)
        ))
    });
    let endpoints = u64::from(imported.endpoints());
    let regime = match LargeCluster::Auto.of(imported.endpoints()) {
        LargeCluster::On => "reached: endpoints' rules have no comments",
        _ => "not reached",
    };
    let large = LARGE_CLUSTER as u64;
    let [least, each] = CONNECTIONS;
    let of_each = match endpoints {
        0 => String::new(),
        some => format!(
            ", {} for each endpoint of the cluster",
            digits(least as f64 / some as f64)
        ),
    };
    let tracked = format!(
        "limit, connection tracking: kube-proxy lets a node track {} connections ({} a CPU where there are more than {}){of_each}",
        whole(least),
        whole(each),
        least / each,
    );
    let iptables = format!(
        "limit, iptables modes: layout of large clusters beyond {} endpoints, {regime}",
        whole(large)
    );
    fullest.chain([iptables, tracked]).collect()
}

/// The layouts of a mode, each with the versions that have it.
fn layouts(mode: Mode, family: Family) -> Vec<(String, Box<dyn Implementation>)> {
    let node = NodeKind::single(family);
    let of = |version| laid_out(mode, Engine::default(), version, node);
    match facts(mode).layouts {
        [] => vec![("-".to_owned(), of(schema::KubeProxyVersion::default()))],
        layouts => layouts
            .iter()
            .map(|layout| (layout.to_string(), of(layout.last)))
            .collect(),
    }
}

/// Operations and bytes of an install, and of one more service.
fn sent(
    mode: Mode,
    datapath: &dyn Implementation,
    imported: &Imported,
    [from, to]: [&Population; 2],
) -> [(u64, u64); 2] {
    let options = RenderOptions {
        large_cluster: LargeCluster::Auto.of(imported.endpoints()) == LargeCluster::On,
        ..RenderOptions::by(facts(mode).ordinary())
    };
    [(None, from), (Some(from), to)].map(|(before, after)| {
        let batch = datapath.render(before, after, &options);
        (batch.operations(), batch.bytes())
    })
}

/// What was not understood, and what was left out.
fn notes(read: &Cluster, files: &[PathBuf]) {
    for (kind, all, title) in [
        (
            NoteKind::NotUnderstood,
            read.notes.not_understood,
            "not understood",
        ),
        (NoteKind::LeftOut, read.notes.left_out, "left out"),
    ] {
        if all == 0 {
            continue;
        }
        say!("\n{title}: {}", whole(all));
        let listed: Vec<_> = read
            .notes
            .listed
            .iter()
            .filter(|note| note.kind == kind)
            .collect();
        for note in &listed {
            let file = files[note.file].display();
            match note.line {
                Some(line) => say!("  {file}, line {line}: {}", note.what),
                None => say!("  {file}: {}", note.what),
            }
        }
        if all > listed.len() as u64 {
            say!("  and {} more", whole(all - listed.len() as u64));
        }
    }
}
