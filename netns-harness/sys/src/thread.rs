//! Pinning of threads, and a thread's own accounting.
#![allow(unsafe_code, reason = "sched_setscheduler(2)")]

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

/// Pins the first thread of another process to one CPU.
///
/// # Errors
/// As [`pin`]; the process has ended.
pub fn pin_process(process: u32, cpu: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu)?;
    Ok(sched_setaffinity(
        Pid::from_raw(process.cast_signed()),
        &set,
    )?)
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

/// Lets the calling thread begin when the thread that woke it sleeps or has had its turn, never in its stead: `SCHED_BATCH` (sched(7);
/// `check_preempt_wakeup_fair` in `kernel/sched/fair.c`).
///
/// # Errors
/// `sched_setscheduler(2)`.
pub fn never_preempt() -> io::Result<()> {
    never_preempts(0)
}

/// The same of the first thread of another process.
///
/// # Errors
/// `sched_setscheduler(2)`.
pub fn first_never_preempts(process: u32) -> io::Result<()> {
    never_preempts(process.cast_signed())
}

/// 0 is the calling thread; a process's first thread has its number.
fn never_preempts(thread: libc::pid_t) -> io::Result<()> {
    // SAFETY: all zero is a value of it, and the priority that this policy demands.
    let none: libc::sched_param = unsafe { std::mem::zeroed() };
    // SAFETY: the parameter lives through the call.
    let done = unsafe { libc::sched_setscheduler(thread, libc::SCHED_BATCH, &raw const none) };
    match done {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// What the calling thread has used so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Processor time in user and in kernel mode, nanoseconds, as of the last tick of the clock or switch: for what takes
    /// many ticks. The sum alone is exact by [`crate::clock::thread_cpu_ns`].
    pub modes_ns: (u64, u64),
    /// How often it gave its processor up to wait for something.
    pub voluntary_switches: u64,
}

/// What the calling thread has used so far (`getrusage(2)`, `RUSAGE_THREAD`).
///
/// # Errors
/// `getrusage(2)`.
pub fn usage() -> io::Result<Usage> {
    let usage = getrusage(UsageWho::RUSAGE_THREAD)?;
    Ok(Usage {
        modes_ns: (
            timeval_ns(usage.user_time()),
            timeval_ns(usage.system_time()),
        ),
        voluntary_switches: usage.voluntary_context_switches().cast_unsigned(),
    })
}

/// A thread, by the kernel's number for it in the caller's PID namespace (`gettid(2)`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ThreadId(i32);

/// The calling thread.
#[must_use]
pub fn id() -> ThreadId {
    ThreadId(nix::unistd::gettid().as_raw())
}

/// How long the calling thread has waited for a processor while it could have run, nanoseconds since it began;
/// `None` where the kernel does not say (no `CONFIG_SCHED_INFO`).
#[must_use]
pub fn run_delay_ns() -> Option<u64> {
    run_delay_in("/proc/thread-self/schedstat")
}

/// The same of a thread of this process; `None` also when it has ended.
#[must_use]
pub fn run_delay_of(thread: ThreadId) -> Option<u64> {
    run_delay_in(&format!("/proc/self/task/{}/schedstat", thread.0))
}

/// The second figure of a `schedstat` file: time on a run queue, nanoseconds
/// (`Documentation/scheduler/sched-stats.rst`); `None` when it cannot be read.
#[must_use]
pub fn run_delay_in(path: &str) -> Option<u64> {
    let text = std::fs::read_to_string(path).ok()?;
    let [_running, waiting, _slices] = text
        .split_whitespace()
        .map(|figure| figure.parse().ok())
        .collect::<Option<Vec<u64>>>()?
        .try_into()
        .ok()?;
    Some(waiting)
}

pub(crate) fn timeval_ns(t: nix::sys::time::TimeVal) -> u64 {
    t.tv_sec() as u64 * 1_000_000_000 + t.tv_usec() as u64 * 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_shares_its_cpu_waits_and_one_that_has_ended_says_nothing() {
        let Some(before) = run_delay_ns() else {
            testing::skip("netns", "this kernel has no /proc/PID/schedstat");
            return;
        };
        let cpu = allowed_cpus().unwrap()[0];
        let spin = move || {
            pin(cpu).unwrap();
            let start = crate::clock::now();
            while start.elapsed_ns() < 50_000_000 {
                std::hint::spin_loop();
            }
            (id(), run_delay_of(id()))
        };
        let both = [std::thread::spawn(spin), std::thread::spawn(spin)];
        let waited = both.map(|thread| thread.join().unwrap());
        // On one CPU at least one of two spinning threads waits for the other.
        assert!(waited.iter().any(|(_, ns)| ns.unwrap() > 1_000_000));
        // A joined thread has left its user's memory, and the list of tasks a moment later (`do_exit`, kernel/exit.c, 6.12).
        let start = crate::clock::now();
        while waited
            .iter()
            .any(|(thread, _)| run_delay_of(*thread).is_some())
        {
            assert!(start.elapsed_ns() < 10_000_000_000, "still listed");
            std::thread::yield_now();
        }
        assert!(run_delay_ns().unwrap() >= before);
    }
}
