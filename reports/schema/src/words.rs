//! What the options of a cell say: transports, engines, positions, protocols, families, paths, caches; and ways of breaking
//! a datapath.

use crate::vocabulary::vocabulary;

/// What is known of a transport.
#[derive(Debug)]
pub struct TransportRow {
    /// As words after "through".
    pub words: &'static str,
    /// Whether it is the ordinary one of the modes that have it.
    pub ordinary: bool,
}

vocabulary! {
    /// How a batch reaches the kernel. Part of a cell's identity: the price of starting a process is never silently
    /// compared with a netlink message.
    Transport, "transport", of TransportRow, {
        /// `iptables-{legacy,nft}-restore -w 5 --noflush --counters`.
        Restore = "restore" { words: "iptables-restore", ordinary: true },
        /// Netlink messages of our own.
        Netlink = "netlink" { words: "netlink", ordinary: true },
        /// One process a rule: `iptables -A …`.
        Exec = "exec" { words: "a process a rule", ordinary: false },
        /// `nft -f -`.
        Nft = "nft" { words: "nft -f", ordinary: false },
        /// `ipset restore` for sets, `iptables-restore` for rules.
        IpsetRestore = "ipset-restore" { words: "ipset restore", ordinary: false },
        /// `ipvsadm -R` for virtual servers, `ipset restore` for sets.
        Ipvsadm = "ipvsadm" { words: "ipvsadm -R", ordinary: false },
        /// A real kube-proxy, which is told of services by an API server.
        KubeProxy = "kube-proxy" { words: "a real kube-proxy", ordinary: false },
    }
}

impl Transport {
    /// As words after "through".
    #[must_use]
    pub fn words(self) -> String {
        self.row().words.to_owned()
    }
}

/// What is known of a reader.
#[derive(Debug)]
pub struct ReaderRow {
    /// As words: what is started or asked.
    pub words: &'static str,
    /// The program that is started; none where we read ourselves. iptables-save has other names by engine and family.
    pub program: Option<&'static str>,
    /// Whether it reads what is there for both families.
    pub both_families: bool,
}

vocabulary! {
    /// What reads back what is installed. FAMILY is that of the services, `ip` or `ip6`.
    Reader, "reader", of ReaderRow, {
        /// `iptables-legacy-save`, `iptables-nft-save`, `ip6tables-…-save`: every table of the family.
        IptablesSave = "iptables-save" {
            words: "iptables-save",
            program: Some("iptables-save"),
            both_families: false,
        },
        /// `nft list ruleset FAMILY`.
        NftList = "nft-list" {
            words: "nft list ruleset",
            program: Some("nft"),
            both_families: false,
        },
        /// `nft --terse list ruleset FAMILY`: without elements of sets.
        NftTerse = "nft-terse" {
            words: "nft --terse list ruleset",
            program: Some("nft"),
            both_families: false,
        },
        /// `nft --json list ruleset FAMILY`.
        NftJson = "nft-json" {
            words: "nft --json list ruleset",
            program: Some("nft"),
            both_families: false,
        },
        /// `nft --json --terse list table FAMILY kube-proxy`, as kube-proxy 1.33, 1.35 and 1.36 ask before each sync.
        NftJsonTerse = "nft-json-terse" {
            words: "nft --json --terse list table",
            program: Some("nft"),
            both_families: false,
        },
        /// `nft --json list chains FAMILY`, as kube-proxy 1.32 and 1.34 ask before each sync.
        NftJsonChains = "nft-json-chains" {
            words: "nft --json list chains",
            program: Some("nft"),
            both_families: false,
        },
        /// Our dump of chains over netlink, of which names are kept, as kube-proxy 1.37 asks.
        NetlinkChains = "netlink-chains" {
            words: "a netlink dump of chains",
            program: None,
            both_families: false,
        },
        /// Our dumps of chains, rules, sets and elements over netlink, on one socket, of which nothing is decoded.
        NetlinkRaw = "netlink-raw" {
            words: "netlink dumps of everything, not decoded",
            program: None,
            both_families: false,
        },
        /// The same, with every expression and element decoded: what the census reads, on one socket.
        NetlinkDecoded = "netlink-decoded" {
            words: "netlink dumps of everything, decoded",
            program: None,
            both_families: false,
        },
        /// `ipset save`: every set of both families.
        IpsetSave = "ipset-save" {
            words: "ipset save",
            program: Some("ipset"),
            both_families: true,
        },
        /// `ipset list -t`: their headers.
        IpsetTerse = "ipset-terse" {
            words: "ipset list -t",
            program: Some("ipset"),
            both_families: true,
        },
        /// Our dump of sets with their entries over netlink, decoded.
        NetlinkSets = "netlink-sets" {
            words: "a netlink dump of sets",
            program: None,
            both_families: true,
        },
        /// `ipvsadm -Sn`: every virtual server with its destinations, of both families.
        IpvsadmSave = "ipvsadm-save" {
            words: "ipvsadm -Sn",
            program: Some("ipvsadm"),
            both_families: true,
        },
        /// Our dump of virtual servers over netlink, and one of each one's destinations, as kube-proxy asks.
        NetlinkServers = "netlink-servers" {
            words: "netlink dumps of virtual servers",
            program: None,
            both_families: true,
        },
        /// `ip -oneline -4 address show dev kube-ipvs0`, or `-6`.
        IpAddress = "ip-address" {
            words: "ip address show",
            program: Some("ip"),
            both_families: false,
        },
        /// Our dump of the family's addresses over netlink (RTM_GETADDR), of which the device's are kept.
        NetlinkAddresses = "netlink-addresses" {
            words: "a netlink dump of addresses",
            program: None,
            both_families: false,
        },
        /// /proc/net/fib_trie: routes of IPv4, with which every address of this node stands.
        FibTrie = "fib-trie" {
            words: "/proc/net/fib_trie",
            program: None,
            both_families: false,
        },
    }
}

