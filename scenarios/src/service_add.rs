//! `service-add`: N → N + 1 services at size N. Each added service was never there before, and all are of the run's first
//! protocol: after one of UDP kube-proxy's sync looks through tracked flows, so that a mean of both would be of neither. For
//! the same reason all are of one type, in a mix that of the largest share.

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
    let spec = stay.spec;
    let recipe = spec.recipe();
    let added = recipe.added(spec.services, n, spec.mix.largest());
    let mut to = from.clone();
    to.services.push(added.clone());
    Ok(Change {
        to,
        witness: Some(added),
        gone: None,
    })
}
