//! Typed nftables transactions: one list of operations ([`Op`]), two printers (the script of `nft -f`
//! and the netlink messages of libnftnl), and one reader of what the kernel lists.
//!
//! The reader is independent of the encoder on purpose: what the kernel lists is never compared with
//! what was sent, only with what it was asked to mean.
//!
//! Frames hold the bytes of nft 1.0.6's own (`tests/golden.rs`), except that nft asks for no
//! acknowledgement and [`EncodedBatch`] asks for one, on its last message.
//!
//! ```
//! use nft_codec::{Act, EncodedBatch, Op, TableFamily};
//!
//! let table = |act| Op { family: TableFamily::Ip, table: "demo".into(), act };
//! let batch = EncodedBatch::encode(vec![
//!     table(Act::AddTable(None)),
//!     table(Act::AddChain("services".into(), None, None)),
//! ])?;
//! // One value: read as a script, counted, sent as bytes.
//! assert_eq!(batch.script(), "add table ip demo\nadd chain ip demo services\n");
//! assert_eq!(batch.messages(), 2);
//! # Ok::<(), nft_codec::EncodeError>(())
//! ```

#![allow(
    unsafe_code,
    reason = "libnftnl is a C library; every block states why it is sound"
)]

mod choices;
mod connection;
mod decode;
mod dump;
mod encode;
mod family;
mod intervals;
mod names;
mod network;
mod ops;
mod parse;
mod program;
mod ruleset;
mod script;

pub use connection::Connection;
pub use dump::{Raw, TableId};
pub use encode::{EncodeError, EncodedBatch};
pub use family::TableFamily;
pub use names::{Comment, Name};
pub use ops::{
    Act, BaseChain, ChainKind, Comparison, CtState, Element, Hook, Key, KeyType, L4Proto, Network,
    Op, Policy, Rule, SetSpec, Statement, Verdict,
};
pub use parse::parse_script;
pub use program::{Flow, Program, Stuck, Treatment};
pub use ruleset::{Chain, Set, Table};
pub use script::script;
