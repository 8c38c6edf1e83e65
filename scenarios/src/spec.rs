//! The words between the runner and a stay's process: a specification on its standard input, events on
//! its standard output, one JSON object a line.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use netns_harness::datapath::RenderOptions;
use schema::{
    Damage, Engine, Family, KubeProxyVersion, Mix, Mode, NodeKind, Options, Outcome, Protocol,
    ScenarioKind, Series, Stack, Stage, Transport,
};
use serde::{Deserialize, Serialize};

use crate::cost::Asked;
use crate::imported::Imported;
use crate::population::Recipe;

/// What a stay is to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StaySpec {
    /// Number in the run.
    pub stay: u32,
    /// Repetition block.
    pub block: u32,
    /// Where it is carried out, by the name in the header; nothing that a stay does depends on it.
    #[serde(default)]
    pub environment: String,
    /// What answers packets.
    pub mode: Mode,
    /// Services, N.
    pub services: u32,
    /// Endpoints of each service, E.
    pub endpoints: u32,
    /// `""`, `"control"`, or the name of a variant.
    #[serde(default)]
    pub variant: String,
    /// Seed of the population and of probes.
    pub seed: u64,
    /// Protocols of the population, taken in turn.
    pub protocols: Vec<Protocol>,
    /// Family of the services that are changed and asked.
    #[serde(default, skip_serializing_if = "is_ordinary")]
    pub family: Family,
    /// Whether the node serves that family alone, or both: then the services have an address of each, and the rules of
    /// the other family lie there, untouched, whatever is asked.
    #[serde(default, skip_serializing_if = "is_ordinary")]
    pub stack: Stack,
    /// VIPs so far apart: see `Recipe`.
    #[serde(default)]
    pub vip_stride: Option<u32>,
    /// What its services are.
    #[serde(default, skip_serializing_if = "is_ordinary")]
    pub mix: Mix,
    /// Services as those of a cluster, in place of what endpoints, protocols and mix say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported: Option<Arc<Imported>>,
    /// How updates reach the kernel.
    pub transport: Transport,
    /// With transport kube-proxy: the least time between two of its syncs, milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_sync_period_ms: Option<u32>,
    /// Engine below the mode's iptables rules, where either would do.
    #[serde(default)]
    pub engine: Option<Engine>,
    /// The kube-proxy whose layout it is; none where kube-proxy has no such mode, or a real one writes the rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kube_proxy: Option<KubeProxyVersion>,
    /// kube-proxy's large-cluster layout.
    pub large_cluster: bool,
    /// Whether sets have room for more entries than kube-proxy makes them for.
    #[serde(default, skip_serializing_if = "is_ordinary")]
    pub raised: bool,
    /// Flows of a first-packet cell.
    pub flows: u32,
    /// Whether everything takes many times longer here: then a stay installs once where it would thrice.
    #[serde(default)]
    pub brief: bool,
    /// Whether time is executed instructions here: repeating an act shows little that is new, so fewer are made.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub counted: bool,
    /// Break the datapath after it was installed.
    #[serde(default)]
    pub damage: Option<Damage>,
    /// Rules that match nothing, put before the mode's nat rules while first packets are measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plant: Option<u32>,
    /// What is not as it ordinarily is.
    #[serde(default, skip_serializing_if = "Setup::is_ordinary")]
    pub setup: Setup,
    /// Cells, in the order in which they are run. A cold-install that others follow leaves its services to them.
    pub cells: Vec<CellSpec>,
}

/// Whether a value goes without saying.
fn is_ordinary<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl StaySpec {
    /// What its node serves.
    #[must_use]
    pub const fn node(&self) -> NodeKind {
        NodeKind {
            stack: self.stack,
            family: self.family,
        }
    }

    /// Whether a cold-install comes first and leaves its services to the cells after it.
    #[must_use]
    pub fn is_joined(&self) -> bool {
        let installs = |cell: &CellSpec| cell.scenario == ScenarioKind::ColdInstall;
        self.cells.len() > 1 && self.cells.first().is_some_and(installs)
    }

    /// How its services are made.
    pub(crate) fn recipe(&self) -> Recipe<'_> {
        self.recipe_of(self.family)
    }

    /// How those of a family are made: the same services, each with an address of that family.
    pub(crate) fn recipe_of(&self, family: Family) -> Recipe<'_> {
        Recipe {
            family,
            seed: self.seed,
            endpoints: self.endpoints,
            protocols: &self.protocols,
            vip_stride: self.vip_stride,
            types: self.mix.cycle(),
            imported: self.imported.as_deref(),
        }
    }

    /// How its rules are laid out and sent, whatever is asked of them.
    #[must_use]
    pub const fn rendered(&self) -> RenderOptions {
        RenderOptions {
            large_cluster: self.large_cluster,
            raised: self.raised,
            ..RenderOptions::by(self.transport)
        }
    }

    /// What its scenarios are asked of.
    #[must_use]
    pub const fn asked(&self) -> Asked {
        Asked {
            mode: self.mode,
            transport: self.transport,
            services: self.services,
            endpoints: self.endpoints,
            counted: false,
        }
    }
}

/// Sysctls and tools that were named for a stay.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setup {
    /// Pinned in each of the lab's namespaces, beside those of every lab: name, value.
    #[serde(default)]
    pub sysctls: BTreeMap<String, String>,
    /// Started in place of tools: the tool's name, the file.
    #[serde(default)]
    pub tools: BTreeMap<String, PathBuf>,
    /// Whose tools are mounted over the system's own; none: they are the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suite: Option<Suite>,
}

/// The tools of another suite of the distribution.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suite {
    /// Its name.
    pub name: String,
    /// The folder below which they are, with their libraries.
    pub root: PathBuf,
}

impl Setup {
    /// Whether nothing was named.
    #[must_use]
    pub fn is_ordinary(&self) -> bool {
        self.sysctls.is_empty() && self.tools.is_empty() && self.suite.is_none()
    }
}

/// One cell of a stay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CellSpec {
    /// Number in the run.
    pub id: u64,
    /// What is asked.
    pub scenario: ScenarioKind,
    /// How.
    pub options: Options,
}

/// What a stay says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// What `-vv` tells of it: never while a clock runs.
    Told {
        /// A line.
        line: String,
    },
    /// A cell's time runs.
    Started {
        /// Its number.
        cell: u64,
    },
    /// A timed act of the running cell begins (`true`) or has ended (`false`): if the time limit passes
    /// inside one, the time since its beginning is a lower bound of it.
    Act {
        /// Whether it begins.
        begins: bool,
    },
    /// An act that is timed as another metric than the cell's first begins or has ended: how long it took before the
    /// limit passed bounds nothing that is asked first.
    OtherAct {
        /// Whether it begins.
        begins: bool,
    },
    /// A cell has its outcome.
    Ended(CellOutcome),
    /// No further cell of this stay can have numbers.
    Failed {
        /// Where it failed.
        stage: Stage,
        /// What was seen.
        reason: String,
    },
    /// Everything was removed, and was seen to be.
    Closed,
}

/// Outcome of a cell, with its samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CellOutcome {
    /// Its number.
    pub cell: u64,
    /// What became of it.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// Samples; empty unless measured.
    pub series: Vec<Series>,
    /// What was checked and seen.
    pub facts: BTreeMap<String, String>,
    /// How long it took, nanoseconds.
    pub elapsed_ns: u64,
    /// Time stolen by the hypervisor meanwhile, nanoseconds; none where that is not known.
    pub steal_ns: Option<u64>,
    /// As in the record of a cell.
    #[serde(default)]
    pub run_delay_ns: Option<u64>,
}
