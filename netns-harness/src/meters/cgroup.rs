//! A memory cgroup of the stay's own, for the kernel's own account of what the rules hold: a cross-check,
//! since much of it is allocated without `__GFP_ACCOUNT` and charged to nobody.
//!
//! The hierarchy is mounted again in the stay's private mount namespace, with the options that it has
//! already: mounting cgroup2 without them would change them for the whole machine
//! (`kernel/cgroup/cgroup.c`, `apply_cgroup_root_flags`).

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};

/// Where the hierarchy is mounted: on the stay's own /run.
const MOUNT_POINT: &str = "/run/memory-cgroup";
/// Names of our groups begin like this; empty ones of killed runs are removed.
const PREFIX: &str = "bench-runner-memory-";

/// Which cgroup interface has the memory controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

impl Version {
    /// Type of its file system, the file of a group that states kernel memory, and what stands before the number
    /// there (`kernel` since Linux 5.18).
    const fn row(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::One => ("cgroup", "memory.kmem.usage_in_bytes", ""),
            Self::Two => ("cgroup2", "memory.stat", "kernel "),
        }
    }
}

/// A mounted hierarchy, from /proc/self/mountinfo.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Hierarchy {
    version: Version,
    /// Its mount options.
    options: String,
}

/// While it lives, the calling process is in a memory cgroup of its own.
#[derive(Debug)]
#[must_use = "the process goes back when this is dropped"]
pub struct MemoryCgroup {
    own: PathBuf,
    home: PathBuf,
    version: Version,
}

impl MemoryCgroup {
    /// Moves the calling process into a new memory cgroup. Call with a private mount namespace and a
    /// /run of one's own.
    ///
    /// # Errors
    /// Why there can be none, as a sentence: no memory controller, no permission, or (cgroup v2) no
    /// group above that hands the controller on.
    pub fn enter() -> Result<Self, String> {
        let read = |path: &str| fs::read_to_string(path).map_err(|e| format!("read {path}: {e}"));
        let hierarchy = find(&read("/proc/self/mountinfo")?)
            .ok_or("no memory controller is mounted on this machine")?;
        let home = home(&read("/proc/self/cgroup")?, hierarchy.version)
            .ok_or("this process is in no memory cgroup")?;
        let root = attach(&hierarchy)?;
        let home = root.join(home.trim_start_matches('/'));
        let parent = match hierarchy.version {
            Version::One => home.clone(),
            Version::Two => above(&root, &home)
                .ok_or("no cgroup above this process hands the memory controller on")?,
        };
        remove_empty(&parent);
        let own = parent.join(format!("{PREFIX}{}", unique()));
        fs::create_dir(&own).map_err(|e| format!("make a memory cgroup: {e}"))?;
        let entered = Self {
            own,
            home,
            version: hierarchy.version,
        };
        move_here(&entered.own)?;
        Ok(entered)
    }

    /// What the group's processes have been charged for kernel memory, bytes.
    ///
    /// # Errors
    /// The kernel does not state it, as a sentence.
    pub fn kernel_bytes(&self) -> Result<u64, String> {
        let (_, file, before) = self.version.row();
        let text = fs::read_to_string(self.own.join(file)).map_err(|e| format!("{file}: {e}"))?;
        let mut lines = text.lines();
        let number = lines.find_map(|line| line.strip_prefix(before)?.trim().parse().ok());
        number.ok_or_else(|| format!("{file} does not state kernel memory"))
    }

    /// The file that is read, for a fact.
    #[must_use]
    pub const fn source(&self) -> &'static str {
        match self.version {
            Version::One => "cgroup v1 memory.kmem.usage_in_bytes",
            Version::Two => "cgroup v2 memory.stat kernel",
        }
    }
}

impl Drop for MemoryCgroup {
    fn drop(&mut self) {
        // What cannot be undone here is empty once this process has ended, and the next run removes it.
        let _ = move_here(&self.home);
        let _ = fs::remove_dir(&self.own);
    }
}

/// Whether the kernel memory of this process's acts is charged to a cgroup below the root; `None` where the kernel
/// does not say.
pub(super) fn is_limited() -> Option<bool> {
    let cgroups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = home(&cgroups, Version::One).or_else(|| home(&cgroups, Version::Two))?;
    Some(path != "/")
}

