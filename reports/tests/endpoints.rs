//! A run with several numbers of endpoints: one chart over them for each environment, fits over them, and fits over
//! services that are of one number each.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::sync::LazyLock;

use reports::plots::{self, Figure};
use reports::{Run, render_html, summarise};
use schema::summary::{FindingKind, Fit, FitModel, FitUnit, Over, Summary};
use schema::{Accelerator, Metric, Mode, OptionKey, ScenarioKind};
use synthetic::Shape;

const NUMBERS: [u32; 6] = [1, 10, 100, 319, 320, 1_000];
const NAME: &str = "endpoints";

/// 100 services: with 10 endpoints they have 1,000 in all, with 100 they are a large cluster.
static ONE: LazyLock<(Run, Summary)> = LazyLock::new(|| of(&[100], &[], &NUMBERS));

fn of(sizes: &[u32], kernels: &[&str], numbers: &[u32]) -> (Run, Summary) {
    let shape = Shape {
        blocks: 3,
        sizes: sizes.to_vec(),
        samples: 12,
        mishaps: false,
        ..Shape::default()
    };
    summarised(synthetic::run_over_endpoints(&shape, kernels, numbers))
}

fn summarised(run: Run) -> (Run, Summary) {
    let summary = summarise(&run);
    (run, summary)
}

/// The charts over endpoints.
fn charts(run: &Run, summary: &Summary) -> Vec<Figure> {
    let mut figures = plots::figures(run, summary);
    figures.retain(|figure| figure.name.starts_with(NAME));
    figures
}

#[test]
fn first_packet_update_and_memory_stand_over_every_number_of_endpoints() {
    let (run, summary) = &*ONE;
    let charts = charts(run, summary);
    let [chart] = &charts[..] else {
        panic!("one chart: {}", charts.len())
    };
    assert_eq!(
        (chart.name.as_str(), chart.title.as_str()),
        (
            NAME,
            "What do more endpoints of each service cost, at 100 services? (host)"
        )
    );
    let numbers = chart.numbers();
    let headings: Vec<&str> = numbers.iter().map(|part| part.heading.as_str()).collect();
    assert_eq!(
        headings,
        [
            "First TCP packet to any of the services: latency",
            "One service added: update_time",
            "What the rules of all services hold: kernel_memory",
        ]
    );
    for part in &numbers {
        assert_eq!(part.columns, ["1", "10", "100", "319", "320", "1,000"]);
        let (_, nftables) = part
            .rows
            .iter()
            .find(|(name, _)| name == "nftables")
            .unwrap();
        assert!(
            nftables.iter().all(|text| text.contains("n ")),
            "{nftables:?}"
        );
    }
    let floor = |name: &&(String, Vec<String>)| name.0 == "none";
    let floors = numbers
        .iter()
        .map(|part| part.rows.iter().filter(floor).count());
    assert_eq!(floors.collect::<Vec<_>>(), [1, 0, 0]);
    let svg = chart.standalone_svg().unwrap();
    for words in [
        "endpoints of each service E (log scale)",
        ">320<",
        "iptables-nft (with endpoint comments)",
    ] {
        assert!(svg.contains(words), "{words}");
    }
    assert!(render_html(&[(run, summary)]).contains("id=\"chart-endpoints\""));
}

#[test]
fn no_line_goes_from_rules_with_comments_to_rules_without() {
    let (run, summary) = &*ONE;
    let chart = charts(run, summary).remove(0);
    for part in chart.numbers() {
        for mode in ["iptables-legacy", "iptables-nft", "ipset"] {
            let measured = |words: &str| -> Vec<bool> {
                let name = format!("{mode} ({words} endpoint comments)");
                let (_, texts) = part.rows.iter().find(|(own, _)| *own == name).unwrap();
                texts.iter().map(|text| text != "–").collect()
            };
            assert_eq!(measured("with"), [true, true, false, false, false, false]);
            assert_eq!(measured("without"), [false, false, true, true, true, true]);
        }
    }
    let told = |run: &Run, summary: &Summary| {
        let chart = charts(run, summary).remove(0);
        chart
            .notes
            .iter()
            .any(|note| note.contains("Above 1,000 endpoints in all"))
    };
    assert!(told(run, summary));
    let (run, summary) = of(&[100], &[], &[1, 10]);
    assert!(!told(&run, &summary), "nothing is without comments there");
}

#[test]
fn a_run_with_one_number_of_endpoints_has_no_such_chart_and_no_panel_for_what_was_not_asked() {
    let (run, summary) = of(&[100, 300], &[], &[10]);
    assert!(charts(&run, &summary).is_empty());
    let (mut run, _) = of(&[100], &[], &[10, 100]);
    run.cells
        .retain(|cell| cell.key.scenario == ScenarioKind::ServiceAdd);
    let (run, summary) = summarised(run);
    let chart = charts(&run, &summary).remove(0);
    assert_eq!(chart.numbers().len(), 1);
    run_without_numbers(run);
}

/// Cells that were planned and have no number leave no chart, and no page that breaks.
fn run_without_numbers(mut run: Run) {
    for cell in &mut run.cells {
        cell.series.clear();
        cell.outcome = schema::Outcome::Unsupported {
            reason: "this kernel lacks everything".to_owned(),
            remedy: None,
        };
    }
    let (run, summary) = summarised(run);
    assert!(charts(&run, &summary).is_empty());
    assert!(render_html(&[(&run, &summary)]).contains("Nothing was measured"));
}