impl Reader {
    /// As words.
    #[must_use]
    pub fn words(self) -> String {
        self.row().words.to_owned()
    }
}

vocabulary! {
    /// A minor version of kube-proxy: the rules that it installs, what a sync of it reads, and what it writes.
    KubeProxyVersion, "kube-proxy version", {
        /// Kubernetes 1.32: 1.32.13 is whose source was read and whose rules are recorded.
        V1_32 = "1.32",
        /// Kubernetes 1.33: 1.33.13 is whose source was read and whose rules are recorded.
        V1_33 = "1.33",
        /// Kubernetes 1.34: 1.34.4 is whose source was read and whose rules are recorded.
        V1_34 = "1.34",
        /// Kubernetes 1.35: 1.35.4 is whose source was read and whose rules are recorded.
        V1_35 = "1.35",
        /// Kubernetes 1.36: 1.36.3 is whose source was read and whose rules are recorded.
        V1_36 = "1.36",
        /// Kubernetes 1.37: 1.37.2 is whose source was read and whose rules are recorded.
        V1_37 = "1.37",
    }
}

impl Default for KubeProxyVersion {
    /// The newest.
    fn default() -> Self {
        Self::ALL[Self::ALL.len() - 1]
    }
}

vocabulary! {
    /// Which x_tables engine a mode's iptables rules go through, where both would do. The first is the ordinary one.
    Engine, "engine", {
        /// `iptables-legacy`: one table, replaced as a whole.
        Legacy = "legacy",
        /// `iptables-nft`: nf_tables rules that call x_tables matches.
        Nft = "nft",
    }
}

impl Default for Engine {
    fn default() -> Self {
        Self::ALL[0]
    }
}

vocabulary! {
    /// Transport protocol of a service.
    Protocol, "protocol", {
        /// TCP (RFC 9293).
        Tcp = "tcp",
        /// UDP (RFC 768).
        Udp = "udp",
    }
}

vocabulary! {
    /// Address family of a service.
    Family, "family", {
        /// IPv4 (RFC 791).
        Ipv4 = "ipv4",
        /// IPv6 (RFC 8200).
        Ipv6 = "ipv6",
    }
}

impl Family {
    /// As words: "IPv6".
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
        }
    }

    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Ipv4 => Self::Ipv6,
            Self::Ipv6 => Self::Ipv4,
        }
    }
}

impl Default for Family {
    /// That of a node where nobody says another.
    fn default() -> Self {
        Self::ALL[0]
    }
}

vocabulary! {
    /// How many families a node serves. The first is the ordinary one.
    Stack, "stack", {
        /// One: a single-stack node.
        Single = "single",
        /// IPv4 and IPv6: a dual-stack node, on which every service has an address of each and a kube-proxy programs both.
        Dual = "dual",
    }
}

