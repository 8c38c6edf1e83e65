//! One thread that answers for every endpoint, TCP and UDP, and says in its answer on which endpoint it
//! was reached and by whom. While a probe is timed it spins (with a CPU of its own), so that the price of waking it
//! is not counted as the path's.

use std::io::{self, IoSlice, IoSliceMut, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use netns_sys::netns::NetNs;
use netns_sys::thread::ThreadId;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt,
    sockopt,
};
use schema::Family;

use super::held::Held;
use crate::HarnessError;
use crate::pinning::Pinning;
use crate::service::{address_bits, family};

/// Port on which every endpoint is served.
pub const ENDPOINT_PORT: u16 = 8080;

/// Length of the longest answer.
pub(crate) const MOST_ANSWER_BYTES: usize = answer_bytes(Family::Ipv6);

/// Length of an answer: the endpoint's address and port, then those of who asked, big-endian.
pub(crate) const fn answer_bytes(family: Family) -> usize {
    2 * (address_bits(family) as usize / 8 + 2)
}

/// How long an idle server sleeps before it looks at its flags, milliseconds.
const IDLE_MS: u16 = 5;
/// The same where it shares its CPU with the client: it never spins, and looking would cost what is timed there.
const SHARED_IDLE_MS: u16 = 100;

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    /// How many guards ask for spinning.
    spin: AtomicU32,
    /// Whether the server spins now.
    spinning: AtomicBool,
    /// How many guards ask for connections to be kept open.
    holding: AtomicU32,
    /// How long a datagram waits for its answer, nanoseconds.
    delay_ns: AtomicU64,
    /// How long those that waited did, nanoseconds.
    waits_ns: Mutex<Vec<u64>>,
    answered: AtomicU64,
}

/// The running server. Ends when dropped.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    id: ThreadId,
    may_spin: bool,
}

/// While it lives, the server spins.
#[derive(Debug)]
#[must_use = "the server goes back to sleep when this is dropped"]
pub struct Spinning<'a>(&'a Shared);

impl Drop for Spinning<'_> {
    fn drop(&mut self) {
        self.0.spin.fetch_sub(1, Ordering::Relaxed);
    }
}

/// While it lives, the server keeps connections open and sends back what comes on them; it closes those that are left when the
/// last one is dropped.
#[derive(Debug)]
#[must_use = "the server closes its connections when this is dropped"]
pub struct Holding<'a>(&'a Shared);

impl Drop for Holding<'_> {
    fn drop(&mut self) {
        self.0.holding.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Server {
    /// Starts serving `port` on every address of a family of `backends`.
    ///
    /// # Errors
    /// A socket could not be opened or bound, or the server not be pinned.
    pub fn start(
        backends: &NetNs,
        family: Family,
        port: u16,
        pinning: Pinning,
    ) -> Result<Self, HarnessError> {
        let mut held = Held::new().map_err(|e| HarnessError::system("epoll_create1(2)", e))?;
        let (tcp, udp) = backends
            .run(|| open(family, port))
            .and_then(|opened| opened)
            .map_err(|e| {
                HarnessError::system(format!("serve port {port} in the backends namespace"), e)
            })?;
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let (tell, pinned) = std::sync::mpsc::sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("server".to_owned())
            .spawn(move || {
                let done = place(pinning).map(|()| netns_sys::thread::id());
                let goes_on = done.is_ok();
                if tell.send(done).is_ok() && goes_on {
                    serve(&tcp, &udp, &mut held, &theirs, pinning.apart());
                }
            })
            .map_err(|e| HarnessError::system("start the server's thread", e))?;
        // Pinning is recorded with every result, so it must be true.
        let done = pinned.recv();
        let id = match done.unwrap_or_else(|gone| Err(std::io::Error::other(gone))) {
            Ok(id) => id,
            Err(error) => {
                // It ends at once, and its sockets with it.
                let _ = thread.join();
                let act = format!("pin the server to CPU {}", pinning.server);
                return Err(HarnessError::system(act, error));
            }
        };
        Ok(Self {
            shared,
            thread: Some(thread),
            id,
            may_spin: pinning.apart(),
        })
    }

    /// Lets the server spin for as long as the guard lives (only where it has a CPU of its own).
    pub fn spin(&self) -> Spinning<'_> {
        self.shared.spin.fetch_add(1, Ordering::Relaxed);
        // The first probe must not pay for waking the server: it looks at its flags every 5 ms.
        let start = netns_sys::clock::now();
        while self.may_spin
            && !self.shared.spinning.load(Ordering::Relaxed)
            && start.elapsed_ns() < 1_000_000_000
        {
            std::hint::spin_loop();
        }
        Spinning(&self.shared)
    }

    /// Lets the server keep connections open that are made from now on, for as long as the guard lives.
    pub fn hold(&self) -> Holding<'_> {
        self.shared.holding.fetch_add(1, Ordering::Relaxed);
        Holding(&self.shared)
    }

    /// Lets every datagram wait so long for its answer, from now on: a delay of known size, for instruments to find.
    pub fn delay(&self, by: Duration) {
        let ns = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        self.shared.delay_ns.store(ns, Ordering::Relaxed);
    }

    /// How long each datagram waited that was to, nanoseconds, in the order of answers, since this was asked last: an interrupt may make it longer.
    #[must_use]
    pub fn take_delays(&self) -> Vec<u64> {
        let waits = self.shared.waits_ns.lock();
        let mut waits = waits.unwrap_or_else(PoisonError::into_inner);
        let told = waits.clone();
        // Its room stays: the server's thread is not to ask for more.
        waits.clear();
        told
    }

    /// How long the server's thread has waited for its processor, nanoseconds since it began; `None` where
    /// the kernel does not say.
    #[must_use]
    pub fn run_delay_ns(&self) -> Option<u64> {
        netns_sys::thread::run_delay_of(self.id)
    }

    /// Flows and datagrams answered so far.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.shared.answered.load(Ordering::Relaxed)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A server that panicked has nothing left to release.
            let _ = thread.join();
        }
    }
}

