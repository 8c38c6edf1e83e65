//! What one process a rule sends, what it leaves, and what packets meet meanwhile.

use std::net::Ipv4Addr;

use proptest::prelude::*;
use schema::{Engine, Family, Protocol};

use super::super::meaning::interpreted;
use super::super::tests::{population, population_of};
use super::super::{Iptables, layout_check};
use super::*;
use crate::datapath::meaning::Meaning as _;
use crate::datapath::{Batch, Datapath as _, Transport};
use crate::relation::Relation;
use crate::service::{Endpoint, Frontend};
use crate::xtables::{tables::Tables, trace};

const EXEC: RenderOptions = RenderOptions::by(Transport::Exec);
const RESTORE: RenderOptions = RenderOptions {
    transport: Transport::Restore,
    ..EXEC
};

fn lines(batch: &Batch) -> Vec<&[String]> {
    let lines = batch.steps.iter().flat_map(|step| {
        let Commands(lines) = step.as_a().unwrap();
        lines
    });
    lines.map(Vec::as_slice).collect()
}

#[test]
fn a_service_is_added_from_its_endpoints_to_its_portal() {
    let commented = RenderOptions {
        large_cluster: false,
        ..EXEC
    };
    let batch = Iptables::nft().render(Some(&population(3, 2)), &population(4, 2), &commented);
    insta::assert_snapshot!(batch);
}

#[test]
fn a_changed_endpoint_and_a_removed_service_take_their_own_rules_only() {
    let (before, mut after) = (population(3, 2), population(3, 2));
    after.services.remove(1);
    after.services[0].endpoints[1].address = Ipv4Addr::new(10, 128, 9, 9).into();
    insta::assert_snapshot!(Iptables::legacy().render(Some(&before), &after, &EXEC));
}

#[test]
fn law_of_size_of_one_process_a_rule() {
    let cases = [(1, 1), (10, 2), (50, 3)];
    let families = [(Family::Ipv4, 36), (Family::Ipv6, 35)];
    for ((n, e), (family, base)) in cases
        .into_iter()
        .flat_map(|case| families.map(|f| (case, f)))
    {
        let iptables = Iptables::of(Engine::Legacy, family);
        let of = |services| population_of(family, services, e);
        let (less, more) = (of(n), of(n + 1));
        let install = iptables.render(None, &less, &EXEC);
        let add = iptables.render(Some(&less), &more, &EXEC);
        let remove = iptables.render(Some(&more), &less, &EXEC);
        let (n, e) = (u64::from(n), u64::from(e));
        let wanted = (base + n * (3 + 4 * e), 3 + 4 * e, 1 + 2 * (1 + e));
        let counted = (install.operations(), add.operations(), remove.operations());
        assert_eq!(counted, wanted, "{family} N={n} E={e}");
        for batch in [&install, &add, &remove] {
            assert_eq!(lines(batch).len() as u64, batch.operations());
        }
    }
}

#[test]
fn a_resync_replaces_every_rule_but_the_jumps_by_itself() {
    let resync = RenderOptions {
        resync: true,
        ..EXEC
    };
    for (family, base) in [(Family::Ipv4, 9), (Family::Ipv6, 8)] {
        let population = population_of(family, 7, 3);
        let iptables = Iptables::of(Engine::Nft, family);
        let install = iptables.render(None, &population, &EXEC);
        let again = iptables.render(Some(&population), &population, &resync);
        assert_eq!(again.operations(), base + 7 * (2 + 3 * 3));
        let once = interpreted(std::slice::from_ref(&install)).unwrap();
        assert_eq!(interpreted(&[install, again]).unwrap(), once);
    }
}

#[test]
fn a_command_that_would_be_refused_has_no_meaning() {
    let iptables = Iptables::legacy();
    let add = iptables.render(Some(&population(1, 2)), &population(2, 2), &EXEC);
    // Nothing was installed: the first rule leads to a shared chain that is not there.
    let why = iptables.meaning(&[add]).unwrap_err();
    assert!(why.contains("no such chain to jump to"), "{why}");
}

