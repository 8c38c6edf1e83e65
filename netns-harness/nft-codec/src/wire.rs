//! Netlink messages and attributes as bytes: written by hand for requests, read in safe Rust for
//! answers. Independent of libnftnl.

/// The request bit of every message.
pub(crate) const NLM_F_REQUEST: u16 = 1;
/// Answer even if there is no error.
pub(crate) const NLM_F_ACK: u16 = 4;
/// The dumped state changed meanwhile.
pub(crate) const NLM_F_DUMP_INTR: u16 = 0x10;
/// NLM_F_ROOT | NLM_F_MATCH: everything, not one object.
pub(crate) const NLM_F_DUMP: u16 = 0x300;
/// Create what is not there.
pub(crate) const NLM_F_CREATE: u16 = 0x400;
/// At the end.
pub(crate) const NLM_F_APPEND: u16 = 0x800;

/// Of a netlink message.
pub(crate) const HEADER_LEN: usize = 16;
/// Of nfgenmsg, which follows it in every netfilter message: family, version, resource.
const NFGEN_LEN: usize = 4;
/// Nested and byte-order bits of an attribute's type.
const TYPE_MASK: u16 = 0x3fff;

/// NLMSG_ERROR and NLMSG_DONE.
const TYPE_ERROR: u16 = 2;
const TYPE_DONE: u16 = 3;

/// The length that a message's header states. `message` begins with a header.
pub(crate) fn message_len(message: &[u8]) -> usize {
    u32_at(message, 0) as usize
}

/// Replaces the flags in a message's header.
pub(crate) fn set_flags(message: &mut [u8], flags: u16) {
    message[6..8].copy_from_slice(&flags.to_ne_bytes());
}

/// Adds flags to those in a message's header.
pub(crate) fn set_flag(message: &mut [u8], flag: u16) {
    let flags = u16_at(message, 6) | flag;
    set_flags(message, flags);
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// A message that cannot be a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Torn;

/// A received message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Message<'a> {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) sequence: u32,
    /// What follows the netlink header.
    body: &'a [u8],
}

/// What a received message is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Answer<'a> {
    /// An acknowledgement (0) or an error number, positive.
    Error(i32),
    /// End of a dump; 0 or an error number, positive.
    Done(i32),
    /// An object of nf_tables: its family and attributes.
    Object {
        family: u8,
        attributes: Attributes<'a>,
    },
}

impl<'a> Message<'a> {
    /// What it is.
    pub(crate) fn answer(&self) -> Result<Answer<'a>, Torn> {
        let number = || match self.body.len() {
            0..4 => Err(Torn),
            _ => Ok(-i32::from_ne_bytes([
                self.body[0],
                self.body[1],
                self.body[2],
                self.body[3],
            ])),
        };
        match self.kind {
            TYPE_ERROR => Ok(Answer::Error(number()?)),
            TYPE_DONE => Ok(Answer::Done(number().unwrap_or(0))), // before 4.19 a bare header
            _ if self.body.len() < NFGEN_LEN => Err(Torn),
            _ => Ok(Answer::Object {
                family: self.body[0],
                attributes: Attributes(&self.body[NFGEN_LEN..]),
            }),
        }
    }
}

/// The messages of one received datagram.
pub(crate) fn messages(mut datagram: &[u8]) -> impl Iterator<Item = Result<Message<'_>, Torn>> {
    std::iter::from_fn(move || {
        if datagram.is_empty() {
            return None;
        }
        if datagram.len() < HEADER_LEN {
            datagram = &[];
            return Some(Err(Torn));
        }
        let len = message_len(datagram);
        if len < HEADER_LEN || len > datagram.len() {
            datagram = &[];
            return Some(Err(Torn));
        }
        let message = Message {
            kind: u16_at(datagram, 4),
            flags: u16_at(datagram, 6),
            sequence: u32_at(datagram, 8),
            body: &datagram[HEADER_LEN..len],
        };
        datagram = &datagram[len.next_multiple_of(4).min(datagram.len())..];
        Some(Ok(message))
    })
}

/// A list of attributes, read as far as it is well formed; a torn rest ends it with an error.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attributes<'a>(&'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<Attribute<'a>, Torn>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let bytes = std::mem::take(&mut self.0);
        if bytes.len() < 4 {
            return Some(Err(Torn));
        }
        let len = usize::from(u16_at(bytes, 0));
        if len < 4 || len > bytes.len() {
            return Some(Err(Torn));
        }
        self.0 = &bytes[len.next_multiple_of(4).min(bytes.len())..];
        Some(Ok(Attribute {
            kind: u16_at(bytes, 2) & TYPE_MASK,
            value: &bytes[4..len],
        }))
    }
}

impl<'a> Attributes<'a> {
    /// The value of the first attribute of that type.
    pub(crate) fn find(self, kind: u16) -> Option<Attribute<'a>> {
        self.filter_map(Result::ok)
            .find(|attribute| attribute.kind == kind)
    }

    /// A big-endian 32-bit number, which is what nf_tables uses for every number.
    pub(crate) fn u32(self, kind: u16) -> Option<u32> {
        self.find(kind)?.u32()
    }

    /// A text.
    pub(crate) fn text(self, kind: u16) -> Option<&'a str> {
        self.find(kind)?.text()
    }

    /// A nested list.
    pub(crate) fn nested(self, kind: u16) -> Option<Self> {
        Some(self.find(kind)?.nested())
    }

    /// Raw bytes.
    pub(crate) fn bytes(self, kind: u16) -> Option<&'a [u8]> {
        Some(self.find(kind)?.value)
    }
}

