//! Fingerprints: whether two environments are the same, fact by fact.

use std::collections::{BTreeMap, BTreeSet};

use schema::Environment;
use schema::comparison::Difference;

use super::across::Across;

/// What stands for a fact that a side does not have.
const ABSENT: &str = "absent";

/// Facts of one kind: the KEY of `--across` that allows them to differ, the kind's name, and what an environment says,
/// by name; of a kind that is one fact under no name.
type Facts = (
    Across,
    &'static str,
    fn(&Environment) -> BTreeMap<String, String>,
);

fn one(value: impl ToString) -> BTreeMap<String, String> {
    BTreeMap::from([(String::new(), value.to_string())])
}

const FACTS: &[Facts] = &[
    (Across::Sandbox, "sandbox", |of| one(of.sandbox)),
    (Across::Sandbox, "accel", |of| one(of.accel)),
    (Across::Kernel, "kernel", |of| one(&of.kernel)),
    (Across::Kernel, "kernel_build", |of| one(&of.kernel_build)),
    (Across::Machine, "machine", |of| one(&of.machine)),
    (Across::Machine, "cpu", |of| one(&of.cpu)),
    (Across::Machine, "cores", |of| one(of.cores)),
    (Across::Machine, "clocksource", |of| one(&of.clocksource)),
    (Across::Machine, "pinning", |of| one(&of.pinning)),
    (Across::Machine, MEMORY, |of| one(of.memory_bytes)),
    (Across::Machine, PLACEMENT, |of| of.placement.clone()),
    (Across::Kernel, "mitigations", |of| of.mitigations.clone()),
    (Across::Kernel, "config", |of| of.config.clone()),
    (Across::Sysctls, "sysctls", |of| of.sysctls.clone()),
    (Across::Tools, "tools", |of| {
        let tools = of.tools.iter().filter(|(name, _)| *name != RUNNER);
        tools
            .map(|(name, version)| (name.clone(), version.clone()))
            .collect()
    }),
];

/// Its own revision is a note; where its instructions are counted its checksum counts.
const RUNNER: &str = "bench-runner";

const MEMORY: &str = "memory_bytes";
const PLACEMENT: &str = "placement";

/// Facts that differ, each with the key that would allow it. Left out: the step of the clock, which is
/// measured anew in each run, and memory that differs by less than 2 % (a kernel reserves more or less of
/// it).
pub(crate) fn differences(base: &Environment, new: &Environment) -> Vec<Difference> {
    let (less, more) = (
        base.memory_bytes.min(new.memory_bytes),
        base.memory_bytes.max(new.memory_bytes),
    );
    let compared = |kind: &str| match kind {
        // Nothing: a run of before it was recorded.
        MEMORY => less > 0 && (more - less) * 50 > more,
        PLACEMENT => !base.placement.is_empty() && !new.placement.is_empty(),
        _ => true,
    };
    let mut found = Vec::new();
    for (key, kind, of) in FACTS.iter().filter(|(_, kind, _)| compared(kind)) {
        let (base, new) = (of(base), of(new));
        let names: BTreeSet<&String> = base.keys().chain(new.keys()).collect();
        for name in names {
            let said = |side: &BTreeMap<String, String>| {
                let said = side.get(name).map_or(ABSENT, String::as_str);
                said.to_owned()
            };
            let (base, new) = (said(&base), said(&new));
            if base != new {
                found.push(Difference {
                    key: key.name().to_owned(),
                    fact: format!("{kind} {name}").trim_end().to_owned(),
                    base,
                    new,
                });
            }
        }
    }
    found
}
