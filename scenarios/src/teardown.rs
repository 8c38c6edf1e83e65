//! `teardown`: N → 0 services, until the tool or the kernel has answered. What the kernel frees after
//! its answer is not waited for.

use netns_sys::clock;
use schema::{Metric, Mode, Options, ScenarioKind};

use crate::cost::{self, Size};
use crate::recorder::Recorder;
use crate::scenario::{CellError, Needs, Request, Scenario};
use crate::spec::Event;
use crate::stay::Stay;

/// The scenario.
#[derive(Debug)]
pub(crate) struct Teardown;

impl Scenario for Teardown {
    fn kind(&self) -> ScenarioKind {
        ScenarioKind::Teardown
    }

    fn question(&self) -> &'static str {
        "How long does it take to remove all N services?"
    }

    fn needs(&self) -> Needs {
        Needs::Alone
    }

    fn in_default_run(&self) -> bool {
        false
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
        stay.rest()?;
        (stay.emit)(Event::Act { begins: true });
        let done = stay.lab.on_node(|| {
            // The timed section: the tools or messages that remove everything, and their answer.
            let start = clock::now();
            let errors = stay.datapath.teardown();
            Ok((start.elapsed_ns(), errors))
        });
        (stay.emit)(Event::Act { begins: false });
        let (elapsed_ns, errors) = done?;
        if let Some(error) = errors.into_iter().next() {
            return Err(error.into());
        }
        recorder.sample(Metric::UpdateTime, elapsed_ns);
        // Sees that nothing is left.
        stay.teardown()
    }
}
