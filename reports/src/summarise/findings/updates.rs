//! An update by its two times.
//!
//! Neither is the other's judge: what the kernel and the tool must do (`update_time`, with the `release_time` of
//! sockets that are closed after it), and what a named kube-proxy does for it (`sync_time`). Where they rank modes
//! differently, that is the sentence; a mode is the fastest where both say so. Of a time that one mode alone has
//! nothing is said but that.

use std::cmp::Ordering::Less;
use std::collections::BTreeMap;

use schema::summary::{Finding, FindingKind, Values};
use schema::{CellKey, Metric, Mode, OptionKey, ScenarioKind};

use super::ranking::{Entry, Ranking, Verdict, joined, without_number};
use super::{Context, TRANSPORT, VERSION, evidence, listed, stated};
use crate::view::order;

impl Context<'_, '_> {
    /// An update by both of its times, where kube-proxy's sync was measured; `alone`: and where it was not. A headline
    /// when it compares something.
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
        let mut evidence: Vec<String> = update.evidence().collect();
        let mut values = vec![update.values()];
        if let Some(sync) = &sync {
            evidence.extend(sync.evidence());
            values.push(sync.values());
        }
        let by_update = self.verdict(&update);
        let by_sync = sync.as_ref().and_then(|sync| self.verdict(sync));
        let compares = |verdict: &Option<Verdict>| verdict.as_ref().is_some_and(Verdict::compares);
        let headline = compares(&by_update) || compares(&by_sync);
        let verdict = match &sync {
            Some(sync) if sync.entries.len() > 1 => self.by_both(&update, sync, by_update, by_sync),
            _ => self.by_one(&update, sync.as_ref(), by_update, &asks),
        };
        values.extend(self.releases(&update, &mut evidence));
        let through = self.transports(&update, sync.as_ref());
        let verdict = joined(&[verdict, without_number(&update.gaps), through]);
        Some(Finding {
            evidence,
            values,
            headline,
            ..self.finding(FindingKind::Updates, scenario, question.to_owned(), verdict)
        })
    }

    /// By two times that two modes and more have.
    fn by_both(
        &self,
        update: &Ranking<'_>,
        sync: &Ranking<'_>,
        by_update: Option<Verdict>,
        by_sync: Option<Verdict>,
    ) -> String {
        let opening = opening(update, sync, &by_update, &by_sync);
        let said = |verdict: Option<Verdict>| {
            let text = verdict.map_or_else(String::new, |verdict| verdict.text(false));
            match text.is_empty() {
                true => "one mode alone.".to_owned(),
                false => text,
            }
        };
        format!(
            "{opening}. By {}: {} By sync_time ({}): {}",
            self.what(update),
            said(by_update),
            self.versions(sync),
            said(by_sync)
        )
    }

    /// By the first of them, where the second was measured in one mode alone, or in none. Empty where nothing is known.
    fn by_one(
        &self,
        update: &Ranking<'_>,
        sync: Option<&Ranking<'_>>,
        by_update: Option<Verdict>,
        asks: &impl Fn(&CellKey) -> bool,
    ) -> String {
        let said = by_update.map_or_else(String::new, |verdict| verdict.text(sync.is_none()));
        if said.is_empty() {
            return said;
        }
        let what = self.what(update);
        match sync.and_then(|sync| sync.entries.first()) {
            None => format!(
                "By {what} (no sync_time was measured): {said}{}",
                self.by_size(asks, Metric::UpdateTime)
            ),
            Some(entry) => format!(
                "By {what} (sync_time was measured in {} alone): {said} By sync_time, of {}, nothing is known of the others.",
                entry.name,
                self.kube_proxy(entry.key)
            ),
        }
    }

    /// What an update is ranked by, as words.
    fn what(&self, update: &Ranking<'_>) -> &'static str {
        let mut entries = update.entries.iter();
        match entries.any(|entry| self.row(entry.key, Metric::ReleaseTime).is_some()) {
            true => "update_time and release_time together, until the sockets are closed",
            false => "update_time",
        }
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

    /// "kube-proxy 1.34": whose sync a cell's is.
    pub(super) fn kube_proxy(&self, key: &CellKey) -> String {
        let versions: Vec<String> = self.cells.facts(key, VERSION).into_iter().collect();
        let version = versions.join(" and ");
        match (version.as_str(), key.mode.row().layout) {
            ("", _) => "kube-proxy of no named version".to_owned(),
            (version, Some(layout)) if version != layout => {
                format!("kube-proxy's read-back of {version} over its layout of {layout}")
            }
            (version, _) => format!("kube-proxy {version}"),
        }
    }

    /// "kube-proxy 1.34 in iptables-legacy and nftables": whose syncs these are.
    fn versions(&self, sync: &Ranking<'_>) -> String {
        let of = by_words(&sync.entries, |entry| vec![self.kube_proxy(entry.key)]);
        let parts: Vec<String> = of
            .into_iter()
            .map(|(version, names)| format!("{version} in {}", listed(&names)))
            .collect();
        parts.join(", ")
    }

    /// "update_time goes through iptables-restore: iptables-legacy; through netlink: nftables. sync_time …": an update
    /// and a sync need not go the same way.
    fn transports(&self, update: &Ranking<'_>, sync: Option<&Ranking<'_>>) -> String {
        let own = |entry: &Entry<'_>| {
            let words = entry.key.options.words_of(OptionKey::Transport);
            words
                .into_iter()
                .map(|words| whole_way(entry.key.mode, words))
                .collect()
        };
        let of_sync = |entry: &Entry<'_>| {
            let named = self.cells.facts(entry.key, TRANSPORT).into_iter();
            named
                .map(|name| OptionKey::Transport.words(&name))
                .collect()
        };
        let said = |metric: Metric, of: BTreeMap<String, Vec<String>>| {
            let through = |(words, names): (&String, &Vec<String>)| {
                format!("through {words}: {}", listed(names))
            };
            let parts: Vec<String> = of.iter().map(through).collect();
            match parts.is_empty() {
                true => String::new(),
                false => format!("{metric} goes {}.", parts.join("; ")),
            }
        };
        let entries = |ranking: Option<&'_ Ranking<'_>>,
                       ways: &dyn Fn(&Entry<'_>) -> Vec<String>| {
            ranking.map_or_else(BTreeMap::new, |of| by_words(&of.entries, ways))
        };
        joined(&[
            said(Metric::UpdateTime, entries(Some(update), &own)),
            said(Metric::SyncTime, entries(sync, &of_sync)),
        ])
    }
}

