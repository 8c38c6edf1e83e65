//! A run on several kernels: each has charts, fits and sentences of its own, and one table and one chart
//! put them side by side.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::sync::LazyLock;

use reports::view::side_by_side;
use reports::{Run, plots, render_html, render_markdown, summarise};
use schema::summary::Summary;
use schema::{Mode, ScenarioKind};
use synthetic::Shape;

const KERNELS: [&str; 2] = ["6.1", "6.12"];

/// Made once: every test reads it.
static BOTH: LazyLock<(Run, Summary)> = LazyLock::new(|| {
    let run = synthetic::run_on(&shape(), &KERNELS);
    let summary = summarise(&run);
    (run, summary)
});

fn shape() -> Shape {
    Shape {
        blocks: 2,
        sizes: vec![100, 1_000],
        samples: 12,
        mishaps: false,
        ..Shape::default()
    }
}

#[test]
fn environments_never_share_a_sentence_and_only_one_chart() {
    let (run, summary) = &*BOTH;
    let figures = plots::figures(run, summary);
    let shared: Vec<&str> = figures
        .iter()
        .filter(|figure| {
            // "guest-6.1" is how "guest-6.12" begins.
            let first = figure.title.replace("guest-6.12", "").contains("guest-6.1");
            first == figure.title.contains("guest-6.12")
        })
        .map(|figure| figure.name.as_str())
        .collect();
    assert_eq!(shared, [plots::KERNELS]);
    assert!(figures.iter().any(|figure| figure.name == "service-add-2"));
    for finding in &summary.findings {
        let first = finding.text.replace("guest-6.12", "").contains("guest-6.1");
        assert!(
            first != finding.text.contains("guest-6.12"),
            "{}",
            finding.text
        );
    }
}

#[test]
fn a_fit_is_of_one_environment_and_each_has_its_own() {
    let of = |name: &str| BOTH.1.fits.iter().filter(|f| f.environment == name).count();
    assert_eq!(of("guest-6.1"), of("guest-6.12"));
    assert!(of("guest-6.1") > 0);
}

#[test]
fn every_mode_stands_in_every_environment_with_the_figure_of_its_own_row() {
    let summary = &BOTH.1;
    let tables = side_by_side(summary);
    assert_eq!(tables.len(), 1);
    let table = &tables[0];
    assert_eq!((table.services, table.columns.len()), (1_000, 2));
    let modes: BTreeSet<Mode> = summary.cells.iter().map(|row| row.key.mode).collect();
    assert!(modes.len() > 4);
    for mode in modes {
        assert!(
            table
                .lines
                .iter()
                .any(|line| line.first().unwrap().key.mode == mode),
            "{mode}"
        );
    }
    for line in &table.lines {
        let mode = line.first().unwrap().key.mode;
        for ((name, _), cell) in table.columns.iter().zip(&line.cells) {
            let [answer] = cell.as_deref().unwrap() else {
                panic!("{} has no {name}", line.asked)
            };
            let key = &answer.row.key;
            assert_eq!(key.environment, *name);
            assert_eq!((key.mode, key.services), (mode, 1_000));
        }
    }
    let [a, b] = [0, 1].map(|column| table.lines[0].cells[column].as_ref().unwrap()[0].row.median);
    assert_ne!(a, b, "each has noise of its own");
}

#[test]
fn what_one_environment_cannot_do_is_said_beside_the_figure_of_the_other() {
    let mut run = BOTH.0.clone();
    for cell in &mut run.cells {
        let there = cell.key.environment == "guest-6.12" && cell.key.mode == Mode::Ipset;
        if there && cell.key.scenario == ScenarioKind::ColdInstall {
            cell.outcome = schema::Outcome::Unsupported {
                reason: "no such set".to_owned(),
                remedy: None,
            };
            cell.series.clear();
        }
    }
    let summary = summarise(&run);
    let table = side_by_side(&summary).remove(0);
    let line = table
        .lines
        .iter()
        .find(|line| {
            let key = &line.first().unwrap().key;
            (key.mode, key.scenario) == (Mode::Ipset, ScenarioKind::ColdInstall)
        })
        .unwrap();
    assert!(line.cells[0].as_ref().unwrap()[0].row.median.is_some());
    assert_eq!(
        line.cells[1].as_ref().unwrap()[0].row.outcome,
        schema::OutcomeKind::Unsupported
    );
    let page = render_html(&[(&run, &summary)]);
    let section = &page[page.find("Kernels side by side").unwrap()..];
    assert!(section.contains("no such set"));
}

#[test]
fn one_environment_has_no_side_to_stand_beside() {
    let run = synthetic::run(&shape());
    let summary = summarise(&run);
    assert!(side_by_side(&summary).is_empty());
    assert!(!render_html(&[(&run, &summary)]).contains("side by side"));
    assert!(
        plots::figures(&run, &summary)
            .iter()
            .all(|f| f.name != plots::KERNELS)
    );
}

#[test]
fn page_and_text_name_both_kernels_and_say_why_they_were_chosen() {
    let (run, summary) = &*BOTH;
    let page = render_html(&[(run, summary)]);
    let text = render_markdown(&[(run, summary)]);
    for kernel in KERNELS {
        let heading = format!("Linux {kernel}.0-imaginary (guest-{kernel}, tcg)");
        assert!(
            page.contains(&heading) && text.contains(&heading),
            "{heading}"
        );
    }
    assert!(page.contains(&run.header.choice));
}
