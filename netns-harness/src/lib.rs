//! Where services are installed, and what is installed: labs of network namespaces, datapaths,
//! traffic and meters.
//!
//! ```text
//! client ──veth── node (the rules) ──veth── backends (all endpoint addresses)
//! ```

pub mod datapath;
mod error;
pub mod lab;
pub mod meters;
pub mod plant;
pub mod relation;
pub mod service;
mod sockets;
mod tools;
pub mod traffic;
mod xtables;

pub use error::HarnessError;
