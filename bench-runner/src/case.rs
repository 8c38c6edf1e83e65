//! A way of programming a mode, and the tools that it needs.

use netns_harness::datapath::{
    Engine, Implementation, KUBE_PROXY, Tool, Transport, facts, facts_of, laid_out,
};
use netns_sys::tools::SBIN;
use scenarios::spec::{Setup, StaySpec};
use schema::{Family, KubeProxyVersion, Mode, NodeKind, Stack};
use serde::{Deserialize, Serialize};

/// A way of programming a mode: what is tried, and what is unsupported as a whole.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Case {
    /// The mode.
    pub(crate) mode: Mode,
    /// How updates reach the kernel.
    pub(crate) transport: Transport,
    /// Engine below its rules, where either would do.
    #[serde(default)]
    pub(crate) engine: Option<Engine>,
    /// The kube-proxy whose layout it is; none: the newest, or none has the mode.
    #[serde(default)]
    pub(crate) kube_proxy: Option<KubeProxyVersion>,
    /// Family of its services.
    #[serde(default)]
    pub(crate) family: Family,
    /// Whether the node serves that alone.
    #[serde(default)]
    pub(crate) stack: Stack,
    /// Sysctls and tools that were named.
    #[serde(default)]
    pub(crate) setup: Setup,
}

impl Case {
    /// What its node serves.
    pub(crate) const fn node(&self) -> NodeKind {
        NodeKind {
            stack: self.stack,
            family: self.family,
        }
    }

    /// Its datapath, where the rules are ours.
    pub(crate) fn datapath(&self) -> Box<dyn Implementation> {
        let version = self.kube_proxy.unwrap_or_default();
        laid_out(
            self.mode,
            self.engine.unwrap_or_default(),
            version,
            self.node(),
        )
    }

    /// The case of a stay.
    pub(crate) fn of(spec: &StaySpec) -> Self {
        Self {
            mode: spec.mode,
            transport: spec.transport,
            engine: spec.engine,
            kube_proxy: spec.kube_proxy,
            family: spec.family,
            stack: spec.stack,
            setup: spec.setup.clone(),
        }
    }

    /// Every case of every mode on a node of IPv4, but for a real kube-proxy: that is tried where one is named.
    pub(crate) fn all() -> Vec<Self> {
        Self::all_of(Family::Ipv4)
    }

    /// The same on a node of a family.
    pub(crate) fn all_of(family: Family) -> Vec<Self> {
        let mut cases = Vec::new();
        for &mode in Mode::ALL {
            let engines = match facts(mode).engines {
                [] => vec![None],
                engines => engines.iter().copied().map(Some).collect(),
            };
            let tried = |transport: &Transport| *transport != Transport::KubeProxy;
            for transport in facts(mode).transports().filter(tried) {
                cases.extend(engines.iter().map(|&engine| Self {
                    mode,
                    transport,
                    engine,
                    kube_proxy: None,
                    family,
                    stack: Stack::Single,
                    setup: Setup::default(),
                }));
            }
        }
        cases
    }

    /// Tools of the mode as it is programmed, for services of its node's families.
    pub(crate) fn tools(&self) -> Vec<Tool> {
        match self.engine {
            Some(engine) => self.tools_over(engine),
            None if !facts(self.mode).either => self.tools_over(Engine::default()),
            // Those of the other engine only where they are all there, and of the ordinary one not.
            None => {
                let there = |engine: &Engine| {
                    let mut tools = self.tools_over(*engine).into_iter();
                    tools.all(|(program, _)| self.has(program))
                };
                let engine = Engine::ALL.iter().copied().find(there);
                self.tools_over(engine.unwrap_or_default())
            }
        }
    }

    fn tools_over(&self, engine: Engine) -> Vec<Tool> {
        let families = self.node().families().iter();
        let tools =
            families.flat_map(|family| facts_of(self.mode, engine, *family).tools(self.transport));
        tools.collect()
    }

    /// Whether a tool is there, or another stands in for it.
    fn has(&self, program: &str) -> bool {
        self.setup.tools.contains_key(program)
            || match &self.setup.suite {
                Some(suite) => suite.root.join(SBIN).join(program).exists(),
                None => netns_sys::process::installed(program),
            }
    }

    /// The first tool that it needs and that is not installed, with its Debian package.
    pub(crate) fn missing_tool(&self) -> Option<(&'static str, &'static str)> {
        let mut tools = self.tools().into_iter();
        tools.find(|(program, _)| !self.has(program))
    }

    /// The first tool of its own that another file stands in for, as it was named.
    pub(crate) fn replaced_tool(&self) -> Option<String> {
        let mut own = self.tools().into_iter();
        let (name, file) = own.find_map(|(name, _)| self.setup.tools.get_key_value(name))?;
        Some(format!("--tool {name}={}", file.display()))
    }
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({}", self.mode, self.transport)?;
        if let Some(engine) = self.engine {
            write!(f, ", engine {}", engine.name())?;
        }
        let layout = self.kube_proxy.and_then(|v| facts(self.mode).layout(v));
        if let Some(layout) = layout {
            write!(f, ", kube-proxy {layout}")?;
        }
        if !self.node().is_ordinary() {
            write!(f, ", {}", self.node().words())?;
        }
        if let Some(suite) = &self.setup.suite {
            write!(f, ", tools of {}", suite.name)?;
        }
        f.write_str(")")
    }
}

/// Whether a mode that is programmed that way makes sets as kube-proxy's, which hold so many entries.
pub(crate) fn makes_sets(mode: Mode, transport: Transport) -> bool {
    facts(mode).most_entries.is_some() && transport != Transport::KubeProxy
}

/// Whether a file can be named in place of that tool.
pub(crate) fn is_tool(name: &str) -> bool {
    name == KUBE_PROXY.0 || all_tools().iter().any(|(known, _)| *known == name)
}

/// Every installed tool that any mode can use, each once.
pub(crate) fn all_tools() -> Vec<Tool> {
    let cases = Family::ALL.iter().flat_map(|family| Case::all_of(*family));
    let mut found: Vec<Tool> = cases.flat_map(|case| case.tools()).collect();
    let mut seen = std::collections::HashSet::new();
    found.retain(|tool| seen.insert(*tool));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_modes_start_and_load_is_carried_into_guests() {
        for (tool, _) in all_tools() {
            assert!(guest::image::TOOLS.contains(&tool), "{tool}");
        }
        // Without the last two rules are laid out otherwise, and nobody is told why.
        let modules = netns_harness::lab::facility::FACILITIES.iter();
        let modules = modules.map(|facility| facility.module);
        for module in modules.chain(["nfnetlink_acct", "xt_nfacct"]) {
            assert!(
                guest::image::wanted().any(|name| name == module),
                "{module}"
            );
        }
    }

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
                kube_proxy: None,
                family: Family::Ipv4,
                stack: Stack::Single,
                setup: Default::default(),
            };
            case.tools()
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
