//! What a comparison says of results that are known, and what it refuses.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use reports::Run;
use reports::compare::format::Format;
use reports::compare::{Across, CompareError, Digest, Question, compare};
use reports::gate::Gate;
use schema::comparison::{Compared, Comparison, Conclusion, Verdict};
use schema::{
    CellKey, Family, Metric, Mode, NodeKind, NotRun, OptionKey, Outcome, ScenarioKind, Stage,
};
use synthetic::{Shape, Sides};

fn question(across: &[&str]) -> Question {
    Question {
        gate: Gate::shipped(),
        across: across.iter().map(|key| key.parse().unwrap()).collect(),
    }
}

fn digest(run: &Run, name: &str) -> Digest {
    Digest::of(run, name).unwrap()
}

fn two(base: &Run, new: &Run, across: &[&str]) -> Result<Comparison, CompareError> {
    compare(
        &digest(base, "base"),
        Some(&digest(new, "new")),
        &question(across),
    )
}

fn one(run: &Run, across: &[&str]) -> Result<Comparison, CompareError> {
    compare(&digest(run, "run"), None, &question(across))
}

fn small() -> Sides {
    Sides {
        modes: vec![Mode::None, Mode::Nftables],
        blocks: 8,
        samples: 10,
        updates: true,
        ..Sides::default()
    }
}

fn written(comparison: &Comparison, format: &str) -> String {
    Format::named(format).unwrap().render(comparison).unwrap()
}

fn count(comparison: &Comparison, verdict: Verdict) -> u64 {
    comparison.verdicts.get(&verdict).copied().unwrap_or(0)
}

fn rows(comparison: &Comparison, of: impl Fn(&Compared) -> bool) -> Vec<&Compared> {
    let found: Vec<&Compared> = comparison.cells.iter().filter(|row| of(row)).collect();
    assert!(!found.is_empty());
    found
}

fn is_add(key: &CellKey) -> bool {
    key.scenario == ScenarioKind::ServiceAdd
}

#[test]
fn a_run_against_itself_is_identical_and_says_so() {
    let [base, _] = small().in_two_runs();
    let same = two(&base, &base, &[]).unwrap();
    assert!(same.identical && same.conclusion == Conclusion::Passed);
    assert_eq!(
        same.verdicts.keys().collect::<Vec<_>>(),
        [&Verdict::Unchanged]
    );
    let text = written(&same, "text");
    assert!(text.contains("identical"), "{text}");
    assert!(
        same.notes
            .iter()
            .any(|note| note.contains("one measurement"))
    );
}

#[test]
fn a_large_change_is_found_and_only_the_worse_direction_fails() {
    for (effect, verdict, conclusion) in [
        (2.0, Verdict::Regressed, Conclusion::Regressed),
        (0.5, Verdict::Improved, Conclusion::Passed),
    ] {
        let sides = Sides {
            effect,
            affects: |key| key.mode == Mode::Nftables && key.scenario == ScenarioKind::FirstPacket,
            ..small()
        };
        let [base, new] = sides.in_two_runs();
        for comparison in [
            two(&base, &new, &[]).unwrap(),
            one(&sides.in_one_run(), &[]).unwrap(),
        ] {
            assert_eq!(comparison.conclusion, conclusion);
            let hit = rows(&comparison, |row| {
                row.key.mode == Mode::Nftables && row.metric == Some(Metric::Latency)
            });
            assert_eq!(hit.len(), 8);
            assert!(hit.iter().all(|row| row.verdict == verdict), "{:?}", hit[0]);
            let rest = rows(&comparison, |row| row.key.mode == Mode::None);
            assert!(
                rest.iter().all(
                    |row| row.verdict != Verdict::Regressed && row.verdict != Verdict::Improved
                )
            );
            assert!(
                comparison
                    .pooled
                    .iter()
                    .any(|pool| pool.mode == Some(Mode::Nftables)
                        && pool.metric == Metric::Latency
                        && pool.verdict == verdict)
            );
        }
    }
}

