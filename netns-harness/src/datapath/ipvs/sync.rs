//! From one population to another: which steps, in which order.
//!
//! What a step needs is there before it: a destination is refused where no address makes its own routable,
//! and a rule where its set is not there. What leaves goes the other way round: set entries first, then the
//! address, the virtual server last, as in kube-proxy's `syncProxyRules`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipset_sys::{Command, Entry};
use ipvs_codec::{LinkOp, Op, Server, ServiceId};
use netlink::{Batch as Messages, Operation};

use super::layout::{self, BOUND_IPS, CLUSTER_IPS, DEVICE};
use super::part::{Part, Request};
use super::{Ipvs, tool_of};
use crate::datapath::steps::{Commands, Restore, SetScript, Sets};
use crate::datapath::{Batch, RenderOptions, Transport};
use crate::service::{Endpoint, Frontend, Population, Service};
use crate::xtables::RestoreText;

/// What must be sent, with those that are leaving.
pub(super) fn render(
    ipvs: &Ipvs,
    from: Option<&Population>,
    to: &Population,
    options: &RenderOptions,
) -> Batch {
    let mut steps = Steps {
        batch: Batch::default(),
        ipvs,
        transport: options.transport,
    };
    match from {
        None => install(&mut steps, to),
        Some(from) => update(&mut steps, from, to, options.resync),
    }
    steps.batch
}

/// Everything from nothing.
fn install(steps: &mut Steps<'_>, to: &Population) {
    steps.part(Part::Sysctls);
    steps.links(vec![LinkOp::AddDummy(DEVICE)]);
    let vips = distinct_vips(to);
    steps.links(addresses(&vips, LinkOp::AddAddress));
    let mut ops = Vec::with_capacity(to.services.len() * 3);
    for service in &to.services {
        add_server(&mut ops, service);
    }
    steps.servers(ops);
    let [cluster_ips, bound_ips] = steps.sets_of_services();
    let mut commands = layout::creates(steps.ipvs.family, to.services.len());
    commands.extend(cluster_entries(&to.services).map(add(&cluster_ips)));
    let bound = vips.iter().map(|&vip| layout::bound_entry(vip));
    commands.extend(bound.map(add(&bound_ips)));
    steps.sets(commands);
    steps.rules(true, !to.is_empty());
}

/// Only what changed. kube-proxy writes its rules again at each sync, though nothing in them changes while
/// there are services: so does transport `exec`, which is its way; the others leave them alone.
fn update(steps: &mut Steps<'_>, from: &Population, to: &Population, resync: bool) {
    let change = Change::new(from, to);
    if resync {
        steps.look(to);
    }
    steps.links(addresses(&change.bound, LinkOp::AddAddress));
    steps.servers(change.arrivals());
    steps.retire(change.leaving());
    let gone = change
        .gone
        .iter()
        .map(|s| layout::cluster_entry(s.frontend));
    let unbound = change.unbound.iter().map(|&vip| layout::bound_entry(vip));
    let new = cluster_entries(change.new.iter().copied());
    let bound = change.bound.iter().map(|&vip| layout::bound_entry(vip));
    let [cluster_ips, bound_ips] = steps.sets_of_services();
    let mut commands: Vec<Command> = gone.map(delete(&cluster_ips)).collect();
    commands.extend(unbound.map(delete(&bound_ips)));
    commands.extend(new.map(add(&cluster_ips)));
    commands.extend(bound.map(add(&bound_ips)));
    steps.sets(commands);
    let others = from.is_empty() != to.is_empty();
    if others || resync || steps.transport == Transport::Exec {
        steps.rules(false, !to.is_empty());
    }
    steps.links(addresses(&change.unbound, LinkOp::DeleteAddress));
    let deletions = change.gone.iter().map(|s| layout::id(s.frontend));
    steps.servers(deletions.map(Op::DeleteService).collect());
}

/// A virtual server and its destinations.
fn add_server(ops: &mut Vec<Op>, service: &Service) {
    let server = layout::service(service.frontend);
    ops.push(Op::AddService(server));
    let endpoints = distinct(service).into_iter();
    ops.extend(endpoints.map(|e| Op::AddDestination(server.id, layout::destination(e))));
}

/// Endpoints, each once, in their order.
fn distinct(service: &Service) -> Vec<Endpoint> {
    let mut seen = BTreeSet::new();
    let mut endpoints = service.endpoints.clone();
    endpoints.retain(|endpoint| seen.insert(*endpoint));
    endpoints
}

/// VIPs, each once, in the order of their first services: two services may have one VIP.
fn distinct_vips(population: &Population) -> Vec<IpAddr> {
    let mut seen = BTreeSet::new();
    let vips = population.services.iter().map(|s| s.frontend.vip);
    vips.filter(|vip| seen.insert(*vip)).collect()
}

fn addresses(vips: &[IpAddr], op: impl Fn(&'static str, IpAddr) -> LinkOp) -> Vec<LinkOp> {
    vips.iter().map(|&vip| op(DEVICE, vip)).collect()
}

fn cluster_entries<'a>(
    services: impl IntoIterator<Item = &'a Service>,
) -> impl Iterator<Item = Entry> {
    services
        .into_iter()
        .map(|service| layout::cluster_entry(service.frontend))
}

fn add(set: &str) -> impl Fn(Entry) -> Command {
    move |entry| Command::Add(set.to_owned(), entry)
}

fn delete(set: &str) -> impl Fn(Entry) -> Command {
    move |entry| Command::Delete(set.to_owned(), entry)
}

