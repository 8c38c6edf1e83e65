//! `first-packet`: from the first packet of a new flow to the first reply, by position of the service.
//!
//! Closed loop: one flow at a time, each from an address and port never used before in the lab. The
//! cell fails unless the rules' own counters saw exactly as many first packets as probes were sent.

use std::collections::BTreeMap;

use netns_harness::datapath::{NatCounters, Transport};
use netns_harness::meters;
use netns_harness::service::{Endpoint, Frontend, Service};
use netns_harness::traffic::Reached;
use rand::RngExt;
use schema::{Metric, Mode, Options, Protocol, ScenarioKind, Stage};

use crate::cost::Size;
use crate::position::Position;
use crate::proof;
use crate::recorder::{Recorder, median};
use crate::scenario::{CellError, Request, Scenario};
use crate::stay::Stay;

/// Flows that are prepared together.
const BATCH: u32 = 50;
/// Warm-up ends when two successive batch medians are this close, or after [`WARM_UP_BATCHES`].
const WARM_UP_AGREEMENT: f64 = 0.05;
const WARM_UP_BATCHES: u32 = 10;

/// The scenario.
#[derive(Debug)]
pub(crate) struct FirstPacket;

impl Scenario for FirstPacket {
    fn kind(&self) -> ScenarioKind {
        ScenarioKind::FirstPacket
    }

    fn question(&self) -> &'static str {
        "How long does the first packet of a new flow take to its first reply, by position of the service?"
    }

    fn cells(
        &self,
        _mode: Mode,
        _services: u32,
        _transport: Transport,
        request: &Request,
    ) -> Vec<Options> {
        let mut cells = Vec::new();
        for protocol in &request.protocols {
            for position in &request.positions {
                cells.push(Options::from([
                    ("position".to_owned(), position.name().to_owned()),
                    ("protocol".to_owned(), protocol.name().to_owned()),
                    ("family".to_owned(), "ipv4".to_owned()),
                    ("path".to_owned(), "client".to_owned()),
                ]));
            }
        }
        cells
    }

    /// About 100 µs a flow with its set-up and check, and a listing of counters before and after.
    fn expected_ns(&self, mode: Mode, size: Size, _options: &Options, request: &Request) -> u64 {
        let counters = match mode {
            Mode::IptablesLegacy | Mode::IptablesNft | Mode::Ipset => {
                u64::from(size.services) * 12_000
            }
            _ => 5_000_000,
        };
        u64::from(request.flows + 3 * BATCH) * 110_000 + counters
    }

    fn run(
        &self,
        stay: &mut Stay<'_>,
        options: &Options,
        recorder: &mut Recorder,
    ) -> Result<(), CellError> {
        let (position, protocol) = parse(options)?;
        let population = stay.population;
        let services = position.services(population, protocol);
        if services.is_empty() {
            return Err(CellError::at(
                Stage::Measure,
                format!("the population has no {protocol} service"),
            ));
        }
        let before = watch(stay)?;
        check_room(stay, &before)?;
        let opened = stay.client.opened();
        let mut counts = Counts::default();
        {
            let _pinned = stay.pin()?;
            // Held for the whole cell: no flow of it pays for waking the server.
            let _spinning = stay.lab.server.spin();
            let warm_up = warm_up(stay, &services, &mut counts)?;
            recorder.fact("warm_up_flows", warm_up);
            let mut left = stay.spec.flows;
            while left > 0 {
                let size = left.min(BATCH);
                for reached in batch(stay, &services, size, &mut counts)? {
                    recorder.sample(Metric::Latency, reached.latency_ns);
                }
                left -= size;
            }
        }
        let probes = u64::from(stay.client.opened() - opened);
        check_counters(stay, &before, probes, recorder)?;
        counts.check_spread(&services)
    }
}

/// Who answered for the service at a fixed position.
#[derive(Default)]
struct Counts(BTreeMap<Endpoint, u64>);

impl Counts {
    /// Flows of every measured cell are a spread test too.
    fn check_spread(&self, services: &[&Service]) -> Result<(), CellError> {
        let [service] = services else { return Ok(()) };
        let counts: BTreeMap<Endpoint, u64> = service
            .endpoints
            .iter()
            .map(|e| (*e, self.0.get(e).copied().unwrap_or(0)))
            .collect();
        let p = proof::evenness(counts.values().copied());
        if p < proof::SPREAD_P {
            Err(proof::uneven(service, &counts, p))
        } else {
            Ok(())
        }
    }
}

