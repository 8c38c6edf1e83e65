//! A netlink socket to nf_tables in the network namespace of the thread that opened it.

use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    self, AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, sockopt,
};
use nix::sys::time::TimeVal;

use crate::encode::EncodedBatch;
use crate::error::NftError;
use crate::wire::{self, Answer};

/// A commit of many thousand services can take a minute, but it ends before `sendmsg` returns; an
/// answer is due at once.
const ANSWER_SECONDS: u64 = 10;
/// Room for some ten thousand errors of one transaction: each is a small message that is charged as
/// one of about 800 bytes.
const RECEIVE_BUFFER: usize = 8 << 20;
/// Larger than any datagram of a dump (af_netlink.c: 32 KiB).
const DATAGRAM: usize = 128 << 10;

/// A socket to nf_tables. Open it before the part that is timed; it stays in the network namespace in
/// which it was opened, wherever its thread goes.
#[derive(Debug)]
pub struct Connection {
    socket: OwnedFd,
    send_buffer: usize,
    buffer: Vec<u8>,
    pub(crate) sequence: u32,
}

impl Connection {
    /// Opens a socket in the calling thread's network namespace.
    ///
    /// # Errors
    /// No such protocol in this kernel, or out of file descriptors.
    pub fn open() -> Result<Self, NftError> {
        let failed = |errno| NftError::System {
            act: "open a netlink socket to nf_tables".to_owned(),
            errno,
        };
        let socket = socket::socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkNetFilter,
        )
        .map_err(failed)?;
        socket::bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 0)).map_err(failed)?;
        socket::setsockopt(
            &socket,
            sockopt::ReceiveTimeout,
            &TimeVal::new(ANSWER_SECONDS as i64, 0),
        )
        .map_err(failed)?;
        if socket::setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
            // Not privileged: as much as net.core.rmem_max allows.
            socket::setsockopt(&socket, sockopt::RcvBuf, &RECEIVE_BUFFER).map_err(failed)?;
        }
        quote_headers_only(&socket).map_err(failed)?;
        Ok(Self {
            socket,
            send_buffer: 0,
            // Written to: its pages are then there before anything is timed.
            buffer: vec![u8::MAX; DATAGRAM],
            sequence: 0,
        })
    }

    /// Bytes of the largest transaction that this process may send, whose send buffer must hold it as one
    /// message and 32 bytes more (`netlink_sendmsg` in net/netlink/af_netlink.c); `None` where
    /// SO_SNDBUFFORCE is allowed, which sets no limit of its own. Otherwise twice `net.core.wmem_max`
    /// (`sk_setsockopt` in net/core/sock.c), read back from a socket.
    ///
    /// # Errors
    /// A socket's options cannot be set or read.
    pub fn largest_batch() -> Result<Option<usize>, NftError> {
        const OVERHEAD: usize = 32;
        let failed = |errno| NftError::System {
            act: "find the largest send buffer".to_owned(),
            errno,
        };
        // A socket of its own: the size of this one would stay.
        let tried = Self::open()?.socket;
        let most = (i32::MAX / 2) as usize;
        if socket::setsockopt(&tried, sockopt::SndBufForce, &most).is_ok() {
            return Ok(None);
        }
        socket::setsockopt(&tried, sockopt::SndBuf, &most).map_err(failed)?;
        let buffer = socket::getsockopt(&tried, sockopt::SndBuf).map_err(failed)?;
        Ok(Some(buffer.saturating_sub(OVERHEAD)))
    }

    /// Sends a transaction with one system call and waits for the kernel's answer, which is there when
    /// that call returns: everything is applied, or nothing.
    ///
    /// # Errors
    /// The first operation that was refused, with its script line; EMSGSIZE when the transaction
    /// exceeds the send buffer that this process may have ([`NftError::is_too_big`]).
    pub fn send(&mut self, batch: &EncodedBatch) -> Result<(), NftError> {
        if batch.messages() == 0 {
            return Ok(());
        }
        self.make_room(batch.bytes().len());
        self.transmit(batch.bytes(), "transaction")?;
        self.verdict(batch)
    }

    /// Reads answers until the acknowledged message and everything queued behind it was read.
    fn verdict(&mut self, batch: &EncodedBatch) -> Result<(), NftError> {
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
            let datagram = match self.receive(flags) {
                Ok(datagram) => datagram,
                Err(Errno::EAGAIN) if answered => break,
                Err(Errno::EAGAIN) => {
                    return Err(NftError::Silent {
                        seconds: ANSWER_SECONDS,
                    });
                }
                Err(Errno::ENOBUFS) => {
                    lost = true;
                    answered = true; // what is queued still comes, the rest never will
                    continue;
                }
                Err(errno) => {
                    return Err(NftError::System {
                        act: "receive an answer from nf_tables".to_owned(),
                        errno,
                    });
                }
            };
            for message in wire::messages(datagram) {
                let torn = |_| NftError::Torn {
                    listing: "answer to a transaction",
                };
                let message = message.map_err(torn)?;
                let Answer::Error(number) = message.answer().map_err(torn)? else {
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
            Some((sequence, errno)) => Err(NftError::Refused {
                operation: describe(batch, sequence),
                sequence,
                errno,
                further,
            }),
            None if lost => Err(NftError::System {
                act: "receive an answer from nf_tables".to_owned(),
                errno: Errno::ENOBUFS,
            }),
            None => Ok(()),
        }
    }

    /// Makes the send buffer large enough for a transaction of so many bytes, which [`Self::send`] else does.
    pub fn make_room(&mut self, len: usize) {
        if len <= self.send_buffer {
            return;
        }
        // The kernel doubles what it is given, and a message needs its length and 32 bytes more.
        let forced = socket::setsockopt(&self.socket, sockopt::SndBufForce, &len);
        if forced.is_err() {
            // Not privileged: as much as net.core.wmem_max allows; the send says if it is too little.
            let _ = socket::setsockopt(&self.socket, sockopt::SndBuf, &len);
        }
        self.send_buffer = len;
    }

    /// Sends a request and forgets it.
    pub(crate) fn transmit(&mut self, bytes: &[u8], what: &str) -> Result<(), NftError> {
        let to_kernel = NetlinkAddr::new(0, 0);
        loop {
            match socket::sendto(
                self.socket.as_raw_fd(),
                bytes,
                &to_kernel,
                MsgFlags::empty(),
            ) {
                Ok(_) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(errno) => {
                    let act = format!("send a {what} of {} bytes to nf_tables", bytes.len());
                    return Err(NftError::System { act, errno });
                }
            }
        }
    }

    /// One datagram; EAGAIN when none comes within the bound.
    pub(crate) fn receive(&mut self, flags: MsgFlags) -> Result<&[u8], Errno> {
        loop {
            match socket::recv(self.socket.as_raw_fd(), &mut self.buffer, flags) {
                Ok(len) => return Ok(&self.buffer[..len]),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }

    pub(crate) const ANSWER_SECONDS: u64 = ANSWER_SECONDS;
}

fn describe(batch: &EncodedBatch, sequence: u32) -> String {
    match sequence {
        0 => format!("transaction of {} operations", batch.ops().len()),
        _ => batch
            .op_of(sequence)
            .map_or_else(|| "end of the transaction".to_owned(), ToString::to_string),
    }
}

/// Errors quote the refused message's header, not its up to 64 KiB of body (NETLINK_CAP_ACK).
fn quote_headers_only(socket: &OwnedFd) -> Result<(), Errno> {
    let on: libc::c_int = 1;
    // SAFETY: the option's value is an int, which outlives the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_NETLINK,
            libc::NETLINK_CAP_ACK,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    Errno::result(result).map(drop)
}
