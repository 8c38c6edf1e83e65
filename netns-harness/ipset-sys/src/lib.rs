//! libipset, through bindings made from its headers: a [`Session`] sends typed [`Command`]s, many
//! entries a netlink message, and reads back what the kernel lists.
//!
//! Made against libipset 7.17 (Debian 12) and newer. It exists apart because libipset is a C library
//! with process-wide state: everything that must be known about that is behind [`Session`].
//!
//! What is sent is a pure function of the commands ([`messages`], [`bytes`]) and can be read
//! ([`restore_script`]); what is listed is decoded from the kernel's own messages, past libipset, and never from
//! what was sent.
//!
//! ```
//! use ipset_sys::{Command, Entry, messages, restore_script};
//!
//! let entry = |host| Entry {
//!     address: [10, 96, 0, host].into(),
//!     protocol: 6, // TCP
//!     port: 80,
//!     second: None,
//!     prefix: None,
//!     mark: None,
//! };
//! let commands: Vec<Command> = (1..=20).map(|host| Command::Add("services".into(), entry(host))).collect();
//! assert!(restore_script(&commands).starts_with("add services 10.96.0.1,tcp:80\n"));
//! // Known before anything is sent: twenty entries travel in one message.
//! assert_eq!(messages(&commands), 1);
//! ```

#![allow(
    unsafe_code,
    reason = "libipset is a C library; every block states why it is sound"
)]

mod bindings;
mod command;
mod error;
mod framing;
mod library;
mod listing;
mod session;

pub use command::{Command, Create, Entry, Family, Mark, SetType, restore_script};
pub use error::{Cause, Error, Facility};
pub use framing::{bytes, messages};
pub use listing::Set;
pub use session::Session;
