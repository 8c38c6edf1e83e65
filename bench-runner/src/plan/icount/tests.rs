use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use clap::Parser as _;
use schema::{Accelerator, Mode};

use super::super::{Plan, PlannedEnvironment, Settings};
use super::*;
use crate::machine::Machine;

fn settings(words: &[&str]) -> Result<Settings, String> {
    let words = [&["bench-runner", "--deterministic"], words].concat();
    let cli = crate::cmd::Cli::try_parse_from(words).unwrap();
    Settings::resolve(&cli.run).map_err(|Usage(why)| why)
}

fn plan(words: &[&str]) -> Plan {
    let guest = PlannedEnvironment {
        name: "guest-6.1".to_owned(),
        accel: Accelerator::TcgIcount,
        variants: Vec::new(),
        pace: 1.0,
        lacks: BTreeSet::new(),
    };
    Plan::new(&settings(words).unwrap(), &[guest], &Machine::default())
}

fn asked(stay: &PlannedStay) -> Vec<ScenarioKind> {
    stay.spec.cells.iter().map(|cell| cell.scenario).collect()
}

#[test]
fn a_gate_has_one_stay_a_mode_that_installs_once_and_asks_everything_after_it() {
    let plan = plan(&[]);
    let modes: Vec<Mode> = plan.stays.iter().map(|stay| stay.spec.mode).collect();
    assert_eq!(modes.len(), Mode::ALL.len());
    assert_eq!(modes.iter().collect::<HashSet<_>>().len(), modes.len());
    for stay in &plan.stays {
        assert_eq!(stay.spec.services, 1_000, "without a sweep");
        assert!(stay.spec.counted && stay.spec.variant.is_empty());
        assert_eq!(stay.spec.is_joined(), !stay.spec.mode.is_floor());
        let installs = asked(stay)
            .iter()
            .filter(|s| **s == ScenarioKind::ColdInstall)
            .count();
        assert_eq!(installs, usize::from(!stay.spec.mode.is_floor()));
    }
}

#[test]
fn every_block_has_a_seed_of_its_own_and_its_cells_in_one_order() {
    let plan = plan(&["--seed", "40"]);
    let mut orders = HashSet::new();
    for block in 0..plan.blocks {
        let stays = plan.block(block);
        assert!(
            stays
                .iter()
                .all(|stay| stay.spec.seed == 40 + u64::from(block))
        );
        let nftables = stays
            .iter()
            .find(|stay| stay.spec.mode == Mode::Nftables)
            .unwrap();
        let order: Vec<_> = nftables
            .spec
            .cells
            .iter()
            .map(|c| (c.scenario, c.options.clone()))
            .collect();
        assert_eq!(order[0].0, ScenarioKind::ColdInstall);
        orders.insert(order);
    }
    assert_eq!((plan.blocks, orders.len()), (6, 1));
}

#[test]
fn the_budget_takes_nothing_from_a_plan_whose_instructions_are_counted() {
    let plan = plan(&[]);
    assert!(plan.budget >= Duration::from_secs(3_600));
    let refused = settings(&["--budget", "5m"]).unwrap_err();
    assert!(refused.contains("--repetitions"), "{refused}");
}

#[test]
fn what_makes_no_sense_where_instructions_are_counted_is_refused_with_the_remedy() {
    for (words, named) in [
        (&["--sandbox", "netns"][..], "--sandbox netns"),
        (&["--scenarios", "empty-update"], "empty-update"),
    ] {
        let refused = settings(words).unwrap_err();
        assert!(
            refused.contains(named) && refused.contains("leave one of the two out"),
            "{refused}"
        );
    }
    let all = settings(&["--scenarios", "all"]).unwrap();
    assert!(!all.scenarios.contains(&ScenarioKind::EmptyUpdate));
    assert!(all.scenarios.contains(&ScenarioKind::EndpointChurn));
}

#[test]
fn what_is_named_is_measured_as_it_is_named() {
    let plan = plan(&[
        "--services",
        "50,700",
        "--modes",
        "nftables",
        "--scenarios",
        "cold-install,teardown",
        "--kernel",
        "6.12",
    ]);
    // At 700 services an install in chunks is another cell; nothing serves, so nothing is joined.
    let mut seen: Vec<_> = plan
        .stays
        .iter()
        .map(|stay| (stay.spec.services, asked(stay)))
        .collect();
    seen.sort_by_key(|(services, asked)| (*services, asked.len(), asked[0]));
    let install = vec![ScenarioKind::ColdInstall];
    let teardown = vec![ScenarioKind::Teardown];
    assert_eq!(
        seen,
        [
            (50, install.clone()),
            (50, teardown.clone()),
            (700, install.clone()),
            (700, install),
            (700, teardown)
        ]
    );
}

