//! `compare` as a CI job sees it: exit codes and their precedence, formats, bad input. Results are made, not
//! measured: nothing here needs root.
#![allow(missing_docs, reason = "tests are sentences")]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod runner;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use reports::{Run, gate};
use runner::{command, text, valid};
use schema::{CellKey, Mode, Outcome, ScenarioKind, Stage};
use serde_json::Value;
use synthetic::Sides;

/// A directory with results in it.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn run(&self, name: &str, run: &Run) -> String {
        self.write(name, &synthetic::lines(run).unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

fn sides() -> Sides {
    Sides {
        modes: vec![Mode::None, Mode::Nftables],
        blocks: 8,
        samples: 10,
        updates: true,
        ..Sides::default()
    }
}

fn doubled() -> [Run; 2] {
    Sides {
        effect: 2.0,
        affects: |key| key.mode == Mode::Nftables,
        ..sides()
    }
    .in_two_runs()
}

fn with_outcome(mut run: Run, outcome: &Outcome, of: impl Fn(&CellKey, u32) -> bool) -> Run {
    for cell in run
        .cells
        .iter_mut()
        .filter(|cell| of(&cell.key, cell.block))
    {
        cell.outcome = outcome.clone();
        cell.series.clear();
    }
    run
}

fn failed() -> Outcome {
    Outcome::Failed {
        stage: Stage::Proof,
        reason: "1 difference".to_owned(),
    }
}

fn is_add(key: &CellKey) -> bool {
    key.scenario == ScenarioKind::ServiceAdd
}

fn other_kernel(mut run: Run) -> Run {
    run.header.environments.get_mut("host").unwrap().kernel = "6.19.1".to_owned();
    run
}

#[track_caller]
fn ends(words: &[&str], code: i32) -> Output {
    let output = runner::output(words);
    let said = text(&output.stderr) + &text(&output.stdout);
    assert_eq!(output.status.code(), Some(code), "{words:?}: {said}");
    output
}

/// Refused, with that one line and no other.
#[track_caller]
fn refuses(words: &[&str], code: i32, says: &str) {
    let output = runner::output(words);
    let why = runner::refused(&output, code);
    assert_eq!(text(&output.stderr).trim_end(), why, "{words:?}");
    assert!(why.contains(says), "{why}\ninstead of {says}");
}

#[test]
fn each_exit_code_has_its_case() {
    let files = Files::new();
    let [base, new] = sides().in_two_runs();
    let [_, worse] = doubled();
    let base_path = files.run("base", &base);
    ends(&["compare", &base_path, &base_path], 0);
    ends(&["compare", &base_path, &files.run("new", &new)], 0);
    let one_failed = files.run(
        "one-failed",
        &with_outcome(new.clone(), &failed(), |key, block| {
            is_add(key) && block == 0
        }),
    );
    ends(&["compare", &base_path, &one_failed], 1);
    ends(&["compare", &base_path, &files.run("worse", &worse)], 3);
    let missing = files.run(
        "missing",
        &with_outcome(new.clone(), &failed(), |key, _| is_add(key)),
    );
    ends(&["compare", &base_path, &missing], 3);
    let timed_out = Outcome::TimedOut { after_ns: Some(1) };
    ends(
        &[
            "compare",
            &base_path,
            &files.run(
                "late",
                &with_outcome(new.clone(), &timed_out, |key, _| is_add(key)),
            ),
        ],
        3,
    );
    refuses(
        &[
            "compare",
            &base_path,
            &files.run("kernel", &other_kernel(new)),
        ],
        4,
        "--across kernel",
    );
    refuses(
        &[
            "compare",
            &base_path,
            files.path("absent").to_str().unwrap(),
        ],
        2,
        "no results there",
    );
}

#[test]
fn a_stay_that_timed_out_fails_nothing_and_is_seen_with_its_reason_in_every_format_for_people() {
    let files = Files::new();
    let [base, new] = sides().in_two_runs();
    let timed_out = Outcome::TimedOut { after_ns: Some(1) };
    let new = with_outcome(new, &timed_out, |key, block| is_add(key) && block == 0);
    let (base, new) = (files.run("base", &base), files.run("new", &new));
    for format in ["text", "markdown", "junit", "github"] {
        let output = ends(&["compare", &base, &new, "--format", format], 0);
        let said = text(&output.stdout);
        assert!(said.contains("1 timed-out cell"), "{format}: {said}");
        // An annotation counts cells, the step's summary is the Markdown.
        let reason = said.contains("timed out in 1 of 8 stays");
        assert_eq!(reason, format != "github", "{format}: {said}");
    }
}

#[test]
fn an_improvement_never_fails() {
    let files = Files::new();
    let [base, worse] = doubled();
    let (base, worse) = (files.run("base", &base), files.run("worse", &worse));
    ends(&["compare", &base, &worse], 3);
    let output = ends(&["compare", &worse, &base], 0);
    assert!(text(&output.stdout).contains("improved"));
}

#[test]
fn two_goes_before_four_before_three_before_one() {
    let files = Files::new();
    let [base, worse] = doubled();
    let base_path = files.run("base", &base);
    // 3 before 1: worse, and a stay failed.
    let both = with_outcome(worse, &failed(), |key, block| is_add(key) && block == 0);
    ends(&["compare", &base_path, &files.run("both", &both)], 3);
    // 4 before 3: the same in another environment, and where nothing is comparable though all is missing.
    let elsewhere = files.run("elsewhere", &other_kernel(both.clone()));
    ends(&["compare", &base_path, &elsewhere], 4);
    let nothing = files.run("nothing", &with_outcome(both, &failed(), |_, _| true));
    refuses(
        &["compare", &base_path, &nothing],
        4,
        "no cell was measured on both sides",
    );
    // 2 before 4: the same with a gate that cannot be read.
    let gate = files.write("gate.toml", "[metrics.latency]\n");
    refuses(
        &["compare", &base_path, &elsewhere, "--gate", &gate],
        2,
        "metrics.latency: missing field",
    );
    // Asked across, it is judged.
    ends(
        &["compare", &base_path, &elsewhere, "--across", "kernel"],
        3,
    );
}

#[test]
fn variants_of_one_run_are_compared_side_by_side() {
    let files = Files::new();
    let same = files.run("same", &sides().in_one_run());
    let output = ends(&["compare", &same], 0);
    assert!(text(&output.stdout).contains("blocks of one run"));
    let worse = Sides {
        effect: 2.0,
        ..sides()
    }
    .in_one_run();
    ends(&["compare", &files.run("worse", &worse)], 3);
    let [alone, _] = sides().in_two_runs();
    refuses(&["compare", &files.run("alone", &alone)], 2, "no variants");
}

#[test]
fn a_regression_is_one_though_nobody_reads_it() {
    let files = Files::new();
    let [base, worse] = doubled();
    let (base, worse) = (files.run("base", &base), files.run("worse", &worse));
    let unread = |new: &str| {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let mut command = command(["compare", &base, new, "--format", "csv"]);
        let status = command.stdout(full).stderr(Stdio::null()).status();
        status.unwrap().code()
    };
    assert_eq!(unread(&worse), Some(3));
    assert_eq!(
        unread(&base),
        Some(1),
        "what could not be written did not pass"
    );
}

#[test]
fn bad_results_are_refused_in_one_line() {
    let files = Files::new();
    let [base, _] = sides().in_two_runs();
    let whole = synthetic::lines(&base).unwrap();
    let good = files.write("good", &whole);
    let broken = [
        ("empty", String::new(), "empty"),
        (
            "foreign",
            "{\"hello\":1}\n".to_owned(),
            "not a bench-runner header",
        ),
        (
            "newer",
            whole.replacen(
                &format!("\"schema_version\":{}", schema::SCHEMA_VERSION),
                "\"schema_version\":999",
                1,
            ),
            "newer",
        ),
        (
            "damaged",
            whole.replacen("\n{\"record\":\"cell\"", "\n{\"record\":\"c", 1),
            "line 2",
        ),
        (
            "headless",
            whole.split_once('\n').unwrap().1.to_owned(),
            "not a bench-runner header",
        ),
    ];
    for (name, text, says) in &broken {
        let path = files.write(name, text);
        refuses(&["compare", &path, &good], 2, says);
        refuses(&["compare", &good, &path], 2, says);
        refuses(&["compare", &path], 2, says);
    }
    // Cut off in its last line: that line is dropped with a warning, the rest counts.
    let torn = files.write("torn", &whole[..whole.len() - 30]);
    let output = ends(&["compare", &good, &torn], 0);
    assert!(text(&output.stderr).contains("cut off"));
    // Cut off after a few cells: what is lost is missing.
    let half: String = whole
        .lines()
        .take(5)
        .map(|line| line.to_owned() + "\n")
        .collect();
    ends(&["compare", &good, &files.write("half", &half)], 3);
}

#[test]
fn bad_options_are_refused_in_one_line() {
    let files = Files::new();
    let [base, _] = sides().in_two_runs();
    let good = files.run("good", &base);
    refuses(
        &["compare", &good, &good, "--across", "kernle"],
        2,
        "known: kernel, tools, sysctls",
    );
    refuses(
        &["compare", &good, &good, "--format", "pdf"],
        2,
        "possible values",
    );
    refuses(
        &["compare", &good, &good, "--gate", "/nowhere/gate.toml"],
        2,
        "leave --gate out",
    );
    let unknown = gate::DEFAULT_GATE.replacen("metrics.latency", "metrics.latenzy", 1);
    refuses(
        &[
            "compare",
            &good,
            &good,
            "--gate",
            &files.write("a.toml", &unknown),
        ],
        2,
        "no metric 'latenzy'; did you mean 'latency'?",
    );
    let bare = "[metrics.latency]\nrelative = 0.05\nabsolute = \"1 µs\"\np = 0.01\n";
    refuses(
        &[
            "compare",
            &good,
            &good,
            "--gate",
            &files.write("b.toml", bare),
        ],
        2,
        "metrics.latency: missing field `reason`",
    );
    refuses(&["compare"], 2, "BASE");
}

#[test]
fn json_keeps_its_schema_and_says_what_the_exit_code_says() {
    let files = Files::new();
    let [base, worse] = doubled();
    let (base, worse) = (files.run("base", &base), files.run("worse", &worse));
    for (new, conclusion, code) in [(&worse, "regressed", 3), (&base, "passed", 0)] {
        let output = ends(&["compare", &base, new, "--format", "json"], code);
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(json["conclusion"], conclusion);
        assert_eq!(
            json["cells"].as_array().unwrap().len(),
            19,
            "8 + 8 cells of latency, 3 metrics of an update"
        );
        valid("comparison", &[json]);
    }
}

#[test]
fn trackers_get_a_name_and_a_value_for_each_cell() {
    let files = Files::new();
    let [base, new] = sides().in_two_runs();
    let (base, new) = (files.run("base", &base), files.run("new", &new));
    let read = |format: &str| -> Value {
        serde_json::from_slice(&ends(&["compare", &base, &new, "--format", format], 0).stdout)
            .unwrap()
    };
    let bencher = read("bencher");
    assert_eq!(bencher.as_object().unwrap().len(), 17);
    for measures in bencher.as_object().unwrap().values() {
        for measure in measures.as_object().unwrap().values() {
            assert!(measure["value"].as_f64().unwrap() > 0.0);
            assert!(
                measure["lower_value"].as_f64().unwrap()
                    <= measure["upper_value"].as_f64().unwrap()
            );
        }
    }
    let action = read("benchmark-action");
    assert_eq!(action.as_array().unwrap().len(), 19);
    for entry in action.as_array().unwrap() {
        assert!(
            entry["name"].is_string() && entry["unit"].is_string() && entry["value"].is_number()
        );
    }
}

#[test]
fn github_gets_annotations_and_a_summary_of_the_step() {
    let files = Files::new();
    let worse = Sides {
        effect: 2.0,
        ..sides()
    }
    .in_one_run();
    let summary = files.path("summary.md");
    std::fs::write(&summary, "before\n").unwrap();
    let worse = files.run("worse", &worse);
    let output = command(["compare", &worse, "--format", "github"])
        .env("GITHUB_STEP_SUMMARY", &summary)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
    let text = String::from_utf8(output.stdout).unwrap();
    let errors: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("::error title="))
        .collect();
    assert_eq!(errors.len(), 10, "a step shows no more: {text}");
    assert!(errors[9].contains("more of this kind"), "{}", errors[9]);
    assert!(
        errors[0].contains("first-packet latency") && errors[0].contains('%'),
        "{}",
        errors[0]
    );
    let written = std::fs::read_to_string(&summary).unwrap();
    assert!(
        written.starts_with("before\n### ❌ bench-runner compare: regressed"),
        "{written}"
    );
    assert!(written.contains("| cell | metric |"));
}

