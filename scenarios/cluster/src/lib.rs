//! Reads what operators dump from their cluster, and says which services a node had: what kube-proxy would program for
//! them. Objects of the Kubernetes API (JSON, YAML), `iptables-save`, `nft list ruleset` (text, JSON), `ipvsadm`,
//! `/proc/net/ip_vs` and `ipset save` are told by their content. A file that is cut, decorated or mixed is understood as far
//! as it goes, and what is not is noted with its line. Nothing here needs Linux, a cluster or the network.
//!
//! ```
//! let dump = "-A -t 10.96.0.1:443 -s rr\n-a -t 10.96.0.1:443 -r 192.0.2.1:6443 -m -w 1\n";
//! let cluster = cluster::read([("node-a", dump.as_bytes())])?;
//! assert_eq!(cluster.services[0].to_string(), "10.96.0.1:443/tcp");
//!
//! // Without names and addresses, for others to see.
//! let shape = cluster::Shape::of(&cluster).text();
//! assert!(!shape.contains("10.96.0.1"));
//! assert_eq!(cluster::read([("shape", shape.as_bytes())])?.services.len(), 1);
//! # Ok::<(), cluster::Refused>(())
//! ```

mod api;
#[allow(
    clippy::module_inception,
    reason = "it is what the crate is named after"
)]
mod cluster;
mod found;
mod gather;
mod input;
mod ipset;
mod iptables;
mod ipvs;
mod json;
mod merge;
mod nft;
mod note;
mod piece;
mod service;
mod shape;
mod summary;
mod yaml;

pub use api::Objects;
pub use cluster::{Cluster, Format, Origin};
pub use gather::read;
pub use ipset::Fill;
pub use note::{Note, NoteKind, Notes, Refused};
pub use service::{Endpoint, Family, Name, Net, Protocol, Service, ServiceType, Vip};
pub use shape::{AffinityShape, EndpointShape, Group, PortShape, Shape};
pub use summary::{Endpoints, Kinds, Summary, Types, summary};
