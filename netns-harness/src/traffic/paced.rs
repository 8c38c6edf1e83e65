//! New TCP flows at a rate, each at its time whether others were answered or not: an open loop. A stall so delays every flow that is due
//! meanwhile, and each is counted from when it was due (no coordinated omission).
//!
//! A flow is a SYN from a packet socket, the SYN-ACK of the server's stack, and the reset of the clients' stack, which knows of no such
//! flow. All of that is done in the sender's own softirq, so that no other thread has to be woken, and none's turn is waited for. The sender
//! spins between two times.

use netns_sys::clock::{self, Reading};
use netns_sys::packet::PacketSocket;
use nix::net::if_::if_nametoindex;

use super::{Client, frames};
use crate::HarnessError;
use crate::lab::{Lab, OUTER_INTERFACE};
use crate::service::Frontend;

/// A flow that is sent later than this after its time is late.
const LATE_NS: u64 = 100_000;
/// How long the last flows are waited for.
const PATIENCE_NS: u64 = 1_000_000_000;
/// Sends are looked at in windows as long as this.
const WINDOW_NS: u64 = 1_000_000_000;

/// Sends new flows at a rate.
#[derive(Debug)]
pub struct Pacer {
    socket: PacketSocket,
    /// Flows before these: their sequence numbers are taken.
    sent: u32,
}

/// What became of flows that were sent at a rate.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Paced {
    /// From the time at which a flow was due to its first reply, nanoseconds, in the order of flows; `None`: none came.
    pub latency_ns: Vec<Option<u64>>,
    /// How long after its time each was sent, nanoseconds.
    pub behind_ns: Vec<u64>,
    /// The longest time between two flows that were sent beyond that which was to be, in each second, nanoseconds.
    pub gaps_ns: Vec<u64>,
    /// How long the calls that send took, nanoseconds: what the datapath does with a packet is in them.
    pub sending_ns: u64,
    /// Flows that the kernel did not take because too many packets were under way; they are late, and lost.
    pub not_taken: u64,
    /// How long the sender waited for its processor, nanoseconds; `None` where the kernel does not say.
    pub run_delay_ns: Option<u64>,
}

impl Paced {
    /// Flows that were sent more than 100 µs after their time.
    #[must_use]
    pub fn late(&self) -> u64 {
        let late = self.behind_ns.iter().filter(|behind| **behind > LATE_NS);
        late.count() as u64 + self.not_taken
    }

    /// Flows without an answer.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.latency_ns.iter().filter(|ns| ns.is_none()).count() as u64
    }
}

impl Pacer {
    /// In a lab.
    ///
    /// # Errors
    /// A packet socket is refused.
    pub fn of(lab: &Lab) -> Result<Self, HarnessError> {
        let refused = |e| HarnessError::system("open a packet socket (packet(7))", e);
        let open = || {
            let interface = if_nametoindex(OUTER_INTERFACE)?;
            PacketSocket::open(interface, frames::ethertype(lab.family()))
        };
        let socket = lab.client.run(open).and_then(|opened| opened);
        Ok(Self {
            socket: socket.map_err(refused)?,
            sent: 0,
        })
    }

    /// Sends a new flow of its lab's client to each destination, in order, so many a second, on the calling thread.
    ///
    /// # Errors
    /// No sources are left, or a frame could not be sent or received.
    pub fn send(
        &mut self,
        client: &mut Client<'_>,
        to: &[Frontend],
        rate: u32,
    ) -> Result<Paced, HarnessError> {
        let all = client.first_frames(to, self.sent)?;
        let done = self.run(&all, 1_000_000_000 / u64::from(rate.max(1)));
        self.sent += all.len() as u32;
        done.map_err(|e| HarnessError::system("send flows at a rate", e))
    }

    fn run(&self, all: &[Vec<u8>], period_ns: u64) -> std::io::Result<Paced> {
        let mut paced = Paced {
            latency_ns: vec![None; all.len()],
            behind_ns: Vec::with_capacity(all.len()),
            ..Paced::default()
        };
        let waited = netns_sys::thread::run_delay_ns();
        let (start, mut last_ns, mut unanswered) = (clock::now(), 0, all.len());
        let (mut window, mut longest) = (0, 0);
        for (nth, frame) in (0_u64..).zip(all) {
            let due_ns = nth * period_ns;
            let mut now_ns = start.elapsed_ns();
            while now_ns < due_ns {
                unanswered -= self.hear(start, period_ns, &mut paced)?;
                now_ns = start.elapsed_ns();
            }
            match self.socket.send(frame) {
                Ok(()) => paced.behind_ns.push(now_ns - due_ns),
                Err(e) if is_full(&e) => paced.not_taken += 1,
                Err(e) => return Err(e),
            }
            paced.sending_ns += start.elapsed_ns() - now_ns;
            while now_ns / WINDOW_NS > window {
                paced.gaps_ns.push(longest);
                window += 1;
                longest = 0;
            }
            longest = longest.max((now_ns - last_ns).saturating_sub(period_ns));
            last_ns = now_ns;
            unanswered -= self.hear(start, period_ns, &mut paced)?;
        }
        paced.gaps_ns.push(longest);
        while unanswered > 0 && start.elapsed_ns() < last_ns + PATIENCE_NS {
            unanswered -= self.hear(start, period_ns, &mut paced)?;
        }
        paced.run_delay_ns = waited
            .zip(netns_sys::thread::run_delay_ns())
            .map(|(from, to)| to - from);
        Ok(paced)
    }

