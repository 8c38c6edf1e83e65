//! What is known of a row's value, and what tells two rows apart: every word of a verdict is decided here.

use std::borrow::Cow;
use std::cmp::Ordering::{self, Equal, Greater, Less};
use std::sync::LazyLock;

use schema::summary::{Fit, Row};
use schema::{Metric, OutcomeKind, Unit};

use crate::gate::Gate;
use crate::statistics::{Known, SEEDS};

/// Lower bound of a row without numbers that timed out, nanoseconds of update time. `None` where the
/// scenario does not measure that: a bound of a batch says nothing of the latency of a packet.
///
/// A row of a metric has one where half of its stays timed out.
#[must_use]
pub fn lower_bound(row: &Row) -> Option<f64> {
    let bounded = row.outcome == OutcomeKind::TimedOut && row.key.scenario.is_update();
    row.lower_bound_ns
        .filter(|_| bounded)
        .map(|bound| bound as f64)
}

/// Whether a row is lower than those of every other mode that serves services, and told apart from them ([`order`]);
/// of times of updates, what timed out must have done so above its interval.
#[must_use]
pub fn is_lowest(row: &Row, answers: &[&Row]) -> bool {
    let ranked = !row.key.mode.is_floor() && row.metric.is_none_or(|metric| metric.row().ranked);
    let mut others = answers
        .iter()
        .filter(|other| other.key.mode != row.key.mode && !other.key.mode.is_floor())
        .filter(|other| {
            other.metric.is_some() || lower_bound(other).is_some_and(|_| is_bounded(row))
        })
        .peekable();
    ranked && others.peek().is_some() && others.all(|other| order(row, other) == Some(Less))
}

/// Whether a time limit bounds the metric of a row.
fn is_bounded(row: &Row) -> bool {
    row.metric.is_some_and(|metric| metric.row().bounded)
}

/// What decides every word of a verdict: how two rows are told apart, `Less` when the first is the lower one.
///
/// Timed: both have an interval, and these do not overlap (then the interval of their ratio leaves 1 out as well);
/// of a cell that has no numbers because it timed out, its bound lies above the other's interval. Counted: at least
/// [`SEEDS`] seeds of both, which all agree, and a difference in their middle beyond what a placebo makes.
///
/// Of updates it is their whole ([`Row::whole`]) that is told apart.
#[must_use]
pub fn order(a: &Row, b: &Row) -> Option<Ordering> {
    if a.whole.is_some() || b.whole.is_some() {
        return order(&as_ranked(a), &as_ranked(b));
    }
    if let Some(found) = by_bound(a, b) {
        return Some(found);
    }
    if a.metric.is_none() || a.unit != b.unit {
        return None;
    }
    if a.unit == Some(Unit::Instructions) {
        return by_seed(a, b);
    }
    let ([low_a, high_a], [low_b, high_b]) = (a.ci95?, b.ci95?);
    if high_a < low_b {
        Some(Less)
    } else if high_b < low_a {
        Some(Greater)
    } else {
        None
    }
}

/// A row as it is ranked: of an update with what it releases after its answer.
#[must_use]
pub fn as_ranked(row: &Row) -> Cow<'_, Row> {
    row.whole.as_ref().map_or(Cow::Borrowed(row), |whole| {
        Cow::Owned(Row {
            median: whole.median,
            ci95: whole.ci95,
            range: whole.range,
            by_seed: whole.by_seed.clone(),
            whole: None,
            ..row.clone()
        })
    })
}

/// The value that a row is ranked by.
#[must_use]
pub fn ranked(row: &Row) -> Option<f64> {
    match &row.whole {
        Some(whole) => whole.median,
        None => row.median,
    }
}

/// How a mode stands beside the lowest of its question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Told apart from every other mode, below all of them.
    Lowest,
    /// The lowest median or one that is not told apart from it, though both have an interval.
    Level,
    /// It or the lowest has too few stays for an interval.
    Unknown,
    /// Told apart from the lowest median, above it.
    Higher,
}

