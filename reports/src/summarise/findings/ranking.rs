//! Who is fastest, by how much, and whether that is known. What has no interval is not ranked: that two are not
//! distinguished is said where both have one, else that there are too few stays.

use std::borrow::Cow;
use std::cmp::Ordering::Less;
use std::slice;

use schema::summary::{Finding, FindingKind, Row, Values};
use schema::{
    Accelerator, CellKey, Metric, Mode, ONE_TRANSACTION, OptionKey, OutcomeKind, Position,
    ScenarioKind,
};

use super::{Context, Packet, bounded, evidence, listed, names, stated, words};
use crate::quantity::{digits, noun, value, whole};
use crate::summarise::Ratio;
use crate::summarise::ratios::ratio;
use crate::view::{as_ranked, has_bounds, is_lowest, known, marks, order, spread};

/// "Not run: iptables-nft (one transaction). Unsupported: ipvs.": a ranking says who is not in it.
pub(super) fn without_number(gaps: &[(OutcomeKind, String)]) -> String {
    let outcomes = OutcomeKind::ALL.iter().rev();
    let parts = outcomes.map(|outcome| {
        let mine = gaps.iter().filter(|(of, _)| of == outcome);
        let names: Vec<String> = mine.map(|(_, name)| name.clone()).collect();
        match names.is_empty() {
            true => String::new(),
            false => format!("{}: {}.", outcome.row().words, listed(&names)),
        }
    });
    joined(&parts.collect::<Vec<_>>())
}

/// Sentences after each other; empty ones are none.
pub(super) fn joined(sentences: &[String]) -> String {
    let said = sentences.iter().map(|sentence| sentence.trim());
    said.filter(|sentence| !sentence.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// A series at the largest N.
pub(super) struct Entry<'a> {
    pub(super) name: String,
    pub(super) key: &'a CellKey,
    /// As it is stated.
    row: &'a Row,
    /// As it is ranked: of an update its whole.
    pub(super) ranked: Cow<'a, Row>,
}

/// All series that answer a question.
pub(super) struct Ranking<'a> {
    metric: Metric,
    /// Ascending.
    pub(super) entries: Vec<Entry<'a>>,
    /// Those that timed out, with what they are longer than.
    bounds: Vec<(String, f64)>,
    /// Those without a number: outcome and name.
    pub(super) gaps: Vec<(OutcomeKind, String)>,
}

/// How the series stand to the lowest.
pub(super) struct Verdict {
    pub(super) best: String,
    /// Told apart above it, as clauses.
    slower: Vec<String>,
    /// Names of those that are not, though both have an interval.
    level: Vec<String>,
    /// Names of those of which nothing is known: they or the lowest have no interval.
    unknown: Vec<String>,
    /// Why nothing is known of them: "1–2 stays; 6 needed, which a longer --budget makes".
    few: String,
}

/// How a series stands to the lowest.
#[derive(Clone, Copy)]
enum Stands {
    Slower,
    Level,
    Unknown,
}

impl Verdict {
    /// Whether the lowest is below all others.
    pub(super) fn is_clear(&self) -> bool {
        self.level.is_empty() && self.unknown.is_empty() && !self.slower.is_empty()
    }

    /// Whether it compares anything.
    pub(super) fn compares(&self) -> bool {
        !self.level.is_empty() || !self.slower.is_empty()
    }

    /// Puts a series where it belongs.
    fn put(&mut self, stands: Stands, name: &str, clause: impl Fn() -> String) {
        match stands {
            Stands::Slower => self.slower.push(format!("{name} {}", clause())),
            Stands::Level => self.level.push(name.to_owned()),
            Stands::Unknown => self.unknown.push(name.to_owned()),
        }
    }

    /// The order as sentences; `fastest`: whether that word may be said. Empty where nothing is beside the lowest.
    pub(super) fn text(&self, fastest: bool) -> String {
        let (best, slower) = (&self.best, listed(&self.slower));
        if self.is_clear() && fastest {
            return format!("{best} is the fastest; {slower}.");
        }
        let with_best = |others: &[String]| listed(&[slice::from_ref(best), others].concat());
        let mut parts = Vec::new();
        if !self.level.is_empty() {
            parts.push(format!("{} are not distinguished", with_best(&self.level)));
        }
        if !self.slower.is_empty() {
            parts.push(format!("against {best}, {slower}"));
        }
        if !self.unknown.is_empty() {
            parts.push(format!(
                "too few stays to tell {} apart ({})",
                with_best(&self.unknown),
                self.few
            ));
        }
        match parts.is_empty() {
            true => String::new(),
            false => format!("{}.", parts.join("; ")),
        }
    }
}

