//! A packet tracer over parsed nat tables: where the first packet of a flow goes, with what
//! probability. The relation is what the rules mean, not what they were meant to be.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::Ipv4Addr;

use super::rule::{Rule, Target};
use super::tables::{Table, Tables};
use crate::relation::Relation;
use crate::service::{Endpoint, Frontend};

/// A client inside the cluster, as the lab's are: none of its packets may be masqueraded.
const SOURCE: Ipv4Addr = Ipv4Addr::new(10, 192, 0, 2);
/// The deepest path, mode ipset's, is nine chains; more is a loop.
const MAX_DEPTH: usize = 16;

/// What the nat table does with new flows, from a client and from the node itself.
///
/// # Errors
/// A rule on a service's path that is not understood, a missing chain, a flow whose treatment depends on where
/// it comes from, or one whose source address would be replaced.
pub(crate) fn relation(tables: &Tables) -> Result<Relation, String> {
    let Some(nat) = tables.0.get("nat") else {
        return Ok(Relation::default());
    };
    let index = Index::new(nat);
    let mut relation = Relation::default();
    for frontend in index.destinations() {
        let shares = index.trace_both(frontend, 0)?;
        if !shares.is_empty() {
            relation.0.insert(frontend, shares);
        }
    }
    Ok(relation)
}

/// A chain with its rules found by exact destination: a list of 10,000 is not walked 10,000 times.
struct Indexed<'a> {
    rules: &'a [Rule],
    exact: HashMap<Frontend, Vec<usize>>,
    general: Vec<usize>,
}

/// A nat table in which packets are traced.
pub(crate) struct Index<'a> {
    chains: HashMap<&'a str, Indexed<'a>>,
}

impl<'a> Index<'a> {
    pub(crate) fn new(table: &'a Table) -> Self {
        let chains = table.chains.iter().map(|(name, rules)| {
            let mut indexed = Indexed {
                rules,
                exact: HashMap::new(),
                general: Vec::new(),
            };
            for (i, rule) in rules.iter().enumerate() {
                match rule.exact_destination() {
                    Some(destination) => indexed.exact.entry(destination).or_default().push(i),
                    None => indexed.general.push(i),
                }
            }
            (name.as_str(), indexed)
        });
        Self {
            chains: chains.collect(),
        }
    }

    /// Every destination that some rule names.
    fn destinations(&self) -> BTreeSet<Frontend> {
        self.chains
            .values()
            .flat_map(|c| c.exact.keys().copied())
            .collect()
    }

    /// Where new flows to a destination go, from a client and from the node itself alike, that bear `mark`.
    ///
    /// # Errors
    /// As [`Self::trace`]; or they are treated differently.
    pub(crate) fn trace_both(
        &self,
        to: Frontend,
        mark: u32,
    ) -> Result<BTreeMap<Endpoint, f64>, String> {
        let forwarded = self.trace("PREROUTING", to, mark)?;
        match forwarded == self.trace("OUTPUT", to, mark)? {
            true => Ok(forwarded),
            false => Err(format!(
                "{to} is treated differently in PREROUTING and in OUTPUT"
            )),
        }
    }

    /// Where new flows of a client to a destination go that reach `chain` with `mark`, and their shares.
    ///
    /// # Errors
    /// A rule on the way that is not understood, or a missing chain; or its source address would be replaced.
    pub(crate) fn trace(
        &self,
        chain: &str,
        to: Frontend,
        mark: u32,
    ) -> Result<BTreeMap<Endpoint, f64>, String> {
        let mut ends = Ends::default();
        let flows = vec![Flows { mass: 1.0, mark }];
        self.walk(chain, to, flows, 0, &mut ends)?;
        for (endpoint, mark) in ends.marked {
            let there = Frontend {
                vip: endpoint.address,
                port: endpoint.port,
                ..to
            };
            if self.is_masqueraded(there, mark)? {
                return Err(format!(
                    "{to}: flows of {SOURCE} to {endpoint} would be masqueraded"
                ));
            }
        }
        Ok(ends.shares)
    }

