//! What the kernel lists, and requests read back: independent of the encoder but for attribute numbers.

use std::net::Ipv4Addr;

use crate::encode::{self as c, GENERIC_HEADER};
use crate::error::IpvsError;
use crate::model::{
    Destination, Forward, ListedDestination, ListedService, Protocol, Scheduler, Server, Service,
    ServiceId,
};
use crate::ops::Op;
use crate::wire::{self, Answer, Attributes, Torn};

/// IPVS_STATS_ATTR_CONNS.
const STATS_CONNS: u16 = 1;

fn torn(listing: &'static str) -> impl Fn(Torn) -> IpvsError {
    move |_| IpvsError::Torn { listing }
}

/// A virtual server, from the attributes of one message of a listing.
pub(crate) fn service(attributes: Attributes<'_>) -> Result<ListedService, IpvsError> {
    const WHAT: &str = "virtual servers";
    let nest = attributes.nested(c::CMD_SERVICE).map_err(torn(WHAT))?;
    let nest = nest.ok_or(IpvsError::Torn { listing: WHAT })?;
    if nest.find(c::SVC_FWMARK).map_err(torn(WHAT))?.is_some() {
        return Err(foreign("virtual server by firewall mark"));
    }
    let id = service_id(nest)?;
    let name = nest.text(c::SVC_SCHED_NAME).map_err(torn(WHAT))?;
    let scheduler = Scheduler::from_name(name)
        .ok_or_else(|| foreign(&format!("scheduler {name} of virtual server {id}")))?;
    let flags = nest.exact::<8>(c::SVC_FLAGS).map_err(torn(WHAT))?;
    let flags = u32::from_ne_bytes([flags[0], flags[1], flags[2], flags[3]]);
    let timeout = nest.u32(c::SVC_TIMEOUT).map_err(torn(WHAT))?;
    Ok(ListedService {
        service: Service {
            id,
            scheduler,
            persistence_s: (flags & c::FLAG_PERSISTENT != 0).then_some(timeout),
        },
        other_flags: flags & !(c::FLAG_PERSISTENT | c::FLAG_HASHED),
        connections: connections(nest).map_err(torn(WHAT))?,
    })
}

/// The 64-bit statistics (Linux 4.1), or the 32-bit ones before.
fn connections(service: Attributes<'_>) -> Result<u64, Torn> {
    if let Some(stats) = service.nested(c::SVC_STATS64)? {
        return Ok(u64::from_ne_bytes(stats.exact(STATS_CONNS)?));
    }
    let stats = service.nested(c::SVC_STATS)?.ok_or(Torn)?;
    stats.u32(STATS_CONNS).map(u64::from)
}

fn foreign(what: &str) -> IpvsError {
    IpvsError::Foreign {
        what: what.to_owned(),
    }
}

fn service_id(nest: Attributes<'_>) -> Result<ServiceId, IpvsError> {
    let torn = torn("key of a virtual server");
    let family = nest.u16(c::SVC_AF).map_err(&torn)?;
    if family != c::IPV4 {
        return Err(foreign(&format!(
            "virtual server of address family {family}"
        )));
    }
    let number = nest.u16(c::SVC_PROTOCOL).map_err(&torn)?;
    Ok(ServiceId {
        protocol: Protocol::from_number(number)
            .ok_or_else(|| foreign(&format!("virtual server of protocol {number}")))?,
        address: address(nest, c::SVC_ADDR).map_err(&torn)?,
        port: u16::from_be_bytes(nest.exact(c::SVC_PORT).map_err(&torn)?),
    })
}

/// The first four bytes of `union nf_inet_addr`.
fn address(nest: Attributes<'_>, kind: u16) -> Result<Ipv4Addr, Torn> {
    let value = nest.find(kind)?.ok_or(Torn)?;
    Ok(Ipv4Addr::from(*value.first_chunk::<4>().ok_or(Torn)?))
}

/// A destination, from the attributes of one message of a listing.
pub(crate) fn destination(attributes: Attributes<'_>) -> Result<ListedDestination, IpvsError> {
    const WHAT: &str = "destinations";
    let torn = torn(WHAT);
    let nest = attributes.nested(c::CMD_DEST).map_err(&torn)?;
    let nest = nest.ok_or(IpvsError::Torn { listing: WHAT })?;
    let number = |kind| nest.u32(kind).map_err(&torn);
    Ok(ListedDestination {
        destination: whole_destination(nest)?,
        thresholds: (number(c::DEST_U_THRESH)?, number(c::DEST_L_THRESH)?),
        active: number(c::DEST_ACTIVE_CONNS)?,
        inactive: number(c::DEST_INACT_CONNS)?,
    })
}

fn server(nest: Attributes<'_>) -> Result<Server, IpvsError> {
    let torn = torn("key of a destination");
    // Linux before 3.18 says no family: a destination has its server's.
    if let Some(family) = nest.find(c::DEST_ADDR_FAMILY).map_err(&torn)?
        && family != c::IPV4.to_ne_bytes()
    {
        return Err(foreign("destination of another address family"));
    }
    Ok(Server {
        address: address(nest, c::DEST_ADDR).map_err(&torn)?,
        port: u16::from_be_bytes(nest.exact(c::DEST_PORT).map_err(&torn)?),
    })
}

