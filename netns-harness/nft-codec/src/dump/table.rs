//! A table's content: chains, sets, rules, objects, each by its own dump.

use std::thread;

use netlink::Attributes;

use super::{
    Failure, GET_CHAIN, GET_FLOWTABLE, GET_OBJECT, GET_RULE, GET_SET, GET_SET_ELEMENTS, GET_TABLE,
    Of,
};
use crate::connection::Connection;
use crate::decode::{self, Sets};
use crate::names::Name;
use crate::ops::Statement;
use crate::ruleset::{Chain, Table};

/// Chains from which on several sockets list rules at once, and how many at most.
const PARALLEL_FROM: usize = 1_000;
const MOST_WORKERS: usize = 4;

impl Connection {
    pub(super) fn content(&mut self, table: Of<'_>) -> Result<Option<Table>, Failure> {
        let (family, name) = table;
        let mut found = None;
        self.dump(
            GET_TABLE,
            family.number(),
            &[],
            "tables",
            |_, attributes| {
                if attributes.text(1) == Some(name) {
                    found = Some(Table {
                        comment: decode::comment(attributes.bytes(6), 0),
                        ..Table::default()
                    });
                }
            },
        )?;
        let Some(mut content) = found else {
            return Ok(None);
        };
        self.chains(table, &mut content)?;
        let sets = self.sets(table, &mut content)?;
        self.rules(table, &sets, &mut content)?;
        self.others(table, &mut content)?;
        Ok(Some(content))
    }