#[test]
fn a_change_below_a_threshold_is_none_however_sure_it_is() {
    // 3 %, with next to no noise: sure, and below the 5 % of the gate.
    let quiet = Sides {
        stay_noise: 0.001,
        sample_noise: 0.001,
        disturbed: 0.0,
        wander: 0.0,
        effect: 1.03,
        ..small()
    };
    let comparison = one(&quiet.in_one_run(), &[]).unwrap();
    assert_eq!(comparison.conclusion, Conclusion::Passed);
    let latency = rows(&comparison, |row| row.metric == Some(Metric::Latency));
    assert!(latency.iter().all(|row| row.verdict == Verdict::Unchanged));
    assert!(
        latency
            .iter()
            .all(|row| row.change.as_ref().unwrap().p.unwrap() < 0.001)
    );
}

#[test]
fn two_noisy_stays_a_side_are_inconclusive_and_say_what_it_would_take() {
    let few = Sides {
        blocks: 2,
        effect: 3.0,
        affects: is_add,
        ..small()
    };
    let [base, new] = few.in_two_runs();
    let comparison = two(&base, &new, &[]).unwrap();
    let add = rows(&comparison, |row| row.metric == Some(Metric::UpdateTime));
    assert!(add.iter().all(|row| row.verdict == Verdict::Inconclusive));
    let why = add[0].reason.as_ref().unwrap();
    assert!(
        why.contains("2 and 2 stays are too few") && why.contains("a side would do"),
        "{why}"
    );
    assert_eq!(comparison.conclusion, Conclusion::Passed);
}

#[test]
fn with_too_few_stays_no_time_is_judged_and_the_last_line_says_so() {
    for (blocks, stays) in [(1, "1 stay"), (3, "3 stays")] {
        let [base, new] = Sides { blocks, ..small() }.in_two_runs();
        let comparison = two(&base, &new, &[]).unwrap();
        let text = written(&comparison, "text");
        let last = text.lines().last().unwrap();
        let says = format!("nothing timed could be judged ({stays} a side, ");
        assert!(
            last.starts_with(&says) && last.contains(" would do): "),
            "{last}"
        );
        assert!(!last.contains("no regression"), "{last}");
    }
    let [base, new] = small().in_two_runs();
    let text = written(&two(&base, &new, &[]).unwrap(), "text");
    assert!(
        text.lines().last().unwrap().starts_with("no regression"),
        "{text}"
    );
}

#[test]
fn counted_metrics_need_no_test() {
    let [base, mut new] = small().in_two_runs();
    for series in new.cells.iter_mut().flat_map(|cell| &mut cell.series) {
        if series.metric == Metric::Operations {
            series.values.iter_mut().for_each(|value| *value += 3.0);
        }
    }
    let comparison = two(&base, &new, &[]).unwrap();
    let operations = rows(&comparison, |row| row.metric == Some(Metric::Operations));
    assert!(
        operations
            .iter()
            .all(|row| row.verdict == Verdict::Regressed)
    );
    let change = operations[0].change.as_ref().unwrap();
    assert_eq!((change.test.as_str(), change.p), ("exact", None));
    assert!((change.absolute - 3.0).abs() < 1e-9);
    let bytes = rows(&comparison, |row| row.metric == Some(Metric::BytesSent));
    assert!(bytes.iter().all(|row| row.verdict == Verdict::Unchanged));
}

fn without(run: &Run, gone: impl Fn(&CellKey) -> bool) -> Run {
    let mut run = run.clone();
    run.cells.retain(|cell| !gone(&cell.key));
    run
}

