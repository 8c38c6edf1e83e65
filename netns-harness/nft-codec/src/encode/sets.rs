//! Sets, maps and their elements: what the nftnl crate's `Set` cannot say (data type, flags, size,
//! user data, verdicts), through libnftnl itself.

use std::borrow::Cow;
use std::ffi::{CStr, CString};
use std::net::{IpAddr, SocketAddr};
use std::ptr::NonNull;

use netlink::flags;
use nftnl::nftnl_sys as sys;

use super::{Buffer, alive, build_header, put};
use crate::family::TableFamily;
use crate::intervals;
use crate::names::Name;
use crate::ops::{Element, Key, KeyType, Network, SetSpec, Verdict};

/// In which table: its family and name.
#[derive(Clone, Copy)]
pub(super) struct In<'a>(pub(super) TableFamily, pub(super) &'a Name);

/// The kernel puts a number in place of `%d` (nf_tables_api.c, nf_tables_set_alloc_name).
const ANONYMOUS_MAP: &CStr = c"__map%d";

/// Name of an anonymous map: with a number of ours, or for the kernel to number.
pub(super) fn anonymous_map(number: Option<u32>) -> Cow<'static, CStr> {
    match number {
        None => Cow::Borrowed(ANONYMOUS_MAP),
        Some(number) => {
            let name = CString::new(format!("__map{number}")).expect("digits hold no NUL");
            Cow::Owned(name)
        }
    }
}

/// The same for the set of a rule that needs no data.
const ANONYMOUS_SET: &CStr = c"__set%d";

/// Name of an anonymous set: with a number of ours, or for the kernel to number.
pub(super) fn anonymous_set(number: Option<u32>) -> Cow<'static, CStr> {
    match number {
        None => Cow::Borrowed(ANONYMOUS_SET),
        Some(number) => {
            let name = CString::new(format!("__set{number}")).expect("digits hold no NUL");
            Cow::Owned(name)
        }
    }
}

/// `nft`'s number of the type `integer` (datatype.h, enum datatypes). The kernel only stores it.
const TYPE_INTEGER: u32 = 4;
/// Number and length of what a map has for a key.
pub(super) type DataType = (u32, u32);
/// NFT_DATA_VERDICT: of a verdict map.
pub(super) const VERDICTS: DataType = (0xffff_ff00, 0);

/// What a set or map has for a key.
pub(super) enum Datum<'a> {
    Nothing,
    Verdict(&'a Verdict),
    /// Address and port, padded to 4 bytes, and their length.
    Address([u8; MOST_ADDRESS + 4], usize),
}

/// Entries of a random choice of verdicts.
pub(super) fn verdicts(
    entries: &[(u32, Verdict)],
) -> impl ExactSizeIterator<Item = (u32, Datum<'_>)> {
    let entries = entries.iter();
    entries.map(|(number, verdict)| (*number, Datum::Verdict(verdict)))
}

/// Entries of a random choice of addresses.
pub(super) fn addresses(
    entries: &[(u32, SocketAddr)],
) -> impl ExactSizeIterator<Item = (u32, Datum<'_>)> {
    entries.iter().map(|(number, to)| {
        let mut bytes = [0; MOST_ADDRESS + 4];
        let len = put_address(&mut bytes, to.ip());
        bytes[len..len + 2].copy_from_slice(&to.port().to_be_bytes());
        (*number, Datum::Address(bytes, len + 4))
    })
}

/// NFT_SET_ELEM_INTERVAL_END (nf_tables.h).
const INTERVAL_END: u32 = 1;
/// NFTNL_UDATA_SET_KEYBYTEORDER and _DATABYTEORDER, each a u32 of the host's order.
const UDATA_KEY_BYTE_ORDER: u8 = 0;
const UDATA_DATA_BYTE_ORDER: u8 = 1;
/// NFTNL_UDATA_SET_KEY_TYPEOF and _DATA_TYPEOF: nested, an expression's number and its (empty) data.
const UDATA_KEY_TYPEOF: u8 = 3;
const UDATA_DATA_TYPEOF: u8 = 4;
const UDATA_DATA_INTERVAL: u8 = 6;
const UDATA_COMMENT: u8 = 7;
/// Byte orders (nft, datatype.h).
const BYTE_ORDER_INVALID: u32 = 0;
const BYTE_ORDER_HOST: u32 = 1;
const BYTE_ORDER_BIG: u32 = 2;
/// Numbers of expressions (nft, expression.h, enum expr_types).
const EXPR_VERDICT: u32 = 1;
const EXPR_CONCAT: u32 = 13;

