//! A QEMU microvm: started, talked to and ended under deadlines. It dies with the thread that started
//! it, and its socket lives in a folder that only this user can enter.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::UnixListener;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::{Child, Command};

use crate::GuestError;
use crate::protocol::{Ask, Line, PORT, Said};

/// What executes the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accelerator {
    /// The processor, through /dev/kvm.
    Kvm,
    /// QEMU's translator.
    Tcg,
}

impl Accelerator {
    /// The name in the environment's facts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }
}

/// What the guest is given. Everything is fixed, and recorded by who asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hardware {
    /// What executes it.
    pub accelerator: Accelerator,
    /// Virtual CPUs.
    pub cpus: u32,
    /// Memory, MiB. The limit of connection tracking follows it.
    pub memory_mib: u32,
}

/// A guest to boot.
#[derive(Debug, Clone)]
pub struct Boot {
    /// The kernel's image.
    pub kernel: PathBuf,
    /// The initramfs.
    pub initramfs: PathBuf,
    /// What it is given.
    pub hardware: Hardware,
    /// Where its console is kept.
    pub console: PathBuf,
    /// How long it may take to say that it is up.
    pub deadline: Duration,
}

/// A guest that is up.
#[derive(Debug)]
pub struct Machine {
    child: Child,
    lines: Lines<BufReader<OwnedReadHalf>>,
    to_guest: OwnedWriteHalf,
    console: PathBuf,
    /// What it said when it came up.
    pub ready: Said,
    /// The socket's folder: removed with it.
    _folder: tempfile::TempDir,
}

/// What came next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// A line.
    Line(Line),
    /// Nothing, within the limit.
    Late,
}

/// Name of the program.
pub const QEMU: &str = "qemu-system-x86_64";

/// The rate of the host's time-stamp counter, measured once.
fn tsc_khz() -> Option<u64> {
    static RATE: std::sync::OnceLock<Option<u64>> = std::sync::OnceLock::new();
    *RATE.get_or_init(netns_sys::clock::tsc_khz)
}

/// QEMU's arguments: nothing that is not named is there.
fn arguments(boot: &Boot, socket: &Path) -> Vec<OsString> {
    let Hardware {
        accelerator,
        cpus,
        memory_mib,
    } = boot.hardware;
    let accel = match accelerator {
        Accelerator::Kvm => "kvm".to_owned(),
        Accelerator::Tcg => "tcg,thread=multi".to_owned(),
    };
    let model = match accelerator {
        Accelerator::Kvm => "host",
        Accelerator::Tcg => "max",
    };
    // trust_cpu: an unready random source makes every connection dearer. panic=-1 and a reboot by triple
    // fault end QEMU, which was told not to reboot. Unknown words go to the first process.
    let mut append = "console=ttyS0 quiet panic=-1 oops=panic reboot=t random.trust_cpu=on \
                      mitigations=off nokaslr guest-init"
        .to_owned();
    // A microvm has no timer to calibrate the time-stamp counter against, but a PIT that a busy host
    // serves too late. Translated code reads the host's counter, whose rate is measured here.
    if accelerator == Accelerator::Tcg
        && let Some(khz) = tsc_khz()
    {
        append.push_str(&format!(" tsc_early_khz={khz} tsc=reliable"));
    }
    let mut words: Vec<OsString> = Vec::new();
    let mut pair = |name: &str, value: OsString| words.extend([OsString::from(name), value]);
    pair("-M", "microvm,rtc=on".into());
    pair("-accel", accel.into());
    pair("-cpu", model.into());
    pair("-smp", cpus.to_string().into());
    pair("-m", memory_mib.to_string().into());
    pair("-kernel", boot.kernel.clone().into());
    pair("-initrd", boot.initramfs.clone().into());
    pair("-append", append.into());
    pair("-serial", prefixed("file:", &boot.console));
    pair("-device", "virtio-serial-device".into());
    pair("-chardev", prefixed("socket,id=port,path=", socket));
    pair(
        "-device",
        format!("virtserialport,chardev=port,name={PORT}").into(),
    );
    words.extend(["-nodefaults", "-no-user-config", "-no-reboot"].map(OsString::from));
    words.extend(["-display", "none"].map(OsString::from));
    words
}

/// QEMU separates options with commas; a comma in a path is doubled.
fn prefixed(prefix: &str, path: &Path) -> OsString {
    let path = path.display().to_string().replace(',', ",,");
    format!("{prefix}{path}").into()
}

