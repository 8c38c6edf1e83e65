//! Transport `exec`: one `iptables` process a chain or rule, as rules were written before
//! `iptables-restore`. Every command is a transaction of its own, so their order matters: what a rule
//! leads to is complete before the rule is there, and is removed after it.
//!
//! Shared chains stay in population order, and KUBE-SERVICES ends with the node-port rule: rules of services are inserted
//! and deleted by number, as everything in place is, which spares the tools the comparison of rules.

use std::collections::{HashMap, HashSet};

use super::Iptables;
use super::layout;
use super::services::Own;
use crate::datapath::RenderOptions;
use crate::datapath::steps::Commands;
use crate::service::{Population, Service};
use crate::xtables::RestoreText;
use crate::xtables::rule::words;

/// Chains of table filter that have rules of services, and of services alone.
const FILTERS: [&str; 4] = [
    "KUBE-SERVICES",
    "KUBE-EXTERNAL-SERVICES",
    "KUBE-PROXY-FIREWALL",
    "KUBE-NODEPORTS",
];
/// Those of table nat; behind them in KUBE-SERVICES stands the node-port rule.
const PORTALS: [&str; 2] = ["KUBE-SERVICES", "KUBE-NODEPORTS"];

/// Everything from nothing; the jumps from the built-in chains come last.
pub(super) fn install(iptables: Iptables, to: &Population, options: &RenderOptions) -> Commands {
    let mut text = iptables.text(options.large_cluster);
    text.canaries();
    base(&mut text, true, &to.services);
    for service in &to.services {
        text.declare_service(service);
        text.service_rules(service);
        text.portals(service);
    }
    text.nat_rules_last();
    for table in ["filter", "nat"] {
        text.begin(table);
        text.jumps(table, true);
    }
    let mut commands = Lines::new(iptables.tool());
    commands.as_written(&text.finish().0);
    commands.finish()
}

/// Only what changed; in a resync, then every rule again in its place.
pub(super) fn update(
    iptables: Iptables,
    from: &Population,
    to: &Population,
    options: &RenderOptions,
) -> Commands {
    let (written, stale) = layout::changes(from, to);
    let before = chains(&stale, options);
    let after = chains(&written, options);
    let there: HashMap<&str, &[Words]> = before.iter().map(Chain::named).collect();
    let kept: HashSet<&str> = after.iter().map(|chain| chain.name.as_str()).collect();
    let mut commands = Lines::new(iptables.tool());
    for chain in &after {
        match there.get(chain.name.as_str()) {
            Some(rules) => commands.change(chain, rules),
            None => commands.make(chain),
        }
    }
    let [old, new] = [from, to].map(|population| Shared::of(iptables, population, options));
    for chain in PORTALS {
        commands.list("nat", chain, old.nat(chain), new.nat(chain));
    }
    for chain in FILTERS {
        commands.list("filter", chain, old.filter(chain), new.filter(chain));
    }
    // From services to endpoints: nothing refers any more to what is deleted.
    let gone = || {
        let chains = before.iter().rev().map(|chain| chain.name.as_str());
        chains.filter(|name| !kept.contains(name))
    };
    gone().for_each(|chain| commands.nat("-F", chain, None, &[]));
    gone().for_each(|chain| commands.nat("-X", chain, None, &[]));
    if options.resync {
        let mut text = iptables.text(options.large_cluster);
        base(&mut text, false, &to.services);
        to.services.iter().for_each(|s| text.portals(s));
        to.services.iter().for_each(|s| text.service_rules(s));
        text.nat_rules_last();
        commands.in_place(&text.finish().0);
    }
    commands.finish()
}

/// The shared chains: table filter's with all rules, nat's with those that do not depend on services; the node-port rule
/// aside. `first`: with the chains that no sync writes to.
fn base(text: &mut RestoreText, first: bool, services: &[Service]) {
    text.begin_filter(first);
    text.filter_rules(services);
    text.commit();
    text.begin_nat();
    text.nat_rules_first();
}

type Words = Vec<String>;

/// A chain in nat: the words behind `-A CHAIN` of each rule.
struct Chain {
    name: String,
    rules: Vec<Words>,
}

impl Chain {
    fn named(&self) -> (&str, &[Words]) {
        (&self.name, &self.rules)
    }
}

/// The words behind `-A CHAIN` of each rule of a text, by chain.
fn by_chain(text: &str) -> HashMap<String, Vec<Words>> {
    let mut rules: HashMap<String, Vec<Words>> = HashMap::new();
    for line in text.lines() {
        let mut words = words(line);
        let rule = words.split_off(2);
        rules.entry(words.swap_remove(1)).or_default().push(rule);
    }
    rules
}

/// The chains of services, each behind those that it leads to.
fn chains(services: &[&Service], options: &RenderOptions) -> Vec<Chain> {
    let mut chains = Vec::new();
    for service in services {
        let mut text = RestoreText::new(service.family(), options.large_cluster);
        text.service_rules(service);
        let mut rules = by_chain(&text.finish().0);
        let names = Own::of(service).made().into_iter();
        chains.extend(names.map(|name| Chain {
            rules: rules.remove(&name).unwrap_or_default(),
            name,
        }));
    }
    chains
}

/// Rules of services in shared chains.
struct Shared {
    nat: HashMap<String, Vec<Words>>,
    filter: HashMap<String, Vec<Words>>,
}

