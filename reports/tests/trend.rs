//! Histories: where series change, what is no regression, and the file that keeps them.
#![allow(missing_docs, reason = "tests are sentences")]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::path::Path;

use reports::Run;
use reports::compare::{Across, Digest, Question, compare};
use reports::gate::Gate;
use reports::trend::format::Format;
use reports::trend::{History, KEPT, LARGEST, TrendQuestion, trend};
use schema::comparison::{Conclusion, Verdict};
use schema::trend::{ChangePoint, Trend, TrendSeries};
use schema::{Accelerator, Metric, Mode, OptionKey, SandboxKind, ScenarioKind, Unit};
use synthetic::Sides;

/// The run of a night, of its own noise.
fn night(number: usize, change: impl Fn(&mut Run)) -> Run {
    let sides = Sides {
        seed: 100 + number as u64,
        modes: vec![Mode::None, Mode::Nftables],
        blocks: 3,
        samples: 5,
        stay_noise: 0.05,
        disturbed: 0.0,
        updates: true,
        ..Sides::default()
    };
    let [mut run, _] = sides.in_two_runs();
    run.header.started = format!(
        "2026-{:02}-{:02}T02:00:00Z",
        1 + number / 28,
        1 + number % 28
    );
    change(&mut run);
    run
}

/// Multiplies what mode nftables has of a metric.
fn times(run: &mut Run, metric: Metric, factor: f64) {
    let cells = run
        .cells
        .iter_mut()
        .filter(|cell| cell.key.mode == Mode::Nftables);
    let series = cells.flat_map(|cell| &mut cell.series);
    for one in series.filter(|one| one.metric == metric) {
        one.values.iter_mut().for_each(|value| *value *= factor);
    }
}

fn history(nights: usize, change: impl Fn(usize, &mut Run)) -> History {
    let mut history = History::default();
    for number in 0..nights {
        let run = night(number, |run| change(number, run));
        history.add_run(&Digest::of(&run, &format!("night-{number}")).unwrap());
    }
    history
}

fn asked(history: &History, across: &[&str], since: Option<usize>) -> Trend {
    let question = TrendQuestion {
        gate: Gate::shipped(),
        across: across.iter().map(|key| key.parse().unwrap()).collect(),
        since,
    };
    trend(history, &question)
}

fn points(trend: &Trend, verdict: Verdict) -> Vec<(&TrendSeries, &ChangePoint)> {
    let all = trend.series.iter();
    all.flat_map(|one| one.points.iter().map(move |point| (one, point)))
        .filter(|(_, point)| point.verdict == verdict)
        .collect()
}

fn slower_from(from: usize) -> impl Fn(usize, &mut Run) {
    move |number, run| {
        if number >= from {
            times(run, Metric::Latency, 1.5);
        }
    }
}

#[test]
fn a_step_is_a_regression_of_that_mode_and_new_since_the_run_before_it() {
    let history = history(30, slower_from(18));
    let found = asked(&history, &[], Some(16));
    let regressed = points(&found, Verdict::Regressed);
    assert_eq!(regressed.len(), 8, "one a position and protocol");
    for (series, point) in regressed {
        assert_eq!(
            (series.key.mode, series.metric),
            (Mode::Nftables, Metric::Latency)
        );
        assert!(point.at.abs_diff(18) <= 3, "{}: {}", series.key, point.at);
        assert!(
            (point.relative.unwrap() - 0.5).abs() < 0.2,
            "{:?}",
            point.relative
        );
        assert!(point.new && point.p_adjusted.unwrap() <= 0.01);
    }
    assert_eq!(found.regressions, 8);
    assert_eq!(points(&found, Verdict::Improved), []);
    assert_eq!(asked(&history, &[], Some(25)).regressions, 0, "it is older");
    assert_eq!(
        asked(&history, &[], None).regressions,
        0,
        "nobody asked since when"
    );
}

#[test]
fn what_came_with_another_kernel_is_shown_as_that_and_is_no_regression_unless_it_is_the_question() {
    let history = history(30, |number, run| {
        slower_from(18)(number, run);
        if number >= 18 {
            for facts in run.header.environments.values_mut() {
                "6.19.1".clone_into(&mut facts.kernel);
            }
        }
    });
    let found = asked(&history, &[], Some(0));
    assert_eq!(points(&found, Verdict::Regressed), []);
    let [change] = &found.environments[..] else {
        panic!("{:?}", found.environments)
    };
    let facts = &change.differences[0];
    assert_eq!(
        (change.at, facts.fact.as_str(), facts.new.as_str()),
        (18, "kernel", "6.19.1")
    );
    assert!(found.series.iter().all(|one| one.stretches == [0, 18]));
    let asked = asked(&history, &["kernel"], Some(0));
    assert_eq!(points(&asked, Verdict::Regressed).len(), 8);
    assert_eq!(asked.environments, []);
}

