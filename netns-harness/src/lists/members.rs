//! Which addresses are in a list, and which are in none: the same for every kind of list and every mode. Pure.

use std::net::IpAddr;

use schema::{Family, ListKind};

use crate::lab::ENDPOINT_PORT;
use crate::service::Plan;

/// Addresses of a slot, of which at most the first half is in a list: whoever stands beside an entry is in none.
const SLOT: u32 = 4;
/// Slots of the endpoints' addresses, and of the range of a bitmap, by the bits that number them.
const SLOTS: u32 = 20;
const BITMAP_SLOT: u32 = 2;
const BITMAP_SLOTS: u32 = 15;
/// Odd: entries that follow each other lie far apart, and each in a slot of its own.
const STEP: u32 = 0x9E37_79B1;

/// The entries of a list: addresses, or networks, of endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Members {
    kind: ListKind,
    family: Family,
    entries: u32,
}

/// An entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Its first address.
    pub first: IpAddr,
    /// Length of its prefix; that of a whole address where it is one.
    pub prefix: u8,
}

/// What of a list is other, as members.
pub(super) struct Changed {
    /// That leave.
    pub(super) leaving: Vec<Member>,
    /// That come.
    pub(super) coming: Vec<Member>,
    /// All that are to be there.
    pub(super) all: Vec<Member>,
}

impl Member {
    /// "10.128.0.0/31"; of one address that alone.
    #[must_use]
    pub fn text(self) -> String {
        let Self { first, prefix } = self;
        match u32::from(prefix) == bits(first) {
            true => first.to_string(),
            false => format!("{first}/{prefix}"),
        }
    }
}

const fn bits(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// The address so many behind, or before, another.
pub(super) fn moved(address: IpAddr, by: i8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let bits = address.to_bits().wrapping_add_signed(by.into());
            IpAddr::V4(bits.into())
        }
        IpAddr::V6(address) => {
            let bits = address.to_bits().wrapping_add_signed(by.into());
            IpAddr::V6(bits.into())
        }
    }
}

/// The first address of a network's second half; `None` of a single address.
fn upper_half(first: IpAddr, hosts: u32) -> Option<IpAddr> {
    let half = hosts.checked_sub(1)?;
    Some(match first {
        IpAddr::V4(address) => IpAddr::V4((address.to_bits() | 1 << half).into()),
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() | 1 << half).into()),
    })
}

impl Members {
    /// So many.
    #[must_use]
    pub const fn new(kind: ListKind, family: Family, entries: u32) -> Self {
        Self {
            kind,
            family,
            entries,
        }
    }

    /// What holds them.
    #[must_use]
    pub const fn kind(self) -> ListKind {
        self.kind
    }

    /// Their family.
    #[must_use]
    pub const fn family(self) -> Family {
        self.family
    }

    /// How many.
    #[must_use]
    pub const fn entries(self) -> u32 {
        self.entries
    }

    /// Ports of the protocol UDP that entries of address and port have: the first, or all from it to the last.
    #[must_use]
    pub const fn ports() -> [u16; 2] {
        [ENDPOINT_PORT, ENDPOINT_PORT + 1]
    }

    /// The first address of a slot.
    fn slot(self, nth: u32) -> IpAddr {
        let (bits, size) = match self.kind {
            ListKind::BitmapIp => (BITMAP_SLOTS, BITMAP_SLOT),
            _ => (SLOTS, SLOT),
        };
        let slot = nth.wrapping_mul(STEP) & ((1 << bits) - 1);
        Plan::of(self.family).endpoints.host(slot * size)
    }

    /// How many networks it has besides those of the longest prefix: one of each shorter length. They are the first, inside each other and outside
    /// of the lab.
    #[must_use]
    pub fn shorter(self) -> u32 {
        u32::from(self.kind.row().prefixes).saturating_sub(1)
    }

    /// How many entries there can be: each has a slot of its own.
    #[must_use]
    pub const fn most(self) -> u32 {
        match self.kind {
            ListKind::BitmapIp => 1 << BITMAP_SLOTS,
            _ => 1 << SLOTS,
        }
    }

    /// An entry, from 0 on; those from the number of entries on are the next that would be added. Of networks of several lengths the
    /// first are [those of shorter ones](Self::shorter).
    #[must_use]
    pub fn nth(self, nth: u32) -> Member {
        let first = self.slot(nth);
        let whole = bits(first) as u8;
        let lengths = self.kind.row().prefixes;
        let longest = match lengths {
            0 | 32 => whole,
            _ => whole - 1,
        };
        if nth >= self.shorter() {
            return Member {
                first,
                prefix: longest,
            };
        }
        Member {
            first: match self.family {
                Family::Ipv4 => [128, 0, 0, 0].into(),
                Family::Ipv6 => [0x8000, 0, 0, 0, 0, 0, 0, 0].into(),
            },
            prefix: longest - 1 - nth as u8,
        }
    }

