//! kube-proxy's nftables mode, as each of its versions lays it out: one verdict map `VIP . protocol . port → goto
//! service chain`. Until 1.35 a service chain holds `numgen random mod E vmap` to a chain for each endpoint, with
//! `dnat` in it; from 1.36 one rule that translates to a random endpoint. Beside them the checks, rejects and
//! masquerading that every packet of that mode crosses. Names, comments, order of commands and the add-then-flush of
//! every chain are those of `pkg/proxy/nftables/proxier.go`; `base/` holds what a version writes whatever the
//! services ([`layout`] says which), in the words of IPv4. Services of IPv6 are in a table of family ip6, with the same
//! rules.
//!
//! Deviations, each for a reason:
//! - A `counter` is the first rule of `nat-prerouting`, so that first packets can be counted.
//! - Services are visited in population order, not in the random order of a Go map: position is a
//!   question of ours.
//! - A chain that became stale is deleted by a transaction of the same batch. kube-proxy flushes it at
//!   once as here, and deletes it at its next sync, at least a second later, because kernels before 6.2
//!   still count the map element that was just deleted.
//! - An installation can be split into transactions of `chunk` services; kube-proxy's first sync is
//!   one transaction.
//! - Elements that a removal deletes are sorted by service; kube-proxy sorts them by set.
//! - A source range of one address stands without its prefix length.
//!
//! `large_cluster` changes nothing: this mode writes no comments in per-service rules at any size.
//!
//! # Law of size
//! N services of E ≥ 1 distinct endpoints on N distinct VIPs, installed from nothing; the counter included; the same for
//! both families:
//!
//! | | until 1.35 | from 1.36 |
//! |---|---|---|
//! | operations of an installation | B + N·(6 + 4·E) | B + N·5 |
//! | of everything again | B − 16 + N·(4 + 4·E); 1.32: B − 16 + N·(6 + 4·E) | B − 16 + N·3 |
//! | of a service that is added; removed | 6 + 4·E; 4 + 2·E | 5; 4 |
//! | rules | 24 + N·(2 + 2·E); 1.32: 23 + … | 23 + N |
//! | chains | 16 + N·(1 + E) | 15 + N |
//! | sets and maps | 7 + N, of which N anonymous | 8 + N; 1.37: 8 + the services of E ≥ 2 |
//! | elements | 1 + N·(2 + E) | the same; 1.37: those of one endpoint have 2 |
//!
//! B is 87 in 1.32, 82 in 1.33 to 1.35, 80 in 1.36, 94 in 1.37. An operation is a command of the script. An anonymous map
//! takes two messages more. A removal flushes its chains, deletes 2 elements and then the chains. The numbers of an
//! update do not depend on N. Everything again is kube-proxy's full sync, as it runs once an hour and after a failure
//! (`syncProxyRules`, `setupNFTables`): it leaves out the 16 commands that make the base chains anew, which a
//! process runs once, and from 1.33 the elements, which it has read.
//!
//! What else a service has comes on top ([`exposed`]; `kinds.rs` tests it). M is the rules of the chain of what comes from
//! outside: 2 by policy Cluster, 3 by policy Local:
//!
//! | | operations | rules | chains | elements |
//! |---|---|---|---|---|
//! | addresses from outside, A of them with the node port | 2 + M + A | M | 1 | A |
//! | external policy Local, L ≥ 1 endpoints on this node | 4 | 2 | 1 | L in a map |
//! | external policy Local, none on this node | A | | | A |
//! | source ranges, B addresses of the load balancer | 3 + B | 1 | 1 | B, and the ranges if several |
//! | affinity, E endpoints | until 1.35: 3·E; from 1.36: 6·E | 2·E; from 1.36: 3·E | from 1.36: E | |
//! | endpoint on this node, from 1.36 | 1 | | | 1 |
//!
//! A set of clients keeps its timeout as long as its endpoint: the kernel refuses to add it with another one, to
//! kube-proxy as to us. It holds at most 65,535 clients, for no size is declared (`nft_dynset_init`).

mod damage;
mod exposed;
pub(super) mod facts;
mod layout;
#[cfg(test)]
mod meaning;
mod step;
mod sync;
mod trace;
mod traced;

#[cfg(test)]
mod golden;
#[cfg(test)]
mod kinds;
#[cfg(test)]
mod six;
#[cfg(test)]
mod tests;

use nft_codec::{Connection, Statement, Table, TableFamily};
use nix::errno::Errno;
use schema::{Family, KubeProxyVersion, Stack};

