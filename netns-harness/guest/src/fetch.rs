//! Kernels from the distribution: found, fetched and verified by its package manager, unpacked without
//! root into a cache.
//!
//! The cache holds one folder a package, `<package>_<version>`, which appears only when it is whole: it is
//! unpacked under another name and renamed.

use std::cmp::Ordering;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::GuestError;
use crate::kernel::Kernel;

/// Time limit of a download.
const DOWNLOAD_SECONDS: &str = "600";

/// A folder of unpacked kernel packages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cache {
    folder: PathBuf,
}

/// A kernel in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cached {
    /// Name of its package, for example `linux-image-6.1.0-56-cloud-amd64`.
    pub package: String,
    /// Version of the package.
    pub package_version: String,
    /// The kernel.
    pub kernel: Kernel,
    /// Its folder.
    pub folder: PathBuf,
    /// Bytes of its files.
    pub bytes: u64,
}

impl Cache {
    /// The cache of this user: `$XDG_CACHE_HOME`, else `$HOME/.cache`, else `/var/tmp`; below it
    /// `bench-runner/kernels`.
    #[must_use]
    pub fn of_user() -> Self {
        let variable = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty());
        let base = variable("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(|| variable("HOME").map(|home| PathBuf::from(home).join(".cache")))
            .unwrap_or_else(|| PathBuf::from("/var/tmp"));
        Self::at(base.join("bench-runner/kernels"))
    }

    /// A cache in that folder, which is made when it is needed.
    #[must_use]
    pub const fn at(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Where it is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What it holds, by package, newest package of a name last.
    ///
    /// # Errors
    /// The folder is there and cannot be read.
    pub fn list(&self) -> Result<Vec<Cached>, GuestError> {
        if !self.folder.exists() {
            return Ok(Vec::new());
        }
        let entries = fs::read_dir(&self.folder).map_err(GuestError::file("read", &self.folder))?;
        let mut all: Vec<Cached> = entries
            .flatten()
            .filter_map(|entry| cached(&entry.path()))
            .collect();
        all.sort_by(|a, b| by_version(&a.package, &b.package));
        Ok(all)
    }

    /// Removes every kernel, and whatever an interrupted download left.
    ///
    /// # Errors
    /// Something cannot be removed.
    pub fn clean(&self) -> Result<(), GuestError> {
        if !self.folder.exists() {
            return Ok(());
        }
        fs::remove_dir_all(&self.folder).map_err(GuestError::file("remove", &self.folder))
    }

    /// The kernel of a name: a version ("6.1"), or a package. From the cache when it is there, else
    /// fetched.
    ///
    /// # Errors
    /// There is no such package (those that there are are listed), no package manager, no network, or no
    /// space.
    pub fn kernel(&self, name: &str) -> Result<Cached, GuestError> {
        let here = self
            .list()?
            .into_iter()
            .rfind(|c| matches(name, &c.package));
        match here {
            Some(cached) => Ok(cached),
            None => self.fetch(name),
        }
    }

    /// Fetches the newest package of a name, whether or not an older one is here.
    ///
    /// # Errors
    /// As [`Self::kernel`].
    pub fn fetch(&self, name: &str) -> Result<Cached, GuestError> {
        let package = newest(name, &available()?)?;
        fs::create_dir_all(&self.folder).map_err(GuestError::file("make", &self.folder))?;
        let unpacking = self
            .folder
            .join(format!(".{package}.{}", std::process::id()));
        let done = self.unpack(&package, &unpacking);
        if done.is_err() {
            // The reason is the download's, not that of what could not be tidied up.
            let _ = fs::remove_dir_all(&unpacking);
        }
        done
    }

    fn unpack(&self, package: &str, unpacking: &Path) -> Result<Cached, GuestError> {
        let _ = fs::remove_dir_all(unpacking);
        fs::create_dir(unpacking).map_err(GuestError::file("make", unpacking))?;
        let mut download = Command::new("timeout");
        download
            .args([DOWNLOAD_SECONDS, "apt-get", "-q", "download", package])
            .current_dir(unpacking);
        output(&mut download)?;
        let archive = fs::read_dir(unpacking)
            .map_err(GuestError::file("read", unpacking))?
            .flatten()
            .map(|e| e.path())
            .find(|p| p.extension().is_some_and(|e| e == "deb"))
            .ok_or_else(|| GuestError::Program {
                program: "apt-get download".to_owned(),
                reason: format!("it left no package file of {package}"),
            })?;
        let mut field = Command::new("dpkg-deb");
        field.arg("--field").arg(&archive).arg("Version");
        let version = output(&mut field)?.trim().to_owned();
        let mut extract = Command::new("dpkg-deb");
        extract.arg("--extract").arg(&archive).arg(unpacking);
        output(&mut extract)?;
        fs::remove_file(&archive).map_err(GuestError::file("remove", &archive))?;
        let folder = self.folder.join(format!("{package}_{version}"));
        let _ = fs::remove_dir_all(&folder);
        fs::rename(unpacking, &folder).map_err(GuestError::file("make", &folder))?;
        cached(&folder).ok_or_else(|| GuestError::Foreign {
            path: folder.clone(),
            reason: format!("package {package} holds no kernel with modules"),
        })
    }
}

/// What a folder of the cache holds; `None` when it is not a whole kernel.
fn cached(folder: &Path) -> Option<Cached> {
    let name = folder.file_name()?.to_str()?;
    let (package, package_version) = name.split_once('_')?;
    if name.starts_with('.') {
        return None;
    }
    let boot = fs::read_dir(folder.join("boot")).ok()?;
    let image = boot.flatten().map(|e| e.path()).find(|p| {
        p.file_name()
            .is_some_and(|n| n.to_string_lossy().starts_with("vmlinuz"))
    })?;
    Some(Cached {
        package: package.to_owned(),
        package_version: package_version.to_owned(),
        kernel: Kernel::from_image(&image).ok()?,
        folder: folder.to_owned(),
        bytes: bytes(folder),
    })
}

fn bytes(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(m) if m.is_dir() => bytes(&entry.path()),
            Ok(m) => m.len(),
            Err(_) => 0,
        })
        .sum()
}

