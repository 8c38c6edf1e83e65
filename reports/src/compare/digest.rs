//! What a comparison keeps of a run: of each stay's samples their middle. So memory does not grow with the
//! number of samples, and a file of a gigabyte is read line by line.

use std::path::{Path, PathBuf};

use schema::{Accelerator, CellKey, CellRecord, Header, Metric, Outcome, SandboxKind, Unit};

use crate::load::{LoadError, Run, load_keeping};
use crate::statistics::middle_of;
use crate::summarise::is_censored;

/// A run, without its samples.
#[derive(Debug, Clone)]
pub struct Digest {
    /// As it was named.
    pub(crate) path: PathBuf,
    pub(crate) header: Header,
    pub(crate) cells: Vec<CellDigest>,
    /// Whether it has its end line.
    pub(crate) ended: bool,
    /// What was dropped or looks odd, as sentences.
    pub warnings: Vec<String>,
}

/// One cell of one stay.
#[derive(Debug, Clone)]
pub(crate) struct CellDigest {
    pub(crate) key: CellKey,
    pub(crate) block: u32,
    pub(crate) stay: u32,
    /// Seed of its population.
    pub(crate) seed: u64,
    /// Whether its times are executed instructions.
    pub(crate) deterministic: bool,
    pub(crate) outcome: Outcome,
    /// Whether other processes move its memory figures.
    pub(crate) noisy: bool,
    /// Whether its rules name counters of nfnetlink_acct.
    pub(crate) accounts: bool,
    pub(crate) series: Vec<SeriesDigest>,
}

/// The samples of one metric in one stay.
#[derive(Debug, Clone)]
pub(crate) struct SeriesDigest {
    pub(crate) metric: Metric,
    pub(crate) unit: Unit,
    pub(crate) n: u64,
    pub(crate) median: f64,
    /// Whether all samples are equal.
    pub(crate) constant: bool,
    /// Of all samples in their order: equal samples have equal hashes.
    pub(crate) hash: u64,
}

/// Fact of a cell that names the seed of its population, where seeds differ between blocks.
const SEED: &str = "seed";
/// Fact of a cell whose rules name counters of nfnetlink_acct where its kernel has them: `on`, `off`. Before it was recorded
/// none did.
const NFACCT: &str = "nfacct";

impl Digest {
    /// Reads a run directory or its results, line by line.
    ///
    /// # Errors
    /// As [`crate::load`].
    pub fn load(path: impl AsRef<Path>) -> Result<Self, LoadError> {
        let path = path.as_ref();
        Ok(Self::settled(path, load_keeping(path, CellDigest::of)?))
    }

    /// Of a run in memory, under a name.
    ///
    /// # Errors
    /// Samples that cannot be read, as a sentence.
    pub fn of(run: &Run, name: &str) -> Result<Self, String> {
        let cells = run.cells.iter().cloned().map(CellDigest::of);
        let kept = Run {
            header: run.header.clone(),
            cells: cells.collect::<Result<_, _>>()?,
            end: run.end.clone(),
            warnings: run.warnings.clone(),
        };
        Ok(Self::settled(name.as_ref(), kept))
    }

    /// With what a cell cannot know by itself.
    fn settled(path: &Path, mut kept: Run<CellDigest>) -> Self {
        for cell in &mut kept.cells {
            // Without a seed of its own a stay has the run's.
            if cell.seed == NO_SEED {
                cell.seed = kept.header.seed;
            }
            if let Some(facts) = kept.header.environments.get(&cell.key.environment) {
                cell.noisy |= facts.sandbox == SandboxKind::Netns;
                cell.deterministic = facts.accel == Accelerator::TcgIcount;
            }
        }
        Self {
            path: path.to_path_buf(),
            header: kept.header,
            cells: kept.cells,
            ended: kept.end.is_some(),
            warnings: kept.warnings,
        }
    }
}

/// Stands for "the run's".
const NO_SEED: u64 = u64::MAX;

impl CellDigest {
    fn of(cell: CellRecord) -> Result<Self, String> {
        let series = cell.series.iter().filter_map(|one| {
            let (n, median, constant) = middle_of(&one.values)?;
            Some(SeriesDigest {
                metric: one.metric,
                unit: one.unit,
                n,
                median,
                constant,
                hash: hash(&one.values),
            })
        });
        let seed = match cell.facts.get(SEED) {
            Some(text) => text
                .parse()
                .map_err(|_| format!("fact seed: '{text}' is no number"))?,
            None => NO_SEED,
        };
        Ok(Self {
            series: series.collect(),
            noisy: cell.facts.contains_key("noisy"),
            accounts: cell.facts.get(NFACCT).is_some_and(|said| said == "on"),
            key: cell.key,
            block: cell.block,
            stay: cell.stay,
            seed,
            deterministic: false,
            outcome: cell.outcome,
        })
    }

    pub(crate) fn measured(&self) -> bool {
        self.outcome == Outcome::Measured
    }

    /// How long its timed act had lasted when its limit passed, of a metric of which that says something.
    pub(crate) fn bound(&self, metric: Metric) -> Option<f64> {
        let Outcome::TimedOut { after_ns } = self.outcome else {
            return None;
        };
        let bound = after_ns.filter(|_| is_censored(&self.key, metric))?;
        Some(bound as f64)
    }

    pub(crate) fn get(&self, metric: Metric) -> Option<&SeriesDigest> {
        self.series.iter().find(|series| series.metric == metric)
    }
}

impl SeriesDigest {
    /// Of a stay that has no samples because it timed out: as long as `value`.
    pub(crate) fn timed_out(&self, value: f64) -> Self {
        Self {
            n: 0,
            median: value,
            constant: false,
            hash: value.to_bits(),
            ..*self
        }
    }
}

/// FNV-1a over words instead of bytes: it tells lists apart, not attackers.
fn hash(samples: &[f64]) -> u64 {
    let step = |hash: u64, word: u64| -> u64 {
        (hash ^ word)
            .wrapping_mul(0x0000_0100_0000_01b3)
            .rotate_left(17)
    };
    let words = samples.iter().map(|value| value.to_bits());
    words.fold(0xcbf2_9ce4_8422_2325, step)
}
