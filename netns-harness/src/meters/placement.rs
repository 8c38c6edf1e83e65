//! Where on the machine a lab's threads run: what makes equal machines give unequal times.

use std::collections::BTreeMap;
use std::fs;

use super::cgroup;
use crate::pinning::{Pinning, siblings};

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

fn governor(cpu: usize) -> Option<String> {
    let path = format!("/sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor");
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_says_which_cpus_it_pins() {
        assert!(placement().contains_key("pinned_cpus"));
    }
}
