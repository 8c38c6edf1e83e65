//! A list whose entries are replaced while packets are looked up in it.

use std::collections::BTreeSet;
use std::ops::Range;

use schema::{Holder, ListWay};

use super::members::Changed;
use super::{List, rules, sets, tables};
use crate::HarnessError;
use crate::datapath::Batch;

/// The entries before and after, by their numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replacement {
    /// Those that are there.
    pub from: Range<u32>,
    /// Those that are to be there.
    pub to: Range<u32>,
}

impl Replacement {
    /// Numbers that leave, and that come.
    fn differing(&self) -> [Vec<u32>; 2] {
        let less =
            |a: &Range<u32>, b: &Range<u32>| a.clone().filter(|nth| !b.contains(nth)).collect();
        [less(&self.from, &self.to), less(&self.to, &self.from)]
    }
}

impl List {
    /// Makes what a way needs besides the list. Untimed.
    ///
    /// # Errors
    /// The kernel or a tool does not have what it takes.
    pub fn prepare(&self, way: ListWay) -> Result<(), HarnessError> {
        match (self.holder(), way) {
            (Holder::Sets, ListWay::Swap) => sets::make_spare(self),
            _ => Ok(()),
        }
    }

    /// What replaces entries; `None`: the mode knows no such way.
    #[must_use]
    pub fn replace(&self, way: ListWay, replacement: &Replacement) -> Option<Batch> {
        let [leaving, coming] = replacement.differing();
        let members = |numbers: Vec<u32>| numbers.into_iter().map(|nth| self.members.nth(nth));
        let members = Changed {
            leaving: members(leaving).collect(),
            coming: members(coming).collect(),
            all: members(replacement.to.clone().collect()).collect(),
        };
        match self.holder() {
            Holder::Sets => sets::replaced(self, way, &members),
            Holder::Tables => tables::replaced(self, way, &members),
            Holder::Nobody => None,
            Holder::Rules => rules::replaced(self, way, &members),
        }
    }

    /// The entries that the kernel lists must be those.
    ///
    /// # Errors
    /// As [`List::check`].
    pub fn check_those(&self, entries: Range<u32>) -> Result<(), HarnessError> {
        let all = entries.map(|nth| self.members.nth(nth));
        let (wanted, listed): (BTreeSet<String>, BTreeSet<String>) = match self.holder() {
            Holder::Sets => (
                all.map(|m| sets::text(self, m)).collect(),
                sets::listed(self)?,
            ),
            Holder::Tables => (
                all.map(|m| tables::text(self, m)).collect(),
                tables::listed(self)?,
            ),
            Holder::Nobody => return Ok(()),
            Holder::Rules => (
                all.map(|m| rules::text(self, m)).collect(),
                rules::listed(self)?,
            ),
        };
        let differing = |a: &BTreeSet<String>, b: &BTreeSet<String>| {
            let mut rest = a.difference(b);
            rest.next().map(|first| (first.clone(), 1 + rest.count()))
        };
        let why = match (differing(&wanted, &listed), differing(&listed, &wanted)) {
            (None, None) => return Ok(()),
            (Some((first, missing)), _) => {
                format!("{first} (one of {missing} entries that are not listed)")
            }
            (None, Some((first, more))) => {
                format!("{first} (one of {more} entries that are none of the list's)")
            }
        };
        Err(HarnessError::listing("the list")(why))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leaves_is_not_wanted_and_what_comes_was_not_there() {
        let replacement = Replacement {
            from: 0..10,
            to: 2..12,
        };
        assert_eq!(replacement.differing(), [vec![0, 1], vec![10, 11]]);
        let back = Replacement {
            from: replacement.to,
            to: replacement.from,
        };
        assert_eq!(back.differing(), [vec![10, 11], vec![0, 1]]);
    }
}
