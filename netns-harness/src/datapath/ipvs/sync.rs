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
use schema::Family;

use super::Ipvs;
use super::layout::{self, DEVICE, Rules};
use super::part::{Part, Request};
use super::services::{self, Wanted};
use crate::datapath::steps::{Commands, Restore, SetScript, Sets};
use crate::datapath::{Batch, RenderOptions, Transport};
use crate::service::{Frontend, Population};
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
        None => install(&mut steps, to, options.raised),
        Some(from) => update(&mut steps, from, to, options.resync),
    }
    steps.batch
}

/// Everything from nothing.
fn install(steps: &mut Steps<'_>, to: &Population, raised: bool) {
    let wanted = Wanted::by(to);
    steps.part(Part::Sysctls);
    steps.links(vec![LinkOp::AddDummy(DEVICE)]);
    steps.links(addresses(&wanted.addresses, LinkOp::AddAddress));
    let mut ops = Vec::with_capacity(wanted.servers.len() * 3);
    wanted.servers.iter().for_each(|s| add_server(&mut ops, s));
    steps.servers(ops);
    let family = steps.ipvs.family;
    let mut commands = layout::creates(family, raised);
    commands.extend(wanted.entries.iter().map(add(family)));
    steps.sets(commands);
    steps.rules(true, &wanted.rules());
}

/// Only what changed. kube-proxy writes its rules again at each sync, though nothing in them changes while
/// the same sets have entries: so does transport `exec`, which is its way; the others leave them alone.
fn update(steps: &mut Steps<'_>, from: &Population, to: &Population, resync: bool) {
    let (was, is) = (Wanted::by(from), Wanted::by(to));
    let change = Change::new(&was, &is);
    if resync {
        steps.look(&is);
    }
    let family = steps.ipvs.family;
    let bound = missing(&is.addresses, &was.addresses);
    let unbound = missing(&was.addresses, &is.addresses);
    steps.links(addresses(&bound, LinkOp::AddAddress));
    steps.servers(change.arrivals());
    steps.retire(change.leaving());
    let gone = missing(&was.entries, &is.entries);
    let new = missing(&is.entries, &was.entries);
    let mut commands: Vec<Command> = gone.iter().map(delete(family)).collect();
    commands.extend(new.iter().map(add(family)));
    steps.sets(commands);
    let others = was.rules() != is.rules();
    if others || resync || steps.transport == Transport::Exec {
        steps.rules(false, &is.rules());
    }
    steps.links(addresses(&unbound, LinkOp::DeleteAddress));
    let deletions = change.gone.iter().map(|s| layout::id(s.frontend));
    steps.servers(deletions.map(Op::DeleteService).collect());
}

/// A virtual server and its destinations.
fn add_server(ops: &mut Vec<Op>, of: &services::Server) {
    let server = of.service();
    ops.push(Op::AddService(server));
    let endpoints = of.endpoints.iter();
    ops.extend(endpoints.map(|e| Op::AddDestination(server.id, layout::destination(*e))));
}

fn addresses(vips: &[IpAddr], op: impl Fn(&'static str, IpAddr) -> LinkOp) -> Vec<LinkOp> {
    vips.iter().map(|&vip| op(DEVICE, vip)).collect()
}

fn add(family: Family) -> impl Fn(&(&'static str, Entry)) -> Command {
    move |(set, entry)| Command::Add(layout::named(set, family), *entry)
}

fn delete(family: Family) -> impl Fn(&(&'static str, Entry)) -> Command {
    move |(set, entry)| Command::Delete(layout::named(set, family), *entry)
}

/// Those of `all` that are not among `others`, in their order.
fn missing<T: Ord + Copy>(all: &[T], others: &[T]) -> Vec<T> {
    let others: BTreeSet<&T> = others.iter().collect();
    all.iter()
        .filter(|one| !others.contains(one))
        .copied()
        .collect()
}

/// What differs between two lists of virtual servers. What names a server is its frontend.
struct Change<'a> {
    /// Not there before.
    new: Vec<&'a services::Server>,
    /// No longer there.
    gone: Vec<&'a services::Server>,
    /// There before and after, otherwise.
    changed: Vec<(&'a services::Server, &'a services::Server)>,
}

impl<'a> Change<'a> {
    fn new(from: &'a Wanted, to: &'a Wanted) -> Self {
        let by_frontend = |wanted: &'a Wanted| -> BTreeMap<Frontend, &'a services::Server> {
            wanted.servers.iter().map(|s| (s.frontend, s)).collect()
        };
        let (before, after) = (by_frontend(from), by_frontend(to));
        let missing = |wanted: &'a Wanted, there: &BTreeMap<Frontend, &services::Server>| {
            let servers = wanted.servers.iter();
            servers
                .filter(|s| !there.contains_key(&s.frontend))
                .collect::<Vec<_>>()
        };
        let changed = to.servers.iter().filter_map(|server| {
            let was = before.get(&server.frontend)?;
            (**was != *server).then_some((*was, server))
        });
        Self {
            changed: changed.collect(),
            new: missing(to, &before),
            gone: missing(from, &after),
        }
    }

    /// New virtual servers, and of those that stay another persistence and new destinations.
    fn arrivals(&self) -> Vec<Op> {
        let mut ops = Vec::new();
        self.new.iter().for_each(|s| add_server(&mut ops, s));
        for (was, is) in &self.changed {
            let server = is.service();
            if was.persistence_s != is.persistence_s {
                ops.push(Op::SetService(server));
            }
            let new = is.endpoints.iter().filter(|e| !was.endpoints.contains(e));
            ops.extend(new.map(|e| Op::AddDestination(server.id, layout::destination(*e))));
        }
        ops
    }

    /// Destinations that leave virtual servers that stay.
    fn leaving(&self) -> Vec<(ServiceId, Server)> {
        let mut leaving = Vec::new();
        for (was, is) in &self.changed {
            let id = layout::id(is.frontend);
            let gone = was.endpoints.iter().filter(|e| !is.endpoints.contains(e));
            leaving.extend(gone.map(|e| (id, layout::server(*e))));
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

    fn look(&mut self, to: &Wanted) {
        let servers = to.servers.iter().map(|s| layout::id(s.frontend)).collect();
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

    fn rules(&mut self, first: bool, on: &Rules<'_>) {
        let family = self.ipvs.family;
        let mut text = RestoreText::new(family, true);
        layout::rules(&mut text, first, on);
        self.batch.push(Restore::new(self.ipvs.tool(), text));
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
