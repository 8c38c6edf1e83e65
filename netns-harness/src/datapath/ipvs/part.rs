//! One step of a batch that is neither set nor rule: what is sent, printable and counted.

use std::fmt;

use ipvs_codec::{LinkOp, Op, Server, ServiceId};
use netlink::Batch;

use super::layout;

/// What is sent.
#[derive(Debug, Clone)]
pub enum Part {
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
#[derive(Debug, Clone)]
pub struct Script {
    ops: Vec<Op>,
    text: String,
}

impl Script {
    /// The script of operations.
    #[must_use]
    pub fn new(ops: Vec<Op>) -> Self {
        let text = ipvs_codec::script(&ops);
        Self { ops, text }
    }

    /// The operations.
    #[must_use]
    pub fn ops(&self) -> &[Op] {
        &self.ops
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// Questions that are asked besides those about each server: addresses twice, virtual servers once, each
/// a dump; the device's number before each of the former.
pub(super) const SHARED_QUESTIONS: u64 = 5;
/// Questions about each server.
pub(super) const QUESTIONS: u64 = 3;

impl Part {
    /// Virtual servers, destinations, addresses, devices and sysctls named.
    #[must_use]
    pub fn operations(&self) -> u64 {
        match self {
            Self::Sysctls => layout::SYSCTLS.len() as u64,
            Self::Links(batch) => batch.messages(),
            Self::Servers(batch) => batch.messages(),
            Self::Script(script) => script.ops.len() as u64,
            Self::Retire(leaving) => leaving.len() as u64,
            Self::Look(servers) => servers.len() as u64,
        }
    }

    /// Netlink messages of our own. An endpoint that leaves takes two: the question, and the change.
    #[must_use]
    pub fn messages(&self) -> u64 {
        match self {
            Self::Sysctls | Self::Script(_) => 0,
            Self::Links(batch) => batch.messages(),
            Self::Servers(batch) => batch.messages(),
            Self::Retire(leaving) => 2 * leaving.len() as u64,
            Self::Look(servers) => SHARED_QUESTIONS + QUESTIONS * servers.len() as u64,
        }
    }

    /// Bytes handed over; of [`Self::Retire`] those of the deletions, and of questions none.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Sysctls => layout::SYSCTLS.iter().map(|(_, v)| v.len() as u64).sum(),
            Self::Links(batch) => batch.bytes().len() as u64,
            Self::Servers(batch) => batch.bytes().len() as u64,
            Self::Script(script) => script.text.len() as u64,
            Self::Retire(leaving) => Batch::encode(deletions(leaving)).bytes().len() as u64,
            Self::Look(_) => 0,
        }
    }
}

/// What becomes of leaving endpoints that have no connections.
pub(super) fn deletions(leaving: &[(ServiceId, Server)]) -> Vec<Op> {
    let delete = |&(id, server): &(ServiceId, Server)| Op::DeleteDestination(id, server);
    leaving.iter().map(delete).collect()
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sysctls => layout::SYSCTLS
                .iter()
                .try_for_each(|(name, value)| writeln!(f, "sysctl -w {name}={value}")),
            Self::Links(batch) => batch.ops().iter().try_for_each(|op| writeln!(f, "ip {op}")),
            Self::Servers(batch) => batch
                .ops()
                .iter()
                .try_for_each(|op| writeln!(f, "ipvsadm {op}")),
            Self::Script(script) => f.write_str(&script.text),
            Self::Retire(leaving) => deletions(leaving)
                .iter()
                .try_for_each(|op| writeln!(f, "ipvsadm {op} # weight 0 while it has connections")),
            Self::Look(servers) => writeln!(
                f,
                "# {} virtual servers are asked for, with their destinations",
                servers.len()
            ),
        }
    }
}
