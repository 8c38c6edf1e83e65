//! A libipset session.

use std::marker::PhantomData;

use crate::command::Command;
use crate::error::Error;
use crate::listing::Set;

/// One libipset session, in the network namespace of the thread that opened it.
pub struct Session {
    _not_send: PhantomData<*const ()>,
}

impl Session {
    /// Opens a session in the calling thread's network namespace.
    ///
    /// # Errors
    /// See [`Error::missing_facility`].
    pub fn open() -> Result<Self, Error> {
        unimplemented!()
    }

    /// All commands in order.
    ///
    /// # Errors
    /// The first refused command.
    pub fn send(&mut self, _commands: &[Command]) -> Result<(), Error> {
        unimplemented!()
    }

    /// All sets.
    ///
    /// # Errors
    /// The listing.
    pub fn sets(&mut self) -> Result<Vec<Set>, Error> {
        unimplemented!()
    }
}