/// The key's length in a table of that family: every field padded to 4 bytes.
const fn key_len(key: KeyType, family: TableFamily) -> u32 {
    let proto_and_port = match key {
        KeyType::Address => 0,
        KeyType::AddressProtoPort | KeyType::AddressesProtoPort | KeyType::ProtoPort => 8,
    };
    (key.addresses() * family.address_len()) as u32 + proto_and_port
}

fn put_u32(udata: &mut Vec<u8>, kind: u8, value: u32) {
    put(udata, kind, &value.to_ne_bytes());
}

fn put_typeof(udata: &mut Vec<u8>, kind: u8, expression: u32) {
    let mut nested = Vec::with_capacity(8);
    put_u32(&mut nested, 0, expression);
    put(&mut nested, 1, &[]);
    put(udata, kind, &nested);
}

/// An owned `nftnl_set`: the set itself, or the name that a list of elements goes to; and its table's family.
pub(super) struct RawSet(NonNull<sys::nftnl_set>, TableFamily);

impl Drop for RawSet {
    fn drop(&mut self) {
        // SAFETY: owned by this value alone; frees the elements too.
        unsafe { sys::nftnl_set_free(self.0.as_ptr()) };
    }
}

impl RawSet {
    /// A set by name; `id` when it was added in the same batch.
    pub(super) fn reference(at: In<'_>, name: &Name, id: Option<u32>) -> Self {
        Self::with_c_name(at, name.as_c_str(), id)
    }

    fn with_c_name(In(family, table): In<'_>, name: &CStr, id: Option<u32>) -> Self {
        // SAFETY: a fresh object; libnftnl copies the strings.
        unsafe {
            let raw = alive(sys::nftnl_set_alloc());
            sys::nftnl_set_set_u32(raw, sys::NFTNL_SET_FAMILY as u16, family.number().into());
            sys::nftnl_set_set_str(raw, sys::NFTNL_SET_TABLE as u16, table.as_c_str().as_ptr());
            sys::nftnl_set_set_str(raw, sys::NFTNL_SET_NAME as u16, name.as_ptr());
            if let Some(id) = id {
                sys::nftnl_set_set_u32(raw, sys::NFTNL_SET_ID as u16, id);
            }
            Self(NonNull::new_unchecked(raw), family)
        }
    }

