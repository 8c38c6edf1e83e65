//! `service-remove`: N → N - 1 services at size N. The service is a random one of the run's first protocol, in a mix of the
//! type of the largest share (as in [`crate::service_add`]), so that its place in a list is not always the same.

use netns_harness::service::Population;
use rand::RngExt as _;
use schema::{Options, ScenarioKind, ServiceType};

use crate::error::Result;
use crate::population::Recipe;
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
    let spec = stay.spec;
    let among = removable(&spec.recipe(), spec.mix.largest(), from);
    // The first service of each protocol is one, and a population drifts by a hundredth at most.
    let at = among[stay.rng.random_range(0..among.len())];
    let gone = Some(to.services.remove(at));
    Ok(Change {
        to,
        witness: None,
        gone,
    })
}

/// Places of the services of the first protocol that are of a type.
fn removable(recipe: &Recipe<'_>, of: ServiceType, from: &Population) -> Vec<usize> {
    let services = from.services.iter().enumerate();
    let own = services.filter(|(_, service)| {
        service.frontend.protocol == recipe.protocols[0] && recipe.service_type(service.index) == of
    });
    own.map(|(at, _)| at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::{Family, Mix, Protocol};

    #[test]
    fn those_of_the_first_protocol_and_of_one_type_may_go_and_there_are_always_some() {
        for text in [
            "cluster-ip",
            "cluster-ip=40,node-port=60",
            "node-port=99,affinity=1",
        ] {
            let mix: Mix = text.parse().unwrap();
            let recipe = Recipe {
                family: Family::Ipv4,
                seed: 1,
                endpoints: 2,
                protocols: &[Protocol::Udp, Protocol::Tcp],
                vip_stride: None,
                types: mix.cycle(),
                imported: None,
            };
            let places = |services| {
                let population = recipe.population(services);
                removable(&recipe, mix.largest(), &population)
            };
            assert_eq!(places(2), [0], "{text}");
            let share = mix.cycle().iter().filter(|t| **t == mix.largest()).count();
            assert_eq!(places(200).len(), 100 / mix.cycle().len() * share, "{text}");
            assert!(places(200).iter().all(|at| {
                let service = recipe.service(*at as u32);
                let is_exposed = service.exposure.node_port.is_some();
                service.frontend.protocol == Protocol::Udp
                    && is_exposed == mix.largest().has_node_port()
            }));
        }
    }
}
