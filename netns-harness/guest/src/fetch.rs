//! The cache of kernels: unpacked packages of the distribution, fetched and verified by its package manager
//! ([`crate::apt`]), owned by the user.
//!
//! One folder a package, `<package>_<version>`, which appears only when it is whole: it is unpacked under
//! another name, brought to disk, and renamed. Who changes the cache holds a lock on it; what a killed
//! fetch left is removed by the next.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown, lchown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};
use nix::sys::statvfs::statvfs;

use crate::GuestError;
use crate::apt::{self, Lists, Package};
use crate::kernel::{Kernel, Origin};
use crate::release::{by_version, matches, newest, rank, series};

/// What is being unpacked is called so.
const PARTIAL: &str = ".partial-";
/// The lock on the cache.
const LOCK: &str = ".lock";
/// Our own package lists.
const LISTS: &str = ".lists";
/// Time limit of unpacking.
const UNPACK: Duration = Duration::from_secs(120);
/// Beside the package itself: what a file system needs for itself.
const RESERVE_BYTES: u64 = 8_000_000;

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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Available {
    /// Name of its package.
    pub package: String,
    /// Version of the package.
    pub package_version: String,
    /// The name that `--kernel` takes for the newest of its series: "6.1".
    pub series: String,
    /// Bytes to download.
    pub download_bytes: u64,
    /// Bytes in the cache, about.
    pub installed_bytes: u64,
}

