//! Scenario × mode: every cell has a figure of the summary or says why it has none.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::LazyLock;

use reports::quantity::value;
use reports::view::table::of_updates;
use reports::view::{Scope, missing, scopes};
use reports::{Run, render_html, render_markdown, summarise};
use schema::summary::Summary;
use schema::{Metric, Mode, ScenarioKind};
use synthetic::Shape;

static RUN: LazyLock<Run> = LazyLock::new(|| {
    let mut run = synthetic::run(&Shape {
        blocks: 2,
        sizes: vec![300, 10_000],
        samples: 1,
        engines: schema::Engine::ALL.to_vec(),
        ..Shape::default()
    });
    run.cells.retain(|cell| cell.key.scenario.is_update());
    run
});
static SUMMARY: LazyLock<Summary> = LazyLock::new(|| summarise(&RUN));

fn scope(summary: &Summary) -> Scope {
    scopes(summary).remove(0)
}

#[test]
fn every_scenario_and_mode_has_a_figure_or_an_outcome() {
    let scope = scope(&SUMMARY);
    let tables = of_updates(&SUMMARY, &scope);
    assert_eq!(tables.len(), 1, "every mode has the largest size");
    let table = &tables[0];
    assert!(table.services == 10_000 && !table.caption.contains("some have no cells"));
    let modes = [
        Mode::IptablesLegacy,
        Mode::IptablesNft,
        Mode::Ipset,
        Mode::Nftables,
    ];
    let columns = table.columns.iter().map(|(name, _)| name.as_str());
    assert!(columns.eq(modes.iter().map(|mode| mode.name())));
    // None alone has updates that change nothing, and nothing is scaled down in this run.
    let left_out = [ScenarioKind::EmptyUpdate, ScenarioKind::ScaleDown];
    let served = |kind: &&ScenarioKind| kind.is_update() && !left_out.contains(kind);
    for scenario in ScenarioKind::ALL.iter().filter(served) {
        assert!(
            table.lines.iter().any(|line| line.of == scenario.name()),
            "{scenario}"
        );
    }
    let mut answers = std::collections::BTreeSet::new();
    let mut listed = 0;
    for line in &table.lines {
        assert_eq!(line.cells.len(), modes.len(), "{}", line.asked);
        for (mode, cell) in modes.iter().zip(&line.cells) {
            for answer in cell.as_ref().unwrap() {
                listed += 1;
                answers.insert(&answer.row.key);
                assert_eq!(answer.row.key.mode, *mode);
                assert_eq!(answer.row.key.scenario.name(), line.of);
                if answer.row.median.is_none() {
                    let why = missing(answer.row, Metric::UpdateTime);
                    assert!(why.len() > 8, "{}", answer.row.key);
                }
            }
        }
    }
    let keys: std::collections::BTreeSet<_> = RUN
        .cells
        .iter()
        .filter(|record| record.key.services == 10_000)
        .map(|record| &record.key)
        .collect();
    assert_eq!(
        (answers, listed),
        (keys.clone(), keys.len()),
        "every cell once"
    );
}

#[test]
fn both_texts_show_the_figures_of_the_summary() {
    let markdown = render_markdown(&[(&RUN, &SUMMARY)]);
    let page = render_html(&[(&RUN, &SUMMARY)]);
    for row in &SUMMARY.cells {
        let counted = matches!(
            row.metric,
            Some(Metric::UpdateTime | Metric::Messages | Metric::BytesSent | Metric::Operations)
        );
        if row.key.services == 10_000 && counted {
            let figure = value(row.median.unwrap(), row.unit.unwrap());
            assert!(markdown.contains(&figure), "{} {figure}", row.key);
            assert!(page.contains(&figure), "{} {figure}", row.key);
        }
    }
    for words in [
        "nft is not installed",
        "longer than 60 s",
        "not planned",
        "nft engine",
    ] {
        assert!(markdown.contains(words) && page.contains(words), "{words}");
    }
}

#[test]
fn a_size_that_a_mode_lacks_gives_a_table_of_its_own_and_is_named() {
    let mut run = RUN.clone();
    run.cells
        .retain(|cell| cell.key.mode != Mode::Ipset || cell.key.services == 300);
    let summary = summarise(&run);
    let scope = scope(&summary);
    let tables = of_updates(&summary, &scope);
    let sizes: Vec<u32> = tables.iter().map(|table| table.services).collect();
    assert_eq!(sizes, [300, 10_000]);
    let markdown = render_markdown(&[(&run, &summary)]);
    assert!(markdown.contains("Rule updates at 300 services"));
    assert!(markdown.contains("Rule updates at 10,000 services"));
    assert!(markdown.contains("some have no cells at 10,000"));
}

#[test]
fn a_mode_that_timed_out_everywhere_keeps_its_column_and_the_size() {
    let mut run = RUN.clone();
    for cell in run.cells.iter_mut() {
        if cell.key.mode == Mode::IptablesNft && cell.key.services == 10_000 {
            cell.series.clear();
            cell.outcome = schema::Outcome::TimedOut {
                after_ns: Some(7_000_000_000),
            };
        }
    }
    let summary = summarise(&run);
    let scope = scope(&summary);
    let tables = of_updates(&summary, &scope);
    assert_eq!(tables[0].services, 10_000);
    let line = tables[0]
        .lines
        .iter()
        .find(|line| line.of == ScenarioKind::Teardown.name())
        .unwrap();
    assert_eq!(
        missing(line.cells[1].as_ref().unwrap()[0].row, Metric::UpdateTime),
        "timed out: longer than 7 s"
    );
}
