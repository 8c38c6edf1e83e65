//! What a mode installs, as the reference tools list it: to be held beside what another programmer of it installs.
//! Nothing is timed, and no packet is sent.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use netns_harness::lab::{Lab, Pinning};
use netns_harness::service::{MAX_ENDPOINTS, Population, Service};
use netns_harness::{HarnessError, accounts};
use netns_sys::process;
use schema::{Family, NodeKind, Stage};

use crate::error::{At as _, Result};
use crate::node::{preparation, programmed_as, set_node};
use crate::spec::StaySpec;

/// Installs a stay's population in a lab, in which service number i has `endpoints[i % len]` endpoints, and lists it:
/// what each command prints, by the command; addresses that were added; sysctls that were changed; the population, and what its services
/// have besides their ClusterIPs; where its
/// rules may name them and the kernel has them, counters of nfnetlink_acct. On a dual-stack node the services have addresses
/// of both families.
///
/// # Errors
/// It cannot be installed or listed.
pub fn listing(spec: &StaySpec, endpoints: &[u32]) -> Result<BTreeMap<String, String>> {
    netns_sys::tools::replace(spec.setup.tools.clone()).at(Stage::Preparation)?;
    let node = spec.node();
    let pinning = Pinning::choose().at(Stage::Lab)?;
    let lab = Lab::of_node(node, pinning, &spec.setup.sysctls).at(Stage::Lab)?;
    let before = lab.on_node(|| Ok((sysctls(), addresses(node)?)))?;
    let population = population(spec, endpoints);
    let (mut datapaths, mut services) = (Vec::new(), String::new());
    let mut exposure = String::new();
    for family in node.families() {
        let datapath = programmed_as(spec, *family)?;
        let mut population = population.clone().in_family(*family);
        let all = population.services.iter_mut();
        all.for_each(Service::sort_endpoints);
        services += &in_words(&population);
        exposure += &exposed(&population);
        // A real kube-proxy has programmed the other family with the first.
        if datapaths.is_empty() || datapath.programmer().is_none() {
            set_node(&lab, &*datapath)?;
            let batch = preparation(&*datapath, &population, &spec.rendered());
            lab.on_node(|| datapath.carry_out(&batch))?;
        }
        datapaths.push(datapath);
    }
    let after = lab.on_node(|| Ok((sysctls(), addresses(node)?)))?;
    let listed = [
        ("addresses", added(&before.1, &after.1)),
        ("exposure", exposure),
        ("population", services),
        ("sysctls", added(&before.0, &after.0)),
    ];
    let mut listed = BTreeMap::from(listed.map(|(what, text)| (what.to_owned(), text)));
    for words in datapaths.iter().flat_map(|d| d.facts().listings()) {
        let text = lab.on_node(|| printed(&words))?;
        listed.insert(words.join(" "), text);
    }
    if datapaths.iter().any(|d| d.facts().accounts) && accounts::available() {
        let names = lab.on_node(accounts::listed)?;
        listed.insert("nfacct".to_owned(), names.join("\n"));
    }
    Ok(listed)
}

fn population(spec: &StaySpec, endpoints: &[u32]) -> Population {
    let recipe = crate::population::Recipe {
        endpoints: endpoints
            .iter()
            .copied()
            .max()
            .unwrap_or(1)
            .min(MAX_ENDPOINTS),
        ..spec.recipe()
    };
    let mut population = recipe.population(spec.services);
    for (service, wanted) in population.services.iter_mut().zip(endpoints.iter().cycle()) {
        service.keep_endpoints(*wanted as usize);
    }
    population
}

/// "namespace/name VIP:port/protocol: endpoint endpoint", a line a service.
fn in_words(population: &Population) -> String {
    let endpoints = |service: &Service| -> String {
        let each = service.endpoints.iter();
        each.map(|endpoint| format!(" {endpoint}")).collect()
    };
    let services = population.services.iter();
    services
        .map(|s| format!("{} {}:{}\n", s.name(), s.frontend, endpoints(s)))
        .collect()
}

/// "VIP:port/protocol what it has besides", a line each.
fn exposed(population: &Population) -> String {
    let mut lines = String::new();
    for service in &population.services {
        let of = &service.exposure;
        let mut say = |what: &str, value: &dyn fmt::Display| {
            lines.push_str(&format!("{} {what} {value}\n", service.frontend));
        };
        of.node_port.iter().for_each(|port| say("node-port", port));
        let balancers = of.load_balancer.iter();
        balancers.for_each(|address| say("load-balancer", address));
        of.external
            .iter()
            .for_each(|address| say("external", address));
        of.source_ranges
            .iter()
            .for_each(|range| say("source-range", range));
        of.affinity_s
            .iter()
            .for_each(|seconds| say("affinity", seconds));
        if of.external_local {
            say("policy", &"external-local");
        }
        if of.internal_local {
            say("policy", &"internal-local");
        }
    }
    lines
}

/// What a command prints, or what the kernel says in a file of this network namespace.
fn printed(words: &[&str]) -> Result<String, HarnessError> {
    if let Some(name) = words[0].strip_prefix("/proc/net/") {
        let file = format!("/proc/thread-self/net/{name}");
        return std::fs::read_to_string(&file)
            .map_err(|e| HarnessError::system(format!("read {file}"), e));
    }
    let mut command = netns_sys::tools::command(words[0]);
    let done = process::run(command.args(&words[1..]), b"");
    let done = done.map_err(|e| HarnessError::system(format!("start {}", words[0]), e))?;
    match done.status.success() {
        true => Ok(String::from_utf8_lossy(&done.stdout).into_owned()),
        false => Err(HarnessError::Tool {
            tool: words.join(" "),
            status: done.status.to_string(),
            stderr: String::from_utf8_lossy(&done.stderr).into_owned(),
        }),
    }
}

/// What is in the second and not in the first, a line each.
fn added(before: &[String], after: &[String]) -> String {
    let new = after.iter().filter(|line| !before.contains(line));
    new.map(|line| format!("{line}\n")).collect()
}

/// Sysctls of the calling thread's network namespace, "name = value".
fn sysctls() -> Vec<String> {
    let mut found = Vec::new();
    collect(Path::new("/proc/sys/net"), &mut found);
    found.sort();
    found
}

fn collect(folder: &Path, found: &mut Vec<String>) {
    // What cannot be read is not this namespace's.
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, found);
        } else if let Ok(value) = std::fs::read_to_string(&path) {
            let name = path.strip_prefix("/proc/sys").unwrap_or(&path);
            let name = name.to_string_lossy().replace('/', ".");
            found.push(format!("{name} = {}", value.trim()));
        }
    }
}

/// Addresses of a node's families in the calling thread's network namespace, "interface address".
fn addresses(node: NodeKind) -> Result<Vec<String>, HarnessError> {
    let mut lines = Vec::new();
    for family in node.families() {
        let own = match family {
            Family::Ipv4 => netns_sys::netns::ipv4_addresses().map(each),
            Family::Ipv6 => netns_sys::netns::ipv6_addresses().map(each),
        };
        lines.append(&mut own.map_err(|e| HarnessError::system("list addresses", e))?);
    }
    lines.sort();
    Ok(lines)
}

fn each(all: Vec<(String, impl fmt::Display)>) -> Vec<String> {
    let all = all.into_iter();
    all.map(|(link, address)| format!("{link} {address}"))
        .collect()
}
