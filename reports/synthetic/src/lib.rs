//! Plausible results without a kernel: for tests, benches and for looking at a page. The numbers follow
//! simple laws with log-normal noise between stays and inside them; they are nobody's measurement.
//!
//! ```
//! use synthetic::{Shape, run};
//!
//! let made = run(&Shape { blocks: 6, sizes: vec![100], ..Shape::default() });
//! assert!(reports::summarise(&made).cells.iter().any(|row| row.median.is_some()));
//! ```

use std::collections::BTreeMap;

use rand::{Rng, SeedableRng};
use rand_distr::{Distribution, Exp, LogNormal};
use rand_xoshiro::Xoshiro256PlusPlus;
use schema::{
    Accelerator, Cache, CellKey, CellRecord, EndRecord, Engine, Family, Metric, Mix, Mode,
    NodeKind, NotRun, OptionKey, Options, Outcome, Position, Protocol, ReachedBy, SandboxKind,
    ScenarioKind, Series, Stack, Stage, Transport,
};

use reports::Run;

mod header;
mod laws;
mod sides;

pub use laws::Turned;
use laws::Way;
pub use sides::Sides;

/// What to generate.
#[derive(Debug, Clone)]
pub struct Shape {
    /// Seed of all noise.
    pub seed: u64,
    /// Repetition blocks: stays of each (mode, N).
    pub blocks: u32,
    /// Population sizes.
    pub sizes: Vec<u32>,
    /// First-packet samples a stay.
    pub samples: usize,
    /// Standard deviation, as a share, of what differs between stays.
    pub stay_noise: f64,
    /// Text put wherever a user or a kernel could have put text.
    pub label: String,
    /// Whether some cells fail, time out or are not run.
    pub mishaps: bool,
    /// Engines of mode ipset.
    pub engines: Vec<Engine>,
    /// Orders in which the two times of updates put the modes.
    pub turned: Turned,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            seed: 1,
            blocks: 12,
            sizes: vec![100, 300, 1_000, 3_000, 10_000],
            samples: 300,
            stay_noise: 0.04,
            label: "synthetic".to_owned(),
            mishaps: true,
            engines: vec![Engine::Legacy],
            turned: Turned::default(),
        }
    }
}

/// The modes of an imagined run. The imaginary host's kernel has no IPVS, and the mode was not asked for; a new mode
/// is not imagined until somebody writes its laws.
pub(crate) const IMAGINED: [Mode; 6] = [
    Mode::None,
    Mode::Conntrack,
    Mode::IptablesLegacy,
    Mode::IptablesNft,
    Mode::Ipset,
    Mode::Nftables,
];

/// A run of that shape.
#[must_use]
pub fn run(shape: &Shape) -> Run {
    let mut maker = Maker {
        shape,
        rng: Xoshiro256PlusPlus::seed_from_u64(shape.seed),
        cells: Vec::new(),
        stay: 0,
    };
    for block in 0..shape.blocks {
        for &services in &shape.sizes {
            for mode in IMAGINED {
                maker.stays(mode, services, block);
            }
        }
    }
    let cells = maker.cells;
    Run {
        header: header::header(shape, cells.len() as u64),
        cells,
        end: Some(EndRecord {
            ended: if shape.mishaps { "budget" } else { "complete" }.to_owned(),
            elapsed_ns: 301_500_000_000,
            runner_rss_bytes: 41_000_000,
        }),
        warnings: Vec::new(),
    }
}

/// Puts a run's cells behind those of others, its stays after theirs.
fn append(all: &mut Option<Run>, mut one: Run) {
    match all {
        None => *all = Some(one),
        Some(run) => {
            let stays = run.cells.len() as u32;
            one.cells.iter_mut().for_each(|cell| cell.stay += stays);
            run.cells.append(&mut one.cells);
            run.header.planned_cells += one.header.planned_cells;
            run.header.environments.append(&mut one.header.environments);
        }
    }
}

