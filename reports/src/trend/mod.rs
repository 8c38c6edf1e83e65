//! A history and its changes: which series changed when, and what changed around them.
//!
//! ```text
//! History::add(path) … -> trend(history, question) -> Trend -> format::render
//! ```
//!
//! How, and what it cannot tell: docs/trend.md.

pub mod format;
mod history;

pub use history::{History, HistoryError, KEPT, LARGEST};

use std::collections::{BTreeMap, BTreeSet};

use schema::comparison::{Difference, Thresholds, Verdict};
use schema::trend::{ChangePoint, EnvironmentChange, Trend, TrendRun, TrendSeries};
use schema::{Accelerator, OptionKey, SCHEMA_VERSION, Unit};

use crate::compare::Across;
use crate::gate::Gate;
use crate::statistics::{benjamini_hochberg, change_points, mann_whitney, median, seed_of};
use history::{Past, SeriesKey};

/// What is asked of a history.
#[derive(Debug, Clone)]
pub struct TrendQuestion {
    /// When a change counts.
    pub gate: Gate,
    /// What may change because it is the question.
    pub across: Vec<Across>,
    /// The place of the run since which a regression is new.
    pub since: Option<usize>,
}

/// How series are judged.
const E_DIVISIVE: &str = "e-divisive";
const EXACT: &str = "exact";

/// Values of which a history that never moved is known to be constant.
const CONSTANT: usize = 5;

/// Where the series of a history changed.
#[must_use]
pub fn trend(history: &History, question: &TrendQuestion) -> Trend {
    let runs = &history.runs;
    let mut environments = changes_around(runs, &question.across);
    let keys: BTreeSet<&SeriesKey> = runs.iter().flat_map(|past| past.values.keys()).collect();
    let counted = question.gate.counted();
    let mut series = Vec::new();
    for key in keys {
        let gate = match is_counted(runs, key) {
            true => &counted,
            false => &question.gate,
        };
        if let Some(thresholds) = gate.of(key.1, key.0.scenario) {
            series.extend(judged(key, runs, (&mut environments, question), thresholds));
        }
    }
    corrected(&mut series, question, &counted, runs);
    let new = series
        .iter()
        .flat_map(|one| &one.points)
        .filter(|point| point.new);
    Trend {
        schema_version: SCHEMA_VERSION,
        runs: runs.iter().map(run_of).collect(),
        since: question.since.map(|place| place as u32),
        gate: question.gate.name.clone(),
        across: question
            .across
            .iter()
            .map(|key| key.name().to_owned())
            .collect(),
        regressions: new.count() as u32,
        environments: environments
            .into_iter()
            .map(|((at, environment), differences)| EnvironmentChange {
                at,
                environment,
                differences,
            })
            .collect(),
        series,
    }
}

fn run_of(past: &Past) -> TrendRun {
    TrendRun {
        run: past.run.run.clone(),
        started: past.run.started.clone(),
        revision: past.run.revision.clone(),
    }
}

/// What changed around measurements, by the first run after it and the environment.
type Around = BTreeMap<(u32, String), Vec<Difference>>;

/// Where runs differ from the run before that has the same environment.
fn changes_around(runs: &[Past], across: &[Across]) -> Around {
    let mut found = Around::new();
    let mut last: BTreeMap<&String, usize> = BTreeMap::new();
    for (index, past) in runs.iter().enumerate() {
        for name in past.environments.keys() {
            if let Some(before) = last.insert(name, index) {
                let mut differ = runs[before].differences(past, across);
                found.extend(
                    differ
                        .remove(name)
                        .map(|of| ((index as u32, name.clone()), of)),
                );
            }
        }
    }
    found
}

/// Whether the times of a series are executed instructions.
fn is_counted(runs: &[Past], (key, ..): &SeriesKey) -> bool {
    let mut facts = runs
        .iter()
        .filter_map(|past| past.environments.get(&key.environment));
    facts.any(|facts| facts.accel == Accelerator::TcgIcount)
}

