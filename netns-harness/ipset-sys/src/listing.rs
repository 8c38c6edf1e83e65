//! What the kernel lists, read from libipset's plain print of it.

use crate::command::Entry;

/// A set as the kernel lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// Its name.
    pub name: String,
    /// Its type, for example `hash:ip,port`.
    pub type_name: String,
    /// `maxelem`; 0 where the type has none.
    pub max_elements: u32,
    /// The kernel's own account of its memory ("Size in memory"), bytes.
    pub memory_bytes: u64,
    /// Rules and sets that refer to it.
    pub references: u32,
    /// All entries, in the order of the listing (that of the hash buckets).
    pub entries: Vec<Entry>,
}
