//! What listed sets and tables mean: each element's mark is followed through the dispatch, and the rest
//! must be exactly the layout. Anything else is an error, not a guess.

use std::collections::{BTreeMap, BTreeSet};

use ipset_sys::{Entry, Set};
use schema::{Family, Protocol};

use super::ids::{Id, LEVELS, Prefix};
use super::layout;
use crate::datapath::iptables::layout_check::{self, service_own};
use crate::relation::Relation;
use crate::service::Frontend;
use crate::xtables::rule::{Rule, State, Target};
use crate::xtables::tables::{Table, Tables};
use crate::xtables::trace::Index;

/// What the kernel does with new flows to services of a family. An untouched namespace serves nothing.
///
/// # Errors
/// The first thing that is not part of the layout, missing, or leads nowhere.
pub(super) fn relation(tables: &Tables, sets: &[Set], family: Family) -> Result<Relation, String> {
    if tables.rules() == 0 && tables.own_chains() == 0 && sets.is_empty() {
        return Ok(Relation::default());
    }
    let wanted = layout::base(family);
    tables.are_as(&wanted, |table, chain| {
        table == "nat" && (service_own(chain) || is_dispatch(chain))
    })?;
    let nat = &tables.0["nat"];
    let marks = marks(the_set(sets, family)?)?;
    let chains = Dispatch::read(nat)?.chains;
    let mut reached = BTreeSet::new();
    let index = Index::new(nat);
    let mut relation = Relation::default();
    for (id, frontend) in &marks {
        let Some(chain) = chains.get(id) else {
            return Err(format!("the mark of {frontend} leads nowhere"));
        };
        let masquerade = nat.chains[*chain].first().and_then(Rule::exact_destination);
        if masquerade.is_some_and(|other| other != *frontend) {
            return Err(format!(
                "{frontend} leads to {chain}, another service's chain"
            ));
        }
        layout_check::service(nat, chain, *frontend, &mut reached)?;
        let shares = index.trace_both(*frontend, id.mark().value)?;
        relation.0.insert(*frontend, shares);
    }
    if let Some((id, chain)) = chains.iter().find(|(id, _)| !marks.contains_key(id)) {
        let mark = id.mark().value;
        return Err(format!(
            "no element has mark {mark:#x}, which leads to {chain}"
        ));
    }
    let mut own = nat.chains.keys().filter(|chain| service_own(chain));
    match own.find(|chain| !reached.contains(chain.as_str())) {
        Some(chain) => Err(format!("no service leads to chain {chain}")),
        None => Ok(relation),
    }
}

fn is_dispatch(chain: &str) -> bool {
    let root = Prefix::ROOT.to_string();
    chain
        .strip_prefix(&root)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// Type of the mode's set.
pub(super) const TYPE: &str = "hash:ip,port";

/// The mode's set for a family, which is the only one.
fn the_set(sets: &[Set], family: Family) -> Result<&Set, String> {
    let name = layout::set(family);
    if let Some(foreign) = sets.iter().find(|set| set.name != name) {
        return Err(format!("foreign set {}", foreign.name));
    }
    match sets.first() {
        None => Err(format!("no set {name}")),
        Some(set) if set.type_name == TYPE => Ok(set),
        Some(set) => Err(format!("set {name} is a {}", set.type_name)),
    }
}

/// Frontends by the id in their element's mark.
fn marks(set: &Set) -> Result<BTreeMap<Id, Frontend>, String> {
    let mut marks = BTreeMap::new();
    for entry in &set.entries {
        let frontend = frontend(entry)?;
        let id = entry
            .mark
            .and_then(Id::from_mark)
            .ok_or_else(|| format!("the mark of {frontend} is no service's"))?;
        if let Some(other) = marks.insert(id, frontend) {
            return Err(format!("{frontend} and {other} have the same mark"));
        }
    }
    Ok(marks)
}

fn frontend(entry: &Entry) -> Result<Frontend, String> {
    let (vip, port) = (entry.address, entry.port);
    let protocol = match i32::from(entry.protocol) {
        libc::IPPROTO_TCP => Protocol::Tcp,
        libc::IPPROTO_UDP => Protocol::Udp,
        other => return Err(format!("an element for {vip}:{port} of protocol {other}")),
    };
    Ok(Frontend {
        vip,
        port,
        protocol,
    })
}

/// The dispatch chains, read from the root down.
struct Dispatch<'a> {
    nat: &'a Table,
    read: BTreeSet<String>,
    /// Service chains by id.
    chains: BTreeMap<Id, &'a str>,
}

