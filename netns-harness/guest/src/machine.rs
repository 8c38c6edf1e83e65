//! A QEMU microvm: started, talked to and ended under deadlines. It dies with the thread that started
//! it, and it leaves nothing: its port is a socket pair, which QEMU finds as its standard input, so there is
//! no file that somebody else could open or a killed runner could leave.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::{Child, Command};

use crate::GuestError;
use crate::arguments::arguments;
use crate::boot::Begin;
pub use crate::boot::{Accelerator, Boot, Hardware};
pub use crate::console::last_lines;
use crate::monitor::Monitor;
use crate::protocol::{Ask, Line, Said};

/// A guest that is up.
#[derive(Debug)]
pub struct Machine {
    qemu: Qemu,
    lines: Lines<BufReader<OwnedReadHalf>>,
    to_guest: OwnedWriteHalf,
    console: PathBuf,
    /// What it said when it came up.
    pub ready: Said,
}

/// The process. Killed and waited for when it is dropped: no path leaves a zombie.
#[derive(Debug)]
pub(crate) struct Qemu(Child);

impl Drop for Qemu {
    fn drop(&mut self) {
        /// A killed process ends at its next step, unless it is in an uninterruptible call.
        const TRIES: u32 = 200;
        // An error means that it has ended already.
        let _ = self.0.start_kill();
        for _ in 0..TRIES {
            if !matches!(self.0.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
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
/// The package that brings it, by its name in Debian.
pub const PACKAGE: &str = "qemu-system-x86";

impl Machine {
    /// Boots a guest and waits until it is up. Call on a thread that lives as long as the guest: QEMU dies
    /// with it.
    ///
    /// # Errors
    /// QEMU is not installed or ended, or the guest was not up by the deadline; with the console's last
    /// lines.
    pub async fn boot(boot: &Boot) -> Result<Self, GuestError> {
        Self::begin(boot, Begin::Boot).await
    }

    /// The same of a guest that begins there.
    pub(crate) async fn begin(boot: &Boot, begin: Begin<'_>) -> Result<Self, GuestError> {
        let (port, monitor, mut qemu) = start(boot, begin)?;
        let up = async {
            if let Some(monitor) = monitor {
                Monitor::greet(monitor).await?.go_on().await?;
            }
            up(&mut qemu, port).await
        };
        let reason = match tokio::time::timeout(boot.deadline, up).await {
            Ok(Ok((lines, to_guest, ready))) => {
                return Ok(Self {
                    qemu,
                    lines,
                    to_guest,
                    console: boot.console.clone(),
                    ready,
                });
            }
            Ok(Err(reason)) => reason,
            Err(_) => format!("not up within {} s", boot.deadline.as_secs_f32()),
        };
        Err(GuestError::Boot {
            reason: qemu.last_words(reason).await,
            console: last_lines(&boot.console),
        })
    }

    /// The process ID of QEMU, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.qemu.0.id()
    }

    /// How long the thread of each virtual CPU has waited for one of the host's so far, nanoseconds, in the order of
    /// their thread IDs; none where the kernel does not say, or when it has ended.
    #[must_use]
    pub fn run_delays_ns(&self) -> Option<Vec<u64>> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid()?)).ok()?;
        let mut delays = Vec::new();
        for task in tasks.filter_map(Result::ok) {
            let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
            if name.starts_with("CPU ") {
                let tid: u32 = task.file_name().to_str()?.parse().ok()?;
                let schedstat = task.path().join("schedstat");
                delays.push((tid, netns_sys::thread::run_delay_in(schedstat.to_str()?)?));
            }
        }
        delays.sort_unstable();
        let delays: Vec<u64> = delays.into_iter().map(|(_, delay)| delay).collect();
        (!delays.is_empty()).then_some(delays)
    }

    /// The last lines of its console.
    #[must_use]
    pub fn console(&self) -> String {
        last_lines(&self.console)
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
        let ended = tokio::time::timeout(limit, self.qemu.0.wait()).await;
        let by_itself = asked && matches!(ended, Ok(Ok(_)));
        self.qemu.end().await;
        by_itself
    }

    /// Kills QEMU and waits for its end.
    pub async fn kill(mut self) {
        self.qemu.end().await;
    }

    /// Kills a guest that no longer answers. The error says why and holds the console's last lines.
    pub async fn give_up(mut self, reason: impl Into<String>) -> GuestError {
        self.qemu.end().await;
        GuestError::Gone {
            reason: reason.into(),
            console: last_lines(&self.console),
        }
    }

    async fn gone(&mut self, reason: String) -> GuestError {
        GuestError::Gone {
            reason: self.qemu.last_words(reason).await,
            console: last_lines(&self.console),
        }
    }
}

impl Qemu {
    /// Its threads but the first, which are there once it has a monitor, have the CPU before that one has it.
    ///
    /// # Errors
    /// `sched_setscheduler(2)`, or it has ended.
    pub(crate) fn puts_its_cpu_first(&self) -> Result<(), String> {
        let process = self.0.id().ok_or("it has ended")?;
        netns_sys::thread::first_never_preempts(process)
            .map_err(|e| format!("set the policy of its first thread: {e}"))
    }

    pub(crate) async fn end(&mut self) {
        // An error means that it has ended already.
        let _ = self.0.start_kill();
        let _ = self.0.wait().await;
    }