use super::{
    Batch, Datapath, Inspect, Inventory, KubeProxy, KubeProxySync, LONGEST_INTERVAL_S, ModeFacts,
    Periodic, RenderOptions, Socket, Sockets, SyncKind, Transport, Work, trial,
};
use crate::relation::Relation;
use crate::remedy::{Lack, Remedy};
use crate::service::{Frontend, Population};
use crate::xtables::foreign;
use crate::{HarnessError, tools};
use layout::{Layout, Listing};
pub(super) use layout::{TABLE, table_family};
pub(super) use step::made_and_deleted;
pub(crate) use step::{Nft, Script, Transaction};

/// kube-proxy's nftables mode.
#[derive(Debug, Clone, Copy)]
pub struct Nftables {
    version: KubeProxyVersion,
    family: Family,
    stack: Stack,
}

impl Nftables {
    /// As a version lays it out, for services of a family.
    #[must_use]
    pub const fn of(version: KubeProxyVersion, family: Family) -> Self {
        Self {
            version,
            family,
            stack: Stack::Single,
        }
    }

    /// On a node of so many families.
    #[must_use]
    pub const fn on(self, stack: Stack) -> Self {
        Self { stack, ..self }
    }

    fn layout(self) -> &'static Layout {
        Layout::of(self.version, self.family)
    }

    /// The family of its table.
    const fn table_family(self) -> TableFamily {
        layout::table_family(self.family)
    }
}

impl Datapath for Nftables {
    fn facts(&self) -> &'static ModeFacts {
        facts::of(self.family)
    }

    fn probe(&self, transport: Transport) -> Result<(), Lack> {
        let options = RenderOptions::by(transport);
        let population = trial::probe_population_of(self.family);
        trial::attempt(self, &population, &options, lack)
    }

    fn render(&self, from: Option<&Population>, to: &Population, options: &RenderOptions) -> Batch {
        sync::render(self.layout(), from, to, options)
    }

    fn census(&self) -> Result<Relation, HarnessError> {
        let failed = HarnessError::netlink("nftables census");
        let mut connection = Connection::open().map_err(failed)?;
        check_no_other(self.table_family(), &mut connection)?;
        let table = connection.table(self.table_family(), layout::TABLE);
        let table = table.map_err(failed)?;
        let relation = trace::relation(self.layout(), table.as_ref());
        relation.map_err(HarnessError::listing("nftables census"))
    }

    fn teardown(&self, sockets: &mut Sockets) -> Vec<HarnessError> {
        let mut delete = || {
            let deleted = sockets.nf_tables()?.send(&self.layout().delete_table());
            deleted.map_err(HarnessError::netlink("delete table kube-proxy"))
        };
        let failed = delete().err().filter(|error| !error.is_not_found());
        failed.into_iter().collect()
    }
}

impl KubeProxy for Nftables {
    /// `syncProxyRules` lists before each transaction, partial ones too, to find stale chains and affinity sets
    /// ([`Listing`]; kubernetes#139513 times it), a full one from 1.33 on what is in each of its sets and maps before
    /// that (`readOrReset`). The change then goes through `nft -f -` (knftables `Run`), also where nothing has changed.
    fn kube_proxy_sync(&self, sync: SyncKind, _large_cluster: bool) -> Option<KubeProxySync> {
        let layout = self.layout();
        let filled = layout
            .filled()
            .filter(|_| sync.is_full() && layout.reads_sets);
        let family = layout.family.to_string();
        let sets = filled.map(|(set, is_map)| {
            let kind = if is_map { "map" } else { "set" };
            let (family, set) = (family.as_str(), set.as_str());
            layout::words(&["nft", "--json", "list", kind, family, layout::TABLE, set])
        });
        let listing = layout.listing.commands(layout.family);
        let nothing = &["nft", "-f", "/dev/null"];
        let nothing = (sync == SyncKind::Late).then(|| layout::words(nothing));
        Some(KubeProxySync {
            version: layout.version,
            transport: Transport::Nft,
            read_back: sets.chain(listing).chain(nothing).collect(),
            sockets: match layout.listing {
                Listing::Netlink => &[Socket::NfTables],
                _ => &[],
            },
        })
    }

    fn ask_as_kube_proxy(
        &self,
        _from: &Population,
        _sync: SyncKind,
        _options: &RenderOptions,
        sockets: &mut Sockets,
    ) -> Result<u64, HarnessError> {
        if self.layout().listing != Listing::Netlink {
            return Ok(0);
        }
        let connection = sockets.nf_tables()?;
        let family = self.table_family();
        let listed = connection
            .chain_names(family)
            .and_then(|_| connection.set_names(family, layout::TABLE));
        let failed = HarnessError::netlink("list chains and sets as kube-proxy does");
        listed.map(|_| 2).map_err(failed)
    }

    /// After an hour without a sync one, from 1.33 on of everything.
    fn periodic(&self, version: KubeProxyVersion, _large_cluster: bool) -> Vec<Periodic> {
        let full = version > KubeProxyVersion::V1_32;
        vec![Periodic {
            every_s: LONGEST_INTERVAL_S,
            work: Work::Syncs(if full { SyncKind::Full } else { SyncKind::Late }),
        }]
    }