    /// All.
    pub fn all(self) -> impl Iterator<Item = Member> {
        (0..self.entries).map(move |nth| self.nth(nth))
    }

    /// Addresses of an entry: the first, and of a network the second; of one of the [shorter](Self::shorter) one that is in no longer one.
    pub fn inside(self, nth: u32) -> impl Iterator<Item = IpAddr> {
        let Member { first, prefix } = self.nth(nth);
        let hosts = bits(first) - u32::from(prefix);
        let own = match nth < self.shorter() {
            // The longer ones are in its first half.
            true => [upper_half(first, hosts), None],
            false => [Some(first), (hosts > 0).then(|| moved(first, 1))],
        };
        own.into_iter().flatten()
    }

    /// An address that is in no entry: the last of a slot.
    #[must_use]
    pub fn stranger(self, nth: u32) -> IpAddr {
        let size = match self.kind {
            ListKind::BitmapIp => BITMAP_SLOT,
            _ => SLOT,
        };
        moved(self.slot(nth), size as i8 - 1)
    }

    /// The addresses before and behind an entry of the lab's, which are in none.
    pub fn beside(self, nth: u32) -> impl Iterator<Item = IpAddr> {
        let Member { first, prefix } = self.nth(nth);
        let size = 1 << (bits(first) - u32::from(prefix)).min(1);
        let plan = Plan::of(self.family).endpoints;
        let beside = [moved(first, -1), moved(first, size)];
        let in_lab = plan.contains(first);
        beside
            .into_iter()
            .filter(move |address| in_lab && plan.contains(*address))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn members(kind: ListKind, entries: u32) -> Members {
        Members::new(kind, Family::Ipv4, entries)
    }

    #[test]
    fn entries_differ_and_nobody_beside_one_is_in_another() {
        for kind in ListKind::ALL {
            let most = kind.row().modes.iter().map(|(_, most)| *most).max();
            let entries = most.unwrap_or(0).min(20_000);
            for family in Family::ALL {
                let all = Members::new(*kind, *family, entries);
                let texts: BTreeSet<String> = all.all().map(Member::text).collect();
                assert_eq!(texts.len(), entries as usize, "{kind} {family}");
                let inside: BTreeSet<IpAddr> =
                    (0..entries).flat_map(|nth| all.inside(nth)).collect();
                for nth in 0..entries.min(2_000) {
                    assert!(!inside.contains(&all.stranger(nth)), "{kind} {family}");
                    assert!(all.beside(nth).all(|address| !inside.contains(&address)));
                }
            }
        }
    }

    #[test]
    fn as_many_entries_as_there_can_be_have_slots_of_their_own() {
        for kind in [ListKind::Interval, ListKind::BitmapIp] {
            let all = members(kind, 0);
            let all = members(kind, all.most());
            let slots: BTreeSet<IpAddr> = all.all().map(|member| member.first).collect();
            assert_eq!(slots.len(), all.most() as usize);
        }
        assert!(members(ListKind::Interval, 0).most() > 1_000_000);
    }

    #[test]
    fn networks_have_as_many_lengths_as_their_kind_says() {
        for (kind, lengths) in [
            (ListKind::HashNet1, 1),
            (ListKind::HashNet8, 8),
            (ListKind::HashNet32, 32),
            (ListKind::HashIp, 1),
        ] {
            let all = members(kind, 1_000);
            let seen: BTreeSet<u8> = all.all().map(|member| member.prefix).collect();
            assert_eq!(seen.len(), lengths, "{kind}");
        }
        let all = members(ListKind::HashNet32, 40);
        let tested: BTreeSet<IpAddr> = (0..40).flat_map(|nth| all.inside(nth)).collect();
        assert_eq!(tested.len(), 40, "each has an address of its own");
        let text = members(ListKind::HashNet1, 1).nth(0).text();
        assert_eq!(text, "10.128.0.0/31");
    }

    #[test]
    fn at_the_edges_of_an_entry_are_its_own_addresses_and_strangers() {
        let all = members(ListKind::Interval, 10);
        let inside: Vec<IpAddr> = all.inside(3).collect();
        let beside: Vec<IpAddr> = all.beside(3).collect();
        assert_eq!(inside.len(), 2);
        assert_eq!(
            [moved(inside[0], -1), moved(inside[1], 1)].as_slice(),
            beside
        );
        let all = members(ListKind::HashIp, 10);
        assert_eq!((all.inside(3).count(), all.beside(3).count()), (1, 2));
    }
}