/// One attribute.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attribute<'a> {
    pub(crate) kind: u16,
    pub(crate) value: &'a [u8],
}

impl<'a> Attribute<'a> {
    pub(crate) fn u32(self) -> Option<u32> {
        Some(u32::from_be_bytes(self.value.try_into().ok()?))
    }

    pub(crate) fn u64(self) -> Option<u64> {
        Some(u64::from_be_bytes(self.value.try_into().ok()?))
    }

    /// Without the final NUL.
    pub(crate) fn text(self) -> Option<&'a str> {
        std::str::from_utf8(self.value.strip_suffix(&[0]).unwrap_or(self.value)).ok()
    }

    pub(crate) fn nested(self) -> Attributes<'a> {
        Attributes(self.value)
    }
}

/// A request to nf_tables: `kind` is its message number, `texts` its attributes.
pub(crate) fn request(
    kind: u8,
    family: u8,
    flags: u16,
    sequence: u32,
    texts: &[(u16, &str)],
) -> Vec<u8> {
    const SUBSYSTEM: u16 = 10; // NFNL_SUBSYS_NFTABLES
    let mut bytes = Vec::with_capacity(64);
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&(SUBSYSTEM << 8 | u16::from(kind)).to_ne_bytes());
    bytes.extend_from_slice(&(NLM_F_REQUEST | flags).to_ne_bytes());
    bytes.extend_from_slice(&sequence.to_ne_bytes());
    bytes.extend_from_slice(&[0; 4]); // port: the kernel fills it in
    bytes.extend_from_slice(&[family, 0, 0, 0]);
    for (attribute, text) in texts {
        let len = 4 + text.len() + 1;
        bytes.extend_from_slice(&u16::try_from(len).unwrap_or(u16::MAX).to_ne_bytes());
        bytes.extend_from_slice(&attribute.to_ne_bytes());
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(0);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    bytes[..4].copy_from_slice(&len.to_ne_bytes());
    bytes
}

/// A request for elements of a set by their keys, 4 bytes each: NFTA_SET_ELEM_LIST_ELEMENTS is added to
/// [`request`].
pub(crate) fn element_request(
    bytes: &mut Vec<u8>,
    kind: u8,
    family: u8,
    sequence: u32,
    texts: &[(u16, &str)],
    keys: impl ExactSizeIterator<Item = [u8; 4]>,
) {
    const NESTED: u16 = 0x8000;
    // Element, key, value: three headers, then the 4 bytes.
    const ELEMENT_LEN: usize = 16;
    let start = bytes.len();
    bytes.extend_from_slice(&request(kind, family, 0, sequence, texts));
    let header = |len: usize, attribute: u16| {
        let [a, b] = u16::try_from(len).unwrap_or(u16::MAX).to_ne_bytes();
        let [c, d] = attribute.to_ne_bytes();
        [a, b, c, d]
    };
    bytes.extend_from_slice(&header(4 + keys.len() * ELEMENT_LEN, NESTED | 3));
    for key in keys {
        bytes.extend_from_slice(&header(ELEMENT_LEN, NESTED | 1));
        bytes.extend_from_slice(&header(ELEMENT_LEN - 4, NESTED | 1));
        bytes.extend_from_slice(&header(ELEMENT_LEN - 8, 1));
        bytes.extend_from_slice(&key);
    }
    let len = u32::try_from(bytes.len() - start).unwrap_or(u32::MAX);
    bytes[start..start + 4].copy_from_slice(&len.to_ne_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_back_as_what_was_asked() {
        let bytes = request(7, 2, NLM_F_DUMP, 9, &[(1, "kube-proxy"), (3, "x")]);
        let all: Vec<_> = messages(&bytes).collect();
        let [Ok(message)] = all[..] else {
            panic!("{all:?}")
        };
        assert_eq!(
            (message.flags, message.sequence),
            (NLM_F_DUMP | NLM_F_REQUEST, 9)
        );
        let Ok(Answer::Object { family, attributes }) = message.answer() else {
            panic!()
        };
        assert_eq!(family, 2);
        assert_eq!(
            (attributes.text(1), attributes.text(3), attributes.text(2)),
            (Some("kube-proxy"), Some("x"), None)
        );
    }

    #[test]
    fn torn_messages_and_attributes_are_errors_and_end_the_list() {
        let mut bytes = request(7, 2, 0, 9, &[(1, "kube-proxy")]);
        bytes[16 + 4] = 200; // the attribute's length
        let message = messages(&bytes).next().unwrap().unwrap();
        let Ok(Answer::Object { attributes, .. }) = message.answer() else {
            panic!()
        };
        assert_eq!(attributes.map(|a| a.is_ok()).collect::<Vec<_>>(), [false]);
        assert_eq!(
            messages(&bytes[..10])
                .map(|m| m.is_ok())
                .collect::<Vec<_>>(),
            [false]
        );
        bytes[0] = 200; // the message's length
        assert_eq!(
            messages(&bytes).map(|m| m.is_ok()).collect::<Vec<_>>(),
            [false]
        );
    }
}
