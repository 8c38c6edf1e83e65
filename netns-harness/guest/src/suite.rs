//! Tools of another suite of the distribution: nftables, iptables, ipset and ipvsadm with the libraries that they load,
//! fetched and verified by its package manager as kernels are ([`crate::fetch`]).
//!
//! One folder a suite, of which only `usr/sbin` and the library folder are kept, and of these what the tools need: a stay
//! mounts the two over its own ([`netns_sys::isolation::mount_suite`]), and a guest has them beside its own.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use netns_sys::tools::{LIBRARIES, SBIN};
use nix::fcntl::{Flock, FlockArg};

use crate::GuestError;
use crate::apt::{self, Lists, Package};
use crate::elf;
use crate::image::{TOOLS, is_elf};
use crate::store::{self, Locked, PARTIAL, bytes, folder};

/// The packages that hold them.
const PACKAGES: [&str; 4] = ["nftables", "iptables", "ipset", "ipvsadm"];
/// The packages that were unpacked, a line each: name, version.
const UNPACKED: &str = "packages";
/// Where packages put programs, and where they put libraries, merged into one `usr` or not.
const PROGRAM_FOLDERS: [&str; 4] = ["usr/sbin", "usr/bin", "sbin", "bin"];
const LIBRARY_FOLDERS: [&str; 6] = [
    LIBRARIES,
    "lib/x86_64-linux-gnu",
    "usr/lib64",
    "lib64",
    "usr/lib",
    "lib",
];
/// Time limit of unpacking a package.
const UNPACK: Duration = Duration::from_secs(120);
/// Beside the packages: what a file system needs for itself, and the lists.
const RESERVE_BYTES: u64 = 120_000_000;

/// The cache of suites.
#[derive(Debug, Clone)]
pub struct Suites {
    folder: PathBuf,
    tell: fn(&str),
}

/// A suite's tools.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suite {
    /// Its name: "trixie".
    pub name: String,
    /// Its folder.
    pub root: PathBuf,
    /// The packages that were unpacked, and their versions.
    pub packages: BTreeMap<String, String>,
    /// Bytes that its files take on disk.
    pub bytes: u64,
}

impl Suite {
    /// The versions of the tools' own packages, as "nftables 1.1.3-1, …", and of the C library.
    #[must_use]
    pub fn versions(&self) -> String {
        let told = PACKAGES.iter().copied().chain(["libc6"]);
        let told = told.filter_map(|name| Some(format!("{name} {}", self.packages.get(name)?)));
        told.collect::<Vec<_>>().join(", ")
    }
}

/// Whether a suite can have that name.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b);
    name.bytes().all(plain) && name.starts_with(|c: char| c.is_ascii_lowercase())
}

