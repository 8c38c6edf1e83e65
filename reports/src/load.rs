//! Reading `results.jsonl`, line by line. A torn last line is what a killed run leaves: it is dropped
//! and said so. Anything else that is wrong is an error with a remedy: numbers are never computed from
//! half of a damaged file.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use schema::migrate::{self, MigrateError};
use schema::{CellKey, CellRecord, EndRecord, Header, NotRun, Outcome, Record, SCHEMA_VERSION};

/// Name of the results in a run directory.
pub(crate) const RESULTS: &str = "results.jsonl";
/// No line that we write comes near this; a longer one is not ours, and is not read into memory.
const LONGEST_LINE: u64 = 64 << 20;

/// A run as it was recorded; `T`: what of each cell is held.
#[derive(Debug, Clone)]
pub struct Run<T = CellRecord> {
    /// Line 1.
    pub header: Header,
    /// The cells, in the order they ended; each key once a block, with its last outcome.
    pub cells: Vec<T>,
    /// The end line; `None` when the run was killed.
    pub end: Option<EndRecord>,
    /// What was dropped or looks odd, as sentences.
    pub warnings: Vec<String>,
}

/// Why a file cannot be reported on. Each is one line with its remedy.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Nothing there.
    #[error("{path}: no results there; give a run directory or its {RESULTS}")]
    Missing {
        /// What was given.
        path: PathBuf,
    },
    /// The file cannot be read.
    #[error("read {path}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// No bytes: the run ended before its first line.
    #[error("{path} is empty: the run ended before it recorded anything; run it again")]
    Empty {
        /// Which file.
        path: PathBuf,
    },
    /// Not one of our files.
    #[error("{path}: {why}; give the {RESULTS} of a run")]
    Foreign {
        /// Which file.
        path: PathBuf,
        /// What was seen.
        why: String,
    },
    /// Written by a newer version, or a version that does not exist.
    #[error("{path}: {why}")]
    Version {
        /// Which file.
        path: PathBuf,
        /// Which version, and the remedy.
        why: MigrateError,
    },
    /// A line that is not the last cannot be understood.
    #[error("{path}, line {line}: {why}; the file is damaged: restore it from a copy or run again")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// 1-based.
        line: usize,
        /// What was seen.
        why: String,
    },
}

/// Reads a run: a run directory that holds `results.jsonl`, or such a file.
///
/// Fields that this version does not know are ignored. Memory: the samples, and one line at a time.
///
/// # Errors
/// [`LoadError`]: missing, unreadable, empty, foreign, newer or damaged. A torn last line is none of
/// these; it ends in [`Run::warnings`].
pub fn load(path: impl AsRef<Path>) -> Result<Run, LoadError> {
    load_start(path, u64::MAX)
}

/// The file of results that `given` means: itself, or the one in that run directory.
#[must_use]
pub fn results_of(given: &Path) -> PathBuf {
    if given.is_dir() {
        given.join(RESULTS)
    } else {
        given.to_path_buf()
    }
}

/// As [`load`], as if the file had no more than `bytes` bytes.
///
/// # Errors
/// As [`load`].
pub fn load_start(path: impl AsRef<Path>, bytes: u64) -> Result<Run, LoadError> {
    read(path.as_ref(), bytes, Ok)
}

/// A run of which of each cell only what `keep` makes of it is held: memory is that of one line and of what
/// is kept.
///
/// # Errors
/// As [`load`]; what `keep` refuses is damage.
pub(crate) fn load_keeping<T>(
    path: &Path,
    keep: impl Fn(CellRecord) -> Result<T, String>,
) -> Result<Run<T>, LoadError> {
    read(path, u64::MAX, keep)
}

fn read<T>(
    given: &Path,
    bytes: u64,
    keep: impl Fn(CellRecord) -> Result<T, String>,
) -> Result<Run<T>, LoadError> {
    let path = results_of(given);
    let file = File::open(&path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => LoadError::Missing {
            path: given.to_path_buf(),
        },
        _ => LoadError::Read {
            path: path.clone(),
            source,
        },
    })?;
    Reader {
        path,
        lines: BufReader::new(file.take(bytes)),
        number: 0,
        places: HashMap::new(),
        keep,
    }
    .run()
}

/// A line as read.
struct Line {
    text: Vec<u8>,
    /// Whether it ends in a newline: a line that does not was cut off.
    whole: bool,
}

struct Reader<R, K> {
    path: PathBuf,
    lines: R,
    number: usize,
    /// Where the outcome of a cell in a block stands in [`Run::cells`], and whether another is expected: the run was
    /// interrupted, or the cell disturbed and measured again.
    places: HashMap<(u32, CellKey), (usize, bool)>,
    keep: K,
}

