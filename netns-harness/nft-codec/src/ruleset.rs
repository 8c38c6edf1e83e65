//! What tables of the ip family hold: read from the kernel by [`crate::Connection::ruleset`], or
//! interpreted from operations by [`Ruleset::apply`]. Equal values mean equal rules.

use std::collections::BTreeMap;

use crate::names::{Comment, Name};
use crate::ops::{BaseChain, Element, Key, KeyType, Rule, Statement};

/// Tables by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ruleset {
    /// The tables.
    pub tables: BTreeMap<Name, Table>,
}

/// A table's content.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Table {
    /// Its comment.
    pub comment: Option<Comment>,
    /// Chains by name.
    pub chains: BTreeMap<Name, Chain>,
    /// Named sets and verdict maps; anonymous maps stand in the rules that use them.
    pub sets: BTreeMap<Name, Set>,
    /// Named counters: packets, bytes.
    pub counters: BTreeMap<Name, (u64, u64)>,
    /// What the kernel listed and this model has no place for, as text: flow tables, other objects,
    /// sets of other types. Empty in every table made of [`crate::Op`]s.
    pub unknown: Vec<String>,
}

/// A chain.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Chain {
    /// Where it hangs, if anywhere.
    pub base: Option<BaseChain>,
    /// Its comment.
    pub comment: Option<Comment>,
    /// Its rules in order.
    pub rules: Vec<Rule>,
}

/// A named set or verdict map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// What its keys are made of.
    pub key: KeyType,
    /// Whether its elements carry verdicts.
    pub verdicts: bool,
    /// Its comment.
    pub comment: Option<Comment>,
    /// Its elements by key.
    pub elements: BTreeMap<Key, Element>,
}

impl Ruleset {
    /// Sets every inline and named counter to zero, so that rules can be compared after traffic.
    pub fn zero_counters(&mut self) {
        for table in self.tables.values_mut() {
            for rule in table.chains.values_mut().flat_map(|chain| &mut chain.rules) {
                rule.zero_counters();
            }
            table
                .counters
                .values_mut()
                .for_each(|counter| *counter = (0, 0));
        }
    }
}

impl Rule {
    /// Sets its counters to zero.
    pub fn zero_counters(&mut self) {
        for statement in &mut self.statements {
            if let Statement::Counter { packets, bytes } = statement {
                (*packets, *bytes) = (0, 0);
            }
        }
    }

    /// Packets that its first counter has seen; `None` without a counter.
    #[must_use]
    pub fn packets(&self) -> Option<u64> {
        self.statements
            .iter()
            .find_map(|statement| match statement {
                Statement::Counter { packets, .. } => Some(*packets),
                _ => None,
            })
    }
}
