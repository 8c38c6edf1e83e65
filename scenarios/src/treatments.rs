//! That flows are treated as a population of services of other types than the ordinary one promises: from every kind of client
//! that a lab has to every address by which a service is reached (METHODOLOGY.md#proof-before-numbers).
//!
//! The census sees where a ClusterIP leads, and probes ask by it as pods do. Whether others are served by other addresses, by
//! whom, under which source address, or are refused or dropped, is seen by flows alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use netns_harness::service::{Endpoint, Frontend, Plan, Population, Service};
use netns_harness::traffic::{Ask, Client, Reached, Seen};
use netns_harness::treatment::{Source, Treatment, answering, wanted_by};
use schema::{KubeProxyVersion, Mix, Mode, Stage};

use crate::error::{At as _, CellError, Result};
use crate::imported::{Imported, Kind};
use crate::proof::rounds;
use crate::spec::StaySpec;

/// Clients of which each asks twice: two endpoints that nobody remembers would answer all of them alike once in a million.
const CLIENTS: u32 = 20;
/// Flows of one kind of client to one address of a service, at most. As many show each of two endpoints; of more it is
/// seen that who answers is one of those that should, not that each does, which is known of pods.
const MOST_FLOWS: usize = 40;
/// Services of a type that are asked, at most.
const LANDMARKS: usize = 3;

/// Flows of one kind of client, at most, in a population of that, or of services as those of a cluster.
pub(crate) fn most_flows(mix: &Mix, imported: Option<&Imported>) -> u32 {
    let addresses: usize = match imported {
        _ if mix.is_ordinary() => 0,
        Some(imported) => {
            let mut most: BTreeMap<_, usize> = BTreeMap::new();
            for kind in imported.kinds() {
                let most = most.entry(kind.traits()).or_default();
                *most = kind.addresses().min(MOST_ADDRESSES).max(*most);
            }
            most.into_values().sum()
        }
        None => mix.types().map(|of| of.addresses().len()).sum(),
    };
    (LANDMARKS * addresses * MOST_FLOWS) as u32
}

/// Addresses of one service that are asked, at most.
const MOST_ADDRESSES: usize = 9;

/// What is to become of a flow.
struct Case<'a> {
    service: &'a Service,
    ask: Ask,
    wanted: Treatment,
}

/// Asks the first, middle and last service of each kind from everywhere by every address, the endpoints of this node their
/// own service until they reach themselves, and where clients are remembered two flows of one. Returns how many cases
/// there were; a floor has none.
///
/// # Errors
/// The first flow that was treated otherwise.
pub(crate) fn check(
    spec: &StaySpec,
    version: KubeProxyVersion,
    population: &Population,
    client: &mut Client<'_>,
) -> Result<usize> {
    let mode = spec.mode;
    let chosen = of_each_kind(population);
    let cases: Vec<Case<'_>> = chosen
        .iter()
        .copied()
        .flat_map(|service| {
            let wanted = of_some_addresses(wanted_by(version, service, mode));
            wanted.map(move |((from, to), wanted)| Case {
                service,
                ask: Ask { from, to },
                wanted,
            })
        })
        .filter(|case| client.has(case.ask.from))
        .collect();
    for case in &cases {
        case.check(cases.len(), client)?;
    }
    let mut checked = cases.len();
    for service in chosen.into_iter().filter(|_| !mode.is_floor()) {
        checked += usize::from(reaches_itself(mode, service, client)?);
        checked += usize::from(remembers(mode, service, client)?);
    }
    Ok(checked)
}

/// What is to become of flows to [`MOST_ADDRESSES`] of a service's addresses, evenly chosen where it has more: a cluster may
/// have thousands of external ones on one service.
fn of_some_addresses(
    wanted: BTreeMap<(Source, Frontend), Treatment>,
) -> impl Iterator<Item = ((Source, Frontend), Treatment)> {
    let each: BTreeSet<Frontend> = wanted.keys().map(|(_, to)| *to).collect();
    let step = each.len().div_ceil(MOST_ADDRESSES).max(1);
    let asked: BTreeSet<Frontend> = each.into_iter().step_by(step).collect();
    wanted
        .into_iter()
        .filter(move |((_, to), _)| asked.contains(to))
}

