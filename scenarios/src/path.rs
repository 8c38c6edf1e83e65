//! The node's own part of what a packet takes: packets are handed to it in the caller's context, and dropped where they arrive, so that no
//! socket and no thread takes part. Beside the round trip that an application sees, which has all of those.

use std::cell::Cell;
use std::time::Duration;

use netns_harness::service::Frontend;
use netns_harness::tracking;
use netns_harness::traffic::{HandOver, Handed, OpenFlow};
use netns_harness::treatment::Source;
use netns_sys::clock;
use rand::RngExt as _;
use schema::{Metric, Stage};

use crate::cost::Asked;
use crate::counters::{check_counters, check_room, let_softirqs_end, watch};
use crate::error::{CellError, Result};
use crate::recorder::{Recorder, median};
use crate::stay::Stay;

/// Packets that are handed over together: a sample is a packet's share of the time that they take.
pub(crate) const TOGETHER: u32 = 250;
/// Without a divisor in common with it.
const STEP: u32 = 101;
/// Samples of a cell.
const SAMPLES: u32 = 5;
/// Before them, untimed.
const WARM_UP: u32 = 1;
/// How often it is looked at what handing over takes by itself.
const BY_ITSELF_TIMES: u32 = 3;
/// Packets of a cell.
const PACKETS: u32 = TOGETHER * (WARM_UP + SAMPLES);
/// How long packets that are on their way are waited for, nanoseconds.
const PATIENCE_NS: u64 = 1_000_000_000;
/// What they take with the reading of counters, nanoseconds; the same in instructions.
const EXPECTED: [u64; 2] = [100_000_000, 150_000_000];
/// Name of the fact that says what handing over takes by itself, or why nothing could be handed over.
const BY_ITSELF: &str = "handing_over_ns";

/// How long it takes.
pub(crate) fn expected_ns(asked: Asked) -> u64 {
    EXPECTED[usize::from(asked.counted)] + asked.counters_ns()
}

