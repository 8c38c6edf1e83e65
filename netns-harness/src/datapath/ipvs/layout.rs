//! What kube-proxy 1.34 makes whatever N: sets, chains, rules, sysctls (`pkg/proxy/ipvs/proxier.go`,
//! `ipset.go`); and what each service adds. For IPv6 sets have other names and are of its addresses, and two rules
//! name addresses of its own; all else is the same.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::LazyLock;

use ipset_sys::{Command, Create, Entry, SetType};
use ipvs_codec::{Destination, Forward, Protocol, Scheduler, Server, ServiceId};
use netns_sys::isolation::read_sysctl;
use nix::sys::socket::AddressFamily;
use schema::Family;

use crate::datapath::steps;
use crate::service::{Endpoint, Frontend, Plan};
use crate::xtables::RestoreText;
use crate::xtables::fixed::{Base, Question, Section};
use crate::xtables::tables::Tables;

/// The device that has every VIP.
pub(in crate::datapath) const DEVICE: &str = "kube-ipvs0";
/// Frontends whose packets are masqueraded when they come from outside of the cluster.
pub(super) const CLUSTER_IPS: &str = "KUBE-CLUSTER-IP";
/// Addresses of the device: no other port of the node is reached through them.
pub(super) const BOUND_IPS: &str = "KUBE-IPVS-IPS";

/// Every set that kube-proxy makes (`ipsetInfo`), as it is called for IPv4. All but the two above stay empty while
/// services have ClusterIPs alone and endpoints on other nodes.
pub(super) const SETS: &[(&str, SetType)] = &[
    ("KUBE-LOOP-BACK", SetType::HashIpPortIp),
    (CLUSTER_IPS, SetType::HashIpPort),
    ("KUBE-EXTERNAL-IP", SetType::HashIpPort),
    ("KUBE-EXTERNAL-IP-LOCAL", SetType::HashIpPort),
    ("KUBE-LOAD-BALANCER", SetType::HashIpPort),
    ("KUBE-LOAD-BALANCER-FW", SetType::HashIpPort),
    ("KUBE-LOAD-BALANCER-LOCAL", SetType::HashIpPort),
    ("KUBE-LOAD-BALANCER-SOURCE-IP", SetType::HashIpPortIp),
    ("KUBE-LOAD-BALANCER-SOURCE-CIDR", SetType::HashIpPortNet),
    ("KUBE-NODE-PORT-TCP", SetType::BitmapPort),
    ("KUBE-NODE-PORT-LOCAL-TCP", SetType::BitmapPort),
    ("KUBE-NODE-PORT-UDP", SetType::BitmapPort),
    ("KUBE-NODE-PORT-LOCAL-UDP", SetType::BitmapPort),
    ("KUBE-NODE-PORT-SCTP-HASH", SetType::HashIpPort),
    ("KUBE-NODE-PORT-LOCAL-SCTP-HASH", SetType::HashIpPort),
    ("KUBE-HEALTH-CHECK-NODE-PORT", SetType::BitmapPort),
    (BOUND_IPS, SetType::HashIp),
];

/// The longest name of a set, bytes (`IPSET_MAXNAMELEN` less the closing NUL).
const LONGEST_NAME: usize = 31;

/// What a set is called for a family: for IPv6 otherwise, so that both can be there, and cut where that is too long
/// (`NewIPSet`).
pub(super) fn named(set: &str, family: Family) -> String {
    match family {
        Family::Ipv4 => set.to_owned(),
        Family::Ipv6 => {
            let mut name = set.replacen("KUBE-", "KUBE-6-", 1);
            name.truncate(LONGEST_NAME);
            name
        }
    }
}

/// Every set of a family.
pub(super) fn sets(family: Family) -> impl Iterator<Item = (String, SetType)> {
    let sets = SETS.iter();
    sets.map(move |(name, set_type)| (named(name, family), *set_type))
}

/// kube-proxy's `maxelem` (`setIPSetDefaults` in pkg/proxy/ipvs/ipset/ipset.go): one entry more is refused, and with it all
/// of the service.
pub(super) const MAX_ELEMENTS: u32 = 65_536;
/// Enough for every population of the address plan. A limit that is not reached costs nothing.
const MORE_ELEMENTS: u32 = 1 << 20;

