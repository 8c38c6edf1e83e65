//! What little is known is said as little: few stays, one time of two, a ratio's own number, cells that were disturbed.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use reports::{Run, Standing, matrix, render_html, render_markdown, summarise, view};
use schema::summary::{Finding, FindingKind, Summary};
use schema::{CellRecord, Disturbance, Metric, Mode, OptionKey, Position, Protocol, ScenarioKind};
use synthetic::Shape;

fn run_of(blocks: u32, sizes: &[u32], asked: impl Fn(&CellRecord) -> bool) -> Run {
    let mut run = synthetic::run(&Shape {
        blocks,
        sizes: sizes.to_vec(),
        samples: 10,
        stay_noise: 0.01,
        mishaps: false,
        ..Shape::default()
    });
    run.cells.retain(asked);
    run
}

fn adding(cell: &CellRecord) -> bool {
    cell.key.scenario == ScenarioKind::ServiceAdd
}

/// TCP packets to any, the first and the last service.
fn packets(cell: &CellRecord) -> bool {
    cell.key.scenario == ScenarioKind::FirstPacket
        && cell.key.options.protocol() == Some(Protocol::Tcp)
        && cell.key.options.position() != Some(Position::Middle)
}

fn found(summary: &Summary, kind: FindingKind) -> &Finding {
    let mut findings = summary.findings.iter();
    let found = findings.find(|finding| finding.kind == kind);
    found.unwrap_or_else(|| panic!("no sentence of {kind}"))
}

#[test]
fn of_few_stays_nothing_is_ranked_and_the_sentence_says_what_would_help() {
    let mut run = run_of(2, &[1_000], adding);
    let verdict = |run: &Run| {
        let summary = summarise(run);
        let finding = found(&summary, FindingKind::Updates);
        assert!(!finding.headline, "{}", finding.text);
        assert!(
            !finding.text.contains("not distinguished"),
            "{}",
            finding.text
        );
        finding.verdict.clone()
    };
    let said = verdict(&run);
    assert!(said.contains("too few stays to tell "), "{said}");
    assert!(
        said.contains(" apart (2; 6 needed: more --repetitions make more)"),
        "{said}"
    );
    run.end.as_mut().unwrap().ended = "budget".to_owned();
    let said = verdict(&run);
    assert!(said.contains("a longer --budget makes more"), "{said}");

    let summary = summarise(&run);
    let scopes = view::scopes(&summary);
    let lines = matrix(&run, &summary, &scopes[0]);
    let standings = lines.iter().flat_map(|line| line.answers.values());
    assert!(
        standings
            .filter_map(|answer| answer.standing)
            .all(|standing| standing == Standing::Unknown)
    );
    let page = render_html(&[(&run, &summary)]);
    assert!(page.contains("too few stays to say"));
    assert!(!page.contains(">not told apart<"));
}

#[test]
fn of_enough_stays_those_with_an_interval_are_told_and_the_others_named_apart() {
    let mut run = run_of(7, &[1_000], adding);
    run.cells
        .retain(|cell| cell.key.mode != Mode::IptablesNft || cell.block < 3);
    let summary = summarise(&run);
    let finding = found(&summary, FindingKind::Updates);
    assert!(finding.headline);
    assert!(
        finding
            .verdict
            .contains(" and iptables-nft apart (3; 6 needed: "),
        "{}",
        finding.verdict
    );
    assert!(finding.verdict.contains("gainst "), "{}", finding.verdict);
}

#[test]
fn few_blocks_are_not_called_a_slope_like_the_floors() {
    let sizes = [100, 300, 1_000, 3_000];
    let few = summarise(&run_of(2, &sizes, packets));
    let said = &found(&few, FindingKind::Slopes).verdict;
    assert!(
        said.starts_with(
            "too few blocks for an interval (2; 6 needed: more --repetitions make more): "
        ),
        "{said}"
    );
    assert!(
        !said.contains("not told apart") && !said.contains("nothing that is known"),
        "{said}"
    );
    let flat = &found(&few, FindingKind::Flatness).verdict;
    assert!(
        flat.contains("ipset not known, ") && flat.contains("too few blocks (2; "),
        "{flat}"
    );
    let crossings = few
        .findings
        .iter()
        .filter(|f| f.kind == FindingKind::Crossings);
    for crossing in crossings {
        assert!(
            !crossing.verdict.contains("not told apart"),
            "{}",
            crossing.verdict
        );
    }
    let enough = summarise(&run_of(7, &sizes, packets));
    let said = &found(&enough, FindingKind::Slopes).verdict;
    assert!(
        said.contains("not told apart from the floor: ") && !said.contains("too few"),
        "{said}"
    );
}

