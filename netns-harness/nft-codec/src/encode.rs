//! Operations as netlink messages, in one contiguous buffer, made by libnftnl.
//!
//! libnftnl writes each message into the free end of the buffer, which always has room for the largest
//! possible one; a page per message (what `nftnl::Batch` with small pages comes to) is avoided, and so
//! is its NLM_F_ACK on every message: 600 acknowledgements overflow a socket's receive buffer.

mod chains;
mod expressions;
mod objects;
mod sets;

use std::borrow::Cow;
use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_void};

use netlink::{HEADER, add_flags, flags, message_len, set_flags};
use nftnl::nftnl_sys as sys;
use nftnl::{Chain, MsgType, NlMsg, ProtoFamily, Rule as NlRule, Table};

use crate::family::TableFamily;
use crate::names::Name;
use crate::ops::{Act, Network, Op, Rule, Statement, address_and_port};
use crate::script::script;
use sets::{Datum, In, RawSet};

/// Why operations cannot be encoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The statement was read from the kernel and is not understood.
    #[error("'{0}' holds an expression that is not understood and cannot be sent")]
    Unknown(String),
    /// A message of netlink holds at most 64 KiB of nested attributes.
    #[error("'{0}' does not fit into one netlink message")]
    TooLong(String),
    /// A table has addresses of its family only.
    #[error("'{0}' names an address of another family than its table's")]
    OtherFamily(String),
}

/// A transaction, encoded: batch begin, the messages of the operations in order, batch end. Only the
/// last operation's last message asks for an acknowledgement: kernels before 6.10 do not acknowledge
/// the batch end itself (nfnetlink.c), and errors come unasked for.
#[derive(Debug, Clone)]
pub struct EncodedBatch {
    ops: Vec<Op>,
    bytes: Vec<u8>,
    /// Sequence number of each operation's first message.
    starts: Vec<u32>,
    /// Sequence number of the last operation's last message: how many messages there are.
    last: u32,
}

impl EncodedBatch {
    /// Encodes `ops` as one transaction.
    ///
    /// # Errors
    /// An operation that no message can express.
    pub fn encode(ops: Vec<Op>) -> Result<Self, EncodeError> {
        Self::encode_with(ops, None)
    }

    /// Encodes `ops` as one transaction whose anonymous maps are named `__map<number>` by us, from
    /// `first` on, instead of `__map%d` by the kernel. The kernel finds a free number by reading the
    /// number of every set in the table, for every map (nf_tables_api.c, nf_tables_set_alloc_name), which
    /// is more than half of what loading 10,000 services costs. Elements name their map by its id in the
    /// transaction alone: by name the kernel would walk the sets once more (nft_set_lookup_global). What
    /// is installed is the same; what it costs is not what `nft` pays, so this is for installs that are not
    /// timed.
    ///
    /// # Errors
    /// An operation that no message can express.
    pub fn encode_numbered(ops: Vec<Op>, first: u32) -> Result<Self, EncodeError> {
        Self::encode_with(ops, Some(first))
    }

    fn encode_with(ops: Vec<Op>, first_map: Option<u32>) -> Result<Self, EncodeError> {
        let mut buffer = Buffer::new(ops.len());
        buffer.bare(sys::nftnl_batch_begin);
        let mut starts = Vec::with_capacity(ops.len());
        let mut encoder = Encoder {
            buffer,
            table: None,
            ids: HashMap::new(),
            next_id: 1,
            first_map,
        };
        let mut acknowledged = None;
        for op in &ops {
            starts.push(encoder.buffer.sequence);
            encoder.op(op)?;
            acknowledged = Some(encoder.buffer.last_start);
        }
        let mut buffer = encoder.buffer;
        let last = buffer.sequence - 1;
        if let Some(at) = acknowledged {
            add_flags(&mut buffer.bytes[at..], flags::ACK);
        }
        buffer.bare(sys::nftnl_batch_end);
        Ok(Self {
            ops,
            bytes: buffer.finish(),
            starts,
            last,
        })
    }

