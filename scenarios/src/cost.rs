//! How long operations are expected to take, nanoseconds: for the plan that is printed before a run and
//! for the time left. The coefficients are facts of the modes; a result never depends on them.

use netns_harness::datapath::{Expected, Transport, facts};
use schema::Mode;

/// N services of E endpoints each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Services, N.
    pub services: u32,
    /// Endpoints of each, E.
    pub endpoints: u32,
}

impl Size {
    fn of(self, expected: Expected) -> u64 {
        expected.at(self.services, self.endpoints)
    }
}

/// Installing and proving a population the fastest way.
#[must_use]
pub fn preparation_ns(mode: Mode, size: Size) -> u64 {
    const PROOF: u64 = 150_000_000;
    PROOF + size.of(facts(mode).cost.preparation)
}

/// One install from nothing, in one transaction or in chunks.
#[must_use]
pub fn install_ns(mode: Mode, transport: Transport, one_transaction: bool, size: Size) -> u64 {
    let way = facts(mode).by(transport);
    let in_chunks = way.in_chunks.filter(|_| !one_transaction);
    size.of(in_chunks.unwrap_or(way.install))
}

/// One update of a few services at size N.
#[must_use]
pub fn update_ns(mode: Mode, transport: Transport, size: Size) -> u64 {
    size.of(facts(mode).by(transport).update)
}

/// What kube-proxy reads back before an update.
#[must_use]
pub fn read_back_ns(mode: Mode, size: Size) -> u64 {
    size.of(facts(mode).cost.read_back)
}

/// One listing of everything, parsed.
#[must_use]
pub fn listing_ns(mode: Mode, size: Size) -> u64 {
    size.of(facts(mode).cost.listing)
}

/// Reading the counters of a mode's rules, before flows and after them.
#[must_use]
pub fn counters_ns(mode: Mode, size: Size) -> u64 {
    size.of(facts(mode).cost.counters)
}
