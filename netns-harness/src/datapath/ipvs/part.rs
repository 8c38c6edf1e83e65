//! One step of a batch that is neither set nor rule: what is sent, printable and counted; and its way into the kernel.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ipvs_codec::{LinkOp, Op, Server, ServiceId};
use netlink::{Batch, Error};
use netns_sys::isolation::write_sysctl;
use netns_sys::tools::command;
use schema::{NodeKind, Stack};

use super::layout;
use crate::datapath::step::Step;
use crate::sockets::{Socket, Sockets};
use crate::{HarnessError, tools};

/// Destinations of weight 0 that wait for their connections to end: kube-proxy's `graceTerminateRSList`.
pub(super) type Leaving = Mutex<BTreeSet<(ServiceId, Server)>>;

/// What is sent.
#[derive(Debug)]
pub(super) enum Part {
    /// kube-proxy's sysctls are written.
    Sysctls,
    /// Requests to route netlink: the device, or addresses of it.
    Links(Batch<LinkOp>),
    /// Commands to IPVS over generic netlink.
    Servers(Batch<Op>),
    /// The same as standard input of `ipvsadm -R`.
    Script(Vec<Op>, String),
    /// Endpoints that leave, as kube-proxy's `GracefulTerminationManager` lets them: the destinations of the
    /// virtual server are listed, and the one that leaves is deleted if it is UDP's or has no connections;
    /// else its weight becomes 0, and it is deleted when it comes back or its server is changed again.
    Retire(Vec<(ServiceId, Server)>),
    /// What kube-proxy asks at each sync: every virtual server twice, its destinations once
    /// (`syncService`, `syncEndpoint`); the family's addresses of the device and of the node; all virtual servers.
    Look(NodeKind, Vec<ServiceId>),
}

impl Part {
    /// Input of `ipvsadm -R`.
    pub(super) fn script(ops: Vec<Op>) -> Self {
        let text = ipvs_codec::script(&ops);
        Self::Script(ops, text)
    }
}

/// Questions that are asked besides those about each server: addresses twice, virtual servers once, each
/// a dump; the device's number before each of the former.
pub(super) const SHARED_QUESTIONS: u64 = 5;
/// Questions about each server.
pub(super) const QUESTIONS: u64 = 3;

/// A part on its way, with those that are leaving.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) part: Part,
    pub(super) leaving: Arc<Leaving>,
}

impl Step for Request {
    /// Virtual servers, destinations, addresses, devices and sysctls named.
    fn operations(&self) -> u64 {
        match &self.part {
            Part::Sysctls => layout::SYSCTLS.len() as u64,
            Part::Links(batch) => batch.messages(),
            Part::Servers(batch) => batch.messages(),
            Part::Script(ops, _) => ops.len() as u64,
            Part::Retire(leaving) => leaving.len() as u64,
            Part::Look(_, servers) => servers.len() as u64,
        }
    }

    /// An endpoint that leaves takes two: the question, and the change.
    fn messages(&self) -> u64 {
        match &self.part {
            Part::Sysctls | Part::Script(..) => 0,
            Part::Links(batch) => batch.messages(),
            Part::Servers(batch) => batch.messages(),
            Part::Retire(leaving) => 2 * leaving.len() as u64,
            Part::Look(_, servers) => questions(servers.len()),
        }
    }

    /// Of [`Part::Retire`] those of the deletions, and of questions none.
    fn bytes(&self) -> u64 {
        match &self.part {
            Part::Sysctls => layout::SYSCTLS.iter().map(|(_, v)| v.len() as u64).sum(),
            Part::Links(batch) => batch.bytes().len() as u64,
            Part::Servers(batch) => batch.bytes().len() as u64,
            Part::Script(_, text) => text.len() as u64,
            Part::Retire(leaving) => Batch::encode(deletions(leaving)).bytes().len() as u64,
            Part::Look(..) => 0,
        }
    }

