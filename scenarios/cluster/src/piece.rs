//! One object of a JSON or YAML file, whichever it was written in: the unit in which such files are read.

use serde::Deserialize;
use serde_json::Value;

/// A list whose elements are read one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum List {
    /// `items` of Kubernetes.
    Items,
    /// `nftables` of `nft -j`.
    Nftables,
    /// A list without a name around it, or lines of objects.
    Bare,
}

impl List {
    /// The list that a key of an outermost object holds.
    pub(crate) fn named(key: &str) -> Option<Self> {
        match key {
            "items" => Some(Self::Items),
            "nftables" => Some(Self::Nftables),
            _ => None,
        }
    }
}

/// What an outermost object says of itself before its elements come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct About {
    /// `kind`: `ServiceList`.
    pub(crate) kind: Option<String>,
    /// `apiVersion`.
    pub(crate) api_version: Option<String>,
}

/// The text or the value of an object.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Raw<'a> {
    /// JSON, without blanks.
    Json(&'a [u8]),
    /// Made of YAML: every scalar but an empty one is text.
    Yaml(&'a Value),
}

impl<'a> Raw<'a> {
    /// Reads it as a type.
    pub(crate) fn read<T: Deserialize<'a>>(self) -> Result<T, serde_json::Error> {
        match self {
            Self::Json(text) => serde_json::from_slice(text),
            Self::Yaml(value) => T::deserialize(value),
        }
    }
}

/// An object and where it stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Piece<'a> {
    /// The object; of an outermost one whose list was read element by element the list is empty.
    pub(crate) raw: Raw<'a>,
    /// The line in which it begins.
    pub(crate) line: u64,
    /// The list that it is an element of, with what is around it; `None` for an outermost object.
    pub(crate) within: Option<(List, &'a About)>,
}

/// Why an object or a document is left in the middle.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The file ends in what begins in this line.
    Cut(u64),
    /// What is in this line does not belong there.
    Syntax(u64),
    /// What begins in this line is too large, too deep, or made so by its aliases.
    TooLarge(u64),
    /// Reading ended.
    Fault(crate::input::Fault),
}

impl From<crate::input::Fault> for Broken {
    fn from(fault: crate::input::Fault) -> Self {
        Self::Fault(fault)
    }
}