    /// What POSTROUTING does with the source of a flow, once its destination is chosen.
    fn is_masqueraded(&self, to: Frontend, mark: u32) -> Result<bool, String> {
        let mut ends = Ends::default();
        if self.chains.contains_key("POSTROUTING") {
            let flows = vec![Flows { mass: 1.0, mark }];
            self.walk("POSTROUTING", to, flows, 0, &mut ends)?;
        }
        Ok(ends.masqueraded)
    }

    /// Notes where flows go; returns those that come back from the chain.
    fn walk(
        &self,
        chain: &str,
        to: Frontend,
        flows: Vec<Flows>,
        depth: usize,
        ends: &mut Ends,
    ) -> Result<Vec<Flows>, String> {
        let indexed = self
            .chains
            .get(chain)
            .ok_or_else(|| format!("no chain {chain}"))?;
        if depth > MAX_DEPTH {
            return Err(format!("chain {chain} is deeper than {MAX_DEPTH} jumps"));
        }
        let exact = indexed.exact.get(&to).map_or(&[][..], Vec::as_slice);
        let mut order: Vec<usize> = exact.iter().chain(&indexed.general).copied().collect();
        order.sort_unstable();
        let (mut left, mut returned) = (flows, Vec::new());
        for rule in order.into_iter().map(|i| &indexed.rules[i]) {
            if let Some(word) = rule.unknown.first() {
                return Err(format!("chain {chain}: '{word}' is not understood"));
            }
            let (mut taken, mut stay) = (Vec::new(), Vec::new());
            for flows in left {
                if flows.mass <= 0.0 || !rule.matches(SOURCE, to, flows.mark) {
                    stay.push(flows);
                    continue;
                }
                let share = rule.probability.unwrap_or(1.0);
                taken.push(flows.part(share));
                if share < 1.0 {
                    stay.push(flows.part(1.0 - share));
                }
            }
            left = stay;
            match &rule.target {
                Target::None => left.extend(taken),
                Target::Mark { value, mask } => left.extend(taken.into_iter().map(|flows| Flows {
                    mark: (flows.mark & !mask) ^ value,
                    ..flows
                })),
                Target::Masquerade => ends.masqueraded |= !taken.is_empty(),
                Target::Jump(_) | Target::Goto(_) if taken.is_empty() => {}
                Target::Jump(next) => left.extend(self.walk(next, to, taken, depth + 1, ends)?),
                Target::Goto(next) => {
                    returned.extend(self.walk(next, to, taken, depth + 1, ends)?)
                }
                Target::Return => returned.extend(taken),
                Target::Accept | Target::Refuse => {}
                // xt_set takes it in table mangle only (`set_target_v3_checkentry`).
                Target::MapMark(set) => {
                    return Err(format!(
                        "chain {chain}: a mark from set {set} outside of mangle"
                    ));
                }
                Target::Dnat(endpoint) => {
                    for flows in taken {
                        *ends.shares.entry(*endpoint).or_insert(0.0) += flows.mass;
                        ends.marked.insert((*endpoint, flows.mark));
                    }
                }
            }
        }
        returned.extend(left);
        Ok(returned)
    }
}

/// A part of the new flows to one destination.
#[derive(Debug, Clone, Copy)]
struct Flows {
    /// Of all of them.
    mass: f64,
    mark: u32,
}

impl Flows {
    fn part(self, share: f64) -> Self {
        Self {
            mass: self.mass * share,
            ..self
        }
    }
}

/// Where flows end.
#[derive(Debug, Default)]
struct Ends {
    shares: BTreeMap<Endpoint, f64>,
    /// The marks with which they come to their endpoints.
    marked: BTreeSet<(Endpoint, u32)>,
    masqueraded: bool,
}
