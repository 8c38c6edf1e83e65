//! Where one mode overtakes another as N grows.
//!
//! Medians, and the ends of their intervals, are joined from size to size by lines on logarithmic axes. Two
//! modes cross where the lines of their medians do. That is said only when at a size below one is told apart
//! as the lower and at a size above the other; the crossing then lies, with more than 95 % confidence,
//! between the last N up to which the intervals are apart and the first from which they are apart again,
//! because intervals that still overlap exclude no order.

use std::borrow::Cow;

use schema::summary::{Finding, FindingKind, Row};
use schema::{Metric, ScenarioKind};

use super::{Context, Subject, apart, evidence};
use crate::quantity::whole;
use crate::summarise::measures::is_ordinary;
use crate::view::{are_apart, as_ranked, grouped, has_bounds, known, ranked, series_names};

/// A logarithm and back is off by less.
const TINY: f64 = 1e-6;

/// What a metric shows of crossings, as clauses: those that are known, and pairs of which none is although their values
/// change places, either not told apart on a side or of too few stays.
#[derive(Default)]
struct Seen {
    known: Vec<String>,
    unknown: Vec<String>,
    few: Vec<String>,
}

/// One mode's values over N.
struct Curve<'a> {
    name: String,
    rows: Vec<Cow<'a, Row>>,
}

/// Where two curves cross: the point, and between which N.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Crossing {
    at: f64,
    from: f64,
    to: f64,
}

impl Context<'_, '_> {
    /// Who overtakes whom, for first packets and for the updates that are made one by one, by each of their times; a
    /// headline where a crossing is known.
    pub(super) fn crossings(&self, packets: &[Subject]) -> Vec<Finding> {
        let first = "first {protocol} packets (latency, {cache}) to {which} service";
        let packets = packets.iter().map(|packet| (first, packet.clone()));
        let updates = [
            ("adding one service", ScenarioKind::ServiceAdd.into()),
            ("installing from nothing", ScenarioKind::ColdInstall.into()),
        ];
        packets
            .chain(updates)
            .filter_map(|(question, subject)| self.crossings_of(question, &subject))
            .collect()
    }

    /// One sentence for a question, with a part for each of its metrics that has curves.
    fn crossings_of(&self, question: &str, subject: &Subject) -> Option<Finding> {
        let metrics: &[(Metric, &str)] = match subject.scenario.is_update() {
            true => &[
                (Metric::UpdateTime, "by update_time and its release: "),
                (Metric::SyncTime, "by sync_time: "),
            ],
            false => &[(Metric::Latency, "")],
        };
        let (mut parts, mut proof, mut known, mut turned) = (Vec::new(), Vec::new(), false, false);
        for (metric, by) in metrics {
            let curves = self.curves(subject, *metric);
            if curves.len() > 1 {
                let seen = self.seen(&curves, *metric, &mut proof);
                known |= !seen.known.is_empty();
                turned |= seen.is_any();
                parts.push(format!("{by}{}", seen.text()));
            }
        }
        proof.dedup();
        let question = format!("Which mode overtakes which, as N grows, for {question}");
        let verdict = format!("{}.", parts.join(". And "));
        turned.then(|| Finding {
            headline: known,
            ..self.finding(FindingKind::Crossings, subject, &question, (verdict, proof))
        })
    }

    /// What the curves of one metric show, each beside each.
    fn seen(&self, curves: &[Curve<'_>], metric: Metric, proof: &mut Vec<String>) -> Seen {
        let mut seen = Seen::default();
        let as_stated = |row: &Row| self.row(&row.key, metric).map(evidence);
        for (index, a) in curves.iter().enumerate() {
            for b in &curves[index + 1..] {
                let pairs = shared(a, b);
                let crossings = crossings(&pairs);
                for crossing in &crossings {
                    // Below the crossing a is the lower one, or b is.
                    let is_below = |row: &Row| f64::from(row.key.services) <= crossing.from;
                    let mut below = pairs.iter().rev();
                    let below = below.find(|(x, y)| is_below(x) && are_apart(x, y));
                    let Some((x, y)) = below else { continue };
                    let (over, under) = if x.median < y.median { (b, a) } else { (a, b) };
                    seen.known.push(format!(
                        "{} overtakes {} at {} services ({}–{})",
                        over.name,
                        under.name,
                        rounded(crossing.at, f64::round),
                        rounded(crossing.from, |n| (n + TINY).floor()),
                        rounded(crossing.to, |n| (n - TINY).ceil())
                    ));
                    let rows = pairs.iter().flat_map(|(x, y)| [*x, *y]);
                    proof.extend(rows.filter_map(as_stated));
                }
                if crossings.is_empty() && medians_turn(&pairs) {
                    let all_known = pairs.iter().all(|(x, y)| has_bounds(x) && has_bounds(y));
                    let place = if all_known {
                        &mut seen.unknown
                    } else {
                        &mut seen.few
                    };
                    place.push(format!("{} with {}", a.name, b.name));
                }
            }
        }
        if proof.is_empty() {
            let rows = curves.iter().flat_map(|curve| &curve.rows);
            proof.extend(rows.filter_map(|row| as_stated(row)));
        }
        seen
    }

    /// The curves of the modes that serve services, each through its ordinary way, in the fixed order.
    fn curves(&self, subject: &Subject, metric: Metric) -> Vec<Curve<'_>> {
        let rows = self.scope.rows(self.summary).filter(|row| {
            !row.key.mode.is_floor()
                && is_ordinary(&row.key)
                && subject.asks(&row.key)
                && row.metric == Some(metric)
                && ranked(row).is_some()
        });
        let found = grouped(rows.map(|row| ((row.key.mode, &row.key.options), as_ranked(row))));
        let (series, found): (Vec<_>, Vec<_>) = found.into_iter().unzip();
        let curves = series_names(&series).into_iter().zip(found);
        curves
            .map(|(name, mut rows)| {
                rows.sort_by_key(|row| row.key.services);
                Curve { name, rows }
            })
            .collect()
    }
}

