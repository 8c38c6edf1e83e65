//! The run directory: made once, never overwritten, owned by the invoking user. Results are appended and
//! flushed line by line: what was measured is not lost. One process at a time writes them.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use schema::Record;

use crate::exit::Usage;

/// A run directory with its open results file.
#[derive(Debug)]
pub(crate) struct RunDir {
    path: PathBuf,
    file: PathBuf,
    results: File,
    /// Length of the whole lines, bytes.
    length: u64,
}

/// Now, UTC, RFC 3339, whole seconds.
pub(crate) fn now() -> String {
    jiff::Timestamp::now()
        .strftime("%Y-%m-%dT%H:%M:%SZ")
        .to_string()
}

impl RunDir {
    /// Makes the directory `out`, or `runs/<time>`, and the folders that lead to it.
    ///
    /// # Errors
    /// It exists or cannot be made: a usage error.
    pub(crate) fn create(out: Option<&Path>) -> Result<Self, Usage> {
        let path = out.map_or_else(
            || Path::new("runs").join(now().replace(':', "-").replace('Z', "")),
            Path::to_path_buf,
        );
        let parent = path.parent().filter(|p| !p.as_os_str().is_empty());
        if let Some(parent) = parent.filter(|p| !p.exists()) {
            fs::create_dir_all(parent).map_err(cannot("make", parent))?;
            give_to_invoker(parent);
        }
        fs::create_dir(&path).map_err(|e| match e.kind() {
            std::io::ErrorKind::AlreadyExists => Usage(format!(
                "--out {} exists already; name a new directory (runs are never overwritten)",
                path.display()
            )),
            _ => cannot("make", &path)(e),
        })?;
        let file = path.join("results.jsonl");
        let mut options = OpenOptions::new();
        let results = options.create_new(true).append(true).open(&file);
        let results = results.map_err(cannot("make", &file))?;
        let this = Self {
            path,
            file,
            results,
            length: 0,
        };
        this.claim()?;
        Ok(this)
    }

    /// Opens the results of a run to append to them. Changes nothing.
    ///
    /// # Errors
    /// They cannot be written, or their run is still going on: a usage error.
    pub(crate) fn open(file: &Path) -> Result<Self, Usage> {
        let results = OpenOptions::new().append(true).open(file);
        let results = results.map_err(cannot("write", file))?;
        let length = whole_lines(file).map_err(cannot("read", file))?;
        let path = file.parent().filter(|p| !p.as_os_str().is_empty());
        let this = Self {
            path: path.unwrap_or(Path::new(".")).to_path_buf(),
            file: file.to_path_buf(),
            results,
            length,
        };
        this.claim()?;
        Ok(this)
    }

    /// Released by the kernel when this process ends, however it ends.
    fn claim(&self) -> Result<(), Usage> {
        self.results.try_lock().map_err(|_| {
            Usage(format!(
                "{} is being written by another process: its run is still going on",
                self.file.display()
            ))
        })
    }

    /// Drops a last line that was cut off; returns how many bytes that were.
    ///
    /// # Errors
    /// The file cannot be shortened.
    pub(crate) fn drop_torn_line(&mut self) -> anyhow::Result<u64> {
        let length = self.results.metadata().map(|m| m.len());
        let torn = length.map(|length| length.saturating_sub(self.length));
        torn.and_then(|torn| match torn {
            0 => Ok(0),
            _ => self.results.set_len(self.length).map(|()| torn),
        })
        .with_context(|| format!("shorten {}", self.file.display()))
    }

