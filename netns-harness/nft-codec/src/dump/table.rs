//! A table's content: chains, sets, rules, objects, each by its own dump.

use std::thread;

use netlink::Attributes;

use super::{
    DATA_VERDICT, Failure, GET_CHAIN, GET_FLOWTABLE, GET_OBJECT, GET_RULE, GET_SET,
    GET_SET_ELEMENTS, GET_TABLE, IPV4, MAP, SetHeader,
};
use crate::connection::Connection;
use crate::decode::{self, Sets};
use crate::names::Name;
use crate::ops::Statement;
use crate::ruleset::{Chain, Set, Table};

/// Chains from which on several sockets list rules at once, and how many at most.
const PARALLEL_FROM: usize = 1_000;
const MOST_WORKERS: usize = 4;

/// NFT_SET_ANONYMOUS.
const ANONYMOUS: u32 = 0x1;
/// `nft`'s number of the type `integer`.
const TYPE_INTEGER: u32 = 4;

impl Connection {
    pub(super) fn table(&mut self, table: &str) -> Result<Option<Table>, Failure> {
        let mut found = None;
        self.dump(GET_TABLE, IPV4, &[], "tables", |_, attributes| {
            if attributes.text(1) == Some(table) {
                found = Some(Table {
                    comment: decode::comment(attributes.bytes(6), 0),
                    ..Table::default()
                });
            }
        })?;
        let Some(mut content) = found else {
            return Ok(None);
        };
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
            let chain = Chain {
                base,
                comment: decode::comment(attributes.bytes(12), 0),
                rules: Vec::new(),
            };
            content.chains.insert(Name::new(name), chain);
        })
    }

    pub(super) fn headers(&mut self, table: &str) -> Result<Vec<SetHeader>, Failure> {
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
            } else if header.flags & MAP != 0
                && header.key_type == TYPE_INTEGER
                && header.data_type == Some(DATA_VERDICT)
            {
                sets.anonymous.insert(header.name);
            }
            // Any other anonymous set shows as an unknown lookup in its rule.
        }
        Ok(sets)
    }

    fn named_set(
        &mut self,
        table: &str,
        header: &SetHeader,
        content: &mut Table,
    ) -> Result<(), Failure> {
        let Some((key, verdicts)) = header.named() else {
            content.unknown.push(format!(
                "set {} of flags {:#x} and key type {:#x}",
                header.name, header.flags, header.key_type
            ));
            return Ok(());
        };
        let mut set = Set {
            key,
            verdicts,
            comment: decode::comment(Some(&header.user_data), 7),
            elements: Default::default(),
        };
        self.elements(table, &header.name, |element| {
            match decode::element(key, verdicts, element) {
                Some(element) => {
                    set.elements.insert(element.key, element);
                }
                None => content.unknown.push(format!(
                    "element {:02x?} of {}",
                    decode::raw_key(element),
                    header.name
                )),
            }
        })?;
        content.sets.insert(Name::new(&header.name), set);
        Ok(())
    }

    pub(crate) fn elements(
        &mut self,
        table: &str,
        set: &str,
        mut each: impl FnMut(Attributes<'_>),
    ) -> Result<(), Failure> {
        self.dump(
            GET_SET_ELEMENTS,
            IPV4,
            &[(1, table), (2, set)],
            "elements",
            |_, attributes| {
                for element in attributes.nested(3).into_iter().flatten().flatten() {
                    each(element.nested());
                }
            },
        )
    }

    fn rules(&mut self, table: &str, sets: &Sets, content: &mut Table) -> Result<(), Failure> {
        let mut chains: Vec<(&Name, &mut Chain)> = content.chains.iter_mut().collect();
        let workers = match chains.len() {
            0..PARALLEL_FROM => 1,
            _ => thread::available_parallelism().map_or(1, |cpus| cpus.get().min(MOST_WORKERS)),
        };
        // Dealt out like cards: names sort by kind of chain, and kinds differ in cost.
        let mut hands: Vec<Vec<(&Name, &mut Chain)>> = (0..workers).map(|_| Vec::new()).collect();
        for (i, chain) in chains.drain(..).enumerate() {
            hands[i % workers].push(chain);
        }
        let own = hands.pop().unwrap_or_default();
        thread::scope(|scope| {
            // A new thread is in the network namespace of the thread that started it.
            let others: Vec<_> = hands
                .into_iter()
                .map(|hand| scope.spawn(|| Self::open()?.rules_of(table, sets, hand)))
                .collect();
            let mut result = self.rules_of(table, sets, own);
            for other in others {
                let ended = other
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                result = result.and(ended);
            }
            result
        })
    }

    /// Fills in the rules of these chains, chain by chain: a dump of all chains starts over with each
    /// datagram and counts its way to where it was.
    fn rules_of(
        &mut self,
        table: &str,
        sets: &Sets,
        mut chains: Vec<(&Name, &mut Chain)>,
    ) -> Result<(), Failure> {
        let mut choices = Vec::new();
        let mut places = Vec::new();
        for (i, (name, chain)) in chains.iter_mut().enumerate() {
            self.dump(
                GET_RULE,
                IPV4,
                &[(1, table), (2, name.as_str())],
                "rules",
                |_, attributes| {
                    let rule = decode::rule(attributes, sets, &mut choices);
                    let random = |(_, statement): &(usize, &Statement)| {
                        matches!(statement, Statement::RandomVmap { .. })
                    };
                    places.extend(
                        rule.statements
                            .iter()
                            .enumerate()
                            .filter(random)
                            .map(|(at, _)| (i, chain.rules.len(), at)),
                    );
                    chain.rules.push(rule);
                },
            )?;
        }
        let maps = self.choices(table, &choices)?;
        for ((i, rule, at), (choice, entries)) in places.into_iter().zip(choices.iter().zip(maps)) {
            chains[i].1.rules[rule].statements[at] = match entries {
                Some(entries) => Statement::RandomVmap {
                    modulus: choice.modulus,
                    entries,
                },
                None => Statement::Unknown(format!(
                    "numgen random mod {} vmap @{}",
                    choice.modulus, choice.set
                )),
            };
        }
        Ok(())
    }

    /// Named counters; any other object and flow tables are unknown.
    fn objects(&mut self, table: &str, content: &mut Table) -> Result<(), Failure> {
        self.dump(
            GET_OBJECT,
            IPV4,
            &[(1, table)],
            "objects",
            |_, attributes| {
                if attributes.text(1) != Some(table) {
                    return;
                }
                let name = attributes.text(2).unwrap_or_default();
                let data = attributes.nested(4);
                let number = |kind| data?.be64(kind);
                match (attributes.be32(3), number(2), number(1)) {
                    // 1 is NFT_OBJECT_COUNTER.
                    (Some(1), Some(packets), Some(bytes)) => {
                        content.counters.insert(Name::new(name), (packets, bytes));
                    }
                    (kind, ..) => content
                        .unknown
                        .push(format!("object {name} of type {kind:?}")),
                }
            },
        )?;
        self.dump(
            GET_FLOWTABLE,
            IPV4,
            &[(1, table)],
            "flow tables",
            |_, attributes| {
                if attributes.text(1) == Some(table) {
                    content.unknown.push(format!(
                        "flowtable {}",
                        attributes.text(2).unwrap_or_default()
                    ));
                }
            },
        )
    }
}
