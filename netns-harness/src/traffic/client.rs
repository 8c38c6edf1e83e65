//! New flows, timed from the first packet to the first reply.
//!
//! The timed section is [`Probe::time`]: one `connect(2)`, or one `send(2)` and the `recv(2)` of the
//! answer. Sockets are opened and bound before; who answered is read and checked after.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, ErrorKind, Read};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use netns_sys::clock;
use schema::Protocol;
use socket2::{Domain, SockAddr, Socket, Type};

use super::frames;
use super::sources::Sources;
use super::{Ask, Seen};
use crate::HarnessError;
use crate::lab::{Lab, MOST_ANSWER_BYTES, answer_bytes, named};
use crate::service::{Endpoint, Frontend, family};
use crate::treatment::Source;

/// A probe that is not answered within this time has failed. Long, because a kernel without preemption can
/// keep a CPU inside another process's nftables transaction for seconds; such a sample is shown as it is.
const DEADLINE: Duration = Duration::from_secs(10);
/// How long nobody has to answer to be silent: a hundred times what an answer takes.
const SILENCE: Duration = Duration::from_millis(100);
/// How long what must be heard is waited for, on a machine that has other work too.
const PATIENCE: Duration = Duration::from_secs(2);

/// Between two flows of one that looks when a service is served first.
const PERIOD: Duration = Duration::from_millis(1);
/// Flows of it that may be unanswered at a time: an answer takes a fraction of the time that so many do.
const UNANSWERED: usize = 200;
/// Datagrams that are under way at a time where nothing is timed: as many as the smallest receive buffer holds.
const AT_ONCE: usize = 32;

/// Flows that stay open, opened at a time.
const OPENED_AT_ONCE: usize = 500;

/// Opens flows in a lab's namespaces: in that of clients, and where the node or an endpoint asks in theirs.
#[derive(Debug)]
pub struct Client<'a> {
    lab: &'a Lab,
    sources: Sources,
}

/// A flow that is ready to start: a bound socket and where it will go.
#[derive(Debug)]
pub struct Probe {
    socket: Socket,
    source: SocketAddr,
    to: SocketAddr,
    protocol: Protocol,
    token: [u8; 8],
    spin: bool,
}

/// What a probe saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reached {
    /// First packet to first reply, nanoseconds.
    pub latency_ns: u64,
    /// Who answered.
    pub endpoint: Endpoint,
    /// From where the client asked.
    pub source: SocketAddr,
    /// From where the endpoint saw it ask.
    pub seen: SocketAddr,
}

/// A flow on which an answer has come, and on which more can be asked.
#[derive(Debug)]
pub struct OpenFlow {
    probe: Probe,
}

impl OpenFlow {
    /// Whence and where to its client sends.
    pub(super) const fn ends(&self) -> [SocketAddr; 2] {
        [self.probe.source, self.probe.to]
    }

    /// Sends a message of eight bytes and waits until it has come back: nanoseconds from the call of `send(2)` to the return of the
    /// `recv(2)` that has its last byte.
    ///
    /// # Errors
    /// It does not come back within ten seconds, or something else does.
    pub fn round_trip(&self, message: u64) -> io::Result<u64> {
        let (probe, message) = (&self.probe, message.to_be_bytes());
        let mut answer = Answer::default();
        let start = clock::now();
        let sent = probe.socket.send(&message)?;
        let told = match probe.protocol {
            Protocol::Tcp => 0,
            Protocol::Udp => answer.told(probe.to).len(),
        };
        let mut length = 0;
        while length < told + message.len() {
            match probe.receive(&mut answer.0[length..], start)? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                more => length += more,
            }
        }
        let elapsed_ns = start.elapsed_ns();
        match sent == message.len() && answer.0[told..length] == message {
            true => Ok(elapsed_ns),
            false => Err(io::Error::new(
                ErrorKind::InvalidData,
                "what came back is not what was sent",
            )),
        }
    }
}

impl<'a> Client<'a> {
    /// A client of `lab` that has used no flow yet.
    #[must_use]
    pub fn new(lab: &'a Lab) -> Self {
        Self {
            lab,
            sources: Sources::of(lab.family(), lab.peers),
        }
    }

    /// Flows opened so far, from wherever.
    #[must_use]
    pub fn opened(&self) -> u32 {
        self.sources.used()
    }

