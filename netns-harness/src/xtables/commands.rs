//! An interpreter of `iptables` command lines, one rule or chain each, that refuses what the tool and
//! the kernel refuse (`iptables(8)`; iptables 1.8.9, `libiptc/libiptc.c` and `iptables/nft.c`).

use super::rule::{self, Rule, Target};
use super::tables::{Table, Tables, builtin};
use super::{Engine, Family, tool};

impl Tables {
    /// Carries out `iptables-… -w 5 -t TABLE ACTION CHAIN …`.
    ///
    /// # Errors
    /// The command that would be refused, and why.
    pub(crate) fn command(&mut self, words: &[String]) -> Result<(), String> {
        let refused = |why: &str| format!("'{}': {why}", words.join(" "));
        let texts: Vec<&str> = words.iter().map(String::as_str).collect();
        let [program, "-w", "5", "-t", name, action, chain, rest @ ..] = texts.as_slice() else {
            return Err(refused("not understood"));
        };
        let of_family = |family: &'static Family| {
            let engines = Engine::ALL.iter();
            engines.map(move |engine| tool::prefix_of(*engine, *family))
        };
        let mut known = Family::ALL.iter().flat_map(of_family);
        if !known.any(|known| known == *program) {
            return Err(refused("not a program of iptables"));
        }
        if builtin(name).is_empty() {
            return Err(refused("no such table"));
        }
        let mut table = self.take(name);
        let words = &words[words.len() - rest.len()..];
        let done = table.command(name, action, chain, words);
        self.0.insert((*name).to_owned(), table);
        done.map_err(refused)
    }
}

impl Table {
    fn command(
        &mut self,
        table: &str,
        action: &str,
        chain: &str,
        rest: &[String],
    ) -> Result<(), &'static str> {
        match (action, rest) {
            ("-N", []) if self.chains.contains_key(chain) => Err("chain exists already"),
            ("-N", []) => {
                self.chains.insert(chain.to_owned(), Vec::new());
                Ok(())
            }
            ("-X", []) => self.delete_chain(table, chain),
            ("-F", []) => {
                self.rules(chain)?.clear();
                Ok(())
            }
            ("-A", words) => {
                let rule = self.checked(words)?;
                self.rules(chain)?.push(rule);
                Ok(())
            }
            ("-I", [number, words @ ..]) => {
                let rule = self.checked(words)?;
                let rules = self.rules(chain)?;
                // One behind the last is allowed: the rule is then the last.
                let at = place(number, rules.len() + 1).ok_or("index of insertion too big")?;
                rules.insert(at, rule);
                Ok(())
            }
            ("-R", [number, words @ ..]) => {
                let rule = self.checked(words)?;
                let rules = self.rules(chain)?;
                let at = place(number, rules.len()).ok_or("index of replacement too big")?;
                rules[at] = rule;
                Ok(())
            }
            ("-D", [number]) => {
                let rules = self.rules(chain)?;
                let at = place(number, rules.len()).ok_or("index of deletion too big")?;
                rules.remove(at);
                Ok(())
            }
            ("-D", words) => {
                let rule = rule::parse(words);
                let rules = self.rules(chain)?;
                let at = rules.iter().position(|r| *r == rule);
                rules.remove(at.ok_or("no matching rule in that chain")?);
                Ok(())
            }
            _ => Err("not understood"),
        }
    }

    fn rules(&mut self, chain: &str) -> Result<&mut Vec<Rule>, &'static str> {
        self.chains.get_mut(chain).ok_or("no such chain")
    }

    /// A rule whose target is there now: a command is a transaction of its own.
    fn checked(&self, words: &[String]) -> Result<Rule, &'static str> {
        let rule = rule::parse(words);
        match &rule.target {
            Target::Jump(to) | Target::Goto(to) if !self.chains.contains_key(to) => {
                Err("no such chain to jump to")
            }
            _ => Ok(rule),
        }
    }

    fn delete_chain(&mut self, table: &str, chain: &str) -> Result<(), &'static str> {
        if builtin(table).contains(&chain) {
            return Err("a built-in chain cannot be deleted");
        }
        if !self.rules(chain)?.is_empty() {
            return Err("chain is not empty");
        }
        let leads_here = |rule: &Rule| matches!(&rule.target, Target::Jump(to) | Target::Goto(to) if to == chain);
        if self.chains.values().flatten().any(leads_here) {
            return Err("a rule still jumps to the chain");
        }
        self.chains.remove(chain);
        Ok(())
    }
}

/// The index of rule number `text` of 1 to `most`.
fn place(text: &str, most: usize) -> Option<usize> {
    let number: usize = text.parse().ok()?;
    (1..=most).contains(&number).then(|| number - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rules of nat's chain A after commands of which the last must be taken or refused as said.
    fn after(lines: &[&str]) -> Result<usize, String> {
        let mut tables = Tables::default();
        for line in lines {
            tables.command(&rule::words(&format!("iptables-legacy -w 5 -t nat {line}")))?;
        }
        Ok(tables.0["nat"].chains.get("A").map_or(0, Vec::len))
    }

    #[test]
    fn a_chain_in_use_or_with_rules_or_built_in_cannot_be_deleted() {
        assert!(after(&["-N A", "-A A -j ACCEPT", "-X A"]).is_err());
        assert!(after(&["-N A", "-A OUTPUT -j A", "-X A"]).is_err());
        assert!(after(&["-X OUTPUT"]).is_err());
        assert_eq!(after(&["-N A", "-A A -j ACCEPT", "-F A", "-X A"]), Ok(0));
    }

    #[test]
    fn a_chain_that_exists_cannot_be_made_again() {
        assert!(after(&["-N A", "-N A"]).is_err());
        assert!(after(&["-N OUTPUT"]).is_err());
    }

    #[test]
    fn a_jump_to_a_chain_that_is_not_there_is_refused_at_once() {
        assert!(after(&["-A OUTPUT -j A", "-N A"]).is_err());
        assert!(after(&["-N A", "-I A 1 -g B"]).is_err());
    }

    #[test]
    fn rule_numbers_count_from_one_and_end_where_the_tools_end_them() {
        assert_eq!(
            after(&["-N A", "-I A 1 -j ACCEPT", "-I A 2 -j DROP"]),
            Ok(2)
        );
        assert!(after(&["-N A", "-I A 0 -j ACCEPT"]).is_err());
        assert!(after(&["-N A", "-I A 2 -j ACCEPT"]).is_err());
        assert!(after(&["-N A", "-R A 1 -j ACCEPT"]).is_err());
        assert!(after(&["-N A", "-D A 1"]).is_err());
        assert_eq!(after(&["-N A", "-A A -j DROP", "-D A 1"]), Ok(0));
    }

    #[test]
    fn a_rule_is_deleted_by_its_words_only_where_it_is() {
        assert_eq!(after(&["-N A", "-A A -j DROP", "-D A -j DROP"]), Ok(0));
        assert!(after(&["-N A", "-A A -j DROP", "-D A -j ACCEPT"]).is_err());
    }

    #[test]
    fn another_program_or_table_is_refused() {
        let mut tables = Tables::default();
        assert!(
            tables
                .command(&rule::words("nft -w 5 -t nat -N A"))
                .is_err()
        );
        assert!(
            tables
                .command(&rule::words("iptables-nft -w 5 -t nut -N A"))
                .is_err()
        );
    }
}
