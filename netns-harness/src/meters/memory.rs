//! Kernel memory from /proc/meminfo: what rules and namespaces live in, and waiting until it stands still.
//!
//! Slab and vmalloc are counted by every CPU for itself and added up once a second; `still` has them added
//! up first (`vm.stat_refresh`, `Documentation/admin-guide/sysctl/vm.rst`), which only root may ask for.
//! Per-CPU memory is counted in whole pages of all CPUs, and a page that was once needed is kept for a while
//! (`mm/percpu.c`, `pcpu_nr_pages`).

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{HarnessError, pinning};

/// Kernel memory that rules and namespaces live in, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelMemory {
    /// `SUnreclaim` of /proc/meminfo: slab objects and large kmalloc.
    pub slab_unreclaimable: u64,
    /// `VmallocUsed`: table blobs, large arrays; also the stacks of all threads of the machine.
    pub vmalloc_used: u64,
    /// `Percpu`: pages of per-CPU memory, of all possible CPUs; none before Linux 4.19, which does not state it.
    pub percpu: Option<u64>,
}

/// Reads /proc/meminfo.
///
/// # Errors
/// /proc is not mounted, or the kernel states no slab or no vmalloc.
pub fn kernel_memory() -> Result<KernelMemory, HarnessError> {
    let text = fs::read_to_string("/proc/meminfo")
        .map_err(|e| HarnessError::system("read /proc/meminfo", e))?;
    parse(&text)
}

/// A field of /proc/meminfo, bytes; none where it cannot be read, or the kernel does not state it.
#[must_use]
pub fn meminfo(name: &str) -> Option<u64> {
    field(&fs::read_to_string("/proc/meminfo").ok()?, name)
}

fn field(text: &str, name: &str) -> Option<u64> {
    let kilobytes = text.lines().find_map(|line| {
        let value = line.strip_prefix(name)?.strip_prefix(':')?;
        value.split_whitespace().next()?.parse::<u64>().ok()
    });
    kilobytes.map(|k| k * 1024)
}

fn parse(text: &str) -> Result<KernelMemory, HarnessError> {
    let field = |name: &str| {
        let lacks = || HarnessError::listing("/proc/meminfo")(format!("no {name}"));
        field(text, name).ok_or_else(lacks)
    };
    Ok(KernelMemory {
        slab_unreclaimable: field("SUnreclaim")?,
        vmalloc_used: field("VmallocUsed")?,
        percpu: self::field(text, "Percpu"),
    })
}

impl KernelMemory {
    /// All that is stated together: no figure of what rules hold where [`Self::is_whole`] is false.
    #[must_use]
    pub const fn total(self) -> u64 {
        match self.percpu {
            Some(percpu) => self.held() + percpu,
            None => self.held(),
        }
    }

    /// Whether all three are stated.
    #[must_use]
    pub const fn is_whole(self) -> bool {
        self.percpu.is_some()
    }

    /// Slab and vmalloc together: what rules are made of.
    const fn held(self) -> u64 {
        self.slab_unreclaimable + self.vmalloc_used
    }
}

/// CPUs for which per-CPU memory is allocated, whether they are there or not
/// (`/sys/devices/system/cpu/possible`); `None` where the kernel does not say.
#[must_use]
pub fn possible_cpus() -> Option<u32> {
    let text = fs::read_to_string("/sys/devices/system/cpu/possible").ok()?;
    Some(pinning::list(text.trim())?.len() as u32)
}

/// Time between two readings.
const STEP: Duration = Duration::from_millis(20);
/// Readings that are looked at together.
const READINGS: usize = 6;
/// They stand still when they differ by no more than this, bytes: eight thread stacks come and go on any
/// machine.
const SPREAD: u64 = 128 << 10;

/// Kernel memory, read when it stood still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Still {
    /// The reading with the median total of the last ones.
    pub memory: KernelMemory,
    /// Whether it stood still; false when the limit passed first.
    pub stood: bool,
}

