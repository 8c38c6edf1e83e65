use std::collections::{BTreeMap, BTreeSet};

use schema::{CellKey, Mode, OptionKey, OutcomeKind, Place, ScenarioKind, Transport, Unit};

use super::*;

fn row(mode: Mode, scenario: ScenarioKind, options: &[(OptionKey, &str)], metric: Metric) -> Row {
    Row {
        key: CellKey {
            mode,
            scenario,
            services: 10_000,
            endpoints: 2,
            environment: "netns".to_owned(),
            variant: String::new(),
            options: options.iter().copied().collect(),
        },
        metric: Some(metric),
        unit: Some(metric.unit()),
        outcome: OutcomeKind::Measured,
        without: BTreeMap::new(),
        reason: None,
        remedy: None,
        n: 15_000,
        stays: 15,
        median: Some(123.4e6),
        ci95: None,
        range: None,
        censored: 0,
        by_seed: BTreeMap::new(),
        lower_bound_ns: None,
        quantiles: BTreeMap::new(),
        p99_of_stays: None,
        histogram: None,
        noisy: metric == Metric::KernelMemory,
        disturbed: 0,
        unsettled: 0,
        per_cpu: None,
        whole: None,
    }
}

/// Every mode but the floors in every scenario, nftables through two transports.
fn summary() -> Summary {
    let mut cells = Vec::new();
    for &mode in Mode::ALL {
        let ways: &[&[(OptionKey, &str)]] = match mode {
            Mode::Nftables => &[
                &[(OptionKey::Transport, "netlink")],
                &[(OptionKey::Transport, "nft")],
            ],
            Mode::Ipset => &[&[
                (OptionKey::Transport, "netlink"),
                (OptionKey::Engine, "legacy"),
            ]],
            _ => &[&[(OptionKey::Transport, "restore")]],
        };
        let engine: Vec<(OptionKey, &str)> = ways[0]
            .iter()
            .copied()
            .filter(|(k, _)| *k == OptionKey::Engine)
            .collect();
        for position in ["first", "middle", "last", "uniform"] {
            for protocol in ["tcp", "udp"] {
                let options = [
                    engine.clone(),
                    vec![
                        (OptionKey::Position, position),
                        (OptionKey::Protocol, protocol),
                    ],
                ]
                .concat();
                cells.push(row(
                    mode,
                    ScenarioKind::FirstPacket,
                    &options,
                    Metric::Latency,
                ));
            }
        }
        for (scenario, metric) in [
            (ScenarioKind::Established, Metric::RoundTrip),
            (ScenarioKind::ConnectRate, Metric::ConnectionTime),
            (ScenarioKind::Miss, Metric::Latency),
        ] {
            let options = [engine.clone(), vec![(OptionKey::Protocol, "tcp")]].concat();
            cells.push(row(mode, scenario, &options, metric));
        }
        if mode.is_floor() {
            continue;
        }
        let metrics = |scenario: ScenarioKind| {
            let asks = scenario.asked_at(Place::Terminal);
            asks.map(|ask| ask.metric)
        };
        for metric in metrics(ScenarioKind::RuleCount) {
            cells.push(row(mode, ScenarioKind::RuleCount, &engine, metric));
        }
        for way in ways {
            let others = ScenarioKind::ALL.iter();
            let kept = [
                ScenarioKind::Memory,
                ScenarioKind::Idle,
                ScenarioKind::ConntrackClean,
                ScenarioKind::SetSwap,
                ScenarioKind::Listing,
            ];
            for scenario in others.filter(|s| s.is_update() || kept.contains(s)) {
                for metric in metrics(*scenario) {
                    let chunk = (*scenario == ScenarioKind::ColdInstall)
                        .then_some((OptionKey::Chunk, "all"));
                    let options: Vec<_> = way.iter().copied().chain(chunk).collect();
                    cells.push(row(mode, *scenario, &options, metric));
                }
            }
        }
    }
    Summary {
        schema_version: schema::SCHEMA_VERSION,
        cells,
        ..Summary::default()
    }
}

