//! The families of tables that hold rules for services, and what differs between them: the length of an address, where
//! a header has it, and so the registers of a concatenation.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The family of a table: which packets it sees. Shown as scripts name it: `ip`, `ip6`.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    strum::Display,
    strum::EnumString,
)]
#[strum(serialize_all = "lowercase")]
#[repr(u8)]
pub enum TableFamily {
    /// Packets of IPv4.
    #[default]
    Ip = libc::NFPROTO_IPV4 as u8,
    /// Packets of IPv6.
    Ip6 = libc::NFPROTO_IPV6 as u8,
}

/// Where a header of the network layer has what rules read of it, bytes from its beginning.
pub(crate) struct Header {
    /// Number of the protocol behind it.
    pub(crate) protocol: u32,
    /// The packet's source address.
    pub(crate) source: u32,
    /// Its destination address.
    pub(crate) destination: u32,
}

/// RFC 791.
const IPV4: Header = Header {
    protocol: 9,
    source: 12,
    destination: 16,
};
/// RFC 8200. Behind it may be other headers: what rules read as the protocol is then not this field.
const IPV6: Header = Header {
    protocol: 6,
    source: 8,
    destination: 24,
};

impl TableFamily {
    /// Every family.
    pub const ALL: [Self; 2] = [Self::Ip, Self::Ip6];

    /// Its NFPROTO number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Whether an address is of packets that its tables see.
    #[must_use]
    pub const fn holds(self, address: IpAddr) -> bool {
        matches!(
            (self, address),
            (Self::Ip, IpAddr::V4(_)) | (Self::Ip6, IpAddr::V6(_))
        )
    }

    /// Bytes of an address.
    pub(crate) const fn address_len(self) -> usize {
        match self {
            Self::Ip => 4,
            Self::Ip6 => 16,
        }
    }

    /// The address of exactly these bytes, in network order.
    pub(crate) fn address(self, bytes: &[u8]) -> Option<IpAddr> {
        match self {
            Self::Ip => {
                let octets = <[u8; 4]>::try_from(bytes).ok()?;
                Some(Ipv4Addr::from(octets).into())
            }
            Self::Ip6 => {
                let octets = <[u8; 16]>::try_from(bytes).ok()?;
                Some(Ipv6Addr::from(octets).into())
            }
        }
    }

    pub(crate) const fn header(self) -> Header {
        match self {
            Self::Ip => IPV4,
            Self::Ip6 => IPV6,
        }
    }

    /// The code with which ICMP says that a port is unreachable: what `reject` sends when it is told nothing else
    /// (RFC 792, RFC 4443).
    pub(crate) const fn port_unreachable(self) -> u8 {
        match self {
            Self::Ip => 3,
            Self::Ip6 => 4,
        }
    }

    /// Number of the register behind so many addresses and then so many fields of 4 bytes, where the first address
    /// is in the first register. Registers have 16 bytes; one of 4 bytes is named where none of 16 begins (nft,
    /// `netlink_put_register`; nf_tables_api.c, `nft_dump_register`).
    pub(crate) const fn register_behind(self, addresses: u32, fields: u32) -> u32 {
        let place = addresses * (self.address_len() as u32 / 4) + fields;
        match place % 4 {
            0 => libc::NFT_REG_1 as u32 + place / 4,
            _ => libc::NFT_REG32_00 as u32 + place,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_named_numbered_and_read_back() {
        for (family, name, number) in [(TableFamily::Ip, "ip", 2), (TableFamily::Ip6, "ip6", 10)] {
            assert_eq!(family.to_string(), name);
            assert_eq!(name.parse(), Ok(family));
            assert_eq!(family.number(), number);
        }
        assert!("inet".parse::<TableFamily>().is_err());
    }

    #[test]
    fn an_address_is_of_the_family_of_its_length() {
        let bytes: Vec<u8> = (1..=16).collect();
        let (ip, ip6) = (TableFamily::Ip, TableFamily::Ip6);
        let address = ip.address(&bytes[..4]).unwrap();
        assert_eq!(address.to_string(), "1.2.3.4");
        assert!(ip.holds(address) && !ip6.holds(address));
        let address = ip6.address(&bytes).unwrap();
        assert_eq!(address.to_string(), "102:304:506:708:90a:b0c:d0e:f10");
        assert!(ip6.holds(address) && !ip.holds(address));
        assert_eq!((ip.address(&bytes), ip6.address(&bytes[..4])), (None, None));
    }

    /// Of `ip daddr . meta l4proto . th dport`, and with `ip saddr` before it: those of IPv4 are in the recorded frames,
    /// those of IPv6 follow from the same rule.
    #[test]
    fn registers_follow_each_other_as_in_nft() {
        let of = |family: TableFamily| {
            let behind = [(1, 0), (1, 1), (2, 0), (2, 1)];
            behind.map(|(addresses, fields)| family.register_behind(addresses, fields))
        };
        assert_eq!(of(TableFamily::Ip), [9, 10, 10, 11]);
        assert_eq!(of(TableFamily::Ip6), [2, 13, 3, 17]);
        assert_eq!(TableFamily::Ip.register_behind(0, 0), 1);
        assert_eq!(TableFamily::Ip6.register_behind(0, 1), 9);
    }
}
