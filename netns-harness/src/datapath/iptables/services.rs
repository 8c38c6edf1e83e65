//! What a service has in kube-proxy's tables nat and filter, whatever its type: the loop over services of `syncProxyRules`
//! (pkg/proxy/iptables/proxier.go of 1.37.2).

use std::fmt;
use std::net::IpAddr;

use schema::{Family, Protocol};

use super::layout::hash;
use crate::accounts;
use crate::datapath::reach::Reach;
use crate::service::{Endpoint, Plan, Service};
use crate::xtables::RestoreText;

/// A chain of a service: a prefix, and 16 characters of base32(sha256(port name + protocol)).
fn own_chain(prefix: &str, service: &Service) -> String {
    let protocol = service.frontend.protocol.name();
    format!("{prefix}{}", hash(&[&service.port_name(), protocol]))
}

/// The choice of its endpoints on all nodes: policy Cluster.
pub(in crate::datapath) fn service_chain(service: &Service) -> String {
    own_chain("KUBE-SVC-", service)
}

/// The choice of its endpoints on this node: policy Local.
pub(super) fn local_chain(service: &Service) -> String {
    own_chain("KUBE-SVL-", service)
}

/// Where packets to its external addresses and its node port go.
pub(super) fn external_chain(service: &Service) -> String {
    own_chain("KUBE-EXT-", service)
}

/// Who may use its load balancer's addresses.
pub(super) fn firewall_chain(service: &Service) -> String {
    own_chain("KUBE-FW-", service)
}

/// Prefixes of the chains that are a service's own (`isServiceChainName`).
pub(super) const OWN: [&str; 5] = [
    "KUBE-SVC-",
    "KUBE-SVL-",
    "KUBE-SEP-",
    "KUBE-FW-",
    "KUBE-EXT-",
];

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

/// The chains that a service has; none where there are no endpoints.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) external: Option<String>,
    pub(super) firewall: Option<String>,
    pub(super) cluster: Option<String>,
    pub(super) local: Option<String>,
    pub(super) endpoints: Vec<String>,
}

impl Own {
    pub(super) fn of(service: &Service) -> Self {
        let reach = Reach(service);
        let served = reach.served();
        let endpoints = reach.all().iter();
        Self {
            external: (served && reach.exposed()).then(|| external_chain(service)),
            firewall: (served && reach.ranged()).then(|| firewall_chain(service)),
            cluster: (!reach.cluster().is_empty()).then(|| service_chain(service)),
            local: (!reach.local().is_empty()).then(|| local_chain(service)),
            endpoints: endpoints.map(|e| endpoint_chain(service, *e)).collect(),
        }
    }

    /// In the order in which kube-proxy declares them.
    pub(super) fn declared(self) -> Vec<String> {
        let heads = [self.external, self.firewall, self.cluster, self.local];
        heads.into_iter().flatten().chain(self.endpoints).collect()
    }

    /// Each before those that lead to it.
    pub(super) fn made(self) -> Vec<String> {
        let heads = [self.cluster, self.local, self.external, self.firewall];
        self.endpoints
            .into_iter()
            .chain(heads.into_iter().flatten())
            .collect()
    }
}

/// The chains of a service and of its endpoints; none where there are no endpoints.
pub(in crate::datapath) fn chains_of(service: &Service) -> Vec<String> {
    Own::of(service).declared()
}

/// What packets to an address of a service match: words of a rule, with the protocol before the port.
struct To(Protocol, IpAddr, u16);

impl fmt::Display for To {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(protocol, address, port) = self;
        write!(f, "-m {protocol} -p {protocol} -d {address} --dport {port}")
    }
}

