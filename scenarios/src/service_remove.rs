//! `service-remove`: N → N - 1 services at size N. The service is a random one, so that its place in a
//! list is not always the same.

use rand::RngExt as _;
use schema::{Mode, Options, ScenarioKind};

use crate::cost::Size;
use crate::error::CellError;
use crate::recorder::Recorder;
use crate::scenario::{Request, Scenario};
use crate::stay::Stay;
use crate::update::{self, Change};

/// The scenario.
#[derive(Debug)]
pub(crate) struct ServiceRemove;

impl Scenario for ServiceRemove {
    fn kind(&self) -> ScenarioKind {
        ScenarioKind::ServiceRemove
    }

    fn question(&self) -> &'static str {
        "How long does it take to remove one service of N?"
    }

    fn expected_ns(&self, mode: Mode, size: Size, options: &Options, _request: &Request) -> u64 {
        update::expected_ns(mode, size, options, self.kind())
    }

    fn run(
        &self,
        stay: &mut Stay<'_>,
        options: &Options,
        recorder: &mut Recorder,
    ) -> Result<(), CellError> {
        update::run(stay, self.kind(), options, recorder, |stay, from, _| {
            let mut to = from.clone();
            let at = stay.rng.random_range(0..from.services.len());
            let gone = Some(to.services.remove(at));
            Change {
                to,
                witness: None,
                gone,
            }
        })
    }
}