impl Cache {
    /// The cache of this user: `$XDG_CACHE_HOME`, else the home's `.cache`, else `/var/tmp`; below it
    /// `bench-runner/kernels`. Under sudo the home is that of the user who typed it, who also gets what is
    /// made there.
    #[must_use]
    pub fn of_user() -> Self {
        let variable = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty());
        let invoker =
            invoker().and_then(|(uid, _)| nix::unistd::User::from_uid(uid.into()).ok()?);
        let home = invoker
            .map(|user| user.dir)
            .or_else(|| variable("HOME").map(PathBuf::from));
        let base = variable("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(|| home.map(|home| home.join(".cache")))
            .unwrap_or_else(|| PathBuf::from("/var/tmp"));
        Self::at(base.join("bench-runner/kernels"))
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

    /// The kernels that the package manager has: the newest of each series.
    ///
    /// # Errors
    /// There is no package manager.
    pub fn available(&self) -> Result<Vec<Available>, GuestError> {
        let mut found: Vec<Available> = Vec::new();
        for lists in self.all_lists()? {
            let names = lists.kernels()?;
            let newest: Vec<String> = series(&names)
                .iter()
                .filter_map(|name| newest(name, &names))
                .collect();
            found.extend(lists.about(&newest)?.into_iter().map(|p| Available {
                series: crate::release::series_of(&p.name).unwrap_or_default(),
                package: p.name,
                package_version: p.version,
                download_bytes: p.download_bytes,
                installed_bytes: p.installed_bytes,
            }));
        }
        found.sort_by(|a, b| by_version(&a.package, &b.package));
        found.dedup_by(|b, a| a.series == b.series);
        Ok(found)
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

    /// Fetches the newest package of a name, whether or not an older one is here.
    ///
    /// # Errors
    /// As [`Self::kernel`].
    pub fn fetch(&self, name: &str) -> Result<Cached, GuestError> {
        let (lists, package) = self.find(name)?;
        let _lock = self.lock()?;
        self.sweep();
        if let Some(there) = cached(&self.place(&package)) {
            return Ok(there);
        }
        match self.fetch_from(&lists, &package) {
            // The system's lists may be older than the mirror: ours are fetched now, and asked once.
            Err(GuestError::Fetch { .. }) if lists.is_system() => {
                let own = self.own_lists();
                own.update(true)
                    .and_then(|()| own.about(std::slice::from_ref(&package.name)))
                    .ok()
                    .and_then(|mut found| found.pop())
                    .map_or_else(
                        || self.fetch_from(&lists, &package),
                        |newer| self.fetch_from(&own, &newer),
                    )
            }
            done => done,
        }
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
        let _lock = self.lock()?;
        let mut freed = Vec::new();
        for kernel in named {
            self.discard(&kernel.folder)?;
            freed.push((kernel.package, kernel.bytes));
        }
        Ok(freed)
    }

    /// Removes every kernel, our package lists, and whatever a killed fetch left; the bytes that this freed.
    ///
    /// # Errors
    /// Something cannot be removed.
    pub fn clean(&self) -> Result<u64, GuestError> {
        if !self.folder.exists() {
            return Ok(0);
        }
        let _lock = self.lock()?;
        let before = self.bytes();
        let entries = fs::read_dir(&self.folder).map_err(GuestError::file("read", &self.folder))?;
        for entry in entries.flatten().filter(|e| e.file_name() != LOCK) {
            self.discard(&entry.path())?;
        }
        Ok(before.saturating_sub(self.bytes()))
    }

    fn own_lists(&self) -> Lists {
        Lists::own(self.folder.join(LISTS))
    }

    /// The system's lists, and ours, fetched if they never were.
    fn all_lists(&self) -> Result<[Lists; 2], GuestError> {
        let (system, own) = (Lists::of_system(), self.own_lists());
        if !own.fetched() {
            let none = system.kernels().map_err(no_manager("list"))?.is_empty();
            (self.tell)("fetching package lists of newer kernels");
            let _lock = self.lock()?;
            // Without a network there is still what the system knows.
            if let Err(error) = own.update(none) {
                (self.tell)(&error.to_string());
            }
            self.own(&self.folder.join(LISTS));
        }
        Ok([system, own])
    }

    /// The package of a name, and the lists that know it.
    fn find(&self, name: &str) -> Result<(Lists, Package), GuestError> {
        let system = Lists::of_system();
        let mut known = system.kernels().map_err(no_manager(name))?;
        let mut lists = system;
        let mut update_failed = String::new();
        if newest(name, &known).is_none() {
            let own = self.own_lists();
            (self.tell)("fetching package lists of newer kernels");
            let lock = self.lock()?;
            if let Err(error) = own.update(known.is_empty()) {
                update_failed = format!("; newer ones cannot be listed ({error})");
            }
            self.own(&self.folder.join(LISTS));
            drop(lock);
            let more = if own.fetched() {
                own.kernels()?
            } else {
                Vec::new()
            };
            known.extend(more);
            lists = own;
        }
        let package = newest(name, &known).ok_or_else(|| {
            let all = series(&known);
            GuestError::NoKernel(format!(
                "no kernel '{name}'; there are: host, the path of an image, or by version: {}{update_failed}",
                or_none(&all.iter().map(String::as_str).collect::<Vec<_>>())
            ))
        })?;
        let found = lists.about(std::slice::from_ref(&package))?.pop();
        found.map_or_else(
            || {
                Err(GuestError::Fetch {
                    package,
                    reason: "the package manager lists it and knows nothing of it".to_owned(),
                })
            },
            |package| Ok((lists, package)),
        )
    }

    fn place(&self, package: &Package) -> PathBuf {
        self.folder
            .join(format!("{}_{}", package.name, package.version))
    }

    fn fetch_from(&self, lists: &Lists, package: &Package) -> Result<Cached, GuestError> {
        let partial = self.folder.join(format!("{PARTIAL}{}", package.name));
        let done = self.unpack(lists, package, &partial);
        if done.is_err() {
            // The reason is the download's, not that of what could not be tidied up.
            let _ = fs::remove_dir_all(&partial);
        }
        done
    }

    fn unpack(
        &self,
        lists: &Lists,
        package: &Package,
        partial: &Path,
    ) -> Result<Cached, GuestError> {
        let mut packages = vec![package.clone()];
        packages.extend(lists.about(&package.modules)?);
        self.room_for(package, &packages)?;
        fs::create_dir(partial).map_err(GuestError::file("make", partial))?;
        for package in &packages {
            self.download(lists, package, partial)?;
        }
        (self.tell)(&format!("unpacking {}", package.name));
        let entries = fs::read_dir(partial).map_err(GuestError::file("read", partial))?;
        let archives: Vec<PathBuf> = entries.flatten().map(|e| e.path()).collect();
        for archive in &archives {
            let mut extract = Command::new("dpkg-deb");
            extract.arg("--extract").arg(archive).arg(partial);
            apt::output(extract, UNPACK, &mut || {})?;
            fs::remove_file(archive).map_err(GuestError::file("remove", archive))?;
        }
        // Documentation is a third of a package's files, and nobody reads it here.
        let _ = fs::remove_dir_all(partial.join("usr/share"));
        // Moved to its name only when all of it is on disk.
        let disk = fs::File::open(partial).map_err(GuestError::file("open", partial))?;
        nix::unistd::syncfs(&disk).map_err(|e| GuestError::file("write", partial)(e.into()))?;
        let folder = self.place(package);
        fs::rename(partial, &folder).map_err(GuestError::file("make", &folder))?;
        let parent = fs::File::open(&self.folder).and_then(|f| f.sync_all());
        parent.map_err(GuestError::file("write", &self.folder))?;
        self.own(&folder);
        cached(&folder).ok_or_else(|| GuestError::Foreign {
            path: folder.clone(),
            reason: format!("package {} holds no kernel with modules", package.name),
        })
    }

    fn download(&self, lists: &Lists, package: &Package, into: &Path) -> Result<(), GuestError> {
        let mb = |bytes: u64| bytes as f64 / 1e6;
        let all = mb(package.download_bytes);
        (self.tell)(&format!(
            "fetching {} {} ({all:.1} MB)",
            package.name, package.version
        ));
        let (tell, mut told) = (self.tell, 0);
        let before = bytes(into);
        let mut progress = || {
            let tenth = (bytes(into) - before) * 10 / package.download_bytes.max(1);
            if tenth > told && tenth < 10 {
                told = tenth;
                tell(&format!(
                    "  {:.1} of {all:.1} MB",
                    all * tenth as f64 / 10.0
                ));
            }
        };
        lists
            .download(package, into, &mut progress)
            .map_err(|error| GuestError::Fetch {
                package: package.name.clone(),
                reason: error.to_string(),
            })
    }

    fn room_for(&self, package: &Package, packages: &[Package]) -> Result<(), GuestError> {
        let needs = packages
            .iter()
            .map(|p| p.download_bytes + p.installed_bytes)
            .sum::<u64>()
            + RESERVE_BYTES;
        let disk = statvfs(&self.folder)
            .map_err(|e| GuestError::file("look at the disk of", &self.folder)(e.into()))?;
        let free = disk.blocks_available() * disk.fragment_size();
        if free >= needs {
            return Ok(());
        }
        Err(GuestError::NoSpace {
            package: package.name.clone(),
            folder: self.folder.clone(),
            needs,
            free,
        })
    }

    /// Waits until nobody else changes the cache. The lock ends with its holder, however that ends.
    fn lock(&self) -> Result<Flock<fs::File>, GuestError> {
        self.make()?;
        let path = self.folder.join(LOCK);
        let open = || {
            let mut options = fs::File::options();
            options.create(true).append(true).open(&path)
        };
        let file = open().map_err(GuestError::file("open", &path))?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(lock),
            Err((file, _)) => {
                (self.tell)("another process changes the cache: waiting for it");
                Flock::lock(file, FlockArg::LockExclusive)
                    .map_err(|(_, e)| GuestError::file("lock", &path)(e.into()))
            }
        }
    }

    /// Makes the folder, and gives what it makes to the user who typed sudo.
    fn make(&self) -> Result<(), GuestError> {
        let missing: Vec<PathBuf> = self
            .folder
            .ancestors()
            .take_while(|f| !f.as_os_str().is_empty() && !f.exists())
            .map(Path::to_path_buf)
            .collect();
        fs::create_dir_all(&self.folder).map_err(GuestError::file("make", &self.folder))?;
        if let Some((uid, gid)) = invoker() {
            for folder in missing {
                // Only a convenience: a cache that stays root's is still a cache.
                let _ = chown(folder, Some(uid), Some(gid));
            }
        }
        Ok(())
    }

    /// Gives a folder and what it holds to the user who typed sudo.
    fn own(&self, folder: &Path) {
        if let Some((uid, gid)) = invoker() {
            let _ = lchown(self.folder.join(LOCK), Some(uid), Some(gid));
            give(folder, uid, gid);
        }
    }

    /// Removes a folder so that none that is half removed looks whole.
    fn discard(&self, folder: &Path) -> Result<(), GuestError> {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let going = self.folder.join(format!("{PARTIAL}{name}"));
        let going = match fs::rename(folder, &going) {
            Ok(()) => going,
            Err(_) => folder.to_owned(),
        };
        fs::remove_dir_all(&going).map_err(GuestError::file("remove", going))
    }

    /// Removes what killed fetches left. Call under the lock.
    fn sweep(&self) {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        for entry in entries.filter(|e| is_partial(&e.file_name())) {
            // What cannot be removed is in nobody's way: it is never taken for a kernel.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn is_partial(name: &OsStr) -> bool {
    name.to_string_lossy().starts_with(PARTIAL)
}

/// `6.1` names every 6.1 in the cache, also those that `--kernel` would not choose.
fn series_is(name: &str, package: &str) -> bool {
    crate::release::series_of(package).is_some_and(|s| s == name)
}

fn or_none(names: &[&str]) -> String {
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

/// Turns "no such program" into what that means for a kernel.
fn no_manager(kernel: &str) -> impl FnOnce(GuestError) -> GuestError + '_ {
    move |error| match error {
        GuestError::File { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            GuestError::NoPackageManager {
                kernel: kernel.to_owned(),
                program: "apt-cache",
            }
        }
        other => other,
    }
}

/// The user who typed sudo, as sudo says it.
fn invoker() -> Option<(u32, u32)> {
    let id = |name: &str| std::env::var(name).ok()?.parse::<u32>().ok();
    let root = nix::unistd::geteuid().is_root();
    root.then(|| Some((id("SUDO_UID")?, id("SUDO_GID")?)))?
}

fn give(path: &Path, uid: u32, gid: u32) {
    // A convenience, as above.
    let _ = lchown(path, Some(uid), Some(gid));
    let is_folder = fs::symlink_metadata(path).is_ok_and(|m| m.is_dir());
    let entries = is_folder.then(|| fs::read_dir(path).ok()).flatten();
    for entry in entries.into_iter().flatten().flatten() {
        give(&entry.path(), uid, gid);
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

/// Bytes on disk of a file, or of a folder and what it holds.
fn bytes(path: &Path) -> u64 {
    // 512 bytes a block, whatever the file system's: stat(2).
    let own = fs::symlink_metadata(path).map_or(0, |m| m.blocks() * 512);
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    own + entries.map(|entry| bytes(&entry.path())).sum::<u64>()
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
    fn a_half_unpacked_kernel_is_not_in_the_cache_and_is_swept() {
        let dir = tempfile::tempdir().unwrap();
        let cache = cache(dir.path());
        let names: Vec<String> = cache
            .list()
            .unwrap()
            .into_iter()
            .map(|c| c.package)
            .collect();
        assert_eq!(names, ["linux-image-6.1.0-9-cloud-amd64"]);
        cache.sweep();
        assert!(
            !dir.path()
                .join(".partial-linux-image-6.1.0-56-cloud-amd64")
                .exists()
        );
        assert_eq!(cache.list().unwrap().len(), 1);
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
}
