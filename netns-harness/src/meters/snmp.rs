//! The kernel's own counters of protocols (`/proc/net/snmp`, `net/ipv4/proc.c`), a namespace's each.

use std::fs;

use crate::HarnessError;

/// Resets that TCP has sent in the calling thread's namespace.
///
/// # Errors
/// The file cannot be read, or lacks the counter.
pub fn resets_sent() -> Result<u64, HarnessError> {
    // thread-self, not self: /proc/net is the main thread's.
    let text = fs::read_to_string("/proc/thread-self/net/snmp");
    let text = text.map_err(|e| HarnessError::system("read /proc/net/snmp", e))?;
    counter(&text, "Tcp:", "OutRsts")
        .ok_or_else(|| HarnessError::listing("/proc/net/snmp")("no OutRsts of Tcp".to_owned()))
}

/// A counter of a protocol, which has a line of names and a line of values below it.
fn counter(text: &str, protocol: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter(|line| line.starts_with(protocol));
    let (names, values) = (lines.next()?, lines.next()?);
    let at = names.split_whitespace().position(|n| n == name)?;
    values.split_whitespace().nth(at)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_found_by_its_name() {
        let text = "Ip: Forwarding\nIp: 1\nTcp: InSegs OutRsts\nTcp: 5 7\nUdp: OutRsts\nUdp: 9\n";
        assert_eq!(counter(text, "Tcp:", "OutRsts"), Some(7));
        assert_eq!(counter(text, "Tcp:", "InErrs"), None);
        assert_eq!(counter("", "Tcp:", "OutRsts"), None);
        assert!(resets_sent().is_ok());
    }
}
