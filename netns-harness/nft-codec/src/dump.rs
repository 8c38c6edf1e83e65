//! Listing: a table read from the kernel over netlink, attribute by attribute.
//!
//! The kernel lists chains, rules, sets and each set's elements in separate dumps. A change between
//! them would make a picture of a state that never was, so the generation counter is read before and
//! after (as `nft` does), and an interrupted dump (NLM_F_DUMP_INTR) or a moved counter starts over.

use nix::errno::Errno;
use nix::sys::socket::MsgFlags;

use crate::connection::Connection;
use crate::decode::{self, Sets};
use crate::error::NftError;
use crate::names::Name;
use crate::ops::{KeyType, Rule, Statement};
use crate::ruleset::{Chain, Ruleset, Set, Table};
use crate::wire::{self, Answer, Attributes};

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

/// NFT_SET_ANONYMOUS, _CONSTANT, _MAP.
const ANONYMOUS: u32 = 0x1;
const MAP: u32 = 0x8;
/// NFT_DATA_VERDICT.
const DATA_VERDICT: u32 = 0xffff_ff00;
/// `nft`'s number of the type `integer`.
const TYPE_INTEGER: u32 = 4;

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
            size: attributes.nested(9).and_then(|description| description.u32(1)),
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
                tables.push(TableId { family, name: Name::new(attributes.text(1).unwrap_or_default()) });
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
            this.dump(GET_RULE, IPV4, &[(1, table), (2, chain)], "rules", |_, attributes| {
                if attributes.text(1) == Some(table) && attributes.text(2) == Some(chain) {
                    rules.push(decode::rule(attributes, &sets, &mut Vec::new()));
                }
            })?;
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
    fn stable<T>(&mut self, mut list: impl FnMut(&mut Self) -> Result<T, Failure>) -> Result<T, NftError> {
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
        self.exchange(&request, sequence, "generation", false, |_, attributes| generation = attributes.u32(1))
            .map_err(|failure| match failure {
                Failure::Final(error) => error,
                Failure::Changed => NftError::Unstable { attempts: 1 },
            })?;
        Ok(generation)
    }

    fn table(&mut self, table: &str) -> Result<Option<Table>, Failure> {
        let mut found = None;
        self.dump(GET_TABLE, IPV4, &[], "tables", |_, attributes| {
            if attributes.text(1) == Some(table) {
                found = Some(Table { comment: decode::comment(attributes.bytes(6), 0), ..Table::default() });
            }
        })?;
        let Some(mut content) = found else { return Ok(None) };
        self.chains(table, &mut content)?;
        let sets = self.sets(table, &mut content)?;
        self.rules(table, &sets, &mut content)?;
        self.objects(table, &mut content)?;
        Ok(Some(content))
    }

    fn chains(&mut self, table: &str, content: &mut Table) -> Result<(), Failure> {
        self.dump(GET_CHAIN, IPV4, &[(1, table)], "chains", |_, attributes| {
            if attributes.text(1) != Some(table) {
                return;
            }
            let name = attributes.text(3).unwrap_or_default();
            let base = decode::base_chain(attributes).unwrap_or_else(|text| {
                content.unknown.push(format!("chain {name} {text}"));
                None
            });
            let chain = Chain { base, comment: decode::comment(attributes.bytes(12), 0), rules: Vec::new() };
            content.chains.insert(Name::new(name), chain);
        })
    }

    fn headers(&mut self, table: &str) -> Result<Vec<SetHeader>, Failure> {
        let mut headers = Vec::new();
        self.dump(GET_SET, IPV4, &[(1, table)], "sets", |_, attributes| {
            if attributes.text(1) == Some(table) {
                headers.push(SetHeader::read(attributes));
            }
        })?;
        Ok(headers)
    }

    /// Fills in the named sets; returns what rules may refer to.
    fn sets(&mut self, table: &str, content: &mut Table) -> Result<Sets, Failure> {
        let mut sets = Sets::default();
        for header in self.headers(table)? {
            if header.flags & ANONYMOUS == 0 {
                self.named_set(table, &header, content)?;
                sets.named.insert(header.name);
            } else if header.flags & MAP != 0 && header.key_type == TYPE_INTEGER && header.data_type == Some(DATA_VERDICT) {
                sets.anonymous.insert(header.name);
            }
            // Any other anonymous set shows as an unknown lookup in its rule.
        }
        Ok(sets)
    }

    fn named_set(&mut self, table: &str, header: &SetHeader, content: &mut Table) -> Result<(), Failure> {
        let Some((key, verdicts)) = header.named() else {
            content.unknown.push(format!("set {} of flags {:#x} and key type {:#x}", header.name, header.flags, header.key_type));
            return Ok(());
        };
        let mut set = Set { key, verdicts, comment: decode::comment(Some(&header.user_data), 7), elements: Default::default() };
        self.elements(table, &header.name, |element| match decode::element(key, verdicts, element) {
            Some(element) => {
                set.elements.insert(element.key, element);
            }
            None => content.unknown.push(format!("element {:02x?} of {}", decode::raw_key(element), header.name)),
        })?;
        content.sets.insert(Name::new(&header.name), set);
        Ok(())
    }

    pub(crate) fn elements(&mut self, table: &str, set: &str, mut each: impl FnMut(Attributes<'_>)) -> Result<(), Failure> {
        self.dump(GET_SET_ELEMENTS, IPV4, &[(1, table), (2, set)], "elements", |_, attributes| {
            for element in attributes.nested(3).into_iter().flatten().flatten() {
                each(element.nested());
            }
        })
    }

    fn rules(&mut self, table: &str, sets: &Sets, content: &mut Table) -> Result<(), Failure> {
        let mut choices = Vec::new();
        let mut places = Vec::new();
        self.dump(GET_RULE, IPV4, &[(1, table)], "rules", |_, attributes| {
            if attributes.text(1) != Some(table) {
                return;
            }
            let rule = decode::rule(attributes, sets, &mut choices);
            let Some(name) = attributes.text(2).filter(|name| content.chains.contains_key(*name)) else {
                content.unknown.push(format!("rule of a chain that is not listed: {rule}"));
                choices.truncate(places.len());
                return;
            };
            let Some(chain) = content.chains.get_mut(name) else { return };
            let random = |statement: &Statement| matches!(statement, Statement::RandomVmap { .. });
            for (at, _) in rule.statements.iter().enumerate().filter(|(_, statement)| random(statement)) {
                places.push((Name::new(name), chain.rules.len(), at));
            }
            chain.rules.push(rule);
        })?;
        let maps = self.choices(table, &choices)?;
        for ((chain, rule, at), (choice, entries)) in places.into_iter().zip(choices.iter().zip(maps)) {
            let Some(chain) = content.chains.get_mut(&chain) else { continue };
            chain.rules[rule].statements[at] = match entries {
                Some(entries) => Statement::RandomVmap { modulus: choice.modulus, entries },
                None => Statement::Unknown(format!("numgen random mod {} vmap @{}", choice.modulus, choice.set)),
            };
        }
        Ok(())
    }

    /// Named counters; any other object and flow tables are unknown.
    fn objects(&mut self, table: &str, content: &mut Table) -> Result<(), Failure> {
        self.dump(GET_OBJECT, IPV4, &[(1, table)], "objects", |_, attributes| {
            if attributes.text(1) != Some(table) {
                return;
            }
            let name = attributes.text(2).unwrap_or_default();
            let data = attributes.nested(4);
            let number = |kind| data?.find(kind)?.u64();
            match (attributes.u32(3), number(2), number(1)) {
                // 1 is NFT_OBJECT_COUNTER.
                (Some(1), Some(packets), Some(bytes)) => {
                    content.counters.insert(Name::new(name), (packets, bytes));
                }
                (kind, ..) => content.unknown.push(format!("object {name} of type {kind:?}")),
            }
        })?;
        self.dump(GET_FLOWTABLE, IPV4, &[(1, table)], "flow tables", |_, attributes| {
            if attributes.text(1) == Some(table) {
                content.unknown.push(format!("flowtable {}", attributes.text(2).unwrap_or_default()));
            }
        })
    }

    pub(crate) fn next_sequence(&mut self) -> u32 {
        self.sequence = self.sequence.wrapping_add(1).max(1);
        self.sequence
    }

    fn dump(
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
        loop {
            let datagram = match self.receive(MsgFlags::empty()) {
                Ok(datagram) => datagram,
                Err(Errno::EAGAIN) => return Err(NftError::Silent { seconds: Self::ANSWER_SECONDS }.into()),
                Err(errno) => return Err(NftError::System { act: format!("list {listing}"), errno }.into()),
            };
            for message in wire::messages(datagram) {
                let message = message.map_err(torn)?;
                if message.sequence != sequence {
                    continue; // the rest of a dump that was given up
                }
                interrupted |= message.flags & wire::NLM_F_DUMP_INTR != 0;
                match message.answer().map_err(torn)? {
                    Answer::Object { family, attributes } => {
                        each(family, attributes);
                        if !dump {
                            return Ok(());
                        }
                    }
                    Answer::Done(0) | Answer::Error(0) => return if interrupted { Err(Failure::Changed) } else { Ok(()) },
                    Answer::Done(number) | Answer::Error(number) => return failed(listing, Errno::from_raw(number)),
                }
            }
        }
    }
}

/// What was listed a moment ago is gone: somebody changes the rules.
fn failed(listing: &'static str, errno: Errno) -> Result<(), Failure> {
    match errno {
        Errno::EINTR | Errno::EAGAIN | Errno::ENOENT => Err(Failure::Changed),
        errno => Err(NftError::System { act: format!("list {listing}"), errno }.into()),
    }
}
