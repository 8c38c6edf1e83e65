//! What ip_tables and ip6_tables say of themselves without any tool: whether a table exists, and which matches and
//! targets the kernel knows (`include/uapi/linux/netfilter_ipv4/ip_tables.h`, `…/netfilter_ipv6/ip6_tables.h`,
//! `net/netfilter/x_tables.c`). Asking loads a module that is there but not loaded.
#![allow(unsafe_code, reason = "getsockopt(2) with the kernel's structures")]

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};

/// `IPT_BASE_CTL`, `IP6T_BASE_CTL`: information about a table.
const GET_INFO: libc::c_int = 64;
/// A table's entries, counters added up.
const GET_ENTRIES: libc::c_int = 65;
/// Where the entries begin in `struct ipt_get_entries`, `struct ip6t_get_entries`: after a name of 32 and the size,
/// aligned to 8.
const ENTRIES: usize = 40;
/// A match and a target begin with their size and a name of 29.
const EXTENSION_NAME: std::ops::Range<usize> = 2..31;
/// Bytes of `struct ipt_getinfo`, `struct ip6t_getinfo`: a name of 32, 12 numbers of 4, and the size of the entries.
const INFO: usize = 84;
/// Bytes of `struct xt_get_revision`: a name of 29, and the revision.
const REVISION: usize = 30;

/// Whose tables: each family has its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// `ip_tables`.
    Ipv4,
    /// `ip6_tables`.
    Ipv6,
}

/// How a family is asked, and how its entries are laid out.
struct Shape {
    domain: AddressFamily,
    level: libc::c_int,
    /// The newest revision of a match that is not newer than the one asked for.
    get_revision_match: libc::c_int,
    /// The same of a target.
    get_revision_target: libc::c_int,
    /// Where an entry holds `target_offset`, after what it matches of the header and nfcache; `next_offset` is behind it.
    offsets: usize,
    /// Where it holds `counters.pcnt`: behind the two offsets and comefrom, aligned to 8.
    packets: usize,
    /// Where its matches begin.
    matches: usize,
}

/// `struct ipt_entry`, which begins with `struct ipt_ip` (84).
const IPV4: Shape = Shape {
    domain: AddressFamily::Inet,
    level: libc::IPPROTO_IP,
    get_revision_match: 66,
    get_revision_target: 67,
    offsets: 88,
    packets: 96,
    matches: 112,
};

/// `struct ip6t_entry`, which begins with `struct ip6t_ip6` (136).
const IPV6: Shape = Shape {
    domain: AddressFamily::Inet6,
    level: libc::IPPROTO_IPV6,
    get_revision_match: 68,
    get_revision_target: 69,
    offsets: 140,
    packets: 152,
    matches: 168,
};

impl Family {
    const fn shape(self) -> &'static Shape {
        match self {
            Self::Ipv4 => &IPV4,
            Self::Ipv6 => &IPV6,
        }
    }
}

/// Kind of an extension of x_tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extension {
    /// `-m NAME`.
    Match,
    /// `-j NAME`.
    Target,
}

/// Whether the calling thread's network namespace has (or makes, now that it is named) a table: "nat".
///
/// # Errors
/// `ENOPROTOOPT` without ip_tables (ip6_tables), `ENOENT` without that table, `EPERM` without CAP_NET_ADMIN.
pub fn table(family: Family, name: &str) -> io::Result<()> {
    let mut info = [0; INFO];
    put(&mut info[..32], name)?;
    ask(family.shape(), GET_INFO, &mut info)
}

/// What a table holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableInfo {
    /// Entries: rules, a policy for each built-in chain, a head and an end for each other chain, and the
    /// table's end.
    pub entries: u32,
    /// Bytes of the blob that holds them: one copy for all CPUs, counters apart (`get_info` in
    /// `net/ipv4/netfilter/ip_tables.c`).
    pub size_bytes: u32,
    /// Chains that are not built in, and the table's end, which the kernel takes for one (`translate_table`).
    pub chains: u32,
    /// Matches of kind `statistic`, which hold memory of their own.
    pub statistics: u32,
}