/// Reads kernel memory once it stands still, or when `limit` has passed: what was released is freed later
/// (RCU, `nf_tables_trans_destroy_work`).
///
/// # Errors
/// /proc is not mounted.
pub fn still(limit: Duration) -> Result<Still, HarnessError> {
    still_of(limit, || {
        // Not permitted without root: then the counters are up to a second old.
        let _ = fs::read("/proc/sys/vm/stat_refresh");
        kernel_memory()
    })
}

fn still_of(
    limit: Duration,
    mut read: impl FnMut() -> Result<KernelMemory, HarnessError>,
) -> Result<Still, HarnessError> {
    let mut readings: Vec<KernelMemory> = Vec::new();
    let mut waited = Duration::ZERO;
    loop {
        thread::sleep(STEP);
        waited += STEP;
        readings.push(read()?);
        let (median, spread) = middle(&readings[readings.len().saturating_sub(READINGS)..]);
        let stood = readings.len() >= READINGS && spread <= SPREAD;
        if stood || waited >= limit {
            return Ok(Still {
                memory: median,
                stood,
            });
        }
    }
}

/// The reading with the median total, and the spread of the totals.
fn middle(readings: &[KernelMemory]) -> (KernelMemory, u64) {
    let mut sorted = readings.to_vec();
    sorted.sort_by_key(|reading| reading.total());
    let (first, last) = (sorted[0], sorted[sorted.len() - 1]);
    (sorted[sorted.len() / 2], last.total() - first.total())
}

/// Time between two readings of [`peak_during`].
const PEAK_STEP: Duration = Duration::from_millis(1);

/// Runs `act` on the calling thread; the second value is the largest total of kernel memory that another
/// thread read meanwhile, about once a millisecond, bytes. Slab is read as each CPU last added it up, up
/// to half a megabyte a CPU behind (`mm/vmstat.c`, `calculate_normal_threshold`).
///
/// # Errors
/// /proc is not mounted.
pub fn peak_during<T>(act: impl FnOnce() -> T) -> Result<(T, u64), HarnessError> {
    let before = kernel_memory()?.total();
    let (done, peak) = peak_of(|| kernel_memory().map_or(0, KernelMemory::total), act);
    Ok((done, peak.max(before)))
}

fn peak_of<T>(read: impl Fn() -> u64 + Sync, act: impl FnOnce() -> T) -> (T, u64) {
    /// Ends the reader, also when `act` panics.
    struct Over<'a>(&'a AtomicBool);
    impl Drop for Over<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let peak = AtomicU64::new(0);
    let over = AtomicBool::new(false);
    let done = thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                peak.fetch_max(read(), Ordering::Relaxed);
                thread::sleep(PEAK_STEP);
            }
        });
        let _over = Over(&over);
        act()
    });
    (done, peak.into_inner())
}

/// Memory within this of the baseline has been given back, bytes.
const SETTLED: u64 = 1 << 20;
/// Memory that fell by less than this over [`QUIET`] is no longer being given back, bytes.
const STILL: u64 = 64 << 10;
/// How long memory must stand still to count as settled away from the baseline.
const QUIET: Duration = Duration::from_millis(500);

/// Whether the kernel has given back what the lab before held; worse states are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Settled {
    /// Back within 1 MB of the baseline.
    Back,
    /// Above the baseline, and standing still: something else holds it.
    Still,
    /// Still being given back when the limit passed.
    Falling,
}

impl Settled {
    /// The name in facts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Back => "back",
            Self::Still => "still",
            Self::Falling => "falling",
        }
    }
}

