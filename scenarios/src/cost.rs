//! How long operations are expected to take, nanoseconds, or instructions where those are counted: for the plan that is printed before a run and
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

impl Asked {
    fn takes(self, expected: Expected) -> u64 {
        expected.at(self.services, self.endpoints)
    }

    /// Installing and proving a population the fastest way.
    #[must_use]
    pub fn preparation_ns(self) -> u64 {
        const PROOF: u64 = 150_000_000;
        let cost = facts(self.mode).cost;
        PROOF
            + match self.counted {
                true => self.takes(cost.counted.install) + self.listing_ns(),
                false => self.takes(cost.preparation),
            }
    }

    /// What an act takes of instructions: in the ordinary way so many, in this way as many times that as it takes longer.
    fn instructions(self, ordinary: u64, own_ns: u64, ordinary_ns: u64) -> u64 {
        (ordinary as f64 * own_ns as f64 / ordinary_ns.max(1) as f64) as u64
    }

    /// One install from nothing, in one transaction or in chunks.
    pub(crate) fn install_ns(self, one_transaction: bool) -> u64 {
        let way = facts(self.mode).by(self.transport);
        let in_chunks = way.in_chunks.filter(|_| !one_transaction);
        let own_ns = self.takes(in_chunks.unwrap_or(way.install));
        if !self.counted {
            return own_ns;
        }
        let (facts, services) = (facts(self.mode), self.services);
        let ordinary = facts.transports[0];
        let counted = self.takes(facts.cost.counted.install);
        // One of at most a chunk is not told apart.
        let alike = one_transaction && services <= 1_000 && way.transport == ordinary.transport;
        let ordinary_ns = self.takes(ordinary.in_chunks.unwrap_or(ordinary.install));
        match alike {
            true => counted,
            false => self.instructions(counted, own_ns, ordinary_ns),
        }
    }

    /// One update of a few services at size N.
    pub(crate) fn update_ns(self) -> u64 {
        let facts = facts(self.mode);
        let own_ns = self.takes(facts.by(self.transport).update);
        match self.counted {
            true => {
                let ordinary_ns = self.takes(facts.transports[0].update);
                self.instructions(self.takes(facts.cost.counted.update), own_ns, ordinary_ns)
            }
            false => own_ns,
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