    /// New flows without a socket for which addresses and ports are left ([`HandOver`](super::HandOver), [`Pacer`](super::Pacer)).
    #[must_use]
    pub const fn left_without_socket(&self) -> u32 {
        self.sources.left_without_socket()
    }

    /// First packets of new flows without a socket, one to each destination, numbered from `number` on.
    pub(super) fn first_frames(
        &mut self,
        to: &[Frontend],
        number: u32,
    ) -> Result<Vec<Vec<u8>>, HarnessError> {
        (number..)
            .zip(to)
            .map(|(number, to)| {
                let from = self.sources.next_without_socket()?;
                Ok(frames::first(from, *to, number))
            })
            .collect()
    }

    /// The same of TCP flows, with the reset that a client sends who has seen the answer and wants no more.
    pub(super) fn first_and_last_frames(
        &mut self,
        to: &[Frontend],
    ) -> Result<Vec<[Vec<u8>; 2]>, HarnessError> {
        let of = |to: &Frontend| {
            let from = self.sources.next_without_socket()?;
            Ok([frames::first(from, *to, 0), frames::reset(from, *to, 0)])
        };
        to.iter().map(of).collect()
    }

    /// Whether its lab has such clients.
    #[must_use]
    pub const fn has(&self, from: Source) -> bool {
        match from {
            Source::Pod | Source::Node => true,
            Source::Outside | Source::OutsideInRange => self.lab.peers.outside,
        }
    }

    /// Opens and binds a socket for each flow, in order.
    ///
    /// # Errors
    /// No sources are left, or a socket could not be opened.
    pub fn prepare(&mut self, asks: &[Ask]) -> Result<Vec<Probe>, HarnessError> {
        let (lab, sources) = (self.lab, &mut self.sources);
        let spin = lab.pinning.apart();
        let mut probes = Vec::with_capacity(asks.len());
        // A namespace is entered once for all that follow each other in it.
        for asks in asks.chunk_by(|one, next| by_node(one) == by_node(next)) {
            let (of, whose) = match by_node(&asks[0]) {
                true => (&lab.node, "node"),
                false => (&lab.client, "client"),
            };
            let open_all = || -> Result<(), HarnessError> {
                for ask in asks {
                    let source = sources.next(ask.from, ask.to.protocol)?;
                    probes.push(open(source, sources.used(), ask.to, spin)?);
                }
                Ok(())
            };
            of.run(open_all)
                .map_err(|e| HarnessError::system(format!("enter the {whose}'s namespace"), e))??;
        }
        Ok(probes)
    }

    /// What one new flow sees that does not wait long.
    ///
    /// # Errors
    /// No sources are left, a socket could not be opened, or what came is neither an answer nor a refusal.
    pub fn ask_once(&mut self, ask: impl Into<Ask>) -> Result<Seen, HarnessError> {
        self.ask_within(ask.into(), SILENCE)
    }

    /// The same, where an answer or a refusal must come: a flow that is silent is followed by one that is given more time.
    ///
    /// # Errors
    /// As [`Client::ask_once`].
    pub fn ask_patiently(&mut self, ask: impl Into<Ask>) -> Result<Seen, HarnessError> {
        let ask = ask.into();
        match self.ask_within(ask, SILENCE)? {
            Seen::Silent => self.ask_within(ask, PATIENCE),
            heard => Ok(heard),
        }
    }

    fn ask_within(&mut self, ask: Ask, limit: Duration) -> Result<Seen, HarnessError> {
        let mut probes = self.prepare(&[ask])?;
        let probe = probes
            .pop()
            .expect("a flow is prepared for each that is asked for");
        probe.seen(limit).map_err(failed(ask.from, ask.to))
    }

    /// The same of a flow of an endpoint on the node, from that endpoint's own address.
    ///
    /// # Errors
    /// As [`Client::ask_once`].
    pub fn ask_from(&mut self, endpoint: Endpoint, to: Frontend) -> Result<Seen, HarnessError> {
        let source = self.sources.next_of(endpoint.address)?;
        let token = self.sources.used();
        let opened = self.lab.backends.run(|| open(source, token, to, false));
        let probe =
            opened.map_err(|e| HarnessError::system("enter the endpoints' namespace", e))??;
        probe.seen(SILENCE).map_err(failed(endpoint, to))
    }

