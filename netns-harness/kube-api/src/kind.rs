//! The kinds of objects that are served: one row each. What is listed, watched and named in a path is what stands here.

use crate::object::{EndpointSlice, Metadata, Node, Service, ServiceCidr};

/// A kind of object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Services.
    Service,
    /// Their endpoints.
    EndpointSlice,
    /// Nodes.
    Node,
    /// Ranges of virtual addresses.
    ServiceCidr,
    /// Events, as kube-proxy writes them: taken and dropped.
    Event,
    /// The same in the core group, as older clients write them.
    CoreEvent,
}

/// What is known of a kind.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) kind: Kind,
    /// `kind` in its JSON.
    pub(crate) name: &'static str,
    /// Its group, empty for the core one: `apiVersion` without the version, which is v1 of all.
    pub(crate) group: &'static str,
    /// Its name in paths.
    pub(crate) plural: &'static str,
    pub(crate) namespaced: bool,
    /// Whether objects of it can be written over HTTP.
    pub(crate) writable: bool,
}

impl Row {
    pub(crate) fn api_version(&self) -> String {
        match self.group {
            "" => "v1".to_owned(),
            group => format!("{group}/v1"),
        }
    }
}

const READ: Row = Row {
    kind: Kind::Service,
    name: "Service",
    group: "",
    plural: "services",
    namespaced: true,
    writable: false,
};
const WRITTEN: Row = Row {
    kind: Kind::CoreEvent,
    name: "Event",
    plural: "events",
    writable: true,
    ..READ
};

/// All kinds, in their order.
pub(crate) const ROWS: [Row; 6] = [
    READ,
    Row {
        kind: Kind::EndpointSlice,
        name: "EndpointSlice",
        group: "discovery.k8s.io",
        plural: "endpointslices",
        ..READ
    },
    Row {
        kind: Kind::Node,
        name: "Node",
        plural: "nodes",
        namespaced: false,
        ..READ
    },
    Row {
        kind: Kind::ServiceCidr,
        name: "ServiceCIDR",
        group: "networking.k8s.io",
        plural: "servicecidrs",
        namespaced: false,
        ..READ
    },
    Row {
        kind: Kind::Event,
        group: "events.k8s.io",
        ..WRITTEN
    },
    WRITTEN,
];

impl Kind {
    pub(crate) const fn row(self) -> &'static Row {
        &ROWS[self as usize]
    }

    /// Its name in paths, as `services`.
    #[must_use]
    pub const fn plural(self) -> &'static str {
        self.row().plural
    }
}

/// An object to be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Object {
    /// A service.
    Service(Service),
    /// Endpoints.
    EndpointSlice(EndpointSlice),
    /// A node.
    Node(Node),
    /// A range of virtual addresses.
    ServiceCidr(ServiceCidr),
}

impl Object {
    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Service(_) => Kind::Service,
            Self::EndpointSlice(_) => Kind::EndpointSlice,
            Self::Node(_) => Kind::Node,
            Self::ServiceCidr(_) => Kind::ServiceCidr,
        }
    }

    /// Its name, namespace and labels.
    #[must_use]
    pub const fn metadata(&self) -> &Metadata {
        match self {
            Self::Service(object) => &object.metadata,
            Self::EndpointSlice(object) => &object.metadata,
            Self::Node(object) => &object.metadata,
            Self::ServiceCidr(object) => &object.metadata,
        }
    }
}

/// A change of what is served.
#[allow(
    clippy::large_enum_variant,
    reason = "a batch is made once and given away, and its many changes are objects"
)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The object is to be there, as it is here.
    Put(Object),
    /// The object of this kind, namespace (`None` where the kind has none) and name is to be gone.
    Delete(Kind, Option<String>, String),
}
