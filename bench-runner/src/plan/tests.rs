use super::settings::sweep;
use super::*;
use clap::Parser as _;
use schema::{Accelerator, ScenarioKind};
use std::collections::HashSet;

fn plan(words: &[&str]) -> Plan {
    let cli = crate::cli::Cli::try_parse_from([&["bench-runner"], words].concat()).unwrap();
    Plan::new(
        &Settings::resolve(&cli.run).unwrap(),
        &[PlannedEnvironment::host()],
    )
}

fn guests(words: &[&str], names: &[&str]) -> Plan {
    let cli = crate::cli::Cli::try_parse_from([&["bench-runner"], words].concat()).unwrap();
    let environments: Vec<_> = names
        .iter()
        .map(|name| PlannedEnvironment::guest((*name).to_owned(), Accelerator::Tcg))
        .collect();
    Plan::new(&Settings::resolve(&cli.run).unwrap(), &environments)
}

#[test]
fn several_environments_have_every_stay_each_shuffled_into_the_same_blocks() {
    let words = ["--services", "100,300"];
    let one = guests(&words, &["guest-6.1"]);
    let both = guests(&words, &["guest-6.12", "guest-6.1"]);
    assert_eq!(both.stays.len(), 2 * one.stays.len());
    let keys: HashSet<CellKey> = both
        .stays
        .iter()
        .flat_map(|s| s.spec.cells.iter().map(|c| key(&s.spec, c)))
        .collect();
    assert_eq!(keys.len() as u64, both.cells_per_block());
    let order: Vec<String> = both
        .block(0)
        .into_iter()
        .map(|s| s.spec.environment)
        .collect();
    let changes = order.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!(changes > 4, "interleaved: {order:?}");
    let again = guests(&words, &["guest-6.1", "guest-6.12"]);
    let named = |plan: &Plan| -> Vec<_> { plan.block(1).into_iter().map(|s| s.spec).collect() };
    assert_eq!(
        named(&both),
        named(&again),
        "whatever order they are named in"
    );
}

#[test]
fn a_translated_guest_is_asked_less_and_expected_to_take_longer() {
    let words = ["--services", "100"];
    let (host, guest) = (plan(&words), guests(&words, &["guest-6.1"]));
    assert_eq!(host.cells_per_block(), guest.cells_per_block());
    assert!(guest.block_ns() > 2 * host.block_ns());
    assert!(
        guest
            .stays
            .iter()
            .all(|s| s.spec.brief && s.spec.flows == 200)
    );
    assert!(
        host.stays
            .iter()
            .all(|s| !s.spec.brief && s.spec.flows == 1_000)
    );
    assert!(guest.budget < host.budget);
    let asked = guests(
        &["--services", "100", "--flows", "700", "--budget", "9m"],
        &["guest-6.1"],
    );
    assert!(asked.stays.iter().all(|s| s.spec.flows == 700));
    assert_eq!(asked.budget, Duration::from_secs(540));
}

#[test]
fn what_would_pass_its_limit_in_a_slow_environment_is_left_out_there_alone() {
    let words = ["--services", "10000", "--no-sweep", "--modes", "nftables"];
    let left_out = |plan: &Plan| plan.stays.iter().filter(|s| s.left_out.is_some()).count();
    let guest = guests(&words, &["guest-6.1"]);
    assert!(left_out(&guest) > left_out(&plan(&words)));
}

#[test]
fn one_number_is_swept_in_half_decades_and_a_list_is_exact() {
    assert_eq!(sweep(10_000), [100, 300, 1000, 3000, 10_000]);
    assert_eq!(sweep(500), [100, 300, 500]);
    assert_eq!(sweep(50), [50]);
    let sizes: HashSet<u32> = plan(&["--services", "20,10"])
        .stays
        .iter()
        .map(|s| s.spec.services)
        .collect();
    assert_eq!(sizes, HashSet::from([10, 20]));
}

#[test]
fn the_same_seed_gives_the_same_order_and_another_seed_another() {
    let order = |seed: &str| {
        let specs: Vec<_> = plan(&["--services", "1000", "--seed", seed])
            .block(0)
            .into_iter()
            .map(|s| s.spec)
            .collect();
        specs
    };
    assert_eq!(order("3"), order("3"));
    let modes = |seed| {
        order(seed)
            .iter()
            .map(|s| (s.mode, s.services))
            .collect::<Vec<_>>()
    };
    assert_ne!(modes("3"), modes("4"));
}

#[test]
fn every_block_holds_every_stay_once_and_cell_numbers_do_not_repeat() {
    let plan = plan(&["--services", "1000"]);
    let mut ids = HashSet::new();
    for block in 0..3 {
        let stays = plan.block(block);
        assert_eq!(stays.len(), plan.stays.len());
        for cell in stays.iter().flat_map(|s| &s.spec.cells) {
            assert!(ids.insert(cell.id));
        }
    }
    assert_eq!(ids.len() as u64, 3 * plan.cells_per_block());
}

#[test]
fn floors_have_no_control_plane_cells_and_none_has_a_control_series() {
    let plan = plan(&["--services", "100"]);
    for stay in plan.stays.iter().filter(|s| s.spec.mode.is_floor()) {
        assert!(
            stay.spec
                .cells
                .iter()
                .all(|c| c.scenario == ScenarioKind::FirstPacket)
        );
    }
    assert_eq!(
        plan.stays
            .iter()
            .filter(|s| s.spec.variant == CONTROL)
            .count(),
        1
    );
}

#[test]
fn what_does_not_depend_on_the_transport_is_asked_once() {
    let plan = plan(&[
        "--services",
        "100",
        "--modes",
        "nftables",
        "--transports",
        "netlink,nft",
    ]);
    let latency = plan
        .stays
        .iter()
        .flat_map(|s| &s.spec.cells)
        .filter(|c| c.scenario == ScenarioKind::FirstPacket);
    assert_eq!(latency.count(), 8);
}
