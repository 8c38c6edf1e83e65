//! iptables as kube-proxy programs it: one `iptables-restore --noflush` transaction an update, with
//! KUBE-SERVICES and the shared chains in full and only the chains of changed services; through either
//! engine. Transport `exec` makes the same rules with one process each.
//!
//! The law of size (tested) is in [`LAW`].

mod damage;
mod exec;
mod floor;
pub(super) mod layout;
pub(super) mod layout_check;
mod restore;

#[cfg(test)]
mod tests;

use schema::Mode;

use super::{
    Batch, Damage, Datapath, Engine, Inventory, KubeProxySync, NatCounters, RenderOptions, Socket,
    Sockets, Transport, trial,
};
use crate::HarnessError;
use crate::relation::Relation;
use crate::service::{Frontend, Population, Service};
use crate::xtables::tables::Tables;
use crate::xtables::{foreign, tool, trace};
pub(super) use damage::stray_rule;
pub use floor::Conntrack;
pub use layout::{chain_count, endpoint_chain, rule_count, service_chain};

/// The law of size, in large-cluster layout: N services, E endpoints.
pub const LAW: &[(&str, &str)] = &[
    ("rules", "20 + N·(2 + 3·E)"),
    ("chains", "9 + N·(1 + E)"),
    ("operations of a cold install", "29 + N·(3 + 4·E)"),
    ("operations of a resync", "17 + N·(3 + 4·E)"),
    ("operations of a service-add", "17 + (N + 1) + 2 + 4·E"),
    (
        "bytes of a service-add",
        "972 + Σ over N + 1 services of (108 + characters of name, VIP and port) + bytes of the new service's chains, which do not depend on N",
    ),
    (
        "processes of a cold install, transport exec",
        "29 + N·(3 + 4·E)",
    ),
    (
        "processes of a service-add, transport exec",
        "3 + 4·E: E + 1 chains, 2 + 3·E rules",
    ),
    (
        "processes of a service-remove, transport exec",
        "1 + 2·(1 + E): its portal, then each chain emptied and deleted",
    ),
];

/// Services a transaction that `iptables-nft-restore` loads fastest, within 200 to 700. For each line the
/// tool walks a sorted list of the chains that the transaction names (`cache_chain_list_insert`, iptables
/// 1.8.9), which grows with the square of the chunk; the kernel walks the whole table once a commit
/// (`nft_table_validate`), which grows with the number of chunks.
const PREPARATION_CHUNK: usize = 500;

/// The kube-proxy version whose `pkg/proxy/iptables/proxier.go` was read.
const KUBE_PROXY: &str = "1.34";
/// More endpoints than this are a large cluster (`largeClusterEndpointsThreshold`).
const LARGE_CLUSTER: usize = 1_000;

/// The iptables modes.
#[derive(Debug, Clone, Copy)]
pub struct Iptables {
    engine: Engine,
}

impl Iptables {
    /// Through `iptables-nft-restore`.
    #[must_use]
    pub const fn nft() -> Self {
        Self {
            engine: Engine::Nft,
        }
    }

    /// Through `iptables-legacy-restore`.
    #[must_use]
    pub const fn legacy() -> Self {
        Self {
            engine: Engine::Legacy,
        }
    }

    const fn tool(self) -> &'static str {
        tool::prefix(self.engine)
    }

    /// A transaction as large as those of a preparation: iptables-nft sends one in a single netlink
    /// message, which must fit into its socket's buffer.
    fn try_a_large_transaction(self) -> Result<(), String> {
        let options = RenderOptions {
            untimed: true,
            ..RenderOptions::by(Transport::Restore)
        };
        let population = trial::larger_population(PREPARATION_CHUNK as u32);
        let tried = self.carry_out(&self.render(None, &population, &options));
        let removed = self.remove();
        tried.map_err(|error| tool::remedy(self.tool(), &error))?;
        trial::is_removed(&removed)
    }
}

/// Bytes of a service's line in KUBE-SERVICES in large-cluster layout, newline included.
#[must_use]
pub fn portal_bytes(service: &Service) -> usize {
    // With the names of the service, the VIP and the port between.
    const FIXED: usize = "-A KUBE-SERVICES -m comment --comment \" cluster IP\" -m tcp -p tcp -d  --dport  -j KUBE-SVC-0123456789ABCDEF\n".len();
    FIXED
        + service.port_name().len()
        + service.frontend.vip.to_string().len()
        + service.frontend.port.to_string().len()
}

fn meaning_of(tables: &Tables) -> Result<Relation, HarnessError> {
    trace::relation(tables).map_err(|text| HarnessError::Listing {
        what: "iptables rules",
        text,
    })
}

