//! nf_tables: interprets operations on a [`Ruleset`] and refuses what the kernel refuses.
//!
//! It knows existence, references, families, key types and clashing elements (nf_tables_api.c, Linux 6.18). It
//! does not know what only packets or chain validation would show: jump loops, jumps deeper than 16,
//! or `dnat` in a chain that no nat hook reaches.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use nft_codec::{
    Act, BaseChain, Chain, Comment, Element, Key, KeyType, Name, Op, Rule, Set, SetSpec, Statement,
    Table, TableFamily, Verdict,
};

/// Why the kernel would refuse an operation.
enum Refusal {
    /// ENOENT.
    Missing(&'static str, Name),
    /// ENOENT.
    MissingKey(Key),
    /// EEXIST.
    Differs(String),
    /// EBUSY.
    InUse(Name, usize),
    /// EINVAL.
    Invalid(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(what, name) => write!(f, "no {what} {name} (ENOENT)"),
            Self::MissingKey(key) => write!(f, "no element {key} (ENOENT)"),
            Self::Differs(what) => write!(f, "{what} (EEXIST)"),
            Self::InUse(name, references) => write!(
                f,
                "{name} is referred to by {references} rules or elements (EBUSY)"
            ),
            Self::Invalid(what) => write!(f, "{what} (EINVAL)"),
        }
    }
}

/// Tables by family and name: a kernel that takes transactions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ruleset {
    /// The tables.
    pub tables: BTreeMap<(TableFamily, Name), Table>,
}

impl Ruleset {
    /// The table of that family and name.
    #[must_use]
    pub fn table(&self, family: TableFamily, name: &str) -> Option<&Table> {
        self.tables.get(&(family, Name::new(name)))
    }

    /// Applies a transaction: everything, or nothing.
    ///
    /// # Errors
    /// The first operation that nf_tables would refuse, as its script line with the reason.
    pub fn apply(&mut self, ops: &[Op]) -> Result<(), String> {
        let mut next = self.clone();
        next.interpret(ops)?;
        *self = next;
        Ok(())
    }

    /// Applies a transaction in place, for long series that are given up at the first error: the
    /// ruleset is then left as the operations before the refused one made it.
    ///
    /// # Errors
    /// As [`Ruleset::apply`].
    pub fn interpret(&mut self, ops: &[Op]) -> Result<(), String> {
        let mut references = References::default();
        for op in ops {
            step(self, op, &mut references).map_err(|refusal| format!("{op}: {refusal}"))?;
        }
        Ok(())
    }
}

fn step(ruleset: &mut Ruleset, op: &Op, references: &mut References) -> Result<(), Refusal> {
    let place = (op.family, op.table.clone());
    if let Act::AddTable(comment) = &op.act {
        ruleset.tables.entry(place).or_insert_with(|| Table {
            comment: comment.clone(),
            ..Table::default()
        });
        return Ok(());
    }
    let missing = || Refusal::Missing("table", op.table.clone());
    if matches!(op.act, Act::DeleteTable) {
        references.forget();
        return ruleset.tables.remove(&place).map(drop).ok_or_else(missing);
    }
    let table = ruleset.tables.get_mut(&place).ok_or_else(missing)?;
    if op.names_other_family() {
        let what = "an address is of another length than the table's";
        return Err(Refusal::Invalid(what.to_owned()));
    }
    let mut table = Kernel(table);
    match &op.act {
        Act::AddTable(..) | Act::DeleteTable => Ok(()),
        Act::AddChain(chain, base, comment) => table.add_chain(chain, *base, comment.as_ref()),
        Act::FlushChain(chain) => {
            references.forget();
            table.chain(chain)?.rules.clear();
            Ok(())
        }
        Act::DeleteChain(chain) => table.delete_chain(&place, chain, references),
        Act::AddSet(spec) => table.add_set(spec),
        // Whether it is called a set or a map is a matter of the script alone.
        Act::FlushSet(set, ..) => {
            references.forget();
            table.set(set)?.elements.clear();
            Ok(())
        }
        Act::DeleteSet(set, ..) => {
            references.forget();
            table.delete_set(set)
        }
        // As the kernel lists it: the model of a table has no place for objects.
        Act::AddCounter(counter) => {
            let listed = format!("object {counter}");
            let there = table.0.unknown.contains(&listed);
            table.0.unknown.extend((!there).then_some(listed));
            Ok(())
        }
        Act::DeleteCounter(counter) => {
            let listed = format!("object {counter}");
            let place = table.0.unknown.iter().position(|object| *object == listed);
            let place = place.ok_or_else(|| Refusal::Missing("counter", counter.clone()))?;
            table.0.unknown.remove(place);
            Ok(())
        }
        Act::AddElements(set, elements) => {
            references.forget();
            elements
                .iter()
                .try_for_each(|element| table.add_element(set, element))
        }
        Act::DeleteElements(set, keys) => {
            references.forget();
            table.delete_elements(set, keys)
        }
        Act::AddIntervals(set, _) | Act::DeleteIntervals(set, _) => Err(Refusal::Invalid(format!(
            "{set} has no intervals in this model"
        ))),
        Act::AddRule(chain, rule) => {
            references.forget();
            table.add_rule(chain, rule)
        }
    }
}

