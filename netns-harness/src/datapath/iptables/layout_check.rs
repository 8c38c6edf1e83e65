//! Whether listed tables are kube-proxy's layout and nothing else: what does not decide where a flow
//! goes (masquerading, filter rules, the length and order of KUBE-SERVICES) still decides what it costs.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};

use schema::Family;

use super::{Iptables, layout, services};
use crate::accounts;
use crate::service::{Cidr, Frontend, Plan};
use crate::xtables::rule::{Match, Recent, Rule, State, Target};
use crate::xtables::tables::{Table, Tables};

const PORTALS: &str = "KUBE-SERVICES";
/// In table nat node ports, in table filter those of health checks.
const PORTS: &str = "KUBE-NODEPORTS";
const EXTERNAL: &str = "KUBE-EXTERNAL-SERVICES";
const FIREWALL: &str = "KUBE-PROXY-FIREWALL";
const MASQUERADE: &str = "KUBE-MARK-MASQ";
/// Addresses of the node itself.
const LOCALHOST: Match<Cidr> = Match {
    value: Cidr {
        network: IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)),
        prefix: 8,
    },
    negated: false,
};

fn rules_of<'a>(
    tables: &'a Tables,
    table: &str,
    chain: &str,
) -> impl Iterator<Item = &'a Rule> + use<'a> {
    let rules = tables
        .0
        .get(table)
        .and_then(|table| table.chains.get(chain));
    rules.into_iter().flatten()
}

/// Whether packets of a rule come to more than a choice of endpoints: those for external addresses do.
fn leads_outside(rule: &Rule) -> bool {
    let outside = |chain: &str| {
        ["KUBE-EXT-", "KUBE-FW-"]
            .iter()
            .any(|own| chain.starts_with(own))
    };
    matches!(&rule.target, Target::Jump(chain) if outside(chain))
}

/// The addresses of KUBE-SERVICES in the order in which a packet passes them, then the node ports of KUBE-NODEPORTS in theirs.
pub(super) fn walked(tables: &Tables, family: Family) -> Vec<Frontend> {
    let portals = rules_of(tables, "nat", PORTALS).filter_map(Rule::exact_destination);
    let at_node = |rule: &Rule| {
        Some(Frontend {
            vip: Plan::of(family).node(),
            port: rule.destination_port?,
            protocol: rule.protocol.as_deref()?.parse().ok()?,
        })
    };
    // The rule before each port's that counts packets to 127.0.0.0/8 is the same port's.
    let own = |rule: &&Rule| rule.account.is_none();
    let ports = rules_of(tables, "nat", PORTS)
        .filter(own)
        .filter_map(at_node);
    portals.chain(ports).collect()
}

/// Destinations that are external addresses of services.
pub(super) fn external(tables: &Tables) -> BTreeSet<Frontend> {
    let portals = rules_of(tables, "nat", PORTALS).filter(|rule| leads_outside(rule));
    let unserved = rules_of(tables, "filter", EXTERNAL);
    let ranged = rules_of(tables, "filter", FIREWALL);
    let all = portals.chain(unserved).chain(ranged);
    all.filter_map(Rule::exact_destination).collect()
}

/// Checks every rule that is not a service's own against the base, and the shape of the others. An
/// untouched or emptied namespace is complete: it has nothing.
///
/// # Errors
/// The first chain that is not as kube-proxy lays it out.
pub(super) fn complete(tables: &Tables, iptables: Iptables) -> Result<(), String> {
    if tables.rules() == 0 && tables.own_chains() == 0 {
        return Ok(());
    }
    let wanted = layout::base(iptables);
    tables.are_as(&wanted, |table, chain| match table {
        "nat" => service_own(chain) || matches!(chain, PORTALS | PORTS),
        "filter" => matches!(chain, PORTALS | PORTS | EXTERNAL | FIREWALL),
        _ => false,
    })?;
    let nat = &tables.0["nat"];
    services(nat, wanted.0["nat"].chains[PORTALS].last(), iptables)?;
    filtered(&tables.0["filter"], nat)
}

