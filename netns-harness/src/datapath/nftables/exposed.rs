//! What a service is on this node, by its addresses, traffic policies and affinity: chains, elements, sets and rules, in
//! the order in which `syncProxyRules` of `pkg/proxy/nftables/proxier.go` writes them.
//!
//! Up to 1.35 as in the source of that time; from 1.36 on as in 1.37.2, whose single endpoint alone is another rule.

use std::collections::HashSet;
use std::net::IpAddr;
use std::time::Duration;

use nft_codec::{
    Act, Comment, Comparison, Element, Key, KeyType, Name, Network, Rule, SetSpec, Statement,
    Verdict,
};

use super::layout::{self, Layout};
use crate::datapath::reach::Reach;
use crate::service::{Endpoint, Frontend, Plan, Service};

/// What leads packets to the rules of a service.
#[derive(Debug)]
pub(super) enum Part {
    /// A chain, existing and empty.
    Chain(Name),
    /// An element of a set or map.
    Element(Name, Element),
}

/// The chain of what comes to its VIP, and the endpoints that it leads to.
pub(super) fn internal(service: &Service) -> (Name, &[Endpoint]) {
    let reach = Reach(service);
    match service.exposure.internal_local {
        true => (layout::chain_of("local", service), reach.local()),
        false => (layout::service_chain(service), reach.cluster()),
    }
}

/// Which endpoints serve what comes from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum External<'a> {
    /// Every one.
    Cluster,
    /// Those of this node, by their chain; `None`: there is none.
    Local(Option<&'a Name>),
}

impl Layout {
    /// Chains and elements of a service.
    pub(super) fn parts(&self, service: &Service) -> Vec<Part> {
        let mut parts = Vec::with_capacity(8);
        self.inner_parts(service, true, &mut parts);
        self.outer_parts(service, true, &mut parts);
        parts
    }

    /// Chains of a service, each once, in the order in which kube-proxy makes them.
    pub(super) fn chains(&self, service: &Service) -> Vec<Name> {
        let parts = self.parts(service).into_iter();
        let chain = |part| match part {
            Part::Chain(chain) => Some(chain),
            Part::Element(..) => None,
        };
        parts.filter_map(chain).collect()
    }

    /// Elements of a service. Two services may have one in common: an endpoint of this node.
    pub(super) fn elements(&self, service: &Service) -> Vec<(Name, Element)> {
        let mut parts = Vec::with_capacity(2);
        self.inner_parts(service, false, &mut parts);
        self.outer_parts(service, false, &mut parts);
        let element = |part| match part {
            Part::Element(set, element) => Some((set, element)),
            Part::Chain(_) => None,
        };
        parts.into_iter().filter_map(element).collect()
    }

    /// Sets of a service's clients.
    pub(super) fn affinity_sets(&self, service: &Service) -> Vec<Name> {
        let mut sets = Vec::new();
        if service.exposure.affinity_s.is_some() {
            let mut seen = HashSet::new();
            sets = layout::names_of("affinity", service, Reach(service).all());
            sets.retain(|set| seen.insert(set.clone()));
        }
        sets
    }

    /// Endpoints, the chains of the policies, and the VIP; with `chains`, or elements alone.
    fn inner_parts(&self, service: &Service, chains: bool, parts: &mut Vec<Part>) {
        let reach = Reach(service);
        if chains && self.has_chains_of(service) {
            let mut seen = HashSet::new();
            let names = layout::names_of("endpoint", service, reach.all());
            for (chain, endpoint) in names.into_iter().zip(reach.all()) {
                if seen.insert(chain.clone()) {
                    parts.push(Part::Chain(chain));
                }
                parts.extend(self.hairpin(service, *endpoint));
            }
        } else {
            let all = reach.all().iter();
            parts.extend(all.filter_map(|endpoint| self.hairpin(service, *endpoint)));
        }
        if chains {
            for (kind, there) in [
                ("service", !reach.cluster().is_empty()),
                ("local", !reach.local().is_empty()),
                ("external", reach.served() && reach.exposed()),
            ] {
                if there {
                    parts.push(Part::Chain(layout::chain_of(kind, service)));
                }
            }
        }
        let (set, element) = layout::cluster_ip(service.frontend);
        parts.push(Part::Element(set, element));
        let (chain, endpoints) = internal(service);
        let (map, element) = match endpoints {
            [] => unserved(service, service.frontend.vip),
            _ => layout::service_element(service.frontend, chain),
        };
        parts.push(Part::Element(map, element));
    }

    /// The element of an endpoint of this node, whose packets to itself are masqueraded; before 1.36 its chain does that.
    fn hairpin(&self, service: &Service, endpoint: Endpoint) -> Option<Part> {
        if self.has_endpoint_chains() || !service.local.contains(&endpoint) {
            return None;
        }
        let proto = layout::l4proto(service.frontend.protocol);
        let key = Key::AddressesProtoPort([endpoint.address; 2], proto, endpoint.port);
        let set = Name::new(layout::HAIRPIN_CONNECTIONS);
        Some(Part::Element(set, Element::new(key, None)))
    }

