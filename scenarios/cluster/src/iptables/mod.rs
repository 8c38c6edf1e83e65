//! kube-proxy's rules as `iptables-save` and `ip6tables-save` print them, of every layout since KUBE-XLB: portals lead to
//! chains of services, those choose among chains of endpoints, those say where. Chains of one service have one suffix, of
//! which no more is asked than that.

mod rule;

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use crate::found::{Found, Source};
use crate::note::Notes;
use crate::service::{Endpoint, Family, Name, Net, Protocol, Service, Vip, address_and_port};
use rule::{Line, Rule};

/// The most endpoints that the first choice of a cut chain is believed to have.
const MOST_CHOICES: f64 = 10_000.0;

/// The most ranges of pods that are kept; a node has one a family.
const MOST_RANGES: usize = 64;

/// Kinds of chains that are made anew for each service or endpoint.
const MADE: [&str; 6] = ["SVC", "SVL", "EXT", "XLB", "FW", "SEP"];

/// A chain's kind and suffix: of `KUBE-SVC-ABC` they are SVC and ABC.
fn made(chain: &str) -> Option<(&'static str, &str)> {
    let (kind, suffix) = chain.strip_prefix("KUBE-")?.split_once('-')?;
    let kind = MADE.into_iter().find(|made| *made == kind)?;
    (!suffix.is_empty()).then_some((kind, suffix))
}

/// By which of its addresses a rule is for a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Cluster,
    LoadBalancer,
    External,
    /// One of both.
    Outside,
}

/// A rule for an address and port of a service.
#[derive(Debug)]
struct Portal {
    address: IpAddr,
    port: u16,
    protocol: Protocol,
    by: By,
    name: Option<Name>,
    /// The suffix of the service's chains, and whether it is the chain of local endpoints; none where nothing serves.
    leads: Option<(String, bool)>,
    /// Nothing serves because no endpoint is on this node.
    none_local: bool,
    line: u64,
}

/// A rule that chooses an endpoint.
#[derive(Debug)]
struct Choice {
    /// Suffix of the endpoint's chain.
    endpoint: String,
    probability: Option<f64>,
    /// What the comment says of it.
    address: Option<(IpAddr, u16)>,
}

/// What is said of a service outside of its portals.
#[derive(Debug, Default)]
struct Chains {
    choices: Vec<Choice>,
    local_choices: Vec<Choice>,
    /// Whether the chain of local endpoints is there.
    external_local: bool,
    affinity_seconds: Option<Option<u32>>,
    ranges: Vec<Net>,
    node_port: Option<u16>,
}

/// The rules of one family, as one run of the tool printed them.
#[derive(Debug, Default)]
struct Ruleset {
    tables: HashSet<String>,
    portals: Vec<Portal>,
    services: HashMap<String, Chains>,
    endpoints: HashMap<String, (IpAddr, Option<u16>)>,
    /// Node ports of services that nothing serves, by name.
    refused_node_ports: Vec<(Name, Protocol, u16, bool)>,
    declared: HashSet<String>,
    targets: HashSet<String>,
    pods: Vec<Net>,
    /// Whether a table of nat was printed to its end.
    whole: bool,
    /// Whether anything of kube-proxy is in it.
    any: bool,
}

/// What was read of a file.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    rulesets: Vec<Ruleset>,
    /// The table whose end did not come yet.
    open: Option<String>,
}

/// What came of all rules.
#[derive(Debug, Default)]
pub(crate) struct Traced {
    pub(crate) found: Vec<Found>,
    pub(crate) stale: u64,
    pub(crate) pods: Vec<Net>,
}

impl Rules {
    /// Whether a table was begun and did not end.
    pub(crate) const fn open_table(&self) -> Option<&String> {
        self.open.as_ref()
    }

    /// Whether there are any.
    pub(crate) fn is_empty(&self) -> bool {
        !self.rulesets.iter().any(|rules| rules.any)
    }

