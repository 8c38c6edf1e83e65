//! Virtual servers and destinations: the words of `ip_vs_ctl.c`.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// Transport protocol of a virtual server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// Its IP protocol number.
    #[must_use]
    pub const fn number(self) -> u16 {
        match self {
            Self::Tcp => libc::IPPROTO_TCP as u16,
            Self::Udp => libc::IPPROTO_UDP as u16,
        }
    }

    /// The protocol of that number; `None` for any other that IPVS knows (SCTP, ESP, AH).
    #[must_use]
    pub const fn from_number(number: u16) -> Option<Self> {
        match number as i32 {
            libc::IPPROTO_TCP => Some(Self::Tcp),
            libc::IPPROTO_UDP => Some(Self::Udp),
            _ => None,
        }
    }
}

/// What names a virtual server. Shown as `ipvsadm` takes it: `-t 10.96.0.1:80`, `-t [fd00::1]:80`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceId {
    /// Transport protocol.
    pub protocol: Protocol,
    /// Virtual address.
    pub address: IpAddr,
    /// Port, host byte order.
    pub port: u16,
}

impl fmt::Display for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let option = match self.protocol {
            Protocol::Tcp => 't',
            Protocol::Udp => 'u',
        };
        let at = SocketAddr::new(self.address, self.port);
        write!(f, "-{option} {at}")
    }
}

macro_rules! schedulers {
    ($($(#[$meta:meta])* $variant:ident = $name:literal),+ $(,)?) => {
        /// Which destination a new connection gets: a module `ip_vs_NAME` each
        /// (`net/netfilter/ipvs/`).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub enum Scheduler { $($(#[$meta])* $variant),+ }

        impl Scheduler {
            /// Every scheduler of Linux 6.12.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name that the kernel and `ipvsadm` use.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }
    };
}

schedulers! {
    /// One after the other; weights only matter when they are 0. kube-proxy's default.
    #[default]
    RoundRobin = "rr",
    /// One after the other, as often as their weights say.
    WeightedRoundRobin = "wrr",
    /// Fewest connections.
    LeastConnection = "lc",
    /// Fewest connections by weight.
    WeightedLeastConnection = "wlc",
    /// Highest weight that is up.
    WeightedFailover = "fo",
    /// Highest weight until it has that many connections.
    WeightedOverflow = "ovf",
    /// Least connections, kept by destination address.
    LocalityLeastConnection = "lblc",
    /// The same over a set of servers for each address.
    LocalityWithReplication = "lblcr",
    /// Hash of the destination address.
    DestinationHash = "dh",
    /// Hash of the source address.
    SourceHash = "sh",
    /// Maglev's hash (kube-proxy's `mh`).
    Maglev = "mh",
    /// Shortest expected delay.
    ShortestDelay = "sed",
    /// A server without connections, else the shortest expected delay.
    NeverQueue = "nq",
    /// The less loaded of two chosen at random.
    PowerOfTwo = "twos",
}

impl Scheduler {
    /// The scheduler of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|s| s.name() == name)
    }
}

/// A virtual server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Service {
    /// Where it is reached.
    pub id: ServiceId,
    /// How destinations are chosen.
    pub scheduler: Scheduler,
    /// Seconds for which a client stays with its destination; `None`: every connection is scheduled.
    pub persistence_s: Option<u32>,
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -s {}", self.id, self.scheduler.name())?;
        match self.persistence_s {
            Some(seconds) => write!(f, " -p {seconds}"),
            None => Ok(()),
        }
    }
}

/// Where a destination listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Server {
    /// Real address.
    pub address: IpAddr,
    /// Port, host byte order.
    pub port: u16,
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", SocketAddr::new(self.address, self.port))
    }
}

/// How packets reach a destination (`IP_VS_CONN_F_FWD_MASK`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Forward {
    /// Destination address and port are translated.
    #[default]
    Masquerade,
    /// The destination is an address of this namespace; the kernel says so of itself.
    Local,
    /// IP in IP.
    Tunnel,
    /// Routed with its address unchanged.
    Route,
}

impl Forward {
    /// Its number in netlink.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::Masquerade => 0,
            Self::Local => 1,
            Self::Tunnel => 2,
            Self::Route => 3,
        }
    }

    /// The method of that number.
    #[must_use]
    pub const fn from_number(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::Masquerade),
            1 => Some(Self::Local),
            2 => Some(Self::Tunnel),
            3 => Some(Self::Route),
            _ => None,
        }
    }
}

/// A destination of a virtual server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Destination {
    /// Where it listens.
    pub server: Server,
    /// How packets reach it.
    pub forward: Forward,
    /// Its weight; 0 takes no new connections and keeps those that it has.
    pub weight: u32,
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let forward = match self.forward {
            Forward::Masquerade | Forward::Local => 'm',
            Forward::Tunnel => 'i',
            Forward::Route => 'g',
        };
        write!(f, "-r {} -{forward} -w {}", self.server, self.weight)
    }
}

/// A virtual server as the kernel lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedService {
    /// The server.
    pub service: Service,
    /// Flags of the scheduler and one-packet scheduling, as the kernel numbers them
    /// (`IP_VS_SVC_F_ONEPACKET`, `_SCHED1` …); 0 in an ordinary server.
    pub other_flags: u32,
}

/// A destination as the kernel lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedDestination {
    /// The destination.
    pub destination: Destination,
    /// Limits of connections (`-x`, `-y`); (0, 0): none.
    pub thresholds: (u32, u32),
    /// Connections that are established.
    pub active: u32,
    /// Connections in any other state.
    pub inactive: u32,
}
