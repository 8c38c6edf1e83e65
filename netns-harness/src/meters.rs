//! Shared meters: the kernel's own figures, the same source for every mode.

mod cgroup;
mod conntrack;
mod memory;

use std::collections::BTreeMap;
use std::fs;

pub use cgroup::MemoryCgroup;
pub use conntrack::{Conntrack, conntrack};
pub use memory::{
    KernelMemory, Settled, Still, kernel_memory, peak_during, possible_cpus, settle, still,
};

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
