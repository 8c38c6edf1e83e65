//! The bare floor: the client talks straight to an endpoint, nothing is installed, and the proof is
//! that nothing is.

use schema::Mode;

use super::{
    Batch, Damage, Datapath, Inventory, NatCounters, RenderOptions, Sockets, Transport, iptables,
};
use crate::HarnessError;
use crate::relation::Relation;
use crate::service::{Population, Service};
use crate::xtables::foreign;

/// Installs nothing.
#[derive(Debug, Clone, Copy)]
pub struct NoDatapath;

impl Datapath for NoDatapath {
    fn mode(&self) -> Mode {
        Mode::None
    }

    fn transports(&self) -> &'static [Transport] {
        &[Transport::Restore]
    }

    fn probe(&self, _transport: Transport) -> Result<(), String> {
        Ok(())
    }

    fn render(
        &self,
        _from: Option<&Population>,
        _to: &Population,
        _options: &RenderOptions,
    ) -> Batch {
        Batch::default()
    }

    fn meaning(&self, _batches: &[Batch]) -> Result<Relation, String> {
        Ok(Relation::default())
    }

    /// Whatever any engine lists: a stray rule must not go unseen in the floor.
    fn census(&self) -> Result<Relation, HarnessError> {
        foreign::anything_installed()
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

    fn teardown(&self, _sockets: &mut Sockets) -> Vec<HarnessError> {
        Vec::new()
    }

    fn damage(&self, _damage: Damage, a: &Service, b: &Service) -> Vec<Vec<String>> {
        iptables::stray_rule(a, b)
    }
}