/// Chains (`iptablesChains`), jumps from built-in chains (`iptablesJumpChain`; kube-proxy puts each before the others, so
/// that within a chain its last is first) and rules (`writeIptablesRules`).
static BASES: LazyLock<[Base; 2]> =
    LazyLock::new(|| Base::both(include_str!("base.rules"), of_ipv6, asked));

fn of_ipv6(text: &str) -> String {
    let [ipv4, ipv6] = [Family::Ipv4, Family::Ipv6].map(|of| Plan::of(of).cluster.to_string());
    let text = text.replace("-s 127.0.0.0/8 ", "-s ::1/128 ");
    SETS.iter()
        .fold(text.replace(&ipv4, &ipv6), |text, (set, _)| {
            let of = |family| format!("--match-set {} ", named(set, family));
            text.replace(&of(Family::Ipv4), &of(Family::Ipv6))
        })
}

/// For all chains, then for all jumps.
fn asked(sections: &[Section]) -> Vec<Question> {
    let chains = sections
        .iter()
        .flat_map(|of| of.chains.iter().map(|chain| of.makes(chain)));
    let jumps = sections
        .iter()
        .flat_map(|of| of.jumps.iter().map(|jump| of.looks_for(jump)));
    chains.chain(jumps).collect()
}

/// What a family's `iptables` is asked at each sync, by which kube-proxy sees that its chains and jumps are there.
pub(super) fn questions(family: Family) -> &'static [Question] {
    &Base::of(&BASES, family).questions
}

/// Sysctls that kube-proxy sets once, at its start (`NewProxier`). `ip_forward` is the lab's own;
/// `arp_ignore` and `arp_announce` belong to strict ARP, which is off by default.
pub(super) const SYSCTLS: &[(&str, &str)] = &[
    ("net.ipv4.vs.conntrack", "1"),
    ("net.ipv4.vs.expire_nodest_conn", "1"),
    ("net.ipv4.vs.expire_quiescent_template", "1"),
];
/// The one that it sets only on kernels before 5.9 (`IPVSConnReuseModeFixedKernelVersion`), which made new
/// connections from a port in use wait a second (linux 35dfb013149f).
pub(super) const REUSE: (&str, &str) = ("net.ipv4.vs.conn_reuse_mode", "0");

/// The sysctls of the running kernel, with the values that they must have.
pub(super) fn sysctls() -> impl Iterator<Item = (&'static str, &'static str)> {
    let release = read_sysctl("kernel.osrelease").unwrap_or_default();
    let reuse = before_the_fix(&release).then_some(REUSE);
    SYSCTLS.iter().copied().chain(reuse)
}

/// Whether a kernel's release is before 5.9.
pub(super) fn before_the_fix(release: &str) -> bool {
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map(|number| number.parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    // What cannot be read is not touched.
    version != (0, 0) && version < (5, 9)
}

/// `create` commands of every set of a family; `raised`: with room for more entries than kube-proxy's.
pub(super) fn creates(family: Family, raised: bool) -> Vec<Command> {
    let max_elements = if raised { MORE_ELEMENTS } else { MAX_ELEMENTS };
    let create = |(name, set_type): (String, SetType)| {
        Command::Create(Create {
            name,
            set_type,
            family: steps::of_sets(family),
            max_elements: match set_type {
                SetType::BitmapPort => 0,
                _ => max_elements,
            },
            hash_size: None,
            skbinfo: false,
        })
    };
    sets(family).map(create).collect()
}

/// A rule that is there while a set has entries: table, set, chain with protocol, sides that are matched, comment and
/// target (`ipsetWithIptablesChain`).
type OfSet = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
);

