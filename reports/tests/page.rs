//! The page and the files: self-contained, well-formed, and harmless whatever the labels say.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::sync::LazyLock;

use reports::{
    Run, WriteError, plots, render_html, render_markdown, render_text, summarise, write_all,
};
use schema::summary::Summary;
use schema::{Mode, NotRun, ONE_TRANSACTION, OptionKey, Outcome};
use synthetic::Shape;

/// Made once: every test reads it.
static PLAIN: LazyLock<(Run, Summary)> = LazyLock::new(|| made("plain"));
const HOSTILE: &str = "<script>alert(1)</script>\" onload='x' | `&amp;` \u{1} ]]> -->";

fn made(label: &str) -> (Run, Summary) {
    let mut run = synthetic::run(&Shape {
        blocks: 2,
        sizes: vec![100, 300, 1_000, 10_000],
        samples: 12,
        label: label.to_owned(),
        ..Shape::default()
    });
    run.header.command_line.push(label.to_owned());
    run.warnings.push(label.to_owned());
    for cell in &mut run.cells {
        if cell.key.services == 300 {
            cell.key.options.set(OptionKey::VipStride, label);
        }
    }
    let summary = summarise(&run);
    (run, summary)
}

/// Elements in order of opening; panics when one is closed that is not open.
fn elements(html: &str) -> Vec<String> {
    const VOID: &[&str] = &["meta", "br", "link", "hr", "img", "input"];
    /// Elements whose text is not markup.
    const RAW: &[&str] = &["style", "script"];
    let (mut open, mut seen): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    let mut rest = html;
    while let Some(start) = rest.find('<') {
        let end = start + rest[start..].find('>').expect("a tag ends");
        let tag = &rest[start + 1..end];
        assert!(!tag.contains('<'), "a tag inside a tag: {tag}");
        rest = &rest[end + 1..];
        if tag.starts_with('!') {
            continue;
        }
        let name: String = tag
            .trim_start_matches('/')
            .chars()
            .take_while(char::is_ascii_alphanumeric)
            .collect();
        assert!(!name.is_empty(), "a stray '<' before {tag}");
        if tag.starts_with('/') {
            assert_eq!(
                open.pop().as_deref(),
                Some(name.as_str()),
                "closed in the wrong order"
            );
            continue;
        }
        seen.push(name.clone());
        if !tag.ends_with('/') && !VOID.contains(&name.as_str()) {
            open.push(name.clone());
        }
        if RAW.contains(&name.as_str()) {
            let end = format!("</{name}>");
            rest = &rest[rest.find(&end).expect("the element ends")..];
        }
    }
    assert!(open.is_empty(), "left open: {open:?}");
    seen
}

fn scripts(elements: &[String]) -> usize {
    elements
        .iter()
        .filter(|element| *element == "script")
        .count()
}

#[test]
fn the_page_is_well_formed_and_holds_everything_itself() {
    let (run, summary) = &*PLAIN;
    let html = render_html(&[(run, summary)]);
    let elements = elements(&html);
    for needed in [
        "main",
        "h1",
        "table",
        "caption",
        "figure",
        "figcaption",
        "svg",
        "details",
    ] {
        assert!(elements.iter().any(|element| element == needed), "{needed}");
    }
    for banned in ["link", "img", "iframe", "object", "form"] {
        assert!(
            !elements.iter().any(|element| element == banned),
            "{banned}"
        );
    }
    assert_eq!(scripts(&elements), 1, "the page's own");
    let without_namespaces = html.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
    assert!(!without_namespaces.contains("http://") && !without_namespaces.contains("https://"));
    assert!(!html.contains("url(") && !html.contains("@import"));
    assert!(html.contains("prefers-color-scheme"));
}

#[test]
fn results_of_an_older_schema_say_so_at_the_top() {
    let (mut run, summary) = PLAIN.clone();
    let banner = "Written by schema 1, and summarised anew";
    assert!(!render_html(&[(&run, &summary)]).contains("Written by schema"));
    run.header.schema_version = 1;
    assert!(render_html(&[(&run, &summary)]).contains(banner));
    assert!(render_markdown(&[(&run, &summary)]).contains(banner));
}

