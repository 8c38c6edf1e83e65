//! From numbers to verdicts. A change counts when p, its share and its amount are all beyond the gate's
//! thresholds; that there is none counts when the interval leaves such a change out. Everything else is
//! inconclusive, and says what it would take.

use std::collections::BTreeSet;

use schema::comparison::{Change, Drift, Thresholds, Verdict};
use schema::{Metric, ScenarioKind, Transport, Unit};

use super::drift::Drifts;
use super::format::percent;
use super::found::{EXACT, IDENTICAL, MANN_WHITNEY, SEEDS_TEST};
use super::pool::{Pool, transport_of};
use super::trial::Tried;
use crate::gate::Gate;
use crate::quantity::digits;
use crate::statistics::{SEEDS, benjamini_hochberg, least_mann_whitney, stays_to_tell};

pub(super) struct Judge<'a> {
    pub(super) gate: &'a Gate,
    /// What the machine did between two runs.
    pub(super) drifts: &'a Drifts,
}

/// A verdict with its reason.
type Said = (Verdict, Option<String>);

/// What a test had to go by.
struct Grounds<'a> {
    scenario: ScenarioKind,
    metric: Metric,
    change: &'a Change,
    /// What its updates go through.
    transports: &'a BTreeSet<Transport>,
    /// Stays of either side that were tested, for advice.
    stays: Option<(usize, usize)>,
    /// Tests in the family.
    tests: usize,
    /// Of a deterministic pair: seeds, and whether all of them moved the same way.
    seeds: (usize, bool),
}

impl<'a> Judge<'a> {
    /// Fills in the rows of all trials.
    pub(super) fn cells(&self, tried: &mut [Tried<'_>]) {
        let tests = adjust(
            tried
                .iter_mut()
                .filter_map(|tried| tried.row.change.as_mut()),
        );
        for Tried { row, trial } in tried {
            let (Some(trial), Some(change)) = (trial, &row.change) else {
                continue;
            };
            let stays = (trial.base.len(), trial.new.len());
            let transports = transport_of(trial.key).into_iter().collect();
            let said = self.verdict(&Grounds {
                scenario: trial.key.scenario,
                metric: trial.metric,
                change,
                transports: &transports,
                stays: (change.test == MANN_WHITNEY).then_some(stays),
                tests,
                seeds: trial.found.seeds,
            });
            (row.verdict, row.reason) = without_the_lost(said, &trial.lost);
        }
    }

    /// Verdicts on pools. Those of single modes and those of all are two families: each question is asked
    /// once.
    pub(super) fn pooled(&self, pools: &mut [Pool]) {
        let of_a_mode = |pool: &Pool| pool.row.mode.is_some();
        pools.sort_by_key(of_a_mode);
        for family in pools.chunk_by_mut(|a, b| of_a_mode(a) == of_a_mode(b)) {
            let tests = adjust(family.iter_mut().map(|pool| &mut pool.row.change));
            for Pool { row, transports } in family {
                (row.verdict, row.reason) = self.verdict(&Grounds {
                    scenario: row.scenario,
                    metric: row.metric,
                    change: &row.change,
                    transports,
                    stays: None,
                    tests,
                    seeds: (0, false),
                });
            }
        }
    }

    fn verdict(&self, grounds: &Grounds<'_>) -> Said {
        let because = |verdict, why: &str| (verdict, Some(why.to_owned()));
        let Some(thresholds) = self.gate.of(grounds.metric, grounds.scenario) else {
            return because(Verdict::Incomparable, "the gate has no thresholds for it");
        };
        let change = grounds.change;
        if change.test == IDENTICAL {
            return because(Verdict::Unchanged, "every sample is the same");
        }
        let said = if exceeds(change, thresholds) {
            match significance(grounds, thresholds) {
                // Of every metric less is better.
                Ok(()) if change.absolute > 0.0 => (Verdict::Regressed, None),
                Ok(()) => (Verdict::Improved, None),
                Err(why) => (Verdict::Inconclusive, Some(why)),
            }
        } else if is_ruled_out(change, thresholds) {
            (Verdict::Unchanged, None)
        } else {
            (Verdict::Inconclusive, Some(too_wide(change, thresholds)))
        };
        self.beyond_the_machine(said, grounds, thresholds)
    }

    /// What the machine may have done by itself explains no change, and what it did hides none.
    fn beyond_the_machine(
        &self,
        said: Said,
        grounds: &Grounds<'_>,
        thresholds: &Thresholds,
    ) -> Said {
        let Some(relative) = grounds.change.relative.filter(|share| *share > -1.0) else {
            return said;
        };
        if grounds.metric.unit() != Unit::Nanoseconds {
            return said;
        }
        let [least, greatest] = grounds.change.relative_ci95.unwrap_or([relative; 2]);
        let most = |drift: &Drift| {
            let [low, high] = drift.ci95.unwrap_or([drift.ratio; 2]);
            match relative > 0.0 {
                true => high.max(1.0),
                false => low.min(1.0),
            }
        };
        let stands = |drift: &Drift| match said.0 {
            // Both are known only so well: the intervals must not overlap.
            Verdict::Regressed | Verdict::Improved if relative > 0.0 => 1.0 + least > most(drift),
            Verdict::Regressed | Verdict::Improved => 1.0 + greatest < most(drift),
            Verdict::Unchanged => {
                let rest = (1.0 + relative) / drift.ratio - 1.0;
                !drift.counts || rest.abs() <= thresholds.relative
            }
            _ => true,
        };
        let drifts = self.drifts.to(grounds.metric, grounds.transports);
        let Some(explains) = drifts.into_iter().find(|drift| !stands(drift)) else {
            return said;
        };
        let why = format!(
            "the machine by itself may have changed by {} between the runs (mode none)",
            percent(most(explains) - 1.0)
        );
        (Verdict::Inconclusive, Some(why))
    }
}

/// Adjusts the p of changes that have one, together; returns how many these are.
fn adjust<'a>(changes: impl Iterator<Item = &'a mut Change>) -> usize {
    let tested: Vec<&mut Change> = changes.filter(|change| change.p.is_some()).collect();
    let p: Vec<f64> = tested.iter().filter_map(|change| change.p).collect();
    for (change, adjusted) in tested.into_iter().zip(benjamini_hochberg(&p)) {
        change.p_adjusted = Some(adjusted);
    }
    p.len()
}

