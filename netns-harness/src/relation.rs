//! What a datapath means: {frontend → {endpoint → share}}. Proof compares relations as sets; a count
//! that happens to agree proves nothing.

use std::collections::BTreeMap;
use std::fmt;

use crate::service::{Endpoint, Frontend, Population};

/// How far a probability that is listed may be from the one that was meant: half of the last digit of kube-proxy's text
/// (`%0.10f`, `computeProbability` of pkg/proxy/iptables/proxier.go), of the kernel's 31 bits (`lround` in
/// libxt_statistic.c), and of the listing's eleven decimals.
const PROBABILITY_ERROR: f64 = 0.5e-10 + 0.5 / 2_147_483_648.0 + 0.5e-11;

/// Shares closer than this are equal. The i-th of E choices has 1 / E of all flows where each rule takes its probability of
/// what those before it left. If each is off by d, its share is off by d · (E − i) of itself for its own rule and by
/// d · Σ m / (m − 1) over m = E … E − i + 1 for those before it, together at most d · (E + H), H = 1 + 1/2 + … + 1 / (E − 1):
/// in flows d · (1 + H / E), which is less than 2 · d whatever E.
pub(crate) const SHARE_TOLERANCE: f64 = 2.0 * PROBABILITY_ERROR;

/// {(VIP, port, protocol) → {endpoint → share of new flows}}.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Relation(pub BTreeMap<Frontend, BTreeMap<Endpoint, f64>>);

/// What the kernel lists, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Inventory {
    /// Rules.
    pub rules: u64,
    /// Chains, built-in ones aside.
    pub chains: u64,
    /// Sets and maps, anonymous ones included.
    pub sets: u64,
    /// Elements of those sets and maps; and what else grows with services there: virtual servers, their destinations, addresses.
    pub elements: u64,
    /// Of the sets, anonymous ones: those stand in the rule that uses them.
    pub anonymous_sets: u64,
    /// Of the elements, those of anonymous sets.
    pub anonymous_elements: u64,
    /// Of the elements, virtual servers.
    pub servers: u64,
    /// Of the elements, destinations of virtual servers.
    pub destinations: u64,
    /// Of the elements, addresses of the device that has those of services.
    pub addresses: u64,
}

impl Inventory {
    /// Sets and maps with names of their own.
    #[must_use]
    pub const fn named_sets(&self) -> u64 {
        self.sets - self.anonymous_sets
    }

    /// Elements of those.
    #[must_use]
    pub const fn named_elements(&self) -> u64 {
        let others = self.anonymous_elements + self.servers + self.destinations + self.addresses;
        self.elements - others
    }

    /// Both together.
    #[must_use]
    pub const fn with(&self, other: &Self) -> Self {
        Self {
            rules: self.rules + other.rules,
            chains: self.chains + other.chains,
            sets: self.sets + other.sets,
            elements: self.elements + other.elements,
            anonymous_sets: self.anonymous_sets + other.anonymous_sets,
            anonymous_elements: self.anonymous_elements + other.anonymous_elements,
            servers: self.servers + other.servers,
            destinations: self.destinations + other.destinations,
            addresses: self.addresses + other.addresses,
        }
    }
}

/// The first few differences of two relations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Differences {
    /// How many in all.
    pub count: usize,
    /// The first few, as sentences.
    pub examples: Vec<String>,
}

impl fmt::Display for Differences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} difference(s): {}",
            self.count,
            self.examples.join("; ")
        )?;
        if self.count > self.examples.len() {
            write!(f, "; …")?;
        }
        Ok(())
    }
}

impl Relation {
    /// What `population` means at its VIPs: every endpoint of a service has an equal share; by internal policy Local, every
    /// one of this node.
    #[must_use]
    pub fn of(population: &Population) -> Self {
        Self(
            population
                .services
                .iter()
                .map(|service| {
                    let endpoints = match service.exposure.internal_local {
                        true => &service.local,
                        false => &service.endpoints,
                    };
                    (service.frontend, even(endpoints))
                })
                .collect(),
        )
    }

    /// `None` when `self` (listed by the kernel) equals `wanted`.
    #[must_use]
    pub fn differences(&self, wanted: &Self) -> Option<Differences> {
        let mut found = Differences {
            count: 0,
            examples: Vec::new(),
        };
        let mut note = |text: String| {
            found.count += 1;
            if found.examples.len() < 3 {
                found.examples.push(text);
            }
        };
        for (frontend, endpoints) in &wanted.0 {
            match self.0.get(frontend) {
                None => note(format!("{frontend} is missing")),
                Some(listed) => {
                    for (endpoint, share) in endpoints {
                        match listed.get(endpoint) {
                            None => note(format!("{frontend} lacks {endpoint}")),
                            Some(got) if (got - share).abs() > SHARE_TOLERANCE => note(format!(
                                "{frontend} sends {got:.9} of its flows to {endpoint}, not {share:.9}"
                            )),
                            Some(_) => {}
                        }
                    }
                    for endpoint in listed.keys().filter(|e| !endpoints.contains_key(e)) {
                        note(format!(
                            "{frontend} has {endpoint}, which is not its endpoint"
                        ));
                    }
                }
            }
        }
        for frontend in self.0.keys().filter(|f| !wanted.0.contains_key(f)) {
            note(format!("{frontend} is not in the population"));
        }
        (found.count > 0).then_some(found)
    }
}

/// An equal share for each endpoint.
pub(crate) fn even(endpoints: &[Endpoint]) -> BTreeMap<Endpoint, f64> {
    let share = 1.0 / endpoints.len() as f64;
    let mut shares = BTreeMap::new();
    for endpoint in endpoints {
        *shares.entry(*endpoint).or_insert(0.0) += share;
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::Protocol;
    use std::net::IpAddr;

    fn relation(entries: &[(u8, &[(u8, f64)])]) -> Relation {
        Relation(
            entries
                .iter()
                .map(|(vip, endpoints)| {
                    let frontend = Frontend {
                        vip: IpAddr::from([10, 96, 0, *vip]),
                        port: 80,
                        protocol: Protocol::Tcp,
                    };
                    let shares = endpoints
                        .iter()
                        .map(|(host, share)| {
                            (
                                Endpoint {
                                    address: IpAddr::from([10, 128, 0, *host]),
                                    port: 8080,
                                },
                                *share,
                            )
                        })
                        .collect();
                    (frontend, shares)
                })
                .collect(),
        )
    }

    #[test]
    fn equal_relations_have_no_differences() {
        let a = relation(&[(1, &[(1, 0.5), (2, 0.5)])]);
        assert_eq!(a.differences(&a), None);
    }

    #[test]
    fn swapped_endpoints_are_seen_though_every_count_agrees() {
        let listed = relation(&[(1, &[(2, 1.0)]), (2, &[(1, 1.0)])]);
        let wanted = relation(&[(1, &[(1, 1.0)]), (2, &[(2, 1.0)])]);
        assert_eq!(listed.differences(&wanted).map(|d| d.count), Some(4));
    }

    #[test]
    fn a_skewed_share_a_missing_and_a_foreign_service_are_seen() {
        let wanted = relation(&[(1, &[(1, 0.5), (2, 0.5)]), (2, &[(3, 1.0)])]);
        let listed = relation(&[(1, &[(1, 0.51), (2, 0.49)]), (9, &[(3, 1.0)])]);
        assert_eq!(listed.differences(&wanted).map(|d| d.count), Some(4));
    }
}