    /// Takes a line in; `None` where it is none of theirs, an error where it is cut.
    pub(crate) fn line(&mut self, line: &str, number: u64) -> Option<Result<(), &'static str>> {
        let line = match rule::read(line)? {
            Ok(line) => line,
            Err(e) => return Some(Err(e)),
        };
        match line {
            Line::Table(table) => {
                // The same table once more: another family, or another node.
                let again = self
                    .rulesets
                    .last()
                    .is_none_or(|rules| rules.tables.contains(table));
                if again {
                    self.rulesets.push(Ruleset::default());
                }
                self.ruleset().tables.insert(table.to_owned());
                self.open = Some(table.to_owned());
            }
            Line::Chain(chain) => {
                let rules = self.ruleset();
                if made(chain).is_some() {
                    rules.declared.insert(chain.to_owned());
                }
                rules.any |= chain.starts_with("KUBE-");
            }
            Line::Rule(rule) => {
                let rules = self.ruleset();
                rules.any = true;
                return Some(rules.take(*rule, number));
            }
            Line::Commit => {
                let ended = self.open.take();
                self.ruleset().whole |= ended.as_deref() == Some("nat");
            }
            Line::Nothing => {}
        }
        Some(Ok(()))
    }

    fn ruleset(&mut self) -> &mut Ruleset {
        if self.rulesets.is_empty() {
            self.rulesets.push(Ruleset::default());
        }
        let last = self.rulesets.len() - 1;
        &mut self.rulesets[last]
    }

    /// The services that the rules make.
    pub(crate) fn trace(self, file: usize, notes: &mut Notes) -> Traced {
        let mut traced = Traced::default();
        for rules in self.rulesets {
            if rules.whole {
                let stale = rules.declared.difference(&rules.targets);
                traced.stale += stale.count() as u64;
            }
            traced.pods.extend_from_slice(&rules.pods);
            rules.trace(file, notes, &mut traced.found);
        }
        traced
    }
}

