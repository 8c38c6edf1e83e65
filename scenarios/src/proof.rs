//! No number without proof: census, probes, spread, counters, emptiness (METHODOLOGY.md#proof-before-numbers).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use netns_harness::relation::Relation;
use netns_harness::service::{Endpoint, Frontend, Plan, Population, Service};
use netns_harness::traffic::{Ask, Client, Reached};
use netns_harness::treatment::{self, Source, Treatment, answering};
use rand::{Rng, RngExt};
use schema::{Mode, Position, Protocol, Stage};
use special::Gamma as _;

use crate::error::{At as _, CellError};
use crate::position::Services as _;

/// Probes open at the same time: well below the usual limit of 1,024 descriptors.
const OPEN_AT_ONCE: usize = 200;
/// Up to this many services all are probed.
const PROBE_ALL: usize = 1_000;
/// Above, this many random ones (and the first, middle and last).
const PROBE_SOME: usize = 256;
/// Of every probed service each endpoint must answer where they have no more endpoints than this.
const PROBE_ENDPOINTS: usize = 40_000;
/// Else of services at even distances that have about so many, and of the others one: an endpoint of a thousand takes 7,500
/// flows to be sure of.
const PROBE_FEWER: usize = 10_000;
/// Flows of a spread test for each endpoint; and where a service has more than [`MANY`].
const SPREAD_FLOWS: [usize; 2] = [20, 10];
const MANY: usize = 100;
/// Chance that a sound datapath hides an endpoint from all of its service's probes, over a whole proof.
const MISS_CHANCE: f64 = 1e-9;
/// A sound datapath fails the spread test once in a million (and the census has seen its shares).
pub(crate) const SPREAD_P: f64 = 1e-6;

/// What the kernel lists must be the population.
///
/// # Errors
/// The first differences.
pub(crate) fn census(
    listed: &Relation,
    population: &Population,
    mode: Mode,
) -> Result<usize, CellError> {
    let wanted = if mode.is_floor() {
        Relation::default()
    } else {
        Relation::of(population)
    };
    match listed.differences(&wanted) {
        None => Ok(wanted.0.len()),
        Some(differences) => Err(CellError::at(
            Stage::Proof,
            format!("census: {differences}"),
        )),
    }
}

/// Where the kernel walks lists, it must walk the addresses of services in population order.
///
/// # Errors
/// The first place where the order differs.
pub(crate) fn order(
    walked: Option<&[Frontend]>,
    population: &Population,
    mode: Mode,
) -> Result<(), CellError> {
    let Some(walked) = walked else { return Ok(()) };
    let wanted = treatment::walked(population, mode);
    if walked == wanted {
        return Ok(());
    }
    let same = wanted.iter().zip(walked).take_while(|(a, b)| a == b);
    let why = format!(
        "the kernel walks {} addresses of services, not in population order from place {}",
        walked.len(),
        same.count()
    );
    Err(CellError::at(Stage::Proof, why))
}

/// Where a flow to a service goes: its VIP, or on a floor one of its endpoints.
pub(crate) fn destination(mode: Mode, service: &Service, rng: &mut impl Rng) -> Frontend {
    if mode.is_floor() {
        let endpoint = service.endpoints[rng.random_range(0..service.endpoints.len())];
        Frontend {
            vip: endpoint.address,
            port: endpoint.port,
            protocol: service.frontend.protocol,
        }
    } else {
        service.frontend
    }
}

/// Whoever answered must be one of the service's endpoints, and on a floor the very one that was asked; and it must
/// have been asked by the client itself.
pub(crate) fn check_reached(
    mode: Mode,
    service: &Service,
    to: Frontend,
    reached: Reached,
) -> Result<(), CellError> {
    let asked = Endpoint {
        address: to.vip,
        port: to.port,
    };
    let right = answering(service, mode).contains(&reached.endpoint)
        && (!mode.is_floor() || reached.endpoint == asked);
    // Clients are inside of the cluster, and no endpoint asks itself.
    check_answer(to, reached, right, false)
}

