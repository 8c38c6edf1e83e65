//! The calls into libipset, each once, behind safe methods. All `unsafe` of this crate is here.
//!
//! libipset keeps process-wide state without locks: the list of set types with what the kernel was found
//! to support (lib/types.c), its cache of set names, one `jmp_buf` for printing (lib/session.c). So every
//! call needs the [`Turn`], which one thread has at a time.

use std::ffi::{CStr, c_void};
use std::fs::File;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::ptr::{self, NonNull};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::socket::{NetlinkAddr, getsockname};

use crate::bindings as c;
use crate::command::{Family, Mark, SetType};
use crate::error::Cause;

static TURN: Mutex<()> = Mutex::new(());
static TYPES: Once = Once::new();

/// The right to call libipset.
pub(crate) struct Turn {
    _guard: MutexGuard<'static, ()>,
}

/// Waits for the right to call libipset.
pub(crate) fn turn() -> Turn {
    // The mutex protects no value of ours, so a panic elsewhere leaves nothing half done.
    let guard = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    Turn { _guard: guard }
}

/// A revision of a set type that both libipset and the kernel know. The library's types are never freed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TypeRef(NonNull<c::ipset_type>);

impl TypeRef {
    /// Which revision it is.
    pub(crate) fn revision(self) -> u8 {
        // SAFETY: the library's type, alive as long as the process, and never written.
        unsafe { (*self.0.as_ptr()).revision }
    }

    /// Whether sets of it can be made with `skbinfo`.
    pub(crate) fn has_skbinfo(self) -> bool {
        // SAFETY: the library's type, alive as long as the process; `args` is filled when types are loaded
        // and not written afterwards.
        let create = unsafe { (*self.0.as_ptr()).cmd[c::IPSET_CREATE as usize].args };
        create
            .iter()
            .take_while(|&&argument| argument != c::IPSET_ARG_NONE)
            .any(|&argument| argument == c::IPSET_ARG_SKBINFO)
    }
}

