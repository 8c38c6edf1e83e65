//! Sentences that need certain measurements: there when these are, and not otherwise.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::cmp::Ordering;
use std::sync::LazyLock;

use reports::{Run, plots, render_markdown, summarise, view};
use schema::summary::{Finding, Summary};
use schema::{
    Accelerator, CellKey, Metric, Mode, NotRun, OptionKey, Outcome, Position, Protocol,
    SandboxKind, ScenarioKind,
};
use synthetic::Shape;

/// Scenarios from which the sentences of this file are made.
const ASKED: &[ScenarioKind] = &[
    ScenarioKind::ServiceAdd,
    ScenarioKind::FirstPacket,
    ScenarioKind::Memory,
];

static RUN: LazyLock<Run> = LazyLock::new(|| {
    let mut run = synthetic::run(&Shape {
        blocks: 8,
        sizes: vec![100, 300, 1_000, 10_000],
        samples: 20,
        stay_noise: 0.01,
        mishaps: false,
        ..Shape::default()
    });
    let asked = |key: &CellKey| {
        let to = [Position::Last, Position::Uniform];
        let position = key.options.position();
        let protocol = key.options.protocol();
        position.is_none_or(|own| to.contains(&own))
            && protocol.is_none_or(|own| own == Protocol::Tcp)
    };
    run.cells.retain(|cell| {
        ASKED.contains(&cell.key.scenario) && cell.key.mode != Mode::None && asked(&cell.key)
    });
    run
});
static SUMMARY: LazyLock<Summary> = LazyLock::new(|| summarise(&RUN));

/// The run of one scenario, without some of its cells.
fn without(scenario: ScenarioKind, gone: impl Fn(&CellKey) -> bool) -> Summary {
    let mut run = RUN.clone();
    run.cells
        .retain(|cell| cell.key.scenario == scenario && !gone(&cell.key));
    summarise(&run)
}

/// The run of one scenario, with changed records.
fn changed(scenario: ScenarioKind, change: impl Fn(&mut schema::CellRecord)) -> Summary {
    let mut run = RUN.clone();
    run.cells.retain(|cell| cell.key.scenario == scenario);
    run.cells.iter_mut().for_each(change);
    summarise(&run)
}

fn found<'a>(summary: &'a Summary, words: &str) -> Option<&'a Finding> {
    summary.findings.iter().find(|f| f.text.contains(words))
}

fn text<'a>(summary: &'a Summary, words: &str) -> &'a str {
    let finding = found(summary, words).unwrap_or_else(|| panic!("no sentence with '{words}'"));
    assert!(!finding.evidence.is_empty(), "{}", finding.text);
    &finding.text
}

fn scale(record: &mut schema::CellRecord, metric: Metric, change: impl Fn(f64) -> f64) {
    for series in record.series.iter_mut().filter(|s| s.metric == metric) {
        series
            .values
            .iter_mut()
            .for_each(|value| *value = change(*value));
    }
}

#[test]
fn what_changes_for_whoever_leaves_a_mode_is_told_of_every_other_beside_it() {
    let mut run = RUN.clone();
    let leaving = |run: &Run| {
        let found = summarise(run).findings.into_iter();
        let found = found.filter(|f| f.kind == schema::summary::FindingKind::Leaving);
        found.collect::<Vec<_>>()
    };
    assert!(leaving(&run).is_empty());
    let asked = serde_json::json!(["iptables-legacy"]);
    run.header
        .arguments
        .insert(schema::LEAVING.to_owned(), asked);
    let found = leaving(&run);
    let packet = found
        .iter()
        .find(|f| f.scenario == ScenarioKind::FirstPacket)
        .unwrap();
    let question = "Leaving iptables-legacy: the first TCP packet (latency, warm caches) to any of 10,000 services, as a multiple of what it takes there";
    assert_eq!(packet.question, question);
    for mode in [Mode::IptablesNft, Mode::Ipset, Mode::Nftables] {
        assert!(
            packet.verdict.contains(&format!("{mode}")),
            "{}",
            packet.verdict
        );
    }
    assert!(!packet.verdict.contains("conntrack"), "{}", packet.verdict);
    // Ten thousand rules are passed in the mode that is left, and none in this one.
    let times = packet.verdict.split("nftables ").last().unwrap();
    let times: f64 = match times.split(' ').find_map(|word| word.parse().ok()) {
        Some(times) => times,
        None => panic!("{}", packet.verdict),
    };
    assert!(times < 0.9, "{}", packet.verdict);
    let scenarios: Vec<ScenarioKind> = found.iter().map(|f| f.scenario).collect();
    assert!(
        scenarios.contains(&ScenarioKind::Memory) && scenarios.contains(&ScenarioKind::ServiceAdd)
    );
    // A mode of which nothing was measured leaves nothing to tell.
    let asked = serde_json::json!(["ipvs"]);
    run.header
        .arguments
        .insert(schema::LEAVING.to_owned(), asked);
    assert!(leaving(&run).is_empty());
}

