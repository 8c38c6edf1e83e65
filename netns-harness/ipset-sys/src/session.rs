//! A session: commands go out, listings come back.

use std::ffi::CString;
use std::fmt;
use std::ops::Range;

use netlink::{Socket, attribute, flags, write};
use nix::errno::Errno;
use nix::sys::socket::SockProtocol;

use crate::bindings as c;
use crate::command::{Command, Create, Entry, Family, SetType};
use crate::error::{Cause, Error, Facility};
use crate::framing::frame;
use crate::library::{Argument, Library, Refusal, Turn, TypeRef, turn};
use crate::listing::{self, Set};

/// Longest name of a set, bytes (`IPSET_MAXNAMELEN` less the terminating NUL).
const LONGEST_NAME: usize = 31;
/// `NFNL_SUBSYS_IPSET` (`include/uapi/linux/netfilter/nfnetlink.h`), and the command.
const LIST: u16 = 6 << 8 | c::IPSET_CMD_LIST as u16;
/// `struct nfgenmsg`: family, version, resource.
const IPV4: [u8; 4] = [c::NFPROTO_IPV4 as u8, 0, 0, 0];

/// One libipset session, for the network namespace of the thread that opened it; its sockets stay there
/// wherever the thread goes. Not `Send`. Sessions of several threads take turns, call by call.
///
/// An error leaves the session usable and the kernel's sets as they are.
pub struct Session {
    library: Library,
    /// Listings are read from it, beside libipset's own.
    listings: Socket,
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
                Cause::Kernel(code) if code == Errno::EINVAL as u32 => {
                    Cause::Missing(Facility::IpSet)
                }
                Cause::System(Errno::EPROTONOSUPPORT | Errno::EAFNOSUPPORT) => {
                    Cause::Missing(Facility::Nfnetlink)
                }
                other => other.or_unprivileged(),
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
        Ok(Self {
            library,
            listings: Socket::open(SockProtocol::NetlinkNetFilter, IPV4.len())?,
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
    /// as a `list:set`.
    pub fn sets(&mut self) -> Result<Vec<Set>, Error> {
        // Without an acknowledgement asked for a refusal is not told (`ip_set_dump` in ip_set_core.c).
        let request = |sequence| {
            let mut out = Vec::new();
            write(
                &mut out,
                LIST,
                flags::ACK | flags::DUMP,
                sequence,
                &IPV4,
                |out| {
                    attribute(
                        out,
                        c::IPSET_ATTR_PROTOCOL as u16,
                        &[c::IPSET_PROTOCOL as u8],
                    );
                },
            );
            out
        };
        let (mut sets, mut taken) = (Vec::new(), Ok(()));
        self.listings.dump("sets", request, |_, message| {
            // Read to its end, whatever it holds: the kernel begins no other before.
            if taken.is_ok() {
                taken = listing::take_in(&mut sets, message);
            }
            Ok(())
        })?;
        taken?;
        Ok(sets)
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
                    false => [
                        Argument::Family(create.family),
                        Argument::MaxElements(create.max_elements),
                    ],
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
            Command::Add(_, entry) | Command::Delete(_, entry) => {
                // libipset needs the type to word errors, and would ask the kernel for it.
                let of = self.resolved(entry.set_type(), line)?;
                set(&mut self.library, Argument::Type(of));
                let mark = entry.mark.filter(|_| matches!(command, Command::Add(..)));
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

    /// The newest revision of a set type that libipset and the kernel both know; `None` where there is none.
    #[must_use]
    pub fn revision(&self, of: SetType) -> Option<u8> {
        self.resolved(of, 0).ok().map(TypeRef::revision)
    }

    fn resolved(&self, of: SetType, line: u32) -> Result<TypeRef, Refusal> {
        let place = SetType::ALL.iter().position(|&t| t == of).unwrap_or(0);
        self.types[place].clone().map_err(|refusal| Refusal {
            line: Some(line),
            cause: match refusal.cause {
                Cause::Kernel(c::IPSET_ERR_FIND_TYPE) => Cause::Missing(Facility::Type(of)),
                // libipset compared its revisions with the kernel's, and has none in common
                Cause::Library => Cause::Missing(Facility::Revision(of)),
                other => other,
            },
            reason: refusal.reason,
        })
    }

    fn type_for(&self, create: &Create, line: u32) -> Result<TypeRef, Refusal> {
        let of = self.resolved(create.set_type, line)?;
        if create.skbinfo && !of.has_skbinfo() {
            let facility = Facility::Skbinfo(create.set_type);
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

const fn act_of(command: &Command) -> c::ipset_cmd {
    match command {
        Command::Create(_) => c::IPSET_CMD_CREATE,
        Command::Destroy(_) => c::IPSET_CMD_DESTROY,
        Command::Flush(_) => c::IPSET_CMD_FLUSH,
        Command::Swap(..) => c::IPSET_CMD_SWAP,
        Command::Add(..) => c::IPSET_CMD_ADD,
        Command::Delete(..) => c::IPSET_CMD_DEL,
    }
}

fn each_argument(entry: &Entry, mut set: impl FnMut(Argument<'static>)) {
    if entry.set_type().is_bitmap() {
        set(Argument::Port(entry.port));
        return;
    }
    set(Argument::Family(Family::of(entry.address)));
    set(Argument::Address(entry.address));
    if entry.protocol != 0 {
        set(Argument::Protocol(entry.protocol));
        set(Argument::Port(entry.port));
    }
    if let Some(second) = entry.second {
        set(Argument::SecondAddress(second));
    }
    match (entry.prefix, entry.second) {
        (None, _) => {}
        (Some(prefix), None) => set(Argument::Prefix(prefix)),
        (Some(prefix), Some(_)) => set(Argument::SecondPrefix(prefix)),
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
        cause: refusal.cause.or_unprivileged(),
    }
}
