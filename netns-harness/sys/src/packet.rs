//! Frames sent and received past the sockets of protocols (`packet(7)`), one at a time.
#![allow(unsafe_code, reason = "the address of a packet socket")]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use nix::sys::socket::{MsgFlags, recv, send, setsockopt, sockopt};

/// Bytes of the receive buffer: of small frames, some five thousand.
const BUFFER_BYTES: usize = 4 << 20;

/// An interface, as a sender and receiver of frames of IP.
#[derive(Debug)]
pub struct PacketSocket(OwnedFd);

impl PacketSocket {
    /// On the interface with that index in the calling thread's network namespace; `ethertype` (`ETH_P_IP`, `ETH_P_IPV6`) is what it
    /// receives, of frames that come from outside alone.
    ///
    /// # Errors
    /// `EPERM` without `CAP_NET_RAW`; there is no such interface.
    pub fn open(interface: u32, ethertype: u16) -> io::Result<Self> {
        // SAFETY: no memory is handed over. Without a protocol nothing comes before it is bound.
        let fd = unsafe {
            libc::socket(
                libc::AF_PACKET,
                libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK,
                0,
            )
        };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: made just now, and nobody else's.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
        // Where it is refused the buffer is the ordinary one.
        let _ = setsockopt(&socket, sockopt::RcvBufForce, &BUFFER_BYTES);
        // SAFETY: all zero is a value of it.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = ethertype.to_be();
        address.sll_ifindex = interface.cast_signed();
        // SAFETY: the address lives through the call and is as long as is said.
        let bound = unsafe {
            libc::bind(
                socket.as_raw_fd(),
                (&raw const address).cast(),
                size_of_val(&address) as libc::socklen_t,
            )
        };
        match bound {
            0 => Ok(Self(socket)),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Sends a frame. Over a veth it has gone as far as it goes, and what answers it in the kernel has answered, when this returns, but for
    /// what softirqs leave to `ksoftirqd`.
    ///
    /// # Errors
    /// `send(2)`.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        send(self.0.as_raw_fd(), frame, MsgFlags::empty())?;
        Ok(())
    }

    /// The next frame that has come, and its length; `None` when none has.
    ///
    /// # Errors
    /// `recv(2)`.
    pub fn receive(&self, frame: &mut [u8]) -> io::Result<Option<usize>> {
        match recv(self.0.as_raw_fd(), frame, MsgFlags::MSG_DONTWAIT) {
            Ok(length) => Ok(Some(length)),
            Err(nix::errno::Errno::EAGAIN) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
