//! `first-packet`: from the first packet of a new flow to the first reply, by position of the service, by the address of it
//! that is asked, and by where the packet comes from.
//!
//! Closed loop: one flow at a time, each from an address and port never used before in the lab; with warm caches, or
//! with caches that are emptied before each flow. The cell fails unless the rules' own counters saw exactly as many first packets as probes were sent.

use netns_harness::datapath::Transport;
use netns_harness::service::{Endpoint, Frontend, Service};
use netns_harness::traffic::{Ask, Eviction, Reached};
use netns_harness::treatment::{Source, Treatment, answering, treatment};
use rand::seq::SliceRandom as _;
use rand::{Rng, RngExt};
use schema::{
    Cache, Family, KubeProxyVersion, Metric, Mode, OptionKey, Options, PacketPath, Position,
    Protocol, ReachedBy, ScenarioKind, Stage,
};
use std::collections::BTreeMap;

use crate::cost::Asked;
use crate::counters::{check_counters, check_room, crossed, let_softirqs_end, watch};
use crate::error::{CellError, Result};
use crate::path;
use crate::position::Services as _;
use crate::proof;
use crate::recorder::{Recorder, median};
use crate::scenario::{Request, Scenario, layout_options};
use crate::spec::StaySpec;
use crate::stay::Stay;
use crate::treatments;

/// Flows that are prepared together.
const BATCH: u32 = 50;
/// Warm-up ends when the medians of so many successive batches show no slope, or after [`WARM_UP_BATCHES`].
const LEVEL_BATCHES: usize = 4;
/// Of those the highest lies no further above the lowest than this.
const LEVEL: f64 = 0.10;
const WARM_UP_BATCHES: u32 = 12;
/// What a flow takes with its set-up and its check, nanoseconds.
const FLOW_NS: u64 = 60_000;
/// The same in instructions, where these are counted.
const FLOW_INSTRUCTIONS: u64 = 430_000;
/// What evicting caches takes, nanoseconds a flow.
const EVICTION_NS: u64 = 10_000_000;

/// The scenario.
#[derive(Debug)]
pub(crate) struct FirstPacket;

impl Scenario for FirstPacket {
    fn kind(&self) -> ScenarioKind {
        ScenarioKind::FirstPacket
    }

    fn cells(&self, asked: Asked, request: &Request) -> Vec<Options> {
        // kube-proxy writes services in the order of a Go map, another at each sync.
        let positions = match asked.transport {
            Transport::KubeProxy => &[Position::Uniform],
            _ => request.positions.as_slice(),
        };
        let paths = PacketPath::ALL.iter();
        let paths = paths.filter(|path| request.chosen.paths.contains(path));
        let mut cells = Vec::new();
        for path in paths {
            for protocol in &request.protocols {
                for by in request.asked_by(*protocol) {
                    for position in positions {
                        let mut options = Options::from([
                            (OptionKey::Position, position.name()),
                            (OptionKey::Protocol, protocol.name()),
                            // Always said here; whoever plans for another node says that instead.
                            (OptionKey::Family, Family::Ipv4.name()),
                            (OptionKey::Path, path.name()),
                            (OptionKey::Cache, request.chosen.cache.name()),
                        ]);
                        options.set_reached(by);
                        layout_options(&mut options, asked, request.large_cluster);
                        cells.push(options);
                    }
                }
            }
        }
        cells
    }

    /// A flow with its set-up and check, and a listing of counters before and after.
    fn expected_ns(&self, asked: Asked, options: &Options, request: &Request) -> u64 {
        let eviction = match options.cache().unwrap_or_default() {
            Cache::Cold => EVICTION_NS,
            Cache::Warm => 0,
        };
        let flows = u64::from(request.flows + (LEVEL_BATCHES as u32 + 1) * BATCH);
        let each = match asked.counted {
            true => FLOW_INSTRUCTIONS,
            false => FLOW_NS,
        };
        flows * (each + eviction) + path::expected_ns(asked) + asked.counters_ns()
    }

    fn run(&self, stay: &mut Stay<'_>, options: &Options, recorder: &mut Recorder) -> Result {
        let asked = options.position().zip(options.protocol());
        let (position, protocol) = asked.ok_or_else(|| {
            CellError::at(
                Stage::Measure,
                "a first packet needs a position and a protocol",
            )
        })?;
        first_packets(
            stay,
            Way::of(stay, options),
            (position, protocol),
            options,
            recorder,
        )
    }
}