    /// Whether nobody answers one new flow to a destination.
    ///
    /// # Errors
    /// As [`Client::ask_once`].
    pub fn is_silent(&mut self, ask: impl Into<Ask>) -> Result<bool, HarnessError> {
        let seen = self.ask_once(ask)?;
        Ok(!matches!(seen, Seen::Answered(_)))
    }

    /// Prepares and runs probes on the calling thread, in order; the server spins meanwhile.
    ///
    /// # Errors
    /// A flow that was not answered, with its destination and who asked.
    pub fn probe_all(&mut self, asks: &[Ask]) -> Result<Vec<Reached>, HarnessError> {
        self.probe_each(asks, || ())
    }

    /// The same, with something done before each probe, untimed.
    ///
    /// # Errors
    /// As [`Client::probe_all`].
    pub fn probe_each(
        &mut self,
        asks: &[Ask],
        mut before: impl FnMut(),
    ) -> Result<Vec<Reached>, HarnessError> {
        let probes = self.prepare(asks)?;
        let _spinning = self.lab.server.spin();
        probes
            .into_iter()
            .zip(asks)
            .map(|(probe, Ask { from, to })| {
                before();
                probe.run().map_err(unanswered(*from, *to))
            })
            .collect()
    }

    /// Two new flows of one pod to a destination that has not seen it before, one after the other.
    ///
    /// # Errors
    /// As [`Client::probe_all`]; or its lab has no [`Peers::newcomers`].
    ///
    /// [`Peers::newcomers`]: crate::lab::Peers::newcomers
    pub fn probe_twice(&mut self, to: Frontend) -> Result<[Reached; 2], HarnessError> {
        let (lab, pair) = (self.lab, self.sources.next_pair()?);
        let (token, spin) = (self.sources.used(), lab.pinning.apart());
        let open = |source| open(source, token, to, spin);
        let open_both = || -> Result<_, HarnessError> { Ok([open(pair[0])?, open(pair[1])?]) };
        let opened = lab.client.run(open_both);
        let probes =
            opened.map_err(|e| HarnessError::system("enter the client's namespace", e))??;
        let _spinning = lab.server.spin();
        let run = |probe: Probe| probe.run().map_err(unanswered(Source::Pod, to));
        let [first, second] = probes;
        Ok([run(first)?, run(second)?])
    }

    /// Opens so many new UDP flows, to the destinations in turn, and leaves them: who answered each, in order. A socket asks
    /// every destination once.
    ///
    /// # Errors
    /// No sources are left, a socket could not be opened, or a flow was not answered.
    pub fn leave_flows(
        &mut self,
        destinations: &[Frontend],
        flows: usize,
    ) -> Result<Vec<Endpoint>, HarnessError> {
        let mut answered = Vec::with_capacity(flows);
        let _spinning = self.lab.server.spin();
        while answered.len() < flows && !destinations.is_empty() {
            let to = &destinations[..destinations.len().min(flows - answered.len())];
            let source = self.sources.next(Source::Pod, Protocol::Udp)?;
            let open = || UdpSocket::bind(source);
            let entered = self.lab.client.run(open);
            let ask = || {
                let socket = entered??;
                socket.set_read_timeout(Some(DEADLINE))?;
                to.chunks(AT_ONCE)
                    .try_for_each(|to| ask_all(&socket, to, &mut answered))
            };
            let failed = |e: io::Error| HarnessError::Traffic(format!("flows from {source}: {e}"));
            ask().map_err(failed)?;
        }
        Ok(answered)
    }

    /// Opens flows that stay open, one after the other; the lab's server must keep connections
    /// ([`Server::hold`](crate::lab::Server::hold)). Who answered each first packet is told beside it.
    ///
    /// # Errors
    /// As [`Client::probe_all`].
    pub fn open_flows(&mut self, asks: &[Ask]) -> Result<Vec<(OpenFlow, Reached)>, HarnessError> {
        let mut open = Vec::with_capacity(asks.len());
        // A socket that is bound long before it is used is none the worse; a batch of them is prepared at once.
        for asks in asks.chunks(OPENED_AT_ONCE) {
            for (probe, Ask { from, to }) in self.prepare(asks)?.into_iter().zip(asks) {
                open.push(probe.stay_open().map_err(unanswered(*from, *to))?);
            }
        }
        Ok(open)
    }