#[test]
fn of_a_time_that_one_mode_has_nothing_is_said_but_that() {
    let mut run = run_of(7, &[1_000], adding);
    for cell in &mut run.cells {
        if cell.key.mode != Mode::IptablesLegacy {
            cell.series
                .retain(|series| series.metric != Metric::SyncTime);
        }
    }
    let summary = summarise(&run);
    let said = &found(&summary, FindingKind::Updates).verdict;
    assert!(
        said.contains("sync_time was measured in iptables-legacy alone"),
        "{said}"
    );
    assert!(
        said.contains("By sync_time, of kube-proxy 1.34, nothing is known of the others."),
        "{said}"
    );
    assert!(
        !said.contains("contradict") && !said.contains("is the fastest"),
        "{said}"
    );
}

#[test]
fn two_times_agree_only_where_a_pair_is_told_apart_by_both() {
    let mut run = run_of(7, &[1_000], adding);
    // Both have a sync, neither time tells them apart; the others have none.
    run.cells.retain(|cell| {
        matches!(
            cell.key.mode,
            Mode::IptablesLegacy | Mode::IptablesNft | Mode::Ipset
        )
    });
    for cell in &mut run.cells {
        let at = 1e9
            + 1e8 * f64::from(cell.block)
            + if cell.key.mode == Mode::Ipset {
                9e9
            } else {
                0.0
            };
        for series in &mut cell.series {
            series.values.iter_mut().for_each(|value| *value = at);
        }
    }
    let summary = summarise(&run);
    let said = &found(&summary, FindingKind::Updates).verdict;
    assert!(
        said.starts_with("update_time and sync_time tell no two of the modes that have both apart"),
        "{said}"
    );
}

#[test]
fn the_number_that_a_ratio_is_of_stands_beside_it() {
    let mut run = run_of(7, &[1_000], |cell| {
        cell.key.scenario == ScenarioKind::ServiceAdd
    });
    for cell in run
        .cells
        .iter_mut()
        .filter(|cell| cell.key.mode == Mode::Nftables)
    {
        for series in &mut cell.series {
            let value = match series.metric {
                Metric::UpdateTime => 3e6,
                Metric::ReleaseTime => 21e6,
                _ => continue,
            };
            series
                .values
                .iter_mut()
                .for_each(|v| *v = value + f64::from(cell.block));
        }
    }
    let summary = summarise(&run);
    let finding = found(&summary, FindingKind::Updates);
    let values = &finding.values[0].text;
    assert!(
        values.contains("nftables (netlink) 3 ms (")
            || values.contains("nftables (netlink) 3.00 ms ("),
        "{values}"
    );
    assert!(values.contains("), with its release 24.0 ms ("), "{values}");
    let page = render_html(&[(&run, &summary)]);
    assert!(page.contains("3.00 ms until its answer"), "the matrix");
    assert!(
        page.contains("then released in 21.0 ms, together 24.0 ms"),
        "the table"
    );
    assert!(render_markdown(&[(&run, &summary)]).contains(", together 24.0 ms"));
}

#[test]
fn each_time_of_an_update_names_its_own_way() {
    let summary = summarise(&run_of(7, &[1_000], adding));
    let said = &found(&summary, FindingKind::Updates).verdict;
    assert!(
        said.contains("through netlink (the set) and iptables-restore (the rules): ipset"),
        "{said}"
    );
    assert!(
        said.contains("sync_time goes through iptables-restore: "),
        "{said}"
    );
    assert!(said.contains("; through nft -f: nftables"), "{said}");
    assert!(
        said.contains("kube-proxy's read-back of 1.34 over its layout of 1.32 in nftables"),
        "{said}"
    );
}

