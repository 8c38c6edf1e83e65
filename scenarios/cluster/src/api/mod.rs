//! Objects of the Kubernetes API, gathered from all files: Services, EndpointSlices of any version, Endpoints where there
//! are no slices, and the workloads of manifests, which say how many endpoints there will be.

mod object;
mod proxied;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use serde_json::Error;

use crate::note::Notes;
use crate::piece::{List, Piece};
use crate::service::{Family, Net, Protocol, ServiceType};
use object::{
    EndpointPort, EndpointSlice, Endpoints, Flag, Head, Metadata, Number, Service, ServicePort,
    Text, Traits, Workload, number,
};

/// Objects that were read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Objects {
    /// Services.
    pub services: u64,
    /// Services that kube-proxy leaves alone: of type ExternalName.
    pub external_name: u64,
    /// Headless ones: ClusterIP `None`.
    pub headless: u64,
    /// Those of a cluster that have no ClusterIP yet.
    pub without_cluster_ip: u64,
    /// Those that another proxy serves, by the label `service.kubernetes.io/service-proxy-name`.
    pub of_other_proxy: u64,
    /// EndpointSlices.
    pub endpoint_slices: u64,
    /// Endpoints.
    pub endpoints: u64,
    /// Deployments and StatefulSets.
    pub workloads: u64,
    /// Everything else.
    pub others: u64,
}

/// A namespace and a name in it.
type Key = (String, String);

/// What kube-proxy does with a Service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Proxied,
    ExternalName,
    Headless,
    WithoutClusterIp,
    OfOtherProxy,
}

/// What of a Service is of use.
#[derive(Debug, PartialEq, Eq)]
struct Spec {
    fate: Fate,
    /// Of a manifest there may be none.
    vips: Vec<IpAddr>,
    /// The families of a manifest's ClusterIPs to come.
    families: Vec<Family>,
    ports: Vec<Port>,
    service_type: ServiceType,
    external_ips: Vec<IpAddr>,
    load_balancer_ips: Vec<IpAddr>,
    source_ranges: Vec<Net>,
    external_local: bool,
    internal_local: bool,
    affinity_seconds: Option<u32>,
    selector: BTreeMap<String, String>,
}

#[derive(Debug, PartialEq, Eq)]
struct Port {
    name: String,
    protocol: Protocol,
    port: u16,
    node_port: Option<u16>,
    /// Where it is a number.
    target: Option<u16>,
}

/// How an endpoint is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ready,
    /// Terminating, and still serving.
    Leaving,
    Unready,
}

/// Endpoints that have the same ports.
#[derive(Debug, PartialEq, Eq)]
struct Group {
    ports: Vec<(String, Protocol, u16)>,
    endpoints: Vec<(IpAddr, State)>,
}

/// An object and where it was read.
#[derive(Debug)]
struct At<T> {
    object: T,
    file: usize,
    line: u64,
}

/// How many pods a workload of a manifest wants.
#[derive(Debug)]
struct Pods {
    namespace: Option<String>,
    name: String,
    labels: BTreeMap<String, String>,
    replicas: u64,
}

/// Two files that hold two versions of one object.
#[derive(Debug)]
pub(crate) struct Differ {
    pub(crate) files: [usize; 2],
    pub(crate) what: String,
}

/// All objects so far.
#[derive(Debug, Default)]
pub(crate) struct Store {
    pub(crate) counts: Objects,
    services: Vec<(Key, At<Spec>)>,
    service_at: HashMap<Key, usize>,
    /// Slices by namespace and own name, and whose they are.
    slices: Vec<(Key, At<Group>)>,
    slice_at: HashMap<Key, usize>,
    endpoints: Vec<(Key, At<Vec<Group>>)>,
    endpoints_at: HashMap<Key, usize>,
    workloads: Vec<Pods>,
    /// The files that any of them came from.
    files: BTreeSet<usize>,
    pub(crate) differ: Option<Differ>,
}

/// The object that a piece is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Service,
    Slice,
    Endpoints,
    Workload,
    Other,
}

impl Kind {
    /// A kind by its name and the API that it is of: Knative has Services too.
    fn named(kind: &str, api: Option<&str>) -> Self {
        let group = api
            .and_then(|api| Some(api.split_once('/')?.0))
            .unwrap_or("");
        match (kind, group) {
            ("Service", "") => Self::Service,
            ("Endpoints", "") => Self::Endpoints,
            ("EndpointSlice", "" | "discovery.k8s.io") => Self::Slice,
            ("Deployment" | "StatefulSet", "" | "apps" | "extensions") => Self::Workload,
            _ => Self::Other,
        }
    }