/// Family and name of a table.
type Place = (TableFamily, Name);

/// How often each chain of one table is referred to: counted when the first chain of a run of
/// deletions goes, kept up to date along the run.
#[derive(Default)]
struct References {
    counted: Option<(Place, HashMap<Name, usize>)>,
}

impl References {
    fn forget(&mut self) {
        self.counted = None;
    }

    fn of(&mut self, place: &Place, table: &Table) -> &mut HashMap<Name, usize> {
        if self
            .counted
            .as_ref()
            .is_none_or(|(counted, _)| counted != place)
        {
            self.counted = None;
        }
        &mut self
            .counted
            .get_or_insert_with(|| (place.clone(), count_references(table)))
            .1
    }
}

fn count_references(table: &Table) -> HashMap<Name, usize> {
    let mut counts = HashMap::new();
    let rules = table
        .chains
        .values()
        .flat_map(|chain| &chain.rules)
        .flat_map(targets);
    let elements = table
        .sets
        .values()
        .flat_map(|set| set.elements.values())
        .filter_map(|element| element.verdict.as_ref()?.chain());
    for chain in rules.chain(elements) {
        *counts.entry(chain.clone()).or_insert(0) += 1;
    }
    counts
}

/// Chains that a rule leads to, through maps of its own too.
fn targets(rule: &Rule) -> impl Iterator<Item = &Name> {
    rule.statements.iter().flat_map(|statement| {
        let verdicts: Vec<&Verdict> = match statement {
            Statement::Verdict(verdict) => vec![verdict],
            Statement::RandomVmap(_, entries) => {
                entries.iter().map(|(_, verdict)| verdict).collect()
            }
            _ => Vec::new(),
        };
        verdicts.into_iter().filter_map(Verdict::chain)
    })
}

/// The named set that a statement looks into, with what it must be.
fn looked_up(statement: &Statement) -> Option<(&Name, KeyType, bool)> {
    match statement {
        Statement::DestinationInSet(set)
        | Statement::SourceInSet(set)
        | Statement::UpdateWithSource(set) => Some((set, KeyType::Address, false)),
        Statement::ConnectionInSet(set) => Some((set, KeyType::AddressesProtoPort, false)),
        Statement::ServiceVmap(map) => Some((map, KeyType::AddressProtoPort, true)),
        Statement::NodePortVmap(map) => Some((map, KeyType::ProtoPort, true)),
        _ => None,
    }
}

/// Whether the kernel takes the entries of a random choice.
fn drawn<T>(modulus: u32, entries: &[(u32, T)]) -> Result<(), Refusal> {
    match modulus {
        0 => Err(Refusal::Invalid("modulus 0".to_owned())),
        _ if entries.is_sorted_by(|a, b| a.0 < b.0) => Ok(()),
        _ => Err(Refusal::Invalid("numbers are not ascending".to_owned())),
    }
}

/// A table as a kernel sees it.
struct Kernel<'a>(&'a mut Table);