fn parse(options: &Options) -> Result<(Position, Protocol), CellError> {
    let option = |name: &str| options.get(name).map(String::as_str).unwrap_or_default();
    let position = Position::from_name(option("position")).ok_or_else(|| {
        CellError::at(
            Stage::Measure,
            "option position: first, middle, last or uniform",
        )
    })?;
    let protocol = option("protocol")
        .parse()
        .map_err(|e| CellError::at(Stage::Measure, e))?;
    Ok((position, protocol))
}

/// Counters of the rules and of connection tracking.
struct Seen {
    nat: NatCounters,
    conntrack: meters::Conntrack,
}

fn watch(stay: &Stay<'_>) -> Result<Seen, CellError> {
    let seen = stay.lab.on_node(|| {
        Ok(Seen {
            nat: stay.datapath.nat_counters()?,
            conntrack: meters::conntrack()?,
        })
    });
    seen.map_err(|e| CellError::at(Stage::Counters, e))
}

/// Connection tracking must stay below half its limit.
fn check_room(stay: &Stay<'_>, before: &Seen) -> Result<(), CellError> {
    if stay.spec.mode == Mode::None {
        return Ok(());
    }
    let flows = u64::from(stay.spec.flows + WARM_UP_BATCHES * BATCH);
    let meters::Conntrack { count, max, .. } = before.conntrack;
    if 2 * (count + flows) > max {
        return Err(CellError::at(
            Stage::Counters,
            format!(
                "{flows} more flows beside {count} tracked ones would pass half of nf_conntrack_max ({max})"
            ),
        ));
    }
    Ok(())
}

fn check_counters(
    stay: &Stay<'_>,
    before: &Seen,
    probes: u64,
    recorder: &mut Recorder,
) -> Result<(), CellError> {
    let after = watch(stay)?;
    recorder.fact("probes", probes);
    recorder.fact("conntrack_entries", after.conntrack.count);
    let failed = |why: String| Err(CellError::at(Stage::Counters, why));
    match (before.conntrack.lost, after.conntrack.lost) {
        // Connection tracking may come with the first rules, and its statistics with it.
        (from, Some(to)) if from.unwrap_or(0) != to => {
            return failed(format!(
                "connection tracking has lost {to} entries in all, {} before (insert_failed, drop, early_drop)",
                from.unwrap_or(0)
            ));
        }
        (Some(_), None) => {
            return failed("the statistics of connection tracking are gone".to_owned());
        }
        (None, None) if after.conntrack.max > 0 => recorder.fact(
            "conntrack_losses",
            "unknown: this kernel has no statistics of nf_conntrack (CONFIG_NF_CONNTRACK_PROCFS)",
        ),
        _ => {}
    }
    match (before.nat.entered, after.nat.entered) {
        (Some(from), Some(to)) => {
            recorder.fact("nat_packets", to - from);
            if to - from != probes {
                return failed(format!(
                    "{} packets crossed the nat rules, {probes} flows were opened",
                    to - from
                ));
            }
        }
        _ if after.conntrack.count > 0 => {
            return failed(format!(
                "{} tracked connections in a floor that tracks none",
                after.conntrack.count
            ));
        }
        _ => {}
    }
    Ok(())
}

/// Opens `size` flows one after the other; who answers is checked for each.
fn batch(
    stay: &mut Stay<'_>,
    services: &[&Service],
    size: u32,
    counts: &mut Counts,
) -> Result<Vec<Reached>, CellError> {
    let mode = stay.spec.mode;
    let chosen: Vec<&Service> = (0..size)
        .map(|_| services[stay.rng.random_range(0..services.len())])
        .collect();
    let to: Vec<Frontend> = chosen
        .iter()
        .map(|s| proof::destination(mode, s, &mut stay.rng))
        .collect();
    let answers = stay.client.probe_all(&to)?;
    for ((service, to), reached) in chosen.iter().zip(&to).zip(&answers) {
        proof::check_reached(mode, service, *to, *reached)?;
        *counts.0.entry(reached.endpoint).or_default() += 1;
    }
    Ok(answers)
}

/// Until two successive batch medians agree. Returns the flows it took.
fn warm_up(
    stay: &mut Stay<'_>,
    services: &[&Service],
    counts: &mut Counts,
) -> Result<u32, CellError> {
    let mut last = f64::INFINITY;
    for done in 1..=WARM_UP_BATCHES {
        let answers = batch(stay, services, BATCH, counts)?;
        let now = median(
            &answers
                .iter()
                .map(|r| r.latency_ns as f64)
                .collect::<Vec<_>>(),
        );
        if (now - last).abs() <= WARM_UP_AGREEMENT * now {
            return Ok(done * BATCH);
        }
        last = now;
    }
    Ok(WARM_UP_BATCHES * BATCH)
}