/// Puts the calling thread onto the server's CPU. Where that is the client's, it runs when the client sleeps: the client's own
/// ACK wakes it, so that it could answer and close while the client's `connect(2)` is timed.
fn place(pinning: Pinning) -> io::Result<()> {
    netns_sys::thread::pin(pinning.server)?;
    match pinning.apart() {
        true => Ok(()),
        false => netns_sys::thread::never_preempt(),
    }
}

fn open(family: Family, port: u16) -> io::Result<(TcpListener, UdpSocket)> {
    let any = match family {
        Family::Ipv4 => SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)),
        Family::Ipv6 => SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)),
    };
    let domain = socket2::Domain::for_address(any);
    let tcp = socket2::Socket::new(domain, socket2::Type::STREAM, None)?;
    tcp.bind(&any.into())?;
    tcp.listen(4096)?;
    tcp.set_nonblocking(true)?;
    let udp = UdpSocket::bind(any)?;
    udp.set_nonblocking(true)?;
    // The reply must leave from the address that was hit.
    match family {
        Family::Ipv4 => setsockopt(&udp, sockopt::Ipv4PacketInfo, &true)?,
        Family::Ipv6 => setsockopt(&udp, sockopt::Ipv6RecvPacketInfo, &true)?,
    }
    Ok((tcp.into(), udp))
}

fn serve(tcp: &TcpListener, udp: &UdpSocket, held: &mut Held, shared: &Shared, may_spin: bool) {
    while !shared.stop.load(Ordering::Relaxed) {
        let spin = may_spin && shared.spin.load(Ordering::Relaxed) > 0;
        shared.spinning.store(spin, Ordering::Relaxed);
        let timeout = match (spin, may_spin) {
            (true, _) => 0,
            (false, true) => IDLE_MS,
            (false, false) => SHARED_IDLE_MS,
        };
        if !held.is_empty() && shared.holding.load(Ordering::Relaxed) == 0 {
            held.close();
        }
        let mut ready = [
            PollFd::new(udp.as_fd(), PollFlags::POLLIN),
            PollFd::new(tcp.as_fd(), PollFlags::POLLIN),
            PollFd::new(held.fd(), PollFlags::POLLIN),
        ];
        // What nobody holds is not looked at: a probe would pay for it.
        let looked_at = if held.is_empty() { 2 } else { 3 };
        if poll(&mut ready[..looked_at], PollTimeout::from(timeout)).unwrap_or(0) == 0 {
            std::hint::spin_loop();
            continue;
        }
        while answer_datagram(udp, shared).unwrap_or(false) {
            shared.answered.fetch_add(1, Ordering::Relaxed);
        }
        while let Some(stream) = answer_connection(tcp) {
            shared.answered.fetch_add(1, Ordering::Relaxed);
            if shared.holding.load(Ordering::Relaxed) > 0 {
                // One that cannot be kept is closed, which its client is told.
                let _ = held.keep(stream);
            }
        }
        if !held.is_empty() {
            let answered = held.answer();
            shared.answered.fetch_add(answered, Ordering::Relaxed);
        }
    }
}

/// Who was reached, and who asked: the answer, and its length.
fn answer(reached: SocketAddr, asked: SocketAddr) -> ([u8; MOST_ANSWER_BYTES], usize) {
    let (mut answer, len) = ([0; MOST_ANSWER_BYTES], answer_bytes(family(reached.ip())));
    for (place, of) in answer.chunks_exact_mut(len / 2).zip([reached, asked]) {
        let (address, port) = place.split_at_mut(len / 2 - 2);
        match of.ip() {
            IpAddr::V4(of) => address.copy_from_slice(&of.octets()),
            IpAddr::V6(of) => address.copy_from_slice(&of.octets()),
        }
        port.copy_from_slice(&of.port().to_be_bytes());
    }
    (answer, len)
}

