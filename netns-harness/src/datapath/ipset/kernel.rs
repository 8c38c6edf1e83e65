//! Batches interpreted: tables and sets as they would be after each transaction, refusing what tools
//! and kernel would refuse.

use schema::Family;

use super::commands::{self, Sets};
use super::{Ipset, trace};
use crate::datapath::meaning::Meaning;
use crate::datapath::steps::{self, Restore, SetScript};
use crate::datapath::{Batch, Step};
use crate::relation::Relation;
use crate::xtables::rule::Target;
use crate::xtables::tables::Tables;

impl Meaning for Ipset {
    fn meaning(&self, batches: &[Batch]) -> Result<Relation, String> {
        let mut kernel = Kernel::of(self.family);
        for step in batches.iter().flat_map(|batch| &batch.steps) {
            kernel.run(&**step)?;
        }
        kernel.relation()
    }
}

/// Tables of a family and sets of a namespace.
#[derive(Debug, Clone)]
pub(super) struct Kernel {
    family: Family,
    pub(super) tables: Tables,
    pub(super) sets: Sets,
}

impl Kernel {
    /// An untouched one.
    pub(super) fn of(family: Family) -> Self {
        Self {
            family,
            tables: Tables::default(),
            sets: Sets::default(),
        }
    }

    /// What it does with new flows.
    ///
    /// # Errors
    /// What is not part of the layout, or leads nowhere.
    pub(super) fn relation(&self) -> Result<Relation, String> {
        trace::relation(&self.tables, &self.sets.listed(), self.family)
    }

    /// Carries out one step.
    ///
    /// # Errors
    /// The line or command that would be refused, and why.
    pub(super) fn run(&mut self, step: &dyn Step) -> Result<(), String> {
        if let Some(restore) = step.as_a::<Restore>() {
            self.tables.restore(&restore.text)?;
            // A rule refers to a set by its index, which the kernel looks up when the rule is made
            // (`set_target_v3_checkentry`).
            match self
                .sets_in_use()
                .find(|set| !self.sets.0.contains_key(*set))
            {
                Some(set) => Err(format!("no set {set} for a rule of table mangle")),
                None => Ok(()),
            }
        } else if let Some(steps::Sets(commands)) = step.as_a() {
            commands.iter().try_for_each(|c| self.command(c))
        } else if let Some(script) = step.as_a::<SetScript>() {
            commands::parse_script(&script.text)?
                .iter()
                .try_for_each(|c| self.command(c))
        } else {
            Err("a step of another mode".to_owned())
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
}
