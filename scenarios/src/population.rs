//! The population of a cell: N services with E endpoints each, from a seed.
//!
//! Addresses come from keyed permutations of the address ranges, so they are distinct without a table,
//! population(N) is a prefix of population(N + 1), and the VIPs' low octet is uniform: IPVS before 2026
//! hashes services into 256 buckets by the low bits of the VIP, and one VIP per /24 would put them all
//! into one.

use std::net::IpAddr;

use netns_harness::service::{
    Cidr, Endpoint, Frontend, MAX_ENDPOINTS, MAX_SERVICES, Plan, Population, Service,
};
use netns_harness::traffic::ENDPOINT_PORT;
use schema::{Family, Protocol};

/// Services beyond N, whose addresses endpoint-churn uses in turn.
pub const SPARE_SERVICES: u32 = 1_000;
/// Services beyond N that the updates of a stay may add to its population.
pub const ADDED_SERVICES: u32 = 100;

/// How a population is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recipe<'a> {
    /// Family of all addresses. Those of one family have the host numbers of those of the other.
    pub family: Family,
    /// Seed of the address permutations.
    pub seed: u64,
    /// Endpoints of each service, 1 to [`MAX_ENDPOINTS`].
    pub endpoints: u32,
    /// Protocols, taken in turn: service i has `protocols[i % len]`.
    pub protocols: &'a [Protocol],
    /// VIPs so far apart, in order, instead of drawn by the seed. With 256 all have the same low octet:
    /// IPVS before 2026 keeps the services of a protocol in one of its 256 buckets then
    /// (`ip_vs_svc_hashkey` in `net/netfilter/ipvs/ip_vs_ctl.c`).
    pub vip_stride: Option<u32>,
}

/// The most services of a family, spare ones included, that VIPs with a stride leave room for.
#[must_use]
pub const fn most_with_stride(family: Family, stride: u32) -> u32 {
    ((1 << Plan::of(family).services.host_bits()) - 2) / stride
}

impl Recipe<'_> {
    /// The first `services` services.
    #[must_use]
    pub fn population(&self, services: u32) -> Population {
        Population {
            services: (0..services).map(|i| self.service(i)).collect(),
        }
    }

    /// Service number `index`, whatever the population's size.
    #[must_use]
    pub fn service(&self, index: u32) -> Service {
        debug_assert!(index < MAX_SERVICES + SPARE_SERVICES && self.endpoints <= MAX_ENDPOINTS);
        let protocol = self.protocols[index as usize % self.protocols.len()];
        let plan = Plan::of(self.family);
        let vip = match self.vip_stride {
            None => address(plan.services, index, self.seed ^ 0x5649_5073),
            Some(stride) => plan.services.host(stride * (index + 1)),
        };
        let endpoint = |e| Endpoint {
            address: address(
                plan.endpoints,
                index * self.endpoints + e,
                self.seed ^ 0x656e_6473,
            ),
            port: ENDPOINT_PORT,
        };
        let mut service = Service {
            index,
            frontend: Frontend {
                vip,
                port: port(protocol),
                protocol,
            },
            endpoints: (0..self.endpoints).map(endpoint).collect(),
        };
        service.sort_endpoints();
        service
    }
}

/// Service port of a protocol: two digits each, so that rules have the same length.
#[must_use]
pub const fn port(protocol: Protocol) -> u16 {
    match protocol {
        Protocol::Tcp => 80,
        Protocol::Udp => 53,
    }
}

/// The `index`-th address of a range in the order that `key` gives; never its first or last.
fn address(range: Cidr, index: u32, key: u64) -> IpAddr {
    let bits = range.host_bits();
    let last = (1 << bits) - 1;
    let mut host = permute(index, bits, key);
    // Walking the cycle past the two addresses that are left out keeps the map one-to-one.
    while host == 0 || host == last {
        host = permute(host, bits, key);
    }
    range.host(host)
}

/// A keyed permutation of `bits`-bit numbers (`bits` even): a balanced Feistel network (Luby and
/// Rackoff, 1988) with six rounds.
fn permute(value: u32, bits: u32, key: u64) -> u32 {
    let half = bits / 2;
    let mask = (1 << half) - 1;
    let (mut left, mut right) = (value >> half, value & mask);
    for round in 0..6 {
        (left, right) = (
            right,
            left ^ (mix(key ^ (round << 40) ^ u64::from(right)) as u32 & mask),
        );
    }
    left << half | right
}

