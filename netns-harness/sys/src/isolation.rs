//! The isolation of a stay: it is the init process of its own PID, mount, IPC and network namespaces
//! with a private /run, so that its end, however it comes, is the end of everything it made. Without
//! privileges the same in a user namespace of its own.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

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

/// In whose user namespace the others are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// The caller's own: it has CAP_NET_ADMIN and CAP_SYS_ADMIN there.
    Caller,
    /// A new one, in which the caller is root and outside of which it is nobody special.
    NewUser,
}

/// CAP_NET_ADMIN and CAP_SYS_ADMIN (`capabilities(7)`): namespaces, links and rules.
const CAPABILITIES: u64 = (1 << 12) | (1 << 21);

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

/// Whether sockets may be given buffers beyond `net.core.wmem_max` (SO_SNDBUFFORCE, `socket(7)`): tried,
/// because it takes CAP_NET_ADMIN in the *initial* user namespace, and root may be in another.
#[must_use]
pub fn forces_buffers() -> bool {
    socket::socket(
        AddressFamily::Unix,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC,
        None,
    )
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
pub fn unshare_all() -> io::Result<Owner> {
    let all = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS;
    if !needs_user_namespace() {
        unshare(all)?;
        return Ok(Owner::Caller);
    }
    let (user, group) = (geteuid(), getegid());
    // Apart from the others: what a network namespace owns in /proc is given to root of its user
    // namespace while it is made, if there is a map by then (net/netfilter/x_tables.c, xt_proto_init;
    // iptables-save reads ip_tables_names).
    unshare(CloneFlags::CLONE_NEWUSER)?;
    // A group map of one's own takes setgroups(2) away (user_namespaces(7)): leaving a group could give
    // access that being in it denies.
    for (file, text) in [
        ("setgroups", "deny".to_owned()),
        ("uid_map", format!("0 {user} 1")),
        ("gid_map", format!("0 {group} 1")),
    ] {
        fs::write(format!("/proc/self/{file}"), text)
            .map_err(|e| io::Error::new(e.kind(), format!("write /proc/self/{file}: {e}")))?;
    }
    unshare(all)?;
    Ok(Owner::NewUser)
}

/// A mount of a stay: what, where, type.
const MOUNTS: &[(&str, &str, &str)] = &[
    ("proc", "/proc", "proc"),
    // /sys/class/net shows the namespace of the process that mounted it.
    ("sysfs", "/sys", "sysfs"),
    // The xtables lock lives here: the host's firewall is never blocked by ours, nor ours by it.
    ("tmpfs", "/run", "tmpfs"),
];

/// Mounts what the new namespaces need, privately. Call as the init process of the PID namespace.
///
/// # Errors
/// Which mount failed, and why.
pub fn mount_private() -> io::Result<()> {
    let none: Option<&Path> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
        .map_err(|e| io::Error::other(format!("make mounts private: {e}")))?;
    for (source, target, kind) in MOUNTS {
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        mount(Some(*source), *target, Some(*kind), flags, none)
            .map_err(|e| io::Error::other(format!("mount {kind} on {target}: {e}")))?;
    }
    Ok(())
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
