//! A way of programming a mode, the tools that it needs, and how it is named to the process that tries it.

use netns_harness::datapath::{Engine, Transport, registry};
use scenarios::spec::{Setup, StaySpec};
use schema::Mode;
use serde::{Deserialize, Serialize};

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
    /// The case of a stay; `None` when it names something unknown.
    pub(crate) fn of(spec: &StaySpec) -> Option<Self> {
        Self::named(
            spec.mode,
            &spec.transport,
            spec.engine.as_deref(),
            &spec.setup,
        )
    }

    fn named(mode: Mode, transport: &str, engine: Option<&str>, setup: &Setup) -> Option<Self> {
        Some(Self {
            mode,
            transport: Transport::from_name(transport)?,
            engine: match engine {
                Some(name) => Some(Engine::from_name(name)?),
                None => None,
            },
            setup: setup.clone(),
        })
    }

    /// Every case of every mode.
    pub(crate) fn all() -> Vec<Self> {
        let mut cases = Vec::new();
        for &mode in Mode::ALL {
            let engines: Vec<Option<Engine>> = match mode {
                Mode::Ipset => Engine::ALL.into_iter().map(Some).collect(),
                _ => vec![None],
            };
            for &transport in registry(mode).transports() {
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
        tools(self).into_iter().find(|(program, _)| {
            !self.setup.tools.contains_key(*program) && !netns_sys::process::installed(program)
        })
    }

    /// The first tool of its own that another file stands in for, as it was named.
    pub(crate) fn replaced_tool(&self) -> Option<String> {
        let own = tools(self).into_iter();
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
    pub(crate) transport: String,
    /// Engine below its rules.
    #[serde(default)]
    pub(crate) engine: Option<String>,
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
            transport: case.transport.name().to_owned(),
            engine: case.engine.map(|e| e.name().to_owned()),
            setup: case.setup.clone(),
            at,
        }
    }

    /// What is tried; `None` when it names something unknown.
    pub(crate) fn case(&self) -> Option<Case> {
        Case::named(
            self.trial,
            &self.transport,
            self.engine.as_deref(),
            &self.setup,
        )
    }
}

/// A tool that a mode needs: program, Debian package.
pub(crate) type Tool = (&'static str, &'static str);

const LEGACY: &[Tool] = &[
    ("iptables-legacy-restore", "iptables"),
    ("iptables-legacy-save", "iptables"),
    ("iptables-legacy", "iptables"),
];
const NFT_ENGINE: &[Tool] = &[
    ("iptables-nft-restore", "iptables"),
    ("iptables-nft-save", "iptables"),
    ("iptables-nft", "iptables"),
];

/// Tools of a mode as it is programmed.
pub(crate) fn tools(case: &Case) -> Vec<Tool> {
    let rules = match case.mode {
        Mode::Nftables => &[],
        Mode::IptablesNft => NFT_ENGINE,
        Mode::Ipset if case.engine == Some(Engine::Nft) => NFT_ENGINE,
        // The bare floor is proved empty by listing both engines.
        Mode::None | Mode::Conntrack | Mode::IptablesLegacy | Mode::Ipset | Mode::Ipvs => LEGACY,
    };
    let own: &[Tool] = match case.transport {
        Transport::Nft => &[("nft", "nftables")],
        Transport::IpsetRestore => &[("ipset", "ipset")],
        Transport::Ipvsadm => &[("ipvsadm", "ipvsadm"), ("ipset", "ipset")],
        Transport::Exec if case.mode == Mode::Ipvs => &[("ipset", "ipset")],
        Transport::Restore | Transport::Netlink | Transport::Exec => &[],
    };
    [rules, own].concat()
}

/// Every tool that any mode can use, each once.
pub(crate) fn all_tools() -> Vec<Tool> {
    let mut found: Vec<Tool> = Case::all().iter().flat_map(tools).collect();
    let mut seen = std::collections::HashSet::new();
    found.retain(|tool| seen.insert(*tool));
    found
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

    #[test]
    fn the_tools_of_a_case_are_those_of_its_engine_and_of_its_transport() {
        let named = |engine, transport| {
            let case = Case {
                mode: Mode::Ipset,
                transport,
                engine: Some(engine),
                setup: Default::default(),
            };
            tools(&case)
                .into_iter()
                .map(|(program, _)| program)
                .collect::<Vec<_>>()
        };
        let legacy = named(Engine::Legacy, Transport::IpsetRestore);
        assert!(legacy.contains(&"ipset") && legacy.contains(&"iptables-legacy-restore"));
        let nft = named(Engine::Nft, Transport::Netlink);
        assert!(nft.contains(&"iptables-nft-restore") && !nft.contains(&"ipset"));
    }
}