const FLATNESS: &str = "fixed part of the first TCP packet";
const ENGINES: &str = "costs in both iptables engines";
const SETS: &str = "Set messages to add one service";
const SYNC: &str = "whole sync (its read-back and the apply";
const TOOL: &str = "The tool's own part (user mode)";
const MEMORY: &str = "Kernel memory of each further service";

#[test]
fn an_ipset_lookup_is_called_flat_and_a_list_of_rules_is_not() {
    let text = text(&SUMMARY, FLATNESS);
    assert!(text.contains("ipset flat, "), "{text}");
    assert!(text.contains("iptables-legacy grows, 8"), "{text}");
    assert!(text.contains("iptables-nft grows, "), "{text}");
}

#[test]
fn a_slope_of_a_fifth_of_the_fixed_part_is_not_called_flat() {
    let summary = changed(ScenarioKind::FirstPacket, |record| {
        let n = f64::from(record.key.services);
        if record.key.mode == Mode::Ipset {
            scale(record, Metric::Latency, |latency| latency + 0.7 * n);
        }
    });
    let text = text(&summary, FLATNESS);
    assert!(text.contains("ipset grows, "), "{text}");
    let summary = changed(ScenarioKind::FirstPacket, |record| {
        // Populations that differ by a multiple of what is called flat.
        let by = f64::from(record.key.services) * (f64::from(record.block) - 3.5);
        if record.key.mode == Mode::Ipset {
            scale(record, Metric::Latency, |latency| latency + 0.4 * by);
        }
    });
    let text = self::text(&summary, FLATNESS);
    assert!(text.contains("ipset not known to be flat, "), "{text}");
}

#[test]
fn three_sizes_say_nothing_of_a_slope() {
    let summary = without(ScenarioKind::FirstPacket, |key| key.services == 300);
    for words in [FLATNESS, ENGINES] {
        assert!(found(&summary, words).is_none(), "{words}");
    }
}

#[test]
fn the_engines_are_beside_each_other_only_when_both_were_measured() {
    let text = text(&SUMMARY, ENGINES);
    assert!(
        text.contains("iptables-nft 20.8 ns (") && text.contains("a ratio of "),
        "{text}"
    );
    for mode in [Mode::IptablesLegacy, Mode::IptablesNft] {
        let summary = without(ScenarioKind::FirstPacket, |key| key.mode == mode);
        assert!(found(&summary, ENGINES).is_none(), "without {mode}");
    }
}

#[test]
fn set_messages_are_the_same_number_only_when_every_sample_is() {
    let text = text(&SUMMARY, SETS);
    assert!(text.contains("ipset 2 at both, in every sample"), "{text}");
    let more = changed(ScenarioKind::ServiceAdd, |record| {
        let large = record.key.mode == Mode::Ipset && record.key.services == 10_000;
        if large && record.block == 0 {
            scale(record, Metric::Messages, |_| 3.0);
        }
    });
    let text = self::text(&more, SETS);
    assert!(text.contains("ipset 2 and 2 to 3"), "{text}");
    // ipset restore sends messages of its own, which nobody counted.
    let restored = changed(ScenarioKind::ServiceAdd, |record| {
        scale(record, Metric::Messages, |_| 0.0);
    });
    assert!(found(&restored, SETS).is_none());
    assert!(
        found(
            &without(ScenarioKind::ServiceAdd, |key| key.services != 100),
            SETS
        )
        .is_none()
    );
}

