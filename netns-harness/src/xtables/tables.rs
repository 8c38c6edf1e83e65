//! Tables as `iptables-save` lists them, and an interpreter of `iptables-restore --noflush` input that
//! refuses what the tool and the kernel refuse.

use std::collections::{BTreeMap, BTreeSet};

use super::rule::{self, Rule, Target};
use crate::relation::Inventory;

/// Chains of one table, by name.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Table {
    pub(crate) chains: BTreeMap<String, Vec<Rule>>,
    /// Built-in chains whose policy is DROP.
    pub(crate) refusing: BTreeSet<String>,
}

/// Tables by name.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Tables(pub(crate) BTreeMap<String, Table>);

/// Built-in chains of a table: `iptables(8)`.
pub(crate) fn builtin(table: &str) -> &'static [&'static str] {
    match table {
        "filter" => &["INPUT", "FORWARD", "OUTPUT"],
        "nat" => &["PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"],
        "mangle" => &["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"],
        "raw" => &["PREROUTING", "OUTPUT"],
        _ => &[],
    }
}

/// Restore input that empties tables: it names every built-in chain, so that without --noflush a table holds nothing
/// else.
pub(super) fn emptied(tables: &[&str]) -> String {
    let table = |name: &&str| {
        let chains = builtin(name).iter();
        let chains: String = chains.map(|c| format!(":{c} ACCEPT [0:0]\n")).collect();
        format!("*{name}\n{chains}COMMIT\n")
    };
    tables.iter().map(table).collect()
}

/// A table as it is made when it is first named.
fn untouched(name: &str) -> Table {
    Table {
        chains: builtin(name)
            .iter()
            .map(|c| ((*c).to_owned(), Vec::new()))
            .collect(),
        refusing: BTreeSet::new(),
    }
}

impl Tables {
    /// Reads a listing, or carries out a restore input on what is there already.
    ///
    /// # Errors
    /// The line that would be refused, and why.
    pub(crate) fn restore(&mut self, text: &str) -> Result<(), String> {
        let mut current: Option<(String, Table)> = None;
        for line in text
            .lines()
            .map(str::trim)
            .filter(|l| !l.is_empty() && !l.starts_with('#'))
        {
            if let Some(name) = line.strip_prefix('*') {
                if builtin(name).is_empty() {
                    return Err(format!("'{line}': no such table"));
                }
                current = Some((name.to_owned(), self.begin(name)));
                continue;
            }
            let Some((name, table)) = &mut current else {
                return Err(format!("'{line}': outside a table"));
            };
            if line == "COMMIT" {
                table.check_targets()?;
                self.0.insert(std::mem::take(name), std::mem::take(table));
                current = None;
                continue;
            }
            table
                .line(name, line)
                .map_err(|why| format!("'{line}': {why}"))?;
        }
        match current {
            Some((name, _)) => Err(format!("table {name}: no COMMIT")),
            None => Ok(()),
        }
    }

    fn begin(&self, name: &str) -> Table {
        self.0.get(name).cloned().unwrap_or_else(|| untouched(name))
    }

    /// The table of that name, taken out to be put back.
    #[cfg(test)]
    pub(crate) fn take(&mut self, name: &str) -> Table {
        self.0.remove(name).unwrap_or_else(|| untouched(name))
    }

    /// Chains in all tables that are not built in.
    pub(crate) fn own_chains(&self) -> usize {
        let own = |(name, table): (&String, &Table)| {
            table
                .chains
                .keys()
                .filter(|c| !builtin(name).contains(&c.as_str()))
                .count()
        };
        self.0.iter().map(own).sum()
    }

    /// Rules in all tables.
    pub(crate) fn rules(&self) -> usize {
        self.0
            .values()
            .flat_map(|t| t.chains.values())
            .map(Vec::len)
            .sum()
    }

