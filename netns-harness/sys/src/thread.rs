//! Pinning of threads, and a thread's own accounting.

use std::io;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::resource::{UsageWho, getrusage};
use nix::unistd::Pid;

/// CPUs that this process may use, ascending.
///
/// # Errors
/// `sched_getaffinity(2)`.
pub fn allowed_cpus() -> io::Result<Vec<usize>> {
    let set = sched_getaffinity(Pid::from_raw(0))?;
    Ok((0..CpuSet::count())
        .filter(|&cpu| set.is_set(cpu).unwrap_or(false))
        .collect())
}

/// Pins the calling thread to one CPU.
///
/// # Errors
/// `sched_setaffinity(2)`: the CPU does not exist or is not allowed.
pub fn pin(cpu: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu)?;
    Ok(sched_setaffinity(Pid::from_raw(0), &set)?)
}

/// Lets the calling thread run on all of `cpus`.
///
/// # Errors
/// `sched_setaffinity(2)`.
pub fn unpin(cpus: &[usize]) -> io::Result<()> {
    let mut set = CpuSet::new();
    for &cpu in cpus {
        set.set(cpu)?;
    }
    Ok(sched_setaffinity(Pid::from_raw(0), &set)?)
}

/// Processor time of the calling thread so far: (user, system), nanoseconds (`getrusage(2)`,
/// `RUSAGE_THREAD`).
///
/// # Errors
/// `getrusage(2)`.
pub fn cpu_time_ns() -> io::Result<(u64, u64)> {
    let usage = getrusage(UsageWho::RUSAGE_THREAD)?;
    Ok((
        timeval_ns(usage.user_time()),
        timeval_ns(usage.system_time()),
    ))
}

pub(crate) fn timeval_ns(t: nix::sys::time::TimeVal) -> u64 {
    t.tv_sec() as u64 * 1_000_000_000 + t.tv_usec() as u64 * 1_000
}
