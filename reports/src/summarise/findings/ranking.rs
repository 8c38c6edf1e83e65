//! Who is fastest, by how much, and whether that is known.

use schema::summary::{Finding, Row};
use schema::{CellKey, Metric, ScenarioKind};

use super::{Context, bounded, evidence, listed, names, stated, words};
use crate::quantity::{counted, digits, noun, span, value, whole};
use crate::scope::{are_apart, is_lowest};
use crate::statistics::FEW_STAYS;
use crate::summarise::ratios::ratio;

/// " Not run: iptables-nft (one transaction). Unsupported: ipvs.": a ranking says who is not in it.
fn without_number(gaps: &[(String, String)]) -> String {
    [
        ("failed", "Failed"),
        ("timed-out", "Timed out"),
        ("unsupported", "Unsupported"),
        ("not-run", "Not run"),
    ]
    .into_iter()
    .map(|(outcome, word)| {
        let mine = gaps.iter().filter(|(of, _)| of == outcome);
        let names: Vec<String> = mine.map(|(_, name)| name.clone()).collect();
        match names.is_empty() {
            true => String::new(),
            false => format!(" {word}: {}.", listed(&names)),
        }
    })
    .collect()
}

/// A series at the largest N.
struct Entry<'a> {
    name: String,
    key: &'a CellKey,
    row: &'a Row,
}

impl Context<'_, '_> {
    /// All series that answer a question, ascending, with the verdict that the intervals allow.
    pub(super) fn ranking(
        &self,
        question: &str,
        asks: impl Fn(&CellKey) -> bool,
        metric: Metric,
    ) -> Option<Finding> {
        let keys = self.keys_at_largest(&asks);
        let mut entries = Vec::new();
        let mut bounds: Vec<(String, f64)> = Vec::new();
        let mut gaps: Vec<(String, String)> = Vec::new();
        for (key, name) in keys.iter().zip(names(&keys)) {
            match (self.row(key, metric), self.lower_bound(key, metric)) {
                (Some(row), _) => entries.push(Entry { name, key, row }),
                (None, Some(after_ns)) => bounds.push((name, after_ns)),
                (None, None) => {
                    let row = self.rows.get(&(*key, None));
                    gaps.extend(row.map(|row| (row.outcome.clone(), name)));
                }
            }
        }
        entries.sort_by(|a, b| {
            a.row
                .median
                .unwrap_or(f64::NAN)
                .total_cmp(&b.row.median.unwrap_or(f64::NAN))
        });
        let mut values: Vec<String> = entries
            .iter()
            .map(|entry| format!("{} {}", entry.name, stated(entry.row)))
            .collect();
        values.extend(
            bounds
                .iter()
                .map(|(name, after_ns)| format!("{name} {}", bounded(*after_ns))),
        );
        if values.is_empty() {
            return None;
        }
        let verdict = self.verdict(&entries, &bounds, metric);
        let gaps = without_number(&gaps);
        let evidence = entries.iter().map(|entry| evidence(entry.row)).collect();
        let text = if verdict.is_empty() {
            format!("{question}: {}.{gaps}", values.join("; "))
        } else {
            let by_size = self.by_size(&asks, metric);
            format!(
                "{question}: {verdict}{by_size}{gaps} Medians: {}.",
                values.join("; ")
            )
        };
        Some(Finding {
            text,
            evidence,
            headline: false,
        })
    }