const OF_SETS: &[OfSet] = &[
    (
        "nat",
        "KUBE-LOOP-BACK",
        "KUBE-POSTROUTING",
        "dst,dst,src",
        "Kubernetes endpoints dst ip:port, source ip for solving hairpin purpose",
        "MASQUERADE",
    ),
    (
        "nat",
        "KUBE-LOAD-BALANCER",
        "KUBE-SERVICES",
        "dst,dst",
        "Kubernetes service lb portal",
        "KUBE-LOAD-BALANCER",
    ),
    (
        "nat",
        "KUBE-LOAD-BALANCER-LOCAL",
        "KUBE-LOAD-BALANCER",
        "dst,dst",
        "Kubernetes service load balancer ip + port with externalTrafficPolicy=local",
        "RETURN",
    ),
    (
        "nat",
        "KUBE-NODE-PORT-LOCAL-TCP",
        "KUBE-NODE-PORT -p tcp",
        "dst",
        "Kubernetes nodeport TCP port with externalTrafficPolicy=local",
        "RETURN",
    ),
    (
        "nat",
        "KUBE-NODE-PORT-TCP",
        "KUBE-NODE-PORT -p tcp",
        "dst",
        "Kubernetes nodeport TCP port for masquerade purpose",
        "KUBE-MARK-MASQ",
    ),
    (
        "nat",
        "KUBE-NODE-PORT-LOCAL-UDP",
        "KUBE-NODE-PORT -p udp",
        "dst",
        "Kubernetes nodeport UDP port with externalTrafficPolicy=local",
        "RETURN",
    ),
    (
        "nat",
        "KUBE-NODE-PORT-UDP",
        "KUBE-NODE-PORT -p udp",
        "dst",
        "Kubernetes nodeport UDP port for masquerade purpose",
        "KUBE-MARK-MASQ",
    ),
    (
        "filter",
        "KUBE-LOAD-BALANCER-FW",
        "KUBE-PROXY-FIREWALL",
        "dst,dst",
        "Kubernetes service load balancer ip + port for load balancer with sourceRange",
        "KUBE-SOURCE-RANGES-FIREWALL",
    ),
    (
        "filter",
        "KUBE-LOAD-BALANCER-SOURCE-CIDR",
        "KUBE-SOURCE-RANGES-FIREWALL",
        "dst,dst,src",
        "Kubernetes service load balancer ip + port + source cidr for packet filter purpose",
        "RETURN",
    ),
    (
        "filter",
        "KUBE-LOAD-BALANCER-SOURCE-IP",
        "KUBE-SOURCE-RANGES-FIREWALL",
        "dst,dst,src",
        "Kubernetes service load balancer ip + port + source IP for packet filter purpose",
        "RETURN",
    ),
];

/// Rules for external addresses: under policy Cluster they are masqueraded, and what comes from another machine or is for
/// an address that is local all the same is accepted under either.
const EXTERNALS: [(&str, &str, &[&str]); 2] = [
    (
        "KUBE-EXTERNAL-IP",
        "Kubernetes service external ip + port for masquerade and filter purpose",
        &["-j KUBE-MARK-MASQ", FROM_OUTSIDE, TO_LOCAL],
    ),
    (
        "KUBE-EXTERNAL-IP-LOCAL",
        "Kubernetes service external ip + port with externalTrafficPolicy=local",
        &[FROM_OUTSIDE, TO_LOCAL],
    ),
];
const FROM_OUTSIDE: &str = "-m physdev ! --physdev-is-in -m addrtype ! --src-type LOCAL -j ACCEPT";
const TO_LOCAL: &str = "-m addrtype --dst-type LOCAL -j ACCEPT";

/// What rules depend on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Rules<'a> {
    /// Sets that have entries.
    pub(super) filled: BTreeSet<&'static str>,
    /// Load balancers' addresses that the node itself may not use.
    pub(super) closed: &'a [Frontend],
}