/// What a service has, as far as flows to it are treated by it: as many of these as there are types, or kinds in a cluster.
fn traits(service: &Service) -> Traits {
    let exposure = &service.exposure;
    [
        exposure.node_port.is_some(),
        !exposure.load_balancer.is_empty(),
        !exposure.external.is_empty(),
        !exposure.source_ranges.is_empty(),
        exposure.external_local,
        exposure.internal_local,
        exposure.affinity_s.is_some(),
        service.endpoints.is_empty(),
        !service.local.is_empty(),
    ]
}

/// See [`traits`].
type Traits = [bool; 9];

impl Kind {
    /// [`traits`] of the services that are it.
    const fn traits(&self) -> Traits {
        [
            self.node_port,
            self.load_balancers > 0,
            self.externals > 0,
            self.ranged,
            self.external_local,
            self.internal_local,
            self.affinity_s.is_some(),
            self.endpoints == 0,
            self.local > 0,
        ]
    }

    /// By how many addresses they are reached.
    const fn addresses(&self) -> usize {
        1 + self.node_port as usize + self.load_balancers as usize + self.externals as usize
    }
}

/// The first, middle and last of the services that have the same.
fn of_each_kind(population: &Population) -> Vec<&Service> {
    let mut kinds: BTreeMap<_, Vec<&Service>> = BTreeMap::new();
    for service in &population.services {
        kinds.entry(traits(service)).or_default().push(service);
    }
    let landmarks = |own: Vec<_>| {
        let places: [usize; LANDMARKS] = [0, own.len() / 2, own.len() - 1];
        let mut places = places.to_vec();
        places.dedup();
        places.into_iter().map(move |place| own[place])
    };
    kinds.into_values().flat_map(landmarks).collect()
}

impl Case<'_> {
    fn check(&self, cases: usize, client: &mut Client<'_>) -> Result {
        let (wanted, seen) = match &self.wanted {
            Treatment::Served {
                shares,
                masqueraded,
            } => return self.is_served(shares, *masqueraded, cases, client),
            Treatment::Refused => (Seen::Refused, client.ask_patiently(self.ask)),
            Treatment::Dropped | Treatment::Untouched => (Seen::Silent, client.ask_once(self.ask)),
        };
        match seen.at(Stage::Proof)? {
            seen if seen != wanted => Err(self.unlike(seen)),
            _ => Ok(()),
        }
    }

    fn is_served(
        &self,
        shares: &BTreeMap<Endpoint, f64>,
        masqueraded: bool,
        cases: usize,
        client: &mut Client<'_>,
    ) -> Result {
        let enough = rounds(cases, shares.len());
        let mut unseen: BTreeSet<Endpoint> = shares.keys().copied().collect();
        for _ in 0..enough.min(MOST_FLOWS) {
            for reached in client.probe_all(&[self.ask]).at(Stage::Proof)? {
                let known = shares
                    .get(&reached.endpoint)
                    .is_some_and(|share| *share > 0.0);
                if !known || !self.is_from(masqueraded, reached) {
                    return Err(self.unlike(reached));
                }
                unseen.remove(&reached.endpoint);
            }
            if unseen.is_empty() {
                return Ok(());
            }
        }
        // One that is remembered does not come to every endpoint, whatever it is asked.
        let remembered = self.service.exposure.affinity_s.is_some();
        match unseen.first() {
            Some(endpoint) if enough <= MOST_FLOWS && !remembered => {
                Err(self.unlike(format_args!("in {enough} flows not answered by {endpoint}")))
            }
            _ => Ok(()),
        }
    }

    /// Whether an endpoint saw the client's own address and port, or where it is masqueraded another address. What the node
    /// sends has the node's address either way, and a random port, which may be the one that it had.
    fn is_from(&self, masqueraded: bool, reached: Reached) -> bool {
        match (self.ask.from, masqueraded) {
            (Source::Node, _) => reached.seen.ip() == reached.source.ip(),
            (_, true) => reached.seen.ip() == Source::Node.address(Plan::of(self.ask.to.family())),
            (_, false) => reached.seen == reached.source,
        }
    }

    fn unlike(&self, seen: impl fmt::Display) -> CellError {
        let (Ask { from, to }, wanted) = (self.ask, &self.wanted);
        unlike(
            from,
            format_args!("{} at {to}", self.service.name()),
            wanted,
            seen,
        )
    }
}

fn unlike(
    from: impl fmt::Display,
    to: impl fmt::Display,
    wanted: impl fmt::Display,
    seen: impl fmt::Display,
) -> CellError {
    let why = format!("a flow of {from} to {to} was to be {wanted}, and was {seen}");
    CellError::at(Stage::Proof, why)
}

