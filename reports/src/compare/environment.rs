//! Fingerprints: whether two environments are the same, fact by fact.

use std::collections::{BTreeMap, BTreeSet};

use schema::Environment;
use schema::comparison::Difference;

use super::across::Across;

/// What stands for a fact that a side does not have.
const ABSENT: &str = "absent";

/// Facts that differ, each with the key that would allow it. Left out: the step of the clock, which is
/// measured anew in each run, and memory that differs by less than 2 % (a kernel reserves more or less of
/// it).
pub(super) fn differences(base: &Environment, new: &Environment) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut plain = |key: Across, fact: &str, base: String, new: String| {
        if base != new {
            found.push(difference(key, fact.to_owned(), base, new));
        }
    };
    plain(
        Across::Sandbox,
        "sandbox",
        word(&base.sandbox),
        word(&new.sandbox),
    );
    plain(
        Across::Sandbox,
        "accel",
        word(&base.accel),
        word(&new.accel),
    );
    plain(
        Across::Kernel,
        "kernel",
        base.kernel.clone(),
        new.kernel.clone(),
    );
    plain(
        Across::Kernel,
        "kernel_build",
        base.kernel_build.clone(),
        new.kernel_build.clone(),
    );
    plain(
        Across::Machine,
        "machine",
        base.machine.clone(),
        new.machine.clone(),
    );
    plain(Across::Machine, "cpu", base.cpu.clone(), new.cpu.clone());
    plain(
        Across::Machine,
        "cores",
        base.cores.to_string(),
        new.cores.to_string(),
    );
    plain(
        Across::Machine,
        "clocksource",
        base.clocksource.clone(),
        new.clocksource.clone(),
    );
    plain(
        Across::Machine,
        "pinning",
        base.pinning.clone(),
        new.pinning.clone(),
    );
    let (less, more) = (
        base.memory_bytes.min(new.memory_bytes),
        base.memory_bytes.max(new.memory_bytes),
    );
    // 0: a run of before it was recorded.
    if less > 0 && (more - less) * 50 > more {
        plain(
            Across::Machine,
            "memory_bytes",
            base.memory_bytes.to_string(),
            new.memory_bytes.to_string(),
        );
    }
    // Empty: a run of before it was recorded.
    if !base.placement.is_empty() && !new.placement.is_empty() {
        let (base, new) = (&base.placement, &new.placement);
        found.extend(of_maps(Across::Machine, "placement", base, new));
    }
    for (key, kind, base, new) in [
        (
            Across::Kernel,
            "mitigations",
            &base.mitigations,
            &new.mitigations,
        ),
        (Across::Kernel, "config", &base.config, &new.config),
        (Across::Sysctls, "sysctls", &base.sysctls, &new.sysctls),
        (Across::Tools, "tools", &base.tools, &new.tools),
    ] {
        found.extend(of_maps(key, kind, base, new));
    }
    found
}

fn of_maps<'a>(
    key: Across,
    kind: &'a str,
    base: &'a BTreeMap<String, String>,
    new: &'a BTreeMap<String, String>,
) -> impl Iterator<Item = Difference> + 'a {
    let names: BTreeSet<&String> = base.keys().chain(new.keys()).collect();
    let get = |map: &BTreeMap<String, String>, name: &String| {
        map.get(name).cloned().unwrap_or_else(|| ABSENT.to_owned())
    };
    names.into_iter().filter_map(move |name| {
        let (base, new) = (get(base, name), get(new, name));
        (base != new).then(|| difference(key, format!("{kind} {name}"), base, new))
    })
}

fn difference(key: Across, fact: String, base: String, new: String) -> Difference {
    Difference {
        key: key.name().to_owned(),
        fact,
        base,
        new,
    }
}

/// The name of an enum's value as in JSON.
fn word<T: serde::Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(text)) => text,
        _ => String::new(),
    }
}
