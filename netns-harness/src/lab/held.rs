//! Connections that stay open: what comes on one is sent back as it is.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

/// Messages that are answered before the server looks at anything else.
const AT_ONCE: usize = 64;

/// Connections whose clients may send more.
pub(super) struct Held {
    ready: Epoll,
    streams: HashMap<u64, TcpStream>,
}

impl Held {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            ready: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            streams: HashMap::new(),
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// What says that one of them has something to read.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.ready.0.as_fd()
    }

    pub(super) fn keep(&mut self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let id = stream.as_raw_fd() as u64;
        self.ready
            .add(&stream, EpollEvent::new(EpollFlags::EPOLLIN, id))?;
        self.streams.insert(id, stream);
        Ok(())
    }

    /// Answers what has come, without waiting; how many messages that were.
    pub(super) fn answer(&mut self) -> u64 {
        let mut events = [EpollEvent::empty(); AT_ONCE];
        let ready = self
            .ready
            .wait(&mut events, EpollTimeout::ZERO)
            .unwrap_or(0);
        let mut answered = 0;
        for event in &events[..ready] {
            let Some(stream) = self.streams.get_mut(&event.data()) else {
                continue;
            };
            let mut message = [0; 64];
            let done = match stream.read(&mut message) {
                Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
                Ok(length) => stream.write_all(&message[..length]),
                Err(error) => Err(error),
            };
            match done {
                Ok(()) => answered += 1,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // Its client is gone: closing it takes it off the list too.
                Err(_) => drop(self.streams.remove(&event.data())),
            }
        }
        answered
    }

    /// Closes all of them.
    pub(super) fn close(&mut self) {
        self.streams.clear();
    }
}