/// Both sections, as kube-proxy writes them at each sync (`writeIptablesRules`); `first`: with the jumps, which it makes by
/// processes of their own and only when they are not there. Some rules are there only while a set has entries.
pub(super) fn rules(text: &mut RestoreText, first: bool, on: &Rules<'_>) {
    let services_set = format!("--match-set {} ", named(CLUSTER_IPS, text.family));
    let services = on.filled.contains(CLUSTER_IPS);
    for section in &Base::of(&BASES, text.family).sections.0 {
        text.begin(section.table);
        section.chains.iter().for_each(|chain| text.declare(chain));
        text.all(section.jumps.iter().filter(|_| first));
        for rule in &section.rules {
            match section.table {
                "nat" if rule.contains(" --dst-type LOCAL -j KUBE-NODE-PORT") => {
                    externals(text, on)
                }
                "nat" if rule.starts_with("-A KUBE-POSTROUTING -m mark ") => balanced(text, on),
                "filter" if *rule == CLOSED => of_sets(text, section.table, on),
                _ => {}
            }
            let of_services = section.table == "nat" && rule.contains(&services_set);
            if services || !of_services {
                text.all([rule]);
            }
            match section.table {
                "nat" if rule.starts_with("-A KUBE-SERVICES -s ") => {
                    of_sets(text, section.table, on)
                }
                "filter" if *rule == CLOSED => closed(text, on),
                _ => {}
            }
        }
        text.commit();
    }
}

/// What is not in a source range.
const CLOSED: &str = "-A KUBE-SOURCE-RANGES-FIREWALL -j DROP";

fn of_sets(text: &mut RestoreText, table: &str, on: &Rules<'_>) {
    let there = |of: &&OfSet| of.0 == table && on.filled.contains(of.1);
    for (_, set, chain, sides, comment, target) in OF_SETS.iter().filter(there) {
        let set = named(set, text.family);
        text.operation(format_args!(
            "-A {chain} -m comment --comment \"{comment}\" -m set --match-set {set} {sides} -j {target}"
        ));
    }
}

fn externals(text: &mut RestoreText, on: &Rules<'_>) {
    let there = EXTERNALS.iter().filter(|(set, ..)| on.filled.contains(set));
    for (set, comment, ends) in there {
        let set = named(set, text.family);
        for end in *ends {
            text.operation(format_args!(
                "-A KUBE-SERVICES -m comment --comment \"{comment}\" -m set --match-set {set} dst,dst {end}"
            ));
        }
    }
}

/// What is for load balancers is accepted behind all else (`acceptIPVSTraffic`).
fn balanced(text: &mut RestoreText, on: &Rules<'_>) {
    if on.filled.contains("KUBE-LOAD-BALANCER") {
        let set = named("KUBE-LOAD-BALANCER", text.family);
        text.operation(format_args!(
            "-A KUBE-SERVICES -m set --match-set {set} dst,dst -j ACCEPT"
        ));
    }
}

/// A load balancer's address is one of the node's, and its source when the node itself uses it.
fn closed(text: &mut RestoreText, on: &Rules<'_>) {
    for Frontend {
        vip,
        port,
        protocol,
    } in on.closed
    {
        text.operation(format_args!(
            "-A KUBE-IPVS-OUT-FILTER -s {vip} -m ipvs --vaddr {vip} --vproto {protocol} --vport {port} -j DROP"
        ));
    }
}

/// The tables that kube-proxy leaves for a family.
pub(super) fn base(family: Family, on: &Rules<'_>) -> Tables {
    let mut text = RestoreText::new(family, true);
    rules(&mut text, true, on);
    Tables::of(&text.finish().0)
}

/// Reads the bases before anything asks for them.
pub(super) fn ready() {
    LazyLock::force(&BASES);
}

/// A family as route netlink has it.
pub(in crate::datapath) const fn of_links(family: Family) -> AddressFamily {
    match family {
        Family::Ipv4 => AddressFamily::Inet,
        Family::Ipv6 => AddressFamily::Inet6,
    }
}

/// A service's virtual server.
pub(super) fn id(frontend: Frontend) -> ServiceId {
    ServiceId {
        protocol: match frontend.protocol {
            schema::Protocol::Tcp => Protocol::Tcp,
            schema::Protocol::Udp => Protocol::Udp,
        },
        address: frontend.vip,
        port: frontend.port,
    }
}

/// The service that a virtual server is.
pub(super) fn frontend(id: ServiceId) -> Frontend {
    Frontend {
        vip: id.address,
        port: id.port,
        protocol: match id.protocol {
            Protocol::Tcp => schema::Protocol::Tcp,
            Protocol::Udp => schema::Protocol::Udp,
        },
    }
}

/// kube-proxy's default scheduler.
pub(super) const SCHEDULER: Scheduler = Scheduler::RoundRobin;

