//! `endpoint-churn`: one endpoint of each of k random services is replaced at size N: a rolling update.

use netns_harness::service::Population;
use rand::RngExt as _;
use rand::seq::index;
use schema::{OptionKey, Options, ScenarioKind, Stage};

use crate::cost::Asked;
use crate::error::{CellError, Result};
use crate::population::SPARE_SERVICES;
use crate::scenario::{Request, rule_options};
use crate::stay::Stay;
use crate::update::{Change, Update};

/// The scenario.
pub(crate) const ENDPOINT_CHURN: Update = Update {
    kind: ScenarioKind::EndpointChurn,
    options,
    change,
};

fn options(asked: Asked, request: &Request) -> Options {
    let churn = request.chosen.churn.min(asked.services);
    rule_options(asked, request).with(OptionKey::Churn, churn)
}

fn change(stay: &mut Stay<'_>, options: &Options, from: &Population, n: u32) -> Result<Change> {
    let churn = options.get(OptionKey::Churn).and_then(|k| k.parse().ok());
    let churn = churn.ok_or_else(|| CellError::at(Stage::Measure, "churn must be 1 to N"))?;
    let served = from.services.iter().enumerate();
    let served = served.filter(|(_, service)| !service.endpoints.is_empty());
    let served: Vec<usize> = served.map(|(at, _)| at).collect();
    replaced(stay, from, &served, churn, n)
}

/// The `n`-th change that replaces one endpoint of each of `churn` services, of those that stand at `among`.
///
/// # Errors
/// There are not as many.
pub(crate) fn replaced(
    stay: &mut Stay<'_>,
    from: &Population,
    among: &[usize],
    churn: u32,
    n: u32,
) -> Result<Change> {
    if !(1..=among.len()).contains(&(churn as usize)) {
        let why = format!("{churn} of {} services cannot be changed", among.len());
        return Err(CellError::at(Stage::Measure, why));
    }
    let mut to = from.clone();
    let chosen = index::sample(&mut stay.rng, among.len(), churn as usize);
    let mut witness = None;
    for (i, nth) in chosen.into_iter().enumerate() {
        // Addresses of services that were never there: no other service has such an endpoint.
        let nth_spare = (n * churn + i as u32) % SPARE_SERVICES;
        let service = &mut to.services[among[nth]];
        let replaced = stay.rng.random_range(0..service.endpoints.len());
        // What is on this node is replaced there.
        let is_local = service.local.contains(&service.endpoints[replaced]);
        let fresh = stay
            .spec
            .recipe()
            .spare_endpoint(stay.spec.services, nth_spare, is_local);
        service.exchange(replaced, fresh);
        witness = Some(service.clone());
    }
    Ok(Change {
        to,
        witness,
        gone: None,
    })
}