    /// What the kernel has of a kind in a table.
    pub(crate) fn of_table(
        &mut self,
        kind: u8,
        (family, table): Of<'_>,
        listing: &'static str,
        mut each: impl FnMut(Attributes<'_>),
    ) -> Result<(), Failure> {
        let of = [(1, table)];
        self.dump(kind, family.number(), &of, listing, |_, attributes| {
            if attributes.text(1) == Some(table) {
                each(attributes);
            }
        })
    }

    fn chains(&mut self, table: Of<'_>, content: &mut Table) -> Result<(), Failure> {
        self.of_table(GET_CHAIN, table, "chains", |attributes| {
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

    /// Fills in the named sets; returns what rules may refer to.
    fn sets(&mut self, table: Of<'_>, content: &mut Table) -> Result<Sets, Failure> {
        let family = table.0;
        let mut sets = Sets {
            family,
            ..Sets::default()
        };
        let (mut found, mut of_networks) = (Vec::new(), Vec::new());
        self.of_table(GET_SET, table, "sets", |attributes| {
            let name = attributes.text(2).unwrap_or_default().to_owned();
            // An anonymous set that is neither networks nor a choice shows as an unknown lookup in its rule.
            if decode::is_of_networks(family, attributes) {
                of_networks.push(name);
                return;
            }
            if decode::is_anonymous(attributes) {
                sets.anonymous
                    .extend(decode::is_choice(family, attributes).then_some(name));
                return;
            }
            match decode::set(family, attributes) {
                Some(set) => found.push((name.clone(), set)),
                None => content.unknown.push(format!("set {name}")),
            }
            sets.named.insert(name);
        })?;
        for name in of_networks {
            let mut bounds = Some(Vec::new());
            self.elements(table, &name, |element| {
                match (&mut bounds, decode::bound(family, element)) {
                    (Some(bounds), Some(bound)) => bounds.push(bound),
                    (unknown, _) => *unknown = None,
                }
            })?;
            let networks = bounds.map(|bounds| decode::between(family, bounds));
            sets.networks
                .extend(networks.map(|networks| (name, networks)));
        }
        for (name, mut set) in found {
            // What rules have put there changes with every client, and is no part of the rules.
            if set.timeout.is_some() {
                content.sets.insert(Name::new(&name), set);
                continue;
            }
            let (key, verdicts) = (set.key, set.verdicts);
            self.elements(table, &name, |element| {
                match decode::element(family, key, verdicts, element) {
                    Some(element) => drop(set.elements.insert(element.key, element)),
                    None => content.unknown.push(format!(
                        "element {:02x?} of {name}",
                        decode::raw_key(element)
                    )),
                }
            })?;
            content.sets.insert(Name::new(&name), set);
        }
        Ok(sets)
    }

    pub(crate) fn elements(
        &mut self,
        (family, table): Of<'_>,
        set: &str,
        mut each: impl FnMut(Attributes<'_>),
    ) -> Result<(), Failure> {
        self.dump(
            GET_SET_ELEMENTS,
            family.number(),
            &[(1, table), (2, set)],
            "elements",
            |_, attributes| {
                for element in attributes.nested(3).into_iter().flatten().flatten() {
                    each(element.nested());
                }
            },
        )
    }

    fn rules(&mut self, table: Of<'_>, sets: &Sets, content: &mut Table) -> Result<(), Failure> {
        let chains: Vec<(&Name, &mut Chain)> = content.chains.iter_mut().collect();
        self.shared_out(chains, |connection, chains| {
            connection.rules_of(table, sets, chains)
        })
    }

    /// Lists of chains, on several sockets at once where there are many.
    pub(crate) fn shared_out<T: Send>(
        &mut self,
        chains: Vec<T>,
        list: impl Fn(&mut Self, Vec<T>) -> Result<(), Failure> + Sync,
    ) -> Result<(), Failure> {
        let workers = match chains.len() {
            0..PARALLEL_FROM => 1,
            _ if self.alone => 1,
            _ => thread::available_parallelism().map_or(1, |cpus| cpus.get().min(MOST_WORKERS)),
        };
        // Dealt out like cards: names sort by kind of chain, and kinds differ in cost.
        let mut hands: Vec<Vec<T>> = (0..workers).map(|_| Vec::new()).collect();
        for (i, chain) in chains.into_iter().enumerate() {
            hands[i % workers].push(chain);
        }
        let own = hands.pop().unwrap_or_default();
        let list = &list;
        thread::scope(|scope| {
            // A new thread is in the network namespace of the thread that started it.
            let others: Vec<_> = hands
                .into_iter()
                .map(|hand| scope.spawn(move || list(&mut Self::open()?, hand)))
                .collect();
            let mut result = list(self, own);
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
        table: Of<'_>,
        sets: &Sets,
        mut chains: Vec<(&Name, &mut Chain)>,
    ) -> Result<(), Failure> {
        let mut choices = Vec::new();
        let mut places = Vec::new();
        for (i, (name, chain)) in chains.iter_mut().enumerate() {
            self.dump(
                GET_RULE,
                table.0.number(),
                &[(1, table.1), (2, name.as_str())],
                "rules",
                |_, attributes| {
                    let rule = decode::rule(attributes, sets, &mut choices);
                    let random = |(_, statement): &(usize, &Statement)| {
                        matches!(
                            statement,
                            Statement::RandomVmap(..) | Statement::RandomDnat(..)
                        )
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
        let maps = self.choices(table, &choices.iter().collect::<Vec<_>>(), decode::entry)?;
        for ((i, rule, at), (choice, entries)) in places.into_iter().zip(choices.iter().zip(maps)) {
            let statement = &mut chains[i].1.rules[rule].statements[at];
            let chosen = entries.and_then(|entries| statement.chosen(choice.modulus, entries));
            *statement = chosen.unwrap_or_else(|| {
                Statement::Unknown(format!(
                    "numgen random mod {} map @{}",
                    choice.modulus, choice.set
                ))
            });
        }
        Ok(())
    }

    /// Named objects and flow tables: the model has a place for neither.
    fn others(&mut self, table: Of<'_>, content: &mut Table) -> Result<(), Failure> {
        let unknown = &mut content.unknown;
        for (kind, listing) in [(GET_OBJECT, "object"), (GET_FLOWTABLE, "flow table")] {
            self.of_table(kind, table, listing, |attributes| {
                let name = attributes.text(2).unwrap_or_default();
                unknown.push(format!("{listing} {name}"));
            })?;
        }
        Ok(())
    }
}
