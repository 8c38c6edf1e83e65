//! The cache of kernels: unpacked packages of the distribution, fetched and verified by its package manager
//! (`apt.rs`), owned by the user.
//!
//! One folder a package, `<package>_<version>`, which appears only when it is whole: it is unpacked under
//! another name, brought to disk, and renamed. Who changes the cache holds a lock on it; what a killed
//! fetch left is removed by the next.

mod acquire;

use std::fs;
use std::path::{Path, PathBuf};

use crate::GuestError;
use crate::kernel::{Kernel, Origin};
use crate::release::{by_version, matches, rank, series_of};
use crate::store::{self, Locked, bytes, folder};

/// A folder of unpacked kernel packages.
#[derive(Debug, Clone)]
pub struct Cache {
    folder: PathBuf,
    tell: fn(&str),
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
    /// Bytes that its files take on disk.
    pub bytes: u64,
}

/// A kernel that can be fetched.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Available {
    /// The name that `--kernel` takes for the newest of its series: "6.1".
    #[serde(rename = "name")]
    pub series: String,
    /// Name of its package.
    pub package: String,
    /// Version of the package.
    pub package_version: String,
    /// Bytes to download.
    pub download_bytes: u64,
    /// Bytes in the cache, about.
    pub installed_bytes: u64,
}

impl Cache {
    /// The cache of this user: `bench-runner/kernels` in `$XDG_CACHE_HOME`, else in the home's `.cache`, else in `/var/tmp`.
    /// Under sudo the home is that of the user who typed it, who also gets what is made there.
    #[must_use]
    pub fn of_user() -> Self {
        Self::at(folder("kernels"))
    }

    /// A cache in that folder, which is made when it is needed.
    #[must_use]
    pub const fn at(folder: PathBuf) -> Self {
        Self {
            folder,
            tell: |_| {},
        }
    }

    /// The same, which tells `tell` in lines what a fetch is doing.
    #[must_use]
    pub const fn telling(mut self, tell: fn(&str)) -> Self {
        self.tell = tell;
        self
    }

    /// Where it is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What it holds, in the order of releases.
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

    /// Bytes of the whole cache on disk: kernels, package lists, and what a killed fetch left.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        bytes(&self.folder)
    }

    /// The kernel that `spec` names: `host`, the path of an image (a word with a slash, or of a file that is
    /// there), or a package by name, release or version ("6.1" is the newest 6.1 that is here, and else the newest
    /// that the package manager has, which is then fetched).
    ///
    /// # Errors
    /// There is no such kernel (what there is is listed), a file that is no kernel, or a fetch that failed: no
    /// package manager, no network, no space.
    pub fn resolve(&self, spec: &str) -> Result<Kernel, GuestError> {
        match spec {
            "host" => Kernel::host(),
            path if path.contains('/') || Path::new(path).is_file() => {
                Kernel::from_image(Path::new(path))
            }
            name => Ok(self.kernel(name)?.kernel),
        }
    }

    /// The kernel of a name: a version ("6.1"), a release, or a package. From the cache when it is there,
    /// else fetched.
    ///
    /// # Errors
    /// There is no such package (those that there are are listed), no package manager, no network, or no
    /// space.
    pub fn kernel(&self, name: &str) -> Result<Cached, GuestError> {
        match self.cached(name)? {
            Some(cached) => Ok(cached),
            None => self.fetch(name),
        }
    }

    /// The kernel of a name as far as it is in the cache: of several the best for a guest, then the newest.
    ///
    /// # Errors
    /// The cache is there and cannot be read.
    pub fn cached(&self, name: &str) -> Result<Option<Cached>, GuestError> {
        let named = self.list()?.into_iter();
        let named = named.filter(|c| matches(name, &c.package));
        Ok(named.max_by(|a, b| rank(&a.package, &b.package)))
    }

    fn lock(&self) -> Result<Locked<'_>, GuestError> {
        Locked::new(&self.folder, self.tell)
    }

    /// Removes the kernels of a name; bytes that this freed, by package.
    ///
    /// # Errors
    /// None has that name (those that there are are listed), or something cannot be removed.
    pub fn remove(&self, name: &str) -> Result<Vec<(String, u64)>, GuestError> {
        let all = self.list()?;
        let (named, others): (Vec<Cached>, Vec<Cached>) = all
            .into_iter()
            .partition(|c| matches(name, &c.package) || series_is(name, &c.package));
        if named.is_empty() {
            let there: Vec<&str> = others.iter().map(|c| c.package.as_str()).collect();
            return Err(GuestError::NoKernel(format!(
                "no kernel '{name}' in {}; there are: {}",
                self.folder.display(),
                or_none(&there)
            )));
        }
        let locked = self.lock()?;
        let mut freed = Vec::new();
        for kernel in named {
            locked.discard(&kernel.folder)?;
            freed.push((kernel.package, kernel.bytes));
        }
        Ok(freed)
    }

    /// Removes every kernel, our package lists, and whatever a killed fetch left; the bytes that this freed.
    ///
    /// # Errors
    /// Something cannot be removed.
    pub fn clean(&self) -> Result<u64, GuestError> {
        store::clean(&self.folder, self.tell, |_| Ok(()))
    }
}

