//! A way of programming a mode, and how it is named to the process that tries it.

use netns_harness::datapath::{Engine, Transport, facts};
use scenarios::spec::{Setup, StaySpec};
use schema::Mode;
use serde::{Deserialize, Serialize};

use crate::environment;

/// A way of programming a mode: what is tried, and what is unsupported as a whole.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Case {
    /// The mode.
    pub(crate) mode: Mode,
    /// How updates reach the kernel.
    pub(crate) transport: Transport,
    /// Engine below its rules, where either would do.
    pub(crate) engine: Option<Engine>,
    /// Sysctls and tools that were named.
    pub(crate) setup: Setup,
}

impl Case {
    /// The case of a stay.
    pub(crate) fn of(spec: &StaySpec) -> Self {
        Self {
            mode: spec.mode,
            transport: spec.transport,
            engine: spec.engine,
            setup: spec.setup.clone(),
        }
    }

    /// Every case of every mode.
    pub(crate) fn all() -> Vec<Self> {
        let mut cases = Vec::new();
        for &mode in Mode::ALL {
            let engines = match facts(mode).engines {
                [] => vec![None],
                engines => engines.iter().copied().map(Some).collect(),
            };
            for transport in facts(mode).transports() {
                cases.extend(engines.iter().map(|&engine| Self {
                    mode,
                    transport,
                    engine,
                    setup: Setup::default(),
                }));
            }
        }
        cases
    }

    /// The first tool that it needs and that is not installed, with its Debian package.
    pub(crate) fn missing_tool(&self) -> Option<(&'static str, &'static str)> {
        environment::tools(self).into_iter().find(|(program, _)| {
            !self.setup.tools.contains_key(*program) && !netns_sys::process::installed(program)
        })
    }

    /// The first tool of its own that another file stands in for, as it was named.
    pub(super) fn replaced_tool(&self) -> Option<String> {
        let own = environment::tools(self).into_iter();
        let named = own.filter_map(|(name, _)| Some((name, self.setup.tools.get(name)?)));
        named
            .map(|(name, file)| format!("--tool {name}={}", file.display()))
            .next()
    }
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({}", self.mode, self.transport)?;
        if let Some(engine) = self.engine {
            write!(f, ", engine {}", engine.name())?;
        }
        f.write_str(")")
    }
}

/// What a trial is asked, on the standard input of `cell`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrialOf {
    /// The mode.
    pub(crate) trial: Mode,
    /// How it is programmed.
    pub(crate) transport: Transport,
    /// Engine below its rules.
    #[serde(default)]
    pub(crate) engine: Option<Engine>,
    /// Sysctls and tools that were named.
    #[serde(default)]
    pub(crate) setup: Setup,
    /// Services and endpoints of each with which to try; a tiny population when there is none.
    #[serde(default)]
    pub(crate) at: Option<(u32, u32)>,
}

impl TrialOf {
    /// The trial of a case, with `at` (services, endpoints of each).
    pub(crate) fn of(case: &Case, at: Option<(u32, u32)>) -> Self {
        Self {
            trial: case.mode,
            transport: case.transport,
            engine: case.engine,
            setup: case.setup.clone(),
            at,
        }
    }

    /// What is tried.
    pub(crate) fn case(&self) -> Case {
        Case {
            mode: self.trial,
            transport: self.transport,
            engine: self.engine,
            setup: self.setup.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mode_has_a_case_and_only_ipset_has_one_for_each_engine() {
        let cases = Case::all();
        for &mode in Mode::ALL {
            assert!(cases.iter().any(|c| c.mode == mode), "{mode}");
        }
        assert!(
            cases
                .iter()
                .all(|c| c.engine.is_some() == (c.mode == Mode::Ipset))
        );
    }
}
