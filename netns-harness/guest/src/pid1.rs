//! The first process of a guest: mounts, modules, the port, and one job at a time.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use nix::mount::{MsFlags, mount};
use nix::sys::reboot::{RebootMode, reboot};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::image::MODULE_LIST;
use crate::protocol::{Ask, PORT, Said};

mod counted;

/// What each file system is for is in its path. The last is only for the memory cross-check.
const MOUNTS: &[(&str, &str)] = &[
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    ("devtmpfs", "/dev"),
    ("tmpfs", "/run"),
    ("tmpfs", "/tmp"),
];

/// The word of the kernel's command line by which a guest knows that it has jobs with it, and is not asked.
pub(crate) const HAS_JOBS: &str = "guest-jobs";

/// The beginning of a word of it: by how many steps the guest that is to be kept stops later.
pub(crate) const LATER: &str = "guest-later=";

/// How long a device or the random source may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs the guest: `program` is the runner's binary, which carries out the jobs. Never returns: the guest
/// is powered off.
pub fn run(program: &Path) -> ! {
    let ended = serve(program);
    if let Err(reason) = ended {
        eprintln!("guest: {reason}");
    }
    // The port's last line must leave before the power goes.
    std::thread::sleep(Duration::from_millis(20));
    // There is no power switch; QEMU was told not to reboot, so it ends.
    let _ = reboot(RebootMode::RB_AUTOBOOT);
    loop {
        std::thread::park();
    }
}

fn serve(program: &Path) -> Result<(), String> {
    mount_all()?;
    let cmdline = fs::read_to_string("/proc/cmdline").unwrap_or_default();
    match cmdline.split_whitespace().any(|word| word == HAS_JOBS) {
        true => counted::serve(program),
        false => serve_host(program),
    }
}

fn mount_all() -> Result<(), String> {
    for (kind, at) in MOUNTS {
        fs::create_dir_all(at).map_err(|e| format!("make {at}: {e}"))?;
        mount(
            Some(*kind),
            *at,
            Some(*kind),
            MsFlags::empty(),
            None::<&str>,
        )
        .map_err(|e| format!("mount {kind}: {e}"))?;
    }
    Ok(())
}

/// A virtio port can be opened once: one descriptor, shared.
fn open_port(port: &Path) -> Result<File, String> {
    let opened = File::options().read(true).write(true).open(port);
    opened.map_err(|e| format!("open {}: {e}", port.display()))
}

/// Carries out what the host asks, one job at a time.
fn serve_host(program: &Path) -> Result<(), String> {
    let loaded = load_modules(|_| true);
    let device = open_port(&find_port()?)?;
    let mut to_host = device.try_clone().map_err(|e| e.to_string())?;
    let modules = match loaded {
        Ok(count) => count,
        Err(reason) => {
            say(
                &mut to_host,
                &Said::Broken {
                    reason: reason.clone(),
                },
            );
            return Err(reason);
        }
    };
    wait_for_random();
    say(&mut to_host, &ready(modules));
    let (sender, asked) = channel();
    std::thread::spawn(move || listen(device, &sender));
    while let Ok(ask) = asked.recv() {
        match ask {
            Ask::Off => break,
            Ask::Kill => {}
            Ask::Run { arguments, input } => {
                let (said, off) = job(program, &arguments, input, &asked, &to_host);
                say(&mut to_host, &said);
                if off {
                    break;
                }
            }
        }
    }
    Ok(())
}

fn ready(modules: u32) -> Said {
    let kernel = nix::sys::utsname::uname().map_or_else(
        |_| "unknown".to_owned(),
        |u| u.release().to_string_lossy().into_owned(),
    );
    let cpus = std::thread::available_parallelism().map_or(1, |n| n.get() as u32);
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib: u64 = text
        .lines()
        .find_map(|l| l.strip_prefix("MemTotal:"))
        .and_then(|l| l.split_whitespace().next()?.parse().ok())
        .unwrap_or(0);
    Said::Ready {
        kernel,
        cpus,
        memory: kib * 1024,
        modules,
    }
}