fn move_here(group: &Path) -> Result<(), String> {
    // 0 is the writer, in whatever PID namespace.
    fs::write(group.join("cgroup.procs"), "0")
        .map_err(|e| format!("move into a memory cgroup: {e}"))
}

/// A name that no other stay has: stays are all process 1, each of a PID namespace of its own.
fn unique() -> String {
    let namespace = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    let digits = namespace.to_string_lossy().into_owned();
    let digits: String = digits.chars().filter(char::is_ascii_digit).collect();
    format!("{digits}-{}", std::process::id())
}

/// Removes groups that killed runs have left; one that is in use refuses.
fn remove_empty(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else {
        return;
    };
    for entry in entries.filter_map(Result::ok) {
        if entry.file_name().to_string_lossy().starts_with(PREFIX) {
            let _ = fs::remove_dir(entry.path());
        }
    }
}

/// The nearest group at or above `home` whose children have the memory controller. A group with
/// processes of its own cannot hand it on (`Documentation/admin-guide/cgroup-v2.rst`, "No Internal Process
/// Constraint"), so this is often the parent.
fn above(root: &Path, home: &Path) -> Option<PathBuf> {
    home.ancestors()
        .take_while(|group| group.starts_with(root))
        .find(|group| {
            let given = fs::read_to_string(group.join("cgroup.subtree_control"));
            given.is_ok_and(|given| given.split_whitespace().any(|c| c == "memory"))
        })
        .map(Path::to_path_buf)
}

/// The hierarchy with the memory controller: a v1 one that has it, or else cgroup2.
fn find(mountinfo: &str) -> Option<Hierarchy> {
    let of = |version: Version, wanted: &dyn Fn(&str) -> bool| {
        let (kind, ..) = version.row();
        mountinfo.lines().find_map(|line| {
            let (_, after) = line.split_once(" - ")?;
            let mut words = after.split(' ');
            let (fs_type, _, options) = (words.next()?, words.next()?, words.next()?);
            let kept: Vec<&str> = options
                .split(',')
                .filter(|o| !matches!(*o, "rw" | "ro"))
                .collect();
            (fs_type == kind && wanted(options)).then(|| Hierarchy {
                version,
                options: kept.join(","),
            })
        })
    };
    of(Version::One, &|options| {
        options.split(',').any(|o| o == "memory")
    })
    .or_else(|| of(Version::Two, &|_| true))
}

/// This process's path in that hierarchy, from /proc/self/cgroup.
fn home(cgroups: &str, version: Version) -> Option<String> {
    cgroups.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (id, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let wanted = match version {
            Version::One => controllers.split(',').any(|c| c == "memory"),
            Version::Two => id == "0",
        };
        wanted.then(|| path.to_owned())
    })
}

/// Mounts the hierarchy, once.
fn attach(hierarchy: &Hierarchy) -> Result<PathBuf, String> {
    let root = PathBuf::from(MOUNT_POINT);
    match fs::create_dir(&root) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(root),
        made => made.map_err(|e| format!("make {MOUNT_POINT}: {e}"))?,
    }
    let (kind, ..) = hierarchy.version.row();
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let options = Some(hierarchy.options.as_str()).filter(|o| !o.is_empty());
    mount(Some(kind), &root, Some(kind), flags, options)
        .map_err(|e| format!("mount {kind}: {e}"))
        .inspect_err(|_| drop(fs::remove_dir(&root)))?;
    Ok(root)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hierarchy_with_the_memory_controller_is_found_with_its_options() {
        let v2 = "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot";
        let hybrid = format!(
            "31 25 0:27 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n{v2}\n32 25 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory"
        );
        let hierarchy = |version, options: &str| Hierarchy {
            version,
            options: options.to_owned(),
        };
        assert_eq!(
            find(v2),
            Some(hierarchy(Version::Two, "nsdelegate,memory_recursiveprot"))
        );
        assert_eq!(find(&hybrid), Some(hierarchy(Version::One, "memory")));
        assert_eq!(find("21 1 0:19 / /proc rw - proc proc rw"), None);
    }

    #[test]
    fn a_process_finds_its_own_group() {
        let text = "9:name=systemd:/a\n4:memory,x:/b/c\n0::/d:e\n";
        assert_eq!(home(text, Version::One).as_deref(), Some("/b/c"));
        assert_eq!(home(text, Version::Two).as_deref(), Some("/d:e"));
        assert_eq!(home("2:cpu:/\n", Version::One), None);
    }
}
