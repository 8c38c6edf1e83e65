//! kube-proxy's table as `nft list ruleset` prints it, as text or as JSON, of every layout: maps lead to chains of
//! services, which choose an endpoint themselves or among chains of endpoints.

mod json;
mod text;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;

use crate::found::{Found, Source};
use crate::note::Notes;
use crate::service::{Endpoint, Family, Name, Net, Protocol, Service, Vip};

pub(crate) use text::{Text, begins};

/// The name of kube-proxy's tables.
const TABLE: &str = "kube-proxy";
/// The most ranges of pods that are kept; a node has one a family.
const MOST_RANGES: usize = 64;
/// Kinds of chains that are made anew for each service or endpoint.
const MADE: [&str; 5] = ["service-", "local-", "external-", "firewall-", "endpoint-"];

/// A verdict of a map.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    Goto(String),
    Drop,
    Other,
}

/// An element of a set or a map.
#[derive(Debug, Default)]
struct Element {
    /// Its key, field by field.
    key: Vec<String>,
    verdict: Option<Verdict>,
    comment: String,
}

/// Where a choice leads.
#[derive(Debug, Clone, PartialEq, Eq)]
enum To {
    Chain(String),
    Endpoint(IpAddr, u16),
}

/// What of a rule matters here.
#[derive(Debug, Default, PartialEq)]
struct Rule {
    /// `vmap` or `map`: how many numbers lead where.
    choices: Vec<(u32, To)>,
    /// `dnat to`.
    to: Option<(IpAddr, u16)>,
    /// `goto` or `jump` outside of a map.
    goto: Option<String>,
    /// `@affinity-…`.
    affinity: Option<String>,
    /// `ip saddr != …`.
    not_from: Vec<Net>,
    /// `fib saddr type local`.
    from_local: bool,
    drops: bool,
}

/// kube-proxy's table of one family.
#[derive(Debug, Default)]
struct Table {
    cluster_ips: HashSet<IpAddr>,
    /// Endpoints of this node, where the layout has the set.
    hairpins: Option<HashSet<(IpAddr, Protocol, u16)>>,
    service_ips: Vec<(Element, u64)>,
    refused_services: Vec<(Element, u64)>,
    node_ports: Vec<Element>,
    refused_node_ports: Vec<Element>,
    firewalled: Vec<Element>,
    /// Timeouts of affinity sets, seconds.
    timeouts: HashMap<String, u32>,
    chains: HashMap<String, Vec<Rule>>,
}

/// What was read of a file.
#[derive(Debug, Default)]
pub(crate) struct Ruleset {
    tables: BTreeMap<String, Table>,
    /// Tables of nat that iptables-nft keeps kube-proxy's rules in, which `nft` does not show whole.
    iptables: bool,
}

/// What came of all tables.
#[derive(Debug, Default)]
pub(crate) struct Traced {
    pub(crate) found: Vec<Found>,
    pub(crate) stale: u64,
    pub(crate) pods: Vec<Net>,
}

impl Ruleset {
    /// Whether there is no table of kube-proxy's.
    pub(crate) fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// Whether kube-proxy's rules in it are those of mode iptables.
    pub(crate) const fn is_of_iptables(&self) -> bool {
        self.iptables
    }

    /// kube-proxy's table, if that is what is named.
    fn table(&mut self, family: &str, name: &str) -> Option<&mut Table> {
        let ours = name == TABLE && matches!(family, "ip" | "ip6");
        ours.then(|| self.tables.entry(family.to_owned()).or_default())
    }

    /// A chain of any table was seen.
    fn chain(&mut self, family: &str, table: &str, chain: &str) {
        self.iptables |= table == "nat" && chain.starts_with("KUBE-SVC-");
        if let Some(table) = self.table(family, table) {
            table.chains.entry(chain.to_owned()).or_default();
        }
    }

    fn rule(&mut self, family: &str, table: &str, chain: &str, rule: Rule) {
        if let Some(table) = self.table(family, table) {
            table.chains.entry(chain.to_owned()).or_default().push(rule);
        }
    }

