//! A session: commands go out, listings come back.

use std::ffi::CString;
use std::fmt;
use std::ops::Range;

use nix::errno::Errno;

use crate::bindings::IPSET_ERR_FIND_TYPE;
use crate::command::{Command, Create, Entry, SetType};
use crate::dump::{Broken, Dump};
use crate::error::{Cause, Error};
use crate::framing::frame;
use crate::library::{Act, Argument, Library, Refusal, Turn, TypeRef, turn};
use crate::listing::{self, Set};

/// Longest name of a set, bytes (`IPSET_MAXNAMELEN` less the terminating NUL).
const LONGEST_NAME: usize = 31;

/// One libipset session, for the network namespace of the thread that opened it; its sockets stay there
/// wherever the thread goes. Not `Send`. Sessions of several threads take turns, call by call.
///
/// An error leaves the session usable and the kernel's sets as they are.
pub struct Session {
    library: Library,
    dump: Dump,
    types: [Result<TypeRef, Refusal>; SetType::ALL.len()],
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

impl Session {
    /// Opens a session in the calling thread's network namespace, and asks the kernel for the set types,
    /// so that [`Self::send`] sends nothing but the commands.
    ///
    /// # Errors
    /// No nfnetlink or ip_set in this kernel, or no `CAP_NET_ADMIN` ([`Error::missing_facility`] tells
    /// which); a protocol version that libipset does not speak; no file descriptor left. A set type that
    /// is missing is an error only of a command that needs it.
    pub fn open() -> Result<Self, Error> {
        let failed = |refusal: Refusal| Error::Open {
            cause: match refusal.cause {
                // nfnetlink's answer where nobody registered the subsystem (nfnetlink_rcv_msg)
                Cause::Kernel(code) if code == Errno::EINVAL as u32 => Cause::Missing("ip_set"),
                Cause::System(Errno::EPROTONOSUPPORT | Errno::EAFNOSUPPORT) => {
                    Cause::Missing("nfnetlink")
                }
                other => unprivileged(other),
            },
            reason: refusal.reason,
        };
        let mut library = Library::new().map_err(failed)?;
        let turn = turn(); // after the library, for whose end it must be given up
        let hello = library.connect(&turn);
        let types = match &hello {
            Ok(()) => SetType::ALL.map(|of| library.resolve(&turn, of)),
            Err(refusal) => SetType::ALL.map(|_| Err(refusal.clone())),
        };
        library.clear_report(&turn); // a warning about protocol versions is no error
        drop(turn);
        hello.map_err(failed)?;
        let dump = Dump::open().map_err(|errno| {
            failed(Refusal {
                line: None,
                reason: errno.desc().to_owned(),
                cause: Cause::System(errno),
            })
        })?;
        Ok(Self {
            library,
            dump,
            types,
        })
    }

    /// Carries out all commands, in order, in as many netlink messages as [`crate::messages`] says. When
    /// this returns the kernel has answered for all of them.
    ///
    /// # Errors
    /// The first refused command. What came before it has been carried out; nothing after it was sent,
    /// except that a message's adds (deletes) before the refused one are carried out too. Names that are
    /// not 1 to 31 bytes without white space are refused before anything is sent.
    pub fn send(&mut self, commands: &[Command]) -> Result<(), Error> {
        let turn = turn();
        for (index, command) in commands.iter().enumerate() {
            command
                .names()
                .try_for_each(|name| self.check_name(&turn, name))
                .map_err(|refusal| refused(commands, index, refusal))?;
        }
        for message in frame(commands) {
            self.send_message(&turn, commands, message.commands)?;
        }
        Ok(())
    }

    /// All sets that the kernel lists in the session's namespace, with their entries. Of an entry's
    /// options only `skbmark` is kept.
    ///
    /// # Errors
    /// The kernel's refusal; [`Error::Foreign`] for a set with entries that an [`Entry`] cannot express, such
    /// as a `list:set` or one of IPv6.
    pub fn sets(&mut self) -> Result<Vec<Set>, Error> {
        let mut sets = Vec::new();
        match self
            .dump
            .sets(|message| listing::take_in(&mut sets, message))
        {
            Ok(taken) => taken.map(|()| sets),
            Err(Broken::Torn) => Err(Error::Torn),
            Err(Broken::System(errno)) => Err(Error::List {
                reason: errno.desc().to_owned(),
                cause: Cause::System(errno),
            }),
            Err(Broken::Answer(code)) => Err(Error::List {
                reason: self.library.explain(&turn(), Act::List, code),
                cause: unprivileged(Cause::Kernel(code)),
            }),
        }
    }

    /// One message: a run of adds or deletes to one set, or a command of its own.
    fn send_message(
        &mut self,
        turn: &Turn,
        commands: &[Command],
        range: Range<usize>,
    ) -> Result<(), Error> {
        let first = range.start;
        // The kernel names the refused line of a message; ours are places in `commands`, from 1.
        let place = |refusal: &Refusal| {
            refusal
                .line
                .and_then(|line| (line as usize).checked_sub(1))
                .filter(|index| range.contains(index))
                .unwrap_or(first)
        };
        let mut given = Ok(());
        for index in range.clone() {
            given = self.give(turn, &commands[index], index as u32 + 1);
            if given.is_err() {
                self.library.forget(turn);
                break;
            }
        }
        // Also after an error, for what came before it: entries that libipset holds back.
        self.library
            .commit(turn, act_of(&commands[first]))
            .and(given)
            .map_err(|refusal| refused(commands, place(&refusal), refusal))
    }

