//! Services found by one hash lookup: an element of a set gives the first packet of a flow a mark, and
//! the mark leads to the service's chain, a nibble a chain.
//!
//! ```text
//! mangle  PREROUTING, OUTPUT  --ctstate NEW → KUBE-SERVICES: SET --map-set KUBE-SERVICE-IPS dst,dst --map-mark
//! nat     KUBE-SERVICES  marked → KUBE-ID → KUBE-ID-0 → KUBE-ID-02 → KUBE-ID-027 → KUBE-SVC-… → KUBE-SEP-…
//! ```
//!
//! Constructed: there is no such kube-proxy mode. From KUBE-SVC-… on, in masquerading and in table filter
//! the rules are those of kube-proxy's iptables mode, so that only the search for a service differs:
//! at most 64 rules in four chains, and 16 more services in one leaf chain cost 16 rules at the most.
//! Rules go through either x_tables engine, sets through libipset or `ipset restore`; for services of IPv6 the set is of
//! its addresses, and all else is the same.

#[cfg(test)]
mod commands;
mod damage;
pub(super) mod facts;
mod ids;
#[cfg(test)]
mod kernel;
mod layout;
mod sync;
#[cfg(test)]
mod tests;
mod trace;

use ipset_sys::Set;
use schema::{Family, NodeKind, Stack};

use super::steps;
use super::{
    Batch, Datapath, Engine, Inspect, Inventory, KubeProxy, ModeFacts, RenderOptions, Sockets,
    Stale, Transport, first_rule_packets, trial,
};
use crate::HarnessError;
use crate::relation::Relation;
use crate::remedy::Lack;
use crate::service::Population;
use crate::xtables::tables::Tables;
use crate::xtables::{Hook, foreign, tool};
pub use ids::MOST_SERVICES;

/// The ipset mode.
#[derive(Debug, Clone, Copy)]
pub struct Ipset {
    engine: Engine,
    family: Family,
    stack: Stack,
}

impl Ipset {
    /// With the x_tables engine below its iptables rules, for services of a family.
    #[must_use]
    pub const fn new(engine: Engine, family: Family) -> Self {
        Self {
            engine,
            family,
            stack: Stack::Single,
        }
    }

    /// On a node of so many families.
    #[must_use]
    pub const fn on(self, stack: Stack) -> Self {
        Self { stack, ..self }
    }

    const fn node(self) -> NodeKind {
        NodeKind {
            stack: self.stack,
            family: self.family,
        }
    }

    /// Prefix of the iptables tools.
    const fn tool(self) -> &'static str {
        tool::prefix_of(self.engine, self.family)
    }

    /// What the kernel lists: tables through the tool, sets through libipset.
    fn listed(self) -> Result<(Tables, Vec<Set>), HarnessError> {
        Ok((tool::listed(self.tool())?, self.sets()?))
    }

    /// Every set but those of a dual-stack node for the other family.
    fn sets(self) -> Result<Vec<Set>, HarnessError> {
        let mut sets = steps::listed_sets()?;
        if let Some(beside) = self.node().beside() {
            sets.retain(|set| !layout::is_of(&set.name, beside));
        }
        Ok(sets)
    }
}

impl Datapath for Ipset {
    fn facts(&self) -> &'static ModeFacts {
        facts::over(self.engine, self.family)
    }

    fn probe(&self, transport: Transport) -> Result<(), Lack> {
        let options = RenderOptions {
            untimed: true,
            ..RenderOptions::by(transport)
        };
        let population = trial::population_of(self.facts());
        trial::attempt(self, &population, &options, |error| {
            trial::with_sets(self.engine, self.family, error)
        })
    }

    fn no_layout(&self, population: &Population) -> Option<&'static str> {
        population.services.iter().find_map(layout::unsupported)
    }

    fn render(&self, from: Option<&Population>, to: &Population, options: &RenderOptions) -> Batch {
        match options.stale {
            // It leaves nothing.
            Stale::Collected => Batch::default(),
            _ => sync::render(*self, from, to, options),
        }
    }

    fn census(&self) -> Result<Relation, HarnessError> {
        foreign::no_other(self.engine, self.node())?;
        let (tables, sets) = self.listed()?;
        let relation = trace::relation(&tables, &sets, self.family);
        relation.map_err(HarnessError::listing("ipset layout"))
    }

    fn teardown(&self, sockets: &mut Sockets) -> Vec<HarnessError> {
        // Mangle goes first: what is no longer marked no longer needs a chain. Sets go last: one that a rule refers
        // to cannot be destroyed.
        let tables = ["mangle", "nat", "filter"];
        let mut errors = foreign::remove(self.engine, self.family, &tables, sockets);
        for name in [layout::set(self.family), layout::new_set(self.family)] {
            let destroyed = steps::destroy(name.to_owned(), sockets);
            errors.extend(destroyed.err().filter(|error| !error.is_not_found()));
        }
        errors
    }
}

impl KubeProxy for Ipset {}

impl Inspect for Ipset {
    fn leftovers(&self) -> Result<Option<String>, HarnessError> {
        if let Some(set) = self.sets()?.first() {
            return Ok(Some(format!("set {}", set.name)));
        }
        foreign::leftovers(self.engine, self.node())
    }

    fn inventory(&self) -> Result<Inventory, HarnessError> {
        let (tables, sets) = self.listed()?;
        Ok(Inventory {
            sets: sets.len() as u64,
            elements: sets.iter().map(|set| set.entries.len() as u64).sum(),
            ..tables.inventory()
        })
    }

    fn stated_memory(&self) -> Result<Vec<(String, u64)>, HarnessError> {
        let mut stated = vec![steps::stated(&self.sets()?)];
        if self.engine == Engine::Legacy {
            stated.extend(foreign::legacy_blobs(self.family)?);
        }
        Ok(stated)
    }

    fn nat_counters(&self) -> Result<Option<u64>, HarnessError> {
        // Rule 1 of PREROUTING is the jump to KUBE-SERVICES: every first packet crosses it.
        first_rule_packets(self.engine, self.family, Hook::Prerouting)
    }

    fn output_counters(&self) -> Result<Option<u64>, HarnessError> {
        first_rule_packets(self.engine, self.family, Hook::Output)
    }
}
