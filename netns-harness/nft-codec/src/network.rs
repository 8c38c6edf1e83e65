//! Networks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An address with its prefix length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// The address; bits past the prefix are zero.
    pub address: IpAddr,
    /// Prefix length: 0–32, of IPv6 0–128; the longest is one address.
    pub prefix: u8,
}

impl Network {
    /// One address.
    #[must_use]
    pub const fn host(address: IpAddr) -> Self {
        Self {
            address,
            prefix: bits(address),
        }
    }

    /// The network of `prefix` bits around `address`; a prefix longer than an address counts as the longest.
    #[must_use]
    pub fn new(address: IpAddr, prefix: u8) -> Self {
        let prefix = prefix.min(bits(address));
        let address = match (address, netmask(address, prefix)) {
            (IpAddr::V4(address), IpAddr::V4(mask)) => IpAddr::V4(address & mask),
            (IpAddr::V6(address), IpAddr::V6(mask)) => IpAddr::V6(address & mask),
            _ => address,
        };
        Self { address, prefix }
    }

    /// Whether it is one address.
    #[must_use]
    pub const fn is_host(self) -> bool {
        self.prefix == bits(self.address)
    }

    /// The netmask.
    #[must_use]
    pub fn mask(self) -> IpAddr {
        netmask(self.address, self.prefix)
    }
}

/// Length of an address, bits.
const fn bits(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// The mask of the first `prefix` bits, of the family of `address`.
fn netmask(address: IpAddr, prefix: u8) -> IpAddr {
    let zeros = u32::from(bits(address).saturating_sub(prefix));
    match address {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from_bits(
            u32::MAX.checked_shl(zeros).unwrap_or(0),
        )),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from_bits(
            u128::MAX.checked_shl(zeros).unwrap_or(0),
        )),
    }
}
