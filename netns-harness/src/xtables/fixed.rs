//! What a layout writes whatever the services: restore input that is kept as text, read once.

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
