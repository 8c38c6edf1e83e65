//! The shape of a population: everything that its rules weigh by, and nothing that says whose it is. Ports stay, names and
//! addresses go; services that stand on one VIP stay together; what is the same is counted. Small enough for a bug report.
//!
//! As text it is a line of JSON for the whole, and one for each kind of VIP. [`crate::read`] reads it back.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::cluster::{Cluster, Origin};
use crate::found::{Found, Source};
use crate::note::Refused;
use crate::piece::Raw;
use crate::service::{Endpoint, Family, Protocol, Service, ServiceType, Vip};

/// What the first line says of itself.
const FORMAT: &str = "cluster-shape";
/// The version that is written and read.
const VERSION: u64 = 1;
/// The most services of a shape that is read back, and the most endpoints, external addresses and source ranges of all of
/// them together: a short file may name any number.
const MAX_SERVICES: u64 = 300_000;
const MAX_ENDPOINTS: u64 = 3_000_000;

/// The shape of a population.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// The mode that the dump came from, where one was told.
    pub mode: Option<Origin>,
    /// Its VIPs, those of one kind together, in the order of their kinds.
    pub groups: Vec<Group>,
}

/// VIPs with the same ports, and the same behind each of them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Group {
    /// How many.
    pub vips: u64,
    /// Their family.
    pub family: Family,
    /// What stands on each, in order.
    pub ports: Vec<PortShape>,
}

/// A service without its name and its addresses.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PortShape {
    /// Its protocol.
    pub protocol: Protocol,
    /// Its port.
    pub port: u16,
    /// Its type.
    #[serde(rename = "type", default)]
    pub service_type: ServiceType,
    /// Whether it has a node port.
    #[serde(default, skip_serializing_if = "is_not")]
    pub node_port: bool,
    /// How many external addresses.
    #[serde(default, skip_serializing_if = "is_none")]
    pub external_ips: u64,
    /// How many addresses of a load balancer.
    #[serde(default, skip_serializing_if = "is_none")]
    pub load_balancer_ips: u64,
    /// How many source ranges.
    #[serde(default, skip_serializing_if = "is_none")]
    pub source_ranges: u64,
    /// `externalTrafficPolicy: Local`.
    #[serde(default, skip_serializing_if = "is_not")]
    pub external_local: bool,
    /// `internalTrafficPolicy: Local`.
    #[serde(default, skip_serializing_if = "is_not")]
    pub internal_local: bool,
    /// Session affinity by the client's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<AffinityShape>,
    /// Its endpoints, those that are alike together; nothing where they are not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<Vec<EndpointShape>>,
}

/// Session affinity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AffinityShape {
    /// For how long, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u32>,
}

/// Endpoints without their addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EndpointShape {
    /// How many.
    pub n: u64,
    /// Their port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Their weight, where not all of the service have the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// Whether they are on this node, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<bool>,
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
const fn is_not(is: &bool) -> bool {
    !*is
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
const fn is_none(number: &u64) -> bool {
    *number == 0
}

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    format: String,
    version: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mode: Option<Origin>,
    #[serde(default)]
    services: u64,
}

impl Shape {
    /// That of a cluster.
    #[must_use]
    pub fn of(cluster: &Cluster) -> Self {
        let mut vips: BTreeMap<Vip, Vec<PortShape>> = BTreeMap::new();
        for service in &cluster.services {
            vips.entry(service.vip)
                .or_default()
                .push(port_shape(service));
        }
        let mut groups: BTreeMap<(Family, Vec<PortShape>), u64> = BTreeMap::new();
        for (vip, mut ports) in vips {
            ports.sort_unstable();
            *groups.entry((vip.family(), ports)).or_default() += 1;
        }
        let groups = groups.into_iter().map(|((family, ports), vips)| Group {
            vips,
            family,
            ports,
        });
        Self {
            mode: cluster.mode,
            groups: groups.collect(),
        }
    }

    /// How many services, VIP:port pairs, it has.
    #[must_use]
    pub fn services(&self) -> u64 {
        let groups = self.groups.iter();
        groups
            .map(|group| group.vips * group.ports.len() as u64)
            .sum()
    }

    /// It as text: what [`crate::read`] reads back.
    #[must_use]
    pub fn text(&self) -> String {
        let head = Head {
            format: FORMAT.to_owned(),
            version: VERSION,
            mode: self.mode,
            services: self.services(),
        };
        json(&head) + "\n" + &self.lines()
    }

    /// What tells populations apart: 16 hexadecimal digits, the same for the same shape, whatever it was read from and in
    /// which order.
    #[must_use]
    pub fn hash(&self) -> String {
        let digest = Sha256::digest(self.lines());
        digest
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    fn lines(&self) -> String {
        self.groups.iter().map(|group| json(group) + "\n").collect()
    }
}

/// A value of ours as JSON.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("names are text and numbers are whole")
}

