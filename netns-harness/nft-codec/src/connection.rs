//! A netlink socket to nf_tables in the network namespace of the thread that opened it.

use netlink::{Answer, Error, Socket, messages};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, SockProtocol};

use crate::encode::EncodedBatch;

/// Bytes of `struct nfgenmsg`, which begins every netfilter message: family, version, resource.
pub(crate) const HEADER: usize = 4;

/// A socket to nf_tables. Open it before the part that is timed; it stays in the network namespace in
/// which it was opened, wherever its thread goes.
#[derive(Debug)]
pub struct Connection {
    pub(crate) socket: Socket,
    /// Whether it lists on its own socket alone, however much there is.
    pub(crate) alone: bool,
}

impl Connection {
    /// Opens a socket in the calling thread's network namespace.
    ///
    /// # Errors
    /// No such protocol in this kernel, or out of file descriptors.
    pub fn open() -> Result<Self, Error> {
        let socket = Socket::open(SockProtocol::NetlinkNetFilter, HEADER)?;
        Ok(Self {
            socket,
            alone: false,
        })
    }

    /// Lists on this one socket and thread alone: else many chains are shared out among several.
    #[must_use]
    pub fn alone(self) -> Self {
        Self {
            alone: true,
            ..self
        }
    }

    /// Bytes of the largest transaction that this process may send; `None`: any
    /// ([`Socket::largest_send`]).
    ///
    /// # Errors
    /// A socket's options cannot be set or read.
    pub fn largest_batch() -> Result<Option<usize>, Error> {
        Socket::largest_send(SockProtocol::NetlinkNetFilter)
    }

    /// Makes the send buffer large enough for a transaction of so many bytes, which [`Self::send`] else does.
    pub fn make_room(&mut self, len: usize) {
        self.socket.make_room(len);
    }

    /// Sends a transaction with one system call and waits for the kernel's answer, which is there when
    /// that call returns: everything is applied, or nothing.
    ///
    /// # Errors
    /// The first operation that was refused, with its script line; EMSGSIZE when the transaction
    /// exceeds the send buffer that this process may have ([`Error::is_too_big`]).
    pub fn send(&mut self, batch: &EncodedBatch) -> Result<(), Error> {
        if batch.messages() == 0 {
            return Ok(());
        }
        self.socket.make_room(batch.bytes().len());
        self.socket.transmit(batch.bytes(), "a transaction")?;
        self.verdict(batch)
    }

    /// Reads answers until the acknowledged message and everything queued behind it was read.
    fn verdict(&mut self, batch: &EncodedBatch) -> Result<(), Error> {
        let mut first: Option<(u32, Errno)> = None;
        let mut further = 0;
        let mut lost = false;
        let mut answered = false;
        loop {
            // Once the awaited answer is there, only what is already queued is read.
            let flags = if answered {
                MsgFlags::MSG_DONTWAIT
            } else {
                MsgFlags::empty()
            };
            let datagram = match self.socket.receive(flags) {
                Ok(datagram) => datagram,
                Err(Errno::EAGAIN) if answered => break,
                Err(Errno::EAGAIN) => return Err(Socket::silent()),
                Err(Errno::ENOBUFS) => {
                    lost = true;
                    answered = true; // what is queued still comes, the rest never will
                    continue;
                }
                Err(errno) => return Err(unheard(errno)),
            };
            for message in messages(datagram) {
                let torn = |_| Error::Torn {
                    listing: "answer to a transaction",
                };
                let message = message.map_err(torn)?;
                let Answer::Verdict(number) = message.answer(0).map_err(torn)? else {
                    continue;
                };
                // An error of the batch's begin (EPERM, ENOMEM, a failed commit) is the only answer.
                answered |= message.sequence == batch.last_sequence()
                    || (number != 0 && message.sequence == 0);
                match (number, first) {
                    (0, _) => {}
                    (number, None) => first = Some((message.sequence, Errno::from_raw(number))),
                    (_, Some(_)) => further += 1,
                }
            }
        }
        match first {
            Some((sequence, errno)) => Err(Error::Refused {
                operation: describe(batch, sequence),
                sequence,
                errno,
                further,
            }),
            None if lost => Err(unheard(Errno::ENOBUFS)),
            None => Ok(()),
        }
    }
}

fn unheard(errno: Errno) -> Error {
    Error::System {
        act: "receive an answer from nf_tables".to_owned(),
        errno,
    }
}

fn describe(batch: &EncodedBatch, sequence: u32) -> String {
    match sequence {
        0 => format!("transaction of {} operations", batch.ops().len()),
        _ => batch
            .op_of(sequence)
            .map_or_else(|| "end of the transaction".to_owned(), ToString::to_string),
    }
}
