use super::settings::sweep;
use super::*;
use crate::exit::Usage;
use clap::Parser as _;
use schema::{Accelerator, Options, PacketPath, ReachedBy, ScenarioKind};
use std::collections::{BTreeMap, BTreeSet, HashSet};

fn plan(words: &[&str]) -> Plan {
    let cli = crate::cmd::Cli::try_parse_from([&["bench-runner"], words].concat()).unwrap();
    Plan::new(
        &Settings::resolve(&cli.run).unwrap(),
        &[PlannedEnvironment::host()],
        &Machine::default(),
    )
}

fn guests(words: &[&str], names: &[&str]) -> Plan {
    let cli = crate::cmd::Cli::try_parse_from([&["bench-runner"], words].concat()).unwrap();
    let environments: Vec<_> = names
        .iter()
        .map(|name| PlannedEnvironment {
            name: (*name).to_owned(),
            accel: Accelerator::Tcg,
            variants: Vec::new(),
            pace: 1.0,
            lacks: BTreeSet::new(),
        })
        .collect();
    Plan::new(
        &Settings::resolve(&cli.run).unwrap(),
        &environments,
        &Machine::default(),
    )
}

fn resolved(words: &[&str]) -> Result<Settings, String> {
    let words = [&["bench-runner", "--services", "10"], words].concat();
    let cli = crate::cmd::Cli::try_parse_from(words).map_err(|error| error.to_string())?;
    Settings::resolve(&cli.run).map_err(|Usage(why)| why)
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
    assert!(guest.block_time() > 2 * host.block_time());
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

/// Sizes of each side.
fn sizes(words: &[&str]) -> Vec<Vec<u32>> {
    let cli = crate::cmd::Cli::try_parse_from([&["bench-runner"], words].concat()).unwrap();
    let settings = Settings::resolve(&cli.run).unwrap();
    settings
        .sides()
        .iter()
        .map(|side| side.sizes.clone())
        .collect()
}

#[test]
fn four_sizes_have_the_layout_of_the_largest_and_sides_have_the_same() {
    for (words, expected) in [
        (
            &["--services", "10000"][..],
            &[100, 300, 1000, 3000, 5000, 10_000][..],
        ),
        (&["--services", "3000"], &[100, 300, 750, 1000, 1500, 3000]),
        (
            &["--services", "10000", "--endpoints", "1"],
            &[100, 300, 1000, 2500, 3000, 5000, 10_000],
        ),
        (
            &["--services", "10000", "--endpoints", "10"],
            &[100, 300, 1000, 3000, 10_000],
        ),
        (
            &["--services", "10000", "--large-cluster", "on"],
            &[100, 300, 1000, 3000, 10_000],
        ),
        (&["--services", "600"], &[100, 300, 600]),
    ] {
        assert_eq!(sizes(words), [expected], "{words:?}");
    }
    let variants = [
        "--variant",
        "a:--large-cluster auto",
        "--variant",
        "b:--large-cluster off",
    ];
    let both = sizes(&[&["--services", "10000"][..], &variants].concat());
    assert_eq!(both, [[100, 300, 1000, 3000, 5000, 10_000]; 2]);
}

#[test]
fn a_layout_that_nothing_has_is_refused_and_so_is_a_version_without_one() {
    let of_a_real_one = [
        "--kube-proxy",
        "1.32",
        "--transports",
        "kube-proxy",
        "--tool",
        "kube-proxy=/bin/true",
        "--modes",
        "nftables",
    ];
    assert!(
        resolved(&of_a_real_one)
            .unwrap_err()
            .contains("leave it out")
    );
    assert!(resolved(&["--kube-proxy", "1.32", "--modes", "ipset"]).is_err());
    assert!(
        resolved(&["--kube-proxy", "1.31"])
            .unwrap_err()
            .contains("1.37")
    );
    assert!(resolved(&["--kube-proxy", "1.32", "--modes", "ipset,nftables"]).is_ok());
    assert!(resolved(&of_a_real_one[2..]).is_ok());
    let nothing = resolved(&["--scenarios", "idle", "--modes", "ipset"]);
    assert!(nothing.unwrap_err().contains("nothing would be measured"));
}

#[test]
fn suites_of_tools_multiply_what_starts_tools_and_each_cell_names_its_own() {
    let words = ["--services", "100", "--modes", "none,iptables-nft"];
    let of = |tools: &[&str]| plan(&[&words, tools].concat());
    let (one, two) = (of(&[]), of(&["--tools", "host,trixie"]));
    let count = |plan: &Plan, mode| plan.stays.iter().filter(|s| s.spec.mode == mode).count();
    assert_eq!(count(&two, Mode::BARE), count(&one, Mode::BARE));
    let nft = Mode::IptablesNft;
    assert_eq!(count(&two, nft), 2 * count(&one, nft));
    for stay in two.stays.iter().filter(|stay| stay.spec.mode == nft) {
        let suite = stay.spec.setup.suite.as_ref();
        let named = suite.map_or("host", |suite| &suite.name);
        let cells = &stay.spec.cells;
        assert!(
            cells
                .iter()
                .all(|cell| cell.options.is(OptionKey::Suite, named))
        );
    }
    let unnamed = one.stays.iter().flat_map(|stay| &stay.spec.cells);
    assert!(
        unnamed
            .clone()
            .all(|cell| cell.options.get(OptionKey::Suite).is_none())
    );
}

#[test]
fn families_are_nodes_that_each_have_every_stay_and_what_is_of_ipv4_alone_says_nothing_of_it() {
    let words = ["--services", "100", "--modes", "none,nftables"];
    let of = |families: &[&str]| plan(&[&words, families].concat());
    let one = of(&[]);
    let said = |plan: &Plan| plan.sentences().join("; ");
    assert!(!said(&one).contains("families"), "{}", said(&one));
    let packets = |cell: &CellSpec| cell.scenario == ScenarioKind::FirstPacket;
    for stay in &one.stays {
        for cell in &stay.spec.cells {
            let named = cell.options.get(OptionKey::Family);
            assert_eq!(
                named,
                packets(cell).then_some("ipv4"),
                "{}",
                cell.options.words().join(" ")
            );
            assert!(cell.options.get(OptionKey::Stack).is_none());
        }
    }
    let count = |plan: &Plan, node: NodeKind| {
        let stays = plan.stays.iter().filter(|s| s.spec.variant.is_empty());
        stays.filter(|s| s.spec.node() == node).count()
    };
    let ordinary = count(&one, NodeKind::default());
    let all = of(&["--families", "each"]);
    for node in NodeKind::ALL {
        assert_eq!(count(&all, node), ordinary, "{}", node.words());
    }
    for stay in &all.stays {
        let cells = stay.spec.cells.iter();
        assert!(
            cells
                .clone()
                .all(|cell| cell.options.node() == stay.spec.node())
        );
    }
    let keys = all
        .stays
        .iter()
        .flat_map(|s| s.spec.cells.iter().map(|c| key(&s.spec, c)));
    let keys: HashSet<CellKey> = keys.collect();
    assert_eq!(keys.len() as u64, all.cells_per_block());
    let text = said(&all);
    assert!(
        text.contains("families: IPv4 and IPv6 each on nodes of its own"),
        "{text}"
    );
    let text = said(&of(&["--families", "ipv4,ipv6"]));
    assert!(text.contains("families: dual-stack nodes"), "{text}");
}

#[test]
fn each_type_of_services_and_a_mix_has_every_stay_of_every_mode_that_has_services() {
    let words = ["--services", "100", "--modes", "none,nftables"];
    let of = |types: &[&str]| plan(&[&words, types].concat());
    let said = |plan: &Plan| plan.sentences().join("; ");
    let one = of(&[]);
    assert!(!said(&one).contains("service types"), "{}", said(&one));
    let cells = |plan: &Plan| -> Vec<CellKey> {
        let stays = plan.stays.iter();
        stays
            .flat_map(|s| s.spec.cells.iter().map(|c| key(&s.spec, c)))
            .collect()
    };
    let named = |key: &CellKey| key.options.get(OptionKey::ServiceType).is_some();
    assert!(!cells(&one).iter().any(named));
    let types = [
        "--service-types",
        "node-port,cluster-ip",
        "--mix",
        "cluster-ip=90,affinity=10",
    ];
    let all = of(&types);
    let count = |plan: &Plan, mix: &Mix, floor: bool| {
        let stays = plan
            .stays
            .iter()
            .filter(|s| s.spec.mode.is_floor() == floor);
        stays.filter(|s| s.spec.mix == *mix).count()
    };
    let ordinary = Mix::default();
    for text in ["cluster-ip", "node-port", "cluster-ip=90,affinity=10"] {
        let mix: Mix = text.parse().unwrap();
        assert_eq!(
            count(&all, &mix, false),
            count(&one, &ordinary, false),
            "{text}"
        );
    }
    assert_eq!(count(&all, &ordinary, true), count(&one, &ordinary, true));
    for stay in &all.stays {
        let cells = stay.spec.cells.iter();
        assert!(
            cells
                .clone()
                .all(|cell| cell.options.mix() == stay.spec.mix)
        );
    }
    let keys: HashSet<CellKey> = cells(&all).into_iter().collect();
    assert_eq!(keys.len() as u64, all.cells_per_block());
    let text = said(&all);
    let types = "cluster-ip services; node-port services, each in stays of its own";
    assert!(text.contains(types), "{text}");
    // A mix alone is all that is asked of services.
    let mixed = of(&["--mix", "cluster-ip=90,affinity=10"]);
    assert_eq!(count(&mixed, &ordinary, false), 0);
}

#[test]
fn services_that_answer_nobody_are_asked_for_no_first_packet() {
    let kinds = |types: &str| -> BTreeSet<ScenarioKind> {
        let words = [
            "--services",
            "100",
            "--modes",
            "nftables",
            "--service-types",
            types,
        ];
        let stays = plan(&words).stays.into_iter();
        let cells = stays.flat_map(|stay| stay.spec.cells);
        cells.map(|cell| cell.scenario).collect()
    };
    assert!(kinds("affinity").contains(&ScenarioKind::FirstPacket));
    for silent in ["no-endpoints", "internal-local-none"] {
        let kinds = kinds(silent);
        assert!(!kinds.contains(&ScenarioKind::FirstPacket), "{silent}");
        assert!(kinds.contains(&ScenarioKind::ServiceAdd), "{silent}");
    }
    assert!(!kinds("no-endpoints").contains(&ScenarioKind::EndpointChurn));
}

/// Options of the first-packet cells of a mode.
fn packets(words: &[&str], mode: Mode) -> Vec<Options> {
    let asked = ["--services", "100", "--modes", "none,nftables"];
    let stays = plan(&[&asked, words].concat()).stays.into_iter();
    let mine = stays.filter(|stay| stay.spec.mode == mode && stay.spec.variant.is_empty());
    let cells = mine.flat_map(|stay| stay.spec.cells);
    let packets = cells.filter(|cell| cell.scenario == ScenarioKind::FirstPacket);
    packets.map(|cell| cell.options).collect()
}

#[test]
fn services_with_several_addresses_are_asked_by_two_in_one_stay_and_floors_as_ever() {
    let by = |words: &[&str]| -> BTreeMap<ReachedBy, usize> {
        let mut seen = BTreeMap::new();
        for options in packets(words, Mode::Nftables) {
            *seen.entry(options.reached()).or_default() += 1;
        }
        seen
    };
    let plain = by(&[]);
    let each = plain[&ReachedBy::ClusterIp];
    assert_eq!(plain.len(), 1);
    for (words, address) in [
        (["--service-types", "node-port"], ReachedBy::NodePort),
        (
            ["--service-types", "external-local"],
            ReachedBy::LoadBalancer,
        ),
        (["--mix", "cluster-ip=80,node-port=20"], ReachedBy::NodePort),
    ] {
        let wanted = BTreeMap::from([(ReachedBy::ClusterIp, each), (address, each)]);
        assert_eq!(by(&words), wanted, "{words:?}");
        assert_eq!(
            packets(&words, Mode::BARE),
            packets(&[], Mode::BARE),
            "{words:?}"
        );
    }
    // No pod is in a source range.
    assert_eq!(by(&["--service-types", "source-ranges"]), plain);
    let mixed = packets(&["--mix", "cluster-ip=80,node-port=20"], Mode::Nftables);
    let [named, unnamed] = [true, false].map(|reached| {
        let mine = mixed
            .iter()
            .filter(|own| own.get(OptionKey::Reached).is_some() == reached);
        let mine = mine.map(|own| own.without(&[OptionKey::Reached]));
        mine.collect::<BTreeSet<Options>>()
    });
    assert!(
        named == unnamed && named.len() == each,
        "they differ in nothing else"
    );
}

#[test]
fn packets_of_the_node_are_asked_for_by_name_and_in_the_floors_too() {
    for mode in [Mode::BARE, Mode::Nftables] {
        let one = packets(&[], mode);
        assert!(
            one.iter()
                .all(|options| options.path() == PacketPath::Client)
        );
        let both = packets(&["--paths", "node,client"], mode);
        assert_eq!(both.len(), 2 * one.len(), "{mode}");
        let node = packets(&["--paths", "node"], mode);
        assert!(node.len() == one.len(), "{mode}");
        assert!(
            node.iter()
                .all(|options| options.path() == PacketPath::Node)
        );
    }
    let unread = resolved(&["--paths", "node", "--scenarios", "service-add"]).unwrap_err();
    assert!(
        unread.contains("--paths is for scenario first-packet"),
        "{unread}"
    );
    let planted = resolved(&["--paths", "node", "--plant", "10"]).unwrap_err();
    assert!(planted.contains("at prerouting"), "{planted}");
    assert!(
        resolved(&["--paths", "pod"])
            .unwrap_err()
            .contains("client, node")
    );
}

#[test]
fn the_node_has_ports_for_what_is_asked_where_nobody_says_how_many_flows_and_else_it_is_told_in_a_line()
 {
    let node = ["--paths", "client,node"];
    let with = |words: &[&str]| resolved(&[&node[..], words].concat());
    let mix = "cluster-ip=12,node-port=8,load-balancer=10,source-ranges=10,external-ip=10,external-local=10,external-local-none=10,internal-local=10,internal-local-none=10,affinity=10";
    for fits in [
        &[][..],
        &["--mix", mix],
        &["--flows", "7000"],
        &["--flows", "20000", "--positions", "last"],
    ] {
        assert!(with(fits).is_ok(), "{fits:?}");
    }
    for (words, most) in [
        (&["--flows", "20000"][..], "7400"),
        (&["--flows", "2000", "--mix", mix], "1250"),
    ] {
        let why = with(words).unwrap_err();
        assert!(
            why.contains(most) && why.contains("--positions") && !why.contains('\n'),
            "{why}"
        );
    }
    assert!(
        resolved(&["--flows", "20000"]).is_ok(),
        "pods have more addresses"
    );
}

#[test]
fn a_scale_down_that_takes_nothing_of_anybody_is_told_what_would() {
    let words = ["--scenarios", "scale-down", "--endpoints", "1"];
    let why = resolved(&words).unwrap_err();
    assert!(
        why.contains("--scaled-to 1 leaves") && why.contains("--scaled-to 0"),
        "{why}"
    );
    for more in [&["--scaled-to", "0"][..], &["--scaled-to", "0,1"]] {
        assert!(resolved(&[&words[..], more].concat()).is_ok(), "{more:?}");
    }
    assert!(resolved(&["--scenarios", "scale-down", "--endpoints", "1,2"]).is_ok());
    assert!(resolved(&["--scenarios", "all", "--endpoints", "1"]).is_ok());
}

#[test]
fn each_number_of_endpoints_is_measured_by_itself_at_every_size() {
    let words = "--services 100,300 --endpoints 10,1,10 --modes nftables --scenarios scale-down --scaled 200 --scaled-to 0,1";
    let plan = plan(&words.split(' ').collect::<Vec<_>>());
    let cells = plan.stays.iter().map(|stay| {
        let [cell] = stay.spec.cells.as_slice() else {
            panic!("a scale-down leaves nothing as it was: {stay:?}");
        };
        let number = |key| cell.options.get(key).and_then(|n| n.parse::<u32>().ok());
        let scaled = [OptionKey::Scaled, OptionKey::ScaledTo].map(number);
        (stay.spec.services, stay.spec.endpoints, scaled)
    });
    let seen: BTreeSet<_> = cells.collect();
    // Of one endpoint none can be left that leaves.
    let wanted = [(100, 100), (300, 200)].map(|(services, scaled)| {
        [(1, 0), (10, 0), (10, 1)]
            .map(|(endpoints, left)| (services, endpoints, [Some(scaled), Some(left)]))
    });
    assert_eq!(seen, wanted.into_iter().flatten().collect());
    assert_eq!(plan.stays.len(), 6);
    let words = [
        "bench-runner",
        "--services",
        "10000",
        "--endpoints",
        "2,1000",
    ];
    let cli = crate::cmd::Cli::try_parse_from(words).unwrap();
    let Usage(why) = Settings::resolve(&cli.run).unwrap_err();
    assert!(
        why.contains("more addresses than the plan holds") && why.contains("room for 5291"),
        "{why}"
    );
}

#[test]
fn larger_sets_are_an_option_of_the_cells_whose_mode_makes_them() {
    let words =
        "--services 100 --no-sweep --modes ipvs,nftables --scenarios rule-count,first-packet";
    let raised = format!("{words} --maxelem raised");
    for (words, is_raised) in [(words, false), (raised.as_str(), true)] {
        let plan = plan(&words.split(' ').collect::<Vec<_>>());
        for stay in plan
            .stays
            .iter()
            .filter(|stay| stay.spec.variant != CONTROL)
        {
            let raised = is_raised && stay.spec.mode == Mode::Ipvs;
            assert_eq!(stay.spec.raised, raised);
            let mut cells = stay.spec.cells.iter();
            assert!(cells.all(|cell| cell.options.is(OptionKey::Maxelem, RAISED) == raised));
        }
    }
    let why = resolved(&["--modes", "nftables", "--maxelem", "raised"]).unwrap_err();
    assert!(why.contains("add mode ipvs"), "{why}");
}

#[test]
fn what_is_wrong_with_types_of_services_is_told_in_a_line() {
    for (words, why) in [
        (vec!["--service-types", "node-prot"], "node-port"),
        (
            vec!["--service-types", "affinity,affinity"],
            "affinity twice",
        ),
        (vec!["--mix", "node-port"], "--service-types node-port"),
        (
            vec!["--mix", "cluster-ip=60,node-port=30"],
            "come to 90 per cent",
        ),
        (
            vec!["--modes", "none", "--service-types", "affinity"],
            "have no services",
        ),
    ] {
        let said = resolved(&words).unwrap_err();
        assert!(said.contains(why), "{words:?}: {said}");
    }
    let large = ["--services", "10000", "--service-types", "node-port"];
    let cli = crate::cmd::Cli::try_parse_from([&["bench-runner"][..], &large].concat()).unwrap();
    let Usage(why) = Settings::resolve(&cli.run).unwrap_err();
    assert!(
        why.contains("2768 of each protocol") && why.contains("room for 5436"),
        "{why}"
    );
    assert!(!why.contains('\n'), "{why}");
}

#[test]
fn a_real_kube_proxy_serves_every_kind_of_node() {
    let real = ["--transports", "kube-proxy", "--modes", "nftables"];
    let real = [&real[..], &["--tool", "kube-proxy=/bin/true"]].concat();
    for word in ["ipv6", "ipv4,ipv6", "each"] {
        let words = [&real[..], &["--families", word]].concat();
        assert!(resolved(&words).is_ok(), "{word}");
    }
}

#[test]
fn flows_are_cleaned_up_for_each_number_where_kube_proxy_has_the_mode_and_there_is_udp() {
    let cells = |words: &[&str]| {
        let asked = ["--scenarios", "conntrack-clean,first-packet"];
        let plan = plan(&[&["--services", "100"], &asked[..], words].concat());
        let cells = plan.stays.into_iter().flat_map(|stay| stay.spec.cells);
        let clean = cells.filter(|cell| cell.scenario == ScenarioKind::ConntrackClean);
        clean.map(|cell| cell.options).collect::<Vec<_>>()
    };
    let two = cells(&["--tracked-flows", "0,1000", "--modes", "ipset,nftables"]);
    let flows: Vec<_> = two
        .iter()
        .filter_map(|o| o.get(OptionKey::TrackedFlows))
        .collect();
    assert_eq!(flows, ["0", "1000"]);
    assert!(cells(&["--protocols", "tcp", "--modes", "nftables"]).is_empty());
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
fn floors_have_packets_and_none_updates_that_change_nothing_and_a_control_series() {
    let plan = plan(&["--services", "100"]);
    for stay in plan.stays.iter().filter(|s| s.spec.mode.is_floor()) {
        let cells = stay.spec.cells.iter().map(|cell| cell.scenario);
        let others = cells.filter(|kind| *kind != ScenarioKind::FirstPacket);
        match stay.spec.mode == Mode::BARE {
            true => assert_eq!(others.collect::<Vec<_>>(), [ScenarioKind::EmptyUpdate; 3]),
            false => assert_eq!(others.count(), 0),
        }
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

/// The stays of a plan of variants that would be made one after the other in a block.
fn order(plan: &Plan, block: u32) -> Vec<(usize, String)> {
    let stays = plan.block(block).into_iter();
    stays.map(|s| (s.pair, s.spec.variant)).collect()
}

const SIDES: [&str; 4] = ["--variant", "base:", "--variant", "head:--endpoints 3"];

#[test]
fn the_stays_of_variants_that_are_compared_lie_side_by_side_and_each_is_as_often_first() {
    let plan = plan(&[&["--services", "100,300", "--seed", "5"], &SIDES[..]].concat());
    let mut firsts = [0, 0];
    for block in 0..8 {
        let order = order(&plan, block);
        let mut left = order.as_slice();
        while let [(pair, first), rest @ ..] = left {
            let both = order.iter().filter(|(other, _)| other == pair).count();
            assert_eq!(both, if first == CONTROL { 1 } else { 2 });
            left = rest;
            if let ([(next, second), rest @ ..], 2) = (rest, both) {
                assert_eq!(next, pair, "side by side");
                assert_ne!(first, second);
                firsts[usize::from(first == "head")] += 1;
                left = rest;
            }
        }
    }
    assert!(firsts[0] == firsts[1] && firsts[0] > 50, "{firsts:?}");
    let by_head = |block| -> Vec<bool> {
        let mut seen = HashSet::new();
        let order = order(&plan, block).into_iter();
        let mut first: Vec<(usize, bool)> = order
            .filter(|(pair, _)| seen.insert(*pair))
            .map(|(pair, variant)| (pair, variant == "head"))
            .collect();
        first.sort_unstable();
        first.into_iter().map(|(_, head)| head).collect()
    };
    let mixed = by_head(0);
    assert!(mixed.contains(&true) && mixed.contains(&false), "drawn");
    assert_ne!(by_head(0), by_head(2), "and drawn again");
}

#[test]
fn variants_have_the_same_stays_each_in_its_own_way_and_the_first_has_the_control_series() {
    let one = plan(&["--services", "100"]);
    let both = plan(&[&["--services", "100"], &SIDES[..]].concat());
    let of = |variant: &'static str| both.stays.iter().filter(move |s| s.spec.variant == variant);
    let asked = |stays: &[&PlannedStay]| -> Vec<(Mode, Transport, usize)> {
        let of = |s: &&PlannedStay| (s.spec.mode, s.spec.transport, s.spec.cells.len());
        stays.iter().map(of).collect()
    };
    let (base, head): (Vec<_>, Vec<_>) = (of("base").collect(), of("head").collect());
    let ordinary = one.stays.iter().filter(|s| s.spec.variant.is_empty());
    assert_eq!(asked(&base), asked(&ordinary.collect::<Vec<_>>()));
    assert_eq!(asked(&base), asked(&head));
    assert!(base.iter().all(|s| s.spec.endpoints == 2));
    assert!(head.iter().all(|s| s.spec.endpoints == 3));
    let control: Vec<_> = of(CONTROL).collect();
    assert_eq!(control.len(), 1);
    assert_eq!(control[0].spec.endpoints, 2, "of the first variant");
    let keys: HashSet<CellKey> = both
        .stays
        .iter()
        .flat_map(|s| s.spec.cells.iter().map(|c| key(&s.spec, c)))
        .collect();
    assert_eq!(keys.len() as u64, both.cells_per_block());
}

#[test]
fn the_order_of_variants_follows_from_the_seed() {
    let of = |seed: &str| {
        let plan = plan(&[&["--services", "100", "--seed", seed], &SIDES[..]].concat());
        (0..4)
            .flat_map(|block| order(&plan, block))
            .collect::<Vec<_>>()
    };
    assert_eq!(of("3"), of("3"));
    assert_ne!(of("3"), of("4"));
}

#[test]
fn sizes_and_transports_of_variants_are_paired_by_their_order() {
    let words = [
        "--modes",
        "nftables",
        "--variant",
        "base:--services 100,1000",
        "--variant",
        "head:--services 150,1100 --transports nft",
    ];
    let plan = plan(&words);
    for pair in pairs::grouped(&plan.stays) {
        let [base, head] = pair.as_slice() else {
            panic!("{} stays", pair.len())
        };
        let wanted = if base.spec.services == 100 {
            150
        } else {
            1_100
        };
        assert_eq!(head.spec.services, wanted);
        assert_eq!(
            (base.spec.transport.name(), head.spec.transport.name()),
            ("netlink", "nft")
        );
        let scenarios = |s: &PlannedStay| -> HashSet<ScenarioKind> {
            s.spec.cells.iter().map(|c| c.scenario).collect()
        };
        assert_eq!(scenarios(base), scenarios(head));
    }
}

#[test]
fn a_variant_is_measured_in_its_own_environments() {
    let words = [
        "--services",
        "100",
        "--variant",
        "base:",
        "--variant",
        "head:",
    ];
    let cli = crate::cmd::Cli::try_parse_from([&["bench-runner"], &words[..]].concat()).unwrap();
    let settings = Settings::resolve(&cli.run).unwrap();
    let guest = |name: &str, variant: &str| PlannedEnvironment {
        name: name.to_owned(),
        accel: Accelerator::Tcg,
        variants: vec![variant.to_owned()],
        pace: 1.0,
        lacks: BTreeSet::new(),
    };
    let environments = [guest("guest-6.12", "head"), guest("guest-6.1", "base")];
    let plan = Plan::new(&settings, &environments, &Machine::default());
    for stay in &plan.stays {
        let wanted = match stay.spec.variant.as_str() {
            "base" => &["guest-6.1"][..],
            "head" => &["guest-6.12"],
            _ => &["guest-6.1", "guest-6.12"],
        };
        assert!(wanted.contains(&stay.spec.environment.as_str()), "{stay:?}");
    }
    for pair in pairs::grouped(&plan.stays) {
        let mut environments: Vec<&str> =
            pair.iter().map(|s| s.spec.environment.as_str()).collect();
        environments.sort_unstable();
        assert_eq!(
            environments,
            ["guest-6.1", "guest-6.12"],
            "each beside the other"
        );
    }
    let control = plan.stays.iter().filter(|s| s.spec.variant == CONTROL);
    assert_eq!(control.count(), 2, "one control series each");
}

#[test]
fn variants_that_cannot_be_compared_are_refused() {
    let refused = |words: &[&str]| {
        let cli = crate::cmd::Cli::try_parse_from([&["bench-runner"], words].concat()).unwrap();
        let Usage(line) = Settings::resolve(&cli.run).unwrap_err();
        line
    };
    let sides = |a: &str, b: &str| {
        let (a, b) = (format!("a:{a}"), format!("b:{b}"));
        refused(&["--services", "1000", "--variant", &a, "--variant", &b])
    };
    let sizes = sides("--services 500", "");
    assert!(
        sizes.contains("variant a has 1") && sizes.contains("--no-sweep"),
        "{sizes}"
    );
    let kernels = sides("--kernel 6.1", "");
    assert!(
        kernels.starts_with("--variant b: it names no --kernel"),
        "{kernels}"
    );
    let transports = sides(
        "--transports exec --engines nft",
        "--vip-stride 65536 --services 2000000",
    );
    assert!(transports.starts_with("--variant b: "), "{transports}");
    let unused = sides("", "--tool ipvsadm=/bin/true");
    assert!(
        unused.contains("nothing that is asked starts ipvsadm"),
        "{unused}"
    );
}

#[test]
fn a_budget_buys_whole_answers_and_what_does_not_fit_is_said_and_not_begun() {
    let asked = |more: &[&str]| {
        let words = ["--services", "10000", "--sandbox", "netns"];
        plan(&[&words, more].concat())
    };
    let whole = asked(&["--budget", "10h"]);
    assert_eq!(whole.what_does_not_fit(), None);
    let cut = |plan: &Plan| {
        let places = 0..plan.stays.len();
        let is_cut = |place: &usize| plan.stays[*place].left_out == Some(NotRun::Budget);
        places.filter(is_cut).collect::<Vec<_>>()
    };
    assert!(cut(&whole).is_empty());
    let mut sizes = Vec::new();
    for budget in ["20m", "10m", "5m"] {
        let plan = asked(&["--budget", budget]);
        let cut = cut(&plan);
        assert!(cut.iter().all(|place| !plan.is_headline(*place)));
        // Whatever is begun is made, with as many stays of what a run is for as a range needs; or is a third of all.
        let of = |headline: bool| -> u64 {
            let places = (0..plan.stays.len()).filter(|at| plan.is_headline(*at) == headline);
            places.map(|at| plan.stays[at].begun_ns()).sum()
        };
        let (first, others) = (3 * of(true), of(false));
        let [all, others] = [first + others, others].map(Duration::from_nanos);
        assert!(all <= plan.budget || others <= plan.budget / 3, "{budget}");
        assert_eq!(plan.what_does_not_fit().is_some(), !cut.is_empty());
        assert_eq!(plan.cells(), whole.cells(), "each has its outcome");
        sizes.push(cut.len());
    }
    assert!(sizes.is_sorted() && sizes[2] > 0, "{sizes:?}");
    // What would make everything does.
    let said = asked(&["--budget", "5m"]).what_does_not_fit().unwrap();
    let budget = said.split("--budget ").nth(1).unwrap();
    let budget = budget.split(' ').next().unwrap();
    assert!(cut(&asked(&["--budget", budget])).is_empty(), "{said}");
}

#[test]
fn of_a_pair_both_sides_are_begun_or_neither_and_a_budget_for_nothing_is_refused() {
    let words = "--services 3000 --sandbox netns --budget 1m --variant a: --variant b:";
    let plan = plan(&words.split(' ').collect::<Vec<_>>());
    for place in 0..plan.stays.len() {
        let outcomes: HashSet<bool> = plan
            .pair_of(place)
            .map(|at| plan.stays[at].left_out.is_none())
            .collect();
        assert_eq!(outcomes.len(), 1);
    }
    assert!(plan.stays.iter().any(|stay| stay.left_out.is_some()));
    assert_eq!(plan.fits_nothing(), None);
    let alone = "--services 10000 --no-sweep --scenarios cold-install --budget 1s";
    let alone = super::tests::plan(&alone.split(' ').collect::<Vec<_>>());
    let said = alone.fits_nothing().unwrap();
    assert!(said.contains("--budget"), "{said}");
    // Where all are installs the largest size comes first as well; where whole blocks are made all have as many.
    let installs = "--services 10000 --sandbox netns --scenarios cold-install --budget 2m";
    let installs = super::tests::plan(&installs.split(' ').collect::<Vec<_>>());
    let cut = |place: usize| installs.stays[place].left_out == Some(NotRun::Budget);
    assert!((0..installs.stays.len()).all(|at| !(cut(at) && installs.is_headline(at))));
    assert!((0..installs.stays.len()).any(cut));
    let decided = "--services 3000 --no-sweep --sandbox netns --until-decided --budget 20m --variant a: --variant b:";
    let decided = super::tests::plan(&decided.split(' ').collect::<Vec<_>>());
    let block = decided.block_time();
    assert!(
        block > Duration::ZERO && 6 * block <= decided.budget * 4 / 3,
        "{block:?}"
    );
}
