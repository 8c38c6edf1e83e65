//! What can go wrong around a guest.

use std::io;
use std::path::PathBuf;

/// Why there is no guest, or no longer one.
#[derive(Debug, thiserror::Error)]
pub enum GuestError {
    /// A file could not be read or written.
    #[error("{act} {}: {source}", path.display())]
    File {
        /// "read", "write", …
        act: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A program could not be started or said no.
    #[error("{program}: {reason}")]
    Program {
        /// Which.
        program: String,
        /// Its own words, or the system's.
        reason: String,
    },
    /// A file is not what it should be.
    #[error("{}: {reason}", path.display())]
    Foreign {
        /// Which.
        path: PathBuf,
        /// What was expected.
        reason: String,
    },
    /// The kernel has neither this module nor the facility built in.
    #[error("kernel {version} has no module {module}")]
    NoModule {
        /// Kernel release.
        version: String,
        /// Module name.
        module: String,
    },
    /// There is no such kernel.
    #[error("{0}")]
    NoKernel(String),
    /// The guest did not come up.
    #[error("the guest did not come up ({reason}); its console's last lines: {console}")]
    Boot {
        /// What was seen.
        reason: String,
        /// The last lines of the console.
        console: String,
    },
    /// The guest ended or fell silent.
    #[error("the guest is gone ({reason}); its console's last lines: {console}")]
    Gone {
        /// What was seen.
        reason: String,
        /// The last lines of the console.
        console: String,
    },
}

impl GuestError {
    /// For `map_err` around file operations.
    pub(crate) fn file(
        act: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { act, path, source }
    }
}