    /// Opens a new flow to a destination every millisecond until one is answered: when that one's first packet was
    /// sent, and who answered; `None` where none is within `limit`.
    ///
    /// # Errors
    /// No sources are left, a socket could not be opened, or what `meanwhile` says between two flows.
    pub fn first_served(
        &mut self,
        to: Frontend,
        limit: Duration,
        mut meanwhile: impl FnMut() -> Result<(), HarnessError>,
    ) -> Result<Option<(clock::Reading, Reached)>, HarnessError> {
        let failed = |e| HarnessError::system(format!("watch for an answer of {to}"), e);
        let start = clock::now();
        let mut open: VecDeque<(clock::Reading, Probe)> = VecDeque::new();
        while u128::from(start.elapsed_ns()) < limit.as_nanos() {
            for probe in self.prepare(&[to.into()])? {
                probe.socket.set_nonblocking(true).map_err(failed)?;
                let sent = clock::now();
                probe.send_first().map_err(failed)?;
                open.push_back((sent, probe));
            }
            if open.len() > UNANSWERED {
                open.pop_front();
            }
            std::thread::sleep(PERIOD);
            meanwhile()?;
            if let Some(at) = open.iter().position(|(_, probe)| probe.is_answered()) {
                let (sent, probe) = open.swap_remove_back(at).expect("it was just found");
                let reached = probe.finish_started(sent).map_err(failed)?;
                return Ok(Some((sent, reached)));
            }
        }
        Ok(None)
    }
}

/// Whether it is a flow of the node itself.
const fn by_node(ask: &Ask) -> bool {
    matches!(ask.from, Source::Node)
}

/// That nobody has answered, of the `to` that was asked and `from` whom.
fn unanswered(from: Source, to: Frontend) -> impl FnOnce(io::Error) -> HarnessError {
    move |error| HarnessError::Traffic(format!("no reply from {to} to {from}: {error}"))
}

/// The same of a flow that is to see whether anybody answers.
fn failed(from: impl fmt::Display, to: Frontend) -> impl FnOnce(io::Error) -> HarnessError {
    move |error| HarnessError::Traffic(format!("a flow of {from} to {to}: {error}"))
}

/// Asks destinations with a datagram each, and appends who answered them, in their order.
fn ask_all(socket: &UdpSocket, to: &[Frontend], answered: &mut Vec<Endpoint>) -> io::Result<()> {
    let wrong = |why: &str| io::Error::new(ErrorKind::InvalidData, why.to_owned());
    for (nth, to) in (0_u64..).zip(to) {
        socket.send_to(&nth.to_be_bytes(), to.socket())?;
    }
    let mut endpoints = vec![None; to.len()];
    for _ in to {
        let mut answer = Answer::default();
        let (length, from) = socket.recv_from(&mut answer.0)?;
        let told = answer.told(from);
        let token = answer.0[..length].strip_prefix(told);
        let (Some([reached, _]), Some(Ok(token))) = (named(told), token.map(<[u8; 8]>::try_from))
        else {
            return Err(wrong("an answer that does not name its endpoint"));
        };
        let nth = u64::from_be_bytes(token) as usize;
        let asked = to.get(nth).map(Frontend::socket);
        if asked != Some(from) || endpoints[nth].is_some() {
            return Err(wrong("an answer to no question"));
        }
        endpoints[nth] = Some(reached);
    }
    let named = endpoints.into_iter().flatten();
    answered.extend(named.map(Endpoint::from));
    Ok(())
}

/// Room for an answer and, of UDP, the token behind it.
struct Answer([u8; MOST_ANSWER_BYTES + 8]);

impl Default for Answer {
    fn default() -> Self {
        Self([0; MOST_ANSWER_BYTES + 8])
    }
}

impl Answer {
    /// What tells who was reached and who asked, of an answer from there.
    fn told(&self, from: SocketAddr) -> &[u8] {
        &self.0[..answer_bytes(family(from.ip()))]
    }
}