    /// A set or a map of any table was seen.
    fn set(&mut self, family: &str, table: &str, set: &str) {
        if let Some(table) = self.table(family, table)
            && set == "hairpin-connections"
        {
            table.hairpins.get_or_insert_default();
        }
    }

    fn timeout(&mut self, family: &str, table: &str, set: &str, seconds: u32) {
        if let Some(table) = self.table(family, table) {
            table.timeouts.insert(set.to_owned(), seconds);
        }
    }

    fn element(&mut self, family: &str, table: &str, set: &str, element: Element, line: u64) {
        let Some(table) = self.table(family, table) else {
            return;
        };
        match set {
            "cluster-ips" => {
                let address = element.key.first().map(|text| text.parse::<IpAddr>());
                table.cluster_ips.extend(address.and_then(Result::ok));
            }
            "hairpin-connections" => {
                let place = frontend(element.key.get(1..).unwrap_or_default());
                let places = table.hairpins.get_or_insert_default();
                places.extend(place);
            }
            "service-ips" => table.service_ips.push((element, line)),
            "no-endpoint-services" => table.refused_services.push((element, line)),
            "service-nodeports" => table.node_ports.push(element),
            "no-endpoint-nodeports" => table.refused_node_ports.push(element),
            "firewall-ips" => table.firewalled.push(element),
            _ => {}
        }
    }

    /// The services that the tables make.
    pub(crate) fn trace(self, file: usize, notes: &mut Notes) -> Traced {
        let mut traced = Traced::default();
        for (family, table) in self.tables {
            let family = match family.as_str() {
                "ip" => Family::Ipv4,
                _ => Family::Ipv6,
            };
            table.trace(family, file, notes, &mut traced);
        }
        traced
    }
}

/// `10.0.0.1 . tcp . 80`.
fn frontend(key: &[String]) -> Option<(IpAddr, Protocol, u16)> {
    let [address, protocol, port] = key else {
        return None;
    };
    Some((
        address.parse().ok()?,
        Protocol::from_word(protocol)?,
        port_of(port)?,
    ))
}

/// `tcp . 30000`.
fn node_port(key: &[String]) -> Option<(Protocol, u16)> {
    let [protocol, port] = key else {
        return None;
    };
    Some((Protocol::from_word(protocol)?, port_of(port)?))
}

/// A port by its number, or by the name that `nft -S` shows: of those in `/etc/services` the ones that services have.
fn port_of(text: &str) -> Option<u16> {
    let named = [
        ("ftp", 21),
        ("ssh", 22),
        ("telnet", 23),
        ("smtp", 25),
        ("domain", 53),
        ("tftp", 69),
        ("http", 80),
        ("kerberos", 88),
        ("pop3", 110),
        ("sunrpc", 111),
        ("ntp", 123),
        ("imap2", 143),
        ("snmp", 161),
        ("snmp-trap", 162),
        ("bgp", 179),
        ("ldap", 389),
        ("https", 443),
        ("microsoft-ds", 445),
        ("submissions", 465),
        ("syslog", 514),
        ("submission", 587),
        ("ldaps", 636),
        ("domain-s", 853),
        ("rsync", 873),
        ("imaps", 993),
        ("pop3s", 995),
        ("openvpn", 1194),
        ("ms-sql-s", 1433),
        ("radius", 1812),
        ("mqtt", 1883),
        ("nfs", 2049),
        ("iscsi-target", 3260),
        ("mysql", 3306),
        ("svn", 3690),
        ("epmd", 4369),
        ("sip", 5060),
        ("sip-tls", 5061),
        ("xmpp-client", 5222),
        ("postgresql", 5432),
        ("amqps", 5671),
        ("amqp", 5672),
        ("x11", 6000),
        ("redis", 6379),
        ("http-alt", 8080),
        ("secure-mqtt", 8883),
        ("bacula-dir", 9101),
        ("git", 9418),
        ("zabbix-agent", 10050),
        ("zabbix-trapper", 10051),
        ("webmin", 10000),
        ("amanda", 10080),
        ("memcached", 11211),
        ("mongodb", 27017),
    ];
    let by_name = named.into_iter().find(|(name, _)| *name == text);
    text.parse().ok().or(by_name.map(|(_, port)| port))
}

