//! What may differ between the two sides because it is the question: `--across KEY`.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use schema::{CellKey, OptionKey};

use super::digest::CellDigest;

/// A KEY of `--across`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Across {
    /// The kernel, with what it brings: configuration, mitigations, sysctls.
    Kernel,
    /// Versions of tools and libraries.
    Tools,
    /// Sysctls of the lab.
    Sysctls,
    /// Processor, cores, memory, clock, pinning.
    Machine,
    /// The host's namespaces or a guest, and what executes it.
    Sandbox,
    /// bench-runner itself, whose own instructions are among those that are counted.
    Runner,
    /// Sides of an A/B run.
    Variant,
    /// Mode.
    Mode,
    /// N.
    Services,
    /// E.
    Endpoints,
    /// An option of the cells, by its name.
    Option(OptionKey),
}

/// The words of those that are no options.
const WORDS: [(Across, &str); 10] = [
    (Across::Kernel, "kernel"),
    (Across::Tools, "tools"),
    (Across::Sysctls, "sysctls"),
    (Across::Machine, "machine"),
    (Across::Sandbox, "sandbox"),
    (Across::Runner, "runner"),
    (Across::Variant, "variant"),
    (Across::Mode, "mode"),
    (Across::Services, "services"),
    (Across::Endpoints, "endpoints"),
];

impl Across {
    /// Every key with its word.
    fn all() -> impl Iterator<Item = (Self, &'static str)> {
        let options = OptionKey::ALL.iter();
        let options = options.map(|key| (Self::Option(*key), key.name()));
        WORDS.into_iter().chain(options)
    }

    /// The word.
    #[must_use]
    pub fn name(self) -> &'static str {
        let mut all = Self::all();
        all.find(|(key, _)| *key == self)
            .map_or("", |(_, word)| word)
    }

    /// Whether it is a matter of the environment, not of the cell.
    pub(crate) const fn is_of_the_environment(self) -> bool {
        matches!(
            self,
            Self::Kernel
                | Self::Tools
                | Self::Sysctls
                | Self::Machine
                | Self::Sandbox
                | Self::Runner
        )
    }

    /// Whether a differing fact that belongs to `key` is what was asked.
    pub(crate) fn allows(self, key: Self) -> bool {
        self == key || (self == Self::Kernel && key == Self::Sysctls) || self == Self::Variant
    }

    /// What the cell has there; "" where it has nothing. A node of IPv4 alone says neither, and is one all the same.
    pub(crate) fn of(self, key: &CellKey) -> String {
        match self {
            Self::Variant => key.variant.clone(),
            Self::Mode => key.mode.to_string(),
            Self::Services => key.services.to_string(),
            Self::Endpoints => key.endpoints.to_string(),
            Self::Option(OptionKey::Family) => key.options.node().family.to_string(),
            Self::Option(OptionKey::Stack) => key.options.node().stack.to_string(),
            Self::Option(name) => key.options.get(name).unwrap_or_default().to_owned(),
            _ => key.environment.clone(),
        }
    }

    /// Takes it out of a cell's identity.
    pub(crate) fn blank(self, key: &mut CellKey) {
        match self {
            Self::Variant => key.variant.clear(),
            Self::Mode => key.mode = schema::Mode::BARE,
            Self::Services => key.services = 0,
            Self::Endpoints => key.endpoints = 0,
            Self::Option(name) => key.options.remove(name),
            _ => key.environment.clear(),
        }
    }

    /// The values that cells have, in the order of numbers where they hold numbers ("guest-6.9" before
    /// "guest-6.12").
    pub(super) fn values_of<'a>(self, cells: impl Iterator<Item = &'a CellDigest>) -> Vec<String> {
        let distinct: BTreeSet<String> = cells.map(|cell| self.of(&cell.key)).collect();
        let mut values: Vec<String> = distinct.into_iter().collect();
        values.retain(|value| !value.is_empty());
        let mode = |value: &str| value.parse::<schema::Mode>().ok();
        values.sort_by_key(|value| (mode(value), parts(value)));
        values
    }
}

/// Text cut into words and numbers.
fn parts(text: &str) -> Vec<(u64, String)> {
    let letters: Vec<char> = text.chars().collect();
    let parts = letters.chunk_by(|a, b| a.is_ascii_digit() == b.is_ascii_digit());
    let parts = parts.map(|part| part.iter().collect::<String>());
    parts
        .map(|part| (part.parse().unwrap_or(u64::MAX), part))
        .collect()
}

impl fmt::Display for Across {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Across {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::all().find(|(_, word)| *word == text);
        found.map(|(key, _)| key).ok_or_else(|| {
            let known: Vec<&str> = Self::all().map(|(_, word)| word).collect();
            format!("no key '{text}' (known: {})", known.join(", "))
        })
    }
}
