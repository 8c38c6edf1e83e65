//! `rule-count`: what the kernel lists for N services: rules, chains, sets, elements.

use schema::{Metric, Options, ScenarioKind, Stage};

use crate::cost::Asked;
use crate::error::Result;
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

    /// The same however the rules were written.
    fn options(&self, _asked: Asked, _request: &Request) -> Options {
        Options::new()
    }

    fn expected_ns(&self, asked: Asked, _options: &Options, _request: &Request) -> u64 {
        asked.listing_ns()
    }

    fn run(&self, stay: &mut Stay<'_>, _options: &Options, recorder: &mut Recorder) -> Result {
        let inventory = stay.on_node(Stage::Measure, || stay.datapath.inventory())?;
        recorder.sample(Metric::Rules, inventory.rules);
        recorder.sample(Metric::Chains, inventory.chains);
        recorder.sample(Metric::Sets, inventory.sets);
        recorder.sample(Metric::Elements, inventory.elements);
        Ok(())
    }
}
