//! Who is fastest, by how much, and whether that is known.
//!
//! An update has two times, and neither is the other's judge: what the kernel and the tool must do (`update_time`, with
//! the `release_time` of sockets that are closed after it), and what a named kube-proxy does for it (`sync_time`). Where
//! they rank modes differently, that is the sentence; a mode is the fastest where both say so.

use std::borrow::Cow;
use std::cmp::Ordering::Less;
use std::collections::BTreeMap;

use schema::summary::{Finding, FindingKind, Row, Values};
use schema::{
    Accelerator, CellKey, Metric, ONE_TRANSACTION, OptionKey, OutcomeKind, Position, ScenarioKind,
};

use super::{Context, Packet, bounded, evidence, listed, names, stated, words};
use crate::quantity::{digits, noun, value, whole};
use crate::scope::{as_ranked, is_lowest, known, order};
use crate::statistics::LEAST;
use crate::summarise::ratios::ratio;

/// "Not run: iptables-nft (one transaction). Unsupported: ipvs.": a ranking says who is not in it.
fn without_number(gaps: &[(OutcomeKind, String)]) -> String {
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
fn joined(sentences: &[String]) -> String {
    let said = sentences.iter().map(|sentence| sentence.trim());
    said.filter(|sentence| !sentence.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// A series at the largest N.
struct Entry<'a> {
    name: String,
    key: &'a CellKey,
    /// As it is stated.
    row: &'a Row,
    /// As it is ranked: of an update its whole.
    ranked: Cow<'a, Row>,
}

/// All series that answer a question.
struct Ranking<'a> {
    metric: Metric,
    /// Ascending.
    entries: Vec<Entry<'a>>,
    /// Those that timed out, with what they are longer than.
    bounds: Vec<(String, f64)>,
    /// Those without a number: outcome and name.
    gaps: Vec<(OutcomeKind, String)>,
}

/// How the series stand to the lowest.
struct Verdict {
    best: String,
    /// Told apart above it, as clauses.
    slower: Vec<String>,
    /// Names of those that are not.
    level: Vec<String>,
    few: bool,
}

impl Verdict {
    /// Whether the lowest is below all others.
    fn is_clear(&self) -> bool {
        self.level.is_empty() && !self.slower.is_empty()
    }

    /// The order as sentences; `fastest`: whether that word may be said. Empty where nothing is beside the lowest.
    fn text(&self, fastest: bool) -> String {
        let (best, slower) = (&self.best, listed(&self.slower));
        if self.is_clear() && fastest {
            return format!("{best} is the fastest; {slower}.");
        }
        let mut parts = Vec::new();
        if !self.slower.is_empty() {
            parts.push(format!("against {best}, {slower}"));
        }
        if !self.level.is_empty() {
            let mut together = vec![best.clone()];
            together.extend(self.level.iter().cloned());
            let why = if self.few { " (few stays)" } else { "" };
            parts.insert(
                0,
                format!("{} are not distinguished{why}", listed(&together)),
            );
        }
        match parts.is_empty() {
            true => String::new(),
            false => format!("{}.", parts.join("; ")),
        }
    }
}

impl Ranking<'_> {
    /// "nftables 29.1 µs (…); iptables-nft longer than 120 s (timed out: a lower bound)".
    fn values(&self) -> Values {
        let entries = self
            .entries
            .iter()
            .map(|entry| format!("{} {}", entry.name, stated(entry.row)));
        let bounds = self
            .bounds
            .iter()
            .map(|(name, after_ns)| format!("{name} {}", bounded(*after_ns)));
        Values {
            metric: self.metric,
            text: entries.chain(bounds).collect::<Vec<_>>().join("; "),
        }
    }

    fn evidence(&self) -> impl Iterator<Item = String> {
        self.entries.iter().map(|entry| evidence(entry.row))
    }

    fn of(&self, key: &CellKey) -> Option<&Entry<'_>> {
        self.entries.iter().find(|entry| entry.key == key)
    }
}

