//! What must not stand beside a mode's rules, and what must not be left of them: tables of the other
//! engine, of either family, and the empty tables that `iptables-nft` leaves behind. Rules of the same engine for the other
//! family see no packet of the mode's, and are a dual-stack node's.

use nft_codec::{Act, Connection, EncodedBatch, Op, TableFamily, TableId};

use schema::NodeKind;

use super::{Engine, Family, allocated, ip_tables, of_kernel, tool};
use crate::HarnessError;
use crate::meters;
use crate::relation::Relation;
use crate::sockets::Sockets;

/// Tables that `iptables-nft` makes in family ip, and `ip6tables-nft` in family ip6 (iptables 1.8.9, `iptables/nft.c`,
/// `xtables_ipv4`).
const XTABLES: &[&str] = &["filter", "nat", "mangle", "raw", "security"];

/// Tables of the legacy engine that a mode writes to.
const BLOBS: &[&str] = &["filter", "nat", "mangle"];

fn nf_tables<T>(
    act: &str,
    done: impl FnOnce(&mut Connection) -> Result<T, netlink::Error>,
) -> Result<T, HarnessError> {
    Connection::open()
        .and_then(|mut connection| done(&mut connection))
        .map_err(HarnessError::netlink(act))
}

fn tables() -> Result<Vec<TableId>, HarnessError> {
    nf_tables("list nftables tables", Connection::tables)
}

fn named(table: &TableId) -> String {
    format!("nftables table {} of family {}", table.name, table.family)
}

/// Whether `iptables-nft` made it, or for IPv6 `ip6tables-nft`.
fn is_xtables(table: &TableId, family: Family) -> bool {
    table.family == of_tables(family).number() && XTABLES.contains(&table.name.as_str())
}

const fn of_tables(family: Family) -> TableFamily {
    match family {
        Family::Ipv4 => TableFamily::Ip,
        Family::Ipv6 => TableFamily::Ip6,
    }
}

/// The first nftables table of the namespace, of any family, but for those of which `known` says that they belong there.
///
/// # Errors
/// The listing failed.
pub(crate) fn leftover_nftables(
    known: impl Fn(&TableId) -> bool,
) -> Result<Option<String>, HarnessError> {
    Ok(tables()?.iter().find(|table| !known(table)).map(named))
}

/// What is left of an engine's rules for a family of such a node: of `iptables-legacy` no rule and no chain may be, built-in ones aside
/// (its tables cannot be removed from a namespace); of `iptables-nft` no table either.
///
/// # Errors
/// The listing failed.
pub(crate) fn leftovers(engine: Engine, node: NodeKind) -> Result<Option<String>, HarnessError> {
    if engine == Engine::Nft {
        let beside = node.beside();
        return leftover_nftables(|table| beside.is_some_and(|of| is_xtables(table, of)));
    }
    let tables = tool::listed(tool::prefix_of(engine, node.family))?;
    let (rules, chains) = (tables.rules(), tables.own_chains());
    Ok((rules + chains > 0).then(|| format!("{rules} rules and {chains} chains")))
}

/// Empties tables of a family; removes those of `iptables-nft` too. Goes on past errors.
pub(crate) fn remove(
    engine: Engine,
    family: Family,
    tables: &[&str],
    sockets: &mut Sockets,
) -> Vec<HarnessError> {
    let emptied = tool::empty(tool::prefix_of(engine, family), tables).err();
    let mut errors: Vec<_> = emptied.into_iter().collect();
    if engine == Engine::Nft {
        errors.extend(delete_xtables(family, sockets).err());
    }
    errors
}

/// Deletes a family's tables of `iptables-nft`: no tool of iptables does.
///
/// # Errors
/// The listing failed, or the kernel refused.
fn delete_xtables(family: Family, sockets: &mut Sockets) -> Result<(), HarnessError> {
    let connection = sockets.nf_tables()?;
    let failed = HarnessError::netlink("delete the tables of iptables-nft");
    let ops: Vec<Op> = connection
        .tables()
        .map_err(failed)?
        .into_iter()
        .filter(|table| is_xtables(table, family))
        .map(|table| Op {
            family: of_tables(family),
            table: table.name,
            act: Act::DeleteTable,
        })
        .collect();
    let batch = EncodedBatch::encode(ops).expect("a table's deletion is one short message");
    connection.send(&batch).map_err(failed)
}