impl Shared {
    fn of(iptables: Iptables, population: &Population, options: &RenderOptions) -> Self {
        let written = |write: fn(&mut RestoreText, &Service)| {
            let mut rules: HashMap<String, Vec<Words>> = HashMap::new();
            for service in &population.services {
                let mut text = iptables.text(options.large_cluster);
                write(&mut text, service);
                for (chain, own) in by_chain(&text.finish().0) {
                    rules.entry(chain).or_default().extend(own);
                }
            }
            rules
        };
        Self {
            nat: written(RestoreText::portals),
            filter: written(RestoreText::service_filter_rules),
        }
    }

    fn nat(&self, chain: &str) -> &[Words] {
        self.nat.get(chain).map_or(&[][..], Vec::as_slice)
    }

    fn filter(&self, chain: &str) -> &[Words] {
        self.filter.get(chain).map_or(&[][..], Vec::as_slice)
    }
}

/// Command lines under construction.
struct Lines<'a> {
    tool: &'a str,
    lines: Vec<Words>,
}

impl<'a> Lines<'a> {
    fn new(tool: &'a str) -> Self {
        Self {
            tool,
            lines: Vec::new(),
        }
    }

    fn finish(self) -> Commands {
        Commands(self.lines)
    }

    fn push(
        &mut self,
        table: &str,
        action: &str,
        chain: &str,
        number: Option<usize>,
        rule: &[String],
    ) {
        let start = [self.tool, "-w", "5", "-t", table, action, chain];
        let number = number.map(|n| n.to_string());
        let line = start.iter().map(|w| (*w).to_owned());
        self.lines
            .push(line.chain(number).chain(rule.iter().cloned()).collect());
    }

    fn nat(&mut self, action: &str, chain: &str, number: Option<usize>, rule: &[String]) {
        self.push("nat", action, chain, number, rule);
    }

    /// A new chain, with its rules.
    fn make(&mut self, chain: &Chain) {
        self.nat("-N", &chain.name, None, &[]);
        for rule in &chain.rules {
            self.nat("-A", &chain.name, None, rule);
        }
    }

    /// A chain that is there with the rules `old`. What is added stands behind a rule that takes every
    /// packet, and so does what is deleted: there is always exactly one choice of endpoints to make.
    fn change(&mut self, chain: &Chain, old: &[Words]) {
        for rule in chain.rules.iter().skip(old.len()) {
            self.nat("-A", &chain.name, None, rule);
        }
        for (i, rule) in chain.rules.iter().enumerate() {
            if old.get(i).is_some_and(|there| there != rule) {
                self.nat("-R", &chain.name, Some(i + 1), rule);
            }
        }
        for number in (chain.rules.len() + 1..=old.len()).rev() {
            self.nat("-D", &chain.name, Some(number), &[]);
        }
    }

    /// Brings the rules of services in a shared chain from one list to the other: insertions, then deletions from the
    /// end, so that every number is that of the moment.
    fn list(&mut self, table: &str, chain: &str, from: &[Words], to: &[Words]) {
        let kept = kept(from, to);
        let mut old = from.iter();
        let mut doomed = Vec::new();
        let mut number = 1;
        for rule in to {
            if kept.contains(rule) {
                for passed in old.by_ref() {
                    number += 1;
                    if passed == rule {
                        break;
                    }
                    doomed.push(number - 1);
                }
                continue;
            }
            self.push(table, "-I", chain, Some(number), rule);
            number += 1;
        }
        doomed.extend(number..number + old.count());
        for number in doomed.into_iter().rev() {
            self.push(table, "-D", chain, Some(number), &[]);
        }
    }

    /// Restore input as commands, in its order: `:CHAIN` is `-N CHAIN`.
    fn as_written(&mut self, text: &str) {
        let mut table = "";
        for line in text.lines() {
            if let Some(name) = line.strip_prefix('*') {
                table = name;
            } else if let Some(chain) = line.strip_prefix(':').and_then(first_word) {
                self.push(table, "-N", chain, None, &[]);
            } else if line.starts_with('-') {
                let words = words(line);
                self.push(table, &words[0], &words[1], None, &words[2..]);
            }
        }
    }

    /// The rules of a restore input that are there already, each replaced by itself.
    fn in_place(&mut self, text: &str) {
        let mut table = "";
        let mut numbers: HashMap<(&str, String), usize> = HashMap::new();
        for line in text.lines() {
            if let Some(name) = line.strip_prefix('*') {
                table = name;
            } else if line.starts_with("-A ") {
                let words = words(line);
                let number = numbers.entry((table, words[1].clone())).or_default();
                *number += 1;
                let number = Some(*number);
                self.push(table, "-R", &words[1], number, &words[2..]);
            }
        }
    }
}

fn first_word(text: &str) -> Option<&str> {
    text.split_whitespace().next()
}

/// Rules that stay where they are: those of `from` that `to` has in the same order. No two are equal, for each names a
/// service and a destination of it.
fn kept<'a>(from: &'a [Words], to: &[Words]) -> HashSet<&'a Words> {
    let places = to.iter().enumerate().map(|(i, rule)| (rule, i));
    let places: HashMap<&Words, usize> = places.collect();
    let mut last = None;
    let mut kept = HashSet::new();
    for rule in from {
        if let Some(place) = places.get(rule)
            && last.is_none_or(|last| *place > last)
        {
            last = Some(*place);
            kept.insert(rule);
        }
    }
    kept
}

#[cfg(test)]
mod tests;