/// Whether an endpoint of this node that asks its own service, by its ClusterIP, was seen to be answered by itself, which it
/// can only be if it is masqueraded: what comes with its own address it drops. So does it what it sends to another endpoint,
/// for these are where it is, past the node; thus it asks until it comes to itself. False where it has none that the
/// ClusterIP leads to, and where it did not come to itself in as many flows as may be opened.
fn reaches_itself(mode: Mode, service: &Service, client: &mut Client<'_>) -> Result<bool> {
    let endpoints = answering(service, mode);
    let own = service.local.iter().find(|own| endpoints.contains(own));
    let Some(own) = own else { return Ok(false) };
    let enough = rounds(1, endpoints.len());
    let wrong = |seen: &dyn fmt::Display| {
        let wanted = "answered by itself, masqueraded";
        Err(unlike(own, service.frontend, wanted, seen))
    };
    for _ in 0..enough.min(MOST_FLOWS) {
        match client.ask_from(*own, service.frontend).at(Stage::Proof)? {
            Seen::Silent => {}
            Seen::Answered(by) if by.endpoint == *own && by.seen.ip() != by.source.ip() => {
                return Ok(true);
            }
            other => return wrong(&other),
        }
    }
    match enough <= MOST_FLOWS {
        true => wrong(&format_args!("not answered in {enough} flows")),
        false => Ok(false),
    }
}

/// Whether two flows of each of [`CLIENTS`] clients were seen to come to one endpoint; false where nothing remembers clients
/// or answers them.
fn remembers(mode: Mode, service: &Service, client: &mut Client<'_>) -> Result<bool> {
    if service.exposure.affinity_s.is_none() || answering(service, mode).is_empty() {
        return Ok(false);
    }
    for _ in 0..CLIENTS {
        let [first, second] = client.probe_twice(service.frontend).at(Stage::Proof)?;
        if first.endpoint != second.endpoint {
            let wanted = format!("answered by {} like the one before it", first.endpoint);
            return Err(unlike(Source::Pod, service.frontend, wanted, second));
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::population::{CLUSTER_IPS, Recipe};
    use schema::{Family, Protocol, ServiceType};

    #[test]
    fn three_services_of_each_type_are_asked_and_fewer_where_there_are_fewer() {
        use ServiceType::{ClusterIp, NodePort};
        let recipe = |types| Recipe {
            family: Family::Ipv4,
            seed: 1,
            endpoints: 2,
            protocols: &[Protocol::Tcp, Protocol::Udp],
            vip_stride: None,
            types,
            imported: None,
        };
        let asked = |types: &'static [ServiceType], services| {
            let recipe = recipe(types);
            let population = recipe.population(services);
            let asked = of_each_kind(&population).into_iter();
            asked.map(|service| service.index).collect::<Vec<u32>>()
        };
        assert_eq!(asked(CLUSTER_IPS, 100), [0, 50, 99]);
        assert_eq!(asked(CLUSTER_IPS, 1), [0]);
        assert_eq!(asked(&[ClusterIp, NodePort], 8), [0, 4, 5, 2, 6, 7]);
        assert!(asked(CLUSTER_IPS, 0).is_empty());
    }

    #[test]
    fn of_thousands_of_addresses_some_are_asked_by_everybody_and_of_a_few_all() {
        let recipe = Recipe {
            family: Family::Ipv4,
            seed: 1,
            endpoints: 2,
            protocols: &[Protocol::Tcp],
            vip_stride: None,
            types: &[ServiceType::ExternalIp],
            imported: None,
        };
        let mut service = recipe.service(0);
        let asked = |service: &Service| {
            let wanted = wanted_by(KubeProxyVersion::default(), service, Mode::IptablesLegacy);
            let (all, some) = (wanted.len(), of_some_addresses(wanted).count());
            (all / Source::ALL.len(), some / Source::ALL.len())
        };
        assert_eq!(asked(&service), (2, 2));
        let others = (1..3_000).flat_map(|i| recipe.service(i).exposure.external);
        service.exposure.external.extend(others);
        assert_eq!(asked(&service), (3_001, 9));
    }

    #[test]
    fn two_endpoints_are_seen_within_the_flows_of_a_case_in_a_mix_of_all_types() {
        let addresses = ServiceType::ALL.iter().map(|t| t.addresses().len());
        let cases = 3 * Source::ALL.len() * addresses.sum::<usize>();
        assert!(rounds(cases, 2) <= MOST_FLOWS, "{cases}");
    }
}
