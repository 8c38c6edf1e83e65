//! One thread that answers for every endpoint, TCP and UDP, and says in its answer on which endpoint it
//! was reached and by whom. While a probe is timed it spins (with a CPU of its own), so that the price of waking it
//! is not counted as the path's. Sockets and answers are of IPv4 so far.

use std::io::{self, IoSlice, IoSliceMut, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread::JoinHandle;

use netns_sys::netns::NetNs;
use netns_sys::thread::ThreadId;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg, sendmsg, setsockopt,
    sockopt,
};

use crate::HarnessError;
use crate::pinning::Pinning;

/// Port on which every endpoint is served.
pub const ENDPOINT_PORT: u16 = 8080;

/// Length of an answer: the endpoint's address (of IPv4) and port, then those of who asked, big-endian.
pub(crate) const ANSWER_BYTES: usize = 12;

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

impl Server {
    /// Starts serving `port` on every address of `backends`.
    ///
    /// # Errors
    /// A socket could not be opened or bound, or the server not be pinned.
    pub fn start(backends: &NetNs, port: u16, pinning: Pinning) -> Result<Self, HarnessError> {
        let (tcp, udp) = backends
            .run(|| open(port))
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
                    serve(&tcp, &udp, &theirs, pinning.apart());
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

fn open(port: u16) -> io::Result<(TcpListener, UdpSocket)> {
    let any = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port);
    let tcp = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    tcp.bind(&any.into())?;
    tcp.listen(4096)?;
    tcp.set_nonblocking(true)?;
    let udp = UdpSocket::bind(any)?;
    udp.set_nonblocking(true)?;
    // The reply must leave from the address that was hit.
    setsockopt(&udp, sockopt::Ipv4PacketInfo, &true)?;
    Ok((tcp.into(), udp))
}

fn serve(tcp: &TcpListener, udp: &UdpSocket, shared: &Shared, may_spin: bool) {
    while !shared.stop.load(Ordering::Relaxed) {
        let spin = may_spin && shared.spin.load(Ordering::Relaxed) > 0;
        shared.spinning.store(spin, Ordering::Relaxed);
        let timeout = match (spin, may_spin) {
            (true, _) => 0,
            (false, true) => IDLE_MS,
            (false, false) => SHARED_IDLE_MS,
        };
        let mut ready = [
            PollFd::new(udp.as_fd(), PollFlags::POLLIN),
            PollFd::new(tcp.as_fd(), PollFlags::POLLIN),
        ];
        if poll(&mut ready, PollTimeout::from(timeout)).unwrap_or(0) == 0 {
            std::hint::spin_loop();
            continue;
        }
        while answer_datagram(udp).unwrap_or(false) {
            shared.answered.fetch_add(1, Ordering::Relaxed);
        }
        while answer_connection(tcp) {
            shared.answered.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Who was reached, and who asked.
fn answer(reached: SocketAddrV4, asked: SocketAddrV4) -> [u8; ANSWER_BYTES] {
    let mut answer = [0; ANSWER_BYTES];
    for (place, of) in answer.chunks_exact_mut(6).zip([reached, asked]) {
        place[..4].copy_from_slice(&of.ip().octets());
        place[4..].copy_from_slice(&of.port().to_be_bytes());
    }
    answer
}

/// Accepts one connection, names the endpoint, closes. The client ends with a reset, so nothing stays
/// in TIME_WAIT on either side.
fn answer_connection(tcp: &TcpListener) -> bool {
    let Ok((mut stream, asked)) = tcp.accept() else {
        return false;
    };
    if let (Ok(SocketAddr::V4(local)), SocketAddr::V4(asked)) = (stream.local_addr(), asked) {
        // A client that is already gone is its own witness.
        let _ = stream.write_all(&answer(local, asked));
    }
    true
}

/// Answers one datagram: who was reached and who asked, then the datagram itself.
fn answer_datagram(udp: &UdpSocket) -> nix::Result<bool> {
    let mut payload = [0; 64];
    let mut control = nix::cmsg_space!(libc::in_pktinfo);
    let (length, from, mut info) = {
        let mut parts = [IoSliceMut::new(&mut payload)];
        let message = match recvmsg::<SockaddrIn>(
            udp.as_raw_fd(),
            &mut parts,
            Some(&mut control),
            MsgFlags::MSG_DONTWAIT,
        ) {
            Err(nix::errno::Errno::EAGAIN) => return Ok(false),
            other => other?,
        };
        let info = message.cmsgs()?.find_map(|m| match m {
            ControlMessageOwned::Ipv4PacketInfo(info) => Some(info),
            _ => None,
        });
        (message.bytes, message.address, info)
    };
    if let (Some(from), Some(info)) = (from, info.as_mut()) {
        let hit = Ipv4Addr::from_bits(u32::from_be(info.ipi_addr.s_addr));
        info.ipi_ifindex = 0;
        info.ipi_spec_dst = info.ipi_addr;
        let reached = SocketAddrV4::new(hit, ENDPOINT_PORT);
        let answer = answer(reached, SocketAddrV4::new(from.ip(), from.port()));
        let parts = [IoSlice::new(&answer), IoSlice::new(&payload[..length])];
        sendmsg(
            udp.as_raw_fd(),
            &parts,
            &[ControlMessage::Ipv4PacketInfo(info)],
            MsgFlags::empty(),
            Some(&from),
        )?;
    }
    Ok(true)
}
