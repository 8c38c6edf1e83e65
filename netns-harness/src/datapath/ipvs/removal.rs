//! kube-proxy's questions, and everything removed.

use std::sync::PoisonError;

use ipset_sys::Command;
use ipvs_codec::{LinkOp, Op};
use netlink::Batch as Messages;
use netns_sys::tools::command;
use schema::{Family, Stack};

use super::part::{look, questions};
use super::services::ids;
use super::{Ipvs, layout};
use crate::HarnessError;
use crate::datapath::{Sockets, SyncKind, steps};
use crate::service::{self, Population};
use crate::tools;
use crate::xtables::{foreign, tool};

/// What kube-proxy asks in a sync besides the listings of sets: a process for each chain and jump, and for
/// each set, by `creates`; and over netlink what [`Part::Look`] says, which a batch that writes everything holds itself.
///
/// # Errors
/// A tool is missing or refuses what kube-proxy expects it to take; the kernel refused to say.
pub(super) fn ask_as_kube_proxy(
    ipvs: &Ipvs,
    population: &Population,
    creates: &[Command],
    sync: SyncKind,
    sockets: &mut Sockets,
) -> Result<u64, HarnessError> {
    let (node, family) = (ipvs.node(), ipvs.family);
    for (words, _) in layout::questions(family) {
        // A chain that is there is refused: that is the answer.
        let _there = tool::ask(ipvs.tool(), words)?;
    }
    for create in creates {
        let line = create.to_string();
        let mut words: Vec<&str> = line.split_whitespace().collect();
        words.push("-exist");
        tools::run(command("ipset").args(words), "")?;
    }
    if sync.is_full() {
        return Ok(0);
    }
    let servers = ids(population);
    look(sockets, node, &servers)?;
    Ok(questions(servers.len()))
}

/// Removes everything, in the order of kube-proxy's `cleanupLeftovers`: virtual servers, the device with its
/// addresses, rules, and sets, which no rule refers to any more. Sysctls stay, as kube-proxy leaves them. What
/// is not there is no error, nor is a kernel without IPVS. On a dual-stack node what is the other family's stays.
pub(super) fn teardown(ipvs: &Ipvs, sockets: &mut Sockets) -> Vec<HarnessError> {
    let (node, family) = (ipvs.node(), ipvs.family);
    let leaving = ipvs.leaving.lock();
    leaving.unwrap_or_else(PoisonError::into_inner).clear();
    let mut done = match node.stack {
        Stack::Single => vec![flush(sockets), delete_device(sockets)],
        Stack::Dual => vec![
            delete_servers(family, sockets),
            delete_addresses(family, sockets),
        ],
    };
    let emptied = foreign::remove(ipvs.engine, family, &["nat", "filter"], sockets);
    done.extend(emptied.into_iter().map(Err));
    match sockets.sets() {
        Ok(_) => done.extend(layout::sets(family).map(|(name, _)| steps::destroy(name, sockets))),
        Err(error) => done.push(Err(error)),
    }
    let errors = done.into_iter().filter_map(Result::err);
    errors.filter(|error| !error.is_not_found()).collect()
}

fn delete_servers(family: Family, sockets: &mut Sockets) -> Result<(), HarnessError> {
    let failed = HarnessError::netlink("remove virtual servers");
    let connection = sockets.servers()?;
    let listed = connection.services().map_err(failed)?;
    let ids = listed.into_iter().map(|listed| listed.service.id);
    let own = ids.filter(|id| service::family(id.address) == family);
    let ops = own.map(Op::DeleteService).collect();
    connection.send(&Messages::encode(ops)).map_err(failed)
}

fn delete_addresses(family: Family, sockets: &mut Sockets) -> Result<(), HarnessError> {
    let failed = HarnessError::netlink("remove addresses");
    let links = sockets.links()?;
    let own = links.addresses(layout::DEVICE, layout::of_links(family));
    let own = own.map_err(failed)?.into_iter();
    let ops = own.map(|(address, _)| LinkOp::DeleteAddress(layout::DEVICE, address));
    links.send(&Messages::encode(ops.collect())).map_err(failed)
}

fn flush(sockets: &mut Sockets) -> Result<(), HarnessError> {
    let flushed = sockets.servers()?.send(&Messages::encode(vec![Op::Flush]));
    flushed.map_err(HarnessError::netlink("flush virtual servers"))
}

fn delete_device(sockets: &mut Sockets) -> Result<(), HarnessError> {
    let delete = Messages::encode(vec![LinkOp::DeleteDevice(layout::DEVICE)]);
    let deleted = sockets.links()?.send(&delete);
    deleted.map_err(HarnessError::netlink("remove the device"))
}
