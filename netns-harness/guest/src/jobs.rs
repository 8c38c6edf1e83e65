//! Jobs that a guest has with it: an archive behind its initramfs. A guest whose instructions are counted gets them so,
//! because whatever comes later comes at a moment of the host's clock.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::GuestError;
use crate::cpio::Archive;

/// Where the guest finds them.
pub(crate) const JOBS: &str = "/jobs";
/// Their file is filled up to a multiple of this, so that the length of a specification does not move what the
/// kernel loads behind it.
const ROUND: usize = 64 << 10;

/// One job: the runner's binary with these arguments and this standard input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Arguments.
    pub arguments: Vec<String>,
    /// Standard input.
    pub input: String,
}

/// Writes the initramfs `base`, and the jobs behind it, to `out`. Equal inputs give equal bytes.
///
/// # Errors
/// A file cannot be read or written.
pub fn with_jobs(base: &Path, jobs: &[Job], out: &Path) -> Result<(), GuestError> {
    let mut file = File::create(out).map_err(GuestError::file("make", out))?;
    let mut from = File::open(base).map_err(GuestError::file("read", base))?;
    io::copy(&mut from, &mut file).map_err(GuestError::file("write", out))?;
    archive(jobs, file).map_err(GuestError::file("write", out))
}

/// An archive is a whole number of words long (`cpio`), and the kernel unpacks one after the other.
fn archive(jobs: &[Job], out: File) -> io::Result<()> {
    let mut archive = Archive::new(BufWriter::new(out));
    archive.file(JOBS, 0o600, encode(jobs).as_bytes())?;
    archive.finish()?.flush()
}

fn encode(jobs: &[Job]) -> String {
    let mut text = serde_json::to_string(jobs).expect("jobs are plain data");
    let length = (text.len() + 1).next_multiple_of(ROUND);
    text.extend(std::iter::repeat_n(' ', length - text.len() - 1));
    text.push('\n');
    text
}

/// The jobs that this guest has with it; `None` when it has none, and is asked instead.
///
/// # Errors
/// They cannot be read.
pub(crate) fn own() -> Result<Option<Vec<Job>>, String> {
    let text = match fs::read_to_string(JOBS) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("read {JOBS}: {error}")),
    };
    let jobs = serde_json::from_str(&text).map_err(|error| format!("read {JOBS}: {error}"))?;
    Ok(Some(jobs))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(input: &str) -> Job {
        Job {
            arguments: vec!["cell".to_owned()],
            input: input.to_owned(),
        }
    }

    #[test]
    fn what_is_encoded_is_read_again_and_has_one_length_whatever_its_own() {
        let (short, long) = (vec![job("{}")], vec![job("{}"), job(&"x".repeat(9_000))]);
        for jobs in [&short, &long] {
            let read: Vec<Job> = serde_json::from_str(&encode(jobs)).unwrap();
            assert_eq!(&read, jobs);
        }
        assert_eq!(encode(&short).len(), encode(&long).len());
    }

    #[test]
    fn jobs_lie_behind_the_initramfs_as_an_archive_of_their_own() {
        let folder = tempfile::tempdir().unwrap();
        let (base, out) = (folder.path().join("base"), folder.path().join("out"));
        let mut first = Archive::new(Vec::new());
        first.file("/init", 0o755, b"program").unwrap();
        let first = first.finish().unwrap();
        fs::write(&base, &first).unwrap();
        with_jobs(&base, &[job("{}")], &out).unwrap();
        let both = fs::read(&out).unwrap();
        assert_eq!(&both[..first.len()], first);
        assert_eq!(&both[first.len()..first.len() + 6], b"070701");
        let text = String::from_utf8_lossy(&both);
        assert_eq!(text.matches("TRAILER!!!").count(), 2);
        with_jobs(&base, &[job("{}")], &out).unwrap();
        assert_eq!(both, fs::read(&out).unwrap(), "equal inputs, equal bytes");
    }
}
