//! What listed rules mean: the way of a first packet from the hooks to an endpoint.
//!
//! Whatever every cluster has in common must be listed exactly as the layout has it, so that a frontend
//! counts only if its packets really come to it; a service's chains must hold exactly their rules.
//! Anything else is an error, not a guess.

use std::collections::{BTreeMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nft_codec::{
    Chain, Comparison, Element, Key, KeyType, L4Proto, Name, Rule, Set, Statement, Table,
    TableFamily, Verdict,
};
use schema::Protocol;

use super::exposed::{External, affinity_rule};
use super::layout::{self, FullSync, Layout};
use crate::relation::Relation;
use crate::service::{Endpoint, Frontend};

/// The relation of the VIPs in kube-proxy's table; empty when there is no table. What leads to services from outside is
/// followed too, and must be as the layout has it, but is no part of the relation.
///
/// # Errors
/// Anything that is not part of the layout, or a part that is missing, as a sentence.
pub(super) fn relation(layout: &Layout, table: Option<&Table>) -> Result<Relation, String> {
    let Some(table) = table else {
        return Ok(Relation::default());
    };
    // The table without services, as the layout has it.
    let common = Table::of(&layout.base(FullSync::Later));
    check_common(layout.family, table, &common)?;
    let mut trace = Trace {
        layout,
        table,
        reached: HashSet::new(),
        clients: HashSet::new(),
        endpoints: HashSet::new(),
    };
    let relation = trace.services()?;
    check_cluster_ips(table, &relation)?;
    trace.node_ports()?;
    trace.firewalls()?;
    trace.check_hairpins()?;
    trace.check_unreached(&common)?;
    Ok(relation)
}

/// Sets and maps that services fill.
const FILLED: [&str; 7] = [
    layout::CLUSTER_IPS,
    layout::SERVICE_IPS,
    layout::NO_ENDPOINT_SERVICES,
    layout::FIREWALL_IPS,
    layout::SERVICE_NODEPORTS,
    layout::NO_ENDPOINT_NODEPORTS,
    layout::HAIRPIN_CONNECTIONS,
];

fn set<'a>(table: &'a Table, name: &str) -> Result<&'a Set, String> {
    table.sets.get(name).ok_or_else(|| format!("no set {name}"))
}

fn check_common(family: TableFamily, table: &Table, common: &Table) -> Result<(), String> {
    if let Some(unknown) = table.unknown.first() {
        return Err(format!("foreign {unknown}"));
    }
    for (name, wanted) in &common.chains {
        let Some(listed) = table.chains.get(name) else {
            return Err(format!("no chain {name}"));
        };
        check_chain(family, name, listed, wanted)?;
    }
    for (name, wanted) in &common.sets {
        let listed = set(table, name.as_str())?;
        if (listed.key, listed.verdicts, &listed.comment)
            != (wanted.key, wanted.verdicts, &wanted.comment)
        {
            return Err(format!("{name} holds other keys or data"));
        }
        let filled = FILLED.contains(&name.as_str());
        if !filled && listed.elements != wanted.elements {
            let other = |key: &&Key| !wanted.elements.contains_key(*key);
            return Err(match listed.elements.keys().find(other) {
                Some(key) => format!("{name} holds {key}, which no service needs"),
                None => format!("{name} lacks elements, or they say something else"),
            });
        }
    }
    Ok(())
}

/// Equal but for what counters have counted.
fn check_chain(
    family: TableFamily,
    name: &Name,
    listed: &Chain,
    wanted: &Chain,
) -> Result<(), String> {
    let mut listed = listed.clone();
    listed
        .rules
        .iter_mut()
        .for_each(nft_codec::Rule::zero_counters);
    if listed == *wanted {
        return Ok(());
    }
    let differs = listed
        .rules
        .iter()
        .zip(&wanted.rules)
        .find(|(listed, wanted)| listed != wanted);
    Err(match differs {
        Some((listed, wanted)) => {
            let (listed, wanted) = (listed.text(family), wanted.text(family));
            format!("chain {name} has '{listed}' instead of '{wanted}'")
        }
        None => format!(
            "chain {name} has {} rules instead of {}, or another hook",
            listed.rules.len(),
            wanted.rules.len()
        ),
    })
}