#[test]
fn a_number_of_endpoints_without_a_value_is_a_gap_with_its_reason_said_once() {
    let (mut run, _) = of(&[100], &[], &[1, 10]);
    for cell in &mut run.cells {
        if (cell.key.mode, cell.key.endpoints) == (Mode::Nftables, 10) {
            cell.series.clear();
            cell.outcome = schema::Outcome::Unsupported {
                reason: "too many for it".to_owned(),
                remedy: None,
            };
        }
    }
    let (run, summary) = summarised(run);
    let chart = charts(&run, &summary).remove(0);
    let gap =
        "First packet, Update, Memory: No point for nftables at 10 (unsupported: too many for it).";
    let said = chart.notes.iter().filter(|note| note.contains("too many"));
    assert_eq!(said.collect::<Vec<_>>(), [gap]);
}

#[test]
fn environments_have_charts_of_their_own_also_where_a_page_draws_few_scopes() {
    let kernels = ["6.1", "6.12"];
    let (mut run, _) = of(&[100], &kernels, &NUMBERS);
    synthetic::translate(&mut run, Accelerator::TcgIcount);
    let (run, summary) = summarised(run);
    // A page draws the first six of the twelve scopes; these charts are of two groups.
    for figures in [
        plots::figures(&run, &summary),
        plots::figures_of(&run, &summary, 6),
    ] {
        let charts = figures
            .iter()
            .filter(|figure| figure.name.starts_with(NAME));
        let titles: BTreeSet<&str> = charts.map(|figure| figure.title.as_str()).collect();
        let wanted = kernels.map(|kernel| {
            format!(
                "What do more endpoints of each service cost, at 100 services? (guest-{kernel})"
            )
        });
        assert_eq!(titles, wanted.iter().map(String::as_str).collect());
    }
    let svg = charts(&run, &summary)[0].standalone_svg().unwrap();
    assert!(svg.contains("instr"), "times are counted");
}

#[test]
fn of_several_sizes_the_chart_is_at_the_largest() {
    let (run, summary) = of(&[10, 20], &[], &[1, 10]);
    let charts = charts(&run, &summary);
    assert_eq!(charts.len(), 1);
    assert!(
        charts[0].title.contains("at 20 services"),
        "{}",
        charts[0].title
    );
}

/// Kernel memory of 5,000 bytes, and 40 for each endpoint of each of so many services.
fn with_lines(mut run: Run) -> Run {
    for cell in &mut run.cells {
        let held = 5_000.0 + 40.0 * f64::from(cell.key.services * cell.key.endpoints);
        for series in &mut cell.series {
            if series.metric == Metric::KernelMemory {
                series.values = vec![held; 2];
            }
        }
    }
    run
}

fn memory_of(summary: &Summary, mode: Mode, over: Over) -> Vec<&Fit> {
    let fits = summary.fits.iter();
    let fits = fits.filter(|fit| (fit.mode, fit.over) == (mode, over));
    fits.filter(|fit| (fit.scenario, fit.metric) == (ScenarioKind::Memory, Metric::KernelMemory))
        .collect()
}

#[test]
fn what_an_endpoint_more_adds_is_fitted_over_four_numbers_and_never_across_layouts() {
    let (run, summary) = summarised(with_lines(ONE.0.clone()));
    let fits = memory_of(&summary, Mode::Nftables, Over::Endpoints);
    let [fit] = fits[..] else {
        panic!("one fit: {fits:?}")
    };
    assert_eq!((fit.services, fit.endpoints), (Some(100), None));
    assert_eq!((fit.from, fit.to, fit.sizes, fit.blocks), (1, 1_000, 6, 3));
    assert_eq!(
        (fit.model, fit.unit),
        (FitModel::Linear, FitUnit::BytesOfEndpoints)
    );
    assert!((fit.estimate - 4_000.0).abs() < 1e-6 && (fit.intercept - 5_000.0).abs() < 1e-3);
    // 100, 319, 320 and 1,000 endpoints are without comments; 1 and 10, which have them, are too few.
    let fits = memory_of(&summary, Mode::IptablesLegacy, Over::Endpoints);
    let [fit] = fits[..] else {
        panic!("one fit: {fits:?}")
    };
    assert_eq!((fit.from, fit.to, fit.sizes), (100, 1_000, 4));
    assert_eq!(fit.options.get(OptionKey::LargeCluster), Some("on"));
    // 319 and 320 are neighbours: no power is drawn through two numbers of endpoints.
    let over = |fit: &&Fit| fit.over == Over::Endpoints;
    assert!(
        summary
            .fits
            .iter()
            .filter(over)
            .all(|fit| fit.model != FitModel::Power)
    );
    let mut few = run;
    few.cells
        .retain(|cell| [1, 10, 1_000].contains(&cell.key.endpoints));
    let few = summarise(&few);
    assert_eq!(few.fits.iter().filter(over).count(), 0);
}

#[test]
fn a_fit_over_services_is_of_one_number_of_endpoints_and_so_are_sentences() {
    let (run, _) = of(&[1_000, 2_000, 4_000, 8_000], &[], &[10, 100]);
    let (_, summary) = summarised(with_lines(run));
    for mode in [Mode::Nftables, Mode::IptablesLegacy] {
        let fits = memory_of(&summary, mode, Over::Services);
        let prices: Vec<_> = fits
            .iter()
            .map(|fit| (fit.endpoints, fit.estimate.round()))
            .collect();
        assert_eq!(prices, [(Some(10), 400.0), (Some(100), 4_000.0)], "{mode}");
    }
    let findings = summary.findings.iter();
    let memory: Vec<_> = findings.filter(|f| f.kind == FindingKind::Memory).collect();
    assert_eq!(memory.len(), 2);
    for finding in memory {
        let (own, other) = match finding.endpoints {
            10 => ("nftables 400 B (", " 4 kB ("),
            _ => ("nftables 4 kB (", " 400 B ("),
        };
        assert!(
            finding.text.contains(own) && !finding.text.contains(other),
            "{}",
            finding.text
        );
    }
}