/// What a table of the calling thread's network namespace holds. Asking makes the table if it is not there.
///
/// # Errors
/// As [`table`].
pub fn table_info(family: Family, name: &str) -> io::Result<TableInfo> {
    let shape = family.shape();
    let (info, blob) = entries(shape, name)?;
    // The last two of its numbers.
    let [.., a, b, c, d, e, f, g, h] = info;
    let (chains, statistics) =
        walk(shape, &blob[ENTRIES..]).ok_or_else(|| io::Error::from_raw_os_error(libc::EBADMSG))?;
    Ok(TableInfo {
        entries: u32::from_ne_bytes([a, b, c, d]),
        size_bytes: u32::from_ne_bytes([e, f, g, h]),
        chains,
        statistics,
    })
}

/// What the kernel says of a table, and its entries behind [`ENTRIES`] bytes.
fn entries(shape: &Shape, name: &str) -> io::Result<([u8; INFO], Vec<u8>)> {
    let mut info = [0; INFO];
    put(&mut info[..32], name)?;
    ask(shape, GET_INFO, &mut info)?;
    let [.., a, b, c, d] = info;
    let size = u32::from_ne_bytes([a, b, c, d]);
    let mut blob = vec![0; ENTRIES + size as usize];
    put(&mut blob[..32], name)?;
    blob[32..36].copy_from_slice(&size.to_ne_bytes());
    ask(shape, GET_ENTRIES, &mut blob)?;
    Ok((info, blob))
}

/// Targets of the kind that stands at the head of a chain, and matches of kind `statistic`.
fn walk(shape: &Shape, mut blob: &[u8]) -> Option<(u32, u32)> {
    let (mut chains, mut statistics) = (0, 0);
    while !blob.is_empty() {
        let target = usize::from(half(blob, shape.offsets)?);
        let next = usize::from(half(blob, shape.offsets + 2)?);
        let mut at = shape.matches;
        while at < target {
            let of = blob.get(at..target)?;
            statistics += u32::from(named(of, "statistic")?);
            at += usize::from(half(of, 0)?).max(1);
        }
        chains += u32::from(named(blob.get(target..)?, "ERROR")?);
        blob = blob.get(next.max(1)..)?;
    }
    Some((chains, statistics))
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// Whether a match or target has that name.
fn named(extension: &[u8], name: &str) -> Option<bool> {
    let field = extension.get(EXTENSION_NAME)?;
    Some(
        field
            .strip_prefix(name.as_bytes())
            .is_some_and(|rest| rest.first() == Some(&0)),
    )
}

/// Packets that a built-in chain has counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainPackets {
    /// By its policy: those that no rule decided.
    pub policy: u64,
    /// By its first rule; `None` without a rule.
    pub first_rule: Option<u64>,
}

/// Where packets enter a table, by the kernel's number (`enum nf_inet_hooks`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// Those that come from elsewhere.
    Prerouting = 0,
    /// Those that the node itself sends.
    Output = 3,
}

impl Hook {
    /// The built-in chain.
    #[must_use]
    pub const fn chain(self) -> &'static str {
        match self {
            Self::Prerouting => "PREROUTING",
            Self::Output => "OUTPUT",
        }
    }
}

/// Packets that a hook's chain of a table of the calling thread's network namespace has counted. The kernel
/// copies the whole table, but nothing parses it: a tenth of the time that the tool takes for a large one.
///
/// # Errors
/// As [`table`]; `EAGAIN` when the table was replaced meanwhile.
pub fn chain_packets(family: Family, name: &str, hook: Hook) -> io::Result<ChainPackets> {
    let shape = family.shape();
    let (info, entries) = entries(shape, name)?;
    let number = |at: usize| {
        let bytes = [info[at], info[at + 1], info[at + 2], info[at + 3]];
        u32::from_ne_bytes(bytes) as usize
    };
    // A name of 32, valid_hooks, hook_entry[5], underflow[5], num_entries, size.
    let place = 4 * hook as usize;
    let (first, policy) = (number(36 + place), number(56 + place));
    let packets = |entry: usize| {
        let at = ENTRIES + entry + shape.packets;
        let bytes = entries
            .get(at..at + 8)
            .and_then(|b| <[u8; 8]>::try_from(b).ok())
            .ok_or_else(|| io::Error::from_raw_os_error(libc::EBADMSG))?;
        Ok::<u64, io::Error>(u64::from_ne_bytes(bytes))
    };
    Ok(ChainPackets {
        policy: packets(policy)?,
        first_rule: if first == policy {
            None
        } else {
            Some(packets(first)?)
        },
    })
}

