//! The kernel's virtual servers, in the network namespace of the thread that opened the connection.

use netlink::{Batch, Error, Socket, flags, generic, set_kind};
use nix::errno::Errno;
use nix::sys::socket::SockProtocol;

use crate::decode;
use crate::encode::{GET_DEST, GET_SERVICE, question};
use crate::model::{ListedDestination, ListedService, ServiceId};
use crate::ops::Op;

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
    /// [`Error::Missing`] where there is no IPVS; out of file descriptors.
    pub fn open() -> Result<Self, Error> {
        let mut socket = Socket::open(SockProtocol::NetlinkGeneric, generic::HEADER)?;
        let family = generic::family(&mut socket, FAMILY)?;
        Ok(Self { socket, family })
    }

    /// Carries out a batch, and reads the acknowledgement of each of its messages.
    ///
    /// # Errors
    /// The first refused operation. Others of the same system call were carried out, later ones were not
    /// sent ([`Batch::most_per_send`]).
    pub fn send(&mut self, batch: &Batch<Op>) -> Result<(), Error> {
        let family = self.family;
        self.socket
            .send(batch, |bytes, at| set_kind(bytes, at, family))
    }

    /// Every virtual server of the namespace, in the order of the kernel's hash.
    ///
    /// # Errors
    /// The listing failed, or a server is not one of TCP or UDP by address and port.
    pub fn services(&mut self) -> Result<Vec<ListedService>, Error> {
        let family = self.family;
        self.socket.list(
            "virtual servers",
            |sequence| question(family, (GET_SERVICE, flags::DUMP), None, sequence),
            |_, attributes| decode::service(attributes).map(Some),
        )
    }

    /// One virtual server; `None` when there is none.
    ///
    /// # Errors
    /// The kernel refused to say.
    pub fn service(&mut self, id: ServiceId) -> Result<Option<ListedService>, Error> {
        let family = self.family;
        let mut found = None;
        let asked = self.socket.ask(
            "a virtual server",
            |sequence| question(family, (GET_SERVICE, 0), Some(id), sequence),
            |_, attributes| {
                found = Some(decode::service(attributes)?);
                Ok(())
            },
        );
        match asked {
            Err(error) if error.errno() == Some(Errno::ESRCH) => Ok(None),
            asked => asked.map(|()| found),
        }
    }

    /// Destinations of a virtual server, in the kernel's order; none where there is no such server, which
    /// the kernel does not tell apart.
    ///
    /// # Errors
    /// The listing failed, or a destination is of neither family.
    pub fn destinations(&mut self, id: ServiceId) -> Result<Vec<ListedDestination>, Error> {
        let family = self.family;
        self.socket.list(
            "destinations",
            |sequence| question(family, (GET_DEST, flags::DUMP), Some(id), sequence),
            |_, attributes| decode::destination(attributes).map(Some),
        )
    }
}