#[test]
fn a_sync_names_the_kube_proxy_that_it_imitates() {
    let text = text(&SUMMARY, SYNC);
    assert!(
        text.contains("; nftables (netlink) ")
            && text.contains(
                " through nft -f in kube-proxy's read-back of 1.34 over its layout of 1.32, "
            ),
        "{text}"
    );
    assert!(
        !text.contains("ipset"),
        "kube-proxy has no ipset mode: {text}"
    );
    let nameless = changed(ScenarioKind::ServiceAdd, |record| record.facts.clear());
    assert!(found(&nameless, SYNC).is_none());
    let unsynced = changed(ScenarioKind::ServiceAdd, |record| {
        record
            .series
            .retain(|series| series.metric != Metric::SyncTime);
    });
    assert!(found(&unsynced, SYNC).is_none());
}

#[test]
fn the_tools_part_needs_user_time_of_iptables_nft() {
    let text = text(&SUMMARY, TOOL);
    assert!(
        text.contains("iptables-nft 94.0 %") && text.contains("iptables-legacy 52.0 %"),
        "{text}"
    );
    let summary = changed(ScenarioKind::ServiceAdd, |record| {
        if record.key.mode == Mode::IptablesNft {
            record
                .series
                .retain(|series| series.metric != Metric::UserTime);
        }
    });
    assert!(found(&summary, TOOL).is_none());
}

#[test]
fn memory_on_the_hosts_kernel_is_noisy_in_rows_fits_and_words() {
    let text = text(&SUMMARY, MEMORY);
    assert!(
        text.contains("(noisy, ")
            && text.contains("ipset 3.20 kB (")
            && text.contains("of that 80.4 B a possible CPU on 2 CPUs"),
        "{text}"
    );
    for row in SUMMARY.cells.iter().filter(|row| row.metric.is_some()) {
        let kernels = matches!(
            row.metric,
            Some(Metric::KernelMemory | Metric::KernelMemoryPeak | Metric::CgroupMemory)
        );
        assert_eq!(row.noisy, kernels, "{} {:?}", row.key, row.metric);
    }
    assert!(SUMMARY.fits.iter().any(|fit| fit.noisy));
    for fit in &SUMMARY.fits {
        assert_eq!(
            fit.noisy,
            fit.scenario == ScenarioKind::Memory,
            "{}",
            fit.metric
        );
    }
    assert!(render_markdown(&[(&RUN, &SUMMARY)]).contains("in 8 stays, noisy)"));
}

#[test]
fn memory_of_a_guest_is_noisy_only_if_its_cell_says_so() {
    let mut run = RUN.clone();
    run.cells
        .retain(|cell| cell.key.scenario == ScenarioKind::Memory);
    for environment in run.header.environments.values_mut() {
        environment.sandbox = SandboxKind::Guest;
    }
    assert!(
        summarise(&run).cells.iter().any(|row| row.noisy),
        "the fact says so"
    );
    run.cells.iter_mut().for_each(|cell| cell.facts.clear());
    let summary = summarise(&run);
    assert!(summary.cells.iter().all(|row| !row.noisy));
    assert!(!text(&summary, MEMORY).contains("noisy"));
}

#[test]
fn memory_of_two_sizes_has_no_price_of_a_service_and_three_have() {
    let two = without(ScenarioKind::Memory, |key| key.services > 300);
    assert!(found(&two, MEMORY).is_none());
    let three = without(ScenarioKind::Memory, |key| key.services > 1_000);
    assert!(found(&three, MEMORY).is_some());
}

/// Cells of `memory` as if their readings had been taken around a `cold-install`.
fn around_an_install(chunk: &str, times: f64) -> Vec<schema::CellRecord> {
    let asked = |cell: &&schema::CellRecord| cell.key.scenario == ScenarioKind::Memory;
    let mut cells: Vec<schema::CellRecord> = RUN.cells.iter().filter(asked).cloned().collect();
    for cell in &mut cells {
        cell.key.scenario = ScenarioKind::ColdInstall;
        cell.key.options.set(OptionKey::Chunk, chunk);
        cell.series.retain(|s| s.metric == Metric::KernelMemory);
        for series in &mut cell.series {
            series.values.iter_mut().for_each(|v| *v *= times);
        }
    }
    cells
}

