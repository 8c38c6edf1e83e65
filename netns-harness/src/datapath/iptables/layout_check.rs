//! Whether listed tables are kube-proxy's layout and nothing else: what does not decide where a flow
//! goes (masquerading, filter rules, the length and order of KUBE-SERVICES) still decides what it costs.

use std::collections::{BTreeSet, HashSet};
use std::net::IpAddr;

use schema::Family;

use super::layout;
use crate::service::{Cidr, Frontend, Plan};
use crate::xtables::rule::{Match, Rule, Target};
use crate::xtables::tables::{Table, Tables};

const PORTALS: &str = "KUBE-SERVICES";
const MASQUERADE: &str = "KUBE-MARK-MASQ";

/// The frontends of KUBE-SERVICES, in the order in which a packet passes them.
pub(super) fn portals(tables: &Tables) -> Vec<Frontend> {
    let rules = tables.0.get("nat").and_then(|nat| nat.chains.get(PORTALS));
    let rules = rules.into_iter().flatten();
    rules.filter_map(Rule::exact_destination).collect()
}

/// Checks every rule that is not a service's own against a family's base, and the shape of the others. An
/// untouched or emptied namespace is complete: it has nothing.
///
/// # Errors
/// The first chain that is not as kube-proxy lays it out.
pub(super) fn complete(tables: &Tables, family: Family) -> Result<(), String> {
    if tables.rules() == 0 && tables.own_chains() == 0 {
        return Ok(());
    }
    let wanted = layout::base(family);
    tables.are_as(&wanted, |table, chain| {
        let own = table == "nat" && service_own(chain);
        own || matches!(table, "nat" | "filter") && chain == PORTALS
    })?;
    let nat = &tables.0["nat"];
    services(nat, wanted.0["nat"].chains[PORTALS].last())?;
    refusals(&tables.0["filter"].chains[PORTALS], nat)
}

/// One refusal for each service without endpoints, and none of another.
fn refusals(rules: &[Rule], nat: &Table) -> Result<(), String> {
    let served: HashSet<Frontend> = nat.chains[PORTALS]
        .iter()
        .filter_map(Rule::exact_destination)
        .collect();
    let mut refused = HashSet::new();
    for rule in rules {
        let Some(to) = rule.exact_destination() else {
            return Err(format!("a rule of filter's {PORTALS} is no service's"));
        };
        let plain = Rule {
            target: Target::Refuse,
            ..of_service(to, "")
        };
        if *rule != plain || served.contains(&to) || !refused.insert(to) {
            return Err(format!(
                "the rule of filter's {PORTALS} for {to} is not as kube-proxy writes it"
            ));
        }
    }
    Ok(())
}

/// Whether a chain of table nat belongs to one service.
pub(in crate::datapath) fn service_own(chain: &str) -> bool {
    chain.starts_with("KUBE-SVC-") || chain.starts_with("KUBE-SEP-")
}

/// One portal a service, the node-port rule last, and below each portal exactly its chains.
fn services(nat: &Table, last: Option<&Rule>) -> Result<(), String> {
    let portals = &nat.chains[PORTALS];
    if portals.last() != last {
        return Err(format!(
            "the last rule of {PORTALS} is not the node-port rule"
        ));
    }
    let mut seen = HashSet::new();
    let mut reached = BTreeSet::new();
    for rule in &portals[..portals.len() - 1] {
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
        service(nat, chain, destination, &mut reached)?;
    }
    let mut own = nat.chains.keys().filter(|chain| service_own(chain));
    match own.find(|chain| !reached.contains(chain.as_str())) {
        Some(chain) => Err(format!("chain {chain} is not reached from {PORTALS}")),
        None => Ok(()),
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
    let odd = |chain: &str| format!("chain {chain} is not as kube-proxy writes it");
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
    if jumps.is_empty() {
        return Err(odd(chain));
    }
    for jump in jumps {
        let Target::Jump(own) = &jump.target else {
            return Err(odd(chain));
        };
        let plain = Rule {
            probability: jump.probability,
            target: jump.target.clone(),
            ..Rule::default()
        };
        if *jump != plain {
            return Err(format!("{}: a choice has further conditions", odd(chain)));
        }
        endpoint(nat, own, to)?;
        reached.insert(own);
    }
    Ok(())
}

fn endpoint(nat: &Table, chain: &str, to: Frontend) -> Result<(), String> {
    let odd = || format!("chain {chain} is not as kube-proxy writes it");
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
    let translates = Rule {
        protocol: Some(to.protocol.name().to_owned()),
        target: Target::Dnat(endpoint),
        ..Rule::default()
    };
    match *translate == translates {
        true => Ok(()),
        false => Err(format!("{}: its DNAT has other conditions", odd())),
    }
}