/// One typed argument of the next command.
#[derive(Clone, Copy)]
pub(crate) enum Argument<'a> {
    Name(&'a CStr),
    SecondName(&'a CStr),
    TypeName(&'a CStr),
    Type(TypeRef),
    /// Comes before an address.
    Family(Family),
    Address(IpAddr),
    SecondAddress(IpAddr),
    Prefix(u8),
    SecondPrefix(u8),
    Protocol(u8),
    Port(u16),
    LastPort(u16),
    MaxElements(u32),
    HashSize(u32),
    Skbinfo,
    Mark(Mark),
}

/// `union nf_inet_addr`: an address of IPv4 is its first word.
fn network_order(address: IpAddr) -> [u32; 4] {
    let mut union = [0; 4];
    match address {
        IpAddr::V4(address) => union[0] = u32::from_ne_bytes(address.octets()),
        IpAddr::V6(address) => {
            let octets = address.octets();
            let words = octets.as_chunks::<4>().0.iter().zip(&mut union);
            words.for_each(|(octets, word)| *word = u32::from_ne_bytes(*octets));
        }
    }
    union
}

/// What libipset reported, and what that means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Line of the refused command, where libipset names one.
    pub(crate) line: Option<u32>,
    /// libipset's text, without the line.
    pub(crate) reason: String,
    pub(crate) cause: Cause,
}

/// A libipset session.
pub(crate) struct Library {
    session: NonNull<c::ipset_session>,
}

impl Library {
    /// A session without a socket yet.
    pub(crate) fn new() -> Result<Self, Refusal> {
        let _turn = turn();
        // SAFETY: registers the types that are linked into the library, under the turn and once, for a
        // second time would register them twice.
        TYPES.call_once(|| unsafe { c::ipset_load_types() });
        // SAFETY: no output function of ours; the library's own is only called when it lists, which is not
        // asked of it.
        let session = unsafe { c::ipset_session_init(None, ptr::null_mut()) };
        let session = NonNull::new(session).ok_or_else(|| Refusal {
            line: None,
            reason: "libipset made no session".to_owned(),
            cause: Cause::System(Errno::ENOMEM),
        })?;
        Ok(Self { session })
    }

    /// Sets an argument of the next command; false if libipset does not take it.
    pub(crate) fn set(&mut self, _turn: &Turn, argument: Argument<'_>) -> bool {
        match argument {
            Argument::Name(name) => self.pass(c::IPSET_SETNAME, name.as_ptr()),
            Argument::SecondName(name) => self.pass(c::IPSET_OPT_SETNAME2, name.as_ptr()),
            Argument::TypeName(name) => self.pass(c::IPSET_OPT_TYPENAME, name.as_ptr()),
            Argument::Type(TypeRef(of)) => self.pass(c::IPSET_OPT_TYPE, of.as_ptr()),
            Argument::Family(family) => {
                let family = match family {
                    Family::Inet => c::NFPROTO_IPV4,
                    Family::Inet6 => c::NFPROTO_IPV6,
                };
                self.pass(c::IPSET_OPT_FAMILY, &(family as u8))
            }
            Argument::Address(address) => self.pass(c::IPSET_OPT_IP, &network_order(address)),
            Argument::SecondAddress(address) => {
                self.pass(c::IPSET_OPT_IP2, &network_order(address))
            }
            Argument::Prefix(prefix) => self.pass(c::IPSET_OPT_CIDR, &prefix),
            Argument::SecondPrefix(prefix) => self.pass(c::IPSET_OPT_CIDR2, &prefix),
            Argument::Protocol(protocol) => self.pass(c::IPSET_OPT_PROTO, &protocol),
            Argument::Port(port) => self.pass(c::IPSET_OPT_PORT, &port),
            Argument::LastPort(port) => self.pass(c::IPSET_OPT_PORT_TO, &port),
            Argument::MaxElements(max) => self.pass(c::IPSET_OPT_MAXELEM, &max),
            Argument::HashSize(buckets) => self.pass(c::IPSET_OPT_HASHSIZE, &buckets),
            Argument::Skbinfo => self.pass(c::IPSET_OPT_SKBINFO, &1_u32),
            Argument::Mark(Mark { value, mask }) => {
                let both = u64::from(value) << 32 | u64::from(mask);
                self.pass(c::IPSET_OPT_SKBMARK, &both)
            }
        }
    }

    /// Hands a value to libipset, which copies it (a type is kept by its address).
    fn pass<T>(&mut self, option: c::ipset_opt, value: *const T) -> bool {
        // SAFETY: a live session and its own data; only `set` calls this, with values of the type that
        // lib/data.c reads for each option: NUL-terminated names, addresses in network order in the
        // sixteen aligned bytes of `union nf_inet_addr` (their family is set before them), integers of the widths of `struct ipset_data`.
        unsafe {
            let data = c::ipset_session_data(self.session.as_ptr());
            c::ipset_data_set(data, option, value.cast::<c_void>()) == 0
        }
    }

    /// Asks for the kernel's protocol version, once a session, which opens the socket, in the thread's network
    /// namespace.
    pub(crate) fn connect(&mut self, turn: &Turn) -> Result<(), Refusal> {
        // libmnl opens the socket inheritable and libipset does not tell its number: it is the lowest free.
        // A started server that inherited it would keep the namespace alive.
        let next = File::open("/dev/null").map(|file| file.as_raw_fd());
        let result = self.run(turn, c::IPSET_CMD_NONE, 0);
        if let Ok(number) = next {
            close_on_exec(number);
        }
        result
    }

    /// Carries out `act` with the arguments set before, which are gone afterwards. Adds and deletes with a
    /// `line` above 0 wait for [`Self::commit`]; their errors come then, with the line of the refused one.
    pub(crate) fn run(&mut self, turn: &Turn, act: c::ipset_cmd, line: u32) -> Result<(), Refusal> {
        Errno::clear();
        // SAFETY: a live session; nothing of ours is borrowed by it.
        let status = unsafe { c::ipset_cmd(self.session.as_ptr(), act, line) };
        self.verdict(turn, act, status)
    }

    /// Sends what waits.
    pub(crate) fn commit(&mut self, turn: &Turn, act: c::ipset_cmd) -> Result<(), Refusal> {
        Errno::clear();
        // SAFETY: a live session.
        let status = unsafe { c::ipset_commit(self.session.as_ptr()) };
        self.verdict(turn, act, status)
    }

    /// The newest revision of a type that libipset and the kernel both know. The kernel is asked once a
    /// process and type, if it knows it; a kernel with modules loads that of the type.
    pub(crate) fn resolve(&mut self, turn: &Turn, of: SetType) -> Result<TypeRef, Refusal> {
        self.set(turn, Argument::TypeName(of.c_name()));
        if !of.is_bitmap() {
            // A type has the same revisions for both.
            self.set(turn, Argument::Family(Family::Inet));
        }
        Errno::clear();
        // SAFETY: a live session with name and family of the type set.
        let found = unsafe { c::ipset_type_get(self.session.as_ptr(), c::IPSET_CMD_CREATE) };
        let found = NonNull::new(found.cast_mut()).map(TypeRef);
        let result = found.ok_or_else(|| self.refusal(turn, c::IPSET_CMD_TYPE, Errno::last()));
        self.forget(turn);
        result
    }

    /// libipset's words about a set's name, if it refuses it.
    pub(crate) fn check_name(&mut self, turn: &Turn, name: &CStr) -> Result<(), Refusal> {
        Errno::clear();
        // SAFETY: a live session and a NUL-terminated name.
        let status = unsafe {
            c::ipset_parse_setname(self.session.as_ptr(), c::IPSET_SETNAME, name.as_ptr())
        };
        let result = self.verdict(turn, c::IPSET_CMD_NONE, status);
        self.forget(turn);
        result
    }

    /// Drops arguments that were set.
    pub(crate) fn forget(&mut self, _turn: &Turn) {
        // SAFETY: a live session and its own data.
        unsafe { c::ipset_data_reset(c::ipset_session_data(self.session.as_ptr())) };
    }

    fn verdict(&mut self, turn: &Turn, act: c::ipset_cmd, status: i32) -> Result<(), Refusal> {
        match status {
            0.. => Ok(()),
            _ => Err(self.refusal(turn, act, Errno::last())),
        }
    }

    /// Reads and clears the report. Its text is all that libipset tells about an error; which answer of the
    /// kernel it stands for is found by asking libipset for its text of each.
    fn refusal(&mut self, turn: &Turn, act: c::ipset_cmd, errno: Errno) -> Refusal {
        let report = self.report(turn);
        let (line, reason) = split_line(&report);
        // SAFETY: a live session. Without a line its reports have none.
        unsafe { c::ipset_session_lineno(self.session.as_ptr(), 0) };
        let asked = match act {
            c::IPSET_CMD_NONE => c::IPSET_CMD_PROTOCOL,
            act => act,
        };
        let answer = ANSWERS
            .iter()
            .flat_map(Clone::clone)
            .find(|&code| self.words(turn, asked, code) == reason);
        let cause = match answer {
            Some(code) => Cause::Kernel(code),
            None if errno as i32 != 0 => Cause::System(errno),
            None => Cause::Library,
        };
        let reason = reason.to_owned();
        self.clear_report(turn);
        self.forget(turn);
        Refusal {
            line,
            reason,
            cause,
        }
    }

    /// libipset's text for an answer of the kernel.
    fn words(&mut self, turn: &Turn, command: c::ipset_cmd, code: u32) -> String {
        self.clear_report(turn);
        // SAFETY: a live session; reports into its own buffer.
        unsafe { c::ipset_errcode(self.session.as_ptr(), command, code as i32) };
        self.report(turn)
    }

    fn report(&self, _turn: &Turn) -> String {
        // SAFETY: the report is a NUL-terminated buffer inside the live session, copied before any other call.
        let text = unsafe { CStr::from_ptr(c::ipset_session_report_msg(self.session.as_ptr())) };
        text.to_string_lossy().trim_end().to_owned()
    }

    /// Forgets warnings and errors.
    pub(crate) fn clear_report(&mut self, _turn: &Turn) {
        // SAFETY: a live session.
        unsafe { c::ipset_session_report_reset(self.session.as_ptr()) };
    }
}

impl Drop for Library {
    /// Takes a turn: whoever holds one gives it up before.
    fn drop(&mut self) {
        let _turn = turn();
        // SAFETY: made by `new` and ended once.
        unsafe { c::ipset_session_fini(self.session.as_ptr()) };
    }
}

/// If `number` is a netlink socket. (Another thread may have taken the number; then nothing is done, or
/// what is wanted of every netlink socket.)
fn close_on_exec(number: RawFd) {
    // SAFETY: two system calls on whatever the number stands for, neither of which closes it; on a number
    // that is not open they fail.
    let socket = unsafe { BorrowedFd::borrow_raw(number) };
    if getsockname::<NetlinkAddr>(number).is_ok() {
        let _ = fcntl(socket, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC));
    }
}

/// Answers of a kernel that libipset has words for: errno, ip_set's own, those of a type.
const ANSWERS: [std::ops::RangeInclusive<u32>; 3] = [
    1..=133,
    c::IPSET_ERR_PRIVATE + 1..=c::IPSET_ERR_PRIVATE + 31,
    c::IPSET_ERR_TYPE_SPECIFIC..=c::IPSET_ERR_TYPE_SPECIFIC + 31,
];

/// "Error in line 7: reason" → (7, reason).
fn split_line(report: &str) -> (Option<u32>, &str) {
    report
        .strip_prefix("Error in line ")
        .and_then(|rest| rest.split_once(": "))
        .and_then(|(line, reason)| Some((Some(line.parse().ok()?), reason)))
        .unwrap_or((None, report))
}
