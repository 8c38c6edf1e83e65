//! Lists of addresses: what holds one, and what is asked of it.

use crate::vocabulary::vocabulary;
use crate::{Family, Mode};

/// What holds lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// Nothing.
    Nobody,
    /// Rules of iptables, in a chain.
    Rules,
    /// Sets of ipset, which a rule of iptables looks into.
    Sets,
    /// Sets and maps of a table of nftables.
    Tables,
}

impl Holder {
    /// How a list that it holds can be replaced while it is in use.
    #[must_use]
    pub const fn ways(self) -> &'static [ListWay] {
        match self {
            Self::Nobody => &[],
            Self::Rules => &[ListWay::Transaction, ListWay::Restore],
            Self::Sets => &[ListWay::OneByOne, ListWay::Swap, ListWay::FlushAdd],
            Self::Tables => &[
                ListWay::Transaction,
                ListWay::FlushAddAtOnce,
                ListWay::FlushAdd,
            ],
        }
    }
}

/// What is known of a kind of list.
#[derive(Debug)]
pub struct ListKindRow {
    /// As words: "hash:ip".
    pub words: &'static str,
    /// What holds it.
    pub holder: Holder,
    /// Modes that hold such a list, each with the most entries that are asked of it.
    pub modes: &'static [(Mode, u32)],
    /// Whether a list of it may be of IPv6.
    pub ipv6: bool,
    /// Lengths of prefixes in it; 0 where its entries are addresses.
    pub prefixes: u8,
}

/// The most entries of a list.
const MOST: u32 = 1_000_000;
const IPSET: &[(Mode, u32)] = &[(Mode::Ipset, MOST)];
const NFTABLES: &[(Mode, u32)] = &[(Mode::Nftables, MOST)];
const OF_ADDRESSES: ListKindRow = ListKindRow {
    words: "",
    holder: Holder::Sets,
    modes: &[],
    ipv6: true,
    prefixes: 0,
};

vocabulary! {
    /// What holds a list of addresses that packets are looked for in.
    ListKind, "kind of list", of ListKindRow, {
        /// Nothing: no list, and no rule.
        Bare = "bare" { words: "no list", holder: Holder::Nobody, modes: &[(Mode::None, 0)], ..OF_ADDRESSES },
        /// A rule for each address, one after the other.
        Rules = "rules" {
            words: "a rule each",
            holder: Holder::Rules,
            modes: &[(Mode::IptablesLegacy, 30_000), (Mode::IptablesNft, 10_000)],
            ..OF_ADDRESSES
        },
        /// A set of ipset's type hash:ip.
        HashIp = "hash-ip" { words: "hash:ip", modes: IPSET, ..OF_ADDRESSES },
        /// One of type hash:net, of networks of one length.
        HashNet1 = "hash-net-1" { words: "hash:net of 1 length", modes: IPSET, prefixes: 1, ..OF_ADDRESSES },
        /// The same of networks of eight lengths.
        HashNet8 = "hash-net-8" { words: "hash:net of 8 lengths", modes: IPSET, prefixes: 8, ..OF_ADDRESSES },
        /// The same of networks of thirty-two lengths.
        HashNet32 = "hash-net-32" { words: "hash:net of 32 lengths", modes: IPSET, prefixes: 32, ..OF_ADDRESSES },
        /// A set of ipset's type hash:ip,port.
        HashIpPort = "hash-ip-port" { words: "hash:ip,port", modes: IPSET, ..OF_ADDRESSES },
        /// A set of ipset's type bitmap:ip over a range of 65,536 addresses, of which every other one may be in it.
        BitmapIp = "bitmap-ip" {
            words: "bitmap:ip",
            modes: &[(Mode::Ipset, 32_000)],
            ipv6: false,
            ..OF_ADDRESSES
        },
        /// A set of ipset's type list:set, of eight sets of type hash:ip.
        ListSet = "list-set" { words: "list:set of 8 hash:ip", modes: IPSET, ..OF_ADDRESSES },
        /// A set of nftables, of addresses.
        Set = "set" { words: "set", holder: Holder::Tables, modes: NFTABLES, ..OF_ADDRESSES },
        /// A set of nftables, of address, protocol and port.
        Concatenated = "concatenated" { words: "concatenated set", holder: Holder::Tables, modes: NFTABLES, ..OF_ADDRESSES },
        /// A set of nftables with flag interval, of networks.
        Interval = "interval" { words: "interval set", holder: Holder::Tables, modes: NFTABLES, prefixes: 1, ..OF_ADDRESSES },
        /// The same with auto-merge, which is the tool's.
        Merged = "merged" { words: "interval set with auto-merge", holder: Holder::Tables, modes: NFTABLES, prefixes: 1, ..OF_ADDRESSES },
        /// A set of nftables with flag interval, of networks, protocol and ranges of ports.
        Ranges = "ranges" { words: "concatenated interval set", holder: Holder::Tables, modes: NFTABLES, prefixes: 1, ..OF_ADDRESSES },
        /// A verdict map of nftables, of addresses.
        VerdictMap = "verdict-map" { words: "verdict map", holder: Holder::Tables, modes: NFTABLES, ..OF_ADDRESSES },
    }
}

