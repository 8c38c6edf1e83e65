//! Services as those of a cluster are, in place of equal ones: what `--population` asks for. Shapes alone, without a name or an
//! address of the cluster's; addresses come from the lab's plan, as those of all populations do.

use netns_harness::service::{MAX_ENDPOINTS, MAX_NODE_PORTS, Plan};
use schema::{Family, Protocol, ReachedBy};
use serde::{Deserialize, Serialize};

use crate::drawn::{ADDED_SERVICES, SPARE_SERVICES, drawn_of, mix};

/// What a service is, but for its addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kind {
    /// Its port.
    pub port: u16,
    /// Its protocol.
    pub protocol: Protocol,
    /// Endpoints, at most [`MAX_ENDPOINTS`].
    pub endpoints: u32,
    /// How many of them are on the node itself.
    #[serde(default)]
    pub local: u32,
    /// Whether it has a node port.
    #[serde(default)]
    pub node_port: bool,
    /// Addresses of its load balancer.
    #[serde(default)]
    pub load_balancers: u32,
    /// External addresses.
    #[serde(default)]
    pub externals: u32,
    /// Whether its load balancer has source ranges.
    #[serde(default)]
    pub ranged: bool,
    /// `externalTrafficPolicy: Local`.
    #[serde(default)]
    pub external_local: bool,
    /// `internalTrafficPolicy: Local`.
    #[serde(default)]
    pub internal_local: bool,
    /// How long a client keeps its endpoint, seconds.
    #[serde(default)]
    pub affinity_s: Option<u32>,
}

/// How many of each have been given to the services before one, so that none has another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Before {
    /// Endpoints on other nodes.
    pub(crate) endpoints: u32,
    /// Endpoints on the node.
    pub(crate) local: u32,
    /// Node ports of its protocol.
    pub(crate) node_ports: u32,
    /// Ports of health checks.
    pub(crate) health_checks: u32,
    /// Addresses of load balancers.
    pub(crate) load_balancers: u32,
    /// External addresses.
    pub(crate) externals: u32,
}

/// Services of one family, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Imported {
    hash: String,
    kinds: Vec<Kind>,
    /// Of each service and, last, of all of them.
    before: Vec<Before>,
    /// Node ports of each protocol, in all.
    node_ports: [u32; Protocol::ALL.len()],
}

/// How they are written: equal ones that follow each other once, with their number.
#[derive(Serialize, Deserialize)]
struct Written {
    hash: String,
    kinds: Vec<(u32, Kind)>,
}

/// Why services cannot be measured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoRoom {
    /// There are none.
    #[error("it has no service that could be measured")]
    Nothing,
    /// One has more endpoints than any may have.
    #[error("it has a service of {0} endpoints, and one may have {MAX_ENDPOINTS} here")]
    Endpoints(u32),
    /// More of something than the plan holds.
    #[error("it has {has} {what}, and the lab's plan holds {most}")]
    Plan {
        /// What, in the plural.
        what: &'static str,
        /// How many there are.
        has: u64,
        /// How many there may be.
        most: u64,
    },
}

impl Imported {
    /// Services, with the hash of their shape.
    ///
    /// # Errors
    /// The lab has no room for them.
    pub fn new(hash: String, kinds: Vec<Kind>) -> Result<Self, NoRoom> {
        let all = Self::counted(hash, kinds);
        all.check().map(|()| all)
    }

    fn counted(hash: String, kinds: Vec<Kind>) -> Self {
        let mut before = Vec::with_capacity(kinds.len() + 1);
        let mut so_far = Before::default();
        let mut node_ports = [0; Protocol::ALL.len()];
        for kind in &kinds {
            let of_protocol = &mut node_ports[kind.protocol as usize];
            before.push(Before {
                node_ports: *of_protocol,
                ..so_far
            });
            *of_protocol += u32::from(kind.node_port);
            let local = kind.local.min(kind.endpoints);
            so_far = Before {
                endpoints: so_far.endpoints.saturating_add(kind.endpoints - local),
                local: so_far.local.saturating_add(local),
                node_ports: 0,
                health_checks: so_far.health_checks + u32::from(kind.has_health_check()),
                load_balancers: so_far.load_balancers.saturating_add(kind.load_balancers),
                externals: so_far.externals.saturating_add(kind.externals),
            };
        }
        before.push(so_far);
        Self {
            hash,
            kinds,
            before,
            node_ports,
        }
    }