    /// Notes what has come: of how many flows the first reply.
    fn hear(&self, start: Reading, period_ns: u64, paced: &mut Paced) -> std::io::Result<usize> {
        let (mut frame, mut answered) = ([0; 128], 0);
        while let Some(length) = self.socket.receive(&mut frame)? {
            let now_ns = start.elapsed_ns();
            // An answer to a flow of an earlier call has a number below all of these.
            let nth =
                frames::answered(&frame[..length]).and_then(|number| number.checked_sub(self.sent));
            let Some(nth) = nth else {
                continue;
            };
            if let Some(latency @ None) = paced.latency_ns.get_mut(nth as usize) {
                *latency = Some(now_ns.saturating_sub(u64::from(nth) * period_ns));
                answered += 1;
            }
        }
        Ok(answered)
    }
}

/// Whether a packet was not taken for want of room.
pub(super) fn is_full(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::WouldBlock || error.raw_os_error() == Some(libc::ENOBUFS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::{ENDPOINT_PORT, Pinning};
    use schema::Protocol;

    fn to(address: [u8; 4]) -> Frontend {
        Frontend {
            vip: address.into(),
            port: ENDPOINT_PORT,
            protocol: Protocol::Tcp,
        }
    }

    #[test]
    fn flows_at_a_rate_are_answered_and_those_that_nobody_answers_are_lost_in_bounded_time() {
        testing::in_namespace(|| {
            let lab = Lab::build(Pinning::choose().unwrap()).unwrap();
            let (mut client, mut pacer) = (Client::new(&lab), Pacer::of(&lab).unwrap());
            let answered = pacer
                .send(&mut client, &[to([10, 128, 0, 1]); 200], 2_000)
                .unwrap();
            assert_eq!((answered.lost(), answered.behind_ns.len()), (0, 200));
            assert_eq!(answered.gaps_ns.len(), 1);
            // Of another port nobody listens: a reset is no answer to a SYN here.
            let nobody = Frontend {
                port: ENDPOINT_PORT + 1,
                ..to([10, 128, 0, 1])
            };
            let start = clock::now();
            let lost = pacer.send(&mut client, &[nobody; 20], 2_000).unwrap();
            assert_eq!(lost.lost(), 20);
            assert!(start.elapsed_ns() < 3 * PATIENCE_NS);
        });
    }

    #[test]
    fn both_are_of_either_family() {
        testing::in_namespace(|| {
            use super::super::HandOver;
            let pinning = Pinning::choose().unwrap();
            let lab = match Lab::of(schema::Family::Ipv6, pinning) {
                Ok(lab) => lab,
                Err(why) => {
                    testing::skip("netns", why);
                    return;
                }
            };
            let endpoint = crate::service::Plan::of(schema::Family::Ipv6)
                .endpoints
                .host(1);
            let to = Frontend {
                vip: endpoint,
                ..to([0; 4])
            };
            let mut client = Client::new(&lab);
            let mut pacer = Pacer::of(&lab).unwrap();
            let paced = pacer.send(&mut client, &[to; 50], 2_000).unwrap();
            assert_eq!(paced.lost(), 0, "{paced:?}");
            if let Ok(mut hand) = HandOver::dropped(&lab) {
                hand.first_packets(&mut client, &[to; 50]).unwrap();
                assert_eq!(hand.arrived().unwrap(), [50, 50]);
            }
        });
    }

    #[test]
    fn what_is_handed_over_arrives_and_connections_are_answered_and_reset() {
        testing::in_namespace(|| {
            use super::super::HandOver;
            let lab = Lab::build(Pinning::choose().unwrap()).unwrap();
            let mut client = Client::new(&lab);
            let all = [to([10, 128, 0, 1]); 100];
            let mut hand = match HandOver::dropped(&lab) {
                Ok(hand) => hand,
                Err(why) => {
                    testing::skip("netns", why);
                    return;
                }
            };
            let handed = hand.first_packets(&mut client, &all).unwrap();
            assert!(handed.elapsed_ns > 0);
            assert_eq!(hand.arrived().unwrap(), [100, 100]);
            hand.of_none(100).unwrap();
            assert_eq!(hand.arrived().unwrap(), [100, 100]);
            drop(hand);
            let mut hand = HandOver::answered(&lab).unwrap();
            hand.connections(&mut client, &all).unwrap();
            assert_eq!(hand.arrived().unwrap(), [100, 100]);
        });
    }
}
