//! A table's content, counted and not decoded: what listing costs without what is made of it.

use netlink::Attributes;

use super::{Failure, GET_CHAIN, GET_RULE, GET_SET, Of};
use crate::connection::Connection;
use crate::decode;
use crate::family::TableFamily;
use crate::names::Name;

/// How much a table holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Raw {
    /// Chains, base chains included.
    pub chains: u64,
    /// Rules of all of them.
    pub rules: u64,
    /// Sets and maps, anonymous ones included.
    pub sets: u64,
    /// Elements of those that have a name of their own, without what rules have put there. Of an interval both ends count.
    pub elements: u64,
    /// Elements of the anonymous ones; of an interval both ends count.
    pub anonymous_elements: u64,
}

impl Connection {
    /// Asks for everything in a table and decodes names alone, of chains and sets, by which their rules and elements are
    /// asked for: the same dumps as [`Connection::table`], on one socket.
    ///
    /// # Errors
    /// The listing failed or kept being interrupted; ENOENT where there is no such table.
    pub fn raw(&mut self, family: TableFamily, table: &str) -> Result<Raw, netlink::Error> {
        self.stable(|this| this.raw_content((family, table)))
    }

    fn raw_content(&mut self, table: Of<'_>) -> Result<Raw, Failure> {
        let mut raw = Raw::default();
        let (mut chains, mut sets) = (Vec::new(), Vec::new());
        self.of_table(GET_CHAIN, table, "chains", |attributes| {
            chains.extend(attributes.text(3).map(Name::new));
        })?;
        self.of_table(GET_SET, table, "sets", |attributes| {
            let name = attributes.text(2).map(Name::new);
            raw.sets += 1;
            // What rules have put there changes with every client.
            if !decode::has_timeout(attributes) {
                sets.extend(name.map(|name| (name, decode::is_anonymous(attributes))));
            }
        })?;
        for (name, anonymous) in &sets {
            let count = match anonymous {
                true => &mut raw.anonymous_elements,
                false => &mut raw.elements,
            };
            self.elements(table, name.as_str(), |_| *count += 1)?;
        }
        raw.chains = chains.len() as u64;
        let (family, of) = table;
        for chain in &chains {
            let of = [(1, of), (2, chain.as_str())];
            let count = |_: u8, _: Attributes<'_>| raw.rules += 1;
            self.dump(GET_RULE, family.number(), &of, "rules", count)?;
        }
        Ok(raw)
    }
}
