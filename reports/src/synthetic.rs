//! Plausible results without a kernel: for tests, benches and for looking at a page. The numbers follow
//! simple laws with log-normal noise between stays and inside them; they are nobody's measurement.

use std::collections::BTreeMap;

use rand::{Rng, SeedableRng};
use rand_distr::{Distribution, Exp, LogNormal};
use rand_xoshiro::Xoshiro256PlusPlus;
use schema::{
    Accelerator, CellKey, CellRecord, EndRecord, Environment, Header, Metric, Mode, Options,
    Outcome, Samples, SandboxKind, ScenarioKind, Series, Stage,
};

use crate::load::Run;

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
        }
    }
}

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
            for &mode in Mode::ALL {
                maker.stays(mode, services, block);
            }
        }
    }
    let cells = maker.cells;
    Run {
        header: header(shape, cells.len() as u64),
        cells,
        end: Some(EndRecord {
            ended: if shape.mishaps { "budget" } else { "complete" }.to_owned(),
            elapsed_ns: 301_500_000_000,
            runner_rss_bytes: 41_000_000,
        }),
        warnings: Vec::new(),
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

fn header(shape: &Shape, cells: u64) -> Header {
    let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    };
    let environment = Environment {
        sandbox: SandboxKind::Netns,
        accel: Accelerator::None,
        kernel: "6.18.0".to_owned(),
        kernel_build: "#1 SMP PREEMPT_DYNAMIC".to_owned(),
        machine: "x86_64".to_owned(),
        cpu: format!("Imaginary CPU ({})", shape.label),
        cores: 2,
        clocksource: "tsc".to_owned(),
        clock_step_ns: 20,
        pinning: "client 0, servers 1".to_owned(),
        mitigations: map(&[
            ("spectre_v2", "Mitigation: Retpolines"),
            ("meltdown", "Not affected"),
        ]),
        config: map(&[("preempt", "voluntary"), ("hz", "250")]),
        sysctls: map(&[
            ("node:net.ipv4.ip_forward", "1"),
            ("node:net.netfilter.nf_conntrack_checksum", "0"),
        ]),
        tools: map(&[
            ("iptables", "1.8.9"),
            ("nft", "1.0.6"),
            ("libnftnl", "1.2.4"),
        ]),
    };
    Header {
        schema_version: schema::SCHEMA_VERSION,
        started: "2026-11-22T20:00:00Z".to_owned(),
        tool_version: "0.1.0".to_owned(),
        revision: "0123456789ab".to_owned(),
        binary: String::new(),
        command_line: ["bench-runner", "--services", "10000", "--sandbox", "netns"]
            .map(str::to_owned)
            .to_vec(),
        arguments: BTreeMap::from([("out".to_owned(), shape.label.as_str().into())]),
        seed: 42,
        planned_cells: cells + if shape.mishaps { 3 } else { 0 },
        planned_blocks: shape.blocks,
        planned_time_ns: 300_000_000_000,
        environments: BTreeMap::from([("host".to_owned(), environment)]),
    }
}

struct Maker<'a> {
    shape: &'a Shape,
    rng: Xoshiro256PlusPlus,
    cells: Vec<CellRecord>,
    stay: u32,
}