/// Opens flows that way, to services at that position, and samples each latency behind its proofs.
pub(crate) fn first_packets(
    stay: &mut Stay<'_>,
    way: Way,
    (position, protocol): (Position, Protocol),
    options: &Options,
    recorder: &mut Recorder,
) -> Result {
    let services = position.services_of(stay.population, protocol, |s| way.is_answered(s));
    if services.is_empty() {
        let (by, from) = (way.by.words(), way.from);
        return Err(CellError::unsupported(format!(
            "the population has no {protocol} service that answers {from}, {by}"
        )));
    }
    recorder.fact("asked_services", services.len());
    let mut flows = Flows::to(services, way);
    if options.cache() == Some(Cache::Cold) {
        let eviction = Eviction::of(stay.lab.pinning.client);
        recorder.fact("evicted_bytes", eviction.bytes());
        flows.eviction = Some(eviction);
    }
    // A sync that is still under way writes the rules, and their counts, anew.
    if let Some(programmer) = stay.datapath.programmer() {
        programmer.rest()?;
    }
    let before = watch(stay, way.from)?;
    let warm_ups = 1 + stay.spec.protocols.len() as u32;
    let most = stay.spec.flows + warm_ups * WARM_UP_BATCHES * BATCH;
    check_room(stay, &before, most.into())?;
    let opened = stay.client.opened();
    let from_clients = {
        let _pinned = stay.pin()?;
        // Held for the whole cell: no flow of it pays for waking the server.
        let _spinning = stay.lab.server.spin();
        let first = meet_protocols(stay)?;
        let warm_up = flows.warm_up(stay)?;
        recorder.fact("warm_up_flows", first + warm_up);
        let (mut left, mut waited) = (stay.spec.flows, 0);
        while left > 0 {
            let size = left.min(BATCH);
            let_softirqs_end(stay);
            let before = waits()?;
            for reached in flows.batch(stay, size)? {
                recorder.sample(Metric::Latency, reached.latency_ns);
            }
            let own = waits()? - before;
            // Of fewer flows chance may let nearly each sleep twice.
            if stay.spec.counted && size == BATCH {
                check_waits(own, size)?;
            }
            waited += own;
            left -= size;
        }
        recorder.fact("client_waits", waited);
        first
    };
    let probes = u64::from(stay.client.opened() - opened);
    recorder.fact("probes", probes);
    // The node's own packets enter NAT at its output. Where nothing counts them there, each has a source that none had
    // before, and nobody but NAT could have led it to an endpoint.
    let crossing = match way.from {
        Source::Node => u64::from(from_clients),
        _ => probes,
    };
    let after = watch(stay, way.from)?;
    check_counters(stay, [&before, &after], crossing, recorder)?;
    let sent = crossed([before.sent, after.sent], probes - crossing)?;
    if let Some(sent) = sent {
        recorder.fact("nat_packets_sent", sent);
    }
    flows.check_spread()?;
    // A packet that is handed over comes from a pod's address, and nothing passes through caches before each.
    let ordinary = (way.from, way.by) == (Source::Pod, ReachedBy::ClusterIp);
    let handed = ordinary && !stay.lab.peers.newcomers && flows.eviction.is_none();
    match handed {
        true => path::of_first_packets(stay, recorder, |stay, place| {
            let at = (place * flows.services.len() as f64) as usize;
            let service = flows.services[at.min(flows.services.len() - 1)];
            way.to(service, &mut stay.rng)
        }),
        false => Ok(()),
    }
}

/// The most flows of a cell for which the node has ports, where cells of a stay send packets of its own; `None` where none does.
#[must_use]
pub fn most_flows_of_node(spec: &StaySpec) -> Option<u32> {
    let of_node = |protocol: &Protocol| {
        let cells = spec.cells.iter().map(|cell| &cell.options);
        let own = cells.filter(|options| {
            options.path() == PacketPath::Node && options.protocol() == Some(*protocol)
        });
        own.count() as u32
    };
    let cells = Protocol::ALL.iter().map(of_node).max()?;
    let ports = netns_harness::traffic::Flows::of(Source::Node, spec.family).left();
    let left = ports.saturating_sub(treatments::most_flows(&spec.mix, spec.imported.as_deref()));
    let each = left.checked_div(cells)?;
    Some(each.saturating_sub(WARM_UP_BATCHES * BATCH))
}

