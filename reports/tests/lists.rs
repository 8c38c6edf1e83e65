//! Lists of addresses: tables and a chart of their own, fits over entries, and no place among those of services.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use reports::{Run, plots, render_html, render_markdown, render_tables, summarise, view};
use schema::summary::{FitModel, FitUnit, Over};
use schema::{Hit, ListKind, Metric, Mode, OptionKey, Options, ScenarioKind, Series};
use synthetic::Shape;

const ENTRIES: [u32; 5] = [10, 100, 1_000, 10_000, 100_000];
/// Nanoseconds a rule.
const EACH: f64 = 3.0;

fn cost(kind: ListKind, entries: u32) -> f64 {
    match kind {
        ListKind::Rules => 1_000.0 + EACH * f64::from(entries),
        _ => 1_200.0,
    }
}

/// Eight blocks of a run, some of whose cells became lists; `alone`: all of them.
fn of_lists(alone: bool) -> Run {
    let mut run = synthetic::run(&Shape {
        blocks: 8,
        sizes: vec![100],
        samples: 5,
        mishaps: false,
        ..Shape::default()
    });
    let measured = run.cells.iter().filter(|cell| !cell.series.is_empty());
    let template = measured.clone().next().unwrap().clone();
    let mut made = Vec::new();
    for block in 0..8 {
        for (mode, kind) in [
            (Mode::IptablesLegacy, ListKind::Rules),
            (Mode::Ipset, ListKind::HashIp),
        ] {
            for (entries, hit) in ENTRIES
                .iter()
                .flat_map(|entries| [(*entries, Hit::Any), (*entries, Hit::Miss)])
            {
                let mut cell = template.clone();
                cell.key.mode = mode;
                cell.key.scenario = ScenarioKind::MatchList;
                (cell.key.services, cell.key.endpoints) = (0, 0);
                cell.key.variant.clear();
                cell.key.options = Options::from([(OptionKey::ListKind, kind.name())])
                    .with(OptionKey::Entries, entries)
                    .with(OptionKey::Hit, hit);
                (cell.block, cell.stay) = (block, 10_000 + block);
                let noise = f64::from(block);
                cell.series = vec![Series {
                    metric: Metric::PathTime,
                    unit: Metric::PathTime.unit(),
                    values: vec![cost(kind, entries) + noise; 5],
                    as_histogram: false,
                }];
                made.push(cell);
            }
        }
    }
    if alone {
        run.cells.clear();
    }
    run.cells.extend(made);
    run
}

#[test]
fn what_an_entry_costs_is_a_fit_over_entries() {
    let summary = summarise(&of_lists(true));
    let over = |mode| {
        let mut fits = summary.fits.iter();
        let wanted = |fit: &&schema::summary::Fit| {
            fit.over == Over::Entries
                && fit.mode == mode
                && fit.options.hit() == Some(Hit::Miss)
                && fit.model == FitModel::Linear
        };
        fits.find(wanted).unwrap().clone()
    };
    let rules = over(Mode::IptablesLegacy);
    assert!((rules.estimate - EACH).abs() < 0.01, "{}", rules.estimate);
    assert_eq!(rules.unit, FitUnit::NanosecondsOfEntries);
    assert_eq!((rules.from, rules.to, rules.sizes), (10, 100_000, 5));
    assert!(rules.ci95.is_some());
    assert_eq!(rules.options.entries(), None);
    assert!(over(Mode::Ipset).estimate.abs() < 1e-6);
    let others = summary.fits.iter().filter(|fit| fit.over != Over::Entries);
    assert_eq!(others.count(), 0, "a list has no services to be over");
}

#[test]
fn lists_stand_in_tables_and_a_chart_of_their_own_and_make_no_scope() {
    for alone in [true, false] {
        let run = of_lists(alone);
        let summary = summarise(&run);
        let scopes = view::scopes(&summary);
        assert_eq!(scopes.is_empty(), alone);
        assert!(scopes.iter().all(|scope| scope.endpoints > 0));
        let figures = plots::figures(&run, &summary);
        let of_lists = figures.iter().filter(|figure| figure.name == "match-list");
        let numbers: Vec<_> = of_lists.flat_map(plots::Figure::numbers).collect();
        assert_eq!(numbers.len(), 2, "hits and misses");
        assert_eq!(
            numbers[0].columns,
            ["10", "100", "1,000", "10,000", "100,000"]
        );
        let page = render_html(&[(&run, &summary)]);
        let text = render_tables(&summary, 100);
        let mail = render_markdown(&[(&run, &summary)]);
        for shown in [&page, &text, &mail] {
            let title = "What does a packet take that is looked up in a list?";
            assert!(shown.contains(title), "{alone}: {shown}");
            assert!(shown.contains("a rule each: miss"));
        }
        assert!(
            text.contains("1.20 µs") && text.contains("301 µs"),
            "{text}"
        );
        assert!(!page.contains("at 0 services"));
        // (1,204 - 1,004) / 3.
        assert!(
            page.contains("rules take longer from about 67 entries on (within "),
            "{page}"
        );
    }
}
