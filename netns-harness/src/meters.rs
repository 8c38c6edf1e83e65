//! Shared meters: the kernel's own figures, the same source for every mode.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use crate::HarnessError;

/// Kernel memory that rules and namespaces live in, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelMemory {
    /// `SUnreclaim` of /proc/meminfo.
    pub slab_unreclaimable: u64,
    /// `VmallocUsed`.
    pub vmalloc_used: u64,
    /// `Percpu`.
    pub percpu: u64,
}

/// Reads /proc/meminfo.
///
/// # Errors
/// /proc is not mounted.
pub fn kernel_memory() -> Result<KernelMemory, HarnessError> {
    let text = fs::read_to_string("/proc/meminfo")
        .map_err(|e| HarnessError::system("read /proc/meminfo", e))?;
    let field = |name: &str| {
        text.lines()
            .find_map(|l| {
                l.strip_prefix(name)?
                    .trim_start_matches(':')
                    .split_whitespace()
                    .next()?
                    .parse::<u64>()
                    .ok()
            })
            .unwrap_or(0)
            * 1024
    };
    Ok(KernelMemory {
        slab_unreclaimable: field("SUnreclaim"),
        vmalloc_used: field("VmallocUsed"),
        percpu: field("Percpu"),
    })
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

impl KernelMemory {
    /// Slab and vmalloc together: what rules are made of.
    const fn held(self) -> u64 {
        self.slab_unreclaimable + self.vmalloc_used
    }
}

/// Connection tracking of the calling thread's namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Conntrack {
    /// Entries now.
    pub count: u64,
    /// The table's limit.
    pub max: u64,
    /// insert_failed + drop + early_drop, over all CPUs, since the namespace was made.
    pub lost: u64,
}

/// Reads the calling thread's namespace's connection tracking; all zero where the kernel has none.
///
/// # Errors
/// A file that exists cannot be read.
pub fn conntrack() -> Result<Conntrack, HarnessError> {
    let number = |name: &str| {
        netns_sys::isolation::read_sysctl(name)
            .ok()
            .and_then(|t| t.parse().ok())
            .unwrap_or(0)
    };
    // thread-self, not self: /proc/net is the main thread's.
    let lost = match fs::read_to_string("/proc/thread-self/net/stat/nf_conntrack") {
        Ok(text) => lost_entries(&text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
        Err(error) => return Err(HarnessError::system("read nf_conntrack statistics", error)),
    };
    Ok(Conntrack {
        count: number("net.netfilter.nf_conntrack_count"),
        max: number("net.netfilter.nf_conntrack_max"),
        lost,
    })
}

fn lost_entries(text: &str) -> u64 {
    let mut lines = text.lines();
    let names: Vec<&str> = lines
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let wanted: Vec<usize> = ["insert_failed", "drop", "early_drop"]
        .iter()
        .filter_map(|w| names.iter().position(|n| n == w))
        .collect();
    lines
        .map(|line| {
            let cells: Vec<&str> = line.split_whitespace().collect();
            wanted
                .iter()
                .filter_map(|&i| u64::from_str_radix(cells.get(i)?, 16).ok())
                .sum::<u64>()
        })
        .sum()
}

/// Time that the hypervisor took from this machine's CPUs, nanoseconds since boot, summed over CPUs
/// (`steal` of /proc/stat, 100 ticks a second: `proc_stat(5)`).
#[must_use]
pub fn steal_ns() -> u64 {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let ticks = text
        .lines()
        .next()
        .and_then(|l| l.split_whitespace().nth(8))
        .and_then(|w| w.parse::<u64>().ok());
    ticks.unwrap_or(0) * 10_000_000
}

/// Mitigations, by vulnerability, as the kernel lists them.
#[must_use]
pub fn mitigations() -> BTreeMap<String, String> {
    let Ok(entries) = fs::read_dir("/sys/devices/system/cpu/vulnerabilities") else {
        return BTreeMap::new();
    };
    entries
        .filter_map(Result::ok)
        .filter_map(|e| {
            let text = fs::read_to_string(e.path()).ok()?;
            Some((
                e.file_name().to_string_lossy().into_owned(),
                text.trim().to_owned(),
            ))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_entries_are_summed_over_cpus_and_columns() {
        let text = "entries found insert_failed drop early_drop\n0 1 00000002 00000001 0000000a\n0 1 0 0 1\n";
        assert_eq!(lost_entries(text), 14);
    }
}
