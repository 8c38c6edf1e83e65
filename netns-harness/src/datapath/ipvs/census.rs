//! What listed servers, addresses, sets and rules mean together. Each of them decides whether a service
//! is reached, so whatever is missing, odd or too much is an error, not a guess.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipset_sys::{Entry, Set};
use ipvs_codec::{Forward, ListedDestination, ListedService, Scheduler};
use schema::Family;

use super::layout::{self, BOUND_IPS, CLUSTER_IPS, DEVICE, Rules};
use crate::relation::Relation;
use crate::service::{Cidr, Endpoint, Frontend};
use crate::xtables::rule::is_local;
use crate::xtables::tables::Tables;

/// Everything that decides where packets for services of a family go, as a namespace has it.
#[derive(Debug, Clone)]
pub(super) struct State {
    pub(super) family: Family,
    pub(super) servers: Vec<(ListedService, Vec<ListedDestination>)>,
    /// The family's addresses of the device with their prefix lengths; `None` where there is no device.
    pub(super) addresses: Option<Vec<(IpAddr, u8)>>,
    pub(super) sets: BTreeMap<String, Set>,
    pub(super) tables: Tables,
    /// kube-proxy's sysctls that have another value: name, value.
    pub(super) other_sysctls: Vec<(&'static str, String)>,
}

impl State {
    /// What is left of the mode: the first thing found.
    pub(super) fn leftovers(&self) -> Option<String> {
        if let Some((server, _)) = self.servers.first() {
            return Some(format!("virtual server {}", server.service));
        }
        if self.addresses.is_some() {
            return Some(format!("device {DEVICE}"));
        }
        if let Some(set) = self.sets.keys().next() {
            return Some(format!("set {set}"));
        }
        let (rules, chains) = (self.tables.rules(), self.tables.own_chains());
        (rules + chains > 0).then(|| format!("{rules} rules and {chains} chains"))
    }

    /// What it does with new flows. An untouched namespace serves nothing.
    ///
    /// # Errors
    /// The first thing that is not part of the layout, missing, or leads nowhere.
    pub(super) fn relation(&self) -> Result<Relation, String> {
        if self.leftovers().is_none() {
            return Ok(Relation::default());
        }
        if let Some((name, value)) = self.other_sysctls.first() {
            return Err(format!("{name} is {value}"));
        }
        let mut relation = self.served()?;
        let external = self.external()?;
        self.check_sets(&relation, &external)?;
        self.check_addresses(&relation)?;
        let filled = layout::SETS.iter().map(|(name, _)| *name);
        let filled = filled.filter(|name| !self.entries(name).is_empty());
        let closed: Vec<Frontend> = self.closed().collect();
        let rules = Rules {
            filled: filled.collect(),
            closed: &closed,
        };
        let wanted = layout::base(self.family, &rules);
        // Each of these is there once, in an order that no set tells.
        let out = |chain: &str| chain == "KUBE-IPVS-OUT-FILTER";
        self.tables
            .are_as(&wanted, |table, chain| table == "filter" && out(chain))?;
        let of = |tables: &Tables| tables.0["filter"].chains["KUBE-IPVS-OUT-FILTER"].len();
        if of(&self.tables) != of(&wanted) {
            return Err(
                "the node's own way to load balancers is not as kube-proxy writes it".to_owned(),
            );
        }
        relation
            .0
            .retain(|to, _| !external.contains(to) && !is_local(to.vip));
        Ok(relation)
    }

    /// Entries of a set, by the name that it has for IPv4.
    fn entries(&self, set: &str) -> &[Entry] {
        let set = self.sets.get(&layout::named(set, self.family));
        set.map_or(&[][..], |set| &set.entries)
    }

    /// External addresses and those of load balancers, each of which has a server.
    ///
    /// # Errors
    /// An entry that is no server's.
    fn external(&self) -> Result<BTreeSet<Frontend>, String> {
        let sets = [
            "KUBE-EXTERNAL-IP",
            "KUBE-EXTERNAL-IP-LOCAL",
            "KUBE-LOAD-BALANCER",
        ];
        let entries = sets.iter().flat_map(|set| self.entries(set));
        let external: BTreeSet<Frontend> = entries.filter_map(of_entry).collect();
        let servers = self.servers.iter();
        let servers = servers.map(|(listed, _)| layout::frontend(listed.service.id));
        let served: BTreeSet<Frontend> = servers.collect();
        match external.difference(&served).next() {
            Some(to) => Err(format!("an entry has {to}, which is no virtual server's")),
            None => Ok(external),
        }
    }

    /// Load balancers' addresses with source ranges that leave the node out.
    fn closed(&self) -> impl Iterator<Item = Frontend> {
        let own: BTreeSet<Option<Frontend>> = self
            .entries("KUBE-LOAD-BALANCER-SOURCE-IP")
            .iter()
            .map(of_entry)
            .collect();
        let ranged = self.entries("KUBE-LOAD-BALANCER-FW").iter().map(of_entry);
        ranged.filter(move |to| !own.contains(to)).flatten()
    }

    /// Where virtual servers send new flows.
    fn served(&self) -> Result<Relation, String> {
        let mut relation = Relation::default();
        for (listed, destinations) in &self.servers {
            let id = listed.service.id;
            let shares = shares(listed, destinations).map_err(|why| format!("{id}: {why}"))?;
            relation.0.insert(layout::frontend(id), shares);
        }
        Ok(relation)
    }

