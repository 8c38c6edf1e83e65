//! What the kernel lists: independent of the encoder but for attribute numbers.

use std::net::IpAddr;

use netlink::{Attributes, Error};

use crate::encode as c;
use crate::model::{
    Destination, Forward, ListedDestination, ListedService, Protocol, Scheduler, Server, Service,
    ServiceId,
};

/// What must be there, or the message is torn.
fn there<T>(found: Option<T>, listing: &'static str) -> Result<T, Error> {
    found.ok_or(Error::Torn { listing })
}

fn foreign(what: impl Into<String>) -> Error {
    Error::Foreign { what: what.into() }
}

/// A virtual server, from the attributes of one message of a listing.
pub(crate) fn service(attributes: Attributes<'_>) -> Result<ListedService, Error> {
    const WHAT: &str = "virtual servers";
    let nest = there(attributes.nested(c::CMD_SERVICE), WHAT)?;
    if nest.find(c::SVC_FWMARK).is_some() {
        return Err(foreign("virtual server by firewall mark"));
    }
    let (service, flags) = whole_service(nest)?;
    Ok(ListedService {
        service,
        other_flags: flags & !(c::FLAG_PERSISTENT | c::FLAG_HASHED),
    })
}

/// A virtual server and its flags, as a listing holds them.
fn whole_service(nest: Attributes<'_>) -> Result<(Service, u32), Error> {
    const WHAT: &str = "virtual server";
    let id = service_id(nest)?;
    let name = there(nest.text(c::SVC_SCHED_NAME), WHAT)?;
    let scheduler = Scheduler::from_name(name)
        .ok_or_else(|| foreign(format!("scheduler {name} of virtual server {id}")))?;
    // struct ip_vs_flags: flags, and which of them are meant.
    let both = there(nest.exact::<8>(c::SVC_FLAGS), WHAT)?;
    let flags = u32::from_ne_bytes([both[0], both[1], both[2], both[3]]);
    let timeout = there(nest.u32(c::SVC_TIMEOUT), WHAT)?;
    let service = Service {
        id,
        scheduler,
        persistence_s: (flags & c::FLAG_PERSISTENT != 0).then_some(timeout),
    };
    Ok((service, flags))
}

fn service_id(nest: Attributes<'_>) -> Result<ServiceId, Error> {
    const WHAT: &str = "key of a virtual server";
    let family = there(nest.u16(c::SVC_AF), WHAT)?;
    if !matches!(family, c::IPV4 | c::IPV6) {
        return Err(foreign(format!(
            "virtual server of address family {family}"
        )));
    }
    let number = there(nest.u16(c::SVC_PROTOCOL), WHAT)?;
    Ok(ServiceId {
        protocol: Protocol::from_number(number)
            .ok_or_else(|| foreign(format!("virtual server of protocol {number}")))?,
        address: there(address(nest, c::SVC_ADDR, family), WHAT)?,
        port: there(port(nest, c::SVC_PORT), WHAT)?,
    })
}

/// `union nf_inet_addr`, of which an address of IPv4 is the first four bytes.
fn address(nest: Attributes<'_>, kind: u16, family: u16) -> Option<IpAddr> {
    let union = nest.bytes(kind)?;
    match family {
        c::IPV6 => union.first_chunk::<16>().copied().map(IpAddr::from),
        _ => union.first_chunk::<4>().copied().map(IpAddr::from),
    }
}

fn port(nest: Attributes<'_>, kind: u16) -> Option<u16> {
    nest.exact(kind).map(u16::from_be_bytes)
}

/// A destination, from the attributes of one message of a listing.
pub(crate) fn destination(attributes: Attributes<'_>) -> Result<ListedDestination, Error> {
    const WHAT: &str = "destinations";
    let nest = there(attributes.nested(c::CMD_DEST), WHAT)?;
    let number = |kind| there(nest.u32(kind), WHAT);
    Ok(ListedDestination {
        destination: whole_destination(nest)?,
        thresholds: (number(c::DEST_U_THRESH)?, number(c::DEST_L_THRESH)?),
        active: number(c::DEST_ACTIVE_CONNS)?,
        inactive: number(c::DEST_INACT_CONNS)?,
    })
}

fn server(nest: Attributes<'_>) -> Result<Server, Error> {
    const WHAT: &str = "key of a destination";
    // Linux before 3.18 says no family: a destination has its server's, which is taken for one of IPv4.
    let family = match nest.find(c::DEST_ADDR_FAMILY) {
        Some(_) => there(nest.u16(c::DEST_ADDR_FAMILY), WHAT)?,
        None => c::IPV4,
    };
    if !matches!(family, c::IPV4 | c::IPV6) {
        return Err(foreign("destination of another address family"));
    }
    Ok(Server {
        address: there(address(nest, c::DEST_ADDR, family), WHAT)?,
        port: there(port(nest, c::DEST_PORT), WHAT)?,
    })
}

fn whole_destination(nest: Attributes<'_>) -> Result<Destination, Error> {
    const WHAT: &str = "destination";
    let method = there(nest.u32(c::DEST_FWD_METHOD), WHAT)?;
    Ok(Destination {
        server: server(nest)?,
        forward: Forward::from_number(method)
            .ok_or_else(|| foreign(format!("forwarding method {method}")))?,
        weight: there(nest.u32(c::DEST_WEIGHT), WHAT)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Op;
    use netlink::Batch;
    use std::net::Ipv4Addr;

    const ID: ServiceId = ServiceId {
        protocol: Protocol::Tcp,
        address: IpAddr::V4(Ipv4Addr::new(10, 96, 0, 1)),
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
                        address: IpAddr::from([10, 128, 0, 1]),
                        port: 8080,
                    },
                    forward: Forward::Masquerade,
                    weight: 1,
                },
            ),
        ])
    }

    #[test]
    fn a_server_of_ipv6_is_read_back_as_it_was_written() {
        let address = "fd00:10:96::1".parse().unwrap();
        let id = ServiceId { address, ..ID };
        let server = Server {
            address,
            port: 8080,
        };
        let destination = Destination {
            server,
            forward: Forward::Masquerade,
            weight: 1,
        };
        let new = Service {
            id,
            scheduler: Scheduler::RoundRobin,
            persistence_s: None,
        };
        let batch = Batch::encode(vec![
            Op::AddService(new),
            Op::AddDestination(id, destination),
        ]);
        let read = |nth: usize, kind| {
            let message = netlink::messages(batch.bytes()).nth(nth).unwrap().unwrap();
            match message.answer(netlink::generic::HEADER).unwrap() {
                netlink::Answer::Object(_, attributes) => {
                    attributes.nested(kind).unwrap().0.to_vec()
                }
                _ => Vec::new(),
            }
        };
        let nest = read(0, c::CMD_SERVICE);
        assert_eq!(whole_service(Attributes(&nest)).unwrap().0, new);
        let nest = read(1, c::CMD_DEST);
        assert_eq!(whole_destination(Attributes(&nest)).unwrap(), destination);
        assert_eq!(new.to_string(), "-t [fd00:10:96::1]:80 -s rr");
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
}