/// The frontend of a key of a service map.
fn frontend(key: Key) -> Result<Frontend, String> {
    let Key::AddressProtoPort(vip, proto, port) = key else {
        return Err(format!("foreign key {key}"));
    };
    let protocol = protocol(proto)?;
    Ok(Frontend {
        vip,
        port,
        protocol,
    })
}

fn protocol(proto: L4Proto) -> Result<Protocol, String> {
    match proto {
        L4Proto::TCP => Ok(Protocol::Tcp),
        L4Proto::UDP => Ok(Protocol::Udp),
        _ => Err(format!("foreign protocol {proto}")),
    }
}

/// The chain to which an element leads.
fn chain_of(element: &Element) -> Result<&Name, String> {
    match &element.verdict {
        Some(Verdict::Goto(chain)) => Ok(chain),
        _ => Err(format!("foreign element {element}")),
    }
}

/// What happens to packets of a key that has an element among those without endpoints: `Some(true)` if they are
/// rejected, and not dropped.
fn refused(element: Option<&Element>) -> Result<Option<bool>, String> {
    match element.map(|element| &element.verdict) {
        None => Ok(None),
        Some(Some(Verdict::Drop)) => Ok(Some(false)),
        Some(Some(Verdict::Goto(chain))) if chain.as_str() == layout::REJECT_CHAIN => {
            Ok(Some(true))
        }
        Some(verdict) => Err(format!("{verdict:?} of what has no endpoints")),
    }
}

/// Every VIP of a service is in `cluster-ips`, and no other.
fn check_cluster_ips(table: &Table, relation: &Relation) -> Result<(), String> {
    let active = &set(table, layout::CLUSTER_IPS)?.elements;
    let vips: HashSet<IpAddr> = relation.0.keys().map(|frontend| frontend.vip).collect();
    if let Some(vip) = vips
        .iter()
        .find(|vip| !active.contains_key(&Key::Address(**vip)))
    {
        return Err(format!("{vip} is not in {}", layout::CLUSTER_IPS));
    }
    match active
        .keys()
        .find(|key| !matches!(key, Key::Address(vip) if vips.contains(vip)))
    {
        Some(key) => Err(format!(
            "{} holds {key}, which is no service's",
            layout::CLUSTER_IPS
        )),
        None => Ok(()),
    }
}

struct Trace<'a> {
    layout: &'a Layout,
    table: &'a Table,
    /// Chains that something leads to.
    reached: HashSet<&'a Name>,
    /// Sets of clients that some service uses.
    clients: HashSet<&'a Name>,
    /// Endpoints that something leads to.
    endpoints: HashSet<(Protocol, Endpoint)>,
}

