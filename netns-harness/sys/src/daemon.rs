//! A daemon of a node, as a container of it would be: it may write the sysctls of its own network namespace and no
//! others, loads no module, and, unless it is to program IPv6, sees a kernel without it. And what it uses: its processor time and its peak to the
//! byte, and each process that ends by the kernel's own accounting.
#![allow(
    unsafe_code,
    reason = "what is done between fork and exec, and prctl(2)"
)]

use std::ffi::CStr;
use std::fs;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::{Pid, acct};

/// CAP_SYS_MODULE (`capabilities(7)`).
const LOAD_MODULES: libc::c_ulong = 16;

/// A mount of the daemon's own: source, target, type, flags.
type Mount = (
    Option<&'static CStr>,
    &'static CStr,
    Option<&'static CStr>,
    MsFlags,
);

const QUIET: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV);

/// What is mounted, in order. /proc/sys is mounted over itself so that it can be read-only but for `net`, which
/// follows the reader's network namespace.
const MOUNTS: [Mount; 5] = [
    (None, c"/", None, MsFlags::MS_REC.union(MsFlags::MS_PRIVATE)),
    (
        Some(c"sysfs"),
        c"/sys",
        Some(c"sysfs"),
        QUIET.union(MsFlags::MS_RDONLY),
    ),
    (Some(c"/proc/sys"), c"/proc/sys", None, MsFlags::MS_BIND),
    (
        Some(c"/proc/sys/net"),
        c"/proc/sys/net",
        None,
        MsFlags::MS_BIND,
    ),
    (
        None,
        c"/proc/sys",
        None,
        MsFlags::MS_REMOUNT
            .union(MsFlags::MS_BIND)
            .union(MsFlags::MS_RDONLY),
    ),
];

/// Over its own /proc/PID/net an empty folder: there is no `if_inet6`, by which a kube-proxy tells that it has IPv6 to
/// program as well; its children see theirs.
const WITHOUT_IPV6: [Mount; 1] = [(
    Some(c"tmpfs"),
    c"/proc/self/net",
    Some(c"tmpfs"),
    QUIET.union(MsFlags::MS_RDONLY),
)];

/// Makes `command` start as a node's daemon, in the network namespace of the thread that starts it, which must be of
/// the initial user namespace; whether it sees that the kernel has IPv6.
pub fn on_node(command: &mut Command, sees_ipv6: bool) {
    let hidden: &'static [Mount] = match sees_ipv6 {
        true => &[],
        false => &WITHOUT_IPV6,
    };
    // SAFETY: between fork and exec the closure makes system calls alone, with arguments that are constants.
    unsafe { command.pre_exec(move || confine(hidden)) };
}

fn confine(hidden: &'static [Mount]) -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    for &(source, target, kind, flags) in MOUNTS.iter().chain(hidden) {
        mount(source, target, kind, flags, None::<&CStr>)?;
    }
    // SAFETY: prctl(2) with integers alone.
    match unsafe { libc::prctl(libc::PR_CAPBSET_DROP, LOAD_MODULES, 0, 0, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Kills a group of processes, the children of this one or of children that have ended, and reaps them. Waits until none
/// is left, at most `limit`: what is in the middle of a system call ends when that has.
pub fn end_group(leader: u32, limit: Duration) {
    let group = Pid::from_raw(-leader.cast_signed());
    let start = crate::clock::now();
    while u128::from(start.elapsed_ns()) < limit.as_nanos() {
        // An error means that nobody is left to be killed.
        let _ = kill(group, Signal::SIGKILL);
        match waitpid(group, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => std::thread::sleep(Duration::from_millis(1)),
            Ok(_) => {}
            // None of them is a child of this process any more; whoever is left is its parent's to reap.
            Err(_) => match kill(group, None) {
                Ok(()) => std::thread::sleep(Duration::from_millis(1)),
                Err(_) => return,
            },
        }
    }
}

/// What a process and the children that it has waited for have used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Used {
    /// Processor time of its own threads, those that have ended among them, nanoseconds.
    pub own_ns: u64,
    /// Of its children, nanoseconds; it grows in steps of [`TICK_NS`] (`cutime` and `cstime` of `proc_pid_stat(5)`).
    pub children_ns: u64,
}

impl Used {
    /// Both together.
    #[must_use]
    pub const fn total_ns(self) -> u64 {
        self.own_ns + self.children_ns
    }
}

/// USER_HZ is 100 on every machine that this suite runs on.
pub const TICK_NS: u64 = 10_000_000;

/// What a process has used so far.
///
/// # Errors
/// It is gone.
pub fn used(pid: u32) -> io::Result<Used> {
    let clock = clock_getcpuclockid(Pid::from_raw(pid.cast_signed()))?;
    let own = clock_gettime(clock)?;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // After the name, which is in parentheses, the state is field 3; cutime and cstime are 16 and 17.
    let fields = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace();
    let ticks: u64 = fields
        .skip(13)
        .take(2)
        .filter_map(|f| f.parse::<u64>().ok())
        .sum();
    Ok(Used {
        own_ns: own.tv_sec() as u64 * 1_000_000_000 + own.tv_nsec() as u64,
        children_ns: ticks * TICK_NS,
    })
}

/// The largest resident set that a process has had, bytes (`VmHWM` of `proc_pid_status(5)`).
///
/// # Errors
/// It is gone.
pub fn peak_bytes(pid: u32) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|l| l.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kilobytes
        .map(|kb| kb * 1024)
        .ok_or_else(|| io::Error::other("no VmHWM"))
}

/// The kernel's record of each process of this PID namespace that ends (`acct(5)`, version 3), while it is held.
#[derive(Debug)]
pub struct Ends {
    path: PathBuf,
    read: u64,
}

/// Bytes of `struct acct_v3`, its second byte, and where the command's name is in it (include/uapi/linux/acct.h).
const RECORD: usize = 64;
const VERSION: u8 = 3;
const NAME: std::ops::Range<usize> = 48..64;

impl Ends {
    /// Begins to record into a file of its own in `folder`, which must be on a file system with room.
    ///
    /// # Errors
    /// The kernel keeps no such accounts (CONFIG_BSD_PROCESS_ACCT), or CAP_SYS_PACCT is missing.
    pub fn record(folder: &Path) -> io::Result<Self> {
        let path = folder.join("ends");
        fs::File::create(&path)?;
        acct::enable(&path)?;
        Ok(Self { path, read: 0 })
    }

    /// Names of the processes that have ended since the last time, cut to 15 bytes, in their order.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn since(&mut self) -> io::Result<Vec<String>> {
        let mut file = fs::File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.read))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let records = bytes.chunks_exact(RECORD);
        // The byte order is in the upper bit.
        if records.clone().any(|record| record[1] & 0x7f != VERSION) {
            return Err(io::Error::other(
                "this kernel's accounts are not of version 3 (CONFIG_BSD_PROCESS_ACCT_V3)",
            ));
        }
        self.read += (records.len() * RECORD) as u64;
        Ok(records.map(|record| name(&record[NAME])).collect())
    }
}

fn name(bytes: &[u8]) -> String {
    let name = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(name).into_owned()
}

impl Drop for Ends {
    fn drop(&mut self) {
        // An error means that nothing is recorded any more.
        let _ = acct::disable();
        let _ = fs::remove_file(&self.path);
    }
}
