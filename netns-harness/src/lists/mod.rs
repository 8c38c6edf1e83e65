//! Lists of addresses in a lab's node: a rule of table filter at its forward hook drops, or lets through, packets to addresses that are in a
//! list. Nothing is translated and no connection is tracked: every packet is looked up.
//!
//! What each that holds lists does is in a file of its own: [`rules`] (a rule each), [`sets`] (ipset), [`tables`] (nftables). The rule and what is empty are
//! made untimed; [`List::load`], [`List::add`] and [`List::remove`] are batches that can be timed.

mod live;
mod members;
mod rules;
mod sets;
mod tables;

use schema::{Damage, Engine, Family, Holder, ListKind, Transport};

use crate::datapath::Batch;
use crate::lab::facility::facilities;
use crate::xtables::tool;
use crate::{HarnessError, tools};

pub use live::Replacement;
pub use members::{Member, Members};

/// What becomes of packets to addresses in the list; the others fare the other way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listed {
    /// They pass.
    Pass,
    /// They are dropped.
    Drop,
}

impl Listed {
    /// As targets of x_tables and verdicts of nftables, in capitals, have them: of what is listed, and of what is not.
    const fn targets(self) -> [&'static str; 2] {
        match self {
            Self::Pass => ["ACCEPT", "DROP"],
            Self::Drop => ["DROP", "ACCEPT"],
        }
    }
}

/// A list.
#[derive(Debug, Clone, Copy)]
pub struct List {
    /// What is in it.
    pub members: Members,
    engine: Engine,
    listed: Listed,
}

impl List {
    /// `engine`: that of its rules, or of the one that looks into a set of ipset.
    #[must_use]
    pub const fn new(engine: Engine, members: Members, listed: Listed) -> Self {
        Self {
            members,
            engine,
            listed,
        }
    }

    fn holder(&self) -> Holder {
        self.kind().row().holder
    }

    fn kind(&self) -> ListKind {
        self.members.kind()
    }

    fn family(&self) -> Family {
        self.members.family()
    }

    /// The prefix of the names of its engine's tools.
    fn iptables(&self) -> &'static str {
        tool::prefix_of(self.engine, self.family())
    }

    /// Makes the rule, and what the list is in, empty. Untimed.
    ///
    /// # Errors
    /// The kernel or a tool does not have what it takes.
    pub fn make(&self) -> Result<(), HarnessError> {
        match self.holder() {
            Holder::Sets => sets::make(self),
            Holder::Tables => tables::make(self),
            Holder::Nobody => Ok(()),
            Holder::Rules => rules::make(self),
        }
    }

    /// What the kernel lacks for it besides what the mode itself needs, with the remedy; `None` where it lacks nothing.
    #[must_use]
    pub fn missing(&self) -> Option<String> {
        let module = sets::module(self.kind())?;
        let all = facilities(self.family());
        let wanted = all.iter().find(|facility| facility.module == module)?;
        let error = wanted.attempt().err()?;
        let what = wanted.title();
        Some(format!(
            "this kernel lacks {what} ({error}): modprobe {module}"
        ))
    }

    /// What fills the empty list.
    #[must_use]
    pub fn load(&self, by: Transport) -> Batch {
        let all: Vec<Member> = self.members.all().collect();
        self.entered(&all, by)
    }

    /// What adds the `nth` entry behind those that are there.
    #[must_use]
    pub fn add(&self, nth: u32, by: Transport) -> Batch {
        let member = self.members.nth(self.members.entries() + nth);
        self.entered(&[member], by)
    }

    fn entered(&self, members: &[Member], by: Transport) -> Batch {
        match self.holder() {
            Holder::Sets => sets::entered(self, members, by),
            Holder::Tables => tables::entered(self, members, by),
            Holder::Nobody => Batch::default(),
            Holder::Rules => rules::entered(self, members, by),
        }
    }

    /// What removes that again.
    #[must_use]
    pub fn remove(&self, nth: u32, by: Transport) -> Batch {
        let member = self.members.nth(self.members.entries() + nth);
        match self.holder() {
            Holder::Sets => sets::struck(self, member, by),
            Holder::Tables => tables::struck(self, member, by),
            Holder::Nobody => Batch::default(),
            Holder::Rules => rules::struck(self, member, by),
        }
    }

    /// The entries that the kernel lists must be the list's, and so many more behind them.
    ///
    /// # Errors
    /// The first that is missing or too much, as its tool writes it; or the listing failed.
    pub fn check(&self, more: u32) -> Result<(), HarnessError> {
        self.check_those(0..self.members.entries() + more)
    }

    /// Breaks it by the reference tools: the last entry is dropped, or moved by one address, or the rule is gone that looks into it
    /// (`swap`: what is listed then fares as what is not). `None`: there is no such way.
    #[must_use]
    pub fn damage(&self, damage: Damage) -> Option<Vec<Vec<String>>> {
        let moved = match damage {
            Damage::Delete => false,
            Damage::Elsewhere => true,
            Damage::Swap => return self.without_rule(),
            Damage::Skew => return None,
        };
        let last = self.members.nth(self.members.entries().checked_sub(1)?);
        Some(match self.holder() {
            Holder::Sets => sets::damage(self, last, moved),
            Holder::Tables => tables::damage(self, last, moved),
            Holder::Nobody => return None,
            Holder::Rules => rules::damage(self, last, moved),
        })
    }

    fn without_rule(&self) -> Option<Vec<Vec<String>>> {
        let line = match self.holder() {
            Holder::Sets => format!("{} -w 5 -F FORWARD", self.iptables()),
            Holder::Tables => tables::flush(self),
            Holder::Rules | Holder::Nobody => return None,
        };
        Some(vec![words(&line)])
    }
}

/// An entry moved by one address.
fn beside(member: Member) -> Member {
    Member {
        first: members::moved(member.first, 1),
        ..member
    }
}

/// Runs a command line of a tool that lists; its standard output.
fn output(words: &[&str]) -> Result<String, HarnessError> {
    let mut command = netns_sys::tools::command(words[0]);
    let done = tools::run(command.args(&words[1..]), "")?;
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}
