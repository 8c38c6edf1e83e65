//! The isolation of a stay: it is the init process of its own PID, mount, IPC and network namespaces
//! with a private /run, so that its end, however it comes, is the end of everything it made. Without
//! privileges the same in a user namespace of its own.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, symlink};
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, sockopt};
use nix::unistd::{getegid, geteuid, getppid};

use crate::tools;

/// The process dies when the thread that started it ends; checks that `parent` had not ended before.
///
/// # Errors
/// The parent is already gone, or `prctl(2)`.
pub fn die_with_parent(parent: Option<u32>) -> io::Result<()> {
    set_pdeathsig(Signal::SIGKILL)?;
    match parent {
        Some(pid) if getppid().as_raw() as u32 != pid => Err(io::Error::other(
            "the process that started this one has ended",
        )),
        _ => Ok(()),
    }
}

/// A part of a stay's isolation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// A user namespace of one's own, with its maps.
    User,
    /// The other namespaces.
    Namespaces,
    /// That mounts are seen by nobody else.
    Private,
    /// A mount: of what kind, where.
    Mount(&'static str, PathBuf),
}

/// A part that was refused. What would help is told by the part and the answer ([`crate::isolation`] does not know it).
#[derive(Debug)]
pub struct Refused {
    /// Which.
    pub part: Part,
    /// The kernel's answer.
    pub source: io::Error,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { part, source } = self;
        match part {
            Part::User => write!(f, "make a user namespace: {source}"),
            Part::Namespaces => write!(f, "make namespaces: {source}"),
            Part::Private => write!(f, "make mounts private: {source}"),
            Part::Mount(kind, at) => write!(f, "mount {kind} on {}: {source}", at.display()),
        }
    }
}

impl std::error::Error for Refused {}

impl From<Refused> for io::Error {
    fn from(refused: Refused) -> Self {
        Self::new(refused.source.kind(), refused.to_string())
    }
}

impl Part {
    fn refused<E: Into<io::Error>>(self) -> impl FnOnce(E) -> Refused {
        move |source| Refused {
            part: self,
            source: source.into(),
        }
    }
}

/// In whose user namespace the others are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// The caller's own: it has CAP_NET_ADMIN and CAP_SYS_ADMIN there.
    Caller,
    /// A new one, in which the caller is root and outside of which it is nobody special.
    NewUser,
}

/// `capabilities(7)`: links and rules.
const NET_ADMIN: u64 = 1 << 12;
/// And CAP_SYS_ADMIN: namespaces.
const CAPABILITIES: u64 = NET_ADMIN | (1 << 21);

/// Effective capabilities of the calling thread, as a bit mask (`CapEff` of `proc_pid_status(5)`).
#[must_use]
pub fn capabilities() -> u64 {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| u64::from_str_radix(line.strip_prefix("CapEff:")?.trim(), 16).ok())
        .unwrap_or(0)
}

/// Whether namespaces can be made only in a user namespace of one's own.
#[must_use]
pub fn needs_user_namespace() -> bool {
    capabilities() & CAPABILITIES != CAPABILITIES
}

/// Whether rules may be changed where the caller is: it has CAP_NET_ADMIN in its user namespace.
#[must_use]
pub fn administers() -> bool {
    capabilities() & NET_ADMIN != 0
}

/// Whether the caller is in another user namespace than the first one, whose map is of every user (`user_namespaces(7)`).
#[must_use]
pub fn in_user_namespace() -> bool {
    let map = fs::read_to_string("/proc/thread-self/uid_map").unwrap_or_default();
    !map.split_whitespace().eq(["0", "0", "4294967295"])
}

/// Whether an outer container hides parts of a mounted file system: something is mounted below `target`. What may then be
/// mounted anew in a user namespace is refused (`mount_too_revealing` in fs/namespace.c).
#[must_use]
pub fn is_masked(target: &str) -> bool {
    let mounts = fs::read_to_string("/proc/thread-self/mountinfo").unwrap_or_default();
    has_mounts_below(&mounts, target)
}

/// Mounts of one's own below /proc are binfmt_misc's and such; what masks is read-only, or hides a file or a folder
/// (runc's `maskedPaths` and `readonlyPaths`).
fn has_mounts_below(mountinfo: &str, target: &str) -> bool {
    let mut mounts = mountinfo.lines().map(|line| line.split(' '));
    mounts.any(|mut fields| {
        let at = fields.nth(4).unwrap_or_default();
        let kind = fields.skip_while(|field| *field != "-").nth(1);
        let below = at
            .strip_prefix(target)
            .is_some_and(|rest| rest.starts_with('/'));
        below && matches!(kind, Some("tmpfs" | "proc" | "devtmpfs" | "sysfs"))
    })
}

/// Whether sockets may be given receive buffers beyond `net.core.rmem_max` (SO_RCVBUFFORCE), as [`forces_buffers`].
#[must_use]
pub fn forces_receive_buffers() -> bool {
    any_socket()
        .and_then(|tried| socket::setsockopt(&tried, sockopt::RcvBufForce, &4096))
        .is_ok()
}