    /// External addresses, addresses of the load balancer, and the node port.
    fn outer_parts(&self, service: &Service, chains: bool, parts: &mut Vec<Part>) {
        let (reach, exposure) = (Reach(service), &service.exposure);
        if !reach.exposed() {
            return;
        }
        let (served, served_outside) = (reach.served(), reach.served_externally());
        let external = layout::chain_of("external", service);
        let at = |vip: IpAddr| Frontend {
            vip,
            ..service.frontend
        };
        let element = |(set, element)| Part::Element(set, element);
        for vip in &exposure.external {
            if served {
                let led = layout::service_element(at(*vip), external.clone());
                parts.push(element(led));
            }
            if !served_outside {
                parts.push(element(unserved(service, *vip)));
            }
        }
        let ranged = reach.ranged();
        let firewall = ranged.then(|| layout::chain_of("firewall", service));
        if chains {
            parts.extend(firewall.clone().map(Part::Chain));
        }
        for vip in &exposure.load_balancer {
            if served {
                let led = layout::service_element(at(*vip), external.clone());
                parts.push(element(led));
            }
            parts.extend(firewall.clone().map(|chain| {
                let verdict = Some(Verdict::Goto(chain));
                let element = Element::new(layout::key(at(*vip)), verdict);
                Part::Element(Name::new(layout::FIREWALL_IPS), element)
            }));
        }
        if !served_outside {
            let unserved = exposure
                .load_balancer
                .iter()
                .map(|vip| unserved(service, *vip));
            parts.extend(unserved.map(element));
        }
        let Some(port) = exposure.node_port else {
            return;
        };
        let key = Key::ProtoPort(layout::l4proto(service.frontend.protocol), port);
        if served {
            let led = Element::new(key, Some(Verdict::Goto(external)));
            parts.push(Part::Element(Name::new(layout::SERVICE_NODEPORTS), led));
        }
        if !served_outside {
            let map = Name::new(layout::NO_ENDPOINT_NODEPORTS);
            parts.push(Part::Element(map, refused(service, key)));
        }
    }

    /// Sets and rules of a service, in kube-proxy's order.
    pub(super) fn rules(&self, service: &Service) -> Vec<Act> {
        let reach = Reach(service);
        let own = layout::service_chain(service);
        let local = reach.local().first();
        let local = local.map(|_| layout::chain_of("local", service));
        let mut acts = Vec::with_capacity(4);
        let inner = match service.exposure.internal_local {
            true => local.as_ref(),
            false => reach.served().then_some(&own),
        };
        if let Some(chain) = inner.filter(|_| self.has_endpoint_chains()) {
            let rule = self.off_cluster_rule(service.frontend);
            acts.push(Act::AddRule(chain.clone(), rule));
        }
        self.outer_rules(service, &own, local.as_ref(), &mut acts);
        if let Some(seconds) = service.exposure.affinity_s {
            let sets = self.affinity_sets(service).into_iter();
            acts.extend(sets.map(|name| {
                Act::AddSet(SetSpec {
                    name,
                    key: KeyType::Address,
                    verdicts: false,
                    timeout: Some(Duration::from_secs(seconds.into())),
                    comment: None,
                })
            }));
        }
        let cluster = reach.cluster().first().map(|_| own);
        for (chain, endpoints) in [(cluster, reach.cluster()), (local, reach.local())] {
            if let Some(chain) = chain {
                let rules = self.leading_rules(service, endpoints).into_iter();
                acts.extend(rules.map(|rule| Act::AddRule(chain.clone(), rule)));
            }
        }
        if self.has_chains_of(service) {
            self.rules_of_endpoints(service, reach.all(), &mut acts);
        }
        acts
    }

    /// Rules of the chains of what comes from outside and of who may use the load balancer.
    fn outer_rules(
        &self,
        service: &Service,
        own: &Name,
        local: Option<&Name>,
        acts: &mut Vec<Act>,
    ) {
        let reach = Reach(service);
        if reach.served() && reach.exposed() {
            let policy = match service.exposure.external_local {
                true => External::Local(local),
                false => External::Cluster,
            };
            let chain = layout::chain_of("external", service);
            let rules = self
                .external_rules(service.frontend, own, policy)
                .into_iter();
            acts.extend(rules.map(|rule| Act::AddRule(chain.clone(), rule)));
        }
        if reach.ranged() {
            let chain = layout::chain_of("firewall", service);
            acts.push(Act::AddRule(chain, firewall_rule(service)));
        }
    }