/// A run of that shape whose noise is the `index`-th of its own.
fn another(shape: &Shape, index: usize) -> Run {
    run(&Shape {
        seed: shape.seed + index as u64,
        ..shape.clone()
    })
}

/// Makes what was measured so many times as much.
fn multiply(cell: &mut CellRecord, by: f64) {
    let values = cell.series.iter_mut().flat_map(|series| &mut series.values);
    values.for_each(|value| *value = (*value * by).round());
}

/// A run of that shape in guests of these kernels ("6.1"), each with noise of its own.
#[must_use]
pub fn run_on(shape: &Shape, kernels: &[&str]) -> Run {
    let mut all: Option<Run> = None;
    for (index, kernel) in kernels.iter().enumerate() {
        let mut one = another(shape, index);
        header::in_guest(&mut one.header, kernel);
        let name = format!("guest-{kernel}");
        for cell in &mut one.cells {
            cell.key.environment.clone_from(&name);
        }
        append(&mut all, one);
    }
    all.unwrap_or_else(|| run(shape))
}

/// How much dearer everything is made in [`run_of`] with IPv6, and on a dual-stack node.
pub const IPV6: f64 = 1.25;
/// See [`IPV6`].
pub const DUAL: f64 = 1.5;

/// A run of that shape on nodes of these kinds, each with noise of its own: what is measured of IPv6 is [`IPV6`] times as
/// much, on a dual-stack node [`DUAL`] times.
#[must_use]
pub fn run_of(shape: &Shape, nodes: &[NodeKind]) -> Run {
    let mut all: Option<Run> = None;
    for (index, node) in nodes.iter().enumerate() {
        let mut one = another(shape, index);
        let of_family = if node.family == Family::Ipv6 {
            IPV6
        } else {
            1.0
        };
        let of_stack = if node.stack == Stack::Dual { DUAL } else { 1.0 };
        for cell in &mut one.cells {
            cell.key.options.set_node(*node);
            multiply(cell, of_family * of_stack);
        }
        append(&mut all, one);
    }
    all.unwrap_or_else(|| run(shape))
}

/// How much dearer everything is made in [`run_of_types`] where services are no ClusterIPs alone, and first packets to an
/// address that is none.
pub const TYPED: f64 = 1.2;
/// See [`TYPED`].
pub const REACHED: f64 = 1.75;

/// A run of that shape of services of these kinds, each with noise of its own, by every address that they are asked by: what
/// is measured of others than ClusterIPs is [`TYPED`] times as much, of packets to another address [`REACHED`] times that.
#[must_use]
pub fn run_of_types(shape: &Shape, mixes: &[Mix]) -> Run {
    let mut all: Option<Run> = None;
    for (index, mix) in mixes.iter().enumerate() {
        let mut one = another(shape, index);
        let mut reached = Vec::new();
        // A floor has no services, and is measured once.
        one.cells
            .retain(|cell| index == 0 || !cell.key.mode.is_floor());
        for cell in one
            .cells
            .iter_mut()
            .filter(|cell| !cell.key.mode.is_floor())
        {
            cell.key.options.set_mix(mix);
            multiply(cell, if mix.is_ordinary() { 1.0 } else { TYPED });
            let packets = cell.key.scenario == ScenarioKind::FirstPacket;
            let by = mix.asked_by().into_iter().filter(|_| packets);
            for by in by.filter(|by| *by != ReachedBy::default()) {
                let mut other = cell.clone();
                other.key.options.set_reached(by);
                multiply(&mut other, REACHED);
                reached.push(other);
            }
        }
        one.cells.append(&mut reached);
        one.header.planned_cells = one.cells.len() as u64;
        append(&mut all, one);
    }
    all.unwrap_or_else(|| run(shape))
}

/// Endpoints in all, above which kube-proxy writes rules without comments.
const LARGE_CLUSTER: u32 = 1_000;