impl ListKind {
    /// The most entries that are asked of it in a mode; `None` where the mode holds no such list.
    #[must_use]
    pub fn most(self, mode: Mode, family: Family) -> Option<u32> {
        let row = self.row();
        let has = family == Family::Ipv4 || row.ipv6;
        let mut modes = row.modes.iter().filter(|_| has);
        modes.find(|(own, _)| *own == mode).map(|(_, most)| *most)
    }

    /// Whether its entries have protocol and port.
    #[must_use]
    pub const fn has_ports(self) -> bool {
        matches!(self, Self::HashIpPort | Self::Concatenated | Self::Ranges)
    }

    /// As words.
    #[must_use]
    pub fn words(self) -> String {
        self.row().words.to_owned()
    }
}

vocabulary! {
    /// For which address a list is asked.
    Hit, "hit of a list", {
        /// That of the entry that was put in first.
        First = "first",
        /// That of the entry that was put in last.
        Last = "last",
        /// Those of entries drawn evenly.
        Any = "any",
        /// Addresses that are in none.
        Miss = "miss",
    }
}

impl Hit {
    /// As words.
    #[must_use]
    pub fn words(self) -> String {
        let words = match self {
            Self::First => "hit of the first entry",
            Self::Last => "hit of the last entry",
            Self::Any => "hit of any entry",
            Self::Miss => "miss",
        };
        words.to_owned()
    }
}

vocabulary! {
    /// What is done to a list.
    ListChange, "change of a list", {
        /// All entries are put into an empty one.
        Load = "load",
        /// One entry is added to those that are there.
        Add = "add",
        /// One entry is removed.
        Remove = "remove",
    }
}

impl ListChange {
    /// As words.
    #[must_use]
    pub fn words(self) -> String {
        let words = match self {
            Self::Load => "all entries",
            Self::Add => "one entry more",
            Self::Remove => "one entry less",
        };
        words.to_owned()
    }
}

vocabulary! {
    /// How the entries of a list are replaced while it is in use.
    ListWay, "way of replacing a list", {
        /// Those that come are added and those that leave removed, each by a message of its own.
        OneByOne = "one-by-one",
        /// All are put into another set, which is then swapped with the one that is in use.
        Swap = "swap",
        /// The list is emptied, and then filled.
        FlushAdd = "flush-add",
        /// The same in one transaction.
        FlushAddAtOnce = "flush-add-at-once",
        /// Those that come and those that leave in one transaction.
        Transaction = "transaction",
        /// The whole table is written anew.
        Restore = "restore",
    }
}

impl ListWay {
    /// As words.
    #[must_use]
    pub fn words(self) -> String {
        let words = match self {
            Self::OneByOne => "one entry at a time",
            Self::Swap => "filled beside it and swapped",
            Self::FlushAdd => "flushed, then filled",
            Self::FlushAddAtOnce => "flushed and filled in one transaction",
            Self::Transaction => "what differs, in one transaction",
            Self::Restore => "the whole table anew",
        };
        words.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_held_by_its_modes_and_of_ipv6_where_there_is_one() {
        let most = |kind: ListKind, mode| kind.most(mode, Family::Ipv4);
        assert_eq!(most(ListKind::Rules, Mode::IptablesNft), Some(10_000));
        assert_eq!(most(ListKind::HashIp, Mode::Nftables), None);
        assert_eq!(ListKind::BitmapIp.most(Mode::Ipset, Family::Ipv6), None);
        assert_eq!(ListKind::HashIp.most(Mode::Ipset, Family::Ipv6), Some(MOST));
        let held = |mode: &Mode| {
            ListKind::ALL
                .iter()
                .any(|kind| most(*kind, *mode).is_some())
        };
        let without: Vec<&Mode> = Mode::ALL.iter().filter(|mode| !held(mode)).collect();
        assert_eq!(without, [&Mode::Conntrack, &Mode::Ipvs]);
    }
}