    /// What is sent: one `sendmsg` of it is one transaction.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The operations, in order.
    #[must_use]
    pub fn ops(&self) -> &[Op] {
        &self.ops
    }

    /// Messages sent, without the batch's begin and end.
    #[must_use]
    pub fn messages(&self) -> u64 {
        u64::from(self.last)
    }

    /// The same operations as a script for `nft -f`.
    #[must_use]
    pub fn script(&self) -> String {
        script(&self.ops)
    }

    /// Sequence number of the message that is acknowledged; 0 in an empty batch.
    pub(crate) fn last_sequence(&self) -> u32 {
        self.last
    }

    /// The operation that the message of that sequence number belongs to.
    #[must_use]
    pub fn op_of(&self, sequence: u32) -> Option<&Op> {
        if sequence > self.last {
            return None;
        }
        let after = self.starts.partition_point(|start| *start <= sequence);
        self.ops.get(after.checked_sub(1)?)
    }
}

/// The growing batch. `bytes[used..]` is zeroed and at least one largest message long whenever a
/// message is written.
struct Buffer {
    bytes: Vec<u8>,
    used: usize,
    largest: usize,
    sequence: u32,
    last_start: usize,
}

impl Buffer {
    fn new(ops: usize) -> Self {
        let largest = nftnl::nft_nlmsg_maxsize() as usize;
        // A message of kube-proxy's layout is about 170 bytes.
        Self {
            bytes: vec![0; largest + ops * 192],
            used: 0,
            largest,
            sequence: 0,
            last_start: 0,
        }
    }

    /// Writes one message. `write` gets the place and the sequence number, and writes at most
    /// `nft_nlmsg_maxsize()` bytes; `flags` (beside NLM_F_REQUEST) replace what it put in the header.
    fn message(&mut self, flags: u16, write: impl FnOnce(*mut c_void, u32)) {
        if self.bytes.len() - self.used < self.largest {
            let wanted = (self.bytes.len() * 2).max(self.used + self.largest);
            self.bytes.resize(wanted, 0);
        }
        let place = &mut self.bytes[self.used..];
        write(place.as_mut_ptr().cast(), self.sequence);
        set_flags(place, flags::REQUEST | flags);
        self.last_start = self.used;
        self.used += message_len(place).next_multiple_of(4);
        self.sequence += 1;
    }

    /// Writes a message that is nothing but its header: batch begin and end.
    fn bare(&mut self, write: unsafe extern "C" fn(*mut c_char, u32) -> *mut libc::nlmsghdr) {
        self.message(0, |place, sequence| {
            // SAFETY: `place` has room for the largest message and this one is 20 bytes.
            unsafe { write(place.cast(), sequence) };
        });
    }

    /// Writes a message of the nftnl crate.
    fn object(&mut self, flags: u16, kind: MsgType, object: &impl NlMsg) {
        self.message(flags, |place, sequence| {
            // SAFETY: `place` has room for `nft_nlmsg_maxsize()` bytes, which is what NlMsg asks for.
            unsafe { object.write(place, sequence, kind) };
        });
    }

    fn finish(mut self) -> Vec<u8> {
        self.bytes.truncate(self.used);
        self.bytes.shrink_to_fit();
        self.bytes
    }
}

struct Encoder {
    buffer: Buffer,
    /// The table of the operation before: nearly always this one's too.
    table: Option<(TableFamily, Name, Table)>,
    /// Ids of the sets added in this batch, by table and name.
    ids: HashMap<(TableFamily, Name, Name), u32>,
    next_id: u32,
    /// Number of the first anonymous map; `None`: the kernel numbers them.
    first_map: Option<u32>,
}

impl Encoder {
    fn op(&mut self, op: &Op) -> Result<(), EncodeError> {
        let table = match self.table.take() {
            Some((family, name, table)) if (family, &name) == (op.family, &op.table) => table,
            _ => Table::new(op.table.as_c_str(), protocol(op.family)),
        };
        let result = self.act(op, &table);
        self.table = Some((op.family, op.table.clone(), table));
        result
    }