    fn check(&self) -> Result<(), NoRoom> {
        if self.kinds.is_empty() {
            return Err(NoRoom::Nothing);
        }
        let largest = self.largest();
        if largest.endpoints > MAX_ENDPOINTS {
            return Err(NoRoom::Endpoints(largest.endpoints));
        }
        // As many in either family.
        let plan = Plan::of(Family::Ipv4);
        let remote: u32 = plan.remote_endpoints().into_iter().map(drawn_of).sum();
        let (all, more) = (self.all(), u64::from(ADDED_SERVICES));
        let spare = more * u64::from(largest.endpoints) + u64::from(SPARE_SERVICES);
        let sum = |of: fn(&Kind) -> u32| {
            self.kinds
                .iter()
                .map(|kind| u64::from(of(kind)))
                .sum::<u64>()
        };
        let ports = self.node_ports.iter().max().copied().unwrap_or_default();
        for (what, has, most) in [
            (
                "services, those of updates among them",
                self.kinds.len() as u64 + more,
                u64::from(netns_harness::service::MAX_SERVICES),
            ),
            (
                "endpoints, those of updates among them",
                sum(|k| k.endpoints) + spare,
                u64::from(remote),
            ),
            (
                "endpoints on the node",
                sum(|k| k.local),
                u64::from(drawn_of(plan.local_endpoints)),
            ),
            (
                "addresses of load balancers",
                sum(|k| k.load_balancers),
                u64::from(drawn_of(plan.load_balancers)),
            ),
            (
                "external addresses",
                sum(|k| k.externals),
                u64::from(drawn_of(plan.externals)),
            ),
            (
                "node ports of a protocol, those of updates among them",
                u64::from(ports) + more,
                u64::from(MAX_NODE_PORTS),
            ),
            (
                "health checks",
                u64::from(all.health_checks) + more,
                u64::from(MAX_NODE_PORTS),
            ),
        ] {
            if has > most {
                return Err(NoRoom::Plan { what, has, most });
            }
        }
        Ok(())
    }

    /// The hash of their shape.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// What each of them is.
    #[must_use]
    pub fn kinds(&self) -> &[Kind] {
        &self.kinds
    }

    /// All endpoints, kube-proxy's measure of a large cluster.
    #[must_use]
    pub fn endpoints(&self) -> u32 {
        let all = self.all();
        all.endpoints + all.local
    }

    /// Protocols of theirs.
    #[must_use]
    pub fn protocols(&self) -> Vec<Protocol> {
        let has = |protocol: &&Protocol| self.kinds.iter().any(|kind| kind.protocol == **protocol);
        Protocol::ALL.iter().filter(has).copied().collect()
    }

    /// How many of them have more endpoints than that.
    #[must_use]
    pub fn with_more_than(&self, endpoints: u32) -> u32 {
        let more = self.kinds.iter().filter(|kind| kind.endpoints > endpoints);
        more.count() as u32
    }

    /// By which addresses somebody answers pods over a protocol; where nobody does by the ClusterIP, at which it is seen.
    #[must_use]
    pub fn asked_by(&self, protocol: Protocol) -> Vec<ReachedBy> {
        let by = |by: &&ReachedBy| {
            let has = |kind: &Kind| match by {
                // Mode ipvs has all endpoints behind a ClusterIP that is reached from outside by another address.
                ReachedBy::ClusterIp => {
                    !kind.internal_local || kind.local > 0 || kind.is_external()
                }
                ReachedBy::NodePort => kind.node_port,
                // Source ranges of a lab's are those of clients outside.
                ReachedBy::LoadBalancer => kind.load_balancers > 0 && !kind.ranged,
                ReachedBy::ExternalIp => kind.externals > 0,
            };
            let mut kinds = self.kinds.iter();
            kinds.any(|kind| kind.protocol == protocol && kind.endpoints > 0 && has(kind))
        };
        let asked: Vec<ReachedBy> = ReachedBy::ALL.iter().filter(by).copied().collect();
        match asked.is_empty() {
            true => vec![ReachedBy::ClusterIp],
            false => asked,
        }
    }

    /// What service number `index` is: one of the cluster's; beyond them, for updates, one of theirs that is drawn among
    /// those of their first protocol.
    pub(crate) fn kind(&self, index: u32, seed: u64) -> Kind {
        if let Some(kind) = self.kinds.get(index as usize) {
            return *kind;
        }
        let protocol = self.protocols()[0];
        let alike: Vec<&Kind> = self
            .kinds
            .iter()
            .filter(|kind| kind.protocol == protocol)
            .collect();
        *alike[mix(seed ^ u64::from(index)) as usize % alike.len()]
    }

