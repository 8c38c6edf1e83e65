//! Typed operations on the kernel's virtual servers ([`Op`], generic netlink family IPVS) and on the
//! device that holds their addresses ([`LinkOp`], route netlink): encoded into batches of many messages
//! without touching the kernel, sent with few system calls, every acknowledgement checked, and read back
//! by dumps.
//!
//! Unlike nftables, neither is transactional: the kernel goes on after an error, so a refusal names the
//! first refused operation, and the others of its send were carried out.
//!
//! What is listed is decoded by a reader that has nothing in common with the encoder, and [`Fake`] refuses
//! what the kernel refuses.

mod connection;
mod decode;
mod encode;
mod fake;
mod links;
mod model;
mod ops;
mod script;

pub use connection::Connection;
pub use decode::requests;
pub use fake::Fake;
pub use links::{DeviceName, LinkOp, Links};
pub use model::{
    Destination, Forward, ListedDestination, ListedService, Protocol, Scheduler, Server, Service,
    ServiceId,
};
pub use ops::Op;
pub use script::{parse_script, script};