/// Whoever answered must be one that flows are served by, asked by whom they are to be.
pub(crate) fn check_treated(
    treatment: &Treatment,
    to: Frontend,
    reached: Reached,
) -> Result<(), CellError> {
    match treatment {
        Treatment::Served {
            shares,
            masqueraded,
        } => {
            let right = shares.contains_key(&reached.endpoint);
            check_answer(to, reached, right, *masqueraded)
        }
        _ => check_answer(to, reached, false, false),
    }
}

/// Whether a flow was answered by the right one, which saw it come from its source, or masqueraded from the node. What the
/// node sends has the node's address either way, and a random port, which may be the one that it had.
fn check_answer(
    to: Frontend,
    reached: Reached,
    right: bool,
    masqueraded: bool,
) -> Result<(), CellError> {
    let failed = |why: String| Err(CellError::at(Stage::Proof, why));
    let node = Source::Node.address(Plan::of(to.family()));
    let of_node = reached.source.ip() == node;
    let (wanted, how) = match masqueraded || of_node {
        true => (reached.seen.ip() == node, "not masqueraded"),
        false => (reached.seen == reached.source, "masqueraded"),
    };
    if !wanted {
        return failed(format!(
            "a flow of {} to {to} came to {} as one of {}: it was {how}",
            reached.source, reached.endpoint, reached.seen
        ));
    }
    match right {
        true => Ok(()),
        false => failed(format!(
            "a flow to {to} was answered by {}",
            reached.endpoint
        )),
    }
}

/// What the probes of a proof saw.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Probed {
    /// Services reached.
    pub(crate) services: usize,
    /// Flows opened.
    pub(crate) flows: usize,
    /// Smallest p-value of the spread tests; 1 where there is nothing to spread.
    pub(crate) spread_p: f64,
}

/// Reaches every service (or a sample of many) until each of its endpoints has answered, and tests the
/// spread of the first, middle and last.
///
/// # Errors
/// No answer, an answer by a stranger, an endpoint that never answers, or an uneven spread.
pub(crate) fn probe(
    mode: Mode,
    population: &Population,
    protocols: &[Protocol],
    client: &mut Client<'_>,
    rng: &mut impl Rng,
) -> Result<Probed, CellError> {
    let mut chosen = choose(mode, population, protocols, rng);
    // Who asks is a pod: that nobody answers is seen by no probe.
    chosen.retain(|s| !answering(s, mode).is_empty());
    let whole = in_whole(&chosen, mode);
    let endpoints = chosen.iter().map(|s| answering(s, mode).len());
    let limit = rounds(whole.len(), endpoints.max().unwrap_or(1));
    let mut unseen: HashMap<u32, BTreeSet<Endpoint>> = chosen
        .iter()
        .map(|s| (s.index, answering(s, mode).iter().copied().collect()))
        .collect();
    let mut open: Vec<&Service> = chosen.clone();
    let mut flows = 0;
    for _ in 0..limit {
        if open.is_empty() {
            break;
        }
        for services in open.chunks(OPEN_AT_ONCE) {
            let asks: Vec<Ask> = services
                .iter()
                .map(|s| match (mode.is_floor(), unseen[&s.index].first()) {
                    (true, Some(next)) => next.as_frontend(s.frontend.protocol),
                    _ => s.frontend,
                })
                .map(Ask::from)
                .collect();
            let answers = reach(client, &asks)?;
            flows += answers.len();
            for ((service, ask), reached) in services.iter().zip(&asks).zip(answers) {
                check_reached(mode, service, ask.to, reached)?;
                if let Some(left) = unseen.get_mut(&service.index) {
                    left.remove(&reached.endpoint);
                }
            }
        }
        open.retain(|s| whole.contains(&s.index) && !unseen[&s.index].is_empty());
    }
    if let Some(service) = open.first() {
        let silent: Vec<String> = unseen[&service.index]
            .iter()
            .map(ToString::to_string)
            .collect();
        return Err(CellError::at(
            Stage::Proof,
            format!(
                "{} never answered for {} in {limit} flows",
                silent.join(", "),
                service.frontend
            ),
        ));
    }
    let (spread_p, more) = spread(mode, population, protocols, client)?;
    Ok(Probed {
        services: chosen.len(),
        flows: flows + more,
        spread_p,
    })
}