    /// Rules of the chain of what comes from outside: all of it masqueraded to the endpoints of `own`; or, by policy
    /// Local, only what pods and this node send, the rest as it is to the endpoints of this node. `of` tells the family.
    pub(super) fn external_rules(
        &self,
        of: Frontend,
        own: &Name,
        policy: External<'_>,
    ) -> Vec<Rule> {
        let goto = |chain: &Name| Statement::Verdict(Verdict::Goto(chain.clone()));
        let told = |statements: Vec<Statement>, comment: &str| Rule {
            statements,
            comment: Some(Comment::new(comment)),
        };
        let pods = layout::whole(Plan::of(of.family()).cluster);
        match policy {
            // The mark became a rule's own in 1.36, and was told why.
            External::Cluster if self.has_endpoint_chains() => {
                vec![Rule::new([self.mark()]), Rule::new([goto(own)])]
            }
            External::Cluster => vec![
                told(vec![self.mark()], "masquerade"),
                Rule::new([goto(own)]),
            ],
            External::Local(local) => {
                let pods = Statement::SourceAddress(Comparison::Equal, pods);
                let here = || Statement::SourceIsLocal;
                let mut rules = vec![
                    told(vec![pods, goto(own)], "short-circuit pod traffic"),
                    told(vec![here(), self.mark()], "masquerade local traffic"),
                    told(vec![here(), goto(own)], "short-circuit local traffic"),
                ];
                rules.extend(local.map(|chain| Rule::new([goto(chain)])));
                rules
            }
        }
    }

    /// Rules that lead from the chain of a policy to its endpoints; of a service with session affinity first to the one
    /// that has served the client before.
    pub(super) fn leading_rules(&self, service: &Service, endpoints: &[Endpoint]) -> Vec<Rule> {
        if !self.has_chains_of(service) {
            return vec![self.draw_rule(service.frontend.protocol, endpoints)];
        }
        let chains = layout::names_of("endpoint", service, endpoints);
        let mut rules = Vec::with_capacity(1 + chains.len());
        if service.exposure.affinity_s.is_some() {
            let sets = layout::names_of("affinity", service, endpoints);
            let pairs = sets.into_iter().zip(&chains);
            rules.extend(pairs.map(|(set, chain)| affinity_rule(set, chain.clone())));
        }
        rules.push(layout::choice_rule(&chains));
        rules
    }

    /// Rules of the chains of endpoints, each once.
    fn rules_of_endpoints(&self, service: &Service, endpoints: &[Endpoint], acts: &mut Vec<Act>) {
        let chains = layout::names_of("endpoint", service, endpoints);
        let affinity = service.exposure.affinity_s.is_some();
        let mut sets = match affinity {
            true => layout::names_of("affinity", service, endpoints),
            false => Vec::new(),
        }
        .into_iter();
        let mut written = HashSet::with_capacity(chains.len());
        for (chain, endpoint) in chains.iter().zip(endpoints) {
            let set = sets.next();
            if written.insert(chain) {
                let protocol = service.frontend.protocol;
                let rules = self.endpoint_rules(protocol, *endpoint, set);
                let rules = rules.into_iter();
                acts.extend(rules.map(|rule| Act::AddRule(chain.clone(), rule)));
            }
        }
    }
}

/// Leads a client to the endpoint in whose set it is.
pub(super) fn affinity_rule(set: Name, chain: Name) -> Rule {
    Rule::new([
        Statement::SourceInSet(set),
        Statement::Verdict(Verdict::Goto(chain)),
    ])
}

/// Drops what does not come from the source ranges; nor from the load balancer's own addresses, if this node may use it:
/// what it sends there comes back with that source.
fn firewall_rule(service: &Service) -> Rule {
    let exposure = &service.exposure;
    let ranges = exposure.source_ranges.iter();
    let mut sources: Vec<Network> = ranges.map(|range| layout::whole(*range)).collect();
    if Reach(service).ranges_have_the_node() {
        let own = exposure.load_balancer.iter();
        sources.extend(own.map(|vip| Network::host(*vip)));
    }
    Rule::new([
        Statement::SourceOutside(sources),
        Statement::Verdict(Verdict::Drop),
    ])
}

/// The element of an address of a service without endpoints for it.
fn unserved(service: &Service, vip: IpAddr) -> (Name, Element) {
    let key = layout::key(Frontend {
        vip,
        ..service.frontend
    });
    (
        Name::new(layout::NO_ENDPOINT_SERVICES),
        refused(service, key),
    )
}

/// Rejects packets of a service without endpoints; drops them where only the policy leaves none.
fn refused(service: &Service, key: Key) -> Element {
    let verdict = match Reach(service).served() {
        true => Verdict::Drop,
        false => Verdict::Goto(Name::new(layout::REJECT_CHAIN)),
    };
    Element {
        comment: Some(Comment::new(&service.port_name())),
        ..Element::new(key, Some(verdict))
    }
}