impl Datapath for Iptables {
    fn mode(&self) -> Mode {
        match self.engine {
            Engine::Legacy => Mode::IptablesLegacy,
            Engine::Nft => Mode::IptablesNft,
        }
    }

    fn transports(&self) -> &'static [Transport] {
        &[Transport::Restore, Transport::Exec]
    }

    fn preparation_chunk(&self) -> Option<usize> {
        match self.engine {
            Engine::Legacy => None,
            Engine::Nft => Some(PREPARATION_CHUNK),
        }
    }

    fn law_of_size(&self) -> &'static [(&'static str, &'static str)] {
        LAW
    }

    fn probe(&self, transport: Transport) -> Result<(), String> {
        let options = RenderOptions {
            large_cluster: false,
            ..RenderOptions::by(transport)
        };
        trial::attempt(self, &trial::probe_population(), &options, |error| {
            tool::remedy(self.tool(), error)
        })?;
        match self.engine {
            Engine::Legacy => Ok(()),
            Engine::Nft => self.try_a_large_transaction(),
        }
    }

    /// `from: None`: jumps, shared chains and all services, `chunk` services a transaction. Otherwise
    /// kube-proxy's partial sync (≥ 1.28), or with `resync` its full sync. `exec` has no transactions to
    /// divide.
    fn render(&self, from: Option<&Population>, to: &Population, options: &RenderOptions) -> Batch {
        match (options.transport, from) {
            (Transport::Exec, None) => Batch::of(Some(exec::install(self.tool(), to, options))),
            (Transport::Exec, Some(from)) => {
                Batch::of(Some(exec::update(self.tool(), from, to, options)))
            }
            (_, None) => restore::install(self.tool(), to, options),
            (_, Some(from)) => Batch::of(Some(restore::update(self.tool(), from, to, options))),
        }
    }

    fn meaning(&self, batches: &[Batch]) -> Result<Relation, String> {
        restore::meaning(batches)
    }

    fn census(&self) -> Result<Relation, HarnessError> {
        foreign::no_other(self.engine)?;
        let tables = tool::listed(self.tool())?;
        layout_check::complete(&tables).map_err(|text| HarnessError::Listing {
            what: "iptables layout",
            text,
        })?;
        meaning_of(&tables)
    }

    fn order(&self) -> Result<Option<Vec<Frontend>>, HarnessError> {
        Ok(Some(layout_check::portals(&tool::listed(self.tool())?)))
    }

    fn leftovers(&self) -> Result<Option<String>, HarnessError> {
        foreign::leftovers(self.engine)
    }

    /// A partial sync, in `(*Proxier).syncProxyRules` of kube-proxy 1.34: one restore, and before it, up to
    /// 1,000 endpoints, `iptables-save -t nat` (`SaveInto`) to find stale chains. In larger clusters that is
    /// done once per `syncPeriod` only. Jumps (`EnsureChain`, `EnsureRule`) belong to full syncs, the tool's
    /// version is asked once at the start, and connection tracking is cleaned over netlink.
    fn kube_proxy_sync(&self, to: &Population) -> Option<KubeProxySync> {
        let endpoints: usize = to.services.iter().map(|s| s.endpoints.len()).sum();
        let save = [&format!("{}-save", self.tool()), "-t", "nat"].map(str::to_owned);
        Some(KubeProxySync {
            version: KUBE_PROXY,
            transport: Transport::Restore,
            read_back: (endpoints <= LARGE_CLUSTER)
                .then(|| save.to_vec())
                .into_iter()
                .collect(),
            sockets: &[],
        })
    }

    fn inventory(&self) -> Result<Inventory, HarnessError> {
        Ok(tool::listed(self.tool())?.inventory())
    }

    /// Of the legacy engine: what each table's listing comes to in the kernel. nf_tables states nothing of the
    /// kind.
    fn stated_memory(&self) -> Result<Vec<(String, u64)>, HarnessError> {
        match self.engine {
            Engine::Legacy => foreign::legacy_blobs(),
            Engine::Nft => Ok(Vec::new()),
        }
    }

    fn nat_counters(&self) -> Result<NatCounters, HarnessError> {
        // Rule 1 of PREROUTING is the jump to KUBE-SERVICES: every first packet crosses it.
        Ok(NatCounters {
            entered: Some(tool::prerouting_counters(self.engine)?.1.unwrap_or(0)),
        })
    }

    fn teardown_sockets(&self) -> &'static [Socket] {
        foreign::removal_sockets(self.engine)
    }

    fn teardown(&self, sockets: &mut Sockets) -> Vec<HarnessError> {
        foreign::remove(self.engine, sockets)
    }

    fn damage(&self, damage: Damage, a: &Service, b: &Service) -> Vec<Vec<String>> {
        damage::commands(self.tool(), damage, a, b)
    }
}
