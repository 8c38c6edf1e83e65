//! Runs over time, as a folder of runs or as one compact file.
//!
//! The file is JSON lines: the runs with their environments, then a line a series. It is written as a whole and no
//! longer than [`LARGEST`], so that a CI system can keep it in a cache.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use schema::comparison::Difference;
use schema::trend::{HISTORY_VERSION, HistoryHead, HistoryRecord, HistorySeries, PastRun};
use schema::{Accelerator, CellKey, Environment, Metric, OptionKey, Outcome, SandboxKind, Unit};

use crate::compare::{Across, CellDigest, Digest, SeriesDigest, differences};
use crate::load::{LoadError, RESULTS};
use crate::statistics::median;

/// Runs that a file keeps: the newest.
pub const KEPT: usize = 500;
/// Bytes that it has at most; of more the oldest runs go.
pub const LARGEST: usize = 8 << 20;
/// How a history begins.
const BEGINNING: &[u8] = b"{\"record\":\"history\"";

/// A series: a cell as it is named in every run, one of its metrics, and the unit.
pub(super) type SeriesKey = (CellKey, Metric, Unit);

/// Runs, oldest first.
#[derive(Debug, Clone, Default)]
pub struct History {
    pub(super) runs: Vec<Past>,
    /// What was left out, as sentences.
    pub warnings: Vec<String>,
}

/// A run of a history.
#[derive(Debug, Clone)]
pub(super) struct Past {
    pub(super) run: PastRun,
    /// By the name that series have for it.
    pub(super) environments: BTreeMap<String, Environment>,
    pub(super) values: BTreeMap<SeriesKey, Value>,
}

/// What a run has of a series.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Value {
    pub(super) median: f64,
    /// The version of kube-proxy whose rules these are; "" where it has none.
    pub(super) kube_proxy: String,
}

