//! Shared meters: the kernel's own figures, the same source for every mode.

mod cgroup;
mod conntrack;
mod memory;
mod placement;
mod waits;

use std::collections::BTreeMap;
use std::fs;

pub use cgroup::MemoryCgroup;
pub use conntrack::{Conntrack, conntrack};
pub use memory::{
    KernelMemory, Settled, Still, kernel_memory, meminfo, peak_during, possible_cpus, settle, still,
};
pub use placement::placement;
pub use waits::{WaitProbes, Waits};

/// Time that the hypervisor took from this machine's CPUs, nanoseconds since boot, summed over CPUs
/// (`steal` of /proc/stat, 100 ticks a second: `proc_stat(5)`); none where it does not say.
#[must_use]
pub fn steal_ns() -> Option<u64> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    let ticks = text.lines().next()?.split_whitespace().nth(8)?;
    Some(ticks.parse::<u64>().ok()? * 10_000_000)
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
