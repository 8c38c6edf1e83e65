//! The folder of the cache: who changes it holds its lock, what is half made is told by its name, and what
//! is made under sudo belongs to the user who typed it.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown, lchown};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use nix::sys::statvfs::statvfs;

use crate::GuestError;

/// What is being made or removed is called so.
pub(crate) const PARTIAL: &str = ".partial-";
/// The lock on the cache: it stays, because a lock on a file that is gone is none.
pub(crate) const LOCK: &str = ".lock";

/// A folder that is locked against other processes, until this is dropped or its process ends, however it ends.
#[derive(Debug)]
pub(crate) struct Locked<'a> {
    folder: &'a Path,
    _lock: Flock<fs::File>,
}

impl<'a> Locked<'a> {
    /// Makes the folder if it is missing, and waits until nobody else changes it; `tell` hears of a wait.
    pub(crate) fn new(folder: &'a Path, tell: fn(&str)) -> Result<Self, GuestError> {
        make(folder)?;
        let path = folder.join(LOCK);
        let mut options = fs::File::options();
        options.create(true).append(true);
        let file = options
            .open(&path)
            .map_err(GuestError::file("open", &path))?;
        let lock = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => lock,
            Err((file, _)) => {
                tell("another process changes the cache: waiting for it");
                Flock::lock(file, FlockArg::LockExclusive)
                    .map_err(|(_, e)| GuestError::file("lock", &path)(e.into()))?
            }
        };
        Ok(Self {
            folder,
            _lock: lock,
        })
    }

    /// Gives something in the folder, and what it holds, to the user who typed sudo.
    pub(crate) fn give(&self, path: &Path) {
        if let Some((uid, gid)) = invoker() {
            // Only a convenience: a cache that stays root's is still a cache.
            let _ = lchown(self.folder.join(LOCK), Some(uid), Some(gid));
            give(path, uid, gid);
        }
    }

    /// Removes something in the folder, so that what is half removed does not look whole.
    pub(crate) fn discard(&self, path: &Path) -> Result<(), GuestError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(PARTIAL) {
            return remove(path);
        }
        let going = self.folder.join(format!("{PARTIAL}{GOING}{name}"));
        if going.exists() {
            // What was killed on its way out.
            remove(&going)?;
        }
        fs::rename(path, &going).map_err(GuestError::file("remove", path))?;
        remove(&going)
    }

    /// Removes what killed fetches left.
    pub(crate) fn sweep(&self) {
        let entries = fs::read_dir(self.folder).into_iter().flatten().flatten();
        let partial = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with(PARTIAL);
        for entry in entries.filter(|e| partial(&e.file_name())) {
            // What cannot be removed is in nobody's way: it is never taken for a kernel.
            let _ = fs::remove_dir_all(entry.path());
        }
    }

    /// Gives what was made under the name `partial` its own name, once all of it is on disk.
    pub(crate) fn finish(&self, partial: &Path, name: &Path) -> Result<(), GuestError> {
        let write = |e: std::io::Error| GuestError::file("write", partial)(e);
        let disk = fs::File::open(partial).map_err(write)?;
        nix::unistd::syncfs(&disk).map_err(|e| write(e.into()))?;
        fs::rename(partial, name).map_err(GuestError::file("make", name))?;
        let synced = fs::File::open(self.folder).and_then(|f| f.sync_all());
        synced.map_err(GuestError::file("write", self.folder))?;
        self.give(name);
        Ok(())
    }

    /// Bytes that this user can still write there.
    pub(crate) fn free(&self) -> Result<u64, GuestError> {
        let disk = statvfs(self.folder)
            .map_err(|e| GuestError::file("look at the disk of", self.folder)(e.into()))?;
        Ok(disk.blocks_available() * disk.fragment_size())
    }
}

/// What is on its way out is called so, behind [`PARTIAL`]: what is being made has another name.
const GOING: &str = "old-";

fn remove(path: &Path) -> Result<(), GuestError> {
    let removed = match path.is_dir() {
        true => fs::remove_dir_all(path),
        false => fs::remove_file(path),
    };
    removed.map_err(GuestError::file("remove", path))
}

