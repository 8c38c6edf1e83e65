//! Batches carried out, kube-proxy's questions asked, and everything removed: what touches the kernel.

use std::collections::BTreeSet;
use std::sync::{MutexGuard, PoisonError};

use ipvs_codec::{LinkOp, Op, Server, ServiceId};
use netlink::{Batch as Messages, Error};
use netns_sys::isolation::write_sysctl;
use netns_sys::tools::command;

use super::part::{Leaving, Part, Script};
use super::{Ipvs, TOOL, layout};
use crate::HarnessError;
use crate::datapath::Sockets;
use crate::service::Population;
use crate::tools;
use crate::xtables::tool;

/// Carries out a part.
///
/// # Errors
/// The first refusal; what came before it stays.
pub(super) fn carry_out(
    part: &Part,
    leaving: &Leaving,
    sockets: &mut Sockets,
) -> Result<(), HarnessError> {
    let leaving = leaving.lock().unwrap_or_else(PoisonError::into_inner);
    Sender { leaving, sockets }.part(part)
}

/// A part on its way.
struct Sender<'a> {
    leaving: MutexGuard<'a, BTreeSet<(ServiceId, Server)>>,
    sockets: &'a mut Sockets,
}

impl Sender<'_> {
    fn part(&mut self, part: &Part) -> Result<(), HarnessError> {
        match part {
            Part::Sysctls => layout::sysctls().try_for_each(|(name, value)| {
                write_sysctl(name, value)
                    .map_err(|e| HarnessError::system(format!("set {name}={value}"), e))
            }),
            Part::Links(batch) => {
                let sent = self.sockets.links()?.send(batch);
                sent.map_err(HarnessError::netlink("change addresses"))
            }
            Part::Servers(batch) => {
                self.make_room(batch.ops())?;
                self.send(batch)
            }
            Part::Script(script) => self.script(script),
            Part::Retire(leaving) => leaving
                .iter()
                .try_for_each(|(id, server)| self.retire(*id, *server)),
            Part::Look(servers) => look(self.sockets, servers),
        }
    }

    fn script(&mut self, script: &Script) -> Result<(), HarnessError> {
        self.make_room(script.ops())?;
        tools::run(command("ipvsadm").arg("-R"), script.text()).map(drop)
    }

    fn send(&mut self, batch: &Messages<Op>) -> Result<(), HarnessError> {
        self.sockets
            .servers()?
            .send(batch)
            .map_err(HarnessError::netlink("change virtual servers"))
    }

    /// Destinations that are leaving and come back are deleted first (`MoveRSOutofGracefulDeleteList`);
    /// those of virtual servers that go, go with them. Usually nobody is leaving.
    fn make_room(&mut self, ops: &[Op]) -> Result<(), HarnessError> {
        if self.leaving.is_empty() {
            return Ok(());
        }
        let mut back = Vec::new();
        for op in ops {
            if let Op::AddDestination(id, destination) = op
                && self.leaving.remove(&(*id, destination.server))
            {
                back.push(Op::DeleteDestination(*id, destination.server));
            }
            if let Op::DeleteService(id) = op {
                self.leaving.retain(|(of, _)| of != id);
            }
        }
        self.send(&Messages::encode(back))
    }

    /// `GracefulDeleteRS`; destinations of the same server that have been leaving are looked at too.
    fn retire(&mut self, id: ServiceId, server: Server) -> Result<(), HarnessError> {
        let failed = HarnessError::netlink("let an endpoint go");
        let listed = self.sockets.servers()?.destinations(id).map_err(failed)?;
        let mut ops = Vec::new();
        let mut found = false;
        for listed in listed {
            let destination = listed.destination;
            let key = (id, destination.server);
            let asked = destination.server == server;
            if !asked && !self.leaving.contains(&key) {
                continue;
            }
            found |= asked;
            let idle = listed.active + listed.inactive == 0;
            if idle || id.protocol == ipvs_codec::Protocol::Udp {
                self.leaving.remove(&key);
                ops.push(Op::DeleteDestination(id, destination.server));
            } else if self.leaving.insert(key) {
                let quiescent = ipvs_codec::Destination {
                    weight: 0,
                    ..destination
                };
                ops.push(Op::SetDestination(id, quiescent));
            }
        }
        if !found {
            return Err(failed(Error::System {
                act: Op::DeleteDestination(id, server).to_string(),
                errno: nix::errno::Errno::ENOENT,
            }));
        }
        self.send(&Messages::encode(ops))
    }
}