    /// A kind by what only its objects have.
    fn guessed(traits: &Traits) -> Self {
        let spec = traits.spec.as_ref();
        match traits {
            Traits {
                address_type: Some(_),
                ..
            } => Self::Slice,
            Traits {
                subsets: Some(_), ..
            } => Self::Endpoints,
            _ if spec.is_some_and(|s| s.cluster_ip.is_some() || s.external_name.is_some()) => {
                Self::Service
            }
            _ => Self::Other,
        }
    }
}

/// What [`Store::take`] made of a piece.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It is an object, of use or not.
    Object,
    /// It is a list in a list.
    List,
    /// It is no object of Kubernetes.
    Foreign,
}

impl Store {
    /// Whether a file had anything that services are made of.
    pub(crate) fn is_from(&self, file: usize) -> bool {
        self.files.contains(&file)
    }

    /// Takes an object in. What of it is not as it should be is noted.
    pub(crate) fn take(&mut self, piece: Piece<'_>, file: usize, notes: &mut Notes) -> Taken {
        let head: Head<'_> = match piece.raw.read() {
            Ok(head) => head,
            Err(e) => {
                notes.not_understood(file, Some(piece.line), format!("no object: {e}"));
                return Taken::Object;
            }
        };
        let around = piece.within.map(|(_, about)| about);
        let of_list = around.and_then(|about| about.kind.as_deref()?.strip_suffix("List"));
        let kind = match (&head.kind, of_list) {
            (Some(kind), _) => Some(kind.0.as_ref()),
            (None, of_list) => of_list.filter(|kind| !kind.is_empty()),
        };
        let api = match (&head.api_version, around) {
            (Some(api), _) => Some(api.0.as_ref()),
            (None, Some(about)) => about.api_version.as_deref(),
            (None, None) => None,
        };
        let kind = match kind {
            Some(kind) if kind.ends_with("List") => {
                // An outermost list has handed over its elements already.
                return match piece.within {
                    Some(_) => Taken::List,
                    None => Taken::Object,
                };
            }
            Some(kind) => Kind::named(kind, api),
            None => match (piece.raw.read(), piece.within) {
                (Ok(traits), Some((List::Items, _))) => Kind::guessed(&traits),
                (Ok(traits), _) => match Kind::guessed(&traits) {
                    Kind::Other => return Taken::Foreign,
                    kind => kind,
                },
                (Err(_), _) => return Taken::Foreign,
            },
        };
        let read = match kind {
            Kind::Service => self.service(piece, file, notes),
            Kind::Slice => self.slice(piece, file, notes),
            Kind::Endpoints => self.endpoints(piece, file, notes),
            Kind::Workload => self.workload(piece),
            Kind::Other => {
                self.counts.others += 1;
                Ok(())
            }
        };
        if matches!(kind, Kind::Service | Kind::Slice | Kind::Endpoints) && read.is_ok() {
            self.files.insert(file);
        }
        if let Err(e) = read {
            let what = format!("{}: {e}", kind.name());
            notes.not_understood(file, Some(piece.line), what);
        }
        Taken::Object
    }

    fn service(&mut self, piece: Piece<'_>, file: usize, notes: &mut Notes) -> Result<(), Error> {
        let service: Service<'_> = piece.raw.read()?;
        let key = key(service.metadata.as_ref());
        self.counts.services += 1;
        let spec = spec(&service, |what| {
            let what = format!("{}/{}: {what}", key.0, key.1);
            notes.not_understood(file, Some(piece.line), what);
        });
        let at = At {
            object: spec,
            file,
            line: piece.line,
        };
        if let Some(other) = replaced(&mut self.services, &mut self.service_at, key, at) {
            self.counts.services -= 1;
            self.seen_twice("Service", other, notes);
        }
        Ok(())
    }

    fn slice(&mut self, piece: Piece<'_>, file: usize, notes: &mut Notes) -> Result<(), Error> {
        let slice: EndpointSlice<'_> = piece.raw.read()?;
        let own = key(slice.metadata.as_ref());
        self.counts.endpoint_slices += 1;
        let of = slice
            .metadata
            .as_ref()
            .and_then(|m| m.labels.as_ref()?.service.as_ref());
        let Some(of) = of.filter(|name| !name.0.is_empty()) else {
            let what = format!(
                "EndpointSlice {}/{}: of no service, by its labels",
                own.0, own.1
            );
            notes.left_out(file, Some(piece.line), what);
            return Ok(());
        };
        if slice.address_type.as_ref().is_some_and(|of| of.0 == "FQDN") {
            let what = format!("EndpointSlice {}/{}: of names, not addresses", own.0, own.1);
            notes.left_out(file, Some(piece.line), what);
            return Ok(());
        }
        let mut unread = 0;
        let mut endpoints = Vec::new();
        for endpoint in slice.endpoints.iter().flatten() {
            let Some(address) = endpoint.addresses.iter().flatten().next() else {
                continue;
            };
            let is = |flag: Option<Flag>, unless: bool| flag.map_or(unless, |Flag(is)| is);
            let conditions = endpoint.conditions.as_ref();
            let state = match conditions {
                Some(c) if !is(c.ready, true) => {
                    match is(c.serving, true) && is(c.terminating, false) {
                        true => State::Leaving,
                        false => State::Unready,
                    }
                }
                _ => State::Ready,
            };
            match address.0.parse() {
                Ok(address) => endpoints.push((address, state)),
                Err(_) => unread += 1,
            }
        }
        if unread > 0 {
            let what = format!(
                "EndpointSlice {}/{}: {unread} endpoints have no IP address",
                own.0, own.1
            );
            notes.not_understood(file, Some(piece.line), what);
        }
        let group = Group {
            ports: ports(slice.ports.as_deref()),
            endpoints,
        };
        let at = At {
            object: group,
            file,
            line: piece.line,
        };
        // A slice is told by its own name; of a manifest without one by where it stands.
        let own = match own.1.as_str() {
            "" => (own.0, format!("{file}:{}", piece.line)),
            _ => own,
        };
        let of = (own.0.clone(), of.0.to_string());
        let slice_at = &mut self.slice_at;
        if let Some(i) = slice_at.get(&own).copied() {
            self.counts.endpoint_slices -= 1;
            let other = renewed(&mut self.slices[i].1, at, own);
            self.seen_twice("EndpointSlice", other, notes);
        } else {
            slice_at.insert(own, self.slices.len());
            self.slices.push((of, at));
        }
        Ok(())
    }

    fn endpoints(&mut self, piece: Piece<'_>, file: usize, notes: &mut Notes) -> Result<(), Error> {
        let object: Endpoints<'_> = piece.raw.read()?;
        let own = key(object.metadata.as_ref());
        self.counts.endpoints += 1;
        let groups = object.subsets.iter().flatten().map(|subset| {
            let addresses = subset.addresses.iter().flatten();
            let addresses = addresses.filter_map(|a| a.ip.as_ref()?.0.parse().ok());
            Group {
                ports: ports(subset.ports.as_deref()),
                endpoints: addresses.map(|address| (address, State::Ready)).collect(),
            }
        });
        let at = At {
            object: groups.collect(),
            file,
            line: piece.line,
        };
        if let Some(other) = replaced(&mut self.endpoints, &mut self.endpoints_at, own, at) {
            self.counts.endpoints -= 1;
            self.seen_twice("Endpoints", other, notes);
        }
        Ok(())
    }

    fn workload(&mut self, piece: Piece<'_>) -> Result<(), Error> {
        let workload: Workload<'_> = piece.raw.read()?;
        self.counts.workloads += 1;
        let metadata = workload.metadata.unwrap_or_default();
        // Of a cluster, its endpoints say themselves how many there are.
        if !live(&metadata)
            && let (Some(name), Some(spec)) = (metadata.name, workload.spec)
        {
            let labels = spec.template.and_then(|t| t.metadata?.labels);
            self.workloads.push(Pods {
                namespace: metadata.namespace.map(|n| n.0.into_owned()),
                name: name.0.into_owned(),
                labels: owned(labels.as_ref()),
                replicas: spec.replicas.map_or(1, |Number(replicas)| replicas),
            });
        }
        Ok(())
    }

    /// Notes an object that was read twice, or keeps that two files differ in it.
    fn seen_twice(&mut self, kind: &str, other: Other, notes: &mut Notes) {
        let Other { key, was, is, same } = other;
        let object = format!("{kind} {}/{}", key.0, key.1);
        if same {
            return;
        }
        if was.0 == is.0 {
            let what = format!(
                "{object}: another version follows in line {}, which counts",
                is.1
            );
            notes.left_out(was.0, Some(was.1), what);
        } else if self.differ.is_none() {
            let what = format!(
                "{object} is another one in line {} than in line {}",
                was.1, is.1
            );
            self.differ = Some(Differ {
                files: [was.0, is.0],
                what,
            });
        }
    }
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Service => "Service",
            Self::Slice => "EndpointSlice",
            Self::Endpoints => "Endpoints",
            Self::Workload => "Deployment",
            Self::Other => "object",
        }
    }
}