    fn act(&mut self, op: &Op, table: &Table) -> Result<(), EncodeError> {
        if op.names_other_family() {
            return Err(EncodeError::OtherFamily(op.to_string()));
        }
        let at = In(op.family, &op.table);
        let buffer = &mut self.buffer;
        match &op.act {
            Act::AddTable(comment) => chains::add_table(buffer, at, comment.as_ref()),
            Act::DeleteTable => buffer.object(0, MsgType::Del, table),
            Act::AddChain(chain, base, comment) => {
                chains::add_chain(buffer, at, chain, *base, comment.as_ref())
            }
            Act::FlushChain(chain) => {
                let chain = Chain::new(chain.as_c_str(), table);
                buffer.object(0, MsgType::Del, &NlRule::new(&chain)); // no handle: every rule
            }
            Act::DeleteChain(chain) => {
                buffer.object(0, MsgType::Del, &Chain::new(chain.as_c_str(), table))
            }
            Act::AddSet(spec) => {
                let id = self.new_id(op, &spec.name);
                RawSet::named(at, spec, id).add(&mut self.buffer);
            }
            Act::FlushSet(set, ..) => RawSet::reference(at, set, None).flush(&mut self.buffer),
            Act::DeleteSet(set, ..) => RawSet::reference(at, set, None).delete(&mut self.buffer),
            Act::AddCounter(counter) => objects::counter(buffer, at, counter, libc::NFT_MSG_NEWOBJ),
            Act::DeleteCounter(counter) => {
                objects::counter(buffer, at, counter, libc::NFT_MSG_DELOBJ)
            }
            Act::AddElements(set, elements) => {
                let mut raw = RawSet::reference(at, set, self.id(op, set));
                for element in elements {
                    raw.push(element);
                }
                raw.add_elements(&mut self.buffer);
            }
            Act::DeleteElements(set, keys) => {
                let mut raw = RawSet::reference(at, set, None);
                for key in keys {
                    raw.push_key(*key);
                }
                raw.delete_elements(&mut self.buffer);
            }
            Act::AddIntervals(set, intervals) => {
                let mut raw = RawSet::reference(at, set, self.id(op, set));
                raw.push_intervals(intervals);
                raw.add_elements(&mut self.buffer);
            }
            Act::DeleteIntervals(set, intervals) => {
                let mut raw = RawSet::reference(at, set, None);
                raw.push_intervals(intervals);
                raw.delete_elements(&mut self.buffer);
            }
            Act::AddRule(chain, rule) => self.rule(op, table, chain, rule)?,
        }
        Ok(())
    }

    /// Id of a set that was added in this batch; the kernel finds older ones by name.
    fn id(&self, op: &Op, set: &Name) -> Option<u32> {
        let place = (op.family, op.table.clone(), set.clone());
        self.ids.get(&place).copied()
    }

    fn new_id(&mut self, op: &Op, set: &Name) -> u32 {
        let id = self.next_id;
        self.next_id += 1;
        let place = (op.family, op.table.clone(), set.clone());
        self.ids.insert(place, id);
        id
    }

    fn rule(
        &mut self,
        op: &Op,
        table: &Table,
        chain: &Name,
        rule: &Rule,
    ) -> Result<(), EncodeError> {
        let chain = Chain::new(chain.as_c_str(), table);
        let mut encoded = NlRule::new(&chain);
        for statement in &rule.statements {
            self.statement(op, &mut encoded, statement)?;
        }
        if let Some(comment) = &rule.comment
            && encoded.set_comment(comment.as_c_str()).is_err()
        {
            return Err(EncodeError::TooLong(op.to_string()));
        }
        let flags = flags::CREATE | flags::APPEND;
        self.buffer.object(flags, MsgType::Add, &encoded);
        // Nothing in the vocabulary comes near 64 KiB, but expressions of one rule add up.
        if self.buffer.used - self.buffer.last_start > usize::from(u16::MAX) - HEADER {
            return Err(EncodeError::TooLong(op.to_string()));
        }
        Ok(())
    }