    /// Hands one command to libipset, which sends it or, for adds and deletes, keeps it for the commit.
    fn give(&mut self, turn: &Turn, command: &Command, line: u32) -> Result<(), Refusal> {
        let mut names = [[0; LONGEST_NAME + 1]; 2];
        let mut names = names.iter_mut().zip(command.names()).map(|(room, name)| {
            room[..name.len()].copy_from_slice(name.as_bytes());
            std::ffi::CStr::from_bytes_until_nul(room).unwrap_or_default()
        });
        let mut taken = true;
        let mut set = |library: &mut Library, argument| taken &= library.set(turn, argument);
        if let Some(name) = names.next() {
            set(&mut self.library, Argument::Name(name));
        }
        if let Some(name) = names.next() {
            set(&mut self.library, Argument::SecondName(name));
        }
        match command {
            Command::Create(create) => {
                let of = self.type_for(create, line)?;
                set(
                    &mut self.library,
                    Argument::TypeName(create.set_type.c_name()),
                );
                set(&mut self.library, Argument::Type(of));
                let options = match create.set_type.is_bitmap() {
                    true => [Argument::Port(0), Argument::LastPort(u16::MAX)],
                    false => [Argument::Ipv4, Argument::MaxElements(create.max_elements)],
                };
                for option in options {
                    set(&mut self.library, option);
                }
                let hash_size = create.hash_size.filter(|_| !create.set_type.is_bitmap());
                if let Some(buckets) = hash_size {
                    set(&mut self.library, Argument::HashSize(buckets));
                }
                if create.skbinfo {
                    set(&mut self.library, Argument::Skbinfo);
                }
            }
            Command::Add(_, entry) => {
                // libipset needs the type to word errors, and would ask the kernel for it.
                let of = self.resolved(entry.set_type(), line)?;
                set(&mut self.library, Argument::Type(of));
                each_argument(entry, |argument| set(&mut self.library, argument));
            }
            Command::Delete(_, entry) => {
                let of = self.resolved(entry.set_type(), line)?;
                set(&mut self.library, Argument::Type(of));
                let mark = None;
                each_argument(&Entry { mark, ..*entry }, |argument| {
                    set(&mut self.library, argument)
                });
            }
            Command::Destroy(_) | Command::Flush(_) | Command::Swap(..) => {}
        }
        if !taken {
            return Err(Refusal {
                line: Some(line),
                reason: "libipset does not take its arguments".to_owned(),
                cause: Cause::Library,
            });
        }
        self.library.run(turn, act_of(command), line)
    }

    fn resolved(&self, of: SetType, line: u32) -> Result<TypeRef, Refusal> {
        let place = SetType::ALL.iter().position(|&t| t == of).unwrap_or(0);
        self.types[place].clone().map_err(|refusal| Refusal {
            line: Some(line),
            cause: match refusal.cause {
                Cause::Kernel(IPSET_ERR_FIND_TYPE) => Cause::Missing(of.name()),
                // libipset compared its revisions with the kernel's, and has none in common
                Cause::Library => Cause::Missing(of.names().revision),
                other => other,
            },
            reason: refusal.reason,
        })
    }

    fn type_for(&self, create: &Create, line: u32) -> Result<TypeRef, Refusal> {
        let of = self.resolved(create.set_type, line)?;
        if create.skbinfo && !of.has_skbinfo() {
            let facility = create.set_type.names().skbinfo;
            return Err(Refusal {
                line: Some(line),
                reason: format!("this kernel or libipset has no {facility}"),
                cause: Cause::Missing(facility),
            });
        }
        Ok(of)
    }

    fn check_name(&mut self, turn: &Turn, name: &str) -> Result<(), Refusal> {
        let refusal = |reason: &str| {
            Err(Refusal {
                line: None,
                reason: reason.to_owned(),
                cause: Cause::Library,
            })
        };
        let bytes = name.as_bytes();
        if bytes.is_empty() {
            return refusal("the name of a set is empty");
        }
        if bytes.iter().any(|&b| b.is_ascii_whitespace() || b == 0) {
            return refusal("the name of a set holds white space or NUL");
        }
        if bytes.len() <= LONGEST_NAME {
            return Ok(());
        }
        let name = CString::new(name).unwrap_or_default();
        self.library.check_name(turn, &name)?;
        refusal("the name of a set is longer than 31 bytes")
    }
}

const fn act_of(command: &Command) -> Act {
    match command {
        Command::Create(_) => Act::Create,
        Command::Destroy(_) => Act::Destroy,
        Command::Flush(_) => Act::Flush,
        Command::Swap(..) => Act::Swap,
        Command::Add(..) => Act::Add,
        Command::Delete(..) => Act::Delete,
    }
}

fn each_argument(entry: &Entry, mut set: impl FnMut(Argument<'static>)) {
    set(Argument::Ipv4);
    set(Argument::Address(entry.address));
    if entry.protocol != 0 {
        set(Argument::Protocol(entry.protocol));
        set(Argument::Port(entry.port));
    }
    if let Some(second) = entry.second {
        set(Argument::SecondAddress(second));
    }
    if let Some(mark) = entry.mark {
        set(Argument::Mark(mark));
    }
}

fn refused(commands: &[Command], index: usize, refusal: Refusal) -> Error {
    Error::Refused {
        index,
        command: Box::new(commands[index].clone()),
        reason: refusal.reason,
        cause: unprivileged(refusal.cause),
    }
}

/// nfnetlink answers EPERM to whoever lacks `CAP_NET_ADMIN` in the namespace's owner.
fn unprivileged(cause: Cause) -> Cause {
    match cause {
        Cause::Kernel(code) if code == Errno::EPERM as u32 => Cause::Missing("CAP_NET_ADMIN"),
        other => other,
    }
}
