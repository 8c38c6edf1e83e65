//! kube-proxy's ipvs mode, complete as Kubernetes 1.32 to 1.37 lay it out: a virtual server for each service and a
//! masquerading destination for each endpoint, every VIP an address of a dummy device, and beside them the
//! sets and the constant number of iptables rules that masquerade and protect what the VIPs open.
//! Names, comments and order are those of `pkg/proxy/ipvs/proxier.go` and `ipset.go`; what IPv6 has otherwise says
//! `layout.rs`.
//!
//! A packet crosses INPUT's KUBE-IPVS-FILTER before the virtual servers are looked up
//! (`ip_vs_in_hook` at LOCAL_IN), since its VIP is an address of this node.
//!
//! Deviations, each for a reason:
//! - The rules are written again at each of kube-proxy's syncs. They only change with the first service and
//!   the last, so that `update_time` is of single objects; transport `exec` (kube-proxy's way) and
//!   `sync_time` write them each time.
//! - kube-proxy makes chains, jumps and sets with a process each; here they are part of the first batch, but
//!   with transport `exec` the sets, whose entries are then a process each too.
//! - All addresses come before all virtual servers, not each after its own: batches are of one kind.
//! - Sets hold 65,536 entries as kube-proxy's do, unless `raised` says otherwise: then a population that they have no room
//!   for can be measured, which kube-proxy does not serve.
//! - The minute's tick of the `GracefulTerminationManager` does not run, for it would run inside timed acts:
//!   an endpoint that left with connections stays as a destination of weight 0 until it comes back, its
//!   server changes again, or everything is removed.
//! - KUBE-LOOP-BACK is empty where no endpoint is on the lab's node, as kube-proxy would leave it.
//!
//! `large_cluster` and `chunk` change nothing: no rule is a service's, and nothing is a transaction.
//!
//! # Law of size
//! See its facts. N services on N distinct VIPs with E distinct endpoints each.

mod census;
mod damage;
pub(super) mod facts;
#[cfg(test)]
mod kernel;
mod layout;
mod part;
mod probe;
mod removal;
mod services;
mod sync;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod types;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use ipset_sys::Set;
use ipvs_codec::{Connection, Links};
use netns_sys::isolation::read_sysctl;
use schema::{Family, KubeProxyVersion, NodeKind, Stack};

use super::steps;
use super::{
    Batch, Datapath, Engine, Filled, Inspect, Inventory, KubeProxy, KubeProxySync, ModeFacts,
    Periodic, RenderOptions, SYNC_PERIOD_S, Socket, Sockets, Stale, SyncKind, Transport, Work,
    first_rule_packets, trial,
};
use crate::HarnessError;
use crate::relation::Relation;
use crate::remedy::Lack;
use crate::service::{self, Frontend, Population};
use crate::xtables::{Hook, foreign, tool};
use census::State;
pub(super) use layout::{DEVICE, of_links};
use part::Leaving;

/// The ipvs mode.
#[derive(Debug)]
pub struct Ipvs {
    family: Family,
    stack: Stack,
    engine: Engine,
    leaving: Arc<Leaving>,
}

impl Ipvs {
    /// For services of a family, its rules through the legacy engine.
    #[must_use]
    pub fn of(family: Family) -> Self {
        Self {
            family,
            stack: Stack::Single,
            engine: Engine::Legacy,
            leaving: Arc::default(),
        }
    }
}

impl Ipvs {
    /// On a node of so many families.
    #[must_use]
    pub fn on(self, stack: Stack) -> Self {
        Self { stack, ..self }
    }

    /// Its rules through that engine.
    #[must_use]
    pub fn through(self, engine: Engine) -> Self {
        Self { engine, ..self }
    }

    /// Prefix of its iptables tools.
    const fn tool(&self) -> &'static str {
        tool::prefix_of(self.engine, self.family)
    }

    const fn node(&self) -> NodeKind {
        NodeKind {
            stack: self.stack,
            family: self.family,
        }
    }
}

