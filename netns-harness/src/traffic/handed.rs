//! What the node does with packets, and nothing else: they are handed to its network stack in the caller's own context, as if its interface to
//! clients had received them, and dropped where they arrive ([`super::sink`]). Nothing is woken, and no socket is asked.
//!
//! Why live frames of XDP: see docs/instruments.md, which has what others do.

use std::io;

use netns_sys::bpf::{Frames, MOST_TOGETHER, NAPI};
use netns_sys::clock;
use nix::net::if_::if_nametoindex;
use schema::Protocol;

use super::frames;
use super::sink::Sink;
use super::{Client, OpenFlow};
use crate::HarnessError;
use crate::lab::Lab;
use crate::service::{CLIENT_INTERFACE, Frontend, Plan};

/// So many together where they go no further than the node's first hook: in a guest these are as fast as the kernel's own generator
/// (scripts/verify/raw-generator), 64 and 256 were not.
const FEW: u32 = 16;

/// Frames that are handed over at a time, at the most.
pub const MOST_HANDED: u32 = 4_096;

/// Hands packets over in a lab.
#[derive(Debug)]
pub struct HandOver<'a> {
    lab: &'a Lab,
    frames: Frames,
    interface: u32,
    sink: Option<Sink<'a>>,
    handed: u64,
}

/// What it took to hand packets over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handed {
    /// From the first packet until the last one had gone as far as packets go, nanoseconds, as the kernel has it
    /// ([`Frames::hand_over`]).
    pub elapsed_ns: u64,
    /// Processor time of the calling thread, with what the kernel makes and destroys around that, nanoseconds: that of softirqs is in it, but on
    /// kernels that account interrupts apart (`CONFIG_IRQ_TIME_ACCOUNTING`).
    pub cpu_ns: u64,
}

impl Handed {
    /// What of the processor time is of making and destroying what packets are handed over in, nanoseconds.
    #[must_use]
    pub const fn around_ns(self) -> u64 {
        self.cpu_ns.saturating_sub(self.elapsed_ns)
    }
}

impl<'a> HandOver<'a> {
    /// In a lab, where packets are dropped where they arrive.
    ///
    /// # Errors
    /// This kernel has no live frames, or does not let this process use them; or the kernel refused the rule
    /// that drops.
    pub fn dropped(lab: &'a Lab) -> Result<Self, HarnessError> {
        let sink = Sink::of(&lab.backends, Plan::of(lab.family()).clients)?;
        Self::with(lab, NAPI, Some(sink))
    }

    /// In a lab, where packets are dropped at the node already, before any rule is asked: what handing over can do at the most.
    ///
    /// # Errors
    /// As [`HandOver::dropped`].
    pub fn received(lab: &'a Lab) -> Result<Self, HarnessError> {
        let sink = Sink::of(&lab.node, Plan::of(lab.family()).clients)?;
        Self::with(lab, FEW, Some(sink))
    }

    /// In a lab where endpoints answer: a SYN by the server's stack with a SYN-ACK, and that by the stack of clients with a reset, since none
    /// of their sockets has asked. All three in the caller's context; no thread of the server's takes part.
    ///
    /// # Errors
    /// As [`HandOver::dropped`].
    pub fn answered(lab: &'a Lab) -> Result<Self, HarnessError> {
        Self::with(lab, MOST_TOGETHER, None)
    }

    fn with(lab: &'a Lab, together: u32, sink: Option<Sink<'a>>) -> Result<Self, HarnessError> {
        let act = "prepare packets that are handed to the node (BPF_PROG_TEST_RUN with live frames, Linux 5.18)";
        let refused = |e| HarnessError::system(act, e);
        let mut frames = Frames::new(frames::most_bytes(lab.family()), MOST_HANDED, together)
            .map_err(refused)?;
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
        run: impl FnOnce(&mut Frames, u32) -> io::Result<u64>,
    ) -> Result<Handed, HarnessError> {
        let (frames, interface) = (&mut self.frames, self.interface);
        self.lab.on_node(|| {
            let cpu_ns = clock::thread_cpu_ns();
            let elapsed_ns = run(frames, interface);
            let cpu_ns = clock::thread_cpu_ns() - cpu_ns;
            let elapsed_ns = elapsed_ns.map_err(|e| HarnessError::system(act, e))?;
            Ok(Handed { elapsed_ns, cpu_ns })
        })
    }

    /// How many packets were handed over, and how many of them have arrived where they are dropped.
    ///
    /// # Errors
    /// They are not dropped, or the counter cannot be read.
    pub fn arrived(&self) -> Result<[u64; 2], HarnessError> {
        let sink = self.sink.as_ref();
        let sink = sink.ok_or_else(|| {
            HarnessError::Traffic("packets that are answered arrive nowhere else".to_owned())
        })?;
        Ok([self.handed, sink.packets()?])
    }
}