    /// Which mode is lower than all others at which N; nothing when it is the same at every N.
    fn by_size(&self, asks: &impl Fn(&CellKey) -> bool, metric: Metric) -> String {
        let mut runs: Vec<(String, Vec<String>)> = Vec::new();
        let mut sizes: Vec<u32> = self
            .scope
            .rows(self.summary)
            .map(|row| row.key.services)
            .collect();
        sizes.sort_unstable();
        sizes.dedup();
        for services in sizes {
            let answers: Vec<&Row> = self
                .scope
                .rows(self.summary)
                .filter(|row| {
                    row.key.services == services
                        && asks(&row.key)
                        && row.metric.is_none_or(|m| m == metric)
                })
                .collect();
            let winner = answers.iter().find(|row| is_lowest(row, &answers));
            let winner = winner.map_or_else(
                || "not distinguished".to_owned(),
                |row| row.key.mode.to_string(),
            );
            match runs.last_mut() {
                Some((name, sizes)) if *name == winner => sizes.push(whole(services.into())),
                _ => runs.push((winner, vec![whole(services.into())])),
            }
        }
        if runs.len() < 2 {
            return String::new();
        }
        let runs: Vec<String> = runs
            .into_iter()
            .map(|(winner, sizes)| format!("{winner} at {}", listed(&sizes)))
            .collect();
        format!(" Fastest by size: {}.", runs.join("; "))
    }

