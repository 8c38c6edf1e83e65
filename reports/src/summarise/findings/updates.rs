//! An update by its two times.
//!
//! Neither is the other's judge: what the kernel and the tool must do (`update_time`, with the `release_time` of
//! sockets that are closed after it), and what a named kube-proxy does for it (`sync_time`). Where they rank modes
//! differently, that is the sentence; a mode is the fastest where both say so. Of a time that one mode alone has
//! nothing is said but that.

use std::cmp::Ordering::Less;
use std::collections::BTreeMap;

use schema::ScenarioKind::{ColdInstall, EndpointChurn, ServiceAdd, ServiceRemove};
use schema::summary::{Finding, FindingKind, Values};
use schema::{CellKey, Metric, OptionKey, ScenarioKind, Transport};

use super::ranking::{Entry, Ranking, Verdict, joined, sentence, without_number};
use super::{Context, Subject, TRANSPORT, VERSION, apart, evidence, listed, stated};
use crate::quantity::{value, whole};
use crate::view::order;

/// Updates that are ranked, as questions: those that are asked first, and those of which kube-proxy's sync tells.
const UPDATES: &[(bool, ScenarioKind, &str)] = &[
    (true, ServiceAdd, "Adding one service to {N}"),
    (true, ColdInstall, "Installing {N} services from nothing"),
    (false, ServiceRemove, "Removing one service of {N}"),
    (false, EndpointChurn, "Replacing endpoints of {N} services"),
];

impl Context<'_, '_> {
    /// Updates by both of their times, where kube-proxy's sync was measured; `first`: those that are asked first, also
    /// where it was not.
    pub(super) fn updates(&self, first: bool) -> impl Iterator<Item = Finding> {
        let asked = UPDATES.iter().filter(move |(own, ..)| *own == first);
        asked.filter_map(move |(_, scenario, question)| {
            let found = self.update(question, &(*scenario).into(), first)?;
            let headline = found.headline && first;
            Some(Finding { headline, ..found })
        })
    }

