//! A packet tracer over parsed nat tables: where the first packet of a flow goes, with what
//! probability. The relation is what the rules mean, not what they were meant to be.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use super::rule::{Rule, Target};
use super::tables::{Table, Tables};
use crate::relation::Relation;
use crate::service::{Endpoint, Frontend, Plan};

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

/// A table in which packets are traced.
pub(crate) struct Index<'a> {
    chains: HashMap<&'a str, Indexed<'a>>,
    refusing: &'a BTreeSet<String>,
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
            refusing: &table.refusing,
        }
    }

    /// Every destination that some rule names.
    pub(super) fn destinations(&self) -> BTreeSet<Frontend> {
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
        self.walk(chain, to, vec![Flows::all(mark)], 0, &mut ends)?;
        let mut shares = BTreeMap::new();
        for (endpoint, flows) in ends.translated {
            let there = endpoint.as_frontend(to.protocol);
            let mut ends = Ends::default();
            if self.chains.contains_key("POSTROUTING") {
                self.walk("POSTROUTING", there, vec![flows], 0, &mut ends)?;
            }
            if ends.masqueraded {
                return Err(masqueraded(to, endpoint));
            }
            *shares.entry(endpoint).or_insert(0.0) += flows.mass;
        }
        Ok(shares)
    }

    /// What a built-in chain does with flows to a destination, its policy included.
    ///
    /// # Errors
    /// A rule on the way that is not understood, or a missing chain.
    pub(super) fn through(&self, chain: &str, to: Frontend, flows: Flows) -> Result<Ends, String> {
        let mut ends = Ends::default();
        let left = self.walk(chain, to, vec![flows], 0, &mut ends)?;
        let refused = self.refusing.contains(chain);
        ends.accepted.extend(left.into_iter().filter(|_| !refused));
        Ok(ends)
    }

    /// Whether there is such a chain.
    pub(super) fn has(&self, chain: &str) -> bool {
        self.chains.contains_key(chain)
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
        let client = Plan::of(to.family()).client();
        let (mut left, mut returned) = (flows, Vec::new());
        for rule in order.into_iter().map(|i| &indexed.rules[i]) {
            let (mut taken, mut stay) = (Vec::new(), Vec::new());
            for flows in left {
                let (mark, translated) = (flows.mark, flows.translated);
                let source = flows.source.unwrap_or(client);
                if flows.mass <= 0.0 || !rule.matches(source, to, mark, translated) {
                    stay.push(flows);
                    continue;
                }
                if let Some(word) = rule.unknown.first() {
                    return Err(format!("chain {chain}: '{word}' is not understood"));
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
                Target::Masquerade => {
                    ends.masqueraded |= !taken.is_empty();
                    ends.accepted.extend(taken);
                }
                Target::Jump(_) | Target::Goto(_) if taken.is_empty() => {}
                Target::Jump(next) => left.extend(self.walk(next, to, taken, depth + 1, ends)?),
                Target::Goto(next) => {
                    returned.extend(self.walk(next, to, taken, depth + 1, ends)?)
                }
                Target::Return => returned.extend(taken),
                Target::Accept => ends.accepted.extend(taken),
                Target::Refuse | Target::Drop => {}
                // xt_set takes it in table mangle only (`set_target_v3_checkentry`).
                Target::MapMark(set) => {
                    return Err(format!(
                        "chain {chain}: a mark from set {set} outside of mangle"
                    ));
                }
                Target::Dnat(endpoint) => {
                    let translated = taken.into_iter().map(|flows| {
                        let there = Flows {
                            translated: true,
                            ..flows
                        };
                        (*endpoint, there)
                    });
                    ends.translated.extend(translated);
                }
            }
        }
        returned.extend(left);
        Ok(returned)
    }
}

/// Why flows of a client are not as they should be.
pub(super) fn masqueraded(to: Frontend, endpoint: Endpoint) -> String {
    let client = Plan::of(to.family()).client();
    format!("{to}: flows of {client} to {endpoint} would be masqueraded")
}

/// A part of the new flows to one destination.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flows {
    /// Of all of them.
    pub(super) mass: f64,
    mark: u32,
    /// Whether they were sent elsewhere.
    translated: bool,
    /// Who sends them, if not a client inside the cluster.
    source: Option<IpAddr>,
}

impl Flows {
    /// All of them, as they are sent, with a mark.
    pub(super) const fn all(mark: u32) -> Self {
        Self {
            mass: 1.0,
            mark,
            translated: false,
            source: None,
        }
    }

    /// The same from somebody else.
    #[cfg(test)]
    pub(super) const fn sent_by(self, source: IpAddr) -> Self {
        Self {
            source: Some(source),
            ..self
        }
    }

    fn part(self, share: f64) -> Self {
        Self {
            mass: self.mass * share,
            ..self
        }
    }
}

/// Where flows end; what is in none of the lists is refused or comes back from the chain.
#[derive(Debug, Default)]
pub(super) struct Ends {
    /// They go on as they are.
    pub(super) accepted: Vec<Flows>,
    /// They go to an endpoint.
    pub(super) translated: Vec<(Endpoint, Flows)>,
    /// Whether the source address of any is replaced.
    pub(super) masqueraded: bool,
}
