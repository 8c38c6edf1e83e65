//! `established`: a round trip on a flow that is open, beside others that are: what connection tracking costs once the rules
//! have been asked, which they are once a flow; and the node's own part of it ([`crate::path`]).
//!
//! Closed loop: one message of eight bytes at a time, on a flow drawn at random of those that are open. The cell fails unless the rules count
//! as many packets as flows were opened and none after those, and every message comes back.

use std::collections::BTreeSet;
use std::io;

use netns_harness::service::Service;
use netns_harness::traffic::{Ask, OpenFlow};
use netns_harness::treatment::Source;
use rand::RngExt as _;
use schema::{
    Family, Metric, OptionKey, Options, PacketPath, Position, Protocol, ScenarioKind, Stage,
};

use crate::cost::Asked;
use crate::counters::{check_counters, check_room, watch};
use crate::error::{CellError, Result};
use crate::path;
use crate::position::Services as _;
use crate::proof;
use crate::recorder::Recorder;
use crate::scenario::{Request, Scenario, layout_options};
use crate::stay::Stay;

/// Files that are open besides flows, at the most.
const OTHER_FILES: u64 = 256;
/// Messages of a connection after which it is no longer in quick-ack mode (`TCP_MAX_QUICKACKS`, 16 of them, in include/net/tcp.h).
const QUICKLY_ACKNOWLEDGED: u32 = 20;
/// Round trips before those that count.
const WARM_UP: u32 = 200;
/// Which thread goes on when a message has come is the scheduler's to decide, and it decides now so, now so: what that costs would be counted.
const NOT_COUNTED: &str = "round trips are timed and not counted: a count has several values, by which thread happens to go on first; what the node does with a packet of an open flow is counted of UDP";
/// Opening a flow, nanoseconds; the same in instructions.
const OPENED: [u64; 2] = [60_000, 430_000];
/// A round trip with the choice of its flow, nanoseconds; the same in instructions.
const ROUND_TRIP: [u64; 2] = [20_000, 60_000];

/// The scenario.
#[derive(Debug)]
pub(crate) struct Established;

impl Scenario for Established {
    fn kind(&self) -> ScenarioKind {
        ScenarioKind::Established
    }

    /// Of each protocol and number of open flows.
    fn cells(&self, asked: Asked, request: &Request) -> Vec<Options> {
        let numbers: BTreeSet<u32> = request.chosen.open_flows.iter().copied().collect();
        let mut cells = Vec::new();
        for protocol in &request.protocols {
            for open in &numbers {
                let mut options = Options::from([
                    (OptionKey::Protocol, protocol.name()),
                    (OptionKey::Family, Family::Ipv4.name()),
                    (OptionKey::Path, PacketPath::Client.name()),
                ]);
                options.set(OptionKey::OpenFlows, open);
                layout_options(&mut options, asked, request.large_cluster);
                cells.push(options);
            }
        }
        cells
    }

    fn expected_ns(&self, asked: Asked, options: &Options, request: &Request) -> u64 {
        let of = |costs: [u64; 2]| costs[usize::from(asked.counted)];
        let open = u64::from(open_flows(options));
        open * (of(OPENED) + u64::from(QUICKLY_ACKNOWLEDGED) * of(ROUND_TRIP))
            + u64::from(request.flows + WARM_UP) * of(ROUND_TRIP)
            + path::expected_ns(asked)
            + asked.counters_ns()
    }

    fn run(&self, stay: &mut Stay<'_>, options: &Options, recorder: &mut Recorder) -> Result {
        let protocol = options
            .protocol()
            .ok_or_else(|| CellError::at(Stage::Measure, "a flow needs a protocol"))?;
        if stay.spec.counted && protocol == Protocol::Tcp {
            return Err(CellError::unsupported(NOT_COUNTED));
        }
        let open = open_flows(options);
        let services = Position::Uniform.services(stay.population, protocol, stay.spec.mode);
        if services.is_empty() {
            return Err(CellError::unsupported(format!(
                "the population has no {protocol} service that answers"
            )));
        }
        recorder.fact("asked_services", services.len());
        // Of a connection both ends are this process's.
        let ends = match protocol {
            Protocol::Tcp => 2,
            Protocol::Udp => 1,
        };
        let room = netns_sys::process::open_files(u64::from(open) * ends + OTHER_FILES);
        room.map_err(CellError::unsupported)?;
        let before = watch(stay, Source::Pod)?;
        check_room(stay, &before, u64::from(open))?;
        let _pinned = stay.pin()?;
        let _held = stay.lab.server.hold();
        let _spinning = stay.lab.server.spin();
        let flows = opened(stay, &services, open)?;
        // TCP acknowledges the first messages of a connection at once, and later ones with its own.
        let each = match protocol {
            Protocol::Tcp => QUICKLY_ACKNOWLEDGED,
            Protocol::Udp => 1,
        };
        let meet = |flow: &OpenFlow| flow.round_trip(0).map(drop).map_err(failed);
        (0..each).try_for_each(|_| flows.iter().try_for_each(meet))?;
        if !stay.spec.counted {
            for _ in 0..WARM_UP {
                round_trip(stay, &flows)?;
            }
            for _ in 0..stay.spec.flows {
                recorder.sample(Metric::RoundTrip, round_trip(stay, &flows)?);
            }
        }
        if protocol == Protocol::Udp {
            path::of_open_flows(stay, recorder, |stay| {
                &flows[stay.rng.random_range(0..flows.len())]
            })?;
        }
        let after = watch(stay, Source::Pod)?;
        // The rules are asked for the first packet of a flow alone.
        check_counters(stay, [&before, &after], u64::from(open), recorder)
    }
}

/// Opens so many flows, evenly over the services; who answers is checked for each.
fn opened(stay: &mut Stay<'_>, services: &[&Service], open: u32) -> Result<Vec<OpenFlow>> {
    let part = services.len() as f64 / f64::from(open);
    let mut chosen = Vec::with_capacity(open as usize);
    let mut asks = Vec::with_capacity(open as usize);
    for nth in 0..open {
        let at = ((f64::from(nth) + stay.rng.random::<f64>()) * part) as usize;
        let service = services[at.min(services.len() - 1)];
        let to = proof::destination(stay.spec.mode, service, &mut stay.rng);
        chosen.push((service, to));
        asks.push(Ask {
            from: Source::Pod,
            to,
        });
    }
    let opened = stay.client.open_flows(&asks)?;
    let mut flows = Vec::with_capacity(opened.len());
    for ((service, to), (flow, reached)) in chosen.into_iter().zip(opened) {
        proof::check_reached(stay.spec.mode, service, to, reached)?;
        flows.push(flow);
    }
    Ok(flows)
}

/// One on a flow drawn at random, nanoseconds.
fn round_trip(stay: &mut Stay<'_>, flows: &[OpenFlow]) -> Result<u64> {
    let (at, message) = (stay.rng.random_range(0..flows.len()), stay.rng.random());
    flows[at].round_trip(message).map_err(failed)
}

fn failed(error: io::Error) -> CellError {
    CellError::at(
        Stage::Measure,
        format!("a round trip on an open flow: {error}"),
    )
}

fn open_flows(options: &Options) -> u32 {
    options.open_flows().unwrap_or(1)
}
