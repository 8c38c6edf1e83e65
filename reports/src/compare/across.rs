//! What may differ between the two sides because it is the question: `--across KEY`.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use schema::{CellKey, OptionKey};

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

impl Across {
    /// Every key.
    fn all() -> impl Iterator<Item = Self> {
        [
            Self::Kernel,
            Self::Tools,
            Self::Sysctls,
            Self::Machine,
            Self::Sandbox,
            Self::Variant,
            Self::Mode,
            Self::Services,
            Self::Endpoints,
        ]
        .into_iter()
        .chain(OptionKey::ALL.iter().map(|key| Self::Option(*key)))
    }

    /// The word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Tools => "tools",
            Self::Sysctls => "sysctls",
            Self::Machine => "machine",
            Self::Sandbox => "sandbox",
            Self::Variant => "variant",
            Self::Mode => "mode",
            Self::Services => "services",
            Self::Endpoints => "endpoints",
            Self::Option(key) => key.name(),
        }
    }

    /// Whether it is a matter of the environment, not of the cell.
    pub(crate) const fn is_of_the_environment(self) -> bool {
        matches!(
            self,
            Self::Kernel | Self::Tools | Self::Sysctls | Self::Machine | Self::Sandbox
        )
    }

    /// Whether a differing fact that belongs to `key` is what was asked.
    pub(crate) fn allows(self, key: Self) -> bool {
        self == key || (self == Self::Kernel && key == Self::Sysctls) || self == Self::Variant
    }

    /// What the cell has there; "" where it has nothing.
    pub(crate) fn of(self, key: &CellKey) -> String {
        match self {
            Self::Variant => key.variant.clone(),
            Self::Mode => key.mode.to_string(),
            Self::Services => key.services.to_string(),
            Self::Endpoints => key.endpoints.to_string(),
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
    pub(crate) fn values<'a>(self, keys: impl Iterator<Item = &'a CellKey>) -> Vec<String> {
        let distinct: BTreeSet<String> = keys.map(|key| self.of(key)).collect();
        let mut values: Vec<String> = distinct.into_iter().collect();
        let mode = |value: &str| value.parse::<schema::Mode>().ok();
        values.sort_by_key(|value| (mode(value), parts(value)));
        values
    }
}

/// Text cut into words and numbers.
fn parts(text: &str) -> Vec<(u64, String)> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let digits = first.is_ascii_digit();
        let end = rest
            .find(|c: char| c.is_ascii_digit() != digits)
            .unwrap_or(rest.len());
        let (part, after) = rest.split_at(end);
        parts.push(match part.parse() {
            Ok(number) if digits => (number, String::new()),
            _ => (u64::MAX, part.to_owned()),
        });
        rest = after;
    }
    parts
}

impl fmt::Display for Across {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Across {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::all().find(|key| key.name() == text).ok_or_else(|| {
            let known: Vec<&str> = Self::all().map(Self::name).collect();
            format!("no key '{text}' (known: {})", known.join(", "))
        })
    }
}
