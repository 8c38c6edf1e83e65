//! Connection tracking's own counters.

use std::fs;

use crate::HarnessError;

/// Connection tracking of the calling thread's namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Conntrack {
    /// Entries now; none where the kernel does not say, as below.
    pub count: Option<u64>,
    /// The table's limit.
    pub max: Option<u64>,
    /// insert_failed + drop + early_drop, over all CPUs, since the namespace was made; none where the kernel does not
    /// say (no `CONFIG_NF_CONNTRACK_PROCFS`, or no connection tracking).
    pub lost: Option<u64>,
}

/// Reads the calling thread's namespace's connection tracking; nothing is known where the kernel has none.
///
/// # Errors
/// A file that exists cannot be read, or lacks a counter.
pub fn conntrack() -> Result<Conntrack, HarnessError> {
    let number = |name: &str| {
        netns_sys::isolation::read_sysctl(name)
            .ok()
            .and_then(|t| t.parse().ok())
    };
    // thread-self, not self: /proc/net is the main thread's.
    let lost = match fs::read_to_string("/proc/thread-self/net/stat/nf_conntrack") {
        Ok(text) => Some(lost_entries(&text).ok_or_else(|| {
            HarnessError::system(
                "read nf_conntrack statistics",
                std::io::Error::other("insert_failed, drop or early_drop is missing"),
            )
        })?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(HarnessError::system("read nf_conntrack statistics", error)),
    };
    Ok(Conntrack {
        count: number("net.netfilter.nf_conntrack_count"),
        max: number("net.netfilter.nf_conntrack_max"),
        lost,
    })
}

/// Losses, hexadecimal, a line for each CPU below the names (`ct_cpu_seq_show`, `net/netfilter/nf_conntrack_standalone.c`).
fn lost_entries(text: &str) -> Option<u64> {
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next()?.split_whitespace().collect();
    let mut lost = 0;
    for line in lines {
        let cells: Vec<&str> = line.split_whitespace().collect();
        for wanted in ["insert_failed", "drop", "early_drop"] {
            let column = names.iter().position(|name| *name == wanted)?;
            lost += u64::from_str_radix(cells.get(column)?, 16).ok()?;
        }
    }
    Some(lost)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_entries_are_summed_over_cpus_and_columns() {
        let text = "entries found insert_failed drop early_drop\n0 1 00000002 00000001 0000000a\n0 1 0 0 1\n";
        assert_eq!(lost_entries(text), Some(14));
    }

    #[test]
    fn a_counter_that_is_missing_or_no_number_is_no_zero() {
        assert_eq!(lost_entries("entries insert_failed drop\n0 1 2\n"), None);
        assert_eq!(lost_entries("insert_failed drop early_drop\n0 1\n"), None);
        assert_eq!(lost_entries("insert_failed drop early_drop\n0 1 x\n"), None);
        assert_eq!(lost_entries(""), None);
    }
}
