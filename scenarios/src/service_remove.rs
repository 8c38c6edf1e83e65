//! `service-remove`: N → N - 1 services at size N. The service is a random one of the run's first protocol (as in
//! [`crate::service_add`]), so that its place in a list is not always the same.

use netns_harness::service::Population;
use rand::RngExt as _;
use schema::{Options, ScenarioKind};

use crate::error::Result;
use crate::scenario::rule_options;
use crate::stay::Stay;
use crate::update::{Change, Update};

/// The scenario.
pub(crate) const SERVICE_REMOVE: Update = Update {
    kind: ScenarioKind::ServiceRemove,
    options: rule_options,
    change,
};

fn change(stay: &mut Stay<'_>, _: &Options, from: &Population, _: u32) -> Result<Change> {
    let mut to = from.clone();
    let services = from.services.iter().enumerate();
    let of_first = services.filter(|(_, s)| s.frontend.protocol == stay.spec.protocols[0]);
    let of_first: Vec<usize> = of_first.map(|(at, _)| at).collect();
    // A population has services of each protocol, and drifts by a hundredth at most.
    let at = of_first[stay.rng.random_range(0..of_first.len())];
    let gone = Some(to.services.remove(at));
    Ok(Change {
        to,
        witness: None,
        gone,
    })
}
