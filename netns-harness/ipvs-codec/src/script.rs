//! The same operations as input of `ipvsadm -R`, a line each.

use std::fmt::Write as _;

use crate::ops::Op;

/// Input of `ipvsadm -R`.
#[must_use]
pub fn script(ops: &[Op]) -> String {
    let mut text = String::with_capacity(ops.len() * 56);
    for op in ops {
        let _ = writeln!(text, "{op}"); // writing to a String cannot fail
    }
    text
}