#[test]
fn tools_and_bench_runner_and_kube_proxy_are_shown_as_that_too() {
    type Changes = fn(&mut Run);
    let changed: [(&str, Changes); 3] = [
        ("tools nft", |run| {
            for facts in run.header.environments.values_mut() {
                facts.tools.insert("nft".to_owned(), "9.9".to_owned());
            }
        }),
        ("bench-runner", |run| {
            "another".clone_into(&mut run.header.revision)
        }),
        ("kube_proxy", |run| {
            for cell in &mut run.cells {
                cell.key.options.set(OptionKey::KubeProxy, "1.38");
            }
        }),
    ];
    for (fact, change) in changed {
        let history = history(24, |number, run| {
            for cell in &mut run.cells {
                cell.key.options.set(OptionKey::KubeProxy, "1.37");
            }
            if number >= 12 {
                times(run, Metric::Latency, 1.5);
                change(run);
            }
        });
        let found = asked(&history, &[], Some(0));
        assert_eq!(points(&found, Verdict::Regressed), [], "{fact}");
        let facts: Vec<&str> = found
            .environments
            .iter()
            .flat_map(|change| &change.differences)
            .map(|difference| difference.fact.as_str())
            .collect();
        assert_eq!(facts, [fact]);
        assert_eq!(found.environments[0].at, 12);
        let series = found
            .series
            .iter()
            .filter(|one| one.key.mode == Mode::Nftables);
        assert!(series.clone().count() > 8);
        assert!(
            series
                .clone()
                .all(|one| one.values.iter().all(Option::is_some)),
            "{fact} cuts series"
        );
    }
}

#[test]
fn of_what_is_counted_one_run_beyond_the_thresholds_is_a_change_and_within_them_none() {
    let counted = |last: f64| {
        let history = history(8, |number, run| {
            if number == 7 {
                times(run, Metric::Operations, last);
            }
        });
        asked(&history, &[], Some(6))
    };
    let found = counted(1.5);
    let [(series, point)] = points(&found, Verdict::Regressed)[..] else {
        panic!("{:?}", points(&found, Verdict::Regressed))
    };
    assert_eq!(
        (series.metric, series.test.as_str(), point.at),
        (Metric::Operations, "exact", 7)
    );
    assert!(point.new && point.p.is_none());
    assert_eq!(points(&counted(1.0), Verdict::Regressed), []);
}

#[test]
fn of_instructions_any_change_beyond_the_placebo_is_one() {
    let with = |more: f64| {
        let history = history(6, |number, run| {
            for facts in run.header.environments.values_mut() {
                facts.sandbox = SandboxKind::Guest;
                facts.accel = Accelerator::TcgIcount;
            }
            run.cells
                .retain(|cell| cell.key.scenario == ScenarioKind::FirstPacket);
            for one in run.cells.iter_mut().flat_map(|cell| &mut cell.series) {
                one.unit = Unit::Instructions;
                let more = if number >= 4 { more } else { 0.0 };
                one.values
                    .iter_mut()
                    .for_each(|value| *value = 50_000.0 + more);
            }
        });
        asked(&history, &[], Some(3))
    };
    // The default gate: 150 instructions and 0.05 %.
    assert_eq!(with(140.0).regressions, 0);
    let found = with(160.0);
    assert_eq!(found.regressions as usize, found.series.len());
    assert!(
        points(&found, Verdict::Regressed)
            .iter()
            .all(|(_, point)| point.at == 4)
    );
}

#[test]
fn what_was_constant_so_far_has_changed_when_it_does() {
    let history = history(12, |number, run| {
        for one in run.cells.iter_mut().flat_map(|cell| &mut cell.series) {
            if one.metric == Metric::UpdateTime {
                let value = if number >= 11 { 2e7 } else { 1e7 };
                one.values.iter_mut().for_each(|own| *own = value);
            }
        }
    });
    let found = asked(&history, &[], Some(10));
    let updates = found
        .series
        .iter()
        .filter(|one| one.metric == Metric::UpdateTime);
    assert!(updates.clone().count() > 0);
    for series in updates {
        assert_eq!(series.test, "exact");
        assert_eq!(series.points.len(), 1);
        assert!(series.points[0].new);
    }
}

