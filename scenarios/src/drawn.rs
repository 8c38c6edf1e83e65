//! Addresses of the plan's ranges in an order that a key gives, without a table: distinct for distinct numbers.

use std::net::IpAddr;

use netns_harness::service::{Cidr, Plan};

/// Services beyond N, whose addresses endpoint-churn uses in turn.
pub const SPARE_SERVICES: u32 = 1_000;
/// Services beyond N that the updates of a stay may add to its population.
pub const ADDED_SERVICES: u32 = 100;

/// How many addresses of a range are drawn: all but its first and last.
pub(crate) const fn drawn_of(range: Cidr) -> u32 {
    (1 << range.host_bits()) - 2
}

/// The `number`-th address of an endpoint on another node, in the order that `key` gives within each range.
pub(crate) fn remote(plan: &Plan, number: u32, key: u64) -> IpAddr {
    let mut number = number;
    for range in plan.remote_endpoints() {
        match number.checked_sub(drawn_of(range)) {
            None => return address(range, number, key),
            Some(beyond) => number = beyond,
        }
    }
    unreachable!("the address plan has room, which is checked before a run")
}

/// The `number`-th address of a range, of those that are drawn, in the order that `key` gives.
pub(crate) fn address(range: Cidr, number: u32, key: u64) -> IpAddr {
    let bits = range.host_bits();
    let last = (1 << bits) - 1;
    let mut host = permute(number, bits, key);
    // What falls on one of the two addresses that are left out has that of one of the two numbers that nothing has, so
    // that the map is one-to-one.
    while host == 0 || host == last {
        host = permute(if host == 0 { last - 1 } else { last }, bits, key);
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
pub(crate) fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
