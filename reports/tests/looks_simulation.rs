//! How often `--until-decided` cries wolf, on results made with the noise of a shared machine (`compare_simulation.rs`): a
//! run of the same thing twice that is looked at after 6, 8, 11 … blocks and ends at the first look that finds something.
//!
//! Seeds are fixed: the counts are the same on every machine. SIMULATIONS=2000 tells rates more exactly than a test can
//! afford (scripts/verify/stopping-rule).
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use reports::Run;
use reports::compare::looks::LOOKS;
use reports::compare::{Digest, Question, compare};
use reports::gate::Gate;
use schema::Metric;
use schema::comparison::Decision;
use synthetic::Sides;

/// Histories.
fn times(of_a_test: u64) -> u64 {
    let told = std::env::var("SIMULATIONS").ok();
    told.and_then(|times| times.parse().ok())
        .unwrap_or(of_a_test)
}

/// The most blocks: where they are pairs, tests are others than before.
const LIMIT: u32 = 36;

fn after(run: &Run, blocks: u32) -> Digest {
    let cells = run.cells.iter().filter(|cell| cell.block < blocks);
    let so_far = Run {
        cells: cells.cloned().collect(),
        header: run.header.clone(),
        end: None,
        warnings: Vec::new(),
    };
    Digest::of(&so_far, "run").unwrap()
}

/// The look at which a run ends, and as what; with the whole p at each look where it does not say that there are several.
fn ended(run: &mut Run, spends: bool) -> (u32, Decision) {
    let arguments = &mut run.header.arguments;
    arguments.insert("until-decided".to_owned(), spends.into());
    let question = Question {
        gate: Gate::shipped(),
        across: Vec::new(),
    };
    let looks = LOOKS.into_iter().filter(|look| *look <= LIMIT);
    let mut last = (LIMIT, Decision::Open);
    for blocks in looks {
        let comparison = compare(&after(run, blocks), None, &question).unwrap();
        last = (blocks, comparison.decision);
        if last.1 != Decision::Open {
            break;
        }
    }
    last
}

fn run(seed: u64, effect: f64) -> Run {
    let sides = Sides {
        seed,
        effect,
        blocks: LIMIT,
        samples: 10,
        ..Sides::default()
    };
    sides.in_one_run()
}

/// How many ended as regressed, how many as unchanged, and blocks each.
fn told(histories: &[(u32, Decision)]) -> (usize, usize, f64) {
    let count = |decision| histories.iter().filter(|(_, d)| *d == decision).count();
    let blocks: u32 = histories.iter().map(|(blocks, _)| blocks).sum();
    let each = f64::from(blocks) / histories.len() as f64;
    (count(Decision::Regressed), count(Decision::Ruled), each)
}

#[test]
fn the_same_thing_looked_at_again_and_again_rarely_regresses() {
    let runs = || (0..times(12)).map(|seed| run(seed, 1.0));
    let spent: Vec<_> = runs().map(|mut run| ended(&mut run, true)).collect();
    let naive: Vec<_> = runs().map(|mut run| ended(&mut run, false)).collect();
    let (n, (alarms, alike, blocks)) = (spent.len(), told(&spent));
    println!(
        "null histories: {alarms} of {n} ended as regressed, {alike} as unchanged, the others at {LIMIT} blocks undecided; {blocks:.1} blocks each"
    );
    let (wolves, ..) = told(&naive);
    println!("naive histories: {wolves} of {n} ended as regressed");
    // Three families of p = 0.01, of which the worse half fails: 1.5 %; of so few two by chance.
    assert!(
        alarms as f64 <= (0.015 * n as f64).max(2.0),
        "{alarms} of {n}"
    );
    assert!(alarms <= wolves, "{alarms} and {wolves} of {n}");
    assert!(alike * 2 > n, "{alike} of {n} end by themselves");
}

#[test]
fn a_tenth_more_is_found_before_the_limit() {
    let histories: Vec<_> = (0..times(8))
        .map(|seed| ended(&mut run(seed, 1.1), true))
        .collect();
    let (n, (found, _, blocks)) = (histories.len(), told(&histories));
    println!("a tenth more: found in {found} of {n}, after {blocks:.1} blocks each");
    assert!(found * 10 >= n * 9, "{found} of {n}");
}

#[test]
fn each_look_has_its_share_of_p_and_a_run_that_was_not_to_be_decided_all_of_it() {
    let mut run = run(1, 1.0);
    for (asked, blocks, share) in [
        (true, 6, 2.0),
        (true, 8, 6.0),
        (true, 9, 12.0),
        (false, 8, 1.0),
    ] {
        let arguments = &mut run.header.arguments;
        arguments.insert("until-decided".to_owned(), asked.into());
        let question = Question {
            gate: Gate::shipped(),
            across: Vec::new(),
        };
        let comparison = compare(&after(&run, blocks), None, &question).unwrap();
        let p = Gate::shipped().thresholds[&Metric::Latency].p;
        let own = comparison.thresholds[&Metric::Latency].p;
        assert!(
            (own - p / share).abs() < 1e-12,
            "{own} after {blocks} blocks"
        );
        let said = comparison
            .notes
            .iter()
            .any(|note| note.contains("of the gate's p"));
        assert_eq!(said, asked);
    }
}
