//! Operations as values. Shown as the command lines of `ipvsadm`, without that word.

use std::fmt;

use crate::model::{Destination, Server, Service, ServiceId};

/// One command to IPVS: one netlink message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// Adds a virtual server, which must not be there (EEXIST).
    AddService(Service),
    /// Changes scheduler and persistence of one that is there (else ESRCH).
    SetService(Service),
    /// Removes one that is there (else ESRCH), with its destinations.
    DeleteService(ServiceId),
    /// Adds a destination, which must not be there (EEXIST), to a server, which must (ESRCH).
    AddDestination(ServiceId, Destination),
    /// Changes one that is there (else ENOENT).
    SetDestination(ServiceId, Destination),
    /// Removes one that is there (else ENOENT).
    DeleteDestination(ServiceId, Server),
    /// Removes every virtual server of the namespace.
    Flush,
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddService(service) => write!(f, "-A {service}"),
            Self::SetService(service) => write!(f, "-E {service}"),
            Self::DeleteService(id) => write!(f, "-D {id}"),
            Self::AddDestination(id, destination) => write!(f, "-a {id} {destination}"),
            Self::SetDestination(id, destination) => write!(f, "-e {id} {destination}"),
            Self::DeleteDestination(id, server) => write!(f, "-d {id} -r {server}"),
            Self::Flush => f.write_str("-C"),
        }
    }
}