    fn verdict(&self, entries: &[Entry<'_>], bounds: &[(String, f64)], metric: Metric) -> String {
        let Some((best, others)) = entries.split_first() else {
            return String::new();
        };
        let (mut slower, mut level) = (Vec::new(), Vec::new());
        for other in others {
            match ratio(self.cells, other.key, best.key, metric) {
                Some(ratio) if are_apart(best.row, other.row) && ratio.is_distinguished() => slower
                    .push(format!(
                        "{} takes {} times as long ({})",
                        other.name,
                        digits(ratio.ratio),
                        ratio.ci95.map(span).unwrap_or_default()
                    )),
                _ => level.push(other.name.clone()),
            }
        }
        // A series that timed out is slower when even its bound lies above the best interval.
        let top = best.row.ci95.map(|ci95| ci95[1]);
        for (name, after_ns) in bounds {
            match top {
                Some(top) if top < *after_ns => {
                    slower.push(format!(
                        "{name} takes more than {} times as long",
                        digits(*after_ns / top)
                    ));
                }
                _ => level.push(name.clone()),
            }
        }
        let mut text = String::new();
        if level.is_empty() && !slower.is_empty() {
            text.push_str(&format!(
                "{} is the fastest; {}.",
                best.name,
                listed(&slower)
            ));
        } else if !level.is_empty() {
            let mut together = vec![best.name.clone()];
            together.extend(level);
            let few = |row: &Row| row.ci95.is_none() || row.stays < FEW_STAYS;
            let why = if entries.iter().any(|entry| few(entry.row)) {
                " (few stays)"
            } else {
                ""
            };
            text.push_str(&format!(
                "{} are not distinguished{why}.",
                listed(&together)
            ));
            if !slower.is_empty() {
                text.push_str(&format!(" Against {}, {}.", best.name, listed(&slower)));
            }
        }
        text
    }

    /// Last ÷ first position at the largest N: does the place of a service matter?
    pub(super) fn positions(&self, protocol: &str) -> Option<Finding> {
        let (mut parts, mut proof) = (Vec::new(), Vec::new());
        for last in self.keys_at_largest(|key| super::first_packet(key, protocol, "last")) {
            let mut first = last.clone();
            first
                .options
                .insert("position".to_owned(), "first".to_owned());
            let (Some(row), Some(base)) = (
                self.row(last, Metric::Latency),
                self.row(&first, Metric::Latency),
            ) else {
                continue;
            };
            let Some(ratio) = ratio(self.cells, last, &first, Metric::Latency) else {
                continue;
            };
            let Some(ci95) = ratio.ci95 else { continue };
            let known = if ratio.is_distinguished() {
                ""
            } else {
                ": not distinguished from 1"
            };
            parts.push(format!(
                "{} in {} ({}; {}{known})",
                digits(ratio.ratio),
                last.mode,
                span(ci95),
                counted(ratio.stays_numerator.into(), "stay")
            ));
            proof.extend([evidence(base), evidence(row)]);
        }
        let text = format!(
            "First {} packet to the last of {} services ÷ to the first one: {}.",
            protocol.to_uppercase(),
            whole(self.largest.into()),
            listed(&parts)
        );
        (!parts.is_empty()).then_some(Finding {
            text,
            evidence: proof,
            headline: false,
        })
    }

    /// One transaction against chunks, where a mode measures both.
    pub(super) fn chunks(&self) -> Option<Finding> {
        let (mut parts, mut proof) = (Vec::new(), Vec::new());
        let installs = |key: &CellKey| key.scenario == ScenarioKind::ColdInstall;
        for single in self.keys_at_largest(|key| {
            installs(key) && key.options.get("chunk").is_some_and(|c| c == "all")
        }) {
            for chunked in self.keys_at_largest(|key| installs(key) && key.mode == single.mode) {
                let same =
                    words(&chunked.options, &["chunk"]) == words(&single.options, &["chunk"]);
                let (Some(chunk), Some(base), true) = (
                    chunked.options.get("chunk").filter(|c| *c != "all"),
                    self.row(chunked, Metric::UpdateTime),
                    same,
                ) else {
                    continue;
                };
                let Some(ratio_text) = self.single_over_chunked(single, chunked, base) else {
                    continue;
                };
                let through = words(&single.options, &["chunk", "large_cluster"]);
                parts.push(format!(
                    "{ratio_text} as long as in transactions of {chunk}, in {} through {through}",
                    single.mode
                ));
                proof.push(evidence(base));
                proof.extend(self.row(single, Metric::UpdateTime).map(evidence));
            }
        }
        let services = whole(self.largest.into());
        let text = format!(
            "Installing {services} services in one transaction: {}.",
            parts.join("; ")
        );
        (!parts.is_empty()).then_some(Finding {
            text,
            evidence: proof,
            headline: false,
        })
    }

    fn single_over_chunked(
        &self,
        single: &CellKey,
        chunked: &CellKey,
        base: &Row,
    ) -> Option<String> {
        if let Some(after_ns) = self.lower_bound(single, Metric::UpdateTime) {
            let top = base.ci95?[1];
            let least = after_ns / top;
            return (least > 1.0)
                .then(|| format!("more than {} times (it timed out)", digits(least)));
        }
        let ratio = ratio(self.cells, single, chunked, Metric::UpdateTime)?;
        let ci95 = ratio.ci95?;
        let known = if ratio.is_distinguished() {
            ""
        } else {
            ": not distinguished from 1"
        };
        Some(format!(
            "{} times ({}{known})",
            digits(ratio.ratio),
            span(ci95)
        ))
    }

    /// What adding one service hands over, at the smallest and the largest N.
    pub(super) fn handed_over(&self) -> Option<Finding> {
        let (mut parts, mut proof) = (Vec::new(), Vec::new());
        let keys = self.keys_at_largest(|key| key.scenario == ScenarioKind::ServiceAdd);
        for (key, name) in keys.iter().zip(names(&keys)) {
            let small = CellKey {
                services: self.scope.smallest(self.summary),
                ..(*key).clone()
            };
            if small.services == key.services {
                continue;
            }
            let mut said = Vec::new();
            for (metric, plural) in [(Metric::Messages, " messages"), (Metric::BytesSent, "")] {
                let said_of =
                    |count: f64, unit| format!("{}{}", value(count, unit), noun(count, plural));
                let (Some(a), Some(b)) = (self.row(&small, metric), self.row(key, metric)) else {
                    continue;
                };
                let (Some(x), Some(y), Some(unit)) = (a.median, b.median, b.unit) else {
                    continue;
                };
                if metric == Metric::Messages && y == 0.0 {
                    continue;
                }
                proof.extend([evidence(a), evidence(b)]);
                said.push(if x == y {
                    format!("{} at both", said_of(y, unit))
                } else {
                    format!("{} and {}", said_of(x, unit), said_of(y, unit))
                });
            }
            if !said.is_empty() {
                parts.push(format!("{name} {}", said.join(", ")));
            }
        }
        let text = format!(
            "To add one service at {} and at {} services, what is handed to the tool or the kernel: {}.",
            whole(self.scope.smallest(self.summary).into()),
            whole(self.largest.into()),
            parts.join("; ")
        );
        (!parts.is_empty()).then_some(Finding {
            text,
            evidence: proof,
            headline: false,
        })
    }
}