/// Who was reached and who asked, as an answer of [`answer_bytes`] says it.
pub(crate) fn named(answer: &[u8]) -> Option<[SocketAddr; 2]> {
    let end = |bytes: &[u8]| {
        let (address, port) = bytes.split_last_chunk::<2>()?;
        let address = match address.len() {
            4 => IpAddr::from(*address.first_chunk::<4>()?),
            16 => IpAddr::from(*address.first_chunk::<16>()?),
            _ => return None,
        };
        Some(SocketAddr::new(address, u16::from_be_bytes(*port)))
    };
    let (reached, asked) = answer.split_at(answer.len() / 2);
    Some([end(reached)?, end(asked)?])
}

/// Accepts one connection and names the endpoint; it is closed where nobody keeps it. The client ends with a reset, so nothing
/// stays in TIME_WAIT on either side.
fn answer_connection(tcp: &TcpListener) -> Option<TcpStream> {
    let (mut stream, asked) = tcp.accept().ok()?;
    if let Ok(local) = stream.local_addr() {
        let (answer, len) = answer(local, asked);
        // A client that is already gone is its own witness.
        let _ = stream.write_all(&answer[..len]);
    }
    Some(stream)
}

/// On which address a datagram came.
enum Hit {
    V4(libc::in_pktinfo),
    V6(libc::in6_pktinfo),
}

impl Hit {
    fn address(&self) -> IpAddr {
        match self {
            Self::V4(info) => Ipv4Addr::from_bits(u32::from_be(info.ipi_addr.s_addr)).into(),
            Self::V6(info) => IpAddr::from(info.ipi6_addr.s6_addr),
        }
    }

    /// What makes the reply leave from there, through whichever interface.
    fn replying(&mut self) -> ControlMessage<'_> {
        match self {
            Self::V4(info) => {
                info.ipi_ifindex = 0;
                info.ipi_spec_dst = info.ipi_addr;
                ControlMessage::Ipv4PacketInfo(info)
            }
            Self::V6(info) => {
                info.ipi6_ifindex = 0;
                ControlMessage::Ipv6PacketInfo(info)
            }
        }
    }
}

/// Where a datagram is from.
fn sender(from: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = from.as_sockaddr_in();
    let v4 = v4.map(|from| SocketAddr::from((from.ip(), from.port())));
    let v6 = || from.as_sockaddr_in6();
    v4.or_else(|| v6().map(|from| SocketAddr::from((from.ip(), from.port()))))
}

/// Answers one datagram after a delay: who was reached and who asked, then the datagram itself.
fn answer_datagram(udp: &UdpSocket, shared: &Shared) -> nix::Result<bool> {
    let mut payload = [0; 64];
    let mut control = nix::cmsg_space!(libc::in6_pktinfo); // the longer of the two
    let (length, from, hit) = {
        let mut parts = [IoSliceMut::new(&mut payload)];
        let message = match recvmsg::<SockaddrStorage>(
            udp.as_raw_fd(),
            &mut parts,
            Some(&mut control),
            MsgFlags::MSG_DONTWAIT,
        ) {
            Err(nix::errno::Errno::EAGAIN) => return Ok(false),
            other => other?,
        };
        let hit = message.cmsgs()?.find_map(|m| match m {
            ControlMessageOwned::Ipv4PacketInfo(info) => Some(Hit::V4(info)),
            ControlMessageOwned::Ipv6PacketInfo(info) => Some(Hit::V6(info)),
            _ => None,
        });
        (message.bytes, message.address, hit)
    };
    let delay_ns = shared.delay_ns.load(Ordering::Relaxed);
    if delay_ns > 0 {
        let start = netns_sys::clock::now();
        while start.elapsed_ns() < delay_ns {
            std::hint::spin_loop();
        }
        let waits = shared.waits_ns.lock();
        let mut waits = waits.unwrap_or_else(PoisonError::into_inner);
        waits.push(start.elapsed_ns());
    }
    if let (Some(to), Some(mut hit)) = (from, hit)
        && let Some(asked) = sender(&to)
    {
        let reached = SocketAddr::new(hit.address(), ENDPOINT_PORT);
        let (answer, len) = answer(reached, asked);
        let parts = [
            IoSlice::new(&answer[..len]),
            IoSlice::new(&payload[..length]),
        ];
        sendmsg(
            udp.as_raw_fd(),
            &parts,
            &[hit.replying()],
            MsgFlags::empty(),
            Some(&to),
        )?;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_names_who_was_reached_and_who_asked_in_either_family() {
        for (of, ends, bytes) in [
            (Family::Ipv4, ["10.128.0.1:8080", "10.192.0.2:10000"], 12),
            (Family::Ipv6, ["[fd00::1]:8080", "[fd00::40:2]:10000"], 36),
        ] {
            let ends = ends.map(|end| end.parse::<SocketAddr>().unwrap());
            let (answer, len) = answer(ends[0], ends[1]);
            assert_eq!((len, answer_bytes(of)), (bytes, bytes));
            assert_eq!(named(&answer[..len]), Some(ends));
        }
    }
}
