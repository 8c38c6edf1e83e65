//! kube-proxy's iptables rules as text: the shared chains, the same in every version from 1.32 to 1.37
//! (`pkg/proxy/iptables/proxier.go`; netns-harness/tests/kube-proxy). What services have says `services.rs`.
//!
//! For IPv6 two things differ whatever the services (`syncProxyRules`). There is no rule against packets that come to
//! 127.0.0.0/8 from outside, so no sync writes KUBE-FIREWALL, though the kubelet's jumps to it are made as for IPv4; and the
//! node-port rule leaves ::1 out.
//!
//! Where the kernel has nfnetlink_acct ([`crate::accounts`]) two rules name its counters: that against packets that connection
//! tracking takes for invalid, and one before each node port's (`services.rs`).
//!
//! Deviation: kube-proxy makes its canary chains and jump rules with one process each, once, before its
//! first sync; here they are part of the first transaction.

use std::sync::LazyLock;

use data_encoding::BASE32;
use schema::Family;
use sha2::{Digest, Sha256};

use super::Iptables;
use crate::accounts;
use crate::service::{Population, Service};
use crate::xtables::RestoreText;
use crate::xtables::fixed::{Base, Question, Section};
use crate::xtables::tables::Tables;

/// The shared chains, which a declaration flushes, and their rules; and the jumps to them, which are there once.
static BASES: LazyLock<[Base; 2]> =
    LazyLock::new(|| Base::both(include_str!("base.rules"), of_ipv6, asked));

fn of_ipv6(text: &str) -> String {
    let written = text
        .lines()
        .filter(|line| !line.starts_with(BEFORE_SERVICES));
    let beside_loopback = |line: &str| {
        let ports = "--dst-type LOCAL -j KUBE-NODEPORTS";
        line.replace(ports, "--dst-type LOCAL ! -d ::1/128 -j KUBE-NODEPORTS") + "\n"
    };
    written.map(beside_loopback).collect()
}

/// For each jump its chain and itself.
fn asked(sections: &[Section]) -> Vec<Question> {
    let of = |section: &Section| {
        let both = |jump: &&str| {
            let to = jump.rsplit(' ').next().unwrap_or_default();
            [section.makes(to), section.looks_for(jump)]
        };
        section.jumps.iter().flat_map(both).collect::<Vec<_>>()
    };
    sections.iter().flat_map(of).collect()
}

/// An empty chain in each of three tables: kube-proxy asks every syncPeriod whether mangle's is there still, and else
/// knows that somebody has flushed its rules (`Monitor` in pkg/util/iptables/iptables.go).
pub(super) const CANARY: &str = "KUBE-PROXY-CANARY";
/// The kubelet's chain, which kube-proxy makes with the jumps to it and writes to in syncs of IPv4 alone.
const KUBELETS: &str = "KUBE-FIREWALL";
/// What of the filter section comes before the rules of services.
const BEFORE_SERVICES: &str = "-A KUBE-FIREWALL ";
/// Against packets that connection tracking takes for invalid; where there are counters its own one counts them.
const AGAINST_INVALID: &str = "-A KUBE-FORWARD -m conntrack --ctstate INVALID";
/// The list of services, which kube-proxy closes with the node-port rule.
const PORTALS: &str = "-A KUBE-SERVICES ";

/// The shared chains of table nat.
pub(in crate::datapath) fn nat_chains(family: Family) -> &'static [&'static str] {
    &Base::of(&BASES, family).sections.of("nat").chains
}

/// Reads the bases before anything asks for them.
pub(in crate::datapath) fn ready() {
    LazyLock::force(&BASES);
}

/// 16 characters of base32(sha256(parts)).
pub(super) fn hash(parts: &[&str]) -> String {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update(part.as_bytes());
    }
    let mut text = BASE32.encode(&digest.finalize());
    text.truncate(16);
    text
}

impl RestoreText {
    /// The canary chains, once.
    pub(in crate::datapath) fn canaries(&mut self) {
        for table in ["mangle", "nat", "filter"] {
            self.begin(table);
            self.declare(CANARY);
            self.commit();
        }
    }

    /// The whole filter section; `first`: with the jumps from the built-in chains.
    pub(in crate::datapath) fn filter_section(&mut self, first: bool, services: &[Service]) {
        self.begin_filter(first);
        self.jumps("filter", first);
        self.filter_rules(services);
        self.commit();
    }

    /// Section filter begun, its shared chains declared; `first`: with those that no sync writes to.
    pub(super) fn begin_filter(&mut self, first: bool) {
        self.begin("filter");
        let written = |chain: &&&str| first || self.family == Family::Ipv4 || **chain != KUBELETS;
        let chains = Base::of(&BASES, self.family)
            .sections
            .of("filter")
            .chains
            .iter();
        let chains: Vec<_> = chains.filter(written).collect();
        chains.into_iter().for_each(|chain| self.declare(chain));
    }