    /// What has been given to the services before one.
    pub(crate) fn before(&self, index: u32, protocol: Protocol) -> Before {
        let all = self.kinds.len() as u32;
        let Some(beyond) = index.checked_sub(all) else {
            return self.before[index as usize];
        };
        let (end, each) = (self.all(), self.largest());
        Before {
            endpoints: end.endpoints + beyond * each.endpoints,
            local: end.local + beyond * each.local,
            node_ports: self.node_ports[protocol as usize] + beyond,
            health_checks: end.health_checks + beyond,
            load_balancers: end.load_balancers + beyond * each.load_balancers,
            externals: end.externals + beyond * each.externals,
        }
    }

    /// The number of an endpoint that no service has, for updates that replace one; `nth` below [`SPARE_SERVICES`].
    pub(crate) fn spare(&self, nth: u32) -> Before {
        let end = self.before(self.kinds.len() as u32 + ADDED_SERVICES, Protocol::Tcp);
        Before {
            endpoints: end.endpoints + nth,
            local: end.local + nth,
            ..end
        }
    }

    fn all(&self) -> Before {
        *self.before.last().expect("there is one of all")
    }

    /// The most that one of them has.
    fn largest(&self) -> Before {
        let most = |of: fn(&Kind) -> u32| self.kinds.iter().map(of).max().unwrap_or_default();
        Before {
            endpoints: most(|kind| kind.endpoints),
            local: most(|kind| kind.local),
            load_balancers: most(|kind| kind.load_balancers),
            externals: most(|kind| kind.externals),
            ..Before::default()
        }
    }
}

impl Kind {
    const fn is_external(&self) -> bool {
        self.node_port || self.load_balancers > 0 || self.externals > 0
    }

    /// Whether others ask the node for its endpoints there (`spec.healthCheckNodePort`).
    pub(crate) const fn has_health_check(&self) -> bool {
        self.external_local && self.load_balancers > 0
    }
}

impl From<Imported> for Written {
    fn from(imported: Imported) -> Self {
        let mut kinds: Vec<(u32, Kind)> = Vec::new();
        for kind in imported.kinds {
            match kinds.last_mut() {
                Some((number, last)) if *last == kind => *number += 1,
                _ => kinds.push((1, kind)),
            }
        }
        Self {
            hash: imported.hash,
            kinds,
        }
    }
}

impl TryFrom<Written> for Imported {
    type Error = NoRoom;