/// A flow from an unused address and port; a datagram carries the number `token`.
fn open(
    source: SocketAddr,
    token: u32,
    frontend: Frontend,
    spin: bool,
) -> Result<Probe, HarnessError> {
    let to = frontend.socket();
    let opened = || {
        let kind = match frontend.protocol {
            Protocol::Tcp => Type::STREAM,
            Protocol::Udp => Type::DGRAM,
        };
        let socket = Socket::new(Domain::for_address(source), kind, None)?;
        socket.bind(&SockAddr::from(source))?;
        socket.set_read_timeout(Some(DEADLINE))?;
        match frontend.protocol {
            Protocol::Tcp => {
                // Ends with a reset: no TIME_WAIT, and the server's side is gone at once.
                socket.set_linger(Some(Duration::ZERO))?;
                // Bounds connect(2) too.
                socket.set_write_timeout(Some(DEADLINE))?;
            }
            // Sends nothing: it fixes the peer, so only the VIP's own reply is accepted.
            Protocol::Udp => socket.connect(&SockAddr::from(to))?,
        }
        Ok(socket)
    };
    let socket = opened()
        .map_err(|e: io::Error| HarnessError::system(format!("open a socket from {source}"), e))?;
    Ok(Probe {
        socket,
        source,
        to,
        protocol: frontend.protocol,
        token: u64::from(token).to_be_bytes(),
        spin,
    })
}

impl Probe {
    /// Sends the first packet, waits for the first reply, then checks who answered.
    fn run(self) -> io::Result<Reached> {
        let mut answer = Answer::default();
        let address = SockAddr::from(self.to);
        let (latency_ns, received) = self.time(&address, &mut answer.0)?;
        self.reached(latency_ns, received, answer)
    }

    /// Sends the first packet, waits for the first reply and for who answered, and stays open.
    fn stay_open(self) -> io::Result<(OpenFlow, Reached)> {
        let mut answer = Answer::default();
        let address = SockAddr::from(self.to);
        let (latency_ns, mut received) = self.time(&address, &mut answer.0)?;
        let told = answer.told(self.to).len();
        if self.protocol == Protocol::Tcp {
            // Before the name is read: it may still be on its way.
            self.socket.set_tcp_nodelay(true)?;
            while received < told {
                match (&self.socket).read(&mut answer.0[received..told])? {
                    0 => return Err(ErrorKind::UnexpectedEof.into()),
                    more => received += more,
                }
            }
        }
        let reached = self.told(latency_ns, received, &answer)?;
        Ok((OpenFlow { probe: self }, reached))
    }

    /// What comes of the first packet within a time.
    fn seen(self, limit: Duration) -> io::Result<Seen> {
        let probe = Self {
            spin: false,
            ..self
        };
        probe.socket.set_read_timeout(Some(limit))?;
        probe.socket.set_write_timeout(Some(limit))?;
        let mut answer = Answer::default();
        let heard = match probe.time(&SockAddr::from(probe.to), &mut answer.0) {
            // A rule by which a node drops or rejects its own packet fails send(2), but what rejects it is still to be heard.
            Err(e)
                if e.kind() == ErrorKind::PermissionDenied && probe.protocol == Protocol::Udp =>
            {
                let received = probe.receive(&mut answer.0, clock::now());
                received.map(|received| (0, received))
            }
            heard => heard,
        };
        match heard {
            Ok((latency_ns, received)) => {
                // Who is there says its name in its own time.
                probe.socket.set_read_timeout(Some(DEADLINE))?;
                let reached = probe.reached(latency_ns, received, answer);
                reached.map(Seen::Answered)
            }
            Err(error) => probe.not_answered(error),
        }
    }

    /// Whether its peer was refused, or nothing came.
    fn not_answered(&self, error: io::Error) -> io::Result<Seen> {
        let refused = |error: &io::Error| error.kind() == ErrorKind::ConnectionRefused;
        // What rejects a node's own SYN comes while connect(2) still holds the socket, and is kept until somebody looks
        // (sk_err_soft: `tcp_v4_err` in net/ipv4/tcp_ipv4.c, SO_ERROR in net/core/sock.c).
        if refused(&error) || self.socket.take_error()?.is_some_and(|e| refused(&e)) {
            return Ok(Seen::Refused);
        }
        match error.kind() {
            ErrorKind::TimedOut
            | ErrorKind::WouldBlock
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::PermissionDenied => Ok(Seen::Silent),
            _ if error.raw_os_error() == Some(libc::EINPROGRESS) => Ok(Seen::Silent),
            _ => Err(error),
        }
    }

