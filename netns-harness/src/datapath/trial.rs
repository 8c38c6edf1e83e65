//! A mode is tried: a small population is installed, listed and removed, in a namespace that the caller provides.

use std::net::Ipv4Addr;

use schema::Protocol;

use super::{Datapath, RenderOptions};
use crate::HarnessError;
use crate::relation::Relation;
use crate::service::{Endpoint, Frontend, Population, Service};

/// Installs the population, sees that it is what the kernel lists, and removes it, whatever came before.
///
/// # Errors
/// What was refused, `explained`; or what the kernel lists instead.
pub(super) fn attempt(
    datapath: &dyn Datapath,
    population: &Population,
    options: &RenderOptions,
    explained: impl Fn(&HarnessError) -> String,
) -> Result<(), String> {
    let tried = datapath
        .carry_out(&datapath.render(None, population, options))
        .and_then(|_| datapath.census())
        .map_err(|error| explained(&error));
    let removed = datapath.remove();
    if let Some(differences) = tried?.differences(&Relation::of(population)) {
        return Err(format!(
            "a trial population is not what the kernel lists: {differences}"
        ));
    }
    is_removed(&removed)
}

/// # Errors
/// The first thing that a teardown could not remove.
pub(super) fn is_removed(errors: &[HarnessError]) -> Result<(), String> {
    match errors.first() {
        Some(error) => Err(format!("a trial population cannot be removed: {error}")),
        None => Ok(()),
    }
}

/// A tiny population with which a mode is tried: one service of each protocol, with unequal numbers of endpoints.
pub(super) fn probe_population() -> Population {
    let service = |index: u32, protocol, endpoints| Service {
        index,
        frontend: Frontend {
            vip: Ipv4Addr::new(10, 96, 1, index as u8),
            port: 80,
            protocol,
        },
        endpoints: (0..endpoints)
            .map(|e| Endpoint {
                address: Ipv4Addr::new(10, 128, index as u8, e),
                port: 8080,
            })
            .collect(),
    };
    Population {
        services: vec![service(0, Protocol::Tcp, 2), service(1, Protocol::Udp, 3)],
    }
}

/// [`probe_population`], continued to `services`.
pub(super) fn larger_population(services: u32) -> Population {
    let mut population = probe_population();
    let template = population.services[0].clone();
    let more = (population.services.len() as u32..services).map(|index| Service {
        index,
        frontend: Frontend {
            vip: (template.frontend.vip.to_bits() + 256 + index).into(),
            ..template.frontend
        },
        endpoints: template.endpoints.clone(),
    });
    population.services.extend(more);
    population
}
