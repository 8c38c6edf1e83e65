//! A program read from the kernel.

use std::collections::HashSet;

use netlink::{Attributes, Error};

use super::instruction::{Data, Instruction, instructions};
use super::set::{Datum, Set};
use super::{Code, Program};
use crate::choices::Entries;
use crate::connection::Connection;
use crate::decode::{self, Choice};
use crate::dump::{Failure, GET_CHAIN, GET_RULE, GET_SET, Of};
use crate::family::TableFamily;
use crate::names::Name;

impl Connection {
    /// A table as the kernel executes it; without chains when it is not there.
    ///
    /// # Errors
    /// The listing failed or kept being interrupted, or a base chain hangs where no model has a place.
    pub fn program(&mut self, family: TableFamily, table: &str) -> Result<Program, Error> {
        self.stable(|this| this.listed_program((family, table)))
    }

    fn listed_program(&mut self, table: Of<'_>) -> Result<Program, Failure> {
        let mut program = Program {
            family: table.0,
            ..Program::default()
        };
        self.of_table(GET_CHAIN, table, "chains", |attributes| {
            let name = attributes.text(3).unwrap_or_default();
            // A hook or type without a number of ours sees no packet that is forwarded or sent.
            let base = decode::base_chain(attributes).unwrap_or_default();
            let (name, rules) = (Name::new(name), Vec::new());
            program.hooked.extend(base.map(|_| name.clone()));
            program.chains.insert(name, Code { base, rules });
        })?;
        let mut anonymous = HashSet::new();
        self.of_table(GET_SET, table, "sets", |attributes| {
            let name = attributes.text(2).unwrap_or_default().to_owned();
            if decode::is_anonymous(attributes) {
                anonymous.insert(name.clone());
            }
            program.sets.insert(name, Set::new(attributes));
        })?;
        let chains: Vec<(&Name, &mut Code)> = program.chains.iter_mut().collect();
        self.shared_out(chains, |connection, chains| {
            connection.instructions_of(table, chains)
        })?;
        self.fill(table, &mut program, anonymous)?;
        program.sets.values_mut().for_each(Set::finish);
        Ok(program)
    }

    fn instructions_of(
        &mut self,
        (family, table): Of<'_>,
        chains: Vec<(&Name, &mut Code)>,
    ) -> Result<(), Failure> {
        for (name, code) in chains {
            let of = [(1, table), (2, name.as_str())];
            self.dump(GET_RULE, family.number(), &of, "rules", |_, attributes| {
                code.rules.push(instructions(attributes));
            })?;
        }
        Ok(())
    }

    /// Elements: those of choices by their numbers, all others by dumps.
    fn fill(
        &mut self,
        table: Of<'_>,
        program: &mut Program,
        anonymous: HashSet<String>,
    ) -> Result<(), Failure> {
        let choices: Vec<Choice> = program.choices().collect();
        let choices: Vec<Choice> = choices
            .into_iter()
            .filter(|choice| anonymous.contains(&choice.set))
            .collect();
        let mut found: Vec<Entries<Datum>> = choices.iter().map(|_| None).collect();
        self.shared_out(
            choices.iter().zip(&mut found).collect(),
            |connection, share: Vec<(&Choice, &mut Entries<Datum>)>| {
                let (choices, places): (Vec<&Choice>, Vec<_>) = share.into_iter().unzip();
                let entries = connection.choices(table, &choices, entry)?;
                places
                    .into_iter()
                    .zip(entries)
                    .for_each(|(place, entries)| *place = entries);
                Ok(())
            },
        )?;
        let asked: HashSet<&str> = choices.iter().map(|choice| choice.set.as_str()).collect();
        for (name, set) in &mut program.sets {
            if !asked.contains(name.as_str()) {
                self.elements(table, name, |element| set.add(element))?;
            }
        }
        for (choice, entries) in choices.iter().zip(found) {
            let Some(set) = program.sets.get_mut(&choice.set) else {
                continue;
            };
            match entries {
                Some(entries) => entries
                    .into_iter()
                    .for_each(|(number, datum)| set.number(number, datum)),
                None => set.unknown = Some("an entry".to_owned()),
            }
        }
        Ok(())
    }
}

impl Program {
    /// Sets of which only the entries of a rule's numbers matter.
    fn choices(&self) -> impl Iterator<Item = Choice> + use<'_> {
        let rules = self.chains.values().flat_map(|code| &code.rules);
        rules.flat_map(|rule| rule.windows(2)).filter_map(|pair| {
            let [
                Instruction::Number {
                    modulus,
                    offset: 0,
                    to,
                },
                Instruction::Lookup { set, key, data, .. },
            ] = pair
            else {
                return None;
            };
            let plain = self.sets.get(set)?.is_of_numbers();
            (to == key && *data != Data::None && plain).then(|| Choice {
                set: set.clone(),
                modulus: *modulus,
            })
        })
    }
}

/// An element of a map of numbers.
fn entry(element: Attributes<'_>) -> Option<(u32, Datum)> {
    let number = u32::from_ne_bytes(decode::raw_key(element)?.try_into().ok()?); // numgen's result is in host order
    Some((number, Datum::of(element)?))
}
