//! Typed operations on the kernel's virtual servers ([`Op`], generic netlink family IPVS) and on the
//! device that holds their addresses ([`LinkOp`], route netlink): encoded into batches of many messages
//! without touching the kernel, sent with few system calls, every acknowledgement checked, and read back
//! by dumps.
//!
//! Unlike nftables, neither is transactional: the kernel goes on after an error, so a refusal names the
//! first refused operation, and the others of its send were carried out.
//!
//! What is listed is decoded by a reader that has nothing in common with the encoder.
//!
//! ```
//! use ipvs_codec::{Destination, Forward, Op, Protocol, Scheduler, Server, Service, ServiceId, script};
//! use netlink::Batch;
//!
//! let id = ServiceId { protocol: Protocol::Tcp, address: [10, 96, 0, 1].into(), port: 80 };
//! let server = Server { address: [10, 128, 0, 1].into(), port: 8080 };
//! let batch = Batch::encode(vec![
//!     Op::AddService(Service { id, scheduler: Scheduler::RoundRobin, persistence_s: None }),
//!     Op::AddDestination(id, Destination { server, forward: Forward::Masquerade, weight: 1 }),
//! ]);
//! assert_eq!(
//!     script(batch.ops()),
//!     "-A -t 10.96.0.1:80 -s rr\n-a -t 10.96.0.1:80 -r 10.128.0.1:8080 -m -w 1\n"
//! );
//! assert_eq!(batch.messages(), 2);
//! ```

mod connection;
mod decode;
mod encode;
mod links;
mod model;
mod ops;
mod script;

pub use connection::Connection;
pub use links::{DeviceName, LinkOp, Links};
pub use model::{
    Destination, Forward, ListedDestination, ListedService, Protocol, Scheduler, Server, Service,
    ServiceId,
};
pub use ops::Op;
pub use script::script;
