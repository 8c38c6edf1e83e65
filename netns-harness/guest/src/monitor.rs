//! QEMU's monitor: JSON, a line each (QEMU's `docs/interop/qmp-spec.txt`).

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

/// How often it is asked whether something is done.
const STEP: Duration = Duration::from_millis(10);

/// A monitor.
pub(crate) struct Monitor {
    lines: Lines<BufReader<OwnedReadHalf>>,
    to: OwnedWriteHalf,
}

impl Monitor {
    /// The one at the other end of that socket.
    ///
    /// # Errors
    /// QEMU has ended, or says what is not understood.
    pub(crate) async fn greet(socket: UnixStream) -> Result<Self, String> {
        let (from, to) = socket.into_split();
        let lines = BufReader::new(from).lines();
        let mut monitor = Self { lines, to };
        let greeting = monitor.next().await?;
        match greeting.get("QMP") {
            Some(_) => monitor.execute("qmp_capabilities", json!({})).await?,
            None => return Err(format!("its monitor began with {greeting}")),
        };
        Ok(monitor)
    }

    /// Waits until the guest has stopped itself.
    ///
    /// # Errors
    /// QEMU has ended.
    pub(crate) async fn stopped(&mut self) -> Result<(), String> {
        while self.next().await?.get("event") != Some(&json!("STOP")) {}
        Ok(())
    }

    /// Whether the clock of the guest, which is stopped, stands at the end of its CPU's timer. A CPU that has stopped is idle
    /// until the rest of QEMU stops, and the clock of an idle guest jumps (`icount_start_warp_timer`); where this machine is busy
    /// the rest may be first.
    ///
    /// # Errors
    /// QEMU has ended, or says what is not understood.
    pub(crate) async fn has_jumped(&mut self) -> Result<bool, String> {
        let asked = json!({ "command-line": "info lapic" });
        let said = self.execute("human-monitor-command", asked).await?;
        let said = said.as_str().unwrap_or_default();
        let of = |name: &str| -> Option<u64> {
            let (_, value) = said.split_once(&format!("{name} = "))?;
            value
                .split(|c: char| !c.is_ascii_digit())
                .next()?
                .parse()
                .ok()
        };
        match (of("initial_count"), of("current_count")) {
            // At its end it begins anew, or stands.
            (Some(whole @ 1..), Some(left)) => Ok(left == whole || left == 0),
            _ => Err("its timer does not run, so where its clock stands is not known".to_owned()),
        }
    }

    /// Writes the state of the guest, which is stopped, to a file.
    ///
    /// # Errors
    /// QEMU has ended, or could not write it.
    pub(crate) async fn keep(&mut self, state: &Path) -> Result<(), String> {
        let uri = format!("exec:exec cat > {}", state.display());
        self.execute("migrate", json!({ "uri": uri })).await?;
        loop {
            let said = self.execute("query-migrate", json!({})).await?;
            match said["status"].as_str() {
                Some("completed") => return Ok(()),
                Some("failed" | "cancelled") => {
                    let why = said["error-desc"]
                        .as_str()
                        .unwrap_or("QEMU does not say why");
                    return Err(format!("its state could not be kept: {why}"));
                }
                _ => tokio::time::sleep(STEP).await,
            }
        }
    }

    /// Lets a guest go on whose state is being restored, once it is.
    ///
    /// # Errors
    /// QEMU has ended.
    pub(crate) async fn go_on(&mut self) -> Result<(), String> {
        while self.execute("query-status", json!({})).await?["status"] == json!("inmigrate") {
            tokio::time::sleep(STEP).await;
        }
        self.execute("cont", json!({})).await.map(drop)
    }