#[test]
fn a_cell_that_was_measured_again_is_paired_with_its_block_and_its_mark_is_told() {
    let mut run = run_of(7, &[1_000], packets);
    for (number, cell) in run.cells.iter_mut().enumerate() {
        if cell.key.options.position() == Some(Position::First) {
            // Another stay of the same block.
            cell.stay = 90_000 + number as u32;
            if cell.block == 2 {
                cell.disturbed = vec![Disturbance::RunDelay];
            }
        }
    }
    let summary = summarise(&run);
    let said = &found(&summary, FindingKind::Positions).verdict;
    assert!(said.contains(" in iptables-legacy ("), "{said}");
    assert!(
        !said.contains("range of") && !said.contains("no interval"),
        "{said}"
    );
    assert!(
        said.contains("every rule is passed; to the first 1 of 7 stays disturbed)"),
        "{said}"
    );
}

#[test]
fn no_explanation_stands_beside_a_number_that_denies_it() {
    let mut run = run_of(7, &[1_000], packets);
    for cell in &mut run.cells {
        if cell.key.options.is(OptionKey::Position, "last") {
            for series in &mut cell.series {
                series.values.iter_mut().for_each(|value| *value /= 20.0);
            }
        }
    }
    let summary = summarise(&run);
    let said = &found(&summary, FindingKind::Positions).verdict;
    assert!(!said.contains("every rule is passed"), "{said}");
    let few = summarise(&run_of(2, &[1_000], packets));
    let said = &found(&few, FindingKind::Positions).verdict;
    assert!(!said.contains("the last is"), "without an interval: {said}");
}

#[test]
fn page_and_summary_count_what_was_disturbed_by_what_became_of_it() {
    let mut run = run_of(7, &[1_000], packets);
    let measured = run.cells.len();
    let again = |cell: &mut CellRecord| {
        cell.facts
            .insert("measured_again".to_owned(), "run-delay".to_owned());
    };
    let mark = |cell: &mut CellRecord| cell.disturbed = vec![Disturbance::RunDelay];
    run.cells[..3].iter_mut().for_each(again);
    mark(&mut run.cells[2]);
    mark(&mut run.cells[3]);
    let summary = summarise(&run);
    let said = format!("4 cells of {measured} measured were disturbed: ");
    let counts = "2 measured again, in another stay, and not disturbed there; 2 still marked, 1 of them not measured again";
    let page = render_html(&[(&run, &summary)]);
    let markdown = render_markdown(&[(&run, &summary)]);
    for text in [&page, &markdown] {
        assert!(text.contains(&said) && text.contains(counts));
        assert!(text.contains("more than a tenth of the cell and more than 20 ms"));
        assert!(!text.contains("Disturbed run."));
    }
    assert!(!page.contains("more than 1 %"));
    run.cells.iter_mut().skip(4).step_by(10).for_each(mark);
    let summary = summarise(&run);
    assert!(render_html(&[(&run, &summary)]).contains("Disturbed run. "));
    assert!(render_markdown(&[(&run, &summary)]).contains("> **Disturbed run.** "));
}

#[test]
fn cold_caches_are_named_wherever_a_number_of_theirs_stands() {
    let mut run = run_of(7, &[100, 300, 1_000, 3_000], |cell| {
        cell.key.scenario == ScenarioKind::FirstPacket
    });
    let named = |run: &Run| {
        let summary = summarise(run);
        let scopes = view::scopes(&summary);
        let asked = matrix(run, &summary, &scopes[0]);
        let titles: Vec<String> = reports::plots::figures(run, &summary)
            .into_iter()
            .map(|figure| figure.title)
            .collect();
        let page = render_html(&[(run, &summary)]);
        let markdown = render_markdown(&[(run, &summary)]);
        let words = "cold caches";
        [
            asked.iter().all(|line| line.text().contains(words)),
            titles.iter().all(|title| title.contains(words)),
            summary.noise.unwrap().of.contains(words),
            page.contains("of 3,000, cold caches"),
            markdown.contains("of 3,000, cold caches")
                && markdown.contains("with cold caches against both floors"),
        ]
    };
    assert_eq!(named(&run), [false; 5], "warm caches go without saying");
    for cell in &mut run.cells {
        cell.key.options.set(OptionKey::Cache, "cold");
    }
    assert_eq!(named(&run), [true; 5]);
}

