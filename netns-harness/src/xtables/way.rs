//! The whole way of a flow's first packet through all tables, for rules of any layout: where it is sent, and
//! whether another table refuses it before it gets there.

use std::collections::{BTreeMap, BTreeSet};

use super::rule::is_local;
use super::tables::Tables;
use super::trace::{Flows, Index, masqueraded};
use crate::relation::Relation;
use crate::service::{Endpoint, Frontend};

/// Tables and chains that a forwarded packet crosses (`iptables(8)`; enum nf_ip_hook_priorities).
const FORWARDED: &[(&str, &str)] = &[
    ("raw", "PREROUTING"),
    ("mangle", "PREROUTING"),
    ("nat", "PREROUTING"),
    ("mangle", "FORWARD"),
    ("filter", "FORWARD"),
    ("mangle", "POSTROUTING"),
    ("nat", "POSTROUTING"),
];
/// Those that a packet of the node itself crosses.
const SENT: &[(&str, &str)] = &[
    ("raw", "OUTPUT"),
    ("mangle", "OUTPUT"),
    ("nat", "OUTPUT"),
    ("filter", "OUTPUT"),
    ("mangle", "POSTROUTING"),
    ("nat", "POSTROUTING"),
];

/// [`relation_beside`] without external destinations.
///
/// # Errors
/// As there.
#[cfg(test)]
pub(crate) fn relation(tables: &Tables, wanted: &[Frontend]) -> Result<Relation, String> {
    relation_beside(tables, wanted, &BTreeSet::new())
}

/// What the tables do with new flows to every destination that a rule names and to those `wanted`, from a client
/// and from the node itself alike; but for destinations that are `external`, for what is done with their packets depends
/// on who sends them. These are in the relation only where they are wanted, and their sources may be replaced, as may
/// those of packets to ports of the node. A destination whose flows are refused has no endpoints; one that the tables
/// leave alone is not in the relation.
///
/// # Errors
/// A rule on the way that is not understood, a missing chain, a flow whose treatment depends on where it comes
/// from, or one whose source address would be replaced.
pub(crate) fn relation_beside(
    tables: &Tables,
    wanted: &[Frontend],
    external: &BTreeSet<Frontend>,
) -> Result<Relation, String> {
    let way = Way::of(tables);
    let named = way.0.values().flat_map(Index::destinations);
    let named = named.filter(|to| !external.contains(to));
    let all: BTreeSet<Frontend> = named.chain(wanted.iter().copied()).collect();
    let mut relation = Relation::default();
    for to in all {
        let plain = !external.contains(&to) && !is_local(to.vip);
        let treated = |chains| {
            let answer = way.answer(chains, Flows::all(0), to)?;
            match answer.masqueraded {
                Some(endpoint) if plain => Err(masqueraded(to, endpoint)),
                _ => Ok(answer.shares_unless_alone()),
            }
        };
        let forwarded = treated(FORWARDED)?;
        if forwarded != treated(SENT)? {
            return Err(format!(
                "{to} is treated differently when it is forwarded and when the node sends it"
            ));
        }
        relation.0.extend(forwarded.map(|shares| (to, shares)));
    }
    Ok(relation)
}

/// What becomes of new flows of one client to one destination; what neither goes to an endpoint nor is left alone is
/// refused or dropped.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Answer {
    /// Shares of those that are sent to endpoints.
    pub(crate) shares: BTreeMap<Endpoint, f64>,
    /// The share of those that go on as they were sent.
    pub(crate) alone: f64,
    /// An endpoint that sees another source than the client.
    pub(crate) masqueraded: Option<Endpoint>,
}

impl Answer {
    fn shares_unless_alone(self) -> Option<BTreeMap<Endpoint, f64>> {
        // Parts of a probability do not sum up to exactly 1.
        (self.alone < 1.0 - 1e-9).then_some(self.shares)
    }
}

/// What becomes of new flows from `source`, which are forwarded unless it is an address of the node.
///
/// # Errors
/// A rule on the way that is not understood, or a missing chain.
#[cfg(test)]
pub(crate) fn answer(
    tables: &Tables,
    source: std::net::IpAddr,
    to: Frontend,
) -> Result<Answer, String> {
    let chains = if is_local(source) { SENT } else { FORWARDED };
    Way::of(tables).answer(chains, Flows::all(0).sent_by(source), to)
}

struct Way<'a>(BTreeMap<&'a str, Index<'a>>);

impl<'a> Way<'a> {
    fn of(tables: &'a Tables) -> Self {
        let tables = tables.0.iter();
        Self(
            tables
                .map(|(name, table)| (name.as_str(), Index::new(table)))
                .collect(),
        )
    }

