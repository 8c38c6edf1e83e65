//! What is measured on: kernel, CPU, clock, mitigations, tools.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Seek as _};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use guest::kernel::Kernel;
use netns_harness::lab::Pinning;
use netns_harness::meters;
use netns_sys::clock;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use schema::{Accelerator, Environment, SandboxKind};
use tracing::info;

use crate::case::Case;

/// Version and source revision.
pub(crate) const VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (",
    env!("BENCH_RUNNER_REVISION"),
    ")"
);

/// Kernel configuration that moves results by more than noise.
const CONFIG: &str = include_str!("config.txt");

/// The host's kernel as an environment, with the tools and libraries of `cases`.
pub(crate) fn host(cases: &[Case]) -> Environment {
    let machine = nix::sys::utsname::uname().map_or_else(
        |_| "unknown".to_owned(),
        |name| name.machine().to_string_lossy().into_owned(),
    );
    let pinning = Pinning::choose().map_or_else(
        |e| e.to_string(),
        |p| {
            let waiting = if p.apart() { "spinning" } else { "sleeping" };
            format!("client {}, server {}, {waiting}", p.client, p.server)
        },
    );
    Environment {
        sandbox: SandboxKind::Netns,
        accel: Accelerator::None,
        kernel: read_trimmed("/proc/sys/kernel/osrelease"),
        kernel_build: read_trimmed("/proc/sys/kernel/version"),
        machine,
        cpu: cpu_model(),
        cores: std::thread::available_parallelism().map_or(1, |n| n.get() as u32),
        memory_bytes: meters::meminfo("MemTotal").unwrap_or(0),
        clocksource: read_trimmed(
            "/sys/devices/system/clocksource/clocksource0/current_clocksource",
        ),
        clock_step_ns: netns_sys::clock::step_ns(),
        pinning,
        placement: meters::placement(),
        mitigations: meters::mitigations(),
        config: kernel_config(),
        sysctls: BTreeMap::new(),
        tools: versions(cases),
    }
}

/// A guest with that kernel, as far as its files tell.
pub(crate) fn of_kernel(kernel: &Kernel) -> Environment {
    let config = kernel.image.parent().map(|boot| {
        let path = boot.join(format!("config-{}", kernel.version));
        fs::read_to_string(path).unwrap_or_default()
    });
    Environment {
        sandbox: SandboxKind::Guest,
        accel: Accelerator::Tcg,
        kernel: kernel.version.clone(),
        kernel_build: "unknown".to_owned(),
        machine: "unknown".to_owned(),
        cpu: "unknown".to_owned(),
        cores: 0,
        memory_bytes: 0,
        clocksource: "unknown".to_owned(),
        clock_step_ns: 0,
        pinning: "unknown".to_owned(),
        placement: BTreeMap::new(),
        mitigations: BTreeMap::new(),
        config: config_facts(&config.unwrap_or_default()),
        sysctls: BTreeMap::new(),
        tools: BTreeMap::new(),
    }
}

fn read_trimmed(path: &str) -> String {
    fs::read_to_string(path).map_or_else(|_| "unknown".to_owned(), |t| t.trim().to_owned())
}

fn cpu_model() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let mut lines = text.lines();
    let line = lines.find_map(|l| l.strip_prefix("model name")?.split_once(": "));
    line.map_or("unknown", |(_, name)| name).trim().to_owned()
}

fn kernel_config() -> BTreeMap<String, String> {
    let release = read_trimmed("/proc/sys/kernel/osrelease");
    let mut text = String::new();
    let zipped = fs::File::open("/proc/config.gz")
        .and_then(|file| flate2::read::GzDecoder::new(file).read_to_string(&mut text));
    if zipped.is_err() {
        text = fs::read_to_string(format!("/boot/config-{release}")).unwrap_or_default();
    }
    config_facts(&text)
}

fn config_facts(text: &str) -> BTreeMap<String, String> {
    if text.is_empty() {
        return BTreeMap::from([("config".to_owned(), "not readable".to_owned())]);
    }
    let values: BTreeMap<&str, &str> = text.lines().filter_map(|l| l.split_once('=')).collect();
    let value = |name| values.get(name).copied().unwrap_or("n").to_owned();
    let names = CONFIG.lines();
    names.map(|name| (name.to_owned(), value(name))).collect()
}

/// What a tool says of its version; `None` when it cannot be started.
pub(crate) fn version(program: &str) -> Option<String> {
    version_of(Command::new(program))
}

fn version_of(mut program: Command) -> Option<String> {
    let (_, text) = said(program.arg("--version"))?;
    Some(text.lines().next()?.trim().to_owned())
}

/// How long a program may take to say what it is: what stands in for a tool may be anything.
const SAYING: Duration = Duration::from_secs(10);

