//! Datagrams of two kinds in turn, at a rate, until they are to end: while something is changed under them. They are sent from a packet socket
//! and go through the node in the sender's own softirq; nobody answers them, and each kind is counted where it arrives.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};

use netns_sys::clock;
use netns_sys::packet::PacketSocket;
use nix::net::if_::if_nametoindex;

use super::frames;
use super::paced::is_full;
use super::sink::Sink;
use crate::HarnessError;
use crate::lab::{Lab, OUTER_INTERFACE};
use crate::service::{Cidr, Frontend, Plan};

/// Where each kind comes from: the numbers of clients that no flow of another generator has.
const SOURCES: [u32; 2] = [65_001, 65_002];
const SOURCE_PORT: u16 = 1_024;

/// Sends them.
#[derive(Debug)]
pub struct Stream<'a> {
    socket: PacketSocket,
    sink: Sink<'a>,
    frames: [Vec<Vec<u8>>; 2],
    begun: AtomicBool,
}

/// What was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Streamed {
    /// Of each kind.
    pub sent: [u64; 2],
    /// Datagrams that the kernel did not take for want of room.
    pub not_taken: u64,
    /// The longest time between two of them beyond that which was to be, nanoseconds.
    pub longest_gap_ns: u64,
    /// From the first to the last, nanoseconds.
    pub elapsed_ns: u64,
    /// How long the sender waited for its processor, nanoseconds; `None` where the kernel does not say.
    pub run_delay_ns: Option<u64>,
}

impl<'a> Stream<'a> {
    /// Of datagrams to these destinations, each kind to its own in turn; both have at least one.
    ///
    /// # Errors
    /// A packet socket, or the rules that count, are refused.
    pub fn of(lab: &'a Lab, to: [&[Frontend]; 2]) -> Result<Self, HarnessError> {
        let clients = Plan::of(lab.family()).clients;
        let sources: [IpAddr; 2] = SOURCES.map(|number| clients.host(number));
        let refused = |e| HarnessError::system("open a packet socket (packet(7))", e);
        let open = || {
            let interface = if_nametoindex(OUTER_INTERFACE)?;
            PacketSocket::open(interface, frames::ethertype(lab.family()))
        };
        let socket = lab.client.run(open).and_then(|opened| opened);
        let of = |kind: usize| {
            let from = SocketAddr::new(sources[kind], SOURCE_PORT);
            let to = to[kind].iter();
            to.map(|to| frames::first(from, *to, 0)).collect()
        };
        Ok(Self {
            socket: socket.map_err(refused)?,
            sink: Sink::of_packets_from(&lab.backends, &sources.map(Cidr::one))?,
            frames: [of(0), of(1)],
            begun: AtomicBool::new(false),
        })
    }

    /// Sends so many a second on the calling thread, until it is to end.
    ///
    /// # Errors
    /// One could not be sent.
    pub fn send(&self, rate: u32, end: &AtomicBool) -> Result<Streamed, HarnessError> {
        let period_ns = 1_000_000_000 / u64::from(rate.max(1));
        let done = self.run(period_ns, end);
        self.begun.store(false, Ordering::Relaxed);
        done.map_err(|e| HarnessError::system("send datagrams at a rate", e))
    }

    /// Whether one is being sent after the other.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    fn run(&self, period_ns: u64, end: &AtomicBool) -> std::io::Result<Streamed> {
        let mut streamed = Streamed::default();
        let waited = netns_sys::thread::run_delay_ns();
        let (start, mut last_ns) = (clock::now(), 0);
        for nth in 0_u64.. {
            if end.load(Ordering::Relaxed) {
                break;
            }
            let mut now_ns = start.elapsed_ns();
            while now_ns < nth * period_ns {
                now_ns = start.elapsed_ns();
            }
            let kind = (nth % 2) as usize;
            let frames = &self.frames[kind];
            let frame = &frames[(nth / 2) as usize % frames.len()];
            match self.socket.send(frame) {
                Ok(()) => streamed.sent[kind] += 1,
                Err(e) if is_full(&e) => streamed.not_taken += 1,
                Err(e) => return Err(e),
            }
            let gap_ns = (now_ns - last_ns).saturating_sub(period_ns);
            streamed.longest_gap_ns = streamed.longest_gap_ns.max(gap_ns);
            last_ns = now_ns;
            self.begun.store(true, Ordering::Relaxed);
        }
        streamed.elapsed_ns = last_ns;
        streamed.run_delay_ns = waited
            .zip(netns_sys::thread::run_delay_ns())
            .map(|(from, to)| to - from);
        Ok(streamed)
    }

    /// How many have arrived so far, of each kind.
    ///
    /// # Errors
    /// The counters cannot be read.
    pub fn arrived(&self) -> Result<[u64; 2], HarnessError> {
        let each = self.sink.of_each()?;
        <[u64; 2]>::try_from(each)
            .map_err(|each| HarnessError::listing("the sink")(format!("{} rules", each.len())))
    }
}
