//! What is looked at besides the modes: privileges, the machine, parts of the kernel, tools.

use netns_harness::lab::Pinning;
use netns_harness::lab::facility::{FACILITIES, Facility};
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
pub(super) fn privileges(facilities: &Result<Facilities, String>) -> Vec<Check> {
    const SUDO: &str = "sudo bench-runner doctor";
    let user = nix::unistd::geteuid();
    let rootless = isolation::needs_user_namespace();
    let identity = if rootless {
        format!("uid {user}, without CAP_NET_ADMIN and CAP_SYS_ADMIN: labs live in user namespaces")
    } else {
        format!("uid {user}, with CAP_NET_ADMIN and CAP_SYS_ADMIN")
    };
    let limited = |ok: bool| if ok { State::Ok } else { State::Limited };
    let mut checks = vec![Check::new("user", limited(!rootless), identity)];
    checks.push(match facilities {
        Ok(_) if rootless => Check::new(
            "user namespaces",
            State::Ok,
            "one was made, with all that a stay isolates",
        ),
        Ok(_) => Check::new(
            "namespaces",
            State::Ok,
            "mount, PID, IPC, UTS and network were made",
        ),
        Err(why) => {
            let check = Check::new("namespaces", State::Missing, why.clone());
            let remedy = crate::readiness::remedy(why).unwrap_or_else(|| SUDO.to_owned());
            check.with_remedy(remedy)
        }
    });
    if let Ok(found) = facilities {
        checks.push(if found.forced_buffers {
            Check::new("SO_SNDBUFFORCE", State::Ok, "allowed: no bound on a transaction")
        } else {
            let most = found.largest_batch.map_or_else(
                || "refused".to_owned(),
                |bytes| format!("refused: an nftables transaction has at most {bytes} bytes (twice net.core.wmem_max)"),
            );
            Check::new("SO_SNDBUFFORCE", State::Limited, most).with_remedy(SUDO)
        });
    }
    checks.push(ptrace());
    checks.push(memory_cgroup());
    checks
}

/// Peak memory of tools is read at their exit, through ptrace.
fn ptrace() -> Check {
    let scope = std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").unwrap_or_default();
    match scope.trim() {
        "3" => Check::new(
            "ptrace",
            State::Limited,
            "kernel.yama.ptrace_scope=3 forbids it until a reboot: no tool_rss",
        ),
        "" | "0" | "1" => Check::new("ptrace", State::Ok, "of one's own children"),
        other => {
            let own = if isolation::needs_user_namespace() {
                State::Limited
            } else {
                State::Ok
            };
            Check::new(
                "ptrace",
                own,
                format!("kernel.yama.ptrace_scope={other}: with CAP_SYS_PTRACE"),
            )
        }
    }
}

/// A memory cgroup of one's own: a cross-check of the memory scenario.
fn memory_cgroup() -> Check {
    let v2 = std::fs::read_to_string("/sys/fs/cgroup/cgroup.controllers")
        .is_ok_and(|text| text.split_whitespace().any(|c| c == "memory"));
    let (place, version) = if v2 {
        ("/sys/fs/cgroup", "v2")
    } else {
        ("/sys/fs/cgroup/memory", "v1")
    };
    let name = "memory cgroup";
    let present = std::path::Path::new(place)
        .join(if v2 { "cgroup.procs" } else { "tasks" })
        .exists();
    if !present {
        return Check::new(
            name,
            State::Limited,
            "no memory controller is mounted: no cross-check of memory",
        );
    }
    let own =
        std::path::Path::new(place).join(format!("bench-runner-doctor-{}", std::process::id()));
    match std::fs::create_dir(&own) {
        Ok(()) => {
            // An empty cgroup can always be removed.
            let _ = std::fs::remove_dir(&own);
            Check::new(name, State::Ok, format!("{version}, one can be made"))
        }
        Err(e) => Check::new(
            name,
            State::Limited,
            format!("{version}, none can be made ({e}): no memory cells"),
        ),
    }
}