impl Kernel<'_> {
    fn chain(&mut self, name: &Name) -> Result<&mut Chain, Refusal> {
        self.0
            .chains
            .get_mut(name)
            .ok_or_else(|| Refusal::Missing("chain", name.clone()))
    }

    fn set(&mut self, name: &Name) -> Result<&mut Set, Refusal> {
        self.0
            .sets
            .get_mut(name)
            .ok_or_else(|| Refusal::Missing("set", name.clone()))
    }

    fn leads_somewhere(&self, verdict: Option<&Verdict>) -> Result<(), Refusal> {
        let Some(chain) = verdict.and_then(Verdict::chain) else {
            return Ok(());
        };
        match self.0.chains.get(chain) {
            None => Err(Refusal::Missing("chain", chain.clone())),
            // nft_verdict_init: base chains cannot be jumped to.
            Some(Chain { base: Some(_), .. }) => {
                Err(Refusal::Invalid(format!("{chain} is a base chain")))
            }
            Some(_) => Ok(()),
        }
    }

    fn add_chain(
        &mut self,
        name: &Name,
        base: Option<BaseChain>,
        comment: Option<&Comment>,
    ) -> Result<(), Refusal> {
        match self.0.chains.get(name) {
            Some(chain) if base.is_some() && chain.base != base => {
                Err(Refusal::Differs(format!("{name} is another chain")))
            }
            Some(_) => Ok(()),
            None => {
                self.0.chains.insert(
                    name.clone(),
                    Chain {
                        base,
                        comment: comment.cloned(),
                        rules: Vec::new(),
                    },
                );
                Ok(())
            }
        }
    }

    fn delete_chain(
        &mut self,
        place: &Place,
        name: &Name,
        references: &mut References,
    ) -> Result<(), Refusal> {
        self.chain(name)?;
        let counts = references.of(place, self.0);
        // The chain's own rules go first (nf_tables_delchain).
        for target in self.0.chains[name].rules.iter().flat_map(targets) {
            if let Some(count) = counts.get_mut(target) {
                *count -= 1;
            }
        }
        match counts.get(name) {
            None | Some(0) => {
                self.0.chains.remove(name);
                Ok(())
            }
            Some(count) => {
                let count = *count;
                references.forget(); // the subtraction above did not take place
                Err(Refusal::InUse(name.clone(), count))
            }
        }
    }

    fn add_set(&mut self, spec: &SetSpec) -> Result<(), Refusal> {
        match self.0.sets.get(&spec.name) {
            Some(set)
                if (set.key, set.verdicts, set.timeout)
                    != (spec.key, spec.verdicts, spec.timeout) =>
            {
                Err(Refusal::Differs(format!(
                    "{} holds other keys or data",
                    spec.name
                )))
            }
            Some(_) => Ok(()),
            None => {
                let set = Set {
                    key: spec.key,
                    verdicts: spec.verdicts,
                    timeout: spec.timeout,
                    comment: spec.comment.clone(),
                    elements: Default::default(),
                };
                self.0.sets.insert(spec.name.clone(), set);
                Ok(())
            }
        }
    }

    fn delete_set(&mut self, name: &Name) -> Result<(), Refusal> {
        self.set(name)?;
        let lookups = self
            .0
            .chains
            .values()
            .flat_map(|chain| &chain.rules)
            .flat_map(|rule| &rule.statements)
            .filter_map(looked_up);
        match lookups.filter(|(set, ..)| *set == name).count() {
            0 => {
                self.0.sets.remove(name);
                Ok(())
            }
            references => Err(Refusal::InUse(name.clone(), references)),
        }
    }

    fn add_element(&mut self, name: &Name, element: &Element) -> Result<(), Refusal> {
        self.leads_somewhere(element.verdict.as_ref())?;
        let set = self.set(name)?;
        if set.key != element.key.key_type() || set.verdicts != element.verdict.is_some() {
            return Err(Refusal::Invalid(format!("{name} holds other keys or data")));
        }
        match set.elements.get(&element.key) {
            Some(there) if there.verdict != element.verdict => Err(Refusal::Differs(format!(
                "{} has another verdict",
                element.key
            ))),
            Some(_) => Ok(()),
            None => {
                set.elements.insert(element.key, element.clone());
                Ok(())
            }
        }
    }

    fn delete_elements(&mut self, name: &Name, keys: &[Key]) -> Result<(), Refusal> {
        let set = self.set(name)?;
        for key in keys {
            set.elements.remove(key).ok_or(Refusal::MissingKey(*key))?;
        }
        Ok(())
    }

    fn add_rule(&mut self, chain: &Name, rule: &Rule) -> Result<(), Refusal> {
        for statement in &rule.statements {
            self.check(statement)?;
        }
        self.chain(chain)?.rules.push(rule.clone());
        Ok(())
    }

    fn check(&self, statement: &Statement) -> Result<(), Refusal> {
        if let Some((name, key, verdicts)) = looked_up(statement) {
            let set = self
                .0
                .sets
                .get(name)
                .ok_or_else(|| Refusal::Missing("set", name.clone()))?;
            if (set.key, set.verdicts) != (key, verdicts) {
                return Err(Refusal::Invalid(format!("{name} holds other keys or data")));
            }
        }
        match statement {
            // nft_dynset.c, `nft_dynset_init`: a set that can grow from rules.
            Statement::UpdateWithSource(set)
                if self
                    .0
                    .sets
                    .get(set)
                    .is_some_and(|set| set.timeout.is_none()) =>
            {
                Err(Refusal::Invalid(format!("{set} has no timeout")))
            }
            Statement::Verdict(verdict) => self.leads_somewhere(Some(verdict)),
            Statement::RandomVmap(modulus, entries) => {
                drawn(*modulus, entries)?;
                let mut verdicts = entries.iter().map(|(_, verdict)| verdict);
                verdicts.try_for_each(|verdict| self.leads_somewhere(Some(verdict)))
            }
            Statement::RandomDnat(modulus, entries) => drawn(*modulus, entries),
            Statement::Unknown(text) => {
                Err(Refusal::Invalid(format!("'{text}' is not understood")))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nft_codec::parse_script;

    fn taken(script: &str) -> Result<Ruleset, String> {
        let mut ruleset = Ruleset::default();
        ruleset.apply(&parse_script(script)?)?;
        Ok(ruleset)
    }

    const BASE: &str = "add table ip t\nadd chain ip t a\nadd chain ip t b\n\
        add map ip t m { type inet_proto . inet_service : verdict ; }\n\
        add element ip t m { tcp . 80 : goto a }\n";

    #[test]
    fn what_the_kernel_refuses_is_refused_with_its_line() {
        for (line, reason) in [
            ("add chain ip u c", "ENOENT"),
            ("flush chain ip t c", "ENOENT"),
            ("delete chain ip t a", "EBUSY"),
            ("add rule ip t a jump c", "ENOENT"),
            ("add rule ip t a ip daddr @s drop", "ENOENT"),
            ("add rule ip t a ip daddr @m drop", "EINVAL"),
            (
                "add rule ip t a numgen random mod 2 vmap { 0 : goto b , 1 : goto c }",
                "ENOENT",
            ),
            ("add element ip t m { tcp . 80 : goto b }", "EEXIST"),
            ("add element ip t m { tcp . 81 : goto c }", "ENOENT"),
            ("add element ip t m { 10.0.0.1 : goto a }", "EINVAL"),
            ("delete element ip t m { tcp . 81 }", "ENOENT"),
            ("delete table ip u", "ENOENT"),
            ("delete table ip6 t", "ENOENT"),
            ("add chain ip6 t c", "ENOENT"),
            ("delete set ip t s", "ENOENT"),
            ("add rule ip t a update @s { ip saddr }", "ENOENT"),
            ("add rule ip t a update @m { ip saddr }", "EINVAL"),
            ("add rule ip t a ip saddr @s goto b", "ENOENT"),
            ("add set ip t m { type ipv4_addr ; }", "EEXIST"),
            (
                "add chain ip t a { type nat hook output priority -100 ; }",
                "EEXIST",
            ),
        ] {
            let error = taken(&format!("{BASE}{line}\n")).unwrap_err();
            assert!(
                error.starts_with(line) && error.ends_with(&format!("({reason})")),
                "{line}: {error}"
            );
        }
    }

    #[test]
    fn a_refused_transaction_changes_nothing() {
        let mut ruleset = taken(BASE).unwrap();
        let before = ruleset.clone();
        assert!(
            ruleset
                .apply(&parse_script("add chain ip t c\ndelete chain ip t a\n").unwrap())
                .is_err()
        );
        assert_eq!(ruleset, before);
    }

    #[test]
    fn a_chain_goes_once_nothing_refers_to_it() {
        let mut ruleset = taken(BASE).unwrap();
        let script = "add rule ip t b jump a\ndelete element ip t m { tcp . 80 }\ndelete chain ip t b\ndelete chain ip t a\n";
        ruleset.apply(&parse_script(script).unwrap()).unwrap();
        let table = ruleset.table(TableFamily::Ip, "t").unwrap();
        assert!(table.chains.is_empty());
    }

    #[test]
    fn tables_of_two_families_have_their_own_chains_and_addresses() {
        let script = "add table ip6 t\nadd chain ip6 t c\nadd set ip6 t s { type ipv6_addr ; }\n\
            add element ip6 t s { fd00::1 }\nadd rule ip6 t c ip6 daddr @s drop\n";
        let mut ruleset = taken(&format!("{BASE}{script}")).unwrap();
        let chains = |ruleset: &Ruleset, family| {
            let table = ruleset.table(family, "t");
            table.map(|table| table.chains.len())
        };
        assert_eq!(chains(&ruleset, TableFamily::Ip), Some(2));
        assert_eq!(chains(&ruleset, TableFamily::Ip6), Some(1));
        let mut ops = parse_script("add element ip t m { 10.0.0.1 : goto a }").unwrap();
        ops[0].family = TableFamily::Ip6;
        assert!(ruleset.apply(&ops).unwrap_err().ends_with("(EINVAL)"));
        let ops = parse_script("delete table ip6 t").unwrap();
        ruleset.apply(&ops).unwrap();
        assert_eq!(chains(&ruleset, TableFamily::Ip), Some(2));
        assert_eq!(chains(&ruleset, TableFamily::Ip6), None);
    }
}