/// An object that had been read before.
struct Other {
    key: Key,
    /// File and line of the one before, and of this one.
    was: (usize, u64),
    is: (usize, u64),
    same: bool,
}

/// Puts the later one in the place of the one before.
fn renewed<T: PartialEq>(place: &mut At<T>, at: At<T>, key: Key) -> Other {
    let other = Other {
        key,
        was: (place.file, place.line),
        is: (at.file, at.line),
        same: place.object == at.object,
    };
    if !other.same {
        *place = at;
    }
    other
}

/// Adds an object, or puts it in the place of the one of the same name.
fn replaced<T: PartialEq>(
    all: &mut Vec<(Key, At<T>)>,
    places: &mut HashMap<Key, usize>,
    key: Key,
    at: At<T>,
) -> Option<Other> {
    if let Some(i) = places.get(&key).copied() {
        return Some(renewed(&mut all[i].1, at, key));
    }
    places.insert(key.clone(), all.len());
    all.push((key, at));
    None
}

fn key(metadata: Option<&Metadata<'_>>) -> Key {
    let text = |text: Option<&Text<'_>>| text.map(|text| text.0.to_string());
    let namespace = metadata.and_then(|m| text(m.namespace.as_ref()));
    let name = metadata.and_then(|m| text(m.name.as_ref()));
    (
        namespace.unwrap_or_else(|| "default".to_owned()),
        name.unwrap_or_default(),
    )
}