fn port_shape(service: &Service) -> PortShape {
    PortShape {
        protocol: service.protocol,
        port: service.port,
        service_type: service.service_type,
        node_port: service.node_port.is_some(),
        external_ips: service.external_ips.len() as u64,
        load_balancer_ips: service.load_balancer_ips.len() as u64,
        source_ranges: service.source_ranges.len() as u64,
        external_local: service.external_local,
        internal_local: service.internal_local,
        affinity: service
            .affinity_seconds
            .map(|seconds| AffinityShape { seconds }),
        endpoints: service.endpoints.as_deref().map(endpoint_shapes),
    }
}

fn endpoint_shapes(endpoints: &[Endpoint]) -> Vec<EndpointShape> {
    let first = endpoints.first().and_then(|endpoint| endpoint.weight);
    let even = endpoints.iter().all(|endpoint| endpoint.weight == first);
    let mut alike: BTreeMap<_, u64> = BTreeMap::new();
    for endpoint in endpoints {
        let weight = endpoint.weight.filter(|_| !even);
        *alike
            .entry((endpoint.port, weight, endpoint.local))
            .or_default() += 1;
    }
    let shapes = alike
        .into_iter()
        .map(|((port, weight, local), n)| EndpointShape {
            n,
            port,
            weight,
            local,
        });
    shapes.collect()
}

/// A shape that is being read.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    head: Option<Head>,
    groups: Vec<Group>,
}

impl Reader {
    /// Whether there is none.
    pub(crate) const fn is_empty(&self) -> bool {
        self.head.is_none()
    }

    /// Takes a line in; `false` where it is none of a shape.
    pub(crate) fn take(&mut self, raw: Raw<'_>) -> Result<bool, serde_json::Error> {
        match &self.head {
            None => {
                let Ok(head) = raw.read::<Head>() else {
                    return Ok(false);
                };
                if head.format == FORMAT {
                    self.head = Some(head);
                }
                Ok(self.head.is_some())
            }
            // What a later version writes is not looked at.
            Some(head) if head.version > VERSION => Ok(true),
            Some(_) => {
                self.groups.push(raw.read()?);
                Ok(true)
            }
        }
    }

    /// The services of the shape, and the mode that it is of. `unknown` numbers their VIPs.
    pub(crate) fn finish(
        self,
        unknown: &mut u32,
        file: usize,
        label: &str,
    ) -> Result<(Vec<Found>, Option<Origin>), Refused> {
        let Some(head) = self.head else {
            return Ok((Vec::new(), None));
        };
        let named = || label.to_owned();
        if head.version > VERSION {
            return Err(Refused::NewerShape {
                file: named(),
                version: head.version,
                known: VERSION,
            });
        }
        let (mut services, mut things) = (0_u64, 0_u64);
        for group in &self.groups {
            let ports = group.ports.len() as u64;
            services = services.saturating_add(group.vips.saturating_mul(ports));
            let each = group
                .ports
                .iter()
                .map(PortShape::things)
                .fold(0, u64::saturating_add);
            things = things.saturating_add(group.vips.saturating_mul(each));
        }
        if services > MAX_SERVICES || things > MAX_ENDPOINTS {
            return Err(Refused::ShapeTooLarge {
                file: named(),
                services: MAX_SERVICES,
                endpoints: MAX_ENDPOINTS,
            });
        }
        if services != head.services {
            return Err(Refused::ShapeCut {
                file: named(),
                said: head.services,
                found: services,
            });
        }
        let mut found = Vec::new();
        for group in &self.groups {
            // A VIP without ports is no service, however many there are said to be.
            for _ in 0..if group.ports.is_empty() {
                0
            } else {
                group.vips
            } {
                let vip = Vip::Unknown {
                    family: group.family,
                    number: *unknown,
                };
                *unknown += 1;
                found.extend(group.ports.iter().map(|port| Found {
                    service: port.service(vip),
                    source: Source::Shape,
                    file,
                    line: None,
                }));
            }
        }
        Ok((found, head.mode))
    }
}

impl PortShape {
    /// How many endpoints, addresses and ranges it takes to write it out.
    fn things(&self) -> u64 {
        let endpoints = self.endpoints.iter().flatten().map(|alike| alike.n);
        let others = [
            self.external_ips,
            self.load_balancer_ips,
            self.source_ranges,
        ];
        endpoints.chain(others).fold(0, u64::saturating_add)
    }

    /// The service on a VIP.
    fn service(&self, vip: Vip) -> Service {
        let endpoints = self.endpoints.as_ref().map(|alike| {
            let each = alike.iter().flat_map(|alike| {
                let endpoint = Endpoint {
                    weight: alike.weight,
                    local: alike.local,
                    ..Endpoint::at(None, alike.port)
                };
                (0..alike.n).map(move |_| endpoint)
            });
            each.collect()
        });
        Service {
            service_type: self.service_type,
            node_port: self.node_port.then_some(None),
            external_ips: vec![None; self.external_ips as usize],
            load_balancer_ips: vec![None; self.load_balancer_ips as usize],
            source_ranges: vec![None; self.source_ranges as usize],
            external_local: self.external_local,
            internal_local: self.internal_local,
            affinity_seconds: self.affinity.map(|affinity| affinity.seconds),
            endpoints,
            ..Service::new(vip, self.port, self.protocol)
        }
    }
}