fn with_outcome(run: &Run, outcome: &Outcome, of: impl Fn(&CellKey, u32) -> bool) -> Run {
    let mut run = run.clone();
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

#[test]
fn what_base_has_and_new_lacks_is_missing_and_fails_whatever_became_of_it() {
    let [base, new] = small().in_two_runs();
    let lacking = [
        without(&new, is_add),
        with_outcome(&new, &failed(), |key, _| is_add(key)),
        with_outcome(&new, &Outcome::TimedOut { after_ns: Some(1) }, |key, _| {
            is_add(key)
        }),
        with_outcome(
            &new,
            &Outcome::Unsupported {
                reason: "no nft".to_owned(),
                remedy: None,
            },
            |key, _| is_add(key),
        ),
        with_outcome(
            &new,
            &Outcome::NotRun {
                why: NotRun::Interrupted,
            },
            |key, _| is_add(key),
        ),
    ];
    for (new, said) in lacking.iter().zip([
        "does not have it",
        "failed: proof",
        "timed-out",
        "no nft",
        "interrupted",
    ]) {
        let comparison = two(&base, new, &[]).unwrap();
        assert_eq!(comparison.conclusion, Conclusion::Regressed, "{said}");
        let missing = rows(&comparison, |row| row.verdict == Verdict::Missing);
        assert!(
            missing[0].reason.as_ref().unwrap().contains(said),
            "{:?}",
            missing[0].reason
        );
        for format in ["text", "markdown", "junit", "github"] {
            let text = written(&comparison, format);
            assert!(
                text.to_lowercase().contains("missing"),
                "{format:?}: {text}"
            );
        }
    }
    // A metric that is gone from a cell that is there.
    let mut partly = new.clone();
    for cell in &mut partly.cells {
        cell.series
            .retain(|series| series.metric != Metric::UpdateTime);
    }
    assert_eq!(
        two(&base, &partly, &[]).unwrap().conclusion,
        Conclusion::Regressed
    );
    // The other way round nothing is held against NEW.
    let more = two(&without(&base, is_add), &new, &[]).unwrap();
    assert_eq!(more.conclusion, Conclusion::Passed);
    assert_eq!(count(&more, Verdict::Incomparable), 1);
}

#[test]
fn a_stay_that_failed_or_timed_out_never_passes_silently() {
    let [base, _] = small().in_two_runs();
    let one_failed = with_outcome(&base, &failed(), |key, block| is_add(key) && block == 1);
    let comparison = two(&base, &one_failed, &[]).unwrap();
    assert_eq!(comparison.conclusion, Conclusion::Failed);
    let junit = written(&comparison, "junit");
    assert!(
        junit.contains("errors=\"1\"") && junit.contains("<error "),
        "{junit}"
    );
    let one_late = with_outcome(
        &base,
        &Outcome::TimedOut { after_ns: None },
        |key, block| is_add(key) && block == 1,
    );
    let comparison = two(&base, &one_late, &[]).unwrap();
    assert!(!comparison.identical);
    let add = rows(&comparison, |row| row.metric == Some(Metric::UpdateTime));
    assert_eq!(add[0].verdict, Verdict::Inconclusive);
    assert!(
        add[0]
            .reason
            .as_ref()
            .unwrap()
            .contains("timed out in 1 of 8 stays")
    );
}

#[test]
fn other_environments_are_refused_with_what_differs_unless_that_is_the_question() {
    let [base, mut new] = small().in_two_runs();
    let facts = new.header.environments.get_mut("host").unwrap();
    facts.kernel = "6.19.1".to_owned();
    facts.tools.insert("nft".to_owned(), "1.1.0".to_owned());
    let Err(CompareError::Environments(differences)) = two(&base, &new, &[]) else {
        panic!("refused")
    };
    assert_eq!(differences.len(), 2);
    let text = two(&base, &new, &["tools"]).unwrap_err().to_string();
    assert!(
        text.contains("kernel was \"6.18.0\", is \"6.19.1\"") && text.contains("--across kernel"),
        "{text}"
    );
    assert!(!text.contains("nft") && text.lines().count() == 1, "{text}");
    let allowed = two(&base, &new, &["kernel", "tools"]).unwrap();
    assert_eq!(allowed.differences.len(), 2);
    assert_eq!(
        allowed.drift, None,
        "the floor is of another kernel: it says nothing of the machine"
    );
    let facts = new.header.environments.get_mut("host").unwrap();
    (facts.kernel, facts.clock_step_ns) = ("6.18.0".to_owned(), 99);
    facts.tools.insert("nft".to_owned(), "1.0.6".to_owned());
    facts
        .tools
        .insert("bench-runner".to_owned(), "0.1.0 (another)".to_owned());
    assert!(
        two(&base, &new, &[]).is_ok(),
        "the clock's step is measured anew, and bench-runner's own revision is a note"
    );
}

#[test]
fn that_rules_name_counters_on_one_side_alone_is_a_note() {
    let noted = |base: Option<&str>, new: Option<&str>| {
        let mut runs = small().in_two_runs();
        for (run, said) in runs.iter_mut().zip([base, new]) {
            for cell in &mut run.cells {
                let fact = said.map(|said| ("nfacct".to_owned(), said.to_owned()));
                cell.facts.extend(fact);
            }
        }
        let notes = two(&runs[0], &runs[1], &[]).unwrap().notes;
        notes
            .into_iter()
            .find(|note| note.contains("nfnetlink_acct"))
    };
    for (base, new, with) in [
        (Some("on"), Some("off"), "in BASE, not in NEW"),
        (Some("off"), Some("on"), "in NEW, not in BASE"),
        (None, Some("on"), "in NEW, not in BASE"),
    ] {
        assert!(noted(base, new).unwrap().contains(with), "{base:?} {new:?}");
    }
    for same in [(Some("on"), Some("on")), (None, Some("off")), (None, None)] {
        assert_eq!(noted(same.0, same.1), None);
    }
}

#[test]
fn keys_that_are_unknown_or_do_not_fit_are_usage_errors() {
    let error = "kernle".parse::<Across>().unwrap_err();
    assert!(
        error.contains("kernel, tools") && error.contains("services"),
        "{error}"
    );
    let sides = Sides {
        sizes: vec![100, 1_000],
        ..small()
    };
    let [base, new] = sides.in_two_runs();
    let text = two(&base, &new, &["services"]).unwrap_err().to_string();
    assert!(text.contains("100") && text.contains("1000"), "{text}");
    for (across, said) in [
        (&[][..], "no variants"),
        (&["kernel"], "one value of kernel"),
        (&["kernel", "tools"], "one key"),
    ] {
        let error = one(&base, across).unwrap_err();
        assert!(
            matches!(error, CompareError::Usage(_)) && error.to_string().contains(said),
            "{error}"
        );
    }
}

#[test]
fn sizes_and_modes_of_one_run_can_be_the_question() {
    let [run, _] = Sides {
        sizes: vec![100, 10_000],
        ..small()
    }
    .in_two_runs();
    let sizes = one(&run, &["services"]).unwrap();
    assert_eq!(
        (sizes.base.part.as_str(), sizes.new.part.as_str()),
        ("100", "10000")
    );
    assert!(sizes.one_run);
    for row in &sizes.cells {
        assert!(row.new_key.is_some(), "{row:?}");
    }
    let modes = one(&run, &["mode"]).unwrap();
    assert_eq!(
        (modes.base.part.as_str(), modes.new.part.as_str()),
        ("none", "nftables")
    );
}

#[test]
fn nothing_in_common_is_not_comparable() {
    let [base, new] = small().in_two_runs();
    let other = without(&new, |key| key.mode == Mode::Nftables);
    let this = without(&base, |key| key.mode == Mode::None);
    assert!(matches!(
        two(&this, &other, &[]),
        Err(CompareError::NothingComparable(_))
    ));
    let all_failed = with_outcome(&new, &failed(), |_, _| true);
    assert!(matches!(
        two(&base, &all_failed, &[]),
        Err(CompareError::NothingComparable(_))
    ));
}

#[test]
fn a_machine_that_changed_between_two_runs_is_seen_in_the_floor_and_blamed_on_no_mode() {
    let slower = Sides {
        second_run: 1.4,
        blocks: 12,
        ..Sides::default()
    };
    let [base, new] = slower.in_two_runs();
    let comparison = two(&base, &new, &[]).unwrap();
    let drift = comparison.drift.as_ref().unwrap();
    assert!(
        drift.counts && (drift.ratio / 1.4).ln().abs() < 0.15,
        "{drift:?}"
    );
    assert_eq!(comparison.conclusion, Conclusion::Passed);
    assert!(
        comparison
            .notes
            .iter()
            .any(|note| note.contains("machine changed"))
    );
    // What goes far beyond it is still found.
    let both = Sides {
        effect: 2.0,
        affects: |key| key.mode == Mode::Nftables,
        ..slower
    };
    let [base, new] = both.in_two_runs();
    let comparison = two(&base, &new, &[]).unwrap();
    assert_eq!(comparison.conclusion, Conclusion::Regressed);
    assert!(
        comparison
            .cells
            .iter()
            .filter(|row| row.verdict == Verdict::Regressed)
            .all(|row| row.key.mode == Mode::Nftables)
    );
}

#[test]
fn deterministic_runs_are_paired_by_seed_and_every_seed_must_agree() {
    let sides = small();
    let latency = |comparison: &Comparison| -> Vec<Compared> {
        rows(comparison, |row| row.metric == Some(Metric::Latency))
            .into_iter()
            .cloned()
            .collect()
    };
    let compared = |seeds: &[u64], effects: &[f64]| {
        let [base, new] = sides.deterministic(seeds, effects);
        two(&base, &new, &[]).unwrap()
    };
    let worse = compared(&[11, 12, 13], &[1.06, 1.07, 1.08]);
    assert_eq!(worse.conclusion, Conclusion::Regressed);
    for row in latency(&worse) {
        let change = row.change.unwrap();
        assert_eq!(
            (row.verdict, change.test.as_str(), change.p),
            (Verdict::Regressed, "seeds", None)
        );
        assert!((change.relative.unwrap() - 0.07).abs() < 1e-3);
    }
    assert!(
        worse
            .pooled
            .iter()
            .all(|pool| pool.metric != Metric::Latency)
    );
    let better = compared(&[11, 12, 13], &[0.9, 0.91, 0.92]);
    assert_eq!(better.conclusion, Conclusion::Passed);
    assert!(
        latency(&better)
            .iter()
            .all(|row| row.verdict == Verdict::Improved)
    );
    let torn = compared(&[11, 12, 13], &[0.98, 1.07, 1.08]);
    assert!(
        latency(&torn)
            .iter()
            .all(|row| row.verdict == Verdict::Inconclusive)
    );
    let small = compared(&[11, 12, 13], &[1.0005, 1.001, 1.0015]);
    assert!(
        latency(&small)
            .iter()
            .all(|row| row.verdict == Verdict::Unchanged)
    );
    // A middle below the threshold rules nothing out that seeds show.
    let spread = compared(&[11, 12, 13], &[0.99, 1.001, 1.05]);
    assert!(
        latency(&spread)
            .iter()
            .all(|row| row.verdict == Verdict::Inconclusive)
    );
    let lonely = compared(&[11, 12], &[1.5, 1.5]);
    assert!(
        latency(&lonely)
            .iter()
            .all(|row| row.reason.as_ref().unwrap().contains("2 seeds"))
    );
    // Without a seed in common every one must lie beyond every other one.
    let [base, new] =
        [[11, 12, 13], [21, 22, 23]].map(|seeds| sides.deterministic(&seeds, &[1.1; 3]));
    let others = two(&base[0], &new[1], &[]).unwrap();
    assert!(
        latency(&others)
            .iter()
            .all(|row| row.verdict == Verdict::Regressed)
    );
    let same = two(&base[0], &new[0], &[]).unwrap();
    assert_eq!(same.conclusion, Conclusion::Passed);
    // Seeds are what is paired, not their order.
    let [base, _] = sides.deterministic(&[11, 12, 13], &[1.0; 3]);
    let [_, new] = sides.deterministic(&[13, 11, 12], &[1.0; 3]);
    let comparison = two(&base, &new, &[]).unwrap();
    assert!(
        latency(&comparison)
            .iter()
            .all(|row| row.change.as_ref().unwrap().absolute == 0.0)
    );
}

#[test]
fn sizes_of_variants_are_paired_by_rank() {
    let mut run = Sides {
        sizes: vec![100, 1_000],
        ..small()
    }
    .in_one_run();
    for cell in run
        .cells
        .iter_mut()
        .filter(|cell| cell.key.variant == "head")
    {
        cell.key.services += 30;
    }
    // Saying so changes nothing, with two sizes or with one.
    for across in [&[][..], &["services"], &["variant"]] {
        let comparison = one(&run, across).unwrap();
        assert!(
            comparison
                .cells
                .iter()
                .all(|row| row.verdict != Verdict::Missing)
        );
        for row in &comparison.cells {
            let new = row.new_key.as_ref().unwrap();
            assert_eq!(
                (row.key.services + 30, new.variant.as_str()),
                (new.services, "head")
            );
        }
    }
}

#[test]
fn variants_that_differ_in_an_option_are_paired_scenario_by_scenario_also_where_one_has_none() {
    let mut run = small().in_one_run();
    // As with --kube-proxy: an hour of idling, say, is of other versions than the rules.
    for cell in &mut run.cells {
        let of_head = cell.key.variant == "head";
        match cell.key.scenario {
            ScenarioKind::ServiceAdd => {
                let version = if of_head { "1.36-1.37" } else { "1.32" };
                cell.key.options.set(OptionKey::KubeProxy, version);
            }
            _ => cell.key.options.set(OptionKey::KubeProxy, "1.32-1.37"),
        }
        // As with base:'' and head:'--tools trixie'.
        if of_head {
            cell.key.options.set(OptionKey::Suite, "trixie");
        }
    }
    let compared = one(&run, &[]).unwrap();
    assert!(!compared.cells.is_empty());
    for row in &compared.cells {
        assert!(row.verdict != Verdict::Missing, "{}", row.key);
        assert!(row.new_key.is_some(), "{}", row.key);
    }
}

#[test]
fn installed_tools_are_the_same_whether_or_not_they_are_named() {
    let [base, mut new] = small().in_two_runs();
    for cell in &mut new.cells {
        cell.key.options.set(OptionKey::Suite, schema::INSTALLED);
    }
    let compared = two(&base, &new, &[]).unwrap();
    assert!(!compared.cells.is_empty());
    assert!(
        compared
            .cells
            .iter()
            .all(|row| row.verdict != Verdict::Missing)
    );
}

#[test]
fn families_of_one_run_can_be_the_question_whether_or_not_ipv4_is_named() {
    let shape = Shape {
        blocks: 6,
        sizes: vec![100],
        samples: 10,
        mishaps: false,
        ..Shape::default()
    };
    let nodes = [Family::Ipv4, Family::Ipv6].map(NodeKind::single);
    let run = synthetic::run_of(&shape, &nodes);
    let comparison = one(&run, &["family"]).unwrap();
    for scenario in [ScenarioKind::FirstPacket, ScenarioKind::ServiceAdd] {
        let of = rows(&comparison, |row| row.key.scenario == scenario);
        assert!(
            of.iter().all(|row| row.verdict != Verdict::Missing),
            "{scenario}"
        );
    }
}

#[test]
fn variants_of_one_size_are_compared_whatever_they_were_asked_across() {
    let run = small().in_one_run();
    let said = one(&run, &[]).unwrap();
    let across = one(&run, &["services"]).unwrap();
    assert!(!across.cells.is_empty());
    assert_eq!(across.cells.len(), said.cells.len());
}

#[test]
fn sixteen_blocks_of_one_run_are_compared_as_pairs() {
    let paired = one(
        &Sides {
            blocks: 16,
            ..small()
        }
        .in_one_run(),
        &[],
    )
    .unwrap();
    let test_of = |comparison: &Comparison| {
        rows(comparison, |row| row.metric == Some(Metric::Latency))[0]
            .change
            .as_ref()
            .unwrap()
            .test
            .clone()
    };
    assert_eq!(test_of(&paired), "signed-rank");
    let fewer = one(
        &Sides {
            blocks: 15,
            ..small()
        }
        .in_one_run(),
        &[],
    )
    .unwrap();
    assert_eq!(test_of(&fewer), "mann-whitney");
    assert!(
        fewer
            .pooled
            .iter()
            .any(|pool| pool.change.test == "signed-rank" && pool.base_units == 30)
    );
}

#[test]
fn the_gate_allows_what_it_names_to_be_missing() {
    let [base, new] = small().in_two_runs();
    let new = without(&new, is_add);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gate.toml");
    let rule = "\n[[allow-missing]]\nscenario = \"service-add\"\ntransport = \"netlink\"\nreason = \"not on these machines\"\n";
    std::fs::write(&path, reports::gate::DEFAULT_GATE.to_owned() + rule).unwrap();
    let question = Question {
        gate: Gate::load(&path).unwrap(),
        across: Vec::new(),
    };
    let comparison = compare(
        &digest(&base, "base"),
        Some(&digest(&new, "new")),
        &question,
    )
    .unwrap();
    assert_eq!(comparison.conclusion, Conclusion::Passed);
    assert_eq!(count(&comparison, Verdict::Missing), 1);
    let text = written(&comparison, "text");
    assert!(text.contains("allowed: not on these machines"), "{text}");
}

#[test]
fn metrics_without_thresholds_are_named_as_not_compared() {
    let [base, new] = small().in_two_runs();
    let mut question = question(&[]);
    question.gate.thresholds.remove(&Metric::UpdateTime);
    let comparison = compare(
        &digest(&base, "base"),
        Some(&digest(&new, "new")),
        &question,
    )
    .unwrap();
    assert!(
        comparison
            .notes
            .iter()
            .any(|note| note.contains("no thresholds") && note.contains("update_time"))
    );
    assert!(
        comparison
            .cells
            .iter()
            .all(|row| row.metric != Some(Metric::UpdateTime))
    );
}

#[test]
fn figures_of_schema_one_that_later_ones_measure_otherwise_are_refused_with_the_reason() {
    let later = synthetic::run(&Shape {
        blocks: 2,
        sizes: vec![100],
        samples: 3,
        mishaps: false,
        ..Shape::default()
    });
    let mut first = later.clone();
    first.header.schema_version = 1;
    let changed = |row: &Compared| {
        let netlink = row
            .key
            .options
            .get(OptionKey::Transport)
            .is_some_and(|t| t == "netlink");
        match row.metric.unwrap() {
            Metric::KernelMemory => row.key.scenario == ScenarioKind::Memory,
            Metric::UpdateTime => netlink || row.key.scenario == ScenarioKind::Teardown,
            Metric::CpuTime => netlink,
            Metric::Latency => true,
            _ => false,
        }
    };
    for (base, new) in [(&first, &later), (&later, &first)] {
        let comparison = two(base, new, &[]).unwrap();
        for row in &comparison.cells {
            let refused = row.verdict == Verdict::Incomparable;
            assert_eq!(refused, changed(row), "{} {:?}", row.key, row.metric);
            if refused {
                let why = row.reason.as_ref().unwrap();
                assert!(why.starts_with("schema 1 "), "{why}");
                let of_teardown = row.key.scenario == ScenarioKind::Teardown;
                assert_eq!(why.contains("teardown"), of_teardown, "{}: {why}", row.key);
                assert!(row.base.is_some() && row.new.is_some() && row.change.is_none());
            }
        }
        for metric in [Metric::KernelMemory, Metric::UpdateTime, Metric::CpuTime] {
            rows(&comparison, |row| {
                row.metric == Some(metric) && row.verdict == Verdict::Incomparable
            });
        }
        rows(&comparison, |row| row.metric == Some(Metric::SyncTime));
        // What is left is the same, sample by sample, which makes the whole no one measurement.
        assert!(!comparison.identical && !written(&comparison, "text").contains("identical: "));
        let populations = |note: &String| note.contains("one population in every repetition");
        assert!(comparison.notes.iter().any(populations));
    }
    // Of one schema both are compared as ever, be it the first.
    for run in [&first, &later] {
        let same = two(run, run, &[]).unwrap();
        assert_eq!(count(&same, Verdict::Incomparable), 0);
    }
}

#[test]
fn stays_that_timed_out_have_the_highest_ranks_and_no_upper_end() {
    let mut shape = small();
    shape.blocks = 12;
    let [base, new] = shape.in_two_runs();
    let timed_out = Outcome::TimedOut {
        after_ns: Some(30_000_000_000),
    };
    let slow = with_outcome(&new, &timed_out, |key, block| is_add(key) && block < 11);
    let update = |comparison: &Comparison| {
        let found = rows(comparison, |row| {
            is_add(&row.key) && row.metric == Some(Metric::UpdateTime)
        });
        found[0].clone()
    };
    let worse = two(&base, &slow, &[]).unwrap();
    let row = update(&worse);
    assert_eq!(row.verdict, Verdict::Regressed, "{row:?}");
    assert!(
        row.reason
            .as_ref()
            .unwrap()
            .contains("timed out in 11 of 12 stays"),
        "{row:?}"
    );
    let side = row.new.as_ref().unwrap();
    assert_eq!(
        (side.stays, side.censored, side.ci95.unwrap()[1]),
        (12, 11, f64::INFINITY)
    );
    assert!(side.median > 29e9 && side.median.is_finite());
    assert_eq!(worse.conclusion, Conclusion::Regressed);
    // What used to time out and no longer does is better.
    let better = update(&two(&slow, &new, &[]).unwrap());
    assert_eq!(better.verdict, Verdict::Improved, "{better:?}");
    let json = serde_json::to_string(&worse).unwrap();
    assert_eq!(serde_json::from_str::<Comparison>(&json).unwrap(), worse);
}

#[test]
fn a_side_of_fewer_than_six_stays_shows_their_range_and_no_interval() {
    let mut shape = small();
    for (blocks, interval) in [(5, false), (6, true)] {
        shape.blocks = blocks;
        let [base, new] = shape.in_two_runs();
        for row in two(&base, &new, &[]).unwrap().cells {
            let side = row.base.unwrap();
            assert_eq!(
                (side.ci95.is_some(), side.range.is_some()),
                (interval, !interval)
            );
        }
    }
}
