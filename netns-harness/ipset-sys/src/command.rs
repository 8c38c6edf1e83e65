//! Commands as values, and the same as text: lines of `ipset restore`.

use std::ffi::CStr;
use std::fmt::{self, Write as _};
use std::net::IpAddr;

/// Kind of a set. The kernel's module is `ip_set_hash_*` (`net/netfilter/ipset/`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SetType {
    /// `hash:ip`: addresses.
    HashIp,
    /// `hash:net`: networks.
    HashNet,
    /// `hash:ip,port`: address, protocol and port.
    HashIpPort,
    /// `hash:ip,port,ip`: address, protocol and port, second address.
    HashIpPortIp,
    /// `hash:ip,port,net`: address, protocol and port, network.
    HashIpPortNet,
    /// `bitmap:port`: ports, of the whole range 0–65535; an [`Entry`] cannot have the first.
    BitmapPort,
}

impl SetType {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::HashIp,
        Self::HashNet,
        Self::HashIpPort,
        Self::HashIpPortIp,
        Self::HashIpPortNet,
        Self::BitmapPort,
    ];

    /// Whether its entries are of no address family: such a set has a range instead of `maxelem`.
    pub(crate) const fn is_bitmap(self) -> bool {
        matches!(self, Self::BitmapPort)
    }

    pub(crate) const fn c_name(self) -> &'static CStr {
        match self {
            Self::HashIp => c"hash:ip",
            Self::HashNet => c"hash:net",
            Self::HashIpPort => c"hash:ip,port",
            Self::HashIpPortIp => c"hash:ip,port,ip",
            Self::HashIpPortNet => c"hash:ip,port,net",
            Self::BitmapPort => c"bitmap:port",
        }
    }

    /// The name that `ipset list` shows as "Type".
    #[must_use]
    pub fn name(self) -> &'static str {
        self.c_name().to_str().unwrap_or_default()
    }
}

impl fmt::Display for SetType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Address family of a set's entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// IPv4.
    Inet,
    /// IPv6.
    Inet6,
}

impl Family {
    /// That of an address.
    #[must_use]
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::Inet,
            IpAddr::V6(_) => Self::Inet6,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inet => "inet",
            Self::Inet6 => "inet6",
        })
    }
}

/// A set to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Create {
    /// At most 31 bytes (`IPSET_MAXNAMELEN` counts the terminating NUL).
    pub name: String,
    /// What its entries are.
    pub set_type: SetType,
    /// Of which family they are. A bitmap has none, and does not look at it.
    pub family: Family,
    /// `maxelem`: one entry more is refused. A bitmap has none, and does not look at it.
    pub max_elements: u32,
    /// `hashsize`: buckets to begin with, which the kernel rounds up to a power of two; `None` is its default of
    /// 1024. A hash grows by itself, and waits for an RCU grace period each time (`mtype_resize`,
    /// `net/netfilter/ipset/ip_set_hash_gen.h`): name it where the number of entries is known. A bitmap has none.
    pub hash_size: Option<u32>,
    /// Whether entries can carry a [`Mark`].
    pub skbinfo: bool,
}

/// What iptables' `SET --map-set … --map-mark` gives a packet that an entry matches: the bits of `mask`
/// are set to those of `value` (ipset's `skbmark value/mask`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark {
    /// The mark.
    pub value: u32,
    /// The bits that it replaces.
    pub mask: u32,
}

/// An element of a set.
///
/// Its shape must be that of the set's type: `protocol` and `port` 0 for `hash:ip`, and `prefix` as well for `hash:net`; protocol and
/// port for `hash:ip,port`; `second` as well for `hash:ip,port,ip`, and `prefix` for `hash:ip,port,net`; for `bitmap:port` a port
/// without protocol, and no address. Another shape is refused by the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entry {
    /// First address, of the set's family; for `bitmap:port` unspecified.
    pub address: IpAddr,
    /// `IPPROTO_TCP`, `IPPROTO_UDP`; 0: the entry has no protocol.
    pub protocol: u8,
    /// Port, host byte order; 0 where the entry has none.
    pub port: u16,
    /// Second address, of `hash:ip,port,ip`; the network's, of `hash:ip,port,net`.
    pub second: Option<IpAddr>,
    /// Length of that network's prefix; of the only one, of `hash:net`.
    pub prefix: Option<u8>,
    /// Its mark; the set must have been made with `skbinfo`.
    pub mark: Option<Mark>,
}