/// kube-proxy's virtual server: its default scheduler, no persistence.
pub(super) fn service(frontend: Frontend) -> ipvs_codec::Service {
    ipvs_codec::Service {
        id: id(frontend),
        scheduler: SCHEDULER,
        persistence_s: None,
    }
}

/// An endpoint's address and port.
pub(super) const fn server(endpoint: Endpoint) -> Server {
    Server {
        address: endpoint.address,
        port: endpoint.port,
    }
}

/// kube-proxy's destination: masquerading, weight 1.
pub(super) const fn destination(endpoint: Endpoint) -> Destination {
    Destination {
        server: server(endpoint),
        forward: Forward::Masquerade,
        weight: 1,
    }
}

/// A service's entry in KUBE-CLUSTER-IP.
pub(super) fn cluster_entry(frontend: Frontend) -> Entry {
    Entry {
        protocol: id(frontend).protocol.number() as u8,
        port: frontend.port,
        ..bound_entry(frontend.vip)
    }
}

/// A port's entry in a bitmap, which is of no family.
pub(super) const fn port_entry(port: u16) -> Entry {
    Entry {
        port,
        ..bound_entry(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
    }
}

/// A VIP's entry in KUBE-IPVS-IPS.
pub(super) const fn bound_entry(vip: IpAddr) -> Entry {
    Entry {
        address: vip,
        protocol: 0,
        port: 0,
        second: None,
        prefix: None,
        mark: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_reuse_is_set_on_kernels_before_its_fix_and_on_no_other() {
        for (release, old) in [
            ("4.19.0-27-amd64", true),
            ("5.8.18", true),
            ("5.9.0", false),
            ("5.10.0-30-cloud-amd64", false),
            ("6.1.0-42-cloud-amd64", false),
            ("", false),
        ] {
            assert_eq!(before_the_fix(release), old, "{release}");
        }
    }

    #[test]
    fn the_rules_of_ipv6_are_those_of_ipv4_with_its_sets_and_its_addresses() {
        let text = include_str!("base.rules");
        let ipv6 = of_ipv6(text);
        let changed = text.lines().zip(ipv6.lines()).filter(|(a, b)| a != b);
        let changed: Vec<&str> = changed.map(|(_, line)| line).collect();
        assert_eq!(changed[0], "-A KUBE-SERVICES -s ::1/128 -j RETURN");
        let masqueraded = "--match-set KUBE-6-CLUSTER-IP dst,dst ! -s fd00:10:128::/105 -j";
        assert!(changed[1].contains(masqueraded), "{}", changed[1]);
        let sets = text.matches("--match-set KUBE-").count();
        assert_eq!(ipv6.matches("--match-set KUBE-6-").count(), sets);
        assert_eq!(changed.len(), 1 + sets);
        assert_eq!(questions(Family::Ipv4), questions(Family::Ipv6));
    }

    #[test]
    fn sets_of_ipv6_are_called_as_kube_proxy_calls_them_cut_where_they_are_too_long() {
        let names: Vec<String> = sets(Family::Ipv6).map(|(name, _)| name).collect();
        for name in [
            "KUBE-6-CLUSTER-IP",
            "KUBE-6-IPVS-IPS",
            "KUBE-6-LOAD-BALANCER-SOURCE-CID",
            "KUBE-6-NODE-PORT-LOCAL-SCTP-HAS",
            "KUBE-6-HEALTH-CHECK-NODE-PORT",
        ] {
            assert!(names.iter().any(|known| known == name), "{name}");
        }
        let distinct: std::collections::BTreeSet<&String> = names.iter().collect();
        assert_eq!((names.len(), distinct.len()), (SETS.len(), SETS.len()));
        assert!(names.iter().all(|name| name.len() <= LONGEST_NAME));
    }

    #[test]
    fn sets_have_kube_proxys_limit_unless_it_is_raised() {
        let limit = |raised| match &creates(Family::Ipv4, raised)[1] {
            Command::Create(create) => create.max_elements,
            other => panic!("{other}"),
        };
        assert_eq!(limit(false), 65_536);
        assert!(limit(true) > 2 * crate::service::MAX_SERVICES);
    }
}
