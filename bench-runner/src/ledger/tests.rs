use super::*;
use clap::Parser as _;
use schema::{Series, Unit};

use crate::machine::Machine;
use crate::plan::{PlannedEnvironment, Settings};

fn plan() -> Plan {
    let words = ["bench-runner", "--services", "10,20", "--repetitions", "3"];
    let cli = crate::cmd::Cli::try_parse_from(words).unwrap();
    let environments = [PlannedEnvironment::host()];
    Plan::new(
        &Settings::resolve(&cli.run).unwrap(),
        &environments,
        &Machine::default(),
    )
}

/// The lines of a stay that gave `value` for everything.
fn lines(stay: &PlannedStay, outcome: &Outcome, value: f64) -> Vec<CellRecord> {
    let spec = &stay.spec;
    let line = |cell: &CellSpec| CellRecord {
        key: key(spec, cell),
        block: spec.block,
        stay: spec.stay,
        started_ns: 1_000 * u64::from(spec.stay),
        elapsed_ns: 10,
        steal_ns: None,
        run_delay_ns: None,
        disturbed: Vec::new(),
        outcome: outcome.clone(),
        series: match outcome {
            Outcome::Measured => vec![Series {
                metric: Metric::UpdateTime,
                unit: Unit::Nanoseconds,
                values: vec![value; 3],
                as_histogram: false,
            }],
            _ => Vec::new(),
        },
        facts: [(STAY_MS.to_owned(), "250".to_owned())].into(),
    };
    spec.cells.iter().map(line).collect()
}

/// Place in the plan of a stay of any block.
fn place_of(ledger: &Ledger, spec: &StaySpec) -> Option<usize> {
    let (stay, _) = ledger.places.get(&key(spec, spec.cells.first()?))?;
    Some(*stay)
}

#[test]
fn every_cell_of_every_block_is_open_once_and_closed_once() {
    let plan = plan();
    let mut ledger = Ledger::new(&plan);
    assert_eq!(ledger.planned(), 3 * plan.cells_per_block());
    for block in 0..3 {
        for stay in plan.block(block) {
            assert_eq!(ledger.open_cells(&stay).len(), stay.spec.cells.len());
            for line in lines(&stay, &Outcome::Measured, 5.0) {
                ledger.note(&line).unwrap();
                assert!(ledger.note(&line).is_err(), "a second outcome is a mistake");
            }
            assert!(ledger.open_cells(&stay).is_empty());
        }
    }
    assert_eq!(ledger.count(OutcomeKind::Measured), ledger.planned());
    assert_eq!((ledger.unaccounted(), ledger.ended(false)), (0, "complete"));
}

#[test]
fn a_stay_that_was_killed_goes_on_with_its_open_cells_under_another_number() {
    let plan = plan();
    let mut ledger = Ledger::new(&plan);
    let block = plan.block(0);
    let stay = block.iter().find(|s| s.spec.cells.len() > 2).unwrap();
    let first = &lines(stay, &Outcome::Measured, 5.0)[0];
    assert_eq!(ledger.stay_number(stay.spec.stay), stay.spec.stay);
    ledger.note(first).unwrap();
    assert_eq!(ledger.open_cells(stay).len(), stay.spec.cells.len() - 1);
    let another = ledger.stay_number(stay.spec.stay);
    assert!(
        u64::from(another) >= 3 * plan.stays.len() as u64,
        "beyond those of the plan"
    );
    assert_ne!(another, ledger.new_stay());
    assert_eq!(
        ledger.next_block(place_of(&ledger, &stay.spec).unwrap()),
        Some(0)
    );
}

#[test]
fn what_was_interrupted_is_open_again_and_what_was_decided_is_not() {
    let plan = plan();
    let mut ledger = Ledger::new(&plan);
    let block = plan.block(0);
    for (stay, why) in block.iter().zip([NotRun::Interrupted, NotRun::Budget]) {
        for line in lines(stay, &not_run(why.clone()), 0.0) {
            ledger.note_earlier(&line).unwrap();
        }
    }
    assert_eq!(
        ledger.open_cells(&block[0]).len(),
        block[0].spec.cells.len()
    );
    assert!(ledger.open_cells(&block[1]).is_empty());
    assert_eq!(ledger.spent_ns(), 1_010, "what was spent counts");
}

#[test]
fn cells_and_preparations_that_timed_out_are_known_from_their_lines() {
    let plan = plan();
    let mut ledger = Ledger::new(&plan);
    let block = plan.block(0);
    let serving = block.iter().find(|s| s.spec.cells.len() > 2).unwrap();
    let all = lines(serving, &Outcome::TimedOut { after_ns: Some(9) }, 0.0);
    ledger.note(&all[0]).unwrap();
    let spec = &serving.spec;
    let hopeless = |ledger: &Ledger| -> Vec<bool> {
        spec.cells
            .iter()
            .map(|c| ledger.is_hopeless(spec, c))
            .collect()
    };
    let seen = hopeless(&ledger);
    assert!(
        seen[0] && !seen[1..].contains(&true),
        "only the one that timed out"
    );
    let late = lines(
        serving,
        &not_run(NotRun::Preparation("longer than 2 m".to_owned())),
        0.0,
    );
    ledger.note(&late[1]).unwrap();
    assert!(!hopeless(&ledger).contains(&false), "none can be prepared");
    let same = |s: &&PlannedStay| s.spec.mode == spec.mode && s.spec.services == spec.services;
    let install = block
        .iter()
        .filter(same)
        .find(|s| !prepares(&key(&s.spec, &s.spec.cells[0])));
    if let Some(install) = install {
        let spec = &install.spec;
        assert!(
            !ledger.is_hopeless(spec, &spec.cells[0]),
            "an install needs no preparation"
        );
    }
}

