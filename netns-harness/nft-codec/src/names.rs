//! Names and comments, kept with their final NUL so that the encoder hands them to libnftnl as they
//! are, and shared, because every chain's name occurs in several operations.

use std::borrow::Borrow;
use std::ffi::CStr;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// Longest comment, in bytes: what `nft` takes (libnftnl's NFTNL_UDATA_COMMENT_MAXLEN less the NUL).
const COMMENT_MAX: usize = 127;

/// Name of a table, chain, set or map.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Name(Arc<str>);

impl Name {
    /// The name `text`, up to its first NUL: no kernel name can hold one. Whether the kernel or `nft`
    /// takes it is for them to say (at most 255 bytes; `nft` wants letters, digits and `/\_.-`).
    #[must_use]
    pub fn new(text: &str) -> Self {
        let text = text.split('\0').next().unwrap_or_default();
        let mut with_nul = String::with_capacity(text.len() + 1);
        with_nul.push_str(text);
        with_nul.push('\0');
        Self(with_nul.into())
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0[..self.0.len() - 1]
    }

    /// The name as a C string.
    #[must_use]
    pub fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(self.0.as_bytes()).unwrap_or_default()
    }
}

impl From<&str> for Name {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for Name {
    fn from(text: String) -> Self {
        Self::new(&text)
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// Comment of a table, chain, set, element or rule: at most 127 bytes, no double quote and no line
/// break (what the script's grammar can hold). Made from any text by leaving out what does not fit,
/// before either printer sees it, so that both print the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Comment(Name);

impl Comment {
    /// The comment `text`.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut kept: String = text
            .chars()
            .filter(|c| !matches!(c, '"' | '\n' | '\r' | '\0'))
            .collect();
        while kept.len() > COMMENT_MAX {
            kept.pop();
        }
        Self(Name::new(&kept))
    }
}

/// Its text.
impl Deref for Comment {
    type Target = Name;

    fn deref(&self) -> &Name {
        &self.0
    }
}

impl From<&str> for Comment {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl fmt::Display for Comment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_ends_at_its_first_nul_and_looks_itself_up() {
        let name = Name::new("nat-output\0x");
        assert_eq!(name.as_str(), "nat-output");
        assert_eq!(name.as_c_str(), c"nat-output");
        let map = std::collections::BTreeMap::from([(name, 1)]);
        assert_eq!(map.get("nat-output"), Some(&1));
    }

    #[test]
    fn a_comment_keeps_what_the_script_can_hold() {
        assert_eq!(Comment::new("a\"b\nc").as_str(), "abc");
        assert_eq!(Comment::new(&"ü".repeat(100)).as_str().len(), 126);
    }
}