impl Suites {
    /// The cache of this user: `bench-runner/tools` beside that of kernels.
    #[must_use]
    pub fn of_user() -> Self {
        Self::at(folder("tools"))
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

    /// Where a suite's folder is, or would be.
    #[must_use]
    pub fn place(&self, suite: &str) -> PathBuf {
        self.folder.join(suite)
    }

    /// What it holds, by name.
    ///
    /// # Errors
    /// The folder is there and cannot be read.
    pub fn list(&self) -> Result<Vec<Suite>, GuestError> {
        if !self.folder.exists() {
            return Ok(Vec::new());
        }
        let entries = fs::read_dir(&self.folder).map_err(GuestError::file("read", &self.folder))?;
        let mut all: Vec<Suite> = entries
            .flatten()
            .filter_map(|e| cached(&e.path()))
            .collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    /// Bytes of the whole cache on disk.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        bytes(&self.folder)
    }

    /// A suite's tools: from the cache when they are there, else fetched.
    ///
    /// # Errors
    /// As [`Self::fetch`].
    pub fn suite(&self, name: &str) -> Result<Suite, GuestError> {
        if let Some(suite) = cached(&self.place(name)) {
            return Ok(suite);
        }
        let locked = Locked::new(&self.folder, self.tell)?;
        // Another process may have fetched it meanwhile.
        match cached(&self.place(name)) {
            Some(suite) => Ok(suite),
            None => self.fetch_locked(&locked, name),
        }
    }

    /// Fetches a suite's tools as they are now; those that were here are replaced once the new ones are whole.
    ///
    /// # Errors
    /// There is no such suite, no package manager, no network, or no space.
    pub fn fetch(&self, name: &str) -> Result<Suite, GuestError> {
        let locked = Locked::new(&self.folder, self.tell)?;
        self.fetch_locked(&locked, name)
    }

    fn fetch_locked(&self, locked: &Locked<'_>, name: &str) -> Result<Suite, GuestError> {
        locked.sweep();
        let partial = self.folder.join(format!("{PARTIAL}{name}"));
        let done = self.make(locked, name, &partial);
        // Of what failed nothing is left; why it failed is the reason, not what could not be tidied up.
        let _ = fs::remove_dir_all(&partial);
        done
    }

    fn make(&self, locked: &Locked<'_>, name: &str, partial: &Path) -> Result<Suite, GuestError> {
        let (lists, archives) = (partial.join("lists"), partial.join("archives"));
        let (all, root) = (partial.join("all"), partial.join("root"));
        for folder in [&lists, &archives, &all] {
            fs::create_dir_all(folder).map_err(GuestError::file("make", folder))?;
        }
        let packages = self.known(name, &Lists::of_nothing(lists.clone()))?;
        let sizes = packages
            .iter()
            .map(|p| p.download_bytes + p.installed_bytes);
        let (needs, free) = (sizes.sum::<u64>() + RESERVE_BYTES, locked.free()?);
        if free < needs {
            return Err(GuestError::NoSpace {
                package: format!("the tools of {name}"),
                folder: self.folder.clone(),
                needs,
                free,
            });
        }
        let megabytes = packages.iter().map(|p| p.download_bytes).sum::<u64>() as f64 / 1e6;
        (self.tell)(&format!(
            "fetching the tools of {name}: {} packages, {megabytes:.1} MB",
            packages.len()
        ));
        let failed = no_suite(name);
        let lists = Lists::of_nothing(lists);
        let fetched = lists.download(&packages, &archives, &mut || {});
        fetched.map_err(failed)?;
        let entries = fs::read_dir(&archives).map_err(GuestError::file("read", &archives))?;
        for archive in entries.flatten() {
            let mut extract = Command::new("dpkg-deb");
            extract.arg("--extract").arg(archive.path()).arg(&all);
            apt::output(extract, UNPACK, &mut || {})?;
        }
        keep(&all, &root)?;
        let lines = packages
            .iter()
            .map(|p| format!("{} {}\n", p.name, p.version));
        let list = root.join(UNPACKED);
        fs::write(&list, lines.collect::<String>()).map_err(GuestError::file("write", &list))?;
        let place = self.place(name);
        if place.exists() {
            is_free(&place)?;
            locked.discard(&place)?;
        }
        locked.finish(&root, &place)?;
        cached(&place).ok_or_else(|| GuestError::Foreign {
            path: place.clone(),
            reason: "was made and cannot be read".to_owned(),
        })
    }

    /// The packages that the tools of a suite are in, with all that they need.
    fn known(&self, name: &str, lists: &Lists) -> Result<Vec<Package>, GuestError> {
        (self.tell)(&format!("fetching the package lists of {name}"));
        lists.update_suite(name).map_err(no_suite(name))?;
        let names = lists.installs(&PACKAGES).map_err(no_suite(name))?;
        lists.about(&names)
    }

    /// Removes a suite's tools; the bytes that this freed.
    ///
    /// # Errors
    /// It is not there (those that are are listed), or something cannot be removed.
    pub fn remove(&self, name: &str) -> Result<u64, GuestError> {
        let all = self.list()?;
        let Some(suite) = all.iter().find(|suite| suite.name == name) else {
            let there: Vec<&str> = all.iter().map(|suite| suite.name.as_str()).collect();
            let there = if there.is_empty() {
                "none".to_owned()
            } else {
                there.join(", ")
            };
            return Err(GuestError::NoSuite(format!(
                "no tools of '{name}' in {}; there are: {there}",
                self.folder.display()
            )));
        };
        let locked = Locked::new(&self.folder, self.tell)?;
        is_free(&suite.root)?;
        locked.discard(&suite.root)?;
        Ok(suite.bytes)
    }

    /// Removes every suite, and whatever a killed fetch left; the bytes that this freed.
    ///
    /// # Errors
    /// Something cannot be removed.
    pub fn clean(&self) -> Result<u64, GuestError> {
        store::clean(&self.folder, self.tell, is_free)
    }
}

/// A suite that is used: nobody replaces or removes it until this is dropped or its process ends, however it ends.
#[derive(Debug)]
pub struct InUse(#[expect(dead_code, reason = "held")] Flock<fs::File>);

impl Suite {
    /// Holds it for as long as it is used.
    ///
    /// # Errors
    /// Its list cannot be read, or it is being replaced.
    pub fn hold(&self) -> Result<InUse, GuestError> {
        let list = self.root.join(UNPACKED);
        let file = fs::File::open(&list).map_err(GuestError::file("open", &list))?;
        let locked = Flock::lock(file, FlockArg::LockSharedNonblock);
        let locked = locked.map_err(|(_, e)| GuestError::file("lock", &list)(e.into()))?;
        Ok(InUse(locked))
    }
}

/// Whether nobody uses a suite's folder.
fn is_free(root: &Path) -> Result<(), GuestError> {
    // What has no list is no suite, which nobody can use.
    let Ok(file) = fs::File::open(root.join(UNPACKED)) else {
        return Ok(());
    };
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(_free) => Ok(()),
        Err(_) => Err(GuestError::NoSuite(format!(
            "a run uses the tools of '{}': wait for its end",
            root.file_name().unwrap_or_default().display()
        ))),
    }
}

/// What a folder of the cache holds; `None` when it is no whole suite.
fn cached(folder: &Path) -> Option<Suite> {
    let name = folder.file_name()?.to_str().filter(|name| is_name(name))?;
    let text = fs::read_to_string(folder.join(UNPACKED)).ok()?;
    let packages = text.lines().filter_map(|line| {
        let (name, version) = line.split_once(' ')?;
        Some((name.to_owned(), version.to_owned()))
    });
    Some(Suite {
        name: name.to_owned(),
        root: folder.to_owned(),
        packages: packages.collect(),
        bytes: bytes(folder),
    })
}

/// What the package manager's refusal means for a suite.
fn no_suite(suite: &str) -> impl FnOnce(GuestError) -> GuestError + '_ {
    move |error| {
        let GuestError::Program { reason: apt, .. } = &error else {
            return GuestError::NoSuite(format!(
                "the tools of '{suite}' cannot be fetched ({error}): they are fetched on Debian and Ubuntu; elsewhere name a file: --tool nft=PATH"
            ));
        };
        let is_unknown = apt.contains("does not have a Release file");
        GuestError::NoSuite(match is_unknown {
            true => format!(
                "this distribution has no suite '{suite}' ({apt}): name one of its own, such as trixie or sid of Debian, noble of Ubuntu"
            ),
            false => format!(
                "the tools of '{suite}' cannot be fetched: {apt}; look at the network, or use a suite that is here (bench-runner tools list)"
            ),
        })
    }
}