#[test]
fn a_width_is_unknown_from_one_stay_zero_of_exact_numbers_and_grows_with_their_scatter() {
    let plan = plan();
    let mut ledger = Ledger::new(&plan);
    let place = 0;
    let repeat = |ledger: &mut Ledger, block: u32, value: f64| {
        let block = plan.block(block);
        let stay = block
            .iter()
            .find(|s| place_of(ledger, &s.spec) == Some(place))
            .unwrap();
        for line in lines(stay, &Outcome::Measured, value) {
            ledger.note(&line).unwrap();
        }
    };
    assert_eq!(
        ledger.width(place),
        Some(0.0),
        "nothing answered, nothing to narrow"
    );
    repeat(&mut ledger, 0, 100.0);
    assert_eq!(ledger.width(place), None);
    assert_eq!(ledger.took_ns(place), Some(250_000_000));
    repeat(&mut ledger, 1, 110.0);
    let two = ledger.width(place).unwrap();
    repeat(&mut ledger, 2, 105.0);
    let three = ledger.width(place).unwrap();
    assert!(
        two > 0.5 && three > 0.0 && three < two / 3.0,
        "{two} {three}"
    );
    assert_eq!(ledger.next_block(place), None);
    assert_eq!(relative_half_width([7.0, 7.0].into_iter()), Some(0.0));
}

#[test]
fn an_answer_of_some_repetitions_does_not_hide_the_width_of_the_others() {
    let plan = plan();
    let mut ledger = Ledger::new(&plan);
    let place = 0;
    for block in 0..3 {
        let stays = plan.block(block);
        let same = |stay: &&PlannedStay| place_of(&ledger, &stay.spec) == Some(place);
        let stay = stays.iter().find(same).unwrap();
        for mut line in lines(stay, &Outcome::Measured, 5.0) {
            if block == 0 {
                line.series.push(Series {
                    metric: Metric::SyncTime,
                    ..line.series[0].clone()
                });
            }
            ledger.note(&line).unwrap();
        }
    }
    assert_eq!(ledger.width(place), Some(0.0));
}

#[test]
fn a_disturbed_cell_is_measured_again_once_and_has_one_outcome() {
    let plan = plan();
    let mut ledger = Ledger::new(&plan);
    let stay = &plan.block(0)[0];
    let disturbed = CellRecord {
        disturbed: vec![schema::Disturbance::RunDelay],
        ..lines(stay, &Outcome::Measured, 500.0).remove(0)
    };
    let (spec, cell) = (&stay.spec, &stay.spec.cells[0]);
    ledger.note(&disturbed).unwrap();
    assert_eq!(ledger.disturbed_cells(stay), std::slice::from_ref(cell));
    assert_eq!(ledger.what_disturbed(spec, cell), Some("run-delay"));
    let mut again = CellRecord {
        stay: 99,
        ..disturbed.clone()
    };
    again.facts.insert(AGAIN.to_owned(), "run-delay".to_owned());
    ledger.note(&again).unwrap();
    assert!(
        ledger.disturbed_cells(stay).is_empty(),
        "once, even if in vain"
    );
    assert!(ledger.note(&again).is_err());
    assert_eq!(ledger.count(OutcomeKind::Measured), 1);
    assert_eq!(ledger.new_stay(), 100);
}

#[test]
fn a_line_that_is_not_of_the_plan_is_refused() {
    let plan = plan();
    let mut ledger = Ledger::new(&plan);
    let line = lines(&plan.block(0)[0], &Outcome::Measured, 5.0).remove(0);
    let mut elsewhere = line.clone();
    elsewhere.key.services = 11;
    assert!(
        ledger
            .note_earlier(&elsewhere)
            .unwrap_err()
            .contains("N=11")
    );
    let later = CellRecord { block: 3, ..line };
    assert!(ledger.note_earlier(&later).unwrap_err().contains("block 3"));
}

#[test]
fn the_last_sentence_adds_up_and_says_what_was_not_run_and_why() {
    let plan = plan();
    let mut ledger = Ledger::new(&plan);
    for stay in plan.block(0) {
        for line in lines(&stay, &Outcome::Measured, 5.0) {
            ledger.note(&line).unwrap();
        }
    }
    for stay in plan.block(1) {
        for line in lines(&stay, &not_run(NotRun::Budget), 0.0) {
            ledger.note(&line).unwrap();
        }
    }
    let one = plan.cells_per_block();
    assert_eq!(
        ledger.sentence(false),
        format!(
            "budget: {} cells planned: {one} measured, 0 unsupported, 0 failed, 0 timed-out, {one} not-run (budget), {one} without an outcome",
            3 * one
        )
    );
}