/// What the chains of one service have in common: `HASH-namespace/service/protocol/port`.
fn base<'a>(chain: &'a str, kind: &str) -> Option<&'a str> {
    chain.strip_prefix(kind).filter(|base| base.contains('/'))
}

/// The name in a chain's name; `None` where that is cut.
fn name(base: &str) -> Option<Name> {
    let (_, name) = base.split_once('-')?;
    let mut parts = name.split('/');
    let [namespace, service, _, port] =
        [parts.next()?, parts.next()?, parts.next()?, parts.next()?];
    Some(Name {
        namespace: namespace.to_owned(),
        service: service.to_owned(),
        port: port.to_owned(),
    })
}

/// The endpoint in a chain's name: `endpoint-HASH-…__10.180.0.1/80`, where colons are dots.
fn named_endpoint(chain: &str) -> Option<(IpAddr, u16)> {
    let (_, place) = chain.rsplit_once("__")?;
    let (address, port) = place.split_once('/')?;
    let address = address
        .parse()
        .or_else(|_| address.replace('.', ":").parse());
    Some((address.ok()?, port.parse().ok()?))
}

impl Table {
    fn trace(mut self, family: Family, file: usize, notes: &mut Notes, traced: &mut Traced) {
        let targets = self.targets();
        let stale = self.chains.keys().filter(|chain| {
            MADE.iter().any(|kind| base(chain, kind).is_some()) && !targets.contains(chain.as_str())
        });
        traced.stale += stale.count() as u64;
        for (chain, rules) in &self.chains {
            let may =
                chain == "services" || MADE[..2].iter().any(|kind| base(chain, kind).is_some());
            for net in rules
                .iter()
                .filter(|rule| may && !rule.drops)
                .flat_map(|r| &r.not_from)
            {
                if traced.pods.len() < MOST_RANGES && !traced.pods.contains(net) {
                    traced.pods.push(*net);
                }
            }
        }
        let first = traced.found.len();
        // Services by what their chains have in common, and by name.
        let mut by_base: HashMap<String, usize> = HashMap::new();
        let mut by_name: HashMap<(Name, Protocol), usize> = HashMap::new();
        let mut outside = Vec::new();
        for (element, line) in std::mem::take(&mut self.service_ips) {
            let (Some(place), Some(Verdict::Goto(chain))) =
                (frontend(&element.key), &element.verdict)
            else {
                let what = format!("an element of service-ips: {}", element.key.join(" . "));
                notes.not_understood(file, Some(line), what);
                continue;
            };
            let local = base(chain, "local-");
            let Some(own) = base(chain, "service-").or(local) else {
                outside.push((
                    place,
                    base(chain, "external-").map(str::to_owned),
                    element.comment,
                    false,
                    line,
                ));
                continue;
            };
            let service = self.service(place, own, local.is_some(), &element.comment);
            by_base.entry(own.to_owned()).or_insert(traced.found.len());
            if let Some(name) = &service.name {
                by_name
                    .entry((name.clone(), place.1))
                    .or_insert(traced.found.len());
            }
            traced.found.push(found(service, file, line));
        }
        let served = outside
            .iter()
            .filter_map(|(place, base, ..)| Some((name(base.as_deref()?)?, place.1)));
        let served: HashSet<(Name, Protocol)> = served.collect();
        // Where the ClusterIP itself is refused it is the one in the set, or the first.
        let mut refused = std::mem::take(&mut self.refused_services);
        let in_set = |element: &Element| {
            frontend(&element.key).is_some_and(|(address, ..)| self.cluster_ips.contains(&address))
        };
        refused.sort_by_key(|(element, _)| !in_set(element));
        for (element, line) in refused {
            let Some(place) = frontend(&element.key) else {
                let what = format!(
                    "an element of no-endpoint-services: {}",
                    element.key.join(" . ")
                );
                notes.not_understood(file, Some(line), what);
                continue;
            };
            let none_local = element.verdict == Some(Verdict::Drop);
            let name = Name::parse(&element.comment);
            let key = name.clone().map(|name| (name, place.1));
            let known = key.as_ref().is_some_and(|key| by_name.contains_key(key));
            // Where others are served under its name, and it is no ClusterIP, it is one of them.
            let served = key.is_some_and(|key| served.contains(&key)) && !in_set(&element);
            if known || served {
                outside.push((place, None, element.comment, none_local, line));
                continue;
            }
            let mut service = Service {
                name: name.clone(),
                internal_local: none_local,
                endpoints: (!none_local).then(Vec::new),
                ..Service::new(Vip::Known(place.0), place.2, place.1)
            };
            service.set_type();
            if let Some(name) = name {
                by_name.entry((name, place.1)).or_insert(traced.found.len());
            }
            traced.found.push(found(service, file, line));
        }
        let service_of = |base: Option<&str>, comment: &str, protocol| {
            let by_chain = base.and_then(|base| by_base.get(base));
            let name = base.and_then(name).or_else(|| Name::parse(comment));
            by_chain
                .or_else(|| by_name.get(&(name?, protocol)))
                .copied()
        };
        for element in self.node_ports.iter().chain(&self.refused_node_ports) {
            let Some((protocol, port)) = node_port(&element.key) else {
                continue;
            };
            let chain = match &element.verdict {
                Some(Verdict::Goto(chain)) => base(chain, "external-"),
                _ => None,
            };
            if let Some(place) = service_of(chain, &element.comment, protocol) {
                let service = &mut traced.found[place].service;
                service.node_port = Some(Some(port));
                service.external_local |= element.verdict == Some(Verdict::Drop);
            }
        }
        let mut firewalled = HashSet::new();
        for element in &self.firewalled {
            let (Some(place), Some(Verdict::Goto(chain))) =
                (frontend(&element.key), &element.verdict)
            else {
                continue;
            };
            firewalled.insert(place);
            let own = base(chain, "firewall-");
            if let Some(service) = service_of(own, &element.comment, place.1) {
                let rules = self.chains.get(chain).into_iter().flatten();
                let ranges = rules
                    .filter(|rule| rule.drops)
                    .flat_map(|rule| &rule.not_from);
                let service = &mut traced.found[service].service;
                // The same chain for each address of a load balancer.
                service.source_ranges = ranges.map(|range| Some(*range)).collect();
            }
        }
        let mut placed = HashSet::new();
        for ((address, protocol, port), base, comment, none_local, line) in outside {
            let Some(place) = service_of(base.as_deref(), &comment, protocol) else {
                let what = format!(
                    "{address}:{port}/{protocol}: an address of a service whose ClusterIP is not there"
                );
                notes.left_out(file, Some(line), what);
                continue;
            };
            let service = &mut traced.found[place].service;
            // Printed twice.
            if service.vip == Vip::Known(address) {
                continue;
            }
            service.external_local |= none_local;
            // Without a load balancer there is a node port only by type NodePort, and few of those have external addresses.
            let balanced =
                firewalled.contains(&(address, protocol, port)) || service.node_port.is_some();
            if placed.insert((place, address)) {
                match balanced {
                    true => service.load_balancer_ips.push(Some(address)),
                    false => service.external_ips.push(Some(address)),
                }
            }
        }
        for (base, place) in &by_base {
            let external = self
                .chains
                .get(&format!("external-{base}"))
                .into_iter()
                .flatten();
            let local = |rule: &Rule| {
                rule.from_local
                    || rule
                        .goto
                        .as_ref()
                        .is_some_and(|goto| goto.starts_with("local-"))
            };
            traced.found[*place].service.external_local |= external.into_iter().any(local);
        }
        for found in &mut traced.found[first..] {
            let service = &mut found.service;
            service.settle();
            if let Some(endpoints) = &mut service.endpoints {
                endpoints.retain(|e| e.addr.is_none_or(|addr| Family::of(addr) == family));
            }
        }
    }

