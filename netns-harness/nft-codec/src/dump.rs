//! Listing: a table read from the kernel over netlink, attribute by attribute.
//!
//! The kernel lists chains, rules, sets and each set's elements in separate dumps. A change between
//! them would make a picture of a state that never was, so the generation counter is read before and
//! after (as `nft` does), and an interrupted dump (NLM_F_DUMP_INTR) or a moved counter starts over.

mod raw;
mod table;

pub use raw::Raw;

use netlink::{Attributes, Error, flags, text, write};
use nix::errno::Errno;

use crate::connection::Connection;
use crate::decode::{self, Sets};
use crate::family::TableFamily;
use crate::names::Name;
use crate::ops::Rule;
use crate::ruleset::Table;

pub(crate) const GET_TABLE: u8 = libc::NFT_MSG_GETTABLE as u8;
pub(crate) const GET_CHAIN: u8 = libc::NFT_MSG_GETCHAIN as u8;
pub(crate) const GET_RULE: u8 = libc::NFT_MSG_GETRULE as u8;
pub(crate) const GET_SET: u8 = libc::NFT_MSG_GETSET as u8;
pub(crate) const GET_SET_ELEMENTS: u8 = libc::NFT_MSG_GETSETELEM as u8;
const GET_GENERATION: u8 = libc::NFT_MSG_GETGEN as u8;
const GET_OBJECT: u8 = libc::NFT_MSG_GETOBJ as u8;
const GET_FLOWTABLE: u8 = 23; // NFT_MSG_GETFLOWTABLE

/// How often a listing is tried while somebody changes the rules.
const ATTEMPTS: u32 = 5;

/// A table of any family.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TableId {
    /// NFPROTO number: 1 inet, 2 ip, 3 arp, 5 netdev, 7 bridge, 10 ip6.
    pub family: u8,
    /// Its name.
    pub name: Name,
}

/// A table with rules for services: its family and name.
pub(crate) type Of<'a> = (TableFamily, &'a str);

/// Why one attempt at a listing ended without one.
pub(crate) enum Failure {
    /// The rules changed meanwhile.
    Changed,
    /// Anything else.
    Final(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Final(error)
    }
}

impl Connection {
    /// All tables of all families.
    ///
    /// # Errors
    /// The listing failed or kept being interrupted.
    pub fn tables(&mut self) -> Result<Vec<TableId>, Error> {
        self.stable(|this| {
            let mut tables = Vec::new();
            this.dump(GET_TABLE, 0, &[], "tables", |family, attributes| {
                tables.push(TableId {
                    family,
                    name: Name::new(attributes.text(1).unwrap_or_default()),
                });
            })?;
            Ok(tables)
        })
    }

    /// A table with everything in it; `None` when it is not there.
    ///
    /// # Errors
    /// The listing failed or kept being interrupted.
    pub fn table(&mut self, family: TableFamily, table: &str) -> Result<Option<Table>, Error> {
        self.stable(|this| this.content((family, table)))
    }

    /// The rules of one chain: cheap at any size of the table, for reading counters. Sets are not
    /// listed with it: a rule that looks into one holds [`crate::Statement::Unknown`].
    ///
    /// # Errors
    /// The listing failed or kept being interrupted.
    pub fn chain_rules(
        &mut self,
        family: TableFamily,
        table: &str,
        chain: &str,
    ) -> Result<Vec<Rule>, Error> {
        self.stable(|this| {
            let sets = Sets {
                family,
                ..Sets::default()
            };
            let mut rules = Vec::new();
            let of = [(1, table), (2, chain)];
            this.dump(GET_RULE, family.number(), &of, "rules", |_, attributes| {
                if attributes.text(1) == Some(table) && attributes.text(2) == Some(chain) {
                    rules.push(decode::rule(attributes, &sets, &mut Vec::new()));
                }
            })?;
            Ok(rules)
        })
    }

