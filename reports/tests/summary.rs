//! From lines to summary: rows, outcomes, findings.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::cmp::Ordering::{Greater, Less};
use std::sync::LazyLock;

use reports::{Run, floor_ratios, render_markdown, summarise, view};
use schema::summary::{Row, Summary};
use schema::{
    Metric, Mode, NotRun, OptionKey, Outcome, OutcomeKind, Position, Protocol, ScenarioKind,
};
use synthetic::Shape;

fn small() -> Shape {
    Shape {
        blocks: 3,
        sizes: vec![100, 300, 1_000, 10_000],
        samples: 20,
        ..Shape::default()
    }
}

/// Made once: every test reads it.
static SMALL: LazyLock<(Run, Summary)> = LazyLock::new(|| {
    let run = synthetic::run(&small());
    let summary = summarise(&run);
    (run, summary)
});

fn run() -> Run {
    SMALL.0.clone()
}

/// Replaces the samples of a metric.
fn change(
    run: &mut Run,
    metric: Metric,
    which: impl Fn(&schema::CellKey) -> bool,
    change: impl Fn(f64) -> f64,
) {
    for cell in run.cells.iter_mut().filter(|cell| which(&cell.key)) {
        for series in cell
            .series
            .iter_mut()
            .filter(|series| series.metric == metric)
        {
            series
                .values
                .iter_mut()
                .for_each(|value| *value = change(*value));
        }
    }
}

#[test]
fn the_comment_for_a_pull_request_reads_like_this() {
    let (run, summary) = &*SMALL;
    let text = render_markdown(&[(run, summary)]);
    assert!(text.len() < 65_536, "a comment holds 65,536 characters");
    insta::assert_snapshot!(text);
}

#[test]
fn every_planned_cell_has_a_row_and_every_number_a_count() {
    let (run, summary) = &*SMALL;
    for cell in &run.cells {
        assert!(
            summary.cells.iter().any(|row| row.key == cell.key),
            "{}",
            cell.key
        );
    }
    for row in &summary.cells {
        assert_eq!(row.metric.is_some(), row.median.is_some());
        assert_eq!(row.metric.is_some(), row.n > 0 && row.stays > 0);
        if row.metric.is_none() {
            assert!(
                row.reason.is_some() && row.outcome != OutcomeKind::Measured,
                "{}",
                row.key
            );
        }
        if let (Some(median), Some([low, high])) = (row.median, row.ci95) {
            assert!(low <= median && median <= high, "{}", row.key);
        }
    }
}

#[test]
fn quantiles_are_given_only_where_n_supports_them() {
    let summary = summarise(&synthetic::run(&Shape {
        sizes: vec![100],
        samples: 40,
        mishaps: false,
        ..small()
    }));
    let row = summary
        .cells
        .iter()
        .find(|row| row.metric == Some(Metric::Latency))
        .unwrap();
    assert_eq!(row.n, 120);
    assert!(row.quantiles.contains_key("p99") && !row.quantiles.contains_key("p99.9"));
    let row = summary
        .cells
        .iter()
        .find(|row| row.key.scenario == ScenarioKind::ColdInstall)
        .unwrap();
    assert_eq!(row.n, 3);
    assert!(row.quantiles.contains_key("p50") && !row.quantiles.contains_key("p90"));
}

#[test]
fn coverage_counts_every_planned_cell_once() {
    let coverage = &SMALL.1.coverage;
    assert_eq!(
        coverage.outcomes.values().sum::<u64>() + coverage.missing,
        coverage.planned
    );
    assert_eq!((coverage.missing, coverage.ended.as_str()), (3, "budget"));
    let mut run = synthetic::run(&Shape {
        blocks: 1,
        sizes: vec![100],
        ..small()
    });
    run.end = None;
    assert_eq!(summarise(&run).coverage.ended, "killed");
}

#[test]
fn a_timed_out_cell_is_a_lower_bound_and_never_a_number() {
    let summary = &SMALL.1;
    let row = summary
        .cells
        .iter()
        .find(|row| row.outcome == OutcomeKind::TimedOut && row.key.services == 10_000)
        .expect("one transaction of 10,000 times out in the generator");
    assert_eq!((row.metric, row.median, row.n), (None, None, 0));
    assert_eq!(row.lower_bound_ns, Some(60_000_000_000));
    assert!(
        row.reason
            .as_deref()
            .is_some_and(|reason| reason.contains("longer than 60.0 s"))
    );
    let installing = summary
        .findings
        .iter()
        .find(|f| f.text.starts_with("Installing 10,000"))
        .unwrap();
    assert!(
        installing
            .text
            .contains("longer than 60 s (timed out: a lower bound)"),
        "{}",
        installing.text
    );
}

