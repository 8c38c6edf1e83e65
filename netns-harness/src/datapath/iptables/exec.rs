//! Transport `exec`: one `iptables` process a chain or rule, as rules were written before
//! `iptables-restore`. Every command is a transaction of its own, so their order matters: what a rule
//! leads to is complete before the rule is there, and is removed after it.
//!
//! It knows services with endpoints alone.
//!
//! KUBE-SERVICES stays in population order and ends with the node-port rule: portals are inserted and
//! deleted by number, as everything in place is, which spares the tools the comparison of rules.

use std::collections::{HashMap, HashSet};

use super::Iptables;
use super::layout::{self, endpoint_chain, service_chain};
use crate::datapath::RenderOptions;
use crate::datapath::steps::Commands;
use crate::service::{Frontend, Population, Service};
use crate::xtables::RestoreText;
use crate::xtables::rule::words;

const PORTALS: &str = "KUBE-SERVICES";

/// Everything from nothing; the jumps from the built-in chains come last.
pub(super) fn install(iptables: Iptables, to: &Population, options: &RenderOptions) -> Commands {
    let mut text = RestoreText::new(iptables.family, options.large_cluster);
    text.canaries();
    base(&mut text, true);
    for service in &to.services {
        text.declare_service(service);
        text.service_rules(service);
        text.portal(service);
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
    commands.portals(from, to, options);
    // From services to endpoints: nothing refers any more to what is deleted.
    let gone = || {
        let chains = before.iter().rev().map(|chain| chain.name.as_str());
        chains.filter(|name| !kept.contains(name))
    };
    gone().for_each(|chain| commands.nat("-F", chain, None, &[]));
    gone().for_each(|chain| commands.nat("-X", chain, None, &[]));
    if options.resync {
        let mut text = RestoreText::new(iptables.family, options.large_cluster);
        base(&mut text, false);
        to.services.iter().for_each(|s| text.portal(s));
        to.services.iter().for_each(|s| text.service_rules(s));
        text.nat_rules_last();
        commands.in_place(&text.finish().0);
    }
    commands.finish()
}

/// The shared chains with the rules that do not depend on services; the node-port rule aside. `first`: with the chains
/// that no sync writes to.
fn base(text: &mut RestoreText, first: bool) {
    text.begin_filter(first);
    text.filter_rules(&[]);
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

/// The chains of services: a service's endpoints before the service, which leads to them.
fn chains(services: &[&Service], options: &RenderOptions) -> Vec<Chain> {
    let mut chains = Vec::new();
    for service in services {
        let mut text = RestoreText::new(service.family(), options.large_cluster);
        text.service_rules(service);
        let text = text.finish().0;
        let mut rules: HashMap<String, Vec<Words>> = HashMap::new();
        for line in text.lines() {
            let mut words = words(line);
            let rule = words.split_off(2);
            rules.entry(words.swap_remove(1)).or_default().push(rule);
        }
        let endpoints = service.endpoints.iter();
        let names = endpoints
            .map(|e| endpoint_chain(service, *e))
            .chain([service_chain(service)]);
        chains.extend(names.map(|name| Chain {
            rules: rules.remove(&name).unwrap_or_default(),
            name,
        }));
    }
    chains
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

    /// Brings KUBE-SERVICES from one population to the other: insertions, then deletions from the end,
    /// so that every number is that of the moment.
    fn portals(&mut self, from: &Population, to: &Population, options: &RenderOptions) {
        let kept = kept(from, to);
        let mut old = from.services.iter().map(portal);
        let mut doomed = Vec::new();
        let mut number = 1;
        for service in &to.services {
            if kept.contains(&portal(service)) {
                for passed in old.by_ref() {
                    number += 1;
                    if passed == portal(service) {
                        break;
                    }
                    doomed.push(number - 1);
                }
                continue;
            }
            let mut text = RestoreText::new(service.family(), options.large_cluster);
            text.portal(service);
            let rule = words(&text.finish().0).split_off(2);
            self.nat("-I", PORTALS, Some(number), &rule);
            number += 1;
        }
        doomed.extend(number..number + old.count());
        for number in doomed.into_iter().rev() {
            self.nat("-D", PORTALS, Some(number), &[]);
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

/// What a rule of KUBE-SERVICES depends on.
type Portal = (Frontend, u32);

fn portal(service: &Service) -> Portal {
    (service.frontend, service.index)
}

/// Portals that stay where they are: those of `from` that `to` has in the same order.
fn kept(from: &Population, to: &Population) -> HashSet<Portal> {
    let places = to.services.iter().enumerate().map(|(i, s)| (portal(s), i));
    let places: HashMap<Portal, usize> = places.collect();
    let mut last = None;
    let mut kept = HashSet::new();
    for service in &from.services {
        if let Some(place) = places.get(&portal(service))
            && last.is_none_or(|last| *place > last)
        {
            last = Some(*place);
            kept.insert(portal(service));
        }
    }
    kept
}

#[cfg(test)]
mod tests;
