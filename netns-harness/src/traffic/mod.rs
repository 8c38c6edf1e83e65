//! Synthetic traffic: new flows of clients inside of the cluster, outside of it and on the node, which one server answers for
//! every endpoint. Blocking sockets on pinned threads, no runtime: the path that is timed is the path that is read.

mod ask;
mod client;
mod eviction;
mod flows;
mod frames;
mod handed;
mod paced;
mod sink;
mod sources;
mod stream;

pub use crate::lab::ENDPOINT_PORT;
pub use ask::{Ask, Seen};
pub use client::{Client, OpenFlow, Probe, Reached};
pub use eviction::Eviction;
pub use flows::Flows;
pub use handed::{HandOver, Handed, MOST_CONNECTIONS, MOST_HANDED};
pub use paced::{Paced, Pacer};
pub use stream::{Stream, Streamed};