/// A run with these outcomes of one cold-install cell over its three stays, and the cell's row.
fn after(outcomes: [Outcome; 3]) -> (Summary, Row) {
    let mut run = run();
    run.cells
        .retain(|cell| cell.key.scenario == ScenarioKind::ColdInstall);
    let key = run
        .cells
        .iter()
        .find(|cell| cell.key.services == 10_000)
        .map(|cell| cell.key.clone())
        .unwrap();
    let stays = run.cells.iter_mut().filter(|cell| cell.key == key);
    let mut count = 0;
    for (cell, outcome) in stays.zip(outcomes) {
        cell.series.clear();
        cell.outcome = outcome;
        count += 1;
    }
    assert_eq!(count, 3);
    let summary = summarise(&run);
    let row = summary.cells.iter().find(|row| row.key == key).cloned();
    (summary, row.unwrap())
}

#[test]
fn a_row_without_numbers_has_the_most_severe_outcome_of_its_stays() {
    let not_run = || Outcome::NotRun {
        why: NotRun::TimedOutBefore,
    };
    let timed_out = |after_ns| Outcome::TimedOut { after_ns };
    let (_, row) = after([timed_out(Some(7_000_000_000)), not_run(), not_run()]);
    assert_eq!(
        (row.outcome.name(), row.lower_bound_ns),
        ("timed-out", Some(7_000_000_000))
    );
    assert!(
        row.reason
            .unwrap()
            .starts_with("timed-out: longer than 7.0 s (1 of 3 stays); not-run")
    );
    let (_, row) = after([
        timed_out(Some(7_000_000_000)),
        timed_out(None),
        timed_out(Some(9_000_000_000)),
    ]);
    assert_eq!(row.lower_bound_ns, Some(9_000_000_000));
    let failed = Outcome::Failed {
        stage: schema::Stage::Proof,
        reason: "a rule is missing".to_owned(),
    };
    let (_, row) = after([failed, timed_out(Some(7_000_000_000)), not_run()]);
    assert_eq!((row.outcome.name(), row.lower_bound_ns), ("failed", None));
    let unsupported = Outcome::Unsupported {
        reason: "no nft".to_owned(),
        remedy: None,
    };
    let (_, row) = after([not_run(), unsupported, not_run()]);
    assert_eq!(row.outcome, OutcomeKind::Unsupported);
}

#[test]
fn a_limit_that_passed_outside_of_a_timed_act_bounds_nothing() {
    let outside = Outcome::TimedOut { after_ns: None };
    let (summary, row) = after([outside.clone(), outside.clone(), outside]);
    assert_eq!(
        (row.outcome.name(), row.lower_bound_ns),
        ("timed-out", None)
    );
    assert_eq!(
        row.reason.as_deref(),
        Some("timed-out: its time limit passed outside of a timed act")
    );
    assert_eq!(view::lower_bound(&row), None);
    let json = serde_json::to_string(&summary).unwrap();
    assert_eq!(serde_json::from_str::<Summary>(&json).unwrap(), summary);
}

#[test]
fn a_bound_of_an_update_is_not_compared_with_a_latency_nor_with_bytes() {
    let (_, bounded) = after(std::array::from_fn(|_| Outcome::TimedOut {
        after_ns: Some(u64::MAX),
    }));
    let measured = |metric| Row {
        metric: Some(metric),
        median: Some(10.0),
        ci95: Some([9.0, 11.0]),
        stays: 9,
        key: schema::CellKey {
            mode: [Mode::IptablesLegacy, Mode::Nftables]
                .into_iter()
                .find(|mode| *mode != bounded.key.mode)
                .unwrap(),
            ..bounded.key.clone()
        },
        ..bounded.clone()
    };
    let lowest = |row: &Row, other: &Row| view::is_lowest(row, &[row, other]);
    assert!(lowest(&measured(Metric::UpdateTime), &bounded));
    assert!(!lowest(&measured(Metric::BytesSent), &bounded));
    let mut packet = bounded.clone();
    packet.key.scenario = ScenarioKind::FirstPacket;
    assert_eq!(view::lower_bound(&packet), None);
    assert!(!lowest(&measured(Metric::Latency), &packet));
}

