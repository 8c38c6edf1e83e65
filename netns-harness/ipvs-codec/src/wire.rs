//! Netlink messages and attributes as bytes: written for requests, read for answers
//! (`include/uapi/linux/netlink.h`).

/// The request bit of every message.
pub(crate) const NLM_F_REQUEST: u16 = 1;
/// Answer even if there is no error.
pub(crate) const NLM_F_ACK: u16 = 4;
/// NLM_F_ROOT | NLM_F_MATCH: everything, not one object.
pub(crate) const NLM_F_DUMP: u16 = 0x300;
/// Fail if it is there.
pub(crate) const NLM_F_EXCL: u16 = 0x200;
/// Create what is not there.
pub(crate) const NLM_F_CREATE: u16 = 0x400;
/// NLM_F_DUMP_INTR: the dumped state changed meanwhile.
pub(crate) const NLM_F_DUMP_INTR: u16 = 0x10;

/// `struct nlmsghdr`.
pub(crate) const HEADER: usize = 16;
/// Nested and byte-order bits of an attribute's type.
const TYPE_MASK: u16 = 0x3fff;
const NESTED: u16 = 0x8000;

const TYPE_ERROR: u16 = 2;
const TYPE_DONE: u16 = 3;

/// Appends one message: its header, `fixed` (the family's own header), and what `attributes` appends.
pub(crate) fn message(
    out: &mut Vec<u8>,
    kind: u16,
    flags: u16,
    sequence: u32,
    fixed: &[u8],
    attributes: impl FnOnce(&mut Vec<u8>),
) {
    let start = out.len();
    out.extend([0; 4]);
    out.extend(kind.to_ne_bytes());
    out.extend((NLM_F_REQUEST | flags).to_ne_bytes());
    out.extend(sequence.to_ne_bytes());
    out.extend([0; 4]); // port: the kernel fills it in
    out.extend(fixed);
    attributes(out);
    let length = (out.len() - start) as u32;
    out[start..start + 4].copy_from_slice(&length.to_ne_bytes());
}

/// Appends an attribute.
pub(crate) fn attribute(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    out.extend((4 + value.len() as u16).to_ne_bytes());
    out.extend(kind.to_ne_bytes());
    out.extend(value);
    out.resize(out.len().next_multiple_of(4), 0);
}

/// Appends a text attribute, with its closing NUL.
pub(crate) fn text(out: &mut Vec<u8>, kind: u16, value: &str) {
    attribute(out, kind, &[value.as_bytes(), &[0]].concat());
}

/// Appends a nest of attributes.
pub(crate) fn nest(out: &mut Vec<u8>, kind: u16, inner: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend([0; 2]);
    out.extend((NESTED | kind).to_ne_bytes());
    inner(out);
    let length = (out.len() - start) as u16;
    out[start..start + 2].copy_from_slice(&length.to_ne_bytes());
}

/// Replaces the type of a message, which begins at `at`.
pub(crate) fn set_kind(bytes: &mut [u8], at: usize, kind: u16) {
    bytes[at + 4..at + 6].copy_from_slice(&kind.to_ne_bytes());
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
    pub(crate) body: &'a [u8],
}

/// What a received message is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Answer<'a> {
    /// An acknowledgement (0) or an error number, positive.
    Verdict(i32),
    /// End of a dump; 0 or an error number, positive.
    Done(i32),
    /// An object: the family's own header, and attributes.
    Object(&'a [u8], Attributes<'a>),
}

impl<'a> Message<'a> {
    /// What it is, when the family's own header has `fixed` bytes.
    pub(crate) fn answer(&self, fixed: usize) -> Result<Answer<'a>, Torn> {
        let number = || {
            let first = self.body.first_chunk::<4>().ok_or(Torn)?;
            Ok(i32::from_ne_bytes(*first).wrapping_neg())
        };
        match self.kind {
            TYPE_ERROR => Ok(Answer::Verdict(number()?)),
            TYPE_DONE => Ok(Answer::Done(number().unwrap_or(0))),
            _ => {
                let (header, attributes) = self.body.split_at_checked(fixed).ok_or(Torn)?;
                Ok(Answer::Object(header, Attributes(attributes)))
            }
        }
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The messages in `bytes`; a torn rest ends them with an error.
pub(crate) fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Result<Message<'_>, Torn>> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let all = std::mem::take(&mut bytes);
        let whole = || {
            let length = u32_at(all, 0)? as usize;
            let body = all.get(HEADER..length)?;
            let rest = all.get(length.next_multiple_of(4)..).unwrap_or_default();
            let message = Message {
                kind: u16_at(all, 4)?,
                flags: u16_at(all, 6)?,
                sequence: u32_at(all, 8)?,
                body,
            };
            Some((message, rest))
        };
        match whole() {
            Some((message, rest)) => {
                bytes = rest;
                Some(Ok(message))
            }
            None => Some(Err(Torn)),
        }
    })
}

/// A list of attributes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attributes<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<(u16, &'a [u8]), Torn>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let bytes = std::mem::take(&mut self.0);
        let whole = || {
            let length = usize::from(u16_at(bytes, 0)?);
            let kind = u16_at(bytes, 2)? & TYPE_MASK;
            let value = bytes.get(4..length)?;
            let rest = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
            Some((kind, value, rest))
        };
        match whole() {
            Some((kind, value, rest)) => {
                self.0 = rest;
                Some(Ok((kind, value)))
            }
            None => Some(Err(Torn)),
        }
    }
}

impl<'a> Attributes<'a> {
    /// The value of the attribute of that type; `Ok(None)` when there is none.
    pub(crate) fn find(self, kind: u16) -> Result<Option<&'a [u8]>, Torn> {
        for attribute in self {
            let (found, value) = attribute?;
            if found == kind {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// The value of an attribute that must be there, with exactly N bytes.
    pub(crate) fn exact<const N: usize>(self, kind: u16) -> Result<[u8; N], Torn> {
        let value = self.find(kind)?.ok_or(Torn)?;
        value.try_into().map_err(|_| Torn)
    }

    /// A 32-bit number, which must be there.
    pub(crate) fn u32(self, kind: u16) -> Result<u32, Torn> {
        Ok(u32::from_ne_bytes(self.exact(kind)?))
    }

    /// A 16-bit number, which must be there.
    pub(crate) fn u16(self, kind: u16) -> Result<u16, Torn> {
        Ok(u16::from_ne_bytes(self.exact(kind)?))
    }

    /// A text without its closing NUL, which must be there.
    pub(crate) fn text(self, kind: u16) -> Result<&'a str, Torn> {
        let value = self.find(kind)?.ok_or(Torn)?;
        std::str::from_utf8(value.strip_suffix(&[0]).unwrap_or(value)).map_err(|_| Torn)
    }

    /// A nested list.
    pub(crate) fn nested(self, kind: u16) -> Result<Option<Self>, Torn> {
        Ok(self.find(kind)?.map(Attributes))
    }
}
