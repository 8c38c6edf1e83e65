//! What is looked at besides the modes: privileges, the machine, parts of the kernel, tools.

use netns_harness::lab::Pinning;
use netns_harness::lab::facility::{FACILITIES, Facility, Revisions};
use netns_harness::remedy::{Lack, Machine, Remedy};
use netns_sys::isolation;
use nix::sys::resource::{Resource, getrlimit};
use schema::Environment;

use super::{Check, State};
use crate::case;
use crate::environment;
use crate::isolate::ask::Facilities;

/// Open files of a stay: its servers, its clients' sockets, its tools.
const FILES: u64 = 1024;
/// Tracked connections that a stay of every default first-packet cell makes, doubled, because it stays
/// below half of the table: 8 cells of 1,500 flows and the proof's 5,000.
const TRACKED: u64 = 2 * (8 * 1_500 + 5_000);

/// What this user may do.
pub(super) fn privileges(facilities: &Result<Facilities, Lack>) -> Vec<Check> {
    const SUDO: &str = "sudo bench-runner doctor";
    let user = nix::unistd::geteuid();
    let rootless = isolation::needs_user_namespace();
    let identity = if rootless {
        format!("uid {user}, without CAP_NET_ADMIN and CAP_SYS_ADMIN: labs live in user namespaces")
    } else {
        format!("uid {user}, with CAP_NET_ADMIN and CAP_SYS_ADMIN")
    };
    let mut checks = vec![Check::new("user", State::ok_if(!rootless), identity)];
    match facilities {
        Ok(found) => {
            let (name, made) = match rootless {
                true => (
                    "user namespaces",
                    "one was made, with all that a stay isolates",
                ),
                false => ("namespaces", "mount, PID, IPC, UTS and network were made"),
            };
            checks.push(Check::new(name, State::Ok, made));
            let buffers = match (found.forced_buffers, found.largest_batch) {
                (true, _) => "allowed: no bound on a transaction".to_owned(),
                (false, None) => "refused".to_owned(),
                (false, Some(bytes)) => format!(
                    "refused: an nftables transaction has at most {bytes} bytes (twice net.core.wmem_max)"
                ),
            };
            checks.push(Check::ok_or(
                "SO_SNDBUFFORCE",
                found.forced_buffers,
                buffers,
                SUDO,
            ));
            checks.push(receive_buffers(found.forced_receive_buffers));
            checks.push(sysfs(found.own_sysfs));
        }
        Err(Lack { reason, remedy }) => {
            let remedy = remedy.as_ref().map(|remedy| remedy.line(&Machine::here()));
            checks.push(Check {
                remedy,
                ..Check::new("namespaces", State::Missing, reason.clone())
            });
        }
    }
    checks.extend([ptrace(), memory_cgroup()]);
    checks
}

/// What the kernel answers to a long transaction or a listing waits in the receive buffer (`netlink(7)`, ENOBUFS).
fn receive_buffers(forced: bool) -> Check {
    let largest = isolation::read_sysctl("net.core.rmem_max").unwrap_or_default();
    let found = match forced {
        true => "allowed: no bound on what is read back".to_owned(),
        false => format!(
            "refused: what netlink answers waits in at most {largest} bytes (net.core.rmem_max), twice; ours reads as it sends, `nft` and `iptables-nft` do not"
        ),
    };
    let state = State::ok_if(forced);
    Check::new("SO_RCVBUFFORCE", state, found)
}

/// Of a stay.
fn sysfs(own: bool) -> Check {
    let found = match own {
        true => "a stay has its own",
        false => {
            "the one that is here, since parts of it are masked: it shows the interfaces of another namespace, which nothing that is measured reads"
        }
    };
    Check::new("/sys", State::ok_if(own), found)
}

/// Peak memory of tools is read at their exit, through ptrace.
fn ptrace() -> Check {
    let scope = isolation::read_sysctl("kernel.yama.ptrace_scope").unwrap_or_default();
    let (state, found) = match scope.as_str() {
        "3" => (
            State::Limited,
            "kernel.yama.ptrace_scope=3 forbids it until a reboot: no tool_rss".to_owned(),
        ),
        "" | "0" | "1" => (State::Ok, "of one's own children".to_owned()),
        other => {
            let found = format!("kernel.yama.ptrace_scope={other}: with CAP_SYS_PTRACE");
            (State::ok_if(!isolation::needs_user_namespace()), found)
        }
    };
    Check::new("ptrace", state, found)
}