#[test]
fn an_order_needs_an_interval_on_both_sides_and_room_between_them() {
    let base = SMALL
        .1
        .cells
        .iter()
        .find(|row| row.metric == Some(Metric::Latency))
        .unwrap();
    let row = |median: f64, interval: bool| Row {
        median: Some(median),
        ci95: interval.then_some([0.99 * median, 1.01 * median]),
        range: (!interval).then_some([0.99 * median, 1.01 * median]),
        ..base.clone()
    };
    assert_eq!(
        view::order(&row(100.0, true), &row(104.0, true)),
        Some(Less)
    );
    assert_eq!(
        view::order(&row(104.0, true), &row(100.0, true)),
        Some(Greater)
    );
    assert_eq!(view::order(&row(100.0, true), &row(101.0, true)), None);
    // However far apart: of a range nobody knows how far the next stay lies outside.
    assert_eq!(view::order(&row(100.0, false), &row(900.0, true)), None);
    assert_eq!(view::order(&row(100.0, false), &row(900.0, false)), None);
}

#[test]
fn counted_figures_are_told_apart_by_three_seeds_that_agree_beyond_a_placebo() {
    let base = SMALL
        .1
        .cells
        .iter()
        .find(|row| row.metric == Some(Metric::Latency))
        .unwrap();
    let row = |seeds: &[(&str, f64)]| Row {
        unit: Some(schema::Unit::Instructions),
        by_seed: seeds
            .iter()
            .map(|(seed, v)| ((*seed).to_owned(), *v))
            .collect(),
        ci95: None,
        ..base.clone()
    };
    let a = row(&[("1", 40_000.0), ("2", 41_000.0), ("3", 39_000.0)]);
    let more = |by: f64| {
        row(&[
            ("1", 40_000.0 + by),
            ("2", 41_000.0 + by),
            ("3", 39_000.0 + by),
        ])
    };
    assert_eq!(view::order(&a, &more(500.0)), Some(Less));
    assert_eq!(view::order(&more(500.0), &a), Some(Greater));
    assert_eq!(
        view::order(&a, &more(60.0)),
        None,
        "below what a placebo moves"
    );
    let turned = row(&[("1", 40_500.0), ("2", 41_500.0), ("3", 38_000.0)]);
    assert_eq!(view::order(&a, &turned), None, "one seed says otherwise");
    let two = row(&[("1", 50_000.0), ("2", 51_000.0)]);
    assert_eq!(view::order(&a, &two), None, "two seeds");
    let others = row(&[("4", 50_000.0), ("5", 51_000.0), ("6", 49_000.0)]);
    assert_eq!(view::order(&a, &others), None, "no seed of both");
    assert_eq!(view::order(&a, base), None, "instructions are no time");
}

/// The cell of a mode's `service-add` at 10,000 after so many of its eight stays timed out at 9 s.
fn censored(stays: usize) -> (Summary, Row) {
    let mut run = synthetic::run(&Shape {
        blocks: 8,
        sizes: vec![10_000],
        samples: 2,
        mishaps: false,
        ..small()
    });
    run.cells.retain(|cell| {
        cell.key.scenario == ScenarioKind::ServiceAdd && cell.key.mode != Mode::Nftables
    });
    let slow = |cell: &&mut schema::CellRecord| cell.key.mode == Mode::IptablesNft;
    for cell in run.cells.iter_mut().filter(slow).take(stays) {
        cell.series.clear();
        cell.outcome = Outcome::TimedOut {
            after_ns: Some(9_000_000_000),
        };
    }
    let summary = summarise(&run);
    let row = summary
        .cells
        .iter()
        .find(|row| row.key.mode == Mode::IptablesNft && row.metric == Some(Metric::UpdateTime));
    let row = row.unwrap().clone();
    (summary, row)
}

#[test]
fn stays_that_timed_out_are_the_highest_ranks() {
    let (_, none) = censored(0);
    let (summary, one) = censored(1);
    assert_eq!(
        (one.stays, one.censored, one.lower_bound_ns),
        (7, 1, Some(9_000_000_000))
    );
    assert!(one.median >= none.median && one.ci95.unwrap()[1] == f64::INFINITY);
    // An end that is not known is null, and comes back.
    let json = serde_json::to_value(&summary).unwrap();
    let ends = json["cells"]
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["mode"] == "iptables-nft" && row["metric"] == "update_time")
        .unwrap()["ci95"]
        .clone();
    assert!(ends[0].is_number() && ends[1].is_null(), "{ends}");
    assert_eq!(serde_json::from_value::<Summary>(json).unwrap(), summary);
    let adding = |summary: &Summary| {
        let found = summary
            .findings
            .iter()
            .find(|f| f.text.starts_with("Adding one service"));
        found.unwrap().text.clone()
    };
    let text = adding(&summary);
    assert!(
        text.contains(" to more than 9 s; n = 28 in 7 stays; 1 more timed out)"),
        "{text}"
    );

    // Half of them: the value itself is a bound, and so it is in words.
    let (summary, most) = censored(5);
    assert_eq!(
        (most.median, most.censored, most.outcome.name()),
        (None, 5, "timed-out")
    );
    assert_eq!(view::lower_bound(&most), Some(9e9));
    let text = adding(&summary);
    assert!(
        text.contains("iptables-nft longer than 9 s (timed out: a lower bound)"),
        "{text}"
    );
}

