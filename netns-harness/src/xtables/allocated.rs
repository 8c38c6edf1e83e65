//! What the kernel allocates for a table of the legacy engine, computed from its listing: the blob that
//! `struct ipt_getinfo` states is only a part of it, and less than what is taken for it.

use netns_sys::x_tables::TableInfo;

/// `struct xt_table_info`, which begins the blob (`include/linux/netfilter/x_tables.h`).
const HEADER: u64 = 64;
/// A rule's packet counter (`struct xt_counters`) on each possible CPU, in blocks of this size
/// (`xt_percpu_counter_alloc`, `XT_PCPU_BLOCK_SIZE` in net/netfilter/x_tables.c).
const COUNTER: u64 = 16;
const COUNTER_BLOCK: u64 = 4_096;
/// Two return addresses a chain on each possible CPU (`xt_jumpstack_alloc`).
const RETURNS: u64 = 16;
/// `struct xt_statistic_priv`, a cache line to itself (net/netfilter/xt_statistic.c).
const STATISTIC: u64 = 64;

/// Bytes by what they are for.
pub(crate) fn parts(table: TableInfo, cpus: u64) -> [(&'static str, u64); 5] {
    let blob = u64::from(table.size_bytes);
    let stack = RETURNS * u64::from(table.chains);
    let taken = kvmalloc(HEADER + blob) + cpus * kvmalloc(stack);
    let counters = match cpus {
        // Then they stand in the blob.
        1 => 0,
        _ => (u64::from(table.entries) * COUNTER).next_multiple_of(COUNTER_BLOCK) * cpus,
    };
    [
        ("blob", blob),
        ("jump stacks", cpus * stack),
        ("packet counters", counters),
        ("statistic matches", STATISTIC * u64::from(table.statistics)),
        ("rounding by kvmalloc", taken - blob - cpus * stack),
    ]
}

/// What kvmalloc takes for a request of more than a page, bytes: a power of two of pages as one piece of slab up to
/// the largest that there is (`KMALLOC_MAX_SIZE`: 4 MB with pages of 4 kB), beyond that vmalloc, in huge pages
/// where the architecture maps it by them (`VM_ALLOW_HUGE_VMAP`, x86-64 since Linux 5.18). Smaller requests
/// are rounded up to a power of two of bytes.
fn kvmalloc(bytes: u64) -> u64 {
    const LARGEST_PIECE: u64 = 4 << 20;
    const HUGE_PAGE: u64 = 2 << 20;
    match bytes {
        0..=LARGEST_PIECE => bytes.next_power_of_two(),
        _ => bytes.next_multiple_of(HUGE_PAGE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table of N services of E endpoints as kube-proxy lays it out, with its size in bytes.
    fn table(n: u32, e: u32, size_bytes: u32) -> TableInfo {
        let chains = 9 + n * (1 + e);
        TableInfo {
            entries: 20 + n * (2 + 3 * e) + 2 * chains,
            size_bytes,
            chains,
            statistics: n * (e - 1),
        }
    }

    fn sum(table: TableInfo) -> u64 {
        parts(table, 2).iter().map(|(_, bytes)| bytes).sum()
    }

    #[test]
    fn a_blob_of_three_megabytes_takes_four_and_one_of_five_takes_six() {
        assert_eq!(kvmalloc(HEADER + 3_108_856), 4 << 20);
        assert_eq!(kvmalloc(HEADER + 5_892_856), 6 << 20);
        assert_eq!(kvmalloc(HEADER + 31_044_856), 30 << 20);
    }

    #[test]
    fn what_is_computed_is_what_a_quiet_guest_of_two_cpus_held() {
        // Measured: slab 4,358,144 and nothing in vmalloc; slab 1,606,656 and vmalloc 31,514,624. Less the counters,
        // whose pages an earlier install had left.
        let few = table(1_000, 2, 3_108_856);
        let many = table(10_000, 2, 31_044_856);
        for (table, measured) in [(few, 4_358_144.0), (many, 33_121_280.0)] {
            let counters = parts(table, 2)[2].1;
            let computed = (sum(table) - counters) as f64;
            assert!(
                (computed / measured - 1.0).abs() < 0.02,
                "{computed} {measured}"
            );
        }
    }

    #[test]
    fn counters_are_for_every_possible_cpu_and_in_the_blob_of_one() {
        let table = table(1_000, 2, 3_108_856);
        let counters = |cpus| parts(table, cpus)[2].1;
        assert_eq!(counters(1), 0);
        assert_eq!(counters(64), 32 * counters(2));
    }
}
