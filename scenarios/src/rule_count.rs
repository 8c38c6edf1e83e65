//! `rule-count`: what the kernel lists for N services: rules, chains, sets, elements.

use netns_harness::datapath::Transport;
use schema::{Metric, Mode, Options, ScenarioKind, Stage};

use crate::cost::{self, Size};
use crate::error::CellError;
use crate::recorder::Recorder;
use crate::scenario::{Request, Scenario};
use crate::stay::Stay;

/// The scenario.
#[derive(Debug)]
pub(crate) struct RuleCount;

impl Scenario for RuleCount {
    fn kind(&self) -> ScenarioKind {
        ScenarioKind::RuleCount
    }

    fn question(&self) -> &'static str {
        "How many rules, chains, sets and elements does the kernel hold for N services?"
    }

    fn cells(
        &self,
        mode: Mode,
        _services: u32,
        _transport: Transport,
        _request: &Request,
    ) -> Vec<Options> {
        if mode.is_floor() {
            return Vec::new();
        }
        vec![Options::new()]
    }

    fn expected_ns(&self, mode: Mode, size: Size, _options: &Options, _request: &Request) -> u64 {
        cost::listing_ns(mode, size)
    }

    fn run(
        &self,
        stay: &mut Stay<'_>,
        _options: &Options,
        recorder: &mut Recorder,
    ) -> Result<(), CellError> {
        let inventory = stay
            .lab
            .on_node(|| stay.datapath.inventory())
            .map_err(|e| CellError::at(Stage::Measure, e))?;
        recorder.sample(Metric::Rules, inventory.rules);
        recorder.sample(Metric::Chains, inventory.chains);
        recorder.sample(Metric::Sets, inventory.sets);
        recorder.sample(Metric::Elements, inventory.elements);
        Ok(())
    }
}