    fn sockets(&self) -> &'static [Socket] {
        match &self.part {
            Part::Sysctls | Part::Script(..) => &[],
            Part::Links(_) => &[Socket::Links],
            Part::Servers(_) | Part::Retire(_) => &[Socket::Servers],
            Part::Look(..) => &[Socket::Servers, Socket::Links],
        }
    }

    fn carry_out(&self, sockets: &mut Sockets) -> Result<(), HarnessError> {
        let leaving = self.leaving.lock();
        let leaving = leaving.unwrap_or_else(PoisonError::into_inner);
        Sender { leaving, sockets }.part(&self.part)
    }
}

/// What becomes of leaving endpoints that have no connections.
pub(super) fn deletions(leaving: &[(ServiceId, Server)]) -> Vec<Op> {
    let delete = |&(id, server): &(ServiceId, Server)| Op::DeleteDestination(id, server);
    leaving.iter().map(delete).collect()
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.part {
            Part::Sysctls => layout::SYSCTLS
                .iter()
                .try_for_each(|(name, value)| writeln!(f, "sysctl -w {name}={value}")),
            Part::Links(batch) => batch.ops().iter().try_for_each(|op| writeln!(f, "ip {op}")),
            Part::Servers(batch) => batch
                .ops()
                .iter()
                .try_for_each(|op| writeln!(f, "ipvsadm {op}")),
            Part::Script(_, text) => f.write_str(text),
            Part::Retire(leaving) => deletions(leaving)
                .iter()
                .try_for_each(|op| writeln!(f, "ipvsadm {op} # weight 0 while it has connections")),
            Part::Look(_, servers) => writeln!(
                f,
                "# {} virtual servers are asked for, with their destinations",
                servers.len()
            ),
        }
    }
}

/// A part on its way into the kernel.
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
            Part::Links(batch) => match self.sockets.links()?.send(batch) {
                Err(error) if is_made(batch.ops(), &error) => Ok(()),
                sent => sent.map_err(HarnessError::netlink("change addresses")),
            },
            Part::Servers(batch) => {
                self.make_room(batch.ops())?;
                self.send(batch)
            }
            Part::Script(ops, text) => {
                self.make_room(ops)?;
                tools::run(command("ipvsadm").arg("-R"), text).map(drop)
            }
            Part::Retire(leaving) => leaving
                .iter()
                .try_for_each(|(id, server)| self.retire(*id, *server)),
            Part::Look(node, servers) => look(self.sockets, *node, servers),
        }
    }

    fn send(&mut self, batch: &Batch<Op>) -> Result<(), HarnessError> {
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
        self.send(&Batch::encode(back))
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
        self.send(&Batch::encode(ops))
    }
}

/// Whether a device was to be made that is there: the other family of a dual-stack node has it too
/// (`EnsureDummyDevice`).
fn is_made(ops: &[LinkOp], error: &Error) -> bool {
    matches!(ops, [LinkOp::AddDummy(_)]) && error.errno() == Some(nix::errno::Errno::EEXIST)
}

/// Messages of [`Part::Look`] of so many servers.
pub(super) const fn questions(servers: usize) -> u64 {
    SHARED_QUESTIONS + QUESTIONS * servers as u64
}

/// Asks what [`Part::Look`] says.
///
/// # Errors
/// The kernel refused to say.
pub(super) fn look(
    sockets: &mut Sockets,
    node: NodeKind,
    servers: &[ServiceId],
) -> Result<(), HarnessError> {
    let failed = HarnessError::netlink("ask for addresses");
    let links = sockets.links()?;
    // Those of the device, and those of all others. kube-proxy asks for those of both families (pkg/proxy/ipvs/netlink_linux.go).
    for _ in 0..2 {
        let family = layout::of_links(node.family);
        let listed = match node.stack {
            Stack::Single => links.addresses(layout::DEVICE, family),
            Stack::Dual => links.addresses_among_all(layout::DEVICE, family),
        };
        listed.map_err(failed)?;
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