/// Two populations, and what differs. What names a service is its frontend.
struct Change<'a> {
    /// Not there before.
    new: Vec<&'a Service>,
    /// No longer there.
    gone: Vec<&'a Service>,
    /// There before and after, with other endpoints.
    changed: Vec<(&'a Service, &'a Service)>,
    /// VIPs that no service had before.
    bound: Vec<IpAddr>,
    /// VIPs that no service has any more.
    unbound: Vec<IpAddr>,
}

impl<'a> Change<'a> {
    fn new(from: &'a Population, to: &'a Population) -> Self {
        let by_frontend = |population: &'a Population| -> BTreeMap<Frontend, &'a Service> {
            let services = population.services.iter();
            services.map(|s| (s.frontend, s)).collect()
        };
        let (before, after) = (by_frontend(from), by_frontend(to));
        let missing = |services: &'a Population, there: &BTreeMap<Frontend, &Service>| {
            let services = services.services.iter();
            services
                .filter(|s| !there.contains_key(&s.frontend))
                .collect::<Vec<_>>()
        };
        let changed = to.services.iter().filter_map(|service| {
            let was = before.get(&service.frontend)?;
            (was.endpoints != service.endpoints).then_some((*was, service))
        });
        let (old, young) = (distinct_vips(from), distinct_vips(to));
        let without = |vips: &[IpAddr], others: &[IpAddr]| -> Vec<IpAddr> {
            let others: BTreeSet<_> = others.iter().collect();
            vips.iter()
                .filter(|v| !others.contains(v))
                .copied()
                .collect()
        };
        Self {
            new: missing(to, &before),
            gone: missing(from, &after),
            changed: changed.collect(),
            bound: without(&young, &old),
            unbound: without(&old, &young),
        }
    }

    /// New virtual servers, and new destinations of those that stay.
    fn arrivals(&self) -> Vec<Op> {
        let mut ops = Vec::new();
        self.new.iter().for_each(|s| add_server(&mut ops, s));
        for (was, is) in &self.changed {
            let id = layout::id(is.frontend);
            let new = distinct(is).into_iter();
            let new = new.filter(|e| !was.endpoints.contains(e));
            ops.extend(new.map(|e| Op::AddDestination(id, layout::destination(e))));
        }
        ops
    }

    /// Destinations that leave virtual servers that stay.
    fn leaving(&self) -> Vec<(ServiceId, Server)> {
        let mut leaving = Vec::new();
        for (was, is) in &self.changed {
            let id = layout::id(is.frontend);
            let gone = distinct(was).into_iter();
            let gone = gone.filter(|e| !is.endpoints.contains(e));
            leaving.extend(gone.map(|e| (id, layout::server(e))));
        }
        leaving
    }
}

/// The steps of a batch, by transport. An empty step is left out.
struct Steps<'a> {
    batch: Batch,
    ipvs: &'a Ipvs,
    transport: Transport,
}

impl Steps<'_> {
    /// Names of the sets that have an entry a service, and an entry a VIP.
    fn sets_of_services(&self) -> [String; 2] {
        [CLUSTER_IPS, BOUND_IPS].map(|set| layout::named(set, self.ipvs.family))
    }

    fn part(&mut self, part: Part) {
        let leaving = Arc::clone(&self.ipvs.leaving);
        self.batch.push(Request { part, leaving });
    }

    fn messages<O: Operation>(&self, ops: Vec<O>) -> Messages<O> {
        match self.transport {
            Transport::Exec => Messages::encode_one_by_one(ops),
            _ => Messages::encode(ops),
        }
    }

    fn links(&mut self, ops: Vec<LinkOp>) {
        if !ops.is_empty() {
            let part = Part::Links(self.messages(ops));
            self.part(part);
        }
    }

    fn servers(&mut self, ops: Vec<Op>) {
        if ops.is_empty() {
            return;
        }
        let part = match self.transport {
            Transport::Ipvsadm => Part::script(ops),
            _ => Part::Servers(self.messages(ops)),
        };
        self.part(part);
    }

    /// `ipvsadm -R` cannot look first: its endpoints are deleted at once.
    fn retire(&mut self, leaving: Vec<(ServiceId, Server)>) {
        if leaving.is_empty() {
            return;
        }
        match self.transport {
            Transport::Ipvsadm => self.servers(super::part::deletions(&leaving)),
            _ => self.part(Part::Retire(leaving)),
        }
    }

    fn look(&mut self, to: &Population) {
        let servers = to.services.iter().map(|s| layout::id(s.frontend)).collect();
        self.part(Part::Look(self.ipvs.node(), servers));
    }

    fn sets(&mut self, commands: Vec<Command>) {
        if commands.is_empty() {
            return;
        }
        match self.transport {
            Transport::Ipvsadm => self.batch.push(SetScript::new(&commands)),
            Transport::Exec => {
                let lines = commands.iter().map(command_line).collect();
                self.batch.push(Commands(lines));
            }
            _ => self.batch.push(Sets(commands)),
        }
    }

    fn rules(&mut self, first: bool, services: bool) {
        let family = self.ipvs.family;
        let mut text = RestoreText::new(family, true);
        layout::rules(&mut text, first, services);
        self.batch.push(Restore::new(tool_of(family), text));
    }
}

/// A process for one command, as kube-proxy starts it.
fn command_line(command: &Command) -> Vec<String> {
    let line = command.to_string();
    let forgiving = matches!(command, Command::Create(_) | Command::Add(..));
    std::iter::once("ipset")
        .chain(line.split_whitespace())
        .chain(forgiving.then_some("-exist"))
        .map(str::to_owned)
        .collect()
}
