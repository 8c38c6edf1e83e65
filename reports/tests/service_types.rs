//! A run of services of several types: each, and each address by which packets reach it, has sentences, charts and tables of
//! its own; one table puts the types below each other, and one two addresses side by side, with ratios of one stay.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::sync::LazyLock;

use reports::view::{are_named, scopes, service_types};
use reports::{
    Apart, Run, TERMINAL, beside, plots, render_html, render_markdown, render_tables, render_text,
    summarise,
};
use schema::summary::Summary;
use schema::{Mix, Mode, OptionKey, Reach, ReachedBy, ScenarioKind};
use synthetic::Shape;

const TYPES: [&str; 3] = ["cluster-ip", "node-port", "no-endpoints"];
const MIXED: &str = "cluster-ip=80,node-port=20";

static ALL: LazyLock<(Run, Summary)> = LazyLock::new(|| of(&TYPES));
static MIX: LazyLock<(Run, Summary)> = LazyLock::new(|| of(&[MIXED]));

fn of(mixes: &[&str]) -> (Run, Summary) {
    let shape = Shape {
        blocks: 7,
        sizes: vec![100, 1_000],
        samples: 12,
        mishaps: false,
        ..Shape::default()
    };
    let mixes: Vec<Mix> = mixes.iter().map(|mix| mix.parse().unwrap()).collect();
    let mut run = synthetic::run_of_types(&shape, &mixes);
    // Of services that answer nobody no packet is planned.
    let silent = |mix: &Mix| mix.asked_by().is_empty();
    let packets = |kind: ScenarioKind| kind == ScenarioKind::FirstPacket;
    run.cells
        .retain(|cell| !(packets(cell.key.scenario) && silent(&cell.key.options.mix())));
    let summary = summarise(&run);
    (run, summary)
}

#[test]
fn a_run_of_cluster_ips_says_nothing_of_types() {
    let (run, summary) = of(&["cluster-ip"]);
    let scopes = scopes(&summary);
    assert!(scopes.len() == 1 && scopes[0].reach.is_none() && !are_named(&scopes));
    assert!(beside(&run, &summary).is_empty() && service_types(&summary).is_empty());
    for text in [
        render_text(&run, &summary),
        render_markdown(&[(&run, &summary)]),
        render_html(&[(&run, &summary)]),
    ] {
        assert!(
            !text.contains("cluster-ip") && !text.contains("Service types"),
            "{text}"
        );
    }
}

#[test]
fn a_type_and_an_address_are_a_scope_in_which_floors_stand_where_packets_do() {
    let (_, summary) = &*ALL;
    let scopes = scopes(summary);
    let reaches: BTreeSet<&Reach> = scopes.iter().filter_map(|s| s.reach.as_ref()).collect();
    let seen: Vec<String> = reaches.iter().map(|reach| reach.to_string()).collect();
    let wanted = [
        "cluster-ip",
        "node-port by cluster-ip",
        "node-port by node-port",
        "no-endpoints",
    ];
    assert_eq!(seen, wanted);
    for scope in &scopes {
        let reach = scope.reach.as_ref().unwrap();
        let rows: Vec<_> = scope.rows(summary).collect();
        let of_mode = |mode| rows.iter().any(|row| row.key.mode == mode);
        assert!(of_mode(Mode::Nftables), "{reach}");
        assert_eq!(
            of_mode(Mode::BARE),
            !reach.mix.asked_by().is_empty(),
            "{reach}"
        );
        let mut serving = rows.iter().filter(|row| !row.key.mode.is_floor());
        assert!(
            serving.all(|row| row.key.options.reach() == *reach),
            "{reach}"
        );
        let updates = rows.iter().any(|row| row.key.scenario.is_update());
        assert_eq!(updates, reach.by == ReachedBy::ClusterIp, "{reach}");
    }
}

#[test]
fn types_and_addresses_never_share_a_sentence_or_a_chart() {
    let (run, summary) = &*ALL;
    let words: Vec<String> = scopes(summary)
        .into_iter()
        .map(|s| s.reach.unwrap().words())
        .collect();
    // Some begin as others do: the longest counts.
    let one = |text: &str| {
        let said = words.iter().filter(|words| text.contains(words.as_str()));
        let longest = said.clone().max_by_key(|words| words.len());
        longest.is_some_and(|longest| said.clone().all(|words| longest.contains(words.as_str())))
    };
    assert!(!summary.findings.is_empty());
    for finding in &summary.findings {
        assert!(one(&finding.text), "{}", finding.text);
        let said = finding.options.reach().words();
        assert!(finding.text.contains(&said), "{said}: {}", finding.text);
        assert!(finding.options.get(OptionKey::Path).is_some());
    }
    let figures = plots::figures(run, summary);
    assert!(
        figures
            .iter()
            .any(|figure| figure.name == "first-packet-tcp-2")
    );
    for figure in figures {
        assert!(one(&figure.title), "{}", figure.title);
    }
    for table in render_tables(summary, TERMINAL).split("medians at").skip(1) {
        assert!(one(table), "{table}");
    }
}

#[test]
fn fits_are_of_one_type_and_address_and_stand_above_the_floor() {
    let (_, summary) = &*ALL;
    for scope in scopes(summary) {
        let reach = scope.reach.clone().unwrap();
        let mut mine = summary.fits.iter().filter(|fit| scope.is_of(&fit.options));
        assert!(mine.all(|fit| fit.options.reach() == reach));
    }
}

