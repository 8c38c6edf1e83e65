//! What a gate says of one scenario alone, and what updates that change nothing say of the machine.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use reports::Run;
use reports::compare::{Digest, Question, compare};
use reports::gate::Gate;
use schema::comparison::{Comparison, Conclusion, Verdict};
use schema::{Metric, Mode, OptionKey, Options, ScenarioKind, Transport};
use synthetic::Sides;

/// BASE and NEW, whose updates take 1.3 times as long.
fn slower_updates() -> [Run; 2] {
    let sides = Sides {
        modes: vec![Mode::None, Mode::Nftables],
        blocks: 10,
        samples: 10,
        updates: true,
        stay_noise: 0.02,
        disturbed: 0.0,
        effect: 1.3,
        affects: |key| key.scenario == ScenarioKind::ServiceAdd,
        ..Sides::default()
    };
    sides.in_two_runs()
}

fn compared(runs: &[Run; 2], gate: Gate) -> Comparison {
    let [base, new] = runs.each_ref().map(|run| Digest::of(run, "run").unwrap());
    let question = Question {
        gate,
        across: Vec::new(),
    };
    compare(&base, Some(&new), &question).unwrap()
}

/// The same run, with updates of mode none that change nothing, by these transports, and take as long as those of `like`.
fn with_the_floor(run: &Run, transports: &[&str], like: &Run) -> Run {
    let adds = like.cells.iter();
    let adds = adds.filter(|cell| cell.key.scenario == ScenarioKind::ServiceAdd);
    let floor = adds.flat_map(|cell| {
        transports.iter().map(|transport| {
            let mut cell = cell.clone();
            cell.key.mode = Mode::None;
            cell.key.scenario = ScenarioKind::EmptyUpdate;
            cell.key.options = Options::from([(OptionKey::Transport, *transport)]);
            cell.series
                .retain(|series| series.metric == Metric::UpdateTime);
            cell
        })
    });
    let mut whole = run.clone();
    whole.cells.extend(floor);
    whole
}

#[test]
fn thresholds_of_a_scenario_take_the_place_of_those_of_all() {
    let runs = slower_updates();
    let comparison = compared(&runs, Gate::shipped());
    assert_eq!(comparison.conclusion, Conclusion::Regressed);
    let mut gate = Gate::shipped();
    let mut wide = gate.thresholds[&Metric::UpdateTime].clone();
    wide.relative = 1.0;
    let own = [(Metric::UpdateTime, wide)].into_iter().collect();
    gate.of_scenarios.insert(ScenarioKind::ServiceAdd, own);
    let comparison = compared(&runs, gate);
    assert_eq!(comparison.conclusion, Conclusion::Passed);
    let mut elsewhere = Gate::shipped();
    let own = [(
        Metric::UpdateTime,
        elsewhere.thresholds[&Metric::UpdateTime].clone(),
    )];
    let own = own.map(|(metric, mut limits)| {
        limits.relative = 1.0;
        (metric, limits)
    });
    elsewhere
        .of_scenarios
        .insert(ScenarioKind::ColdInstall, own.into_iter().collect());
    assert_eq!(compared(&runs, elsewhere).conclusion, Conclusion::Regressed);
}

#[test]
fn updates_are_held_against_those_that_change_nothing() {
    let runs = slower_updates();
    let without = compared(&runs, Gate::shipped());
    assert_eq!(
        without.conclusion,
        Conclusion::Regressed,
        "packets are as they were"
    );
    assert!(without.update_drifts.is_empty());
    let all = ["restore", "netlink", "nft"];
    let both = runs.each_ref().map(|run| with_the_floor(run, &all, run));
    let comparison = compared(&both, Gate::shipped());
    let drift = &comparison.update_drifts[&Transport::Restore];
    assert!(
        drift.counts && (drift.ratio / 1.3).ln().abs() < 0.1,
        "{drift:?}"
    );
    assert_eq!(
        comparison.conclusion,
        Conclusion::Passed,
        "{:#?}",
        comparison.notes
    );
    let mut adds = comparison.cells.iter().filter(|row| {
        row.key.scenario == ScenarioKind::ServiceAdd && row.metric == Some(Metric::UpdateTime)
    });
    assert!(adds.all(|row| row.verdict == Verdict::Inconclusive));
    assert!(
        comparison
            .notes
            .iter()
            .any(|n| n.contains("an update that changes nothing"))
    );
}

#[test]
fn a_tool_that_starts_slower_explains_no_transaction() {
    let [base, new] = slower_updates();
    let slow = ["restore", "nft"];
    let both = [&base, &new].map(|run| {
        let started = with_the_floor(run, &slow, run);
        with_the_floor(&started, &["netlink"], &base)
    });
    let comparison = compared(&both, Gate::shipped());
    let drifts = &comparison.update_drifts;
    assert!(drifts[&Transport::Restore].counts && !drifts[&Transport::Netlink].counts);
    assert_eq!(comparison.conclusion, Conclusion::Regressed);
}
