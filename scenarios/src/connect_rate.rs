//! `connect-rate`: new TCP connections to services drawn evenly, as many as one CPU can make, and at a rate.
//!
//! As many as can be: SYNs are handed to the node in the sender's context, the server's stack answers in the same context, and resets follow. No thread
//! of the server's takes part. What a connection takes is that of all of them by their number.
//!
//! At a rate: an open loop ([`Pacer`]), in which the time of a flow counts from when it was due, and a flow without an answer is lost, not
//! waited for. The cell is marked where the generator was the limit.

use std::collections::BTreeSet;

use netns_harness::service::Frontend;
use netns_harness::traffic::{HandOver, MOST_CONNECTIONS, Paced, Pacer};
use netns_harness::treatment::Source;
use rand::RngExt as _;
use schema::{
    Family, MOST, Metric, OptionKey, Options, PacketPath, Position, Protocol, ScenarioKind, Stage,
};

use crate::cost::Asked;
use crate::counters::{check_counters, check_room, let_softirqs_end, room, watch};
use crate::error::{CellError, Result};
use crate::path::{Shares, is_done};
use crate::position::Services as _;
use crate::proof;
use crate::recorder::Recorder;
use crate::scenario::{Request, Scenario, layout_options};
use crate::stay::Stay;

/// The fact that says how long the longest pauses between two flows of a rate are, beyond what is to be between them: of the longest of each second
/// the 99th percentile, nanoseconds.
pub const LONGEST_PAUSES: &str = "longest_pauses_ns";

/// Connections that are made together.
const TOGETHER: u32 = 500;
/// Samples of as many as can be, and what comes before them.
const SAMPLES: u32 = 20;
const WARM_UP: u32 = 2;
/// How long flows are sent at a rate, seconds, and before that, as a share of it.
const SECONDS: u32 = 10;
const WARM_UP_SHARE: u32 = 20;
/// Fewer flows say nothing of a rate.
const LEAST: u32 = 100;
/// What making a connection takes, nanoseconds; the same in instructions.
const CONNECTION: [u64; 2] = [15_000, 120_000];

/// The scenario.
#[derive(Debug)]
pub(crate) struct ConnectRate;

impl Scenario for ConnectRate {
    fn kind(&self) -> ScenarioKind {
        ScenarioKind::ConnectRate
    }

    /// As many as can be, and each rate: that where time is time.
    fn cells(&self, asked: Asked, request: &Request) -> Vec<Options> {
        let rates: BTreeSet<u32> = match asked.counted {
            true => BTreeSet::new(),
            false => request.chosen.rates.iter().copied().collect(),
        };
        let rates = rates.iter().map(u32::to_string);
        let cell = |rate: String| {
            let mut options = Options::from([
                (OptionKey::Protocol, Protocol::Tcp.name()),
                (OptionKey::Family, Family::Ipv4.name()),
                (OptionKey::Path, PacketPath::Client.name()),
            ]);
            options.set(OptionKey::Rate, rate);
            layout_options(&mut options, asked, request.large_cluster);
            options
        };
        match request.protocols.contains(&Protocol::Tcp) {
            true => [MOST.to_owned()]
                .into_iter()
                .chain(rates)
                .map(cell)
                .collect(),
            false => Vec::new(),
        }
    }

    fn expected_ns(&self, asked: Asked, options: &Options, _request: &Request) -> u64 {
        let each = CONNECTION[usize::from(asked.counted)];
        let taken = match options.rate() {
            Some(_) => u64::from(SECONDS) * 1_000_000_000,
            None => u64::from(TOGETHER * (WARM_UP + SAMPLES)) * each,
        };
        taken + asked.counters_ns()
    }

    fn run(&self, stay: &mut Stay<'_>, options: &Options, recorder: &mut Recorder) -> Result {
        if stay.lab.peers.newcomers {
            return Err(CellError::unsupported(
                "services of this population remember their clients, of which there are fewer than flows: most flows would be known",
            ));
        }
        let services = Position::Uniform.services(stay.population, Protocol::Tcp, stay.spec.mode);
        if services.is_empty() {
            return Err(CellError::unsupported(
                "the population has no TCP service that answers",
            ));
        }
        recorder.fact("asked_services", services.len());
        let mut draw = |stay: &mut Stay<'_>, flows: u32| -> Vec<Frontend> {
            let mut one = || {
                let service = services[stay.rng.random_range(0..services.len())];
                proof::destination(stay.spec.mode, service, &mut stay.rng)
            };
            (0..flows).map(|_| one()).collect()
        };
        match options.rate() {
            None => as_many_as_can_be(stay, &mut draw, recorder),
            Some(rate) => at_a_rate(stay, rate, &mut draw, recorder),
        }
    }
}

