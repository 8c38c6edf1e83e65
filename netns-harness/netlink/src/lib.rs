//! Netlink, once for all that speak it: messages written ([`write()`]) and read ([`messages`]), batches of
//! operations whose acknowledgements are all checked ([`Batch`]), questions and dumps
//! ([`Socket::question`]), and what the kernel refused ([`Error`]).
//!
//! Encoders know nothing of readers: what the kernel lists is never compared with what was sent, only with
//! what it was asked to mean.
//!
//! ```
//! use netlink::{Attributes, messages, write};
//!
//! const NAME: u16 = 1;
//! let (kind, flags, sequence) = (16, netlink::flags::ACK, 7);
//! let mut bytes = Vec::new();
//! write(&mut bytes, kind, flags, sequence, &[], |out| netlink::text(out, NAME, "IPVS"));
//!
//! let message = messages(&bytes).next().expect("one message")?;
//! assert_eq!(message.sequence, 7);
//! assert_eq!(Attributes(&bytes[netlink::HEADER..]).text(NAME), Some("IPVS"));
//! # Ok::<(), netlink::Torn>(())
//! ```

mod batch;
mod error;
pub mod flags;
pub mod generic;
mod read;
mod socket;
mod write;

pub use batch::{Batch, Operation};
pub use error::Error;
pub use read::{Answer, Attribute, Attributes, Message, Torn, message_len, messages};
pub use socket::Socket;
pub use write::{add_flags, attribute, nest, set_flags, set_kind, text, write};

/// Bytes of `struct nlmsghdr`, with which every message begins.
pub const HEADER: usize = 16;
/// `NLA_F_NESTED`, a bit of an attribute's type.
const NESTED: u16 = 0x8000;
/// What remains of an attribute's type without that bit and the one of byte order.
const TYPE_MASK: u16 = 0x3fff;
