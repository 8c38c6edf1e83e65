//! Which CPUs a lab's threads run on.

use std::fs;

use crate::HarnessError;

/// CPUs of the lab's threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pinning {
    /// The client's thread; veth delivers in the sender's softirq, so the path is walked here.
    pub client: usize,
    /// The servers' thread.
    pub server: usize,
}

impl Pinning {
    /// Two allowed CPUs that do not share a core, and from four on neither of them CPU 0, which has the timers,
    /// interrupts and callbacks of the whole machine; a server that spins takes a third of its sibling. Where there
    /// is no such pair the first two, and where there is one CPU, that.
    ///
    /// # Errors
    /// `sched_getaffinity(2)`.
    pub fn choose() -> Result<Self, HarnessError> {
        let cpus = netns_sys::thread::allowed_cpus()
            .map_err(|e| HarnessError::system("read the CPUs that this process may use", e))?;
        Ok(Self::among(&cpus, |cpu| siblings(cpu).unwrap_or_default()))
    }

    fn among(cpus: &[usize], siblings: impl Fn(usize) -> Vec<usize>) -> Self {
        const ENOUGH: usize = 4;
        let spared = cpus.len() >= ENOUGH;
        let mut left = cpus.iter().copied().filter(|&cpu| cpu != 0 || !spared);
        let client = left.next().unwrap_or(0);
        let others: Vec<usize> = left.collect();
        let same_core = siblings(client);
        let apart = others.iter().find(|cpu| !same_core.contains(cpu));
        Self {
            client,
            server: apart.or(others.first()).copied().unwrap_or(client),
        }
    }

    /// Whether client and server run apart, so that both may spin instead of sleeping.
    #[must_use]
    pub const fn apart(self) -> bool {
        self.client != self.server
    }
}

/// CPUs of the same core, itself included (`Documentation/admin-guide/cputopology.rst`).
pub(crate) fn siblings(cpu: usize) -> Option<Vec<usize>> {
    let path = format!("/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list");
    list(fs::read_to_string(path).ok()?.trim())
}

/// `0-1,4`.
pub(crate) fn list(text: &str) -> Option<Vec<usize>> {
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

    fn pinned(cpus: &[usize], siblings: impl Fn(usize) -> Vec<usize>) -> (usize, usize) {
        let Pinning { client, server } = Pinning::among(cpus, siblings);
        (client, server)
    }

    #[test]
    fn the_two_cpus_share_no_core_and_spare_cpu_0_where_there_are_enough() {
        let neighbours = |cpu: usize| vec![cpu / 2 * 2, cpu / 2 * 2 + 1];
        let halves = |cpu: usize| vec![cpu % 4, cpu % 4 + 4];
        let single = |cpu: usize| vec![cpu];
        assert_eq!(pinned(&[0, 1, 2, 3], neighbours), (1, 2));
        assert_eq!(pinned(&[0, 1, 2, 3, 4, 5, 6, 7], halves), (1, 2));
        assert_eq!(pinned(&[0, 1, 2, 3], single), (1, 2));
        // What a machine lacks is done without.
        assert_eq!(pinned(&[0, 1], neighbours), (0, 1));
        assert_eq!(pinned(&[0, 1, 2], neighbours), (0, 2));
        assert_eq!(pinned(&[5], single), (5, 5));
        assert_eq!(pinned(&[2, 3, 6, 7], |_| Vec::new()), (2, 3));
    }

    #[test]
    fn a_list_of_cpus_is_read_and_what_is_none_is_unknown() {
        assert_eq!(list("0-1,4"), Some(vec![0, 1, 4]));
        assert_eq!(list(""), None);
    }
}
