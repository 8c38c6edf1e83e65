//! Where on the machine a lab's threads run: what makes equal machines give unequal times.

use std::collections::BTreeMap;
use std::fs;

use super::cgroup;
use crate::lab::Pinning;

/// The pinned CPUs, whether they share a core, the governor of their clock, and whether this process's kernel
/// memory is charged to a cgroup (which every object of nf_tables then pays for). What the kernel does not say is
/// left out.
#[must_use]
pub fn placement() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut note = |name: &str, value: Option<String>| {
        found.extend(value.map(|value| (name.to_owned(), value)));
    };
    if let Ok(Pinning { client, server }) = Pinning::choose() {
        note("pinned_cpus", Some(format!("{client},{server}")));
        let shared = siblings(client).map(|all| client != server && all.contains(&server));
        note("pinned_cpus_share_a_core", shared.map(yes_or_no));
        let mut governors: Vec<String> =
            [client, server].into_iter().filter_map(governor).collect();
        governors.dedup();
        note(
            "governor",
            Some(governors.join(",")).filter(|g| !g.is_empty()),
        );
    }
    note("memory_cgroup", cgroup::is_limited().map(yes_or_no));
    found
}

fn yes_or_no(is: bool) -> String {
    if is { "yes" } else { "no" }.to_owned()
}

/// CPUs of the same core, itself included (`Documentation/admin-guide/cputopology.rst`).
pub(crate) fn siblings(cpu: usize) -> Option<Vec<usize>> {
    let path = format!("/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list");
    list(fs::read_to_string(path).ok()?.trim())
}

fn governor(cpu: usize) -> Option<String> {
    let path = format!("/sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor");
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}

/// `0-1,4`.
pub(super) fn list(text: &str) -> Option<Vec<usize>> {
    let mut all = Vec::new();
    for range in text.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        all.extend(first.parse().ok()?..=last.parse::<usize>().ok()?);
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_cpus_is_read_and_what_is_none_is_unknown() {
        assert_eq!(list("0-1,4"), Some(vec![0, 1, 4]));
        assert_eq!(list(""), None);
    }

    #[test]
    fn this_machine_says_which_cpus_it_pins() {
        assert!(placement().contains_key("pinned_cpus"));
    }
}