/// What is kept of what it says, bytes.
const MOST_SAID: u64 = 64 * 1024;

/// How a program ended and what it printed; `None` when it cannot be started, or was killed after [`SAYING`].
fn said(command: &mut Command) -> Option<(ExitStatus, String)> {
    info!("start {command:?}");
    // In memory: it must work on a full disk. It cannot grow: what prints without end is refused the rest.
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let mut printed = fs::File::from(memfd_create(c"printed", flags).ok()?);
    printed.set_len(MOST_SAID).ok()?;
    fcntl(&printed, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_GROW)).ok()?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(printed.try_clone().ok()?)
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let start = clock::now();
    let status = loop {
        if let Some(status) = child.try_wait().ok()? {
            break status;
        }
        if u128::from(start.elapsed_ns()) > SAYING.as_nanos() {
            // An error means that it has just ended.
            let _ = child.kill();
            child.wait().ok()?;
            return None;
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    let mut text = Vec::new();
    printed.rewind().ok()?;
    printed.read_to_end(&mut text).ok()?;
    let text = String::from_utf8_lossy(&text);
    Some((status, text.trim_end_matches('\0').to_owned()))
}

/// What is known of a file that is started in place of a tool: its version, its checksum (two builds of one version
/// are what is compared), and where it is.
pub(crate) fn replaced(name: &str, file: &Path) -> String {
    let version = version_of(netns_sys::tools::as_tool(name, file));
    let version = version.filter(|said| !said.is_empty());
    format!(
        "{}, {} ({})",
        version.as_deref().unwrap_or("says no version"),
        checksum(file).unwrap_or_else(|_| "not readable".to_owned()),
        file.display()
    )
}

/// "crc32 XXXXXXXX, N bytes" of a file: tells builds apart, not attackers.
pub(crate) fn checksum(file: &Path) -> std::io::Result<String> {
    let mut crc = flate2::CrcWriter::new(std::io::sink());
    let bytes = std::io::copy(&mut fs::File::open(file)?, &mut crc)?;
    Ok(format!("crc32 {:08x}, {bytes} bytes", crc.crc().sum()))
}

/// Versions of this program, of the tools that `cases` use, and of the libraries that it has loaded.
fn versions(cases: &[Case]) -> BTreeMap<String, String> {
    let mut found = BTreeMap::from([("bench-runner".to_owned(), VERSION.to_owned())]);
    for (program, _) in cases.iter().flat_map(Case::tools) {
        found
            .entry(program.to_owned())
            .or_insert_with(|| version(program).unwrap_or_else(|| "not installed".to_owned()));
    }
    found.extend(libraries());
    found
}

/// Libraries that reach into the kernel: what rules and sets are made with.
const LIBRARIES: [&str; 3] = ["libipset", "libmnl", "libnftnl"];

/// Versions of the libraries that this process has loaded: the number in the file's name, and the
/// distribution's own version where it says one.
pub(crate) fn libraries() -> BTreeMap<String, String> {
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let mut found = BTreeMap::new();
    for path in maps
        .lines()
        .filter_map(|line| line.split_whitespace().nth(5))
    {
        let file = path.rsplit('/').next().unwrap_or(path);
        let Some((name, number)) = file.split_once(".so.") else {
            continue;
        };
        if LIBRARIES.contains(&name) && !found.contains_key(name) {
            let packaged =
                package_version(path, file).map_or_else(String::new, |v| format!(" (package {v})"));
            found.insert(name.to_owned(), format!("{number}{packaged}"));
        }
    }
    found
}

/// The Debian version of the package that a library's file is from.
fn package_version(path: &str, file: &str) -> Option<String> {
    let run = |program: &str, arguments: &[&str]| {
        let (status, text) = said(Command::new(program).args(arguments))?;
        (status.success()).then(|| text.lines().next().map(str::to_owned))?
    };
    // Where /lib is a link to /usr/lib, the package may have either path.
    let owner = run("dpkg-query", &["-S", path])
        .or_else(|| run("dpkg-query", &["-S", &format!("*/{file}")]))?;
    let package = owner.split_once(": ")?.0;
    run("dpkg-query", &["-W", "-f", "${Version}\n", package])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_prints_is_its_version_and_one_that_is_not_there_has_none() {
        let mut shell = Command::new("sh");
        shell.args(["-c", "cat; echo v1; echo more"]);
        let (status, text) = said(&mut shell).unwrap();
        assert!(status.success() && text == "v1\nmore\n", "{text}");
        assert_eq!(version("no-such-program"), None);
    }

    #[test]
    fn libnftnl_is_loaded_and_has_a_version() {
        let found = libraries();
        let version = found
            .get("libnftnl")
            .expect("this program is linked with it");
        assert!(
            version.starts_with(|c: char| c.is_ascii_digit()),
            "{version}"
        );
    }
}