/// Draws where so many flows go.
type Draw<'a> = &'a mut dyn FnMut(&mut Stay<'_>, u32) -> Vec<Frontend>;

fn as_many_as_can_be(stay: &mut Stay<'_>, draw: Draw<'_>, recorder: &mut Recorder) -> Result {
    const { assert!(TOGETHER <= MOST_CONNECTIONS) };
    let flows = u64::from(TOGETHER * (WARM_UP + SAMPLES));
    let mut hand = HandOver::answered(stay.lab).map_err(CellError::unsupported)?;
    let left = stay.client.left_without_socket();
    if u64::from(left) < flows {
        let why = format!("addresses and ports are left for {left} of {flows} connections");
        return Err(CellError::at(Stage::Counters, why));
    }
    let before = watch(stay, Source::Pod)?;
    check_room(stay, &before, flows)?;
    {
        let _pinned = stay.pin()?;
        let shares = Shares::of(&mut hand, TOGETHER, recorder)?;
        for nth in 0..WARM_UP + SAMPLES {
            let to = draw(stay, TOGETHER);
            let_softirqs_end(stay);
            let handed = hand.connections(&mut stay.client, &to)?;
            let done = is_done(|| hand.arrived().map(|[made, answered]| made == answered))?;
            let done = (nth >= WARM_UP).then_some(done);
            let metric = Metric::ConnectionTime;
            shares.note(done, handed, stay.spec.counted, metric, recorder);
        }
        shares.tell(recorder);
    }
    let [made, answered] = hand.arrived()?;
    if made != answered {
        return Err(CellError::at(
            Stage::Counters,
            format!("of {made} connections {answered} were answered"),
        ));
    }
    recorder.fact("connections", made);
    let after = watch(stay, Source::Pod)?;
    check_counters(stay, [&before, &after], flows, recorder)
}

fn at_a_rate(stay: &mut Stay<'_>, rate: u32, draw: Draw<'_>, recorder: &mut Recorder) -> Result {
    let mut pacer = Pacer::of(stay.lab).map_err(CellError::unsupported)?;
    let before = watch(stay, Source::Pod)?;
    check_room(stay, &before, LEAST.into())?;
    let wanted = rate.saturating_mul(SECONDS).max(LEAST);
    // Other cells of this lab need some too.
    let left = stay.client.left_without_socket() / 4;
    let tracked = room(stay, &before);
    let flows = wanted.min(tracked.unwrap_or(u32::MAX)).min(left);
    let warm_up = flows / WARM_UP_SHARE;
    if flows < LEAST.max(rate / 10) {
        let tracked = tracked.map_or_else(
            || "nothing is tracked".to_owned(),
            |room| format!("connection tracking has room for {room} (half of nf_conntrack_max)"),
        );
        return Err(CellError::at(
            Stage::Counters,
            format!(
                "a tenth of a second of {rate} new flows a second has no room: {tracked}, addresses and ports may be taken for {left}"
            ),
        ));
    }
    let (first, then) = {
        let _pinned = stay.pin()?;
        let to = draw(stay, warm_up);
        let first = pacer.send(&mut stay.client, &to, rate)?;
        let to = draw(stay, flows - warm_up);
        (first, pacer.send(&mut stay.client, &to, rate)?)
    };
    let after = watch(stay, Source::Pod)?;
    let taken = (first.behind_ns.len() + then.behind_ns.len()) as u64;
    check_counters(stay, [&before, &after], taken, recorder)?;
    recorder.fact("warm_up_flows", first.behind_ns.len());
    record(&then, recorder);
    Ok(())
}

fn record(paced: &Paced, recorder: &mut Recorder) {
    recorder.keep_as_histogram(Metric::Latency);
    for latency in paced.latency_ns.iter().flatten() {
        recorder.sample(Metric::Latency, *latency);
    }
    recorder.sample(Metric::Lost, paced.lost());
    recorder.sample(Metric::Late, paced.late());
    recorder.fact("flows", paced.latency_ns.len());
    if paced.not_taken > 0 {
        recorder.fact("flows_not_taken", paced.not_taken);
    }
    recorder.fact(
        "sending_ns",
        paced.sending_ns / paced.latency_ns.len().max(1) as u64,
    );
    let of = |values: &[u64], share: f64| {
        let mut values = values.to_vec();
        values.sort_unstable();
        let at = ((values.len() as f64 * share).ceil() as usize).clamp(1, values.len().max(1));
        values.get(at - 1).copied().unwrap_or(0)
    };
    for (name, share) in [("p50", 0.5), ("p99", 0.99), ("max", 1.0)] {
        recorder.fact(&format!("behind_{name}_ns"), of(&paced.behind_ns, share));
    }
    recorder.fact(LONGEST_PAUSES, of(&paced.gaps_ns, 0.99));
    let waited = paced
        .run_delay_ns
        .map_or_else(|| "unknown".to_owned(), |ns| ns.to_string());
    recorder.fact("sender_run_delay_ns", waited);
}
