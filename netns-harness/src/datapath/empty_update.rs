//! An update that changes nothing: what starting a tool, or a transaction, costs whatever is in it. Two runs in which
//! that differs were made on machines that differ, and so may their updates.

use std::fmt;

use schema::Transport;

use super::step::{Batch, Step};
use super::{nftables, tool};
use crate::sockets::Sockets;
use crate::{HarnessError, tools};

/// The update that changes nothing, by that transport; `None` where there is none. Tools are the installed ones, whatever
/// stands in their places: what is measured is the machine.
#[must_use]
pub fn empty_update(transport: Transport) -> Option<Batch> {
    Some(match transport {
        Transport::Restore => Batch::of(Some(Tool("iptables-legacy-restore", tool::ADD))),
        Transport::Nft => Batch::of(Some(Tool("nft", &["-f", "-"]))),
        // Kernels before 6.10 answer no transaction without an operation (net/netfilter/nfnetlink.c).
        Transport::Netlink => Batch::of(Some(nftables::made_and_deleted())),
        _ => return None,
    })
}

/// A tool that is given nothing to do.
#[derive(Debug)]
struct Tool(&'static str, &'static [&'static str]);

impl Step for Tool {
    fn operations(&self) -> u64 {
        0
    }

    fn bytes(&self) -> u64 {
        0
    }

    fn carry_out(&self, _sockets: &mut Sockets) -> Result<(), HarnessError> {
        tools::run(tool::installed(self.0).args(self.1), "").map(drop)
    }
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {} </dev/null", self.0, self.1.join(" "))
    }
}
