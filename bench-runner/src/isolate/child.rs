//! A process of `cell` on this machine: started isolated, listened to under deadlines, killed when it is late, and
//! waited for until everything it made is gone. And a question to such a process, with its one answer.

use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tracing::info;

use netns_harness::remedy::Lack;
use scenarios::spec::Event;

use super::ask::{Answer, Ask, no_event};
use crate::exit::{Unable, Usage, why};
use crate::verbose;

/// What the first process of a stay checks its parent against.
pub(crate) const PARENT_VARIABLE: &str = "BENCH_RUNNER_PARENT";
/// A transaction in the kernel cannot be interrupted: how long to wait for one after a kill.
const GONE: Duration = Duration::from_secs(300);

/// What came next from a stay.
#[derive(Debug)]
pub(crate) enum Next {
    /// An event.
    Event(Event),
    /// Its process ended; its last words.
    Ended(String),
    /// The guest that it was in is gone; what was seen, and the console's last lines.
    Gone(String),
    /// Nothing came in time.
    Late,
}

/// A running stay.
pub(crate) struct StayProcess {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    stderr: tokio::task::JoinHandle<String>,
}

impl StayProcess {
    /// Starts `bench-runner cell`. Call on the runtime's main thread: the child dies with the
    /// thread that started it.
    ///
    /// # Errors
    /// The process could not be started.
    pub(crate) async fn start(ask: &Ask) -> anyhow::Result<Self> {
        // The terminal's Ctrl-C is for the runner, which ends its stays itself.
        let child = cell()?.process_group(0).spawn();
        let mut child = child.context("start a stay's process")?;
        let mut stdin = child.stdin.take().expect("stdin is piped");
        let written = stdin.write_all(ask.line().as_bytes()).await;
        drop(stdin);
        let stdout = child.stdout.take().expect("stdout is piped");
        let stderr = child.stderr.take().expect("stderr is piped");
        let stderr = tokio::spawn(last_lines(BufReader::new(stderr).lines()));
        let this = Self {
            child,
            lines: BufReader::new(stdout).lines(),
            stderr,
        };
        // A child that ended early closes the pipe; its own words, read later, say why.
        match written {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
                Err(error).context("give a stay its specification")
            }
            _ => Ok(this),
        }
    }

    /// The next event, within `limit`.
    pub(crate) async fn next(&mut self, limit: Duration) -> Next {
        match tokio::time::timeout(limit, self.lines.next_line()).await {
            Err(_) => Next::Late,
            Ok(Ok(Some(line))) => match serde_json::from_str(&line) {
                Ok(event) => Next::Event(event),
                // A process that was killed in the middle of a line.
                Err(error) => {
                    self.kill().await;
                    let said = self.end().await;
                    Next::Ended(no_event(&error, &said))
                }
            },
            Ok(_) => Next::Ended(self.end().await),
        }
    }

    /// Kills the stay and waits until its last process is gone. Returns false when one is still in the
    /// kernel after five minutes.
    pub(crate) async fn kill(&mut self) -> bool {
        // An error means that it has ended already.
        let _ = self.child.start_kill();
        self.gone().await
    }

    async fn gone(&mut self) -> bool {
        // Every process of the stay holds the write end of the pipe: its end is the end of them all.
        let drained = async { while let Ok(Some(_)) = self.lines.next_line().await {} };
        let all = tokio::time::timeout(GONE, drained).await.is_ok();
        let _ = tokio::time::timeout(GONE, self.child.wait()).await;
        all
    }

    async fn end(&mut self) -> String {
        self.gone().await;
        match tokio::time::timeout(Duration::from_secs(1), &mut self.stderr).await {
            Ok(Ok(text)) => text,
            _ => String::new(),
        }
    }
}

/// The last lines of a stream.
async fn last_lines<R: tokio::io::AsyncBufRead + Unpin>(mut lines: Lines<R>) -> String {
    const KEPT: usize = 5;
    let mut kept = std::collections::VecDeque::new();
    while let Ok(Some(line)) = lines.next_line().await {
        kept.push_back(line);
        if kept.len() > KEPT {
            kept.pop_front();
        }
    }
    kept.into_iter().collect::<Vec<_>>().join("; ")
}

/// Asks for one answer, isolated as a stay is.
///
/// # Errors
/// It cannot be started; or it could not isolate itself, an [`Unable`].
pub(crate) async fn ask(ask: &Ask, limit: Duration) -> anyhow::Result<Answer> {
    let Ok(output) = tokio::time::timeout(limit, output_of(ask)).await else {
        return Ok(Answer::Late(limit));
    };
    let output = output?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    let said = text(&output.stderr);
    if output.status.code() == Some(2) {
        return Err(match serde_json::from_slice::<Lack>(&output.stdout) {
            Ok(lack) => Unable(lack).into(),
            Err(_) => Usage(why(&said).to_owned()).into(),
        });
    }
    let (well, status) = (output.status.success(), output.status.to_string());
    Ok(Answer::of(well, &status, text(&output.stdout), &said))
}

async fn output_of(ask: &Ask) -> anyhow::Result<std::process::Output> {
    let mut child = cell()?.spawn().context("start a trial")?;
    let mut stdin = child.stdin.take().expect("stdin is piped");
    // A child that ends early says why on its standard error.
    let _ = stdin.write_all(ask.line().as_bytes()).await;
    drop(stdin);
    child.wait_with_output().await.context("wait for a trial")
}

/// `bench-runner cell`, with pipes, that is killed when nobody holds it any more.
fn cell() -> anyhow::Result<Command> {
    let program = std::env::current_exe().context("find this program's file")?;
    info!("start {} cell", program.display());
    let mut command = Command::new(program);
    command
        .arg("cell")
        .args(verbose::words())
        .env(PARENT_VARIABLE, std::process::id().to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    Ok(command)
}