/// The names of series by what is said of each; of what nothing is said there is none.
fn by_words(
    entries: &[Entry<'_>],
    words: impl Fn(&Entry<'_>) -> Vec<String>,
) -> BTreeMap<String, Vec<String>> {
    let mut of: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for entry in entries {
        let said = words(entry);
        if !said.is_empty() {
            let names = of.entry(said.join(" and ")).or_default();
            names.push(entry.name.clone());
        }
    }
    of
}

/// A transport as words; a mode whose transport carries its sets alone changes its rules by a tool.
fn whole_way(mode: Mode, words: String) -> String {
    match mode.row().sets {
        true => format!("{words} (the set) and iptables-restore (the rules)"),
        false => words,
    }
}

/// What the two times say beside each other.
fn opening(
    update: &Ranking<'_>,
    sync: &Ranking<'_>,
    by_update: &Option<Verdict>,
    by_sync: &Option<Verdict>,
) -> String {
    let Beside { differing, alike } = beside(update, sync);
    if !differing.is_empty() {
        return format!(
            "update_time and sync_time rank the modes differently ({})",
            differing.join("; ")
        );
    }
    let clear = |verdict: &Option<Verdict>| {
        let clear = verdict.as_ref().filter(|v| v.is_clear());
        clear.map(|v| v.best.clone())
    };
    if let Some(best) = clear(by_update).filter(|best| clear(by_sync).as_ref() == Some(best)) {
        return format!("{best} is the fastest, by update_time and by sync_time");
    }
    if alike {
        return "update_time and sync_time do not contradict each other".to_owned();
    }
    "update_time and sync_time tell no two of the modes that have both apart".to_owned()
}

/// Two times of the same modes.
struct Beside {
    /// Pairs of modes that one tells apart and the other does not, or the other way round, as clauses.
    differing: Vec<String>,
    /// Whether some pair is told apart by both, in the same order.
    alike: bool,
}

fn beside(update: &Ranking<'_>, sync: &Ranking<'_>) -> Beside {
    let (mut turned, mut alone, mut alike) = (Vec::new(), [Vec::new(), Vec::new()], false);
    for (index, a) in update.entries.iter().enumerate() {
        for b in &update.entries[index + 1..] {
            let (Some(x), Some(y)) = (sync.of(a.key), sync.of(b.key)) else {
                continue;
            };
            match (order(&a.ranked, &b.ranked), order(&x.ranked, &y.ranked)) {
                (first, second) if first == second => alike |= first.is_some(),
                (Some(_), Some(_)) => turned.push(format!("{} and {}", a.name, b.name)),
                (Some(_), None) => alone[0].push(format!("{} before {}", a.name, b.name)),
                (None, Some(Less)) => alone[1].push(format!("{} before {}", a.name, b.name)),
                (None, _) => alone[1].push(format!("{} before {}", b.name, a.name)),
            }
        }
    }
    let mut differing = Vec::new();
    let mut say = |pairs: &[String], what: &str| {
        if !pairs.is_empty() {
            differing.push(format!("{what}: {}", pairs.join(", ")));
        }
    };
    say(&turned, "they change places");
    say(&alone[0], "by update_time alone");
    say(&alone[1], "by sync_time alone");
    Beside { differing, alike }
}
