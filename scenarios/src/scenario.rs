//! What a scenario is: which cells it has, and how one of them is measured.

use std::sync::Arc;

use netns_harness::datapath::{Engine, LARGE_CLUSTER, Transport, facts};
use schema::{
    KubeProxyVersion, Mix, OptionKey, Options, Position, Protocol, ReachedBy, ScenarioKind, Topic,
};

use crate::chosen::Chosen;
use crate::cost::Asked;
use crate::error::Result;
use crate::imported::Imported;
use crate::recorder::Recorder;
use crate::stay::Stay;

/// What the user asked for, as far as scenarios need it.
#[derive(Debug, Clone)]
pub struct Request {
    /// Positions of the service asked.
    pub positions: Vec<Position>,
    /// Protocols.
    pub protocols: Vec<Protocol>,
    /// Transports; empty: the ordinary one of each mode.
    pub transports: Vec<Transport>,
    /// Engines below modes that can use either.
    pub engines: Vec<Engine>,
    /// What scenarios alone read.
    pub chosen: Chosen,
    /// What the services are.
    pub mix: Mix,
    /// Services as those of a cluster, in place of what the mix says.
    pub imported: Option<Arc<Imported>>,
    /// Layout without comments at endpoints.
    pub large_cluster: LargeCluster,
    /// Versions of kube-proxy that were named.
    pub kube_proxy: Vec<KubeProxyVersion>,
    /// Flows of a first-packet cell.
    pub flows: u32,
    /// Whether everything takes many times longer here.
    pub brief: bool,
    /// Whether time is executed instructions here.
    pub counted: bool,
    /// The largest size of the run.
    pub largest: u32,
}

impl Request {
    /// By which addresses services of a protocol are asked.
    #[must_use]
    pub fn asked_by(&self, protocol: Protocol) -> Vec<ReachedBy> {
        match &self.imported {
            Some(imported) => imported.asked_by(protocol),
            None => self.mix.asked_by().into_iter().collect(),
        }
    }

    /// How many services have more endpoints than that.
    #[must_use]
    pub fn with_more_than(&self, endpoints: u32, asked: Asked) -> u32 {
        match &self.imported {
            Some(imported) => imported.with_more_than(endpoints),
            None if asked.endpoints > endpoints => asked.services,
            None => 0,
        }
    }
}

#[cfg(test)]
impl Request {
    /// One that names nothing.
    pub(crate) fn of_tests() -> Self {
        Self {
            positions: Vec::new(),
            protocols: Vec::new(),
            transports: Vec::new(),
            engines: Vec::new(),
            chosen: Chosen::default(),
            mix: Mix::default(),
            imported: None,
            large_cluster: LargeCluster::Auto,
            kube_proxy: Vec::new(),
            flows: 100,
            brief: false,
            counted: false,
            largest: 1_000,
        }
    }
}

/// When rules have kube-proxy's layout of large clusters, without comments at endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LargeCluster {
    /// As kube-proxy: with more than 1,000 endpoints.
    Auto,
    /// At every size.
    On,
    /// At no size.
    Off,
}

impl LargeCluster {
    /// The same where services have so many endpoints in all, which are not equally many each.
    #[must_use]
    pub fn of(self, endpoints: u32) -> Self {
        match self {
            Self::Auto if endpoints as usize > LARGE_CLUSTER => Self::On,
            Self::Auto => Self::Off,
            named => named,
        }
    }

    /// Whether so many services of so many endpoints have it.
    #[must_use]
    pub fn at(self, services: u32, endpoints: u32) -> bool {
        match self {
            Self::Auto => u64::from(services) * u64::from(endpoints) > LARGE_CLUSTER as u64,
            Self::On => true,
            Self::Off => false,
        }
    }
}

/// What kind of stay a scenario's cells need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// The population, installed and proved; cells of other scenarios may be asked in the same stay.
    Served,
    /// The population, installed and proved, for one cell: it does not leave it as it was.
    Alone,
    /// An untouched lab, for one cell: it installs the population itself.
    Empty,
}

/// A question, and how it is answered. Its words are in its row, [`schema::ScenarioRow`].
pub trait Scenario: Sync {
    /// Its name.
    fn kind(&self) -> ScenarioKind;

    /// What its cells need.
    fn needs(&self) -> Needs {
        Needs::Served
    }

    /// Whether it asks of services: what does not is asked once of a mode and a way of programming it, whatever services there are.
    fn is_of_services(&self) -> bool {
        self.kind().row().topic != Topic::Lists
    }

    /// Why its cells are unsupported without root of the initial user namespace; `None` when they can be
    /// measured in a user namespace of one's own.
    fn needs_root(&self) -> Option<&'static str> {
        None
    }

    /// The options of its cell; by default those of every cell that writes rules.
    fn options(&self, asked: Asked, request: &Request) -> Options {
        rule_options(asked, request)
    }

    /// Its cells, none where the question makes no sense. By default one, with its [`Scenario::options`], for each
    /// mode that has a control plane.
    fn cells(&self, asked: Asked, request: &Request) -> Vec<Options> {
        let one = (!asked.mode.is_floor()).then(|| self.options(asked, request));
        one.into_iter().collect()
    }

    /// How long a cell is expected to take, nanoseconds; for the plan printed before the run.
    fn expected_ns(&self, asked: Asked, options: &Options, request: &Request) -> u64;

    /// Measures one cell.
    ///
    /// # Errors
    /// A check or an operation failed: the cell has no numbers.
    fn run(&self, stay: &mut Stay<'_>, options: &Options, recorder: &mut Recorder) -> Result;
}

/// Options of every cell that writes rules.
pub(crate) fn rule_options(asked: Asked, request: &Request) -> Options {
    let mut options = Options::from([(OptionKey::Transport, asked.transport.name())]);
    layout_options(&mut options, asked, request.large_cluster);
    options
}

/// Notes the layout of the rules that packets pass, where a mode has two.
pub fn layout_options(options: &mut Options, asked: Asked, large_cluster: LargeCluster) {
    if facts(asked.mode).comments {
        let large = large_cluster.at(asked.services, asked.endpoints);
        options.set(OptionKey::LargeCluster, if large { "on" } else { "off" });
    }
}