impl Seen {
    /// Whether values change places at all.
    fn is_any(&self) -> bool {
        let all = [&self.known, &self.unknown, &self.few];
        all.iter().any(|pairs| !pairs.is_empty())
    }

    fn text(&self) -> String {
        let mut text = match self.known.is_empty() {
            true => "no crossing is known".to_owned(),
            false => apart(&self.known),
        };
        for (pairs, why) in [
            (
                &self.unknown,
                "inconclusive, since values change places but are not told apart on a side",
            ),
            (
                &self.few,
                "too few stays at some sizes, where values change places",
            ),
        ] {
            if !pairs.is_empty() {
                text.push_str(&format!("; {why}: {}", pairs.join(", ")));
            }
        }
        text
    }
}

/// The rows of both curves at the sizes that both have.
fn shared<'a>(a: &'a Curve<'_>, b: &'a Curve<'_>) -> Vec<(&'a Row, &'a Row)> {
    a.rows
        .iter()
        .filter_map(|x| {
            let y = b.rows.iter().find(|y| y.key.services == x.key.services)?;
            Some((x.as_ref(), y.as_ref()))
        })
        .collect()
}

/// Whether the order of the medians is not the same at all sizes.
fn medians_turn(pairs: &[(&Row, &Row)]) -> bool {
    let lower = |(x, y): &(&Row, &Row)| x.median < y.median;
    pairs
        .windows(2)
        .any(|pair| lower(&pair[0]) != lower(&pair[1]))
}

/// Every crossing between two neighbouring sizes at which the two are told apart in opposite orders.
fn crossings(pairs: &[(&Row, &Row)]) -> Vec<Crossing> {
    let apart: Vec<usize> = (0..pairs.len())
        .filter(|index| are_apart(pairs[*index].0, pairs[*index].1))
        .collect();
    apart
        .windows(2)
        .filter_map(|ends| between(&pairs[ends[0]..=ends[1]]))
        .collect()
}

/// The crossing inside a stretch whose ends are told apart; `None` when both are in the same order, or when
/// the medians cross more than once.
fn between(pairs: &[(&Row, &Row)]) -> Option<Crossing> {
    let (first, last) = (pairs.first()?, pairs.last()?);
    let rising = first.0.median < first.1.median;
    if rising == (last.0.median < last.1.median) {
        return None;
    }
    // The lower one below the crossing, and the lower one above it.
    let ordered: Vec<(&Row, &Row)> = pairs
        .iter()
        .map(|(x, y)| if rising { (*x, *y) } else { (*y, *x) })
        .collect();
    let middle = |row: &Row| row.median;
    let end = |row: &Row, which: usize| Some(known(row)?.bounds()?[which]);
    let low = |row: &Row| end(row, 0);
    let high = |row: &Row| end(row, 1);
    let medians = zeros(&ordered, middle, middle);
    let [at] = medians.as_slice() else {
        return None;
    };
    // Up to here the upper end of the lower one is below the lower end of the other.
    let from = *zeros(&ordered, high, low).first()?;
    let to = *zeros(&ordered, low, high).last()?;
    (from <= *at && *at <= to).then_some(Crossing { at: *at, from, to })
}

/// Where ln(a) − ln(b) is zero, each joined from size to size by lines over ln(N).
fn zeros(
    pairs: &[(&Row, &Row)],
    a: impl Fn(&Row) -> Option<f64>,
    b: impl Fn(&Row) -> Option<f64>,
) -> Vec<f64> {
    let gap = |(x, y): &(&Row, &Row)| Some(a(x)?.ln() - b(y)?.ln());
    pairs
        .windows(2)
        .filter_map(|pair| {
            let (left, right) = (gap(&pair[0])?, gap(&pair[1])?);
            if !left.is_finite() || !right.is_finite() || (left < 0.0) == (right < 0.0) {
                return None;
            }
            let [from, to] = [pair[0].0, pair[1].0].map(|row| f64::from(row.key.services).ln());
            Some((from + (to - from) * left / (left - right)).exp())
        })
        .collect()
}

/// N to three digits, rounded as asked: the ends of an interval outwards, so that it holds what it held.
fn rounded(services: f64, round: fn(f64) -> f64) -> String {
    let step = 10f64.powf((services.log10().floor() - 2.0).max(0.0));
    whole((round(services / step) * step).round() as u64)
}