/// As [`run_on`], with services of so many endpoints each, each number with noise of its own; rules have comments where
/// kube-proxy would write them.
#[must_use]
pub fn run_over_endpoints(shape: &Shape, kernels: &[&str], numbers: &[u32]) -> Run {
    let mut all: Option<Run> = None;
    for (index, endpoints) in (0..).zip(numbers) {
        let seed = shape.seed + 100 * index;
        let shape = Shape {
            seed,
            ..shape.clone()
        };
        let mut one = run_on(&shape, kernels);
        for cell in &mut one.cells {
            let key = &mut cell.key;
            key.endpoints = *endpoints;
            key.options.remove(OptionKey::LargeCluster);
            if laws::has_comments(key.mode) {
                let large = key.services * endpoints > LARGE_CLUSTER;
                let large = if large { "on" } else { "off" };
                key.options.set(OptionKey::LargeCluster, large);
            }
            for series in &mut cell.series {
                let by = laws::by_endpoints(key.mode, series.metric, *endpoints);
                let values = series.values.iter_mut();
                values.for_each(|value| *value = (*value * by).round());
            }
        }
        append(&mut all, one);
    }
    all.unwrap_or_else(|| run_on(shape, kernels))
}

/// Moves a run into guests that QEMU translates; with `-icount` its times are executed instructions, and each block has
/// a seed of its own.
pub fn translate(run: &mut Run, accel: Accelerator) {
    for facts in run.header.environments.values_mut() {
        (facts.sandbox, facts.accel) = (SandboxKind::Guest, accel);
    }
    if accel != Accelerator::TcgIcount {
        return;
    }
    for cell in &mut run.cells {
        cell.facts
            .insert("seed".to_owned(), (100 + cell.block).to_string());
        for series in &mut cell.series {
            series.unit = series.unit.counted();
        }
    }
}

/// The lines of `results.jsonl` of a run.
///
/// # Errors
/// Never for what [`run`] made.
pub fn lines(run: &Run) -> serde_json::Result<String> {
    use schema::Record;
    let mut text = serde_json::to_string(&Record::Header(run.header.clone()))? + "\n";
    for cell in &run.cells {
        text += &(serde_json::to_string(&Record::Cell(cell.clone()))? + "\n");
    }
    if let Some(end) = &run.end {
        text += &(serde_json::to_string(&Record::End(end.clone()))? + "\n");
    }
    Ok(text)
}

/// Positions, and which share of the services is passed on the way.
const POSITIONS: [(Position, f64); 4] = [
    (Position::First, 0.0),
    (Position::Middle, 0.5),
    (Position::Last, 1.0),
    (Position::Uniform, 0.5),
];

struct Maker<'a> {
    shape: &'a Shape,
    rng: Xoshiro256PlusPlus,
    cells: Vec<CellRecord>,
    stay: u32,
}

