//! Ids of services, and the chains that they lead through.
//!
//! The rule: id = index mod 65,535 + 1, from the service alone. So an id never depends on what else is
//! there or was there before: adding or removing one service leaves all others theirs, a service that
//! comes back has its id again, and the id of a removed one is free for the next service whose index is
//! 65,535 higher. Two services whose indices are equal mod 65,535 cannot be in one population; a
//! population whose indices lie within 65,535 of each other, as generated ones do, has no such pair.
//! 0 is no id: it is the mark of a packet for no service.

use std::collections::BTreeMap;
use std::fmt;

use ipset_sys::Mark;

use crate::service::{Population, Service};

/// The most services at one time: ids are 16 bits wide, and 0 is none.
pub const MOST_SERVICES: u32 = 65_535;

/// The half of a packet's mark that holds an id. KUBE-MARK-MASQ's 0x4000 (and kube-proxy's former
/// 0x8000) are in the other half.
pub(super) const MARK_MASK: u32 = 0xffff_0000;
/// Nibbles of an id, and so dispatch chains on the way to a service.
pub(super) const LEVELS: u8 = 4;

/// A service's number in marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Id(u16);

impl Id {
    /// The id of a service.
    pub(super) fn of(service: &Service) -> Self {
        Self((service.index % MOST_SERVICES + 1) as u16)
    }

    /// The id in an element's mark; `None` when it is not such a mark.
    pub(super) fn from_mark(mark: Mark) -> Option<Self> {
        let id = (mark.value >> 16) as u16;
        (mark.mask == MARK_MASK && mark.value & !MARK_MASK == 0 && id != 0).then_some(Self(id))
    }

    /// The mark of an element.
    pub(super) const fn mark(self) -> Mark {
        Mark {
            value: (self.0 as u32) << 16,
            mask: MARK_MASK,
        }
    }

    /// The first `nibbles` nibbles.
    pub(super) const fn prefix(self, nibbles: u8) -> Prefix {
        let kept = (0xffff_0000_u32 >> (4 * nibbles)) as u16;
        Prefix {
            bits: self.0 & kept,
            nibbles,
        }
    }

    /// How many nibbles two ids have in common from the front.
    pub(super) const fn common_nibbles(self, other: Self) -> u8 {
        ((self.0 ^ other.0).leading_zeros() / 4) as u8
    }
}

/// The first 0 to 4 nibbles of an id. Up to three of them name a dispatch chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Prefix {
    bits: u16,
    nibbles: u8,
}

impl Prefix {
    /// Of every id.
    pub(super) const ROOT: Self = Self {
        bits: 0,
        nibbles: 0,
    };

    /// How many nibbles.
    pub(super) const fn nibbles(self) -> u8 {
        self.nibbles
    }

    /// The ids that begin with it.
    pub(super) fn ids(self) -> std::ops::RangeInclusive<Id> {
        let rest = (0xffff_u32 >> (4 * self.nibbles)) as u16;
        Id(self.bits)..=Id(self.bits | rest)
    }

    /// One nibble less; `None` for the root.
    pub(super) const fn parent(self) -> Option<Self> {
        match self.nibbles {
            0 => None,
            n => Some(Id(self.bits).prefix(n - 1)),
        }
    }

    /// The match on its last nibble, as `-m mark --mark` takes and prints it. The nibbles before it were
    /// matched on the way. The root has none.
    pub(super) fn last_nibble(self) -> (u32, u32) {
        let mask = 0xf000_0000_u32 >> (4 * (self.nibbles - 1));
        (u32::from(self.bits) << 16 & mask, mask)
    }

    /// The prefix with one more nibble that such a match continues to.
    pub(super) fn child(self, value: u32, mask: u32) -> Option<Self> {
        let bits = (value >> 16) as u16;
        let child = Self {
            bits: self.bits | bits,
            nibbles: self.nibbles + 1,
        };
        (self.nibbles < LEVELS && child.last_nibble() == (value, mask)).then_some(child)
    }

    /// The id, when all its nibbles are there.
    pub(super) fn id(self) -> Option<Id> {
        (self.nibbles == LEVELS && self.bits != 0).then_some(Id(self.bits))
    }
}

/// The name of the prefix's chain: `KUBE-ID`, `KUBE-ID-2`, … `KUBE-ID-271`.
impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nibbles = usize::from(self.nibbles);
        match nibbles {
            0 => f.write_str("KUBE-ID"),
            _ => write!(
                f,
                "KUBE-ID-{:0nibbles$X}",
                u32::from(self.bits) >> (16 - 4 * nibbles)
            ),
        }
    }
}

/// Services by id.
pub(super) type ById<'a> = BTreeMap<Id, &'a Service>;

/// The services of a population by id.
pub(super) fn by_id(population: &Population) -> ById<'_> {
    let services = population.services.iter();
    services.map(|service| (Id::of(service), service)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_leads_nibble_by_nibble_to_its_id() {
        for id in [1_u16, 0xf, 0x10, 0x2710, 0xffff] {
            let id = Id(id);
            let mut prefix = Prefix::ROOT;
            for nibbles in 1..=LEVELS {
                let (value, mask) = id.prefix(nibbles).last_nibble();
                assert_eq!(id.mark().value & mask, value);
                prefix = prefix.child(value, mask).unwrap();
                assert_eq!(prefix, id.prefix(nibbles));
                assert!(prefix.ids().contains(&id));
                assert_eq!(prefix.parent(), Some(id.prefix(nibbles - 1)));
            }
            assert_eq!(prefix.id(), Some(id));
            assert_eq!(Id::from_mark(id.mark()), Some(id));
        }
    }

    #[test]
    fn chains_are_named_by_the_nibbles_read_so_far() {
        let names: Vec<String> = (0..LEVELS)
            .map(|n| Id(0x0271).prefix(n).to_string())
            .collect();
        assert_eq!(names, ["KUBE-ID", "KUBE-ID-0", "KUBE-ID-02", "KUBE-ID-027"]);
    }

    #[test]
    fn a_mark_that_is_no_id_is_refused() {
        for (value, mask) in [
            (0, MARK_MASK),
            (0x1_4000, MARK_MASK),
            (0x1_0000, 0xffff_ffff),
        ] {
            assert_eq!(Id::from_mark(Mark { value, mask }), None);
        }
    }
}
