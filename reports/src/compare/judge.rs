//! From numbers to verdicts. A change counts when p, its share and its amount are all beyond the gate's
//! thresholds; that there is none counts when the interval leaves such a change out. Everything else is
//! inconclusive, and says what it would take.

use schema::Metric;
use schema::comparison::{Change, Compared, Drift, Pooled, Thresholds, Verdict};

use super::format::percent;
use super::pool::Pool;
use super::trial::{self, Trial};
use crate::gate::Gate;
use crate::quantity::digits;
use crate::statistics::{benjamini_hochberg, least_mann_whitney, stays_to_tell};

pub(super) struct Judge<'a> {
    gate: &'a Gate,
    /// What the machine did between two runs.
    drift: Option<&'a Drift>,
}

/// A verdict with its reason.
type Said = (Verdict, Option<String>);

/// What a test had to go by.
struct Grounds<'a> {
    metric: Metric,
    change: &'a Change,
    /// Stays of either side that were tested, for advice.
    stays: Option<(usize, usize)>,
    /// Tests in the family.
    tests: usize,
    /// Of a deterministic pair: seeds, and whether all of them moved the same way.
    seeds: (usize, bool),
}

impl<'a> Judge<'a> {
    pub(super) fn new(gate: &'a Gate, drift: Option<&'a Drift>) -> Self {
        Self { gate, drift }
    }

