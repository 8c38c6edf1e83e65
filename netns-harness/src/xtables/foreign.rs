//! What must not stand beside a mode's rules, and what must not be left of them: tables of the other
//! engine, and the empty tables that `iptables-nft` leaves behind.

use nft_codec::{Act, Connection, EncodedBatch, Op, TableFamily, TableId};

use super::{Engine, allocated, tool};
use crate::HarnessError;
use crate::meters;
use crate::relation::Relation;
use crate::sockets::Sockets;

/// Tables that `iptables-nft` makes in family ip (iptables 1.8.9, `iptables/nft.c`, `xtables_ipv4`).
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

/// Whether `iptables-nft` made it.
fn is_xtables(table: &TableId) -> bool {
    i32::from(table.family) == libc::NFPROTO_IPV4 && XTABLES.contains(&table.name.as_str())
}

/// The first nftables table of the namespace, of any family.
///
/// # Errors
/// The listing failed.
pub(crate) fn leftover_nftables() -> Result<Option<String>, HarnessError> {
    Ok(tables()?.first().map(named))
}

/// What is left of an engine's rules: of `iptables-legacy` no rule and no chain may be, built-in ones aside
/// (its tables cannot be removed from a namespace); of `iptables-nft` no table either.
///
/// # Errors
/// The listing failed.
pub(crate) fn leftovers(engine: Engine) -> Result<Option<String>, HarnessError> {
    if engine == Engine::Nft {
        return leftover_nftables();
    }
    let tables = tool::listed(tool::prefix(engine))?;
    let (rules, chains) = (tables.rules(), tables.own_chains());
    Ok((rules + chains > 0).then(|| format!("{rules} rules and {chains} chains")))
}

/// Empties tables; removes those of `iptables-nft` too. Goes on past errors.
pub(crate) fn remove(engine: Engine, tables: &[&str], sockets: &mut Sockets) -> Vec<HarnessError> {
    let emptied = tool::empty(tool::prefix(engine), tables).err();
    let mut errors: Vec<_> = emptied.into_iter().collect();
    if engine == Engine::Nft {
        errors.extend(delete_xtables(sockets).err());
    }
    errors
}

/// Deletes the tables of `iptables-nft`: no tool of iptables does.
///
/// # Errors
/// The listing failed, or the kernel refused.
fn delete_xtables(sockets: &mut Sockets) -> Result<(), HarnessError> {
    let connection = sockets.nf_tables()?;
    let failed = HarnessError::netlink("delete the tables of iptables-nft");
    let ops: Vec<Op> = connection
        .tables()
        .map_err(failed)?
        .into_iter()
        .filter(is_xtables)
        .map(|table| Op {
            family: TableFamily::Ip,
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

/// Nothing of another engine may stand beside `engine`'s rules.
///
/// # Errors
/// There is something, or a listing failed.
pub(crate) fn no_other(engine: Engine) -> Result<(), HarnessError> {
    if engine == Engine::Legacy {
        return no_nftables();
    }
    let tables = tables()?;
    let other = tables.iter().find(|table| !is_xtables(table)).map(named);
    without("a namespace without tables beside iptables-nft's", other)?;
    no_legacy_tables()
}

/// nftables tables must not stand beside another mode's rules.
fn no_nftables() -> Result<(), HarnessError> {
    without("a namespace without nftables", leftover_nftables()?)
}

/// Tables that the legacy engine has in the calling thread's network namespace. They are made when first
/// named, so a namespace that no iptables-legacy has touched has none; nor has a kernel without it.
fn legacy_tables() -> Result<Vec<String>, HarnessError> {
    // thread-self, not self: /proc/net is the main thread's.
    const NAMES: &str = "/proc/thread-self/net/ip_tables_names";
    match std::fs::read_to_string(NAMES) {
        Ok(names) => Ok(names.lines().map(str::to_owned).collect()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(HarnessError::system(format!("read {NAMES}"), error)),
    }
}

/// Bytes that the legacy engine holds for each table, by what they are for; only tables that are there are
/// asked for, as asking makes them.
///
/// # Errors
/// The kernel refused to say.
pub(crate) fn legacy_blobs() -> Result<Vec<(String, u64)>, HarnessError> {
    let there = legacy_tables()?;
    let cpus = meters::possible_cpus().unwrap_or(1).into();
    let mut stated = Vec::new();
    for table in BLOBS {
        if there.iter().any(|name| name == table) {
            let info = netns_sys::x_tables::table_info(table).map_err(|e| {
                HarnessError::system(format!("ask for the size of table {table}"), e)
            })?;
            let parts = allocated::parts(info, cpus);
            stated.extend(parts.map(|(what, bytes)| (format!("ip_tables {table} {what}"), bytes)));
        }
    }
    Ok(stated)
}

/// x_tables tables must not stand beside another mode's rules.
///
/// # Errors
/// There are some, or nobody may say so.
pub(crate) fn no_legacy_tables() -> Result<(), HarnessError> {
    let first = legacy_tables()?.first().map(|name| format!("table {name}"));
    without("a namespace without iptables-legacy", first)
}

/// For the bare floor: an error if any engine has a rule.
///
/// # Errors
/// A rule was found, or a listing failed.
pub(crate) fn anything_installed() -> Result<Relation, HarnessError> {
    no_nftables()?;
    let rules = tool::listed(tool::prefix(Engine::Legacy))?.rules();
    let found = (rules > 0).then(|| format!("{rules} iptables rules"));
    without("a namespace without rules", found)?;
    Ok(Relation::default())
}
