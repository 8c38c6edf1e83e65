//! A netlink socket in the network namespace of the thread that opened it: batches with every
//! acknowledgement checked, and dumps.

use std::fmt;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    self, AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, sockopt,
};
use nix::sys::time::TimeVal;

use crate::batch::Batch;
use crate::error::IpvsError;
use crate::wire::{self, Answer, Attributes, NLM_F_DUMP_INTR};

/// Requests are carried out before `sendto` returns; an answer is due at once.
const ANSWER_SECONDS: u64 = 10;
/// What is asked for, as far as this process may have it.
const RECEIVE_BUFFER: usize = 4 << 20;
/// What an acknowledgement is charged to the receive buffer: a small message and its `sk_buff`, rounded up.
const CHARGED: usize = 1_280;
/// Larger than any datagram of a dump (af_netlink.c: 32 KiB).
const DATAGRAM: usize = 64 << 10;
/// Sequence numbers of questions start here, those of operations at 1.
const QUESTIONS: u32 = 1 << 31;
/// A dump is begun again when what it lists changes meanwhile.
const ATTEMPTS: u32 = 5;

/// What a message of a dump has become.
pub(crate) type Taken = Result<(), IpvsError>;

pub(crate) struct Socket {
    socket: OwnedFd,
    /// Acknowledgements that the receive buffer holds for certain.
    room: usize,
    outgoing: Vec<u8>,
    incoming: Vec<u8>,
    question: u32,
    /// Bytes of the family's own header.
    fixed: usize,
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Socket")
            .field(&self.socket.as_raw_fd())
            .finish()
    }
}

impl Socket {
    /// Opens one in the calling thread's network namespace.
    pub(crate) fn open(protocol: SockProtocol, fixed: usize) -> Result<Self, IpvsError> {
        let failed = |errno| IpvsError::System {
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
            socket::setsockopt(&socket, sockopt::RcvBuf, &RECEIVE_BUFFER).map_err(failed)?;
        }
        let buffer = socket::getsockopt(&socket, sockopt::RcvBuf).map_err(failed)?;
        Ok(Self {
            socket,
            room: (buffer / CHARGED).max(1),
            // Written to: their pages are then there before anything is timed.
            outgoing: vec![u8::MAX; DATAGRAM],
            incoming: vec![u8::MAX; DATAGRAM],
            question: QUESTIONS,
            fixed,
        })
    }

