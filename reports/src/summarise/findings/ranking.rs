//! Who is fastest, by how much, and whether that is known. What has no interval is not ranked: that two are not
//! distinguished is said where both have one, else that there are too few stays.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::slice;

use schema::summary::{Finding, FindingKind, Row, Values};
use schema::{
    Accelerator, CellKey, Metric, Mode, ONE_TRANSACTION, OptionKey, OutcomeKind, Position,
    ScenarioKind, Unit,
};

use super::{Context, Said, Subject, apart, evidence, listed, stated, which};
use crate::quantity::{digits, noun, value, whole};
use crate::statistics::Known;
use crate::summarise::Ratio;
use crate::summarise::ratios::ratio;
use crate::view::{Standing, as_ranked, has_bounds, is_lowest, known, marks, spread, standing};

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
    joined(parts)
}

/// Sentences after each other; empty ones are none.
pub(super) fn joined(sentences: impl IntoIterator<Item = String>) -> String {
    let mut all: Vec<String> = sentences.into_iter().collect();
    all.retain(|sentence| !sentence.is_empty());
    all.join(" ")
}

/// A series at the largest N.
pub(super) struct Entry<'a> {
    pub(super) name: String,
    pub(super) key: &'a CellKey,
    /// As it is stated.
    pub(super) row: &'a Row,
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
    /// Names without the kube-proxy whose rules they are, where these tell all apart: for what is said in brief.
    short: BTreeMap<String, String>,
    /// Those without a number: outcome and name.
    pub(super) gaps: Vec<(OutcomeKind, String)>,
    /// How they stand to the lowest; `None` without one.
    pub(super) verdict: Option<Verdict>,
}

/// How the series stand to the lowest.
#[derive(Default)]
pub(super) struct Verdict {
    pub(super) best: String,
    /// Told apart above it, as clauses.
    slower: Vec<String>,
    /// The same in brief: names with how many times as long each takes.
    times: Vec<(String, String)>,
    /// Names of those that are not, though both have an interval.
    level: Vec<String>,
    /// Names of those of which nothing is known: they or the lowest have no interval.
    unknown: Vec<String>,
    /// Why nothing is known of them: "1–2 stays; 6 needed, which a longer --budget makes".
    few: String,
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

    /// Puts a series where it belongs; of one that is slower as a clause, and in brief, by how much.
    fn put(&mut self, stands: Standing, name: &str, slower: impl Fn() -> [String; 2]) {
        match stands {
            Standing::Higher => {
                let [clause, times] = slower();
                self.slower.push(format!("{name} {clause}"));
                self.times.push((name.to_owned(), times));
            }
            Standing::Unknown => self.unknown.push(name.to_owned()),
            Standing::Level | Standing::Lowest => self.level.push(name.to_owned()),
        }
    }

    /// The order as sentences; `fastest`: whether that word may be said. Empty where nothing is beside the lowest.
    fn text(&self, fastest: bool) -> String {
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
            let (few, unknown) = (&self.few, with_best(&self.unknown));
            parts.push(format!("too few stays to tell {unknown} apart ({few})"));
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
        let entries = self.entries.iter();
        let entries =
            entries.map(|entry| format!("{} {}{}", entry.name, stated(entry.row), together(entry)));
        let bounds = self.bounds.iter().map(|(name, after_ns)| {
            let bound = value(*after_ns, Unit::Nanoseconds);
            format!("{name} longer than {bound} (timed out: a lower bound)")
        });
        Values {
            metric: self.metric,
            text: entries.chain(bounds).collect::<Vec<_>>().join("; "),
        }
    }

    /// "nftables takes least, 61.0 k instr; ipset 1.05 times, ipvs 1.17 times; not told apart from it: iptables-legacy": the
    /// order in brief; empty where nothing is told apart.
    pub(super) fn brief(&self) -> String {
        let (Some(verdict), Some(best)) = (&self.verdict, self.entries.first()) else {
            return String::new();
        };
        if verdict.times.is_empty() {
            return String::new();
        }
        let short = |name: &String| self.short_name(name);
        let unit = best.row.unit.unwrap_or(self.metric.unit());
        let lowest = value(best.ranked.median.unwrap_or(f64::NAN), unit);
        let times: Vec<String> = verdict
            .times
            .iter()
            .map(|(name, times)| format!("{} {times}", short(name)))
            .collect();
        let others = |names: &[String], what: &str| {
            let names: Vec<String> = names.iter().map(short).collect();
            match names.is_empty() {
                true => String::new(),
                false => format!("; {what}: {}", listed(&names)),
            }
        };
        format!(
            "{} takes least, {lowest}; {}{}{}",
            short(&best.name),
            listed(&times),
            others(&verdict.level, "not told apart from it"),
            others(&verdict.unknown, "too few stays to place")
        )
    }