    /// Names of the chains of all tables of a family: one dump.
    ///
    /// # Errors
    /// The listing failed or kept being interrupted.
    pub fn chain_names(&mut self, family: TableFamily) -> Result<Vec<Name>, Error> {
        self.names(family, (GET_CHAIN, &[], 3), "chains")
    }

    /// Names of a table's sets and maps, the anonymous ones too: one dump.
    ///
    /// # Errors
    /// The listing failed or kept being interrupted.
    pub fn set_names(&mut self, family: TableFamily, table: &str) -> Result<Vec<Name>, Error> {
        self.names(family, (GET_SET, &[(1, table)], 2), "sets")
    }

    fn names(
        &mut self,
        family: TableFamily,
        (kind, of, name): (u8, &[(u16, &str)], u16),
        listing: &'static str,
    ) -> Result<Vec<Name>, Error> {
        self.stable(|this| {
            let mut names = Vec::new();
            this.dump(kind, family.number(), of, listing, |_, attributes| {
                names.extend(attributes.text(name).map(Name::new));
            })?;
            Ok(names)
        })
    }

    /// Repeats `list` until no change fell into it.
    pub(crate) fn stable<T>(
        &mut self,
        mut list: impl FnMut(&mut Self) -> Result<T, Failure>,
    ) -> Result<T, Error> {
        for _ in 0..ATTEMPTS {
            let before = self.generation()?;
            match list(self) {
                Ok(listed) if self.generation()? == before => return Ok(listed),
                Ok(_) | Err(Failure::Changed) => {}
                Err(Failure::Final(error)) => return Err(error),
            }
        }
        Err(Error::Unstable {
            listing: "the rules",
            attempts: ATTEMPTS,
        })
    }

    fn generation(&mut self) -> Result<Option<u32>, Error> {
        let mut generation = None;
        let request = |sequence| request(GET_GENERATION, 0, 0, sequence, &[]);
        self.socket
            .ask("the generation", request, |_, attributes| {
                generation = attributes.be32(1);
                Ok(())
            })?;
        Ok(generation)
    }

    pub(crate) fn dump(
        &mut self,
        kind: u8,
        family: u8,
        texts: &[(u16, &str)],
        listing: &'static str,
        mut each: impl FnMut(u8, Attributes<'_>),
    ) -> Result<(), Failure> {
        let request = |sequence| request(kind, family, flags::DUMP, sequence, texts);
        let dumped = self.socket.dump(listing, request, |header, attributes| {
            each(header[0], attributes);
            Ok(())
        });
        match dumped {
            Ok(true) => Ok(()),
            Ok(false) => Err(Failure::Changed),
            Err(error) => Err(failed(error)),
        }
    }
}

/// A request to nf_tables: `kind` is its message number, `texts` its attributes.
fn request(kind: u8, family: u8, flags: u16, sequence: u32, texts: &[(u16, &str)]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64);
    write_request(&mut bytes, kind, family, flags, sequence, |out| {
        texts
            .iter()
            .for_each(|(kind, value)| text(out, *kind, value));
    });
    bytes
}

/// Appends a request with what `attributes` appends.
pub(crate) fn write_request(
    out: &mut Vec<u8>,
    kind: u8,
    family: u8,
    flags: u16,
    sequence: u32,
    attributes: impl FnOnce(&mut Vec<u8>),
) {
    const SUBSYSTEM: u16 = 10; // NFNL_SUBSYS_NFTABLES
    let kind = SUBSYSTEM << 8 | u16::from(kind);
    write(out, kind, flags, sequence, &[family, 0, 0, 0], attributes);
}

/// What was listed a moment ago is gone: somebody changes the rules.
fn failed(error: Error) -> Failure {
    match error {
        Error::System {
            errno: Errno::EINTR | Errno::EAGAIN | Errno::ENOENT,
            ..
        } => Failure::Changed,
        error => error.into(),
    }
}
