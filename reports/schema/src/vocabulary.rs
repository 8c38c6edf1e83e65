//! How a closed vocabulary is declared: one name, one row a value.

/// A name that is not in a closed vocabulary.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no {kind} '{name}'{} (known: {})", self.nearest(), known.join(", "))]
pub struct UnknownName {
    /// Which vocabulary: "mode", "scenario", …
    pub kind: &'static str,
    /// What was given.
    pub name: String,
    /// Every name of the vocabulary.
    pub known: Vec<&'static str>,
}

impl UnknownName {
    /// "; did you mean 'nftables'?": the nearest name, where it is near.
    fn nearest(&self) -> String {
        let distance = |name: &&str| strsim::damerau_levenshtein(&self.name, name);
        let nearest = self.known.iter().map(|name| (distance(name), name)).min();
        let near = nearest.filter(|(distance, name)| *distance <= name.len() / 2);
        near.map_or_else(String::new, |(_, name)| format!("; did you mean '{name}'?"))
    }
}

/// Declares an enum whose values have names, and with `of ROW` what else is known of each: `VARIANT = "name" { fields }`.
macro_rules! vocabulary {
    ($(#[$meta:meta])* $name:ident, $kind:literal, of $row:ident, {
        $($(#[doc = $doc:literal])+ $variant:ident = $text:literal { $($fields:tt)* }),+ $(,)?
    }) => {
        vocabulary! { $(#[$meta])* $name, $kind, { $($(#[doc = $doc])+ $variant = $text),+ } }
        impl $name {
            /// What is known of it.
            #[must_use]
            pub const fn row(self) -> &'static $row {
                const ROWS: &[$row] = &[$($row { $($fields)* }),+];
                &ROWS[self as usize]
            }
        }
    };
    ($(#[$meta:meta])* $name:ident, $kind:literal, {
        $($(#[doc = $doc:literal])+ $variant:ident = $text:literal),+ $(,)?
    }) => {
        $(#[$meta])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash,
            serde::Serialize, serde::Deserialize, schemars::JsonSchema,
        )]
        pub enum $name {
            $($(#[doc = $doc])+ #[serde(rename = $text)] $variant),+
        }
        impl $name {
            /// Every value, in the fixed order that tables and charts use.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name used in options, JSON and charts.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            /// What it means, as it is documented.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),+).trim_ascii_start()),+ }
            }

            /// Lines of the glossary: what kind of word, the word, what it means.
            #[must_use]
            pub fn glossary() -> Vec<[&'static str; 3]> {
                Self::ALL.iter().map(|word| [$kind, word.name(), word.meaning()]).collect()
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.pad(self.name()) }
        }
        impl std::str::FromStr for $name {
            type Err = crate::UnknownName;
            fn from_str(text: &str) -> Result<Self, crate::UnknownName> {
                Self::ALL.iter().copied().find(|v| v.name() == text).ok_or_else(|| crate::UnknownName {
                    kind: $kind,
                    name: text.to_owned(),
                    known: Self::ALL.iter().map(|v| v.name()).collect(),
                })
            }
        }
    };
}
pub(crate) use vocabulary;