    /// Every chain that something leads to.
    fn targets(&self) -> HashSet<&str> {
        let maps = self.service_ips.iter().map(|(element, _)| element);
        let maps = maps.chain(&self.node_ports).chain(&self.firewalled);
        let elements = maps.filter_map(|element| match &element.verdict {
            Some(Verdict::Goto(chain)) => Some(chain.as_str()),
            _ => None,
        });
        let rules = self.chains.values().flatten();
        let gotos = rules.clone().filter_map(|rule| rule.goto.as_deref());
        let choices = rules
            .flat_map(|rule| &rule.choices)
            .filter_map(|(_, to)| match to {
                To::Chain(chain) => Some(chain.as_str()),
                To::Endpoint(..) => None,
            });
        elements.chain(gotos).chain(choices).collect()
    }

    /// A service of whose chain the base is known, with its endpoints.
    fn service(
        &self,
        (address, protocol, port): (IpAddr, Protocol, u16),
        base: &str,
        local: bool,
        comment: &str,
    ) -> Service {
        let mut service = Service {
            name: name(base).or_else(|| Name::parse(comment)),
            internal_local: local,
            ..Service::new(Vip::Known(address), port, protocol)
        };
        let here = self.choices(&format!("local-{base}"));
        let all = self.choices(&format!("service-{base}"));
        let (choices, affinity) = match (all, &here) {
            (Some(all), _) => all,
            (None, Some(here)) if local => here.clone(),
            _ => return service,
        };
        // Where no chain and no set tells, nothing is known.
        let here: Option<HashSet<_>> =
            here.map(|(endpoints, _)| endpoints.iter().map(|e| (e.addr, e.port)).collect());
        let mut endpoints = choices;
        for endpoint in &mut endpoints {
            let place = (endpoint.addr, endpoint.port);
            endpoint.local = match (&self.hairpins, &here, place) {
                (Some(hairpins), _, (Some(addr), Some(port))) => {
                    Some(hairpins.contains(&(addr, protocol, port)))
                }
                (_, Some(here), (Some(_), _)) => Some(here.contains(&place)),
                _ => None,
            };
        }
        service.affinity_seconds = affinity;
        service.endpoints = Some(endpoints);
        service
    }