/// Why a history cannot be read or written. One line.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// A run of it.
    #[error(transparent)]
    Run(#[from] LoadError),
    /// A file of a newer version, or a damaged one.
    #[error("{path}: {why}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What was seen, with the remedy.
        why: String,
    },
    /// The file system refused.
    #[error("{act} {path}: {source}")]
    System {
        /// "read", "write".
        act: &'static str,
        /// Which file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

impl History {
    /// Adds what a path means: a run, a folder of runs, or a history's file.
    ///
    /// # Errors
    /// [`HistoryError`]: nothing there, unreadable, newer, damaged.
    pub fn add(&mut self, path: &Path) -> Result<(), HistoryError> {
        if path.is_dir() && !path.join(RESULTS).exists() {
            return self.add_folder(path);
        }
        if path.is_file() && is_history(path)? {
            return self.add_file(path);
        }
        self.add_run(&Digest::load(path)?);
        Ok(())
    }

    /// Adds a run.
    pub fn add_run(&mut self, run: &Digest) {
        let warnings = run.warnings.iter();
        self.warnings
            .extend(warnings.map(|warning| format!("{}: {warning}", run.path.display())));
        self.insert(Past::of(run));
    }

    fn add_folder(&mut self, path: &Path) -> Result<(), HistoryError> {
        let system = |source| HistoryError::System {
            act: "read",
            path: path.to_path_buf(),
            source,
        };
        let mut runs = Vec::new();
        for entry in fs::read_dir(path).map_err(system)? {
            let run = entry.map_err(system)?.path();
            runs.extend(run.join(RESULTS).exists().then_some(run));
        }
        if runs.is_empty() {
            return Err(LoadError::Missing {
                path: path.to_path_buf(),
            }
            .into());
        }
        runs.sort();
        for run in runs {
            match Digest::load(&run) {
                Ok(run) => self.add_run(&run),
                // A night on which nothing came about.
                Err(why @ LoadError::Empty { .. }) => {
                    self.warnings.push(format!("left out: {why}"))
                }
                Err(why) => return Err(why.into()),
            }
        }
        Ok(())
    }

    fn add_file(&mut self, path: &Path) -> Result<(), HistoryError> {
        let text = fs::read_to_string(path).map_err(|source| HistoryError::System {
            act: "read",
            path: path.to_path_buf(),
            source,
        })?;
        let runs = parsed(&text).map_err(|why| HistoryError::File {
            path: path.to_path_buf(),
            why,
        })?;
        runs.into_iter().for_each(|run| self.insert(run));
        Ok(())
    }

    /// A run counts once, whichever way it came; of one that was carried on since, with what it has now.
    fn insert(&mut self, past: Past) {
        let started = |other: &Past| other.run.started.as_str().cmp(past.run.started.as_str());
        let from = self.runs.partition_point(|other| started(other).is_lt());
        let to = self.runs.partition_point(|other| started(other).is_le());
        match self.runs[from..to].iter_mut().find(|other| other.is(&past)) {
            Some(other) if other.values.len() <= past.values.len() => *other = past,
            Some(_) => {}
            None => self.runs.insert(to, past),
        }
    }

    /// How many runs it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.runs.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// The place of a run: of the one that a path is of, else of the last that started no later than a time like
    /// "2026-11-22" or "2026-11-22T20:00:00Z", of the first where all are later: nothing changes before it.
    ///
    /// # Errors
    /// A path of no run; a run that is not among these, or no time, as a sentence.
    pub fn place(&self, named: &str) -> Result<usize, HistoryError> {
        let refused = |why: &str| HistoryError::File {
            path: PathBuf::from(named),
            why: why.to_owned(),
        };
        if Path::new(named).exists() {
            let run = Past::of(&Digest::load(named)?);
            let place = self.runs.iter().position(|other| other.is(&run));
            return place
                .ok_or_else(|| refused("this run is not in the history: name one that is"));
        }
        let year = named.split('-').next().is_some_and(|year| {
            year.len() == 4 && year.chars().all(|digit| digit.is_ascii_digit())
        });
        if !year {
            return Err(refused(
                "no run there and no time: give a run of the history, or when one started, as in 2026-11-22",
            ));
        }
        let until =
            |past: &Past| past.run.started.as_str() <= named || past.run.started.starts_with(named);
        Ok(self.runs.partition_point(until).saturating_sub(1))
    }

    /// Writes the newest runs as a file, in the place of what is there; returns how many.
    ///
    /// # Errors
    /// The file system refused; what was there stays.
    pub fn write(&self, path: &Path) -> Result<usize, HistoryError> {
        let mut newest = &self.runs[self.runs.len().saturating_sub(KEPT)..];
        let mut text = lines(newest);
        while text.len() > LARGEST && newest.len() > 1 {
            // In proportion, so that few attempts are made.
            let fits = newest.len() * LARGEST / text.len();
            newest = &newest[newest.len() - fits.clamp(1, newest.len() - 1)..];
            text = lines(newest);
        }
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(".part");
        let attempt = || {
            let mut file = File::create(&temporary)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&temporary, path)
        };
        attempt().map_err(|source| {
            // The first error is the one to report.
            let _ = fs::remove_file(&temporary);
            HistoryError::System {
                act: "write",
                path: path.to_path_buf(),
                source,
            }
        })?;
        Ok(newest.len())
    }
}

/// The name of a run's folder: where that lies is nobody's business to whom a history is handed on.
fn folder_of(path: &Path) -> String {
    let folder = match path.is_file() {
        true => path.parent().unwrap_or(path),
        false => path,
    };
    let name = folder.file_name().unwrap_or(folder.as_os_str());
    name.to_string_lossy().into_owned()
}

impl Past {
    /// Whether both are of one run.
    fn is(&self, other: &Self) -> bool {
        let (one, two) = (&self.run, &other.run);
        (&one.started, &one.binary, one.seed) == (&two.started, &two.binary, two.seed)
            && self.environments == other.environments
    }

    /// What of its environments is not the same in another run, by environment: of those that both have.
    pub(super) fn differences(
        &self,
        later: &Self,
        across: &[Across],
    ) -> BTreeMap<String, Vec<Difference>> {
        let both = self
            .environments
            .iter()
            .filter_map(|(name, facts)| Some((name, facts, later.environments.get(name)?)));
        let mut found = BTreeMap::new();
        for (name, before, after) in both {
            let mut differ = match before == after {
                true => Vec::new(),
                false => differences(before, after),
            };
            differ.extend(self.runner(later, after));
            differ.retain(|difference| {
                let key = difference.key.parse::<Across>();
                !key.is_ok_and(|key| across.iter().any(|asked| asked.allows(key)))
            });
            if !differ.is_empty() {
                found.insert(name.clone(), differ);
            }
        }
        found
    }