/// Copies the tools, their plug-ins, and what these load from unpacked packages to a suite's folder.
fn keep(all: &Path, root: &Path) -> Result<(), GuestError> {
    let (sbin, libraries) = (root.join(SBIN), root.join(LIBRARIES));
    let plugins = libraries.join("xtables");
    for folder in [&sbin, &plugins] {
        fs::create_dir_all(folder).map_err(GuestError::file("make", folder))?;
    }
    let mut programs = Vec::new();
    for tool in TOOLS {
        let folders = PROGRAM_FOLDERS.iter().map(|folder| all.join(folder));
        let found = folders.map(|f| f.join(tool)).find(|path| path.is_file());
        // A script, as ipvsadm-save is, is nothing that modes start.
        let Some(found) = found.filter(|path| is_elf(path)) else {
            continue;
        };
        let real = real(&found)?;
        let own = sbin.join(real.file_name().unwrap_or_default());
        copy(&real, &own)?;
        let named = sbin.join(tool);
        if named != own {
            symlink(real.file_name().unwrap_or_default(), &named)
                .map_err(GuestError::file("make", &named))?;
        }
        programs.push(real);
    }
    let folders: Vec<PathBuf> = LIBRARY_FOLDERS.iter().map(|f| all.join(f)).collect();
    for folder in folders.iter().map(|f| f.join("xtables")) {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        for entry in entries.filter(|e| is_elf(&e.path())) {
            copy(&real(&entry.path())?, &plugins.join(entry.file_name()))?;
            programs.push(entry.path());
        }
    }
    for (name, library) in elf::libraries(&programs, &folders)? {
        copy(&library, &libraries.join(name))?;
    }
    Ok(())
}

