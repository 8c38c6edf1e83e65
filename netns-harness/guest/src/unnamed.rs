//! Files without a name: nothing of them is left when this process is killed.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;

use crate::GuestError;

/// A new one, in the folder of temporary files.
///
/// # Errors
/// It cannot be made; which folder that is.
pub fn file() -> Result<File, GuestError> {
    let folder = std::env::temp_dir();
    tempfile::tempfile().map_err(GuestError::file("make a file in", &folder))
}

/// By which other processes find it, while this one has it open.
#[must_use]
pub fn path_of(file: &File) -> PathBuf {
    format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()).into()
}
