//! Two sides of a comparison, with the noise of a shared machine: stays differ, samples inside them scatter
//! with a heavy tail, some stays are disturbed as a whole, and the machine's pace wanders.

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, LogNormal};
use rand_xoshiro::Xoshiro256PlusPlus;
use schema::{
    Accelerator, CellKey, CellRecord, EndRecord, Engine, Family, Metric, Mode, OptionKey, Outcome,
    Protocol, ScenarioKind, Series, Variant,
};

use super::{POSITIONS, Shape, header, laws};
use reports::Run;

/// What to generate.
#[derive(Debug, Clone)]
pub struct Sides {
    /// Seed of all noise.
    pub seed: u64,
    /// Modes.
    pub modes: Vec<Mode>,
    /// Population sizes.
    pub sizes: Vec<u32>,
    /// Stays of each mode and size a side.
    pub blocks: u32,
    /// First-packet samples a cell; a cell of an update has 4.
    pub samples: usize,
    /// Standard deviation of the logarithm of what differs between stays.
    pub stay_noise: f64,
    /// The same inside a stay.
    pub sample_noise: f64,
    /// Share of stays that something else slows down by half.
    pub disturbed: f64,
    /// Step of the machine's pace from stay to stay, as a standard deviation.
    pub wander: f64,
    /// The machine's pace in the second of two runs.
    pub second_run: f64,
    /// Factor on NEW's values.
    pub effect: f64,
    /// Which cells of NEW it is on.
    pub affects: fn(&CellKey) -> bool,
    /// Whether updates are measured too.
    pub updates: bool,
}

impl Default for Sides {
    fn default() -> Self {
        Self {
            seed: 1,
            modes: crate::IMAGINED.to_vec(),
            sizes: vec![1_000],
            blocks: 10,
            samples: 40,
            stay_noise: 0.12,
            sample_noise: 0.2,
            disturbed: 0.03,
            wander: 0.02,
            second_run: 1.0,
            effect: 1.0,
            affects: |_| true,
            updates: false,
        }
    }
}

impl Sides {
    /// Both sides as variants `base` and `head` of one run, shuffled into the same blocks.
    #[must_use]
    pub fn in_one_run(&self) -> Run {
        let mut run = self.run(&[("base", false), ("head", true)], self.seed, 1.0);
        run.header.variants = ["base", "head"]
            .map(|name| Variant {
                name: name.to_owned(),
                options: String::new(),
                ..Variant::default()
            })
            .to_vec();
        run
    }

    /// BASE and NEW as runs of their own, one after the other.
    #[must_use]
    pub fn in_two_runs(&self) -> [Run; 2] {
        [
            self.run(&[("", false)], 2 * self.seed, 1.0),
            self.run(&[("", true)], 2 * self.seed + 1, self.second_run),
        ]
    }

    /// BASE and NEW in guests whose times are executed instructions: a population of each of the seeds.
    /// What is left of noise is the share by which a seed changes the cost of both sides alike, and one by which
    /// it changes the effect.
    #[must_use]
    pub fn deterministic(&self, seeds: &[u64], effects: &[f64]) -> [Run; 2] {
        [false, true].map(|new| {
            let quiet = Self {
                blocks: seeds.len() as u32,
                stay_noise: 0.0,
                sample_noise: 0.0,
                disturbed: 0.0,
                wander: 0.0,
                effect: 1.0,
                ..self.clone()
            };
            let mut run = quiet.run(&[("", new)], 1, 1.0);
            for facts in run.header.environments.values_mut() {
                facts.sandbox = schema::SandboxKind::Guest;
                facts.accel = Accelerator::TcgIcount;
            }
            for cell in &mut run.cells {
                let place = cell.block as usize;
                cell.facts
                    .insert("seed".to_owned(), seeds[place].to_string());
                let own = 1.0 + 0.001 * (seeds[place] % 7) as f64;
                let effect = if new && (self.affects)(&cell.key) {
                    effects[place]
                } else {
                    1.0
                };
                for series in &mut cell.series {
                    for value in &mut series.values {
                        *value = (*value * own * effect).round();
                    }
                }
            }
            run
        })
    }

