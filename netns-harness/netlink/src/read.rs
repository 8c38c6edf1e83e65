//! Messages and attributes read, in safe Rust: what is torn is an error, never a guess.

use crate::{HEADER, TYPE_MASK};

/// NLMSG_ERROR and NLMSG_DONE.
const TYPE_ERROR: u16 = 2;
const TYPE_DONE: u16 = 3;

/// A message or attribute that cannot be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Torn;

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The length that a message's header states; 0 where there is no header.
#[must_use]
pub fn message_len(message: &[u8]) -> usize {
    u32_at(message, 0).unwrap_or(0) as usize
}

/// A received message.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    kind: u16,
    /// Flags of its header.
    pub flags: u16,
    /// The sequence number of what it answers.
    pub sequence: u32,
    /// What follows the netlink header.
    body: &'a [u8],
}

/// What a received message is.
#[derive(Debug, Clone, Copy)]
pub enum Answer<'a> {
    /// An acknowledgement (0) or an error number, positive.
    Verdict(i32),
    /// End of a dump; 0 or an error number, positive.
    Done(i32),
    /// An object: the family's own header, and attributes.
    Object(&'a [u8], Attributes<'a>),
}

impl<'a> Message<'a> {
    /// What it is, when the family's own header has `fixed` bytes.
    ///
    /// # Errors
    /// It is too short for that.
    pub fn answer(&self, fixed: usize) -> Result<Answer<'a>, Torn> {
        let number = || {
            let first = self.body.first_chunk::<4>().ok_or(Torn)?;
            Ok(i32::from_ne_bytes(*first).wrapping_neg())
        };
        match self.kind {
            TYPE_ERROR => Ok(Answer::Verdict(number()?)),
            TYPE_DONE => Ok(Answer::Done(number().unwrap_or(0))), // before 4.19 a bare header
            _ => {
                let (header, attributes) = self.body.split_at_checked(fixed).ok_or(Torn)?;
                Ok(Answer::Object(header, Attributes(attributes)))
            }
        }
    }
}

/// The messages in `bytes`; a torn rest ends them with an error.
pub fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Result<Message<'_>, Torn>> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let all = std::mem::take(&mut bytes);
        let whole = || {
            let length = u32_at(all, 0)? as usize;
            let message = Message {
                kind: u16_at(all, 4)?,
                flags: u16_at(all, 6)?,
                sequence: u32_at(all, 8)?,
                body: all.get(HEADER..length)?,
            };
            Some((message, length))
        };
        Some(match whole() {
            Some((message, length)) => {
                bytes = behind(all, length);
                Ok(message)
            }
            None => Err(Torn),
        })
    })
}

/// What follows the first `length` bytes and their padding.
fn behind(bytes: &[u8], length: usize) -> &[u8] {
    bytes.get(length.next_multiple_of(4)..).unwrap_or_default()
}

/// A list of attributes, read as far as it is well formed; a torn rest ends it with an error.
#[derive(Debug, Clone, Copy)]
pub struct Attributes<'a>(pub &'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<Attribute<'a>, Torn>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let bytes = std::mem::take(&mut self.0);
        let whole = || {
            let length = usize::from(u16_at(bytes, 0)?);
            let attribute = Attribute {
                kind: u16_at(bytes, 2)? & TYPE_MASK,
                value: bytes.get(4..length)?,
            };
            Some((attribute, length))
        };
        Some(match whole() {
            Some((attribute, length)) => {
                self.0 = behind(bytes, length);
                Ok(attribute)
            }
            None => Err(Torn),
        })
    }
}

impl<'a> Attributes<'a> {
    /// The first attribute of that type.
    #[must_use]
    pub fn find(self, kind: u16) -> Option<Attribute<'a>> {
        self.filter_map(Result::ok)
            .find(|attribute| attribute.kind == kind)
    }

    /// The value of an attribute that has exactly N bytes.
    #[must_use]
    pub fn exact<const N: usize>(self, kind: u16) -> Option<[u8; N]> {
        self.find(kind)?.value.try_into().ok()
    }

    /// A 16-bit number in the host's order.
    #[must_use]
    pub fn u16(self, kind: u16) -> Option<u16> {
        self.exact(kind).map(u16::from_ne_bytes)
    }

    /// A 32-bit number in the host's order, as all but netfilter write it.
    #[must_use]
    pub fn u32(self, kind: u16) -> Option<u32> {
        self.exact(kind).map(u32::from_ne_bytes)
    }

    /// A 32-bit number in network order, as netfilter writes every number.
    #[must_use]
    pub fn be32(self, kind: u16) -> Option<u32> {
        self.exact(kind).map(u32::from_be_bytes)
    }

    /// A 64-bit number in network order.
    #[must_use]
    pub fn be64(self, kind: u16) -> Option<u64> {
        self.exact(kind).map(u64::from_be_bytes)
    }

    /// A text, without its closing NUL.
    #[must_use]
    pub fn text(self, kind: u16) -> Option<&'a str> {
        let value = self.find(kind)?.value;
        std::str::from_utf8(value.strip_suffix(&[0]).unwrap_or(value)).ok()
    }

    /// A nested list.
    #[must_use]
    pub fn nested(self, kind: u16) -> Option<Self> {
        Some(self.find(kind)?.nested())
    }

    /// Raw bytes.
    #[must_use]
    pub fn bytes(self, kind: u16) -> Option<&'a [u8]> {
        Some(self.find(kind)?.value)
    }
}

/// One attribute.
#[derive(Debug, Clone, Copy)]
pub struct Attribute<'a> {
    /// Its type, without the bits of nesting and byte order.
    pub kind: u16,
    /// Its value.
    pub value: &'a [u8],
}

impl<'a> Attribute<'a> {
    /// The list that it holds.
    #[must_use]
    pub fn nested(self) -> Attributes<'a> {
        Attributes(self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{flags, text, write};

    fn request() -> Vec<u8> {
        let mut bytes = Vec::new();
        write(&mut bytes, 7, flags::DUMP, 9, &[2, 0, 0, 0], |out| {
            text(out, 1, "kube-proxy");
            text(out, 3, "x");
        });
        bytes
    }

    #[test]
    fn a_request_is_read_back_as_what_was_asked() {
        let bytes = request();
        let all: Vec<_> = messages(&bytes).collect();
        let [Ok(message)] = all[..] else {
            panic!("{all:?}")
        };
        assert_eq!(
            (message.flags, message.sequence),
            (flags::DUMP | flags::REQUEST, 9)
        );
        let Ok(Answer::Object(header, attributes)) = message.answer(4) else {
            panic!()
        };
        assert_eq!(header, [2, 0, 0, 0]);
        assert_eq!(
            (attributes.text(1), attributes.text(3), attributes.text(2)),
            (Some("kube-proxy"), Some("x"), None)
        );
    }

    #[test]
    fn torn_messages_and_attributes_are_errors_and_end_the_list() {
        let mut bytes = request();
        bytes[HEADER + 4] = 200; // the attribute's length
        let message = messages(&bytes).next().unwrap().unwrap();
        let Ok(Answer::Object(_, attributes)) = message.answer(4) else {
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

    #[test]
    fn a_refusal_is_a_positive_error_number() {
        let mut bytes = Vec::new();
        let refusal = (-libc::ENOENT).to_ne_bytes();
        write(&mut bytes, TYPE_ERROR, 0, 1, &refusal, |_| {});
        let message = messages(&bytes).next().unwrap().unwrap();
        assert!(matches!(
            message.answer(4),
            Ok(Answer::Verdict(libc::ENOENT))
        ));
    }
}
