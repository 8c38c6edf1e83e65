//! Listing: a table read from the kernel over netlink, attribute by attribute.
//!
//! The kernel lists chains, rules, sets and each set's elements in separate dumps. A change between
//! them would make a picture of a state that never was, so the generation counter is read before and
//! after (as `nft` does), and an interrupted dump (NLM_F_DUMP_INTR) or a moved counter starts over.

mod table;

use nix::errno::Errno;
use nix::sys::socket::MsgFlags;

use crate::connection::Connection;
use crate::decode::{self, Sets};
use crate::error::NftError;
use crate::names::Name;
use crate::ops::{KeyType, Rule};
use crate::ruleset::Ruleset;
use crate::wire::{self, Answer, Attributes, Message};

pub(crate) const IPV4: u8 = libc::NFPROTO_IPV4 as u8;
const GET_TABLE: u8 = libc::NFT_MSG_GETTABLE as u8;
const GET_CHAIN: u8 = libc::NFT_MSG_GETCHAIN as u8;
const GET_RULE: u8 = libc::NFT_MSG_GETRULE as u8;
const GET_SET: u8 = libc::NFT_MSG_GETSET as u8;
pub(crate) const GET_SET_ELEMENTS: u8 = libc::NFT_MSG_GETSETELEM as u8;
const GET_GENERATION: u8 = libc::NFT_MSG_GETGEN as u8;
const GET_OBJECT: u8 = libc::NFT_MSG_GETOBJ as u8;
const GET_FLOWTABLE: u8 = 23; // NFT_MSG_GETFLOWTABLE

/// How often a listing is tried while somebody changes the rules.
const ATTEMPTS: u32 = 5;

/// NFT_SET_MAP.
const MAP: u32 = 0x8;
/// NFT_DATA_VERDICT.
const DATA_VERDICT: u32 = 0xffff_ff00;

/// A table of any family.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TableId {
    /// NFPROTO number: 1 inet, 2 ip, 3 arp, 5 netdev, 7 bridge, 10 ip6.
    pub family: u8,
    /// Its name.
    pub name: Name,
}

/// What the kernel keeps about a set beside its elements, as it says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetHeader {
    /// Its name; the kernel's own for an anonymous one.
    pub name: String,
    /// NFT_SET_* bits.
    pub flags: u32,
    /// User space's number of the key type.
    pub key_type: u32,
    /// Length of a key, bytes.
    pub key_len: u32,
    /// Type of the data: 0xffffff00 is a verdict; `None` in a plain set.
    pub data_type: Option<u32>,
    /// Length of the data, bytes.
    pub data_len: Option<u32>,
    /// Declared size (NFTA_SET_DESC_SIZE); `None` without one.
    pub size: Option<u32>,
    /// User space's notes: byte orders, comment.
    pub user_data: Vec<u8>,
}

impl SetHeader {
    fn read(attributes: Attributes<'_>) -> Self {
        Self {
            name: attributes.text(2).unwrap_or_default().to_owned(),
            flags: attributes.u32(3).unwrap_or(0),
            key_type: attributes.u32(4).unwrap_or(0),
            key_len: attributes.u32(5).unwrap_or(0),
            data_type: attributes.u32(6),
            data_len: attributes.u32(7),
            size: attributes
                .nested(9)
                .and_then(|description| description.u32(1)),
            user_data: attributes.bytes(13).unwrap_or_default().to_vec(),
        }
    }

    /// Its key type and whether it holds verdicts, where the model has a place for it.
    fn named(&self) -> Option<(KeyType, bool)> {
        let verdicts = match (self.flags, self.data_type) {
            (0, None) => false,
            (MAP, Some(DATA_VERDICT)) => true,
            _ => return None,
        };
        Some((decode::key_type(self.key_type)?, verdicts))
    }
}

/// Why one attempt at a listing ended without one.
pub(crate) enum Failure {
    /// The rules changed meanwhile.
    Changed,
    /// Anything else.
    Final(NftError),
}

impl From<NftError> for Failure {
    fn from(error: NftError) -> Self {
        Self::Final(error)
    }
}