/// What table filter has of services: a refusal of each address that leads nowhere, a drop of each that leads nowhere on
/// this node or not for everybody, and what lets health checks in.
fn filtered(filter: &Table, nat: &Table) -> Result<(), String> {
    let odd = |chain: &str| format!("a rule of filter's {chain} is not as kube-proxy writes it");
    let portals = nat.chains[PORTALS].iter();
    let portals = portals.filter_map(|rule| Some((rule.exact_destination()?, &rule.target)));
    let portals: HashMap<Frontend, &Target> = portals.collect();
    let port = |rule: &Rule| (rule.protocol.clone(), rule.destination_port);
    let ports: HashSet<_> = nat.chains[PORTS].iter().map(port).collect();
    let mut refused = HashSet::new();
    for rule in &filter.chains[PORTALS] {
        let Some(to) = rule.exact_destination() else {
            return Err(format!("a rule of filter's {PORTALS} is no service's"));
        };
        let once = refused.insert(to) && !portals.contains_key(&to);
        if !once || !is_end(rule) || *rule != ended(to, rule) {
            return Err(format!(
                "the rule of filter's {PORTALS} for {to} is not as kube-proxy writes it"
            ));
        }
    }
    for rule in &filter.chains[EXTERNAL] {
        let (wanted, served) = match rule.exact_destination() {
            Some(to) => (ended(to, rule), portals.contains_key(&to)),
            None => (ended_port(rule), ports.contains(&port(rule))),
        };
        // What is dropped is what the short cut of nat leaves.
        let dropped = rule.target == Target::Drop;
        if !is_end(rule) || *rule != wanted || served != dropped {
            return Err(odd(EXTERNAL));
        }
    }
    let mut ranged = HashSet::new();
    for rule in &filter.chains[FIREWALL] {
        let to = rule.exact_destination().ok_or_else(|| odd(FIREWALL))?;
        if rule.target != Target::Drop || *rule != ended(to, rule) || !ranged.insert(to) {
            return Err(odd(FIREWALL));
        }
    }
    let firewall =
        |target: &Target| matches!(target, Target::Jump(to) if to.starts_with("KUBE-FW-"));
    let walled = portals.iter().filter(|(_, target)| firewall(target));
    let walled: HashSet<Frontend> = walled.map(|(to, _)| *to).collect();
    if walled != ranged {
        return Err(format!(
            "filter's {FIREWALL} and the firewalls of nat differ"
        ));
    }
    let health = |rule: &Rule| Rule {
        protocol: Some("tcp".to_owned()),
        destination_port: rule.destination_port,
        target: Target::Accept,
        ..Rule::default()
    };
    let mut checks = filter.chains[PORTS].iter();
    match checks.all(|rule| rule.destination_port.is_some() && *rule == health(rule)) {
        true => Ok(()),
        false => Err(odd(PORTS)),
    }
}

/// Whether packets end at a rule.
const fn is_end(rule: &Rule) -> bool {
    matches!(rule.target, Target::Refuse | Target::Drop)
}

/// The end that a rule makes of packets to a service, for no other reason.
fn ended(to: Frontend, rule: &Rule) -> Rule {
    Rule {
        target: rule.target.clone(),
        ..of_service(to, "")
    }
}

/// The end that a rule makes of packets to a node port, for no other reason.
fn ended_port(rule: &Rule) -> Rule {
    Rule {
        state: Some(State::LocalDestination),
        protocol: rule.protocol.clone(),
        destination_port: rule.destination_port,
        target: rule.target.clone(),
        ..Rule::default()
    }
}

/// Whether a chain of table nat belongs to one service.
pub(in crate::datapath) fn service_own(chain: &str) -> bool {
    services::OWN.iter().any(|prefix| chain.starts_with(prefix))
}

