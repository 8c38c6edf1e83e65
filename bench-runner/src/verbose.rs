//! `-v`: each decision of a run and each process that it starts; `-vv`: also what stays do, to the head of each
//! transaction. On standard error; out of a stay as events on its standard output, because its standard error is for
//! last words. Nothing is told between a clock's start and its stop.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU8, Ordering};

use scenarios::spec::Event;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

static LEVEL: AtomicU8 = AtomicU8::new(0);

/// How often `-v` was given; once a process.
pub(crate) fn set(level: u8) {
    LEVEL.store(level, Ordering::Relaxed);
}

/// Whether anything is told.
pub(crate) fn is_set() -> bool {
    LEVEL.load(Ordering::Relaxed) > 0
}

/// What a process of `cell` is started with, to tell of its stay too.
pub(crate) fn words() -> Vec<String> {
    match LEVEL.load(Ordering::Relaxed) {
        0 | 1 => Vec::new(),
        _ => vec!["-vv".to_owned()],
    }
}

/// Tells it from now on: on standard error, or in a stay by [`Telling`].
pub(crate) fn start(writer: impl for<'w> MakeWriter<'w> + Send + Sync + 'static) {
    let most = match LEVEL.load(Ordering::Relaxed) {
        0 => return,
        1 => LevelFilter::INFO,
        _ => LevelFilter::DEBUG,
    };
    tracing_subscriber::fmt()
        .with_max_level(most)
        .with_writer(writer)
        .with_target(false)
        .with_ansi(false)
        .without_time()
        .init();
}

/// Writes each line as an event.
pub(crate) struct Telling;

impl Write for Telling {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line).trim().to_owned();
        let event = Event::Told { line: text };
        let mut out = io::stdout().lock();
        writeln!(out, "{}", serde_json::to_string(&event)?)?;
        out.flush()?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