fn output(command: &mut Command) -> Result<String, GuestError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let failed = |reason: String| GuestError::Program {
        program: program.clone(),
        reason,
    };
    let done = command
        .env("LC_ALL", "C")
        .stdin(std::process::Stdio::null())
        .output()
        .map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => failed(
                "not found; kernels are fetched on Debian and Ubuntu, elsewhere name an image: --kernel PATH".to_owned(),
            ),
            _ => failed(e.to_string()),
        })?;
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
    }
    let text = String::from_utf8_lossy(&done.stderr);
    let said: Vec<&str> = text.lines().rev().take(2).collect();
    Err(failed(format!("{}: {}", done.status, said.join("; "))))
}

/// Kernel packages that the package manager knows.
fn available() -> Result<Vec<String>, GuestError> {
    let mut search = Command::new("apt-cache");
    search.args(["search", "--names-only", "^linux-image-[0-9]"]);
    let text = output(&mut search)?;
    let names = text.lines().filter_map(|l| l.split_whitespace().next());
    let plain = |n: &&str| !n.contains("-dbg") && !n.contains("-unsigned") && !n.contains("-rt-");
    Ok(names.filter(plain).map(str::to_owned).collect())
}

/// Whether a package is of that name: itself, or a kernel of that version for virtual machines.
fn matches(name: &str, package: &str) -> bool {
    if name == package {
        return true;
    }
    let Some(rest) = package.strip_prefix("linux-image-") else {
        return false;
    };
    let of_version = rest
        .strip_prefix(name)
        .is_some_and(|r| r.starts_with(['.', '-', '+']));
    // A meta-package has no kernel of its own: "6.12-cloud-amd64".
    let meta = rest
        .split('-')
        .next()
        .is_some_and(|v| v.split('.').count() < 3);
    of_version && !meta && (rest.contains("-cloud-") || rest.ends_with("-kvm"))
}

/// The newest package of a name.
fn newest(name: &str, available: &[String]) -> Result<String, GuestError> {
    let mut found: Vec<&String> = available.iter().filter(|p| matches(name, p)).collect();
    found.sort_by(|a, b| by_version(a, b));
    found.last().map(|p| (*p).clone()).ok_or_else(|| {
        let mut series: Vec<String> = available
            .iter()
            .filter(|p| p.contains("-cloud-") || p.ends_with("-kvm"))
            .filter_map(|p| {
                let version = p.strip_prefix("linux-image-")?;
                let mut parts = version.split(['.', '-']);
                Some(format!("{}.{}", parts.next()?, parts.next()?))
            })
            .collect();
        series.sort_by(|a, b| by_version(a, b));
        series.dedup();
        GuestError::NoKernel(format!(
            "no kernel '{name}'; there are: host, a path, or a package by version: {}",
            if series.is_empty() {
                "none (try apt-get update)".to_owned()
            } else {
                series.join(", ")
            }
        ))
    })
}

/// Orders names by their numbers, then by their letters.
fn by_version(a: &str, b: &str) -> Ordering {
    fn parts(text: &str) -> Vec<(u64, String)> {
        text.split(['.', '-', '+', '_'])
            .map(|part| (part.parse().unwrap_or(0), part.to_owned()))
            .collect()
    }
    parts(a).cmp(&parts(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Vec<String> {
        [
            "linux-image-6.1.0-9-cloud-amd64",
            "linux-image-6.1.0-56-cloud-amd64",
            "linux-image-6.1.0-56-amd64",
            "linux-image-6.12-cloud-amd64",
            "linux-image-6.12.107+deb12-cloud-amd64",
            "linux-image-6.12.117+deb12-cloud-amd64",
        ]
        .map(str::to_owned)
        .to_vec()
    }

    #[test]
    fn a_version_gives_its_newest_package_for_virtual_machines() {
        let newest = |name| newest(name, &known()).unwrap();
        assert_eq!(newest("6.1"), "linux-image-6.1.0-56-cloud-amd64");
        assert_eq!(newest("6.12"), "linux-image-6.12.117+deb12-cloud-amd64");
        assert_eq!(
            newest("linux-image-6.1.0-9-cloud-amd64"),
            "linux-image-6.1.0-9-cloud-amd64"
        );
    }

    #[test]
    fn an_unknown_version_lists_what_there_is() {
        let error = newest("5.4", &known()).unwrap_err().to_string();
        assert!(error.contains("6.1, 6.12"), "{error}");
        assert!(
            newest("6", &known()).is_ok(),
            "a series by its first number"
        );
    }

    #[test]
    fn a_half_unpacked_kernel_is_not_in_the_cache() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join(".linux-image-6.1.0-56-cloud-amd64.77/boot")).unwrap();
        fs::create_dir_all(dir.path().join("linux-image-6.1.0-56-cloud-amd64_1/boot")).unwrap();
        let cache = Cache::at(dir.path().to_owned());
        assert_eq!(cache.list().unwrap(), []);
        cache.clean().unwrap();
        assert!(!dir.path().exists());
    }
}
