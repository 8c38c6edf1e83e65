//! Synthetic traffic: new flows from the client's namespace, which one server answers for every endpoint.
//! Blocking sockets on pinned threads, no runtime: the path that is timed is the path that is read.

mod client;
mod eviction;
mod flows;

pub use crate::lab::ENDPOINT_PORT;
pub use client::{Client, Probe, Reached};
pub use eviction::Eviction;
pub use flows::Flows;
