//! What the node does with packets, and nothing else: they are handed to its network stack in the caller's own context, as if its interface to
//! clients had received them, and dropped where they arrive ([`super::sink`]). Nothing is woken, and no socket is asked.
//!
//! Why live frames of XDP: see docs/instruments.md, which has what others do.

use std::io;

use netns_sys::bpf::{Frames, NAPI};
use netns_sys::clock;
use nix::net::if_::if_nametoindex;
use schema::Protocol;

use super::frames;
use super::sink::Sink;
use super::{Client, OpenFlow};
use crate::HarnessError;
use crate::lab::{Lab, idle};
use crate::service::{CLIENT_INTERFACE, Frontend, Plan};

/// So many together where they go no further than the node's first hook: in a guest these are about as fast as the kernel's own generator
/// (scripts/verify/raw-generator.out), 64 and 256 were slower.
const FEW: u32 = 16;

/// SYNs that go through the stack together, before the resets of all of them: what they set going is done before the kernel gives any of it to
/// `ksoftirqd`, as it does with 64.
const SYNS: u32 = 32;

/// Frames that are handed over at a time, at the most.
pub const MOST_HANDED: u32 = 4_096;
/// Connections that are handed over at a time, at the most: each is a SYN and a reset.
pub const MOST_CONNECTIONS: u32 = MOST_HANDED / 2;

/// Hands packets over in a lab.
#[derive(Debug)]
pub struct HandOver<'a> {
    lab: &'a Lab,
    frames: Frames,
    interface: u32,
    sink: Sink<'a>,
    handed: u64,
}

/// What it took to hand packets over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handed {
    /// The call that hands them over, nanoseconds: the last packet has gone as far as packets go when it returns. What the kernel makes and
    /// destroys around them is in it.
    pub elapsed_ns: u64,
    /// Processor time of the calling thread meanwhile, nanoseconds: that of softirqs is in it, but on kernels that account interrupts apart
    /// (`CONFIG_IRQ_TIME_ACCOUNTING`), and but for what `ksoftirqd` did.
    pub cpu_ns: u64,
}

impl<'a> HandOver<'a> {
    /// In a lab, where packets are dropped where they arrive.
    ///
    /// # Errors
    /// This kernel has no live frames, or does not let this process use them; or the kernel refused the rule
    /// that drops.
    pub fn dropped(lab: &'a Lab) -> Result<Self, HarnessError> {
        let sink = Sink::of_packets_from(&lab.backends, &[Plan::of(lab.family()).clients])?;
        Self::with(lab, NAPI, sink)
    }

    /// In a lab, where packets are dropped at the node already, before any rule is asked: what handing over can do at the most.
    ///
    /// # Errors
    /// As [`HandOver::dropped`].
    pub fn received(lab: &'a Lab) -> Result<Self, HarnessError> {
        let sink = Sink::of_packets_from(&lab.node, &[Plan::of(lab.family()).clients])?;
        Self::with(lab, FEW, sink)
    }

    /// In a lab where the server's stack answers a SYN with a SYN-ACK, which is counted and dropped where it comes back. No thread of the server's takes
    /// part.
    ///
    /// # Errors
    /// As [`HandOver::dropped`].
    pub fn answered(lab: &'a Lab) -> Result<Self, HarnessError> {
        let sink = Sink::of_packets_to(&lab.client, &[Plan::of(lab.family()).clients])?;
        Self::with(lab, SYNS, sink)
    }

    fn with(lab: &'a Lab, together: u32, sink: Sink<'a>) -> Result<Self, HarnessError> {
        let act = "prepare packets that are handed to the node (BPF_PROG_TEST_RUN with live frames, Linux 5.18)";
        let refused = |e| HarnessError::system(act, e);
        let length = frames::most_bytes(lab.family());
        let mut frames = Frames::new(length, MOST_HANDED, together, idle()?).map_err(refused)?;
        let interface = lab.on_node(|| {
            if_nametoindex(CLIENT_INTERFACE)
                .map_err(|e| HarnessError::system(format!("look up {CLIENT_INTERFACE}"), e))
        })?;
        // Older kernels take the program, and not its frames.
        lab.on_node(|| frames.dropped(1, interface).map_err(refused))?;
        Ok(Self {
            lab,
            frames,
            interface,
            sink,
            handed: 0,
        })
    }