fn any_socket() -> nix::Result<std::os::fd::OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC;
    socket::socket(AddressFamily::Unix, SockType::Datagram, flags, None)
}

/// Whether sockets may be given buffers beyond `net.core.wmem_max` (SO_SNDBUFFORCE, `socket(7)`): tried,
/// because it takes CAP_NET_ADMIN in the *initial* user namespace, and root may be in another.
#[must_use]
pub fn forces_buffers() -> bool {
    any_socket()
        .and_then(|tried| socket::setsockopt(&tried, sockopt::SndBufForce, &4096))
        .is_ok()
}

/// New mount, IPC, UTS and network namespaces for the caller, and a new PID namespace for its next
/// child. Without the capabilities for that they are made in a new user namespace, where the caller's
/// user is root and nobody else exists. Call while single-threaded.
///
/// # Errors
/// `unshare(2)`: `EPERM` where unprivileged user namespaces are not allowed, `ENOSPC` at a limit of
/// `/proc/sys/user`; or the maps of `user_namespaces(7)` were refused.
pub fn unshare_all() -> Result<Owner, Refused> {
    let all = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS;
    if !needs_user_namespace() {
        unshare(all).map_err(Part::Namespaces.refused())?;
        return Ok(Owner::Caller);
    }
    let (user, group) = (geteuid(), getegid());
    // Apart from the others: what a network namespace owns in /proc is given to root of its user
    // namespace while it is made, if there is a map by then (net/netfilter/x_tables.c, xt_proto_init;
    // iptables-save reads ip_tables_names).
    unshare(CloneFlags::CLONE_NEWUSER).map_err(Part::User.refused())?;
    // A group map of one's own takes setgroups(2) away (user_namespaces(7)): leaving a group could give
    // access that being in it denies.
    for (file, text) in [
        ("setgroups", "deny".to_owned()),
        ("uid_map", format!("0 {user} 1")),
        ("gid_map", format!("0 {group} 1")),
    ] {
        fs::write(format!("/proc/self/{file}"), text).map_err(Part::User.refused())?;
    }
    unshare(all).map_err(Part::Namespaces.refused())?;
    Ok(Owner::NewUser)
}

/// What a stay has of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mounted {
    /// Whether /sys is: where an outer container masks the one that is there, that one stays, and `/sys/class/net` shows
    /// the interfaces of another namespace.
    pub sysfs: bool,
}

/// Where the xtables lock lives, with whatever else of the host's that ours should not be seen by.
const RUN: &str = "/run";

/// Mounts what the new namespaces need, privately: /proc, /sys where that is allowed, and an empty /run, in which only
/// those entries are kept that `needed` files lie below. Call as the init process of the PID namespace.
///
/// # Errors
/// Which mount was refused.
pub fn mount_private(needed: &[PathBuf]) -> Result<Mounted, Refused> {
    let none: Option<&Path> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
        .map_err(Part::Private.refused())?;
    let private = |kind: &'static str, at: &str| {
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        mount(Some(kind), at, Some(kind), flags, none)
            .map_err(Part::Mount(kind, PathBuf::from(at)).refused())
    };
    private("proc", "/proc")?;
    // /sys/class/net shows the namespace of the process that mounted it; nothing that is measured needs it.
    let sysfs = match private("sysfs", "/sys") {
        Err(refused) if refused.source.raw_os_error() == Some(libc::EPERM) => false,
        mounted => mounted.map(|()| true)?,
    };
    let kept = Kept::of(Path::new(RUN), needed);
    // The host's firewall is never blocked by ours, nor ours by it.
    private("tmpfs", RUN)?;
    kept.put_back(Path::new(RUN))?;
    Ok(Mounted { sysfs })
}

/// Entries of a folder that is about to be covered.
struct Kept(BTreeMap<OsString, Entry>);

enum Entry {
    Link(PathBuf),
    Folder(File),
}

impl Kept {
    /// Those that needed files lie below, as they are named or where links lead.
    fn of(folder: &Path, needed: &[PathBuf]) -> Self {
        let mut kept = BTreeMap::new();
        let mut paths = needed.to_vec();
        while let Some(path) = paths.pop() {
            paths.extend(path.canonicalize().ok().filter(|real| *real != path));
            let first = path.strip_prefix(folder).ok();
            let Some(first) = first.and_then(|rest| rest.components().next()) else {
                continue;
            };
            let (name, at) = (first.as_os_str().to_owned(), folder.join(first));
            let entry = match fs::read_link(&at) {
                Ok(target) => {
                    paths.push(folder.join(&target));
                    Some(Entry::Link(target))
                }
                Err(_) => at
                    .is_dir()
                    .then(|| open_path(&at))
                    .and_then(Result::ok)
                    .map(Entry::Folder),
            };
            if let Some(entry) = entry.filter(|_| !kept.contains_key(&name)) {
                kept.insert(name, entry);
            }
        }
        Self(kept)
    }