/// Beyond the thresholds of share and amount. Without a share (BASE is zero) any amount is.
fn exceeds(change: &Change, thresholds: &Thresholds) -> bool {
    let beyond = |share: f64| share.abs() > thresholds.relative;
    change.relative.is_none_or(beyond) && change.absolute.abs() > thresholds.absolute
}

/// Whether the whole interval lies within the thresholds of share or of amount.
fn is_ruled_out(change: &Change, thresholds: &Thresholds) -> bool {
    let within = |ends: [f64; 2], most: f64| ends.iter().all(|end| end.abs() <= most);
    let (relative, absolute) = (change.relative_ci95, change.absolute_ci95);
    relative.is_some_and(|ends| within(ends, thresholds.relative))
        || absolute.is_some_and(|ends| within(ends, thresholds.absolute))
}

/// Whether it is more than chance; else why that is not known.
fn significance(grounds: &Grounds<'_>, thresholds: &Thresholds) -> Result<(), String> {
    let change = grounds.change;
    if change.test == EXACT {
        return Ok(());
    }
    if change.test == SEEDS_TEST {
        return match grounds.seeds {
            (seeds, _) if seeds < SEEDS => Err(format!(
                "{seeds} seeds on both sides are too few: {SEEDS} are needed"
            )),
            (_, false) => Err("not every seed moved the same way".to_owned()),
            _ => Ok(()),
        };
    }
    let (Some(p), Some(p_adjusted)) = (change.p, change.p_adjusted) else {
        return Err("there is no test for it".to_owned());
    };
    if p_adjusted <= thresholds.p {
        return Ok(());
    }
    let tests = grounds.tests;
    let asked = thresholds.p / tests.max(1) as f64;
    Err(match grounds.stays {
        Some((n, m)) if least_mann_whitney(n, m) > asked => format!(
            "{n} and {m} stays are too few to tell among {tests} comparisons: {} a side would do",
            stays_to_tell(asked)
        ),
        _ => {
            let (p, p_adjusted) = (digits(p), digits(p_adjusted));
            format!("p {p} is {p_adjusted} among {tests} comparisons")
        }
    })
}

fn too_wide(change: &Change, thresholds: &Thresholds) -> String {
    let Some([low, high]) = change.relative_ci95 else {
        return "too few stays for an interval".to_owned();
    };
    let farther = if low.abs() > high.abs() { low } else { high };
    format!(
        "{} is not ruled out (threshold {})",
        percent(farther),
        percent(thresholds.relative).trim_start_matches('+')
    )
}

/// Stays of NEW that failed or timed out have no say: what the rest shows can be worse, not better.
fn without_the_lost((verdict, reason): Said, lost: &[String]) -> Said {
    if lost.is_empty() {
        return (verdict, reason);
    }
    let lost = format!("NEW {}", lost.join(", "));
    match (verdict, reason) {
        (Verdict::Improved | Verdict::Unchanged, _) => (Verdict::Inconclusive, Some(lost)),
        (_, Some(reason)) => (verdict, Some(format!("{reason}; {lost}"))),
        (_, None) => (verdict, Some(lost)),
    }
}
