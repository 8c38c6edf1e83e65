//! Kubernetes' objects, as far as kube-proxy reads them: types of our own, whose JSON is what an API server of any minor
//! from 1.32 on would send (`staging/src/k8s.io/api`: `core/v1`, `discovery/v1`, `networking/v1`).
//!
//! A field that is `None` or empty is left out, as "omitempty" does. Kind, uid, resource version and creation time are
//! not here: the store puts them, and the metadata, around the rest.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Serialize;

/// Labels of an object.
pub type Labels = BTreeMap<String, String>;

/// What all objects carry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// Its name, unique among the objects of its kind and namespace.
    pub name: String,
    /// Its namespace; `None` for nodes and service CIDRs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// What selectors look at.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: Labels,
    /// What nobody selects by, such as the time of the change that led to an endpoint slice.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// Transport protocol of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

/// A port of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServicePort {
    /// Its name: that of the slices' ports that serve it.
    pub name: String,
    /// Its protocol.
    pub protocol: Protocol,
    /// The port of the virtual address.
    pub port: u16,
    /// The endpoints' port. For people: kube-proxy reads it from the slices.
    pub target_port: u16,
    /// The port of every node's addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_port: Option<u16>,
}

/// `spec` of a service. The values of the closed sets (policies, affinity, families) are Kubernetes' words.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceSpec {
    /// `ClusterIP`, `NodePort` or `LoadBalancer`.
    #[serde(rename = "type")]
    pub service_type: String,
    /// The virtual address.
    #[serde(rename = "clusterIP", skip_serializing_if = "Option::is_none")]
    pub cluster_ip: Option<IpAddr>,
    /// The same, and that of the other family if there is one.
    #[serde(rename = "clusterIPs", skip_serializing_if = "Vec::is_empty")]
    pub cluster_ips: Vec<IpAddr>,
    /// `IPv4`, `IPv6`: of each virtual address.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ip_families: Vec<&'static str>,
    /// `SingleStack`, `PreferDualStack` or `RequireDualStack`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_family_policy: Option<&'static str>,
    /// Its ports.
    pub ports: Vec<ServicePort>,
    /// Further addresses by which hosts outside reach it.
    #[serde(rename = "externalIPs", skip_serializing_if = "Vec::is_empty")]
    pub external_ips: Vec<IpAddr>,
    /// From where its load balancer's addresses may be asked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub load_balancer_source_ranges: Vec<String>,
    /// `None` or `ClientIP`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_affinity: Option<&'static str>,
    /// Settings of that affinity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_affinity_config: Option<SessionAffinityConfig>,
    /// `Cluster` or `Local`, for what comes from pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub internal_traffic_policy: Option<&'static str>,
    /// `Cluster` or `Local`, for what comes from outside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_traffic_policy: Option<&'static str>,
    /// Where a node tells load balancers whether it has endpoints of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_check_node_port: Option<u16>,
}

/// Settings of `ClientIP` affinity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SessionAffinityConfig {
    /// Those of the only kind there is.
    #[serde(rename = "clientIP")]
    pub client_ip: ClientIpConfig,
}

/// How long a client is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientIpConfig {
    /// Seconds since its last connection, at most 86,400.
    pub timeout_seconds: u32,
}

/// An address that a load balancer has for a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ingress {
    /// The address.
    pub ip: IpAddr,
    /// `VIP`: packets come to the node with that address; `Proxy`: kube-proxy leaves it alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_mode: Option<&'static str>,
}

/// What load balancers have for a service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct LoadBalancerStatus {
    /// Their addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ingress: Vec<Ingress>,
}

/// `status` of a service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceStatus {
    /// Empty but for type `LoadBalancer`.
    pub load_balancer: LoadBalancerStatus,
}

/// A service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Service {
    /// Its name and namespace.
    #[serde(skip)]
    pub metadata: Metadata,
    /// What is wanted.
    pub spec: ServiceSpec,
    /// What is.
    pub status: ServiceStatus,
}

impl Service {
    /// A service of type `ClusterIP`, with what an API server fills in by default.
    #[must_use]
    pub fn cluster_ip(
        namespace: &str,
        name: &str,
        address: IpAddr,
        ports: Vec<ServicePort>,
    ) -> Self {
        Self {
            metadata: Metadata {
                name: name.to_owned(),
                namespace: Some(namespace.to_owned()),
                ..Metadata::default()
            },
            spec: ServiceSpec {
                service_type: "ClusterIP".to_owned(),
                cluster_ip: Some(address),
                cluster_ips: vec![address],
                ip_families: vec![family(address)],
                ip_family_policy: Some("SingleStack"),
                ports,
                session_affinity: Some("None"),
                internal_traffic_policy: Some("Cluster"),
                ..ServiceSpec::default()
            },
            status: ServiceStatus::default(),
        }
    }
}