impl Ruleset {
    fn take(&mut self, rule: Rule, line: u64) -> Result<(), &'static str> {
        if made(&rule.target).is_some() {
            self.targets.insert(rule.target.clone());
        }
        let pods = rule.source_is_not && rule.target == "KUBE-MARK-MASQ";
        if pods
            && let Some(net) = rule.source
            && self.pods.len() < MOST_RANGES
            && !self.pods.contains(&net)
        {
            self.pods.push(net);
        }
        match rule.chain.as_str() {
            "KUBE-SERVICES" => return self.portal(rule, false, line),
            "KUBE-EXTERNAL-SERVICES" => return self.portal(rule, true, line),
            "KUBE-NODEPORTS" => {
                if let (Some((_, suffix)), Some(port)) = (made(&rule.target), rule.port) {
                    self.service(suffix).node_port = Some(port);
                }
            }
            chain => {
                if let Some((kind, suffix)) = made(chain) {
                    let suffix = suffix.to_owned();
                    self.made(kind, &suffix, rule);
                }
            }
        }
        Ok(())
    }

    fn service(&mut self, suffix: &str) -> &mut Chains {
        self.services.entry(suffix.to_owned()).or_default()
    }

    /// A rule of KUBE-SERVICES, or of KUBE-EXTERNAL-SERVICES.
    fn portal(&mut self, rule: Rule, outside: bool, line: u64) -> Result<(), &'static str> {
        let (said, by) = said(&rule.comment);
        let refuses = matches!(rule.target.as_str(), "REJECT" | "DROP");
        let none_local = rule.target == "DROP";
        let leads = made(&rule.target).map(|(kind, suffix)| (kind, suffix.to_owned()));
        let (Some(protocol), Some(port)) = (rule.protocol, rule.port) else {
            return match leads {
                Some(_) => Err("a service without protocol and port"),
                None => Ok(()),
            };
        };
        let address = rule.destination.filter(|_| !rule.destination_is_not);
        let Some(address) = address.and_then(|net| net.host()) else {
            if refuses
                && rule.to_local
                && let Some(name) = said
            {
                self.refused_node_ports
                    .push((name, protocol, port, none_local));
            }
            return Ok(());
        };
        if leads.is_none() && !refuses {
            return Ok(());
        }
        let by = match (by, &leads) {
            (Some(by), _) => by,
            (None, Some(("FW", _))) => By::LoadBalancer,
            (None, Some(("EXT" | "XLB", _))) => By::Outside,
            (None, _) if outside => By::Outside,
            (None, _) => By::Cluster,
        };
        self.portals.push(Portal {
            address,
            port,
            protocol,
            by,
            name: said,
            none_local: leads.is_none() && none_local,
            leads: leads.map(|(kind, suffix)| (suffix, kind == "SVL")),
            line,
        });
        Ok(())
    }

    /// A rule of a chain that is made for a service or an endpoint.
    fn made(&mut self, kind: &str, suffix: &str, rule: Rule) {
        let target = made(&rule.target);
        match (kind, target) {
            ("SEP", _) => {
                if let Some((address, port)) = rule.to {
                    self.endpoints
                        .insert(suffix.to_owned(), (address, Some(port)));
                } else if let Some(address) = rule.source.and_then(|net| net.host()) {
                    let places = self.endpoints.entry(suffix.to_owned());
                    places.or_insert((address, None));
                }
            }
            ("SVC" | "SVL" | "XLB", Some(("SEP", endpoint))) => {
                let endpoint = endpoint.to_owned();
                let chains = self.service(suffix);
                if rule.remembered {
                    chains.affinity_seconds = Some(rule.seconds);
                    return;
                }
                chains.external_local |= kind == "XLB";
                let choices = match kind {
                    "SVC" => &mut chains.choices,
                    _ => &mut chains.local_choices,
                };
                choices.push(Choice {
                    endpoint,
                    probability: rule.probability,
                    address: rule
                        .comment
                        .split_once(" -> ")
                        .and_then(|(_, at)| address_and_port(at)),
                });
            }
            ("EXT", target) => {
                let local = rule.from_local || matches!(target, Some(("SVL", _)));
                self.service(suffix).external_local |= local;
            }
            ("XLB", _) => self.service(suffix).external_local = true,
            ("FW", Some(_)) => {
                if let Some(net) = rule.source {
                    self.service(suffix).ranges.push(net);
                }
            }
            _ => {}
        }
    }

    fn trace(mut self, file: usize, notes: &mut Notes, found: &mut Vec<Found>) {
        let mut by_suffix: HashMap<String, usize> = HashMap::new();
        let mut by_name: HashMap<(Name, Protocol), usize> = HashMap::new();
        let portals = std::mem::take(&mut self.portals);
        let (own, mut outside): (Vec<_>, Vec<_>) = portals
            .into_iter()
            .partition(|portal| portal.by == By::Cluster);
        let first = found.len();
        for portal in own {
            let service = self.served(&portal, file, notes);
            let place = found.len();
            if let Some((suffix, _)) = &portal.leads {
                by_suffix.entry(suffix.clone()).or_insert(place);
            }
            if let Some(name) = &portal.name {
                by_name
                    .entry((name.clone(), portal.protocol))
                    .or_insert(place);
            }
            found.push(Found {
                service,
                source: Source::Iptables,
                file,
                line: Some(portal.line),
            });
        }
        for (suffix, chains) in &self.services {
            if let Some(place) = by_suffix.get(suffix) {
                let service = &mut found[*place].service;
                service.node_port = chains.node_port.map(Some);
                service.external_local = chains.external_local;
                service.affinity_seconds = chains.affinity_seconds;
                service.source_ranges = chains.ranges.iter().map(|net| Some(*net)).collect();
            }
        }
        for (name, protocol, port, none_local) in std::mem::take(&mut self.refused_node_ports) {
            if let Some(place) = by_name.get(&(name, protocol)) {
                let service = &mut found[*place].service;
                service.node_port = Some(Some(port));
                service.external_local |= none_local;
            }
        }
        // One that is refused for want of local endpoints is known by where it is served.
        outside.sort_by_key(|portal| portal.by == By::Outside);
        let mut placed = HashSet::new();
        for portal in outside {
            let of_chain = portal
                .leads
                .as_ref()
                .and_then(|(suffix, _)| by_suffix.get(suffix));
            let name = portal.name.clone().map(|name| (name, portal.protocol));
            let place = of_chain.or_else(|| by_name.get(&name?));
            let Some(place) = place else {
                let what = format!(
                    "{}:{}/{}: an address of a service whose ClusterIP is not there",
                    portal.address, portal.port, portal.protocol
                );
                notes.left_out(file, Some(portal.line), what);
                continue;
            };
            let service = &mut found[*place].service;
            service.external_local |= portal.none_local;
            let balanced = match portal.by {
                By::LoadBalancer => true,
                By::External | By::Cluster => false,
                // Without a load balancer there is a node port only by type NodePort, and few of those have external addresses.
                By::Outside => service.node_port.is_some(),
            };
            if placed.insert((*place, portal.address)) {
                match balanced {
                    true => service.load_balancer_ips.push(Some(portal.address)),
                    false => service.external_ips.push(Some(portal.address)),
                }
            }
        }
        for found in &mut found[first..] {
            let service = &mut found.service;
            service.settle();
        }
    }

    /// The service of a portal with its endpoints.
    fn served(&self, portal: &Portal, file: usize, notes: &mut Notes) -> Service {
        let mut service = Service {
            name: portal.name.clone(),
            internal_local: portal.none_local,
            ..Service::new(Vip::Known(portal.address), portal.port, portal.protocol)
        };
        let Some((suffix, local)) = &portal.leads else {
            // Endpoints elsewhere are not in the rules of this node.
            service.endpoints = (!portal.none_local).then(Vec::new);
            return service;
        };
        service.internal_local = *local;
        let unseen = Chains::default();
        let chains = self.services.get(suffix).unwrap_or(&unseen);
        let only_local = chains.choices.is_empty() && *local;
        let choices = match only_local {
            true => &chains.local_choices,
            false => &chains.choices,
        };
        if choices.is_empty() {
            return service;
        }
        let here: HashSet<&str> = chains
            .local_choices
            .iter()
            .map(|c| c.endpoint.as_str())
            .collect();
        let told = *local || chains.external_local;
        let mut endpoints: Vec<Endpoint> = Vec::new();
        for (choice, weight) in choices.iter().zip(weights(choices)) {
            let known = self.endpoints.get(&choice.endpoint).copied();
            let known = known.filter(|(_, port)| port.is_some());
            let (address, port) = match (known, choice.address) {
                (Some((address, port)), _) => (Some(address), port),
                (None, Some((address, port))) => (Some(address), Some(port)),
                (None, None) => (None, None),
            };
            let right = |address: &IpAddr| Family::of(*address) == Family::of(portal.address);
            endpoints.push(Endpoint {
                weight,
                local: told.then(|| here.contains(choice.endpoint.as_str())),
                ..Endpoint::at(address.filter(right), port)
            });
        }
        let wanted = wanted(choices);
        if wanted > endpoints.len() {
            let name = portal
                .name
                .as_ref()
                .map_or_else(|| service.to_string(), Name::to_string);
            let what = format!(
                "{name}: {} of {wanted} choices of an endpoint are there",
                endpoints.len()
            );
            notes.not_understood(file, Some(portal.line), what);
            endpoints.resize(wanted, Endpoint::at(None, None));
        }
        service.endpoints = Some(endpoints);
        service
    }
}

