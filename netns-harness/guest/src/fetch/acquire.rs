//! The way of a kernel into the cache: which lists know it, whether there is room, download, unpacking.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::{Available, Cache, Cached, cached, or_none};
use crate::GuestError;
use crate::apt::{self, Lists, Package};
use crate::release::{by_version, newest, series, series_of};
use crate::store::{Locked, PARTIAL, bytes};

/// Our own package lists.
const LISTS: &str = ".lists";
/// Time limit of unpacking.
const UNPACK: Duration = Duration::from_secs(120);
/// Beside the package itself: what a file system needs for itself.
const RESERVE_BYTES: u64 = 8_000_000;

impl Cache {
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
                series: series_of(&p.name).unwrap_or_default(),
                package: p.name,
                package_version: p.version,
                download_bytes: p.download_bytes,
                installed_bytes: p.installed_bytes,
            }));
        }
        // Of one series that both lists know, the newest.
        found.sort_by(|a, b| by_version(&b.package, &a.package));
        found.dedup_by(|older, newer| older.series == newer.series);
        found.reverse();
        Ok(found)
    }

    /// Fetches the newest package of a name, whether or not an older one is here.
    ///
    /// # Errors
    /// As [`Self::kernel`].
    pub fn fetch(&self, name: &str) -> Result<Cached, GuestError> {
        let (lists, package) = self.find(name)?;
        let locked = self.lock()?;
        locked.sweep();
        if let Some(there) = cached(&self.place(&package)) {
            return Ok(there);
        }
        let done = self.fetch_from(&locked, &lists, &package);
        if !lists.is_system() || !matches!(done, Err(GuestError::Fetch { .. })) {
            return done;
        }
        // The system's lists may be older than the mirror: ours are fetched, and asked once.
        let own = self.own_lists();
        let newer = own.update(true).and_then(|()| own.kernels()).ok();
        let newer = newer.and_then(|names| newest(name, &names));
        let newer = newer.and_then(|package| own.about(&[package]).ok()?.pop());
        match newer {
            Some(newer) => self.fetch_from(&locked, &own, &newer),
            None => done,
        }
    }

    fn own_lists(&self) -> Lists {
        Lists::own(self.folder.join(LISTS))
    }

    /// Fetches our own lists; why it could not, where it could not.
    fn refresh(&self, own: &Lists, all: bool) -> Result<Option<GuestError>, GuestError> {
        (self.tell)("fetching package lists of newer kernels");
        let locked = self.lock()?;
        let failed = own.update(all).err();
        locked.give(&self.folder.join(LISTS));
        Ok(failed)
    }

    /// The system's lists, and ours, fetched if they never were.
    fn all_lists(&self) -> Result<[Lists; 2], GuestError> {
        let (system, own) = (Lists::of_system(), self.own_lists());
        if !own.fetched() {
            let none = system.kernels().map_err(no_manager("list"))?.is_empty();
            // Without a network there is still what the system knows.
            if let Some(error) = self.refresh(&own, none)? {
                (self.tell)(&error.to_string());
            }
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
            if let Some(error) = self.refresh(&own, known.is_empty())? {
                update_failed = format!("; newer ones cannot be listed ({error})");
            }
            if own.fetched() {
                known.extend(own.kernels()?);
            }
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

    fn fetch_from(
        &self,
        locked: &Locked<'_>,
        lists: &Lists,
        package: &Package,
    ) -> Result<Cached, GuestError> {
        let partial = self.folder.join(format!("{PARTIAL}{}", package.name));
        let done = self.unpack(locked, lists, package, &partial);
        if done.is_err() {
            // The reason is the download's, not that of what could not be tidied up.
            let _ = fs::remove_dir_all(&partial);
        }
        done
    }

    fn unpack(
        &self,
        locked: &Locked<'_>,
        lists: &Lists,
        package: &Package,
        partial: &Path,
    ) -> Result<Cached, GuestError> {
        let mut packages = vec![package.clone()];
        packages.extend(lists.about(&package.modules)?);
        self.room_for(locked, package, &packages)?;
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
        let folder = self.place(package);
        locked.finish(partial, &folder)?;
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
            .download(std::slice::from_ref(package), into, &mut progress)
            .map_err(|error| GuestError::Fetch {
                package: package.name.clone(),
                reason: error.to_string(),
            })
    }

    fn room_for(
        &self,
        locked: &Locked<'_>,
        package: &Package,
        packages: &[Package],
    ) -> Result<(), GuestError> {
        let bytes = packages
            .iter()
            .map(|p| p.download_bytes + p.installed_bytes);
        let (needs, free) = (bytes.sum::<u64>() + RESERVE_BYTES, locked.free()?);
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