/// Kubernetes' word for an address's family.
#[must_use]
pub const fn family(address: IpAddr) -> &'static str {
    match address {
        IpAddr::V4(_) => "IPv4",
        IpAddr::V6(_) => "IPv6",
    }
}

/// State of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Conditions {
    /// Whether it is to be sent connections.
    pub ready: bool,
    /// Whether it answers, leaving or not.
    pub serving: bool,
    /// Whether it is leaving.
    pub terminating: bool,
}

/// An endpoint of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// Its address: kube-proxy reads the first one.
    pub addresses: Vec<IpAddr>,
    /// Its state.
    pub conditions: Conditions,
    /// The node that it runs on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_name: Option<String>,
}

impl Endpoint {
    /// One that is ready.
    #[must_use]
    pub fn ready(address: IpAddr, node_name: Option<&str>) -> Self {
        Self {
            addresses: vec![address],
            conditions: Conditions {
                ready: true,
                serving: true,
                terminating: false,
            },
            node_name: node_name.map(str::to_owned),
        }
    }
}

/// A port of all endpoints of a slice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EndpointPort {
    /// The name of the service's port that it serves.
    pub name: String,
    /// Its protocol.
    pub protocol: Protocol,
    /// The port.
    pub port: u16,
}

/// Up to 1,000 endpoints of a service (the API's limit; the controller's own is 100).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointSlice {
    /// Its name and namespace, and the label [`SERVICE_NAME`].
    #[serde(skip)]
    pub metadata: Metadata,
    /// `IPv4` or `IPv6`.
    pub address_type: &'static str,
    /// The endpoints.
    pub endpoints: Vec<Endpoint>,
    /// Their ports.
    pub ports: Vec<EndpointPort>,
}

/// The label by which a slice names its service.
pub const SERVICE_NAME: &str = "kubernetes.io/service-name";

impl EndpointSlice {
    /// A slice of a service, of the service's name with `-slice` behind it. Without endpoints it is of IPv4.
    #[must_use]
    pub fn of(
        namespace: &str,
        service: &str,
        endpoints: Vec<Endpoint>,
        ports: Vec<EndpointPort>,
    ) -> Self {
        let first = endpoints.first().and_then(|e| e.addresses.first());
        Self {
            metadata: Metadata {
                name: format!("{service}-slice"),
                namespace: Some(namespace.to_owned()),
                labels: Labels::from([(SERVICE_NAME.to_owned(), service.to_owned())]),
                ..Metadata::default()
            },
            address_type: first.map_or("IPv4", |&address| family(address)),
            endpoints,
            ports,
        }
    }
}

/// An address of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NodeAddress {
    /// `InternalIP`, `ExternalIP` or `Hostname`.
    #[serde(rename = "type")]
    pub address_type: &'static str,
    /// The address.
    pub address: String,
}

/// `spec` of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct NodeSpec {
    /// Its pods' addresses, as CIDR.
    #[serde(rename = "podCIDR", skip_serializing_if = "Option::is_none")]
    pub pod_cidr: Option<String>,
    /// The same, for each family.
    #[serde(rename = "podCIDRs", skip_serializing_if = "Vec::is_empty")]
    pub pod_cidrs: Vec<String>,
}

/// `status` of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct NodeStatus {
    /// Its addresses.
    pub addresses: Vec<NodeAddress>,
}

/// The node that kube-proxy runs on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Node {
    /// Its name.
    #[serde(skip)]
    pub metadata: Metadata,
    /// What is wanted.
    pub spec: NodeSpec,
    /// What is.
    pub status: NodeStatus,
}

impl Node {
    /// A node with these internal addresses.
    #[must_use]
    pub fn named(name: &str, addresses: &[IpAddr]) -> Self {
        let address = |address: &IpAddr| NodeAddress {
            address_type: "InternalIP",
            address: address.to_string(),
        };
        Self {
            metadata: Metadata {
                name: name.to_owned(),
                labels: Labels::from([("kubernetes.io/hostname".to_owned(), name.to_owned())]),
                ..Metadata::default()
            },
            spec: NodeSpec::default(),
            status: NodeStatus {
                addresses: addresses.iter().map(address).collect(),
            },
        }
    }
}

/// `spec` of a range of virtual addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServiceCidrSpec {
    /// One CIDR for each family.
    pub cidrs: Vec<String>,
}

/// A range that virtual addresses are taken from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServiceCidr {
    /// Its name.
    #[serde(skip)]
    pub metadata: Metadata,
    /// The range.
    pub spec: ServiceCidrSpec,
}

impl ServiceCidr {
    /// The range `kubernetes`, that every cluster has.
    #[must_use]
    pub fn of(cidrs: Vec<String>) -> Self {
        Self {
            metadata: Metadata {
                name: "kubernetes".to_owned(),
                ..Metadata::default()
            },
            spec: ServiceCidrSpec { cidrs },
        }
    }
}