impl Maker<'_> {
    /// Every stay of a mode at a size in a block.
    fn stays(&mut self, mode: Mode, services: u32, block: u32) {
        let ways = laws::ways(mode, &self.shape.engines);
        if ways.is_empty() {
            self.first_packets((mode, None), services, block, "");
        }
        if mode == Mode::None {
            self.first_packets((mode, None), services, block, "control");
        }
        for (index, way) in ways.into_iter().enumerate() {
            let series = (mode, way);
            if index == 0 || way.engine.is_some() {
                self.first_packets((mode, way.engine), services, block, "");
                self.rule_count((mode, way.engine), services, block);
                self.memory(series, services, block);
            }
            for chunk in laws::chunks(mode) {
                if *chunk == "all" || services > 500 {
                    self.install(series, services, block, chunk);
                }
            }
            for scenario in [
                ScenarioKind::Resync,
                ScenarioKind::ServiceAdd,
                ScenarioKind::ServiceRemove,
                ScenarioKind::EndpointChurn,
            ] {
                self.update(scenario, series, services, block);
            }
            self.teardown(series, services, block);
        }
    }

    fn first_packets(
        &mut self,
        (mode, engine): (Mode, Option<Engine>),
        services: u32,
        block: u32,
        variant: &str,
    ) {
        let stay = self.next_stay();
        let lab = self.noise(self.shape.stay_noise);
        for protocol in Protocol::ALL {
            for (position, passed) in POSITIONS {
                let udp = if *protocol == Protocol::Udp {
                    24_000.0
                } else {
                    0.0
                };
                let base = lab * (laws::first_packet_ns(mode, passed, f64::from(services)) + udp);
                let tail = Exp::new(1.0 / (0.08 * base)).ok();
                let values = (0..self.shape.samples)
                    .map(|_| {
                        let late = tail.map_or(0.0, |tail| tail.sample(&mut self.rng));
                        (base * 0.94 * self.noise(0.03) + late).round()
                    })
                    .collect();
                let options = [
                    (OptionKey::Position, position.name()),
                    (OptionKey::Protocol, protocol.name()),
                    (OptionKey::Family, Family::Ipv4.name()),
                    (OptionKey::Path, "client"),
                    (OptionKey::Cache, Cache::Warm.name()),
                ];
                let mut key = key(mode, ScenarioKind::FirstPacket, services, engine, &options);
                variant.clone_into(&mut key.variant);
                let outcome = self.mishap(&key, block);
                self.push(key, (block, stay), outcome, vec![(Metric::Latency, values)]);
            }
        }
    }

    fn install(&mut self, (mode, way): (Mode, Way), services: u32, block: u32, chunk: &str) {
        let stay = self.next_stay();
        let n = f64::from(services);
        let time = laws::install_ns(mode, way, chunk, n) * self.noise(self.shape.stay_noise);
        let options = [
            (OptionKey::Transport, way.transport.name()),
            (OptionKey::Chunk, chunk),
            (OptionKey::LargeCluster, "on"),
        ];
        let key = key(
            mode,
            ScenarioKind::ColdInstall,
            services,
            way.engine,
            &options,
        );
        let outcome = if self.shape.mishaps && time > 60e9 {
            Outcome::TimedOut {
                after_ns: Some(60_000_000_000),
            }
        } else {
            self.mishap(&key, block)
        };
        let netlink = way.transport == Transport::Netlink;
        let one = laws::update(ScenarioKind::ServiceAdd, mode, way, n);
        let cost = laws::Update {
            time,
            operations: 7.0 * n + 2.0,
            messages: if netlink { 10.0 * n } else { 0.0 },
            bytes: if netlink { 2_600.0 * n } else { 640.0 * n },
            ..one
        };
        let series = costs(&cost, &[time.round()]);
        self.push(key, (block, stay), outcome, series);
    }

    fn update(
        &mut self,
        scenario: ScenarioKind,
        (mode, way): (Mode, Way),
        services: u32,
        block: u32,
    ) {
        let stay = self.next_stay();
        let n = f64::from(services);
        let mut cost = laws::update(scenario, mode, way, n);
        let turned = self.shape.turned;
        let sync = cost
            .read_back
            .map(|more| turned.sync(mode, cost.time + more));
        cost.time = turned.update(mode, cost.time);
        let lab = self.noise(self.shape.stay_noise);
        let mut timed = |count: u32, time: f64| -> Vec<f64> {
            (0..count)
                .map(|_| (lab * time * self.noise(0.08)).round())
                .collect()
        };
        let mut series = costs(&cost, &timed(4, cost.time));
        if let Some(sync) = sync {
            series.push((Metric::SyncTime, timed(2, sync)));
        }
        if way.transport == Transport::Netlink {
            series.push((Metric::ReleaseTime, timed(4, laws::RELEASE_NS)));
        }
        series.extend(laws::tool_rss(way, n).map(|rss| (Metric::ToolRss, vec![rss.round()])));
        let churn = (scenario == ScenarioKind::EndpointChurn).then_some((OptionKey::Churn, "10"));
        let options: Vec<(OptionKey, &str)> = [
            (OptionKey::Transport, way.transport.name()),
            (OptionKey::LargeCluster, "on"),
        ]
        .into_iter()
        .chain(churn)
        .collect();
        let key = key(mode, scenario, services, way.engine, &options);
        let outcome = self.mishap(&key, block);
        self.push(key, (block, stay), outcome, series);
    }

    fn teardown(&mut self, (mode, way): (Mode, Way), services: u32, block: u32) {
        let stay = self.next_stay();
        let time = laws::teardown_ns(mode, f64::from(services)) * self.noise(0.1);
        let options = [
            (OptionKey::Transport, way.transport.name()),
            (OptionKey::LargeCluster, "on"),
        ];
        let key = key(mode, ScenarioKind::Teardown, services, way.engine, &options);
        let outcome = self.mishap(&key, block);
        let series = vec![(Metric::UpdateTime, vec![time.round()])];
        self.push(key, (block, stay), outcome, series);
    }

    /// Pairs of install and removal in one stay; the host moves each by tens of kilobytes.
    fn memory(&mut self, (mode, way): (Mode, Way), services: u32, block: u32) {
        let stay = self.next_stay();
        let (held, peak, seen) = laws::memory(mode, f64::from(services));
        let mut pairs = |bytes: f64, host: f64| -> Vec<f64> {
            (0..5)
                .map(|_| {
                    let others = host * (self.noise(0.5) - 1.0);
                    (bytes * self.noise(0.004) + others).round()
                })
                .collect()
        };
        let mut series = vec![
            (Metric::KernelMemory, pairs(held, 60_000.0)),
            (Metric::KernelMemoryPeak, pairs(peak, 90_000.0)),
            (Metric::CgroupMemory, pairs(seen, 0.0)),
        ];
        let rss = laws::tool_rss(way, f64::from(services));
        series.extend(rss.map(|rss| (Metric::ToolRss, vec![rss.round()])));
        let options = [
            (OptionKey::Transport, way.transport.name()),
            (OptionKey::LargeCluster, "on"),
        ];
        let key = key(mode, ScenarioKind::Memory, services, way.engine, &options);
        let outcome = self.mishap(&key, block);
        self.push(key, (block, stay), outcome, series);
    }

    fn rule_count(&mut self, (mode, engine): (Mode, Option<Engine>), services: u32, block: u32) {
        let stay = self.next_stay();
        let counted = laws::counts(mode, f64::from(services));
        let metrics = [
            Metric::Rules,
            Metric::Chains,
            Metric::Sets,
            Metric::Elements,
        ];
        let series = metrics.into_iter().zip(counted.map(|c| vec![c])).collect();
        let key = key(mode, ScenarioKind::RuleCount, services, engine, &[]);
        let outcome = self.mishap(&key, block);
        self.push(key, (block, stay), outcome, series);
    }

    /// The outcomes that a real run also has: a proof that failed once, a tool that is missing, a budget
    /// that ended.
    fn mishap(&self, key: &CellKey, block: u32) -> Outcome {
        let nft = key.options.transport() == Some(Transport::Nft);
        match key.scenario {
            _ if !self.shape.mishaps => Outcome::Measured,
            ScenarioKind::ServiceAdd if nft => Outcome::Unsupported {
                reason: format!("nft is not installed ({})", self.shape.label),
                remedy: Some("sudo apt-get install -y nftables".to_owned()),
            },
            ScenarioKind::FirstPacket
                if key.mode == Mode::IptablesLegacy && key.services == 300 && block == 0 =>
            {
                Outcome::Failed {
                    stage: Stage::Proof,
                    reason: format!(
                        "1 difference(s): 10.96.3.7:80/tcp is missing ({})",
                        self.shape.label
                    ),
                }
            }
            _ if block > 0 && block + 1 == self.shape.blocks && key.services >= 3_000 => {
                Outcome::NotRun {
                    why: NotRun::Budget,
                }
            }
            _ => Outcome::Measured,
        }
    }

    fn push(
        &mut self,
        key: CellKey,
        (block, stay): (u32, u32),
        outcome: Outcome,
        series: Vec<(Metric, Vec<f64>)>,
    ) {
        let facts = facts(&key, &series);
        let measured = outcome == Outcome::Measured;
        let series = series
            .into_iter()
            .filter(|_| measured)
            .map(|(metric, values)| Series {
                metric,
                unit: metric.unit(),
                values,
                as_histogram: false,
            })
            .collect();
        self.cells.push(CellRecord {
            key,
            block,
            stay,
            started_ns: u64::from(stay) * 1_000_000,
            elapsed_ns: 900_000_000,
            steal_ns: Some(1_000_000),
            run_delay_ns: Some(1_000),
            disturbed: Vec::new(),
            outcome,
            series,
            facts,
        });
    }

    fn next_stay(&mut self) -> u32 {
        self.stay += 1;
        self.stay - 1
    }

    /// A factor around 1.
    fn noise(&mut self, deviation: f64) -> f64 {
        LogNormal::new(0.0, deviation)
            .map_or(1.0, |noise| noise.sample(&mut self.rng as &mut dyn Rng))
    }
}

