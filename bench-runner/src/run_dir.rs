//! The run directory: made once, never overwritten, owned by the invoking user. Results are appended and
//! flushed line by line: what was measured is not lost.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use schema::Record;

use crate::exit::Usage;

/// A run directory with its open results file.
#[derive(Debug)]
pub(crate) struct RunDir {
    path: PathBuf,
    results: File,
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
        if let Some(parent) = path
            .parent()
            .filter(|p| !p.as_os_str().is_empty() && !p.exists())
        {
            fs::create_dir_all(parent)
                .map_err(|e| Usage(format!("cannot make {}: {e}", parent.display())))?;
            give_to_invoker(parent);
        }
        fs::create_dir(&path).map_err(|e| match e.kind() {
            std::io::ErrorKind::AlreadyExists => Usage(format!(
                "--out {} exists already; name a new directory (runs are never overwritten)",
                path.display()
            )),
            _ => Usage(format!("cannot make {}: {e}", path.display())),
        })?;
        let file = path.join("results.jsonl");
        let results = OpenOptions::new()
            .create_new(true)
            .append(true)
            .open(&file)
            .map_err(|e| Usage(format!("cannot make {}: {e}", file.display())))?;
        Ok(Self { path, results })
    }

    /// The directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Appends one line and hands it to the disk's queue.
    ///
    /// # Errors
    /// The disk is full or gone; earlier lines are whole.
    pub(crate) fn append(&mut self, record: &Record) -> anyhow::Result<()> {
        let mut line = serde_json::to_string(record).context("encode a result line")?;
        line.push('\n');
        // One write a line: a crash can tear the last line, never an earlier one.
        self.results
            .write_all(line.as_bytes())
            .and_then(|()| self.results.flush())
            .with_context(|| format!("write {}", self.path.join("results.jsonl").display()))
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

fn give_to_invoker(path: &Path) {
    let id = |name: &str| std::env::var(name).ok()?.parse::<u32>().ok();
    if let (Some(uid), Some(gid)) = (id("SUDO_UID"), id("SUDO_GID")) {
        // Only a convenience: results that stay root's are still results.
        let _ = std::os::unix::fs::chown(path, Some(uid), Some(gid));
    }
}
