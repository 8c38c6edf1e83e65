//! `live-set`: a list is replaced again and again while packets are looked up in it: one by one, by a swap, emptied and filled, in one
//! transaction or in two.
//!
//! Each time a tenth of the entries is other. Datagrams of two kinds are sent in turn: to addresses that are in the list before and after, and to
//! such as never are. Wrong is a packet of the first kind that fares as one that is not listed, or one of the second that fares as one that is.
//! Entries pass and all else is dropped: what is lost, is lost to a list that was not whole; what passes, passes one that was open.
//!
//! The packets are sent on the client's CPU and go through the node in the sender's softirq; the list is replaced on the server's CPU, and no
//! thread of the server's has anything to do.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use netns_harness::lists::{Listed, Replacement};
use netns_harness::service::Frontend;
use netns_harness::traffic::{Stream, Streamed};
use netns_sys::clock;
use schema::{ListKind, Metric, OptionKey, Options, ScenarioKind, Stage};

use crate::cost::Asked;
use crate::error::{At as _, CellError, Result};
use crate::lists::{self, lists};
use crate::recorder::Recorder;
use crate::scenario::{Needs, Request, Scenario};
use crate::stay::Stay;

/// Datagrams a second, where the datapath lets so many through; how many they were is noted.
const RATE: u32 = 25_000;
/// Times that a list is replaced, and how long that goes on at the most, seconds.
const TIMES: u32 = 100;
const LONGEST_S: u64 = 20;
/// How long the sender may take to begin, nanoseconds.
const BEGINNING_NS: u64 = 1_000_000_000;
/// How long packets are sent before anything is changed, to see that nothing is wrong.
const QUIET: Duration = Duration::from_millis(400);
/// Of its entries, one in so many is other each time.
const OTHER: u32 = 10;
/// Addresses of each kind.
const ADDRESSES: u32 = 500;
/// How long the last packets are waited for.
const PATIENCE: Duration = Duration::from_millis(100);
/// Kinds that are asked where none is named.
const KINDS: [ListKind; 4] = [
    ListKind::Rules,
    ListKind::HashIp,
    ListKind::Set,
    ListKind::Interval,
];
/// What replacing a list takes, nanoseconds an entry.
const ENTRY_NS: u64 = 1_500;

/// The scenario.
#[derive(Debug)]
pub(crate) struct LiveSet;

impl Scenario for LiveSet {
    fn kind(&self) -> ScenarioKind {
        ScenarioKind::LiveSet
    }

    fn needs(&self) -> Needs {
        Needs::Empty
    }

    fn cells(&self, asked: Asked, request: &Request) -> Vec<Options> {
        if asked.transport != lists::ordinary(asked.mode) {
            return Vec::new();
        }
        let named = !request.chosen.list_kinds.is_empty();
        let all = lists(asked, request).into_iter();
        let all = all.filter(|options| {
            let usual = options
                .list_kind()
                .is_some_and(|kind| KINDS.contains(&kind));
            // A tenth of fewer is nothing.
            (named || usual) && options.entries() >= Some(OTHER)
        });
        all.flat_map(|options| {
            let kind = options.list_kind();
            let ways = kind.map_or(&[][..], |kind| kind.row().holder.ways());
            ways.iter()
                .map(move |way| options.clone().with(OptionKey::Way, way))
        })
        .collect()
    }

    fn expected_ns(&self, _asked: Asked, options: &Options, _request: &Request) -> u64 {
        let entries = u64::from(options.entries().unwrap_or(0));
        let each = 2_000_000 + entries * ENTRY_NS;
        let all = u64::from(TIMES) * each;
        lists::expected_ns(options) + all.min(LONGEST_S * 1_000_000_000)
    }

