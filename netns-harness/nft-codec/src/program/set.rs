//! A set or map as a lookup sees it: keys as they are, intervals, and ranges of each field.

use std::collections::HashMap;

use netlink::Attributes;

use crate::decode;
use crate::ops::Verdict;

/// What a map has for a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Datum {
    /// A set has nothing but the key.
    None,
    Value(Box<[u8]>),
    Verdict(Verdict),
}

impl Datum {
    /// What a listed element has beside its key.
    pub(super) fn of(element: Attributes<'_>) -> Option<Self> {
        let Some(data) = element.nested(2) else {
            return Some(Self::None);
        };
        match data.bytes(1) {
            Some(value) => Some(Self::Value(value.into())),
            None => decode::verdict(data).map(Self::Verdict),
        }
    }
}

/// NFTA_SET_FLAGS: NFT_SET_INTERVAL.
const INTERVAL: u32 = 0x4;
/// NFTA_SET_ELEM_FLAGS: NFT_SET_ELEM_INTERVAL_END and _CATCHALL.
const END: u32 = 0x1;
const CATCHALL: u32 = 0x2;

/// Keys between a first and a last, each field by itself.
#[derive(Debug)]
struct Range {
    first: Box<[u8]>,
    last: Box<[u8]>,
    datum: Datum,
}

#[derive(Debug, Default)]
pub(super) struct Set {
    /// Bytes of a key; each field of one is filled up to a multiple of 4.
    pub(super) key_len: usize,
    /// Lengths of a key's fields, where it has several and the kernel says so.
    fields: Vec<usize>,
    interval: bool,
    exact: HashMap<Box<[u8]>, Datum>,
    /// Where intervals begin, and with `None` where the one before ends; sorted by [`Set::finish`].
    bounds: Vec<(Box<[u8]>, Option<Datum>)>,
    ranges: Vec<Range>,
    otherwise: Option<Datum>,
    /// What of its elements is not known.
    pub(super) unknown: Option<String>,
}

impl Set {
    /// A listed set without its elements.
    pub(super) fn new(listed: Attributes<'_>) -> Self {
        // NFTA_SET_DESC, _DESC_CONCAT, _FIELD_LEN.
        let concat = listed.nested(9).and_then(|desc| desc.nested(2));
        let fields = concat.into_iter().flatten().flatten();
        Self {
            key_len: listed.be32(5).unwrap_or(0) as usize,
            fields: fields
                .filter_map(|field| Some(field.nested().be32(1)? as usize))
                .collect(),
            interval: listed.be32(3).unwrap_or(0) & INTERVAL != 0,
            ..Self::default()
        }
    }

    /// Whether its keys are single numbers.
    pub(super) fn is_of_numbers(&self) -> bool {
        self.key_len == 4 && !self.interval
    }

    /// Takes in a listed element.
    pub(super) fn add(&mut self, element: Attributes<'_>) {
        if self.element(element).is_none() {
            self.unknown = Some(format!("element {:02x?}", decode::raw_key(element)));
        }
    }

    fn element(&mut self, element: Attributes<'_>) -> Option<()> {
        // An expression of an element (NFTA_SET_ELEM_EXPR, _EXPRESSIONS) decides with it, but for a counter.
        let several = element.nested(11).into_iter().flatten().flatten();
        let mut own = element
            .nested(7)
            .into_iter()
            .chain(several.map(|e| e.nested()));
        own.all(|e| e.text(1) == Some("counter")).then_some(())?;
        let datum = Datum::of(element)?;
        let flags = element.be32(3).unwrap_or(0);
        if flags & CATCHALL != 0 {
            self.otherwise = Some(datum);
            return Some(());
        }
        let key: Box<[u8]> = decode::raw_key(element)?.into();
        let last = element.nested(10).and_then(|end| end.bytes(1)); // NFTA_SET_ELEM_KEY_END
        match last {
            Some(last) => self.ranges.push(Range {
                first: key,
                last: last.into(),
                datum,
            }),
            None if self.interval => {
                let begins = (flags & END == 0).then_some(datum);
                self.bounds.push((key, begins));
            }
            None => drop(self.exact.insert(key, datum)),
        }
        Some(())
    }

    /// Takes in an entry by its number, in the host's order.
    pub(super) fn number(&mut self, number: u32, datum: Datum) {
        self.exact.insert(number.to_ne_bytes().into(), datum);
    }

    /// Once every element is there.
    pub(super) fn finish(&mut self) {
        // Where one interval ends and the next begins, the key belongs to the next.
        self.bounds
            .sort_by(|a, b| (&a.0, a.1.is_some()).cmp(&(&b.0, b.1.is_some())));
    }

    /// What it has for a key; `None` when the key is not in it.
    pub(super) fn get(&self, key: &[u8]) -> Option<&Datum> {
        let within = || {
            let behind = self.bounds.partition_point(|(bound, _)| **bound <= *key);
            self.bounds[..behind].last()?.1.as_ref()
        };
        let ranged = || {
            let mut ranges = self.ranges.iter();
            let found = ranges.find(|range| self.is_within(key, range));
            found.map(|range| &range.datum)
        };
        self.exact
            .get(key)
            .or_else(within)
            .or_else(ranged)
            .or(self.otherwise.as_ref())
    }

    /// Each field by itself: `nft_pipapo_match` in net/netfilter/nft_set_pipapo.c.
    fn is_within(&self, key: &[u8], range: &Range) -> bool {
        let (first, last) = (&*range.first, &*range.last);
        if self.fields.len() < 2 {
            return first <= key && key <= last;
        }
        let mut at = 0;
        self.fields.iter().all(|len| {
            let field = at..at + len;
            at = field.end.next_multiple_of(4);
            let part = |bytes| <[u8]>::get(bytes, field.clone());
            part(first) <= part(key) && part(key) <= part(last)
        })
    }

    /// Its keys that are one value each.
    pub(super) fn keys(&self) -> impl Iterator<Item = &[u8]> {
        let single = self.ranges.iter().filter(|range| range.first == range.last);
        let single = single.map(|range| &*range.first);
        self.exact.keys().map(|key| &**key).chain(single)
    }
}
