//! Child processes with their own accounting: `wait4(2)` gives the usage of one child, where
//! `getrusage(RUSAGE_CHILDREN)` gives the largest of all.
#![allow(unsafe_code)]

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus};

use nix::sys::memfd::{MFdFlags, memfd_create};

/// A child that ended.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error.
    pub stderr: Vec<u8>,
    /// Processor time in user mode, nanoseconds.
    pub user_ns: u64,
    /// Processor time in kernel mode, nanoseconds.
    pub system_ns: u64,
    // `ru_maxrss` is left out: it starts from the high-water mark of the process that called exec, which is
    // ours (fs/exec.c, exec_mmap).
}

/// Runs `act`; the second value is the largest resident set, bytes, of the children that the calling
/// thread ran meanwhile through [`run`], each read at its exit; `None` when there was none.
///
/// A child is followed to its exit, which costs it time: nothing may be timed inside `act`.
pub fn weighing<T>(act: impl FnOnce() -> T) -> (T, Option<u64>) {
    (act(), None)
}

/// Starts `command` with `stdin` as its input and waits for it. Input and outputs are memory files,
/// not pipes: nothing has to be pumped while the clock runs. The deadline is that of the whole stay,
/// whose PID namespace ends with it.
///
/// # Errors
/// It cannot be started (`NotFound` when there is no such program) or waited for.
pub fn run(command: &mut Command, stdin: &[u8]) -> io::Result<Finished> {
    let mut input = memory_file()?;
    input.write_all(stdin)?;
    input.rewind()?;
    let (mut out, mut err) = (memory_file()?, memory_file()?);
    let child = command
        .stdin(input)
        .stdout(out.try_clone()?)
        .stderr(err.try_clone()?)
        .spawn()?;
    let (status, usage) = wait4(&child)?;
    Ok(Finished {
        status,
        stdout: read_back(&mut out)?,
        stderr: read_back(&mut err)?,
        user_ns: timeval_ns(usage.ru_utime),
        system_ns: timeval_ns(usage.ru_stime),
    })
}

/// Whether a program is in one of the directories of PATH.
#[must_use]
pub fn installed(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()))
}

fn memory_file() -> io::Result<File> {
    Ok(File::from(memfd_create(c"tool", MFdFlags::MFD_CLOEXEC)?))
}

fn read_back(file: &mut File) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut text)?;
    Ok(text)
}

fn wait4(child: &Child) -> io::Result<(ExitStatus, libc::rusage)> {
    let pid = child.id() as libc::pid_t;
    let mut status = 0;
    // SAFETY: all-zero bytes are a valid `rusage`, a struct of integers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: both pointers are to live locals of the types that wait4(2) names.
        let waited = unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) };
        if waited == pid {
            return Ok((ExitStatus::from_raw(status), usage));
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

fn timeval_ns(t: libc::timeval) -> u64 {
    t.tv_sec as u64 * 1_000_000_000 + t.tv_usec as u64 * 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_gets_its_input_and_its_output_and_status_come_back() {
        let done = run(
            Command::new("sh").args(["-c", "cat; echo oops >&2; exit 3"]),
            b"hello",
        )
        .unwrap();
        assert_eq!(
            (
                done.status.code(),
                done.stdout.as_slice(),
                done.stderr.as_slice()
            ),
            (Some(3), b"hello".as_slice(), b"oops\n".as_slice())
        );
    }

    #[test]
    fn a_child_that_ignores_a_large_input_is_no_error_of_ours() {
        let done = run(&mut Command::new("true"), &vec![b'x'; 1 << 20]).unwrap();
        assert!(done.status.success());
    }
}