#[test]
fn every_mode_fits_a_terminal_and_every_line_of_a_band_is_as_wide() {
    let text = render_tables(&summary(), TERMINAL);
    for line in text.lines() {
        assert!(line.chars().count() <= TERMINAL, "{line}");
    }
    for band in text.split("\n\n").skip(1) {
        let widths: BTreeSet<usize> = band.lines().map(|line| line.chars().count()).collect();
        assert_eq!(widths.len(), 1, "{band}");
    }
    for mode in Mode::ALL {
        assert!(
            text.lines().any(|line| line.starts_with(mode.name())),
            "{mode}"
        );
    }
    assert!(
        text.contains("nftables/nft") && !text.contains("ipset/"),
        "{text}"
    );
    assert!(text.contains("123 MB~ 15000/15"), "{text}");
}

#[test]
fn a_median_says_how_far_it_is_known_whether_it_was_disturbed_and_cold_caches() {
    let mut summary = summary();
    for cell in &mut summary.cells {
        cell.ci95 = Some([118.0e6, 128.0e6]);
        if cell.key.scenario == ScenarioKind::FirstPacket {
            cell.key.options.set(OptionKey::Cache, "cold");
        }
        if cell.key.mode == Mode::Nftables {
            cell.disturbed = 1;
        }
    }
    let text = render_tables(&summary, TERMINAL);
    assert!(
        text.lines().all(|line| line.chars().count() <= TERMINAL),
        "{text}"
    );
    assert!(text.contains("123 ms ±4% 15000/15"), "{text}");
    assert!(text.contains("123 ms! ±4% 15000/15"), "{text}");
    let first = text.lines().nth(1).unwrap_or_default();
    assert!(
        first.contains("± half of the 95 % interval") && first.contains("! stays disturbed"),
        "{first}"
    );
    assert!(text.contains("tcp last cold"), "{text}");
}

#[test]
fn every_question_of_every_scenario_is_a_column() {
    let text = render_tables(&summary(), TERMINAL);
    let asked = |kind: &&ScenarioKind| kind.asked_at(Place::Terminal).next().is_some();
    for scenario in ScenarioKind::ALL.iter().filter(asked) {
        assert!(text.contains(scenario.name()), "{scenario}");
    }
    for word in [
        "messages",
        "bytes",
        "elements",
        "tcp last",
        "udp uniform",
        "peak",
    ] {
        assert!(text.contains(word), "{word}");
    }
}

#[test]
fn a_cell_without_a_number_says_why_and_is_never_blank() {
    let mut summary = summary();
    for cell in &mut summary.cells {
        let nft = cell.key.options.transport() == Some(Transport::Nft);
        if nft || cell.key.mode == Mode::IptablesNft {
            (cell.metric, cell.unit, cell.median) = (None, None, None);
            cell.outcome = if nft {
                OutcomeKind::Unsupported
            } else {
                OutcomeKind::TimedOut
            };
            cell.lower_bound_ns = Some(60_000_000_000);
        }
    }
    summary
        .cells
        .retain(|cell| cell.key.mode != Mode::Ipset || cell.metric != Some(Metric::SyncTime));
    let text = render_tables(&summary, TERMINAL);
    let line = |name: &str| {
        text.lines()
            .find(|l| l.starts_with(name))
            .unwrap_or_default()
    };
    assert!(line("nftables/nft ").contains("unsupported"), "{text}");
    assert!(line("iptables-nft ").contains("> 60 s"), "{text}");
    assert!(
        text.contains("no such mode"),
        "kube-proxy has no ipset mode: {text}"
    );
    // A time limit bounds an update, never a packet or bytes.
    let packets = text
        .split("\n\n")
        .find(|band| band.contains("tcp first"))
        .unwrap_or_default();
    assert!(
        packets.contains("timed-out") && !packets.contains("> 60 s"),
        "{packets}"
    );
}

#[test]
fn nothing_planned_is_an_empty_table() {
    let nothing = Summary {
        cells: Vec::new(),
        ..summary()
    };
    assert_eq!(render_tables(&nothing, TERMINAL), "");
    assert_eq!(Metric::UpdateTime.unit(), Unit::Nanoseconds);
}