/// Whether an API server has had it.
const fn live(metadata: &Metadata<'_>) -> bool {
    metadata.uid.is_some()
        || metadata.creation_timestamp.is_some()
        || metadata.resource_version.is_some()
}

fn owned(map: Option<&BTreeMap<String, Text<'_>>>) -> BTreeMap<String, String> {
    let pairs = map.into_iter().flatten();
    pairs
        .map(|(key, value)| (key.clone(), value.0.to_string()))
        .collect()
}

fn port(number: Option<&Number>) -> Option<u16> {
    let port = u16::try_from(number?.0).ok()?;
    (port != 0).then_some(port)
}

fn protocol(text: Option<&Text<'_>>) -> Option<Protocol> {
    // The API server's default.
    text.map_or(Some(Protocol::Tcp), |text| Protocol::from_word(&text.0))
}

/// Ports of a slice or a subset by their names. One without a number means every port, which kube-proxy passes over.
fn ports(ports: Option<&[EndpointPort<'_>]>) -> Vec<(String, Protocol, u16)> {
    let ports = ports.into_iter().flatten();
    let ports = ports.filter_map(|p| {
        let name = p.name.as_ref().map(|name| name.0.to_string());
        Some((
            name.unwrap_or_default(),
            protocol(p.protocol.as_ref())?,
            port(p.port.as_ref())?,
        ))
    });
    ports.collect()
}

/// What of a Service is of use; `not` hears what of it is not understood.
fn spec(service: &Service<'_>, mut not: impl FnMut(String)) -> Spec {
    let unread = Default::default();
    let spec = service.spec.as_ref().unwrap_or(&unread);
    let is = |text: Option<&Text<'_>>, word: &str| text.is_some_and(|text| text.0 == word);
    let mut addresses = |texts: Option<&Vec<Text<'_>>>| -> Vec<IpAddr> {
        let texts = texts.into_iter().flatten();
        let read = texts.filter_map(|text| match text.0.trim().parse() {
            Ok(address) => Some(address),
            Err(_) => {
                not(format!("{} is no address", text.0));
                None
            }
        });
        read.collect()
    };
    let cluster_ips: Vec<&str> = match &spec.cluster_ips {
        Some(many) if !many.is_empty() => many.iter().map(|text| text.0.as_ref()).collect(),
        _ => spec.cluster_ip.iter().map(|text| text.0.as_ref()).collect(),
    };
    let vips: Vec<IpAddr> = cluster_ips
        .iter()
        .filter_map(|text| text.parse().ok())
        .collect();
    let external_ips = addresses(spec.external_ips.as_ref());
    let metadata = service.metadata.as_ref();
    let fate = match cluster_ips.first() {
        _ if metadata.is_some_and(|m| m.labels.as_ref().is_some_and(|l| l.proxy.is_some())) => {
            Fate::OfOtherProxy
        }
        _ if is(spec.service_type.as_ref(), "ExternalName") => Fate::ExternalName,
        Some(&"None") => Fate::Headless,
        _ if vips.is_empty() && metadata.is_some_and(live) => Fate::WithoutClusterIp,
        _ => Fate::Proxied,
    };
    let mut ports = Vec::new();
    for given in spec.ports.iter().flatten() {
        match read_port(given) {
            Ok(port) => ports.push(port),
            Err(what) => not(what),
        }
    }
    let ingress = service
        .status
        .iter()
        .filter_map(|s| s.load_balancer.as_ref()?.ingress.as_ref());
    let ingress = ingress
        .flatten()
        .filter(|i| i.ip_mode.as_ref().is_none_or(|mode| mode.0 == "VIP"));
    let ranges = spec.load_balancer_source_ranges.iter().flatten();
    let mut source_ranges: Vec<Net> = Vec::new();
    for range in ranges {
        match range.0.parse() {
            Ok(net) => source_ranges.push(net),
            Err(()) => not(format!("{} is no range of sources", range.0)),
        }
    }
    // A range that holds all admits all of its family, which is the same as none.
    let all: Vec<Family> = source_ranges
        .iter()
        .filter(|net| net.prefix == 0)
        .map(|net| Family::of(net.network))
        .collect();
    source_ranges.retain(|net| !all.contains(&Family::of(net.network)));
    let timeout = || {
        spec.session_affinity_config
            .as_ref()?
            .client_ip
            .as_ref()?
            .timeout_seconds
    };
    let seconds = || {
        timeout().map_or(DEFAULT_AFFINITY_S, |Number(s)| {
            u32::try_from(s).unwrap_or(u32::MAX)
        })
    };
    let families = spec
        .ip_families
        .iter()
        .flatten()
        .filter_map(|family| match family.0.as_ref() {
            "IPv4" => Some(Family::Ipv4),
            "IPv6" => Some(Family::Ipv6),
            _ => None,
        });
    Spec {
        fate,
        vips,
        families: families.collect(),
        ports,
        service_type: match spec.service_type.as_ref().map(|text| text.0.as_ref()) {
            Some("LoadBalancer") => ServiceType::LoadBalancer,
            Some("NodePort") => ServiceType::NodePort,
            _ => ServiceType::ClusterIp,
        },
        external_ips,
        load_balancer_ips: ingress
            .filter_map(|i| i.ip.as_ref()?.0.parse().ok())
            .collect(),
        source_ranges,
        external_local: is(spec.external_traffic_policy.as_ref(), "Local"),
        internal_local: is(spec.internal_traffic_policy.as_ref(), "Local"),
        affinity_seconds: is(spec.session_affinity.as_ref(), "ClientIP").then(seconds),
        selector: owned(spec.selector.as_ref()),
    }
}

/// `DefaultClientIPServiceAffinitySeconds` of core/v1, seconds.
const DEFAULT_AFFINITY_S: u32 = 10_800;

fn read_port(given: &ServicePort<'_>) -> Result<Port, String> {
    let named = |text: Option<&Text<'_>>| text.map(|text| text.0.to_string());
    let name = named(given.name.as_ref()).unwrap_or_default();
    let Some(protocol) = protocol(given.protocol.as_ref()) else {
        let protocol = named(given.protocol.as_ref()).unwrap_or_default();
        return Err(format!("{protocol} is no protocol"));
    };
    let Some(number) = port(given.port.as_ref()) else {
        return Err(format!("port '{name}' has no number from 1 to 65535"));
    };
    // Where it is left out it is the port itself.
    let target = match &given.target_port {
        Some(text) if text.0 != "0" => self::number(&text.0).and_then(|n| u16::try_from(n).ok()),
        _ => Some(number),
    };
    Ok(Port {
        name,
        protocol,
        port: number,
        node_port: port(given.node_port.as_ref()),
        target: target.filter(|port| *port != 0),
    })
}