#[test]
fn csv_has_as_many_fields_in_each_line_as_in_its_head() {
    let files = Files::new();
    let [base, worse] = doubled();
    let output = ends(
        &[
            "compare",
            &files.run("base", &base),
            &files.run("worse", &worse),
            "--format",
            "csv",
        ],
        3,
    );
    let text = String::from_utf8(output.stdout).unwrap();
    // No field of these has a comma in it besides the quoted ones.
    let fields = |line: &str| {
        let mut quoted = false;
        1 + line
            .chars()
            .filter(|c| {
                quoted ^= *c == '"';
                *c == ',' && !quoted
            })
            .count()
    };
    let head = fields(text.lines().next().unwrap());
    assert!(text.lines().count() > 19 && head == 31, "{head}");
    assert!(text.lines().all(|line| fields(line) == head), "{text}");
}

#[test]
fn the_default_gate_can_be_printed_changed_and_given_back() {
    let files = Files::new();
    let gate = String::from_utf8(ends(&["list", "gate"], 0).stdout).unwrap();
    let [base, worse] = doubled();
    let (base, worse) = (files.run("base", &base), files.run("worse", &worse));
    let lax = gate.replace("relative = 0.05", "relative = 9.0");
    assert_ne!(gate, lax);
    ends(
        &[
            "compare",
            &base,
            &worse,
            "--gate",
            &files.write("same.toml", &gate),
        ],
        3,
    );
    ends(
        &[
            "compare",
            &base,
            &worse,
            "--gate",
            &files.write("lax.toml", &lax),
        ],
        0,
    );
    assert!(Path::new(&base).exists());
}