/// How a row stands beside the one of the lowest value.
pub(crate) fn standing(lowest: &Row, row: &Row) -> Standing {
    match order(lowest, row) {
        Some(Less) => Standing::Higher,
        _ if has_bounds(lowest) && has_bounds(row) => Standing::Level,
        _ => Standing::Unknown,
    }
}

/// Whether two rows are told apart: [`order`].
#[must_use]
pub fn are_apart(a: &Row, b: &Row) -> bool {
    order(a, b).is_some()
}

fn by_bound(a: &Row, b: &Row) -> Option<Ordering> {
    let above = |bounded: &Row, other: &Row| {
        let bound = lower_bound(bounded).filter(|_| bounded.metric.is_none() && is_bounded(other));
        let top = known(other).and_then(|known| known.bounds());
        bound.zip(top).is_some_and(|(bound, [_, top])| bound > top)
    };
    match (above(b, a), above(a, b)) {
        (true, _) => Some(Less),
        (_, true) => Some(Greater),
        _ => None,
    }
}

/// What makes a difference of counted figures one: measured with placebos, as the gate's.
static PLACEBO: LazyLock<Gate> = LazyLock::new(|| Gate::shipped().counted());

fn by_seed(a: &Row, b: &Row) -> Option<Ordering> {
    let mut pairs = a
        .by_seed
        .iter()
        .filter_map(|(seed, x)| Some((*x, *b.by_seed.get(seed)?)));
    let (mut shares, mut amounts) = (Vec::new(), Vec::new());
    let first = pairs.clone().next().map(|(x, y)| x.total_cmp(&y))?;
    let agreed = pairs.all(|(x, y)| {
        shares.push(y / x - 1.0);
        amounts.push(y - x);
        x.total_cmp(&y) == first
    });
    let metric = if a.metric == Some(Metric::Latency) {
        Metric::Latency
    } else {
        Metric::UpdateTime
    };
    let thresholds = PLACEBO.thresholds.get(&metric)?;
    let beyond = |values: &[f64], most: f64| {
        Known::of_seeds(values).is_some_and(|middle| middle.value.abs() > most)
    };
    let told = agreed
        && shares.len() >= SEEDS
        && beyond(&shares, thresholds.relative)
        && beyond(&amounts, thresholds.absolute);
    told.then_some(first).filter(|order| *order != Equal)
}

/// What is known of a row's value; of one that timed out in half of its stays that is infinite. `None` without
/// numbers.
#[must_use]
pub fn known(row: &Row) -> Option<Known> {
    let counted = row.unit == Some(Unit::Instructions);
    row.metric?;
    Some(Known {
        value: row.median.unwrap_or(f64::INFINITY),
        ci95: row.ci95,
        range: row.range,
        of: match counted {
            true => row.by_seed.len(),
            false => (row.stays + row.censored) as usize,
        },
        counted,
    })
}

/// Whether a row can be told apart from another at all: it has an interval, of counted runs enough seeds.
#[must_use]
pub(crate) fn has_bounds(row: &Row) -> bool {
    known(row).is_some_and(|known| known.bounds().is_some())
}

/// What is known of a fit's estimate.
pub(crate) fn known_of_fit(fit: &Fit) -> Known {
    Known {
        value: fit.estimate,
        ci95: fit.ci95,
        range: fit.range,
        of: fit.blocks as usize,
        counted: fit.unit.row().of == Some(Unit::Instructions),
    }
}

/// What is drawn of a row beside its value: the interval, else the range of its stays, an open end where it is known
/// to reach.
#[must_use]
pub(crate) fn bar(row: &Row) -> Option<[f64; 2]> {
    let [low, high] = row.ci95.or(row.range)?;
    let open = row.lower_bound_ns.map(|bound| bound as f64).or(row.median);
    Some([
        low,
        if high.is_finite() {
            high
        } else {
            open?.max(low)
        },
    ])
    .filter(|[low, _]| low.is_finite())
}