    /// Fills in the rows of all trials.
    pub(super) fn cells(&self, rows: &mut [Compared], trials: &mut [Trial<'_>]) {
        let adjusted = adjusted(trials.iter().map(|trial| trial.p));
        let tests = trials.iter().filter(|trial| trial.p.is_some()).count();
        for (trial, p_adjusted) in trials.iter().zip(adjusted) {
            let row = &mut rows[trial.place];
            let median = row.base.as_ref().map_or(f64::NAN, |base| base.median);
            let change = trial.change(median, p_adjusted);
            let said = self.verdict(&Grounds {
                metric: trial.metric,
                change: &change,
                stays: (trial.test == trial::MANN_WHITNEY)
                    .then_some((trial.base.len(), trial.new.len())),
                tests,
                seeds: (trial.seeds, trial.agreed),
            });
            (row.verdict, row.reason) = without_the_lost(said, &trial.lost);
            row.change = Some(change);
        }
    }

    /// Verdicts on pools. Those of single modes and those of all are two families: each question is asked
    /// once.
    pub(super) fn pooled(&self, pools: &[Pool]) -> Vec<Pooled> {
        let mut verdicts = Vec::new();
        for of_one_mode in [false, true] {
            let family: Vec<&Pool> = pools
                .iter()
                .filter(|pool| pool.mode.is_some() == of_one_mode)
                .collect();
            let adjusted = adjusted(family.iter().map(|pool| pool.p));
            for (pool, p_adjusted) in family.iter().zip(adjusted) {
                let change = pool.change(p_adjusted);
                let (verdict, reason) = self.verdict(&Grounds {
                    metric: pool.metric,
                    change: &change,
                    stays: None,
                    tests: family.len(),
                    seeds: (0, false),
                });
                verdicts.push(Pooled {
                    scenario: pool.scenario,
                    metric: pool.metric,
                    mode: pool.mode,
                    cells: pool.cells,
                    base_units: pool.base_units,
                    new_units: pool.new_units,
                    verdict,
                    reason,
                    change,
                });
            }
        }
        verdicts
    }

    fn verdict(&self, grounds: &Grounds<'_>) -> Said {
        let Some(thresholds) = self.gate.thresholds.get(&grounds.metric) else {
            return (
                Verdict::Incomparable,
                Some("the gate has no thresholds for it".to_owned()),
            );
        };
        let change = grounds.change;
        if change.test == trial::IDENTICAL {
            return (
                Verdict::Unchanged,
                Some("every sample is the same".to_owned()),
            );
        }
        let beyond = exceeds(change.relative, change.absolute, thresholds);
        let said = if beyond {
            match significance(grounds, thresholds) {
                Ok(()) => (direction(change.absolute), None),
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
        let (Some(drift), Some(relative)) = (self.drift, grounds.change.relative) else {
            return said;
        };
        if !trial::is_time(grounds.metric) || relative <= -1.0 {
            return said;
        }
        let [low, high] = drift.ci95.unwrap_or([drift.ratio; 2]);
        let [least, greatest] = grounds.change.relative_ci95.unwrap_or([relative; 2]);
        let most = if relative > 0.0 {
            high.max(1.0)
        } else {
            low.min(1.0)
        };
        let stands = match said.0 {
            // Both are known only so well: the intervals must not overlap.
            Verdict::Regressed | Verdict::Improved if relative > 0.0 => 1.0 + least > most,
            Verdict::Regressed | Verdict::Improved => 1.0 + greatest < most,
            Verdict::Unchanged => {
                let rest = (1.0 + relative) / drift.ratio - 1.0;
                !drift.counts || rest.abs() <= thresholds.relative
            }
            _ => true,
        };
        if stands {
            return said;
        }
        let why = format!(
            "the machine by itself may have changed by {} between the runs (mode none)",
            percent(most - 1.0)
        );
        (Verdict::Inconclusive, Some(why))
    }
}

/// p of those that have one, adjusted together.
fn adjusted(p: impl Iterator<Item = Option<f64>>) -> Vec<Option<f64>> {
    let all: Vec<Option<f64>> = p.collect();
    let known: Vec<f64> = all.iter().copied().flatten().collect();
    let mut adjusted = benjamini_hochberg(&known).into_iter();
    all.into_iter()
        .map(|p| p.and_then(|_| adjusted.next()))
        .collect()
}

/// Of every metric less is better.
fn direction(absolute: f64) -> Verdict {
    if absolute > 0.0 {
        Verdict::Regressed
    } else {
        Verdict::Improved
    }
}

/// Beyond the thresholds of share and amount. Without a share (BASE is zero) any amount is.
fn exceeds(relative: Option<f64>, absolute: f64, thresholds: &Thresholds) -> bool {
    relative.is_none_or(|share| share.abs() > thresholds.relative)
        && absolute.abs() > thresholds.absolute
}

/// Whether the whole interval lies within the thresholds of share or of amount.
fn is_ruled_out(change: &Change, thresholds: &Thresholds) -> bool {
    let within = |ends: Option<[f64; 2]>, most: f64| {
        ends.is_some_and(|ends| ends.iter().all(|end| end.abs() <= most))
    };
    within(change.relative_ci95, thresholds.relative)
        || within(change.absolute_ci95, thresholds.absolute)
}

/// Whether it is more than chance; else why that is not known.
fn significance(grounds: &Grounds<'_>, thresholds: &Thresholds) -> Result<(), String> {
    let change = grounds.change;
    if change.test == trial::EXACT {
        return Ok(());
    }
    if change.test == trial::SEEDS_TEST {
        return match grounds.seeds {
            (seeds, _) if seeds < trial::SEEDS => Err(format!(
                "{seeds} seeds on both sides are too few: {} are needed",
                trial::SEEDS
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
    let asked = thresholds.p / grounds.tests.max(1) as f64;
    Err(match grounds.stays {
        Some((n, m)) if least_mann_whitney(n, m) > asked => format!(
            "{n} and {m} stays are too few to tell among {} comparisons: {} a side would do",
            grounds.tests,
            stays_to_tell(asked)
        ),
        _ => format!(
            "p {} is {} among {} comparisons",
            digits(p),
            digits(p_adjusted),
            grounds.tests
        ),
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
    match verdict {
        Verdict::Improved | Verdict::Unchanged => (Verdict::Inconclusive, Some(lost)),
        _ => (
            verdict,
            Some(reason.map_or(lost.clone(), |reason| format!("{reason}; {lost}"))),
        ),
    }
}