impl Default for Stack {
    fn default() -> Self {
        Self::ALL[0]
    }
}

/// What a node serves, and which part of that a cell is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct NodeKind {
    /// How many families it serves.
    pub stack: Stack,
    /// The one whose services are changed and asked.
    pub family: Family,
}

impl NodeKind {
    /// Every one, in the fixed order.
    pub const ALL: [Self; 4] = [
        Self::single(Family::Ipv4),
        Self::single(Family::Ipv6),
        Self::dual(Family::Ipv4),
        Self::dual(Family::Ipv6),
    ];

    /// A node of one family.
    #[must_use]
    pub const fn single(family: Family) -> Self {
        Self {
            stack: Stack::Single,
            family,
        }
    }

    /// One family of a node that serves both.
    #[must_use]
    pub const fn dual(family: Family) -> Self {
        Self {
            stack: Stack::Dual,
            family,
        }
    }

    /// Every family that it serves, that of the cell first.
    #[must_use]
    pub const fn families(self) -> &'static [Family] {
        match (self.stack, self.family) {
            (Stack::Single, Family::Ipv4) => &[Family::Ipv4],
            (Stack::Single, Family::Ipv6) => &[Family::Ipv6],
            (Stack::Dual, Family::Ipv4) => &[Family::Ipv4, Family::Ipv6],
            (Stack::Dual, Family::Ipv6) => &[Family::Ipv6, Family::Ipv4],
        }
    }

    /// The family whose rules lie beside those of the cell.
    #[must_use]
    pub fn beside(self) -> Option<Family> {
        (self.stack == Stack::Dual).then(|| self.family.other())
    }

    /// Whether it is the one of a run in which nobody says another.
    #[must_use]
    pub fn is_ordinary(self) -> bool {
        self == Self::default()
    }

    /// As words: "IPv6", "IPv6 of a dual-stack node".
    #[must_use]
    pub fn words(self) -> String {
        match self.stack {
            Stack::Single => self.family.words().to_owned(),
            Stack::Dual => format!("{} of a dual-stack node", self.family.words()),
        }
    }
}

impl Protocol {
    /// As words: "TCP".
    #[must_use]
    pub fn words(self) -> String {
        self.name().to_uppercase()
    }
}

/// What is known of a position.
#[derive(Debug)]
pub struct PositionRow {
    /// Which service of all: "any", "the last".
    pub which: &'static str,
}

vocabulary! {
    /// Which service of the population is asked, in population order. The order is that of tables; the later one is
    /// the more telling where one has to be shown: what a random connection pays, else the dearest for a list.
    Position, "position", of PositionRow, {
        /// The first in the list.
        First = "first" { which: "the first" },
        /// The one in the middle.
        Middle = "middle" { which: "the middle" },
        /// The last.
        Last = "last" { which: "the last" },
        /// A random one for every flow.
        Uniform = "uniform" { which: "any" },
    }
}

impl Position {
    /// As words: "any service".
    #[must_use]
    pub fn words(self) -> String {
        format!("{} service", self.row().which)
    }
}

vocabulary! {
    /// Where flows come from. The first is the ordinary one.
    PacketPath, "path", {
        /// A pod: flows cross the node.
        Client = "client",
        /// The node itself.
        Node = "node",
    }
}

impl Default for PacketPath {
    fn default() -> Self {
        Self::ALL[0]
    }
}

impl PacketPath {
    /// As words: "from a client".
    #[must_use]
    pub fn words(self) -> String {
        match self {
            Self::Client => "from a client".to_owned(),
            Self::Node => "from the node itself".to_owned(),
        }
    }
}

vocabulary! {
    /// Whether caches hold what a flow walks. The first is the ordinary one.
    Cache, "cache", {
        /// The flow before walked it a moment ago.
        Warm = "warm",
        /// They were emptied, untimed: what a node with other work pays.
        Cold = "cold",
    }
}

impl Default for Cache {
    fn default() -> Self {
        Self::ALL[0]
    }
}

vocabulary! {
    /// A way of breaking a datapath by hand, to see that no number comes out.
    Damage, "damage", {
        /// One rule or element of a service is deleted.
        Delete = "delete",
        /// One endpoint's packets go elsewhere.
        Elsewhere = "elsewhere",
        /// One service's shares are no longer even.
        Skew = "skew",
        /// Two services' endpoints are exchanged.
        Swap = "swap",
    }
}