    fn run(&self, parts: &[(&str, bool)], seed: u64, machine: f64) -> Run {
        let mut maker = Maker {
            sides: self,
            rng: Xoshiro256PlusPlus::seed_from_u64(seed),
            pace: machine,
            cells: Vec::new(),
            stays: 0,
        };
        for block in 0..self.blocks {
            let mut stays: Vec<(Mode, u32, &str, bool)> = Vec::new();
            for &mode in &self.modes {
                for &services in &self.sizes {
                    stays.extend(
                        parts
                            .iter()
                            .map(|(name, new)| (mode, services, *name, *new)),
                    );
                }
            }
            stays.shuffle(&mut maker.rng);
            for (mode, services, name, new) in stays {
                maker.stay((mode, services), block, name, new);
            }
        }
        let cells = maker.cells;
        let shape = Shape {
            blocks: self.blocks,
            mishaps: false,
            ..Shape::default()
        };
        Run {
            header: header::header(&shape, cells.len() as u64),
            cells,
            end: Some(EndRecord {
                ended: "complete".to_owned(),
                elapsed_ns: 1,
                runner_rss_bytes: 1,
            }),
            warnings: Vec::new(),
        }
    }
}

struct Maker<'a> {
    sides: &'a Sides,
    rng: Xoshiro256PlusPlus,
    pace: f64,
    cells: Vec<CellRecord>,
    stays: u32,
}

impl Maker<'_> {
    fn stay(&mut self, (mode, services): (Mode, u32), block: u32, variant: &str, new: bool) {
        self.pace *= self.noise(self.sides.wander);
        let mut lab = self.pace * self.noise(self.sides.stay_noise);
        if self.rng.random::<f64>() < self.sides.disturbed {
            lab *= 1.5;
        }
        let stay = self.stays;
        self.stays += 1;
        for protocol in Protocol::ALL {
            for (position, passed) in POSITIONS {
                let options = [
                    (OptionKey::Position, position.name()),
                    (OptionKey::Protocol, protocol.name()),
                    (OptionKey::Family, Family::Ipv4.name()),
                    (OptionKey::Path, "client"),
                ];
                let key = self.key(
                    (mode, services),
                    ScenarioKind::FirstPacket,
                    variant,
                    &options,
                );
                let value = lab * laws::first_packet_ns(mode, passed, f64::from(services));
                let values = self.values(self.sides.samples, value * self.effect(&key, new));
                self.push(key, (block, stay), vec![(Metric::Latency, values)]);
            }
        }
        if let Some(way) = laws::ways(mode, &[Engine::Legacy])
            .first()
            .filter(|_| self.sides.updates)
        {
            let cost = laws::update(ScenarioKind::ServiceAdd, mode, *way, f64::from(services));
            let options = [
                (OptionKey::Transport, way.transport.name()),
                (OptionKey::LargeCluster, "on"),
            ];
            let key = self.key(
                (mode, services),
                ScenarioKind::ServiceAdd,
                variant,
                &options,
            );
            let time = self.values(4, lab * cost.time * self.effect(&key, new));
            let counted = [
                (Metric::Operations, cost.operations),
                (Metric::BytesSent, cost.bytes),
            ];
            let mut series = vec![(Metric::UpdateTime, time)];
            series.extend(counted.map(|(metric, value)| (metric, vec![value.round(); 4])));
            self.push(key, (block, stay), series);
        }
    }

    fn effect(&self, key: &CellKey, new: bool) -> f64 {
        if new && (self.sides.affects)(key) {
            self.sides.effect
        } else {
            1.0
        }
    }

    fn key(
        &self,
        (mode, services): (Mode, u32),
        scenario: ScenarioKind,
        variant: &str,
        options: &[(OptionKey, &str)],
    ) -> CellKey {
        CellKey {
            variant: variant.to_owned(),
            ..super::key(mode, scenario, services, None, options)
        }
    }

    fn values(&mut self, count: usize, middle: f64) -> Vec<f64> {
        (0..count)
            .map(|_| {
                let late = if self.sides.sample_noise > 0.0 && self.rng.random::<f64>() < 0.03 {
                    1.0 + 5.0 * self.rng.random::<f64>()
                } else {
                    1.0
                };
                (middle * self.noise(self.sides.sample_noise) * late).round()
            })
            .collect()
    }

    fn push(&mut self, key: CellKey, (block, stay): (u32, u32), series: Vec<(Metric, Vec<f64>)>) {
        self.cells.push(CellRecord {
            key,
            block,
            stay,
            started_ns: u64::from(stay),
            elapsed_ns: 1,
            steal_ns: Some(0),
            run_delay_ns: Some(0),
            disturbed: Vec::new(),
            outcome: Outcome::Measured,
            series: series
                .into_iter()
                .map(|(metric, values)| Series {
                    metric,
                    unit: metric.unit(),
                    values,
                    as_histogram: false,
                })
                .collect(),
            facts: std::collections::BTreeMap::new(),
        });
    }

    /// A factor around 1.
    fn noise(&mut self, deviation: f64) -> f64 {
        if deviation == 0.0 {
            return 1.0;
        }
        LogNormal::new(0.0, deviation).map_or(1.0, |noise| noise.sample(&mut self.rng))
    }
}
