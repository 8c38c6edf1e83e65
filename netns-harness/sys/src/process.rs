//! Child processes with their own accounting: `wait4(2)` gives the usage of one child, where
//! `getrusage(RUSAGE_CHILDREN)` gives the largest of all.
#![allow(unsafe_code, reason = "ptrace(2) and wait4(2)")]

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::unix::process::{CommandExt as _, ExitStatusExt};
use std::process::{Child, Command, ExitStatus};

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::ptrace;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use nix::unistd::Pid;

/// A child that ended.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error.
    pub stderr: Vec<u8>,
}

/// Lets this process have so many files open.
///
/// # Errors
/// The hard limit is lower, and may not be raised (`setrlimit(2)`).
pub fn open_files(wanted: u64) -> io::Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft >= wanted {
        return Ok(());
    }
    setrlimit(Resource::RLIMIT_NOFILE, wanted, hard.max(wanted)).map_err(|error| {
        let why = format!(
            "{wanted} open files are needed, and the hard limit is {hard} (ulimit -Hn): {error}"
        );
        io::Error::new(io::Error::from(error).kind(), why)
    })
}

/// What tools have used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Processor time in user mode, nanoseconds. The sum of both modes is exact, each by itself is a share of
    /// it by the clock's ticks (`cputime_adjust` in kernel/sched/cputime.c).
    pub user_ns: u64,
    /// Processor time in kernel mode, nanoseconds.
    pub system_ns: u64,
    /// Time in which a tool could have run and had no processor, nanoseconds: of its main thread, and 0 where the
    /// tool was weighed or the kernel does not say ([`crate::thread::run_delay_ns`]).
    pub run_delay_ns: u64,
    /// How often a tool gave its processor up to wait for something (`ru_nvcsw` of `getrusage(2)`).
    pub voluntary_switches: u64,
    /// Tools that have ended.
    pub tools: u64,
    // `ru_maxrss` is left out: it starts from the high-water mark of the process that called exec, which is
    // ours (fs/exec.c, exec_mmap).
}

thread_local! {
    /// Tools of this thread that have ended and are still to be asked what they used.
    static ENDED: RefCell<Ended> = const { RefCell::new(Ended { pids: Vec::new(), used: NOTHING }) };
    /// While this thread is weighing: the largest resident set seen so far, bytes; 0 before the first.
    static WEIGHING: Cell<Option<u64>> = const { Cell::new(None) };
}

const NOTHING: Usage = Usage {
    user_ns: 0,
    system_ns: 0,
    run_delay_ns: 0,
    voluntary_switches: 0,
    tools: 0,
};

/// Ended tools, as zombies: what the kernel says of a process is gone once it is waited for, and asking it
/// (open, read, close: some ten microseconds) has no place between the two readings of a clock. Nor is a
/// process that has only just ended through with its last slice of processor time.
#[derive(Debug)]
struct Ended {
    pids: Vec<libc::pid_t>,
    /// By those that were asked.
    used: Usage,
}

/// So many are left unasked at most: an act of transport `exec` starts thousands, and process numbers are few.
const UNASKED: usize = 64;

impl Ended {
    fn add(&mut self, pid: libc::pid_t) {
        if self.pids.len() >= UNASKED {
            self.ask();
        }
        self.pids.push(pid);
    }

    fn ask(&mut self) {
        for pid in std::mem::take(&mut self.pids) {
            let waited = crate::thread::run_delay_in(&format!("/proc/{pid}/schedstat"));
            self.used.run_delay_ns += waited.unwrap_or(0);
            let mut usage = no_usage();
            // SAFETY: wait4(2) may be given no place for the status; the other is a live local.
            unsafe { libc::wait4(pid, std::ptr::null_mut(), 0, &raw mut usage) };
            self.add_usage(&usage);
        }
    }

    const fn add_usage(&mut self, by: &libc::rusage) {
        self.used.tools += 1;
        self.used.user_ns += timeval_ns(by.ru_utime);
        self.used.system_ns += timeval_ns(by.ru_stime);
        self.used.voluntary_switches += by.ru_nvcsw as u64;
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.ask();
    }
}

/// What the tools have used that the calling thread ran through [`run`], since it began. Not for use inside a
/// timed act: each tool that has ended since the last time is asked.
#[must_use]
pub fn tools_usage() -> Usage {
    ENDED.with_borrow_mut(|ended| {
        ended.ask();
        ended.used
    })
}

