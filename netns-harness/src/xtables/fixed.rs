//! What a layout writes whatever the services: restore input that is kept as text, read once; and what processes ask of it.

use super::Family;
use super::rule::words;
use super::tables::{Tables, builtin};

/// A table's fixed lines.
#[derive(Debug)]
pub(crate) struct Section {
    /// Its name.
    pub(crate) table: &'static str,
    /// Chains of its own, in order.
    pub(crate) chains: Vec<&'static str>,
    /// Rules of built-in chains: they lead to those.
    pub(crate) jumps: Vec<&'static str>,
    /// All other rules.
    pub(crate) rules: Vec<&'static str>,
}

/// What a process asks: its arguments, and whether the tool finds it so or refuses.
pub(crate) type Question = (Vec<String>, bool);

impl Section {
    /// To make a chain, which cannot be made where it is there.
    pub(crate) fn makes(&self, chain: &str) -> Question {
        (words(&format!("-w 5 -N {chain} -t {}", self.table)), false)
    }

    /// For a jump.
    pub(crate) fn looks_for(&self, jump: &str) -> Question {
        let rule = jump.strip_prefix("-A ").and_then(|r| r.split_once(' '));
        let (from, rule) = rule.expect("a jump of our own");
        let asked = format!("-w 5 -C {from} -t {} {rule}", self.table);
        (words(&asked), true)
    }
}

/// What a layout has for a family whatever the services.
#[derive(Debug)]
pub(crate) struct Base {
    /// What is written.
    pub(crate) sections: Fixed,
    /// What processes ask in a full sync.
    pub(crate) questions: Vec<Question>,
}

impl Base {
    /// Those of IPv4, by its text, and of IPv6, by what that text is for it.
    pub(crate) fn both(
        text: &'static str,
        of_ipv6: fn(&str) -> String,
        questions: fn(&[Section]) -> Vec<Question>,
    ) -> [Self; 2] {
        // Read once a layout, and there as long as the process.
        let ipv6: &'static str = of_ipv6(text).leak();
        [text, ipv6].map(Fixed::read).map(|sections| Self {
            questions: questions(&sections.0),
            sections,
        })
    }

    /// That of a family.
    pub(crate) const fn of(both: &[Self; 2], family: Family) -> &Self {
        let [ipv4, ipv6] = both;
        match family {
            Family::Ipv4 => ipv4,
            Family::Ipv6 => ipv6,
        }
    }
}

/// The sections of a text, in order.
#[derive(Debug)]
pub(crate) struct Fixed(pub(crate) Vec<Section>);

impl Fixed {
    /// Reads restore input, which `iptables-restore` would take.
    pub(crate) fn read(text: &'static str) -> Self {
        let mut sections: Vec<Section> = Vec::new();
        for line in text.lines() {
            if let Some(table) = line.strip_prefix('*') {
                sections.push(Section {
                    table,
                    chains: Vec::new(),
                    jumps: Vec::new(),
                    rules: Vec::new(),
                });
                continue;
            }
            let (Some(section), Some(second)) =
                (sections.last_mut(), line.split([' ', ':']).nth(1))
            else {
                continue;
            };
            if line.starts_with(':') {
                section.chains.push(second);
            } else if builtin(section.table).contains(&second) {
                section.jumps.push(line);
            } else {
                section.rules.push(line);
            }
        }
        Self(sections)
    }

    /// The section of a table.
    pub(crate) fn of(&self, table: &str) -> &Section {
        let mut sections = self.0.iter();
        let found = sections.find(|section| section.table == table);
        found.expect("a layout asks for tables of its own text")
    }
}

impl Tables {
    /// What restore input of our own makes of untouched tables.
    pub(crate) fn of(text: &str) -> Self {
        let mut tables = Self::default();
        tables
            .restore(text)
            .expect("rules of our own are restore input");
        tables
    }
}