/// Waits until slab and vmalloc are back within 1 MB of `baseline`, or have stopped falling (another
/// process may have moved them), at most `limit`. A namespace with 10,000 services holds its memory for
/// about a second after its end, and installs in the next one are slower until it is gone. Returns
/// how it ended.
///
/// # Errors
/// /proc is not mounted.
pub fn settle(baseline: KernelMemory, limit: Duration) -> Result<Settled, HarnessError> {
    const STEP: Duration = Duration::from_millis(10);
    let (mut waited, mut quiet) = (Duration::ZERO, Duration::ZERO);
    let mut last = kernel_memory()?.held();
    loop {
        let now = kernel_memory()?.held();
        if now <= baseline.held() + SETTLED {
            return Ok(Settled::Back);
        }
        if quiet >= QUIET {
            return Ok(Settled::Still);
        }
        if waited >= limit {
            return Ok(Settled::Falling);
        }
        if now + STILL < last {
            (last, quiet) = (now, Duration::ZERO);
        }
        std::thread::sleep(STEP);
        waited += STEP;
        quiet += STEP;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMINFO: &str = "MemTotal: 9 kB\nSUnreclaim:        57696 kB\nVmallocTotal:   34359738367 kB\nVmallocUsed:       16712 kB\nPercpu:             2472 kB\n";

    #[test]
    fn the_three_figures_are_bytes() {
        let memory = parse(MEMINFO).unwrap();
        assert_eq!(
            (
                memory.slab_unreclaimable,
                memory.vmalloc_used,
                memory.percpu
            ),
            (57_696 << 10, 16_712 << 10, Some(2_472 << 10))
        );
        assert_eq!(memory.total(), (57_696 + 16_712 + 2_472) << 10);
    }

    #[test]
    fn a_figure_that_the_kernel_does_not_state_is_no_zero() {
        let without = parse(&MEMINFO.replace("Percpu", "Elsewhere")).unwrap();
        assert_eq!((without.percpu, without.is_whole()), (None, false));
        let without = parse(&MEMINFO.replace("SUnreclaim", "Elsewhere"));
        assert!(without.unwrap_err().to_string().contains("SUnreclaim"));
    }

    #[test]
    fn the_middle_reading_is_chosen_by_its_total() {
        let reading = |slab: u64, vmalloc| KernelMemory {
            slab_unreclaimable: slab,
            vmalloc_used: vmalloc,
            percpu: Some(0),
        };
        let readings = [reading(9, 0), reading(0, 5), reading(1, 1)];
        assert_eq!(middle(&readings), (reading(0, 5), 7));
    }

    #[test]
    fn memory_that_is_held_only_during_the_act_is_in_the_peak() {
        let (held, readings) = (AtomicU64::new(7), AtomicU64::new(0));
        let read = || {
            readings.fetch_add(1, Ordering::SeqCst);
            held.load(Ordering::SeqCst)
        };
        let more_readings = || {
            let seen = readings.load(Ordering::SeqCst);
            while readings.load(Ordering::SeqCst) < seen + 2 {
                thread::yield_now();
            }
        };
        let (done, peak) = peak_of(read, || {
            held.store(100, Ordering::SeqCst);
            more_readings();
            held.store(20, Ordering::SeqCst);
            more_readings();
            "done"
        });
        assert_eq!((done, peak), ("done", 100));
    }

    #[test]
    fn what_is_freed_late_is_waited_for() {
        let mut left = 12_u64;
        let falling = || {
            left = left.saturating_sub(1);
            Ok(KernelMemory {
                slab_unreclaimable: left.saturating_sub(2) * (1 << 20),
                vmalloc_used: 5,
                percpu: Some(6),
            })
        };
        let still = still_of(Duration::from_secs(60), falling).unwrap();
        assert_eq!((still.stood, still.memory.total()), (true, 11));
    }

    #[test]
    fn memory_that_never_stands_still_is_said_to() {
        let mut slab = 0;
        let restless = || {
            slab += 1 << 20;
            Ok(KernelMemory {
                slab_unreclaimable: slab,
                vmalloc_used: 0,
                percpu: Some(0),
            })
        };
        assert!(
            !still_of(Duration::from_millis(200), restless)
                .unwrap()
                .stood
        );
    }
}