    /// Sends the first packet of a socket that does not wait.
    fn send_first(&self) -> io::Result<()> {
        let sent = match self.protocol {
            Protocol::Tcp => self.socket.connect(&SockAddr::from(self.to)),
            Protocol::Udp => self.socket.send(&self.token).map(drop),
        };
        match sent {
            // Nobody is there yet, and an earlier flow's answer said so.
            Err(e) if e.raw_os_error() == Some(libc::EINPROGRESS) => Ok(()),
            Err(e) if e.kind() == ErrorKind::ConnectionRefused => Ok(()),
            sent => sent,
        }
    }

    /// Whether the first reply has come, without waiting for it.
    fn is_answered(&self) -> bool {
        match self.protocol {
            Protocol::Tcp => self.socket.peer_addr().is_ok(),
            Protocol::Udp => self.socket.peek(&mut [MaybeUninit::uninit()]).is_ok(),
        }
    }

    /// Who answered a flow that was started at `sent` and is answered.
    fn finish_started(mut self, sent: clock::Reading) -> io::Result<Reached> {
        let mut answer = Answer::default();
        let latency_ns = sent.elapsed_ns();
        self.socket.set_nonblocking(false)?;
        self.spin = false;
        let received = match self.protocol {
            Protocol::Tcp => 0,
            Protocol::Udp => self.receive(&mut answer.0, sent)?,
        };
        self.reached(latency_ns, received, answer)
    }

    /// Reads who answered, and checks that it was to this flow.
    fn reached(
        mut self,
        latency_ns: u64,
        received: usize,
        mut answer: Answer,
    ) -> io::Result<Reached> {
        let length = match self.protocol {
            Protocol::Tcp => self.read_name(&mut answer.0)?,
            Protocol::Udp => received,
        };
        self.told(latency_ns, length, &answer)
    }

    /// Who answered, of an answer of that length to this flow.
    fn told(&self, latency_ns: u64, length: usize, answer: &Answer) -> io::Result<Reached> {
        let told = answer.told(self.to);
        let Some([reached, seen]) = named(told).filter(|_| length >= told.len()) else {
            return Err(io::Error::new(
                ErrorKind::UnexpectedEof,
                "the answer does not name its endpoint",
            ));
        };
        if self.protocol == Protocol::Udp && answer.0[told.len()..length] != self.token {
            return Err(io::Error::new(
                ErrorKind::InvalidData,
                "the answer is to another datagram",
            ));
        }
        Ok(Reached {
            latency_ns,
            endpoint: Endpoint::from(reached),
            source: self.source,
            seen,
        })
    }

    /// The timed section: first packet to first reply. Returns nanoseconds and bytes received.
    fn time(&self, to: &SockAddr, answer: &mut [u8]) -> io::Result<(u64, usize)> {
        let start = clock::now();
        let received = match self.protocol {
            // SYN, SYN-ACK: the reply has arrived when connect returns.
            Protocol::Tcp => self.socket.connect(to).map(|()| 0)?,
            Protocol::Udp => {
                self.socket.send(&self.token)?;
                self.receive(answer, start)?
            }
        };
        Ok((start.elapsed_ns(), received))
    }

    fn receive(&self, answer: &mut [u8], start: clock::Reading) -> io::Result<usize> {
        let flags = if self.spin { libc::MSG_DONTWAIT } else { 0 };
        loop {
            match nix::sys::socket::recv(
                std::os::fd::AsRawFd::as_raw_fd(&self.socket),
                answer,
                nix::sys::socket::MsgFlags::from_bits_truncate(flags),
            ) {
                Ok(length) => return Ok(length),
                Err(nix::errno::Errno::EAGAIN)
                    if self.spin && start.elapsed_ns() < DEADLINE.as_nanos() as u64 => {}
                Err(nix::errno::Errno::EAGAIN) => return Err(ErrorKind::TimedOut.into()),
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Reads the endpoint's name to its end: the server has then finished with this flow.
    fn read_name(&mut self, answer: &mut [u8]) -> io::Result<usize> {
        let mut stream = TcpStream::from(self.socket.try_clone()?);
        let mut length = 0;
        loop {
            match stream.read(&mut answer[length..])? {
                0 => return Ok(length),
                more => length += more,
            }
            if length == answer.len() {
                return Ok(length);
            }
        }
    }
}