/// A memory cgroup of one's own: a cross-check of the memory scenario.
fn memory_cgroup() -> Check {
    let v2 = std::fs::read_to_string("/sys/fs/cgroup/cgroup.controllers")
        .is_ok_and(|text| text.split_whitespace().any(|c| c == "memory"));
    let (place, version, processes) = match v2 {
        true => ("/sys/fs/cgroup", "v2", "cgroup.procs"),
        false => ("/sys/fs/cgroup/memory", "v1", "tasks"),
    };
    let place = std::path::Path::new(place);
    let own = place.join(format!("bench-runner-doctor-{}", std::process::id()));
    let (state, found) = if !place.join(processes).exists() {
        let found = "no memory controller is mounted: no cross-check of memory".to_owned();
        (State::Limited, found)
    } else if let Err(error) = std::fs::create_dir(&own) {
        let found = format!("{version}, none can be made ({error}): no memory cells");
        (State::Limited, found)
    } else {
        // An empty cgroup can always be removed.
        let _ = std::fs::remove_dir(&own);
        (State::Ok, format!("{version}, one can be made"))
    };
    Check::new("memory cgroup", state, found)
}

/// CPUs, clock, limits.
pub(super) fn machine(host: &Environment, facilities: Option<&Facilities>) -> Vec<Check> {
    let (state, cpus) = match Pinning::choose() {
        Ok(p) if p.apart() => (State::Ok, format!("{}; {}", host.cores, host.pinning)),
        Ok(_) => (
            State::Limited,
            "one: client and server share it, and latencies include waking the server".to_owned(),
        ),
        Err(e) => (State::Missing, e.to_string()),
    };
    let fast = host.clocksource != "jiffies" && host.clock_step_ns < 10_000;
    let clock = format!("{}, step {} ns", host.clocksource, host.clock_step_ns);
    let mut checks = vec![
        Check::new("CPUs", state, cpus),
        Check::new("clock", State::ok_if(fast), clock),
        open_files(),
    ];
    checks.extend(facilities.and_then(|f| f.conntrack_max).map(|max| {
        Check::ok_or(
            "nf_conntrack_max",
            max >= TRACKED,
            format!("{max}; a default run needs {TRACKED}"),
            format!("sudo sysctl -w net.netfilter.nf_conntrack_max={TRACKED}"),
        )
    }));
    checks
}

fn open_files() -> Check {
    const NAME: &str = "open files";
    let soft = match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok((soft, _)) => soft,
        Err(e) => return Check::new(NAME, State::Unknown, e.to_string()),
    };
    let enough = soft >= FILES;
    let needed = if enough {
        String::new()
    } else {
        format!("; {FILES} are needed")
    };
    let found = format!("{soft}{needed}");
    Check::ok_or(NAME, enough, found, format!("ulimit -n {FILES}"))
}

/// Parts of the kernel, as the trial found them.
pub(super) fn kernel_facilities(facilities: Option<&Facilities>) -> Vec<Check> {
    let check = |f: &Facility| {
        let found = facilities.and_then(|all| all.found.iter().find(|found| found.name == f.name));
        match found.map(|found| &found.refused) {
            None => Check::new(f.title(), State::Unknown, "no namespace to try it in"),
            Some(None) => Check::new(f.title(), State::Ok, "there"),
            Some(Some(why)) => {
                let remedy = Remedy::modules([f.module]).line(&Machine::here());
                Check::new(f.title(), State::Missing, why.clone()).with_remedy(remedy)
            }
        }
    };
    let revisions = facilities.and_then(|all| revisions(&all.set_revisions));
    FACILITIES.iter().map(check).chain(revisions).collect()
}

/// Which revisions sets are made of: user space and kernel of different ages have older ones in common.
fn revisions(found: &[Revisions]) -> Option<Check> {
    let of = |Revisions { of, common, kernel }: &Revisions| match common == kernel {
        true => format!("{of} {common}"),
        false => format!("{of} {common} (the kernel has {kernel})"),
    };
    let all: Vec<String> = found.iter().map(of).collect();
    let newest = found.iter().all(|found| found.common == found.kernel);
    let state = State::ok_if(newest);
    (!all.is_empty()).then(|| Check::new("ip_set revisions", state, all.join(", ")))
}

/// Programs, then whether they read what they are given, then libraries, with versions.
pub(super) fn tools(facilities: Option<&Facilities>) -> Vec<Check> {
    let programs = case::all_tools().into_iter();
    let programs = programs.map(|(name, package)| Check::program(name, package, "not installed"));
    let libraries = environment::libraries().into_iter();
    let loaded = libraries.map(|(name, version)| Check::new(name, State::Ok, version));
    programs.chain(fed(facilities)).chain(loaded).collect()
}

/// Whether tools read their standard input.
fn fed(facilities: Option<&Facilities>) -> Vec<Check> {
    const NAME: &str = "their input";
    let Some(Facilities { deaf, .. }) = facilities else {
        return vec![Check::new(
            NAME,
            State::Unknown,
            "no namespace to try it in",
        )];
    };
    if deaf.is_empty() {
        let found = "each refuses a line that it must refuse";
        return vec![Check::new(NAME, State::Ok, found)];
    }
    let check = |Lack { reason, remedy }: &Lack| Check {
        remedy: remedy.as_ref().map(|remedy| remedy.line(&Machine::here())),
        ..Check::new(NAME, State::Missing, reason.clone())
    };
    deaf.iter().map(check).collect()
}