/// A series with its changes, not yet corrected for how many series there are; what changed of its kube-proxy joins what
/// else changed around it. `None` without a value.
fn judged(
    key: &SeriesKey,
    runs: &[Past],
    (around, question): (&mut Around, &TrendQuestion),
    thresholds: &Thresholds,
) -> Option<TrendSeries> {
    let values: Vec<Option<f64>> = runs
        .iter()
        .map(|past| Some(past.values.get(key)?.median))
        .collect();
    let first = values.iter().position(Option::is_some)? as u32;
    let mut stretches = vec![first];
    let asked = question
        .across
        .contains(&Across::Option(OptionKey::KubeProxy));
    for at in kube_proxies(key, runs).filter(|_| !asked) {
        stretches.push(at.0);
        let differences = around.entry((at.0, key.0.environment.clone())).or_default();
        if !differences.contains(&at.1) {
            differences.push(at.1);
        }
    }
    let own = around
        .keys()
        .filter(|(at, name)| *at > first && *name == key.0.environment);
    // Of another cell's kube-proxy this one knows nothing.
    let own = own.filter(|of| {
        around[*of]
            .iter()
            .any(|found| found.key != OptionKey::KubeProxy.name())
    });
    stretches.extend(own.map(|(at, _)| *at));
    stretches.sort_unstable();
    stretches.dedup();
    let exact = key.1.row().exact || key.2 == Unit::Instructions;
    let ends = stretches
        .iter()
        .skip(1)
        .copied()
        .chain([values.len() as u32]);
    let parts: Vec<(u32, u32)> = stretches.iter().copied().zip(ends).collect();
    let parts = parts
        .into_iter()
        .map(|(from, to)| part(&values, from as usize, to as usize));
    let parts: Vec<Part> = parts.collect();
    let exact = exact
        || parts.iter().all(|(_, values)| is_constant(values))
            && parts.iter().any(|(_, values)| values.len() >= CONSTANT);
    let seed = seed_of(&format!("{} {}", key.0, key.1));
    let points = parts.iter().flat_map(|part| match exact {
        true => exact_points(part, thresholds),
        false => divided(part, thresholds, seed),
    });
    Some(TrendSeries {
        points: points.collect(),
        key: key.0.clone(),
        metric: key.1,
        unit: key.2,
        values,
        test: if exact { EXACT } else { E_DIVISIVE }.to_owned(),
        stretches,
    })
}

/// Where a series has the rules of another version of kube-proxy than before.
fn kube_proxies<'a>(
    key: &'a SeriesKey,
    runs: &'a [Past],
) -> impl Iterator<Item = (u32, Difference)> + 'a {
    let versions = (0..)
        .zip(runs)
        .filter_map(move |(at, past)| Some((at, &past.values.get(key)?.kube_proxy)));
    let mut last: Option<&String> = None;
    versions.filter_map(move |(at, version)| {
        let before = last.replace(version)?;
        (before != version).then(|| {
            let difference = Difference {
                key: OptionKey::KubeProxy.name().to_owned(),
                fact: OptionKey::KubeProxy.name().to_owned(),
                base: before.clone(),
                new: version.clone(),
            };
            (at, difference)
        })
    })
}

/// The values of a stretch, and of which runs they are.
type Part = (Vec<u32>, Vec<f64>);

fn part(values: &[Option<f64>], from: usize, to: usize) -> Part {
    let known = (from as u32..).zip(&values[from..to]);
    known
        .filter_map(|(at, value)| Some((at, (*value)?)))
        .unzip()
}

/// Whether values repeat exactly, but for one change in ten at most: nothing measured does.
fn is_constant(values: &[f64]) -> bool {
    let moved = values.windows(2).filter(|two| two[0] != two[1]).count();
    10 * moved <= values.len().max(10) && (values.len() >= CONSTANT || moved == 0)
}

/// Every change beyond the thresholds from what a level began with.
fn exact_points((runs, values): &Part, thresholds: &Thresholds) -> Vec<ChangePoint> {
    let mut places = Vec::new();
    let mut level = values.first().copied();
    for (place, value) in values.iter().enumerate() {
        if level.is_some_and(|level| exceeds(level, *value, thresholds)) {
            places.push(place);
            level = Some(*value);
        }
    }
    let points = sides(values, &places).into_iter().zip(&places);
    points
        .filter_map(|(sides, place)| point(runs[*place], sides, None, thresholds))
        .collect()
}