    /// Sends a batch, many messages a call, and reads every acknowledgement. `fill_in` completes the message
    /// that begins at the given place.
    ///
    /// # Errors
    /// The first refused operation; those of later sends were not sent.
    pub(crate) fn send<O: fmt::Display>(
        &mut self,
        batch: &Batch<O>,
        fill_in: impl Fn(&mut [u8], usize),
    ) -> Result<(), IpvsError> {
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
            transmit(&self.socket, &self.outgoing, "operations")?;
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
    ) -> Result<(), IpvsError> {
        const WHAT: &str = "acknowledgement";
        let mut next = first;
        let mut refused: Option<(usize, Errno)> = None;
        let mut further = 0;
        while next < last {
            let length = self.receive()?;
            for message in wire::messages(&self.incoming[..length]) {
                let torn = |_| IpvsError::Torn { listing: WHAT };
                let message = message.map_err(torn)?;
                let Answer::Verdict(number) = message.answer(0).map_err(torn)? else {
                    continue;
                };
                // The kernel answers in the order of the messages.
                if message.sequence as usize != next + 1 {
                    return Err(IpvsError::Torn { listing: WHAT });
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
            Some((index, errno)) => Err(IpvsError::Refused {
                operation: batch.ops()[index].to_string(),
                index,
                errno,
                further,
            }),
        }
    }

    /// Asks for one object: its attributes go to `take`. False when the kernel has none, by `absent`.
    pub(crate) fn ask(
        &mut self,
        what: &str,
        request: impl FnOnce(u32) -> Vec<u8>,
        absent: &[Errno],
        mut take: impl FnMut(&[u8], Attributes<'_>) -> Taken,
    ) -> Result<bool, IpvsError> {
        let sequence = self.next_question();
        transmit(&self.socket, &request(sequence), what)?;
        loop {
            let length = self.receive()?;
            for message in wire::messages(&self.incoming[..length]) {
                let torn = |_| IpvsError::Torn { listing: "answer" };
                let message = message.map_err(torn)?;
                if message.sequence != sequence {
                    continue;
                }
                match message.answer(self.fixed).map_err(torn)? {
                    Answer::Object(header, attributes) => {
                        return take(header, attributes).map(|()| true);
                    }
                    Answer::Verdict(number) | Answer::Done(number) => {
                        let errno = Errno::from_raw(number);
                        if absent.contains(&errno) {
                            return Ok(false);
                        }
                        let act = format!("ask for {what}");
                        return Err(IpvsError::System { act, errno });
                    }
                }
            }
        }
    }

    /// Lists: each object's header and attributes go to `take`, which `begin` resets.
    pub(crate) fn dump<T>(
        &mut self,
        what: &str,
        request: impl Fn(u32) -> Vec<u8>,
        begin: impl Fn() -> T,
        mut take: impl FnMut(&mut T, &[u8], Attributes<'_>) -> Taken,
    ) -> Result<T, IpvsError> {
        for _ in 0..ATTEMPTS {
            let mut taken = begin();
            if self.dump_once(what, &request, |header, attributes| {
                take(&mut taken, header, attributes)
            })? {
                return Ok(taken);
            }
        }
        Err(IpvsError::System {
            act: format!("list {what}"),
            errno: Errno::EINTR,
        })
    }

    /// False when what is listed changed meanwhile.
    fn dump_once(
        &mut self,
        what: &str,
        request: impl Fn(u32) -> Vec<u8>,
        mut take: impl FnMut(&[u8], Attributes<'_>) -> Taken,
    ) -> Result<bool, IpvsError> {
        let sequence = self.next_question();
        transmit(&self.socket, &request(sequence), what)?;
        let mut steady = true;
        loop {
            let length = self.receive()?;
            for message in wire::messages(&self.incoming[..length]) {
                let torn = |_| IpvsError::Torn { listing: "dump" };
                let message = message.map_err(torn)?;
                if message.sequence != sequence {
                    continue;
                }
                steady &= message.flags & NLM_F_DUMP_INTR == 0;
                match message.answer(self.fixed).map_err(torn)? {
                    Answer::Object(header, attributes) => take(header, attributes)?,
                    Answer::Done(0) => return Ok(steady),
                    Answer::Verdict(number) | Answer::Done(number) => {
                        return Err(IpvsError::System {
                            act: format!("list {what}"),
                            errno: Errno::from_raw(number),
                        });
                    }
                }
            }
        }
    }

    fn next_question(&mut self) -> u32 {
        self.question = QUESTIONS | self.question.wrapping_add(1);
        self.question
    }

    /// One datagram; its length.
    fn receive(&mut self) -> Result<usize, IpvsError> {
        loop {
            match socket::recv(
                self.socket.as_raw_fd(),
                &mut self.incoming,
                MsgFlags::empty(),
            ) {
                Ok(length) => return Ok(length),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => {
                    return Err(IpvsError::Silent {
                        seconds: ANSWER_SECONDS,
                    });
                }
                Err(errno) => {
                    let act = "receive an answer".to_owned();
                    return Err(IpvsError::System { act, errno });
                }
            }
        }
    }
}

fn transmit(socket: &OwnedFd, bytes: &[u8], what: &str) -> Result<(), IpvsError> {
    let kernel = NetlinkAddr::new(0, 0);
    loop {
        match socket::sendto(socket.as_raw_fd(), bytes, &kernel, MsgFlags::empty()) {
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(errno) => {
                let act = format!("send {what} of {} bytes", bytes.len());
                return Err(IpvsError::System { act, errno });
            }
        }
    }
}
