//! iptables as kube-proxy programs it: one `iptables-restore --noflush` transaction an update, with
//! KUBE-SERVICES and the shared chains in full and only the chains of changed services; through either
//! engine. Transport `exec` makes the same rules with one process each.
//!
//! The law of size (tested) is in the modes' facts.

mod damage;
mod exec;
pub(super) mod facts;
mod floor;
pub(super) mod layout;
pub(super) mod layout_check;
#[cfg(test)]
mod meaning;
mod restore;
pub(super) mod services;

#[cfg(test)]
mod golden;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod types;

use super::{
    Batch, Datapath, Engine, Inspect, Inventory, KubeProxy, KubeProxySync, LONGEST_INTERVAL_S,
    ModeFacts, Periodic, RenderOptions, SYNC_PERIOD_S, Sockets, Stale, SyncKind, Transport, Work,
    first_rule_packets, trial,
};
use crate::datapath::steps::Accounts;
use crate::relation::Relation;
use crate::remedy::Lack;
use crate::service::{Frontend, Population};
use crate::xtables::tables::Tables;
use crate::xtables::{Hook, RestoreText, foreign, tool, trace, way};
use crate::{HarnessError, accounts};
pub(super) use damage::stray_rule;
pub use floor::Conntrack;
use schema::{Family, KubeProxyVersion, NodeKind, Stack};
pub(super) use services::service_chain;

/// More endpoints than this are a large cluster (`largeClusterEndpointsThreshold`).
pub const LARGE_CLUSTER: usize = 1_000;

/// The iptables modes.
#[derive(Debug, Clone, Copy)]
pub struct Iptables {
    pub(super) engine: Engine,
    pub(super) family: Family,
    stack: Stack,
    /// Whether rules name the counters of [`crate::accounts`].
    accounts: bool,
}

impl Iptables {
    /// Through the tools of an engine, for services of a family.
    #[must_use]
    pub const fn of(engine: Engine, family: Family) -> Self {
        Self {
            engine,
            family,
            stack: Stack::Single,
            accounts: false,
        }
    }

    /// Through `iptables-nft-restore`.
    #[must_use]
    pub const fn nft() -> Self {
        Self::of(Engine::Nft, Family::Ipv4)
    }

    /// Through `iptables-legacy-restore`.
    #[must_use]
    pub const fn legacy() -> Self {
        Self::of(Engine::Legacy, Family::Ipv4)
    }

    /// On a node of so many families.
    #[must_use]
    pub const fn on(self, stack: Stack) -> Self {
        Self { stack, ..self }
    }

    /// As laid out where the kernel has nfnetlink_acct.
    #[must_use]
    pub const fn with_accounts(self) -> Self {
        Self {
            accounts: true,
            ..self
        }
    }

    /// An empty restore input.
    fn text(self, large_cluster: bool) -> RestoreText {
        let mut text = RestoreText::new(self.family, large_cluster);
        text.accounts = self.accounts;
        text
    }

    const fn node(self) -> NodeKind {
        NodeKind {
            stack: self.stack,
            family: self.family,
        }
    }

    const fn tool(self) -> &'static str {
        tool::prefix_of(self.engine, self.family)
    }
}

fn meaning_of(tables: &Tables) -> Result<Relation, HarnessError> {
    trace::relation(tables).map_err(HarnessError::listing("iptables rules"))
}

impl Datapath for Iptables {
    fn facts(&self) -> &'static ModeFacts {
        facts::over(self.engine, self.family)
    }

    fn probe(&self, transport: Transport) -> Result<(), Lack> {
        let options = RenderOptions {
            large_cluster: false,
            ..RenderOptions::by(transport)
        };
        let explained = |error: &HarnessError| tool::lack(self.engine, self.family, error);
        let population = trial::probe_population_of(self.family);
        trial::attempt(self, &population, &options, explained)?;
        match self.engine {
            Engine::Legacy => Ok(()),
            Engine::Nft => trial::accepted(self, explained),
        }
    }

    /// `from: None`: jumps, shared chains and all services, `chunk` services a transaction. Otherwise
    /// kube-proxy's partial sync (≥ 1.28), or with `resync` its full sync. `exec` has no transactions to
    /// divide. Stale chains are left to a later sync in large clusters alone, and by no process a rule.
    fn render(&self, from: Option<&Population>, to: &Population, options: &RenderOptions) -> Batch {
        let leaves = options.large_cluster && options.transport != Transport::Exec;
        if options.stale == Stale::Collected && !leaves {
            return Batch::default();
        }
        let mut batch = match (options.transport, from) {
            (Transport::Exec, None) => Batch::of(Some(exec::install(*self, to, options))),
            (Transport::Exec, Some(from)) => {
                Batch::of(Some(exec::update(*self, from, to, options)))
            }
            (_, None) => restore::install(*self, to, options),
            (_, Some(from)) => Batch::of(Some(restore::update(*self, from, to, options))),
        };
        if self.accounts && from.is_none() {
            batch.steps.insert(0, Box::new(Accounts));
        }
        batch
    }

    fn fit(&mut self) {
        self.accounts = accounts::available();
    }

    fn census(&self) -> Result<Relation, HarnessError> {
        Ok(self.census_in_order()?.0)
    }

    fn census_in_order(&self) -> Result<(Relation, Option<Vec<Frontend>>), HarnessError> {
        foreign::no_other(self.engine, self.node())?;
        let tables = tool::listed(self.tool())?;
        let complete = layout_check::complete(&tables, *self);
        complete.map_err(HarnessError::listing("iptables layout"))?;
        let relation = way::relation_beside(&tables, &[], &layout_check::external(&tables));
        let relation = relation.map_err(HarnessError::listing("iptables rules"))?;
        Ok((relation, Some(layout_check::walked(&tables, self.family))))
    }

    fn teardown(&self, sockets: &mut Sockets) -> Vec<HarnessError> {
        let tables = ["mangle", "filter", "nat"];
        foreign::remove(self.engine, self.family, &tables, sockets)
    }
}