#[test]
fn a_few_runs_show_no_change_and_nothing_is_left_out_silently() {
    let history = history(4, slower_from(2));
    let found = asked(&history, &[], Some(0));
    assert_eq!(points(&found, Verdict::Regressed), []);
    assert_eq!(found.runs.len(), 4);
}

#[test]
fn a_history_in_a_file_is_the_history_and_a_run_counts_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("history.jsonl");
    let mut whole = history(30, slower_from(18));
    assert_eq!(whole.write(&file).unwrap(), 30);
    let mut read = History::default();
    read.add(&file).unwrap();
    let (one, other) = (asked(&whole, &[], Some(9)), asked(&read, &[], Some(9)));
    assert_eq!(one, other);
    whole.add(&file).unwrap();
    assert_eq!(whole.len(), 30);
    let again = Digest::of(&night(7, |_| ()), "again").unwrap();
    whole.add_run(&again);
    assert_eq!(whole.len(), 30);
    assert_eq!(whole.place("2026-01-05").unwrap(), 4);
    assert_eq!(whole.place("2026-01-05T03:00:00Z").unwrap(), 4);
    assert_eq!(
        whole.place("2025").unwrap(),
        0,
        "nothing changes before the first"
    );
    assert!(whole.place("yesterday").is_err());
}

#[test]
fn a_file_has_so_many_runs_and_bytes_at_most_and_the_newest_stay() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("history.jsonl");
    let mut many = History::default();
    let one = night(0, |run| run.cells.truncate(8));
    for number in 0..KEPT + 20 {
        let mut run = one.clone();
        run.header.started = format!("2026-01-01T{:02}:{:02}:00Z", number / 60, number % 60);
        many.add_run(&Digest::of(&run, "run").unwrap());
    }
    assert_eq!(many.write(&file).unwrap(), KEPT);
    let mut read = History::default();
    read.add(&file).unwrap();
    assert_eq!(read.len(), KEPT);
    assert_eq!(read.place("2026-01-01T00:20:00Z").unwrap(), 0);
    // Environments that are all different, of a long name, are what a file may grow by.
    let mut large = History::default();
    for number in 0..40 {
        let mut run = one.clone();
        run.header.started = format!("2026-01-01T00:{number:02}:00Z");
        run.header.revision = format!("{number} {}", "x".repeat(LARGEST / 20));
        large.add_run(&Digest::of(&run, "run").unwrap());
    }
    let kept = large.write(&file).unwrap();
    let bytes = std::fs::metadata(&file).unwrap().len() as usize;
    assert!(
        (10..40).contains(&kept) && bytes <= LARGEST,
        "{kept} runs, {bytes} bytes"
    );
}

#[track_caller]
fn refuses(text: &str, why: &str) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("history.jsonl");
    std::fs::write(&file, text).unwrap();
    let error = History::default().add(&file).unwrap_err().to_string();
    assert!(error.contains(why), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
}

#[test]
fn histories_of_other_schemas_and_damaged_ones_are_refused_in_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("history.jsonl");
    history(3, |_, _| ()).write(&file).unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    refuses(
        &text.replacen("\"history_version\":1", "\"history_version\":2", 1),
        "history version 2",
    );
    refuses(
        &text.replacen("\"history_version\":1", "\"version\":1", 1),
        "no history_version",
    );
    refuses(
        &text.replacen("\"schema_version\":2", "\"schema_version\":3", 1),
        "schema version 3",
    );
    refuses(
        &text.replacen("\"values\":[", "\"values\":[1,", 1),
        "another number of values",
    );
    refuses(
        &text.replacen("\"mode\":\"none\"", "\"mode\":\"nonesuch\"", 1),
        "nonesuch",
    );
    refuses(&text[..text.len() - 20], "damaged");
    refuses(&(text.clone() + "{}\n"), "damaged");
    refuses("{}\n", "line 1");
}

#[test]
fn a_folder_of_runs_is_a_history_and_a_run_that_recorded_nothing_is_said_to_be_left_out() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..3 {
        let run = folder.path().join(format!("run-{number}"));
        std::fs::create_dir(&run).unwrap();
        let lines = synthetic::lines(&night(number, |_| ())).unwrap();
        std::fs::write(run.join("results.jsonl"), lines).unwrap();
    }
    std::fs::create_dir(folder.path().join("empty")).unwrap();
    std::fs::write(folder.path().join("empty/results.jsonl"), "").unwrap();
    let mut history = History::default();
    history.add(folder.path()).unwrap();
    assert_eq!(history.len(), 3);
    assert_eq!(history.warnings.len(), 1, "{:?}", history.warnings);
    assert!(
        history.warnings[0].contains("recorded anything"),
        "{:?}",
        history.warnings
    );
    let path = folder.path().join("run-1");
    assert_eq!(history.place(path.to_str().unwrap()).unwrap(), 1);
    assert!(History::default().add(Path::new("/nowhere")).is_err());
}

