//! kube-proxy's iptables rules as text: names, shared chains, per-service chains (kube-proxy ≥ 1.28,
//! `pkg/proxy/iptables/proxier.go`).
//!
//! Deviation: kube-proxy makes its jump rules with one `iptables -I` process each, once, before its
//! first sync; here they are part of the first transaction.

use std::sync::LazyLock;

use data_encoding::BASE32;
use schema::Protocol;
use sha2::{Digest, Sha256};

use crate::service::{CLUSTER_CIDR, Endpoint, Population, Service};
use crate::xtables::RestoreText;
use crate::xtables::fixed::Fixed;
use crate::xtables::tables::Tables;

/// What every sync writes whatever the services: the shared chains, which a declaration flushes, and their rules;
/// and the jumps to them, which are there once.
static BASE: LazyLock<Fixed> = LazyLock::new(|| Fixed::read(include_str!("base.rules")));

/// The list of services, which kube-proxy closes with the node-port rule.
const PORTALS: &str = "-A KUBE-SERVICES ";

/// The shared chains of table nat.
pub(in crate::datapath) fn nat_chains() -> &'static [&'static str] {
    &BASE.of("nat").chains
}

/// Reads the base before anything asks for it.
pub(in crate::datapath) fn ready() {
    LazyLock::force(&BASE);
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

/// The chains of a service and of its endpoints.
pub(in crate::datapath) fn chains_of(service: &Service) -> Vec<String> {
    let endpoints = service
        .endpoints
        .iter()
        .map(|e| endpoint_chain(service, *e));
    std::iter::once(service_chain(service))
        .chain(endpoints)
        .collect()
}

fn hash(parts: &[&str]) -> String {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update(part.as_bytes());
    }
    let mut text = BASE32.encode(&digest.finalize());
    text.truncate(16);
    text
}

impl RestoreText {
    /// The whole filter section; `first`: with the jumps from the built-in chains.
    pub(in crate::datapath) fn filter_section(&mut self, first: bool) {
        let filter = BASE.of("filter");
        self.begin("filter");
        filter.chains.iter().for_each(|chain| self.declare(chain));
        self.jumps("filter", first);
        self.all(&filter.rules);
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

    /// The service's rule in KUBE-SERVICES: the list that a first packet walks.
    pub(in crate::datapath) fn portal(&mut self, service: &Service) {
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
        self.declare(&service_chain(service));
        for endpoint in &service.endpoints {
            self.declare(&endpoint_chain(service, *endpoint));
        }
    }

    /// The rules of a service's chains: masquerade for sources outside the cluster, an even choice of
    /// endpoints, and per endpoint hairpin masquerade and DNAT.
    pub(in crate::datapath) fn service_rules(&mut self, service: &Service) {
        let chain = service_chain(service);
        let name = service.port_name();
        let protocol: Protocol = service.frontend.protocol;
        self.operation(format_args!(
            "-A {chain} -m comment --comment \"{name} cluster IP\" -m {protocol} -p {protocol} -d {} --dport {} ! -s {CLUSTER_CIDR} -j KUBE-MARK-MASQ",
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

/// Tables without services, as a first sync leaves them.
pub(super) fn base() -> Tables {
    Tables::of(include_str!("base.rules"))
}
