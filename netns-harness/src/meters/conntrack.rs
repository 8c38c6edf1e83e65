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
    /// say (no `CONFIG_NF_CONNTRACK_PROCFS`, no connection tracking, or not all three of these columns).
    pub lost: Option<u64>,
}

/// Reads the calling thread's namespace's connection tracking; nothing is known where the kernel has none.
///
/// # Errors
/// A file that exists cannot be read, or has no numbers in its columns.
pub fn conntrack() -> Result<Conntrack, HarnessError> {
    let number = |name: &str| {
        netns_sys::isolation::read_sysctl(name)
            .ok()
            .and_then(|t| t.parse().ok())
    };
    // thread-self, not self: /proc/net is the main thread's.
    let lost = match fs::read_to_string("/proc/thread-self/net/stat/nf_conntrack") {
        Ok(text) => {
            lost_entries(&text).map_err(HarnessError::listing("/proc/net/stat/nf_conntrack"))?
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(HarnessError::system("read nf_conntrack statistics", error)),
    };
    Ok(Conntrack {
        count: number("net.netfilter.nf_conntrack_count"),
        max: number("net.netfilter.nf_conntrack_max"),
        lost,
    })
}

/// Losses, hexadecimal, a line for each CPU below the names (`ct_cpu_seq_show`, `net/netfilter/nf_conntrack_standalone.c`);
/// none where a kernel has not all three columns: a part of them is no sum.
///
/// # Errors
/// A line that has no number where a column is.
fn lost_entries(text: &str) -> Result<Option<u64>, &str> {
    let mut lines = text.lines();
    let names: Vec<&str> = lines
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let column = |wanted: &&str| names.iter().position(|name| name == wanted);
    let columns = ["insert_failed", "drop", "early_drop"];
    let columns: Vec<usize> = columns.iter().filter_map(column).collect();
    if columns.len() < 3 {
        return Ok(None);
    }
    let mut lost = 0;
    for line in lines {
        let cells: Vec<&str> = line.split_whitespace().collect();
        for column in &columns {
            let number = cells.get(*column).map(|cell| u64::from_str_radix(cell, 16));
            lost += number.and_then(Result::ok).ok_or(line)?;
        }
    }
    Ok(Some(lost))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_entries_are_summed_over_cpus_and_columns() {
        let text = "entries found insert_failed drop early_drop\n0 1 00000002 00000001 0000000a\n0 1 0 0 1\n";
        assert_eq!(lost_entries(text), Ok(Some(14)));
    }

    #[test]
    fn columns_that_an_old_kernel_does_not_have_leave_nothing_known() {
        let text = "entries insert_failed drop\n0 1 2\n";
        assert_eq!(lost_entries(text), Ok(None));
        assert_eq!(lost_entries(""), Ok(None));
    }

    #[test]
    fn a_column_without_a_number_is_an_error_and_no_zero() {
        for line in ["0 1", "0 1 x"] {
            let text = format!("insert_failed drop early_drop\n{line}\n");
            assert_eq!(lost_entries(&text), Err(line));
        }
    }
}
