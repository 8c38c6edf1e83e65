//! The user's wish to stop: Ctrl-C, or SIGTERM.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Whether it was seen.
#[derive(Debug, Clone)]
pub(crate) struct Interrupt(watch::Receiver<bool>);

impl Interrupt {
    /// Takes the signals that end a run, from now on.
    ///
    /// # Errors
    /// They cannot be taken.
    pub(crate) fn new() -> std::io::Result<Self> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let (tell, told) = watch::channel(false);
        tokio::spawn(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            // An error means that the run is over.
            let _ = tell.send(true);
        });
        Ok(Self(told))
    }

    /// One that nobody gives.
    pub(crate) fn never() -> Self {
        Self(watch::channel(false).1)
    }

    /// Whether it was seen already.
    pub(crate) fn is_seen(&self) -> bool {
        *self.0.borrow()
    }

    /// Does something that takes a while, unless the user wants to stop first: then `None`.
    pub(crate) async fn unless_seen<T>(&mut self, act: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            Ok(_) = self.0.wait_for(|seen| *seen) => None,
            done = act => Some(done),
        }
    }
}