impl<'r> Context<'_, 'r> {
    fn ranked(&self, asks: &impl Fn(&CellKey) -> bool, metric: Metric) -> Option<Ranking<'_>> {
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

    fn verdict(&self, ranking: &Ranking<'_>) -> Option<Verdict> {
        let (best, others) = ranking.entries.split_first()?;
        let few = |row: &Row| row.ci95.is_none() && row.stays < LEAST as u32;
        let mut verdict = Verdict {
            best: best.name.clone(),
            slower: Vec::new(),
            level: Vec::new(),
            few: ranking.entries.iter().any(|entry| few(&entry.ranked)),
        };
        for other in others {
            let told = order(&best.ranked, &other.ranked) == Some(Less);
            let ratio = ratio(self.cells, other.key, best.key, ranking.metric);
            verdict_of(&mut verdict, told, &other.name, || {
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
            verdict_of(&mut verdict, above.is_some(), name, || {
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
        let verdict = self.verdict(&ranking).map_or_else(String::new, |verdict| {
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
            ..self.of_packets(FindingKind::Packets, packet, question, verdict)
        })
    }

    /// An update by both of its times, where kube-proxy's sync was measured; `alone`: and where it was not.
    pub(super) fn updates(
        &self,
        question: &str,
        scenario: ScenarioKind,
        alone: bool,
    ) -> Option<Finding> {
        let asks = |key: &CellKey| key.scenario == scenario;
        let update = self.ranked(&asks, Metric::UpdateTime)?;
        let sync = self
            .ranked(&asks, Metric::SyncTime)
            .filter(|sync| !sync.entries.is_empty());
        if sync.is_none() && !alone {
            return None;
        }
        let by_update = self.verdict(&update);
        let mut evidence: Vec<String> = update.evidence().collect();
        let whole = update
            .entries
            .iter()
            .any(|entry| self.row(entry.key, Metric::ReleaseTime).is_some());
        let what = match whole {
            true => "update_time and release_time together, until the sockets are closed",
            false => "update_time",
        };
        let mut values = vec![update.values()];
        let verdict = match &sync {
            None => {
                let said = by_update.map(|verdict| verdict.text(true));
                let said = said.filter(|said| !said.is_empty());
                said.map_or_else(String::new, |said| {
                    format!(
                        "By {what} (no sync_time was measured): {said}{}",
                        self.by_size(&asks, Metric::UpdateTime)
                    )
                })
            }
            Some(sync) => {
                evidence.extend(sync.evidence());
                values.push(sync.values());
                let by_sync = self.verdict(sync);
                let differing = differing(&update, sync);
                let clear = |verdict: &Option<Verdict>| {
                    verdict
                        .as_ref()
                        .filter(|v| v.is_clear())
                        .map(|v| v.best.clone())
                };
                let lowest =
                    clear(&by_update).filter(|best| clear(&by_sync).as_ref() == Some(best));
                let agreed = differing.is_empty();
                let tells = |verdict: &Option<Verdict>| {
                    verdict.as_ref().is_some_and(|v| !v.slower.is_empty())
                };
                let fastest = lowest.filter(|_| agreed);
                let opening = match (&fastest, agreed) {
                    (_, false) => format!(
                        "update_time and sync_time rank the modes differently ({})",
                        differing.join("; ")
                    ),
                    (Some(best), _) => {
                        format!("{best} is the fastest, by update_time and by sync_time")
                    }
                    (None, true) if tells(&by_update) || tells(&by_sync) => {
                        "update_time and sync_time do not contradict each other".to_owned()
                    }
                    (None, true) => {
                        "neither update_time nor sync_time tells these modes apart".to_owned()
                    }
                };
                let said = |verdict: Option<Verdict>| {
                    let text = verdict.map_or_else(String::new, |verdict| verdict.text(false));
                    if text.is_empty() {
                        "one mode alone.".to_owned()
                    } else {
                        text
                    }
                };
                format!(
                    "{opening}. By {what}: {} By sync_time ({}): {}",
                    said(by_update),
                    self.versions(sync),
                    said(by_sync)
                )
            }
        };
        values.extend(self.releases(&update, &mut evidence));
        let verdict = joined(&[verdict, without_number(&update.gaps), transports(&update)]);
        Some(Finding {
            evidence,
            values,
            ..self.finding(FindingKind::Updates, scenario, question.to_owned(), verdict)
        })
    }

    /// "nftables 12 ms (…)": what comes after an update's answer.
    fn releases(&self, update: &Ranking<'_>, proof: &mut Vec<String>) -> Option<Values> {
        let mut parts = Vec::new();
        for entry in &update.entries {
            if let Some(row) = self.row(entry.key, Metric::ReleaseTime) {
                parts.push(format!("{} {}", entry.name, stated(row)));
                proof.push(evidence(row));
            }
        }
        (!parts.is_empty()).then(|| Values {
            metric: Metric::ReleaseTime,
            text: parts.join("; "),
        })
    }

    /// "kube-proxy 1.34 of iptables-legacy and nftables": whose sync it is.
    fn versions(&self, sync: &Ranking<'_>) -> String {
        let mut of: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for entry in &sync.entries {
            let versions = self.cells.facts(entry.key, super::VERSION);
            let version = versions.into_iter().collect::<Vec<_>>().join(" and ");
            of.entry(version).or_default().push(entry.name.clone());
        }
        let parts: Vec<String> = of
            .iter()
            .map(|(version, names)| {
                let version = if version.is_empty() {
                    "of no named version"
                } else {
                    version
                };
                format!("kube-proxy {version} in {}", listed(names))
            })
            .collect();
        parts.join(", ")
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
                "{} in {} ({}{}; the last is {})",
                digits(ratio.known.value),
                last.mode,
                ratio.spread(),
                ratio.doubt(),
                last.mode.row().last
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

/// "Programmed through iptables-restore: iptables-legacy, through netlink: nftables."
fn transports(update: &Ranking<'_>) -> String {
    let mut of: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for entry in &update.entries {
        if let Some(words) = entry.key.options.words_of(OptionKey::Transport) {
            of.entry(words).or_default().push(entry.name.clone());
        }
    }
    let through =
        |(words, names): (&String, &Vec<String>)| format!("through {words}: {}", listed(names));
    let parts: Vec<String> = of.iter().map(through).collect();
    match parts.is_empty() {
        true => String::new(),
        false => format!("Programmed {}.", parts.join(", ")),
    }
}

/// Puts a series where it belongs.
fn verdict_of(verdict: &mut Verdict, told: bool, name: &str, clause: impl Fn() -> String) {
    if told {
        verdict.slower.push(format!("{name} {}", clause()));
    } else {
        verdict.level.push(name.to_owned());
    }
}

/// Pairs of modes that one of the two times tells apart and the other does not, or the other way round.
fn differing(update: &Ranking<'_>, sync: &Ranking<'_>) -> Vec<String> {
    let (mut turned, mut alone) = (Vec::new(), [Vec::new(), Vec::new()]);
    for (index, a) in update.entries.iter().enumerate() {
        for b in &update.entries[index + 1..] {
            let (Some(x), Some(y)) = (sync.of(a.key), sync.of(b.key)) else {
                continue;
            };
            match (order(&a.ranked, &b.ranked), order(&x.ranked, &y.ranked)) {
                (first, second) if first == second => {}
                (Some(_), Some(_)) => turned.push(format!("{} and {}", a.name, b.name)),
                (Some(_), None) => alone[0].push(format!("{} before {}", a.name, b.name)),
                (None, Some(Less)) => alone[1].push(format!("{} before {}", a.name, b.name)),
                (None, _) => alone[1].push(format!("{} before {}", b.name, a.name)),
            }
        }
    }
    let mut parts = Vec::new();
    let mut say = |pairs: &[String], what: &str| {
        if !pairs.is_empty() {
            parts.push(format!("{what}: {}", pairs.join(", ")));
        }
    };
    say(&turned, "they change places");
    say(&alone[0], "by update_time alone");
    say(&alone[1], "by sync_time alone");
    parts
}