    /// The answer to a command.
    async fn execute(&mut self, command: &str, arguments: Value) -> Result<Value, String> {
        let line = format!(
            "{}\n",
            json!({ "execute": command, "arguments": arguments })
        );
        let sent = self.to.write_all(line.as_bytes()).await;
        sent.map_err(|error| error.to_string())?;
        loop {
            let mut said = self.next().await?;
            if let Some(answer) = said.get_mut("return") {
                return Ok(answer.take());
            }
            if let Some(error) = said.get("error") {
                let why = error["desc"].as_str().unwrap_or_default();
                return Err(format!("its monitor refused {command}: {why}"));
            }
        }
    }

    async fn next(&mut self) -> Result<Value, String> {
        match self.lines.next_line().await {
            Ok(Some(line)) => serde_json::from_str(&line)
                .map_err(|error| format!("its monitor is not understood: {error}")),
            Ok(None) => Err("it closed its monitor".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A monitor at whose other end these lines stand, and what it was sent.
    async fn hears(
        lines: &str,
        acts: impl AsyncFnOnce(Monitor) -> Result<(), String>,
    ) -> (Result<(), String>, String) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (mut from, mut to) = theirs.into_split();
        to.write_all(lines.as_bytes()).await.unwrap();
        drop(to);
        let done = match Monitor::greet(ours).await {
            Ok(monitor) => acts(monitor).await,
            Err(why) => Err(why),
        };
        let mut sent = String::new();
        tokio::io::AsyncReadExt::read_to_string(&mut from, &mut sent)
            .await
            .unwrap();
        (done, sent)
    }

    const GREETING: &str = "{\"QMP\": {}}\n{\"return\": {}}\n";

    #[tokio::test]
    async fn a_guest_that_stopped_is_kept_whatever_events_come_between() {
        let said = format!(
            "{GREETING}{}",
            r#"{"event": "GUEST_PANICKED"}
{"event": "STOP"}
{"event": "MIGRATION"}
{"return": {}}
{"return": {"status": "active"}}
{"return": {"status": "completed"}}
"#
        );
        let (done, sent) = hears(&said, async |mut monitor| {
            monitor.stopped().await?;
            monitor.keep(Path::new("/f")).await
        })
        .await;
        assert_eq!(done, Ok(()));
        assert!(sent.contains("exec:exec cat > /f"), "{sent}");
    }

    #[tokio::test]
    async fn a_timer_at_its_end_is_told_from_one_that_runs() {
        for (whole, left, jumped) in [
            (249_999, 249_999, Some(true)),
            (249_999, 0, Some(true)),
            (249_999, 234_683, Some(false)),
            (0, 0, None),
        ] {
            let said = format!(
                "{GREETING}{{\"return\": \"Timer\\t DCR=0x3 (divide by 16) initial_count = {whole} current_count = {left}\\r\\n\"}}\n"
            );
            let asks = async |mut monitor: Monitor| {
                assert_eq!(monitor.has_jumped().await.ok(), jumped);
                Ok(())
            };
            assert_eq!(hears(&said, asks).await.0, Ok(()));
        }
    }

    #[tokio::test]
    async fn what_fails_is_said_in_qemus_words() {
        for (answer, expected) in [
            (
                r#"{"return": {}}
{"return": {"status": "failed", "error-desc": "no room"}}
"#,
                "its state could not be kept: no room",
            ),
            (
                r#"{"error": {"class": "GenericError", "desc": "not now"}}
"#,
                "its monitor refused migrate: not now",
            ),
            ("", "it closed its monitor"),
            (
                "?\n",
                "its monitor is not understood: expected value at line 1 column 1",
            ),
        ] {
            let keep = async |mut monitor: Monitor| monitor.keep(Path::new("/f")).await;
            let (done, _) = hears(&format!("{GREETING}{answer}"), keep).await;
            assert_eq!(done, Err(expected.to_owned()));
        }
        let (done, _) = hears("{\"QEMU\": 1}\n", async |_| Ok(())).await;
        assert_eq!(done, Err("its monitor began with {\"QEMU\":1}".to_owned()));
    }
}