    fn put_back(self, folder: &Path) -> Result<(), Refused> {
        let none: Option<&Path> = None;
        for (name, entry) in self.0 {
            let at = folder.join(name);
            let refused = Part::Mount("bind", at.clone());
            let put = match &entry {
                Entry::Link(target) => symlink(target, &at),
                Entry::Folder(file) => fs::create_dir(&at).and_then(|()| {
                    let from = format!("/proc/thread-self/fd/{}", file.as_raw_fd());
                    let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
                    Ok(mount(Some(from.as_str()), &at, none, flags, none)?)
                }),
            };
            put.map_err(refused.refused())?;
        }
        Ok(())
    }
}

fn open_path(at: &Path) -> io::Result<File> {
    let mut options = fs::OpenOptions::new();
    options
        .read(true)
        .custom_flags(libc::O_PATH | libc::O_DIRECTORY)
        .open(at)
}

/// Mounts the tools of a suite and their libraries over this system's own, in a mount namespace that is private already:
/// every program that is started from now on is the suite's, by the paths that the system's have.
///
/// # Errors
/// Which mount failed, and why.
pub fn mount_suite(root: &Path) -> io::Result<()> {
    let none: Option<&Path> = None;
    let bind = |from: &Path, to: &Path| {
        mount(Some(from), to, none, MsFlags::MS_BIND, none).map_err(|e| {
            let (from, to) = (from.display(), to.display());
            io::Error::other(format!("mount {from} on {to}: {e}"))
        })
    };
    for folder in [tools::SBIN, tools::LIBRARIES] {
        bind(&root.join(folder), &Path::new("/").join(folder))?;
    }
    let own = root.join(tools::LIBRARIES).join(tools::LOADER);
    let which = |file: &Path| fs::metadata(file).map(|m| (m.dev(), m.ino()));
    let loader = Path::new(tools::LOADER_PATH);
    match which(loader)? == which(&own)? {
        true => Ok(()),
        false => bind(&own, loader),
    }
}

/// Writes a sysctl of the calling thread's network namespace. /proc/sys/net follows the reading
/// thread's namespace.
///
/// # Errors
/// The file does not exist in this kernel or namespace, or the value is refused.
pub fn write_sysctl(name: &str, value: &str) -> io::Result<()> {
    fs::write(sysctl_path(name), value)
}

/// Reads a sysctl of the calling thread's network namespace.
///
/// # Errors
/// The file does not exist.
pub fn read_sysctl(name: &str) -> io::Result<String> {
    fs::read_to_string(sysctl_path(name)).map(|text| text.trim().to_owned())
}

fn sysctl_path(name: &str) -> String {
    format!("/proc/sys/{}", name.replace('.', "/"))
}

/// Whether this process is the init of its PID namespace.
#[must_use]
pub fn is_init() -> bool {
    std::process::id() == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hides_parts_of_proc_is_told_from_what_is_mounted_there_ordinarily() {
        let ordinary = "23 30 0:21 / /proc rw,nosuid shared:12 - proc proc rw\n\
            35 23 0:31 / /proc/sys/fs/binfmt_misc rw shared:13 - autofs systemd-1 rw\n";
        assert!(!has_mounts_below(ordinary, "/proc"));
        let masked = "812 801 0:52 / /proc/acpi ro,relatime - tmpfs tmpfs ro\n";
        assert!(has_mounts_below(&format!("{ordinary}{masked}"), "/proc"));
        let read_only = "811 801 0:49 /sys /proc/sys ro,nosuid - proc proc rw\n";
        assert!(has_mounts_below(read_only, "/proc"));
        assert!(!has_mounts_below(masked, "/sys"));
        assert!(!has_mounts_below(
            "9 8 0:1 / /process ro - tmpfs tmpfs ro\n",
            "/proc"
        ));
    }

    #[test]
    fn of_a_folder_that_is_covered_those_entries_are_kept_that_tools_lie_below() {
        let run = std::env::temp_dir().join(format!("kept-{}", std::process::id()));
        for folder in ["system/sw/bin", "store/a/bin", "other"] {
            fs::create_dir_all(run.join(folder)).unwrap();
        }
        fs::write(run.join("store/a/bin/nft"), "").unwrap();
        symlink(run.join("store/a/bin/nft"), run.join("system/sw/bin/nft")).unwrap();
        symlink("system", run.join("current")).unwrap();
        let run = run.canonicalize().unwrap();
        let kept = |needed: &str| {
            let kept = Kept::of(&run, &[run.join(needed), PathBuf::from("/bin/sh")]);
            let names = kept.0.into_iter().map(|(name, entry)| {
                let kind = match entry {
                    Entry::Link(to) => format!(" -> {}", to.display()),
                    Entry::Folder(_) => String::new(),
                };
                format!("{}{kind}", name.to_string_lossy())
            });
            names.collect::<Vec<_>>()
        };
        assert_eq!(
            kept("current/sw/bin/nft"),
            ["current -> system", "store", "system"]
        );
        assert_eq!(kept("store/a/bin/nft"), ["store"]);
        assert_eq!(kept("nothing/bin"), [] as [&str; 0]);
        fs::remove_dir_all(run).unwrap();
    }
}