/// [`Usage::run_delay_ns`] of [`tools_usage`].
#[must_use]
pub fn tools_run_delay_ns() -> u64 {
    tools_usage().run_delay_ns
}

impl Usage {
    /// User and kernel mode together.
    #[must_use]
    pub const fn cpu_ns(self) -> u64 {
        self.user_ns + self.system_ns
    }
}

/// Runs `act`; the second value is the largest resident set, bytes, of the children that the calling
/// thread ran meanwhile through [`run`], each read at its exit; `None` when there was none, or when the
/// kernel does not let them be traced (Yama's `ptrace_scope` 3, a seccomp filter): they then run all the
/// same, unweighed.
///
/// A child is traced from its exec on, and `VmHWM` of `/proc/PID/status` is read when its main thread
/// stops on its way out (`PTRACE_EVENT_EXIT`, `ptrace(2)`), while its memory is still there. An exec
/// begins a new address space, so the mark is the tool's own; `ru_maxrss` would start from ours
/// (`fs/exec.c`, `exec_mmap`). Processes that a child starts are not followed. A child that is killed by
/// SIGKILL may end without that stop, and is then not counted.
///
/// Following a child costs it time: nothing may be timed inside `act`.
pub fn weighing<T>(act: impl FnOnce() -> T) -> (T, Option<u64>) {
    /// Puts back what was there before, also when `act` panics.
    struct Before(Option<u64>);
    impl Drop for Before {
        fn drop(&mut self) {
            WEIGHING.set(self.0);
        }
    }
    let _before = Before(WEIGHING.replace(Some(0)));
    let done = act();
    (done, WEIGHING.get().filter(|&peak| peak > 0))
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
    command
        .stdin(input)
        .stdout(out.try_clone()?)
        .stderr(err.try_clone()?);
    if WEIGHING.get().is_some() {
        // SAFETY: between fork and exec the closure reads a constant-initialised thread-local without a
        // destructor and makes one system call: both are async-signal-safe.
        unsafe { command.pre_exec(trace_me) };
    }
    let child = command.spawn()?;
    let status = match WEIGHING.get() {
        Some(_) => wait4(&child)?,
        None => see_end(&child)?,
    };
    Ok(Finished {
        status,
        stdout: read_back(&mut out)?,
        stderr: read_back(&mut err)?,
    })
}

/// Whether a program is in one of the directories of PATH.
#[must_use]
pub fn installed(program: &str) -> bool {
    found(program).is_some()
}

/// The file of a program in one of the directories of PATH.
#[must_use]
pub fn found(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH")?;
    let mut files = std::env::split_paths(&path).map(|folder| folder.join(program));
    files.find(|file| file.is_file())
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

/// In the child: lets the parent trace it. A refusal leaves it untraced. A command that was weighed once
/// keeps this closure, so it asks again whether it is to be weighed.
fn trace_me() -> io::Result<()> {
    if WEIGHING.get().is_some() {
        let _ = ptrace::traceme();
    }
    Ok(())
}

/// Waits for the child's end (`waitid(2)` with WNOWAIT) and leaves the rest of it to [`Ended`].
fn see_end(child: &Child) -> io::Result<ExitStatus> {
    let pid = child.id() as libc::pid_t;
    // SAFETY: all-zero bytes are a valid `siginfo_t`, a struct of integers.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: the pointer is to a live local of the type that waitid(2) names.
        let waited = unsafe {
            libc::waitid(
                libc::P_PID,
                child.id(),
                &raw mut info,
                libc::WEXITED | libc::WNOWAIT,
            )
        };
        if waited == 0 {
            break;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    ENDED.with_borrow_mut(|ended| ended.add(pid));
    // SAFETY: waitid(2) has filled in the fields of a child's end.
    let value = unsafe { info.si_status() };
    // The word that wait(2) gives: `wait_task_zombie` takes it apart into these two.
    let status = match info.si_code {
        libc::CLD_EXITED => (value & 0xff) << 8,
        libc::CLD_DUMPED => (value & 0x7f) | 0x80,
        _ => value & 0x7f,
    };
    Ok(ExitStatus::from_raw(status))
}

/// Waits for the child's end, and carries a traced one over its stops.
fn wait4(child: &Child) -> io::Result<ExitStatus> {
    let pid = child.id() as libc::pid_t;
    let mut status = 0;
    let mut traced = false;
    let mut usage = no_usage();
    loop {
        // SAFETY: both pointers are to live locals of the types that wait4(2) names.
        let waited = unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) };
        if waited == pid && libc::WIFSTOPPED(status) {
            resume(Pid::from_raw(pid), status, &mut traced);
        } else if waited == pid {
            ENDED.with_borrow_mut(|ended| ended.add_usage(&usage));
            return Ok(ExitStatus::from_raw(status));
        } else {
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
    }
}

/// Lets a traced child go on: the first stop is its exec's, the one before its end is when it is weighed,
/// any other is a signal that it is given. A request that fails means that the child was killed meanwhile,
/// which the next wait reports.
fn resume(pid: Pid, status: libc::c_int, traced: &mut bool) {
    let event = status >> 16;
    let mut signal = None;
    if !*traced {
        *traced = true;
        // A program that replaces itself by another, as a wrapper does, would else get a SIGTRAP of its own.
        let options = ptrace::Options::PTRACE_O_TRACEEXIT
            | ptrace::Options::PTRACE_O_TRACEEXEC
            | ptrace::Options::PTRACE_O_EXITKILL;
        let _ = ptrace::setoptions(pid, options);
    } else if event == libc::PTRACE_EVENT_EXIT {
        if let (Some(before), Some(peak)) = (WEIGHING.get(), peak_resident(pid)) {
            WEIGHING.set(Some(before.max(peak)));
        }
    } else if event != libc::PTRACE_EVENT_EXEC {
        signal = Signal::try_from(libc::WSTOPSIG(status)).ok();
    }
    let _ = ptrace::cont(pid, signal);
}

/// `VmHWM` of a process, bytes.
fn peak_resident(pid: Pid) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes * 1024)
}