fn whole_destination(nest: Attributes<'_>) -> Result<Destination, IpvsError> {
    let torn = torn("destination");
    let method = nest.u32(c::DEST_FWD_METHOD).map_err(&torn)?;
    Ok(Destination {
        server: server(nest)?,
        forward: Forward::from_number(method)
            .ok_or_else(|| foreign(&format!("forwarding method {method}")))?,
        weight: nest.u32(c::DEST_WEIGHT).map_err(&torn)?,
    })
}

/// Reads requests back: what a batch's bytes ask, with the sequence number of each.
///
/// # Errors
/// A message that is torn, or asks something that is no [`Op`].
pub fn requests(bytes: &[u8]) -> Result<Vec<(u32, Op)>, IpvsError> {
    let torn = torn("request");
    wire::messages(bytes)
        .map(|message| {
            let message = message.map_err(&torn)?;
            match message.answer(GENERIC_HEADER).map_err(&torn)? {
                Answer::Object([command, ..], attributes) => {
                    Ok((message.sequence, operation(*command, attributes)?))
                }
                _ => Err(foreign("message without a command")),
            }
        })
        .collect()
}

fn operation(command: u8, attributes: Attributes<'_>) -> Result<Op, IpvsError> {
    let torn = torn("request");
    let service = attributes.nested(c::CMD_SERVICE).map_err(&torn)?;
    let dest = attributes.nested(c::CMD_DEST).map_err(&torn)?;
    let whole = |nest: Attributes<'_>| -> Result<Service, IpvsError> {
        let name = nest.text(c::SVC_SCHED_NAME).map_err(&torn)?;
        let flags = nest.exact::<8>(c::SVC_FLAGS).map_err(&torn)?;
        let timeout = nest.u32(c::SVC_TIMEOUT).map_err(&torn)?;
        let persistent = u32::from_ne_bytes([flags[0], flags[1], flags[2], flags[3]]);
        Ok(Service {
            id: service_id(nest)?,
            scheduler: Scheduler::from_name(name).ok_or_else(|| foreign("scheduler"))?,
            persistence_s: (persistent & c::FLAG_PERSISTENT != 0).then_some(timeout),
        })
    };
    Ok(match (command, service, dest) {
        (c::NEW_SERVICE, Some(service), None) => Op::AddService(whole(service)?),
        (c::SET_SERVICE, Some(service), None) => Op::SetService(whole(service)?),
        (c::DEL_SERVICE, Some(service), None) => Op::DeleteService(service_id(service)?),
        (c::NEW_DEST, Some(service), Some(dest)) => {
            Op::AddDestination(service_id(service)?, whole_destination(dest)?)
        }
        (c::SET_DEST, Some(service), Some(dest)) => {
            Op::SetDestination(service_id(service)?, whole_destination(dest)?)
        }
        (c::DEL_DEST, Some(service), Some(dest)) => {
            Op::DeleteDestination(service_id(service)?, server(dest)?)
        }
        (c::FLUSH, None, None) => Op::Flush,
        _ => return Err(foreign(&format!("request number {command}"))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Batch;
    use crate::ops::Op;

    const ID: ServiceId = ServiceId {
        protocol: Protocol::Tcp,
        address: Ipv4Addr::new(10, 96, 0, 1),
        port: 80,
    };

    fn batch() -> Batch<Op> {
        Batch::encode(vec![
            Op::AddService(Service {
                id: ID,
                scheduler: Scheduler::Maglev,
                persistence_s: Some(10_800),
            }),
            Op::AddDestination(
                ID,
                Destination {
                    server: Server {
                        address: Ipv4Addr::new(10, 128, 0, 1),
                        port: 8080,
                    },
                    forward: Forward::Masquerade,
                    weight: 1,
                },
            ),
        ])
    }

    #[test]
    fn a_service_is_laid_out_as_the_kernel_reads_it() {
        let batch = batch();
        let hex: Vec<String> = batch.bytes()[..batch.start(1)]
            .chunks(4)
            .map(|word| word.iter().map(|b| format!("{b:02x}")).collect())
            .collect();
        assert_eq!(
            hex.join(" "),
            "68000000 00000500 01000000 00000000 01010000 54000180 06000100 02000000 06000200 06000000 \
             14000300 0a600001 00000000 00000000 00000000 06000400 00500000 07000600 6d680000 0c000700 \
             01000000 ffffffff 08000800 302a0000 08000900 ffffffff"
        );
    }

    #[test]
    fn requests_are_read_back_in_order_and_a_cut_one_is_an_error() {
        let batch = batch();
        let read: Vec<_> = requests(batch.bytes()).unwrap();
        let sent: Vec<_> = (1..).zip(batch.ops().iter().copied()).collect();
        assert_eq!(read, sent);
        for cut in 1..batch.bytes().len() {
            let read = requests(&batch.bytes()[..cut]);
            assert!(cut == batch.start(1) || read.is_err(), "{cut}: {read:?}");
        }
    }
}
