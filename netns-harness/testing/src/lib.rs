//! For tests that need the running kernel: namespaces that end with the test, tools, and the one way to
//! say that something cannot be tested here.
//!
//! ```
//! // On a thread with a network namespace of its own; `None`, said aloud, without the right to make one.
//! let devices = testing::in_namespace(|| std::fs::read_to_string("/proc/thread-self/net/dev"));
//! if let Some(devices) = devices {
//!     assert!(devices?.contains("lo:"));
//! }
//! # Ok::<(), std::io::Error>(())
//! ```
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::fmt::Display;
use std::io::{self, Write as _};
use std::process::{Command, Stdio};

use nix::sched::{CloneFlags, unshare};

/// Says that a test cannot run here for want of `capability`: a line that `scripts/test` prints and counts,
/// past the test harness, which keeps what a passing test prints to itself.
///
/// # Panics
/// `BENCH_REQUIRE` names the capability: then nothing may be left out for want of it.
#[allow(
    clippy::explicit_write,
    reason = "eprintln! is captured by the test harness"
)]
pub fn skip(capability: &str, why: impl Display) {
    let required =
        std::env::var("BENCH_REQUIRE").is_ok_and(|r| r.split(',').any(|r| r.trim() == capability));
    assert!(!required, "{capability} is required: {why}");
    writeln!(io::stderr(), "SKIP {capability}: {why}").unwrap();
}

/// [`skip`] for want of IPVS, which many kernels are built without: says where the test runs nevertheless.
pub fn skip_ipvs(why: impl Display) {
    skip(
        "ipvs",
        format_args!("{why}; run by scripts/verify/ipvs-in-guest"),
    );
}

/// Runs `test` on a thread with a network namespace of its own, which ends with it; `None`, said aloud,
/// without the right to make one.
pub fn in_namespace<T: Send>(test: impl FnOnce() -> T + Send) -> Option<T> {
    isolated(CloneFlags::CLONE_NEWNET, || Ok(()), test)
}

/// Runs `test` on a thread with namespaces of its own of the kinds `kinds`, after `prepare`; `None`, said
/// aloud, when they cannot be had.
///
/// # Panics
/// As the test does.
pub fn isolated<T: Send>(
    kinds: CloneFlags,
    prepare: impl FnOnce() -> io::Result<()> + Send,
    test: impl FnOnce() -> T + Send,
) -> Option<T> {
    let act = move || match unshare(kinds)
        .map_err(io::Error::from)
        .and_then(|()| prepare())
    {
        Ok(()) => Some(test()),
        Err(why) => {
            skip("netns", format_args!("no namespaces: {why}"));
            None
        }
    };
    std::thread::scope(|scope| scope.spawn(act).join())
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// What `program` prints, in the calling thread's namespace.
///
/// # Panics
/// It is not installed or does not succeed.
pub fn tool(program: &str, arguments: &[impl AsRef<std::ffi::OsStr>], input: &str) -> String {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{program}: {e} (scripts/bootstrap installs it)"));
    let mut stdin = child.stdin.take().unwrap();
    // A tool that reads no input may have closed it already.
    let written = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{program}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        input.is_empty() || written.is_ok(),
        "{program}: {written:?}"
    );
    String::from_utf8(output.stdout).unwrap()
}
