//! From lines to summary: rows, outcomes, findings.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::LazyLock;

use reports::synthetic::{self, Shape};
use reports::{Run, floor_ratios, render_markdown, summarise};
use schema::summary::Summary;
use schema::{Metric, Mode, Outcome, Samples, ScenarioKind};

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
            if let Samples::Values(values) = &mut series.samples {
                values.iter_mut().for_each(|value| *value = change(*value));
            }
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
                row.reason.is_some() && row.outcome != "measured",
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
        .find(|row| row.outcome == "timed-out" && row.key.services == 10_000)
        .expect("one transaction of 10,000 times out in the generator");
    assert_eq!((row.metric, row.median, row.n), (None, None, 0));
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

#[test]
fn modes_whose_intervals_overlap_are_not_distinguished() {
    let mut run = synthetic::run(&Shape {
        blocks: 2,
        mishaps: false,
        ..small()
    });
    run.cells
        .retain(|cell| cell.key.scenario == ScenarioKind::FirstPacket);
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
        .find(|f| f.text.starts_with("First packet of a new TCP"))
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
        slopes.text.contains("nothing that is distinguished from 0"),
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
    assert!(
        summary.fits.iter().all(|fit| fit.sizes > 2),
        "two sizes with one stay each leave nothing to judge a fit by"
    );
    for finding in &summary.findings {
        assert!(!finding.text.contains("fastest"), "{}", finding.text);
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
            let is =
                |key: &str, wanted: &str| row.key.options.get(key).is_some_and(|v| v == wanted);
            row.key.mode == Mode::Nftables
                && row.key.services == 10_000
                && is("position", "last")
                && is("protocol", "tcp")
        })
        .unwrap();
    let stated = reports::quantity::value(row.median.unwrap(), row.unit.unwrap());
    assert!(
        summary.findings[0]
            .text
            .contains(&format!("nftables {stated} (")),
        "{}",
        summary.findings[0].text
    );
}

#[test]
fn ratios_are_to_both_floors_and_agree_with_the_medians() {
    let (run, summary) = &*SMALL;
    let ratios = floor_ratios(run, 10_000);
    for mode in [Mode::IptablesLegacy, Mode::Nftables] {
        for floor in [Mode::None, Mode::Conntrack] {
            assert_eq!(
                ratios
                    .iter()
                    .filter(|r| r.key.mode == mode && r.floor == floor)
                    .count(),
                6
            );
        }
    }
    for ratio in &ratios {
        let median = |mode: Mode| {
            let key = schema::CellKey {
                mode,
                ..ratio.key.clone()
            };
            summary
                .cells
                .iter()
                .find(|row| row.key == key)
                .and_then(|row| row.median)
                .unwrap()
        };
        let quotient = median(ratio.key.mode) / median(ratio.floor);
        assert!((ratio.ratio.ratio - quotient).abs() < 1e-9);
    }
}

#[test]
fn the_same_thing_measured_twice_has_a_ratio_around_one() {
    let quiet = summarise(&synthetic::run(&Shape {
        blocks: 12,
        sizes: vec![100],
        stay_noise: 0.01,
        mishaps: false,
        ..small()
    }))
    .noise
    .unwrap();
    assert!(
        quiet.ci95[0] < 1.0 && 1.0 < quiet.ci95[1] && !quiet.noisy,
        "{}",
        quiet.text
    );
    assert_eq!((quiet.stays_a, quiet.stays_b), (12, 12));
    let few = summarise(&synthetic::run(&Shape {
        blocks: 2,
        sizes: vec![100],
        ..small()
    }))
    .noise
    .unwrap();
    assert!(
        few.noisy && few.text.contains("fewer than 10 stays"),
        "{}",
        few.text
    );
    let mut wild = synthetic::run(&Shape {
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
    let mut alone = synthetic::run(&Shape {
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
        };
    }
    let summary = summarise(&run);
    assert!(summary.findings.is_empty() && summary.fits.is_empty() && summary.noise.is_none());
    assert!(summary.cells.iter().all(|row| row.outcome == "unsupported"));
}