/// How many choices a chain has: as many as there are, or, where the last one is missing, as many as the first one says.
fn wanted(choices: &[Choice]) -> usize {
    let last = choices.last().and_then(|choice| choice.probability);
    let first = choices.first().and_then(|choice| choice.probability);
    match (last, first) {
        (Some(_), Some(first)) if first > 1.0 / MOST_CHOICES => {
            ((1.0 / first).round() as usize).max(choices.len())
        }
        _ => choices.len(),
    }
}

/// Shares in ten thousandths, `None` where all are the same.
fn weights(choices: &[Choice]) -> Vec<Option<u32>> {
    let mut left = 1.0;
    let mut shares = Vec::with_capacity(choices.len());
    for choice in choices {
        let share = left * choice.probability.unwrap_or(1.0).clamp(0.0, 1.0);
        left -= share;
        shares.push(share);
    }
    let even = 1.0 / wanted(choices) as f64;
    // Probabilities are kept in 31 bits and printed with eleven digits.
    match shares.iter().all(|share| (share / even - 1.0).abs() < 0.01) {
        true => vec![None; choices.len()],
        false => shares
            .iter()
            .map(|share| Some((share * 1e4).round() as u32))
            .collect(),
    }
}

/// The name in a portal's comment, and what the comment says which address it is.
fn said(comment: &str) -> (Option<Name>, Option<By>) {
    let ends = [
        (" cluster IP", Some(By::Cluster)),
        (" loadbalancer IP", Some(By::LoadBalancer)),
        (" external IP", Some(By::External)),
        (" has no endpoints", None),
        (" has no local endpoints", None),
    ];
    let found = ends
        .into_iter()
        .find_map(|(end, by)| Some((comment.strip_suffix(end)?, by)));
    let (name, by) = found.unwrap_or((comment, None));
    (Name::parse(name), by)
}

/// Whether a line is one of `iptables-save`'s.
pub(crate) fn is_line(line: &str) -> bool {
    rule::read(line).is_some()
}