fn reach(client: &mut Client<'_>, asks: &[Ask]) -> Result<Vec<Reached>, CellError> {
    client.probe_all(asks).at(Stage::Proof)
}

fn choose<'a>(
    mode: Mode,
    population: &'a Population,
    protocols: &[Protocol],
    rng: &mut impl Rng,
) -> Vec<&'a Service> {
    let all = &population.services;
    if all.len() <= PROBE_ALL {
        return all.iter().collect();
    }
    let mut chosen: BTreeMap<u32, &Service> = landmarks(mode, population, protocols)
        .map(|s| (s.index, s))
        .collect();
    let landmarks = chosen.len();
    while chosen.len() < PROBE_SOME + landmarks {
        let service = &all[rng.random_range(0..all.len())];
        chosen.insert(service.index, service);
    }
    chosen.into_values().collect()
}

fn landmarks<'a>(
    mode: Mode,
    population: &'a Population,
    protocols: &[Protocol],
) -> impl Iterator<Item = &'a Service> {
    protocols.iter().flat_map(move |protocol| {
        [Position::First, Position::Middle, Position::Last]
            .into_iter()
            .flat_map(move |position| position.services(population, *protocol, mode))
    })
}

/// Services of which every endpoint must answer, by their index.
fn in_whole(chosen: &[&Service], mode: Mode) -> BTreeSet<u32> {
    let endpoints: usize = chosen.iter().map(|s| answering(s, mode).len()).sum();
    let step = match endpoints <= PROBE_ENDPOINTS {
        true => 1,
        false => endpoints.div_ceil(PROBE_FEWER),
    };
    chosen.iter().step_by(step).map(|s| s.index).collect()
}

/// Flows after which an endpoint of any of `services` services is unseen with a chance of
/// [`MISS_CHANCE`]: S·E·(1 − 1/E)^n ≤ chance.
pub(crate) fn rounds(services: usize, endpoints: usize) -> usize {
    if endpoints <= 1 {
        return 1;
    }
    let pairs = (services * endpoints) as f64;
    ((MISS_CHANCE / pairs).ln() / (1.0 - 1.0 / endpoints as f64).ln()).ceil() as usize
}

/// Chi-square over the endpoints of the first, middle and last service: (smallest p, flows).
fn spread(
    mode: Mode,
    population: &Population,
    protocols: &[Protocol],
    client: &mut Client<'_>,
) -> Result<(f64, usize), CellError> {
    let (mut smallest, mut flows) = (1.0, 0);
    if mode.is_floor() {
        return Ok((smallest, flows));
    }
    for service in landmarks(mode, population, protocols) {
        let endpoints = answering(service, mode);
        if endpoints.len() < 2 {
            continue;
        }
        let each = SPREAD_FLOWS[usize::from(endpoints.len() > MANY)];
        let wanted = 100.max(each * endpoints.len());
        let mut counts: BTreeMap<Endpoint, u64> = endpoints.iter().map(|e| (*e, 0)).collect();
        while counts.values().sum::<u64>() < wanted as u64 {
            let asks = vec![Ask::from(service.frontend); OPEN_AT_ONCE.min(wanted)];
            for reached in reach(client, &asks)? {
                check_reached(mode, service, service.frontend, reached)?;
                *counts.entry(reached.endpoint).or_default() += 1;
            }
        }
        flows += counts.values().sum::<u64>() as usize;
        let p = evenness(counts.values().copied());
        if p < SPREAD_P {
            return Err(uneven(service, &counts, p));
        }
        smallest = f64::min(smallest, p);
    }
    Ok((smallest, flows))
}