impl Ranking<'_> {
    /// "nftables 29.1 µs (…); iptables-nft longer than 120 s (timed out: a lower bound)".
    pub(super) fn values(&self) -> Values {
        let entries = self
            .entries
            .iter()
            .map(|entry| format!("{} {}{}", entry.name, stated(entry.row), together(entry)));
        let bounds = self
            .bounds
            .iter()
            .map(|(name, after_ns)| format!("{name} {}", bounded(*after_ns)));
        Values {
            metric: self.metric,
            text: entries.chain(bounds).collect::<Vec<_>>().join("; "),
        }
    }

    pub(super) fn evidence(&self) -> impl Iterator<Item = String> {
        self.entries.iter().map(|entry| evidence(entry.row))
    }

    pub(super) fn of(&self, key: &CellKey) -> Option<&Entry<'_>> {
        self.entries.iter().find(|entry| entry.key == key)
    }
}

impl<'r> Context<'_, 'r> {
    pub(super) fn ranked(
        &self,
        asks: &impl Fn(&CellKey) -> bool,
        metric: Metric,
    ) -> Option<Ranking<'_>> {
        let keys = self.keys_at_largest(asks);
        let mut found = Ranking {
            metric,
            entries: Vec::new(),
            bounds: Vec::new(),
            gaps: Vec::new(),
        };
        for (key, name) in keys.iter().zip(names(&keys)) {
            let row = self.row(key, metric);
            match (
                row.filter(|row| row.median.is_some()),
                self.lower_bound(key, metric),
            ) {
                (Some(row), _) => {
                    found.entries.push(Entry {
                        name,
                        key,
                        row,
                        ranked: as_ranked(row),
                    });
                }
                (None, Some(after_ns)) => found.bounds.push((name, after_ns)),
                (None, None) => {
                    let row = self.rows.get(&(*key, None));
                    found.gaps.extend(row.map(|row| (row.outcome, name)));
                }
            }
        }
        let middle = |entry: &Entry<'_>| entry.ranked.median.unwrap_or(f64::INFINITY);
        found
            .entries
            .sort_by(|a, b| middle(a).total_cmp(&middle(b)));
        (!found.entries.is_empty() || !found.bounds.is_empty()).then_some(found)
    }

    pub(super) fn verdict(&self, ranking: &Ranking<'_>) -> Option<Verdict> {
        let (best, others) = ranking.entries.split_first()?;
        let entries = || ranking.entries.iter().map(|entry| &*entry.ranked);
        let mut verdict = Verdict {
            best: best.name.clone(),
            slower: Vec::new(),
            level: Vec::new(),
            unknown: Vec::new(),
            few: self.few(entries()),
        };
        let known_best = has_bounds(&best.ranked);
        for other in others {
            let stands = match order(&best.ranked, &other.ranked) {
                Some(Less) => Stands::Slower,
                _ if known_best && has_bounds(&other.ranked) => Stands::Level,
                _ => Stands::Unknown,
            };
            let ratio = ratio(self.cells, other.key, best.key, ranking.metric);
            verdict.put(stands, &other.name, || {
                if self.is_qemus(best.key, other.key) {
                    return "takes longer, by a factor that is QEMU's".to_owned();
                }
                ratio.map_or_else(
                    || "takes longer".to_owned(),
                    |ratio| {
                        format!(
                            "takes {} times as long ({})",
                            digits(ratio.known.value),
                            ratio.spread()
                        )
                    },
                )
            });
        }
        // A series that timed out is slower when even its bound lies above the best interval.
        let top = known(&best.ranked).and_then(|known| Some(known.bounds()?[1]));
        for (name, after_ns) in &ranking.bounds {
            let above = top.filter(|top| top < after_ns);
            let stands = match (above, top) {
                (Some(_), _) => Stands::Slower,
                (None, Some(_)) => Stands::Level,
                (None, None) => Stands::Unknown,
            };
            verdict.put(stands, name, || {
                let least = after_ns / above.unwrap_or(f64::NAN);
                format!("takes more than {} times as long", digits(least))
            });
        }
        Some(verdict)
    }

    /// Whether the factor between two updates is the translator's: it makes starting a process far dearer than what a
    /// kernel does with a message.
    fn is_qemus(&self, a: &CellKey, b: &CellKey) -> bool {
        let environment = self.summary.environments.get(&self.scope.environment);
        environment.is_some_and(|facts| facts.accel == Accelerator::Tcg)
            && a.options.transport() != b.options.transport()
    }

    /// First packets by the headline's position, and beside it each mode's own worst one.
    pub(super) fn packets(&self, packet: &Packet) -> Option<Finding> {
        let asks = |key: &CellKey| packet.asks(key);
        let ranking = self.ranked(&asks, Metric::Latency)?;
        let verdict = self.verdict(&ranking);
        let headline = verdict.as_ref().is_none_or(Verdict::compares);
        let verdict = verdict.map_or_else(String::new, |verdict| {
            verdict.text(true) + &self.by_size(&asks, Metric::Latency)
        });
        let mut worst: Vec<(&str, &Row)> = Vec::new();
        for entry in &ranking.entries {
            let of = self.keys_at_largest(|key| {
                let anywhere = |key: &CellKey| CellKey {
                    options: key.options.without(&[OptionKey::Position]),
                    ..key.clone()
                };
                anywhere(key) == anywhere(entry.key)
            });
            let rows = of
                .into_iter()
                .filter_map(|key| self.row(key, Metric::Latency));
            let most = |row: &&Row| row.median.unwrap_or(0.0);
            let highest = rows.max_by(|a, b| most(a).total_cmp(&most(b)));
            worst.extend(highest.map(|row| (entry.name.as_str(), row)));
        }
        let positions: Vec<String> = worst
            .iter()
            .map(|(name, row)| {
                let position = row.key.options.position().map_or("", |own| own.row().which);
                format!("{name} {position} {}", stated(row))
            })
            .collect();
        let mut evidence: Vec<String> = ranking.evidence().collect();
        evidence.extend(worst.iter().map(|(_, row)| super::evidence(row)));
        evidence.dedup();
        let question = format!(
            "First packet (latency) of a new {} flow to {} of {} services, {} caches",
            packet.protocol.words(),
            packet.position.row().which,
            whole(self.largest.into()),
            packet.cache,
        );
        let positions = format!("Each mode's own worst position: {}.", positions.join("; "));
        let verdict = joined(&[verdict, without_number(&ranking.gaps), positions]);
        Some(Finding {
            evidence,
            values: vec![ranking.values()],
            headline,
            ..self.of_packets(FindingKind::Packets, packet, question, verdict)
        })
    }

    /// Which mode is lower than all others at which N; nothing when it is the same at every N, or none is at any.
    pub(super) fn by_size(&self, asks: &impl Fn(&CellKey) -> bool, metric: Metric) -> String {
        let mut runs: Vec<(String, Vec<String>)> = Vec::new();
        let mut told = false;
        let mut sizes: Vec<u32> = self
            .scope
            .rows(self.summary)
            .map(|row| row.key.services)
            .collect();
        sizes.sort_unstable();
        sizes.dedup();
        for services in sizes {
            let all: Vec<&Row> = self
                .scope
                .rows(self.summary)
                .filter(|row| {
                    row.key.services == services
                        && asks(&row.key)
                        && row.metric.is_none_or(|m| m == metric)
                })
                .collect();
            let winner = all.iter().find(|row| is_lowest(row, &all));
            let why = match all
                .iter()
                .all(|row| row.key.mode.is_floor() || row.metric.is_none() || has_bounds(row))
            {
                true => "not distinguished",
                false => "too few stays",
            };
            told |= winner.is_some();
            let winner = winner.map_or_else(|| why.to_owned(), |row| row.key.mode.to_string());
            match runs.last_mut() {
                Some((name, sizes)) if *name == winner => sizes.push(whole(services.into())),
                _ => runs.push((winner, vec![whole(services.into())])),
            }
        }
        if runs.len() < 2 || !told {
            return String::new();
        }
        let runs: Vec<String> = runs
            .into_iter()
            .map(|(winner, sizes)| format!("{winner} at {}", listed(&sizes)))
            .collect();
        format!(" Fastest by size: {}.", runs.join("; "))
    }

    /// Last ÷ first position at the largest N: does the place of a service matter?
    pub(super) fn positions(&self, packet: &Packet) -> Option<Finding> {
        let (mut parts, mut proof) = (Vec::new(), Vec::new());
        let last = packet.to(Position::Last);
        for last in self.keys_at_largest(|key| last.asks(key)) {
            let mut first = last.clone();
            first.options.set(OptionKey::Position, Position::First);
            let (Some(row), Some(base)) = (
                self.row(last, Metric::Latency),
                self.row(&first, Metric::Latency),
            ) else {
                continue;
            };
            let Some(ratio) = ratio(self.cells, last, &first, Metric::Latency) else {
                continue;
            };
            parts.push(format!(
                "{} in {} ({}{}{}{})",
                digits(ratio.known.value),
                last.mode,
                ratio.spread(),
                ratio.doubt(),
                explained(last.mode, &ratio),
                marked(&[("the last", row), ("the first", base)])
            ));
            proof.extend([evidence(base), evidence(row)]);
        }
        let question = format!(
            "First {} packet (latency, {} caches) to the last of {} services ÷ to the first one",
            packet.protocol.words(),
            packet.cache,
            whole(self.largest.into()),
        );
        let verdict = format!("{}.", listed(&parts));
        (!parts.is_empty()).then(|| Finding {
            evidence: proof,
            ..self.of_packets(
                FindingKind::Positions,
                &packet.to(Position::Last),
                question,
                verdict,
            )
        })
    }

    /// One transaction against chunks, where a mode measures both.
    pub(super) fn chunks(&self) -> Option<Finding> {
        let (mut parts, mut proof) = (Vec::new(), Vec::new());
        let installs = |key: &CellKey| key.scenario == ScenarioKind::ColdInstall;
        for single in self.keys_at_largest(|key| {
            installs(key) && key.options.is(OptionKey::Chunk, ONE_TRANSACTION)
        }) {
            for chunked in self.keys_at_largest(|key| installs(key) && key.mode == single.mode) {
                let rest = |key: &CellKey| key.options.without(&[OptionKey::Chunk]);
                let same = rest(chunked) == rest(single);
                let (Some(chunk), Some(base), true) = (
                    chunked.options.chunk(),
                    self.row(chunked, Metric::UpdateTime),
                    same,
                ) else {
                    continue;
                };
                let Some(ratio_text) = self.single_over_chunked(single, chunked, base) else {
                    continue;
                };
                let through = words(
                    &single.options,
                    &[OptionKey::Chunk, OptionKey::LargeCluster],
                );
                parts.push(format!(
                    "{ratio_text} as long as in transactions of {chunk}, in {} through {through}",
                    single.mode
                ));
                proof.push(evidence(base));
                proof.extend(self.row(single, Metric::UpdateTime).map(evidence));
            }
        }
        let services = whole(self.largest.into());
        let question = format!(
            "Installing {services} services in one transaction, by update_time and its release"
        );
        let (kind, scenario) = (FindingKind::Chunks, ScenarioKind::ColdInstall);
        (!parts.is_empty()).then(|| Finding {
            evidence: proof,
            ..self.finding(kind, scenario, question, format!("{}.", parts.join("; ")))
        })
    }

    fn single_over_chunked(
        &self,
        single: &CellKey,
        chunked: &CellKey,
        base: &Row,
    ) -> Option<String> {
        if let Some(after_ns) = self.lower_bound(single, Metric::UpdateTime) {
            let top = known(base)?.bounds()?[1];
            let least = after_ns / top;
            return (least > 1.0)
                .then(|| format!("more than {} times (it timed out)", digits(least)));
        }
        let ratio = ratio(self.cells, single, chunked, Metric::UpdateTime)?;
        Some(format!(
            "{} times ({}{})",
            digits(ratio.known.value),
            ratio.spread(),
            ratio.doubt()
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
        let smallest = self.scope.smallest(self.summary);
        let question = format!(
            "To add one service at {} and at {} services, what is handed to the tool or the kernel",
            whole(smallest.into()),
            whole(self.largest.into()),
        );
        let (kind, scenario) = (FindingKind::HandedOver, ScenarioKind::ServiceAdd);
        (!parts.is_empty()).then(|| Finding {
            evidence: proof,
            services: vec![smallest, self.largest],
            ..self.finding(kind, scenario, question, format!("{}.", parts.join("; ")))
        })
    }
}

/// "; the last is the end of the list: every rule is passed": what may explain a ratio. Nothing where that has no
/// interval, or denies it.
fn explained(mode: Mode, ratio: &Ratio) -> String {
    let of_a_list = mode.row().iptables.is_some();
    let bounds = ratio.known.bounds();
    match bounds.filter(|[_, high]| !of_a_list || *high >= 1.0) {
        Some(_) => format!("; the last is {}", mode.row().last),
        None => String::new(),
    }
}

/// "; to the last 1 of 6 stays disturbed": what marks the rows of a ratio.
fn marked(rows: &[(&str, &Row)]) -> String {
    let of = |(whom, row): &(&str, &Row)| Some(format!("; to {whom} {}", marks(row)?));
    rows.iter().filter_map(of).collect()
}

/// ", with its release 26.0 ms (25.1–27.0 ms)": what an update is ranked by, where that is another number.
fn together(entry: &Entry<'_>) -> String {
    let Some((whole, unit)) = entry.ranked.median.zip(entry.row.unit) else {
        return String::new();
    };
    let shown = value(whole, unit);
    match entry
        .row
        .median
        .is_some_and(|own| value(own, unit) == shown)
    {
        true => String::new(),
        false => format!(", with its release {shown} ({})", spread(&entry.ranked)),
    }
}
