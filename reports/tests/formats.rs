//! What other programs read: KTAP, Go benchmark text, KCIDB, OpenMetrics. That these programs do read it is
//! `scripts/verify/formats-read`; here is what they then read.
#![allow(missing_docs, reason = "tests are sentences")]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::collections::{BTreeMap, BTreeSet};

use reports::compare::format::Format;
use reports::compare::{Digest, Question, compare};
use reports::gate::Gate;
use reports::{Run, render_gobench, render_kcidb, render_openmetrics, summarise};
use schema::comparison::{Comparison, Verdict};
use schema::{Metric, Mode, Outcome, Stage};
use synthetic::Sides;

fn sides() -> Sides {
    Sides {
        modes: vec![Mode::None, Mode::Nftables],
        blocks: 8,
        samples: 10,
        updates: true,
        ..Sides::default()
    }
}

/// Two runs of which mode nftables became twice as slow.
fn doubled() -> [Run; 2] {
    Sides {
        effect: 2.0,
        affects: |key| key.mode == Mode::Nftables,
        ..sides()
    }
    .in_two_runs()
}

fn compared([base, new]: &[Run; 2]) -> Comparison {
    let question = Question {
        gate: Gate::shipped(),
        across: Vec::new(),
    };
    let (base, new) = (
        Digest::of(base, "base").unwrap(),
        Digest::of(new, "new").unwrap(),
    );
    compare(&base, Some(&new), &question).unwrap()
}

fn written(comparison: &Comparison, format: &str) -> String {
    Format::named(format).unwrap().render(comparison).unwrap()
}

fn failed(mut run: Run, reason: &str) -> Run {
    for cell in run.cells.iter_mut().filter(|cell| cell.block == 0) {
        cell.outcome = Outcome::Failed {
            stage: Stage::Proof,
            reason: reason.to_owned(),
        };
        cell.series.clear();
    }
    run
}

#[test]
fn ktap_has_a_result_for_each_row_and_not_ok_is_what_fails_a_job() {
    let comparison = compared(&doubled());
    let text = written(&comparison, "ktap");
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("KTAP version 1"));
    let rows = comparison.pooled.len() + comparison.cells.len();
    assert_eq!(lines.next().unwrap(), format!("1..{rows}"));
    let results: Vec<&str> = lines.filter(|line| !line.starts_with("# ")).collect();
    assert_eq!(results.len(), rows);
    for (number, line) in (1..).zip(&results) {
        let line = line.strip_prefix("not ").unwrap_or(line);
        assert!(line.starts_with(&format!("ok {number} ")), "{line}");
        assert!(line.matches('#').count() <= 1, "{line}");
    }
    let count = |verdict| comparison.verdicts.get(&verdict).copied().unwrap_or(0) as usize;
    let not_ok = results
        .iter()
        .filter(|line| line.starts_with("not ok "))
        .count();
    assert!(not_ok > 0);
    assert_eq!(not_ok, count(Verdict::Regressed));
    let skipped = results
        .iter()
        .filter(|line| line.contains(" # SKIP "))
        .count();
    assert_eq!(
        skipped,
        count(Verdict::Inconclusive) + count(Verdict::Incomparable)
    );
}

#[test]
fn ktap_says_of_a_failed_cell_that_it_is_an_error_and_no_reason_breaks_a_line() {
    let [base, new] = sides().in_two_runs();
    let comparison = compared(&[base, failed(new, "one\nok 1 two # SKIP three")]);
    let text = written(&comparison, "ktap");
    let errors = text.lines().filter(|line| line.contains(" # ERROR "));
    let cells: BTreeSet<_> = comparison.cells.iter().map(|row| &row.key).collect();
    assert_eq!(errors.count(), cells.len());
    let known = ["KTAP version 1", "1..", "# ", "ok ", "not ok "];
    for line in text.lines() {
        assert!(known.iter().any(|start| line.starts_with(start)), "{line}");
        assert!(!line.starts_with("ok 1 two"), "{line}");
    }
}

