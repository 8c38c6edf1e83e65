//! What a stay's end means for its cells: which have their outcome, which must be measured again. Pure.
//!
//! Numbers count only when the teardown after them was seen to leave nothing. When a stay is ended in a
//! later cell, the earlier ones have no such proof: they are measured again, with the cells that were not
//! reached, in a stay without the one that ended it. Each such stay has a cell less, so this ends.

use std::collections::BTreeMap;
use std::time::Duration;

use scenarios::spec::{CellOutcome, CellSpec};
use schema::{NotRun, Outcome, Stage};

use crate::progress::rough;

/// How listening to a stay's process ended.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum End {
    /// Everything was said and done.
    Closed,
    /// The stay cannot go on.
    Failed(Stage, String),
    /// A cell (`cell`), the preparation or the teardown (no cell) passed its limit; `act_ns` is how long the
    /// timed act that was running had run.
    Late {
        cell: Option<u64>,
        after: Duration,
        act_ns: Option<u64>,
    },
    /// The stay's process, or the guest that it was in, ended without a word, in a cell or outside of one; its
    /// last words.
    Died(Stage, Option<u64>, String),
    /// The user wants to stop.
    Interrupted,
}

/// Why a cell was not tried.
pub(crate) fn not_run(why: NotRun) -> Outcome {
    Outcome::NotRun { why }
}

/// Nothing can be carried out in an environment any more.
pub(crate) fn no_guest(why: &str) -> Outcome {
    Outcome::Failed {
        stage: Stage::Guest,
        reason: why.to_owned(),
    }
}

/// What becomes of the cells of a stay.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Verdict {
    /// Cells that have their outcome.
    pub(crate) outcomes: Vec<CellOutcome>,
    /// Cells for another stay.
    pub(crate) again: Vec<CellSpec>,
}

/// An outcome without numbers.
pub(crate) fn without_numbers(cell: u64, outcome: Outcome) -> CellOutcome {
    CellOutcome {
        cell,
        outcome,
        series: Vec::new(),
        facts: BTreeMap::new(),
        elapsed_ns: 0,
        steal_ns: None,
        run_delay_ns: None,
    }
}

/// What ended cells and the end of their stay mean.
pub(crate) fn judge(cells: &[CellSpec], ended: Vec<CellOutcome>, end: &End) -> Verdict {
    let all_ended = ended.len() == cells.len();
    let failed = |stage: Stage, reason: String| Outcome::Failed { stage, reason };
    // A guest's last words say by themselves what ended.
    let died = |stage: Stage, place: &str, said: &str| match stage {
        Stage::Guest => failed(
            stage,
            format!(
                "{said}{}{place}",
                if place.is_empty() { "" } else { "; seen" }
            ),
        ),
        _ => failed(stage, format!("the stay's process ended{place}: {said}")),
    };
    match end {
        End::Closed => proved(cells, ended),
        End::Failed(stage, reason) => {
            let outcome = Outcome::Failed {
                stage: *stage,
                reason: reason.clone(),
            };
            all(cells, ended, &outcome)
        }
        End::Late {
            cell: Some(id),
            act_ns,
            ..
        } => but_one(cells, ended, *id, Outcome::TimedOut { after_ns: *act_ns }),
        End::Died(stage, Some(id), said) => but_one(cells, ended, *id, died(*stage, "", said)),
        End::Late { cell: None, .. } if all_ended => {
            let reason = "it did not end within the time limit".to_owned();
            let stage = Stage::Teardown;
            all(cells, ended, &Outcome::Failed { stage, reason })
        }
        End::Died(stage, None, said) if all_ended => {
            let stage = if *stage == Stage::Guest {
                Stage::Guest
            } else {
                Stage::Teardown
            };
            all(cells, ended, &died(stage, " in the teardown", said))
        }
        End::Late {
            cell: None, after, ..
        } if ended.is_empty() => {
            let why = NotRun::Preparation(format!("longer than {}", rough(*after)));
            all(cells, ended, &not_run(why))
        }
        End::Died(stage, None, said) if ended.is_empty() => {
            all(cells, ended, &died(*stage, " before its first cell", said))
        }
        // Between two cells a stay does nothing.
        End::Late { cell: None, .. } => {
            let reason = "the stay stopped between two cells".to_owned();
            all(cells, ended, &failed(Stage::Process, reason))
        }
        End::Died(stage, None, said) => {
            all(cells, ended, &died(*stage, " between two cells", said))
        }
        End::Interrupted => again(cells, ended, |_| true),
    }
}

/// The teardown was seen to leave nothing.
fn proved(cells: &[CellSpec], mut ended: Vec<CellOutcome>) -> Verdict {
    for outcome in ended.iter_mut().filter(|o| o.outcome == Outcome::Measured) {
        let fact = ("teardown".to_owned(), "census empty".to_owned());
        outcome.facts.extend([fact]);
    }
    let forgotten = Outcome::Failed {
        stage: Stage::Process,
        reason: "the stay closed without this cell".to_owned(),
    };
    let missing = unheard(cells, &ended).map(|cell| without_numbers(cell.id, forgotten.clone()));
    let missing: Vec<CellOutcome> = missing.collect();
    ended.extend(missing);
    Verdict {
        outcomes: ended,
        again: Vec::new(),
    }
}

/// Every cell gets the outcome, except those that failed on their own.
fn all(cells: &[CellSpec], ended: Vec<CellOutcome>, outcome: &Outcome) -> Verdict {
    let judged: Vec<CellOutcome> = cells
        .iter()
        .map(|cell| {
            let own = ended
                .iter()
                .find(|o| o.cell == cell.id && o.outcome != Outcome::Measured);
            own.cloned()
                .unwrap_or_else(|| without_numbers(cell.id, outcome.clone()))
        })
        .collect();
    Verdict {
        outcomes: judged,
        again: Vec::new(),
    }
}

