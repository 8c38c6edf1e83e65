//! Progress on standard error: a bar on a terminal, lines elsewhere.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::verbose;

/// Shows how far a run is and how long it has to go.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
}

/// A duration as a person says it: "40 s", "3 m 20 s", "2 h 5 m".
pub(crate) fn rough(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0 => format!("{} ms", time.as_millis()),
        1..90 => format!("{seconds} s"),
        90..5400 => format!("{} m {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} m", seconds / 3600, seconds % 3600 / 60),
    }
}

/// A line on standard error. One that nobody reads any more must not end a run.
pub(crate) fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

impl Progress {
    /// For `total` cells.
    pub(crate) fn new(total: u64) -> Self {
        // What is told goes between lines, not into a bar.
        let drawn = std::io::stderr().is_terminal() && !verbose::is_set();
        let bar = drawn.then(|| {
            let style =
                ProgressStyle::with_template("{bar:30} {pos}/{len} cells  {elapsed}  {msg}")
                    .unwrap_or_else(|_| ProgressStyle::default_bar());
            // No ticker: a redraw on another CPU would be noise in what is timed.
            ProgressBar::new(total).with_style(style)
        });
        Self { bar }
    }

    /// A stay begins.
    pub(crate) fn stay(&self, done: u64, total: u64, what: &str, left: Duration) {
        let left = format!("about {} left", rough(left));
        match &self.bar {
            Some(bar) => {
                bar.set_position(done);
                bar.set_message(format!("{left}: {what}"));
            }
            None => note(&format!("[{done}/{total} cells] {left}: {what}")),
        }
    }

    /// Something that the user should see now.
    pub(crate) fn note(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => note(text),
        }
    }

    /// Removes the bar.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Megabytes, for people.
pub(crate) fn mb(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