/// One portal a service and address, the node-port rule last, and below each portal and node port exactly its chains.
fn services(nat: &Table, last: Option<&Rule>, iptables: Iptables) -> Result<(), String> {
    let family = iptables.family;
    let portals = &nat.chains[PORTALS];
    if portals.last() != last {
        return Err(format!(
            "the last rule of {PORTALS} is not the node-port rule"
        ));
    }
    let mut seen = HashSet::new();
    let mut reached = BTreeSet::new();
    // ClusterIPs first: their chains of endpoints have a rule more.
    let portals = portals[..portals.len() - 1].iter();
    let (outer, inner): (Vec<&Rule>, Vec<&Rule>) = portals.partition(|rule| leads_outside(rule));
    for rule in inner.into_iter().chain(outer) {
        let (Some(destination), Target::Jump(chain)) = (rule.exact_destination(), &rule.target)
        else {
            return Err(format!("a rule of {PORTALS} is no service's"));
        };
        if *rule != of_service(destination, chain) {
            return Err(format!(
                "the rule of {PORTALS} for {destination} has further conditions"
            ));
        }
        if !seen.insert(destination) {
            return Err(format!("{PORTALS} has two rules for {destination}"));
        }
        let protocol = destination.protocol.name();
        if chain.starts_with("KUBE-FW-") {
            firewall(nat, chain, protocol, family, &mut reached)?;
        } else if leads_outside(rule) {
            outside(nat, chain, protocol, family, &mut reached)?;
        } else {
            service(nat, chain, destination, &mut reached)?;
        }
    }
    // Of IPv4 a port's own rule stands behind that which counts what comes to it at 127.0.0.0/8, where there are counters.
    let counted = iptables.accounts && family == Family::Ipv4;
    for rules in nat.chains[PORTS].chunks(1 + usize::from(counted)) {
        let odd = || format!("a rule of {PORTS} is no node port's");
        let (rule, counts) = rules.split_last().ok_or_else(odd)?;
        let (Some(protocol), Target::Jump(chain)) = (&rule.protocol, &rule.target) else {
            return Err(odd());
        };
        let plain = Rule {
            protocol: rule.protocol.clone(),
            destination_port: rule.destination_port,
            target: rule.target.clone(),
            ..Rule::default()
        };
        let to_localhost = Rule {
            destination: Some(LOCALHOST),
            account: Some(accounts::LOCALHOST.to_owned()),
            ..plain.clone()
        };
        if *rule != plain || rule.destination_port.is_none() || !chain.starts_with("KUBE-EXT-") {
            return Err(odd());
        }
        if counts != &[to_localhost][..usize::from(counted)] {
            return Err(odd());
        }
        outside(nat, chain, protocol, family, &mut reached)?;
    }
    let mut own = nat.chains.keys().filter(|chain| service_own(chain));
    match own.find(|chain| !reached.contains(chain.as_str())) {
        Some(chain) => Err(format!("chain {chain} is not reached from {PORTALS}")),
        None => Ok(()),
    }
}

fn odd(chain: &str) -> String {
    format!("chain {chain} is not as kube-proxy writes it")
}

/// A rule that leads to a chain whatever the packet.
fn always(chain: &str) -> Rule {
    Rule {
        target: Target::Jump(chain.to_owned()),
        ..Rule::default()
    }
}

/// The chain of a load balancer's addresses: sources that may go on, and a last rule that does nothing.
fn firewall<'a>(
    nat: &'a Table,
    chain: &'a str,
    protocol: &str,
    family: Family,
    reached: &mut BTreeSet<&'a str>,
) -> Result<(), String> {
    let rules = nat.chains.get(chain).map_or(&[][..], Vec::as_slice);
    let Some((last, ranges)) = rules.split_last() else {
        return Err(odd(chain));
    };
    reached.insert(chain);
    let Some(Target::Jump(external)) = ranges.first().map(|rule| &rule.target) else {
        return Err(odd(chain));
    };
    let allows = |rule: &Rule| {
        let source = rule.source.filter(|source| !source.negated);
        let plain = Rule {
            source,
            ..always(external)
        };
        source.is_some() && *rule == plain
    };
    if *last != Rule::default() || !ranges.iter().all(allows) {
        return Err(odd(chain));
    }
    outside(nat, external, protocol, family, reached)
}

/// The chain of external packets. Under policy Cluster they are masqueraded and go to any endpoint; under policy Local pods
/// and the node itself have these, and others those of this node if there are any.
fn outside<'a>(
    nat: &'a Table,
    chain: &'a str,
    protocol: &str,
    family: Family,
    reached: &mut BTreeSet<&'a str>,
) -> Result<(), String> {
    if !reached.insert(chain) {
        return Ok(());
    }
    let rules = nat.chains.get(chain).map_or(&[][..], Vec::as_slice);
    let pods = Match {
        value: Plan::of(family).cluster,
        negated: false,
    };
    let own = |chain| Rule {
        state: Some(State::LocalSource),
        ..always(chain)
    };
    let chosen: Vec<&'a str> = match rules {
        [masquerade, all] if *masquerade == always(MASQUERADE) => vec![led(all)],
        [of_pods, masquerade, of_node, others @ ..] if others.len() < 2 => {
            let cluster = led(of_pods);
            let first = Rule {
                source: Some(pods),
                ..always(cluster)
            };
            if *of_pods != first || *masquerade != own(MASQUERADE) || *of_node != own(cluster) {
                return Err(odd(chain));
            }
            std::iter::once(cluster)
                .chain(others.iter().map(led))
                .collect()
        }
        _ => return Err(odd(chain)),
    };
    let last = chosen.last().copied().unwrap_or_default();
    let plain = rules.last() == Some(&always(last)) || rules.len() == 3;
    if !plain {
        return Err(odd(chain));
    }
    for choice in chosen {
        if reached.insert(choice) {
            let rules = nat.chains.get(choice).map_or(&[][..], Vec::as_slice);
            choices(nat, choice, rules, protocol, reached)?;
        }
    }
    Ok(())
}

