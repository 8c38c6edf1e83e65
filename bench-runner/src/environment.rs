//! What is measured on: kernel, CPU, clock, mitigations, tools; and what is missing for a mode.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::process::Command;

use netns_harness::datapath::Transport;
use netns_harness::lab::Pinning;
use netns_harness::meters;
use schema::{Accelerator, Environment, Mode, SandboxKind};

/// Kernel configuration that moves results by more than noise.
const CONFIG: &[&str] = &[
    "CONFIG_HZ",
    "CONFIG_PREEMPT_DYNAMIC",
    "CONFIG_PREEMPT_RT",
    "CONFIG_MITIGATION_RETPOLINE",
    "CONFIG_RETPOLINE",
    "CONFIG_KASAN",
    "CONFIG_LOCKDEP",
    "CONFIG_PROVE_LOCKING",
    "CONFIG_SLUB_DEBUG_ON",
    "CONFIG_DEBUG_KMEMLEAK",
    "CONFIG_NF_TABLES",
    "CONFIG_IP_NF_IPTABLES_LEGACY",
    "CONFIG_IP_NF_IPTABLES",
    "CONFIG_NF_CONNTRACK",
    "CONFIG_NF_NAT",
    "CONFIG_IP_SET",
    "CONFIG_IP_VS",
    "CONFIG_VETH",
    "CONFIG_DUMMY",
    "CONFIG_BPF_JIT_ALWAYS_ON",
];

/// A tool that a mode needs: program, Debian package.
type Tool = (&'static str, &'static str);

/// Tools of a mode through a transport.
pub(crate) fn tools(mode: Mode, transport: Transport) -> &'static [Tool] {
    const LEGACY: &[Tool] = &[
        ("iptables-legacy-restore", "iptables"),
        ("iptables-legacy-save", "iptables"),
        ("iptables-legacy", "iptables"),
    ];
    const NFT: &[Tool] = &[
        ("iptables-nft-restore", "iptables"),
        ("iptables-nft-save", "iptables"),
        ("iptables-nft", "iptables"),
    ];
    match (mode, transport) {
        (Mode::IptablesNft, _) => NFT,
        (_, Transport::Nft) => &[("nft", "nftables")],
        (Mode::Nftables, _) => &[],
        // The bare floor is proved empty by listing both engines.
        _ => LEGACY,
    }
}

/// Whether a program is in one of the directories of PATH.
pub(crate) fn installed(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()))
}

/// The host's kernel as an environment.
pub(crate) fn host() -> Environment {
    let uname = nix::sys::utsname::uname().ok();
    let name = |get: fn(&nix::sys::utsname::UtsName) -> &std::ffi::OsStr| {
        uname.as_ref().map_or_else(
            || "unknown".to_owned(),
            |u| get(u).to_string_lossy().into_owned(),
        )
    };
    let pinning = Pinning::choose().map_or_else(
        |e| e.to_string(),
        |p| {
            format!(
                "client {}, server {}, {}",
                p.client,
                p.server,
                if p.apart() { "spinning" } else { "sleeping" }
            )
        },
    );
    Environment {
        sandbox: SandboxKind::Netns,
        accel: Accelerator::None,
        kernel: name(|u| u.release()),
        kernel_build: name(|u| u.version()),
        machine: name(|u| u.machine()),
        cpu: cpu_model(),
        cores: std::thread::available_parallelism().map_or(1, |n| n.get() as u32),
        clocksource: read_trimmed(
            "/sys/devices/system/clocksource/clocksource0/current_clocksource",
        ),
        clock_step_ns: netns_sys::clock::step_ns(),
        pinning,
        mitigations: meters::mitigations(),
        config: kernel_config(),
        sysctls: BTreeMap::new(),
        tools: versions(),
    }
}

fn read_trimmed(path: &str) -> String {
    fs::read_to_string(path).map_or_else(|_| "unknown".to_owned(), |t| t.trim().to_owned())
}

fn cpu_model() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find_map(|l| {
        l.strip_prefix("model name")?
            .split_once(": ")
            .map(|(_, name)| name)
    });
    line.unwrap_or("unknown").trim().to_owned()
}

fn kernel_config() -> BTreeMap<String, String> {
    let release = read_trimmed("/proc/sys/kernel/osrelease");
    let mut text = String::new();
    let zipped = fs::File::open("/proc/config.gz")
        .and_then(|file| flate2::read::GzDecoder::new(file).read_to_string(&mut text));
    if zipped.is_err() {
        text = fs::read_to_string(format!("/boot/config-{release}")).unwrap_or_default();
    }
    if text.is_empty() {
        return BTreeMap::from([("config".to_owned(), "not readable".to_owned())]);
    }
    let values: BTreeMap<&str, &str> = text.lines().filter_map(|l| l.split_once('=')).collect();
    CONFIG
        .iter()
        .map(|name| {
            (
                (*name).to_owned(),
                values.get(name).copied().unwrap_or("n").to_owned(),
            )
        })
        .collect()
}

fn versions() -> BTreeMap<String, String> {
    let version = |program: &str| {
        let output = Command::new(program).arg("--version").output().ok()?;
        Some(
            String::from_utf8_lossy(&output.stdout)
                .lines()
                .next()?
                .trim()
                .to_owned(),
        )
    };
    let mut found = BTreeMap::from([("bench-runner".to_owned(), crate::VERSION.to_owned())]);
    for program in ["iptables-legacy-restore", "nft"] {
        found.insert(
            program.to_owned(),
            version(program).unwrap_or_else(|| "not installed".to_owned()),
        );
    }
    found
}