/// Loads the modules of the list that are wanted, in its order. One that the kernel refuses for want of hardware is
/// left out; one of another kernel is an error.
fn load_modules(wanted: impl Fn(&str) -> bool) -> Result<u32, String> {
    let list = fs::read_to_string(MODULE_LIST).map_err(|e| format!("read {MODULE_LIST}: {e}"))?;
    let cmdline = fs::read_to_string("/proc/cmdline").unwrap_or_default();
    let mut loaded = 0;
    for name in list.lines().filter(|name| wanted(name)) {
        let path = format!("/modules/{name}.ko");
        let object = fs::read(&path).map_err(|e| format!("read {path}: {e}"))?;
        let parameters = CString::new(parameters(&cmdline, name)).unwrap_or_default();
        match nix::kmod::init_module(&object, &parameters) {
            Ok(()) => loaded += 1,
            Err(nix::errno::Errno::EEXIST | nix::errno::Errno::ENODEV) => {}
            Err(errno) => {
                let why = kernels_word(name).map_or_else(String::new, |word| format!("; {word}"));
                return Err(format!("module {name}: {errno}{why}"));
            }
        }
    }
    Ok(loaded)
}

/// The last that the kernel said of a module. Warnings do not reach a quiet console.
fn kernels_word(module: &str) -> Option<String> {
    use std::io::Read as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = File::options();
    options.read(true).custom_flags(nix::libc::O_NONBLOCK);
    let mut log = options.open("/dev/kmsg").ok()?;
    // A record a read, "priority,sequence,time,flags;text", at most 1 KiB of text (`kernel/printk/printk.c`);
    // at the end of the log a read would block.
    let mut record = [0; 8192];
    let (mut last, start) = (None, format!("{module}: "));
    while let Ok(length @ 1..) = log.read(&mut record) {
        let text = String::from_utf8_lossy(&record[..length]);
        let text = text.split_once(';').map_or("", |(_, text)| text);
        let line = text.lines().next().unwrap_or_default();
        if line.starts_with(&start) {
            last = Some(line.to_owned());
        }
    }
    last
}

/// A module's parameters: `name.parameter=value` words of the kernel's command line, as modprobe hands them
/// over. QEMU names its virtio devices there.
fn parameters(cmdline: &str, module: &str) -> String {
    let words = cmdline.split_whitespace().filter_map(|word| {
        let (name, parameter) = word.split_once('.')?;
        (name.replace('-', "_") == module && parameter.contains('=')).then_some(parameter)
    });
    words.collect::<Vec<_>>().join(" ")
}

/// The device file of the port with our name.
fn find_port() -> Result<PathBuf, String> {
    const STEP: Duration = Duration::from_millis(10);
    let mut waited = Duration::ZERO;
    while waited < PATIENCE {
        let entries = fs::read_dir("/sys/class/virtio-ports")
            .into_iter()
            .flatten();
        for entry in entries.flatten() {
            let name = fs::read_to_string(entry.path().join("name")).unwrap_or_default();
            let device = Path::new("/dev").join(entry.file_name());
            if name.trim() == PORT && device.exists() {
                return Ok(device);
            }
        }
        std::thread::sleep(STEP);
        waited += STEP;
    }
    let seen = |folder: &str| {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let names: Vec<_> = entries
            .map(|e| e.file_name().to_string_lossy().into_owned())
            .collect();
        names.join(" ")
    };
    Err(format!(
        "no virtio port {PORT}; virtio devices: {}; ports: {}; command line: {}",
        seen("/sys/bus/virtio/devices"),
        seen("/sys/class/virtio-ports"),
        fs::read_to_string("/proc/cmdline")
            .unwrap_or_default()
            .trim()
    ))
}

/// Until the kernel's random source is ready, every connection pays for it.
fn wait_for_random() {
    // Blocks until it is ready: random(7).
    let _ = File::open("/dev/random").and_then(|mut f| {
        let mut byte = [0; 1];
        std::io::Read::read_exact(&mut f, &mut byte)
    });
}