    /// Checks that everything but the chains that are `per_service` (by table and name) is as `wanted`, and that no
    /// wanted chain is missing.
    ///
    /// # Errors
    /// The first chain that is not as wanted.
    pub(crate) fn are_as(
        &self,
        wanted: &Self,
        per_service: impl Fn(&str, &str) -> bool,
    ) -> Result<(), String> {
        let none = Table::default();
        for (name, table) in &self.0 {
            let base = wanted.0.get(name).unwrap_or(&none);
            for (chain, rules) in &table.chains {
                let service = per_service(name, chain);
                let wanted = base.chains.get(chain).map_or(&[][..], Vec::as_slice);
                if !service && wanted != rules.as_slice() {
                    return Err(format!("table {name}: chain {chain} is not kube-proxy's"));
                }
            }
        }
        for (name, table) in &wanted.0 {
            let there = self.0.get(name).unwrap_or(&none);
            let mut chains = table.chains.keys();
            if let Some(chain) = chains.find(|chain| !there.chains.contains_key(*chain)) {
                return Err(format!("table {name}: chain {chain} is missing"));
            }
        }
        Ok(())
    }

    /// Rules and chains of all tables, counted.
    pub(crate) fn inventory(&self) -> Inventory {
        Inventory {
            rules: self.rules() as u64,
            chains: self.own_chains() as u64,
            ..Inventory::default()
        }
    }
}

impl Table {
    fn line(&mut self, table: &str, line: &str) -> Result<(), &'static str> {
        if let Some(declaration) = line.strip_prefix(':') {
            let mut words = declaration.split_whitespace();
            let chain = words.next().ok_or("no chain name")?;
            // With --noflush a declaration empties user-defined chains and leaves built-in ones.
            if !builtin(table).contains(&chain) {
                self.chains.insert(chain.to_owned(), Vec::new());
            } else if words.next() == Some("DROP") {
                self.refusing.insert(chain.to_owned());
            } else {
                self.refusing.remove(chain);
            }
            return Ok(());
        }
        let line = line
            .strip_prefix('[')
            .and_then(|l| l.split_once("] "))
            .map_or(line, |(_, rest)| rest);
        let words = rule::words(line);
        match (words.first().map(String::as_str), words.get(1)) {
            (Some("-A"), Some(chain)) => {
                let rules = self.chains.get_mut(chain).ok_or("no such chain")?;
                rules.push(rule::parse(&words[2..]));
                Ok(())
            }
            (Some("-X"), Some(chain)) => match self.chains.get(chain) {
                None => Err("no such chain"),
                Some(rules) if !rules.is_empty() => Err("chain is not empty"),
                Some(_) => {
                    self.chains.remove(chain);
                    Ok(())
                }
            },
            _ => Err("not understood"),
        }
    }

    /// Jumps must lead somewhere when the transaction commits.
    fn check_targets(&self) -> Result<(), String> {
        for (chain, rules) in &self.chains {
            for rule in rules {
                if let Target::Jump(to) | Target::Goto(to) = &rule.target
                    && !self.chains.contains_key(to)
                {
                    return Err(format!("chain {chain}: no chain {to} to jump to"));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn restore(text: &str) -> Result<Tables, String> {
        let mut tables = Tables::default();
        tables.restore(text).map(|()| tables)
    }

    #[test]
    fn a_jump_to_a_chain_that_is_not_there_is_refused() {
        let error = restore("*nat\n-A PREROUTING -j NOWHERE\nCOMMIT\n").unwrap_err();
        assert!(error.contains("NOWHERE"), "{error}");
    }

    #[test]
    fn a_rule_in_a_chain_that_is_not_there_is_refused() {
        assert!(restore("*nat\n-A NOWHERE -j ACCEPT\nCOMMIT\n").is_err());
    }

    #[test]
    fn a_chain_in_use_or_with_rules_cannot_be_deleted() {
        assert!(restore("*nat\n:A - [0:0]\n-A A -j ACCEPT\n-X A\nCOMMIT\n").is_err());
        assert!(restore("*nat\n:A - [0:0]\n-A PREROUTING -j A\n-X A\nCOMMIT\n").is_err());
    }

    #[test]
    fn a_declaration_empties_a_chain_of_ours_and_not_a_builtin_one() {
        let mut tables =
            restore("*nat\n:A - [0:0]\n-A A -j ACCEPT\n-A OUTPUT -j A\nCOMMIT\n").unwrap();
        tables
            .restore("*nat\n:A - [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n")
            .unwrap();
        let nat = &tables.0["nat"];
        assert_eq!((nat.chains["A"].len(), nat.chains["OUTPUT"].len()), (0, 1));
    }

    #[test]
    fn an_input_without_commit_does_nothing() {
        assert!(restore("*nat\n:A - [0:0]\n").is_err());
    }
}