    /// Another bench-runner: where its instructions are counted another file, else another revision.
    fn runner(&self, later: &Self, facts: &Environment) -> Option<Difference> {
        let (before, after) = (&self.run, &later.run);
        let said = |run: &PastRun| format!("{} {}", run.tool_version, run.revision);
        let counted = facts.accel == Accelerator::TcgIcount;
        let known = !before.binary.is_empty() && !after.binary.is_empty();
        let differs = match counted && known {
            true => before.binary != after.binary,
            false => said(before) != said(after),
        };
        let differs = differs || before.schema_version != after.schema_version;
        differs.then(|| Difference {
            key: Across::Runner.name().to_owned(),
            fact: "bench-runner".to_owned(),
            base: said(before),
            new: said(after),
        })
    }

    fn of(run: &Digest) -> Self {
        let header = &run.header;
        let names = names(run);
        let mut values: BTreeMap<SeriesKey, (Vec<f64>, String)> = BTreeMap::new();
        let keys = series_keys(run, &names);
        for (cell, key) in run.cells.iter().zip(&keys) {
            for one in &cell.series {
                let series = (key.clone(), one.metric, one.unit);
                let kube_proxy = || kube_proxy_of(&cell.key, key);
                let stays = values
                    .entry(series)
                    .or_insert_with(|| (Vec::new(), kube_proxy()));
                stays.0.push(one.median);
            }
        }
        // What timed out is longer than all others; half of it so, and there is no value.
        for (cell, key) in run.cells.iter().zip(&keys) {
            if let Outcome::TimedOut { .. } = cell.outcome {
                for ((_, metric, _), stays) in
                    values.iter_mut().filter(|((other, ..), _)| other == key)
                {
                    stays.0.extend(cell.bound(*metric).map(|_| f64::INFINITY));
                }
            }
        }
        let values = values
            .into_iter()
            .filter_map(|(series, (stays, kube_proxy))| {
                let median = median(stays).filter(|value| value.is_finite())?;
                Some((
                    series,
                    Value {
                        median: rounded(median),
                        kube_proxy,
                    },
                ))
            });
        let environments = header.environments.iter().map(|(name, facts)| {
            // The step of the clock is measured anew in each run.
            let facts = Environment {
                clock_step_ns: 0,
                ..facts.clone()
            };
            (names.get(name).unwrap_or(name).clone(), facts)
        });
        Self {
            run: PastRun {
                run: folder_of(&run.path),
                started: header.started.clone(),
                tool_version: header.tool_version.clone(),
                revision: header.revision.clone(),
                binary: header.binary.clone(),
                seed: header.seed,
                schema_version: header.schema_version,
                environments: BTreeMap::new(),
            },
            environments: environments.collect(),
            values: values.collect(),
        }
    }
}

/// Six digits: more than any measurement has, and short.
fn rounded(value: f64) -> f64 {
    format!("{value:.5e}").parse().unwrap_or(value)
}

/// What environments are called in every run: the kind of their sandbox, where a run has one of it.
pub(super) fn names(run: &Digest) -> BTreeMap<String, String> {
    let all = &run.header.environments;
    let kind = |facts: &Environment| match facts.accel {
        Accelerator::None => facts.sandbox.to_string(),
        accel => format!("{} {accel}", facts.sandbox),
    };
    let name = |(name, facts): (&String, &Environment)| {
        let same = all.values().filter(|other| kind(other) == kind(facts));
        let called = if same.count() > 1 {
            name.clone()
        } else {
            kind(facts)
        };
        (name.clone(), called)
    };
    all.iter().map(name).collect()
}

/// The cells of a run as every run names them: without the version of kube-proxy, unless the run tells several apart by it.
pub(super) fn series_keys(run: &Digest, names: &BTreeMap<String, String>) -> Vec<CellKey> {
    let named = |key: &CellKey| {
        let mut key = key.clone();
        if let Some(name) = names.get(&key.environment) {
            key.environment.clone_from(name);
        }
        key
    };
    let without = |key: &CellKey| {
        let mut key = named(key);
        key.options.remove(OptionKey::KubeProxy);
        key
    };
    let mut versions: BTreeMap<CellKey, Vec<&str>> = BTreeMap::new();
    for cell in &run.cells {
        let version = cell
            .key
            .options
            .get(OptionKey::KubeProxy)
            .unwrap_or_default();
        let seen = versions.entry(without(&cell.key)).or_default();
        if !seen.contains(&version) {
            seen.push(version);
        }
    }
    let cells = run.cells.iter().map(|cell| {
        let key = without(&cell.key);
        match versions.get(&key) {
            Some(versions) if versions.len() > 1 => named(&cell.key),
            _ => key,
        }
    });
    cells.collect()
}