/// `6.1` names every 6.1 in the cache, also those that `--kernel` would not choose.
fn series_is(name: &str, package: &str) -> bool {
    series_of(package).is_some_and(|s| s == name)
}

fn or_none(names: &[&str]) -> String {
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
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
    let kernel = Kernel::from_image(&image).ok()?;
    Some(Cached {
        package: package.to_owned(),
        package_version: package_version.to_owned(),
        kernel: Kernel {
            origin: Origin::Package {
                name: package.to_owned(),
                version: package_version.to_owned(),
            },
            ..kernel
        },
        folder: folder.to_owned(),
        bytes: bytes(folder),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cache with one whole kernel, one that was being fetched, and one that is none.
    fn cache(folder: &Path) -> Cache {
        let whole = folder.join("linux-image-6.1.0-9-cloud-amd64_1");
        fs::create_dir_all(whole.join("boot")).unwrap();
        fs::create_dir_all(whole.join("lib/modules/6.1.0-9-cloud-amd64")).unwrap();
        let image = crate::kernel::tests::image("6.1.0-9-cloud-amd64");
        fs::write(whole.join("boot/vmlinuz-6.1.0-9-cloud-amd64"), image).unwrap();
        fs::create_dir_all(folder.join(".partial-linux-image-6.1.0-56-cloud-amd64/boot")).unwrap();
        fs::create_dir_all(folder.join("linux-image-6.1.0-56-cloud-amd64_1/boot")).unwrap();
        Cache::at(folder.to_owned())
    }

    #[test]
    fn a_half_unpacked_kernel_is_not_in_the_cache() {
        let dir = tempfile::tempdir().unwrap();
        let cache = cache(dir.path());
        let names: Vec<String> = cache
            .list()
            .unwrap()
            .into_iter()
            .map(|c| c.package)
            .collect();
        assert_eq!(names, ["linux-image-6.1.0-9-cloud-amd64"]);
    }

    #[test]
    fn cleaning_one_kernel_leaves_the_others_and_cleaning_all_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let cache = cache(dir.path());
        let error = cache.remove("6.12").unwrap_err().to_string();
        assert!(error.contains("linux-image-6.1.0-9-cloud-amd64"), "{error}");
        let freed = cache.remove("6.1").unwrap();
        assert_eq!(freed.len(), 1);
        assert!(freed[0].1 > 0, "{freed:?}");
        assert_eq!(cache.list().unwrap(), []);
        assert!(cache.clean().unwrap() > 0);
        let left: Vec<_> = fs::read_dir(dir.path()).unwrap().flatten().collect();
        assert_eq!(left.len(), 1, "the lock alone: {left:?}");
    }

    #[test]
    fn a_kernel_that_is_here_is_taken_from_here() {
        let dir = tempfile::tempdir().unwrap();
        let found = cache(dir.path()).kernel("6.1").unwrap();
        assert_eq!(found.kernel.version, "6.1.0-9-cloud-amd64");
        assert!(matches!(found.kernel.origin, Origin::Package { .. }));
    }

    #[test]
    fn a_path_that_is_not_there_is_an_error_about_the_path() {
        let cache = Cache::at(PathBuf::from("/nonexistent/cache"));
        let error = cache.resolve("/nonexistent/vmlinuz").unwrap_err();
        assert!(
            error
                .to_string()
                .contains("/nonexistent/vmlinuz: No such file"),
            "{error}"
        );
    }
}