    fn traced(&self, wanted: &[Frontend]) -> Option<Result<Relation, HarnessError>> {
        Some(traced::relation(self.family, wanted))
    }
}

impl Inspect for Nftables {
    fn leftovers(&self) -> Result<Option<String>, HarnessError> {
        let beside = match self.stack {
            Stack::Single => None,
            Stack::Dual => Some(layout::table_family(self.family.other()).number()),
        };
        foreign::leftover_nftables(|table| {
            beside == Some(table.family) && table.name.as_str() == layout::TABLE
        })
    }

    fn inventory(&self) -> Result<Inventory, HarnessError> {
        let family = self.table_family();
        let listed = Connection::open().and_then(|mut c| c.table(family, layout::TABLE));
        let table = listed.map_err(HarnessError::netlink("nftables inventory"))?;
        let table = table.unwrap_or_default();
        match table.unknown.first() {
            Some(text) => Err(HarnessError::listing("nftables inventory")(format!(
                "foreign {text}"
            ))),
            None => Ok(count(&table)),
        }
    }

    fn nat_counters(&self) -> Result<Option<u64>, HarnessError> {
        let family = self.table_family();
        let rules = Connection::open()
            .and_then(|mut c| c.chain_rules(family, layout::TABLE, layout::NAT_PREROUTING))
            .map_err(HarnessError::netlink("read the counter of nat-prerouting"))?;
        Ok(rules.first().and_then(nft_codec::Rule::packets))
    }
}

/// No other table may see a packet of the lab's, which are of `family`.
fn check_no_other(family: TableFamily, connection: &mut Connection) -> Result<(), HarnessError> {
    let tables = connection.tables();
    for table in tables.map_err(HarnessError::netlink("nftables census"))? {
        // Tables of arp, bridge and the other family see none.
        let of_both = matches!(
            i32::from(table.family),
            libc::NFPROTO_INET | libc::NFPROTO_NETDEV
        );
        let of_family = table.family == family.number();
        let ours = of_family && table.name.as_str() == layout::TABLE;
        if (of_both || of_family) && !ours {
            let text = format!("foreign table {} of family {}", table.name, table.family);
            return Err(HarnessError::listing("nftables census")(text));
        }
    }
    foreign::no_legacy_tables()
}

/// What a table holds. An anonymous map or set stands in the rule that uses it, and counts as one. What rules have put into
/// sets of clients does not count.
pub(super) fn count(table: &Table) -> Inventory {
    let rules = || table.chains.values().flat_map(|chain| &chain.rules);
    let anonymous = || {
        rules()
            .flat_map(|rule| &rule.statements)
            .filter_map(|statement| match statement {
                Statement::RandomVmap(_, entries) => Some(entries.len()),
                Statement::RandomDnat(_, entries) => Some(entries.len()),
                // Of networks that touch the kernel knows one interval.
                Statement::SourceOutside(networks) => Some(networks.len()),
                _ => None,
            })
    };
    let named = || table.sets.values().map(|set| set.elements.len());
    Inventory {
        rules: rules().count() as u64,
        chains: table.chains.len() as u64,
        sets: (named().count() + anonymous().count()) as u64,
        elements: (named().sum::<usize>() + anonymous().sum::<usize>()) as u64,
        anonymous_sets: anonymous().count() as u64,
        anonymous_elements: anonymous().sum::<usize>() as u64,
        ..Inventory::default()
    }
}

/// What lacks.
fn lack(error: &HarnessError) -> Lack {
    let HarnessError::Netlink { source, .. } = error else {
        return tools::lack("nft", "nftables", error);
    };
    let remedy = match source.errno() {
        Some(Errno::EPERM | Errno::EACCES) => Some(Remedy::Root),
        Some(Errno::EPROTONOSUPPORT | Errno::EAFNOSUPPORT | Errno::EINVAL) => {
            Some(Remedy::modules(["nf_tables"]))
        }
        Some(Errno::ENOENT | Errno::EOPNOTSUPP) => Some(Remedy::modules(PARTS)),
        _ if source.is_too_big() => Some(Remedy::Root),
        _ => None,
    };
    Lack::from(error.to_string()).with(remedy)
}

/// Modules of expressions and chains that its rules use.
const PARTS: [&str; 7] = [
    "nft_chain_nat",
    "nft_nat",
    "nft_masq",
    "nft_numgen",
    "nft_reject_ipv4",
    "nft_reject_ipv6",
    "nft_ct",
];

/// The error of a batch that cannot be encoded, which the layout rules out.
const ENCODABLE: &str = "the layout has only statements that can be encoded, and short rules";