fn kube_proxy_of(cell: &CellKey, series: &CellKey) -> String {
    match series.options.get(OptionKey::KubeProxy) {
        Some(_) => String::new(),
        None => cell
            .options
            .get(OptionKey::KubeProxy)
            .unwrap_or_default()
            .to_owned(),
    }
}

fn is_history(path: &Path) -> Result<bool, HistoryError> {
    let mut beginning = Vec::new();
    let read = File::open(path).and_then(|file| {
        let length = BEGINNING.len() as u64;
        file.take(length).read_to_end(&mut beginning)
    });
    match read {
        Ok(_) => Ok(beginning == BEGINNING),
        Err(source) => Err(HistoryError::System {
            act: "read",
            path: path.to_path_buf(),
            source,
        }),
    }
}

fn lines(runs: &[Past]) -> String {
    let mut environments: Vec<Environment> = Vec::new();
    let mut place = |facts: &Environment| match environments.iter().position(|own| own == facts) {
        Some(place) => place as u32,
        None => {
            environments.push(facts.clone());
            environments.len() as u32 - 1
        }
    };
    let heads = runs.iter().map(|past| {
        let named = past.environments.iter();
        let environments = named.map(|(name, facts)| (name.clone(), place(facts)));
        PastRun {
            environments: environments.collect(),
            ..past.run.clone()
        }
    });
    let head = HistoryHead {
        history_version: HISTORY_VERSION,
        runs: heads.collect(),
        environments,
    };
    let mut records = vec![HistoryRecord::History(head)];
    let mut series: BTreeMap<&SeriesKey, Vec<Option<&Value>>> = BTreeMap::new();
    for (index, past) in runs.iter().enumerate() {
        for (key, value) in &past.values {
            let values = series.entry(key).or_insert_with(|| vec![None; runs.len()]);
            values[index] = Some(value);
        }
    }
    let series = series.into_iter().map(|((key, metric, unit), values)| {
        let mut kube_proxy: Vec<(u32, String)> = Vec::new();
        for (index, value) in (0..).zip(&values) {
            let version = value.map(|value| &value.kube_proxy);
            let last = kube_proxy.last().map(|(_, last)| last);
            if let Some(version) =
                version.filter(|own| last.map_or(!own.is_empty(), |last| last != *own))
            {
                kube_proxy.push((index, version.clone()));
            }
        }
        HistoryRecord::Series(HistorySeries {
            key: key.clone(),
            metric: *metric,
            unit: *unit,
            values: values
                .iter()
                .map(|value| Some(value.as_ref()?.median))
                .collect(),
            kube_proxy,
        })
    });
    records.extend(series);
    let lines = records.iter().map(|record| {
        let line = serde_json::to_string(record).expect("finite numbers and text");
        line + "\n"
    });
    lines.collect()
}