fn say(to_host: &mut File, said: &Said) {
    let mut line = serde_json::to_string(said).expect("what is said is plain data");
    line.push('\n');
    // Without a host there is nobody to tell; the port's end is noticed by the listener.
    let _ = to_host.write_all(line.as_bytes());
}

fn listen(device: File, asked: &Sender<Ask>) {
    for line in BufReader::new(device).lines() {
        let Ok(line) = line else { break };
        match serde_json::from_str(&line) {
            Ok(ask) => {
                if asked.send(ask).is_err() {
                    break;
                }
            }
            Err(error) => eprintln!("guest: not understood ({error}): {line}"),
        }
    }
}

/// Runs one job to its end, or until the host wants it killed; how it ended, and whether the host wants the
/// power off too. Nothing that a job does or leaves undone keeps
/// this from listening to the host.
fn job(
    program: &Path,
    arguments: &[String],
    input: String,
    asked: &Receiver<Ask>,
    to_host: &File,
) -> (Said, bool) {
    let killed_before = killed_for_memory();
    let failed = |what: &str, error: std::io::Error| {
        let said = Said::Ended {
            success: false,
            status: format!("{what}: {error}"),
            stderr: String::new(),
        };
        (said, false)
    };
    let spawned = Command::new(program)
        .args(arguments)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => return failed("start the job", error),
    };
    let group = Pid::from_raw(child.id() as i32);
    let mut stdin = child.stdin.take().expect("stdin is piped");
    let stdout = child.stdout.take().expect("stdout is piped");
    let stderr = child.stderr.take().expect("stderr is piped");
    let mut port = match to_host.try_clone() {
        Ok(port) => port,
        Err(error) => return failed("share the port", error),
    };
    // A job that ends early closes the pipe; its own words say why.
    std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let _ = port.write_all(format!("{line}\n").as_bytes());
        }
    });
    let errors = std::thread::spawn(move || {
        let lines: Vec<String> = BufReader::new(stderr)
            .lines()
            .map_while(Result::ok)
            .collect();
        lines[lines.len().saturating_sub(5)..].join("; ")
    });
    let mut off = false;
    // All output is closed only when the last process of the job is gone.
    while !(output.is_finished() && errors.is_finished()) {
        match asked.recv_timeout(Duration::from_millis(20)) {
            Ok(ask @ (Ask::Kill | Ask::Off)) => {
                off |= ask == Ask::Off;
                // An error means that it has ended already.
                let _ = killpg(group, Signal::SIGKILL);
            }
            Ok(Ask::Run { .. }) => eprintln!("guest: one job at a time"),
            Err(_) => {}
        }
    }
    let ended = child.wait();
    let mut success = ended.as_ref().is_ok_and(|status| status.success());
    let mut status = ended.map_or_else(|e| e.to_string(), |s| s.to_string());
    if killed_for_memory() > killed_before {
        success = false;
        status.push_str(", out of memory: the kernel killed a process");
    }
    let stderr = errors.join().unwrap_or_default();
    let said = Said::Ended {
        success,
        status,
        stderr,
    };
    (said, off)
}

/// Processes that the kernel has killed because memory ran out: `oom_kill` of `/proc/vmstat`.
fn killed_for_memory() -> u64 {
    let text = fs::read_to_string("/proc/vmstat").unwrap_or_default();
    let count = text.lines().find_map(|l| l.strip_prefix("oom_kill "));
    count.and_then(|n| n.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_modules_parameters_come_from_the_kernels_command_line() {
        let cmdline = "console=ttyS0 virtio_mmio.device=512@0xfeb00000:5 x.y virtio_mmio.device=512@0xfeb00200:6 guest-init";
        assert_eq!(
            parameters(cmdline, "virtio_mmio"),
            "device=512@0xfeb00000:5 device=512@0xfeb00200:6"
        );
        assert_eq!(parameters(cmdline, "veth"), "");
    }
}