impl RestoreText {
    /// A service's rules in table filter: what is refused or dropped for want of endpoints or by source, and what asks
    /// after its health. A ClusterIP that is served has none.
    pub(super) fn service_filter_rules(&mut self, service: &Service) {
        let (reach, exposure) = (Reach(service), &service.exposure);
        let ranged = reach.served() && reach.ranged();
        let unserved = !reach.served_externally();
        let health = exposure.health_check_port;
        if reach.served_internally() && !unserved && !ranged && health.is_none() {
            return;
        }
        let name = service.port_name();
        let (protocol, port) = (service.frontend.protocol, service.frontend.port);
        let (why, target) = match reach.served() {
            true => (" has no local endpoints", "DROP"),
            false => (" has no endpoints", "REJECT"),
        };
        let comment = format!("-m comment --comment \"{name}{why}\"");
        if !reach.served_internally() {
            let to = To(protocol, service.frontend.vip, port);
            self.operation(format_args!("-A KUBE-SERVICES {comment} {to} -j {target}"));
        }
        for external in exposure.external.iter().filter(|_| unserved) {
            let to = To(protocol, *external, port);
            self.operation(format_args!(
                "-A KUBE-EXTERNAL-SERVICES {comment} {to} -j {target}"
            ));
        }
        for balancer in exposure.load_balancer.iter().filter(|_| ranged) {
            let (to, firewall) = (To(protocol, *balancer, port), firewall_chain(service));
            self.operation(format_args!(
                "-A KUBE-PROXY-FIREWALL -m comment --comment \"{name} traffic not accepted by {firewall}\" {to} -j DROP"
            ));
        }
        for balancer in exposure.load_balancer.iter().filter(|_| unserved) {
            let to = To(protocol, *balancer, port);
            self.operation(format_args!(
                "-A KUBE-EXTERNAL-SERVICES {comment} {to} -j {target}"
            ));
        }
        if let Some(port) = exposure.node_port.filter(|_| unserved) {
            self.operation(format_args!(
                "-A KUBE-EXTERNAL-SERVICES {comment} -m addrtype --dst-type LOCAL -m {protocol} -p {protocol} --dport {port} -j {target}"
            ));
        }
        if let Some(port) = health {
            self.operation(format_args!(
                "-A KUBE-NODEPORTS -m comment --comment \"{name} health check node port\" -m tcp -p tcp --dport {port} -j ACCEPT"
            ));
        }
    }

    /// The rules of a service with endpoints in the shared chains of table nat: in KUBE-SERVICES, the list that a first
    /// packet walks, one for its ClusterIP and one for each other address; in KUBE-NODEPORTS one for its node port, and of
    /// IPv4 before it one that counts packets to 127.0.0.0/8, which route_localnet lets in, where there are counters.
    pub(in crate::datapath) fn portals(&mut self, service: &Service) {
        let reach = Reach(service);
        if !reach.served() {
            return;
        }
        let (name, exposure) = (service.port_name(), &service.exposure);
        let (protocol, port) = (service.frontend.protocol, service.frontend.port);
        if reach.served_internally() {
            let to = To(protocol, service.frontend.vip, port);
            let chain = match exposure.internal_local {
                true => local_chain(service),
                false => service_chain(service),
            };
            self.operation(format_args!(
                "-A KUBE-SERVICES -m comment --comment \"{name} cluster IP\" {to} -j {chain}"
            ));
        }
        if !reach.exposed() {
            return;
        }
        let external = external_chain(service);
        for address in &exposure.external {
            let to = To(protocol, *address, port);
            self.operation(format_args!(
                "-A KUBE-SERVICES -m comment --comment \"{name} external IP\" {to} -j {external}"
            ));
        }
        let balanced = match reach.ranged() {
            true => &firewall_chain(service),
            false => &external,
        };
        for address in &exposure.load_balancer {
            let to = To(protocol, *address, port);
            self.operation(format_args!(
                "-A KUBE-SERVICES -m comment --comment \"{name} loadbalancer IP\" {to} -j {balanced}"
            ));
        }
        if let Some(port) = exposure.node_port {
            if self.accounts && self.family == Family::Ipv4 {
                self.operation(format_args!(
                    "-A KUBE-NODEPORTS -m comment --comment {name} -m {protocol} -p {protocol} -d 127.0.0.0/8 --dport {port} -m nfacct --nfacct-name {} -j {external}",
                    accounts::LOCALHOST
                ));
            }
            self.operation(format_args!(
                "-A KUBE-NODEPORTS -m comment --comment {name} -m {protocol} -p {protocol} --dport {port} -j {external}"
            ));
        }
    }

    /// Declares the chains of a service and of its endpoints.
    pub(in crate::datapath) fn declare_service(&mut self, service: &Service) {
        let chains = chains_of(service);
        chains.iter().for_each(|chain| self.declare(chain));
    }

