//! A socket in the network namespace of the thread that opened it: batches with every acknowledgement
//! checked, questions and dumps.

use std::fmt;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    self, AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, sockopt,
};
use nix::sys::time::TimeVal;

use crate::{Answer, Attributes, Batch, Error, Message, flags, messages};

/// Requests are carried out before `sendto` returns, though the commit of a transaction of many thousand
/// services can take a minute until then; an answer is due at once.
const ANSWER_SECONDS: u64 = 10;
/// What is asked for, as far as this process may have it: room for some ten thousand errors of one
/// transaction, each a small message that is charged as one of about 800 bytes.
const RECEIVE_BUFFER: usize = 8 << 20;
/// What an acknowledgement is charged to the receive buffer: a small message and its `sk_buff`, rounded up.
const CHARGED: usize = 1_280;
/// Larger than any datagram of a dump (af_netlink.c: 32 KiB).
const DATAGRAM: usize = 64 << 10;
/// Sequence numbers of questions start here, those of operations at 1.
const QUESTIONS: u32 = 1 << 31;
/// A dump is begun again when what it lists changes meanwhile.
const ATTEMPTS: u32 = 5;

/// Errors quote the refused message's header, not its up to 64 KiB of body.
#[derive(Debug, Clone, Copy)]
struct QuoteHeadersOnly;

nix::setsockopt_impl!(
    QuoteHeadersOnly,
    libc::SOL_NETLINK,
    libc::NETLINK_CAP_ACK,
    bool,
    sockopt::SetBool
);

/// A netlink socket. Open it before the part that is timed; it stays in the network namespace in which it was
/// opened, wherever its thread goes.
pub struct Socket {
    socket: OwnedFd,
    /// Bytes of the family's own header.
    header: usize,
    /// What the send buffer was made for.
    send_buffer: usize,
    /// Acknowledgements that the receive buffer holds for certain.
    room: usize,
    outgoing: Vec<u8>,
    incoming: Vec<u8>,
    question: u32,
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Socket")
            .field(&self.socket.as_raw_fd())
            .finish()
    }
}