/// How often the calling thread has slept.
fn waits() -> Result<u64> {
    let usage = netns_sys::thread::usage();
    let usage = usage.map_err(|e| CellError::at(Stage::Measure, format!("getrusage(2): {e}")))?;
    Ok(usage.voluntary_switches)
}

/// On one CPU a flow sleeps at most about once, for the server's answer; on Linux 6.12 up to half of those by TCP once more. Where
/// each does, its first packet was left to somebody else, and the switches to and fro are counted with it.
fn check_waits(waits: u64, flows: u32) -> Result {
    match waits * 4 <= 7 * u64::from(flows) {
        true => Ok(()),
        false => Err(CellError::at(
            Stage::Measure,
            format!(
                "the client slept {waits} times in {flows} flows, twice in nearly each: its packets were not handled where they were sent"
            ),
        )),
    }
}

/// How a cell reaches services.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Way {
    mode: Mode,
    version: KubeProxyVersion,
    from: Source,
    by: ReachedBy,
}

impl Way {
    /// Past the rules: packets that are for no service, to endpoints as on a floor.
    pub(crate) fn past_rules(stay: &Stay<'_>, options: &Options) -> Self {
        let mode = Mode::BARE;
        Self {
            mode,
            ..Self::of(stay, options)
        }
    }

    fn of(stay: &Stay<'_>, options: &Options) -> Self {
        Self {
            mode: stay.spec.mode,
            version: stay.version(),
            from: match options.path() {
                PacketPath::Client => Source::Pod,
                PacketPath::Node => Source::Node,
            },
            by: options.reached(),
        }
    }

    /// What a floor does with flows, or rules with those of pods to ClusterIPs: who answers is known without their
    /// treatment, and none is masqueraded.
    fn is_plain(self) -> bool {
        let ordinary = (self.from, self.by) == (Source::Pod, ReachedBy::ClusterIp);
        ordinary || self.mode.is_floor()
    }

    /// The address of a service that is asked, if it has such a one; on a floor one of its endpoints.
    fn to(self, service: &Service, rng: &mut impl Rng) -> Option<Frontend> {
        if self.is_plain() {
            return Some(proof::destination(self.mode, service, rng));
        }
        let mut addresses = service.frontends();
        let (_, to) = addresses.find(|(by, _)| *by == self.by)?;
        Some(to)
    }

    fn treatment(self, service: &Service) -> Option<Treatment> {
        treatment(self.version, service, self.mode, self.from, self.by)
    }

    /// Whether a service has that address and answers there.
    fn is_answered(self, service: &Service) -> bool {
        if self.is_plain() {
            return !answering(service, self.mode).is_empty();
        }
        let mut addresses = service.frontends();
        let served = || matches!(self.treatment(service), Some(Treatment::Served { .. }));
        addresses.any(|(by, _)| by == self.by) && served()
    }

    /// Who may answer for a service.
    fn endpoints(self, service: &Service) -> Vec<Endpoint> {
        match self.treatment(service) {
            Some(Treatment::Served { shares, .. }) => shares.into_keys().collect(),
            _ => answering(service, self.mode).to_vec(),
        }
    }

    fn check(self, service: &Service, to: Frontend, reached: Reached) -> Result {
        let treatment = || self.treatment(service);
        match (!self.is_plain()).then(treatment).flatten() {
            Some(treatment) => proof::check_treated(&treatment, to, reached),
            None => proof::check_reached(self.mode, service, to, reached),
        }
    }
}

/// Flows to the services of a position.
struct Flows<'a> {
    services: Vec<&'a Service>,
    way: Way,
    /// Who answered for the service at a fixed position.
    counts: BTreeMap<Endpoint, u64>,
    /// Where caches are emptied before each flow.
    eviction: Option<Eviction>,
}

impl<'a> Flows<'a> {
    const fn to(services: Vec<&'a Service>, way: Way) -> Self {
        Self {
            services,
            way,
            counts: BTreeMap::new(),
            eviction: None,
        }
    }

