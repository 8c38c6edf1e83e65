//! The floor of every mode that tracks connections: nat hooks and conntrack, no service.

use schema::{Family, NodeKind};

use super::meaning_of;
use crate::HarnessError;
use crate::datapath::steps::Restore;
use crate::datapath::{
    Batch, Datapath, Engine, Inspect, Inventory, KubeProxy, ModeFacts, RenderOptions, Sockets,
    Transport,
};
use crate::relation::Relation;
use crate::remedy::Lack;
use crate::service::Population;
use crate::xtables::tables::Tables;
use crate::xtables::{Hook, foreign, tool};

/// The floor of every mode that tracks connections.
#[derive(Debug, Clone, Copy)]
pub struct Conntrack {
    family: Family,
    pub(super) engine: Engine,
}

/// An empty nat table registers its hooks; a MASQUERADE rule, even in a chain that nothing reaches,
/// makes the kernel track connections (`net/netfilter/xt_MASQUERADE.c`, `nf_ct_netns_get`).
const RULES: &str = "*nat\n:BENCH-FLOOR - [0:0]\n-A BENCH-FLOOR -j MASQUERADE\nCOMMIT\n";

/// Of the nft engine a hook is there once its chain is named.
const NFT_RULES: &str = "*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n:BENCH-FLOOR - [0:0]\n-A BENCH-FLOOR -j MASQUERADE\nCOMMIT\n";

impl Conntrack {
    /// Of a family, through the legacy engine.
    #[must_use]
    pub const fn of(family: Family) -> Self {
        let engine = Engine::Legacy;
        Self { family, engine }
    }

    /// Through that engine.
    #[must_use]
    pub const fn through(self, engine: Engine) -> Self {
        Self { engine, ..self }
    }

    const fn rules(self) -> &'static str {
        match self.engine {
            Engine::Legacy => RULES,
            Engine::Nft => NFT_RULES,
        }
    }

    const fn tool(self) -> &'static str {
        tool::prefix_of(self.engine, self.family)
    }
}

impl Datapath for Conntrack {
    fn facts(&self) -> &'static ModeFacts {
        super::facts::floor(self.engine, self.family)
    }

    fn probe(&self, _transport: Transport) -> Result<(), Lack> {
        tool::restore(self.tool(), &["-w", "5", "--noflush"], self.rules())
            .map_err(|e| tool::lack(self.engine, self.family, &e))
    }

    fn fit(&mut self) {
        self.engine = tool::engine_here(self.family);
    }

    fn render(
        &self,
        from: Option<&Population>,
        _to: &Population,
        _options: &RenderOptions,
    ) -> Batch {
        // A chain and a rule.
        let operations = 2;
        let first = from.is_none();
        Batch::of(first.then(|| Restore::of_text(self.tool(), self.rules(), operations)))
    }

    fn census(&self) -> Result<Relation, HarnessError> {
        foreign::no_other(self.engine, NodeKind::single(self.family))?;
        let tables = tool::listed(self.tool())?;
        // A rule that no service needs would be paid for by every packet of the floor.
        if tables.rules() + tables.own_chains() > 0 {
            let wanted = Tables::of(self.rules());
            let compared = tables.are_as(&wanted, |_, _| false);
            compared.map_err(HarnessError::listing("conntrack floor"))?;
        }
        meaning_of(&tables)
    }

    fn teardown(&self, sockets: &mut Sockets) -> Vec<HarnessError> {
        foreign::remove(self.engine, self.family, &["filter", "nat"], sockets)
    }
}

impl KubeProxy for Conntrack {}

impl Inspect for Conntrack {
    fn leftovers(&self) -> Result<Option<String>, HarnessError> {
        foreign::leftovers(self.engine, NodeKind::single(self.family))
    }

    fn inventory(&self) -> Result<Inventory, HarnessError> {
        Ok(tool::listed(self.tool())?.inventory())
    }

    fn nat_counters(&self) -> Result<Option<u64>, HarnessError> {
        let (policy, _) = tool::nat_counters(self.engine, self.family, Hook::Prerouting)?;
        Ok(Some(policy))
    }

    fn output_counters(&self) -> Result<Option<u64>, HarnessError> {
        let (policy, _) = tool::nat_counters(self.engine, self.family, Hook::Output)?;
        Ok(Some(policy))
    }
}
