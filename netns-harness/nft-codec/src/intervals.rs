//! Networks as intervals of numbers, as an anonymous set of them is sent and listed, and back.

use std::net::IpAddr;

use crate::family::TableFamily;
use crate::network::Network;

/// First and last number, both inside.
pub(crate) type Interval = (u128, u128);

/// An address as a number.
pub(crate) fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The bits by which the addresses of a network of so many differ.
const fn ones(bits: u32) -> u128 {
    match bits {
        0 => 0,
        bits => u128::MAX >> (128 - bits),
    }
}

/// Bits of an address of a family.
const fn bits(family: TableFamily) -> u32 {
    family.address_len() as u32 * 8
}

/// The last number of a family.
pub(crate) const fn last(family: TableFamily) -> u128 {
    ones(bits(family))
}

fn family(network: Network) -> TableFamily {
    match network.address {
        IpAddr::V4(_) => TableFamily::Ip,
        IpAddr::V6(_) => TableFamily::Ip6,
    }
}

/// The intervals of networks of one family, ascending; what overlaps or touches is one (nft merges so in anonymous
/// sets, `implicit_set_declaration` in evaluate.c).
pub(crate) fn intervals(networks: &[Network]) -> Vec<Interval> {
    let interval = |network: &Network| {
        let first = number(network.address);
        let host = bits(family(*network)).saturating_sub(network.prefix.into());
        (first, first | ones(host))
    };
    let mut all: Vec<Interval> = networks.iter().map(interval).collect();
    all.sort_unstable();
    let mut merged: Vec<Interval> = Vec::with_capacity(all.len());
    for (first, last) in all {
        match merged.last_mut() {
            Some((_, before)) if first <= before.saturating_add(1) => *before = last.max(*before),
            _ => merged.push((first, last)),
        }
    }
    merged
}

/// The fewest networks of a family that are exactly those intervals.
pub(crate) fn networks(family: TableFamily, intervals: &[Interval]) -> Vec<Network> {
    let mut found = Vec::new();
    for &(mut first, last) in intervals {
        loop {
            let aligned = first.trailing_zeros().min(bits(family));
            let fitting = (last - first)
                .checked_add(1)
                .map_or(128, |count| 127 - count.leading_zeros());
            let host = aligned.min(fitting);
            found.extend(address(family, first).map(|address| Network {
                address,
                prefix: (bits(family) - host) as u8,
            }));
            let end = first | ones(host);
            if end >= last {
                break;
            }
            first = end + 1;
        }
    }
    found
}

/// The address of a number.
fn address(family: TableFamily, number: u128) -> Option<IpAddr> {
    let octets = number.to_be_bytes();
    family.address(&octets[octets.len() - family.address_len()..])
}

/// The fewest networks that hold the same addresses as `networks`, which are of one family; ascending.
pub(crate) fn fewest(of: &[Network]) -> Vec<Network> {
    match of.first() {
        Some(first) => networks(family(*first), &intervals(of)),
        None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        let (address, prefix) = text.split_once('/').unwrap();
        Network::new(address.parse().unwrap(), prefix.parse().unwrap())
    }

    #[test]
    fn networks_that_touch_or_overlap_become_the_fewest() {
        for (given, wanted) in [
            (&["203.0.113.0/25"][..], &["203.0.113.0/25"][..]),
            (
                &["203.0.113.128/25", "203.0.113.0/25", "203.0.113.7/32"],
                &["203.0.113.0/24"],
            ),
            (
                &["10.0.0.1/32", "10.0.0.2/32"],
                &["10.0.0.1/32", "10.0.0.2/32"],
            ),
            (&["0.0.0.0/0", "10.0.0.0/8"], &["0.0.0.0/0"]),
            (
                &["fd00::1/128", "fd00::/128", "2001:db8::/32"],
                &["2001:db8::/32", "fd00::/127"],
            ),
            (&["::/0"], &["::/0"]),
        ] {
            let [given, wanted] = [given, wanted]
                .map(|texts| texts.iter().map(|text| network(text)).collect::<Vec<_>>());
            assert_eq!(fewest(&given), wanted);
        }
        assert_eq!(fewest(&[]), []);
    }

    #[test]
    fn an_interval_that_is_no_network_is_several() {
        let found = networks(TableFamily::Ip, &[(1, 6)]);
        let wanted = ["0.0.0.1/32", "0.0.0.2/31", "0.0.0.4/31", "0.0.0.6/32"];
        assert_eq!(found, wanted.map(network));
        assert_eq!(intervals(&found), [(1, 6)]);
        assert_eq!(last(TableFamily::Ip), u128::from(u32::MAX));
        assert_eq!(last(TableFamily::Ip6), u128::MAX);
    }
}