/// A service for each (index, VIP, number of endpoints, first endpoint), in that order.
fn shaped(shape: &[(u32, u32, u32, u32)]) -> Population {
    let service = |&(index, vip, endpoints, start): &(u32, u32, u32, u32)| {
        Service::cluster_ip(
            index,
            Frontend {
                vip: Ipv4Addr::from_bits(0x0a60_0001 + vip).into(),
                port: 80,
                protocol: Protocol::Tcp,
            },
            (start..start + endpoints)
                .map(|e| Endpoint {
                    address: Ipv4Addr::from_bits(0x0a80_0000 + e).into(),
                    port: 8080,
                })
                .collect(),
        )
    };
    Population {
        services: shape.iter().map(service).collect(),
    }
}

/// Populations in any order, whose services may change their address and their endpoints.
fn shape() -> impl Strategy<Value = Vec<(u32, u32, u32, u32)>> {
    let service = (any::<bool>(), 1u32..6, 0u32..8);
    let services = prop::collection::btree_map(0u32..12, service, 0..8);
    services
        .prop_map(|services| {
            let service = |(index, (moved, endpoints, start))| {
                (index, index + 20 * u32::from(moved), endpoints, start)
            };
            services.into_iter().map(service).collect::<Vec<_>>()
        })
        .prop_shuffle()
}

/// Of a family, that of the populations.
fn rendered(family: Family, populations: &[Population], options: &RenderOptions) -> Vec<Batch> {
    let iptables = Iptables::of(Engine::Legacy, family);
    let first = iptables.render(None, &populations[0], options);
    let updates = populations
        .windows(2)
        .map(|w| iptables.render(Some(&w[0]), &w[1], options));
    std::iter::once(first).chain(updates).collect()
}

/// What names a service.
fn portal(service: &Service) -> (Frontend, u32) {
    (service.frontend, service.index)
}

fn family() -> impl Strategy<Value = Family> {
    prop::sample::select(Family::ALL)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn one_process_a_rule_leaves_the_tables_that_restore_leaves(
        shapes in prop::collection::vec(shape(), 1..5),
        family in family(),
    ) {
        let populations = shapes.iter().map(|s| shaped(s).in_family(family));
        let populations: Vec<Population> = populations.collect();
        let by_exec = interpreted(&rendered(family, &populations, &EXEC));
        let by_exec = by_exec.map_err(TestCaseError::fail)?;
        let by_restore = interpreted(&rendered(family, &populations, &RESTORE));
        prop_assert_eq!(Ok(&by_exec), by_restore.as_ref());
        let iptables = Iptables::of(Engine::Legacy, family);
        prop_assert_eq!(layout_check::complete(&by_exec, iptables), Ok(()));
    }

    #[test]
    fn a_service_that_stays_is_answered_after_each_command(
        before in shape(),
        after in shape(),
        family in family(),
    ) {
        let [before, after] = [before, after].map(|shape| shaped(&shape).in_family(family));
        let (old, new) = (Relation::of(&before), Relation::of(&after));
        let stays = |s: &&Service| after.services.iter().any(|t| portal(t) == portal(s));
        let staying: Vec<_> = before.services.iter().filter(stays).map(|s| s.frontend).collect();
        let installed = rendered(family, std::slice::from_ref(&before), &EXEC);
        let mut tables: Tables = interpreted(&installed).map_err(TestCaseError::fail)?;
        let iptables = Iptables::of(Engine::Legacy, family);
        let update = iptables.render(Some(&before), &after, &EXEC);
        for words in lines(&update) {
            tables.command(words).map_err(TestCaseError::fail)?;
            let now = trace::relation(&tables).map_err(TestCaseError::fail)?;
            for frontend in &staying {
                let answered: f64 = now.0.get(frontend).map_or(0.0, |shares| shares.values().sum());
                prop_assert!((answered - 1.0).abs() < 1e-6, "{words:?}: {frontend} at {answered}");
                let known = |e| old.0[frontend].contains_key(e) || new.0[frontend].contains_key(e);
                prop_assert!(now.0[frontend].keys().all(known), "{words:?}: {frontend} elsewhere");
            }
        }
    }
}