/// The failure of a spread test, with the counts seen.
pub(crate) fn uneven(service: &Service, counts: &BTreeMap<Endpoint, u64>, p: f64) -> CellError {
    let counts: Vec<String> = counts.iter().map(|(e, n)| format!("{e} {n}")).collect();
    CellError::at(
        Stage::Proof,
        format!(
            "uneven spread of {}: {} (p = {p:.1e})",
            service.frontend,
            counts.join(", ")
        ),
    )
}

/// p-value of Pearson's chi-square test that counts are even; 1 for fewer than two.
pub(crate) fn evenness(counts: impl Iterator<Item = u64>) -> f64 {
    let counts: Vec<f64> = counts.map(|c| c as f64).collect();
    let total: f64 = counts.iter().sum();
    if counts.len() < 2 || total == 0.0 {
        return 1.0;
    }
    let expected = total / counts.len() as f64;
    let statistic: f64 = counts
        .iter()
        .map(|c| (c - expected).powi(2) / expected)
        .sum();
    chi_square_p(statistic, counts.len() - 1)
}

/// Chance of a chi-square of at least `statistic` with `freedom` degrees of freedom: 1 − P(k/2, x/2), the
/// regularised incomplete gamma function (Numerical Recipes 6.2).
pub(crate) fn chi_square_p(statistic: f64, freedom: usize) -> f64 {
    1.0 - (statistic / 2.0).inc_gamma(freedom as f64 / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_even_spread_passes_and_a_skewed_one_does_not() {
        assert!(evenness([503, 497].into_iter()) > 0.5);
        assert!(evenness([900, 100].into_iter()) < SPREAD_P);
    }

    #[test]
    fn chi_square_agrees_with_a_table() {
        // NIST/SEMATECH e-Handbook 1.3.6.7.4: one degree of freedom, 3.841 is the 5 % point.
        let p = evenness([569, 431].into_iter());
        assert!((p - 1.277e-5).abs() < 1e-7, "{p}");
    }

    #[test]
    fn addresses_of_services_that_are_walked_in_another_order_are_refused() {
        use crate::population::Recipe;
        let recipe = Recipe {
            family: schema::Family::Ipv4,
            seed: 1,
            endpoints: 2,
            protocols: &[Protocol::Tcp],
            vip_stride: None,
            types: schema::ServiceType::ALL,
            imported: None,
        };
        let population = recipe.population(2 * schema::ServiceType::ALL.len() as u32);
        let mode = Mode::IptablesLegacy;
        let checked = |walked: &[Frontend]| order(Some(walked), &population, mode);
        let walked = treatment::walked(&population, mode);
        assert!(walked.len() > population.len());
        assert!(checked(&walked).is_ok() && order(None, &population, mode).is_ok());
        for place in 1..walked.len() {
            let mut swapped = walked.clone();
            swapped.swap(place - 1, place);
            let why = checked(&swapped).unwrap_err().to_string();
            assert!(why.ends_with(&format!("place {}", place - 1)), "{why}");
        }
        assert!(checked(&walked[1..]).is_err() && checked(&walked[..1]).is_err());
    }

    #[test]
    fn of_services_with_many_endpoints_some_are_probed_in_whole_and_of_few_all() {
        use crate::population::{CLUSTER_IPS, Recipe};
        let whole = |services: u32, endpoints: u32| {
            let recipe = Recipe {
                family: schema::Family::Ipv4,
                seed: 1,
                endpoints,
                protocols: &[Protocol::Tcp],
                vip_stride: None,
                types: CLUSTER_IPS,
                imported: None,
            };
            let population = recipe.population(services);
            let chosen: Vec<&Service> = population.services.iter().collect();
            in_whole(&chosen, Mode::Nftables).len()
        };
        assert_eq!(whole(1_000, 40), 1_000);
        assert_eq!((whole(1, 1_000), whole(40, 1_000)), (1, 40));
        assert_eq!((whole(262, 1_000), whole(1_000, 50)), (10, 200));
        assert_eq!(rounds(10, 1_000), 29_919);
    }

    #[test]
    fn two_endpoints_of_a_thousand_services_are_seen_within_forty_one_flows() {
        assert_eq!(rounds(1000, 2), 41);
        assert_eq!(rounds(1000, 1), 1);
    }
}
