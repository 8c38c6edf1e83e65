//! Fingerprints: whether two environments are the same, fact by fact.

use std::collections::{BTreeMap, BTreeSet};

use schema::Environment;
use schema::comparison::Difference;

use super::across::Across;

/// What stands for a fact that a side does not have.
const ABSENT: &str = "absent";

/// A fact: the KEY of `--across` that allows it to differ, its name, and what an environment says of it.
type Fact = (Across, &'static str, fn(&Environment) -> String);

const FACTS: &[Fact] = &[
    (Across::Sandbox, "sandbox", |of| of.sandbox.to_string()),
    (Across::Sandbox, "accel", |of| of.accel.to_string()),
    (Across::Kernel, "kernel", |of| of.kernel.clone()),
    (Across::Kernel, "kernel_build", |of| of.kernel_build.clone()),
    (Across::Machine, "machine", |of| of.machine.clone()),
    (Across::Machine, "cpu", |of| of.cpu.clone()),
    (Across::Machine, "cores", |of| of.cores.to_string()),
    (Across::Machine, "clocksource", |of| of.clocksource.clone()),
    (Across::Machine, "pinning", |of| of.pinning.clone()),
];

/// Facts by name.
type Facts = (
    Across,
    &'static str,
    fn(&Environment) -> &BTreeMap<String, String>,
);

const MAPS: &[Facts] = &[
    (Across::Machine, "placement", |of| &of.placement),
    (Across::Kernel, "mitigations", |of| &of.mitigations),
    (Across::Kernel, "config", |of| &of.config),
    (Across::Sysctls, "sysctls", |of| &of.sysctls),
    (Across::Tools, "tools", |of| &of.tools),
];

/// Facts that differ, each with the key that would allow it. Left out: the step of the clock, which is
/// measured anew in each run, and memory that differs by less than 2 % (a kernel reserves more or less of
/// it).
pub(super) fn differences(base: &Environment, new: &Environment) -> Vec<Difference> {
    let mut found = Vec::new();
    for (key, fact, of) in FACTS {
        let (base, new) = (of(base), of(new));
        if base != new {
            found.push(difference(*key, (*fact).to_owned(), base, new));
        }
    }
    let [less, more] = {
        let mut both = [base.memory_bytes, new.memory_bytes];
        both.sort_unstable();
        both
    };
    // 0: a run of before it was recorded.
    if less > 0 && (more - less) * 50 > more {
        let [base, new] = [base, new].map(|of| of.memory_bytes.to_string());
        found.push(difference(
            Across::Machine,
            "memory_bytes".to_owned(),
            base,
            new,
        ));
    }
    for (key, kind, of) in MAPS {
        let (base, new) = (of(base), of(new));
        // Empty: a run of before it was recorded.
        let recorded = *kind != "placement" || !base.is_empty() && !new.is_empty();
        found.extend(of_maps(*key, kind, base, new).filter(|_| recorded));
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