/// A family's virtual servers and destinations; none where the kernel has no IPVS.
fn listed_servers(
    family: Family,
) -> Result<
    Vec<(
        ipvs_codec::ListedService,
        Vec<ipvs_codec::ListedDestination>,
    )>,
    netlink::Error,
> {
    let mut connection = match Connection::open() {
        Err(netlink::Error::Missing { .. }) => return Ok(Vec::new()),
        opened => opened?,
    };
    let services = connection.services()?.into_iter();
    services
        .filter(|listed| service::family(listed.service.id.address) == family)
        .map(|listed| {
            let destinations = connection.destinations(listed.service.id)?;
            Ok((listed, destinations))
        })
        .collect()
}

/// A family's addresses of the device; `None` where there is no device, or on a dual-stack node none of the family's.
fn listed_addresses(node: NodeKind) -> Result<Option<Vec<(IpAddr, u8)>>, netlink::Error> {
    let mut links = Links::open()?;
    if links.device(layout::DEVICE)?.is_none() {
        return Ok(None);
    }
    let own = links.addresses(layout::DEVICE, layout::of_links(node.family))?;
    let of_the_other = node.stack == Stack::Dual && own.is_empty();
    Ok((!of_the_other).then_some(own))
}

/// Every set but those that kube-proxy has on a dual-stack node for the other family.
fn listed_sets(node: NodeKind) -> Result<Vec<Set>, HarnessError> {
    let theirs = node.beside().into_iter().flat_map(layout::sets);
    let theirs: BTreeSet<String> = theirs.map(|(name, _)| name).collect();
    let mut sets = steps::listed_sets()?;
    sets.retain(|set| !theirs.contains(&set.name));
    Ok(sets)
}

/// Everything that the kernel lists of the mode for a family; what a dual-stack node has for the other is left out.
fn listed(ipvs: &Ipvs) -> Result<State, HarnessError> {
    let node = ipvs.node();
    let family = node.family;
    let servers = listed_servers(family).map_err(HarnessError::netlink("list virtual servers"))?;
    let addresses = listed_addresses(node).map_err(HarnessError::netlink("list addresses"))?;
    let others = layout::sysctls().filter_map(|(name, wanted)| {
        let value = read_sysctl(name).unwrap_or_else(|error| error.to_string());
        (value != wanted).then_some((name, value))
    });
    let sets = listed_sets(node)?.into_iter();
    Ok(State {
        family,
        servers,
        addresses,
        sets: sets.map(|set| (set.name.clone(), set)).collect(),
        tables: tool::listed(ipvs.tool())?,
        other_sysctls: others.collect(),
    })
}

impl Datapath for Ipvs {
    fn facts(&self) -> &'static ModeFacts {
        facts::over(self.engine, self.family)
    }

    fn probe(&self, transport: Transport) -> Result<(), Lack> {
        // First of all: without IPVS its sysctls are missing too, and would be blamed.
        Connection::open().map_err(|error| probe::missing(&error))?;
        read_sysctl("net.ipv4.vs.conntrack").map_err(|error| probe::without_conntrack(&error))?;
        let options = RenderOptions {
            untimed: true,
            ..RenderOptions::by(transport)
        };
        let population = trial::population_of(self.facts());
        let explained = |error: &HarnessError| probe::explained(self.engine, self.family, error);
        trial::attempt(self, &population, &options, explained)
    }

    fn fit(&mut self) {
        self.engine = tool::engine_here(self.family);
    }

    fn render(&self, from: Option<&Population>, to: &Population, options: &RenderOptions) -> Batch {
        match options.stale {
            // No rule is a service's: nothing of one is left.
            Stale::Collected => Batch::default(),
            _ => sync::render(self, from, to, options),
        }
    }

    fn fullest(&self, population: &Population) -> Option<Filled> {
        let (set, entries) = services::fullest(population)?;
        Some(Filled {
            set: layout::named(set, self.family),
            entries,
            most: layout::MAX_ELEMENTS as usize,
        })
    }

    fn census(&self) -> Result<Relation, HarnessError> {
        foreign::no_other(self.engine, self.node())?;
        let relation = listed(self)?.relation();
        relation.map_err(HarnessError::listing("ipvs layout"))
    }

    fn teardown(&self, sockets: &mut Sockets) -> Vec<HarnessError> {
        removal::teardown(self, sockets)
    }
}

