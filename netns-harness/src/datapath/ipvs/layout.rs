//! What kube-proxy 1.34 makes whatever N: sets, chains, rules, sysctls (`pkg/proxy/ipvs/proxier.go`,
//! `ipset.go`); and what each service adds.

use std::net::IpAddr;
use std::sync::LazyLock;

use ipset_sys::{Command, Create, Entry, Family, SetType};
use ipvs_codec::{Destination, Forward, Protocol, Scheduler, Server, ServiceId};
use netns_sys::isolation::read_sysctl;

use crate::service::{Endpoint, Frontend};
use crate::xtables::RestoreText;
use crate::xtables::fixed::Fixed;
use crate::xtables::rule::words;
use crate::xtables::tables::Tables;

/// The device that has every VIP.
pub(super) const DEVICE: &str = "kube-ipvs0";
/// Frontends whose packets are masqueraded when they come from outside of the cluster.
pub(super) const CLUSTER_IPS: &str = "KUBE-CLUSTER-IP";
/// Addresses of the device: no other port of the node is reached through them.
pub(super) const BOUND_IPS: &str = "KUBE-IPVS-IPS";

/// Every set that kube-proxy makes (`ipsetInfo`). All but the two above stay empty here: there is no other
/// type of service yet, and KUBE-LOOP-BACK has an entry for each endpoint *on this node*, of which a lab's
/// node has none.
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

/// kube-proxy's `maxelem` (`setIPSetDefaults`).
const MAX_ELEMENTS: u32 = 65_536;
/// Beyond it kube-proxy itself ends. A limit that is not reached costs nothing, so larger populations get a
/// larger one: enough for every population of the address plan.
const MORE_ELEMENTS: u32 = 1 << 20;
/// Services that may be added later.
const SPARE: usize = 4_096;

/// Chains (`iptablesChains`), jumps from built-in chains (`iptablesJumpChain`; kube-proxy puts each before the
/// others, so that within a chain its last is first) and rules (`writeIptablesRules`).
static BASE: LazyLock<Fixed> = LazyLock::new(|| Fixed::read(include_str!("base.rules")));

/// Arguments of `iptables` by which kube-proxy sees at each sync that its chains and jumps are there.
pub(super) static QUESTIONS: LazyLock<Vec<Vec<String>>> = LazyLock::new(|| {
    let line = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let chains = BASE.0.iter().flat_map(|section| {
        let chains = section.chains.iter();
        chains.map(|chain| line(&format!("-w 5 -N {chain} -t {}", section.table)))
    });
    let jumps = BASE.0.iter().flat_map(|section| {
        section.jumps.iter().map(|jump| {
            let mut words = words(jump);
            let rule = words.split_off(2);
            let mut asked = line(&format!("-w 5 -C {} -t {}", words[1], section.table));
            asked.extend(rule);
            asked
        })
    });
    chains.chain(jumps).collect()
});

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

/// `create` commands of every set.
pub(super) fn creates(services: usize) -> Vec<Command> {
    let max_elements = match services + SPARE > MAX_ELEMENTS as usize {
        true => MORE_ELEMENTS,
        false => MAX_ELEMENTS,
    };
    let create = |&(name, set_type): &(&str, SetType)| {
        Command::Create(Create {
            name: name.to_owned(),
            set_type,
            family: Family::Inet,
            max_elements: match set_type {
                SetType::BitmapPort => 0,
                _ => max_elements,
            },
            hash_size: None,
            skbinfo: false,
        })
    };
    SETS.iter().map(create).collect()
}

/// Both sections, as kube-proxy writes them at each sync; `first`: with the jumps, which it makes by
/// processes of their own and only when they are not there. Two rules are there only while there are
/// `services`.
pub(super) fn rules(text: &mut RestoreText, first: bool, services: bool) {
    let for_services = |rule: &str| rule.contains(&format!("--match-set {CLUSTER_IPS} "));
    for section in &BASE.0 {
        text.begin(section.table);
        section.chains.iter().for_each(|chain| text.declare(chain));
        text.all(section.jumps.iter().filter(|_| first));
        let wanted = |rule: &&&str| services || section.table != "nat" || !for_services(rule);
        text.all(section.rules.iter().filter(wanted));
        text.commit();
    }
}

/// The tables that kube-proxy leaves.
pub(super) fn base(services: bool) -> Tables {
    let mut text = RestoreText::new(true);
    rules(&mut text, true, services);
    Tables::of(&text.finish().0)
}

/// Reads the base before anything asks for it.
pub(super) fn ready() {
    LazyLock::force(&QUESTIONS);
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

/// A VIP's entry in KUBE-IPVS-IPS.
pub(super) const fn bound_entry(vip: IpAddr) -> Entry {
    Entry {
        address: vip,
        protocol: 0,
        port: 0,
        second: None,
        mark: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::Plan;
    use schema::Family;

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
    fn the_rules_name_the_address_plan() {
        let network = format!("! -s {} ", Plan::of(Family::Ipv4).cluster);
        assert_eq!(include_str!("base.rules").matches(&network).count(), 1);
    }

    #[test]
    fn sets_have_kube_proxys_limit_until_it_would_be_reached() {
        let limit = |services| match &creates(services)[1] {
            Command::Create(create) => create.max_elements,
            other => panic!("{other}"),
        };
        assert_eq!(limit(10_000), 65_536);
        assert!(limit(61_441) > 100_000 && limit(100_000) > 100_000);
    }
}
