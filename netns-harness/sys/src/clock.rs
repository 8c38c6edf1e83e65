//! The one clock. Everything that is timed is timed here: `CLOCK_MONOTONIC_RAW` through the vDSO, not
//! slewed by NTP (`Documentation/core-api/timekeeping.rst`).

#![allow(
    unsafe_code,
    reason = "the time-stamp counter is read by an instruction"
)]

use nix::errno::Errno;
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, ClockNanosleepFlags, clock_gettime, clock_nanosleep};
use nix::unistd::Pid;

/// A reading of the clock, nanoseconds since an arbitrary point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reading(u64);

/// Reads the clock.
#[inline]
#[must_use]
pub fn now() -> Reading {
    let t = clock_gettime(ClockId::CLOCK_MONOTONIC_RAW)
        .expect("CLOCK_MONOTONIC_RAW exists since Linux 2.6.28");
    Reading(t.tv_sec() as u64 * 1_000_000_000 + t.tv_nsec() as u64)
}

impl Reading {
    /// Nanoseconds from `self` to `later`; 0 if `later` is earlier.
    #[inline]
    #[must_use]
    pub const fn ns_until(self, later: Self) -> u64 {
        later.0.saturating_sub(self.0)
    }

    /// Nanoseconds since `self`.
    #[inline]
    #[must_use]
    pub fn elapsed_ns(self) -> u64 {
        self.ns_until(now())
    }
}

/// Processor time of the calling thread so far, nanoseconds (`CLOCK_THREAD_CPUTIME_ID`): exact, where
/// `getrusage(2)` says of a running thread what it had used at the last tick.
#[must_use]
pub fn thread_cpu_ns() -> u64 {
    let t = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)
        .expect("CLOCK_THREAD_CPUTIME_ID exists since Linux 2.6.12");
    t.tv_sec() as u64 * 1_000_000_000 + t.tv_nsec() as u64
}

/// Processor time of another thread of this process so far, nanoseconds. It costs that thread nothing.
///
/// # Errors
/// `EINVAL`: there is no such thread in this process.
pub fn cpu_ns_of(thread: Pid) -> nix::Result<u64> {
    // A thread's clock is named by its number, inverted, and two flags: of a thread, and what the scheduler has counted
    // (CPUCLOCK_PERTHREAD_MASK, CPUCLOCK_SCHED in include/linux/posix-timers.h).
    let t = clock_gettime(ClockId::from_raw((!thread.as_raw() << 3) | 4 | 2))?;
    Ok(t.tv_sec() as u64 * 1_000_000_000 + t.tv_nsec() as u64)
}

/// Sleeps until `CLOCK_MONOTONIC`, on which the kernel's tick runs, is next a multiple of `step_ns` (more than 0). What
/// follows then starts where the last one that was preceded by this did, as seen from the tick.
///
/// # Errors
/// The kernel refuses to sleep; a signal is no reason.
pub fn sleep_to_multiple_of(step_ns: u64) -> nix::Result<()> {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC)?;
    let now_ns = now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64;
    let until = std::time::Duration::from_nanos((now_ns / step_ns + 1) * step_ns);
    loop {
        match clock_nanosleep(
            ClockId::CLOCK_MONOTONIC,
            ClockNanosleepFlags::TIMER_ABSTIME,
            &TimeSpec::from(until),
        ) {
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error),
        }
    }
}

/// The clock's step: the smallest non-zero difference of successive readings, nanoseconds. A time whose
/// median is less than 50 steps is not reported.
#[must_use]
pub fn step_ns() -> u64 {
    let mut smallest = u64::MAX;
    for _ in 0..10_000 {
        let first = now();
        let mut second = now();
        while second == first {
            second = now();
        }
        smallest = smallest.min(first.ns_until(second));
    }
    smallest
}

/// Rate of the processor's time-stamp counter, kHz, against this clock over 50 ms; `None` on processors
/// without one.
#[must_use]
pub fn tsc_khz() -> Option<u64> {
    #[cfg(target_arch = "x86_64")]
    {
        const SPAN: std::time::Duration = std::time::Duration::from_millis(50);
        let (start, first) = (now(), ticks());
        std::thread::sleep(SPAN);
        let (elapsed_ns, last) = (start.elapsed_ns(), ticks());
        Some((last - first) * 1_000_000 / elapsed_ns)
    }
    #[cfg(not(target_arch = "x86_64"))]
    None
}

#[cfg(target_arch = "x86_64")]
fn ticks() -> u64 {
    // SAFETY: every x86-64 processor has RDTSC, and Linux lets user space use it.
    unsafe { std::arch::x86_64::_rdtsc() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_starts_after_a_sleep_to_a_multiple_starts_behind_one() {
        const STEP_NS: u64 = 2_000_000;
        let begun = clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap();
        sleep_to_multiple_of(STEP_NS).unwrap();
        let woken = clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap();
        let multiple =
            |t: TimeSpec| (t.tv_sec() as u64 * 1_000_000_000 + t.tv_nsec() as u64) / STEP_NS;
        assert!(multiple(woken) > multiple(begun));
    }

    #[test]
    fn a_busy_thread_uses_processor_time_and_no_more_than_there_was() {
        // Half of a tick at 250 Hz: what is accounted by ticks would be 0, or more than there was.
        const BUSY_NS: u64 = 2_000_000;
        for _ in 0..20 {
            let start = now();
            let before = thread_cpu_ns();
            while start.elapsed_ns() < BUSY_NS {
                std::hint::spin_loop();
            }
            let used_ns = thread_cpu_ns() - before;
            let elapsed_ns = start.elapsed_ns();
            assert!(
                used_ns > 0 && used_ns <= elapsed_ns + elapsed_ns / 50,
                "{used_ns} of {elapsed_ns} ns"
            );
        }
    }

    #[test]
    fn the_processor_time_of_another_thread_is_what_it_says_itself() {
        let (say, said) = std::sync::mpsc::channel();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            let start = now();
            while start.elapsed_ns() < 2_000_000 {
                std::hint::spin_loop();
            }
            say.send((nix::unistd::gettid(), thread_cpu_ns())).unwrap();
            ended.recv().unwrap();
        });
        let (id, own_ns) = said.recv().unwrap();
        let seen_ns = cpu_ns_of(id).unwrap();
        assert!(own_ns > 0 && seen_ns >= own_ns, "{seen_ns} of {own_ns} ns");
        end.send(()).unwrap();
        thread.join().unwrap();
        assert_eq!(cpu_ns_of(Pid::from_raw(i32::MAX >> 4)), Err(Errno::EINVAL));
    }

    #[test]
    fn readings_never_go_back() {
        let mut last = now();
        for _ in 0..1000 {
            let next = now();
            assert!(next >= last);
            last = next;
        }
    }

    #[test]
    fn the_step_is_finer_than_a_tenth_of_a_microsecond_times_ten() {
        let step = step_ns();
        assert!(step > 0 && step < 1_000_000, "step {step} ns");
    }
}
