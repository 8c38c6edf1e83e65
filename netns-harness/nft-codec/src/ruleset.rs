//! What tables of the ip and ip6 families hold: read from the kernel by [`crate::Connection::table`], or
//! made of operations. Equal values mean equal rules.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::names::{Comment, Name};
use crate::ops::{Act, BaseChain, Element, Key, KeyType, Op, Rule, Statement};

/// A table's content.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Table {
    /// Its comment.
    pub comment: Option<Comment>,
    /// Chains by name.
    pub chains: BTreeMap<Name, Chain>,
    /// Named sets and verdict maps; anonymous maps stand in the rules that use them.
    pub sets: BTreeMap<Name, Set>,
    /// What the kernel listed and this model has no place for, as text: flow tables, named objects,
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
    /// How long an element stays that a rule has put there. What such a set holds is no part of the rules: it is not
    /// listed.
    pub timeout: Option<Duration>,
    /// Its comment.
    pub comment: Option<Comment>,
    /// Its elements by key.
    pub elements: BTreeMap<Key, Element>,
}

impl Table {
    /// What operations make of a table that was not there, as far as they add to it, or delete a chain or set: for
    /// layouts. What is added is taken as it is.
    #[must_use]
    pub fn of(ops: &[Op]) -> Self {
        let mut table = Self::default();
        for op in ops {
            match &op.act {
                Act::AddTable(comment) => table.comment.clone_from(comment),
                Act::AddChain(chain, base, comment) => {
                    let made = Chain {
                        base: *base,
                        comment: comment.clone(),
                        rules: Vec::new(),
                    };
                    table.chains.entry(chain.clone()).or_insert(made);
                }
                Act::AddSet(spec) => {
                    let made = Set {
                        key: spec.key,
                        verdicts: spec.verdicts,
                        timeout: spec.timeout,
                        comment: spec.comment.clone(),
                        elements: BTreeMap::new(),
                    };
                    table.sets.entry(spec.name.clone()).or_insert(made);
                }
                // What is made to be deleted.
                Act::DeleteChain(chain) => drop(table.chains.remove(chain)),
                Act::DeleteSet(set, _) => drop(table.sets.remove(set)),
                Act::AddElements(set, elements) => {
                    let there = table.sets.get_mut(set).map(|set| &mut set.elements);
                    let new = elements
                        .iter()
                        .map(|element| (element.key, element.clone()));
                    there
                        .into_iter()
                        .for_each(|there| there.extend(new.clone()));
                }
                Act::AddRule(chain, rule) => {
                    let chain = table.chains.entry(chain.clone()).or_default();
                    chain.rules.push(rule.clone());
                }
                _ => {}
            }
        }
        table
    }
}

impl Rule {
    /// Sets its counters to zero.
    pub fn zero_counters(&mut self) {
        for statement in &mut self.statements {
            if let Statement::Counter(packets, bytes) = statement {
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
                Statement::Counter(packets, ..) => Some(*packets),
                _ => None,
            })
    }
}