impl KubeProxy for Iptables {
    /// In `(*Proxier).syncProxyRules`: one restore, and before it `iptables-save -t nat` (`SaveInto`) to find stale
    /// chains, in large clusters once per `syncPeriod` only. A full one asks before that whether jumps are there
    /// ([`layout::questions`]). The tool's version is asked once at the start.
    fn kube_proxy_sync(&self, sync: SyncKind, large_cluster: bool) -> Option<KubeProxySync> {
        let save = [&format!("{}-save", self.tool()), "-t", "nat"].map(str::to_owned);
        let saves = sync != SyncKind::Partial || !large_cluster;
        Some(KubeProxySync {
            version: KubeProxyVersion::default(),
            transport: Transport::Restore,
            read_back: saves.then(|| save.to_vec()).into_iter().collect(),
            sockets: &[],
        })
    }

    fn ask_as_kube_proxy(
        &self,
        _from: &Population,
        sync: SyncKind,
        _options: &RenderOptions,
        _sockets: &mut Sockets,
    ) -> Result<u64, HarnessError> {
        let questions = layout::questions(self.family).iter();
        for (words, found) in questions.filter(|_| sync.is_full()) {
            if tool::ask(self.tool(), words)? != *found {
                let why = format!("{} finds no such chain or jump", words.join(" "));
                return Err(HarnessError::listing("a full sync")(why));
            }
        }
        match self.accounts && sync.is_full() {
            true => accounts::make(),
            false => Ok(0),
        }
    }

    /// Every syncPeriod it asks for the canary of table mangle (`Monitor` in pkg/util/iptables/iptables.go). After an hour
    /// without a sync it makes one: of everything from 1.33 on, and from 1.36 on in small clusters alone (`doFullSync`).
    fn periodic(&self, version: KubeProxyVersion, large_cluster: bool) -> Vec<Periodic> {
        let canary = [self.tool(), "-w", "5", "-S", layout::CANARY, "-t", "mangle"];
        let poll = Periodic {
            every_s: SYNC_PERIOD_S,
            work: Work::Asks(vec![canary.map(str::to_owned).to_vec()]),
        };
        let full = match version {
            KubeProxyVersion::V1_32 => false,
            KubeProxyVersion::V1_33 | KubeProxyVersion::V1_34 | KubeProxyVersion::V1_35 => true,
            KubeProxyVersion::V1_36 | KubeProxyVersion::V1_37 => !large_cluster,
        };
        let sync = Periodic {
            every_s: LONGEST_INTERVAL_S,
            work: Work::Syncs(if full { SyncKind::Full } else { SyncKind::Late }),
        };
        vec![poll, sync]
    }

    fn traced(&self, wanted: &[Frontend]) -> Option<Result<Relation, HarnessError>> {
        let meaning = || {
            foreign::no_other(self.engine, self.node())?;
            let tables = tool::listed(self.tool())?;
            let external = layout_check::external(&tables);
            let relation = way::relation_beside(&tables, wanted, &external);
            relation.map_err(HarnessError::listing("iptables rules"))
        };
        Some(meaning())
    }
}

impl Inspect for Iptables {
    fn leftovers(&self) -> Result<Option<String>, HarnessError> {
        foreign::leftovers(self.engine, self.node())
    }

    fn inventory(&self) -> Result<Inventory, HarnessError> {
        Ok(tool::listed(self.tool())?.inventory())
    }

    /// Of the legacy engine: what each table's listing comes to in the kernel. nf_tables states nothing of the
    /// kind.
    fn stated_memory(&self) -> Result<Vec<(String, u64)>, HarnessError> {
        match self.engine {
            Engine::Legacy => foreign::legacy_blobs(self.family),
            Engine::Nft => Ok(Vec::new()),
        }
    }

    fn nat_counters(&self) -> Result<Option<u64>, HarnessError> {
        // Rule 1 of PREROUTING is the jump to KUBE-SERVICES: every first packet crosses it.
        first_rule_packets(self.engine, self.family, Hook::Prerouting)
    }

    fn output_counters(&self) -> Result<Option<u64>, HarnessError> {
        first_rule_packets(self.engine, self.family, Hook::Output)
    }
}