/// Values by benchmark and unit, under the last value of a setting.
fn benchmarks(text: &str, setting: &str) -> BTreeMap<(String, String, String), Vec<f64>> {
    let (mut found, mut under) = (BTreeMap::new(), String::new());
    for line in text.lines() {
        if let Some(value) = line.strip_prefix(&format!("{setting}: ")) {
            value.clone_into(&mut under);
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        if !line.starts_with("Benchmark") {
            continue;
        }
        assert!(words[1].parse::<u64>().unwrap() > 0, "{line}");
        for pair in words[2..].chunks(2) {
            let [value, unit] = pair else {
                panic!("{line}: a value without a unit")
            };
            let key = (under.clone(), words[0].to_owned(), (*unit).to_owned());
            let values: &mut Vec<f64> = found.entry(key).or_default();
            values.push(value.parse().unwrap());
        }
    }
    found
}

#[test]
fn benchstat_gets_a_line_a_stay_of_either_side_under_one_name() {
    let comparison = compared(&doubled());
    let text = written(&comparison, "gobench");
    let found = benchmarks(&text, "side");
    let rows = comparison.cells.iter().filter(|row| row.base.is_some());
    assert_eq!(found.len(), 2 * rows.count());
    for ((side, name, unit), values) in &found {
        assert_eq!(values.len(), 8, "{side} {name} {unit}");
        let other = if side == "base" { "new" } else { "base" };
        let key = (other.to_owned(), name.clone(), unit.clone());
        assert!(
            found.contains_key(&key),
            "{name} {unit} is on one side alone"
        );
    }
}

#[test]
fn go_benchmarks_of_a_run_are_the_medians_of_its_stays() {
    let [base, _] = sides().in_two_runs();
    let found = benchmarks(&render_gobench(&[&base]), "kernel");
    let summary = summarise(&base);
    let mut seen = 0;
    for row in &summary.cells {
        let (Some(Metric::Latency), Some(value)) = (row.metric, row.median) else {
            continue;
        };
        let position = row.key.options.get(schema::OptionKey::Position).unwrap();
        let protocol = row.key.options.get(schema::OptionKey::Protocol).unwrap();
        let mode = format!("/mode={}/", row.key.mode);
        let mine = found.iter().find(|((_, name, unit), _)| {
            let parts: Vec<&str> = name.split('/').collect();
            unit == "latency-ns"
                && name.contains(&mode)
                && parts.contains(&format!("position={position}").as_str())
                && parts.contains(&format!("protocol={protocol}").as_str())
                && name.contains("variant=") != row.key.variant.is_empty()
        });
        let (_, values) = mine.unwrap();
        assert_eq!(
            reports::statistics::median(values.iter().copied()),
            Some(value)
        );
        seen += 1;
    }
    assert!(seen >= 16, "{seen} cells");
}

#[test]
fn kcidb_has_a_done_test_with_a_number_for_what_was_measured_and_a_reason_for_the_rest() {
    let [mut run, _] = sides().in_two_runs();
    run = failed(run, "one difference");
    run.cells
        .retain(|cell| cell.block == 0 || cell.key.mode != Mode::Nftables);
    let summary = summarise(&run);
    let report = render_kcidb(&[(&run, &summary)]);
    let tests = report["tests"].as_array().unwrap();
    assert_eq!(tests.len(), summary.cells.len());
    let ids: BTreeSet<_> = tests
        .iter()
        .map(|test| test["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids.len(), tests.len());
    let (mut done, mut errors) = (0, 0);
    for (test, row) in tests.iter().zip(&summary.cells) {
        match test["status"].as_str().unwrap() {
            "DONE" => {
                done += 1;
                let [value, unit] = [&test["number"]["value"], &test["number"]["unit"]];
                if row.metric == Some(Metric::Latency) {
                    assert_eq!(unit, "s");
                    assert_eq!(value.as_f64(), row.median.map(|ns| ns / 1e9));
                }
            }
            "ERROR" => {
                errors += 1;
                assert!(test.get("number").is_none());
                assert!(test["comment"].as_str().unwrap().contains("one difference"));
            }
            other => panic!("{other}"),
        }
    }
    assert!(done > 0 && errors > 0, "{done} {errors}");
}

#[test]
fn a_run_has_the_same_names_in_kcidb_whenever_it_is_reported_and_another_run_has_others() {
    let [one, other] = sides().in_two_runs();
    let ids = |run: &Run| -> BTreeSet<String> {
        let summary = summarise(run);
        let report = render_kcidb(&[(run, &summary)]);
        let tests = report["tests"].as_array().unwrap().iter();
        tests
            .map(|test| test["id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(ids(&one), ids(&one));
    let mut other = other;
    other.cells[0].elapsed_ns += 1;
    assert!(ids(&one).is_disjoint(&ids(&other)));
}

#[test]
fn open_metrics_have_each_family_once_in_base_units_and_end() {
    let [base, new] = sides().in_two_runs();
    let (of_base, of_new) = (summarise(&base), summarise(&new));
    let text = render_openmetrics(&[(&base, &of_base), (&new, &of_new)]);
    assert!(text.ends_with("\n# EOF\n"));
    let types: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("# TYPE "))
        .collect();
    let distinct: BTreeSet<&&str> = types.iter().collect();
    assert_eq!(types.len(), distinct.len());
    let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let series: BTreeSet<&str> = samples
        .iter()
        .map(|line| line.rsplit_once(' ').unwrap().0)
        .collect();
    assert_eq!(series.len(), samples.len(), "two samples of one series");
    let latencies = samples
        .iter()
        .filter(|line| line.starts_with("bench_runner_latency_seconds{"));
    let is_latency = |row: &&schema::summary::Row| row.metric == Some(Metric::Latency);
    let rows = of_base.cells.iter().chain(&of_new.cells).filter(is_latency);
    let mut values: Vec<f64> = rows.filter_map(|row| Some(row.median? / 1e9)).collect();
    let mut shown: Vec<f64> = latencies
        .map(|line| line.rsplit_once(' ').unwrap().1.parse().unwrap())
        .collect();
    values.sort_by(f64::total_cmp);
    shown.sort_by(f64::total_cmp);
    assert_eq!(shown, values);
}

#[test]
fn a_name_with_marks_in_it_ends_no_label_and_no_benchmark() {
    let [mut run, _] = sides().in_two_runs();
    for cell in &mut run.cells {
        cell.key.variant = "a \"b\"\\\n/c 1".to_owned();
    }
    let summary = summarise(&run);
    let metrics = render_openmetrics(&[(&run, &summary)]);
    let label = "variant=\"a \\\"b\\\"\\\\\\n/c 1\"";
    assert!(metrics.lines().any(|line| line.contains(label)));
    for name in benchmarks(&render_gobench(&[&run]), "kernel").keys() {
        assert!(name.1.contains("/variant=a_\"b\"\\__c_1/"), "{}", name.1);
    }
}
