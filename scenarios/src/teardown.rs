//! `teardown`: N → 0 services, until the tool or the kernel has answered. What the kernel frees after
//! its answer is not waited for; what closing the sockets waits for is told apart.

use netns_harness::datapath::Sockets;
use schema::{Options, ScenarioKind};

use crate::cost::Asked;
use crate::error::Result;
use crate::recorder::Recorder;
use crate::scenario::{Needs, Request, Scenario};
use crate::stay::Stay;

/// The scenario.
#[derive(Debug)]
pub(crate) struct Teardown;

impl Scenario for Teardown {
    fn kind(&self) -> ScenarioKind {
        ScenarioKind::Teardown
    }

    fn needs(&self) -> Needs {
        Needs::Alone
    }

    fn expected_ns(&self, asked: Asked, _options: &Options, _request: &Request) -> u64 {
        asked.listing_ns()
    }

    fn run(&self, stay: &mut Stay<'_>, _options: &Options, recorder: &mut Recorder) -> Result {
        let kinds = stay.datapath.facts().teardown_sockets;
        let errors = stay.timed(
            || Ok(Sockets::available(kinds)),
            |sockets| stay.datapath.teardown(sockets),
            !kinds.is_empty(),
            recorder,
        )?;
        if let Some(error) = errors.into_iter().next() {
            return Err(error.into());
        }
        // Sees that nothing is left.
        stay.teardown()
    }
}