    /// The same whatever sets and rules stand beside the servers: what is sent to a server comes to it only where
    /// its address is one of the device's.
    ///
    /// # Errors
    /// A server whose shares no listing tells, or without its address.
    pub(super) fn traced(&self) -> Result<Relation, String> {
        let relation = self.served()?;
        let addresses = self.addresses.iter().flatten();
        let bound: BTreeSet<IpAddr> = addresses.map(|(address, _)| *address).collect();
        let missing = |to: &&Frontend| !bound.contains(&to.vip) && !is_local(to.vip);
        match relation.0.keys().find(missing) {
            Some(to) => Err(format!("{DEVICE} lacks {}", to.vip)),
            None => Ok(relation),
        }
    }

    /// Of the sets of ClusterIPs and of the device every entry is checked; the others have what services of other types
    /// give them.
    fn check_sets(&self, relation: &Relation, external: &BTreeSet<Frontend>) -> Result<(), String> {
        let ours = || layout::sets(self.family);
        let is_ours = |name: &&String| ours().any(|(ours, _)| ours == **name);
        if let Some(foreign) = self.sets.keys().find(|name| !is_ours(name)) {
            return Err(format!("foreign set {foreign}"));
        }
        for (&(of_ipv4, _), (name, set_type)) in layout::SETS.iter().zip(ours()) {
            let set = self.sets.get(&name);
            let set = set.ok_or_else(|| format!("no set {name}"))?;
            if set.type_name != set_type.name() {
                return Err(format!("set {name} is a {}", set.type_name));
            }
            let wanted: BTreeSet<Entry> = match of_ipv4 {
                CLUSTER_IPS => relation
                    .0
                    .keys()
                    .filter(|f| !external.contains(f) && !is_local(f.vip))
                    .map(|f| layout::cluster_entry(*f))
                    .collect(),
                BOUND_IPS => relation
                    .0
                    .keys()
                    .filter(|f| !is_local(f.vip))
                    .map(|f| layout::bound_entry(f.vip))
                    .collect(),
                _ => continue,
            };
            let there: BTreeSet<Entry> = set.entries.iter().copied().collect();
            if let Some(entry) = there.difference(&wanted).next() {
                return Err(format!(
                    "set {name} has {entry}, which is no virtual server's"
                ));
            }
            if let Some(entry) = wanted.difference(&there).next() {
                return Err(format!("set {name} lacks {entry}"));
            }
        }
        Ok(())
    }

    fn check_addresses(&self, relation: &Relation) -> Result<(), String> {
        let listed = self
            .addresses
            .as_ref()
            .ok_or_else(|| format!("no device {DEVICE}"))?;
        if let Some((address, prefix)) = listed
            .iter()
            .find(|(address, prefix)| *prefix != Cidr::one(*address).prefix)
        {
            return Err(format!("{DEVICE} has {address}/{prefix}"));
        }
        let listed: BTreeSet<IpAddr> = listed.iter().map(|(address, _)| *address).collect();
        let vips = relation.0.keys().map(|f| f.vip);
        let wanted: BTreeSet<IpAddr> = vips.filter(|vip| !is_local(*vip)).collect();
        if let Some(address) = listed.difference(&wanted).next() {
            return Err(format!(
                "{DEVICE} has {address}, which is no virtual server's"
            ));
        }
        match wanted.difference(&listed).next() {
            Some(vip) => Err(format!("{DEVICE} lacks {vip}")),
            None => Ok(()),
        }
    }
}

/// Shares of new flows, of new clients where a server is persistent. A destination of weight 0 takes none: it is leaving.
fn shares(
    listed: &ListedService,
    destinations: &[ListedDestination],
) -> Result<BTreeMap<Endpoint, f64>, String> {
    if listed.other_flags != 0 {
        return Err(format!("flags {:#x}", listed.other_flags));
    }
    for listed in destinations {
        let destination = listed.destination;
        if destination.forward != Forward::Masquerade {
            return Err(format!("{destination} is not masqueraded"));
        }
        if listed.thresholds != (0, 0) {
            return Err(format!("{destination} has limits"));
        }
    }
    let taking = destinations
        .iter()
        .map(|listed| listed.destination)
        .filter(|destination| destination.weight > 0);
    let part = |weight: u32| match listed.service.scheduler {
        Scheduler::RoundRobin => Ok(1.0),
        Scheduler::WeightedRoundRobin => Ok(f64::from(weight)),
        other => Err(format!(
            "scheduler {} has no shares that a listing tells",
            other.name()
        )),
    };
    let mut all = 0.0;
    let mut shares = BTreeMap::new();
    for destination in taking {
        let endpoint = Endpoint {
            address: destination.server.address,
            port: destination.server.port,
        };
        let part = part(destination.weight)?;
        all += part;
        shares.insert(endpoint, part);
    }
    shares.values_mut().for_each(|share| *share /= all);
    Ok(shares)
}

/// The frontend that an entry of address, protocol and port names.
fn of_entry(entry: &Entry) -> Option<Frontend> {
    let protocols = [schema::Protocol::Tcp, schema::Protocol::Udp];
    let with = protocols.map(|protocol| Frontend {
        vip: entry.address,
        port: entry.port,
        protocol,
    });
    let mut with = with.into_iter();
    with.find(|to| layout::cluster_entry(*to).protocol == entry.protocol)
}