impl<'a> Dispatch<'a> {
    fn read(nat: &'a Table) -> Result<Self, String> {
        let mut dispatch = Self {
            nat,
            read: BTreeSet::new(),
            chains: BTreeMap::new(),
        };
        dispatch.chain(Prefix::ROOT)?;
        let mut all = nat.chains.keys().filter(|chain| is_dispatch(chain));
        match all.find(|chain| !dispatch.read.contains(*chain)) {
            Some(chain) => Err(format!("no rule leads to chain {chain}")),
            None => Ok(dispatch),
        }
    }

    /// A chain's rules: ascending nibbles, each with its own chain.
    fn chain(&mut self, prefix: Prefix) -> Result<(), String> {
        let name = prefix.to_string();
        let odd = || format!("chain {name} is not as the layout has it");
        let nat = self.nat;
        let rules = nat.chains.get(&name).ok_or_else(odd)?;
        if rules.is_empty() && prefix != Prefix::ROOT {
            return Err(format!("chain {name} is empty"));
        }
        let mut last = None;
        for rule in rules {
            let (child, target) = step(prefix, rule).ok_or_else(odd)?;
            if last.is_some_and(|last| last >= child) {
                return Err(odd());
            }
            last = Some(child);
            if child.nibbles() < LEVELS {
                if target != child.to_string() {
                    return Err(odd());
                }
                self.chain(child)?;
            } else {
                self.chains.insert(child.id().ok_or_else(odd)?, target);
            }
        }
        self.read.insert(name);
        Ok(())
    }
}

/// Where a dispatch rule of a prefix's chain leads; `None` when it is no dispatch rule.
fn step(prefix: Prefix, rule: &Rule) -> Option<(Prefix, &str)> {
    let (
        Some(State::Mark {
            value,
            mask,
            negated: false,
        }),
        Target::Goto(target),
    ) = (rule.state, &rule.target)
    else {
        return None;
    };
    let plain = Rule {
        state: rule.state,
        target: rule.target.clone(),
        ..Rule::default()
    };
    (*rule == plain).then_some((prefix.child(value, mask)?, target.as_str()))
}

/// The mark that a packet to a frontend gets right now.
#[cfg(test)]
fn mark(sets: &[Set], to: Frontend) -> Option<ipset_sys::Mark> {
    let name = layout::set(to.family());
    let set = sets.iter().find(|set| set.name == name)?;
    let mut entries = set.entries.iter();
    entries.find(|entry| frontend(entry) == Ok(to))?.mark
}

/// Whether a packet to a frontend gets a mark right now.
#[cfg(test)]
pub(super) fn is_marked(sets: &[Set], frontend: Frontend) -> bool {
    mark(sets, frontend).is_some()
}

/// Where the new flows of one frontend go right now, whatever else is there: nowhere, when its element
/// is missing. For looking at the states between the transactions of a batch.
#[cfg(test)]
pub(super) fn served(
    tables: &Tables,
    sets: &[Set],
    frontend: Frontend,
) -> Result<BTreeMap<crate::service::Endpoint, f64>, String> {
    let (Some(mark), Some(nat)) = (mark(sets, frontend), tables.0.get("nat")) else {
        return Ok(BTreeMap::new());
    };
    Index::new(nat).trace("PREROUTING", frontend, mark.value)
}