#[test]
fn hostile_labels_stay_text_everywhere() {
    let (run, summary) = made(HOSTILE);
    let html = render_html(&[(&run, &summary)]);
    let elements = elements(&html);
    assert_eq!(scripts(&elements), 1, "the page's own");
    assert!(html.contains("&lt;script&gt;"), "the label is shown");
    assert!(!html.contains("\" onload="));
    for figure in plots::figures(&run, &summary) {
        let svg = figure.standalone_svg().unwrap();
        assert!(
            !self::elements(&svg)
                .iter()
                .any(|element| element == "script")
        );
        assert!(!svg.contains('\u{1}'), "control characters are not XML");
        // One of each way of drawing: rasterising takes long without optimisation.
        if matches!(figure.name.as_str(), "updates" | "kernel-memory") {
            plots::png(&svg).expect("an XML reader takes it");
        }
    }
    let markdown = render_markdown(&[(&run, &summary)]);
    assert!(!markdown.contains("<script>"));
    let bars = |line: &str| line.replace("\\|", "").matches('|').count();
    let mut columns = None;
    let mut tables = 0;
    for line in markdown.lines() {
        if !line.starts_with('|') {
            columns = None;
            continue;
        }
        tables += u32::from(columns.is_none());
        let wanted = *columns.get_or_insert_with(|| bars(line));
        assert_eq!(
            bars(line),
            wanted,
            "as many columns as the first line: {line}"
        );
    }
    assert_eq!(tables, 2, "rule updates, and everything else");
}

#[test]
fn cells_without_numbers_are_on_the_page_with_their_reasons() {
    let (run, summary) = &*PLAIN;
    let html = render_html(&[(run, summary)]);
    for reason in [
        "nft is not installed",
        "longer than 60.0 s",
        "10.96.3.7:80/tcp is missing",
        "without a line",
        "budget",
    ] {
        assert!(html.contains(reason), "{reason}");
    }
    assert!(
        html.contains("Noisy run"),
        "two stays cannot state the noise"
    );
    assert!(html.contains("bench-runner --services 10000 --sandbox netns plain --seed 42"));
}

/// The charts of a timed run with one number of endpoints (`endpoints.rs`): which CPUs are possible is asked of counted
/// ones (`memory_by_cpus.rs`).
fn drawn() -> impl Iterator<Item = &'static str> {
    let names = plots::registry().iter().map(|chart| chart.name);
    names.filter(|name| !["endpoints", "memory-by-cpus"].contains(name))
}

#[test]
fn every_chart_of_the_registry_is_drawn_and_names_its_gaps() {
    let (run, summary) = &*PLAIN;
    let figures = plots::figures(run, summary);
    let names: Vec<&str> = drawn().collect();
    assert_eq!(
        figures
            .iter()
            .map(|figure| figure.name.as_str())
            .collect::<Vec<_>>(),
        names
    );
    let install = figures
        .iter()
        .find(|figure| figure.name == "cold-install")
        .unwrap();
    assert!(
        install
            .notes
            .iter()
            .any(|note| note.contains("longer than 60.0 s"))
    );
    let add = figures
        .iter()
        .find(|figure| figure.name == "service-add")
        .unwrap();
    assert!(
        add.notes
            .iter()
            .any(|note| note.contains("nft is not installed"))
    );
    let svg = install.standalone_svg().unwrap();
    assert!(svg.contains("log scale") && svg.contains("role=\"img\"") && svg.contains("<title>"));
}

#[test]
fn a_run_of_one_size_and_one_scenario_is_drawn_too() {
    let mut run = synthetic::run(&Shape {
        blocks: 1,
        sizes: vec![1_000],
        samples: 2,
        mishaps: false,
        ..Shape::default()
    });
    run.cells
        .retain(|cell| cell.key.scenario == schema::ScenarioKind::ServiceAdd);
    let summary = summarise(&run);
    let figures = plots::figures(&run, &summary);
    let names: Vec<&str> = figures.iter().map(|figure| figure.name.as_str()).collect();
    let wanted = ["in-brief", "updates", "service-add"];
    assert_eq!(names, wanted);
    for figure in &figures {
        elements(&figure.standalone_svg().unwrap());
    }
    elements(&render_html(&[(&run, &summary)]));
}