impl KubeProxy for Ipvs {
    /// One sync (`syncProxyRules`), each of which is a full one, starts a process for each chain and jump that must be
    /// there, for each set that must be, and for each set that it lists; it asks over netlink for each
    /// virtual server twice and for its destinations ([`Part::Look`]), changes what differs with one message
    /// or process an object, and writes all rules. Here are the listings of sets; the rest is in
    /// [`KubeProxy::ask_as_kube_proxy`] and in transport `exec`.
    fn kube_proxy_sync(&self, _sync: SyncKind, _large_cluster: bool) -> Option<KubeProxySync> {
        let list = |(name, _): (String, _)| vec!["ipset".to_owned(), "list".to_owned(), name];
        Some(KubeProxySync {
            version: KubeProxyVersion::default(),
            transport: Transport::Exec,
            read_back: layout::sets(self.family).map(list).collect(),
            sockets: &[Socket::Servers, Socket::Links],
        })
    }

    fn ask_as_kube_proxy(
        &self,
        from: &Population,
        sync: SyncKind,
        options: &RenderOptions,
        sockets: &mut Sockets,
    ) -> Result<u64, HarnessError> {
        let creates = layout::creates(self.family, options.raised);
        removal::ask_as_kube_proxy(self, from, &creates, sync, sockets)
    }

    /// Every syncPeriod the whole sync.
    fn periodic(&self, _version: KubeProxyVersion, _large_cluster: bool) -> Vec<Periodic> {
        vec![Periodic {
            every_s: SYNC_PERIOD_S,
            work: Work::Syncs(SyncKind::Full),
        }]
    }

    fn traced(&self, _wanted: &[Frontend]) -> Option<Result<Relation, HarnessError>> {
        let meaning = || {
            foreign::no_other(self.engine, self.node())?;
            let traced = listed(self)?.traced();
            traced.map_err(HarnessError::listing("virtual servers"))
        };
        Some(meaning())
    }
}

impl Inspect for Ipvs {
    fn leftovers(&self) -> Result<Option<String>, HarnessError> {
        Ok(listed(self)?.leftovers())
    }

    /// Elements are set entries, addresses of the device, virtual servers and destinations: whatever grows
    /// with N, though only the first are elements of a set.
    fn inventory(&self) -> Result<Inventory, HarnessError> {
        let state = listed(self)?;
        let entries: usize = state.sets.values().map(|set| set.entries.len()).sum();
        let destinations: usize = state.servers.iter().map(|(_, all)| all.len()).sum();
        let addresses = state.addresses.as_ref().map_or(0, Vec::len);
        let servers = state.servers.len();
        Ok(Inventory {
            sets: state.sets.len() as u64,
            elements: (entries + servers + destinations + addresses) as u64,
            servers: servers as u64,
            destinations: destinations as u64,
            addresses: addresses as u64,
            ..state.tables.inventory()
        })
    }

    /// IPVS itself states nothing.
    fn stated_memory(&self) -> Result<Vec<(String, u64)>, HarnessError> {
        let mut stated = vec![steps::stated(&listed_sets(self.node())?)];
        if self.engine == Engine::Legacy {
            stated.extend(foreign::legacy_blobs(self.family)?);
        }
        Ok(stated)
    }

    fn nat_counters(&self) -> Result<Option<u64>, HarnessError> {
        // Rule 1 of PREROUTING is the jump to KUBE-SERVICES: every first packet crosses it, on its way to the
        // virtual servers, and no other does while IPVS tells connection tracking of its flows.
        first_rule_packets(self.engine, self.family, Hook::Prerouting)
    }

    /// IPVS sends a packet through the output hooks once more, but one flow is looked up in NAT rules once.
    fn output_counters(&self) -> Result<Option<u64>, HarnessError> {
        first_rule_packets(self.engine, self.family, Hook::Output)
    }
}
