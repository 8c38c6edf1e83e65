//! Synthetic traffic: new flows from the client's namespace, and one server for every endpoint.
//! Blocking sockets on pinned threads, no runtime: the path that is timed is the path that is read.

mod client;
mod eviction;
mod flows;
mod server;

pub use client::{Client, Probe, Reached};
pub use eviction::Eviction;
pub use flows::{CLIENT_CIDR, Flows};
pub use server::Server;

/// Port on which every endpoint is served.
pub const ENDPOINT_PORT: u16 = 8080;

/// Length of an answer: the endpoint's address and port, then those of who asked, big-endian.
const ANSWER_BYTES: usize = 12;
