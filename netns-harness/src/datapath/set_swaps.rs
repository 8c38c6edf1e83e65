//! Many sets, each of which is made anew under another name, filled, and swapped for the old one, as tools do that keep
//! lists of addresses up to date: a rule that names the set sees all of the old or all of the new.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipset_sys::{Command, Create, Entry, SetType};
use schema::{Family, Transport};

use super::Batch;
use super::steps::{SetScript, Sets, listed_sets, of_sets};
use crate::HarnessError;

/// Entries of each set: few, since swapping does not look at them.
const ENTRIES: u32 = 16;
/// Buckets of each, the least that there are: many sets of few entries.
const BUCKETS: u32 = 64;
/// Generations that differ in every entry; the next has those of the first again.
const GENERATIONS: u32 = 8;

/// So many sets, of addresses of a family.
#[derive(Debug, Clone, Copy)]
pub struct SetSwaps {
    /// How many.
    pub sets: u32,
    /// Of which addresses.
    pub family: Family,
    /// Through libipset, one message a swap; or by `ipset restore`, all in one process.
    pub transport: Transport,
}

impl SetSwaps {
    /// Makes the sets and fills them with the first generation, 0.
    #[must_use]
    pub fn make(&self) -> Batch {
        self.filled(name, 0)
    }

    /// Makes new ones beside them, filled with a generation.
    #[must_use]
    pub fn refill(&self, generation: u32) -> Batch {
        self.filled(new_name, generation)
    }

    /// Swaps each for the new one.
    #[must_use]
    pub fn swap(&self) -> Batch {
        self.batch(|nth| vec![Command::Swap(new_name(nth), name(nth))])
    }

    /// Removes what has the new ones' names.
    #[must_use]
    pub fn destroy(&self) -> Batch {
        self.batch(|nth| vec![Command::Destroy(new_name(nth))])
    }

    /// Removes the sets.
    #[must_use]
    pub fn remove(&self) -> Batch {
        self.batch(|nth| vec![Command::Destroy(name(nth))])
    }

    fn filled(&self, name: fn(u32) -> String, generation: u32) -> Batch {
        self.batch(|nth| {
            let create = Command::Create(Create {
                name: name(nth),
                set_type: SetType::HashIp,
                family: of_sets(self.family),
                max_elements: ENTRIES,
                hash_size: Some(BUCKETS),
                skbinfo: false,
            });
            let entries = addresses(self.family, nth, generation);
            let entries = entries.map(|address| Command::Add(name(nth), entry(address)));
            std::iter::once(create).chain(entries).collect()
        })
    }

    fn batch(&self, each: impl Fn(u32) -> Vec<Command>) -> Batch {
        let commands: Vec<Command> = (0..self.sets).flat_map(each).collect();
        match self.transport {
            Transport::IpsetRestore => Batch::of(Some(SetScript::new(&commands))),
            _ => Batch::of(Some(Sets(commands))),
        }
    }

    /// Sees by our own listing that each set has the entries of that generation, and each of its new name those of the one
    /// before. Other sets may lie there, as those of a dual-stack node's other family.
    ///
    /// # Errors
    /// The first that has others, or the listing failed.
    pub fn check(&self, generation: u32) -> Result<(), HarnessError> {
        let differs = HarnessError::listing("swapped sets");
        let mut listed: BTreeMap<String, BTreeSet<IpAddr>> = BTreeMap::new();
        for set in listed_sets()? {
            let entries = set.entries.iter().map(|entry| entry.address);
            listed.insert(set.name, entries.collect());
        }
        let before = generation.saturating_sub(1);
        for nth in 0..self.sets {
            for (name, generation) in [(name(nth), generation), (new_name(nth), before)] {
                let wanted: BTreeSet<IpAddr> = addresses(self.family, nth, generation).collect();
                if listed.remove(&name).as_ref() != Some(&wanted) {
                    return Err(differs(format!(
                        "set {name} has not the entries of generation {generation}"
                    )));
                }
            }
        }
        Ok(())
    }
}

fn name(nth: u32) -> String {
    format!("list-{nth}")
}

fn new_name(nth: u32) -> String {
    format!("list-{nth}-new")
}

/// Entries of a set's generation: no other set has one of them.
fn addresses(family: Family, nth: u32, generation: u32) -> impl Iterator<Item = IpAddr> {
    let first = (nth * GENERATIONS + generation % GENERATIONS) * ENTRIES;
    (first..first + ENTRIES).map(move |number| match family {
        Family::Ipv4 => Ipv4Addr::from_bits(0x0a00_0000 + number).into(),
        Family::Ipv6 => Ipv6Addr::from_bits((0xfd00 << 112) + u128::from(number)).into(),
    })
}

const fn entry(address: IpAddr) -> Entry {
    Entry {
        address,
        protocol: 0,
        port: 0,
        second: None,
        prefix: None,
        mark: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_sets_and_generations_are_all_different() {
        for family in Family::ALL.iter().copied() {
            let all = (0..50).flat_map(|nth| {
                (0..GENERATIONS).flat_map(move |generation| addresses(family, nth, generation))
            });
            let all: Vec<IpAddr> = all.collect();
            let different: BTreeSet<&IpAddr> = all.iter().collect();
            assert_eq!(different.len(), all.len());
            assert_eq!(all.len() as u32, 50 * GENERATIONS * ENTRIES);
        }
    }

    #[test]
    fn each_set_is_made_filled_swapped_and_destroyed_by_name() {
        let swaps = |transport| SetSwaps {
            sets: 2,
            family: Family::Ipv4,
            transport,
        };
        let [ours, tool] = [Transport::Netlink, Transport::IpsetRestore].map(swaps);
        assert_eq!(
            ours.swap().to_string(),
            "swap list-0-new list-0\nswap list-1-new list-1\n"
        );
        assert_eq!(ours.swap().messages(), 2);
        assert_eq!(tool.swap().messages(), 0);
        assert_eq!(ours.refill(1).to_string(), tool.refill(1).to_string());
        let made = ours.make().to_string();
        let lines: Vec<&str> = made.lines().take(2).collect();
        assert_eq!(
            lines,
            [
                "create list-0 hash:ip family inet maxelem 16 hashsize 64",
                "add list-0 10.0.0.0"
            ]
        );
    }
}
