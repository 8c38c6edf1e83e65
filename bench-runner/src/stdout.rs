//! Standard output: data. Nothing that happens to it ends the program early: what was lost is told at the
//! end, after everything that can be saved was saved. A full disk behind it, or no output at all, is an error
//! ([`failed`]); a reader that has seen enough (`| head`) is one only for who must be heard ([`unheard`]).

use std::fmt::Arguments;
use std::io::{self, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use serde::Serialize;

static FAILED: AtomicBool = AtomicBool::new(false);
static UNHEARD: AtomicBool = AtomicBool::new(false);

/// Writes a line; used through [`say`].
pub(crate) fn line(text: Arguments<'_>) {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Ok(()) if !netns_sys::stdio::stdout_was_closed() => {}
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            UNHEARD.store(true, Ordering::Relaxed);
        }
        _ => FAILED.store(true, Ordering::Relaxed),
    }
}

/// Writes a value as JSON, for people too.
///
/// # Errors
/// It cannot be encoded.
pub(crate) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(value).context("encode what is printed")?;
    line(format_args!("{text}"));
    Ok(())
}

/// Whether something was not read: not written, or written to nobody.
pub(crate) fn unheard() -> bool {
    UNHEARD.load(Ordering::Relaxed) || failed()
}

/// Whether something could not be written.
pub(crate) fn failed() -> bool {
    FAILED.load(Ordering::Relaxed)
}

/// `println!` that survives a closed pipe.
macro_rules! say {
    ($($text:tt)*) => { $crate::stdout::line(format_args!($($text)*)) };
}
pub(crate) use say;