/// Changes by E-divisive, of logarithms where all values are positive: runs differ by factors.
fn divided((runs, values): &Part, thresholds: &Thresholds, seed: u64) -> Vec<ChangePoint> {
    let logarithms = values.iter().all(|value| *value > 0.0);
    let scaled: Vec<f64> = match logarithms {
        true => values.iter().map(|value| value.ln()).collect(),
        false => values.clone(),
    };
    let places = change_points(&scaled, thresholds.p, seed).at;
    let points = sides(values, &places).into_iter().zip(&places);
    points
        .filter_map(|((before, after), place)| {
            let splits = (before.len() + after.len() - 1) as f64;
            let p = (mann_whitney(before, after)? * splits).min(1.0);
            point(runs[*place], (before, after), Some(p), thresholds)
        })
        .collect()
}

/// The values before and after each change, up to its neighbours.
fn sides<'a>(values: &'a [f64], places: &[usize]) -> Vec<(&'a [f64], &'a [f64])> {
    let side = |(index, place): (usize, &usize)| {
        let from = index.checked_sub(1).map_or(0, |before| places[before]);
        let to = places.get(index + 1).copied().unwrap_or(values.len());
        (&values[from..*place], &values[*place..to])
    };
    places.iter().enumerate().map(side).collect()
}

fn point(
    at: u32,
    (before, after): (&[f64], &[f64]),
    p: Option<f64>,
    thresholds: &Thresholds,
) -> Option<ChangePoint> {
    let (before, after) = (
        median(before.iter().copied())?,
        median(after.iter().copied())?,
    );
    let absolute = after - before;
    let verdict = match exceeds(before, after, thresholds) {
        // Of every metric less is better.
        true if absolute > 0.0 => Verdict::Regressed,
        true => Verdict::Improved,
        false => Verdict::Unchanged,
    };
    Some(ChangePoint {
        at,
        before,
        after,
        relative: (before != 0.0).then(|| after / before - 1.0),
        absolute,
        p,
        p_adjusted: None,
        verdict,
        new: false,
    })
}

/// Beyond the thresholds of share and amount.
fn exceeds(before: f64, after: f64, thresholds: &Thresholds) -> bool {
    let by = (after - before).abs();
    by > thresholds.relative * before.abs() && by > thresholds.absolute
}

/// Corrects for how many series there are, and says what is new. A series without a change is a test that found none.
fn corrected(series: &mut [TrendSeries], question: &TrendQuestion, counted: &Gate, runs: &[Past]) {
    let tested = |one: &TrendSeries| one.test == E_DIVISIVE;
    let since = question.since;
    let is_after = |point: &ChangePoint| since.is_some_and(|since| point.at as usize > since);
    // What is asked about is a family of its own: changes that are known do not make another one more likely.
    let adjusted = |after: bool| {
        let mut p = Vec::new();
        for one in series.iter().filter(|one| tested(one)) {
            let own = one.points.iter().filter(|point| is_after(point) == after);
            let own: Vec<f64> = own.filter_map(|point| point.p).collect();
            match own.is_empty() {
                true => p.push(1.0),
                false => p.extend(own),
            }
        }
        p
    };
    let [mut before, mut after] =
        [false, true].map(|after| benjamini_hochberg(&adjusted(after)).into_iter());
    for one in series {
        let key = (one.key.clone(), one.metric, one.unit);
        let gate = if is_counted(runs, &key) {
            counted
        } else {
            &question.gate
        };
        let p = gate
            .of(one.metric, one.key.scenario)
            .map_or(0.0, |thresholds| thresholds.p);
        if tested(one) {
            // Those without a change stand in each family as one that found none.
            for (family, of) in [(&mut before, false), (&mut after, true)] {
                let mut own = one.points.iter_mut().filter(|point| is_after(point) == of);
                let mut any = false;
                for point in own.by_ref().filter(|point| point.p.is_some()) {
                    point.p_adjusted = family.next();
                    any = true;
                }
                if !any {
                    family.next();
                }
            }
        }
        for point in &mut one.points {
            if point.p.is_some() && point.p_adjusted.is_none_or(|adjusted| adjusted > p) {
                point.verdict = Verdict::Inconclusive;
            }
            point.new = is_after(point) && point.verdict == Verdict::Regressed;
        }
    }
}
