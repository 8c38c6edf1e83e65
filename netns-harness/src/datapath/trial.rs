//! A mode is tried: a small population is installed, listed and removed, in a namespace that the caller provides.

use ipset_sys::Facility;
use schema::{Engine, Family, Protocol};

use super::{Datapath, ModeFacts, RenderOptions, Transport};
use crate::HarnessError;
use crate::relation::Relation;
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

/// Whether a transaction as large as those of an untimed preparation is taken, and removed again.
///
/// # Errors
/// What was refused, `explained`.
pub(super) fn accepted(
    datapath: &dyn Datapath,
    explained: impl Fn(&HarnessError) -> String,
) -> Result<(), String> {
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

fn is_removed(errors: &[HarnessError]) -> Result<(), String> {
    match errors.first() {
        Some(error) => Err(format!("a trial population cannot be removed: {error}")),
        None => Ok(()),
    }
}

/// Where a kernel that has everything comes from.
pub(super) const GUEST: &str = "or a kernel that has it: --sandbox guest";

/// What would help where sets, or iptables rules that look into them, could not be made. What the kernel lacks is
/// named beside it ([`crate::lab::facility::missing`]).
pub(super) fn with_sets(engine: Engine, family: Family, error: &HarnessError) -> String {
    match error {
        HarnessError::Ipset { source, .. } => match source.missing_facility() {
            Some(Facility::Privilege) => {
                format!("ipset needs CAP_NET_ADMIN: run as root ({error})")
            }
            Some(_) => format!(
                "{error}: modprobe -a ip_set ip_set_hash_ip ip_set_hash_ipport ip_set_hash_ipportip ip_set_hash_ipportnet ip_set_bitmap_port, {GUEST}"
            ),
            None => error.to_string(),
        },
        HarnessError::Tool {
            tool: refused,
            stderr,
            ..
        } if refused.starts_with(tool::prefix_of(engine, family)) => {
            let remedy = tool::remedy(engine, family, error);
            let mangle = match family {
                Family::Ipv4 => "iptable_mangle",
                Family::Ipv6 => "ip6table_mangle",
            };
            match tool::unprivileged(stderr) {
                true => remedy,
                false => format!(
                    "{remedy}; its rules need xt_set too, the match and revision 3 of target SET (--map-mark), of iptables and of the kernel: modprobe -a xt_set {mangle}"
                ),
            }
        }
        _ => error.to_string(),
    }
}

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
    fn a_missing_match_and_a_missing_privilege_are_told_apart_each_with_its_remedy() {
        let refused = |stderr: &str| HarnessError::Tool {
            tool: "iptables-legacy-restore".to_owned(),
            status: "exit status: 1".to_owned(),
            stderr: stderr.to_owned(),
        };
        let said = |stderr| with_sets(Engine::Legacy, Family::Ipv4, &refused(stderr));
        let text = said("Extension SET revision 3 not supported");
        assert!(
            text.contains("target SET (--map-mark)") && text.contains("modprobe -a xt_set"),
            "{text}"
        );
        let text = said("Permission denied");
        assert!(
            text.contains("CAP_NET_ADMIN") && !text.contains("modprobe"),
            "{text}"
        );
    }

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
