//! A packet tracer over parsed nat tables: where the first packet of a flow goes, with what
//! probability. The relation is what the rules mean, not what they were meant to be.

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;

use schema::Protocol;

use super::rule::{Rule, Target};
use super::tables::{Table, Tables};
use crate::relation::Relation;
use crate::service::{Endpoint, Frontend};

/// Address, port, protocol.
pub(in crate::datapath) type Destination = (Ipv4Addr, u16, Protocol);

/// A client inside the cluster, as the lab's are.
const SOURCE: Ipv4Addr = Ipv4Addr::new(10, 192, 0, 2);
/// The deepest path, mode ipset's, is nine chains; more is a loop.
const MAX_DEPTH: usize = 16;

/// What the nat table does with new flows, from a client and from the node itself.
///
/// # Errors
/// A rule on a service's path that is not understood, a missing chain, or a flow whose treatment
/// depends on where it comes from.
pub(in crate::datapath) fn relation(tables: &Tables) -> Result<Relation, String> {
    let Some(nat) = tables.0.get("nat") else {
        return Ok(Relation::default());
    };
    let index = Index::new(nat);
    let mut relation = Relation::default();
    for destination in index.destinations() {
        let forwarded = index.trace("PREROUTING", destination, 0)?;
        let local = index.trace("OUTPUT", destination, 0)?;
        let (vip, port, protocol) = destination;
        let frontend = Frontend {
            vip,
            port,
            protocol,
        };
        if forwarded != local {
            return Err(format!(
                "{frontend} is treated differently in PREROUTING and in OUTPUT"
            ));
        }
        if !forwarded.is_empty() {
            relation.0.insert(frontend, forwarded);
        }
    }
    Ok(relation)
}

/// A first packet, as far as rules look at it.
#[derive(Debug, Clone, Copy)]
struct Packet {
    to: Destination,
    mark: u32,
}

/// A chain with its rules found by exact destination: a list of 10,000 is not walked 10,000 times.
struct Indexed<'a> {
    rules: &'a [Rule],
    exact: HashMap<Destination, Vec<usize>>,
    general: Vec<usize>,
}

/// A nat table in which packets are traced.
pub(in crate::datapath) struct Index<'a> {
    chains: HashMap<&'a str, Indexed<'a>>,
}

impl<'a> Index<'a> {
    pub(in crate::datapath) fn new(table: &'a Table) -> Self {
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
    fn destinations(&self) -> std::collections::BTreeSet<Destination> {
        self.chains
            .values()
            .flat_map(|c| c.exact.keys().copied())
            .collect()
    }

    /// Where new flows to a destination go that reach `chain` with `mark`, and their shares.
    ///
    /// # Errors
    /// A rule on the way that is not understood, or a missing chain.
    pub(in crate::datapath) fn trace(
        &self,
        chain: &str,
        to: Destination,
        mark: u32,
    ) -> Result<BTreeMap<Endpoint, f64>, String> {
        let mut shares = BTreeMap::new();
        self.walk(chain, Packet { to, mark }, 1.0, 0, &mut shares)?;
        Ok(shares)
    }

    /// Adds where `mass` of the flows goes; returns the mass that comes back from the chain.
    fn walk(
        &self,
        chain: &str,
        packet: Packet,
        mass: f64,
        depth: usize,
        shares: &mut BTreeMap<Endpoint, f64>,
    ) -> Result<f64, String> {
        let indexed = self
            .chains
            .get(chain)
            .ok_or_else(|| format!("no chain {chain}"))?;
        if depth > MAX_DEPTH {
            return Err(format!("chain {chain} is deeper than {MAX_DEPTH} jumps"));
        }
        let exact = indexed.exact.get(&packet.to).map_or(&[][..], Vec::as_slice);
        let mut order: Vec<usize> = exact.iter().chain(&indexed.general).copied().collect();
        order.sort_unstable();
        let (mut left, mut returned) = (mass, 0.0);
        for rule in order.into_iter().map(|i| &indexed.rules[i]) {
            if let Some(word) = rule.unknown.first() {
                return Err(format!("chain {chain}: '{word}' is not understood"));
            }
            if left <= 0.0 || !rule.matches(SOURCE, packet.to, packet.mark) {
                continue;
            }
            let taken = left * rule.probability.unwrap_or(1.0);
            let back = match &rule.target {
                Target::None | Target::Mark | Target::Masquerade => taken,
                Target::Jump(next) => self.walk(next, packet, taken, depth + 1, shares)?,
                Target::Goto(next) => {
                    returned += self.walk(next, packet, taken, depth + 1, shares)?;
                    0.0
                }
                Target::Return => {
                    returned += taken;
                    0.0
                }
                Target::Accept | Target::Refuse => 0.0,
                // xt_set takes it in table mangle only (`set_target_v3_checkentry`).
                Target::MapMark(set) => {
                    return Err(format!(
                        "chain {chain}: a mark from set {set} outside of mangle"
                    ));
                }
                Target::Dnat(endpoint) => {
                    *shares.entry(*endpoint).or_insert(0.0) += taken;
                    0.0
                }
            };
            left = left - taken + back;
        }
        Ok(returned + left)
    }
}
