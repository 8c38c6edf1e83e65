//! What a first packet meets: the position of its service in population order, where a list is walked from the front;
//! and whether caches hold what it walks.

use std::fmt;

use netns_harness::service::{Population, Service};
use schema::Protocol;

/// Which service of the population is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Position {
    /// The first in the list.
    First,
    /// The one in the middle.
    Middle,
    /// The last.
    Last,
    /// A random one for every flow.
    Uniform,
}

impl Position {
    /// Every position.
    pub const ALL: [Self; 4] = [Self::First, Self::Middle, Self::Last, Self::Uniform];

    /// The name in options.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Middle => "middle",
            Self::Last => "last",
            Self::Uniform => "uniform",
        }
    }

    /// The position of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|p| p.name() == name)
    }

    /// The services of `protocol` at this position: one, or all for [`Self::Uniform`].
    #[must_use]
    pub fn services(self, population: &Population, protocol: Protocol) -> Vec<&Service> {
        let all: Vec<&Service> = population
            .services
            .iter()
            .filter(|s| s.frontend.protocol == protocol)
            .collect();
        let one = |i: usize| all.get(i).copied().into_iter().collect();
        match self {
            Self::First => one(0),
            Self::Middle => one(all.len() / 2),
            Self::Last => one(all.len().saturating_sub(1)),
            Self::Uniform => all,
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Whether caches hold what a flow walks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Cache {
    /// The flow before walked it a moment ago.
    #[default]
    Warm,
    /// They were emptied, untimed: what a node with other work pays.
    Cold,
}

impl Cache {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Warm, Self::Cold];

    /// The name in options.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Warm => "warm",
            Self::Cold => "cold",
        }
    }

    /// The state of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.name() == name)
    }
}