#[test]
fn an_install_in_chunks_takes_the_place_of_one_that_was_not_made_and_is_starred() {
    let in_brief = |run: &Run| {
        let summary = summarise(run);
        let figures = plots::figures(run, &summary);
        let figure = figures.iter().find(|figure| figure.name == "in-brief");
        figure.unwrap().standalone_svg().unwrap()
    };
    let mut run = synthetic::run(&Shape {
        blocks: 1,
        sizes: vec![1_000, 10_000],
        samples: 2,
        mishaps: false,
        ..Shape::default()
    });
    assert!(!in_brief(&run).contains("nftables *"));
    for cell in &mut run.cells {
        let key = &cell.key;
        if (key.mode, key.services) == (Mode::Nftables, 10_000)
            && key.options.get(OptionKey::Chunk) == Some(ONE_TRANSACTION)
        {
            cell.outcome = Outcome::NotRun {
                why: NotRun::Budget,
            };
            cell.series.clear();
        }
    }
    assert!(in_brief(&run).contains("nftables *"));
    let page = render_html(&[(&run, &summarise(&run))]);
    assert!(page.contains("*: in several transactions."));
}

#[test]
fn all_files_are_written_whole_and_nothing_else() {
    let (run, summary) = &*PLAIN;
    let dir = tempfile::tempdir().unwrap();
    let written = write_all(dir.path(), run, summary).unwrap();
    assert_eq!(written.len(), 3 + 2 * drawn().count());
    let again: Summary =
        serde_json::from_slice(&fs::read(dir.path().join("summary.json")).unwrap()).unwrap();
    assert_eq!(&again, summary);
    let png = fs::read(dir.path().join("plots/cold-install.png")).unwrap();
    assert_eq!(&png[..8], b"\x89PNG\r\n\x1a\n");
    let names = |path: &std::path::Path| {
        fs::read_dir(path)
            .unwrap()
            .map(|e| e.unwrap().path())
            .collect::<Vec<_>>()
    };
    let mut found = names(dir.path());
    found.extend(names(&dir.path().join("plots")));
    found.retain(|path| path.is_file());
    assert_eq!(found.len(), written.len(), "{found:?}");
}

#[test]
fn a_number_that_json_cannot_hold_is_refused_before_anything_is_written() {
    let (run, mut summary) = PLAIN.clone();
    summary.cells[0].median = Some(f64::NAN);
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(
        write_all(dir.path(), &run, &summary),
        Err(WriteError::NotFinite { .. })
    ));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let (run, summary) = &*PLAIN;
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("gone");
    let error = write_all(&missing, run, summary).unwrap_err();
    assert!(error.to_string().contains("summary.json"), "{error}");
}

