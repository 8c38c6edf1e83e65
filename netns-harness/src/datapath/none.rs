//! The bare floor: the client talks straight to an endpoint, nothing is installed, and the proof is
//! that nothing is.

use schema::Mode;

use super::{
    Batch, Breakable, Damage, Datapath, Engine, Inspect, Inventory, KubeProxy, ModeFacts,
    RenderOptions, Sockets, Transport, TransportFacts, iptables,
};
use crate::HarnessError;
use crate::relation::Relation;
use crate::remedy::Lack;
use crate::service::{Population, Service};
use crate::xtables::foreign;

/// Installs nothing.
#[derive(Debug, Clone, Copy)]
pub struct NoDatapath;

/// What is known of it.
pub(super) const FACTS: ModeFacts = ModeFacts {
    tracks: false,
    ..ModeFacts::of(
        Mode::None,
        &[TransportFacts::of(Transport::Restore)],
        |_, _| Box::new(NoDatapath),
    )
};

impl Datapath for NoDatapath {
    fn facts(&self) -> &'static ModeFacts {
        &FACTS
    }

    fn probe(&self, _transport: Transport) -> Result<(), Lack> {
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

    /// Whatever any engine lists: a stray rule must not go unseen in the floor.
    fn census(&self) -> Result<Relation, HarnessError> {
        foreign::anything_installed()
    }

    fn teardown(&self, _sockets: &mut Sockets) -> Vec<HarnessError> {
        Vec::new()
    }
}

impl KubeProxy for NoDatapath {}

impl Inspect for NoDatapath {
    fn leftovers(&self) -> Result<Option<String>, HarnessError> {
        Ok(None)
    }

    fn inventory(&self) -> Result<Inventory, HarnessError> {
        Ok(Inventory::default())
    }

    fn nat_counters(&self) -> Result<Option<u64>, HarnessError> {
        Ok(None)
    }
}

impl Breakable for NoDatapath {
    fn damage(&self, _damage: Damage, a: &Service, b: &Service) -> Vec<Vec<String>> {
        iptables::stray_rule(Engine::Legacy, a, b)
    }
}