fn no_usage() -> libc::rusage {
    // SAFETY: all-zero bytes are a valid `rusage`, a struct of integers.
    unsafe { std::mem::zeroed() }
}

const fn timeval_ns(t: libc::timeval) -> u64 {
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
    fn a_child_that_dies_by_a_signal_ends_by_that_signal() {
        for (name, signal) in [("TERM", 15), ("ABRT", 6), ("KILL", 9)] {
            let script = format!("kill -{name} $$; sleep 60");
            let done = run(Command::new("sh").args(["-c", &script]), b"").unwrap();
            assert_eq!(done.status.signal(), Some(signal), "{name}");
        }
    }

    #[test]
    fn what_a_tool_used_is_told_whether_it_was_weighed_or_not() {
        let script = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done";
        let busy = || run(Command::new("sh").args(["-c", script]), b"").unwrap();
        for weighed in [false, true] {
            let before = tools_usage().cpu_ns();
            let start = crate::clock::now();
            match weighed {
                true => drop(weighing(busy)),
                false => drop(busy()),
            }
            let (elapsed_ns, used_ns) = (start.elapsed_ns(), tools_usage().cpu_ns() - before);
            assert!(
                used_ns > 0 && used_ns <= elapsed_ns,
                "{used_ns} {elapsed_ns}"
            );
        }
    }

    #[test]
    fn tools_that_wait_for_a_processor_are_seen_to_and_none_is_left_behind() {
        let before = tools_run_delay_ns();
        // Two children on one CPU: each waits while the other runs.
        let cpu = crate::thread::allowed_cpus().unwrap()[0];
        let busy = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done";
        let both = format!("taskset -cp {cpu} $$ >/dev/null; ({busy}) & {busy}; wait");
        let mut ended = Vec::new();
        for _ in 0..UNASKED + 2 {
            run(&mut Command::new("true"), b"").unwrap();
            ENDED.with_borrow(|e| ended.push(e.pids.len()));
        }
        assert!(ended.iter().all(|&unasked| unasked <= UNASKED), "{ended:?}");
        run(Command::new("sh").args(["-c", &both]), b"").unwrap();
        let waited = tools_run_delay_ns() - before;
        assert!(ENDED.with_borrow(|e| e.pids.is_empty()));
        if crate::thread::run_delay_ns().is_some() {
            assert!(waited > 0, "{waited} ns");
        }
    }

    #[test]
    fn a_child_that_ignores_a_large_input_is_no_error_of_ours() {
        let done = run(&mut Command::new("true"), &vec![b'x'; 1 << 20]).unwrap();
        assert!(done.status.success());
    }

    const MEGABYTE: u64 = 1 << 20;

    /// A shell that holds a variable of about `megabytes`, which it has written.
    fn holding(megabytes: u64) -> Command {
        let mut command = Command::new("sh");
        let script = format!(
            "x=$(head -c {} /dev/zero | tr '\\0' x); exit 7",
            megabytes * MEGABYTE
        );
        command.args(["-c", &script]);
        command
    }

    /// The weight of a command, unless this machine does not let its children be traced, which is said
    /// aloud and, with `BENCH_REQUIRE=netns`, is a failure.
    fn weight(command: &mut Command) -> Option<(Finished, u64)> {
        let (done, peak) = weighing(|| run(command, b"").unwrap());
        if peak.is_none()
            && weighing(|| run(&mut Command::new("true"), b"").unwrap())
                .1
                .is_none()
        {
            testing::skip("netns", "children cannot be traced here");
            return None;
        }
        Some((done, peak.expect("a weighed child has a weight")))
    }

    #[test]
    fn a_child_s_weight_is_its_own_and_not_its_parent_s() {
        // This process is large, and has been larger, when it starts the child.
        let ours = vec![1_u8; 200 * MEGABYTE as usize];
        let Some((_, small)) = weight(&mut Command::new("true")) else {
            return;
        };
        let (done, large) = weight(&mut holding(64)).unwrap();
        assert_eq!(done.status.code(), Some(7));
        assert!(ours.iter().all(|&b| b == 1));
        assert!(small > 0 && small < 16 * MEGABYTE, "small: {small}");
        assert!(
            large > 64 * MEGABYTE && large < 190 * MEGABYTE,
            "large: {large}"
        );
    }

    #[test]
    fn the_largest_of_several_children_counts() {
        let both = weighing(|| {
            run(&mut holding(32), b"").unwrap();
            run(&mut Command::new("true"), b"").unwrap();
        });
        if let Some((_, alone)) = weight(&mut Command::new("true")) {
            assert!(both.1.unwrap() > alone + 16 * MEGABYTE);
        }
    }

    #[test]
    fn a_weighed_child_that_dies_by_a_signal_ends_by_that_signal() {
        for (name, signal) in [("TERM", 15), ("ABRT", 6), ("KILL", 9)] {
            let script = format!("kill -{name} $$; sleep 60");
            let (done, _) =
                weighing(|| run(Command::new("sh").args(["-c", &script]), b"").unwrap());
            assert_eq!(done.status.signal(), Some(signal), "{name}");
        }
    }

    #[test]
    fn a_weighed_wrapper_becomes_the_program_that_it_starts_and_that_is_weighed() {
        let script = "exec sh -c 'exit 6'";
        let (done, _) = weighing(|| run(Command::new("sh").args(["-c", script]), b"").unwrap());
        assert_eq!(done.status.code(), Some(6));
        let mut large = holding(32);
        let words: Vec<_> = std::iter::once(large.get_program())
            .chain(large.get_args())
            .map(std::ffi::OsStr::to_owned)
            .collect();
        let mut wrapped = Command::new("sh");
        wrapped.args(["-c", "exec \"$@\"", "sh"]).args(words);
        if let (Some((_, own)), Some((_, through))) = (weight(&mut large), weight(&mut wrapped)) {
            assert!(through.abs_diff(own) < 4 * MEGABYTE, "{own} {through}");
        }
    }

    #[test]
    fn a_weighed_child_still_handles_its_own_signals() {
        let script = "trap 'exit 5' USR1; kill -USR1 $$; exit 1";
        let (done, _) = weighing(|| run(Command::new("sh").args(["-c", script]), b"").unwrap());
        assert_eq!(done.status.code(), Some(5));
    }

    #[test]
    fn a_weighed_child_that_cannot_start_is_an_error_and_weighs_nothing() {
        let (done, peak) = weighing(|| run(&mut Command::new("/no/such/program"), b""));
        assert_eq!(done.unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(peak, None);
    }

    #[test]
    fn without_a_child_there_is_no_weight_and_afterwards_children_are_not_traced() {
        assert_eq!(weighing(|| 3), (3, None));
        // Weighed once, a command is not traced when it runs again by itself.
        let mut command = Command::new("true");
        weighing(|| run(&mut command, b"").unwrap());
        assert!(run(&mut command, b"").unwrap().status.success());
        assert_eq!(WEIGHING.get(), None);
    }
}