impl Machine {
    /// Boots a guest and waits until it is up. Call on a thread that lives as long as the guest: QEMU dies
    /// with it.
    ///
    /// # Errors
    /// QEMU is not installed or ended, or the guest was not up by the deadline; with the console's last
    /// lines.
    pub async fn boot(boot: &Boot) -> Result<Self, GuestError> {
        let folder = tempfile::Builder::new()
            .prefix("bench-guest.")
            .tempdir()
            .map_err(GuestError::file("make", std::env::temp_dir()))?;
        let socket = folder.path().join("port");
        let listener =
            UnixListener::bind(&socket).map_err(GuestError::file("listen on", &socket))?;
        let mut command = Command::new(QEMU);
        command
            .args(arguments(boot, &socket))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        netns_sys::child::dies_with_parent(command.as_std_mut());
        let mut child = command.spawn().map_err(|e| GuestError::Program {
            program: QEMU.to_owned(),
            reason: match e.kind() {
                std::io::ErrorKind::NotFound => {
                    "not installed: apt-get install qemu-system-x86".to_owned()
                }
                _ => e.to_string(),
            },
        })?;
        match tokio::time::timeout(boot.deadline, up(&mut child, &listener)).await {
            Ok(Ok((lines, to_guest, ready))) => Ok(Self {
                child,
                lines,
                to_guest,
                console: boot.console.clone(),
                ready,
                _folder: folder,
            }),
            Ok(Err(reason)) => Err(failed(&mut child, &boot.console, reason).await),
            Err(_) => {
                let reason = format!("not up within {} s", boot.deadline.as_secs());
                Err(failed(&mut child, &boot.console, reason).await)
            }
        }
    }

    /// Asks the guest for something.
    ///
    /// # Errors
    /// It is gone.
    pub async fn ask(&mut self, ask: &Ask) -> Result<(), GuestError> {
        let mut line = serde_json::to_string(ask).expect("a question is plain data");
        line.push('\n');
        let sent = self.to_guest.write_all(line.as_bytes()).await;
        match sent {
            Ok(()) => Ok(()),
            Err(error) => Err(self.gone(error.to_string()).await),
        }
    }

    /// The next line, within `limit`.
    ///
    /// # Errors
    /// The guest ended.
    pub async fn next(&mut self, limit: Duration) -> Result<Next, GuestError> {
        match tokio::time::timeout(limit, self.lines.next_line()).await {
            Err(_) => Ok(Next::Late),
            Ok(Ok(Some(line))) => Ok(Next::Line(Line::parse(&line))),
            Ok(Ok(None)) => Err(self.gone("it closed its port".to_owned()).await),
            Ok(Err(error)) => Err(self.gone(error.to_string()).await),
        }
    }

    /// Powers off, and sees that QEMU has ended; kills it when it does not within `limit`. Returns whether
    /// it went by itself.
    pub async fn off(mut self, limit: Duration) -> bool {
        let asked = self.ask(&Ask::Off).await.is_ok();
        let ended = tokio::time::timeout(limit, self.child.wait()).await;
        let by_itself = asked && matches!(ended, Ok(Ok(_)));
        self.end().await;
        by_itself
    }

    /// Kills QEMU and waits for its end.
    pub async fn kill(mut self) {
        self.end().await;
    }

    async fn end(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.start_kill();
        let _ = self.child.wait().await;
    }

    async fn gone(&mut self, reason: String) -> GuestError {
        self.end().await;
        GuestError::Gone {
            reason,
            console: last_lines(&self.console),
        }
    }
}

type Port = (Lines<BufReader<OwnedReadHalf>>, OwnedWriteHalf, Said);

/// Waits for QEMU's connection and the guest's first word.
async fn up(child: &mut Child, listener: &UnixListener) -> Result<Port, String> {
    let stream = tokio::select! {
        accepted = listener.accept() => accepted.map_err(|e| e.to_string())?.0,
        status = child.wait() => return Err(ended(status)),
    };
    let (from_guest, to_guest) = stream.into_split();
    let mut lines = BufReader::new(from_guest).lines();
    tokio::select! {
        line = lines.next_line() => match line.map(|l| l.map(|l| Line::parse(&l))) {
            Ok(Some(Line::Said(ready @ Said::Ready { .. }))) => Ok((lines, to_guest, ready)),
            Ok(Some(Line::Said(Said::Broken { reason }))) => Err(reason),
            Ok(Some(other)) => Err(format!("its first word was {other:?}")),
            Ok(None) => Err("it closed its port".to_owned()),
            Err(error) => Err(error.to_string()),
        },
        status = child.wait() => Err(ended(status)),
    }
}

fn ended(status: std::io::Result<std::process::ExitStatus>) -> String {
    match status {
        Ok(status) => format!("{QEMU} ended: {status}"),
        Err(error) => error.to_string(),
    }
}

/// Ends QEMU; what it and the console said becomes the error.
async fn failed(child: &mut Child, console: &Path, reason: String) -> GuestError {
    use tokio::io::AsyncReadExt as _;
    let _ = child.start_kill();
    let mut said = String::new();
    if let Some(mut stderr) = child.stderr.take() {
        let read = stderr.read_to_string(&mut said);
        let _ = tokio::time::timeout(Duration::from_secs(1), read).await;
    }
    let _ = child.wait().await;
    let said = said.lines().last().unwrap_or_default().trim().to_owned();
    GuestError::Boot {
        reason: if said.is_empty() {
            reason
        } else {
            format!("{reason}; {said}")
        },
        console: last_lines(console),
    }
}

/// The last lines of a console's log, on one line.
#[must_use]
pub fn last_lines(console: &Path) -> String {
    const KEPT: usize = 5;
    let data = std::fs::read(console).unwrap_or_default();
    let text = String::from_utf8_lossy(&data);
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty())
        .collect();
    match lines.len() {
        0 => "none".to_owned(),
        n => lines[n.saturating_sub(KEPT)..].join("; "),
    }
}
