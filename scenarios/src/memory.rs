//! `memory`: what N services hold of the kernel's memory.

use netns_harness::datapath::Transport;
use schema::{Mode, Options, ScenarioKind, Stage};

use crate::cost::Size;
use crate::recorder::Recorder;
use crate::scenario::{CellError, Needs, Request, Scenario};
use crate::stay::Stay;

/// The scenario.
#[derive(Debug)]
pub(crate) struct Memory;

impl Scenario for Memory {
    fn kind(&self) -> ScenarioKind {
        ScenarioKind::Memory
    }

    fn question(&self) -> &'static str {
        "How much kernel memory do N services hold?"
    }

    fn needs(&self) -> Needs {
        Needs::Empty
    }

    fn needs_root(&self) -> Option<&'static str> {
        Some(
            "memory needs root: a user namespace can make no memory cgroup to hold the figure against, and its socket buffers bound the transactions whose peak is asked for",
        )
    }

    fn cells(
        &self,
        _mode: Mode,
        _services: u32,
        _transport: Transport,
        _request: &Request,
    ) -> Vec<Options> {
        Vec::new()
    }

    fn expected_ns(&self, _mode: Mode, _size: Size, _options: &Options, _request: &Request) -> u64 {
        0
    }

    fn run(
        &self,
        _stay: &mut Stay<'_>,
        _options: &Options,
        _recorder: &mut Recorder,
    ) -> Result<(), CellError> {
        Err(CellError::at(Stage::Measure, "not in this version"))
    }
}