    /// Its rules, with those of services behind the kubelet's and before the others.
    pub(super) fn filter_rules(&mut self, services: &[Service]) {
        let filter = Base::of(&BASES, self.family).sections.of("filter");
        let (before, after): (Vec<_>, Vec<_>) = filter
            .rules
            .iter()
            .partition(|rule| rule.starts_with(BEFORE_SERVICES));
        self.all(before);
        services.iter().for_each(|s| self.service_filter_rules(s));
        for rule in after {
            match rule.strip_prefix(AGAINST_INVALID) {
                Some(rest) if self.accounts => self.operation(format_args!(
                    "{AGAINST_INVALID} -m nfacct --nfacct-name {}{rest}",
                    accounts::INVALID
                )),
                _ => self.operation(format_args!("{rule}")),
            }
        }
    }

    /// Section nat begun, its shared chains declared.
    pub(in crate::datapath) fn begin_nat(&mut self) {
        self.begin("nat");
        let chains = nat_chains(self.family).iter();
        chains.for_each(|chain| self.declare(chain));
    }

    pub(in crate::datapath) fn jumps(&mut self, table: &str, first: bool) {
        if first {
            self.all(&Base::of(&BASES, self.family).sections.of(table).jumps);
        }
    }

    pub(in crate::datapath) fn nat_rules_first(&mut self) {
        let rules = Base::of(&BASES, self.family)
            .sections
            .of("nat")
            .rules
            .iter();
        self.all(rules.filter(|rule| !rule.starts_with(PORTALS)));
    }

    pub(in crate::datapath) fn nat_rules_last(&mut self) {
        let rules = Base::of(&BASES, self.family)
            .sections
            .of("nat")
            .rules
            .iter();
        self.all(rules.filter(|rule| rule.starts_with(PORTALS)));
    }
}

/// Services of `to` that are new or changed, and services of `from` that are gone or changed.
pub(in crate::datapath) fn changes<'a>(
    from: &'a Population,
    to: &'a Population,
) -> (Vec<&'a Service>, Vec<&'a Service>) {
    let key = |s: &Service| (s.frontend, s.index);
    let before: std::collections::HashMap<_, _> =
        from.services.iter().map(|s| (key(s), s)).collect();
    let after: std::collections::HashMap<_, _> = to.services.iter().map(|s| (key(s), s)).collect();
    let written = to
        .services
        .iter()
        .filter(|s| before.get(&key(s)) != Some(s))
        .collect();
    let stale = from
        .services
        .iter()
        .filter(|s| after.get(&key(s)) != Some(s))
        .collect();
    (written, stale)
}

/// What processes ask in a full sync, and whether the tool finds it or refuses.
pub(super) fn questions(family: Family) -> &'static [Question] {
    &Base::of(&BASES, family).questions
}

/// Tables without services, as a first sync leaves them.
pub(super) fn base(iptables: Iptables) -> Tables {
    let mut text = iptables.text(true);
    text.canaries();
    text.filter_section(true, &[]);
    text.begin_nat();
    text.jumps("nat", true);
    text.nat_rules_first();
    text.nat_rules_last();
    text.commit();
    Tables::of(&text.finish().0)
}

#[cfg(test)]
mod tests {
    use schema::Engine;

    use super::*;

    #[test]
    fn what_ipv6_has_otherwise_are_two_rules() {
        fn only<'a>(of: &[&'a str], others: &[&str]) -> Vec<&'a str> {
            let own = of.iter().filter(|line| !others.contains(line));
            own.copied().collect()
        }
        let text = include_str!("base.rules");
        let ipv6 = of_ipv6(text);
        let [ipv4, ipv6] = [text, &ipv6].map(|text| text.lines().collect::<Vec<_>>());
        let (gone, new) = (only(&ipv4, &ipv6), only(&ipv6, &ipv4));
        assert!(gone[0].starts_with("-A KUBE-FIREWALL ") && gone[0].contains(" -d 127.0.0.0/8 "));
        assert!(gone[1].ends_with("--dst-type LOCAL -j KUBE-NODEPORTS"));
        assert!(new[0].ends_with("--dst-type LOCAL ! -d ::1/128 -j KUBE-NODEPORTS"));
        assert_eq!((gone.len(), new.len()), (2, 1));
    }

    #[test]
    fn both_families_ask_for_the_same_chains_and_jumps() {
        assert_eq!(questions(Family::Ipv4), questions(Family::Ipv6));
        assert_eq!(questions(Family::Ipv6).len(), 2 * 14);
    }

    #[test]
    fn syncs_of_ipv6_leave_the_kubelets_chain_alone_which_is_there_all_the_same() {
        let section = |family, first| {
            let mut text = RestoreText::new(family, true);
            text.filter_section(first, &[]);
            text.finish().0
        };
        for (family, first, written) in [
            (Family::Ipv4, true, true),
            (Family::Ipv4, false, true),
            (Family::Ipv6, true, true),
            (Family::Ipv6, false, false),
        ] {
            let text = section(family, first);
            assert_eq!(text.contains(KUBELETS), written, "{family} {first}: {text}");
        }
        let kubelets = |family| {
            let tables = base(Iptables::of(Engine::Legacy, family));
            tables.0["filter"].chains[KUBELETS].len()
        };
        assert_eq!(
            Family::ALL
                .iter()
                .map(|family| kubelets(*family))
                .collect::<Vec<_>>(),
            [1, 0]
        );
    }
}
