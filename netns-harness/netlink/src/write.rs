//! Messages and attributes written, one behind the other.

use crate::{HEADER, NESTED, flags};

/// Appends one message: its header, `fixed` (the family's own header), and what `attributes` appends.
pub fn write(
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
    out.extend((flags::REQUEST | flags).to_ne_bytes());
    out.extend(sequence.to_ne_bytes());
    out.extend([0; HEADER - 12]); // port: the kernel fills it in
    out.extend(fixed);
    attributes(out);
    let length = u32::try_from(out.len() - start).unwrap_or(u32::MAX);
    out[start..start + 4].copy_from_slice(&length.to_ne_bytes());
}

/// Appends an attribute.
pub fn attribute(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    out.extend(length(4 + value.len()));
    out.extend(kind.to_ne_bytes());
    out.extend(value);
    out.resize(out.len().next_multiple_of(4), 0);
}

/// Appends a text attribute, with its closing NUL.
pub fn text(out: &mut Vec<u8>, kind: u16, value: &str) {
    out.extend(length(4 + value.len() + 1));
    out.extend(kind.to_ne_bytes());
    out.extend(value.as_bytes());
    out.push(0);
    out.resize(out.len().next_multiple_of(4), 0);
}

/// Appends a nest of attributes.
pub fn nest(out: &mut Vec<u8>, kind: u16, inner: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend([0; 2]);
    out.extend((NESTED | kind).to_ne_bytes());
    inner(out);
    let length = length(out.len() - start);
    out[start..start + 2].copy_from_slice(&length);
}

/// An attribute's length. One that is too long is stated as too long, which the kernel refuses.
fn length(bytes: usize) -> [u8; 2] {
    u16::try_from(bytes).unwrap_or(u16::MAX).to_ne_bytes()
}

/// Replaces the type of a message, which begins at `at`.
pub fn set_kind(bytes: &mut [u8], at: usize, kind: u16) {
    bytes[at + 4..at + 6].copy_from_slice(&kind.to_ne_bytes());
}

/// Replaces the flags in a message's header.
pub fn set_flags(message: &mut [u8], flags: u16) {
    message[6..8].copy_from_slice(&flags.to_ne_bytes());
}

/// Adds flags to those in a message's header.
pub fn add_flags(message: &mut [u8], flags: u16) {
    let there = u16::from_ne_bytes([message[6], message[7]]);
    set_flags(message, there | flags);
}