#[test]
fn without_memory_cells_the_readings_around_an_install_give_the_price_of_a_service() {
    let mut run = RUN.clone();
    run.cells = around_an_install("all", 1.0);
    let summary = summarise(&run);
    let price = |summary: &Summary| {
        let text = text(summary, MEMORY).to_owned();
        let at = text.find("nftables").expect("the mode is in the sentence");
        text[at..].split(';').next().map(str::to_owned)
    };
    let whole = price(&summary);
    assert!(
        plots::figures(&run, &summary)
            .iter()
            .any(|figure| figure.name == "kernel-memory")
    );
    // Where there is an install in chunks as well, that one is shown, once.
    let mut chunks = around_an_install("500", 2.0);
    chunks.retain(|cell| cell.key.mode == Mode::Nftables);
    run.cells.extend(chunks);
    let both = summarise(&run);
    assert_ne!(price(&both), whole);
    let modes = text(&both, MEMORY).matches("nftables").count();
    assert_eq!(modes, text(&summary, MEMORY).matches("nftables").count());
    // Cells of `memory` say more.
    run.cells.extend(RUN.cells.iter().cloned());
    assert_eq!(text(&summarise(&run), MEMORY), text(&SUMMARY, MEMORY));
}

#[test]
fn a_ranking_says_who_has_no_number_and_why() {
    let ranked = "Adding one service to 10,000: ";
    let full = text(&SUMMARY, ranked).to_owned();
    assert!(
        !full.contains("Unsupported") && !full.contains("Not run"),
        "{full}"
    );
    let lacking = changed(ScenarioKind::ServiceAdd, |record| {
        record.outcome = match record.key.mode {
            Mode::Ipset => Outcome::Unsupported {
                reason: "no ip_set".to_owned(),
                remedy: None,
            },
            Mode::IptablesLegacy => Outcome::NotRun {
                why: NotRun::Budget,
            },
            _ => return,
        };
        record.series.clear();
    });
    let said = text(&lacking, ranked);
    assert!(
        said.contains(" Unsupported: ipset. Not run: iptables-legacy. update_time goes "),
        "{said}"
    );
}

#[test]
fn a_crossing_that_is_not_known_is_no_headline() {
    for finding in &SUMMARY.findings {
        if finding.text.starts_with("Which mode overtakes which") {
            let known = !finding.text.contains("no crossing is known");
            assert_eq!(finding.headline, known, "{}", finding.text);
        }
    }
}

#[test]
fn in_a_translated_guest_no_factor_is_told_between_processes_and_netlink() {
    let mut run = RUN.clone();
    run.cells
        .retain(|cell| cell.key.scenario == ScenarioKind::ServiceAdd);
    let adding = |run: &Run| text(&summarise(run), "Adding one service").to_owned();
    assert!(adding(&run).contains("against nftables (netlink), nftables (nft -f) takes 1"));
    synthetic::translate(&mut run, Accelerator::Tcg);
    let said = adding(&run);
    let order = "against nftables (netlink), ipset takes ";
    assert!(!said.contains(order), "{said}");
    for mode in ["nftables (nft -f)", "iptables-legacy", "iptables-nft"] {
        assert!(
            said.contains(&format!("{mode} takes longer, by a factor that is QEMU's")),
            "{said}"
        );
    }
    // Of one transport it is the modes'.
    assert!(
        said.contains("ipset takes ") && said.contains(" times as long"),
        "{said}"
    );
}

#[test]
fn counted_runs_show_ranges_over_seeds_and_give_verdicts_from_three_that_agree() {
    let said = |blocks: u32| {
        let mut run = synthetic::run(&Shape {
            blocks,
            sizes: vec![10_000],
            samples: 3,
            stay_noise: 0.001,
            mishaps: false,
            ..Shape::default()
        });
        run.cells.retain(|cell| {
            cell.key.scenario == ScenarioKind::FirstPacket
                && matches!(cell.key.mode, Mode::IptablesLegacy | Mode::Nftables)
        });
        synthetic::translate(&mut run, Accelerator::TcgIcount);
        let summary = summarise(&run);
        assert!(
            summary
                .cells
                .iter()
                .all(|row| row.ci95.is_none() && row.range.is_some())
        );
        text(&summary, "First packet (latency)").to_owned()
    };
    let three = said(3);
    assert!(
        three.contains("nftables is the fastest; iptables-legacy takes 1."),
        "{three}"
    );
    assert!(
        three.contains("times as long (range of 3 seeds 1."),
        "{three}"
    );
    let two = said(2);
    assert!(
        two.contains("too few stays to tell nftables and iptables-legacy apart (2; 3 needed: more --repetitions make more)"),
        "{two}"
    );
}

