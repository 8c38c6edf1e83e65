//! How long operations are expected to take, nanoseconds: for the plan that is printed before a run and
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
}

impl Asked {
    fn takes(self, expected: Expected) -> u64 {
        expected.at(self.services, self.endpoints)
    }

    /// Installing and proving a population the fastest way.
    #[must_use]
    pub fn preparation_ns(self) -> u64 {
        const PROOF: u64 = 150_000_000;
        PROOF + self.takes(facts(self.mode).cost.preparation)
    }

    /// One install from nothing, in one transaction or in chunks.
    pub(crate) fn install_ns(self, one_transaction: bool) -> u64 {
        let way = facts(self.mode).by(self.transport);
        let in_chunks = way.in_chunks.filter(|_| !one_transaction);
        self.takes(in_chunks.unwrap_or(way.install))
    }

    /// One update of a few services at size N.
    pub(crate) fn update_ns(self) -> u64 {
        self.takes(facts(self.mode).by(self.transport).update)
    }

    /// What kube-proxy reads back before an update.
    pub(crate) fn read_back_ns(self) -> u64 {
        self.takes(facts(self.mode).cost.read_back)
    }

    /// One listing of everything, parsed.
    pub(crate) fn listing_ns(self) -> u64 {
        self.takes(facts(self.mode).cost.listing)
    }

    /// Reading the counters of a mode's rules, before flows and after them.
    pub(crate) fn counters_ns(self) -> u64 {
        self.takes(facts(self.mode).cost.counters)
    }
}
