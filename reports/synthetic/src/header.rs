//! Where the synthetic run was taken: a machine that does not exist.

use std::collections::BTreeMap;

use schema::{Accelerator, Environment, Header, SandboxKind};

use super::Shape;

/// Line 1 of a run of so many cells.
pub(crate) fn header(shape: &Shape, cells: u64) -> Header {
    let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    };
    let environment = Environment {
        sandbox: SandboxKind::Netns,
        accel: Accelerator::None,
        kernel: "6.18.0".to_owned(),
        kernel_build: "#1 SMP PREEMPT_DYNAMIC".to_owned(),
        machine: "x86_64".to_owned(),
        cpu: format!("Imaginary CPU ({})", shape.label),
        cores: 2,
        memory_bytes: 8 << 30,
        clocksource: "tsc".to_owned(),
        clock_step_ns: 20,
        pinning: "client 0, servers 1".to_owned(),
        mitigations: map(&[
            ("spectre_v2", "Mitigation: Retpolines"),
            ("meltdown", "Not affected"),
        ]),
        placement: map(&[("pinned_cpus", "0,1"), ("memory_cgroup", "no")]),
        config: map(&[("preempt", "voluntary"), ("hz", "250")]),
        sysctls: map(&[
            ("node:net.ipv4.ip_forward", "1"),
            ("node:net.netfilter.nf_conntrack_checksum", "0"),
        ]),
        tools: map(&[
            ("iptables", "1.8.9"),
            ("nft", "1.0.6"),
            ("libnftnl", "1.2.4"),
            ("ipset", "7.17"),
        ]),
    };
    Header {
        schema_version: schema::SCHEMA_VERSION,
        started: "2026-11-22T20:00:00Z".to_owned(),
        tool_version: "0.1.0".to_owned(),
        revision: "0123456789ab".to_owned(),
        binary: String::new(),
        command_line: ["bench-runner", "--services", "10000", "--sandbox", "netns"]
            .map(str::to_owned)
            .to_vec(),
        arguments: BTreeMap::from([("out".to_owned(), shape.label.as_str().into())]),
        seed: 42,
        planned_cells: cells + if shape.mishaps { 3 } else { 0 },
        planned_blocks: shape.blocks,
        planned_time_ns: 300_000_000_000,
        choice: "the host's kernel: it can run every requested mode".to_owned(),
        variants: Vec::new(),
        environments: BTreeMap::from([("host".to_owned(), environment)]),
    }
}

/// Moves the only environment of a header into a guest of that kernel.
pub(crate) fn in_guest(header: &mut Header, kernel: &str) {
    let environments = std::mem::take(&mut header.environments);
    header.choice = "guests: --kernel asks for them".to_owned();
    header.environments = environments
        .into_values()
        .map(|facts| {
            let guest = Environment {
                sandbox: SandboxKind::Guest,
                accel: Accelerator::Tcg,
                kernel: format!("{kernel}.0-imaginary"),
                ..facts
            };
            (format!("guest-{kernel}"), guest)
        })
        .collect();
}
