//! kube-proxy's iptables rules as text: names, shared chains, per-service chains, the same in every version from 1.32
//! to 1.37 (`pkg/proxy/iptables/proxier.go`; netns-harness/tests/kube-proxy).
//!
//! Deviation: kube-proxy makes its canary chains and jump rules with one process each, once, before its
//! first sync; here they are part of the first transaction.

use std::sync::LazyLock;

use data_encoding::BASE32;
use schema::Protocol;
use sha2::{Digest, Sha256};

use crate::service::{Endpoint, Plan, Population, Service};
use crate::xtables::RestoreText;
use crate::xtables::fixed::Fixed;
use crate::xtables::rule::words;
use crate::xtables::tables::Tables;

/// What every sync writes whatever the services: the shared chains, which a declaration flushes, and their rules;
/// and the jumps to them, which are there once.
static BASE: LazyLock<Fixed> = LazyLock::new(|| Fixed::read(include_str!("base.rules")));

/// An empty chain in each of three tables: kube-proxy asks every syncPeriod whether mangle's is there still, and else
/// knows that somebody has flushed its rules (`Monitor` in pkg/util/iptables/iptables.go).
pub(super) const CANARY: &str = "KUBE-PROXY-CANARY";
/// What of the filter section comes before the services that are refused.
const BEFORE_REFUSALS: &str = "-A KUBE-FIREWALL ";
/// The list of services, which kube-proxy closes with the node-port rule.
const PORTALS: &str = "-A KUBE-SERVICES ";

/// The shared chains of table nat.
pub(in crate::datapath) fn nat_chains() -> &'static [&'static str] {
    &BASE.of("nat").chains
}

/// Reads the base before anything asks for it.
pub(in crate::datapath) fn ready() {
    LazyLock::force(&BASE);
    LazyLock::force(&QUESTIONS);
}

/// `KUBE-SVC-` and 16 characters of base32(sha256(port name + protocol)).
pub(in crate::datapath) fn service_chain(service: &Service) -> String {
    format!(
        "KUBE-SVC-{}",
        hash(&[&service.port_name(), service.frontend.protocol.name()])
    )
}

/// `KUBE-SEP-` and 16 characters of base32(sha256(port name + protocol + endpoint)).
pub(super) fn endpoint_chain(service: &Service, endpoint: Endpoint) -> String {
    format!(
        "KUBE-SEP-{}",
        hash(&[
            &service.port_name(),
            service.frontend.protocol.name(),
            &endpoint.to_string()
        ])
    )
}