/// SplitMix64's finaliser (Steele, Lea and Flood, 2014).
fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    const BOTH: &[Protocol] = &[Protocol::Tcp, Protocol::Udp];

    fn recipe(seed: u64) -> Recipe<'static> {
        Recipe {
            family: Family::Ipv4,
            seed,
            endpoints: 10,
            protocols: BOTH,
            vip_stride: None,
        }
    }

    fn both(seed: u64) -> [Recipe<'static>; 2] {
        [Family::Ipv4, Family::Ipv6].map(|family| Recipe {
            family,
            ..recipe(seed)
        })
    }

    /// The last four bytes of an address.
    fn low_bits(address: IpAddr) -> u32 {
        match address {
            IpAddr::V4(address) => address.to_bits(),
            IpAddr::V6(address) => address.to_bits() as u32,
        }
    }

    /// The number of an address in its range.
    fn host(range: Cidr, address: IpAddr) -> u32 {
        low_bits(address) & ((1 << range.host_bits()) - 1)
    }

    #[test]
    fn a_service_has_the_same_host_numbers_in_both_families() {
        let numbers = |recipe: Recipe<'_>| {
            let plan = Plan::of(recipe.family);
            let services = recipe.population(2_000).services.into_iter();
            let numbers = services.map(|service| {
                // Endpoints are in the order of their text, which is not that of their numbers.
                let endpoints = service.endpoints.iter();
                let mut endpoints: Vec<u32> =
                    endpoints.map(|e| host(plan.endpoints, e.address)).collect();
                endpoints.sort_unstable();
                (host(plan.services, service.frontend.vip), endpoints)
            });
            numbers.collect::<Vec<_>>()
        };
        for vip_stride in [None, Some(256)] {
            let [ipv4, ipv6] = both(3).map(|recipe| {
                numbers(Recipe {
                    vip_stride,
                    ..recipe
                })
            });
            assert_eq!(ipv4, ipv6);
        }
    }

    #[test]
    fn with_a_stride_the_vips_have_one_low_octet_and_stay_in_their_range() {
        for recipe in both(1) {
            let plan = Plan::of(recipe.family);
            let strided = Recipe {
                vip_stride: Some(256),
                ..recipe
            };
            let population = strided.population(most_with_stride(recipe.family, 256));
            let vips: HashSet<_> = population.services.iter().map(|s| s.frontend.vip).collect();
            assert_eq!(vips.len(), 4_095);
            assert!(
                vips.iter()
                    .all(|v| plan.services.contains(*v) && low_bits(*v) & 0xff == 0)
            );
        }
    }

    #[test]
    fn a_hundred_thousand_services_with_ten_endpoints_have_distinct_addresses() {
        for recipe in both(1) {
            let plan = Plan::of(recipe.family);
            let population = recipe.population(MAX_SERVICES);
            let vips: HashSet<_> = population.services.iter().map(|s| s.frontend.vip).collect();
            assert_eq!(vips.len(), MAX_SERVICES as usize);
            assert!(vips.iter().all(|v| plan.services.contains(*v)));
            let endpoints: HashSet<_> = population
                .services
                .iter()
                .flat_map(|s| &s.endpoints)
                .collect();
            assert_eq!(endpoints.len(), MAX_SERVICES as usize * 10);
            assert!(endpoints.iter().all(|e| plan.endpoints.contains(e.address)));
        }
    }

    #[test]
    fn the_low_octet_of_the_vips_is_uniform() {
        for seed in 0..8 {
            let mut counts = [0u32; 256];
            for i in 0..10_240 {
                counts[low_bits(recipe(seed).service(i).frontend.vip) as usize & 0xff] += 1;
            }
            let statistic: f64 = counts
                .iter()
                .map(|&c| (f64::from(c) - 40.0).powi(2) / 40.0)
                .sum();
            let p = crate::proof::chi_square_p(statistic, 255);
            assert!(p > 1e-6, "seed {seed}: chi-square {statistic}, p {p}");
        }
    }

    #[test]
    fn a_smaller_population_is_a_prefix_of_a_larger_one() {
        assert_eq!(
            recipe(7).population(100).services,
            recipe(7).population(200).services[..100]
        );
    }

    #[test]
    fn another_seed_gives_another_population() {
        assert_ne!(recipe(1).population(10), recipe(2).population(10));
    }
}
