//! How often the kernel waits: calls of the functions in which it waits for an RCU grace period or for work that it has
//! put off, counted by kprobes (`Documentation/trace/kprobetrace.rst`). Where time is executed instructions a wait takes
//! none, so that a clock cannot see one more of them.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use nix::mount::{MsFlags, mount};

/// Where a kernel waits (kernel/rcu/tree.c, kernel/rcu/tree_exp.h, kernel/workqueue.c). `synchronize_net` and
/// `membarrier(2)` are calls of the first two.
const FUNCTIONS: [&str; 4] = [
    "synchronize_rcu",
    "synchronize_rcu_expedited",
    "rcu_barrier",
    "flush_work",
];
/// Where tracefs belongs (`Documentation/trace/ftrace.rst`).
const TRACEFS: &str = "/sys/kernel/tracing";
/// The group of our probes.
const GROUP: &str = "bench_waits";

/// While it lives, calls are counted, of every process.
#[derive(Debug)]
#[must_use = "the probes are removed when this is dropped"]
pub struct WaitProbes(());

/// Calls by function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waits(BTreeMap<&'static str, u64>);

impl WaitProbes {
    /// Sets the probes. Call with a private mount namespace.
    ///
    /// # Errors
    /// Why this kernel cannot count: no tracefs, no kprobes, or a function that it has not.
    pub fn set() -> Result<Self, String> {
        if !Path::new(TRACEFS).join("kprobe_events").exists() {
            let none: Option<&str> = None;
            mount(none, TRACEFS, Some("tracefs"), MsFlags::empty(), none)
                .map_err(|e| format!("mount tracefs on {TRACEFS}: {e}"))?;
        }
        let probes = Self(());
        for function in FUNCTIONS {
            append(
                "kprobe_events",
                &format!("p:{GROUP}/{function} {function}\n"),
            )
            .map_err(|e| format!("set a kprobe on {function}: {e}"))?;
        }
        let enable = format!("events/{GROUP}/enable");
        append(&enable, "1").map_err(|e| format!("enable kprobes: {e}"))?;
        Ok(probes)
    }

    /// Calls so far.
    ///
    /// # Errors
    /// The kernel does not say, or has missed some.
    pub fn counts(&self) -> io::Result<Waits> {
        let text = fs::read_to_string(Path::new(TRACEFS).join("kprobe_profile"))?;
        counts(&text).ok_or_else(|| {
            io::Error::other(format!("kprobe_profile does not count every probe: {text}"))
        })
    }
}

impl Drop for WaitProbes {
    fn drop(&mut self) {
        // A probe that is left counts on, and the guest ends with the stay.
        let _ = append(&format!("events/{GROUP}/enable"), "0");
        let _ = append("kprobe_events", &format!("-:{GROUP}/\n"));
    }
}

impl Waits {
    /// Calls since then.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let each = self.0.iter();
        Self(
            each.map(|(name, n)| (*name, n - before.0.get(name).unwrap_or(&0)))
                .collect(),
        )
    }

    /// Calls of all functions together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }
}

impl fmt::Display for Waits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let called: Vec<String> = self
            .0
            .iter()
            .filter(|(_, n)| **n > 0)
            .map(|(name, n)| format!("{n} {name}"))
            .collect();
        match called.is_empty() {
            true => f.write_str("none"),
            false => f.write_str(&called.join(", ")),
        }
    }
}

/// Adds a line to one of tracefs' files.
fn append(file: &str, text: &str) -> io::Result<()> {
    use io::Write as _;
    let path = Path::new(TRACEFS).join(file);
    fs::File::options()
        .append(true)
        .open(path)?
        .write_all(text.as_bytes())
}

/// Of "event, hits, misses" lines. `None` unless every function is there and none was missed.
fn counts(profile: &str) -> Option<Waits> {
    let mut counts = BTreeMap::new();
    for line in profile.lines() {
        let mut words = line.split_whitespace();
        let (name, hits, missed) = (words.next()?, words.next()?, words.next()?);
        let Some(function) = FUNCTIONS.iter().find(|function| **function == name) else {
            continue;
        };
        if missed != "0" {
            return None;
        }
        counts.insert(*function, hits.parse().ok()?);
    }
    (counts.len() == FUNCTIONS.len()).then_some(Waits(counts))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROFILE: &str = "\
  synchronize_rcu                                            12               0
  synchronize_rcu_expedited                                   3               0
  rcu_barrier                                                 0               0
  another                                                     7               9
  flush_work                                                  5               0
";

    #[test]
    fn calls_are_told_by_function_and_as_one_figure() {
        let before = counts(PROFILE).unwrap();
        let after = counts(&PROFILE.replace("12  ", "15  ").replace(" 5  ", " 6  ")).unwrap();
        let waits = after.since(&before);
        assert_eq!(
            (waits.total(), waits.to_string().as_str()),
            (4, "1 flush_work, 3 synchronize_rcu")
        );
        assert_eq!(before.since(&before).to_string(), "none");
    }

    #[test]
    fn what_is_missed_or_not_there_is_no_count() {
        assert_eq!(
            counts(&PROFILE.replace("5               0", "5               1")),
            None
        );
        assert_eq!(counts(&PROFILE.replace("rcu_barrier", "another_one")), None);
    }
}