fn real(path: &Path) -> Result<PathBuf, GuestError> {
    path.canonicalize().map_err(GuestError::file("find", path))
}

fn copy(from: &Path, to: &Path) -> Result<(), GuestError> {
    fs::copy(from, to)
        .map(drop)
        .map_err(GuestError::file("copy", from))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suites(folder: &Path) -> Suites {
        let trixie = folder.join("trixie");
        fs::create_dir_all(trixie.join(SBIN)).unwrap();
        fs::write(trixie.join(UNPACKED), "nftables 1.1.3-1\nlibc6 2.41-12\n").unwrap();
        // What a killed fetch left, and what is none.
        fs::create_dir_all(folder.join(".partial-sid/all")).unwrap();
        fs::create_dir_all(folder.join("forky")).unwrap();
        Suites::at(folder.to_owned())
    }

    #[test]
    fn only_whole_suites_are_there_and_they_say_their_versions() {
        let dir = tempfile::tempdir().unwrap();
        let all = suites(dir.path()).list().unwrap();
        let names: Vec<&str> = all.iter().map(|suite| suite.name.as_str()).collect();
        assert_eq!(names, ["trixie"]);
        assert_eq!(all[0].versions(), "nftables 1.1.3-1, libc6 2.41-12");
    }

    #[test]
    fn removing_one_that_is_not_there_lists_those_that_are_and_cleaning_leaves_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let suites = suites(dir.path());
        let error = suites.remove("sid").unwrap_err().to_string();
        assert!(error.contains("there are: trixie"), "{error}");
        assert!(suites.remove("trixie").unwrap() > 0);
        suites.clean().unwrap();
        let left: Vec<_> = fs::read_dir(dir.path()).unwrap().flatten().collect();
        assert_eq!(left.len(), 1, "the lock alone: {left:?}");
    }

    #[test]
    fn what_is_used_is_neither_removed_nor_cleaned_away() {
        let dir = tempfile::tempdir().unwrap();
        let suites = suites(dir.path());
        let held = suites.suite("trixie").unwrap().hold().unwrap();
        for refused in [suites.remove("trixie"), suites.clean()] {
            let why = refused.unwrap_err().to_string();
            assert!(why.contains("a run uses"), "{why}");
        }
        assert_eq!(suites.list().unwrap().len(), 1);
        drop(held);
        assert!(suites.remove("trixie").is_ok());
    }

    #[test]
    fn a_name_is_no_path() {
        assert!(is_name("trixie") && is_name("bookworm-backports"));
        assert!(!is_name("") && !is_name("../x") && !is_name(".partial-x") && !is_name("A"));
    }

    #[test]
    fn what_is_kept_of_packages_is_tools_with_their_libraries_under_the_names_they_ask_for() {
        let dir = tempfile::tempdir().unwrap();
        let (all, root) = (dir.path().join("all"), dir.path().join("root"));
        let (sbin, libraries) = (all.join("sbin"), all.join("lib/x86_64-linux-gnu"));
        fs::create_dir_all(&sbin).unwrap();
        fs::create_dir_all(&libraries).unwrap();
        // Any program does for a tool: what it loads is taken from here.
        let program = Path::new("/bin/true").canonicalize().unwrap();
        fs::copy(&program, sbin.join("xtables-nft-multi")).unwrap();
        symlink("xtables-nft-multi", sbin.join("iptables-nft")).unwrap();
        fs::write(sbin.join("ipvsadm-save"), "#!/bin/sh\n").unwrap();
        for (at, from) in elf::closure(&[program]).unwrap() {
            fs::copy(from, libraries.join(at.file_name().unwrap())).unwrap();
        }
        fs::write(libraries.join("libelse.so.1"), "").unwrap();
        keep(&all, &root).unwrap();
        let link = fs::read_link(root.join(SBIN).join("iptables-nft")).unwrap();
        assert_eq!(link, Path::new("xtables-nft-multi"));
        let kept = |name: &str| root.join(LIBRARIES).join(name).exists();
        assert!(kept("libc.so.6") && kept("ld-linux-x86-64.so.2"));
        assert!(!kept("libelse.so.1") && !root.join(SBIN).join("ipvsadm-save").exists());
    }
}
