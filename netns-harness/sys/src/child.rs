//! Children that must not outlive their parent.
#![allow(unsafe_code, reason = "prctl(2) between fork and exec")]

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// The child gets SIGKILL when the thread that starts it ends, however that ends (`prctl(2)`,
/// `PR_SET_PDEATHSIG`; it survives exec of a program without privileges of its own). Start it on a
/// thread that lives as long as the child should.
pub fn dies_with_parent(command: &mut Command) {
    let parent = std::process::id();
    let tie = move || {
        // SAFETY: prctl(2) with PR_SET_PDEATHSIG takes a signal number and touches no memory.
        if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: getppid(2) has no arguments and cannot fail.
        let now = unsafe { libc::getppid() };
        // The parent may have ended before the signal was set.
        if now.unsigned_abs() != parent {
            return Err(io::Error::from(io::ErrorKind::NotConnected));
        }
        Ok(())
    };
    // SAFETY: the closure makes two system calls, allocates nothing on success and takes no lock.
    unsafe { command.pre_exec(tie) };
}
