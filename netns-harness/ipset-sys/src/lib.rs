//! libipset, through bindings made from its headers: a [`Session`] sends typed [`Command`]s, many
//! entries a netlink message, and reads back what the kernel lists.
//!
//! Made against libipset 7.17 (Debian 12) and newer. It exists apart because libipset is a C library
//! with process-wide state: everything that must be known about that is behind [`Session`].
//!
//! What is sent is a pure function of the commands ([`messages`], [`bytes`]) and can be read
//! ([`restore_script`]); what is listed is decoded from the kernel's own messages, past libipset, and never from
//! what was sent.

#![allow(
    unsafe_code,
    reason = "libipset is a C library; every block states why it is sound"
)]

mod bindings;
mod command;
mod dump;
mod error;
mod framing;
mod library;
mod listing;
mod session;

pub use command::{Command, Create, Entry, Mark, SetType, restore_script};
pub use error::{Cause, Error};
pub use framing::{bytes, messages};
pub use listing::Set;
pub use session::Session;