    /// Opens `size` flows one after the other; who answers is checked for each.
    fn batch(&mut self, stay: &mut Stay<'_>, size: u32) -> Result<Vec<Reached>> {
        let (way, services) = (self.way, &self.services);
        // One of each of as many equal parts of the list as there are flows: batches of a list that is walked would
        // else differ by where their services happen to stand.
        let part = services.len() as f64 / f64::from(size);
        let mut chosen: Vec<&Service> = (0..size)
            .map(|nth| {
                let at = (f64::from(nth) + stay.rng.random::<f64>()) * part;
                services[(at as usize).min(services.len() - 1)]
            })
            .collect();
        chosen.shuffle(&mut stay.rng);
        let asks: Vec<Ask> = chosen
            .iter()
            .filter_map(|s| {
                let to = way.to(s, &mut stay.rng)?;
                Some(Ask { from: way.from, to })
            })
            .collect();
        let answers = stay.client.probe_each(&asks, || {
            if let Some(eviction) = &mut self.eviction {
                eviction.evict();
            }
        })?;
        for ((service, ask), reached) in chosen.iter().zip(&asks).zip(&answers) {
            way.check(service, ask.to, *reached)?;
            *self.counts.entry(reached.endpoint).or_default() += 1;
        }
        Ok(answers)
    }

    /// Until batch medians show no slope. Returns the flows it took.
    fn warm_up(&mut self, stay: &mut Stay<'_>) -> Result<u32> {
        let mut medians = Vec::new();
        for done in 1..=WARM_UP_BATCHES {
            let_softirqs_end(stay);
            let answers = self.batch(stay, BATCH)?;
            let latencies: Vec<f64> = answers.iter().map(|r| r.latency_ns as f64).collect();
            medians.push(median(&latencies));
            if is_level(&medians) {
                return Ok(done * BATCH);
            }
        }
        Ok(WARM_UP_BATCHES * BATCH)
    }

    /// Flows of every measured cell are a spread test too.
    fn check_spread(&self) -> Result {
        let [service] = self.services[..] else {
            return Ok(());
        };
        // The node is one client: who remembers it sends it where it was.
        if self.way.from == Source::Node && service.exposure.affinity_s.is_some() {
            return Ok(());
        }
        let count = |e: Endpoint| (e, self.counts.get(&e).copied().unwrap_or(0));
        let answering = self.way.endpoints(service).into_iter();
        let counts: BTreeMap<Endpoint, u64> = answering.map(count).collect();
        match proof::evenness(counts.values().copied()) {
            p if p < proof::SPREAD_P => Err(proof::uneven(service, &counts, p)),
            _ => Ok(()),
        }
    }
}

/// Before the first cell of a stay: flows of pods to ClusterIPs of every protocol, until each shows no slope. The first thousand connections
/// of a lab cost up to a third more than later ones, whichever position or protocol is asked first. Returns the flows
/// it took.
fn meet_protocols(stay: &mut Stay<'_>) -> Result<u32> {
    let mut flows = 0;
    if std::mem::replace(&mut stay.met, true) {
        return Ok(flows);
    }
    let way = Way::of(stay, &Options::new());
    for protocol in &stay.spec.protocols {
        let services = Position::Uniform.services(stay.population, *protocol, way.mode);
        if !services.is_empty() {
            flows += Flows::to(services, way).warm_up(stay)?;
        }
    }
    Ok(flows)
}

/// Whether the last batches lie close together and do not all fall: two that agree may be a plateau before the fall.
fn is_level(medians: &[f64]) -> bool {
    let Some(last) = medians.last_chunk::<LEVEL_BATCHES>() else {
        return false;
    };
    let most = last.iter().copied().fold(f64::MIN, f64::max);
    let least = last.iter().copied().fold(f64::MAX, f64::min);
    most <= (1.0 + LEVEL) * least && !last.is_sorted_by(|a, b| a > b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flows_that_sleep_for_more_than_their_answer_are_no_figure() {
        assert!(check_waits(76, 50).is_ok(), "the most of Linux 6.12");
        let why = check_waits(100, 50).unwrap_err().to_string();
        assert!(why.contains("slept 100 times in 50 flows"), "{why}");
    }

    #[test]
    fn a_plateau_before_a_fall_ends_no_warm_up() {
        // The first TCP cell of a stay in mode none, by 25 flows, microseconds.
        let seen = [146.0, 144.0, 145.0, 482.0, 114.0, 107.0, 109.0, 106.0];
        let ends = (1..=seen.len()).find(|n| is_level(&seen[..*n]));
        assert_eq!(ends, Some(8));
    }

    #[test]
    fn what_still_falls_is_not_level_however_slowly() {
        assert!(!is_level(&[104.0, 103.0, 102.0, 101.0]));
        assert!(is_level(&[102.0, 103.0, 101.0, 102.0]));
        assert!(!is_level(&[100.0, 100.0, 100.0]), "too few");
    }
}
