//! One step of a batch that is neither set nor rule: what is sent, printable and counted.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex};

use ipvs_codec::{LinkOp, Op, Server, ServiceId};
use netlink::Batch;

use super::{layout, send};
use crate::HarnessError;
use crate::datapath::step::Step;
use crate::sockets::{Socket, Sockets};

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
    Script(Script),
    /// Endpoints that leave, as kube-proxy's `GracefulTerminationManager` lets them: the destinations of the
    /// virtual server are listed, and the one that leaves is deleted if it is UDP's or has no connections;
    /// else its weight becomes 0, and it is deleted when it comes back or its server is changed again.
    Retire(Vec<(ServiceId, Server)>),
    /// What kube-proxy asks at each sync: every virtual server twice, its destinations once
    /// (`syncService`, `syncEndpoint`); addresses of the device and of the node; all virtual servers.
    Look(Vec<ServiceId>),
}

/// Input of `ipvsadm -R`, with the operations that it says.
#[derive(Debug)]
pub(super) struct Script {
    ops: Vec<Op>,
    text: String,
}

impl Script {
    /// The script of operations.
    pub(super) fn new(ops: Vec<Op>) -> Self {
        let text = ipvs_codec::script(&ops);
        Self { ops, text }
    }

    /// The operations.
    pub(super) fn ops(&self) -> &[Op] {
        &self.ops
    }

    /// The text.
    pub(super) fn text(&self) -> &str {
        &self.text
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
            Part::Script(script) => script.ops.len() as u64,
            Part::Retire(leaving) => leaving.len() as u64,
            Part::Look(servers) => servers.len() as u64,
        }
    }

    /// An endpoint that leaves takes two: the question, and the change.
    fn messages(&self) -> u64 {
        match &self.part {
            Part::Sysctls | Part::Script(_) => 0,
            Part::Links(batch) => batch.messages(),
            Part::Servers(batch) => batch.messages(),
            Part::Retire(leaving) => 2 * leaving.len() as u64,
            Part::Look(servers) => SHARED_QUESTIONS + QUESTIONS * servers.len() as u64,
        }
    }

    /// Of [`Part::Retire`] those of the deletions, and of questions none.
    fn bytes(&self) -> u64 {
        match &self.part {
            Part::Sysctls => layout::SYSCTLS.iter().map(|(_, v)| v.len() as u64).sum(),
            Part::Links(batch) => batch.bytes().len() as u64,
            Part::Servers(batch) => batch.bytes().len() as u64,
            Part::Script(script) => script.text.len() as u64,
            Part::Retire(leaving) => Batch::encode(deletions(leaving)).bytes().len() as u64,
            Part::Look(_) => 0,
        }
    }

    fn sockets(&self) -> &'static [Socket] {
        match &self.part {
            Part::Sysctls | Part::Script(_) => &[],
            Part::Links(_) => &[Socket::Links],
            Part::Servers(_) | Part::Retire(_) => &[Socket::Servers],
            Part::Look(_) => &[Socket::Servers, Socket::Links],
        }
    }

    fn carry_out(&self, sockets: &mut Sockets) -> Result<(), HarnessError> {
        send::carry_out(&self.part, &self.leaving, sockets)
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
            Part::Script(script) => f.write_str(&script.text),
            Part::Retire(leaving) => deletions(leaving)
                .iter()
                .try_for_each(|op| writeln!(f, "ipvsadm {op} # weight 0 while it has connections")),
            Part::Look(servers) => writeln!(
                f,
                "# {} virtual servers are asked for, with their destinations",
                servers.len()
            ),
        }
    }
}
