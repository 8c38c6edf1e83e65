//! Operations on virtual servers as messages of generic netlink (`include/uapi/linux/ip_vs.h`; what each
//! command must hold: `ip_vs_genl_parse_service` and `ip_vs_genl_parse_dest` in
//! `net/netfilter/ipvs/ip_vs_ctl.c`, Linux 6.12).

use std::net::IpAddr;

use netlink::{Operation, attribute, flags, nest, text, write};

use crate::model::{Destination, Server, Service, ServiceId};
use crate::ops::Op;

const VERSION: u8 = 1;

pub(crate) const NEW_SERVICE: u8 = 1;
pub(crate) const SET_SERVICE: u8 = 2;
pub(crate) const DEL_SERVICE: u8 = 3;
pub(crate) const GET_SERVICE: u8 = 4;
pub(crate) const NEW_DEST: u8 = 5;
pub(crate) const SET_DEST: u8 = 6;
pub(crate) const DEL_DEST: u8 = 7;
pub(crate) const GET_DEST: u8 = 8;
pub(crate) const FLUSH: u8 = 17;

pub(crate) const CMD_SERVICE: u16 = 1;
pub(crate) const CMD_DEST: u16 = 2;

pub(crate) const SVC_AF: u16 = 1;
pub(crate) const SVC_PROTOCOL: u16 = 2;
pub(crate) const SVC_ADDR: u16 = 3;
pub(crate) const SVC_PORT: u16 = 4;
pub(crate) const SVC_FWMARK: u16 = 5;
pub(crate) const SVC_SCHED_NAME: u16 = 6;
pub(crate) const SVC_FLAGS: u16 = 7;
pub(crate) const SVC_TIMEOUT: u16 = 8;
pub(crate) const SVC_NETMASK: u16 = 9;

pub(crate) const DEST_ADDR: u16 = 1;
pub(crate) const DEST_PORT: u16 = 2;
pub(crate) const DEST_FWD_METHOD: u16 = 3;
pub(crate) const DEST_WEIGHT: u16 = 4;
pub(crate) const DEST_U_THRESH: u16 = 5;
pub(crate) const DEST_L_THRESH: u16 = 6;
pub(crate) const DEST_ACTIVE_CONNS: u16 = 7;
pub(crate) const DEST_INACT_CONNS: u16 = 8;
pub(crate) const DEST_ADDR_FAMILY: u16 = 11;

/// IP_VS_SVC_F_PERSISTENT and IP_VS_SVC_F_HASHED (which the kernel sets).
pub(crate) const FLAG_PERSISTENT: u32 = 1;
pub(crate) const FLAG_HASHED: u32 = 2;

pub(crate) const IPV4: u16 = libc::AF_INET as u16;
pub(crate) const IPV6: u16 = libc::AF_INET6 as u16;

impl Operation for Op {
    fn encode(&self, sequence: u32, out: &mut Vec<u8>) {
        let command = match self {
            Self::AddService(_) => NEW_SERVICE,
            Self::SetService(_) => SET_SERVICE,
            Self::DeleteService(_) => DEL_SERVICE,
            Self::AddDestination(..) => NEW_DEST,
            Self::SetDestination(..) => SET_DEST,
            Self::DeleteDestination(..) => DEL_DEST,
            Self::Flush => FLUSH,
        };
        request(out, (0, command), flags::ACK, sequence, |out| match self {
            Self::AddService(service) | Self::SetService(service) => whole_service(out, service),
            Self::DeleteService(id) => key(out, *id),
            Self::AddDestination(id, destination) | Self::SetDestination(id, destination) => {
                key(out, *id);
                whole_destination(out, destination);
            }
            Self::DeleteDestination(id, server) => {
                key(out, *id);
                nest(out, CMD_DEST, |out| server_key(out, *server));
            }
            Self::Flush => {}
        });
    }
}

/// Appends a request: the family's number, 0 where the send fills it in, and the command.
fn request(
    out: &mut Vec<u8>,
    (family, command): (u16, u8),
    flags: u16,
    sequence: u32,
    attributes: impl FnOnce(&mut Vec<u8>),
) {
    let header = [command, VERSION, 0, 0];
    write(out, family, flags, sequence, &header, attributes);
}

/// A question: a command with flags, about one virtual server or none.
pub(crate) fn question(
    family: u16,
    (command, flags): (u8, u16),
    id: Option<ServiceId>,
    sequence: u32,
) -> Vec<u8> {
    let mut out = Vec::new();
    request(&mut out, (family, command), flags, sequence, |out| {
        id.into_iter().for_each(|id| key(out, id));
    });
    out
}

fn key(out: &mut Vec<u8>, id: ServiceId) {
    nest(out, CMD_SERVICE, |out| key_attributes(out, id));
}

fn key_attributes(out: &mut Vec<u8>, id: ServiceId) {
    attribute(out, SVC_AF, &family(id.address).to_ne_bytes());
    attribute(out, SVC_PROTOCOL, &id.protocol.number().to_ne_bytes());
    attribute(out, SVC_ADDR, &any_address(id.address));
    attribute(out, SVC_PORT, &id.port.to_be_bytes());
}

fn whole_service(out: &mut Vec<u8>, service: &Service) {
    nest(out, CMD_SERVICE, |out| {
        key_attributes(out, service.id);
        text(out, SVC_SCHED_NAME, service.scheduler.name());
        let flags = match service.persistence_s {
            Some(_) => FLAG_PERSISTENT,
            None => 0,
        };
        // struct ip_vs_flags: flags, and which of them are meant.
        let flags = [flags.to_ne_bytes(), u32::MAX.to_ne_bytes()].concat();
        attribute(out, SVC_FLAGS, &flags);
        let timeout = service.persistence_s.unwrap_or(0);
        attribute(out, SVC_TIMEOUT, &timeout.to_ne_bytes());
        // Of IPv6 a prefix length (`ip_vs_add_service`).
        let netmask = match service.id.address {
            IpAddr::V4(_) => u32::MAX,
            IpAddr::V6(_) => 128,
        };
        attribute(out, SVC_NETMASK, &netmask.to_ne_bytes());
    });
}

fn server_key(out: &mut Vec<u8>, server: Server) {
    attribute(out, DEST_ADDR, &any_address(server.address));
    attribute(out, DEST_PORT, &server.port.to_be_bytes());
    attribute(out, DEST_ADDR_FAMILY, &family(server.address).to_ne_bytes());
}

fn whole_destination(out: &mut Vec<u8>, destination: &Destination) {
    nest(out, CMD_DEST, |out| {
        server_key(out, destination.server);
        for (kind, number) in [
            (DEST_FWD_METHOD, destination.forward.number()),
            (DEST_WEIGHT, destination.weight),
            (DEST_U_THRESH, 0),
            (DEST_L_THRESH, 0),
        ] {
            attribute(out, kind, &number.to_ne_bytes());
        }
    });
}

/// `union nf_inet_addr`.
fn any_address(address: IpAddr) -> [u8; 16] {
    let mut union = [0; 16];
    match address {
        IpAddr::V4(address) => union[..4].copy_from_slice(&address.octets()),
        IpAddr::V6(address) => union = address.octets(),
    }
    union
}

/// The address family of an address.
const fn family(address: IpAddr) -> u16 {
    match address {
        IpAddr::V4(_) => IPV4,
        IpAddr::V6(_) => IPV6,
    }
}