    /// Hands over the first packet of a new flow of its lab's client to each destination, in order; at most [`MOST_HANDED`].
    ///
    /// # Errors
    /// No sources are left, or the kernel refused.
    pub fn first_packets(
        &mut self,
        client: &mut Client<'_>,
        to: &[Frontend],
    ) -> Result<Handed, HarnessError> {
        let frames = client.first_frames(to, 0)?;
        for (nth, frame) in (0..).zip(&frames) {
            self.frames.write(nth, frame);
        }
        self.hand_over(to.len() as u32)
    }

    /// Makes a connection of a new flow of its lab's client to each destination, and resets it, as a client does that has seen the SYN-ACK; at
    /// most [`MOST_CONNECTIONS`].
    ///
    /// # Errors
    /// No sources are left, or the kernel refused.
    pub fn connections(
        &mut self,
        client: &mut Client<'_>,
        to: &[Frontend],
    ) -> Result<Handed, HarnessError> {
        let pairs = client.first_and_last_frames(to)?;
        let mut nth = 0;
        for together in pairs.chunks(SYNS as usize) {
            let syns = together.iter().map(|[syn, _]| syn);
            for frame in syns.chain(together.iter().map(|[_, reset]| reset)) {
                self.frames.write(nth, frame);
                nth += 1;
            }
        }
        let handed = self.timed("hand connections to the node", |frames, interface| {
            frames.hand_over(nth, interface)
        })?;
        self.handed += to.len() as u64;
        Ok(handed)
    }

    /// Hands over a datagram on each of these open flows, in order; at most [`MOST_HANDED`].
    ///
    /// # Errors
    /// The kernel refused.
    pub fn datagrams<'f>(
        &mut self,
        flows: impl IntoIterator<Item = &'f OpenFlow>,
    ) -> Result<Handed, HarnessError> {
        let mut count = 0;
        for flow in flows {
            let [from, to] = flow.ends();
            let to = Frontend {
                vip: to.ip(),
                port: to.port(),
                protocol: Protocol::Udp,
            };
            self.frames.write(count, &frames::first(from, to, count));
            count += 1;
        }
        self.hand_over(count)
    }

    /// Hands over so many of the [`MOST_HANDED`] packets before, again and again: their flows are no longer new.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn again(&mut self, count: u32) -> Result<Handed, HarnessError> {
        self.hand_over(count)
    }

    /// What it takes to hand over so many packets of which the node sees none: the part of [`Handed`] that is not the node's.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn of_none(&mut self, count: u32) -> Result<Handed, HarnessError> {
        self.timed("hand packets to nobody", |frames, interface| {
            frames.dropped(count, interface)
        })
    }

    fn hand_over(&mut self, count: u32) -> Result<Handed, HarnessError> {
        let handed = self.timed("hand packets to the node", |frames, interface| {
            frames.hand_over(count, interface)
        })?;
        self.handed += u64::from(count);
        Ok(handed)
    }

    fn timed(
        &mut self,
        act: &str,
        run: impl FnOnce(&mut Frames, u32) -> io::Result<()>,
    ) -> Result<Handed, HarnessError> {
        let (frames, interface) = (&mut self.frames, self.interface);
        self.lab.on_node(|| {
            let (cpu_ns, start) = (clock::thread_cpu_ns(), clock::now());
            let done = run(frames, interface);
            let elapsed_ns = start.elapsed_ns();
            let cpu_ns = clock::thread_cpu_ns() - cpu_ns;
            done.map_err(|e| HarnessError::system(act, e))?;
            Ok(Handed { elapsed_ns, cpu_ns })
        })
    }

    /// How many packets, or connections, were handed over, and how many of them, or of their answers, have arrived where they are dropped.
    ///
    /// # Errors
    /// The counter cannot be read.
    pub fn arrived(&self) -> Result<[u64; 2], HarnessError> {
        Ok([self.handed, self.sink.packets()?])
    }
}
