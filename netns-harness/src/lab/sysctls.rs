//! Sysctls of a lab: a table of what is pinned, and what is only recorded.

use std::collections::BTreeMap;
use std::io;

use netns_sys::isolation::{read_sysctl, write_sysctl};
use netns_sys::netns::NetNs;
use schema::{Family, NodeKind};

use crate::HarnessError;

/// One of the lab's namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Where flows start.
    Client,
    /// Where the rules are.
    Node,
    /// Where the endpoints are.
    Backends,
}

impl Place {
    /// Every one.
    pub(super) const ALL: [Self; 3] = [Self::Client, Self::Node, Self::Backends];

    const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Node => "node",
            Self::Backends => "backends",
        }
    }
}

const EVERYWHERE: &[Place] = &Place::ALL;
const NODE: &[Place] = &[Place::Node];
const ENDS: &[Place] = &[Place::Client, Place::Backends];

/// Where, name, pinned value. An empty value is recorded, not written: it cannot be set in a namespace,
/// or its default is what users run.
pub const SYSCTLS: &[(&[Place], &str, &str)] = &[
    // Autoconfiguration would run during timed cells.
    (EVERYWHERE, "net.ipv6.conf.all.disable_ipv6", "1"),
    (EVERYWHERE, "net.ipv6.conf.default.disable_ipv6", "1"),
    // Inherited from the host otherwise; strict filtering costs a route lookup a packet.
    (EVERYWHERE, "net.ipv4.conf.all.rp_filter", "0"),
    (EVERYWHERE, "net.ipv4.conf.default.rp_filter", "0"),
    (NODE, "net.ipv4.ip_forward", "1"),
    // What no rule redirects must end here, silently.
    (ENDS, "net.ipv4.ip_forward", "0"),
    (ENDS, "net.ipv4.tcp_no_metrics_save", "1"),
    (ENDS, "net.ipv4.tcp_syncookies", "1"),
    (ENDS, "net.ipv4.tcp_max_syn_backlog", "4096"),
    (ENDS, "net.core.somaxconn", "4096"),
    // Ends of different parity, as the kernel asks for: it logs a line about others.
    (ENDS, "net.ipv4.ip_local_port_range", "61002\t65535"),
    (NODE, "net.netfilter.nf_conntrack_checksum", "1"),
    (NODE, "net.netfilter.nf_conntrack_acct", "0"),
    (NODE, "net.netfilter.nf_conntrack_timestamp", "0"),
    (NODE, "net.netfilter.nf_conntrack_events", ""),
    (NODE, "net.netfilter.nf_conntrack_max", ""),
    (NODE, "net.netfilter.nf_conntrack_buckets", ""),
    (NODE, "net.core.netdev_max_backlog", ""),
    (NODE, "net.ipv4.ip_early_demux", ""),
];

/// What a lab whose node serves IPv6 has beside them, or instead of the value of that name.
pub const IPV6_SYSCTLS: &[(&[Place], &str, &str)] = &[
    (EVERYWHERE, "net.ipv6.conf.all.disable_ipv6", "0"),
    (EVERYWHERE, "net.ipv6.conf.default.disable_ipv6", "0"),
    // Autoconfiguration would run during timed cells: no link-local addresses, no probes for duplicates, no routers.
    (EVERYWHERE, "net.ipv6.conf.default.addr_gen_mode", "1"),
    (EVERYWHERE, "net.ipv6.conf.default.accept_dad", "0"),
    (EVERYWHERE, "net.ipv6.conf.default.accept_ra", "0"),
    (
        EVERYWHERE,
        "net.ipv6.conf.default.router_solicitations",
        "0",
    ),
    (NODE, "net.ipv6.conf.all.forwarding", "1"),
    (ENDS, "net.ipv6.conf.all.forwarding", "0"),
    // Addresses of an AnyIP route are nobody's own (`ipv6_chk_addr` in net/ipv6/addrconf.c); a socket may bind to them so.
    (ENDS, "net.ipv6.ip_nonlocal_bind", "1"),
];

/// Writes what is pinned for a namespace.
///
/// # Errors
/// A value was refused. A sysctl that this kernel does not have is no error: it is recorded as absent.
pub(super) fn apply(kind: NodeKind, place: Place, ns: &NetNs) -> Result<(), HarnessError> {
    let own = here(kind, place).filter(|(_, _, value)| !value.is_empty());
    let own = own.map(|(_, name, value)| (*name, *value));
    ns.run(|| set(place, own))
        .map_err(|e| HarnessError::system("enter a namespace of the lab", e))?
}

/// Writes sysctls of the calling thread's namespace, that of `place`.
///
/// # Errors
/// As [`apply`].
pub(super) fn set<'a>(
    place: Place,
    mut sysctls: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<(), HarnessError> {
    sysctls.try_for_each(|(name, value)| match write_sysctl(name, value) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            let act = format!("set {name}={value} in the {} namespace", place.name());
            Err(HarnessError::system(act, error))
        }
        _ => Ok(()),
    })
}

/// Pins sysctls that were asked for, and sees that each reads back as it was written.
///
/// # Errors
/// One is not there, was refused, or reads back as something else.
pub(super) fn pin(
    place: Place,
    ns: &NetNs,
    wanted: &BTreeMap<String, String>,
) -> Result<(), HarnessError> {
    let write = || {
        for (name, value) in wanted {
            let act = || format!("sysctl {name}={value} in the {} namespace", place.name());
            pin_one(name, value).map_err(|error| HarnessError::system(act(), error))?;
        }
        Ok(())
    };
    ns.run(write)
        .map_err(|e| HarnessError::system("enter a namespace of the lab", e))?
}

fn pin_one(name: &str, value: &str) -> io::Result<()> {
    let explained = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => io::Error::new(
            io::ErrorKind::NotFound,
            "this kernel has none of that name there",
        ),
        io::ErrorKind::PermissionDenied => io::Error::new(
            io::ErrorKind::PermissionDenied,
            "it cannot be written in a namespace, or not without root",
        ),
        _ => error,
    };
    write_sysctl(name, value).map_err(explained)?;
    let is = read_sysctl(name).map_err(explained)?;
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    if words(&is) == words(value) {
        return Ok(());
    }
    Err(io::Error::other(format!("it reads back as {is}")))
}

fn here(
    kind: NodeKind,
    place: Place,
) -> impl Iterator<Item = &'static (&'static [Place], &'static str, &'static str)> {
    let more = match kind.families().contains(&Family::Ipv6) {
        true => IPV6_SYSCTLS,
        false => &[],
    };
    let replaced = |name: &str| more.iter().any(|(_, other, _)| *other == name);
    let kept = SYSCTLS.iter().filter(move |(_, name, _)| !replaced(name));
    kept.chain(more)
        .filter(move |(places, _, _)| places.contains(&place))
}

/// Reads everything in the table, and what was pinned beside it, for a namespace.
pub(super) fn read(
    kind: NodeKind,
    place: Place,
    ns: &NetNs,
    wanted: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let list = || {
        here(kind, place)
            .map(|(_, name, _)| *name)
            .chain(wanted.keys().map(String::as_str))
            .map(|name| {
                let value = read_sysctl(name).unwrap_or_else(|_| "absent".to_owned());
                (format!("{}:{name}", place.name()), value)
            })
            .collect()
    };
    ns.run(list).unwrap_or_default()
}