/// The chains of a service and of its endpoints; none where there are no endpoints.
pub(in crate::datapath) fn chains_of(service: &Service) -> Vec<String> {
    let own = (!service.endpoints.is_empty()).then(|| service_chain(service));
    let endpoints = service
        .endpoints
        .iter()
        .map(|e| endpoint_chain(service, *e));
    own.into_iter().chain(endpoints).collect()
}

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

    /// The whole filter section; `first`: with the jumps from the built-in chains. Of `services` those without
    /// endpoints are refused.
    pub(in crate::datapath) fn filter_section(&mut self, first: bool, services: &[Service]) {
        let filter = BASE.of("filter");
        self.begin("filter");
        filter.chains.iter().for_each(|chain| self.declare(chain));
        self.jumps("filter", first);
        let (before, after): (Vec<_>, Vec<_>) = filter
            .rules
            .iter()
            .partition(|rule| rule.starts_with(BEFORE_REFUSALS));
        self.all(before);
        let refused = services.iter().filter(|s| s.endpoints.is_empty());
        for service in refused {
            let (name, frontend) = (service.port_name(), service.frontend);
            let protocol = frontend.protocol;
            self.operation(format_args!(
                "-A KUBE-SERVICES -m comment --comment \"{name} has no endpoints\" -m {protocol} -p {protocol} -d {} --dport {} -j REJECT",
                frontend.vip, frontend.port,
            ));
        }
        self.all(after);
        self.commit();
    }

    /// Section nat begun, its shared chains declared.
    pub(in crate::datapath) fn begin_nat(&mut self) {
        self.begin("nat");
        nat_chains().iter().for_each(|chain| self.declare(chain));
    }

    pub(in crate::datapath) fn jumps(&mut self, table: &str, first: bool) {
        if first {
            self.all(&BASE.of(table).jumps);
        }
    }

    pub(in crate::datapath) fn nat_rules_first(&mut self) {
        let rules = BASE.of("nat").rules.iter();
        self.all(rules.filter(|rule| !rule.starts_with(PORTALS)));
    }

    pub(in crate::datapath) fn nat_rules_last(&mut self) {
        let rules = BASE.of("nat").rules.iter();
        self.all(rules.filter(|rule| rule.starts_with(PORTALS)));
    }

    /// The rule of a service with endpoints in KUBE-SERVICES: the list that a first packet walks.
    pub(in crate::datapath) fn portal(&mut self, service: &Service) {
        if service.endpoints.is_empty() {
            return;
        }
        let name = service.port_name();
        let protocol = service.frontend.protocol;
        self.operation(format_args!(
            "-A KUBE-SERVICES -m comment --comment \"{name} cluster IP\" -m {protocol} -p {protocol} -d {} --dport {} -j {}",
            service.frontend.vip,
            service.frontend.port,
            service_chain(service),
        ));
    }

    /// Declares the chains of a service and of its endpoints.
    pub(in crate::datapath) fn declare_service(&mut self, service: &Service) {
        let chains = chains_of(service);
        chains.iter().for_each(|chain| self.declare(chain));
    }

    /// The rules of a service's chains: masquerade for sources outside the cluster, an even choice of
    /// endpoints, and per endpoint hairpin masquerade and DNAT.
    pub(in crate::datapath) fn service_rules(&mut self, service: &Service) {
        if service.endpoints.is_empty() {
            return;
        }
        let chain = service_chain(service);
        let name = service.port_name();
        let protocol: Protocol = service.frontend.protocol;
        let cluster = Plan::of(service.family()).cluster;
        self.operation(format_args!(
            "-A {chain} -m comment --comment \"{name} cluster IP\" -m {protocol} -p {protocol} -d {} --dport {} ! -s {cluster} -j KUBE-MARK-MASQ",
            service.frontend.vip, service.frontend.port,
        ));
        let count = service.endpoints.len();
        for (i, endpoint) in service.endpoints.iter().enumerate() {
            let target = endpoint_chain(service, *endpoint);
            let comment = self.comment(&name, &format!(" -> {endpoint}"));
            if i + 1 < count {
                let probability = 1.0 / (count - i) as f64;
                self.operation(format_args!(
                    "-A {chain}{comment} -m statistic --mode random --probability {probability:.10} -j {target}"
                ));
            } else {
                self.operation(format_args!("-A {chain}{comment} -j {target}"));
            }
        }
        for endpoint in &service.endpoints {
            let chain = endpoint_chain(service, *endpoint);
            let comment = self.comment(&name, "");
            self.operation(format_args!(
                "-A {chain}{comment} -s {} -j KUBE-MARK-MASQ",
                endpoint.address
            ));
            self.operation(format_args!(
                "-A {chain}{comment} -m {protocol} -p {protocol} -j DNAT --to-destination {endpoint}"
            ));
        }
    }

    /// What kube-proxy leaves out in large clusters: comments of jumps to endpoints and in their chains. Those
    /// of a service's own rules it always writes (`appendServiceCommentLocked` and its callers).
    fn comment(&self, name: &str, rest: &str) -> String {
        if self.large_cluster {
            String::new()
        } else {
            format!(" -m comment --comment \"{name}{rest}\"")
        }
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

/// What a process asks in a full sync, and whether the tool finds it or refuses: a chain to jump to, which cannot be made
/// as it is there, and the jump.
pub(super) static QUESTIONS: LazyLock<Vec<(Vec<String>, bool)>> = LazyLock::new(|| {
    let of = |table: &str, jump: &str| {
        let rule = jump.strip_prefix("-A ")?;
        let (from, rule) = rule.split_once(' ')?;
        let (_, to) = rule.rsplit_once(' ')?;
        let make = words(&format!("-w 5 -N {to} -t {table}"));
        let check = words(&format!("-w 5 -C {from} -t {table} {rule}"));
        Some([(make, false), (check, true)])
    };
    let sections = BASE.0.iter();
    let jumps = sections.flat_map(|section| section.jumps.iter().map(|jump| (section.table, jump)));
    jumps
        .flat_map(|(table, jump)| of(table, jump).expect("a jump of our own"))
        .collect()
});

/// Tables without services, as a first sync leaves them.
pub(super) fn base() -> Tables {
    let mut text = RestoreText::new(true);
    text.canaries();
    text.filter_section(true, &[]);
    text.begin_nat();
    text.jumps("nat", true);
    text.nat_rules_first();
    text.nat_rules_last();
    text.commit();
    Tables::of(&text.finish().0)
}