#[test]
fn every_run_has_its_part_of_a_page_and_its_figures_beside_the_others() {
    let (run, summary) = &*PLAIN;
    let html = render_html(&[(run, summary), (run, summary)]);
    elements(&html);
    let ids: Vec<&str> = html
        .split(" id=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect();
    let mut distinct = ids.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(ids.len(), distinct.len(), "an identifier is given once");
    for link in html
        .split(" href=\"#")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
    {
        assert!(ids.contains(&link), "#{link} leads somewhere");
    }
    for needed in [
        "2 runs",
        "run 1, host",
        "run 2, host",
        "run-2-chart-updates",
        "Runs side by side",
    ] {
        assert!(html.contains(needed), "{needed}");
    }
}

#[test]
fn variants_of_a_run_stand_side_by_side_and_none_is_dropped() {
    let (mut run, _) = PLAIN.clone();
    let mut head: Vec<schema::CellRecord> = run.cells.clone();
    for (cells, name) in [(&mut run.cells, "base"), (&mut head, "head")] {
        for cell in cells.iter_mut().filter(|cell| cell.key.variant.is_empty()) {
            cell.key.variant = name.to_owned();
        }
    }
    head.retain(|cell| cell.key.variant == "head");
    let stays = run.cells.len() as u32;
    head.iter_mut().for_each(|cell| cell.stay += stays);
    run.cells.append(&mut head);
    let summary = summarise(&run);
    let html = render_html(&[(&run, &summary)]);
    elements(&html);
    assert!(html.contains("variant base") && html.contains("variant head"));
    let figures = plots::figures(&run, &summary);
    let named = |name: &str| figures.iter().any(|figure| figure.name == name);
    assert!(named("kernels") && named("first-packet-tcp") && named("first-packet-tcp-2"));
    assert!(summary.findings.iter().any(|f| {
        f.text
            .starts_with("host, 2 endpoints a service, variant head: ")
    }));
}

#[test]
fn a_run_without_a_number_says_so_and_why() {
    let (mut run, _) = PLAIN.clone();
    for cell in &mut run.cells {
        cell.series.clear();
        cell.outcome = schema::Outcome::Unsupported {
            reason: "this kernel lacks everything".to_owned(),
            remedy: None,
        };
    }
    let summary = summarise(&run);
    let html = render_html(&[(&run, &summary)]);
    elements(&html);
    let at = html.find("Nothing was measured").expect("it is said");
    assert!(html[at..at + 300].contains("this kernel lacks everything"));
    assert!(render_markdown(&[(&run, &summary)]).contains("Nothing was measured"));
    run.cells.clear();
    let summary = summarise(&run);
    assert!(render_html(&[(&run, &summary)]).contains("the results hold no cell at all"));
}

#[test]
fn a_comment_on_a_pull_request_is_never_too_long_and_says_where_it_was_cut() {
    let (mut run, summary) = made(&"w".repeat(10_000));
    let text = render_markdown(&[(&run, &summary)]);
    assert!(
        text.chars().count() <= reports::write::markdown::LONGEST,
        "{}",
        text.chars().count()
    );
    let cells = run.cells.clone();
    for stride in 0..30 {
        run.cells.extend(
            cells
                .iter()
                .filter(|c| c.key.services == 10_000)
                .cloned()
                .map(|mut cell| {
                    cell.key.options.set(OptionKey::VipStride, stride);
                    cell
                }),
        );
    }
    let mut summary = summary;
    let rows = summary.cells.clone();
    for stride in 0..30 {
        summary.cells.extend(
            rows.iter()
                .filter(|r| r.key.services == 10_000)
                .cloned()
                .map(|mut row| {
                    row.key.options.set(OptionKey::VipStride, stride);
                    row
                }),
        );
    }
    let text = render_markdown(&[(&run, &summary)]);
    assert!(
        text.chars().count() <= reports::write::markdown::LONGEST,
        "{}",
        text.chars().count()
    );
    assert!(
        text.contains("more lines are in report.html"),
        "{}",
        &text[text.len() - 400..]
    );
    assert!(text.contains("To take it again"), "the last line is there");
    for runs in [3, 20] {
        let parts = vec![(&run, &summary); runs];
        let text = render_markdown(&parts);
        assert!(
            text.chars().count() <= reports::write::markdown::LONGEST,
            "{runs} runs"
        );
    }
}

#[test]
fn names_of_any_length_leave_a_picture_a_picture() {
    let (run, summary) = made(&"w".repeat(10_000));
    for figure in plots::figures(&run, &summary) {
        let svg = figure.standalone_svg().unwrap();
        let tall: u32 = svg
            .split("height=\"")
            .nth(1)
            .and_then(|rest| rest.split('"').next())
            .unwrap()
            .parse()
            .unwrap();
        assert!(tall < 6_000, "{}: {tall} high", figure.name);
    }
}

#[test]
fn linear_axes_show_the_same_points() {
    let (run, summary) = &*PLAIN;
    let mut seen = 0;
    for figure in plots::figures(run, summary) {
        let Some(linear) = figure.linear() else {
            continue;
        };
        seen += 1;
        let marks = |svg: &str| svg.matches("class=\"p\"").count();
        let (log, flat) = (figure.inline_svg().unwrap(), linear.inline_svg().unwrap());
        assert!(
            log.contains("log scale") && !flat.contains("log scale"),
            "{}",
            figure.name
        );
        // Crosses of gaps stand on both.
        assert_eq!(marks(&log), marks(&flat), "{}", figure.name);
    }
    assert!(seen > 8, "{seen}");
}

#[test]
fn a_page_says_where_seconds_are_not_what_they_seem() {
    let (run, summary) = &*PLAIN;
    let told = |accelerator: schema::Accelerator| {
        let mut summary = summary.clone();
        let environments = summary.environments.values_mut();
        environments.for_each(|facts| facts.accel = accelerator);
        let html = render_html(&[(run, &summary)]);
        ["Translated processor.", "Instructions, not time."].map(|words| html.contains(words))
    };
    assert_eq!(told(schema::Accelerator::None), [false, false]);
    assert_eq!(told(schema::Accelerator::Kvm), [false, false]);
    assert_eq!(told(schema::Accelerator::Tcg), [true, false]);
    assert_eq!(told(schema::Accelerator::TcgIcount), [false, true]);
    // Of one environment beside others it is said of that one; and who counts is not asked for an A/A pair.
    let mut summary = summary.clone();
    summary.noise = None;
    let counted = schema::Environment {
        accel: schema::Accelerator::TcgIcount,
        ..summary.environments.values().next().unwrap().clone()
    };
    let both = {
        let mut both = summary.clone();
        both.environments
            .insert("counted".to_owned(), counted.clone());
        render_html(&[(run, &both)])
    };
    assert!(
        both.contains("Instructions, not time in counted. ") && both.contains("Noise unknown.")
    );
    summary
        .environments
        .values_mut()
        .for_each(|facts| facts.accel = counted.accel);
    assert!(!render_html(&[(run, &summary)]).contains("Noise unknown."));
}

#[test]
fn an_environment_without_any_number_is_a_sentence_and_no_table_of_nothing() {
    let shape = Shape {
        blocks: 2,
        sizes: vec![100, 300],
        samples: 5,
        ..Shape::default()
    };
    let mut run = synthetic::run_on(&shape, &["6.1", "6.12"]);
    let page = |run: &Run| render_html(&[(run, &summarise(run))]);
    let tables = page(&run).matches("Which mode, at ").count();
    for cell in &mut run.cells {
        if cell.key.environment == "guest-6.12" {
            cell.series.clear();
            cell.outcome = schema::Outcome::NotRun {
                why: schema::NotRun::Interrupted,
            };
        }
    }
    let html = page(&run);
    assert!(html.contains("Nothing was measured on guest-6.12, 2 endpoints a service. "));
    assert!(html.contains("not-run: interrupted ("));
    assert_eq!((tables, html.matches("Which mode, at ").count()), (2, 1));
}

#[test]
fn a_mail_keeps_to_its_columns_and_bytes_and_holds_the_five_sentences() {
    let many = |sizes: Vec<u32>, blocks| Shape {
        blocks,
        sizes,
        samples: 6,
        ..Shape::default()
    };
    for shape in [many(vec![100, 1_000], 6), many(vec![100], 1)] {
        let run = synthetic::run(&shape);
        let summary = summarise(&run);
        let text = render_text(&run, &summary);
        assert!(text.len() < 100_000, "{}", text.len());
        // The command line stays whole.
        for line in text.lines().filter(|line| !line.contains("--seed")) {
            assert!(line.chars().count() <= 75, "{line}");
        }
        assert!(text.contains("What cannot be said here:"), "{text}");
        assert_eq!(text.contains("takes least"), shape.blocks >= 6);
        assert!(text.contains(&run.header.revision) && text.contains("To take it again:\n  "));
    }
}