/// One cell ended the stay and gets the outcome; the others are measured again.
fn but_one(cells: &[CellSpec], ended: Vec<CellOutcome>, id: u64, outcome: Outcome) -> Verdict {
    let mut verdict = again(cells, ended, |cell| cell != id);
    verdict.outcomes.push(without_numbers(id, outcome));
    verdict
}

/// Cells that failed on their own have their outcome; the others of those `wanted` are for another stay.
fn again(cells: &[CellSpec], ended: Vec<CellOutcome>, wanted: impl Fn(u64) -> bool) -> Verdict {
    let outcomes: Vec<CellOutcome> = ended
        .into_iter()
        .filter(|o| o.outcome != Outcome::Measured)
        .collect();
    let again = unheard(cells, &outcomes).filter(|c| wanted(c.id)).cloned();
    Verdict {
        again: again.collect(),
        outcomes,
    }
}

fn unheard<'a>(cells: &'a [CellSpec], heard: &[CellOutcome]) -> impl Iterator<Item = &'a CellSpec> {
    let heard: Vec<u64> = heard.iter().map(|o| o.cell).collect();
    cells.iter().filter(move |cell| !heard.contains(&cell.id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::{Options, ScenarioKind};

    fn cells(ids: &[u64]) -> Vec<CellSpec> {
        let cell = |id: &u64| CellSpec {
            id: *id,
            scenario: ScenarioKind::FirstPacket,
            options: Options::new(),
        };
        ids.iter().map(cell).collect()
    }

    fn measured(id: u64) -> CellOutcome {
        without_numbers(id, Outcome::Measured)
    }

    fn late(cell: Option<u64>) -> End {
        End::Late {
            cell,
            after: Duration::from_secs(2),
            act_ns: Some(7),
        }
    }

    fn ids(cells: &[CellSpec]) -> Vec<u64> {
        cells.iter().map(|c| c.id).collect()
    }

    fn named(verdict: &Verdict) -> Vec<(u64, &'static str)> {
        verdict
            .outcomes
            .iter()
            .map(|o| (o.cell, o.outcome.name()))
            .collect()
    }

    #[test]
    fn every_cell_has_one_outcome_or_is_measured_again_however_a_stay_ends() {
        let ends = [
            End::Closed,
            End::Failed(Stage::Proof, "seen".to_owned()),
            late(None),
            End::Died(Stage::Process, None, String::new()),
            End::Interrupted,
        ];
        for heard in 0..=3u64 {
            let in_a_cell = [
                late(Some(heard)),
                End::Died(Stage::Process, Some(heard), String::new()),
            ];
            for end in ends.iter().chain(&in_a_cell[..usize::from(heard < 3) * 2]) {
                let ended = (0..heard).map(measured).collect();
                let verdict = judge(&cells(&[0, 1, 2]), ended, end);
                let mut seen = ids(&verdict.again);
                seen.extend(verdict.outcomes.iter().map(|o| o.cell));
                seen.sort_unstable();
                assert_eq!(seen, [0, 1, 2], "{heard} heard, then {end:?}");
                let counts = verdict
                    .outcomes
                    .iter()
                    .any(|o| o.outcome == Outcome::Measured);
                assert_eq!(
                    counts,
                    *end == End::Closed && heard > 0,
                    "{heard} heard, then {end:?}"
                );
            }
        }
    }

    #[test]
    fn cells_before_the_one_that_was_killed_are_measured_again_without_it() {
        let verdict = judge(&cells(&[4, 5, 6]), vec![measured(4)], &late(Some(5)));
        assert_eq!(named(&verdict), [(5, "timed-out")]);
        assert_eq!(ids(&verdict.again), [4, 6]);
        let verdict = judge(
            &cells(&[4, 5]),
            vec![measured(4)],
            &End::Died(Stage::Process, Some(5), "killed".to_owned()),
        );
        assert_eq!(named(&verdict), [(5, "failed")]);
        assert_eq!(ids(&verdict.again), [4]);
    }

    #[test]
    fn a_cell_that_failed_by_itself_keeps_its_own_reason() {
        let own = Outcome::Failed {
            stage: Stage::Counters,
            reason: "its own".to_owned(),
        };
        let ended = vec![without_numbers(1, own.clone()), measured(2)];
        for end in [late(None), late(Some(3)), End::Interrupted] {
            let verdict = judge(&cells(&[1, 2, 3]), ended.clone(), &end);
            let first = verdict.outcomes.iter().find(|o| o.cell == 1).unwrap();
            assert_eq!(first.outcome, own, "{end:?}");
        }
    }

    #[test]
    fn numbers_do_not_outlive_a_teardown_that_failed() {
        for end in [
            late(None),
            End::Died(Stage::Process, None, String::new()),
            End::Failed(Stage::Teardown, String::new()),
        ] {
            let verdict = judge(&cells(&[1]), vec![measured(1)], &end);
            assert_eq!(named(&verdict), [(1, "failed")], "{end:?}");
        }
    }

    #[test]
    fn a_closed_stay_says_that_nothing_was_left() {
        let verdict = judge(&cells(&[1, 2]), vec![measured(1)], &End::Closed);
        assert_eq!(named(&verdict), [(1, "measured"), (2, "failed")]);
        assert_eq!(verdict.outcomes[0].facts["teardown"], "census empty");
    }
}