    /// What a chain chooses from, and for how long a client keeps its choice. `None` where there is no such chain.
    fn choices(&self, chain: &str) -> Option<(Vec<Endpoint>, Option<Option<u32>>)> {
        let rules = self.chains.get(chain)?;
        let mut choices: Vec<(u32, Endpoint)> = Vec::new();
        let mut affinity = None;
        for rule in rules {
            if let Some(set) = &rule.affinity {
                affinity = Some(self.timeouts.get(set).copied());
            }
            if let Some((address, port)) = rule.to {
                choices.push((1, Endpoint::at(Some(address), Some(port))));
            }
            for (numbers, to) in &rule.choices {
                let place = match to {
                    To::Endpoint(address, port) => Some((*address, *port)),
                    To::Chain(chain) => {
                        let rules = self.chains.get(chain).into_iter().flatten();
                        rules
                            .filter_map(|rule| rule.to)
                            .next()
                            .or_else(|| named_endpoint(chain))
                    }
                };
                let (address, port) = place.unzip();
                choices.push((*numbers, Endpoint::at(address, port)));
            }
        }
        let even = choices.iter().all(|(numbers, _)| *numbers == choices[0].0);
        let endpoints = choices.into_iter().map(|(numbers, endpoint)| Endpoint {
            weight: (!even).then_some(numbers),
            ..endpoint
        });
        Some((endpoints.collect(), affinity))
    }
}

fn found(service: Service, file: usize, line: u64) -> Found {
    Found {
        service,
        source: Source::Nftables,
        file,
        line: Some(line),
    }
}