/// What must not be there is not.
fn without(what: &'static str, found: Option<String>) -> Result<(), HarnessError> {
    found.map_or(Ok(()), |text| Err(HarnessError::listing(what)(text)))
}

/// Nothing of another engine may stand beside `engine`'s rules, which are of the families of such a node.
///
/// # Errors
/// There is something, or a listing failed.
pub(crate) fn no_other(engine: Engine, node: NodeKind) -> Result<(), HarnessError> {
    if engine == Engine::Legacy {
        return no_nftables();
    }
    let families = node.families();
    let foreign = leftover_nftables(|table| families.iter().any(|of| is_xtables(table, *of)))?;
    without("a namespace without tables beside iptables-nft's", foreign)?;
    no_legacy_tables()
}

/// nftables tables must not stand beside another mode's rules.
fn no_nftables() -> Result<(), HarnessError> {
    without(
        "a namespace without nftables",
        leftover_nftables(|_| false)?,
    )
}

/// Tables that the legacy engine has for a family in the calling thread's network namespace. They are made when first
/// named, so a namespace that no iptables-legacy has touched has none; nor has a kernel without it.
fn legacy_tables(family: Family) -> Result<Vec<String>, HarnessError> {
    // thread-self, not self: /proc/net is the main thread's.
    let names = format!("/proc/thread-self/net/{}_names", ip_tables(family));
    match std::fs::read_to_string(&names) {
        Ok(names) => Ok(names.lines().map(str::to_owned).collect()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(HarnessError::system(format!("read {names}"), error)),
    }
}

/// Bytes that the legacy engine holds for each table of a family, by what they are for; only tables that are there are
/// asked for, as asking makes them.
///
/// # Errors
/// The kernel refused to say.
pub(crate) fn legacy_blobs(family: Family) -> Result<Vec<(String, u64)>, HarnessError> {
    let there = legacy_tables(family)?;
    let cpus = meters::possible_cpus().unwrap_or(1).into();
    let kind = ip_tables(family);
    let mut stated = Vec::new();
    for table in BLOBS {
        if there.iter().any(|name| name == table) {
            let info = netns_sys::x_tables::table_info(of_kernel(family), table).map_err(|e| {
                HarnessError::system(format!("ask for the size of table {table}"), e)
            })?;
            let parts = allocated::parts(info, cpus);
            stated.extend(parts.map(|(what, bytes)| (format!("{kind} {table} {what}"), bytes)));
        }
    }
    Ok(stated)
}

/// x_tables tables of either family must not stand beside another mode's rules.
///
/// # Errors
/// There are some, or nobody may say so.
pub(crate) fn no_legacy_tables() -> Result<(), HarnessError> {
    Family::ALL.iter().copied().try_for_each(no_tables_of)
}

fn no_tables_of(family: Family) -> Result<(), HarnessError> {
    let tables = legacy_tables(family)?;
    let first = tables.first().map(|name| format!("table {name}"));
    let what = match family {
        Family::Ipv4 => "a namespace without iptables-legacy",
        Family::Ipv6 => "a namespace without ip6tables-legacy",
    };
    without(what, first)
}

/// For the bare floor: an error if any engine has a rule, of either family.
///
/// # Errors
/// A rule was found, or a listing failed.
pub(crate) fn anything_installed() -> Result<Relation, HarnessError> {
    no_nftables()?;
    for family in Family::ALL.iter().copied() {
        // A tool that would list nothing need not be there.
        if !legacy_tables(family)?.is_empty() {
            let rules = tool::listed(tool::prefix_of(Engine::Legacy, family))?.rules();
            let found = (rules > 0).then(|| format!("{rules} iptables rules"));
            without("a namespace without rules", found)?;
        }
    }
    Ok(Relation::default())
}
