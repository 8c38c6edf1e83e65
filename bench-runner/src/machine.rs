//! This machine, as far as a plan depends on it.

use anyhow::Context as _;
use netns_harness::meters;
use tokio::runtime::Runtime;

/// What there is to spread stays over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Machine {
    /// Processors that this process may use; 0 where that is not known.
    pub(crate) cpus: usize,
    /// Memory that is free, bytes; none where that is not known.
    pub(crate) free_bytes: Option<u64>,
}

impl Machine {
    /// The machine as it is now.
    pub(crate) fn now() -> Self {
        Self {
            cpus: std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
            free_bytes: meters::meminfo("MemAvailable"),
        }
    }

    /// Stays at a time where load moves nothing that is counted: one for each processor.
    pub(crate) fn at_a_time(&self) -> usize {
        self.cpus.max(1)
    }
}

/// What waits for processes here. One thread: a stay's process dies with the thread that started it, and that is the
/// calling one.
///
/// # Errors
/// The operating system refuses it.
pub(crate) fn runtime() -> anyhow::Result<Runtime> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().context("start the runtime")
}
