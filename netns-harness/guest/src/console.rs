//! What a guest's console says of its end, on one line.

use std::path::Path;

/// What the kernel writes when something is lost; its last lines alone may be a trace of calls.
const TELLING: &[&str] = &[
    "Kernel panic",
    "Out of memory",
    "BUG:",
    "Oops",
    "soft lockup",
    "blocked for more than",
    "Initramfs unpacking failed",
    "version magic",
    "disagrees about version",
    "guest:",
];

/// The last lines of a console's log, and before them the last one that tells what happened, on one line.
#[must_use]
pub fn last_lines(console: &Path) -> String {
    let data = std::fs::read(console).unwrap_or_default();
    on_one_line(&String::from_utf8_lossy(&data))
}

fn on_one_line(text: &str) -> String {
    const KEPT: usize = 5;
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty())
        .collect();
    let (before, last) = lines.split_at(lines.len().saturating_sub(KEPT));
    let telling = |line: &&&str| TELLING.iter().any(|words| line.contains(words));
    let mut kept: Vec<&str> = Vec::new();
    if last.iter().find(|l| telling(l)).is_none() {
        kept.extend(before.iter().rfind(|l| telling(l)).copied());
    }
    kept.extend(last);
    if kept.is_empty() {
        "none".to_owned()
    } else {
        kept.join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_that_tells_is_kept_before_the_last_ones() {
        let mut text = String::from("[1.0] boot\n[2.0] Kernel panic - not syncing: sysrq\n");
        for call in 0..30 {
            text.push_str(&format!("[2.1]  call_{call}\n\n"));
        }
        let line = on_one_line(&text);
        assert!(line.starts_with("[2.0] Kernel panic"), "{line}");
        assert!(line.ends_with("call_28; [2.1]  call_29"), "{line}");
        assert!(!line.contains("boot") && !line.contains('\n'), "{line}");
        assert_eq!(on_one_line(""), "none");
    }
}