/// CPUs, clock, limits.
pub(super) fn machine(host: &Environment, facilities: Option<&Facilities>) -> Vec<Check> {
    let pinned = Pinning::choose();
    let cpus = match &pinned {
        Ok(p) if p.apart() => Check::new(
            "CPUs",
            State::Ok,
            format!("{}; {}", host.cores, host.pinning),
        ),
        Ok(_) => Check::new(
            "CPUs",
            State::Limited,
            "one: client and server share it, and latencies include waking the server",
        ),
        Err(e) => Check::new("CPUs", State::Missing, e.to_string()),
    };
    let fast = host.clocksource != "jiffies" && host.clock_step_ns < 10_000;
    let clock = Check::new(
        "clock",
        if fast { State::Ok } else { State::Limited },
        format!("{}, step {} ns", host.clocksource, host.clock_step_ns),
    );
    let mut checks = vec![cpus, clock, open_files()];
    if let Some(max) = facilities.and_then(|f| f.conntrack_max) {
        let check = Check::new(
            "nf_conntrack_max",
            if max >= TRACKED {
                State::Ok
            } else {
                State::Limited
            },
            format!("{max}; a default run needs {TRACKED}"),
        );
        checks.push(if max >= TRACKED {
            check
        } else {
            check.with_remedy(format!(
                "sudo sysctl -w net.netfilter.nf_conntrack_max={TRACKED}"
            ))
        });
    }
    checks
}

fn open_files() -> Check {
    match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok((soft, _)) if soft >= FILES => Check::new("open files", State::Ok, soft.to_string()),
        Ok((soft, _)) => Check::new(
            "open files",
            State::Limited,
            format!("{soft}; {FILES} are needed"),
        )
        .with_remedy(format!("ulimit -n {FILES}")),
        Err(e) => Check::new("open files", State::Unknown, e.to_string()),
    }
}

/// Parts of the kernel, as the trial found them.
pub(super) fn kernel_facilities(facilities: Option<&Facilities>) -> Vec<Check> {
    let check = |f: &Facility| {
        let found = facilities.and_then(|all| all.found.iter().find(|found| found.name == f.name));
        match found {
            None => Check::new(f.title(), State::Unknown, "no namespace to try it in"),
            Some(found) => match &found.refused {
                None => Check::new(f.title(), State::Ok, "there"),
                Some(why) => {
                    Check::new(f.title(), State::Missing, why.clone()).with_remedy(obtain(f.module))
                }
            },
        }
    };
    FACILITIES.iter().map(check).collect()
}

/// The command that brings a module, or what to look for when this kernel has none of that name.
fn obtain(module: &str) -> String {
    match has_module(module) {
        true => format!("sudo modprobe {module}"),
        false => format!(
            "# no module {module} for this kernel: a guest's has it (bench-runner run --sandbox guest), or boot one that does, as linux-image-cloud-amd64"
        ),
    }
}

/// Whether a module of that name lies ready for this kernel.
pub(super) fn has_module(module: &str) -> bool {
    let release = nix::sys::utsname::uname()
        .map(|u| u.release().to_string_lossy().into_owned())
        .unwrap_or_default();
    let folder = std::path::Path::new("/lib/modules").join(&release);
    ["modules.dep", "modules.builtin"]
        .iter()
        .filter_map(|file| std::fs::read_to_string(folder.join(file)).ok())
        .any(|text| text.contains(&format!("/{module}.ko")))
}

/// Programs, then libraries, with versions.
pub(super) fn tools() -> Vec<Check> {
    let program = |(program, package): netns_harness::datapath::Tool| {
        if !netns_sys::process::installed(program) {
            return Check::new(program, State::Missing, "not installed")
                .with_remedy(format!("sudo apt-get install -y {package}"));
        }
        match environment::version(program) {
            Some(version) => Check::new(program, State::Ok, version),
            None => Check::new(program, State::Unknown, "it does not say its version"),
        }
    };
    let libraries = environment::libraries();
    let loaded = libraries
        .into_iter()
        .map(|(name, version)| Check::new(name, State::Ok, version));
    case::all_tools()
        .into_iter()
        .map(program)
        .chain(loaded)
        .collect()
}
