//! Scenario × mode: every cell has a figure of the summary or says why it has none.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::LazyLock;

use reports::quantity::value;
use reports::view::updates::update_tables;
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
    let tables = update_tables(&SUMMARY, &scope);
    assert_eq!(tables.len(), 1, "every mode has the largest size");
    let table = &tables[0];
    assert_eq!((table.services, table.beyond.len()), (10_000, 0));
    assert_eq!(
        table.modes,
        [
            Mode::IptablesLegacy,
            Mode::IptablesNft,
            Mode::Ipset,
            Mode::Nftables
        ]
    );
    for scenario in ScenarioKind::ALL.iter().filter(|kind| kind.is_update()) {
        assert!(
            table.lines.iter().any(|line| line.scenario == *scenario),
            "{scenario}"
        );
    }
    let mut answers = 0;
    for line in &table.lines {
        for (mode, cell) in table.modes.iter().zip(&line.cells) {
            let planned = RUN.cells.iter().any(|record| {
                record.key.mode == *mode
                    && record.key.services == 10_000
                    && record.key.scenario == line.scenario
                    && line
                        .options
                        .iter()
                        .all(|(k, v)| record.key.options.get(k) == Some(v))
            });
            assert_eq!(planned, !cell.is_empty(), "{mode} {}", line.text());
            for answer in cell {
                answers += 1;
                assert!(!answer.way().is_empty());
                if answer.time.median.is_none() {
                    assert!(
                        missing(answer.time, Metric::UpdateTime).len() > 8,
                        "{}",
                        answer.time.key
                    );
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
    assert_eq!(answers, keys.len(), "every cell once");
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
    let tables = update_tables(&summary, &scope);
    let sizes: Vec<(u32, &[u32])> = tables
        .iter()
        .map(|table| (table.services, table.beyond.as_slice()))
        .collect();
    assert_eq!(sizes, [(300, &[10_000][..]), (10_000, &[])]);
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
    let tables = update_tables(&summary, &scope);
    assert_eq!(tables[0].services, 10_000);
    let line = tables[0]
        .lines
        .iter()
        .find(|line| line.scenario == ScenarioKind::Teardown)
        .unwrap();
    assert_eq!(
        missing(line.cells[1][0].time, Metric::UpdateTime),
        "timed out: longer than 7 s"
    );
}
