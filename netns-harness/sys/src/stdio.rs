//! Whether standard output was open when the program started. Rust's runtime puts `/dev/null` in the place
//! of a standard descriptor that is closed, before `main` (rust 1.89, `library/std/src/sys/pal/unix/mod.rs`,
//! `sanitize_standard_fds`); afterwards what is written vanishes, and nobody can tell.

#![allow(unsafe_code, reason = "a constructor, and one system call in it")]

use std::sync::atomic::{AtomicBool, Ordering};

static CLOSED: AtomicBool = AtomicBool::new(false);

/// Called by the dynamic loader with the program's other constructors, before Rust's runtime starts
/// (System V ABI, "Initialization and Termination Functions").
#[used]
// SAFETY: the section holds pointers to functions of this type; it runs before `main`, and uses nothing that
// the runtime has yet to set up: one system call and one atomic store.
#[unsafe(link_section = ".init_array")]
static LOOK: extern "C" fn() = look;

extern "C" fn look() {
    // SAFETY: F_GETFD reads a flag of a descriptor's number, whether or not that is open.
    let flags = unsafe { libc::fcntl(libc::STDOUT_FILENO, libc::F_GETFD) };
    CLOSED.store(flags == -1, Ordering::Relaxed);
}

/// Whether standard output was closed when the program started.
#[must_use]
pub fn stdout_was_closed() -> bool {
    // A reference that keeps the linker from leaving the constructor out.
    std::hint::black_box(&LOOK);
    CLOSED.load(Ordering::Relaxed)
}