/// Asks what [`Part::Look`] says.
fn look(sockets: &mut Sockets, servers: &[ServiceId]) -> Result<(), HarnessError> {
    let failed = HarnessError::netlink("ask for addresses");
    let links = sockets.links()?;
    // Those of the device, and those of all others.
    for _ in 0..2 {
        links.addresses(layout::DEVICE).map_err(failed)?;
    }
    let connection = sockets.servers()?;
    let mut ask = || -> Result<(), Error> {
        for id in servers {
            connection.service(*id)?;
            connection.service(*id)?;
            connection.destinations(*id)?;
        }
        connection.services().map(drop)
    };
    ask().map_err(HarnessError::netlink("ask for virtual servers"))
}

/// What kube-proxy asks in a sync besides the listings of sets: a process for each chain and jump, and for
/// each set; and over netlink what [`Part::Look`] says.
///
/// # Errors
/// A tool is missing or refuses what kube-proxy expects it to take; the kernel refused to say.
pub(super) fn ask_as_kube_proxy(
    population: &Population,
    sockets: &mut Sockets,
) -> Result<(), HarnessError> {
    for words in &*layout::QUESTIONS {
        // A chain that is there is refused: that is the answer.
        let _there = tool::ask(TOOL, words)?;
    }
    for create in layout::creates(population.len()) {
        let line = create.to_string();
        let mut words: Vec<&str> = line.split_whitespace().collect();
        words.push("-exist");
        tools::run(command("ipset").args(words), "")?;
    }
    let servers: Vec<ServiceId> = population
        .services
        .iter()
        .map(|s| layout::id(s.frontend))
        .collect();
    look(sockets, &servers)
}

/// Without --noflush a table that is named is emptied.
const EMPTY_TABLES: &str = "*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\nCOMMIT\n\
*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n";

/// Removes everything, in the order of kube-proxy's `cleanupLeftovers`: virtual servers, the device with its
/// addresses, rules, and sets, which no rule refers to any more. Sysctls stay, as kube-proxy leaves them. What
/// is not there is no error.
pub(super) fn teardown(datapath: &Ipvs, sockets: &mut Sockets) -> Vec<HarnessError> {
    let mut errors = Vec::new();
    let mut leaving = datapath
        .leaving
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    leaving.clear();
    drop(leaving);
    match sockets.servers() {
        Ok(servers) => {
            let flushed = servers.send(&Messages::encode(vec![Op::Flush]));
            errors.extend(
                flushed
                    .err()
                    .map(HarnessError::netlink("flush virtual servers")),
            );
        }
        // A kernel without IPVS has no virtual servers.
        Err(HarnessError::Netlink {
            source: Error::Missing { .. },
            ..
        }) => {}
        Err(error) => errors.push(error),
    }
    match sockets.links() {
        Ok(links) => {
            let delete = Messages::encode(vec![LinkOp::DeleteDevice(layout::DEVICE)]);
            match links.send(&delete) {
                Err(error) if !error.is_not_found() => {
                    errors.push(HarnessError::netlink("remove the device")(error));
                }
                _ => {}
            }
        }
        Err(error) => errors.push(error),
    }
    errors.extend(tool::restore(TOOL, &["-w", "5"], EMPTY_TABLES).err());
    errors.extend(destroy_sets(sockets));
    errors
}

fn destroy_sets(sockets: &mut Sockets) -> Vec<HarnessError> {
    let failed = HarnessError::ipset("destroy sets");
    let session = match sockets.sets() {
        Ok(session) => session,
        Err(error) => return vec![error],
    };
    let mut errors = Vec::new();
    for (name, _) in layout::SETS {
        match session.send(&[ipset_sys::Command::Destroy((*name).to_owned())]) {
            Err(error) if !error.is_not_found() => errors.push(failed(error)),
            _ => {}
        }
    }
    errors
}