fn parsed(text: &str) -> Result<Vec<Past>, String> {
    let damaged = |line: usize, why: &str| {
        format!(
            "line {line}: {why}; the history is damaged: restore it, or make it again from its runs (--append)"
        )
    };
    let mut lines = (1..).zip(text.lines());
    let (_, first) = lines.next().ok_or("it is empty")?;
    let head: serde_json::Value =
        serde_json::from_str(first).map_err(|why| damaged(1, &why.to_string()))?;
    let version = head["history_version"]
        .as_u64()
        .ok_or_else(|| damaged(1, "it has no history_version"))?;
    if version != u64::from(HISTORY_VERSION) {
        return Err(format!(
            "history version {version}, and this bench-runner reads {HISTORY_VERSION}: \
             use the version that wrote it, or make the history again from its runs"
        ));
    }
    let head: HistoryHead =
        serde_json::from_value(head).map_err(|why| damaged(1, &why.to_string()))?;
    let mut runs = Vec::new();
    for run in head.runs {
        if run.schema_version > schema::SCHEMA_VERSION {
            return Err(format!(
                "{} has schema version {}, and this bench-runner knows {}: use a newer one",
                run.run,
                run.schema_version,
                schema::SCHEMA_VERSION
            ));
        }
        let environments = run.environments.iter().map(|(name, place)| {
            let facts = head.environments.get(*place as usize)?;
            Some((name.clone(), facts.clone()))
        });
        let environments: Option<BTreeMap<_, _>> = environments.collect();
        runs.push(Past {
            environments: environments.ok_or_else(|| damaged(1, "an environment is missing"))?,
            run: PastRun {
                environments: BTreeMap::new(),
                ..run
            },
            values: BTreeMap::new(),
        });
    }
    for (number, line) in lines {
        let series = match serde_json::from_str(line) {
            Ok(HistoryRecord::Series(series)) => series,
            Ok(HistoryRecord::History(_)) => return Err(damaged(number, "a second head")),
            Err(why) => return Err(damaged(number, &why.to_string())),
        };
        if series.values.len() != runs.len() {
            return Err(damaged(
                number,
                "it has another number of values than there are runs",
            ));
        }
        let key = (series.key, series.metric, series.unit);
        let versions = series.kube_proxy;
        for (index, (past, median)) in (0..).zip(runs.iter_mut().zip(series.values)) {
            let before = versions.iter().rev().find(|(from, _)| *from <= index);
            if let Some(median) = median {
                let kube_proxy = before.map_or_else(String::new, |(_, version)| version.clone());
                past.values
                    .insert(key.clone(), Value { median, kube_proxy });
            }
        }
    }
    Ok(runs)
}

impl History {
    /// The last runs before another one as a side to hold it against: each is a stay, with its values. Runs before
    /// something changed around the measurement that is not asked about are no part of it. `None` without any.
    #[must_use]
    pub fn side_for(&self, new: &Digest, last: usize, across: &[Across]) -> Option<Digest> {
        let own = Past::of(new);
        let before = self.runs.iter().rev();
        let mut before = before.filter(|past| !past.is(&own)).peekable();
        let newest = *before.peek()?;
        let alike = |past: &&Past| past.differences(newest, across).is_empty();
        let mut runs: Vec<&Past> = before.take_while(alike).take(last).collect();
        runs.reverse();
        let names = names(new);
        let back: BTreeMap<&String, &String> =
            names.iter().map(|(name, called)| (called, name)).collect();
        let named = |called: &String| back.get(called).map_or(called, |name| *name).clone();
        let mut header = new.header.clone();
        let environments = newest.environments.iter();
        header.environments = environments
            .map(|(called, facts)| (named(called), facts.clone()))
            .collect();
        header.started.clone_from(&newest.run.started);
        header.revision.clone_from(&newest.run.revision);
        header.tool_version.clone_from(&newest.run.tool_version);
        header.binary.clone_from(&newest.run.binary);
        header.schema_version = newest.run.schema_version;
        let cells = (0..)
            .zip(&runs)
            .flat_map(|(block, past)| past.as_stay(block, &named));
        Some(Digest {
            path: PathBuf::from(format!("the last {} runs of the history", runs.len())),
            header,
            cells: cells.collect(),
            ended: true,
            warnings: Vec::new(),
        })
    }
}

impl Past {
    /// A run as a stay of each of its cells.
    fn as_stay(&self, block: u32, named: &impl Fn(&String) -> String) -> Vec<CellDigest> {
        let mut cells: BTreeMap<CellKey, CellDigest> = BTreeMap::new();
        for ((series, metric, unit), value) in &self.values {
            let facts = self.environments.get(&series.environment);
            let mut key = series.clone();
            key.environment = named(&series.environment);
            if !value.kube_proxy.is_empty() {
                key.options.set(OptionKey::KubeProxy, &value.kube_proxy);
            }
            let cell = cells.entry(key.clone()).or_insert_with(|| CellDigest {
                key,
                block,
                stay: block,
                // Seeds of one run are not those of another: no two are the same here.
                seed: u64::MAX - 1 - u64::from(block),
                deterministic: facts.is_some_and(|facts| facts.accel == Accelerator::TcgIcount),
                outcome: Outcome::Measured,
                noisy: facts.is_some_and(|facts| facts.sandbox == SandboxKind::Netns),
                accounts: false,
                series: Vec::new(),
            });
            cell.series.push(SeriesDigest {
                metric: *metric,
                unit: *unit,
                n: 1,
                median: value.median,
                constant: true,
                hash: value.median.to_bits(),
            });
        }
        cells.into_values().collect()
    }
}