impl Connection {
    /// All tables of all families.
    ///
    /// # Errors
    /// The listing failed or kept being interrupted.
    pub fn tables(&mut self) -> Result<Vec<TableId>, NftError> {
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

    /// A table of the ip family with everything in it; an empty ruleset when it is not there.
    ///
    /// # Errors
    /// The listing failed or kept being interrupted.
    pub fn ruleset(&mut self, table: &str) -> Result<Ruleset, NftError> {
        self.stable(|this| {
            let mut ruleset = Ruleset::default();
            if let Some(content) = this.table(table)? {
                ruleset.tables.insert(Name::new(table), content);
            }
            Ok(ruleset)
        })
    }

    /// The rules of one chain: cheap at any size of the table, for reading counters. Sets are not
    /// listed with it: a rule that looks into one holds [`crate::Statement::Unknown`].
    ///
    /// # Errors
    /// The listing failed or kept being interrupted.
    pub fn chain_rules(&mut self, table: &str, chain: &str) -> Result<Vec<Rule>, NftError> {
        self.stable(|this| {
            let sets = Sets::default();
            let mut rules = Vec::new();
            this.dump(
                GET_RULE,
                IPV4,
                &[(1, table), (2, chain)],
                "rules",
                |_, attributes| {
                    if attributes.text(1) == Some(table) && attributes.text(2) == Some(chain) {
                        rules.push(decode::rule(attributes, &sets, &mut Vec::new()));
                    }
                },
            )?;
            Ok(rules)
        })
    }

    /// What the kernel keeps about each set of a table, anonymous ones included, in its order.
    ///
    /// # Errors
    /// The listing failed or kept being interrupted.
    pub fn set_headers(&mut self, table: &str) -> Result<Vec<SetHeader>, NftError> {
        self.stable(|this| this.headers(table))
    }

    /// Repeats `list` until no change fell into it.
    fn stable<T>(
        &mut self,
        mut list: impl FnMut(&mut Self) -> Result<T, Failure>,
    ) -> Result<T, NftError> {
        for _ in 0..ATTEMPTS {
            let before = self.generation()?;
            match list(self) {
                Ok(listed) if self.generation()? == before => return Ok(listed),
                Ok(_) | Err(Failure::Changed) => {}
                Err(Failure::Final(error)) => return Err(error),
            }
        }
        Err(NftError::Unstable { attempts: ATTEMPTS })
    }

    fn generation(&mut self) -> Result<Option<u32>, NftError> {
        let mut generation = None;
        let sequence = self.next_sequence();
        let request = wire::request(GET_GENERATION, 0, 0, sequence, &[]);
        self.exchange(&request, sequence, "generation", false, |_, attributes| {
            generation = attributes.u32(1)
        })
        .map_err(|failure| match failure {
            Failure::Final(error) => error,
            Failure::Changed => NftError::Unstable { attempts: 1 },
        })?;
        Ok(generation)
    }

    pub(crate) fn next_sequence(&mut self) -> u32 {
        self.sequence = self.sequence.wrapping_add(1).max(1);
        self.sequence
    }

    pub(super) fn dump(
        &mut self,
        kind: u8,
        family: u8,
        texts: &[(u16, &str)],
        listing: &'static str,
        each: impl FnMut(u8, Attributes<'_>),
    ) -> Result<(), Failure> {
        let sequence = self.next_sequence();
        let request = wire::request(kind, family, wire::NLM_F_DUMP, sequence, texts);
        self.exchange(&request, sequence, listing, true, each)
    }

    /// Sends a request and gives each object of its answer to `each`: one, or all of a dump.
    fn exchange(
        &mut self,
        request: &[u8],
        sequence: u32,
        listing: &'static str,
        dump: bool,
        mut each: impl FnMut(u8, Attributes<'_>),
    ) -> Result<(), Failure> {
        self.transmit(request, "request")?;
        let torn = |_| NftError::Torn { listing };
        let mut interrupted = false;
        self.answers(listing, |message| {
            if message.sequence != sequence {
                return Ok(None); // the rest of a dump that was given up
            }
            interrupted |= message.flags & wire::NLM_F_DUMP_INTR != 0;
            match message.answer().map_err(torn)? {
                Answer::Object { family, attributes } => {
                    each(family, attributes);
                    Ok((!dump).then_some(()))
                }
                Answer::Done(0) | Answer::Error(0) if interrupted => Err(Failure::Changed),
                Answer::Done(0) | Answer::Error(0) => Ok(Some(())),
                Answer::Done(number) | Answer::Error(number) => {
                    Err(failed(listing, Errno::from_raw(number)))
                }
            }
        })
    }

    /// Gives each message that the kernel answers with to `each`, datagram by datagram, until that has a
    /// result.
    pub(crate) fn answers<T>(
        &mut self,
        listing: &'static str,
        mut each: impl FnMut(&Message<'_>) -> Result<Option<T>, Failure>,
    ) -> Result<T, Failure> {
        loop {
            let datagram = self
                .receive(MsgFlags::empty())
                .map_err(|errno| match errno {
                    Errno::EAGAIN => NftError::Silent {
                        seconds: Self::ANSWER_SECONDS,
                    },
                    errno => NftError::System {
                        act: format!("list {listing}"),
                        errno,
                    },
                })?;
            for message in wire::messages(datagram) {
                let message = message.map_err(|_| NftError::Torn { listing })?;
                if let Some(result) = each(&message)? {
                    return Ok(result);
                }
            }
        }
    }
}

/// What was listed a moment ago is gone: somebody changes the rules.
fn failed(listing: &'static str, errno: Errno) -> Failure {
    match errno {
        Errno::EINTR | Errno::EAGAIN | Errno::ENOENT => Failure::Changed,
        errno => NftError::System {
            act: format!("list {listing}"),
            errno,
        }
        .into(),
    }
}
