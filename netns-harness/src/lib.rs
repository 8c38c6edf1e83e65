//! Where services are installed, and what is installed: labs of network namespaces, datapaths,
//! traffic and meters.
//!
//! ```text
//! client ──veth── node (the rules) ──veth── backends (all endpoint addresses)
//! ```
//!
//! What would be sent can be read, counted and tested without sending it:
//!
//! ```
//! use netns_harness::datapath::{RenderOptions, Transport, registry};
//! use netns_harness::service::{Endpoint, Frontend, Population, Service};
//! use schema::{Mode, Protocol};
//!
//! let population = Population {
//!     services: vec![Service::cluster_ip(
//!         0,
//!         Frontend { vip: [10, 96, 0, 1].into(), port: 80, protocol: Protocol::Tcp },
//!         vec![Endpoint { address: [10, 128, 0, 1].into(), port: 8080 }],
//!     )],
//! };
//! let datapath = registry(Mode::IptablesLegacy);
//! let batch = datapath.render(None, &population, &RenderOptions::by(Transport::Restore));
//! assert!(batch.to_string().contains("-d 10.96.0.1 --dport 80"));
//! ```

pub mod accounts;
pub mod datapath;
mod error;
pub mod lab;
pub mod lists;
pub mod meters;
mod pinning;
pub mod plant;
pub mod relation;
pub mod remedy;
pub mod service;
mod sockets;
pub mod tools;
pub mod tracking;
pub mod traffic;
pub mod treatment;
mod xtables;

pub use error::HarnessError;
