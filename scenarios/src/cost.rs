//! How long operations are expected to take, nanoseconds, or instructions where those are counted (one a nanosecond where
//! their number is not known): for the plan that is printed before a run and
//! for the time left. The coefficients are facts of the modes; a result never depends on them.

use netns_harness::datapath::{Expected, Transport, facts};
use schema::Mode;

/// What scenarios are asked of: a mode as it is programmed, with N services of E endpoints each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// The mode.
    pub mode: Mode,
    /// How updates reach the kernel.
    pub transport: Transport,
    /// Services, N.
    pub services: u32,
    /// Endpoints of each, E.
    pub endpoints: u32,
    /// Whether instructions are asked for.
    pub counted: bool,
}

/// What proofs of a cell take that has a census of its own.
pub(crate) const PROOF_NS: u64 = 300_000_000;

impl Asked {
    fn takes(self, expected: Expected) -> u64 {
        expected.at(self.services, self.endpoints)
    }

    /// Installing and proving a population the fastest way.
    #[must_use]
    pub fn preparation_ns(self) -> u64 {
        const PREPARED: u64 = 100_000_000;
        let cost = facts(self.mode).cost;
        PREPARED
            + match self.counted {
                true => self.takes(cost.counted.install) + self.listing_ns(),
                false => self.takes(cost.preparation),
            }
    }

    /// One install from nothing, in one transaction or in chunks.
    pub(crate) fn install_ns(self, one_transaction: bool) -> u64 {
        let way = facts(self.mode).by(self.transport);
        let in_chunks = way.in_chunks.filter(|_| !one_transaction);
        let own_ns = self.takes(in_chunks.unwrap_or(way.install));
        if !self.counted || !self.is_ordinary() {
            return own_ns;
        }
        let cost = facts(self.mode).cost.counted;
        let counted = self.takes(cost.install);
        // Up to so many services one transaction counts as chunks do.
        const ALIKE: u32 = 1_000;
        let beyond = u64::from(self.services.saturating_sub(ALIKE));
        match one_transaction {
            true => counted + cost.one_squared * beyond * beyond,
            false => counted,
        }
    }

    /// Whether its updates go the way whose instructions are known; those of another are taken for one a nanosecond.
    fn is_ordinary(self) -> bool {
        self.transport == facts(self.mode).transports[0].transport
    }

    /// One update of a few services at size N.
    pub(crate) fn update_ns(self) -> u64 {
        let facts = facts(self.mode);
        match self.counted && self.is_ordinary() {
            true => self.takes(facts.cost.counted.update),
            false => self.takes(facts.by(self.transport).update),
        }
    }

    /// kube-proxy's sync of such an update, where instructions are counted and its syncs are.
    pub(crate) fn sync_ns(self) -> u64 {
        let facts = facts(self.mode);
        match self.is_ordinary() && self.services <= facts.counted_syncs {
            true => self.takes(facts.cost.counted.sync),
            false => 0,
        }
    }

    /// What kube-proxy reads back before an update.
    pub(crate) fn read_back_ns(self) -> u64 {
        self.takes(facts(self.mode).cost.read_back)
    }

    /// One listing of everything, parsed.
    pub(crate) fn listing_ns(self) -> u64 {
        let cost = facts(self.mode).cost;
        self.takes(match self.counted {
            true => cost.counted.listing,
            false => cost.listing,
        })
    }

    /// Reading the counters of a mode's rules, before flows and after them.
    pub(crate) fn counters_ns(self) -> u64 {
        self.takes(facts(self.mode).cost.counters)
    }
}
