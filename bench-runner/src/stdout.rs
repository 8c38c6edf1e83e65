//! Standard output: data. A reader that has seen enough (`| head`) is no error; a full disk behind it is
//! one, told by [`failed`] at the end, after everything that can be saved was saved.

use std::fmt::Arguments;
use std::io::{self, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

static FAILED: AtomicBool = AtomicBool::new(false);

/// Writes a line; used through [`say`].
pub(crate) fn line(text: Arguments<'_>) {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            FAILED.store(true, Ordering::Relaxed);
        }
        _ => {}
    }
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