    /// A named set or verdict map, without a size.
    pub(super) fn named(at: In<'_>, spec: &SetSpec, id: u32) -> Self {
        let set = Self::reference(at, &spec.name, Some(id));
        let map = if spec.verdicts { libc::NFT_SET_MAP } else { 0 };
        let flags = match spec.timeout {
            Some(timeout) => {
                set.set_timeout(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
                map | libc::NFT_SET_TIMEOUT | libc::NFT_SET_EVAL
            }
            None => map,
        };
        set.describe(
            flags as u32,
            spec.key.number(at.0),
            key_len(spec.key, at.0),
            spec.verdicts.then_some(VERDICTS),
        );
        let concatenated = spec.key != KeyType::Address;
        let mut udata = Vec::with_capacity(64);
        let order = match concatenated {
            true => BYTE_ORDER_INVALID,
            false => BYTE_ORDER_BIG,
        };
        put_u32(&mut udata, UDATA_KEY_BYTE_ORDER, order);
        if spec.verdicts {
            put_u32(&mut udata, UDATA_DATA_BYTE_ORDER, BYTE_ORDER_INVALID);
        }
        if concatenated {
            put_typeof(&mut udata, UDATA_KEY_TYPEOF, EXPR_CONCAT);
        }
        if spec.verdicts {
            put_u32(&mut udata, UDATA_DATA_INTERVAL, 0);
        }
        if let Some(comment) = &spec.comment {
            let text = comment.as_c_str().to_bytes_with_nul();
            put(&mut udata, UDATA_COMMENT, text);
        }
        set.user_data(&udata);
        set
    }

    /// The anonymous constant map of a random choice, with its elements. It declares its size, which
    /// is known.
    pub(super) fn anonymous<'a>(
        at: In<'_>,
        name: &CStr,
        entries: impl ExactSizeIterator<Item = (u32, Datum<'a>)>,
        data: DataType,
        id: u32,
    ) -> Self {
        let mut set = Self::with_c_name(at, name, Some(id));
        let flags = libc::NFT_SET_ANONYMOUS | libc::NFT_SET_CONSTANT | libc::NFT_SET_MAP;
        set.describe(flags as u32, TYPE_INTEGER, 4, Some(data));
        set.set_u32(sys::NFTNL_SET_DESC_SIZE, entries.len() as u32);
        let mut udata = Vec::with_capacity(32);
        put_u32(&mut udata, UDATA_KEY_BYTE_ORDER, BYTE_ORDER_HOST);
        put_u32(&mut udata, UDATA_DATA_BYTE_ORDER, BYTE_ORDER_INVALID);
        if data == VERDICTS {
            put_typeof(&mut udata, UDATA_DATA_TYPEOF, EXPR_VERDICT);
        }
        put_u32(&mut udata, UDATA_DATA_INTERVAL, 0);
        set.user_data(&udata);
        for (number, datum) in entries {
            set.push_raw(&number.to_ne_bytes(), datum, None); // numgen's result is in host order
        }
        set
    }

    /// The anonymous constant set of the addresses of networks, as intervals: each begins with an element and, unless
    /// it reaches to the last address, ends before another one. As in `nft`, an end stands before the first one that does
    /// not begin with the first address (segtree.c, `segtree_needs_first_segment`).
    pub(super) fn of_networks(at: In<'_>, name: &CStr, networks: &[Network], id: u32) -> Self {
        let mut set = Self::with_c_name(at, name, Some(id));
        let flags = libc::NFT_SET_ANONYMOUS | libc::NFT_SET_CONSTANT | libc::NFT_SET_INTERVAL;
        let (key, family) = (KeyType::Address, at.0);
        set.describe(flags as u32, key.number(family), key_len(key, family), None);
        let mut udata = Vec::with_capacity(8);
        put_u32(&mut udata, UDATA_KEY_BYTE_ORDER, BYTE_ORDER_BIG);
        set.user_data(&udata);
        let intervals = intervals::intervals(networks);
        if intervals.first().is_some_and(|(first, _)| *first > 0) {
            set.push_bound(0, true);
        }
        for (first, last) in intervals {
            set.push_bound(first, false);
            if last < intervals::last(family) {
                set.push_bound(last + 1, true);
            }
        }
        set
    }

    /// Adds intervals to the list. One of a single field is two elements, its beginning and the key behind its end; one of several
    /// fields is one with both ends (NFTA_SET_ELEM_KEY_END), which nft_set_pipapo.c takes.
    pub(super) fn push_intervals(&mut self, intervals: &[[Key; 2]]) {
        for [first, last] in intervals {
            match (first, last) {
                (Key::Address(first), Key::Address(last)) => {
                    self.push_bound(intervals::number(*first), false);
                    let last = intervals::number(*last);
                    if last < intervals::last(self.1) {
                        self.push_bound(last + 1, true);
                    }
                }
                _ => {
                    let ((first, len), (last, _)) = (key_bytes(*first), key_bytes(*last));
                    self.push_ranged(&first[..len], Some(&last[..len]), 0, Datum::Nothing, None);
                }
            }
        }
    }

    /// Adds where an interval begins, or the address behind one to the list.
    fn push_bound(&mut self, at: u128, ends: bool) {
        let octets = at.to_be_bytes();
        let key = &octets[octets.len() - self.1.address_len()..];
        let flags = if ends { INTERVAL_END } else { 0 };
        self.push_flagged(key, flags, Datum::Nothing, None);
    }

    /// Forgets its name: what follows names it by its id.
    pub(super) fn by_id(&mut self) {
        // SAFETY: the set is alive.
        unsafe { sys::nftnl_set_unset(self.0.as_ptr(), sys::NFTNL_SET_NAME as u16) };
    }

    fn describe(&self, flags: u32, key_type: u32, key_len: u32, data: Option<DataType>) {
        self.set_u32(sys::NFTNL_SET_FLAGS, flags);
        self.set_u32(sys::NFTNL_SET_KEY_TYPE, key_type);
        self.set_u32(sys::NFTNL_SET_KEY_LEN, key_len);
        if let Some((number, len)) = data {
            self.set_u32(sys::NFTNL_SET_DATA_TYPE, number);
            self.set_u32(sys::NFTNL_SET_DATA_LEN, len);
        }
    }

    fn set_u32(&self, attribute: u32, value: u32) {
        // SAFETY: the set is alive and the attribute is a u32.
        unsafe { sys::nftnl_set_set_u32(self.0.as_ptr(), attribute as u16, value) };
    }

    /// Milliseconds that an element stays.
    fn set_timeout(&self, milliseconds: u64) {
        // SAFETY: the set is alive and the attribute is a u64.
        unsafe {
            sys::nftnl_set_set_u64(self.0.as_ptr(), sys::NFTNL_SET_TIMEOUT as u16, milliseconds);
        }
    }

    fn user_data(&self, udata: &[u8]) {
        // SAFETY: the set is alive; libnftnl copies `udata`.
        unsafe {
            sys::nftnl_set_set_data(
                self.0.as_ptr(),
                sys::NFTNL_SET_USERDATA as u16,
                udata.as_ptr().cast(),
                udata.len() as u32,
            );
        }
    }

    /// Adds an element to the list.
    pub(super) fn push(&mut self, element: &Element) {
        let (bytes, len) = key_bytes(element.key);
        self.push_raw(
            &bytes[..len],
            match &element.verdict {
                Some(verdict) => Datum::Verdict(verdict),
                None => Datum::Nothing,
            },
            element.comment.as_ref().map(|c| c.as_c_str()),
        );
    }

    /// Adds an element that is to be deleted to the list.
    pub(super) fn push_key(&mut self, key: Key) {
        let (bytes, len) = key_bytes(key);
        self.push_raw(&bytes[..len], Datum::Nothing, None);
    }

    fn push_raw(&mut self, key: &[u8], datum: Datum<'_>, comment: Option<&CStr>) {
        self.push_flagged(key, 0, datum, comment);
    }

    fn push_flagged(&mut self, key: &[u8], flags: u32, datum: Datum<'_>, comment: Option<&CStr>) {
        self.push_ranged(key, None, flags, datum, comment);
    }

    fn push_ranged(
        &mut self,
        key: &[u8],
        last: Option<&[u8]>,
        flags: u32,
        datum: Datum<'_>,
        comment: Option<&CStr>,
    ) {
        // SAFETY: a fresh element; libnftnl copies key, chain and user data and takes the element over.
        unsafe {
            let element = alive(sys::nftnl_set_elem_alloc());
            sys::nftnl_set_elem_set(
                element,
                sys::NFTNL_SET_ELEM_KEY as u16,
                key.as_ptr().cast(),
                key.len() as u32,
            );
            if let Some(last) = last {
                sys::nftnl_set_elem_set(
                    element,
                    sys::NFTNL_SET_ELEM_KEY_END as u16,
                    last.as_ptr().cast(),
                    last.len() as u32,
                );
            }
            if flags != 0 {
                sys::nftnl_set_elem_set_u32(element, sys::NFTNL_SET_ELEM_FLAGS as u16, flags);
            }
            match datum {
                Datum::Nothing => {}
                Datum::Verdict(verdict) => {
                    sys::nftnl_set_elem_set_u32(
                        element,
                        sys::NFTNL_SET_ELEM_VERDICT as u16,
                        verdict_number(verdict) as u32,
                    );
                    if let Some(chain) = verdict.chain() {
                        sys::nftnl_set_elem_set_str(
                            element,
                            sys::NFTNL_SET_ELEM_CHAIN as u16,
                            chain.as_c_str().as_ptr(),
                        );
                    }
                }
                Datum::Address(bytes, len) => {
                    sys::nftnl_set_elem_set(
                        element,
                        sys::NFTNL_SET_ELEM_DATA as u16,
                        bytes[..len].as_ptr().cast(),
                        len as u32,
                    );
                }
            }
            if let Some(comment) = comment {
                let mut udata = Vec::with_capacity(64);
                put(&mut udata, 0, comment.to_bytes_with_nul()); // NFTNL_UDATA_SET_ELEM_COMMENT
                sys::nftnl_set_elem_set(
                    element,
                    sys::NFTNL_SET_ELEM_USERDATA as u16,
                    udata.as_ptr().cast(),
                    udata.len() as u32,
                );
            }
            sys::nftnl_set_elem_add(self.0.as_ptr(), element);
        }
    }

    /// Writes the message that adds the set.
    pub(super) fn add(&self, buffer: &mut Buffer) {
        self.set_message(buffer, libc::NFT_MSG_NEWSET, flags::CREATE);
    }

    /// Writes the message that deletes the set.
    pub(super) fn delete(&self, buffer: &mut Buffer) {
        self.set_message(buffer, libc::NFT_MSG_DELSET, 0);
    }

    fn set_message(&self, buffer: &mut Buffer, message: libc::c_int, flags: u16) {
        buffer.message(flags, |place, sequence| {
            // SAFETY: `place` has room for the largest message; a set's is a few hundred bytes.
            unsafe {
                let header = build_header(place, message, self.1, sequence);
                sys::nftnl_set_nlmsg_build_payload(header, self.0.as_ptr());
            }
        });
    }

    /// Writes the message that deletes every element: a list without elements.
    pub(super) fn flush(&self, buffer: &mut Buffer) {
        buffer.message(0, |place, sequence| {
            // SAFETY: as in `set_message`.
            unsafe {
                let header = build_header(place, libc::NFT_MSG_DELSETELEM, self.1, sequence);
                sys::nftnl_set_elems_nlmsg_build_payload(header, self.0.as_ptr());
            }
        });
    }

    /// Writes the messages that add the listed elements.
    pub(super) fn add_elements(&self, buffer: &mut Buffer) {
        self.element_messages(buffer, libc::NFT_MSG_NEWSETELEM, flags::CREATE);
    }

    /// Writes the messages that delete the listed elements.
    pub(super) fn delete_elements(&self, buffer: &mut Buffer) {
        self.element_messages(buffer, libc::NFT_MSG_DELSETELEM, 0);
    }

    /// As many messages as the elements need, 64 KiB each.
    fn element_messages(&self, buffer: &mut Buffer, message: libc::c_int, flags: u16) {
        // SAFETY: the iterator is made from a live set, freed below, and advances with each message.
        let iterator = unsafe { alive(sys::nftnl_set_elems_iter_create(self.0.as_ptr())) };
        let mut more = true;
        while more {
            buffer.message(flags, |place, sequence| {
                // SAFETY: `place` has room for the largest message, and libnftnl stops a message
                // before its nested attribute exceeds 64 KiB.
                unsafe {
                    let header = build_header(place, message, self.1, sequence);
                    more = sys::nftnl_set_elems_nlmsg_build_payload_iter(header, iterator) > 0;
                }
            });
        }
        // SAFETY: made above, not used again.
        unsafe { sys::nftnl_set_elems_iter_destroy(iterator) };
    }
}

/// Bytes of the longest address, and of the longest key: two addresses, protocol and port.
const MOST_ADDRESS: usize = 16;
const MOST_KEY: usize = 2 * MOST_ADDRESS + 8;

/// Puts an address at the beginning of `bytes`; how many bytes it is.
pub(super) fn put_address(bytes: &mut [u8], address: IpAddr) -> usize {
    match address {
        IpAddr::V4(address) => {
            bytes[..4].copy_from_slice(&address.octets());
            4
        }
        IpAddr::V6(address) => {
            bytes[..16].copy_from_slice(&address.octets());
            16
        }
    }
}

/// The key's fields, each padded to 4 bytes, and their total length.
fn key_bytes(key: Key) -> ([u8; MOST_KEY], usize) {
    let mut bytes = [0; MOST_KEY];
    let (addresses, rest) = match key {
        Key::Address(address) => (&[address][..], None),
        Key::AddressProtoPort(address, proto, port) => (&[address][..], Some((proto, port))),
        Key::AddressesProtoPort(ref addresses, proto, port) => {
            (&addresses[..], Some((proto, port)))
        }
        Key::ProtoPort(proto, port) => (&[][..], Some((proto, port))),
    };
    let mut len = 0;
    for address in addresses {
        len += put_address(&mut bytes[len..], *address);
    }
    if let Some((proto, port)) = rest {
        bytes[len] = proto.0;
        bytes[len + 4..len + 6].copy_from_slice(&port.to_be_bytes());
        len += 8;
    }
    (bytes, len)
}

/// Verdicts as the kernel numbers them (netfilter.h, nf_tables.h).
pub(super) const fn verdict_number(verdict: &Verdict) -> i32 {
    match verdict {
        Verdict::Drop => libc::NF_DROP,
        Verdict::Accept => libc::NF_ACCEPT,
        Verdict::Return => libc::NFT_RETURN,
        Verdict::Jump(_) => libc::NFT_JUMP,
        Verdict::Goto(_) => libc::NFT_GOTO,
    }
}