#[test]
fn a_run_is_held_against_the_last_runs_of_its_history() {
    let question = || Question {
        gate: Gate::shipped(),
        across: Vec::new(),
    };
    let past = history(14, |_, _| ());
    let side = |new: &Run, last| {
        let new = Digest::of(new, "new").unwrap();
        (past.side_for(&new, last, &[]).unwrap(), new)
    };
    let same = night(20, |_| ());
    let (base, new) = side(&same, 12);
    let found = compare(&base, Some(&new), &question()).unwrap();
    assert_eq!(found.conclusion, Conclusion::Passed, "{:?}", found.notes);
    assert!(
        found
            .cells
            .iter()
            .all(|row| row.base.as_ref().is_some_and(|base| base.stays == 12))
    );
    let (base, new) = side(&night(20, |run| times(run, Metric::Latency, 2.0)), 12);
    let found = compare(&base, Some(&new), &question()).unwrap();
    assert_eq!(found.conclusion, Conclusion::Regressed);
    // The last runs are those after the kernel changed.
    let changed = history(14, |number, run| {
        if number >= 9 {
            run.header
                .environments
                .values_mut()
                .for_each(|facts| "6.19.1".clone_into(&mut facts.kernel));
        }
    });
    let new = Digest::of(&night(20, |_| ()), "new").unwrap();
    let base = changed.side_for(&new, 12, &[]).unwrap();
    let error = compare(&base, Some(&new), &question())
        .unwrap_err()
        .to_string();
    assert!(error.contains("kernel was \"6.19.1\""), "{error}");
    let across: Vec<Across> = vec!["kernel".parse().unwrap()];
    let base = changed.side_for(&new, 12, &across).unwrap();
    let asked = Question {
        gate: Gate::shipped(),
        across,
    };
    let found = compare(&base, Some(&new), &asked).unwrap();
    assert!(
        found
            .cells
            .iter()
            .all(|row| row.base.as_ref().is_some_and(|base| base.stays == 12))
    );
}

#[test]
fn the_run_itself_is_no_part_of_what_it_is_held_against() {
    let past = history(5, |_, _| ());
    let last = Digest::of(&night(4, |_| ()), "last").unwrap();
    let base = past.side_for(&last, 10, &[]).unwrap();
    let found = compare(
        &base,
        Some(&last),
        &Question {
            gate: Gate::shipped(),
            across: Vec::new(),
        },
    )
    .unwrap();
    assert!(found.base.run.contains("last 4 runs"), "{}", found.base.run);
}

#[test]
fn every_format_has_the_changes_and_what_changed_around() {
    let history = history(40, |number, run| {
        slower_from(20)(number, run);
        if number >= 30 {
            run.header
                .environments
                .values_mut()
                .for_each(|facts| "6.19.1".clone_into(&mut facts.kernel));
        }
    });
    let mut found = asked(&history, &[], Some(10));
    let written =
        |trend: &Trend, format: &str| Format::named(format).unwrap().render(trend).unwrap();
    let text = written(&found, "text");
    assert!(
        text.contains("regressed (8)") && text.contains("8 new regressions since"),
        "{text}"
    );
    assert!(
        text.contains("kernel was \"6.18.0\", is \"6.19.1\""),
        "{text}"
    );
    let page = written(&found, "html");
    assert!(page.matches("<figure").count() >= 8);
    assert!(page.contains("regressed, new") && page.contains("6.19.1"));
    assert!(!page.contains("could not be drawn"));
    let json: Trend = serde_json::from_str(&written(&found, "json")).unwrap();
    assert_eq!(json, found);
    found.series[0].values[0] = None;
    found.series[0].values[9] = None;
    let csv = written(&found, "csv");
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines.len(), 41);
    assert!(
        lines[0].starts_with("time,run,revision,around,none "),
        "{}",
        lines[0]
    );
    let value = |line: usize| lines[line].split(',').nth(4).unwrap();
    assert_eq!(
        (value(1), value(10)),
        (value(2), value(9)),
        "what a run lacks is filled as Otava does"
    );
    assert!(lines[31].contains("6.18.0 → 6.19.1"), "{}", lines[31]);
}