#[test]
fn what_was_disturbed_or_begun_too_early_says_so_in_row_sentence_and_comment() {
    let mut run = synthetic::run(&Shape {
        blocks: 6,
        sizes: vec![100, 10_000],
        samples: 4,
        mishaps: false,
        ..small()
    });
    run.cells
        .retain(|cell| cell.key.scenario == ScenarioKind::FirstPacket);
    let ours = |cell: &&mut schema::CellRecord| {
        cell.key.mode == Mode::Nftables && cell.key.services == 10_000 && cell.block == 0
    };
    for cell in run.cells.iter_mut().filter(ours) {
        cell.disturbed = vec![schema::Disturbance::RunDelay];
        cell.facts
            .insert("settled_before".to_owned(), "falling".to_owned());
    }
    let summary = summarise(&run);
    let marked = summary.cells.iter().filter(|row| row.disturbed > 0);
    for row in marked {
        assert_eq!(
            (row.key.mode, row.disturbed, row.unsettled),
            (Mode::Nftables, 1, 1)
        );
    }
    let said = "1 of 6 stays disturbed, 1 of 6 stays begun while memory was still being freed";
    assert!(
        summary.findings[0].text.contains(said),
        "{}",
        summary.findings[0].text
    );
    assert!(render_markdown(&[(&run, &summary)]).contains(said));
    assert!(reports::render_html(&[(&run, &summary)]).contains("disturbed"));
}

#[test]
fn modes_whose_intervals_overlap_are_not_distinguished() {
    let mut run = synthetic::run(&Shape {
        blocks: 6,
        mishaps: false,
        ..small()
    });
    run.cells.retain(|cell| {
        cell.key.scenario == ScenarioKind::FirstPacket
            && !matches!(cell.key.mode, Mode::IptablesNft | Mode::Ipset)
    });
    change(
        &mut run,
        Metric::Latency,
        |key| key.mode == Mode::IptablesLegacy,
        |_| 35_000.0,
    );
    change(
        &mut run,
        Metric::Latency,
        |key| key.mode == Mode::Nftables,
        |_| 35_000.0,
    );
    let summary = summarise(&run);
    let ranking = summary
        .findings
        .iter()
        .find(|f| f.text.starts_with("First packet (latency) of a new TCP"))
        .unwrap();
    assert!(
        ranking.text.contains("not distinguished"),
        "{}",
        ranking.text
    );
    assert!(!ranking.text.contains("fastest"), "{}", ranking.text);
    let slopes = summary
        .findings
        .iter()
        .find(|f| f.text.starts_with("Each further service"))
        .unwrap();
    assert!(
        slopes
            .text
            .contains("nothing that is known; not told apart from the floor"),
        "{}",
        slopes.text
    );
}

#[test]
fn one_sample_is_never_called_fastest() {
    let mut run = synthetic::run(&Shape {
        blocks: 1,
        mishaps: false,
        ..small()
    });
    run.cells
        .retain(|cell| cell.key.scenario == ScenarioKind::ColdInstall);
    let summary = summarise(&run);
    assert!(!summary.fits.is_empty());
    for fit in &summary.fits {
        assert_eq!((fit.ci95, fit.range, fit.blocks), (None, None, 1));
    }
    assert!(
        summary
            .cells
            .iter()
            .all(|row| row.ci95.is_none() && row.range.is_none())
    );
    for finding in &summary.findings {
        for word in ["astest", "overtakes iptables", "times as long"] {
            assert!(!finding.text.contains(word), "{}", finding.text);
        }
    }
}