impl Maker<'_> {
    /// Every stay of a mode at a size in a block.
    fn stays(&mut self, mode: Mode, services: u32, block: u32) {
        self.first_packets(mode, services, block, "");
        if mode == Mode::None {
            self.first_packets(mode, services, block, "control");
        }
        let installs: &[(&str, &str)] = match mode {
            Mode::IptablesLegacy => &[("restore", "all")],
            Mode::Nftables => &[("netlink", "all"), ("netlink", "500"), ("nft", "all")],
            _ => &[],
        };
        for (transport, chunk) in installs {
            self.install(mode, services, block, transport, chunk);
            if *chunk == "all" {
                self.add(mode, services, block, transport);
            }
        }
    }

    fn first_packets(&mut self, mode: Mode, services: u32, block: u32, variant: &str) {
        let stay = self.next_stay();
        let lab = self.noise(self.shape.stay_noise);
        for protocol in ["tcp", "udp"] {
            for (position, passed) in [("first", 0.0), ("middle", 0.5), ("last", 1.0)] {
                let base = match mode {
                    Mode::None => 23_000.0,
                    Mode::Conntrack => 33_000.0,
                    Mode::IptablesLegacy => 34_000.0 + 5.9 * passed * f64::from(services),
                    Mode::IptablesNft => 35_000.0 + 21.0 * passed * f64::from(services),
                    Mode::Ipset => 36_500.0,
                    Mode::Nftables => 35_500.0,
                };
                let base = lab
                    * if protocol == "udp" {
                        base + 24_000.0
                    } else {
                        base
                    };
                let tail = Exp::new(1.0 / (0.08 * base)).ok();
                let values = (0..self.shape.samples)
                    .map(|_| {
                        let late = tail.map_or(0.0, |tail| tail.sample(&mut self.rng));
                        (base * 0.94 * self.noise(0.03) + late).round()
                    })
                    .collect();
                let key = self.key(
                    mode,
                    ScenarioKind::FirstPacket,
                    services,
                    variant,
                    &[
                        ("position", position),
                        ("protocol", protocol),
                        ("family", "ipv4"),
                        ("path", "client"),
                    ],
                );
                let outcome = self.mishap(&key, block);
                self.push(key, block, stay, outcome, vec![(Metric::Latency, values)]);
            }
        }
    }

    fn install(&mut self, mode: Mode, services: u32, block: u32, transport: &str, chunk: &str) {
        let stay = self.next_stay();
        let n = f64::from(services);
        let per_tool = if transport == "nft" { 1.6 } else { 1.0 };
        let time = per_tool
            * match (mode, chunk) {
                (Mode::Nftables, "all") => 1.5e5 * n + 620.0 * n * n,
                (Mode::Nftables, _) => 1.7e5 * n + 60.0 * n * n,
                _ => 6.0e7 + 7.0e4 * n,
            }
            * self.noise(self.shape.stay_noise);
        let key = self.key(
            mode,
            ScenarioKind::ColdInstall,
            services,
            "",
            &[
                ("transport", transport),
                ("chunk", chunk),
                ("large_cluster", "on"),
            ],
        );
        let outcome = if time > 60e9 {
            Outcome::TimedOut {
                after_ns: Some(60_000_000_000),
            }
        } else {
            self.mishap(&key, block)
        };
        let bytes = if transport == "netlink" {
            2_600.0 * n
        } else {
            640.0 * n
        };
        let series = vec![
            (Metric::UpdateTime, vec![time.round()]),
            (Metric::CpuTime, vec![(time * 0.97).round()]),
            (Metric::Operations, vec![7.0 * n + 2.0]),
            (Metric::BytesSent, vec![bytes]),
        ];
        self.push(key, block, stay, outcome, series);
    }

    fn add(&mut self, mode: Mode, services: u32, block: u32, transport: &str) {
        let stay = self.next_stay();
        let n = f64::from(services);
        let lab = self.noise(self.shape.stay_noise);
        let (base, bytes, messages) = match (mode, transport) {
            (Mode::Nftables, "netlink") => (4.0e5 + 8.0 * n, 3_104.0, 12.0),
            (Mode::Nftables, _) => (9.0e6 + 1.6e4 * n, 910.0, 0.0),
            _ => (1.5e7 + 4.6e4 * n, 540.0 + 131.0 * n, 0.0),
        };
        let times = (0..3)
            .map(|_| (lab * base * self.noise(0.08)).round())
            .collect();
        let key = self.key(
            mode,
            ScenarioKind::ServiceAdd,
            services,
            "",
            &[("transport", transport), ("large_cluster", "on")],
        );
        let outcome = self.mishap(&key, block);
        let series = vec![
            (Metric::UpdateTime, times),
            (Metric::Operations, vec![9.0; 3]),
            (Metric::Messages, vec![messages; 3]),
            (Metric::BytesSent, vec![bytes; 3]),
        ];
        self.push(key, block, stay, outcome, series);
    }

    fn key(
        &self,
        mode: Mode,
        scenario: ScenarioKind,
        services: u32,
        variant: &str,
        options: &[(&str, &str)],
    ) -> CellKey {
        let options: Options = options
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        CellKey {
            mode,
            scenario,
            services,
            endpoints: 2,
            environment: "host".to_owned(),
            variant: variant.to_owned(),
            options,
        }
    }

    /// The outcomes that a real run also has: a proof that failed once, a tool that is missing, a budget
    /// that ended.
    fn mishap(&self, key: &CellKey, block: u32) -> Outcome {
        let nft = key
            .options
            .get("transport")
            .is_some_and(|transport| transport == "nft");
        match key.scenario {
            _ if !self.shape.mishaps => Outcome::Measured,
            ScenarioKind::ServiceAdd if nft => Outcome::Unsupported {
                reason: format!(
                    "nft is not installed ({}): apt-get install nftables",
                    self.shape.label
                ),
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
                    reason: "budget".to_owned(),
                }
            }
            _ => Outcome::Measured,
        }
    }

    fn push(
        &mut self,
        key: CellKey,
        block: u32,
        stay: u32,
        outcome: Outcome,
        series: Vec<(Metric, Vec<f64>)>,
    ) {
        let measured = outcome == Outcome::Measured;
        let series = series
            .into_iter()
            .filter(|_| measured)
            .map(|(metric, values)| Series {
                metric,
                unit: metric.unit(),
                samples: Samples::Values(values),
            })
            .collect();
        self.cells.push(CellRecord {
            key,
            block,
            stay,
            started_ns: u64::from(stay) * 1_000_000,
            elapsed_ns: 900_000_000,
            steal_ns: 1_000_000,
            outcome,
            series,
            facts: BTreeMap::from([("probes".to_owned(), "256".to_owned())]),
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