#[test]
fn first_packets_are_ranked_by_any_service_and_by_the_last_where_that_was_not_asked() {
    let uniform = &text(&SUMMARY, "First packet (latency)");
    assert!(
        uniform.contains("to any of 10,000 services, warm caches: "),
        "{uniform}"
    );
    let worst = "Each mode's own worst position: ";
    assert!(
        uniform
            .split(worst)
            .nth(1)
            .unwrap()
            .contains("iptables-legacy the last "),
        "{uniform}"
    );
    let last = without(ScenarioKind::FirstPacket, |key| {
        key.options
            .get(OptionKey::Position)
            .is_some_and(|p| p == "uniform")
    });
    let last = text(&last, "First packet (latency)");
    assert!(last.contains("to the last of 10,000 services"), "{last}");
    // A mode's packets with cold caches are a question of their own.
    let mut run = RUN.clone();
    run.cells
        .retain(|cell| cell.key.scenario == ScenarioKind::FirstPacket);
    let mut cold = run.cells.clone();
    for cell in &mut cold {
        cell.key.options.set(OptionKey::Cache, "cold");
        cell.stay += 10_000;
    }
    run.cells.extend(cold);
    let both = summarise(&run);
    let ranked = both
        .findings
        .iter()
        .filter(|f| f.text.starts_with("First packet (latency)"));
    let caches: Vec<bool> = ranked.map(|f| f.text.contains("warm caches: ")).collect();
    assert_eq!(caches, [true, false]);
}

#[test]
fn each_metric_states_how_far_its_own_figures_are_known() {
    let of = |scenario, metric| {
        let found = SUMMARY
            .spreads
            .iter()
            .find(|s| (s.scenario, s.metric) == (scenario, metric));
        found
            .unwrap_or_else(|| panic!("{scenario} {metric}"))
            .half_width
    };
    assert!(of(ScenarioKind::FirstPacket, Metric::Latency) < 0.05);
    assert!(of(ScenarioKind::ServiceAdd, Metric::UpdateTime) > 0.01);
    assert!(of(ScenarioKind::ServiceAdd, Metric::SyncTime) > 0.01);
    let page = reports::render_html(&[(&RUN, &SUMMARY)]);
    assert!(page.contains("service-add sync_time ±"));
    assert!(!page.contains("no other difference smaller"));
}

#[test]
fn an_update_is_ranked_with_what_it_releases_act_by_act() {
    // nftables answers first, and closes its socket after a second: a tool's close is inside its own time.
    let summary = changed(ScenarioKind::ServiceAdd, |record| {
        record
            .series
            .retain(|series| series.metric != Metric::SyncTime);
        if record.key.mode == Mode::Nftables {
            scale(record, Metric::ReleaseTime, |_| 1e9);
        }
    });
    let text = text(&summary, "Adding one service");
    assert!(
        text.contains("By update_time and release_time together"),
        "{text}"
    );
    assert!(
        !text.contains("nftables (netlink) is the fastest"),
        "{text}"
    );
    let row = |mode: Mode, way: &str| {
        let of = |row: &&schema::summary::Row| {
            let transport = row
                .key
                .options
                .get(OptionKey::Transport)
                .is_some_and(|t| t == way);
            (row.key.mode, row.key.services, row.metric) == (mode, 10_000, Some(Metric::UpdateTime))
                && transport
        };
        summary.cells.iter().find(of).unwrap()
    };
    let (netlink, tool) = (row(Mode::Nftables, "netlink"), row(Mode::Nftables, "nft"));
    assert!(
        netlink.median < tool.median,
        "its update_time alone is the lower one"
    );
    let whole = netlink.whole.as_ref().unwrap();
    assert!(whole.median > Some(1e9) && whole.ci95.is_some() && tool.whole.is_none());
    assert_eq!(view::order(netlink, tool), Some(Ordering::Greater));
    let lowest = |row: &schema::summary::Row| view::is_lowest(row, &[netlink, row]);
    assert!(lowest(row(Mode::IptablesLegacy, "restore")) && !lowest(netlink));
}
