//! `service-add`: N → N + 1 services at size N. Each added service was never there before, and all are of the run's first
//! protocol: after one of UDP kube-proxy's sync looks through tracked flows, so that a mean of both would be of neither.

use netns_harness::service::Population;
use schema::{Options, ScenarioKind};

use crate::error::Result;
use crate::scenario::rule_options;
use crate::stay::Stay;
use crate::update::{Change, Update};

/// The scenario.
pub(crate) const SERVICE_ADD: Update = Update {
    kind: ScenarioKind::ServiceAdd,
    options: rule_options,
    change,
};

fn change(stay: &mut Stay<'_>, _: &Options, from: &Population, n: u32) -> Result<Change> {
    let (services, protocols) = (stay.spec.services, stay.spec.protocols.len() as u32);
    let first = services.next_multiple_of(protocols);
    let added = stay.spec.recipe().service(first + n * protocols);
    let mut to = from.clone();
    to.services.push(added.clone());
    Ok(Change {
        to,
        witness: Some(added),
        gone: None,
    })
}