    /// A name without the kube-proxy whose rules they are, where that tells it apart.
    pub(super) fn short_name(&self, name: &String) -> String {
        self.short.get(name).unwrap_or(name).clone()
    }

    pub(super) fn evidence(&self) -> impl Iterator<Item = String> {
        self.entries.iter().map(|entry| evidence(entry.row))
    }

    /// The order as sentences; see [`Verdict::text`].
    pub(super) fn text(&self, fastest: bool) -> String {
        let verdict = self.verdict.as_ref();
        verdict.map_or_else(String::new, |verdict| verdict.text(fastest))
    }

    pub(super) fn of(&self, key: &CellKey) -> Option<&Entry<'_>> {
        self.entries.iter().find(|entry| entry.key == key)
    }
}

impl Context<'_, '_> {
    pub(super) fn ranked(&self, subject: &Subject, metric: Metric) -> Option<Ranking<'_>> {
        let mut found = Ranking {
            metric,
            entries: Vec::new(),
            bounds: Vec::new(),
            short: self.short_names(|key| subject.asks(key)),
            gaps: Vec::new(),
            verdict: None,
        };
        for (name, key) in self.named_at_largest(|key| subject.asks(key)) {
            let row = self.row(key, metric).filter(|row| row.median.is_some());
            if let Some(row) = row {
                let ranked = as_ranked(row);
                found.entries.push(Entry {
                    name,
                    key,
                    row,
                    ranked,
                });
            } else if let Some(after_ns) = self.lower_bound(key, metric) {
                found.bounds.push((name, after_ns));
            } else {
                let row = self.rows.get(&(key, None));
                found.gaps.extend(row.map(|row| (row.outcome, name)));
            }
        }
        let middle = |entry: &Entry<'_>| entry.ranked.median.unwrap_or(f64::INFINITY);
        let entries = &mut found.entries;
        entries.sort_by(|a, b| middle(a).total_cmp(&middle(b)));
        found.verdict = self.verdict(&found);
        (!found.entries.is_empty() || !found.bounds.is_empty()).then_some(found)
    }

    fn verdict(&self, ranking: &Ranking<'_>) -> Option<Verdict> {
        let (best, others) = ranking.entries.split_first()?;
        let mut verdict = Verdict {
            best: best.name.clone(),
            few: self.few(ranking.entries.iter().map(|entry| &*entry.ranked)),
            ..Verdict::default()
        };
        for other in others {
            let slower = || match ratio(self.cells, other.key, best.key, ranking.metric) {
                _ if self.is_qemus(best.key, other.key) => [
                    "takes longer, by a factor that is QEMU's".to_owned(),
                    "more".to_owned(),
                ],
                Some(ratio) => {
                    let times = digits(ratio.known.value);
                    let clause = format!("takes {times} times as long ({})", ratio.spread());
                    [clause, in_brief(&ratio.known)]
                }
                None => ["takes longer".to_owned(), "more".to_owned()],
            };
            verdict.put(standing(&best.ranked, &other.ranked), &other.name, slower);
        }
        // A series that timed out is slower when even its bound lies above the best interval.
        let top = known(&best.ranked).and_then(|known| Some(known.bounds()?[1]));
        for (name, after_ns) in &ranking.bounds {
            let stands = match top {
                Some(top) if top < *after_ns => Standing::Higher,
                Some(_) => Standing::Level,
                None => Standing::Unknown,
            };
            verdict.put(stands, name, || {
                let least = digits(after_ns / top.unwrap_or(f64::NAN));
                let clause = format!("takes more than {least} times as long");
                [clause, format!("more than {least} times")]
            });
        }
        Some(verdict)
    }

    /// Whether the factor between two updates is the translator's: it makes starting a process far dearer than what a
    /// kernel does with a message.
    pub(super) fn is_qemus(&self, a: &CellKey, b: &CellKey) -> bool {
        let environment = self.summary.environments.get(&self.scope.environment);
        environment.is_some_and(|facts| facts.accel == Accelerator::Tcg)
            && a.options.transport() != b.options.transport()
    }

    /// First packets by the headline's position, and beside it each mode's own worst one.
    pub(super) fn packets(&self, packet: &Subject) -> Option<Finding> {
        let ranking = self.ranked(packet, Metric::Latency)?;
        let headline = ranking.verdict.as_ref().is_none_or(Verdict::compares);
        let by_size = ranking
            .verdict
            .as_ref()
            .map(|_| self.by_size(packet, Metric::Latency));
        let verdict = joined([ranking.text(true), by_size.unwrap_or_default()]);
        let anywhere = |key: &CellKey| {
            let options = key.options.without(&[OptionKey::Position]);
            (key.mode, options, key.scenario)
        };
        let most = |row: &Row| row.median.unwrap_or(0.0);
        let (mut evidence, mut positions) = (ranking.evidence().collect::<Vec<_>>(), Vec::new());
        for entry in &ranking.entries {
            let of = self.keys_at_largest(|key| anywhere(key) == anywhere(entry.key));
            let rows = of.iter().filter_map(|key| self.row(key, Metric::Latency));
            if let Some(row) = rows.max_by(|a, b| most(a).total_cmp(&most(b))) {
                let position = which(&row.key.options);
                positions.push(format!("{} {position} {}", entry.name, stated(row)));
                evidence.push(super::evidence(row));
            }
        }
        evidence.dedup();
        let positions = apart(&positions);
        let positions = format!("Each mode's own worst position: {positions}.");
        let verdict = joined([verdict, without_number(&ranking.gaps), positions]);
        let question =
            "First packet (latency) of a new {protocol} flow to {which} of {N} services, {cache}";
        let brief = sentence(&ranking.brief());
        Some(Finding {
            brief,
            values: vec![ranking.values()],
            headline,
            ..self.finding(FindingKind::Packets, packet, question, (verdict, evidence))
        })
    }

    /// Which mode is lower than all others at which N; nothing when it is the same at every N, or none is at any.
    pub(super) fn by_size(&self, subject: &Subject, metric: Metric) -> String {
        let mut runs: Vec<(&str, Vec<String>)> = Vec::new();
        let mut told = false;
        for services in self.scope.sizes(self.summary) {
            let rows = self.scope.rows(self.summary);
            let rows = rows.filter(|row| row.key.services == services && subject.asks(&row.key));
            let all: Vec<&Row> = rows
                .filter(|row| row.metric.is_none_or(|own| own == metric))
                .collect();
            let is_known =
                |row: &&Row| row.key.mode.is_floor() || row.metric.is_none() || has_bounds(row);
            let winner = all.iter().find(|row| is_lowest(row, &all));
            told |= winner.is_some();
            let winner = match winner {
                Some(row) => row.key.mode.name(),
                None if all.iter().all(is_known) => "not distinguished",
                None => "too few stays",
            };
            match runs.last_mut() {
                Some((name, sizes)) if *name == winner => sizes.push(whole(services.into())),
                _ => runs.push((winner, vec![whole(services.into())])),
            }
        }
        if runs.len() < 2 || !told {
            return String::new();
        }
        let runs = runs
            .iter()
            .map(|(winner, sizes)| format!("{winner} at {}", listed(sizes)));
        format!("Fastest by size: {}.", apart(&runs.collect::<Vec<_>>()))
    }

    /// Last ÷ first position at the largest N: does the place of a service matter?
    pub(super) fn positions(&self, packet: &Subject) -> Option<Finding> {
        let mut said = Said::default();
        let asked = packet.to(Position::Last);
        for last in self.keys_at_largest(|key| asked.asks(key)) {
            let mut first = last.clone();
            first.options.set(OptionKey::Position, Position::First);
            let rows = self.both((last, Metric::Latency), (&first, Metric::Latency));
            let ratio = ratio(self.cells, last, &first, Metric::Latency);
            let Some(([row, base], ratio)) = rows.zip(ratio) else {
                continue;
            };
            let clause = format!(
                "{} in {} ({}{}{}{})",
                digits(ratio.known.value),
                last.mode,
                ratio.spread(),
                ratio.doubt(),
                explained(last.mode, &ratio),
                marked(&[("the last", row), ("the first", base)])
            );
            said.add(clause, [evidence(base), evidence(row)]);
        }
        let question = "First {protocol} packet (latency, {cache}) to the last of {N} services ÷ to the first one";
        self.clauses(FindingKind::Positions, &asked, question, said, listed)
    }

    /// One transaction against chunks, where a mode measures both.
    pub(super) fn chunks(&self) -> Option<Finding> {
        let mut said = Said::default();
        let installs = |key: &CellKey| key.scenario == ScenarioKind::ColdInstall;
        let whole = |key: &CellKey| key.options.is(OptionKey::Chunk, ONE_TRANSACTION);
        let rest = |key: &CellKey| (key.mode, key.options.without(&[OptionKey::Chunk]));
        for single in self.keys_at_largest(|key| installs(key) && whole(key)) {
            for chunked in self.keys_at_largest(|key| installs(key) && rest(key) == rest(single)) {
                let base = self.row(chunked, Metric::UpdateTime);
                let Some((chunk, base)) = chunked.options.chunk().zip(base) else {
                    continue;
                };
                let Some(times) = self.single_over_chunked(single, chunked, base) else {
                    continue;
                };
                let way = single.options.only(|key| key == OptionKey::Transport);
                let clause = format!(
                    "{times} as long as in transactions of {chunk}, in {} through {}",
                    single.mode,
                    way.words().join(", ")
                );
                said.add(clause, [evidence(base)]);
                let row = self.row(single, Metric::UpdateTime);
                said.evidence.extend(row.map(evidence));
            }
        }
        let question = "Installing {N} services in one transaction, by update_time and its release";
        let subject = ScenarioKind::ColdInstall.into();
        self.clauses(FindingKind::Chunks, &subject, question, said, apart)
    }

    fn single_over_chunked(
        &self,
        single: &CellKey,
        chunked: &CellKey,
        base: &Row,
    ) -> Option<String> {
        if let Some(after_ns) = self.lower_bound(single, Metric::UpdateTime) {
            let least = after_ns / known(base)?.bounds()?[1];
            let text = format!("more than {} times (it timed out)", digits(least));
            return (least > 1.0).then_some(text);
        }
        let ratio = ratio(self.cells, single, chunked, Metric::UpdateTime)?;
        let (times, spread, doubt) = (digits(ratio.known.value), ratio.spread(), ratio.doubt());
        Some(format!("{times} times ({spread}{doubt})"))
    }

    /// What adding one service hands over, at the smallest and the largest N.
    pub(super) fn handed_over(&self) -> Option<Finding> {
        let mut said = Said::default();
        for (name, key) in self.named_at_largest(|key| key.scenario == ScenarioKind::ServiceAdd) {
            let Some(small) = self.at_smallest(key) else {
                continue;
            };
            let mut parts = Vec::new();
            for (metric, plural) in [(Metric::Messages, " messages"), (Metric::BytesSent, "")] {
                let Some([few, many]) = self.both((&small, metric), (key, metric)) else {
                    continue;
                };
                let (Some(x), Some(y), Some(unit)) = (few.median, many.median, many.unit) else {
                    continue;
                };
                if metric == Metric::Messages && y == 0.0 {
                    continue;
                }
                let told = |count: f64| value(count, unit) + noun(count, plural);
                parts.push(match x == y {
                    true => format!("{} at both", told(y)),
                    false => format!("{} and {}", told(x), told(y)),
                });
                said.evidence.extend([evidence(few), evidence(many)]);
            }
            if !parts.is_empty() {
                said.clauses.push(format!("{name} {}", parts.join(", ")));
            }
        }
        let question = "To add one service at {from} and at {N} services, what is handed to the tool or the kernel";
        let subject = ScenarioKind::ServiceAdd.into();
        self.at_both(self.clauses(FindingKind::HandedOver, &subject, question, said, apart))
    }
}

/// A ratio in brief: its value, or where its ends lie further apart than a factor says something, the lower one.
fn in_brief(known: &Known) -> String {
    /// What is that wide says little but that it is more.
    const WIDE: f64 = 3.0;
    match known.bounds() {
        Some([low, high]) if high > WIDE * low => format!("at least {} times", times(low)),
        _ => format!("{} times", times(known.value)),
    }
}

/// A ratio of three digits, however large: "2,730".
fn times(ratio: f64) -> String {
    match ratio >= 1_000.0 {
        true => digits(format!("{ratio:.2e}").parse().unwrap_or(ratio)),
        false => digits(ratio),
    }
}

/// A clause as a sentence; of an empty one none.
pub(super) fn sentence(clause: &str) -> String {
    match clause.is_empty() {
        true => String::new(),
        false => format!("{clause}."),
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
    let whole = crate::view::words::together(entry.row);
    let spread = spread(&entry.ranked);
    whole.map_or_else(String::new, |whole| {
        format!(", with its release {whole} ({spread})")
    })
}
