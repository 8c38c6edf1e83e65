//! The isolation of a stay: it is the init process of its own PID, mount, IPC and network namespaces
//! with a private /run, so that its end, however it comes, is the end of everything it made.

use std::fs;
use std::io;
use std::path::Path;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::getppid;

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

/// New mount, IPC, UTS and network namespaces for the caller, and a new PID namespace for its next
/// child. Call while single-threaded.
///
/// # Errors
/// `unshare(2)`: `EPERM` without `CAP_SYS_ADMIN`.
pub fn unshare_all() -> io::Result<()> {
    Ok(unshare(
        CloneFlags::CLONE_NEWNS
            | CloneFlags::CLONE_NEWPID
            | CloneFlags::CLONE_NEWNET
            | CloneFlags::CLONE_NEWIPC
            | CloneFlags::CLONE_NEWUTS,
    )?)
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