/// Whether the kernel has an extension in that revision or a newer one.
///
/// # Errors
/// `ENOENT` when there is none of that name, `EPROTONOSUPPORT` when all are older, `ENOPROTOOPT` without
/// ip_tables (ip6_tables), `EPERM` without CAP_NET_ADMIN.
pub fn extension(family: Family, kind: Extension, name: &str, revision: u8) -> io::Result<()> {
    let shape = family.shape();
    let mut asked = [0; REVISION];
    put(&mut asked[..REVISION - 1], name)?;
    asked[REVISION - 1] = revision;
    let option = match kind {
        Extension::Match => shape.get_revision_match,
        Extension::Target => shape.get_revision_target,
    };
    ask(shape, option, &mut asked)
}

/// Writes a name with its closing NUL.
fn put(field: &mut [u8], name: &str) -> io::Result<()> {
    if name.len() >= field.len() {
        return Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG));
    }
    field[..name.len()].copy_from_slice(name.as_bytes());
    Ok(())
}

fn ask(shape: &Shape, option: libc::c_int, value: &mut [u8]) -> io::Result<()> {
    let socket: OwnedFd = socket(
        shape.domain,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::Raw,
    )?;
    let mut length = value.len() as libc::socklen_t;
    // SAFETY: `value` is writable for `length` bytes, which the kernel is told and does not exceed
    // (do_ipt_get_ctl, do_ip6t_get_ctl, get_info and get_entries compare it with the structure's size first).
    let answer = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            shape.level,
            option,
            value.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if answer == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An entry of that shape: matches of those names, 48 bytes each, and a target.
    fn entry(shape: &Shape, matches: &[&str], target: &str) -> Vec<u8> {
        let mut out = vec![0; shape.matches];
        let mut extensions: Vec<&str> = matches.to_vec();
        extensions.push(target);
        for name in extensions {
            let mut extension = [0_u8; 48];
            extension[..2].copy_from_slice(&48_u16.to_ne_bytes());
            extension[2..2 + name.len()].copy_from_slice(name.as_bytes());
            out.extend(extension);
        }
        let (target, next) = (out.len() as u16 - 48, out.len() as u16);
        out[shape.offsets..shape.offsets + 2].copy_from_slice(&target.to_ne_bytes());
        out[shape.offsets + 2..shape.offsets + 4].copy_from_slice(&next.to_ne_bytes());
        out
    }

    #[test]
    fn entries_of_both_families_are_walked_by_their_own_offsets() {
        for shape in [&IPV4, &IPV6] {
            let entries = [
                entry(shape, &[], "ERROR"),
                entry(shape, &["comment", "statistic"], ""),
                entry(shape, &["statistics"], "ERRORS"),
            ];
            assert_eq!(walk(shape, &entries.concat()), Some((1, 1)));
            // Counters of two numbers of 8 end where the matches begin.
            assert_eq!(shape.packets + 16, shape.matches);
            assert_eq!(shape.packets, (shape.offsets + 8).next_multiple_of(8));
        }
        let other = entry(&IPV4, &["statistic"], "ERROR");
        assert_ne!(walk(&IPV6, &other), Some((1, 1)));
    }

    #[test]
    fn a_name_that_does_not_fit_with_its_nul_is_refused() {
        let mut field = [0; 4];
        assert!(put(&mut field, "nat").is_ok());
        assert_eq!(&field, b"nat\0");
        assert_eq!(
            put(&mut field, "four").unwrap_err().raw_os_error(),
            Some(libc::ENAMETOOLONG)
        );
    }
}
