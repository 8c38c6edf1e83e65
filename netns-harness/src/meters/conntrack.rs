//! Connection tracking's own counters.

use std::fs;

use crate::HarnessError;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_entries_are_summed_over_cpus_and_columns() {
        let text = "entries found insert_failed drop early_drop\n0 1 00000002 00000001 0000000a\n0 1 0 0 1\n";
        assert_eq!(lost_entries(text), 14);
    }
}
