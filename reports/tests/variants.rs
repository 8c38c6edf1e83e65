//! A run of two variants: each has tables, charts and sentences of its own, and one table and one chart put them
//! side by side.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::LazyLock;

use reports::view::scopes;
use reports::view::side_by_side;
use reports::view::table::Columns;
use reports::{Run, plots, render_html, render_markdown, summarise};
use schema::summary::Summary;
use schema::{OptionKey, Variant};
use synthetic::Shape;

fn variant(name: &str, options: &str) -> Variant {
    Variant {
        name: name.to_owned(),
        options: options.to_owned(),
        ..Variant::default()
    }
}

/// What a run without variants measured, as the variant `base`; and the same a second time, with `change`, as `head`.
fn run(change: impl Fn(&mut schema::CellRecord)) -> Run {
    let shape = Shape {
        blocks: 3,
        sizes: vec![100, 1_000],
        samples: 12,
        mishaps: false,
        ..Shape::default()
    };
    let mut run = synthetic::run(&shape);
    let stays = run.cells.len() as u32;
    let mut all = Vec::new();
    for mut cell in std::mem::take(&mut run.cells) {
        if cell.key.variant.is_empty() {
            "base".clone_into(&mut cell.key.variant);
            let mut other = cell.clone();
            "head".clone_into(&mut other.key.variant);
            other.stay += stays;
            change(&mut other);
            all.push(other);
        }
        all.push(cell);
    }
    run.cells = all;
    run.header.planned_cells = run.cells.len() as u64;
    run.header.variants = vec![variant("base", ""), variant("head", "--tool nft=/opt/nft")];
    run
}

/// Made once: most tests read it.
static BOTH: LazyLock<(Run, Summary)> = LazyLock::new(|| {
    let run = run(|_| {});
    let summary = summarise(&run);
    (run, summary)
});

#[test]
fn each_variant_has_a_scope_and_the_control_series_has_none() {
    let scopes = scopes(&BOTH.1);
    let names: Vec<&str> = scopes.iter().map(|scope| scope.variant.as_str()).collect();
    assert_eq!(names, ["base", "head"]);
    let rows = |at: usize| scopes[at].rows(&BOTH.1).count();
    assert!(rows(0) > 0 && rows(0) == rows(1));
}

#[test]
fn variants_never_share_a_sentence_and_only_one_chart() {
    let (run, summary) = &*BOTH;
    assert!(!summary.findings.is_empty());
    for finding in &summary.findings {
        let of = |name: &str| finding.text.contains(&format!("variant {name}"));
        assert!(of("base") != of("head"), "{}", finding.text);
    }
    let figures = plots::figures(run, summary);
    let shared: Vec<&str> = figures
        .iter()
        .filter(|figure| figure.title.contains("base") == figure.title.contains("head"))
        .map(|figure| figure.name.as_str())
        .collect();
    assert_eq!(shared, [plots::KERNELS]);
    let chart = figures.iter().find(|f| f.name == plots::KERNELS).unwrap();
    assert!(
        chart.title.contains("each variant") && chart.title.ends_with("in base and head"),
        "{}",
        chart.title
    );
}

#[test]
fn what_sets_variants_apart_is_no_part_of_a_line() {
    let mut run = run(|_| {});
    for cell in &mut run.cells {
        let version = match cell.key.variant.as_str() {
            "base" => "1.32",
            _ => "1.37",
        };
        cell.key.options.set(OptionKey::KubeProxy, version);
    }
    let summary = summarise(&run);
    let table = side_by_side(&summary).remove(0);
    assert_eq!(table.lines.len(), side_by_side(&BOTH.1)[0].lines.len());
    for line in &table.lines {
        assert!(
            line.cells
                .iter()
                .all(|cell| cell.iter().flatten().count() == 1)
        );
        assert!(!line.of.contains("kube-proxy 1.3"), "{}", line.of);
    }
}

#[test]
fn a_table_puts_them_side_by_side_and_pages_say_what_sets_them_apart() {
    let (run, summary) = &*BOTH;
    let tables = side_by_side(summary);
    assert_eq!(tables.len(), 1);
    assert_eq!(tables[0].places, Some(Columns::Variants));
    let names = tables[0].columns.iter().map(|(name, _)| name.as_str());
    assert!(names.eq(["base", "head"]));
    assert!(tables[0].lines.iter().all(|line| {
        line.cells
            .iter()
            .all(|cell| cell.iter().flatten().count() == 1)
    }));
    for page in [
        render_html(&[(run, summary)]),
        render_markdown(&[(run, summary)]),
    ] {
        assert!(page.contains("Variants side by side at 1,000 services"));
        assert!(page.contains("head: --tool nft=/opt/nft"));
        assert!(page.contains("base: nothing of its own"));
        assert!(!page.contains("Kernels side by side"));
    }
}

#[test]
fn variants_of_different_sizes_have_no_table_and_their_noise_is_that_of_the_first() {
    let other_sizes = run(|cell| cell.key.services += 50);
    let summary = summarise(&other_sizes);
    assert!(side_by_side(&summary).is_empty());
    let noise = summary.noise.unwrap();
    assert_eq!(noise.stays_a, noise.stays_b);
    assert_eq!(Some(noise), BOTH.1.noise.clone());
}
