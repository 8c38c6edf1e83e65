//! `trend` and `compare --history` as a CI job sees them: exit codes, the history's file, bad input. Results are made, not
//! measured: nothing here needs root.
#![allow(missing_docs, reason = "tests are sentences")]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod runner;

use std::path::Path;

use runner::text;
use schema::{Metric, Mode};
use synthetic::Sides;

/// Nights of a folder, of which mode nftables is half as slow again from one on.
fn nights(folder: &Path, numbers: std::ops::Range<usize>, slower_from: usize) {
    for number in numbers {
        let sides = Sides {
            seed: 100 + number as u64,
            modes: vec![Mode::None, Mode::Nftables],
            blocks: 6,
            samples: 5,
            stay_noise: 0.05,
            disturbed: 0.0,
            ..Sides::default()
        };
        let [mut run, _] = sides.in_two_runs();
        run.header.started = format!("2026-03-{:02}T02:00:00Z", 1 + number);
        let slower = run
            .cells
            .iter_mut()
            .filter(|cell| cell.key.mode == Mode::Nftables);
        for one in slower
            .flat_map(|cell| &mut cell.series)
            .filter(|_| number >= slower_from)
        {
            assert_eq!(one.metric, Metric::Latency);
            one.values.iter_mut().for_each(|value| *value *= 1.5);
        }
        let run_folder = folder.join(format!("night-{number:02}"));
        std::fs::create_dir_all(&run_folder).unwrap();
        let lines = synthetic::lines(&run).unwrap();
        std::fs::write(run_folder.join("results.jsonl"), lines).unwrap();
    }
}

#[track_caller]
fn ends(words: &[&str], code: i32, says: &str) {
    let output = runner::output(words);
    let said = text(&output.stderr) + &text(&output.stdout);
    assert_eq!(output.status.code(), Some(code), "{words:?}: {said}");
    assert!(said.contains(says), "{words:?}: {said}");
}

#[track_caller]
fn refuses(words: &[&str], says: &str) {
    let why = runner::refused(&runner::output(words), 2);
    assert!(why.contains(says), "{why}");
}

#[test]
fn a_regression_since_the_run_that_is_named_ends_with_three_and_an_older_one_with_zero() {
    let folder = tempfile::tempdir().unwrap();
    let runs = folder.path().join("runs");
    nights(&runs, 0..24, 14);
    let runs = runs.to_str().unwrap();
    ends(&["trend", runs], 0, "regressed (8)");
    ends(
        &["trend", runs, "--since", &format!("{runs}/night-10")],
        3,
        "8 new regressions",
    );
    ends(
        &["trend", runs, "--since", "2026-03-20"],
        0,
        "0 new regressions",
    );
    ends(
        &["trend", runs, "--since", "2026-03-11", "--format", "json"],
        3,
        "\"new\": true",
    );
}

#[test]
fn a_history_grows_by_a_run_at_a_time_and_a_run_is_compared_with_its_last() {
    let folder = tempfile::tempdir().unwrap();
    nights(folder.path(), 0..12, 11);
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let file = path("history.jsonl");
    for number in 0..11 {
        let run = path(&format!("night-{number:02}"));
        ends(&["trend", &run, "--append", &file], 0, "series");
    }
    let lines = std::fs::read_to_string(&file).unwrap();
    assert_eq!(lines.lines().count(), 1 + 16, "a head and a line a series");
    ends(&["trend", "--append", &file], 0, "11 runs");
    ends(&["trend", &file], 0, "11 runs");
    let last = path("night-11");
    ends(
        &["compare", &last, "--history", &file],
        3,
        "the last 10 runs",
    );
    ends(
        &["compare", &last, "--history", &file, "--last", "6"],
        3,
        "the last 6 runs",
    );
    ends(
        &["compare", &path("night-10"), "--history", &file],
        0,
        "no regression",
    );
}

#[test]
fn what_is_no_history_or_no_run_of_it_is_refused_in_a_line() {
    let folder = tempfile::tempdir().unwrap();
    nights(folder.path(), 0..2, 9);
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (run, file) = (path("night-00"), path("history.jsonl"));
    refuses(&["trend"], "<RUN>");
    refuses(&["trend", "/nowhere"], "no results there");
    refuses(
        &["trend", &run, "--since", &path("night-01")],
        "not in the history",
    );
    refuses(
        &["trend", &run, "--since", "last-week"],
        "--since last-week: no run there and no time",
    );
    refuses(&["trend", &run, "--across", "weather"], "known: kernel");
    refuses(&["trend", &run, "--append", "/nowhere/history"], "--append");
    refuses(
        &["trend", "--append", &path("none.jsonl")],
        "there is no run",
    );
    ends(&["trend", &run, "--append", &file], 0, "1 run");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replacen("_version\":1", "_version\":7", 1)).unwrap();
    refuses(&["trend", &file], "history version 7");
    refuses(&["trend", &run, "--append", &file], "history version 7");
    refuses(&["compare", &run, "--history", &file], "history version 7");
    refuses(&["compare", &run, &run, "--history", &file], "--history");
    refuses(&["compare", &run, "--history", &run], "has no run but");
    assert!(
        std::fs::read_to_string(&file)
            .unwrap()
            .contains("_version\":7"),
        "it stays as it was"
    );
}