impl Socket {
    /// Opens one in the calling thread's network namespace; the family's own header has `header` bytes.
    ///
    /// # Errors
    /// No such protocol in this kernel, or out of file descriptors.
    pub fn open(protocol: SockProtocol, header: usize) -> Result<Self, Error> {
        let failed = |errno| Error::System {
            act: "open a netlink socket".to_owned(),
            errno,
        };
        let socket = socket::socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            protocol,
        )
        .map_err(failed)?;
        socket::bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 0)).map_err(failed)?;
        let limit = TimeVal::new(ANSWER_SECONDS as i64, 0);
        socket::setsockopt(&socket, sockopt::ReceiveTimeout, &limit).map_err(failed)?;
        if socket::setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
            // Not privileged: as much as net.core.rmem_max allows.
            socket::setsockopt(&socket, sockopt::RcvBuf, &RECEIVE_BUFFER).map_err(failed)?;
        }
        let buffer = socket::getsockopt(&socket, sockopt::RcvBuf).map_err(failed)?;
        socket::setsockopt(&socket, QuoteHeadersOnly, &true).map_err(failed)?;
        Ok(Self {
            socket,
            header,
            send_buffer: 0,
            room: (buffer / CHARGED).max(1),
            // Written to: their pages are then there before anything is timed.
            outgoing: vec![u8::MAX; DATAGRAM],
            incoming: vec![u8::MAX; DATAGRAM],
            question: QUESTIONS,
        })
    }

    /// Bytes of the largest message that this process may send by that protocol, whose send buffer must hold
    /// it and 32 bytes more (`netlink_sendmsg` in net/netlink/af_netlink.c); `None` where SO_SNDBUFFORCE is
    /// allowed, which sets no limit of its own. Otherwise twice `net.core.wmem_max` (`sk_setsockopt` in
    /// net/core/sock.c), read back from a socket.
    ///
    /// # Errors
    /// A socket's options cannot be set or read.
    pub fn largest_send(protocol: SockProtocol) -> Result<Option<usize>, Error> {
        const OVERHEAD: usize = 32;
        let failed = |errno| Error::System {
            act: "find the largest send buffer".to_owned(),
            errno,
        };
        // A socket of its own: the size of another one would stay.
        let tried = Self::open(protocol, 0)?.socket;
        let most = (i32::MAX / 2) as usize;
        if socket::setsockopt(&tried, sockopt::SndBufForce, &most).is_ok() {
            return Ok(None);
        }
        socket::setsockopt(&tried, sockopt::SndBuf, &most).map_err(failed)?;
        let buffer = socket::getsockopt(&tried, sockopt::SndBuf).map_err(failed)?;
        Ok(Some(buffer.saturating_sub(OVERHEAD)))
    }

    /// Makes the send buffer large enough for so many bytes in one system call.
    pub fn make_room(&mut self, len: usize) {
        if len <= self.send_buffer {
            return;
        }
        // The kernel doubles what it is given, and a message needs its length and 32 bytes more.
        let forced = socket::setsockopt(&self.socket, sockopt::SndBufForce, &len);
        if forced.is_err() {
            // Not privileged: as much as net.core.wmem_max allows; the send says if it is too little.
            let _ = socket::setsockopt(&self.socket, sockopt::SndBuf, &len);
        }
        self.send_buffer = len;
    }

    /// Sends a batch, many messages a call, and reads every acknowledgement. `fill_in` completes the message
    /// that begins at the given place.
    ///
    /// # Errors
    /// The first refused operation; those of later sends were not sent.
    pub fn send<O: fmt::Display>(
        &mut self,
        batch: &Batch<O>,
        fill_in: impl Fn(&mut [u8], usize),
    ) -> Result<(), Error> {
        let count = batch.ops().len();
        let most = batch.most_per_send().min(self.room);
        let mut first = 0;
        while first < count {
            let last = (first + most).min(count);
            let (from, to) = (batch.start(first), batch.start(last));
            self.outgoing.clear();
            self.outgoing.extend_from_slice(&batch.bytes()[from..to]);
            for index in first..last {
                fill_in(&mut self.outgoing, batch.start(index) - from);
            }
            self.transmit(&self.outgoing, "operations")?;
            self.verdicts(batch, first, last)?;
            first = last;
        }
        Ok(())
    }

    /// Reads the acknowledgements of messages `first` to `last - 1`.
    fn verdicts<O: fmt::Display>(
        &mut self,
        batch: &Batch<O>,
        first: usize,
        last: usize,
    ) -> Result<(), Error> {
        const TORN: Error = Error::Torn {
            listing: "acknowledgement",
        };
        let mut next = first;
        let mut refused: Option<(usize, Errno)> = None;
        let mut further = 0;
        while next < last {
            for message in messages(self.datagram("an acknowledgement")?) {
                let message = message.map_err(|_| TORN)?;
                let Answer::Verdict(number) = message.answer(0).map_err(|_| TORN)? else {
                    continue;
                };
                // The kernel answers in the order of the messages.
                if message.sequence as usize != next + 1 {
                    return Err(TORN);
                }
                match (number, refused) {
                    (0, _) => {}
                    (number, None) => refused = Some((next, Errno::from_raw(number))),
                    (_, Some(_)) => further += 1,
                }
                next += 1;
            }
        }
        match refused {
            None => Ok(()),
            Some((index, errno)) => Err(Error::Refused {
                operation: batch.ops()[index].to_string(),
                sequence: index as u32 + 1,
                errno,
                further,
            }),
        }
    }

    /// Asks for one object: its header and attributes go to `take`.
    ///
    /// # Errors
    /// The kernel's answer where it has none; or what `take` says.
    pub fn ask(
        &mut self,
        what: &'static str,
        request: impl FnOnce(u32) -> Vec<u8>,
        take: impl FnMut(&[u8], Attributes<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.question(what, request, false, take).map(drop)
    }

    /// Lists: each object's header and attributes go to `take`. False when what is listed changed meanwhile.
    ///
    /// # Errors
    /// The kernel's answer, or what `take` says.
    pub fn dump(
        &mut self,
        what: &'static str,
        request: impl FnOnce(u32) -> Vec<u8>,
        take: impl FnMut(&[u8], Attributes<'_>) -> Result<(), Error>,
    ) -> Result<bool, Error> {
        self.question(what, request, true, take)
    }

    /// Lists, and again until nothing changed meanwhile: what `each` makes of every object that has its share.
    ///
    /// # Errors
    /// As [`Socket::dump`], or it kept changing.
    pub fn list<T>(
        &mut self,
        what: &'static str,
        request: impl Fn(u32) -> Vec<u8>,
        mut each: impl FnMut(&[u8], Attributes<'_>) -> Result<Option<T>, Error>,
    ) -> Result<Vec<T>, Error> {
        for _ in 0..ATTEMPTS {
            let mut listed = Vec::new();
            if self.dump(what, &request, |header, attributes| {
                listed.extend(each(header, attributes)?);
                Ok(())
            })? {
                return Ok(listed);
            }
        }
        Err(Error::Unstable {
            listing: what,
            attempts: ATTEMPTS,
        })
    }

    fn question(
        &mut self,
        what: &'static str,
        request: impl FnOnce(u32) -> Vec<u8>,
        dump: bool,
        mut take: impl FnMut(&[u8], Attributes<'_>) -> Result<(), Error>,
    ) -> Result<bool, Error> {
        let sequence = self.next_sequence();
        self.transmit(&request(sequence), what)?;
        let header = self.header;
        let mut steady = true;
        self.answers(what, |message| {
            if message.sequence != sequence {
                return Ok(None); // the rest of a dump that was given up
            }
            steady &= message.flags & flags::DUMP_INTERRUPTED == 0;
            match message
                .answer(header)
                .map_err(|_| Error::Torn { listing: what })?
            {
                Answer::Object(header, attributes) => {
                    take(header, attributes)?;
                    Ok((!dump).then_some(steady))
                }
                Answer::Done(0) | Answer::Verdict(0) => Ok(Some(steady)),
                Answer::Done(number) | Answer::Verdict(number) => Err(Error::System {
                    act: format!("{} {what}", if dump { "list" } else { "ask for" }),
                    errno: Errno::from_raw(number),
                }),
            }
        })
    }

    /// Gives each message that the kernel answers with to `each`, datagram by datagram, until that has a
    /// result.
    ///
    /// # Errors
    /// What `each` says; no answer in time, or a torn one.
    pub fn answers<T, E: From<Error>>(
        &mut self,
        what: &'static str,
        mut each: impl FnMut(&Message<'_>) -> Result<Option<T>, E>,
    ) -> Result<T, E> {
        loop {
            for message in messages(self.datagram(what)?) {
                let message = message.map_err(|_| Error::Torn { listing: what })?;
                if let Some(result) = each(&message)? {
                    return Ok(result);
                }
            }
        }
    }

    /// The next question's number. Those of a batch count from 1 and are all answered before the next question.
    pub fn next_sequence(&mut self) -> u32 {
        self.question = QUESTIONS | self.question.wrapping_add(1);
        self.question
    }

    /// Sends bytes with one system call.
    ///
    /// # Errors
    /// The system's answer.
    pub fn transmit(&self, bytes: &[u8], what: &str) -> Result<(), Error> {
        let kernel = NetlinkAddr::new(0, 0);
        loop {
            match socket::sendto(self.socket.as_raw_fd(), bytes, &kernel, MsgFlags::empty()) {
                Ok(_) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(errno) => {
                    let act = format!("send {what} of {} bytes", bytes.len());
                    return Err(Error::System { act, errno });
                }
            }
        }
    }

    /// One datagram, waited for.
    fn datagram(&mut self, what: &str) -> Result<&[u8], Error> {
        self.receive(MsgFlags::empty())
            .map_err(|errno| match errno {
                Errno::EAGAIN => Self::silent(),
                errno => Error::System {
                    act: format!("receive {what}"),
                    errno,
                },
            })
    }

    /// The error of a kernel that has not answered in time.
    #[must_use]
    pub const fn silent() -> Error {
        Error::Silent {
            seconds: ANSWER_SECONDS,
        }
    }

    /// One datagram.
    ///
    /// # Errors
    /// EAGAIN when none comes in time; ENOBUFS when answers were lost.
    pub fn receive(&mut self, flags: MsgFlags) -> Result<&[u8], Errno> {
        loop {
            match socket::recv(self.socket.as_raw_fd(), &mut self.incoming, flags) {
                Ok(len) => return Ok(&self.incoming[..len]),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
}
