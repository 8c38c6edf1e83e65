//! The kernel's virtual servers, in the network namespace of the thread that opened the connection.

use nix::errno::Errno;
use nix::sys::socket::SockProtocol;

use crate::batch::Batch;
use crate::decode;
use crate::encode::{self, FAMILY_ID, GENERIC_HEADER};
use crate::error::IpvsError;
use crate::model::{ListedDestination, ListedService, ServiceId};
use crate::ops::Op;
use crate::socket::Socket;
use crate::wire;

/// The family's name (`IPVS_GENL_NAME`).
const FAMILY: &str = "IPVS";

/// A socket to IPVS. It stays in the network namespace in which it was opened, wherever its thread goes.
#[derive(Debug)]
pub struct Connection {
    socket: Socket,
    family: u16,
}

impl Connection {
    /// Opens a socket and asks for the family's number; a kernel that has IPVS as a module loads it now.
    ///
    /// # Errors
    /// [`IpvsError::Missing`] where there is no IPVS; out of file descriptors.
    pub fn open() -> Result<Self, IpvsError> {
        let mut socket = Socket::open(SockProtocol::NetlinkGeneric, GENERIC_HEADER)?;
        let mut family = 0;
        let request = |sequence| encode::get_family(FAMILY, sequence);
        let found = socket.ask("family IPVS", request, &[Errno::ENOENT], |_, attributes| {
            let torn = |_| IpvsError::Torn {
                listing: "family IPVS",
            };
            family = attributes.u16(FAMILY_ID).map_err(torn)?;
            Ok(())
        })?;
        match found {
            true => Ok(Self { socket, family }),
            false => Err(IpvsError::Missing {
                errno: Errno::ENOENT,
            }),
        }
    }

    /// Carries out a batch, and reads the acknowledgement of each of its messages.
    ///
    /// # Errors
    /// The first refused operation. Others of the same system call were carried out, later ones were not
    /// sent ([`Batch::most_per_send`]).
    pub fn send(&mut self, batch: &Batch<Op>) -> Result<(), IpvsError> {
        let family = self.family;
        self.socket
            .send(batch, |bytes, at| wire::set_kind(bytes, at, family))
    }

    /// Every virtual server of the namespace, in the order of the kernel's hash.
    ///
    /// # Errors
    /// The listing failed, or a server is not IPv4, TCP or UDP by address and port.
    pub fn services(&mut self) -> Result<Vec<ListedService>, IpvsError> {
        let family = self.family;
        self.socket.dump(
            "virtual servers",
            |sequence| addressed(encode::dump_services(sequence), family),
            Vec::new,
            |services, _, attributes| {
                services.push(decode::service(attributes)?);
                Ok(())
            },
        )
    }

    /// One virtual server; `None` when there is none.
    ///
    /// # Errors
    /// The kernel refused to say.
    pub fn service(&mut self, id: ServiceId) -> Result<Option<ListedService>, IpvsError> {
        let family = self.family;
        let mut found = None;
        self.socket.ask(
            "a virtual server",
            |sequence| addressed(encode::get_service(id, sequence), family),
            &[Errno::ESRCH],
            |_, attributes| {
                found = Some(decode::service(attributes)?);
                Ok(())
            },
        )?;
        Ok(found)
    }

    /// Destinations of a virtual server, in the kernel's order; none where there is no such server, which
    /// the kernel does not tell apart.
    ///
    /// # Errors
    /// The listing failed, or a destination is not IPv4.
    pub fn destinations(&mut self, id: ServiceId) -> Result<Vec<ListedDestination>, IpvsError> {
        let family = self.family;
        self.socket.dump(
            "destinations",
            |sequence| addressed(encode::dump_destinations(id, sequence), family),
            Vec::new,
            |destinations, _, attributes| {
                destinations.push(decode::destination(attributes)?);
                Ok(())
            },
        )
    }
}

fn addressed(mut request: Vec<u8>, family: u16) -> Vec<u8> {
    wire::set_kind(&mut request, 0, family);
    request
}