/// Samples what first packets of new flows take; `to` says where one goes, of which it is told how far along the list of services it lies, 0 to 1.
pub(crate) fn of_first_packets(
    stay: &mut Stay<'_>,
    recorder: &mut Recorder,
    to: impl Fn(&mut Stay<'_>, f64) -> Option<Frontend>,
) -> Result {
    let lab = stay.lab;
    let left = stay.client.left_without_socket();
    if left < PACKETS {
        recorder.fact(
            BY_ITSELF,
            format!("unknown: addresses and ports are left for {left} flows"),
        );
        return Ok(());
    }
    let mut hand = match HandOver::dropped(lab) {
        Ok(hand) => hand,
        Err(why) => {
            recorder.fact(BY_ITSELF, format!("unknown: {why}"));
            return Ok(());
        }
    };
    sample(stay, &mut hand, PACKETS, recorder, |stay, hand| {
        // One of each of as many equal parts of the list as there are packets, in another order.
        let places = (0..TOGETHER).map(|nth| nth * STEP % TOGETHER);
        let asked = places.filter_map(|place| {
            let place = (f64::from(place) + stay.rng.random::<f64>()) / f64::from(TOGETHER);
            to(stay, place)
        });
        let asked: Vec<Frontend> = asked.collect();
        Ok(hand.first_packets(&mut stay.client, &asked)?)
    })?;
    if stay.datapath.facts().tracks {
        // They are half open, and would stay for two minutes.
        let family = lab.family();
        let forgotten = lab.on_node(|| tracking::forget(family));
        let said = forgotten.map_or_else(|e| e.to_string(), |()| "yes".to_owned());
        recorder.fact("handed_over_forgotten", said);
    }
    Ok(())
}

/// Samples what datagrams of open flows take; `next` draws one.
///
/// # Errors
/// Also where nothing can be handed over and nothing else is asked.
pub(crate) fn of_open_flows<'f>(
    stay: &mut Stay<'_>,
    recorder: &mut Recorder,
    mut next: impl FnMut(&mut Stay<'_>) -> &'f OpenFlow,
) -> Result {
    let mut hand = match HandOver::dropped(stay.lab) {
        Ok(hand) => hand,
        Err(why) if stay.spec.counted => return Err(CellError::unsupported(why)),
        Err(why) => {
            recorder.fact(BY_ITSELF, format!("unknown: {why}"));
            return Ok(());
        }
    };
    // No rule sees any of them.
    sample(stay, &mut hand, 0, recorder, |stay, hand| {
        Ok(hand.datagrams((0..TOGETHER).map(|_| next(stay)))?)
    })
}

/// Makes a packet's share of what several took together.
pub(crate) struct Shares {
    packets: u32,
    /// Hand-overs after which something was still on its way.
    late: Cell<u32>,
}

impl Shares {
    /// Of so many packets; what a generator takes by itself is noted.
    pub(crate) fn of(
        hand: &mut HandOver<'_>,
        packets: u32,
        recorder: &mut Recorder,
    ) -> Result<Self> {
        let mut by_itself = Vec::new();
        for _ in 0..BY_ITSELF_TIMES {
            let none = hand.of_none(packets)?;
            by_itself.push(none.elapsed_ns as f64 / f64::from(packets));
        }
        recorder.fact(BY_ITSELF, median(&by_itself).round());
        Ok(Self {
            packets,
            late: Cell::new(0),
        })
    }

    /// Samples a packet's share, where all of them were `done` when the call returned: what is left to another thread is not in its time.
    pub(crate) fn note(
        &self,
        done: Option<bool>,
        handed: Handed,
        counted: bool,
        metric: Metric,
        recorder: &mut Recorder,
    ) {
        match done {
            None => {}
            Some(false) => self.late.set(self.late.get() + 1),
            Some(true) => {
                recorder.sample(metric, self.share(handed.elapsed_ns));
                // Where interrupts are accounted apart (CONFIG_IRQ_TIME_ACCOUNTING) most of it is not the thread's.
                if !counted && 10 * handed.cpu_ns >= 9 * handed.elapsed_ns {
                    recorder.sample(Metric::PacketCpuTime, self.share(handed.cpu_ns));
                }
            }
        }
    }

    /// Notes how many samples were not taken.
    pub(crate) fn tell(&self, recorder: &mut Recorder) {
        if self.late.get() > 0 {
            recorder.fact("handed_over_late", self.late.get());
        }
    }

    fn share(&self, ns: u64) -> u64 {
        let packets = u64::from(self.packets);
        (ns + packets / 2) / packets
    }
}

/// Whether something is so at once; if it is not, it is waited for.
pub(crate) fn is_done<E>(is_so: impl Fn() -> Result<bool, E>) -> Result<bool, E> {
    let at_once = is_so()?;
    let start = clock::now();
    while !at_once && start.elapsed_ns() < PATIENCE_NS && !is_so()? {
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(at_once)
}

/// Hands packets over that the rules are asked for so often as is said, and sees that all arrive.
fn sample<'a>(
    stay: &mut Stay<'_>,
    hand: &mut HandOver<'a>,
    crossing: u32,
    recorder: &mut Recorder,
    mut hand_over: impl FnMut(&mut Stay<'_>, &mut HandOver<'a>) -> Result<Handed>,
) -> Result {
    let before = watch(stay, Source::Pod)?;
    if let Err(why) = check_room(stay, &before, crossing.into()) {
        recorder.fact(BY_ITSELF, format!("unknown: {why}"));
        return Ok(());
    }
    sample_path(stay, hand, recorder, &mut hand_over)?;
    let after = watch(stay, Source::Pod)?;
    // What it notes is of the cell's own flows.
    let mut noted = Recorder::default();
    check_counters(stay, [&before, &after], crossing.into(), &mut noted)
}

/// Hands over what is handed over in one piece again and again, and sees that all of it arrives.
pub(crate) fn sample_path<'a>(
    stay: &mut Stay<'_>,
    hand: &mut HandOver<'a>,
    recorder: &mut Recorder,
    mut hand_over: impl FnMut(&mut Stay<'_>, &mut HandOver<'a>) -> Result<Handed>,
) -> Result {
    let before = hand.arrived()?;
    {
        let _pinned = stay.pin()?;
        let shares = Shares::of(hand, TOGETHER, recorder)?;
        for nth in 0..WARM_UP + SAMPLES {
            let_softirqs_end(stay);
            let handed = hand_over(stay, hand)?;
            let done =
                is_done(|| arrived(hand, before).map(|[handed, arrived]| handed == arrived))?;
            let done = (nth >= WARM_UP).then_some(done);
            shares.note(done, handed, stay.spec.counted, Metric::PathTime, recorder);
        }
        shares.tell(recorder);
    }
    let [handed, arrived] = arrived(hand, before)?;
    if handed != arrived {
        return Err(CellError::at(
            Stage::Counters,
            format!("{handed} packets were handed to the node, {arrived} have arrived"),
        ));
    }
    recorder.fact("handed_over", handed);
    Ok(())
}

/// Packets that were handed over since, and those that have arrived.
pub(crate) fn arrived(hand: &HandOver<'_>, before: [u64; 2]) -> Result<[u64; 2]> {
    let now = hand.arrived()?;
    Ok([now[0] - before[0], now[1] - before[1]])
}