impl<R: BufRead, T, K: Fn(CellRecord) -> Result<T, String>> Reader<R, K> {
    fn run(mut self) -> Result<Run<T>, LoadError> {
        let first = self.next_line()?.ok_or_else(|| LoadError::Empty {
            path: self.path.clone(),
        })?;
        let (header, version) = self.header(&first)?;
        let mut run = Run {
            header,
            cells: Vec::new(),
            end: None,
            warnings: Vec::new(),
        };
        while let Some(line) = self.next_line()? {
            if line.text.iter().all(u8::is_ascii_whitespace) && line.whole {
                continue;
            }
            match parse(&line.text, version).and_then(|record| self.accept(&mut run, record)) {
                Ok(()) => {}
                Err(_) if !line.whole => run.warnings.push(format!(
                    "line {} is cut off (the run was killed while writing it): dropped",
                    self.number
                )),
                Err(why) => return Err(self.damaged(why)),
            }
        }
        Ok(run)
    }

    fn header(&self, line: &Line) -> Result<(Header, u32), LoadError> {
        let foreign = |why: String| LoadError::Foreign {
            path: self.path.clone(),
            why,
        };
        let value: serde_json::Value = serde_json::from_slice(&line.text)
            .map_err(|_| foreign("line 1 is not JSON".to_owned()))?;
        let version = migrate::version_of(&value).map_err(|source| match source {
            MigrateError::Foreign => foreign(source.to_string()),
            why => LoadError::Version {
                path: self.path.clone(),
                why,
            },
        })?;
        match serde_json::from_value(migrate::migrate(value, version)) {
            Ok(Record::Header(header)) => Ok((header, version)),
            Ok(_) => Err(foreign("line 1 is not a header".to_owned())),
            Err(error) => Err(self.damaged(error.to_string())),
        }
    }

    fn next_line(&mut self) -> Result<Option<Line>, LoadError> {
        let mut text = Vec::new();
        let read = (&mut self.lines)
            .take(LONGEST_LINE)
            .read_until(b'\n', &mut text);
        let read = read.map_err(|source| LoadError::Read {
            path: self.path.clone(),
            source,
        })?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        let whole = text.last() == Some(&b'\n');
        if !whole && read as u64 == LONGEST_LINE {
            return Err(match self.number {
                1 => LoadError::Foreign {
                    path: self.path.clone(),
                    why: "line 1 has no end".to_owned(),
                },
                _ => self.damaged("the line has no end".to_owned()),
            });
        }
        Ok(Some(Line { text, whole }))
    }

    /// Takes a record into the run if it makes sense there.
    fn accept(&mut self, run: &mut Run<T>, record: Record) -> Result<(), String> {
        match record {
            Record::Header(_) => Err("a second header".to_owned()),
            Record::End(end) => {
                run.end = Some(end);
                Ok(())
            }
            Record::Resumed(resumed) => {
                run.end = None;
                run.warnings.push(format!(
                    "the run was carried on by another process at {}: its stays are of more than one stretch of time",
                    resumed.resumed
                ));
                Ok(())
            }
            Record::Cell(cell) => {
                run.end = None;
                warn_of_environment(run, &cell);
                self.place(run, cell)
            }
        }
    }

    /// Of two outcomes of a cell the later one counts. It is expected only where the first says that the
    /// run was interrupted, or that the cell was disturbed.
    fn place(&mut self, run: &mut Run<T>, cell: CellRecord) -> Result<(), String> {
        let another = !cell.disturbed.is_empty() && !cell.facts.contains_key("measured_again")
            || cell.outcome
                == Outcome::NotRun {
                    why: NotRun::Interrupted,
                };
        match self.places.entry((cell.block, cell.key.clone())) {
            Entry::Vacant(free) => {
                free.insert((run.cells.len(), another));
                run.cells.push((self.keep)(cell)?);
            }
            Entry::Occupied(mut taken) => {
                let (place, expected) = taken.insert((taken.get().0, another));
                if !expected {
                    run.warnings.push(format!(
                        "line {}: block {} has two outcomes of {}; the later one counts",
                        self.number, cell.block, cell.key
                    ));
                }
                run.cells[place] = (self.keep)(cell)?;
            }
        }
        Ok(())
    }

    fn damaged(&self, why: String) -> LoadError {
        LoadError::Damaged {
            path: self.path.clone(),
            line: self.number,
            why,
        }
    }
}

fn parse(line: &[u8], version: u32) -> Result<Record, String> {
    if version == SCHEMA_VERSION {
        return serde_json::from_slice(line).map_err(|error| error.to_string());
    }
    let value = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    serde_json::from_value(migrate::migrate(value, version)).map_err(|error| error.to_string())
}

fn warn_of_environment<T>(run: &mut Run<T>, cell: &CellRecord) {
    if run.header.environments.contains_key(&cell.key.environment) {
        return;
    }
    let warning = format!(
        "cells name the environment '{}', which the header does not describe",
        cell.key.environment
    );
    if !run.warnings.contains(&warning) {
        run.warnings.push(warning);
    }
}