    /// The rules of a service's chains: masquerade for sources outside the cluster, the way of external packets, the
    /// choice of endpoints, and per endpoint hairpin masquerade and DNAT.
    pub(in crate::datapath) fn service_rules(&mut self, service: &Service) {
        let reach = Reach(service);
        if !reach.served() {
            return;
        }
        let own = Own::of(service);
        let name = service.port_name();
        if reach.served_internally() {
            let chain = match service.exposure.internal_local {
                true => &own.local,
                false => &own.cluster,
            };
            let chain = chain
                .as_deref()
                .expect("a ClusterIP that is served has a choice");
            let (frontend, cluster) = (service.frontend, Plan::of(service.family()).cluster);
            let to = To(frontend.protocol, frontend.vip, frontend.port);
            self.operation(format_args!(
                "-A {chain} -m comment --comment \"{name} cluster IP\" {to} ! -s {cluster} -j KUBE-MARK-MASQ"
            ));
        }
        if let Some(external) = &own.external {
            self.external_rules(service, external);
            if let Some(firewall) = &own.firewall {
                self.firewall_rules(service, firewall, external);
            }
        }
        if let Some(chain) = &own.cluster {
            self.choice(service, chain, reach.cluster());
        }
        if let Some(chain) = &own.local {
            self.choice(service, chain, reach.local());
        }
        for (chain, endpoint) in own.endpoints.iter().zip(reach.all()) {
            self.endpoint_rules(service, chain, *endpoint);
        }
    }

    /// Of external packets under policy Cluster the source is replaced. Under policy Local those of this node's pods and
    /// of itself go where policy Cluster lets them, and only what comes from elsewhere to endpoints here.
    fn external_rules(&mut self, service: &Service, external: &str) {
        let name = service.port_name();
        let cluster = service_chain(service);
        let local = service.exposure.external_local;
        if local {
            let pods = Plan::of(service.family()).cluster;
            self.operation(format_args!(
                "-A {external} -m comment --comment \"pod traffic for {name} external destinations\" -s {pods} -j {cluster}"
            ));
            self.operation(format_args!(
                "-A {external} -m comment --comment \"masquerade LOCAL traffic for {name} external destinations\" -m addrtype --src-type LOCAL -j KUBE-MARK-MASQ"
            ));
            self.operation(format_args!(
                "-A {external} -m comment --comment \"route LOCAL traffic for {name} external destinations\" -m addrtype --src-type LOCAL -j {cluster}"
            ));
        } else {
            self.operation(format_args!(
                "-A {external} -m comment --comment \"masquerade traffic for {name} external destinations\" -j KUBE-MARK-MASQ"
            ));
        }
        if Reach(service).served_externally() {
            let chosen = if local { local_chain(service) } else { cluster };
            self.operation(format_args!("-A {external} -j {chosen}"));
        }
    }

    /// What of a load balancer's packets goes on; the rest comes back untranslated, and table filter drops it. Where the
    /// node itself may use it, so may its own packets that bear the load balancer's address.
    fn firewall_rules(&mut self, service: &Service, firewall: &str, external: &str) {
        let name = service.port_name();
        let comment = format!("-m comment --comment \"{name} loadbalancer IP\"");
        for range in &service.exposure.source_ranges {
            self.operation(format_args!(
                "-A {firewall} {comment} -s {range} -j {external}"
            ));
        }
        let balancers = service.exposure.load_balancer.iter();
        let own = Reach(service).ranges_have_the_node();
        for balancer in balancers.filter(|_| own) {
            self.operation(format_args!(
                "-A {firewall} {comment} -s {balancer} -j {external}"
            ));
        }
        self.operation(format_args!(
            "-A {firewall} -m comment --comment \"other traffic to {name} will be dropped by KUBE-PROXY-FIREWALL\""
        ));
    }

    /// The endpoint that a client had of late, else an even choice (`writeServiceToEndpointRules`).
    fn choice(&mut self, service: &Service, chain: &str, endpoints: &[Endpoint]) {
        let name = service.port_name();
        if let Some(seconds) = service.exposure.affinity_s {
            for endpoint in endpoints {
                let target = endpoint_chain(service, *endpoint);
                let comment = self.comment(&name, &format!(" -> {endpoint}"));
                self.operation(format_args!(
                    "-A {chain}{comment} -m recent --name {target} --rcheck --seconds {seconds} --reap -j {target}"
                ));
            }
        }
        let count = endpoints.len();
        for (i, endpoint) in endpoints.iter().enumerate() {
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
    }

    fn endpoint_rules(&mut self, service: &Service, chain: &str, endpoint: Endpoint) {
        let protocol = service.frontend.protocol;
        let comment = self.comment(&service.port_name(), "");
        self.operation(format_args!(
            "-A {chain}{comment} -s {} -j KUBE-MARK-MASQ",
            endpoint.address
        ));
        let noted = match service.exposure.affinity_s {
            Some(_) => format!(" -m recent --name {chain} --set"),
            None => String::new(),
        };
        self.operation(format_args!(
            "-A {chain}{comment}{noted} -m {protocol} -p {protocol} -j DNAT --to-destination {endpoint}"
        ));
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
