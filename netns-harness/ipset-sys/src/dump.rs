//! The socket that listings are read from, beside libipset's own.

use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    self, AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, sockopt,
};
use nix::sys::time::TimeVal;

use crate::bindings as c;

/// A listing's next part is due at once.
const ANSWER_SECONDS: i64 = 10;
/// Larger than any datagram of a dump (af_netlink.c: 32 KiB).
const DATAGRAM: usize = 64 << 10;
/// Request, acknowledged, dump (`include/uapi/linux/netlink.h`).
const FLAGS: u16 = 0x1 | 0x4 | 0x300;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// `nlmsghdr` and `nfgenmsg`.
const HEADER: usize = 16 + 4;
/// `NFNL_SUBSYS_IPSET` (`include/uapi/linux/netfilter/nfnetlink.h`), and the command.
const LIST: u16 = 6 << 8 | c::IPSET_CMD_LIST as u16;

/// Why a listing ended early.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Broken {
    /// The kernel's answer.
    Answer(u32),
    System(Errno),
    Torn,
}

/// A netlink socket in the network namespace of the thread that made it.
pub(crate) struct Dump {
    socket: OwnedFd,
    buffer: Vec<u8>,
    sequence: u32,
}

impl Dump {
    pub(crate) fn open() -> Result<Self, Errno> {
        let socket = socket::socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkNetFilter,
        )?;
        socket::bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
        let patience = TimeVal::new(ANSWER_SECONDS, 0);
        socket::setsockopt(&socket, sockopt::ReceiveTimeout, &patience)?;
        Ok(Self {
            socket,
            buffer: vec![0; DATAGRAM],
            sequence: 0,
        })
    }

    /// Asks for all sets, and gives each message of the answer, without headers, to `take_in`, whose first
    /// error ends the listing.
    pub(crate) fn sets<E>(
        &mut self,
        mut take_in: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<Result<(), E>, Broken> {
        self.sequence = self.sequence.wrapping_add(1);
        let request = request(self.sequence);
        let to_kernel = NetlinkAddr::new(0, 0);
        socket::sendto(
            self.socket.as_raw_fd(),
            &request,
            &to_kernel,
            MsgFlags::empty(),
        )
        .map_err(Broken::System)?;
        let mut taken = Ok(());
        loop {
            let length = receive(&self.socket, &mut self.buffer).map_err(Broken::System)?;
            let mut datagram = &self.buffer[..length];
            while !datagram.is_empty() {
                let message = first_message(datagram).ok_or(Broken::Torn)?;
                let next = message.len().next_multiple_of(4).min(datagram.len());
                datagram = &datagram[next..];
                if message.get(8..12) != Some(&self.sequence.to_ne_bytes()) {
                    continue; // left over from a listing that ended early
                }
                match kind(message) {
                    // The end, or that there is none; a number where it failed.
                    NLMSG_DONE | NLMSG_ERROR => {
                        let status = message.get(16..20).and_then(|b| b.try_into().ok());
                        return match i32::from_ne_bytes(status.ok_or(Broken::Torn)?) {
                            0.. => Ok(taken),
                            refused => Err(Broken::Answer(refused.unsigned_abs())),
                        };
                    }
                    LIST if taken.is_ok() => {
                        taken = take_in(message.get(HEADER..).ok_or(Broken::Torn)?);
                    }
                    LIST => {}
                    _ => return Err(Broken::Torn),
                }
            }
        }
    }
}

/// `nlmsghdr` of a dump, `nfgenmsg`, the protocol's version.
fn request(sequence: u32) -> Vec<u8> {
    let mut request = Vec::with_capacity(HEADER + 8);
    request.extend((HEADER as u32 + 8).to_ne_bytes());
    request.extend(LIST.to_ne_bytes());
    request.extend(FLAGS.to_ne_bytes());
    request.extend(sequence.to_ne_bytes());
    request.extend([0; 4]);
    request.extend([c::NFPROTO_IPV4 as u8, 0, 0, 0]);
    request.extend(5_u16.to_ne_bytes());
    request.extend((c::IPSET_ATTR_PROTOCOL as u16).to_ne_bytes());
    request.extend([c::IPSET_PROTOCOL as u8, 0, 0, 0]);
    request
}

fn first_message(datagram: &[u8]) -> Option<&[u8]> {
    let length = u32::from_ne_bytes(*datagram.first_chunk()?) as usize;
    datagram.get(..length).filter(|_| length >= 16)
}

fn kind(message: &[u8]) -> u16 {
    u16::from_ne_bytes([message[4], message[5]]) // `first_message` has 16 bytes at least
}

fn receive(socket: &OwnedFd, buffer: &mut [u8]) -> Result<usize, Errno> {
    loop {
        match socket::recv(socket.as_raw_fd(), buffer, MsgFlags::empty()) {
            Err(Errno::EINTR) => {}
            other => return other,
        }
    }
}
