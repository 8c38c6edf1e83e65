//! A mode is tried: a small population is installed, listed and removed, in a namespace that the caller provides.

use ipset_sys::Facility;
use schema::{Engine, Family, Protocol};

use super::{Datapath, ModeFacts, RenderOptions, Transport};
use crate::HarnessError;
use crate::relation::Relation;
use crate::remedy::{Lack, Remedy};
use crate::service::{Endpoint, Frontend, Plan, Population, Service};
use crate::xtables::tool;

/// Installs the population, sees that it is what the kernel lists, and removes it, whatever came before.
///
/// # Errors
/// What was refused, `explained`; or what the kernel lists instead.
pub(super) fn attempt(
    datapath: &dyn Datapath,
    population: &Population,
    options: &RenderOptions,
    explained: impl Fn(&HarnessError) -> Lack,
) -> Result<(), Lack> {
    let tried = datapath
        .carry_out(&datapath.render(None, population, options))
        .and_then(|_| datapath.census())
        .map_err(|error| explained(&error));
    let removed = datapath.remove();
    if let Some(differences) = tried?.differences(&Relation::of(population)) {
        let why = format!("a trial population is not what the kernel lists: {differences}");
        return Err(why.into());
    }
    is_removed(&removed)
}

/// Whether a transaction as large as those of an untimed preparation is taken, and removed again.
///
/// # Errors
/// What was refused, `explained`.
pub(super) fn accepted(
    datapath: &dyn Datapath,
    explained: impl Fn(&HarnessError) -> Lack,
) -> Result<(), Lack> {
    let options = RenderOptions {
        untimed: true,
        ..RenderOptions::by(Transport::Restore)
    };
    let population = population_of(datapath.facts());
    let tried = datapath.carry_out(&datapath.render(None, &population, &options));
    let removed = datapath.remove();
    tried.map_err(|error| explained(&error))?;
    is_removed(&removed)
}

fn is_removed(errors: &[HarnessError]) -> Result<(), Lack> {
    match errors.first() {
        Some(error) => Err(format!("a trial population cannot be removed: {error}").into()),
        None => Ok(()),
    }
}

/// What would help where sets, or iptables rules that look into them, could not be made. What the kernel lacks is
/// named beside it ([`crate::lab::facility::missing`]).
pub(super) fn with_sets(engine: Engine, family: Family, error: &HarnessError) -> Lack {
    let HarnessError::Ipset { source, .. } = error else {
        return tool::lack(engine, family, error);
    };
    Lack::from(error.to_string()).with(source.missing_facility().map(|missing| match missing {
        Facility::Privilege => Remedy::Root,
        Facility::Nfnetlink => Remedy::modules(["nfnetlink"]),
        Facility::IpSet => Remedy::modules(["ip_set"]),
        Facility::Type(_) => Remedy::modules(SET_TYPES),
        Facility::Revision(_) | Facility::Skbinfo(_) => Remedy::Kernel,
    }))
}

/// Modules of the types of sets that modes make.
const SET_TYPES: [&str; 5] = [
    "ip_set_hash_ip",
    "ip_set_hash_ipport",
    "ip_set_hash_ipportip",
    "ip_set_hash_ipportnet",
    "ip_set_bitmap_port",
];

/// As many services as a transaction of an untimed preparation where that has a limit: iptables-nft sends one in a
/// single netlink message, which must fit into its socket's buffer.
pub(super) fn population_of(facts: &ModeFacts) -> Population {
    larger_population(facts.family, facts.preparation_chunk.unwrap_or(0) as u32)
}

/// A tiny population of a family with which a mode is tried: one service of each protocol, with unequal numbers of
/// endpoints.
pub(super) fn probe_population_of(family: Family) -> Population {
    let plan = Plan::of(family);
    let service = |index: u32, protocol, endpoints| {
        Service::cluster_ip(
            index,
            Frontend {
                vip: plan.services.host(256 + index),
                port: 80,
                protocol,
            },
            (0..endpoints)
                .map(|e| Endpoint {
                    address: plan.endpoints.host(256 * index + e),
                    port: 8080,
                })
                .collect(),
        )
    };
    Population {
        services: vec![service(0, Protocol::Tcp, 2), service(1, Protocol::Udp, 3)],
    }
}

/// [`probe_population_of`] a family, continued to `services`.
fn larger_population(family: Family, services: u32) -> Population {
    let plan = Plan::of(family);
    let mut population = probe_population_of(family);
    let template = population.services[0].clone();
    let more = (population.services.len() as u32..services).map(|index| {
        Service::cluster_ip(
            index,
            Frontend {
                vip: plan.services.host(512 + index),
                ..template.frontend
            },
            template.endpoints.clone(),
        )
    });
    population.services.extend(more);
    population
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_tried_is_of_the_family_of_the_mode_and_no_two_services_are_one() {
        for family in Family::ALL.iter().copied() {
            let population = larger_population(family, 40);
            let frontends = population.services.iter().map(|service| service.frontend);
            let frontends: std::collections::BTreeSet<Frontend> = frontends.collect();
            assert_eq!(frontends.len(), 40);
            assert!(frontends.iter().all(|to| to.family() == family));
            let endpoints = population.services.iter().flat_map(|s| &s.endpoints);
            let mut families = endpoints.map(Endpoint::family);
            assert!(families.all(|of| of == family));
        }
    }
}