fn make(folder: &Path) -> Result<(), GuestError> {
    let missing: Vec<PathBuf> = folder
        .ancestors()
        .take_while(|f| !f.as_os_str().is_empty() && !f.exists())
        .map(Path::to_path_buf)
        .collect();
    fs::create_dir_all(folder).map_err(GuestError::file("make", folder))?;
    if let Some((uid, gid)) = invoker() {
        for folder in missing {
            // A convenience, as above.
            let _ = chown(folder, Some(uid), Some(gid));
        }
    }
    Ok(())
}

/// Removes everything in a cache's folder but its lock, of which `may` says that it can go; the bytes that this freed.
pub(crate) fn clean(
    folder: &Path,
    tell: fn(&str),
    may: impl Fn(&Path) -> Result<(), GuestError>,
) -> Result<u64, GuestError> {
    if !folder.exists() {
        return Ok(0);
    }
    let locked = Locked::new(folder, tell)?;
    let before = bytes(folder);
    let entries = fs::read_dir(folder).map_err(GuestError::file("read", folder))?;
    for entry in entries.flatten().filter(|e| e.file_name() != LOCK) {
        may(&entry.path())?;
        locked.discard(&entry.path())?;
    }
    Ok(before.saturating_sub(bytes(folder)))
}

/// A folder of this program's cache: below `$XDG_CACHE_HOME`, else the home's `.cache`, else `/var/tmp`; under sudo the home is
/// that of the user who typed it, who also gets what is made there.
pub(crate) fn folder(name: &str) -> PathBuf {
    let variable = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty());
    let invoker = invoker().and_then(|(uid, _)| nix::unistd::User::from_uid(uid.into()).ok()?);
    let home = invoker
        .map(|user| user.dir)
        .or_else(|| variable("HOME").map(PathBuf::from));
    let base = variable("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| home.map(|home| home.join(".cache")))
        .unwrap_or_else(|| PathBuf::from("/var/tmp"));
    base.join("bench-runner").join(name)
}

/// The user who typed sudo, as sudo says it; `None` without sudo.
pub(crate) fn invoker() -> Option<(u32, u32)> {
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

/// Bytes on disk of a file, or of a folder and what it holds.
pub(crate) fn bytes(path: &Path) -> u64 {
    // 512 bytes a block, whatever the file system's: stat(2).
    let own = fs::symlink_metadata(path).map_or(0, |m| m.blocks() * 512);
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    own + entries.map(|entry| bytes(&entry.path())).sum::<u64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_fetch_left_is_swept_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let locked = Locked::new(dir.path(), |_| {}).unwrap();
        for name in [".partial-linux-image-6.1/boot", "linux-image-6.1_1/boot"] {
            fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        locked.sweep();
        assert!(!dir.path().join(".partial-linux-image-6.1").exists());
        assert!(dir.path().join("linux-image-6.1_1/boot").exists());
    }

    #[test]
    fn what_is_finished_has_its_name_and_what_is_discarded_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let locked = Locked::new(dir.path(), |_| {}).unwrap();
        let (partial, whole) = (dir.path().join(".partial-x"), dir.path().join("x"));
        fs::create_dir(&partial).unwrap();
        fs::write(partial.join("file"), [1; 10_000]).unwrap();
        locked.finish(&partial, &whole).unwrap();
        assert!(!partial.exists() && whole.join("file").exists());
        assert!(bytes(&whole) >= 10_000);
        // While another of the same name is being made, and after a removal that was killed.
        fs::create_dir_all(dir.path().join(".partial-x/all")).unwrap();
        fs::create_dir_all(dir.path().join(".partial-old-x/all")).unwrap();
        locked.discard(&whole).unwrap();
        assert!(dir.path().join(".partial-x/all").exists() && !whole.exists());
        locked.discard(&dir.path().join(".partial-x")).unwrap();
        fs::write(dir.path().join("stray"), "").unwrap();
        locked.discard(&dir.path().join("stray")).unwrap();
        let left: Vec<_> = fs::read_dir(dir.path()).unwrap().flatten().collect();
        assert_eq!(left.len(), 1, "the lock: {left:?}");
    }

    #[test]
    fn who_holds_the_lock_keeps_others_out() {
        let dir = tempfile::tempdir().unwrap();
        let _held = Locked::new(dir.path(), |_| {}).unwrap();
        let file = fs::File::open(dir.path().join(LOCK)).unwrap();
        let second = Flock::lock(file, FlockArg::LockExclusiveNonblock);
        assert!(second.is_err(), "two processes change the cache");
    }
}
