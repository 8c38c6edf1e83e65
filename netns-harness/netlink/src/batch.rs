//! Batches: operations with the messages that carry them, made before anything is sent.

use std::fmt;

/// Something that is one netlink message.
pub trait Operation: fmt::Display {
    /// Appends the message that carries it. What only the kernel knows, the number of the family or of a
    /// device, is left 0 and filled in by the send.
    fn encode(&self, sequence: u32, out: &mut Vec<u8>);
}

/// Operations, encoded. Shown as their command lines.
#[derive(Debug, Clone)]
pub struct Batch<O> {
    ops: Vec<O>,
    bytes: Vec<u8>,
    /// Where each message ends.
    ends: Vec<usize>,
    most_per_send: usize,
}

/// Messages of one system call. A send's acknowledgements are charged to the receive buffer until they are
/// read; more than a few hundred a call save nothing measurable.
const PER_SEND: usize = 512;

impl<O: Operation> Batch<O> {
    /// To be sent with many messages a system call.
    #[must_use]
    pub fn encode(ops: Vec<O>) -> Self {
        let mut bytes = Vec::with_capacity(ops.len() * 112);
        let mut ends = Vec::with_capacity(ops.len());
        for (index, op) in ops.iter().enumerate() {
            op.encode(index as u32 + 1, &mut bytes);
            ends.push(bytes.len());
        }
        Self {
            ops,
            bytes,
            ends,
            most_per_send: PER_SEND,
        }
    }

    /// To be sent with a system call for each message, as kube-proxy does.
    #[must_use]
    pub fn encode_one_by_one(ops: Vec<O>) -> Self {
        Self {
            most_per_send: 1,
            ..Self::encode(ops)
        }
    }
}

impl<O> Batch<O> {
    /// The operations, in order.
    #[must_use]
    pub fn ops(&self) -> &[O] {
        &self.ops
    }

    /// The messages, one after the other. Sequence numbers count from 1.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many messages: one an operation.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.ops.len() as u64
    }

    /// How many messages a system call carries at the most.
    #[must_use]
    pub const fn most_per_send(&self) -> usize {
        self.most_per_send
    }

    /// Where message `index` begins.
    #[must_use]
    pub fn start(&self, index: usize) -> usize {
        match index.checked_sub(1) {
            Some(before) => self.ends[before],
            None => 0,
        }
    }
}

impl<O: fmt::Display> fmt::Display for Batch<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ops.iter().try_for_each(|op| writeln!(f, "{op}"))
    }
}