    /// Length of the whole lines, bytes.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// The directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps a further file beside the results.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn keep(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let path = self.path.join(name);
        std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))
    }

    /// Appends one line and hands it to the disk's queue.
    ///
    /// # Errors
    /// The disk is full or gone; earlier lines are whole, and what there is of this one is taken back.
    pub(crate) fn append(&mut self, record: &Record) -> anyhow::Result<()> {
        let mut line = serde_json::to_string(record).context("encode a result line")?;
        line.push('\n');
        // One write a line: a crash can tear the last line, never an earlier one.
        let written = self.results.write_all(line.as_bytes());
        match written.and_then(|()| self.results.flush()) {
            Ok(()) => {
                self.length += line.len() as u64;
                Ok(())
            }
            Err(error) => {
                // If this fails too, the next reader drops the torn line.
                let _ = self.results.set_len(self.length);
                let said = format!(
                    "write {} (its {} bytes of whole lines are kept; --resume carries on)",
                    self.file.display(),
                    self.length
                );
                Err(error).context(said)
            }
        }
    }

    /// Removes the directory of a run that did not begin.
    pub(crate) fn abandon(self) {
        for entry in fs::read_dir(&self.path).into_iter().flatten().flatten() {
            // What cannot be removed is seen by who looks for it; the run's own error is what counts.
            let _ = fs::remove_file(entry.path());
        }
        let _ = fs::remove_dir(&self.path);
    }

    /// Gives everything in the directory to the user who called sudo.
    pub(crate) fn give_to_invoker(&self) {
        give_to_invoker(&self.path);
        for folder in [self.path.clone(), self.path.join("plots")] {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                give_to_invoker(&entry.path());
            }
        }
    }
}

/// What could not be done with a file is the user's to change.
fn cannot(act: &str, path: &Path) -> impl Fn(std::io::Error) -> Usage {
    move |error| Usage(format!("cannot {act} {}: {error}", path.display()))
}

/// Length of a file up to its last newline, bytes.
fn whole_lines(path: &Path) -> std::io::Result<u64> {
    const PIECE: u64 = 64 << 10;
    let mut file = File::open(path)?;
    let mut end = file.metadata()?.len();
    let mut piece = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(PIECE);
        file.seek(SeekFrom::Start(start))?;
        piece.clear();
        (&mut file).take(end - start).read_to_end(&mut piece)?;
        if let Some(place) = piece.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + place as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

fn give_to_invoker(path: &Path) {
    let id = |name: &str| std::env::var(name).ok()?.parse::<u32>().ok();
    if let (Some(uid), Some(gid)) = (id("SUDO_UID"), id("SUDO_GID")) {
        // Only a convenience: results that stay root's are still results.
        let _ = std::os::unix::fs::chown(path, Some(uid), Some(gid));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::EndRecord;

    fn end() -> Record {
        Record::End(EndRecord {
            ended: "complete".to_owned(),
            elapsed_ns: 1,
            runner_rss_bytes: 2,
        })
    }

    fn torn(text: &str) -> (tempfile::TempDir, RunDir) {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("results.jsonl");
        fs::write(&file, text).unwrap();
        let run_dir = RunDir::open(&file).unwrap();
        (scratch, run_dir)
    }

    #[test]
    fn a_torn_line_is_dropped_and_lines_are_added_where_it_began() {
        let (scratch, mut run_dir) = torn("{}\n{}\n{\"rec");
        assert_eq!(run_dir.length(), 6);
        assert_eq!(run_dir.drop_torn_line().unwrap(), 5);
        run_dir.append(&end()).unwrap();
        let text = fs::read_to_string(scratch.path().join("results.jsonl")).unwrap();
        assert!(text.starts_with("{}\n{}\n{\"record\":\"end\""), "{text}");
        assert_eq!(text.lines().count(), 3);
        assert_eq!(run_dir.drop_torn_line().unwrap(), 0);
    }

    #[test]
    fn the_last_newline_is_found_however_far_back_it_is() {
        let long = "x".repeat(200_000);
        for (text, whole) in [("", 0), (&long[..], 0), ("a\n", 2)] {
            let (_scratch, run_dir) = torn(text);
            assert_eq!(run_dir.length(), whole);
        }
        let (_scratch, run_dir) = torn(&format!("{long}\n{long}"));
        assert_eq!(run_dir.length(), 200_001);
    }

    #[test]
    fn results_that_are_being_written_are_not_opened_again() {
        let (scratch, run_dir) = torn("{}\n");
        let file = scratch.path().join("results.jsonl");
        let refused = RunDir::open(&file).unwrap_err().to_string();
        assert!(refused.contains("still going on"), "{refused}");
        drop(run_dir);
        assert!(RunDir::open(&file).is_ok());
    }
}
