//! What kube-proxy says on its standard error (klog's text format), stamped line by line as it comes: when a sync of
//! its rules begins and ends, and how long it took by its own clock (`syncProxyRules` of pkg/proxy/*/proxier.go logs
//! `"Syncing iptables rules"`, then `"SyncProxyRules complete" elapsed="12.3ms"`).

use std::collections::{BTreeSet, VecDeque};
use std::io::{BufRead, BufReader, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use netns_sys::clock::{self, Reading};
use schema::Family;

/// What a line says that is of the rules of a family.
const fn family_said(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "ipFamily=\"IPv4\"",
        Family::Ipv6 => "ipFamily=\"IPv6\"",
    }
}

/// Lines that are kept for whoever asks why.
const LAST: usize = 5;
/// Different complaints that are kept.
const COMPLAINTS: usize = 20;

/// What a line says of a sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    /// One begins.
    Begun,
    /// One has failed; that it has ended follows.
    Failed,
    /// One has ended.
    Ended {
        /// How long it took by kube-proxy's own clock, nanoseconds.
        took_ns: u64,
        /// When the line came.
        at: Reading,
    },
}

/// A log that is read.
#[derive(Debug)]
pub(super) struct Log {
    said: Receiver<Said>,
    kept: Arc<Mutex<Kept>>,
}

#[derive(Debug, Default)]
struct Kept {
    /// Whether it has said anything of the rules of the other family.
    programs_another: bool,
    /// Whether a sync of that has begun and not ended.
    another_syncs: bool,
    last: VecDeque<String>,
    /// The first line of what ended it, if something did.
    fatal: Option<String>,
    /// Warnings and errors, without their times.
    complaints: BTreeSet<String>,
}

impl Log {
    /// Reads it to its end, on a thread of its own: what it says of syncs of a family.
    pub(super) fn read(stream: impl Read + Send + 'static, family: Family) -> Self {
        let (sender, said) = channel();
        let kept = Arc::<Mutex<Kept>>::default();
        let keeping = Arc::clone(&kept);
        std::thread::spawn(move || follow(BufReader::new(stream), family, &sender, &keeping));
        Self { said, kept }
    }

    /// What comes next, within `limit`; none where nothing came, and an error where the log has ended.
    pub(super) fn next(&self, limit: Duration) -> Result<Option<Said>, Closed> {
        match self.said.recv_timeout(limit) {
            Ok(said) => Ok(Some(said)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(Closed),
        }
    }

    /// What comes next, within `limit`; none too where the log has ended, which whoever reads on will see.
    pub(super) fn peek(&self, limit: Duration) -> Option<Said> {
        self.next(limit).ok().flatten()
    }

    /// The last lines.
    pub(super) fn last(&self) -> String {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = kept.fatal.iter().chain(&kept.last);
        let lines: Vec<&str> = lines.map(String::as_str).collect();
        lines.join("; ")
    }

    /// Reads what is left after whoever wrote it has ended, within `limit`: a process that it started may still hold
    /// the other end.
    pub(super) fn drain(&self, limit: Duration) {
        let start = clock::now();
        while u128::from(start.elapsed_ns()) < limit.as_nanos() {
            if self.next(Duration::from_millis(10)).is_err() {
                return;
            }
        }
    }

    /// Whether it programs the other family as well: its syncs are not told, and each change counts for both in its metrics.
    pub(super) fn programs_another(&self) -> bool {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.programs_another
    }

    /// Whether a sync of the other family is under way.
    pub(super) fn another_syncs(&self) -> bool {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.another_syncs
    }

    /// Warnings and errors so far, each once.
    pub(super) fn complaints(&self) -> Vec<String> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.complaints.iter().cloned().collect()
    }
}

/// The log has ended: so has whoever wrote it.
#[derive(Debug)]
pub(super) struct Closed;

fn follow(mut stream: impl BufRead, family: Family, sender: &Sender<Said>, kept: &Mutex<Kept>) {
    let another = family_said(family.other());
    let mut line = Vec::new();
    while stream.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
        let at = clock::now();
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        line.clear();
        // Nobody listens any more when kube-proxy is being stopped; its pipe is read all the same.
        if let Some(said) = said(&text, family, at) {
            let _ = sender.send(said);
        }
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        if text.contains(another) {
            let (begins, ends) = (text.contains("\"Syncing "), is_end(&text));
            kept.programs_another |= begins;
            kept.another_syncs = begins || kept.another_syncs && !ends;
        }
        if let Some(complaint) = complaint(&text)
            && kept.complaints.len() < COMPLAINTS
        {
            kept.complaints.insert(complaint.to_owned());
        }
        let fatal = ["panic: ", "fatal error: ", "F"];
        if kept.fatal.is_none() && fatal.iter().any(|words| text.starts_with(words)) {
            kept.fatal = Some(text);
            continue;
        }
        if kept.last.len() == LAST {
            kept.last.pop_front();
        }
        kept.last.push_back(text);
    }
}

