//! Where one mode overtakes another as N grows.
//!
//! Medians, and the ends of their intervals, are joined from size to size by lines on logarithmic axes. Two
//! modes cross where the lines of their medians do. That is said only when at a size below one is told apart
//! as the lower and at a size above the other; the crossing then lies, with more than 95 % confidence,
//! between the last N up to which the intervals are apart and the first from which they are apart again,
//! because intervals that still overlap exclude no order.

use std::borrow::Cow;

use schema::summary::{Finding, FindingKind, Row};
use schema::{CellKey, Metric, Options, ScenarioKind};

use super::{Context, evidence};
use crate::quantity::whole;
use crate::summarise::measures::is_ordinary;
use crate::view::{are_apart, as_ranked, has_bounds, known, ranked, series_names};

/// A logarithm and back is off by less.
const TINY: f64 = 1e-6;

/// What a metric shows of crossings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Known,
    Unknown,
    Nothing,
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
    pub(super) fn crossings(&self) -> Vec<Finding> {
        let mut found = Vec::new();
        for packet in self.packets_asked() {
            let question = format!(
                "first {} packets (latency, {} caches) to {} service",
                packet.protocol.words(),
                packet.cache,
                packet.position.row().which
            );
            let asks = |key: &CellKey| packet.asks(key);
            let of = |question, verdict| {
                self.of_packets(FindingKind::Crossings, &packet, question, verdict)
            };
            found.extend(self.crossings_of(&question, &asks, &[Metric::Latency], of));
        }
        for (question, scenario) in [
            ("adding one service", ScenarioKind::ServiceAdd),
            ("installing from nothing", ScenarioKind::ColdInstall),
        ] {
            let asks = |key: &CellKey| key.scenario == scenario;
            let times = [Metric::UpdateTime, Metric::SyncTime];
            let of = |question, verdict| {
                self.finding(FindingKind::Crossings, scenario, question, verdict)
            };
            found.extend(self.crossings_of(question, &asks, &times, of));
        }
        found
    }

    /// One sentence for a question, with a part for each of its metrics that has curves.
    fn crossings_of(
        &self,
        question: &str,
        asks: &impl Fn(&CellKey) -> bool,
        metrics: &[Metric],
        finding: impl Fn(String, String) -> Finding,
    ) -> Option<Finding> {
        let (mut parts, mut proof, mut known, mut turned) = (Vec::new(), Vec::new(), false, false);
        for metric in metrics {
            if let Some((said, part)) = self.crossings_by(asks, *metric, &mut proof) {
                known |= said == Said::Known;
                turned |= said != Said::Nothing;
                let by = match metrics.len() {
                    1 => String::new(),
                    _ if metric == &Metric::UpdateTime => {
                        "by update_time and its release: ".to_owned()
                    }
                    _ => format!("by {metric}: "),
                };
                parts.push(format!("{by}{part}"));
            }
        }
        turned.then(|| {
            proof.dedup();
            let question = format!("Which mode overtakes which, as N grows, for {question}");
            Finding {
                evidence: proof,
                headline: known,
                ..finding(question, format!("{}.", parts.join(". And ")))
            }
        })
    }

    /// What one metric shows; `None` where fewer than two modes have it.
    fn crossings_by(
        &self,
        asks: &impl Fn(&CellKey) -> bool,
        metric: Metric,
        proof: &mut Vec<String>,
    ) -> Option<(Said, String)> {
        let curves = self.curves(asks, metric);
        if curves.len() < 2 {
            return None;
        }
        let (mut parts, mut unknown, mut few) = (Vec::new(), Vec::new(), Vec::new());
        for (index, a) in curves.iter().enumerate() {
            for b in &curves[index + 1..] {
                let pairs = shared(a, b);
                for crossing in crossings(&pairs) {
                    // Below the crossing a is the lower one, or b is.
                    let below = pairs.iter().rev().find(|(x, y)| {
                        f64::from(x.key.services) <= crossing.from && are_apart(x, y)
                    });
                    let Some((x, y)) = below else { continue };
                    let (over, under) = if x.median < y.median { (b, a) } else { (a, b) };
                    parts.push(format!(
                        "{} overtakes {} at {} services ({}–{})",
                        over.name,
                        under.name,
                        rounded(crossing.at, f64::round),
                        rounded(crossing.from, |n| (n + TINY).floor()),
                        rounded(crossing.to, |n| (n - TINY).ceil())
                    ));
                    let rows = pairs.iter().flat_map(|(x, y)| [*x, *y]);
                    proof.extend(
                        rows.filter_map(|row| self.row(&row.key, metric))
                            .map(evidence),
                    );
                }
                if medians_turn(&pairs) && crossings(&pairs).is_empty() {
                    let all_known = pairs.iter().all(|(x, y)| has_bounds(x) && has_bounds(y));
                    let place = if all_known { &mut unknown } else { &mut few };
                    place.push(format!("{} with {}", a.name, b.name));
                }
            }
        }
        let said = match (parts.is_empty(), unknown.is_empty() && few.is_empty()) {
            (false, _) => Said::Known,
            (true, false) => Said::Unknown,
            (true, true) => Said::Nothing,
        };
        if proof.is_empty() {
            let rows = curves.iter().flat_map(|curve| &curve.rows);
            proof.extend(
                rows.filter_map(|row| self.row(&row.key, metric))
                    .map(evidence),
            );
        }
        let text = told(said, &parts, &unknown, &few);
        Some((said, text))
    }

    /// The curves of the modes that serve services, each through its ordinary way, in the fixed order.
    fn curves(&self, asks: &impl Fn(&CellKey) -> bool, metric: Metric) -> Vec<Curve<'_>> {
        let rows = self.scope.rows(self.summary);
        let mut found: Vec<(&CellKey, Vec<Cow<'_, Row>>)> = Vec::new();
        for row in
            rows.filter(|row| !row.key.mode.is_floor() && is_ordinary(&row.key) && asks(&row.key))
        {
            if row.metric != Some(metric) || ranked(row).is_none() {
                continue;
            }
            let same = |key: &CellKey| key.mode == row.key.mode && key.options == row.key.options;
            match found.iter_mut().find(|(key, _)| same(key)) {
                Some((_, rows)) => rows.push(as_ranked(row)),
                None => found.push((&row.key, vec![as_ranked(row)])),
            }
        }
        let named: Vec<(schema::Mode, &Options)> = found
            .iter()
            .map(|(key, _)| (key.mode, &key.options))
            .collect();
        let names = series_names(&named);
        found
            .into_iter()
            .zip(names)
            .map(|((_, mut rows), name)| {
                rows.sort_by_key(|row| row.key.services);
                Curve { name, rows }
            })
            .collect()
    }
}

/// The crossings that are known, and the pairs of which none is although their values change places.
fn told(said: Said, parts: &[String], unknown: &[String], few: &[String]) -> String {
    let mut text = match said {
        Said::Known => parts.join("; "),
        _ => "no crossing is known".to_owned(),
    };
    if !unknown.is_empty() {
        text.push_str(&format!(
            "; inconclusive, since values change places but are not told apart on a side: {}",
            unknown.join(", ")
        ));
    }
    if !few.is_empty() {
        text.push_str(&format!(
            "; too few stays at some sizes, where values change places: {}",
            few.join(", ")
        ));
    }
    text
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
    let ends = |row: &Row| known(row).and_then(|known| known.bounds());
    let low = |row: &Row| ends(row).map(|ends| ends[0]);
    let high = |row: &Row| ends(row).map(|ends| ends[1]);
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
