//! Batches interpreted: tables and sets as they would be after each transaction, refusing what tools
//! and kernel would refuse.

use super::sets::{self, Sets};
use super::trace;
use crate::datapath::{Payload, Transaction};
use crate::relation::Relation;
use crate::xtables::rule::Target;
use crate::xtables::tables::Tables;

/// Tables and sets of a namespace.
#[derive(Debug, Clone, Default)]
pub(super) struct Kernel {
    pub(super) tables: Tables,
    pub(super) sets: Sets,
}

impl Kernel {
    /// Carries out one transaction.
    ///
    /// # Errors
    /// The line or command that would be refused, and why.
    pub(super) fn run(&mut self, transaction: &Transaction) -> Result<(), String> {
        match &transaction.payload {
            Payload::Restore(text) => {
                self.tables.restore(text)?;
                // A rule refers to a set by its index, which the kernel looks up when the rule is made
                // (`set_target_v3_checkentry`).
                match self
                    .sets_in_use()
                    .find(|set| !self.sets.0.contains_key(*set))
                {
                    Some(set) => Err(format!("no set {set} for a rule of table mangle")),
                    None => Ok(()),
                }
            }
            Payload::Sets(commands) => commands.iter().try_for_each(|c| self.command(c)),
            Payload::SetScript(script) => sets::parse_script(script)?
                .iter()
                .try_for_each(|c| self.command(c)),
            _ => Err("a payload of another mode".to_owned()),
        }
    }

    fn command(&mut self, command: &ipset_sys::Command) -> Result<(), String> {
        let in_use: Vec<String> = self.sets_in_use().map(str::to_owned).collect();
        self.sets
            .run(command, |name| in_use.iter().any(|set| set == name))
    }

    /// Sets that rules refer to.
    fn sets_in_use(&self) -> impl Iterator<Item = &str> {
        let mangle = self.tables.0.get("mangle").into_iter();
        mangle
            .flat_map(|table| table.chains.values().flatten())
            .filter_map(|rule| match &rule.target {
                Target::MapMark(set) => Some(set.as_str()),
                _ => None,
            })
    }

    /// What it does with new flows.
    ///
    /// # Errors
    /// What is not part of the layout, or leads nowhere.
    pub(super) fn relation(&self) -> Result<Relation, String> {
        trace::relation(&self.tables, &self.sets)
    }
}