/// What is timed on the host's kernel and counted beside it.
fn both(words: &[&str]) -> Plan {
    let words = [&["bench-runner"], words].concat();
    let cli = crate::cmd::Cli::try_parse_from(words).unwrap();
    let settings = Settings::resolve(&cli.run).map_err(|Usage(why)| why);
    let guest = PlannedEnvironment {
        name: "guest-6.1".to_owned(),
        accel: Accelerator::TcgIcount,
        variants: Vec::new(),
        pace: 1.0,
        lacks: BTreeSet::new(),
    };
    let environments = [guest, PlannedEnvironment::host()];
    Plan::new(&settings.unwrap(), &environments, &Machine::default())
}

#[test]
fn beside_what_is_timed_all_modes_are_counted_at_two_sizes_by_what_tells_them_apart() {
    let plan = both(&["--services", "10000"]);
    let counted: Vec<&PlannedStay> = plan.part(true).collect();
    let modes: HashSet<Mode> = counted.iter().map(|stay| stay.spec.mode).collect();
    assert_eq!(modes.len(), Mode::ALL.len());
    let sizes: HashSet<u32> = counted.iter().map(|stay| stay.spec.services).collect();
    assert_eq!(sizes, HashSet::from([1_000, 10_000]));
    for stay in &counted {
        let large = stay.spec.services > SMALL;
        assert_eq!(stay.blocks, 3);
        let chunks: Vec<&str> = stay
            .spec
            .cells
            .iter()
            .filter_map(|cell| cell.options.get(OptionKey::Chunk))
            .collect();
        match (stay.spec.mode, large, &stay.left_out) {
            (Mode::Nftables | Mode::IptablesNft, true, None) => assert_eq!(chunks, ["500"]),
            (Mode::Nftables | Mode::IptablesNft, true, Some(why)) => {
                assert_eq!(chunks, [ONE_TRANSACTION]);
                assert!(format!("{why:?}").contains("expected to take"), "{why:?}");
            }
            (mode, ..) if mode.is_floor() => assert!(large && chunks.is_empty()),
            _ => assert_eq!(chunks, [ONE_TRANSACTION]),
        }
        let positions: HashSet<Position> = stay
            .spec
            .cells
            .iter()
            .filter_map(|cell| cell.options.position())
            .collect();
        match stay.left_out {
            None => assert_eq!(
                positions,
                HashSet::from([Position::Last, Position::Uniform])
            ),
            Some(_) => assert!(positions.is_empty()),
        }
    }
    assert!(plan.part(false).any(|stay| stay.spec.services == 100));
    assert!(plan.part(false).all(|stay| stay.blocks == 8));
    // Whatever is counted is made, and comes first; of what is timed the first block.
    let all: u32 = counted.iter().map(|stay| stay.blocks).sum();
    assert_eq!(plan.counted_stays().len() as u32, all);
    assert_eq!(plan.first_timed().len(), plan.part(false).count());
    assert!(plan.block(3).iter().all(|stay| !stay.spec.counted));
    let small = both(&["--services", "1000"]);
    assert!(
        small
            .part(true)
            .all(|stay| stay.blocks == 6 && stay.spec.services == 1_000)
    );
    // Nine minutes of time do not do for every point of every curve.
    let said = plan.sentences();
    assert!(
        said[2].starts_with("budget: ") && said.len() == 3,
        "{said:?}"
    );
    assert_eq!(small.sentences().len(), 2);
}

#[test]
fn beside_what_is_timed_what_was_named_is_counted_as_far_as_it_has_a_counted_form() {
    let plan = both(&[
        "--services",
        "50,200",
        "--repetitions",
        "2",
        "--scenarios",
        "idle,service-add",
        "--modes",
        "ipvs",
    ]);
    let counted: Vec<&PlannedStay> = plan.part(true).collect();
    assert_eq!(counted.len(), 1, "{counted:?}");
    assert_eq!(asked(counted[0]), [ScenarioKind::ServiceAdd]);
    assert_eq!((counted[0].spec.services, counted[0].blocks), (200, 2));
    assert_eq!(both(&["--scenarios", "idle"]).part(true).count(), 0);
    let real = both(&[
        "--modes",
        "ipvs",
        "--transports",
        "kube-proxy",
        "--tool",
        "kube-proxy=/bin/true",
    ]);
    assert_eq!(real.part(true).count(), 0);
}