    /// What chains do with new flows, one after the other.
    fn answer(
        &self,
        chains: &[(&str, &str)],
        flows: Flows,
        to: Frontend,
    ) -> Result<Answer, String> {
        let mut answer = Answer::default();
        // Where they were sent, if anywhere.
        let mut parts: Vec<(Option<Endpoint>, Flows)> = vec![(None, flows)];
        for (table, chain) in chains {
            let Some(index) = self.0.get(table).filter(|index| index.has(chain)) else {
                continue;
            };
            let mut behind = Vec::with_capacity(parts.len());
            for (endpoint, flows) in parts {
                let there = endpoint.map_or(to, |endpoint| endpoint.as_frontend(to.protocol));
                let ends = index.through(chain, there, flows)?;
                if ends.masqueraded && answer.masqueraded.is_none() {
                    answer.masqueraded = endpoint;
                }
                behind.extend(ends.accepted.into_iter().map(|flows| (endpoint, flows)));
                let translated = ends.translated.into_iter();
                behind.extend(translated.map(|(endpoint, flows)| (Some(endpoint), flows)));
            }
            parts = behind;
        }
        for (endpoint, flows) in parts {
            match endpoint {
                Some(endpoint) => *answer.shares.entry(endpoint).or_insert(0.0) += flows.mass,
                None => answer.alone += flows.mass,
            }
        }
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    /// A section of a recorded listing: the rules of every minor are those of 1.32 (netns-harness/tests/kube-proxy/README.md).
    fn recorded(engine: &str, section: &str) -> String {
        let tests = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kube-proxy/ipv4");
        let file = format!("{tests}/1.32/iptables-{engine}.txt");
        let text = std::fs::read_to_string(file).unwrap();
        let (_, rest) = text.split_once(&format!("\n=== {section}\n")).unwrap();
        rest.split("\n=== ").next().unwrap().to_owned() + "\n"
    }

    fn rules(engine: &str) -> String {
        recorded(engine, &format!("iptables-{engine}-save"))
    }

    fn meaning(listing: &str) -> Result<Relation, String> {
        let mut tables = Tables::default();
        tables.restore(listing)?;
        relation(&tables, &[])
    }

    /// The population of the recorded listings, a service a line: "NAME VIP:PORT/PROTOCOL: ENDPOINT ENDPOINT".
    fn population() -> Relation {
        let service = |line: &str| {
            let (_, line) = line.split_once(' ').unwrap();
            let (at, rest) = line.split_once('/').unwrap();
            let (protocol, endpoints) = rest.split_once(':').unwrap();
            let at: SocketAddr = at.parse().unwrap();
            let to = Frontend {
                vip: at.ip(),
                port: at.port(),
                protocol: protocol.parse().unwrap(),
            };
            let endpoints = endpoints.split_whitespace();
            let share = 1.0 / endpoints.clone().count() as f64;
            let each = endpoints.map(|at| {
                let at: SocketAddr = at.parse().unwrap();
                (Endpoint::from(at), share)
            });
            (to, each.collect())
        };
        Relation(
            recorded("legacy", "population")
                .lines()
                .map(service)
                .collect(),
        )
    }

    #[test]
    fn the_rules_of_every_recorded_kube_proxy_mean_its_population() {
        for engine in ["legacy", "nft"] {
            let listed = meaning(&rules(engine)).unwrap();
            assert_eq!(listed.differences(&population()), None, "{engine}");
        }
    }

    #[test]
    fn a_damaged_listing_means_something_else_or_is_refused() {
        let jump =
            "-A OUTPUT -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES\n";
        let portal = "-A KUBE-SERVICES -d 10.105.111.240/32 -p tcp";
        let forward = "-A FORWARD -m comment --comment \"kubernetes forwarding rules\"";
        let whole = "--comment \"bench/svc-2:p80 -> 10.131.72.5:8080\" -j";
        let limited = "--comment \"bench/svc-2:p80 -> 10.131.72.5:8080\" -m limit --limit 5/sec -j";
        for (damage, from, to) in [
            ("no jump", jump, ""),
            (
                "another VIP",
                portal,
                "-A KUBE-SERVICES -d 10.105.111.241/32 -p tcp",
            ),
            (
                "another protocol",
                portal,
                "-A KUBE-SERVICES -d 10.105.111.240/32 -p udp",
            ),
            ("no refusal", "--dport 80 -j REJECT", "--dport 81 -j REJECT"),
            (
                "another port",
                "--to-destination 10.151.133.218:8080",
                "--to-destination 10.151.133.218:8081",
            ),
            (
                "another endpoint",
                "--to-destination 10.134.217.69:8080",
                "--to-destination 10.131.23.58:8080",
            ),
            (
                "another share",
                "--probability 0.20000000019",
                "--probability 0.25000000000",
            ),
            ("a condition", whole, limited),
            (
                "a drop before",
                forward,
                "-A FORWARD -d 10.131.72.5/32 -j DROP\n-A FORWARD",
            ),
            ("a policy", ":FORWARD ACCEPT", ":FORWARD DROP"),
            (
                "all masqueraded",
                "-m mark ! --mark 0x4000/0x4000 -j RETURN",
                "-m mark --mark 0x4000/0x4000 -j RETURN",
            ),
        ] {
            let listing = rules("legacy");
            let damaged = listing.replacen(from, to, 1);
            assert_ne!(damaged, listing, "{damage}");
            let meaning = meaning(&damaged);
            let seen = meaning.as_ref().map_or(true, |relation| {
                relation.differences(&population()).is_some()
            });
            assert!(seen, "{damage}: {meaning:?}");
        }
    }

    #[test]
    fn what_is_not_understood_is_an_error_on_the_way_only() {
        let listing = rules("legacy");
        let aside = listing.replacen(
            "-A INPUT",
            "-A INPUT -m limit --limit 5/sec -j DROP\n-A INPUT",
            1,
        );
        assert_eq!(meaning(&aside), meaning(&listing));
        let on_the_way = listing.replacen(
            "-A FORWARD",
            "-A FORWARD -m limit --limit 5/sec -j DROP\n-A FORWARD",
            1,
        );
        let error = meaning(&on_the_way).unwrap_err();
        assert!(
            error.contains("chain FORWARD: '-m' is not understood"),
            "{error}"
        );
    }
}