#[test]
fn findings_quote_the_rows_they_name() {
    let summary = &SMALL.1;
    assert!(summary.findings.len() >= 6);
    for finding in &summary.findings {
        assert!(!finding.evidence.is_empty(), "{}", finding.text);
    }
    let row = summary
        .cells
        .iter()
        .find(|row| {
            row.key.mode == Mode::Nftables
                && row.key.services == 10_000
                && row.key.options.position() == Some(Position::Uniform)
                && row.key.options.protocol() == Some(Protocol::Tcp)
        })
        .unwrap();
    let stated = reports::quantity::value(row.median.unwrap(), row.unit.unwrap());
    let ranked = |f: &&schema::summary::Finding| f.kind == schema::summary::FindingKind::Packets;
    let ranking = &summary.findings.iter().find(ranked).unwrap().text;
    assert!(
        ranking.contains(&format!("nftables {stated} (")),
        "{ranking}"
    );
}

#[test]
fn ratios_are_to_both_floors_and_agree_with_the_medians() {
    let (run, summary) = &*SMALL;
    let ratios = floor_ratios(run, &view::scopes(summary)[0], 10_000);
    for mode in [Mode::IptablesLegacy, Mode::Nftables] {
        let of_mode = ratios.iter().filter(|of| of.key.mode == mode);
        let both = of_mode.filter(|of| of.floors.iter().all(Option::is_some));
        assert_eq!(both.count(), 8);
    }
    for of in &ratios {
        let median = |mode: Mode| {
            let mut key = schema::CellKey {
                mode,
                ..of.key.clone()
            };
            if mode.is_floor() {
                key.options.remove(OptionKey::Engine);
            }
            summary
                .cells
                .iter()
                .find(|row| row.key == key)
                .and_then(|row| row.median)
                .unwrap()
        };
        for (floor, ratio) in Mode::FLOORS.into_iter().zip(of.floors) {
            let quotient = median(of.key.mode) / median(floor);
            assert!(ratio.is_none_or(|ratio| (ratio.known.value - quotient).abs() < 1e-9));
        }
    }
}

#[test]
fn the_same_thing_measured_twice_has_a_ratio_around_one() {
    // The floor alone: that is what is measured twice.
    let floor = |shape: &Shape| {
        let mut run = synthetic::run(shape);
        run.cells.retain(|cell| cell.key.mode == Mode::None);
        run
    };
    let quiet = summarise(&floor(&Shape {
        blocks: 12,
        sizes: vec![100],
        stay_noise: 0.01,
        mishaps: false,
        ..small()
    }))
    .noise
    .unwrap();
    assert!(
        quiet
            .ci95
            .is_some_and(|ends| ends[0] < 1.0 && 1.0 < ends[1])
            && !quiet.noisy,
        "{}",
        quiet.text
    );
    assert_eq!((quiet.stays_a, quiet.stays_b), (12, 12));
    let few = summarise(&floor(&Shape {
        blocks: 2,
        sizes: vec![100],
        ..small()
    }))
    .noise
    .unwrap();
    assert!(
        few.noisy && few.ci95.is_none() && few.text.contains("too few stays"),
        "{}",
        few.text
    );
    let mut wild = floor(&Shape {
        blocks: 12,
        sizes: vec![100],
        stay_noise: 0.01,
        mishaps: false,
        ..small()
    });
    change(
        &mut wild,
        Metric::Latency,
        |key| key.variant == "control",
        |value| value * 1.2,
    );
    let shifted = summarise(&wild).noise.unwrap();
    assert!(
        shifted.noisy && shifted.text.contains("leaves 1 out"),
        "{}",
        shifted.text
    );
    let mut alone = floor(&Shape {
        blocks: 1,
        sizes: vec![100],
        ..small()
    });
    alone.cells.retain(|cell| cell.key.variant.is_empty());
    assert!(summarise(&alone).noise.is_none());
}

#[test]
fn a_run_without_cells_has_a_summary_too() {
    let mut run = run();
    run.cells.clear();
    let summary = summarise(&run);
    assert!(summary.cells.is_empty() && summary.findings.is_empty());
    assert!(render_markdown(&[(&run, &summary)]).contains("planned cells"));
}

#[test]
fn nothing_measured_leaves_no_finding_with_a_number() {
    let mut run = run();
    for cell in &mut run.cells {
        cell.series.clear();
        cell.outcome = Outcome::Unsupported {
            reason: "no nf_tables in this kernel".to_owned(),
            remedy: None,
        };
    }
    let summary = summarise(&run);
    assert!(summary.findings.is_empty() && summary.fits.is_empty() && summary.noise.is_none());
    assert!(
        summary
            .cells
            .iter()
            .all(|row| row.outcome == OutcomeKind::Unsupported)
    );
}