#[test]
fn two_addresses_of_one_stay_stand_side_by_side_with_their_ratio() {
    let (run, summary) = &*MIX;
    let all = beside(run, summary);
    assert_eq!(all.len(), 1);
    let table = &all[0];
    let both = [ReachedBy::ClusterIp, ReachedBy::NodePort];
    assert_eq!(
        (table.apart, table.services),
        (Apart::Addresses(both), 1_000)
    );
    assert!(
        table
            .place
            .ends_with("80 % cluster-ip and 20 % node-port services"),
        "{}",
        table.place
    );
    let modes: BTreeSet<Mode> = table
        .lines
        .iter()
        .map(|line| line.rows[0].key.mode)
        .collect();
    assert!(modes.contains(&Mode::IptablesLegacy) && !modes.contains(&Mode::BARE));
    for line in &table.lines {
        assert_eq!(line.rows.map(|row| row.key.options.reached()), both);
        assert_eq!(line.rows[0].key.scenario, ScenarioKind::FirstPacket);
        let known = line.ratio.unwrap().known;
        let off = (known.value / synthetic::REACHED - 1.0).abs();
        assert!(
            off < 0.01 && known.ci95.is_some(),
            "{}: {}",
            line.of,
            known.value
        );
    }
}

#[test]
fn instructions_of_two_addresses_stand_side_by_side_too() {
    let (mut run, _) = of(&[MIXED]);
    synthetic::translate(&mut run, schema::Accelerator::TcgIcount);
    let summary = summarise(&run);
    let all = beside(&run, &summary);
    assert_eq!(all.len(), 1);
    for line in &all[0].lines {
        let known = line.ratio.unwrap().known;
        assert!(known.counted && (known.value / synthetic::REACHED - 1.0).abs() < 0.01);
    }
}

#[test]
fn types_stand_below_each_other_in_every_mode() {
    let (_, summary) = &*ALL;
    let tables = service_types(summary);
    assert_eq!(tables.len(), 1);
    let (scope, table) = &tables[0];
    assert!(scope.reach.is_none() && table.services == 1_000);
    let of = |kind: ScenarioKind| -> BTreeSet<&str> {
        let lines = table.lines.iter();
        let lines = lines.filter(|line| line.first().unwrap().key.scenario == kind);
        lines.map(|line| line.of.as_str()).collect()
    };
    let packets = [
        "cluster-ip",
        "node-port by cluster-ip",
        "node-port by node-port",
    ];
    assert_eq!(of(ScenarioKind::FirstPacket), BTreeSet::from(packets));
    let each = ["cluster-ip", "node-port by cluster-ip", "no-endpoints"];
    for kind in [
        ScenarioKind::ServiceAdd,
        ScenarioKind::ColdInstall,
        ScenarioKind::RuleCount,
    ] {
        assert_eq!(of(kind), BTreeSet::from(each), "{kind}");
    }
    for line in &table.lines {
        assert_eq!(line.cells.len(), table.columns.len());
        let answers = || line.cells.iter().flatten().flatten();
        let reach = line.first().unwrap().key.options.reach();
        assert!(answers().all(|answer| answer.row.key.options.reach() == reach));
    }
}

#[test]
fn the_tables_are_in_every_text() {
    for ((run, summary), titles) in [
        (
            &*ALL,
            [
                "Service types at 1,000 services",
                "cluster-ip beside node-port",
            ],
        ),
        (
            &*MIX,
            [
                "By address: cluster-ip beside node-port at 1,000 services",
                "node-port ÷ cluster-ip",
            ],
        ),
    ] {
        for text in [
            render_text(run, summary),
            render_markdown(&[(run, summary)]),
            render_html(&[(run, summary)]),
        ] {
            for title in titles {
                assert!(text.contains(title), "{title}: {text}");
            }
        }
    }
    let (run, summary) = &*ALL;
    let text = render_text(run, summary);
    let (_, table) = text.split_once("Service types at").unwrap();
    for line in table.lines().take(40) {
        assert!(line.chars().count() <= 75, "{line}");
    }
}

#[test]
fn a_page_that_does_not_draw_all_says_what_they_are_of() {
    let types = [
        "cluster-ip",
        "node-port",
        "load-balancer",
        "external-ip",
        "affinity",
    ];
    let (run, summary) = of(&types);
    let said = "6 of 8 kinds of services and ways to reach them have tables and charts here. ";
    assert!(render_html(&[(&run, &summary)]).contains(said));
    let page = |run: &Run| render_html(&[(run, &summarise(run))]);
    let shape = Shape {
        blocks: 2,
        sizes: vec![100],
        samples: 5,
        ..Shape::default()
    };
    let kernels = ["6.1", "6.2", "6.3", "6.4", "6.5", "6.6", "6.7"];
    let mut run = synthetic::run_on(&shape, &kernels);
    assert!(page(&run).contains("6 of 7 environments have tables and charts here. "));
    for cell in run.cells.iter_mut().step_by(2) {
        cell.key.endpoints = 40;
    }
    let said = "6 of 14 combinations of environments and numbers of endpoints have tables and";
    assert!(page(&run).contains(said));
}