/// Whether a line says that a sync has ended: in capitals or not, by version.
fn is_end(line: &str) -> bool {
    ["\"SyncProxyRules complete\"", "\"syncProxyRules complete\""]
        .iter()
        .any(|words| line.contains(words))
}

/// What a line says of a sync of a family; none where it is of the other.
fn said(line: &str, family: Family, at: Reading) -> Option<Said> {
    let (_, message) = line.split_once("] \"")?;
    let (message, values) = message.split_once('"')?;
    if values.contains(family_said(family.other())) {
        return None;
    }
    if message.starts_with("Syncing ") && message.ends_with(" rules") {
        return Some(Said::Begun);
    }
    if message == "Sync failed" {
        return Some(Said::Failed);
    }
    if !message.eq_ignore_ascii_case("SyncProxyRules complete") {
        return None;
    }
    let (_, elapsed) = values.split_once("elapsed=\"")?;
    let took_ns = go_duration(elapsed.split('"').next()?)?;
    Some(Said::Ended { took_ns, at })
}

/// A line of severity W, E or F, without its time and thread.
fn complaint(line: &str) -> Option<&str> {
    line.starts_with(['W', 'E', 'F'])
        .then(|| line.split_once("] "))?
        .map(|(_, message)| message)
}

/// A duration as Go writes it, "1m2.5s" or "523.1µs", nanoseconds (`Duration.String` of Go's package time).
fn go_duration(text: &str) -> Option<u64> {
    const UNITS: [(&str, f64); 7] = [
        ("ns", 1.0),
        ("µs", 1e3),
        ("μs", 1e3),
        ("ms", 1e6),
        ("s", 1e9),
        ("m", 60e9),
        ("h", 3600e9),
    ];
    let mut rest = text;
    let mut sum = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(digits);
        let end = tail
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
        sum += number.parse::<f64>().ok()? * factor;
        rest = tail;
    }
    (!text.is_empty()).then_some(sum.round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Option<Said> {
        said(line, Family::Ipv4, clock::now())
    }

    fn took(line: &str) -> Option<u64> {
        match of(line)? {
            Said::Ended { took_ns, .. } => Some(took_ns),
            Said::Begun | Said::Failed => None,
        }
    }

    #[test]
    fn the_lines_of_each_mode_are_understood() {
        let head = "I1127 11:30:56.123456    1234 proxier.go:1200]";
        for rules in ["iptables", "nftables", "ipvs proxier"] {
            let line = format!("{head} \"Syncing {rules} rules\" ipFamily=\"IPv4\" fullSync=true");
            assert_eq!(of(&line), Some(Said::Begun), "{line}");
        }
        for word in ["SyncProxyRules complete", "syncProxyRules complete"] {
            let line = format!("{head} \"{word}\" ipFamily=\"IPv4\" elapsed=\"525.123456ms\"");
            assert_eq!(took(&line), Some(525_123_456));
        }
        let of_ipv6 = "\"SyncProxyRules complete\" ipFamily=\"IPv6\" elapsed=\"1ms\"";
        let of_ipv6 = format!("{head} {of_ipv6}");
        assert_eq!(of(&of_ipv6), None);
        assert!(said(&of_ipv6, Family::Ipv6, clock::now()).is_some());
        assert_eq!(of(&format!("{head} \"Started\" elapsed=\"1s\"")), None);
        let failed = format!("{head} \"Sync failed\" ipFamily=\"IPv4\" retryingTime=\"30s\"");
        assert_eq!(of(&failed), Some(Said::Failed));
        assert_eq!(of("\"SyncProxyRules complete\""), None);
    }

    #[test]
    fn durations_are_read_as_go_writes_them() {
        for (text, ns) in [
            ("1m2.5s", 62_500_000_000),
            ("523.1µs", 523_100),
            ("17ns", 17),
            ("2h0m0s", 7_200_000_000_000),
            ("0s", 0),
        ] {
            assert_eq!(go_duration(text), Some(ns), "{text}");
        }
        for text in ["", "ms", "12", "1.5 s", "3d"] {
            assert_eq!(go_duration(text), None, "{text}");
        }
    }

    #[test]
    fn the_last_lines_and_each_complaint_once_are_kept() {
        let text = "I1 a.go:1] \"fine\"\nE1127 1 b.go:2] \"bad\" err=\"x\"\nE1128 2 b.go:2] \"bad\" err=\"x\"\nbye\n";
        let log = Log::read(text.as_bytes(), Family::Ipv4);
        assert!(log.next(Duration::from_secs(5)).is_err(), "it has ended");
        assert_eq!(log.complaints(), ["\"bad\" err=\"x\""]);
        assert!(log.last().ends_with("; bye"), "{}", log.last());
        let text = format!("panic: nil\n{}", "\tstack\n".repeat(40));
        let log = Log::read(std::io::Cursor::new(text), Family::Ipv4);
        log.drain(Duration::from_secs(5));
        assert!(log.last().starts_with("panic: nil; "), "{}", log.last());
    }
}
