//! A run of nodes of several families: each has sentences, charts and tables of its own, and one table puts two of them
//! side by side, with ratios of stays whose populations have one seed.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::sync::LazyLock;

use reports::view::{are_named, scopes};
use reports::{
    Apart, Beside, Run, TERMINAL, beside, plots, render_html, render_markdown, render_tables,
    render_text, summarise,
};
use schema::summary::Summary;
use schema::{Family, Mode, NodeKind, OptionKey, ScenarioKind};
use synthetic::Shape;

const IPV4: NodeKind = NodeKind::single(Family::Ipv4);
const IPV6: NodeKind = NodeKind::single(Family::Ipv6);

static BOTH: LazyLock<(Run, Summary)> = LazyLock::new(|| of(&[IPV4, IPV6]));

fn of(nodes: &[NodeKind]) -> (Run, Summary) {
    let shape = Shape {
        blocks: 7,
        sizes: vec![100, 1_000],
        samples: 12,
        mishaps: false,
        ..Shape::default()
    };
    let run = synthetic::run_of(&shape, nodes);
    let summary = summarise(&run);
    (run, summary)
}

#[test]
fn a_run_of_ipv4_nodes_alone_says_nothing_of_families() {
    let (run, summary) = of(&[IPV4]);
    let scopes = scopes(&summary);
    assert!(scopes.len() == 1 && scopes[0].node.is_none() && !are_named(&scopes));
    assert!(beside(&run, &summary).is_empty());
    let findings = summary.findings.iter();
    let mut named = findings.filter(|f| f.options.get(OptionKey::Family).is_some());
    assert!(named.next().is_none());
    for text in [
        render_text(&run, &summary),
        render_markdown(&[(&run, &summary)]),
    ] {
        assert!(!text.contains("IPv4") && !text.contains("IPv6"), "{text}");
    }
}

#[test]
fn families_never_share_a_sentence_or_a_chart() {
    let (run, summary) = &*BOTH;
    let one = |text: &str| text.contains("IPv4") != text.contains("IPv6");
    assert!(!summary.findings.is_empty());
    for finding in &summary.findings {
        assert!(one(&finding.text), "{}", finding.text);
        let family = finding.options.get(OptionKey::Family).unwrap();
        let words = finding.options.node().family.words();
        assert!(finding.text.contains(words), "{family}: {}", finding.text);
    }
    let figures = plots::figures(run, summary);
    assert!(figures.iter().any(|figure| figure.name == "service-add-2"));
    for figure in figures {
        assert!(one(&figure.title), "{}", figure.title);
    }
    for table in render_tables(summary, TERMINAL).split("medians at").skip(1) {
        assert!(one(table), "{table}");
    }
}

#[test]
fn a_run_of_ipv6_nodes_alone_says_so_everywhere() {
    let (run, summary) = of(&[IPV6]);
    let figures = plots::figures(&run, &summary);
    assert!(figures.iter().all(|figure| figure.title.contains("IPv6")));
    let findings = &summary.findings;
    assert!(findings.iter().all(|finding| finding.text.contains("IPv6")));
    assert!(render_tables(&summary, TERMINAL).contains("IPv6"));
    assert!(beside(&run, &summary).is_empty());
}

#[test]
fn fits_are_of_one_family() {
    let (_, summary) = &*BOTH;
    for scope in scopes(summary) {
        let node = scope.node.unwrap();
        let mine = summary.fits.iter().filter(|fit| scope.is_of(&fit.options));
        assert!(mine.clone().count() > 0);
        assert!(mine.clone().all(|fit| fit.options.node() == node));
    }
}

fn ratios(beside: &Beside<'_>, scenario: ScenarioKind) -> Vec<(Mode, f64)> {
    let lines = beside.lines.iter();
    let lines = lines.filter(|line| line.rows[0].key.scenario == scenario);
    lines
        .map(|line| (line.rows[0].key.mode, line.ratio.unwrap().known.value))
        .collect()
}

#[test]
fn ipv4_stands_beside_ipv6_in_every_mode_with_the_ratio_of_blocks() {
    let (run, summary) = &*BOTH;
    let all = beside(run, summary);
    assert_eq!(all.len(), 1);
    let table = &all[0];
    assert_eq!(
        (table.apart, table.services),
        (Apart::Nodes([IPV4, IPV6]), 1_000)
    );
    for scenario in [
        ScenarioKind::FirstPacket,
        ScenarioKind::ServiceAdd,
        ScenarioKind::ColdInstall,
        ScenarioKind::RuleCount,
    ] {
        let ratios = ratios(table, scenario);
        let modes: BTreeSet<Mode> = ratios.iter().map(|(mode, _)| *mode).collect();
        assert!(modes.contains(&Mode::Nftables), "{scenario}: {modes:?}");
        for (mode, ratio) in ratios {
            let off = (ratio / synthetic::IPV6 - 1.0).abs();
            assert!(off < 0.15, "{scenario} {mode}: {ratio}");
        }
    }
    for line in &table.lines {
        let [below, above] = line.rows.map(|row| row.key.options.node());
        assert_eq!([below, above], [IPV4, IPV6]);
        let known = line.ratio.unwrap().known;
        assert!(
            known.ci95.is_some(),
            "seven blocks are enough: {}",
            line.asked
        );
    }
}

#[test]
fn a_dual_stack_node_stands_beside_itself_and_beside_nodes_of_one_family() {
    let (run, summary) = of(&NodeKind::ALL);
    let pairs: Vec<Apart> = beside(&run, &summary).iter().map(|b| b.apart).collect();
    let dual = [Family::Ipv4, Family::Ipv6].map(NodeKind::dual);
    let nodes = [[IPV4, IPV6], dual, [IPV4, dual[0]], [IPV6, dual[1]]];
    assert_eq!(pairs, nodes.map(Apart::Nodes));
    for table in beside(&run, &summary).iter().skip(2) {
        for (mode, ratio) in ratios(table, ScenarioKind::RuleCount) {
            let off = (ratio / synthetic::DUAL - 1.0).abs();
            assert!(off < 0.15, "{mode}: {ratio}");
        }
    }
    let page = render_html(&[(&run, &summary)]);
    assert!(page.contains("IPv4 of a dual-stack node beside IPv6 of a dual-stack node"));
}

#[test]
fn the_table_is_in_every_text() {
    let (run, summary) = &*BOTH;
    let title = "IPv4 beside IPv6 at 1,000 services";
    for text in [
        render_text(run, summary),
        render_markdown(&[(run, summary)]),
        render_html(&[(run, summary)]),
    ] {
        assert!(
            text.contains(title) && text.contains("IPv6 ÷ IPv4"),
            "{text}"
        );
    }
    let text = render_text(run, summary);
    let (_, table) = text.split_once(title).unwrap();
    for line in table.lines().take(20) {
        assert!(line.chars().count() <= 75, "{line}");
    }
}
