//! Services found by one hash lookup: a set gives a mark, the mark leads to the service's chain.

use schema::Mode;

use super::{
    Applied, Batch, Damage, Datapath, Engine, Inventory, NatCounters, RenderOptions, Transport,
};
use crate::HarnessError;
use crate::relation::Relation;
use crate::service::{Population, Service};

/// The ipset mode.
#[derive(Debug, Clone, Copy)]
pub struct Ipset {
    _engine: Engine,
}

impl Ipset {
    /// With the x_tables engine below its iptables rules.
    #[must_use]
    pub const fn new(engine: Engine) -> Self {
        Self { _engine: engine }
    }
}

impl Datapath for Ipset {
    fn mode(&self) -> Mode {
        Mode::Ipset
    }

    fn transports(&self) -> &'static [Transport] {
        &[Transport::Netlink, Transport::IpsetRestore]
    }

    fn probe(&self, _transport: Transport) -> Result<(), String> {
        Err("mode ipset is not in this version".to_owned())
    }

    fn render(
        &self,
        _from: Option<&Population>,
        _to: &Population,
        _options: &RenderOptions,
    ) -> Batch {
        Batch {
            transactions: Vec::new(),
        }
    }

    fn apply(&self, _batch: &Batch) -> Result<Applied, HarnessError> {
        Ok(Applied::default())
    }

    fn meaning(&self, _batches: &[Batch]) -> Result<Relation, String> {
        Ok(Relation::default())
    }

    fn census(&self) -> Result<Relation, HarnessError> {
        Ok(Relation::default())
    }

    fn leftovers(&self) -> Result<Option<String>, HarnessError> {
        Ok(None)
    }

    fn inventory(&self) -> Result<Inventory, HarnessError> {
        Ok(Inventory::default())
    }

    fn nat_counters(&self) -> Result<NatCounters, HarnessError> {
        Ok(NatCounters::default())
    }

    fn teardown(&self) -> Vec<HarnessError> {
        Vec::new()
    }

    fn damage(&self, _damage: Damage, _a: &Service, _b: &Service) -> Vec<Vec<String>> {
        Vec::new()
    }
}