    /// Ends it, and waits until the program that writes what it said has ended too, which has its standard error.
    ///
    /// # Errors
    /// What that program complained of.
    pub(crate) async fn end_with_its_writer(&mut self) -> Result<(), String> {
        let stderr = self.0.stderr.take();
        self.end().await;
        let mut said = String::new();
        if let Some(mut stderr) = stderr {
            let read = stderr.read_to_string(&mut said);
            read.await.map_err(|error| error.to_string())?;
        }
        // QEMU's own lines are warnings.
        let complaint = said.lines().find(|line| !line.starts_with(QEMU));
        complaint.map_or(Ok(()), |line| {
            Err(format!("its state could not be kept: {line}"))
        })
    }

    /// Ends it, and adds to a reason how it ended by itself, if it did, and what it said.
    pub(crate) async fn last_words(&mut self, mut reason: String) -> String {
        // A guest that reboots or panics ends QEMU; it closes the port a moment before it is gone.
        const MOMENT: Duration = Duration::from_millis(500);
        if let Ok(Ok(status)) = tokio::time::timeout(MOMENT, self.0.wait()).await {
            reason = format!("{reason}; {}", ended(status));
        }
        self.end().await;
        let mut said = String::new();
        if let Some(mut stderr) = self.0.stderr.take() {
            let read = stderr.read_to_string(&mut said);
            let _ = tokio::time::timeout(Duration::from_secs(1), read).await;
        }
        match said.lines().map(str::trim).rfind(|line| !line.is_empty()) {
            Some(line) => format!("{reason}; {line}"),
            None => reason,
        }
    }
}

/// Starts QEMU; our ends of the guest's port and, of one whose state is kept, of QEMU's monitor.
pub(crate) fn start(
    boot: &Boot,
    begin: Begin<'_>,
) -> Result<(UnixStream, Option<UnixStream>, Qemu), GuestError> {
    let failed = |error: std::io::Error| GuestError::Program {
        program: QEMU.to_owned(),
        reason: match error.kind() {
            std::io::ErrorKind::NotFound => {
                format!(
                    "not installed: {}",
                    netns_sys::distribution::install(PACKAGE)
                )
            }
            _ => error.to_string(),
        },
    };
    let (port, stdin) = pair().map_err(failed)?;
    let (monitor, stdout) = match begin {
        Begin::Boot => (None, Stdio::null()),
        Begin::ToBeKept { .. } | Begin::Kept { .. } => {
            let (ours, theirs) = pair().map_err(failed)?;
            (Some(ours), theirs.into())
        }
    };
    let mut command = Command::new(QEMU);
    command
        .args(arguments(boot, begin))
        .stdin(stdin)
        .stdout(stdout)
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    netns_sys::child::dies_with_parent(command.as_std_mut());
    // The command holds the other ends: without it they close with QEMU.
    let spawned = command.spawn();
    drop(command);
    Ok((port, monitor, Qemu(spawned.map_err(failed)?)))
}

/// A socket: our end and QEMU's.
fn pair() -> std::io::Result<(UnixStream, OwnedFd)> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    Ok((UnixStream::from_std(ours)?, OwnedFd::from(theirs)))
}

type Port = (Lines<BufReader<OwnedReadHalf>>, OwnedWriteHalf, Said);

/// Waits for the guest's first word.
async fn up(qemu: &mut Qemu, port: UnixStream) -> Result<Port, String> {
    let (from_guest, to_guest) = port.into_split();
    let mut lines = BufReader::new(from_guest).lines();
    let first = tokio::select! {
        biased;
        line = lines.next_line() => line,
        _ = qemu.0.wait() => after_its_end(&mut lines).await,
    };
    match first.map(|l| l.map(|l| Line::parse(&l))) {
        Ok(Some(Line::Said(ready @ Said::Ready { .. }))) => Ok((lines, to_guest, ready)),
        Ok(Some(Line::Said(Said::Broken { reason }))) => Err(reason),
        Ok(Some(other)) => Err(format!("its first word was {other:?}")),
        Ok(None) => Err("it said nothing".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// What a guest said that has ended: one that has its jobs with it may say everything, and be gone, before this
/// process is next scheduled.
async fn after_its_end(
    lines: &mut Lines<BufReader<OwnedReadHalf>>,
) -> std::io::Result<Option<String>> {
    // What it wrote is in the socket by now; nothing more comes.
    const MOMENT: Duration = Duration::from_secs(1);
    let line = tokio::time::timeout(MOMENT, lines.next_line()).await;
    line.unwrap_or(Ok(None))
}

fn ended(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match status.signal() {
        None if status.success() => "it switched itself off".to_owned(),
        _ => format!("{QEMU} ended: {status}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_a_guest_said_is_heard_though_it_has_ended_before_anybody_listened() {
        use std::io::Write as _;
        let ready = Said::Ready {
            kernel: "6.1".to_owned(),
            cpus: 1,
            memory: 1,
            modules: 1,
        };
        for _ in 0..20 {
            let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
            ours.set_nonblocking(true).unwrap();
            let line = serde_json::to_string(&ready).unwrap();
            writeln!(theirs, "{line}").unwrap();
            drop(theirs);
            let mut qemu = Qemu(Command::new("true").spawn().unwrap());
            qemu.0.wait().await.unwrap();
            let (_, _, heard) = up(&mut qemu, UnixStream::from_std(ours).unwrap())
                .await
                .unwrap();
            assert_eq!(heard, ready);
        }
    }
}
