//! What can go wrong around a guest.

use std::io;
use std::path::PathBuf;

const MB: &u64 = &1_000_000;

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
    /// There is no such kernel; with what there is.
    #[error("{0}")]
    NoKernel(String),
    /// There are no such tools; why, with what helps.
    #[error("{0}")]
    NoSuite(String),
    /// Kernels come from a package manager, and there is none that we know.
    #[error(
        "kernel '{kernel}' is not in the cache, and {program}, which would fetch it, is not installed: kernels are fetched on Debian and Ubuntu; elsewhere name an image: --kernel PATH"
    )]
    NoPackageManager {
        /// What was asked for.
        kernel: String,
        /// The program that is missing.
        program: &'static str,
    },
    /// The package manager did not deliver.
    #[error(
        "{package} cannot be fetched: {reason}; look at the network and at `apt-get update`, or use a kernel that is here (bench-runner kernel list) or an image (--kernel PATH)"
    )]
    Fetch {
        /// Which package.
        package: String,
        /// The package manager's words.
        reason: String,
    },
    /// The disk is too full.
    #[error(
        "no room for {package} in {}: it takes {} MB and {} MB are free; free some (bench-runner kernel clean, bench-runner tools clean), or put the cache elsewhere: XDG_CACHE_HOME=DIR",
        folder.display(), needs / MB, free / MB
    )]
    NoSpace {
        /// Which package.
        package: String,
        /// The cache.
        folder: PathBuf,
        /// Bytes that it takes while it is unpacked.
        needs: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// A module of another kernel: the kernel itself would refuse it too, after the boot.
    #[error("{} was built for kernel {built_for}, not for {version}", path.display())]
    OtherKernel {
        /// The module's file.
        path: PathBuf,
        /// The release in its `vermagic`.
        built_for: String,
        /// The kernel's release.
        version: String,
    },
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