impl<'a> Trace<'a> {
    fn chain(&mut self, name: &Name) -> Result<&'a Chain, String> {
        let (name, chain) = self
            .table
            .chains
            .get_key_value(name)
            .ok_or_else(|| format!("no chain {name}"))?;
        self.reached.insert(name);
        match chain.base {
            None => Ok(chain),
            Some(_) => Err(format!("{name} is a base chain")),
        }
    }

    /// VIPs, and addresses from outside: those that are not in `cluster-ips`.
    fn services(&mut self) -> Result<Relation, String> {
        let table = self.table;
        let active = &set(table, layout::CLUSTER_IPS)?.elements;
        let served = &set(table, layout::SERVICE_IPS)?.elements;
        let unserved = &set(table, layout::NO_ENDPOINT_SERVICES)?.elements;
        let is_vip = |frontend: Frontend| active.contains_key(&Key::Address(frontend.vip));
        let mut relation = Relation::default();
        for element in served.values() {
            let frontend = frontend(element.key)?;
            let chain = chain_of(element)?;
            let refused = refused(unserved.get(&element.key))?;
            if is_vip(frontend) {
                if refused.is_some() {
                    return Err(format!("{frontend} is served as well as refused"));
                }
                relation.0.insert(frontend, self.service(frontend, chain)?);
            } else {
                self.external(frontend, chain, refused)?;
            }
        }
        for element in unserved.values() {
            let frontend = frontend(element.key)?;
            let rejected = refused(Some(element))? == Some(true);
            if served.contains_key(&element.key) {
                continue;
            }
            match is_vip(frontend) {
                true => drop(relation.0.insert(frontend, BTreeMap::new())),
                false if rejected => {}
                false => return Err(format!("{frontend} is dropped, but leads nowhere")),
            }
        }
        Ok(relation)
    }

    fn node_ports(&mut self) -> Result<(), String> {
        let table = self.table;
        let served = &set(table, layout::SERVICE_NODEPORTS)?.elements;
        let unserved = &set(table, layout::NO_ENDPOINT_NODEPORTS)?.elements;
        for element in served.values() {
            let Key::ProtoPort(proto, port) = element.key else {
                return Err(format!("foreign element {element}"));
            };
            // The address tells the family alone.
            let node = Frontend {
                vip: match self.layout.family {
                    TableFamily::Ip => Ipv4Addr::UNSPECIFIED.into(),
                    TableFamily::Ip6 => Ipv6Addr::UNSPECIFIED.into(),
                },
                port,
                protocol: protocol(proto)?,
            };
            let refused = refused(unserved.get(&element.key))?;
            self.external(node, chain_of(element)?, refused)?;
        }
        for element in unserved.values() {
            let rejected = refused(Some(element))? == Some(true);
            if !served.contains_key(&element.key) && !rejected {
                return Err(format!("{element} leads nowhere"));
            }
        }
        Ok(())
    }

    /// What comes from outside to `at` goes to its chain, which is one of the forms that there are; it is dropped by
    /// policy Local without endpoints on this node, and only then.
    fn external(&mut self, at: Frontend, name: &Name, refused: Option<bool>) -> Result<(), String> {
        let foreign = || format!("{at}: chain {name} is not one of what comes from outside");
        let base = name.as_str().strip_prefix("external-");
        let base = base.ok_or_else(foreign)?;
        let [own, local] = ["service", "local"].map(|kind| Name::from(format!("{kind}-{base}")));
        let chain = self.chain(name)?;
        let forms = [
            External::Cluster,
            External::Local(None),
            External::Local(Some(&local)),
        ];
        let mut forms = forms.into_iter();
        let form = forms.find(|form| {
            let rules = self.layout.external_rules(at, &own, *form);
            rules == chain.rules
        });
        let form = form.ok_or_else(foreign)?;
        self.leads_on(at, &own)?;
        if form == External::Local(Some(&local)) {
            self.leads_on(at, &local)?;
        }
        let wanted = (form == External::Local(None)).then_some(false);
        match refused == wanted {
            true => Ok(()),
            false => Err(format!(
                "{at} is dropped, rejected or let through against {name}"
            )),
        }
    }

    /// Each chain of those who may use a load balancer drops all others.
    fn firewalls(&mut self) -> Result<(), String> {
        let table = self.table;
        for element in set(table, layout::FIREWALL_IPS)?.elements.values() {
            let (at, name) = (frontend(element.key)?, chain_of(element)?);
            let rules = &self.chain(name)?.rules;
            let drops = match &rules[..] {
                [rule] => matches!(
                    rule.listed().statements[..],
                    [
                        Statement::SourceAddress(Comparison::Unequal, _)
                            | Statement::SourceOutside(_),
                        Statement::Verdict(Verdict::Drop)
                    ]
                ),
                _ => false,
            };
            if !drops || !name.as_str().starts_with("firewall-") {
                return Err(format!("{at}: chain {name} does not hold exactly its rule"));
            }
        }
        Ok(())
    }

    /// Connections that are masqueraded are those of endpoints with themselves.
    fn check_hairpins(&self) -> Result<(), String> {
        let Some(set) = self.table.sets.get(layout::HAIRPIN_CONNECTIONS) else {
            return Ok(());
        };
        for key in set.elements.keys() {
            let known = match *key {
                Key::AddressesProtoPort([from, to], proto, port) => {
                    let endpoint = Endpoint { address: to, port };
                    let protocol = protocol(proto)?;
                    from == to && self.endpoints.contains(&(protocol, endpoint))
                }
                _ => false,
            };
            if !known {
                let set = layout::HAIRPIN_CONNECTIONS;
                return Err(format!("{set} holds {key}, which is no endpoint's"));
            }
        }
        Ok(())
    }

    /// Shares of a service's endpoints: of the numbers that are drawn, how many lead to each.
    fn service(
        &mut self,
        frontend: Frontend,
        name: &Name,
    ) -> Result<BTreeMap<Endpoint, f64>, String> {
        let mut rules = &self.chain(name)?.rules[..];
        if self.layout.has_endpoint_chains() {
            rules = match rules {
                [first, rest @ ..] if *first == self.layout.off_cluster_rule(frontend) => rest,
                _ => {
                    return Err(format!(
                        "{frontend}: chain {name} does not masquerade what comes from outside"
                    ));
                }
            };
        }
        let drawn = self.drawn(frontend, name, rules)?;
        let mut shares = BTreeMap::new();
        for endpoint in &drawn {
            *shares.entry(*endpoint).or_insert(0.0) += 1.0 / drawn.len() as f64;
        }
        Ok(shares)
    }

    /// What comes from outside to `at` goes on to the chain of a policy. Where endpoints have chains, that of the VIP begins
    /// with its rule, which lets other packets pass.
    fn leads_on(&mut self, at: Frontend, name: &Name) -> Result<(), String> {
        let rules = match &self.chain(name)?.rules[..] {
            [first, rest @ ..] if self.is_off_cluster(at.protocol, first) => rest,
            rules => rules,
        };
        self.drawn(at, name, rules).map(drop)
    }

    /// Whether a rule masquerades what comes from outside to some VIP.
    fn is_off_cluster(&self, protocol: Protocol, rule: &Rule) -> bool {
        let [Statement::DestinationAddress(_, network), second, ..] = &rule.statements[..] else {
            return false;
        };
        let vip = Frontend {
            vip: network.address,
            port: match second {
                Statement::DestinationPort(_, port) => *port,
                _ => 0,
            },
            protocol,
        };
        self.layout.has_endpoint_chains() && *rule == self.layout.off_cluster_rule(vip)
    }

    /// The endpoint of each number that rules of the chain of a policy draw.
    fn drawn(
        &mut self,
        at: Frontend,
        name: &Name,
        rules: &[Rule],
    ) -> Result<Vec<Endpoint>, String> {
        let drawn = match self.translated_to(at, rules) {
            Some(drawn) => drawn,
            None => self.led_to(at, name, rules)?,
        };
        let reached = drawn.iter().map(|endpoint| (at.protocol, *endpoint));
        self.endpoints.extend(reached);
        Ok(drawn)
    }

    /// The endpoint of each number, where one rule translates.
    fn translated_to(&self, at: Frontend, rules: &[Rule]) -> Option<Vec<Endpoint>> {
        let ([rule], false) = (rules, self.layout.has_endpoint_chains()) else {
            return None;
        };
        let drawn: Vec<Endpoint> = match &rule.statements[..] {
            [_, Statement::RandomDnat(_, entries)] => {
                entries.iter().map(|(_, to)| Endpoint::from(*to)).collect()
            }
            [_, Statement::Dnat(to)] => vec![Endpoint::from(*to)],
            _ => return None,
        };
        let wanted = self.layout.draw_rule(at.protocol, &drawn);
        (*rule == wanted).then_some(drawn)
    }

    /// The endpoint of each number, where each has a chain; first, with session affinity, one for each endpoint's clients.
    fn led_to(
        &mut self,
        at: Frontend,
        name: &Name,
        rules: &[Rule],
    ) -> Result<Vec<Endpoint>, String> {
        let foreign = || format!("{at}: chain {name} does not hold exactly its rules");
        let Some((choice, affinity)) = rules.split_last() else {
            return Err(foreign());
        };
        let (None, [Statement::RandomVmap(modulus, entries)]) =
            (&choice.comment, &choice.statements[..])
        else {
            return Err(foreign());
        };
        // Without affinity only a layout whose endpoints all have chains leads to them.
        let has_affinity = !affinity.is_empty();
        let count = if has_affinity { entries.len() } else { 0 };
        if affinity.len() != count || !has_affinity && !self.layout.has_endpoint_chains() {
            return Err(foreign());
        }
        let mut drawn = Vec::with_capacity(entries.len());
        for (wanted, (number, verdict)) in (0..).zip(entries) {
            let Verdict::Goto(endpoint_chain) = verdict else {
                return Err(foreign());
            };
            if *number != wanted {
                return Err(format!("{at}: number {wanted} leads nowhere"));
            }
            let set = match affinity.get(drawn.len()) {
                None => None,
                Some(rule) => {
                    let set = self.clients_of(endpoint_chain)?;
                    if *rule != affinity_rule(set.clone(), endpoint_chain.clone()) {
                        return Err(foreign());
                    }
                    Some(set.clone())
                }
            };
            drawn.push(self.endpoint(at, endpoint_chain, set)?);
        }
        match drawn.len() == *modulus as usize {
            true => Ok(drawn),
            false => Err(format!(
                "{at}: {} of {modulus} numbers lead somewhere",
                drawn.len()
            )),
        }
    }

    /// The set of clients of an endpoint, by its chain.
    fn clients_of(&mut self, chain: &Name) -> Result<&'a Name, String> {
        let base = chain.as_str().strip_prefix("endpoint-");
        let base = base.ok_or_else(|| format!("{chain} is no endpoint's chain"))?;
        let name = Name::from(format!("affinity-{base}"));
        let found = self.table.sets.get_key_value(&name);
        let (name, set) = found.ok_or_else(|| format!("no set {name}"))?;
        let plain = (set.key, set.verdicts, &set.comment) == (KeyType::Address, false, &None);
        if !plain || set.timeout.is_none() {
            return Err(format!("{name} is no set of clients"));
        }
        self.clients.insert(name);
        Ok(name)
    }

    fn endpoint(
        &mut self,
        at: Frontend,
        name: &Name,
        clients: Option<Name>,
    ) -> Result<Endpoint, String> {
        let chain = self.chain(name)?;
        let foreign = || format!("{at}: chain {name} does not hold exactly its rules");
        let translation = chain.rules.last().map(|rule| &rule.statements[..]);
        let Some([_, Statement::Dnat(to)]) = translation else {
            return Err(foreign());
        };
        let endpoint = Endpoint::from(*to);
        // Protocol and masquerading too: the whole chain must be this endpoint's.
        let wanted = self.layout.endpoint_rules(at.protocol, endpoint, clients);
        match chain.rules == wanted {
            true => Ok(endpoint),
            false => Err(foreign()),
        }
    }

    /// A chain that nothing leads to is a flushed one that waits for its deletion, or foreign; a set that nothing uses is
    /// foreign.
    fn check_unreached(&self, common: &Table) -> Result<(), String> {
        let mut others =
            self.table.chains.iter().filter(|(name, _)| {
                !common.chains.contains_key(*name) && !self.reached.contains(name)
            });
        if let Some((name, _)) =
            others.find(|(_, chain)| !chain.rules.is_empty() || chain.base.is_some())
        {
            return Err(format!("no service leads to chain {name}, which has rules"));
        }
        let mut sets = self.table.sets.keys();
        match sets.find(|name| !common.sets.contains_key(*name) && !self.clients.contains(name)) {
            Some(foreign) => Err(format!("foreign set {foreign}")),
            None => Ok(()),
        }
    }
}