    fn try_from(written: Written) -> Result<Self, NoRoom> {
        let kinds = written.kinds.into_iter();
        let each = kinds.flat_map(|(number, kind)| std::iter::repeat_n(kind, number as usize));
        Self::new(
            written.hash,
            each.take(netns_harness::service::MAX_SERVICES as usize + 1)
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::population::{CLUSTER_IPS, Recipe};
    use netns_harness::service::{Endpoint, Service};
    use std::collections::HashSet;

    fn plain(protocol: Protocol, endpoints: u32) -> Kind {
        Kind {
            port: 443,
            protocol,
            endpoints,
            local: 0,
            node_port: false,
            load_balancers: 0,
            externals: 0,
            ranged: false,
            external_local: false,
            internal_local: false,
            affinity_s: None,
        }
    }

    /// Services of many kinds, each a few times.
    fn kinds() -> Vec<Kind> {
        let balanced = Kind {
            local: 2,
            node_port: true,
            load_balancers: 2,
            ranged: true,
            external_local: true,
            ..plain(Protocol::Tcp, 5)
        };
        let external = Kind {
            externals: 40,
            affinity_s: Some(600),
            ..plain(Protocol::Tcp, 1)
        };
        let each = [
            plain(Protocol::Udp, 3),
            balanced,
            plain(Protocol::Tcp, 0),
            external,
            plain(Protocol::Tcp, 400),
        ];
        each.into_iter()
            .flat_map(|kind| std::iter::repeat_n(kind, 7))
            .collect()
    }

    fn recipe(imported: &Imported) -> Recipe<'_> {
        Recipe {
            family: Family::Ipv4,
            seed: 3,
            endpoints: 1,
            protocols: &[Protocol::Tcp, Protocol::Udp],
            vip_stride: None,
            types: CLUSTER_IPS,
            imported: Some(imported),
        }
    }

    #[test]
    fn nobody_is_asked_by_an_address_at_which_none_of_them_answers() {
        use ReachedBy::{ClusterIp, ExternalIp, LoadBalancer, NodePort};
        let here = Kind {
            internal_local: true,
            ..plain(Protocol::Tcp, 2)
        };
        let ranged = Kind {
            load_balancers: 1,
            node_port: true,
            ranged: true,
            ..here
        };
        let empty = plain(Protocol::Tcp, 0);
        let asked = |kinds: &[Kind]| {
            let imported = Imported::new("h".to_owned(), kinds.to_vec()).unwrap();
            imported.asked_by(Protocol::Tcp)
        };
        assert_eq!(asked(&[empty, here]), [ClusterIp], "it says so");
        assert_eq!(asked(&[ranged]), [ClusterIp, NodePort], "as ipvs has it");
        assert_eq!(asked(&[Kind { local: 1, ..here }]), [ClusterIp]);
        let open = Kind {
            ranged: false,
            ..ranged
        };
        assert_eq!(asked(&[ranged, open]), [ClusterIp, NodePort, LoadBalancer]);
        let all = Imported::new("h".to_owned(), kinds()).unwrap();
        assert_eq!(
            all.asked_by(Protocol::Tcp),
            [ClusterIp, NodePort, ExternalIp],
            "source ranges admit nobody"
        );
        assert_eq!(all.asked_by(Protocol::Udp), [ClusterIp]);
    }

    #[test]
    fn services_are_what_their_kinds_say_and_share_nothing_with_those_of_updates() {
        let imported = Imported::new("h".to_owned(), kinds()).unwrap();
        let recipe = recipe(&imported);
        let all = imported.kinds().len() as u32;
        // Those of the cluster, and those that updates add.
        let services = recipe.population(all + ADDED_SERVICES).services;
        for (service, kind) in services.iter().zip(imported.kinds()) {
            let (exposure, endpoints) = (&service.exposure, service.endpoints.len() as u32);
            assert_eq!(
                (service.frontend.port, service.frontend.protocol),
                (kind.port, kind.protocol)
            );
            assert_eq!(
                (endpoints, service.local.len() as u32),
                (kind.endpoints, kind.local)
            );
            assert_eq!(exposure.node_port.is_some(), kind.node_port);
            assert_eq!(exposure.load_balancer.len() as u32, kind.load_balancers);
            assert_eq!(exposure.external.len() as u32, kind.externals);
            assert_eq!(exposure.health_check_port.is_some(), kind.external_local);
            assert_eq!(exposure.affinity_s, kind.affinity_s);
        }
        for added in &services[all as usize..] {
            assert_eq!(added.frontend.protocol, Protocol::Tcp);
        }
        let spare = [false, true].into_iter().flat_map(|is_local| {
            (0..SPARE_SERVICES).map(move |nth| recipe.spare_endpoint(all, nth, is_local))
        });
        let endpoints = services
            .iter()
            .flat_map(|service| service.endpoints.iter().copied());
        let endpoints: Vec<Endpoint> = endpoints.chain(spare).collect();
        let each: HashSet<&Endpoint> = endpoints.iter().collect();
        assert_eq!(each.len(), endpoints.len());
        let frontends: Vec<_> = services.iter().flat_map(Service::frontends).collect();
        let each: HashSet<_> = frontends.iter().map(|(_, frontend)| frontend).collect();
        assert_eq!(each.len(), frontends.len());
        assert_eq!(imported.endpoints(), 7 * (3 + 5 + 1 + 400));
    }

    #[test]
    fn they_are_written_by_their_kinds_and_read_as_they_were() {
        let imported = Imported::new("h".to_owned(), kinds()).unwrap();
        let text = serde_json::to_string(&imported).unwrap();
        assert!(text.len() < 1_500, "{text}");
        assert_eq!(serde_json::from_str::<Imported>(&text).unwrap(), imported);
    }

    #[test]
    fn what_the_plan_has_no_room_for_is_refused_with_its_limit() {
        let refused =
            |kinds: Vec<Kind>| Imported::new(String::new(), kinds).unwrap_err().to_string();
        assert_eq!(refused(Vec::new()), NoRoom::Nothing.to_string());
        assert!(
            refused(vec![plain(Protocol::Tcp, 1_001)])
                .contains("1001 endpoints, and one may have 1000")
        );
        let ports = Kind {
            node_port: true,
            ..plain(Protocol::Tcp, 1)
        };
        assert!(refused(vec![ports; 2_669]).contains("the lab's plan holds 2768"));
        assert!(Imported::new(String::new(), vec![ports; 2_668]).is_ok());
        assert!(
            refused(vec![plain(Protocol::Tcp, 1); 99_901])
                .contains("services, those of updates among them, and the lab's plan holds 100000")
        );
        assert!(refused(vec![plain(Protocol::Tcp, 1_000); 6_300]).contains("endpoints"));
    }
}
