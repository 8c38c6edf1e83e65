//! What listed rules mean: the way of a first packet from the hooks to an endpoint.
//!
//! Whatever every cluster has in common must be listed exactly as the layout has it, so that a frontend
//! counts only if its packets really come to it; a service's chains must hold exactly their rules.
//! Anything else is an error, not a guess.

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;

use nft_codec::{Chain, Element, Key, L4Proto, Name, Set, Statement, Table, TableFamily, Verdict};
use schema::Protocol;

use super::layout::{self, FullSync, Layout};
use crate::relation::Relation;
use crate::service::{Endpoint, Frontend};

/// The relation of kube-proxy's table; empty when there is no table.
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
    };
    let mut relation = Relation::default();
    for element in set(table, layout::SERVICE_IPS)?.elements.values() {
        let (frontend, chain) = target(element)?;
        relation.0.insert(frontend, trace.service(frontend, chain)?);
    }
    for element in set(table, layout::NO_ENDPOINT_SERVICES)?.elements.values() {
        let (frontend, chain) = target(element)?;
        if chain.as_str() != layout::REJECT_CHAIN
            || relation.0.insert(frontend, BTreeMap::new()).is_some()
        {
            return Err(format!(
                "{frontend} goes to {chain} as if it had no endpoints"
            ));
        }
    }
    check_cluster_ips(table, &relation)?;
    trace.check_unreached(&common)?;
    Ok(relation)
}

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
        let filled = matches!(
            name.as_str(),
            layout::CLUSTER_IPS | layout::SERVICE_IPS | layout::NO_ENDPOINT_SERVICES
        );
        if !filled && listed.elements != wanted.elements {
            let other = |key: &&Key| !wanted.elements.contains_key(*key);
            return Err(match listed.elements.keys().find(other) {
                Some(key) => {
                    format!("{name} holds {key}, which no service of type ClusterIP needs")
                }
                None => format!("{name} lacks elements, or they say something else"),
            });
        }
    }
    match table
        .sets
        .keys()
        .find(|name| !common.sets.contains_key(*name))
    {
        Some(foreign) => Err(format!("foreign set {foreign}")),
        None => Ok(()),
    }
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

/// A service map's element as frontend and chain.
fn target(element: &Element) -> Result<(Frontend, &Name), String> {
    let protocol = |proto| match proto {
        L4Proto::TCP => Some(Protocol::Tcp),
        L4Proto::UDP => Some(Protocol::Udp),
        _ => None,
    };
    if let (Key::AddressProtoPort(vip, proto, port), Some(Verdict::Goto(chain))) =
        (element.key, &element.verdict)
        && let Some(protocol) = protocol(proto)
    {
        return Ok((
            Frontend {
                vip,
                port,
                protocol,
            },
            chain,
        ));
    }
    Err(format!("foreign element {element}"))
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
    reached: HashSet<&'a Name>,
}

impl<'a> Trace<'a> {
    fn chain(&mut self, name: &Name) -> Result<&'a Chain, String> {
        let (name, chain) = self
            .table
            .chains
            .get_key_value(name)
            .ok_or_else(|| format!("no chain {name}"))?;
        self.reached.insert(name);
        Ok(chain)
    }

    /// Shares of a service's endpoints: of the numbers that are drawn, how many lead to each.
    fn service(
        &mut self,
        frontend: Frontend,
        name: &Name,
    ) -> Result<BTreeMap<Endpoint, f64>, String> {
        let chain = self.chain(name)?;
        let drawn = match self.layout.has_endpoint_chains() {
            true => self.led_to(frontend, name, chain)?,
            false => self.translated_to(frontend, chain).ok_or_else(|| {
                format!("{frontend}: chain {name} does not hold exactly its rule")
            })?,
        };
        let mut shares = BTreeMap::new();
        for endpoint in &drawn {
            *shares.entry(*endpoint).or_insert(0.0) += 1.0 / drawn.len() as f64;
        }
        Ok(shares)
    }

    /// The endpoint of each number, where one rule translates.
    fn translated_to(&self, frontend: Frontend, chain: &Chain) -> Option<Vec<Endpoint>> {
        let [rule] = &chain.rules[..] else {
            return None;
        };
        let drawn: Vec<Endpoint> = match &rule.statements[..] {
            [_, Statement::RandomDnat(_, entries)] => {
                entries.iter().map(|(_, to)| Endpoint::from(*to)).collect()
            }
            [_, Statement::Dnat(to)] => vec![Endpoint::from(*to)],
            _ => return None,
        };
        let wanted = self.layout.draw_rule(frontend.protocol, &drawn);
        (chain.base.is_none() && *rule == wanted).then_some(drawn)
    }

    /// The endpoint of each number, where each has a chain.
    fn led_to(
        &mut self,
        frontend: Frontend,
        name: &Name,
        chain: &Chain,
    ) -> Result<Vec<Endpoint>, String> {
        let foreign = || format!("{frontend}: chain {name} does not hold exactly its two rules");
        let [off_cluster, choice] = &chain.rules[..] else {
            return Err(foreign());
        };
        let ours = chain.base.is_none() && *off_cluster == self.layout.off_cluster_rule(frontend);
        let (true, None, [Statement::RandomVmap(modulus, entries)]) =
            (ours, &choice.comment, &choice.statements[..])
        else {
            return Err(foreign());
        };
        let mut drawn = Vec::with_capacity(entries.len());
        for (wanted, (number, verdict)) in (0..).zip(entries) {
            let Verdict::Goto(endpoint_chain) = verdict else {
                return Err(foreign());
            };
            if *number != wanted {
                return Err(format!("{frontend}: number {wanted} leads nowhere"));
            }
            drawn.push(self.endpoint(frontend, endpoint_chain)?);
        }
        match drawn.len() == *modulus as usize {
            true => Ok(drawn),
            false => Err(format!(
                "{frontend}: {} of {modulus} numbers lead somewhere",
                drawn.len()
            )),
        }
    }

    fn endpoint(&mut self, frontend: Frontend, name: &Name) -> Result<Endpoint, String> {
        let chain = self.chain(name)?;
        let foreign = || format!("{frontend}: chain {name} does not hold exactly its two rules");
        let translation = chain.rules.get(1).map(|rule| &rule.statements[..]);
        let Some([_, Statement::Dnat(to)]) = translation else {
            return Err(foreign());
        };
        let endpoint = Endpoint::from(*to);
        // Protocol and masquerading too: the whole chain must be this endpoint's.
        if chain.base.is_none()
            && chain.rules == layout::endpoint_rules(frontend.protocol, endpoint)
        {
            Ok(endpoint)
        } else {
            Err(foreign())
        }
    }

    /// A chain that nothing leads to is a flushed one that waits for its deletion, or foreign.
    fn check_unreached(&self, common: &Table) -> Result<(), String> {
        let mut others =
            self.table.chains.iter().filter(|(name, _)| {
                !common.chains.contains_key(*name) && !self.reached.contains(name)
            });
        match others.find(|(_, chain)| !chain.rules.is_empty() || chain.base.is_some()) {
            Some((name, _)) => Err(format!("no service leads to chain {name}, which has rules")),
            None => Ok(()),
        }
    }
}