/// Where a rule leads; nowhere when it leads to no chain.
fn led(rule: &Rule) -> &str {
    match &rule.target {
        Target::Jump(chain) => chain,
        _ => "",
    }
}

const fn one(address: IpAddr) -> Match<Cidr> {
    Match {
        value: Cidr::one(address),
        negated: false,
    }
}

/// A jump for packets to a service and for no other reason.
fn of_service(to: Frontend, chain: &str) -> Rule {
    Rule {
        destination: Some(one(to.vip)),
        protocol: Some(to.protocol.name().to_owned()),
        destination_port: Some(to.port),
        target: Target::Jump(chain.to_owned()),
        ..Rule::default()
    }
}

/// A service's chain: masquerade for packets to it from outside of the cluster, then one jump an endpoint; an
/// endpoint's chain: masquerade for packets of the endpoint itself, then DNAT. Nothing else, and under no other
/// conditions.
///
/// # Errors
/// The chain that is not so, and in what.
pub(in crate::datapath) fn service<'a>(
    nat: &'a Table,
    chain: &'a str,
    to: Frontend,
    reached: &mut BTreeSet<&'a str>,
) -> Result<(), String> {
    reached.insert(chain);
    let rules = nat.chains.get(chain).ok_or_else(|| odd(chain))?;
    let (first, jumps) = rules.split_first().ok_or_else(|| odd(chain))?;
    let cluster = Plan::of(to.family()).cluster;
    let outsiders = Rule {
        source: Some(Match {
            value: cluster,
            negated: true,
        }),
        ..of_service(to, MASQUERADE)
    };
    if *first != outsiders {
        return Err(format!(
            "{}: its first rule does not masquerade just what comes to {to} from outside of {cluster}",
            odd(chain)
        ));
    }
    choices(nat, chain, jumps, to.protocol.name(), reached)
}

/// Jumps to endpoints: those of clients of late, then an even choice.
fn choices<'a>(
    nat: &'a Table,
    chain: &str,
    jumps: &'a [Rule],
    protocol: &str,
    reached: &mut BTreeSet<&'a str>,
) -> Result<(), String> {
    if jumps.is_empty() {
        return Err(odd(chain));
    }
    for jump in jumps {
        let Target::Jump(own) = &jump.target else {
            return Err(odd(chain));
        };
        let late = jump.recent.as_ref().map(|recent| Recent {
            name: own.clone(),
            check: true,
            reap: true,
            set: false,
            seconds: recent.seconds,
        });
        let plain = Rule {
            probability: jump.probability,
            recent: late,
            target: jump.target.clone(),
            ..Rule::default()
        };
        if *jump != plain {
            return Err(format!("{}: a choice has further conditions", odd(chain)));
        }
        endpoint(nat, own, protocol)?;
        reached.insert(own);
    }
    Ok(())
}

fn endpoint(nat: &Table, chain: &str, protocol: &str) -> Result<(), String> {
    let odd = || odd(chain);
    let Some([hairpin, translate]) = nat.chains.get(chain).map(Vec::as_slice) else {
        return Err(odd());
    };
    let Target::Dnat(endpoint) = translate.target else {
        return Err(odd());
    };
    let itself = Rule {
        source: Some(one(endpoint.address)),
        target: Target::Jump(MASQUERADE.to_owned()),
        ..Rule::default()
    };
    if *hairpin != itself {
        return Err(format!(
            "{}: its first rule does not masquerade just what comes from {} itself",
            odd(),
            endpoint.address
        ));
    }
    let noted = translate.recent.as_ref().map(|_| Recent {
        name: chain.to_owned(),
        set: true,
        ..Recent::default()
    });
    let translates = Rule {
        protocol: Some(protocol.to_owned()),
        recent: noted,
        target: Target::Dnat(endpoint),
        ..Rule::default()
    };
    match *translate == translates {
        true => Ok(()),
        false => Err(format!("{}: its DNAT has other conditions", odd())),
    }
}