    /// Adds the anonymous map of a rule: its name and id.
    fn anonymous<'a>(
        &mut self,
        op: &Op,
        entries: impl ExactSizeIterator<Item = (u32, Datum<'a>)>,
        data: sets::DataType,
    ) -> (Cow<'static, CStr>, u32) {
        let id = self.next_id;
        self.next_id += 1;
        let name = sets::anonymous_map(self.first_map.map(|first| first + id));
        let at = In(op.family, &op.table);
        let mut map = RawSet::anonymous(at, &name, entries, data, id);
        map.add(&mut self.buffer);
        if self.first_map.is_some() {
            map.by_id();
        }
        map.add_elements(&mut self.buffer);
        (name, id)
    }

    /// Adds the anonymous set of a rule: its name and id.
    fn anonymous_networks(&mut self, op: &Op, networks: &[Network]) -> (Cow<'static, CStr>, u32) {
        let id = self.next_id;
        self.next_id += 1;
        let name = sets::anonymous_set(self.first_map.map(|first| first + id));
        let mut set = RawSet::of_networks(In(op.family, &op.table), &name, networks, id);
        set.add(&mut self.buffer);
        if self.first_map.is_some() {
            set.by_id();
        }
        set.add_elements(&mut self.buffer);
        (name, id)
    }

    /// Adds a statement's expressions; what is in a set of its own goes before the rule.
    fn statement(
        &mut self,
        op: &Op,
        rule: &mut NlRule<'_>,
        statement: &Statement,
    ) -> Result<(), EncodeError> {
        let anonymous;
        let set = match statement {
            Statement::DestinationInSet(name)
            | Statement::SourceInSet(name)
            | Statement::UpdateWithSource(name)
            | Statement::ConnectionInSet(name)
            | Statement::ServiceVmap(name)
            | Statement::NodePortVmap(name) => (name.as_c_str(), self.id(op, name)),
            Statement::SourceOutside(networks) if networks.len() > 1 => {
                anonymous = self.anonymous_networks(op, networks);
                (&*anonymous.0, Some(anonymous.1))
            }
            Statement::RandomVmap(_, entries) => {
                anonymous = self.anonymous(op, sets::verdicts(entries), sets::VERDICTS);
                (&*anonymous.0, Some(anonymous.1))
            }
            Statement::RandomDnat(_, entries) => {
                let data = address_and_port(op.family);
                anonymous = self.anonymous(op, sets::addresses(entries), data);
                (&*anonymous.0, Some(anonymous.1))
            }
            _ => (c"", None),
        };
        match expressions::add(op.family, rule, statement, set) {
            true => Ok(()),
            false => Err(EncodeError::Unknown(op.to_string())),
        }
    }
}

/// A family in the words of the nftnl crate.
const fn protocol(family: TableFamily) -> ProtoFamily {
    match family {
        TableFamily::Ip => ProtoFamily::Ipv4,
        TableFamily::Ip6 => ProtoFamily::Ipv6,
    }
}

/// Writes a message header of a family.
///
/// # Safety
/// `place` has room for the largest message.
unsafe fn build_header(
    place: *mut c_void,
    message: libc::c_int,
    family: TableFamily,
    sequence: u32,
) -> *mut libc::nlmsghdr {
    // SAFETY: the caller's room; the flags are set by `Buffer::message`.
    unsafe {
        sys::nftnl_nlmsg_build_hdr(
            place.cast(),
            message as u16,
            family.number().into(),
            0,
            sequence,
        )
    }
}

/// Appends an entry of user data: its type, length and value.
fn put(udata: &mut Vec<u8>, kind: u8, value: &[u8]) {
    udata.push(kind);
    // Comments are at most 128 bytes with their NUL, the rest is 8.
    udata.push(u8::try_from(value.len()).unwrap_or(u8::MAX));
    udata.extend_from_slice(value);
}

/// What libnftnl allocated. Its allocations are a few hundred bytes: without them there is no going on,
/// and Rust's own allocations end the same way.
fn alive<T>(object: *mut T) -> *mut T {
    if object.is_null() {
        std::process::abort();
    }
    object
}