    fn run(&self, stay: &mut Stay<'_>, options: &Options, recorder: &mut Recorder) -> Result {
        let way = options.list_way();
        let way =
            way.ok_or_else(|| CellError::at(Stage::Measure, "a list is replaced in a way"))?;
        let lab = stay.lab;
        if !lab.pinning.apart() {
            return Err(CellError::unsupported(
                "a list is replaced on one CPU while packets are sent on another, and this process may use one",
            ));
        }
        let listed = Listed::Pass;
        let list = lists::made(stay, options, listed)?;
        lists::filled(stay, &list)?;
        let mut hand = lists::handing(stay)?;
        lists::prove(stay, &mut hand, &list, (listed, 0), recorder)?;
        drop(hand);
        stay.lab
            .on_node(|| list.prepare(way))
            .at(Stage::Preparation)?;
        let members = list.members;
        let entries = members.entries();
        let other = entries / OTHER;
        if entries + other > members.most() {
            let why = format!(
                "{entries} entries and {other} others have no room: there are addresses for {}",
                members.most()
            );
            return Err(CellError::unsupported(why));
        }
        let kept = (0..ADDRESSES).map(|nth| other + nth % (entries - other));
        let kept: Vec<Frontend> = kept.map(|nth| lists::to(members.nth(nth).first)).collect();
        let never = (0..ADDRESSES).map(|nth| lists::to(members.stranger(nth)));
        let never: Vec<Frontend> = never.collect();
        let stream = Stream::of(lab, [&kept, &never]).at(Stage::Preparation)?;
        let there = Replacement {
            from: 0..entries,
            to: other..entries + other,
        };
        let back = Replacement {
            from: there.to.clone(),
            to: there.from.clone(),
        };
        let batches = [&there, &back].map(|replacement| list.replace(way, replacement));
        let [Some(first), Some(second)] = batches else {
            return Err(CellError::unsupported(format!(
                "{} of {} is not replaced so: {}",
                members.kind().words(),
                stay.spec.mode,
                way.words()
            )));
        };
        // Without a change nothing may fare wrong, and what waits then waits for something else.
        let (quiet, _) = under_load(stay, &stream, |_, nth| {
            std::thread::sleep(QUIET);
            Ok(nth == 0)
        })?;
        std::thread::sleep(PATIENCE);
        let passed = stream.arrived()?;
        if passed != [quiet.sent[0], 0] {
            let why = format!(
                "{} of {} packets to entries have passed, and {} to others, while nothing was changed",
                passed[0], quiet.sent[0], passed[1]
            );
            return Err(CellError::at(Stage::Counters, why));
        }
        recorder.fact("stall_without_change_ns", quiet.longest_gap_ns);
        let streamed = under_load(stay, &stream, |stay, nth| {
            let batch = if nth % 2 == 0 { &first } else { &second };
            stay.apply_sampled(batch, recorder)?;
            Ok(nth + 1 < TIMES)
        })?;
        let (streamed, times) = streamed;
        std::thread::sleep(PATIENCE);
        let last = if times % 2 == 0 { there.from } else { there.to };
        stay.on_node(Stage::Proof, || list.check_those(last))?;
        let all = stream.arrived()?;
        let arrived = [all[0] - passed[0], all[1] - passed[1]];
        record(&streamed, arrived, times, recorder)
    }
}

/// Ends a stream however the changes end.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Makes changes on one CPU, as long as they say that another is to come, while another CPU sends; how many were made.
fn under_load(
    stay: &mut Stay<'_>,
    stream: &Stream<'_>,
    mut change: impl FnMut(&mut Stay<'_>, u32) -> Result<bool>,
) -> Result<(Streamed, u32)> {
    let pinning = stay.lab.pinning;
    let cpus = stay.cpus.clone();
    let end = AtomicBool::new(false);
    netns_sys::thread::pin(pinning.server).at(Stage::Lab)?;
    let made = std::thread::scope(|scope| {
        let ending = Ending(&end);
        let sender = scope.spawn(|| {
            netns_sys::thread::pin(pinning.client).at(Stage::Lab)?;
            stream.send(RATE, &end).at(Stage::Measure)
        });
        let start = clock::now();
        while !stream.has_begun() && start.elapsed_ns() < BEGINNING_NS {
            std::thread::yield_now();
        }
        let mut done = match stream.has_begun() {
            true => Ok(true),
            false => Err(CellError::at(
                Stage::Measure,
                "no packet was sent for a second",
            )),
        };
        let (start, mut times) = (clock::now(), 0);
        while matches!(done, Ok(true)) && start.elapsed_ns() < LONGEST_S * 1_000_000_000 {
            done = change(stay, times);
            times += 1;
        }
        drop(ending);
        let streamed = sender.join().expect("the sender does not panic");
        done?;
        Ok((streamed?, times))
    });
    netns_sys::thread::unpin(&cpus).at(Stage::Lab)?;
    made
}

fn record(streamed: &Streamed, arrived: [u64; 2], times: u32, recorder: &mut Recorder) -> Result {
    let [kept, never] = streamed.sent;
    let all = kept + never;
    let rate = u128::from(all) * 1_000_000_000 / u128::from(streamed.elapsed_ns.max(1));
    let dropped = kept.checked_sub(arrived[0]).ok_or_else(|| {
        CellError::at(
            Stage::Counters,
            format!("{} of {kept} packets have arrived", arrived[0]),
        )
    })?;
    recorder.sample(Metric::Wrong, dropped + arrived[1]);
    recorder.sample(Metric::Stall, streamed.longest_gap_ns);
    recorder.fact("wrongly_dropped", dropped);
    recorder.fact("wrongly_passed", arrived[1]);
    recorder.fact("packets", all);
    recorder.fact("packets_a_second", rate);
    recorder.fact("packets_not_taken", streamed.not_taken);
    recorder.fact("replaced", times);
    let waited = streamed
        .run_delay_ns
        .map_or_else(|| "unknown".to_owned(), |ns| ns.to_string());
    recorder.fact("sender_run_delay_ns", waited);
    Ok(())
}