    /// A headline when it compares something.
    fn update(&self, question: &str, subject: &Subject, alone: bool) -> Option<Finding> {
        let update = self.ranked(subject, Metric::UpdateTime)?;
        let sync = self.ranked(subject, Metric::SyncTime);
        let sync = sync.filter(|sync| !sync.entries.is_empty());
        if sync.is_none() && !alone {
            return None;
        }
        let rankings = || [&update].into_iter().chain(&sync);
        let mut evidence: Vec<String> = rankings().flat_map(Ranking::evidence).collect();
        let mut values: Vec<Values> = rankings().map(Ranking::values).collect();
        let headline = rankings()
            .filter_map(|of| of.verdict.as_ref())
            .any(Verdict::compares);
        let verdict = match &sync {
            Some(sync) if sync.entries.len() > 1 => self.by_both(&update, sync),
            _ => self.by_one(&update, sync.as_ref(), subject),
        };
        let of = |what: &str, ranking: &Ranking<'_>| {
            let brief = ranking.brief();
            sentence(&if brief.is_empty() {
                brief
            } else {
                format!("{what}: {brief}")
            })
        };
        let brief = joined([
            self.syncs_in_brief(subject, sync.as_ref()),
            of("What the kernel and the tool must do", &update),
        ]);
        values.extend(self.releases(&update, &mut evidence));
        let through = self.transports(&update, sync.as_ref());
        let verdict = joined([verdict, without_number(&update.gaps), through]);
        Some(Finding {
            brief,
            values,
            headline,
            ..self.finding(FindingKind::Updates, subject, question, (verdict, evidence))
        })
    }

    /// Who takes least with all that kube-proxy does: at the largest size at which modes can be held against each other by it.
    fn syncs_in_brief(&self, subject: &Subject, sync: Option<&Ranking<'_>>) -> String {
        const WHAT: &str = "all that kube-proxy does for it";
        let told = sync.map(Ranking::brief).unwrap_or_default();
        if !told.is_empty() {
            return sentence(&format!("With {WHAT}: {told}"));
        }
        let sizes = self.scope.sizes(self.summary);
        let at = |services: u32| {
            let smaller = self.at(services);
            let told = smaller.ranked(subject, Metric::SyncTime)?.brief();
            (!told.is_empty()).then_some((services, told))
        };
        let Some((services, told)) = sizes.range(..self.largest).rev().copied().find_map(at) else {
            return String::new();
        };
        let alone = sync.into_iter().flat_map(|sync| &sync.entries);
        let alone = alone.filter_map(|entry| {
            let of = value(entry.row.median?, entry.row.unit?);
            let here = whole(self.largest.into());
            let name = sync.map_or_else(String::new, |sync| sync.short_name(&entry.name));
            Some(format!("; at {here} services {name} {of}"))
        });
        let alone: String = alone.collect();
        sentence(&format!(
            "At {} services, with {WHAT}: {told}{alone}",
            whole(services.into())
        ))
    }

    /// By two times that two modes and more have.
    fn by_both(&self, update: &Ranking<'_>, sync: &Ranking<'_>) -> String {
        let said = |ranking: &Ranking<'_>| match ranking.text(false) {
            none if none.is_empty() => "one mode alone.".to_owned(),
            text => text,
        };
        format!(
            "{}. By {}: {} By sync_time ({}): {}",
            opening(update, sync),
            self.what(update),
            said(update),
            self.versions(sync),
            said(sync)
        )
    }

    /// By the first of them, where the second was measured in one mode alone, or in none. Empty where nothing is known.
    fn by_one(
        &self,
        update: &Ranking<'_>,
        sync: Option<&Ranking<'_>>,
        subject: &Subject,
    ) -> String {
        let said = update.text(sync.is_none());
        if said.is_empty() {
            return said;
        }
        let what = self.what(update);
        match sync.and_then(|sync| sync.entries.first()) {
            None => joined([
                format!("By {what} (no sync_time was measured): {said}"),
                self.by_size(subject, Metric::UpdateTime),
            ]),
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
            text: apart(&parts),
        })
    }

    /// "kube-proxy 1.36": whose sync a cell's is.
    pub(super) fn kube_proxy(&self, key: &CellKey) -> String {
        let versions: Vec<String> = self.cells.facts(key, VERSION).into_iter().collect();
        let of_ours = key.options.transport() != Some(Transport::KubeProxy);
        let unnamed = of_ours && key.options.get(OptionKey::KubeProxy).is_none();
        let layout = key.mode.row().layout.filter(|_| unnamed);
        match (versions.join(" and ").as_str(), layout) {
            ("", _) => "kube-proxy of no named version".to_owned(),
            (version, Some(layout)) if version != layout => {
                format!("kube-proxy's read-back of {version} over its layout of {layout}")
            }
            (version, _) => OptionKey::KubeProxy.words(version),
        }
    }

    /// The transports of a cell's sync, as words.
    pub(super) fn through(&self, key: &CellKey) -> Vec<String> {
        let named = self.cells.facts(key, TRANSPORT).into_iter();
        named
            .map(|name| OptionKey::Transport.words(&name))
            .collect()
    }

    /// "kube-proxy 1.36 in nftables": whose syncs these are.
    fn versions(&self, sync: &Ranking<'_>) -> String {
        let of = by_words(&sync.entries, |entry| vec![self.kube_proxy(entry.key)]);
        let parts = of
            .iter()
            .map(|(version, names)| format!("{version} in {}", listed(names)));
        parts.collect::<Vec<_>>().join(", ")
    }

    /// "update_time goes through iptables-restore: iptables-legacy; through netlink: nftables. sync_time …": an update
    /// and a sync need not go the same way.
    fn transports(&self, update: &Ranking<'_>, sync: Option<&Ranking<'_>>) -> String {
        let said = |metric: Metric, of: BTreeMap<String, Vec<String>>| {
            let parts = of.iter();
            let parts = parts.map(|(words, names)| format!("through {words}: {}", listed(names)));
            match of.is_empty() {
                true => String::new(),
                false => format!("{metric} goes {}.", apart(&parts.collect::<Vec<_>>())),
            }
        };
        let by_sync = sync.map(|sync| by_words(&sync.entries, |entry| self.through(entry.key)));
        joined([
            said(Metric::UpdateTime, by_words(&update.entries, whole_way)),
            said(Metric::SyncTime, by_sync.unwrap_or_default()),
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
fn whole_way(entry: &Entry<'_>) -> Vec<String> {
    let words = entry.key.options.words_of(OptionKey::Transport);
    let whole = words.map(|words| match entry.key.mode.row().sets {
        true => format!("{words} (the set) and iptables-restore (the rules)"),
        false => words,
    });
    whole.into_iter().collect()
}

/// What the two times say beside each other.
fn opening(update: &Ranking<'_>, sync: &Ranking<'_>) -> String {
    // Pairs of modes: whose order each of the times turns round, or alone tells; and whether both tell one alike.
    let heads = [
        "they change places",
        "by update_time alone",
        "by sync_time alone",
    ];
    let (mut differing, mut alike) = (heads.map(|head| (head, Vec::new())), false);
    for (index, a) in update.entries.iter().enumerate() {
        for b in &update.entries[index + 1..] {
            let (Some(x), Some(y)) = (sync.of(a.key), sync.of(b.key)) else {
                continue;
            };
            let before = |a: &Entry<'_>, b: &Entry<'_>| format!("{} before {}", a.name, b.name);
            match (order(&a.ranked, &b.ranked), order(&x.ranked, &y.ranked)) {
                (first, second) if first == second => alike |= first.is_some(),
                (Some(_), Some(_)) => differing[0].1.push(format!("{} and {}", a.name, b.name)),
                (Some(_), None) => differing[1].1.push(before(a, b)),
                (None, Some(Less)) => differing[2].1.push(before(a, b)),
                (None, _) => differing[2].1.push(before(b, a)),
            }
        }
    }
    let said = |(head, pairs): &(&str, Vec<String>)| {
        (!pairs.is_empty()).then(|| format!("{head}: {}", pairs.join(", ")))
    };
    let said: Vec<String> = differing.iter().filter_map(said).collect();
    let clear = |ranking: &Ranking<'_>| {
        let clear = ranking
            .verdict
            .as_ref()
            .filter(|verdict| verdict.is_clear());
        clear.map(|verdict| verdict.best.clone())
    };
    match clear(update).filter(|best| clear(sync).as_ref() == Some(best)) {
        _ if !said.is_empty() => {
            format!(
                "update_time and sync_time rank the modes differently ({})",
                apart(&said)
            )
        }
        Some(best) => format!("{best} is the fastest, by update_time and by sync_time"),
        None if alike => "update_time and sync_time do not contradict each other".to_owned(),
        None => {
            "update_time and sync_time tell no two of the modes that have both apart".to_owned()
        }
    }
}