impl Entry {
    /// The type of the sets that an entry of this shape belongs in.
    pub(crate) const fn set_type(&self) -> SetType {
        match (self.protocol, self.second) {
            (0, None) if self.port != 0 => SetType::BitmapPort,
            (0, None) if self.prefix.is_some() => SetType::HashNet,
            (0, None) => SetType::HashIp,
            (_, None) => SetType::HashIpPort,
            (_, Some(_)) if self.prefix.is_some() => SetType::HashIpPortNet,
            (_, Some(_)) => SetType::HashIpPortIp,
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.set_type() {
            SetType::BitmapPort => write!(f, "{}", self.port)?,
            _ => write!(f, "{}", self.address)?,
        }
        match self.protocol {
            0 => {}
            6 => write!(f, ",tcp:{}", self.port)?,
            17 => write!(f, ",udp:{}", self.port)?,
            other => write!(f, ",{other}:{}", self.port)?,
        }
        if let Some(second) = self.second {
            write!(f, ",{second}")?;
        }
        if let Some(prefix) = self.prefix {
            write!(f, "/{prefix}")?;
        }
        if let Some(Mark { value, mask }) = self.mark {
            write!(f, " skbmark {value:#x}/{mask:#x}")?;
        }
        Ok(())
    }
}

/// One command to the kernel. Shown ([`fmt::Display`]) as the command line of `ipset`, without that word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Makes a set; one of that name must not exist.
    Create(Create),
    /// Removes a set, with its entries; no rule may refer to it.
    Destroy(String),
    /// Removes a set's entries.
    Flush(String),
    /// Exchanges the contents of two sets of one type, atomically: rules that refer to a name see the other's.
    Swap(String, String),
    /// Adds an entry, which must not be there.
    Add(String, Entry),
    /// Removes an entry, which must be there; a mark plays no part.
    Delete(String, Entry),
}

impl Command {
    /// The names of sets in it.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let (first, second) = match self {
            Self::Create(create) => (&create.name, None),
            Self::Swap(from, to) => (from, Some(to)),
            Self::Destroy(name)
            | Self::Flush(name)
            | Self::Add(name, _)
            | Self::Delete(name, _) => (name, None),
        };
        std::iter::once(first).chain(second).map(String::as_str)
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create(Create {
                name,
                set_type,
                family,
                max_elements,
                hash_size,
                skbinfo,
            }) => {
                if set_type.is_bitmap() {
                    write!(f, "create {name} {set_type} range 0-65535")?;
                } else {
                    write!(
                        f,
                        "create {name} {set_type} family {family} maxelem {max_elements}"
                    )?;
                    if let Some(buckets) = hash_size {
                        write!(f, " hashsize {buckets}")?;
                    }
                }
                f.write_str(if *skbinfo { " skbinfo" } else { "" })
            }
            Self::Destroy(name) => write!(f, "destroy {name}"),
            Self::Flush(name) => write!(f, "flush {name}"),
            Self::Swap(from, to) => write!(f, "swap {from} {to}"),
            Self::Add(name, entry) => write!(f, "add {name} {entry}"),
            Self::Delete(name, entry) => {
                let mark = None;
                write!(f, "del {name} {}", Entry { mark, ..*entry })
            }
        }
    }
}

/// The same commands as input of `ipset restore`, a line each.
#[must_use]
pub fn restore_script(commands: &[Command]) -> String {
    let mut script = String::with_capacity(commands.len() * 64);
    for command in commands {
        let _ = writeln!(script, "{command}"); // writing to a String cannot fail
    }
    script
}