#[test]
fn what_has_no_interval_is_named_where_intervals_are_told() {
    let mut run = run_of(7, &[1_000], |cell| {
        matches!(
            cell.key.scenario,
            ScenarioKind::ServiceAdd | ScenarioKind::ColdInstall
        )
    });
    run.cells
        .retain(|cell| cell.key.scenario == ScenarioKind::ServiceAdd || cell.block < 2);
    let summary = summarise(&run);
    let page = render_html(&[(&run, &summary)]);
    assert!(page.contains(
        "No cell has the six stays that an interval needs of: cold-install update_time."
    ));
}

#[test]
fn memory_says_what_was_read_how_and_on_what() {
    let sizes = [100, 300, 1_000, 3_000];
    let mut run = run_of(2, &sizes, |cell| cell.key.scenario == ScenarioKind::Memory);
    let summary = summarise(&run);
    assert!(
        found(&summary, FindingKind::Memory)
            .question
            .contains("(kernel_memory of memory)")
    );
    for cell in &mut run.cells {
        cell.key.scenario = ScenarioKind::ColdInstall;
        cell.key.options.set(OptionKey::Chunk, "500");
        cell.facts.clear();
        cell.series
            .retain(|series| series.metric == Metric::KernelMemory);
    }
    let summary = summarise(&run);
    let finding = found(&summary, FindingKind::Memory);
    assert!(
        finding.question.contains("(kernel_memory of cold-install)"),
        "{}",
        finding.text
    );
    assert!(
        finding
            .verdict
            .contains("iptables-legacy (transactions of 500) "),
        "{}",
        finding.verdict
    );
    assert!(
        finding.verdict.ends_with(
            "What of it is held once for each possible CPU was not read, on a machine of 2 cores."
        ),
        "{}",
        finding.verdict
    );
}

#[test]
fn two_runs_on_one_kernel_are_runs_side_by_side() {
    let run = run_of(2, &[1_000], adding);
    let summary = summarise(&run);
    let both = [(&run, &summary), (&run, &summary)];
    let page = render_html(&both);
    assert!(page.contains("Runs side by side at 1,000 services"));
    assert!(!page.contains("Kernels side by side"));
    assert!(page.contains("of fewer than six stays their range, each mode in each run"));
}

#[test]
fn a_legend_says_the_whole_of_what_its_note_promises() {
    let sizes = [100, 300, 1_000, 3_000, 10_000];
    let run = run_of(2, &sizes, |cell| {
        packets(cell) || cell.key.scenario == ScenarioKind::ColdInstall
    });
    let summary = summarise(&run);
    let figures = reports::plots::figures(&run, &summary);
    // Every text of a chart, line after line.
    let words = |name: &str| -> String {
        let figure = figures.iter().find(|figure| figure.name == name).unwrap();
        let svg = figure.standalone_svg().unwrap();
        let texts = svg
            .split('<')
            .filter_map(|part| Some(part.split_once('>')?.1));
        let words: Vec<&str> = texts.flat_map(str::split_whitespace).collect();
        words.join(" ")
    };
    for (name, price) in [
        ("first-packet-tcp", "iptables-legacy: "),
        ("cold-install", "iptables-legacy: N^"),
    ] {
        let said = words(name);
        assert!(
            said.contains("interval, of fewer than six blocks their range"),
            "{said}"
        );
        let mut keys = said
            .split(price)
            .skip(1)
            .filter_map(|rest| rest.split(')').next());
        let key = keys.find(|key| key.contains("range")).unwrap();
        assert!(
            key.contains("(range of 2 blocks ") && !key.contains('…'),
            "{key}"
        );
    }
    assert!(words("first-packet-tcp").contains(" a service (range of 2 blocks "));
}