/// A cell of two endpoints a service on the only environment.
fn key(
    mode: Mode,
    scenario: ScenarioKind,
    services: u32,
    engine: Option<Engine>,
    options: &[(OptionKey, &str)],
) -> CellKey {
    let engine = engine.map(|engine| (OptionKey::Engine, engine.name()));
    let options: Options = options.iter().copied().chain(engine).collect();
    CellKey {
        mode,
        scenario,
        services,
        endpoints: 2,
        environment: "host".to_owned(),
        variant: String::new(),
        options,
    }
}

/// The samples of an update that was made as often as there are times.
fn costs(cost: &laws::Update, times: &[f64]) -> Vec<(Metric, Vec<f64>)> {
    let shares = |share: f64| times.iter().map(|t| (0.97 * share * t).round()).collect();
    let same = |value: f64| vec![value.round(); times.len()];
    vec![
        (Metric::UpdateTime, times.to_vec()),
        (Metric::UserTime, shares(cost.user)),
        (Metric::SystemTime, shares(1.0 - cost.user)),
        (Metric::CpuTime, shares(1.0)),
        (Metric::Operations, same(cost.operations)),
        (Metric::Messages, same(cost.messages)),
        (Metric::BytesSent, same(cost.bytes)),
    ]
}

/// What a real cell notes of itself.
fn facts(key: &CellKey, series: &[(Metric, Vec<f64>)]) -> BTreeMap<String, String> {
    let mut facts = BTreeMap::from([("probes".to_owned(), "256".to_owned())]);
    let mut fact = |name: &str, value: &str| {
        facts.insert(name.to_owned(), value.to_owned());
    };
    if series.iter().any(|(metric, _)| *metric == Metric::SyncTime) {
        let nftables = key.mode == Mode::Nftables;
        fact("kube_proxy_version", "1.34");
        fact(
            "kube_proxy_transport",
            if nftables { "nft" } else { "restore" },
        );
    }
    if key.scenario == ScenarioKind::Memory {
        let held = series.iter().find(|(m, _)| *m == Metric::KernelMemory);
        let held = held.and_then(|(_, values)| values.first()).copied();
        for (name, share) in [("slab", 0.55), ("vmalloc", 0.4), ("percpu", 0.05)] {
            let part = (share * held.unwrap_or_default()).round();
            fact(&format!("kernel_memory_{name}"), &part.to_string());
        }
        fact("percpu_cpus", "2");
        fact("noisy", "host kernel; other processes move these figures");
    }
    facts
}
